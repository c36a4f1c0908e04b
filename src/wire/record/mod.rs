//! Kafka record batches, magic 2 (KIP-98): what a topic-partition is made of, on disk and on the wire.
//!
//! The room has two speeds. [`batch`] reads and patches the 61 bytes of a batch's header in place, without
//! looking at the records behind it: that is all a fetch, an append or a replication needs. [`records`],
//! [`compress`] and [`builder`] open a batch, walk its records without copying them, and write it again, for the
//! policies that look inside.
//!
//! Nothing here trusts a length: counts are compared with the bytes left before anything is allocated, and
//! what is decompressed is capped by the caller. Magic 0 and 1 are refused by name.
//!
//! The room knows neither sockets nor policies nor Kafka's error codes; it imports nothing of the crate.

pub mod batch;
pub mod builder;
pub mod compress;
mod error;
mod lz4;
pub mod records;
mod snappy;
pub mod varint;

pub use batch::{
    BATCH_OVERHEAD, Batch, BatchHeader, Batches, Compression, Tail, TimestampType, batches, patched_header,
    sealed_header, set_base_offset, set_leader_epoch, set_log_append_time, set_max_timestamp,
    validate_produce, verify_crc,
};
pub use builder::{BatchBuilder, HeadersBuf, Rebuild};
pub use compress::{Compressor, Decompressor, with_codecs};
pub use error::RecordError;
pub use records::{Header, Headers, Record, Records, check_records};

#[cfg(test)]
mod tests;
