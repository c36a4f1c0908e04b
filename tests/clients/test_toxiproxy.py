"""Toxiproxy's API: `toxiproxy-cli` as it is, and the HTTP that every Toxiproxy client speaks. One script is run against the real
toxiproxy-server, which stands before this gateway, and against the gateway itself; answers and effects are compared."""

import json
import re
import socket
import struct
import subprocess
import time
import urllib.error
import urllib.request
from dataclasses import dataclass

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient
from support import jvm, servers
from support.servers import Tollgate, free_port, listening
from support.wait import until

TOOLS = jvm.HOME / "toxiproxy"
# ApiVersions 0, of the client "t".
QUESTION = struct.pack(">ihhih", 11, 18, 0, 7, 1) + b"t"
NAME = "kafka"


@dataclass
class Target:
    """Whom the script speaks to."""

    api: int  # its port
    listen: str  # where its proxy is to listen
    upstream: str  # what the proxy is for

    def call(self, method, path, body=None, agent="test", raw=None):
        """Status, and what was answered."""
        data = raw if raw is not None else None if body is None else json.dumps(body).encode()
        asked = urllib.request.Request(f"http://127.0.0.1:{self.api}{path}", data, {"User-Agent": agent}, method=method)
        try:
            with urllib.request.urlopen(asked, timeout=10) as answer:
                return answer.status, self.plain(answer.read().decode())
        except urllib.error.HTTPError as error:
            return error.code, self.plain(error.read().decode())

    def cli(self, *arguments):
        command = [TOOLS / "cli", "-host", f"http://127.0.0.1:{self.api}", *arguments]
        ran = subprocess.run(command, text=True, capture_output=True, timeout=20)
        return ran.returncode, re.sub(r"\x1b\[[0-9;]*m", "", self.plain(ran.stdout + ran.stderr)).replace("\t", " ")

    def plain(self, text):
        """The same for both: addresses have names, and what follows the reason of an error is its own."""
        text = text.replace(self.listen, "LISTEN").replace(self.upstream, "UPSTREAM")
        try:
            # a field of theirs that is shown by accident, and empty
            value = json.loads(text, object_hook=lambda fields: {name: value for name, value in fields.items() if name != "Logger"})
        except ValueError:
            return text.strip()
        if isinstance(value, dict) and "bad request body" in value.get("error", ""):
            value["error"] = "bad request body"
        return value

    def port(self):
        return int(self.listen.rsplit(":", 1)[1])


class Connection:
    def __init__(self, target):
        self.socket = socket.create_connection(("127.0.0.1", target.port()), 10)
        self.socket.settimeout(10)

    def ask(self):
        """What a question came to, and when: seconds, bytes, pieces, how it ended (None: it is open)."""
        start, got, pieces = time.monotonic(), b"", 0
        end = None
        try:
            self.socket.sendall(QUESTION)
            while len(got) < 4 or len(got) < 4 + struct.unpack(">i", got[:4])[0]:
                piece = self.socket.recv(65536)
                if not piece:
                    end = "closed"
                    break
                got, pieces = got + piece, pieces + 1
        except ConnectionResetError:
            end = "reset"
        return time.monotonic() - start, len(got), pieces, end

    def closed_after(self, bytes_):
        """Seconds until the connection ends when this is sent."""
        start = time.monotonic()
        self.socket.sendall(bytes_)
        try:
            while self.socket.recv(65536):
                pass
        except ConnectionResetError:
            pass
        return time.monotonic() - start


def ask(target):
    return Connection(target).ask()


def toxic(kind, stream="downstream", toxicity=1.0, name=None, **attributes):
    described = {"type": kind, "stream": stream, "toxicity": toxicity, "attributes": attributes}
    return described | ({"name": name} if name else {})


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    if not (TOOLS / "cli").exists():
        pytest.fail("toxiproxy is not there: scripts/setup-clients toxiproxy")
    server = servers.make(tmp_path_factory.mktemp("server"), "none")
    if not isinstance(server, Tollgate):
        pytest.skip("needs policies: only Tollgate has them")
    server.toxiproxy, server.theirs, server.behind = free_port(), free_port(), free_port()
    server.configure(toxiproxy=f"127.0.0.1:{server.toxiproxy}")
    # Clients of the real one are told to come by it again; those of ours are told so without being told to.
    with (server.folder / "tollgate.toml").open("a") as file:
        file.write(f'[[listener]]\nname = "behind"\naddress = "127.0.0.1:{server.behind}"\nadvertised = "127.0.0.1:{server.theirs}"\n')
    server.start()
    yield server
    server.stop()
    assert "panicked at" not in server.log(), server.log()


@pytest.fixture(scope="module")
def targets(server, tmp_path_factory):
    api = free_port()
    log = (tmp_path_factory.mktemp("toxiproxy") / "log").open("w")
    process = subprocess.Popen([TOOLS / "server", "-port", str(api)], stdout=log, stderr=log)
    until("toxiproxy listens", lambda: listening(api))
    yield {
        "theirs": Target(api, f"127.0.0.1:{server.theirs}", f"127.0.0.1:{server.behind}"),
        "ours": Target(server.toxiproxy, f"127.0.0.1:{free_port()}", server.bootstrap),
    }
    process.terminate()
    process.wait(10)


@pytest.fixture
def each(targets):
    """Both, with a proxy and without toxics."""
    for target in targets.values():
        if target.call("GET", f"/proxies/{NAME}")[0] == 404:
            assert target.call("POST", "/proxies", {"name": NAME, "listen": target.listen, "upstream": target.upstream})[0] == 201
        assert target.call("POST", "/reset")[0] == 204
    return targets


def same(targets, script):
    """Runs the script against both, and compares what it noted."""
    noted = {name: list(script(target)) for name, target in targets.items()}
    assert len(noted["ours"]) == len(noted["theirs"])
    differ = [f"ours   {ours}\ntheirs {theirs}" for ours, theirs in zip(noted["ours"], noted["theirs"]) if ours != theirs]
    assert not differ, "\n".join(differ)
    return noted["ours"]


def test_every_answer_is_theirs(each):
    def script(target):
        def call(method, path, body=None, **more):
            return method, path, target.call(method, path, body, **more)

        path = f"/proxies/{NAME}"
        yield call("GET", "/proxies")
        yield call("GET", path)
        yield call("GET", "/proxies/none")
        yield call("GET", "/nothing")
        yield call("DELETE", "/proxies")
        yield call("POST", "/proxies", {"name": NAME, "listen": target.listen, "upstream": target.upstream})
        yield call("POST", "/proxies", {"name": "", "upstream": target.upstream})
        yield call("POST", "/proxies", {"name": "x"})
        yield call("POST", "/proxies", raw=b"{")
        yield call("POST", "/proxies", {"name": 5})
        yield call("POST", f"{path}/toxics", toxic("latency", latency=5, jitter=2))
        yield call("POST", f"{path}/toxics", toxic("latency", latency=5))
        yield call("POST", f"{path}/toxics", {"type": "bandwidth", "attributes": {"rate": 50}})
        yield call("POST", f"{path}/toxics", toxic("slicer", "upstream", 0.5, "cut", average_size=64, size_variation=8, delay=1))
        yield call("POST", f"{path}/toxics", toxic("slow_close", delay=7))
        yield call("POST", f"{path}/toxics", toxic("timeout", "upstream", timeout=100000))
        yield call("POST", f"{path}/toxics", toxic("limit_data", "UPSTREAM", name="limit", bytes=100000))
        yield call("POST", f"{path}/toxics", toxic("reset_peer", timeout=100000))
        yield call("POST", f"{path}/toxics", toxic("nothing"))
        yield call("POST", f"{path}/toxics", toxic("latency", "sideways", latency=5))
        yield call("POST", f"{path}/toxics", toxic("latency", name="text", latency="5"))
        yield call("POST", f"{path}/toxics", toxic("latency", name="half", latency=0.5))
        yield call("POST", "/proxies/none/toxics", toxic("latency"))
        yield call("GET", f"{path}/toxics")
        yield call("GET", f"{path}/toxics/cut")
        yield call("GET", f"{path}/toxics/none")
        yield call("POST", f"{path}/toxics/latency_downstream", {"attributes": {"jitter": 3}})
        yield call("PATCH", f"{path}/toxics/latency_downstream", {"toxicity": 0.25})
        yield call("POST", f"{path}/toxics/latency_downstream", {"attributes": {"jitter": "x"}})
        yield call("POST", f"{path}/toxics/none", {})
        yield call("DELETE", f"{path}/toxics/cut")
        yield call("DELETE", f"{path}/toxics/cut")
        yield call("GET", path)
        yield call("PATCH", path, {"enabled": False})
        yield call("POST", "/reset")
        yield call("GET", path)
        yield call("POST", path, {"enabled": False})
        yield call("POST", "/populate", [{"name": NAME, "listen": target.listen, "upstream": target.upstream}])
        yield call("POST", "/populate", [{"name": "", "listen": target.listen, "upstream": target.upstream}])
        yield call("POST", "/populate", {"name": "x"})
        yield call("POST", path, {"enabled": True})
        yield call("GET", "/proxies", agent="Mozilla/5.0 (X11)")
        yield call("DELETE", path)
        yield call("DELETE", path)
        yield call("POST", "/populate", [{"name": NAME, "listen": target.listen, "upstream": target.upstream}])

    answers = same(each, script)
    assert {answer[2][0] for answer in answers} >= {200, 201, 204, 400, 403, 404, 405, 409}


def test_the_command_line_is_answered_as_by_theirs(each):
    def script(target):
        yield target.call("DELETE", f"/proxies/{NAME}")
        for line in [
            f"create -l {target.listen} -u {target.upstream} {NAME}",
            "list",
            f"inspect {NAME}",
            f"toxic add -t latency -a latency=10 -a jitter=1 {NAME}",
            f"toxic add -t bandwidth -n slow -u -a rate=100 {NAME}",
            f"toxic add -t nothing {NAME}",
            f"toxic update -n slow -a rate=50 {NAME}",
            f"inspect {NAME}",
            f"toxic remove -n slow {NAME}",
            f"toxic delete -n slow {NAME}",
            f"toggle {NAME}",
            "list",
            f"toggle {NAME}",
            f"delete {NAME}",
            "list",
            f"inspect {NAME}",
        ]:
            yield line.replace(target.listen, "LISTEN").replace(target.upstream, "UPSTREAM"), target.cli(*line.split())

    said = same(each, script)
    assert any("Added downstream latency toxic" in answer[1] for _, answer in said[1:]), said


TOXICS = f"/proxies/{NAME}/toxics"


def test_every_toxic_has_its_effect_on_both(each):
    def script(target):
        def add(*described, **attributes):
            status, answer = target.call("POST", TOXICS, toxic(*described, **attributes))
            assert status == 200, answer

        def reset():
            assert target.call("POST", "/reset")[0] == 204

        took, size, _, end = ask(target)
        assert took < 0.15 and end is None, "nothing there"
        yield "plain", size
        for stream in ["downstream", "upstream"]:
            add("latency", stream, latency=200)
            took, got, _, end = ask(target)
            yield "latency", stream, took >= 0.2, got, end
            reset()
        # on a connection that is there already
        there = Connection(target)
        there.ask()
        add("latency", latency=200)
        yield "latency of what is there", there.ask()[0] >= 0.2
        reset()
        yield "and without it again", there.ask()[0] < 0.15
        add("bandwidth", rate=1)
        took, got, _, end = ask(target)
        yield "bandwidth", took >= size / 1000 * 0.9, got, end
        reset()
        add("slicer", average_size=64, size_variation=16, delay=20000)
        took, got, pieces, end = ask(target)
        yield "slicer", took >= size / 80 * 0.02 - 0.03, pieces >= size / 80 - 2, got, end
        reset()
        for stream in ["downstream", "upstream"]:
            add("limit_data", stream, bytes=9)
            _, got, _, end = ask(target)
            yield "limit_data", stream, got, end is not None
            reset()
        add("timeout", timeout=300)
        took, got, _, end = ask(target)
        yield "timeout", took >= 0.29, got, end
        reset()
        add("timeout", timeout=0)
        open_ = Connection(target)
        open_.socket.settimeout(0.4)
        with pytest.raises(TimeoutError):
            open_.ask()
        reset()
        open_.socket.settimeout(10)
        yield "timeout that goes", open_.closed_after(b"") < 5
        add("reset_peer", timeout=0)
        _, got, _, end = ask(target)
        yield "reset_peer", got, end
        reset()
        add("reset_peer", timeout=300)
        took, got, _, end = ask(target)
        yield "reset_peer later", took >= 0.29, got, end
        reset()
        add("slow_close", delay=600)
        yield "slow_close", Connection(target).closed_after(b"GET / HTTP/1.1\r\n\r\n") >= 0.59
        reset()
        yield "not slow any more", Connection(target).closed_after(b"GET / HTTP/1.1\r\n\r\n") < 0.59
        add("timeout", toxicity=0.0, timeout=100)
        yield "no toxicity", ask(target)[1:]
        reset()
        dropped = Connection(target)
        dropped.ask()
        assert target.call("POST", f"/proxies/{NAME}", {"enabled": False})[0] == 200
        yield "disabled", dropped.closed_after(b"") < 5
        with pytest.raises(ConnectionRefusedError):
            Connection(target)
        reset()
        yield "enabled by reset", ask(target)[1:]

    effects = same(each, script)
    assert all(value for effect in effects for value in effect if isinstance(value, bool)), effects


def test_a_kafka_client_feels_it_and_comes_back(each):
    """librdkafka through each of the proxies: all its connections go through, whatever it is told of the cluster."""

    def script(target):
        admin = AdminClient({"bootstrap.servers": target.listen})
        brokers = admin.list_topics(timeout=10).brokers.values()
        yield [f"{broker.host}:{broker.port}" == target.listen for broker in brokers]
        sender = Producer({"bootstrap.servers": target.listen, "linger.ms": 0, "message.timeout.ms": 60000, "socket.timeout.ms": 1500})

        def send():
            start, failed = time.monotonic(), []
            sender.produce(f"through-{target.port()}", b"x" * 2000, on_delivery=lambda error, _: failed.append(str(error)) if error else None)
            assert sender.flush(60) == 0 and not failed, failed
            return time.monotonic() - start

        send()
        for kind, attributes, least in [("latency", {"latency": 300}, 0.3), ("bandwidth", {"rate": 4}, 0.45)]:
            stream = "upstream" if kind == "bandwidth" else "downstream"
            assert target.call("POST", TOXICS, toxic(kind, stream, **attributes))[0] == 200
            yield kind, send() >= least
            assert target.call("POST", "/reset")[0] == 204
        for kind, attributes in [("limit_data", {"bytes": 20}), ("timeout", {"timeout": 0}), ("reset_peer", {"timeout": 0})]:
            assert target.call("POST", TOXICS, toxic(kind, **attributes))[0] == 200
            sender.produce(f"through-{target.port()}", b"held up")
            assert sender.flush(2.0) == 1, f"delivered through {kind}"
            assert target.call("POST", "/reset")[0] == 204
            assert sender.flush(60) == 0
            yield kind, "delivered when it went"

    assert same(each, script)[0] == [True]


def test_it_leads_to_its_own_listeners_and_nowhere_else(server, each):
    ours = each["ours"]
    for upstream in [f"127.0.0.1:{server.admin_port}", "127.0.0.1:1", "example.invalid:9092", "no address"]:
        status, answer = ours.call("POST", "/proxies", {"name": "open", "listen": "127.0.0.1:0", "upstream": upstream})
        assert status == 400 and "not a listener of this gateway" in answer["error"], answer
        status, answer = ours.call("POST", f"/proxies/{NAME}", {"upstream": upstream})
        assert status == 400 and "not a listener of this gateway" in answer["error"], answer
    assert ours.call("GET", "/proxies/open")[0] == 404
