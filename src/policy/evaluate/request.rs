//! The request stage: access, the other security rules, then chaos; and the verdict of it all.

use super::chaos::{Injections, Possible, Stage};
use super::quota::{Counted, records_in};
use super::records::Way;
use super::report::Told;
use super::{ExchangeContext, Holds, PartState, Round, Shape};
use crate::policy::action::quota::Unit;
use crate::policy::identity::{Sequenced, Side};
use crate::policy::plan::Plan;
use crate::policy::rule::{Action, Head, Kind, Rule};
use crate::policy::script::closure::ClosureError;
use crate::policy::verdict::{End, Interest, Lose, Outcome, Verdict};
use crate::wire::record::BatchHeader;
use crate::wire::{ApiKey, ErrorCode, Payload, Request, RequestBody, Str};
use bytes::Bytes;
use std::collections::BTreeMap;

pub(super) fn decide(plan: &Plan, cx: &ExchangeContext<'_>, request: &mut Request) -> Verdict {
    let api = request.api();
    let listing = if api == ApiKey::Fetch { Interest::Nothing } else { plan.response_interest(api) };
    if plan.request_interest(api) == Interest::Nothing {
        return Verdict { response: listing, ..Verdict::default() };
    }
    let round = Round::new(plan, cx, request);
    if let Err(error) = request.body() {
        tracing::debug!(%error, "a request that rules must look into cannot be read");
        return Verdict { end: Some(End::Disconnect), ..Verdict::default() };
    }
    // decoded just now, so it is there
    let Ok(body) = request.decoded() else {
        return Verdict { end: Some(End::Disconnect), ..Verdict::default() };
    };
    // a fetch that rules look into must name every partition it is about
    let sessionless = api == ApiKey::Fetch;
    if sessionless
        && let RequestBody::Fetch(fetch) = body
        && fetch.session_id != 0
        && fetch.session_epoch > 0
    {
        // it leaves out partitions of a session from before there were rules: the client names all of them again
        return Verdict { whole: Some(ErrorCode::FETCH_SESSION_ID_NOT_FOUND), ..Verdict::default() };
    }
    let whole = body.whole(round.version);
    let also = body.also(round.version);
    let listed = body.parts(round.version);
    let has_parts = !listed.is_empty();
    let mut verdict = Verdict { sessionless, response: listing, ..Verdict::default() };

    if plan.access.is_active()
        && let Some(code) = round.access_whole(whole.as_ref(), also.as_ref())
    {
        return answer_whole(body, round.version, code, verdict);
    }
    let mut edits = Edits::default();
    match round.open_cursor(body) {
        Some(Err(())) => return answer_whole(body, round.version, ErrorCode::INVALID_REQUEST, verdict),
        Some(Ok(name)) => edits.cursor = Some(name),
        None => {}
    }
    let mut parts = round.parts(listed, whole.as_ref(), also.as_ref());
    shape(body, &mut parts);
    round.protect(body, &mut parts, has_parts, &mut edits);
    let payloads = produced(body);
    verdict.mute =
        round.meter(&mut parts, Counted::AtRequest, &|at, unit| used(payloads.get(at).copied(), unit));

    if !has_parts && let Some(Outcome::Answer { code, .. }) = parts.first().map(|part| &part.outcome) {
        return answer_whole(body, round.version, *code, verdict);
    }
    verdict.refused = parts.iter().any(|part| !part.is_open());
    let possible = Possible {
        answered: !matches!(body, RequestBody::Produce(produce) if produce.acks == 0),
        answer: has_parts || body.answer(round.version, ErrorCode::UNKNOWN_SERVER_ERROR).is_some(),
        commits: matches!(body, RequestBody::EndTxn(end) if end.committed),
        mechanism: match body {
            RequestBody::SaslHandshake(handshake) => handshake.mechanism.parse().ok(),
            _ => None,
        },
        throttle: api.has_throttle_time(),
        // nobody has logged in yet who asks for versions
        hold: api != ApiKey::ApiVersions && !round.shared.waits.is_full(),
        request: true,
    };
    round.recount_known(&payloads, &mut parts, &mut edits);
    let payload = |at: usize| edits.payload(at).or_else(|| payloads.get(at)?.to_bytes().ok());
    let mut injections = round.inject(&mut parts, Stage::Request, &possible, &payload);
    edits.payloads.append(&mut injections.payloads);
    round.settle_routes(&mut parts, &injections.harm, &mut verdict);
    round.renumber(&payloads, &mut parts, &mut edits);
    round.sum_up(&mut verdict, &parts, has_parts, injections);
    round.count_in_windows(&mut parts, &verdict);
    if api == ApiKey::Fetch {
        verdict.response = parts
            .iter()
            .filter(|part| part.is_open())
            .map(|part| part.candidates.response)
            .max()
            .unwrap_or_default();
    }
    if !verdict.truncations.is_empty() {
        verdict.response = verdict.response.max(Interest::Head);
    }
    verdict.edited = edits.apply(request, &parts);
    verdict
}

/// What the rules change in a request's body.
#[derive(Default)]
pub(super) struct Edits {
    /// By part.
    pub payloads: BTreeMap<usize, Bytes>,
    no_creation: bool,
    /// The topic that a sealed cursor stands for.
    cursor: Option<Str>,
}

impl Round<'_> {
    /// All security rules.
    fn protect(&self, body: &RequestBody, parts: &mut [PartState], has_parts: bool, edits: &mut Edits) {
        if self.plan.needs_topic_names(self.api) {
            for part in parts.iter_mut() {
                if part.about.unknown {
                    part.refuse(
                        ErrorCode::UNKNOWN_TOPIC_ID,
                        "no policy can be sure of a topic that nobody knows",
                    );
                } else if part.about.contradicts {
                    part.refuse(ErrorCode::INVALID_REQUEST, "the topic's name and id are of two topics");
                }
            }
        }
        if self.plan.access.is_active() && has_parts {
            self.access_parts(body, parts);
            edits.no_creation = self.access_creation(body, parts);
        }
        self.count_events(parts, Side::Security);
        let mut on_records: Vec<Vec<usize>> = vec![Vec::new(); parts.len()];
        for place in self.places(parts, Kind::Security) {
            if self.plan.security[place].head == Head::Create {
                continue;
            }
            for (part, fired) in parts.iter_mut().zip(&mut on_records) {
                if part.is_open() && part.meets(place, Kind::Security) {
                    self.protect_part(place, part, fired);
                }
            }
        }
        edits.no_creation |= self.limit_topics(body, parts);
        if self.api != ApiKey::Produce {
            return;
        }
        let payloads = produced(body);
        for (at, (part, fired)) in parts.iter_mut().zip(on_records).enumerate() {
            let routes = self.shared.letters.is_active();
            if (fired.is_empty() && !routes) || !part.is_open() {
                continue;
            }
            let Some(payload) = payloads.get(at).and_then(|payload| payload.to_bytes().ok()) else {
                continue;
            };
            let ruled = self.rule_records(part, &payload, &fired, Way::Produced);
            if let Some((code, message)) = ruled.refused {
                part.refuse(code, message);
                continue;
            }
            if !ruled.denied.is_empty() {
                let message = match ruled.denied.as_slice() {
                    [(_, reason)] => reason.clone(),
                    many => format!("{} records are refused by policy", many.len()),
                };
                part.outcome = Outcome::Answer {
                    code: ErrorCode::INVALID_RECORD,
                    message: Some(message),
                    records: ruled.denied,
                };
                continue;
            }
            let before = self.routed_before(part, &payload);
            if before.is_some() || !ruled.taken.is_empty() {
                match self.route(part, &payload, &ruled, before) {
                    Ok(rest) => drop(edits.payloads.insert(at, rest)),
                    Err((code, message)) => part.refuse(code, message),
                }
            } else if let Some(payload) = ruled.payload {
                edits.payloads.insert(at, payload);
            }
        }
    }

    /// One security rule and one part. What it does to records is left to `fired`.
    pub(super) fn protect_part(&self, place: usize, part: &mut PartState, fired: &mut Vec<usize>) {
        let rule = &self.plan.security[place];
        // they come last
        if rule.quotas().next().is_some() {
            return;
        }
        let holds = self.holds(rule, part);
        if !holds.or_failed() {
            return;
        }
        if let Holds::Failed(error) = holds {
            self.fail(rule, part, &error);
            return;
        }
        if !rule.triggers.is_always() {
            let met = self.met(part, Side::Security);
            let (firing, subjects) = (rule.firing(self.now), &self.shared.subjects);
            let fires = match rule.needs_records() {
                true => rule.triggers.fire_for_records(firing, &met, subjects),
                false => rule.triggers.fire(firing, &met, subjects).is_some(),
            };
            if !fires {
                return;
            }
        }
        if rule.needs_records() {
            fired.push(place);
            return;
        }
        rule.life.counters.matched();
        for action in &rule.actions {
            match action {
                Action::Deny(reason) => {
                    rule.life.counters.applied();
                    let reason = reason.as_deref().unwrap_or("refused by policy");
                    self.audit(&part.about, Told::new(rule, "deny").because(reason));
                    if !rule.observe {
                        part.refuse(part.refusal(), reason);
                        return;
                    }
                }
                Action::Audit => {
                    rule.life.counters.applied();
                    if !rule.has(|action| matches!(action, Action::Deny(_))) {
                        self.audit(&part.about, Told::new(rule, "audit"));
                    }
                }
                _ => {}
            }
        }
    }

    /// A security rule that fails refuses.
    pub(super) fn fail(&self, rule: &Rule, part: &mut PartState, error: &ClosureError) {
        let told = error.to_string();
        self.audit(&part.about, Told::new(rule, "error").because(&told));
        if !rule.observe {
            part.refuse(part.refusal(), format!("the rule at {} failed", rule.written_at()));
        }
    }

    /// The verdict, from what became of the parts.
    fn sum_up(&self, verdict: &mut Verdict, parts: &[PartState], has_parts: bool, injections: Injections) {
        let harm = injections.harm;
        (verdict.delay, verdict.lose, verdict.end) = (harm.delay, harm.lose, harm.end);
        (verdict.throttle, verdict.duplicate) = (harm.throttle, harm.duplicate);
        verdict.holds = injections.holds;
        verdict.lifetime = injections.lifetime;
        verdict.held = injections.held;
        verdict.storms = injections.storms;
        verdict.truncations = injections.truncations;
        if has_parts {
            if parts.iter().any(|part| !part.is_open()) {
                verdict.parts = parts.iter().map(|part| part.outcome.clone()).collect();
            }
            verdict.after = injections.after;
        } else {
            if let Some(Outcome::Answer { code, .. }) = parts.first().map(|part| &part.outcome) {
                verdict.whole = Some(*code);
            }
            verdict.after_whole = injections.after.first().map(|(_, code)| *code);
        }
    }

    /// What closures added to windows counts once nothing keeps the batch from being executed; an idempotent
    /// producer's retry of a batch that counted already does not count again.
    fn count_in_windows(&self, parts: &mut [PartState], verdict: &Verdict) {
        let executed = verdict.end.is_none() && verdict.lose != Some(Lose::Request);
        for part in parts.iter_mut().filter(|part| !part.additions.is_empty()) {
            let additions = std::mem::take(&mut part.additions);
            if !executed || !part.is_open() {
                continue;
            }
            let first_time = match part.shape {
                Shape::Batch { sent, .. } => {
                    let subject = self.subject(&part.about, Side::Security).id();
                    self.shared.subjects.first_counted(subject, sent)
                }
                _ => true,
            };
            if first_time {
                additions.commit();
            }
        }
    }
}

impl Edits {
    pub fn payload(&self, at: usize) -> Option<Bytes> {
        self.payloads.get(&at).cloned()
    }

    /// Writes the changes into the body, but for parts that do not go on.
    fn apply(self, request: &mut Request, parts: &[PartState]) -> bool {
        let payloads: Vec<_> = self
            .payloads
            .into_iter()
            .filter(|(at, _)| parts.get(*at).is_some_and(PartState::is_open))
            .collect();
        if payloads.is_empty() && !self.no_creation && self.cursor.is_none() {
            return false;
        }
        let Ok(body) = request.body_mut() else { return false };
        match body {
            RequestBody::Produce(produce) => {
                let mut places =
                    produce.topic_data.iter_mut().flat_map(|topic| &mut topic.partition_data).enumerate();
                for (wanted, payload) in payloads {
                    if let Some((_, partition)) = places.find(|(at, _)| *at == wanted) {
                        partition.records = Payload::Bytes(payload);
                    }
                }
            }
            RequestBody::Metadata(metadata) => metadata.allow_auto_topic_creation = false,
            RequestBody::DescribeTopicPartitions(describe) => match (&mut describe.cursor, self.cursor) {
                (Some(cursor), Some(name)) => cursor.topic_name = name,
                _ => return false,
            },
            _ => return false,
        }
        true
    }
}

/// The whole exchange is answered; where its api has no place for that, the session ends.
fn answer_whole(body: &RequestBody, version: i16, code: ErrorCode, verdict: Verdict) -> Verdict {
    match body.answer(version, code) {
        Some(_) => Verdict { whole: Some(code), refused: true, ..verdict },
        None => Verdict { end: Some(End::Disconnect), refused: true, ..verdict },
    }
}

/// The records of the parts of a Produce request.
fn produced(body: &RequestBody) -> Vec<&Payload> {
    let RequestBody::Produce(produce) = body else { return Vec::new() };
    let partitions = produce.topic_data.iter().flat_map(|topic| &topic.partition_data);
    partitions.map(|partition| &partition.records).collect()
}

/// What a produced part uses of quotas.
fn used(payload: Option<&Payload>, unit: Unit) -> u64 {
    match (payload, unit) {
        (Some(Payload::Bytes(payload)), Unit::Records) => records_in(payload),
        (Some(payload), Unit::Bytes) => payload.len() as u64,
        _ => 0,
    }
}

/// What tells each part from others of its subject.
fn shape(body: &RequestBody, parts: &mut [PartState]) {
    match body {
        RequestBody::Produce(produce) => {
            let payloads = produce.topic_data.iter().flat_map(|topic| &topic.partition_data);
            for (part, partition) in parts.iter_mut().zip(payloads) {
                let Payload::Bytes(payload) = &partition.records else { continue };
                part.shape = match BatchHeader::parse(payload) {
                    Ok(header) => Shape::Batch {
                        sent: Sequenced {
                            producer_id: header.producer_id,
                            producer_epoch: header.producer_epoch,
                            base_sequence: header.base_sequence,
                            crc: header.crc,
                            length: payload.len() as u32,
                        },
                        records: header.record_count.max(0) as u32,
                    },
                    // the broker will refuse it: it is one event of a row all the same
                    Err(_) => Shape::Next,
                };
            }
        }
        RequestBody::Fetch(fetch) => {
            let partitions = fetch.topics.iter().flat_map(|topic| &topic.partitions);
            for (part, partition) in parts.iter_mut().zip(partitions) {
                part.shape = Shape::Offset(partition.fetch_offset);
            }
        }
        _ => {}
    }
}
