"""aiokafka (pure Python, a protocol implementation of its own)."""

import asyncio

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRebalanceListener, OffsetAndMetadata, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
from aiokafka.coordinator.assignors.sticky.sticky_assignor import StickyPartitionAssignor
from aiokafka.errors import KafkaError, MessageSizeTooLargeError, OffsetOutOfRangeError, TopicAlreadyExistsError


async def until(what, holds, seconds=20.0):
    async with asyncio.timeout(seconds):
        while not holds():
            await asyncio.sleep(0.01)
    return True


async def create(bootstrap, topic, partitions=1):
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        answer = await admin.create_topics([NewTopic(topic, partitions, 1)])
        assert answer.topic_errors[0][1] == 0, answer
        async with asyncio.timeout(15):
            while True:
                (seen,) = await admin.describe_topics([topic])
                if seen["error_code"] == 0 and len(seen["partitions"]) == partitions:
                    return
    finally:
        await admin.close()


async def everything(bootstrap, topic, count, partition=0):
    reader = AIOKafkaConsumer(bootstrap_servers=bootstrap, enable_auto_commit=False, auto_offset_reset="earliest", fetch_max_wait_ms=50)
    await reader.start()
    try:
        where = TopicPartition(topic, partition)
        reader.assign([where])
        await reader.seek_to_beginning(where)
        records = []
        async with asyncio.timeout(20):
            while len(records) < count:
                for batch in (await reader.getmany(timeout_ms=200)).values():
                    records += batch
        assert (await reader.end_offsets([where]))[where] == records[-1].offset + 1
        return records
    finally:
        await reader.stop()


@pytest.mark.parametrize("compression", [None, "gzip", "snappy", "lz4", "zstd"])
@pytest.mark.parametrize("acks, idempotence", [("all", True), (1, False)])
def test_produce(bootstrap, topic, compression, acks, idempotence):
    async def run():
        await create(bootstrap, topic)
        values = [f'{{"n":{n},"text":"{"tollgate " * 20}{n * 31 % 97}"}}'.encode() for n in range(300)]
        async with AIOKafkaProducer(bootstrap_servers=bootstrap, acks=acks, enable_idempotence=idempotence, compression_type=compression, linger_ms=5,
                                    max_batch_size=4096) as sender:
            sent = [await sender.send(topic, value, f"key-{n}".encode(), 0, 1_700_000_000_000 + n, [("number", str(n).encode())])
                    for n, value in enumerate(values)]
            assert [(await one).offset for one in sent] == list(range(300))
        for n, record in enumerate(await everything(bootstrap, topic, 300)):
            assert (record.offset, record.value, record.key, record.timestamp) == (n, values[n], f"key-{n}".encode(), 1_700_000_000_000 + n)
            assert record.headers == (("number", str(n).encode()),)

    asyncio.run(run())


def test_produce_without_acks(bootstrap, topic):
    async def run():
        await create(bootstrap, topic)
        async with AIOKafkaProducer(bootstrap_servers=bootstrap, acks=0) as sender:
            for n in range(50):
                await sender.send_and_wait(topic, str(n).encode(), partition=0)
        assert [r.value for r in await everything(bootstrap, topic, 50)] == [str(n).encode() for n in range(50)]

    asyncio.run(run())


def test_record_shapes(bootstrap, topic):
    large = bytes(n * 7 % 251 for n in range(900_000))
    headers = (("trace", b"1"), ("other", b""), ("trace", b"2"), ("trace", b"1"), ("grüße", "ä".encode()))
    shapes = [(None, b"value", ()), (b"key", None, ()), (b"", b"", ()), (b"headers", b"x", headers), (b"large", large, ())]

    async def run():
        await create(bootstrap, topic)
        async with AIOKafkaProducer(bootstrap_servers=bootstrap) as sender:
            for key, value, extra in shapes:
                await sender.send_and_wait(topic, value, key, 0, headers=list(extra))
        assert [(r.key, r.value, r.headers) for r in await everything(bootstrap, topic, len(shapes))] == shapes

    asyncio.run(run())


def test_too_large(bootstrap, topic):
    async def run():
        await create(bootstrap, topic)
        async with AIOKafkaProducer(bootstrap_servers=bootstrap, max_request_size=5_000_000) as sender:
            with pytest.raises(MessageSizeTooLargeError):
                await sender.send_and_wait(topic, bytes(2_000_000), partition=0)

    asyncio.run(run())


def test_consume_alone(bootstrap, topic):
    async def run():
        await create(bootstrap, topic)
        async with AIOKafkaProducer(bootstrap_servers=bootstrap) as sender:
            for n in range(50):
                await sender.send_and_wait(topic, str(n).encode(), partition=0, timestamp_ms=1_700_000_000_000 + n * 1000)
        where = TopicPartition(topic, 0)
        async with AIOKafkaConsumer(bootstrap_servers=bootstrap, enable_auto_commit=False, auto_offset_reset="none", fetch_max_wait_ms=50) as reader:
            reader.assign([where])
            assert (await reader.beginning_offsets([where]))[where] == 0
            assert (await reader.end_offsets([where]))[where] == 50
            found = (await reader.offsets_for_times({where: 1_700_000_041_500}))[where]
            assert (found.offset, found.timestamp) == (42, 1_700_000_042_000)
            reader.seek(where, 42)
            async with asyncio.timeout(20):
                assert [(await reader.getone()).value for _ in range(8)] == [str(n).encode() for n in range(42, 50)]
            reader.seek(where, 3)
            async with asyncio.timeout(20):
                assert (await reader.getone()).value == b"3"
            reader.seek(where, 500)
            with pytest.raises(OffsetOutOfRangeError):
                async with asyncio.timeout(20):
                    await reader.getone()

    asyncio.run(run())


class Member(ConsumerRebalanceListener):
    def __init__(self, bootstrap, group, topic, assignor, instance=None):
        self.reader = AIOKafkaConsumer(bootstrap_servers=bootstrap, group_id=group, group_instance_id=instance, auto_offset_reset="earliest",
                                       enable_auto_commit=False, partition_assignment_strategy=[assignor], session_timeout_ms=6000,
                                       heartbeat_interval_ms=100, fetch_max_wait_ms=50, rebalance_timeout_ms=10_000)
        self.topic = topic
        self.owned: set[int] = set()
        self.rebalances = 0
        self.values: list[bytes] = []

    async def start(self):
        self.reader.subscribe([self.topic], listener=self)
        await self.reader.start()
        self.task = asyncio.create_task(self._run())
        return self

    async def on_partitions_revoked(self, revoked):
        if self.values and revoked:
            await self.reader.commit()
        self.owned = set()

    async def on_partitions_assigned(self, assigned):
        self.owned = {p.partition for p in assigned}
        self.rebalances += 1

    async def _run(self):
        while True:
            for batch in (await self.reader.getmany(timeout_ms=50)).values():
                self.values += [record.value for record in batch]

    async def leave(self):
        self.task.cancel()
        await asyncio.wait([self.task])
        assert self.task.cancelled() or self.task.exception() is None, self.task.exception()
        if self.values:
            await self.reader.commit()
        await self.reader.stop()


def settled(partitions, *members):
    owned = [member.owned for member in members]
    return sum(map(len, owned)) == len(set().union(*owned)) == partitions and min(map(len, owned)) >= partitions // len(members)


async def spread(bootstrap, topic, start, count):
    async with AIOKafkaProducer(bootstrap_servers=bootstrap) as sender:
        for n in range(start, start + count):
            await sender.send(topic, str(n).encode(), partition=n % 4)


@pytest.mark.parametrize("assignor", [RangePartitionAssignor, RoundRobinPartitionAssignor, StickyPartitionAssignor])
def test_rebalance(bootstrap, topic, group, assignor):
    async def run():
        await create(bootstrap, topic, 4)
        first = await Member(bootstrap, group, topic, assignor).start()
        await until("the first member owns all", lambda: settled(4, first))
        await spread(bootstrap, topic, 0, 100)
        await until("it read them", lambda: len(first.values) == 100)
        second = await Member(bootstrap, group, topic, assignor).start()
        await until("two members share", lambda: settled(4, first, second))
        await spread(bootstrap, topic, 100, 100)
        await until("they read them", lambda: len(first.values) + len(second.values) >= 200)
        assert second.values
        await second.leave()
        await until("the first owns all again", lambda: settled(4, first))
        await spread(bootstrap, topic, 200, 100)
        await until("all are read", lambda: len(first.values) + len(second.values) >= 300)
        await first.leave()
        assert sorted(int(v) for v in first.values + second.values) == list(range(300)), "each once"

    asyncio.run(run())


def test_static_member(bootstrap, topic, group):
    async def run():
        await create(bootstrap, topic, 4)
        first = await Member(bootstrap, group, topic, RangePartitionAssignor, "one").start()
        second = await Member(bootstrap, group, topic, RangePartitionAssignor, "two").start()
        await until("two members share", lambda: settled(4, first, second))
        rebalances, had = first.rebalances, second.owned
        await second.leave()
        again = await Member(bootstrap, group, topic, RangePartitionAssignor, "two").start()
        await until("it has its partitions again", lambda: again.owned == had)
        assert first.rebalances == rebalances, "the other member was disturbed"
        await again.leave()
        await first.leave()

    asyncio.run(run())


def test_commit_with_metadata(bootstrap, topic, group):
    async def run():
        await create(bootstrap, topic)
        where = TopicPartition(topic, 0)
        async with AIOKafkaConsumer(bootstrap_servers=bootstrap, group_id=group, enable_auto_commit=False) as reader:
            reader.assign([where])
            assert await reader.committed(where) is None
            await reader.commit({where: OffsetAndMetadata(7, "half way")})
            assert await reader.committed(where) == 7
        admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
        await admin.start()
        assert (await admin.list_consumer_group_offsets(group))[where] == OffsetAndMetadata(7, "half way")
        await admin.close()

    asyncio.run(run())


@pytest.mark.restarts
def test_resume_after_a_restart(bootstrap, topic, group, server):
    async def consume(count):
        async with AIOKafkaConsumer(topic, bootstrap_servers=bootstrap, group_id=group, auto_offset_reset="earliest", enable_auto_commit=False) as reader:
            async with asyncio.timeout(20):
                values = [(await reader.getone()).value for _ in range(count)]
            await reader.commit()
            return values

    async def run():
        await create(bootstrap, topic)
        sender = AIOKafkaProducer(bootstrap_servers=bootstrap, enable_idempotence=True, retry_backoff_ms=50)
        await sender.start()
        for n in range(10):
            await sender.send_and_wait(topic, str(n).encode(), partition=0)
        assert await consume(6) == [str(n).encode() for n in range(6)]
        await asyncio.to_thread(server.restart)
        for n in range(10, 14):  # the same producer goes on
            assert (await sender.send_and_wait(topic, str(n).encode(), partition=0)).offset == n
        await sender.stop()
        assert await consume(8) == [str(n).encode() for n in range(6, 14)]

    asyncio.run(run())


def test_admin(bootstrap, topic, group):
    async def run():
        await create(bootstrap, topic, 2)
        admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
        await admin.start()
        try:
            again = await admin.create_topics([NewTopic(topic, 1, 1)])
            assert again.topic_errors[0][1] == TopicAlreadyExistsError.errno
            assert topic in await admin.list_topics()
            await admin.create_partitions({topic: NewPartitions(4)})
            async with asyncio.timeout(15):
                while len((await admin.describe_topics([topic]))[0]["partitions"]) != 4:
                    pass
            (configs,) = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic, {"retention.ms": ""})])
            assert [entry[:2] for entry in configs.resources[0][4]] == [("retention.ms", "604800000")]
            async with AIOKafkaConsumer(bootstrap_servers=bootstrap, group_id=group, enable_auto_commit=False) as reader:
                reader.assign([TopicPartition(topic, 0)])
                await reader.commit({TopicPartition(topic, 0): OffsetAndMetadata(1, "")})
            assert group in {name for name, _ in await admin.list_consumer_groups()}
            described = await admin.describe_consumer_groups([group])
            assert described[0].groups[0][2] == "Empty"
            cluster = await admin.describe_cluster()
            assert [f"{b['host']}:{b['port']}" for b in cluster["brokers"]] == [bootstrap]
            await admin.delete_topics([topic])
            async with asyncio.timeout(15):
                while topic in await admin.list_topics():
                    pass
        finally:
            await admin.close()

    asyncio.run(run())
