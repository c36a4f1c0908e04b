//! The sparse index of a segment: for one batch every `index.interval.bytes`, its offset, its place in the file and
//! the largest timestamp up to it. Both look-ups, by offset and by time, start from the nearest entry and walk.
//!
//! New entries gather in memory and are appended to the index file when the segment is sealed, at a checkpoint and
//! at shutdown. The file is never synced: it can be rebuilt from the batches, it is checked as a whole when it is
//! first used, and whoever follows an entry checks that the batch is where the entry says.

use std::io::{self, IoSlice};
use std::sync::Mutex;

use super::StorageError;
use super::error::IoContext;
use super::file_cache::FileKind;
use super::files::{FileHandle, OpenMode};
use super::lock;
use super::scan::{Check, Disk, HEADER_WINDOW, Window, scan};
use super::segment::{LogFiles, Segment};
use crate::wire::record::BatchHeader;

const ENTRY_LEN: usize = 20;
/// Entries read at once at the end of a binary search.
const LEAF: u32 = 200;

/// One indexed batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct IndexEntry {
    /// To the segment's base offset.
    pub relative_offset: u32,
    pub position: u32,
    /// Of all batches up to and including this one; -1 without one.
    pub max_timestamp: i64,
    /// The first batch that has it, relative to the segment's base offset.
    pub max_timestamp_relative_offset: u32,
}

impl IndexEntry {
    fn put(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.relative_offset.to_be_bytes());
        out.extend_from_slice(&self.position.to_be_bytes());
        out.extend_from_slice(&self.max_timestamp.to_be_bytes());
        out.extend_from_slice(&self.max_timestamp_relative_offset.to_be_bytes());
    }

    fn take(bytes: &[u8; ENTRY_LEN]) -> Self {
        let [o0, o1, o2, o3, p0, p1, p2, p3, t0, t1, t2, t3, t4, t5, t6, t7, m0, m1, m2, m3] = *bytes;
        IndexEntry {
            relative_offset: u32::from_be_bytes([o0, o1, o2, o3]),
            position: u32::from_be_bytes([p0, p1, p2, p3]),
            max_timestamp: i64::from_be_bytes([t0, t1, t2, t3, t4, t5, t6, t7]),
            max_timestamp_relative_offset: u32::from_be_bytes([m0, m1, m2, m3]),
        }
    }

    fn all(bytes: &[u8]) -> impl Iterator<Item = Self> {
        bytes.as_chunks::<ENTRY_LEN>().0.iter().map(Self::take)
    }
}

/// The index of one segment.
#[derive(Debug, Default)]
pub(crate) struct SparseIndex {
    /// `None` until first used, for a segment that was there when the log was opened.
    entries: Option<Entries>,
}

#[derive(Debug, Default)]
struct Entries {
    /// How many of the file's entries are good.
    on_disk: u32,
    /// Those that follow.
    in_memory: Vec<IndexEntry>,
    /// Where the next batch gets an entry.
    next_position: u64,
    /// Of all batches noted so far.
    max_timestamp: i64,
    max_timestamp_relative_offset: u32,
}

impl SparseIndex {
    /// For a segment that is about to be written.
    pub fn empty() -> Self {
        SparseIndex { entries: Some(Entries { max_timestamp: -1, ..Entries::default() }) }
    }

    /// For a segment that was there before; read when it is first needed.
    pub fn unloaded() -> Self {
        SparseIndex { entries: None }
    }

    pub fn is_loaded(&self) -> bool {
        self.entries.is_some()
    }

    pub fn is_unflushed(&self) -> bool {
        self.entries.as_ref().is_some_and(|entries| !entries.in_memory.is_empty())
    }

    /// A batch was written. Must be loaded; entries come in the order of the batches.
    pub fn note(&mut self, base_offset: i64, position: u64, batch: &BatchNote, interval: u32) {
        if let Some(entries) = &mut self.entries {
            entries.note(base_offset, position, batch, interval);
        }
    }
}

/// The last entry of the segment's index for which `below` holds; those for which it holds come first. `WouldBlock`
/// when the index has to be read from disk and `disk` does not allow that.
pub(crate) fn last_below(
    index: &Mutex<SparseIndex>,
    files: &LogFiles,
    base_offset: i64,
    disk: Disk,
    below: impl Fn(&IndexEntry) -> bool,
) -> io::Result<Option<IndexEntry>> {
    let on_disk = {
        let index = lock(index);
        let entries = index.entries.as_ref().ok_or(io::ErrorKind::WouldBlock)?;
        let in_memory = entries.in_memory.partition_point(&below);
        if let Some(last) = in_memory.checked_sub(1) {
            return Ok(entries.in_memory.get(last).copied());
        }
        entries.on_disk
    };
    if on_disk == 0 {
        return Ok(None);
    }
    let handle = match disk {
        Disk::MayBlock => files.open(base_offset, FileKind::Index, OpenMode::Write)?,
        Disk::CacheOnly => files.cached(base_offset, FileKind::Index).ok_or(io::ErrorKind::WouldBlock)?,
    };
    search(&*handle, on_disk, disk, below)
}

/// Reads and checks the index file unless that was done before; walks the batches behind its last good entry.
/// Blocks on the disk, without holding the index meanwhile: no batch is noted in an index that is not loaded.
pub(crate) fn load(files: &LogFiles, segment: &Segment, interval: u32) -> Result<(), StorageError> {
    if lock(&segment.index).is_loaded() {
        return Ok(());
    }
    let path = files.path(segment.base_offset, FileKind::Index);
    let stored = read_good_entries(files, segment).during("read", path)?;
    let entries = rebuild(files, segment, stored, interval)?;
    lock(&segment.index).entries.get_or_insert(entries);
    Ok(())
}

/// Loads the index anew, without the file: an entry led to something that is not its batch.
pub(crate) fn reload(files: &LogFiles, segment: &Segment, interval: u32) -> Result<(), StorageError> {
    let entries = rebuild(files, segment, Vec::new(), interval)?;
    lock(&segment.index).entries = Some(entries);
    Ok(())
}

/// Appends the entries in memory to the file. Blocks on the disk, without holding the index meanwhile.
pub(crate) fn flush(
    index: &Mutex<SparseIndex>,
    files: &LogFiles,
    base_offset: i64,
) -> Result<(), StorageError> {
    let (on_disk, bytes) = {
        let index = lock(index);
        let Some(entries) = index.entries.as_ref().filter(|entries| !entries.in_memory.is_empty()) else {
            return Ok(());
        };
        let mut bytes = Vec::with_capacity(entries.in_memory.len() * ENTRY_LEN);
        entries.in_memory.iter().for_each(|entry| entry.put(&mut bytes));
        (entries.on_disk, bytes)
    };
    let path = files.path(base_offset, FileKind::Index);
    let handle = files.open(base_offset, FileKind::Index, OpenMode::CreateOrWrite).during("create", &path)?;
    let start = u64::from(on_disk) * ENTRY_LEN as u64;
    if handle.size().during("stat", &path)? > start {
        handle.set_len(start).during("truncate", &path)?;
    }
    handle.write_at(start, &mut [IoSlice::new(&bytes)]).during("write", &path)?;
    let mut index = lock(index);
    if let Some(entries) = index.entries.as_mut().filter(|entries| entries.on_disk == on_disk) {
        let flushed = (bytes.len() / ENTRY_LEN).min(entries.in_memory.len());
        entries.on_disk += flushed as u32;
        // A new list rather than an emptied one: thousands of idle logs would keep the room.
        entries.in_memory = entries.in_memory.split_off(flushed);
    }
    Ok(())
}

/// What the index wants to know of a batch.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BatchNote {
    pub base_offset: i64,
    pub max_timestamp: i64,
}

impl From<&BatchHeader> for BatchNote {
    fn from(header: &BatchHeader) -> Self {
        BatchNote { base_offset: header.base_offset, max_timestamp: header.max_timestamp }
    }
}

impl Entries {
    fn note(&mut self, segment_base: i64, position: u64, batch: &BatchNote, interval: u32) {
        let relative = u32::try_from(batch.base_offset - segment_base);
        let (Ok(relative_offset), Ok(at)) = (relative, u32::try_from(position)) else { return };
        if batch.max_timestamp > self.max_timestamp {
            self.max_timestamp = batch.max_timestamp;
            self.max_timestamp_relative_offset = relative_offset;
        }
        // The first batch needs no entry: that is where a walk without one starts.
        if position >= self.next_position && position > 0 {
            self.in_memory.push(IndexEntry {
                relative_offset,
                position: at,
                max_timestamp: self.max_timestamp,
                max_timestamp_relative_offset: self.max_timestamp_relative_offset,
            });
            self.next_position = position + u64::from(interval.max(1));
        } else if position == 0 {
            self.next_position = u64::from(interval.max(1));
        }
    }
}

/// The entries of the file that can be right: ascending, inside the segment, the last one leading to its batch.
fn read_good_entries(files: &LogFiles, segment: &Segment) -> io::Result<Vec<IndexEntry>> {
    let handle = match files.open(segment.base_offset, FileKind::Index, OpenMode::Write) {
        Ok(handle) => handle,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    // One entry per batch at most: what is longer is not this segment's.
    let most = segment.size / 61 * ENTRY_LEN as u64;
    let size = handle.size()?;
    if size > most.saturating_add(ENTRY_LEN as u64) {
        return Ok(Vec::new());
    }
    let mut bytes = vec![0; size as usize];
    Disk::MayBlock.read_exact_at(&*handle, 0, &mut bytes)?;
    let mut good: Vec<IndexEntry> = Vec::with_capacity(bytes.len() / ENTRY_LEN);
    for entry in IndexEntry::all(&bytes) {
        let ascends = good.last().is_none_or(|last| {
            entry.relative_offset > last.relative_offset
                && entry.position > last.position
                && entry.max_timestamp >= last.max_timestamp
        });
        if !ascends {
            return Ok(Vec::new());
        }
        // What recovery cut off the segment is still in the index.
        if u64::from(entry.position) >= segment.size || entry.position == 0 {
            break;
        }
        good.push(entry);
    }
    let Some(last) = good.last() else { return Ok(good) };
    let log = files.open(segment.base_offset, FileKind::Log, OpenMode::Write)?;
    let mut window = Window::new(&*log, Disk::MayBlock, segment.size, HEADER_WINDOW);
    let due = segment.base_offset + i64::from(last.relative_offset);
    match window.header(u64::from(last.position))? {
        Ok(header) if header.base_offset == due => Ok(good),
        _ => Ok(Vec::new()),
    }
}

fn rebuild(
    files: &LogFiles,
    segment: &Segment,
    stored: Vec<IndexEntry>,
    interval: u32,
) -> Result<Entries, StorageError> {
    let base_offset = segment.base_offset;
    let path = files.path(base_offset, FileKind::Log);
    let mut entries = Entries { on_disk: stored.len() as u32, max_timestamp: -1, ..Entries::default() };
    let (mut position, mut offset) = (0, base_offset);
    if let Some(last) = stored.last() {
        entries.max_timestamp = last.max_timestamp;
        entries.max_timestamp_relative_offset = last.max_timestamp_relative_offset;
        (position, offset) = (u64::from(last.position), base_offset + i64::from(last.relative_offset));
        entries.next_position = position + u64::from(interval.max(1));
    }
    if segment.size == 0 {
        return Ok(entries);
    }
    let log = files.open(base_offset, FileKind::Log, OpenMode::Write).during("open", &path)?;
    let end = scan(&*log, position, offset, segment.size, Check::Headers, |at, header| {
        entries.note(base_offset, at, &BatchNote::from(header), interval);
    })
    .during("read", &path)?;
    if let Some(what) = end.damage {
        return Err(StorageError::corrupt(&path, end.position, what));
    }
    if end.next_offset != segment.next_offset {
        let what = format!("it ends at offset {} instead of {}", end.next_offset, segment.next_offset);
        return Err(StorageError::corrupt(&path, end.position, what));
    }
    Ok(entries)
}

/// Binary search in the file, the last stretch of it read at once.
fn search(
    handle: &dyn FileHandle,
    entries: u32,
    disk: Disk,
    below: impl Fn(&IndexEntry) -> bool,
) -> io::Result<Option<IndexEntry>> {
    let (mut from, mut to) = (0, entries);
    let mut found = None;
    while to - from > LEAF {
        let middle = from + (to - from) / 2;
        let mut bytes = [0; ENTRY_LEN];
        disk.read_exact_at(handle, u64::from(middle) * ENTRY_LEN as u64, &mut bytes)?;
        let entry = IndexEntry::take(&bytes);
        if below(&entry) {
            found = Some(entry);
            from = middle + 1;
        } else {
            to = middle;
        }
    }
    let mut bytes = [0; LEAF as usize * ENTRY_LEN];
    let bytes = bytes.get_mut(..(to - from) as usize * ENTRY_LEN).unwrap_or_default();
    disk.read_exact_at(handle, u64::from(from) * ENTRY_LEN as u64, bytes)?;
    Ok(IndexEntry::all(bytes).take_while(below).last().or(found))
}

#[cfg(test)]
mod tests;
