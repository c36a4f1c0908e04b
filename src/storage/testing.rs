//! What the tests of this room share.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use bytes::Bytes;

use super::files::SimFiles;
use super::{AppendBatch, Appended, Log, LogConfig, Storage, StorageConfig};

use crate::wire::record::{BatchBuilder, BatchHeader, Compressor, Headers};

/// A batch of `count` records with values of `value_len` bytes, all with this timestamp.
pub(crate) fn batch(base_offset: i64, count: i32, value_len: usize, timestamp: i64) -> Bytes {
    let mut compressor = Compressor::new();
    let mut builder =
        BatchBuilder::new(BatchHeader { base_offset, ..BatchHeader::default() }, &mut compressor);
    let value: Vec<u8> = (0..value_len).map(|i| (i as i64 + base_offset) as u8).collect();
    for _ in 0..count {
        builder.append(timestamp, None, Some(&value), Headers::default()).unwrap();
    }
    builder.finish().unwrap()
}

/// A storage on a simulated disk, driven by hand, with its own time.
pub(crate) struct Bench {
    pub files: SimFiles,
    pub config: StorageConfig,
    pub now: Arc<AtomicI64>,
}

impl Bench {
    pub fn new() -> Self {
        let now = Arc::new(AtomicI64::new(1_000_000));
        let clock = Arc::clone(&now);
        let config = StorageConfig {
            committers: 0,
            inline_bytes: 0,
            max_open_files: 4,
            clock: Arc::new(move || clock.load(Ordering::Relaxed)),
            ..StorageConfig::default()
        };
        Bench { files: SimFiles::new(), config, now }
    }

    /// A folder that was in order so far: what is found after the death of a process is judged as such.
    pub fn open(&self) -> Arc<Storage> {
        let storage = Storage::open(Arc::new(self.files.clone()), "/data", self.config.clone()).unwrap();
        storage.note_boot();
        storage
    }
}

/// Small segments, an index entry for nearly every batch.
pub(crate) fn small_segments() -> LogConfig {
    LogConfig {
        segment_bytes: 1000,
        index_interval_bytes: 200,
        segment_ms: i64::MAX,
        retention_ms: -1,
        ..LogConfig::default()
    }
}

pub(crate) fn append(log: &Arc<Log>, count: i32, value_len: usize, timestamp: i64) -> Appended {
    log.append(AppendBatch::new(batch(0, count, value_len, timestamp)).unwrap().into(), 0).unwrap()
}
