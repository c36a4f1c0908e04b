"""Clients that use more than a policy's quota: they get their rate, are told how long they were throttled, and lose nothing."""

import re
import time

import pytest
from test_quotas import AT_ONCE, RATE, made, produce  # noqa: F401  (made is a fixture)

POLICIES = "none"
pytestmark = pytest.mark.gateway


def rules(server, policy):
    return next(one for one in server.status()["policies"] if one["name"] == policy)["rules"]


def test_a_producer_gets_its_rate(server, bootstrap, made):  # noqa: F811
    policy = f"quota-{made}"
    with server.policy(policy, f'on_produce("{made}").client_id("p-*").quota("{RATE}B/s", "client_id");'):
        took, throttled = produce(bootstrap, made, f"p-{made}", AT_ONCE + 6 * RATE)
        assert 4 < took < 16, took
        assert throttled > 0
        took, throttled = produce(bootstrap, made, f"other-{made}", AT_ONCE + 6 * RATE)
        assert took < 4 and throttled == 0, "somebody else's quota"
        assert rules(server, policy)[0]["applied"] > 0


def test_a_consumer_gets_its_rate_and_every_record(server, bootstrap, made):  # noqa: F811
    from confluent_kafka import Consumer, TopicPartition

    size = AT_ONCE + 6 * RATE
    produce(bootstrap, made, f"filler-{made}", size)
    throttled = []
    with server.policy(f"quota-{made}", f'on_fetch("{made}").quota("{RATE}B/s", "principal");'):
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


def test_java_says_that_it_was_throttled(server, bootstrap, made, tools, tmp_path):  # noqa: F811
    records = (AT_ONCE + 5 * RATE) // 1000
    properties = ("acks=all", "batch.size=20000", "buffer.memory=100000000", "delivery.timeout.ms=120000")
    config = tmp_path / "client.properties"
    config.write_text("\n".join(properties))
    # a hundred records of a kilobyte are as many bytes as above
    with server.policy(f"quota-{made}", f'on_produce("{made}").quota("100 records/s", "topic", "ip");'):
        ran = tools.run("kafka-producer-perf-test", "--bootstrap-server", bootstrap, "--topic", made, "--num-records", str(records),
                        "--record-size", "1000", "--throughput", "-1", "--print-metrics", "--command-config", str(config)).ok().out
    metric = lambda name: max(float(value) for value in re.findall(rf"producer-metrics:{name}:\{{[^}}]*\}}\s*:\s*([\d.]+)", ran))
    assert metric("produce-throttle-time-max") > 0 and metric("produce-throttle-time-avg") > 0, ran
    sent, rate = re.findall(r"^(\d+) records sent, ([\d.]+) records/sec", ran, re.M)[-1]
    assert int(sent) == records and 100 < float(rate) < 450, rate
