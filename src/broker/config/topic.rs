//! What can be configured of a topic: Kafka's names, types and defaults. What this broker does not have (compaction,
//! tiered storage, codec levels) is shown with the value that says so, read-only.

use std::collections::BTreeMap;

use super::definition::{Definition, Kind, Mode, Source, Valid, list_items};
use super::server::ServerConfigs;
use crate::storage::LogConfig;
use crate::wire::record::{Compression, TimestampType};

/// A topic's setting, and the broker's setting that stands in where the topic has none.
#[derive(Debug, Clone, Copy)]
pub struct TopicDefinition {
    pub definition: Definition,
    pub synonym: Option<&'static str>,
}

/// One that is honoured.
const fn yes(
    name: &'static str,
    kind: Kind,
    default: &'static str,
    valid: Valid,
    synonym: &'static str,
    documentation: &'static str,
) -> TopicDefinition {
    TopicDefinition {
        definition: Definition::new(name, kind, Some(default), valid, Mode::Dynamic, documentation),
        synonym: Some(synonym),
    }
}

/// One that only says what this broker does.
const fn fixed(
    name: &'static str,
    kind: Kind,
    value: &'static str,
    documentation: &'static str,
) -> TopicDefinition {
    TopicDefinition {
        definition: Definition::new(name, kind, Some(value), Valid::Any, Mode::Fixed, documentation),
        synonym: None,
    }
}

/// The same, for one that the broker has a setting for.
const fn fixed_as(
    name: &'static str,
    kind: Kind,
    value: &'static str,
    synonym: &'static str,
    documentation: &'static str,
) -> TopicDefinition {
    TopicDefinition { synonym: Some(synonym), ..fixed(name, kind, value, documentation) }
}

/// One that is kept and changes nothing.
const fn inert(name: &'static str, documentation: &'static str) -> TopicDefinition {
    TopicDefinition {
        definition: Definition::new(name, Kind::List, Some(""), Valid::Any, Mode::Inert, documentation),
        synonym: None,
    }
}

const FOREVER: &str = "9223372036854775807";
pub(super) const COMPRESSIONS: Valid =
    Valid::OneOf(&["uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"]);
pub(super) const TIMESTAMP_TYPES: Valid = Valid::OneOf(&["CreateTime", "LogAppendTime"]);
/// Kafka's is 2 GiB: more than a batch of a megabyte should be able to make of this process.
pub(super) const MAX_DECOMPRESSED: &str = "134217728";

const NO_LEVELS: &str = "Codecs run at their usual level.";
const NO_COMPACTION: &str = "Topics are not compacted.";
const NO_TIERS: &str = "There is no tiered storage.";
const ONE_REPLICA: &str = "Every partition has one replica.";

/// In the order of their names.
pub const TOPIC_CONFIGS: &[TopicDefinition] = &[
    TopicDefinition {
        definition: Definition::new(
            "cleanup.policy",
            Kind::List,
            Some("delete"),
            Valid::OneOf(&["compact", "delete"]),
            Mode::Dynamic,
            "What becomes of old segments; compact is not supported yet.",
        ),
        synonym: Some("log.cleanup.policy"),
    },
    fixed_as("compression.gzip.level", Kind::Int, "-1", "compression.gzip.level", NO_LEVELS),
    fixed_as("compression.lz4.level", Kind::Int, "9", "compression.lz4.level", NO_LEVELS),
    yes(
        "compression.type",
        Kind::String,
        "producer",
        COMPRESSIONS,
        "compression.type",
        "The codec batches are stored with; producer keeps what the producer chose.",
    ),
    fixed_as("compression.zstd.level", Kind::Int, "3", "compression.zstd.level", NO_LEVELS),
    fixed_as("delete.retention.ms", Kind::Long, "86400000", "log.cleaner.delete.retention.ms", NO_COMPACTION),
    fixed("errors.deadletterqueue.group.enable", Kind::Boolean, "false", "There are no dead letter queues."),
    fixed_as(
        "file.delete.delay.ms",
        Kind::Long,
        "0",
        "log.segment.delete.delay.ms",
        "Deleted segments stay readable to fetches under way.",
    ),
    fixed_as(
        "flush.messages",
        Kind::Long,
        FOREVER,
        "log.flush.interval.messages",
        "The broker's flush mode decides.",
    ),
    fixed_as("flush.ms", Kind::Long, FOREVER, "log.flush.interval.ms", "The broker's flush mode decides."),
    inert("follower.replication.throttled.replicas", ONE_REPLICA),
    yes(
        "index.interval.bytes",
        Kind::Int,
        "4096",
        Valid::AtLeast(0),
        "log.index.interval.bytes",
        "Distance in bytes between entries of the sparse offset index.",
    ),
    inert("leader.replication.throttled.replicas", ONE_REPLICA),
    fixed_as("local.retention.bytes", Kind::Long, "-2", "log.local.retention.bytes", NO_TIERS),
    fixed_as("local.retention.ms", Kind::Long, "-2", "log.local.retention.ms", NO_TIERS),
    fixed_as(
        "max.compaction.lag.ms",
        Kind::Long,
        FOREVER,
        "log.cleaner.max.compaction.lag.ms",
        NO_COMPACTION,
    ),
    yes(
        "max.decompressed.message.bytes",
        Kind::Int,
        MAX_DECOMPRESSED,
        Valid::AtLeast(1),
        "max.decompressed.message.bytes",
        "Largest size of a batch's records once decompressed.",
    ),
    yes(
        "max.message.bytes",
        Kind::Int,
        "1048588",
        Valid::AtLeast(0),
        "message.max.bytes",
        "Largest record batch accepted, after compression.",
    ),
    yes(
        "message.timestamp.after.max.ms",
        Kind::Long,
        "3600000",
        Valid::AtLeast(0),
        "log.message.timestamp.after.max.ms",
        "How far in the future a record's timestamp may lie.",
    ),
    yes(
        "message.timestamp.before.max.ms",
        Kind::Long,
        FOREVER,
        Valid::AtLeast(0),
        "log.message.timestamp.before.max.ms",
        "How far in the past a record's timestamp may lie.",
    ),
    yes(
        "message.timestamp.type",
        Kind::String,
        "CreateTime",
        TIMESTAMP_TYPES,
        "log.message.timestamp.type",
        "Whether records keep the producer's timestamp or get the time of their append.",
    ),
    fixed_as(
        "min.cleanable.dirty.ratio",
        Kind::Double,
        "0.5",
        "log.cleaner.min.cleanable.ratio",
        NO_COMPACTION,
    ),
    fixed_as("min.compaction.lag.ms", Kind::Long, "0", "log.cleaner.min.compaction.lag.ms", NO_COMPACTION),
    yes(
        "min.insync.replicas",
        Kind::Int,
        "1",
        Valid::AtLeast(1),
        "min.insync.replicas",
        "Replicas that must have a record before acks=all is answered; there is one.",
    ),
    fixed_as("preallocate", Kind::Boolean, "false", "log.preallocate", "Segments grow as they are written."),
    fixed_as("remote.copy.lag.bytes", Kind::Long, "-1", "log.remote.copy.lag.bytes", NO_TIERS),
    fixed_as("remote.copy.lag.ms", Kind::Long, "0", "log.remote.copy.lag.ms", NO_TIERS),
    fixed("remote.log.copy.disable", Kind::Boolean, "false", NO_TIERS),
    fixed("remote.log.delete.on.disable", Kind::Boolean, "false", NO_TIERS),
    fixed("remote.storage.enable", Kind::Boolean, "false", NO_TIERS),
    yes(
        "retention.bytes",
        Kind::Long,
        "-1",
        Valid::Any,
        "log.retention.bytes",
        "Size of a partition above which its oldest segments are deleted; -1 for none.",
    ),
    yes(
        "retention.ms",
        Kind::Long,
        "604800000",
        Valid::AtLeast(-1),
        "log.retention.ms",
        "Age at which segments are deleted; -1 for never.",
    ),
    yes(
        "segment.bytes",
        Kind::Int,
        "1073741824",
        Valid::AtLeast(1_048_576),
        "log.segment.bytes",
        "Size at which a new segment is begun.",
    ),
    fixed_as(
        "segment.index.bytes",
        Kind::Int,
        "10485760",
        "log.index.size.max.bytes",
        "Indexes take what their segment needs.",
    ),
    fixed_as(
        "segment.jitter.ms",
        Kind::Long,
        "0",
        "log.roll.jitter.ms",
        "Segments are rolled when they are due.",
    ),
    yes(
        "segment.ms",
        Kind::Long,
        "604800000",
        Valid::AtLeast(1),
        "log.roll.ms",
        "Age at which a new segment is begun.",
    ),
    fixed_as(
        "unclean.leader.election.enable",
        Kind::Boolean,
        "false",
        "unclean.leader.election.enable",
        ONE_REPLICA,
    ),
];

pub fn definition(name: &str) -> Option<&'static TopicDefinition> {
    TOPIC_CONFIGS.iter().find(|config| config.definition.name == name)
}

/// Checks one setting for a topic; the error is Kafka's message where Kafka has one.
pub fn check(name: &str, value: &str) -> Result<(), String> {
    let Some(TopicDefinition { definition, .. }) = definition(name) else {
        return Err(format!("Unknown topic config name: {name}"));
    };
    definition.check(value)?;
    if name == "cleanup.policy" {
        if list_items(value).any(|policy| policy == "compact") {
            return Err(format!(
                "Invalid value {value} for configuration {name}: compaction is not supported yet"
            ));
        }
        if list_items(value).next().is_none() {
            return Err(format!("Invalid value {value} for configuration {name}: must not be empty"));
        }
    }
    if definition.mode == Mode::Inert && !names_replicas(value) {
        let items = value.split(',').map(str::trim).collect::<Vec<_>>().join(", ");
        return Err(format!(
            "Invalid value [{items}] for configuration {name}: {name} must be the literal '*' or a list of replicas in the \
             following format: [partitionId]:[brokerId],[partitionId]:[brokerId],..."
        ));
    }
    if definition.mode == Mode::Fixed && definition.default != Some(value) {
        return Err(format!(
            "Invalid value {value} for configuration {name}: it cannot be changed from '{}'. {}",
            definition.default.unwrap_or_default(),
            definition.documentation
        ));
    }
    Ok(())
}

/// Partitions and nodes, as in `0:1,2:1`, or all of them.
fn names_replicas(value: &str) -> bool {
    let number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let names = |item: &str| item.split_once(':').is_some_and(|(one, other)| number(one) && number(other));
    value.trim() == "*" || list_items(value).all(names)
}

/// A value in force, where it comes from, and what stands behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Described {
    pub value: Option<String>,
    pub source: Source,
    /// Name, value, source; the first one is in force.
    pub synonyms: Vec<(&'static str, String, Source)>,
}

/// One setting of a topic with these overrides, as DescribeConfigs shows it.
pub fn describe(
    config: &TopicDefinition,
    overrides: &BTreeMap<String, String>,
    server: &ServerConfigs,
) -> Described {
    let name = config.definition.name;
    let mut synonyms = Vec::new();
    if let Some(value) = overrides.get(name) {
        synonyms.push((name, value.clone(), Source::Topic));
    }
    if let Some(synonym) = config.synonym {
        synonyms.extend(server.layers(synonym));
    }
    match synonyms.first() {
        Some((_, value, source)) => Described { value: Some(value.clone()), source: *source, synonyms },
        None => Described {
            value: config.definition.default.map(str::to_owned),
            source: Source::Default,
            synonyms,
        },
    }
}

/// A topic's settings in force, typed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicConfig {
    pub log: LogConfig,
    /// `compression.type`; `None` is `producer`.
    pub compression: Option<Compression>,
    pub max_message_bytes: usize,
    pub max_decompressed_message_bytes: usize,
    pub timestamp_type: TimestampType,
    pub timestamp_before_max_ms: i64,
    pub timestamp_after_max_ms: i64,
    pub min_insync_replicas: i32,
}

impl TopicConfig {
    /// Overrides were checked when they were set; one that is not understood any more counts as not set.
    pub fn new(overrides: &BTreeMap<String, String>, server: &ServerConfigs) -> Self {
        let text = |name: &str| -> String {
            definition(name)
                .and_then(|config| {
                    let set =
                        overrides.get(name).filter(|value| config.definition.check(value).is_ok()).cloned();
                    set.or_else(|| server.value(config.synonym?))
                        .or(config.definition.default.map(str::to_owned))
                })
                .unwrap_or_default()
        };
        let number = |name: &str| text(name).trim().parse::<i64>().unwrap_or(i64::MAX);
        let size = |name: &str| usize::try_from(number(name)).unwrap_or(usize::MAX);
        let size_u32 = |name: &str| u32::try_from(number(name)).unwrap_or(u32::MAX);
        // Only the broker's own topics are compacted: whoever owns them keeps them bounded.
        let kept = !list_items(&text("cleanup.policy")).any(|policy| policy == "delete");
        let limit = |name: &str| if kept { -1 } else { number(name) };
        TopicConfig {
            log: LogConfig {
                segment_bytes: size_u32("segment.bytes"),
                segment_ms: number("segment.ms"),
                retention_ms: limit("retention.ms"),
                retention_bytes: limit("retention.bytes"),
                index_interval_bytes: size_u32("index.interval.bytes"),
                max_message_bytes: size_u32("max.message.bytes"),
            },
            compression: compression(&text("compression.type")),
            max_message_bytes: size("max.message.bytes"),
            max_decompressed_message_bytes: size("max.decompressed.message.bytes"),
            timestamp_type: match text("message.timestamp.type").as_str() {
                "LogAppendTime" => TimestampType::LogAppendTime,
                _ => TimestampType::CreateTime,
            },
            timestamp_before_max_ms: number("message.timestamp.before.max.ms"),
            timestamp_after_max_ms: number("message.timestamp.after.max.ms"),
            min_insync_replicas: i32::try_from(number("min.insync.replicas")).unwrap_or(i32::MAX),
        }
    }
}

fn compression(name: &str) -> Option<Compression> {
    match name {
        "uncompressed" => Some(Compression::None),
        "gzip" => Some(Compression::Gzip),
        "snappy" => Some(Compression::Snappy),
        "lz4" => Some(Compression::Lz4),
        "zstd" => Some(Compression::Zstd),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_and_its_defaults_are_valid() {
        assert!(TOPIC_CONFIGS.windows(2).all(|w| w[0].definition.name < w[1].definition.name));
        assert_eq!(TOPIC_CONFIGS.len(), 37, "Kafka 4.4 shows 37");
        for config in TOPIC_CONFIGS {
            let default = config.definition.default.unwrap();
            assert_eq!(check(config.definition.name, default), Ok(()));
        }
    }

    #[test]
    fn what_is_not_supported_is_refused() {
        assert!(check("cleanup.policy", "compact").unwrap_err().contains("compaction is not supported"));
        assert!(check("cleanup.policy", "compact,delete").is_err());
        assert!(check("cleanup.policy", "").is_err());
        let throttled = "leader.replication.throttled.replicas";
        for fine in ["*", "", "0:1", "0:1, 2:1"] {
            assert_eq!(check(throttled, fine), Ok(()));
        }
        for wrong in ["x", "0", "0:1,*", "0:1,2:-1"] {
            assert!(check(throttled, wrong).unwrap_err().contains("must be the literal '*' or a list of"));
        }
        assert!(check("remote.storage.enable", "true").unwrap_err().contains("cannot be changed"));
        assert_eq!(check("no.such", "1").unwrap_err(), "Unknown topic config name: no.such");
        assert_eq!(
            check("segment.bytes", "1").unwrap_err(),
            "Invalid value 1 for configuration segment.bytes: Value must be at least 1048576"
        );
    }

    #[test]
    fn a_topic_overrides_the_broker_which_overrides_the_default() {
        let mut server = ServerConfigs::default();
        let none = BTreeMap::new();
        let retention = definition("retention.ms").unwrap();
        let before = describe(retention, &none, &server);
        assert_eq!((before.source, before.synonyms.len()), (Source::Default, 0));
        server.set_static("log.retention.ms", "5").unwrap();
        let own = BTreeMap::from([("retention.ms".to_owned(), "7".to_owned())]);
        let described = describe(retention, &own, &server);
        assert_eq!(
            described.synonyms,
            [
                ("retention.ms", "7".to_owned(), Source::Topic),
                ("log.retention.ms", "5".to_owned(), Source::StaticBroker),
                ("log.retention.hours", "168".to_owned(), Source::Default)
            ]
        );
        assert_eq!(TopicConfig::new(&own, &server).log.retention_ms, 7);
        assert_eq!(TopicConfig::new(&none, &server).log.retention_ms, 5);
        assert_eq!(TopicConfig::new(&none, &ServerConfigs::default()).log, LogConfig::default());
    }
}
