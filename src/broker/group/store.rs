//! One partition of `__consumer_offsets`: appending records, reading them back, keeping the log short.

use super::record::{self, GroupRecord, Replayed};
use crate::storage::{AppendBatch, AppendBatches, Completion, Log, StorageError, Ticket};
use crate::wire::ErrorCode;
use crate::wire::record::{
    BatchBuilder, BatchHeader, Headers, RecordError, Records, batches, verify_crc, with_codecs,
};
use bytes::Bytes;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Records are gathered into batches of about this size; a single larger one gets a batch of its own.
const BATCH_BYTES: usize = 256 << 10;
/// Read at once when replaying.
const READ_BYTES: usize = 1 << 20;
/// The largest batch that is opened when replaying; none is larger than the limit for a group's record.
const MAX_RECORDS_BYTES: usize = 64 << 20;

/// Records that were appended.
#[derive(Debug)]
pub struct Written {
    /// Of the first record; the others follow one by one.
    pub base_offset: i64,
    pub ticket: Ticket,
}

/// The log behind some of the groups.
#[derive(Debug)]
pub struct Journal {
    log: Arc<Log>,
    leader_epoch: i32,
    /// While it is set nothing may be appended: the leader epoch would be given again by the next start.
    read_only: Arc<AtomicBool>,
    /// Bytes from the log's start on.
    bytes: u64,
    rewriting: bool,
}

/// What a rewrite has to do when all that is live stands from `start` on.
pub struct Trim {
    pub log: Arc<Log>,
    pub start: i64,
    /// Bytes that were in the log before.
    pub bytes: u64,
}

impl Journal {
    pub fn new(log: Arc<Log>, leader_epoch: i32, read_only: Arc<AtomicBool>) -> Journal {
        Journal { log, leader_epoch, read_only, bytes: 0, rewriting: false }
    }

    /// Takes offsets for the records and queues them; does not wait for the disk. All of them or none.
    pub fn append(&mut self, records: &[GroupRecord], unix_ms: i64) -> Result<Written, StorageError> {
        if self.read_only.load(Ordering::Acquire) {
            return Err(StorageError::ReadOnly);
        }
        let (batches, bytes) = build(records, unix_ms)?;
        let appended = self.log.append(batches, self.leader_epoch)?;
        self.bytes += bytes as u64;
        Ok(Written { base_offset: appended.base_offset, ticket: appended.ticket })
    }

    pub fn offline(&self) -> bool {
        self.log.offline().is_some()
    }

    /// Reads all records, oldest first. Blocks on the disk. A record that cannot be read is passed over with a warning:
    /// one bad record must not cost a whole partition its offsets.
    pub fn replay(&mut self, each: impl FnMut(i64, Replayed)) -> Result<(), StorageError> {
        let replayed = self.replay_all(each);
        if let Err(error) = &replayed
            && error.is_storage_failure()
        {
            self.log.take_offline(error.clone());
        }
        replayed
    }

    fn replay_all(&mut self, mut each: impl FnMut(i64, Replayed)) -> Result<(), StorageError> {
        let mut next = self.log.log_start_offset();
        let end = self.log.high_watermark();
        while next < end {
            let read = self.log.read(next, READ_BYTES, true)?;
            let bytes = read.to_bytes().map_err(|error| StorageError::io("read", self.log.dir(), &error))?;
            let before = next;
            for batch in batches(&bytes) {
                let batch = batch.map_err(|e| self.damaged(next, &e))?;
                verify_crc(batch.bytes).map_err(|e| self.damaged(next, &e))?;
                if batch.header.next_offset() > next {
                    self.bytes += batch.bytes.len() as u64;
                    self.replay_batch(batch.bytes, &batch.header, next, &mut each)?;
                    next = batch.header.next_offset();
                }
            }
            if next == before {
                // Nothing more although there should be: the log's own checks have something to say about it.
                break;
            }
        }
        Ok(())
    }

    fn replay_batch(
        &self,
        batch: &[u8],
        header: &BatchHeader,
        from: i64,
        each: &mut impl FnMut(i64, Replayed),
    ) -> Result<(), StorageError> {
        if header.is_control() {
            return Ok(());
        }
        with_codecs(|decompressor, _| {
            let records = Records::open(batch, header, decompressor, MAX_RECORDS_BYTES)
                .map_err(|e| self.damaged(header.base_offset, &e))?;
            for record in records {
                let record = record.map_err(|e| self.damaged(header.base_offset, &e))?;
                let offset = header.base_offset.saturating_add(i64::from(record.offset_delta));
                let Some(key) = record.key.filter(|_| offset >= from) else { continue };
                let key = Bytes::copy_from_slice(key);
                match record::replay(key, record.value.map(Bytes::copy_from_slice)) {
                    Ok(replayed) => each(offset, replayed),
                    Err(error) => {
                        tracing::warn!(log = self.log.name(), offset, %error, "unreadable record passed over");
                    }
                }
            }
            Ok(())
        })
    }

    fn damaged(&self, offset: i64, error: &RecordError) -> StorageError {
        StorageError::corrupt(self.log.dir(), 0, format!("batch at offset {offset}: {error}"))
    }

    /// Whether so much of the log is out of date that it should be rewritten, given what is live.
    pub fn wants_rewrite(&self, live_bytes: usize, after_bytes: u64) -> bool {
        !self.rewriting && self.bytes > after_bytes.saturating_add(4 * live_bytes as u64)
    }

    /// Says where the log's new start will be: everything live that stands before it must be appended again.
    pub fn begin_rewrite(&mut self, live_bytes: usize, after_bytes: u64) -> Option<Trim> {
        if !self.wants_rewrite(live_bytes, after_bytes) {
            return None;
        }
        self.rewriting = true;
        Some(Trim { log: Arc::clone(&self.log), start: self.log.log_end_offset(), bytes: self.bytes })
    }

    /// The rewrite is over; `trimmed` if the log's start has moved.
    pub fn end_rewrite(&mut self, trim: &Trim, trimmed: bool) {
        self.rewriting = false;
        if trimmed {
            self.bytes = self.bytes.saturating_sub(trim.bytes);
        }
    }
}

impl Trim {
    /// Everything live has been appended from `start` on. Resolves when that is on the disk and the log begins there. The
    /// order is what makes it safe: a crash before the end leaves the old records, and the new ones repeat what they say.
    pub async fn finish(&self) -> Result<(), StorageError> {
        let synced: Completion<()> = self.log.flush();
        synced.await?;
        self.log.delete_records_before(self.start).await.map(drop)
    }
}

/// The committed record at an offset. Blocks on the disk.
pub fn read_record(log: &Arc<Log>, offset: i64) -> Result<GroupRecord, StorageError> {
    let damaged =
        |e: RecordError| StorageError::corrupt(log.dir(), 0, format!("batch at offset {offset}: {e}"));
    let read = log.read(offset, 1, true)?;
    let bytes = read.to_bytes().map_err(|error| StorageError::io("read", log.dir(), &error))?;
    for batch in batches(&bytes) {
        let batch = batch.map_err(damaged)?;
        let found = with_codecs(|decompressor, _| {
            for record in Records::open(batch.bytes, &batch.header, decompressor, MAX_RECORDS_BYTES)? {
                let record = record?;
                if batch.header.base_offset + i64::from(record.offset_delta) == offset {
                    let key = Bytes::copy_from_slice(record.key.unwrap_or_default());
                    return Ok(Some(GroupRecord { key, value: record.value.map(Bytes::copy_from_slice) }));
                }
            }
            Ok(None)
        });
        if let Some(record) = found.map_err(damaged)? {
            return Ok(record);
        }
    }
    Err(StorageError::corrupt(log.dir(), 0, format!("no record at offset {offset}")))
}

/// What a group request is answered with when its record cannot be appended; as Kafka's coordinator translates them.
pub fn append_error(error: &StorageError) -> ErrorCode {
    match error {
        StorageError::Overloaded { .. } | StorageError::ReadOnly => ErrorCode::COORDINATOR_NOT_AVAILABLE,
        StorageError::MessageTooLarge { .. } | StorageError::InvalidBatch(_) => {
            ErrorCode::UNKNOWN_SERVER_ERROR
        }
        _ => ErrorCode::NOT_COORDINATOR,
    }
}

/// The records as batches, and their size. There must be one record at least.
fn build(records: &[GroupRecord], unix_ms: i64) -> Result<(AppendBatches, usize), StorageError> {
    let mut bytes = 0;
    let mut all: Option<AppendBatches> = None;
    let mut rest = records;
    while all.is_none() || !rest.is_empty() {
        let mut size = 0;
        let fits = |record: &&GroupRecord| {
            size += 64 + record.size();
            size <= BATCH_BYTES
        };
        let count = rest.iter().take_while(fits).count().max(1).min(rest.len());
        let (now, later) = rest.split_at(count);
        let batch = with_codecs(|_, compressor| {
            let mut builder = BatchBuilder::new(BatchHeader::default(), compressor);
            for record in now {
                builder.append(unix_ms, Some(&record.key), record.value.as_deref(), Headers::default())?;
            }
            builder.finish()
        });
        let batch: Bytes =
            batch.map_err(|_: RecordError| StorageError::InvalidBatch("a record is too large"))?;
        bytes += batch.len();
        let batch = AppendBatch::new(batch)?;
        match &mut all {
            None => all = Some(batch.into()),
            Some(all) => all.push(batch),
        }
        rest = later;
    }
    let all = all.ok_or(StorageError::InvalidBatch("it has no records"))?;
    Ok((all, bytes))
}
