//! One log: what a partition is on disk. Producers append here, under a lock that is never held across a disk
//! operation; a committer thread does the rest (`committer`), readers follow (`read`).

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};

use tokio::sync::Notify;

use super::append::{AppendBatches, Appended, Prepared, Sealed};
use super::chaos::Held;
use super::committer::Shared;
use super::epochs::{EpochEnd, Epochs};
use super::image::LogImage;
use super::inline::Begun;
use super::progress::{Completion, Progress, Reply, Subscription, Ticket};
use super::recover::Recovered;
use super::segment::{LogFiles, Segment};
use super::tail::{Tail, TailOwner};
use super::{LogConfig, StorageError, lock};

/// A durable, ordered run of record batches.
pub struct Log {
    pub(super) name: Arc<str>,
    pub(super) files: LogFiles,
    pub(super) shared: Arc<Shared>,
    pub(super) progress: Arc<Progress>,
    log_start_offset: AtomicI64,
    log_end_offset: AtomicI64,
    pub(super) size_bytes: AtomicU64,
    /// Something was written and not synced; only the modes without group commit set it.
    pub(super) unsynced: AtomicBool,
    pub(super) head: Mutex<Head>,
    pub(super) body: Mutex<Body>,
    pub(super) disk: Mutex<DiskState>,
}

/// What appends touch: the end of the log as it is promised to producers.
pub(super) struct Head {
    pub config: Arc<LogConfig>,
    pub next_offset: i64,
    pub segment: PlannedSegment,
    pub epochs: Epochs,
    pub pending: Vec<Op>,
    /// A committer has this log, or it stands in the queue.
    pub queued: bool,
    /// No more appends: the storage is being closed.
    pub closed: bool,
    pub ended: Option<StorageError>,
}

/// Where the next batch will be written.
#[derive(Debug, Clone, Copy)]
pub(super) struct PlannedSegment {
    pub base_offset: i64,
    pub position: u64,
    /// Of its first batch; -1 without one.
    pub first_timestamp: i64,
    pub created_ms: i64,
}

/// What readers touch: the log as far as it is committed.
pub(super) struct Body {
    /// Oldest first, without gaps.
    pub segments: VecDeque<Segment>,
    pub tail: Tail,
    /// Where recent reads of files ended: the next ones start there without asking the index.
    pub ends: VecDeque<ReadEnd>,
}

/// A batch boundary that a reader has reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ReadEnd {
    pub segment: i64,
    pub position: u64,
    pub offset: i64,
}

/// What the one committer at work on this log touches.
pub(super) struct DiskState {
    /// The segment that exists and is written to.
    pub active: Option<i64>,
    /// What recovery may rely on, as last stored.
    pub checkpoint: LogImage,
    pub since_checkpoint: u64,
    /// Segments written and not synced, with the number of the last write (modes without group commit).
    pub unsynced: BTreeMap<i64, u64>,
    pub unsynced_names: Option<u64>,
    pub writes: u64,
    pub spare: Vec<Op>,
    /// Work that a slow disk holds up; nothing else is done before it.
    pub held: Option<Held>,
}

/// Work for a committer, in the order it was asked for.
pub(super) enum Op {
    Write(Write),
    /// Move the log start offset.
    CutStart(i64, Reply<i64>),
    /// Retention; the time is in ms since 1970.
    Retain(i64),
    Flush(Reply<()>),
    /// Lose the newest records; nothing comes after it.
    Truncate(u64, Reply<i64>),
    Delete(WhenDeleted),
    Done,
}

pub(super) type WhenDeleted = Box<dyn FnOnce(&Log, Result<(), StorageError>) + Send>;

pub(super) struct Write {
    pub segment: i64,
    pub position: u64,
    pub base_offset: i64,
    pub next_offset: i64,
    pub max_timestamp: i64,
    pub batch: Sealed,
}

impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Log")
            .field("name", &self.name)
            .field("log_start_offset", &self.log_start_offset())
            .field("high_watermark", &self.high_watermark())
            .field("log_end_offset", &self.log_end_offset())
            .finish_non_exhaustive()
    }
}

impl Log {
    pub(super) fn new(
        name: Arc<str>,
        files: LogFiles,
        shared: Arc<Shared>,
        config: LogConfig,
        recovered: Recovered,
    ) -> Arc<Log> {
        let Recovered {
            segments,
            log_start_offset,
            next_offset,
            epochs,
            checkpoint,
            since_checkpoint,
            failure,
        } = recovered;
        let segment = segments.last().map_or_else(
            || PlannedSegment::new(next_offset, &shared),
            |last| PlannedSegment {
                base_offset: last.base_offset,
                position: last.size,
                first_timestamp: last.first_timestamp,
                created_ms: (shared.config.clock)(),
            },
        );
        let log = Arc::new(Log {
            name,
            files,
            progress: Arc::new(Progress::new(next_offset)),
            log_start_offset: AtomicI64::new(log_start_offset),
            log_end_offset: AtomicI64::new(next_offset),
            size_bytes: AtomicU64::new(segments.iter().map(|segment| segment.size).sum()),
            unsynced: AtomicBool::new(false),
            head: Mutex::new(Head {
                config: Arc::new(config),
                next_offset,
                segment,
                epochs,
                pending: Vec::new(),
                queued: false,
                closed: false,
                ended: None,
            }),
            disk: Mutex::new(DiskState {
                active: segments.last().map(|last| last.base_offset),
                since_checkpoint,
                checkpoint,
                unsynced: BTreeMap::new(),
                unsynced_names: None,
                writes: 0,
                spare: Vec::new(),
                held: None,
            }),
            body: Mutex::new(Body {
                segments: segments.into(),
                tail: Tail::new(Arc::clone(&shared.tail)),
                ends: VecDeque::new(),
            }),
            shared,
        });
        if let Some(failure) = failure {
            log.fail(failure);
        }
        log
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// The log's folder, also for snapshots that belong to it (`snapshot::write`): they go when the log goes.
    pub fn dir(&self) -> &Path {
        &self.files.dir
    }

    /// Takes offsets for the batches and leaves them to a committer thread; never waits for the device. Batches are
    /// stored in the order of these calls.
    pub fn append(
        self: &Arc<Self>,
        batches: AppendBatches,
        leader_epoch: i32,
    ) -> Result<Appended, StorageError> {
        self.begin_append(batches, leader_epoch).map(|(appended, _)| appended)
    }

    /// [`Log::append`] whose work begins when the second value is dropped: after a lock of the caller's was given back.
    pub(crate) fn begin_append(
        self: &Arc<Self>,
        batches: AppendBatches,
        leader_epoch: i32,
    ) -> Result<(Appended, Begun), StorageError> {
        let config = self.config();
        let total = batches.total_bytes();
        // Copies and checks happen before the lock.
        let (mut one, mut many) = (None, Vec::new());
        let count = batches.len();
        for batch in batches.into_iter() {
            let prepared = Prepared::new(batch, &config)?;
            if count == 1 { one = Some(prepared) } else { many.push(prepared) }
        }
        self.shared.pending.reserve(total)?;
        let appended = self.enqueue(one.into_iter().chain(many), leader_epoch);
        if appended.is_err() {
            self.shared.pending.release(total);
        }
        appended
    }

    fn enqueue(
        self: &Arc<Self>,
        batches: impl Iterator<Item = Prepared>,
        leader_epoch: i32,
    ) -> Result<(Appended, Begun), StorageError> {
        let mut head = lock(&self.head);
        if let Some(reason) = head.refusal() {
            return Err(reason);
        }
        let base_offset = head.next_offset;
        head.epochs.assign(leader_epoch, base_offset);
        for batch in batches {
            head.push(batch, leader_epoch, &self.shared);
        }
        let next_offset = head.next_offset;
        self.log_end_offset.store(next_offset, Ordering::Release);
        let idle = !std::mem::replace(&mut head.queued, true);
        drop(head);
        let appended = Appended {
            base_offset,
            last_offset: next_offset - 1,
            log_start_offset: self.log_start_offset(),
            ticket: self.progress.ticket(next_offset),
        };
        Ok((appended, Begun::new(idle.then(|| Arc::clone(self)))))
    }

    /// Queues other work behind the appends so far; the reply inside says what came of it.
    pub(super) fn request(self: &Arc<Self>, op: Op) {
        let mut head = lock(&self.head);
        // A log that has failed can still be deleted.
        let deletes = matches!(op, Op::Delete(_)) && !head.closed;
        if let Some(reason) = head.refusal().filter(|_| !deletes) {
            drop(head);
            self.refuse(op, &reason);
            return;
        }
        head.pending.push(op);
        let idle = !std::mem::replace(&mut head.queued, true);
        drop(head);
        if idle {
            self.shared.queue.push(Arc::clone(self));
        }
    }

    pub fn log_start_offset(&self) -> i64 {
        self.log_start_offset.load(Ordering::Acquire)
    }

    pub(super) fn set_log_start_offset(&self, offset: i64) {
        self.log_start_offset.store(offset, Ordering::Release);
    }

    pub fn log_end_offset(&self) -> i64 {
        self.log_end_offset.load(Ordering::Acquire)
    }

    /// Moves only after the commit that the flush mode asks for.
    pub fn high_watermark(&self) -> i64 {
        self.progress.high_watermark()
    }

    /// Resolves when everything below `offset` is committed, which must have been appended: a later offset may never
    /// resolve.
    pub fn committed(&self, offset: i64) -> Ticket {
        self.progress.ticket(offset)
    }

    /// Committed bytes in all segments.
    pub fn size_bytes(&self) -> u64 {
        self.size_bytes.load(Ordering::Relaxed)
    }

    /// Why the log serves no more, if so.
    pub fn offline(&self) -> Option<StorageError> {
        self.progress.ended().cloned()
    }

    /// `notify.notify_one()` on every move of the high watermark, until the subscription is dropped. One `Notify`
    /// can watch many logs.
    pub fn subscribe(&self, notify: &Arc<Notify>) -> Subscription {
        self.progress.subscribe(notify)
    }

    pub fn epoch_end_offset(&self, leader_epoch: i32) -> EpochEnd {
        let head = lock(&self.head);
        head.epochs.end_offset(leader_epoch, head.next_offset)
    }

    /// The epoch of the last append, if any.
    pub fn latest_epoch(&self) -> Option<i32> {
        lock(&self.head).epochs.latest()
    }

    /// Moves the log start offset, durably, then deletes the segments below (DeleteRecords). Resolves to the log
    /// start offset. An offset above the high watermark is `OffsetOutOfRange`; one below the log start changes
    /// nothing. -1 is the high watermark.
    pub fn delete_records_before(self: &Arc<Self>, offset: i64) -> Completion<i64> {
        let (reply, completion) = Completion::new();
        self.request(Op::CutStart(offset, reply));
        completion
    }

    /// Resolves when everything appended so far is synced, whatever the flush mode.
    pub fn flush(self: &Arc<Self>) -> Completion<()> {
        let (reply, completion) = Completion::new();
        self.request(Op::Flush(reply));
        completion
    }

    pub fn config(&self) -> Arc<LogConfig> {
        Arc::clone(&lock(&self.head).config)
    }

    /// Holds for the next append and the next look at retention.
    pub fn set_config(&self, config: LogConfig) {
        lock(&self.head).config = Arc::new(config);
    }

    /// Takes the log out of service: whoever reads its records has found that they are damaged.
    pub fn take_offline(self: &Arc<Self>, cause: StorageError) {
        self.fail(cause);
    }

    /// Takes the log out of service for good: nothing is tried again on a disk that has failed once. Waits for no
    /// disk itself.
    pub(super) fn fail(self: &Arc<Self>, cause: StorageError) {
        let intended =
            matches!(cause, StorageError::LogDeleted(_) | StorageError::Closed | StorageError::Truncated(_));
        let ended = if intended || matches!(cause, StorageError::Offline { .. }) {
            cause.clone()
        } else {
            StorageError::Offline { log: Arc::clone(&self.name), cause: Arc::new(cause.clone()) }
        };
        let mut head = lock(&self.head);
        if head.ended.is_some() {
            return;
        }
        // Where somebody has asked for something, the log is queued: a committer tells him.
        head.ended = Some(ended.clone());
        drop(head);
        if !intended {
            tracing::error!(log = &*self.name, %cause, "log goes offline; the other logs go on");
        }
        self.progress.end(ended);
    }

    /// Answers what will not be done.
    pub(super) fn refuse(&self, op: Op, reason: &StorageError) {
        match op {
            Op::Write(write) => self.shared.pending.release(write.batch.len()),
            Op::CutStart(_, reply) => drop(reply.send(Err(reason.clone()))),
            Op::Flush(reply) => drop(reply.send(Err(reason.clone()))),
            Op::Truncate(_, reply) => drop(reply.send(Err(reason.clone()))),
            Op::Delete(when_deleted) => when_deleted(self, Err(reason.clone())),
            Op::Retain(_) | Op::Done => {}
        }
    }

    pub(super) fn refuse_appends(&self) {
        lock(&self.head).closed = true;
    }

    pub(super) fn delete(self: &Arc<Self>, when_deleted: WhenDeleted) {
        // Nobody shall use it from here on, whenever a committer comes to it.
        self.request(Op::Delete(when_deleted));
        self.fail(StorageError::LogDeleted(Arc::clone(&self.name)));
    }

    pub(super) fn weak_owner(self: &Arc<Self>) -> Weak<dyn TailOwner> {
        let weak: Weak<Log> = Arc::downgrade(self);
        weak
    }
}

impl PlannedSegment {
    pub fn new(base_offset: i64, shared: &Shared) -> Self {
        PlannedSegment { base_offset, position: 0, first_timestamp: -1, created_ms: (shared.config.clock)() }
    }

    /// Whether a batch of this size and time, ending at this offset, belongs into a new segment.
    fn is_over(
        &self,
        size: usize,
        last_offset: i64,
        max_timestamp: i64,
        config: &LogConfig,
        shared: &Shared,
    ) -> bool {
        // Positions and relative offsets must fit the index.
        let limit = u64::from(config.segment_bytes.min(i32::MAX as u32));
        if self.position == 0 {
            return false;
        }
        if self.position + size as u64 > limit || last_offset - self.base_offset > i64::from(i32::MAX) {
            return true;
        }
        let age = if self.first_timestamp >= 0 && max_timestamp >= 0 {
            max_timestamp.saturating_sub(self.first_timestamp)
        } else {
            (shared.config.clock)().saturating_sub(self.created_ms)
        };
        age > config.segment_ms
    }
}

impl Head {
    fn refusal(&self) -> Option<StorageError> {
        self.ended.clone().or(self.closed.then_some(StorageError::Closed))
    }

    fn push(&mut self, batch: Prepared, leader_epoch: i32, shared: &Shared) {
        let base_offset = self.next_offset;
        let last_offset = base_offset + i64::from(batch.last_offset_delta);
        let (size, max_timestamp) = (batch.len(), batch.max_timestamp);
        if self.segment.is_over(size, last_offset, max_timestamp, &self.config, shared) {
            self.segment = PlannedSegment::new(base_offset, shared);
        }
        if self.segment.position == 0 {
            self.segment.first_timestamp = max_timestamp;
        }
        self.pending.push(Op::Write(Write {
            segment: self.segment.base_offset,
            position: self.segment.position,
            base_offset,
            next_offset: last_offset + 1,
            max_timestamp,
            batch: batch.seal(base_offset, leader_epoch),
        }));
        self.segment.position += size as u64;
        self.next_offset = last_offset + 1;
    }
}

impl TailOwner for Log {
    fn evict_tail(&self, chunk: u64) {
        lock(&self.body).tail.evict(chunk);
    }
}
