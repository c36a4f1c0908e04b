//! One segment of a log: a file of batches, named by the offset of the first one, with its index beside it.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use super::checked::Checked;
use super::file_cache::{FileCache, FileKey, FileKind};
use super::files::{FileHandle, Files, OpenMode};
use super::image::SegmentImage;
use super::index::SparseIndex;

/// A segment as far as it is committed.
#[derive(Debug, Clone)]
pub(crate) struct Segment {
    pub base_offset: i64,
    /// Bytes of whole batches; the file may be longer.
    pub size: u64,
    /// The offset after its last batch.
    pub next_offset: i64,
    /// Of the first batch, -1 without one.
    pub first_timestamp: i64,
    /// -1 without one.
    pub max_timestamp: i64,
    /// Base offset of the first batch that has it.
    pub max_timestamp_offset: i64,
    pub index: Arc<Mutex<SparseIndex>>,
    pub checked: Arc<Checked>,
}

impl Segment {
    pub fn new(base_offset: i64) -> Self {
        Segment {
            base_offset,
            size: 0,
            next_offset: base_offset,
            first_timestamp: -1,
            max_timestamp: -1,
            max_timestamp_offset: base_offset,
            index: Arc::new(Mutex::new(SparseIndex::empty())),
            checked: Arc::default(),
        }
    }

    /// One whose batches are still to be read, with their CRC.
    pub fn found(base_offset: i64) -> Self {
        Segment { index: Arc::new(Mutex::new(SparseIndex::unloaded())), ..Segment::new(base_offset) }
    }

    pub fn restore(image: &SegmentImage, next_offset: i64) -> Self {
        Segment {
            base_offset: image.base_offset,
            size: image.size,
            next_offset,
            first_timestamp: image.first_timestamp,
            max_timestamp: image.max_timestamp,
            max_timestamp_offset: image.max_timestamp_offset,
            index: Arc::new(Mutex::new(SparseIndex::unloaded())),
            checked: Arc::new(Checked::found(image.size)),
        }
    }

    pub fn image(&self) -> SegmentImage {
        SegmentImage {
            base_offset: self.base_offset,
            size: self.size,
            first_timestamp: self.first_timestamp,
            max_timestamp: self.max_timestamp,
            max_timestamp_offset: self.max_timestamp_offset,
        }
    }

    /// One more batch at the end.
    pub fn extend(&mut self, base_offset: i64, next_offset: i64, size: u64, max_timestamp: i64) {
        if self.size == 0 {
            self.first_timestamp = max_timestamp;
        }
        if max_timestamp > self.max_timestamp {
            self.max_timestamp = max_timestamp;
            self.max_timestamp_offset = base_offset;
        }
        self.size += size;
        self.next_offset = next_offset;
    }
}

/// `00000000000000000042.log` and the like: 20 digits, as Kafka names them.
pub(crate) fn file_name(base_offset: i64, kind: FileKind) -> String {
    let extension = match kind {
        FileKind::Log => "log",
        FileKind::Index => "index",
    };
    format!("{base_offset:020}.{extension}")
}

/// The base offset in a name that [`file_name`] made.
pub(crate) fn parse_file_name(name: &str) -> Option<(i64, FileKind)> {
    let (digits, extension) = name.split_once('.')?;
    let kind = match extension {
        "log" => FileKind::Log,
        "index" => FileKind::Index,
        _ => return None,
    };
    let plain = digits.len() == 20 && digits.bytes().all(|b| b.is_ascii_digit());
    plain.then(|| digits.parse().ok()).flatten().map(|base_offset| (base_offset, kind))
}

/// Opens the files of one log through the cache.
#[derive(Debug, Clone)]
pub(crate) struct LogFiles {
    pub files: Arc<dyn Files>,
    pub cache: Arc<FileCache>,
    /// What the cache knows the log by.
    pub log: u64,
    pub dir: Arc<Path>,
}

impl LogFiles {
    pub fn path(&self, base_offset: i64, kind: FileKind) -> PathBuf {
        self.dir.join(file_name(base_offset, kind))
    }

    pub fn open(&self, base_offset: i64, kind: FileKind, mode: OpenMode) -> io::Result<Arc<dyn FileHandle>> {
        match self.cached(base_offset, kind) {
            Some(handle) => Ok(handle),
            None => self.cache.open(
                &*self.files,
                self.key(base_offset, kind),
                &self.path(base_offset, kind),
                mode,
            ),
        }
    }

    pub fn cached(&self, base_offset: i64, kind: FileKind) -> Option<Arc<dyn FileHandle>> {
        self.cache.cached(self.key(base_offset, kind))
    }

    fn key(&self, base_offset: i64, kind: FileKind) -> FileKey {
        FileKey { log: self.log, base_offset, kind }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_knows_the_first_of_its_newest_batches() {
        let mut segment = Segment::new(10);
        for (n, timestamp) in [3, 7, 5, 7].into_iter().enumerate() {
            let offset = 10 + n as i64;
            segment.extend(offset, offset + 1, 100, timestamp);
        }
        assert_eq!(
            (segment.first_timestamp, segment.max_timestamp, segment.max_timestamp_offset),
            (3, 7, 11)
        );
        assert_eq!((segment.size, segment.next_offset), (400, 14));
    }

    #[test]
    fn names_are_read_as_they_are_written() {
        for base_offset in [0, 42, i64::MAX] {
            for kind in [FileKind::Log, FileKind::Index] {
                assert_eq!(parse_file_name(&file_name(base_offset, kind)), Some((base_offset, kind)));
            }
        }
        let foreign = ["checkpoint", "42.log", "00000000000000000042.snapshot", "+0000000000000000042.log"];
        let too_large = "99999999999999999999.log";
        for name in foreign.into_iter().chain(["", ".log", "00000000000000000042.log.tmp", too_large]) {
            assert_eq!(parse_file_name(name), None, "{name}");
        }
    }
}
