"""One JVM for many checks: Driver (the Java clients, tests/clients/java/*Checks.java) and Tools (Kafka's command-line tools)."""

import base64
import os
import queue
import subprocess
import threading
from dataclasses import dataclass
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[3]
HOME = Path(os.environ.get("TOLLGATE_CLIENTS_DIR") or CHECKOUT / ".clients")

# Short lives: the second compiler would not pay back what it costs.
FLAGS = ["-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto"]


def command(class_path: str, *more: str, level: str = "info", seen: dict[str, str] = {}) -> list[str]:
    java = str(Path(os.environ["JAVA_HOME"]) / "bin" / "java") if "JAVA_HOME" in os.environ else "java"
    return [
        java, *FLAGS,
        f"-Dorg.slf4j.simpleLogger.defaultLogLevel={level}",
        "-Dorg.slf4j.simpleLogger.showDateTime=true", "-Dorg.slf4j.simpleLogger.dateTimeFormat=HH:mm:ss.SSS",
        # Which print every client's every setting.
        "-Dorg.slf4j.simpleLogger.log.org.apache.kafka.common.config=warn",
        *(f"-Dorg.slf4j.simpleLogger.log.org.apache.kafka.clients.{kind}Config=warn" for kind in ("producer.Producer", "consumer.Consumer", "admin.AdminClient")),
        *(f"-Dorg.slf4j.simpleLogger.log.org.apache.kafka.clients.{name}={level}" for name, level in seen.items()),
        "-cp", f"{HOME}/java/classes:{HOME}/java/{class_path}/*", *more,
    ]


# What the clients say of faults that they get over by themselves; with the tools it is part of their standard error.
SEEN = {"NetworkClient": "info", "admin.KafkaAdminClient": "debug", "consumer.internals.FetchCollector": "debug",
        "consumer.internals.OffsetFetcherUtils": "debug", "consumer.internals.ConsumerCoordinator": "debug"}


class CheckFailed(AssertionError):
    pass


class Jvm:
    """A JVM that answers a line with a line; its log goes to a file."""

    def __init__(self, class_path: str, main: str, log: Path, level: str = "info", seen: dict[str, str] = {}):
        self.log = log
        self._log_file = open(log, "wb")
        self.process = subprocess.Popen(
            command(class_path, main, level=level, seen=seen), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log_file, text=True
        )
        self._answers: queue.Queue[str] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        for line in self.process.stdout:
            self._answers.put(line)
        self._answers.put("")

    def ask(self, line: str, seconds: float) -> str:
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        try:
            answer = self._answers.get(timeout=seconds)
        except queue.Empty:
            self.process.kill()  # what it was doing would answer the next question
            raise CheckFailed(f"no answer within {seconds:g} s to: {line.split()[0]}\n{self.tail()}") from None
        if not answer:
            raise CheckFailed(f"the JVM ended at: {line.split()[0]}\n{self.tail()}")
        return answer.strip()

    def alive(self) -> bool:
        return self.process.poll() is None

    def tail(self, lines: int = 40) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def close(self):
        self.process.stdin.close()
        try:
            self.process.wait(15)
        except subprocess.TimeoutExpired:
            self.process.kill()
        self._log_file.close()


def _encode(text: str) -> str:
    return base64.b64encode(text.encode()).decode() or "-"


class Driver(Jvm):
    """The Java clients of kafka-clients 4.4.0."""

    def __init__(self, log: Path):
        super().__init__("clients", "Driver", log)

    def check(self, name: str, seconds: float = 60.0, **arguments) -> str:
        """Runs one check. `properties={...}` are properties of every client it makes."""
        for key, value in arguments.pop("properties", {}).items():
            arguments[f"p.{key}"] = value
        words = [f"{key}={base64.b64encode(str(value).encode()).decode()}" for key, value in arguments.items()]
        verdict, _, text = self.ask(" ".join([name, *words]), seconds).partition(" ")
        text = base64.b64decode(text).decode()
        if verdict != "ok":
            raise CheckFailed(f"{name}: {text}")
        return text


@dataclass
class Ran:
    code: int
    out: str
    err: str

    def ok(self) -> "Ran":
        assert self.code == 0, f"exit code {self.code}\n{self.out}\n{self.err}"
        return self


TOOLS = {
    "kafka-acls": "org.apache.kafka.tools.AclCommand",
    "kafka-delegation-tokens": "org.apache.kafka.tools.DelegationTokenCommand",
    "kafka-topics": "org.apache.kafka.tools.TopicCommand",
    "kafka-configs": "kafka.admin.ConfigCommand",
    "kafka-console-producer": "org.apache.kafka.tools.ConsoleProducer",
    "kafka-console-consumer": "org.apache.kafka.tools.consumer.ConsoleConsumer",
    "kafka-consumer-groups": "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand",
    "kafka-producer-perf-test": "org.apache.kafka.tools.ProducerPerformance",
    "kafka-consumer-perf-test": "org.apache.kafka.tools.ConsumerPerformance",
    "kafka-verifiable-producer": "org.apache.kafka.tools.VerifiableProducer",
    "kafka-verifiable-consumer": "org.apache.kafka.tools.VerifiableConsumer",
    "kafka-get-offsets": "org.apache.kafka.tools.GetOffsetShell",
    "kafka-delete-records": "org.apache.kafka.tools.DeleteRecordsCommand",
    "kafka-broker-api-versions": "org.apache.kafka.tools.BrokerApiVersionsCommand",
    "kafka-groups": "org.apache.kafka.tools.GroupsCommand",
    "kafka-cluster": "org.apache.kafka.tools.ClusterTool",
    "kafka-log-dirs": "org.apache.kafka.tools.LogDirsCommand",
    "kafka-client-metrics": "org.apache.kafka.tools.ClientMetricsCommand",
    "kafka-acls": "org.apache.kafka.tools.AclCommand",
    "kafka-features": "org.apache.kafka.tools.FeatureCommand",
    "kafka-metadata-quorum": "org.apache.kafka.tools.MetadataQuorumCommand",
    "kafka-leader-election": "org.apache.kafka.tools.LeaderElectionCommand",
    "kafka-reassign-partitions": "org.apache.kafka.tools.reassign.ReassignPartitionsCommand",
    "kafka-transactions": "org.apache.kafka.tools.TransactionsCommand",
}


class Tools(Jvm):
    """Kafka's command-line tools 4.3.1, one after the other in one JVM."""

    def __init__(self, log: Path):
        super().__init__("tools", "Tools", log, level="warn", seen=SEEN)

    def run(self, tool: str, *arguments: str, stdin: str = "", seconds: float = 60.0) -> Ran:
        code, out, err = self.ask(" ".join([TOOLS[tool], _encode(stdin), *map(_encode, arguments)]), seconds).split(" ")
        decode = lambda word: "" if word == "-" else base64.b64decode(word).decode(errors="replace")
        return Ran(int(code), decode(out), decode(err))


def tool_process(tool: str, *arguments: str, **popen) -> subprocess.Popen:
    """A tool in a JVM of its own: for those that run until they are told to end."""
    return subprocess.Popen([*command("tools", TOOLS[tool], level="warn"), *arguments], text=True, **popen)
