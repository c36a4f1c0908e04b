//! KIP-714: clients that push metrics of themselves. What is kept of a client instance is when it last asked and pushed, and
//! what it was told; what it pushes is counted and dropped, as there is no receiver. A Kafka without one does not advertise
//! these apis, and neither does this broker: clients then do not begin.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::wire::{ErrorCode, Uuid};

/// Kafka's `interval.ms` of a subscription that does not say.
const DEFAULT_INTERVAL_MS: i32 = 300_000;
/// Kafka's `telemetry.max.bytes`.
pub(super) const MAX_BYTES: usize = 1_048_576;
/// A client instance is forgotten after three intervals, but not sooner.
const LEAST_KEPT_MS: i64 = 60_000;
/// Client instances kept, as by Kafka. Their ids are the clients' own word.
const MAX_INSTANCES: usize = 16_384;
/// Of the codecs of record batches, by their numbers: none, gzip, snappy, lz4, zstd.
const CODECS: std::ops::RangeInclusive<i8> = 0..=4;

/// What one client is to push: the prefixes of metrics (`*` alone: all), and how often.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wanted {
    pub metrics: Vec<String>,
    pub interval_ms: i32,
}

impl Default for Wanted {
    fn default() -> Self {
        Wanted { metrics: Vec::new(), interval_ms: DEFAULT_INTERVAL_MS }
    }
}

/// What a client was told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Told {
    pub client_instance_id: Uuid,
    pub subscription_id: i32,
    pub wanted: Wanted,
}

/// The client instances there are.
#[derive(Debug, Default)]
pub(super) struct Telemetry {
    instances: Mutex<HashMap<Uuid, Instance>>,
    pushes: AtomicU64,
    bytes: AtomicU64,
}

#[derive(Debug)]
struct Instance {
    wanted: Wanted,
    subscription_id: i32,
    last_get_ms: i64,
    last_push_ms: i64,
    last_heard_ms: i64,
    terminating: bool,
    /// Its last push was not what it was told: it may ask again at once.
    must_ask: bool,
}

/// A push as far as it is looked at.
#[derive(Debug, Clone, Copy)]
pub(super) struct Push {
    pub client_instance_id: Uuid,
    pub subscription_id: i32,
    pub terminating: bool,
    pub compression_type: i8,
    pub bytes: usize,
}

impl Telemetry {
    /// Answers a client that asks what to push; a client without an id is given one.
    pub fn subscribe(&self, asked: Uuid, wanted: Wanted, now_ms: i64) -> Result<Told, ErrorCode> {
        let client_instance_id = if asked.is_zero() { Uuid::random() } else { asked };
        let mut instances = self.lock();
        let instance = known(&mut instances, client_instance_id, wanted, now_ms);
        let last = instance.last_get_ms.max(instance.last_push_ms);
        if now_ms.saturating_sub(last) >= i64::from(instance.wanted.interval_ms) {
            instance.last_get_ms = now_ms;
        } else if !instance.must_ask {
            return Err(ErrorCode::THROTTLING_QUOTA_EXCEEDED);
        }
        instance.must_ask = false;
        Ok(Told {
            client_instance_id,
            subscription_id: instance.subscription_id,
            wanted: instance.wanted.clone(),
        })
    }

    /// Takes what a client pushes, or says why not.
    pub fn push(&self, push: Push, wanted: Wanted, now_ms: i64) -> Result<(), ErrorCode> {
        if push.client_instance_id == Uuid::ZERO || push.client_instance_id == Uuid::ONE {
            return Err(ErrorCode::INVALID_REQUEST);
        }
        let mut instances = self.lock();
        let instance = known(&mut instances, push.client_instance_id, wanted, now_ms);
        let outcome = instance.push(push, now_ms);
        instance.terminating = push.terminating;
        instance.must_ask = matches!(
            outcome,
            Err(ErrorCode::UNKNOWN_SUBSCRIPTION_ID | ErrorCode::UNSUPPORTED_COMPRESSION_TYPE)
        );
        drop(instances);
        if outcome.is_ok() && push.bytes > 0 {
            self.pushes.fetch_add(1, Ordering::Relaxed);
            self.bytes.fetch_add(push.bytes as u64, Ordering::Relaxed);
        }
        outcome
    }

    /// Pushes with something in them, and their bytes as they came, since the start.
    pub fn taken(&self) -> (u64, u64) {
        (self.pushes.load(Ordering::Relaxed), self.bytes.load(Ordering::Relaxed))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Uuid, Instance>> {
        self.instances.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Instance {
    fn push(&mut self, push: Push, now_ms: i64) -> Result<(), ErrorCode> {
        if self.terminating {
            return Err(ErrorCode::INVALID_REQUEST);
        }
        // The first after it was told what to push may come at any time: clients spread theirs.
        let in_time = self.last_get_ms > self.last_push_ms
            || now_ms.saturating_sub(self.last_push_ms) >= i64::from(self.wanted.interval_ms);
        if in_time {
            self.last_push_ms = now_ms;
        } else if !push.terminating {
            return Err(ErrorCode::THROTTLING_QUOTA_EXCEEDED);
        }
        if push.subscription_id != self.subscription_id {
            return Err(ErrorCode::UNKNOWN_SUBSCRIPTION_ID);
        }
        if !CODECS.contains(&push.compression_type) {
            return Err(ErrorCode::UNSUPPORTED_COMPRESSION_TYPE);
        }
        if push.bytes > MAX_BYTES {
            return Err(ErrorCode::TELEMETRY_TOO_LARGE);
        }
        Ok(())
    }

    fn expires_ms(&self) -> i64 {
        let kept = i64::from(self.wanted.interval_ms).saturating_mul(3).max(LEAST_KEPT_MS);
        self.last_heard_ms.saturating_add(kept)
    }
}

/// The instance, made when it is new or is to push something else than it was told.
fn known(instances: &mut HashMap<Uuid, Instance>, id: Uuid, wanted: Wanted, now_ms: i64) -> &mut Instance {
    if instances.len() >= MAX_INSTANCES && !instances.contains_key(&id) {
        instances.retain(|_, instance| instance.expires_ms() > now_ms);
        if instances.len() >= MAX_INSTANCES {
            forget_the_oldest(instances);
        }
    }
    let fresh = |wanted: Wanted| Instance {
        subscription_id: subscription_id(&wanted, id),
        wanted,
        last_get_ms: 0,
        last_push_ms: 0,
        last_heard_ms: now_ms,
        terminating: false,
        must_ask: false,
    };
    let instance = instances.entry(id).or_insert_with(|| fresh(wanted.clone()));
    if instance.wanted != wanted || instance.expires_ms() <= now_ms {
        *instance = fresh(wanted);
    }
    instance.last_heard_ms = now_ms;
    instance
}

/// An eighth at a time, so that a crowd of new ones does not pay for each.
fn forget_the_oldest(instances: &mut HashMap<Uuid, Instance>) {
    let mut heard: Vec<i64> = instances.values().map(|instance| instance.last_heard_ms).collect();
    let (_, limit, _) = heard.select_nth_unstable(MAX_INSTANCES / 8);
    let limit = *limit;
    let mut spare = MAX_INSTANCES / 8;
    instances.retain(|_, instance| {
        let goes = spare > 0 && instance.last_heard_ms <= limit;
        spare -= usize::from(goes);
        !goes
    });
}

/// Kafka's: a checksum of what is wanted, mixed with the client's id.
fn subscription_id(wanted: &Wanted, id: Uuid) -> i32 {
    let said = format!("[{}]{}", wanted.metrics.join(", "), wanted.interval_ms);
    let hash = id.0.as_chunks::<4>().0.iter().fold(0, |hash, word| hash ^ i32::from_be_bytes(*word));
    crc32c::crc32c(said.as_bytes()) as i32 ^ hash
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_700_000_000_000;

    fn id(last: u8) -> Uuid {
        let mut id = [0; 16];
        id[15] = last;
        Uuid(id)
    }

    fn push(client_instance_id: Uuid, subscription_id: i32) -> Push {
        Push { client_instance_id, subscription_id, terminating: false, compression_type: 0, bytes: 3 }
    }

    #[test]
    fn subscription_ids_are_kafkas() {
        // As Apache Kafka 4.4.0 gave them to these ids.
        for (last, expected) in [(9, -725132329), (13, -725132333), (37, -725132293)] {
            assert_eq!(subscription_id(&Wanted::default(), id(last)), expected);
        }
    }

    #[test]
    fn who_asks_or_pushes_too_often_is_throttled() {
        let telemetry = Telemetry::default();
        let told = telemetry.subscribe(id(9), Wanted::default(), NOW).unwrap();
        assert_eq!(told.client_instance_id, id(9));
        let throttled = Err(ErrorCode::THROTTLING_QUOTA_EXCEEDED);
        assert_eq!(telemetry.subscribe(id(9), Wanted::default(), NOW + 1).map(|_| ()), throttled);
        let mine = push(id(9), told.subscription_id);
        assert_eq!(telemetry.push(mine, Wanted::default(), NOW + 2), Ok(()));
        assert_eq!(telemetry.push(mine, Wanted::default(), NOW + 3), throttled);
        assert_eq!(telemetry.push(mine, Wanted::default(), NOW + 300_002), Ok(()));
        assert_eq!(telemetry.taken(), (2, 6));
        // Other things are wanted of it: it is told at once.
        let wanted = Wanted { metrics: vec!["org.apache.kafka.".to_owned()], interval_ms: 1000 };
        let again = telemetry.subscribe(id(9), wanted.clone(), NOW + 300_003).unwrap();
        assert_ne!(again.subscription_id, told.subscription_id);
        assert_eq!(
            telemetry.push(mine, wanted, NOW + 300_004),
            Err(ErrorCode::UNKNOWN_SUBSCRIPTION_ID),
            "what it was told before"
        );
    }

    #[test]
    fn a_wrong_push_is_refused_and_the_last_one_is_the_last() {
        let telemetry = Telemetry::default();
        let wanted = Wanted::default;
        assert_eq!(telemetry.push(push(Uuid::ZERO, 0), wanted(), NOW), Err(ErrorCode::INVALID_REQUEST));
        assert_eq!(telemetry.push(push(Uuid::ONE, 0), wanted(), NOW), Err(ErrorCode::INVALID_REQUEST));
        assert_eq!(telemetry.push(push(id(2), 5), wanted(), NOW), Err(ErrorCode::UNKNOWN_SUBSCRIPTION_ID));
        let told = |last| telemetry.subscribe(id(last), wanted(), NOW).unwrap().subscription_id;
        let codec = Push { compression_type: 7, ..push(id(3), told(3)) };
        assert_eq!(telemetry.push(codec, wanted(), NOW), Err(ErrorCode::UNSUPPORTED_COMPRESSION_TYPE));
        assert_eq!(told(3), codec.subscription_id, "it may ask again at once");
        let large = Push { bytes: MAX_BYTES + 1, ..push(id(4), told(4)) };
        assert_eq!(telemetry.push(large, wanted(), NOW), Err(ErrorCode::TELEMETRY_TOO_LARGE));
        let last = push(id(5), told(5));
        assert_eq!(telemetry.push(last, wanted(), NOW), Ok(()));
        assert_eq!(telemetry.push(Push { terminating: true, ..last }, wanted(), NOW), Ok(()));
        assert_eq!(telemetry.push(last, wanted(), NOW), Err(ErrorCode::INVALID_REQUEST));
    }

    #[test]
    fn a_crowd_of_instances_is_bounded() {
        let telemetry = Telemetry::default();
        for n in 0..(MAX_INSTANCES as i64 * 2) {
            telemetry.subscribe(Uuid::ZERO, Wanted::default(), NOW + n).unwrap();
        }
        assert!(telemetry.lock().len() <= MAX_INSTANCES);
    }
}
