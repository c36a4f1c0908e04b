//! DescribeLogDirs and AlterReplicaLogDirs.

use tollgate::wire::Str;
use tollgate::wire::api::{alter_replica_log_dirs as alter, describe_log_dirs as describe};

use crate::bench::*;

fn asked(topics: &[(&str, &[i32])]) -> describe::Request {
    let topic = |(topic, partitions): &(&str, &[i32])| describe::DescribableLogDirTopic {
        topic: Str::from(*topic),
        partitions: partitions.to_vec(),
        ..Default::default()
    };
    describe::Request { topics: Some(topics.iter().map(topic).collect()), ..Default::default() }
}

#[tokio::test]
async fn the_folder_is_described_with_what_each_partition_takes() {
    let bench = Bench::new().await;
    bench.create("a", 2).await;
    bench.create("b", 1).await;
    bench.produce("a", 1, batch(&["x", "y"])).await;
    for version in 1..=5 {
        let answer = answer!(DescribeLogDirs, bench.ask(version, describe::Request::default()).await);
        assert_eq!(answer.results[0].topics.len(), 0, "nothing is asked for");
        let all = describe::Request { topics: None, ..Default::default() };
        let answer = answer!(DescribeLogDirs, bench.ask(version, all).await);
        let [dir] = &answer.results[..] else { panic!("{answer:?}") };
        assert_eq!((answer.error_code, dir.error_code, &*dir.log_dir), (0, 0, "/data"));
        // The simulated disk has no size.
        assert_eq!((dir.total_bytes, dir.usable_bytes, dir.is_cordoned), (-1, -1, false));
        let sizes: Vec<_> = dir
            .topics
            .iter()
            .flat_map(|topic| {
                topic.partitions.iter().map(|p| (&*topic.name, p.partition_index, p.partition_size))
            })
            .collect();
        assert_eq!(sizes, [("a", 0, 0), ("a", 1, batch(&["x", "y"]).len() as i64), ("b", 0, 0)]);
        assert!(dir.topics.iter().flat_map(|t| &t.partitions).all(|p| p.offset_lag == 0 && !p.is_future_key));
        let some = asked(&[("a", &[1, 7]), ("nope", &[0]), ("b", &[])]);
        let answer = answer!(DescribeLogDirs, bench.ask(version, some).await);
        let topics = &answer.results[0].topics;
        assert_eq!(
            (topics.len(), topics[0].partitions.len(), topics[0].partitions[0].partition_index),
            (1, 1, 1)
        );
    }
}

#[tokio::test]
async fn a_log_that_is_offline_has_no_lag_to_tell() {
    let bench = Bench::new().await;
    bench.create("a", 1).await;
    let log = bench.broker.catalogue().topic("a").unwrap().partition(0).unwrap().log().clone();
    log.take_offline(tollgate::storage::StorageError::Closed);
    let answer = answer!(DescribeLogDirs, bench.ask(4, asked(&[("a", &[0])])).await);
    assert_eq!(answer.results[0].topics[0].partitions[0].offset_lag, -1);
    let moved = answer!(AlterReplicaLogDirs, bench.ask(2, to("/data", "a", &[0])).await);
    assert_eq!(moved.results[0].partitions[0].error_code, 56);
}

fn to(path: &str, topic: &str, partitions: &[i32]) -> alter::Request {
    let topic = alter::AlterReplicaLogDirTopic {
        name: Str::from(topic),
        partitions: partitions.to_vec(),
        ..Default::default()
    };
    let dir = alter::AlterReplicaLogDir { path: Str::from(path), topics: vec![topic], ..Default::default() };
    alter::Request { dirs: vec![dir], ..Default::default() }
}

#[tokio::test]
async fn a_partition_stays_where_it_is() {
    let bench = Bench::new().await;
    bench.create("a", 1).await;
    let long = "x".repeat(249);
    for version in 1..=2 {
        for (path, topic, partition, code) in [
            ("/data", "a", 0, 0),
            ("/data", "a", 5, 3),
            ("/data", "nope", 0, 3),
            ("/data/", "a", 0, 57),
            ("/elsewhere", "a", 0, 57),
            ("/elsewhere", "nope", 0, 57),
            ("", "a", 0, 57),
            ("/data", &long, 0, 17),
        ] {
            let answer =
                answer!(AlterReplicaLogDirs, bench.ask(version, to(path, topic, &[partition])).await);
            let [result] = &answer.results[..] else { panic!("{answer:?}") };
            assert_eq!((&*result.topic_name, result.partitions[0].partition_index), (topic, partition));
            assert_eq!(result.partitions[0].error_code, code, "{path} {topic}");
        }
        let mut twice = to("/elsewhere", "a", &[0, 1]);
        twice.dirs.extend(to("/data", "a", &[0]).dirs);
        let answer = answer!(AlterReplicaLogDirs, bench.ask(version, twice).await);
        let codes: Vec<_> =
            answer.results[0].partitions.iter().map(|p| (p.partition_index, p.error_code)).collect();
        assert_eq!((answer.results.len(), codes), (1, vec![(0, 0), (1, 57)]), "the last one counts");
    }
}

#[tokio::test]
async fn many_partitions_are_looked_at_once_each() {
    let bench = Bench::new().await;
    bench.create("a", 1).await;
    let started = std::time::Instant::now();
    let partitions: Vec<i32> = (0..200_000).collect();
    let mut request = to("/data", "a", &partitions);
    let more = to("/elsewhere", "a", &[0]);
    request.dirs.extend(more.dirs);
    let answer = answer!(AlterReplicaLogDirs, bench.ask(2, request).await);
    let [topic] = &answer.results[..] else { panic!() };
    assert_eq!(topic.partitions.len(), 200_000);
    assert_eq!(topic.partitions[0].error_code, 57, "named twice, the last one counts");
    assert_eq!(topic.partitions[1].error_code, 3);
    assert!(started.elapsed().as_secs() < 20, "each was looked for among all others");
}
