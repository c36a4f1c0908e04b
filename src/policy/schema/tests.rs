//! Schemas of each kind: what fits, what does not and where, what does not load, and what hostile values cost.

use super::*;
use std::time::{Duration, Instant};

/// A folder with these files.
fn folder(files: &[(&str, &str)]) -> (tempfile::TempDir, Schemas) {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    let schemas = Schemas::new(Some(folder.path().to_owned()));
    (folder, schemas)
}

fn schema_of(file: &str, text: &str, options: &Options) -> std::sync::Arc<Schema> {
    folder(&[(file, text)]).1.find(file, options).unwrap_or_else(|why| panic!("{why}"))
}

fn json(text: &str) -> std::sync::Arc<Schema> {
    schema_of("s.json", text, &Options::default())
}

fn avro(text: &str) -> std::sync::Arc<Schema> {
    schema_of("s.avsc", text, &Options::default())
}

fn message(name: &str) -> Options {
    Options { message: Some(name.to_owned()), ..Options::default() }
}

fn proto(text: &str, name: &str) -> std::sync::Arc<Schema> {
    schema_of("s.proto", text, &message(name))
}

fn refused(files: &[(&str, &str)], options: &Options) -> String {
    folder(files).1.find(files[0].0, options).unwrap_err()
}

#[track_caller]
fn says(schema: &Schema, value: &[u8], said: &str) {
    let invalid = schema.check(Some(value)).expect_err("it fits");
    assert_eq!(invalid.to_string(), said);
}

const ORDER: &str = r#"{
    "type": "object", "required": ["id", "lines"], "additionalProperties": false,
    "properties": {
        "id": { "type": "integer", "minimum": 1 },
        "lines": { "type": "array", "minItems": 1, "items": { "$ref": "line.json" } },
        "notes": { "type": "object", "additionalProperties": { "type": "string" } }
    }
}"#;
const LINE: &str = r##"{ "type": "object", "properties": { "sku": { "$ref": "#/$defs/sku" } }, "$defs": { "sku": { "type": "string", "pattern": "^[A-Z]{3}$" } } }"##;

#[test]
fn json_schema_says_where_and_never_what() {
    let (_folder, schemas) = folder(&[("order.json", ORDER), ("line.json", LINE)]);
    let order = schemas.find("order.json", &Options::default()).unwrap();
    assert_eq!(order.check(Some(br#"{"id":7,"lines":[{"sku":"ABC"}],"notes":{"a":"b"}}"#)), Ok(()));
    assert_eq!(order.check(None), Ok(()), "a deletion says nothing");
    for (value, said) in [
        (r#"{"id":0,"lines":[{"sku":"ABC"}]}"#, "$.id: does not hold to `minimum`"),
        (
            r#"{"id":7,"lines":[{"sku":"ABC"},{"sku":"secret"}]}"#,
            "$.lines[1].sku: does not hold to `pattern`",
        ),
        (
            r#"{"id":7,"lines":[{"sku":"ABC"}],"notes":{"4111111111111111":1}}"#,
            "$.notes.*: does not hold to `type`",
        ),
        (r#"{"id":7}"#, "$: does not hold to `required`"),
        (r#"{"id":7,"lines":[{}],"secret":1}"#, "$: does not hold to `additionalProperties`"),
        (r#"{"id":7,"id":8,"lines":[{}]}"#, "$: a name stands twice in an object"),
        ("{\"id\":7,", "$: it is no JSON"),
        ("", "$: it is no JSON"),
        (r#"{"id":7,"lines":[{}]} x"#, "$: it is no JSON"),
        ("{\"id\":1e999}", "$: a number is out of range"),
    ] {
        let invalid = order.check(Some(value.as_bytes())).expect_err(value).to_string();
        if value.contains("1e999") {
            assert!(invalid == said || invalid == "$: it is no JSON", "{invalid}");
            continue;
        }
        assert_eq!(invalid, said, "{value}");
    }
}

#[test]
fn json_schemas_that_cannot_be_meant_do_not_load() {
    let one = |text: &str| refused(&[("s.json", text)], &Options::default());
    for (text, said) in [
        ("{\n  \"type\": }", "s.json: line 2, column 11"),
        (r#"{"type":"strnig"}"#, "s.json: at $/type"),
        (r#"{"properties":{"a":{"minimum":"1"}}}"#, "s.json: at $/properties/a/minimum"),
        (r#"{"$ref":"https://example.com/s.json"}"#, "not in the folder of schemas"),
        (r#"{"$ref":"file:///etc/passwd"}"#, "not in the folder of schemas"),
        (r#"{"$ref":"../s.json/x"}"#, "no name of a schema's file"),
        (r#"{"$ref":"missing.json"}"#, "there is no "),
        (r##"{"$ref":"#"}"##, "leads back to itself"),
        (
            r##"{"allOf":[{"$ref":"#/$defs/a"}],"$defs":{"a":{"anyOf":[{"$ref":"#"}]}}}"##,
            "leads back to itself",
        ),
        (r#"{"pattern":"(?=a)b"}"#, "pattern"),
        (r#"{"type":"string","format":"phone"}"#, "phone"),
    ] {
        let why = std::panic::catch_unwind(|| one(text)).unwrap_or_else(|_| panic!("{text} loads"));
        assert!(why.contains(said), "{text}\n  says {why}");
    }
    let two = refused(&[("a.json", r#"{"$ref":"b.json"}"#), ("b.json", "{")], &Options::default());
    assert!(two.contains("b.json: line 1"), "{two}");
    let round = refused(
        &[("a.json", r#"{"$ref":"b.json"}"#), ("b.json", r#"{"$ref":"a.json"}"#)],
        &Options::default(),
    );
    assert!(round.contains("leads back to itself"), "{round}");
}

#[test]
fn schemas_are_found_by_plain_names_of_known_kinds() {
    let (folder, schemas) = folder(&[("s.json", "{}"), ("s.xsd", "")]);
    let find = |name: &str| schemas.find(name, &Options::default()).map(drop);
    assert_eq!(find("s.json"), Ok(()));
    for (name, said) in [
        ("../s.json", "no name"),
        ("/etc/passwd.json", "no name"),
        (".s.json", "no name"),
        ("s.xsd", "ends in none of"),
        ("none.json", "there is no"),
    ] {
        assert!(find(name).unwrap_err().contains(said), "{name}");
    }
    assert!(schemas.find("s.json", &message("A")).unwrap_err().contains("only a .proto"));
    std::fs::write(folder.path().join("big.json"), vec![b' '; (1 << 20) + 1]).unwrap();
    assert!(find("big.json").unwrap_err().contains("longer than"));
    assert!(Schemas::default().find("s.json", &Options::default()).unwrap_err().contains("no folder"));
}

#[test]
fn of_long_or_deep_json_no_place_is_said() {
    let wide = json(r#"{"anyOf":[{"items":{"type":"string"}},{"items":{"type":"boolean"}}]}"#);
    // what would be gathered: an error for each number under each branch
    let numbers = format!("[{}0]", "0,".repeat((VALUE_BYTES - 3) / 2));
    says(&wide, numbers.as_bytes(), "$: does not fit the schema");
    says(&wide, b"[0,0]", "$: does not hold to `anyOf`");
    let tree =
        json(r##"{"anyOf":[{"items":{"$ref":"#"},"type":"array"},{"items":{"$ref":"#"},"type":"array"}]}"##);
    says(&tree, b"[0]", "$: does not hold to `anyOf`");
    let deep = |levels: usize| format!("{}0{}", "[".repeat(levels), "]".repeat(levels));
    says(&tree, deep(9).as_bytes(), "$: does not fit the schema");
}

#[test]
fn hostile_json_costs_what_it_is_long() {
    let tree = json(
        r##"{"oneOf":[
            {"type":"object","properties":{"a":{"$ref":"#"},"kind":{"const":"x"}},"required":["kind"]},
            {"type":"object","properties":{"a":{"$ref":"#"},"kind":{"const":"y"}},"required":["kind"]},
            {"type":"null"}]}"##,
    );
    let patterns = json(r#"{"type":"string","pattern":"^(a+)+$"}"#);
    let unique = json(r#"{"type":"array","uniqueItems":true}"#);
    let start = Instant::now();
    for depth in [10, 60, 100_000] {
        let deep = [r#"{"kind":"z","a":"#.repeat(depth), "null".to_owned(), "}".repeat(depth)].concat();
        assert!(tree.check(Some(deep.as_bytes())).is_err());
        let lists = ["[".repeat(depth), "]".repeat(depth)].concat();
        assert!(tree.check(Some(lists.as_bytes())).is_err());
    }
    let text = format!("\"{}b\"", "a".repeat(VALUE_BYTES - 3));
    says(&patterns, text.as_bytes(), "$: does not fit the schema");
    let numbers: Vec<String> = (0..100_000).map(|n: u32| n.to_string()).collect();
    assert_eq!(unique.check(Some(format!("[{}]", numbers.join(",")).as_bytes())), Ok(()));
    says(&unique, &vec![b'['; VALUE_BYTES + 1], "$: the value has more than 1048576 bytes");
    assert!(start.elapsed() < Duration::from_secs(60), "{:?}", start.elapsed());
}

const CUSTOMER: &str = r#"{"type":"record","name":"Customer","namespace":"shop","fields":[
    {"name":"id","type":"long"},
    {"name":"email","type":["null","string"]},
    {"name":"tags","type":{"type":"array","items":{"type":"enum","name":"Tag","symbols":["A","B"]}}},
    {"name":"more","type":{"type":"map","values":"Tag"}},
    {"name":"next","type":["null","Customer"],"default":null},
    {"name":"hash","type":{"type":"fixed","name":"Hash","size":2}}]}"#;

#[test]
fn avro_is_walked_to_the_last_byte() {
    let customer = avro(CUSTOMER);
    // id -1, email "a", tags [B, A] in two blocks (one with its size), no map, no next, hash
    let good = [&[1_u8][..], &[2, 2, b'a'], &[2, 2, 1, 2, 0, 0], &[0], &[0], &[1, 2]].concat();
    assert_eq!(customer.check(Some(&good)), Ok(()));
    for (value, said) in [
        (&good[..good.len() - 1], "$.hash: ends too early"),
        (&[&good[..], &[0]].concat(), "$: bytes are left behind the value"),
        (&[1, 4], "$.email: is of no branch of its union"),
        (&[1, 2, 2, 0xff], "$.email: is no UTF-8"),
        (&[1, 0, 2, 4], "$.tags[0]: is no symbol of its enum"),
        (&[1, 0, 1, 6, 0, 0], "$.tags: ends too early"),
        (&[1, 0, 1, 4, 0, 0, 0, 0], "$.tags: a block is not as long as it says"),
        (&[0x80; 11], "$.id: is no number"),
        (&[], "$.id: ends too early"),
        (&[1, 0, 0, 2, 2, b'k', 6], "$.more.*: is no symbol of its enum"),
    ] {
        says(&customer, value, said);
    }
    for (text, value, fits) in [
        ("\"int\"", &[0xfe, 0xff, 0xff, 0xff, 0x0f][..], true),
        ("\"int\"", &[0x80, 0x80, 0x80, 0x80, 0x10], false),
        ("\"boolean\"", &[2], false),
        (r#"{"type":"bytes","logicalType":"decimal","precision":4}"#, &[2, 7], true),
        ("\"double\"", &[0; 8], true),
    ] {
        assert_eq!(avro(text).check(Some(value)).is_ok(), fits, "{text}");
    }
}

#[test]
fn avro_schemas_that_cannot_be_meant_do_not_load() {
    for (text, said) in [
        ("{\"type\":\n \"record\"", "s.avsc: line 2"),
        (r#"{"type":"record","name":"A"}"#, "s.avsc: at $: a type `record` has `fields`"),
        (
            r#"{"type":"record","name":"A","fields":[{"name":"a","type":"strnig"}]}"#,
            "at $.fields[0].type: there is no type `strnig`",
        ),
        (r#"["null",["int"]]"#, "at $[1]: a union holds no union"),
        (r#"{"type":"array"}"#, "has `items`"),
        (r#"[{"type":"fixed","name":"A","size":1},{"type":"fixed","name":"A","size":1}]"#, "`A` already"),
        ("7", "a type is a name"),
    ] {
        let why = refused(&[("s.avsc", text)], &Options::default());
        assert!(why.contains(said), "{text}\n  says {why}");
    }
}

#[test]
fn hostile_avro_costs_what_it_is_long() {
    let start = Instant::now();
    let nothings = avro(r#"{"type":"array","items":"null"}"#);
    // 2^62 elements of no bytes
    let value = [&[0xfe_u8; 8][..], &[0x7f]].concat();
    assert!(nothings.check(Some(&value)).unwrap_err().to_string().ends_with("it has too many elements"));
    let endless = avro(r#"{"type":"record","name":"A","fields":[{"name":"a","type":"A"}]}"#);
    assert!(endless.check(Some(&[])).unwrap_err().to_string().contains("nested too deeply"));
    let lists =
        avro(r#"{"type":"record","name":"L","fields":[{"name":"l","type":{"type":"array","items":"L"}}]}"#);
    assert!(lists.check(Some(&vec![2; VALUE_BYTES])).unwrap_err().to_string().contains("nested too deeply"));
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
}

const SHOP: &str = r#"syntax = "proto3"; package shop; import "money.proto"; import "google/protobuf/timestamp.proto";
message Order {
    message Line { string sku = 1; repeated int32 counts = 2; }
    uint64 id = 1; repeated Line lines = 2; shop.Money price = 3; google.protobuf.Timestamp at = 4; map<string, bool> flags = 5; fixed32 x = 6;
}
message Other { string id = 1; }"#;
const MONEY: &str = r#"syntax = "proto2"; package shop; message Money { required int64 cents = 1; optional string currency = 2; }"#;

#[test]
fn protobuf_is_walked_to_the_last_byte() {
    let (_folder, schemas) = folder(&[("shop.proto", SHOP), ("money.proto", MONEY)]);
    let order = schemas.find("shop.proto", &message("shop.Order")).unwrap();
    let good = [
        &[0x08_u8, 7][..],
        &[0x12, 7, 0x0a, 1, b'a', 0x12, 2, 1, 2],
        &[0x12, 2, 0x10, 5],
        &[0x1a, 2, 8, 1],
        &[0x35, 1, 2, 3, 4],
    ]
    .concat();
    assert_eq!(order.check(Some(&good)), Ok(()));
    assert_eq!(order.check(Some(&[])), Ok(()), "all of its fields may be missing");
    assert_eq!(order.check(Some(&[0x2a, 5, 0x0a, 1, b'k', 0x10, 1])), Ok(()), "a map");
    for (value, said) in [
        (&[0x08][..], "$.id: ends too early"),
        (&[0x0a, 1, 0], "$.id: is of another type"),
        (&[0x12, 3, 0x0a, 1, 0xff], "$.lines.sku: is no UTF-8"),
        (&[0x12, 9, 0x0a], "$.lines: ends too early"),
        (&[0x1a, 0], "$.price.cents: is not there"),
        (&[0x40, 1], "$: there is no field 8"),
        (b"{\"id\":7}", "$: there is no field 15"),
        (&[0x0b, 0x0c], "$.id: is laid out as no field is"),
        (&[0x08, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x02], "$.id: is no number"),
    ] {
        says(&order, value, said);
    }
    let nested = proto("syntax = \"proto3\"; message A { A a = 1; }", "A");
    let mut deep = Vec::new();
    for _ in 0..2_000 {
        let mut outer = vec![0x0a];
        let mut length = deep.len();
        while length >= 0x80 {
            outer.push(length as u8 | 0x80);
            length >>= 7;
        }
        outer.push(length as u8);
        outer.extend_from_slice(&deep);
        deep = outer;
    }
    assert!(nested.check(Some(&deep)).unwrap_err().to_string().contains("nested too deeply"));
}

#[test]
fn protobuf_files_that_cannot_be_meant_do_not_load() {
    for (text, name, said) in [
        ("syntax = \"proto3\";\nmessage A { strnig a = 1; }", "A", "s.proto:2:"),
        ("syntax = \"proto3\";\nmessage A { ", "A", "s.proto: expected"),
        ("syntax = \"proto3\"; message A {}", "B", "there is no message `B`; it has A"),
        ("import \"none.proto\"; message A {}", "A", "none.proto"),
        ("import \"../x.proto\"; message A {}", "A", "s.proto"),
    ] {
        let why = refused(&[("s.proto", text)], &message(name));
        assert!(why.contains(said), "{text}\n  says {why}");
    }
    assert!(refused(&[("s.proto", "message A {}")], &Options::default()).contains("which message"));
}

#[test]
fn a_registrys_frame_is_asked_for_or_not_there() {
    let framed = Options { framed: true, ..Options::default() };
    let json = schema_of("s.json", "{\"type\":\"object\"}", &framed);
    assert_eq!(json.check(Some(b"\0\0\0\0\x07{}")), Ok(()));
    says(&json, b"{}", "$: the value does not begin with a schema's id");
    says(&json, b"\0\0\0\0", "$: the value does not begin with a schema's id");
    says(&json, b"\x01\0\0\0\x07{}", "$: the value does not begin with a schema's id");
    says(&json, b"\0\0\0\0\x07[]", "$: does not hold to `type`");
    let two = Options { ids: vec![7, 258], ..framed };
    let json = schema_of("s.json", "{\"type\":\"object\"}", &two);
    assert_eq!(json.check(Some(b"\0\0\0\0\x07{}")), Ok(()));
    assert_eq!(json.check(Some(b"\0\0\0\x01\x02{}")), Ok(()));
    says(&json, b"\0\0\0\0\x08{}", "$: its frame names another schema");
    let text = "syntax = \"proto3\"; message A { } message B { message C { } message D { int32 n = 1; } }";
    let of = |name: &str| schema_of("s.proto", text, &Options { framed: true, ..message(name) });
    let frame = |rest: &[u8]| [b"\0\0\0\0\x07", rest].concat();
    assert_eq!(of("A").check(Some(&frame(&[0]))), Ok(()));
    assert_eq!(of("A").check(Some(&frame(&[2, 0]))), Ok(()), "the same at length");
    assert_eq!(of("B.D").check(Some(&frame(&[4, 2, 2, 8, 1]))), Ok(()));
    says(&of("B.D"), &frame(&[4, 2, 0, 8, 1]), "$: its frame names another message");
    says(&of("A"), &frame(&[0xfe, 0xff, 0xff, 0xff, 0x0f]), "$: its frame names no message");
    says(&of("A"), &frame(&[]), "$: ends too early");
}

#[test]
fn a_changed_file_counts_when_it_is_found_again_and_again() {
    let (folder, schemas) = folder(&[("s.json", "{\"type\":\"object\"}")]);
    let schema = schemas.find("s.json", &Options::default()).unwrap();
    let pinned = schemas.pinned(&[schema]);
    let mut watch = SchemaWatch::default();
    let mut look = || {
        let mut trouble = Vec::new();
        (watch.look(&schemas, &mut trouble), trouble)
    };
    let file = folder.path().join("s.json");
    assert_eq!(look(), (false, Vec::new()));
    assert!(pinned.are_current());
    std::fs::write(&file, "{\"type\":").unwrap();
    for _ in 0..3 {
        assert_eq!(look(), (false, Vec::new()));
    }
    std::fs::write(&file, "{\"type\":\"array\"}").unwrap();
    for _ in 0..4 {
        assert_eq!(look(), (false, Vec::new()));
        assert!(pinned.are_current());
    }
    assert_eq!(look(), (true, Vec::new()));
    assert!(!pinned.are_current());
    let then = pinned.find("s.json", &Options::default()).unwrap();
    let now = schemas.find("s.json", &Options::default()).unwrap();
    assert!(then.check(Some(b"{}")).is_ok() && now.check(Some(b"{}")).is_err() && then != now);
    std::fs::remove_file(&file).unwrap();
    let told: Vec<usize> = (0..6).map(|_| look().1.len()).collect();
    assert_eq!(told, [0, 0, 0, 0, 1, 1]);
    assert!(schemas.find("s.json", &Options::default()).is_ok(), "what it was counts");
}

#[test]
fn places_are_said_through_lists_and_by_names_from_anywhere_in_the_schema() {
    let lists = json(r#"{"items":{"items":{"allOf":[{"properties":{"sku":{"type":"string"}}}]}}}"#);
    says(&lists, br#"[[],[{"sku":"A"},{"sku":7}]]"#, "$[1][1].sku: does not hold to `type`");
    let tree =
        json(r##"{"anyOf":[{"items":{"$ref":"#"},"type":"array"},{"items":{"$ref":"#"},"type":"array"}]}"##);
    let wide = format!("[{}0]", "0,".repeat(200));
    says(&tree, wide.as_bytes(), "$: does not hold to `anyOf`");
    let field = |name: &str| Invalid::new(format!(".{name}"), "is wrong").within(".above");
    assert_eq!(field(&"x".repeat(20)).to_string(), format!("$.above.{}: is wrong", "x".repeat(20)));
    assert_eq!(field(&"x".repeat(113)).to_string(), format!("$.above.{}: is wrong", "x".repeat(113)));
    let long = format!("$….{}: is wrong", "x".repeat(114));
    assert_eq!(field(&"x".repeat(114)).to_string(), long);
    assert_eq!(field(&"x".repeat(114)).within(".more").to_string(), long, "one sign is enough");
}

#[test]
fn schemas_are_the_same_by_file_options_and_content() {
    let (folder, schemas) = folder(&[("a.json", "{}"), ("b.json", "{}")]);
    let framed = Options { framed: true, ids: vec![7], ..Options::default() };
    let find = |name: &str, options: &Options| schemas.find(name, options).unwrap();
    let plain = Options::default();
    assert_eq!(find("a.json", &plain), find("a.json", &plain));
    assert_ne!(find("a.json", &plain), find("a.json", &framed));
    assert_ne!(find("a.json", &plain), find("b.json", &plain));
    assert_eq!(format!("{:?}", find("a.json", &framed)), "a.json framed [7]");
    assert_eq!(format!("{schemas:?}"), format!("Schemas(Some({:?}))", folder.path()));
}

#[test]
fn a_file_has_a_name_a_size_and_can_be_read() {
    let (folder, schemas) = folder(&[]);
    let find = |name: &str| schemas.find(name, &Options::default()).map(drop);
    assert!(find("").unwrap_err().contains("is no name"));
    let name = |length: usize| format!("{}.json", "x".repeat(length - 5));
    assert!(find(&name(200)).unwrap_err().contains("there is no"));
    assert!(find(&name(201)).unwrap_err().contains("is no name"));
    std::fs::write(folder.path().join("full.json"), format!("{{{}}}", " ".repeat((1 << 20) - 2))).unwrap();
    assert_eq!(find("full.json"), Ok(()));
    std::fs::create_dir(folder.path().join("folder.json")).unwrap();
    assert!(find("folder.json").unwrap_err().contains("it cannot be read"));
}

#[test]
fn so_many_files_are_asked_for_and_no_more() {
    let (folder, schemas) = folder(&[]);
    let find = |name: &str| schemas.find(name, &Options::default()).map(drop);
    for n in 0..1_000 {
        assert!(find(&format!("{n}.json")).unwrap_err().contains("there is no"), "{n}");
    }
    assert!(find("one-more.json").unwrap_err().contains("more than 1000 schemas"));
    std::fs::write(folder.path().join("7.json"), "{}").unwrap();
    assert_eq!(find("7.json"), Ok(()), "those that were asked for go on");
}

#[test]
fn a_value_of_the_full_size_is_checked_and_edited() {
    let mut value = Vec::new();
    reader::put_zigzag(VALUE_BYTES as i64 - 3, &mut value);
    value.resize(VALUE_BYTES, b'x');
    let bytes = avro("\"bytes\"");
    assert_eq!(bytes.check(Some(&value)), Ok(()));
    assert_eq!(bytes.edit(&value, &mut edit::Nothing, &mut Vec::new()), Ok(false));
    assert!(bytes.edit(&[&value[..], &[0]].concat(), &mut edit::Nothing, &mut Vec::new()).is_err());
    assert!(avro("\"float\"").check(Some(&[0; 4])).is_ok());
    // a message may stand in parts: readers merge them
    let parts = proto("syntax = \"proto3\"; message A { A a = 1; int32 n = 2; }", "A");
    assert_eq!(parts.check(Some(&[0x0a, 2, 16, 1, 0x0a, 2, 16, 2])), Ok(()));
}
