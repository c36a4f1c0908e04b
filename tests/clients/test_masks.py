"""Masks of Avro and Protobuf values, as a schema registry's serialisers frame them: what a real consumer reads, by a reader written here."""

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from support.clients import TIMEOUT_MS
from support.wait import until

pytestmark = pytest.mark.gateway

FRAME = b"\0\0\0\x01\x07"
AVRO = """{"type": "record", "name": "Visitor", "fields": [
    {"name": "id", "type": "long"},
    {"name": "email", "type": ["null", "string"]},
    {"name": "cards", "type": {"type": "array", "items": {"type": "record", "name": "Card", "fields": [{"name": "number", "type": "string"}, {"name": "cvc", "type": "int"}]}}},
    {"name": "notes", "type": {"type": "map", "values": "bytes"}}]}"""
PROTO = """syntax = "proto3"; package demo;
message Other { string email = 1; }
message Visitor {
    message Card { string number = 1; int32 cvc = 2; }
    int64 id = 1; string email = 2; repeated Card cards = 3; map<string, bytes> notes = 4;
}"""
MASKS = [("$.email", '"email"'), ("$.cards[*].number", "keep_last(4)"), ("$..cvc", '"all"'), ("$.notes.secret", 'replace("")')]

WHOLE = {"id": -(10**12), "email": "ada@example.com", "cards": [("4111111111111111", 123), ("5500" * 40, 9)], "notes": {"secret": b"\xff" * 200, "plain": b"\0\xff"}}
HIDDEN = {"id": -(10**12), "email": "a**@example.com", "cards": [("*" * 12 + "1111", 0), ("*" * 156 + "5500", 0)], "notes": {"secret": b"", "plain": b"\0\xff"}}
NOBODY = {"id": 0, "email": None, "cards": [], "notes": {}}


def varint(number):
    number &= 2**64 - 1
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes(out + bytes([number]))


def zigzag(number):
    return varint(number << 1 ^ number >> 63)


def sized(data, size):
    return size(len(data)) + data


def avro(value):
    """Lists in blocks that say their size, one element each; maps in one that does not."""
    def text(data):
        return sized(data.encode() if isinstance(data, str) else data, zigzag)

    cards = b"".join(zigzag(-1) + sized(text(number) + zigzag(cvc), zigzag) for number, cvc in value["cards"])
    notes = zigzag(len(value["notes"])) + b"".join(text(name) + text(note) for name, note in value["notes"].items()) if value["notes"] else b""
    email = zigzag(0) if value["email"] is None else zigzag(1) + text(value["email"])
    return FRAME + zigzag(value["id"]) + email + cards + b"\0" + notes + b"\0"


def proto(value):
    def field(number, data):
        return varint(number << 3 | 2) + sized(data.encode() if isinstance(data, str) else data, varint)

    # a zero is not written, and so is one that a mask makes
    cards = b"".join(field(3, field(1, number) + (b"\x10" + varint(cvc) if cvc else b"")) for number, cvc in value["cards"])
    notes = b"".join(field(4, field(1, name) + field(2, note)) for name, note in value["notes"].items())
    email = b"" if value["email"] is None else field(2, value["email"])
    # which message of the file: the second
    return FRAME + zigzag(1) + zigzag(1) + b"\x08" + varint(value["id"]) + email + cards + notes


FORMATS = {"avro": (avro, "visitor.avsc", AVRO, "#{ framed: true, ids: [7, 263] }"), "protobuf": (proto, "visitor.proto", PROTO, '#{ framed: true, ids: [263], message: "demo.Visitor" }')}


def read(bootstrap, topic, count, client_id):
    reader = Consumer({"bootstrap.servers": bootstrap, "group.id": "none", "client.id": client_id})
    reader.assign([TopicPartition(topic, 0, 0)])
    messages = []

    def enough():
        messages.extend(reader.consume(count, 0.2))
        return len(messages) >= count

    until("the values", enough, TIMEOUT_MS)
    reader.close()
    assert [message.error() for message in messages] == [None] * count
    return messages


@pytest.mark.parametrize("codec", ["none", "zstd"])
@pytest.mark.parametrize("kind", FORMATS)
def test_what_is_read_is_masked_and_nothing_else_is_changed(server, topic, kind, codec):
    encode, file, schema, options = FORMATS[kind]
    schemas = server.policies / "schemas"
    schemas.mkdir(exist_ok=True)
    (schemas / file).write_text(schema)
    masks = "".join(f'.mask("{path}", {how}, s)' for path, how in MASKS)
    rules = f'let s = schema("{file}", {options});\non_fetch("{topic}").client_id("analyst"){masks}.named("hide");'
    sender = Producer({"bootstrap.servers": server.bootstrap, "compression.type": codec, "linger.ms": 50})
    values = [encode(WHOLE), encode(NOBODY), encode(WHOLE) + b"\0", b'{"email":"ada@example.com"}', b"\0\0\0\x01\x08" + encode(WHOLE)[5:], encode(WHOLE)]
    for value in values:
        sender.produce(topic, value, partition=0)
    sender.produce(topic, None, key="gone", partition=0)
    assert sender.flush(30) == 0
    with server.policy(f"mask-{topic}", rules):
        hidden = read(server.bootstrap, topic, 7, "analyst")
        whole = read(server.bootstrap, topic, 7, "owner")
    assert [message.value() for message in whole] == [*values, None]
    nobody = encode(NOBODY)
    assert [message.value() for message in hidden] == [encode(HIDDEN), nobody, b"", b"", b"", encode(HIDDEN), None]
    marked = [[name for name, _ in message.headers() or []] for message in hidden]
    assert marked == [[], [], ["tollgate-masked"], ["tollgate-masked"], ["tollgate-masked"], [], []]
