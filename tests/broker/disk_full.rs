//! A disk without room, before and after it has some again: nothing is left behind, what is there is served, and no
//! restart is needed.

use std::path::Path;
use std::time::Duration;

use tollgate::storage::files::{Crash, Files, SimFault};
use tollgate::wire::Str;
use tollgate::wire::api::{create_partitions, delete_topics, find_coordinator, offset_commit};

use crate::bench::*;

const STORAGE_ERROR: i16 = 56;

fn logs(bench: &Bench) -> usize {
    bench.files.list(Path::new("/data/logs")).unwrap().len()
}

async fn create(bench: &Bench, name: &str) -> i16 {
    answer!(CreateTopics, bench.ask(7, new_topic(name, 3, &[])).await).topics[0].error_code
}

async fn grow(bench: &Bench, name: &str, count: i32) -> i16 {
    let topic =
        create_partitions::CreatePartitionsTopic { name: Str::from(name), count, ..Default::default() };
    let request = create_partitions::Request { topics: vec![topic], ..Default::default() };
    answer!(CreatePartitions, bench.ask(3, request).await).results[0].error_code
}

async fn delete(bench: &Bench, name: &str) -> i16 {
    let request = delete_topics::Request { topic_names: vec![Str::from(name)], ..Default::default() };
    answer!(DeleteTopics, bench.ask(5, request).await).responses[0].error_code
}

async fn coordinator(bench: &Bench) -> i16 {
    let request = find_coordinator::Request { key: Str::from("g"), ..Default::default() };
    answer!(FindCoordinator, bench.ask(3, request).await).error_code
}

/// The catalogue's first write on a full disk made every later one fail until the next start, and left the logs.
#[tokio::test]
async fn what_cannot_be_created_leaves_nothing_and_can_be_when_there_is_room() {
    let bench = Bench::new().await;
    bench.create("t", 1).await;
    for fault in [SimFault::NoSpace, SimFault::WriteError] {
        bench.files.inject("catalogue", fault);
        for _ in 0..3 {
            assert_eq!(create(&bench, "new").await, STORAGE_ERROR);
            assert_eq!(grow(&bench, "t", 4).await, STORAGE_ERROR);
            assert_eq!(delete(&bench, "t").await, STORAGE_ERROR);
            assert_eq!(logs(&bench), 1);
        }
        assert_eq!(bench.produce("t", 0, batch(&["x"])).await.error_code, 0, "its own log can be written");
        bench.files.heal();
        assert_eq!(create(&bench, "new").await, 0);
        assert_eq!(delete(&bench, "new").await, 0);
    }
    assert_eq!(grow(&bench, "t", 4).await, 0);
    let bench = bench.restart().await;
    assert_eq!(logs(&bench), 4);
    assert_eq!(bench.broker.view(9).partitions, 4);
}

/// Some of a topic's folders can be made and one cannot.
#[tokio::test]
async fn a_topic_half_made_is_taken_back() {
    let bench = Bench::new().await;
    bench.files.inject("/data/logs/new-2.", SimFault::NoSpace);
    assert_eq!(create(&bench, "new").await, STORAGE_ERROR);
    assert_eq!(logs(&bench), 0);
    bench.files.heal();
    bench.files.inject("/data/logs", SimFault::SyncError);
    assert_eq!(create(&bench, "new").await, STORAGE_ERROR);
    assert_eq!(logs(&bench), 0);
}

/// Each request for a coordinator left fifty folders more.
#[tokio::test]
async fn the_offsets_topic_is_tried_now_and_then_and_leaves_nothing() {
    let bench = Bench::new().await;
    bench.files.inject("catalogue", SimFault::NoSpace);
    assert_eq!(coordinator(&bench).await, 15);
    assert_eq!(logs(&bench), 0);
    let before = bench.files.operations();
    for _ in 0..100 {
        assert_eq!(coordinator(&bench).await, 15);
    }
    assert_eq!(bench.files.operations(), before, "no attempt for each request");
    bench.files.heal();
    bench.hand.advance(Duration::from_secs(2));
    assert_eq!(coordinator(&bench).await, 0);
    assert_eq!(logs(&bench), 50);
}

/// Waits until records are taken.
async fn taken(bench: &Bench) {
    let trying = async {
        while bench.produce("t", 0, batch(&["b"])).await.error_code != 0 {
            bench.hand.advance(Duration::from_secs(10));
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), trying).await.expect("records are taken again");
}

#[tokio::test]
async fn a_start_on_a_full_disk_serves_what_is_there() {
    for clean in [true, false] {
        let bench = Bench::new().await;
        bench.create("t", 1).await;
        bench.produce("t", 0, batch(&["a"])).await;
        let (files, time) = if clean {
            bench.end().await
        } else {
            let files = bench.files.fork();
            files.crash(Crash::Process);
            (files, (bench.clock.clone(), bench.hand.clone()))
        };
        files.inject("/data", SimFault::NoSpace);
        let bench = Bench::on(files, time).await;
        let epoch = bench.broker.view(1).shown[0].leader_epoch;
        assert_eq!(epoch, 1);
        let read = bench.fetch("t", 0, 0).await;
        assert_eq!(values(&read.records), [(0, "a".to_owned())]);
        for _ in 0..2 {
            let refused = bench.produce("t", 0, batch(&["b"])).await;
            assert_eq!(refused.error_code, STORAGE_ERROR);
            assert_eq!(refused.error_message.as_deref(), Some("the disk takes no writes"));
            assert_eq!(create(&bench, "new").await, STORAGE_ERROR);
        }
        // It did not cost the partition its place: with room it goes on, in an epoch of its own.
        bench.files.heal();
        taken(&bench).await;
        let bench = bench.restart().await;
        assert_eq!(bench.broker.view(1).shown[0].leader_epoch, 2);
        assert_eq!(bench.fetch("t", 0, 0).await.high_watermark, 2);
    }
}

async fn commit(bench: &Bench, offset: i64) -> i16 {
    let partition = offset_commit::OffsetCommitRequestPartition {
        committed_offset: offset,
        committed_leader_epoch: -1,
        ..Default::default()
    };
    let request = offset_commit::Request {
        group_id: Str::from("g"),
        generation_id_or_member_epoch: -1,
        topics: vec![offset_commit::OffsetCommitRequestTopic {
            name: Str::from("t"),
            partitions: vec![partition],
            ..Default::default()
        }],
        ..Default::default()
    };
    answer!(OffsetCommit, bench.ask(8, request).await).topics[0].partitions[0].error_code
}

/// Groups wrote on in a leader epoch that the next start gave again.
#[tokio::test]
async fn groups_write_nothing_while_the_start_is_not_recorded() {
    let bench = Bench::new().await;
    bench.create("t", 1).await;
    bench.produce("t", 0, batch(&["a"])).await;
    assert_eq!(coordinator(&bench).await, 0);
    assert_eq!(commit(&bench, 1).await, 0);
    let (files, time) = bench.end().await;
    files.inject("catalogue", SimFault::NoSpace);
    let bench = Bench::on(files, time).await;
    assert_eq!(coordinator(&bench).await, 0, "what was committed can be read");
    assert_eq!(commit(&bench, 2).await, 15);
    bench.files.heal();
    taken(&bench).await;
    assert_eq!(commit(&bench, 3).await, 0);
}
