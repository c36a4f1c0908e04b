//! `quota(limit, per)`: how much clients may use over time.
//!
//! Measured as Kafka's client quotas are (KIP-13): the sum of the last eleven samples of one second each over their time, never
//! less than ten seconds, so that what was saved for ten seconds may be used at once. Enforced as there (KIP-219): the request
//! is carried out and answered at once, the answer names how long its client must wait (`throttle_time_ms`), and the session
//! is not read for so long. Unlike Kafka a fetch over its quota is not answered empty: what was read already is not read twice.

use crate::policy::lru::Lru;
use crate::policy::random::identity;
use crate::wire::rate::{Rate, Windows};
use std::fmt;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

/// Kafka's defaults of `quota.window.num` and `quota.window.size.seconds`.
const WINDOWS: Windows = Windows { samples: 11, window_ms: 1000 };
/// Those whose use one rule remembers; who used nothing for longest is forgotten.
pub const METERED: usize = 16_384;
const SHARDS: usize = 16;

/// How much may be used in a second, and by whom.
#[derive(Debug, Clone, PartialEq)]
pub struct Quota {
    /// A second.
    pub limit: f64,
    pub unit: Unit,
    /// Whoever has the same of all of these shares one quota.
    pub per: Vec<Per>,
}

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Of record batches as they are on the wire.
    Bytes,
    Records,
    Requests,
}

/// By what users are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Per {
    Principal,
    ClientId,
    Ip,
    Topic,
}

impl Per {
    pub const ALL: [Per; 4] = [Per::Principal, Per::ClientId, Per::Ip, Per::Topic];

    pub fn name(self) -> &'static str {
        match self {
            Self::Principal => "principal",
            Self::ClientId => "client_id",
            Self::Ip => "ip",
            Self::Topic => "topic",
        }
    }
}

/// Who uses something.
#[derive(Debug, Clone, Copy)]
pub struct User<'a> {
    pub principal: &'a str,
    pub client_id: &'a str,
    pub ip: &'a str,
    pub topic: &'a str,
}

impl Quota {
    /// Under what the use is counted. `place`: of the quota among those of its rule.
    pub fn key(&self, place: usize, user: User<'_>) -> u128 {
        let place = place.to_le_bytes();
        let of = |per: &Per| match per {
            Per::Principal => user.principal.as_bytes(),
            Per::ClientId => user.client_id.as_bytes(),
            Per::Ip => user.ip.as_bytes(),
            Per::Topic => user.topic.as_bytes(),
        };
        identity(std::iter::once(place.as_slice()).chain(self.per.iter().map(of)))
    }
}

impl fmt::Display for Quota {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = match self.unit {
            Unit::Bytes => "B",
            Unit::Records => " records",
            Unit::Requests => " requests",
        };
        write!(f, "quota({}{unit}/s", self.limit)?;
        self.per.iter().try_for_each(|per| write!(f, ", {}", per.name()))?;
        f.write_str(")")
    }
}

/// What was used of the quotas of one rule. Takes no memory until something is.
#[derive(Default)]
pub struct Meters(OnceLock<Vec<Mutex<Lru<u128, Rate>>>>);

impl fmt::Debug for Meters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} users", self.len())
    }
}

/// What came of a use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Used {
    /// For how long nothing more must be used.
    pub wait: Duration,
    /// Another user was forgotten for this one.
    pub evicted: bool,
}

impl Meters {
    /// Counts a use. `now`: on the policies' clock.
    pub fn record(&self, key: u128, limit: f64, amount: f64, now: Duration) -> Used {
        let new = || (0..SHARDS).map(|_| Mutex::new(Lru::new(METERED / SHARDS))).collect();
        let shards: &Vec<_> = self.0.get_or_init(new);
        let mut shard = shards[key as usize % SHARDS].lock().unwrap_or_else(PoisonError::into_inner);
        let now_ms = i64::try_from(now.as_millis()).unwrap_or(i64::MAX);
        // who uses nothing takes nobody's place: topics that are not there are many
        if amount == 0.0 && shard.get_mut(&key).is_none() {
            return Used { wait: Duration::ZERO, evicted: false };
        }
        let (rate, evicted): (&mut Rate, _) = shard.get_or_insert_with(key, Rate::default);
        rate.record(WINDOWS, amount, now_ms);
        let wait = u64::try_from(rate.excess_ms(WINDOWS, limit, now_ms)).unwrap_or_default();
        Used { wait: Duration::from_millis(wait), evicted: evicted.is_some() }
    }

    fn len(&self) -> usize {
        let shards = self.0.get().into_iter().flatten();
        shards.map(|shard| shard.lock().unwrap_or_else(PoisonError::into_inner).len()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn use_is_measured_as_kafka_measures_it() {
        let meters = Meters::default();
        let use_at = |amount: f64, now| meters.record(1, 100.0, amount, now).wait;
        assert_eq!(use_at(1_000.0, Duration::ZERO), Duration::ZERO, "ten seconds at once");
        assert_eq!(use_at(100.0, Duration::ZERO), SECOND);
        assert_eq!(use_at(0.0, 11 * SECOND), Duration::ZERO);
        // at twice the rate, one waits as long as one has used it
        let mut waited = Duration::ZERO;
        let mut now = 100 * SECOND;
        for _ in 0..60 {
            let wait = use_at(200.0, now);
            waited += wait;
            now += SECOND.max(wait);
        }
        let rate = 60.0 * 200.0 / (now - 100 * SECOND).as_secs_f64();
        assert!((90.0..125.0).contains(&rate) && waited > 30 * SECOND, "{rate} a second, {waited:?} waited");
    }

    #[test]
    fn users_are_told_apart_and_bounded() {
        let quota = |per: &[Per]| Quota { limit: 1.0, unit: Unit::Bytes, per: per.to_vec() };
        let ada = User { principal: "User:ada", client_id: "c", ip: "10.0.0.1", topic: "t" };
        let bob = User { principal: "User:bob", ..ada };
        let by = |per: &[Per]| (quota(per).key(0, ada), quota(per).key(0, bob));
        let same = |(a, b): (u128, u128)| a == b;
        assert!(!same(by(&[Per::Principal])) && !same(by(&[Per::Topic, Per::Principal])));
        assert!(same(by(&[Per::ClientId])) && same(by(&[Per::Ip, Per::Topic])));
        assert_ne!(quota(&[Per::Ip]).key(0, ada), quota(&[Per::Ip]).key(1, ada), "another quota of the rule");

        let meters = Meters::default();
        assert_eq!(meters.len(), 0);
        (0..METERED as u128 * 2).for_each(|key| {
            meters.record(key, 1.0, 0.0, SECOND);
        });
        assert_eq!(meters.len(), 0, "nothing was used");
        let evicted =
            (0..METERED as u128 * 2).filter(|key| meters.record(*key, 1.0, 1.0, SECOND).evicted).count();
        assert_eq!((meters.len(), evicted), (METERED, METERED));
    }
}
