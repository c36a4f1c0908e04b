//! The data folder: its lock, its logs, its threads.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::files::Files;
use super::log::Log;
use super::progress::Completion;
use super::{LogConfig, StorageConfig, StorageError};

/// All logs of one data folder.
#[derive(Debug)]
pub struct Storage {}

impl Storage {
    /// Opens (or makes) a data folder and takes its lock. Blocks on the disk, as do all calls here that return no
    /// future.
    pub fn open(
        _files: Arc<dyn Files>,
        _dir: impl Into<PathBuf>,
        _config: StorageConfig,
    ) -> Result<Arc<Storage>, StorageError> {
        todo!("landing soon")
    }
    pub fn dir(&self) -> &Path {
        todo!("landing soon")
    }
    pub fn files(&self) -> &Arc<dyn Files> {
        todo!("landing soon")
    }
    pub fn config(&self) -> &StorageConfig {
        todo!("landing soon")
    }
    /// Names of the logs in the folder, opened or not.
    pub fn list_logs(&self) -> Result<Vec<String>, StorageError> {
        todo!("landing soon")
    }
    /// Makes an empty log; its name is durable on return.
    pub fn create_log(&self, _name: &str, _config: LogConfig) -> Result<Arc<Log>, StorageError> {
        todo!("landing soon")
    }
    /// [`Storage::create_log`] for many, with one sync for all.
    pub fn create_logs(&self, _logs: &[(String, LogConfig)]) -> Vec<Result<Arc<Log>, StorageError>> {
        todo!("landing soon")
    }
    /// Opens an existing log, recovering it if the process did not end cleanly. A damaged one opens offline.
    pub fn open_log(&self, _name: &str, _config: LogConfig) -> Result<Arc<Log>, StorageError> {
        todo!("landing soon")
    }
    /// [`Storage::open_log`] for many, in parallel.
    pub fn open_logs(&self, _logs: &[(String, LogConfig)]) -> Vec<Result<Arc<Log>, StorageError>> {
        todo!("landing soon")
    }
    /// Resolves when the log will not come back after a crash. Its appends and reads fail from the call on; slices
    /// already read stay readable.
    pub fn delete_log(&self, _name: &str) -> Completion<()> {
        todo!("landing soon")
    }
    /// Appended bytes that wait for the disk.
    pub fn pending_bytes(&self) -> usize {
        todo!("landing soon")
    }
    /// Resolves when there is room for more appends.
    pub async fn capacity(&self) {
        todo!("landing soon")
    }
    /// Drains what was appended, syncs it, writes the clean-shutdown marker, ends the threads.
    pub fn close(&self) -> Result<(), StorageError> {
        todo!("landing soon")
    }
}
