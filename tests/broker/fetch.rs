//! Fetch: bounds, errors, epochs, and waiting.

use std::time::Duration;

use tollgate::broker::Reply;
use tollgate::wire::api::{delete_topics, fetch, offset_for_leader_epoch};
use tollgate::wire::{ResponseBody, Str, Uuid};

use crate::bench::*;

async fn three_batches(bench: &Bench) -> usize {
    bench.create("t", 2).await;
    for values in [["a", "b"], ["c", "d"], ["e", "f"]] {
        bench.produce("t", 0, batch(&values)).await;
    }
    batch(&["a", "b"]).len()
}

fn first(body: ResponseBody) -> fetch::FetchPartitionData {
    answer!(Fetch, body).responses.remove(0).partitions.remove(0)
}

#[tokio::test]
async fn every_version_gives_the_same_records() {
    let bench = Bench::new().await;
    let id = bench.create("t", 1).await;
    bench.produce("t", 0, batch(&["a", "b"])).await;
    for version in 4..=18 {
        let mut request = fetch_from("t", 0, 0);
        request.topics[0].topic_id = id;
        let data = first(bench.ask(version, request).await);
        assert_eq!((data.error_code, data.high_watermark, data.last_stable_offset), (0, 2, 2));
        assert_eq!(data.aborted_transactions, None);
        assert_eq!(values(&data.records).len(), 2, "version {version}");
    }
}

#[tokio::test]
async fn bounds_are_kept_but_one_batch_always_comes() {
    let bench = Bench::new().await;
    let len = three_batches(&bench).await;
    for n in 0..3 {
        bench.produce("t", 1, batch(&[&n.to_string(), "x"])).await;
    }
    let lens = |max_bytes: i32, partition_max_bytes: i32| {
        let mut request = fetch_from("t", 0, 0);
        request.max_bytes = max_bytes;
        let second = fetch::FetchPartition { partition: 1, ..request.topics[0].partitions[0].clone() };
        request.topics[0].partitions.push(second);
        request.topics[0].partitions.iter_mut().for_each(|p| p.partition_max_bytes = partition_max_bytes);
        let bench = &bench;
        async move {
            let answer = answer!(Fetch, bench.ask(12, request).await);
            answer.responses[0].partitions.iter().map(|p| p.records.len()).collect::<Vec<_>>()
        }
    };
    let len = len as i32;
    let both = |a: i32, b: i32| vec![a as usize * len as usize, b as usize * len as usize];
    assert_eq!(lens(i32::MAX, i32::MAX).await, both(3, 3));
    assert_eq!(lens(i32::MAX, 2 * len).await, both(2, 2));
    assert_eq!(lens(i32::MAX, 1).await, both(1, 0), "only the first may go over");
    for nothing in [1, 0, -5] {
        assert_eq!(lens(nothing, i32::MAX).await, both(1, 0));
    }
    assert_eq!(lens(4 * len, i32::MAX).await, both(3, 1));
    assert_eq!(lens(4 * len + len / 2, 2 * len).await, both(2, 2));
}

#[tokio::test]
async fn the_batch_that_holds_the_offset_comes_whole() {
    let bench = Bench::new().await;
    three_batches(&bench).await;
    for (offset, from) in [(0, 0), (1, 0), (3, 2), (5, 4)] {
        assert_eq!(values(&bench.fetch("t", 0, offset).await.records)[0].0, from);
    }
    let end = bench.fetch("t", 0, 6).await;
    assert_eq!((end.error_code, end.high_watermark, end.records.len()), (0, 6, 0));
}

#[tokio::test]
async fn errors_are_those_of_kafka() {
    let bench = Bench::new().await;
    three_batches(&bench).await;
    for (offset, code) in [(7, 1), (-1, 1)] {
        let data = bench.fetch("t", 0, offset).await;
        assert_eq!((data.error_code, data.high_watermark, data.log_start_offset), (code, -1, -1));
        assert_eq!(data.aborted_transactions, None);
    }
    for (topic, partition) in [("t", 9), ("t", -1), ("nope", 0), ("", 0)] {
        let data = bench.fetch(topic, partition, 0).await;
        assert_eq!((data.error_code, data.aborted_transactions), (3, Some(vec![])), "{topic} {partition}");
    }
    let mut unknown = fetch_from("", 0, 0);
    unknown.topics[0].topic_id = Uuid([9; 16]);
    assert_eq!(first(bench.ask(13, unknown).await).error_code, 100);
    let replica = fetch::Request { replica_id: 5, ..fetch_from("t", 0, 0) };
    assert_eq!(first(bench.ask(12, replica).await).error_code, 6);
    let empty =
        answer!(Fetch, bench.ask(12, fetch::Request { topics: vec![], ..fetch_from("t", 0, 0) }).await);
    assert!(empty.responses.is_empty() && empty.error_code == 0);
}

#[tokio::test]
async fn leader_epochs_are_compared() {
    let bench = Bench::new().await;
    let id = bench.create("t", 1).await;
    bench.produce("t", 0, batch(&["a"])).await;
    let bench = bench.restart().await;
    bench.produce("t", 0, batch(&["b", "c"])).await;
    let with = |current: i32, fetched: i32, offset: i64| {
        let mut request = fetch_from("t", 0, offset);
        request.topics[0].topic_id = id;
        let partition = &mut request.topics[0].partitions[0];
        (partition.current_leader_epoch, partition.last_fetched_epoch) = (current, fetched);
        request
    };
    for (current, code) in [(-1, 0), (0, 74), (1, 0), (2, 75)] {
        assert_eq!(first(bench.ask(12, with(current, -1, 0)).await).error_code, code, "epoch {current}");
    }
    let fenced = answer!(Fetch, bench.ask(16, with(0, -1, 0)).await);
    assert_eq!(fenced.responses[0].partitions[0].current_leader.leader_epoch, 1);
    assert_eq!(fenced.node_endpoints[0].port, 9092);
    // Read to offset 3 in epoch 0, which ended at 1: truncate to there.
    let diverging = first(bench.ask(12, with(-1, 0, 3)).await);
    assert_eq!((diverging.diverging_epoch.epoch, diverging.diverging_epoch.end_offset), (0, 1));
    assert_eq!((diverging.error_code, diverging.records.len()), (0, 0));
    assert_eq!(first(bench.ask(12, with(-1, 0, 1)).await).records.len(), batch(&["b", "c"]).len());
    assert_eq!(first(bench.ask(12, with(-1, 1, 1)).await).diverging_epoch.epoch, -1);
    assert_eq!(first(bench.ask(12, with(-1, 7, 1)).await).error_code, 1, "an epoch yet to come");

    let ask = |current: i32, epoch: i32| offset_for_leader_epoch::Request {
        topics: vec![offset_for_leader_epoch::OffsetForLeaderTopic {
            topic: Str::from("t"),
            partitions: [0, 5]
                .map(|partition| offset_for_leader_epoch::OffsetForLeaderPartition {
                    partition,
                    current_leader_epoch: current,
                    leader_epoch: epoch,
                    ..Default::default()
                })
                .into(),
            ..Default::default()
        }],
        ..Default::default()
    };
    for version in 2..=4 {
        for (current, epoch, expected) in [
            (-1, 0, (0, 0, 1)),
            (-1, 1, (0, 1, 3)),
            (1, 9, (0, -1, -1)),
            (0, 0, (74, -1, -1)),
            (2, 0, (75, -1, -1)),
        ] {
            let answer = answer!(OffsetForLeaderEpoch, bench.ask(version, ask(current, epoch)).await);
            let [known, unknown] = &answer.topics[0].partitions[..] else { panic!() };
            assert_eq!((known.error_code, known.leader_epoch, known.end_offset), expected);
            assert_eq!((unknown.error_code, unknown.end_offset), (3, -1));
        }
    }
}

/// Lets what is ready run, until the reply waits for time or news.
async fn pending(
    bench: &Bench,
    reply: Reply,
    sleepers: usize,
) -> tokio::task::JoinHandle<Option<ResponseBody>> {
    let waiting = tokio::spawn(settle(reply));
    while bench.hand.waiting() < sleepers {
        tokio::task::yield_now().await;
    }
    waiting
}

fn waiting_fetch(offset: i64, min_bytes: i32, max_wait_ms: i32) -> fetch::Request {
    fetch::Request { min_bytes, max_wait_ms, ..fetch_from("t", 0, offset) }
}

#[tokio::test]
async fn a_fetch_waits_for_records_and_no_longer() {
    let bench = Bench::new().await;
    bench.create("t", 1).await;
    // One sleeper is the broker's own clock work.
    let waiting = pending(&bench, bench.submit(12, waiting_fetch(0, 1, 500)), 2).await;
    bench.produce("t", 0, batch(&["a"])).await;
    let data = first(waiting.await.unwrap().unwrap());
    assert_eq!((data.high_watermark, values(&data.records).len()), (1, 1));
    assert_eq!(bench.hand.waiting(), 1, "its timer is gone");

    let waiting = pending(&bench, bench.submit(12, waiting_fetch(1, 1, 500)), 2).await;
    bench.hand.advance(Duration::from_millis(499));
    tokio::task::yield_now().await;
    assert!(!waiting.is_finished());
    bench.hand.advance(Duration::from_millis(1));
    assert_eq!(first(waiting.await.unwrap().unwrap()).records.len(), 0);
}

#[tokio::test]
async fn min_bytes_are_waited_for_and_given_at_the_time_limit() {
    let bench = Bench::new().await;
    bench.create("t", 1).await;
    let len = batch(&["a"]).len() as i32;
    let waiting = pending(&bench, bench.submit(12, waiting_fetch(0, 3 * len, 500)), 2).await;
    for _ in 0..2 {
        bench.produce("t", 0, batch(&["a"])).await;
    }
    tokio::task::yield_now().await;
    assert!(!waiting.is_finished());
    bench.produce("t", 0, batch(&["a"])).await;
    assert_eq!(values(&first(waiting.await.unwrap().unwrap()).records).len(), 3);
    let waiting = pending(&bench, bench.submit(12, waiting_fetch(2, 3 * len, 500)), 2).await;
    bench.hand.advance(Duration::from_millis(500));
    assert_eq!(values(&first(waiting.await.unwrap().unwrap()).records).len(), 1);
    // More than min.bytes could ever be, or more than fits: what there is is enough.
    let data = first(bench.ask(12, fetch::Request { max_bytes: 1, ..waiting_fetch(0, i32::MAX, 500) }).await);
    assert_eq!(values(&data.records).len(), 1);
}

#[tokio::test]
async fn errors_and_deletion_end_the_wait() {
    let bench = Bench::new().await;
    bench.create("t", 1).await;
    let mut request = waiting_fetch(0, 1, 500);
    request.topics.extend(fetch_from("nope", 0, 0).topics);
    let answer = answer!(Fetch, bench.ask(12, request).await);
    assert_eq!(answer.responses[1].partitions[0].error_code, 3);

    let waiting = pending(&bench, bench.submit(12, waiting_fetch(0, 1, 500)), 2).await;
    let delete = delete_topics::Request { topic_names: vec![Str::from("t")], ..Default::default() };
    answer!(DeleteTopics, bench.ask(5, delete).await);
    assert_eq!(first(waiting.await.unwrap().unwrap()).error_code, 3);
}

#[tokio::test]
async fn many_waiters_are_all_told() {
    let bench = Bench::new().await;
    bench.create("t", 1).await;
    let mut waiters = Vec::new();
    for n in 0..50 {
        waiters.push(pending(&bench, bench.submit(12, waiting_fetch(0, 1, 500)), 2 + n).await);
    }
    bench.produce("t", 0, batch(&["a"])).await;
    for waiter in waiters {
        assert_eq!(values(&first(waiter.await.unwrap().unwrap()).records).len(), 1);
    }
}

#[tokio::test]
async fn a_broker_that_closes_answers_fetches_that_wait() {
    let bench = Bench::new().await;
    bench.create("t", 1).await;
    let waiting = pending(&bench, bench.submit(12, waiting_fetch(0, 1, 60_000)), 2).await;
    bench.broker.stop_waiting().await;
    assert_eq!(first(waiting.await.unwrap().unwrap()).records.len(), 0);
    // Nor does one that comes now wait.
    let data = first(settle(bench.submit(12, waiting_fetch(0, 1, 60_000))).await.unwrap());
    assert_eq!((data.error_code, data.records.len()), (0, 0));
    // What is asked for is still done.
    assert_eq!(bench.produce("t", 0, batch(&["a"])).await.error_code, 0);
}
