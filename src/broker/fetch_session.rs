//! Incremental fetch sessions (KIP-227): what a consumer said before need not be said again, and what has not changed
//! since is left out of the answer.
//!
//! The cache is bounded in sessions and in partitions. A consumer that gets no session, or loses it, sends full
//! fetches: the protocol foresees that, so refusing is always safe.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::partition::Partition;
use super::topic::Topic;
use crate::wire::{ErrorCode, Str, Uuid};

/// Request epoch of a fetch that wants a new session.
pub(super) const INITIAL_EPOCH: i32 = 0;
/// Request epoch of a fetch that wants no session, and ends the one it names.
pub(super) const FINAL_EPOCH: i32 = -1;

/// So that consumers of different connections seldom meet at one lock.
const SHARDS: usize = 8;
/// A session younger than this is not put out for another (Kafka's figure).
const MIN_EVICTION: Duration = Duration::from_secs(120);
/// Partitions all sessions may hold together.
const MAX_PARTITIONS: usize = 1_000_000;

/// Which partition, as the client names it: by topic name, or from version 13 on by id.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub name: Str,
    pub id: Uuid,
    pub partition: i32,
}

/// What the client asked of a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ask {
    pub fetch_offset: i64,
    pub max_bytes: i32,
    pub current_leader_epoch: i32,
    pub last_fetched_epoch: i32,
}

/// A partition looked up; found again when its topic was deleted.
pub(super) type Found = Option<(Arc<Topic>, Arc<Partition>)>;

/// One partition of a session.
#[derive(Debug, Clone)]
pub(super) struct Cached {
    pub key: Key,
    pub ask: Ask,
    pub found: Found,
    /// As last told to the client; -1 when it must hear of the partition whatever comes.
    high_watermark: i64,
    log_start_offset: i64,
}

/// What there is to tell of a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct News {
    pub failed: bool,
    pub has_records: bool,
    pub diverging: bool,
    pub high_watermark: i64,
    pub log_start_offset: i64,
}

impl Cached {
    pub fn new(key: Key, ask: Ask, found: Found) -> Self {
        Cached { key, ask, found, high_watermark: -1, log_start_offset: -1 }
    }

    /// Whether the client must be told; remembers that it was.
    fn tell(&mut self, news: News) -> bool {
        let mut must = news.has_records || news.diverging;
        must |= self.high_watermark != news.high_watermark;
        must |= self.log_start_offset != news.log_start_offset;
        self.high_watermark = news.high_watermark;
        self.log_start_offset = news.log_start_offset;
        if news.failed {
            // The next time it is well it must be said.
            self.high_watermark = -1;
            must = true;
        }
        must
    }
}

/// What a client is fetching.
#[derive(Debug)]
pub(super) struct Session {
    id: i32,
    /// The request epoch expected next.
    epoch: i32,
    by_id: bool,
    created: Duration,
    last_used: Duration,
    /// In the order they are served: who got records goes to the end.
    partitions: BTreeMap<u64, Cached>,
    places: HashMap<Key, u64>,
    next_place: u64,
}

pub(super) type SharedSession = Arc<Mutex<Session>>;

impl Session {
    pub fn id(&self) -> i32 {
        self.id
    }

    pub fn epoch(&self) -> i32 {
        self.epoch
    }

    /// Every partition with its place, in the order they are to be served.
    pub fn partitions(&mut self) -> impl Iterator<Item = (u64, &mut Cached)> {
        self.partitions.iter_mut().map(|(place, cached)| (*place, cached))
    }

    fn put(&mut self, cached: Cached) {
        match self.places.get(&cached.key) {
            Some(place) => {
                // What the client was told stays told.
                if let Some(known) = self.partitions.get_mut(place) {
                    known.ask = cached.ask;
                }
            }
            None => {
                // The key must not keep the request's frame alive.
                let key = Key { name: cached.key.name.detached(), ..cached.key };
                self.places.insert(key.clone(), self.next_place);
                self.partitions.insert(self.next_place, Cached { key, ..cached });
                self.next_place += 1;
            }
        }
    }

    fn forget(&mut self, key: &Key) {
        if let Some(place) = self.places.remove(key) {
            self.partitions.remove(&place);
        }
    }

    /// Whether the client must be told of the partition at `place`; one that got records is served last next time.
    pub fn tell(&mut self, place: u64, news: News) -> bool {
        let Some(cached) = self.partitions.get_mut(&place) else { return false };
        let must = cached.tell(news);
        if news.has_records
            && let Some(cached) = self.partitions.remove(&place)
        {
            self.places.insert(cached.key.clone(), self.next_place);
            self.partitions.insert(self.next_place, cached);
            self.next_place += 1;
        }
        must
    }
}

/// All sessions.
pub(super) struct FetchSessions {
    shards: [Mutex<HashMap<i32, SharedSession>>; SHARDS],
    slots_per_shard: usize,
    partitions: AtomicUsize,
}

pub(super) fn lock(session: &Mutex<Session>) -> MutexGuard<'_, Session> {
    session.lock().unwrap_or_else(PoisonError::into_inner)
}

impl FetchSessions {
    pub fn new(slots: usize) -> Self {
        FetchSessions {
            shards: Default::default(),
            slots_per_shard: slots.div_ceil(SHARDS),
            partitions: AtomicUsize::new(0),
        }
    }

    fn shard(&self, id: i32) -> MutexGuard<'_, HashMap<i32, SharedSession>> {
        let shard = &self.shards[id.unsigned_abs() as usize % SHARDS];
        shard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends a session; nothing if there is none.
    pub fn remove(&self, id: i32) {
        if let Some(session) = self.shard(id).remove(&id) {
            self.partitions.fetch_sub(lock(&session).partitions.len(), Ordering::Relaxed);
        }
    }

    /// Takes an incremental request into its session. `None`: nothing is left in it, and it has ended.
    pub fn update(
        &self,
        id: i32,
        epoch: i32,
        by_id: bool,
        put: impl Iterator<Item = Cached>,
        forget: impl Iterator<Item = Key>,
        now: Duration,
    ) -> Result<Option<SharedSession>, ErrorCode> {
        let session = self.shard(id).get(&id).cloned().ok_or(ErrorCode::FETCH_SESSION_ID_NOT_FOUND)?;
        let (len, overflow) = {
            let mut session = lock(&session);
            if session.epoch != epoch {
                return Err(ErrorCode::INVALID_FETCH_SESSION_EPOCH);
            }
            if session.by_id != by_id {
                return Err(ErrorCode::FETCH_SESSION_TOPIC_ID_ERROR);
            }
            let before = session.partitions.len();
            for cached in put {
                session.put(cached);
            }
            for key in forget {
                session.forget(&key);
            }
            session.epoch = next_epoch(epoch);
            session.last_used = now;
            let len = session.partitions.len();
            let total = if len >= before {
                self.partitions.fetch_add(len - before, Ordering::Relaxed) + (len - before)
            } else {
                self.partitions.fetch_sub(before - len, Ordering::Relaxed)
            };
            (len, len > before && total > MAX_PARTITIONS)
        };
        if overflow {
            self.remove(id);
            return Err(ErrorCode::FETCH_SESSION_ID_NOT_FOUND);
        }
        if len == 0 {
            self.remove(id);
            return Ok(None);
        }
        Ok(Some(session))
    }

    /// Makes a session of what a full fetch asked for and was told; its id, 0 when there is no room.
    pub fn create(&self, told: Vec<(Cached, News)>, by_id: bool, now: Duration) -> i32 {
        let size = told.len();
        if size == 0 || self.partitions.load(Ordering::Relaxed) + size > MAX_PARTITIONS {
            return 0;
        }
        let Some(id) = random_id() else { return 0 };
        let mut shard = self.shard(id);
        if shard.contains_key(&id)
            || (shard.len() >= self.slots_per_shard && !self.evict(&mut shard, size, now))
        {
            return 0;
        }
        let mut session = Session {
            id,
            epoch: next_epoch(INITIAL_EPOCH),
            by_id,
            created: now,
            last_used: now,
            partitions: BTreeMap::new(),
            places: HashMap::with_capacity(size),
            next_place: 0,
        };
        for (mut cached, news) in told {
            cached.tell(news);
            session.put(cached);
        }
        self.partitions.fetch_add(session.partitions.len(), Ordering::Relaxed);
        shard.insert(id, Arc::new(Mutex::new(session)));
        id
    }

    /// Puts out the session unused for longest, if that is long; else the smallest that has had its time, if it is
    /// smaller than the newcomer.
    fn evict(&self, shard: &mut HashMap<i32, SharedSession>, size: usize, now: Duration) -> bool {
        let mut oldest: Option<(Duration, i32)> = None;
        let mut smallest: Option<(usize, i32)> = None;
        for (id, session) in shard.iter() {
            let session = lock(session);
            let unused = (session.last_used, *id);
            if oldest.is_none_or(|oldest| unused < oldest) {
                oldest = Some(unused);
            }
            let settled = now.saturating_sub(session.created) >= MIN_EVICTION;
            let small = (session.partitions.len(), *id);
            if settled && small.0 < size && smallest.is_none_or(|smallest| small < smallest) {
                smallest = Some(small);
            }
        }
        let idle = oldest.filter(|(last_used, _)| now.saturating_sub(*last_used) >= MIN_EVICTION);
        let Some(id) = idle.map(|(_, id)| id).or(smallest.map(|(_, id)| id)) else { return false };
        if let Some(session) = shard.remove(&id) {
            self.partitions.fetch_sub(lock(&session).partitions.len(), Ordering::Relaxed);
        }
        true
    }

    #[cfg(test)]
    fn counts(&self) -> (usize, usize) {
        let sessions = self.shards.iter().map(|shard| shard.lock().unwrap().len()).sum();
        (sessions, self.partitions.load(Ordering::Relaxed))
    }
}

/// Epochs go from 1 up and round to 1 again: 0 means a new session.
fn next_epoch(epoch: i32) -> i32 {
    if epoch == i32::MAX { 1 } else { epoch + 1 }
}

/// Positive, and not to be guessed: whoever knows a session's id can end it.
fn random_id() -> Option<i32> {
    let mut bytes = [0; 4];
    getrandom::fill(&mut bytes).ok()?;
    Some((i32::from_be_bytes(bytes) & i32::MAX).max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUIET: News =
        News { failed: false, has_records: false, diverging: false, high_watermark: 5, log_start_offset: 0 };

    fn cached(topic: &'static str, partition: i32) -> Cached {
        let ask = Ask { fetch_offset: 0, max_bytes: 1, current_leader_epoch: -1, last_fetched_epoch: -1 };
        let key = Key { name: Str::from_static(topic), id: Uuid::ZERO, partition };
        Cached::new(key, ask, None)
    }

    fn told(partitions: i32) -> Vec<(Cached, News)> {
        (0..partitions).map(|partition| (cached("t", partition), QUIET)).collect()
    }

    fn touch(sessions: &FetchSessions, id: i32, epoch: i32, now: u64) -> Result<bool, ErrorCode> {
        let none = std::iter::empty();
        sessions
            .update(id, epoch, false, none, std::iter::empty(), Duration::from_secs(now))
            .map(|session| session.is_some())
    }

    #[test]
    fn epochs_must_follow_each_other() {
        let sessions = FetchSessions::new(10);
        let id = sessions.create(told(2), false, Duration::ZERO);
        assert!(id > 0);
        assert_eq!(touch(&sessions, id, 1, 0), Ok(true));
        assert_eq!(touch(&sessions, id, 1, 0), Err(ErrorCode::INVALID_FETCH_SESSION_EPOCH));
        assert_eq!(touch(&sessions, id, 2, 0), Ok(true));
        assert_eq!(touch(&sessions, id ^ 1, 1, 0), Err(ErrorCode::FETCH_SESSION_ID_NOT_FOUND));
        let by_id = sessions.update(id, 3, true, std::iter::empty(), std::iter::empty(), Duration::ZERO);
        assert_eq!(by_id.map(|_| ()), Err(ErrorCode::FETCH_SESSION_TOPIC_ID_ERROR));
        assert_eq!(next_epoch(i32::MAX), 1);
    }

    #[test]
    fn what_has_not_changed_is_not_told_again() {
        let mut session = cached("t", 0);
        assert!(session.tell(QUIET));
        assert!(!session.tell(QUIET));
        assert!(session.tell(News { high_watermark: 6, ..QUIET }));
        assert!(session.tell(News { high_watermark: 6, log_start_offset: 1, ..QUIET }));
        let failed = News { failed: true, high_watermark: -1, ..QUIET };
        assert!(session.tell(failed) && session.tell(failed), "errors are always told");
        assert!(session.tell(QUIET), "and so is their end");
    }

    #[test]
    fn who_got_records_is_served_last() {
        let sessions = FetchSessions::new(10);
        let id = sessions.create(told(3), false, Duration::ZERO);
        let session = sessions
            .update(id, 1, false, std::iter::empty(), std::iter::empty(), Duration::ZERO)
            .unwrap()
            .unwrap();
        let order = || lock(&session).partitions().map(|(_, c)| c.key.partition).collect::<Vec<_>>();
        let first = lock(&session).partitions().next().map(|(place, _)| place).unwrap();
        assert!(lock(&session).tell(first, News { has_records: true, ..QUIET }));
        assert_eq!(order(), [1, 2, 0]);
    }

    #[test]
    fn partitions_come_and_go_and_an_empty_session_ends() {
        let sessions = FetchSessions::new(10);
        let id = sessions.create(told(1), false, Duration::ZERO);
        let add = [cached("u", 0), cached("u", 0)].into_iter();
        let session = sessions.update(id, 1, false, add, std::iter::empty(), Duration::ZERO);
        assert_eq!(lock(&session.unwrap().unwrap()).partitions().count(), 2);
        assert_eq!(sessions.counts(), (1, 2));
        let gone = [cached("t", 0).key, cached("u", 0).key, cached("never", 0).key].into_iter();
        let left = sessions.update(id, 2, false, std::iter::empty(), gone, Duration::ZERO);
        assert!(left.unwrap().is_none());
        assert_eq!(sessions.counts(), (0, 0));
    }

    #[test]
    fn the_cache_is_bounded_and_young_sessions_keep_their_place() {
        let sessions = FetchSessions::new(SHARDS);
        let full = |now: u64, size: i32| {
            let made = (0..400).filter(|_| sessions.create(told(size), false, Duration::from_secs(now)) > 0);
            made.count()
        };
        assert_eq!(full(0, 2), SHARDS, "one a shard");
        assert_eq!(full(60, 9), 0, "all are young");
        assert_eq!(sessions.counts(), (SHARDS, SHARDS * 2));
        assert_eq!(full(121, 1), SHARDS, "unused for two minutes");
        assert_eq!(sessions.counts(), (SHARDS, SHARDS));
    }
}
