//! The rules that decide about single records: which of a payload are denied, or left out of what is fetched.

use super::records::{Ruled, Way, record_event};
use super::report::{Told, audits};
use super::{DECOMPRESSED_BYTES, PartState, Round};
use crate::policy::action::{Seen, Unreadable, stand_in};
use crate::policy::identity::Side;
use crate::policy::random::Event;
use crate::policy::rule::{Action, Rule};
use crate::policy::script::closure::{self, Closure};
use crate::policy::script::objects::CxData;
use crate::wire::ErrorCode;
use crate::wire::record::{
    Batch, Decompressor, Rebuild, RecordError, Records, Tail, batches, verify_crc, with_codecs,
};
use bytes::{Bytes, BytesMut};
use std::collections::BTreeMap;
use std::rc::Rc;

/// Denied records that a refused batch names: one refuses all of it, and no client reads more.
const MOST_DENIED: usize = 1_000;

/// What is left out of a fetched payload.
#[derive(Debug, Default)]
pub(super) struct LeftOut {
    /// Of single records, in ascending order.
    pub offsets: Vec<i64>,
    /// Batches that nobody can look into, by their number in the payload, and the rule that wanted to.
    pub batches: BTreeMap<usize, String>,
}

/// One look at the records of a payload.
struct Look<'l> {
    /// The rules that look, by their places.
    places: &'l [usize],
    way: Way,
    /// By rule: the event of the first record, if any of them draws.
    met: Vec<Event>,
    cx: Rc<CxData>,
    /// Of the next record, counted over the whole payload.
    index: i32,
    out: LeftOut,
    /// By rule: records that it asks to be written down.
    audited: Vec<u64>,
    /// By rule that only observes: records that it would route.
    would_route: Vec<u64>,
}

impl Round<'_> {
    /// Looks at every record: what is denied of a produced payload, what is to be left out of a fetched one.
    pub(super) fn inspect(
        &self,
        part: &mut PartState,
        payload: &Bytes,
        places: &[usize],
        way: Way,
        ruled: &mut Ruled,
    ) -> Result<LeftOut, RecordError> {
        let rules: Vec<&Rule> = places.iter().map(|place| &*self.plan.security[*place]).collect();
        let met = self.record_met(part, Side::Security, &rules, way);
        let cx = self.denying_cx(part);
        let mut look = Look {
            places,
            way,
            met,
            cx,
            index: 0,
            out: LeftOut::default(),
            audited: vec![0; places.len()],
            would_route: vec![0; places.len()],
        };
        let result = with_codecs(|decompressor, _| -> Result<(), RecordError> {
            let mut walk = batches(payload);
            for (number, batch) in (&mut walk).enumerate() {
                let batch = batch?;
                if batch.header.is_control() {
                    continue;
                }
                verify_crc(batch.bytes)?;
                match self.inspect_batch(&batch, decompressor, part, &mut look, ruled) {
                    Ok(()) if ruled.refused.is_some() || ruled.denied.len() == MOST_DENIED => return Ok(()),
                    Ok(()) => {}
                    Err(error) => match self.unreadable(part, places, &batch.header, &error, way) {
                        Unreadable::Refuse => return Err(error),
                        Unreadable::Pass => {}
                        Unreadable::StandIn(rule) => {
                            look.out.batches.insert(number, rule);
                        }
                    },
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
        for (decision, counts) in [("audit", &look.audited), ("route", &look.would_route)] {
            for (place, records) in places.iter().zip(counts).filter(|(_, records)| **records > 0) {
                let rule = &self.plan.security[*place];
                self.audit(&part.about, Told::new(rule, decision).records(*records));
            }
        }
        look.out.offsets.sort_unstable();
        result.map(|()| look.out)
    }

    fn inspect_batch(
        &self,
        batch: &Batch<'_>,
        decompressor: &mut Decompressor,
        part: &mut PartState,
        look: &mut Look<'_>,
        ruled: &mut Ruled,
    ) -> Result<(), RecordError> {
        let header = &batch.header;
        for record in Records::open(batch.bytes, header, decompressor, DECOMPRESSED_BYTES)? {
            let record = record?;
            let offset = header.base_offset.saturating_add(i64::from(record.offset_delta));
            let timestamp = header.timestamp_of(record.timestamp_delta);
            let seen = Seen { record: &record, offset, timestamp };
            let counts = look.audited.iter_mut().zip(&mut look.would_route);
            let mut taken = false;
            for (at, (place, (audited, would_route))) in look.places.iter().zip(counts).enumerate() {
                let rule = &self.plan.security[*place];
                // the first rule that takes a record has it; those that only look, or refuse, meet it all the same
                if taken && rule.route().is_some() {
                    continue;
                }
                let mut event = record_event(part, look.met.get(at), look.index, offset, look.way);
                if rule.route().is_some() {
                    // a batch that comes again is parted as it was
                    event.attempt = 0;
                }
                if !self.selects(rule, &record, event) {
                    continue;
                }
                rule.life.counters.matched();
                *audited += u64::from(audits(rule));
                let denial = match self.deny(rule, &seen, &look.cx, part) {
                    Ok(denial) => denial,
                    Err(failure) => {
                        self.audit(&part.about, Told::new(rule, "error").because(&failure));
                        if rule.observe {
                            continue;
                        }
                        ruled.refused = Some((part.refusal(), failure));
                        return Ok(());
                    }
                };
                let Some(reason) = denial else { continue };
                if rule.route().is_some() && rule.observe {
                    rule.life.counters.applied();
                    *would_route += 1;
                    continue;
                }
                if rule.route().is_some() {
                    if !ruled.taken.take(look.index, *place, reason, &record) {
                        let message = "more would be routed than can be held at once".to_owned();
                        ruled.refused = Some((ErrorCode::MESSAGE_TOO_LARGE, message));
                        return Ok(());
                    }
                    taken = true;
                    continue;
                }
                rule.life.counters.applied();
                self.audit(&part.about, Told::new(rule, "deny").because(&reason).records(1));
                if rule.observe {
                    continue;
                }
                match look.way {
                    Way::Produced => ruled.denied.push((look.index, reason)),
                    Way::Fetched => look.out.offsets.push(offset),
                }
                break;
            }
            if ruled.denied.len() == MOST_DENIED {
                return Ok(());
            }
            look.index += 1;
        }
        Ok(())
    }

    /// Whether a rule denies a record that it selects; the reason. An error is a rule that failed.
    fn deny(
        &self,
        rule: &Rule,
        seen: &Seen<'_>,
        cx: &Rc<CxData>,
        part: &mut PartState,
    ) -> Result<Option<String>, String> {
        let checks = rule.has(Action::checks_records);
        for action in &rule.actions {
            match action {
                // what the checks have let through is not routed
                Action::Route(route) if !checks => {
                    return Ok(Some(route.reason.clone().unwrap_or_else(|| "routed by policy".to_owned())));
                }
                Action::Deny(reason) => {
                    return Ok(Some(reason.clone().unwrap_or_else(|| "refused by policy".to_owned())));
                }
                Action::RequireHeader(name)
                    if !seen.record.headers.into_iter().any(|header| name.matches(header.key)) =>
                {
                    return Ok(Some(format!("the record has no header `{name}`")));
                }
                Action::Each(_) | Action::Validate(_) if self.closures_are_late() => {
                    rule.life.counters.could_not_apply();
                    return Err(format!(
                        "the rule at {} failed: the records of one exchange took longer than {:?}",
                        rule.written_at(),
                        self.shared.closures_wall
                    ));
                }
                Action::Validate(schema) => {
                    if let Err(invalid) = schema.check(seen.record.value) {
                        return Ok(Some(format!("the value does not fit {schema} at {invalid}")));
                    }
                }
                Action::Each(each) => {
                    let closure =
                        Closure { policy: &rule.policy, index: each.closure, state: &self.shared.state };
                    match closure::each(closure, cx, seen, &mut part.additions) {
                        // it acted when something is other than without it
                        Ok(None) if part.additions.changed() => rule.life.counters.applied(),
                        Ok(None) => {}
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
}

/// A fetched payload without what is left out: its batches keep their offsets, so that consumers move on.
pub(super) fn without(payload: &Bytes, left_out: &LeftOut) -> Result<Bytes, RecordError> {
    let drops = &left_out.offsets;
    with_codecs(|decompressor, compressor| {
        let mut out = BytesMut::with_capacity(payload.len());
        for (number, batch) in batches(payload).enumerate() {
            let batch = batch?;
            let header = &batch.header;
            if let Some(rule) = left_out.batches.get(&number) {
                stand_in(header, rule, compressor)?.finish_into(&mut out)?;
                continue;
            }
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
