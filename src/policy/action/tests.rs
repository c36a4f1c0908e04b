//! Edits as a whole: against a second implementation that takes the long way round, through trees.

use bytes::{Bytes, BytesMut};
use proptest::prelude::*;
use serde_json::Value;

use super::path::To;
use super::*;
use crate::policy::glob::Patterns;
use crate::policy::template::{Field, Template};
use crate::wire::record::{
    BatchBuilder, BatchHeader, Compression, Compressor, Decompressor, HeadersBuf, Record, RecordError,
    Records, batches, verify_crc,
};

mod kinds;
mod sealed;
mod several;
mod typed;

const LIMIT: usize = 1 << 20;

/// Selects by a function of rule and offset.
struct Context<F: FnMut(usize, &Seen<'_>) -> bool>(F);

impl<F: FnMut(usize, &Seen<'_>) -> bool> EditContext for Context<F> {
    fn selects(&mut self, rule: usize, record: &Seen<'_>) -> bool {
        (self.0)(rule, record)
    }

    fn say(&self, rule: usize, field: Field, out: &mut String) {
        *out += &format!("{field:?}#{rule}");
    }
}

fn everything() -> Context<impl FnMut(usize, &Seen<'_>) -> bool> {
    Context(|_: usize, _: &Seen<'_>| true)
}

fn mask(target: &str, how: How) -> Edit {
    mask_or(target, how, OnUnparsable::default())
}

fn mask_or(target: &str, how: How, on_unparsable: OnUnparsable) -> Edit {
    Edit::Mask(Mask { target: Target::parse(target).unwrap(), how, schema: None, on_unparsable })
}

fn rule(name: &str, edits: Vec<Edit>) -> EditRule {
    EditRule { name: name.to_owned(), edits, observe: false }
}

fn one_rule(edits: Vec<Edit>) -> RecordEdits {
    RecordEdits::new(vec![rule("policy/rule", edits)])
}

type Pair = (Vec<u8>, Option<Vec<u8>>);

#[derive(Debug, Clone, PartialEq, Default)]
struct Owned {
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: Vec<Pair>,
}

impl Owned {
    fn of(record: &Record<'_>) -> Self {
        let owned = |bytes: Option<&[u8]>| bytes.map(<[u8]>::to_vec);
        let headers = record.headers.map(|h| (h.key.to_vec(), owned(h.value))).collect();
        Self { key: owned(record.key), value: owned(record.value), headers }
    }

    fn valued(value: &str) -> Self {
        Self { value: Some(value.as_bytes().to_vec()), ..Self::default() }
    }

    fn with(mut self, key: &str, headers: &[(&str, Option<&str>)]) -> Self {
        let bytes = |text: &str| text.as_bytes().to_vec();
        self.key = Some(bytes(key));
        self.headers = headers.iter().map(|(key, value)| (bytes(key), value.map(bytes))).collect();
        self
    }
}

fn batch(header: BatchHeader, records: &[Owned]) -> Bytes {
    let mut compressor = Compressor::new();
    let mut builder = BatchBuilder::new(header, &mut compressor);
    let mut headers = HeadersBuf::new();
    for (n, record) in records.iter().enumerate() {
        headers.clear();
        for (key, value) in &record.headers {
            headers.push(key, value.as_deref());
        }
        let (key, value) = (record.key.as_deref(), record.value.as_deref());
        builder.append(1000 + n as i64, key, value, headers.as_headers()).unwrap();
    }
    builder.finish().unwrap()
}

fn of_codec(codec: Compression) -> BatchHeader {
    let mut header = BatchHeader::default();
    header.set_compression(codec);
    header
}

fn values(values: &[&str]) -> Bytes {
    let records: Vec<_> = values.iter().map(|value| Owned::valued(value)).collect();
    batch(of_codec(Compression::Lz4), &records)
}

fn read(payload: &[u8]) -> Vec<Owned> {
    let mut decompressor = Decompressor::new();
    let mut all = Vec::new();
    for batch in batches(payload) {
        let batch = batch.unwrap();
        verify_crc(batch.bytes).unwrap();
        let records = Records::open(batch.bytes, &batch.header, &mut decompressor, LIMIT).unwrap();
        all.extend(records.map(|record| Owned::of(&record.unwrap())));
    }
    all
}

fn apply(edits: &RecordEdits, payload: &Bytes) -> Edited {
    edits.apply(payload, LIMIT, &mut everything()).unwrap()
}

/// The only record after the edits.
fn edited(edits: Vec<Edit>, record: &Owned) -> Owned {
    let payload = batch(of_codec(Compression::None), std::slice::from_ref(record));
    let edited = apply(&one_rule(edits), &payload);
    read(&edited.payload.unwrap_or(payload)).remove(0)
}

// The second implementation.

fn reference(value: &mut Value, steps: &[super::path::Step], how: &How) {
    let Some((step, rest)) = steps.split_first() else {
        let raw = value.to_string();
        let kind = match value {
            Value::Null => return,
            Value::String(_) => json::Kind::String { escaped: true },
            Value::Number(_) => json::Kind::Number,
            Value::Bool(_) => json::Kind::Bool,
            Value::Array(_) => json::Kind::Array,
            Value::Object(_) => json::Kind::Object,
        };
        let mut out = Vec::new();
        how.mask_json(&raw, kind, &mut String::new(), &mut out);
        *value = serde_json::from_slice(&out).unwrap();
        return;
    };
    let matches = |key: Option<&str>, index: Option<usize>| match &step.to {
        To::Any => true,
        To::Key(wanted) => key == Some(wanted),
        To::Index(wanted) => index == Some(*wanted),
    };
    let children: Vec<(bool, &mut Value)> = match value {
        Value::Object(members) => members.iter_mut().map(|(k, v)| (matches(Some(k), None), v)).collect(),
        Value::Array(elements) => {
            elements.iter_mut().enumerate().map(|(i, v)| (matches(None, Some(i)), v)).collect()
        }
        _ => Vec::new(),
    };
    for (matched, child) in children {
        // Below first: what is masked here has nothing below it any more.
        if step.deep {
            reference(child, steps, how);
        }
        if matched {
            reference(child, rest, how);
        }
    }
}

fn document() -> impl Strategy<Value = Value> {
    let text = prop_oneof!["[a-z@.]{0,8}", any::<String>(), Just("ada@example.com".to_owned())];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (-1e6..1e6).prop_map(Value::from),
        text.prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 5, |inner| {
        let name = prop_oneof![4 => "[abc]", 1 => Just("é\"\\\n".to_owned())];
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            proptest::collection::btree_map(name, inner, 0..5)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

fn path() -> impl Strategy<Value = Path> {
    let step = prop_oneof![
        4 => "\\.[abc]", 1 => Just(".*".to_owned()), 1 => Just("[*]".to_owned()), 1 => Just("[1]".to_owned()),
        2 => "\\.\\.[abc]", 1 => Just("..*".to_owned()), 1 => Just("..[0]".to_owned()),
        1 => Just("['é\"\\\\\n']".to_owned()),
    ];
    proptest::collection::vec(step, 0..4).prop_map(|steps| format!("${}", steps.concat()).parse().unwrap())
}

/// All but hashes, which depend on how a container is laid out.
fn how() -> impl Strategy<Value = How> {
    prop_oneof![
        Just(How::All),
        Just(How::Email),
        (0usize..5).prop_map(How::KeepFirst),
        (0usize..5).prop_map(How::KeepLast),
        Just(How::Replace("\"gone\"".to_owned())),
        Just(How::Pattern { regex: regex::Regex::new("[a-c1]").unwrap(), text: "<\\>".to_owned() }),
        Just(How::ToNull),
    ]
}

/// As other writers might lay it out: on several lines, and with escapes where none are needed.
fn laid_out(value: &Value, style: u8) -> String {
    let text = if style & 1 == 0 { value.to_string() } else { serde_json::to_string_pretty(value).unwrap() };
    if style & 2 == 0 {
        return text;
    }
    let escaped = text.chars().flat_map(|c| {
        let mut units = [0; 2];
        let plain = c.is_ascii() && c != 'a';
        let units = if plain { &[][..] } else { c.encode_utf16(&mut units) };
        let escapes: String = units.iter().map(|unit| format!("\\u{unit:04x}")).collect();
        if plain { c.to_string() } else { escapes }.chars().collect::<Vec<_>>()
    });
    // The words true, false and null have an `a` that may not be escaped.
    escaped.collect::<String>().replace("f\\u0061lse", "false")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn masks_do_what_the_long_way_does(
        document in document(),
        masks in proptest::collection::vec((path(), how()), 1..4),
        style in 0u8..4,
    ) {
        let text = laid_out(&document, style);
        prop_assume!(serde_json::from_str::<Value>(&text).is_ok_and(|read| read == document));
        let mut expected = document;
        for (path, how) in &masks {
            reference(&mut expected, path.steps(), how);
        }
        let edits = masks
            .into_iter()
            .map(|(path, how)| {
                Edit::Mask(Mask { target: Target::Value(path), how, schema: None, on_unparsable: OnUnparsable::Error })
            })
            .collect();
        let value = edited(edits, &Owned::valued(&text)).value.unwrap();
        prop_assert_eq!(serde_json::from_slice::<Value>(&value).unwrap(), expected, "{}", text);
    }

    #[test]
    fn what_no_path_finds_keeps_its_bytes(document in document(), path in path(), style in 0u8..4) {
        let text = laid_out(&document, style);
        let mut spans = Vec::new();
        PathSet::new([&path]).find(text.as_bytes(), &mut spans).unwrap();
        let (mut expected, mut done) = (String::new(), 0);
        for span in spans {
            if span.start >= done && span.kind != json::Kind::Null {
                expected += &text[done..span.start];
                expected += "\"X\"";
                done = span.end;
            }
        }
        expected += &text[done..];
        let edits = vec![Edit::Mask(Mask {
            target: Target::Value(path),
            how: How::Replace("X".into()),
            schema: None,
            on_unparsable: OnUnparsable::Error,
        })];
        let value = edited(edits, &Owned::valued(&text)).value.unwrap();
        prop_assert_eq!(String::from_utf8(value).unwrap(), expected);
    }

    /// Which records are selected, which are JSON, how the batches are cut and packed: the record is all that matters.
    #[test]
    fn records_are_edited_one_by_one(
        codec in proptest::sample::select(Compression::ALL.to_vec()),
        batched in proptest::collection::vec(proptest::collection::vec((0usize..5, any::<bool>()), 1..6), 1..4),
    ) {
        let contents = [r#"{"a":"secret","n":1}"#, r#"{"b":[{"a":5}]}"#, "not json", "", r#"{"n":null}"#];
        let expected = [r#"{"a":"****","n":1}"#, r#"{"b":[{"a":"****"}]}"#, "", "", r#"{"n":null}"#];
        let changes = [true, true, true, false, false];
        let mut payload = BytesMut::new();
        let mut chosen = Vec::new();
        let mut offset = 100;
        for records in &batched {
            let header = BatchHeader { base_offset: offset, ..of_codec(codec) };
            let owned: Vec<_> = records
                .iter()
                .map(|(content, _)| Owned::valued(contents[*content]).with("k", &[("h", None), ("h", Some("2"))]))
                .collect();
            payload.extend_from_slice(&batch(header, &owned));
            chosen.extend(records.iter().map(|(content, selected)| (*content, *selected)));
            offset += records.len() as i64;
        }
        let payload = payload.freeze();
        let edits = one_rule(vec![mask("$..a", How::All)]);
        let selects = |_: usize, seen: &Seen<'_>| chosen[(seen.offset - 100) as usize].1;
        let result = edits.apply(&payload, LIMIT, &mut Context(selects)).unwrap();
        let changed = chosen.iter().filter(|(content, selected)| *selected && changes[*content]).count();
        prop_assert_eq!(result.records_changed, changed as u64);
        prop_assert_eq!(result.payload.is_some(), changed > 0);
        prop_assert_eq!(result.rules[0].selected, chosen.iter().filter(|c| c.1).count() as u64);
        prop_assert_eq!(result.rules[0].applied, changed as u64);
        prop_assert_eq!(result.unparsable, chosen.iter().filter(|c| **c == (2, true)).count() as u64);

        let after = result.payload.unwrap_or_else(|| payload.clone());
        for (record, (content, selected)) in read(&after).iter().zip(&chosen) {
            let value = if *selected { expected[*content] } else { contents[*content] };
            prop_assert_eq!(record.value.as_deref().unwrap(), value.as_bytes());
            let marked = record.headers.iter().any(|(name, _)| name == MASKED_HEADER.as_bytes());
            prop_assert_eq!(marked, *selected && *content == 2);
            prop_assert_eq!(&record.headers[..2], &Owned::default().with("", &[("h", None), ("h", Some("2"))]).headers);
        }
        // Headers stay, and batches in which nothing changed stay byte for byte.
        let mut first = 0;
        for (before, after) in batches(&payload).zip(batches(&after)) {
            let (before, after) = (before.unwrap(), after.unwrap());
            let here = &chosen[first..first + before.header.record_count as usize];
            first += here.len();
            if !here.iter().any(|(content, selected)| *selected && changes[*content]) {
                prop_assert_eq!(before.bytes, after.bytes);
            }
            let same = BatchHeader { batch_length: before.header.batch_length, crc: before.header.crc, ..after.header };
            prop_assert_eq!(before.header, same);
        }
    }

    /// Whatever the bytes: edited or refused, and what comes out is whole.
    #[test]
    fn hostile_payloads_do_no_harm(
        codec in proptest::sample::select(Compression::ALL.to_vec()),
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        cut in any::<prop::sample::Index>(),
        mend in any::<bool>(),
    ) {
        let one = batch(of_codec(codec), &[Owned::valued(r#"{"a":1}"#), Owned::valued(r#"{"a":"x"}"#)]);
        let mut bytes = [one.clone(), one].concat();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if mend {
            let ranges: Vec<_> = batches(&bytes).flatten().map(|batch| batch.range()).collect();
            for range in ranges {
                let crc = crc32c::crc32c(&bytes[range.start + 21..range.end]);
                bytes[range.start + 17..range.start + 21].copy_from_slice(&crc.to_be_bytes());
            }
        }
        bytes.truncate(cut.index(bytes.len() + 1));
        let payload = Bytes::from(bytes);
        if let Ok(edited) = one_rule(vec![mask("$..a", How::All)]).apply(&payload, LIMIT, &mut everything()) {
            let after = edited.payload.unwrap_or(payload);
            let mut walk = batches(&after);
            prop_assert!(walk.by_ref().all(|batch| batch.is_ok()));
            prop_assert_eq!(walk.tail(), crate::wire::record::Tail::Whole);
        }
    }
}

#[test]
fn nothing_found_means_nothing_changed() {
    let payload = values(&[r#"{"b":1}"#, r#"{"a":null}"#, "[]"]);
    let result = apply(&one_rule(vec![mask("$.a", How::All)]), &payload);
    assert_eq!((result.payload, result.records_changed, result.unparsable), (None, 0, 0));
    assert_eq!(result.rules, [RuleCounts { selected: 3, applied: 1, unparsable: 0, unopened: 0 }]);
    let null = batch(of_codec(Compression::None), &[Owned::default()]);
    assert_eq!(apply(&one_rule(vec![mask("$", How::All), mask("key", How::All)]), &null).payload, None);
    let nobody = &mut Context(|_: usize, _: &Seen<'_>| false);
    let result = one_rule(vec![mask("$.b", How::All)]).apply(&payload, LIMIT, nobody).unwrap();
    assert_eq!(result.payload, None);
    assert!(apply(&one_rule(vec![mask("$.b", How::All)]), &Bytes::new()).payload.is_none());
}

#[test]
fn what_cannot_be_parsed_fails_closed() {
    let with = |on_unparsable| {
        let record = Owned::valued("{\"a\":").with("k", &[("h", Some("1"))]);
        edited(vec![mask_or("$.a", How::All, on_unparsable)], &record)
    };
    let marked: &[_] = &[("h", Some("1")), (MASKED_HEADER, Some("policy/rule"))];
    assert_eq!(with(OnUnparsable::Empty), Owned::valued("").with("k", marked));
    assert_eq!(with(OnUnparsable::Null), Owned::default().with("k", marked));
    assert_eq!(with(OnUnparsable::Pass), Owned::valued("{\"a\":").with("k", &[("h", Some("1"))]));

    let refused = one_rule(vec![mask_or("$.a", How::All, OnUnparsable::Error)]).apply(
        &values(&["{}", "nonsense"]),
        LIMIT,
        &mut everything(),
    );
    assert!(matches!(refused, Err(EditError::Unparsable { rule: 0, offset: 1, .. })), "{refused:?}");

    // Several masks: error before all, pass last; each rule is named once and in order.
    let several = |ways: &[&[OnUnparsable]]| {
        let rules = ways.iter().enumerate().map(|(n, ways)| {
            rule(&format!("r{n}"), ways.iter().map(|way| mask_or("$.a", How::All, *way)).collect())
        });
        RecordEdits::new(rules.collect()).apply(&values(&["?"]), LIMIT, &mut everything())
    };
    use OnUnparsable::{Empty, Error, Null, Pass};
    assert!(several(&[&[Pass, Empty], &[Error]]).is_err());
    let result = several(&[&[Pass], &[Null, Empty], &[Empty, Empty]]).unwrap();
    assert_eq!(result.unparsable, 1);
    assert_eq!(result.rules.iter().map(|rule| rule.unparsable).collect::<Vec<_>>(), [1, 1, 1]);
    let record = read(&result.payload.unwrap()).remove(0);
    assert_eq!(record.value, None);
    let names: Vec<_> = record.headers.iter().map(|(_, name)| name.clone().unwrap()).collect();
    assert_eq!(names, [b"r1", b"r2"]);

    // A rule cannot remove the mark.
    let remove = Edit::RemoveHeader(Patterns::new(["*"]));
    let record = edited(vec![mask("$.a", How::All), remove], &Owned::valued("?").with("k", &[("h", None)]));
    assert_eq!(record, Owned::valued("").with("k", &[(MASKED_HEADER, Some("policy/rule"))]));
}

#[test]
fn batches_that_cannot_be_opened_are_refused() {
    let edits = one_rule(vec![mask("$.a", How::All)]);
    let payload = values(&[r#"{"a":1}"#]);
    let refused = |bytes: Vec<u8>| match edits.apply(&bytes.into(), LIMIT, &mut everything()) {
        Err(EditError::Records(error)) => error,
        other => panic!("{other:?}"),
    };
    let mut broken = [payload.clone(), payload.clone()].concat();
    broken[payload.len() + 80] ^= 1;
    assert!(matches!(refused(broken), RecordError::Corrupt { at, .. } if at == payload.len() + 17));
    let mut old = payload.to_vec();
    old[16] = 1;
    assert!(matches!(refused(old), RecordError::UnsupportedMagic { magic: 1, .. }));
    let big = values(&[&format!("\"{}\"", "x".repeat(LIMIT))]);
    assert_eq!(refused(big.to_vec()), RecordError::TooLarge { limit: LIMIT });
}

#[test]
fn a_batch_cut_short_does_not_leak_its_beginning() {
    let header = of_codec(Compression::None);
    let clear = batch(header, &[Owned::valued(r#"{"b":1}"#)]);
    let secret = batch(header, &[Owned::valued(r#"{"a":"secret"}"#), Owned::valued("{}")]);
    let edits = one_rule(vec![mask("$.a", How::All)]);
    for cut in 1..secret.len() {
        let payload = Bytes::from([&clear[..], &secret[..cut]].concat());
        assert_eq!(apply(&edits, &payload).payload.unwrap(), clear);
        let payload = Bytes::from([&secret[..], &secret[..cut]].concat());
        let after = apply(&edits, &payload).payload.unwrap();
        assert_eq!(read(&after)[0].value.as_deref(), Some(&br#"{"a":"****"}"#[..]));
        assert_eq!(read(&after).len(), 2);
    }
}

#[test]
fn control_batches_are_not_touched() {
    let header = BatchHeader { attributes: 1 << 5 | 1 << 4, ..of_codec(Compression::None) };
    let control = batch(header, &[Owned::valued("marker").with("k", &[])]);
    let payload = Bytes::from([control.clone(), values(&[r#"{"a":1}"#]), control.clone()].concat());
    let edits = one_rule(vec![mask("$.a", How::All), mask("key", How::All)]);
    let after = apply(&edits, &payload).payload.unwrap();
    assert!(after.starts_with(&control) && after.ends_with(&control));
    assert_eq!(read(&after)[1].value.as_deref(), Some(&br#"{"a":"****"}"#[..]));
}

#[test]
fn rules_see_records_as_they_came() {
    let rules = ["first", "second"].map(|name| rule(name, vec![mask("$.a", How::KeepLast(4))]));
    let payload = values(&[r#"{"a":"0123456789"}"#]);
    let mut seen = Vec::new();
    let mut context = Context(|rule: usize, record: &Seen<'_>| {
        seen.push((rule, record.record.value.unwrap().to_vec()));
        true
    });
    let result = RecordEdits::new(rules.into()).apply(&payload, LIMIT, &mut context).unwrap();
    assert_eq!(seen, [0, 1].map(|rule| (rule, br#"{"a":"0123456789"}"#.to_vec())));
    assert_eq!(result.rules.iter().map(|rule| rule.applied).collect::<Vec<_>>(), [1, 1]);

    // Each mask works on what the one before left.
    let twice = vec![
        mask("$.a", How::KeepLast(4)),
        mask("$.a", How::Replace("x\"y".into())),
        mask("$.a", How::KeepFirst(2)),
    ];
    assert_eq!(edited(twice, &Owned::valued(r#"{"a":1}"#)), Owned::valued(r#"{"a":"x\"*"}"#));
    let null = vec![mask("$.a", How::ToNull), mask("$.a", How::All)];
    assert_eq!(edited(null, &Owned::valued(r#"{"a":1}"#)), Owned::valued(r#"{"a":null}"#));
    // What holds another is hidden whole, whichever comes first.
    let nested = vec![mask("$.a.b", How::KeepLast(1)), mask("$.a", How::Email), mask("$..b", How::All)];
    let record = Owned::valued(r#"{"a":{"b":"123"},"b":5}"#);
    assert_eq!(edited(nested, &record), Owned::valued(r#"{"a":"****","b":"****"}"#));
}

#[test]
fn observing_counts_and_does_nothing() {
    let edits = vec![
        mask("$.a", How::All),
        mask("key", How::All),
        mask("headers.h", How::All),
        Edit::RemoveHeader(Patterns::new(["h"])),
        Edit::SetHeader { name: "s".into(), value: Template::parse("x").unwrap() },
        mask_or("$.a", How::All, OnUnparsable::Error),
    ];
    let observing = RecordEdits::new(vec![EditRule { observe: true, ..rule("r", edits) }]);
    let record = Owned::valued(r#"{"a":1}"#).with("k", &[("h", Some("1"))]);
    let bad = Owned { value: Some(b"?".to_vec()), ..record.clone() };
    let payload = batch(of_codec(Compression::Zstd), &[record, bad]);
    let result = apply(&observing, &payload);
    assert_eq!((result.payload, result.records_changed), (None, 0));
    assert_eq!(result.rules, [RuleCounts { selected: 2, applied: 2, unparsable: 1, unopened: 0 }]);

    // It does not stand in the way of one that does.
    let both = RecordEdits::new(vec![
        EditRule { observe: true, ..rule("o", vec![mask("$", How::All)]) },
        rule("r", vec![mask("$.a", How::All)]),
    ]);
    let after = apply(&both, &values(&[r#"{"a":1}"#])).payload.unwrap();
    assert_eq!(read(&after), [Owned::valued(r#"{"a":"****"}"#)]);
}

#[test]
fn headers_are_a_list() {
    let record = Owned::valued("v")
        .with("k", &[("a", Some("1")), ("b", None), ("a", Some("ada@x.org")), ("x-1", Some("2"))]);
    let after = |edits: Vec<Edit>| edited(edits, &record).headers;
    let list = |headers: &[(&str, Option<&str>)]| Owned::default().with("", headers).headers;
    let set =
        |name: &str, text: &str| Edit::SetHeader { name: name.into(), value: Template::parse(text).unwrap() };
    assert_eq!(after(vec![set("a", "new")]), list(&[("b", None), ("x-1", Some("2")), ("a", Some("new"))]));
    assert_eq!(
        after(vec![Edit::RemoveHeader(Patterns::new(["x-*", "b"]))]),
        list(&[("a", Some("1")), ("a", Some("ada@x.org"))])
    );
    assert_eq!(
        after(vec![
            mask("headers.a", How::Email),
            mask("headers.x-*", How::ToNull),
            mask("headers.b", How::All)
        ]),
        list(&[("a", Some("****")), ("b", None), ("a", Some("a**@x.org")), ("x-1", None)])
    );
    // In order: what was removed cannot be masked, what was set can.
    let removed = Edit::RemoveHeader(Patterns::new(["*"]));
    assert_eq!(
        after(vec![removed, set("a", "12345"), mask("headers.*", How::KeepLast(2))]),
        list(&[("a", Some("***45"))])
    );
    assert_eq!(
        after(vec![set("o", "{principal} {topic}-{partition}@{offset} {timestamp} {{}}")]).last().unwrap().1,
        Some(b"Principal#0 Topic#0-Partition#0@0 1000 {}".to_vec())
    );
    assert_eq!(after(vec![mask("headers.none", How::All)]), record.headers);
}

#[test]
fn templates_speak_of_each_record() {
    let rules = vec![
        rule(
            "a",
            vec![Edit::SetHeader { name: "h".into(), value: Template::parse("{rule}:{offset}").unwrap() }],
        ),
        rule("b", vec![Edit::SetHeader { name: "i".into(), value: Template::parse("{rule}").unwrap() }]),
    ];
    let header = BatchHeader { base_offset: 41, ..of_codec(Compression::Gzip) };
    let payload = batch(header, &[Owned::valued("1"), Owned::valued("2")]);
    let after = read(&apply(&RecordEdits::new(rules), &payload).payload.unwrap());
    let said: Vec<_> = after
        .iter()
        .flat_map(|record| {
            record.headers.iter().map(|(_, value)| String::from_utf8(value.clone().unwrap()).unwrap())
        })
        .collect();
    assert_eq!(said, ["Rule#0:41", "Rule#1", "Rule#0:42", "Rule#1"]);
}

#[test]
fn keys_are_masked_as_text() {
    let record = Owned::valued("v").with("4111111111111111", &[]);
    let key = |edits: Vec<Edit>| edited(edits, &record).key.map(|key| String::from_utf8(key).unwrap());
    assert_eq!(key(vec![mask("key", How::KeepLast(4))]).as_deref(), Some("************1111"));
    assert_eq!(
        key(vec![mask("key", How::KeepLast(4)), mask("key", How::KeepFirst(1))]).as_deref(),
        Some("****************")
    );
    assert_eq!(key(vec![mask("key", How::ToNull)]), None);
    assert_eq!(key(vec![mask("key", How::ToNull), mask("key", How::All)]), None);
}
