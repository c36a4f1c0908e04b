//! Open files kept for the next use, a bounded number of them. Whoever uses one holds it by its `Arc`, so that
//! eviction and deletion never close a file under a reader.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::files::{FileHandle, Files, OpenMode};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum FileKind {
    Log,
    Index,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct FileKey {
    pub log: u64,
    pub base_offset: i64,
    pub kind: FileKind,
}

#[derive(Debug)]
pub(crate) struct FileCache {
    capacity: usize,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    open: HashMap<FileKey, Slot>,
    /// Second-chance order: the one in front goes unless it was used since it came round last.
    clock: VecDeque<(FileKey, u64)>,
    generation: u64,
}

#[derive(Debug)]
struct Slot {
    handle: Arc<dyn FileHandle>,
    used: bool,
    generation: u64,
}

impl FileCache {
    pub fn new(capacity: usize) -> Self {
        FileCache { capacity: capacity.max(1), inner: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn len(&self) -> usize {
        self.lock().open.len()
    }

    /// The file if it is open.
    pub fn cached(&self, key: FileKey) -> Option<Arc<dyn FileHandle>> {
        let mut inner = self.lock();
        let slot = inner.open.get_mut(&key)?;
        slot.used = true;
        Some(Arc::clone(&slot.handle))
    }

    /// The file, opened if need be.
    pub fn open(
        &self,
        files: &dyn Files,
        key: FileKey,
        path: &Path,
        mode: OpenMode,
    ) -> io::Result<Arc<dyn FileHandle>> {
        if let Some(handle) = self.cached(key) {
            return Ok(handle);
        }
        let handle = files.open(path, mode)?;
        let mut inner = self.lock();
        inner.generation += 1;
        let generation = inner.generation;
        let slot = Slot { handle: Arc::clone(&handle), used: false, generation };
        inner.open.insert(key, slot);
        inner.clock.push_back((key, generation));
        let evicted = inner.evict(self.capacity);
        drop(inner);
        // Closed outside the lock.
        drop(evicted);
        Ok(handle)
    }

    pub fn forget_segment(&self, log: u64, base_offset: i64) {
        let mut inner = self.lock();
        let closed = [FileKind::Log, FileKind::Index]
            .map(|kind| inner.open.remove(&FileKey { log, base_offset, kind }));
        inner.trim();
        drop(inner);
        drop(closed);
    }

    pub fn forget_log(&self, log: u64) {
        let mut inner = self.lock();
        let closed: Vec<_> = inner.open.extract_if(|key, _| key.log == log).collect();
        inner.trim();
        drop(inner);
        drop(closed);
    }
}

impl Inner {
    fn evict(&mut self, capacity: usize) -> Vec<Slot> {
        let mut evicted = Vec::new();
        while self.open.len() > capacity {
            let Some((key, generation)) = self.clock.pop_front() else { break };
            match self.open.get_mut(&key) {
                Some(slot) if slot.generation != generation => {}
                Some(slot) if slot.used => {
                    slot.used = false;
                    self.clock.push_back((key, generation));
                }
                Some(_) => evicted.extend(self.open.remove(&key)),
                None => {}
            }
        }
        evicted
    }

    /// Drops what the clock still holds of files long closed.
    fn trim(&mut self) {
        if self.clock.len() > 2 * self.open.len() + 64 {
            let open = &self.open;
            self.clock
                .retain(|(key, generation)| open.get(key).is_some_and(|slot| slot.generation == *generation));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::files::SimFiles;

    fn key(log: u64, base_offset: i64) -> FileKey {
        FileKey { log, base_offset, kind: FileKind::Log }
    }

    #[test]
    fn stays_within_its_capacity_and_keeps_what_is_used() {
        let files = SimFiles::new();
        let cache = FileCache::new(3);
        let open = |n: i64| {
            cache.open(&files, key(1, n), Path::new(&format!("/{n}")), OpenMode::CreateOrWrite).unwrap();
        };
        (0..3).for_each(open);
        for n in 3..20 {
            assert!(cache.cached(key(1, 0)).is_some(), "in use all the time");
            open(n);
            assert_eq!(cache.len(), 3);
        }
        assert!(cache.cached(key(1, 1)).is_none());
        assert!(cache.cached(key(1, 19)).is_some());
    }

    #[test]
    fn forgets_segments_and_logs() {
        let files = SimFiles::new();
        let cache = FileCache::new(1000);
        for round in 0..10 {
            for n in 0..100 {
                let path = format!("/{n}");
                cache.open(&files, key(n % 2, n as i64), Path::new(&path), OpenMode::CreateOrWrite).unwrap();
            }
            cache.forget_log(0);
            assert_eq!(cache.len(), 50, "round {round}");
            (0..100).for_each(|n| cache.forget_segment(1, n));
            assert_eq!(cache.len(), 0);
            assert!(cache.lock().clock.len() <= 64);
        }
    }
}
