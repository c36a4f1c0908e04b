//! What is decided about a session before its first byte, and what is written down of it.

use super::*;
use crate::policy::verdict::ConnectVerdict;

fn connect(world: &World) -> ConnectVerdict {
    on_connect(&world.generation(), plain("public"), [10, 0, 0, 1].into(), 5).unwrap_or_default()
}

/// [rule, decision, reason, observed, address, listener, api] of each line.
fn told(world: &World) -> Vec<[String; 7]> {
    let fields = ["rule", "decision", "reason", "observed", "address", "listener", "api"];
    let text = |value: &serde_json::Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let lines = world.audit();
    for line in &lines {
        assert_eq!(
            (&line["session"], &line["correlation_id"]),
            (&5.into(), &(-1).into()),
            "no request is there"
        );
    }
    lines.iter().map(|line| fields.map(|field| text(&line[field]))).collect()
}

#[test]
fn refused_sessions_are_written_down_and_only_what_is_enforced_refuses() {
    for (rule, denies, decision, reason, observed) in [
        (r#"on_connect().deny("closed")"#, true, "deny", "closed", "null"),
        (r#"on_connect().deny()"#, true, "deny", "null", "null"),
        (r#"on_connect().observe().deny("closed")"#, false, "deny", "closed", "true"),
        (r#"on_connect().audit()"#, false, "audit", "null", "null"),
        (r#"on_connect().observe().audit()"#, false, "audit", "null", "true"),
    ] {
        let world = one(&format!("{rule}.named(\"r\");"));
        assert_eq!(connect(&world).deny, denies, "{rule}");
        assert_eq!(
            told(&world),
            [["r", decision, reason, observed, "10.0.0.1", "public", "connect"]],
            "{rule}"
        );
        assert_eq!(world.counts(0), (1, 1, 0), "{rule}");
    }
}

#[test]
fn a_condition_of_a_session_sees_where_it_comes_in_and_from() {
    let world = one(r#"on_connect().when(|cx| cx.listener == "public" && cx.ip == "10.0.0.1"
        && cx.api == "connect").deny();"#);
    assert!(connect(&world).deny);
    let world = one(r#"on_connect().when(|cx| cx.ip.nonsense()).deny().named("r");"#);
    assert!(connect(&world).deny, "what fails refuses");
    let [line] = &*told(&world) else { panic!("one line") };
    assert_eq!((&*line[0], &*line[1]), ("r", "error"));
    assert_eq!(world.counts(0), (0, 0, 1));
}

#[test]
fn a_session_is_refused_when_its_trigger_says_so() {
    let world = one(r#"on_connect().every(2).deny();"#);
    assert_eq!([(); 4].map(|()| connect(&world).deny), [false, true, false, true]);
}

#[test]
fn delays_of_sessions_add_up_and_each_is_held_by_its_own_rule() {
    let world = one(r#"on_connect().delay("2s"); on_connect().delay("3s");"#);
    let verdict = connect(&world);
    let second = std::time::Duration::from_secs(1);
    assert_eq!(verdict.delay, 5 * second);
    assert_eq!(verdict.holds.iter().map(|hold| hold.delay).collect::<Vec<_>>(), [2 * second, 3 * second]);
    let lines = world.journal();
    let told: Vec<_> = lines.iter().map(|line| (&line["fault"], &line["correlation_id"])).collect();
    assert_eq!(told, [(&"delay".into(), &(-1).into()), (&"delay".into(), &(-1).into())]);
}

#[test]
fn only_a_storm_in_force_breaks_sessions() {
    for (rule, breaks) in [
        (r#"on_connect().storm();"#, Some(true)),
        (r#"on_connect().observe().storm();"#, None),
        (r#"on_connect().delay("1s");"#, None),
    ] {
        let verdict = connect(&one(rule));
        assert_eq!(verdict.storms.first().map(|storm| storm.breaks), breaks, "{rule}");
    }
}
