"""ACLs, SCRAM users and delegation tokens: kafka-acls, kafka-configs and kafka-delegation-tokens say what they say to Apache Kafka 4.4.0,
raw requests are answered as it answers them, and real clients are refused and admitted.

Kafka's side is kept in compare/kafka-4.4.0-security.json; CLIENTS_AGAINST=kafka RECORD=1 writes it anew.
"""

import json
import os
import re
import subprocess
from pathlib import Path

import pytest
from compare import Ask
from probe import Probe
from security import SECURED
from support.clients import Login
from support.wait import until

POLICIES = "none"
SETTINGS = {
    "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
    # Of the listener without a login, and one that logs in.
    "super.users": "User:ANONYMOUS;User:alice",
}
RECORDED = Path(__file__).parent / "compare" / "kafka-4.4.0-security.json"
KAFKA = json.loads(RECORDED.read_text()) if RECORDED.exists() else {}
RECORD = os.environ.get("RECORD") == "1" and os.environ.get("CLIENTS_AGAINST") == "kafka"
BOB = Login("bob", "bob-secret", "SCRAM-SHA-256")


def same(name, told):
    """What Kafka told as well."""
    if RECORD:
        KAFKA[name] = told
        RECORDED.write_text(json.dumps(KAFKA, indent=1, ensure_ascii=False, sort_keys=True) + "\n")
    assert told == KAFKA[name]


def ordered(node):
    """Kafka lists what is a set in the order of a hash map."""
    if isinstance(node, dict):
        return {key: ordered(value) for key, value in node.items() if key != "throttleTimeMs"}
    if isinstance(node, list):
        return sorted((ordered(item) for item in node), key=lambda item: json.dumps(item, sort_keys=True))
    return node


@pytest.mark.parametrize("scenario", SECURED, ids=lambda scenario: scenario.__name__)
def test_raw_requests(server, scenario):
    """Codes and messages."""
    told = {}
    with Probe(server.bootstrap) as probe:
        class Words(Ask):
            def keep(self, label, answer, only):
                assert label not in told, label
                told[label] = ordered(answer.get("body", answer))

        scenario(Words(probe, scenario.__name__))
    same(scenario.__name__, told)


ADD = ["--add", "--allow-principal", "User:cy"]
ACL_COMMANDS = {
    "list nothing": ["--list"],
    "add for a topic": [*ADD, "--operation", "Read", "--operation", "Write", "--topic", "tools-t"],
    "add for a group": [*ADD, "--operation", "Read", "--group", "tools-g"],
    "add for the cluster": [*ADD, "--operation", "ClusterAction", "--cluster"],
    "add for a transactional id": [*ADD, "--operation", "Describe", "--transactional-id", "tools-x"],
    "add for a token": [*ADD, "--operation", "Describe", "--delegation-token", "tools-token"],
    "add for a user": [*ADD, "--operation", "CreateTokens", "--user-principal", "User:dee"],
    "add a prefix": [*ADD, "--operation", "All", "--topic", "tools-", "--resource-pattern-type", "prefixed"],
    "add a wildcard": [*ADD, "--operation", "Describe", "--topic", "*"],
    "add a deny of a host": ["--add", "--deny-principal", "User:cy", "--deny-host", "10.0.0.9", "--operation", "Write", "--topic", "tools-t"],
    "add a producer": ["--add", "--allow-principal", "User:p", "--producer", "--topic", "tools-p", "--transactional-id", "tools-px"],
    "add an idempotent producer": ["--add", "--allow-principal", "User:p", "--producer", "--idempotent", "--topic", "tools-p"],
    "add a consumer": ["--add", "--allow-principal", "User:c", "--consumer", "--topic", "tools-c", "--group", "tools-cg"],
    "add for a principal without a type": ["--add", "--allow-principal", "cy", "--topic", "tools-t"],
    "list": ["--list"],
    "list a topic": ["--list", "--topic", "tools-t"],
    "list what matches": ["--list", "--topic", "tools-t", "--resource-pattern-type", "match"],
    "list any pattern": ["--list", "--topic", "tools-", "--resource-pattern-type", "any"],
    "list a principal": ["--list", "--principal", "User:p"],
    "list two principals": ["--list", "--principal", "User:p", "--principal", "User:c", "--topic", "tools-c"],
    "remove an entry": ["--remove", "--force", "--allow-principal", "User:cy", "--operation", "Write", "--topic", "tools-t"],
    "remove what is not there": ["--remove", "--force", "--topic", "tools-nothing"],
    "remove a prefix": ["--remove", "--force", "--topic", "tools-", "--resource-pattern-type", "prefixed"],
    "list what is left": ["--list"],
    "remove a topic": ["--remove", "--force", "--topic", "tools-t"],
    "remove a consumer": ["--remove", "--force", "--allow-principal", "User:c", "--consumer", "--topic", "tools-c", "--group", "tools-cg"],
    "remove the cluster": ["--remove", "--force", "--cluster"],
    "remove the rest": ["--remove", "--force", "--topic", "tools-", "--resource-pattern-type", "match"],
    "list the end": ["--list"],
}


def shown(ran, server):
    """Exit code, and what was printed, of which Kafka has the order of a hash map; without what names the test's own server."""
    said = re.sub(r"(?ms)^Option .*", "", ran.out) + "\n" + re.sub(r"(?ms)^Option .*", "", ran.err)  # nor the manual
    lines = [line for line in said.splitlines() if line.strip() and not re.match(r"\s+at |\d\d:\d\d:\d\d", line)]
    clean = lambda line: re.sub(r"\d+:\d+:\d+\.\d+ ", "", line.replace(server.bootstrap, "<server>"))
    # The tools print sets, of which the first line alone is indented by less.
    return [ran.code, *sorted(clean(line).strip() for line in lines)]


def test_kafka_acls(tools, server):
    told = {}
    for name, arguments in ACL_COMMANDS.items():
        # Reads its answer from standard input, where not forced.
        told[name] = shown(tools.run("kafka-acls", "--bootstrap-server", server.bootstrap, *arguments), server)
    same("kafka-acls", told)
    tools.run("kafka-acls", "--bootstrap-server", server.bootstrap, "--remove", "--force", "--topic", "*", "--resource-pattern-type", "any").ok()


USERS_COMMANDS = {
    "add two at once": ["--alter", "--entity-name", "tools-u", "--add-config", "SCRAM-SHA-256=[iterations=8192,password=first],SCRAM-SHA-512=[iterations=4096,password=first]"],
    "add": ["--alter", "--entity-name", "tools-u", "--add-config", "SCRAM-SHA-256=[iterations=8192,password=first]"],
    "add another": ["--alter", "--entity-name", "tools-u", "--add-config", "SCRAM-SHA-512=[iterations=4096,password=first]"],
    "add with few iterations": ["--alter", "--entity-name", "tools-u", "--add-config", "SCRAM-SHA-256=[iterations=100,password=x]"],
    "add with many iterations": ["--alter", "--entity-name", "tools-u", "--add-config", "SCRAM-SHA-256=[iterations=20000,password=x]"],
    "add by an unknown mechanism": ["--alter", "--entity-name", "tools-u", "--add-config", "SCRAM-SHA-1=[password=x]"],
    "delete one": ["--alter", "--entity-name", "tools-u", "--delete-config", "SCRAM-SHA-512"],
    "delete what is not there": ["--alter", "--entity-name", "tools-u", "--delete-config", "SCRAM-SHA-512"],
    "delete": ["--alter", "--entity-name", "tools-u", "--delete-config", "SCRAM-SHA-256"],
}


def test_kafka_configs_of_users(tools, server):
    told = {}
    for name, arguments in USERS_COMMANDS.items():
        told[name] = shown(tools.run("kafka-configs", "--bootstrap-server", server.bootstrap, "--entity-type", "users", *arguments), server)
    same("kafka-configs users", told)


def test_delegation_tokens(tools, server, tmp_path):
    login = tmp_path / "login.properties"
    login.write_text("security.protocol=SASL_PLAINTEXT\nsasl.mechanism=SCRAM-SHA-256\n"
                     'sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required username="bob" password="bob-secret";\n')
    told = {}
    for name, arguments in {
        "create": ["--create", "--max-life-time-period", "-1"],
        "create with a renewer": ["--create", "--max-life-time-period", "-1", "--renewer-principal", "User:alice"],
        "describe": ["--describe", "--owner-principal", "User:bob"],
        "renew": ["--renew", "--renew-time-period", "-1", "--hmac", "QUJD"],
        "expire": ["--expire", "--expiry-time-period", "-1", "--hmac", "QUJD"],
    }.items():
        ran = tools.run("kafka-delegation-tokens", "--bootstrap-server", server.sasl, "--command-config", str(login), *arguments)
        told[name] = shown(ran, server)
    same("kafka-delegation-tokens", told)


def acls(tools, server, *arguments):
    return tools.run("kafka-acls", "--bootstrap-server", server.bootstrap, *arguments).ok()


def test_clients_are_refused_and_admitted(tools, server, client, topic, group):
    """A producer and a consumer over SASL: nothing without ACLs, what they allow, nothing again."""
    if client.name == "kcat":
        pytest.skip("this librdkafka's SCRAM is refused by Kafka 4 as well: librdkafka#4895")
    tools.run("kafka-topics", "--bootstrap-server", server.bootstrap, "--create", "--topic", topic, "--partitions", "1").ok()
    # confluent_kafka cannot name the error of an idempotent producer that gives up.
    produce = lambda idempotent=False: client.produce(server.sasl, topic, ["one"], idempotent=idempotent, login=BOB)

    def refused(what):
        try:
            went = what()
        except Exception as error:
            assert re.search("authoriz|TOPIC_AUTH|GROUP_AUTH|CLUSTER_AUTH", f"{type(error).__name__} {error}", re.I), error
            return True
        return any(isinstance(word, str) and re.search("AUTHORIZATION|Authorization", word) for word in went)

    assert refused(produce)
    acls(tools, server, "--add", "--allow-principal", "User:bob", "--producer", "--topic", topic)
    until("bob may produce", lambda: not refused(produce))
    assert not refused(lambda: produce(idempotent=True))
    acls(tools, server, "--add", "--allow-principal", "User:bob", "--consumer", "--topic", topic, "--group", group)
    assert client.consume(server.sasl, topic, 1, group=group, login=BOB)[0] == "one"
    # A deny of this host wins over the allow.
    acls(tools, server, "--add", "--deny-principal", "User:*", "--deny-host", "127.0.0.1", "--operation", "Write", "--topic", topic[:-1], "--resource-pattern-type", "prefixed")
    until("bob may not produce", lambda: refused(produce))
    acls(tools, server, "--remove", "--force", "--topic", topic[:-1], "--resource-pattern-type", "prefixed")
    until("bob may produce again", lambda: not refused(produce))
    acls(tools, server, "--remove", "--force", "--topic", topic)
    acls(tools, server, "--remove", "--force", "--group", group)
    until("bob may nothing", lambda: refused(produce))


def test_a_user_made_by_kafka_configs_logs_in(tools, server, driver, topic):
    from support.clients import JavaClient

    client = JavaClient(driver)
    alter = lambda *more: tools.run("kafka-configs", "--bootstrap-server", server.bootstrap, "--entity-type", "users", "--entity-name", "eve", "--alter", *more).ok()
    tools.run("kafka-topics", "--bootstrap-server", server.bootstrap, "--create", "--topic", topic, "--partitions", "1").ok()
    acls(tools, server, "--add", "--allow-principal", "User:eve", "--producer", "--topic", topic)
    produce = lambda password: client.produce(server.sasl, topic, ["x"], login=Login("eve", password, "SCRAM-SHA-512"))

    def fails(password):
        return any("SaslAuthenticationException" in str(word) for word in produce(password))

    assert fails("first")
    alter("--add-config", "SCRAM-SHA-512=[password=first]")
    until("eve logs in", lambda: not fails("first"))
    alter("--add-config", "SCRAM-SHA-512=[password=second]")
    until("the first password holds no more", lambda: fails("first"))
    assert not fails("second")
    alter("--delete-config", "SCRAM-SHA-512")
    until("eve is gone", lambda: fails("second"))
    acls(tools, server, "--remove", "--force", "--topic", topic)


def test_what_may_be_done_is_told(tools, server, driver, topic):
    """Authorized operations, of a topic and of the cluster, as the Java admin client names them."""
    tools.run("kafka-topics", "--bootstrap-server", server.bootstrap, "--create", "--topic", topic, "--partitions", "1").ok()
    acls(tools, server, "--add", "--allow-principal", "User:bob", "--operation", "Read", "--operation", "AlterConfigs", "--topic", topic)
    acls(tools, server, "--add", "--allow-principal", "User:bob", "--operation", "Alter", "--cluster")
    properties = BOB_PROPERTIES
    told = lambda: driver.check("AdminChecks.operations", bootstrap=server.sasl, topic=topic, properties=properties)
    expected = "topic ALTER_CONFIGS DESCRIBE DESCRIBE_CONFIGS READ\ncluster ALTER DESCRIBE"
    until("the ACLs are there", lambda: told() == expected)
    acls(tools, server, "--remove", "--force", "--topic", topic)
    acls(tools, server, "--remove", "--force", "--cluster")


BOB_PROPERTIES = {
    "security.protocol": "SASL_PLAINTEXT", "sasl.mechanism": "SCRAM-SHA-256",
    "sasl.jaas.config": 'org.apache.kafka.common.security.scram.ScramLoginModule required username="bob" password="bob-secret";',
}


@pytest.mark.gateway
def test_scripts_and_acls_are_one(tools, server, driver, topic):
    """A script's deny wins over an ACL's allow, and its allow is enough."""
    from support.clients import JavaClient

    client = JavaClient(driver)
    tools.run("kafka-topics", "--bootstrap-server", server.bootstrap, "--create", "--topic", topic, "--partitions", "1").ok()

    def admitted():
        [went] = client.produce(server.sasl, topic, ["x"], idempotent=False, login=BOB)
        assert isinstance(went, int) or "Authorization" in went, went
        return isinstance(went, int)

    assert not admitted()
    with server.policy("lets-bob", f'on_access("Write", "Describe").topic("{topic}").principal("User:bob").allow();'):
        assert admitted()
    assert not admitted()
    acls(tools, server, "--add", "--allow-principal", "User:bob", "--producer", "--topic", topic)
    assert admitted()
    with server.policy("keeps-bob-out", f'on_access("Write").topic("{topic}").principal("User:bob").deny();'):
        assert not admitted()
    assert admitted()
    server.restart()
    assert admitted(), "they outlive a restart"
    audit = Path(server.folder / "data" / "audit.jsonl").read_text()
    assert '"rule":"ACLs"' in audit
    acls(tools, server, "--remove", "--force", "--topic", topic)
