use super::*;

const RULES: &str = r#"policy("p", "x");
    let c = counter("c");
    let m = shared_map("m");
    on_produce().each(|cx, record| {
        if c.count("all") >= 4 { return cx.deny("enough"); }
        c.add("all");
        m.set("last", record.value());
        if record.value() == "bad" { cx.deny("bad"); }
    });
    on_produce("closed").deny();
"#;

#[test]
fn a_refused_batch_leaves_counters_and_maps_unchanged() {
    let world = one(&format!("{RULES} on_produce(\"lost\").lose_request();"));
    let state = &world.policies.shared().state;
    let seen = || (state.counter("p", "c").count(b"sall"), state.shared_map("p", "m").get(b"slast"));
    let produce = |topic: &str, values: &[&str], offset| {
        world.ask(&who("User:a"), &mut producing_payloads(&[(topic, batch(values, offset))], -1))
    };
    assert_eq!(codes(&produce("t", &["one", "bad"], 0)), [Some(ErrorCode::INVALID_RECORD)]);
    assert_eq!(seen(), (0, serde_json::Value::Null));
    produce("closed", &["one"], 1);
    produce("lost", &["one"], 2);
    assert_eq!(seen(), (0, serde_json::Value::Null), "what is not executed does not count");
    assert!(produce("t", &["one", "two"], 3).is_pass());
    assert_eq!(seen(), (2, "two".into()));
    assert!(produce("t", &["three", "four"], 4).is_pass());
    assert_eq!(codes(&produce("t", &["five"], 5)), [Some(ErrorCode::INVALID_RECORD)]);
    assert_eq!(seen(), (4, "four".into()));
}

#[test]
fn a_closure_has_acted_when_it_denied_or_changed_something() {
    let world = one(r#"policy("p", "x");
        let w = window("w", "1m");
        let c = counter("c");
        let m = shared_map("m");
        on_produce().each(|cx, record| {
            switch record.value() {
                "window" => w.add("k"),
                "counter" => c.add("k"),
                "map" => m.set("k", 1),
                "deny" => cx.deny("no"),
                "taken back" => { w.add("k"); cx.deny("no"); },
                _ => { w.count("k"); m.get("k"); },
            }
        });"#);
    let values = ["read", "window", "counter", "map", "deny", "taken back", "read"];
    for ((n, value), applied) in (1..).zip(values).zip([0, 1, 2, 3, 4, 5, 5]) {
        world.produce(&who("User:a"), &[("t", value)]);
        assert_eq!(world.counts(0), (n, applied, 0), "{value}");
    }
}

#[test]
fn counters_and_maps_survive_reloads_as_long_as_their_policy_names_them() {
    let world = one(RULES);
    let state = Arc::clone(&world.policies.shared().state);
    let count = || state.counter("p", "c").count(b"sall");
    world.produce(&who("User:a"), &[("t", "v")]);
    world.load(&[("p", &format!("{RULES} // more")), ("other", "counter(\"c\");")]);
    world.produce(&who("User:a"), &[("t", "w")]);
    assert_eq!((count(), state.shared_map("p", "m").get(b"slast")), (2, "w".into()));
    assert_eq!(state.counter("other", "c").count(b"sall"), 0, "of another policy");
    world.load(&[("p", "policy(\"p\", \"x\"); counter(\"c\");")]);
    assert_eq!((count(), state.shared_map("p", "m").get(b"slast")), (2, serde_json::Value::Null));
    world.load(&[]);
    assert_eq!(count(), 0);
}

#[test]
fn a_rule_can_be_about_versions_of_an_api_and_about_a_broker() {
    for (selector, fires) in [
        (".api_version(12)", true),
        (".api_version(9..12)", false),
        (".api_version(9..=12)", true),
        (".api_version(3, [7, 12])", true),
        (".api_version(\">= 12\")", true),
        (".api_version(\"> 12\")", false),
        (".api_version(\"!= 12\")", false),
        (".broker(1)", true),
        (".broker(2..=9)", false),
        (".broker(0, 1)", true),
    ] {
        let world = one(&format!("on_produce(){selector}.deny();"));
        let verdict = world.produce(&who("User:a"), &[("t", "v")]);
        assert_eq!(verdict.refused, fires, "{selector}");
    }
    let settings = || Settings { node_id: 7, ..Settings::default() };
    let world =
        world_with(&[("p", "on_produce().broker(7).deny(); on_connect().broker(6).reset();")], settings());
    assert!(world.produce(&who("User:a"), &[("t", "v")]).refused);
    let connect = |world: &World| on_connect(&world.generation(), plain("l"), [127, 0, 0, 1].into(), 1);
    assert_eq!(connect(&world), None);
    let world = world_with(&[("p", "on_connect().broker(7).reset();")], settings());
    assert!(connect(&world).unwrap().end.is_some());
}
