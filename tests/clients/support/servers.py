"""What the clients are pointed at: Tollgate, or Apache Kafka itself to see that a test asks for the right thing."""

import json
import os
import random
import shutil
import signal
import socket
import subprocess
import urllib.error
import urllib.request
from contextlib import contextmanager
from pathlib import Path

from .wait import until

CHECKOUT = Path(__file__).resolve().parents[3]

# Known to every server, at its SASL address.
USERS = {"alice": "alice-secret", "bob": "bob-secret"}
MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")


GIVEN = set()


def free_port() -> int:
    """A port below the ephemeral ones, so that no outgoing connection of the tests takes it while a server restarts. It is
    given once: two listeners of one server must not get the same, nor two workers of one run."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    while True:
        port = random.randrange(15_000 + worker, 32_000, workers)
        if port in GIVEN:
            continue
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        GIVEN.add(port)
        return port


def listening(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


# In force in every test: nothing goes unseen by the rules, and nothing is changed by them.
ALWAYS = """policy("always", "Every exchange of every test meets rules.");
on_fetch("*").named("looks into every record").mask("$.masked.everywhere", "all").on_unparsable("pass");
on_produce("*").named("judges every record").observe().each(|cx, record| { if record.value("$.n") == -1 { cx.deny("never"); } });
on_request("*").named("meets every exchange").observe().delay("1ms");
"""


class Server:
    """A broker at `bootstrap` (nobody needs to log in) and, if it has one, at `sasl` (everybody must)."""

    gateway = False  # does it know policies
    restarts = True  # can it be restarted
    bootstrap: str
    sasl: str | None = None

    def start(self): ...
    def stop(self): ...
    def kill(self): ...
    def log(self) -> str:
        return ""

    def restart(self):
        self.stop()
        self.start()


class External(Server):
    """BOOTSTRAP=host:port: somebody else's broker."""

    restarts = False

    def __init__(self, bootstrap: str):
        self.bootstrap = bootstrap


class Kafka(Server):
    """Apache Kafka through scripts/kafka. CLIENTS_AGAINST=kafka."""

    def __init__(self, folder: Path, broker: dict[str, str] | None = None):
        self.folder = folder
        self.port, self.sasl_port = free_port(), free_port()
        self.bootstrap, self.sasl = f"127.0.0.1:{self.port}", f"127.0.0.1:{self.sasl_port}"
        plain = "org.apache.kafka.common.security.plain.PlainLoginModule required " + " ".join(f'user_{n}="{p}"' for n, p in USERS.items()) + ";"
        scram = "org.apache.kafka.common.security.scram.ScramLoginModule required;"
        addresses = f"PLAINTEXT://127.0.0.1:{self.port},SASL_PLAINTEXT://127.0.0.1:{self.sasl_port}"
        self.settings = [
            f"listeners={addresses},CONTROLLER://127.0.0.1:{self.port + 1}", f"advertised.listeners={addresses}",
            f"sasl.enabled.mechanisms={','.join(MECHANISMS)}",
            f"listener.name.sasl_plaintext.plain.sasl.jaas.config={plain}",
            f"listener.name.sasl_plaintext.scram-sha-256.sasl.jaas.config={scram}",
            f"listener.name.sasl_plaintext.scram-sha-512.sasl.jaas.config={scram}",
            *(f"{key}={value}" for key, value in (broker or {}).items()),
        ]

    def _run(self, command: str, *more: str):
        subprocess.run([CHECKOUT / "scripts/kafka", command, "--dir", self.folder, *more], check=True, stdout=subprocess.DEVNULL, timeout=120)

    def start(self):
        if not self.folder.exists():
            options = [word for setting in self.settings for word in ("--set", setting)]
            options += [word for name, password in USERS.items() for kind in MECHANISMS[1:]
                        for word in ("--scram", f"{kind}=[name={name},password={password}]")]
            self._run("format", "--port", str(self.port), *options)
        self._run("start", "--heap", "320m")

    def stop(self):
        self._run("stop")

    def kill(self):
        self._run("kill")

    def log(self) -> str:
        return (self.folder / "kafka.log").read_text(errors="replace")


class Tollgate(Server):
    """The program under test, with folders and ports of its own. TOLLGATE_BIN=path."""

    gateway = True

    def __init__(self, folder: Path, binary: str, policies: str, broker: dict[str, str] | None = None):
        self.folder, self.binary = folder, binary
        # A group's first rebalance need not wait for members that no test sends.
        self.broker = {"group.initial.rebalance.delay.ms": "0"} | (broker or {})
        self.policies = folder / "policies"
        self.policies.mkdir(parents=True)
        if policies != "none":
            shutil.copytree(CHECKOUT / "policies", self.policies, dirs_exist_ok=True)
        if policies == "always":
            (self.policies / "always.rhai").write_text(ALWAYS)
        self.port, self.sasl_port, self.admin_port = free_port(), free_port(), free_port()
        self.bootstrap, self.sasl = f"127.0.0.1:{self.port}", f"127.0.0.1:{self.sasl_port}"
        self.process: subprocess.Popen | None = None
        self.output = folder / "tollgate.log"
        self.configure()
        self._add_users()

    def configure(self, **keys):
        """Writes tollgate.toml: two listeners, one that asks for a login; `keys` are settings beside the usual ones, and
        `listeners` more listeners."""
        listeners = keys.pop("listeners", [])
        usual = {"admin": f"127.0.0.1:{self.admin_port}", "data": "data", "policies": "policies", "users": "users.toml", "seed": 1}
        lines = [f"{key} = {json.dumps(value)}" for key, value in (usual | keys).items()]
        lines += ["[[listener]]", 'name = "open"', f'address = "{self.bootstrap}"']
        lines += ["[[listener]]", 'name = "login"', f'address = "{self.sasl}"', f"sasl = {json.dumps(MECHANISMS)}"]
        lines += [line for one in listeners for line in ("[[listener]]", *(f"{key} = {json.dumps(value)}" for key, value in one.items()))]
        lines += ["[broker]", *(f"{json.dumps(key)} = {json.dumps(value)}" for key, value in self.broker.items())]
        (self.folder / "tollgate.toml").write_text("\n".join(lines) + "\n")

    def _add_users(self):
        for name, password in USERS.items():
            command = [self.binary, "user", "add", name, "--users", self.folder / "users.toml", "--password-file", "-", "--iterations", "4096"]
            ran = subprocess.run(command, input=password, text=True, capture_output=True, timeout=30)
            assert ran.returncode == 0, ran.stderr

    def _ready(self) -> bool:
        if self.process.poll() is not None:
            raise AssertionError(f"tollgate ended with {self.process.returncode} while starting:\n{self.log()}")
        try:
            return self.get("/readyz") == "ready\n"
        except (OSError, urllib.error.URLError):
            return False

    def get(self, path: str) -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.admin_port}{path}", timeout=5) as answer:
            return answer.read().decode()

    def start(self):
        with open(self.output, "ab") as output:
            self.process = subprocess.Popen(
                [self.binary, "serve", "--config", self.folder / "tollgate.toml"], stdout=output, stderr=output, cwd=self.folder
            )
        until("tollgate is ready", self._ready, 20, 0.002)

    def _end(self, kind: signal.Signals, seconds: float):
        if self.process is None:
            return
        self.process.send_signal(kind)
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"tollgate did not end within {seconds:g} s of {kind.name}:\n{self.log()[-4000:]}") from None
        finally:
            self.process = None

    def stop(self):
        self._end(signal.SIGTERM, 20)

    def kill(self):
        self._end(signal.SIGKILL, 20)

    def log(self) -> str:
        return self.output.read_text(errors="replace") if self.output.exists() else ""

    # Policies

    def status(self) -> dict:
        return json.loads(self.get("/v1/policies"))

    def rule(self, policy: str, ordinal: int = 0) -> dict:
        """What a rule of an active policy has done: matched, applied, could_not_apply."""
        return next(p for p in self.status()["policies"] if p["name"] == policy)["rules"][ordinal]

    def install(self, name: str, rules: str):
        """Puts a policy into the folder as an editor would, and waits until it is in force."""
        self._write(name, rules)

        def taken():
            status = self.status()
            if refused := status.get("refused_change"):
                (self.policies / f"{name}.rhai").unlink()
                raise AssertionError(f"the policy was refused: {refused}\n{rules}")
            return any(p["name"] == name and p["rules"] for p in status["policies"])

        until(f"policy {name} is in force", taken)

    def _write(self, name: str, rules: str):
        scratch = self.folder / f"{name}.new"
        scratch.write_text(f'policy("{name}", "A client test.");\n{rules}\n')
        scratch.rename(self.policies / f"{name}.rhai")

    def remove(self, name: str):
        """Takes its rules away first: that a file is gone, and not only being replaced, is believed after two seconds."""
        self._write(name, "")
        until(f"the rules of {name} are gone", lambda: all(p["name"] != name or not p["rules"] for p in self.status()["policies"]))
        (self.policies / f"{name}.rhai").unlink()

    @contextmanager
    def policy(self, name: str, rules: str):
        self.install(name, rules)
        try:
            yield
        finally:
            self.remove(name)


def make(folder: Path, policies: str, broker: dict[str, str] | None = None) -> Server:
    """The server that the environment names, with "always", the "shipped" or "none" policies where it knows any, and more of
    Kafka's own settings."""
    if os.environ.get("BOOTSTRAP"):
        return External(os.environ["BOOTSTRAP"])
    if os.environ.get("CLIENTS_AGAINST") == "kafka":
        return Kafka(folder / "kafka", broker)
    binary = os.environ.get("TOLLGATE_BIN") or shutil.which("tollgate") or str(CHECKOUT / "target/release/tollgate")
    if not Path(binary).exists():
        raise RuntimeError(f"{binary} does not exist: set TOLLGATE_BIN, or build it with cargo build --release")
    return Tollgate(folder / "tollgate", binary, policies, broker)


def is_tollgate() -> bool:
    return not os.environ.get("BOOTSTRAP") and os.environ.get("CLIENTS_AGAINST") != "kafka"


@contextmanager
def running(folder: Path, policies: str, broker: dict[str, str] | None = None, policy: str = "", **settings):
    """The server that the environment names, started; `settings` are Tollgate's own, `broker` Kafka's, `policy` the text of one
    that is in force from the start. It must not have panicked in the end."""
    server = make(folder, policies, broker)
    if policy:
        (server.policies / "first.rhai").write_text(policy)
    if settings and isinstance(server, Tollgate):
        server.configure(**settings)
    server.start()
    yield server
    server.stop()
    if isinstance(server, Tollgate):
        assert "panicked at" not in server.log(), server.log()
