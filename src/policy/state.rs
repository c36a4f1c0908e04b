//! What scripts share across exchanges, sessions and threads: native windows, counters and maps, found by policy and name.
//!
//! They survive reloads as long as a policy of that name names them. Memory is bounded: keys of each (the least recently used
//! goes, and is counted), how many one policy has, bytes of a key and of a value.

mod counter;
mod map;
mod window;

pub use counter::Counter;
pub use map::{KEYS_PER_MAP, SharedMap, VALUE_BYTES, read};
pub use window::Window;

use super::clock::Clock;
use super::lru::Lru;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Keys one window or counter remembers.
pub const KEYS: usize = 65_536;
/// Windows, counters and maps one policy may have together.
pub const STATES_PER_POLICY: usize = 64;
/// Longer keys count under a hash of themselves.
const KEY_BYTES: usize = 256;
const SHARDS: usize = 16;

/// What kind of state a name stands for. A window of another length is another one: what was counted over an hour says
/// nothing about a minute, and a script that fails to load must not have touched the window of the living one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Window(Duration),
    Counter,
    Map,
}

impl Kind {
    pub fn word(self) -> &'static str {
        match self {
            Self::Window(_) => "window",
            Self::Counter => "counter",
            Self::Map => "shared_map",
        }
    }
}

/// All state of a process.
#[derive(Debug)]
pub struct StateStore {
    clock: Clock,
    windows: Mutex<BTreeMap<Named, Arc<Window>>>,
    counters: Mutex<BTreeMap<Named, Arc<Counter>>>,
    maps: Mutex<BTreeMap<Named, Arc<SharedMap>>>,
    /// Outlives what it counts for.
    evicted: Arc<AtomicU64>,
}

/// Policy, name and kind.
type Named = (String, String, Kind);

impl StateStore {
    pub fn new(clock: Clock) -> Arc<Self> {
        Arc::new(Self {
            clock,
            windows: Mutex::default(),
            counters: Mutex::default(),
            maps: Mutex::default(),
            evicted: Arc::default(),
        })
    }

    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// The window of this policy, name and length.
    pub fn window(&self, policy: &str, name: &str, length: Duration) -> Arc<Window> {
        let new = || Window::new(self.clock.clone(), length, Arc::clone(&self.evicted));
        find(&self.windows, policy, name, Kind::Window(length), new)
    }

    pub fn counter(&self, policy: &str, name: &str) -> Arc<Counter> {
        find(&self.counters, policy, name, Kind::Counter, || Counter::new(Arc::clone(&self.evicted)))
    }

    pub fn shared_map(&self, policy: &str, name: &str) -> Arc<SharedMap> {
        find(&self.maps, policy, name, Kind::Map, || SharedMap::new(Arc::clone(&self.evicted)))
    }

    /// Forgets what no loaded policy names any more.
    pub fn retain(&self, mut named: impl FnMut(&str, &str, Kind) -> bool) {
        let mut keep = |(policy, name, kind): &Named| named(policy, name, *kind);
        lock(&self.windows).retain(|named, _| keep(named));
        lock(&self.counters).retain(|named, _| keep(named));
        lock(&self.maps).retain(|named, _| keep(named));
    }

    /// Counts what had to be forgotten elsewhere.
    pub fn note_evicted(&self) {
        self.evicted.fetch_add(1, Ordering::Relaxed);
    }

    /// Keys that had to be forgotten, over all there was.
    pub fn evicted(&self) -> u64 {
        self.evicted.load(Ordering::Relaxed)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn find<T>(
    all: &Mutex<BTreeMap<Named, Arc<T>>>,
    policy: &str,
    name: &str,
    kind: Kind,
    new: impl FnOnce() -> T,
) -> Arc<T> {
    let named = (policy.to_owned(), name.to_owned(), kind);
    Arc::clone(lock(all).entry(named).or_insert_with(|| Arc::new(new())))
}

/// The key as it is kept: a long one as a hash of itself.
pub fn bounded(key: &[u8]) -> Cow<'_, [u8]> {
    match key.len() {
        0..=KEY_BYTES => key.into(),
        _ => super::random::identity([key]).to_le_bytes().to_vec().into(),
    }
}

/// Values by key, bounded, behind locks that sessions seldom share.
struct Shards<V> {
    place: RandomState,
    shards: Vec<Mutex<Lru<Box<[u8]>, V>>>,
    evicted: Arc<AtomicU64>,
}

impl<V> std::fmt::Debug for Shards<V> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} keys", self.len())
    }
}

impl<V> Shards<V> {
    fn new(keys: usize, evicted: Arc<AtomicU64>) -> Self {
        let shard = || Mutex::new(Lru::new(keys / SHARDS));
        Self { place: RandomState::new(), shards: (0..SHARDS).map(|_| shard()).collect(), evicted }
    }

    fn len(&self) -> usize {
        self.shards.iter().map(|shard| lock(shard).len()).sum()
    }

    /// None: nothing is kept under the key.
    fn look<T>(&self, key: &[u8], act: impl FnOnce(&mut V) -> T) -> Option<T> {
        lock(self.shard(key)).get_mut(key).map(act)
    }

    fn remove(&self, key: &[u8]) {
        lock(self.shard(key)).remove(key);
    }

    fn shard(&self, key: &[u8]) -> &Mutex<Lru<Box<[u8]>, V>> {
        &self.shards[self.place.hash_one(key) as usize % SHARDS]
    }
}

impl<V: Default> Shards<V> {
    fn change(&self, key: &[u8], act: impl FnOnce(&mut V)) {
        let mut shard = lock(self.shard(key));
        let (value, evicted) = shard.get_or_insert_with(key.into(), V::default);
        act(value);
        if evicted.is_some() {
            self.evicted.fetch_add(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn what_is_forgotten_elsewhere_is_counted_too() {
        let store = StateStore::new(Clock::manual());
        store.note_evicted();
        store.note_evicted();
        assert_eq!(store.evicted(), 2);
    }

    #[test]
    fn keys_are_bounded_and_evictions_counted() {
        let store = StateStore::new(Clock::manual());
        let (window, counter, map) =
            (store.window("p", "w", MINUTE), store.counter("p", "c"), store.shared_map("p", "m"));
        let mut evicted = 0;
        let mut fill = |keys: usize, put: &dyn Fn(&[u8]), held: &dyn Fn(&[u8]) -> bool| {
            (0..keys as u32 * 2).for_each(|n| put(&n.to_le_bytes()));
            let kept = (0..keys as u32 * 2).filter(|n| held(&n.to_le_bytes())).count();
            assert!(kept <= keys && kept > keys / 2, "{kept} of {keys}");
            evicted += (keys * 2 - kept) as u64;
            assert_eq!(store.evicted(), evicted);
        };
        fill(KEYS, &|key| window.add(key, 1), &|key| window.count(key) > 0);
        fill(KEYS, &|key| counter.add(key, 1), &|key| counter.count(key) > 0);
        fill(KEYS_PER_MAP, &|key| map.set(key, "1".into()), &|key| !map.get(key).is_null());
        store.retain(|_, _, _| false);
        assert_eq!(store.evicted(), evicted, "what is forgotten stays counted");
    }

    #[test]
    fn state_is_found_by_policy_name_and_kind() {
        let store = StateStore::new(Clock::manual());
        store.window("p", "w", MINUTE).add(b"k", 1);
        store.counter("p", "w").add(b"k", 2);
        store.shared_map("p", "w").set(b"k", "3".into());
        assert_eq!(store.window("p", "w", MINUTE).count(b"k"), 1);
        assert_eq!(store.window("q", "w", MINUTE).count(b"k"), 0);
        assert_eq!(store.window("p", "v", MINUTE).count(b"k"), 0);
        assert_eq!(store.window("p", "w", MINUTE * 2).count(b"k"), 0);
        assert_eq!((store.counter("p", "w").count(b"k"), store.counter("q", "w").count(b"k")), (2, 0));
        assert_eq!(store.shared_map("p", "w").get(b"k"), 3);
        assert!(store.shared_map("p", "v").get(b"k").is_null());
        store.retain(|policy, _, kind| policy == "p" && kind == Kind::Counter);
        assert_eq!(store.window("p", "w", MINUTE).count(b"k"), 0, "forgotten with its policy");
        assert!(store.shared_map("p", "w").get(b"k").is_null());
        assert_eq!(store.counter("p", "w").count(b"k"), 2);
    }
}
