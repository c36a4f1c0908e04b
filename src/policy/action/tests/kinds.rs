//! Masks by schema, kind by kind: what each becomes, and what is said where it cannot.

use super::typed::{becomes, by, refusal, schema};
use super::*;

const KINDS: &str = r#"{"type":"record","name":"K","fields":[
    {"name":"truth","type":"boolean"}, {"name":"int","type":"int"}, {"name":"float","type":"float"}, {"name":"double","type":"double"},
    {"name":"text","type":{"type":"string","logicalType":"other"}}, {"name":"raw","type":{"type":"bytes"}},
    {"name":"key","type":{"type":"string","logicalType":"uuid"}}, {"name":"large","type":{"type":"fixed","name":"Large","size":1048577}},
    {"name":"maybe","type":["null","long"]}]}"#;
const KEY: &str = "8b8f9f2e-0000-4000-8000-1234567890AB";

/// A value of [`KINDS`], with these parts in it.
fn kinds(parts: &[(usize, &[u8])]) -> Vec<u8> {
    let key = [b"\x48", KEY.as_bytes()].concat();
    let mut all: Vec<Vec<u8>> =
        [&[1][..], &[5], &[1, 2, 3, 4], &[1, 2, 3, 4, 5, 6, 7, 8], b"\x02t", b"\x02r", &key]
            .map(<[u8]>::to_vec)
            .into();
    for (at, bytes) in parts {
        all[*at] = bytes.to_vec();
    }
    all.concat()
}

#[test]
fn every_kind_of_avro_is_masked_in_its_type() {
    let without =
        KINDS.replace(r#"{"name":"large","type":{"type":"fixed","name":"Large","size":1048577}},"#, "");
    let avro = schema("k.avsc", &without, None, false);
    let value = |parts: &[(usize, &[u8])]| [&kinds(parts)[..], &[0]].concat();
    let other = "0a1B2c3D-4e5F-6789-abcd-ef0123456789";
    let key = |text: &str| [b"\x48", text.as_bytes()].concat();
    for (path, how, at, masked) in [
        ("$.truth", How::All, 0, vec![0]),
        ("$.truth", How::Replace("false".into()), 0, vec![0]),
        ("$.int", How::All, 1, vec![0]),
        ("$.int", How::Replace("-300".into()), 1, vec![0xd7, 4]),
        ("$.float", How::All, 2, vec![0; 4]),
        ("$.float", How::Replace("-1.5".into()), 2, (-1.5_f32).to_le_bytes().to_vec()),
        ("$.double", How::All, 3, vec![0; 8]),
        ("$.double", How::Replace("1e300".into()), 3, 1e300_f64.to_le_bytes().to_vec()),
        ("$.text", How::All, 4, b"\x08****".to_vec()),
        ("$.raw", How::Replace("xy".into()), 5, b"\x04xy".to_vec()),
        ("$.key", How::Replace(other.into()), 6, key(other)),
    ] {
        becomes(vec![by(&avro, path, how)], &value(&[]), &value(&[(at, &masked)]));
    }
}

#[test]
fn what_no_value_of_avro_is_is_told() {
    let avro = schema("k.avsc", KINDS, None, false);
    for (path, how, said) in [
        ("$.truth", How::Replace("yes".into()), "$.truth is a boolean"),
        ("$.int", How::Replace("2147483648".into()), "$.int is an int"),
        ("$.float", How::Replace("inf".into()), "$.float is a float"),
        ("$.float", How::Replace("1e39".into()), "$.float is a float"),
        ("$.float", How::Email, "$.float is a float"),
        ("$.double", How::Replace("NaN".into()), "$.double is a double"),
        ("$.key", How::Replace(KEY.replace('-', "0")), "$.key is a UUID"),
        ("$.key", How::Replace(KEY.replace("2e-", "-2e")), "$.key is a UUID"),
        ("$.key", How::Replace(KEY.replace('f', "g")), "$.key is a UUID"),
        ("$.key", How::Replace(format!("{KEY}0")), "$.key is a UUID"),
        ("$.large", How::All, "$.large is fixed"),
        ("$.maybe", How::Email, "it takes \"all\" (0), replace(number), to_null()"),
    ] {
        let mask = by(&avro, path, how);
        assert!(refusal(&mask).contains(said), "{path}: {}", refusal(&mask));
    }
}

#[test]
fn what_no_value_of_protobuf_is_is_told() {
    let text = "syntax = \"proto3\"; message A { repeated string texts = 1; repeated bytes raws = 2; optional bool truth = 3; \
        repeated bool truths = 4; optional int32 number = 5; string text = 6; repeated A more = 7; }";
    let proto = schema("a.proto", text, Some("A"), false);
    for (path, how, said) in [
        (
            "$.texts[*]",
            How::ToNull,
            "$.texts[*] is a string, and this mask makes no other: it takes any other mask; it cannot be missing",
        ),
        (
            "$.raws[*]",
            How::ToNull,
            "$.raws[*] is bytes, and this mask makes no other: it takes any other mask; it cannot be missing",
        ),
        (
            "$.truth",
            How::Email,
            "$.truth is a boolean, and this mask makes no other: it takes \"all\" (false), replace(\"true\"), replace(\"false\"), to_null()",
        ),
        ("$.truths[*]", How::Email, "replace(\"false\")"),
        ("$.number", How::Email, "it takes \"all\" (0), replace(number), to_null()"),
    ] {
        let mask = by(&proto, path, how);
        assert!(refusal(&mask).contains(said), "{path}: {}", refusal(&mask));
    }
    assert!(!refusal(&by(&proto, "$.truths[*]", How::Email)).contains("to_null"));
    // only messages may not stand twice where places count
    becomes(
        vec![by(&proto, "$.texts[1]", How::All)],
        b"\x0a\x01a\x32\x01x\x32\x01y\x0a\x01b",
        b"\x0a\x01a\x32\x01x\x32\x01y\x0a\x04****",
    );
}

#[test]
fn a_number_that_was_replaced_is_a_number_to_the_next_mask() {
    let avro = schema(
        "n.avsc",
        r#"{"type":"record","name":"N","fields":[{"name":"id","type":"long"}]}"#,
        None,
        false,
    );
    let masks = vec![by(&avro, "$.id", How::Replace("5".into())), by(&avro, "$.id", How::All)];
    becomes(masks, &[2], &[0]);
}

#[test]
fn each_mask_goes_by_its_own_schema() {
    let of = |name: &str| {
        let text = format!(
            r#"{{"type":"record","name":"{name}","fields":[{{"name":"{name}","type":"string"}},{{"name":"n","type":"int"}}]}}"#
        );
        schema(&format!("{name}.avsc"), &text, None, false)
    };
    let (a, b) = (of("a"), of("b"));
    let rules = || {
        vec![
            rule("a", vec![Edit::Mask(by(&a, "$.a", How::All))]),
            rule("b", vec![Edit::Mask(by(&b, "$.b", How::Replace("-".into())))]),
            rule("a again", vec![Edit::Mask(by(&a, "$.n", How::All))]),
        ]
    };
    let value = b"\x02x\x06";
    for (selected, after) in
        [(&[0][..], &b"\x08****\x06"[..]), (&[1], b"\x02-\x06"), (&[2], b"\x02x\0"), (&[0, 2], b"\x08****\0")]
    {
        let payload =
            batch(of_codec(Compression::None), &[Owned { value: Some(value.to_vec()), ..Owned::default() }]);
        let mut context = Context(|rule: usize, _: &Seen<'_>| selected.contains(&rule));
        let edited = RecordEdits::new(rules()).apply(&payload, LIMIT, &mut context).unwrap();
        assert_eq!(edited.unparsable, 0);
        assert_eq!(read(&edited.payload.unwrap()).remove(0).value.as_deref(), Some(after));
    }
}
