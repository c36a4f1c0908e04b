//! The room as its users see it, on the simulated disk.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;

use super::files::{Crash, SimFault};
use super::testing::{Bench, append, batch, small_segments};
use super::*;
use crate::wire::record::{BatchHeader, batches, verify_crc};

/// All batches from an offset on, through both ways of reading; they must agree.
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

fn assert_dense(headers: &[BatchHeader], from: i64, to: i64) {
    let mut due = from;
    for header in headers {
        assert!(
            header.base_offset == due
                || (due == from && (header.base_offset..=header.last_offset()).contains(&from))
        );
        due = header.next_offset();
    }
    assert_eq!(due, to);
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
                let _ = append(&log, 2, n * 50, n as i64);
                storage.drive();
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
