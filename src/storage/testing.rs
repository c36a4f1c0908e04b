//! What the tests of this room share.

use std::fmt;
use std::io::{self, IoSlice};
use std::path::Path;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;

use super::files::{DirEntry, FileHandle, FileLock, Files, OpenMode, SimFiles, SyncSite};
use super::{AppendBatch, Appended, Log, LogConfig, Storage, StorageConfig, lock};

use crate::wire::record::{BatchBuilder, BatchHeader, Compressor, Headers};

/// A batch of `count` records with values of `value_len` bytes, all with this timestamp.
pub(crate) fn batch(base_offset: i64, count: i32, value_len: usize, timestamp: i64) -> Bytes {
    let mut compressor = Compressor::new();
    let mut builder =
        BatchBuilder::new(BatchHeader { base_offset, ..BatchHeader::default() }, &mut compressor);
    let value: Vec<u8> = (0..value_len).map(|i| (i as i64 + base_offset) as u8).collect();
    for _ in 0..count {
        builder.append(timestamp, None, Some(&value), Headers::default()).unwrap();
    }
    builder.finish().unwrap()
}

/// A storage on a simulated disk, driven by hand, with its own time.
pub(crate) struct Bench {
    pub files: SimFiles,
    pub config: StorageConfig,
    pub now: Arc<AtomicI64>,
}

impl Bench {
    pub fn new() -> Self {
        let now = Arc::new(AtomicI64::new(1_000_000));
        let clock = Arc::clone(&now);
        let config = StorageConfig {
            committers: 0,
            inline_bytes: 0,
            max_open_files: 4,
            clock: Arc::new(move || clock.load(Ordering::Relaxed)),
            ..StorageConfig::default()
        };
        Bench { files: SimFiles::new(), config, now }
    }

    /// A folder that was in order so far: what is found after the death of a process is judged as such.
    pub fn open(&self) -> Arc<Storage> {
        let storage = Storage::open(Arc::new(self.files.clone()), "/data", self.config.clone()).unwrap();
        storage.note_boot();
        storage
    }
}

/// Small segments, an index entry for nearly every batch.
pub(crate) fn small_segments() -> LogConfig {
    LogConfig {
        segment_bytes: 1000,
        index_interval_bytes: 200,
        segment_ms: i64::MAX,
        retention_ms: -1,
        ..LogConfig::default()
    }
}

pub(crate) fn append(log: &Arc<Log>, count: i32, value_len: usize, timestamp: i64) -> Appended {
    log.append(AppendBatch::new(batch(0, count, value_len, timestamp)).unwrap().into(), 0).unwrap()
}

/// A file that counts what is read of it, and of which only the beginning is in memory.
#[derive(Debug)]
pub(crate) struct Watched {
    file: Arc<dyn FileHandle>,
    in_memory: u64,
    read: AtomicU64,
}

impl Watched {
    pub fn new(file: Arc<dyn FileHandle>, in_memory: u64) -> Self {
        Watched { file, in_memory, read: AtomicU64::new(0) }
    }

    /// How many bytes were asked for.
    pub fn read(&self) -> u64 {
        self.read.load(Ordering::Relaxed)
    }
}

impl FileHandle for Watched {
    fn read_at(&self, position: u64, buf: &mut [u8]) -> io::Result<usize> {
        self.read.fetch_add(buf.len() as u64, Ordering::Relaxed);
        self.file.read_at(position, buf)
    }

    fn try_read_at(&self, position: u64, buf: &mut [u8]) -> io::Result<usize> {
        match position + buf.len() as u64 > self.in_memory {
            true => Err(io::ErrorKind::WouldBlock.into()),
            false => self.read_at(position, buf),
        }
    }

    fn write_at(&self, position: u64, pieces: &mut [IoSlice<'_>]) -> io::Result<()> {
        self.file.write_at(position, pieces)
    }

    fn sync_data(&self, site: SyncSite) -> io::Result<()> {
        self.file.sync_data(site)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    fn size(&self) -> io::Result<u64> {
        self.file.size()
    }
}

/// A system with no more than POSIX has: each file is synced for itself, and nobody knows when the machine started.
pub(crate) struct Plain {
    pub files: SimFiles,
    /// How a sync of everything fails.
    pub sync_all: io::ErrorKind,
    /// Called once, before the next file is opened.
    pub on_open: Mutex<Option<Box<dyn FnOnce() + Send>>>,
}

impl Plain {
    pub fn new(files: SimFiles) -> Self {
        Plain { files, sync_all: io::ErrorKind::Unsupported, on_open: Mutex::default() }
    }
}

impl fmt::Debug for Plain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.files.fmt(f)
    }
}

impl Files for Plain {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn FileHandle>> {
        let called = lock(&self.on_open).take();
        if let Some(called) = called {
            called();
        }
        self.files.open(path, mode)
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.files.create_dir(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.files.rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.files.remove_file(path)
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        self.files.remove_dir(path)
    }

    fn size(&self, path: &Path) -> io::Result<u64> {
        self.files.size(path)
    }

    fn list(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        self.files.list(path)
    }

    fn sync_dir(&self, path: &Path, site: SyncSite) -> io::Result<()> {
        self.files.sync_dir(path, site)
    }

    fn sync_all(&self, _: &Path, _: SyncSite) -> io::Result<()> {
        Err(self.sync_all.into())
    }

    fn lock(&self, path: &Path) -> io::Result<Option<FileLock>> {
        self.files.lock(path)
    }
}
