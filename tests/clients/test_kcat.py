"""kcat (librdkafka from the system's packages)."""

import json
import re
import signal
import subprocess
import time

import pytest
from support.wait import until


@pytest.fixture
def kcat(bootstrap):
    def run(*arguments, stdin: str | bytes | None = None, code=0, seconds=30):
        data = stdin.encode() if isinstance(stdin, str) else stdin
        ran = subprocess.run(["kcat", "-b", bootstrap, *arguments], input=data, capture_output=True, timeout=seconds)
        assert ran.returncode == code, f"exit code {ran.returncode}\n{ran.stdout.decode()}\n{ran.stderr.decode()}"
        return ran.stdout.decode()

    return run


@pytest.fixture
def read(kcat, topic):
    """Everything in the topic, as JSON objects."""
    def run(*arguments):
        return [json.loads(line) for line in kcat("-C", "-t", topic, "-o", "beginning", "-e", "-q", "-J", *arguments).splitlines()]

    return run


@pytest.fixture
def made(admin, topic):
    """kcat creates no topics but by producing: four partitions, made by another client."""
    admin(topic, 4)
    return topic


@pytest.fixture
def admin(bootstrap):
    from confluent_kafka.admin import AdminClient, NewTopic

    def create(topic, partitions):
        client = AdminClient({"bootstrap.servers": bootstrap})
        client.create_topics([NewTopic(topic, partitions)])[topic].result(10)
        until("the topic is there", lambda: len(client.list_topics(topic, timeout=5).topics[topic].partitions) == partitions)

    return create


def test_metadata(kcat, made):
    listed = json.loads(kcat("-L", "-J", "-t", made))
    (broker,) = listed["brokers"]
    (topic,) = listed["topics"]
    assert topic["topic"] == made and len(topic["partitions"]) == 4
    for partition in topic["partitions"]:
        assert partition["leader"] == broker["id"]
        assert [isr["id"] for isr in partition["isrs"]] == [broker["id"]]


@pytest.mark.parametrize("compression", ["none", "gzip", "snappy", "lz4", "zstd"])
@pytest.mark.parametrize("acks, idempotence", [("all", "true"), ("1", "false")])
def test_produce(kcat, read, topic, compression, acks, idempotence):
    values = [f'{{"n":{n},"text":"{"tollgate " * 20}"}}' for n in range(300)]
    kcat("-P", "-t", topic, "-p", "0", "-z", compression, "-X", f"acks={acks}", "-X", f"enable.idempotence={idempotence}", stdin="\n".join(values) + "\n")
    assert [(one["offset"], one["payload"]) for one in read()] == list(enumerate(values))


def test_produce_without_acks(kcat, read, topic):
    kcat("-P", "-t", topic, "-p", "0", stdin="first\n")  # creates the topic: nobody tells a producer without acks that there is none
    kcat("-P", "-t", topic, "-p", "0", "-X", "acks=0", stdin="a\nb\n")
    until("all three are there", lambda: [one["payload"] for one in read()] == ["first", "a", "b"])


def test_record_shapes(kcat, read, topic):
    headers = [word for pair in ("trace=1", "other", "trace=2", "trace=1") for word in ("-H", pair)]
    kcat("-P", "-t", topic, "-p", "0", *headers, "-K", ":", stdin="key:value\n")
    kcat("-P", "-t", topic, "-p", "0", stdin="no key\n")
    kcat("-P", "-t", topic, "-p", "0", "-Z", "-K", ":", stdin="dead:\n")
    kcat("-P", "-t", topic, "-p", "0", "-Z", "-K", ":", stdin=":\n")
    kcat("-P", "-t", topic, "-p", "0", "-K", ":", stdin=":\n")
    full, keyless, tombstone, nothing, empty = read()
    assert full["headers"] == ["trace", "1", "other", None, "trace", "2", "trace", "1"]
    assert (full["key"], full["payload"]) == ("key", "value")
    assert (keyless["key"], keyless["payload"]) == (None, "no key") and "headers" not in keyless
    assert (tombstone["key"], tombstone["payload"]) == ("dead", None)
    assert (nothing["key"], nothing["payload"]) == (None, None)
    assert (empty["key"], empty["payload"]) == ("", "")


def test_large(kcat, bootstrap, topic, tmp_path):
    big = tmp_path / "big"
    big.write_bytes(bytes(n * 7 % 251 for n in range(900_000)))
    kcat("-P", "-t", topic, "-p", "0", str(big))
    ran = subprocess.run(["kcat", "-b", bootstrap, "-C", "-t", topic, "-o", "beginning", "-e", "-q", "-D", ""], capture_output=True, timeout=30)
    assert ran.stdout == big.read_bytes()


def test_consume_alone(kcat, read, topic):
    kcat("-P", "-t", topic, "-p", "0", stdin="".join(f"{n}\n" for n in range(10)))
    payloads = lambda *arguments: [json.loads(line)["payload"] for line in kcat("-C", "-t", topic, "-p", "0", "-e", "-q", "-J", *arguments).splitlines()]
    assert payloads("-o", "7") == ["7", "8", "9"]
    assert payloads("-o", "-2") == ["8", "9"]
    assert payloads("-o", "beginning", "-c", "3") == ["0", "1", "2"]
    times = [one["ts"] for one in read()]
    assert all(abs(stamp / 1000 - time.time()) < 120 for stamp in times)
    assert re.search(rf"{topic} \[0\] offset 0", kcat("-Q", "-t", f"{topic}:0:{times[0]}"))
    assert re.search(rf"{topic} \[0\] offset 10", kcat("-Q", "-t", f"{topic}:0:-1"))
    assert len(payloads("-o", f"s@{times[0]}")) == 10


class Member:
    """kcat -G: prints to a file what it is assigned and what it reads."""

    def __init__(self, bootstrap, group, topic, folder, *arguments):
        self.out, self.err = folder.with_suffix(".out"), folder.with_suffix(".err")
        with open(self.out, "wb") as out, open(self.err, "wb") as err:
            self.process = subprocess.Popen(
                ["kcat", "-b", bootstrap, "-u", "-J", "-X", "auto.offset.reset=earliest", "-X", "session.timeout.ms=6000", "-X", "heartbeat.interval.ms=100",
                 *arguments, "-G", group, topic], stdout=out, stderr=err)

    def values(self):
        return [json.loads(line)["payload"] for line in self.out.read_text().splitlines()]

    def owned(self) -> set[int]:
        """As its rebalance messages say: assigned adds, revoked takes away."""
        owned: set[int] = set()
        for line in self.err.read_text().splitlines():
            parts = {int(p) for p in re.findall(r"\[(\d+)\]", line)}
            if "rebalanced" in line:
                owned = owned - parts if re.search("revoke", line) else owned | parts
        return owned

    def leave(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(20)


@pytest.mark.parametrize("assignor", ["range", "roundrobin", "cooperative-sticky"])
def test_rebalance(kcat, made, group, bootstrap, tmp_path, assignor):
    more = ("-X", f"partition.assignment.strategy={assignor}")
    first = Member(bootstrap, group, made, tmp_path / "first", *more)
    second = None
    try:
        until("the first member owns all", lambda: first.owned() == {0, 1, 2, 3}, 30)
        for p in range(4):
            kcat("-P", "-t", made, "-p", str(p), stdin="".join(f"{p}-{n}\n" for n in range(20)))
        until("it read them", lambda: len(first.values()) == 80, 20)
        second = Member(bootstrap, group, made, tmp_path / "second", *more)
        until("both own two", lambda: len(first.owned()) == 2 and len(second.owned()) == 2 and not first.owned() & second.owned(), 30)
        for p in range(4):
            kcat("-P", "-t", made, "-p", str(p), stdin="".join(f"{p}-{n}\n" for n in range(20, 40)))
        until("they read them", lambda: len(set(first.values() + second.values())) == 160, 20)
        assert second.values(), "the second member read nothing"
        second.leave()
        until("the first owns all again", lambda: first.owned() == {0, 1, 2, 3}, 30)
        kcat("-P", "-t", made, "-p", "3", stdin="last\n")
        until("the first reads on", lambda: "last" in first.values(), 20)
    finally:
        first.leave()
        if second:
            second.leave()


@pytest.mark.restarts
def test_resume_after_a_restart(kcat, topic, group, server):
    consume = lambda count: [json.loads(line)["payload"] for line in kcat(
        "-q", "-J", "-c", str(count), "-X", "auto.offset.reset=earliest", "-G", group, topic).splitlines()]
    kcat("-P", "-t", topic, "-p", "0", stdin="".join(f"{n}\n" for n in range(10)))
    assert consume(6) == [str(n) for n in range(6)]
    server.restart()
    kcat("-P", "-t", topic, "-p", "0", "-X", "enable.idempotence=true", stdin="10\n11\n")
    assert consume(6) == [str(n) for n in range(6, 12)]
