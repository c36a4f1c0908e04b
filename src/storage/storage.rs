//! The data folder: its lock, its logs, its threads.
//!
//! ```text
//! <data>/.lock             held while a process works here
//! <data>/boot-id           the machine's start in which all was last found in order
//! <data>/clean-shutdown    the marker: what every log looked like when the last process ended in peace
//! <data>/logs/<name>/      one folder a log: segments, indexes, checkpoint, snapshots of whoever owns the log
//! ```
//!
//! (Long because opening, running and closing share one order of locks and threads, which must be read together.)

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::io;
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::chaos::{Chaos, DiskOperation};
use super::committer::Shared;
use super::error::IoContext;
use super::file_cache::FileCache;
use super::files::{FileLock, Files, SyncSite};
use super::image::{LogImage, decode_marker, encode_marker};
use super::inline::Inline;
use super::log::{Log, Op};
use super::progress::Completion;
use super::queue::{PendingBytes, WorkQueue};
use super::recover::{Found, Recovered};
use super::retain::{DELETED_PREFIX, remove_tree};
use super::segment::LogFiles;
use super::tail::TailBudget;
use super::{FlushMode, LogConfig, StorageConfig, StorageError, boot, lock, snapshot};

const LOCK: &str = ".lock";
const MARKER: &str = "clean-shutdown";
const LOGS: &str = "logs";
/// Folders of this ending are logs that were set aside.
const ASIDE_SUFFIX: &str = ".orphan";
/// Longest name of a folder on the usual file systems, in bytes.
const MAX_NAME: usize = 255;

/// All logs of one data folder.
pub struct Storage {
    shared: Arc<Shared>,
    dir: PathBuf,
    logs_dir: PathBuf,
    logs: Arc<Mutex<Logs>>,
    /// What was found at start was synced all at once.
    durable: bool,
    /// The machine has not stopped since all logs were last found in order.
    ran_on: bool,
    next_log: AtomicU64,
    threads: Mutex<Vec<JoinHandle<()>>>,
    timer: Arc<Timer>,
    /// Freed when all else is done.
    lock: Mutex<Option<FileLock>>,
}

#[derive(Default)]
struct Logs {
    open: HashMap<Arc<str>, Arc<Log>>,
    /// Being opened at this moment.
    opening: HashSet<String>,
    /// From the marker, for logs not opened yet.
    clean: HashMap<String, LogImage>,
    closed: bool,
}

#[derive(Default)]
struct Timer {
    stopped: Mutex<bool>,
    wake: Condvar,
}

impl fmt::Debug for Storage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Storage")
            .field("dir", &self.dir)
            .field("config", &self.shared.config)
            .finish_non_exhaustive()
    }
}

impl Storage {
    /// Opens (or makes) a data folder and takes its lock. Blocks on the disk, as all calls here that return no future.
    pub fn open(
        files: Arc<dyn Files>,
        dir: impl Into<PathBuf>,
        config: StorageConfig,
    ) -> Result<Arc<Storage>, StorageError> {
        let dir: PathBuf = dir.into();
        let logs_dir = dir.join(LOGS);
        make_folder(&*files, &dir)?;
        let lock_path = dir.join(LOCK);
        let held = files.lock(&lock_path).during("lock", &lock_path)?;
        let held = held.ok_or_else(|| StorageError::Locked(dir.clone()))?;
        make_folder(&*files, &logs_dir)?;
        let found = files.list(&logs_dir).during("list", &logs_dir)?;
        let clean = take_marker(&*files, &dir)?;
        let ran_on = boot::ran_on(&*files, &dir);
        let durable =
            make_found_durable(&*files, &logs_dir, &config, found.len().saturating_sub(clean.len()))?;
        for entry in found {
            if entry.name.starts_with(DELETED_PREFIX) {
                remove_tree(&*files, &logs_dir.join(entry.name))?;
            }
        }
        let shared = Arc::new(Shared {
            cache: Arc::new(FileCache::new(config.max_open_files)),
            tail: TailBudget::new(config.tail_cache_bytes),
            queue: WorkQueue::new(),
            pending: PendingBytes::new(config.max_pending_bytes),
            inline: Inline::new(&config),
            chaos: Chaos::new(config.chaos.clone()),
            files,
            config,
        });
        let storage = Arc::new(Storage {
            shared,
            dir,
            logs_dir,
            logs: Arc::new(Mutex::new(Logs { clean, ..Logs::default() })),
            durable,
            ran_on,
            next_log: AtomicU64::new(0),
            threads: Mutex::default(),
            timer: Arc::default(),
            lock: Mutex::new(Some(held)),
        });
        storage.start_threads()?;
        Ok(storage)
    }

    /// Says that every log was opened and none has failed. From here on what is not the first part of an append at the
    /// end of a log is damage, unless the machine stops: the next start must not meet what a power loss left and was not
    /// recovered yet.
    pub fn note_boot(&self) {
        if let Err(error) = boot::note(&*self.shared.files, &self.dir) {
            tracing::debug!(%error, "the boot cannot be noted: the next start assumes a power loss");
        }
    }

    fn start_threads(&self) -> Result<(), StorageError> {
        let mut threads = lock(&self.threads);
        let failed = |error: io::Error| StorageError::io("start a thread", &self.dir, &error);
        for n in 0..self.shared.config.committers {
            let shared = Arc::clone(&self.shared);
            let name = format!("committer-{n}");
            let thread = std::thread::Builder::new().name(name).spawn(move || shared.run_committer());
            threads.push(thread.map_err(failed)?);
        }
        if self.shared.config.committers > 0 && self.shared.chaos.is_possible() {
            let shared = Arc::clone(&self.shared);
            let run = move || shared.chaos.parking().run(|log| shared.queue.push(log));
            let thread = std::thread::Builder::new().name("slow-disk".to_owned()).spawn(run);
            threads.push(thread.map_err(failed)?);
        }
        if self.shared.config.committers > 0 {
            let (shared, logs, timer) =
                (Arc::clone(&self.shared), Arc::clone(&self.logs), Arc::clone(&self.timer));
            let logs_dir = self.logs_dir.clone();
            let run = move || timer.run(&shared, &logs, &logs_dir);
            threads.push(
                std::thread::Builder::new().name("storage-timer".to_owned()).spawn(run).map_err(failed)?,
            );
        }
        Ok(())
    }

    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The folder of the logs' folders.
    pub fn logs_dir(&self) -> &Path {
        &self.logs_dir
    }

    pub fn files(&self) -> &Arc<dyn Files> {
        &self.shared.files
    }

    pub fn config(&self) -> &StorageConfig {
        &self.shared.config
    }

    /// Names of the logs in the folder, opened or not.
    pub fn list_logs(&self) -> Result<Vec<String>, StorageError> {
        let entries = self.shared.files.list(&self.logs_dir).during("list", &self.logs_dir)?;
        let is_log = |name: &str| valid_name(name);
        Ok(entries.into_iter().filter(|e| e.is_dir && is_log(&e.name)).map(|e| e.name).collect())
    }

    /// Whether a log that is not open has any records, as far as its files tell.
    pub fn holds_data(&self, name: &str) -> Result<bool, StorageError> {
        let dir = self.logs_dir.join(name);
        for entry in self.shared.files.list(&dir).during("list", &dir)? {
            let path = dir.join(&entry.name);
            // Also what was cut off a segment and kept.
            let of_segment = entry.name.contains(".log");
            // A log has no folders in it: this one is somebody else's.
            if entry.is_dir || (of_segment && self.shared.files.size(&path).during("stat", &path)? > 0) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Takes a log that is not open out of the way, all its files as they are. Gives the folder's new path. After a
    /// power loss it may have its old name again.
    pub fn set_aside(&self, name: &str) -> Result<PathBuf, StorageError> {
        let from = self.logs_dir.join(name);
        let taken: HashSet<String> = {
            let entries = self.shared.files.list(&self.logs_dir).during("list", &self.logs_dir)?;
            entries.into_iter().map(|entry| entry.name).collect()
        };
        let numbered = (1_u32..).map(|n| format!("{name}.{n}{ASIDE_SUFFIX}"));
        let mut names = std::iter::once(format!("{name}{ASIDE_SUFFIX}")).chain(numbered);
        let free = names.find(|name| !taken.contains(name)).unwrap_or_default();
        let to = self.logs_dir.join(free);
        // Whoever gives it its name back may have changed it: it is looked at then.
        lock(&self.logs).clean.remove(name);
        self.shared.files.rename(&from, &to).during("rename", &from)?;
        Ok(to)
    }

    /// Makes an empty log; its name is durable on return.
    pub fn create_log(&self, name: &str, config: LogConfig) -> Result<Arc<Log>, StorageError> {
        let mut created = self.create_logs(&[(name.to_owned(), config)]);
        created.pop().unwrap_or(Err(StorageError::Closed))
    }

    /// [`Storage::create_log`] for many, with one sync for all.
    pub fn create_logs(&self, logs: &[(String, LogConfig)]) -> Vec<Result<Arc<Log>, StorageError>> {
        let made: Vec<Result<(), StorageError>> =
            logs.iter().map(|(name, _)| self.make_log_folder(name)).collect();
        let synced = if made.iter().any(Result::is_ok) {
            self.shared.files.sync_dir(&self.logs_dir, SyncSite::LogCreated).during("fsync", &self.logs_dir)
        } else {
            Ok(())
        };
        let created = made.into_iter().zip(logs).map(|(made, (name, config))| {
            made?;
            if let Err(error) = &synced {
                // Nobody will come back for it, and its name shall be free.
                let _ = self.shared.files.remove_dir(&self.logs_dir.join(name));
                return Err(error.clone());
            }
            self.register(name, config.clone(), Recovered::empty())
        });
        created.collect()
    }

    fn make_log_folder(&self, name: &str) -> Result<(), StorageError> {
        if !valid_name(name) {
            return Err(StorageError::InvalidName(name.to_owned()));
        }
        // One whose deletion failed may have lost its folder; its name is taken until the next start.
        if self.log(name).is_some() {
            return Err(StorageError::LogExists(name.into()));
        }
        let path = self.logs_dir.join(name);
        match self.shared.files.create_dir(&path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                Err(StorageError::LogExists(name.into()))
            }
            other => other.during("create", &path),
        }
    }

    /// Opens an existing log, recovering it if the last process did not end cleanly. A damaged one opens offline
    /// (`Log::offline`). One that is open already is given again, with this config.
    pub fn open_log(&self, name: &str, config: LogConfig) -> Result<Arc<Log>, StorageError> {
        if !valid_name(name) {
            return Err(StorageError::InvalidName(name.to_owned()));
        }
        let known = {
            let mut logs = lock(&self.logs);
            if let Some(log) = logs.open.get(name) {
                log.set_config(config);
                return Ok(Arc::clone(log));
            }
            // Two recoveries of one log would truncate under each other.
            if !logs.opening.insert(name.to_owned()) {
                return Err(StorageError::LogExists(name.into()));
            }
            logs.clean.remove(name)
        };
        let opened = match known {
            Some(image) => self.register(name, config, Recovered::clean(image)),
            None => self.recover(name).and_then(|recovered| self.register(name, config, recovered)),
        };
        lock(&self.logs).opening.remove(name);
        opened
    }

    /// Stands in for a log that cannot be opened: it is there, and offline.
    pub fn offline_log(
        &self,
        name: &str,
        config: LogConfig,
        cause: StorageError,
    ) -> Result<Arc<Log>, StorageError> {
        self.register(name, config, Recovered::failed(cause))
    }

    fn recover(&self, name: &str) -> Result<Recovered, StorageError> {
        let dir = self.logs_dir.join(name);
        match self.shared.files.list(&dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err(StorageError::LogNotFound(name.into()))
            }
            Err(error) => Err(StorageError::io("list", &dir, &error)),
            Ok(entries) => {
                let found = Found { durable: self.durable, ran_on: self.ran_on };
                Ok(Recovered::after_crash(&*self.shared.files, &dir, &entries, found))
            }
        }
    }

    /// Opens a log again that `Log::begin_truncate` has ended, as it would be found after a crash.
    pub fn reopen_log(&self, ended: &Arc<Log>) -> Result<Arc<Log>, StorageError> {
        {
            let mut logs = lock(&self.logs);
            if logs.closed {
                return Err(StorageError::Closed);
            }
            let is_it = logs.open.get(ended.name()).is_some_and(|open| Arc::ptr_eq(open, ended));
            if !is_it || !matches!(ended.offline(), Some(StorageError::Truncated(_))) {
                return Err(StorageError::LogNotFound(ended.name().into()));
            }
            logs.open.remove(ended.name());
        }
        self.shared.cache.forget_log(ended.files.log);
        self.open_log(ended.name(), (*ended.config()).clone())
    }

    /// [`Storage::open_log`] for many, on a few threads.
    pub fn open_logs(&self, logs: &[(String, LogConfig)]) -> Vec<Result<Arc<Log>, StorageError>> {
        let threads = std::thread::available_parallelism().map_or(2, usize::from).clamp(2, 8);
        if logs.len() < 64 || self.shared.config.committers == 0 {
            return logs.iter().map(|(name, config)| self.open_log(name, config.clone())).collect();
        }
        let next = AtomicUsize::new(0);
        let mut opened: Vec<_> = std::thread::scope(|scope| {
            let work = || {
                let mut mine = Vec::new();
                while let Some((at, (name, config))) = {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    logs.get(at).map(|log| (at, log))
                } {
                    mine.push((at, self.open_log(name, config.clone())));
                }
                mine
            };
            let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
            // What a worker that panicked had opened is missing: the others' logs would take the wrong places.
            let joined = workers.into_iter().map(|worker| worker.join());
            joined.flat_map(|mine| mine.unwrap_or_else(|panic| resume_unwind(panic))).collect()
        });
        opened.sort_unstable_by_key(|(at, _)| *at);
        opened.into_iter().map(|(_, log)| log).collect()
    }

    fn register(
        &self,
        name: &str,
        config: LogConfig,
        recovered: Recovered,
    ) -> Result<Arc<Log>, StorageError> {
        let name: Arc<str> = name.into();
        let files = LogFiles {
            files: Arc::clone(&self.shared.files),
            cache: Arc::clone(&self.shared.cache),
            log: self.next_log.fetch_add(1, Ordering::Relaxed),
            dir: self.logs_dir.join(&*name).into(),
        };
        let mut logs = lock(&self.logs);
        if logs.closed {
            return Err(StorageError::Closed);
        }
        if let Some(log) = logs.open.get(&name) {
            return Ok(Arc::clone(log));
        }
        let log = Log::new(Arc::clone(&name), files, Arc::clone(&self.shared), config, recovered);
        logs.open.insert(name, Arc::clone(&log));
        Ok(log)
    }

    /// A log that is open.
    pub fn log(&self, name: &str) -> Option<Arc<Log>> {
        lock(&self.logs).open.get(name).cloned()
    }

    /// Resolves when the log will not come back after a crash; the name can be used again then. Its appends and
    /// reads fail from the call on, slices already read stay readable. The log must be open.
    pub fn delete_log(&self, name: &str) -> Completion<()> {
        let (reply, completion) = Completion::new();
        let log = lock(&self.logs).open.get(name).cloned();
        match log {
            Some(log) => {
                let logs = Arc::clone(&self.logs);
                log.delete(Box::new(move |log, outcome| {
                    // A log whose folder could not be renamed stays, offline: the name is still taken.
                    if outcome.is_ok() {
                        let mut logs = lock(&logs);
                        if logs.open.get(log.name()).is_some_and(|open| std::ptr::eq(&**open, log)) {
                            logs.open.remove(log.name());
                        }
                    }
                    let _ = reply.send(outcome);
                }));
            }
            None => drop(reply.send(Err(StorageError::LogNotFound(name.into())))),
        }
        completion
    }

    /// Appended bytes that wait for the disk.
    pub fn pending_bytes(&self) -> usize {
        self.shared.pending.bytes()
    }

    /// Resolves when there is room for more appends: at once unless the disk does not keep up.
    pub async fn capacity(&self) {
        self.shared.pending.room().await;
    }

    /// Bytes of recent batches in memory.
    pub fn tail_cache_bytes(&self) -> usize {
        self.shared.tail.used()
    }

    /// Segment and index files open for the next use.
    pub fn open_files(&self) -> usize {
        self.shared.cache.len()
    }

    /// Those who harm the disk may have changed their mind: what waits for them is looked at again.
    pub fn look_again(&self) {
        let chaos = &self.shared.chaos;
        let free = chaos.parking().look_again(|wait| chaos.wants(wait));
        free.into_iter().for_each(|log| self.shared.queue.push(log));
    }

    /// Does the committers' work on this thread until none is left: for `committers: 0`.
    pub fn drive(&self) {
        self.shared.drive();
    }

    /// What the timer does every `maintenance_interval`: has retention looked at, and moves recovery points where no
    /// commit does.
    pub fn maintain(&self) {
        maintain(&self.shared, &self.logs, &self.logs_dir);
    }

    /// What the timer does every interval of `FlushMode::Interval`: syncs what was written since.
    pub fn sync_all(&self) {
        sync_all(&self.shared, &self.logs, &self.logs_dir, false);
    }

    /// Drains what was appended, syncs it, writes the clean-shutdown marker, ends the threads, frees the folder.
    /// Appends fail from the call on.
    pub fn close(&self) -> Result<(), StorageError> {
        let open: Vec<Arc<Log>> = {
            let mut logs = lock(&self.logs);
            if std::mem::replace(&mut logs.closed, true) {
                return Ok(());
            }
            logs.open.values().cloned().collect()
        };
        open.iter().for_each(|log| log.refuse_appends());
        self.stop_threads();
        self.shared.drive();

        let mut images: Vec<(Arc<str>, LogImage)> = Vec::with_capacity(open.len());
        let unsynced = open.iter().filter(|log| log.unsynced.load(Ordering::Relaxed)).count();
        let synced = unsynced >= self.shared.config.many_logs && sync_everything(&self.shared, &self.dir)?;
        for log in open {
            // What cannot be settled is left to recovery.
            match log.settle(synced) {
                Ok(image) => images.extend(image.map(|image| (Arc::clone(&log.name), image))),
                Err(error) => {
                    tracing::warn!(log = log.name(), %error, "not closed cleanly: recovered at next start")
                }
            }
        }
        let logs = lock(&self.logs);
        let known = logs.clean.iter().map(|(name, image)| (name.as_str(), image));
        let all: Vec<(&str, &LogImage)> =
            known.chain(images.iter().map(|(name, image)| (&**name, image))).collect();
        let marked =
            snapshot::write(&*self.shared.files, &self.dir.join(MARKER), &encode_marker(all.into_iter()));
        drop(lock(&self.lock).take());
        marked
    }

    fn stop_threads(&self) {
        *lock(&self.timer.stopped) = true;
        self.timer.wake.notify_all();
        // A closing storage does not wait for a disk that is slow on purpose.
        self.shared.chaos.parking().close().into_iter().for_each(|log| self.shared.queue.push(log));
        self.shared.queue.close();
        for thread in lock(&self.threads).drain(..) {
            if thread.join().is_err() {
                tracing::error!("a storage thread panicked");
            }
        }
    }
}

impl Drop for Storage {
    /// Without `close` nothing is drained and the next start recovers.
    fn drop(&mut self) {
        let open: Vec<Arc<Log>> = lock(&self.logs).open.values().cloned().collect();
        open.iter().for_each(|log| log.refuse_appends());
        self.stop_threads();
        open.iter().for_each(|log| log.fail(StorageError::Closed));
        self.shared.abandon();
    }
}

impl Timer {
    fn run(&self, shared: &Shared, logs: &Mutex<Logs>, logs_dir: &Path) {
        let interval = match shared.config.flush {
            FlushMode::Interval(every) => Some(every.max(Duration::from_millis(1))),
            FlushMode::GroupCommit | FlushMode::Os => None,
        };
        let every = shared.config.maintenance_interval.max(Duration::from_millis(1));
        let mut next_maintenance = Instant::now() + every;
        let mut next_sync = interval.map(|interval| Instant::now() + interval);
        let mut stopped = lock(&self.stopped);
        while !*stopped {
            let now = Instant::now();
            let next = next_sync.map_or(next_maintenance, |sync| sync.min(next_maintenance));
            if now < next {
                stopped =
                    self.wake.wait_timeout(stopped, next - now).unwrap_or_else(PoisonError::into_inner).0;
                continue;
            }
            drop(stopped);
            if next_sync.is_some_and(|sync| sync <= now) {
                sync_all(shared, logs, logs_dir, false);
                next_sync = interval.map(|interval| Instant::now() + interval);
            }
            if next_maintenance <= now {
                maintain(shared, logs, logs_dir);
                next_maintenance = Instant::now() + every;
            }
            stopped = lock(&self.stopped);
        }
    }
}

fn maintain(shared: &Shared, logs: &Mutex<Logs>, logs_dir: &Path) {
    if !shared.group_commit() {
        sync_all(shared, logs, logs_dir, true);
    }
    let now = (shared.config.clock)();
    let open: Vec<Arc<Log>> = lock(logs).open.values().cloned().collect();
    for log in open {
        if log.wants_retention(now) {
            log.request(Op::Retain(now));
        }
    }
}

fn sync_all(shared: &Shared, logs: &Mutex<Logs>, logs_dir: &Path, sealed_only: bool) {
    let written: Vec<Arc<Log>> = {
        let logs = lock(logs);
        logs.open.values().filter(|log| log.unsynced.load(Ordering::Relaxed)).cloned().collect()
    };
    let due = written.into_iter().map(|log| (log.unsynced(sealed_only), log));
    let due: Vec<_> = due.filter(|(unsynced, _)| !unsynced.segments.is_empty()).collect();
    // What one log shall meet must not be everybody's.
    let at_once = match due.len() >= shared.config.many_logs && !shared.chaos.is_on(DiskOperation::Sync) {
        true => sync_everything(shared, logs_dir),
        false => Ok(false),
    };
    for (unsynced, log) in due {
        let synced = match &at_once {
            Ok(true) => Ok(()),
            Ok(false) => log.sync(&unsynced),
            Err(error) => Err(error.clone()),
        };
        if let Err(error) = synced.and_then(|()| log.synced(&unsynced)) {
            log.fail(error);
        }
    }
}

/// One sync for all that was written. False where the system has none.
fn sync_everything(shared: &Shared, dir: &Path) -> Result<bool, StorageError> {
    match shared.files.sync_all(dir, SyncSite::FlushAll) {
        Err(error) if error.kind() == io::ErrorKind::Unsupported => Ok(false),
        other => other.during("syncfs", dir).map(|()| true),
    }
}

/// A killed process may have left things in the page cache only, which are about to be relied upon. With very many
/// logs they are all synced here, and true is the answer; else only the names of the logs, and each log's recovery
/// sees to the rest.
fn make_found_durable(
    files: &dyn Files,
    logs_dir: &Path,
    config: &StorageConfig,
    logs_to_recover: usize,
) -> Result<bool, StorageError> {
    if logs_to_recover >= config.many_logs {
        match files.sync_all(logs_dir, SyncSite::FoundAll) {
            Err(error) if error.kind() == io::ErrorKind::Unsupported => {}
            other => return other.during("syncfs", logs_dir).map(|()| true),
        }
    }
    files.sync_dir(logs_dir, SyncSite::FoundLogs).during("fsync", logs_dir).map(|()| false)
}

/// Makes a folder, and those above it, if need be. Its name is durable on return, also if a process that was killed
/// made it and did not come to sync it.
fn make_folder(files: &dyn Files, dir: &Path) -> Result<(), StorageError> {
    let parent = dir.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    match files.create_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound && parent != dir => {
            make_folder(files, parent)?;
            files.create_dir(dir).during("create", dir)?;
        }
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            return Err(StorageError::io("create", dir, &error));
        }
        _ => {}
    }
    files.sync_dir(parent, SyncSite::DataDir).during("fsync", parent)
}

/// What the last process left if it ended in peace. Gone, durably, before anything changes that it describes.
fn take_marker(files: &dyn Files, dir: &Path) -> Result<HashMap<String, LogImage>, StorageError> {
    let path = dir.join(MARKER);
    let stored = match snapshot::read(files, &path) {
        Ok(None) => return Ok(HashMap::new()),
        Ok(Some(bytes)) => decode_marker(&bytes),
        Err(StorageError::Corrupt { .. }) => None,
        Err(error) => return Err(error),
    };
    snapshot::remove(files, &path)?;
    files.sync_dir(dir, SyncSite::CleanMarkerGone).during("fsync", dir)?;
    if stored.is_none() {
        tracing::warn!(marker = %path.display(), "the clean-shutdown marker is damaged: all logs are recovered");
    }
    Ok(stored.unwrap_or_default())
}

fn valid_name(name: &str) -> bool {
    let plain = !name.is_empty() && name.len() <= MAX_NAME && name != "." && name != "..";
    let ours = name.starts_with(DELETED_PREFIX) || name.ends_with(ASIDE_SUFFIX);
    plain && !name.contains(['/', '\0']) && !ours
}

#[cfg(test)]
mod tests;
