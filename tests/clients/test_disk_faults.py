"""The embedded broker's disk fails on purpose; what a real client is told of it, and what is there afterwards."""

import json
import time

import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic
from support import servers
from support.wait import until

pytestmark = pytest.mark.gateway


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with servers.running(tmp_path_factory.mktemp("server"), "always", allow_crash=True) as server:
        yield server


@pytest.fixture
def made(bootstrap, topic):
    """The test's topic, with two partitions."""
    admin = AdminClient({"bootstrap.servers": bootstrap})
    (future,) = admin.create_topics([NewTopic(topic, 2, 1)]).values()
    future.result(30)
    return topic


class Sender:
    """One record after the other, each told to be stored or not."""

    def __init__(self, bootstrap, **settings):
        usual = {"bootstrap.servers": bootstrap, "linger.ms": 0, "client.id": "disk", "message.timeout.ms": 60_000}
        self.producer = Producer(usual | {key.replace("_", "."): value for key, value in settings.items()})

    def begin(self, topic, value, partition=0) -> list:
        """What is told of it will be in the list: the error, or None, and the offset."""
        told = []
        self.producer.produce(topic, value, partition=partition, on_delivery=lambda error, record: told.append((error, record.offset())))
        self.producer.poll(0)
        return told

    def send(self, topic, value, partition=0):
        """How many seconds it took, what failed, and the offset."""
        start = time.monotonic()
        told = self.begin(topic, value, partition)
        assert self.producer.flush(70) == 0
        ((error, offset),) = told
        return time.monotonic() - start, error.code() if error else None, offset


def read(bootstrap, topic, partition, count, **settings):
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "unused", "auto.offset.reset": "earliest", **settings})
    consumer.assign([TopicPartition(topic, partition, 0)])
    values, end = [], time.monotonic() + 30
    while len(values) < count and time.monotonic() < end:
        if record := consumer.poll(0.5):
            if record.error():
                raise KafkaException(record.error())
            values.append(record.value().decode())
    consumer.close()
    return values


def journalled(server, fault, topic):
    lines = [json.loads(line) for line in (server.folder / "data" / "journal.jsonl").read_text().splitlines()]
    return [line for line in lines if line.get("fault") == fault and topic in line["subject"]]


@pytest.mark.parametrize("operation", ["append", "sync"])
def test_slow_disk(server, bootstrap, made, under, operation):
    """Acknowledgements are late, and only those of the partition it is about."""
    sender = Sender(bootstrap)
    assert all(sender.send(made, "warm", partition)[1] is None for partition in (0, 1))
    with under(f'on_disk("TOPIC").partition(0).operation("{operation}").slow_disk("600ms")'):
        late = [sender.send(made, f"late {n}") for n in range(3)]
        begun = sender.begin(made, "last")
        quick, error, _ = sender.send(made, "quick", partition=1)
    assert [(error, offset) for _, error, offset in late] == [(None, n + 1) for n in range(3)]
    assert all(0.6 <= took < 5 for took, *_ in late), late
    assert error is None and begun == [(None, 4)]
    entries = journalled(server, "slow_disk", made)
    assert [entry["parameter"] for entry in entries] == ["600ms"] * 4 and entries[0]["subject"] == f"broker disk {operation} {made}-0"


def test_slow_disk_ends_with_its_rule(server, bootstrap, made):
    """What waits when the rule goes is told at once."""
    sender = Sender(bootstrap)
    with server.policy("slow", f'expires("10m"); on_disk("{made}").operation("append").slow_disk("50m");'):
        told = sender.begin(made, "held")
        until("the write waits", lambda: server.rule("slow")["applied"] == 1)
        assert sender.producer.flush(0.5) == 1 and not told
    assert sender.producer.flush(10) == 0
    assert told == [(None, 0)]


@pytest.mark.parametrize("fault", ["disk_full", "fsync_error"])
def test_a_disk_that_fails(server, bootstrap, made, under, fault):
    """The producer is told Kafka's storage error; the partition has no leader then, and the other one goes on; what was acknowledged
    is read again after a restart."""
    sender = Sender(bootstrap, retries=0, enable_idempotence=False, message_timeout_ms=3000)
    assert [sender.send(made, f"good {n}")[1] for n in range(3)] == [None] * 3
    with under(f'on_disk("TOPIC").partition(0).first(1).{fault}()'):
        assert sender.send(made, "lost")[1] == KafkaError.KAFKA_STORAGE_ERROR
    # The rule is gone, what it did is not.
    assert sender.send(made, "late")[1] in (KafkaError._MSG_TIMED_OUT, KafkaError.KAFKA_STORAGE_ERROR)
    leaders = {p.id: p.leader for p in AdminClient({"bootstrap.servers": bootstrap}).list_topics(made).topics[made].partitions.values()}
    assert leaders == {0: -1, 1: 1}
    assert Sender(bootstrap).send(made, "beside", partition=1)[1:] == (None, 0)
    server.restart()
    # What was written and not synced may be there; nobody was told.
    assert read(bootstrap, made, 0, 3) == [f"good {n}" for n in range(3)]
    assert Sender(bootstrap).send(made, "again")[1] is None
    assert read(bootstrap, made, 1, 1) == ["beside"]


@pytest.mark.parametrize("rule", ['on_produce("TOPIC").first(1).pause("1500ms")', 'on_broker().during("0s", "1500ms").pause()'], ids=["exchange", "broker"])
def test_pause(server, bootstrap, made, under, rule):
    """Nothing is answered, then everything."""
    sender, other = Sender(bootstrap), Sender(bootstrap)
    assert sender.send(made, "warm")[1] is None and other.send(made, "warm", partition=1)[1] is None
    start = time.monotonic()
    with under(rule):
        first = sender.begin(made, "held")
        until("the broker stands still", lambda: server.rule(f"rules-{made}")["applied"] == 1)
        second = other.begin(made, "held as well", partition=1)
        assert other.producer.flush(0.5) == 1 and not first and not second
        assert sender.producer.flush(30) == 0 and other.producer.flush(30) == 0
        took = time.monotonic() - start
    assert first == [(None, 1)] and second == [(None, 1)]
    assert 1.3 <= took < 10, took
    assert sender.send(made, "after")[0] < 1


def test_a_pause_ends_with_its_rule(server, bootstrap, made):
    sender = Sender(bootstrap)
    assert sender.send(made, "warm")[1] is None
    with server.policy("pause", f'expires("10m"); on_produce("{made}").pause("50m");'):
        told = sender.begin(made, "held")
        until("the broker stands still", lambda: server.rule("pause")["applied"] == 1)
        assert sender.producer.flush(0.5) == 1 and not told
    assert sender.producer.flush(10) == 0 and told == [(None, 1)]


def test_truncate_log(server, bootstrap, made, under):
    """Acknowledged and gone: offsets are given again, in a later epoch; a consumer that was further is told so and reset."""
    sender = Sender(bootstrap)
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": f"of-{made}", "auto.offset.reset": "earliest"})
    consumer.assign([TopicPartition(made, 0, 0)])
    seen = []

    def consumed(count):
        while len(seen) < count and (record := consumer.poll(20)):
            assert not record.error(), record.error()
            seen.append((record.offset(), record.value().decode()))
        return seen[-1]

    with under('on_produce("TOPIC").partition(0).nth(8).truncate_log(5)'):
        assert [sender.send(made, f"old {n}")[1:] for n in range(7)] == [(None, n) for n in range(7)]
        assert consumed(7) == (6, "old 6")
        assert sender.send(made, "old 7")[1:] == (None, 7), "what is lost was acknowledged"
        # Offsets are given again.
        assert [sender.send(made, f"new {n}")[1:] for n in range(2)] == [(None, 3), (None, 4)]
    assert consumer.get_watermark_offsets(TopicPartition(made, 0)) == (0, 5)
    values = ["old 0", "old 1", "old 2", "new 0", "new 1"]
    assert read(bootstrap, made, 0, 5) == values
    # It was at 7 or 8: out of range, so it begins again.
    assert consumed(len(seen) + 5) == (4, "new 1")
    consumer.close()
    server.restart()
    assert read(bootstrap, made, 0, 5) == values
    assert sender.send(made, "later")[1:] == (None, 5)


def test_truncate_log_and_an_idempotent_producer(server, bootstrap, made, under):
    """What it sent last is gone, though it was acknowledged: the broker finds a gap, and the producer says that it lost records."""
    sender = Sender(bootstrap, enable_idempotence=True)
    with under('on_produce("TOPIC").partition(0).nth(6).truncate_log(3)'):
        assert [sender.send(made, f"old {n}")[1:] for n in range(6)] == [(None, n) for n in range(6)]
        sender.producer.produce(made, "behind a gap", partition=0)
        with pytest.raises(KafkaException) as failed:
            sender.producer.flush(30)
    error = failed.value.args[0]
    assert error.fatal() and error.code() == KafkaError.OUT_OF_ORDER_SEQUENCE_NUMBER, error
    assert Sender(bootstrap, enable_idempotence=True).send(made, "new")[1:] == (None, 3)
    assert read(bootstrap, made, 0, 4) == ["old 0", "old 1", "old 2", "new"]


def test_truncate_log_of_many_segments(server, bootstrap, made, under):
    """Everything may go, over several segments, and a killed process finds the same."""
    admin = AdminClient({"bootstrap.servers": bootstrap})
    name = f"{made}-segments"
    admin.create_topics([NewTopic(name, 1, 1, config={"segment.bytes": "1048576"})])[name].result(30)
    sender = Sender(bootstrap)
    with server.policy("cut", f'expires("10m"); on_produce("{name}").nth(40).truncate_log(25); on_produce("{name}").nth(50).truncate_log(1000);'):
        assert [sender.send(name, f"{n:0200000}")[2] for n in range(40)] == list(range(40))
        assert sender.send(name, "fifteen")[1:] == (None, 15)
        server.kill()
        server.start()
        assert read(bootstrap, name, 0, 16) == [f"{n:0200000}" for n in range(15)] + ["fifteen"]
    with server.policy("cut", f'expires("10m"); on_produce("{name}").nth(1).truncate_log(1000);'):
        assert sender.send(name, "sixteen")[1:] == (None, 16)
        assert sender.send(name, "first")[1:] == (None, 0)
    assert read(bootstrap, name, 0, 1) == ["first"]


@pytest.mark.parametrize("operation, point, there", [
    ("append", "before", False), ("append", "after", True), ("sync", "before", True), ("sync", "after", True),
])
def test_crash_at(server, bootstrap, made, operation, point, there):
    """What was acknowledged is there after the process died at a point of a write; the point says what of the last one is."""
    sender = Sender(bootstrap, enable_idempotence=False, retries=0, message_timeout_ms=5000)
    assert [sender.send(made, f"told {n}")[1] for n in range(3)] == [None] * 3
    rule = f'expires("10m"); on_disk("{made}").operation("{operation}").nth(2).crash_at("{point}");'
    server.install("crash", rule)
    try:
        assert sender.send(made, "told 3")[1] is None
        _, error, _ = sender.send(made, "untold")
        assert error is not None
        assert server.process.wait(10) == -9, "as a kill"
        server.process = None
    finally:
        (server.policies / "crash.rhai").unlink()
    server.start()
    told = [f"told {n}" for n in range(4)]
    assert Sender(bootstrap).send(made, "after")[1:] == (None, 4 + there)
    assert read(bootstrap, made, 0, 5 + there) == told + ["untold"] * there + ["after"]
    (entry,) = journalled(server, "crash_at", made)
    assert entry["parameter"] == point and entry["subject"].startswith(f"broker disk {operation} ")


def test_a_crash_must_be_allowed(tmp_path):
    with servers.running(tmp_path, "none") as server:
        with pytest.raises(AssertionError, match="ends the whole process.*--allow-crash"):
            server.install("crash", 'expires("10m"); on_disk().crash_at("before");')
