//! What closures see of an exchange, and what clients see of what is refused, counted and left out.

use super::*;
use crate::policy::verdict::Interest;

fn fetch_again(version: i16, session_id: i32, session_epoch: i32) -> Request {
    let topic = fetch::FetchTopic {
        topic: "t".into(),
        partitions: vec![fetch::FetchPartition::default()],
        ..Default::default()
    };
    request(version, fetch::Request { session_id, session_epoch, topics: vec![topic], ..Default::default() })
}

#[test]
fn a_closure_on_records_sees_the_exchange() {
    let shown = "`${cx.api} ${cx.version} ${cx.principal} ${cx.client_id} ${cx.listener} ${cx.ip} ${cx.topic} \
                 ${cx.partition} ${cx.transactional_id} ${cx.group}`";
    let world = one(&format!(
        "on_produce().each(|cx, record| cx.deny({shown})); on_produce(\"w\").when(|cx| {{ cx.deny(); true }}).deny();"
    ));
    let partition = produce::PartitionProduceData {
        index: 3,
        records: Payload::Bytes(batch(&["v"], 0)),
        ..Default::default()
    };
    let topic =
        produce::TopicProduceData { name: "t".into(), partition_data: vec![partition], ..Default::default() };
    let body = produce::Request {
        acks: -1,
        transactional_id: Some("tx".into()),
        topic_data: vec![topic],
        ..Default::default()
    };
    let verdict = world.ask(&client("User:a", "shop"), &mut request(12, body));
    let Outcome::Answer { message: Some(message), .. } = &verdict.parts[0] else { panic!("{verdict:?}") };
    assert_eq!(message, "Produce 12 User:a shop public 10.0.0.1 t 3 tx ");
    let said = world.produce(&who("User:a"), &[("w", "v")]);
    let Outcome::Answer { message: Some(message), .. } = &said.parts[0] else { panic!("{said:?}") };
    assert!(message.contains("failed"), "a condition refuses nothing: {message}");
}

#[test]
fn a_refused_partition_carries_nothing_else() {
    let world = one(r#"on_fetch("t").each(|cx, record| record.value("no path"));"#);
    let (who, mut request) = (who("User:a"), fetching(&["t", "u"], 0));
    let verdict = world.ask(&who, &mut request);
    let mut response = answering(&[("t", batch(&["secret"], 0)), ("u", batch(&["plain"], 0))]);
    for topic in &mut response.responses {
        let partition = &mut topic.partitions[0];
        (partition.high_watermark, partition.last_stable_offset, partition.log_start_offset) = (9, 8, 7);
        partition.aborted_transactions = Some(vec![fetch::AbortedTransaction::default()]);
    }
    let mut response = Response::new(&request, ResponseBody::from(response));
    let plan = world.generation().plan(&who);
    plan.on_response(&ExchangeContext { who: &who, session: 1 }, &request, &verdict, &mut response);
    let ResponseBody::Fetch(body) = response.body else { panic!("not a fetch") };
    let of = |at: usize| {
        let p = &body.responses[at].partitions[0];
        let ends = [p.high_watermark, p.last_stable_offset, p.log_start_offset];
        (ErrorCode(p.error_code), ends, p.aborted_transactions.is_some(), p.records.is_empty())
    };
    assert_eq!(of(0), (ErrorCode::TOPIC_AUTHORIZATION_FAILED, [-1; 3], false, true));
    assert_eq!(of(1), (ErrorCode::NONE, [9, 8, 7], true, false));
}

#[test]
fn a_fetch_from_the_same_place_is_the_same_event_again() {
    let who = who("User:a");
    let world = one(r#"on_fetch("t").nth(2).empty_fetch();"#);
    let seen = |offset| world.fetch_from(&who, &[("t", "v")], offset).values(0).len();
    assert_eq!([seen(0), seen(0), seen(0), seen(5), seen(5), seen(6)], [1, 1, 1, 0, 1, 1]);
    let world = one(r#"on_fetch("t").nth(2).fail("NOT_LEADER_OR_FOLLOWER");"#);
    let failed = |offset| world.fetch_from(&who, &[("t", "v")], offset).code(0) != ErrorCode::NONE;
    assert_eq!([failed(0), failed(0), failed(5), failed(6)], [false, false, true, false]);
}

#[test]
fn a_refusal_may_wait_for_its_moment() {
    let world =
        one(r#"on_produce("t").nth(2).deny(); on_produce("u").nth(2).each(|cx, record| cx.deny("no"));"#);
    for topic in ["t", "u"] {
        let refused = |count| world.ask(&who("User:a"), &mut producing(&[(topic, "v")], count)).parts.len();
        assert_eq!([refused(1), refused(2), refused(3)], [0, 1, 0], "{topic}");
    }
}

#[test]
fn a_session_of_fetches_from_before_there_were_rules_begins_anew() {
    let world = one(r#"on_fetch("t").mask("$.a", "all");"#);
    let whole = |session_id, epoch| {
        let verdict = world.ask(&who("User:a"), &mut fetch_again(12, session_id, epoch));
        assert_eq!(verdict.sessionless, verdict.whole.is_none());
        verdict.whole
    };
    assert_eq!(whole(5, 1), Some(ErrorCode::FETCH_SESSION_ID_NOT_FOUND));
    assert_eq!([whole(5, 0), whole(5, -1), whole(0, 1)], [None; 3]);
    let verdict = world.produce(&who("User:a"), &[("t", "v")]);
    assert!(!verdict.sessionless && verdict.response == Interest::Nothing);
}

#[test]
fn only_the_records_that_are_refused_are_left_out_of_a_fetch() {
    let world =
        one(r#"on_fetch("t").each(|cx, record| if record.value("$.out") == true { cx.deny("no") });"#);
    let batches = |out: &[usize]| -> Bytes {
        let value = |n: usize| if out.contains(&n) { r#"{"out":true}"# } else { r#"{"out":false}"# };
        (0..3).flat_map(|n| batch(&[value(2 * n), value(2 * n + 1)], 2 * n as i64)).collect()
    };
    for out in [&[][..], &[0], &[1], &[2], &[3], &[1, 2], &[0, 1], &[2, 5], &[0, 1, 2, 3, 4, 5]] {
        let fetched = world.fetch_payloads(&who("User:a"), &[("t", batches(out))], 0);
        let left = fetched.values(0);
        assert!(left.iter().all(|value| value.as_deref() == Some(r#"{"out":false}"#)), "{out:?}: {left:?}");
        assert_eq!(left.len(), 6 - out.len(), "{out:?}");
    }
}

#[test]
fn an_access_rule_that_only_writes_down_refuses_nothing() {
    for (more, allowed) in [
        ("", true),
        ("default_deny();", false),
        ("default_deny(); on_access(\"Write\").allow();", true),
        ("on_access(\"Write\").deny();", false),
    ] {
        let world = one(&format!("on_access(\"Write\").topic(\"t\").audit(); {more}"));
        let verdict = world.produce(&who("User:a"), &[("t", "v")]);
        assert_eq!(verdict.parts.is_empty(), allowed, "{more}");
        let audit = world.audit();
        assert!(audit.iter().any(|line| line["decision"] == "audit"), "{more}: {audit:?}");
        assert_eq!(audit.iter().any(|line| line["decision"] == "deny"), !allowed, "{more}: {audit:?}");
    }
}

#[test]
fn whoever_a_storm_meets_is_in_it_before_it_breaks_unless_it_only_watches() {
    for (rule, in_it) in [("", true), (".observe()", false)] {
        let world = one(&format!("on_produce(\"t\").nth(2).storm(){rule};"));
        let storms = |count| {
            let verdict = world.ask(&who("User:a"), &mut producing(&[("t", "v")], count));
            verdict.storms.iter().map(|storm| storm.breaks).collect::<Vec<_>>()
        };
        let (first, second) = (storms(1), storms(2));
        assert_eq!(
            (first, second),
            if in_it { (vec![false], vec![true]) } else { (vec![], vec![]) },
            "{rule}"
        );
        assert_eq!(world.counts(0).0, 2);
    }
}
