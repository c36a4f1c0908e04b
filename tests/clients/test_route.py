"""Records that rules take to a dead-letter topic: every client, and what happens when answers are lost and batches come again."""

import json

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from support.clients import TIMEOUT_MS
from support.wait import until

pytestmark = pytest.mark.gateway

VALUES = [json.dumps({"n": n, "bad": n % 3 == 0}) for n in range(60)]
BAD = VALUES[::3]
GOOD = [value for value in VALUES if value not in BAD]
FAULTS = ["", "first(3).fail(\"NOT_LEADER_OR_FOLLOWER\")", "first(3).fail_after(\"REQUEST_TIMED_OUT\")", "first(2).lose_response()", "nth(2).disconnect()"]


def rules(topic, fault=""):
    harm = f'on_produce("{topic}").{fault};' if fault else ""
    return f'on_produce("{topic}").value("$.bad", true).route("{topic}-dlq", "it is bad").named("bad");\n{harm}'


def all_of(client, bootstrap, topic, count):
    """Everything a topic has, and that it has no more."""
    client.produce(bootstrap, topic, ["end"])
    *values, end = client.consume(bootstrap, topic, count + 1)
    assert end == "end", f"more than {count} in {topic}"
    return values


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.split(".")[-1].split("(")[0] or "none")
def test_letters_arrive_once_and_the_rest_in_order(client, server, topic, fault):
    """An idempotent producer that must send its batches again: each record is in one of the topics, once, in its place."""
    cut = "lose" in fault or "disconnect" in fault
    if client.name == "kcat" and cut:
        # It ends when the only broker it knows hangs up; `confluent` is the same library.
        fault = FAULTS[1]
    with server.policy(f"route-{topic}", rules(topic, fault)):
        went = client.produce(server.bootstrap, topic, VALUES)
        rule = server.rule(f"route-{topic}")
    assert len(went) == len(VALUES) and not [word for word in went if isinstance(word, str) and not word.lstrip("-").isdigit() and word != "stored"], went
    assert all_of(client, server.bootstrap, f"{topic}-dlq", len(BAD)) == BAD
    assert all_of(client, server.bootstrap, topic, len(GOOD)) == GOOD
    assert rule["applied"] == len(BAD) and rule["could_not_apply"] == 0
    assert client.complaints() == []


def test_batches_of_which_nothing_is_left(client, server, topic):
    with server.policy(f"route-{topic}", rules(topic)):
        went = client.produce(server.bootstrap, topic, BAD)
        assert len(went) == len(BAD)
        client.produce(server.bootstrap, topic, GOOD[:1])
    assert all_of(client, server.bootstrap, f"{topic}-dlq", len(BAD)) == BAD
    assert all_of(client, server.bootstrap, topic, 1) == GOOD[:1]
    assert client.complaints() == []


def test_what_the_dead_letter_topic_does_not_take_is_told(client, server, topic):
    """A topic that nobody may write to: the client hears it for all of the batch, and nothing is stored."""
    rule = f'on_produce("{topic}").value("$.bad", true).route("__consumer_offsets");'
    with server.policy(f"route-{topic}", rule):
        went = client.produce(server.bootstrap, topic, BAD[:1])
        assert server.rule(f"route-{topic}")["could_not_apply"] == 1
    assert isinstance(went[0], str) and not went[0].lstrip("-").isdigit() and went[0] != "stored", went
    assert all_of(client, server.bootstrap, topic, 0) == []


def test_a_letter_says_where_it_comes_from(server, topic):
    with server.policy(f"route-{topic}", rules(topic)):
        sender = Producer({"bootstrap.servers": server.bootstrap, "client.id": "shop", "enable.idempotence": True, "compression.type": "lz4"})
        sender.produce(topic, BAD[0], key="k", headers=[("trace", "1"), ("trace", "2")], timestamp=1_700_000_000_123)
        assert sender.flush(30) == 0
    reader = Consumer({"bootstrap.servers": server.bootstrap, "group.id": "none"})
    reader.assign([TopicPartition(f"{topic}-dlq", 0, 0)])
    (letter,) = until("the letter", lambda: reader.consume(1, 0.2), TIMEOUT_MS)
    reader.close()
    assert (letter.key(), letter.value().decode(), letter.timestamp()[1]) == (b"k", BAD[0], 1_700_000_000_123)
    names, values = zip(*letter.headers())
    assert names[:2] == ("trace", "trace") and values[:2] == (b"1", b"2")
    said = {name: value.decode() for name, value in letter.headers()}
    assert said.pop("tollgate-correlation-id").isdigit() and said.pop("tollgate-producer").endswith("/0/0")
    del said["trace"]
    assert said == {
        "tollgate-reason": "it is bad", "tollgate-policy": f"route-{topic}", "tollgate-rule": "bad", "tollgate-principal": "User:ANONYMOUS",
        "tollgate-client-id": "shop", "tollgate-topic": topic, "tollgate-partition": "0", "tollgate-timestamp": "1700000000123",
    }


SCHEMA = {"type": "object", "required": ["n", "bad"], "properties": {"n": {"type": "integer"}, "bad": {"const": False}}}


@pytest.fixture
def schema(server, topic):
    """A schema's file in the folder of policies, of which only values fit that are not bad."""
    folder = server.policies / "schemas"
    folder.mkdir(exist_ok=True)
    file = folder / f"{topic}.json"
    file.write_text(json.dumps(SCHEMA))
    return file


def test_values_that_do_not_fit_go_elsewhere(client, server, topic, schema):
    rule = f'on_produce("{topic}").validate(schema("{schema.name}")).route("{topic}-dlq");'
    with server.policy(f"gate-{topic}", rule):
        client.produce(server.bootstrap, topic, [*VALUES, "no JSON"])
    assert all_of(client, server.bootstrap, f"{topic}-dlq", len(BAD) + 1) == [*BAD, "no JSON"]
    assert all_of(client, server.bootstrap, topic, len(GOOD)) == GOOD
    assert client.complaints() == []


def test_values_that_do_not_fit_are_refused(client, server, topic, schema):
    with server.policy(f"gate-{topic}", f'on_produce("{topic}").validate(schema("{schema.name}"));'):
        (went,) = client.produce(server.bootstrap, topic, BAD[:1])
        assert isinstance(went, str) and not went.lstrip("-").isdigit() and went != "stored", went
        client.produce(server.bootstrap, topic, GOOD[:1])
    assert all_of(client, server.bootstrap, topic, 1) == GOOD[:1]


def test_a_schema_that_changes_takes_effect(server, topic, schema):
    """The same value before and after its file changes; a file that is no schema changes nothing, and the server says why."""

    def refused():
        failed = []
        sender = Producer({"bootstrap.servers": server.bootstrap, "linger.ms": 0})
        sender.produce(topic, BAD[0], on_delivery=lambda error, _: failed.append(error))
        assert sender.flush(30) == 0
        return failed[0] is not None

    with server.policy(f"gate-{topic}", f'on_produce("{topic}").validate(schema("{schema.name}"));'):
        assert refused()
        schema.write_text("{}")
        until("the other schema", lambda: not refused(), every=0.1)
        schema.write_text('{"type":')
        why = until("what is wrong", lambda: server.status().get("refused_change"))
        assert schema.name in why and "line 1" in why
        assert not refused()
        schema.write_text(json.dumps(SCHEMA))
        until("the first schema again", refused, every=0.1)
