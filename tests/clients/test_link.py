"""Faults of the connection and its bytes, and what real clients make of them."""

import time

import pytest
from confluent_kafka import Consumer
from support.clients import Aiokafka, Confluent, Kcat
from support.wait import until

pytestmark = pytest.mark.gateway
POLICIES = "none"

VALUES = [f"value {n}" for n in range(20)]


def struck(server, n=1):
    """A rule's fault was there, and every record is there once it has gone."""
    rule = server.rule("link")
    assert rule["applied"] >= n and rule["could_not_apply"] == 0, rule


def link(rule):
    return f'seed(3); expires("1h"); on_connect(){rule};'


def seconds(doing):
    start = time.monotonic()
    doing()
    return time.monotonic() - start


def delivered(family, bootstrap, topic, values=VALUES):
    assert all(isinstance(answer, int) for answer in family.produce(bootstrap, topic, values))


def test_latency(server, bootstrap):
    """Metadata, a producer id and a batch at the least, each a round trip."""
    with server.policy("link", link('.latency("150ms")')):
        assert seconds(lambda: delivered(Confluent(), bootstrap, "latency")) >= 0.6
        struck(server)
    assert Confluent().consume(bootstrap, "latency", len(VALUES)) == VALUES


def test_bandwidth(server, bootstrap):
    values = ["x" * 10_000 for _ in range(5)]
    with server.policy("link", link('.bandwidth("25KB", "up")')):
        assert seconds(lambda: delivered(Aiokafka(), bootstrap, "bandwidth", values)) >= 1.9
        struck(server)
    assert Aiokafka().consume(bootstrap, "bandwidth", 5) == values


def test_close_after_requests(server, bootstrap):
    """Every connection ends after two answers: the client makes another, and another."""
    with server.policy("link", link('.first(6).close_after("requests", 2)')):
        delivered(Confluent(), bootstrap, "close-after")
        struck(server, 2)
    assert Kcat().consume(bootstrap, "close-after", len(VALUES)) == VALUES


def test_half_open(server, bootstrap):
    """A connection that never answers is given up, and another is made."""
    with server.policy("link", link(".first(1).half_open()")):
        assert seconds(lambda: delivered(Confluent(), bootstrap, "half-open")) >= 1
        struck(server)
    assert Confluent().consume(bootstrap, "half-open", len(VALUES)) == VALUES


def test_blackhole(server, bootstrap):
    with server.policy("link", link('.first(1).blackhole("down")')):
        assert seconds(lambda: delivered(Confluent(), bootstrap, "blackhole")) >= 1
        struck(server)
    assert Confluent().consume(bootstrap, "blackhole", len(VALUES)) == VALUES


def test_storm(server, bootstrap):
    """Every member of a group loses its connections at once, and the group goes on."""
    settings = {"bootstrap.servers": bootstrap, "group.id": "stormy", "auto.offset.reset": "earliest", "heartbeat.interval.ms": 300, "session.timeout.ms": 6000}
    delivered(Confluent(), bootstrap, "stormy", VALUES[:10])
    members, got = [Consumer(settings) for _ in range(2)], []

    def poll():
        for member in members:
            message = member.poll(0.05)
            if message and not message.error():
                got.append(message.value().decode())

    def polled(holds):
        def done():
            poll()
            return holds()

        return done

    def dropped():
        ended = [line for line in server.get("/metrics").splitlines() if line.startswith("tollgate_sessions_ended_total") and "policy_reset" in line]
        return sum(float(line.split()[-1]) for line in ended)

    try:
        for member in members:
            member.subscribe(["stormy"])
        until("the group reads", polled(lambda: len(got) == 10), 30)
        before = dropped()
        with server.policy("link", 'expires("1h"); on_request("Heartbeat").group("stormy").nth(6).storm();'):
            until("the storm", polled(lambda: server.rule("link")["applied"] == 1), 30)
            # at the least the two connections to the coordinator
            until("both are dropped", polled(lambda: dropped() >= before + 2), 10)
            delivered(Confluent(), bootstrap, "stormy", VALUES[10:])
            until("the group reads on", polled(lambda: set(got) == set(VALUES)), 30)
    finally:
        for member in members:
            member.close()
