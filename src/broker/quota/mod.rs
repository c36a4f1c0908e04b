//! Client quotas (KIP-13, KIP-124, KIP-546, KIP-599, KIP-612): what users, client ids and addresses may use, kept in the
//! catalogue's store, and what they have used, in memory.
//!
//! `entity.rs` says whom a quota can be for, `limits.rs` which of them holds for whom, `rate.rs` how use is measured and
//! `windows.rs` remembers it, within bounds. `metering.rs` puts it around a request: a client that used more than its quota is
//! told so in `throttle_time_ms`, and [`super::Reply::Metered`] says for how long its session is not read.
//!
//! Without any quota a request costs one look at a flag.

pub mod entity;
mod limits;
mod metering;
mod rate;
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
use rate::{Rate, TokenBucket, Windows};
use windows::Used;

use super::catalogue::Catalogue;
use super::config::Settings;
use super::error::{ApiError, BrokerError};
use super::{Clock, Context};
use crate::storage::KvOp;
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
            all.insert(entity, serde_json::from_slice(&value).map_err(|error| damaged(&key, error))?);
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

    /// Puts these in force.
    fn take(&self, all: All) {
        let limits = Limits::new(&all);
        self.concern_clients.store(limits.concern_clients(), Ordering::Release);
        self.concern_addresses.store(limits.concern_addresses(), Ordering::Release);
        *self.limits.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(limits);
        *self.quotas.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(all);
    }

    pub(super) fn all(&self) -> Arc<All> {
        Arc::clone(&self.quotas.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Gives an entity, which must have been checked, quotas or takes them away. Durable and in force on return.
    pub(super) fn alter(
        &self,
        catalogue: &Catalogue,
        entity: &Entity,
        ops: &[(&str, Option<f64>)],
        validate_only: bool,
    ) -> Result<(), ApiError> {
        for (key, value) in ops {
            if let Some(value) = value {
                entity.check_quota(key, *value)?;
            }
        }
        if validate_only {
            return Ok(());
        }
        let _change = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut all = (*self.all()).clone();
        let mut values = all.remove(entity).unwrap_or_default();
        for (key, value) in ops {
            match value {
                Some(value) => drop(values.insert((*key).to_owned(), *value)),
                None => drop(values.remove(*key)),
            }
        }
        let unsayable =
            |error: serde_json::Error| ApiError::new(ErrorCode::UNKNOWN_SERVER_ERROR, error.to_string());
        let key = serde_json::to_string(entity).map_err(unsayable)?.into_bytes();
        let op = if values.is_empty() {
            KvOp::Delete { table: TABLE, key }
        } else {
            let value = serde_json::to_vec(&values).map_err(unsayable)?;
            all.insert(entity.clone(), values);
            if all.len() > MOST_ENTITIES {
                let message = format!("More than {MOST_ENTITIES} entities have quotas.");
                return Err(ApiError::new(ErrorCode::POLICY_VIOLATION, message));
            }
            KvOp::Put { table: TABLE, key, value }
        };
        catalogue.change_records(vec![op])?;
        self.take(all);
        Ok(())
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
