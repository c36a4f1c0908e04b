//! Look-ups that something comes in between of.

use super::super::files::{Crash, Files, OpenMode, SimFault};
use super::super::testing::Plain;
use super::*;

/// One segment whose index is in its file, and nothing in memory.
fn indexed(bench: &mut Bench) -> (Arc<Storage>, Arc<Log>) {
    bench.config.tail_cache_bytes = 0;
    let config = LogConfig { segment_bytes: 1 << 20, ..small_segments() };
    let storage = bench.open();
    let log = storage.create_log("a-0", config.clone()).unwrap();
    for n in 0..60 {
        committed(&storage, append(&log, 1, 100, n));
    }
    storage.close().unwrap();
    drop((storage, log));
    let storage = bench.open();
    let log = storage.open_log("a-0", config).unwrap();
    assert_eq!(log.read(30, 1, true).unwrap().next_offset, 31);
    (storage, log)
}

#[test]
fn an_index_that_is_cut_short_in_use_is_made_again() {
    let mut bench = Bench::new();
    let (_storage, log) = indexed(&mut bench);
    let path = log.dir().join("00000000000000000000.index");
    assert!(bench.files.size(&path).unwrap() > 0);
    bench.files.open(&path, OpenMode::Write).unwrap().set_len(0).unwrap();
    assert_eq!(log.read(40, 1, true).unwrap().next_offset, 41);
    assert_dense(&read_all(&log, 50, 1000), 50, 60);
    assert_eq!(log.offset_for_timestamp(20).unwrap().unwrap().offset, 20);
}

#[test]
fn an_index_that_cannot_be_read_is_a_failure_of_the_disk() {
    let mut bench = Bench::new();
    let (_storage, log) = indexed(&mut bench);
    bench.files.inject(".index", SimFault::ReadError);
    assert!(matches!(log.read(40, 1, true), Err(StorageError::Offline { .. })));
}

#[test]
fn a_look_up_by_time_goes_on_behind_what_retention_removes_meanwhile() {
    let bench = Bench::new();
    let storage = bench.open();
    let log = storage.create_log("a-0", small_segments()).unwrap();
    for n in 0..20 {
        committed(&storage, append(&log, 1, 100, n * 10));
    }
    storage.close().unwrap();
    drop((storage, log));
    let files = Arc::new(Plain::new(bench.files.clone()));
    let storage = Storage::open(Arc::clone(&files) as Arc<dyn Files>, "/data", bench.config.clone()).unwrap();
    let log = storage.open_log("a-0", small_segments()).unwrap();
    *lock(&files.on_open) = Some(Box::new({
        let (storage, log) = (Arc::clone(&storage), Arc::clone(&log));
        move || {
            let moved = log.delete_records_before(15);
            storage.drive();
            assert_eq!(moved.wait().unwrap(), 15);
        }
    }));
    let found = log.offset_for_timestamp(0).unwrap();
    assert_eq!(found.map(|found| (found.offset, found.timestamp)), Some((15, 150)));
    assert!(log.offline().is_none());
}

/// Of what was there at start and is in no checkpoint the index knows nothing until it is read.
#[test]
fn a_look_up_by_time_finds_what_a_crash_left() {
    let mut bench = Bench::new();
    bench.config.checkpoint_bytes = u64::MAX;
    let config = LogConfig { segment_bytes: 1 << 20, ..small_segments() };
    let storage = bench.open();
    let log = storage.create_log("a-0", config.clone()).unwrap();
    for n in 0..10 {
        committed(&storage, append(&log, 1, 100, 1000 + n));
    }
    drop((storage, log));
    bench.files.crash(Crash::Process);
    let storage = bench.open();
    let log = storage.open_log("a-0", config).unwrap();
    for n in 0..10 {
        committed(&storage, append(&log, 1, 100, n));
    }
    for (timestamp, offset) in [(0, 0), (500, 0), (1003, 3), (1009, 9)] {
        let found = log.offset_for_timestamp(timestamp).unwrap();
        assert_eq!(found.map(|found| found.offset), Some(offset), "at {timestamp}");
    }
}
