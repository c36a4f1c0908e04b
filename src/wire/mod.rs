//! Kafka's wire format, pure: no sockets, no async, nothing else of the crate.
//!
//! `frame` cuts a byte stream into frames, `header` and `message` read what a frame is about, `table` lists every api,
//! `api/` declares the messages with the macro of `schema`, `record/` looks into batches, `rate` measures as Kafka's quotas do.

pub mod api;
pub mod error;
pub mod error_code;
pub mod frame;
pub mod header;
pub mod message;
#[cfg(test)]
mod oracle_tests;
pub mod payload;
pub mod rate;
pub mod read;
pub mod record;
#[cfg(test)]
pub(crate) mod sample;
pub mod schema;
pub mod table;
mod throttle;
pub mod types;
pub mod write;

pub use error::{WireError, WireErrorKind};
pub use error_code::ErrorCode;
pub use message::{Request, Response};
pub use payload::{ByteSource, Payload, Piece};
pub use table::{ApiKey, Operation, RequestBody, ResponseBody};
pub use types::{Str, Uuid};
