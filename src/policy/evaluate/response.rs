//! The response stage: what may not be described is left out, records are masked or refused, and the faults on
//! fetches that are decided when the reply is known.

use super::chaos::{Possible, Stage};
use super::quota::Counted;
use super::records::Way;
use super::{ExchangeContext, PartState, Round, Shape};
use crate::policy::action::quota::Unit;
use crate::policy::plan::Plan;
use crate::policy::verdict::{Interest, Outcome, ResponseVerdict, Verdict};
use crate::wire::api::{Part, fetch};
use crate::wire::record::batches;
use crate::wire::{ApiKey, ErrorCode, Payload, Request, RequestBody, Response, ResponseBody, Str, Uuid};
use bytes::Bytes;
use std::collections::HashMap;

pub(super) fn decide(
    plan: &Plan,
    cx: &ExchangeContext<'_>,
    request: &Request,
    verdict: &Verdict,
    response: &mut Response,
) -> ResponseVerdict {
    let mut decided = ResponseVerdict::default();
    if verdict.response == Interest::Nothing {
        return decided;
    }
    let of_reply = request.api() != ApiKey::Fetch;
    let round = Round { of_reply, ..Round::new(plan, cx, request) };
    verdict.truncations.iter().for_each(|truncation| round.truncate(truncation));
    round.learn(&response.body);
    if plan.access.is_active() {
        decided.edited |= round.access_listing(&mut response.body);
        decided.edited |= round.access_operations(&mut response.body);
    }
    match &mut response.body {
        ResponseBody::Fetch(fetched) => round.fetched(request, fetched, &mut decided),
        body => decided.edited |= round.replied(body),
    }
    decided
}

/// A partition of a fetch, by its name as the messages have it.
type Key = (Str, Uuid, i32);

impl Round<'_> {
    fn fetched(&self, request: &Request, response: &mut fetch::Response, decided: &mut ResponseVerdict) {
        let offsets = offsets(request);
        let mut parts = Vec::new();
        let mut partitions = Vec::new();
        for topic in &mut response.responses {
            for partition in &mut topic.partitions {
                let part = Part::partition(&topic.topic, topic.topic_id, partition.partition_index);
                let mut state = self.state(self.about(&part, None, None));
                let key = (topic.topic.clone(), topic.topic_id, partition.partition_index);
                state.shape = offsets.get(&key).map_or(Shape::Next, |offset| Shape::Offset(*offset));
                parts.push(state);
                partitions.push(partition);
            }
        }
        for (part, partition) in parts.iter_mut().zip(&mut partitions) {
            decided.edited |= self.protect_fetched(part, partition);
        }
        decided.mute = self
            .meter(&mut parts, Counted::AtReply, &|at, unit| used(partitions.get(at).map(|it| &**it), unit));
        // an empty reply draws nothing, and what failed already is left alone
        for (part, partition) in parts.iter_mut().zip(&partitions) {
            part.harmed = partition.error_code != 0 || partition.records.is_empty();
        }
        let payload = |at: usize| partitions.get(at).and_then(|partition| partition.records.to_bytes().ok());
        let possible = Possible::of_reply();
        let injections = self.inject(&mut parts, Stage::Reply, &possible, &payload);
        for (at, left) in injections.payloads {
            if let Some(partition) = partitions.get_mut(at) {
                partition.records = Payload::Bytes(left);
                decided.edited = true;
            }
        }
        for changed in injections.replies {
            let (Some(part), Some(partition)) = (parts.get(changed.at), partitions.get_mut(changed.at))
            else {
                continue;
            };
            decided.edited |= self.change_reply(part, &changed, &mut **partition, |fault, partition| {
                fault.fetched(partition).then_some(None)
            });
        }
        injections.truncations.iter().for_each(|truncation| self.truncate(truncation));
        for (at, code) in injections.after {
            if let Some(part) = parts.get_mut(at) {
                part.outcome = Outcome::answer(code);
            }
        }
        for (part, partition) in parts.iter().zip(partitions) {
            if let Outcome::Answer { code, .. } = part.outcome
                && partition.error_code == 0
            {
                refuse(partition, code);
                decided.edited = true;
            }
        }
        let mut harm = injections.harm;
        harm.throttle = harm.throttle.max(decided.mute);
        (decided.delay, decided.lose, decided.end) = (harm.delay, harm.lose, harm.end);
        decided.holds = injections.holds;
        decided.storms = injections.storms;
        if !harm.throttle.is_zero() {
            let named = i32::try_from(harm.throttle.as_millis()).unwrap_or(i32::MAX);
            response.throttle_time_ms = response.throttle_time_ms.max(named);
            decided.edited = true;
        }
    }

    /// The security rules on what was fetched. True when the partition changed.
    fn protect_fetched(&self, part: &mut PartState, partition: &mut fetch::FetchPartitionData) -> bool {
        if partition.records.is_empty() {
            return false;
        }
        if part.about.unknown && self.plan.needs_topic_names(self.api) {
            refuse(partition, ErrorCode::UNKNOWN_TOPIC_ID);
            return true;
        }
        let mut fired = Vec::new();
        for place in part.candidates.security.clone() {
            // the others were met at the request
            if part.is_open() && self.plan.security[place].needs_records() {
                self.protect_part(place, part, &mut fired);
            }
        }
        if part.is_open() && !fired.is_empty() {
            let ruled = match partition.records.to_bytes() {
                Ok(payload) => self.rule_records(part, &payload, &fired, Way::Fetched),
                Err(error) => {
                    tracing::error!(%error, "fetched records cannot be read to be looked into");
                    part.refuse(ErrorCode::KAFKA_STORAGE_ERROR, "the records cannot be read");
                    super::records::Ruled::default()
                }
            };
            if let Some((code, message)) = ruled.refused {
                part.refuse(code, message);
            } else if part.is_open() {
                std::mem::take(&mut part.additions).commit();
                if let Some(payload) = ruled.payload {
                    partition.records = Payload::Bytes(payload);
                    return true;
                }
            }
        }
        match part.outcome {
            Outcome::Answer { code, .. } => {
                refuse(partition, code);
                true
            }
            Outcome::Forward => false,
        }
    }

    /// Topic ids that pass by, and deletions.
    fn learn(&self, response: &ResponseBody) {
        let names = &self.shared.names;
        match response {
            ResponseBody::Metadata(body) => {
                for topic in body.topics.iter().filter(|topic| topic.error_code == 0) {
                    if let Some(name) = &topic.name {
                        names.learn(name, topic.topic_id);
                    }
                }
            }
            ResponseBody::CreateTopics(body) => {
                for topic in body.topics.iter().filter(|topic| topic.error_code == 0) {
                    names.learn(&topic.name, topic.topic_id);
                }
            }
            ResponseBody::DescribeTopicPartitions(body) => {
                for topic in body.topics.iter().filter(|topic| topic.error_code == 0) {
                    if let Some(name) = &topic.name {
                        names.learn(name, topic.topic_id);
                    }
                }
            }
            ResponseBody::DeleteTopics(body) => {
                for topic in body.responses.iter().filter(|topic| topic.error_code == 0) {
                    let name = topic.name.clone().or_else(|| names.name(topic.topic_id));
                    if let Some(name) = name {
                        names.forget(&name);
                    }
                }
            }
            _ => {}
        }
    }
}

/// What a fetched part uses of quotas.
fn used(partition: Option<&fetch::FetchPartitionData>, unit: Unit) -> u64 {
    let Some(partition) = partition.filter(|partition| partition.error_code == 0) else { return 0 };
    match (&partition.records, unit) {
        (Payload::Bytes(payload), Unit::Records) => {
            let all = batches(payload).map_while(Result::ok);
            all.map(|batch| u64::try_from(batch.header.record_count).unwrap_or_default()).sum()
        }
        (records, Unit::Bytes) => records.len() as u64,
        // who counts records has them in memory
        _ => 0,
    }
}

/// A partition answered with an error carries nothing else.
fn refuse(partition: &mut fetch::FetchPartitionData, code: ErrorCode) {
    partition.error_code = code.0;
    partition.records = Payload::Bytes(Bytes::new());
    partition.high_watermark = -1;
    partition.last_stable_offset = -1;
    partition.log_start_offset = -1;
    partition.aborted_transactions = None;
}

/// From where each partition was asked for.
fn offsets(request: &Request) -> HashMap<Key, i64> {
    let Ok(RequestBody::Fetch(fetch)) = request.decoded() else { return HashMap::new() };
    let partitions = fetch.topics.iter().flat_map(|topic| {
        topic.partitions.iter().map(|p| ((topic.topic.clone(), topic.topic_id, p.partition), p.fetch_offset))
    });
    partitions.collect()
}
