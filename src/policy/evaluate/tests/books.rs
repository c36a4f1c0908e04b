//! What is written down of access decisions, by which rules, and what those who are refused are told.

use super::*;
use crate::wire::api::*;

fn creating(topic: &str) -> create_topics::Request {
    let topic = create_topics::CreatableTopic { name: topic.into(), ..Default::default() };
    create_topics::Request { topics: vec![topic], ..Default::default() }
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

/// (rule, decision, observed) of what was written down.
fn decisions(world: &World) -> Vec<(String, String, bool)> {
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    let lines = world.audit();
    let told = lines.iter().map(|line| (text(&line["rule"]), text(&line["decision"])));
    told.zip(&lines).map(|((rule, decision), line)| (rule, decision, line["observed"] == true)).collect()
}

#[test]
fn what_watches_is_told_besides_what_decides() {
    const WATCH: &str = r#"on_access("Write").topic("t").observe().deny().named("watch");"#;
    let deny = r#"on_access("Write").topic("t").deny().named("deny");"#;
    let allow = r#"on_access("Write").topic("t").allow().audit().named("allow");"#;
    let watch = ("watch".to_owned(), "deny".to_owned(), true);
    for (rest, decided) in [
        ("", None),
        (deny, Some(("deny", "deny"))),
        ("default_deny();", Some(("default_deny()", "deny"))),
        (&format!("default_deny(); {allow}"), Some(("allow", "allow"))),
    ] {
        let world = one(&format!("{WATCH}{rest}"));
        let refused = decided.is_some_and(|(_, decision)| decision == "deny");
        assert_eq!(world.produce(&who("User:x"), &[("t", "v")]).is_pass(), !refused, "{rest}");
        let mut told = vec![watch.clone()];
        told.extend(decided.map(|(rule, decision)| (rule.to_owned(), decision.to_owned(), false)));
        assert_eq!(decisions(&world), told, "{rest}");
    }
}

#[test]
fn a_default_that_watches_adds_nothing_to_one_in_force() {
    let world = world(&[("p", "default_deny();"), ("q", "mode(\"observe\"); default_deny();")]);
    let refused = vec![("default_deny()".to_owned(), "deny".to_owned(), false)];
    world.produce(&who("User:x"), &[("t", "v")]);
    assert_eq!(decisions(&world), refused);
    world.ask(&who("User:x"), &mut request(4, init_producer_id::Request::default()));
    assert_eq!(decisions(&world), refused);
}

/// A producer that may write to some topic may go on, though a rule that watches would take that away.
#[test]
fn what_only_watches_takes_no_right_away() {
    let world = one(r#"default_deny();
        on_access("Write").topic("t").allow();
        on_access("Write").topic("*").observe().deny().named("watch");"#);
    let verdict = world.ask(&who("User:x"), &mut request(4, init_producer_id::Request::default()));
    assert!(verdict.is_pass(), "{verdict:?}");
    assert_eq!(decisions(&world), [("watch".to_owned(), "deny".to_owned(), true)]);
}

/// What a decision was about, as the audit trail has it.
#[test]
fn rights_on_any_topic_and_on_the_cluster_are_told_as_such() {
    let about = |script: &str, version, body: RequestBody| {
        let world = one(script);
        assert!(world.ask(&who("User:x"), &mut request(version, body)).is_pass());
        let lines = world.audit();
        let [line] = lines.as_slice() else { panic!("{lines:?}") };
        ["resource", "name", "partition", "reason"].map(|field| line[field].clone())
    };
    let write = about(
        r#"default_deny(); on_access("Write").topic("t").allow().audit();"#,
        4,
        init_producer_id::Request::default().into(),
    );
    assert_eq!(write, ["topic".into(), "*".into(), serde_json::Value::Null, "Write".into()]);
    let create =
        about(r#"default_deny(); on_access("Create").cluster().allow().audit();"#, 7, creating("t").into());
    assert_eq!(create, ["cluster".into(), "kafka-cluster".into(), serde_json::Value::Null, "Create".into()]);
}

#[test]
fn a_policy_says_that_it_refuses() {
    let message = |verdict: &Verdict| match &verdict.parts[0] {
        Outcome::Answer { message, .. } => message.clone(),
        Outcome::Forward => panic!("{verdict:?}"),
    };
    let world = one("default_deny();");
    let said = message(&world.produce(&who("User:x"), &[("t", "v")]));
    assert_eq!(said.as_deref(), Some("not authorized: Write is refused by policy"));
    let said = message(&world.ask(&who("User:x"), &mut request(7, creating("t"))));
    assert!(said.unwrap().contains("refused by policy"));
}

/// One topic that may be created says nothing of the next.
#[test]
fn each_topic_that_would_not_be_created_is_told_until_one_is() {
    let world = one(r#"mode("observe"); default_deny();
        on_access("Describe").topic("*").allow();
        on_access("Create").topic("new-*").allow();"#);
    let mut request = request(12, metadata(&["new-1", "old-1", "old-2"], true));
    assert!(!world.ask(&who("User:x"), &mut request).edited);
    let lines = world.audit();
    let told: Vec<_> = lines.iter().map(|line| line["name"].as_str().unwrap()).collect();
    assert_eq!(told, ["old-1"], "one would take creation out for all");
}

#[test]
fn metadata_that_creates_nothing_needs_no_right_to_create() {
    let world = one(r#"default_deny(); on_access("Describe").topic("*").allow();"#);
    let verdict = world.ask(&who("User:x"), &mut request(12, metadata(&["unheard"], false)));
    assert!(!verdict.edited && verdict.parts.is_empty(), "{verdict:?}");
    assert!(world.audit().is_empty());
}

/// Whether a topic that goes by an id may be told cannot be known where its name is not.
#[test]
fn listed_topics_without_a_known_name_are_hidden_unless_it_is_a_dry_run() {
    for watch_only in [false, true] {
        let policy = r#"default_deny(); on_access("Describe").topic("*").allow();"#;
        let world = world_with(&[("p", policy)], Settings { watch_only, ..Settings::default() });
        world.topics.put(1, "known");
        let user = who("User:x");
        let mut all = request(12, metadata::Request { topics: None, ..Default::default() });
        let verdict = world.ask(&user, &mut all);
        let topic = |id| metadata::MetadataResponseTopic {
            name: None,
            topic_id: Uuid([id; 16]),
            ..Default::default()
        };
        for (id, shown) in [(1, true), (2, watch_only)] {
            let body = metadata::Response { topics: vec![topic(id)], ..Default::default() };
            let mut response = Response::new(&all, body.into());
            let plan = world.generation().plan(&user);
            let cx = ExchangeContext { who: &user, session: 1 };
            let decided = plan.on_response(&cx, &all, &verdict, &mut response);
            let ResponseBody::Metadata(body) = &response.body else { panic!() };
            assert_eq!((body.topics.len() == 1, decided.edited), (shown, !shown), "{id} {watch_only}");
        }
    }
}
