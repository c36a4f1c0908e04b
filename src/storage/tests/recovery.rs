//! What a start makes of the files that it finds.

use std::path::Path;

use super::super::files::{Crash, Files, OpenMode, SyncSite};
use super::*;

fn large_segments() -> LogConfig {
    LogConfig { segment_bytes: 1 << 20, ..small_segments() }
}

/// The first checkpoint after a start does not wait for as much again.
#[test]
fn what_was_read_behind_the_checkpoint_counts_for_the_next() {
    let mut bench = Bench::new();
    bench.config.checkpoint_bytes = 1000;
    let storage = bench.open();
    let log = storage.create_log("a-0", large_segments()).unwrap();
    for n in 0..9 {
        committed(&storage, append(&log, 1, 100, n));
    }
    let known = lock(&log.disk).checkpoint.segments[0].size;
    let behind = lock(&log.disk).since_checkpoint;
    assert!(known > 0 && behind > 0);
    assert_eq!(known + behind, log.size_bytes());
    bench.files.crash(Crash::Process);
    let storage = bench.open();
    let log = storage.open_log("a-0", large_segments()).unwrap();
    assert_eq!(lock(&log.disk).since_checkpoint, behind);
}

/// A process died between the creation of a segment and its first batch, and the segment before did not come to disk
/// whole.
#[test]
fn an_empty_segment_behind_a_gap_is_removed() {
    let bench = Bench::new();
    let storage = bench.open();
    let log = storage.create_log("a-0", small_segments()).unwrap();
    committed(&storage, append(&log, 1, 100, 0));
    let dir = log.dir().to_owned();
    drop((storage, log));
    bench.files.crash(Crash::Process);
    let empty = dir.join("00000000000000000007.log");
    bench.files.open(&empty, OpenMode::CreateOrWrite).unwrap();
    let storage = bench.open();
    let log = storage.open_log("a-0", small_segments()).unwrap();
    assert_eq!((log.offline().map(|error| error.to_string()), log.log_end_offset()), (None, 1));
    assert!(bench.files.size(&empty).is_err());
    assert!((0..6).all(|n| committed(&storage, append(&log, 1, 100, n)) == n + 1));
}

/// A segment below the log start that was still written to when the log start moved is in the checkpoint.
#[test]
fn a_segment_that_the_checkpoint_knows_is_not_taken_for_a_left_over() {
    let mut bench = Bench::new();
    bench.config.flush = FlushMode::Os;
    let storage = bench.open();
    let log = storage.create_log("a-0", small_segments()).unwrap();
    committed(&storage, append(&log, 1, 100, 0));
    storage.sync_all();
    let moved = log.delete_records_before(-1);
    storage.drive();
    assert_eq!(moved.wait().unwrap(), 1);
    committed(&storage, append(&log, 1, 900, 0));
    let names = [0, 1].map(|base_offset| format!("{base_offset:020}.log"));
    assert_eq!(segment_names(&bench, &log), names);
    drop((storage, log));
    bench.files.crash(Crash::Process);
    let storage = bench.open();
    let log = storage.open_log("a-0", small_segments()).unwrap();
    assert_eq!(log.offline().map(|error| error.to_string()), None);
    assert_dense(&read_all(&log, 1, 1000), 1, 2);
}

/// What is on disk is what was appended, also where header and records were kept apart.
#[test]
fn large_batches_are_written_whole() {
    let mut bench = Bench::new();
    bench.config.tail_cache_bytes = 0;
    let storage = bench.open();
    let log = storage.create_log("a-0", large_segments()).unwrap();
    for (n, len) in [10, 5000, 20, 100_000, 30].into_iter().enumerate() {
        assert_eq!(committed(&storage, append(&log, 1, len, 0)), n as i64);
    }
    assert_dense(&read_all(&log, 0, 1000), 0, 5);
    drop((storage, log));
    bench.files.crash(Crash::Process);
    let log = bench.open().open_log("a-0", large_segments()).unwrap();
    assert_eq!(log.log_end_offset(), 5);
    assert!(bench.files.size(Path::new("/data/logs/a-0/00000000000000000000.log")).unwrap() > 105_000);
}

/// The names of the logs, and of what is in each; all at once where logs are many, and then no more.
#[test]
fn what_is_found_is_synced_before_it_is_relied_upon() {
    let sites = [SyncSite::FoundLogs, SyncSite::FoundNames, SyncSite::Recovered, SyncSite::FoundAll];
    for (many_logs, due) in [(100, [1, 2, 2, 0]), (2, [0, 0, 0, 1])] {
        let mut bench = Bench::new();
        bench.config.many_logs = many_logs;
        let storage = bench.open();
        let logs = ["a-0", "b-0", "empty-0"].map(|name| storage.create_log(name, small_segments()).unwrap());
        for log in &logs[..2] {
            committed(&storage, append(log, 1, 100, 0));
        }
        drop((storage, logs));
        bench.files.crash(Crash::Process);
        let before = sites.map(|site| bench.files.syncs(site));
        let storage = bench.open();
        for (name, end) in [("a-0", 1), ("b-0", 1), ("empty-0", 0)] {
            assert_eq!(storage.open_log(name, small_segments()).unwrap().log_end_offset(), end);
        }
        let mut counts = sites.map(|site| bench.files.syncs(site));
        counts.iter_mut().zip(before).for_each(|(count, before)| *count -= before);
        assert_eq!(counts, due, "{many_logs}");
    }
}

/// Though all that is in it is older than retention keeps it.
#[test]
fn a_segment_stays_that_something_is_on_its_way_to() {
    let bench = Bench::new();
    let storage = bench.open();
    let log = storage.create_log("a-0", LogConfig { retention_ms: 5000, ..small_segments() }).unwrap();
    while segment_names(&bench, &log).len() < 2 {
        committed(&storage, append(&log, 1, 100, bench.now.load(Ordering::Relaxed)));
    }
    let start = log.high_watermark() - 1;
    bench.now.fetch_add(60_000, Ordering::Relaxed);
    storage.maintain();
    let waiting = append(&log, 1, 100, bench.now.load(Ordering::Relaxed));
    assert_eq!(committed(&storage, waiting), start + 1);
    assert_eq!((log.log_start_offset(), segment_names(&bench, &log).len()), (start, 1));
    drop((storage, log));
    bench.files.crash(Crash::Process);
    let storage = bench.open();
    let log = storage.open_log("a-0", small_segments()).unwrap();
    assert_dense(&read_all(&log, start, 1000), start, start + 2);
}
