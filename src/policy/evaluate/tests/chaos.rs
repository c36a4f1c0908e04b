use super::*;
use crate::policy::verdict::{End, Lose};
use crate::wire::api::*;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn faults_meet_their_parts_only() {
    let world = one(r#"on_produce("a").fail("NOT_LEADER_OR_FOLLOWER");
           on_produce("b").fail_after("REQUEST_TIMED_OUT");"#);
    let verdict = world.produce(&who("User:x"), &[("a", "v"), ("c", "v"), ("b", "v")]);
    assert_eq!(codes(&verdict), [Some(ErrorCode::NOT_LEADER_OR_FOLLOWER), None, None]);
    assert_eq!(verdict.after, [(2, ErrorCode::REQUEST_TIMED_OUT)]);
    assert!(!verdict.refused);
    assert_eq!((world.counts(0), world.counts(1)), ((1, 1, 0), (1, 1, 0)));
}

#[test]
fn faults_on_the_whole_come_once_and_every_part_is_journalled() {
    let world = one(r#"on_produce("t*").delay("1s");
           on_produce("t1", "t2").delay("500ms").lose_response();
           on_produce("u").disconnect();"#);
    let verdict = world.produce(&who("User:x"), &[("t1", "v"), ("t2", "v"), ("t3", "v")]);
    assert_eq!((verdict.delay, verdict.lose, verdict.end), (SECOND * 3 / 2, Some(Lose::Response), None));
    let told: Vec<(String, String)> = world
        .journal()
        .iter()
        .map(|l| (l["fault"].as_str().unwrap().into(), l["subject"].as_str().unwrap().into()))
        .collect();
    let by = |fault: &str, topic: &str| told.contains(&(fault.into(), format!("User:x c Produce {topic}-0")));
    assert!(["t1", "t2", "t3"].iter().all(|t| by("delay", t)));
    assert!(by("lose_response", "t1") && by("lose_response", "t2") && !by("lose_response", "t3"));
    assert_eq!(told.len(), 7);
    assert_eq!(world.produce(&who("User:x"), &[("u", "v")]).end, Some(End::Disconnect));
}

#[test]
fn a_terminal_fault_stops_later_ones_for_its_part() {
    let world = one(r#"on_produce("t").fail("NOT_COORDINATOR");
           on_produce().fail("UNKNOWN_SERVER_ERROR");
           on_produce().delay("1s");"#);
    let verdict = world.produce(&who("User:x"), &[("t", "v"), ("u", "v")]);
    assert_eq!(codes(&verdict), [Some(ErrorCode::NOT_COORDINATOR), Some(ErrorCode::UNKNOWN_SERVER_ERROR)]);
    assert_eq!(verdict.delay, Duration::ZERO, "nothing was left to delay");
}

#[test]
fn faults_on_other_apis_are_placed_by_part_or_whole() {
    let world = one(r#"on_request("Heartbeat").group("g").fail("REBALANCE_IN_PROGRESS");
           on_request("OffsetCommit").group("g").topic("t").fail("COORDINATOR_NOT_AVAILABLE");
           on_request("SyncGroup").fail_after("UNKNOWN_MEMBER_ID");
           on_request("FindCoordinator").transactional_id("tx").fail("COORDINATOR_LOAD_IN_PROGRESS");
           on_request("ApiVersions").delay("1s");"#);
    let ask = |version, body: RequestBody| world.ask(&who("User:x"), &mut request(version, body));
    let heartbeat = |group: &str| heartbeat::Request { group_id: group.into(), ..Default::default() }.into();
    assert_eq!(ask(4, heartbeat("g")).whole, Some(ErrorCode::REBALANCE_IN_PROGRESS));
    assert!(ask(4, heartbeat("h")).is_pass());
    let commit = |group: &str| {
        let topic = |name: &str| offset_commit::OffsetCommitRequestTopic {
            name: name.into(),
            partitions: vec![Default::default(), Default::default()],
            ..Default::default()
        };
        offset_commit::Request {
            group_id: group.into(),
            topics: vec![topic("u"), topic("t")],
            ..Default::default()
        }
        .into()
    };
    let failed = Some(ErrorCode::COORDINATOR_NOT_AVAILABLE);
    assert_eq!(codes(&ask(9, commit("g"))), [None, None, failed, failed]);
    assert!(ask(9, commit("h")).is_pass());
    assert_eq!(ask(5, sync_group::Request::default().into()).after_whole, Some(ErrorCode::UNKNOWN_MEMBER_ID));
    let find = |key_type| {
        find_coordinator::Request { key_type, coordinator_keys: vec!["tx".into()], ..Default::default() }
            .into()
    };
    assert_eq!(codes(&ask(4, find(1))), [Some(ErrorCode::COORDINATOR_LOAD_IN_PROGRESS)]);
    assert!(ask(4, find(0)).is_pass());
    assert_eq!(ask(3, api_versions::Request::default().into()).delay, SECOND);
}

#[test]
fn groups_of_one_offset_fetch_are_told_apart() {
    let world = one(r#"on_request("OffsetFetch").group("g").topic("t").fail("NOT_COORDINATOR");"#);
    let group = |id: &str| offset_fetch::OffsetFetchRequestGroup {
        group_id: id.into(),
        topics: Some(vec![offset_fetch::OffsetFetchRequestTopics {
            name: "t".into(),
            partition_indexes: vec![0],
            ..Default::default()
        }]),
        ..Default::default()
    };
    let body = offset_fetch::Request { groups: vec![group("h"), group("g")], ..Default::default() };
    let verdict = world.ask(&who("User:x"), &mut request(9, body));
    let failed = Some(ErrorCode::NOT_COORDINATOR);
    assert_eq!(codes(&verdict), [None, None, None, failed], "the topic under the group g");
}

#[test]
fn what_has_no_place_is_counted_and_not_done() {
    let world = one(r#"on_produce("t").delay("1s").lose_response();
           on_request("Metadata").fail("UNKNOWN_SERVER_ERROR");"#);
    let mut unanswered = producing_payloads(&[("t", batch(&["v"], 0))], 0);
    assert!(world.ask(&who("User:x"), &mut unanswered).is_pass(), "acks=0 has no response");
    assert_eq!(world.counts(0), (1, 0, 2));
    // asking for all topics, Metadata has no place for an error before version 13
    let all = || metadata::Request { topics: None, ..Default::default() };
    assert!(world.ask(&who("User:x"), &mut request(12, all())).is_pass());
    assert_eq!(world.counts(1), (1, 0, 1));
    let newest = world.ask(&who("User:x"), &mut request(13, all()));
    assert_eq!(newest.whole, Some(ErrorCode::UNKNOWN_SERVER_ERROR));
}

#[test]
fn acks_0_can_still_lose_its_request_and_its_session() {
    let world = one(r#"on_produce("t").lose_request(); on_produce("u").reset();"#);
    let ask = |topic| world.ask(&who("User:x"), &mut producing_payloads(&[(topic, batch(&["v"], 0))], 0));
    assert_eq!((ask("t").lose, ask("u").end), (Some(Lose::Request), Some(End::Reset)));
}

#[test]
fn fetches_without_draws_fail_at_the_request_and_with_draws_at_the_reply() {
    let always = one(r#"on_fetch("t").fail("NOT_LEADER_OR_FOLLOWER");"#);
    let verdict = always.ask(&who("User:x"), &mut fetching(&["t", "u"], 0));
    assert_eq!(codes(&verdict), [Some(ErrorCode::NOT_LEADER_OR_FOLLOWER), None]);

    let drawn = one(r#"on_fetch("t").chance(1.0).fail("NOT_LEADER_OR_FOLLOWER");"#);
    let fetched = drawn.fetch(&who("User:x"), &[("t", "v"), ("u", "v")]);
    assert!(fetched.verdict.parts.is_empty());
    assert_eq!((fetched.code(0), fetched.payload(0).len()), (ErrorCode::NOT_LEADER_OR_FOLLOWER, 0));
    assert_eq!((fetched.code(1), fetched.values(1)), (ErrorCode::NONE, some(&["v"])));
    assert!(fetched.decided.edited);
    let lost = one(r#"on_fetch("t").chance(1.0).lose_response().delay("1s");"#);
    let decided = lost.fetch(&who("User:x"), &[("t", "v")]).decided;
    assert_eq!((decided.lose, decided.delay), (Some(Lose::Response), SECOND));
}

#[test]
fn an_empty_reply_draws_nothing() {
    let world = one(r#"on_fetch("t").first(1).fail("UNKNOWN_SERVER_ERROR");"#);
    let user = who("User:x");
    for _ in 0..5 {
        let empty = world.fetch_payloads(&user, &[("t", Bytes::new())], 0);
        assert_eq!(empty.code(0), ErrorCode::NONE);
    }
    assert_eq!(world.counts(0), (0, 0, 0));
    assert_eq!(world.fetch(&user, &[("t", "v")]).code(0), ErrorCode::UNKNOWN_SERVER_ERROR);
    assert_eq!(
        world.fetch(&user, &[("t", "v")]).code(0),
        ErrorCode::NONE,
        "the same offset is the same event"
    );
    assert_eq!(world.fetch_from(&user, &[("t", "v")], 1).code(0), ErrorCode::NONE);
}

#[test]
fn an_exchange_fault_fires_when_any_record_is_selected() {
    let world = one(r#"on_produce("t").value("$.n", 2).fail("UNKNOWN_SERVER_ERROR");
           on_fetch("t").header("h", "x").fail("UNKNOWN_SERVER_ERROR");"#);
    let failed = Some(ErrorCode::UNKNOWN_SERVER_ERROR);
    let ask = |values: &[&str]| {
        codes(&world.ask(&who("User:x"), &mut producing_payloads(&[("t", batch(values, 0))], -1)))
    };
    assert_eq!(ask(&[r#"{"n":1}"#, r#"{"n":2}"#]), [failed]);
    assert_eq!(ask(&[r#"{"n":1}"#, "{n:2}"]), [], "what cannot be read is not selected");
    let with = batch_with_headers(&["v"], 0, &[("h", "x")]);
    let fetched = world.fetch_payloads(&who("User:x"), &[("t", with)], 0);
    assert_eq!(fetched.code(0), ErrorCode::UNKNOWN_SERVER_ERROR);
    assert_eq!(world.fetch(&who("User:x"), &[("t", "v")]).code(0), ErrorCode::NONE);
}

#[test]
fn chaos_sees_what_security_made_of_records() {
    let world = one(r#"on_produce("t").mask("$.a", replace("x"));
           on_produce("t").value("$.a", "x").fail("UNKNOWN_SERVER_ERROR");"#);
    let verdict = world.produce(&who("User:x"), &[("t", r#"{"a":"clear"}"#)]);
    assert_eq!(codes(&verdict), [Some(ErrorCode::UNKNOWN_SERVER_ERROR)]);
}

#[test]
fn faults_end_by_themselves() {
    for rule in [
        r#"expires("30m"); on_produce("t").fail("UNKNOWN_SERVER_ERROR");"#,
        r#"on_produce("t").fail("UNKNOWN_SERVER_ERROR").expires("30m");"#,
    ] {
        let world = one(rule);
        let failed = |world: &World| !world.produce(&who("User:x"), &[("t", "v")]).parts.is_empty();
        world.clock.advance(Duration::from_secs(29 * 60));
        assert!(failed(&world));
        // the reload of the unchanged text gives no new time, nor does that of another file
        world.load(&[("p", rule), ("q", "on_produce(\"other\").delay(\"1s\");")]);
        world.clock.advance(Duration::from_secs(60));
        assert!(!failed(&world), "{rule}");
        world.load(&[("p", rule)]);
        assert!(!failed(&world), "{rule}");
    }
    let connect = one(r#"expires("1m"); on_connect().reset();"#);
    let ask = || on_connect(&connect.generation(), plain("public"), [1, 2, 3, 4].into(), 1);
    assert!(ask().is_some());
    connect.clock.advance(Duration::from_secs(60));
    assert!(ask().is_none());
}

#[test]
fn during_counts_from_the_activation_which_survives_reloads() {
    let rule = r#"on_produce("t").during("10s", "20s").fail("UNKNOWN_SERVER_ERROR");"#;
    let world = one(rule);
    let failed = || !world.produce(&who("User:x"), &[("t", "v")]).parts.is_empty();
    let mut seen = Vec::new();
    for second in 0..25 {
        if second == 5 {
            world.load(&[("p", &format!("// another text\n{rule}")), ("q", "")]);
        }
        if failed() {
            seen.push(second);
        }
        world.clock.advance(SECOND);
    }
    assert_eq!(seen, (10..20).collect::<Vec<_>>());
}

#[test]
fn triggers_count_per_subject() {
    let world = one(r#"on_produce("t").nth(2).fail("UNKNOWN_SERVER_ERROR");"#);
    let failed = |principal, client_id, count| {
        let verdict = world.ask(&client(principal, client_id), &mut producing(&[("t", "v")], count));
        !verdict.parts.is_empty()
    };
    assert_eq!([0, 1, 2].map(|n| failed("User:a", "c", n)), [false, true, false]);
    assert_eq!([0, 1, 2].map(|n| failed("User:b", "c", n)), [false, true, false]);
    assert_eq!([0, 1, 2].map(|n| failed("User:a", "d", n)), [false, true, false]);
    assert!(!failed("User:a", "c", 1), "a retry of the second is past it");
}

#[test]
fn connections_draw_per_address() {
    let world = one(r#"on_connect().every(3).reset(); on_connect().from_ip("9.9.9.9").delay("1s");"#);
    let generation = world.generation();
    let ask = |ip: [u8; 4]| on_connect(&generation, plain("public"), ip.into(), 1).and_then(|v| v.end);
    let ends: Vec<_> = (0..6).map(|_| ask([1, 1, 1, 1])).collect();
    assert_eq!(ends, [None, None, Some(End::Reset), None, None, Some(End::Reset)]);
    assert_eq!(ask([2, 2, 2, 2]), None);
    assert_eq!(on_connect(&generation, plain("public"), [9, 9, 9, 9].into(), 1).unwrap().delay, SECOND);
    let line = &world.journal()[0];
    assert_eq!((line["fault"].as_str(), line["n"].as_u64()), (Some("reset"), Some(2)));
}

#[test]
fn the_journal_says_each_injection() {
    let world = one(r#"policy("bad-afternoon"); seed(42);
           on_produce("t").nth(2).fail_after("REQUEST_TIMED_OUT").named("times out");"#);
    for count in 0..3 {
        world.ask(&who("User:x"), &mut producing(&[("t", "v")], count));
    }
    let lines = world.journal();
    assert_eq!(lines.len(), 1);
    for (field, value) in [
        ("seed", serde_json::json!(42)),
        ("policy", "bad-afternoon".into()),
        ("rule", "times out".into()),
        ("subject", "User:x c Produce t-0".into()),
        ("n", 1.into()),
        ("attempt", 0.into()),
        ("fault", "fail_after".into()),
        ("parameter", "REQUEST_TIMED_OUT".into()),
        ("when", "after".into()),
        ("session", 1.into()),
        ("correlation_id", 7.into()),
    ] {
        assert_eq!(lines[0][field], value, "{field}");
    }
}

#[test]
fn delays_are_drawn_from_their_distribution() {
    let world = one(r#"on_produce("t").delay(uniform("100ms", "200ms"));"#);
    let delays: Vec<Duration> =
        (0..200).map(|count| world.ask(&who("User:x"), &mut producing(&[("t", "v")], count)).delay).collect();
    let (low, high) = (Duration::from_millis(100), Duration::from_millis(200));
    assert!(delays.iter().all(|d| (low..high).contains(d)));
    assert!(delays.iter().min() < Some(&Duration::from_millis(110)));
    assert!(delays.iter().max() > Some(&Duration::from_millis(190)));
}

#[test]
fn delays_of_several_rules_are_each_held_by_its_own() {
    let world = one(r#"on_produce("t").delay("1s").named("a"); on_produce("t").delay("2s").named("b");"#);
    let verdict = world.produce(&who("User:x"), &[("t", "v")]);
    let holds: Vec<_> = verdict.holds.iter().map(|hold| (hold.rule.name.as_str(), hold.delay)).collect();
    assert_eq!(holds, [("a", SECOND), ("b", SECOND * 2)]);
}

#[test]
fn what_ends_an_exchange_leaves_later_rules_nothing() {
    for fault in ["disconnect()", "lose_request()", "reset()"] {
        let world = one(&format!(r#"on_produce("t").{fault}; on_produce("t").delay("1s");"#));
        assert_eq!(world.produce(&who("User:x"), &[("t", "v")]).delay, Duration::ZERO, "{fault}");
        assert_eq!((world.counts(0), world.counts(1)), ((1, 1, 0), (0, 0, 0)), "{fault}");
        let world = one(&format!(r#"on_produce("t").observe().{fault}; on_produce("t").delay("1s");"#));
        assert_eq!(world.produce(&who("User:x"), &[("t", "v")]).delay, SECOND, "{fault}");
    }
}

#[test]
fn what_security_refuses_is_no_event_to_chaos() {
    let world = one(r#"on_produce("t").value("$.a", 1).deny();
           on_produce("t").nth(2).fail("UNKNOWN_SERVER_ERROR");"#);
    let ask = |value: &str, n| codes(&world.ask(&who("User:x"), &mut producing(&[("t", value)], n)));
    assert_eq!(ask(r#"{"a":1}"#, 1), [Some(ErrorCode::INVALID_RECORD)]);
    assert_eq!(ask("{}", 2), []);
    assert_eq!(ask("{}", 3), [Some(ErrorCode::UNKNOWN_SERVER_ERROR)]);
    assert_eq!(world.journal()[0]["n"], 1);
}

#[test]
fn only_fetches_do_without_sessions() {
    let world = one(r#"on_fetch("t").audit(); on_produce("t").audit();"#);
    assert!(!world.produce(&who("User:x"), &[("t", "v")]).sessionless);
    assert!(world.ask(&who("User:x"), &mut fetching(&["t"], 0)).sessionless);
}
