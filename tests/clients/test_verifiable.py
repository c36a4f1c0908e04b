"""kafka-verifiable-producer, idempotent with five requests in flight, under faults drawn at random: no gap, no duplicate, no reorder."""

import json
import subprocess

import pytest
from support.jvm import tool_process

RECORDS = 20_000
CONFIG = """
enable.idempotence=true
retries=2147483647
max.in.flight.requests.per.connection=5
batch.size=1500
linger.ms=1
request.timeout.ms=1000
delivery.timeout.ms=150000
retry.backoff.ms=5
retry.backoff.max.ms=50
reconnect.backoff.ms=5
reconnect.backoff.max.ms=50
"""
# Each lost response costs the client its request timeout, so they are few; the cheap faults are many.
CHAOS = """
expires("10m");
seed(42);
on_produce("TOPIC").chance(0.02).at_most(12).named("lost answers").lose_response();
on_produce("TOPIC").chance(0.01).at_most(6).named("lost requests").lose_request();
on_produce("TOPIC").chance(0.03).at_most(30).named("resets").reset();
on_produce("TOPIC").chance(0.03).at_most(30).named("disconnects").disconnect();
on_produce("TOPIC").chance(0.05).named("moved").fail("NOT_LEADER_OR_FOLLOWER");
on_produce("TOPIC").chance(0.05).named("executed, yet moved").fail_after("NOT_LEADER_OR_FOLLOWER");
on_produce("TOPIC").chance(0.2).named("delays").delay(uniform("1ms", "40ms"));
"""


@pytest.mark.parametrize("chaos", [pytest.param("", id="calm"), pytest.param(CHAOS, id="chaos", marks=pytest.mark.gateway)])
def test_verifiable_producer(server, driver, topic, tmp_path, chaos):
    driver.check("AdminChecks.create", bootstrap=server.bootstrap, topic=topic, partitions=2)
    config = tmp_path / "producer.properties"
    config.write_text(CONFIG)
    policy = f"chaos-{topic}"
    if chaos:
        server.install(policy, chaos.replace("TOPIC", topic))
    try:
        with open(tmp_path / "log", "w") as log:
            producer = tool_process("kafka-verifiable-producer", "--bootstrap-server", server.bootstrap, "--topic", topic, "--max-messages", str(RECORDS),
                                    "--throughput", "-1", "--acks", "-1", "--command-config", str(config), stdout=subprocess.PIPE, stderr=log)
            out, _ = producer.communicate(timeout=170)
        if chaos:
            rules = {rule["name"]: rule["applied"] for rule in next(p for p in server.status()["policies"] if p["name"] == policy)["rules"]}
    finally:
        if chaos:
            server.remove(policy)
    assert producer.returncode == 0
    events = [json.loads(line) for line in out.splitlines()]
    errors = [event for event in events if event["name"] == "producer_send_error"]
    assert not errors, errors[:3]
    acked = {(event["partition"], event["offset"]): int(event["value"]) for event in events if event["name"] == "producer_send_success"}
    assert sorted(acked.values()) == list(range(RECORDS)), "each value is acknowledged once"

    stored = {}
    for partition in range(2):
        values = [int(v) for v in driver.check("ProducerChecks.read", bootstrap=server.bootstrap, topic=topic, partition=partition).split()]
        assert values == sorted(values), f"partition {partition}: out of order"
        stored |= {(partition, offset): value for offset, value in enumerate(values)}
    assert sorted(stored.values()) == list(range(RECORDS)), "each value is stored once"
    assert stored == acked, "each where it was said to be"
    if chaos:
        assert all(rules.values()), f"a fault that never happened proves nothing: {rules}"
        print(rules)
