"""Policies that rest on who asks: every client, logged in by every mechanism."""

import json
import re

import pytest
from support.clients import Login
from support.servers import MECHANISMS, USERS

RECORD = {"name": "Ada", "email": "ada@example.com", "card": {"number": "4111111111111111"}, "n": 7}


def login(name, mechanism="PLAIN", password=None):
    return Login(name, password or USERS[name], mechanism)


@pytest.fixture
def made(server, driver, topic):
    driver.check("AdminChecks.create", bootstrap=server.bootstrap, topic=topic)
    return topic


@pytest.fixture(autouse=True)
def _needs_logins(server):
    if not server.sasl:
        pytest.skip("this server has no address that asks for a login")


@pytest.fixture(params=MECHANISMS)
def mechanism(request, client):
    if request.param not in client.mechanisms:
        pytest.skip("this librdkafka's SCRAM is refused by Kafka 4 as well: librdkafka#4895")
    return request.param


def test_login(client, server, made, mechanism):
    client.produce(server.sasl, made, ["hello"], login=login("alice", mechanism))
    assert client.consume(server.sasl, made, 1, login=login("bob", mechanism)) == ["hello"]


def test_wrong_password(client, server, made, mechanism):
    client.produce(server.bootstrap, made, ["not for you"])
    with pytest.raises(Exception) as refused:
        client.consume(server.sasl, made, 1, login=login("alice", mechanism, "not-it"))
    said = "\n".join([repr(refused.value), *client.said()])
    assert "uthentication" in said and "not for you" not in said


@pytest.mark.gateway
def test_mask_for_one_and_not_for_the_other(client, server, made, mechanism):
    policy = f'on_fetch("{made}").principal("User:bob").mask("$.email", "email").mask("$.card.number", keep_last(4));'
    with server.policy(f"mask-{made}", policy):
        client.produce(server.sasl, made, [json.dumps(RECORD)] * 5, login=login("alice", mechanism))
        clear = client.consume(server.sasl, made, 5, login=login("alice", mechanism))
        masked = client.consume(server.sasl, made, 5, login=login("bob", mechanism))
        nobody = client.consume(server.bootstrap, made, 5)
    assert clear == nobody == [json.dumps(RECORD)] * 5
    for text in masked:
        seen = json.loads(text)
        assert seen["email"] == "a**@example.com"
        assert seen["card"]["number"].endswith("1111") and seen["card"]["number"] != RECORD["card"]["number"]
        assert (seen["name"], seen["n"]) == ("Ada", 7)
    assert "ada@example.com" not in "".join(masked) and "4111111111111111" not in "".join(masked)


@pytest.mark.gateway
@pytest.mark.parametrize("compression", ["none", "gzip", "snappy", "lz4", "zstd"])
def test_mask_in_every_compression(client, server, made, compression, driver):
    """Batches made by the Java producer, masked on their way to each client; Java checks the CRC of what it is given."""
    values = [json.dumps(RECORD | {"n": n}) for n in range(200)]
    driver.check("ProducerChecks.values", bootstrap=server.bootstrap, topic=made, values="\n".join(values),
                 properties={"compression.type": compression, "linger.ms": 50})
    with server.policy(f"mask-{made}", f'on_fetch("{made}").principal("User:bob").mask("$.email", "all");'):
        seen = [json.loads(text) for text in client.consume(server.sasl, made, 200, login=login("bob"))]
        assert client.consume(server.sasl, made, 200, login=login("alice")) == values
    assert [one["n"] for one in seen] == list(range(200))
    assert all("ada" not in one["email"] and one["name"] == "Ada" for one in seen)


@pytest.mark.gateway
def test_mask_in_a_group(client, server, made, group):
    """Groups fetch incrementally: masked like full fetches, also what is produced later."""
    with server.policy(f"mask-{made}", f'on_fetch("{made}").principal("User:bob").mask("$.email", "all");'):
        for turn in range(3):
            client.produce(server.bootstrap, made, [json.dumps(RECORD)] * 3)
            assert all("ada" not in text for text in client.consume(server.sasl, made, 3, group=group, login=login("bob")))


@pytest.mark.gateway
def test_denied_topic_beside_an_allowed_one(driver, server, topic):
    """One produce request of the Java producer with both topics: one stored, the other refused."""
    orders, audit = f"{topic}-orders", f"{topic}-audit"
    for name in (orders, audit):
        driver.check("AdminChecks.create", bootstrap=server.bootstrap, topic=name)
    with server.policy(f"access-{topic}", f'on_access("Write").topic("{orders}").deny();'):
        went = driver.check("ProducerChecks.several", bootstrap=server.bootstrap, topic=f"{orders},{audit}", value="kept", properties={"enable.idempotence": "false"})
        assert went == f"{orders}=TopicAuthorizationException {audit}=0"
        assert server.rule(f"access-{topic}")["applied"] >= 1
    assert driver.check("ConsumerChecks.read", bootstrap=server.bootstrap, topic=audit, count=1) == "kept"
    went = driver.check("ProducerChecks.several", bootstrap=server.bootstrap, topic=f"{orders},{audit}", value="later")
    assert went == f"{orders}=0 {audit}=1", "something of the denied record was stored"


@pytest.mark.gateway
def test_denied(client, server, made):
    """Alice may write, bob may not; each client is told so in its own words."""
    with server.policy(f"access-{made}", f'on_access("Write").topic("{made}").principal("User:bob").deny();'):
        (went,) = client.produce(server.sasl, made, ["from bob"], idempotent=False, login=login("bob"))
        assert went in ("TopicAuthorizationException", "TOPIC_AUTHORIZATION_FAILED", "TopicAuthorizationFailedError", "authorization failed", "not authorized",
                        "Authorization failed"), went
        client.produce(server.sasl, made, ["from alice"], login=login("alice"))
        assert client.consume(server.sasl, made, 1, login=login("alice")) == ["from alice"]


@pytest.mark.gateway
def test_denied_read(client, server, made):
    client.produce(server.bootstrap, made, ["secret"])
    with server.policy(f"access-{made}", f'on_access("Read").topic("{made}").principal("User:bob").deny();'):
        with pytest.raises(Exception) as refused:
            client.consume(server.sasl, made, 1, login=login("bob"))
        said = "\n".join([repr(refused.value), *client.said()])
        assert "secret" not in said and re.search("topic.?authorization|topics.*not authorized|not authorized.*topic", said, re.I), said
        assert server.rule(f"access-{made}")["applied"] >= 1
        assert client.consume(server.sasl, made, 1, login=login("alice")) == ["secret"]


@pytest.mark.gateway
def test_default_deny(client, server, topic, driver):
    """Only what is allowed: bob reads his topic with his group, alice writes it; the rest is not even described."""
    mine, other = f"{topic}-mine", f"{topic}-other"
    for name in (mine, other):
        driver.check("AdminChecks.create", bootstrap=server.bootstrap, topic=name)
    rules = f"""
        default_deny();
        on_access("All").principal("User:ANONYMOUS").allow();
        on_access("Write", "Describe").topic("{mine}").principal("User:alice").allow();
        on_access("IdempotentWrite").cluster().principal("User:alice").allow();
        on_access("Read", "Describe").topic("{mine}").group("{topic}-*").principal("User:bob").allow();
    """
    with server.policy(f"access-{topic}", rules):
        assert "stored" in client.produce(server.sasl, mine, ["one"], login=login("alice")) or client.name != "kcat"
        assert client.consume(server.sasl, mine, 1, group=f"{topic}-group", login=login("bob")) == ["one"]
        (went,) = client.produce(server.sasl, mine, ["two"], idempotent=False, login=login("bob"))
        assert isinstance(went, str) and re.search("authori[sz]", went, re.I), went
        with pytest.raises(Exception, match="(?i)group.?authorization|not authorized"):
            client.consume(server.sasl, mine, 1, group="another-group", login=login("bob"))


@pytest.mark.gateway
def test_security_before_chaos(driver, server, made):
    """Whatever the file order: what is denied is never stored, not even where a fault would have executed it."""
    with server.policy(f"a-chaos-{made}", f'expires("10m");\non_produce("{made}").fail_after("NOT_LEADER_OR_FOLLOWER");'):
        with server.policy(f"z-deny-{made}", f'on_access("Write").topic("{made}").deny();'):
            went = driver.check("ProducerChecks.values", bootstrap=server.bootstrap, topic=made, values="never", idempotence="false")
            assert went == "TopicAuthorizationException"
            assert server.rule(f"a-chaos-{made}")["applied"] == 0
    assert driver.check("ProducerChecks.values", bootstrap=server.bootstrap, topic=made, values="first") == "0"


@pytest.mark.gateway
def test_what_sessions_share(client, server, made):
    """Each record is a batch and a session of its own; the third of a user is refused, and so is what is older than what was there."""
    rules = f"""
        let spent = counter("spent");
        let last = shared_map("last");
        on_produce("{made}").each(|cx, record| {{
            let user = record.value("$.user");
            if spent.count(user) >= 2 {{ return cx.deny("twice is enough"); }}
            if last.get(user) != () && last.get(user) > record.value("$.at") {{ return cx.deny("too late"); }}
            spent.add(user);
            last.set(user, record.value("$.at"));
        }});
    """
    said = lambda user, at: json.dumps({"user": user, "at": at})
    send = lambda value: client.produce(server.bootstrap, made, [value], idempotent=False)[0]
    refused = lambda went: isinstance(went, str) and went != "stored"  # not every client has a name for INVALID_RECORD
    with server.policy(f"shared-{made}", rules):
        went = [send(said(*one)) for one in (("ada", 5), ("bob", 9), ("bob", 8), ("ada", 5), ("ada", 6), ("bob", 9))]
    stored = client.consume(server.bootstrap, made, 4)
    assert stored == [said("ada", 5), said("bob", 9), said("ada", 5), said("bob", 9)]
    assert [n for n, one in enumerate(went) if refused(one)] == [2, 4], went


@pytest.mark.gateway
def test_versions_and_brokers(client, server, made):
    """No client here is so old, and none comes to another broker than the only one."""
    never = f'on_produce("{made}").broker(2..=9).deny(); on_produce("{made}").api_version(3).deny();'
    with server.policy(f"never-{made}", never):
        client.produce(server.bootstrap, made, ["hello"])
        assert client.consume(server.bootstrap, made, 1) == ["hello"]
    with server.policy(f"always-{made}", f'on_produce("{made}").broker(1).api_version(">= 3").deny();'):
        (went,) = client.produce(server.bootstrap, made, ["not this"], idempotent=False)
        assert isinstance(went, str) and went != "stored", went
    assert client.consume(server.bootstrap, made, 1) == ["hello"]
