use super::*;
use crate::policy::replay::Replay;
use crate::wire::api::{sasl_authenticate, sasl_handshake};
use std::time::Duration;

fn login(world: &World, principal: &str) -> Verdict {
    world.ask(&who(principal), &mut request(2, sasl_authenticate::Request::default()))
}

fn choose(world: &World, mechanism: &str) -> Verdict {
    let body = sasl_handshake::Request { mechanism: mechanism.into(), ..Default::default() };
    world.ask(&who("User:ANONYMOUS"), &mut request(1, body))
}

#[test]
fn logins_are_refused_counted_and_written_down() {
    let world = one("on_request(\"SaslAuthenticate\").principal(\"User:a\").every(2).sasl_fail();");
    let codes: Vec<_> = (0..4).map(|_| login(&world, "User:a").whole).collect();
    let failed = Some(ErrorCode::SASL_AUTHENTICATION_FAILED);
    assert_eq!(codes, [None, failed, None, failed]);
    assert_eq!(login(&world, "User:b").whole, None);
    assert_eq!(world.counts(0), (4, 2, 0));
    let journal = world.journal();
    assert_eq!(
        (journal.len(), &journal[0]["fault"], &journal[0]["when"]),
        (2, &"sasl_fail".into(), &"before".into())
    );
}

#[test]
fn a_mechanism_is_refused_and_others_are_not_even_looked_at() {
    let world = one("on_request(\"SaslHandshake\", \"SaslAuthenticate\").sasl_fail(\"PLAIN\");");
    assert_eq!(choose(&world, "PLAIN").whole, Some(ErrorCode::UNSUPPORTED_SASL_MECHANISM));
    assert_eq!(choose(&world, "SCRAM-SHA-256").whole, None);
    assert_eq!(choose(&world, "nonsense").whole, None);
    assert_eq!(login(&world, "User:a").whole, None);
    assert_eq!(world.counts(0), (1, 1, 0));
}

#[test]
fn a_login_is_good_for_the_shortest_of_the_times() {
    let world = one("on_request(\"SaslAuthenticate\").sasl_expire(\"9s\"); \
                     on_request(\"SaslAuthenticate\").sasl_expire(\"5s\").named(\"short\"); \
                     on_request(\"SaslAuthenticate\").sasl_expire(\"7s\");");
    let verdict = login(&world, "User:a");
    let hold = verdict.lifetime.clone().unwrap();
    assert_eq!((hold.delay, hold.rule.name.as_str()), (Duration::from_secs(5), "short"));
    assert_eq!(verdict, Verdict { lifetime: Some(hold), ..Verdict::default() });
    assert_eq!(world.journal()[1]["parameter"], "5s");
}

#[test]
fn observed_they_do_nothing() {
    let world = one("mode(\"observe\"); on_request(\"SaslAuthenticate\").sasl_fail(); \
                     on_request(\"SaslAuthenticate\").sasl_expire(\"5s\"); \
                     on_request(\"SaslHandshake\").sasl_fail(\"PLAIN\");");
    assert!(login(&world, "User:a").is_pass() && choose(&world, "PLAIN").is_pass());
    assert_eq!([0, 1, 2].map(|at| world.counts(at)), [(1, 1, 0); 3]);
    assert!(world.journal().iter().all(|line| line["observed"] == true));
}

#[test]
fn a_replay_refuses_the_same_logins() {
    let text = "on_request(\"SaslAuthenticate\").chance(0.3).sasl_fail();";
    let run = |world: &World| (0..40).map(|_| login(world, "User:a").whole.is_some()).collect::<Vec<_>>();
    let first = one(text);
    let before = run(&first);
    assert!(before.contains(&true) && before.contains(&false));
    let journal: String = first.journal().iter().map(|line| format!("{line}\n")).collect();
    let replay = Some(Replay::read(journal.as_bytes()).unwrap());
    let again = world_with(&[("p", text)], Settings { forced_seed: Some(99), replay, ..Settings::default() });
    assert_eq!(run(&again), before);
    let other = world_with(&[("p", text)], Settings { forced_seed: Some(99), ..Settings::default() });
    assert_ne!(run(&other), before, "it draws otherwise by itself");
}

#[test]
fn of_equal_times_the_first_rule_has_it() {
    let world = one("on_request(\"SaslAuthenticate\").sasl_expire(\"5s\").named(\"first\"); \
                     on_request(\"SaslAuthenticate\").sasl_expire(\"5s\").named(\"second\");");
    assert_eq!(login(&world, "User:a").lifetime.unwrap().rule.name, "first");
}
