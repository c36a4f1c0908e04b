//! What a log finds on disk when it is opened.
//!
//! After a clean shutdown the marker says everything and no file is looked at. After a crash the checkpoint says what
//! was durable when it was stored; the batches behind it are read with their CRC, up to the first one that is not whole.
//! What is kept is synced before anybody sees it, since after the mere death of a process it may be in the page cache
//! only.
//!
//! What follows the last whole batch is given up only where a crash explains it. The death of a process can leave the
//! first part of an append, nothing else: anything else is damage, of records that may have been acknowledged, and the
//! log stays offline until somebody decides. A power loss can leave anything of what was not synced, in any order: that
//! is cut off, and kept beside the segment.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::StorageError;
use super::committer::CHECKPOINT;
use super::damage::{START_FORGOTTEN, Tail, free_name};
use super::epochs::Epochs;
use super::error::IoContext;
use super::file_cache::FileKind;
use super::files::{DirEntry, Files, OpenMode, SyncSite};
use super::image::LogImage;
use super::retain::remove_file;
use super::scan::{Check, scan};
use super::segment::{Segment, file_name, parse_file_name};
use super::snapshot;

/// What a segment is renamed to that does not follow on the others.
const DROPPED: &str = "log.dropped";
/// How many segments a message tells to rename: a log may have thousands.
const MOVES_NAMED: usize = 100;

/// A log as it was found.
#[derive(Debug)]
pub(super) struct Recovered {
    pub segments: Vec<Segment>,
    pub log_start_offset: i64,
    pub next_offset: i64,
    pub epochs: Epochs,
    pub checkpoint: LogImage,
    pub since_checkpoint: u64,
    /// The log cannot be served.
    pub failure: Option<StorageError>,
}

impl Recovered {
    pub fn empty() -> Self {
        Self::clean(LogImage::default())
    }

    /// After a clean shutdown.
    pub fn clean(image: LogImage) -> Self {
        Recovered {
            segments: restore_segments(&image),
            log_start_offset: image.log_start_offset,
            next_offset: image.end_offset,
            epochs: Epochs::restore(image.epochs.iter().copied()),
            since_checkpoint: image.behind_checkpoint,
            checkpoint: image,
            failure: None,
        }
    }

    pub fn failed(failure: StorageError) -> Self {
        Recovered { failure: Some(failure), ..Self::empty() }
    }

    /// After anything else.
    pub fn after_crash(files: &dyn Files, dir: &Path, entries: &[DirEntry], found: Found) -> Self {
        Recovery::start(files, dir, entries, found).and_then(Recovery::run).unwrap_or_else(Self::failed)
    }
}

/// What is known of the files at start.
#[derive(Debug, Clone, Copy)]
pub(super) struct Found {
    /// What is there has been synced already.
    pub durable: bool,
    /// The machine has run on since it was written: nothing of it was lost with a page cache.
    pub ran_on: bool,
}

fn restore_segments(image: &LogImage) -> Vec<Segment> {
    let ends = image.segments.iter().skip(1).map(|next| next.base_offset).chain([image.end_offset]);
    image.segments.iter().zip(ends).map(|(segment, end)| Segment::restore(segment, end)).collect()
}

struct Recovery<'a> {
    files: &'a dyn Files,
    dir: &'a Path,
    /// Base offsets of the segment files.
    found: BTreeSet<i64>,
    checkpoint: LogImage,
    log_start_offset: i64,
    segments: Vec<Segment>,
    epochs: Epochs,
    next_offset: i64,
    known: Found,
    dropped: bool,
    scanned: u64,
}

impl<'a> Recovery<'a> {
    fn start(
        files: &'a dyn Files,
        dir: &'a Path,
        entries: &[DirEntry],
        known: Found,
    ) -> Result<Self, StorageError> {
        // What a killed process left is in the page cache, synced or not. From here on it is relied upon.
        if !entries.is_empty() && !known.durable {
            files.sync_dir(dir, SyncSite::FoundNames).during("fsync", dir)?;
        }
        let path = dir.join(CHECKPOINT);
        let stored = snapshot::read(files, &path)?;
        let has_checkpoint = stored.is_some();
        let checkpoint = match stored.map(|bytes| LogImage::decode(&bytes)) {
            None => LogImage::default(),
            Some(Some(image)) => image,
            Some(None) => return Err(StorageError::corrupt(path, 0, "its content makes no sense")),
        };
        let found: BTreeSet<i64> = entries
            .iter()
            .filter(|entry| !entry.is_dir)
            .filter_map(|entry| parse_file_name(&entry.name))
            .filter(|(_, kind)| *kind == FileKind::Log)
            .map(|(base_offset, _)| base_offset)
            .collect();
        // Without a checkpoint only the files say where the log begins. The start moves only after a checkpoint has
        // said so: either somebody removed that, or nothing before the first segment was ever acknowledged.
        let log_start_offset = match (has_checkpoint, found.first()) {
            (false, Some(first)) => *first,
            _ => checkpoint.log_start_offset,
        };
        Ok(Recovery {
            files,
            dir,
            found,
            segments: restore_segments(&checkpoint),
            epochs: Epochs::restore(checkpoint.epochs.iter().copied()),
            next_offset: checkpoint.end_offset,
            checkpoint,
            log_start_offset,
            known,
            dropped: false,
            scanned: 0,
        })
    }

    fn run(mut self) -> Result<Recovered, StorageError> {
        self.drop_what_retention_left()?;
        self.check_what_is_durable()?;
        self.read_the_rest()?;
        let log_start_offset = self.settle_log_start()?;
        if self.dropped {
            self.files.sync_dir(self.dir, SyncSite::DroppedNames).during("fsync", self.dir)?;
        }
        self.epochs.cut_start(log_start_offset);
        Ok(Recovered {
            segments: self.segments,
            log_start_offset,
            next_offset: self.next_offset,
            epochs: self.epochs,
            checkpoint: self.checkpoint,
            since_checkpoint: self.scanned,
            failure: None,
        })
    }

    /// Segments below the log start whose removal did not get to the disk.
    fn drop_what_retention_left(&mut self) -> Result<(), StorageError> {
        let mut left: Vec<i64> = Vec::new();
        if let Some(first) = self.segments.first() {
            left.extend(self.found.range(..first.base_offset));
        }
        let sorted: Vec<i64> = self.found.iter().copied().collect();
        for pair in sorted.windows(2) {
            if let [base_offset, next] = pair
                && *next <= self.log_start_offset
                && !left.contains(base_offset)
                && !self.segments.iter().any(|segment| segment.base_offset == *base_offset)
            {
                left.push(*base_offset);
            }
        }
        left.into_iter().try_for_each(|base_offset| self.remove_segment(base_offset))
    }

    /// The checkpoint's segments must be there, at least as long as it says.
    fn check_what_is_durable(&mut self) -> Result<(), StorageError> {
        for segment in &self.segments {
            let path = self.path(segment.base_offset);
            if !self.found.contains(&segment.base_offset) {
                if segment.size == 0 {
                    continue;
                }
                return Err(StorageError::corrupt(path, 0, "the segment is missing"));
            }
            let size = self.files.size(&path).during("stat", &path)?;
            if size < segment.size {
                let what = format!(
                    "the segment was synced up to byte {} and ends here; put it back from a copy, or go on without \
                     the rest: rm {}; {START_FORGOTTEN}",
                    segment.size,
                    self.dir.join(CHECKPOINT).display()
                );
                return Err(StorageError::corrupt(path, size, what));
            }
        }
        let last = self.segments.last().map_or(i64::MIN, |last| last.base_offset);
        let known =
            |base_offset: &i64| self.segments.iter().any(|segment| segment.base_offset == *base_offset);
        if let Some(foreign) = self.found.range(..last).find(|base_offset| !known(base_offset)) {
            return Err(StorageError::corrupt(
                self.path(*foreign),
                0,
                "a segment that the checkpoint does not know",
            ));
        }
        Ok(())
    }

    /// Reads what lies behind the recovery point, up to the first batch that is not whole.
    fn read_the_rest(&mut self) -> Result<(), StorageError> {
        let mut whole = true;
        let mut rest = self.found.clone();
        if let Some(last) = self.segments.pop() {
            rest = rest.split_off(&(last.base_offset + 1));
            // It may be longer than the checkpoint knows.
            whole = self.read_segment(last, true)?;
        } else {
            // The log start may lie inside the first segment, not before it.
            let start = self.log_start_offset;
            self.next_offset = rest.first().copied().filter(|first| *first <= start).unwrap_or(start);
        }
        let mut behind_gap = Vec::new();
        for base_offset in rest {
            if whole && base_offset == self.next_offset {
                whole = self.read_segment(Segment::found(base_offset), false)?;
            } else {
                whole = false;
                behind_gap.push(base_offset);
            }
        }
        self.drop_behind_gap(&behind_gap)
    }

    /// False when it ended in a batch that is not whole.
    fn read_segment(&mut self, mut segment: Segment, in_checkpoint: bool) -> Result<bool, StorageError> {
        let path = self.path(segment.base_offset);
        if in_checkpoint && !self.found.contains(&segment.base_offset) {
            return Ok(true);
        }
        let size = self.files.size(&path).during("stat", &path)?;
        let durable = segment.size;
        let mut whole = true;
        if size > durable {
            let handle = self.files.open(&path, OpenMode::Write).during("open", &path)?;
            let epochs = &mut self.epochs;
            let end = scan(&*handle, durable, segment.next_offset, size, Check::Crc, |_, header| {
                segment.extend(
                    header.base_offset,
                    header.next_offset(),
                    header.size() as u64,
                    header.max_timestamp,
                );
                epochs.assign(header.partition_leader_epoch, header.base_offset);
            })
            .during("read", &path)?;
            self.scanned += end.position - durable;
            if let Some(what) = end.damage {
                whole = false;
                let tail = Tail { path: &path, position: end.position, size, next_offset: end.next_offset };
                if tail.cut(self.files, &*handle, &what, self.known.ran_on)? {
                    self.dropped = true;
                }
            }
            if !self.known.durable {
                handle.sync_data(SyncSite::Recovered).during("fdatasync", &path)?;
            }
        }
        self.next_offset = segment.next_offset;
        self.segments.push(segment);
        Ok(whole)
    }

    fn settle_log_start(&mut self) -> Result<i64, StorageError> {
        let log_start_offset = self.log_start_offset;
        if self.next_offset < log_start_offset {
            // All that is there was given up, and what came after was never synced (nor promised).
            if !self.checkpoint.segments.is_empty() {
                // First it is forgotten: a crash before the next checkpoint would miss what is removed here.
                let (end_offset, segments) = (log_start_offset, Vec::new());
                let image = LogImage { end_offset, segments, ..self.checkpoint.clone() };
                snapshot::write(self.files, &self.dir.join(CHECKPOINT), &image.encode())?;
                self.checkpoint = image;
            }
            for segment in std::mem::take(&mut self.segments) {
                self.remove_segment(segment.base_offset)?;
            }
            self.next_offset = log_start_offset;
        }
        Ok(log_start_offset)
    }

    /// Takes segments out of the log that do not follow on what is before them.
    fn drop_behind_gap(&mut self, base_offsets: &[i64]) -> Result<(), StorageError> {
        let mut filled = Vec::new();
        for base_offset in base_offsets {
            let path = self.path(*base_offset);
            if self.files.size(&path).during("stat", &path)? > 0 {
                filled.push((*base_offset, path));
            }
        }
        if let Some((first, path)) = filled.first()
            && self.known.ran_on
        {
            return Err(StorageError::corrupt(path, 0, self.gap(*first, &filled)));
        }
        for (base_offset, path) in &filled {
            self.found.remove(base_offset);
            self.dropped = true;
            let aside = free_name(self.files, &path.with_extension(DROPPED))?;
            self.files.rename(path, &aside).during("rename", path)?;
            tracing::error!(
                segment = %path.display(), kept = %aside.display(), log_ends_at = self.next_offset,
                "a segment does not follow on what is before it: after a power loss it was most likely not \
                 acknowledged; it is set aside"
            );
        }
        let filled: BTreeSet<i64> = filled.into_iter().map(|(base_offset, _)| base_offset).collect();
        let mut empty = base_offsets.iter().filter(|base_offset| !filled.contains(base_offset));
        empty.try_for_each(|base_offset| self.remove_segment(*base_offset))
    }

    /// Says of all segments behind a gap at once how to go on without them.
    fn gap(&self, first: i64, filled: &[(i64, PathBuf)]) -> String {
        let moves: Vec<String> = filled
            .iter()
            .take(MOVES_NAMED)
            .map(|(_, path)| format!("mv {} {}", path.display(), path.with_extension(DROPPED).display()))
            .collect();
        let more = match filled.len().saturating_sub(MOVES_NAMED) {
            0 => String::new(),
            more => format!("; the next start names {more} more"),
        };
        format!(
            "the log comes to offset {} before it, and this segment starts at {first}; nothing was changed. Put back \
             what is missing, or go on without the segments behind the gap: {}{more}",
            self.next_offset,
            moves.join(" && ")
        )
    }

    fn remove_segment(&mut self, base_offset: i64) -> Result<(), StorageError> {
        self.found.remove(&base_offset);
        self.dropped = true;
        remove_file(self.files, &self.dir.join(file_name(base_offset, FileKind::Index)))?;
        remove_file(self.files, &self.path(base_offset))
    }

    fn path(&self, base_offset: i64) -> PathBuf {
        self.dir.join(file_name(base_offset, FileKind::Log))
    }
}
