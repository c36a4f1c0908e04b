//! What each fault does to the records of a batch.

use super::loose::{Loose, LooseRecord};
use super::{Corruption, Draws, Poison, RecordFault};
use crate::wire::record::{Compression, HeadersBuf};
use bytes::{BufMut, Bytes, BytesMut};

/// The magic byte before a schema's id, as schema registries' serialisers write it.
const SCHEMA_MAGIC: u8 = 0;

/// Changes the chosen records. Which of them it did change, by their number among the chosen, and what was drawn.
pub(super) fn change(fault: &RecordFault, loose: &mut Loose) -> Vec<(usize, Option<String>)> {
    match fault {
        RecordFault::Corrupt(Corruption::Checksum) => damage(loose),
        RecordFault::Duplicate => duplicate(loose),
        RecordFault::Drop => {
            let before = loose.records.len();
            loose.records.retain(|record| record.draws.is_none());
            (0..before - loose.records.len()).map(|number| (number, None)).collect()
        }
        RecordFault::Reorder => reorder(loose),
        RecordFault::CompressionBomb(_) => {
            if loose.header.compression() == Compression::None {
                // the one codec that every client has
                loose.header.set_compression(Compression::Gzip);
            }
            each(fault, loose)
        }
        _ => each(fault, loose),
    }
}

/// Those that change one record after the other.
fn each(fault: &RecordFault, loose: &mut Loose) -> Vec<(usize, Option<String>)> {
    let mut done = Vec::new();
    let chosen = loose.records.iter_mut().filter(|record| record.draws.is_some());
    for (number, record) in chosen.enumerate() {
        let Some(mut draws) = record.draws.clone() else { continue };
        if let Some(drawn) = one(fault, record, &mut draws) {
            done.push((number, drawn));
        }
    }
    done
}

/// `None`: it could not be done to this record.
fn one(fault: &RecordFault, record: &mut LooseRecord, draws: &mut Draws) -> Option<Option<String>> {
    match fault {
        RecordFault::Corrupt(_) => {
            let value = record.value.as_ref().filter(|value| !value.is_empty())?;
            let bit = draws.next_u64() % (value.len() as u64 * 8);
            let mut changed = BytesMut::from(&value[..]);
            *changed.get_mut((bit / 8) as usize)? ^= 1 << (bit % 8);
            record.value = Some(changed.freeze());
            return Some(Some(format!("bit {bit}")));
        }
        RecordFault::Poison(poison) => return self::poison(*poison, record, draws),
        RecordFault::Tombstone => record.value = None,
        RecordFault::StripHeaders => {
            if record.headers.as_headers().is_empty() {
                return None;
            }
            record.headers = HeadersBuf::new();
        }
        RecordFault::SkewTimestamps(by) => {
            record.timestamp_delta = record.timestamp_delta.checked_add(*by)?
        }
        RecordFault::Oversize(size) => {
            let value = record.value.as_ref().filter(|value| value.len() < *size)?;
            let mut grown = BytesMut::with_capacity(*size);
            grown.extend_from_slice(value);
            grown.put_bytes(b' ', size - value.len());
            record.value = Some(grown.freeze());
        }
        RecordFault::CompressionBomb(size) => record.value = Some(vec![0; *size].into()),
        RecordFault::Duplicate | RecordFault::Reorder | RecordFault::Drop => return None,
    }
    Some(None)
}

fn poison(poison: Poison, record: &mut LooseRecord, draws: &mut Draws) -> Option<Option<String>> {
    let value = record.value.clone().unwrap_or_default();
    let (value, drawn) = match poison {
        Poison::TruncatedJson => {
            // of one byte nothing is left, and nothing is no JSON either
            let keep = match value.len() as u64 {
                0 => return None,
                1 => 0,
                length => 1 + draws.next_u64() % (length - 1),
            };
            (value.slice(..keep as usize), Some(format!("{keep} bytes")))
        }
        Poison::BadUtf8 => {
            let at = (draws.next_u64() % (value.len() as u64 + 1)) as usize;
            let mut bad = BytesMut::with_capacity(value.len() + 1);
            bad.extend_from_slice(&value[..at]);
            bad.put_u8(0xff);
            bad.extend_from_slice(&value[at..]);
            (bad.freeze(), Some(format!("byte {at}")))
        }
        Poison::SchemaId(id) => {
            let has_one = value.first() == Some(&SCHEMA_MAGIC) && value.len() >= 5;
            let mut framed = BytesMut::with_capacity(value.len() + 5);
            framed.put_u8(SCHEMA_MAGIC);
            framed.put_i32(id);
            framed.extend_from_slice(if has_one { &value[5..] } else { &value });
            (framed.freeze(), None)
        }
        Poison::RandomBytes(count) => {
            let mut bytes = BytesMut::with_capacity(count + 8);
            while bytes.len() < count {
                bytes.put_u64(draws.next_u64());
            }
            bytes.truncate(count);
            (bytes.freeze(), None)
        }
    };
    record.value = Some(value);
    Some(drawn)
}

/// One bit of the batch: every record in it is lost to who checks.
fn damage(loose: &mut Loose) -> Vec<(usize, Option<String>)> {
    let mut chosen = loose.records.iter_mut().filter_map(|record| record.draws.as_mut());
    let Some(draws) = chosen.next() else { return Vec::new() };
    loose.damage = Some(draws.next_u64());
    (0..1 + chosen.count()).map(|number| (number, None)).collect()
}

/// Each chosen record stands there twice.
fn duplicate(loose: &mut Loose) -> Vec<(usize, Option<String>)> {
    let mut done = 0;
    let mut doubled = Vec::with_capacity(loose.records.len() + 1);
    for record in loose.records.drain(..) {
        if record.draws.is_some() {
            doubled.push(record.clone());
            done += 1;
        }
        doubled.push(record);
    }
    loose.records = doubled;
    (0..done).map(|number| (number, None)).collect()
}

/// The chosen records change their places: what they say, not where they are. One alone has nobody to change with.
fn reorder(loose: &mut Loose) -> Vec<(usize, Option<String>)> {
    let places: Vec<usize> =
        loose.records.iter().enumerate().filter(|(_, r)| r.draws.is_some()).map(|(at, _)| at).collect();
    let Some(mut draws) = places.first().and_then(|at| loose.records[*at].draws.clone()) else {
        return Vec::new();
    };
    if places.len() < 2 {
        return Vec::new();
    }
    let mut order = places.clone();
    for last in (1..order.len()).rev() {
        order.swap(last, (draws.next_u64() % (last as u64 + 1)) as usize);
    }
    if order == places {
        order.rotate_left(1);
    }
    let said: Vec<(Option<Bytes>, Option<Bytes>, HeadersBuf)> = order
        .iter()
        .map(|at| {
            let record = &loose.records[*at];
            (record.key.clone(), record.value.clone(), record.headers.clone())
        })
        .collect();
    for (at, (key, value, headers)) in places.iter().zip(said) {
        let record = &mut loose.records[*at];
        (record.key, record.value, record.headers) = (key, value, headers);
    }
    (0..places.len()).map(|number| (number, None)).collect()
}
