//! What can be configured of a group (KIP-1043 and the KIPs of each kind of group): names, types, defaults and ranges of Apache
//! Kafka 4.4.0. The ranges are settings of the broker.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use regex::Regex;

use super::definition::{Definition, Kind, Mode, Source, Valid, list_items};
use super::server::ServerConfigs;
use super::topic::Described;

/// A group's setting, the broker's that stands in for it, and what bounds it.
#[derive(Debug, Clone, Copy)]
pub struct GroupDefinition {
    pub definition: Definition,
    /// Another name than its own where the broker has a setting of that name.
    synonym: &'static str,
    within: Within,
}

#[derive(Debug, Clone, Copy)]
enum Within {
    Any,
    /// The values of two settings of the broker, inclusive.
    Range(&'static str, &'static str),
    AtMost(&'static str),
}

const CONSUMER: &str = "Of groups of the consumer protocol.";
const SHARE: &str = "Of share groups.";
const STREAMS: &str = "Of streams groups.";
const DEAD_LETTERS: &str = "Where a share group's undeliverable records go.";

const fn group(
    name: &'static str,
    kind: Kind,
    default: &'static str,
    valid: Valid,
    synonym: &'static str,
    within: Within,
    documentation: &'static str,
) -> GroupDefinition {
    let definition = Definition::new(name, kind, Some(default), valid, Mode::Dynamic, documentation);
    GroupDefinition { definition, synonym, within }
}

/// In the order of their names.
#[rustfmt::skip]
pub const GROUP_CONFIGS: &[GroupDefinition] = {
    use Kind::*;
    use Valid::{AtLeast, OneOf};
    use Within::{AtMost, Range};
    &[
        group("consumer.assignment.interval.ms", Int, "1000", AtLeast(0), "group.consumer.assignment.interval.ms", Range("group.consumer.min.assignment.interval.ms", "group.consumer.max.assignment.interval.ms"), CONSUMER),
        group("consumer.heartbeat.interval.ms", Int, "5000", AtLeast(1), "group.consumer.heartbeat.interval.ms", Range("group.consumer.min.heartbeat.interval.ms", "group.consumer.max.heartbeat.interval.ms"), CONSUMER),
        group("consumer.session.timeout.ms", Int, "45000", AtLeast(1), "group.consumer.session.timeout.ms", Range("group.consumer.min.session.timeout.ms", "group.consumer.max.session.timeout.ms"), CONSUMER),
        group("errors.deadletterqueue.copy.record.enable", Boolean, "false", Valid::Any, "", Within::Any, DEAD_LETTERS),
        group("errors.deadletterqueue.topic.name", String, "", Valid::Any, "", Within::Any, DEAD_LETTERS),
        group("share.assignment.interval.ms", Int, "1000", AtLeast(0), "group.share.assignment.interval.ms", Range("group.share.min.assignment.interval.ms", "group.share.max.assignment.interval.ms"), SHARE),
        group("share.auto.offset.reset", String, "latest", Valid::Any, "", Within::Any, SHARE),
        group("share.delivery.count.limit", Int, "5", AtLeast(2), "group.share.delivery.count.limit", Range("group.share.min.delivery.count.limit", "group.share.max.delivery.count.limit"), SHARE),
        group("share.heartbeat.interval.ms", Int, "5000", AtLeast(1), "group.share.heartbeat.interval.ms", Range("group.share.min.heartbeat.interval.ms", "group.share.max.heartbeat.interval.ms"), SHARE),
        group("share.isolation.level", String, "read_uncommitted", OneOf(&["read_committed", "read_uncommitted"]), "", Within::Any, SHARE),
        group("share.partition.max.record.locks", Int, "2000", AtLeast(100), "group.share.partition.max.record.locks", Range("group.share.min.partition.max.record.locks", "group.share.max.partition.max.record.locks"), SHARE),
        group("share.record.lock.duration.ms", Int, "30000", AtLeast(1000), "group.share.record.lock.duration.ms", Range("group.share.min.record.lock.duration.ms", "group.share.max.record.lock.duration.ms"), SHARE),
        group("share.renew.acknowledge.enable", Boolean, "true", Valid::Any, "", Within::Any, SHARE),
        group("share.session.timeout.ms", Int, "45000", AtLeast(1), "group.share.session.timeout.ms", Range("group.share.min.session.timeout.ms", "group.share.max.session.timeout.ms"), SHARE),
        group("streams.assignment.interval.ms", Int, "1000", AtLeast(0), "group.streams.assignment.interval.ms", Range("group.streams.min.assignment.interval.ms", "group.streams.max.assignment.interval.ms"), STREAMS),
        group("streams.assignor.name", String, "sticky", Valid::Any, "group.streams.assignors", Within::Any, STREAMS),
        group("streams.heartbeat.interval.ms", Int, "5000", AtLeast(1), "group.streams.heartbeat.interval.ms", Range("group.streams.min.heartbeat.interval.ms", "group.streams.max.heartbeat.interval.ms"), STREAMS),
        group("streams.initial.rebalance.delay.ms", Int, "3000", AtLeast(0), "group.streams.initial.rebalance.delay.ms", Within::Any, STREAMS),
        group("streams.num.standby.replicas", Int, "0", AtLeast(0), "group.streams.num.standby.replicas", AtMost("group.streams.max.standby.replicas"), STREAMS),
        group("streams.rack.aware.assignment.tags", List, "", Valid::Any, "group.streams.rack.aware.assignment.tags", Within::Any, STREAMS),
        group("streams.session.timeout.ms", Int, "45000", AtLeast(1), "group.streams.session.timeout.ms", Range("group.streams.min.session.timeout.ms", "group.streams.max.session.timeout.ms"), STREAMS),
    ]
};

pub fn definition(name: &str) -> Option<&'static GroupDefinition> {
    let place = GROUP_CONFIGS.binary_search_by(|config| config.definition.name.cmp(name)).ok()?;
    GROUP_CONFIGS.get(place)
}

/// One setting of a group with these overrides, as DescribeConfigs shows it.
pub fn describe(
    config: &GroupDefinition,
    overrides: &BTreeMap<String, String>,
    server: &ServerConfigs,
) -> Described {
    let name = config.definition.name;
    let mut synonyms = Vec::new();
    if let Some(value) = overrides.get(name) {
        synonyms.push((name, value.clone(), Source::Group));
    }
    match config.synonym {
        // Without a setting of the broker's its own default stands there.
        "" => {
            let default = config.definition.default.unwrap_or_default().to_owned();
            synonyms.push((name, default, Source::Default));
        }
        synonym => synonyms.extend(server.layers(synonym)),
    }
    let first = synonyms.first();
    Described {
        value: first.map(|(_, value, _)| value.clone()),
        source: first.map_or(Source::Default, |(_, _, source)| *source),
        synonyms,
    }
}

/// The value in force.
pub fn value(name: &str, overrides: &BTreeMap<String, String>, server: &ServerConfigs) -> Option<String> {
    describe(definition(name)?, overrides, server).value
}

/// Checks all of a group's settings together; the error is Kafka's message.
pub fn check(overrides: &BTreeMap<String, String>, server: &ServerConfigs) -> Result<(), String> {
    for (name, value) in overrides {
        let config = definition(name).ok_or_else(|| format!("Unknown group config name: {name}"))?;
        config.definition.check(value)?;
        check_word(name, value, server)?;
    }
    for (name, value) in overrides {
        let Some(config) = definition(name) else { continue };
        let bound = |name| server.value(name).and_then(|text| text.trim().parse::<i64>().ok());
        let Ok(number) = value.trim().parse::<i64>() else { continue };
        match config.within {
            Within::Range(min, max) => {
                if let (Some(min), Some(max)) = (bound(min), bound(max))
                    && !(min..=max).contains(&number)
                {
                    return Err(format!("{name} must be in the range {min} to {max} inclusive."));
                }
            }
            Within::AtMost(max) => {
                if let Some(max) = bound(max).filter(|max| number > *max) {
                    return Err(format!("{name} must be less than or equal to {max}"));
                }
            }
            Within::Any => {}
        }
    }
    for kind in ["consumer", "share", "streams"] {
        let (session, heartbeat) =
            (format!("{kind}.session.timeout.ms"), format!("{kind}.heartbeat.interval.ms"));
        let number = |name: &str| value(name, overrides, server).and_then(|text| text.parse::<i64>().ok());
        if number(&session) <= number(&heartbeat) {
            return Err(format!("{session} must be greater than {heartbeat}"));
        }
    }
    Ok(())
}

/// What is more than its type and not a range.
fn check_word(name: &str, value: &str, server: &ServerConfigs) -> Result<(), String> {
    /// A period of days and time, as ISO 8601 writes it.
    static PERIOD: LazyLock<Option<Regex>> =
        LazyLock::new(|| Regex::new(r"^by_duration:P(\d+D)?(T(\d+H)?(\d+M)?(\d+([.,]\d{0,9})?S)?)?$").ok());
    match name {
        "share.auto.offset.reset" => {
            let period = || PERIOD.as_ref().is_some_and(|period| period.is_match(value));
            let whole = || value.ends_with(|last: char| last.is_ascii_uppercase() && !"PT".contains(last));
            if !(["earliest", "latest"].contains(&value) || period() && whole()) {
                return Err(format!(
                    "Invalid value {value} for configuration {name}: Invalid value `{value}` for configuration {name}. The \
                     value must be either 'earliest', 'latest' or of the format 'by_duration:<PnDTnHnMn.nS>'."
                ));
            }
        }
        "streams.assignor.name" => {
            let known = server.value("group.streams.assignors").unwrap_or_default();
            if !list_items(&known).any(|assignor| assignor == value) {
                let known = list_items(&known).collect::<Vec<_>>().join(", ");
                return Err(format!(
                    "{name} '{value}' is not a registered task assignor. Registered assignors are: [{known}]."
                ));
            }
        }
        "errors.deadletterqueue.topic.name" if value.starts_with("__") => {
            return Err(format!("{name}: DLQ topic name must not start with '__'"));
        }
        _ => {}
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(name: &str, value: &str) -> String {
        let overrides = BTreeMap::from([(name.to_owned(), value.to_owned())]);
        check(&overrides, &ServerConfigs::default()).err().unwrap_or_default()
    }

    #[test]
    fn the_table_is_sorted_and_its_defaults_are_valid() {
        assert!(GROUP_CONFIGS.windows(2).all(|w| w[0].definition.name < w[1].definition.name));
        assert_eq!(GROUP_CONFIGS.len(), 21, "Kafka 4.4 shows 21");
        let server = ServerConfigs::default();
        for config in GROUP_CONFIGS {
            let name = config.definition.name;
            assert_eq!(problem(name, config.definition.default.unwrap()), "");
            assert_eq!(
                value(name, &BTreeMap::new(), &server).as_deref(),
                config.definition.default,
                "{name}"
            );
        }
    }

    #[test]
    fn values_are_refused_in_kafkas_words() {
        assert_eq!(problem("no.such", "1"), "Unknown group config name: no.such");
        assert_eq!(
            problem("consumer.session.timeout.ms", "5"),
            "consumer.session.timeout.ms must be in the range 45000 to 60000 inclusive."
        );
        assert_eq!(
            problem("streams.num.standby.replicas", "100"),
            "streams.num.standby.replicas must be less than or equal to 2"
        );
        assert_eq!(
            problem("share.record.lock.duration.ms", "5"),
            "Invalid value 5 for configuration share.record.lock.duration.ms: Value must be at least 1000"
        );
        assert_eq!(
            problem("streams.assignor.name", "xx"),
            "streams.assignor.name 'xx' is not a registered task assignor. Registered assignors are: [sticky]."
        );
        assert_eq!(problem("share.auto.offset.reset", "by_duration:P1DT2H3.5S"), "");
        for wrong in ["xx", "by_duration:", "by_duration:P", "by_duration:PT", "by_duration:-PT1H"] {
            assert!(problem("share.auto.offset.reset", wrong).contains("must be either"), "{wrong}");
        }
        let name = "errors.deadletterqueue.topic.name";
        assert_eq!(problem(name, "__x"), format!("{name}: DLQ topic name must not start with '__'"));
        let mut server = ServerConfigs::default();
        server.dynamic.insert("group.consumer.min.session.timeout.ms".to_owned(), "1".to_owned());
        let both = [("consumer.session.timeout.ms", "5000"), ("consumer.heartbeat.interval.ms", "5000")];
        let both = both.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        assert_eq!(
            check(&both, &server).unwrap_err(),
            "consumer.session.timeout.ms must be greater than consumer.heartbeat.interval.ms"
        );
    }
}
