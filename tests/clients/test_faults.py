"""Each fault as each client meets it with a real broker that behaves so: it retries, times out, reconnects, and never finds
the protocol broken. What must be stored is stored once; what a real broker would store twice is stored twice.

The rules concern clients under test only by the topic's name; the topic is made and looked at before and after.
"""

import re
import time

import pytest
from support.clients import TIMEOUT_MS, LastBrokerGone

VALUES = [f"value-{n}" for n in range(20)]
# Without a policy, so that the rest of the test is known to hold against Apache Kafka too.
NONE = pytest.param("", id="none")
gateway = pytest.mark.gateway


def fault(text, *marks):
    return pytest.param(text, id=text.split("(", 1)[0] if "." not in text else text.rsplit(".", 1)[1].split("(", 1)[0], marks=[gateway, *marks])


def met(client, rule, doing):
    """What came of it, or None where kcat ended: as with a real broker, it does when the only one it knows hangs up."""
    try:
        return doing()
    except LastBrokerGone:
        assert client.name == "kcat" and any(cut in rule for cut in ("lose_", "disconnect", "reset")), rule
        assert client.complaints() == []
        return None


# What they log of an error that is worth a retry.
REFUSED = re.compile(r"NOT_LEADER_OR_FOLLOWER|NotLeaderForPartition|NotLeaderOrFollower")
# What each client logs of a connection that another ended.
CUT = re.compile(r"Node -?\d+ disconnected|Disconnected:|Connection at \S+ closed|KafkaConnectionError")


def noticed(client, rule, took):
    """The client itself met the fault, whatever the rule's count says: it waited, or lost its connection; and found no protocol broken."""
    lines = client.said()
    assert not [line for line in lines if client.WRONG.search(line)]
    if "delay" in rule:
        assert took > 1, "nothing was delayed"
    if "fail" in rule and "on_produce" in rule and client.name in ("java", "aiokafka"):
        # librdkafka keeps to itself what it tries again, as all do with fetches.
        assert any(REFUSED.search(line) for line in lines), lines
    if "lose_" in rule:
        assert took > TIMEOUT_MS / 1000, "the client cannot have timed out"
    if "disconnect" in rule or "reset" in rule:
        assert any(CUT.search(line) for line in lines), lines


def first_stored(client, bootstrap, topic, value, executed):
    """After a client ended in the middle: what its first request held is there if it was executed, and only then."""
    client.produce(bootstrap, topic, ["end"])
    assert client.consume(bootstrap, topic, 1) == [value if executed else "end"]


@pytest.fixture
def made(client, bootstrap, topic, driver):
    driver.check("AdminChecks.create", bootstrap=bootstrap, topic=topic)
    return topic


@pytest.mark.parametrize("rule", [
    NONE,
    fault('on_produce("TOPIC").first(1).delay("1s")'),
    fault('on_produce("TOPIC").first(2).fail("NOT_LEADER_OR_FOLLOWER")'),
    fault('on_produce("TOPIC").first(1).fail_after("NOT_LEADER_OR_FOLLOWER")'),
    fault('on_produce("TOPIC").first(1).lose_request()'),
    fault('on_produce("TOPIC").first(1).lose_response()'),
    fault('on_produce("TOPIC").first(1).disconnect()'),
    fault('on_produce("TOPIC").first(1).reset()'),
])
def test_idempotent_produce(client, bootstrap, made, under, rule):
    """Whatever happens to the first request: every value acknowledged, stored once, in order."""
    with under(rule):
        start = time.monotonic()
        went = met(client, rule, lambda: client.produce(bootstrap, made, VALUES))
        took = time.monotonic() - start
    if went is None:
        return first_stored(client, bootstrap, made, VALUES[0], executed="lose_response" in rule)
    assert went == (["stored"] * len(VALUES) if client.name == "kcat" else list(range(len(VALUES))))
    noticed(client, rule, took)
    assert client.consume(bootstrap, made, len(VALUES)) == VALUES
    assert client.complaints() == []


@pytest.mark.gateway
@pytest.mark.parametrize("rule, copies", [
    ('on_produce("TOPIC").first(1).fail_after("NOT_LEADER_OR_FOLLOWER")', 2),
    ('on_produce("TOPIC").first(1).lose_response()', 2),
    ('on_produce("TOPIC").first(1).fail("NOT_LEADER_OR_FOLLOWER")', 1),
    ('on_produce("TOPIC").first(1).lose_request()', 1),
], ids=["fail_after", "lose_response", "fail", "lose_request"])
def test_plain_produce(client, bootstrap, made, under, rule, copies):
    """Without idempotence a retry after an executed request stores the value again, as it does with a real broker."""
    with under(rule):
        went = met(client, rule, lambda: client.produce(bootstrap, made, ["only"], idempotent=False))
    if went is None:
        return first_stored(client, bootstrap, made, "only", executed=copies == 2)
    if client.name == "aiokafka" and "lose" in rule:
        # Without idempotence it gives up after one request timeout, and says so.
        assert went == ["RequestTimedOutError"]
        return first_stored(client, bootstrap, made, "only", executed=copies == 2)
    assert went == (["stored"] if client.name == "kcat" else [copies - 1])
    client.produce(bootstrap, made, ["end"])
    assert client.consume(bootstrap, made, copies + 1) == ["only"] * copies + ["end"]
    assert client.complaints() == []


@pytest.mark.gateway
def test_an_error_that_no_retry_mends(client, bootstrap, made, under):
    with under('on_produce("TOPIC").first(1).fail("MESSAGE_TOO_LARGE")'):
        (went,) = client.produce(bootstrap, made, ["refused"], idempotent=False)
    assert went in ("RecordTooLargeException", "MSG_SIZE_TOO_LARGE", "MessageSizeTooLargeError", "exit 1", "stored"), went
    if client.name != "kcat":  # which prints the failed delivery, and ends well
        assert went != "stored"
    client.produce(bootstrap, made, ["next"])
    assert client.consume(bootstrap, made, 1) == ["next"]
    assert client.complaints() == []


@pytest.mark.parametrize("rule", [
    NONE,
    fault('on_fetch("TOPIC").first(1).delay("1s")'),
    fault('on_fetch("TOPIC").first(2).fail("NOT_LEADER_OR_FOLLOWER")'),
    fault('on_fetch("TOPIC").first(1).fail_after("NOT_LEADER_OR_FOLLOWER")'),
    fault('on_fetch("TOPIC").first(1).lose_request()'),
    fault('on_fetch("TOPIC").first(1).lose_response()'),
    fault('on_fetch("TOPIC").first(1).disconnect()'),
    fault('on_fetch("TOPIC").first(1).reset()'),
])
def test_consume(client, bootstrap, made, under, rule):
    """Whatever happens to the first fetch: every value once, in order."""
    client.produce(bootstrap, made, VALUES)
    assert client.complaints() == []
    with under(rule):
        start = time.monotonic()
        seen = met(client, rule, lambda: client.consume(bootstrap, made, len(VALUES)))
        took = time.monotonic() - start
    if seen is None:
        seen = client.consume(bootstrap, made, len(VALUES))
    else:
        noticed(client, rule, took)
    assert seen == VALUES


@pytest.mark.parametrize("rule", [
    NONE,
    fault('on_request("FindCoordinator").group("group-of-TOPIC").first(1).fail("COORDINATOR_NOT_AVAILABLE")'),
    pytest.param('on_request("JoinGroup").group("group-of-TOPIC").first(1).fail("COORDINATOR_LOAD_IN_PROGRESS")', id="join-fail", marks=gateway),
    pytest.param('on_request("JoinGroup").group("group-of-TOPIC").first(1).reset()', id="join-reset", marks=gateway),
    pytest.param('on_request("SyncGroup").group("group-of-TOPIC").first(1).fail("REBALANCE_IN_PROGRESS")', id="sync-fail", marks=gateway),
    pytest.param('on_request("SyncGroup").group("group-of-TOPIC").first(1).lose_response()', id="sync-lose-response", marks=gateway),
    pytest.param('on_request("OffsetFetch").group("group-of-TOPIC").first(1).fail("NOT_COORDINATOR")', id="offset-fetch-fail", marks=gateway),
    pytest.param('on_request("OffsetCommit").group("group-of-TOPIC").first(1).fail("COORDINATOR_LOAD_IN_PROGRESS")', id="commit-fail", marks=gateway),
    pytest.param('on_request("OffsetCommit").group("group-of-TOPIC").first(1).lose_response()', id="commit-lose-response", marks=gateway),
    pytest.param('on_request("OffsetCommit").group("group-of-TOPIC").first(1).fail_after("NOT_COORDINATOR")', id="commit-fail-after", marks=gateway),
])
def test_group(client, bootstrap, made, group, under, rule):
    """Whatever happens on the way: the group reads everything, and its commit stands."""
    client.produce(bootstrap, made, VALUES)
    with under(rule):
        try:
            seen = met(client, rule, lambda: client.consume(bootstrap, made, len(VALUES), group=group))
        except Exception as error:
            # librdkafka hands a failed OffsetFetch to the application, which has to go on by itself.
            assert client.name in ("kcat", "confluent") and "OffsetFetch" in rule and re.search("not.?coordinator", str(error), re.I), error
            seen = None
    if seen is None:
        seen = client.consume(bootstrap, made, len(VALUES), group=group)
    assert seen == VALUES
    client.produce(bootstrap, made, ["next"])
    assert client.consume(bootstrap, made, 1, group=group) == ["next"], "the commit did not stand"
    assert client.complaints() == []


@pytest.mark.gateway
@pytest.mark.parametrize("how", ["reset", "disconnect"])
def test_connections_that_end_at_once(client, bootstrap, made, server, how):
    """The first three connections end before a request is read: clients come again."""
    with server.policy("doors", f'expires("10m");\non_connect().first(3).{how}();'):
        try:
            went = met(client, how, lambda: client.produce(bootstrap, made, VALUES))
        except Exception as error:
            # aiokafka asks its bootstrap servers once, and gives up.
            assert client.name == "aiokafka" and type(error).__name__ == "KafkaConnectionError", error
            went = None
        assert server.rule("doors")["applied"] >= 1
    if went is None:
        went = client.produce(bootstrap, made, VALUES)
    assert len(went) == len(VALUES)
    assert client.consume(bootstrap, made, len(VALUES)) == VALUES
    assert client.complaints() == []


@pytest.mark.gateway
def test_delays_overlap(driver, bootstrap, made, under):
    """Five requests in flight, each delayed by 400 ms, take about 400 ms and not 2 s; and stay in order."""
    properties = {"batch.size": 1, "linger.ms": 0, "max.in.flight.requests.per.connection": 5}
    driver.check("ProducerChecks.numbers", bootstrap=bootstrap, topic=made, count=1, properties=properties)
    with under('on_produce("TOPIC").delay("400ms")'):
        start = time.monotonic()
        offsets = driver.check("ProducerChecks.numbers", bootstrap=bootstrap, topic=made, first=1, count=5, properties=properties)
        took = time.monotonic() - start
    assert offsets == "1 2 3 4 5"
    assert 0.4 <= took < 1.6, took
