//! Incremental fetch sessions (KIP-227), in the order a consumer goes through them.

use tollgate::wire::api::{delete_topics, fetch};
use tollgate::wire::{Str, Uuid};

use crate::bench::*;

struct Consumer<'b> {
    bench: &'b Bench,
    id: i32,
    epoch: i32,
}

/// Partition and records, in the order of the answer.
type Told = Vec<(i32, usize)>;

impl Consumer<'_> {
    async fn fetch(&mut self, named: &[(Uuid, i32, i64)], forgotten: &[(Uuid, i32)]) -> (i16, Told) {
        let topics = named.iter().map(|(topic_id, partition, fetch_offset)| fetch::FetchTopic {
            topic_id: *topic_id,
            partitions: vec![fetch::FetchPartition {
                partition: *partition,
                fetch_offset: *fetch_offset,
                partition_max_bytes: 1 << 20,
                ..Default::default()
            }],
            ..Default::default()
        });
        let forgotten = forgotten.iter().map(|(topic_id, partition)| fetch::ForgottenTopic {
            topic_id: *topic_id,
            partitions: vec![*partition],
            ..Default::default()
        });
        let request = fetch::Request {
            replica_id: -1,
            session_id: self.id,
            session_epoch: self.epoch,
            topics: topics.collect(),
            forgotten_topics_data: forgotten.collect(),
            ..Default::default()
        };
        let answer = answer!(Fetch, self.bench.ask(13, request).await);
        if self.epoch == 0 {
            self.id = answer.session_id;
        } else if answer.error_code == 0 && self.epoch > 0 {
            assert_eq!(answer.session_id, self.id);
        } else {
            assert_eq!(answer.session_id, 0);
        }
        self.epoch += 1;
        let told = answer.responses.iter().flat_map(|topic| &topic.partitions);
        (answer.error_code, told.map(|p| (p.partition_index, values(&p.records).len())).collect())
    }
}

#[tokio::test]
async fn only_news_are_told() {
    let bench = Bench::new().await;
    let id = bench.create("t", 2).await;
    let other = bench.create("u", 1).await;
    bench.produce("t", 0, batch(&["a"])).await;
    let mut consumer = Consumer { bench: &bench, id: 0, epoch: 0 };
    assert_eq!(consumer.fetch(&[(id, 0, 0), (id, 1, 0)], &[]).await, (0, vec![(0, 1), (1, 0)]));
    assert_ne!(consumer.id, 0);
    assert_eq!(consumer.fetch(&[], &[]).await, (0, vec![(0, 1)]), "the offset has not moved");
    assert_eq!(consumer.fetch(&[(id, 0, 1)], &[]).await, (0, vec![]));
    assert_eq!(consumer.fetch(&[], &[]).await, (0, vec![]));
    bench.produce("t", 1, batch(&["c"])).await;
    bench.produce("t", 0, batch(&["b"])).await;
    // Who got records last is served last.
    assert_eq!(consumer.fetch(&[], &[]).await, (0, vec![(1, 1), (0, 1)]));
    assert_eq!(consumer.fetch(&[(id, 0, 2)], &[(id, 1)]).await, (0, vec![]));
    assert_eq!(consumer.fetch(&[(other, 0, 0)], &[]).await, (0, vec![(0, 0)]), "new in the session");
    // An unknown topic is told of each time; deletion too, and its end when the id is gone for good.
    let (code, told) = consumer.fetch(&[(Uuid([5; 16]), 0, 0)], &[]).await;
    assert_eq!((code, told.len()), (0, 1));
    assert_eq!(consumer.fetch(&[], &[]).await.1.len(), 1);
    let delete = delete_topics::Request { topic_names: vec![Str::from("u")], ..Default::default() };
    answer!(DeleteTopics, bench.ask(5, delete).await);
    assert_eq!(consumer.fetch(&[], &[(Uuid([5; 16]), 0)]).await.1.len(), 1);
    // Another epoch than the next one.
    consumer.epoch += 1;
    assert_eq!(consumer.fetch(&[], &[]).await, (71, vec![]));
}

#[tokio::test]
async fn sessions_end_and_unknown_ones_are_refused() {
    let bench = Bench::new().await;
    let id = bench.create("t", 1).await;
    bench.produce("t", 0, batch(&["a"])).await;
    let mut consumer = Consumer { bench: &bench, id: 0, epoch: 0 };
    consumer.fetch(&[(id, 0, 0)], &[]).await;
    let session = consumer.id;
    consumer.epoch = -1;
    assert_eq!(consumer.fetch(&[], &[]).await, (0, vec![]));
    (consumer.id, consumer.epoch) = (session, 1);
    assert_eq!(consumer.fetch(&[], &[]).await, (70, vec![]));
    // Without a session, and one that makes place for another.
    (consumer.id, consumer.epoch) = (0, -1);
    assert_eq!(consumer.fetch(&[(id, 0, 0)], &[]).await, (0, vec![(0, 1)]));
    (consumer.id, consumer.epoch) = (0, 0);
    consumer.fetch(&[(id, 0, 0)], &[]).await;
    let replaced = consumer.id;
    consumer.epoch = 0;
    assert_eq!(consumer.fetch(&[(id, 0, 0)], &[]).await, (0, vec![(0, 1)]));
    assert_ne!(consumer.id, replaced);
    (consumer.id, consumer.epoch) = (replaced, 1);
    assert_eq!(consumer.fetch(&[], &[]).await.0, 70);
}

#[tokio::test]
async fn a_session_keeps_to_names_or_ids() {
    let bench = Bench::new().await;
    bench.create("t", 1).await;
    let full = fetch::Request { session_epoch: 0, ..fetch_from("t", 0, 0) };
    let session_id = answer!(Fetch, bench.ask(12, full).await).session_id;
    let next = fetch::Request { session_id, session_epoch: 1, replica_id: -1, ..Default::default() };
    assert_eq!(answer!(Fetch, bench.ask(13, next.clone()).await).error_code, 106);
    assert_eq!(answer!(Fetch, bench.ask(12, next).await).error_code, 0);
}

#[tokio::test]
async fn without_slots_there_are_no_sessions() {
    let bench = Bench::with(&[("max.incremental.fetch.session.cache.slots", "0")]).await;
    bench.create("t", 1).await;
    let full = fetch::Request { session_epoch: 0, ..fetch_from("t", 0, 0) };
    let answer = answer!(Fetch, bench.ask(12, full).await);
    assert_eq!((answer.session_id, answer.responses.len()), (0, 1));
}
