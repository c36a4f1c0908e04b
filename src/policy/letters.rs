//! Which records of which batches went to dead-letter topics: memory that keeps a batch that is sent again from putting them
//! there twice.
//!
//! A producer that hears nothing sends its batch again, and its broker knows the batch by its numbers (KIP-98). The part of it
//! that went to another topic has no such number there: Kafka numbers by producer and partition without gaps, and a gateway that
//! borrowed the client's producer id for the dead-letter topic would after a restart begin at a number that the topic has seen,
//! whereupon its broker drops records as repeated. A producer id of its own for each batch would do, and fill the
//! brokers' memory. So the gateway remembers: for every numbering producer of a partition its last [`BATCHES`] batches of which
//! something was routed, by epoch, first number and a keyed hash of the content, which nobody can forge. What has
//! arrived is not sent again; what is under way is waited for.
//!
//! Where the broker did not store the rest of a batch (an earlier one is missing), a producer may send it under other numbers,
//! or another epoch: then it is known by its content, for nobody else's can be meant.
//!
//! What this does not cover, and where letters arrive twice, with equal [`PRODUCER_HEADER`](super::action::route::PRODUCER_HEADER)s to
//! tell: a process that ends between the two produces, as the producer sends its batch again to a gateway that knows nothing; what was
//! forgotten; letters whose own produce was not answered; a batch of which some letters had arrived when the rules changed, or that its
//! producer split in two because its broker refused it. A producer that does not number its records writes at least once, here as
//! anywhere. A new process does not know either by how much it has to renumber (`policy::sequences`).

use super::generation::Shared;
use super::identity::Sequenced;
use super::lru::Lru;
use super::random::identity;
use super::sequences::{Numberer, Sequences};
use crate::wire::record::{BATCH_OVERHEAD, BatchHeader};
use siphasher::sip128::{Hasher128, SipHasher24};
use std::collections::VecDeque;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;

/// Producers remembered, each of one partition.
pub const PRODUCERS: usize = 65_536;
/// Batches of each. Five are in flight at most.
const BATCHES: usize = 16;
/// What all of it may take, about.
const BYTES: usize = 32 << 20;

/// All that is remembered.
pub struct Letters {
    store: Mutex<Store>,
    /// Whether there is any.
    active: AtomicBool,
    key: (u64, u64),
}

struct Store {
    producers: Lru<u128, VecDeque<Known>>,
    bytes: usize,
}

struct Known {
    epoch: i16,
    base_sequence: i32,
    content: u128,
    passage: Arc<Passage>,
}

/// A batch as its sender numbers it.
#[derive(Debug, Clone, Copy)]
pub struct Numbered {
    /// Of the producer id, topic and partition: whatever the epoch.
    sender: u128,
    numberer: Numberer,
    epoch: i16,
    base_sequence: i32,
}

/// What one batch of letters is: where it goes, and which records of the batch it has. Rules that change, and reasons of
/// other lengths, make other batches of the same records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bundle(u128);

/// What was taken out of one batch, and how far it has come.
#[derive(Debug)]
pub struct Passage {
    /// The records, by their places in the batch, in ascending order.
    pub records: Arc<[u32]>,
    state: watch::Sender<State>,
    /// Of the letters' batches those that have arrived, each by its topic and records.
    arrived: Mutex<Vec<u128>>,
    /// The broker did not store the rest.
    refused: AtomicBool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    UnderWay,
    Arrived,
    Lost,
}

/// What is known of a batch.
pub enum Memory {
    /// All of its letters have arrived, or are under way. `refused`: and its broker did not store the rest.
    Sent { passage: Arc<Passage>, refused: bool },
    /// Some have, and then it went wrong.
    Begun(Arc<Passage>),
}

impl std::fmt::Debug for Letters {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Letters({})", self.lock().producers.len())
    }
}

impl Default for Letters {
    fn default() -> Self {
        let random = RandomState::new();
        Self {
            store: Mutex::new(Store { producers: Lru::new(PRODUCERS), bytes: 0 }),
            active: AtomicBool::new(false),
            key: (random.hash_one(0), random.hash_one(1)),
        }
    }
}

impl Numbered {
    /// None for a producer that does not number its records.
    pub fn of(sent: &Sequenced, topic: &str, partition: i32) -> Option<Self> {
        let numberer = Numberer::of(sent, topic, partition)?;
        let fields: [&[u8]; 3] =
            [&sent.producer_id.to_le_bytes(), topic.as_bytes(), &partition.to_le_bytes()];
        Some(Self {
            sender: identity(fields),
            numberer,
            epoch: sent.producer_epoch,
            base_sequence: sent.base_sequence,
        })
    }

    /// The batch is not stored: its numbers are as if it had not come.
    pub fn forget(&self, sequences: &Sequences) {
        sequences.forget(self.numberer, self.base_sequence);
    }
}

impl Bundle {
    pub fn of(topic: &str, records: &[u32]) -> Self {
        let records: Vec<u8> = records.iter().flat_map(|at| at.to_le_bytes()).collect();
        Self(identity([topic.as_bytes(), &records]))
    }
}

impl Letters {
    /// Whether anything was ever routed.
    pub fn is_active(&self) -> bool {
        self.active.load(Ordering::Acquire)
    }

    /// What is known of a batch. Its content is looked at only where its numbers, or a refusal, make it worth it.
    pub fn known(&self, batch: &Numbered, payload: &[u8]) -> Option<Memory> {
        if !self.is_active() {
            return None;
        }
        self.lock().candidates(batch).next()?;
        // a payload may be large, and everybody's produces wait for the lock
        let content = self.content(payload);
        let mut store = self.lock();
        let known = store.candidates(batch).find(|known| known.content == content)?;
        (known.epoch, known.base_sequence) = (batch.epoch, batch.base_sequence);
        let passage = Arc::clone(&known.passage);
        match *passage.state.borrow() {
            State::UnderWay | State::Arrived => {}
            State::Lost => return Some(Memory::Begun(Arc::clone(&passage))),
        }
        let refused = passage.refused.load(Ordering::Acquire);
        Some(Memory::Sent { passage, refused })
    }

    /// What a batch says, without its numbers: two are equal only when one is the other, sent again.
    fn content(&self, payload: &[u8]) -> u128 {
        let mut hasher = SipHasher24::new_with_keys(self.key.0, self.key.1);
        if let Ok(header) = BatchHeader::parse(payload) {
            hasher.write_i16(header.attributes);
            hasher.write_i64(header.base_timestamp);
            hasher.write_i64(header.max_timestamp);
            hasher.write_i32(header.record_count);
        }
        hasher.write(payload.get(BATCH_OVERHEAD..).unwrap_or_default());
        hasher.finish128().as_u128()
    }

    fn lock(&self) -> MutexGuard<'_, Store> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store {
    /// Batches that a batch may be, should their content be the same.
    fn candidates(&mut self, batch: &Numbered) -> impl Iterator<Item = &mut Known> {
        let batches = self.producers.get_mut(&batch.sender).into_iter().flatten();
        let numbers = (batch.epoch, batch.base_sequence);
        batches.filter(move |known| {
            (known.epoch, known.base_sequence) == numbers || known.passage.refused.load(Ordering::Acquire)
        })
    }

    fn put(&mut self, sender: u128, known: Known) {
        self.bytes += known.bytes();
        let numbers = (known.epoch, known.base_sequence);
        let (batches, forgotten) = self.producers.get_or_insert_with(sender, VecDeque::new);
        // numbers stand for one batch at a time
        if let Some(at) = batches.iter().position(|other| (other.epoch, other.base_sequence) == numbers) {
            self.bytes -= batches.remove(at).map_or(0, |known| known.bytes());
        }
        if batches.len() == BATCHES {
            self.bytes -= batches.pop_front().map_or(0, |known| known.bytes());
        }
        batches.push_back(known);
        self.bytes -= forgotten.map_or(0, |(_, batches)| bytes(&batches));
        while self.bytes > BYTES && self.producers.len() > 1 {
            self.bytes -= self.producers.pop_oldest().map_or(0, |batches| bytes(&batches));
        }
    }

    fn take(&mut self, sender: u128, passage: &Arc<Passage>) {
        let Some(batches) = self.producers.get_mut(&sender) else { return };
        let before = bytes(batches);
        batches.retain(|known| !Arc::ptr_eq(&known.passage, passage));
        self.bytes -= before - bytes(batches);
    }
}

fn bytes(batches: &VecDeque<Known>) -> usize {
    batches.iter().map(Known::bytes).sum()
}

impl Known {
    /// What it takes, about.
    fn bytes(&self) -> usize {
        192 + self.passage.records.len() * size_of::<u32>()
    }
}

impl Passage {
    /// Waits until it is settled. True: all has arrived.
    pub async fn arrived(&self) -> bool {
        let mut state = self.state.subscribe();
        match state.wait_for(|state| *state != State::UnderWay).await {
            Ok(state) => *state == State::Arrived,
            Err(_) => false,
        }
    }

    /// What the broker said of the rest: it is stored, it is not, or (`None`) nobody knows.
    pub fn rest(&self, stored: Option<bool>) {
        if let Some(stored) = stored {
            self.refused.store(!stored, Ordering::Release);
        }
    }

    fn bundles(&self) -> MutexGuard<'_, Vec<u128>> {
        self.arrived.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Carries the letters of a numbered batch. Dropped before they have arrived they are lost: the batch's numbers
/// are as if it had not come, and what has arrived is remembered.
pub struct Carrier {
    shared: Arc<Shared>,
    batch: Numbered,
    passage: Arc<Passage>,
    /// How it ended is said already.
    settled: AtomicBool,
}

impl std::fmt::Debug for Carrier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Carrier({:?})", self.passage)
    }
}

impl Carrier {
    /// Takes over the letters of these records. `begun`: what an earlier attempt left.
    pub fn begin(
        shared: &Arc<Shared>,
        batch: Numbered,
        payload: &[u8],
        records: Arc<[u32]>,
        begun: Option<Arc<Passage>>,
    ) -> Self {
        let letters = &shared.letters;
        let passage = match begun {
            Some(passage) => {
                passage.state.send_replace(State::UnderWay);
                passage
            }
            None => {
                shared.sequences.forget(batch.numberer, batch.base_sequence);
                let content = letters.content(payload);
                let passage = Arc::new(Passage {
                    records,
                    state: watch::Sender::new(State::UnderWay),
                    arrived: Mutex::default(),
                    refused: AtomicBool::new(false),
                });
                let known = Known {
                    epoch: batch.epoch,
                    base_sequence: batch.base_sequence,
                    content,
                    passage: Arc::clone(&passage),
                };
                letters.lock().put(batch.sender, known);
                letters.active.store(true, Ordering::Release);
                passage
            }
        };
        Self { shared: Arc::clone(shared), batch, passage, settled: AtomicBool::new(false) }
    }

    pub fn passage(&self) -> &Arc<Passage> {
        &self.passage
    }

    /// Whether a batch need not be sent any more.
    pub fn has_arrived(&self, bundle: Bundle) -> bool {
        self.passage.bundles().contains(&bundle.0)
    }

    /// One more batch has arrived.
    pub fn one_arrived(&self, bundle: Bundle) {
        self.passage.bundles().push(bundle.0);
    }

    /// All have.
    pub fn all_arrived(&self) {
        if !self.settled.swap(true, Ordering::AcqRel) {
            // nobody will ask which
            *self.passage.bundles() = Vec::new();
            self.passage.state.send_replace(State::Arrived);
        }
    }

    /// The rest will not: whoever waits for them waits no longer.
    pub fn lost(&self) {
        if self.settled.swap(true, Ordering::AcqRel) {
            return;
        }
        self.batch.forget(&self.shared.sequences);
        if self.passage.bundles().is_empty() {
            self.shared.letters.lock().take(self.batch.sender, &self.passage);
        }
        self.passage.state.send_replace(State::Lost);
    }
}

impl Drop for Carrier {
    fn drop(&mut self) {
        self.lost();
    }
}

#[cfg(test)]
mod tests {
    use super::super::generation::Settings;
    use super::*;

    fn batch(epoch: i16, base_sequence: i32) -> Numbered {
        let sent = Sequenced { producer_id: 7, producer_epoch: epoch, base_sequence, crc: 0, length: 0 };
        Numbered::of(&sent, "t", 0).unwrap()
    }

    fn sent(shared: &Shared, batch: &Numbered, payload: &[u8]) -> bool {
        matches!(shared.letters.known(batch, payload), Some(Memory::Sent { .. }))
    }

    fn begin(shared: &Arc<Shared>, batch: Numbered, payload: &[u8]) -> Carrier {
        Carrier::begin(shared, batch, payload, Arc::from([0]), None)
    }

    #[test]
    fn what_has_arrived_or_is_under_way_is_known_by_its_numbers_and_content() {
        let shared = Shared::new(Settings::default());
        assert!(!sent(&shared, &batch(0, 0), b"a"));
        let carrier = begin(&shared, batch(0, 0), b"a");
        assert!(sent(&shared, &batch(0, 0), b"a"));
        carrier.all_arrived();
        drop(carrier);
        assert!(sent(&shared, &batch(0, 0), b"a"));
        let long = |last: u8| [vec![0; BATCH_OVERHEAD], vec![last]].concat();
        begin(&shared, batch(0, 1), &long(1)).all_arrived();
        assert!(sent(&shared, &batch(0, 1), &long(1)));
        assert!(!sent(&shared, &batch(0, 1), &long(2)), "another content under the same numbers");
        assert!(!sent(&shared, &batch(0, 2), &long(1)), "the same content under other numbers");
        assert!(!sent(&shared, &batch(1, 1), &long(1)), "or in another epoch");
    }

    #[test]
    fn what_its_broker_refused_is_known_by_its_content() {
        let shared = Shared::new(Settings::default());
        let carrier = begin(&shared, batch(0, 5), b"a");
        carrier.all_arrived();
        carrier.passage().rest(Some(false));
        assert!(sent(&shared, &batch(1, 0), b"a"), "in a new epoch");
        carrier.passage().rest(None);
        carrier.passage().rest(Some(true));
        assert!(!sent(&shared, &batch(1, 9), b"a"), "which is stored now: this is its twin");
        assert!(sent(&shared, &batch(1, 0), b"a"));
    }

    #[test]
    fn what_was_lost_is_forgotten_but_for_what_had_arrived() {
        let shared = Shared::new(Settings::default());
        drop(begin(&shared, batch(0, 0), b"a"));
        assert!(shared.letters.known(&batch(0, 0), b"a").is_none());
        let carrier = begin(&shared, batch(0, 0), b"a");
        carrier.one_arrived(Bundle::of("dlq", &[0]));
        drop(carrier);
        let Some(Memory::Begun(passage)) = shared.letters.known(&batch(0, 0), b"a") else { panic!() };
        let again = Carrier::begin(&shared, batch(0, 0), b"a", Arc::from([0]), Some(passage));
        assert!(again.has_arrived(Bundle::of("dlq", &[0])));
        assert!(
            !again.has_arrived(Bundle::of("other", &[0])),
            "what went to another topic is another letter"
        );
        assert!(!again.has_arrived(Bundle::of("dlq", &[0, 1])), "as is what has more records");
        assert!(sent(&shared, &batch(0, 0), b"a"));
    }

    #[test]
    fn a_carrier_that_has_settled_says_nothing_more() {
        let shared = Shared::new(Settings::default());
        let first = begin(&shared, batch(0, 0), b"a");
        first.one_arrived(Bundle::of("dlq", &[0]));
        first.lost();
        let Some(Memory::Begun(passage)) = shared.letters.known(&batch(0, 0), b"a") else { panic!() };
        let again = Carrier::begin(&shared, batch(0, 0), b"a", Arc::from([0]), Some(passage));
        drop(first);
        assert!(sent(&shared, &batch(0, 0), b"a"), "the second attempt is under way");
        drop(again);
        assert!(!sent(&shared, &batch(0, 0), b"a"));
    }

    #[test]
    fn batches_are_bounded() {
        let shared = Shared::new(Settings::default());
        for n in 0..100 {
            begin(&shared, batch(0, n), b"a").all_arrived();
        }
        assert!(!sent(&shared, &batch(0, 83), b"a") && sent(&shared, &batch(0, 84), b"a"));
    }

    #[test]
    fn memory_is_bounded_in_bytes() {
        let shared = Shared::new(Settings::default());
        for n in 0..60 {
            let sent = Sequenced { producer_id: n, producer_epoch: 0, base_sequence: 0, crc: 0, length: 0 };
            let batch = Numbered::of(&sent, "t", 0).unwrap();
            let records = Arc::from((0..1 << 18).collect::<Vec<u32>>());
            Carrier::begin(&shared, batch, b"a", records, None).all_arrived();
        }
        let store = shared.letters.lock();
        let held: usize = (1 << 20) + 192;
        assert_eq!((store.producers.len(), store.bytes), (31, 31 * held));
    }

    #[tokio::test]
    async fn who_waits_hears_how_it_ended() {
        let shared = Shared::new(Settings::default());
        for arrives in [true, false] {
            let carrier = begin(&shared, batch(0, 0), b"a");
            let passage = Arc::clone(carrier.passage());
            let waiting = tokio::spawn(async move { passage.arrived().await });
            if arrives {
                carrier.all_arrived();
            }
            drop(carrier);
            assert_eq!(waiting.await.unwrap(), arrives);
        }
    }

    #[test]
    fn what_is_held_is_counted() {
        let shared = Shared::new(Settings::default());
        let content = |n: usize| vec![n as u8; BATCH_OVERHEAD + n];
        for n in 0..BATCHES + 3 {
            begin(&shared, batch(0, n as i32), &content(n)).all_arrived();
        }
        // the same numbers again, and one that is lost
        begin(&shared, batch(0, 9), &content(200)).all_arrived();
        drop(begin(&shared, batch(0, 500), &content(50)));
        let mut store = shared.letters.store.lock().unwrap();
        let mut held = 0;
        while let Some(batches) = store.producers.pop_oldest() {
            held += bytes(&batches);
        }
        assert!(held > 0);
        assert_eq!(store.bytes, held);
    }

    #[test]
    fn producers_are_bounded_and_what_they_held_is_given_back() {
        let shared = Shared::new(Settings::default());
        let of = |producer_id: usize| {
            let producer_id = producer_id as i64;
            let sent = Sequenced { producer_id, producer_epoch: 0, base_sequence: 0, crc: 0, length: 0 };
            Numbered::of(&sent, "t", 0).unwrap()
        };
        for producer in 0..PRODUCERS + 10 {
            begin(&shared, of(producer), b"a").all_arrived();
        }
        let store = shared.letters.lock();
        let one = 192 + size_of::<u32>();
        assert_eq!((store.producers.len(), store.bytes), (PRODUCERS, PRODUCERS * one));
    }

    #[test]
    fn the_only_producer_is_not_forgotten_however_much_it_holds() {
        let shared = Shared::new(Settings::default());
        let records = Arc::from(vec![0; BYTES / size_of::<u32>() + 1]);
        Carrier::begin(&shared, batch(0, 0), b"a", records, None).all_arrived();
        assert!(sent(&shared, &batch(0, 0), b"a"));
    }
}
