//! What scripts become, and what is refused with its place.

mod closures;
mod prepared;
mod words;

use super::*;
use crate::policy::action::Seen;
use crate::policy::action::{Edit, How, OnUnparsable, Target};
use crate::policy::clock::Clock;
use crate::policy::fault::Fault;
use crate::policy::random::Distribution;
use crate::policy::rule::{Head, Kind};
use crate::policy::script::closure::{self, Closure, ClosureError, when};
use crate::policy::script::objects::CxData;
use crate::wire::record::{HeadersBuf, Record};
use crate::wire::{ApiKey, ErrorCode, Operation};

/// With the schemas that are shipped.
fn around_with(state: Arc<StateStore>) -> Surroundings {
    let schemas = Schemas::new(Some(concat!(env!("CARGO_MANIFEST_DIR"), "/policies/schemas").into()));
    Surroundings { state, secrets: Secrets::made_up(), schemas }
}

fn around() -> Surroundings {
    around_with(StateStore::new(Clock::manual()))
}

fn load(text: &str) -> Result<Policy, LoadError> {
    read(Path::new("policies/p.rhai"), &Arc::from(text), &around())
}

fn one(text: &str) -> RuleParts {
    let mut policy = load(text).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(policy.rules.len(), 1, "{text}");
    policy.rules.remove(0).spec
}

/// The error of a script, without its file and source line.
fn refused(text: &str) -> String {
    match load(text) {
        Ok(_) => panic!("loaded: {text}"),
        Err(error) => format!("{}:{}: {}", error.line, error.column, error.message),
    }
}

fn assert_refused(text: &str, place: &str, says: &str) {
    let said = refused(text);
    assert!(said.starts_with(&format!("{place}: ")) && said.contains(says), "{text}\n  says {said}");
}

#[test]
fn settings_are_read() {
    let policy = load(
        r#"policy("p-1", "what for"); seed(42); expires("30m"); mode("observe");
           on_produce("a").delay("1s");"#,
    )
    .unwrap();
    assert_eq!((policy.info.name.as_str(), policy.info.purpose.as_str()), ("p-1", "what for"));
    assert_eq!((policy.info.seed, policy.info.expires), (Some(42), Some(Duration::from_secs(1800))));
    assert!(policy.info.observe);
    assert_eq!(load("on_fetch().audit();").unwrap().info.name, "p", "else the file's name");
    assert!(load("default_deny();").unwrap().default_deny.is_some());
}

#[test]
fn heads_are_read() {
    let apis = |text| match one(text).head {
        Head::Request(apis) => apis.iter().map(|api| api.to_string()).collect::<Vec<_>>(),
        other => panic!("{other:?}"),
    };
    assert_eq!(apis(r#"on_request("Heartbeat", "joingroup").delay("1s");"#), ["JoinGroup", "Heartbeat"]);
    let transaction = apis(r#"on_request("transaction").delay("1s");"#);
    assert!(transaction.contains(&"InitProducerId".to_owned()) && transaction.contains(&"EndTxn".to_owned()));
    assert!(!transaction.contains(&"Produce".to_owned()));
    assert!(!apis(r#"on_request("*").delay("1s");"#).contains(&"ApiVersions".to_owned()));
    assert!(apis(r#"on_request("*").delay("1s");"#).contains(&"Metadata".to_owned()));
    assert!(apis(r#"on_request("mutating").delay("1s");"#).contains(&"DeleteTopics".to_owned()));
    assert!(apis(r#"on_request("group").delay("1s");"#).contains(&"SyncGroup".to_owned()));
    assert!(apis(r#"on_request("admin").delay("1s");"#).contains(&"CreateTopics".to_owned()));
    assert_eq!(apis(r#"on_request(["ApiVersions"]).delay("1s");"#), ["ApiVersions"]);

    let Head::Access(operations) = one(r#"on_access("Write", "describe").allow();"#).head else { panic!() };
    assert_eq!(operations.0, [Operation::Write, Operation::Describe]);
    assert!(operations.implies(Operation::Describe) && !operations.contains(Operation::Read));
    let Head::Access(all) = one(r#"on_access("*").deny();"#).head else { panic!() };
    assert!(all.contains(Operation::ClusterAction));

    let produce = one(r#"on_produce("a", "b-*", "!b-2").deny();"#);
    assert!(produce.head.covers(ApiKey::Produce) && !produce.head.covers(ApiKey::Fetch));
    assert!(produce.selectors.topic_matches("b-1") && !produce.selectors.topic_matches("b-2"));
    assert!(one("on_fetch().deny();").selectors.topics.is_empty());
    assert_eq!(one("on_connect().deny();").head, Head::Connect);
}

#[test]
fn selectors_are_read() {
    let all = one(r#"on_fetch("a").topic("a*").partition(0, 2..4, [7, 9..=9]).principal("User:a", "!User:b")
             .client_id("c*").listener("public").from_ip("10.0.0.0/8").header("h", "x*").key("k?")
             .value("$.n", "> 5").value("$.s", "a*", "!ab").value("$.t", true).value("$.m", ()).deny();"#);
    assert_eq!(
        all.selectors.to_string(),
        ".topic(a).topic(a*).partition(0, 2..=3, 7, 9).principal(User:a, !User:b).client_id(c*)\
         .listener(public).from_ip(10.0.0.0/8).header(h, x*).key(k?).value($.n, > 5)\
         .value($.s, a*, !ab).value($.t, true).value($.m, ())"
    );
    let group = one(r#"on_request("*").group("billing").delay("1s");"#);
    assert!(group.selectors.groups.is_some());
    let Head::Request(narrowed) = group.head else { panic!() };
    assert!(narrowed.contains(ApiKey::Heartbeat) && !narrowed.contains(ApiKey::Metadata));
    let access = one(r#"on_access("*").topic("t").group("g").transactional_id("x").cluster().allow();"#);
    assert!(access.selectors.cluster && access.selectors.transactional_ids.is_some());
    assert_eq!(
        one("on_connect().when(|cx| cx.ip == \"1.2.3.4\").deny();").selectors.when.unwrap().closure,
        0
    );
}

#[test]
fn triggers_are_read() {
    let all = one(
        r#"on_produce().chance(0.25).every(2).nth(3).first(4).after(5).at_most(6).during("1s", "2m").fail("UNKNOWN_SERVER_ERROR");"#,
    );
    assert_eq!(
        all.triggers.to_string(),
        ".chance(0.25).every(2).nth(3).first(4).after(5).during(1s, 120s).at_most(6)"
    );
}

#[test]
fn actions_are_read() {
    let actions = |text| one(text).actions;
    assert_eq!(actions("on_produce().deny();"), [Action::Deny(None)]);
    assert_eq!(actions("on_produce().deny(\"why\");"), [Action::Deny(Some("why".into()))]);
    let masks = actions(
        r##"on_fetch().mask("$.a", "all").mask("$.b", "email").mask("key", keep_first(1))
            .mask("headers.h", keep_last(2)).mask("$.c", hash(secret("pii"))).mask("$.d", replace("x"))
            .mask("$.e", pattern("[0-9]+", "#")).mask("$.f", to_null()).on_unparsable("error");"##,
    );
    let shown: Vec<String> = masks.iter().map(Action::to_string).collect();
    assert_eq!(shown[0], "mask($.a, all).on_unparsable(Error)");
    assert_eq!(shown[2], "mask(key, keep_first(1)).on_unparsable(Error)");
    assert_eq!(shown[3], "mask(headers.h, keep_last(2)).on_unparsable(Error)");
    assert_eq!(shown[4], "mask($.c, hash(pii)).on_unparsable(Error)");
    assert_eq!(shown[6], "mask($.e, pattern([0-9]+, #)).on_unparsable(Error)");
    let Action::Edit(Edit::Mask(mask)) = &masks[1] else { panic!() };
    assert_eq!((&mask.how, mask.on_unparsable), (&How::Email, OnUnparsable::Error));
    assert!(matches!(&mask.target, Target::Value(path) if path.to_string() == "$.b"));
    let headers = actions(
        r#"on_produce().set_header("by", "{principal}").remove_header("x-*").require_header("id").audit();"#,
    );
    assert_eq!(headers.len(), 4);
    let checks =
        actions(r#"on_produce().validate(schema("demo-shipment.json", #{ framed: true })).route("dlq");"#);
    assert_eq!(checks[0].to_string(), "validate(demo-shipment.json framed)");
    let routes = actions(r#"on_produce().require_header("id").route("dlq", "no id").audit();"#);
    assert_eq!(routes[1].to_string(), "route(dlq, no id)");
    assert!(matches!(actions("on_fetch().each(|cx, record| {});")[0], Action::Each(_)));
    assert_eq!(one("on_produce().audit();").kind, Kind::Security);
    assert!(one("on_produce().delay(\"1s\").observe();").observe);
}

#[test]
fn faults_are_read() {
    let fault = |text| match one(text).actions.remove(0) {
        Action::Fault(fault) => fault,
        other => panic!("{other}"),
    };
    let ms = Duration::from_millis;
    assert_eq!(fault(r#"on_produce().delay("5ms");"#), Fault::Delay(Distribution::Fixed(ms(5))));
    assert_eq!(
        fault(r#"on_produce().delay(uniform("5ms", "9ms"));"#),
        Fault::Delay(Distribution::Uniform { from: ms(5), to: ms(9) })
    );
    assert_eq!(
        fault(r#"on_connect().delay(normal("5ms", "9ms"));"#),
        Fault::Delay(Distribution::Normal { mean: ms(5), deviation: ms(9) })
    );
    assert_eq!(
        fault(r#"on_produce().delay(pareto("5ms", 2));"#),
        Fault::Delay(Distribution::Pareto { least: ms(5), shape: 2.0 })
    );
    let code = ErrorCode::NOT_LEADER_OR_FOLLOWER;
    assert_eq!(fault(r#"on_produce().fail("NOT_LEADER_OR_FOLLOWER");"#), Fault::Fail(code));
    assert_eq!(fault(r#"on_produce().fail_after("NOT_LEADER_OR_FOLLOWER");"#), Fault::FailAfter(code));
    assert_eq!(fault("on_produce().lose_request();"), Fault::LoseRequest);
    assert_eq!(fault("on_produce().lose_response();"), Fault::LoseResponse);
    assert_eq!(fault("on_produce().disconnect();"), Fault::Disconnect);
    use crate::policy::fault::link::{LinkFault, Way};
    let link = |action: &str| match one(&format!("on_connect().{action};")).actions.remove(0) {
        Action::Fault(Fault::Link(fault)) => fault,
        other => panic!("{other}"),
    };
    let ms = Duration::from_millis;
    for (action, wanted) in [
        ("close_after(\"bytes\", \"1KB\")", LinkFault::CloseAfterBytes(1024)),
        ("close_after(\"requests\", 3)", LinkFault::CloseAfterRequests(3)),
        ("half_open()", LinkFault::HalfOpen),
        ("blackhole()", LinkFault::Blackhole(Way::Both)),
        ("blackhole(\"up\")", LinkFault::Blackhole(Way::Up)),
        ("slow_close(\"5ms\")", LinkFault::SlowClose(ms(5))),
        ("stall(10)", LinkFault::Stall { after: 10, time: None, way: Way::Both }),
        ("stall(10, \"down\")", LinkFault::Stall { after: 10, time: None, way: Way::Down }),
        ("stall(10, \"5ms\", \"up\")", LinkFault::Stall { after: 10, time: Some(ms(5)), way: Way::Up }),
        ("latency(\"5ms\")", LinkFault::Latency(Distribution::Fixed(ms(5)), Way::Both)),
        ("bandwidth(\"1KB\")", LinkFault::Bandwidth { rate: 1024, burst: 0, way: Way::Both }),
        ("bandwidth(9, \"down\")", LinkFault::Bandwidth { rate: 9, burst: 0, way: Way::Down }),
        ("bandwidth(9, 5, \"up\")", LinkFault::Bandwidth { rate: 9, burst: 5, way: Way::Up }),
        ("fragment(5)", LinkFault::Fragment { size: 5, gap: ms(0), way: Way::Both }),
        ("fragment(5, \"9ms\", \"up\")", LinkFault::Fragment { size: 5, gap: ms(9), way: Way::Up }),
        ("corrupt_bytes(0.5, \"up\")", LinkFault::CorruptBytes(0.5, Way::Up)),
    ] {
        assert_eq!(link(action), wanted, "{action}");
    }
    assert_eq!(fault("on_connect().refuse();"), Fault::Refuse);
    assert_eq!(one("on_fetch().sessions(0.25).delay(\"1s\");").selectors.who.sessions, Some(0.25));
    assert_eq!(fault("on_connect().reset();"), Fault::Reset);
}

#[test]
fn a_script_may_use_the_language_to_make_rules() {
    let policy = load(
        r#"
        fn slow(topic) { on_fetch(topic).delay("1s"); }
        for n in 0..3 { slow(`orders-${n}`); }
        let rule = on_produce("x");
        rule.chance(0.5);
        rule.lose_request();
        "#,
    )
    .unwrap();
    assert_eq!(policy.rules.len(), 4);
    assert!(policy.rules[2].spec.selectors.topic_matches("orders-2"));
    assert_eq!(policy.rules[3].spec.triggers.chance, Some(0.5));
}

#[test]
fn on_unparsable_leaves_the_choice_of_earlier_masks_alone() {
    let rule = one(r#"on_fetch("t").mask("$.a", "all").on_unparsable("error")
               .remove_header("x").mask("$.b", "all").mask("$.c", "all").on_unparsable("pass").mask("$.d", "all");"#);
    let choices: Vec<OnUnparsable> = rule
        .actions
        .iter()
        .filter_map(|action| match action {
            Action::Edit(Edit::Mask(mask)) => Some(mask.on_unparsable),
            _ => None,
        })
        .collect();
    use OnUnparsable::*;
    assert_eq!(choices, [Error, Pass, Pass, Empty]);
}

#[test]
fn rules_have_lasting_names() {
    let names = |text: &str| load(text).unwrap().rules.into_iter().map(|r| r.name).collect::<Vec<_>>();
    let a = names(
        "on_produce(\"a\").deny(); on_produce( \"a\" )\n .deny(); on_produce(\"b\").deny().named(\"n\");",
    );
    assert_eq!(a[1], format!("{} #2", a[0]));
    assert_eq!(a[2], "n");
    let b = names("// other text\non_produce(\"a\").deny();");
    assert_eq!(a[0], b[0]);
    assert_ne!(names("on_produce(\"c\").deny();")[0], a[0]);
    let closures = names(
        "on_produce().when(|cx| cx.version > 1).deny(); on_produce().when(|cx| cx.version > 2).deny();",
    );
    assert!(closures[0].contains("cx.version > 1") && !closures[1].contains('#'));
}

#[test]
fn errors_say_where_and_why() {
    let error = load("policy(\"p\");\n\non_produce(\"a\")\n    .chance(2)\n    .deny();\n").unwrap_err();
    assert_eq!(
        error.to_string(),
        "policies/p.rhai:4:6: `chance` is between 0 and 1, not 2; five in a hundred is 0.05\n \
         4 |     .chance(2)\n   |      ^"
    );
    assert_refused("on_produce(\"a\"", "1:15", "Expecting ')'");
    assert_refused("let x = ;", "1:9", "");
    assert_refused("fn f() { on_produce().fail(\"NOPE\"); }\nf();", "1:23", "Kafka has no error \"NOPE\"");
}

#[test]
fn what_makes_no_sense_is_refused() {
    for (text, place, says) in [
        ("on_produce(\"a\");", "1:1", "has no action"),
        ("on_produce().deny().principal(\"x\");", "1:21", "before the first action"),
        ("on_fetch().delay(\"1s\").chance(0.5);", "1:24", "before the first action"),
        ("on_connect().principal(\"x\").deny();", "1:14", "no principal or client id exists yet"),
        ("on_connect().client_id(\"x\").reset();", "1:14", "no principal or client id exists yet"),
        ("on_request(\"Metadata\").key(\"x\").deny();", "1:24", "no records"),
        ("on_request(\"Metadata\").group(\"x\").deny();", "1:24", "Metadata name no groups"),
        ("on_request(\"Heartbeat\").topic(\"x\").deny();", "1:25", "Heartbeat name no topics"),
        ("on_produce().group(\"x\").deny();", "1:14", "names no group"),
        ("on_access(\"Write\").chance(0.5).deny();", "1:20", "does not depend on chance"),
        ("on_access(\"Write\").delay(\"1s\");", "1:20", "no action of on_access"),
        ("on_produce().allow();", "1:14", "no action of on_produce"),
        ("on_fetch().require_header(\"x\");", "1:12", "no action of on_fetch"),
        (
            "on_produce().latency(\"1s\");",
            "1:14",
            "`latency` is no action of on_produce; it is one of on_connect",
        ),
        ("on_connect().latency(\"2h\");", "1:14", "longer than"),
        (
            "on_connect().latency(\"1s\", \"sideways\");",
            "1:14",
            "goes \"up\" (from the client), \"down\" or \"both\"",
        ),
        ("on_connect().bandwidth(0);", "1:14", "nothing at all is `blackhole`"),
        ("on_connect().close_after(\"seconds\", 5);", "1:14", "counts \"bytes\" or \"requests\""),
        ("on_connect().close_after(\"requests\", 0);", "1:14", "at least 1"),
        ("on_connect().fragment(0);", "1:14", "at least 1"),
        ("on_connect().corrupt_bytes(1.5);", "1:14", "a probability above 0 and at most 1"),
        ("on_connect().slow_close(\"2h\");", "1:14", "at most"),
        ("on_fetch().half_open();", "1:12", "no action of on_fetch"),
        ("on_connect().sessions(0).refuse();", "1:14", "a share above 0"),
        ("on_access(\"Read\").sessions(0.5).deny();", "1:19", "nothing that on_access has"),
        ("on_connect().refuse().deny();", "1:23", "does not go with"),
        ("on_connect().fail(\"NOT_COORDINATOR\");", "1:14", "no action of on_connect"),
        ("on_disk().fail(\"NOT_COORDINATOR\");", "1:11", "no action of on_disk"),
        ("on_disk().deny();", "1:11", "no action of on_disk"),
        ("on_disk().principal(\"x\").disk_full();", "1:11", "nothing that on_disk has"),
        (
            "on_disk().operation(\"append\", \"synk\").disk_full();",
            "1:11",
            "no operation \"synk\"; did you mean \"sync\"?",
        ),
        ("on_disk().operation(\"sync\").disk_full();", "1:29", "happens at append; this rule is about sync"),
        (
            "on_disk().operation(\"append\").fsync_error();",
            "1:31",
            "happens at sync; this rule is about append",
        ),
        ("on_disk().operation(\"sync\").operation(\"read\").slow_disk(\"1s\");", "1:29", "stands once"),
        ("on_produce().operation(\"sync\").reset();", "1:14", "nothing that on_produce has"),
        ("on_disk().slow_disk(5);", "1:11", "wants a time"),
        ("on_disk().disk_full().fsync_error();", "1:23", "happens at sync; this rule is about append"),
        ("on_disk().crash_at(\"append\");", "1:11", "\"before\" the operation or \"after\" it"),
        ("on_produce().slow_disk(\"1s\");", "1:14", "no action of on_produce"),
        ("on_disk();", "1:1", "has no action"),
        ("on_broker().pause();", "1:13", "wants to know when"),
        ("on_broker().during(\"1s\", \"2s\").pause(\"1s\");", "1:32", "no action of on_broker"),
        ("on_broker().nth(2).pause();", "1:13", "nothing that on_broker has"),
        ("on_broker().during(\"1s\", \"2s\");", "1:1", "has no action"),
        ("on_produce().pause();", "1:14", "no action of on_produce"),
        ("on_produce().pause(\"0s\");", "1:14", "more than nothing"),
        ("on_connect().pause(\"1s\");", "1:14", "no action of on_connect"),
        ("on_produce().truncate_log(0);", "1:14", "at least 1"),
        ("on_request(\"Metadata\").truncate_log(1);", "1:24", "no action of on_request"),
        ("expires(\"1h\"); on_produce().deny();", "1:1", "security rule"),
        ("expires(\"1h\"); default_deny();", "1:1", "default_deny"),
        ("on_produce().deny().expires(\"1h\");", "1:21", "security rule"),
        ("on_produce().deny().delay(\"1s\");", "1:21", "protects or harms"),
        ("on_produce().audit().delay(\"1s\").mask(\"$.a\", \"all\");", "1:34", "protects or harms"),
        ("on_produce().principal(\"a\").principal(\"b\").deny();", "1:29", "stands once"),
        ("on_produce().chance(0.1).chance(0.2).reset();", "1:26", "stands once"),
        ("on_produce().chance(-1).reset();", "1:14", "between 0 and 1"),
        ("on_produce().every(0).reset();", "1:14", "at least 1"),
        ("on_produce().every(1.5).reset();", "1:14", "whole number"),
        ("on_produce().during(\"2s\", \"1s\").reset();", "1:14", "before a later"),
        ("on_produce().delay(\"soon\");", "1:14", "not a time"),
        ("on_produce().delay(5);", "1:14", "wants a time"),
        ("on_produce().delay(\"2h\");", "1:14", "longer than"),
        ("on_produce().fail(\"NOT_LEADER\");", "1:14", "Kafka has no error"),
        ("on_produce().fail(\"NONE\");", "1:14", "NONE is none"),
        ("on_request(\"Metadat\").deny();", "1:1", "did you mean \"Metadata\"?"),
        ("on_request(\"Envelope\").deny();", "1:1", "Envelope is spoken between brokers and controllers"),
        ("on_access(\"Wirte\").deny();", "1:1", "did you mean \"Write\"?"),
        ("on_request().deny();", "1:1", "is not used like this"),
        ("on_produce().from_ip(\"10.0.0.0/40\").deny();", "1:14", "not an address or a block"),
        ("on_produce().value(\"n\", 5).deny();", "1:14", "starts with `$`"),
        ("on_produce().value(\"$.n\", \"> many\").deny();", "1:14", "not a number"),
        ("on_produce().mask(\"$.n\", \"sometimes\");", "1:14", "\"all\", \"email\""),
        ("on_fetch().mask(\"$.email\", \"all\", \"demo-visitor.avsc\");", "1:12", "wants a schema"),
        (
            "on_fetch().mask(\"$.phone\", \"all\", schema(\"demo-visitor.avsc\"));",
            "1:12",
            "there is no such field",
        ),
        (
            "on_fetch().mask(\"$.city\", to_null(), schema(\"demo-visitor.avsc\"));",
            "1:12",
            "mask($.city, to_null()) by demo-visitor.avsc: $.city is a string",
        ),
        ("on_fetch().mask(\"$.city\", \"all\", schema(\"demo-shipment.json\"));", "1:12", "without a schema"),
        ("on_fetch().mask(\"key\", \"all\", schema(\"demo-visitor.avsc\"));", "1:12", "without one"),
        (
            "on_fetch().mask(\"$.city\", \"all\", schema(\"demo-visitor.avsc\")).mask(\"$.email\", \"all\");",
            "1:63",
            "takes the value for something else",
        ),
        (
            "on_fetch().decrypt(\"$.email\", secret(\"k\")).mask(\"$.city\", \"all\", schema(\"demo-visitor.avsc\"));",
            "1:44",
            "takes the value for something else",
        ),
        (
            "on_produce().mask(\"$.city\", \"all\", schema(\"demo-visitor.avsc\")).encrypt(\"$.email\", secret(\"k\"));",
            "1:65",
            "takes the value for something else",
        ),
        (
            "on_produce().encrypt(\"$.email\", secret(\"k\"), schema(\"demo-visitor.avsc\"));",
            "1:14",
            "is not used like this",
        ),
        (
            "on_fetch().decrypt(\"$.email\", secret(\"k\"), schema(\"demo-visitor.avsc\"));",
            "1:12",
            "is not used like this",
        ),
        ("on_produce().mask(\"n\", \"all\");", "1:14", "headers.<name>"),
        ("on_produce().mask(\"$.n\", pattern(\"(\", \"\"));", "1:26", "not a regular expression"),
        ("on_produce().mask(\"$.n\", hash(\"literal\"));", "1:26", "secret(\"name\")"),
        ("on_produce().deny().on_unparsable(\"empty\");", "1:21", "follows the masks"),
        (
            "on_produce().mask(\"$.n\", \"all\").on_unparsable(\"null\").on_unparsable(\"pass\");",
            "1:55",
            "follows the masks",
        ),
        ("on_produce().mask(\"$.n\", \"all\").on_unparsable(\"drop\");", "1:33", "none of"),
        ("on_produce().set_header(\"a\", \"{who}\");", "1:14", "{who}"),
        ("on_produce().deny().named(\"a\"); on_fetch().deny().named(\"a\");", "1:33", "named \"a\" already"),
        ("on_produce(5).deny();", "1:1", "wants a text, not 5"),
        ("policy(\"a b\");", "1:1", "not a name for a policy"),
        ("window(\"w\", \"1m\"); policy(\"a\");", "1:20", "before everything"),
        ("policy(\"a\"); policy(\"a\");", "1:14", "stands once"),
        ("seed(1); seed(2);", "1:10", "stands once"),
        ("mode(\"dry\");", "1:1", "no mode \"dry\""),
        ("window(\"w\", \"1m\"); window(\"w\", \"2m\");", "1:20", "60s long before"),
        ("test(\"a\", || {}); test(\"a\", || {});", "1:19", "a test \"a\" already"),
        ("produced(\"t\", \"v\");", "1:1", "belongs into a test"),
        ("on_produce().when(true).deny();", "1:14", "wants a closure"),
        ("on_produce().when(|| true).deny();", "1:", "one parameter"),
        ("on_produce().each(|record| {});", "1:", "two parameters"),
        ("undefined_thing;", "1:1", "undefined_thing"),
        ("on_fetch().duplicate_records();", "1:12", "no action of on_fetch"),
        ("on_request(\"Produce\").tombstone();", "1:23", "no action of on_request"),
        ("on_produce().poison(\"arsenic\");", "1:14", "no poison \"arsenic\""),
        ("on_produce().poison(\"schema_id\");", "1:14", "a whole number"),
        ("on_produce().poison(\"bad_utf8\", 1);", "1:14", "nothing more"),
        ("on_produce().corrupt_record(\"soul\");", "1:14", "\"checksum\" or a \"value\""),
        ("on_produce().oversize(\"65MB\");", "1:14", "values of 1 to 67108864 bytes"),
        ("on_produce().oversize(\"5 parsecs\");", "1:14", "a number of bytes"),
        ("on_produce().skew_timestamps(\"--1h\");", "1:14", "is not a time"),
        ("on_produce().delay(\"1s\").tombstone();", "1:26", "write two rules"),
        (
            "on_request(\"Fetch\").rebalance();",
            "1:21",
            "happens at Heartbeat, SyncGroup, OffsetCommit; this on_request",
        ),
        ("on_produce().leader_moves();", "1:14", "happens at Metadata"),
        ("on_request(\"Metadata\").topic(\"t\").broker_missing();", "1:35", "about the cluster"),
        ("on_request(\"Metadata\").wrong_address(\"h\", 99999);", "1:24", "a port up to 65535"),
        ("on_request(\"ApiVersions\").api_versions(\"Fech\");", "1:27", "did you mean \"Fetch\"?"),
        ("on_fetch().empty_fetch().delay(\"1s\");", "1:26", "write two rules"),
        ("on_fetch().duplicate_request();", "1:12", "no action of on_fetch"),
        ("on_produce().throttle(\"10us\");", "1:14", "this is none"),
        ("on_request(\"EndTxn\").rebalance();", "1:22", "happens at"),
        ("on_fetch().encrypt(\"$.a\", secret(\"k\"));", "1:12", "it is one of on_produce"),
        ("on_produce().decrypt(\"$.a\", secret(\"k\"));", "1:14", "it is one of on_fetch"),
        ("on_produce().encrypt(\"$.a\", \"k\");", "1:14", "a key: secret(\"name\")"),
        ("on_produce().encrypt(\"$.a\", []);", "1:14", "one to 16 keys"),
        ("on_produce().encrypt(\"$.a\", [secret(\"k\"), secret(\"k\")]);", "1:14", "named twice"),
        ("on_produce().encrypt(\"key\", secret(\"k\"));", "1:14", "works on values"),
        ("on_produce().encrypt(\"headers.a\", secret(\"k\"));", "1:14", "works on values"),
        ("on_produce().encrypt(\"$.\", secret(\"k\"));", "1:14", "is wrong at column"),
        ("on_produce().encrypt(\"$.a\");", "1:14", "is not used like this"),
        (
            "on_fetch().decrypt(\"$.a\", secret(\"k\")).on_unparsable(\"pass\");",
            "1:",
            "follows the masks and enc",
        ),
        ("on_produce().api_version(\"> 100\").deny();", "1:14", "there are Produce 3 to 13"),
        ("on_produce().api_version(\"new\").deny();", "1:14", "a comparison such as"),
        ("on_produce().api_version(4, \"> 5\").deny();", "1:14", "or ranges such as 0..4"),
        ("on_produce().api_version(4).api_version(5).deny();", "1:29", "stands once"),
        ("on_connect().api_version(4).reset();", "1:14", "nothing that on_connect has"),
        ("on_produce().broker(-1).deny();", "1:14", "wants node ids or ranges"),
        ("on_produce().quota(\"1MB\", \"ip\");", "1:14", "is no quota; write for example"),
        ("on_produce().quota(\"1 parsec/s\", \"ip\");", "1:14", "is no quota"),
        ("on_produce().quota(\"5/s\", \"ip\");", "1:14", "is no quota"),
        ("on_produce().quota(\"0 records/s\", \"ip\");", "1:14", "is `deny()`"),
        ("on_produce().quota(\"1MB/s\");", "1:14", "is not used like this"),
        ("on_produce().quota(\"1MB/s\", \"principle\");", "1:14", "did you mean \"principal\"?"),
        ("on_request(\"Metadata\").quota(\"1MB/s\", \"ip\");", "1:24", "on_request counts requests"),
        ("on_request(\"Metadata\").quota(\"1 requests/s\", \"topic\");", "1:24", "not per topic"),
        ("on_connect().quota(\"1 requests/s\", \"ip\");", "1:14", "no action of on_connect"),
        ("on_produce().key(\"a\").quota(\"1MB/s\", \"ip\");", "1:23", "cannot choose single records"),
        ("on_produce().every(2).quota(\"1MB/s\", \"ip\");", "1:23", "has no trigger"),
        ("on_produce().quota(\"1MB/s\", \"ip\").deny();", "1:35", "write two rules"),
        ("on_produce().quota(\"1MB/s\", \"ip\").delay(\"1s\");", "1:35", "protects or harms"),
        ("on_request(\"SaslHandshake\").sasl_fail();", "1:29", "happens at SaslAuthenticate"),
        ("on_request(\"SaslHandshake\").sasl_fail(\"PLAN\");", "1:29", "did you mean \"PLAIN\"?"),
        (
            "on_request(\"SaslHandshake\").principal(\"User:a\").sasl_fail(\"PLAIN\");",
            "1:49",
            "before anybody is a principal",
        ),
        ("on_connect().sasl_fail();", "1:14", "happens at SaslAuthenticate"),
        ("on_request(\"SaslAuthenticate\").sasl_expire(\"1us\");", "1:32", "a millisecond"),
        ("on_produce().hold_until(\"Heartbeat\");", "1:14", "is not used like this"),
        ("on_produce().hold_until(\"group\", \"1s\");", "1:14", "waits for one api"),
        ("on_produce().hold_until(\"Hartbeat\", \"1s\");", "1:14", "did you mean \"Heartbeat\"?"),
        ("on_produce().hold_until(\"SaslAuthenticate\", \"1s\");", "1:14", "that goes to the broker"),
        ("on_produce().hold_until(\"Heartbeat\", \"2h\");", "1:14", "of at most"),
        ("on_fetch().hold_until(\"Heartbeat\", \"1s\");", "1:12", "no action of on_fetch"),
        ("on_request(\"SaslAuthenticate\").hold_until(\"Heartbeat\", \"1s\");", "1:32", "cannot be held"),
        ("on_fetch().stale_metadata(\"1s\");", "1:12", "happens at Metadata"),
        ("on_request(\"Metadata\").stale_metadata(\"0s\");", "1:24", "is not stale"),
        ("counter(\"\");", "1:1", "a counter has a name"),
        ("counter(5);", "1:1", "wants a text"),
        ("shared_map(\"m\", 5);", "1:1", "is not used like this"),
        ("window(\"w\", \"1m\"); counter(\"w\"); window(\"w\", \"2m\");", "1:34", "60s long before"),
        ("on_create().limit(#{});", "1:13", "limits nothing"),
        ("on_create().limit(12);", "1:13", "wants limits such as"),
        ("on_create().limit(#{ partition: 12 });", "1:13", "did you mean \"partitions\"?"),
        ("on_create().limit(#{ partitions: 0 });", "1:13", "no number of partitions"),
        ("on_create().limit(#{ partitions: \"12\" });", "1:13", "a range such as 1..=3"),
        ("on_create().limit(#{ replication: 3..3 });", "1:13", "no number of replication"),
        ("on_create().limit(#{ names: [] });", "1:13", "at least one text"),
        ("on_create().limit(#{ names: \"/(/\" });", "1:13", "not a regular expression"),
        ("on_create().limit(#{ names: [\"/a/\", \"b\"] });", "1:13", "stands alone"),
        ("on_create().limit(#{ configs: [\"a\"] });", "1:13", "wants a map"),
        ("on_create().limit(#{ configs: #{ a: \"<= many\" } });", "1:13", "not a number"),
        ("on_create().limit(#{ configs: #{ a: [\"<= 5\", \"x\"] } });", "1:13", "stands alone"),
        ("on_create().limit(#{ configs: #{ a: () } });", "1:13", "wants texts"),
        ("on_create().limit(#{ required_configs: [\"a*\"] });", "1:13", "is a pattern"),
        ("on_create().chance(0.5).limit(#{ partitions: 1 });", "1:13", "does not depend on chance"),
        ("on_create().limit(#{ partitions: 1 }).delay(\"1s\");", "1:39", "no action of on_create"),
        ("on_create().deny();", "1:13", "no action of on_create"),
        ("on_request(\"CreateTopics\").limit(#{ partitions: 1 });", "1:28", "it is one of on_create"),
        ("on_produce().drop_records().tombstone();", "1:29", "stands before it"),
        ("on_produce().validate(\"demo-shipment.json\");", "1:14", "wants a schema"),
        ("on_produce().validate(schema(\"none.json\"));", "1:23", "there is no "),
        (
            "on_produce().validate(schema(\"demo-shipment.json\", #{ frame: true }));",
            "1:23",
            "did you mean \"framed\"?",
        ),
        ("schema(\"demo-visitor.avsc\", #{ ids: [7] });", "1:1", "`framed: true` belongs to it"),
        ("schema(\"demo-visitor.avsc\", #{ framed: true, ids: [] });", "1:1", "a registry's ids"),
        ("schema(\"demo-visitor.avsc\", #{ framed: true, ids: [-1] });", "1:1", "a registry's ids"),
        ("on_fetch().validate(schema(\"demo-shipment.json\"));", "1:12", "no action of on_fetch"),
        ("on_connect().tls_fail();", "1:14", "it is .tls_fail("),
        ("on_connect().tls_fail(\"unknown_cb\");", "1:14", "did you mean \"unknown_ca\"?"),
        ("on_connect().tls_fail(\"untrusted\", 1);", "1:14", "takes nothing more"),
        ("on_connect().tls_fail(\"certificate\");", "1:14", "the certificate in this secret"),
        ("on_connect().tls_fail(\"certificate\", \"c\");", "1:14", "a certificate and its key as PEM"),
        ("on_produce().tls_fail(\"untrusted\");", "1:14", "it is one of on_connect"),
        ("on_fetch().route(\"dlq\");", "1:12", "no action of on_fetch"),
        ("on_produce().route(\"a b\");", "1:14", "no name of a topic"),
        ("on_produce().route(\"a\").route(\"b\");", "1:25", "stands once in a rule"),
        ("on_produce().deny().route(\"a\");", "1:14", "one refuses, the other takes in"),
        ("on_produce().route(\"a\").require_header(\"h\");", "1:25", "stands before `route`"),
        ("on_produce().route(\"a\").delay(\"1s\");", "1:25", "write two rules"),
    ] {
        let said = refused(text);
        assert!(said.starts_with(place) && said.contains(says), "{text}\n  says {said}");
    }
}

#[test]
fn words_of_later_versions_are_refused_by_name() {
    assert_refused("broker_down(1);", "1:1", "is not available yet");
}

#[test]
fn a_script_has_no_way_out() {
    for (text, says) in [
        ("eval(\"1\");", "not there"),
        ("import \"x\" as y;", "not there"),
        ("sleep(1);", "no clock"),
        ("timestamp();", "no clock"),
        ("rand();", "no random"),
        ("open_file(\"/etc/passwd\");", "no files"),
    ] {
        let said = refused(text);
        assert!(said.contains(says), "{text}: {said}");
    }
}

#[test]
fn runs_are_bounded() {
    for (text, says) in [
        ("loop {}", "too many operations"),
        ("fn f(n) { f(n + 1) } f(0);", "too deeply"),
        ("let s = \"x\"; loop { s += s; }", "too large"),
        ("let a = []; loop { a.push(1); }", "too large"),
        // maps grow by assignment one entry an operation
        ("let m = #{}; let i = 0; loop { m[i.to_string()] = 1; i += 1; }", "was stopped"),
        ("let a = []; a.pad(1000000000, 1);", "too large"),
        ("let s = \"x\"; s.pad(1000000000, \"y\");", "too large"),
    ] {
        let said = refused(text);
        assert!(said.to_lowercase().contains(says), "{text}: {said}");
    }
    let deep = format!("let x = {}1{};", "(".repeat(200), ")".repeat(200));
    assert!(refused(&deep).contains("maximum complexity"), "{}", refused(&deep));
    let long = format!("//{}", "x".repeat(SCRIPT_BYTES));
    assert!(refused(&long).contains("longer than"));
}

#[test]
fn recursion_to_the_limit_fits_a_small_stack() {
    let run = || {
        let deep = "((((((((x))))))))";
        let text = format!("fn f(x) {{ if true {{ if true {{ [f({deep} + 1)] }} }} }} f(0);");
        refused(&text)
    };
    let said = std::thread::Builder::new().stack_size(2 << 20).spawn(run).unwrap().join().unwrap();
    assert!(said.contains("too deeply"), "{said}");
}

#[test]
fn changing_a_captured_variable_is_refused_where_it_is_seen() {
    for (text, place) in [
        ("let n = 0;\non_produce().each(|cx, record| { n += 1; });", "2:34"),
        ("let n = 0;\non_produce().when(|cx| { n = 1; true }).deny();", "2:26"),
        ("let m = #{};\non_produce().each(|cx, record| { m.a = 1; });", "2:34"),
        ("let m = #{};\non_produce().each(|cx, record| { if true { m[\"a\"] = 1; } });", "2:44"),
        ("let a = [];\non_produce().each(|cx, record| { a.push(1); });", "2:34"),
    ] {
        let said = refused(text);
        assert!(said.contains("which it captured"), "{text}: {said}");
        assert_eq!(said.split(": ").next(), Some(place), "{text}");
    }
    load("let n = 0; on_produce().each(|cx, record| { let n = 5; n += 1; });").unwrap();
    // the variables of one closure are none of another
    let two = "let n = 0;\non_produce().each(|cx, record| { n += 1; });\non_produce().each(|cx, record| { let n = 1; });";
    assert!(refused(two).starts_with("2:34: "), "{}", refused(two));
    load("let n = 5; on_produce().each(|cx, record| { if n > 5 { cx.deny() } }); fn f(n) { n += 1; n }")
        .unwrap();
    load("let n = 5; on_produce().each(|cx, record| { if record.size > n { cx.deny(\"big\") } });").unwrap();
}

#[test]
fn misspelt_members_are_refused_at_load() {
    assert_refused(
        "on_produce().each(|cx, record| { record.vlaue(\"$.a\") });",
        "1:41",
        "did you mean \"value\"?",
    );
    assert_refused(
        "on_produce().when(|cx| cx.princpal == \"x\").deny();",
        "1:27",
        "did you mean \"principal\"?",
    );
    load("on_produce().when(|cx| cx.version > 3).deny(); fn f(cx) { cx.total }").unwrap();
}
