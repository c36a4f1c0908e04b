//! Disks that fail, fill up, or give back something else.

use std::path::Path;

use super::super::files::{Crash, Files, SimFault};
use super::super::testing::{Bench, append, small_segments};
use super::super::*;
use super::{assert_dense, committed, read_all};

type Damage<'a> = &'a dyn Fn(&Bench, &Path);

fn try_append(log: &std::sync::Arc<Log>) -> Result<Appended, StorageError> {
    log.append(AppendBatch::new(testing::batch(0, 1, 50, 0)).unwrap().into(), 0)
}

/// One log's disk fails, in every way; it goes offline, loses nothing acknowledged, and its neighbour does not notice.
#[test]
fn a_failing_disk_takes_its_log_offline_and_no_other() {
    for fault in [SimFault::NoSpace, SimFault::WriteError, SimFault::SyncError] {
        let bench = Bench::new();
        let storage = bench.open();
        let [bad, good] = ["bad-0", "good-0"].map(|name| storage.create_log(name, small_segments()).unwrap());
        for _ in 0..10 {
            committed(&storage, append(&bad, 1, 50, 0));
        }
        bench.files.inject("bad-0", fault);
        let (first, second, flushed) = (append(&bad, 1, 50, 0), append(&bad, 1, 50, 0), bad.flush());
        committed(&storage, append(&good, 1, 50, 0));
        for error in
            [first.ticket.wait().unwrap_err(), second.ticket.wait().unwrap_err(), flushed.wait().unwrap_err()]
        {
            assert!(matches!(error, StorageError::Offline { .. }) && error.is_storage_failure(), "{error}");
            assert_eq!(error.is_no_space(), fault == SimFault::NoSpace);
            assert!(error.to_string().contains("bad-0"), "{error}");
        }
        assert_eq!(bad.high_watermark(), 10, "{fault:?}");
        assert_eq!(storage.pending_bytes(), 0);

        // Never tried again, though the disk is well again.
        bench.files.heal();
        assert!(matches!(try_append(&bad), Err(StorageError::Offline { .. })));
        assert!(matches!(bad.read(0, 100, true), Err(StorageError::Offline { .. })));
        assert!(matches!(bad.offset_for_timestamp(0), Err(StorageError::Offline { .. })));
        committed(&storage, append(&good, 1, 50, 0));
        // A clean shutdown does not vouch for it: the next start looks for itself.
        storage.close().unwrap();
        bench.files.crash(Crash::Power { seed: 9 });
        let storage = bench.open();
        let bad = storage.open_log("bad-0", small_segments()).unwrap();
        assert!(bad.high_watermark() >= 10);
        assert_dense(&read_all(&bad, 0, 100), 0, bad.high_watermark());
        assert_eq!(storage.open_log("good-0", small_segments()).unwrap().high_watermark(), 2);
        committed(&storage, append(&bad, 1, 50, 0));
    }
}

#[test]
fn a_disk_that_cannot_be_read_takes_the_log_offline() {
    let mut bench = Bench::new();
    bench.config.tail_cache_bytes = 0;
    let storage = bench.open();
    let log = storage.create_log("bad-0", small_segments()).unwrap();
    committed(&storage, append(&log, 1, 50, 0));
    committed(&storage, append(&log, 1, 50, 0));
    bench.files.inject("bad-0", SimFault::ReadError);
    let waiting = append(&log, 1, 50, 0);
    assert!(matches!(log.read(1, 100, true), Err(StorageError::Offline { .. })));
    assert!(waiting.ticket.wait().is_err());
    storage.drive();
    assert_eq!(storage.pending_bytes(), 0);
}

#[test]
fn an_offline_log_can_be_deleted() {
    let bench = Bench::new();
    let storage = bench.open();
    let log = storage.create_log("bad-0", small_segments()).unwrap();
    bench.files.inject("bad-0", SimFault::WriteError);
    let lost = append(&log, 1, 50, 0);
    storage.drive();
    assert!(lost.ticket.wait().is_err());
    let deleted = storage.delete_log("bad-0");
    storage.drive();
    deleted.wait().unwrap();
    bench.files.heal();
    let log = storage.create_log("bad-0", small_segments()).unwrap();
    assert_eq!(committed(&storage, append(&log, 1, 50, 0)), 0);
}

#[test]
fn a_deletion_that_fails_is_settled_by_the_next_start() {
    for seed in 0..10 {
        let bench = Bench::new();
        let storage = bench.open();
        let log = storage.create_log("a-0", small_segments()).unwrap();
        committed(&storage, append(&log, 1, 50, 0));
        bench.files.inject("/data/logs", SimFault::SyncError);
        for _ in 0..2 {
            let deleted = storage.delete_log("a-0");
            storage.drive();
            assert!(matches!(deleted.wait(), Err(StorageError::Io { .. })), "never said to be done");
            bench.files.heal();
        }
        assert!(matches!(storage.create_log("a-0", small_segments()), Err(StorageError::LogExists(_))));
        storage.close().unwrap();
        bench.files.crash(Crash::Power { seed });
        let storage = bench.open();
        match storage.open_log("a-0", small_segments()) {
            Ok(log) => assert_dense(&read_all(&log, 0, 100), 0, 1),
            Err(StorageError::LogNotFound(_)) => drop(storage.create_log("a-0", small_segments()).unwrap()),
            Err(error) => panic!("{error}"),
        }
    }
}

/// A log with several segments, closed cleanly or not; then `damage`; then opened again, and what is left of it read.
fn reopened(
    close: bool,
    damage: impl Fn(&Bench, &Path),
) -> (Bench, std::sync::Arc<Storage>, std::sync::Arc<Log>) {
    let mut bench = Bench::new();
    bench.config.checkpoint_bytes = 1;
    let storage = bench.open();
    for name in ["a-0", "good-0"] {
        let log = storage.create_log(name, small_segments()).unwrap();
        for n in 0..40 {
            committed(&storage, append(&log, 1, 100, n));
        }
    }
    if close {
        storage.close().unwrap();
    }
    drop(storage);
    bench.files.crash(Crash::Process);
    damage(&bench, Path::new("/data/logs/a-0"));
    let storage = bench.open();
    let good = storage.open_log("good-0", small_segments()).unwrap();
    assert_dense(&read_all(&good, 0, 500), 0, 40);
    let log = storage.open_log("a-0", small_segments()).unwrap();
    (bench, storage, log)
}

const MIDDLE: &str = "00000000000000000015.log";

#[test]
fn a_segment_missing_or_cut_in_the_middle_is_noticed_at_start() {
    let remove = |bench: &Bench, dir: &Path| bench.files.remove_file(&dir.join(MIDDLE)).unwrap();
    let cut = |bench: &Bench, dir: &Path| {
        let file = bench.files.open(&dir.join(MIDDLE), files::OpenMode::Write).unwrap();
        file.set_len(file.size().unwrap() - 1).unwrap();
    };
    let add = |bench: &Bench, dir: &Path| {
        drop(
            bench.files.open(&dir.join("00000000000000000017.log"), files::OpenMode::CreateOrWrite).unwrap(),
        );
    };
    let checkpoint =
        |bench: &Bench, dir: &Path| bench.files.damage(&dir.join("checkpoint"), 20, &[0xee]).unwrap();
    let damages: [Damage<'_>; 4] = [&remove, &cut, &add, &checkpoint];
    for (n, damage) in damages.into_iter().enumerate() {
        let (_, storage, log) = reopened(false, damage);
        let error = log.offline().unwrap_or_else(|| panic!("damage {n} was not noticed"));
        assert!(error.to_string().contains("is damaged at byte"), "{error}");
        assert!(matches!(try_append(&log), Err(StorageError::Offline { .. })));
        assert!(log.read(0, 100, true).is_err());
        // It can be deleted, its neighbour goes on.
        let good = storage.log("good-0").unwrap();
        committed(&storage, append(&good, 1, 10, 0));
        let deleted = storage.delete_log("a-0");
        storage.drive();
        deleted.wait().unwrap();
    }
}

#[test]
fn damaged_batches_in_the_middle_are_noticed_when_they_are_read() {
    for close in [true, false] {
        let damage =
            |bench: &Bench, dir: &Path| bench.files.damage(&dir.join(MIDDLE), 4, &[0xee; 300]).unwrap();
        let (_, storage, log) = reopened(close, damage);
        assert_eq!(log.offline().map(|e| e.to_string()), None);
        assert_dense(&read_all_until(&log, 0, 15), 0, 15);
        let error = log.read(16, 100, true).unwrap_err();
        assert!(matches!(error, StorageError::Offline { .. }), "{error}");
        assert!(error.to_string().contains(MIDDLE), "{error}");
        assert!(try_append(&log).is_err());
        committed(&storage, append(&storage.log("good-0").unwrap(), 1, 10, 0));
    }
}

fn read_all_until(log: &std::sync::Arc<Log>, from: i64, to: i64) -> Vec<crate::wire::record::BatchHeader> {
    let mut headers = Vec::new();
    let mut at = from;
    while at < to {
        let read = log.read(at, 300, true).unwrap();
        let bytes = read.to_bytes().unwrap();
        headers.extend(crate::wire::record::batches(&bytes).map(|batch| batch.unwrap().header));
        at = read.next_offset;
    }
    headers
}

#[test]
fn lost_and_damaged_indexes_are_made_anew() {
    let damages: [Damage<'_>; 3] = [
        &|bench, path| bench.files.remove_file(path).unwrap(),
        &|bench, path| bench.files.damage(path, 0, &[0x11; 20]).unwrap(),
        // Plausible, and wrong: it is found out when it is followed.
        &|bench, path| bench.files.damage(path, 0, &[0, 0, 0, 1, 0, 0, 0, 200]).unwrap(),
    ];
    for damage in damages {
        for close in [true, false] {
            let (_, storage, log) = reopened(close, |bench, dir| {
                let mut indexes = bench.files.list(dir).unwrap();
                indexes.retain(|entry| entry.name.ends_with(".index"));
                assert!(indexes.len() > 3);
                indexes.iter().for_each(|entry| damage(bench, &dir.join(&entry.name)));
            });
            for from in 0..40 {
                assert_dense(&read_all(&log, from, 200), from, 40);
                assert_eq!(log.offset_for_timestamp(from).unwrap().map(|found| found.offset), Some(from));
            }
            committed(&storage, append(&log, 1, 10, 100));
            assert_dense(&read_all(&log, 0, 200), 0, 41);
        }
    }
}

#[test]
fn a_damaged_marker_is_no_reason_to_lose_anything() {
    let (_, _storage, log) = reopened(true, |bench, _| {
        bench.files.damage(Path::new("/data/clean-shutdown"), 30, &[0xee; 4]).unwrap();
    });
    assert_dense(&read_all(&log, 0, 500), 0, 40);
}

#[test]
fn garbage_behind_the_last_batch_is_dropped() {
    let (bench, storage, log) = reopened(false, |bench, dir| {
        let last = dir.join("00000000000000000035.log");
        let size = bench.files.size(&last).unwrap();
        bench.files.damage(&last, size, &[0; 700]).unwrap();
        drop(
            bench.files.open(&dir.join("00000000000000000052.log"), files::OpenMode::CreateOrWrite).unwrap(),
        );
    });
    assert_eq!(log.offline().map(|e| e.to_string()), None);
    assert_dense(&read_all(&log, 0, 500), 0, 40);
    assert!(bench.files.size(&log.dir().join("00000000000000000052.log")).is_err());
    assert_eq!(committed(&storage, append(&log, 1, 10, 0)), 40);
    bench.files.crash(Crash::Power { seed: 4 });
    let log = bench.open().open_log("a-0", small_segments()).unwrap();
    assert_eq!(log.log_end_offset(), 41);
}
