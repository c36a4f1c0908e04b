//! A small transactional key-value store (redb) over [`Files`]: what the topic catalogue and the configs live in.
//! Keys and values are bytes; what they mean is the business of whoever writes them.

use std::fmt;
use std::io::{self, IoSlice};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use redb::{Database, ReadableDatabase, ReadableTable, StorageBackend, TableDefinition, TableError};

use super::StorageError;
use super::error::IoContext;
use super::files::{FileHandle, Files, OpenMode, SyncSite};

/// Catalogues are small; redb's own default would be a gigabyte.
const CACHE_BYTES: usize = 4 << 20;

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
    database: Database,
    path: Arc<Path>,
}

impl fmt::Debug for KvStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KvStore({})", self.path.display())
    }
}

impl KvStore {
    /// Opens the store, or makes an empty one.
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
        let database = guarded(&path, || open_database(handle))?;
        Ok(KvStore { database, path: path.into() })
    }

    /// A store that takes its name only when it is complete: a crash on the way leaves none.
    fn create(files: &dyn Files, path: &Path) -> Result<Arc<dyn FileHandle>, StorageError> {
        let beside = path.with_extension("tmp");
        let handle = files.open(&beside, OpenMode::CreateOrWrite).during("create", &beside)?;
        handle.set_len(0).during("truncate", &beside)?;
        drop(guarded(&beside, || open_database(Arc::clone(&handle)))?);
        files.rename(&beside, path).during("rename", path)?;
        Ok(handle)
    }

    pub fn get(&self, table: &str, key: &[u8]) -> Result<Option<Vec<u8>>, StorageError> {
        guarded(&self.path, || {
            let transaction = self.database.begin_read()?;
            match transaction.open_table(Table::new(table)) {
                Ok(table) => Ok(table.get(key)?.map(|value| value.value().to_vec())),
                Err(TableError::TableDoesNotExist(_)) => Ok(None),
                Err(error) => Err(error.into()),
            }
        })
    }

    /// All entries of a table in the order of their keys; an unknown table is empty.
    pub fn scan(&self, table: &str) -> Result<Vec<Entry>, StorageError> {
        guarded(&self.path, || {
            let transaction = self.database.begin_read()?;
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

    /// All changes or none; durable on return. Transactions of several threads are serialised.
    pub fn commit(&self, changes: Vec<KvOp>) -> Result<(), StorageError> {
        guarded(&self.path, || {
            let transaction = self.database.begin_write()?;
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
}

fn open_database(handle: Arc<dyn FileHandle>) -> Result<Database, redb::Error> {
    Ok(Database::builder().set_cache_size(CACHE_BYTES).create_with_backend(Backend { handle })?)
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
        self.handle.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.handle.sync_data(SyncSite::Catalogue)
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.handle.write_at(offset, &mut [IoSlice::new(data)])
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::storage::files::{Crash, SimFiles};

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

    #[test]
    fn damage_is_an_error_and_no_panic() {
        let files = SimFiles::new();
        drop(KvStore::open(&files, PATH).unwrap());
        files.damage(Path::new(PATH), 0, &[0x55; 4096]).unwrap();
        let error = KvStore::open(&files, PATH).unwrap_err();
        assert!(matches!(error, StorageError::Catalogue { .. }), "{error}");
    }
}
