//! Client quotas (KIP-13, KIP-124, KIP-546, KIP-599, KIP-612): what users, client ids and addresses may use, kept in the
//! catalogue's store, and what they have used, in memory.
//!
//! `entity.rs` says whom a quota can be for, `limits.rs` which of them holds for whom, `wire::rate` how use is measured
//! and `windows.rs` remembers it, within bounds. `metering.rs` puts it around a request: a client that used more than its quota is
//! told so in `throttle_time_ms`, and [`super::Reply::Metered`] says for how long its session is not read.
//!
//! Without any quota a request costs one look at a flag.

pub mod entity;
mod limits;
mod metering;
mod windows;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use entity::Entity;
pub(super) use limits::Kind;
use limits::{Limits, Purse};
pub(super) use metering::{Metering, Mutations, metered, millis, size_of};
use serde::{Deserialize, Serialize};
use windows::Used;

use super::catalogue::Catalogue;
use super::config::Settings;
use super::error::{ApiError, BrokerError};
use super::{Clock, Context};
use crate::storage::KvOp;
use crate::wire::rate::{Rate, TokenBucket, Windows};
use crate::wire::{ErrorCode, Str};

const TABLE: &str = "client.quotas";
/// Entities with quotas: whoever may alter them must not fill the memory with names.
const MOST_ENTITIES: usize = 100_000;

type All = BTreeMap<Entity, BTreeMap<String, f64>>;

/// All quotas, and what was used of them.
pub struct Quotas {
    clock: Clock,
    windows: Windows,
    mutation_windows: Windows,
    quotas: RwLock<Arc<All>>,
    limits: RwLock<Arc<Limits>>,
    /// Whether there are any for users or client ids; for addresses.
    concern_clients: AtomicBool,
    concern_addresses: AtomicBool,
    produced: Mutex<Used<Purse, Rate>>,
    fetched: Mutex<Used<Purse, Rate>>,
    requested: Mutex<Used<Purse, Rate>>,
    mutated: Mutex<Used<Purse, TokenBucket>>,
    connected: Mutex<Used<IpAddr, Rate>>,
    /// Held over a change from its checks to its end.
    changing: Mutex<()>,
}

/// What is to become of an entity's quotas, by key; no value takes one away.
pub(super) struct Change<'a> {
    pub entity: &'a Entity,
    pub ops: Vec<(&'a str, Option<f64>)>,
}

impl Change<'_> {
    /// Does it where all quotas are, unless one cannot be given; what that makes of the store.
    fn apply(&self, all: &mut All) -> Result<KvOp, ApiError> {
        for (key, value) in &self.ops {
            if let Some(value) = value {
                self.entity.check_quota(key, *value)?;
            }
        }
        let mut values = all.get(self.entity).cloned().unwrap_or_default();
        for (key, value) in &self.ops {
            match value {
                Some(value) => drop(values.insert((*key).to_owned(), *value)),
                None => drop(values.remove(*key)),
            }
        }
        let unsayable =
            |error: serde_json::Error| ApiError::new(ErrorCode::UNKNOWN_SERVER_ERROR, error.to_string());
        let key = serde_json::to_string(self.entity).map_err(unsayable)?.into_bytes();
        if values.is_empty() {
            all.remove(self.entity);
            return Ok(KvOp::Delete { table: TABLE, key });
        }
        if all.len() >= MOST_ENTITIES && !all.contains_key(self.entity) {
            let message = format!("More than {MOST_ENTITIES} entities have quotas.");
            return Err(ApiError::new(ErrorCode::POLICY_VIOLATION, message));
        }
        let stored: BTreeMap<&str, Stored> =
            values.iter().map(|(key, value)| (key.as_str(), Stored(*value))).collect();
        let value = serde_json::to_vec(&stored).map_err(unsayable)?;
        all.insert(self.entity.clone(), values);
        Ok(KvOp::Put { table: TABLE, key, value })
    }
}

/// A quota as the store has it: JSON knows no infinity, which Kafka lets a quota be, and its numbers do not all come back as
/// they were.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(into = "String", try_from = "serde_json::Value")]
struct Stored(f64);

impl From<Stored> for String {
    fn from(Stored(value): Stored) -> String {
        value.to_string()
    }
}

impl TryFrom<serde_json::Value> for Stored {
    type Error = String;

    fn try_from(value: serde_json::Value) -> Result<Stored, String> {
        match &value {
            serde_json::Value::String(text) => text.parse().ok().map(Stored),
            // As it was stored before: a number, and nothing for infinity.
            serde_json::Value::Number(number) => number.as_f64().map(Stored),
            serde_json::Value::Null => Some(Stored(f64::INFINITY)),
            _ => None,
        }
        .ok_or_else(|| format!("{value} is no quota"))
    }
}

/// Who asks, in the terms of quotas.
#[derive(Debug, Clone)]
pub(super) struct Payer {
    user: Str,
    client_id: Str,
}

impl Payer {
    pub fn of(cx: &Context) -> Self {
        let principal = cx.principal.as_str();
        Payer {
            user: Str::from(principal.split_once(':').map_or(principal, |(_, name)| name)),
            client_id: cx.client_id.as_ref().map(Str::detached).unwrap_or_default(),
        }
    }
}

impl Quotas {
    /// Blocks on the disk, as does `alter`.
    pub(super) fn open(catalogue: &Catalogue, clock: Clock) -> Result<Self, BrokerError> {
        let damaged = |what: &str, error: serde_json::Error| BrokerError::Catalogue {
            what: format!("quotas of {what}"),
            problem: error.to_string(),
        };
        let mut all = All::new();
        for (key, value) in catalogue.records(TABLE)? {
            let entity: Entity = serde_json::from_str(&key).map_err(|error| damaged(&key, error))?;
            let stored: BTreeMap<String, Stored> =
                serde_json::from_slice(&value).map_err(|error| damaged(&key, error))?;
            all.insert(entity, stored.into_iter().map(|(key, Stored(value))| (key, value)).collect());
        }
        let quotas = Quotas {
            clock,
            windows: windows(&catalogue.settings(), false),
            mutation_windows: windows(&catalogue.settings(), true),
            quotas: RwLock::default(),
            limits: RwLock::default(),
            concern_clients: AtomicBool::new(false),
            concern_addresses: AtomicBool::new(false),
            produced: Mutex::default(),
            fetched: Mutex::default(),
            requested: Mutex::default(),
            mutated: Mutex::default(),
            connected: Mutex::default(),
            changing: Mutex::default(),
        };
        quotas.take(all);
        Ok(quotas)
    }

    /// Puts these in force. Blocks on the system's resolver where a host is new.
    fn take(&self, all: All) {
        let before = Arc::clone(&self.limits.read().unwrap_or_else(PoisonError::into_inner));
        let limits = Limits::new(&all, &before);
        self.concern_clients.store(limits.concern_clients(), Ordering::Release);
        self.concern_addresses.store(limits.concern_addresses(), Ordering::Release);
        *self.limits.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(limits);
        *self.quotas.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(all);
    }

    pub(super) fn all(&self) -> Arc<All> {
        Arc::clone(&self.quotas.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Gives entities, which must have been checked, quotas or takes them away. Each stands or falls on its own; those that stand
    /// are durable and in force together on return: a request of thousands costs one commit.
    pub(super) fn alter(
        &self,
        catalogue: &Catalogue,
        changes: &[Change<'_>],
        validate_only: bool,
    ) -> Vec<Result<(), ApiError>> {
        let _change = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut all = (*self.all()).clone();
        let mut ops = Vec::new();
        let outcomes: Vec<Result<(), ApiError>> =
            changes.iter().map(|change| change.apply(&mut all).map(|op| ops.push(op))).collect();
        if validate_only || ops.is_empty() {
            return outcomes;
        }
        if let Err(error) = catalogue.change_records(ops) {
            let error = ApiError::from(error);
            return outcomes.into_iter().map(|outcome| outcome.and(Err(error.clone()))).collect();
        }
        self.take(all);
        outcomes
    }

    /// Whether any user or client id has a quota.
    pub(super) fn concern_clients(&self) -> bool {
        self.concern_clients.load(Ordering::Relaxed)
    }

    fn limit(&self, kind: Kind, payer: &Payer) -> Option<(f64, Purse)> {
        let limits = Arc::clone(&self.limits.read().unwrap_or_else(PoisonError::into_inner));
        limits.find(kind, &payer.user, &payer.client_id)
    }

    fn now_ms(&self) -> i64 {
        i64::try_from(self.clock.elapsed().as_millis()).unwrap_or(i64::MAX)
    }

    fn rates(&self, kind: Kind) -> MutexGuard<'_, Used<Purse, Rate>> {
        let rates = match kind {
            Kind::Produce => &self.produced,
            Kind::Fetch => &self.fetched,
            Kind::Request | Kind::Mutation => &self.requested,
        };
        rates.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts what a client used; gives for how long it must use nothing.
    pub(super) fn record(&self, kind: Kind, payer: &Payer, value: f64) -> Duration {
        let Some((limit, purse)) = self.limit(kind, payer) else { return Duration::ZERO };
        let now_ms = self.now_ms();
        let mut rates = self.rates(kind);
        let rate = rates.entry(purse, now_ms, Rate::default);
        rate.record(self.windows, value, now_ms);
        let excess_ms = rate.excess_ms(self.windows, limit, now_ms);
        let excess = Duration::from_millis(u64::try_from(excess_ms).unwrap_or(0));
        match kind {
            // Kafka waits at most one window for time that was spent.
            Kind::Request => excess.min(Duration::from_millis(self.windows.window_ms.unsigned_abs())),
            _ => excess,
        }
    }

    /// Counts without asking: what was not used after all, as less than nothing, or what comes too late to matter now.
    pub(super) fn note(&self, kind: Kind, payer: &Payer, value: f64) {
        if let Some((_, purse)) = self.limit(kind, payer) {
            let now_ms = self.now_ms();
            self.rates(kind).entry(purse, now_ms, Rate::default).record(self.windows, value, now_ms);
        }
    }

    /// The most bytes that a fetch may carry without waiting for it in any case.
    fn most_fetched(&self, payer: &Payer) -> Option<usize> {
        let (limit, _) = self.limit(Kind::Fetch, payer)?;
        let seconds =
            (self.windows.samples.saturating_sub(1)) as f64 * self.windows.window_ms as f64 / 1000.0;
        // A cast of a float saturates.
        Some((limit * seconds) as usize)
    }

    /// Asks whether an address may open a connection, and counts it. Otherwise how long to keep it waiting before it is closed.
    pub fn connect(&self, address: IpAddr) -> Option<Duration> {
        if !self.concern_addresses.load(Ordering::Relaxed) {
            return None;
        }
        let limits = Arc::clone(&self.limits.read().unwrap_or_else(PoisonError::into_inner));
        let limit = limits.address(address)?;
        let now_ms = self.now_ms();
        let mut connected = self.connected.lock().unwrap_or_else(PoisonError::into_inner);
        let rate = connected.entry(address.to_canonical(), now_ms, Rate::default);
        rate.record(self.windows, 1.0, now_ms);
        let excess_ms = rate.excess_ms(self.windows, limit, now_ms).min(self.windows.window_ms);
        if excess_ms == 0 {
            return None;
        }
        // It does not come in.
        rate.record(self.windows, -1.0, now_ms);
        Some(Duration::from_millis(u64::try_from(excess_ms).unwrap_or(0)))
    }

    /// Forgets who was idle.
    pub(super) fn expire(&self) {
        let now_ms = self.now_ms();
        for rates in [&self.produced, &self.fetched, &self.requested] {
            rates.lock().unwrap_or_else(PoisonError::into_inner).expire(now_ms);
        }
        self.mutated.lock().unwrap_or_else(PoisonError::into_inner).expire(now_ms);
        self.connected.lock().unwrap_or_else(PoisonError::into_inner).expire(now_ms);
    }
}

fn windows(settings: &Settings, of_mutations: bool) -> Windows {
    let (samples, seconds) = match of_mutations {
        true => (settings.controller_quota_window_num, settings.controller_quota_window_size_seconds),
        false => (settings.quota_window_num, settings.quota_window_size_seconds),
    };
    Windows {
        samples: usize::try_from(samples).unwrap_or(1).max(1),
        window_ms: i64::from(seconds.max(1)) * 1000,
    }
}
