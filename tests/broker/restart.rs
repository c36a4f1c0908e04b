//! What survives: a clean end, and a crash at any time.

use std::path::Path;
use std::time::Duration;

use tollgate::storage::files::{Crash, Files, OpenMode, SimFault, SimFiles};
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

const HALF_MADE: &str = "half-0.AAAAAAAAQACAAAAAAAAAAQ";

/// Everything that was no topic's log was removed, with all that was in it.
#[tokio::test]
async fn folders_that_are_no_logs_are_left_alone() {
    let bench = Bench::new().await;
    bench.create("t", 1).await;
    let logs = Path::new("/data/logs");
    for foreign in ["lost+found", "backup-0", "copy-0.old", "x.AAAAAAAAQACAAAAAAAAAAQ", HALF_MADE] {
        bench.files.create_dir(&logs.join(foreign)).unwrap();
        bench.files.create_dir(&logs.join(foreign).join("of somebody else")).unwrap();
    }
    let before = stored(&bench.files).len();
    let bench = bench.restart().await;
    let after = stored(&bench.files);
    assert_eq!(after.len(), before, "{after:?}");
    for foreign in ["lost+found", "backup-0", "copy-0.old", "x.AAAAAAAAQACAAAAAAAAAAQ"] {
        assert_eq!(bench.files.list(&logs.join(foreign)).unwrap().len(), 1, "{foreign} keeps its name");
    }
    // This one has a log's name, and no log has a folder in it.
    let aside = logs.join(format!("{HALF_MADE}.orphan"));
    assert_eq!(bench.files.list(&aside).unwrap().len(), 1);
}

/// A client that says what it read last was told that its offset is out of range, and began anew.
#[tokio::test]
async fn a_log_that_cannot_be_opened_is_a_storage_error_whatever_epoch_is_asked_for() {
    let bench = Bench::new().await;
    bench.create("t", 1).await;
    bench.produce("t", 0, batch(&["a"])).await;
    let files = bench.files.fork();
    files.crash(Crash::Process);
    files.inject("t-0.", SimFault::ReadError);
    let bench = Bench::on(files, (bench.clock.clone(), bench.hand.clone())).await;
    for (current_leader_epoch, last_fetched_epoch) in [(-1, -1), (-1, 0), (7, 0)] {
        let mut request = fetch_from("t", 0, 1);
        let partition = &mut request.topics[0].partitions[0];
        partition.current_leader_epoch = current_leader_epoch;
        partition.last_fetched_epoch = last_fetched_epoch;
        let answer = answer!(Fetch, bench.ask(12, request).await);
        let code = answer.responses[0].partitions[0].error_code;
        assert_eq!(code, 56, "{current_leader_epoch}, {last_fetched_epoch}");
    }
}

/// What a crash leaves of topics half made or half deleted is removed at the next start.
#[tokio::test]
async fn logs_of_no_topic_are_removed() {
    let bench = Bench::new().await;
    bench.create("t", 1).await;
    bench.broker.catalogue().storage().create_log(HALF_MADE, Default::default()).unwrap();
    let bench = bench.restart().await;
    let logs = bench.broker.catalogue().storage().list_logs().unwrap();
    assert_eq!(logs.len(), 1, "{logs:?}");
}

/// The logs' folders, and how many bytes of segments are in them.
fn stored(files: &SimFiles) -> Vec<(String, u64)> {
    let dir = Path::new("/data/logs");
    let mut logs: Vec<_> = files.list(dir).unwrap().into_iter().map(|entry| entry.name).collect();
    logs.sort();
    let size = |log: &String| -> u64 {
        let files_in = files.list(&dir.join(log)).unwrap().into_iter().map(|entry| entry.name);
        let segments = files_in.filter(|name| name.ends_with(".log"));
        segments.map(|name| files.size(&dir.join(log).join(name)).unwrap()).sum()
    };
    logs.into_iter().map(|log| (log.clone(), size(&log))).collect()
}

/// Once the start took the logs of a lost catalogue for left-overs and removed them all.
#[tokio::test]
async fn a_lost_catalogue_does_not_take_the_records_with_it() {
    let catalogue = Path::new("/data/catalogue.redb");
    let bench = Bench::new().await;
    bench.create("t", 2).await;
    bench.produce("t", 1, batch(&["kept"])).await;
    let (files, clock) = bench.end().await;
    let (before, copy) = (stored(&files), files.fork());
    let cut = |files: &SimFiles| files.open(catalogue, OpenMode::Write).unwrap().set_len(0).unwrap();
    for lose in [&|files: &SimFiles| files.remove_file(catalogue).unwrap() as _, &cut as &dyn Fn(&SimFiles)] {
        let files = copy.fork();
        lose(&files);
        // A second start is no other than the first.
        for _ in 0..2 {
            let error = try_open(&files, &clock.0, &[]).await.err().expect("refused").to_string();
            assert!(error.contains("/data/catalogue.redb is missing"), "{error}");
            assert!(error.contains("holds 1 logs with records (t-1."), "{error}");
            assert!(error.contains("move /data/logs away"), "{error}");
            assert_eq!(stored(&files), before);
        }
    }
    let broker = open(&copy, &clock.0, &[]).await;
    assert_eq!(broker.view(9).shown[1].high_watermark, 1, "with its catalogue all is as it was");
}

#[tokio::test]
async fn what_an_older_catalogue_does_not_know_is_set_aside() {
    let catalogue = Path::new("/data/catalogue.redb");
    let read = |files: &SimFiles| {
        let handle = files.open(catalogue, OpenMode::Read).unwrap();
        let mut bytes = vec![0; usize::try_from(handle.size().unwrap()).unwrap()];
        handle.read_at(0, &mut bytes).unwrap();
        bytes
    };
    let bench = Bench::new().await;
    bench.create("old", 1).await;
    let (files, clock) = bench.end().await;
    let older = read(&files);
    let bench = Bench::on(files, clock).await;
    bench.create("new", 2).await;
    bench.produce("new", 0, batch(&["kept"])).await;
    let (files, clock) = bench.end().await;
    let newer = read(&files);
    let replace = |files: &SimFiles, with: &[u8]| {
        files.open(catalogue, OpenMode::Write).unwrap().set_len(0).unwrap();
        files.damage(catalogue, 0, with).unwrap();
    };
    replace(&files, &older);
    let (files, clock) = Bench::on(files, clock).await.restart().await.end().await;
    let found = stored(&files);
    let names: Vec<&str> = found.iter().map(|(name, _)| name.as_str()).collect();
    let [aside, other] = names[..] else { panic!("{names:?}") };
    assert!(aside.starts_with("new-0.") && aside.ends_with(".orphan"), "{names:?}");
    assert!(other.starts_with("old-0."), "{names:?}");
    assert!(found[0].1 > 0);
    // As the message says: the newer one put back, the folder given its name.
    replace(&files, &newer);
    let aside = Path::new("/data/logs").join(aside);
    files.rename(&aside, &aside.with_extension("")).unwrap();
    let bench = Bench::on(files, clock).await;
    assert_eq!(values(&bench.fetch("new", 0, 0).await.records), [(0, "kept".to_owned())]);
    // The empty one was removed: its partition is offline, the rest goes on.
    assert_eq!(bench.produce("new", 1, batch(&["x"])).await.error_code, 56);
    assert_eq!(bench.produce("old", 0, batch(&["x"])).await.error_code, 0);
}

/// A crash between the catalogue's change and the end of the logs: nothing of the topic is kept or set aside.
#[tokio::test]
async fn a_deletion_that_a_crash_cut_short_is_finished_by_the_next_start() {
    let bench = Bench::new().await;
    bench.create("gone", 2).await;
    bench.produce("gone", 0, batch(&["x"])).await;
    bench.files.inject("/data/logs", SimFault::SyncError);
    let delete = delete_topics::Request { topic_names: vec![Str::from("gone")], ..Default::default() };
    answer!(DeleteTopics, bench.ask(5, delete).await);
    for seed in 0..12 {
        let again = bench.crashed(Crash::Power { seed }).await;
        assert_eq!(stored(&again.files), [], "seed {seed}");
    }
}

#[tokio::test]
async fn a_broken_disk_takes_its_partition_only() {
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
