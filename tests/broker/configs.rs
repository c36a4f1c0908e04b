//! DescribeConfigs and IncrementalAlterConfigs.

use tollgate::wire::Str;
use tollgate::wire::api::{alter_configs, describe_configs, incremental_alter_configs as alter};

use crate::bench::*;

const TOPIC: i8 = 2;
const BROKER: i8 = 4;
const LOGGER: i8 = 8;

async fn describe(
    bench: &Bench,
    kind: i8,
    name: &str,
    keys: Option<&[&str]>,
) -> describe_configs::DescribeConfigsResult {
    let request = describe_configs::Request {
        resources: vec![describe_configs::DescribeConfigsResource {
            resource_type: kind,
            resource_name: Str::from(name),
            configuration_keys: keys.map(|keys| keys.iter().map(|key| Str::from(*key)).collect()),
            ..Default::default()
        }],
        include_synonyms: true,
        ..Default::default()
    };
    answer!(DescribeConfigs, bench.ask(4, request).await).results.remove(0)
}

/// Value and source of one config.
async fn value(bench: &Bench, kind: i8, name: &str, key: &str) -> (String, i8) {
    let result = describe(bench, kind, name, Some(&[key])).await;
    let config = result.configs.first().unwrap_or_else(|| panic!("{key}: {result:?}"));
    (config.value.clone().unwrap_or_default().to_string(), config.config_source)
}

async fn alter(bench: &Bench, kind: i8, name: &str, changes: &[(&str, i8, Option<&str>)]) -> (i16, String) {
    let answer = alter_with(bench, kind, name, changes, false).await;
    (answer.error_code, answer.error_message.unwrap_or_default().to_string())
}

async fn alter_with(
    bench: &Bench,
    kind: i8,
    name: &str,
    changes: &[(&str, i8, Option<&str>)],
    validate_only: bool,
) -> alter::AlterConfigsResourceResponse {
    let configs = changes.iter().map(|(name, config_operation, value)| alter::AlterableConfig {
        name: Str::from(*name),
        config_operation: *config_operation,
        value: value.map(Str::from),
        ..Default::default()
    });
    let request = alter::Request {
        resources: vec![alter::AlterConfigsResource {
            resource_type: kind,
            resource_name: Str::from(name),
            configs: configs.collect(),
            ..Default::default()
        }],
        validate_only,
        ..Default::default()
    };
    answer!(IncrementalAlterConfigs, bench.ask(1, request).await).responses.remove(0)
}

#[tokio::test]
async fn a_topic_shows_kafkas_configs_with_sources_and_synonyms() {
    let bench = Bench::with(&[("log.segment.bytes", "2000000")]).await;
    bench.create_with("t", 1, &[("compression.type", "lz4"), ("retention.ms", "123456")]).await;
    for keys in [None, Some(&[][..])] {
        assert_eq!(describe(&bench, TOPIC, "t", keys).await.configs.len(), 37);
    }
    let all = describe(&bench, TOPIC, "t", None).await;
    assert_eq!((all.error_code, all.error_message), (0, Some(Str::default())));
    let config = |name: &str| all.configs.iter().find(|config| &*config.name == name).unwrap();
    let synonyms = |name: &str| {
        let each = config(name).synonyms.iter();
        each.map(|s| format!("{}={}/{}", s.name, s.value.clone().unwrap(), s.source)).collect::<Vec<_>>()
    };
    assert_eq!(synonyms("compression.type"), ["compression.type=lz4/1", "compression.type=producer/5"]);
    assert_eq!(synonyms("retention.ms"), ["retention.ms=123456/1"]);
    assert_eq!(synonyms("segment.bytes"), ["log.segment.bytes=2000000/4", "log.segment.bytes=1073741824/5"]);
    assert_eq!((config("segment.bytes").config_source, config("segment.bytes").config_type), (4, 3));
    assert_eq!((config("cleanup.policy").config_type, config("cleanup.policy").read_only), (7, false));
    assert!(config("remote.storage.enable").read_only);
    assert_eq!(describe(&bench, TOPIC, "t", Some(&["no.such"])).await.configs.len(), 0);
    assert_eq!(describe(&bench, TOPIC, "nope", None).await.error_code, 3);
    assert_eq!(describe(&bench, TOPIC, "co nfigs", None).await.error_code, 17);
    // Nothing was said of loggers at the start.
    assert_eq!(describe(&bench, LOGGER, "1", None).await.error_code, 0);
    assert_eq!(describe(&bench, LOGGER, "", None).await.error_code, 42);
    assert_eq!(describe(&bench, LOGGER, "2", None).await.error_code, 42);
    assert_eq!(describe(&bench, BROKER, "x", None).await.error_code, 42);
    assert_eq!(describe(&bench, BROKER, "9", None).await.error_code, 42);
    assert_eq!(value(&bench, BROKER, "1", "node.id").await, ("1".into(), 4));
    let defaults = describe(&bench, BROKER, "", None).await.configs;
    assert_eq!(defaults.iter().map(|config| &*config.name).collect::<Vec<_>>(), ["min.insync.replicas"]);
    let secret = describe(&bench, BROKER, "1", Some(&["ssl.key.password"])).await.configs.remove(0);
    assert_eq!((secret.is_sensitive, secret.value, secret.config_type), (true, None, 9));
    assert!(secret.read_only);
    for version in 1..=4 {
        let request = describe_configs::Request {
            resources: vec![describe_configs::DescribeConfigsResource {
                resource_type: BROKER,
                resource_name: Str::from("1"),
                ..Default::default()
            }],
            include_documentation: true,
            ..Default::default()
        };
        let answer = answer!(DescribeConfigs, bench.ask(version, request).await);
        assert_eq!(answer.results[0].configs.len(), 350);
        assert!(answer.results[0].configs.iter().all(|config| config.synonyms.is_empty()));
    }
}

#[tokio::test]
async fn topics_are_altered_and_the_log_follows_at_once() {
    let bench = Bench::new().await;
    bench.create("t", 1).await;
    let dry = alter_with(&bench, TOPIC, "t", &[("max.message.bytes", 0, Some("100"))], true).await;
    assert_eq!(dry.error_code, 0);
    assert_eq!(bench.produce("t", 0, batch(&[&"x".repeat(200)])).await.error_code, 0);
    let done = alter(&bench, TOPIC, "t", &[("max.message.bytes", 0, Some("100"))]).await;
    assert_eq!(done, (0, String::new()));
    assert_eq!(bench.produce("t", 0, batch(&[&"x".repeat(200)])).await.error_code, 10);
    assert_eq!(value(&bench, TOPIC, "t", "max.message.bytes").await, ("100".into(), 1));
    alter(
        &bench,
        TOPIC,
        "t",
        &[("max.message.bytes", 1, None), ("message.timestamp.type", 0, Some("LogAppendTime"))],
    )
    .await;
    assert_eq!(value(&bench, TOPIC, "t", "max.message.bytes").await, ("1048588".into(), 5));
    assert_eq!(bench.produce("t", 0, batch(&[&"x".repeat(200)])).await.log_append_time_ms, NOW);
    let bench = bench.restart().await;
    assert_eq!(value(&bench, TOPIC, "t", "message.timestamp.type").await, ("LogAppendTime".into(), 1));
}

#[tokio::test]
async fn wrong_alterations_are_refused_in_kafkas_words() {
    let bench = Bench::new().await;
    bench.create("t", 1).await;
    type Changes<'a> = &'a [(&'a str, i8, Option<&'a str>)];
    let cases: [(i8, &str, Changes, i16, &str); 25] = [
        (BROKER, "x", &[], 42, "Node id must be an integer, but it is: x"),
        (
            BROKER,
            "1",
            &[("log.retention.ms", 2, Some("1"))],
            40,
            "Config value append is not allowed for config key: log.retention.ms",
        ),
        // Kafka takes these; here they would do nothing.
        (
            BROKER,
            "1",
            &[("ssl.keystore.location", 0, Some("/x")), ("no.such", 0, Some("1"))],
            42,
            "Cannot update these configs dynamically: [ssl.keystore.location, no.such]",
        ),
        (BROKER, "1", &[("no.such", 1, None)], 0, ""),
        (
            BROKER,
            "",
            &[("min.insync.replicas", 1, None)],
            40,
            "Cluster-level min.insync.replicas cannot be removed while ELR is enabled.",
        ),
        (
            BROKER,
            "1",
            &[("min.insync.replicas", 0, Some("1"))],
            40,
            "Broker-level min.insync.replicas cannot be altered while ELR is enabled.",
        ),
        (LOGGER, "1", &[("root", 0, Some("INFO"))], 40, "Logger root does not exist!"),
        (
            LOGGER,
            "1",
            &[("root", 2, Some("INFO"))],
            42,
            "APPEND operation is not allowed for the BROKER_LOGGER",
        ),
        (LOGGER, "2", &[("root", 0, Some("INFO"))], 42, "Unexpected node id. Expected 1, but received 2"),
        (TOPIC, "", &[], 42, "Default topic resources are not allowed."),
        (
            TOPIC,
            "t",
            &[("retention.ms", 0, Some("abc"))],
            40,
            "Invalid value abc for configuration retention.ms: Not a number of type LONG",
        ),
        (
            TOPIC,
            "t",
            &[("retention.ms", 0, Some("-7"))],
            40,
            "Invalid value -7 for configuration retention.ms: Value must be at least -1",
        ),
        (TOPIC, "t", &[("retention.ms", 0, None)], 42, "Null value not supported for : retention.ms"),
        (TOPIC, "t", &[("no.such", 0, Some("1"))], 40, "Unknown topic config name: no.such"),
        (TOPIC, "t", &[("no.such", 1, None)], 0, ""),
        (
            TOPIC,
            "t",
            &[("retention.ms", 2, Some("1"))],
            40,
            "Can't APPEND to key retention.ms because its type is not LIST.",
        ),
        (
            TOPIC,
            "t",
            &[("retention.ms", 3, Some("1"))],
            40,
            "Can't SUBTRACT to key retention.ms because its type is not LIST.",
        ),
        (TOPIC, "t", &[("retention.ms", 9, Some("1"))], 42, "Unknown operation type 9"),
        (
            TOPIC,
            "t",
            &[("retention.ms", 0, Some("1")), ("retention.ms", 0, Some("2"))],
            42,
            "Error due to duplicate config keys",
        ),
        (
            TOPIC,
            "t",
            &[("cleanup.policy", 2, Some("compact"))],
            40,
            "Invalid value delete,compact for configuration cleanup.policy: compaction is not",
        ),
        (TOPIC, "nope", &[("retention.ms", 0, Some("1"))], 3, "The topic 'nope' does not exist."),
        (
            BROKER,
            "1",
            &[("log.dirs", 0, Some("/x"))],
            42,
            "Cannot update these configs dynamically: [log.dirs]",
        ),
        (
            BROKER,
            "9",
            &[("log.retention.ms", 0, Some("1"))],
            42,
            "Unexpected broker id, expected 1, but received 9",
        ),
        (
            BROKER,
            "1",
            &[("log.retention.ms", 0, Some("x"))],
            42,
            "Invalid value x for configuration log.retention.ms",
        ),
        (77, "x", &[], 42, "Unknown resource type 77"),
    ];
    for (kind, name, changes, code, message) in cases {
        let (told_code, told) = alter(&bench, kind, name, changes).await;
        assert_eq!(told_code, code, "{changes:?}: {told}");
        assert!(told.starts_with(message), "{told}");
    }
    assert_eq!(alter(&bench, TOPIC, "t", &[("cleanup.policy", 2, Some("delete"))]).await.0, 0);
    assert_eq!(
        alter(&bench, TOPIC, "t", &[("cleanup.policy", 3, Some("delete"))]).await.0,
        40,
        "none is left"
    );
    assert_eq!(value(&bench, TOPIC, "t", "cleanup.policy").await, ("delete".into(), 1));
    let one = alter::AlterConfigsResource {
        resource_type: TOPIC,
        resource_name: Str::from("t"),
        ..Default::default()
    };
    let twice = alter::Request { resources: vec![one.clone(), one], ..Default::default() };
    let answer = answer!(IncrementalAlterConfigs, bench.ask(1, twice).await);
    assert!(answer.responses.len() == 2 && answer.responses.iter().all(|response| response.error_code == 42));
}

#[tokio::test]
async fn what_changes_nothing_is_kept_and_shown() {
    let bench = Bench::new().await;
    let rate = "leader.replication.throttled.rate";
    assert_eq!(describe(&bench, BROKER, "1", Some(&[rate])).await.configs.len(), 0);
    alter(&bench, BROKER, "", &[("num.io.threads", 0, Some("7")), (rate, 0, Some("100"))]).await;
    alter(&bench, BROKER, "1", &[("num.io.threads", 0, Some("9"))]).await;
    let bench = bench.restart().await;
    assert_eq!(value(&bench, BROKER, "1", "num.io.threads").await, ("9".into(), 2));
    assert_eq!(value(&bench, BROKER, "", "num.io.threads").await, ("7".into(), 3));
    assert_eq!(value(&bench, BROKER, "1", rate).await, ("100".into(), 3));
    assert_eq!(alter(&bench, BROKER, "1", &[(rate, 0, Some("-1"))]).await.0, 42);
    bench.create("t", 1).await;
    let replicas = "leader.replication.throttled.replicas";
    assert_eq!(alter(&bench, TOPIC, "t", &[(replicas, 0, Some("0:1"))]).await.0, 0);
    assert_eq!(value(&bench, TOPIC, "t", replicas).await, ("0:1".into(), 1));
}

#[tokio::test]
async fn the_old_way_names_all_that_is_to_be_left() {
    let bench = Bench::new().await;
    bench.create_with("t", 1, &[("retention.ms", "1000")]).await;
    async fn replace(
        bench: &Bench,
        version: i16,
        (kind, name): (i8, &str),
        configs: &[(&str, Option<&str>)],
        validate_only: bool,
    ) -> (i16, String) {
        let configs = configs.iter().map(|(name, value)| alter_configs::AlterableConfig {
            name: Str::from(*name),
            value: value.map(Str::from),
            ..Default::default()
        });
        let request = alter_configs::Request {
            resources: vec![alter_configs::AlterConfigsResource {
                resource_type: kind,
                resource_name: Str::from(name),
                configs: configs.collect(),
                ..Default::default()
            }],
            validate_only,
            ..Default::default()
        };
        let answer = answer!(AlterConfigs, bench.ask(version, request).await).responses.remove(0);
        assert_eq!((answer.resource_type, &*answer.resource_name), (kind, name));
        (answer.error_code, answer.error_message.unwrap_or_default().to_string())
    }
    let bytes = [("retention.bytes", Some("5000"))];
    assert_eq!(replace(&bench, 2, (TOPIC, "t"), &bytes, true).await, (0, String::new()));
    assert_eq!(value(&bench, TOPIC, "t", "retention.ms").await, ("1000".into(), 1), "only looked at");
    for version in 0..=2 {
        assert_eq!(replace(&bench, version, (TOPIC, "t"), &bytes, false).await, (0, String::new()));
        assert_eq!(value(&bench, TOPIC, "t", "retention.ms").await, ("604800000".into(), 5));
        assert_eq!(value(&bench, TOPIC, "t", "retention.bytes").await, ("5000".into(), 1));
    }
    alter(&bench, BROKER, "1", &[("num.io.threads", 0, Some("9"))]).await;
    assert_eq!(replace(&bench, 2, (BROKER, "1"), &[("log.retention.ms", Some("777"))], false).await.0, 0);
    assert_eq!(value(&bench, BROKER, "1", "num.io.threads").await, ("8".into(), 5));
    assert_eq!(value(&bench, BROKER, "1", "log.retention.ms").await, ("777".into(), 2));
    let wrong = [
        ((TOPIC, "t"), ("retention.ms", None), 42, "Null value not supported for : retention.ms"),
        ((TOPIC, "t"), ("no.such", Some("1")), 40, "Unknown topic config name: no.such"),
        ((TOPIC, "nope"), ("retention.ms", Some("1")), 3, "The topic 'nope' does not exist."),
        ((LOGGER, "1"), ("root", Some("INFO")), 42, "Unknown resource type 8"),
        ((77, "t"), ("a", Some("1")), 42, "Unknown resource type 77"),
        (
            (BROKER, ""),
            ("log.retention.ms", Some("1")),
            40,
            "Cluster-level min.insync.replicas cannot be removed while ELR is enabled.",
        ),
    ];
    for (resource, config, code, message) in wrong {
        assert_eq!(replace(&bench, 2, resource, &[config], false).await, (code, message.to_owned()));
    }
}

#[tokio::test]
async fn the_brokers_settings_reach_its_topics() {
    let bench = Bench::new().await;
    bench.create("t", 1).await;
    bench.create_with("own", 1, &[("max.message.bytes", "5000")]).await;
    alter(&bench, BROKER, "", &[("message.max.bytes", 0, Some("70"))]).await;
    assert_eq!(value(&bench, TOPIC, "t", "max.message.bytes").await, ("70".into(), 3));
    alter(&bench, BROKER, "1", &[("message.max.bytes", 0, Some("90"))]).await;
    assert_eq!(value(&bench, TOPIC, "t", "max.message.bytes").await, ("90".into(), 2));
    assert_eq!(value(&bench, BROKER, "", "message.max.bytes").await, ("70".into(), 3));
    assert_eq!(bench.produce("t", 0, batch(&["a", "b", "c", "d", "e"])).await.error_code, 10);
    assert_eq!(bench.produce("own", 0, batch(&["a", "b", "c", "d", "e"])).await.error_code, 0);
    let bench = bench.restart().await;
    assert_eq!(value(&bench, TOPIC, "t", "max.message.bytes").await, ("90".into(), 2));
    alter(&bench, BROKER, "1", &[("message.max.bytes", 1, None)]).await;
    alter(&bench, BROKER, "", &[("message.max.bytes", 1, None)]).await;
    assert_eq!(value(&bench, TOPIC, "t", "max.message.bytes").await, ("1048588".into(), 5));
    assert_eq!(bench.produce("t", 0, batch(&["a", "b", "c", "d", "e"])).await.error_code, 0);
}

#[tokio::test]
async fn retention_follows_the_config() {
    let bench = Bench::new().await;
    bench.create_with("t", 1, &[("segment.bytes", "1048576")]).await;
    let half = "x".repeat(600_000);
    for _ in 0..3 {
        bench.produce("t", 0, batch(&[&half])).await;
    }
    let storage = bench.broker.catalogue().storage().clone();
    storage.maintain();
    assert_eq!(bench.fetch("t", 0, 2).await.log_start_offset, 0);
    alter(&bench, TOPIC, "t", &[("retention.bytes", 0, Some("700000"))]).await;
    storage.maintain();
    // Retention is done by the committer, behind what was asked of it before.
    let log = bench.broker.catalogue().topic("t").unwrap().partition(0).unwrap().log().clone();
    log.flush().await.unwrap();
    assert!(log.log_start_offset() > 0);
    assert_eq!(bench.fetch("t", 0, 0).await.error_code, 1);
}

#[tokio::test]
async fn one_request_alters_no_more_than_kafkas_controller_takes() {
    let bench = Bench::new().await;
    bench.create("t", 1).await;
    let names: Vec<String> = (0..10_001).map(|n| format!("k{n}")).collect();
    let changes: Vec<_> = names.iter().map(|name| (name.as_str(), 1, None)).collect();
    let (code, message) = alter(&bench, TOPIC, "t", &changes).await;
    assert_eq!((code, &*message), (44, "Unable to perform excessively large batch operation."));
    assert_eq!(alter(&bench, TOPIC, "t", &changes[1..]).await.0, 0);
}

#[tokio::test]
async fn any_negative_retention_of_the_broker_is_none() {
    let bench = Bench::with(&[("log.retention.ms", "-5")]).await;
    bench.create("t", 1).await;
    let topic = bench.broker.catalogue().topic("t").unwrap();
    assert!(topic.settings().config.log.retention_ms < 0);
    assert_eq!(alter(&bench, BROKER, "", &[("log.retention.ms", 0, Some("-7"))]).await.0, 0);
    assert_eq!(value(&bench, BROKER, "1", "log.retention.ms").await.0, "-7");
    assert_eq!(alter(&bench, TOPIC, "t", &[("retention.ms", 0, Some("-7"))]).await.0, 40);
}
