//! One log: what a partition is on disk.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::Notify;

use super::progress::{Completion, Subscription, Ticket};
use super::slice::LogRead;
use super::{LogConfig, StorageError};

/// Bytes of a record batch up to its first record.
pub const BATCH_HEADER_LEN: usize = 61;

/// One record batch (format 2) as it came, cut after its header so that the header can be patched without touching
/// or copying the records. The CRC must have been checked.
#[derive(Debug, Clone)]
pub struct AppendBatch {
    pub header: [u8; BATCH_HEADER_LEN],
    pub body: Bytes,
}

/// Batches appended in one step: all of them or none.
#[derive(Debug, Clone)]
pub struct AppendBatches(pub(crate) Vec<AppendBatch>);

impl AppendBatches {
    pub fn one(header: [u8; BATCH_HEADER_LEN], body: Bytes) -> Self {
        AppendBatches(vec![AppendBatch { header, body }])
    }

    pub fn many(batches: Vec<AppendBatch>) -> Self {
        AppendBatches(batches)
    }

    /// Cuts a run of whole batches.
    pub fn parse(_bytes: Bytes) -> Result<Self, StorageError> {
        todo!("landing soon")
    }
}

/// The answer to an append. The offsets are taken; durable they are when the ticket says so.
#[derive(Debug)]
pub struct Appended {
    pub base_offset: i64,
    pub last_offset: i64,
    pub log_start_offset: i64,
    pub ticket: Ticket,
}

/// Where an epoch ends (OffsetForLeaderEpoch); both -1 when unknown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EpochEnd {
    pub leader_epoch: i32,
    pub end_offset: i64,
}

/// A record found by time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimestampOffset {
    pub timestamp: i64,
    pub offset: i64,
    pub leader_epoch: i32,
}

#[derive(Debug)]
pub struct Log {}

impl Log {
    pub fn name(&self) -> &str {
        todo!("landing soon")
    }
    /// The log's folder, also for the snapshots that belong to it (`snapshot::write`).
    pub fn dir(&self) -> &Path {
        todo!("landing soon")
    }
    /// Takes offsets for the batches and queues them for a committer thread; never blocks on the disk. Appends of
    /// one log are stored in the order of these calls.
    pub fn append(
        self: &Arc<Self>,
        _batches: AppendBatches,
        _leader_epoch: i32,
    ) -> Result<Appended, StorageError> {
        todo!("landing soon")
    }
    pub fn log_start_offset(&self) -> i64 {
        todo!("landing soon")
    }
    pub fn log_end_offset(&self) -> i64 {
        todo!("landing soon")
    }
    /// Moves only after the commit that the flush mode asks for.
    pub fn high_watermark(&self) -> i64 {
        todo!("landing soon")
    }
    /// Bytes of all segments, committed.
    pub fn size_bytes(&self) -> u64 {
        todo!("landing soon")
    }
    /// Why the log serves no more, if so.
    pub fn offline(&self) -> Option<StorageError> {
        todo!("landing soon")
    }
    /// `notify.notify_one()` on every move of the high watermark, until the subscription is dropped. One `Notify`
    /// can watch many logs.
    pub fn subscribe(&self, _notify: &Arc<Notify>) -> Subscription {
        todo!("landing soon")
    }
    /// Whole batches from the one that holds `from` on, below the high watermark, up to `max_bytes`; with
    /// `at_least_one_batch` the first one whatever its size. Empty at the end. May block on the disk for a few
    /// reads: not for async workers, they use [`Log::fetch`].
    pub fn read(
        &self,
        _from: i64,
        _max_bytes: usize,
        _at_least_one_batch: bool,
    ) -> Result<LogRead, StorageError> {
        todo!("landing soon")
    }
    /// [`Log::read`] for async workers: answers from memory and the page cache, else through a blocking thread.
    pub async fn fetch(
        self: &Arc<Self>,
        _from: i64,
        _max_bytes: usize,
        _at_least_one_batch: bool,
    ) -> Result<LogRead, StorageError> {
        todo!("landing soon")
    }
    /// The first record at or after a time (ms), below the high watermark. Blocks on the disk.
    pub fn offset_for_timestamp(&self, _timestamp: i64) -> Result<Option<TimestampOffset>, StorageError> {
        todo!("landing soon")
    }
    /// The record with the largest timestamp (ListOffsets -3). Blocks on the disk.
    pub fn max_timestamp(&self) -> Result<Option<TimestampOffset>, StorageError> {
        todo!("landing soon")
    }
    pub fn epoch_end_offset(&self, _leader_epoch: i32) -> EpochEnd {
        todo!("landing soon")
    }
    /// The epoch of the last append, if any.
    pub fn latest_epoch(&self) -> Option<i32> {
        todo!("landing soon")
    }
    /// Moves the log start offset, durably, then deletes segments that lie below (DeleteRecords). Resolves to the
    /// new log start offset. `OffsetOutOfRange` above the high watermark; below the log start nothing changes.
    pub fn delete_records_before(self: &Arc<Self>, _offset: i64) -> Completion<i64> {
        todo!("landing soon")
    }
    /// Resolves when everything appended so far is synced, whatever the flush mode.
    pub fn flush(self: &Arc<Self>) -> Completion<()> {
        todo!("landing soon")
    }
    pub fn config(&self) -> Arc<LogConfig> {
        todo!("landing soon")
    }
    pub fn set_config(&self, _config: LogConfig) {
        todo!("landing soon")
    }
}
