//! `route`: records that are taken out of a produced part and become letters. What numbers the rest has says `policy::sequences`,
//! what keeps letters from arriving twice `policy::letters`.

use super::records::Ruled;
use super::report::Told;
use super::{About, DECOMPRESSED_BYTES, ExchangeContext, PartState, Round, Shape};
use crate::policy::action::route::{self, MOST_BYTES, Origin, REASON_BYTES, Stamp};
use crate::policy::fault::Harm;
use crate::policy::letters::{Carrier, Memory, Numbered, Passage};
use crate::policy::plan::Plan;
use crate::policy::sequences::{How, Recounted};
use crate::policy::verdict::{Letters, Lose, Outcome, Passing, Routed, RoutedBy, Verdict};
use crate::wire::api::Resource;
use crate::wire::record::{BatchHeader, Record};
use crate::wire::{ErrorCode, Request, Str};
use bytes::Bytes;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// The records of a part that rules take out, in ascending order.
#[derive(Debug, Default)]
pub(super) struct TakenOut {
    records: Vec<Taken>,
    /// What their letters take, about.
    bytes: usize,
}

#[derive(Debug)]
struct Taken {
    index: u32,
    /// The rule, by its place among the security rules.
    place: usize,
    reason: Box<str>,
}

impl TakenOut {
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Takes one more. False: they are more than can be held.
    pub fn take(&mut self, index: i32, place: usize, mut reason: String, record: &Record<'_>) -> bool {
        reason.truncate(reason.floor_char_boundary(REASON_BYTES));
        self.bytes += route::letter_size(record, &reason);
        self.records.push(Taken { index: index as u32, place, reason: reason.into() });
        self.bytes <= MOST_BYTES
    }

    fn find(&self, index: u32) -> Option<&Taken> {
        let at = self.records.binary_search_by_key(&index, |taken| taken.index).ok()?;
        self.records.get(at)
    }
}

/// What is refused of a part that cannot be parted.
pub(super) type Refusal = (ErrorCode, String);

impl Round<'_> {
    /// What is known of a batch of which records were routed before, should this be one.
    pub(super) fn routed_before(&self, part: &PartState, payload: &Bytes) -> Option<Memory> {
        let Shape::Batch { sent, .. } = &part.shape else { return None };
        if !self.shared.letters.is_active() {
            return None;
        }
        let numbered = Numbered::of(sent, &part.about.name, part.about.partition)?;
        self.shared.letters.known(&numbered, payload)
    }

    /// Parts a produced payload: what goes on of it. `original`: as it was sent; what rules made of it is in `ruled`.
    pub(super) fn route(
        &self,
        part: &mut PartState,
        original: &Bytes,
        ruled: &Ruled,
        before: Option<Memory>,
    ) -> Result<Bytes, Refusal> {
        let payload = ruled.payload.as_ref().unwrap_or(original);
        let taken = &ruled.taken;
        if BatchHeader::parse(payload).is_ok_and(|header| header.is_transactional()) {
            // The letter would be there though the transaction aborts. Within the transaction it could go only if the topic were
            // added to it, in the name of a client that knows nothing of it.
            let message = "a record to be routed stands in a transaction, and cannot be taken out of it";
            return Err((ErrorCode::INVALID_RECORD, message.to_owned()));
        }
        let now = || taken.records.iter().map(|taken| taken.index).collect::<Arc<[u32]>>();
        let (records, begun) = match before {
            // What was decided when it was first sent stands, as what is stored of it is stored; but where its broker stored
            // nothing of it, the rules may take more by now.
            Some(Memory::Sent { passage, refused })
                if !refused || now().iter().all(|at| passage.records.binary_search(at).is_ok()) =>
            {
                return self.route_again(part, payload, passage);
            }
            Some(Memory::Begun(passage)) if passage.records == now() => (now(), Some(passage)),
            _ => (now(), None),
        };
        let mut topics: Vec<&str> = Vec::new();
        let mut rules: Vec<RoutedBy> = Vec::new();
        for taken in &taken.records {
            let rule = &self.plan.security[taken.place];
            match rules.iter_mut().find(|known| Arc::ptr_eq(&known.rule, rule)) {
                Some(known) => known.records += 1,
                None => {
                    rules.push(RoutedBy { rule: Arc::clone(rule), records: 1, reason: taken.reason.clone() })
                }
            }
            if let Some(route) = rule.route()
                && !topics.contains(&&*route.topic)
            {
                topics.push(&route.topic);
            }
        }
        let stamp = |at: usize| {
            let taken = taken.find(at as u32)?;
            let rule = &self.plan.security[taken.place];
            let topic = &*rule.route()?.topic;
            let to = topics.iter().position(|known| *known == topic)?;
            Some(Stamp { to, reason: &taken.reason, policy: &rule.policy.name, rule: &rule.name })
        };
        let parted = self.parted(part, payload, &records, topics.len(), stamp)?;
        let numbered = self.numbered(part);
        let passage = match numbered {
            Some(numbered) => {
                let carrier =
                    Carrier::begin(&self.plan.shared, numbered, original, Arc::clone(&records), begun);
                Passing::Own(Arc::new(carrier))
            }
            None => Passing::Unknown,
        };
        let letters = topics.iter().zip(parted.letters);
        let letters = letters.map(|(topic, batches)| Letters { topic: Str::from(*topic), batches }).collect();
        Ok(take_out(part, parted.rest, letters, passage, numbered, records, rules))
    }

    /// The same records of the same batch.
    fn route_again(
        &self,
        part: &mut PartState,
        payload: &Bytes,
        passage: Arc<Passage>,
    ) -> Result<Bytes, Refusal> {
        let records = Arc::clone(&passage.records);
        let rest = self.parted(part, payload, &records, 0, |_| None)?.rest;
        let numbered = self.numbered(part);
        Ok(take_out(part, rest, Vec::new(), Passing::Earlier(passage), numbered, records, Vec::new()))
    }

    /// What of this is to happen, now that the other rules have spoken: letters of a part that is not executed are not sent.
    pub(super) fn settle_routes(&self, parts: &mut [PartState], harm: &Harm, verdict: &mut Verdict) {
        let executed = harm.end.is_none() && harm.lose != Some(Lose::Request);
        for (at, part) in parts.iter_mut().enumerate() {
            let Some(routed) = part.routed.take() else { continue };
            // a fault took what was left
            let nothing_left = part.outcome == Outcome::answer(ErrorCode::NONE);
            if !executed || !(part.is_open() || nothing_left) {
                part.recounts.clear();
                continue;
            }
            if nothing_left {
                part.outcome = Outcome::Forward;
            }
            verdict.routed.push(Routed { at, all: routed.all || nothing_left, ..routed });
        }
    }

    fn parted<'s>(
        &self,
        part: &PartState,
        payload: &Bytes,
        records: &[u32],
        topics: usize,
        stamp: impl Fn(usize) -> Option<Stamp<'s>>,
    ) -> Result<route::Parted, Refusal> {
        let origin = Origin {
            principal: &self.who.principal,
            client_id: &self.who.client_id,
            correlation_id: self.correlation_id,
            topic: &part.about.name,
            partition: part.about.partition,
            sent: match part.shape {
                Shape::Batch { sent, .. } => Some(sent),
                _ => None,
            },
        };
        route::part(payload, records, topics, origin, stamp, DECOMPRESSED_BYTES)
            .map_err(|error| (super::records::code_of(&error), error.to_string()))
    }

    fn numbered(&self, part: &PartState) -> Option<Numbered> {
        let Shape::Batch { sent, .. } = &part.shape else { return None };
        Numbered::of(sent, &part.about.name, part.about.partition)
    }
}

/// Notes what is taken out of a part, and gives back what is left of it.
fn take_out(
    part: &mut PartState,
    rest: Bytes,
    letters: Vec<Letters>,
    passage: Passing,
    numbered: Option<Numbered>,
    records: Arc<[u32]>,
    rules: Vec<RoutedBy>,
) -> Bytes {
    part.recounts.push(routed(records.len()));
    part.routed = Some(Routed {
        at: 0,
        topic: part.about.name.clone(),
        partition: part.about.partition,
        all: rest.is_empty(),
        letters,
        passage,
        numbered,
        records,
        rules,
    });
    rest
}

/// So many are stored less. Which they are stands in `policy::letters`.
fn routed(records: usize) -> Recounted {
    Recounted { how: How::Routed(records), records: Vec::new() }
}

impl Plan {
    /// The letters of a part did not arrive: nothing of it is stored, and whoever waits for them hears of it.
    pub fn letters_lost(&self, routed: &Routed) {
        if let Passing::Own(carrier) = &routed.passage {
            carrier.lost();
        }
        if let Some(numbered) = routed.numbered {
            numbered.forget(&self.shared.sequences);
        }
    }

    /// What a broker said of the rest of a part: it is stored, it is not, or (`None`) nobody knows. Of what is not stored the numbers
    /// count for nothing: a producer may make other batches of the same numbers.
    pub fn rest_of(&self, routed: &Routed, stored: Option<bool>) {
        match &routed.passage {
            Passing::Unknown => return,
            Passing::Own(carrier) => carrier.passage().rest(stored),
            Passing::Earlier(passage) => passage.rest(stored),
        }
        if stored == Some(false)
            && let Some(numbered) = routed.numbered
        {
            numbered.forget(&self.shared.sequences);
        }
    }

    /// How it went: counted and written down. `lost`: why letters did not arrive.
    pub fn routed(&self, cx: &ExchangeContext<'_>, request: &Request, routed: &Routed, lost: Option<&str>) {
        let round = Round::new(self, cx, request);
        let about = About {
            resource: Some(Resource::Topic),
            name: routed.topic.clone(),
            partition: routed.partition,
            ..About::default()
        };
        for RoutedBy { rule, records, reason } in &routed.rules {
            let counters = &rule.life.counters;
            let (counter, decision) = match lost {
                None => (&counters.applied, "route"),
                Some(_) => (&counters.could_not_apply, "undelivered"),
            };
            counter.fetch_add(*records, Ordering::Relaxed);
            round.audit(&about, Told::new(rule, decision).because(lost.unwrap_or(reason)).records(*records));
        }
    }
}
