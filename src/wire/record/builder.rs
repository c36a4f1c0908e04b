//! Writing batches: new ones ([`BatchBuilder`]), and edited ones that keep all that the original said
//! ([`Rebuild`]).
//!
//! Records go through a buffer of 64 KB into the codec as they come; nothing is held twice. The codec's state
//! belongs to the [`Compressor`], which its owner keeps from batch to batch.

use bytes::{BufMut, Bytes, BytesMut};

use super::batch::{self, BATCH_OVERHEAD};
use super::varint::{put_varint, put_varlong, varint_size, varlong_size};
use super::{BatchHeader, Compression, Compressor, Headers, Record, RecordError};

/// Makes a batch from nothing, counting offsets up from the header's base offset.
///
/// The header given says everything but what follows from the records: length, CRC, count, last offset delta,
/// base timestamp (the first record's) and max timestamp.
pub struct BatchBuilder<'c> {
    header: BatchHeader,
    out: Writer<'c>,
}

impl<'c> BatchBuilder<'c> {
    pub fn new(header: BatchHeader, compressor: &'c mut Compressor) -> Self {
        let header =
            BatchHeader { magic: 2, record_count: 0, last_offset_delta: 0, max_timestamp: -1, ..header };
        Self { out: Writer::new(header.compression(), compressor), header }
    }

    /// Adds a record. `timestamp` is in milliseconds.
    pub fn append(
        &mut self,
        timestamp: i64,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: Headers<'_>,
    ) -> Result<(), RecordError> {
        if self.header.record_count == i32::MAX {
            return Err(RecordError::TooLarge { limit: i32::MAX as usize });
        }
        if self.header.record_count == 0 {
            self.header.base_timestamp = timestamp;
        }
        let record = Record {
            attributes: 0,
            timestamp_delta: timestamp.wrapping_sub(self.header.base_timestamp),
            offset_delta: self.header.record_count,
            key,
            value,
            headers,
        };
        self.out.push(&record)?;
        self.header.last_offset_delta = record.offset_delta;
        self.header.record_count += 1;
        self.header.max_timestamp = self.header.max_timestamp.max(timestamp);
        Ok(())
    }

    pub fn record_count(&self) -> i32 {
        self.header.record_count
    }

    pub fn finish(self) -> Result<Bytes, RecordError> {
        let mut batch = BytesMut::new();
        self.out.finish(self.header, &mut batch)?;
        Ok(batch.freeze())
    }
}

/// Writes a batch again with other records, keeping every property of the original: base offset, offset deltas
/// with their gaps, last offset delta, leader epoch, producer id, epoch and sequence, attributes (codec, timestamp
/// type, transactional, delete horizon), base and max timestamp. Without records it becomes an empty batch that
/// still covers its offsets, so that consumers move on; only its codec goes, as there is nothing left to compress.
pub struct Rebuild<'c> {
    header: BatchHeader,
    out: Writer<'c>,
}

impl<'c> Rebuild<'c> {
    /// Control batches are refused: their records belong to the brokers.
    pub fn of(original: &BatchHeader, compressor: &'c mut Compressor) -> Result<Self, RecordError> {
        if original.is_control() {
            return Err(RecordError::invalid(
                21,
                "attributes",
                "mark a control batch, which is never rewritten",
            ));
        }
        let header = BatchHeader { record_count: 0, ..*original };
        Ok(Self { out: Writer::new(header.compression(), compressor), header })
    }

    /// Adds a record, edited or not, with its own deltas.
    #[inline]
    pub fn push(&mut self, record: &Record<'_>) -> Result<(), RecordError> {
        self.out.push(record)?;
        self.counted(1)
    }

    /// Adds `count` records as they are encoded in [`super::Records::data`].
    pub fn push_encoded(&mut self, records: &[u8], count: i32) -> Result<(), RecordError> {
        self.out.push_encoded(records)?;
        self.counted(count)
    }

    fn counted(&mut self, count: i32) -> Result<(), RecordError> {
        let total = self.header.record_count.checked_add(count).filter(|_| count >= 0);
        self.header.record_count = total.ok_or(RecordError::TooLarge { limit: i32::MAX as usize })?;
        Ok(())
    }

    /// Appends the batch to `out`.
    pub fn finish_into(self, out: &mut BytesMut) -> Result<(), RecordError> {
        self.out.finish(self.header, out)
    }

    pub fn finish(self) -> Result<Bytes, RecordError> {
        let mut batch = BytesMut::new();
        self.finish_into(&mut batch)?;
        Ok(batch.freeze())
    }
}

/// Headers being written, to be lent to a [`Record`] as [`Headers`].
#[derive(Debug, Clone, Default)]
pub struct HeadersBuf {
    encoded: Vec<u8>,
    count: usize,
}

impl HeadersBuf {
    pub fn new() -> Self {
        Self::default()
    }

    /// Empties the list and keeps its memory.
    pub fn clear(&mut self) {
        self.encoded.clear();
        self.count = 0;
    }

    /// Adds a header at the end. Keys and values over `i32::MAX` bytes cannot be written, and are refused when the
    /// record is.
    pub fn push(&mut self, key: &[u8], value: Option<&[u8]>) {
        put_varint(&mut self.encoded, length(key));
        self.encoded.extend_from_slice(key);
        put_nullable(&mut self.encoded, value);
        self.count += 1;
    }

    pub fn as_headers(&self) -> Headers<'_> {
        Headers::from_encoded(&self.encoded, self.count)
    }
}

/// Room for records to gather before the codec sees them.
const CHUNK: usize = 64 * 1024;
/// The longest batch its 32-bit length can say.
const MAX_BODY: usize = i32::MAX as usize - BATCH_OVERHEAD;

/// Encodes records and feeds them to the codec.
struct Writer<'c> {
    codec: Compression,
    compressor: &'c mut Compressor,
}

impl<'c> Writer<'c> {
    fn new(codec: Compression, compressor: &'c mut Compressor) -> Self {
        compressor.begin(codec);
        Self { codec, compressor }
    }

    #[inline]
    fn push(&mut self, record: &Record<'_>) -> Result<(), RecordError> {
        let length = 1
            + varlong_size(record.timestamp_delta)
            + varint_size(record.offset_delta)
            + nullable_size(record.key)
            + nullable_size(record.value)
            + varint_size(record.headers.len() as i32)
            + record.headers.encoded().len();
        if length > MAX_BODY {
            return Err(RecordError::TooLarge { limit: MAX_BODY });
        }
        let pending = self.compressor.pending();
        put_varint(pending, length as i32);
        pending.push(record.attributes as u8);
        put_varlong(pending, record.timestamp_delta);
        put_varint(pending, record.offset_delta);
        put_nullable(pending, record.key);
        put_nullable(pending, record.value);
        put_varint(pending, record.headers.len() as i32);
        pending.extend_from_slice(record.headers.encoded());
        self.drain()
    }

    fn push_encoded(&mut self, records: &[u8]) -> Result<(), RecordError> {
        self.compressor.pending().extend_from_slice(records);
        self.drain()
    }

    #[inline]
    fn drain(&mut self) -> Result<(), RecordError> {
        if self.compressor.pending().len() >= CHUNK { self.compressor.drain(self.codec) } else { Ok(()) }
    }

    fn finish(self, mut header: BatchHeader, out: &mut BytesMut) -> Result<(), RecordError> {
        // An empty batch has no records to compress. Kafka writes it without a body and without a codec, and its
        // clients fail on the empty stream that another codec would make of it.
        let body = if header.record_count == 0 {
            header.set_compression(Compression::None);
            &[]
        } else {
            self.compressor.finish(self.codec)?
        };
        if body.len() > MAX_BODY {
            return Err(RecordError::TooLarge { limit: MAX_BODY });
        }
        header.batch_length = (BATCH_OVERHEAD - 12 + body.len()) as i32;
        let start = out.len();
        out.reserve(BATCH_OVERHEAD + body.len());
        out.put_bytes(0, BATCH_OVERHEAD);
        out.extend_from_slice(body);
        batch::seal(out.get_mut(start..).unwrap_or_default(), &header);
        Ok(())
    }
}

/// Lengths beyond 31 bits are caught by the record's own length, which counts the bytes.
fn length(bytes: &[u8]) -> i32 {
    i32::try_from(bytes.len()).unwrap_or(i32::MAX)
}

fn nullable_size(bytes: Option<&[u8]>) -> usize {
    match bytes {
        None => 1,
        Some(bytes) => varint_size(length(bytes)) + bytes.len(),
    }
}

#[inline]
fn put_nullable(out: &mut Vec<u8>, bytes: Option<&[u8]>) {
    match bytes {
        None => put_varint(out, -1),
        Some(bytes) => {
            put_varint(out, length(bytes));
            out.extend_from_slice(bytes);
        }
    }
}
