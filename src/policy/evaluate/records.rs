//! Security rules inside a records payload: which records are denied, and what is changed in the others.

use super::report::{Told, audits};
use super::{DECOMPRESSED_BYTES, PartState, Round};
use crate::policy::action::{EditContext, EditError, Seen};
use crate::policy::identity::{Met, Repeat, Side, fetched_record};
use crate::policy::random::Event;
use crate::policy::rule::{Action, Rule};
use crate::policy::script::closure::{self, Closure};
use crate::policy::script::objects::{CxData, RecordData};
use crate::policy::selector::Selected;
use crate::policy::template::Field;
use crate::wire::ErrorCode;
use crate::wire::api::Resource;
use crate::wire::record::{Rebuild, Record, RecordError, Records, Tail, batches, verify_crc, with_codecs};
use bytes::{Bytes, BytesMut};
use std::rc::Rc;

/// Denied records that a refused batch names: one refuses all of it, and no client reads more.
const MOST_DENIED: usize = 1_000;

/// Which way the records go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    Produced,
    Fetched,
}

/// What the rules make of a payload.
#[derive(Debug, Default)]
pub(super) struct Ruled {
    /// The payload to go on with, when it is another.
    pub payload: Option<Bytes>,
    /// Produced: index in the batch and reason.
    pub denied: Vec<(i32, String)>,
    /// Nothing of it may go on.
    pub refused: Option<(ErrorCode, String)>,
}

impl Round<'_> {
    /// Applies the record rules that fired for a part (`fired`, by their places among the security rules).
    pub(super) fn rule_records(
        &self,
        part: &mut PartState,
        payload: &Bytes,
        fired: &[usize],
        way: Way,
    ) -> Ruled {
        let mut ruled = Ruled::default();
        let rules = |of: fn(&Rule) -> bool| {
            let security = &self.plan.security;
            fired.iter().copied().filter(move |place| of(&security[*place])).collect::<Vec<_>>()
        };
        let inspecting = rules(Rule::inspects_records);
        if !inspecting.is_empty() {
            let drops = match self.inspect(part, payload, &inspecting, way, &mut ruled) {
                Ok(drops) => drops,
                Err(error) => return ruled.refuse(ErrorCode::CORRUPT_MESSAGE, error.to_string()),
            };
            if ruled.refused.is_some() || !ruled.denied.is_empty() {
                return ruled;
            }
            if !drops.is_empty() {
                match without(payload, &drops) {
                    Ok(rest) => ruled.payload = Some(rest),
                    Err(error) => return ruled.refuse(ErrorCode::CORRUPT_MESSAGE, error.to_string()),
                }
            }
        }
        if fired.iter().any(|place| self.plan.security[*place].edits_records()) {
            let input = ruled.payload.clone().unwrap_or_else(|| payload.clone());
            return self.edit(part, &input, fired, way, ruled);
        }
        ruled
    }

    /// Looks at every record: fills `denied` for a produced payload, gives the offsets to leave out of a
    /// fetched one.
    fn inspect(
        &self,
        part: &mut PartState,
        payload: &Bytes,
        places: &[usize],
        way: Way,
        ruled: &mut Ruled,
    ) -> Result<Vec<i64>, RecordError> {
        let met = self.record_met(part, places, way);
        let cx = self.denying_cx(part);
        let mut drops = Vec::new();
        let mut written = vec![0u64; places.len()];
        let result = with_codecs(|decompressor, _| -> Result<(), RecordError> {
            let mut walk = batches(payload);
            let mut index = 0;
            for batch in &mut walk {
                let batch = batch?;
                if batch.header.is_control() {
                    continue;
                }
                verify_crc(batch.bytes)?;
                for record in Records::open(batch.bytes, &batch.header, decompressor, DECOMPRESSED_BYTES)? {
                    let record = record?;
                    let offset = batch.header.base_offset.saturating_add(i64::from(record.offset_delta));
                    let timestamp = batch.header.timestamp_of(record.timestamp_delta);
                    let seen = Seen { record: &record, offset, timestamp };
                    let event = record_event(part, met, index, offset, way);
                    for (at, place) in places.iter().enumerate() {
                        let rule = &self.plan.security[*place];
                        if !self.selects(rule, &record, event) {
                            continue;
                        }
                        rule.life.counters.matched();
                        written[at] += u64::from(audits(rule));
                        let denial = match self.deny(rule, &seen, &cx, part) {
                            Ok(denial) => denial,
                            Err(failure) if rule.observe => {
                                self.audit(&part.about, Told::new(rule, "error").because(&failure));
                                None
                            }
                            Err(failure) => {
                                self.audit(&part.about, Told::new(rule, "error").because(&failure));
                                ruled.refused = Some((part.refusal(), failure));
                                return Ok(());
                            }
                        };
                        let Some(reason) = denial else { continue };
                        rule.life.counters.applied();
                        self.audit(&part.about, Told::new(rule, "deny").because(&reason).records(1));
                        if rule.observe {
                            continue;
                        }
                        match way {
                            Way::Produced if ruled.denied.len() == MOST_DENIED => return Ok(()),
                            Way::Produced => ruled.denied.push((index, reason)),
                            Way::Fetched => drops.push(offset),
                        }
                        break;
                    }
                    index += 1;
                }
            }
            match (walk.tail(), way) {
                (Tail::Whole, _) => {}
                // nobody can look into the piece of a batch that ends a fetch, and clients ignore it
                (Tail::CutShort { at }, Way::Fetched) => ruled.payload = Some(payload.slice(..at)),
                (Tail::CutShort { .. }, Way::Produced) => {
                    let message = "the batch ends before its length says".to_owned();
                    ruled.refused = Some((ErrorCode::CORRUPT_MESSAGE, message));
                }
            }
            Ok(())
        });
        for (place, records) in places.iter().zip(written) {
            if records > 0 {
                let rule = &self.plan.security[*place];
                self.audit(&part.about, Told::new(rule, "audit").records(records));
            }
        }
        drops.sort_unstable();
        result.map(|()| drops)
    }

    /// Whether a rule denies a record that it selects; the reason. An error is a rule that failed.
    fn deny(
        &self,
        rule: &Rule,
        seen: &Seen<'_>,
        cx: &Rc<CxData>,
        part: &mut PartState,
    ) -> Result<Option<String>, String> {
        for action in &rule.actions {
            match action {
                Action::Deny(reason) => {
                    return Ok(Some(reason.clone().unwrap_or_else(|| "refused by policy".to_owned())));
                }
                Action::RequireHeader(name)
                    if !seen.record.headers.into_iter().any(|header| name.matches(header.key)) =>
                {
                    return Ok(Some(format!("the record has no header `{name}`")));
                }
                Action::Each(_) if self.closures_are_late() => {
                    rule.life.counters.could_not_apply();
                    return Err(format!(
                        "the rule at {} failed: the closures of one exchange took longer than {:?}",
                        rule.written_at(),
                        self.shared.closures_wall
                    ));
                }
                Action::Each(each) => {
                    let closure =
                        Closure { policy: &rule.policy, index: each.closure, state: &self.shared.state };
                    match closure::each(closure, cx, record_data(seen), &mut part.additions) {
                        Ok(None) => rule.life.counters.applied(),
                        Ok(Some(reason)) => return Ok(Some(reason)),
                        Err(error) => {
                            self.closure_failed(rule, &error);
                            return Err(format!("the rule at {} failed", rule.written_at()));
                        }
                    }
                }
                _ => {}
            }
        }
        Ok(None)
    }

    /// Changes records.
    fn edit(
        &self,
        part: &mut PartState,
        payload: &Bytes,
        fired: &[usize],
        way: Way,
        mut ruled: Ruled,
    ) -> Ruled {
        let candidates = std::sync::Arc::clone(&part.candidates);
        let met = self.record_met(part, &candidates.editing, way);
        let fires: Vec<bool> =
            candidates.editing.iter().map(|place| fired.binary_search(place).is_ok()).collect();
        let mut context = Editing { round: self, part, met, way, fires: &fires, rules: &candidates.editing };
        let result = candidates.edits.apply(payload, DECOMPRESSED_BYTES, &mut context);
        match result {
            Ok(edited) => {
                for (place, counts) in candidates.editing.iter().zip(&edited.rules) {
                    self.count_edits(part, &self.plan.security[*place], counts);
                }
                if edited.payload.is_some() {
                    ruled.payload = edited.payload;
                }
                ruled
            }
            Err(EditError::Records(error)) => ruled.refuse(ErrorCode::CORRUPT_MESSAGE, error.to_string()),
            Err(EditError::Unparsable { rule, offset, source }) => {
                let rule = candidates.editing.get(rule).map(|place| &self.plan.security[*place]);
                if let Some(rule) = rule {
                    rule.life.counters.matched();
                    rule.life.counters.applied();
                    let reason = source.to_string();
                    self.audit(&part.about, Told::new(rule, "unparsable").because(&reason).records(1));
                }
                let message = format!("the value cannot be masked: {source}");
                match (way, i32::try_from(offset)) {
                    (Way::Produced, Ok(index)) => {
                        ruled.denied.push((index, message));
                        ruled
                    }
                    _ => ruled.refuse(part.refusal(), message),
                }
            }
        }
    }

    fn count_edits(&self, part: &PartState, rule: &Rule, counts: &crate::policy::action::RuleCounts) {
        use std::sync::atomic::Ordering::Relaxed;
        let counters = &rule.life.counters;
        counters.matched.fetch_add(counts.selected, Relaxed);
        counters.applied.fetch_add(counts.applied, Relaxed);
        if counts.unparsable > 0 {
            counters.could_not_apply.fetch_add(counts.unparsable, Relaxed);
            self.audit(&part.about, Told::new(rule, "unparsable").records(counts.unparsable));
        }
        if counts.applied > 0 && (rule.observe || audits(rule)) {
            self.audit(&part.about, Told::new(rule, "edit").records(counts.applied));
        }
    }

    /// Whether a rule takes a record. A value that cannot be read is taken by a security rule.
    fn selects(&self, rule: &Rule, record: &Record<'_>, event: Event) -> bool {
        selected(rule, record) != Selected::No && rule.triggers.record(rule.firing(self.now), event)
    }

    /// The event that the records of a part count from, if a rule draws about them.
    fn record_met(&self, part: &mut PartState, places: &[usize], way: Way) -> Option<Met> {
        let draws = |place: &usize| self.plan.security[*place].triggers.chance.is_some();
        (way == Way::Produced && places.iter().any(draws)).then(|| self.met(part, Side::Security))
    }

    fn denying_cx(&self, part: &mut PartState) -> Rc<CxData> {
        let cx = self.cx(part);
        Rc::new(CxData {
            principal: cx.principal.clone(),
            client_id: cx.client_id.clone(),
            listener: cx.listener.clone(),
            ip: cx.ip.clone(),
            api: cx.api.clone(),
            version: cx.version,
            topic: cx.topic.clone(),
            partition: cx.partition,
            group: cx.group.clone(),
            transactional_id: cx.transactional_id.clone(),
            may_deny: true,
            ..CxData::default()
        })
    }

    /// Whether a chaos rule's record selectors take any record of a payload. What cannot be read is not taken.
    pub(super) fn any_record(&self, rule: &Rule, payload: &Bytes) -> bool {
        with_codecs(|decompressor, _| {
            batches(payload).map_while(Result::ok).filter(|batch| !batch.header.is_control()).any(|batch| {
                let records = Records::open(batch.bytes, &batch.header, decompressor, DECOMPRESSED_BYTES);
                records.is_ok_and(|mut records| {
                    records.any(|r| r.is_ok_and(|record| selected(rule, &record) == Selected::Yes))
                })
            })
        })
    }
}

impl Ruled {
    fn refuse(mut self, code: ErrorCode, message: String) -> Self {
        self.refused = Some((code, message));
        self
    }
}

/// Whether all record selectors of a rule take a record.
fn selected(rule: &Rule, record: &Record<'_>) -> Selected {
    let mut all = Selected::Yes;
    for selector in &rule.selectors.records {
        match selector.matches(record.key, record.value, record.headers) {
            Selected::No => return Selected::No,
            Selected::Unreadable => all = Selected::Unreadable,
            Selected::Yes => {}
        }
    }
    all
}

/// What a record is as an event: at produce its place in the row of its subject, at fetch where it is stored.
fn record_event(part: &PartState, met: Option<Met>, index: i32, offset: i64, way: Way) -> Event {
    match (way, met) {
        (Way::Produced, Some(met)) => {
            let attempt = match met.repeat {
                Repeat::Attempt(attempt) => attempt,
                Repeat::Place => 0,
            };
            Event { subject: met.subject, ordinal: met.ordinal.wrapping_add(index as u64), attempt }
        }
        // without a draw the event is not looked at
        (Way::Produced, None) => Event { subject: 0, ordinal: 0, attempt: 0 },
        (Way::Fetched, _) => fetched_record(&part.about.name, part.about.partition, offset),
    }
}

fn record_data(seen: &Seen<'_>) -> Rc<RecordData> {
    let copy = |bytes: &[u8]| Bytes::copy_from_slice(bytes);
    Rc::new(RecordData {
        key: seen.record.key.map(copy),
        value: seen.record.value.map(copy),
        headers: seen.record.headers.into_iter().map(|h| (copy(h.key), h.value.map(copy))).collect(),
        offset: seen.offset,
        timestamp: seen.timestamp,
    })
}

/// A fetched payload without some records, by their offsets in ascending order: their batches keep their offsets, so that consumers move on.
fn without(payload: &Bytes, drops: &[i64]) -> Result<Bytes, RecordError> {
    with_codecs(|decompressor, compressor| {
        let mut out = BytesMut::with_capacity(payload.len());
        for batch in batches(payload) {
            let batch = batch?;
            let header = &batch.header;
            let first = drops.partition_point(|offset| *offset < header.base_offset);
            let touched = drops.get(first).is_some_and(|offset| *offset <= header.last_offset());
            if header.is_control() || !touched {
                out.extend_from_slice(batch.bytes);
                continue;
            }
            let mut rebuild = Rebuild::of(header, compressor)?;
            for record in Records::open(batch.bytes, header, decompressor, DECOMPRESSED_BYTES)? {
                let record = record?;
                let offset = header.base_offset.saturating_add(i64::from(record.offset_delta));
                if drops.binary_search(&offset).is_err() {
                    rebuild.push(&record)?;
                }
            }
            rebuild.finish_into(&mut out)?;
        }
        Ok(out.freeze())
    })
}

/// What the edits ask.
struct Editing<'e> {
    round: &'e Round<'e>,
    part: &'e PartState,
    met: Option<Met>,
    way: Way,
    /// By the number of the rule among the edits: whether it fired for the part.
    fires: &'e [bool],
    rules: &'e [usize],
}

impl EditContext for Editing<'_> {
    fn selects(&mut self, rule: usize, seen: &Seen<'_>) -> bool {
        if self.fires.get(rule) != Some(&true) {
            return false;
        }
        let Some(rule) = self.rules.get(rule).map(|place| &self.round.plan.security[*place]) else {
            return false;
        };
        if rule.selectors.records.is_empty() && rule.triggers.chance.is_none() {
            return true;
        }
        let event = record_event(self.part, self.met, seen.offset as i32, seen.offset, self.way);
        self.round.selects(rule, seen.record, event)
    }

    fn say(&self, rule: usize, field: Field, out: &mut String) {
        use std::fmt::Write;
        let (round, about) = (self.round, &self.part.about);
        let rule = self.rules.get(rule).map(|place| &round.plan.security[*place]);
        let written = match field {
            Field::Principal => write!(out, "{}", round.who.principal),
            Field::ClientId => write!(out, "{}", round.who.client_id),
            Field::Listener => write!(out, "{}", round.who.listener),
            Field::Ip => write!(out, "{}", round.who.remote_ip),
            Field::Api => write!(out, "{}", round.api_name),
            Field::Topic if about.resource == Some(Resource::Topic) => write!(out, "{}", about.name),
            Field::Topic => Ok(()),
            Field::Partition => write!(out, "{}", about.partition),
            Field::Policy => write!(out, "{}", rule.map_or("", |rule| &rule.policy.name)),
            Field::Rule => write!(out, "{}", rule.map_or("", |rule| &rule.name)),
            Field::Offset | Field::Timestamp => Ok(()),
        };
        // writing into a text does not fail
        written.unwrap_or_default();
    }
}
