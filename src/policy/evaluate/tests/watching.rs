//! The books of access rules are the same whether they are in force, only watch, or are tried in a dry run.

use super::*;
use crate::wire::api::*;

/// What was refused, as (resource, name, right), and what each rule counted.
type Books = (Vec<(String, String, String)>, Vec<(u64, u64, u64)>);

/// A mode's name, what it puts before a policy, and the settings of the process.
fn modes() -> [(&'static str, &'static str, Settings); 3] {
    [
        ("enforced", "", Settings::default()),
        ("observed", "mode(\"observe\"); ", Settings::default()),
        ("dry run", "", Settings { watch_only: true, ..Settings::default() }),
    ]
}

fn books(world: &World) -> Books {
    let text = |line: &serde_json::Value, field: &str| line[field].as_str().unwrap_or_default().to_owned();
    let lines = world.audit();
    let refused = lines.iter().filter(|line| line["decision"] == "deny");
    let refused = refused.map(|line| (text(line, "resource"), text(line, "name"), text(line, "reason")));
    let rules = world.generation().policies.iter().map(|policy| policy.rules.len()).sum();
    (refused.collect(), (0..rules).map(|at| world.counts(at)).collect())
}

/// Asks in all three modes: the books must be `refused`, and only what is enforced is refused.
fn tried(policy: &str, version: i16, body: impl Into<RequestBody>, refused: &[(&str, &str, &str)]) {
    let body = body.into();
    let mut before: Option<Books> = None;
    for (mode, head, settings) in modes() {
        let world = world_with(&[("p", &format!("{head}{policy}"))], settings);
        let verdict = world.ask(&who("User:x"), &mut request(version, body.clone()));
        let books = books(&world);
        let found: Vec<_> = books.0.iter().map(|(a, b, c)| (a.as_str(), b.as_str(), c.as_str())).collect();
        assert_eq!(found, refused, "{mode}: {policy}");
        assert_eq!(
            verdict.is_pass(),
            refused.is_empty() || mode != "enforced",
            "{mode}: {policy} {verdict:?}"
        );
        assert_eq!(*before.get_or_insert_with(|| books.clone()), books, "{mode}: {policy}");
    }
}

fn creating(topics: &[&str]) -> create_topics::Request {
    let topics = topics
        .iter()
        .map(|name| create_topics::CreatableTopic { name: (*name).into(), ..Default::default() });
    create_topics::Request { topics: topics.collect(), ..Default::default() }
}

fn metadata(topics: &[&str]) -> metadata::Request {
    let topics = topics
        .iter()
        .map(|name| metadata::MetadataRequestTopic { name: Some((*name).into()), ..Default::default() });
    metadata::Request {
        topics: Some(topics.collect()),
        allow_auto_topic_creation: true,
        ..Default::default()
    }
}

#[test]
fn create_on_the_topic_or_on_the_cluster() {
    let team = r#"default_deny(); on_access("Create").topic("team-*").allow();"#;
    tried(team, 7, creating(&["team-1"]), &[]);
    tried(team, 7, creating(&["team-1", "other"]), &[("topic", "other", "Create")]);
    tried(r#"default_deny(); on_access("Create").cluster().allow();"#, 7, creating(&["team-1"]), &[]);
    let denied = r#"on_access("Create").cluster().deny();"#;
    tried(&format!("{team}{denied}"), 7, creating(&["team-1"]), &[]);
}

#[test]
fn metadata_that_creates() {
    let policy = r#"default_deny(); on_access("Create").topic("team-*").allow(); on_access("Describe").topic("*-1").allow();"#;
    for version in [3, 12] {
        tried(policy, version, metadata(&["team-1"]), &[]);
        tried(policy, version, metadata(&["other-1"]), &[("topic", "other-1", "Create")]);
        // what may not be described does not come to creation
        tried(policy, version, metadata(&["other-2"]), &[("topic", "other-2", "Describe")]);
    }
    // one is enough to keep a request from creating
    tried(policy, 12, metadata(&["other-1", "also-1"]), &[("topic", "other-1", "Create")]);
}

#[test]
fn a_producer_id_by_one_of_two_rights() {
    let init = init_producer_id::Request::default;
    let refused = [("cluster", "kafka-cluster", "IdempotentWrite")];
    tried("default_deny();", 4, init(), &refused);
    tried(r#"default_deny(); on_access("Read").topic("t").allow();"#, 4, init(), &refused);
    tried(r#"default_deny(); on_access("Write").topic("t").allow();"#, 4, init(), &[]);
    tried(r#"default_deny(); on_access("IdempotentWrite").cluster().allow();"#, 4, init(), &[]);
    // with both denied the second is what is refused
    let policy = r#"on_access("Write").topic("*").deny(); on_access("IdempotentWrite").cluster().deny();"#;
    tried(policy, 4, init(), &refused);
    tried(r#"on_access("Write").topic("*").deny();"#, 4, init(), &[]);
}

#[test]
fn markers_by_one_of_two_rights() {
    let markers = write_txn_markers::Request::default;
    tried("default_deny();", 1, markers(), &[("cluster", "kafka-cluster", "ClusterAction")]);
    tried(r#"default_deny(); on_access("Alter").cluster().allow();"#, 1, markers(), &[]);
    tried(r#"default_deny(); on_access("ClusterAction").cluster().allow();"#, 1, markers(), &[]);
}

#[test]
fn groups_that_may_be_listed_by_the_cluster_or_one_by_one() {
    for (policy, refused) in [
        (r#"default_deny(); on_access("Describe").cluster().allow();"#, vec![]),
        (r#"default_deny(); on_access("Describe").group("g-1").allow();"#, vec!["g-2"]),
        (r#"default_deny(); on_access("Describe").topic("t").allow();"#, vec!["g-1", "g-2"]),
    ] {
        let mut before: Option<Books> = None;
        for (mode, head, settings) in modes() {
            let world = world_with(&[("p", &format!("{head}{policy}"))], settings);
            let (who, mut asked) = (who("User:x"), request(4, list_groups::Request::default()));
            let verdict = world.ask(&who, &mut asked);
            let group = |id: &str| list_groups::ListedGroup { group_id: id.into(), ..Default::default() };
            let body =
                list_groups::Response { groups: vec![group("g-1"), group("g-2")], ..Default::default() };
            let mut response = Response::new(&asked, body.into());
            let plan = world.generation().plan(&who);
            plan.on_response(&ExchangeContext { who: &who, session: 1 }, &asked, &verdict, &mut response);
            let ResponseBody::ListGroups(body) = &response.body else { panic!() };
            let left = if mode == "enforced" { 2 - refused.len() } else { 2 };
            assert_eq!(body.groups.len(), left, "{mode}: {policy}");
            let books = books(&world);
            let found: Vec<&str> = books.0.iter().map(|(_, name, _)| name.as_str()).collect();
            assert_eq!(found, refused, "{mode}: {policy}");
            assert_eq!(*before.get_or_insert_with(|| books.clone()), books, "{mode}: {policy}");
        }
    }
}

/// An enforced refusal stands though something else watches.
#[test]
fn what_watches_opens_nothing() {
    let enforced = r#"default_deny(); on_access("Create").cluster().allow();"#;
    let watching = r#"on_access("Create").cluster().observe().deny();"#;
    let world = world(&[("p", enforced), ("q", watching)]);
    assert!(world.ask(&who("User:x"), &mut request(7, creating(&["t"]))).is_pass());
    let lines = world.audit();
    let told: Vec<_> =
        lines.iter().map(|line| (line["policy"].as_str(), line["observed"].as_bool())).collect();
    assert_eq!(told, [(Some("q"), Some(true))]);
}

#[test]
fn a_dry_run_takes_policies_in_their_own_modes() {
    for (enforced, watching) in [
        (r#"default_deny();"#, r#"mode("observe"); on_access("Write").topic("t").allow();"#),
        (r#"default_deny();"#, r#"on_access("Write").topic("t").observe().allow();"#),
        (r#"on_access("Write").topic("t").deny();"#, r#"mode("observe"); default_deny();"#),
    ] {
        let mut found = Vec::new();
        for watch_only in [false, true] {
            let settings = Settings { watch_only, ..Settings::default() };
            let world = world_with(&[("p", enforced), ("q", watching)], settings);
            let verdict = world.produce(&who("User:x"), &[("t", "v")]);
            assert_eq!(verdict.is_pass(), watch_only, "{enforced} {watching}");
            found.push(books(&world));
        }
        assert_eq!(found[0].0.len(), 1, "{enforced} {watching}");
        assert_eq!(found[0], found[1], "{enforced} {watching}");
    }
}
