//! Losing the newest records on purpose.

use super::super::files::{Crash, Files};
use super::*;

/// Cuts the log and gives what it is opened as again.
fn cut(storage: &Storage, log: &Arc<Log>, records: u64) -> (i64, Arc<Log>) {
    let cut = log.begin_truncate(records).unwrap();
    assert!(log.begin_truncate(1).is_none(), "one at a time");
    assert!(matches!(try_append(log), Err(StorageError::Closed)), "nothing is appended to what goes");
    storage.drive();
    let end = cut.wait().unwrap();
    assert!(matches!(log.offline(), Some(StorageError::Truncated(_))));
    assert!(matches!(log.read(0, 100, true), Err(StorageError::Truncated(_))));
    (end, storage.reopen_log(log).unwrap())
}

fn try_append(log: &Arc<Log>) -> Result<Appended, StorageError> {
    log.append(AppendBatch::new(crate::storage::testing::batch(0, 1, 10, 0)).unwrap().into(), 0)
}

/// Twenty batches of three records each, in several segments.
fn filled(storage: &Storage) -> Arc<Log> {
    let log = storage.create_log("t-0", small_segments()).unwrap();
    for epoch in 0..20 {
        let batch = AppendBatch::new(crate::storage::testing::batch(0, 3, 50, i64::from(epoch))).unwrap();
        let appended = log.append(batch.into(), epoch / 5).unwrap();
        storage.drive();
        appended.ticket.wait().unwrap();
    }
    log
}

#[test]
fn whole_batches_go_wherever_the_cut_lies() {
    for flush in [FlushMode::GroupCommit, FlushMode::Os] {
        for records in 1..=70 {
            let mut bench = Bench::new();
            bench.config.flush = flush;
            let storage = bench.open();
            let log = filled(&storage);
            assert!(segment_names(&bench, &log).len() > 4);
            let waiting = append(&log, 3, 50, 0);
            let (end, led) = cut(&storage, &log, records);
            waiting.ticket.wait().unwrap();
            let due = (63 - i64::try_from(records).unwrap()).max(0) / 3 * 3;
            assert_eq!((end, led.high_watermark(), led.log_end_offset()), (due, due, due), "{records}");
            assert_dense(&read_all(&led, 0, 500), 0, due);
            // An epoch ends no later than the log.
            assert!(led.epoch_end_offset(0).end_offset <= due.min(15), "{records}");
            // It goes on from there, and is found so again.
            assert_eq!(committed(&storage, append(&led, 2, 50, 0)), due);
            assert_dense(&read_all(&led, 0, 500), 0, due + 2);
            storage.close().unwrap();
            drop((storage, led, log));
            let storage = bench.open();
            let log = storage.open_log("t-0", small_segments()).unwrap();
            assert_eq!(log.high_watermark(), due + 2);
            assert_dense(&read_all(&log, 0, 500), 0, due + 2);
        }
    }
}

#[test]
fn what_is_below_the_log_start_stays_away() {
    let bench = Bench::new();
    let storage = bench.open();
    let log = filled(&storage);
    let moved = log.delete_records_before(31);
    storage.drive();
    moved.wait().unwrap();
    let (end, led) = cut(&storage, &log, 1000);
    assert_eq!((end, led.log_start_offset(), led.high_watermark()), (31, 31, 31));
    assert_eq!(committed(&storage, append(&led, 1, 10, 0)), 31);
}

#[test]
fn an_empty_log_loses_nothing() {
    let bench = Bench::new();
    let storage = bench.open();
    let log = storage.create_log("t-0", small_segments()).unwrap();
    let (end, led) = cut(&storage, &log, 3);
    assert_eq!((end, led.high_watermark()), (0, 0));
    assert_eq!(committed(&storage, append(&led, 1, 10, 0)), 0);
}

/// Whenever the power fails, a log is found that is a part of what was there, without holes, and never offline.
#[test]
fn a_crash_leaves_a_log_that_opens() {
    let bench = Bench::new();
    let storage = bench.open();
    let log = filled(&storage);
    let disks = Arc::new(std::sync::Mutex::new(Vec::new()));
    let seen = Arc::clone(&disks);
    bench.files.observe(move |disk| seen.lock().unwrap().push(disk));
    let (end, _led) = cut(&storage, &log, 25);
    bench.files.stop_observing();
    let disks = std::mem::take(&mut *disks.lock().unwrap());
    assert!(disks.len() > 5);
    for (n, disk) in disks.into_iter().enumerate() {
        for crash in [Crash::Process, Crash::Power { seed: n as u64 }] {
            let files = disk.fork();
            files.crash(crash);
            assert!(files.list(std::path::Path::new("/data/logs/t-0")).is_ok());
            let bench = Bench { files, config: bench.config.clone(), now: Arc::clone(&bench.now) };
            let storage = bench.open();
            let log = storage.open_log("t-0", small_segments()).unwrap();
            assert!(log.offline().is_none(), "{n} {crash:?}: {:?}", log.offline());
            assert!((end..=60).contains(&log.high_watermark()), "{n} {crash:?}");
            assert_dense(&read_all(&log, 0, 500), 0, log.high_watermark());
        }
    }
}

#[test]
fn a_log_that_fails_meanwhile_is_not_opened_again() {
    let bench = Bench::new();
    let storage = bench.open();
    let log = filled(&storage);
    bench.files.inject("t-0", files::SimFault::SyncError);
    let cut = log.begin_truncate(5).unwrap();
    storage.drive();
    assert!(cut.wait().unwrap_err().is_storage_failure());
    assert!(log.begin_truncate(5).is_none());
    assert!(storage.reopen_log(&log).is_err());
    // Nor is one that was never cut.
    let other = storage.create_log("u-0", small_segments()).unwrap();
    assert!(storage.reopen_log(&other).is_err());
}

/// Each epoch begins with a segment.
#[test]
fn an_epoch_of_which_nothing_is_left_is_forgotten() {
    for records in 1..=5 {
        let bench = Bench::new();
        let storage = bench.open();
        let log = storage.create_log("t-0", small_segments()).unwrap();
        for epoch in 0..5 {
            let batch = AppendBatch::new(crate::storage::testing::batch(0, 1, 900, 0)).unwrap();
            committed(&storage, log.append(batch.into(), epoch).unwrap());
        }
        assert_eq!(segment_names(&bench, &log).len(), 5);
        let (end, led) = cut(&storage, &log, records);
        assert_eq!(led.latest_epoch().map(i64::from), (0..end).last());
    }
}
