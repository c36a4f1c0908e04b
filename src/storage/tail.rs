//! The newest batches of each log, kept in memory as they were appended, so that consumers at the tail cost no disk
//! read and no copy. One budget over the whole process; what was appended longest ago goes first, of whatever log.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use bytes::{Bytes, BytesMut};

/// What one batch costs beyond its bytes.
const ENTRY_OVERHEAD: usize = 128;
/// Batches of a log are given up in chunks of about this size, so that the shared queue stays short.
const CHUNK_BYTES: usize = 128 * 1024;
/// Chunks remembered, those that were given up by retention meanwhile included.
const MAX_CHUNKS: usize = 65_536;
/// More small batches than this are better read from the page cache in one go.
const MAX_BATCHES: usize = 256;
/// Neighbours smaller than this are copied together: cheaper than a slice each.
const SMALL: usize = 1024;

/// Batches in the order of their offsets, without gaps, up to the high watermark.
#[derive(Debug)]
pub(crate) struct Tail {
    entries: VecDeque<Entry>,
    /// The chunk the next entry goes to, and how full it is.
    chunk: u64,
    chunk_bytes: usize,
    budget: Arc<TailBudget>,
}

#[derive(Debug)]
struct Entry {
    base_offset: i64,
    next_offset: i64,
    chunk: u64,
    /// Empty where `body` holds the whole batch.
    header: Bytes,
    body: Bytes,
}

impl Entry {
    fn len(&self) -> usize {
        self.header.len() + self.body.len()
    }

    fn cost(&self) -> usize {
        self.len() + ENTRY_OVERHEAD
    }
}

/// Batches found in memory.
#[derive(Debug, Default)]
pub(crate) struct TailRead {
    pub pieces: Vec<Bytes>,
    pub next_offset: i64,
}

impl TailRead {
    /// The pieces, small neighbours joined.
    pub fn joined(self) -> Vec<Bytes> {
        if self.pieces.len() < 2 {
            return self.pieces;
        }
        let mut joined: Vec<Bytes> = Vec::new();
        let mut rest = self.pieces.into_iter().peekable();
        while let Some(piece) = rest.next() {
            let small = |next: &Bytes| next.len() <= SMALL;
            if !small(&piece) || !rest.peek().is_some_and(small) {
                joined.push(piece);
                continue;
            }
            let mut run = BytesMut::with_capacity(piece.len() * 8);
            run.extend_from_slice(&piece);
            while let Some(next) = rest.next_if(small) {
                run.extend_from_slice(&next);
            }
            joined.push(run.freeze());
        }
        joined
    }
}

impl Tail {
    pub fn new(budget: Arc<TailBudget>) -> Self {
        Tail { entries: VecDeque::new(), chunk: 0, chunk_bytes: CHUNK_BYTES, budget }
    }

    /// Adds a committed batch. When that opens a chunk, the caller registers it with the budget.
    pub fn push(&mut self, base_offset: i64, next_offset: i64, header: Bytes, body: Bytes) -> Option<u64> {
        if self.budget.limit == 0 {
            return None;
        }
        // Batches must join: after a gap only what comes now is of use.
        if self.entries.back().is_some_and(|last| last.next_offset != base_offset) {
            self.clear();
        }
        let opens = self.chunk_bytes >= CHUNK_BYTES;
        if opens {
            self.chunk += 1;
            self.chunk_bytes = 0;
        }
        let entry = Entry { base_offset, next_offset, chunk: self.chunk, header, body };
        self.chunk_bytes += entry.cost();
        self.budget.used.fetch_add(entry.cost(), Ordering::Relaxed);
        self.entries.push_back(entry);
        opens.then_some(self.chunk)
    }

    /// Batches from the one that holds `from` on, up to `max_bytes`. `None`: not (all) in memory, or too many small
    /// ones to be worth it. Says nothing about a first batch larger than `max_bytes`: that is for the caller.
    pub fn read(&self, from: i64, max_bytes: usize, at_least_one_batch: bool) -> Option<TailRead> {
        let first = self.entries.partition_point(|entry| entry.next_offset <= from);
        if self.entries.get(first)?.base_offset > from {
            return None;
        }
        let mut read = TailRead { pieces: Vec::new(), next_offset: from };
        let (mut len, mut batches) = (0, 0);
        for entry in self.entries.range(first..) {
            let fits = len + entry.len() <= max_bytes || (batches == 0 && at_least_one_batch);
            if !fits {
                break;
            }
            if batches == MAX_BATCHES && len / batches < SMALL * 4 {
                return None;
            }
            batches += 1;
            len += entry.len();
            read.pieces.extend([&entry.header, &entry.body].into_iter().filter(|b| !b.is_empty()).cloned());
            read.next_offset = entry.next_offset;
        }
        Some(read)
    }

    /// Gives up the chunk and all before it.
    pub fn evict(&mut self, chunk: u64) {
        self.give_up(|entry| entry.chunk <= chunk);
        if chunk >= self.chunk {
            self.chunk_bytes = CHUNK_BYTES;
        }
    }

    /// Gives up what lies wholly below an offset.
    pub fn cut_start(&mut self, log_start_offset: i64) {
        self.give_up(|entry| entry.next_offset <= log_start_offset);
    }

    pub fn clear(&mut self) {
        self.evict(u64::MAX);
    }

    fn give_up(&mut self, gone: impl Fn(&Entry) -> bool) {
        while self.entries.front().is_some_and(&gone) {
            if let Some(entry) = self.entries.pop_front() {
                self.budget.used.fetch_sub(entry.cost(), Ordering::Relaxed);
            }
        }
    }
}

impl Drop for Tail {
    fn drop(&mut self) {
        self.clear();
    }
}

/// Who has a tail to give up.
pub(crate) trait TailOwner: Send + Sync {
    fn evict_tail(&self, chunk: u64);
}

/// The bytes that all tails together may hold.
pub(crate) struct TailBudget {
    limit: usize,
    used: AtomicUsize,
    /// Chunks in the order they were opened.
    chunks: Mutex<VecDeque<(Weak<dyn TailOwner>, u64)>>,
}

impl std::fmt::Debug for TailBudget {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TailBudget")
            .field("limit", &self.limit)
            .field("used", &self.used)
            .finish_non_exhaustive()
    }
}

impl TailBudget {
    pub fn new(limit: usize) -> Arc<Self> {
        Arc::new(TailBudget { limit, used: AtomicUsize::new(0), chunks: Mutex::default() })
    }

    pub fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    pub fn opened(&self, owner: Weak<dyn TailOwner>, chunk: u64) {
        self.chunks.lock().unwrap_or_else(PoisonError::into_inner).push_back((owner, chunk));
    }

    /// Evicts the oldest chunks until the budget holds. The caller must not hold any tail.
    pub fn enforce(&self) {
        loop {
            let mut chunks = self.chunks.lock().unwrap_or_else(PoisonError::into_inner);
            if self.used() <= self.limit && chunks.len() <= MAX_CHUNKS {
                break;
            }
            let Some((owner, chunk)) = chunks.pop_front() else { break };
            drop(chunks);
            if let Some(owner) = owner.upgrade() {
                owner.evict_tail(chunk);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Owner(Mutex<Tail>);

    impl TailOwner for Owner {
        fn evict_tail(&self, chunk: u64) {
            self.0.lock().unwrap().evict(chunk);
        }
    }

    fn owner(budget: &Arc<TailBudget>) -> Arc<Owner> {
        Arc::new(Owner(Mutex::new(Tail::new(Arc::clone(budget)))))
    }

    fn push(owner: &Arc<Owner>, budget: &TailBudget, offset: i64, len: usize) {
        let body = Bytes::from(vec![offset as u8; len]);
        let opened = owner.0.lock().unwrap().push(offset, offset + 1, Bytes::new(), body);
        if let Some(chunk) = opened {
            let weak: Weak<Owner> = Arc::downgrade(owner);
            budget.opened(weak, chunk);
        }
        budget.enforce();
    }

    fn read(owner: &Owner, from: i64, max: usize) -> Option<(Vec<u8>, i64)> {
        let read = owner.0.lock().unwrap().read(from, max, true)?;
        let next_offset = read.next_offset;
        Some((read.joined().concat(), next_offset))
    }

    #[test]
    fn gives_whole_batches_from_the_one_asked_for() {
        let budget = TailBudget::new(1 << 20);
        let log = owner(&budget);
        (5..10).for_each(|offset| push(&log, &budget, offset, 10));
        assert_eq!(read(&log, 4, 100), None);
        assert_eq!(read(&log, 10, 100), None);
        assert_eq!(read(&log, 8, 100), Some(([[8; 10], [9; 10]].concat(), 10)));
        assert_eq!(read(&log, 5, 29), Some(([[5; 10], [6; 10]].concat(), 7)));
        assert_eq!(read(&log, 5, 1), Some((vec![5; 10], 6)));
        assert!(log.0.lock().unwrap().read(5, 1, false).unwrap().pieces.is_empty());
        log.0.lock().unwrap().cut_start(7);
        assert_eq!(read(&log, 6, 100), None);
        assert_eq!(read(&log, 7, 10), Some((vec![7; 10], 8)));
    }

    #[test]
    fn the_oldest_of_all_logs_goes_first_and_nothing_is_forgotten_in_the_books() {
        let budget = TailBudget::new(1 << 20);
        let (idle, busy) = (owner(&budget), owner(&budget));
        push(&idle, &budget, 0, 100_000);
        for offset in 0..200 {
            push(&busy, &budget, offset, 20_000);
            assert!(budget.used() <= 1 << 20);
        }
        assert_eq!(read(&idle, 0, 1), None, "the busy log has displaced it");
        assert!(read(&busy, 199, 1).is_some());
        assert!(read(&busy, 160, 1).is_some());
        push(&idle, &budget, 1, 10);
        assert!(read(&idle, 1, 1).is_some());
        // What came later is displaced in its turn.
        (200..400).for_each(|offset| push(&busy, &budget, offset, 20_000));
        assert_eq!(read(&idle, 1, 1), None);
        drop(busy);
        drop(idle);
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn of_a_single_log_the_oldest_goes_and_no_more() {
        let budget = TailBudget::new(1 << 20);
        let log = owner(&budget);
        for offset in 0..200 {
            push(&log, &budget, offset, 20_000);
            assert!(budget.used() <= 1 << 20);
            assert!(
                offset < 50 || budget.used() > (1 << 20) - 2 * CHUNK_BYTES,
                "{} at {offset}",
                budget.used()
            );
        }
    }

    #[test]
    fn very_many_small_batches_are_left_to_the_file() {
        let budget = TailBudget::new(1 << 20);
        let log = owner(&budget);
        (0..400).for_each(|offset| push(&log, &budget, offset, 100));
        assert_eq!(read(&log, 0, 1 << 20), None);
        assert_eq!(read(&log, 0, 5000).unwrap().1, 50);
        let joined = log.0.lock().unwrap().read(0, 20_000, true).unwrap().joined();
        assert_eq!(joined.len(), 1);
    }

    #[test]
    fn a_gap_empties_it_and_no_budget_keeps_it_empty() {
        let budget = TailBudget::new(1 << 20);
        let log = owner(&budget);
        push(&log, &budget, 0, 10);
        push(&log, &budget, 7, 10);
        assert_eq!(read(&log, 0, 1), None);
        assert!(read(&log, 7, 1).is_some());
        let none = TailBudget::new(0);
        let log = owner(&none);
        push(&log, &none, 0, 10);
        assert_eq!(read(&log, 0, 1), None);
        assert_eq!(none.used(), 0);
    }
}
