//! Restarts, retention, deletion, and the folder as a whole.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::super::committer::CHECKPOINT;
use super::super::files::{Crash, Files, RealFiles};
use super::super::image::LogImage;
use super::super::testing::{Bench, append, batch, small_segments};
use super::super::*;
use super::{assert_dense, committed, read_all, segment_names};

#[test]
fn a_clean_shutdown_is_believed_once() {
    let bench = Bench::new();
    let storage = bench.open();
    for name in ["a-0", "b-0", "c-0"] {
        let log = storage.create_log(name, small_segments()).unwrap();
        (0..20).for_each(|n| drop(append(&log, 2, 100, n)));
    }
    storage.close().unwrap();
    let operations = bench.files.operations();
    assert!(bench.files.size("/data/clean-shutdown".as_ref()).is_ok());
    drop(storage);

    let storage = bench.open();
    assert!(bench.files.size("/data/clean-shutdown".as_ref()).is_err());
    let log = storage.open_log("a-0", small_segments()).unwrap();
    assert_eq!((log.high_watermark(), log.log_start_offset()), (40, 0));
    assert!(bench.files.operations() - operations < 10, "no log was looked at");
    assert_dense(&read_all(&log, 7, 1000), 7, 40);
    committed(&storage, append(&log, 1, 10, 0));
    // b-0 was not opened this time: the next marker still knows it.
    storage.close().unwrap();
    drop((log, storage));
    let storage = bench.open();
    let mut names = storage.list_logs().unwrap();
    names.sort();
    assert_eq!(names, ["a-0", "b-0", "c-0"]);
    for (name, end) in [("a-0", 41), ("b-0", 40), ("c-0", 40)] {
        let log = storage.open_log(name, small_segments()).unwrap();
        assert_eq!(log.log_end_offset(), end);
        assert_dense(&read_all(&log, 0, 1000), 0, end);
    }
}

#[test]
fn a_closed_storage_takes_nothing_more_but_keeps_what_it_took() {
    let bench = Bench::new();
    let storage = bench.open();
    let log = storage.create_log("a-0", small_segments()).unwrap();
    let appended = append(&log, 1, 10, 0);
    storage.close().unwrap();
    appended.ticket.wait().unwrap();
    let again = log.append(AppendBatch::new(testing::batch(0, 1, 5, 0)).unwrap().into(), 0);
    assert!(matches!(again, Err(StorageError::Closed)));
    assert!(matches!(log.flush().wait(), Err(StorageError::Closed)));
    assert!(matches!(storage.create_log("b-0", small_segments()), Err(StorageError::Closed)));
    storage.close().unwrap();
}

#[test]
fn dropped_without_being_closed_it_answers_those_who_wait() {
    let bench = Bench::new();
    let storage = bench.open();
    let log = storage.create_log("a-0", small_segments()).unwrap();
    let (appended, flushed) = (append(&log, 1, 10, 0), log.flush());
    drop(storage);
    assert!(matches!(appended.ticket.wait(), Err(StorageError::Closed)));
    assert!(matches!(flushed.wait(), Err(StorageError::Closed)));
}

#[test]
fn recovery_reads_only_what_lies_behind_the_checkpoint() {
    let mut bench = Bench::new();
    bench.config.checkpoint_bytes = 3000;
    let storage = bench.open();
    let config = LogConfig { segment_bytes: 1 << 20, ..small_segments() };
    let log = storage.create_log("a-0", config.clone()).unwrap();
    for n in 0..100 {
        committed(&storage, append(&log, 1, 100, n));
    }
    bench.files.crash(Crash::Process);
    // Damage before the recovery point is met by whoever reads it, damage behind it at start.
    let path = log.dir().join("00000000000000000000.log");
    let size = bench.files.size(&path).unwrap();
    bench.files.damage(&path, 300, &[0xee]).unwrap();
    let storage = bench.open();
    let log = storage.open_log("a-0", config.clone()).unwrap();
    assert_eq!((log.offline().map(|e| e.to_string()), log.log_end_offset()), (None, 100));
    drop(storage);
    bench.files.crash(Crash::Process);
    bench.files.damage(&path, size - 10, &[0xee]).unwrap();
    let log = bench.open().open_log("a-0", config).unwrap();
    assert!(log.offline().unwrap().to_string().contains("give up offset 99"));
    assert_eq!(bench.files.size(&path).unwrap(), size);
}

#[test]
fn retention_by_size_keeps_the_newest_segments() {
    let bench = Bench::new();
    let storage = bench.open();
    let log = storage.create_log("a-0", LogConfig { retention_bytes: 3000, ..small_segments() }).unwrap();
    for n in 0..60 {
        committed(&storage, append(&log, 1, 100, n));
    }
    assert_eq!(log.log_start_offset(), 0);
    let before = log.size_bytes();
    storage.maintain();
    storage.drive();
    assert!(log.log_start_offset() > 0 && log.size_bytes() < before);
    assert!((3000..4000).contains(&log.size_bytes()), "{}", log.size_bytes());
    assert_dense(&read_all(&log, log.log_start_offset(), 1000), log.log_start_offset(), 60);
    let below = log.read(log.log_start_offset() - 1, 100, true);
    assert!(matches!(below, Err(StorageError::OffsetOutOfRange { .. })));
    let left = segment_names(&bench, &log).len();
    storage.maintain();
    storage.drive();
    assert_eq!(segment_names(&bench, &log).len(), left);
}

#[test]
fn retention_by_time_takes_everything_that_is_old() {
    let bench = Bench::new();
    let storage = bench.open();
    let log = storage.create_log("a-0", LogConfig { retention_ms: 5000, ..small_segments() }).unwrap();
    let now = bench.now.load(Ordering::Relaxed);
    for n in 0..40 {
        committed(&storage, append(&log, 1, 100, now + n * 100));
    }
    bench.now.fetch_add(7000, Ordering::Relaxed);
    storage.maintain();
    storage.drive();
    let start = log.log_start_offset();
    assert!((15..=20).contains(&start), "what is older than 2000: {start}");
    // What is on its way into the active segment keeps it.
    bench.now.fetch_add(60_000, Ordering::Relaxed);
    storage.maintain();
    let waiting = append(&log, 1, 100, now);
    storage.drive();
    waiting.ticket.wait().unwrap();
    assert!(log.size_bytes() > 0 && log.log_start_offset() > start);
    storage.maintain();
    storage.drive();
    assert_eq!((log.size_bytes(), log.log_start_offset(), log.log_end_offset()), (0, 41, 41));
    assert!(segment_names(&bench, &log).is_empty());
    assert!(log.read(41, 100, true).unwrap().slices.is_empty());
    // It goes on where it was, also after a crash.
    bench.files.crash(Crash::Power { seed: 3 });
    let storage = bench.open();
    let log = storage.open_log("a-0", small_segments()).unwrap();
    assert_eq!((log.log_start_offset(), log.log_end_offset()), (41, 41));
    assert_eq!(committed(&storage, append(&log, 1, 100, now)), 41);
    assert_dense(&read_all(&log, 41, 100), 41, 42);
}

/// As Kafka has it: what is as old as retention.ms stays, what is older goes.
#[test]
fn retention_keeps_what_is_as_old_as_it_says() {
    let bench = Bench::new();
    let storage = bench.open();
    let log = storage.create_log("a-0", LogConfig { retention_ms: 5000, ..small_segments() }).unwrap();
    committed(&storage, append(&log, 1, 100, bench.now.load(Ordering::Relaxed)));
    for (passed, start) in [(5000, 0), (1, 1)] {
        bench.now.fetch_add(passed, Ordering::Relaxed);
        storage.maintain();
        storage.drive();
        assert_eq!(log.log_start_offset(), start);
    }
}

/// An index entry has 32 bits for an offset: batches that say to hold two thousand million records fill a segment.
#[test]
fn the_offsets_of_a_segment_fit_its_index() {
    let bench = Bench::new();
    let storage = bench.open();
    let log = storage.create_log("a-0", LogConfig { segment_bytes: 1 << 20, ..small_segments() }).unwrap();
    let max = i64::from(i32::MAX);
    let mut wide = batch(0, 1, 10, 0).to_vec();
    wide[23..27].copy_from_slice(&(i32::MAX - 1).to_be_bytes());
    let crc = crc32c::crc32c(&wide[21..]);
    wide[17..21].copy_from_slice(&crc.to_be_bytes());
    let appended = log.append(AppendBatch::new(wide.into()).unwrap().into(), 0).unwrap();
    assert_eq!(committed(&storage, appended), 0);
    for n in 0..4 {
        assert_eq!(committed(&storage, append(&log, 1, 10, 0)), max + n);
    }
    let names: Vec<String> = segment_names(&bench, &log);
    assert_eq!(names, [0, max + 1].map(|base_offset| format!("{base_offset:020}.log")));
}

#[test]
fn delete_records_moves_the_start_and_nothing_else() {
    let bench = Bench::new();
    let storage = bench.open();
    let log = storage.create_log("a-0", small_segments()).unwrap();
    for n in 0..30 {
        committed(&storage, append(&log, 2, 100, n));
    }
    let delete = |offset| {
        let deleted = log.delete_records_before(offset);
        storage.drive();
        deleted.wait()
    };
    assert_eq!(delete(25).unwrap(), 25);
    assert_eq!(log.log_start_offset(), 25);
    let operations = bench.files.operations();
    assert_eq!(delete(10).unwrap(), 25, "never back");
    assert_eq!(delete(25).unwrap(), 25);
    assert_eq!(bench.files.operations(), operations, "nothing to do");
    assert!(matches!(delete(61), Err(StorageError::OffsetOutOfRange { offset: 61, .. })));
    assert!(matches!(delete(-2), Err(StorageError::OffsetOutOfRange { .. })));
    assert_dense(&read_all(&log, 25, 500), 25, 60);
    assert!(log.read(24, 100, true).is_err());
    let segments = segment_names(&bench, &log);
    assert!(segments[0].as_str() > "00000000000000000010.log", "{segments:?}");
    assert_eq!(delete(-1).unwrap(), 60);
    assert_eq!((log.log_start_offset(), segment_names(&bench, &log).len()), (60, 1));
    assert_eq!(committed(&storage, append(&log, 1, 10, 0)), 60);
}

#[test]
fn slices_stay_readable_after_their_segment_is_gone() {
    let dir = tempfile::tempdir().unwrap();
    let config = StorageConfig { tail_cache_bytes: 0, max_open_files: 1, ..StorageConfig::default() };
    let storage = Storage::open(Arc::new(RealFiles::new()), dir.path(), config).unwrap();
    let log = storage.create_log("a-0", small_segments()).unwrap();
    (0..30).for_each(|n| append(&log, 1, 100, n).ticket.wait().unwrap());
    let read = log.read(2, 400, true).unwrap();
    let before = read.to_bytes().unwrap();
    assert_eq!(log.delete_records_before(25).wait().unwrap(), 25);
    assert!(!log.dir().join("00000000000000000000.log").exists());
    assert_eq!(read.to_bytes().unwrap(), before);
    storage.delete_log("a-0").wait().unwrap();
    assert!(!log.dir().exists());
    assert_eq!(read.to_bytes().unwrap(), before);
    assert!(matches!(log.read(25, 100, true), Err(StorageError::LogDeleted(_))));
}

#[test]
fn a_deleted_log_makes_room_for_another_of_its_name() {
    let bench = Bench::new();
    let storage = bench.open();
    let log = storage.create_log("a-0", small_segments()).unwrap();
    committed(&storage, append(&log, 5, 100, 0));
    let waiting = append(&log, 1, 10, 0);
    let deleted = storage.delete_log("a-0");
    assert!(matches!(waiting.ticket.wait(), Err(StorageError::LogDeleted(_))));
    assert!(matches!(storage.create_log("a-0", small_segments()), Err(StorageError::LogExists(_))));
    storage.drive();
    deleted.wait().unwrap();
    assert_eq!((storage.pending_bytes(), storage.tail_cache_bytes()), (0, 0));
    assert!(storage.list_logs().unwrap().is_empty());
    assert!(matches!(storage.open_log("a-0", small_segments()), Err(StorageError::LogNotFound(_))));
    assert!(matches!(storage.delete_log("a-0").wait(), Err(StorageError::LogNotFound(_))));
    let log = storage.create_log("a-0", small_segments()).unwrap();
    assert_eq!(committed(&storage, append(&log, 1, 10, 0)), 0);
    assert!(bench.files.list("/data/logs".as_ref()).unwrap().len() == 1);
}

#[test]
fn names_that_are_no_folder_of_ours_are_refused() {
    let bench = Bench::new();
    let storage = bench.open();
    let long = "x".repeat(256);
    for name in ["", ".", "..", "a/b", "/", "a\0", ".deleted.1", &long] {
        let created = storage.create_log(name, small_segments());
        assert!(matches!(created, Err(StorageError::InvalidName(_))), "{name:?}");
        assert!(matches!(storage.open_log(name, small_segments()), Err(StorageError::InvalidName(_))));
    }
    let both = storage.create_logs(&[("a-0".into(), small_segments()), ("a-0".into(), small_segments())]);
    assert!(both[0].is_ok() && matches!(both[1], Err(StorageError::LogExists(_))));
}

#[test]
fn a_folder_is_used_by_one_at_a_time() {
    let dir = tempfile::tempdir().unwrap();
    let open =
        || Storage::open(Arc::new(RealFiles::new()), dir.path().join("data"), StorageConfig::default());
    let first = open().unwrap();
    let error = open().unwrap_err();
    assert!(matches!(error, StorageError::Locked(_)));
    assert!(error.to_string().contains("in use by another process"), "{error}");
    drop(first);
    open().unwrap();
}

#[test]
fn a_folder_that_cannot_be_made_is_a_clear_error() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("file"), b"").unwrap();
    let error =
        Storage::open(Arc::new(RealFiles::new()), dir.path().join("file/data"), StorageConfig::default());
    let error = error.unwrap_err().to_string();
    assert!(error.contains("create failed on") && error.contains("file/data"), "{error}");
}

/// Real files, real threads: many producers and readers at once, in every mode, across restarts.
#[test]
fn threads_and_files_keep_order() {
    for flush in [FlushMode::GroupCommit, FlushMode::Os, FlushMode::Interval(Duration::from_millis(5))] {
        let dir = tempfile::tempdir().unwrap();
        let config = StorageConfig {
            flush,
            committers: 3,
            max_open_files: 4,
            tail_cache_bytes: 50_000,
            maintenance_interval: Duration::from_millis(20),
            ..StorageConfig::default()
        };
        let names: Vec<String> = (0..6).map(|n| format!("t-{n}")).collect();
        for round in 0..3_i64 {
            let storage = Storage::open(Arc::new(RealFiles::new()), dir.path(), config.clone()).unwrap();
            let log_config = LogConfig { segment_bytes: 20_000, ..small_segments() };
            let logs: Vec<Arc<Log>> = names
                .iter()
                .map(|name| match round {
                    0 => storage.create_log(name, log_config.clone()).unwrap(),
                    _ => storage.open_log(name, log_config.clone()).unwrap(),
                })
                .collect();
            let end = (round + 1) * 4 * 100;
            std::thread::scope(|scope| {
                for log in &logs {
                    for _ in 0..4 {
                        scope.spawn(|| {
                            let tickets: Vec<_> =
                                (0..100).map(|n| append(log, 1, n * 5, n as i64).ticket).collect();
                            tickets.into_iter().for_each(|ticket| ticket.wait().unwrap());
                        });
                    }
                    scope.spawn(move || {
                        let mut at = 0;
                        while at < end {
                            log.committed(at + 1).wait().unwrap();
                            at = read_all(log, at, 3000).last().unwrap().next_offset();
                        }
                    });
                }
            });
            for log in &logs {
                assert_eq!((log.log_end_offset(), log.high_watermark()), (end, end));
                assert_dense(&read_all(log, 0, 10_000), 0, end);
            }
            assert!(storage.open_files() <= 4);
            assert_eq!(storage.pending_bytes(), 0);
            // A clean end, and one that is not.
            if round == 0 {
                storage.close().unwrap();
            }
        }
    }
}

/// A log whose start had moved past all that was synced lost the rest by a power loss, removed what was below its start, and missed
/// it at the next start: it was offline for good.
#[test]
fn a_log_that_lost_all_but_its_start_opens_twice() {
    let mut emptied = 0;
    let checkpoint = Path::new("/data/logs/t-0").join(CHECKPOINT);
    for seed in 0..60 {
        let mut bench = Bench::new();
        let stored = |bench: &Bench| {
            let bytes = snapshot::read(&bench.files, &checkpoint).unwrap();
            bytes.map(|bytes| LogImage::decode(&bytes).unwrap())
        };
        bench.config.flush = FlushMode::Os;
        let storage = bench.open();
        let log = storage.create_log("t-0", small_segments()).unwrap();
        committed(&storage, append(&log, 3, 10, 0));
        storage.close().unwrap();
        drop((log, storage));
        let storage = bench.open();
        let log = storage.open_log("t-0", small_segments()).unwrap();
        committed(&storage, append(&log, 6, 10, 0));
        let deleted = log.delete_records_before(5);
        storage.drive();
        assert_eq!(deleted.wait().unwrap(), 5);
        drop((log, storage));
        for crash in [Crash::Power { seed }, Crash::Process, Crash::Power { seed: seed + 1 }] {
            bench.files.crash(crash);
            let storage = bench.open();
            let log = storage.open_log("t-0", small_segments()).unwrap();
            assert_eq!(log.offline().map(|error| error.to_string()), None, "seed {seed}");
            assert_eq!(log.log_start_offset(), 5, "seed {seed}");
            assert!([5, 9].contains(&log.log_end_offset()), "seed {seed}");
            if log.log_end_offset() == 5 {
                emptied += 1;
                // nothing of what was there is in it
                let image = stored(&bench).unwrap();
                assert_eq!((image.log_start_offset, image.end_offset), (5, 5), "seed {seed}");
                assert!(image.segments.is_empty(), "seed {seed}");
            }
        }
    }
    assert!(emptied > 0);
}
