//! ListOffsets: every sentinel, in the versions that know it, and look-up by time.

use tollgate::wire::Str;
use tollgate::wire::api::list_offsets;
use tollgate::wire::record::BatchHeader;

use crate::bench::*;

async fn find(bench: &Bench, version: i16, topic: &str, timestamp: i64, epoch: i32) -> (i16, i64, i64, i32) {
    let request = list_offsets::Request {
        replica_id: -1,
        topics: vec![list_offsets::ListOffsetsTopic {
            name: Str::from(topic),
            partitions: vec![list_offsets::ListOffsetsPartition {
                partition_index: 0,
                timestamp,
                current_leader_epoch: epoch,
                ..Default::default()
            }],
            ..Default::default()
        }],
        ..Default::default()
    };
    let answer = answer!(ListOffsets, bench.ask(version, request).await);
    let found = &answer.topics[0].partitions[0];
    (found.error_code, found.timestamp, found.offset, found.leader_epoch)
}

#[tokio::test]
async fn offsets_are_found_as_kafka_finds_them() {
    let bench = Bench::new().await;
    bench.create("t", 1).await;
    bench.create("empty", 1).await;
    for timestamp in [0, 1000, 2000] {
        let records = batch_of(BatchHeader::default(), &["a", "b"], NOW - 10_000 + timestamp);
        assert_eq!(bench.produce("t", 0, records).await.error_code, 0);
    }
    let first = NOW - 10_000;
    let nothing = (0, -1, -1, -1);
    let unsupported = (35, -1, -1, -1);
    for (version, timestamp, expected) in [
        (10, -2, (0, -1, 0, 0)),
        (10, -1, (0, -1, 6, 0)),
        (10, -3, (0, first + 2000, 4, 0)),
        (10, -4, (0, -1, 0, 0)),
        (10, -5, nothing),
        (11, -6, nothing),
        (10, -6, unsupported),
        (11, -7, unsupported),
        (11, i64::MIN, unsupported),
        (6, -3, unsupported),
        (7, -4, unsupported),
        (8, -5, unsupported),
        (10, first + 1000, (0, first + 1000, 2, 0)),
        (10, first + 1, (0, first + 1000, 2, 0)),
        (10, 0, (0, first, 0, 0)),
        (10, first + 2001, nothing),
        (10, i64::MAX, nothing),
    ] {
        assert_eq!(find(&bench, version, "t", timestamp, -1).await, expected, "{timestamp} at {version}");
    }
    for (timestamp, expected) in [(-1, (0, -1, 0, 0)), (-2, (0, -1, 0, 0)), (-3, nothing), (5, nothing)] {
        assert_eq!(find(&bench, 10, "empty", timestamp, -1).await, expected, "{timestamp}");
    }
    for version in 1..=11 {
        assert_eq!(find(&bench, version, "t", -1, -1).await.2, 6);
    }
    assert_eq!(find(&bench, 10, "t", -1, 3).await.0, 75);
    assert_eq!(find(&bench, 10, "nope", -1, -1).await, (3, -1, -1, -1));
    let bench = bench.restart().await;
    assert_eq!(find(&bench, 10, "t", -1, 0).await.0, 74);
    assert_eq!(find(&bench, 10, "t", -1, 1).await, (0, -1, 6, 1), "the epoch of what comes next");
    assert_eq!(find(&bench, 10, "t", -2, 1).await, (0, -1, 0, 0), "the epoch of what is there");
}
