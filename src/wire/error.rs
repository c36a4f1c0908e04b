//! Why a message could not be read: whose message, which field, at which byte.

use std::fmt;

/// A message that does not follow Kafka's wire format.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WireError {
    /// The message, as Kafka names it (`ProduceRequest`); empty until the message is known.
    pub message: &'static str,
    /// Its version, -1 until it is known.
    pub version: i16,
    /// `Struct.field` that was being read or written.
    pub field: &'static str,
    /// Byte offset from the start of the frame's payload.
    pub offset: usize,
    pub kind: WireErrorKind,
}

/// What was wrong at [`WireError::offset`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WireErrorKind {
    #[error("{wanted} bytes announced, {left} left")]
    Truncated { wanted: usize, left: usize },
    #[error("negative length {0}")]
    NegativeLength(i64),
    #[error("null in a field that cannot be null")]
    UnexpectedNull,
    #[error("varint longer than its type")]
    VarintTooLong,
    #[error("text is not UTF-8")]
    NotUtf8,
    #[error("{0} bytes follow the end of the message")]
    TrailingBytes(usize),
    #[error("size is over its limit")]
    TooLarge,
    #[error("tag {0} stands twice or out of order")]
    TagOrder(u32),
    #[error("value {0} is not defined")]
    Undefined(i64),
    #[error("api key {0} is not known")]
    UnknownApi(i16),
    #[error("version {version} of {api} is not supported ({min} to {max} are)")]
    UnsupportedVersion { api: &'static str, version: i16, min: i16, max: i16 },
}

impl WireError {
    pub(crate) fn new(field: &'static str, offset: usize, kind: WireErrorKind) -> Self {
        WireError { message: "", version: -1, field, offset, kind }
    }

    /// The same error, saying which message it was met in.
    pub(crate) fn within(mut self, message: &'static str, version: i16) -> Self {
        self.message = message;
        self.version = version;
        self
    }
}

impl fmt::Display for WireError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.message.is_empty() {
            write!(f, "{} version {}: ", self.message, self.version)?;
        }
        if !self.field.is_empty() {
            write!(f, "{} ", self.field)?;
        }
        write!(f, "at byte {}: {}", self.offset, self.kind)
    }
}

impl std::error::Error for WireError {}
