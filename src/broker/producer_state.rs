//! What a partition remembers of its idempotent producers (KIP-98): of each the epoch and the last five batches, so that
//! a retry is recognised and a gap refused.

use std::collections::HashMap;

use crate::wire::ErrorCode;
use crate::wire::api::describe_producers::ProducerState;
use crate::wire::record::BatchHeader;

/// Batches a producer may have in flight, and so may repeat.
const WINDOW: usize = 5;

/// A producer forgotten to make room loses only the recognition of its retries, and whoever knows a partition can
/// write under any number of ids: a partition keeps this many, the least recently heard of go first.
pub(super) const MAX_PRODUCERS: usize = 4096;

/// The producers of one partition.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Producers {
    by_id: HashMap<i64, Producer>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Producer {
    epoch: i16,
    /// The broker's clock at the last append.
    last_heard_ms: i64,
    /// The last of this epoch, oldest first.
    batches: Vec<Batch>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Batch {
    base_sequence: i32,
    last_offset_delta: i32,
    base_offset: i64,
    max_timestamp: i64,
}

/// What an idempotent batch is to the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sequence {
    Next,
    /// It is in the log already.
    Repeated {
        base_offset: i64,
        last_offset: i64,
        max_timestamp: i64,
    },
}

impl Producers {
    /// Compares a batch that has a producer id with what came before it.
    pub fn check(&self, header: &BatchHeader) -> Result<Sequence, ErrorCode> {
        // Of a producer nobody remembers any sequence is taken: what came before may have been deleted.
        let Some(producer) = self.by_id.get(&header.producer_id) else { return Ok(Sequence::Next) };
        if header.producer_epoch < producer.epoch {
            return Err(ErrorCode::INVALID_PRODUCER_EPOCH);
        }
        if header.producer_epoch > producer.epoch {
            return if header.base_sequence == 0 {
                Ok(Sequence::Next)
            } else {
                Err(ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER)
            };
        }
        let same = |batch: &&Batch| {
            batch.base_sequence == header.base_sequence && batch.last_offset_delta == header.last_offset_delta
        };
        if let Some(batch) = producer.batches.iter().rev().find(same) {
            return Ok(Sequence::Repeated {
                base_offset: batch.base_offset,
                last_offset: batch.base_offset + i64::from(batch.last_offset_delta),
                max_timestamp: batch.max_timestamp,
            });
        }
        match producer.batches.last() {
            Some(last) if next_sequence(last) != header.base_sequence => {
                Err(ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER)
            }
            _ => Ok(Sequence::Next),
        }
    }

    /// Remembers a batch that was appended at `base_offset`.
    pub fn appended(&mut self, header: &BatchHeader, base_offset: i64, now_ms: i64) {
        let batch = Batch {
            base_sequence: header.base_sequence,
            last_offset_delta: header.last_offset_delta,
            base_offset,
            max_timestamp: header.max_timestamp,
        };
        if self.by_id.len() >= MAX_PRODUCERS && !self.by_id.contains_key(&header.producer_id) {
            self.forget_the_oldest();
        }
        let producer = self.by_id.entry(header.producer_id).or_insert_with(|| Producer {
            epoch: header.producer_epoch,
            last_heard_ms: now_ms,
            batches: Vec::with_capacity(1),
        });
        if producer.epoch != header.producer_epoch {
            producer.epoch = header.producer_epoch;
            producer.batches.clear();
        }
        producer.last_heard_ms = now_ms;
        if producer.batches.len() == WINDOW {
            producer.batches.remove(0);
        }
        producer.batches.push(batch);
    }

    /// An eighth at a time, so that a crowd of new producers does not pay for each of them.
    fn forget_the_oldest(&mut self) {
        let mut heard: Vec<i64> = self.by_id.values().map(|p| p.last_heard_ms).collect();
        let (_, limit, _) = heard.select_nth_unstable(MAX_PRODUCERS / 8);
        let limit = *limit;
        let mut spare = MAX_PRODUCERS / 8;
        self.by_id.retain(|_, producer| {
            let goes = spare > 0 && producer.last_heard_ms <= limit;
            spare -= usize::from(goes);
            !goes
        });
    }

    /// Forgets producers last heard of before `limit_ms`.
    pub fn expire(&mut self, limit_ms: i64) {
        self.by_id.retain(|_, producer| producer.last_heard_ms >= limit_ms);
        self.by_id.shrink_to_fit();
    }

    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    /// As DescribeProducers shows them, in the order of their ids.
    pub fn describe(&self) -> Vec<ProducerState> {
        let mut all: Vec<ProducerState> =
            self.by_id.iter().map(|(id, producer)| producer.describe(*id)).collect();
        all.sort_unstable_by_key(|producer| producer.producer_id);
        all
    }

    /// For the snapshot; [`Producers::decode`] reads it.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.extend((self.by_id.len() as u32).to_be_bytes());
        for (id, producer) in &self.by_id {
            out.extend(id.to_be_bytes());
            out.extend(producer.epoch.to_be_bytes());
            out.extend(producer.last_heard_ms.to_be_bytes());
            out.push(producer.batches.len() as u8);
            for batch in &producer.batches {
                out.extend(batch.base_sequence.to_be_bytes());
                out.extend(batch.last_offset_delta.to_be_bytes());
                out.extend(batch.base_offset.to_be_bytes());
                out.extend(batch.max_timestamp.to_be_bytes());
            }
        }
    }

    /// Reads what [`Producers::encode`] wrote and moves `bytes` past it. `None` when it is something else.
    pub fn decode(bytes: &mut &[u8]) -> Option<Self> {
        let count = u32::from_be_bytes(take(bytes)?);
        let mut by_id = HashMap::new();
        for _ in 0..count {
            let id = i64::from_be_bytes(take(bytes)?);
            let epoch = i16::from_be_bytes(take(bytes)?);
            let last_heard_ms = i64::from_be_bytes(take(bytes)?);
            let [len] = take(bytes)?;
            let mut batches = Vec::with_capacity(usize::from(len).min(WINDOW));
            for _ in 0..len {
                batches.push(Batch {
                    base_sequence: i32::from_be_bytes(take(bytes)?),
                    last_offset_delta: i32::from_be_bytes(take(bytes)?),
                    base_offset: i64::from_be_bytes(take(bytes)?),
                    max_timestamp: i64::from_be_bytes(take(bytes)?),
                });
            }
            by_id.insert(id, Producer { epoch, last_heard_ms, batches });
        }
        Some(Producers { by_id })
    }
}

impl Producer {
    fn describe(&self, producer_id: i64) -> ProducerState {
        let last = self.batches.last();
        ProducerState {
            producer_id,
            producer_epoch: i32::from(self.epoch),
            last_sequence: last.map_or(-1, last_sequence),
            last_timestamp: last.map_or(-1, |batch| batch.max_timestamp),
            coordinator_epoch: -1,
            current_txn_start_offset: -1,
            ..Default::default()
        }
    }
}

/// The sequence of a batch's last record; it goes from `i32::MAX` back to 0.
fn last_sequence(batch: &Batch) -> i32 {
    let last = batch.base_sequence as u32 + batch.last_offset_delta.max(0) as u32;
    (last & i32::MAX as u32) as i32
}

/// The sequence after a batch; it goes from `i32::MAX` back to 0.
fn next_sequence(batch: &Batch) -> i32 {
    let last = batch.base_sequence as u32 + batch.last_offset_delta.max(0) as u32;
    ((last.wrapping_add(1)) & i32::MAX as u32) as i32
}

pub(super) fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (first, rest) = bytes.split_first_chunk::<N>()?;
    *bytes = rest;
    Some(*first)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(id: i64, epoch: i16, sequence: i32, count: i32) -> BatchHeader {
        BatchHeader {
            producer_id: id,
            producer_epoch: epoch,
            base_sequence: sequence,
            last_offset_delta: count - 1,
            record_count: count,
            max_timestamp: 77,
            ..BatchHeader::default()
        }
    }

    fn append(producers: &mut Producers, header: BatchHeader, offset: i64) {
        assert_eq!(producers.check(&header), Ok(Sequence::Next));
        producers.appended(&header, offset, 0);
    }

    #[test]
    fn the_last_five_batches_are_recognised() {
        let mut producers = Producers::default();
        for n in 0..7 {
            append(&mut producers, batch(1, 0, n, 1), i64::from(n));
        }
        for n in 2..7 {
            let repeated = Sequence::Repeated {
                base_offset: i64::from(n),
                last_offset: i64::from(n),
                max_timestamp: 77,
            };
            assert_eq!(producers.check(&batch(1, 0, n, 1)), Ok(repeated));
        }
        for wrong in [batch(1, 0, 1, 1), batch(1, 0, 8, 1), batch(1, 0, 6, 2), batch(1, 1, 3, 1)] {
            assert_eq!(producers.check(&wrong), Err(ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER));
        }
    }

    #[test]
    fn epochs_go_up_only_and_begin_at_zero() {
        let mut producers = Producers::default();
        append(&mut producers, batch(1, 3, 0, 2), 0);
        assert_eq!(producers.check(&batch(1, 2, 2, 1)), Err(ErrorCode::INVALID_PRODUCER_EPOCH));
        append(&mut producers, batch(1, 4, 0, 1), 2);
        assert_eq!(producers.check(&batch(1, 4, 1, 1)), Ok(Sequence::Next));
        assert_eq!(producers.check(&batch(1, 3, 0, 2)), Err(ErrorCode::INVALID_PRODUCER_EPOCH));
    }

    #[test]
    fn sequences_wrap() {
        let mut producers = Producers::default();
        append(&mut producers, batch(1, 0, i32::MAX - 1, 2), 0);
        append(&mut producers, batch(1, 0, 0, 1), 2);
        append(&mut producers, batch(2, 0, i32::MAX, 3), 3);
        assert_eq!(producers.check(&batch(2, 0, 2, 1)), Ok(Sequence::Next));
    }

    #[test]
    fn a_crowd_of_producers_is_bounded_and_the_oldest_go_first() {
        let mut producers = Producers::default();
        for id in 0..(MAX_PRODUCERS as i64 * 2) {
            producers.appended(&batch(id, 0, 0, 1), id, id);
        }
        assert!(producers.len() <= MAX_PRODUCERS);
        let last = MAX_PRODUCERS as i64 * 2 - 1;
        assert!(matches!(producers.check(&batch(last, 0, 0, 1)), Ok(Sequence::Repeated { .. })));
        assert_eq!(producers.check(&batch(0, 0, 0, 1)), Ok(Sequence::Next));
        producers.expire(last);
        assert_eq!(producers.len(), 1);
    }

    #[test]
    fn a_snapshot_reads_back_and_a_cut_one_is_refused() {
        let mut producers = Producers::default();
        for n in 0..9 {
            append(&mut producers, batch(n % 3, 0, (n / 3) as i32, 1), n);
        }
        let mut bytes = Vec::new();
        producers.encode(&mut bytes);
        assert_eq!(Producers::decode(&mut bytes.as_slice()).as_ref(), Some(&producers));
        for cut in 0..bytes.len() {
            assert_eq!(Producers::decode(&mut &bytes[..cut]), None);
        }
    }
}
