//! Bugs of the past, each by its name.

use super::*;
use crate::policy::action::MASKED_HEADER;
use crate::wire::record::{Headers, verify_crc};
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

/// One record of more than what rules look into, which brokers store all the same.
fn too_large(offset: i64) -> Bytes {
    let value = vec![b' '; (64 << 20) + 1];
    with_codecs(|_, compressor| {
        let mut header = BatchHeader { base_offset: offset, last_offset_delta: 4, ..BatchHeader::default() };
        (header.producer_id, header.producer_epoch, header.base_sequence) = (7, 1, 3);
        header.set_compression(crate::wire::record::Compression::Zstd);
        let mut builder = BatchBuilder::new(header, compressor);
        builder.append(1_000, Some(b"k"), Some(&value), HeadersBuf::new().as_headers()).unwrap();
        builder.finish().unwrap()
    })
}

#[test]
fn a_batch_too_large_to_look_into_does_not_hold_up_consumers() {
    for rule in [
        r#".mask("$.a", "all").on_unparsable("pass")"#,
        r#".each(|cx, record| {})"#,
        r#".value("$.a", "x").deny()"#,
    ] {
        let world =
            one(&format!(r#"on_fetch("t").named("watch").observe(){rule}; on_fetch("t").named("r"){rule};"#));
        let large = too_large(10);
        let original = batches(&large).next().unwrap().unwrap().header;
        let payload = [&large[..], &batch(&[r#"{"b":1}"#], 20)].concat();
        let seen = world.fetch_payloads(&who("User:x"), &[("t", payload.into())], 10);
        assert_eq!((seen.code(0), seen.values(0)), (ErrorCode::NONE, some(&["", r#"{"b":1}"#])), "{rule}");
        let payload = seen.payload(0);
        let stands = batches(&payload).next().unwrap().unwrap();
        verify_crc(stands.bytes).unwrap();
        let same = BatchHeader { crc: original.crc, batch_length: original.batch_length, ..stands.header };
        assert_eq!(same, original, "all but its records: {rule}");
        with_codecs(|decompressor, _| {
            let mut records = Records::open(stands.bytes, &stands.header, decompressor, 1 << 20).unwrap();
            let record = records.next().unwrap().unwrap();
            assert_eq!((record.key, record.offset_delta), (None, original.last_offset_delta));
            assert_eq!(Headers::last(&record.headers, MASKED_HEADER.as_bytes()), Some(Some(b"r".as_slice())));
        });
        for at in [0, 1] {
            assert_eq!(world.counts(at).2, 1, "{rule}");
        }
        let told = world.audit();
        assert!(told.iter().any(|l| l["rule"] == "r" && l["decision"] == "unparsable" && l["records"] == 1));
    }
}

#[test]
fn rules_that_only_observe_let_pass_what_they_cannot_look_into() {
    let world =
        one(r#"on_fetch("t").observe().mask("$.a", "all"); on_produce("t").observe().mask("$.a", "all");"#);
    let large = too_large(10);
    let seen = world.fetch_payloads(&who("User:x"), &[("t", large.clone())], 10);
    assert!(!seen.decided.edited && seen.payload(0) == large);
    assert!(world.ask(&who("User:x"), &mut producing_payloads(&[("t", large)], -1)).parts.is_empty());
}

#[test]
fn a_produced_batch_too_large_to_look_into_is_refused_as_too_large() {
    let world = one(r#"on_produce("t").mask("$.a", "all");"#);
    let verdict = world.ask(&who("User:x"), &mut producing_payloads(&[("t", too_large(0))], -1));
    assert_eq!(codes(&verdict), [Some(ErrorCode::MESSAGE_TOO_LARGE)]);
}

#[test]
fn a_broken_batch_is_still_an_error_for_its_consumers() {
    let world = one(r#"on_fetch("t").mask("$.a", "all");"#);
    let mut broken = batch(&[r#"{"a":1}"#], 0).to_vec();
    *broken.last_mut().unwrap() ^= 1;
    let seen = world.fetch_payloads(&who("User:x"), &[("t", broken.into())], 0);
    assert_eq!(seen.code(0), ErrorCode::CORRUPT_MESSAGE);
}

fn metadata(version: i16, name: &str, id: u8) -> Request {
    use crate::wire::api::metadata::{MetadataRequestTopic, Request};
    let topic = MetadataRequestTopic {
        name: (!name.is_empty()).then(|| name.into()),
        topic_id: Uuid([id; 16]),
        ..Default::default()
    };
    request(
        version,
        Request { topics: Some(vec![topic]), allow_auto_topic_creation: false, ..Default::default() },
    )
}

#[test]
fn a_topic_named_by_name_and_by_id_is_the_one_that_brokers_take() {
    for text in [
        r#"on_request("Metadata").topic("secret").deny();"#,
        r#"on_access("Describe").topic("secret").deny();"#,
        r#"default_deny(); on_access("Describe").topic("open").allow();"#,
    ] {
        let world = one(text);
        world.topics.put(1, "secret");
        world.topics.put(2, "open");
        let ask = |name, id| codes(&world.ask(&who("User:x"), &mut metadata(12, name, id)));
        let denied = vec![Some(ErrorCode::TOPIC_AUTHORIZATION_FAILED)];
        assert_eq!((ask("open", 0), ask("secret", 0)), (vec![], denied.clone()), "{text}");
        assert_eq!((ask("", 2), ask("", 1)), (vec![], denied.clone()), "{text}");
        let contradiction = vec![Some(ErrorCode::INVALID_REQUEST)];
        assert_eq!((ask("open", 1), ask("secret", 2)), (contradiction.clone(), contradiction), "{text}");
        assert_eq!((ask("open", 2), ask("secret", 1)), (vec![], denied), "{text}");
        assert_eq!(ask("open", 3), [Some(ErrorCode::UNKNOWN_TOPIC_ID)], "{text}");
    }
}

#[test]
fn a_topic_to_delete_named_twice_is_not_another_one() {
    let world = one(r#"on_access("Delete").topic("secret").deny();"#);
    world.topics.put(1, "secret");
    let topic = crate::wire::api::delete_topics::DeleteTopicState {
        name: Some("open".into()),
        topic_id: Uuid([1; 16]),
        ..Default::default()
    };
    let body = crate::wire::api::delete_topics::Request { topics: vec![topic], ..Default::default() };
    let verdict = world.ask(&who("User:x"), &mut request(6, body));
    assert_eq!(codes(&verdict), [Some(ErrorCode::INVALID_REQUEST)]);
}

#[test]
fn a_topic_with_an_error_is_not_listed_to_whom_may_not_describe_it() {
    use crate::wire::api::metadata::{self, MetadataResponseTopic};
    let world = one(r#"on_access("Describe").topic("secret*").deny();"#);
    let row = |name: Option<&str>, code: ErrorCode| MetadataResponseTopic {
        error_code: code.0,
        name: name.map(Into::into),
        ..Default::default()
    };
    let mut asked = request(12, metadata::Request { topics: None, ..Default::default() });
    let verdict = world.ask(&who("User:x"), &mut asked);
    let topics = vec![
        row(Some("open"), ErrorCode::NONE),
        row(Some("open-2"), ErrorCode::LEADER_NOT_AVAILABLE),
        row(Some("secret"), ErrorCode::NONE),
        row(Some("secret-2"), ErrorCode::LEADER_NOT_AVAILABLE),
        row(Some("secret-3"), ErrorCode::TOPIC_AUTHORIZATION_FAILED),
        row(None, ErrorCode::UNKNOWN_TOPIC_ID),
    ];
    let mut response = Response::new(&asked, metadata::Response { topics, ..Default::default() }.into());
    let user = who("User:x");
    let plan = world.generation().plan(&user);
    plan.on_response(&ExchangeContext { who: &user, session: 1 }, &asked, &verdict, &mut response);
    let ResponseBody::Metadata(body) = response.body else { panic!("not metadata") };
    let names: Vec<&str> = body.topics.iter().map(|t| t.name.as_deref().unwrap_or("-")).collect();
    assert_eq!(names, ["open", "open-2", "secret-3", "-"], "a refusal repeats what its client asked for");
}
