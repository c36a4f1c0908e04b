//! The deadlines of one group. Nothing here sleeps: the coordinator asks when the next one is due, and says when it is.

use crate::wire::Str;
use std::collections::{BTreeSet, HashMap};

/// What a group waits for.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TimerKey {
    /// A heartbeat of this member, or the second JoinGroup of one that was sent back for its id.
    Session(Str),
    /// The end of the join phase.
    Join,
    /// The SyncGroup requests of all members.
    Sync,
}

/// Deadlines in milliseconds of the monotonic clock, one a key.
#[derive(Debug, Default)]
pub struct Timers {
    by_key: HashMap<TimerKey, i64>,
    by_time: BTreeSet<(i64, TimerKey)>,
}

impl Timers {
    /// Sets or moves a deadline.
    pub fn set(&mut self, key: TimerKey, at: i64) {
        if let Some(before) = self.by_key.insert(key.clone(), at) {
            if before == at {
                return;
            }
            self.by_time.remove(&(before, key.clone()));
        }
        self.by_time.insert((at, key));
    }

    pub fn cancel(&mut self, key: &TimerKey) {
        if let Some(at) = self.by_key.remove(key) {
            self.by_time.remove(&(at, key.clone()));
        }
    }

    #[cfg(test)]
    pub fn has(&self, key: &TimerKey) -> bool {
        self.by_key.contains_key(key)
    }

    /// The earliest deadline.
    pub fn next(&self) -> Option<i64> {
        self.by_time.first().map(|(at, _)| *at)
    }

    /// Takes out the earliest deadline if it has come.
    pub fn pop_due(&mut self, now: i64) -> Option<TimerKey> {
        if self.next()? > now {
            return None;
        }
        let (_, key) = self.by_time.pop_first()?;
        self.by_key.remove(&key);
        Some(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deadlines_come_in_order_and_move() {
        let member = |id: &str| TimerKey::Session(Str::from(id));
        let mut timers = Timers::default();
        timers.set(member("a"), 10);
        timers.set(member("b"), 20);
        timers.set(TimerKey::Join, 15);
        timers.set(member("a"), 30);
        timers.set(member("c"), 5);
        timers.cancel(&member("c"));
        assert_eq!((timers.next(), timers.by_time.len()), (Some(15), 3));
        assert_eq!(timers.pop_due(14), None);
        assert_eq!(timers.pop_due(30), Some(TimerKey::Join));
        assert_eq!(timers.pop_due(30), Some(member("b")));
        assert_eq!(timers.pop_due(29), None);
        assert_eq!(timers.pop_due(30), Some(member("a")));
        assert!(timers.by_time.is_empty() && timers.by_key.is_empty());
    }
}
