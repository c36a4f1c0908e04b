//! ACLs as the broker keeps them and decides by them, and delegation tokens, which there are none of.

use std::net::IpAddr;

use tollgate::broker::acl::AclRuling::{self, Allowed, ByDefault, Denied, Refused};
use tollgate::broker::acl::STANDARD_AUTHORIZER;
use tollgate::broker::{Broker, BrokerError, Reply};
use tollgate::storage::files::Crash;
use tollgate::wire::api::{
    CLUSTER, Resource, create_acls, create_delegation_token, delete_acls, describe_acls,
    describe_delegation_token, expire_delegation_token, renew_delegation_token,
};
use tollgate::wire::{Operation, Str};

use crate::bench::*;

const TOPIC: i8 = 2;
const LITERAL: i8 = 3;
const PREFIXED: i8 = 4;
const ANY: i8 = 1;
const MATCH: i8 = 2;
const ALL: i8 = 2;
const READ: i8 = 3;
const WRITE: i8 = 4;
const DENY: i8 = 2;
const ALLOW: i8 = 3;

fn acl(name: &str) -> create_acls::AclCreation {
    create_acls::AclCreation {
        resource_type: TOPIC,
        resource_name: name.into(),
        resource_pattern_type: LITERAL,
        principal: Str::from_static("User:ada"),
        host: Str::from_static("*"),
        operation: READ,
        permission_type: ALLOW,
        ..Default::default()
    }
}

fn filter() -> delete_acls::DeleteAclsFilter {
    delete_acls::DeleteAclsFilter {
        resource_type_filter: ANY,
        resource_name_filter: None,
        pattern_type_filter: ANY,
        principal_filter: None,
        host_filter: None,
        operation: ANY,
        permission_type: ANY,
        ..Default::default()
    }
}

async fn secured(more: &[(&str, &str)]) -> Bench {
    let mut settings = vec![("authorizer.class.name", STANDARD_AUTHORIZER)];
    settings.extend(more);
    Bench::with(&settings).await
}

async fn create(bench: &Bench, creations: Vec<create_acls::AclCreation>) -> Vec<(i16, String)> {
    let request = create_acls::Request { creations, ..Default::default() };
    let answer = answer!(CreateAcls, bench.ask(3, request).await);
    let told = |result: create_acls::AclCreationResult| {
        (result.error_code, result.error_message.unwrap_or_default().to_string())
    };
    answer.results.into_iter().map(told).collect()
}

async fn allow(bench: &Bench, creation: create_acls::AclCreation) {
    assert_eq!(create(bench, vec![creation]).await, [(0, String::new())]);
}

/// Names and how many entries each has.
async fn described(bench: &Bench, version: i16, filter: describe_acls::Request) -> Vec<(String, i8, usize)> {
    let answer = answer!(DescribeAcls, bench.ask(version, filter).await);
    assert_eq!(answer.error_code, 0);
    let told = |resource: describe_acls::DescribeAclsResource| {
        (resource.resource_name.to_string(), resource.pattern_type, resource.acls.len())
    };
    answer.resources.into_iter().map(told).collect()
}

fn everything() -> describe_acls::Request {
    describe_acls::Request {
        resource_type_filter: ANY,
        resource_name_filter: None,
        pattern_type_filter: ANY,
        principal_filter: None,
        host_filter: None,
        operation: ANY,
        permission_type: ANY,
        ..Default::default()
    }
}

fn decide(broker: &Broker, principal: &str, operation: Operation, name: &str) -> AclRuling {
    from(broker, principal, [10, 0, 0, 1].into(), operation, name)
}

fn from(broker: &Broker, principal: &str, host: IpAddr, operation: Operation, name: &str) -> AclRuling {
    broker.acls().authorizer().unwrap().decide(principal, host, operation, Resource::Topic, name)
}

#[tokio::test]
async fn without_an_authorizer_there_are_none() {
    let bench = Bench::new().await;
    for version in 1..=3 {
        let answer = answer!(DescribeAcls, bench.ask(version, everything()).await);
        assert_eq!((answer.error_code, answer.resources.len()), (54, 0));
        let request = create_acls::Request { creations: vec![acl("a"), acl("b")], ..Default::default() };
        let answer = answer!(CreateAcls, bench.ask(version, request).await);
        let codes: Vec<_> =
            answer.results.iter().map(|r| (r.error_code, r.error_message.as_deref())).collect();
        assert_eq!(codes, [(54, Some("No Authorizer is configured.")); 2]);
        let request = delete_acls::Request { filters: vec![filter()], ..Default::default() };
        let answer = answer!(DeleteAcls, bench.ask(version, request).await);
        assert_eq!(answer.filter_results[0].error_code, 54);
    }
    assert!(bench.broker.acls().authorizer().is_none());
}

#[tokio::test]
async fn what_is_created_is_described_at_every_version_and_is_there_after_a_crash() {
    let bench = secured(&[]).await;
    for version in 1..=3 {
        let request =
            create_acls::Request { creations: vec![acl(&format!("v{version}"))], ..Default::default() };
        let answer = answer!(CreateAcls, bench.ask(version, request).await);
        assert_eq!(answer.results[0].error_code, 0);
    }
    let twice = create(&bench, vec![acl("v1"), acl("v1")]).await;
    assert_eq!(twice, [(0, String::new()), (0, String::new())]);
    let of = create_acls::AclCreation { resource_pattern_type: PREFIXED, operation: WRITE, ..acl("v1") };
    allow(&bench, of).await;
    let expected: Vec<(String, i8, usize)> =
        [("v1", LITERAL, 1), ("v1", PREFIXED, 1), ("v2", LITERAL, 1), ("v3", LITERAL, 1)]
            .map(|(name, pattern, n)| (name.to_owned(), pattern, n))
            .into();
    for version in 1..=3 {
        assert_eq!(described(&bench, version, everything()).await, expected);
    }
    let files = bench.files.fork();
    files.crash(Crash::Power { seed: 3 });
    let settings = [("authorizer.class.name", STANDARD_AUTHORIZER)];
    let again = open(&files, &bench.clock, &settings).await;
    assert_eq!(again.acls().authorizer().unwrap().count(), 4);
    assert_eq!(decide(&again, "User:ada", Operation::Write, "v1.suffix"), Allowed);
}

#[tokio::test]
async fn bindings_are_refused_one_by_one_in_kafkas_words() {
    let bench = secured(&[]).await;
    let creation = create_acls::AclCreation::default;
    let of = |change: &dyn Fn(&mut create_acls::AclCreation)| {
        let mut creation = acl("t");
        change(&mut creation);
        creation
    };
    let told = create(
        &bench,
        vec![
            acl("good"),
            of(&|acl| acl.resource_type = 4),
            of(&|acl| acl.resource_name = Str::default()),
            of(&|acl| acl.resource_type = 77),
            of(&|acl| acl.resource_pattern_type = 77),
            of(&|acl| acl.operation = 77),
            of(&|acl| acl.permission_type = 77),
            of(&|acl| acl.principal = Str::from_static("ada")),
            of(&|acl| acl.host = Str::default()),
        ],
    )
    .await;
    let messages = [
        "",
        "The only valid name for the CLUSTER resource is kafka-cluster",
        "Invalid empty resource name",
        "Invalid resourceType UNKNOWN",
        "Invalid patternType UNKNOWN",
        "Invalid operation UNKNOWN",
        "Invalid permissionType UNKNOWN",
        "Could not parse principal from `ada` (no colon is present separating the principal type from the principal name)",
        "Host pattern cannot be null or empty",
    ];
    let codes = std::iter::once(0).chain(std::iter::repeat(42));
    assert!(told.iter().map(|(code, _)| *code).eq(codes.take(messages.len())), "{told:?}");
    assert!(told.iter().map(|(_, message)| message.as_str()).eq(messages), "{told:?}");
    assert_eq!(described(&bench, 3, everything()).await, [("good".to_owned(), LITERAL, 1)]);
    for filter in [
        of(&|acl| acl.resource_type = ANY),
        of(&|acl| acl.resource_pattern_type = MATCH),
        of(&|acl| acl.operation = ANY),
        of(&|acl| acl.permission_type = ANY),
    ] {
        let told = create(&bench, vec![acl("t"), filter]).await;
        assert_eq!(told, [(-1, String::new()), (-1, String::new())], "Kafka falls over it as a whole");
    }
    let nothing = create_acls::Request { creations: vec![creation()], ..Default::default() };
    assert!(matches!(bench.submit(3, nothing), Reply::Close), "unknown elements cannot be read");
    let nothing = describe_acls::Request { operation: 0, ..everything() };
    assert!(matches!(bench.submit(3, nothing), Reply::Close));
}

#[tokio::test]
async fn filters_find_and_delete_what_kafka_finds() {
    let bench = secured(&[]).await;
    let prefix = create_acls::AclCreation { resource_pattern_type: PREFIXED, ..acl("or") };
    let group = create_acls::AclCreation { resource_type: 3, ..acl("orders") };
    let host =
        create_acls::AclCreation { host: Str::from_static("10.0.0.1"), operation: ALL, ..acl("orders") };
    create(&bench, vec![acl("orders"), host, acl("*"), prefix, group, acl("other")]).await;
    let names = |filter: describe_acls::Request| {
        let bench = &bench;
        async move {
            let found = described(bench, 3, filter).await;
            found
                .into_iter()
                .map(|(name, pattern, n)| format!("{name}/{pattern}/{n}"))
                .collect::<Vec<_>>()
                .join(" ")
        }
    };
    let named = |name: &str, pattern: i8| describe_acls::Request {
        resource_type_filter: TOPIC,
        resource_name_filter: Some(name.into()),
        pattern_type_filter: pattern,
        ..everything()
    };
    assert_eq!(names(named("orders", MATCH)).await, "*/3/1 or/4/1 orders/3/2");
    assert_eq!(names(named("orders", ANY)).await, "orders/3/2");
    assert_eq!(names(named("or", LITERAL)).await, "");
    assert_eq!(names(named("or", PREFIXED)).await, "or/4/1");
    assert_eq!(names(describe_acls::Request { operation: ALL, ..everything() }).await, "orders/3/1");
    assert_eq!(names(describe_acls::Request { permission_type: DENY, ..everything() }).await, "");
    let ours = Some(Str::from_static("10.0.0.1"));
    assert_eq!(names(describe_acls::Request { host_filter: ours, ..everything() }).await, "orders/3/1");

    let of = |resource_type_filter, name: &str| delete_acls::DeleteAclsFilter {
        resource_type_filter,
        resource_name_filter: Some(name.into()),
        ..filter()
    };
    for version in 1..=3 {
        let filters = vec![of(TOPIC, "orders"), of(ANY, "orders"), of(77, "orders"), of(TOPIC, "nothing")];
        let request = delete_acls::Request { filters, ..Default::default() };
        let answer = answer!(DeleteAcls, bench.ask(version, request).await);
        let told: Vec<_> =
            answer.filter_results.iter().map(|r| (r.error_code, r.matching_acls.len())).collect();
        let expected =
            if version == 1 { [(0, 2), (0, 3), (42, 0), (0, 0)] } else { [(0, 0), (0, 0), (42, 0), (0, 0)] };
        assert_eq!(told, expected);
    }
    assert_eq!(names(everything()).await, "*/3/1 or/4/1 other/3/1");
}

#[tokio::test]
async fn decisions_are_the_standard_authorizers_and_change_at_once() {
    let bench = secured(&[("super.users", "User:root; User:ops")]).await;
    let broker = &bench.broker;
    let asked = |principal, operation, name| decide(broker, principal, operation, name);
    assert_eq!(asked("User:root", Operation::Write, "orders"), Allowed);
    assert_eq!(asked("User:ada", Operation::Read, "orders"), ByDefault(false));
    allow(&bench, acl("orders")).await;
    assert_eq!(asked("User:ada", Operation::Read, "orders"), Allowed);
    assert_eq!(asked("User:ada", Operation::Describe, "orders"), Allowed, "implied");
    assert_eq!(asked("User:ada", Operation::Write, "orders"), Refused);
    assert_eq!(asked("User:ada", Operation::DescribeConfigs, "orders"), Refused);
    assert_eq!(asked("User:bo", Operation::Read, "orders"), Refused);
    assert_eq!(asked("User:ada", Operation::Read, "orders2"), ByDefault(false));

    let everyone = create_acls::AclCreation {
        principal: Str::from_static("User:*"),
        permission_type: DENY,
        resource_pattern_type: PREFIXED,
        ..acl("ord")
    };
    allow(&bench, everyone).await;
    assert_eq!(asked("User:ada", Operation::Read, "orders"), Denied);
    assert_eq!(asked("User:ada", Operation::Describe, "orders"), Allowed, "a deny implies nothing");
    assert_eq!(asked("User:ops", Operation::Read, "orders"), Allowed, "whom no ACL binds");
    let request = delete_acls::Request {
        filters: vec![delete_acls::DeleteAclsFilter { permission_type: DENY, ..filter() }],
        ..Default::default()
    };
    bench.ask(3, request).await;
    assert_eq!(asked("User:ada", Operation::Read, "orders"), Allowed);

    let wild = create_acls::AclCreation { operation: ALL, principal: Str::from_static("User:w"), ..acl("*") };
    allow(&bench, wild).await;
    assert_eq!(asked("User:w", Operation::AlterConfigs, "anything"), Allowed);
    assert_eq!(asked("User:ada", Operation::Read, "anything"), Refused, "now an ACL is about it");

    let host = create_acls::AclCreation { host: Str::from_static("::ffff:10.0.0.9"), ..acl("at") };
    allow(&bench, host).await;
    let at = |address: [u8; 4]| from(broker, "User:ada", address.into(), Operation::Read, "at");
    for _ in 0..2 {
        assert_eq!((at([10, 0, 0, 9]), at([10, 0, 0, 8])), (Allowed, Refused), "an address's is its own");
    }
    let nowhere = create_acls::AclCreation { host: Str::from_static("nowhere"), ..acl("no") };
    allow(&bench, nowhere).await;
    assert_eq!(asked("User:ada", Operation::Read, "no"), Refused);
}

#[tokio::test]
async fn everyone_is_allowed_only_what_no_acl_is_about() {
    let bench = secured(&[("allow.everyone.if.no.acl.found", "true")]).await;
    assert_eq!(decide(&bench.broker, "User:x", Operation::Write, "t"), ByDefault(true));
    allow(&bench, acl("t")).await;
    assert_eq!(decide(&bench.broker, "User:x", Operation::Write, "t"), Refused);
    assert_eq!(decide(&bench.broker, "User:x", Operation::Write, "u"), ByDefault(true));
    let any = |principal: &str| {
        let authorizer = bench.broker.acls().authorizer().unwrap();
        authorizer.decide_any(principal, [10, 0, 0, 1].into(), Operation::Write, Resource::Topic)
    };
    allow(&bench, create_acls::AclCreation { operation: WRITE, ..acl("t") }).await;
    assert_eq!(any("User:ada"), Allowed, "by an entry, which a script's default does not close");
    assert_eq!(any("User:x"), ByDefault(true));
}

#[tokio::test]
async fn any_topic_is_asked_as_kafka_asks_for_idempotent_producers() {
    let bench = secured(&[("super.users", "User:root")]).await;
    let any = |principal: &str| {
        let authorizer = bench.broker.acls().authorizer().unwrap();
        authorizer.decide_any(principal, [10, 0, 0, 1].into(), Operation::Write, Resource::Topic)
    };
    assert_eq!((any("User:root"), any("User:ada")), (Allowed, Refused));
    let write = |name: &str, pattern, permission| create_acls::AclCreation {
        operation: WRITE,
        permission_type: permission,
        resource_pattern_type: pattern,
        ..acl(name)
    };
    allow(&bench, write("ab", LITERAL, ALLOW)).await;
    assert_eq!(any("User:ada"), Allowed);
    allow(&bench, write("ab", LITERAL, DENY)).await;
    for _ in 0..2 {
        assert_eq!(any("User:ada"), Refused, "the only one is denied");
    }
    allow(&bench, write("abc", PREFIXED, ALLOW)).await;
    assert_eq!(any("User:ada"), Allowed);
    allow(&bench, write("a", PREFIXED, DENY)).await;
    assert_eq!(any("User:ada"), Refused, "all of them are");
    allow(&bench, write("*", LITERAL, ALLOW)).await;
    assert_eq!(any("User:ada"), Allowed);
    allow(&bench, write("*", LITERAL, DENY)).await;
    assert_eq!(any("User:ada"), Denied);
}

#[tokio::test]
async fn names_of_strangers_do_not_grow_what_is_remembered_without_end() {
    let bench = secured(&[]).await;
    allow(&bench, acl("t")).await;
    for n in 0..100_000 {
        let (principal, name) = (format!("User:{n:0>240}"), format!("{n:0>240}"));
        assert_eq!(decide(&bench.broker, &principal, Operation::Read, &name), ByDefault(false));
    }
    assert_eq!(decide(&bench.broker, "User:ada", Operation::Read, "t"), Allowed);
}

#[tokio::test]
async fn settings_that_cannot_be_meant_end_the_start() {
    for settings in [
        [("authorizer.class.name", "com.example.Mine"), ("super.users", "")],
        [("authorizer.class.name", STANDARD_AUTHORIZER), ("super.users", "User:a;bob")],
        [("authorizer.class.name", STANDARD_AUTHORIZER), ("allow.everyone.if.no.acl.found", "maybe")],
    ] {
        let bench = Bench::new().await;
        let (files, (clock, _)) = bench.end().await;
        let opened = try_open(&files, &clock, &settings).await;
        assert!(matches!(opened, Err(BrokerError::Config { .. })), "{settings:?}");
    }
    // The cluster is a resource with one name.
    assert_eq!(CLUSTER, "kafka-cluster");
}

#[tokio::test]
async fn delegation_tokens_are_refused_as_without_a_key_for_them() {
    let mut bench = Bench::new().await;
    for (principal, code, none) in [("User:ANONYMOUS", 64, -1), ("User:ada", 61, 0)] {
        bench.cx.principal = principal.into();
        for version in 1..=3 {
            let asked = create_delegation_token::Request {
                owner_principal_type: (version == 3).then(|| "User".into()),
                owner_principal_name: (version == 3).then(|| "bo".into()),
                ..Default::default()
            };
            let answer = answer!(CreateDelegationToken, bench.ask(version, asked).await);
            assert_eq!((answer.error_code, answer.expiry_timestamp_ms), (code, none));
            let name = principal.strip_prefix("User:").unwrap();
            let owner = if version == 3 { "bo" } else { name };
            assert_eq!((&*answer.principal_type, &*answer.principal_name), ("User", owner));
            if version == 3 {
                assert_eq!(answer.token_requester_principal_name, name);
            }
            let asked = describe_delegation_token::Request { owners: None, ..Default::default() };
            let answer = answer!(DescribeDelegationToken, bench.ask(version, asked).await);
            assert_eq!((answer.error_code, answer.tokens.len()), (code, 0));
        }
        for version in 1..=2 {
            let answer = answer!(
                RenewDelegationToken,
                bench.ask(version, renew_delegation_token::Request::default()).await
            );
            assert_eq!((answer.error_code, answer.expiry_timestamp_ms), (code, none));
            let answer = answer!(
                ExpireDelegationToken,
                bench.ask(version, expire_delegation_token::Request::default()).await
            );
            assert_eq!((answer.error_code, answer.expiry_timestamp_ms), (code, none));
        }
    }
    let renewer = create_delegation_token::CreatableRenewers {
        principal_type: "Group".into(),
        principal_name: "x".into(),
        ..Default::default()
    };
    let asked = create_delegation_token::Request { renewers: vec![renewer], ..Default::default() };
    assert_eq!(answer!(CreateDelegationToken, bench.ask(2, asked).await).error_code, 67);
}
