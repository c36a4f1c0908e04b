//! What scripts share across exchanges, sessions and threads: native windows, found by policy and name.
//!
//! A window survives reloads as long as a policy of that name names it. Memory is bounded: keys per window
//! (the least recently used goes, and is counted), windows per policy, bytes of a key.

use super::clock::Clock;
use super::lru::Lru;
use std::collections::{BTreeMap, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Keys one window remembers.
pub const KEYS_PER_WINDOW: usize = 65_536;
/// Windows one policy may have.
pub const WINDOWS_PER_POLICY: usize = 64;
/// Longer keys count under a hash of themselves.
const KEY_BYTES: usize = 256;
const SHARDS: usize = 16;
/// A window is counted in this many steps: an event leaves at most one step late, never early.
const STEPS: u64 = 64;

/// All windows of a process.
#[derive(Debug)]
pub struct StateStore {
    clock: Clock,
    windows: Mutex<BTreeMap<Named, Arc<Window>>>,
    /// Outlives the windows it counts for.
    evicted: Arc<AtomicU64>,
}

/// Policy, name and length. One with another length is another window: what was counted over an hour says
/// nothing about a minute, and a script that fails to load must not have touched the window of the living one.
type Named = (String, String, Duration);

impl StateStore {
    pub fn new(clock: Clock) -> Arc<Self> {
        Arc::new(Self { clock, windows: Mutex::default(), evicted: Arc::default() })
    }

    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// The window of this policy, name and length.
    pub fn window(&self, policy: &str, name: &str, length: Duration) -> Arc<Window> {
        let mut windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        let named = (policy.to_owned(), name.to_owned(), length);
        let window = windows
            .entry(named)
            .or_insert_with(|| Arc::new(Window::new(self.clock.clone(), length, Arc::clone(&self.evicted))));
        Arc::clone(window)
    }

    /// Forgets windows that no loaded policy names any more.
    pub fn retain(&self, mut named: impl FnMut(&str, &str, Duration) -> bool) {
        let mut windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        windows.retain(|(policy, name, length), _| named(policy, name, *length));
    }

    /// Keys that had to be forgotten, over all windows there were.
    pub fn evicted(&self) -> u64 {
        self.evicted.load(Ordering::Relaxed)
    }
}

/// Counts events by key over the last `length` of time.
#[derive(Debug)]
pub struct Window {
    length: Duration,
    step: Duration,
    clock: Clock,
    place: RandomState,
    shards: Vec<Mutex<Shard>>,
    evicted: Arc<AtomicU64>,
}

struct Shard(Lru<Box<[u8]>, Counts>);

impl std::fmt::Debug for Shard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} keys", self.0.len())
    }
}

/// Steps that hold something, oldest first.
#[derive(Default)]
struct Counts(VecDeque<(u64, u32)>);

impl Window {
    fn new(clock: Clock, length: Duration, evicted: Arc<AtomicU64>) -> Self {
        let shard = || Mutex::new(Shard(Lru::new(KEYS_PER_WINDOW / SHARDS)));
        Self {
            length,
            step: (length / STEPS as u32).max(Duration::from_millis(1)),
            clock,
            place: RandomState::new(),
            shards: (0..SHARDS).map(|_| shard()).collect(),
            evicted,
        }
    }

    pub fn length(&self) -> Duration {
        self.length
    }

    /// Events under `key` in the window that ends now.
    pub fn count(&self, key: &[u8]) -> u64 {
        let (key, now) = (Self::bounded(key), self.step_now());
        let mut shard = self.shard(&key).lock().unwrap_or_else(PoisonError::into_inner);
        shard.0.get_mut(&*key).map_or(0, |counts| counts.total(now))
    }

    pub fn add(&self, key: &[u8], n: u32) {
        let (key, now) = (Self::bounded(key), self.step_now());
        let mut shard = self.shard(&key).lock().unwrap_or_else(PoisonError::into_inner);
        let (counts, evicted) = shard.0.get_or_insert_with(key.into_owned().into(), Counts::default);
        counts.add(now, n);
        if evicted.is_some() {
            self.evicted.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub fn clear(&self, key: &[u8]) {
        let key = Self::bounded(key);
        let mut shard = self.shard(&key).lock().unwrap_or_else(PoisonError::into_inner);
        shard.0.remove(&*key);
    }

    /// The key as it is kept: a long one as a hash of itself.
    pub fn bounded(key: &[u8]) -> std::borrow::Cow<'_, [u8]> {
        match key.len() {
            0..=KEY_BYTES => key.into(),
            _ => super::random::identity([key]).to_le_bytes().to_vec().into(),
        }
    }

    fn step_now(&self) -> u64 {
        (self.clock.now().as_nanos() / self.step.as_nanos()) as u64
    }

    fn shard(&self, key: &[u8]) -> &Mutex<Shard> {
        &self.shards[self.place.hash_one(key) as usize % SHARDS]
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
        let mut shard = window.shard(b"k").lock().unwrap();
        assert!(shard.0.get_mut(b"k".as_slice()).unwrap().0.len() <= STEPS as usize + 1);
    }

    #[test]
    fn keys_are_bounded_and_evictions_counted() {
        let (_, window) = window();
        for i in 0..(KEYS_PER_WINDOW as u32 * 2) {
            window.add(&i.to_le_bytes(), 1);
        }
        let kept: usize = window.shards.iter().map(|s| s.lock().unwrap().0.len()).sum();
        assert!(kept <= KEYS_PER_WINDOW);
        assert_eq!(window.evicted.load(Ordering::Relaxed), (KEYS_PER_WINDOW * 2 - kept) as u64);
    }

    #[test]
    fn evictions_stay_counted_when_their_window_is_forgotten() {
        let store = StateStore::new(Clock::manual());
        let window = store.window("p", "w", MINUTE);
        (0..KEYS_PER_WINDOW as u32 * 2).for_each(|i| window.add(&i.to_le_bytes(), 1));
        let evicted = store.evicted();
        assert!(evicted >= KEYS_PER_WINDOW as u64);
        store.retain(|_, _, _| false);
        assert_eq!(store.evicted(), evicted);
    }

    #[test]
    fn long_keys_stay_apart() {
        let (_, window) = window();
        let (a, b) = (vec![b'a'; 5000], [vec![b'a'; 4999], vec![b'b']].concat());
        window.add(&a, 1);
        assert_eq!((window.count(&a), window.count(&b)), (1, 0));
    }

    #[test]
    fn a_window_is_found_by_policy_and_name() {
        let store = StateStore::new(Clock::manual());
        store.window("p", "w", MINUTE).add(b"k", 1);
        assert_eq!(store.window("p", "w", MINUTE).count(b"k"), 1);
        assert_eq!(store.window("q", "w", MINUTE).count(b"k"), 0);
        assert_eq!(store.window("p", "v", MINUTE).count(b"k"), 0);
        assert_eq!(store.window("p", "w", MINUTE * 2).count(b"k"), 0);
        store.retain(|policy, _, _| policy == "q");
        assert_eq!(store.window("p", "w", MINUTE).count(b"k"), 0, "forgotten with its policy");
    }

    #[test]
    fn clear_forgets_one_key() {
        let (_, window) = window();
        window.add(b"a", 3);
        window.add(b"b", 1);
        window.clear(b"a");
        assert_eq!((window.count(b"a"), window.count(b"b")), (0, 1));
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
