//! Harm to disk operations, asked for from outside: a disk that is slow, full, that fails a sync, or a process that dies
//! at one of them. Without anybody who asks for it the cost is one look at an `Option`.
//!
//! What is slow waits in a row of its own (`parking`): neither an async worker nor a committer thread sleeps, so that a
//! slow log holds up no other. What failed on purpose is then what it would be if the disk had failed.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use super::log::{Log, Op};
use super::parking::Parking;
use super::{StorageError, lock};

/// What is done to a log's files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DiskOperation {
    /// One batch is written. Batches that are written together are one operation each, so that how many gather does not
    /// change which of them is the n-th.
    Append,
    /// What was written is made durable: the batches that gathered, together.
    Sync,
    /// A consumer's read that the memory cannot answer.
    Read,
}

/// Somebody who harms disk operations.
pub trait DiskChaos: fmt::Debug + Send + Sync {
    /// Whether such an operation may meet harm at all: asked before each, so it must cost next to nothing.
    fn is_on(&self, operation: DiskOperation) -> bool;
    /// What an operation on this log (by its name, as it was created) shall meet. `bytes`: written, to be synced, or
    /// asked for.
    fn before(&self, operation: DiskOperation, log: &str, bytes: usize) -> Option<DiskFault>;
    /// Whether who asked for a wait still wants it.
    fn wants(&self, wait: &DiskWait) -> bool;
    /// Ends the process as a kill would. Comes back only in tests.
    fn end_process(&self);
}

/// What one operation meets.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DiskFault {
    /// They add up.
    pub waits: Vec<DiskWait>,
    pub stop: Option<DiskStop>,
}

/// How long an operation takes longer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DiskWait {
    /// A number of whoever asked for it.
    pub asked_by: u64,
    pub time: Duration,
}

/// How an operation ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DiskStop {
    Fail(io::ErrorKind),
    /// The process dies; the operation has not begun.
    CrashBefore,
    /// The process dies; the operation is done, and nobody was told.
    CrashAfter,
}

/// What a round of work on one log will meet.
#[derive(Debug, Default)]
pub(super) struct Disturbance {
    waits: Vec<DiskWait>,
    /// Which of the round's work, and how it ends.
    pub append: Option<(usize, DiskStop)>,
    pub sync: Option<DiskStop>,
}

/// Work that waits, and what it will meet then.
pub(super) type Held = (Vec<Op>, Disturbance);

/// Who harms the logs of a storage, and what waits because of it.
#[derive(Debug)]
pub(crate) struct Chaos {
    by: Option<Arc<dyn DiskChaos>>,
    parking: Parking<Arc<Log>>,
}

impl Chaos {
    pub fn new(by: Option<Arc<dyn DiskChaos>>) -> Self {
        Chaos { by, parking: Parking::default() }
    }

    pub fn parking(&self) -> &Parking<Arc<Log>> {
        &self.parking
    }

    /// Whether there can ever be any.
    pub fn is_possible(&self) -> bool {
        self.by.is_some()
    }

    fn on(&self, operation: DiskOperation) -> Option<&Arc<dyn DiskChaos>> {
        self.by.as_ref().filter(|by| by.is_on(operation))
    }

    pub fn wants(&self, wait: &DiskWait) -> bool {
        self.by.as_ref().is_some_and(|by| by.wants(wait))
    }

    pub fn is_on(&self, operation: DiskOperation) -> bool {
        self.on(operation).is_some()
    }

    /// What a round of work meets. `syncs`: written batches are synced in it.
    pub(super) fn of_round(&self, log: &str, ops: &[Op], syncs: bool) -> Disturbance {
        let mut met = Disturbance::default();
        let (writing, syncing) = (self.on(DiskOperation::Append), self.on(DiskOperation::Sync));
        if writing.is_none() && syncing.is_none() {
            return met;
        }
        let (mut written, mut flushes) = (0, false);
        let mut slowest = (Duration::ZERO, Vec::new());
        for (at, op) in ops.iter().enumerate() {
            flushes |= matches!(op, Op::Flush(_));
            let Some(write) = op.as_write() else { continue };
            written += write.batch.len();
            let fault = writing.and_then(|by| by.before(DiskOperation::Append, log, write.batch.len()));
            let Some(fault) = fault else { continue };
            // They are written at once: it takes as long as the slowest of them.
            let time = total(&fault.waits);
            if time > slowest.0 {
                slowest = (time, fault.waits);
            }
            if met.append.is_none() {
                met.append = fault.stop.map(|stop| (at, stop));
            }
        }
        met.waits = slowest.1;
        if (written > 0 && syncs || flushes)
            && let Some(fault) = syncing.and_then(|by| by.before(DiskOperation::Sync, log, written))
        {
            met.waits.extend(fault.waits);
            met.sync = fault.stop;
        }
        met
    }

    /// What a sync outside the rounds meets.
    pub fn of_sync(&self, log: &str) -> DiskFault {
        self.on(DiskOperation::Sync).and_then(|by| by.before(DiskOperation::Sync, log, 0)).unwrap_or_default()
    }

    /// What a consumer's read meets: waits here for as long as it takes. Fails when the process shall have died.
    pub async fn of_read(&self, log: &Log, bytes: usize) -> Result<Option<DiskStop>, StorageError> {
        let Some(by) = self.on(DiskOperation::Read) else { return Ok(None) };
        let Some(fault) = by.before(DiskOperation::Read, log.name(), bytes) else { return Ok(None) };
        self.parking.wait(&fault.waits, |wait| by.wants(wait)).await;
        if fault.stop == Some(DiskStop::CrashBefore) {
            return Err(self.crash(log));
        }
        Ok(fault.stop)
    }

    /// Ends the process; what a test that survives it is told.
    pub fn crash(&self, log: &Log) -> StorageError {
        if let Some(by) = &self.by {
            by.end_process();
        }
        injected(log, "work", io::ErrorKind::Interrupted)
    }
}

impl Disturbance {
    pub fn waits(&self) -> &[DiskWait] {
        &self.waits
    }
}

impl Log {
    /// What the sync of a log meets. `Ok(true)`: it goes on, and the process ends after it.
    pub(super) fn may_sync(&self, stop: Option<DiskStop>) -> Result<bool, StorageError> {
        match stop {
            None => Ok(false),
            Some(DiskStop::Fail(kind)) => Err(injected(self, "fdatasync", kind)),
            Some(DiskStop::CrashBefore) => Err(self.shared.chaos.crash(self)),
            Some(DiskStop::CrashAfter) => Ok(true),
        }
    }

    /// Whether work of this log waits for a slow disk.
    #[cfg(test)]
    pub(super) fn is_held(&self) -> bool {
        lock(&self.disk).held.is_some()
    }

    pub(super) fn take_held(&self) -> Option<Held> {
        lock(&self.disk).held.take()
    }
}

pub(super) fn total(waits: &[DiskWait]) -> Duration {
    waits.iter().fold(Duration::ZERO, |sum, wait| sum.saturating_add(wait.time))
}

/// The error of an operation that failed on purpose; whoever reads it shall not look for a broken disk.
pub(super) fn injected(log: &Log, operation: &'static str, kind: io::ErrorKind) -> StorageError {
    StorageError::io(operation, log.dir(), &io::Error::new(kind, format!("{kind} (injected by a policy)")))
}
