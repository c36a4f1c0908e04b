//! The room as its users see it, on the simulated disk.

mod chaos;
mod damage;
mod lifecycle;
mod lookups;
mod model;
mod recovery;
mod shutdown;
mod truncate;

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, Waker};

use super::testing::{Bench, append, small_segments};
use super::*;
use crate::wire::record::{BatchHeader, batches, verify_crc};

/// All batches from an offset on.
fn read_all(log: &Arc<Log>, from: i64, max_bytes: usize) -> Vec<BatchHeader> {
    let mut at = from;
    let mut headers = Vec::new();
    loop {
        let read = log.read(at, max_bytes, true).unwrap();
        let bytes = read.to_bytes().unwrap();
        assert_eq!(bytes.len(), read.total_len);
        if bytes.is_empty() {
            assert_eq!(at, log.high_watermark());
            return headers;
        }
        for batch in batches(&bytes) {
            let batch = batch.unwrap();
            verify_crc(batch.bytes).unwrap();
            headers.push(batch.header);
        }
        let next = headers.last().unwrap().next_offset();
        assert_eq!(next, read.next_offset);
        assert!(next > at);
        at = next;
    }
}

/// The batches follow on each other; the first one holds `from`, the last one ends at `to`.
fn assert_dense(headers: &[BatchHeader], from: i64, to: i64) {
    let mut due = headers.first().map_or(from, |first| first.base_offset);
    assert!(due <= from);
    for header in headers {
        assert_eq!(header.base_offset, due);
        due = header.next_offset();
        assert!(due > from);
    }
    assert_eq!(due, to);
}

fn committed(storage: &Storage, appended: Appended) -> i64 {
    storage.drive();
    appended.ticket.wait().unwrap();
    appended.base_offset
}

/// What came of a request, if that is known already.
fn answered<T>(mut asked: Completion<T>) -> Option<Result<T, StorageError>> {
    match Pin::new(&mut asked).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(answer) => Some(answer),
        Poll::Pending => None,
    }
}

fn segment_names(bench: &Bench, log: &Log) -> Vec<String> {
    let mut names: Vec<String> =
        files::Files::list(&bench.files, log.dir()).unwrap().into_iter().map(|entry| entry.name).collect();
    names.retain(|name| name.ends_with(".log"));
    names.sort();
    names
}

#[test]
fn appends_get_dense_offsets_and_are_read_after_their_commit() {
    let bench = Bench::new();
    let storage = bench.open();
    let log = storage.create_log("orders-0", small_segments()).unwrap();
    let mut due = 0;
    for n in 1..40 {
        let appended = append(&log, n % 4 + 1, (n * 37) as usize % 3000, i64::from(n));
        assert_eq!(appended.base_offset, due);
        due = appended.last_offset + 1;
        assert_eq!((log.log_end_offset(), log.log_start_offset()), (due, 0));
        assert!(!appended.ticket.is_committed());
        assert!(log.high_watermark() < due);
        if n % 3 == 0 {
            storage.drive();
            appended.ticket.wait().unwrap();
            assert_eq!(log.high_watermark(), due);
        }
    }
    storage.drive();
    log.committed(due).wait().unwrap();
    for max_bytes in [1, 500, 2000, 1 << 20] {
        for from in 0..due {
            assert_dense(&read_all(&log, from, max_bytes), from, due);
        }
    }
    assert!(matches!(log.read(-1, 1, true), Err(StorageError::OffsetOutOfRange { .. })));
    assert!(matches!(log.read(due + 1, 1, true), Err(StorageError::OffsetOutOfRange { .. })));
    assert!(log.read(due, 1000, true).unwrap().slices.is_empty());
    assert!(log.read(0, 1, false).unwrap().slices.is_empty());
    assert!(storage.open_files() <= bench.config.max_open_files);
    assert_eq!(storage.pending_bytes(), 0);
}

#[test]
fn what_is_not_committed_is_not_read() {
    let bench = Bench::new();
    let storage = bench.open();
    let log = storage.create_log("orders-0", small_segments()).unwrap();
    committed(&storage, append(&log, 2, 10, 0));
    let waiting = append(&log, 3, 10, 0);
    assert_eq!((log.log_end_offset(), log.high_watermark()), (5, 2));
    assert!(log.read(3, 1000, true).unwrap().slices.is_empty());
    let read = log.read(1, 1000, true).unwrap();
    assert_eq!((read.next_offset, read.high_watermark, read.slices.len()), (2, 2, 1));
    committed(&storage, waiting);
    assert_eq!(log.read(3, 1000, true).unwrap().next_offset, 5);
}

#[test]
fn files_and_memory_give_the_same_bytes() {
    let bench = Bench::new();
    let mut without_tail = Bench::new();
    without_tail.config.tail_cache_bytes = 0;
    let logs: Vec<(Arc<Storage>, Arc<Log>)> = [&bench, &without_tail]
        .into_iter()
        .map(|bench| {
            let storage = bench.open();
            let log = storage.create_log("orders-0", small_segments()).unwrap();
            for n in 0..30 {
                committed(&storage, append(&log, 2, n * 50, n as i64));
            }
            (storage, log)
        })
        .collect();
    let [(_, memory), (_, files)] = logs.as_slice() else { panic!() };
    for from in 0..60 {
        let all = |log: &Arc<Log>| {
            let mut at = from;
            let mut all = Vec::new();
            while at < 60 {
                let read = log.read(at, 700, true).unwrap();
                all.extend_from_slice(&read.to_bytes().unwrap());
                at = read.next_offset;
            }
            all
        };
        assert_eq!(all(memory), all(files), "from {from}");
    }
    assert!(matches!(memory.read(30, 1, true).unwrap().slices[..], [LogSlice::Memory(_)]));
    assert!(matches!(files.read(30, 1, true).unwrap().slices[..], [LogSlice::File(_)]));
}

#[tokio::test]
async fn async_reads_agree_and_slices_are_streamed_in_chunks() {
    let mut bench = Bench::new();
    bench.config.tail_cache_bytes = 0;
    let storage = bench.open();
    let log =
        storage.create_log("orders-0", LogConfig { segment_bytes: 1 << 20, ..small_segments() }).unwrap();
    for n in 0..50 {
        let appended = append(&log, 2, 300, n);
        storage.drive();
        appended.ticket.await.unwrap();
    }
    for from in (0..100).chain((0..100).rev()) {
        let fetched = log.fetch(from, 5000, true).await.unwrap();
        let read = log.read(from, 5000, true).unwrap();
        assert_eq!(fetched.to_bytes().unwrap(), read.to_bytes().unwrap());
        let [LogSlice::File(slice)] = &fetched.slices[..] else { panic!("nothing is in memory") };
        let mut streamed = bytes::BytesMut::new();
        while streamed.len() < fetched.total_len {
            streamed = slice.read_chunk(streamed.len() as u64, 777, streamed).await.unwrap();
        }
        assert_eq!(streamed, read.to_bytes().unwrap());
        assert!(
            slice.read_chunk(fetched.total_len as u64, 777, bytes::BytesMut::new()).await.unwrap().is_empty()
        );
    }
}

#[test]
fn batches_are_refused_that_are_too_large_or_too_many() {
    let mut bench = Bench::new();
    bench.config.max_pending_bytes = 3000;
    let storage = bench.open();
    let log =
        storage.create_log("orders-0", LogConfig { max_message_bytes: 2000, ..small_segments() }).unwrap();
    let try_append = |len| log.append(AppendBatch::new(testing::batch(0, 1, len, 0)).unwrap().into(), 0);
    assert!(matches!(try_append(2000), Err(StorageError::MessageTooLarge { .. })));
    log.set_config(LogConfig { max_message_bytes: 4000, ..small_segments() });
    let first = try_append(2000).unwrap();
    assert!(matches!(try_append(2000), Err(StorageError::Overloaded { .. })));
    committed(&storage, first);
    assert_eq!(storage.pending_bytes(), 0);
    committed(&storage, try_append(2000).unwrap());
    assert_eq!(log.log_end_offset(), 2);
}

#[test]
fn a_batch_larger_than_a_segment_gets_its_own() {
    let bench = Bench::new();
    let storage = bench.open();
    let log = storage.create_log("orders-0", small_segments()).unwrap();
    for len in [10, 5000, 10, 10, 20_000, 10] {
        committed(&storage, append(&log, 1, len, 0));
    }
    assert_eq!(segment_names(&bench, &log).len(), 5);
    assert_dense(&read_all(&log, 0, 100), 0, 6);
}

#[test]
fn a_segment_is_filled_to_the_last_byte() {
    let bench = Bench::new();
    let storage = bench.open();
    let segment_bytes = 2 * testing::batch(0, 1, 100, 0).len() as u32;
    let log = storage.create_log("orders-0", LogConfig { segment_bytes, ..small_segments() }).unwrap();
    let segments = [(); 3].map(|()| {
        committed(&storage, append(&log, 1, 100, 0));
        segment_names(&bench, &log).len()
    });
    assert_eq!(segments, [1, 1, 2]);
}

#[test]
fn batches_appended_together_follow_on_each_other() {
    let bench = Bench::new();
    let storage = bench.open();
    let log = storage.create_log("orders-0", small_segments()).unwrap();
    let run = [(1, 10), (2, 5000), (3, 10)].map(|(count, len)| testing::batch(0, count, len, 0)).concat();
    let appended = log.append(AppendBatches::parse(run.into()).unwrap(), 0).unwrap();
    assert_eq!((appended.base_offset, appended.last_offset), (0, 5));
    committed(&storage, appended);
    let headers = read_all(&log, 0, 1 << 20);
    assert_eq!(headers.len(), 3);
    assert_dense(&headers, 0, 6);
    assert_eq!(storage.pending_bytes(), 0);
}

#[test]
fn the_memory_for_recent_batches_is_bounded() {
    let mut bench = Bench::new();
    bench.config.tail_cache_bytes = 300_000;
    let storage = bench.open();
    let log = storage.create_log("orders-0", small_segments()).unwrap();
    for n in 0..20 {
        committed(&storage, append(&log, 1, 50_000, n));
        assert!(storage.tail_cache_bytes() <= 300_000);
    }
    assert!(storage.tail_cache_bytes() > 100_000);
    assert_dense(&read_all(&log, 0, 1 << 20), 0, 20);
}

#[test]
fn segments_roll_by_the_time_of_their_records() {
    let bench = Bench::new();
    let storage = bench.open();
    let config = LogConfig { segment_ms: 1000, segment_bytes: 1 << 20, ..small_segments() };
    let log = storage.create_log("orders-0", config.clone()).unwrap();
    for timestamp in [5000, 5500, 6000, 6001, 6500, 7001, 7002] {
        committed(&storage, append(&log, 1, 10, timestamp));
    }
    let names = [0, 3, 6].map(|base_offset| format!("{base_offset:020}.log"));
    assert_eq!(segment_names(&bench, &log), names);
    // Also across a restart, and without timestamps by the age of the segment.
    drop(log);
    storage.close().unwrap();
    drop(storage);
    let storage = bench.open();
    let log = storage.open_log("orders-0", config).unwrap();
    committed(&storage, append(&log, 1, 10, 8003));
    assert_eq!(segment_names(&bench, &log).len(), 4);
    committed(&storage, append(&log, 1, 10, -1));
    bench.now.fetch_add(1001, Ordering::Relaxed);
    committed(&storage, append(&log, 1, 10, -1));
    assert_eq!(segment_names(&bench, &log).len(), 5);
}

#[test]
fn epochs_are_answered_and_survive() {
    let bench = Bench::new();
    for restart in ["clean", "crash"] {
        let storage = bench.open();
        let log = match restart {
            "clean" => storage.create_log("orders-0", small_segments()).unwrap(),
            _ => storage.open_log("orders-0", small_segments()).unwrap(),
        };
        if restart == "clean" {
            assert_eq!(log.latest_epoch(), None);
            for epoch in [0, 0, 2, 2, 5] {
                for len in [300, 400] {
                    let batch = AppendBatch::new(testing::batch(0, 5, len, 0)).unwrap();
                    committed(&storage, log.append(batch.into(), epoch).unwrap());
                }
            }
        }
        assert_eq!(log.latest_epoch(), Some(5));
        assert_eq!(log.epoch_end_offset(0), EpochEnd { leader_epoch: 0, end_offset: 20 });
        assert_eq!(log.epoch_end_offset(1), EpochEnd { leader_epoch: 0, end_offset: 20 });
        assert_eq!(log.epoch_end_offset(5), EpochEnd { leader_epoch: 5, end_offset: 50 });
        assert_eq!(log.epoch_end_offset(6), EpochEnd { leader_epoch: -1, end_offset: -1 });
        if restart == "clean" { storage.close().unwrap() } else { bench.files.crash(files::Crash::Process) }
    }
}

#[test]
fn records_are_found_by_time() {
    let bench = Bench::new();
    let storage = bench.open();
    let log = storage.create_log("orders-0", small_segments()).unwrap();
    assert_eq!(log.max_timestamp().unwrap(), None);
    assert_eq!(log.offset_for_timestamp(0).unwrap(), None);
    // Times that go back and forth, over many segments.
    let times: Vec<i64> = (0..120).map(|n| 1000 + n * 10 - (n % 7) * 25).collect();
    for time in &times {
        committed(&storage, append(&log, 2, 40, *time));
    }
    let check = |log: &Arc<Log>, start: i64| {
        for timestamp in (900..2300).step_by(7) {
            let due = times
                .iter()
                .enumerate()
                .position(|(n, time)| *time >= timestamp && (n as i64 * 2 + 1) >= start);
            let found = log.offset_for_timestamp(timestamp).unwrap();
            assert_eq!(
                found.map(|found| found.offset),
                due.map(|n| (n as i64 * 2).max(start)),
                "at {timestamp}"
            );
            assert!(found.is_none_or(|found| found.timestamp >= timestamp));
        }
    };
    check(&log, 0);
    let largest = times.iter().max().unwrap();
    let at = times.iter().position(|time| time == largest).unwrap() as i64 * 2;
    let max = TimestampOffset { timestamp: *largest, offset: at, leader_epoch: 0 };
    assert_eq!(log.max_timestamp().unwrap(), Some(max));
    let moved = log.delete_records_before(51);
    storage.drive();
    assert_eq!(moved.wait().unwrap(), 51);
    check(&log, 51);
    // From the index files after a restart.
    drop(log);
    storage.close().unwrap();
    drop(storage);
    let storage = bench.open();
    let log = storage.open_log("orders-0", small_segments()).unwrap();
    check(&log, 51);
    assert_eq!(log.max_timestamp().unwrap(), Some(max));
}

#[tokio::test]
async fn subscriptions_hear_of_every_move() {
    let bench = Bench::new();
    let storage = bench.open();
    let logs: Vec<_> =
        (0..3).map(|n| storage.create_log(&format!("t-{n}"), small_segments()).unwrap()).collect();
    let notify = Arc::new(tokio::sync::Notify::new());
    let subscriptions: Vec<_> = logs.iter().map(|log| log.subscribe(&notify)).collect();
    for log in &logs {
        let _ = append(log, 1, 10, 0);
        storage.drive();
        notify.notified().await;
    }
    let moved = logs[0].delete_records_before(1);
    storage.drive();
    moved.await.unwrap();
    notify.notified().await;
    let deleted = storage.delete_log("t-1");
    notify.notified().await;
    assert!(matches!(logs[1].offline(), Some(StorageError::LogDeleted(_))));
    storage.drive();
    deleted.await.unwrap();
    drop(subscriptions);
}
