//! One partition of a topic: its log, and what must be decided in the order of its appends.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::Notify;

use super::error::{ApiError, storage_code};
use super::producer_state::{Producers, Sequence};
use crate::storage::{AppendBatches, Log, StorageError, Ticket};
use crate::wire::ErrorCode;
use crate::wire::api::describe_producers::ProducerState;
use crate::wire::record::{BATCH_OVERHEAD, BatchHeader};

#[derive(Debug)]
pub struct Partition {
    index: i32,
    leader_epoch: i32,
    log: Arc<Log>,
    /// Held from the check of a sequence to the append: both happen in one order.
    producers: Mutex<Producers>,
    /// Appended since the producers were last written down.
    unrecorded_bytes: AtomicU64,
}

/// What became of a batch.
#[derive(Debug)]
pub(super) enum Append {
    Appended {
        base_offset: i64,
        log_start_offset: i64,
        ticket: Ticket,
    },
    /// A retry of what the log holds from `base_offset` to `last_offset`, committed or about to be.
    Repeated {
        base_offset: i64,
        last_offset: i64,
        max_timestamp: i64,
    },
}

impl Partition {
    pub(super) fn new(index: i32, leader_epoch: i32, log: Arc<Log>) -> Self {
        Partition {
            index,
            leader_epoch,
            log,
            producers: Mutex::default(),
            unrecorded_bytes: AtomicU64::new(0),
        }
    }

    pub fn index(&self) -> i32 {
        self.index
    }

    /// Ours, as the only replica: it grows by one with every start of the broker.
    pub fn leader_epoch(&self) -> i32 {
        self.leader_epoch
    }

    pub fn log(&self) -> &Arc<Log> {
        &self.log
    }

    /// Compares the leader epoch a client believes in with ours; -1 is no belief.
    pub(super) fn check_leader_epoch(&self, epoch: i32) -> Result<(), ErrorCode> {
        match epoch {
            -1 => Ok(()),
            old if old < self.leader_epoch => Err(ErrorCode::FENCED_LEADER_EPOCH),
            new if new > self.leader_epoch => Err(ErrorCode::UNKNOWN_LEADER_EPOCH),
            _ => Ok(()),
        }
    }

    /// Where `epoch` ended in this log: the largest epoch not above it, and the offset where the next one begins. Both
    /// -1 when there is none.
    pub(super) fn epoch_end(&self, epoch: i32) -> (i32, i64) {
        let end = self.log.high_watermark();
        if epoch == self.leader_epoch {
            return (epoch, end);
        }
        if epoch > self.leader_epoch {
            return (-1, -1);
        }
        match self.log.latest_epoch() {
            // Starts that appended nothing have no place in the log: what they inherited ends where it ends.
            Some(latest) if epoch >= latest => (latest, end),
            Some(_) => {
                let found = self.log.epoch_end_offset(epoch);
                (found.leader_epoch, found.end_offset)
            }
            None => (-1, -1),
        }
    }

    /// The epoch of the first record there is; of an empty log, the one the next record will have.
    pub(super) fn earliest_epoch(&self) -> i32 {
        let start = self.log.log_start_offset();
        let Some(mut epoch) = self.log.latest_epoch().filter(|_| start < self.log.high_watermark()) else {
            return self.leader_epoch;
        };
        loop {
            let before = self.log.epoch_end_offset(epoch.saturating_sub(1));
            if before.leader_epoch < 0 || before.leader_epoch >= epoch || before.end_offset <= start {
                return epoch;
            }
            epoch = before.leader_epoch;
        }
    }

    /// Appends one checked batch, `header` being the 61 bytes before `body` and `parsed` the same, read. Takes effect on
    /// return; what waits for the disk waits on the ticket.
    pub(super) fn append(
        self: &Arc<Self>,
        parsed: &BatchHeader,
        header: [u8; BATCH_OVERHEAD],
        body: Bytes,
        now_ms: i64,
    ) -> Result<Append, ApiError> {
        let size = (BATCH_OVERHEAD + body.len()) as u64;
        let batch = AppendBatches::one(header, body);
        let mut producers = parsed.has_producer_id().then(|| self.producers());
        if let Some(producers) = &producers
            && let Sequence::Repeated { base_offset, last_offset, max_timestamp } = producers.check(parsed)?
        {
            return Ok(Append::Repeated { base_offset, last_offset, max_timestamp });
        }
        let (appended, begun) = self
            .log
            .begin_append(batch, self.leader_epoch)
            .map_err(|error| ApiError::from(storage_code(&error)))?;
        if let Some(producers) = &mut producers {
            producers.appended(parsed, appended.base_offset, now_ms);
        }
        drop(producers);
        drop(begun);
        self.unrecorded_bytes.fetch_add(size, Ordering::Relaxed);
        Ok(Append::Appended {
            base_offset: appended.base_offset,
            log_start_offset: appended.log_start_offset,
            ticket: appended.ticket,
        })
    }

    /// Resolves when what is in the log up to `last_offset` is committed, or never will be.
    pub(super) async fn committed(&self, last_offset: i64) -> Result<(), StorageError> {
        let notify = Arc::new(Notify::new());
        let _subscription = self.log.subscribe(&notify);
        loop {
            if self.log.high_watermark() > last_offset {
                return Ok(());
            }
            if let Some(error) = self.log.offline() {
                return Err(error);
            }
            notify.notified().await;
        }
    }

    pub(super) fn restore_producers(&self, producers: Producers) {
        *self.producers() = producers;
    }

    /// A batch found in the log at start.
    pub(super) fn replay_producer(&self, header: &BatchHeader, now_ms: i64) {
        self.producers().appended(header, header.base_offset, now_ms);
    }

    pub(super) fn expire_producers(&self, limit_ms: i64) {
        let mut producers = self.producers();
        if !producers.is_empty() {
            producers.expire(limit_ms);
        }
    }

    /// The idempotent producers that are remembered, in the order of their ids.
    pub(super) fn active_producers(&self) -> Vec<ProducerState> {
        self.producers().describe()
    }

    pub(super) fn producer_count(&self) -> usize {
        self.producers().len()
    }

    /// Writes the log's end and the producers as they are there; gives the bytes that were not written down before.
    pub(super) fn encode_producers(&self, out: &mut Vec<u8>) -> u64 {
        // Appends of producers wait: the offset and what is known belong together.
        let producers = self.producers();
        out.extend(self.log.log_end_offset().to_be_bytes());
        producers.encode(out);
        self.unrecorded_bytes()
    }

    pub(super) fn unrecorded_bytes(&self) -> u64 {
        self.unrecorded_bytes.load(Ordering::Relaxed)
    }

    /// So many bytes of the log were written down.
    pub(super) fn recorded(&self, bytes: u64) {
        self.unrecorded_bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    fn producers(&self) -> MutexGuard<'_, Producers> {
        self.producers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
