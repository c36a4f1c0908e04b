//! Keeps what partitions remember of their producers over a restart: one small file for all of them, and the headers of
//! the batches that came after it.
//!
//! What the file says of a partition is true of its log up to an offset that was synced before the file was written,
//! so a crash may cost the file, or leave an old one, but never makes it say too much.

use std::collections::HashMap;
use std::io;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::catalogue::Catalogue;
use super::partition::Partition;
use super::producer_state::{Producers, take};
use crate::storage::files::SyncSite;
use crate::storage::{Log, LogRead, LogSlice, Storage, StorageError, snapshot};
use crate::wire::record::{BATCH_OVERHEAD, BatchHeader, RecordError};

const FILE: &str = "producers.snapshot";
const VERSION: u8 = 1;
/// Read at once from a log; of its files only the headers are.
const READ_BYTES: usize = 16 << 20;
/// Logs read at the same time at start.
const READERS: usize = 4;

fn path(storage: &Storage) -> PathBuf {
    storage.dir().join(FILE)
}

/// What is written down is not true any more: the logs are read instead, until it is written again.
pub(super) fn forget(storage: &Storage) -> Result<(), StorageError> {
    snapshot::remove(&**storage.files(), &path(storage))?;
    let synced = storage.files().sync_dir(storage.dir(), SyncSite::SnapshotDir);
    synced.map_err(|error| StorageError::io("fsync", storage.dir(), &error))
}

/// Tells a partition of all producers in its log. Blocks on the disk.
pub(super) fn recall(partition: &Arc<Partition>, now_ms: i64) -> Result<(), StorageError> {
    let log = partition.log();
    if let Some(error) = log.offline() {
        return Err(error);
    }
    replay(partition, log.log_start_offset()..log.high_watermark(), now_ms)
}

/// The partitions whose producers matter: clients cannot write to the broker's own topics.
fn partitions(catalogue: &Catalogue) -> Vec<Arc<Partition>> {
    let topics = catalogue.topics().into_iter().filter(|topic| !topic.is_internal());
    topics.flat_map(|topic| topic.partitions().iter().cloned().collect::<Vec<_>>()).collect()
}

/// Brings back what was known. Blocks on the disk.
pub(super) fn restore(catalogue: &Catalogue, now_ms: i64) {
    let storage = catalogue.storage();
    let mut known = match snapshot::read(&**storage.files(), &path(storage)) {
        Ok(Some(bytes)) => decode(&bytes).unwrap_or_else(|| {
            tracing::warn!("{FILE} is of another version: the logs are read instead");
            HashMap::new()
        }),
        Ok(None) => HashMap::new(),
        Err(error) => {
            tracing::warn!(%error, "{FILE} cannot be read: the logs are read instead");
            HashMap::new()
        }
    };
    let mut behind = Vec::new();
    for partition in partitions(catalogue) {
        let log = partition.log();
        let (start, end) = (log.log_start_offset(), log.high_watermark());
        // A log that is shorter than the file says has lost what the file knows of.
        let found = known.remove(log.name()).filter(|(offset, _)| *offset <= end);
        let (offset, producers) = found.unwrap_or_default();
        partition.restore_producers(producers);
        if offset.max(start) < end && log.offline().is_none() {
            behind.push((partition, offset.max(start)..end));
        }
    }
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..READERS.min(behind.len()) {
            scope.spawn(|| {
                while let Some((partition, range)) = behind.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if let Err(error) = replay(partition, range.clone(), now_ms) {
                        tracing::warn!(log = partition.log().name(), %error, "producers cannot be recalled");
                        // Retries from before would be taken for new records.
                        partition.log().take_offline(error);
                    }
                }
            });
        }
    });
}

/// Writes down what partitions know, all of which must be synced. Blocks on the disk.
pub(super) fn write_synced(catalogue: &Catalogue) -> Result<(), StorageError> {
    let mut captured = Captured::default();
    for partition in partitions(catalogue) {
        captured.add(&partition);
    }
    let synced = |partition: &Partition| {
        let log = partition.log();
        log.offline().is_none() && log.high_watermark() == log.log_end_offset()
    };
    captured.sections.retain(|(partition, ..)| synced(partition));
    captured.write(catalogue.storage())
}

/// Syncs the logs and writes down what partitions know. Appends go on meanwhile.
pub(super) async fn write(catalogue: &Arc<Catalogue>) -> Result<(), StorageError> {
    let mut captured = Captured::default();
    for partition in partitions(catalogue) {
        captured.add(&partition);
    }
    let mut flushes = Vec::new();
    for (at, (partition, _, unrecorded)) in captured.sections.iter().enumerate() {
        if *unrecorded > 0 {
            flushes.push((at, partition.log().flush()));
        }
    }
    let mut failed = Vec::new();
    for (at, flush) in flushes {
        if flush.await.is_err() {
            failed.push(at);
        }
    }
    for at in failed.into_iter().rev() {
        captured.sections.remove(at);
    }
    let catalogue = Arc::clone(catalogue);
    let write = move || {
        // What a truncation makes untrue meanwhile must not be written after it.
        let _change = catalogue.change();
        captured.sections.retain(|(partition, ..)| partition.log().offline().is_none());
        captured.write(catalogue.storage())
    };
    let written = tokio::task::spawn_blocking(write).await;
    written.unwrap_or(Err(StorageError::Closed))
}

/// The content of a file to be, one section a partition.
#[derive(Default)]
struct Captured {
    bytes: Vec<u8>,
    /// Partition, its section, and how much of its log was not written down before.
    sections: Vec<(Arc<Partition>, Range<usize>, u64)>,
}

impl Captured {
    fn add(&mut self, partition: &Arc<Partition>) {
        let start = self.bytes.len();
        let name = partition.log().name();
        self.bytes.extend((name.len() as u16).to_be_bytes());
        self.bytes.extend(name.as_bytes());
        let unrecorded = partition.encode_producers(&mut self.bytes);
        self.sections.push((Arc::clone(partition), start..self.bytes.len(), unrecorded));
    }

    fn write(&self, storage: &Storage) -> Result<(), StorageError> {
        let mut content = Vec::with_capacity(1 + self.bytes.len());
        content.push(VERSION);
        for (_, section, _) in &self.sections {
            content.extend_from_slice(self.bytes.get(section.clone()).unwrap_or_default());
        }
        snapshot::write(&**storage.files(), &path(storage), &content)?;
        for (partition, _, recorded) in &self.sections {
            partition.recorded(*recorded);
        }
        Ok(())
    }
}

fn decode(bytes: &[u8]) -> Option<HashMap<String, (i64, Producers)>> {
    let (VERSION, mut bytes) = bytes.split_first().map(|(version, rest)| (*version, rest))? else {
        return None;
    };
    let mut known = HashMap::new();
    while !bytes.is_empty() {
        let len = u16::from_be_bytes(take(&mut bytes)?);
        let (name, rest) = bytes.split_at_checked(usize::from(len))?;
        bytes = rest;
        let name = String::from_utf8(name.to_vec()).ok()?;
        let offset = i64::from_be_bytes(take(&mut bytes)?);
        known.insert(name, (offset, Producers::decode(&mut bytes)?));
    }
    Some(known)
}

/// Tells a partition of the batches in its log.
fn replay(partition: &Arc<Partition>, range: Range<i64>, now_ms: i64) -> Result<(), StorageError> {
    let log = partition.log();
    let mut next = range.start;
    while next < range.end {
        let read = log.read(next, READ_BYTES, true)?;
        if read.next_offset <= next {
            break;
        }
        next = read.next_offset;
        each_header(log, &read, |header| {
            if header.base_offset >= range.start && header.has_producer_id() && !header.is_control() {
                partition.replay_producer(header, now_ms);
            }
        })?;
    }
    Ok(())
}

/// The headers of the batches that were read, without reading the records of those in files.
fn each_header(log: &Log, read: &LogRead, mut each: impl FnMut(&BatchHeader)) -> Result<(), StorageError> {
    let failed = |error: io::Error| StorageError::io("read", log.dir(), &error);
    let damaged = |error: RecordError| StorageError::corrupt(log.dir(), 0, error.to_string());
    for slice in &read.slices {
        let mut position = 0;
        while position < slice.len() {
            let mut bytes = [0; BATCH_OVERHEAD];
            match slice {
                LogSlice::Memory(memory) => {
                    let header = memory.get(position..).and_then(|rest| rest.first_chunk());
                    bytes = *header.ok_or_else(|| failed(io::ErrorKind::UnexpectedEof.into()))?;
                }
                LogSlice::File(file) => {
                    use crate::wire::ByteSource;
                    file.read_at(position as u64, &mut bytes).map_err(failed)?;
                }
            }
            let header = BatchHeader::parse(&bytes).map_err(damaged)?;
            each(&header);
            position += header.size();
        }
    }
    Ok(())
}
