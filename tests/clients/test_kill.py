"""kill -9, in every flush mode and with every client: what was acknowledged is there, once, in order.

The page cache survives a killed process, so this proves recovery, producer state and committed offsets, not the disk's syncs:
those are proved by the storage simulator's tests. It also is why all modes promise the same here.
"""

import json
import os
import random
import signal
import subprocess
import sys
import threading
from collections import defaultdict
from pathlib import Path

import pytest
from confluent_kafka import Consumer, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic
from support import servers
from support.clients import INSTALLED, LastBrokerGone
from support.jvm import tool_process
from support.wait import until

# Of a process under load, in the mode that is the default; the other modes and producers get a tenth.
KILLS = int(os.environ.get("KILLS", "50"))
MODES = ["group-commit", "interval", "os"]
PARTITIONS = 3


@pytest.fixture(scope="module", params=MODES)
def server(request, tmp_path_factory):
    with servers.running(tmp_path_factory.mktemp("server"), "always", flush=request.param) as server:
        if request.param != MODES[0] and not isinstance(server, servers.Tollgate):
            pytest.skip("this server has no flush modes")
        yield server


# What a producer says of itself, a line an event: (partition, offset, n) acknowledged, or how it ended: the number sent.
def plain(line: str) -> tuple[int, int, int] | int:
    words = line.split()
    assert words[0] != "failed", line
    return int(words[1]) if words[0] == "done" else tuple(map(int, words))


def verifiable(line: str) -> tuple[int, int, int] | int | None:
    event = json.loads(line)
    assert event["name"] != "producer_send_error", event
    if event["name"] == "producer_send_success":
        return event["partition"], event["offset"], int(event["value"])
    return event["sent"] if event["name"] == "tool_data" else None


SUPPORT = Path(__file__).parent / "support"
PRODUCERS = {"confluent": plain, "aiokafka": plain, "java": verifiable}
JAVA_PRODUCER = """
enable.idempotence=true
retries=2147483647
max.in.flight.requests.per.connection=5
batch.size=1500
linger.ms=1
request.timeout.ms=5000
delivery.timeout.ms=120000
retry.backoff.ms=10
retry.backoff.max.ms=50
reconnect.backoff.ms=10
reconnect.backoff.max.ms=50
"""


class Witness:
    """An idempotent producer in a process of its own, and its report, followed as it grows."""

    def __init__(self, family: str, bootstrap: str, topic: str, folder: Path):
        self.report = folder / "acknowledged"
        self.report.touch()
        self._read = PRODUCERS[family]
        if family == "java":
            config = folder / "producer.properties"
            config.write_text(JAVA_PRODUCER)
            with open(self.report, "w") as out:
                self.process = tool_process("kafka-verifiable-producer", "--bootstrap-server", bootstrap, "--topic", topic, "--acks", "-1", "--throughput", "2000",
                                            "--command-config", str(config), stdout=out, stderr=subprocess.DEVNULL)
        else:
            script = SUPPORT / {"confluent": "steady_producer.py", "aiokafka": "steady_aiokafka.py"}[family]
            self.process = subprocess.Popen([sys.executable, script, bootstrap, topic, str(PARTITIONS), self.report])

    def acknowledged(self) -> int:
        with open(self.report, "rb") as file:
            return file.read().count(b"\n")

    def alive(self):
        assert self.process.poll() is None, f"the producer ended: {self.report.read_text()[-300:]}"
        return True

    def finish(self) -> tuple[dict[int, dict[int, int]], int]:
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(90)
        acked: dict[int, dict[int, int]] = defaultdict(dict)
        sent = None
        for event in map(self._read, self.report.read_text().splitlines()):
            if isinstance(event, int):
                sent = event
            elif event:
                partition, offset, n = event
                assert offset not in acked[partition], f"offset {offset} of partition {partition} was acknowledged for two records"
                acked[partition][offset] = n
        assert sent is not None, f"the producer did not end well: {self.report.read_text()[-300:]}"
        return acked, sent


class Committer:
    """A group of one that commits as it reads, and remembers what was confirmed."""

    def __init__(self, bootstrap: str, group: str, topic: str):
        self.confirmed: dict[int, int] = {}
        self.broken: BaseException | None = None
        self._stop = threading.Event()
        self._reader = Consumer({
            "bootstrap.servers": bootstrap, "group.id": group, "auto.offset.reset": "earliest", "enable.auto.commit": False,
            "session.timeout.ms": 6000, "heartbeat.interval.ms": 500, "socket.timeout.ms": 3000, "reconnect.backoff.ms": 10,
            "reconnect.backoff.max.ms": 50, "log_level": 0,
        })
        self._reader.subscribe([topic])
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self):
        try:
            while not self._stop.is_set():
                messages = self._reader.consume(200, 0.1)
                for message in messages:
                    assert not (message.error() and message.error().fatal()), message.error()
                messages = [m for m in messages if m.error() is None]
                if not messages:
                    continue
                try:
                    for done in self._reader.commit(asynchronous=False):
                        if done.error is None and done.offset >= 0:
                            self.confirmed[done.partition] = done.offset
                except KafkaException:
                    pass  # not confirmed: nothing is promised
        except BaseException as error:
            self.broken = error

    def finish(self):
        self._stop.set()
        self._thread.join(30)
        self._reader.close()
        if self.broken:
            raise self.broken


@pytest.mark.restarts
@pytest.mark.timeout(420)
@pytest.mark.parametrize("family", [family for family in PRODUCERS if family in INSTALLED])
def test_kill(server, topic, group, tmp_path, family, request):
    """Under load: an idempotent producer and a group go on through every restart."""
    kills = KILLS if family == "confluent" and MODES[0] in request.node.name else KILLS // 10
    draw = random.Random(1)
    create(server.bootstrap, topic, PARTITIONS)
    witness = Witness(family, server.bootstrap, topic, tmp_path)
    committer = Committer(server.bootstrap, group, topic)
    look = Consumer({"bootstrap.servers": server.bootstrap, "group.id": group, "reconnect.backoff.ms": 10, "reconnect.backoff.max.ms": 50, "log_level": 0})

    def committed():
        try:
            return {p.partition: p.offset for p in look.committed([TopicPartition(topic, p) for p in range(PARTITIONS)], timeout=5)}
        except KafkaException:
            return None

    try:
        until("the group has committed", lambda: committer.confirmed and witness.alive(), 30)
        for kill in range(kills):
            # At a moment the load chooses: some way into what this life of the server acknowledges.
            goal = witness.acknowledged() + draw.randrange(1, 1500)
            until(f"load before kill {kill}", lambda: witness.alive() and witness.acknowledged() >= goal, 60, 0.001)
            server.kill()
            promised = dict(committer.confirmed)
            server.start()
            kept = until("committed offsets are read", committed, 30)
            for partition, offset in promised.items():
                assert kept[partition] >= offset, f"kill {kill}: offset {offset} of partition {partition} was committed, {kept[partition]} is there"
    finally:
        committer.finish()
        look.close()
        acked, sent = witness.finish()

    assert sum(map(len, acked.values())) == sent, "in the end everything is acknowledged"
    assert committer.confirmed, "no commit was ever confirmed"
    total = 0
    for partition in range(PARTITIONS):
        stored = read(server.bootstrap, topic, partition)
        wrong = {offset: (n, stored.get(offset)) for offset, n in acked[partition].items() if stored.get(offset) != n}
        assert not wrong, f"partition {partition}: acknowledged, and not there: {dict(list(wrong.items())[:5])} and {len(wrong)} in all"
        values = [stored[offset] for offset in sorted(stored)]
        assert values == sorted(set(values)), f"partition {partition}: a record twice, or out of order"
        assert sorted(stored) == list(range(len(stored))), f"partition {partition}: a gap in the offsets"
        total += len(values)
    assert total == sent
    print(f"{kills} kills, {sent} records")


def create(bootstrap: str, topic: str, partitions: int = 1):
    admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0})
    admin.create_topics([NewTopic(topic, partitions)])[topic].result(10)
    until("the topic is there", lambda: len(admin.list_topics(topic, timeout=5).topics[topic].partitions) == partitions)


@pytest.mark.restarts
def test_acknowledged_then_killed(client, server, topic, group):
    """Nothing but the acknowledgement lies between a record, or a commit, and the end of the process."""
    create(server.bootstrap, topic)
    everything = []
    for turn in range(2):
        values = [f"{turn}-{n}" for n in range(40)]
        went = client.produce(server.bootstrap, topic, values)
        server.kill()
        assert went == (["stored"] * 40 if client.name == "kcat" else list(range(len(everything), len(everything) + 40)))
        server.start()
        assert client.consume(server.bootstrap, topic, 40, group=group) == values, "the group does not read on where it committed"
        server.kill()
        server.start()
        everything += values
    client.produce(server.bootstrap, topic, ["end"])
    assert client.consume(server.bootstrap, topic, 1, group=group) == ["end"]
    stored = read(server.bootstrap, topic, 0, str)
    assert [stored[offset] for offset in sorted(stored)] == [*everything, "end"]


@pytest.mark.gateway
@pytest.mark.restarts
def test_a_retry_that_meets_the_next_process(client, server, topic):
    """Stored, never acknowledged, killed: the new process knows the producer's sequence, and takes the retry for what it is."""
    create(server.bootstrap, topic)
    values = [f"value-{n}" for n in range(20)]
    went = []

    def produce():
        try:
            went.extend(client.produce(server.bootstrap, topic, values))
        except LastBrokerGone:
            went.append("gone")

    policy = f"loss-{topic}"
    server.install(policy, f'expires("10m"); on_produce("{topic}").first(1).lose_response();')
    sender = threading.Thread(target=produce)
    sender.start()
    try:
        before = until("the first batch is stored", lambda: read(server.bootstrap, topic, 0, str), 10)
        assert server.rule(policy)["applied"] == 1 and not went
        server.kill()
    finally:
        (server.policies / f"{policy}.rhai").unlink()
    server.start()
    sender.join(60)
    stored = read(server.bootstrap, topic, 0, str)
    if client.name == "kcat":
        # It ends when the only broker it knows is gone.
        assert went == ["gone"] and stored == before
        return
    assert went == list(range(20))
    assert [stored[offset] for offset in sorted(stored)] == values


def read(bootstrap: str, topic: str, partition: int, kind=int) -> dict[int, int | str]:
    """Every record up to the end, by its offset."""
    reader = Consumer({"bootstrap.servers": bootstrap, "group.id": "reader", "enable.auto.commit": False, "fetch.wait.max.ms": 20})
    _, end = reader.get_watermark_offsets(TopicPartition(topic, partition), timeout=10)
    reader.assign([TopicPartition(topic, partition, 0)])
    stored = {}

    def enough():
        for message in reader.consume(5000, 0.2):
            assert message.error() is None, message.error()
            stored[message.offset()] = kind(message.value().decode())
        return reader.position([TopicPartition(topic, partition)])[0].offset >= end

    until(f"partition {partition} is read", lambda: end == 0 or enough(), 60)
    reader.close()
    return stored
