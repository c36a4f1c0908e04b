//! Record data on its way through: bytes in memory, or a place elsewhere (a log segment) that is read only when it is sent.

use bytes::{Bytes, BytesMut};
use std::{fmt, io, sync::Arc};

/// Bytes that are not in memory yet. `read_at` may block on a disk: never call it on an async worker.
pub trait ByteSource: Send + Sync {
    fn len(&self) -> u64;
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// Fills `buf` from position `pos` (0 is the start of this source).
    fn read_at(&self, pos: u64, buf: &mut [u8]) -> io::Result<()>;
    /// As `read_at` but only from memory: false when a disk would have to be waited for.
    fn try_read_at(&self, _pos: u64, _buf: &mut [u8]) -> io::Result<bool> {
        Ok(false)
    }
    /// The open file and the offset in it where this source begins, for `sendfile`.
    fn file(&self) -> Option<(&std::fs::File, u64)> {
        None
    }
}

/// One stretch of an outgoing frame.
#[derive(Clone)]
pub enum Piece {
    Bytes(Bytes),
    Source(Arc<dyn ByteSource>),
}

impl Piece {
    pub fn len(&self) -> usize {
        match self {
            Piece::Bytes(bytes) => bytes.len(),
            Piece::Source(source) => source.len() as usize,
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl fmt::Debug for Piece {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Piece::Bytes(bytes) => write!(f, "[{} bytes]", bytes.len()),
            Piece::Source(source) => write!(f, "[{} bytes in a file]", source.len()),
        }
    }
}

/// The `records` field of a message: opaque here, looked into by `wire::record`.
#[derive(Clone, Default)]
pub enum Payload {
    #[default]
    Null,
    Bytes(Bytes),
    Pieces(Vec<Piece>),
}

impl Payload {
    pub fn len(&self) -> usize {
        match self {
            Payload::Null => 0,
            Payload::Bytes(bytes) => bytes.len(),
            Payload::Pieces(pieces) => pieces.iter().map(Piece::len).sum(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// True when some of it lies in a file, so that `to_bytes` may block.
    pub fn needs_reading(&self) -> bool {
        matches!(self, Payload::Pieces(pieces) if pieces.iter().any(|p| matches!(p, Piece::Source(_))))
    }

    /// The payload in one stretch of memory. Blocks where `needs_reading`.
    pub fn to_bytes(&self) -> io::Result<Bytes> {
        match self {
            Payload::Null => Ok(Bytes::new()),
            Payload::Bytes(bytes) => Ok(bytes.clone()),
            Payload::Pieces(pieces) => match pieces.as_slice() {
                [] => Ok(Bytes::new()),
                [Piece::Bytes(bytes)] => Ok(bytes.clone()),
                many => gather(many, self.len()),
            },
        }
    }
}

fn gather(pieces: &[Piece], len: usize) -> io::Result<Bytes> {
    let mut out = BytesMut::with_capacity(len);
    for piece in pieces {
        match piece {
            Piece::Bytes(bytes) => out.extend_from_slice(bytes),
            Piece::Source(source) => {
                let start = out.len();
                out.resize(start + source.len() as usize, 0);
                source.read_at(0, &mut out[start..])?;
            }
        }
    }
    Ok(out.freeze())
}

impl From<Bytes> for Payload {
    fn from(bytes: Bytes) -> Self {
        Payload::Bytes(bytes)
    }
}

impl PartialEq for Payload {
    /// Equal content. Pieces in files are compared by reading them, which only tests do.
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Payload::Null, Payload::Null) => true,
            (Payload::Null, _) | (_, Payload::Null) => false,
            (a, b) => a.len() == b.len() && matches!((a.to_bytes(), b.to_bytes()), (Ok(a), Ok(b)) if a == b),
        }
    }
}

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Payload::Null => f.write_str("null"),
            other => write!(f, "[{} bytes of records]", other.len()),
        }
    }
}
