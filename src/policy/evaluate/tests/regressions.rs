//! Bugs of the past, each by its name.

use super::*;
use std::time::Duration;

#[test]
fn an_exclusion_exempts_only_what_it_names() {
    for (selector, exempt, others) in [
        (
            r#".value("$.class", "!public")"#,
            r#"{"class":"public","id":1}"#,
            &[r#"{"id":1}"#, r#"{"class":null,"id":1}"#, r#"{"class":["public"],"id":1}"#][..],
        ),
        (
            r#".value("$.level", "!= 0")"#,
            r#"{"level":0,"id":1}"#,
            &[r#"{"id":1}"#, r#"{"level":"0","id":1}"#, r#"{"level":2,"id":1}"#],
        ),
    ] {
        let world = one(&format!(r#"on_fetch("t"){selector}.mask("$.id", replace("x"));"#));
        let value = |json| world.fetch(&who("User:x"), &[("t", json)]).values(0);
        assert_eq!(value(exempt), some(&[exempt]), "{selector}");
        for json in others {
            let masked = json.replace(r#""id":1"#, r#""id":"x""#);
            assert_eq!(value(json), some(&[&masked]), "{selector} {json}");
        }
    }
}

#[test]
fn an_excluded_header_exempts_only_records_that_have_it() {
    for (selector, headers, hides) in [
        (r#".header("class", "!public")"#, &[("class", "public")][..], false),
        (r#".header("class", "!public")"#, &[], true),
        (r#".header("class", "!public")"#, &[("class", "public"), ("class", "secret")], true),
        (r#".header("!class")"#, &[("class", "any")], false),
        (r#".header("!class")"#, &[], true),
    ] {
        let world = one(&format!(r#"on_fetch("t"){selector}.mask("$.id", replace("x"));"#));
        let payload = batch_with_headers(&[r#"{"id":1}"#], 0, headers);
        let seen = world.fetch_payloads(&who("User:x"), &[("t", payload)], 0);
        let value = if hides { r#"{"id":"x"}"# } else { r#"{"id":1}"# };
        assert_eq!(seen.values(0), some(&[value]), "{selector} {headers:?}");
    }
}

#[test]
fn a_producer_without_a_transactional_id_is_not_exempt_by_one() {
    let world = one(r#"on_produce("t").transactional_id("!trusted").deny();"#);
    let ask = |id: Option<&str>| {
        let mut body = match producing(&[("t", "v")], 0).body().unwrap() {
            RequestBody::Produce(body) => (**body).clone(),
            other => panic!("{other:?}"),
        };
        body.transactional_id = id.map(Into::into);
        codes(&world.ask(&who("User:x"), &mut request(12, body)))
    };
    let denied = vec![Some(ErrorCode::TOPIC_AUTHORIZATION_FAILED)];
    assert_eq!(ask(Some("trusted")), []);
    assert_eq!(ask(Some("other")), denied);
    assert_eq!(ask(None), denied);
}

#[test]
fn equal_batches_of_a_producer_without_sequences_each_count_in_windows() {
    let world = one(r#"policy("p");
        let w = window("w", "60s");
        on_produce("t").each(|cx, record| {
            if w.count("k") >= 5 { return cx.deny("too many"); }
            w.add("k");
        });"#);
    let send = |payload: &Bytes| {
        codes(&world.ask(&who("User:x"), &mut producing_payloads(&[("t", payload.clone())], -1)))
    };
    let plain = batch(&["v"], 0);
    assert!((0..5).all(|_| send(&plain).is_empty()));
    assert_eq!(
        send(&plain),
        [Some(ErrorCode::INVALID_RECORD)],
        "the sixth, though its bytes were met before"
    );
}

#[test]
fn a_retry_of_an_idempotent_producer_counts_in_windows_once() {
    let world = one(r#"policy("p");
        let w = window("w", "60s");
        on_produce("t").each(|cx, record| { w.add("k"); });"#);
    let window = world.policies.shared().state.window("p", "w", Duration::from_secs(60));
    let send = |payload: Bytes| {
        world.ask(&who("User:x"), &mut producing_payloads(&[("t", payload)], -1));
        window.count(b"sk")
    };
    let (first, second) = (sequenced(&["v", "v"], 9, 0), sequenced(&["v", "v"], 9, 2));
    assert_eq!(send(first.clone()), 2);
    assert_eq!(send(second.clone()), 4, "as many bytes, and the next sequence");
    assert_eq!((send(first.clone()), send(second)), (4, 4), "retries");
    assert_eq!(send(sequenced(&["v", "v"], 10, 0)), 6, "of another producer");
    assert_eq!(send(sequenced(&["v", "w"], 9, 0)), 8, "another content under the same numbers");
    assert_eq!(send(first), 8);
}

#[test]
fn closures_that_take_too_long_for_one_batch_refuse_it() {
    let text = r#"on_produce("t").each(|cx, record| {}); on_produce("o").observe().each(|cx, record| {});"#;
    let world = world_with(&[("p", text)], Settings { closures_wall: Duration::ZERO, ..Settings::default() });
    let verdict = world.produce(&who("User:x"), &[("t", "v"), ("o", "v")]);
    assert_eq!(codes(&verdict), [Some(ErrorCode::TOPIC_AUTHORIZATION_FAILED), None]);
    assert_eq!((world.counts(0), world.counts(1)), ((1, 0, 1), (1, 0, 1)));
}

#[test]
fn a_batch_of_very_many_denied_records_is_refused_by_the_first_of_them() {
    let world = one(r#"on_produce("t").each(|cx, record| { cx.deny("no") });"#);
    let payload = batch(&["v"; 5_000], 0);
    let verdict = world.ask(&who("User:x"), &mut producing_payloads(&[("t", payload)], -1));
    let Outcome::Answer { code, records, .. } = &verdict.parts[0] else { panic!("forwarded") };
    assert_eq!((*code, records.len()), (ErrorCode::INVALID_RECORD, 1_000));
}
