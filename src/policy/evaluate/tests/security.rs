use super::*;
use crate::policy::action::MASKED_HEADER;
use crate::policy::verdict::{End, Interest};
use std::time::Duration;

const DENIED: Option<ErrorCode> = Some(ErrorCode::TOPIC_AUTHORIZATION_FAILED);

#[test]
fn a_verdict_is_per_part() {
    let world = one(r#"on_produce("orders").deny("closed");"#);
    let verdict = world.produce(&who("User:a"), &[("audit", "1"), ("orders", "2"), ("audit", "3")]);
    assert_eq!(codes(&verdict), [None, DENIED, None]);
    assert_eq!(
        verdict.parts[1],
        Outcome::Answer {
            code: ErrorCode::TOPIC_AUTHORIZATION_FAILED,
            message: Some("closed".into()),
            records: vec![]
        }
    );
    assert!(!verdict.edited && verdict.whole.is_none() && verdict.refused);
    assert_eq!(world.counts(0), (1, 1, 0));
    let untouched = world.produce(&who("User:a"), &[("audit", "1")]);
    assert!(untouched.is_pass() && untouched.parts.is_empty());
}

#[test]
fn security_comes_before_chaos_whatever_the_file_order() {
    let world = world(&[
        (
            "a-chaos",
            r#"on_request("*").lose_response(); on_produce().delay("1s").fail_after("REQUEST_TIMED_OUT");"#,
        ),
        ("z-deny", r#"on_produce("orders").deny();"#),
    ]);
    let verdict = world.produce(&who("User:a"), &[("orders", "x")]);
    assert_eq!(codes(&verdict), [DENIED]);
    assert_eq!((verdict.lose, verdict.delay, verdict.after.len()), (None, Duration::ZERO, 0));
    assert_eq!(world.journal().len(), 0, "chaos never saw the denied part");
    let mixed = world.produce(&who("User:a"), &[("orders", "x"), ("audit", "x")]);
    assert_eq!(codes(&mixed), [DENIED, None]);
    let lines = world.journal();
    assert!(lines.iter().all(|line| line["subject"].as_str().unwrap().ends_with("audit-0")), "{lines:?}");
    assert!(mixed.lose.is_some());
}

#[test]
fn selectors_choose_parts_and_clients() {
    for (rule, yes, no) in [
        (r#"on_produce("a*")"#, ("User:x", "c", "ab"), ("User:x", "c", "b")),
        (r#"on_produce("!a*")"#, ("User:x", "c", "b"), ("User:x", "c", "ab")),
        (r#"on_produce().topic("b")"#, ("User:x", "c", "b"), ("User:x", "c", "a")),
        (r#"on_produce().partition(0)"#, ("User:x", "c", "b"), ("", "", "")),
        (r#"on_produce().principal("User:x")"#, ("User:x", "c", "b"), ("User:y", "c", "b")),
        (r#"on_produce().client_id("c*")"#, ("User:x", "cc", "b"), ("User:x", "d", "b")),
        (r#"on_produce().listener("public")"#, ("User:x", "c", "b"), ("", "", "")),
        (r#"on_produce().from_ip("10.0.0.0/8")"#, ("User:x", "c", "b"), ("", "", "")),
        (
            r#"on_produce().when(|cx| cx.topic == "b" && cx.principal == "User:x" && cx.version == 12)"#,
            ("User:x", "c", "b"),
            ("User:x", "c", "a"),
        ),
    ] {
        let world = one(&format!("{rule}.deny();"));
        let ask = |(principal, client_id, topic)| {
            codes(&world.produce(&client(principal, client_id), &[(topic, "v")]))
        };
        assert_eq!(ask(yes), [DENIED], "{rule} {yes:?}");
        if !no.0.is_empty() {
            assert_eq!(ask(no), [], "{rule} {no:?}");
        }
    }
    for rule in [
        r#"on_produce().partition(1..5)"#,
        r#"on_produce().listener("private")"#,
        r#"on_produce().from_ip("!10.0.0.0/8")"#,
        r#"on_produce().transactional_id("t*")"#,
    ] {
        let world = one(&format!("{rule}.deny();"));
        assert_eq!(codes(&world.produce(&who("User:x"), &[("b", "v")])), [], "{rule}");
    }
}

#[test]
fn a_client_that_changes_its_id_meets_other_rules_and_no_less_of_the_others() {
    let world = one(r#"on_produce("a").client_id("old").deny();
           on_produce("b").principal("User:x").deny();"#);
    let mut slot = crate::policy::plan::PlanSlot::default();
    let mut ask = |who: &Who, topic| {
        let plan = Arc::clone(slot.plan(&world.policies, who));
        codes(&plan.on_request(&ExchangeContext { who, session: 1 }, &mut producing(&[(topic, "v")], 0)))
    };
    let (old, new) = (client("User:x", "old"), client("User:x", "new"));
    assert_eq!((ask(&old, "a"), ask(&new, "a"), ask(&old, "a")), (vec![DENIED], vec![], vec![DENIED]));
    assert_eq!((ask(&old, "b"), ask(&new, "b")), (vec![DENIED], vec![DENIED]));
}

#[test]
fn the_slot_follows_a_new_generation() {
    let world = one(r#"on_produce("a").deny();"#);
    let mut slot = crate::policy::plan::PlanSlot::default();
    let user = who("User:x");
    let number = slot.plan(&world.policies, &user).number;
    assert_eq!(slot.plan(&world.policies, &user).number, number);
    world.load(&[("p", r#"on_produce("b").deny();"#)]);
    assert!(slot.plan(&world.policies, &user).number > number);
}

#[test]
fn topic_ids_are_names_to_the_rules() {
    let world = one(r#"on_produce("secret").deny();"#);
    world.topics.put(1, "secret");
    world.topics.put(2, "open");
    let ask = |id: u8| {
        let topic = produce::TopicProduceData {
            topic_id: Uuid([id; 16]),
            partition_data: vec![produce::PartitionProduceData {
                records: Payload::Bytes(batch(&["v"], 0)),
                ..Default::default()
            }],
            ..Default::default()
        };
        let body = produce::Request { acks: -1, topic_data: vec![topic], ..Default::default() };
        codes(&world.ask(&who("User:x"), &mut request(13, body)))
    };
    assert_eq!((ask(1), ask(2)), (vec![DENIED], vec![]));
    assert_eq!(ask(3), [Some(ErrorCode::UNKNOWN_TOPIC_ID)], "nobody knows it: refused");
    // deleted and created again: the new id means the same rules
    world.policies.shared().names.forget(&"secret".into());
    world.topics.put(3, "secret");
    assert_eq!(ask(3), [DENIED]);
}

#[test]
fn an_unknown_topic_does_not_concern_rules_that_name_none() {
    let world =
        one(r#"on_produce().principal("User:mallory").deny(); on_produce("t").chance(1).delay("1s");"#);
    let topic = produce::TopicProduceData {
        topic_id: Uuid([9; 16]),
        partition_data: vec![Default::default()],
        ..Default::default()
    };
    let body = produce::Request { acks: -1, topic_data: vec![topic], ..Default::default() };
    assert_eq!(codes(&world.ask(&who("User:x"), &mut request(13, body))), []);
}

#[test]
fn fetched_fields_are_masked_for_whom_the_rule_names() {
    let world = one(r#"on_fetch("customers").principal("User:analytics").mask("$.email", "email")
            .set_header("seen-by", "{principal} on {topic}-{partition}").remove_header("x-*");"#);
    let value = r#"{"email":"ada@example.com"}"#;
    let parts = [("customers", value), ("orders", value)];
    let fetched = world.fetch(&who("User:analytics"), &parts);
    assert_eq!(fetched.values(0), some(&[r#"{"email":"a**@example.com"}"#]));
    assert_eq!(fetched.values(1), some(&[value]));
    assert!(fetched.decided.edited);
    assert_eq!(fetched.payload(1), batch(&[value], 0), "what no rule is about stays as it came");
    with_codecs(|decompressor, _| {
        let payload = fetched.payload(0);
        let batch = batches(&payload).next().unwrap().unwrap();
        let mut records = Records::open(batch.bytes, &batch.header, decompressor, 1 << 20).unwrap();
        let headers = records.next().unwrap().unwrap().headers;
        let header = headers_last(&headers, b"seen-by").flatten();
        assert_eq!(header, Some(b"User:analytics on customers-0".as_slice()));
    });

    let shop = world.fetch(&who("User:shop"), &parts);
    assert_eq!(shop.verdict.response, Interest::Nothing, "its fetches stay opaque");
    assert_eq!(shop.values(0), some(&[value]));
}

#[test]
fn the_response_is_looked_into_only_where_a_topic_of_it_matters() {
    let world = one(r#"on_fetch("customers").mask("$.email", "all");"#);
    assert_eq!(world.ask(&who("User:x"), &mut fetching(&["orders"], 0)).response, Interest::Nothing);
    assert_eq!(
        world.ask(&who("User:x"), &mut fetching(&["orders", "customers"], 0)).response,
        Interest::Records
    );
}

#[test]
fn what_cannot_be_parsed_is_emptied_marked_and_audited() {
    let world = one(r#"on_fetch("t").mask("$.a", "all").named("hide a");"#);
    let fetched = world.fetch(&who("User:x"), &[("t", "{not json")]);
    assert_eq!(fetched.values(0), some(&[""]));
    with_codecs(|decompressor, _| {
        let payload = fetched.payload(0);
        let batch = batches(&payload).next().unwrap().unwrap();
        let mut records = Records::open(batch.bytes, &batch.header, decompressor, 1 << 20).unwrap();
        let headers = records.next().unwrap().unwrap().headers;
        let header = headers_last(&headers, MASKED_HEADER.as_bytes()).flatten();
        assert_eq!(header, Some(b"hide a".as_slice()));
    });
    let audit = world.audit();
    assert_eq!((audit.len(), audit[0]["decision"].as_str()), (1, Some("unparsable")));

    let refusing = one(r#"on_fetch("t").mask("$.a", "all").on_unparsable("error");"#);
    let fetched = refusing.fetch(&who("User:x"), &[("t", "{not json"), ("u", "{not json")]);
    assert_eq!((fetched.code(0), fetched.payload(0).len()), (ErrorCode::TOPIC_AUTHORIZATION_FAILED, 0));
    assert_eq!((fetched.code(1), fetched.values(1)), (ErrorCode::NONE, some(&["{not json"])));
}

#[test]
fn a_broken_or_cut_payload_shows_nothing_clear() {
    let world = one(r#"on_fetch("t").mask("$.a", "all");"#);
    let mut broken = batch(&[r#"{"a":"clear"}"#], 0).to_vec();
    *broken.last_mut().unwrap() ^= 1;
    let fetched = world.fetch_payloads(&who("User:x"), &[("t", Bytes::from(broken))], 0);
    assert_eq!((fetched.code(0), fetched.payload(0).len()), (ErrorCode::CORRUPT_MESSAGE, 0));

    let first = batch(&[r#"{"a":"clear"}"#], 0);
    let second = batch(&[r#"{"a":"clear"}"#], 1);
    let cut = Bytes::from([&first[..], &second[..second.len() - 3]].concat());
    let fetched = world.fetch_payloads(&who("User:x"), &[("t", cut)], 0);
    assert_eq!(fetched.values(0), some(&[r#"{"a":"****"}"#]));
    assert!(!String::from_utf8_lossy(&fetched.payload(0)).contains("clear"));
}

#[test]
fn what_was_not_looked_into_does_not_go_on() {
    let world = one(r#"on_fetch("t").value("$.secret", true).deny();
           on_produce("t").value("$.secret", true).deny();"#);
    let first = batch(&["{}"], 0);
    let second = batch(&[r#"{"secret":true}"#], 1);
    let cut = Bytes::from([&first[..], &second[..second.len() - 1]].concat());
    let fetched = world.fetch_payloads(&who("User:x"), &[("t", cut.clone())], 0);
    assert_eq!(fetched.payload(0), first);
    let verdict = world.ask(&who("User:x"), &mut producing_payloads(&[("t", cut)], -1));
    assert_eq!(codes(&verdict), [Some(ErrorCode::CORRUPT_MESSAGE)]);
}

#[test]
fn fetches_are_made_sessionless_where_rules_look() {
    let world = one(r#"on_fetch("t").mask("$.a", "all");"#);
    let verdict = world.ask(&who("User:x"), &mut fetching(&["t"], 0));
    assert!(verdict.sessionless);
    // an incremental fetch of a session from before the rules leaves partitions out
    let body = fetch::Request { session_id: 5, session_epoch: 3, ..Default::default() };
    let verdict = world.ask(&who("User:x"), &mut request(12, body));
    assert_eq!(verdict.whole, Some(ErrorCode::FETCH_SESSION_ID_NOT_FOUND));
    let none = one(r#"on_produce("t").deny();"#);
    assert!(!none.ask(&who("User:x"), &mut fetching(&["t"], 0)).sessionless);
}

#[test]
fn produced_records_are_changed_on_their_way_in() {
    let world = one(r#"on_produce("t").mask("$.a", replace("x")).set_header("by", "{principal}");"#);
    let mut request = producing(&[("u", r#"{"a":1}"#), ("t", r#"{"a":1}"#)], 0);
    let verdict = world.ask(&who("User:x"), &mut request);
    assert!(verdict.edited && verdict.parts.is_empty());
    let RequestBody::Produce(body) = request.body().unwrap() else { panic!() };
    let stored = |at: usize| values(&body.topic_data[at].partition_data[0].records.to_bytes().unwrap());
    assert_eq!((stored(0), stored(1)), (some(&[r#"{"a":1}"#]), some(&[r#"{"a":"x"}"#])));
}

#[test]
fn a_denied_record_refuses_its_batch_with_its_place() {
    let world = one(r#"on_produce("t").value("$.amount", "> 1000").deny("too much");
           on_produce("t").require_header("trace");"#);
    let payload = |values: &[&str]| batch_with_headers(values, 0, &[("trace", "1")]);
    let ok = payload(&[r#"{"amount":5}"#]);
    let bad = payload(&[r#"{"amount":5}"#, r#"{"amount":5000}"#, r#"{"amount":6000}"#]);
    let mut request = producing_payloads(&[("u", bad.clone()), ("t", bad), ("t", ok)], -1);
    let verdict = world.ask(&who("User:x"), &mut request);
    assert_eq!(codes(&verdict), [None, Some(ErrorCode::INVALID_RECORD), None]);
    let Outcome::Answer { records, .. } = &verdict.parts[1] else { panic!() };
    assert_eq!(records, &[(1, "too much".to_owned()), (2, "too much".to_owned())]);
    let bare = world.ask(&who("User:x"), &mut producing(&[("t", "{}")], 0));
    let Outcome::Answer { records, .. } = &bare.parts[0] else { panic!() };
    assert_eq!(records, &[(0, "the record has no header `trace`".to_owned())]);
    // a value that is not JSON may hide an amount
    let unreadable = batch_with_headers(&["{amount:9999}"], 0, &[("trace", "1")]);
    let verdict = world.ask(&who("User:x"), &mut producing_payloads(&[("t", unreadable)], -1));
    assert_eq!(codes(&verdict), [Some(ErrorCode::INVALID_RECORD)]);
}

#[test]
fn record_selectors_choose_records() {
    for (selector, denied) in [
        (r#".header("class", "secret")"#, vec![0]),
        (r#".header("none")"#, vec![]),
        (r#".value("$.n", 2)"#, vec![1]),
        (r#".value("$.s", "b*")"#, vec![1]),
        (r#".key("!k")"#, vec![0, 1]),
        (r#".key("k")"#, vec![]),
        (r#".value("$.n", 1).header("class", "secret")"#, vec![0]),
        (r#".value("$.n", 2).header("class", "secret")"#, vec![]),
    ] {
        let world = one(&format!("on_produce(\"t\"){selector}.deny();"));
        let payload = with_codecs(|_, compressor| {
            let mut builder = BatchBuilder::new(BatchHeader::default(), compressor);
            let mut headers = HeadersBuf::new();
            headers.push(b"class", Some(b"secret"));
            builder.append(1, None, Some(br#"{"n":1,"s":"a"}"#), headers.as_headers()).unwrap();
            builder.append(1, None, Some(br#"{"n":2,"s":"bb"}"#), Default::default()).unwrap();
            builder.finish().unwrap()
        });
        let verdict = world.ask(&who("User:x"), &mut producing_payloads(&[("t", payload)], -1));
        let found: Vec<i32> = match verdict.parts.first() {
            Some(Outcome::Answer { records, .. }) => records.iter().map(|(at, _)| *at).collect(),
            _ => vec![],
        };
        assert_eq!(found, denied, "{selector}");
    }
}

#[test]
fn denied_records_do_not_reach_consumers() {
    let world = one(r#"on_fetch("t").value("$.secret", true).deny();
           on_fetch("u").each(|cx, record| { if record.value("$.n") == 2 { cx.deny() } });
           on_fetch("v").deny();"#);
    let three = |key: &str, values: [&str; 3]| {
        batch(
            &values.map(|v| format!("{{\"{key}\":{v}}}")).iter().map(String::as_str).collect::<Vec<_>>(),
            10,
        )
    };
    let t = three("secret", ["true", "false", "true"]);
    let u = three("n", ["1", "2", "3"]);
    let fetched = world.fetch_payloads(&who("User:x"), &[("t", t.clone()), ("u", u), ("v", t)], 10);
    assert_eq!(fetched.values(0), some(&[r#"{"secret":false}"#]));
    assert_eq!(fetched.values(1), some(&[r#"{"n":1}"#, r#"{"n":3}"#]));
    assert_eq!(fetched.code(2), ErrorCode::TOPIC_AUTHORIZATION_FAILED);
    let header = batches(&fetched.payload(0)).next().unwrap().unwrap().header;
    assert_eq!(
        (header.base_offset, header.last_offset()),
        (10, 12),
        "its offsets stay, so consumers move on"
    );
}

#[test]
fn a_refused_batch_leaves_its_windows_unchanged() {
    let world = one(r#"policy("p");
        let w = window("w", "60s");
        on_produce("t").each(|cx, record| {
            if record.value("$.bad") == true { return cx.deny("bad"); }
            w.add(record.value("$.k"));
        });
        on_produce("t").value("$.late", true).deny();
        on_produce("lost").each(|cx, record| { w.add("lost"); });
        on_produce("lost").lose_request();"#);
    let window = world.policies.shared().state.window("p", "w", Duration::from_secs(60));
    let ask = |values: &[&str], count| {
        world.ask(&who("User:x"), &mut producing_payloads(&[("t", batch(values, count))], -1))
    };
    assert_eq!(codes(&ask(&[r#"{"k":"a"}"#, r#"{"bad":true}"#], 0)), [Some(ErrorCode::INVALID_RECORD)]);
    assert_eq!(window.count(b"sa"), 0);
    ask(&[r#"{"k":"a"}"#, r#"{"k":"a","late":true}"#], 1);
    assert_eq!(window.count(b"sa"), 0, "denied by another rule");
    assert!(ask(&[r#"{"k":"a"}"#, r#"{"k":"a"}"#], 2).parts.is_empty());
    assert_eq!(window.count(b"sa"), 2);
    world.produce(&who("User:x"), &[("lost", "{}")]);
    assert_eq!(window.count(b"slost"), 0, "what is not executed does not count");
}

#[test]
fn a_security_rule_that_fails_refuses_and_a_chaos_rule_lets_pass() {
    let failing = ".when(|cx| cx.topic.nonsense())";
    for (rule, api) in [
        (format!("on_produce(\"t\"){failing}.deny();"), "produce"),
        (format!("on_produce(\"t\"){failing}.audit();"), "produce"),
        (format!("on_produce(\"t\"){failing}.mask(\"$.a\", \"all\");"), "produce"),
        ("on_produce(\"t\").each(|cx, record| record.value().nonsense());".to_owned(), "produce"),
        (format!("on_fetch(\"t\"){failing}.mask(\"$.a\", \"all\");"), "fetch"),
        ("on_fetch(\"t\").each(|cx, record| record.value().nonsense());".to_owned(), "fetch"),
    ] {
        let world = one(&rule);
        let refused = match api {
            "produce" => code(&world.produce(&who("User:x"), &[("t", "{}")]).parts[0]),
            _ => Some(world.fetch(&who("User:x"), &[("t", "{}")]).code(0)),
        };
        assert_eq!(refused, DENIED, "{rule}");
        assert_eq!(world.counts(0).2, 1, "{rule}");
        assert_eq!(world.audit()[0]["decision"], "error", "{rule}");
    }
    let chaos = one(&format!("on_produce(\"t\"){failing}.fail(\"NOT_COORDINATOR\");"));
    assert!(chaos.produce(&who("User:x"), &[("t", "{}")]).is_pass());
    assert_eq!(chaos.counts(0), (0, 0, 1));
}

#[test]
fn what_only_watches_counts_and_does_nothing() {
    for rules in [
        r#"mode("observe"); on_produce("t").deny("no");"#,
        r#"on_produce("t").deny("no").observe();"#,
        r#"on_produce("t").value("$.a", 1).deny("no").observe();"#,
        r#"on_produce("t").each(|cx, record| { cx.deny("no") }).observe();"#,
        r#"on_produce("t").require_header("x").observe();"#,
    ] {
        let world = one(rules);
        assert!(world.produce(&who("User:x"), &[("t", r#"{"a":1}"#)]).is_pass(), "{rules}");
        assert_eq!(world.counts(0), (1, 1, 0), "{rules}");
        let audit = world.audit();
        assert_eq!(
            (audit[0]["decision"].as_str(), audit[0]["observed"].as_bool()),
            (Some("deny"), Some(true))
        );
    }
    let mask = one(r#"on_fetch("t").mask("$.a", "all").observe();"#);
    let fetched = mask.fetch(&who("User:x"), &[("t", r#"{"a":1}"#)]);
    assert_eq!(fetched.values(0), some(&[r#"{"a":1}"#]));
    assert_eq!(mask.counts(0), (1, 1, 0));
    let chaos = one(r#"on_produce("t").delay("1s").lose_request().observe();"#);
    assert!(chaos.produce(&who("User:x"), &[("t", "x")]).is_pass());
    assert_eq!(chaos.journal()[0]["observed"], true);
    let closed = one(r#"mode("observe"); default_deny();"#);
    assert!(closed.produce(&who("User:x"), &[("t", "x")]).is_pass());
    assert_eq!(closed.audit()[0]["observed"], true);
}

#[test]
fn decisions_are_audited() {
    let world = one(r#"on_produce("t").deny("closed").named("close t");
           on_produce("u").audit();
           on_produce("v").value("$.a", 1).audit();"#);
    world.produce(
        &who("User:x"),
        &[("t", "1"), ("u", "1"), ("v", r#"{"a":1}"#), ("v", r#"{"a":2}"#), ("w", "1")],
    );
    let lines = world.audit();
    let told: Vec<_> =
        lines.iter().map(|l| (l["decision"].as_str().unwrap(), l["name"].as_str().unwrap())).collect();
    assert_eq!(told, [("deny", "t"), ("audit", "u"), ("audit", "v")]);
    let first = &lines[0];
    for (field, value) in [
        ("policy", "p"),
        ("rule", "close t"),
        ("principal", "User:x"),
        ("client_id", "c"),
        ("address", "10.0.0.1"),
        ("listener", "public"),
        ("api", "Produce"),
        ("resource", "topic"),
        ("reason", "closed"),
    ] {
        assert_eq!(first[field], value, "{field}");
    }
    assert_eq!((first["partition"].as_i64(), first["correlation_id"].as_i64()), (Some(0), Some(7)));
    assert_eq!(lines[2]["records"], 1);
}

#[test]
fn a_request_that_cannot_be_read_ends_its_session() {
    let world = one(r#"on_produce("t").deny();"#);
    let whole = producing(&[("t", "v")], 0).encode().unwrap();
    let mut frame: Vec<u8> = Vec::new();
    for piece in whole {
        if let crate::wire::Piece::Bytes(bytes) = piece {
            frame.extend_from_slice(&bytes);
        }
    }
    let mut request = Request::parse(Bytes::from(frame[4..frame.len() - 2].to_vec())).unwrap();
    assert_eq!(world.ask(&who("User:x"), &mut request).end, Some(End::Disconnect));
}

#[test]
fn rules_that_cannot_match_leave_frames_opaque() {
    let rules: String = (0..1_000)
        .map(|n| format!("on_produce(\"t\").principal(\"User:other-{n}\").deny();\non_fetch(\"t\").client_id(\"x-{n}\").mask(\"$.a\", \"all\");\n"))
        .collect();
    let world = one(&rules);
    let plan = world.generation().plan(&who("User:x"));
    for api in crate::wire::table::APIS {
        assert_eq!(plan.request_interest(api.key), Interest::Nothing, "{}", api.name);
        assert_eq!(plan.response_interest(api.key), Interest::Nothing, "{}", api.name);
    }
    assert!(plan.security.is_empty());
    // clients whom the same rules concern share a plan
    assert!(Arc::ptr_eq(&plan, &world.generation().plan(&client("User:y", "z"))));
    let other = world.generation().plan(&who("User:other-7"));
    assert!(!Arc::ptr_eq(&plan, &other));
    assert_eq!(other.security.len(), 1);
}

#[test]
fn candidates_are_only_the_rules_that_can_meet_a_topic() {
    let rules: String = (0..1_000).map(|n| format!("on_produce(\"t-{n}\").deny();\n")).collect();
    let world = one(&rules);
    let plan = world.generation().plan(&who("User:x"));
    let topic = Some(crate::wire::api::Resource::Topic);
    let candidates = plan.candidates(crate::wire::ApiKey::Produce, topic, "t-5");
    assert_eq!(candidates.security, [5]);
    assert!(plan.candidates(crate::wire::ApiKey::Produce, topic, "other").security.is_empty());
    assert_eq!(codes(&world.produce(&who("User:x"), &[("t-999", "v")])), [DENIED]);
}

#[test]
fn a_connection_is_refused_before_its_first_byte() {
    let world = one(r#"on_connect().from_ip("10.0.0.0/8").deny();
           on_connect().listener("admin").reset();
           on_connect().when(|cx| cx.ip == "12.0.0.1").deny();
           on_connect().from_ip("13.0.0.0/8").when(|cx| cx.ip.nonsense()).deny();"#);
    let generation = world.generation();
    let ask = |listener, ip: [u8; 4]| on_connect(&generation, plain(listener), ip.into(), 1);
    assert!(ask("public", [10, 1, 1, 1]).unwrap().deny);
    assert!(ask("public", [12, 0, 0, 1]).unwrap().deny);
    assert!(ask("public", [13, 0, 0, 1]).unwrap().deny, "a rule that fails refuses");
    assert_eq!(ask("admin", [11, 1, 1, 1]).unwrap().end, Some(End::Reset));
    assert_eq!(ask("admin", [10, 1, 1, 1]).unwrap().end, None, "security first");
    assert_eq!(ask("public", [11, 1, 1, 1]), None);
}

/// `Headers::last` by key, which an iterator's own `last` hides.
fn headers_last<'a>(headers: &crate::wire::record::Headers<'a>, key: &[u8]) -> Option<Option<&'a [u8]>> {
    crate::wire::record::Headers::last(headers, key)
}

#[test]
fn records_of_a_refused_batch_are_not_counted_as_changed() {
    let world = one(r#"on_produce("t").value("$.n", 1).deny(); on_produce("t").mask("$.a", "all");"#);
    let verdict = world.produce(&who("User:x"), &[("t", r#"{"n":1,"a":"b"}"#)]);
    assert_eq!(codes(&verdict), [Some(ErrorCode::INVALID_RECORD)]);
    assert_eq!((world.counts(0), world.counts(1)), ((1, 1, 0), (0, 0, 0)));
}

#[test]
fn a_fetch_that_a_rule_refuses_is_not_looked_into_by_others() {
    let masks = r#"on_fetch("t").mask("$.a", "all");"#;
    let world = one(masks);
    let mut request = fetching(&["t"], 0);
    let cx = ExchangeContext { who: &who("User:x"), session: 1 };
    let verdict = world.ask(cx.who, &mut request);
    // while the broker was asked, the rules changed
    world
        .load(&[("p", &format!(r#"{masks} on_fetch("t").when(|cx| {{ throw "no" }}).mask("$.b", "all");"#))]);
    let said = answering(&[("t", batch(&[r#"{"a":"b"}"#], 0))]);
    let mut response = Response::new(&request, said.into());
    world.generation().plan(cx.who).on_response(&cx, &request, &verdict, &mut response);
    let ResponseBody::Fetch(body) = response.body else { panic!("not a fetch") };
    let partition = &body.responses[0].partitions[0];
    assert_eq!(partition.error_code, ErrorCode::TOPIC_AUTHORIZATION_FAILED.0);
    assert!(partition.records.is_empty());
    assert_eq!(world.counts(0), (0, 0, 0));
}

#[test]
fn a_rule_that_looks_at_no_records_meets_a_fetch_once() {
    let world = one(r#"on_fetch("t").audit(); on_fetch("t").mask("$.a", "all");"#);
    world.fetch(&who("User:x"), &[("t", r#"{"a":"b"}"#)]);
    assert_eq!((world.counts(0), world.counts(1)), ((1, 1, 0), (1, 1, 0)));
}

#[test]
fn what_is_refused_and_has_no_place_for_it_ends_the_session_as_refused() {
    use crate::wire::api::metadata;
    let world = one(r#"on_request("Metadata").deny();"#);
    let all = |version| {
        let body = metadata::Request { topics: None, ..Default::default() };
        world.ask(&who("User:x"), &mut request(version, body))
    };
    let (older, newest) = (all(12), all(13));
    assert_eq!((older.refused, older.end, older.whole), (true, Some(End::Disconnect), None));
    let code = Some(ErrorCode::CLUSTER_AUTHORIZATION_FAILED);
    assert_eq!((newest.refused, newest.end, newest.whole), (true, None, code));
}

#[test]
fn a_batch_of_many_names_as_many_denied_records_as_a_client_reads() {
    let world = one(r#"on_produce("t").value("$.n", 1).deny();"#);
    let payload = [batch(&[r#"{"n":1}"#; 1_000], 0), batch(&[r#"{"n":1}"#; 10], 0)].concat();
    let verdict = world.ask(&who("User:x"), &mut producing_payloads(&[("t", payload.into())], -1));
    let Outcome::Answer { records, .. } = &verdict.parts[0] else { panic!("{verdict:?}") };
    assert_eq!(records.len(), 1_000);
}

#[test]
fn what_stands_under_a_group_of_nothing_is_asked_for_once() {
    use crate::wire::api::offset_commit;
    let world = one(r#"on_access("Read").group("g").audit();"#);
    let body = offset_commit::Request { group_id: "g".into(), ..Default::default() };
    world.ask(&who("User:x"), &mut request(9, body));
    assert_eq!(world.audit().len(), 1, "without topics too");
}
