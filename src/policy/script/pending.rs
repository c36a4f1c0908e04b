//! What closures changed of windows, counters and maps before it counts: a refused batch leaves all that it touched
//! unchanged. What reads meanwhile in the same batch sees its own changes.

use crate::policy::state::{Counter, KEYS, KEYS_PER_MAP, SharedMap, Window, bounded, read};
use serde_json::Value;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

/// Of the closure that runs.
#[derive(Default)]
pub struct Additions {
    /// None where state may only be read.
    pending: Option<Pending>,
}

/// What the closures of one batch changed so far, summed up by key: a batch of very many records costs each of them one
/// look-up.
#[derive(Debug, Default)]
pub struct Pending {
    /// Few: those that one policy names.
    tallies: Vec<(Tally, ByKey<i64>)>,
    /// As JSON.
    maps: Vec<(Arc<SharedMap>, ByKey<Box<str>>)>,
    /// What the record being looked at changed.
    latest: Vec<Change>,
}

type ByKey<T> = HashMap<Box<[u8]>, T>;

/// What counts.
#[derive(Debug, Clone)]
pub enum Tally {
    Window(Arc<Window>),
    Counter(Arc<Counter>),
}

#[derive(Debug)]
enum Change {
    /// Of which tally, under which key, how many.
    Count(usize, Box<[u8]>, i64),
    /// Of which map, under which key, what was pending before.
    Set(usize, Box<[u8]>, Option<Box<str>>),
}

impl Tally {
    fn is(&self, other: &Tally) -> bool {
        match (self, other) {
            (Self::Window(a), Self::Window(b)) => Arc::ptr_eq(a, b),
            (Self::Counter(a), Self::Counter(b)) => Arc::ptr_eq(a, b),
            _ => false,
        }
    }

    fn count(&self, key: &[u8]) -> i64 {
        match self {
            Self::Window(window) => i64::try_from(window.count(key)).unwrap_or(i64::MAX),
            Self::Counter(counter) => counter.count(key),
        }
    }

    fn add(&self, key: &[u8], n: i64) {
        match self {
            Self::Window(window) => window.add(key, u32::try_from(n.max(0)).unwrap_or(u32::MAX)),
            Self::Counter(counter) => counter.add(key, n),
        }
    }
}

impl Additions {
    /// From here on changes are gathered, after those of the same batch.
    pub fn gather(&mut self, earlier: Pending) {
        self.pending = Some(earlier);
    }

    /// What was gathered; nothing may be changed any more.
    pub fn finish(&mut self) -> Pending {
        self.pending.take().unwrap_or_default()
    }

    pub fn add(&mut self, tally: &Tally, key: &[u8], n: i64) -> Result<(), String> {
        self.open()?.add(tally, key, n)
    }

    pub fn count(&self, tally: &Tally, key: &[u8]) -> i64 {
        let own = self.pending.as_ref().map_or(0, |pending| pending.count(tally, key));
        tally.count(key).saturating_add(own)
    }

    pub fn set(&mut self, map: &Arc<SharedMap>, key: &[u8], value: Value) -> Result<(), String> {
        self.open()?.set(map, key, value)
    }

    pub fn value(&self, map: &Arc<SharedMap>, key: &[u8]) -> Value {
        let own = self.pending.as_ref().and_then(|pending| pending.value(map, key));
        own.unwrap_or_else(|| map.get(key))
    }

    fn open(&mut self) -> Result<&mut Pending, String> {
        let closed = "windows, counters and maps are changed in `.each`; elsewhere they are only read";
        self.pending.as_mut().ok_or_else(|| closed.to_owned())
    }
}

impl Pending {
    fn add(&mut self, tally: &Tally, key: &[u8], n: i64) -> Result<(), String> {
        let at = self.tallies.iter().position(|(known, _)| known.is(tally)).unwrap_or_else(|| {
            self.tallies.push((tally.clone(), HashMap::new()));
            self.tallies.len() - 1
        });
        let key: Box<[u8]> = bounded(key).into_owned().into();
        let keys = &mut self.tallies[at].1;
        if keys.len() >= KEYS && !keys.contains_key(&key) {
            return Err(format!(
                "one batch adds under more than the {KEYS} keys that a window or counter holds"
            ));
        }
        let count = keys.entry(key.clone()).or_default();
        let before = *count;
        *count = count.saturating_add(n);
        self.latest.push(Change::Count(at, key, *count - before));
        Ok(())
    }

    fn count(&self, tally: &Tally, key: &[u8]) -> i64 {
        let own = self.tallies.iter().find(|(known, _)| known.is(tally));
        own.and_then(|(_, keys)| keys.get(&*bounded(key))).copied().unwrap_or_default()
    }

    fn set(&mut self, map: &Arc<SharedMap>, key: &[u8], value: Value) -> Result<(), String> {
        let at = self.maps.iter().position(|(known, _)| Arc::ptr_eq(known, map)).unwrap_or_else(|| {
            self.maps.push((Arc::clone(map), HashMap::new()));
            self.maps.len() - 1
        });
        let key: Box<[u8]> = bounded(key).into_owned().into();
        let keys = &mut self.maps[at].1;
        if keys.len() >= KEYS_PER_MAP && !keys.contains_key(&key) {
            return Err(format!("one batch sets more than the {KEYS_PER_MAP} keys that a map holds"));
        }
        let before = keys.insert(key.clone(), value.to_string().into());
        self.latest.push(Change::Set(at, key, before));
        Ok(())
    }

    fn value(&self, map: &Arc<SharedMap>, key: &[u8]) -> Option<Value> {
        let (_, keys) = self.maps.iter().find(|(known, _)| Arc::ptr_eq(known, map))?;
        keys.get(&*bounded(key)).map(|value| read(value))
    }

    /// What was changed so far stays, whatever becomes of the next record.
    pub fn keep(&mut self) {
        self.latest.clear();
    }

    /// Whether anything was changed since the last [`Pending::keep`].
    pub fn changed(&self) -> bool {
        self.latest.iter().any(|change| !matches!(change, Change::Count(_, _, 0)))
    }

    /// Takes back what was changed since the last [`Pending::keep`].
    pub fn take_back(&mut self) {
        while let Some(change) = self.latest.pop() {
            match change {
                Change::Count(at, key, n) => {
                    if let Some((_, keys)) = self.tallies.get_mut(at)
                        && let Entry::Occupied(mut count) = keys.entry(key)
                    {
                        *count.get_mut() -= n;
                        if *count.get() == 0 {
                            count.remove();
                        }
                    }
                }
                Change::Set(at, key, before) => {
                    if let Some((_, keys)) = self.maps.get_mut(at) {
                        match before {
                            Some(value) => drop(keys.insert(key, value)),
                            None => drop(keys.remove(&key)),
                        }
                    }
                }
            }
        }
    }

    pub fn is_empty(&self) -> bool {
        self.tallies.iter().all(|(_, keys)| keys.is_empty())
            && self.maps.iter().all(|(_, keys)| keys.is_empty())
    }

    /// Makes the changes final.
    pub fn commit(self) {
        for (tally, keys) in &self.tallies {
            keys.iter().for_each(|(key, n)| tally.add(key, *n));
        }
        for (map, keys) in self.maps {
            keys.into_iter().for_each(|(key, value)| map.set(&key, value));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::clock::Clock;
    use crate::policy::state::StateStore;
    use std::time::Duration;

    #[test]
    fn pending_additions_are_summed_up_by_key() {
        let store = StateStore::new(Clock::manual());
        let window = |name| Tally::Window(store.window("p", name, Duration::from_secs(60)));
        let (w, v) = (window("w"), window("v"));
        let mut pending = Pending::default();
        for n in 0..100_000_u32 {
            pending.keep();
            pending.add(&w, &[(n % 10) as u8], 1).unwrap();
        }
        let held: usize = pending.tallies.iter().map(|(_, keys)| keys.len()).sum();
        assert_eq!((held, pending.latest.len()), (10, 1), "what a record costs does not grow with its batch");
        pending.add(&v, b"k", 3).unwrap();
        assert_eq!(
            (pending.count(&w, &[0]), pending.count(&v, b"k"), pending.count(&v, &[0])),
            (10_000, 3, 0)
        );
        assert!(pending.changed());
        pending.take_back();
        assert_eq!((pending.count(&w, &[9]), pending.count(&v, b"k")), (9_999, 0));
        pending.add(&v, b"k", 0).unwrap();
        assert!(!pending.changed(), "nothing is no change");
        assert_eq!(w.count(&[0]), 0);
        pending.commit();
        assert_eq!((w.count(&[0]), w.count(&[9]), v.count(b"k")), (10_000, 9_999, 0));
    }

    #[test]
    fn what_is_taken_back_leaves_nothing() {
        let store = StateStore::new(Clock::manual());
        let window = Tally::Window(store.window("p", "w", Duration::from_secs(60)));
        let mut pending = Pending::default();
        let long = vec![b'k'; 5_000];
        pending.add(&window, &long, 2).unwrap();
        assert_eq!(pending.count(&window, &long), 2);
        pending.take_back();
        assert!(pending.is_empty());
    }

    #[test]
    fn what_a_map_was_set_to_is_taken_back_in_order() {
        let store = StateStore::new(Clock::manual());
        let (map, counter) = (store.shared_map("p", "m"), Tally::Counter(store.counter("p", "c")));
        map.set(b"k", "\"stored\"".into());
        let mut pending = Pending::default();
        pending.set(&map, b"k", 1.into()).unwrap();
        pending.add(&counter, b"k", 5).unwrap();
        pending.keep();
        pending.set(&map, b"k", 2.into()).unwrap();
        pending.set(&map, b"k", 3.into()).unwrap();
        pending.set(&map, b"l", 4.into()).unwrap();
        pending.add(&counter, b"k", -7).unwrap();
        assert_eq!((pending.value(&map, b"k"), pending.count(&counter, b"k")), (Some(3.into()), -2));
        pending.take_back();
        assert_eq!((pending.value(&map, b"k"), pending.value(&map, b"l")), (Some(1.into()), None));
        assert_eq!(map.get(b"k"), "stored");
        pending.commit();
        assert_eq!((map.get(b"k"), map.get(b"l"), counter.count(b"k")), (1.into(), Value::Null, 5));
    }

    #[test]
    fn a_batch_has_no_more_keys_than_what_it_changes_holds() {
        let store = StateStore::new(Clock::manual());
        let (map, counter) = (store.shared_map("p", "m"), Tally::Counter(store.counter("p", "c")));
        let mut pending = Pending::default();
        for n in 0..KEYS_PER_MAP as u32 {
            pending.set(&map, &n.to_le_bytes(), 1.into()).unwrap();
        }
        assert!(pending.set(&map, b"one more", 1.into()).is_err());
        pending.set(&map, &0_u32.to_le_bytes(), 2.into()).unwrap();
        for n in 0..KEYS as u32 {
            pending.add(&counter, &n.to_le_bytes(), 1).unwrap();
        }
        assert!(pending.add(&counter, b"one more", 1).is_err());
        pending.add(&counter, &0_u32.to_le_bytes(), 1).unwrap();
    }
}
