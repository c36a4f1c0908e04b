//! What the committer threads do with one log: write what has gathered with as few system calls as there are
//! segments, one sync for all of it, then move the high watermark. While one sync runs the next appends gather.
//!
//! A failed write or sync is never tried again: the log goes offline.

use std::io::IoSlice;
use std::sync::atomic::Ordering;
use std::sync::{Arc, MutexGuard, TryLockError};
use std::time::Instant;

use bytes::Bytes;

use super::chaos::{Chaos, DiskStop, Disturbance, injected};
use super::error::IoContext;
use super::file_cache::{FileCache, FileKind};
use super::files::{FileHandle, Files, OpenMode, SyncSite};
use super::image::LogImage;
use super::index::BatchNote;
use super::inline::Inline;
use super::log::{Body, DiskState, Log, Op, Write};
use super::queue::{PendingBytes, WorkQueue};
use super::segment::Segment;
use super::snapshot;
use super::tail::TailBudget;
use super::{FlushMode, StorageConfig, StorageError, index, lock};

/// What all logs of a storage share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub files: Arc<dyn Files>,
    pub config: StorageConfig,
    pub cache: Arc<FileCache>,
    pub tail: Arc<TailBudget>,
    pub queue: WorkQueue<Arc<Log>>,
    pub inline: Inline,
    pub pending: PendingBytes,
    pub chaos: Chaos,
}

/// Segments that were written to.
type Touched = Vec<(i64, Arc<dyn FileHandle>)>;

/// The per-log checkpoint, in the log's folder.
pub(super) const CHECKPOINT: &str = "checkpoint";
/// A log's list of work is given back to the allocator when it has grown past this.
const KEEP_OPS: usize = 4096;

impl Shared {
    pub fn group_commit(&self) -> bool {
        self.config.flush == FlushMode::GroupCommit
    }

    /// The life of a committer thread.
    pub fn run_committer(&self) {
        while let Some(log) = self.queue.pop() {
            log.work();
        }
    }

    /// Does all the work there is, on this thread.
    pub fn drive(&self) {
        while let Some(log) = self.queue.try_pop() {
            log.work();
        }
    }

    /// Refuses all the work there is.
    pub fn abandon(&self) {
        while let Some(log) = self.queue.try_pop() {
            let held = log.take_held().map(|(ops, _)| ops).unwrap_or_default();
            let ops = std::mem::take(&mut lock(&log.head).pending);
            held.into_iter().chain(ops).for_each(|op| log.refuse(op, &StorageError::Closed));
        }
    }
}

impl Log {
    fn work(self: Arc<Self>) {
        if self.round(lock(&self.disk)) {
            let shared = Arc::clone(&self.shared);
            shared.queue.push(self);
        }
    }

    /// Work that does not wait for who else is at this log, who may be waiting for the device.
    pub(super) fn work_or_queue(self: Arc<Self>) {
        let again = match self.disk.try_lock() {
            Ok(disk) => self.round(disk),
            Err(TryLockError::Poisoned(disk)) => self.round(disk.into_inner()),
            Err(TryLockError::WouldBlock) => true,
        };
        if again {
            let shared = Arc::clone(&self.shared);
            shared.queue.push(self);
        }
    }

    /// Everything that has gathered, with one sync. True when there is more by then.
    fn round(self: &Arc<Self>, mut disk: MutexGuard<'_, DiskState>) -> bool {
        let (mut ops, met) = match disk.held.take() {
            Some(held) => held,
            None => {
                let mut ops = std::mem::take(&mut disk.spare);
                std::mem::swap(&mut lock(&self.head).pending, &mut ops);
                let met = self.shared.chaos.of_round(&self.name, &ops, self.shared.group_commit());
                if !met.waits().is_empty() {
                    // It stays as queued as it was, so nobody else comes to it meanwhile.
                    let waits = met.waits().to_vec();
                    disk.held = Some((ops, met));
                    drop(disk);
                    return self.shared.chaos.parking().park(Arc::clone(self), &waits).is_some();
                }
                (ops, met)
            }
        };
        if let Err(error) = self.perform(&mut disk, &mut ops, &met) {
            self.fail(error);
        }
        for op in ops.drain(..) {
            self.after_the_end(op);
        }
        if ops.capacity() <= KEEP_OPS {
            disk.spare = ops;
        }
        drop(disk);
        self.shared.tail.enforce();

        let mut head = lock(&self.head);
        head.queued = !head.pending.is_empty();
        head.queued
    }

    fn perform(
        self: &Arc<Self>,
        disk: &mut DiskState,
        ops: &mut [Op],
        met: &Disturbance,
    ) -> Result<(), StorageError> {
        let Some((at, stop)) = met.append else { return self.perform_all(disk, ops, met.sync) };
        let (before, rest) = ops.split_at_mut(at.min(ops.len()));
        self.perform_all(disk, before, met.sync)?;
        if self.progress.ended().is_some() {
            return Ok(());
        }
        match stop {
            DiskStop::Fail(kind) => return Err(injected(self, "write", kind)),
            DiskStop::CrashBefore => {}
            DiskStop::CrashAfter => drop(self.write_run(disk, rest.get(..1).unwrap_or_default())?),
        }
        Err(self.shared.chaos.crash(self))
    }

    fn perform_all(
        self: &Arc<Self>,
        disk: &mut DiskState,
        ops: &mut [Op],
        sync: Option<DiskStop>,
    ) -> Result<(), StorageError> {
        let mut rest = ops;
        while !rest.is_empty() && self.progress.ended().is_none() {
            let writes = rest.iter().take_while(|op| matches!(op, Op::Write(_))).count();
            if writes > 0 {
                let (run, others) = rest.split_at_mut(writes);
                self.commit(disk, run, sync)?;
                rest = others;
                continue;
            }
            let Some((op, others)) = rest.split_first_mut() else { break };
            match std::mem::replace(op, Op::Done) {
                Op::Write(_) | Op::Done => {}
                Op::CutStart(offset, reply) => self.cut_start(disk, offset, reply)?,
                Op::Retain(now) => self.retain(disk, now)?,
                Op::Flush(reply) => {
                    let flushed = self.may_sync(sync).and_then(|_| self.sync_written(disk));
                    let _ = reply.send(flushed.clone());
                    flushed?;
                }
                Op::Truncate(records, reply) => self.truncate(disk, records, reply)?,
                // Deleted logs have ended: see below.
                Op::Delete(when_deleted) => when_deleted(self, self.delete_files()),
            }
            rest = others;
        }
        Ok(())
    }

    /// What was asked of a log that has ended meanwhile.
    fn after_the_end(self: &Arc<Self>, op: Op) {
        match op {
            Op::Delete(when_deleted) => when_deleted(self, self.delete_files()),
            Op::Done => {}
            other => {
                let reason = self.offline().unwrap_or(StorageError::Closed);
                self.refuse(other, &reason);
            }
        }
    }

    /// Writes, syncs, publishes a run of appends.
    fn commit(
        self: &Arc<Self>,
        disk: &mut DiskState,
        run: &mut [Op],
        sync: Option<DiskStop>,
    ) -> Result<(), StorageError> {
        let rolled_from = disk.active;
        let (touched, created) = self.write_run(disk, run)?;
        if self.shared.group_commit() {
            let dies = self.may_sync(sync)?;
            for (segment, handle) in &touched {
                let path = self.files.path(*segment, FileKind::Log);
                handle.sync_data(SyncSite::Append).during("fdatasync", path)?;
            }
            if created {
                self.files
                    .files
                    .sync_dir(&self.files.dir, SyncSite::NewSegment)
                    .during("fsync", &self.files.dir)?;
            }
            if dies {
                return Err(self.shared.chaos.crash(self));
            }
        } else {
            disk.writes += 1;
            disk.unsynced.extend(touched.iter().map(|(segment, _)| (*segment, disk.writes)));
            if created {
                disk.unsynced_names = Some(disk.writes);
            }
            self.unsynced.store(true, Ordering::Relaxed);
        }
        drop(touched);
        disk.since_checkpoint += self.publish(run)?;

        let rolled = created && rolled_from.is_some();
        if rolled {
            self.flush_sealed_indexes()?;
        }
        // In the other modes the checkpoint follows when what it relies on was synced, outside the committers.
        let due = rolled || disk.since_checkpoint >= self.shared.config.checkpoint_bytes;
        if due && self.shared.group_commit() {
            self.flush_indexes()?;
            self.store_checkpoint(disk, self.image())?;
        }
        Ok(())
    }

    /// Writes a run of appends. Which segments it went to, and whether one of them is new.
    fn write_run(&self, disk: &mut DiskState, run: &[Op]) -> Result<(Touched, bool), StorageError> {
        let mut touched = Touched::new();
        let mut created = false;
        let mut rest = run;
        while let Some(segment) = rest.first().and_then(Op::segment) {
            let same = rest.iter().take_while(|op| op.segment() == Some(segment)).count();
            let (group, others) = rest.split_at(same);
            let handle = if disk.active == Some(segment) {
                let path = self.files.path(segment, FileKind::Log);
                self.files.open(segment, FileKind::Log, OpenMode::Write).during("open", path)?
            } else {
                created = true;
                self.create_segment(disk, segment)?
            };
            self.write(&*handle, segment, group)?;
            touched.push((segment, handle));
            rest = others;
        }
        Ok((touched, created))
    }

    fn create_segment(
        &self,
        disk: &mut DiskState,
        base_offset: i64,
    ) -> Result<Arc<dyn FileHandle>, StorageError> {
        let path = self.files.path(base_offset, FileKind::Log);
        let handle =
            self.files.open(base_offset, FileKind::Log, OpenMode::CreateOrWrite).during("create", &path)?;
        disk.active = Some(base_offset);
        lock(&self.body).segments.push_back(Segment::new(base_offset));
        Ok(handle)
    }

    fn write(&self, handle: &dyn FileHandle, segment: i64, group: &[Op]) -> Result<(), StorageError> {
        let writes = || group.iter().filter_map(Op::as_write);
        let Some(position) = writes().next().map(|first| first.position) else { return Ok(()) };
        let mut pieces: Vec<IoSlice<'_>> = Vec::with_capacity(group.len() * 2);
        for write in writes() {
            if !write.batch.header().is_empty() {
                pieces.push(IoSlice::new(write.batch.header()));
            }
            pieces.push(IoSlice::new(write.batch.body()));
        }
        let bytes = pieces.iter().map(|piece| piece.len()).sum();
        let begun = self.shared.inline.is_on().then(Instant::now);
        handle.write_at(position, &mut pieces).during("write", self.files.path(segment, FileKind::Log))?;
        if let Some(begun) = begun {
            self.shared.inline.note(bytes, begun.elapsed());
        }
        Ok(())
    }

    /// Shows committed batches to readers and wakes whoever waits for them. Says how many bytes they were.
    fn publish(self: &Arc<Self>, run: &mut [Op]) -> Result<u64, StorageError> {
        self.load_active_index(run)?;
        let interval = self.config().index_interval_bytes;
        let mut opened_chunks = Vec::new();
        let (mut bytes, mut next_offset) = (0, None);
        let mut body = lock(&self.body);
        let Body { segments, tail, .. } = &mut *body;
        for op in run {
            let Op::Write(write) = std::mem::replace(op, Op::Done) else { continue };
            let at = segments.partition_point(|segment| segment.base_offset < write.segment);
            let Some(segment) = segments.get_mut(at) else { continue };
            let len = write.batch.len();
            let note = BatchNote { base_offset: write.base_offset, max_timestamp: write.max_timestamp };
            lock(&segment.index).note(write.segment, write.position, &note, interval);
            segment.extend(write.base_offset, write.next_offset, len as u64, write.max_timestamp);
            let header = Bytes::copy_from_slice(write.batch.header());
            let content = write.batch.body().clone();
            opened_chunks.extend(tail.push(write.base_offset, write.next_offset, header, content));
            bytes += len;
            next_offset = Some(write.next_offset);
        }
        // Inside the lock: a reader that sees the batches sees the watermark too.
        if let Some(next_offset) = next_offset {
            self.progress.advance(next_offset);
        }
        drop(body);
        self.size_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        for chunk in opened_chunks {
            self.shared.tail.opened(self.weak_owner(), chunk);
        }
        self.shared.pending.release(bytes);
        self.progress.wake();
        Ok(bytes as u64)
    }

    /// A segment that was there at start has its index on disk; it is read before the first batch is added.
    fn load_active_index(&self, run: &[Op]) -> Result<(), StorageError> {
        let Some(first) = run.iter().find_map(Op::segment) else { return Ok(()) };
        let body = lock(&self.body);
        let at = body.segments.partition_point(|segment| segment.base_offset < first);
        let Some(segment) = body.segments.get(at).cloned() else { return Ok(()) };
        drop(body);
        index::load(&self.files, &segment, self.config().index_interval_bytes)
    }

    /// The indexes of all segments but the last.
    fn flush_sealed_indexes(&self) -> Result<(), StorageError> {
        let sealed: Vec<Segment> = {
            let body = lock(&self.body);
            body.segments
                .iter()
                .rev()
                .skip(1)
                .take_while(|segment| lock(&segment.index).is_unflushed())
                .cloned()
                .collect()
        };
        for segment in sealed {
            index::flush(&segment.index, &self.files, segment.base_offset)?;
        }
        Ok(())
    }

    pub(super) fn flush_indexes(&self) -> Result<(), StorageError> {
        let last = lock(&self.body).segments.back().cloned();
        if let Some(segment) = last {
            index::flush(&segment.index, &self.files, segment.base_offset)?;
        }
        self.flush_sealed_indexes()
    }

    /// The log as it is committed.
    pub(super) fn image(&self) -> LogImage {
        let body = lock(&self.body);
        let end_offset = self.progress.high_watermark();
        let segments = body.segments.iter().map(Segment::image).collect();
        drop(body);
        let epochs = lock(&self.head).epochs.up_to(end_offset);
        LogImage {
            log_start_offset: self.log_start_offset(),
            end_offset,
            segments,
            epochs,
            behind_checkpoint: 0,
        }
    }

    /// Everything the image describes must be synced.
    pub(super) fn store_checkpoint(&self, disk: &mut DiskState, image: LogImage) -> Result<(), StorageError> {
        snapshot::write(&*self.files.files, &self.files.dir.join(CHECKPOINT), &image.encode())?;
        let body = lock(&self.body);
        let written: u64 = body.segments.iter().map(|segment| segment.size).sum();
        drop(body);
        disk.since_checkpoint =
            written.saturating_sub(image.segments.iter().map(|segment| segment.size).sum());
        disk.checkpoint = image;
        Ok(())
    }

    /// Syncs what was written without a sync: nothing under group commit.
    pub(super) fn sync_written(&self, disk: &mut DiskState) -> Result<(), StorageError> {
        for segment in disk.unsynced.keys() {
            self.sync_segment(*segment)?;
        }
        if disk.unsynced_names.is_some() {
            self.sync_names()?;
        }
        disk.unsynced.clear();
        disk.unsynced_names = None;
        self.unsynced.store(false, Ordering::Relaxed);
        Ok(())
    }

    fn sync_segment(&self, base_offset: i64) -> Result<(), StorageError> {
        let path = self.files.path(base_offset, FileKind::Log);
        let handle = self.files.open(base_offset, FileKind::Log, OpenMode::Write).during("open", &path)?;
        handle.sync_data(SyncSite::Flush).during("fdatasync", &path)
    }

    fn sync_names(&self) -> Result<(), StorageError> {
        self.files.files.sync_dir(&self.files.dir, SyncSite::FlushNames).during("fsync", &self.files.dir)
    }

    /// What was written and not synced: in all segments, or only in those that are complete.
    pub(super) fn unsynced(&self, sealed_only: bool) -> Unsynced {
        let disk = lock(&self.disk);
        let due = |segment: i64| !(sealed_only && Some(segment) == disk.active);
        let writes = disk.unsynced.iter().map(|(segment, write)| (*segment, *write));
        let segments: Vec<(i64, u64)> = writes.filter(|(segment, _)| due(*segment)).collect();
        let names = disk.unsynced_names.filter(|_| !segments.is_empty());
        Unsynced { segments, names }
    }

    /// Syncs it, while appends go on.
    pub(super) fn sync(&self, unsynced: &Unsynced) -> Result<(), StorageError> {
        let chaos = &self.shared.chaos;
        let met = chaos.of_sync(&self.name);
        chaos.parking().wait_here(&met.waits, |wait| chaos.wants(wait));
        let dies = self.may_sync(met.stop)?;
        for (segment, _) in &unsynced.segments {
            match self.sync_segment(*segment) {
                // Retention was faster.
                Err(StorageError::Io { kind: std::io::ErrorKind::NotFound, .. }) => {}
                other => other?,
            }
        }
        if unsynced.names.is_some() {
            self.sync_names()?;
        }
        if dies { Err(chaos.crash(self)) } else { Ok(()) }
    }

    /// It was synced: moves the recovery point behind it if that is worth a checkpoint.
    pub(super) fn synced(&self, unsynced: &Unsynced) -> Result<(), StorageError> {
        let mut disk = lock(&self.disk);
        // A deleted log's folder may be another's by now.
        if self.progress.ended().is_some() {
            return Ok(());
        }
        disk.unsynced.retain(|segment, write| !unsynced.segments.contains(&(*segment, *write)));
        if disk.unsynced_names == unsynced.names {
            disk.unsynced_names = None;
        }
        self.unsynced.store(!disk.unsynced.is_empty(), Ordering::Relaxed);
        let image = self.image_of_synced(&disk);
        let last = |image: &LogImage| image.segments.last().map(|segment| segment.base_offset);
        let due = disk.since_checkpoint >= self.shared.config.checkpoint_bytes
            || last(&image) > last(&disk.checkpoint);
        if due && image.end_offset > disk.checkpoint.end_offset {
            self.flush_sealed_indexes()?;
            self.store_checkpoint(&mut disk, image)?;
        }
        Ok(())
    }

    /// The log up to the first segment that is not synced.
    fn image_of_synced(&self, disk: &DiskState) -> LogImage {
        let mut image = self.image();
        if let Some((first, _)) = disk.unsynced.first_key_value() {
            let kept = image.segments.partition_point(|segment| segment.base_offset < *first);
            image.segments.truncate(kept);
            image.end_offset = image.end_offset.min(*first);
            image.epochs.retain(|epoch| epoch.start_offset < *first);
        }
        image
    }
}

/// Segments with the number of the last write to each, and of the last that made a name.
pub(super) struct Unsynced {
    pub segments: Vec<(i64, u64)>,
    names: Option<u64>,
}

impl Op {
    pub(super) fn as_write(&self) -> Option<&Write> {
        match self {
            Op::Write(write) => Some(write),
            _ => None,
        }
    }

    fn segment(&self) -> Option<i64> {
        self.as_write().map(|write| write.segment)
    }
}

impl Log {
    /// At a clean shutdown, after the last work: everything synced, unless it is already, and what the marker shall
    /// say. `None`: offline, the next start has to look for itself.
    pub(super) fn settle(self: &Arc<Self>, synced: bool) -> Result<Option<LogImage>, StorageError> {
        let mut disk = lock(&self.disk);
        if self.progress.ended().is_some() {
            return Ok(None);
        }
        if !synced {
            self.sync_written(&mut disk)?;
        }
        self.flush_indexes()?;
        let image = LogImage { behind_checkpoint: disk.since_checkpoint, ..self.image() };
        drop(disk);
        self.fail(StorageError::Closed);
        Ok(Some(image))
    }
}

#[cfg(test)]
mod tests;
