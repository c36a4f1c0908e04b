use super::*;
use crate::policy::capture::HEADER;
use crate::wire::api::{create_topics, delete_topics, fetch, metadata, produce};
use crate::wire::record::{BatchBuilder, BatchHeader, HeadersBuf, with_codecs};
use crate::wire::{ErrorCode, Payload, Piece, Uuid};

const PEER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 1, 2, 3));
const BEGAN: u64 = 1_000_000;

fn batch(value: &str) -> Bytes {
    with_codecs(|_, compressor| {
        let mut builder = BatchBuilder::new(BatchHeader::default(), compressor);
        let headers = HeadersBuf::new();
        builder.append(0, None, Some(value.as_bytes()), headers.as_headers()).unwrap();
        builder.finish().unwrap()
    })
}

fn joined(pieces: Vec<Piece>) -> Bytes {
    let bytes = pieces.into_iter().flat_map(|piece| match piece {
        Piece::Bytes(bytes) => bytes.to_vec(),
        Piece::Source(_) => panic!("from a file"),
    });
    Bytes::from(bytes.collect::<Vec<_>>()).slice(4..)
}

/// A capture that is being made.
struct Made {
    bytes: Vec<u8>,
    time: u64,
}

impl Made {
    fn new() -> Self {
        Self { bytes: HEADER.to_vec(), time: BEGAN }
    }

    fn put(&mut self, session: u64, what: What) -> &mut Self {
        self.bytes.extend(Record { time: self.time, session, what }.encode());
        self
    }

    fn after(&mut self, seconds: u64) -> &mut Self {
        self.time += seconds * 1_000;
        self
    }

    fn ask(&mut self, principal: &str, request: &Request) -> &mut Self {
        let frame = joined(request.encode().unwrap());
        let (principal, listener) = (principal.into(), "public".into());
        self.put(1, What::Request { principal, listener, peer: PEER, frame, body_left_out: false })
    }

    fn answer(&mut self, response: &Response) -> &mut Self {
        let frame = joined(response.encode().unwrap());
        self.put(1, What::Answer { api: response.api, version: response.version, frame })
    }
}

fn producing(topic: &str, value: &str, correlation_id: i32) -> Request {
    let records = Payload::Bytes(batch(value));
    let partition = produce::PartitionProduceData { records, ..Default::default() };
    let topic = produce::TopicProduceData {
        name: topic.into(),
        partition_data: vec![partition],
        ..Default::default()
    };
    let body = produce::Request { acks: -1, topic_data: vec![topic], ..Default::default() };
    Request::new(9, correlation_id, Some("shop-1".into()), body.into()).unwrap()
}

/// A fetch by topic id, within a session: it names nothing.
fn fetching(correlation_id: i32) -> Request {
    let body = fetch::Request { session_id: 5, session_epoch: 2, ..Default::default() };
    Request::new(13, correlation_id, Some("reader".into()), body.into()).unwrap()
}

const CUSTOMERS: Uuid = Uuid([77; 16]);

fn fetched(request: &Request, value: &str) -> Response {
    let partition = fetch::FetchPartitionData {
        high_watermark: 1,
        records: Payload::Bytes(batch(value)),
        ..Default::default()
    };
    let topic = fetch::FetchableTopicResponse {
        topic_id: CUSTOMERS,
        partitions: vec![partition],
        ..Default::default()
    };
    let body = fetch::Response { session_id: 5, responses: vec![topic], ..Default::default() };
    Response::new(request, ResponseBody::from(body))
}

fn metadata(correlation_id: i32) -> (Request, Response) {
    let topic = metadata::MetadataRequestTopic { name: Some("customers".into()), ..Default::default() };
    let body = metadata::Request { topics: Some(vec![topic]), ..Default::default() };
    let mut request = Request::new(12, correlation_id, Some("reader".into()), body.into()).unwrap();
    let mut response = request.answer(ErrorCode::NONE).unwrap().unwrap();
    let ResponseBody::Metadata(body) = &mut response.body else { panic!() };
    body.topics[0].topic_id = CUSTOMERS;
    body.topics[0].partitions =
        vec![metadata::MetadataResponsePartition { leader_id: 1, ..Default::default() }];
    (request, response)
}

fn tried(policy: &str, made: &Made) -> Report {
    let script = Script { file: "p.rhai".into(), text: policy.into() };
    dry_run(&[script], &Default::default(), std::io::Cursor::new(&made.bytes))
        .unwrap_or_else(|error| panic!("{error:?}"))
}

fn counts(report: &Report) -> Vec<(&str, u64, u64)> {
    report.rules.iter().map(|rule| (rule.rule.as_str(), rule.met.matched, rule.met.would_act)).collect()
}

#[test]
fn what_would_have_fired_how_often_and_on_whom() {
    let policy = r#"
        on_connect().named("reset").from_ip("10.0.0.0/8").reset();
        on_produce("orders").named("eve").principal("User:eve").deny();
        on_produce("orders").named("third").nth(3).lose_response();
        on_produce("orders").named("late").during("10s", "20s").delay("1s");
        on_fetch("customers").named("mask").mask("$.email", "all");
        on_request("Metadata").named("leaderless").topic("customers").no_leader();
        on_produce("orders").named("unmet").principal("User:nobody").deny();
        on_disk("orders").named("disk").disk_full();"#;
    let mut made = Made::new();
    made.put(1, What::Opened { listener: "public".into(), peer: PEER, tls: false });
    let (asked, said) = metadata(1);
    made.ask("User:reader", &asked).answer(&said);
    for n in 0..4 {
        made.ask(
            if n == 1 { "User:eve" } else { "User:shop" },
            &producing("orders", &format!("{n}"), 10 + n),
        );
        made.after(5);
    }
    let fetch = fetching(20);
    made.ask("User:reader", &fetch).answer(&fetched(&fetch, r#"{"email":"ada@example.com"}"#));
    made.put(1, What::Closed);
    let report = tried(policy, &made);
    assert_eq!(
        counts(&report),
        [
            ("reset", 1, 1),
            ("eve", 1, 1),
            ("third", 4, 1),
            ("late", 4, 2),
            ("mask", 1, 1),
            ("leaderless", 1, 1),
            ("unmet", 0, 0),
            ("disk", 0, 0),
        ]
    );
    assert_eq!((report.requests, report.answers, report.sessions), (6, 2, 1));
    assert!(report.problem.is_none() && report.unreadable == 0);
    let late = &report.rules[3].met;
    assert_eq!((late.first, late.last), (Some(BEGAN + 10_000), Some(BEGAN + 15_000)));
    assert_eq!(late.principals.first(3), [("User:shop", 2)]);
    assert_eq!(late.client_ids.first(3), [("shop-1", 2)]);
    assert_eq!(late.topics.first(3), [("orders", 2)]);
    assert_eq!(report.rules[4].met.topics.first(3), [("customers", 1)]);
    let text = report.text();
    for line in [
        "6 requests, 2 answers, 1 new sessions in 20.000 s",
        "p: late (p.rhai:5)\n  matched 4, would act 2\n  from 10.000 s to 15.000 s after the beginning\n  principals: \"User:shop\" 2",
        "  matched 0, would act 0, the broker's own doings are in no capture",
    ] {
        assert!(text.contains(line), "{line}:\n{text}");
    }
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!(json["rules"][3]["would_act"], 2);
    assert_eq!(json["rules"][3]["principals"]["User:shop"], 2);
    assert_eq!(json["problem"], serde_json::Value::Null);
}

#[test]
fn access_is_tried_as_well() {
    let policy = r#"
        default_deny();
        on_access("Write").named("shop writes").topic("orders").principal("User:shop").allow();
        on_access("Write").named("not eve").principal("User:eve").topic("orders").deny();"#;
    let mut made = Made::new();
    for (n, who) in ["User:shop", "User:eve", "User:bob", "User:bob"].into_iter().enumerate() {
        made.ask(who, &producing("orders", "1", n as i32));
    }
    let report = tried(policy, &made);
    assert_eq!(counts(&report), [("shop writes", 1, 1), ("not eve", 1, 1)]);
    let refused = report.default_deny.as_ref().unwrap();
    assert_eq!(refused.would_act, 2, "{}", report.text());
    assert_eq!(refused.principals.first(3), [("User:bob", 2)]);
}

#[test]
fn what_stands_before_damage_is_told_with_its_place() {
    let mut made = Made::new();
    made.ask("User:shop", &producing("orders", "1", 1));
    let place = made.bytes.len() as u64;
    made.ask("User:shop", &producing("orders", "2", 2));
    made.bytes.truncate(made.bytes.len() - 3);
    let report = tried("on_produce().named(\"all\").deny();", &made);
    assert_eq!(counts(&report), [("all", 1, 1)]);
    assert_eq!(report.problem.as_ref().map(|problem| problem.offset), Some(place));
}

#[test]
fn what_is_missing_is_said() {
    let mut made = Made::new();
    made.put(0, What::Dropped(7));
    made.put(
        1,
        What::Request {
            principal: "User:ANONYMOUS".into(),
            listener: "public".into(),
            peer: PEER,
            frame: Bytes::from_static(&[0, 36]),
            body_left_out: true,
        },
    );
    made.put(
        1,
        What::Request {
            principal: "User:x".into(),
            listener: "public".into(),
            peer: PEER,
            frame: Bytes::from_static(b"no request"),
            body_left_out: false,
        },
    );
    made.put(0, What::Full);
    let report = tried("on_produce().deny();", &made);
    assert_eq!((report.dropped, report.left_out, report.unreadable, report.full), (7, 1, 1, true));
    let text = report.text();
    assert!(text.contains("7 records are missing") && text.contains("the capture is full"), "{text}");
}

#[test]
fn nothing_is_tried_without_policies_or_a_capture() {
    let script = Script { file: "p.rhai".into(), text: "on_produce().dney();".into() };
    assert!(matches!(
        dry_run(&[script], &Default::default(), std::io::Cursor::new(HEADER)),
        Err(DryRunError::Policies(_))
    ));
    assert!(matches!(
        dry_run(&[], &Default::default(), std::io::Cursor::new(b"something else")),
        Err(DryRunError::Capture(_))
    ));
}

/// A Metadata request that may create, and what an answer says of each topic.
fn looked_up(correlation_id: i32, topics: &[(&str, ErrorCode)]) -> (Request, Response) {
    let named = |(name, _): &(&str, ErrorCode)| metadata::MetadataRequestTopic {
        name: Some((*name).into()),
        ..Default::default()
    };
    let body = metadata::Request {
        topics: Some(topics.iter().map(named).collect()),
        allow_auto_topic_creation: true,
        ..Default::default()
    };
    let mut request = Request::new(12, correlation_id, Some("reader".into()), body.into()).unwrap();
    let mut response = request.answer(ErrorCode::NONE).unwrap().unwrap();
    let ResponseBody::Metadata(body) = &mut response.body else { panic!() };
    for (topic, (_, code)) in body.topics.iter_mut().zip(topics) {
        topic.error_code = code.0;
    }
    (request, response)
}

#[test]
fn topics_are_there_by_what_the_answers_say() {
    let policy = r#"default_deny(); on_access("Describe").topic("*").allow();
        on_create("*").named("limit").limit(#{ partitions: 5..=9 });"#;
    let there = |code| {
        let mut made = Made::new();
        let (asked, said) = looked_up(1, &[("orders", code)]);
        made.ask("User:x", &asked).answer(&said);
        let report = tried(policy, &made);
        (report.default_deny.as_ref().unwrap().would_act, report.rules[1].met.matched)
    };
    assert_eq!(there(ErrorCode::NONE), (0, 0), "its answer shows that it was there");
    assert_eq!(there(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION), (1, 1));
    assert_eq!(there(ErrorCode::LEADER_NOT_AVAILABLE), (1, 1), "it was created");

    // created, tried only, deleted
    let create = |correlation_id, validate_only| {
        let topics = vec![create_topics::CreatableTopic { name: "orders".into(), ..Default::default() }];
        let body = create_topics::Request { topics, validate_only, ..Default::default() };
        Request::new(5, correlation_id, Some("admin".into()), body.into()).unwrap()
    };
    let delete = |correlation_id| {
        let body = delete_topics::Request { topic_names: vec!["orders".into()], ..Default::default() };
        Request::new(5, correlation_id, Some("admin".into()), body.into()).unwrap()
    };
    let refused = |requests: &[Request]| {
        let mut made = Made::new();
        for asked in requests {
            made.ask("User:admin", asked);
            match asked.api() {
                ApiKey::Metadata => &mut made,
                _ => made.answer(&asked.clone().answer(ErrorCode::NONE).unwrap().unwrap()),
            };
        }
        let policy = r#"default_deny(); on_access("Describe").topic("*").allow(); on_access("Delete").topic("*").allow();
            on_access("Create").topic("*").when(|cx| cx.api == "CreateTopics").allow();"#;
        tried(policy, &made).default_deny.unwrap().would_act
    };
    let look = |correlation_id| looked_up(correlation_id, &[("orders", ErrorCode::NONE)]).0;
    assert_eq!(refused(&[look(1), create(2, false), look(3)]), 1, "before it was created");
    assert_eq!(refused(&[look(1), create(2, true), look(3)]), 2, "it was only tried");
    assert_eq!(refused(&[look(1), delete(2), look(3), create(4, false), look(5)]), 1, "between the two");
}

#[test]
fn rules_are_tried_in_the_modes_they_are_written_in() {
    let policy = r#"
        default_deny();
        on_access("Write").named("watching").topic("orders").observe().allow();
        on_produce("orders").named("idle").observe().deny();
        on_produce("orders").named("busy").deny();"#;
    let mut made = Made::new();
    made.ask("User:shop", &producing("orders", "1", 1));
    let report = tried(policy, &made);
    assert_eq!(report.default_deny.as_ref().unwrap().would_act, 1, "what watches allows nothing");
    let observes: Vec<bool> = report.rules.iter().map(|rule| rule.observes).collect();
    assert_eq!(observes, [true, true, false]);
    let text = report.text();
    assert!(text.contains("p: idle (p.rhai:4) (observes only)\n  matched 1"), "{text}");
    assert!(text.contains("p: busy (p.rhai:5)\n  matched 1, would act 1"), "{text}");
    assert!(text.contains("default_deny(): what no rule allows\n"), "{text}");
    let report = tried("mode(\"observe\"); default_deny();", &made);
    assert_eq!(report.default_deny.as_ref().unwrap().would_act, 1);
    assert!(report.text().contains("default_deny(): what no rule allows (observes only)\n"));
}

#[test]
fn topics_are_counted_only_where_one_is_meant() {
    let record = |partition_of: &[&str]| {
        let topics = partition_of.iter().map(|name| produce::TopicProduceData {
            name: (*name).into(),
            partition_data: vec![produce::PartitionProduceData {
                records: Payload::Bytes(batch("1")),
                ..Default::default()
            }],
            ..Default::default()
        });
        let body = produce::Request { acks: -1, topic_data: topics.collect(), ..Default::default() };
        Request::new(9, 1, Some("shop-1".into()), body.into()).unwrap()
    };
    let policy = r#"default_deny(); on_access("Write").topic("a").allow();
        on_produce("*").named("some").when(|cx| cx.topic == "a").deny();
        on_produce("a").named("one").deny();"#;
    let mut made = Made::new();
    made.ask("User:shop", &record(&["a", "b"])).ask("User:shop", &record(&["a"]));
    let report = tried(policy, &made);
    let (some, one) = (&report.rules[1].met, &report.rules[2].met);
    assert_eq!((some.would_act, some.topics.first(3), some.among_topics), (2, vec![("a", 1)], 1));
    assert_eq!((one.would_act, one.topics.first(3), one.among_topics), (2, vec![("a", 2)], 0));
    assert_eq!(report.default_deny.as_ref().unwrap().topics.first(3), [("b", 1)]);
    assert!(
        report.text().contains("  topics: \"a\" 1\n  of one among several topics: 1\n"),
        "{}",
        report.text()
    );
}

#[test]
fn what_cannot_be_tried_and_what_was_not_answered_is_said() {
    let policy = r#"on_request("SaslAuthenticate").named("login").delay("1s");
        on_produce("orders").named("lost").lose_response();"#;
    let mut made = Made::new();
    made.ask("User:shop", &producing("orders", "1", 1)).put(1, What::Closed);
    let report = tried(policy, &made);
    assert_eq!(report.rules.iter().map(|rule| rule.left_out).collect::<Vec<_>>(), [true, false]);
    assert!(report.text().contains("matched 0, would act 0, cannot be tried: "), "{}", report.text());
    let (asked, _) = metadata(1);
    let mut made = Made::new();
    made.ask("User:x", &asked).put(1, What::Closed).ask("User:x", &asked);
    let report = tried("on_request(\"Metadata\").no_leader();", &made);
    assert_eq!(report.unmatched, 2, "{}", report.text());
}
