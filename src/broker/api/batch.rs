//! What a broker looks at before it appends a client's batch, and what it changes in it: timestamps and codec, where
//! the topic says so. The records are walked, and for that decompressed, as Kafka does: a batch nobody could read must
//! not get into the log.

use bytes::Bytes;

use super::produce::Refused;
use crate::broker::ApiError;
use crate::broker::config::TopicConfig;
use crate::wire::ErrorCode;
use crate::wire::record::{
    BATCH_OVERHEAD, BatchHeader, Compression, Decompressor, Rebuild, RecordError, Records, TimestampType,
    check_records, sealed_header, validate_produce, with_codecs,
};

/// Single records named in an error.
const MAX_RECORD_ERRORS: usize = 100;

/// A batch ready for the log.
#[derive(Debug)]
pub(super) struct Accepted {
    pub header: BatchHeader,
    /// The same header, as bytes.
    pub bytes: [u8; BATCH_OVERHEAD],
    /// What follows it.
    pub body: Bytes,
}

pub(super) fn accept(
    records: &Bytes,
    config: &TopicConfig,
    version: i16,
    log_start_offset: i64,
    now_ms: i64,
) -> Result<Accepted, Refused> {
    let header = BatchHeader::parse(records).map_err(refuse)?;
    if header.compression() == Compression::Zstd && version < 7 {
        return Err(ErrorCode::UNSUPPORTED_COMPRESSION_TYPE.into());
    }
    if header.is_transactional() {
        let message = "Transactions are not supported by this broker.";
        return Err(ApiError::new(ErrorCode::INVALID_TXN_STATE, message).into());
    }
    if header.size() > config.max_message_bytes {
        return Err(ErrorCode::MESSAGE_TOO_LARGE.into());
    }
    let header = validate_produce(records).map_err(refuse)?;
    let at_log = |error: ApiError| Refused { log_start_offset, ..Refused::from(error) };
    if header.base_offset != 0 {
        let message =
            format!("The baseOffset of the record batch must be 0, but it is {}.", header.base_offset);
        return Err(at_log(ApiError::new(ErrorCode::INVALID_RECORD, message)));
    }
    with_codecs(|decompressor, compressor| {
        let limit = config.max_decompressed_message_bytes;
        let summary = check_records(records, &header, decompressor, limit)
            .map_err(|error| at_log(code_and_message(error)))?;
        let mut stored = header;
        match config.timestamp_type {
            TimestampType::LogAppendTime => {
                stored.set_timestamp_type(TimestampType::LogAppendTime);
                stored.max_timestamp = now_ms;
            }
            TimestampType::CreateTime => {
                check_timestamps(records, &header, config, summary.max_timestamp, now_ms, decompressor)
                    .map_err(|refused| Refused { log_start_offset, ..refused })?;
                stored.max_timestamp = summary.max_timestamp;
            }
        }
        if let Some(codec) = config.compression
            && codec != header.compression()
        {
            stored.set_compression(codec);
            let plain = Records::open(records, &header, decompressor, limit)
                .map_err(|error| at_log(code_and_message(error)))?;
            let rebuilt = Rebuild::of(&stored, compressor)
                .and_then(|mut rebuild| {
                    rebuild.push_encoded(plain.data(), header.record_count)?;
                    rebuild.finish()
                })
                .map_err(|error| at_log(code_and_message(error)))?;
            if rebuilt.len() > config.max_message_bytes {
                return Err(at_log(ErrorCode::MESSAGE_TOO_LARGE.into()));
            }
            return split(&rebuilt);
        }
        if stored == header {
            return split(records);
        }
        let body = records.slice(BATCH_OVERHEAD..);
        let bytes = sealed_header(&stored, &body);
        Ok(Accepted { header: stored, bytes, body })
    })
}

fn split(batch: &Bytes) -> Result<Accepted, Refused> {
    let header = BatchHeader::parse(batch).map_err(refuse)?;
    let bytes =
        *batch.first_chunk::<BATCH_OVERHEAD>().ok_or_else(|| Refused::from(ErrorCode::INVALID_RECORD))?;
    Ok(Accepted { header, bytes, body: batch.slice(BATCH_OVERHEAD..) })
}

/// Every record's timestamp must lie between two distances from now.
fn check_timestamps(
    records: &[u8],
    header: &BatchHeader,
    config: &TopicConfig,
    max_timestamp: i64,
    now_ms: i64,
    decompressor: &mut Decompressor,
) -> Result<(), Refused> {
    if header.timestamp_type() == TimestampType::LogAppendTime {
        let message = "Invalid timestamp type in the batch: a producer may not set LogAppendTime.";
        return Err(ApiError::new(ErrorCode::INVALID_TIMESTAMP, message).into());
    }
    let latest = now_ms.saturating_add(config.timestamp_after_max_ms);
    let earliest = now_ms.saturating_sub(config.timestamp_before_max_ms);
    // By default the past is open, and the latest record speaks for all.
    if config.timestamp_before_max_ms == i64::MAX && max_timestamp <= latest {
        return Ok(());
    }
    let mut wrong = Vec::new();
    let all = Records::open(records, header, decompressor, config.max_decompressed_message_bytes);
    for (index, record) in (0..).zip(all.map_err(refuse)?) {
        let timestamp = header.timestamp_of(record.map_err(refuse)?.timestamp_delta);
        // -1 is no timestamp.
        if timestamp != -1 && !(earliest..=latest).contains(&timestamp) {
            wrong.push((index, format!(
                "Timestamp {timestamp} of message with offset {index} is out of range. The timestamp should be within [{earliest}, {latest}]"
            )));
            if wrong.len() == MAX_RECORD_ERRORS {
                break;
            }
        }
    }
    if wrong.is_empty() {
        return Ok(());
    }
    let message = "One or more records have been rejected due to invalid timestamp";
    Err(Refused { records: wrong, ..Refused::from(ApiError::new(ErrorCode::INVALID_TIMESTAMP, message)) })
}

fn refuse(error: RecordError) -> Refused {
    code_and_message(error).into()
}

fn code_and_message(error: RecordError) -> ApiError {
    match &error {
        RecordError::Corrupt { .. } => ErrorCode::CORRUPT_MESSAGE.into(),
        RecordError::TooLarge { .. } => ApiError::new(ErrorCode::MESSAGE_TOO_LARGE, error.to_string()),
        _ => ApiError::new(ErrorCode::INVALID_RECORD, error.to_string()),
    }
}
