//! Records on their way to dead-letter topics: what reaches the upstream, in which order, and what the client is told. The
//! upstream is written by the tests.

mod support;

use bytes::Bytes;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use support::{Scripted, agree, heartbeat, start_with};
use tokio::sync::Semaphore;
use tollgate::gateway::{Caller, Limits, Submitted};
use tollgate::policy::load::Script;
use tollgate::wire::api::{metadata, produce::*};
use tollgate::wire::record::{BatchBuilder, BatchHeader, Compressor, Decompressor, Records, batches};
use tollgate::wire::{ApiKey, ErrorCode, Payload, Request, RequestBody, Response, ResponseBody, Str};

const ROUTE: (&str, &str) =
    ("p.rhai", r#"policy("p", "x"); on_produce("orders").value("$.bad", true).route("dlq", "bad");"#);
const BAD: &str = r#"{"bad":true}"#;

/// Topics that answer as they are told, and keep what they take.
#[derive(Default)]
struct Topics {
    /// Answers to produces, by topic; else they are taken.
    codes: HashMap<&'static str, ErrorCode>,
    /// The dead-letter topic answers when there is a permit.
    hold: Option<Arc<Semaphore>>,
}

fn answer(topics: &Mutex<Topics>, _: &Caller, mut request: Request) -> Submitted {
    let topics = topics.lock().unwrap();
    let body = request.body().unwrap().clone();
    match body {
        RequestBody::Metadata(asked) => {
            let partition = metadata::MetadataResponsePartition::default();
            let found =
                asked.topics.unwrap_or_default().into_iter().map(|topic| metadata::MetadataResponseTopic {
                    name: topic.name,
                    partitions: vec![partition.clone(); 2],
                    ..Default::default()
                });
            let said = metadata::MetadataResponse { topics: found.collect(), ..Default::default() };
            Submitted::Now(Some(Response::new(&request, said.into())))
        }
        RequestBody::Produce(asked) => {
            let mut said = agree(&mut request);
            let mut to_dlq = false;
            if let Some(Response { body: ResponseBody::Produce(said), .. }) = &mut said {
                for topic in &mut said.responses {
                    to_dlq |= &*topic.name == "dlq";
                    if let Some(code) = topics.codes.get(&*topic.name) {
                        topic.partition_responses.iter_mut().for_each(|p| p.error_code = code.0);
                    }
                }
            }
            if asked.acks == 0 {
                return Submitted::Now(None);
            }
            match &topics.hold {
                Some(hold) if to_dlq => {
                    let hold = hold.clone();
                    Submitted::Later {
                        response: Box::pin(async move {
                            hold.acquire().await.unwrap().forget();
                            said
                        }),
                        barrier: false,
                    }
                }
                _ => Submitted::Now(said),
            }
        }
        _ => Submitted::Now(agree(&mut request)),
    }
}

fn upstream(topics: Topics) -> Arc<Scripted<impl Fn(&Caller, Request) -> Submitted + Send + Sync>> {
    let topics = Mutex::new(topics);
    Scripted::new(move |caller: &Caller, request| answer(&topics, caller, request))
}

fn batch(values: &[&str], producer_id: i64, base_sequence: i32) -> Bytes {
    let mut compressor = Compressor::default();
    let header = BatchHeader { producer_id, producer_epoch: 0, base_sequence, ..Default::default() };
    let mut builder = BatchBuilder::new(header, &mut compressor);
    for value in values {
        builder.append(1, None, Some(value.as_bytes()), Default::default()).unwrap();
    }
    builder.finish().unwrap()
}

fn values(payload: &Payload) -> Vec<String> {
    let payload = payload.to_bytes().unwrap();
    let mut all = Vec::new();
    for batch in batches(&payload) {
        let batch = batch.unwrap();
        let mut decompressor = Decompressor::new();
        for record in Records::open(batch.bytes, &batch.header, &mut decompressor, 1 << 20).unwrap() {
            all.push(String::from_utf8_lossy(record.unwrap().value.unwrap_or_default()).into_owned());
        }
    }
    all
}

fn orders(parts: &[(&str, Bytes)], acks: i16) -> ProduceRequest {
    let topic = |(name, payload): &(&str, Bytes)| TopicProduceData {
        name: Str::from(*name),
        partition_data: vec![PartitionProduceData {
            index: 3,
            records: Payload::Bytes(payload.clone()),
            ..Default::default()
        }],
        ..Default::default()
    };
    ProduceRequest {
        acks,
        timeout_ms: 1_000,
        topic_data: parts.iter().map(topic).collect(),
        ..Default::default()
    }
}

/// What reached the upstream in Produce requests: acks, topic, partition, values.
fn stored(asked: &Mutex<Vec<(String, RequestBody)>>) -> Vec<(i16, String, i32, Vec<String>)> {
    let mut all = Vec::new();
    for (_, body) in asked.lock().unwrap().iter() {
        let RequestBody::Produce(body) = body else { continue };
        for topic in &body.topic_data {
            for partition in &topic.partition_data {
                all.push((body.acks, topic.name.to_string(), partition.index, values(&partition.records)));
            }
        }
    }
    all
}

fn told(body: ResponseBody) -> Vec<(String, ErrorCode, i64, Option<String>)> {
    let ResponseBody::Produce(body) = body else { panic!("{body:?}") };
    let topics = body.responses.iter();
    let parts = topics.flat_map(|topic| {
        topic.partition_responses.iter().map(|p| {
            let message = p.error_message.as_ref().map(|message| message.to_string());
            (topic.name.to_string(), ErrorCode(p.error_code), p.base_offset, message)
        })
    });
    parts.collect()
}

#[tokio::test]
async fn letters_come_first_and_whole_batches_are_answered_as_stored() {
    let upstream = upstream(Topics::default());
    let running = start_with(upstream.clone(), Limits::default(), &[ROUTE]).await;
    let mut client = running.client().await;
    let parts = [("orders", batch(&["{}", BAD], -1, -1)), ("audit", batch(&[BAD], -1, -1))];
    for acks in [1, -1] {
        upstream.asked.lock().unwrap().clear();
        let said = told(client.ask(9, orders(&parts, acks)).await);
        assert_eq!(
            said,
            [("orders".into(), ErrorCode::NONE, 7, None), ("audit".into(), ErrorCode::NONE, 7, None)]
        );
        assert_eq!(
            stored(&upstream.asked),
            [
                // of two partitions
                (-1, "dlq".to_owned(), 1, vec![BAD.to_owned()]),
                (acks, "orders".to_owned(), 3, vec!["{}".to_owned()]),
                (acks, "audit".to_owned(), 3, vec![BAD.to_owned()]),
            ]
        );
    }
    upstream.asked.lock().unwrap().clear();
    let said = told(client.ask(9, orders(&[("orders", batch(&[BAD], -1, -1))], -1)).await);
    assert_eq!(said, [("orders".into(), ErrorCode::NONE, -1, None)]);
    assert_eq!(upstream.apis(), [ApiKey::Metadata, ApiKey::Produce]);
}

#[tokio::test]
async fn what_the_dead_letter_topic_does_not_take_is_refused_and_the_rest_not_stored() {
    for (code, told_as) in [
        (ErrorCode::NOT_ENOUGH_REPLICAS, ErrorCode::NOT_ENOUGH_REPLICAS),
        (ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, ErrorCode::NOT_ENOUGH_REPLICAS),
        (ErrorCode::TOPIC_AUTHORIZATION_FAILED, ErrorCode::INVALID_RECORD),
        (ErrorCode::MESSAGE_TOO_LARGE, ErrorCode::INVALID_RECORD),
    ] {
        let upstream = upstream(Topics { codes: [("dlq", code)].into(), hold: None });
        let running = start_with(upstream.clone(), Limits::default(), &[ROUTE]).await;
        let mut client = running.client().await;
        let parts = [("orders", batch(&["{}", BAD], -1, -1)), ("audit", batch(&[BAD], -1, -1))];
        let said = told(client.ask(9, orders(&parts, -1)).await);
        assert_eq!((said[0].1, said[0].2), (told_as, -1), "{code}");
        assert!(said[0].3.as_ref().unwrap().contains(&format!("dlq does not take them: {code}")), "{said:?}");
        assert_eq!(said[1].1, ErrorCode::NONE);
        let topics: Vec<_> = stored(&upstream.asked).into_iter().map(|(_, topic, ..)| topic).collect();
        assert!(!topics.contains(&"orders".to_owned()) && topics.contains(&"audit".to_owned()), "{topics:?}");
        // without an answer there is only one way to say it
        client.send(9, "c", orders(&parts[..1], 0)).await;
        client.closed().await.unwrap();
    }
}

#[tokio::test]
async fn a_batch_that_comes_again_brings_its_letters_once() {
    let hold = Arc::new(Semaphore::new(0));
    let upstream = upstream(Topics { hold: Some(hold.clone()), ..Default::default() });
    let running = start_with(upstream.clone(), Limits::default(), &[ROUTE]).await;
    let payload = batch(&["{}", BAD], 7, 0);
    let produces = || stored(&upstream.asked).len();
    let mut first = running.client().await;
    first.send(9, "c", orders(&[("orders", payload.clone())], -1)).await;
    while produces() == 0 {
        tokio::task::yield_now().await;
    }
    // its client gives up on it, and comes again while the letter is under way
    drop(first);
    let mut second = running.client().await;
    second.send(9, "c", orders(&[("orders", payload.clone())], -1)).await;
    let mut other = running.client().await;
    other.ask(4, heartbeat("settle")).await;
    hold.add_permits(1);
    let said = told(second.receive(ApiKey::Produce, 9).await.body);
    assert_eq!(said[0].1, ErrorCode::NONE);
    // and once more, when it has arrived
    assert_eq!(told(second.ask(9, orders(&[("orders", payload)], -1)).await)[0].1, ErrorCode::NONE);
    let letters = stored(&upstream.asked).into_iter().filter(|(_, topic, ..)| topic == "dlq").count();
    assert_eq!(letters, 1);
}

#[tokio::test]
async fn the_next_request_waits_for_the_letters() {
    let hold = Arc::new(Semaphore::new(0));
    let upstream = upstream(Topics { hold: Some(hold.clone()), ..Default::default() });
    let running = start_with(upstream.clone(), Limits::default(), &[ROUTE]).await;
    let mut client = running.client().await;
    client.send(9, "c", orders(&[("orders", batch(&["{}", BAD], 7, 0))], -1)).await;
    client.send(9, "c", orders(&[("orders", batch(&["{}"], 7, 2))], -1)).await;
    while stored(&upstream.asked).is_empty() {
        tokio::task::yield_now().await;
    }
    running.client().await.ask(4, heartbeat("settle")).await;
    assert_eq!(stored(&upstream.asked).len(), 1, "nothing but the letter");
    hold.add_permits(1);
    for _ in 0..2 {
        let said = client.receive(ApiKey::Produce, 9).await.body;
        assert_eq!(told(said)[0].1, ErrorCode::NONE);
    }
    let order: Vec<_> = stored(&upstream.asked).into_iter().map(|(_, topic, ..)| topic).collect();
    assert_eq!(order, ["dlq", "orders", "orders"]);
}

#[tokio::test]
async fn a_lost_answer_leaves_letters_and_rest_stored() {
    let script = format!("{}\non_produce(\"orders\").first(1).lose_response();", ROUTE.1);
    let upstream = upstream(Topics::default());
    let running = start_with(upstream.clone(), Limits::default(), &[("p.rhai", &script)]).await;
    let payload = batch(&["{}", BAD], 7, 0);
    let mut client = running.client().await;
    client.send(9, "c", orders(&[("orders", payload.clone())], -1)).await;
    let both = async {
        while stored(&upstream.asked).len() < 2 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), both).await.unwrap();
    let mut again = running.client().await;
    again.send(9, "c", orders(&[("orders", payload)], -1)).await;
    assert_eq!(told(again.receive(ApiKey::Produce, 9).await.body)[0].1, ErrorCode::NONE);
    let topics: Vec<_> = stored(&upstream.asked).into_iter().map(|(_, topic, ..)| topic).collect();
    assert_eq!(topics, ["dlq", "orders", "orders"], "which the broker knows by its numbers");
}

#[tokio::test]
async fn who_waits_for_letters_in_the_same_request_hears_that_they_are_lost() {
    let upstream =
        upstream(Topics { codes: [("dlq", ErrorCode::TOPIC_AUTHORIZATION_FAILED)].into(), hold: None });
    let running = start_with(upstream.clone(), Limits::default(), &[ROUTE]).await;
    let mut client = running.client().await;
    let payload = batch(&["{}", BAD], 7, 0);
    let twice = orders(&[("orders", payload.clone()), ("orders", payload)], -1);
    let said = tokio::time::timeout(Duration::from_secs(30), client.ask(9, twice)).await.unwrap();
    let codes: Vec<_> = told(said).into_iter().map(|(_, code, ..)| code).collect();
    assert_eq!(codes, [ErrorCode::INVALID_RECORD, ErrorCode::NOT_ENOUGH_REPLICAS]);
}

#[tokio::test]
async fn letters_that_go_elsewhere_by_now_have_not_arrived() {
    let rules = |first: &str, second: &str| {
        format!(
            r#"policy("p", "x"); on_produce("orders").value("$.bad", true).value("$.n", {first}).route("first");
               on_produce("orders").value("$.bad", true).value("$.n", {second}).route("dlq");"#
        )
    };
    let upstream = upstream(Topics { codes: [("dlq", ErrorCode::MESSAGE_TOO_LARGE)].into(), hold: None });
    let running = start_with(upstream.clone(), Limits::default(), &[("p.rhai", &rules("1", "2"))]).await;
    let mut client = running.client().await;
    let (one, two) = (r#"{"bad":true,"n":1}"#, r#"{"bad":true,"n":2}"#);
    let payload = batch(&[one, two], 7, 0);
    let letters = || -> Vec<_> {
        stored(&upstream.asked).into_iter().map(|(_, topic, _, values)| (topic, values)).collect()
    };
    let to = |topic: &str, value: &str| (topic.to_owned(), vec![value.to_owned()]);
    client.ask(9, orders(&[("orders", payload.clone())], -1)).await;
    assert_eq!(letters(), [to("first", one), to("dlq", two)]);
    // what has arrived is not sent again
    upstream.asked.lock().unwrap().clear();
    client.ask(9, orders(&[("orders", payload.clone())], -1)).await;
    assert_eq!(letters(), [to("dlq", two)]);
    // the same records, the other way round
    let text = rules("2", "1");
    running.gateway.policies.load(&[Script { file: "p.rhai".into(), text: text.as_str().into() }]).unwrap();
    upstream.asked.lock().unwrap().clear();
    client.ask(9, orders(&[("orders", payload)], -1)).await;
    assert_eq!(letters(), [to("dlq", one)]);
}

#[tokio::test]
async fn the_numbers_of_a_batch_that_its_broker_refused_are_free_again() {
    let upstream = upstream(Topics { codes: [("orders", ErrorCode::MESSAGE_TOO_LARGE)].into(), hold: None });
    let running = start_with(upstream.clone(), Limits::default(), &[ROUTE]).await;
    let mut client = running.client().await;
    for (values, number) in [(&["{}", BAD, "{}"][..], 0), (&["{}"], 3)] {
        upstream.asked.lock().unwrap().clear();
        client.ask(9, orders(&[("orders", batch(values, 7, number))], -1)).await;
        let asked = upstream.asked.lock().unwrap();
        let Some((_, RequestBody::Produce(body))) = asked.last() else { panic!() };
        let payload = body.topic_data[0].partition_data[0].records.to_bytes().unwrap();
        assert_eq!(BatchHeader::parse(&payload).unwrap().base_sequence, number);
    }
}
