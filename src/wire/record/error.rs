//! What can be wrong with a batch, and where.

use std::fmt;

/// Offsets count from the first byte of what was given to the function that failed; once a batch has been
/// opened, from the first byte of its (decompressed) records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RecordError {
    /// The CRC-32C in the header is not that of the bytes. Kafka's CORRUPT_MESSAGE.
    Corrupt { at: usize, stored: u32, computed: u32 },
    /// More bytes were announced than are there.
    Truncated { at: usize, what: &'static str, need: u64, have: u64 },
    /// A message set of Kafka 0.10 or older (magic 0, 1), or something that is no batch at all.
    UnsupportedMagic { at: usize, magic: i8 },
    /// The records are larger than the caller accepts once decompressed, or than a batch can hold.
    TooLarge { limit: usize },
    /// A field holds what no writer of batches writes.
    Invalid { at: usize, field: &'static str, problem: &'static str },
    /// The compressed bytes are not what the attributes say.
    Undecodable { codec: &'static str, problem: String },
}

impl RecordError {
    pub(crate) fn invalid(at: usize, field: &'static str, problem: &'static str) -> Self {
        Self::Invalid { at, field, problem }
    }

    pub(crate) fn truncated(at: usize, what: &'static str, need: u64, have: u64) -> Self {
        Self::Truncated { at, what, need, have }
    }

    /// The same error, seen from a buffer in which the batch starts `by` bytes later.
    pub(crate) fn moved(mut self, by: usize) -> Self {
        match &mut self {
            Self::Corrupt { at, .. }
            | Self::Truncated { at, .. }
            | Self::UnsupportedMagic { at, .. }
            | Self::Invalid { at, .. } => *at += by,
            Self::TooLarge { .. } | Self::Undecodable { .. } => {}
        }
        self
    }
}

impl fmt::Display for RecordError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Corrupt { at, stored, computed } => {
                write!(f, "record batch at byte {at}: stored CRC {stored:#010x}, computed {computed:#010x}")
            }
            Self::Truncated { at, what, need, have } => {
                write!(f, "record batch: {what} at byte {at} needs {need} bytes, {have} are left")
            }
            Self::UnsupportedMagic { at, magic } => {
                write!(f, "record batch at byte {at}: magic {magic} is not supported, only 2 is")
            }
            Self::TooLarge { limit } => write!(f, "record batch: its records take more than {limit} bytes"),
            Self::Invalid { at, field, problem } => {
                write!(f, "record batch: {field} at byte {at} {problem}")
            }
            Self::Undecodable { codec, problem } => write!(f, "record batch: {codec}: {problem}"),
        }
    }
}

impl std::error::Error for RecordError {}
