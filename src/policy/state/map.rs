//! Values by key.

use super::{Shards, bounded};
use serde_json::Value;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

/// Keys one map remembers: fewer than a window, as each may hold a value.
pub const KEYS_PER_MAP: usize = 16_384;
/// A value as JSON has at most so many bytes.
pub const VALUE_BYTES: usize = 1_024;

/// Values by key, from when its policy was first there. Of two who set the same key the later one is right.
#[derive(Debug)]
pub struct SharedMap {
    /// As JSON: what a value takes in memory is what its text takes.
    shards: Shards<Box<str>>,
}

impl SharedMap {
    pub(super) fn new(evicted: Arc<AtomicU64>) -> Self {
        Self { shards: Shards::new(KEYS_PER_MAP, evicted) }
    }

    /// Nothing is there: null.
    pub fn get(&self, key: &[u8]) -> Value {
        self.shards.look(&bounded(key), |value| read(value)).unwrap_or_default()
    }

    /// Null takes the key away.
    pub fn set(&self, key: &[u8], value: Box<str>) {
        match &*value {
            "null" => self.shards.remove(&bounded(key)),
            _ => self.shards.change(&bounded(key), |place| *place = value),
        }
    }
}

/// A value from its text.
pub fn read(value: &str) -> Value {
    serde_json::from_str(value).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::super::StateStore;
    use super::*;
    use crate::policy::clock::Clock;

    #[test]
    fn what_is_set_is_there_until_it_is_taken_away() {
        let map = StateStore::new(Clock::manual()).shared_map("p", "m");
        assert_eq!(map.get(b"a"), Value::Null);
        map.set(b"a", "\"x\"".into());
        map.set(b"a", "5".into());
        map.set(b"b", "true".into());
        assert_eq!((map.get(b"a"), map.get(b"b")), (5.into(), true.into()));
        map.set(b"a", "null".into());
        assert_eq!((map.get(b"a"), map.shards.len()), (Value::Null, 1));
    }
}
