//! Faults on records: what is produced is changed before it is stored, what is fetched before it is read. `loose` takes
//! a batch apart and seals it again, `change` is what each fault does to the records in it.
//!
//! They strike single records, and count them: at produce by their ordinal among what the client sent to the partition, at
//! fetch by their offset. Where a batch ends makes no difference, so that the same records are struck at any linger.

mod change;
mod loose;

use super::super::random::Draws;
use crate::wire::record::{RecordError, batches, with_codecs};
use bytes::{Bytes, BytesMut};
use std::fmt;

/// The largest value that `oversize` and `compression_bomb` make.
pub const LARGEST: usize = 64 << 20;

/// A fault on records.
#[derive(Debug, Clone, PartialEq)]
pub enum RecordFault {
    Corrupt(Corruption),
    Poison(Poison),
    Duplicate,
    Reorder,
    Drop,
    Tombstone,
    StripHeaders,
    /// Milliseconds that timestamps move by, either way.
    SkewTimestamps(i64),
    /// The value grows to so many bytes, by blanks at its end: JSON stays JSON.
    Oversize(usize),
    /// The value becomes so many zeros, compressed to a thousandth of that.
    CompressionBomb(usize),
}

/// What a corruption leaves for the reader to notice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Corruption {
    /// The batch's checksum does not hold any more: everyone who checks it refuses the batch.
    Checksum,
    /// A bit of the value is another, under a checksum that holds: only who reads the value can notice.
    Value,
}

/// What a value becomes that its reader cannot make sense of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Poison {
    /// Cut at a drawn place, as a writer that died leaves it.
    TruncatedJson,
    /// With a byte in it that no UTF-8 has.
    BadUtf8,
    /// A schema registry's magic byte and this id before it (or in place of the id that it has).
    SchemaId(i32),
    RandomBytes(usize),
}

/// A record that a rule chose: its place in the payload, and the draws about it.
#[derive(Debug, Clone)]
pub struct Chosen {
    pub index: usize,
    pub draws: Draws,
}

/// Which way the records go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    Produced,
    Fetched,
}

/// What became of a payload.
#[derive(Debug, Default, PartialEq)]
pub struct Struck {
    /// The payload to go on with; empty when nothing is left of what was produced.
    pub payload: Bytes,
    /// Which of the chosen were struck, by their number, and what was drawn about each.
    pub done: Vec<(usize, Option<String>)>,
    /// How many could not be.
    pub could_not: usize,
}

impl RecordFault {
    /// Strikes the chosen records of a payload. `chosen` is in ascending order. `limit`: plain bytes of one batch.
    pub fn strike(
        &self,
        payload: &Bytes,
        way: Way,
        chosen: &[Chosen],
        limit: usize,
    ) -> Result<Struck, RecordError> {
        let mut struck = Struck::default();
        let mut out = BytesMut::with_capacity(payload.len());
        with_codecs(|decompressor, compressor| {
            let (mut walk, mut first, mut number) = (batches(payload), 0, 0);
            for batch in &mut walk {
                let batch = batch?;
                if batch.header.is_control() {
                    out.extend_from_slice(batch.bytes);
                    continue;
                }
                let count = usize::try_from(batch.header.record_count).unwrap_or_default();
                let here = number..chosen.partition_point(|record| record.index < first + count);
                number = here.end;
                let Some(mine) = chosen.get(here.clone()).filter(|mine| !mine.is_empty()) else {
                    out.extend_from_slice(batch.bytes);
                    first += count;
                    continue;
                };
                let mut loose = loose::open(&batch, decompressor, limit)?;
                let mut told = Vec::new();
                for record in mine {
                    let at = record.index - first;
                    told.push(loose.records.get_mut(at).map(|r| r.draws = Some(record.draws.clone())));
                }
                let done = change::change(self, &mut loose);
                struck.could_not += mine.len() - done.len();
                struck.done.extend(done.into_iter().map(|(at, drawn)| (here.start + at, drawn)));
                loose::seal(loose, way, compressor, &mut out)?;
                first += count;
            }
            // the piece of a batch that ends a fetch is nobody's business
            out.extend_from_slice(walk.rest());
            Ok(())
        })?;
        struck.payload = out.freeze();
        Ok(struck)
    }

    /// The word that writes it.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Corrupt(_) => "corrupt_record",
            Self::Poison(_) => "poison",
            Self::Duplicate => "duplicate_records",
            Self::Reorder => "reorder",
            Self::Drop => "drop_records",
            Self::Tombstone => "tombstone",
            Self::StripHeaders => "strip_headers",
            Self::SkewTimestamps(_) => "skew_timestamps",
            Self::Oversize(_) => "oversize",
            Self::CompressionBomb(_) => "compression_bomb",
        }
    }

    /// Whether a batch has other records after it.
    pub fn recounts(&self) -> bool {
        matches!(self, Self::Duplicate | Self::Drop)
    }
}

impl fmt::Display for RecordFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = self.word();
        match self {
            Self::Corrupt(Corruption::Checksum) => write!(f, "{word}(\"checksum\")"),
            Self::Corrupt(Corruption::Value) => write!(f, "{word}(\"value\")"),
            Self::Poison(Poison::TruncatedJson) => write!(f, "{word}(\"truncated_json\")"),
            Self::Poison(Poison::BadUtf8) => write!(f, "{word}(\"bad_utf8\")"),
            Self::Poison(Poison::SchemaId(id)) => write!(f, "{word}(\"schema_id\", {id})"),
            Self::Poison(Poison::RandomBytes(n)) => write!(f, "{word}(\"random_bytes\", {n})"),
            Self::SkewTimestamps(by) => write!(f, "{word}(\"{by}ms\")"),
            Self::Oversize(n) | Self::CompressionBomb(n) => write!(f, "{word}({n})"),
            _ => write!(f, "{word}()"),
        }
    }
}

#[cfg(test)]
mod tests;
