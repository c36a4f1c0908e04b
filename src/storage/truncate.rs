//! Losing the newest records of a log on purpose, as a follower loses what an unclean election does not know of. The log
//! object ends with it: what the disk then holds is found as after a crash, by whoever opens the log again.

use std::sync::Arc;

use super::error::IoContext;
use super::file_cache::FileKind;
use super::files::{OpenMode, SyncSite};
use super::log::{DiskState, Log, Op};
use super::progress::{Completion, Reply};
use super::read::Miss;
use super::retain::remove_file;
use super::scan::Disk;
use super::{StorageError, lock};

impl Log {
    /// Takes the last `records` offsets off the log, and the rest of the batch they begin in: batches are lost whole.
    /// What was appended before is committed first; appends fail from the call on. Resolves to the new end; the log
    /// is over then (`StorageError::Truncated`) and `Storage::reopen_log` gives what is left. `None`: it takes no
    /// more work already.
    pub fn begin_truncate(self: &Arc<Self>, records: u64) -> Option<Completion<i64>> {
        let (reply, completion) = Completion::new();
        let mut head = lock(&self.head);
        if head.closed || head.ended.is_some() {
            return None;
        }
        head.pending.push(Op::Truncate(records, reply));
        head.closed = true;
        let idle = !std::mem::replace(&mut head.queued, true);
        drop(head);
        if idle {
            self.shared.queue.push(Arc::clone(self));
        }
        Some(completion)
    }

    pub(super) fn truncate(
        self: &Arc<Self>,
        disk: &mut DiskState,
        records: u64,
        reply: Reply<i64>,
    ) -> Result<(), StorageError> {
        let cut = self.cut_end(disk, records);
        if cut.is_ok() {
            self.fail(StorageError::Truncated(Arc::clone(&self.name)));
        }
        let outcome = cut.clone().map(drop);
        let _ = reply.send(cut);
        outcome
    }

    /// First the checkpoint forgets the segment that is cut, then the files are: whatever a crash leaves of it is a log
    /// that recovery takes as it is.
    fn cut_end(&self, disk: &mut DiskState, records: u64) -> Result<i64, StorageError> {
        let end = self.high_watermark();
        let lost = i64::try_from(records).unwrap_or(i64::MAX);
        let target = end.saturating_sub(lost).max(self.log_start_offset());
        let segment = {
            let body = lock(&self.body);
            let behind = body.segments.partition_point(|segment| segment.base_offset <= target);
            behind.checked_sub(1).and_then(|at| body.segments.get(at)).cloned()
        };
        let Some(segment) = segment.filter(|_| target < end) else { return Ok(end) };
        let place = self.with_good_index(Disk::MayBlock, &segment, |log| {
            let handle = log.segment_file(Disk::MayBlock, &segment)?;
            log.place_of(Disk::MayBlock, &segment, &*handle, target)
        });
        let path = self.files.path(segment.base_offset, FileKind::Log);
        let place = place.map_err(|miss| match miss {
            Miss::Failed(error) => error,
            Miss::WouldBlock | Miss::BadIndex => {
                StorageError::corrupt(&path, 0, "the place of an offset was not found")
            }
        })?;

        // What the checkpoint says is durable must be.
        self.sync_written(disk)?;
        let mut image = self.image();
        let going: Vec<i64> = image
            .segments
            .iter()
            .map(|segment| segment.base_offset)
            .filter(|base_offset| *base_offset > segment.base_offset)
            .collect();
        image.segments.retain(|kept| kept.base_offset < segment.base_offset);
        image.end_offset = segment.base_offset;
        image.epochs.retain(|epoch| epoch.start_offset < segment.base_offset);
        self.store_checkpoint(disk, image)?;

        // The newest first: a process that dies in between leaves no gap.
        for base_offset in going.into_iter().rev() {
            for kind in [FileKind::Log, FileKind::Index] {
                remove_file(&*self.files.files, &self.files.path(base_offset, kind))?;
            }
        }
        // It says where batches are that go now; it is made again from those that stay.
        remove_file(&*self.files.files, &self.files.path(segment.base_offset, FileKind::Index))?;
        let handle =
            self.files.open(segment.base_offset, FileKind::Log, OpenMode::Write).during("open", &path)?;
        handle.set_len(place.position).during("truncate", &path)?;
        handle.sync_data(SyncSite::Recovered).during("fdatasync", &path)?;
        self.files
            .files
            .sync_dir(&self.files.dir, SyncSite::DroppedNames)
            .during("fsync", &self.files.dir)?;
        Ok(place.offset.max(self.log_start_offset()))
    }
}
