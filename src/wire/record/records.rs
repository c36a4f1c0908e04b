//! The records of a batch, read where they lie.
//!
//! A record is `length varint, attributes i8, timestamp_delta varlong, offset_delta varint, key, value, headers`;
//! key and value are a varint length (-1: null) and bytes, headers a varint count and as many (key, value) pairs.

use super::varint::{self, varint, varlong};
use super::{BATCH_OVERHEAD, BatchHeader, Compression, Decompressor, RecordError};

/// The smallest record: seven fields of one byte.
const MIN_RECORD: usize = 7;
/// The smallest header of a record: an empty key, a null value.
const MIN_HEADER: usize = 2;

/// One record, borrowed from its batch. `None` is Kafka's null, which is not the same as empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record<'a> {
    /// Unused by Kafka; kept.
    pub attributes: i8,
    pub timestamp_delta: i64,
    pub offset_delta: i32,
    pub key: Option<&'a [u8]>,
    pub value: Option<&'a [u8]>,
    pub headers: Headers<'a>,
}

/// One header of a record. Keys are UTF-8 by convention; nobody on the way checks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header<'a> {
    pub key: &'a [u8],
    pub value: Option<&'a [u8]>,
}

/// The headers of a record: a list, so the order counts and keys may repeat. Iterates without allocating.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Headers<'a> {
    /// Checked to hold exactly `count` headers.
    encoded: &'a [u8],
    count: usize,
}

impl<'a> Headers<'a> {
    /// `encoded` must hold `count` headers and nothing else; [`super::HeadersBuf`] sees to it.
    pub(super) fn from_encoded(encoded: &'a [u8], count: usize) -> Self {
        Self { encoded, count }
    }

    pub fn len(&self) -> usize {
        self.count
    }

    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The value of the last header with this key, as Kafka's `lastHeader` gives it. The outer `None`: no such header.
    pub fn last(&self, key: &[u8]) -> Option<Option<&'a [u8]>> {
        self.filter(|header| header.key == key).last().map(|header| header.value)
    }

    /// The headers as they are on the wire, without their count.
    pub fn encoded(&self) -> &'a [u8] {
        self.encoded
    }
}

impl<'a> Iterator for Headers<'a> {
    type Item = Header<'a>;

    #[inline]
    fn next(&mut self) -> Option<Header<'a>> {
        if self.count == 0 {
            return None;
        }
        let mut pos = 0;
        // Checked when the record was read, so neither fails; if one did, the list would end.
        let header = read_header(self.encoded, &mut pos).ok()?;
        self.encoded = self.encoded.get(pos..)?;
        self.count -= 1;
        Some(header)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (0, Some(self.count))
    }
}

/// Lazy iterator over the records of one batch. Ends after the first error.
#[derive(Debug, Clone)]
pub struct Records<'a> {
    data: &'a [u8],
    pos: usize,
    left: usize,
    ended: bool,
}

impl<'a> Records<'a> {
    /// Opens the batch that fills `batch`. What is compressed is decompressed into `decompressor`'s buffer, at most
    /// `limit` bytes of it; what is not stays where it is. The CRC is not looked at.
    pub fn open(
        batch: &'a [u8],
        header: &BatchHeader,
        decompressor: &'a mut Decompressor,
        limit: usize,
    ) -> Result<Self, RecordError> {
        let body = body(batch, header)?;
        let data = match header.compression() {
            Compression::None => body,
            // Nothing to open: not even the empty stream that some writers leave out.
            _ if header.record_count == 0 && body.is_empty() => body,
            codec => decompressor.decompress(codec, body, limit)?,
        };
        Self::new(data, header.record_count)
    }

    /// Over records that are not compressed (any more).
    pub fn new(data: &'a [u8], record_count: i32) -> Result<Self, RecordError> {
        let left = usize::try_from(record_count)
            .map_err(|_| RecordError::invalid(0, "record_count", "is negative"))?;
        if left.saturating_mul(MIN_RECORD) > data.len() {
            let need = left as u64 * MIN_RECORD as u64;
            return Err(RecordError::truncated(0, "records", need, data.len() as u64));
        }
        Ok(Self { data, pos: 0, left, ended: false })
    }

    /// The bytes being walked.
    pub fn data(&self) -> &'a [u8] {
        self.data
    }

    /// Where the next record starts in [`data`](Self::data).
    pub fn position(&self) -> usize {
        self.pos
    }

    #[inline]
    fn read(&mut self) -> Result<Record<'a>, RecordError> {
        let mut pos = self.pos;
        let length = varint(self.data, &mut pos)?;
        let length = usize::try_from(length)
            .map_err(|_| RecordError::invalid(self.pos, "record length", "is negative"))?;
        let have = self.data.len() - pos;
        if length > have {
            return Err(RecordError::truncated(self.pos, "record", length as u64, have as u64));
        }
        let end = pos + length;
        // Every read below stops at the record's own end, so that no record reaches into the next.
        let data = self.data.get(..end).unwrap_or_default();
        let Some(&attributes) = data.get(pos) else {
            return Err(RecordError::truncated(pos, "record attributes", 1, 0));
        };
        pos += 1;
        let timestamp_delta = varlong(data, &mut pos)?;
        let offset_delta = varint(data, &mut pos)?;
        let key = nullable_bytes(data, &mut pos, "key")?;
        let value = nullable_bytes(data, &mut pos, "value")?;
        let headers = headers(data, &mut pos)?;
        if pos != end {
            return Err(RecordError::invalid(pos, "record", "has bytes after its headers"));
        }
        self.pos = end;
        Ok(Record { attributes: attributes as i8, timestamp_delta, offset_delta, key, value, headers })
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Result<Record<'a>, RecordError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        if self.left == 0 {
            self.ended = true;
            if self.pos != self.data.len() {
                return Some(Err(RecordError::invalid(self.pos, "records", "go on after the last record")));
            }
            return None;
        }
        let record = self.read();
        match record {
            Ok(_) => self.left -= 1,
            Err(_) => self.ended = true,
        }
        Some(record)
    }

    /// The lower bound is 0: a count from outside is no reason to reserve.
    fn size_hint(&self) -> (usize, Option<usize>) {
        (0, Some(self.left))
    }
}

/// What [`check_records`] learned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordsSummary {
    /// The greatest timestamp in milliseconds; -1 without one.
    pub max_timestamp: i64,
    /// Offset delta of the first record that has it.
    pub offset_delta_of_max: i32,
    /// Index of the first record without a key: a compacted topic refuses it.
    pub first_without_key: Option<i32>,
    /// Bytes of the records when they are not compressed.
    pub uncompressed_size: usize,
}

/// Reads every record of the batch that fills `batch`: they must be well formed, as many as the header says, and
/// their offset deltas 0, 1, 2…, as a broker requires of what it appends.
pub fn check_records(
    batch: &[u8],
    header: &BatchHeader,
    decompressor: &mut Decompressor,
    limit: usize,
) -> Result<RecordsSummary, RecordError> {
    let mut records = Records::open(batch, header, decompressor, limit)?;
    let mut summary = RecordsSummary {
        max_timestamp: -1,
        offset_delta_of_max: header.last_offset_delta,
        first_without_key: None,
        uncompressed_size: records.data().len(),
    };
    let mut expected = 0;
    let mut at = 0;
    while let Some(record) = records.next() {
        let record = record?;
        if record.offset_delta != expected {
            return Err(RecordError::invalid(at, "offset_delta", "is not one more than the record's before"));
        }
        let timestamp = header.timestamp_of(record.timestamp_delta);
        if timestamp > summary.max_timestamp {
            summary.max_timestamp = timestamp;
            summary.offset_delta_of_max = record.offset_delta;
        }
        if record.key.is_none() && summary.first_without_key.is_none() {
            summary.first_without_key = Some(expected);
        }
        expected += 1;
        at = records.position();
    }
    Ok(summary)
}

/// What follows the header in the batch that fills `batch`.
pub(super) fn body<'a>(batch: &'a [u8], header: &BatchHeader) -> Result<&'a [u8], RecordError> {
    batch.get(BATCH_OVERHEAD..header.size()).ok_or(RecordError::truncated(
        0,
        "batch",
        header.size() as u64,
        batch.len() as u64,
    ))
}

#[inline]
fn nullable_bytes<'a>(
    data: &'a [u8],
    pos: &mut usize,
    what: &'static str,
) -> Result<Option<&'a [u8]>, RecordError> {
    let at = *pos;
    let length = varint(data, pos)?;
    if length < 0 {
        if length == -1 {
            return Ok(None);
        }
        return Err(RecordError::invalid(at, what, "has a negative length"));
    }
    take(data, pos, length as usize, what).map(Some)
}

#[inline]
fn take<'a>(
    data: &'a [u8],
    pos: &mut usize,
    length: usize,
    what: &'static str,
) -> Result<&'a [u8], RecordError> {
    let rest = data.get(*pos..).unwrap_or_default();
    let Some(bytes) = rest.get(..length) else {
        return Err(RecordError::truncated(*pos, what, length as u64, rest.len() as u64));
    };
    *pos += length;
    Ok(bytes)
}

#[inline]
fn headers<'a>(data: &'a [u8], pos: &mut usize) -> Result<Headers<'a>, RecordError> {
    let at = *pos;
    let count = varint::varint(data, pos)?;
    if count == 0 {
        return Ok(Headers::default());
    }
    let count =
        usize::try_from(count).map_err(|_| RecordError::invalid(at, "header count", "is negative"))?;
    let have = data.len() - *pos;
    if count.saturating_mul(MIN_HEADER) > have {
        return Err(RecordError::truncated(at, "headers", count as u64 * MIN_HEADER as u64, have as u64));
    }
    let start = *pos;
    for _ in 0..count {
        read_header(data, pos)?;
    }
    Ok(Headers { encoded: data.get(start..*pos).unwrap_or_default(), count })
}

#[inline]
fn read_header<'a>(data: &'a [u8], pos: &mut usize) -> Result<Header<'a>, RecordError> {
    let at = *pos;
    let length = varint(data, pos)?;
    let length = usize::try_from(length)
        .map_err(|_| RecordError::invalid(at, "header key", "has a negative length"))?;
    let key = take(data, pos, length, "header key")?;
    let value = nullable_bytes(data, pos, "header value")?;
    Ok(Header { key, value })
}
