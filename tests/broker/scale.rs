//! Ten thousand partitions on a real file system: made, opened again, and not a descriptor each.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tollgate::broker::{Broker, BrokerConfig};
use tollgate::storage::files::RealFiles;
use tollgate::storage::{Storage, StorageConfig};
use tollgate::wire::api::create_topics;

use crate::bench::*;

const TOPICS: usize = 10;
const PARTITIONS: i32 = 1_000;

fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count)
}

async fn open(dir: &std::path::Path) -> Arc<Broker> {
    let storage = Storage::open(Arc::new(RealFiles::new()), dir, StorageConfig::default()).unwrap();
    Broker::open(BrokerConfig { properties: BTreeMap::new(), ..BrokerConfig::default() }, storage)
        .await
        .unwrap()
}

#[tokio::test]
async fn ten_thousand_partitions_start_quickly_and_with_few_descriptors() {
    // In memory where there is such a place: taking ten thousand folders away again is what takes a disk long.
    let memory = std::path::Path::new("/dev/shm");
    let dir = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.unwrap();
    let before = descriptors();
    let broker = open(dir.path()).await;
    let mut request = create_topics::Request::default();
    for n in 0..TOPICS {
        request.topics.extend(new_topic(&format!("t{n}"), PARTITIONS, &[]).topics);
    }
    let bench = |broker: &Arc<Broker>, version, body| {
        settle(broker.handle(&context(), crate::bench::request(version, body)))
    };
    let answer = answer!(CreateTopics, bench(&broker, 7, request.into()).await.unwrap());
    assert!(answer.topics.iter().all(|topic| topic.error_code == 0));
    // A few have something in them.
    for partition in (0..PARTITIONS).step_by(10) {
        let answer = answer!(
            Produce,
            bench(&broker, 9, produce_to("t3", partition, sequenced(1, 0, 0, &["x"])).into()).await.unwrap()
        );
        assert_eq!(answer.responses[0].partition_responses[0].error_code, 0);
    }
    broker.shutdown(Duration::from_secs(60)).await.unwrap();
    drop(broker);

    let started = Instant::now();
    let broker = open(dir.path()).await;
    let clean = started.elapsed();
    assert_eq!(broker.view(0).partitions, TOPICS * PARTITIONS as usize);
    assert!(descriptors() < before + 600, "{} descriptors", descriptors());
    // A retry from before the restart.
    let answer = answer!(
        Produce,
        bench(&broker, 9, produce_to("t3", 10, sequenced(1, 0, 0, &["x"])).into()).await.unwrap()
    );
    let told = &answer.responses[0].partition_responses[0];
    assert_eq!((told.error_code, told.base_offset), (0, 0));
    drop(broker);

    // Without a clean end every log is looked at.
    let started = Instant::now();
    let broker = open(dir.path()).await;
    let unclean = started.elapsed();
    // Two seconds on an idle machine in a release build, as the bench `start-10000-partitions` shows; this one may be
    // neither.
    assert!(clean < Duration::from_secs(10), "{clean:?}");
    assert!(unclean < Duration::from_secs(20), "{unclean:?}");
    broker.shutdown(Duration::from_secs(60)).await.unwrap();
}
