//! The header of a batch: read, checked and patched in place, the records behind it untouched.
//!
//! ```text
//!  0 base_offset i64              23 last_offset_delta i32     51 producer_epoch i16
//!  8 batch_length i32 (what       27 base_timestamp i64        53 base_sequence i32
//!    follows this field)          35 max_timestamp i64         57 record_count i32
//! 12 partition_leader_epoch i32   43 producer_id i64           61 records
//! 16 magic i8
//! 17 crc u32 (CRC-32C of all from 21 on)
//! 21 attributes i16: 0-2 compression, 3 timestamp type, 4 transactional, 5 control, 6 delete horizon
//! ```

use super::RecordError;

/// Bytes of a batch before its records, `base_offset` and `batch_length` included.
pub const BATCH_OVERHEAD: usize = 61;

/// `base_offset` and `batch_length`: what `batch_length` does not count.
const LOG_OVERHEAD: usize = 12;
/// The smallest `batch_length`: a batch without records.
const MIN_BATCH_LENGTH: i32 = (BATCH_OVERHEAD - LOG_OVERHEAD) as i32;

const LENGTH_AT: usize = 8;
const LEADER_EPOCH_AT: usize = 12;
const MAGIC_AT: usize = 16;
const CRC_AT: usize = 17;
const ATTRIBUTES_AT: usize = 21;
const LAST_OFFSET_DELTA_AT: usize = 23;
const MAX_TIMESTAMP_AT: usize = 35;
const BASE_SEQUENCE_AT: usize = 53;
const RECORD_COUNT_AT: usize = 57;

const COMPRESSION_MASK: i16 = 0x07;
const TIMESTAMP_TYPE: i16 = 1 << 3;
const TRANSACTIONAL: i16 = 1 << 4;
const CONTROL: i16 = 1 << 5;
const DELETE_HORIZON: i16 = 1 << 6;

/// The codecs of Kafka, by their number in the attributes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Compression {
    #[default]
    None = 0,
    Gzip = 1,
    Snappy = 2,
    Lz4 = 3,
    Zstd = 4,
}

impl Compression {
    pub const ALL: [Self; 5] = [Self::None, Self::Gzip, Self::Snappy, Self::Lz4, Self::Zstd];

    pub fn from_attributes(attributes: i16) -> Option<Self> {
        match attributes & COMPRESSION_MASK {
            0 => Some(Self::None),
            1 => Some(Self::Gzip),
            2 => Some(Self::Snappy),
            3 => Some(Self::Lz4),
            4 => Some(Self::Zstd),
            _ => None,
        }
    }

    /// The name Kafka's configuration uses (`compression.type`).
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Snappy => "snappy",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        }
    }
}

/// Who wrote the timestamps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum TimestampType {
    #[default]
    CreateTime,
    /// The broker: every record of the batch has the batch's `max_timestamp`.
    LogAppendTime,
}

/// The first 61 bytes of a batch. Fields are as on the wire; see the module for their places.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchHeader {
    pub base_offset: i64,
    /// Bytes that follow this field; the whole batch is [`size`](Self::size).
    pub batch_length: i32,
    /// -1 when unknown. Outside the CRC.
    pub partition_leader_epoch: i32,
    pub magic: i8,
    pub crc: u32,
    pub attributes: i16,
    pub last_offset_delta: i32,
    /// Milliseconds; what the records' timestamp deltas are relative to (the delete horizon, when there is one).
    pub base_timestamp: i64,
    /// Milliseconds, -1 when no record has a timestamp.
    pub max_timestamp: i64,
    /// -1 without idempotence.
    pub producer_id: i64,
    pub producer_epoch: i16,
    pub base_sequence: i32,
    /// Records that are there; fewer than `last_offset_delta + 1` after compaction.
    pub record_count: i32,
}

impl Default for BatchHeader {
    /// An empty batch at offset 0 of nobody: a template for [`super::BatchBuilder`].
    fn default() -> Self {
        Self {
            base_offset: 0,
            batch_length: MIN_BATCH_LENGTH,
            partition_leader_epoch: -1,
            magic: 2,
            crc: 0,
            attributes: 0,
            last_offset_delta: 0,
            base_timestamp: -1,
            max_timestamp: -1,
            producer_id: -1,
            producer_epoch: -1,
            base_sequence: -1,
            record_count: 0,
        }
    }
}

impl BatchHeader {
    /// Reads the header at the start of `buf`, which may end before the batch does.
    ///
    /// Refuses what no writer writes: another magic, a length that cannot hold a header, an unknown codec, negative
    /// counts. The CRC is not looked at: see [`verify_crc`].
    pub fn parse(buf: &[u8]) -> Result<Self, RecordError> {
        // The magic byte stands at the same place in every format: say "too old" rather than "too short".
        if let Some(&magic) = buf.get(MAGIC_AT)
            && magic != 2
        {
            return Err(RecordError::UnsupportedMagic { at: MAGIC_AT, magic: magic as i8 });
        }
        let Some(h) = buf.first_chunk::<BATCH_OVERHEAD>() else {
            return Err(RecordError::truncated(0, "batch header", BATCH_OVERHEAD as u64, buf.len() as u64));
        };
        let header = Self {
            base_offset: i64::from_be_bytes(field(h, 0)),
            batch_length: i32::from_be_bytes(field(h, LENGTH_AT)),
            partition_leader_epoch: i32::from_be_bytes(field(h, LEADER_EPOCH_AT)),
            magic: 2,
            crc: u32::from_be_bytes(field(h, CRC_AT)),
            attributes: i16::from_be_bytes(field(h, ATTRIBUTES_AT)),
            last_offset_delta: i32::from_be_bytes(field(h, LAST_OFFSET_DELTA_AT)),
            base_timestamp: i64::from_be_bytes(field(h, 27)),
            max_timestamp: i64::from_be_bytes(field(h, MAX_TIMESTAMP_AT)),
            producer_id: i64::from_be_bytes(field(h, 43)),
            producer_epoch: i16::from_be_bytes(field(h, 51)),
            base_sequence: i32::from_be_bytes(field(h, BASE_SEQUENCE_AT)),
            record_count: i32::from_be_bytes(field(h, RECORD_COUNT_AT)),
        };
        if header.batch_length < MIN_BATCH_LENGTH {
            return Err(RecordError::invalid(LENGTH_AT, "batch_length", "is smaller than a batch's header"));
        }
        if header.record_count < 0 {
            return Err(RecordError::invalid(RECORD_COUNT_AT, "record_count", "is negative"));
        }
        if header.last_offset_delta < 0 {
            return Err(RecordError::invalid(LAST_OFFSET_DELTA_AT, "last_offset_delta", "is negative"));
        }
        if header.base_offset.checked_add(i64::from(header.last_offset_delta)).is_none() {
            return Err(RecordError::invalid(0, "base_offset", "leaves no room for the batch's last offset"));
        }
        if Compression::from_attributes(header.attributes).is_none() {
            return Err(RecordError::invalid(ATTRIBUTES_AT, "attributes", "name an unknown compression"));
        }
        Ok(header)
    }

    /// The 61 bytes of this header, CRC as it stands.
    pub fn to_bytes(&self) -> [u8; BATCH_OVERHEAD] {
        let mut h = [0; BATCH_OVERHEAD];
        put(&mut h, 0, self.base_offset.to_be_bytes());
        put(&mut h, LENGTH_AT, self.batch_length.to_be_bytes());
        put(&mut h, LEADER_EPOCH_AT, self.partition_leader_epoch.to_be_bytes());
        put(&mut h, MAGIC_AT, self.magic.to_be_bytes());
        put(&mut h, CRC_AT, self.crc.to_be_bytes());
        put(&mut h, ATTRIBUTES_AT, self.attributes.to_be_bytes());
        put(&mut h, LAST_OFFSET_DELTA_AT, self.last_offset_delta.to_be_bytes());
        put(&mut h, 27, self.base_timestamp.to_be_bytes());
        put(&mut h, MAX_TIMESTAMP_AT, self.max_timestamp.to_be_bytes());
        put(&mut h, 43, self.producer_id.to_be_bytes());
        put(&mut h, 51, self.producer_epoch.to_be_bytes());
        put(&mut h, BASE_SEQUENCE_AT, self.base_sequence.to_be_bytes());
        put(&mut h, RECORD_COUNT_AT, self.record_count.to_be_bytes());
        h
    }

    /// Bytes of the whole batch.
    pub fn size(&self) -> usize {
        LOG_OVERHEAD + usize::try_from(self.batch_length).unwrap_or(0)
    }

    pub fn last_offset(&self) -> i64 {
        self.base_offset.saturating_add(i64::from(self.last_offset_delta))
    }

    /// The offset after this batch.
    pub fn next_offset(&self) -> i64 {
        self.last_offset().saturating_add(1)
    }

    /// [`parse`](Self::parse) refuses other codecs; a header made by hand with one counts as uncompressed.
    pub fn compression(&self) -> Compression {
        Compression::from_attributes(self.attributes).unwrap_or_default()
    }

    pub fn timestamp_type(&self) -> TimestampType {
        if self.attributes & TIMESTAMP_TYPE != 0 {
            TimestampType::LogAppendTime
        } else {
            TimestampType::CreateTime
        }
    }

    pub fn is_transactional(&self) -> bool {
        self.attributes & TRANSACTIONAL != 0
    }

    /// Transaction markers and the like: written by brokers, never edited, never shown to applications.
    pub fn is_control(&self) -> bool {
        self.attributes & CONTROL != 0
    }

    /// `base_timestamp` says when the tombstones of this batch may go (KIP-534).
    pub fn has_delete_horizon(&self) -> bool {
        self.attributes & DELETE_HORIZON != 0
    }

    pub fn has_producer_id(&self) -> bool {
        self.producer_id >= 0
    }

    /// Sequence of the last record; sequences go from `i32::MAX` back to 0. -1 without idempotence.
    pub fn last_sequence(&self) -> i32 {
        if self.base_sequence < 0 {
            return -1;
        }
        // Both are non-negative, so the sum fits 32 unsigned bits and 31 bits are what wraps.
        let sum = self.base_sequence as u32 + self.last_offset_delta.max(0) as u32;
        (sum & i32::MAX as u32) as i32
    }

    /// Timestamp of a record of this batch, in milliseconds.
    pub fn timestamp_of(&self, timestamp_delta: i64) -> i64 {
        match self.timestamp_type() {
            TimestampType::CreateTime => self.base_timestamp.wrapping_add(timestamp_delta),
            TimestampType::LogAppendTime => self.max_timestamp,
        }
    }

    pub fn set_timestamp_type(&mut self, timestamp_type: TimestampType) {
        match timestamp_type {
            TimestampType::CreateTime => self.attributes &= !TIMESTAMP_TYPE,
            TimestampType::LogAppendTime => self.attributes |= TIMESTAMP_TYPE,
        }
    }

    pub fn set_compression(&mut self, compression: Compression) {
        self.attributes = (self.attributes & !COMPRESSION_MASK) | compression as i16;
    }
}

/// One batch among others.
#[derive(Debug, Clone, Copy)]
pub struct Batch<'a> {
    pub header: BatchHeader,
    /// Where it starts in what was given to [`batches`].
    pub start: usize,
    /// The whole batch, header included.
    pub bytes: &'a [u8],
}

impl Batch<'_> {
    /// Its place in what was given to [`batches`], to slice a `Bytes` without copying.
    pub fn range(&self) -> std::ops::Range<usize> {
        self.start..self.start + self.bytes.len()
    }
}

/// How what was given to [`batches`] ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tail {
    /// With the end of a batch.
    Whole,
    /// Inside a batch that starts at `at`: a broker fills a fetch up to its limit and cuts.
    CutShort { at: usize },
}

/// Walks concatenated batches by their headers.
///
/// A last batch that is cut short ends the iteration without an error; [`Batches::tail`] tells. Anything else that
/// is wrong is an error, and the end.
pub fn batches(payload: &[u8]) -> Batches<'_> {
    Batches { payload, pos: 0, ended: false }
}

#[derive(Debug, Clone)]
pub struct Batches<'a> {
    payload: &'a [u8],
    pos: usize,
    ended: bool,
}

impl<'a> Batches<'a> {
    /// What the batches seen so far leave of the payload.
    pub fn rest(&self) -> &'a [u8] {
        self.payload.get(self.pos..).unwrap_or_default()
    }

    /// Meaningful once the iterator has ended.
    pub fn tail(&self) -> Tail {
        if self.rest().is_empty() { Tail::Whole } else { Tail::CutShort { at: self.pos } }
    }
}

impl<'a> Iterator for Batches<'a> {
    type Item = Result<Batch<'a>, RecordError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let rest = self.rest();
        let Some(header) = rest.first_chunk::<{ MAGIC_AT + 1 }>() else {
            self.ended = true;
            return None;
        };
        // A length is read before the rest of the header is there: a cut may fall inside the header too.
        let length = i32::from_be_bytes(field(header, LENGTH_AT));
        let cut = usize::try_from(length).is_ok_and(|length| rest.len() < LOG_OVERHEAD + length);
        if cut && header[MAGIC_AT] == 2 && length >= MIN_BATCH_LENGTH {
            self.ended = true;
            return None;
        }
        match BatchHeader::parse(rest) {
            Ok(header) => {
                let start = self.pos;
                self.pos += header.size();
                // Not cut, so the batch is there whole.
                let bytes = rest.get(..header.size()).unwrap_or_default();
                Some(Ok(Batch { header, start, bytes }))
            }
            Err(error) => {
                self.ended = true;
                Some(Err(error.moved(self.pos)))
            }
        }
    }
}

/// Compares the CRC of the batch that fills `batch` with the one stored.
pub fn verify_crc(batch: &[u8]) -> Result<(), RecordError> {
    let (Some(stored), Some(covered)) = (be_u32(batch, CRC_AT), batch.get(ATTRIBUTES_AT..)) else {
        return Err(RecordError::truncated(0, "batch header", BATCH_OVERHEAD as u64, batch.len() as u64));
    };
    let computed = crc32c::crc32c(covered);
    if stored != computed {
        return Err(RecordError::Corrupt { at: CRC_AT, stored, computed });
    }
    Ok(())
}

/// What a broker asks of the batch in a Produce request before it looks at the records: exactly one batch, whole,
/// magic 2, CRC right, offsets dense from `base_offset`, at least one record, no control batch, a sequence if there
/// is a producer id. [`super::check_records`] does the rest.
pub fn validate_produce(payload: &[u8]) -> Result<BatchHeader, RecordError> {
    let header = BatchHeader::parse(payload)?;
    if payload.len() < header.size() {
        return Err(RecordError::truncated(0, "batch", header.size() as u64, payload.len() as u64));
    }
    if payload.len() > header.size() {
        return Err(RecordError::invalid(header.size(), "records", "hold more than one batch"));
    }
    verify_crc(payload)?;
    if header.record_count == 0 {
        return Err(RecordError::invalid(RECORD_COUNT_AT, "record_count", "is zero"));
    }
    if header.record_count - 1 != header.last_offset_delta {
        return Err(RecordError::invalid(RECORD_COUNT_AT, "record_count", "is not last_offset_delta + 1"));
    }
    if header.is_control() {
        return Err(RecordError::invalid(
            ATTRIBUTES_AT,
            "attributes",
            "mark a control batch, which clients may not write",
        ));
    }
    if header.has_producer_id() && header.base_sequence < 0 {
        return Err(RecordError::invalid(
            BASE_SEQUENCE_AT,
            "base_sequence",
            "is negative beside a producer id",
        ));
    }
    Ok(header)
}

/// Sets the offset of the first record. The CRC does not cover it. Does nothing if `batch` is no batch.
pub fn set_base_offset(batch: &mut [u8], base_offset: i64) {
    patch(batch, 0, base_offset.to_be_bytes());
}

/// Sets the leader epoch. The CRC does not cover it.
pub fn set_leader_epoch(batch: &mut [u8], leader_epoch: i32) {
    patch(batch, LEADER_EPOCH_AT, leader_epoch.to_be_bytes());
}

/// Gives the batch, and with it all of its records, the broker's time; the CRC is made right again.
pub fn set_log_append_time(batch: &mut [u8], timestamp: i64) {
    set_max_timestamp(batch, TimestampType::LogAppendTime, timestamp);
}

/// Sets the timestamp type and `max_timestamp`; the CRC is made right again if anything changed.
pub fn set_max_timestamp(batch: &mut [u8], timestamp_type: TimestampType, timestamp: i64) {
    let Some(before) = batch.first_chunk::<BATCH_OVERHEAD>() else { return };
    let old = i16::from_be_bytes(field(before, ATTRIBUTES_AT));
    let new = match timestamp_type {
        TimestampType::CreateTime => old & !TIMESTAMP_TYPE,
        TimestampType::LogAppendTime => old | TIMESTAMP_TYPE,
    };
    if new == old && i64::from_be_bytes(field(before, MAX_TIMESTAMP_AT)) == timestamp {
        return;
    }
    patch(batch, ATTRIBUTES_AT, new.to_be_bytes());
    patch(batch, MAX_TIMESTAMP_AT, timestamp.to_be_bytes());
    let crc = crc32c::crc32c(batch.get(ATTRIBUTES_AT..).unwrap_or_default());
    patch(batch, CRC_AT, crc.to_be_bytes());
}

/// The header of `batch` with another base offset and leader epoch, to be written before `batch[61..]`: an append
/// that copies 61 bytes, whatever the batch's size. Neither field is under the CRC.
pub fn patched_header(
    batch: &[u8],
    base_offset: i64,
    leader_epoch: i32,
) -> Result<[u8; BATCH_OVERHEAD], RecordError> {
    let Some(header) = batch.first_chunk::<BATCH_OVERHEAD>() else {
        return Err(RecordError::truncated(0, "batch header", BATCH_OVERHEAD as u64, batch.len() as u64));
    };
    let mut header = *header;
    set_base_offset(&mut header, base_offset);
    set_leader_epoch(&mut header, leader_epoch);
    Ok(header)
}

/// The 61 bytes of `header`, with the CRC they need before `body`: a batch whose header was edited.
pub fn sealed_header(header: &BatchHeader, body: &[u8]) -> [u8; BATCH_OVERHEAD] {
    let mut bytes = header.to_bytes();
    let crc = crc32c::crc32c_append(crc32c::crc32c(&bytes[ATTRIBUTES_AT..]), body);
    put(&mut bytes, CRC_AT, crc.to_be_bytes());
    bytes
}

/// Length and CRC of a batch whose records have just been written after `header`'s place in `batch`.
pub(super) fn seal(batch: &mut [u8], header: &BatchHeader) {
    patch(batch, 0, header.to_bytes());
    let crc = crc32c::crc32c(batch.get(ATTRIBUTES_AT..).unwrap_or_default());
    patch(batch, CRC_AT, crc.to_be_bytes());
}

/// `at` is a constant of this file and `N` a field's width: both inside the header.
fn field<const H: usize, const N: usize>(header: &[u8; H], at: usize) -> [u8; N] {
    let mut bytes = [0; N];
    bytes.copy_from_slice(&header[at..at + N]);
    bytes
}

fn put<const N: usize>(header: &mut [u8; BATCH_OVERHEAD], at: usize, bytes: [u8; N]) {
    header[at..at + N].copy_from_slice(&bytes);
}

fn patch<const N: usize>(batch: &mut [u8], at: usize, bytes: [u8; N]) {
    if let Some(place) = batch.get_mut(at..at + N) {
        place.copy_from_slice(&bytes);
    }
}

fn be_u32(buf: &[u8], at: usize) -> Option<u32> {
    buf.get(at..)?.first_chunk().map(|bytes| u32::from_be_bytes(*bytes))
}
