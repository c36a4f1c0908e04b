"""kill -9 under load, again and again: what was acknowledged is there, once, in order.

The page cache survives a killed process, so this proves recovery, producer state and committed offsets, not the disk's syncs:
those are proved by the storage simulator's tests.
"""

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
from support.wait import until

KILLS = int(os.environ.get("KILLS", "50"))
PARTITIONS = 3


class Witness:
    """The producer's report, followed as it grows."""

    def __init__(self, bootstrap: str, topic: str, report: Path):
        self.report = report
        report.touch()
        script = Path(__file__).parent / "support" / "steady_producer.py"
        self.process = subprocess.Popen([sys.executable, script, bootstrap, topic, str(PARTITIONS), report])

    def acknowledged(self) -> int:
        with open(self.report, "rb") as file:
            return file.read().count(b"\n")

    def alive(self):
        assert self.process.poll() is None, f"the producer ended: {self.report.read_text()[-300:]}"
        return True

    def finish(self) -> tuple[dict[int, dict[int, int]], int]:
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(90)
        *lines, last = self.report.read_text().splitlines()
        verdict, _, text = last.partition(" ")
        assert verdict == "done", last
        acked: dict[int, dict[int, int]] = defaultdict(dict)
        for line in lines:
            partition, offset, n = map(int, line.split())
            assert offset not in acked[partition], f"offset {offset} of partition {partition} was acknowledged for two records"
            acked[partition][offset] = n
        return acked, int(text)


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
def test_kill(server, topic, group, tmp_path):
    draw = random.Random(1)
    admin = AdminClient({"bootstrap.servers": server.bootstrap, "log_level": 0})
    admin.create_topics([NewTopic(topic, PARTITIONS)])[topic].result(10)
    until("the topic is there", lambda: len(admin.list_topics(topic, timeout=5).topics[topic].partitions) == PARTITIONS)
    witness = Witness(server.bootstrap, topic, tmp_path / "acknowledged")
    committer = Committer(server.bootstrap, group, topic)
    look = Consumer({"bootstrap.servers": server.bootstrap, "group.id": group, "reconnect.backoff.ms": 10, "reconnect.backoff.max.ms": 50, "log_level": 0})

    def committed():
        try:
            return {p.partition: p.offset for p in look.committed([TopicPartition(topic, p) for p in range(PARTITIONS)], timeout=5)}
        except KafkaException:
            return None

    try:
        for kill in range(KILLS):
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
    print(f"{KILLS} kills, {sent} records")


def read(bootstrap: str, topic: str, partition: int) -> dict[int, int]:
    reader = Consumer({"bootstrap.servers": bootstrap, "group.id": "reader", "enable.auto.commit": False, "fetch.wait.max.ms": 20})
    _, end = reader.get_watermark_offsets(TopicPartition(topic, partition), timeout=10)
    reader.assign([TopicPartition(topic, partition, 0)])
    stored: dict[int, int] = {}

    def enough():
        for message in reader.consume(5000, 0.2):
            assert message.error() is None, message.error()
            stored[message.offset()] = int(message.value())
        return reader.position([TopicPartition(topic, partition)])[0].offset >= end

    until(f"partition {partition} is read", lambda: end == 0 or enough(), 60)
    reader.close()
    return stored
