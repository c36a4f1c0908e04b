"""Faults of logins, as each client meets them: one that is refused is told of as any wrong password, one that ends is repeated on its
connection by clients that know how (KIP-368), and by a new one by those that do not. Nobody gets in who would not without them."""

import re
import time

import pytest
from support.clients import Login
from support.servers import USERS

pytestmark = pytest.mark.gateway


def login(name, password=None):
    return Login(name, password or USERS[name], "PLAIN")


@pytest.fixture
def made(server, driver, topic):
    driver.check("AdminChecks.create", bootstrap=server.bootstrap, topic=topic)
    return topic


def ended(server, cause):
    found = re.search(rf'^tollgate_sessions_ended_total{{cause="{cause}"}} (\d+)', server.get("/metrics"), re.M)
    return int(found[1]) if found else 0


def applied(server, policy):
    rules = next(one for one in server.status()["policies"] if one["name"] == policy)["rules"]
    return sum(rule["applied"] for rule in rules)


def test_a_right_login_is_refused(client, server, made):
    client.produce(server.bootstrap, made, ["hello"])
    policy = f"refuse-{made}"
    rule = 'expires("10m"); on_request("SaslAuthenticate").principal("User:alice").sasl_fail();'
    with server.policy(policy, rule):
        with pytest.raises(Exception) as refused:
            client.consume(server.sasl, made, 1, login=login("alice"))
        assert applied(server, policy) > 0
        said = "\n".join([repr(refused.value), *client.said()])
        assert "uthentication" in said and "hello" not in said
        assert client.consume(server.sasl, made, 1, login=login("bob")) == ["hello"]
        with pytest.raises(Exception):
            client.consume(server.sasl, made, 1, login=login("bob", "not-it"))
    client.said()
    assert client.consume(server.sasl, made, 1, login=login("alice")) == ["hello"]


def test_a_mechanism_is_not_there(client, server, made):
    client.produce(server.bootstrap, made, ["hello"])
    policy = f"mechanism-{made}"
    with server.policy(policy, 'expires("10m"); on_request("SaslHandshake").sasl_fail("PLAIN");'):
        with pytest.raises(Exception):
            client.consume(server.sasl, made, 1, login=login("alice"))
        assert applied(server, policy) > 0
    client.said()
    assert client.consume(server.sasl, made, 1, login=login("alice")) == ["hello"]


def test_java_logs_in_again_before_the_time_is_over(server, made, tools, tmp_path):
    policy, before = f"expire-{made}", ended(server, "login_expired")
    jaas = f'org.apache.kafka.common.security.plain.PlainLoginModule required username="alice" password="{USERS["alice"]}";'
    properties = ("security.protocol=SASL_PLAINTEXT", "sasl.mechanism=PLAIN", f"sasl.jaas.config={jaas}", "linger.ms=0")
    config = tmp_path / "client.properties"
    config.write_text("\n".join(properties))
    with server.policy(policy, 'expires("10m"); on_request("SaslAuthenticate").principal("User:alice").sasl_expire("2s");'):
        ran = tools.run("kafka-producer-perf-test", "--bootstrap-server", server.sasl, "--topic", made, "--num-records", "80", "--record-size", "10",
                        "--throughput", "10", "--print-metrics", "--command-config", str(config)).ok().out
        logins = applied(server, policy)
    sent, _ = re.findall(r"^(\d+) records sent, ([\d.]+) records/sec", ran, re.M)[-1]
    assert int(sent) == 80
    again = max(float(value) for value in re.findall(r"producer-metrics:successful-reauthentication-total:\{[^}]*\}\s*:\s*([\d.]+)", ran))
    assert again >= 2 and logins > again, (again, logins)
    assert ended(server, "login_expired") == before, "nobody was closed"


def test_librdkafka_logs_in_again_and_loses_nothing(server, made):
    from confluent_kafka import Producer

    policy, delivered, failed = f"expire-{made}", [], []
    producer = Producer({"bootstrap.servers": server.sasl, "security.protocol": "SASL_PLAINTEXT", "sasl.mechanisms": "PLAIN",
                         "sasl.username": "alice", "sasl.password": USERS["alice"], "linger.ms": 0})
    with server.policy(policy, 'expires("10m"); on_request("SaslAuthenticate").principal("User:alice").sasl_expire("2s");'):
        begun, n = time.monotonic(), 0
        # until it has logged in a few times; a minute is more than it needs
        while (applied(server, policy) < 6 or n < 30) and time.monotonic() - begun < 60:
            producer.produce(made, str(n), on_delivery=lambda error, message: (failed if error else delivered).append(message.value()))
            producer.poll(0.2)
            n += 1
        assert producer.flush(30) == 0 and not failed, failed
        assert applied(server, policy) >= 6
    assert len(delivered) == n
