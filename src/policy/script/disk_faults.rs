//! The words that harm the embedded broker: its disk, its work, its logs.

use super::call::{Call, MOST, rule_word, word};
use super::draft::RuleHandle;
use super::host::Host;
use super::values::distribution;
use super::vocabulary::nearest;
use crate::policy::fault::Fault;
use crate::policy::fault::disk::{DiskFault, Operation, Operations, Point};
use crate::policy::glob::Patterns;
use crate::policy::random::LONGEST;
use crate::policy::rule::{Action, Head};
use rhai::Engine;
use std::rc::Rc;

pub fn register(engine: &mut Engine, host: &Rc<Host>) {
    let own = Rc::clone(host);
    word(engine, "on_disk", 0..=MOST, move |call| {
        let topics = Patterns::new(call.texts()?);
        let rule = RuleHandle::begin(&own, &call, Head::Disk(Operations::ALL))?;
        rule.edit(&call, |rule| {
            if !topics.is_any() {
                rule.selectors.topics.push(topics);
            }
            Ok(())
        })?;
        Ok(rule)
    });
    let own = Rc::clone(host);
    word(engine, "on_broker", 0..=0, move |call| RuleHandle::begin(&own, &call, Head::Broker));
    rule_word(engine, "pause", 0..=0, |rule, call| {
        let timed =
            rule.edit(&call, |rule| Ok(rule.head != Head::Broker || rule.triggers.during.is_some()))?;
        if !timed {
            return Err("`pause` of on_broker() wants to know when: .during(\"10s\", \"15s\")".to_owned());
        }
        rule.act(&call, &["on_broker"], Action::Fault(Fault::Pause(None)))
    });
    rule_word(engine, "pause", 1..=1, |rule, call| {
        let time = call.duration(0)?;
        if time.is_zero() || time > LONGEST {
            return Err(format!("a broker stands still for more than nothing and at most {LONGEST:?}"));
        }
        rule.act(&call, &["on_produce", "on_fetch", "on_request"], Action::Fault(Fault::Pause(Some(time))))
    });
    rule_word(engine, "truncate_log", 1..=1, |rule, call| {
        let records = call.integer(0, 1)? as u64;
        rule.act(&call, &["on_produce", "on_fetch"], Action::Fault(Fault::TruncateLog(records)))
    });
    rule_word(engine, "operation", 1..=MOST, |rule, call| {
        let operations = operations(&call)?;
        rule.select(&call, &["on_disk"], |rule| {
            if rule.head != Head::Disk(Operations::ALL) {
                return Err("`operation` stands once in a rule; give it several operations".to_owned());
            }
            rule.head = Head::Disk(operations);
            Ok(())
        })
    });
    rule_word(engine, "slow_disk", 1..=1, |rule, call| {
        let time = distribution(&call, 0)?;
        harm(rule, &call, DiskFault::Slow(time))
    });
    rule_word(engine, "disk_full", 0..=0, |rule, call| harm(rule, &call, DiskFault::Full));
    rule_word(engine, "fsync_error", 0..=0, |rule, call| harm(rule, &call, DiskFault::FsyncError));
    rule_word(engine, "crash_at", 1..=1, |rule, call| {
        let point = match call.text(0)?.as_str() {
            "before" => Point::Before,
            "after" => Point::After,
            other => {
                return Err(format!(
                    "`crash_at` is \"before\" the operation or \"after\" it, not \"{other}\"; which operation says \
                     `.operation(\"append\")`"
                ));
            }
        };
        harm(rule, &call, DiskFault::CrashAt(point))
    });
}

fn operations(call: &Call<'_, '_>) -> Result<Operations, String> {
    let found: Result<Vec<Operation>, String> =
        call.some_texts()?.iter().map(|name| operation(name)).collect();
    Ok(Operations::of(&found?))
}

/// A disk operation, by its name.
pub fn operation(name: &str) -> Result<Operation, String> {
    Operation::from_word(name).ok_or_else(|| {
        let known = || Operation::ALL.iter().map(|operation| operation.word());
        let all: Vec<&str> = known().collect();
        format!("a disk has no operation \"{name}\"{}; there are {}", nearest(name, known()), all.join(", "))
    })
}

/// Leaves the rule the operations at which its fault can happen.
fn harm(rule: &RuleHandle, call: &Call<'_, '_>, fault: DiskFault) -> Result<(), String> {
    let possible = fault.operations();
    rule.act(call, &["on_disk"], Action::Fault(Fault::Disk(fault)))?;
    rule.edit(call, |rule| {
        let Head::Disk(operations) = rule.head else { return Ok(()) };
        let narrowed = operations.narrowed(possible).ok_or_else(|| {
            format!("`{}` happens at {possible}; this rule is about {operations}", call.word)
        })?;
        rule.head = Head::Disk(narrowed);
        Ok(())
    })
}
