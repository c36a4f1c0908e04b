"""confluent-kafka (the newest librdkafka)."""

import logging
import threading

import pytest
from confluent_kafka import Consumer, ConsumerGroupState, IsolationLevel, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import (AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, ConfigSource, NewPartitions, NewTopic, OffsetSpec,
                                   ResourceType)
from confluent_kafka import ConsumerGroupTopicPartitions, TopicCollection
from support.wait import until

LOG = logging.getLogger("librdkafka")
FAST = {"reconnect.backoff.ms": 20, "reconnect.backoff.max.ms": 200, "topic.metadata.refresh.fast.interval.ms": 20}


@pytest.fixture
def admin(bootstrap):
    return AdminClient({"bootstrap.servers": bootstrap, **FAST}, logger=LOG)


def create(admin, topic, partitions=1, **config):
    new = NewTopic(topic, partitions, config={key.replace("_", "."): value for key, value in config.items()})
    admin.create_topics([new])[topic].result(10)
    until("the topic is there", lambda: len(admin.list_topics(topic, timeout=5).topics[topic].partitions) == partitions)


def producer(bootstrap, **config):
    return Producer({"bootstrap.servers": bootstrap, **FAST, **{key.replace("_", "."): value for key, value in config.items()}}, logger=LOG)


def consumer(bootstrap, group="none", **config):
    return Consumer({"bootstrap.servers": bootstrap, **FAST, "group.id": group, "auto.offset.reset": "earliest", "enable.auto.commit": False,
                     "fetch.wait.max.ms": 50, **{key.replace("_", "."): value for key, value in config.items()}}, logger=LOG)


def take(reader, count, seconds=20):
    """`count` messages, none of them an error."""
    got = []

    def enough():
        for message in reader.consume(count - len(got), 0.2):
            assert message.error() is None, message.error()
            got.append(message)
        return len(got) >= count

    until(f"{count} messages", enough, seconds)
    return got


def everything(bootstrap, topic, count, partition=0):
    reader = consumer(bootstrap)
    reader.assign([TopicPartition(topic, partition, 0)])
    got = take(reader, count)
    assert reader.get_watermark_offsets(TopicPartition(topic, partition), timeout=10)[1] == got[-1].offset() + 1
    reader.close()
    return got


@pytest.mark.parametrize("compression", ["none", "gzip", "snappy", "lz4", "zstd"])
@pytest.mark.parametrize("acks, idempotence", [("all", True), ("1", False)])
def test_produce(bootstrap, admin, topic, compression, acks, idempotence):
    create(admin, topic)
    values = [f'{{"n":{n},"text":"{"tollgate " * 20}{n * 31 % 97}"}}'.encode() for n in range(500)]
    offsets = []
    sender = producer(bootstrap, acks=acks, enable_idempotence=idempotence, compression_type=compression, linger_ms=5, batch_size=4096)
    for n, value in enumerate(values):
        sender.produce(topic, value, f"key-{n}", partition=0, timestamp=1_700_000_000_000 + n, headers=[("number", str(n).encode())],
                       on_delivery=lambda error, message: offsets.append((error, message.offset())))
    assert sender.flush(20) == 0
    assert offsets == [(None, n) for n in range(500)]
    for n, message in enumerate(everything(bootstrap, topic, 500)):
        assert (message.offset(), message.value(), message.key()) == (n, values[n], f"key-{n}".encode())
        assert message.timestamp()[1] == 1_700_000_000_000 + n
        assert message.headers() == [("number", str(n).encode())]


def test_produce_without_acks(bootstrap, admin, topic):
    create(admin, topic)
    sender = producer(bootstrap, acks="0")
    for n in range(100):
        sender.produce(topic, str(n), partition=0)
    assert sender.flush(20) == 0
    assert [message.value() for message in everything(bootstrap, topic, 100)] == [str(n).encode() for n in range(100)]


def test_produce_creates_the_topic(bootstrap, topic):
    sender = producer(bootstrap)
    errors = []
    sender.produce(topic, "x", on_delivery=lambda error, _: errors.append(error))
    assert sender.flush(20) == 0 and errors == [None]
    assert everything(bootstrap, topic, 1)[0].value() == b"x"


@pytest.mark.parametrize("compression", ["none", "lz4"])
def test_record_shapes(bootstrap, admin, topic, compression):
    create(admin, topic)
    large = bytes(n * 7 % 251 for n in range(900_000))
    headers = [("trace", b"1"), ("other", None), ("trace", b"2"), ("empty", b""), ("trace", b"1"), ("grüße", "ä".encode())]
    shapes = [(None, b"value", None), (b"key", None, None), (None, None, None), (b"", b"", None), (b"headers", b"x", headers), (b"large", large, None)]
    sender = producer(bootstrap, compression_type=compression)
    for key, value, extra in shapes:
        sender.produce(topic, value, key, partition=0, headers=extra)
    assert sender.flush(20) == 0
    assert [(m.key(), m.value(), m.headers()) for m in everything(bootstrap, topic, len(shapes))] == shapes


def test_too_large(bootstrap, admin, topic):
    create(admin, topic, max_message_bytes="2000")
    errors = []
    sender = producer(bootstrap)
    sender.produce(topic, bytes(5000), on_delivery=lambda error, _: errors.append(error.code()))
    assert sender.flush(20) == 0 and errors == [KafkaError.MSG_SIZE_TOO_LARGE]


def test_consume_alone(bootstrap, admin, topic):
    create(admin, topic)
    sender = producer(bootstrap)
    for n in range(50):
        sender.produce(topic, str(n), partition=0, timestamp=1_700_000_000_000 + n * 1000)
    assert sender.flush(20) == 0
    reader = consumer(bootstrap, enable_partition_eof=True)
    partition = TopicPartition(topic, 0)
    assert reader.get_watermark_offsets(partition, timeout=10) == (0, 50)
    found = reader.offsets_for_times([TopicPartition(topic, 0, 1_700_000_041_500)], timeout=10)[0]
    assert found.offset == 42
    reader.assign([TopicPartition(topic, 0, 42)])
    assert [m.value() for m in take(reader, 8)] == [str(n).encode() for n in range(42, 50)]
    end = until("the end of the partition", lambda: reader.poll(0.2))
    assert end.error().code() == KafkaError._PARTITION_EOF
    reader.seek(TopicPartition(topic, 0, 3))
    assert take(reader, 1)[0].value() == b"3"
    reader.pause([partition])
    assert reader.poll(0.2) is None
    reader.resume([partition])
    until("it reads on", lambda: reader.poll(0.2))
    reader.close()
    strict = consumer(bootstrap, auto_offset_reset="error")
    strict.assign([TopicPartition(topic, 0, 500)])
    error = until("an error", lambda: strict.poll(0.2)).error()
    assert error.code() == KafkaError._AUTO_OFFSET_RESET
    strict.close()


def test_read_committed(bootstrap, admin, topic):
    """Without transactions it is no different, but asks differently."""
    create(admin, topic)
    sender = producer(bootstrap)
    for n in range(5):
        sender.produce(topic, str(n), partition=0)
    assert sender.flush(20) == 0
    reader = consumer(bootstrap, isolation_level="read_committed")
    reader.assign([TopicPartition(topic, 0, 0)])
    assert len(take(reader, 5)) == 5
    reader.close()


class Member:
    """A group member polled by a thread, which commits what it was given."""

    def __init__(self, bootstrap, group, topic, assignor, **config):
        self.reader = consumer(bootstrap, group, partition_assignment_strategy=assignor, session_timeout_ms=6000, heartbeat_interval_ms=100, **config)
        self.cooperative = "cooperative" in assignor
        self.owned: set[int] = set()
        self.revoked: list[int] = []
        self.values: list[bytes] = []
        self.broken: Exception | None = None
        self._stop = threading.Event()
        self.reader.subscribe([topic], on_assign=self._assigned, on_revoke=self._gone, on_lost=self._gone)
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _assigned(self, reader, partitions):
        (reader.incremental_assign if self.cooperative else reader.assign)(partitions)
        self.owned |= {p.partition for p in partitions}

    def _gone(self, reader, partitions):
        if self.values:
            try:
                reader.commit(asynchronous=False)
            except KafkaException as error:
                if error.args[0].code() != KafkaError._NO_OFFSET:
                    raise
        self.owned -= {p.partition for p in partitions}
        self.revoked.append(len(partitions))
        (reader.incremental_unassign(partitions) if self.cooperative else reader.unassign())

    def _run(self):
        try:
            while not self._stop.is_set():
                message = self.reader.poll(0.05)
                if message is not None:
                    assert message.error() is None, message.error()
                    self.values.append(message.value())
        except Exception as error:  # shown by leave()
            self.broken = error

    def leave(self):
        self._stop.set()
        self._thread.join(20)
        self.reader.close()
        if self.broken:
            raise self.broken


def settled(partitions, *members):
    owned = [set(member.owned) for member in members]
    return sum(map(len, owned)) == len(set().union(*owned)) == partitions and min(map(len, owned)) >= partitions // len(members)


def spread(bootstrap, topic, start, count):
    sender = producer(bootstrap)
    for n in range(start, start + count):
        sender.produce(topic, str(n), partition=n % 4)
    assert sender.flush(20) == 0


@pytest.mark.parametrize("assignor", ["range", "roundrobin", "cooperative-sticky"])
def test_rebalance(bootstrap, admin, topic, group, assignor):
    create(admin, topic, 4)
    first = Member(bootstrap, group, topic, assignor)
    second = None
    try:
        until("the first member owns all", lambda: settled(4, first), 30)
        spread(bootstrap, topic, 0, 100)
        until("it read them", lambda: len(first.values) == 100, 20)
        second = Member(bootstrap, group, topic, assignor)
        until("two members share", lambda: settled(4, first, second), 30)
        assert max(first.revoked) == (2 if first.cooperative else 4)
        described = admin.describe_consumer_groups([group])[group].result(10)
        assert described.state == ConsumerGroupState.STABLE and len(described.members) == 2
        assert described.partition_assignor == assignor
        assert sorted(p.partition for m in described.members for p in m.assignment.topic_partitions) == [0, 1, 2, 3]
        spread(bootstrap, topic, 100, 100)
        until("they read them", lambda: len(first.values) + len(second.values) >= 200, 20)
        assert second.values
        second.leave()
        until("the first owns all again", lambda: settled(4, first), 30)
        spread(bootstrap, topic, 200, 100)
        until("all are read", lambda: len(first.values) + len(second.values) >= 300, 20)
        assert sorted(int(v) for v in first.values + second.values) == list(range(300)), "each once"
    finally:
        first.leave()
        if second and not second._stop.is_set():
            second.leave()


def test_static_members(bootstrap, admin, topic, group):
    create(admin, topic, 4)
    first = Member(bootstrap, group, topic, "range", group_instance_id="one")
    second = Member(bootstrap, group, topic, "range", group_instance_id="two")
    again = None

    def ids():
        return {m.group_instance_id: m.member_id for m in admin.describe_consumer_groups([group])[group].result(10).members}

    try:
        until("two members share", lambda: settled(4, first, second), 30)
        rebalances, had, were = len(first.revoked), set(second.owned), ids()
        second.leave()
        assert ids() == were, "a static member that closes does not leave"
        again = Member(bootstrap, group, topic, "range", group_instance_id="two")
        until("it has its partitions again", lambda: again.owned == had, 30)
        assert len(first.revoked) == rebalances, "the other member was disturbed"
        assert ids()["one"] == were["one"] and ids()["two"] != were["two"]
    finally:
        first.leave()
        if again:
            again.leave()


def test_commits(bootstrap, admin, topic, group):
    create(admin, topic, 2)
    reader = consumer(bootstrap, group)
    reader.assign([TopicPartition(topic, 0), TopicPartition(topic, 1)])
    done = reader.commit(offsets=[TopicPartition(topic, 0, 7, "half way", 0)], asynchronous=False)
    assert done[0].error is None
    kept, none = reader.committed([TopicPartition(topic, 0), TopicPartition(topic, 1)], timeout=10)
    assert (kept.offset, kept.metadata, kept.leader_epoch) == (7, "half way", 0)
    assert none.offset == -1001
    reader.close()


@pytest.mark.restarts
@pytest.mark.parametrize("how", ["sync", "async", "auto", "stored"])
def test_resume_after_a_restart(bootstrap, admin, topic, group, server, how):
    create(admin, topic)
    sender = producer(bootstrap, enable_idempotence=True)
    for n in range(10):
        sender.produce(topic, str(n), partition=0)
    assert sender.flush(20) == 0

    config = {"enable_auto_commit": how in ("auto", "stored"), "enable_auto_offset_store": how != "stored"}
    reader = consumer(bootstrap, group, **config)
    reader.subscribe([topic])
    got = take(reader, 6)
    assert [m.value() for m in got] == [str(n).encode() for n in range(6)]
    if how == "sync":
        reader.commit(message=got[-1], asynchronous=False)
    if how == "async":
        reader.commit(message=got[-1])  # close() waits for it
    if how == "stored":
        reader.store_offsets(message=got[-1])
    reader.close()

    server.restart()
    # The same producer instance goes on: the server still knows its sequence.
    reports = []
    for n in range(10, 14):
        sender.produce(topic, str(n), partition=0, on_delivery=lambda error, message: reports.append((error, message.offset())))
    assert sender.flush(30) == 0
    assert reports == [(None, n) for n in range(10, 14)]
    reader = consumer(bootstrap, group, **config)
    reader.subscribe([topic])
    assert [m.value() for m in take(reader, 8)] == [str(n).encode() for n in range(6, 14)]
    reader.close()


def test_admin_topics(bootstrap, admin, topic):
    create(admin, topic, 2, retention_ms="7200000")
    with pytest.raises(KafkaException) as again:
        admin.create_topics([NewTopic(topic, 1)])[topic].result(10)
    assert again.value.args[0].code() == KafkaError.TOPIC_ALREADY_EXISTS
    with pytest.raises(KafkaException) as bad:
        admin.create_topics([NewTopic("no good", 1)])["no good"].result(10)
    assert bad.value.args[0].code() == KafkaError.TOPIC_EXCEPTION
    described = admin.describe_topics(TopicCollection([topic]))[topic].result(10)
    assert len(described.partitions) == 2 and not described.is_internal and str(described.topic_id)
    admin.create_partitions([NewPartitions(topic, 4)])[topic].result(10)
    until("four partitions", lambda: len(admin.list_topics(topic, timeout=5).topics[topic].partitions) == 4)
    admin.delete_topics([topic])[topic].result(10)
    until("it is gone", lambda: topic not in admin.list_topics(timeout=5).topics)
    with pytest.raises(KafkaException) as gone:
        admin.delete_topics([topic])[topic].result(10)
    assert gone.value.args[0].code() == KafkaError.UNKNOWN_TOPIC_OR_PART


def test_admin_cluster(bootstrap, admin):
    cluster = admin.describe_cluster().result(10)
    (node,) = cluster.nodes
    assert f"{node.host}:{node.port}" == bootstrap
    assert cluster.controller.id == node.id and len(cluster.cluster_id) > 5


def test_admin_configs(admin, topic):
    create(admin, topic)
    resource = lambda *entries: ConfigResource(ResourceType.TOPIC, topic, incremental_configs=list(entries) or None)
    describe = lambda: admin.describe_configs([ConfigResource(ResourceType.TOPIC, topic)])[ConfigResource(ResourceType.TOPIC, topic)].result(10)
    before = describe()["retention.ms"]
    assert (before.value, before.is_default, before.source) == ("604800000", True, ConfigSource.DEFAULT_CONFIG.value)
    entry = ConfigEntry("retention.ms", "60000", incremental_operation=AlterConfigOpType.SET)
    next(iter(admin.incremental_alter_configs([resource(entry)]).values())).result(10)
    until("the change is seen", lambda: describe()["retention.ms"].value == "60000")
    assert describe()["retention.ms"].source == ConfigSource.DYNAMIC_TOPIC_CONFIG.value
    entry = ConfigEntry("retention.ms", None, incremental_operation=AlterConfigOpType.DELETE)
    next(iter(admin.incremental_alter_configs([resource(entry)]).values())).result(10)
    until("the default is back", lambda: describe()["retention.ms"].value == "604800000")
    entry = ConfigEntry("retention.ms", "soon", incremental_operation=AlterConfigOpType.SET)
    with pytest.raises(KafkaException) as bad:
        next(iter(admin.incremental_alter_configs([resource(entry)]).values())).result(10)
    assert bad.value.args[0].code() == KafkaError.INVALID_CONFIG


def test_admin_offsets(bootstrap, admin, topic):
    create(admin, topic)
    sender = producer(bootstrap, linger_ms=0)
    for n in range(10):
        sender.produce(topic, str(n), partition=0, timestamp=1_000_000 + (500 if n == 4 else n))
        assert sender.flush(20) == 0
    partition = TopicPartition(topic, 0)
    at = lambda spec: admin.list_offsets({partition: spec}, isolation_level=IsolationLevel.READ_UNCOMMITTED)[partition].result(10)
    assert at(OffsetSpec.earliest()).offset == 0 and at(OffsetSpec.latest()).offset == 10
    assert (at(OffsetSpec.max_timestamp()).offset, at(OffsetSpec.max_timestamp()).timestamp) == (4, 1_000_500)
    assert at(OffsetSpec.for_timestamp(1_000_003)).offset == 3
    assert admin.delete_records([TopicPartition(topic, 0, 4)])[partition].result(10).low_watermark == 4
    assert at(OffsetSpec.earliest()).offset == 4


def test_admin_groups(bootstrap, admin, topic, group):
    create(admin, topic, 2)
    wanted = ConsumerGroupTopicPartitions(group, [TopicPartition(topic, 0, 3), TopicPartition(topic, 1, 5)])
    admin.alter_consumer_group_offsets([wanted])[group].result(10)
    offsets = admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(group)])[group].result(10)
    assert {(p.partition, p.offset) for p in offsets.topic_partitions} == {(0, 3), (1, 5)}
    listed = admin.list_consumer_groups().result(10)
    assert group in {one.group_id for one in listed.valid} and not listed.errors
    assert admin.describe_consumer_groups([group])[group].result(10).state == ConsumerGroupState.EMPTY
    admin.delete_consumer_groups([group])[group].result(10)
    with pytest.raises(KafkaException) as gone:
        admin.delete_consumer_groups([group])[group].result(10)
    assert gone.value.args[0].code() == KafkaError.GROUP_ID_NOT_FOUND
