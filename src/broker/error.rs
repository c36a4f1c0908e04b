//! What can go wrong: at start ([`BrokerError`]), and with one part of a request ([`ApiError`]).

use std::fmt;
use std::path::PathBuf;

use crate::storage::StorageError;
use crate::wire::{ErrorCode, Str};

/// Why the broker could not open or close.
#[derive(Debug, thiserror::Error)]
pub enum BrokerError {
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// What was read from the catalogue is not what this version writes.
    #[error("the catalogue's {what} cannot be read: {problem}")]
    Catalogue { what: String, problem: String },
    /// The logs hold records and nothing says whose they are.
    #[error(
        "{} is missing, but {} holds {count} logs with records ({named}): put the catalogue back, from a copy if need \
         be; to begin anew without these records, move {} away", path.display(), logs_dir.display(), logs_dir.display()
    )]
    CatalogueMissing { path: PathBuf, logs_dir: PathBuf, count: usize, named: String },
    #[error("broker setting {name}: {problem}")]
    Config { name: String, problem: String },
    /// A thread of the runtime could not finish its work.
    #[error("interrupted: {0}")]
    Interrupted(String),
}

/// The error that one part of a request is answered with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiError {
    pub code: ErrorCode,
    /// Shown where the api has a place for it. Kafka's clients show the code's own message when there is none.
    pub message: Option<Str>,
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.message {
            Some(message) => write!(f, "{message} ({})", self.code),
            None => write!(f, "{}", self.code),
        }
    }
}

impl ApiError {
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        ApiError { code, message: Some(Str::from(message.into())) }
    }
}

impl From<ErrorCode> for ApiError {
    fn from(code: ErrorCode) -> Self {
        ApiError { code, message: None }
    }
}

impl From<StorageError> for ApiError {
    fn from(error: StorageError) -> Self {
        ApiError { code: storage_code(&error), message: Some(Str::from(error.to_string())) }
    }
}

/// Kafka's code for a storage error.
pub fn storage_code(error: &StorageError) -> ErrorCode {
    match error {
        StorageError::OffsetOutOfRange { .. } => ErrorCode::OFFSET_OUT_OF_RANGE,
        StorageError::MessageTooLarge { .. } => ErrorCode::MESSAGE_TOO_LARGE,
        StorageError::InvalidBatch(_) => ErrorCode::INVALID_RECORD,
        // Retriable, and nothing was appended: what a client of a slow broker would meet.
        StorageError::Overloaded { .. } => ErrorCode::REQUEST_TIMED_OUT,
        // The topic is being deleted.
        StorageError::LogNotFound(_) | StorageError::LogDeleted(_) => ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
        // Shutting down: the client is to look for another leader until we are back.
        // Truncated: there is another leader, of a later epoch, in a moment.
        StorageError::Closed | StorageError::Truncated(_) => ErrorCode::NOT_LEADER_OR_FOLLOWER,
        _ => ErrorCode::KAFKA_STORAGE_ERROR,
    }
}
