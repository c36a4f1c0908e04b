//! Records lost on purpose, as after an unclean election: what consumers and producers find.

use tollgate::storage::files::Crash;
use tollgate::wire::Str;
use tollgate::wire::api::{metadata, offset_for_leader_epoch};

use crate::bench::*;

fn epoch(bench: &Bench) -> i32 {
    bench.broker.catalogue().topic("t").unwrap().partition(0).unwrap().leader_epoch()
}

/// Cuts partition 0 of `t` and waits until it is led again; says in which epoch.
async fn truncate(bench: &Bench, records: u64) -> i32 {
    let before = epoch(bench);
    assert!(bench.broker.truncate("t", 0, records));
    while epoch(bench) == before {
        tokio::task::yield_now().await;
    }
    epoch(bench)
}

/// Where an epoch ended, as a consumer asks that knows of the present one.
async fn end_of(bench: &Bench, leader_epoch: i32) -> (i32, i64) {
    let partition = offset_for_leader_epoch::OffsetForLeaderPartition {
        current_leader_epoch: epoch(bench),
        leader_epoch,
        ..Default::default()
    };
    let topic = offset_for_leader_epoch::OffsetForLeaderTopic {
        topic: Str::from("t"),
        partitions: vec![partition],
        ..Default::default()
    };
    let request = offset_for_leader_epoch::Request { topics: vec![topic], ..Default::default() };
    let answer = answer!(OffsetForLeaderEpoch, bench.ask(4, request).await);
    let partition = &answer.topics[0].partitions[0];
    assert_eq!(partition.error_code, 0);
    (partition.leader_epoch, partition.end_offset)
}

async fn stored(bench: &Bench) -> Vec<(i64, String)> {
    values(&bench.fetch("t", 0, 0).await.records)
}

fn texts(values: &[&str]) -> Vec<(i64, String)> {
    (0..).zip(values.iter().map(|value| (*value).to_owned())).collect()
}

#[tokio::test]
async fn what_is_lost_is_lost_to_everybody() {
    let bench = Bench::new().await;
    bench.create("t", 2).await;
    for n in 0..8 {
        let answer = bench.produce("t", 0, sequenced(1, 0, n, &[&n.to_string()])).await;
        assert_eq!((answer.error_code, answer.base_offset), (0, i64::from(n)));
    }
    let old = epoch(&bench);
    let new = truncate(&bench, 5).await;
    assert!(new > old);
    let answer = answer!(Metadata, bench.ask(12, metadata::Request::default()).await);
    let epochs: Vec<i32> = answer.topics[0].partitions.iter().map(|p| p.leader_epoch).collect();
    assert_eq!(epochs, [new, old], "nobody else is led anew");

    // Consumers: the high watermark fell, and the old epoch ended before what they read.
    let fetched = bench.fetch("t", 0, 7).await;
    assert_eq!(fetched.error_code, 1, "out of range");
    assert_eq!(bench.fetch("t", 0, 0).await.high_watermark, 3);
    assert_eq!(end_of(&bench, old).await, (old, 3));
    // Producers: of the lost batches nothing is remembered, of the others everything.
    let produce = async |sequence, value: &str| {
        let answer = bench.produce("t", 0, sequenced(1, 0, sequence, &[value])).await;
        (answer.error_code, answer.base_offset)
    };
    assert_eq!(produce(8, "8").await, (45, -1), "what came before is not there");
    assert_eq!(produce(2, "2").await, (0, 2), "a repetition");
    assert_eq!(produce(3, "other").await, (0, 3), "no repetition of what is lost");
    assert_eq!(stored(&bench).await, texts(&["0", "1", "2", "other"]));
    assert_eq!((end_of(&bench, old).await, end_of(&bench, new).await), ((old, 3), (new, 4)));
}

#[tokio::test]
async fn a_restart_finds_the_same_in_a_later_epoch() {
    let bench = Bench::new().await;
    bench.create("t", 1).await;
    for n in 0..6 {
        bench.produce("t", 0, sequenced(1, 0, n, &[&n.to_string()])).await;
    }
    // The clean end writes down what is known of producers; a truncation makes that untrue.
    let bench = bench.restart().await;
    let mut known = epoch(&bench);
    for (cut, left) in [(2, 4), (1, 4)] {
        let led = truncate(&bench, cut).await;
        assert!(led > known);
        known = led;
        let answer = bench.produce("t", 0, sequenced(1, 0, 4, &["new"])).await;
        assert_eq!((answer.error_code, answer.base_offset), (0, left));
    }
    for crash in [Crash::Process, Crash::Power { seed: 5 }] {
        let again = bench.crashed(crash).await;
        assert!(epoch(&again) > known, "{crash:?}");
        assert_eq!(stored(&again).await, texts(&["0", "1", "2", "3", "new"]), "{crash:?}");
        let answer = again.produce("t", 0, sequenced(1, 0, 5, &["5"])).await;
        assert_eq!((answer.error_code, answer.base_offset), (0, 5), "{crash:?}");
    }
}

#[tokio::test]
async fn whoever_waits_for_records_is_sent_away() {
    let bench = Bench::new().await;
    bench.create("t", 1).await;
    bench.produce("t", 0, batch(&["x"])).await;
    let mut request = fetch_from("t", 0, 1);
    (request.max_wait_ms, request.min_bytes) = (3_600_000, 1);
    let waiting = tokio::spawn(settle(bench.submit(11, request)));
    truncate(&bench, 1).await;
    let answer = answer!(Fetch, waiting.await.unwrap().unwrap());
    let code = answer.responses[0].partitions[0].error_code;
    assert_eq!(code, 6, "not the leader: it asks again");
    assert_eq!(bench.fetch("t", 0, 0).await.high_watermark, 0);
}

#[tokio::test]
async fn what_cannot_be_cut_is_left_alone() {
    let bench = Bench::new().await;
    bench.create("t", 1).await;
    for (topic, partition) in [("t", 1), ("u", 0), ("t", -1), ("__consumer_offsets", 0)] {
        assert!(!bench.broker.truncate(topic, partition, 1), "{topic}-{partition}");
    }
    assert!(bench.broker.truncate("t", 0, 1));
    assert!(!bench.broker.truncate("t", 0, 1), "one at a time");
}
