//! What can go wrong in storage, and who can do something about it.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A storage failure. Cheap to clone: one failed disk operation is reported to everyone who waited on it.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StorageError {
    /// The operating system refused a disk operation. The log it concerned is offline from then on.
    #[error("{operation} failed on {}: {message}", path.display())]
    Io { operation: &'static str, path: Arc<Path>, kind: io::ErrorKind, message: Arc<str> },

    /// Bytes on disk are not what was written there.
    #[error("{} is damaged at byte {position}: {what}", path.display())]
    Corrupt { path: Arc<Path>, position: u64, what: Arc<str> },

    /// The log met an error before and takes no part any more until the process starts again.
    #[error("log {log} is offline: {cause}")]
    Offline { log: Arc<str>, cause: Arc<StorageError> },

    /// Asked for an offset that the log does not hold (Kafka's OFFSET_OUT_OF_RANGE).
    #[error("offset {offset} is outside {log_start_offset}..={log_end_offset}")]
    OffsetOutOfRange { offset: i64, log_start_offset: i64, log_end_offset: i64 },

    #[error("a batch of {size} bytes is larger than max.message.bytes, {max}")]
    MessageTooLarge { size: usize, max: usize },

    /// What was handed in to be appended is not a record batch of format 2.
    #[error("not a record batch: {0}")]
    InvalidBatch(&'static str),

    /// Appends wait for the disk faster than it takes them; a later retry may succeed.
    #[error("{pending} bytes already wait for the disk (limit {limit})")]
    Overloaded { pending: usize, limit: usize },

    #[error("log {0} does not exist")]
    LogNotFound(Arc<str>),

    #[error("log {0} exists already")]
    LogExists(Arc<str>),

    #[error("{0:?} cannot be the name of a log")]
    InvalidName(String),

    /// The log was deleted while the operation was under way.
    #[error("log {0} was deleted")]
    LogDeleted(Arc<str>),

    /// The log lost its newest records on purpose: who asks for it again finds what is left.
    #[error("log {0} was truncated")]
    Truncated(Arc<str>),

    /// Whoever owns the log must not append for the time being.
    #[error("the disk takes no writes")]
    ReadOnly,

    #[error("storage is closed")]
    Closed,

    /// Another process (or another `Storage` in this one) works in the same folder.
    #[error("data folder {} is in use by another process (its .lock is held)", .0.display())]
    Locked(PathBuf),

    #[error("catalogue {}: {message}", path.display())]
    Catalogue { path: Arc<Path>, message: Arc<str> },
}

impl StorageError {
    pub(crate) fn io(operation: &'static str, path: impl AsRef<Path>, error: &io::Error) -> Self {
        StorageError::Io {
            operation,
            path: Arc::from(path.as_ref()),
            kind: error.kind(),
            message: Arc::from(error.to_string()),
        }
    }

    pub(crate) fn corrupt(path: impl AsRef<Path>, position: u64, what: impl Into<Arc<str>>) -> Self {
        StorageError::Corrupt { path: Arc::from(path.as_ref()), position, what: what.into() }
    }

    /// True when the disk was full.
    pub fn is_no_space(&self) -> bool {
        match self {
            StorageError::Io { kind, .. } => {
                matches!(kind, io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
            }
            StorageError::Offline { cause, .. } => cause.is_no_space(),
            _ => false,
        }
    }

    /// True when the log cannot serve any more: what Kafka answers with KAFKA_STORAGE_ERROR.
    pub fn is_storage_failure(&self) -> bool {
        matches!(
            self,
            StorageError::Io { .. }
                | StorageError::Corrupt { .. }
                | StorageError::Offline { .. }
                | StorageError::Catalogue { .. }
        )
    }
}

/// Names the operation and the path in an `io::Result`.
pub(crate) trait IoContext<T> {
    fn during(self, operation: &'static str, path: impl AsRef<Path>) -> Result<T, StorageError>;
}

impl<T> IoContext<T> for io::Result<T> {
    fn during(self, operation: &'static str, path: impl AsRef<Path>) -> Result<T, StorageError> {
        self.map_err(|error| StorageError::io(operation, path, &error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is no failure of the disk must take no log offline.
    #[test]
    fn only_what_the_disk_has_done_is_a_failure_of_storage() {
        let io = StorageError::io("read", "/a", &io::ErrorKind::StorageFull.into());
        let corrupt = StorageError::corrupt("/a", 0, "it is");
        let offline = StorageError::Offline { log: "a-0".into(), cause: Arc::new(io.clone()) };
        assert!([io, corrupt, offline].iter().all(StorageError::is_storage_failure));
        let out_of_range =
            StorageError::OffsetOutOfRange { offset: 7, log_start_offset: 0, log_end_offset: 3 };
        let others = [out_of_range, StorageError::LogDeleted("a-0".into()), StorageError::Closed];
        assert!(!others.iter().any(StorageError::is_storage_failure));
    }
}
