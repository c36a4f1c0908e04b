//! Counts of events by key over the last stretch of time.

use super::{KEYS, Shards, bounded};
use crate::policy::clock::Clock;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

/// A window is counted in this many steps: an event leaves at most one step late, never early.
const STEPS: u64 = 64;

/// Counts events by key over the last `length` of time.
#[derive(Debug)]
pub struct Window {
    step: Duration,
    clock: Clock,
    shards: Shards<Counts>,
}

/// Steps that hold something, oldest first.
#[derive(Default)]
struct Counts(VecDeque<(u64, u32)>);

impl Window {
    pub(super) fn new(clock: Clock, length: Duration, evicted: Arc<AtomicU64>) -> Self {
        Self {
            step: (length / STEPS as u32).max(Duration::from_millis(1)),
            clock,
            shards: Shards::new(KEYS, evicted),
        }
    }

    /// Events under `key` in the window that ends now.
    pub fn count(&self, key: &[u8]) -> u64 {
        let now = self.step_now();
        self.shards.look(&bounded(key), |counts| counts.total(now)).unwrap_or_default()
    }

    pub fn add(&self, key: &[u8], n: u32) {
        let now = self.step_now();
        self.shards.change(&bounded(key), |counts| counts.add(now, n));
    }

    fn step_now(&self) -> u64 {
        (self.clock.now().as_nanos() / self.step.as_nanos()) as u64
    }
}

impl Counts {
    fn add(&mut self, now: u64, n: u32) {
        self.forget(now);
        match self.0.back_mut() {
            Some((step, count)) if *step >= now => *count = count.saturating_add(n),
            _ => self.0.push_back((now, n)),
        }
    }

    fn total(&mut self, now: u64) -> u64 {
        self.forget(now);
        self.0.iter().map(|(_, n)| u64::from(*n)).sum()
    }

    fn forget(&mut self, now: u64) {
        while self.0.front().is_some_and(|(step, _)| step + STEPS < now) {
            self.0.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::StateStore;
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn window() -> (Clock, Arc<Window>) {
        let clock = Clock::manual();
        let store = StateStore::new(clock.clone());
        let window = store.window("p", "w", MINUTE);
        (clock, window)
    }

    #[test]
    fn counts_by_key_and_forgets_with_time() {
        let (clock, window) = window();
        window.add(b"ada", 1);
        clock.advance(Duration::from_secs(30));
        window.add(b"ada", 2);
        window.add(b"bob", 1);
        assert_eq!((window.count(b"ada"), window.count(b"bob"), window.count(b"eve")), (3, 1, 0));
        clock.advance(Duration::from_secs(30));
        assert_eq!(window.count(b"ada"), 3, "an event counts for its whole minute");
        clock.advance(Duration::from_secs(2));
        assert_eq!(window.count(b"ada"), 2);
        clock.advance(Duration::from_secs(30));
        assert_eq!(window.count(b"ada"), 0);
    }

    #[test]
    fn memory_of_a_key_is_bounded_by_steps() {
        let (clock, window) = window();
        for _ in 0..100_000 {
            window.add(b"k", 1);
            clock.advance(Duration::from_millis(1));
        }
        let steps = window.shards.look(b"k", |counts| counts.0.len()).unwrap();
        assert!(steps <= STEPS as usize + 1);
    }

    #[test]
    fn long_keys_stay_apart() {
        let (_, window) = window();
        let (a, b) = (vec![b'a'; 5000], [vec![b'a'; 4999], vec![b'b']].concat());
        window.add(&a, 1);
        assert_eq!((window.count(&a), window.count(&b)), (1, 0));
    }

    #[test]
    fn concurrent_adds_are_all_counted() {
        let (_, window) = window();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..5_000).for_each(|_| window.add(b"k", 1)));
            }
        });
        assert_eq!(window.count(b"k"), 20_000);
    }
}
