//! What an event is, so that a draw about it can be made again.
//!
//! A subject is (principal, client id, api, what the api is about). Each subject counts its own events, so
//! that what one client meets does not depend on what others do meanwhile. Events are counted before any selector is
//! looked at, and each rule counts from its own birth (the generation that brought it): what it draws does not
//! depend on which other rules there are, or were before it. (But for one thing: of a batch that was sent before a
//! rule was born and is sent again after it, the rule knows the earlier attempts if another rule counted them.)
//! Counters live as long as the process: they survive reconnects and reloads. At most [`SUBJECTS`] are remembered; one that had to go
//! starts again at zero, which is counted and told to the journal.

use super::lru::Lru;
use super::random::{Event, identity};
use std::collections::{BTreeSet, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::ops::Bound;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// Subjects remembered, over all shards.
pub const SUBJECTS: usize = 65_536;
const SHARDS: usize = 64;
/// Produced batches of a subject among which a retry is recognised.
const RING: usize = 16;
/// Births of rules that a subject tells apart; of more, those between the first and the last count from later on.
const BIRTHS: usize = 64;
/// Rules that keep a count in one subject; more cannot be, and then the first of them starts again.
const RULES_PER_SUBJECT: usize = 1_024;

/// Security and chaos count apart: a rule that protects must not move what a fault draws. So do requests and their replies:
/// nor must a rule that changes what replies say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Side {
    Security,
    Chaos,
    /// Chaos, of what is about a reply (but a fetch's, whose events are places in a log).
    Reply,
}

impl Side {
    /// Its place where security has one and chaos another.
    pub fn slot(self) -> usize {
        match self {
            Self::Security => 0,
            Self::Chaos | Self::Reply => 1,
        }
    }
}

/// What is acted on, before it is hashed.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    pub side: Side,
    pub principal: &'a str,
    pub client_id: &'a str,
    pub api: &'a str,
    /// The kind of thing ("topic", "group", "transactional-id", ...); empty for what is about nothing.
    pub kind: &'a str,
    pub name: &'a str,
    pub partition: i32,
}

impl Subject<'_> {
    pub fn id(&self) -> u128 {
        identity([
            match self.side {
                Side::Security => b"s".as_slice(),
                Side::Chaos => b"c",
                Side::Reply => b"r",
            },
            self.principal.as_bytes(),
            self.client_id.as_bytes(),
            self.api.as_bytes(),
            self.kind.as_bytes(),
            self.name.as_bytes(),
            &self.partition.to_le_bytes(),
        ])
    }
}

impl std::fmt::Display for Subject<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {} {}", self.principal, self.client_id, self.api)?;
        match self.kind {
            "" => Ok(()),
            "topic" => write!(f, " {}-{}", self.name, self.partition),
            kind => write!(f, " {kind}:{}", self.name),
        }
    }
}

/// The identity of a record as fetched: the same for whoever reads it.
pub fn fetched_record(topic: &str, partition: i32, offset: i64) -> Event {
    let subject = identity([b"record".as_slice(), topic.as_bytes(), &partition.to_le_bytes()]);
    Event { subject, ordinal: offset as u64, attempt: 0 }
}

/// An event as it was met: which one of its subject, and how often before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Met {
    pub subject: u128,
    pub ordinal: u64,
    pub repeat: Repeat,
}

/// How an event that comes again is told from a new one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repeat {
    /// Known for all rules: the batch was met so often before.
    Attempt(u32),
    /// Known by each rule: the ordinal is a place (a fetch offset) and what counts is how often this
    /// rule fired there in a row.
    Place,
}

impl State {
    /// An event comes that rules born up to `born` can meet.
    fn arrive(&mut self, born: u64) {
        if self.starts.last().is_none_or(|(known, _)| *known < born) {
            if self.starts.len() == BIRTHS {
                self.starts.remove(1);
            }
            self.starts.push((born, self.next));
        }
    }

    /// Where the count of a rule born then begins.
    fn start(&self, born: u64) -> u64 {
        self.starts.iter().find(|(known, _)| *known >= born).map_or(0, |(_, next)| *next)
    }
}

impl Met {
    /// A reply to a fetch from this offset.
    pub fn at_place(subject: u128, offset: i64) -> Self {
        Self { subject, ordinal: offset as u64, repeat: Repeat::Place }
    }
}

/// What one rule counted in one subject.
#[derive(Debug, Clone, Copy, Default)]
pub struct RuleCount {
    /// Different events that matched.
    pub matched: u64,
    /// The ordinal of the event with which `after` was passed.
    pub passed_at: Option<u64>,
    /// Where the last event was, and how often this rule fired there in a row.
    place: Option<u64>,
    fired: u32,
}

/// How a rule meets an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Meeting {
    /// The rule never met this event before (as far as one remembers).
    pub fresh: bool,
    pub attempt: u32,
    /// Of the event, counted from the rule's birth; a place stays what it is.
    pub ordinal: u64,
}

#[derive(Default)]
struct State {
    /// The ordinal of the next record, or of the next exchange where there are no records.
    next: u64,
    ring: Vec<Batch>,
    ring_at: usize,
    /// Batches that windows counted already, the oldest first.
    counted: VecDeque<Sequenced>,
    /// Births of rules, ascending, and what `next` was at the first event that each of them could meet.
    starts: Vec<(u64, u64)>,
    rules: Vec<(u64, RuleCount)>,
}

#[derive(Clone, Copy)]
struct Batch {
    crc: u32,
    length: u32,
    ordinal: u64,
    attempts: u32,
}

/// A batch of an idempotent producer, as its broker tells it from others. The CRC is there for those who
/// give themselves a producer id: what is sent under the same numbers but is another batch counts again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sequenced {
    pub producer_id: i64,
    pub producer_epoch: i16,
    pub base_sequence: i32,
    pub crc: u32,
    pub length: u32,
}

/// All subjects of a process.
pub struct Subjects {
    place: RandomState,
    shards: Vec<Mutex<Lru<u128, State>>>,
    evicted: AtomicU64,
    tell: Box<dyn Fn(u128) + Send + Sync>,
}

impl std::fmt::Debug for Subjects {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Subjects({})", self.len())
    }
}

impl Default for Subjects {
    fn default() -> Self {
        Self::new(|_| {})
    }
}

impl Subjects {
    /// `evicted` is told each subject that had to be forgotten; it is called under a lock and must not block.
    pub fn new(evicted: impl Fn(u128) + Send + Sync + 'static) -> Self {
        Self {
            place: RandomState::new(),
            shards: (0..SHARDS).map(|_| Mutex::new(Lru::new(SUBJECTS / SHARDS))).collect(),
            evicted: AtomicU64::new(0),
            tell: Box::new(evicted),
        }
    }

    /// A produced batch, known by its CRC and length; `records` is what its header announces, `born` the latest birth
    /// of the rules that can meet it.
    pub fn produced(&self, subject: u128, born: u64, crc: u32, length: u32, records: u32) -> Met {
        self.with(subject, |state| {
            state.arrive(born);
            let known = state.ring.iter_mut().find(|b| b.crc == crc && b.length == length);
            let (ordinal, attempt) = match known {
                Some(batch) => {
                    batch.attempts = batch.attempts.saturating_add(1);
                    (batch.ordinal, batch.attempts)
                }
                None => {
                    let ordinal = state.next;
                    state.next += u64::from(records.max(1));
                    let batch = Batch { crc, length, ordinal, attempts: 0 };
                    if state.ring.len() < RING {
                        state.ring.push(batch);
                    } else {
                        state.ring[state.ring_at] = batch;
                        state.ring_at = (state.ring_at + 1) % RING;
                    }
                    (ordinal, 0)
                }
            };
            Met { subject, ordinal, repeat: Repeat::Attempt(attempt) }
        })
    }

    /// Whether a batch is not a retry of one of the last that were counted. Only an idempotent producer's can be told
    /// to be one, and its broker stores it once: two equal batches of any other are two.
    pub fn first_counted(&self, subject: u128, batch: Sequenced) -> bool {
        if batch.producer_id < 0 {
            return true;
        }
        self.with(subject, |state| {
            // forgotten meanwhile: better counted twice than never
            let first = !state.counted.contains(&batch);
            if first {
                if state.counted.len() == RING {
                    state.counted.pop_front();
                }
                state.counted.push_back(batch);
            }
            first
        })
    }

    /// Anything that has neither records nor a place: the n-th of its subject. `born` as for a batch.
    pub fn next(&self, subject: u128, born: u64) -> Met {
        self.with(subject, |state| {
            state.arrive(born);
            let ordinal = state.next;
            state.next += 1;
            Met { subject, ordinal, repeat: Repeat::Attempt(0) }
        })
    }

    /// Where in a subject the count of a rule born then begins.
    pub fn start(&self, subject: u128, born: u64) -> u64 {
        self.with(subject, |state| state.start(born))
    }

    /// Lets a rule meet an event: `decide` sees the rule's count in this subject, with the event counted
    /// when it is new, and says whether the rule fires.
    pub fn meet(
        &self,
        met: &Met,
        rule: u64,
        born: u64,
        decide: impl FnOnce(&mut RuleCount, Meeting) -> bool,
    ) -> bool {
        self.with(met.subject, |state| {
            let start = state.start(born);
            let at = match state.rules.iter().position(|(id, _)| *id == rule) {
                Some(at) => at,
                None if state.rules.len() < RULES_PER_SUBJECT => {
                    state.rules.push((rule, RuleCount::default()));
                    state.rules.len() - 1
                }
                None => {
                    state.rules[0] = (rule, RuleCount::default());
                    0
                }
            };
            let count = &mut state.rules[at].1;
            let meeting = match met.repeat {
                Repeat::Attempt(attempt) => {
                    Meeting { fresh: attempt == 0, attempt, ordinal: met.ordinal.saturating_sub(start) }
                }
                Repeat::Place if count.place == Some(met.ordinal) => {
                    Meeting { fresh: false, attempt: count.fired, ordinal: met.ordinal }
                }
                Repeat::Place => {
                    (count.place, count.fired) = (Some(met.ordinal), 0);
                    Meeting { fresh: true, attempt: 0, ordinal: met.ordinal }
                }
            };
            if meeting.fresh {
                count.matched += 1;
            }
            let fires = decide(count, meeting);
            if fires {
                count.fired = count.fired.saturating_add(1);
            }
            fires
        })
    }

    /// Forgets the counts of rules that are no more, so that one that comes back starts at zero, and where the counts
    /// of those born with them begin.
    pub fn retain_rules(&self, lives: impl Fn(u64) -> bool, births: &BTreeSet<u64>) {
        for shard in &self.shards {
            let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            for state in shard.values_mut() {
                state.rules.retain(|(rule, _)| lives(*rule));
                let mut before = None;
                state.starts.retain(|(born, _)| {
                    let since = before.replace(*born).map_or(Bound::Unbounded, Bound::Excluded);
                    births.range((since, Bound::Included(*born))).next().is_some()
                });
            }
        }
    }

    pub fn len(&self) -> usize {
        self.shards.iter().map(|s| s.lock().unwrap_or_else(PoisonError::into_inner).len()).sum()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Subjects that had to be forgotten.
    pub fn evicted(&self) -> u64 {
        self.evicted.load(Ordering::Relaxed)
    }

    fn with<T>(&self, subject: u128, act: impl FnOnce(&mut State) -> T) -> T {
        let shard = &self.shards[self.place.hash_one(subject) as usize % SHARDS];
        let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
        let (state, evicted) = shard.get_or_insert_with(subject, State::default);
        if let Some((gone, _)) = evicted {
            self.evicted.fetch_add(1, Ordering::Relaxed);
            (self.tell)(gone);
        }
        act(state)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ordinal_and_attempt(met: Met) -> (u64, u32) {
        match met.repeat {
            Repeat::Attempt(attempt) => (met.ordinal, attempt),
            Repeat::Place => panic!("a place has no attempt of its own"),
        }
    }

    #[test]
    fn produced_records_are_counted_and_retries_recognised() {
        let subjects = Subjects::default();
        let batch = |crc, records| ordinal_and_attempt(subjects.produced(1, 0, crc, 100, records));
        assert_eq!(batch(10, 5), (0, 0));
        assert_eq!(batch(11, 3), (5, 0));
        assert_eq!(batch(10, 5), (0, 1));
        assert_eq!(batch(10, 5), (0, 2));
        assert_eq!(batch(12, 1), (8, 0));
        assert_eq!(
            ordinal_and_attempt(subjects.produced(1, 0, 12, 101, 1)),
            (9, 0),
            "another length is another batch"
        );
        assert_eq!(ordinal_and_attempt(subjects.produced(2, 0, 10, 100, 5)), (0, 0), "subjects count apart");
    }

    #[test]
    fn a_retry_is_recognised_among_the_last_sixteen() {
        let subjects = Subjects::default();
        for crc in 0..17 {
            subjects.produced(1, 0, crc, 100, 1);
        }
        assert_eq!(ordinal_and_attempt(subjects.produced(1, 0, 1, 100, 1)), (1, 1));
        assert_eq!(
            ordinal_and_attempt(subjects.produced(1, 0, 0, 100, 1)),
            (17, 0),
            "the seventeenth is new"
        );
        assert_eq!(
            ordinal_and_attempt(subjects.produced(1, 0, 1, 100, 1)),
            (18, 0),
            "and takes the place of the oldest"
        );
        assert_eq!(ordinal_and_attempt(subjects.produced(1, 0, 3, 100, 1)), (3, 1));
        for crc in 100..100 + 2 * RING as u32 {
            subjects.produced(1, 0, crc, 100, 1);
        }
        let known = |crc| subjects.with(1, |state| state.ring.iter().any(|batch| batch.crc == crc));
        assert!((100..116).all(|crc| !known(crc)) && (116..132).all(known), "always the last sixteen");
    }

    #[test]
    fn what_counts_once_is_a_sequence_and_not_a_content() {
        let subjects = Subjects::default();
        let first = |producer_id, base_sequence, crc| {
            let batch = Sequenced { producer_id, producer_epoch: 0, base_sequence, crc, length: 100 };
            subjects.first_counted(1, batch)
        };
        assert!((0..3).all(|_| first(-1, -1, 7)), "nobody's batches are never retries");
        assert!(first(0, 0, 7) && !first(0, 0, 7), "the first producer id is one");
        assert!(first(5, 0, 7) && first(5, 1, 7) && first(6, 0, 7));
        assert!(!first(5, 0, 7) && !first(5, 1, 7) && !first(6, 0, 7));
        assert!(first(5, 0, 8), "another content under the same numbers");
        assert!((0..RING as i32).all(|n| first(9, n, 7)));
        assert!(first(5, 0, 7), "forgotten by now: counted twice rather than never");
    }

    #[test]
    fn exchanges_without_records_count_one_by_one() {
        let subjects = Subjects::default();
        let ordinals: Vec<u64> = (0..3).map(|_| subjects.next(7, 0).ordinal).collect();
        assert_eq!(ordinals, [0, 1, 2]);
    }

    #[test]
    fn a_rule_counts_a_place_once_and_its_own_firings_there() {
        let subjects = Subjects::default();
        let meet = |rule, offset, fires| {
            let mut seen = None;
            subjects.meet(&Met::at_place(1, offset), rule, 0, |count, meeting| {
                seen = Some((count.matched, meeting.fresh, meeting.attempt));
                fires
            });
            seen.unwrap()
        };
        assert_eq!(meet(9, 0, true), (1, true, 0));
        assert_eq!(meet(9, 0, true), (1, false, 1));
        assert_eq!(meet(9, 0, false), (1, false, 2));
        assert_eq!(meet(9, 0, false), (1, false, 2), "not fired, so the same attempt");
        assert_eq!(meet(9, 50, false), (2, true, 0));
        assert_eq!(meet(8, 50, false), (1, true, 0), "rules count apart");
    }

    #[test]
    fn an_evicted_subject_starts_at_zero_and_is_told() {
        let told = std::sync::Arc::new(AtomicU64::new(0));
        let subjects = Subjects::new({
            let told = told.clone();
            move |_| {
                told.fetch_add(1, Ordering::Relaxed);
            }
        });
        assert!(subjects.is_empty());
        assert_eq!(subjects.next(1, 0).ordinal, 0);
        assert!(!subjects.is_empty());
        for other in 0..(2 * SUBJECTS as u128) {
            subjects.next(1_000 + other, 0);
        }
        assert!(subjects.len() <= SUBJECTS);
        assert_eq!(subjects.evicted(), told.load(Ordering::Relaxed));
        assert_eq!(subjects.evicted() as usize, 2 * SUBJECTS + 1 - subjects.len());
        assert_eq!(subjects.next(1, 0).ordinal, 0);
    }

    #[test]
    fn rules_that_are_gone_start_again() {
        let subjects = Subjects::default();
        let matched = |rule| {
            let mut seen = 0;
            subjects.meet(&subjects.next(1, 0), rule, 0, |count, _| {
                seen = count.matched;
                false
            });
            seen
        };
        assert_eq!((matched(1), matched(1), matched(2)), (1, 2, 1));
        subjects.retain_rules(|rule| rule == 1, &BTreeSet::from([0]));
        assert_eq!((matched(1), matched(2)), (3, 1));
    }

    #[test]
    fn each_rule_counts_from_its_own_birth() {
        let subjects = Subjects::default();
        let meet = |born, latest| {
            let mut seen = 0;
            subjects.meet(&subjects.next(1, latest), born, born, |_, meeting| {
                seen = meeting.ordinal;
                false
            });
            seen
        };
        assert_eq!([meet(3, 3), meet(3, 3), meet(3, 3)], [0, 1, 2]);
        assert_eq!([meet(7, 7), meet(3, 7), meet(7, 7)], [0, 4, 2]);
        assert_eq!([3, 7, 8].map(|born| subjects.start(1, born)), [0, 3, 0]);
        assert_eq!([meet(5, 9), meet(9, 9)], [3, 1], "5 was there before 7 was met, and is met since then");
        subjects.retain_rules(|_| true, &BTreeSet::from([3, 9]));
        assert_eq!([meet(3, 9), meet(9, 9)], [8, 3]);
        assert_eq!(subjects.with(1, |state| state.starts.len()), 2, "nobody was born with 7 any more");
        for born in 10..10 + 2 * BIRTHS as u64 {
            meet(born, born);
        }
        assert_eq!(subjects.with(1, |state| state.starts.len()), BIRTHS);
        assert_eq!(meet(3, 3), 10 + 2 * BIRTHS as u64);
    }

    #[test]
    fn sides_and_names_make_different_subjects() {
        let subject = Subject {
            side: Side::Chaos,
            principal: "User:a",
            client_id: "c",
            api: "Produce",
            kind: "topic",
            name: "t",
            partition: 0,
        };
        let others = [
            Subject { side: Side::Security, ..subject },
            Subject { side: Side::Reply, ..subject },
            Subject { principal: "User:b", ..subject },
            Subject { client_id: "d", ..subject },
            Subject { api: "Fetch", ..subject },
            Subject { kind: "group", ..subject },
            Subject { name: "u", ..subject },
            Subject { partition: 1, ..subject },
        ];
        assert!(others.iter().all(|other| other.id() != subject.id()));
        assert_eq!(subject.to_string(), "User:a c Produce t-0");
        // what journals say is replayed by later versions
        assert_eq!(format!("{:032x}", subject.id()), "2c515c319aec03c5bd4a8185dc34b4ab");
    }

    #[test]
    fn a_subject_keeps_the_counts_of_so_many_rules_and_no_more() {
        let subjects = Subjects::default();
        let matched = |rule| {
            let mut seen = 0;
            subjects.meet(&subjects.next(1, 0), rule, 0, |count, _| {
                seen = count.matched;
                false
            });
            seen
        };
        let rules = RULES_PER_SUBJECT as u64;
        assert!((0..rules).all(|rule| matched(rule) == 1));
        assert!((0..rules).all(|rule| matched(rule) == 2));
        assert_eq!(matched(rules), 1);
        assert_eq!(subjects.with(1, |state| state.rules.len()), RULES_PER_SUBJECT);
        assert_eq!((matched(rules), matched(1), matched(0)), (2, 3, 1), "the first had to go");
    }
}
