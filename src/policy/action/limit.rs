//! What topics may be: how many partitions and replicas, which names and configs. What is asked for is held against it
//! field by field; what breaks it is told with the field, the value and the limit.
//!
//! Values of configs are compared as Kafka reads them: without blanks at their ends, and texts without regard to case. Of a
//! list (`cleanup.policy`) every item must pass. `-1` is Kafka's "without limit": it is above every bound.

use crate::policy::glob::{Glob, Patterns};
use crate::policy::selector::{Comparison, Test};
use regex::Regex;
use std::fmt;
use std::ops::RangeInclusive;

/// Breaches told of one topic: the rest is more of the same.
const TOLD: usize = 3;
/// Characters told of a value, which is a stranger's.
const SHOWN: usize = 100;

/// What a topic may be. What is absent is free.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Limit {
    pub partitions: Option<RangeInclusive<i64>>,
    pub replication: Option<RangeInclusive<i64>>,
    pub names: Option<Names>,
    /// What the values of configs must pass, by the configs' names.
    pub configs: Vec<(Glob, Test)>,
    /// Configs that may be set; all, when absent.
    pub allowed_configs: Option<Patterns>,
    /// Configs that must be set.
    pub required_configs: Vec<String>,
    /// Configs that may not be set.
    pub forbidden_configs: Option<Patterns>,
}

/// What a name must be.
#[derive(Debug, Clone)]
pub enum Names {
    Globs(Patterns),
    /// It matches the whole name.
    Regex(Regex),
}

/// What is asked for one topic.
#[derive(Debug, Default)]
pub struct Asked<'a> {
    /// Of a topic that is made.
    pub name: Option<&'a str>,
    pub partitions: Option<Count>,
    /// One for each assignment, or one.
    pub replication: Vec<Count>,
    pub configs: Vec<(&'a str, Set<'a>)>,
    /// The configs are all that the topic will have, so that those required must be among them.
    pub complete: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Count {
    Of(i64),
    /// What the broker will take is not known here.
    Unknown,
}

/// What becomes of a config.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Set<'a> {
    To(&'a str),
    /// It falls back to the broker's default.
    Unset,
    /// It depends on what it was.
    Changed,
}

impl Limit {
    /// What of `asked` breaks the limit, in words; none when nothing does.
    pub fn breach(&self, asked: &Asked<'_>) -> Option<String> {
        let mut told = Vec::new();
        if let (Some(names), Some(name)) = (&self.names, asked.name)
            && !names.matches(name)
        {
            told.push(format!("name: \"{}\" is not allowed; it must match {names}", shown(name)));
        }
        let counts = asked.partitions.iter().map(|count| ("partitions", &self.partitions, count));
        let replication = asked.replication.iter().map(|count| ("replication", &self.replication, count));
        for (field, limit, count) in counts.chain(replication) {
            let Some(limit) = limit else { continue };
            match count {
                Count::Of(n) if limit.contains(n) => {}
                Count::Of(n) => told.push(format!("{field}: {n} is not allowed; it must be {}", span(limit))),
                Count::Unknown => told.push(format!(
                    "{field}: the broker's default (-1) is not known here; name a number, which must be {}",
                    span(limit)
                )),
            }
        }
        for (name, set) in &asked.configs {
            if told.len() >= TOLD {
                break;
            }
            told.extend(self.config(name, *set));
        }
        let is_set =
            |required: &str| asked.configs.iter().any(|(name, set)| *name == required && *set != Set::Unset);
        if asked.complete {
            for required in self.required_configs.iter().filter(|required| !is_set(required)) {
                told.push(format!("config {required}: it must be set"));
            }
        }
        told.truncate(TOLD);
        (!told.is_empty()).then(|| told.join("; "))
    }

    fn config(&self, name: &str, set: Set<'_>) -> Option<String> {
        if set == Set::Unset {
            let required = self.required_configs.iter().any(|required| required == name);
            return required.then(|| format!("config {name}: it must be set"));
        }
        if self.forbidden_configs.as_ref().is_some_and(|forbidden| forbidden.matches(name)) {
            return Some(format!("config {}: it must not be set", shown(name)));
        }
        if let Some(allowed) = self.allowed_configs.as_ref().filter(|allowed| !allowed.matches(name)) {
            return Some(format!("config {}: it must not be set; these may be: {allowed}", shown(name)));
        }
        let mut tests = self.configs.iter().filter(|(of, _)| of.matches(name));
        match set {
            Set::To(value) => {
                let (_, test) = tests.find(|(_, test)| !passes(test, value))?;
                Some(format!("config {name}: \"{}\" is not allowed; it must be {test}", shown(value)))
            }
            // what it would become is not known, and must not be what it may not be
            _ => tests.next().map(|(_, test)| {
                format!(
                    "config {name}: adding to it is not allowed; it is set as a whole, and must be {test}"
                )
            }),
        }
    }
}

/// Whether a config's value passes.
fn passes(test: &Test, value: &str) -> bool {
    let value = value.trim();
    match test {
        Test::Number(comparison, bound) => match value.parse::<f64>() {
            Ok(number) if number.is_finite() => compare(*comparison, number, *bound),
            _ => false,
        },
        Test::Text(patterns) => {
            value.split(',').all(|item| patterns.matches(item.trim().to_ascii_lowercase()))
        }
        Test::Exactly(truth) => value.eq_ignore_ascii_case(if *truth { "true" } else { "false" }),
        Test::Missing => false,
    }
}

fn compare(comparison: Comparison, number: f64, bound: f64) -> bool {
    let bounds = !matches!(comparison, Comparison::Equal | Comparison::NotEqual) && bound >= 0.0;
    match number {
        n if bounds && n == -1.0 => comparison.holds(f64::INFINITY, bound),
        n if bounds && n < 0.0 => false,
        n => comparison.holds(n, bound),
    }
}

fn shown(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

fn span(range: &RangeInclusive<i64>) -> String {
    match (range.start(), range.end()) {
        (0 | 1, most) => format!("at most {most}"),
        (least, &i64::MAX) => format!("at least {least}"),
        (only, most) if only == most => format!("{only}"),
        (least, most) => format!("from {least} to {most}"),
    }
}

impl Names {
    fn matches(&self, name: &str) -> bool {
        match self {
            Self::Globs(globs) => globs.matches(name),
            Self::Regex(regex) => regex.is_match(name),
        }
    }
}

impl PartialEq for Names {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Globs(a), Self::Globs(b)) => a == b,
            (Self::Regex(a), Self::Regex(b)) => a.as_str() == b.as_str(),
            _ => false,
        }
    }
}

impl fmt::Display for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Globs(globs) => write!(f, "{globs}"),
            Self::Regex(regex) => write!(f, "{regex}"),
        }
    }
}

/// As it is written in a policy; equal limits are written equally.
impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut fields = Vec::new();
        if let Some(range) = &self.partitions {
            fields.push(format!("partitions: {}..={}", range.start(), range.end()));
        }
        if let Some(range) = &self.replication {
            fields.push(format!("replication: {}..={}", range.start(), range.end()));
        }
        if let Some(names) = &self.names {
            fields.push(format!("names: {names}"));
        }
        fields.extend(self.configs.iter().map(|(name, test)| format!("{name}: {test}")));
        let lists =
            [("allowed_configs", &self.allowed_configs), ("forbidden_configs", &self.forbidden_configs)];
        for (field, list) in lists {
            fields.extend(list.as_ref().map(|list| format!("{field}: {list}")));
        }
        if !self.required_configs.is_empty() {
            fields.push(format!("required_configs: {}", self.required_configs.join(", ")));
        }
        f.write_str(&fields.join("; "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(patterns: &[&str]) -> Test {
        Test::Text(Patterns::new(patterns))
    }

    fn number(comparison: &str) -> Test {
        let (comparison, rest) = Comparison::parse(comparison).unwrap();
        Test::Number(comparison, rest.parse().unwrap())
    }

    #[test]
    fn values_of_configs_are_read_as_kafka_reads_them() {
        for (test, value, holds) in [
            (number("<= 604800000"), "604800000", true),
            (number("<= 604800000"), " 604800001 ", false),
            (number("<= 604800000"), "-1", false),
            (number("< 5"), "-2", false),
            (number(">= 5"), "-1", true),
            (number(">= 5"), "-2", false),
            (number("<= 5"), "0", true),
            (number("< 5"), "-0.5", false),
            (number("== -1"), "-1", true),
            (number("<= -1"), "-1", true),
            (number("<= 5"), "many", false),
            (number("!= 5"), "NaN", false),
            (text(&["delete"]), "delete", true),
            (text(&["delete"]), "compact,delete", false),
            (text(&["compact", "delete"]), "compact, delete", true),
            (text(&["!compact"]), "delete,COMPACT", false),
            (text(&["!true"]), "TRUE ", false),
            (Test::Exactly(false), "False", true),
            (Test::Exactly(false), "no", false),
        ] {
            assert_eq!(passes(&test, value), holds, "{value} against {test}");
        }
    }

    #[test]
    fn each_field_is_told_with_its_value_and_its_limit() {
        let limit = Limit {
            partitions: Some(1..=12),
            replication: Some(2..=3),
            names: Some(Names::Globs(Patterns::new(["team-*"]))),
            configs: vec![(Glob::new("retention.ms"), number("<= 1000"))],
            allowed_configs: Some(Patterns::new(["retention.*", "cleanup.policy"])),
            required_configs: vec!["retention.ms".into()],
            forbidden_configs: Some(Patterns::new(["cleanup.*"])),
        };
        let fine = || Asked {
            name: Some("team-a"),
            partitions: Some(Count::Of(12)),
            replication: vec![Count::Of(3)],
            configs: vec![("retention.ms", Set::To("5"))],
            complete: true,
        };
        assert_eq!(limit.breach(&fine()), None);
        for (asked, told) in [
            (Asked { name: Some("mine"), ..fine() }, "name: \"mine\" is not allowed; it must match team-*"),
            (
                Asked { partitions: Some(Count::Of(13)), ..fine() },
                "partitions: 13 is not allowed; it must be at most 12",
            ),
            (
                Asked { replication: vec![Count::Of(3), Count::Of(1)], ..fine() },
                "replication: 1 is not allowed; it must be from 2 to 3",
            ),
            (
                Asked { partitions: Some(Count::Unknown), ..fine() },
                "partitions: the broker's default (-1) is not known here; name a number, which must be at most 12",
            ),
            (
                Asked { configs: vec![("retention.ms", Set::To("-1"))], ..fine() },
                "config retention.ms: \"-1\" is not allowed; it must be <= 1000",
            ),
            (
                Asked { configs: vec![("retention.ms", Set::Changed)], ..fine() },
                "config retention.ms: adding to it is not allowed; it is set as a whole, and must be <= 1000",
            ),
            (Asked { configs: vec![], ..fine() }, "config retention.ms: it must be set"),
            (
                Asked { configs: vec![("retention.bytes", Set::To("5"))], ..fine() },
                "config retention.ms: it must be set",
            ),
            (
                Asked { configs: vec![("retention.ms", Set::Unset)], complete: false, ..fine() },
                "config retention.ms: it must be set",
            ),
            (
                Asked { configs: vec![("cleanup.policy", Set::To("x"))], complete: false, ..fine() },
                "config cleanup.policy: it must not be set",
            ),
            (
                Asked { configs: vec![("segment.ms", Set::To("x"))], complete: false, ..fine() },
                "config segment.ms: it must not be set; these may be: retention.*, cleanup.policy",
            ),
        ] {
            assert_eq!(limit.breach(&asked).as_deref(), Some(told));
        }
        // what is twice in a request breaks the limit when either does
        let twice = vec![("retention.ms", Set::To("5")), ("retention.ms", Set::To("5000"))];
        assert!(limit.breach(&Asked { configs: twice, ..fine() }).is_some());
        // and a request of very many breaches is not answered with all of them
        let long = "x".repeat(10_000);
        let many = vec![(long.as_str(), Set::To(long.as_str())); 1_000];
        assert!(limit.breach(&Asked { configs: many, ..fine() }).unwrap().len() < 1_000);
    }

    #[test]
    fn a_range_is_told_as_one_would_say_it() {
        for (range, told) in [
            (1..=12, "at most 12"),
            (0..=0, "at most 0"),
            (3..=3, "3"),
            (2..=3, "from 2 to 3"),
            (2..=i64::MAX, "at least 2"),
        ] {
            assert_eq!(span(&range), told);
        }
    }

    /// A rule goes on in a reload only where it wants the same.
    #[test]
    fn limits_are_shown_as_they_are_written_and_are_equal_when_they_want_the_same() {
        let regex = |text: &str| Names::Regex(Regex::new(text).unwrap());
        let names = || {
            [
                Names::Globs(Patterns::new(["a*"])),
                Names::Globs(Patterns::new(["b"])),
                regex("a.*"),
                regex("b"),
            ]
        };
        for (a, one) in names().iter().enumerate() {
            for (b, other) in names().iter().enumerate() {
                assert_eq!(one == other, a == b, "{one} {other}");
            }
        }
        let limit = Limit {
            partitions: Some(1..=12),
            replication: Some(2..=3),
            names: Some(regex("a.*")),
            configs: vec![(Glob::new("retention.ms"), number("<= 1000"))],
            allowed_configs: Some(Patterns::new(["retention.*"])),
            required_configs: vec!["retention.ms".into(), "cleanup.policy".into()],
            forbidden_configs: Some(Patterns::new(["cleanup.*"])),
        };
        assert_eq!(
            limit.to_string(),
            "partitions: 1..=12; replication: 2..=3; names: a.*; retention.ms: <= 1000; allowed_configs: retention.*; \
             forbidden_configs: cleanup.*; required_configs: retention.ms, cleanup.policy"
        );
        assert_eq!(Limit { partitions: Some(1..=2), ..Limit::default() }.to_string(), "partitions: 1..=2");
    }
}
