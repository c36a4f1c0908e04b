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
    assert_eq!(report.requests, 2);
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

/// A run of this policy that has seen nothing.
fn run(policy: &str) -> Run {
    let clock = Clock::manual();
    let policies = Policies::new(Shared::new(Settings { clock: clock.clone(), ..Settings::default() }));
    let script = Script { file: "p.rhai".into(), text: policy.into() };
    let generation = policies.load(&[script]).unwrap_or_else(|errors| panic!("{}", errors[0]));
    Run::new(generation, clock)
}

impl Run {
    fn request(&mut self, session: u64, frame: Bytes) {
        let (principal, listener) = ("User:x".into(), "public".into());
        let what = What::Request { principal, listener, peer: PEER, frame, body_left_out: false };
        self.take(Record { time: BEGAN, session, what });
    }

    fn answer(&mut self, session: u64, response: &Response) {
        let frame = joined(response.encode().unwrap());
        let what = What::Answer { api: response.api, version: response.version, frame };
        self.take(Record { time: BEGAN, session, what });
    }

    fn close(&mut self, session: u64) {
        self.take(Record { time: BEGAN, session, what: What::Closed });
    }

    fn awaited(&self, session: u64) -> usize {
        self.sessions.get(&session).map_or(0, VecDeque::len)
    }
}

fn frame(request: &Request) -> Bytes {
    joined(request.encode().unwrap())
}

const LEADERLESS: &str = "on_request(\"Metadata\").no_leader(); on_fetch().chance(0.5).lose_response();";

#[test]
fn an_answer_is_that_of_its_own_request() {
    let mut run = run(LEADERLESS);
    let (first, second) = (metadata(1), metadata(2));
    let fetch = fetching(3);
    for asked in [&first.0, &second.0, &fetch] {
        run.request(1, frame(asked));
    }
    let bytes: usize = [&first.0, &second.0, &fetch].iter().map(|asked| frame(asked).len()).sum();
    assert_eq!((run.awaited(1), run.awaited_bytes), (3, bytes));
    // of another number, of another api, of another version, in another session
    run.answer(1, &metadata(9).1);
    run.answer(1, &fetched(&fetching(1), "{}"));
    let other = Request::new(11, 1, None, metadata::Request::default().into()).unwrap();
    run.answer(1, &Response::new(&other, metadata::Response::default().into()));
    run.answer(2, &first.1);
    assert_eq!((run.awaited(1), run.report.unreadable), (3, 0));
    run.answer(1, &second.1);
    assert_eq!((run.awaited(1), run.awaited_bytes), (2, bytes - frame(&second.0).len()));
    let left: Vec<_> = run.sessions[&1].iter().map(|awaited| awaited.request.correlation_id()).collect();
    assert_eq!(left, [1, 3]);
    run.close(1);
    assert_eq!((run.awaited(1), run.awaited_bytes, run.report.unmatched), (0, 0, 2));
    assert_eq!((run.report.requests, run.report.answers), (3, 5));
    run.request(1, frame(&first.0));
    run.close(1);
    assert_eq!((run.awaited_bytes, run.report.unmatched), (0, 3));
}

#[test]
fn frames_that_cannot_be_read_are_counted_one_by_one() {
    let mut run = run(LEADERLESS);
    let (asked, said) = metadata(1);
    for n in 1..=2 {
        run.request(1, Bytes::from_static(b"no"));
        // its head is whole, its body is not
        let whole = frame(&asked);
        run.request(1, whole.slice(..whole.len() - 3));
        let what =
            What::Answer { api: said.api, version: said.version, frame: Bytes::from_static(b"\0\0\0\x01no") };
        run.take(Record { time: BEGAN, session: 1, what });
        assert_eq!(run.report.unreadable, 3 * n);
    }
    assert_eq!(run.awaited(1), 0);
}

#[test]
fn only_requests_whose_answers_are_looked_at_are_remembered() {
    let mut run =
        run(&format!("{LEADERLESS} on_produce(\"orders\").deny(); on_produce(\"cut\").truncate_log(1);"));
    run.request(1, frame(&producing("orders", "v", 1)));
    assert_eq!(run.awaited(1), 0, "of its answer nothing is asked");
    run.request(1, frame(&producing("cut", "v", 2)));
    assert_eq!(run.awaited(1), 1);
    let mut unanswered = producing("cut", "v", 3);
    let RequestBody::Produce(body) = unanswered.body_mut().unwrap() else { panic!() };
    body.acks = 0;
    run.request(1, frame(&unanswered));
    assert_eq!(run.awaited(1), 1);
}

#[test]
fn what_is_awaited_is_bounded_by_the_oldest_of_its_session() {
    let template = run(LEADERLESS);
    let who = Arc::new(Who {
        principal: "User:x".into(),
        client_id: "".into(),
        listener: "public".into(),
        remote_ip: PEER,
    });
    let plan = template.generation.plan(&who);
    let awaited = |number, bytes| Awaited {
        who: who.clone(),
        plan: plan.clone(),
        request: metadata(number).0,
        verdict: Verdict::default(),
        bytes,
    };
    let numbers =
        |run: &Run| run.sessions[&1].iter().map(|one| one.request.correlation_id()).collect::<Vec<_>>();

    let mut many = run(LEADERLESS);
    for number in 0..AWAITED as i32 + 2 {
        many.wait_for(1, awaited(number, 10));
    }
    assert_eq!(numbers(&many), (2..AWAITED as i32 + 2).collect::<Vec<_>>());
    assert_eq!((many.awaited_bytes, many.report.unmatched), (10 * AWAITED, 2));

    let mut large = run(LEADERLESS);
    large.wait_for(1, awaited(0, 6));
    large.wait_for(1, awaited(1, AWAITED_BYTES - 6));
    assert_eq!((numbers(&large), large.report.unmatched), (vec![0, 1], 0));
    large.wait_for(1, awaited(2, 5));
    assert_eq!((numbers(&large), large.report.unmatched), (vec![1, 2], 1));
    assert_eq!(large.awaited_bytes, AWAITED_BYTES - 1);
    // others' requests are not forgotten for it
    large.wait_for(2, awaited(3, 9));
    assert_eq!((large.awaited(1), large.awaited(2), large.report.unmatched), (2, 0, 2));
    assert_eq!(large.awaited_bytes, AWAITED_BYTES - 1);

    let mut full = run(LEADERLESS);
    full.sessions.extend((0..SESSIONS as u64).map(|session| (session, VecDeque::new())));
    for (session, unmatched) in [(SESSIONS as u64, 1), (SESSIONS as u64 + 1, 2), (7, 2)] {
        full.wait_for(session, awaited(1, 1));
        assert_eq!(full.report.unmatched, unmatched);
        assert_eq!(full.awaited(session), usize::from(session == 7));
    }
}

#[test]
fn policies_may_crash_encrypt_and_validate() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("order.json"), r#"{"required":["id"]}"#).unwrap();
    let schemas = Schemas::new(Some(folder.path().to_owned()));
    let policy = r#"on_disk("orders").named("crash").crash_at("before");
        on_produce("orders").named("encrypt").encrypt("$.id", secret("key"));
        on_produce("orders").named("validate").validate(schema("order.json"));"#;
    let mut made = Made::new();
    made.ask("User:shop", &producing("orders", r#"{"id":1}"#, 1));
    made.ask("User:shop", &producing("orders", "{}", 2));
    let script = Script { file: "p.rhai".into(), text: policy.into() };
    let report = dry_run(&[script], &schemas, std::io::Cursor::new(&made.bytes))
        .unwrap_or_else(|error| panic!("{error:?}"));
    assert_eq!(counts(&report), [("crash", 0, 0), ("encrypt", 2, 1), ("validate", 2, 1)]);
}

#[test]
fn what_did_not_happen_is_not_told() {
    let mut made = Made::new();
    made.ask("User:shop", &producing("orders", "1", 1));
    let report = tried("on_produce(\"orders\").deny();", &made);
    let text = report.text();
    for silent in
        ["missing", "credentials", "could not be read", "not in the capture", "among several", "full"]
    {
        assert!(!text.contains(silent), "{silent}: {text}");
    }
    assert!(report.default_deny.is_none() && !report.default_deny_observes);
}
