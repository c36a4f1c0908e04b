//! Limits on topics, by every api that makes, grows or configures them.

use super::*;
use crate::policy::names::TopicDefaults;
use crate::wire::api::*;

const LIMITS: &str = r#"
    on_create("*").named("l").limit(#{
        partitions: 12,
        replication: 1..=3,
        names: ["team-*", "old"],
        configs: #{ "retention.ms": "<= 1000", "cleanup.policy": "delete" },
        forbidden_configs: "unclean.*",
    });"#;

/// An upstream that has a topic and says what topics get by default, or that says nothing.
#[derive(Debug)]
struct Upstream {
    speaks: bool,
    partitions: i32,
}

impl TopicIds for Upstream {
    fn name(&self, _: Uuid) -> Option<Str> {
        None
    }

    fn exists(&self, name: &str) -> Option<bool> {
        self.speaks.then_some(name == "old" || name == "mine-old")
    }

    fn defaults(&self) -> Option<TopicDefaults> {
        self.speaks.then_some(TopicDefaults { partitions: self.partitions, replication: 1 })
    }
}

fn limited(text: &str, speaks: bool, partitions: i32) -> Arc<Policies> {
    let policies = Policies::new(Shared::new(Settings {
        names: Names::new(Arc::new(Upstream { speaks, partitions })),
        audit: Lines::memory(),
        ..Settings::default()
    }));
    let script = Script { file: "p.rhai".into(), text: text.into() };
    policies.load(&[script]).unwrap_or_else(|errors| panic!("{}", errors[0]));
    policies
}

/// What became of each part: the code and message of those refused.
type Refused = Vec<Option<(ErrorCode, String)>>;

fn ask(policies: &Policies, version: i16, body: impl Into<RequestBody>) -> (Refused, RequestBody) {
    let body = body.into();
    let parts = body.parts(version).len();
    let mut request = Request::new(version, 1, Some("c".into()), body).unwrap();
    let who = who("User:ada");
    let plan = policies.current().plan(&who);
    let verdict = plan.on_request(&ExchangeContext { who: &who, session: 1 }, &mut request);
    let mut said: Refused = verdict.parts.iter().map(told).collect();
    said.resize(parts, None);
    (said, request.body().unwrap().clone())
}

fn told(outcome: &Outcome) -> Option<(ErrorCode, String)> {
    match outcome {
        Outcome::Forward => None,
        Outcome::Answer { code, message, .. } => Some((*code, message.clone().unwrap_or_default())),
    }
}

fn topic(name: &str, partitions: i32, replication: i16) -> create_topics::CreatableTopic {
    create_topics::CreatableTopic {
        name: name.into(),
        num_partitions: partitions,
        replication_factor: replication,
        ..Default::default()
    }
}

fn create(topics: Vec<create_topics::CreatableTopic>, validate_only: bool) -> create_topics::Request {
    create_topics::Request { topics, validate_only, ..Default::default() }
}

fn set(name: &str, value: &str) -> create_topics::CreatableTopicConfig {
    create_topics::CreatableTopicConfig { name: name.into(), value: Some(value.into()), ..Default::default() }
}

/// The one refusal among `said`: which part, and what is said of it, which is a policy violation.
fn violation(said: &Refused) -> (usize, &str) {
    let refused: Vec<_> = said.iter().enumerate().filter_map(|(at, s)| Some((at, s.as_ref()?))).collect();
    let [(at, (code, message))] = refused.as_slice() else { panic!("{said:?}") };
    assert_eq!(*code, ErrorCode::POLICY_VIOLATION);
    (*at, message)
}

#[test]
fn a_topic_that_breaks_a_limit_is_refused_and_the_others_go_on() {
    let policies = limited(LIMITS, true, 1);
    for validate_only in [false, true] {
        let topics = vec![topic("team-a", 12, 3), topic("team-b", 13, 1), topic("team-c", -1, -1)];
        let (said, _) = ask(&policies, 7, create(topics, validate_only));
        let message = "the policy p limits topics: partitions: 13 is not allowed; it must be at most 12";
        assert_eq!(violation(&said), (1, message));
    }
    let with = |configs: Vec<_>| create_topics::CreatableTopic { configs, ..topic("team-a", 1, 1) };
    for (one, says) in [
        (topic("mine", 1, 1), "name: \"mine\""),
        (topic("team-a", 1, 4), "replication: 4"),
        (topic("team-a", 0, 1), "partitions: 0"),
        (with(vec![set("retention.ms", "1001")]), "config retention.ms: \"1001\""),
        (with(vec![set("retention.ms", "-1")]), "config retention.ms: \"-1\""),
        (with(vec![set("retention.ms", "5"), set("cleanup.policy", "compact")]), "cleanup.policy"),
        (with(vec![set("unclean.leader.election.enable", "true")]), "must not be set"),
    ] {
        let (said, _) = ask(&policies, 7, create(vec![topic("team-z", 1, 1), one], false));
        let (at, message) = violation(&said);
        assert!(at == 1 && message.contains(says), "{message}");
    }
    let assigned = |brokers: &[i32], partitions: usize| create_topics::CreatableTopic {
        assignments: (0..partitions)
            .map(|n| create_topics::CreatableReplicaAssignment {
                partition_index: n as i32,
                broker_ids: brokers.to_vec(),
                ..Default::default()
            })
            .collect(),
        ..topic("team-a", -1, -1)
    };
    let (said, _) = ask(&policies, 7, create(vec![assigned(&[1, 2, 3], 12), assigned(&[1], 13)], false));
    assert!(violation(&said).1.contains("partitions: 13"));
    let (said, _) = ask(&policies, 7, create(vec![assigned(&[1, 2, 3, 4], 1)], false));
    assert!(violation(&said).1.contains("replication: 4"));
    let audited = policies.shared().audit.taken();
    assert!(audited.iter().all(|line| line["decision"] == "limit" && line["rule"] == "l"), "{audited:?}");
    assert!(audited[0]["reason"].as_str().unwrap().contains("partitions: 13"));
    let (matched, applied, failed) = policies.current().policies[0].rules[0].life.counters.read();
    assert!((matched, applied, failed) == (23, 11, 0), "{matched} {applied} {failed}");
}

#[test]
fn defaults_count_as_what_they_become() {
    let created = |policies: &Policies| ask(policies, 7, create(vec![topic("team-a", -1, 1)], false)).0;
    assert_eq!(created(&limited(LIMITS, true, 12)), [None]);
    assert!(violation(&created(&limited(LIMITS, true, 13))).1.contains("partitions: 13"));
    assert!(violation(&created(&limited(LIMITS, false, 1))).1.contains("the broker's default (-1)"));
}

#[test]
fn what_would_break_a_limit_is_not_created_by_metadata_either() {
    let metadata = |names: &[&str], creates: bool| metadata::Request {
        topics: Some(
            names
                .iter()
                .map(|name| metadata::MetadataRequestTopic {
                    name: Some((*name).into()),
                    ..Default::default()
                })
                .collect(),
        ),
        allow_auto_topic_creation: creates,
        ..Default::default()
    };
    let creates = |body: &RequestBody| match body {
        RequestBody::Metadata(body) => body.allow_auto_topic_creation,
        other => panic!("{other:?}"),
    };
    let policies = limited(LIMITS, true, 1);
    for version in [1, 9] {
        let (said, body) = ask(&policies, version, metadata(&["team-new", "mine", "mine-old", "old"], true));
        let codes: Vec<_> = said.iter().map(|said| said.as_ref().map(|(code, _)| *code)).collect();
        assert_eq!(codes, [None, Some(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION), None, None]);
        assert!(creates(&body));
    }
    // who does not ask to create is told by the broker what there is
    assert_eq!(ask(&policies, 9, metadata(&["mine"], false)).0, [None]);
    // all topics, and none
    let all = metadata::Request { topics: None, allow_auto_topic_creation: true, ..Default::default() };
    assert!(ask(&policies, 9, all).0.is_empty());
    let (said, _) = ask(&limited(LIMITS, true, 13), 9, metadata(&["team-new", "old"], true));
    assert!(said[0].is_some() && said[1].is_none());
    let required = "on_create().limit(#{ required_configs: \"retention.ms\" });";
    assert!(ask(&limited(required, true, 1), 9, metadata(&["team-new"], true)).0[0].is_some());
    // where it is not known what there is, nothing is created, and what is there is described
    let policies = limited(LIMITS, false, 1);
    let (said, body) = ask(&policies, 9, metadata(&["mine"], true));
    assert_eq!((said, creates(&body)), (vec![None], false));
    assert!(ask(&policies, 1, metadata(&["mine"], true)).0[0].is_some(), "it cannot be told not to");
}

#[test]
fn a_limit_is_not_got_round_later() {
    let policies = limited(LIMITS, true, 1);
    let grow = |name: &str, count| create_partitions::CreatePartitionsTopic {
        name: name.into(),
        count,
        ..Default::default()
    };
    let body = create_partitions::Request {
        topics: vec![grow("team-a", 12), grow("mine-old", 2), grow("team-b", 13)],
        ..Default::default()
    };
    let (said, _) = ask(&policies, 3, body);
    assert!(matches!(violation(&said), (2, message) if message.contains("partitions: 13")));

    let alter = |kind, name: &str, config: &str, value: &str| alter_configs::AlterConfigsResource {
        resource_type: kind,
        resource_name: name.into(),
        configs: vec![alter_configs::AlterableConfig {
            name: config.into(),
            value: Some(value.into()),
            ..Default::default()
        }],
        ..Default::default()
    };
    let body = alter_configs::Request {
        resources: vec![
            alter(2, "team-a", "retention.ms", "1000"),
            alter(2, "team-a", "retention.ms", "1001"),
            alter(4, "1", "retention.ms", "1001"),
            alter(2, "team-a", "segment.ms", "1001"),
        ],
        ..Default::default()
    };
    let (said, _) = ask(&policies, 2, body);
    assert!(matches!(violation(&said), (1, message) if message.contains("retention.ms: \"1001\"")));

    let change = |config: &str, operation, value: &str| incremental_alter_configs::AlterConfigsResource {
        resource_type: 2,
        resource_name: "team-a".into(),
        configs: vec![incremental_alter_configs::AlterableConfig {
            name: config.into(),
            config_operation: operation,
            value: Some(value.into()),
            ..Default::default()
        }],
        ..Default::default()
    };
    for (resource, says) in [
        (change("retention.ms", 0, "1000"), None),
        (change("retention.ms", 0, "1001"), Some("retention.ms: \"1001\"")),
        (change("retention.ms", 1, ""), None),
        (change("cleanup.policy", 2, "compact"), Some("adding to it")),
        (change("cleanup.policy", 3, "delete"), Some("adding to it")),
        (change("segment.ms", 2, "1"), None),
    ] {
        let body = incremental_alter_configs::Request { resources: vec![resource], ..Default::default() };
        let (said, _) = ask(&policies, 1, body);
        match says {
            None => assert_eq!(said, [None]),
            Some(says) => assert!(violation(&said).1.contains(says), "{said:?}"),
        }
    }

    let body = alter_partition_reassignments::Request {
        topics: vec![alter_partition_reassignments::ReassignableTopic {
            name: "team-a".into(),
            partitions: [Some(vec![1, 2, 3]), Some(vec![1, 2, 3, 4]), None]
                .map(|replicas| alter_partition_reassignments::ReassignablePartition {
                    replicas,
                    ..Default::default()
                })
                .into(),
            ..Default::default()
        }],
        ..Default::default()
    };
    let (said, _) = ask(&policies, 1, body);
    assert!(matches!(violation(&said), (1, message) if message.contains("replication: 4")));
}

#[test]
fn who_is_not_meant_is_free_and_who_only_watches_writes_down() {
    let text = r#"on_create("a-*").principal("!User:ada").limit(#{ partitions: 1 });
                  on_create("b-*").limit(#{ partitions: 1 }).observe();
                  on_create("c-*").limit(#{ names: "/c-[a-z]+/" }).audit();"#;
    let policies = limited(text, true, 1);
    let names = ["a-x", "b-x", "c-x", "c-1"];
    let topics = names.iter().map(|name| topic(name, 5, 1)).collect();
    let (said, _) = ask(&policies, 7, create(topics, false));
    assert!(matches!(violation(&said), (3, message) if message.contains("^(?:c-[a-z]+)$")));
    let audited: Vec<_> = policies
        .shared()
        .audit
        .taken()
        .iter()
        .map(|line| format!("{} {} {}", line["name"], line["decision"], line.get("observed").is_some()))
        .collect();
    assert_eq!(audited, ["\"b-x\" \"limit\" true", "\"c-x\" \"audit\" false", "\"c-1\" \"limit\" false"]);
    // a condition that fails refuses
    let failing = limited("on_create().when(|cx| { throw \"no\" }).limit(#{ partitions: 9 });", true, 1);
    assert!(violation(&ask(&failing, 7, create(vec![topic("t", 1, 1)], false)).0).1.contains("failed"));
}

fn metadata_of(name: &str, id: u8, creates: bool) -> metadata::Request {
    let topic = metadata::MetadataRequestTopic {
        name: Some(name.into()),
        topic_id: Uuid([id; 16]),
        ..Default::default()
    };
    metadata::Request { topics: Some(vec![topic]), allow_auto_topic_creation: creates, ..Default::default() }
}

#[test]
fn metadata_that_creates_nothing_breaks_no_limit() {
    let policies = limited("on_create().limit(#{ names: \"team-*\" });", true, 1);
    // the first version that says so
    assert_eq!(ask(&policies, 4, metadata_of("mine", 0, false)).0, [None]);
    assert!(ask(&policies, 4, metadata_of("mine", 0, true)).0[0].is_some());
    assert!(ask(&policies, 3, metadata_of("mine", 0, true)).0[0].is_some());
    // brokers go by the id, and make no topic of one
    assert_eq!(ask(&policies, 12, metadata_of("mine", 9, true)).0, [None]);
}

#[test]
fn what_a_limit_requires_is_asked_of_everything_that_names_all_configs() {
    let policies = limited("on_create().limit(#{ required_configs: \"retention.ms\" });", true, 1);
    let (said, _) = ask(&policies, 7, create(vec![topic("t", 1, 1)], false));
    assert!(violation(&said).1.contains("retention.ms"));
    let with = create_topics::CreatableTopic { configs: vec![set("retention.ms", "5")], ..topic("t", 1, 1) };
    assert_eq!(ask(&policies, 7, create(vec![with], false)).0, [None]);
    let alter = |config: &str| alter_configs::Request {
        resources: vec![alter_configs::AlterConfigsResource {
            resource_type: 2,
            resource_name: "t".into(),
            configs: vec![alter_configs::AlterableConfig {
                name: config.into(),
                value: Some("5".into()),
                ..Default::default()
            }],
            ..Default::default()
        }],
        ..Default::default()
    };
    assert!(violation(&ask(&policies, 2, alter("segment.ms")).0).1.contains("retention.ms"));
    assert_eq!(ask(&policies, 2, alter("retention.ms")).0, [None]);
    // what changes single ones leaves the others
    let body = incremental_alter_configs::Request {
        resources: vec![incremental_alter_configs::AlterConfigsResource {
            resource_type: 2,
            resource_name: "t".into(),
            configs: vec![incremental_alter_configs::AlterableConfig {
                name: "segment.ms".into(),
                value: Some("5".into()),
                ..Default::default()
            }],
            ..Default::default()
        }],
        ..Default::default()
    };
    assert_eq!(ask(&policies, 1, body).0, [None]);
    assert!(ask(&policies, 9, metadata_of("t", 0, true)).0[0].is_some());
}

#[test]
fn replication_is_limited_wherever_it_comes_from() {
    let policies = limited("on_create().limit(#{ replication: 2..=3 });", true, 1);
    assert!(
        violation(&ask(&policies, 7, create(vec![topic("t", 1, -1)], false)).0).1.contains("replication: 1")
    );
    assert!(ask(&policies, 9, metadata_of("t", 0, true)).0[0].is_some(), "the broker's default");
    let grow = |brokers: Vec<i32>| create_partitions::Request {
        topics: vec![create_partitions::CreatePartitionsTopic {
            name: "t".into(),
            count: 2,
            assignments: Some(vec![create_partitions::CreatePartitionsAssignment {
                broker_ids: brokers,
                ..Default::default()
            }]),
            ..Default::default()
        }],
        ..Default::default()
    };
    assert!(violation(&ask(&policies, 3, grow(vec![1])).0).1.contains("replication: 1"));
    assert_eq!(ask(&policies, 3, grow(vec![1, 2])).0, [None]);
}
