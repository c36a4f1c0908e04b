//! Quotas: what the parts that every other security rule let through use is counted, and how long their client must wait.

use super::report::Told;
use super::{DECOMPRESSED_BYTES, Holds, PartState, Round};
use crate::policy::action::quota::{Unit, User};
use crate::policy::rule::Kind;
use crate::wire::ApiKey;
use crate::wire::record::{Batch, Compression, Records, batches, with_codecs};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::time::Duration;

/// The fewest bytes that a record takes.
const LEAST_RECORD: u64 = 7;

/// When something is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Counted {
    AtRequest,
    AtReply,
}

impl Round<'_> {
    /// Counts what the open parts use. Gives for how long their client must use nothing.
    pub(super) fn meter(
        &self,
        parts: &mut [PartState],
        when: Counted,
        used: &dyn Fn(usize, Unit) -> u64,
    ) -> Duration {
        if !self.plan.quotas {
            return Duration::ZERO;
        }
        // what is fetched is known when it is there
        let counts = |unit: Unit| match (unit, self.api) {
            (Unit::Bytes | Unit::Records, ApiKey::Fetch) => when == Counted::AtReply,
            _ => when == Counted::AtRequest,
        };
        let (mut longest, mut ip) = (Duration::ZERO, None);
        for place in self.places(parts, Kind::Security) {
            let rule = &self.plan.security[place];
            if !rule.quotas().any(|quota| counts(quota.unit)) {
                continue;
            }
            // each user's use of the whole exchange is one
            let mut uses: BTreeMap<(usize, u128), (f64, usize)> = BTreeMap::new();
            for (at, part) in parts.iter_mut().enumerate() {
                if !part.is_open() || !part.meets(place, Kind::Security) {
                    continue;
                }
                match self.holds(rule, part) {
                    Holds::Yes => {}
                    Holds::No => continue,
                    Holds::Failed(error) => {
                        self.fail(rule, part, &error);
                        continue;
                    }
                }
                rule.life.counters.matched();
                let ip = ip.get_or_insert_with(|| self.who.remote_ip.to_string());
                let user = User {
                    principal: &self.who.principal,
                    client_id: &self.who.client_id,
                    ip,
                    topic: &part.about.name,
                };
                for (number, quota) in rule.quotas().enumerate().filter(|(_, quota)| counts(quota.unit)) {
                    let (sum, _) = uses.entry((number, quota.key(number, user))).or_insert((0.0, at));
                    match quota.unit {
                        Unit::Requests => *sum = 1.0,
                        unit => *sum += used(at, unit) as f64,
                    }
                }
            }
            let mut wait = Duration::ZERO;
            let mut by = None;
            for ((number, key), (amount, at)) in uses {
                let Some(quota) = rule.quotas().nth(number) else { continue };
                let used = rule.life.meters.record(key, quota.limit, amount, self.now);
                if used.evicted {
                    self.shared.state.note_evicted();
                }
                if used.wait > wait {
                    (wait, by) = (used.wait, Some((quota, at)));
                }
            }
            let Some((quota, at)) = by else { continue };
            rule.life.counters.applied();
            if let Some(part) = parts.get(at) {
                let why = format!("{quota}: wait {} ms", wait.as_millis());
                self.audit(&part.about, Told::new(rule, "throttle").because(&why));
            }
            if !rule.observe {
                longest = longest.max(wait);
            }
        }
        longest
    }
}

/// How many records a produced payload has: never more than fit into it, whatever its batches claim. Nobody has checked them yet, and
/// what is counted may be others' too.
pub(super) fn records_in(payload: &Bytes) -> u64 {
    with_codecs(|decompressor, _| {
        let mut count = |batch: Batch<'_>| {
            let header = &batch.header;
            let bytes = match header.compression() {
                Compression::None => batch.bytes.len(),
                _ => Records::open(batch.bytes, header, decompressor, DECOMPRESSED_BYTES)
                    .map_or(0, |records| records.data().len()),
            };
            u64::try_from(header.record_count).unwrap_or_default().min(bytes as u64 / LEAST_RECORD)
        };
        batches(payload).map_while(Result::ok).map(&mut count).sum()
    })
}
