//! Faults on records: which records of a part a rule strikes, and what is left of its payload.

use super::records::{Way, record_event, selected};
use super::report::Told;
use super::{DECOMPRESSED_BYTES, PartState, Round};
use crate::policy::fault::record::{self, Chosen, RecordFault};
use crate::policy::fault::{Executed, Fault, Injected};
use crate::policy::identity::Side;
use crate::policy::random::Event;
use crate::policy::rule::{Action, Rule};
use crate::policy::selector::Selected;
use crate::policy::sequences::{How, Recounted};
use crate::wire::record::{RecordError, Records, batches, with_codecs};
use bytes::Bytes;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

impl Round<'_> {
    /// Strikes the records of a part that a rule chooses. `None`: they stay as they are. What cannot be read is left alone:
    /// its reader will say so.
    pub(super) fn strike(
        &self,
        rule: &Arc<Rule>,
        part: &mut PartState,
        payload: &Bytes,
        way: Way,
    ) -> Option<Bytes> {
        let counters = &rule.life.counters;
        let (chosen, events) = match self.choose(rule, part, payload, way) {
            Ok(chosen) => chosen,
            Err(error) => {
                tracing::debug!(%error, rule = %rule.name, "records to be struck cannot be read");
                counters.could_not_apply();
                return None;
            }
        };
        if chosen.is_empty() {
            return None;
        }
        let mut now = payload.clone();
        let mut applied = vec![false; chosen.len()];
        for action in &rule.actions {
            let Action::Fault(Fault::Record(fault)) = action else { continue };
            if fault.recounts() && !self.may_recount(part, way) {
                continue;
            }
            let struck = match fault.strike(&now, record_way(way), &chosen, DECOMPRESSED_BYTES) {
                Ok(struck) => struck,
                Err(error) => {
                    tracing::debug!(%error, rule = %rule.name, "records could not be struck");
                    counters.could_not_apply.fetch_add(chosen.len() as u64, Relaxed);
                    continue;
                }
            };
            counters.could_not_apply.fetch_add(struck.could_not as u64, Relaxed);
            if fault.recounts() && way == Way::Produced && !rule.observe && !struck.done.is_empty() {
                let how = if *fault == RecordFault::Drop { How::Dropped } else { How::Doubled };
                part.recounts
                    .push(Recounted { how, records: chosen.iter().map(|record| record.index).collect() });
            }
            for (number, drawn) in struck.done {
                let (Some(event), Some(applied)) = (events.get(number), applied.get_mut(number)) else {
                    continue;
                };
                *applied = true;
                self.journal_record(part, rule, *event, fault, drawn, way);
            }
            now = struck.payload;
        }
        let applied = applied.into_iter().filter(|applied| *applied).count() as u64;
        counters.applied.fetch_add(applied, Relaxed);
        if super::report::audits(rule) && applied > 0 {
            self.audit(&part.about, Told::new(rule, "inject").records(applied));
        }
        (applied > 0 && !rule.observe).then_some(now)
    }

    /// The records that a rule selects and strikes, and what each is as an event.
    fn choose(
        &self,
        rule: &Rule,
        part: &mut PartState,
        payload: &Bytes,
        way: Way,
    ) -> Result<(Vec<Chosen>, Vec<Event>), RecordError> {
        let first = self.record_met(part, Side::Chaos, std::slice::from_ref(&rule), way);
        let (mut chosen, mut events, mut index, mut matched) = (Vec::new(), Vec::new(), 0, 0);
        with_codecs(|decompressor, _| {
            for batch in batches(payload) {
                let batch = batch?;
                if batch.header.is_control() {
                    continue;
                }
                for record in Records::open(batch.bytes, &batch.header, decompressor, DECOMPRESSED_BYTES)? {
                    let record = record?;
                    if selected(rule, &record) == Selected::Yes {
                        matched += 1;
                        let offset = batch.header.base_offset.saturating_add(i64::from(record.offset_delta));
                        let event = record_event(part, first.first(), index, offset, way);
                        if let Some(draws) = rule.triggers.strike(rule.firing(self.now), event) {
                            chosen.push(Chosen { index: index as usize, draws });
                            events.push(event);
                        }
                    }
                    index += 1;
                }
            }
            Ok(())
        })?;
        rule.life.counters.matched.fetch_add(matched, Relaxed);
        Ok((chosen, events))
    }

    fn journal_record(
        &self,
        part: &PartState,
        rule: &Rule,
        event: Event,
        fault: &RecordFault,
        drawn: Option<String>,
        way: Way,
    ) {
        let executed = match way {
            Way::Produced => Executed::No,
            Way::Fetched => Executed::Yes,
        };
        let injected = Injected { executed, parameter: drawn, terminal: false };
        self.journal_at(&part.about, rule, event, fault.word(), &injected, way == Way::Fetched);
    }
}

fn record_way(way: Way) -> record::Way {
    match way {
        Way::Produced => record::Way::Produced,
        Way::Fetched => record::Way::Fetched,
    }
}
