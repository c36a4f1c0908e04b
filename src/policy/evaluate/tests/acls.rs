//! ACLs of the upstream and access rules of scripts as one authoriser.

use super::super::tells_operations;
use super::*;
use crate::policy::acl::{AclRuling, Acls, Asked};
use crate::policy::verdict::Interest;
use crate::wire::api::*;
use crate::wire::table::APIS;
use crate::wire::{ApiKey, Operation};
use std::net::IpAddr;

/// Operation, name, principal, host; what is said of it. What is not listed is refused.
#[derive(Debug, Default)]
struct Kept(Mutex<Vec<Said>>);

type Said = (Operation, &'static str, &'static str, Option<IpAddr>, AclRuling);

impl Kept {
    fn put(&self, operation: Operation, name: &'static str, principal: &'static str, ruling: AclRuling) {
        self.0.lock().unwrap().push((operation, name, principal, None, ruling));
    }
}

impl Acls for Kept {
    fn decide(&self, asked: &Asked<'_>, name: &str) -> AclRuling {
        let kept = self.0.lock().unwrap();
        let found = kept.iter().rev().find(|(operation, of, principal, host, _)| {
            (*operation, *of, *principal) == (asked.operation, name, asked.principal)
                && host.is_none_or(|host| host == asked.host)
        });
        found.map_or(AclRuling::Refused, |(.., ruling)| *ruling)
    }

    fn decide_any(&self, asked: &Asked<'_>) -> AclRuling {
        self.decide(asked, "any")
    }
}

fn secured(script: &str) -> (World, Arc<Kept>) {
    let kept = Arc::new(Kept::default());
    let acls: Arc<dyn Acls> = kept.clone();
    let files: &[(&str, &str)] = if script.is_empty() { &[] } else { &[("p", script)] };
    (world_with(files, Settings { acls: Some(acls), ..Settings::default() }), kept)
}

const REFUSED: Option<ErrorCode> = Some(ErrorCode::TOPIC_AUTHORIZATION_FAILED);

fn produce(world: &World, principal: &str) -> Vec<Option<ErrorCode>> {
    codes(&world.produce(&who(principal), &[("t", "v")]))
}

#[test]
fn without_any_script_acls_are_enforced() {
    let (world, acls) = secured("");
    assert_eq!(produce(&world, "User:a"), [REFUSED]);
    acls.put(Operation::Write, "t", "User:a", AclRuling::Allowed);
    assert_eq!(produce(&world, "User:a"), [], "a change holds for the next request");
    assert_eq!(produce(&world, "User:b"), [REFUSED]);
    acls.put(Operation::Write, "t", "User:a", AclRuling::Denied);
    assert_eq!(produce(&world, "User:a"), [REFUSED]);
    acls.put(Operation::Write, "t", "User:a", AclRuling::Open);
    assert_eq!(produce(&world, "User:a"), []);
    let verdict = world.produce(&who("User:b"), &[("t", "v")]);
    assert!(matches!(&verdict.parts[0], Outcome::Answer { message: None, .. }), "as Kafka, without a word");
}

#[test]
fn what_is_said_of_one_address_holds_for_it_alone() {
    let (world, acls) = secured("");
    let host: IpAddr = [10, 0, 0, 1].into();
    acls.0.lock().unwrap().push((Operation::Write, "t", "User:a", Some(host), AclRuling::Allowed));
    let from = |remote_ip| codes(&world.produce(&Who { remote_ip, ..who("User:a") }, &[("t", "v")]));
    for _ in 0..2 {
        assert_eq!(from(host), []);
        assert_eq!(from([10, 0, 0, 2].into()), [REFUSED]);
    }
}

#[test]
fn any_deny_wins_and_any_allow_is_enough() {
    let script = r#"
        on_access("Write").topic("t").principal("User:allowed").allow();
        on_access("Write").topic("t").principal("User:denied").deny();
    "#;
    let (world, acls) = secured(script);
    assert_eq!(produce(&world, "User:allowed"), [], "by the script alone");
    acls.put(Operation::Write, "t", "User:allowed", AclRuling::Denied);
    assert_eq!(produce(&world, "User:allowed"), [REFUSED], "an ACL's deny");
    for ruling in [AclRuling::Allowed, AclRuling::Open] {
        acls.put(Operation::Write, "t", "User:denied", ruling);
        assert_eq!(produce(&world, "User:denied"), [REFUSED], "a script's deny");
    }
    acls.put(Operation::Write, "t", "User:acl", AclRuling::Allowed);
    assert_eq!(produce(&world, "User:acl"), []);
    assert_eq!(produce(&world, "User:nobody"), [REFUSED]);
}

#[test]
fn default_deny_closes_what_is_open_to_everybody_and_nothing_that_is_allowed() {
    let (world, acls) = secured("default_deny();");
    acls.put(Operation::Write, "t", "User:open", AclRuling::Open);
    acls.put(Operation::Write, "t", "User:acl", AclRuling::Allowed);
    assert_eq!(produce(&world, "User:open"), [REFUSED]);
    assert_eq!(produce(&world, "User:acl"), []);
}

#[test]
fn the_audit_trail_says_that_it_was_acls() {
    let (world, acls) = secured("mode(\"observe\"); default_deny();");
    acls.put(Operation::Write, "t", "User:acl", AclRuling::Allowed);
    assert_eq!(produce(&world, "User:acl"), []);
    assert!(world.audit().is_empty(), "no rule would have refused it");
    assert_eq!(produce(&world, "User:x"), [REFUSED]);
    let told = world.audit();
    let [told] = told.as_slice() else { panic!("{told:?}") };
    assert_eq!((&told["rule"], &told["decision"]), (&"ACLs".into(), &"deny".into()));
}

/// In force it would close what is open to everybody, and nothing that is allowed.
#[test]
fn a_default_that_watches_tells_what_it_would_close() {
    let (world, acls) = secured("mode(\"observe\"); default_deny();");
    acls.put(Operation::Write, "t", "User:open", AclRuling::Open);
    acls.put(Operation::Write, "any", "User:open", AclRuling::Open);
    acls.put(Operation::IdempotentWrite, CLUSTER, "User:open", AclRuling::Open);
    let told = || {
        let lines = world.audit();
        lines.iter().map(|line| (line["rule"].clone(), line["observed"].clone())).collect::<Vec<_>>()
    };
    assert_eq!(produce(&world, "User:open"), []);
    assert_eq!(told(), [("default_deny()".into(), true.into())]);
    assert!(world.ask(&who("User:open"), &mut request(4, init_producer_id::Request::default())).is_pass());
    assert_eq!(told(), [("default_deny()".into(), true.into())]);
}

/// Which rules a decision about any topic comes from, and which only watch.
#[test]
fn a_decision_about_any_topic_names_its_rules() {
    const WATCH: &str = r#"on_access("Write").topic("*").observe().deny().named("watch");"#;
    const DENY: &str = r#"on_access("Write").topic("*").deny().named("deny");"#;
    const OBSERVED: &str = "mode(\"observe\"); default_deny();";
    type Names = (bool, bool, Option<&'static str>, &'static [Option<&'static str>]);
    let expected: [(&[&str], Option<AclRuling>, Names); 8] = [
        (&[WATCH, DENY], None, (false, false, Some("deny"), &[Some("watch")])),
        (&[WATCH], Some(AclRuling::Allowed), (true, true, None, &[Some("watch")])),
        (&[WATCH], Some(AclRuling::Denied), (false, true, None, &[Some("watch")])),
        (&[r#"on_access("Write").topic("t").deny();"#], None, (true, false, None, &[])),
        (&[OBSERVED], None, (true, false, None, &[None])),
        (&["default_deny();", OBSERVED], None, (false, false, None, &[])),
        (&[OBSERVED], Some(AclRuling::Open), (true, false, None, &[None])),
        (&[""], Some(AclRuling::Open), (true, false, None, &[])),
    ];
    for (scripts, acl, names) in expected {
        let files: Vec<(&str, &str)> = ["p", "q"].into_iter().zip(scripts.iter().copied()).collect();
        let kept = acl.map(|ruling| {
            let kept = Arc::new(Kept::default());
            kept.put(Operation::Write, "any", "User:a", ruling);
            kept as Arc<dyn Acls>
        });
        let world = world_with(&files, Settings { acls: kept, ..Settings::default() });
        let who = who("User:a");
        let plan = world.generation().plan(&who);
        let decided = plan.access.any(&who, Operation::Write, Resource::Topic, |_| true);
        let ruling = &decided.ruling;
        let observed: Vec<_> =
            ruling.observed.iter().map(|rule| rule.as_ref().map(|rule| rule.name.as_str())).collect();
        let by = ruling.by.as_ref().map(|rule| rule.name.as_str());
        assert_eq!((decided.allowed, decided.by_acls, by, &*observed), names, "{scripts:?} {acl:?}");
        assert_eq!(ruling.allowed, decided.allowed, "{scripts:?} {acl:?}");
    }
}

/// As Kafka, ACLs do not explain themselves; and Create is a right on the cluster by its name.
#[test]
fn topics_are_created_by_acls_on_the_cluster_or_the_topic() {
    let (world, acls) = secured("");
    acls.put(Operation::Create, CLUSTER, "User:admin", AclRuling::Allowed);
    acls.put(Operation::Create, "new", "User:a", AclRuling::Allowed);
    let create = |principal: &str| {
        let topic = create_topics::CreatableTopic { name: "new".into(), ..Default::default() };
        let body = create_topics::Request { topics: vec![topic], ..Default::default() };
        world.ask(&who(principal), &mut request(7, body)).parts
    };
    assert_eq!((create("User:admin"), create("User:a")), (vec![], vec![]));
    assert_eq!(create("User:x"), [Outcome::answer(ErrorCode::TOPIC_AUTHORIZATION_FAILED)]);
}

#[test]
fn an_idempotent_producer_needs_the_cluster_or_any_topic() {
    let (world, acls) = secured("");
    let ask = |principal| {
        let body = init_producer_id::Request::default();
        world.ask(&who(principal), &mut request(4, body)).whole
    };
    let refused = Some(ErrorCode::CLUSTER_AUTHORIZATION_FAILED);
    assert_eq!(ask("User:a"), refused);
    acls.put(Operation::Write, "any", "User:a", AclRuling::Allowed);
    assert_eq!(ask("User:a"), None);
    acls.put(Operation::Write, "any", "User:a", AclRuling::Refused);
    acls.put(Operation::IdempotentWrite, CLUSTER, "User:a", AclRuling::Allowed);
    assert_eq!(ask("User:a"), None);
}

/// Write on any topic, by rules and ACLs together: a deny of either wins, an allow of either is enough.
#[test]
fn the_right_to_write_to_any_topic_is_of_rules_and_acls() {
    const ON_TOPIC: &str = r#"on_access("Write").topic("t").allow();"#;
    for (script, acl, may) in [
        ("", AclRuling::Open, true),
        ("", AclRuling::Denied, false),
        ("default_deny();", AclRuling::Open, false),
        ("default_deny();", AclRuling::Refused, false),
        ("default_deny();", AclRuling::Allowed, true),
        (&format!("default_deny(); {ON_TOPIC}"), AclRuling::Open, true),
        (&format!("default_deny(); {ON_TOPIC}"), AclRuling::Denied, false),
        (ON_TOPIC, AclRuling::Refused, true),
        // a rule that names nothing is about everything, and one that names groups is not about topics
        (r#"on_access("Write").allow();"#, AclRuling::Refused, true),
        (r#"on_access("Write").group("g").allow();"#, AclRuling::Refused, false),
        (r#"on_access("Write").deny();"#, AclRuling::Allowed, false),
        (r#"on_access("Write").topic("*").deny();"#, AclRuling::Allowed, false),
        (r#"on_access("Write").topic("t").deny();"#, AclRuling::Allowed, true),
        (r#"on_access("Write").topic("*").observe().deny();"#, AclRuling::Allowed, true),
        (
            &format!("default_deny(); {}", ON_TOPIC.replace(".allow", ".observe().allow")),
            AclRuling::Open,
            false,
        ),
    ] {
        let (world, acls) = secured(script);
        acls.put(Operation::Write, "any", "User:a", acl);
        let asked = world.ask(&who("User:a"), &mut request(4, init_producer_id::Request::default())).whole;
        let expected = (!may).then_some(ErrorCode::CLUSTER_AUTHORIZATION_FAILED);
        assert_eq!(asked, expected, "{script} {acl:?}");
    }
}

#[test]
fn listings_hide_what_may_not_be_described_and_tell_what_may_be_done() {
    let (world, acls) = secured(r#"on_access("Write").topic("t").deny();"#);
    for operation in [Operation::Read, Operation::Describe, Operation::Write] {
        acls.put(operation, "t", "User:a", AclRuling::Allowed);
    }
    let body =
        metadata::Request { topics: None, include_topic_authorized_operations: true, ..Default::default() };
    let topic = |name: &str, operations| metadata::MetadataResponseTopic {
        name: Some(name.into()),
        topic_authorized_operations: operations,
        ..Default::default()
    };
    let mut request = request(12, body);
    let who = who("User:a");
    let verdict = world.ask(&who, &mut request);
    let answer =
        metadata::Response { topics: vec![topic("t", 3576), topic("hidden", 3576)], ..Default::default() };
    let mut response = Response {
        api: ApiKey::Metadata,
        version: 12,
        correlation_id: 1,
        header_tags: Default::default(),
        body: answer.into(),
    };
    let plan = world.policies.current().plan(&who);
    let cx = ExchangeContext { who: &who, session: 1 };
    assert!(plan.on_response(&cx, &request, &verdict, &mut response).edited);
    let ResponseBody::Metadata(body) = &response.body else { panic!() };
    let told: Vec<_> =
        body.topics.iter().map(|t| (t.name.as_deref(), t.topic_authorized_operations)).collect();
    assert_eq!(told, [(Some("t"), 1 << 3 | 1 << 8)], "read and describe: the script takes write away");
    assert_eq!(body.cluster_authorized_operations, i32::MIN, "nobody asked");
}

#[test]
fn replies_that_tell_operations_are_looked_at_in_every_api_that_has_them() {
    let (world, _acls) = secured("");
    let plan = world.policies.current().plan(&who("User:a"));
    let telling = APIS.iter().map(|api| api.key).filter(|api| tells_operations(*api));
    assert_eq!(
        telling.inspect(|api| assert!(plan.response_interest(*api) > Interest::Nothing, "{api}")).count(),
        8
    );
    let bare = world_with(&[], Settings::default());
    let plan = bare.policies.current().plan(&who("User:a"));
    let interest = |api: ApiKey| plan.request_interest(api).max(plan.response_interest(api));
    assert!(
        APIS.iter().all(|api| interest(api.key) == Interest::Nothing),
        "without ACLs nothing is looked into"
    );
}

/// A broker's configs, loggers and subscriptions are the cluster's business, whatever their own names are.
#[test]
fn configs_of_brokers_ask_for_the_cluster_by_its_name() {
    let (world, acls) = secured("");
    let alter = |principal: &str, kind: i8, name: &str| {
        let resource = incremental_alter_configs::AlterConfigsResource {
            resource_type: kind,
            resource_name: name.into(),
            ..Default::default()
        };
        let body = incremental_alter_configs::Request { resources: vec![resource], ..Default::default() };
        codes(&world.ask(&who(principal), &mut request(1, body)))
    };
    let refused = [Some(ErrorCode::CLUSTER_AUTHORIZATION_FAILED)];
    acls.put(Operation::AlterConfigs, CLUSTER, "User:admin", AclRuling::Allowed);
    // with `allow.everyone.if.no.acl.found` a name that no ACL is about is open
    for name in ["0", "", "metrics"] {
        acls.put(Operation::AlterConfigs, name, "User:denied", AclRuling::Open);
    }
    acls.put(Operation::AlterConfigs, CLUSTER, "User:denied", AclRuling::Denied);
    for (kind, name) in [(4, "0"), (4, ""), (8, "0"), (16, "metrics")] {
        assert_eq!(alter("User:denied", kind, name), refused, "{kind} {name}");
        assert_eq!(alter("User:admin", kind, name), [], "{kind} {name}");
    }
}

/// What a CreateTopics answers of a new topic's configs is for those who may describe them.
#[test]
fn a_new_topics_configs_are_told_to_those_who_may_describe_them() {
    let (world, acls) = secured("");
    let told = |principal: &str, error_code: i16| {
        let who = who(principal);
        let topic = create_topics::CreatableTopic { name: "new".into(), ..Default::default() };
        let body = create_topics::Request { topics: vec![topic], ..Default::default() };
        let mut request = request(7, body);
        let verdict = world.ask(&who, &mut request);
        let result = create_topics::CreatableTopicResult {
            name: "new".into(),
            error_code,
            num_partitions: 3,
            replication_factor: 1,
            configs: Some(vec![create_topics::CreatableTopicConfigs::default()]),
            ..Default::default()
        };
        let body = create_topics::Response { topics: vec![result], ..Default::default() };
        let mut response = Response::new(&request, body.into());
        let plan = world.policies.current().plan(&who);
        plan.on_response(&ExchangeContext { who: &who, session: 1 }, &request, &verdict, &mut response);
        let ResponseBody::CreateTopics(mut body) = response.body else { panic!() };
        let topic = body.topics.remove(0);
        (
            topic.topic_config_error_code,
            topic.num_partitions,
            topic.replication_factor,
            topic.configs.unwrap().len(),
        )
    };
    let hidden = ErrorCode::TOPIC_AUTHORIZATION_FAILED.0;
    for principal in ["User:a", "User:b"] {
        acls.put(Operation::Create, "new", principal, AclRuling::Allowed);
    }
    acls.put(Operation::DescribeConfigs, "new", "User:b", AclRuling::Allowed);
    assert_eq!(told("User:a", 0), (hidden, -1, -1, 0));
    assert_eq!(told("User:b", 0), (0, 3, 1, 1));
    assert_eq!(told("User:a", ErrorCode::TOPIC_ALREADY_EXISTS.0).0, 0, "nothing was made");
}

/// What may be done to the cluster is told to those who may describe it; to others 0.
#[test]
fn what_may_be_done_to_the_cluster_is_for_those_who_may_describe_it() {
    let (world, acls) = secured("");
    let told = |principal: &str| {
        let who = who(principal);
        let mut request = request(2, describe_cluster::Request::default());
        let verdict = world.ask(&who, &mut request);
        let body = describe_cluster::Response { cluster_authorized_operations: 0xffff, ..Default::default() };
        let mut response = Response::new(&request, body.into());
        let plan = world.policies.current().plan(&who);
        plan.on_response(&ExchangeContext { who: &who, session: 1 }, &request, &verdict, &mut response);
        let ResponseBody::DescribeCluster(body) = response.body else { panic!() };
        body.cluster_authorized_operations
    };
    for principal in ["User:a", "User:b"] {
        acls.put(Operation::Create, CLUSTER, principal, AclRuling::Allowed);
    }
    acls.put(Operation::Describe, CLUSTER, "User:b", AclRuling::Allowed);
    assert_eq!(told("User:a"), 0);
    assert_eq!(told("User:b"), 1 << 5 | 1 << 8);
}

#[test]
fn a_token_for_oneself_needs_no_right_and_one_for_another_does() {
    let (world, acls) = secured("");
    acls.put(Operation::CreateTokens, "User:bob", "User:admin", AclRuling::Allowed);
    let ask = |principal: &str, owner: (Option<&str>, Option<&str>)| {
        let body = create_delegation_token::Request {
            owner_principal_type: owner.0.map(Str::from),
            owner_principal_name: owner.1.map(Str::from),
            ..Default::default()
        };
        world.ask(&who(principal), &mut request(3, body)).whole
    };
    let refused = Some(ErrorCode::DELEGATION_TOKEN_AUTHORIZATION_FAILED);
    assert_eq!(ask("User:ada", (None, None)), None);
    assert_eq!(ask("User:ada", (Some("User"), Some(""))), None);
    assert_eq!(ask("User:ada", (Some("User"), Some("ada"))), None, "her own");
    assert_eq!(ask("User:ada", (Some("User"), Some("bob"))), refused);
    assert_eq!(ask("User:ada", (None, Some("bob"))), refused, "an owner without a type is another");
    assert_eq!(ask("User:admin", (Some("User"), Some("bob"))), None);
}
