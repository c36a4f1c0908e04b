//! What a dry run found: for each rule how often it was met, what it would have done, to whom, and when.

use crate::policy::capture::{Problem, is_secret};
use crate::policy::generation::{Generation, Who};
use crate::policy::rule::Head;
use crate::wire::table::APIS;
use serde::Serialize;
use std::collections::HashMap;
use std::fmt::Write;

/// Names counted one by one of each rule; what comes after them is counted as others.
const NAMES: usize = 10_000;
/// Names that are shown, and that are told in JSON.
const SHOWN: usize = 3;
const TOLD: usize = 20;

#[derive(Debug, Default, Serialize)]
pub struct Report {
    pub requests: u64,
    pub answers: u64,
    pub sessions: u64,
    /// Milliseconds since 1970 of the first and the last record.
    pub first: Option<u64>,
    pub last: Option<u64>,
    /// Records that the capture misses, as they came faster than they could be written.
    pub dropped: u64,
    /// The capture has the size it may have: what came later is not in it.
    pub full: bool,
    /// Requests without their bodies, which carry credentials.
    pub left_out: u64,
    /// Frames that no rule could be shown.
    pub unreadable: u64,
    /// Requests whose answers are not in the capture, or came too late to be looked at.
    pub unmatched: u64,
    #[serde(serialize_with = "told")]
    pub problem: Option<Problem>,
    pub rules: Vec<RuleReport>,
    /// What no rule allows, where a policy says `default_deny()`.
    pub default_deny: Option<Met>,
    /// Only policies say it that watch.
    pub default_deny_observes: bool,
}

/// One rule.
#[derive(Debug, Serialize)]
pub struct RuleReport {
    pub policy: String,
    pub rule: String,
    pub written_at: String,
    /// It is about what the embedded broker does by itself, which no capture has.
    pub of_the_broker: bool,
    /// It is about nothing but logins and other secrets, which are left out of captures.
    pub left_out: bool,
    /// It was written to watch: in force it would do nothing either.
    pub observes: bool,
    #[serde(flatten)]
    pub met: Met,
}

/// How often, when, and by whom.
#[derive(Debug, Default, Serialize)]
pub struct Met {
    pub matched: u64,
    pub would_act: u64,
    /// Milliseconds since 1970.
    pub first: Option<u64>,
    pub last: Option<u64>,
    pub principals: Top,
    pub client_ids: Top,
    pub addresses: Top,
    /// Of what can only have been about one topic.
    pub topics: Top,
    /// Acts of which one of several topics was the cause.
    pub among_topics: u64,
}

/// Names and how often each was met, where the rule would have acted.
#[derive(Debug, Default)]
pub struct Top {
    counts: HashMap<Box<str>, u64>,
    others: u64,
}

impl Top {
    fn count(&mut self, name: &str, times: u64) {
        let has_room = self.counts.len() < NAMES;
        match self.counts.get_mut(name) {
            Some(count) => *count += times,
            None if has_room => {
                self.counts.insert(name.into(), times);
            }
            None => self.others += times,
        }
    }

    /// The most frequent ones.
    pub fn first(&self, most: usize) -> Vec<(&str, u64)> {
        let mut all: Vec<(&str, u64)> = self.counts.iter().map(|(name, count)| (&**name, *count)).collect();
        all.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
        all.truncate(most);
        all
    }

    fn shown(&self) -> String {
        let first = self.first(SHOWN);
        let mut shown: Vec<String> = first.iter().map(|(name, count)| format!("{name:?} {count}")).collect();
        let more = self.counts.len() - first.len();
        if more > 0 || self.others > 0 {
            let others = if self.others > 0 { "and others".to_owned() } else { format!("and {more} more") };
            shown.push(others);
        }
        shown.join(", ")
    }
}

impl Serialize for Top {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.first(TOLD))
    }
}

fn told<S: serde::Serializer>(problem: &Option<Problem>, serializer: S) -> Result<S::Ok, S::Error> {
    problem.as_ref().map(ToString::to_string).serialize(serializer)
}

impl Met {
    pub(super) fn met<'a>(
        &mut self,
        matched: u64,
        acted: u64,
        time: u64,
        who: &Who,
        mut topics: impl Iterator<Item = &'a str>,
    ) {
        self.matched += matched;
        self.would_act += acted;
        if acted == 0 {
            return;
        }
        self.first = self.first.or(Some(time));
        self.last = Some(time);
        if !who.principal.is_empty() {
            self.principals.count(&who.principal, acted);
            self.client_ids.count(&who.client_id, acted);
        }
        self.addresses.count(&who.remote_ip.to_string(), acted);
        match (topics.next(), topics.next()) {
            (Some(topic), None) => self.topics.count(topic, acted),
            (Some(_), Some(_)) => self.among_topics += acted,
            (None, _) => {}
        }
    }
}

impl RuleReport {
    pub(super) fn met<'a>(
        &mut self,
        matched: u64,
        acted: u64,
        time: u64,
        who: &Who,
        topics: impl Iterator<Item = &'a str>,
    ) {
        self.met.met(matched, acted, time, who, topics);
    }
}

impl Report {
    pub(super) fn of(generation: &Generation) -> Self {
        let rules = generation.policies.iter().flat_map(|policy| &policy.rules).map(|rule| RuleReport {
            policy: rule.policy.name.clone(),
            rule: rule.name.clone(),
            written_at: rule.written_at(),
            of_the_broker: rule.head.is_broker(),
            left_out: is_left_out(&rule.head),
            observes: rule.watches,
            met: Met::default(),
        });
        let (denies, observes) = generation.default_deny();
        Self {
            rules: rules.collect(),
            default_deny: (denies || observes).then(Met::default),
            default_deny_observes: observes && !denies,
            ..Self::default()
        }
    }

    pub(super) fn saw(&mut self, time: u64) {
        self.first = self.first.or(Some(time));
        self.last = self.last.max(Some(time));
    }

    /// For people.
    pub fn text(&self) -> String {
        let mut out = String::new();
        let began = self.first.unwrap_or_default();
        let length = self.last.unwrap_or_default().saturating_sub(began);
        let _ = writeln!(
            out,
            "{} requests, {} answers, {} new sessions in {}",
            self.requests,
            self.answers,
            self.sessions,
            seconds(length)
        );
        for (count, what) in [
            (self.dropped, "records are missing: they came faster than they could be written"),
            (self.left_out, "requests without their bodies, which carry credentials"),
            (self.unreadable, "frames that could not be read"),
            (
                self.unmatched,
                "requests whose answers are not in the capture, or came too late to be looked at",
            ),
        ] {
            if count > 0 {
                let _ = writeln!(out, "{count} {what}");
            }
        }
        if self.full {
            out.push_str("the capture is full: what came later is not in it\n");
        }
        let mut lines: Vec<(String, &str, &Met)> = Vec::new();
        for rule in &self.rules {
            let mode = observing(rule.observes);
            let name = format!("{}: {} ({}){mode}", rule.policy, rule.rule, rule.written_at);
            let note = match (rule.of_the_broker, rule.left_out) {
                (true, _) => ", the broker's own doings are in no capture",
                (false, true) => ", cannot be tried: what it is about is left out of captures",
                (false, false) => "",
            };
            lines.push((name, note, &rule.met));
        }
        if let Some(met) = &self.default_deny {
            let mode = observing(self.default_deny_observes);
            lines.push((format!("default_deny(): what no rule allows{mode}"), "", met));
        }
        for (name, note, met) in lines {
            let _ = writeln!(out, "\n{name}\n  matched {}, would act {}{note}", met.matched, met.would_act);
            if let (Some(first), Some(last)) = (met.first, met.last) {
                let since = |time: u64| seconds(time.saturating_sub(began));
                let _ = writeln!(out, "  from {} to {} after the beginning", since(first), since(last));
            }
            let tops = [
                ("principals", &met.principals),
                ("client ids", &met.client_ids),
                ("addresses", &met.addresses),
                ("topics", &met.topics),
            ];
            for (what, top) in tops {
                if !top.counts.is_empty() {
                    let _ = writeln!(out, "  {what}: {}", top.shown());
                }
            }
            if met.among_topics > 0 {
                let _ = writeln!(out, "  of one among several topics: {}", met.among_topics);
            }
        }
        out
    }
}

fn observing(observes: bool) -> &'static str {
    if observes { " (observes only)" } else { "" }
}

/// Whether captures have nothing that a rule is about.
fn is_left_out(head: &Head) -> bool {
    let mut covered = APIS.iter().filter(|api| head.covers(api.key)).peekable();
    covered.peek().is_some() && covered.all(|api| is_secret(api.key))
}

fn seconds(millis: u64) -> String {
    format!("{}.{:03} s", millis / 1_000, millis % 1_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_frequent_names_are_shown_and_the_others_counted() {
        let mut top = Top::default();
        for (name, times) in [("a", 1), ("b", 2), ("a", 2), ("c", 1)] {
            top.count(name, times);
        }
        assert_eq!(top.shown(), r#""a" 3, "b" 2, "c" 1"#);
        top.count("d", 1);
        assert_eq!(top.shown(), r#""a" 3, "b" 2, "c" 1, and 1 more"#);
        let others = Top { others: 4, ..Top::default() };
        assert_eq!(others.shown(), "and others");
        for n in 0..NAMES {
            top.count(&format!("x{n}"), 1);
        }
        // four of those found no room
        assert_eq!((top.counts.len(), top.others), (NAMES, 4));
        top.count("y", 5);
        top.count("a", 1);
        assert_eq!((top.others, top.shown()), (9, r#""a" 4, "b" 2, "c" 1, and others"#.to_owned()));
    }
}
