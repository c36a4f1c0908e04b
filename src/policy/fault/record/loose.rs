//! A batch taken apart, and sealed again.

use super::{Draws, Way};
use crate::wire::record::{
    Batch, BatchHeader, Compressor, Decompressor, HeadersBuf, Rebuild, Record, RecordError, Records,
    TimestampType,
};
use bytes::{Bytes, BytesMut};

/// The records of a batch as a list that may be changed.
pub(super) struct Loose {
    pub header: BatchHeader,
    pub records: Vec<LooseRecord>,
    /// A bit to be turned once the checksum is made, drawn.
    pub damage: Option<u64>,
}

#[derive(Debug, Clone)]
pub(super) struct LooseRecord {
    pub attributes: i8,
    /// As in the batch: differences to its base timestamp and base offset.
    pub timestamp_delta: i64,
    pub offset_delta: i32,
    pub key: Option<Bytes>,
    pub value: Option<Bytes>,
    pub headers: HeadersBuf,
    /// There for a record that was chosen.
    pub draws: Option<Draws>,
}

/// Takes a batch apart. Its checksum is not looked at.
pub(super) fn open(
    batch: &Batch<'_>,
    decompressor: &mut Decompressor,
    limit: usize,
) -> Result<Loose, RecordError> {
    let mut records = Vec::new();
    for record in Records::open(batch.bytes, &batch.header, decompressor, limit)? {
        let record = record?;
        let mut headers = HeadersBuf::new();
        for header in record.headers {
            headers.push(header.key, header.value);
        }
        records.push(LooseRecord {
            attributes: record.attributes,
            timestamp_delta: record.timestamp_delta,
            offset_delta: record.offset_delta,
            key: record.key.map(Bytes::copy_from_slice),
            value: record.value.map(Bytes::copy_from_slice),
            headers,
            draws: None,
        });
    }
    Ok(Loose { header: batch.header, records, damage: None })
}

/// Writes it to `out`. What is produced is numbered anew, without gaps, as brokers want it, and is nothing at all without
/// records; what is fetched keeps its offsets, so that consumers move on.
pub(super) fn seal(
    mut loose: Loose,
    way: Way,
    compressor: &mut Compressor,
    out: &mut BytesMut,
) -> Result<(), RecordError> {
    let mut header = loose.header;
    if way == Way::Produced {
        if loose.records.is_empty() {
            return Ok(());
        }
        for (offset, record) in (0..).zip(&mut loose.records) {
            record.offset_delta = offset;
        }
        header.last_offset_delta = loose.records.last().map_or(0, |record| record.offset_delta);
    }
    if header.timestamp_type() == TimestampType::CreateTime {
        let newest = loose.records.iter().map(|record| header.timestamp_of(record.timestamp_delta)).max();
        header.max_timestamp = newest.unwrap_or(header.max_timestamp);
    }
    let mut rebuild = Rebuild::of(&header, compressor)?;
    for record in &loose.records {
        rebuild.push(&Record {
            attributes: record.attributes,
            timestamp_delta: record.timestamp_delta,
            offset_delta: record.offset_delta,
            key: record.key.as_deref(),
            value: record.value.as_deref(),
            headers: record.headers.as_headers(),
        })?;
    }
    let mut sealed = BytesMut::new();
    rebuild.finish_into(&mut sealed)?;
    if let Some(draw) = loose.damage {
        damage(&mut sealed, draw);
    }
    out.extend_from_slice(&sealed);
    Ok(())
}

/// Turns one bit behind the header, under the checksum.
fn damage(batch: &mut BytesMut, draw: u64) {
    let from = crate::wire::record::BATCH_OVERHEAD;
    let bits = batch.len().saturating_sub(from) as u64 * 8;
    if let Some(bit) = draw.checked_rem(bits)
        && let Some(byte) = batch.get_mut(from + (bit / 8) as usize)
    {
        *byte ^= 1 << (bit % 8);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::record::BATCH_OVERHEAD;

    #[test]
    fn a_draw_turns_its_own_bit_behind_the_header() {
        const BEHIND: usize = 5;
        let batch: BytesMut = (0..(BATCH_OVERHEAD + BEHIND) as u8).collect();
        for draw in 0..BEHIND as u64 * 8 {
            for again in [draw, draw + BEHIND as u64 * 8] {
                let mut damaged = batch.clone();
                damage(&mut damaged, again);
                let mut expected = batch.to_vec();
                expected[BATCH_OVERHEAD + draw as usize / 8] ^= 1 << (draw % 8);
                assert_eq!(damaged, expected, "{again}");
            }
        }
        let mut nothing_behind = batch.clone().split_to(BATCH_OVERHEAD);
        damage(&mut nothing_behind, 7);
        assert_eq!(nothing_behind, batch[..BATCH_OVERHEAD]);
    }
}
