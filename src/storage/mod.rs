//! The durable log, and everything else that touches the disk: segments of Kafka record batches as they came,
//! committer threads with a shared sync, recovery, retention, the catalogue's key-value store, small durable files.
//!
//! All of it goes through [`files::Files`], so that the crash tests can play every power loss. This room knows record
//! batches (`wire::record`) but no topics, no groups, no requests.

mod catalogue_store;
mod config;
mod error;
pub mod files;
mod log;
mod progress;
mod slice;
pub mod snapshot;
#[allow(clippy::module_inception)]
mod storage;

pub use catalogue_store::{KvOp, KvStore};
pub use config::{Clock, FlushMode, InvalidFlushMode, LogConfig, StorageConfig, system_clock};
pub use error::StorageError;
pub use log::{AppendBatch, AppendBatches, Appended, BATCH_HEADER_LEN, EpochEnd, Log, TimestampOffset};
pub use progress::{Completion, Subscription, Ticket};
pub use slice::{FileSlice, LogRead, LogSlice};
pub use storage::Storage;
