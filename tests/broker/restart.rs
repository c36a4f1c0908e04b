//! What survives: a clean end, and a crash at any time.

use std::time::Duration;

use tollgate::storage::files::Crash;
use tollgate::wire::api::{delete_topics, describe_configs, metadata};
use tollgate::wire::{Str, Uuid};

use crate::bench::*;

async fn topics(bench: &Bench) -> Vec<(String, Uuid, usize)> {
    let metadata = answer!(Metadata, bench.ask(12, metadata::Request::default()).await);
    let topics = metadata.topics.into_iter();
    topics.map(|t| (t.name.unwrap().to_string(), t.topic_id, t.partitions.len())).collect()
}

#[tokio::test]
async fn topics_configs_and_the_cluster_id_survive() {
    let bench = Bench::new().await;
    bench.create_with("a", 3, &[("retention.ms", "77")]).await;
    bench.create("b", 1).await;
    let before = topics(&bench).await;
    let cluster = bench.broker.catalogue().cluster_id().clone();
    let bench = bench.restart().await;
    assert_eq!(topics(&bench).await, before);
    assert_eq!(bench.broker.catalogue().cluster_id(), &cluster);
    let request = describe_configs::Request {
        resources: vec![describe_configs::DescribeConfigsResource {
            resource_type: 2,
            resource_name: Str::from("a"),
            configuration_keys: Some(vec![Str::from("retention.ms")]),
            ..Default::default()
        }],
        ..Default::default()
    };
    let described = answer!(DescribeConfigs, bench.ask(4, request).await);
    assert_eq!(described.results[0].configs[0].value, Some(Str::from("77")));
}

/// Power goes after each answer: what was answered is there.
#[tokio::test]
async fn a_crash_takes_nothing_that_was_answered() {
    let bench = Bench::new().await;
    let id = bench.create("t", 2).await;
    for n in 0..10_i64 {
        assert_eq!(bench.produce("t", 0, batch(&[&n.to_string()])).await.error_code, 0);
        if n == 4 {
            let delete =
                delete_topics::Request { topic_names: vec![Str::from("gone")], ..Default::default() };
            bench.create("gone", 1).await;
            answer!(DeleteTopics, bench.ask(5, delete).await);
        }
        let again = bench.crashed(Crash::Power { seed: n as u64 }).await;
        assert_eq!(topics(&again).await, [("t".to_owned(), id, 2)]);
        let stored = values(&again.fetch("t", 0, 0).await.records);
        let expected: Vec<_> = (0..=n).map(|n| (n, n.to_string())).collect();
        assert_eq!(stored, expected);
        // A topic of the same name as one that is gone begins anew.
        if n > 4 {
            again.create("gone", 1).await;
            assert_eq!(again.produce("gone", 0, batch(&["new"])).await.base_offset, 0);
        }
    }
}

#[tokio::test]
async fn what_is_closed_takes_no_more() {
    let bench = Bench::new().await;
    bench.create("t", 1).await;
    bench.broker.shutdown(Duration::from_secs(10)).await.unwrap();
    assert_eq!(bench.produce("t", 0, batch(&["late"])).await.error_code, 6, "look for another leader");
}

/// What a crash leaves of topics half made or half deleted is removed at the next start.
#[tokio::test]
async fn logs_of_no_topic_are_removed() {
    let bench = Bench::new().await;
    bench.create("t", 1).await;
    bench.broker.catalogue().storage().create_log("half-0.made", Default::default()).unwrap();
    let bench = bench.restart().await;
    let logs = bench.broker.catalogue().storage().list_logs().unwrap();
    assert_eq!(logs.len(), 1, "{logs:?}");
}

#[tokio::test]
async fn a_broken_disk_takes_its_partition_only() {
    use tollgate::storage::files::SimFault;
    let bench = Bench::new().await;
    bench.create("t", 2).await;
    bench.produce("t", 0, batch(&["a"])).await;
    bench.files.inject("t-0.", SimFault::SyncError);
    assert_eq!(bench.produce("t", 0, batch(&["b"])).await.error_code, 56);
    assert_eq!(bench.produce("t", 0, batch(&["c"])).await.error_code, 56);
    assert_eq!(bench.produce("t", 1, batch(&["d"])).await.error_code, 0);
    assert_eq!(bench.fetch("t", 0, 0).await.error_code, 56);
    let metadata = answer!(Metadata, bench.ask(12, metadata::Request::default()).await);
    let partition = &metadata.topics[0].partitions[0];
    assert_eq!(
        (partition.error_code, partition.leader_id, partition.offline_replicas.clone()),
        (5, -1, vec![1])
    );
    assert_eq!(metadata.topics[0].partitions[1].error_code, 0);
}
