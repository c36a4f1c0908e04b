//! What each payer has used lately. A stranger chooses its client id, so there are at most so many; one that was idle for an
//! hour goes, as Kafka's sensors do, and when all places are taken those that were idle longest.

use std::collections::HashMap;
use std::hash::Hash;

/// Payers remembered of one kind of quota.
const MOST: usize = 65_536;
/// Kafka's time for an idle client's sensors.
const IDLE_MS: i64 = 3_600_000;

#[derive(Debug)]
pub struct Used<K, V> {
    entries: HashMap<K, (V, i64)>,
    most: usize,
}

impl<K, V> Default for Used<K, V> {
    fn default() -> Self {
        Used { entries: HashMap::new(), most: MOST }
    }
}

impl<K: Eq + Hash + Clone, V> Used<K, V> {
    pub fn entry(&mut self, key: K, now_ms: i64, new: impl FnOnce() -> V) -> &mut V {
        if self.entries.len() >= self.most && !self.entries.contains_key(&key) {
            self.make_room(now_ms);
        }
        let (value, used_ms) = self.entries.entry(key).or_insert_with(|| (new(), now_ms));
        *used_ms = now_ms;
        value
    }

    /// A quarter of the places at once, so that a flood of new names does not look through all of them for each.
    fn make_room(&mut self, now_ms: i64) {
        self.expire(now_ms);
        let wanted = self.most - self.most / 4;
        if self.entries.len() <= wanted {
            return;
        }
        let mut times: Vec<i64> = self.entries.values().map(|(_, used_ms)| *used_ms).collect();
        let surplus = self.entries.len() - wanted;
        let (_, limit, _) = times.select_nth_unstable(surplus.saturating_sub(1));
        let (limit, before) = (*limit, self.entries.len());
        // Of those used at that very moment as many as it takes.
        let mut left = surplus;
        self.entries.retain(|_, (_, used_ms)| {
            let goes = *used_ms <= limit && left > 0;
            left -= usize::from(goes);
            !goes
        });
        let forgotten = before - self.entries.len();
        tracing::warn!(
            forgotten,
            "too many clients have quotas: what those used that were idle longest is forgotten"
        );
    }

    pub fn expire(&mut self, now_ms: i64) {
        self.entries.retain(|_, (_, used_ms)| now_ms - *used_ms < IDLE_MS);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strangers_do_not_grow_it_and_the_idle_go() {
        let mut used: Used<u32, u32> = Used { most: 8, ..Used::default() };
        for n in 0..8 {
            used.entry(n, i64::from(n), || n);
        }
        *used.entry(0, 100, || 99) += 1;
        used.entry(100, 101, || 0);
        assert_eq!(used.entries.len(), 7);
        assert_eq!(*used.entry(0, 102, || 99), 1, "the one used last is kept");
        assert_eq!(*used.entry(1, 102, || 99), 99, "the ones idle longest are not");
        for n in 200..1000 {
            used.entry(n, 103, || n);
            assert!(used.entries.len() <= 8);
        }
        used.expire(103 + IDLE_MS - 1);
        assert!(!used.entries.is_empty());
        used.expire(103 + IDLE_MS);
        assert!(used.entries.is_empty());
    }
}
