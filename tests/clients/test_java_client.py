"""The Java clients (kafka-clients 4.4.0). What each check asserts stands in java/*Checks.java."""

import pytest

COMPRESSIONS = ["none", "gzip", "snappy", "lz4", "zstd"]


@pytest.fixture
def check(driver, bootstrap, topic, group):
    def run(name, seconds=60.0, **more):
        return driver.check(name, seconds, **({"bootstrap": bootstrap, "topic": topic, "group": group} | more))

    return run


@pytest.mark.parametrize("compression", COMPRESSIONS)
@pytest.mark.parametrize("acks, idempotence", [("all", "true"), ("1", "false")])
def test_produce(check, compression, acks, idempotence):
    check("AdminChecks.create")
    check("ProducerChecks.produce", compression=compression, acks=acks, idempotence=idempotence)


def test_produce_without_acks(check):
    check("AdminChecks.create")
    check("ProducerChecks.produce", acks="0", idempotence="false", compression="lz4")


def test_produce_creates_the_topic(check):
    check("ProducerChecks.produce")


@pytest.mark.parametrize("compression", ["none", "zstd"])
def test_record_shapes(check, compression):
    check("AdminChecks.create")
    check("ProducerChecks.shapes", compression=compression)


def test_keys_over_partitions(check):
    check("AdminChecks.create", partitions=4)
    check("ProducerChecks.keyed", partitions=4)


def test_too_large(check):
    check("AdminChecks.create")
    check("ProducerChecks.tooLarge")


def test_consume_alone(check):
    check("AdminChecks.create")
    check("ConsumerChecks.alone")


@pytest.mark.parametrize("assignor", ["RangeAssignor", "RoundRobinAssignor", "StickyAssignor", "CooperativeStickyAssignor"])
def test_rebalance(check, assignor):
    check("AdminChecks.create", partitions=4)
    check("GroupChecks.rebalance", seconds=120, assignor=f"org.apache.kafka.clients.consumer.{assignor}")


@pytest.mark.parametrize("assignor", ["RangeAssignor", "CooperativeStickyAssignor"])
def test_static_members(check, assignor):
    check("AdminChecks.create", partitions=4)
    check("GroupChecks.staticMember", seconds=120, assignor=f"org.apache.kafka.clients.consumer.{assignor}")


def test_commit_with_metadata(check):
    check("AdminChecks.create")
    check("ConsumerChecks.commitExplicit")


def test_topics(check):
    check("AdminChecks.topics")


def test_cluster(check):
    check("AdminChecks.cluster")


def test_configs(check):
    check("AdminChecks.create")
    check("AdminChecks.configs")


def test_offsets(check):
    check("AdminChecks.create")
    check("AdminChecks.offsets")


def test_groups(check):
    check("AdminChecks.create", partitions=2)
    check("AdminChecks.groups")


@pytest.mark.restarts
@pytest.mark.parametrize("how", ["sync", "async", "auto"])
def test_resume_after_a_restart(check, server, how):
    check("AdminChecks.create")
    check("ProducerChecks.numbers", count=20)
    first = check("ConsumerChecks.commit", how=how, count=8).split()
    assert first == [str(n) for n in range(8)]
    server.restart()
    assert check("ConsumerChecks.committed") == "8"
    rest = check("ConsumerChecks.commit", how=how, count=12).split()
    assert rest == [str(n) for n in range(8, 20)]
    # And the idempotent producer's offsets go on where they were.
    assert check("ProducerChecks.numbers", first=20, count=2) == "20 21"
