//! The sessions there are: counted against their limits, listed for people.

use super::limits::Limits;
use crate::policy::verdict::Storm;
use crate::wire::Str;
use std::{
    collections::{BTreeMap, HashMap},
    net::{IpAddr, SocketAddr},
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};
use tokio::{task::AbortHandle, time::Instant};

/// Storms that one session is in.
const STORMS: usize = 64;

/// What is known of a session while it lives.
#[derive(Debug)]
pub struct SessionInfo {
    pub id: u64,
    pub listener: Str,
    pub remote: SocketAddr,
    pub since: Instant,
    pub requests: AtomicU64,
    pub in_flight: AtomicU64,
    pub bytes_in: AtomicU64,
    pub bytes_out: AtomicU64,
    who: Mutex<Who>,
    /// The storms it is in, by their rules.
    storms: Mutex<Vec<u64>>,
    /// Its task, with which it is dropped.
    task: OnceLock<AbortHandle>,
}

/// The part that changes: as of the last request.
#[derive(Clone, Debug, Default)]
pub struct Who {
    pub principal: Str,
    pub client_id: Option<Str>,
    pub client_software: Option<String>,
    pub state: &'static str,
}

impl SessionInfo {
    pub fn who(&self) -> Who {
        self.lock().clone()
    }

    pub fn update(&self, change: impl FnOnce(&mut Who)) {
        change(&mut self.lock());
    }

    /// Says which task is its.
    pub(super) fn runs_as(&self, task: AbortHandle) {
        // it is said once
        let _ = self.task.set(task);
    }

    fn join(&self, storm: u64) {
        let mut storms = self.storms.lock().unwrap_or_else(PoisonError::into_inner);
        if !storms.contains(&storm) {
            // of rules that are no more there may be many
            if storms.len() == STORMS {
                storms.remove(0);
            }
            storms.push(storm);
        }
    }

    fn is_in(&self, storm: u64) -> bool {
        self.storms.lock().unwrap_or_else(PoisonError::into_inner).contains(&storm)
    }

    fn lock(&self) -> MutexGuard<'_, Who> {
        self.who.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Default)]
struct State {
    sessions: BTreeMap<u64, Arc<SessionInfo>>,
    by_address: HashMap<IpAddr, usize>,
}

/// All sessions of the process.
pub struct Registry {
    state: Mutex<State>,
    next_id: AtomicU64,
    max_sessions: usize,
    max_per_address: usize,
}

/// Keeps a session registered; dropping it takes the session out.
pub struct Registered {
    registry: Arc<Registry>,
    pub info: Arc<SessionInfo>,
}

impl Registry {
    pub fn new(limits: &Limits) -> Arc<Registry> {
        Arc::new(Registry {
            state: Mutex::default(),
            next_id: AtomicU64::new(1),
            max_sessions: limits.max_sessions,
            max_per_address: limits.max_sessions_per_address,
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a session in; None when there are too many.
    pub fn enter(self: &Arc<Self>, listener: &Str, remote: SocketAddr) -> Option<Registered> {
        let mut state = self.state();
        if state.sessions.len() >= self.max_sessions
            || state.by_address.get(&remote.ip()).is_some_and(|n| *n >= self.max_per_address)
        {
            return None;
        }
        let info = Arc::new(SessionInfo {
            id: self.next_id.fetch_add(1, Ordering::Relaxed),
            listener: listener.clone(),
            remote,
            since: Instant::now(),
            requests: AtomicU64::new(0),
            in_flight: AtomicU64::new(0),
            bytes_in: AtomicU64::new(0),
            bytes_out: AtomicU64::new(0),
            who: Mutex::default(),
            storms: Mutex::default(),
            task: OnceLock::new(),
        });
        *state.by_address.entry(remote.ip()).or_default() += 1;
        state.sessions.insert(info.id, info.clone());
        Some(Registered { registry: self.clone(), info })
    }

    /// A session is in these storms from here on. Those that break drop all other sessions in them: so many.
    pub fn storm(&self, session: u64, storms: &[Storm]) -> usize {
        let state = self.state();
        if let Some(info) = state.sessions.get(&session) {
            storms.iter().for_each(|storm| info.join(storm.rule));
        }
        let breaks = |info: &SessionInfo| storms.iter().any(|storm| storm.breaks && info.is_in(storm.rule));
        let struck = state.sessions.values().filter(|info| info.id != session && breaks(info));
        struck.filter_map(|info| info.task.get()).inspect(|task| task.abort()).count()
    }

    pub fn len(&self) -> usize {
        self.state().sessions.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// At most `limit` sessions with ids above `after`, in the order of their ids.
    pub fn page(&self, after: u64, limit: usize) -> Vec<Arc<SessionInfo>> {
        let state = self.state();
        let from = (std::ops::Bound::Excluded(after), std::ops::Bound::Unbounded);
        state.sessions.range(from).take(limit).map(|(_, info)| info.clone()).collect()
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        let mut state = self.registry.state();
        state.sessions.remove(&self.info.id);
        let address = self.info.remote.ip();
        if let Some(count) = state.by_address.get_mut(&address) {
            *count -= 1;
            if *count == 0 {
                state.by_address.remove(&address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_hold_in_all_and_by_address() {
        let limits = Limits { max_sessions: 3, max_sessions_per_address: 2, ..Limits::default() };
        let registry = Registry::new(&limits);
        let enter = |ip: &str| registry.enter(&Str::from("l"), format!("{ip}:1").parse().unwrap());
        let first = enter("127.0.0.1").unwrap();
        let _second = enter("127.0.0.1").unwrap();
        assert!(enter("127.0.0.1").is_none());
        let _third = enter("127.0.0.2").unwrap();
        assert!(enter("127.0.0.3").is_none());
        let ids: Vec<u64> = registry.page(1, 10).iter().map(|s| s.id).collect();
        assert_eq!(ids, [2, 3]);
        drop(first);
        assert!(enter("127.0.0.1").is_some());
    }
}
