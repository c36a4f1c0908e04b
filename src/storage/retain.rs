//! The old end of a log: retention and DeleteRecords move the log start offset, durably and before anything is
//! removed; whole segments below it go. And the end of a whole log, when it is deleted.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::error::IoContext;
use super::file_cache::FileKind;
use super::files::{Files, SyncSite};
use super::log::{DiskState, Log, Op, PlannedSegment};
use super::progress::Reply;
use super::{LogConfig, StorageError, lock};

impl Log {
    /// Whether [`Log::retain`] would find something to do: a look that costs no disk.
    pub(super) fn wants_retention(&self, now: i64) -> bool {
        self.progress.ended().is_none() && self.expired_segments(&self.config(), now, true) > 0
    }

    /// Segments at the old end that the limits let go, the active one included if `with_active`.
    fn expired_segments(&self, config: &LogConfig, now: i64, with_active: bool) -> usize {
        let body = lock(&self.body);
        let log_start_offset = self.log_start_offset();
        let mut total: u64 = body.segments.iter().map(|segment| segment.size).sum();
        let candidates = body.segments.len() - usize::from(!with_active && !body.segments.is_empty());
        let expired = body.segments.iter().take(candidates).take_while(|segment| {
            let old = config.retention_ms >= 0
                && segment.max_timestamp >= 0
                && now.saturating_sub(segment.max_timestamp) > config.retention_ms;
            let without = total.saturating_sub(segment.size);
            let beyond = u64::try_from(config.retention_bytes).is_ok_and(|limit| without >= limit);
            let goes = segment.size > 0 && (old || beyond || segment.next_offset <= log_start_offset);
            if goes {
                total = without;
            }
            goes
        });
        expired.count()
    }

    /// Lets go what `retention.ms` and `retention.bytes` no longer keep.
    pub(super) fn retain(&self, disk: &mut DiskState, now: i64) -> Result<(), StorageError> {
        let config = self.config();
        let sealed_only = self.expired_segments(&config, now, false);
        let with_active = self.expired_segments(&config, now, true);
        let active_goes = with_active > sealed_only && self.plan_new_segment();
        let count = if active_goes { with_active } else { sealed_only };
        let body = lock(&self.body);
        let target = match body.segments.get(count) {
            _ if count == 0 => return Ok(()),
            Some(first_kept) => first_kept.base_offset,
            None => self.high_watermark(),
        };
        drop(body);
        if active_goes {
            disk.active = None;
        }
        let before = self.size_bytes();
        self.move_start(disk, target.max(self.log_start_offset()))?;
        let freed = before.saturating_sub(self.size_bytes());
        tracing::info!(log = self.name(), segments = count, freed, log_start_offset = target, "retention");
        Ok(())
    }

    /// Has the next append start a new segment, if nothing is on its way into the active one.
    fn plan_new_segment(&self) -> bool {
        let mut head = lock(&self.head);
        let idle = head.next_offset == self.high_watermark()
            && !head.pending.iter().any(|op| matches!(op, Op::Write(_)));
        if idle {
            head.segment = PlannedSegment::new(head.next_offset, &self.shared);
        }
        idle
    }

    /// DeleteRecords.
    pub(super) fn cut_start(
        &self,
        disk: &mut DiskState,
        offset: i64,
        reply: Reply<i64>,
    ) -> Result<(), StorageError> {
        let (log_start_offset, high_watermark) = (self.log_start_offset(), self.high_watermark());
        let target = if offset == -1 { high_watermark } else { offset };
        if !(0..=high_watermark).contains(&target) {
            let log_end_offset = high_watermark;
            let _ =
                reply.send(Err(StorageError::OffsetOutOfRange { offset, log_start_offset, log_end_offset }));
            return Ok(());
        }
        let moved = if target > log_start_offset { self.move_start(disk, target) } else { Ok(()) };
        let _ = reply.send(moved.clone().map(|()| target.max(log_start_offset)));
        moved
    }

    /// Moves the log start to `target`: first durably, then visibly; then removes what nobody can ask for. The
    /// removals need no sync: recovery removes again what comes back below a durable log start.
    fn move_start(&self, disk: &mut DiskState, target: i64) -> Result<(), StorageError> {
        let active = lock(&self.head).segment.base_offset;
        let goes = |base_offset: i64, next_offset: i64| next_offset <= target && base_offset != active;
        let going: Vec<i64> = {
            let body = lock(&self.body);
            let below =
                body.segments.iter().take_while(|segment| goes(segment.base_offset, segment.next_offset));
            below.map(|segment| segment.base_offset).collect()
        };
        // Under group commit all that is visible is synced. Otherwise the recovery point stays where it is.
        let mut image = if self.shared.group_commit() { self.image() } else { disk.checkpoint.clone() };
        image.log_start_offset = target;
        image.segments.retain(|segment| !going.contains(&segment.base_offset));
        if image.segments.is_empty() {
            image.end_offset = target;
        }
        let mut epochs = lock(&self.head).epochs.clone();
        epochs.cut_start(target);
        image.epochs = epochs.up_to(image.end_offset);
        if self.shared.group_commit() {
            self.flush_indexes()?;
        }
        self.store_checkpoint(disk, image)?;

        self.set_log_start_offset(target);
        lock(&self.head).epochs.cut_start(target);
        let mut freed = 0;
        {
            let mut body = lock(&self.body);
            body.segments.retain(|segment| {
                let goes = going.contains(&segment.base_offset);
                freed += if goes { segment.size } else { 0 };
                !goes
            });
            body.ends.retain(|end| !going.contains(&end.segment));
            body.tail.cut_start(target);
        }
        self.size_bytes.fetch_sub(freed, Ordering::Relaxed);
        self.progress.wake();
        for base_offset in going {
            disk.unsynced.remove(&base_offset);
            self.files.cache.forget_segment(self.files.log, base_offset);
            for kind in [FileKind::Log, FileKind::Index] {
                remove_file(&*self.files.files, &self.files.path(base_offset, kind))?;
            }
        }
        Ok(())
    }

    /// Ends the log. Its folder takes a name that no log can have, durably; then it is emptied.
    pub(super) fn delete_files(self: &Arc<Self>) -> Result<(), StorageError> {
        self.fail(StorageError::LogDeleted(Arc::clone(&self.name)));
        let files = &*self.files.files;
        let dir = &self.files.dir;
        let parent = dir.parent().unwrap_or(dir);
        let doomed = parent.join(format!("{DELETED_PREFIX}{}", self.files.log));
        files.rename(dir, &doomed).during("rename", dir)?;
        files.sync_dir(parent, SyncSite::LogDeleted).during("fsync", parent)?;
        self.files.cache.forget_log(self.files.log);
        {
            let mut body = lock(&self.body);
            body.tail.clear();
            body.segments.clear();
            body.ends.clear();
        }
        self.size_bytes.store(0, Ordering::Relaxed);
        // It is deleted already; what cannot be removed now is removed at the next start.
        if let Err(error) = remove_tree(files, &doomed) {
            tracing::warn!(log = self.name(), %error, "a deleted log's files could not all be removed");
        }
        Ok(())
    }
}

/// Folders of this name are what is left of deleted logs.
pub(super) const DELETED_PREFIX: &str = ".deleted.";

pub(super) fn remove_file(files: &dyn Files, path: &Path) -> Result<(), StorageError> {
    match files.remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(StorageError::io("remove", path, &error))
        }
        _ => Ok(()),
    }
}

/// Removes a folder and the files in it.
pub(super) fn remove_tree(files: &dyn Files, dir: &Path) -> Result<(), StorageError> {
    for entry in files.list(dir).during("list", dir)? {
        let path = dir.join(entry.name);
        if entry.is_dir { remove_tree(files, &path)? } else { remove_file(files, &path)? }
    }
    files.remove_dir(dir).during("remove", dir)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::files::SimFiles;

    #[test]
    fn what_cannot_be_removed_is_an_error_and_what_is_not_there_is_none() {
        let files = SimFiles::new();
        remove_file(&files, Path::new("/a")).unwrap();
        files.create_dir(Path::new("/a")).unwrap();
        assert!(matches!(remove_file(&files, Path::new("/a")), Err(StorageError::Io { .. })));
        remove_tree(&files, Path::new("/a")).unwrap();
        assert!(files.list(Path::new("/a")).is_err());
    }
}
