//! What can be configured of the broker, under Kafka's names. Those that change at run time are kept in the catalogue,
//! as Kafka keeps them: for this broker, or as the cluster's default.

use std::collections::BTreeMap;

use super::definition::{Definition, Kind, Mode, Source, Valid};
use super::kafka::{KAFKA_CONFIGS, THROTTLES};
use super::topic::{COMPRESSIONS, MAX_DECOMPRESSED, TIMESTAMP_TYPES};
use crate::broker::acl::STANDARD_AUTHORIZER;

const fn define(
    name: &'static str,
    kind: Kind,
    default: Option<&'static str>,
    valid: Valid,
    mode: Mode,
    documentation: &'static str,
) -> Definition {
    Definition::new(name, kind, default, valid, mode, documentation)
}

const FOREVER: Option<&str> = Some("9223372036854775807");
const THE_TOPICS: &str = "For topics that do not say otherwise.";
const GROUPS: &str = "Of consumer groups.";
const MUTATIONS: &str = "How controller_mutation_rate is measured.";
const QUOTAS: &str = "How client quotas are measured.";
const OFFSETS: &str = "Of committed offsets.";

/// What this broker acts on, in the order of their names.
pub const SERVER_CONFIGS: &[Definition] = {
    use Kind::*;
    use Mode::*;
    use Valid::*;
    &[
        define(
            "authorizer.class.name",
            String,
            Some(""),
            OneOf(&["", STANDARD_AUTHORIZER]),
            Static,
            "What ACLs are kept and enforced by; empty: there are none.",
        ),
        define(
            "auto.create.topics.enable",
            Boolean,
            Some("true"),
            Any,
            Static,
            "Whether Metadata may create the topic it asks for.",
        ),
        define("broker.id", Int, Some("-1"), AtLeast(-1), Fixed, "This node."),
        define("compression.type", String, Some("producer"), COMPRESSIONS, Dynamic, THE_TOPICS),
        define("controller.quota.window.num", Int, Some("11"), AtLeast(1), Static, MUTATIONS),
        define("controller.quota.window.size.seconds", Int, Some("1"), AtLeast(1), Static, MUTATIONS),
        define("default.replication.factor", Int, Some("1"), AtLeast(1), Fixed, "There is one node."),
        define("delete.topic.enable", Boolean, Some("true"), Any, Static, "Whether topics may be deleted."),
        define(
            "fetch.max.bytes",
            Int,
            Some("57671680"),
            AtLeast(1024),
            Static,
            "The most a fetch is answered with, but for one larger batch.",
        ),
        define("group.initial.rebalance.delay.ms", Int, Some("3000"), AtLeast(0), Static, GROUPS),
        define("group.max.session.timeout.ms", Int, Some("1800000"), AtLeast(1), Static, GROUPS),
        define("group.max.size", Int, Some("2147483647"), AtLeast(1), Static, GROUPS),
        define("group.min.session.timeout.ms", Int, Some("6000"), AtLeast(1), Static, GROUPS),
        define("log.cleanup.policy", List, Some("delete"), Any, Fixed, "Compaction is not supported yet."),
        define("log.dirs", List, None, Any, Fixed, "The data folder."),
        define("log.index.interval.bytes", Int, Some("4096"), AtLeast(0), Dynamic, THE_TOPICS),
        define("log.message.timestamp.after.max.ms", Long, Some("3600000"), AtLeast(0), Dynamic, THE_TOPICS),
        define("log.message.timestamp.before.max.ms", Long, FOREVER, AtLeast(0), Dynamic, THE_TOPICS),
        define(
            "log.message.timestamp.type",
            String,
            Some("CreateTime"),
            TIMESTAMP_TYPES,
            Dynamic,
            THE_TOPICS,
        ),
        define("log.retention.bytes", Long, Some("-1"), Any, Dynamic, THE_TOPICS),
        define(
            "log.retention.check.interval.ms",
            Long,
            Some("300000"),
            Any,
            Fixed,
            "How often retention is looked at.",
        ),
        define("log.retention.ms", Long, None, Any, Dynamic, THE_TOPICS),
        define("log.roll.ms", Long, None, AtLeast(1), Dynamic, THE_TOPICS),
        define("log.segment.bytes", Int, Some("1073741824"), AtLeast(1_048_576), Dynamic, THE_TOPICS),
        define(
            "max.decompressed.message.bytes",
            Int,
            Some(MAX_DECOMPRESSED),
            AtLeast(1),
            Dynamic,
            THE_TOPICS,
        ),
        define(
            "max.incremental.fetch.session.cache.slots",
            Int,
            Some("1000"),
            AtLeast(0),
            Static,
            "Incremental fetch sessions kept.",
        ),
        define("message.max.bytes", Int, Some("1048588"), AtLeast(0), Dynamic, THE_TOPICS),
        define("min.insync.replicas", Int, Some("1"), AtLeast(1), Dynamic, THE_TOPICS),
        define("node.id", Int, None, AtLeast(0), Fixed, "This node."),
        define("num.partitions", Int, Some("1"), AtLeast(1), Static, "Of topics created without a count."),
        define("offset.metadata.max.bytes", Int, Some("4096"), AtLeast(0), Static, OFFSETS),
        define("offsets.retention.check.interval.ms", Long, Some("600000"), AtLeast(1), Static, OFFSETS),
        define("offsets.retention.minutes", Int, Some("10080"), AtLeast(1), Static, OFFSETS),
        define("offsets.topic.num.partitions", Int, Some("50"), AtLeast(1), Static, OFFSETS),
        define("offsets.topic.replication.factor", Short, Some("3"), AtLeast(1), Fixed, "There is one node."),
        define("offsets.topic.segment.bytes", Int, Some("104857600"), AtLeast(1), Static, OFFSETS),
        define(
            "producer.id.expiration.check.interval.ms",
            Int,
            Some("600000"),
            AtLeast(1),
            Static,
            "How often idle producers are looked for.",
        ),
        define(
            "producer.id.expiration.ms",
            Int,
            Some("86400000"),
            AtLeast(1),
            Dynamic,
            "When an idle producer's sequence numbers are forgotten.",
        ),
        define("quota.window.num", Int, Some("11"), AtLeast(1), Static, QUOTAS),
        define("quota.window.size.seconds", Int, Some("1"), AtLeast(1), Static, QUOTAS),
    ]
};

/// Read by the authorizer and nobody else; DescribeConfigs does not show them.
const AUTHORIZER_CONFIGS: &[Definition] = {
    use Kind::*;
    use Mode::*;
    use Valid::*;
    &[
        define(
            "allow.everyone.if.no.acl.found",
            Boolean,
            Some("false"),
            Any,
            Static,
            "Whether what no ACL is about is open to everybody.",
        ),
        define("super.users", String, Some(""), Any, Static, "Whom ACLs do not bind, as in User:a;User:b."),
    ]
};

/// What one node makes of settings whose defaults are for more.
pub(in crate::broker) const ONE_NODE: &[(&str, &str)] = &[
    ("offsets.topic.replication.factor", "1"),
    ("process.roles", "broker,controller"),
    ("share.coordinator.state.topic.min.isr", "1"),
    ("share.coordinator.state.topic.replication.factor", "1"),
    ("transaction.state.log.min.isr", "1"),
    ("transaction.state.log.replication.factor", "1"),
];

/// The same setting in other units, for which it is looked too.
fn others(name: &str) -> &'static [&'static str] {
    match name {
        "log.flush.interval.ms" => &["log.flush.scheduler.interval.ms"],
        "log.retention.ms" => &["log.retention.minutes", "log.retention.hours"],
        "log.roll.jitter.ms" => &["log.roll.jitter.hours"],
        "log.roll.ms" => &["log.roll.hours"],
        _ => &[],
    }
}

/// Kafka has it and shows it to nobody.
const INTERNAL: &str = "producer.id.expiration.check.interval.ms";

pub fn definition(name: &str) -> Option<&'static Definition> {
    let in_table = |table: &'static [Definition]| {
        table.binary_search_by(|definition| definition.name.cmp(name)).ok().and_then(|place| table.get(place))
    };
    let authorizers = || AUTHORIZER_CONFIGS.iter().find(|definition| definition.name == name);
    in_table(SERVER_CONFIGS)
        .or_else(|| in_table(KAFKA_CONFIGS))
        .or_else(|| in_table(THROTTLES))
        .or_else(authorizers)
}

/// Whether a pool of threads may get another size, which Kafka lets grow or shrink by no more than two; the error is its message.
/// There are no such pools here, but who sets one is not to be told that Kafka would take what it would not.
pub fn check_threads(configs: &ServerConfigs, name: &str, wanted: &str) -> Result<(), String> {
    let cleaner = name == "log.cleaner.threads";
    let counts =
        || Some((configs.value(name)?.trim().parse::<i64>().ok()?, wanted.trim().parse::<i64>().ok()?));
    let is_pool = definition(name).is_some_and(|known| known.mode == Mode::Inert && known.kind == Kind::Int);
    let Some((now, wanted)) = counts().filter(|(now, wanted)| is_pool && now != wanted) else {
        return Ok(());
    };
    let problem = match wanted {
        _ if wanted < now / 2 && cleaner => {
            format!("cannot be reduced to less than half the current value {now}")
        }
        _ if wanted < now / 2 => format!("value should be at least half the current value {now}"),
        _ if wanted > now * 2 && cleaner => {
            format!("cannot be increased to more than double the current value {now}")
        }
        _ if wanted > now * 2 => format!("value should not be greater than double the current value {now}"),
        _ => return Ok(()),
    };
    let problem = match cleaner {
        true => format!("Log cleaner threads {problem}"),
        false => format!("Dynamic thread count update validation failed for {name}={wanted}, {problem}"),
    };
    Err(format!(
        "Invalid value org.apache.kafka.common.config.ConfigException: {problem} for configuration Invalid dynamic \
         configuration"
    ))
}

/// What DescribeConfigs shows, in no order.
pub fn shown(configs: &ServerConfigs) -> impl Iterator<Item = &'static Definition> {
    let set = |definition: &&Definition| !configs.layers(definition.name).is_empty();
    let always = SERVER_CONFIGS.iter().chain(KAFKA_CONFIGS).filter(|definition| definition.name != INTERNAL);
    always.chain(THROTTLES.iter().filter(set))
}

/// The broker's settings, layer by layer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ServerConfigs {
    /// Altered at run time for this broker.
    pub dynamic: BTreeMap<String, String>,
    /// Altered at run time for all brokers.
    pub dynamic_default: BTreeMap<String, String>,
    /// Given at the start, or fixed by what this broker is.
    statics: BTreeMap<String, String>,
}

impl ServerConfigs {
    /// Takes a setting given at the start.
    pub fn set_static(&mut self, name: &str, value: &str) -> Result<(), String> {
        let definition = definition(name).ok_or_else(|| "is not a setting of this broker".to_owned())?;
        definition.check(value)?;
        let is_so = definition.default == Some(value) || ONE_NODE.contains(&(definition.name, value));
        if definition.mode == Mode::Fixed && !is_so {
            return Err(format!("cannot be set: {}", definition.documentation));
        }
        self.statics.insert(name.to_owned(), value.to_owned());
        Ok(())
    }

    /// Says what this broker is, where that is only known at the start.
    pub(in crate::broker) fn set_fact(&mut self, name: &str, value: impl ToString) {
        self.statics.insert(name.to_owned(), value.to_string());
    }

    /// The values of a setting under its own name and those Kafka has for it in other units, the one in force first.
    pub fn layers(&self, name: &str) -> Vec<(&'static str, String, Source)> {
        let Some(own) = definition(name) else { return Vec::new() };
        let others = others(name).iter().filter_map(|other| definition(other));
        let names: Vec<&'static Definition> = std::iter::once(own).chain(others).collect();
        let layer = |values: &BTreeMap<String, String>, source| {
            let value = |of: &&'static Definition| Some((of.name, values.get(of.name)?.clone(), source));
            names.iter().filter_map(value).collect::<Vec<_>>()
        };
        let defaults = names.iter().filter_map(|of| Some((of.name, of.default?.to_owned(), Source::Default)));
        let all = layer(&self.dynamic, Source::DynamicBroker)
            .into_iter()
            .chain(layer(&self.dynamic_default, Source::DynamicDefaultBroker))
            .chain(layer(&self.statics, Source::StaticBroker))
            .chain(defaults);
        // What is only said in other units is not a value of this one.
        all.skip_while(|(said, _, _)| *said != own.name).collect()
    }

    /// The value in force.
    pub fn value(&self, name: &str) -> Option<String> {
        self.layers(name).into_iter().next().map(|(_, value, _)| value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_and_its_defaults_are_valid() {
        for table in [SERVER_CONFIGS, KAFKA_CONFIGS, THROTTLES] {
            assert!(table.windows(2).all(|w| w[0].name < w[1].name));
        }
        assert_eq!(shown(&ServerConfigs::default()).count(), 350, "Kafka 4.4 shows 350");
        assert!(SERVER_CONFIGS.iter().all(|own| KAFKA_CONFIGS.iter().all(|other| other.name != own.name)));
        for definition in SERVER_CONFIGS.iter().chain(KAFKA_CONFIGS) {
            if let Some(default) = definition.default {
                assert_eq!(definition.check(default), Ok(()), "{}", definition.name);
            }
        }
    }

    #[test]
    fn the_most_particular_layer_is_in_force() {
        let mut configs = ServerConfigs::default();
        let name = "message.max.bytes";
        assert_eq!(configs.layers(name), [(name, "1048588".to_owned(), Source::Default)]);
        configs.set_static(name, "2").unwrap();
        configs.dynamic_default.insert(name.to_owned(), "3".to_owned());
        assert_eq!(configs.value(name).as_deref(), Some("3"));
        configs.dynamic.insert(name.to_owned(), "4".to_owned());
        let sources: Vec<_> = configs.layers(name).into_iter().map(|(_, _, source)| source).collect();
        assert_eq!(sources.len(), 4);
        assert!(sources.is_sorted());
    }

    #[test]
    fn pools_of_threads_change_by_no_more_than_two() {
        let configs = ServerConfigs::default();
        let problem =
            |name: &str, wanted: &str| check_threads(&configs, name, wanted).err().unwrap_or_default();
        for fine in ["8", "4", "16", "x"] {
            assert_eq!(problem("num.io.threads", fine), "");
        }
        assert!(problem("num.io.threads", "3").contains("at least half the current value 8"));
        assert!(problem("num.io.threads", "17").contains("not be greater than double the current value 8"));
        assert!(
            problem("log.cleaner.threads", "3").contains("Log cleaner threads cannot be increased to more")
        );
        assert_eq!(problem("log.retention.ms", "1"), "", "no pool");
    }

    #[test]
    fn other_units_stand_behind_a_value_only() {
        let mut configs = ServerConfigs::default();
        assert_eq!(configs.layers("log.retention.ms"), []);
        configs.dynamic.insert("log.retention.ms".to_owned(), "5".to_owned());
        let hours = ("log.retention.hours", "168".to_owned(), Source::Default);
        assert_eq!(
            configs.layers("log.retention.ms"),
            [("log.retention.ms", "5".to_owned(), Source::DynamicBroker), hours]
        );
    }

    #[test]
    fn unknown_and_fixed_settings_are_refused_at_the_start() {
        let mut configs = ServerConfigs::default();
        assert!(configs.set_static("num.partitons", "3").is_err());
        assert!(configs.set_static("num.partitions", "0").unwrap_err().contains("at least 1"));
        assert!(configs.set_static("default.replication.factor", "3").is_err());
        assert!(configs.set_static("default.replication.factor", "1").is_ok());
        assert!(configs.set_static("offsets.topic.replication.factor", "2").is_err());
        assert!(configs.set_static("offsets.topic.replication.factor", "1").is_ok(), "as it is on one node");
    }
}
