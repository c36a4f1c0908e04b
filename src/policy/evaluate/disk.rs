//! Operations of the embedded broker on the files of a partition's log. Nobody's exchange: the subject is the log and
//! what is done to it.

use crate::policy::fault::disk::{DiskFault, Operation, Point};
use crate::policy::fault::{Executed, Fault};
use crate::policy::generation::Generation;
use crate::policy::identity::{Side, Subject};
use crate::policy::journal::{Injection, now};
use crate::policy::random::{Event, identity};
use crate::policy::rule::{Action, Head, Rule, canonical};
use std::sync::Arc;
use std::time::Duration;

/// What an operation meets.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct DiskVerdict {
    /// It takes so much longer, each as long as [`still_waits`] says so of its number.
    pub waits: Vec<(u64, Duration)>,
    pub end: Option<DiskEnd>,
}

/// How an operation ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DiskEnd {
    /// No space is left.
    Full,
    Failed,
    Crash(Point),
}

/// Decides about one operation. None when no rule has anything to say.
pub fn on_disk(
    generation: &Generation,
    operation: Operation,
    topic: &str,
    partition: i32,
) -> Option<DiskVerdict> {
    let about = |rule: &&Arc<Rule>| {
        matches!(rule.head, Head::Disk(operations) if operations.contains(operation))
            && rule.selectors.topic_matches(topic)
            && rule.selectors.partition_matches(partition)
    };
    let rules: Vec<&Arc<Rule>> = generation.broker_rules().iter().filter(about).collect();
    let born = rules.iter().map(|rule| rule.life.born).max()?;
    let shared = &generation.shared;
    let now = shared.clock.now();
    let subject = subject(operation.word(), topic, partition);
    let met = shared.subjects.next(subject.id(), born);
    let mut verdict = DiskVerdict::default();
    for rule in rules {
        if rule.is_expired(now) || verdict.end.is_some() {
            continue;
        }
        rule.life.counters.matched();
        let Some((mut draws, event)) = rule.triggers.fire(rule.firing(now), &met, &shared.subjects) else {
            continue;
        };
        rule.life.counters.applied();
        for action in &rule.actions {
            let Action::Fault(Fault::Disk(fault)) = action else { continue };
            let mut drawn = None;
            let mut end = None;
            let mut executed = Executed::No;
            match fault {
                DiskFault::Slow(time) => {
                    let time = time.draw(&mut draws);
                    drawn = Some(format!("{time:?}"));
                    executed = Executed::Untouched;
                    if !rule.observe {
                        // It does not outlast its rule.
                        let left = rule.expires_at().map_or(time, |end| time.min(end.saturating_sub(now)));
                        verdict.waits.push((asker(rule), left));
                    }
                }
                DiskFault::Full => end = Some(DiskEnd::Full),
                DiskFault::FsyncError => end = Some(DiskEnd::Failed),
                DiskFault::CrashAt(point) => {
                    drawn = Some(point.word().to_owned());
                    end = Some(DiskEnd::Crash(*point));
                    if *point == Point::After {
                        executed = Executed::Yes;
                    }
                }
            }
            write_down(generation, rule, &subject, event, (fault.word(), drawn.as_deref()), executed);
            if !rule.observe && verdict.end.is_none() {
                verdict.end = end;
            }
        }
    }
    (verdict != DiskVerdict::default()).then_some(verdict)
}

/// A rule has the broker stand still: told once, when it is first noticed. False: a replay has nothing of it.
pub(in crate::policy) fn stands_still(generation: &Generation, rule: &Arc<Rule>, time: Duration) -> bool {
    let nobody = Subject { client_id: "itself", kind: "", ..subject("time", "", -1) };
    let event = Event { subject: nobody.id(), ordinal: 0, attempt: 0 };
    let forced = rule.firing(time).forced;
    if forced.is_some_and(|forced| !forced.has(event.subject, event.ordinal, event.attempt)) {
        return false;
    }
    if !rule.life.fired.take(1) {
        return true;
    }
    rule.life.counters.matched();
    rule.life.counters.applied();
    let parameter = format!("{time:?}");
    write_down(generation, rule, &nobody, event, ("pause", Some(&parameter)), Executed::Untouched);
    true
}

/// Whether the rule that asked for a wait is there as it was then.
pub fn still_waits(generation: &Generation, asked_by: u64) -> bool {
    let now = generation.shared.clock.now();
    generation
        .broker_rules()
        .iter()
        .any(|rule| asker(rule) == asked_by && !rule.is_expired(now) && !rule.observe)
}

/// A rule, and what it says: one of the same name that says something else is another.
fn asker(rule: &Rule) -> u64 {
    let says = canonical(&rule.head, &rule.selectors, &rule.triggers, &rule.actions);
    identity([rule.key.to_le_bytes().as_slice(), says.as_bytes()]) as u64
}

/// What the embedded broker does is done by nobody: its subjects have its name.
pub(super) fn subject<'a>(what: &'a str, topic: &'a str, partition: i32) -> Subject<'a> {
    Subject {
        side: Side::Chaos,
        principal: "broker",
        client_id: "disk",
        api: what,
        kind: "topic",
        name: topic,
        partition,
    }
}

/// Into the journal.
pub(super) fn write_down(
    generation: &Generation,
    rule: &Rule,
    subject: &Subject<'_>,
    event: Event,
    (fault, parameter): (&str, Option<&str>),
    executed: Executed,
) {
    if !generation.shared.journal.is_on() {
        return;
    }
    generation.shared.journal.put(&Injection {
        time: now(),
        seed: rule.seed,
        policy: &rule.policy.name,
        rule: &rule.name,
        subject: &subject.to_string(),
        subject_id: format!("{:032x}", event.subject),
        n: event.ordinal,
        attempt: event.attempt,
        fault,
        parameter,
        when: executed.place(),
        observed: rule.observe,
        session: 0,
        correlation_id: -1,
    });
}
