//! A small transactional key-value store (redb) over [`Files`]: what the topic catalogue and the configs live in.
//! Keys and values are bytes; what they mean is the business of whoever writes them.

use std::fmt;
use std::io::{self, IoSlice};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use redb::backends::InMemoryBackend;
use redb::{Database, ReadableDatabase, ReadableTable, StorageBackend, TableDefinition, TableError};

use super::StorageError;
use super::error::IoContext;
use super::files::{FileHandle, Files, OpenMode, SyncSite};
use super::lock;

/// Catalogues are small; redb's own default would be a gigabyte.
const CACHE_BYTES: usize = 4 << 20;
/// A larger one is not read into memory when the disk takes no writes.
const MAX_COPY_BYTES: usize = 256 << 20;

type Table<'a> = TableDefinition<'a, &'static [u8], &'static [u8]>;

/// A key and its value.
pub type Entry = (Vec<u8>, Vec<u8>);

/// One change of a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KvOp {
    Put { table: &'static str, key: Vec<u8>, value: Vec<u8> },
    Delete { table: &'static str, key: Vec<u8> },
}

/// The store. Every call blocks on the disk.
pub struct KvStore {
    state: Mutex<State>,
    handle: Arc<dyn FileHandle>,
    failures: Arc<Failures>,
    path: Arc<Path>,
}

enum State {
    Open(Database),
    /// The disk takes no writes: a copy in memory of what the file holds, to be read, and why.
    ReadOnly(Database, Arc<str>),
    /// The last operation failed; the next one opens the file again.
    Failed(Arc<str>),
}

/// What the disk refused.
#[derive(Debug, Default)]
struct Failures {
    write: AtomicBool,
    sync: AtomicBool,
}

impl fmt::Debug for KvStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KvStore({})", self.path.display())
    }
}

impl KvStore {
    /// Opens the store, or makes an empty one. One that is there can be read even if the disk takes no writes.
    pub fn open(files: &dyn Files, path: impl Into<PathBuf>) -> Result<Self, StorageError> {
        let path: PathBuf = path.into();
        let handle = match files.open(&path, OpenMode::Write) {
            Ok(handle) => handle,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Self::create(files, &path)?,
            Err(error) => return Err(StorageError::io("open", &path, &error)),
        };
        // Also when it was there: a killed process may have named it and not come to sync the name.
        if let Some(dir) = path.parent() {
            files.sync_dir(dir, SyncSite::CatalogueDir).during("fsync", dir)?;
        }
        let failures = Arc::default();
        let state = Mutex::new(State::Failed(Arc::from("it is not open")));
        let store = KvStore { state, handle, failures, path: path.into() };
        let mut state = lock(&store.state);
        store.reopen(&mut state)?;
        drop(state);
        Ok(store)
    }

    /// A store that takes its name only when it is complete: a crash on the way leaves none.
    fn create(files: &dyn Files, path: &Path) -> Result<Arc<dyn FileHandle>, StorageError> {
        let beside = path.with_extension("tmp");
        let handle = files.open(&beside, OpenMode::CreateOrWrite).during("create", &beside)?;
        handle.set_len(0).during("truncate", &beside)?;
        drop(guarded(&beside, || open_database(Backend::new(&handle, &Arc::default())))?);
        files.rename(&beside, path).during("rename", path)?;
        Ok(handle)
    }

    pub fn get(&self, table: &str, key: &[u8]) -> Result<Option<Vec<u8>>, StorageError> {
        self.with_database(false, |database| {
            let transaction = database.begin_read()?;
            match transaction.open_table(Table::new(table)) {
                Ok(table) => Ok(table.get(key)?.map(|value| value.value().to_vec())),
                Err(TableError::TableDoesNotExist(_)) => Ok(None),
                Err(error) => Err(error.into()),
            }
        })
    }

    /// All entries of a table in the order of their keys; an unknown table is empty.
    pub fn scan(&self, table: &str) -> Result<Vec<Entry>, StorageError> {
        self.with_database(false, |database| {
            let transaction = database.begin_read()?;
            let table = match transaction.open_table(Table::new(table)) {
                Ok(table) => table,
                Err(TableError::TableDoesNotExist(_)) => return Ok(Vec::new()),
                Err(error) => return Err(error.into()),
            };
            let mut entries = Vec::new();
            for entry in table.iter()? {
                let (key, value) = entry?;
                entries.push((key.value().to_vec(), value.value().to_vec()));
            }
            Ok(entries)
        })
    }

    /// All changes or none; durable on return. Transactions of several threads are serialised. After an error it is not
    /// known whether the changes are there; the next call looks.
    pub fn commit(&self, changes: Vec<KvOp>) -> Result<(), StorageError> {
        self.with_database(true, |database| {
            let transaction = database.begin_write()?;
            for change in &changes {
                match change {
                    KvOp::Put { table, key, value } => {
                        transaction
                            .open_table(Table::new(table))?
                            .insert(key.as_slice(), value.as_slice())?;
                    }
                    KvOp::Delete { table, key } => {
                        transaction.open_table(Table::new(table))?.remove(key.as_slice())?;
                    }
                }
            }
            transaction.commit()?;
            Ok(())
        })
    }

    fn with_database<T>(
        &self,
        writing: bool,
        work: impl FnOnce(&Database) -> Result<T, redb::Error>,
    ) -> Result<T, StorageError> {
        let mut state = lock(&self.state);
        match &*state {
            State::Open(_) => {}
            State::ReadOnly(..) if !writing => {}
            State::ReadOnly(..) | State::Failed(_) => self.reopen(&mut state)?,
        }
        let database = match &*state {
            State::Open(database) => database,
            State::ReadOnly(database, _) if !writing => database,
            State::ReadOnly(_, message) | State::Failed(message) => return Err(self.failed(message)),
        };
        let done = guarded(&self.path, || work(database));
        if let Err(StorageError::Catalogue { message, .. }) = &done {
            // redb refuses everything after an error of the disk, also when the disk has recovered.
            self.replace(&mut state, State::Failed(Arc::clone(message)));
        }
        done
    }

    /// Opens the file anew. A write that failed left it as a crash would have, which redb's recovery is made for: what
    /// was committed before was synced. After a failed sync that is not so: the page cache shows what the disk may
    /// never have got, and building on it could cost the whole catalogue.
    fn reopen(&self, state: &mut State) -> Result<(), StorageError> {
        // First the old one goes: there must be no two on one file.
        self.replace(state, State::Failed(Arc::from("it could not be opened")));
        if self.failures.sync.load(Ordering::Acquire) {
            let message = "a sync of it failed, so that what the disk holds is not known: look after the disk, \
                           then restart";
            return Err(self.failed(&Arc::from(message)));
        }
        self.failures.write.store(false, Ordering::Release);
        match guarded(&self.path, || open_database(Backend::new(&self.handle, &self.failures))) {
            Ok(database) => *state = State::Open(database),
            Err(StorageError::Catalogue { message, .. }) if self.failures.write.load(Ordering::Acquire) => {
                *state = State::ReadOnly(self.copy()?, message);
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    fn replace(&self, state: &mut State, with: State) {
        let old = std::mem::replace(state, with);
        let _ = guarded(&self.path, || {
            drop(old);
            Ok(())
        });
    }

    /// The file's content, in memory.
    fn copy(&self) -> Result<Database, StorageError> {
        let size = self.handle.size().during("stat", &self.path)?;
        let len = usize::try_from(size).ok().filter(|len| *len <= MAX_COPY_BYTES);
        let len = len.ok_or_else(|| self.failed(&Arc::from("the disk takes no writes")))?;
        let mut bytes = vec![0; len];
        let n = self.handle.read_at(0, &mut bytes).during("read", &self.path)?;
        guarded(&self.path, || {
            let memory = InMemoryBackend::new();
            memory.set_len(n as u64)?;
            memory.write(0, bytes.get(..n).unwrap_or_default())?;
            open_database(memory)
        })
    }

    fn failed(&self, message: &Arc<str>) -> StorageError {
        StorageError::Catalogue { path: Arc::clone(&self.path), message: Arc::clone(message) }
    }
}

fn open_database(backend: impl StorageBackend) -> Result<Database, redb::Error> {
    Ok(Database::builder().set_cache_size(CACHE_BYTES).create_with_backend(backend)?)
}

/// redb panics on some damaged pages; a damaged catalogue is an error like another.
fn guarded<T>(path: &Path, work: impl FnOnce() -> Result<T, redb::Error>) -> Result<T, StorageError> {
    let outcome = catch_unwind(AssertUnwindSafe(work));
    let message: Arc<str> = match outcome {
        Ok(Ok(done)) => return Ok(done),
        Ok(Err(error)) => error.to_string().into(),
        Err(_) => "its pages are damaged".into(),
    };
    Err(StorageError::Catalogue { path: Arc::from(path), message })
}

/// redb's pages on one of our files. The data folder's lock covers it.
#[derive(Debug)]
struct Backend {
    handle: Arc<dyn FileHandle>,
    failures: Arc<Failures>,
}

impl Backend {
    fn new(handle: &Arc<dyn FileHandle>, failures: &Arc<Failures>) -> Self {
        Backend { handle: Arc::clone(handle), failures: Arc::clone(failures) }
    }
}

/// Notes that an operation failed.
fn noting(failed: &AtomicBool, done: io::Result<()>) -> io::Result<()> {
    if done.is_err() {
        failed.store(true, Ordering::Release);
    }
    done
}

impl StorageBackend for Backend {
    fn len(&self) -> io::Result<u64> {
        self.handle.size()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let n = self.handle.read_at(offset, out)?;
        if n == out.len() { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        noting(&self.failures.write, self.handle.set_len(len))
    }

    fn sync_data(&self) -> io::Result<()> {
        noting(&self.failures.sync, self.handle.sync_data(SyncSite::Catalogue))
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        noting(&self.failures.write, self.handle.write_at(offset, &mut [IoSlice::new(data)]))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;
    use crate::storage::files::{Crash, SimFault, SimFiles};

    const PATH: &str = "/catalogue";

    fn put(table: &'static str, key: &str, value: &str) -> KvOp {
        KvOp::Put { table, key: key.into(), value: value.into() }
    }

    #[test]
    fn changes_of_one_commit_are_seen_together_and_survive_a_restart() {
        let files = SimFiles::new();
        let store = KvStore::open(&files, PATH).unwrap();
        assert_eq!(store.get("topics", b"a").unwrap(), None);
        assert!(store.scan("topics").unwrap().is_empty());
        store
            .commit(vec![put("topics", "b", "2"), put("topics", "a", "1"), put("configs", "a", "x")])
            .unwrap();
        store.commit(vec![KvOp::Delete { table: "configs", key: b"a".to_vec() }]).unwrap();
        drop(store);
        let store = KvStore::open(&files, PATH).unwrap();
        let entries = store.scan("topics").unwrap();
        assert_eq!(entries, [(b"a".to_vec(), b"1".to_vec()), (b"b".to_vec(), b"2".to_vec())]);
        assert_eq!(store.get("configs", b"a").unwrap(), None);
    }

    /// After a crash at any operation, what was committed is there, and no transaction is there in part.
    #[test]
    fn every_crash_leaves_a_committed_state() {
        let files = SimFiles::new();
        let committed = Arc::new(AtomicUsize::new(0));
        let boundaries = Arc::new(Mutex::new(0));
        let (seen, count) = (Arc::clone(&committed), Arc::clone(&boundaries));
        files.observe(move |at| {
            *count.lock().unwrap() += 1;
            for seed in 0..4 {
                let fork = at.fork();
                fork.crash(Crash::Power { seed });
                let store = KvStore::open(&fork, PATH).unwrap();
                let committed = seen.load(Ordering::SeqCst);
                let found = store.scan("even").unwrap().len();
                assert!(found == committed || found == committed + 1, "{found} of {committed} (seed {seed})");
                assert_eq!(store.scan("odd").unwrap().len(), found, "half a transaction (seed {seed})");
            }
        });
        let store = KvStore::open(&files, PATH).unwrap();
        for n in 0..12_usize {
            let (key, value) = (format!("key-{n}"), "v".repeat(n * 400));
            store.commit(vec![put("even", &key, &value), put("odd", &key, &value)]).unwrap();
            committed.store(n + 1, Ordering::SeqCst);
        }
        drop(store);
        files.stop_observing();
        assert!(*boundaries.lock().unwrap() > 50);
    }

    /// redb refuses everything after the first failed write, for ever.
    #[test]
    fn a_disk_that_was_full_can_be_written_again_without_a_restart() {
        for fault in [SimFault::NoSpace, SimFault::WriteError] {
            let files = SimFiles::new();
            let store = KvStore::open(&files, PATH).unwrap();
            store.commit(vec![put("topics", "a", "1")]).unwrap();
            files.inject(PATH, fault);
            for _ in 0..3 {
                let error = store.commit(vec![put("topics", "b", "2")]).unwrap_err();
                assert!(!error.to_string().contains("close and re-open"), "{error}");
                assert_eq!(store.get("topics", b"a").unwrap().unwrap(), b"1", "it can still be read");
                assert_eq!(store.get("topics", b"b").unwrap(), None);
            }
            files.heal();
            store.commit(vec![put("topics", "c", "3")]).unwrap();
            let expected = [(b"a".to_vec(), b"1".to_vec()), (b"c".to_vec(), b"3".to_vec())];
            assert_eq!(store.scan("topics").unwrap(), expected);
            for seed in 0..10 {
                let fork = files.fork();
                fork.crash(Crash::Power { seed });
                assert_eq!(KvStore::open(&fork, PATH).unwrap().scan("topics").unwrap(), expected);
            }
        }
    }

    #[test]
    fn a_store_on_a_full_disk_opens_to_be_read() {
        let files = SimFiles::new();
        let store = KvStore::open(&files, PATH).unwrap();
        store.commit(vec![put("topics", "a", "1")]).unwrap();
        drop(store);
        for crash in [None, Some(Crash::Process)] {
            let files = files.fork();
            crash.into_iter().for_each(|crash| files.crash(crash));
            files.inject(PATH, SimFault::NoSpace);
            let store = KvStore::open(&files, PATH).unwrap();
            assert_eq!(store.get("topics", b"a").unwrap().unwrap(), b"1");
            assert!(store.commit(vec![put("topics", "b", "2")]).is_err());
            assert_eq!(store.scan("topics").unwrap().len(), 1);
            files.heal();
            store.commit(vec![put("topics", "b", "2")]).unwrap();
            drop(store);
            assert_eq!(KvStore::open(&files, PATH).unwrap().scan("topics").unwrap().len(), 2);
        }
    }

    /// An empty one in its place would have every topic forgotten.
    #[test]
    fn a_store_that_cannot_be_opened_is_not_made_anew() {
        let files = SimFiles::new();
        let store = KvStore::open(&files, PATH).unwrap();
        store.commit(vec![put("topics", "a", "1")]).unwrap();
        drop(store);
        files.inject(PATH, SimFault::OpenError);
        let error = KvStore::open(&files, PATH).unwrap_err();
        assert!(matches!(error, StorageError::Io { .. }), "{error}");
        files.heal();
        assert_eq!(KvStore::open(&files, PATH).unwrap().get("topics", b"a").unwrap().unwrap(), b"1");
    }

    /// Nor is it opened to be read, as it is where a write fails: what it shows may be gone after the next power loss.
    #[test]
    fn a_store_whose_recovery_cannot_be_synced_is_not_opened() {
        let files = SimFiles::new();
        let store = KvStore::open(&files, PATH).unwrap();
        store.commit(vec![put("topics", "a", "1")]).unwrap();
        files.crash(Crash::Process);
        drop(store);
        files.inject(PATH, SimFault::SyncError);
        let error = KvStore::open(&files, PATH).unwrap_err();
        assert!(matches!(error, StorageError::Catalogue { .. }), "{error}");
    }

    /// What a sync did not write looks as if it were there: nothing may be built on it.
    #[test]
    fn after_a_failed_sync_nothing_is_written_any_more() {
        let files = SimFiles::new();
        let store = KvStore::open(&files, PATH).unwrap();
        store.commit(vec![put("topics", "a", "1")]).unwrap();
        files.inject(PATH, SimFault::SyncError);
        store.commit(vec![put("topics", "b", "2")]).unwrap_err();
        files.heal();
        let error = store.commit(vec![put("topics", "c", "3")]).unwrap_err();
        assert!(error.to_string().contains("restart"), "{error}");
        drop(store);
        files.crash(Crash::Power { seed: 0 });
        assert_eq!(KvStore::open(&files, PATH).unwrap().get("topics", b"a").unwrap().unwrap(), b"1");
    }

    #[test]
    fn damage_is_an_error_and_no_panic() {
        let files = SimFiles::new();
        drop(KvStore::open(&files, PATH).unwrap());
        files.damage(Path::new(PATH), 0, &[0x55; 4096]).unwrap();
        let error = KvStore::open(&files, PATH).unwrap_err();
        assert!(matches!(error, StorageError::Catalogue { .. }), "{error}");
    }
}
