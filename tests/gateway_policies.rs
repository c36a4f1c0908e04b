//! Policies at work on real sessions: verdicts per part, security before chaos, topic ids, who speaks, order and time.
//! The upstream is written by each test, so that what reached it is known.

mod support;

use bytes::Bytes;
use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};
use support::{Client, Running, Scripted, agree, agreeable, heartbeat, start_with};
use tollgate::gateway::{Limits, Submitted};
use tollgate::wire::{
    ApiKey, ByteSource, ErrorCode, Payload, Piece, RequestBody, Response, ResponseBody, Str, Uuid,
    api::{fetch::*, metadata::*, offset_commit, produce::*},
    record::{BATCH_OVERHEAD, BatchBuilder, BatchHeader, Compressor, Records, batches},
};

fn batch(values: &[&str]) -> Bytes {
    let mut compressor = Compressor::default();
    let mut builder = BatchBuilder::new(BatchHeader::default(), &mut compressor);
    for value in values {
        builder.append(1, None, Some(value.as_bytes()), Default::default()).unwrap();
    }
    builder.finish().unwrap()
}

/// Every call makes records of its own: the same bytes again would be taken for a retry.
fn produce_to(topics: &[&str], acks: i16) -> ProduceRequest {
    static CALLS: AtomicU64 = AtomicU64::new(0);
    let call = CALLS.fetch_add(1, Ordering::Relaxed);
    let topic = |name: &&str| TopicProduceData {
        name: Str::from(*name),
        partition_data: vec![PartitionProduceData {
            index: 0,
            records: Payload::Bytes(batch(&[format!("record {call}").as_str()])),
            ..Default::default()
        }],
        ..Default::default()
    };
    ProduceRequest {
        acks,
        timeout_ms: 1000,
        topic_data: topics.iter().map(topic).collect(),
        ..Default::default()
    }
}

/// Topic and error code, in the order of the answer.
fn produced(body: ResponseBody) -> Vec<(String, i16)> {
    let ResponseBody::Produce(body) = body else { panic!("{body:?}") };
    let topics = body.responses.iter();
    topics.flat_map(|t| t.partition_responses.iter().map(|p| (t.name.to_string(), p.error_code))).collect()
}

/// The topics that reached the upstream in Produce requests, one list a request.
fn stored(asked: &Mutex<Vec<(String, RequestBody)>>) -> Vec<Vec<String>> {
    let asked = asked.lock().unwrap();
    asked
        .iter()
        .filter_map(|(_, body)| match body {
            RequestBody::Produce(p) => Some(p.topic_data.iter().map(|t| t.name.to_string()).collect()),
            _ => None,
        })
        .collect()
}

/// Puts one request through after everything before it, so that what was sent has been dealt with.
async fn settle(running: &Running) {
    running.client().await.ask(4, heartbeat("settle")).await;
}

#[tokio::test]
async fn a_denied_part_is_answered_in_its_place_and_the_others_are_stored() {
    let upstream = Scripted::new(agreeable);
    let policies = [("deny.rhai", r#"policy("deny", "x"); on_produce("orders").deny("closed");"#)];
    let running = start_with(upstream.clone(), Limits::default(), &policies).await;
    let mut client = running.client().await;
    for version in [3, 9, 12] {
        let said = produced(client.ask(version, produce_to(&["orders", "audit"], -1)).await);
        let denied = ErrorCode::TOPIC_AUTHORIZATION_FAILED.0;
        assert_eq!(said, [("orders".to_string(), denied), ("audit".to_string(), 0)], "version {version}");
        let said = produced(client.ask(version, produce_to(&["audit", "orders"], -1)).await);
        assert_eq!(said, [("audit".to_string(), 0), ("orders".to_string(), denied)], "version {version}");
    }
    assert_eq!(stored(&upstream.asked), vec![vec!["audit".to_string()]; 6]);
}

#[tokio::test]
async fn a_fault_on_one_part_leaves_the_others_alone() {
    let upstream = Scripted::new(agreeable);
    let policies = [(
        "chaos.rhai",
        r#"policy("chaos", "x"); expires("1h");
           on_produce("orders").fail("NOT_LEADER_OR_FOLLOWER");
           on_produce("late").fail_after("REQUEST_TIMED_OUT");"#,
    )];
    let running = start_with(upstream.clone(), Limits::default(), &policies).await;
    let mut client = running.client().await;
    let said = produced(client.ask(9, produce_to(&["orders", "audit", "late"], -1)).await);
    assert_eq!(said, [("orders".to_string(), 6), ("audit".to_string(), 0), ("late".to_string(), 7)]);
    // fail: not executed; fail_after: executed.
    assert_eq!(stored(&upstream.asked), [["audit", "late"]]);
}

#[tokio::test]
async fn security_comes_before_chaos_whatever_the_file_order() {
    let upstream = Scripted::new(agreeable);
    let policies = [
        ("a-chaos.rhai", r#"policy("a-chaos", "x"); expires("1h"); on_request("*").lose_response();"#),
        ("z-deny.rhai", r#"policy("z-deny", "x"); on_produce("secret*").deny();"#),
    ];
    let running = start_with(upstream.clone(), Limits::default(), &policies).await;
    let mut client = running.client().await;
    client.send(9, "test", produce_to(&["secret-1"], -1)).await;
    client.send(9, "test", produce_to(&["secret-2", "open"], -1)).await;
    drop(client);
    running.until("tollgate_sessions_ended_total", &[("cause", "client_closed")], 1.0).await;
    let flat: Vec<String> = stored(&upstream.asked).concat();
    assert!(flat.iter().all(|t| !t.starts_with("secret")), "{flat:?}");
}

#[tokio::test]
async fn acks_0_with_an_error_closes_and_never_answers() {
    let upstream = Scripted::new(agreeable);
    let policies = [("deny.rhai", r#"policy("deny", "x"); on_produce("orders").deny();"#)];
    let running = start_with(upstream.clone(), Limits::default(), &policies).await;
    let mut client = running.client().await;
    // What is owed before goes out first; a forwarded acks=0 owes nothing.
    client.send(4, "test", heartbeat("g")).await;
    client.send(9, "test", produce_to(&["audit"], 0)).await;
    client.send(9, "test", produce_to(&["orders"], 0)).await;
    assert_eq!(client.receive(ApiKey::Heartbeat, 4).await.correlation_id, 1);
    assert_eq!(client.closed().await.unwrap(), b"");
    assert_eq!(stored(&upstream.asked), [["audit"]]);
    running.until("tollgate_sessions_ended_total", &[("cause", "no_place_for_error")], 1.0).await;
}

#[tokio::test]
async fn a_lost_request_is_never_forwarded_and_silences_the_session() {
    let upstream = Scripted::new(agreeable);
    let policies =
        [("lose.rhai", r#"policy("lose", "x"); expires("1h"); on_produce("orders").nth(2).lose_request();"#)];
    let running = start_with(upstream.clone(), Limits::default(), &policies).await;
    let mut client = running.client().await;
    assert_eq!(produced(client.ask(9, produce_to(&["orders"], -1)).await).len(), 1);
    client.send(9, "test", produce_to(&["orders"], -1)).await;
    client.send(9, "test", produce_to(&["other"], -1)).await;
    client.send(4, "test", heartbeat("g")).await;
    running.until("tollgate_requests_total", &[("api", "Heartbeat")], 1.0).await;
    settle(&running).await;
    assert_eq!(stored(&upstream.asked), [["orders"]]);
    // Silence, not an end: nothing comes, and the connection stays.
    let silent = tokio::time::timeout(Duration::from_millis(200), client.frame()).await;
    assert!(silent.is_err(), "{silent:?}");
}

#[tokio::test]
async fn a_lost_response_is_stored_and_silences_the_session_while_later_requests_are_executed() {
    let upstream = Scripted::new(agreeable);
    let policies = [(
        "lose.rhai",
        r#"policy("lose", "x"); expires("1h"); on_produce("orders").nth(2).lose_response();"#,
    )];
    let running = start_with(upstream.clone(), Limits::default(), &policies).await;
    let mut client = running.client().await;
    client.ask(9, produce_to(&["orders"], -1)).await;
    client.send(9, "test", produce_to(&["orders"], -1)).await;
    client.send(9, "test", produce_to(&["other"], -1)).await;
    while stored(&upstream.asked).len() < 3 {
        tokio::task::yield_now().await;
    }
    assert_eq!(stored(&upstream.asked), [["orders"], ["orders"], ["other"]]);
    let silent = tokio::time::timeout(Duration::from_millis(200), client.frame()).await;
    assert!(silent.is_err(), "{silent:?}");
}

#[tokio::test]
async fn disconnect_and_reset_end_the_session_before_the_upstream_is_asked() {
    let upstream = Scripted::new(agreeable);
    let policies = [(
        "end.rhai",
        r#"policy("end", "x"); expires("1h");
           on_produce("bye").disconnect(); on_produce("rst").reset();"#,
    )];
    let running = start_with(upstream.clone(), Limits::default(), &policies).await;
    let mut client = running.client().await;
    client.send(4, "test", heartbeat("owed")).await;
    client.send(9, "test", produce_to(&["bye"], -1)).await;
    client.receive(ApiKey::Heartbeat, 4).await;
    assert_eq!(client.closed().await.unwrap(), b"");
    let mut client = running.client().await;
    client.send(9, "test", produce_to(&["rst"], -1)).await;
    let end = client.closed().await;
    assert!(matches!(&end, Err(e) if e.kind() == std::io::ErrorKind::ConnectionReset), "{end:?}");
    assert!(stored(&upstream.asked).is_empty());
}

#[tokio::test]
async fn delays_of_pipelined_requests_overlap() {
    let upstream = Scripted::new(agreeable);
    let policies = [(
        "slow.rhai",
        r#"policy("slow", "x"); expires("1h"); on_request("Heartbeat").group("slow").delay("400ms");"#,
    )];
    let running = start_with(upstream.clone(), Limits::default(), &policies).await;
    let mut client = running.client().await;
    let begun = Instant::now();
    for _ in 0..5 {
        client.send(4, "test", heartbeat("slow")).await;
    }
    client.send(4, "test", heartbeat("quick")).await;
    for n in 1..=6 {
        // The quick one does not overtake.
        assert_eq!(client.receive(ApiKey::Heartbeat, 4).await.correlation_id, n);
    }
    let took = begun.elapsed();
    assert!(took >= Duration::from_millis(400), "{took:?}");
    assert!(took < Duration::from_millis(1600), "five delays of 400 ms were added up: {took:?}");
}

#[tokio::test]
async fn a_session_that_changes_its_client_id_gains_nothing() {
    let upstream = Scripted::new(agreeable);
    let policies =
        [("ids.rhai", r#"policy("ids", "x"); on_produce("orders").client_id("!trusted").deny();"#)];
    let running = start_with(upstream.clone(), Limits::default(), &policies).await;
    let mut client = running.client().await;
    let mut said = Vec::new();
    for id in ["trusted", "other", "trusted", "third"] {
        client.send(9, id, produce_to(&["orders"], -1)).await;
        said.push(produced(client.receive(ApiKey::Produce, 9).await.body)[0].1);
    }
    assert_eq!(said, [0, 29, 0, 29]);
}

/// An upstream with one topic whose id changes when it is deleted and created again, and one record in it.
struct OneTopic {
    name: &'static str,
    id: Mutex<Uuid>,
    records: Bytes,
}

impl OneTopic {
    fn answer(&self, mut request: tollgate::wire::Request) -> Submitted {
        let id = *self.id.lock().unwrap();
        let body: ResponseBody = match request.body().unwrap().clone() {
            RequestBody::Metadata(_) => MetadataResponse {
                topics: vec![MetadataResponseTopic {
                    name: Some(Str::from(self.name)),
                    topic_id: id,
                    ..Default::default()
                }],
                ..Default::default()
            }
            .into(),
            RequestBody::Fetch(f) => FetchResponse {
                session_id: if f.session_epoch == 0 { 77 } else { f.session_id },
                // A session's incremental fetch names nothing and yet gets its partition.
                responses: vec![FetchableTopicResponse {
                    topic: Str::from(self.name),
                    topic_id: id,
                    partitions: vec![FetchPartitionData {
                        records: Payload::Bytes(self.records.clone()),
                        high_watermark: 1,
                        ..Default::default()
                    }],
                    ..Default::default()
                }],
                ..Default::default()
            }
            .into(),
            _ => return Submitted::Now(agree(&mut request)),
        };
        Submitted::Now(Some(Response::new(&request, body)))
    }
}

fn fetch(topic: &str, topic_id: Uuid, session: (i32, i32)) -> FetchRequest {
    let partition = FetchPartition { partition_max_bytes: 1 << 20, ..Default::default() };
    let topic =
        FetchTopic { topic: Str::from(topic), topic_id, partitions: vec![partition], ..Default::default() };
    FetchRequest {
        session_id: session.0,
        session_epoch: session.1,
        topics: vec![topic],
        max_wait_ms: 0,
        ..Default::default()
    }
}

/// The values of all records in a fetch response.
fn values(body: &ResponseBody) -> Vec<String> {
    let ResponseBody::Fetch(body) = body else { panic!("{body:?}") };
    let mut out = Vec::new();
    for partition in body.responses.iter().flat_map(|t| &t.partitions) {
        let payload = partition.records.to_bytes().unwrap();
        for batch in batches(&payload) {
            let batch = batch.unwrap();
            let records =
                Records::new(&payload[batch.range()][BATCH_OVERHEAD..], batch.header.record_count).unwrap();
            for record in records {
                let value = record.unwrap().value.unwrap_or_default();
                out.push(String::from_utf8(value.to_vec()).unwrap());
            }
        }
    }
    out
}

const MASK: &str = r#"policy("mask", "x"); on_fetch("customers").mask("$.email", "email");"#;

fn customers() -> Arc<OneTopic> {
    Arc::new(OneTopic {
        name: "customers",
        id: Mutex::new(Uuid::random()),
        records: batch(&[r#"{"email":"ada@example.com"}"#]),
    })
}

async fn masked(client: &mut Client, version: i16, request: FetchRequest) {
    let body = client.ask(version, request).await;
    assert_eq!(values(&body), [r#"{"email":"a**@example.com"}"#], "version {version}");
}

#[tokio::test]
async fn a_mask_holds_on_topics_named_by_id_also_after_they_were_created_again() {
    let topic = customers();
    let known = topic.clone();
    let upstream = Scripted::new(move |_, request| known.answer(request));
    let running = start_with(upstream.clone(), Limits::default(), &[("mask.rhai", MASK)]).await;
    let mut client = running.client().await;
    for _ in 0..2 {
        let id = *topic.id.lock().unwrap();
        let all = MetadataRequest { topics: None, ..Default::default() };
        client.ask(12, all).await;
        masked(&mut client, 13, fetch("", id, (0, -1))).await;
        masked(&mut client, 12, fetch("customers", Uuid::ZERO, (0, -1))).await;
        *topic.id.lock().unwrap() = Uuid::random();
    }
}

#[tokio::test]
async fn an_id_nobody_can_name_is_refused_while_a_rule_might_concern_it() {
    let topic = customers();
    let known = topic.clone();
    let upstream = Scripted::new(move |_, request| known.answer(request));
    let running = start_with(upstream.clone(), Limits::default(), &[("mask.rhai", MASK)]).await;
    let mut client = running.client().await;
    let body = client.ask(13, fetch("", Uuid::random(), (0, -1))).await;
    let mut codes = Vec::new();
    body.errors(&mut |code| codes.push(code));
    assert!(codes.contains(&ErrorCode::UNKNOWN_TOPIC_ID.0), "{body:?}");
    assert!(values(&body).is_empty());
}

#[tokio::test]
async fn incremental_fetches_are_masked_like_full_ones() {
    let topic = customers();
    let known = topic.clone();
    let upstream = Scripted::new(move |_, request| known.answer(request));
    let running = start_with(upstream.clone(), Limits::default(), &[("mask.rhai", MASK)]).await;
    let mut client = running.client().await;
    let first = client.ask(12, fetch("customers", Uuid::ZERO, (0, 0))).await;
    assert_eq!(values(&first), [r#"{"email":"a**@example.com"}"#]);
    let ResponseBody::Fetch(first) = first else { panic!() };
    // Either no session was made, or what it yields is masked too.
    if first.session_id != 0 {
        let incremental = FetchRequest { topics: Vec::new(), ..fetch("", Uuid::ZERO, (first.session_id, 1)) };
        masked(&mut client, 12, incremental).await;
    }
    // A session that began before the rule did: the client is sent back to a full fetch, or masked.
    let foreign = FetchRequest { topics: Vec::new(), ..fetch("", Uuid::ZERO, (77, 5)) };
    let body = client.ask(12, foreign).await;
    let ResponseBody::Fetch(said) = &body else { panic!() };
    assert!(
        said.error_code == ErrorCode::FETCH_SESSION_ID_NOT_FOUND.0
            || values(&body).iter().all(|v| v.contains("**"))
    );
}

/// Record data that lies in a file as far as the gateway can see.
struct InFile(Bytes);

impl ByteSource for InFile {
    fn len(&self) -> u64 {
        self.0.len() as u64
    }
    fn read_at(&self, pos: u64, buf: &mut [u8]) -> std::io::Result<()> {
        let from = pos as usize;
        buf.copy_from_slice(&self.0[from..from + buf.len()]);
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn masked_fetches_from_files_do_not_wait_for_each_others_memory() {
    const PARTITIONS: usize = 4;
    let records = batch(&[r#"{"email":"ada@example.com"}"#]);
    let each = records.len() * PARTITIONS;
    let upstream = Scripted::new(move |_, request| {
        let partition = |partition_index| FetchPartitionData {
            partition_index,
            records: Payload::Pieces(vec![Piece::Source(Arc::new(InFile(records.clone())))]),
            high_watermark: 1,
            ..Default::default()
        };
        let topic = FetchableTopicResponse {
            topic: Str::from("customers"),
            partitions: (0..PARTITIONS as i32).map(partition).collect(),
            ..Default::default()
        };
        let body = FetchResponse { responses: vec![topic], ..Default::default() };
        Submitted::Now(Some(Response::new(&request, body.into())))
    });
    let slow = r#"policy("slow", "x"); expires("1h"); on_fetch("customers").delay("1ms");"#;
    // Too little for two; and for one, which then gets all of it.
    for held_bytes in [each * 3 / 2, each / 2] {
        let limits = Limits { held_bytes, ..Limits::default() };
        let policies = [("mask.rhai", MASK), ("slow.rhai", slow)];
        let running = start_with(upstream.clone(), limits, &policies).await;
        let mut sessions = tokio::task::JoinSet::new();
        for _ in 0..30 {
            let mut client = running.client().await;
            sessions.spawn(async move {
                for _ in 0..5 {
                    let body = client.ask(12, fetch("customers", Uuid::ZERO, (0, -1))).await;
                    assert_eq!(values(&body), [r#"{"email":"a**@example.com"}"#; PARTITIONS]);
                }
            });
        }
        while let Some(done) = sessions.join_next().await {
            done.unwrap();
        }
        assert!(running.gateway.held.waits() > 0, "nobody had to wait: the test shows nothing");
        running.until("tollgate_sessions_ended_total", &[("cause", "client_closed")], 30.0).await;
        assert_eq!((running.gateway.held.taken(), running.gateway.held.refusals()), (0, 0));
    }
}

#[tokio::test]
async fn ordinary_sessions_keep_their_fetch_sessions_when_no_rule_needs_them() {
    let topic = customers();
    let known = topic.clone();
    let upstream = Scripted::new(move |_, request| known.answer(request));
    let other =
        r#"policy("mask", "x"); on_fetch("customers").principal("User:else").mask("$.email", "email");"#;
    let running = start_with(upstream.clone(), Limits::default(), &[("mask.rhai", other)]).await;
    let mut client = running.client().await;
    let body = client.ask(12, fetch("customers", Uuid::ZERO, (0, 0))).await;
    let ResponseBody::Fetch(said) = &body else { panic!() };
    assert_eq!(said.session_id, 77);
    assert_eq!(values(&body), [r#"{"email":"ada@example.com"}"#]);
}

#[tokio::test]
async fn access_control_refuses_what_no_rule_allows() {
    let upstream = Scripted::new(agreeable);
    let policies = [(
        "access.rhai",
        r#"policy("access", "x"); default_deny();
           on_access("Write").topic("orders").allow();
           on_access("Read").group("billing").allow();"#,
    )];
    let running = start_with(upstream.clone(), Limits::default(), &policies).await;
    let mut client = running.client().await;
    let said = produced(client.ask(9, produce_to(&["orders", "audit"], -1)).await);
    assert_eq!(said, [("orders".to_string(), 0), ("audit".to_string(), 29)]);
    let code = |body: ResponseBody| {
        let mut codes = Vec::new();
        body.errors(&mut |code| codes.push(code));
        codes
    };
    assert_eq!(code(client.ask(4, heartbeat("billing")).await), [0]);
    assert_eq!(code(client.ask(4, heartbeat("other")).await), [30]);
    let commit = offset_commit::OffsetCommitRequest {
        group_id: Str::from("billing"),
        topics: vec![offset_commit::OffsetCommitRequestTopic {
            name: Str::from("orders"),
            partitions: vec![Default::default()],
            ..Default::default()
        }],
        ..Default::default()
    };
    // The group may be read, the topic may only be written.
    assert_eq!(code(client.ask(8, commit).await), [29]);
}

/// Which of a run's produce requests met the rule, by topic.
async fn injections(order: &[&str], seed: u64) -> HashMap<String, Vec<bool>> {
    let policy = format!(
        r#"policy("chaos", "x"); seed({seed}); expires("1h"); on_produce("t-*").chance(0.3).fail("REQUEST_TIMED_OUT");"#
    );
    let running =
        start_with(Scripted::new(agreeable), Limits::default(), &[("chaos.rhai", policy.as_str())]).await;
    let mut clients: HashMap<&str, Client> = HashMap::new();
    let mut met: HashMap<String, Vec<bool>> = HashMap::new();
    for (n, topic) in order.iter().enumerate() {
        // Every twentieth request comes over a new connection.
        if n % 20 == 0 {
            clients.clear();
        }
        if !clients.contains_key(topic) {
            clients.insert(topic, running.client().await);
        }
        let client = clients.get_mut(topic).unwrap();
        let mut request = produce_to(&[topic], -1);
        let count = met.get(*topic).map_or(0, Vec::len);
        request.topic_data[0].partition_data[0].records =
            Payload::Bytes(batch(&[format!("{topic}-{count}").as_str()]));
        let said = produced(client.ask(9, request).await);
        met.entry(topic.to_string()).or_default().push(said[0].1 != 0);
    }
    met
}

#[tokio::test]
async fn the_same_doings_under_the_same_seed_meet_the_same_injections() {
    let in_turn: Vec<&str> = ["t-a", "t-b"].into_iter().cycle().take(200).collect();
    let one_by_one: Vec<&str> = [vec!["t-a"; 100], vec!["t-b"; 100]].concat();
    let beside_others: Vec<&str> = ["t-b", "t-x", "t-a", "t-y"].into_iter().cycle().take(400).collect();
    let first = injections(&in_turn, 42).await;
    assert!(first["t-a"].iter().filter(|met| **met).count() > 10, "{first:?}");
    for order in [&in_turn, &one_by_one, &beside_others] {
        let again = injections(order, 42).await;
        assert_eq!(again["t-a"], first["t-a"]);
        assert_eq!(again["t-b"], first["t-b"]);
    }
    assert_ne!(injections(&in_turn, 43).await["t-a"], first["t-a"]);
}
