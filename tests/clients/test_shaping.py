"""Rules that shape: what topics may be, and what is stored encrypted. Every client, and the files on the disk."""

import base64
import json
import subprocess

import pytest
from support.clients import Login
from support.servers import CHECKOUT, USERS
from support.wait import until

pytestmark = pytest.mark.gateway
RECORD = {"n": 7, "name": "Ada Lovelace", "card": {"number": "4111111111111111", "cvc": 123}}
CLEAR = ("Ada Lovelace", "4111111111111111")


def login(name):
    return Login(name, USERS[name], "PLAIN")


@pytest.fixture(scope="module")
def keys(server):
    """Two keys in the secrets folder, and a server that knows it."""
    folder = server.folder / "secrets"
    folder.mkdir()
    for name, byte in (("k1", 1), ("k2", 2), ("patients-1", 3)):
        (folder / name).write_text(base64.b64encode(bytes([byte]) * 32).decode() + "\n")
    (folder / "short").write_text(base64.b64encode(b"short").decode())
    server.configure(secrets="secrets")
    server.restart()
    return folder


@pytest.fixture
def made(server, driver, topic, keys):
    driver.check("AdminChecks.create", bootstrap=server.bootstrap, topic=topic)
    return topic


def stored(server, topic):
    """What the log files of a topic hold."""
    files = [path for path in (server.folder / "data").rglob("*") if path.is_file() and topic in str(path)]
    assert any(path.stat().st_size for path in files), files
    return b"".join(path.read_bytes() for path in files)


def rules(topic, encrypting, decrypting=None):
    return f"""on_produce("{topic}").encrypt("$.name", {encrypting}).encrypt("$.card", {encrypting});
               on_fetch("{topic}").principal("User:bob").decrypt("$.name", {decrypting or encrypting}).decrypt("$.card", {decrypting or encrypting});"""


def test_fields_are_stored_encrypted(client, server, made):
    """Bob reads what alice wrote; she does not, nor does anybody; nor is it on the disk."""
    value = json.dumps(RECORD)
    with server.policy(f"seal-{made}", rules(made, 'secret("k1")')):
        client.produce(server.sasl, made, [value] * 3, login=login("alice"))
        assert client.consume(server.sasl, made, 3, login=login("bob")) == [value] * 3
        others = client.consume(server.sasl, made, 3, login=login("alice")) + client.consume(server.bootstrap, made, 3)
        assert server.rule(f"seal-{made}")["applied"] >= 3
    assert len(set(others)) == 3, "each field has a nonce of its own"
    for text in others:
        seen = json.loads(text)
        assert seen["n"] == 7 and seen["name"].startswith("tg1:k1:") and seen["card"].startswith("tg1:k1:")
        assert not any(clear in text for clear in CLEAR)
    held = stored(server, made)
    assert b"tg1:k1:" in held and not any(clear.encode() in held for clear in CLEAR)


def test_control_without_the_policy(client, server, made):
    """The control: what is looked for on the disk is found there when nothing encrypts it."""
    client.produce(server.bootstrap, made, [json.dumps(RECORD)])
    assert all(clear.encode() in stored(server, made) for clear in CLEAR)


def test_whole_values(client, server, made):
    """Values of any kind, in a batch that the client compressed or not."""
    policy = f'on_produce("{made}").encrypt("$", secret("k1")); on_fetch("{made}").principal("User:bob").decrypt("$", secret("k1"));'
    with server.policy(f"seal-{made}", policy):
        client.produce(server.sasl, made, ["Ada Lovelace, no JSON"] * 2, login=login("alice"))
        assert client.consume(server.sasl, made, 2, login=login("bob")) == ["Ada Lovelace, no JSON"] * 2
    held = stored(server, made)
    assert b"\x89TG\x01\x02k1" in held and b"Ada" not in held


def test_keys_follow_each_other(client, server, made):
    value = json.dumps(RECORD)
    with server.policy(f"seal-{made}", rules(made, 'secret("k1")')):
        client.produce(server.sasl, made, [value], login=login("alice"))
    both = '[secret("k2"), secret("k1")]'
    with server.policy(f"seal-{made}", rules(made, both)):
        client.produce(server.sasl, made, [value], login=login("alice"))
        assert client.consume(server.sasl, made, 2, login=login("bob")) == [value] * 2
        old, new = [json.loads(text) for text in client.consume(server.sasl, made, 2, login=login("alice"))]
        assert old["name"].startswith("tg1:k1:") and new["name"].startswith("tg1:k2:")
    # who has the new key only reads what it encrypted, and the rest stays as it is, counted and written down
    with server.policy(f"seal-{made}", rules(made, both, 'secret("k2")')):
        left, read = client.consume(server.sasl, made, 2, login=login("bob"))
        assert json.loads(left) == old and read == value
        assert server.rule(f"seal-{made}", 1)["could_not_apply"] >= 1
    lines = [json.loads(line) for line in (server.folder / "data" / "audit.jsonl").read_text().splitlines()]
    told = [line for line in lines if line.get("policy") == f"seal-{made}" and line["decision"] == "unparsable"]
    assert told and told[-1]["reason"] == "cannot be decrypted" and told[-1]["principal"] == "User:bob"


def test_what_was_tampered_with_or_moved_is_not_opened(client, server, made, driver):
    with server.policy(f"seal-{made}", rules(made, 'secret("k1")')):
        client.produce(server.sasl, made, [json.dumps(RECORD)], login=login("alice"))
        (text,) = client.consume(server.sasl, made, 1, login=login("alice"))
    seen = json.loads(text)
    moved = json.dumps(seen | {"name": seen["card"], "card": seen["name"]})
    tampered = json.dumps(seen | {"name": seen["name"][:-4] + ("AAAA" if seen["name"][-4:] != "AAAA" else "BBBB")})
    client.produce(server.bootstrap, made, [moved, tampered])
    decrypting = f'on_fetch("{made}").principal("User:bob").decrypt("$.name", secret("k1")).decrypt("$.card", secret("k1"));'
    with server.policy(f"seal-{made}", decrypting):
        first, second, third = client.consume(server.sasl, made, 3, login=login("bob"))
    assert json.loads(first) == RECORD
    assert second == moved
    assert json.loads(third) == RECORD | {"name": json.loads(tampered)["name"]}


def test_what_cannot_be_parsed_is_not_stored(client, server, made):
    with server.policy(f"seal-{made}", rules(made, 'secret("k1")')):
        client.produce(server.sasl, made, ["Ada Lovelace, no JSON"], login=login("alice"))
        assert server.rule(f"seal-{made}")["could_not_apply"] >= 1
    assert client.consume(server.bootstrap, made, 1) == [""]
    assert b"Ada" not in stored(server, made)


def test_a_key_of_another_length_is_refused(server, keys):
    with pytest.raises(AssertionError, match="no key of 32 bytes"):
        server.install("short-key", 'on_produce("x").encrypt("$.a", secret("short"));')
    until("the folder is as it was", lambda: not server.status().get("refused_change"))


def test_the_shipped_policy(client, server, made):
    """policies/with-keys/field-encryption.rhai, put into the folder as its first lines say."""
    text = (CHECKOUT / "policies/with-keys/field-encryption.rhai").read_text().replace("demo-patients", made).replace("User:clinic-*", "User:bob")
    patient = json.dumps({"id": 7, "name": "Ada Lovelace", "ssn": "078-05-1120", "history": [{"diagnosis": "gout"}]})
    rules = text.split("\npolicy(", 1)[1].split("\n", 1)[1].split("\ntest(", 1)[0]
    with server.policy(f"shipped-{made}", rules):
        client.produce(server.sasl, made, [patient], login=login("alice"))
        assert client.consume(server.sasl, made, 1, login=login("bob")) == [patient]
        (seen,) = client.consume(server.sasl, made, 1, login=login("alice"))
    assert json.loads(seen)["id"] == 7 and "078-05" not in seen and "gout" not in seen
    held = stored(server, made)
    assert not any(clear in held for clear in (b"Ada Lovelace", b"078-05-1120", b"gout"))


def test_topics_have_limits(run, server, topic):
    """Kafka's own tools: what breaks a limit is refused by name, beside what does not."""
    policy = f"""on_create("{topic}-*").limit(#{{ partitions: 4, names: ["*-fine*", "*-other"], configs: #{{ "retention.ms": "<= 3600000" }} }});"""
    create = lambda name, *more: run("kafka-topics", "--create", "--topic", f"{topic}-{name}", *more)  # noqa: E731
    with server.policy(f"limit-{topic}", policy):
        assert create("fine", "--partitions", "4", "--config", "retention.ms=3600000").code == 0
        wide = create("other", "--partitions", "5")
        assert wide.code != 0 and "partitions: 5 is not allowed; it must be at most 4" in wide.out + wide.err, wide
        assert "name: " in (named := create("bad", "--partitions", "1")).out + named.err
        kept = create("other", "--config", "retention.ms=-1")
        assert 'config retention.ms: "-1" is not allowed; it must be <= 3600000' in kept.out + kept.err, kept
        grown = run("kafka-topics", "--alter", "--topic", f"{topic}-fine", "--partitions", "5")
        assert grown.code != 0 and "partitions: 5 is not allowed" in grown.out + grown.err, grown
        alter = ("kafka-configs", "--alter", "--entity-type", "topics", "--entity-name", f"{topic}-fine", "--add-config")
        longer = run(*alter, "retention.ms=3600001")
        assert "retention.ms" in longer.out + longer.err and "not allowed" in longer.out + longer.err, longer
        assert run(*alter, "retention.ms=1800000").code == 0
        assert server.rule(f"limit-{topic}")["applied"] >= 5
    listed = [name for name in run("kafka-topics", "--list").ok().out.split() if name.startswith(topic)]
    assert listed == [f"{topic}-fine"]
    assert create("bad", "--partitions", "5").code == 0, "without the policy"


def test_a_topic_that_breaks_a_limit_is_not_made_by_a_client(client, server, topic, run):
    """The first record of a topic makes it, but not of one that breaks the limit; nor is it made by who only asks."""
    with server.policy(f"limit-{topic}", f'on_create("{topic}*").limit(#{{ names: "*-fine" }});'):
        client.produce(server.bootstrap, f"{topic}-fine", ["1"])
        run("kafka-console-consumer", "--topic", f"{topic}-bad", "--timeout-ms", "2000")
        assert server.rule(f"limit-{topic}")["applied"] >= 1
    listed = [name for name in run("kafka-topics", "--list").ok().out.split() if name.startswith(topic)]
    assert listed == [f"{topic}-fine"]


def test_the_audit_trail_is_what_its_schema_says_and_bounded(server, run, topic):
    """Every line of it, of all tests before, has the fields that the printed schema requires, and no others."""
    for file, command in (("audit", "audit-schema"), ("journal", "journal-schema")):
        schema = json.loads(subprocess.run([server.binary, "policy", command], check=True, capture_output=True, text=True).stdout)
        kinds = [(set(kind["required"]), set(kind["properties"])) for kind in schema["oneOf"]]
        path = server.folder / "data" / f"{file}.jsonl"
        lines = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
        assert lines or file == "journal"
        for line in lines:
            assert sum(required <= set(line) <= known for required, known in kinds) == 1, line
    server.configure(secrets="secrets", audit_max_bytes="4KiB", audit_files=3)
    server.restart()
    trail = lambda: sorted(path.name for path in (server.folder / "data").glob("audit.jsonl*"))  # noqa: E731
    with server.policy(f"audit-{topic}", 'on_request("*").audit();'):
        until("the audit trail has all of its files", lambda: run("kafka-topics", "--list").ok() and len(trail()) == 3, 60)
        for _ in range(10):
            run("kafka-topics", "--list").ok()
    assert trail() == ["audit.jsonl", "audit.jsonl.1", "audit.jsonl.2"]
    for name in trail():
        text = (server.folder / "data" / name).read_text()
        assert text.endswith("\n") and len(text) <= 4096 and all(json.loads(line) for line in text.splitlines())
