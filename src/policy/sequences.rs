//! Sequence numbers of idempotent producers (KIP-98) whose batches lost or gained records on their way.
//!
//! A producer numbers its records, and its broker takes no batch that leaves a number out. Where a rule drops, doubles or
//! routes away records, the batches behind are renumbered, for as long as the producer's epoch lasts; and a batch that is sent again is
//! changed again in the same way, so that its broker knows it. Kept in memory, for at most [`PRODUCERS`] of a partition each:
//! one that is forgotten meets OUT_OF_ORDER_SEQUENCE_NUMBER, on which producers begin a new epoch. All are with the process: a batch that
//! is sent again after a restart goes on under the number that it has, and its broker may refuse it, or take it for a new one.

use super::identity::Sequenced;
use super::lru::Lru;
use super::random::identity;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Producers remembered, each of one partition.
pub const PRODUCERS: usize = 65_536;
/// Changed batches of a producer that may come again. Five are in flight at most.
const CHANGED: usize = 16;
/// Sequence numbers wrap to zero after 2^31 - 1.
const MODULUS: i64 = 1 << 31;

/// What was done to the records of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recounted {
    pub how: How,
    /// Which records, by their place, in ascending order.
    pub records: Vec<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    Dropped,
    Doubled,
    /// So many are gone to another topic: `policy::letters` knows which.
    Routed(usize),
}

/// A producer of a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Numberer(u128);

/// All of them.
pub struct Sequences {
    producers: Mutex<Lru<Numberer, Producer>>,
    /// Whether there is any: else nobody's batches are looked at.
    active: AtomicBool,
    forgotten: AtomicU64,
}

#[derive(Default)]
struct Producer {
    /// Records more (or fewer, below zero) that are stored than were sent, of changed batches that cannot come again.
    before: i64,
    changed: VecDeque<Changed>,
}

struct Changed {
    base: i32,
    /// Records more that are stored than were sent.
    more: i64,
    what: Arc<[Recounted]>,
}

impl std::fmt::Debug for Sequences {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Sequences({})", self.lock().len())
    }
}

impl Default for Sequences {
    fn default() -> Self {
        Self {
            producers: Mutex::new(Lru::new(PRODUCERS)),
            active: AtomicBool::new(false),
            forgotten: AtomicU64::new(0),
        }
    }
}

impl Numberer {
    /// `None` for a producer that does not number its records.
    pub fn of(sent: &Sequenced, topic: &str, partition: i32) -> Option<Self> {
        if sent.producer_id < 0 || sent.base_sequence < 0 {
            return None;
        }
        let fields: [&[u8]; 4] = [
            &sent.producer_id.to_le_bytes(),
            &sent.producer_epoch.to_le_bytes(),
            topic.as_bytes(),
            &partition.to_le_bytes(),
        ];
        Some(Self(identity(fields)))
    }
}

impl Sequences {
    /// Whether any producer's batches must be renumbered.
    pub fn is_active(&self) -> bool {
        self.active.load(Ordering::Acquire)
    }

    /// Producers that had to be forgotten.
    pub fn forgotten(&self) -> u64 {
        self.forgotten.load(Ordering::Relaxed)
    }

    /// What was done to a batch when it was sent before.
    pub fn known(&self, who: Numberer, base: i32) -> Option<Arc<[Recounted]>> {
        let mut producers = self.lock();
        let producer = producers.get_mut(&who)?;
        producer.changed.iter().find(|batch| batch.base == base).map(|batch| Arc::clone(&batch.what))
    }

    /// Remembers what is done to a batch now, which stores so many records more than were sent. Whatever had these numbers before
    /// was not stored, or was this.
    pub fn change(&self, who: Numberer, base: i32, more: i64, what: Vec<Recounted>) {
        let mut producers = self.lock();
        let (producer, forgotten) = producers.get_or_insert_with(who, Producer::default);
        producer.changed.retain(|batch| batch.base != base);
        if producer.changed.len() == CHANGED
            && let Some(oldest) = producer.changed.pop_front()
        {
            producer.before += oldest.more;
        }
        producer.changed.push_back(Changed { base, more, what: what.into() });
        if forgotten.is_some() {
            self.forgotten.fetch_add(1, Ordering::Relaxed);
        }
        self.active.store(true, Ordering::Release);
    }

    /// A batch was not executed: its numbers are as if it had not come.
    pub fn forget(&self, who: Numberer, base: i32) {
        if let Some(producer) = self.lock().get_mut(&who) {
            producer.changed.retain(|batch| batch.base != base);
        }
    }

    /// The number that a batch goes on with.
    pub fn forwarded(&self, who: Numberer, base: i32) -> i32 {
        let mut producers = self.lock();
        let Some(producer) = producers.get_mut(&who) else { return base };
        let earlier = producer.changed.iter().filter(|batch| is_before(batch.base, base));
        let shift = producer.before + earlier.map(|batch| batch.more).sum::<i64>();
        // the remainder is in the range of a number
        (i64::from(base) + shift).rem_euclid(MODULUS) as i32
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Lru<Numberer, Producer>> {
        self.producers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Of two numbers of one producer that are not far apart.
fn is_before(a: i32, b: i32) -> bool {
    let distance = (i64::from(b) - i64::from(a)).rem_euclid(MODULUS);
    distance != 0 && distance < MODULUS / 2
}

#[cfg(test)]
mod tests {
    use super::*;

    fn who(producer_id: i64) -> Numberer {
        let sent = Sequenced { producer_id, producer_epoch: 0, base_sequence: 0, crc: 0, length: 0 };
        Numberer::of(&sent, "t", 0).unwrap()
    }

    fn dropped(records: &[usize]) -> Vec<Recounted> {
        vec![Recounted { how: How::Dropped, records: records.to_vec() }]
    }

    #[test]
    fn batches_behind_a_changed_one_are_renumbered() {
        let sequences = Sequences::default();
        assert!(!sequences.is_active());
        sequences.change(who(1), 10, -2, dropped(&[0, 3]));
        assert!(sequences.is_active());
        let forwarded = |base| sequences.forwarded(who(1), base);
        assert_eq!([0, 5, 10, 15, 20].map(forwarded), [0, 5, 10, 13, 18]);
        sequences.change(who(1), 15, 5, vec![Recounted { how: How::Doubled, records: vec![0] }]);
        assert_eq!([5, 10, 15, 20].map(forwarded), [5, 10, 13, 23], "what is sent again keeps its number");
        assert_eq!(sequences.forwarded(who(2), 20), 20, "another producer");
        assert_eq!(sequences.known(who(1), 10).as_deref(), Some(&dropped(&[0, 3])[..]));
        assert_eq!(sequences.known(who(1), 20), None);
    }

    #[test]
    fn what_was_not_executed_does_not_count() {
        let sequences = Sequences::default();
        sequences.change(who(1), 10, -2, dropped(&[0, 3]));
        sequences.change(who(1), 10, -1, dropped(&[0]));
        assert_eq!(sequences.forwarded(who(1), 20), 19, "it came again, and another way");
        sequences.forget(who(1), 10);
        assert_eq!((sequences.forwarded(who(1), 20), sequences.known(who(1), 10)), (20, None));
    }

    #[test]
    fn what_cannot_come_again_still_counts() {
        let sequences = Sequences::default();
        for n in 0..100 {
            sequences.change(who(1), n * 10, -1, dropped(&[0]));
        }
        assert_eq!(sequences.forwarded(who(1), 1_000), 900);
        assert_eq!(sequences.known(who(1), 0), None);
    }

    #[test]
    fn numbers_wrap() {
        let sequences = Sequences::default();
        sequences.change(who(1), i32::MAX - 4, 3, Vec::new());
        assert_eq!(sequences.forwarded(who(1), i32::MAX), 2);
        assert_eq!(sequences.forwarded(who(1), 0), 3, "which comes behind it");
        sequences.change(who(2), i32::MAX, -1, Vec::new());
        assert_eq!(sequences.forwarded(who(2), 0), i32::MAX);
    }

    #[test]
    fn producers_are_bounded() {
        let sequences = Sequences::default();
        for id in 0..PRODUCERS as i64 + 10 {
            sequences.change(who(id), 0, -1, Vec::new());
        }
        assert_eq!((sequences.lock().len(), sequences.forgotten()), (PRODUCERS, 10));
        assert!(
            Numberer::of(
                &Sequenced { producer_id: -1, producer_epoch: -1, base_sequence: -1, crc: 0, length: 0 },
                "t",
                0
            )
            .is_none()
        );
    }

    #[test]
    fn who_does_not_number_records_is_not_renumbered() {
        let of = |producer_id, base_sequence| {
            let sent = Sequenced { producer_id, producer_epoch: 0, base_sequence, crc: 0, length: 0 };
            Numberer::of(&sent, "t", 0).is_some()
        };
        assert_eq!([of(7, 0), of(0, 5), of(-1, 0), of(7, -1), of(-1, -1)], [true, true, false, false, false]);
        assert_eq!(format!("{:?}", Sequences::default()), "Sequences(0)");
    }
}
