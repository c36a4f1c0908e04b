//! Security rules inside a records payload: which records are denied, and what is changed in the others.

use super::inspect::without;
use super::report::{Told, audits};
use super::route::TakenOut;
use super::{DECOMPRESSED_BYTES, PartState, Round};
use crate::policy::action::{EditContext, EditError, Seen, Unreadable};
use crate::policy::identity::{Met, Repeat, Side, fetched_record};
use crate::policy::random::Event;
use crate::policy::rule::Rule;
use crate::policy::selector::Selected;
use crate::policy::template::Field;
use crate::wire::ErrorCode;
use crate::wire::record::{BatchHeader, Record, RecordError, Records, batches, with_codecs};
use bytes::Bytes;
use std::sync::Arc;

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
    /// Produced: what goes to dead-letter topics, once the rules that change records have seen it too.
    pub taken: TakenOut,
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
            let left_out = match self.inspect(part, payload, &inspecting, way, &mut ruled) {
                Ok(left_out) => left_out,
                Err(error) => return ruled.refuse(code_of(&error), error.to_string()),
            };
            if ruled.refused.is_some() || !ruled.denied.is_empty() {
                return ruled;
            }
            if !left_out.offsets.is_empty() || !left_out.batches.is_empty() {
                match without(payload, &left_out) {
                    Ok(rest) => ruled.payload = Some(rest),
                    Err(error) => return ruled.refuse(code_of(&error), error.to_string()),
                }
            }
        }
        if fired.iter().any(|place| self.plan.security[*place].edits_records()) {
            let input = ruled.payload.clone().unwrap_or_else(|| payload.clone());
            return self.edit(part, &input, fired, way, ruled);
        }
        ruled
    }

    /// What becomes of a batch that none of these rules can look into, though it is as it was written. Refusing it
    /// would hold up the consumers of its partition for ever: a fetched one is emptied.
    pub(super) fn unreadable(
        &self,
        part: &PartState,
        places: &[usize],
        batch: &BatchHeader,
        error: &RecordError,
        way: Way,
    ) -> Unreadable {
        let rules = || places.iter().map(|place| &self.plan.security[*place]);
        let reason = error.to_string();
        for rule in rules() {
            rule.life.counters.matched();
            rule.life.counters.could_not_apply();
            let records = u64::try_from(batch.record_count).unwrap_or_default();
            self.audit(&part.about, Told::new(rule, "unparsable").because(&reason).records(records));
        }
        match rules().find(|rule| !rule.observe) {
            None => Unreadable::Pass,
            Some(rule) if way == Way::Fetched => Unreadable::StandIn(rule.name.clone()),
            Some(_) => Unreadable::Refuse,
        }
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
        let candidates = Arc::clone(&part.candidates);
        let rules: Vec<&Rule> = candidates.editing.iter().map(|at| &*self.plan.security[*at]).collect();
        let met = self.record_met(part, Side::Security, &rules, way);
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
            Err(EditError::Records(error)) => ruled.refuse(code_of(&error), error.to_string()),
            Err(EditError::Seal(error)) => {
                tracing::error!(%error, "records cannot be encrypted, and are refused");
                ruled.refuse(ErrorCode::UNKNOWN_SERVER_ERROR, error.to_string())
            }
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
        if counts.unopened > 0 {
            counters.could_not_apply.fetch_add(counts.unopened, Relaxed);
            let told = Told::new(rule, "unparsable").because("cannot be decrypted").records(counts.unopened);
            self.audit(&part.about, told);
        }
        if counts.applied > 0 && (rule.observe || audits(rule)) {
            self.audit(&part.about, Told::new(rule, "edit").records(counts.applied));
        }
    }

    /// Whether a rule takes a record. A value that cannot be read is taken by a security rule.
    pub(super) fn selects(&self, rule: &Rule, record: &Record<'_>, event: Event) -> bool {
        selected(rule, record) != Selected::No && rule.triggers.record(rule.firing(self.now), event)
    }

    /// The events that the records of a part count from, if a rule draws about them: one a rule.
    pub(super) fn record_met(
        &self,
        part: &mut PartState,
        side: Side,
        rules: &[&Rule],
        way: Way,
    ) -> Vec<Event> {
        let counts = |rule: &&Rule| match side {
            Side::Security => rule.triggers.chance.is_some(),
            // the journal names the event
            Side::Chaos | Side::Reply => true,
        };
        if way == Way::Fetched || !rules.iter().any(counts) {
            return Vec::new();
        }
        let Met { subject, ordinal, repeat } = self.met(part, side);
        let attempt = match repeat {
            Repeat::Attempt(attempt) => attempt,
            Repeat::Place => 0,
        };
        let first = |rule: &&Rule| {
            let start = self.shared.subjects.start(subject, rule.life.born);
            Event { subject, ordinal: ordinal.saturating_sub(start), attempt }
        };
        rules.iter().map(first).collect()
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
pub(super) fn selected(rule: &Rule, record: &Record<'_>) -> Selected {
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

/// What a record is as an event to a rule: at produce its place in the row of its subject, at fetch where it is stored.
pub(super) fn record_event(
    part: &PartState,
    first: Option<&Event>,
    index: i32,
    offset: i64,
    way: Way,
) -> Event {
    match (way, first) {
        (Way::Produced, Some(first)) => Event { ordinal: first.ordinal.wrapping_add(index as u64), ..*first },
        // without a draw the event is not looked at
        (Way::Produced, None) => Event { subject: 0, ordinal: 0, attempt: 0 },
        (Way::Fetched, _) => fetched_record(&part.about.name, part.about.partition, offset),
    }
}

/// What a payload is refused with that cannot be looked into. Of a batch that is too large clients make smaller ones.
pub(super) fn code_of(error: &RecordError) -> ErrorCode {
    match error {
        RecordError::TooLarge { .. } => ErrorCode::MESSAGE_TOO_LARGE,
        _ => ErrorCode::CORRUPT_MESSAGE,
    }
}

/// What the edits ask.
struct Editing<'e> {
    round: &'e Round<'e>,
    part: &'e PartState,
    /// By the number of the rule: the event of the first record, if any rule draws.
    met: Vec<Event>,
    way: Way,
    /// By the number of the rule among the edits: whether it fired for the part.
    fires: &'e [bool],
    rules: &'e [usize],
}

impl EditContext for Editing<'_> {
    fn selects(&mut self, number: usize, seen: &Seen<'_>) -> bool {
        if self.fires.get(number) != Some(&true) {
            return false;
        }
        let Some(rule) = self.rules.get(number).map(|place| &self.round.plan.security[*place]) else {
            return false;
        };
        if rule.selectors.records.is_empty() && rule.triggers.chance.is_none() {
            return true;
        }
        let first = self.met.get(number);
        let event = record_event(self.part, first, seen.offset as i32, seen.offset, self.way);
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
            Field::Topic => write!(out, "{}", about.name),
            Field::Partition => write!(out, "{}", about.partition),
            Field::Policy => write!(out, "{}", rule.map_or("", |rule| &rule.policy.name)),
            Field::Rule => write!(out, "{}", rule.map_or("", |rule| &rule.name)),
            Field::Offset | Field::Timestamp => Ok(()),
        };
        // writing into a text does not fail
        written.unwrap_or_default();
    }

    fn unreadable(&mut self, batch: &BatchHeader, error: &RecordError) -> Unreadable {
        let fired: Vec<usize> =
            self.rules.iter().zip(self.fires).filter(|(_, fires)| **fires).map(|(place, _)| *place).collect();
        self.round.unreadable(self.part, &fired, batch, error, self.way)
    }
}
