"""TLS as the clients meet it: listeners with certificates of their own, clients with theirs, renewal, and handshakes that fail on
purpose."""

import re
import socket
import ssl
from pathlib import Path

import pytest
from support.certificates import Authority
from support.clients import INSTALLED, Login, Tls
from support.servers import USERS, free_port, running
from support.wait import until

pytestmark = pytest.mark.gateway


class Place:
    """A server with a listener of each kind, and everybody's certificates."""

    def __init__(self, folder: Path):
        self.ours, self.theirs = Authority(folder, "ours"), Authority(folder, "theirs")
        self.server_files = self.ours.sign("server")
        self.ports = {name: free_port() for name in ("tls", "mutual", "both", "asked", "double")}
        certificate, key = self.server_files
        common = {"tls_certificate": certificate, "tls_key": key}
        address = {name: f"127.0.0.1:{port}" for name, port in self.ports.items()}
        self.listeners = [
            {"name": "tls", "address": address["tls"], **common},
            {"name": "mutual", "address": address["mutual"], "tls_client_ca": self.ours.ca, **common},
            {"name": "both", "address": address["both"], "sasl": ["PLAIN"], **common},
            {"name": "asked", "address": address["asked"], "tls_client_ca": self.ours.ca, "tls_client_auth": "requested", **common},
            {"name": "double", "address": address["double"], "tls_client_ca": self.ours.ca, "sasl": ["PLAIN"], **common},
        ]
        self.tls, self.mutual, self.both = address["tls"], address["mutual"], address["both"]
        self.asked, self.double = address["asked"], address["double"]
        self.trusting = Login(tls=Tls(self.ours.ca))
        self.doubting = Login(tls=Tls(self.theirs.ca))
        self.alice = Login(tls=Tls(self.ours.ca, *self.ours.sign("alice")))
        self.stranger = Login(tls=Tls(self.ours.ca, *self.theirs.sign("stranger")))
        self.past = Login(tls=Tls(self.ours.ca, *self.ours.sign("past", days=-1)))


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return Place(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def server(place, tmp_path_factory):
    folder, secrets = tmp_path_factory.mktemp("server"), tmp_path_factory.mktemp("secrets")
    expired = place.ours.sign("expired", days=-1)
    (secrets / "expired").write_text("".join(Path(path).read_text() for path in expired))
    with running(folder, "always", listeners=place.listeners, secrets=str(secrets)) as server:
        yield server


def ended(server, cause):
    found = re.search(rf'^tollgate_sessions_ended_total{{cause="{cause}"}} (\d+)', server.get("/metrics"), re.M)
    return int(found[1]) if found else 0


def sessions(server):
    return server.get("/v1/sessions")


def values(topic):
    return [f"{topic} {n} " + "x" * 2000 for n in range(300)]


@pytest.fixture
def made(server, driver, topic):
    driver.check("AdminChecks.create", bootstrap=server.bootstrap, topic=topic)
    return topic


def fails(client, bootstrap, topic, login):
    """The client gets nothing; gives all that it said."""
    with pytest.raises(Exception) as refused:
        client.consume(bootstrap, topic, 1, login=login)
    return "\n".join([repr(refused.value), *client.said()])


@pytest.mark.parametrize("group", [False, True], ids=["assigned", "group"])
def test_records_pass_over_tls(client, server, place, made, group):
    sent = values(made)
    went = client.produce(place.tls, made, sent, login=place.trusting)
    assert not [one for one in went if isinstance(one, str) and one != "stored"], went
    assert client.consume(place.tls, made, len(sent), group=f"of-{made}" if group else None, login=place.trusting) == sent
    assert client.consume(server.bootstrap, made, len(sent)) == sent


def test_a_login_over_tls(client, server, place, made):
    login = Login("alice", USERS["alice"], "PLAIN", place.trusting.tls)
    client.produce(place.both, made, ["hello"], login=login)
    assert client.consume(place.both, made, 1, login=login) == ["hello"]
    fails(client, place.both, made, Login("alice", "not-it", "PLAIN", place.trusting.tls))
    client.said()


def test_a_certificate_says_who_comes(client, server, place, made):
    rule = r'on_fetch("*").listener("mutual").principal("User:CN=alice,O=Acme\\\\, Inc.").mask("$.secret", "all");'
    client.produce(server.bootstrap, made, ['{"secret":"abc"}'])
    with server.policy(f"who-{made}", rule):
        [masked] = client.consume(place.mutual, made, 1, login=place.alice)
        assert "abc" not in masked and "secret" in masked
    assert client.consume(place.mutual, made, 1, login=place.alice) == ['{"secret":"abc"}']


# Those that go on trying for long say the same in the end.
@pytest.mark.parametrize("client", [name for name in INSTALLED if name != "confluent"], indirect=True)
def test_whoever_has_no_right_certificate_stays_out(client, server, place, made):
    client.produce(server.bootstrap, made, ["hello"])
    before = ended(server, "tls_handshake")
    for login in (place.trusting, place.stranger, place.past):
        assert "hello" not in fails(client, place.mutual, made, login)
    assert ended(server, "tls_handshake") >= before + 3
    assert client.consume(place.mutual, made, 1, login=place.alice) == ["hello"]


# Those that go on trying for long say the same in the end.
@pytest.mark.parametrize("client", [name for name in INSTALLED if name != "confluent"], indirect=True)
def test_a_certificate_may_be_asked_for_only(client, server, place, made):
    whose = {"ANONYMOUS": place.trusting, r"CN=alice,O=Acme\\\\, Inc.": place.alice}
    client.produce(server.bootstrap, made, ['{"secret":"abc"}'])
    for name, login in whose.items():
        with server.policy(f"asked-{made}", f'on_fetch("{made}").listener("asked").principal("User:{name}").mask("$.secret", "all");'):
            for other in whose.values():
                [value] = client.consume(place.asked, made, 1, login=other)
                assert ("abc" in value) == (other is not login), (name, value)
    if client.name != "java":  # it shows none that the listener would not take
        assert "abc" not in fails(client, place.asked, made, place.stranger)


@pytest.mark.parametrize("client", [name for name in INSTALLED if name != "confluent"], indirect=True)
def test_a_login_besides_a_certificate(client, server, place, made):
    """Both are looked at, and it is the login that says who comes."""
    bob = Login("bob", USERS["bob"], "PLAIN", place.alice.tls)
    client.produce(server.bootstrap, made, ['{"secret":"abc"}'])
    with server.policy(f"double-{made}", f'on_fetch("{made}").principal("User:bob").mask("$.secret", "all");'):
        [masked] = client.consume(place.double, made, 1, login=bob)
        assert "abc" not in masked and "secret" in masked
    fails(client, place.double, made, Login("bob", "not-it", "PLAIN", place.alice.tls))
    fails(client, place.double, made, Login("bob", USERS["bob"], "PLAIN", place.trusting.tls))
    fails(client, place.double, made, place.alice)
    assert client.consume(place.double, made, 1, login=bob) == ['{"secret":"abc"}']
    client.said()


@pytest.mark.parametrize("client", [name for name in INSTALLED if name in ("kcat", "aiokafka")], indirect=True)
def test_acls_of_a_certificate(client, place, tools, topic, tmp_path):
    authorizer = {"authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer", "super.users": "User:ANONYMOUS"}
    mutual = {**place.listeners[1], "address": f"127.0.0.1:{free_port()}"}

    def stored(record):
        try:
            return client.produce(mutual["address"], topic, [record], login=place.alice)[0] in ("stored", 0)
        except Exception as refused:
            assert re.search("authoriz", f"{type(refused).__name__} {refused}", re.I), refused
            return False

    with running(tmp_path, "none", broker=authorizer, listeners=[mutual]) as server:
        tools.run("kafka-topics", "--bootstrap-server", server.bootstrap, "--create", "--topic", topic, "--partitions", "1").ok()
        assert not stored("before")
        subject = r"User:CN=alice,O=Acme\, Inc."
        tools.run("kafka-acls", "--bootstrap-server", server.bootstrap, "--add", "--allow-principal", subject, "--producer", "--topic", topic).ok()
        until("alice may produce", lambda: stored("after"))
        assert client.consume(server.bootstrap, topic, 1)[0] == "after"


def test_a_client_that_does_not_trust_us_is_told_of(client, server, place, made):
    client.produce(server.bootstrap, made, ["hello"])
    assert "hello" not in fails(client, place.tls, made, place.doubting)
    assert "it does not trust the listener's certificate" in server.log()


@pytest.mark.parametrize("client", [name for name in INSTALLED if name in ("kcat", "aiokafka")], indirect=True)
def test_plaintext_on_tls_and_tls_on_plaintext_are_told_of(client, server, place, made):
    fails(client, place.tls, made, None)
    until("it is counted", lambda: ended(server, "plaintext_on_tls") > 0)
    assert "the client speaks no TLS" in server.log()
    fails(client, server.bootstrap, made, place.trusting)
    until("it is counted", lambda: ended(server, "tls_on_plaintext") > 0)
    client.said()


KINDS = [
    # the rule's kind, and what OpenSSL and Java say of it
    ('"certificate_expired"', r"certificate.expired"),
    ('"unknown_ca"', r"unknown.ca"),
    ('"handshake_failure"', r"handshake.failure"),
    ('"untrusted"', r"self.signed certificate|unable to find valid certification path|PKIX path|certificate verify failed|certificate_unknown"),
    ('"certificate", secret("expired")', r"certificate has expired|certificate expired|NotAfter|PKIX path validation|certificate verify failed"),
]


@pytest.mark.parametrize("kind, says", KINDS, ids=[re.sub(r"\W+", "-", kind).strip("-") for kind, _ in KINDS])
def test_a_handshake_fails_on_purpose(client, server, place, made, kind, says):
    client.produce(server.bootstrap, made, ["hello"])
    policy = f"tls-{made}"
    with server.policy(policy, f'expires("10m"); on_connect().listener("tls").tls_fail({kind});'):
        said = fails(client, place.tls, made, place.trusting)
        assert "hello" not in said
        assert re.search(says, said, re.I), said
        rule = server.rule(policy)
        assert rule["applied"] > 0 and rule["could_not_apply"] == 0, rule
        # other listeners go on
        assert client.consume(place.mutual, made, 1, login=place.alice) == ["hello"]
    client.said()
    assert client.consume(place.tls, made, 1, login=place.trusting) == ["hello"]


def test_there_is_no_handshake_on_a_plaintext_listener(client, server, made):
    policy = f"tls-{made}"
    with server.policy(policy, 'expires("10m"); on_connect().listener("open").tls_fail("unknown_ca");'):
        client.produce(server.bootstrap, made, ["hello"])
        assert client.consume(server.bootstrap, made, 1) == ["hello"]
        rule = server.rule(policy)
        assert rule["applied"] == 0 and rule["could_not_apply"] > 0, rule


def test_a_careless_client_is_told_of(server, place, topic):
    """Who takes any certificate gets no word of Kafka all the same."""
    careless = ssl.create_default_context()
    careless.check_hostname, careless.verify_mode = False, ssl.CERT_NONE
    with server.policy(f"tls-{topic}", 'expires("10m"); on_connect().listener("tls").tls_fail("untrusted");'):
        with socket.create_connection(("127.0.0.1", place.ports["tls"])) as raw, careless.wrap_socket(raw) as stream:
            assert stream.recv(100) == b""
    until("it is told of", lambda: "the client took a certificate that `tls_fail` showed it" in server.log())


def test_links_strike_below_tls(client, server, place, made):
    sent = values(made)[:20]
    with server.policy(f"link-{made}", 'expires("10m"); on_connect().listener("tls").fragment(100).latency("1ms");'):
        client.produce(place.tls, made, sent, login=place.trusting)
        assert client.consume(place.tls, made, len(sent), login=place.trusting) == sent


def test_a_certificate_is_renewed_without_a_restart(server, place):
    def shown():
        with socket.create_connection(("127.0.0.1", place.ports["tls"])) as raw:
            with ssl.create_default_context(cafile=place.ours.ca).wrap_socket(raw, server_hostname="localhost") as stream:
                return stream.getpeercert()["serialNumber"], stream

    before, _ = shown()
    with socket.create_connection(("127.0.0.1", place.ports["tls"])) as raw:
        with ssl.create_default_context(cafile=place.ours.ca).wrap_socket(raw, server_hostname="localhost") as there_before:
            place.ours.sign("server")
            until("the new certificate is shown", lambda: shown()[0] != before, 20, 0.1)
            # ApiVersions 0: who is there goes on
            there_before.sendall(bytes.fromhex("0000000f" "0012" "0000" "00000007" "0005") + b"there")
            assert there_before.recv(8)[4:] == bytes.fromhex("00000007")
    assert "the certificate was renewed" in server.log()
    Path(place.server_files[0]).write_text("nonsense")
    until("it is told of", lambda: "the certificate stays as it was" in server.log(), 20, 0.1)
    assert shown()[0] != before
    place.ours.sign("server")


def test_a_certificate_is_looked_at_in_every_handshake(server, place):
    """A session that were resumed would outlive the certificate that it began with."""

    def resumed(port, login):
        context = login.tls.context()
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        session = None
        for _ in range(2):
            with socket.create_connection(("127.0.0.1", port)) as raw:
                with context.wrap_socket(raw, server_hostname="localhost", session=session) as stream:
                    session, again = stream.session, stream.session_reused
        return again

    assert resumed(place.ports["tls"], place.trusting)
    assert not resumed(place.ports["mutual"], place.alice)
