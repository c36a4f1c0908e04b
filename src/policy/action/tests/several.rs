//! Several rules on one record: each does what it says to what it selects, and counts that.

use super::*;

/// The value and headers after these rules, of which those of `selected` select the record, and what each counted.
fn seen_by(rules: Vec<EditRule>, selected: &[usize], record: &Owned) -> (Owned, Edited) {
    let payload = batch(of_codec(Compression::None), std::slice::from_ref(record));
    let mut context = Context(|rule: usize, _: &Seen<'_>| selected.contains(&rule));
    let edited = RecordEdits::new(rules).apply(&payload, LIMIT, &mut context).unwrap();
    (read(edited.payload.as_ref().unwrap_or(&payload)).remove(0), edited)
}

fn applied(edited: &Edited) -> Vec<u64> {
    edited.rules.iter().map(|counts| counts.applied).collect()
}

#[test]
fn only_rules_that_select_a_record_change_it() {
    let rules = || vec![rule("a", vec![mask("$.a", How::All)]), rule("b", vec![mask("$.b", How::All)])];
    let record = Owned::valued(r#"{"a":"x","b":"y"}"#);
    for (selected, value) in [
        (&[][..], r#"{"a":"x","b":"y"}"#),
        (&[0], r#"{"a":"****","b":"y"}"#),
        (&[1], r#"{"a":"x","b":"****"}"#),
        (&[0, 1], r#"{"a":"****","b":"****"}"#),
    ] {
        let (after, edited) = seen_by(rules(), selected, &record);
        assert_eq!(after, Owned::valued(value));
        let counts = [0, 1].map(|rule| u64::from(selected.contains(&rule)));
        assert_eq!(applied(&edited), counts);
    }
}

#[test]
fn a_value_that_no_selected_rule_looks_into_need_not_be_json() {
    let rules = vec![rule("key", vec![mask("key", How::All)]), rule("value", vec![mask("$.a", How::All)])];
    let record = Owned::valued("no JSON").with("k", &[]);
    let (after, edited) = seen_by(rules, &[0], &record);
    assert_eq!((after.key.as_deref(), after.value.as_deref()), (Some(&b"****"[..]), Some(&b"no JSON"[..])));
    assert_eq!(edited.unparsable, 0);
}

#[test]
fn a_header_mask_is_about_headers_of_its_name_that_have_a_value() {
    let masks = || vec![rule("h", vec![mask("headers.h", How::All)])];
    for (headers, found) in [
        (&[("h", Some("1"))][..], 1),
        (&[("h", None)], 0),
        (&[("other", Some("1"))], 0),
        (&[("other", Some("1")), ("h", None)], 0),
        (&[], 0),
    ] {
        let record = Owned::valued("v").with("k", headers);
        let (after, edited) = seen_by(masks(), &[0], &record);
        assert_eq!((applied(&edited), edited.payload.is_some()), (vec![found], found == 1), "{headers:?}");
        assert_eq!(after == record, found == 0, "{headers:?}");
    }
}
