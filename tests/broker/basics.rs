//! The way of a record: created, produced, found, fetched, and still there after a restart.

use tollgate::wire::api::{list_offsets, metadata};
use tollgate::wire::{Str, Uuid};

use crate::bench::*;

#[tokio::test]
async fn a_record_goes_in_and_comes_out() {
    let bench = Bench::new().await;
    let id = bench.create("orders", 2).await;
    assert_ne!(id, Uuid::ZERO);
    let first = bench.produce("orders", 1, batch(&["a", "b"])).await;
    let second = bench.produce("orders", 1, batch(&["c"])).await;
    assert_eq!((first.error_code, first.base_offset, first.log_start_offset), (0, 0, 0));
    assert_eq!((second.base_offset, second.log_append_time_ms), (2, -1));
    let fetched = bench.fetch("orders", 1, 0).await;
    assert_eq!(fetched.high_watermark, 3);
    let expected = [(0, "a".to_owned()), (1, "b".to_owned()), (2, "c".to_owned())];
    assert_eq!(values(&fetched.records), expected);
    let empty = bench.fetch("orders", 0, 0).await;
    assert_eq!((empty.error_code, empty.high_watermark, empty.records.len()), (0, 0, 0));

    let bench = bench.restart().await;
    let metadata = answer!(Metadata, bench.ask(12, metadata::Request::default()).await);
    assert_eq!(metadata.topics.len(), 1);
    assert_eq!((&metadata.topics[0].name, metadata.topics[0].topic_id), (&Some(Str::from("orders")), id));
    assert_eq!(metadata.topics[0].partitions[0].leader_epoch, 1, "another start, another epoch");
    let fetched = bench.fetch("orders", 1, 1).await;
    assert_eq!(values(&fetched.records), expected, "the whole batch that holds the offset");
    assert_eq!(bench.produce("orders", 1, batch(&["d"])).await.base_offset, 3);
    let request = list_offsets::Request {
        replica_id: -1,
        topics: vec![list_offsets::ListOffsetsTopic {
            name: Str::from("orders"),
            partitions: [-1, -2, NOW]
                .map(|timestamp| list_offsets::ListOffsetsPartition {
                    partition_index: 1,
                    timestamp,
                    ..Default::default()
                })
                .into(),
            ..Default::default()
        }],
        ..Default::default()
    };
    let offsets = answer!(ListOffsets, bench.ask(5, request.clone()).await);
    assert!(
        offsets.topics[0].partitions.iter().all(|p| p.error_code == 42),
        "named three times: {offsets:?}"
    );
    for (at, offset, epoch) in [(0, 4, 1), (1, 0, 0), (2, 0, 0)] {
        let mut one = request.clone();
        one.topics[0].partitions = vec![request.topics[0].partitions[at].clone()];
        let offsets = answer!(ListOffsets, bench.ask(5, one).await);
        let found = &offsets.topics[0].partitions[0];
        assert_eq!((found.error_code, found.offset, found.leader_epoch), (0, offset, epoch), "{at}");
    }
}
