//! What protects, seen through whole sessions.

mod support;

use bytes::Bytes;
use std::sync::atomic::Ordering;
use support::{Scripted, agreeable, heartbeat, start_with};
use tollgate::gateway::Limits;
use tollgate::wire::record::{BatchBuilder, BatchHeader, HeadersBuf, with_codecs};
use tollgate::wire::{ApiKey, Payload, api::produce};

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
    tokio::time::timeout(std::time::Duration::from_secs(20), async {
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
