//! What protects, seen through whole sessions.

mod support;

use bytes::Bytes;
use std::{
    collections::BTreeSet,
    fs::{self, File, OpenOptions},
    io::Write,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};
use support::{Scripted, agreeable, heartbeat, start, start_with};
use tollgate::gateway::{Limits, Submitted};
use tollgate::policy::{load, watch::Watcher};
use tollgate::wire::record::{BatchBuilder, BatchHeader, HeadersBuf, Records, batches, with_codecs};
use tollgate::wire::{ApiKey, Payload, RequestBody, Response, ResponseBody, api::fetch, api::produce};

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

fn batch(values: &[&str]) -> Bytes {
    with_codecs(|_, compressor| {
        let mut builder = BatchBuilder::new(BatchHeader::default(), compressor);
        for value in values {
            builder.append(1_000, None, Some(value.as_bytes()), HeadersBuf::new().as_headers()).unwrap();
        }
        builder.finish().unwrap()
    })
}

fn produce(topic: &str, records: Bytes) -> produce::ProduceRequest {
    let partition_data =
        vec![produce::PartitionProduceData { records: Payload::Bytes(records), ..Default::default() }];
    let topic_data =
        vec![produce::TopicProduceData { name: topic.into(), partition_data, ..Default::default() }];
    produce::ProduceRequest { acks: -1, topic_data, ..Default::default() }
}

/// One worker, as a busy machine has: while closures look at a batch of very many records, others are served.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn closures_over_a_large_batch_do_not_stall_other_sessions() {
    const RECORDS: usize = 20_000;
    let slow = r#"on_produce("big").each(|cx, record| { let n = 0; while n < 10 { n += 1; } });"#;
    let running = start_with(Scripted::new(agreeable), Limits::default(), &[("slow.rhai", slow)]).await;
    let (mut heavy, mut other) = (running.client().await, running.client().await);
    other.ask(4, heartbeat("g")).await;
    heavy.send(12, "heavy", produce("big", batch(&vec!["v"; RECORDS]))).await;
    let generation = running.gateway.policies.current();
    let matched = || generation.policies[0].rules[0].life.counters.matched.load(Ordering::Relaxed);
    tokio::time::timeout(PATIENCE, async {
        while matched() == 0 {
            tokio::task::yield_now().await;
        }
    })
    .await
    .expect("the closures never began");
    other.ask(4, heartbeat("g")).await;
    assert!(matched() < RECORDS as u64, "answered only when the closures were done");
    heavy.receive(ApiKey::Produce, 12).await;
    assert_eq!(matched(), RECORDS as u64);
}

const EMAIL: &str = "ada@example.com";

/// A broker whose every partition holds one record in clear.
fn in_clear(_: &tollgate::gateway::Caller, mut request: tollgate::wire::Request) -> Submitted {
    let Ok(RequestBody::Fetch(asked)) = request.body().cloned() else {
        return agreeable_answer(request);
    };
    let records = batch(&[&format!("{{\"email\":\"{EMAIL}\"}}")]);
    let responses = asked.topics.iter().map(|topic| fetch::FetchableTopicResponse {
        topic: topic.topic.clone(),
        partitions: vec![fetch::FetchPartitionData {
            records: Payload::Bytes(records.clone()),
            ..Default::default()
        }],
        ..Default::default()
    });
    let body = fetch::FetchResponse { responses: responses.collect(), ..Default::default() };
    Submitted::Now(Some(Response::new(&request, body.into())))
}

fn agreeable_answer(mut request: tollgate::wire::Request) -> Submitted {
    Submitted::Now(support::agree(&mut request))
}

fn value(fetched: &fetch::FetchResponse) -> String {
    let payload = fetched.responses[0].partitions[0].records.to_bytes().unwrap();
    with_codecs(|decompressor, _| {
        let batch = batches(&payload).next().unwrap().unwrap();
        let record = Records::open(batch.bytes, &batch.header, decompressor, 1 << 20).unwrap().next();
        String::from_utf8(record.unwrap().unwrap().value.unwrap().to_vec()).unwrap()
    })
}

/// Waits, in a thread of its own, until something is so.
fn until(what: &str, holds: impl Fn() -> bool) {
    let since = Instant::now();
    while !holds() {
        assert!(since.elapsed() < PATIENCE, "{what}");
        std::thread::yield_now();
    }
}

/// Replaces a file as editors do. At each step somebody looks at the folder.
fn replace(way: usize, path: &Path, text: &str, look: &mut dyn FnMut()) {
    // what is there first is a whole policy without the mask
    let (head, tail) = text.split_at(text.rfind("on_fetch").unwrap());
    let in_pieces = |mut file: File, look: &mut dyn FnMut()| {
        look();
        for piece in [head, tail] {
            file.write_all(piece.as_bytes()).unwrap();
            look();
        }
    };
    match way {
        // written beside, and renamed over
        0 => {
            let beside = path.with_extension("tmp");
            fs::write(&beside, text).unwrap();
            look();
            fs::rename(&beside, path).unwrap();
        }
        // truncated and written
        1 => in_pieces(File::create(path).unwrap(), look),
        // moved away as a backup, and written anew
        2 => {
            fs::rename(path, path.with_extension("rhai~")).unwrap();
            look();
            in_pieces(File::create(path).unwrap(), look);
        }
        // written over in place
        3 => {
            in_pieces(OpenOptions::new().write(true).open(path).unwrap(), look);
            OpenOptions::new().write(true).open(path).unwrap().set_len(text.len() as u64).unwrap();
        }
        // deleted, and written anew
        _ => {
            fs::remove_file(path).unwrap();
            look();
            in_pieces(File::create(path).unwrap(), look);
        }
    }
}

fn masking(n: usize) -> String {
    let rules = "on_fetch(\"other\").audit();\n".repeat(1 + n % 4);
    format!(
        "policy(\"mask\", \"x\"); // version {n:04}\n{rules}on_fetch(\"t\").mask(\"$.email\", \"email\");\n"
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_replacements_of_a_mask_never_show_a_consumer_one_clear_value() {
    const REPLACEMENTS: usize = 1_000;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mask.rhai");
    fs::write(&path, masking(0)).unwrap();
    let running = start(Scripted::new(in_clear), Limits::default()).await;
    let policies = running.gateway.policies.clone();
    let scripts = load::read_folder(folder.path()).unwrap();
    policies.load(&scripts).unwrap();
    let mut watcher = Watcher::new(folder.path().to_owned(), policies.clone(), scripts).unwrap();

    let fetched = Arc::new(AtomicU64::new(0));
    let writing = std::thread::spawn({
        let (policies, fetched) = (policies.clone(), fetched.clone());
        move || {
            // fewer looks than it takes to believe that a file is gone; then a fetch that begins after them
            let mut look = || {
                (0..3).for_each(|_| watcher.look());
                let before = fetched.load(Ordering::Acquire);
                until("the consumer stands still", || fetched.load(Ordering::Acquire) >= before + 2);
            };
            for n in 1..=REPLACEMENTS {
                let text = masking(n);
                replace(n % 5, &path, &text, &mut look);
                let taken = || *policies.current().policies[0].info.text == *text;
                let steps = (0..10).take_while(|_| !taken()).inspect(|_| look()).count();
                assert!(taken(), "replacement {n} did not take effect in {steps} steps");
            }
        }
    });

    let mut consumer = running.client().await;
    let mut generations = BTreeSet::new();
    while !writing.is_finished() {
        let number = policies.number();
        let topic = fetch::FetchTopic {
            topic: "t".into(),
            partitions: vec![fetch::FetchPartition::default()],
            ..Default::default()
        };
        let body = fetch::FetchRequest { topics: vec![topic], ..Default::default() };
        let ResponseBody::Fetch(answer) = consumer.ask(11, body).await else { panic!("another answer") };
        assert_eq!(value(&answer), r#"{"email":"a**@example.com"}"#, "generation {number}");
        generations.insert(number);
        fetched.fetch_add(1, Ordering::Release);
    }
    writing.join().unwrap();
    assert!(policies.number() >= REPLACEMENTS as u64, "{} sets were in force", policies.number());
    assert!(generations.len() >= REPLACEMENTS / 2, "a consumer saw {} sets", generations.len());
}
