"""The faults on records, in replies and with names of their own, as each client meets them: it must find what is stored as the fault
left it, and get past what a client gets past.
"""

import re
import time

import pytest
from support.clients import JavaClient, LastBrokerGone
from support.wait import until
from test_faults import made, met  # noqa: F401  (made is a fixture)

# JSON, so that what cuts it can be seen.
VALUES = [f'{{"n":{n}}}' for n in range(20)]
pytestmark = pytest.mark.gateway


def fourth(change):
    """What is read when every fourth record is changed so."""
    return [change(value) if n % 4 == 3 else value for n, value in enumerate(VALUES)]


def is_cut(before, after):
    return after != before and before.startswith(after)


@pytest.mark.parametrize("fault, changed", [
    ('poison("truncated_json")', is_cut),
    ("oversize(64)", lambda before, after: after.rstrip() == before and len(after) == 64),
], ids=["poison", "oversize"])
def test_produced_records_are_stored_as_they_were_struck(client, bootstrap, made, under, fault, changed):  # noqa: F811
    with under(f'seed(7);\non_produce("TOPIC").every(4).{fault}'):
        client.produce(bootstrap, made, VALUES)
    seen = client.consume(bootstrap, made, len(VALUES))
    for n, (before, after) in enumerate(zip(VALUES, seen, strict=True)):
        assert changed(before, after) if n % 4 == 3 else before == after, (n, before, after)


def test_a_value_with_a_turned_bit_is_stored_and_read(driver, bootstrap, made, under):  # noqa: F811
    """Its checksum holds, so nobody on the way notices. What is no UTF-8 any more is read as a replacement character."""
    java = JavaClient(driver)
    with under('on_produce("TOPIC").every(4).corrupt_record("value")'):
        java.produce(bootstrap, made, VALUES)
    seen = java.consume(bootstrap, made, len(VALUES))
    for n, (before, after) in enumerate(zip(VALUES, seen, strict=True)):
        assert (before != after) == (n % 4 == 3), (n, before, after)
        assert sum(a != b for a, b in zip(before, after)) <= 1 and len(before) == len(after), (n, before, after)


def test_a_batch_with_a_wrong_checksum_is_refused_and_sent_again(client, bootstrap, made, under):  # noqa: F811
    """Brokers say CORRUPT_MESSAGE. Who finds it worth a retry stores its values once, in order; kcat and aiokafka give up, and say so."""
    with under('on_produce("TOPIC").nth(1).corrupt_record()'):
        went = client.produce(bootstrap, made, VALUES)
    assert len(went) == len(VALUES)
    if client.name in ("kcat", "aiokafka"):
        assert set(went) <= {"exit 1", "CorruptRecordException", "stored"} and went[0] in ("exit 1", "CorruptRecordException"), went
        return
    assert went == list(range(len(VALUES)))
    assert client.consume(bootstrap, made, len(VALUES)) == VALUES


@pytest.mark.parametrize("fault, stored", [
    ("drop_records()", [value for n, value in enumerate(VALUES) if n % 4 != 3]),
    ("duplicate_records()", [value for n, value in enumerate(VALUES) for _ in range(2 if n % 4 == 3 else 1)]),
], ids=["drop", "duplicate"])
@pytest.mark.parametrize("idempotent", [False, True], ids=["plain", "idempotent"])
def test_records_are_lost_or_doubled_on_their_way_in(client, bootstrap, made, under, fault, stored, idempotent):  # noqa: F811
    """Every value is acknowledged, whatever became of it; what the producer sends next fits behind it."""
    with under(f'on_produce("TOPIC").every(4).{fault}'):
        went = client.produce(bootstrap, made, VALUES, idempotent=idempotent)
    assert len(went) == len(VALUES) and all(isinstance(offset, int) or offset == "stored" for offset in went), went
    assert client.consume(bootstrap, made, len(stored)) == stored
    client.produce(bootstrap, made, ["end"], idempotent=idempotent)
    assert client.consume(bootstrap, made, len(stored) + 1) == [*stored, "end"]


@pytest.mark.parametrize("fault, seen", [
    ("every(4).oversize(64)", fourth(lambda value: value.ljust(64))),
    ("every(4).drop_records()", [value for n, value in enumerate(VALUES) if n % 4 != 3]),
    ("first(2).empty_fetch()", VALUES),
    ("first(1).truncate_fetch(200)", VALUES),
    ("stale_high_watermark(5)", VALUES),
    ("first(1).throttle(\"500ms\")", VALUES),
    ("slow_broker(\"300ms\")", VALUES),
], ids=lambda it: re.sub(r"\W+", "-", it).strip("-") if isinstance(it, str) else "")
def test_fetched(client, bootstrap, made, under, fault, seen):  # noqa: F811
    for value in VALUES:
        client.produce(bootstrap, made, [value])
        if "truncate" not in fault:
            client.produce(bootstrap, made, VALUES[1:])
            break
    with under(f'on_fetch("TOPIC").{fault}'):
        start = time.monotonic()
        got = client.consume(bootstrap, made, len(seen))
        took = time.monotonic() - start
    assert got == seen
    if "slow_broker" in fault:
        assert took > 0.3
    assert client.complaints() == []


@pytest.mark.parametrize("rule", [
    'on_request("Metadata").topic("TOPIC").first(2).no_leader()',
    'on_request("Metadata").topic("TOPIC").first(1).leader_moves()',
    'on_request("Metadata").topic("TOPIC").first(2).unknown_topic()',
    'on_produce("TOPIC").slow_broker("300ms")',
    'on_produce("TOPIC").first(1).throttle("500ms")',
    'on_request("ApiVersions").api_versions("Produce", 8)',
], ids=lambda rule: re.search(r"(\w+)\([^)]*\)$", rule).group(1))
def test_producers_get_past(client, bootstrap, made, under, rule):  # noqa: F811
    with under(rule):
        start = time.monotonic()
        went = met(client, rule, lambda: client.produce(bootstrap, made, VALUES))
        took = time.monotonic() - start
    assert len(went) == len(VALUES)
    if "slow_broker" in rule:
        assert took > 0.3
    assert client.consume(bootstrap, made, len(VALUES)) == VALUES
    assert client.complaints() == []


def test_a_doubled_request_is_stored_once_by_who_numbers_its_batches(client, bootstrap, made, under):  # noqa: F811
    with under('on_produce("TOPIC").first(1).duplicate_request()'):
        client.produce(bootstrap, made, ["once"], idempotent=True)
    with under('on_produce("TOPIC").duplicate_request()'):
        client.produce(bootstrap, made, ["twice"], idempotent=False)
    client.produce(bootstrap, made, ["end"])
    assert client.consume(bootstrap, made, 4) == ["once", "twice", "twice", "end"]
    assert client.complaints() == []


@pytest.mark.parametrize("rule", [
    'on_request("FindCoordinator").group("group-of-TOPIC").first(1).coordinator_not_available()',
    'on_request("JoinGroup").group("group-of-TOPIC").first(1).coordinator_moves()',
    'on_request("OffsetCommit").group("group-of-TOPIC").first(1).coordinator_loading()',
    'on_request("SyncGroup").group("group-of-TOPIC").first(1).rebalance()',
    'on_request("FindCoordinator").first(1).wrong_address("127.0.0.1", 1)',
], ids=lambda rule: re.search(r"(\w+)\([^)]*\)$", rule).group(1))
def test_groups_get_past(client, bootstrap, made, group, server, topic, rule):  # noqa: F811
    client.produce(bootstrap, made, VALUES)
    with server.policy(f"rules-{topic}", f'expires("10m");\n{rule.replace("TOPIC", topic)};'):
        try:
            seen = client.consume(bootstrap, made, len(VALUES), group=group)
        except LastBrokerGone:
            # As with a real broker that names a wrong address, kcat ends where the only broker it knows is not there.
            assert client.name == "kcat" and "wrong_address" in rule
            seen = client.consume(bootstrap, made, len(VALUES), group=group)
        assert seen == VALUES
        (did,) = next(p for p in server.status()["policies"] if p["name"] == f"rules-{topic}")["rules"]
        assert did["applied"]
    client.produce(bootstrap, made, ["next"])
    first = client.consume(bootstrap, made, 1, group=group)
    assert first == ["next"], "the commit did not stand"
    assert client.complaints() == []


def test_a_request_waits_for_the_exchange_it_was_told_to(server, bootstrap, made, under):  # noqa: F811
    """What is produced first is stored last: it waits until something is produced to another topic."""
    from confluent_kafka import Producer

    other = f"{made}-other"
    order = []
    with under(f'on_produce("TOPIC").first(1).hold_until("Produce", "{other}", "1m")'):
        first, second = Producer({"bootstrap.servers": bootstrap}), Producer({"bootstrap.servers": bootstrap})
        first.produce(made, "held", on_delivery=lambda error, message: order.append(error or message.topic()))
        held = lambda: any(rule["applied"] for one in server.status()["policies"] if one["name"] == f"rules-{made}" for rule in one["rules"])
        until("it is held", lambda: (first.poll(0), held())[1])
        assert first.poll(0.3) == 0 and order == []
        second.produce(other, "awaited", on_delivery=lambda error, message: order.append(error or message.topic()))
        assert second.flush(30) == 0
        assert first.flush(30) == 0
    assert order == [other, made]


def test_metadata_of_a_while_ago(bootstrap, made, under, tools):  # noqa: F811
    """A client that asks is told of as many partitions as there were, until the rule is gone."""
    from confluent_kafka.admin import AdminClient

    partitions = lambda: len(AdminClient({"bootstrap.servers": bootstrap}).list_topics(made, 30).topics[made].partitions)
    with under('on_request("Metadata").topic("TOPIC").stale_metadata()'):
        assert partitions() == 1
        tools.run("kafka-topics", "--bootstrap-server", bootstrap, "--alter", "--topic", made, "--partitions", "3").ok()
        assert partitions() == 1
    until("the truth is told", lambda: partitions() == 3)
