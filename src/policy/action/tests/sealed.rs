//! Encryption: what is stored cannot be read, who has the key reads what was written, and nobody else anything.

use super::*;
use crate::policy::secrets::Secrets;
use std::sync::Arc;

/// Of a topic, whichever rule asks.
struct In(&'static str);

impl EditContext for In {
    fn selects(&mut self, _: usize, _: &Seen<'_>) -> bool {
        true
    }

    fn say(&self, _: usize, field: Field, out: &mut String) {
        assert_eq!(field, Field::Topic);
        out.push_str(self.0);
    }
}

fn seal(way: SealWay, path: &str, keys: &[&str]) -> Edit {
    let key = |name: &&str| ((*name).to_owned(), Secrets::made_up().seal_key(name).unwrap());
    let target = match path {
        "$" => SealTarget::Whole,
        path => SealTarget::Field(path.parse().unwrap()),
    };
    let keys = Arc::new(Keyring::new(keys.iter().map(key)));
    Edit::Seal(Seal { way, target, keys, on_unparsable: OnUnparsable::default() })
}

fn encrypt(path: &str, keys: &[&str]) -> Edit {
    seal(SealWay::Encrypt, path, keys)
}

fn decrypt(path: &str, keys: &[&str]) -> Edit {
    seal(SealWay::Decrypt, path, keys)
}

/// The value after these rules, one an edit, and what the last of them counted.
fn through(edits: Vec<Edit>, topic: &'static str, value: &[u8]) -> (Vec<u8>, RuleCounts) {
    let rules = edits.into_iter().map(|edit| rule("r", vec![edit])).collect();
    let record = Owned { value: Some(value.to_vec()), ..Owned::default() };
    let payload = batch(of_codec(Compression::None), &[record]);
    let edited = RecordEdits::new(rules).apply(&payload, LIMIT, &mut In(topic)).unwrap();
    let read = read(&edited.payload.unwrap_or(payload)).remove(0);
    (read.value.unwrap(), *edited.rules.last().unwrap())
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

const CARD: &str = r#"{"name":"Ada","card":{"number":"4111","cvc":123},"tags":["a","b"]}"#;

#[test]
fn a_field_is_stored_encrypted_and_read_as_it_was() {
    for (path, hidden) in [
        ("$.card.number", vec!["4111"]),
        ("$.card", vec!["4111", ":123", "cvc\""]),
        ("$.tags[*]", vec!["\"a\"", "\"b\""]),
        ("$..cvc", vec![":123"]),
        ("$", vec!["\"Ada", "\"4111"]),
    ] {
        let (stored, counts) = through(vec![encrypt(path, &["k"])], "t", CARD.as_bytes());
        assert_eq!((counts.selected, counts.applied, counts.unopened), (1, 1, 0));
        let shown = String::from_utf8_lossy(&stored);
        let found = hidden.iter().find(|secret| shown.contains(**secret));
        assert_eq!(found, None, "{path}: {shown}");
        assert_eq!(shown.contains("\"Ada\""), path != "$");
        assert_eq!(serde_json::from_slice::<Value>(&stored).is_ok(), path != "$");
        let (read, counts) = through(vec![decrypt(path, &["k"])], "t", &stored);
        assert_eq!((text(&read), counts.applied, counts.unopened), (CARD, 1, 0));
        // moved to another topic, or read under another key
        for (topic, key) in [("u", "k"), ("t", "l")] {
            let (read, counts) = through(vec![decrypt(path, &[key])], topic, &stored);
            assert_eq!((read, counts.applied, counts.unopened), (stored.clone(), 0, 1));
        }
        // not twice
        let (again, counts) = through(vec![encrypt(path, &["k2", "k"])], "t", &stored);
        assert_eq!((again, counts.applied), (stored.clone(), 0));
        // what was never encrypted is read as it is
        let (read, counts) = through(vec![decrypt(path, &["k"])], "t", CARD.as_bytes());
        assert_eq!((text(&read), counts.applied, counts.unopened), (CARD, 0, 0));
    }
}

#[test]
fn keys_follow_each_other() {
    let (old, _) = through(vec![encrypt("$.a", &["k1"])], "t", b"{\"a\":1}");
    let (new, _) = through(vec![encrypt("$.a", &["k2", "k1"])], "t", b"{\"a\":1}");
    assert!(text(&old).contains("tg1:k1:") && text(&new).contains("tg1:k2:"));
    for stored in [&old, &new] {
        assert_eq!(text(&through(vec![decrypt("$.a", &["k2", "k1"])], "t", stored).0), "{\"a\":1}");
    }
    assert_eq!(through(vec![decrypt("$.a", &["k2"])], "t", &old).1.unopened, 1);
}

#[test]
fn a_field_put_into_another_is_not_opened() {
    let (stored, _) = through(vec![encrypt("$.secret", &["k"])], "t", b"{\"secret\":\"x\",\"note\":1}");
    let moved = text(&stored).replace("secret", "other").replace("note", "secret").replace("other", "note");
    let both = vec![decrypt("$.secret", &["k"]), decrypt("$.note", &["k"])];
    let (read, counts) = through(both, "t", moved.as_bytes());
    assert_eq!((text(&read), counts.unopened), (moved.as_str(), 1));
}

#[test]
fn masks_work_on_what_is_clear_whatever_the_order_of_the_rules() {
    let all = || mask("$.card.number", How::All);
    let (stored, _) = through(vec![encrypt("$.card", &["k"])], "t", CARD.as_bytes());
    for edits in [vec![decrypt("$.card", &["k"]), all()], vec![all(), decrypt("$.card", &["k"])]] {
        let (read, _) = through(edits, "t", &stored);
        assert!(text(&read).contains("\"number\":\"****\",\"cvc\":123"), "{}", text(&read));
    }
    // what is masked and encrypted is masked first
    for edits in [
        vec![encrypt("$.card", &["k"]), all()],
        vec![all(), encrypt("$.card", &["k"])],
        vec![encrypt("$", &["k"]), encrypt("$.card", &["k"]), all()],
    ] {
        let (stored, _) = through(edits, "t", CARD.as_bytes());
        let open = vec![decrypt("$.card", &["k"]), decrypt("$", &["k"])];
        let (read, _) = through(open, "t", &stored);
        assert!(text(&read).contains("\"number\":\"****\",\"cvc\":123"), "{}", text(&read));
    }
    // a whole value that is emptied because a mask cannot read it is not brought back
    let edits = vec![encrypt("$", &["k"]), mask("$.a", How::All)];
    assert_eq!(through(edits, "t", b"no JSON").0, b"");
}

#[test]
fn a_field_within_another_stays_under_its_own_key() {
    for edits in [
        vec![encrypt("$.card", &["outer"]), encrypt("$.card.number", &["inner"])],
        vec![encrypt("$.card.number", &["inner"]), encrypt("$.card", &["outer"])],
        vec![encrypt("$.card", &["outer"]), encrypt("$..number", &["inner"])],
    ] {
        let inner = match &edits[..] {
            [Edit::Seal(a), Edit::Seal(b)] if a.to_string().contains("inner") => a.target.clone(),
            [_, Edit::Seal(b)] => b.target.clone(),
            other => panic!("{other:?}"),
        };
        let (stored, _) = through(edits, "t", CARD.as_bytes());
        let (outer, _) = through(vec![decrypt("$.card", &["outer"])], "t", &stored);
        assert!(!text(&outer).contains("4111") && text(&outer).contains("cvc"), "{}", text(&outer));
        let Edit::Seal(mut open) = decrypt("$.x", &["inner"]) else { panic!() };
        open.target = inner;
        let (read, _) = through(vec![Edit::Seal(open), decrypt("$.card", &["outer"])], "t", &stored);
        assert_eq!(text(&read), CARD);
    }
}

#[test]
fn what_cannot_be_parsed_is_not_stored_and_what_cannot_be_decrypted_stays() {
    let (stored, counts) = through(vec![encrypt("$.a", &["k"])], "t", b"secret, no JSON");
    assert_eq!((stored.as_slice(), counts.unparsable, counts.applied), (&b""[..], 1, 1));
    let (read, counts) = through(vec![decrypt("$.a", &["k"])], "t", b"no JSON");
    assert_eq!((text(&read), counts.unopened, counts.applied), ("no JSON", 1, 0));
    let (stored, _) = through(vec![encrypt("$.a", &["k"])], "t", b"{\"a\":\"x\"}");
    let tampered = text(&stored).replace("\"}", "A\"}");
    let (read, counts) = through(vec![decrypt("$.a", &["k"])], "t", tampered.as_bytes());
    assert_eq!((text(&read), counts.unopened, counts.applied), (tampered.as_str(), 1, 0));
    // nothing is nothing, and is not hidden
    for nothing in ["{\"a\":null}", "{}", ""] {
        assert_eq!(text(&through(vec![encrypt("$.a", &["k"])], "t", nothing.as_bytes()).0), nothing);
    }
    assert!(through(vec![encrypt("$", &["k"])], "t", b"").0.is_empty());
}

#[test]
fn what_only_watches_counts_and_changes_nothing() {
    let watch = |edit: Edit, value: &[u8]| {
        let rules = RecordEdits::new(vec![EditRule { observe: true, ..rule("r", vec![edit]) }]);
        let payload = batch(of_codec(Compression::None), &[Owned::valued(text(value))]);
        let edited = rules.apply(&payload, LIMIT, &mut In("t")).unwrap();
        (edited.payload, edited.rules[0].applied)
    };
    let (stored, _) = through(vec![encrypt("$.card", &["k"])], "t", CARD.as_bytes());
    assert_eq!(watch(encrypt("$.card", &["k"]), CARD.as_bytes()), (None, 1));
    assert_eq!(watch(encrypt("$", &["k"]), CARD.as_bytes()), (None, 1));
    assert_eq!(watch(decrypt("$.card", &["k"]), &stored), (None, 1));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn to_encrypt_and_decrypt_changes_nothing(value in document(), whole in any::<bool>()) {
        let value = serde_json::json!({ "a": value, "b": "plain" }).to_string();
        let path = if whole { "$" } else { "$.a" };
        let (stored, _) = through(vec![encrypt(path, &["k"])], "t", value.as_bytes());
        let (read, counts) = through(vec![decrypt(path, &["k"])], "t", &stored);
        prop_assert_eq!(text(&read), value.as_str());
        prop_assert_eq!(counts.unopened, 0);
        prop_assert!(stored != value.as_bytes() || value.contains("\"a\":null"));
    }

    #[test]
    fn what_a_stranger_wrote_is_left_alone(bytes in proptest::collection::vec(any::<u8>(), 0..80), text in "tg1:k?:?[A-Za-z0-9_=-]{0,60}") {
        let whole = [&crate::policy::action::seal::MAGIC[..], &bytes].concat();
        prop_assert_eq!(through(vec![decrypt("$", &["k"])], "t", &whole).0, whole);
        let field = serde_json::json!({ "a": text }).to_string();
        prop_assert_eq!(through(vec![decrypt("$.a", &["k"])], "t", field.as_bytes()).0, field.as_bytes());
    }

    #[test]
    fn any_bytes_come_back_as_they_were(value in proptest::collection::vec(any::<u8>(), 1..200)) {
        let (stored, _) = through(vec![encrypt("$", &["k"])], "t", &value);
        prop_assert!(value.len() < 4 || !stored.windows(value.len()).any(|window| window == value));
        prop_assert_eq!(through(vec![decrypt("$", &["k"])], "t", &stored).0, value);
    }
}

#[test]
fn so_many_layers_are_opened_and_no_more() {
    let nested = |depth: usize| {
        let names = ["a", "b", "c", "d", "e"].iter().take(depth);
        let path = names.clone().scan("$".to_owned(), |path, name| {
            *path += &format!(".{name}");
            Some(path.clone())
        });
        let value = names.rev().fold("\"clear\"".to_owned(), |inner, name| format!("{{\"{name}\":{inner}}}"));
        (path.collect::<Vec<_>>(), value)
    };
    for depth in [4, 5] {
        let (paths, value) = nested(depth);
        let (stored, _) =
            through(paths.iter().map(|path| encrypt(path, &["k"])).collect(), "t", value.as_bytes());
        assert!(text(&stored).starts_with("{\"a\":\"tg1:k:"), "{}", text(&stored));
        let open = || paths.iter().map(|path| decrypt(path, &["k"])).collect();
        let (read, _) = through(open(), "t", &stored);
        assert_eq!(text(&read) == value, depth == 4, "{}", text(&read));
        // and the fifth is read where it is asked for once more
        assert_eq!(text(&through(open(), "t", &read).0), value);
    }
}

#[test]
fn two_encryptions_of_one_field_come_in_the_order_of_their_rules() {
    for (paths, keys) in [(["$.a", "$..a"], ["k1", "k2"]), (["$..a", "$.a"], ["k2", "k1"])] {
        let edits = vec![encrypt(paths[0], &[keys[0]]), encrypt(paths[1], &[keys[1]])];
        let (stored, _) = through(edits, "t", b"{\"a\":1}");
        assert!(text(&stored).contains(&format!("tg1:{}:", keys[1])), "{}", text(&stored));
        let (inner, _) = through(vec![decrypt(paths[1], &[keys[1]])], "t", &stored);
        assert!(text(&inner).contains(&format!("tg1:{}:", keys[0])), "{}", text(&inner));
    }
}

#[test]
fn an_encryption_that_only_watches_counts_within_another_too() {
    let rules = vec![
        rule("outer", vec![encrypt("$.card", &["k"])]),
        EditRule { observe: true, ..rule("inner", vec![encrypt("$.card.number", &["k"])]) },
    ];
    let payload = batch(of_codec(Compression::None), &[Owned::valued(CARD)]);
    let edited = RecordEdits::new(rules).apply(&payload, LIMIT, &mut In("t")).unwrap();
    assert_eq!(edited.rules.iter().map(|counts| counts.applied).collect::<Vec<_>>(), [1, 1]);
    let stored = read(&edited.payload.unwrap()).remove(0).value.unwrap();
    let (opened, _) = through(vec![decrypt("$.card", &["k"])], "t", &stored);
    assert_eq!(text(&opened), CARD);
}
