//! Faults of the connection: which sessions are given them, and what is written down.

use super::*;
use crate::policy::fault::link::{LinkFault, Way};
use crate::policy::fault::tls::TlsFault;
use crate::policy::rule::Kind;
use crate::policy::verdict::ConnectVerdict;

fn connect(world: &World, last: u8) -> ConnectVerdict {
    on_connect(&world.generation(), plain("public"), [10, 0, 0, last].into(), 1).unwrap_or_default()
}

#[test]
fn a_session_is_given_all_that_rules_say_in_their_order() {
    let world = one(r#"policy("net"); expires("1h");
        on_connect().from_ip("10.0.0.1").latency("5ms", "up").fragment(3).named("slow");
        on_connect().half_open().named("dead");
        on_connect().observe().blackhole().named("watched");"#);
    let words = |verdict: &ConnectVerdict| verdict.links.iter().map(|l| l.fault.word()).collect::<Vec<_>>();
    assert_eq!(words(&connect(&world, 1)), ["latency", "fragment", "half_open"]);
    let lines = world.journal();
    let told: Vec<_> = lines
        .iter()
        .map(|line| [&line["rule"], &line["fault"], &line["parameter"]].map(|v| v.as_str().unwrap_or("")))
        .collect();
    assert_eq!(
        told,
        [
            ["slow", "latency", "5ms, up"],
            ["slow", "fragment", "3, 0ns, both"],
            ["dead", "half_open", ""],
            ["watched", "blackhole", "both"],
        ]
    );
    assert_eq!((lines[0]["when"].as_str(), lines[3]["observed"].as_bool()), (Some("before"), Some(true)));
    let others = connect(&world, 2);
    assert_eq!(words(&others), ["half_open"]);
    let rule = &others.links[0].rule;
    assert_eq!((rule.name.as_str(), rule.life.counters.read()), ("dead", (2, 2, 0)));
}

#[test]
fn what_a_session_draws_is_its_own_and_the_same_again() {
    let script = r#"policy("net"); seed(5); on_connect().corrupt_bytes(0.5).corrupt_bytes(0.5);"#;
    let draws = |world: &World| -> Vec<u64> {
        let links = (0..2).flat_map(|_| connect(world, 1).links);
        links.map(|mut link| link.draws.next_u64()).collect()
    };
    let first = draws(&one(script));
    assert_eq!(first, draws(&one(script)));
    let different: BTreeSet<_> = first.iter().collect();
    assert_eq!(different.len(), 4, "of two sessions, for two faults each");
}

#[test]
fn a_share_of_the_sessions_is_chosen_one_by_one_where_they_begin() {
    let script = r#"policy("net"); seed(5); on_connect().sessions(0.3).refuse();"#;
    let chosen = |world: &World| (0..500).map(|_| connect(world, 1).end.is_some()).collect::<Vec<_>>();
    let world = one(script);
    let first = chosen(&world);
    assert_eq!(first, chosen(&one(script)));
    let share = first.iter().filter(|chosen| **chosen).count();
    assert!((100..200).contains(&share), "{share} of 500");
    let matched = world.generation().policies[0].rules[0].life.counters.read().0;
    assert_eq!(matched as usize, share, "a selector: others do not match");
}

#[test]
fn a_share_of_the_clients_is_chosen_for_good_elsewhere() {
    let world = one(r#"policy("net"); seed(5); on_produce("t").sessions(0.3).fail("UNKNOWN_SERVER_ERROR");"#);
    let fails = |id: &str| !world.produce(&client("User:x", id), &[("t", "v")]).parts.is_empty();
    let ids: Vec<String> = (0..200).map(|n| format!("client-{n}")).collect();
    let first: Vec<bool> = ids.iter().map(|id| fails(id)).collect();
    assert_eq!(first, ids.iter().map(|id| fails(id)).collect::<Vec<_>>());
    let share = first.iter().filter(|chosen| **chosen).count();
    assert!((35..90).contains(&share), "{share} of 200");
}

#[test]
fn a_refused_session_is_given_nothing_more() {
    let world = one(r#"policy("net"); on_connect().refuse(); on_connect().latency("1s");"#);
    let verdict = connect(&world, 1);
    assert_eq!((verdict.end, verdict.links.len()), (Some(crate::policy::verdict::End::Reset), 0));
    let fault = LinkFault::Stall { after: 6, time: None, way: Way::Down };
    assert_eq!(fault.to_string(), "stall(6, down)");
}

#[test]
fn a_handshake_fails_where_there_is_one() {
    let world = one(r#"policy("net"); expires("1h");
        on_connect().observe().tls_fail("unknown_ca").named("watched");
        on_connect().every(2).tls_fail("untrusted").named("second");
        on_connect().tls_fail("certificate_expired").named("others");"#);
    let generation = world.generation();
    let ask = |tls| on_connect(&generation, Entered { name: "public", tls }, [10, 0, 0, 1].into(), 1);
    assert_eq!(ask(false), None);
    assert!(world.journal().is_empty(), "what cannot be done is not told as done");
    let faults: Vec<_> = (0..3).map(|_| ask(true).and_then(|verdict| verdict.tls)).collect();
    let expired = TlsFault::from_name("certificate_expired");
    // the session without TLS is none of those that are counted
    assert_eq!(faults, [expired.clone(), Some(TlsFault::Untrusted), expired]);
    let lines = world.journal();
    let told = lines.iter().map(|line| line["parameter"].as_str().unwrap()).collect::<Vec<_>>();
    const EXPIRED: &str = "\"certificate_expired\"";
    let seen = "\"unknown_ca\"";
    assert_eq!(told, [seen, EXPIRED, seen, "\"untrusted\"", seen, EXPIRED]);
    let counts = generation.rules(Kind::Chaos).map(|rule| rule.life.counters.read()).collect::<Vec<_>>();
    assert_eq!(counts, [(4, 3, 1), (4, 1, 1), (3, 2, 1)]);
}

#[test]
fn answers_are_not_counted_in_what_is_encrypted() {
    let world = one(r#"policy("net"); expires("1h"); on_connect().close_after("requests", 3);"#);
    let generation = world.generation();
    let ask = |tls| on_connect(&generation, Entered { name: "public", tls }, [10, 0, 0, 1].into(), 1);
    assert_eq!(ask(true), None);
    assert_eq!(ask(false).unwrap().links.len(), 1);
    let counts = generation.rules(Kind::Chaos).map(|rule| rule.life.counters.read()).collect::<Vec<_>>();
    assert_eq!(counts, [(2, 1, 1)]);
}
