//! Masks of Avro and Protobuf values: against a second implementation, that masks a tree and encodes what is left. Long, because both
//! formats are held against the same tree, masks and shapes.

use super::*;
use crate::policy::schema::{Options, Schema, Schemas};
use std::sync::Arc;

pub(super) fn schema(file: &str, text: &str, message: Option<&str>, framed: bool) -> Arc<Schema> {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join(file), text).unwrap();
    let ids = if framed { vec![7] } else { vec![] };
    let options = Options { framed, ids, message: message.map(str::to_owned) };
    Schemas::new(Some(folder.path().to_owned()))
        .find(file, &options)
        .unwrap_or_else(|why| panic!("{why}\n{text}"))
}

pub(super) fn by(schema: &Arc<Schema>, path: &str, how: How) -> Mask {
    let target = Target::parse(path).unwrap();
    Mask { target, how, schema: Some(Arc::clone(schema)), on_unparsable: OnUnparsable::default() }
}

/// The record after masks that all fit, and what was counted.
fn masked_by(masks: Vec<Mask>, value: &[u8]) -> (Owned, Edited) {
    for mask in &masks {
        mask.fits().unwrap();
    }
    let record = Owned { value: Some(value.to_vec()), ..Owned::default() };
    let payload = batch(of_codec(Compression::None), &[record]);
    let edited = apply(&one_rule(masks.into_iter().map(Edit::Mask).collect()), &payload);
    (read(edited.payload.as_ref().unwrap_or(&payload)).remove(0), edited)
}

#[track_caller]
pub(super) fn becomes(masks: Vec<Mask>, value: &[u8], expected: &[u8]) {
    let (record, edited) = masked_by(masks, value);
    assert_eq!((record.value.as_deref(), edited.unparsable), (Some(expected), 0));
    assert!(record.headers.is_empty());
}

#[track_caller]
fn is_hidden(masks: Vec<Mask>, value: &[u8]) {
    let (record, edited) = masked_by(masks, value);
    assert_eq!((record.value.as_deref(), edited.unparsable), (Some(&[][..]), 1));
    assert_eq!(record.headers[0].0, MASKED_HEADER.as_bytes());
}

pub(super) fn refusal(mask: &Mask) -> String {
    mask.fits().expect_err("it fits")
}

const CUSTOMER: &str = r#"{"type":"record","name":"Customer","fields":[
    {"name":"id","type":"long"},
    {"name":"email","type":["null","string"]},
    {"name":"tags","type":{"type":"array","items":"string"}},
    {"name":"more","type":{"type":"map","values":["string","null","long"]}},
    {"name":"next","type":["null","Customer"]},
    {"name":"level","type":{"type":"enum","name":"Level","symbols":["LOW","HIGH"]}},
    {"name":"pin","type":{"type":"fixed","name":"Pin","size":2}},
    {"name":"due","type":{"type":"bytes","logicalType":"decimal","precision":4}},
    {"name":"key","type":{"type":"string","logicalType":"uuid"}},
    {"name":"raw","type":"bytes"}]}"#;

/// One after the other: id -1, an e-mail address, two tags in a block that says its size, more, next, level, pin, due, key, raw.
fn customer(email: &[u8], tags: &[u8], more: &[u8], next: &[u8]) -> Vec<u8> {
    let key = [b"\x48", NOBODY.as_bytes()].concat();
    [&[1][..], email, tags, more, next, &[2, 9, 8, 4, 1, 2], &key, &[4, 0xff, b'x']].concat()
}

const NOBODY: &str = "8b8f9f2e-0000-4000-8000-1234567890ab";
const EMAIL: &[u8] = b"\x02\x1eada@example.com";
const MASKED: &[u8] = b"\x02\x1ea**@example.com";
const TAGS: &[u8] = b"\x03\x08\x02a\x02b\0";

#[test]
fn avro_fields_are_masked_in_their_types() {
    let avro = schema("c.avsc", CUSTOMER, None, false);
    let one = |path: &str, how: How| vec![by(&avro, path, how)];
    let value = customer(EMAIL, TAGS, &[0], &[0]);
    becomes(one("$.email", How::Email), &value, &customer(MASKED, TAGS, &[0], &[0]));
    becomes(one("$.email", How::ToNull), &value, &customer(&[0], TAGS, &[0], &[0]));
    // a block that says its size says the new one
    let longer = b"\x03\x0f\x08****\x08****\0";
    let longer = [&[3, 20][..], &longer[2..]].concat();
    becomes(one("$.tags[*]", How::All), &value, &customer(EMAIL, &longer, &[0], &[0]));
    becomes(
        one("$.tags[1]", How::Replace("".into())),
        &value,
        &customer(EMAIL, b"\x03\x06\x02a\0\0", &[0], &[0]),
    );
    becomes(one("$.tags", How::All), &value, &customer(EMAIL, &[0], &[0], &[0]));
    // of a union each branch in its type
    let more = b"\x06\x02a\0\x02b\x02b\x04\x02\x02c\0\x02s\0";
    let more = [&more[..1], b"\x02a\0\x02x", b"\x02b\x02", b"\x02c\x04\x07", b"\0"].concat();
    let hidden = [&more[..1], b"\x02a\0\x08****", b"\x02b\x02", b"\x02c\x04\0", b"\0"].concat();
    let value = customer(EMAIL, TAGS, &more, &[0]);
    becomes(one("$.more.*", How::All), &value, &customer(EMAIL, TAGS, &hidden, &[0]));
    let nulls = [&more[..1], b"\x02a\0\x02x", b"\x02b\x02", b"\x02c\x02", b"\0"].concat();
    becomes(one("$.more.c", How::ToNull), &value, &customer(EMAIL, TAGS, &nulls, &[0]));
    becomes(one("$.more.d", How::All), &value, &value);
    // at any depth
    let inner = [&[2][..], &customer(EMAIL, TAGS, &[0], &[0])].concat();
    let hidden = [&[2][..], &customer(MASKED, TAGS, &[0], &[0])].concat();
    let value = customer(EMAIL, TAGS, &[0], &inner);
    becomes(one("$.next.email", How::Email), &value, &customer(EMAIL, TAGS, &[0], &hidden));
    becomes(one("$.next", How::ToNull), &value, &customer(EMAIL, TAGS, &[0], &[0]));
    let stars = |rest: &[u8]| customer(b"\x02\x08****", TAGS, &[0], rest);
    becomes(one("$..email", How::All), &value, &stars(&[&[2][..], &stars(&[0])].concat()));
    // several of one field, one after the other, and fields in what is hidden as a whole
    let masks = vec![
        by(&avro, "$.email", How::Email),
        by(&avro, "$.email", How::KeepLast(4)),
        by(&avro, "$..email", How::Replace("7".into())),
        by(&avro, "$.email", How::KeepFirst(0)),
        by(&avro, "$.next", How::ToNull),
    ];
    becomes(masks, &value, &customer(b"\x02\x02*", TAGS, &[0], &[0]));
    let value = customer(b"\x02\x02x", b"\x02\x02t\0", &[0], &[0]);
    let tail = value.len() - 46;
    for (path, how, at, hidden) in [
        ("$.id", How::All, 0..1, &[0][..]),
        ("$.id", How::Replace("-2".into()), 0..1, &[3]),
        ("$.level", How::Replace("LOW".into()), tail..tail + 1, &[0]),
        ("$.pin", How::All, tail + 1..tail + 3, &[0, 0]),
        ("$.pin", How::Replace("ab".into()), tail + 1..tail + 3, b"ab"),
        ("$.due", How::All, tail + 3..tail + 6, &[2, 0]),
        ("$.key", How::All, tail + 6..tail + 43, b"\x4800000000-0000-0000-0000-000000000000"),
        ("$.raw", How::KeepLast(1), tail + 43..tail + 46, b"\x08****"),
    ] {
        let expected = [&value[..at.start], hidden, &value[at.end..]].concat();
        becomes(one(path, how), &value, &expected);
    }
}

#[test]
fn what_cannot_be_masked_so_is_told_before() {
    let avro = schema("c.avsc", CUSTOMER, None, false);
    for (path, how, said) in [
        (
            "$.id",
            How::KeepLast(4),
            "mask($.id, keep_last(4)) by c.avsc: $.id is a long, and this mask makes no other: it takes \"all\" (0), replace(number)",
        ),
        ("$.id", How::Replace("1.5".into()), "is a long"),
        ("$.id", How::ToNull, "it cannot be null"),
        (
            "$.tags[*]",
            How::ToNull,
            "$.tags[*] is a string, and this mask makes no other: it takes any other mask; it cannot be null",
        ),
        ("$.next.next.email", How::All, ""),
        ("$.next", How::All, "$.next is a record"),
        ("$.more.*", How::Email, "$.more.* is a long"),
        ("$.level", How::All, "is an enum"),
        ("$.level", How::Replace("MIDDLE".into()), "replace(one of its symbols)"),
        ("$.due", How::Replace("1".into()), "is a decimal"),
        ("$.key", How::Replace("1".into()), "is a UUID"),
        ("$.pin", How::Replace("abc".into()), "is fixed"),
        ("$", How::All, "$ is a record"),
        ("$..*", How::All, "is a"),
        ("$.emial", How::All, "mask($.emial, all) by c.avsc: there is no such field"),
        ("$.email.address", How::All, "no such field"),
        ("$.tags.a", How::All, "no such field"),
        ("key", How::All, "`key` is masked without one"),
        ("headers.h", How::All, "`headers.h` is masked without one"),
    ] {
        let mask = by(&avro, path, how);
        match said {
            "" => mask.fits().unwrap(),
            said => assert!(refusal(&mask).contains(said), "{path}: {}", refusal(&mask)),
        }
    }
    let json = by(&schema("s.json", "{}", None, false), "$.a", How::All);
    assert!(refusal(&json).contains("JSON is masked without a schema"));
}

#[test]
fn what_is_not_of_the_schema_is_hidden_whole() {
    let avro = schema("c.avsc", CUSTOMER, None, false);
    let one = || vec![by(&avro, "$.email", How::Email)];
    let value = customer(EMAIL, TAGS, &[0], &[0]);
    for end in 1..value.len() {
        is_hidden(one(), &value[..end]);
    }
    is_hidden(one(), &[&value[..], &[0]].concat());
    is_hidden(one(), br#"{"email":"ada@example.com"}"#);
    // an untouched value of which a mask finds nothing stays
    let other = customer(&[0], TAGS, &[0], &[0]);
    becomes(one(), &other, &other);
    let (_, edited) = masked_by(one(), &other);
    assert_eq!(edited.payload, None);
    let error = Mask { on_unparsable: OnUnparsable::Error, ..by(&avro, "$.email", How::Email) };
    let record = Owned { value: Some(vec![1, 2, 2, 0xff]), ..Owned::default() };
    let refused = one_rule(vec![Edit::Mask(error)]).apply(
        &batch(of_codec(Compression::None), &[record]),
        LIMIT,
        &mut everything(),
    );
    assert!(
        matches!(&refused, Err(EditError::Unparsable { source, .. })
        if source.to_string() == "not c.avsc at $.email: is no UTF-8"),
        "{refused:?}"
    );
}

#[test]
fn by_a_schema_and_as_json_each_for_itself() {
    let avro = schema("c.avsc", CUSTOMER, None, false);
    let rules = |second: Edit, pass| {
        let first = Mask { on_unparsable: pass, ..by(&avro, "$.email", How::Email) };
        RecordEdits::new(vec![rule("one", vec![Edit::Mask(first)]), rule("two", vec![second])])
    };
    let record = |value: &[u8]| Owned { value: Some(value.to_vec()), ..Owned::default() };
    let seen = |edits: RecordEdits, value: &[u8]| {
        let edited = apply(&edits, &batch(of_codec(Compression::None), &[record(value)]));
        let counts: Vec<_> = edited.rules.iter().map(|counts| counts.unparsable).collect();
        (read(&edited.payload.unwrap()).remove(0).value.unwrap(), edited.unparsable, counts)
    };
    let value = customer(EMAIL, TAGS, &[0], &[0]);
    let json = || mask_or("$.email", How::All, OnUnparsable::Pass);
    assert_eq!(
        seen(rules(json(), OnUnparsable::Pass), &value),
        (customer(MASKED, TAGS, &[0], &[0]), 1, vec![0, 1])
    );
    assert_eq!(
        seen(rules(json(), OnUnparsable::Pass), br#"{"email":"x"}"#),
        (br#"{"email":"****"}"#.to_vec(), 1, vec![1, 0])
    );
    let closed = mask("$.email", How::All);
    assert_eq!(seen(rules(closed, OnUnparsable::Pass), &value), (vec![], 1, vec![0, 1]));
}

#[test]
fn a_rule_that_observes_tells_and_does_nothing() {
    let avro = schema("c.avsc", CUSTOMER, None, false);
    let edits = |observe| EditRule { observe, ..rule("r", vec![Edit::Mask(by(&avro, "$.email", How::All))]) };
    let value = |value: Vec<u8>| {
        batch(of_codec(Compression::None), &[Owned { value: Some(value), ..Owned::default() }])
    };
    for (payload, counts) in [
        (
            value(customer(EMAIL, TAGS, &[0], &[0])),
            RuleCounts { selected: 1, applied: 1, ..RuleCounts::default() },
        ),
        (value(vec![7]), RuleCounts { selected: 1, unparsable: 1, ..RuleCounts::default() }),
    ] {
        let edited = apply(&RecordEdits::new(vec![edits(true)]), &payload);
        assert_eq!((edited.payload, &edited.rules[..]), (None, &[counts][..]));
        assert!(apply(&RecordEdits::new(vec![edits(false)]), &payload).payload.is_some());
    }
}

const SHOP: &str = r#"syntax = "proto3"; package shop;
message Other { string id = 1; }
message Customer {
    message Card { string number = 1; int32 cvc = 2; repeated sint32 counts = 3; }
    uint64 id = 1; string email = 2; repeated string tags = 3; Card card = 4; map<int32, string> notes = 5; Level level = 6;
    repeated Card cards = 7; bytes raw = 8; fixed64 big = 9; map<string, Card> by_name = 10;
}
enum Level { UNKNOWN = 0; LOW = 1; HIGH = 2; }"#;

fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    [&[number << 3 | 2, u8::try_from(bytes.len()).unwrap()], bytes].concat()
}

#[test]
fn protobuf_fields_are_masked_in_their_types() {
    let proto = schema("s.proto", SHOP, Some("shop.Customer"), false);
    let one = |path: &str, how: How| vec![by(&proto, path, how)];
    let card = |number: &[u8], rest: &[u8]| [&field(1, number), rest].concat();
    for (path, how, value, expected) in [
        ("$.email", How::Email, field(2, b"ada@x.de"), field(2, b"a**@x.de")),
        // the last counts to most readers, so all are hidden
        (
            "$.email",
            How::All,
            [field(2, b"a"), vec![8, 1], field(2, b"b")].concat(),
            [field(2, b"****"), vec![8, 1], field(2, b"****")].concat(),
        ),
        ("$.email", How::ToNull, [vec![8, 1], field(2, b"a"), vec![8, 2]].concat(), vec![8, 1, 8, 2]),
        // nobody writes a zero: whoever reads one would know that it was none
        ("$.id", How::All, vec![8, 0xff, 1], vec![]),
        ("$.big", How::All, vec![0x49, 1, 2, 3, 4, 5, 6, 7, 8], vec![]),
        ("$.level", How::All, vec![0x30, 2], vec![]),
        ("$.raw", How::All, field(8, &[0xff]), field(8, b"****")),
        (
            "$.tags[*]",
            How::All,
            [field(3, b"a"), field(2, b"e"), field(3, b"")].concat(),
            [field(3, b"****"), field(2, b"e"), field(3, b"****")].concat(),
        ),
        (
            "$.tags[1]",
            How::All,
            [field(3, b"a"), field(2, b"e"), field(3, b"b")].concat(),
            [field(3, b"a"), field(2, b"e"), field(3, b"****")].concat(),
        ),
        ("$.tags", How::All, [field(3, b"a"), field(2, b"e"), field(3, b"b")].concat(), field(2, b"e")),
        (
            "$.card.number",
            How::KeepLast(2),
            field(4, &card(b"4111", &[16, 5])),
            field(4, &card(b"**11", &[16, 5])),
        ),
        ("$.card", How::All, field(4, &card(b"4111", &[16, 5])), field(4, b"")),
        ("$.card", How::ToNull, [vec![8, 1], field(4, &card(b"4111", &[]))].concat(), vec![8, 1]),
        (
            "$..number",
            How::All,
            [field(4, &card(b"1", &[])), field(7, &card(b"2", &[]))].concat(),
            [field(4, &card(b"****", &[])), field(7, &card(b"****", &[]))].concat(),
        ),
        ("$.cards[*].cvc", How::All, field(7, &card(b"1", &[16, 0x80, 1])), field(7, &card(b"1", &[]))),
        // packed or not
        (
            "$.card.counts[*]",
            How::Replace("-1".into()),
            field(4, &[&field(3, &[2, 0x80, 1, 0])[..], &[24, 6]].concat()),
            field(4, &[&field(3, &[1, 1, 1])[..], &[24, 1]].concat()),
        ),
        (
            "$.card.counts[3]",
            How::All,
            field(4, &[&field(3, &[2, 0x80, 1, 2])[..], &[24, 6]].concat()),
            field(4, &[&field(3, &[2, 0x80, 1, 2])[..], &[24, 0]].concat()),
        ),
        // a map's value may stand before its key, and a key may be left out
        (
            "$.notes['-1']",
            How::All,
            field(5, &[&field(2, b"n")[..], &[8], &[0xff; 9], &[1]].concat()),
            field(5, &[&field(2, b"****")[..], &[8], &[0xff; 9], &[1]].concat()),
        ),
        ("$.notes['0']", How::All, field(5, &field(2, b"n")), field(5, &field(2, b"****"))),
        ("$.notes['1']", How::All, field(5, &field(2, b"n")), field(5, &field(2, b"n"))),
        ("$.notes.*", How::ToNull, field(5, &[&[8, 1][..], &field(2, b"n")].concat()), field(5, &[8, 1])),
        ("$.notes", How::All, [field(5, &[8, 1]), vec![8, 1], field(5, &[8, 2])].concat(), vec![8, 1]),
        (
            "$.by_name.ada.number",
            How::All,
            field(10, &[field(1, b"ada"), field(2, &card(b"1", &[]))].concat()),
            field(10, &[field(1, b"ada"), field(2, &card(b"****", &[]))].concat()),
        ),
        (
            "$.by_name.bob.number",
            How::All,
            field(10, &[field(1, b"ada"), field(2, &card(b"1", &[]))].concat()),
            field(10, &[field(1, b"ada"), field(2, &card(b"1", &[]))].concat()),
        ),
    ] {
        becomes(one(path, how), &value, &expected);
    }
    // a length that needs one byte more, and that of what is around it
    let long = [b'1'; 126];
    let inner = [&[10, 126][..], &long].concat();
    let value = [&[0x22, 0x80, 1][..], &inner].concat();
    let inner = [&[10, 0x80, 1][..], &[b'x'; 128]].concat();
    becomes(
        one("$.card.number", How::Replace("x".repeat(128))),
        &value,
        &[&[0x22, 0x83, 1][..], &inner].concat(),
    );
}

#[test]
fn protobuf_fails_closed() {
    let proto = schema("s.proto", SHOP, Some("shop.Customer"), false);
    for (path, value) in [
        // no such field, another type, a group, no UTF-8, cut short
        ("$.email", [field(2, b"a"), field(15, b"b")].concat()),
        ("$.email", vec![16, 1]),
        ("$.email", [field(2, b"a"), vec![0x23, 0x24]].concat()),
        ("$.email", field(2, b"\xff")),
        ("$.email", vec![18, 9, b'a']),
        ("$.email", br#"{"email":"ada@example.com"}"#.to_vec()),
        // an entry with two keys; messages that readers merge, when places of elements matter
        ("$.notes['1']", field(5, &[&[8, 1][..], &field(2, b"n"), &[8, 2]].concat())),
        ("$.card.counts[1]", [field(4, &[24, 6]), field(4, &[24, 6])].concat()),
        (
            "$.by_name.a.counts[1]",
            field(10, &[field(1, b"a"), field(2, &[24, 6]), field(2, &[24, 6])].concat()),
        ),
    ] {
        is_hidden(vec![by(&proto, path, How::All)], &value);
    }
    for (path, how, said) in [
        ("$", How::All, "it takes masks of its fields"),
        ("$.id", How::Email, "$.id is a number"),
        ("$.id", How::Replace("7".into()), "$.id is not written when it is zero"),
        ("$.level", How::Replace("LOW".into()), "would not be replaced then"),
        ("$.card.counts[*]", How::Replace("x".into()), "is a number"),
        ("$.tags", How::Email, "$.tags is repeated"),
        ("$.tags[*]", How::ToNull, "it cannot be missing"),
        ("$.notes", How::KeepLast(1), "is a map"),
        ("$.card", How::Email, "$.card is a message"),
        ("$.e_mail", How::All, "there is no such field"),
        ("$.tags.a", How::All, "there is no such field"),
    ] {
        let said_now = refusal(&by(&proto, path, how));
        assert!(said_now.contains(said), "{path}: {said_now}");
    }
    // where it is told whether they are there, numbers take what is one
    let told = "syntax = \"proto3\"; message A { optional int32 n = 1; oneof o { bool b = 2; E e = 3; } } enum E { NO = 0; YES = 1; }";
    let told = schema("s.proto", told, Some("A"), false);
    let one = |path: &str, how: How| vec![by(&told, path, how)];
    becomes(one("$.n", How::All), &[8, 5], &[8, 0]);
    becomes(one("$.n", How::Replace("300".into())), &[8, 1], &[8, 0xac, 2]);
    becomes(one("$.b", How::Replace("true".into())), &[16, 0], &[16, 1]);
    becomes(one("$.e", How::Replace("YES".into())), &[24, 0], &[24, 1]);
    assert!(refusal(&by(&told, "$.e", How::Replace("NONE".into()))).contains("is an enum"));
    assert!(refusal(&by(&told, "$.n", How::Replace("x".into()))).contains("is a number"));
    let old = "syntax = \"proto2\"; message A { required string a = 1; optional B b = 2; repeated group G = 3 { optional string s = 4; } }
        message B { required string b = 1; }";
    let old = schema("s.proto", old, Some("A"), false);
    for (path, how, said) in [
        ("$.a", How::ToNull, "it cannot be missing"),
        ("$.b", How::All, "$.b is a message"),
        ("$..s", How::All, "is a group"),
    ] {
        let said_now = refusal(&by(&old, path, how));
        assert!(said_now.contains(said), "{path}: {said_now}");
    }
    becomes(
        vec![by(&old, "$.b", How::ToNull)],
        &[field(1, b"x"), field(2, &field(1, b"y"))].concat(),
        &field(1, b"x"),
    );
}

/// Masks of many short values make much of little.
#[test]
fn what_masks_make_far_too_long_is_hidden() {
    let avro = schema("l.avsc", r#"{"type":"array","items":"string"}"#, None, false);
    let one = |count: usize| {
        let mut value = Vec::new();
        zigzag(count as i64, &mut value);
        value.extend(vec![0; count + 1]);
        value
    };
    let long = || vec![by(&avro, "$[*]", How::Replace("x".repeat(100)))];
    let (record, edited) = masked_by(long(), &one(1_000));
    assert_eq!((record.value.unwrap().len(), edited.unparsable), (102 * 1_000 + 3, 0));
    is_hidden(long(), &one(100_000));
    // and what is longer than a schema is held against
    is_hidden(vec![by(&avro, "$[*]", How::All)], &one(1 << 20));
}

/// What a rule that only observes wants of a value is nothing to those that protect.
#[test]
fn a_rule_that_observes_lets_nothing_pass() {
    let proto = schema("s.proto", SHOP, Some("shop.Customer"), false);
    let mut email = by(&proto, "$.email", How::All);
    email.on_unparsable = OnUnparsable::Pass;
    let card = || [field(4, &field(1, b"1")), field(4, &field(1, b"2"))].concat();
    let watched = Edit::Mask(by(&proto, "$.card.counts[0]", How::All));
    let rules = vec![
        rule("protects", vec![Edit::Mask(email)]),
        EditRule { observe: true, ..rule("watches", vec![watched]) },
    ];
    let record = Owned { value: Some([field(2, b"ada@x.de"), card()].concat()), ..Owned::default() };
    let payload = batch(of_codec(Compression::None), &[record]);
    let edited = apply(&RecordEdits::new(rules), &payload);
    let value = read(edited.payload.as_ref().unwrap()).remove(0).value;
    assert_eq!(value.as_deref(), Some(&[field(2, b"****"), card()].concat()[..]));
}

#[test]
fn a_registrys_frame_stays() {
    let avro = schema(
        "c.avsc",
        r#"{"type":"record","name":"A","fields":[{"name":"s","type":"string"}]}"#,
        None,
        true,
    );
    let framed = |rest: &[u8]| [b"\0\0\0\0\x07", rest].concat();
    let one = |schema: &Arc<Schema>, path: &str| vec![by(schema, path, How::All)];
    becomes(one(&avro, "$.s"), &framed(b"\x02x"), &framed(b"\x08****"));
    for bad in [&b"\x02x"[..], b"\x01\0\0\0\x07\x02x", b"\0\0\0\0\x08\x02x", b"\0\0\0\0", &framed(b"")] {
        is_hidden(one(&avro, "$.s"), bad);
    }
    for (message, indexes) in
        [("shop.Other", &[0][..]), ("shop.Other", &[2, 0]), ("shop.Customer.Card", &[4, 2, 0])]
    {
        let proto = schema("s.proto", SHOP, Some(message), true);
        let path = if message == "shop.Other" { "$.id" } else { "$.number" };
        let value = |text: &[u8]| framed(&[indexes, &field(1, text)].concat());
        becomes(one(&proto, path), &value(b"x"), &value(b"****"));
        is_hidden(one(&proto, path), &framed(&[&[2, 2][..], &field(1, b"x")].concat()));
        is_hidden(one(&proto, path), &framed(&field(1, b"x")));
    }
}

// The second implementation: types, values of them as JSON, and how both formats write them.

#[derive(Debug, Clone)]
enum Shape {
    Long,
    Bool,
    Text,
    Bytes,
    Nullable(Box<Shape>, bool),
    List(Box<Shape>),
    Map(Box<Shape>),
    Record(Vec<(char, Shape)>),
}

/// Draws of a seed.
struct Draws(u64);

impl Draws {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % n
    }

    fn leaf(&mut self) -> Shape {
        match self.below(6) {
            0 => Shape::Long,
            1 => Shape::Bool,
            2 => Shape::Bytes,
            _ => Shape::Text,
        }
    }

    fn record(&mut self, depth: u64, nullable: bool) -> Shape {
        let fields = "abc".chars().take(1 + self.below(3) as usize);
        Shape::Record(fields.map(|name| (name, self.shape(depth, nullable, true))).collect())
    }

    /// `nullable`: as Avro has it, whose lists may hold lists too.
    fn shape(&mut self, depth: u64, nullable: bool, many: bool) -> Shape {
        let depth = depth.saturating_sub(1);
        let shape = match self.below(if depth == 0 { 1 } else { 5 }) {
            1 if many => Shape::List(Box::new(self.shape(depth, nullable, nullable))),
            2 if many => Shape::Map(Box::new(self.shape(depth, nullable, nullable))),
            3 | 4 => self.record(depth, nullable),
            _ => self.leaf(),
        };
        match nullable && self.below(3) == 0 {
            true => Shape::Nullable(Box::new(shape), self.below(2) == 0),
            false => shape,
        }
    }

    fn value(&mut self, shape: &Shape) -> Value {
        match shape {
            Shape::Long => (self.below(1 << 31) as i64 - (1 << 30)).into(),
            Shape::Bool => (self.below(2) == 1).into(),
            Shape::Text | Shape::Bytes => match self.below(3) {
                0 => "ada@example.com".into(),
                1 => "x".repeat(self.below(300) as usize).into(),
                _ => "é😀".into(),
            },
            Shape::Nullable(inner, _) if self.below(3) > 0 => self.value(inner),
            Shape::Nullable(..) => Value::Null,
            Shape::List(inner) => (0..self.below(4)).map(|_| self.value(inner)).collect(),
            Shape::Map(inner) => {
                let names = "abc".chars().take(self.below(4) as usize);
                Value::Object(names.map(|name| (name.to_string(), self.value(inner))).collect())
            }
            Shape::Record(fields) => Value::Object(
                fields.iter().map(|(name, shape)| (name.to_string(), self.value(shape))).collect(),
            ),
        }
    }
}

fn varint(mut number: u64, out: &mut Vec<u8>) {
    loop {
        let byte = (number & 0x7f) as u8;
        number >>= 7;
        if number == 0 {
            return out.push(byte);
        }
        out.push(byte | 0x80);
    }
}

fn zigzag(number: i64, out: &mut Vec<u8>) {
    varint(if number < 0 { !((number as u64) << 1) } else { (number as u64) << 1 }, out);
}

/// A number, or what a mask of JSON left of it.
fn number(value: &Value) -> i64 {
    value.as_i64().unwrap_or_else(|| value.as_str().unwrap().parse().unwrap_or(0))
}

fn truth(value: &Value) -> bool {
    value.as_bool().unwrap_or_else(|| value == "true")
}

/// `style`: how lists are cut into blocks.
fn avro(shape: &Shape, value: &Value, style: u8, out: &mut Vec<u8>) {
    let blocks = |elements: Vec<Vec<u8>>, out: &mut Vec<u8>| {
        for block in elements.chunks(if style & 1 == 0 { usize::MAX } else { 1 }) {
            let bytes = block.concat();
            if style & 2 == 0 {
                zigzag(block.len() as i64, out);
            } else {
                zigzag(-(block.len() as i64), out);
                zigzag(bytes.len() as i64, out);
            }
            out.extend_from_slice(&bytes);
        }
        out.push(0);
    };
    let text = |text: &str, out: &mut Vec<u8>| {
        zigzag(text.len() as i64, out);
        out.extend_from_slice(text.as_bytes());
    };
    match (shape, value) {
        (Shape::Long, value) => zigzag(number(value), out),
        (Shape::Bool, value) => out.push(u8::from(truth(value))),
        (Shape::Text | Shape::Bytes, value) => text(value.as_str().unwrap(), out),
        (Shape::Nullable(inner, first), value) => {
            zigzag(i64::from(value.is_null() != *first), out);
            if !value.is_null() {
                avro(inner, value, style, out);
            }
        }
        (Shape::List(inner), Value::Array(elements)) => {
            let element = |value: &Value| {
                let mut out = Vec::new();
                avro(inner, value, style, &mut out);
                out
            };
            blocks(elements.iter().map(element).collect(), out);
        }
        (Shape::Map(inner), Value::Object(members)) => {
            let member = |(name, value): (&String, &Value)| {
                let mut out = Vec::new();
                text(name, &mut out);
                avro(inner, value, style, &mut out);
                out
            };
            blocks(members.iter().map(member).collect(), out);
        }
        (Shape::List(_) | Shape::Map(_), _) => out.push(0),
        (Shape::Record(fields), value) => {
            for (name, shape) in fields {
                avro(shape, &value[name.to_string()], style, out);
            }
        }
    }
}

fn avro_schema(shape: &Shape, records: &mut usize) -> Value {
    match shape {
        Shape::Long => "long".into(),
        Shape::Bool => "boolean".into(),
        Shape::Text => "string".into(),
        Shape::Bytes => "bytes".into(),
        Shape::Nullable(inner, null_first) => {
            let inner = avro_schema(inner, records);
            if *null_first { serde_json::json!(["null", inner]) } else { serde_json::json!([inner, "null"]) }
        }
        Shape::List(inner) => serde_json::json!({ "type": "array", "items": avro_schema(inner, records) }),
        Shape::Map(inner) => serde_json::json!({ "type": "map", "values": avro_schema(inner, records) }),
        Shape::Record(fields) => {
            *records += 1;
            let name = format!("R{records}");
            let fields: Vec<Value> = fields
                .iter()
                .map(|(field, shape)| {
                    serde_json::json!({ "name": field.to_string(), "type": avro_schema(shape, records) })
                })
                .collect();
            serde_json::json!({ "type": "record", "name": name, "fields": fields })
        }
    }
}

/// A field of a message, with its tag. `style`: packed or not, value before key or behind.
fn proto(number_of: u64, shape: &Shape, value: &Value, style: u8, out: &mut Vec<u8>) {
    let length = |bytes: &[u8], out: &mut Vec<u8>| {
        varint(number_of << 3 | 2, out);
        varint(bytes.len() as u64, out);
        out.extend_from_slice(bytes);
    };
    match (shape, value) {
        (_, Value::Null) => {}
        (Shape::Long | Shape::Bool, value) => {
            varint(number_of << 3, out);
            scalar(shape, value, out);
        }
        (Shape::Text | Shape::Bytes, value) => length(value.as_str().unwrap().as_bytes(), out),
        (Shape::Nullable(..), _) => unreachable!("only Avro has it"),
        (Shape::List(inner), Value::Array(elements)) => match **inner {
            Shape::Long | Shape::Bool if style & 1 == 1 => {
                let mut packed = Vec::new();
                elements.iter().for_each(|element| scalar(inner, element, &mut packed));
                length(&packed, out);
            }
            _ => elements.iter().for_each(|element| proto(number_of, inner, element, style, out)),
        },
        (Shape::Map(inner), Value::Object(members)) => {
            for (name, value) in members {
                let (mut key, mut entry) = (Vec::new(), Vec::new());
                proto(1, &Shape::Text, &name.as_str().into(), style, &mut key);
                proto(2, inner, value, style, &mut entry);
                let entry = if style & 2 == 0 { [key, entry] } else { [entry, key] };
                length(&entry.concat(), out);
            }
        }
        (Shape::Record(fields), Value::Object(members)) => {
            let mut message = Vec::new();
            for (number, (name, shape)) in (1..).zip(fields) {
                proto_field(number, shape, &members[&name.to_string()], style, &mut message);
            }
            length(&message, out);
        }
        // hidden as a whole
        (Shape::Record(_), _) => length(&[], out),
        (Shape::List(_) | Shape::Map(_), _) => {}
    }
}

fn scalar(shape: &Shape, value: &Value, out: &mut Vec<u8>) {
    match shape {
        Shape::Long => varint(number(value) as u64, out),
        _ => out.push(u8::from(truth(value))),
    }
}

/// The type's name in a `.proto` file, whose messages are put into `messages`.
fn proto_type(shape: &Shape, messages: &mut Vec<String>) -> String {
    match shape {
        Shape::Long => "int64".to_owned(),
        Shape::Bool => "bool".to_owned(),
        Shape::Text => "string".to_owned(),
        Shape::Bytes => "bytes".to_owned(),
        Shape::Nullable(..) => unreachable!("only Avro has it"),
        Shape::List(inner) => format!("repeated {}", proto_type(inner, messages)),
        Shape::Map(inner) => format!("map<string, {}>", proto_type(inner, messages)),
        Shape::Record(fields) => {
            let mut text = String::new();
            for (number, (name, shape)) in (1..).zip(fields) {
                text += &format!(" {} {name} = {number};", proto_type(shape, messages));
            }
            messages.push(format!("message M{} {{{text} }}", messages.len()));
            format!("M{}", messages.len() - 1)
        }
    }
}

/// A message of its own: without what stands before it as a field.
fn proto_value(shape: &Shape, value: &Value, style: u8) -> Vec<u8> {
    let Shape::Record(fields) = shape else { unreachable!("messages have fields") };
    let mut out = Vec::new();
    for (number, (name, shape)) in (1..).zip(fields) {
        proto_field(number, shape, &value[name.to_string()], style, &mut out);
    }
    out
}

/// As serialisers write it: a number or boolean of a message not when it is zero.
fn proto_field(number_of: u64, shape: &Shape, value: &Value, style: u8, out: &mut Vec<u8>) {
    let is_zero = match shape {
        _ if value.is_null() => false,
        Shape::Long => number(value) == 0,
        Shape::Bool => !truth(value),
        _ => false,
    };
    if !is_zero {
        proto(number_of, shape, value, style, out);
    }
}

fn proto_schema(shape: &Shape) -> Arc<Schema> {
    let mut messages = Vec::new();
    let name = proto_type(shape, &mut messages);
    schema("s.proto", &format!("syntax = \"proto3\"; {}", messages.join("\n")), Some(&name), false)
}

fn typed_how() -> impl Strategy<Value = How> {
    prop_oneof![
        3 => Just(How::All),
        1 => Just(How::Email),
        1 => (0usize..5).prop_map(How::KeepFirst),
        1 => Just(How::Replace("7".to_owned())),
        1 => Just(How::Replace("z".repeat(200))),
        1 => Just(How::ToNull),
    ]
}

/// Masks that fit, and what is left of the tree; of one that finds no field, that there is nothing to be found.
fn fitting(schema: &Arc<Schema>, masks: Vec<(Path, How)>, value: &mut Value) -> Vec<Mask> {
    let mut fitting = Vec::new();
    for (path, how) in masks {
        let mask = by(schema, &path.to_string(), how);
        match mask.fits() {
            Ok(()) => {
                reference(value, path.steps(), &mask.how);
                fitting.push(mask);
            }
            Err(why) if why.contains("no such field") => {
                let mut masked = value.clone();
                reference(&mut masked, path.steps(), &mask.how);
                assert_eq!(masked, *value, "{path} of {schema}");
            }
            Err(_) => {}
        }
    }
    fitting
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn avro_masks_change_what_they_find_and_nothing_else(
        seed: u64,
        masks in proptest::collection::vec((path(), typed_how()), 1..4),
        style in 0u8..4,
    ) {
        let mut draws = Draws(seed);
        let shape = draws.record(4, true);
        let mut value = draws.value(&shape);
        let schema = schema("s.avsc", &avro_schema(&shape, &mut 0).to_string(), None, false);
        let (mut before, mut after) = (Vec::new(), Vec::new());
        avro(&shape, &value, style, &mut before);
        let masks = fitting(&schema, masks, &mut value);
        avro(&shape, &value, style, &mut after);
        prop_assert_eq!(schema.check(Some(&after)), Ok(()));
        let (record, edited) = masked_by(masks, &before);
        prop_assert_eq!(record.value.unwrap(), after, "{:?}", shape);
        prop_assert_eq!(edited.unparsable, 0);
    }

    #[test]
    fn protobuf_masks_change_what_they_find_and_nothing_else(
        seed: u64,
        masks in proptest::collection::vec((path(), typed_how()), 1..4),
        style in 0u8..4,
    ) {
        let mut draws = Draws(seed);
        let shape = draws.record(4, false);
        let mut value = draws.value(&shape);
        let schema = proto_schema(&shape);
        let before = proto_value(&shape, &value, style);
        let masks = fitting(&schema, masks, &mut value);
        let after = proto_value(&shape, &value, style);
        prop_assert_eq!(schema.check(Some(&after)), Ok(()));
        let (record, edited) = masked_by(masks, &before);
        prop_assert_eq!(record.value.unwrap(), after, "{:?}", shape);
        prop_assert_eq!(edited.unparsable, 0);
    }

    /// Any bytes are masked or hidden; what goes on is of the schema, and nothing is in it that a mask would still change.
    #[test]
    fn any_bytes_are_masked_or_hidden(
        bytes in proptest::collection::vec(prop_oneof![0u8..20, any::<u8>()], 1..40),
        path in prop_oneof![Just("$..email"), Just("$.email"), Just("$.tags[*]"), Just("$.tags[0]"), Just("$.tags")],
    ) {
        for schema in HOSTILE.with(Clone::clone) {
            let mask = || vec![by(&schema, path, How::All)];
            let (record, edited) = masked_by(mask(), &bytes);
            let value = record.value.unwrap();
            // a message that stands twice fits, but the places of what is in it are nobody's knowledge
            if path != "$.tags[0]" || edited.unparsable == 0 {
                prop_assert_eq!(edited.unparsable == 1, schema.check(Some(&bytes)).is_err());
            }
            if edited.unparsable == 0 {
                prop_assert_eq!(schema.check(Some(&value)), Ok(()));
                prop_assert_eq!(masked_by(mask(), &value).0.value.unwrap_or_default(), value);
            }
        }
    }
}

thread_local! {
    static HOSTILE: [Arc<Schema>; 2] = [
        schema("c.avsc", r#"{"type":"record","name":"C","fields":[{"name":"email","type":["null","string"]},
            {"name":"tags","type":{"type":"array","items":"string"}},{"name":"next","type":["null","C"]}]}"#, None, false),
        schema("s.proto", "syntax = \"proto3\"; message C { string email = 1; repeated string tags = 2; C next = 3; map<int32, C> all = 4; }",
            Some("C"), false),
    ];
}
