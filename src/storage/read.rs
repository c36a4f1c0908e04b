//! Reading a log below its high watermark: from memory at the tail, else as slices of segment files. Finding the
//! place costs a few small reads; an async worker makes them only as far as they are in memory already, and leaves
//! the rest to a blocking thread.

use std::io;
use std::sync::Arc;

use super::chaos::DiskOperation;
use super::damage::way_out;
use super::error::IoContext;
use super::file_cache::FileKind;
use super::files::{FileHandle, OpenMode};
use super::index;
use super::log::{Log, ReadEnd};
use super::scan::{CRC_WINDOW, Disk, HEADER_WINDOW, Window};
use super::segment::Segment;
use super::slice::{FileSlice, LogRead, LogSlice};
use super::{StorageError, lock};
use crate::wire::record::BATCH_OVERHEAD;

/// Ends of recent reads remembered per log: about one for each consumer that reads from files.
const REMEMBERED_ENDS: usize = 8;
/// Headers that a read on an async worker looks at: each costs a few KiB copied from the page cache at most.
const MAX_HEADERS: usize = 256;

/// Why a place in a segment was not found.
pub(super) enum Miss {
    /// The disk would have to be asked.
    WouldBlock,
    /// The index led astray.
    BadIndex,
    Failed(StorageError),
}

impl From<StorageError> for Miss {
    fn from(error: StorageError) -> Self {
        match error {
            StorageError::Io { kind: io::ErrorKind::WouldBlock, .. } => Miss::WouldBlock,
            other => Miss::Failed(other),
        }
    }
}

/// A batch boundary in a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub position: u64,
    pub offset: i64,
}

impl Log {
    /// Whole batches from the one that holds `from` on, below the high watermark, up to `max_bytes`; with
    /// `at_least_one_batch` the first one whatever its size. Less than there is may be returned, not nothing. Empty
    /// at the end. May block on the disk for a few small reads: not for async workers, they use [`Log::fetch`].
    pub fn read(
        self: &Arc<Self>,
        from: i64,
        max_bytes: usize,
        at_least_one_batch: bool,
    ) -> Result<LogRead, StorageError> {
        match self.try_read(Disk::MayBlock, from, max_bytes, at_least_one_batch) {
            Ok(read) => Ok(read),
            Err(Miss::Failed(error)) => Err(error),
            Err(Miss::WouldBlock | Miss::BadIndex) => {
                // Neither is left over by a read that may block.
                Err(StorageError::corrupt(self.dir(), 0, "the index cannot be rebuilt"))
            }
        }
    }

    /// [`Log::read`] for async workers: answers from memory and the page cache, else through a blocking thread.
    pub async fn fetch(
        self: &Arc<Self>,
        from: i64,
        max_bytes: usize,
        at_least_one_batch: bool,
    ) -> Result<LogRead, StorageError> {
        match self.try_read(Disk::CacheOnly, from, max_bytes, at_least_one_batch) {
            Ok(read) => Ok(read),
            Err(Miss::Failed(error)) => Err(error),
            Err(Miss::WouldBlock | Miss::BadIndex) => {
                let chaos = &self.shared.chaos;
                let stop = chaos.of_read(self, max_bytes).await?;
                let log = Arc::clone(self);
                let read = tokio::task::spawn_blocking(move || log.read(from, max_bytes, at_least_one_batch));
                let read = read.await.unwrap_or(Err(StorageError::Closed));
                if stop.is_some() { Err(chaos.crash(self)) } else { read }
            }
        }
    }

    fn try_read(
        self: &Arc<Self>,
        disk: Disk,
        from: i64,
        max_bytes: usize,
        at_least_one: bool,
    ) -> Result<LogRead, Miss> {
        let (mut read, segment, end) = {
            let body = lock(&self.body);
            if let Some(ended) = self.progress.ended() {
                return Err(Miss::Failed(ended.clone()));
            }
            let read = LogRead {
                high_watermark: self.high_watermark(),
                log_start_offset: self.log_start_offset(),
                next_offset: from,
                ..LogRead::default()
            };
            if from < read.log_start_offset || from > self.log_end_offset() {
                return Err(Miss::Failed(self.out_of_range(from)));
            }
            if from >= read.high_watermark {
                return Ok(read);
            }
            if let Some(found) = body.tail.read(from, max_bytes, at_least_one) {
                drop(body);
                return Ok(read.with_memory(found.next_offset, found.joined()));
            }
            // Whoever makes the disk slow is asked where one may wait.
            if disk == Disk::CacheOnly && self.shared.chaos.is_on(DiskOperation::Read) {
                return Err(Miss::WouldBlock);
            }
            let at = body.segments.partition_point(|segment| segment.base_offset <= from);
            let segment = at.checked_sub(1).and_then(|at| body.segments.get(at)).cloned();
            let Some(segment) = segment else { return Err(Miss::Failed(self.out_of_range(from))) };
            let end = body
                .ends
                .iter()
                .find(|end| end.segment == segment.base_offset && end.offset == from)
                .copied();
            (read, segment, end)
        };
        let known = end.map(|end| Place { position: end.position, offset: end.offset });
        let found = self.with_good_index(disk, &segment, |log| {
            let handle = log.segment_file(disk, &segment)?;
            let start = match known {
                Some(place) => place,
                None => log.place_of(disk, &segment, &*handle, from)?,
            };
            let end = log.good_stretch(disk, &segment, &*handle, start, max_bytes, at_least_one)?;
            Ok((handle, start, end))
        });
        let (handle, start, end) = match found {
            Ok(found) => found,
            Err(miss) => return Err(self.explain(miss, from)),
        };
        if end.position > start.position {
            read.push(LogSlice::File(FileSlice::new(handle, start.position, end.position - start.position)));
            read.next_offset = end.offset;
            self.remember(
                ReadEnd { segment: segment.base_offset, position: end.position, offset: end.offset },
                from,
            );
        }
        Ok(read)
    }

    fn out_of_range(&self, offset: i64) -> StorageError {
        StorageError::OffsetOutOfRange {
            offset,
            log_start_offset: self.log_start_offset(),
            log_end_offset: self.log_end_offset(),
        }
    }

    /// Retention and deletion may have been faster than a reader. Any other failure ends the log.
    pub(super) fn explain(self: &Arc<Self>, miss: Miss, from: i64) -> Miss {
        let Miss::Failed(error) = miss else { return miss };
        if let Some(ended) = self.progress.ended() {
            return Miss::Failed(ended.clone());
        }
        if from < self.log_start_offset() {
            return Miss::Failed(self.out_of_range(from));
        }
        if error.is_storage_failure() {
            self.fail(error.clone());
        }
        Miss::Failed(self.offline().unwrap_or(error))
    }

    /// Runs a look-up; when it shows that the index is not loaded or not right, mends the index and runs it again.
    /// Only with a disk that may block.
    pub(super) fn with_good_index<T>(
        &self,
        disk: Disk,
        segment: &Segment,
        look_up: impl Fn(&Self) -> Result<T, Miss>,
    ) -> Result<T, Miss> {
        if disk == Disk::CacheOnly {
            return look_up(self);
        }
        let interval = self.config().index_interval_bytes;
        index::load(&self.files, segment, interval)?;
        match look_up(self) {
            Err(Miss::BadIndex) => {
                tracing::warn!(
                    log = self.name(),
                    segment = segment.base_offset,
                    "the index is damaged: rebuilt"
                );
                index::reload(&self.files, segment, interval)?;
                look_up(self)
            }
            other => other,
        }
        .map_err(|miss| match miss {
            Miss::BadIndex => {
                let path = self.files.path(segment.base_offset, FileKind::Log);
                let what = "its batches are not where the index says";
                let way_out = way_out(&path, 0, segment.base_offset);
                Miss::Failed(StorageError::corrupt(path, 0, format!("{what}; {way_out}")))
            }
            other => other,
        })
    }

    pub(super) fn segment_file(&self, disk: Disk, segment: &Segment) -> Result<Arc<dyn FileHandle>, Miss> {
        match (self.files.cached(segment.base_offset, FileKind::Log), disk) {
            (Some(handle), _) => Ok(handle),
            (None, Disk::CacheOnly) => Err(Miss::WouldBlock),
            (None, Disk::MayBlock) => {
                let path = self.files.path(segment.base_offset, FileKind::Log);
                Ok(self
                    .files
                    .open(segment.base_offset, FileKind::Log, OpenMode::Write)
                    .during("open", path)?)
            }
        }
    }

    /// Where the batch starts that holds `from`.
    pub(super) fn place_of(
        &self,
        disk: Disk,
        segment: &Segment,
        handle: &dyn FileHandle,
        from: i64,
    ) -> Result<Place, Miss> {
        let relative = from - segment.base_offset;
        let near = self.indexed(disk, segment, |entry| i64::from(entry.relative_offset) <= relative)?;
        self.walk(disk, segment, handle, near, |_, next_offset| next_offset > from)
    }

    /// The batch boundary that a read from `start` ends at. A client must not be given what is no batch, or not the next
    /// one. Batches that were there at start have their CRC compared the first time. Of what was checked, or written by
    /// this process, only the first header is looked at again, and those from the last indexed place on.
    fn good_stretch(
        &self,
        disk: Disk,
        segment: &Segment,
        handle: &dyn FileHandle,
        start: Place,
        max_bytes: usize,
        at_least_one: bool,
    ) -> Result<Place, Miss> {
        let limit = start.position.saturating_add(max_bytes as u64);
        let path = || self.files.path(segment.base_offset, FileKind::Log);
        let damaged = |at: Place, what: String| {
            let way_out = way_out(&path(), at.position, at.offset);
            StorageError::corrupt(path(), at.position, format!("{what}; {way_out}"))
        };
        let mut window = Window::new(handle, disk, segment.size, HEADER_WINDOW).reading_ahead_to(limit);
        let mut covered = segment.checked.covered_to(start.position);
        let mut epochs = None;
        let (mut place, mut indexed, mut headers) = (start, None, 0);
        let may_fit = |place: Place| place.position + BATCH_OVERHEAD as u64 <= limit;
        while place.position < segment.size && (may_fit(place) || (at_least_one && place == start)) {
            let is_first = place == start;
            // Where an index is sparse the rest is for the next read, not for an async worker.
            if disk == Disk::CacheOnly && headers >= MAX_HEADERS {
                break;
            }
            headers += 1;
            let header = match window.header(place.position).during("read", path())? {
                Ok(header) if header.base_offset == place.offset => header,
                _ if indexed == Some(place) => return Err(Miss::BadIndex),
                Ok(header) => {
                    let what = format!("offset {} where {} is due", header.base_offset, place.offset);
                    return Err(damaged(place, what).into());
                }
                Err(what) => return Err(damaged(place, what).into()),
            };
            let behind =
                Place { position: place.position + header.size() as u64, offset: header.next_offset() };
            if behind.position > limit && !(at_least_one && is_first) {
                break;
            }
            if behind.position > covered {
                covered = segment.checked.covered_to(place.position);
            }
            if behind.position > covered {
                match disk {
                    Disk::CacheOnly if is_first => return Err(Miss::WouldBlock),
                    Disk::CacheOnly => break,
                    Disk::MayBlock => window.set_capacity(CRC_WINDOW),
                }
                if !window.crc_holds(place.position, &header).during("read", path())? {
                    return Err(damaged(place, "the batch's CRC does not hold".to_owned()).into());
                }
                // The CRC says nothing of the epoch.
                let epochs = epochs.get_or_insert_with(|| lock(&self.head).epochs.clone());
                if epochs.at(place.offset).is_some_and(|epoch| header.partition_leader_epoch > epoch) {
                    let what = format!("leader epoch {} is of later", header.partition_leader_epoch);
                    return Err(damaged(place, what).into());
                }
            }
            place = behind;
            if is_first {
                let end = limit.min(covered).min(segment.size);
                if end.saturating_sub(place.position) > HEADER_WINDOW as u64 {
                    // It must have a header before the end: that is what shows that the index is right.
                    let fits =
                        |entry: &index::IndexEntry| u64::from(entry.position) + BATCH_OVERHEAD as u64 <= end;
                    let near = self.indexed(disk, segment, fits)?;
                    if near.position > place.position {
                        (place, indexed) = (near, Some(near));
                    }
                }
            }
        }
        if epochs.is_some() {
            segment.checked.add(start.position, place.position);
        }
        Ok(place)
    }

    /// The last indexed place for which `below` holds, or the start of the segment.
    pub(super) fn indexed(
        &self,
        disk: Disk,
        segment: &Segment,
        below: impl Fn(&index::IndexEntry) -> bool,
    ) -> Result<Place, Miss> {
        let path = || self.files.path(segment.base_offset, FileKind::Index);
        let entry = index::last_below(&segment.index, &self.files, segment.base_offset, disk, below);
        let entry = match entry {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Err(Miss::WouldBlock),
            // The file is not what it was when it was checked.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Err(Miss::BadIndex),
            other => other.during("read", path())?,
        };
        Ok(entry.map_or(Place { position: 0, offset: segment.base_offset }, |entry| Place {
            position: u64::from(entry.position),
            offset: segment.base_offset + i64::from(entry.relative_offset),
        }))
    }

    /// From one batch boundary on, batch by batch, to the first batch for which `stop` holds, given the position and
    /// the offset behind it.
    pub(super) fn walk(
        &self,
        disk: Disk,
        segment: &Segment,
        handle: &dyn FileHandle,
        from: Place,
        stop: impl Fn(u64, i64) -> bool,
    ) -> Result<Place, Miss> {
        let path = self.files.path(segment.base_offset, FileKind::Log);
        let damaged = |at: Place, what: &str| {
            let way_out = way_out(&path, at.position, at.offset);
            StorageError::corrupt(&path, at.position, format!("{what}; {way_out}"))
        };
        let mut window = Window::new(handle, disk, segment.size, HEADER_WINDOW);
        let mut place = from;
        while place.position < segment.size {
            let header = match window.header(place.position).during("read", &path)? {
                Ok(header) if header.base_offset == place.offset => header,
                // The first one was found through the index or a batch before; the index may be wrong.
                _ if place == from => return Err(Miss::BadIndex),
                Ok(header) => {
                    let what = format!("offset {} where {} is due", header.base_offset, place.offset);
                    return Err(damaged(place, &what).into());
                }
                Err(what) => return Err(damaged(place, &what).into()),
            };
            let behind =
                Place { position: place.position + header.size() as u64, offset: header.next_offset() };
            if stop(behind.position, behind.offset) {
                break;
            }
            place = behind;
        }
        Ok(place)
    }

    /// Remembers where a read ended instead of where it started.
    fn remember(&self, end: ReadEnd, from: i64) {
        let mut body = lock(&self.body);
        let used = body.ends.iter().position(|known| known.segment == end.segment && known.offset == from);
        if let Some(at) = used.or((body.ends.len() >= REMEMBERED_ENDS).then_some(0)) {
            body.ends.remove(at);
        }
        if !body.ends.contains(&end) {
            body.ends.push_back(end);
        }
    }
}

#[cfg(test)]
mod tests;
