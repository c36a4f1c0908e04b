"""Clients that use more than their quotas, set by Kafka's own tool: they get their rate, are told how long they were throttled, and
lose nothing."""

import re
import time

import pytest
from support.wait import until

POLICIES = "none"
RATE = 100_000  # bytes a second
# The first ten seconds' worth may come at once: Kafka's windows.
AT_ONCE = 10 * RATE


@pytest.fixture
def quota(tools, bootstrap):
    """Sets a client id's quotas, and waits until they are described."""
    taken = []

    def quota(client_id, **values):
        entity = ("--entity-type", "clients", "--entity-name", client_id)
        tools.run("kafka-configs", "--bootstrap-server", bootstrap, "--alter", *entity, "--add-config", ",".join(f"{k}={v}" for k, v in values.items())).ok()
        taken.append((entity, values))
        shown = lambda: tools.run("kafka-configs", "--bootstrap-server", bootstrap, "--describe", *entity).ok().out
        until("the quota is described", lambda: all(f"{name}={float(value)}" in shown() for name, value in values.items()))

    yield quota
    for entity, values in taken:
        tools.run("kafka-configs", "--bootstrap-server", bootstrap, "--alter", *entity, "--delete-config", ",".join(values)).ok()


@pytest.fixture
def made(tools, bootstrap, topic):
    tools.run("kafka-topics", "--bootstrap-server", bootstrap, "--create", "--topic", topic).ok()
    until("the topic is described", lambda: tools.run("kafka-topics", "--bootstrap-server", bootstrap, "--describe", "--topic", topic).code == 0)
    return topic


def produce(bootstrap, topic, client_id, size, seconds=60):
    """Sends `size` bytes as fast as it may: seconds taken, longest throttle time in milliseconds."""
    from confluent_kafka import Producer

    throttled = []
    producer = Producer({"bootstrap.servers": bootstrap, "client.id": client_id, "linger.ms": 5, "batch.size": 20_000, "acks": "all",
                         "throttle_cb": lambda event: throttled.append(event.throttle_time), "queue.buffering.max.kbytes": 100_000})
    failed = []
    begun = time.monotonic()
    for _ in range(size // 1000):
        producer.produce(topic, b"x" * 1000, on_delivery=lambda error, _: error and failed.append(error))
    assert producer.flush(seconds) == 0 and not failed, failed
    return time.monotonic() - begun, max(throttled, default=0)


def test_a_producer_gets_its_rate(bootstrap, made, quota):
    quota(f"p-{made}", producer_byte_rate=RATE)
    took, throttled = produce(bootstrap, made, f"p-{made}", AT_ONCE + 6 * RATE)
    assert 4 < took < 16, took
    assert throttled > 0, took
    took, throttled = produce(bootstrap, made, f"other-{made}", AT_ONCE + 6 * RATE)
    assert took < 4 and throttled == 0, "somebody else's quota"


def test_a_consumer_gets_its_rate_and_every_record(bootstrap, made, quota):
    from confluent_kafka import Consumer, TopicPartition

    size = AT_ONCE + 6 * RATE
    produce(bootstrap, made, f"filler-{made}", size)
    quota(f"c-{made}", consumer_byte_rate=RATE)
    throttled = []
    consumer = Consumer({"bootstrap.servers": bootstrap, "client.id": f"c-{made}", "group.id": "none", "fetch.message.max.bytes": 50_000,
                         "queued.max.messages.kbytes": 200, "throttle_cb": lambda event: throttled.append(event.throttle_time)})
    consumer.assign([TopicPartition(made, 0, 0)])
    begun, offsets = time.monotonic(), []
    while len(offsets) < size // 1000 and time.monotonic() - begun < 60:
        offsets += [message.offset() for message in consumer.consume(500, 0.5) if not message.error()]
    took = time.monotonic() - begun
    consumer.close()
    assert offsets == list(range(size // 1000)), "each once, in order"
    assert 4 < took < 16 and throttled, (took, throttled)


def test_java_says_that_it_was_throttled(bootstrap, made, quota, tools):
    client_id = "perf-producer-client"  # the tool's own
    quota(client_id, producer_byte_rate=RATE)
    properties = ("acks=all", "batch.size=20000", "buffer.memory=100000000", "delivery.timeout.ms=120000")
    options = [word for value in properties for word in ("--command-property", value)]
    ran = tools.run("kafka-producer-perf-test", "--bootstrap-server", bootstrap, "--topic", made, "--num-records", str((AT_ONCE + 5 * RATE) // 1000),
                    "--record-size", "1000", "--throughput", "-1", "--print-metrics", *options).ok().out
    metric = lambda name: max(float(value) for value in re.findall(rf"producer-metrics:{name}:\{{client-id={client_id}\}}\s*:\s*([\d.]+)", ran))
    assert metric("produce-throttle-time-max") > 0 and metric("produce-throttle-time-avg") > 0, ran
    sent, rate = re.findall(r"^(\d+) records sent, ([\d.]+) records/sec", ran, re.M)[-1]
    assert int(sent) == (AT_ONCE + 5 * RATE) // 1000
    assert 100 < float(rate) < 450, rate


def test_topics_cost_their_partitions(bootstrap, topic, quota, tools, tmp_path):
    quota(f"m-{topic}", controller_mutation_rate=1)
    config = tmp_path / "admin.properties"
    config.write_text(f"client.id=m-{topic}\n")
    create = lambda n: tools.run("kafka-topics", "--bootstrap-server", bootstrap, "--command-config", str(config), "--create", "--topic", f"{topic}-{n}", "--partitions", "20")
    create(0).ok()  # eleven are there at first, and may be overdrawn once
    refused = create(1)
    assert refused.code == 1 and "The throttling quota has been exceeded." in refused.out
    until("the quota has come back", lambda: create(2).code == 0)
