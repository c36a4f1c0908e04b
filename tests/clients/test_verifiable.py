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
# Kinds of faults that must not meet on one batch: one that was executed without the client knowing stays in the broker's memory
# of five batches as long as nothing newer is appended behind its unanswered retries. A second failure of its retry, which
# the client pipelines four new batches behind, pushes it out; Kafka then answers OUT_OF_ORDER_SEQUENCE_NUMBER until the
# delivery times out, and so do we. Nor must a producer's very first batch be refused alone: to a producer it does not know
# Kafka allows any sequence, so that the second batch is taken as the first.
CHAOS = {
    # Each lost exchange costs the client its request timeout, so they are few, and counted so that none stays away; the cheap ones are drawn.
    "connections": """
on_produce("TOPIC").every(23).at_most(12).named("lost answers").lose_response();
on_produce("TOPIC").every(41).at_most(6).named("lost requests").lose_request();
on_produce("TOPIC").chance(0.03).at_most(30).named("resets").reset();
on_produce("TOPIC").chance(0.03).at_most(30).named("disconnects").disconnect();
""",
    "refused": 'on_produce("TOPIC").after(1).chance(0.05).named("moved").fail("NOT_LEADER_OR_FOLLOWER");',
    "executed": 'on_produce("TOPIC").every(40).named("executed, yet moved").fail_after("NOT_LEADER_OR_FOLLOWER");',
}
ALWAYS = 'on_produce("TOPIC").chance(0.2).named("delays").delay(uniform("1ms", "40ms"));'


@pytest.mark.parametrize("kind", ["calm", *(pytest.param(kind, marks=pytest.mark.gateway) for kind in CHAOS)])
def test_verifiable_producer(server, driver, topic, tmp_path, kind):
    driver.check("AdminChecks.create", bootstrap=server.bootstrap, topic=topic, partitions=2)
    config = tmp_path / "producer.properties"
    config.write_text(CONFIG)
    policy, chaos = f"chaos-{topic}", kind in CHAOS
    if chaos:
        server.install(policy, f'expires("10m"); seed(42);\n{CHAOS[kind]}\n{ALWAYS}'.replace("TOPIC", topic))
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
