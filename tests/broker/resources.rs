//! Configs of groups, of client metrics and of loggers, and ListConfigResources.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use tollgate::broker::loggers::{Level, Loggers, SomeLoggers};
use tollgate::broker::{Broker, BrokerConfig};
use tollgate::storage::{Storage, StorageConfig};
use tollgate::wire::api::{
    describe_configs, describe_groups, find_coordinator, incremental_alter_configs as alter, join_group,
    list_config_resources as list, offset_commit, offset_fetch, sync_group,
};
use tollgate::wire::{ErrorCode, Str};

use crate::bench::*;

const LOGGER: i8 = 8;
const METRICS: i8 = 16;
const GROUP: i8 = 32;

async fn set(bench: &Bench, kind: i8, name: &str, configs: &[(&str, Option<&str>)]) -> (i16, String) {
    set_with(bench, kind, name, configs, false).await
}

async fn set_with(
    bench: &Bench,
    kind: i8,
    name: &str,
    configs: &[(&str, Option<&str>)],
    validate_only: bool,
) -> (i16, String) {
    let config = |(name, value): &(&str, Option<&str>)| alter::AlterableConfig {
        name: Str::from(*name),
        config_operation: i8::from(value.is_none()),
        value: value.map(Str::from),
        ..Default::default()
    };
    let resource = alter::AlterConfigsResource {
        resource_type: kind,
        resource_name: Str::from(name),
        configs: configs.iter().map(config).collect(),
        ..Default::default()
    };
    let request = alter::Request { resources: vec![resource], validate_only, ..Default::default() };
    let answer = answer!(IncrementalAlterConfigs, bench.ask(1, request).await).responses.remove(0);
    (answer.error_code, answer.error_message.unwrap_or_default().to_string())
}

/// `name=value/source` of all, and of their synonyms.
async fn described(bench: &Bench, kind: i8, name: &str, keys: &[&str]) -> Result<Vec<String>, (i16, String)> {
    let resource = describe_configs::DescribeConfigsResource {
        resource_type: kind,
        resource_name: Str::from(name),
        configuration_keys: Some(keys.iter().map(|key| Str::from(*key)).collect()),
        ..Default::default()
    };
    let request =
        describe_configs::Request { resources: vec![resource], include_synonyms: true, ..Default::default() };
    let result = answer!(DescribeConfigs, bench.ask(4, request).await).results.remove(0);
    if result.error_code != 0 {
        return Err((result.error_code, result.error_message.unwrap_or_default().to_string()));
    }
    let shown = |config: &describe_configs::DescribeConfigsResourceResult| {
        let value = |value: &Option<Str>| value.clone().unwrap_or_default();
        let synonyms: Vec<_> = config
            .synonyms
            .iter()
            .map(|synonym| format!("{}={}/{}", synonym.name, value(&synonym.value), synonym.source))
            .collect();
        format!("{}={}/{} {}", config.name, value(&config.value), config.config_source, synonyms.join(" "))
    };
    Ok(result.configs.iter().map(shown).collect())
}

async fn listed(bench: &Bench, version: i16, types: &[i8]) -> Result<Vec<(String, i8)>, i16> {
    let request = list::Request { resource_types: types.to_vec(), ..Default::default() };
    let answer = answer!(ListConfigResources, bench.ask(version, request).await);
    let named =
        |resource: &list::ConfigResource| (resource.resource_name.to_string(), resource.resource_type);
    match answer.error_code {
        0 => Ok(answer.config_resources.iter().map(named).collect()),
        code => Err(code),
    }
}

#[tokio::test]
async fn a_group_has_configs_before_it_has_members() {
    let bench = Bench::new().await;
    let name = "consumer.session.timeout.ms";
    let default = "consumer.session.timeout.ms=45000/5 group.consumer.session.timeout.ms=45000/5";
    assert_eq!(described(&bench, GROUP, "g", &[name]).await.unwrap(), [default]);
    assert_eq!(described(&bench, GROUP, "g", &[]).await.unwrap().len(), 21);
    assert_eq!(set_with(&bench, GROUP, "g", &[(name, Some("50000"))], true).await.0, 0);
    assert_eq!(described(&bench, GROUP, "g", &[name]).await.unwrap(), [default], "only looked at");
    assert_eq!(set(&bench, GROUP, "g", &[(name, Some("50000"))]).await, (0, String::new()));
    let bench = bench.restart().await;
    let own = format!("{name}=50000/8 {name}=50000/8 group.{name}=45000/5");
    assert_eq!(described(&bench, GROUP, "g", &[name]).await.unwrap(), [own]);
    let share = "share.isolation.level=read_uncommitted/5 share.isolation.level=read_uncommitted/5";
    assert_eq!(described(&bench, GROUP, "g", &["share.isolation.level"]).await.unwrap(), [share]);
    assert_eq!(bench.broker.group_config("g", name).as_deref(), Some("50000"));
    assert_eq!(bench.broker.group_config("other", name).as_deref(), Some("45000"));
    assert_eq!(set(&bench, GROUP, "g", &[(name, None)]).await.0, 0);
    assert_eq!(listed(&bench, 1, &[GROUP]).await.unwrap(), []);
    for (group, config, value, code, message) in [
        ("g", name, "5", 40, "consumer.session.timeout.ms must be in the range 45000 to 60000 inclusive."),
        ("g", "no.such", "1", 40, "Unknown group config name: no.such"),
        ("", name, "50000", 42, "Default group resources are not allowed."),
    ] {
        let told = set(&bench, GROUP, group, &[(config, Some(value))]).await;
        assert_eq!(told, (code, message.to_owned()));
    }
    let told = described(&bench, GROUP, "", &[]).await.unwrap_err();
    assert_eq!(told, (42, "Group name must not be empty".to_owned()));
}

#[tokio::test]
async fn a_subscription_is_kept_and_read() {
    let bench = Bench::new().await;
    assert_eq!(
        described(&bench, METRICS, "s", &[]).await.unwrap(),
        ["interval.ms=300000/5 ", "match=/5 ", "metrics=/5 "]
    );
    let configs =
        [("interval.ms", Some("1000")), ("metrics", Some("a.,b.")), ("match", Some("client_id=x.*"))];
    assert_eq!(set(&bench, METRICS, "s", &configs).await, (0, String::new()));
    let bench = bench.restart().await;
    assert_eq!(
        described(&bench, METRICS, "s", &["interval.ms", "metrics"]).await.unwrap(),
        ["interval.ms=1000/7 interval.ms=1000/7", "metrics=a.,b./7 metrics=a.,b./7"]
    );
    let [subscription] = &bench.broker.subscriptions()[..] else { panic!() };
    assert_eq!((&*subscription.name, subscription.interval_ms), ("s", 1000));
    assert_eq!((subscription.metrics.len(), subscription.selectors.len()), (2, 1));
    for (name, config, value, code) in [
        ("s", "interval.ms", "1", 42),
        ("s", "match", "foo=bar", 40),
        ("s", "no", "1", 42),
        ("", "metrics", "a", 42),
    ] {
        assert_eq!(set(&bench, METRICS, name, &[(config, Some(value))]).await.0, code, "{config}");
    }
    assert_eq!(described(&bench, METRICS, "", &[]).await.unwrap_err().0, 42);
}

#[derive(Default)]
struct Two(Mutex<BTreeMap<String, Level>>);

impl Loggers for Two {
    fn levels(&self) -> Vec<(String, Option<Level>)> {
        let set = self.0.lock().unwrap();
        let level = |name: &str| (name.to_owned(), set.get(name).copied().or(Some(Level::Info)));
        vec![level("root"), level("disk")]
    }

    fn set(&self, name: &str, level: Option<Level>) {
        let mut set = self.0.lock().unwrap();
        match level {
            Some(level) => set.insert(name.to_owned(), level),
            None => set.remove(name),
        };
    }
}

#[tokio::test]
async fn loggers_are_set_as_kafkas_are() {
    let loggers = SomeLoggers(Some(Arc::new(Two::default())));
    let files = tollgate::storage::files::SimFiles::new();
    let (clock, hand) = tollgate::broker::Clock::manual(NOW);
    let storage = Storage::open(Arc::new(files.clone()), "/data", StorageConfig::default()).unwrap();
    let config = BrokerConfig { loggers, clock: clock.clone(), ..BrokerConfig::default() };
    let broker = Broker::open(config, storage).await.unwrap();
    let bench = Bench { files, hand, clock, broker, cx: context() };
    assert_eq!(described(&bench, LOGGER, "1", &[]).await.unwrap(), ["root=INFO/6 ", "disk=INFO/6 "]);
    assert_eq!(set_with(&bench, LOGGER, "1", &[("disk", Some("TRACE"))], true).await.0, 0);
    assert_eq!(described(&bench, LOGGER, "1", &["disk"]).await.unwrap(), ["disk=INFO/6 "], "only looked at");
    assert_eq!(set(&bench, LOGGER, "1", &[("disk", Some("TRACE")), ("root", Some("ERROR"))]).await.0, 0);
    assert_eq!(described(&bench, LOGGER, "1", &[]).await.unwrap(), ["root=ERROR/6 ", "disk=TRACE/6 "]);
    for (name, level, code, message) in [
        ("nope", Some("INFO"), 40, "Logger nope does not exist!"),
        ("nope", None, 40, "Logger nope does not exist!"),
        ("root", None, 42, "Removing the log level of the root logger is not allowed"),
        (
            "disk",
            Some("loud"),
            40,
            "Cannot set the log level of disk to loud as it is not a supported log level. Valid log",
        ),
    ] {
        let (told_code, told) = set(
            &bench,
            LOGGER,
            "1",
            &[("root", Some("DEBUG")), (name, level)][usize::from(name == "root")..],
        )
        .await;
        assert_eq!(told_code, code);
        assert!(told.starts_with(message), "{told}");
    }
    assert_eq!(described(&bench, LOGGER, "1", &["root"]).await.unwrap(), ["root=ERROR/6 "], "all or none");
    assert_eq!(set(&bench, LOGGER, "1", &[("disk", None)]).await.0, 0);
    assert_eq!(described(&bench, LOGGER, "1", &["disk"]).await.unwrap(), ["disk=INFO/6 "]);
}

#[tokio::test]
async fn what_has_configs_is_listed() {
    let bench = Bench::new().await;
    bench.create("b", 1).await;
    bench.create("a", 1).await;
    set(&bench, GROUP, "g", &[("consumer.session.timeout.ms", Some("50000"))]).await;
    set(&bench, METRICS, "s", &[("metrics", Some("x"))]).await;
    let named =
        |names: &[(&str, i8)]| names.iter().map(|(n, kind)| ((*n).to_owned(), *kind)).collect::<Vec<_>>();
    let all = named(&[("g", 32), ("s", 16), ("1", 8), ("1", 4), ("a", 2), ("b", 2)]);
    assert_eq!(listed(&bench, 1, &[]).await, Ok(all));
    assert_eq!(listed(&bench, 1, &[2]).await, Ok(named(&[("a", 2), ("b", 2)])));
    assert_eq!(listed(&bench, 1, &[77]).await, Err(35));
    assert_eq!(listed(&bench, 0, &[]).await, Ok(named(&[("s", 16)])));
}

/// What few bytes ask for, again and again, is answered as long as there is room for it: memory is not a stranger's to take.
#[tokio::test]
async fn an_answer_does_not_grow_with_how_often_the_same_is_asked() {
    let bench = Bench::with(&[("group.initial.rebalance.delay.ms", "0")]).await;
    bench.create("t", 1).await;
    let policy = ErrorCode::POLICY_VIOLATION.0;
    let split = |codes: Vec<i16>| {
        let given = codes.iter().take_while(|code| **code == 0).count();
        assert!(codes[given..].iter().all(|code| *code == policy), "once full it stays so");
        (given, codes.len() - given)
    };

    let broker = describe_configs::DescribeConfigsResource {
        resource_type: 4,
        resource_name: "1".into(),
        ..Default::default()
    };
    let request = describe_configs::Request { resources: vec![broker; 4_000], ..Default::default() };
    let answer = answer!(DescribeConfigs, bench.ask(4, request).await);
    let (given, refused) = split(answer.results.iter().map(|result| result.error_code).collect());
    assert!(given > 100 && refused > 100, "{given} given, {refused} refused");

    // long enough that the request itself is no more than its bytes allow
    let id: Str = "g".repeat(60).into();
    let coordinator = find_coordinator::Request { key: id.clone(), ..Default::default() };
    assert_eq!(answer!(FindCoordinator, bench.ask(3, coordinator).await).error_code, 0);
    let partition = offset_commit::OffsetCommitRequestPartition {
        committed_metadata: Some("m".repeat(4_000).into()),
        ..Default::default()
    };
    let commit = offset_commit::Request {
        group_id: id.clone(),
        generation_id_or_member_epoch: -1,
        topics: vec![offset_commit::OffsetCommitRequestTopic {
            name: "t".into(),
            partitions: vec![partition],
            ..Default::default()
        }],
        ..Default::default()
    };
    assert_eq!(answer!(OffsetCommit, bench.ask(8, commit).await).topics[0].partitions[0].error_code, 0);
    let group =
        |topics| offset_fetch::OffsetFetchRequestGroup { group_id: id.clone(), topics, ..Default::default() };
    let again = offset_fetch::OffsetFetchRequestTopics {
        name: "t".into(),
        partition_indexes: vec![0; 2_000],
        ..Default::default()
    };
    for topics in [Some(vec![again]), None] {
        let times = if topics.is_some() { 20 } else { 40_000 };
        let request = offset_fetch::Request { groups: vec![group(topics); times], ..Default::default() };
        let answer = answer!(OffsetFetch, bench.ask(8, request).await);
        let (given, refused) = split(answer.groups.iter().map(|group| group.error_code).collect());
        assert!(given > 1 && refused > 1, "{given} given, {refused} refused");
    }

    let join = join_group::Request {
        group_id: "members".into(),
        session_timeout_ms: 10_000,
        rebalance_timeout_ms: 10_000,
        protocol_type: "consumer".into(),
        protocols: vec![join_group::JoinGroupRequestProtocol {
            name: "range".into(),
            metadata: vec![1; 100_000].into(),
            ..Default::default()
        }],
        ..Default::default()
    };
    let joined = answer!(JoinGroup, bench.ask(3, join).await);
    assert_eq!(joined.error_code, 0);
    let assignment = sync_group::SyncGroupRequestAssignment {
        member_id: joined.member_id.clone(),
        assignment: vec![1; 100_000].into(),
        ..Default::default()
    };
    let sync = sync_group::Request {
        group_id: "members".into(),
        generation_id: joined.generation_id,
        member_id: joined.member_id,
        assignments: vec![assignment],
        ..Default::default()
    };
    assert_eq!(answer!(SyncGroup, bench.ask(3, sync).await).error_code, 0);
    let request = describe_groups::Request { groups: vec!["members".into(); 2_000], ..Default::default() };
    let answer = answer!(DescribeGroups, bench.ask(5, request).await);
    let (given, refused) = split(answer.groups.iter().map(|group| group.error_code).collect());
    assert!(given > 100 && refused > 100, "{given} given, {refused} refused");
}
