use super::*;
use crate::policy::verdict::Interest;
use crate::wire::ApiKey;
use crate::wire::api::*;
use crate::wire::sample::Draw;

const RULES: &str = r#"
    default_deny();
    on_access("Write").topic("orders").principal("User:w").allow();
    on_access("Read").topic("orders").group("g").principal("User:r").allow();
    on_access("Create").topic("new-*").principal("User:w").allow();
    on_access("Create", "Describe").cluster().principal("User:admin").allow();
    on_access("AlterConfigs").topic("orders").principal("User:admin").allow();
    on_access("IdempotentWrite").cluster().principal("User:i").allow();
    on_access("Write").transactional_id("tx-*").principal("User:w").allow();
    on_access("*").topic("*").principal("User:all").allow();
    on_access("Write").topic("secret").deny();
"#;

fn whole(world: &World, principal: &str, version: i16, body: impl Into<RequestBody>) -> Option<ErrorCode> {
    world.ask(&who(principal), &mut request(version, body)).whole
}

fn parts(
    world: &World,
    principal: &str,
    version: i16,
    body: impl Into<RequestBody>,
) -> Vec<Option<ErrorCode>> {
    codes(&world.ask(&who(principal), &mut request(version, body)))
}

fn metadata(topics: &[&str], create: bool) -> metadata::Request {
    let topics = topics
        .iter()
        .map(|name| metadata::MetadataRequestTopic { name: Some((*name).into()), ..Default::default() });
    metadata::Request {
        topics: Some(topics.collect()),
        allow_auto_topic_creation: create,
        ..Default::default()
    }
}

#[test]
fn operations_and_resources_decide() {
    let world = one(RULES);
    let denied = Some(ErrorCode::TOPIC_AUTHORIZATION_FAILED);
    let produce = |principal| codes(&world.produce(&who(principal), &[("orders", "v"), ("other", "v")]));
    assert_eq!(produce("User:w"), [None, denied]);
    assert_eq!(produce("User:r"), [denied, denied]);
    assert_eq!(produce("User:all"), []);
    assert_eq!(codes(&world.produce(&who("User:all"), &[("secret", "v")])), [denied], "any deny wins");
    let fetch = |principal| codes(&world.ask(&who(principal), &mut fetching(&["orders", "other"], 0)));
    assert_eq!(fetch("User:r"), [None, denied]);
    assert_eq!(fetch("User:w"), [denied, denied]);

    let group_denied = Some(ErrorCode::GROUP_AUTHORIZATION_FAILED);
    let join = |principal, group: &str| {
        whole(&world, principal, 9, join_group::Request { group_id: group.into(), ..Default::default() })
    };
    assert_eq!(
        (join("User:r", "g"), join("User:r", "h"), join("User:w", "g")),
        (None, group_denied, group_denied)
    );
}

#[test]
fn who_may_read_or_write_may_describe() {
    let world = one(RULES);
    let describe = |principal| parts(&world, principal, 12, metadata(&["orders"], false));
    assert_eq!((describe("User:w"), describe("User:r")), (vec![], vec![]));
    assert_eq!(describe("User:eve"), [Some(ErrorCode::TOPIC_AUTHORIZATION_FAILED)]);
    let configs = |principal| {
        let resource = describe_configs::DescribeConfigsResource {
            resource_type: 2,
            resource_name: "orders".into(),
            ..Default::default()
        };
        parts(
            &world,
            principal,
            4,
            describe_configs::Request { resources: vec![resource], ..Default::default() },
        )
    };
    assert_eq!(configs("User:admin"), [], "AlterConfigs implies DescribeConfigs");
    assert_eq!(configs("User:w"), [Some(ErrorCode::TOPIC_AUTHORIZATION_FAILED)]);
    let brokers = describe_configs::DescribeConfigsResource {
        resource_type: 4,
        resource_name: "1".into(),
        ..Default::default()
    };
    let body = describe_configs::Request { resources: vec![brokers], ..Default::default() };
    assert_eq!(parts(&world, "User:w", 4, body), [Some(ErrorCode::CLUSTER_AUTHORIZATION_FAILED)]);
}

#[test]
fn topics_are_created_by_right_on_the_topic_or_the_cluster() {
    let world = one(RULES);
    let create = |principal, names: &[&str]| {
        let topics = names
            .iter()
            .map(|name| create_topics::CreatableTopic { name: (*name).into(), ..Default::default() });
        parts(&world, principal, 7, create_topics::Request { topics: topics.collect(), ..Default::default() })
    };
    let denied = Some(ErrorCode::TOPIC_AUTHORIZATION_FAILED);
    assert_eq!(create("User:w", &["new-1", "old"]), [None, denied]);
    assert_eq!(create("User:admin", &["new-1", "old"]), []);
    assert_eq!(create("User:r", &["new-1"]), [denied]);
}

#[test]
fn metadata_does_not_create_for_those_who_may_not() {
    let world = one(RULES);
    world.topics.put(1, "orders");
    let asked = |principal, topics: &[&str]| {
        let mut request = request(12, metadata(topics, true));
        let verdict = world.ask(&who(principal), &mut request);
        let RequestBody::Metadata(body) = request.body().unwrap() else { panic!() };
        (verdict.edited, body.allow_auto_topic_creation)
    };
    assert_eq!(asked("User:w", &["orders"]), (false, true), "it exists");
    assert_eq!(asked("User:all", &["unheard"]), (false, true), "may create");
    // who does not ask for it is left alone
    let request_only = &mut request(12, metadata(&["unheard"], false));
    assert!(!world.ask(&who("User:admin"), request_only).edited);
    let world = one(r#"default_deny(); on_access("Describe").topic("*").principal("User:d").allow();"#);
    for version in [4, 12] {
        let mut request = request(version, metadata(&["unheard"], true));
        let verdict = world.ask(&who("User:d"), &mut request);
        let RequestBody::Metadata(body) = request.body().unwrap() else { panic!() };
        assert!(verdict.edited && verdict.parts.is_empty() && !body.allow_auto_topic_creation, "{version}");
    }
    // versions that cannot say so are refused what is missing
    assert_eq!(
        parts(&world, "User:d", 1, metadata(&["unheard"], true)),
        [Some(ErrorCode::TOPIC_AUTHORIZATION_FAILED)]
    );
}

#[test]
fn listings_leave_out_what_may_not_be_described() {
    let world = one(RULES);
    let listed = |principal, request: &mut Request, mut response: Response| {
        let user = who(principal);
        let verdict = world.ask(&user, request);
        assert_eq!(verdict.response, Interest::Parts);
        let plan = world.generation().plan(&user);
        let before = response.clone();
        let done =
            plan.on_response(&ExchangeContext { who: &user, session: 1 }, request, &verdict, &mut response);
        // what is not said to be edited goes out as it came
        assert_eq!(done.edited, format!("{before:?}") != format!("{response:?}"));
        response
    };
    let mut all = request(12, metadata::Request { topics: None, ..Default::default() });
    let topic =
        |name: &str| metadata::MetadataResponseTopic { name: Some(name.into()), ..Default::default() };
    let body = metadata::Response { topics: vec![topic("orders"), topic("other")], ..Default::default() };
    let response = Response::new(&all, body.into());
    let ResponseBody::Metadata(seen) = listed("User:r", &mut all, response.clone()).body else { panic!() };
    assert_eq!(seen.topics.len(), 1);
    assert_eq!(seen.topics[0].name, Some("orders".into()));
    let ResponseBody::Metadata(seen) = listed("User:all", &mut all, response).body else { panic!() };
    assert_eq!(seen.topics.len(), 2);

    let mut list = request(5, list_groups::Request::default());
    let group = |id: &str| list_groups::ListedGroup { group_id: id.into(), ..Default::default() };
    let body = list_groups::Response { groups: vec![group("g"), group("h")], ..Default::default() };
    let response = Response::new(&list, body.into());
    for (principal, groups) in [("User:r", 1), ("User:w", 0), ("User:admin", 2)] {
        let ResponseBody::ListGroups(seen) = listed(principal, &mut list, response.clone()).body else {
            panic!()
        };
        assert_eq!(seen.groups.len(), groups, "{principal}");
    }
}

/// A page of topics may end before one that its reader must not know of.
#[test]
fn a_cursor_does_not_name_what_may_not_be_described() {
    use describe_topic_partitions::{Cursor, DescribeTopicPartitionsResponseTopic, ResponseCursor};
    let world = one(RULES);
    let page_of = |principal, topics: &[&str], next: &str| {
        let user = who(principal);
        let mut all = request(0, describe_topic_partitions::Request::default());
        let verdict = world.ask(&user, &mut all);
        let topic = |name: &str| DescribeTopicPartitionsResponseTopic {
            name: Some(name.into()),
            ..Default::default()
        };
        let body = describe_topic_partitions::Response {
            topics: topics.iter().map(|name| topic(name)).collect(),
            next_cursor: Some(ResponseCursor {
                topic_name: next.into(),
                partition_index: 3,
                ..Default::default()
            }),
            ..Default::default()
        };
        let mut response = Response::new(&all, body.into());
        let plan = world.generation().plan(&user);
        let before = format!("{response:?}");
        let done =
            plan.on_response(&ExchangeContext { who: &user, session: 1 }, &all, &verdict, &mut response);
        assert_eq!(done.edited, format!("{response:?}") != before, "else it goes out as it came");
        let ResponseBody::DescribeTopicPartitions(seen) = response.body else { panic!() };
        seen.next_cursor.unwrap().topic_name
    };
    let page = |principal, next: &str| page_of(principal, &["hidden", "orders"], next);
    assert!(!page_of("User:r", &["orders"], "private").contains("private"), "nothing else is hidden");
    assert_eq!(page("User:r", "orders"), Str::from("orders"));
    assert_eq!(page("User:all", "private"), Str::from("private"));
    let sealed = page("User:r", "private");
    assert!(!sealed.contains("private"));

    // It comes back as what it stands for, to the upstream alone.
    let go_on = |principal, topic_name: &Str| {
        let cursor =
            Some(Cursor { topic_name: topic_name.clone(), partition_index: 3, ..Default::default() });
        let mut request = request(0, describe_topic_partitions::Request { cursor, ..Default::default() });
        let verdict = world.ask(&who(principal), &mut request);
        let ended = verdict.end.is_some() || verdict.whole.is_some();
        let Ok(RequestBody::DescribeTopicPartitions(body)) = request.body() else { panic!() };
        (ended, verdict.edited, body.cursor.clone().unwrap())
    };
    let (ended, edited, cursor) = go_on("User:r", &sealed);
    assert_eq!((ended, edited, &*cursor.topic_name, cursor.partition_index), (false, true, "private", 3));
    let (ended, edited, cursor) = go_on("User:r", &"orders".into());
    assert_eq!((ended, edited, &*cursor.topic_name), (false, false, "orders"));
    let forged = sealed.replace(&sealed[40..44], "AAAA");
    assert!(go_on("User:r", &forged.into()).0);
    // Nobody gave it that name to go on from: by pages of one topic it would find out which there are.
    assert!(go_on("User:r", &"private".into()).0);
    let (ended, edited, cursor) = go_on("User:all", &"private".into());
    assert_eq!((ended, edited, &*cursor.topic_name), (false, false, "private"));
}

#[test]
fn a_producer_id_asks_for_one_of_two_rights() {
    let world = one(RULES);
    let init = |principal, id: Option<&str>| {
        let body = init_producer_id::Request { transactional_id: id.map(Str::from), ..Default::default() };
        whole(&world, principal, 4, body)
    };
    assert_eq!(init("User:w", None), None, "Write on any topic");
    assert_eq!(init("User:i", None), None, "IdempotentWrite on the cluster");
    assert_eq!(init("User:r", None), Some(ErrorCode::CLUSTER_AUTHORIZATION_FAILED));
    assert_eq!(init("User:w", Some("tx-1")), None);
    assert_eq!(init("User:i", Some("tx-1")), Some(ErrorCode::TRANSACTIONAL_ID_AUTHORIZATION_FAILED));
}

/// "Write on any topic" is Write, on a topic, and taken away only by what takes Write on all of them.
#[test]
fn the_right_to_write_to_any_topic_is_no_other_right() {
    let init = |rules: &str| {
        let world = one(&format!("default_deny(); {rules}"));
        whole(&world, "User:x", 4, init_producer_id::Request::default())
    };
    let refused = Some(ErrorCode::CLUSTER_AUTHORIZATION_FAILED);
    let on_topic = r#"on_access("Write").topic("t").allow();"#;
    assert_eq!(init(r#"on_access("Write").transactional_id("*").allow();"#), refused);
    assert_eq!(init(r#"on_access("Read").topic("*").allow();"#), refused);
    assert_eq!(init(&format!(r#"{on_topic} on_access("Read").topic("*").deny();"#)), None);
    assert_eq!(init(&format!(r#"{on_topic} on_access("Write").topic("u").deny();"#)), None);
    assert_eq!(init(&format!(r#"{on_topic} on_access("Write").transactional_id("*").deny();"#)), None);
    assert_eq!(init(&format!(r#"{on_topic} on_access("Write").topic("*").deny();"#)), refused);
}

/// What Kafka asks no right for. Of DescribeCluster it leaves out the operations of whom may not describe the cluster; whose a
/// token is only the broker knows.
const FREE: [ApiKey; 5] = [
    ApiKey::DescribeCluster,
    ApiKey::RenewDelegationToken,
    ApiKey::ExpireDelegationToken,
    ApiKey::GetTelemetrySubscriptions,
    ApiKey::PushTelemetry,
];

/// Random requests of every api and version: each part is answered with the refusal of its kind, or the whole is; what
/// is forwarded all the same (a listing) comes back without a name.
#[test]
fn every_api_and_version_refuses_a_stranger_everything() {
    let world = one("default_deny();");
    let eve = who("User:eve");
    let plan = world.generation().plan(&eve);
    let cx = ExchangeContext { who: &eve, session: 1 };
    for info in crate::wire::table::APIS {
        let (mut asked, mut refused, mut listed) = (0, 0, 0);
        for version in info.min_version..=info.max_version {
            for seed in 0..60 {
                let mut draw = Draw::new(seed * 1_000 + u64::from(version.unsigned_abs()));
                let body = RequestBody::sample(info.key, version, &mut draw).unwrap();
                let named = body.parts(version);
                let mut request = request(version, body.clone());
                let verdict = plan.on_request(&cx, &mut request);
                let at = format!("{} {version}, seed {seed}: {body:?}\n{verdict:?}", info.name);
                if info.key.precedes_principals() {
                    assert!(verdict.is_pass() && verdict.response == Interest::Nothing, "{at}");
                    continue;
                }
                asked += 1;
                if verdict.whole == Some(ErrorCode::FETCH_SESSION_ID_NOT_FOUND) {
                    // it is to name its partitions first
                    continue;
                }
                if verdict.whole.is_some() || verdict.end.is_some() {
                    // it ends a session only where there is no place for an error
                    let code = verdict.whole.unwrap_or(ErrorCode::CLUSTER_AUTHORIZATION_FAILED);
                    let kinds =
                        [Resource::Group, Resource::Cluster, Resource::TransactionalId, Resource::User];
                    assert!(kinds.map(Resource::refusal).contains(&code), "{at}");
                    assert_eq!(verdict.end.is_some(), body.answer(version, code).is_none(), "{at}");
                    refused += 1;
                    continue;
                }
                for (part, outcome) in named.iter().zip(0..).map(|(part, n)| (part, verdict.outcome(n))) {
                    let refusal = code(outcome).unwrap_or_else(|| panic!("{part:?} is forwarded: {at}"));
                    // an id may be unknown, or of another topic than the name beside it
                    let of_ids = [ErrorCode::UNKNOWN_TOPIC_ID, ErrorCode::INVALID_REQUEST];
                    let has_id = !part.topic_id.is_zero();
                    assert!(
                        refusal == part.resource.refusal() || has_id && of_ids.contains(&refusal),
                        "{refusal}: {at}"
                    );
                    refused += 1;
                }
                if info.listed.is_some() {
                    let said = ResponseBody::sample(info.key, version, &mut draw).unwrap();
                    let mut response = Response::new(&request, said);
                    plan.on_response(&cx, &request, &verdict, &mut response);
                    response.body.retain(version, &mut |part| panic!("{part:?} is listed: {at}"));
                    listed += 1;
                }
            }
        }
        if asked > 0 {
            assert!(refused + listed > asked / 4, "{}: {refused} refused, {listed} listed", info.name);
        }
    }
}

#[test]
fn markers_are_for_brokers_and_for_who_may_alter_the_cluster() {
    let world = one(r#"default_deny();
        on_access("Alter").cluster().principal("User:admin").allow();
        on_access("ClusterAction").cluster().principal("User:broker").allow();
        on_access("Describe").cluster().principal("User:x").allow();"#);
    let markers = |principal| whole(&world, principal, 1, write_txn_markers::Request::default());
    assert_eq!(markers("User:admin"), None);
    assert_eq!(markers("User:broker"), None);
    assert_eq!(markers("User:x"), Some(ErrorCode::CLUSTER_AUTHORIZATION_FAILED));
}

/// What Kafka asks no right for is answered as soon as a client may do anything at all.
#[test]
fn what_needs_no_right_is_for_those_who_have_one() {
    let world = one(r#"default_deny(); on_access("Read").topic("t").principal("User:reader").allow();"#);
    for info in FREE.map(|api| api.info().unwrap()) {
        let mut draw = Draw::new(1);
        let body = RequestBody::sample(info.key, info.max_version, &mut draw).unwrap();
        let ask = |name| {
            let who = who(name);
            let mut request = request(info.max_version, body.clone());
            world
                .generation()
                .plan(&who)
                .on_request(&ExchangeContext { who: &who, session: 1 }, &mut request)
                .whole
        };
        assert_eq!(ask("User:eve"), Some(ErrorCode::CLUSTER_AUTHORIZATION_FAILED), "{}", info.name);
        assert_eq!(ask("User:reader"), None, "{}", info.name);
    }
    // nor is it refused where there are rules and no default
    let world = one(r#"on_access("Write").topic("t").principal("User:x").deny();"#);
    assert_eq!(whole(&world, "User:x", 1, describe_cluster::Request::default()), None);
}

#[test]
fn rules_without_a_default_refuse_only_what_they_deny() {
    let world = one(r#"on_access("Write").topic("t").principal("User:x").deny();"#);
    let denied = Some(ErrorCode::TOPIC_AUTHORIZATION_FAILED);
    assert_eq!(codes(&world.produce(&who("User:x"), &[("t", "v"), ("u", "v")])), [denied, None]);
    assert_eq!(codes(&world.produce(&who("User:y"), &[("t", "v")])), []);
    assert_eq!(parts(&world, "User:x", 12, metadata(&["t"], false)), [], "deny of Write is not of Describe");
    let allow = one(r#"on_access("Write").topic("t").principal("User:x").allow();"#);
    let plan = allow.generation().plan(&who("User:y"));
    assert_eq!(plan.request_interest(ApiKey::Produce), Interest::Nothing, "allows alone refuse nothing");
}

#[test]
fn conditions_are_asked_every_time_and_fail_closed() {
    let world = one(r#"default_deny();
        on_access("Write").topic("t").when(|cx| cx.client_id == "good").allow();
        on_access("Write").topic("u").when(|cx| cx.principal.nonsense()).allow();
        on_access("Write").topic("v").allow();
        on_access("Write").topic("v").when(|cx| cx.principal.nonsense()).deny();"#);
    let denied = Some(ErrorCode::TOPIC_AUTHORIZATION_FAILED);
    let ask = |client_id, topic| codes(&world.produce(&client("User:x", client_id), &[(topic, "v")]));
    assert_eq!((ask("good", "t"), ask("bad", "t"), ask("good", "t")), (vec![], vec![denied], vec![]));
    assert_eq!(ask("good", "u"), [denied], "an allow that fails does not allow");
    assert_eq!(ask("good", "v"), [denied], "a deny that fails denies");
}

#[test]
fn refusals_are_written_down_by_rule_or_default() {
    let world = one(RULES);
    world.produce(&who("User:all"), &[("secret", "v")]);
    world.produce(&who("User:eve"), &[("t", "v")]);
    let lines = world.audit();
    assert_eq!(lines.len(), 2);
    assert!(lines[0]["rule"].as_str().unwrap().starts_with("on_access(Write)"));
    assert_eq!(
        (lines[1]["rule"].as_str(), lines[1]["reason"].as_str()),
        (Some("default_deny()"), Some("Write"))
    );
}
