//! Counts by key that no time takes away.

use super::{KEYS, Shards, bounded};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

/// Counts by key, from when its policy was first there.
#[derive(Debug)]
pub struct Counter {
    shards: Shards<i64>,
}

impl Counter {
    pub(super) fn new(evicted: Arc<AtomicU64>) -> Self {
        Self { shards: Shards::new(KEYS, evicted) }
    }

    pub fn count(&self, key: &[u8]) -> i64 {
        self.shards.look(&bounded(key), |count| *count).unwrap_or_default()
    }

    /// Adds `n`, which may be less than nothing.
    pub fn add(&self, key: &[u8], n: i64) {
        self.shards.change(&bounded(key), |count| *count = count.saturating_add(n));
    }
}

#[cfg(test)]
mod tests {
    use super::super::StateStore;
    use crate::policy::clock::Clock;
    use std::time::Duration;

    #[test]
    fn no_time_takes_a_count_away() {
        let clock = Clock::manual();
        let counter = StateStore::new(clock.clone()).counter("p", "c");
        counter.add(b"a", 3);
        clock.advance(Duration::from_secs(86_400));
        counter.add(b"a", -1);
        counter.add(b"b", i64::MAX);
        counter.add(b"b", 1);
        assert_eq!((counter.count(b"a"), counter.count(b"b"), counter.count(b"c")), (2, i64::MAX, 0));
    }
}
