//! The durable log, and everything else that touches the disk: segments of Kafka record batches as they came,
//! committer threads with a shared sync, recovery, retention, the catalogue's key-value store, small durable files.
//!
//! ```text
//! append (log) -> pending -> committer or, small and unsynced, in place (inline): write, sync, publish -> high watermark moves -> tickets, subscriptions
//!                                                            -> tail (memory), segments (files) <- read, fetch
//! ```
//!
//! All of it goes through [`files::Files`], so that the crash tests can play every power loss. This room knows record
//! batches (`wire::record`) but no topics, no groups, no requests.

mod append;
mod boot;
mod catalogue_store;
pub mod chaos;
mod checked;
mod committer;
mod config;
mod damage;
mod epochs;
mod error;
mod file_cache;
pub mod files;
mod find;
mod image;
mod index;
mod inline;
mod log;
mod parking;
mod progress;
mod queue;
mod read;
mod recover;
mod retain;
mod scan;
mod segment;
mod slice;
pub mod snapshot;
#[allow(clippy::module_inception, reason = "the folder is the room, the file its front door")]
mod storage;
mod tail;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod truncate;

pub use append::{AppendBatch, AppendBatches, Appended};
pub use catalogue_store::{KvOp, KvStore};
pub use config::{Clock, FlushMode, LogConfig, StorageConfig, system_clock, usual_committers};
pub use epochs::EpochEnd;
pub use error::StorageError;
pub use find::TimestampOffset;
pub use log::Log;
pub use progress::{Completion, Subscription, Ticket};
pub use slice::{FileSlice, LogRead, LogSlice};
pub use storage::Storage;

/// A panic under one of our locks leaves nothing half done that the next holder could not bear: every change under
/// them is made of assignments that cannot fail.
fn lock<T>(mutex: &std::sync::Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
