//! Whether rules can be meant as they stand: those that can never match or fire, or that another decides before.
//! A finding is certain; what depends on the data is left alone.

use crate::policy::error::LoadError;
use crate::policy::generation::{Generation, LoadedPolicy};
use crate::policy::glob::Patterns;
use crate::policy::rule::{Action, Head, Kind, Rule};
use crate::policy::selector::{Comparison, RecordSelector, Selectors, Test};
use crate::policy::trigger::Triggers;
use std::sync::Arc;
use std::time::Duration;

/// Looks for rules that cannot be meant: each finding stands at its rule.
pub fn check(generation: &Generation) -> Vec<LoadError> {
    let mut found = Vec::new();
    let denies = generation.policies.iter().any(|p| p.default_deny.is_some());
    let mut met: Vec<&Arc<Rule>> = Vec::new();
    for policy in &generation.policies {
        for rule in &policy.rules {
            let mut say = |what: String| found.push(at(policy, rule, what));
            if rule.kind == Kind::Chaos && end(rule).is_none() {
                say("a fault without an end: give the policy or the rule an `expires(\"30m\")`".into());
            }
            if rule.kind == Kind::Security && rule.selectors.who.client_id.is_some() {
                say("a security rule that rests on the client id, which any client may choose".into());
            }
            if matches!(rule.head, Head::Access(_)) && rule.has(|a| *a == Action::Allow) && !denies {
                say("an allow that changes nothing: there is no default_deny()".into());
            }
            never_fires(rule).into_iter().for_each(&mut say);
            never_matches(&rule.selectors).into_iter().for_each(&mut say);
            if let Some(first) = met.iter().find(|earlier| shadows(earlier, rule)) {
                say(format!("it is never reached: {} decides all of it before", first.written_at()));
            }
            if let Some(first) = met.iter().find(|earlier| says_the_same(earlier, rule)) {
                say(format!("it says again what {} says", first.written_at()));
            }
            met.push(rule);
        }
    }
    found
}

fn at(policy: &LoadedPolicy, rule: &Rule, what: String) -> LoadError {
    LoadError::at(&policy.info.file, &policy.info.text, rule.place, what)
}

/// When a rule ends by itself.
fn end(rule: &Rule) -> Option<Duration> {
    rule.expires.or(rule.policy.expires)
}

/// Why its triggers can never hold.
fn never_fires(rule: &Rule) -> Option<String> {
    let triggers = &rule.triggers;
    if triggers.chance.is_some_and(|p| p <= 0.0) {
        return Some("it never fires: its chance is 0".into());
    }
    let (from, to) = triggers.during?;
    if from >= to {
        return Some("it never fires: its `during` ends before it begins".into());
    }
    let end = end(rule).filter(|end| from >= *end)?;
    Some(format!("it never fires: it begins after {from:?}, and has expired after {end:?}"))
}

/// Why its selectors can never hold.
fn never_matches(selectors: &Selectors) -> Option<String> {
    let who = &selectors.who;
    let lists = [
        ("groups", &selectors.groups),
        ("transactional ids", &selectors.transactional_ids),
        ("principals", &who.principal),
        ("client ids", &who.client_id),
        ("listeners", &who.listener),
    ];
    let never = |list: &Patterns| list.is_never();
    if selectors.topics.iter().any(never) || excludes_itself(selectors) {
        return Some("it never matches: its topics exclude all that they name".into());
    }
    if let Some((what, _)) = lists.into_iter().find(|(_, list)| list.as_ref().is_some_and(never)) {
        return Some(format!("it never matches: its {what} exclude all that they name"));
    }
    let values: Vec<_> = selectors
        .records
        .iter()
        .filter_map(|selector| match selector {
            RecordSelector::Value { path, test } if path.path.is_definite() => Some((&path.path, test)),
            _ => None,
        })
        .collect();
    let pairs = values.iter().enumerate().flat_map(|(n, a)| values.iter().skip(n + 1).map(move |b| (a, b)));
    let (path, a, b) = pairs
        .filter(|((path, _), (other, _))| path == other)
        .map(|((path, a), (_, b))| (path, a, b))
        .find(|(_, a, b)| contradict(a, b))?;
    Some(format!("it never matches: {path} cannot be both {a} and {b}"))
}

/// Whether topics that one of its lists names exactly are all excluded again by another.
fn excludes_itself(selectors: &Selectors) -> bool {
    selectors.topics.iter().any(|list| {
        let exact: Option<Vec<&[u8]>> = list.includes().iter().map(|glob| glob.exact()).collect();
        exact.is_some_and(|names| {
            let passes = |name: &&[u8]| selectors.topics.iter().all(|list| list.matches(name));
            !names.is_empty() && !names.iter().any(passes)
        })
    })
}

/// Whether no one value passes both.
fn contradict(a: &Test, b: &Test) -> bool {
    use Test::{Exactly, Missing, Number, Text};
    let needs_one = |test: &Test| match test {
        Text(patterns) => !patterns.only_excludes(),
        Number(comparison, _) => *comparison != Comparison::NotEqual,
        Exactly(_) => true,
        Missing => false,
    };
    match (a, b) {
        (Missing, other) | (other, Missing) => needs_one(other),
        (Exactly(a), Exactly(b)) => a != b,
        (Exactly(_), number @ Number(..)) | (number @ Number(..), Exactly(_)) => needs_one(number),
        (Number(x, a), Number(y, b)) => {
            // between these and beyond them neither changes its mind
            let points = [*a, *b, a / 2.0 + b / 2.0, f64::NEG_INFINITY, f64::INFINITY];
            needs_one(&Number(*x, *a))
                && needs_one(&Number(*y, *b))
                && !points.iter().any(|n| x.holds(*n, *a) && y.holds(*n, *b))
                || matches!(
                    (x, y),
                    (Comparison::Equal, Comparison::NotEqual) | (Comparison::NotEqual, Comparison::Equal)
                ) && a == b
        }
        (Text(a), Text(b)) => none_passes(a, b) || none_passes(b, a),
        (Text(_), _) | (_, Text(_)) => false,
    }
}

/// Whether `a` names single texts only, and none of them passes `b`.
fn none_passes(a: &Patterns, b: &Patterns) -> bool {
    let names: Option<Vec<&[u8]>> = a.includes().iter().map(|glob| glob.exact()).collect();
    names.is_some_and(|names| !names.is_empty() && !names.iter().any(|name| b.matches(name)))
}

/// Whether `earlier` decides everything that `later` could meet: a terminal action without a trigger, on as much or more.
fn shadows(earlier: &Rule, later: &Rule) -> bool {
    let terminal = earlier.has(|action| match action {
        Action::Deny(_) => true,
        Action::Fault(fault) => fault.answers(),
        _ => false,
    });
    let head = match (&earlier.head, &later.head) {
        (Head::Access(_), _) | (_, Head::Access(_)) => false,
        (Head::Request(wide), Head::Request(narrow)) => narrow.iter().all(|api| wide.contains(api)),
        (Head::Request(wide), Head::Produce) => wide.contains(crate::wire::ApiKey::Produce),
        (Head::Request(wide), Head::Fetch) => wide.contains(crate::wire::ApiKey::Fetch),
        (a, b) => a == b,
    };
    let lasts = match (end(earlier), end(later)) {
        (None, _) => true,
        (Some(_), None) => false,
        (Some(a), Some(b)) => a >= b,
    };
    terminal
        && head
        && lasts
        && earlier.kind == later.kind
        && !earlier.observe
        && earlier.triggers == Triggers::default()
        && takes_all_of(&earlier.selectors, &later.selectors)
}

/// Whether whatever passes `narrow` passes `wide`.
fn takes_all_of(wide: &Selectors, narrow: &Selectors) -> bool {
    let list = |wide: &Option<Patterns>, narrow: &Option<Patterns>| match (wide, narrow) {
        (None, _) => true,
        (Some(wide), None) => wide.is_any(),
        (Some(wide), Some(narrow)) => wide.covers(narrow),
    };
    let topics = wide
        .topics
        .iter()
        .all(|list| list.is_any() || narrow.topics.iter().any(|theirs| list.covers(theirs)));
    let partitions = match (&wide.partitions, &narrow.partitions) {
        (None, _) => true,
        (Some(_), None) => false,
        (Some(wide), Some(narrow)) => {
            narrow.0.iter().all(|(from, to)| wide.0.iter().any(|(first, last)| first <= from && to <= last))
        }
    };
    topics
        && partitions
        && (wide.who.sessions.is_none() || wide.who.sessions == Some(1.0))
        && (wide.api_version.is_none() || wide.api_version == narrow.api_version)
        && (wide.who.broker.is_none() || wide.who.broker == narrow.who.broker)
        && list(&wide.groups, &narrow.groups)
        && list(&wide.transactional_ids, &narrow.transactional_ids)
        && list(&wide.who.principal, &narrow.who.principal)
        && list(&wide.who.client_id, &narrow.who.client_id)
        && list(&wide.who.listener, &narrow.who.listener)
        && (wide.who.from_ip.is_empty() || wide.who.from_ip == narrow.who.from_ip)
        && wide.records.iter().all(|selector| narrow.records.contains(selector))
        && (wide.when.is_none() || wide.when == narrow.when)
}

/// Two access rules with the same words: their order means nothing.
fn says_the_same(earlier: &Rule, later: &Rule) -> bool {
    matches!(earlier.head, Head::Access(_))
        && earlier.head == later.head
        && earlier.selectors == later.selectors
        && earlier.observe == later.observe
        && earlier.has(|action| matches!(action, Action::Allow))
            == later.has(|action| matches!(action, Action::Allow))
        && earlier.has(|action| matches!(action, Action::Deny(_)))
            == later.has(|action| matches!(action, Action::Deny(_)))
}

#[cfg(test)]
mod tests {
    use super::super::tests::generation;
    use super::*;

    fn findings(text: &str) -> Vec<String> {
        check(&generation(&[text])).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn rules_that_cannot_be_meant_are_found_where_they_stand() {
        let cases = [
            (r#"on_produce("a").lose_response();"#, "a fault without an end"),
            (r#"on_produce("a").client_id("x").deny();"#, "rests on the client id"),
            (r#"on_access("Read").topic("a").allow();"#, "changes nothing"),
            (r#"expires("10s"); on_produce("a").during("20s", "30s").lose_response();"#, "it never fires"),
            (r#"expires("1h"); on_produce("a").chance(0.0).lose_response();"#, "chance is 0"),
            (r#"on_produce("a").deny(); on_produce("a").deny("again");"#, "it is never reached"),
            (
                r#"on_produce("x*").deny(); on_produce("xy").principal("User:a").deny();"#,
                "it is never reached",
            ),
            (r#"on_fetch("x*").deny(); on_fetch("x*z", "xy").mask("$.a", "all");"#, "it is never reached"),
            (r#"on_produce().deny(); on_produce("xy").value("$.a", 1).deny();"#, "it is never reached"),
            (r#"on_request("*").deny(); on_produce("xy").partition(1).deny();"#, "it is never reached"),
            (
                r#"on_produce("a").partition(0..9).deny(); on_produce("a").partition(3).deny();"#,
                "never reached",
            ),
            (
                r#"expires("1h"); on_fetch("a*").fail("UNKNOWN_SERVER_ERROR"); on_fetch("ab").delay("1s");"#,
                "it is never reached",
            ),
            (
                r#"on_produce("x*").api_version(9).deny(); on_produce("xy").api_version(9).deny();"#,
                "it is never reached",
            ),
            (
                r#"on_produce("x*").from_ip("10.0.0.0/8").deny(); on_produce("xy").from_ip("10.0.0.0/8").deny();"#,
                "it is never reached",
            ),
            (
                r#"on_produce("x*").when(|cx| cx.version > 3).deny(); on_produce("xy").when(|cx| cx.version > 3).deny();"#,
                "it is never reached",
            ),
            (r#"on_produce("x*").deny(); on_produce("xy").broker(1).deny();"#, "it is never reached"),
            (
                r#"on_produce("x*").broker(1).deny(); on_produce("xy").broker(1).deny();"#,
                "it is never reached",
            ),
            (
                r#"expires("1h"); on_produce("x*").sessions(1.0).fail("UNKNOWN_SERVER_ERROR"); on_produce("xy").delay("1s");"#,
                "it is never reached",
            ),
            (r#"on_produce("!*").deny();"#, "topics exclude all"),
            (r#"on_produce("a", "!a*").deny();"#, "topics exclude all"),
            (r#"on_produce("a").topic("!a").deny();"#, "topics exclude all"),
            (r#"on_produce("a").principal("!*").deny();"#, "principals exclude all"),
            (r#"on_request("Heartbeat").group("g", "!g").deny();"#, "groups exclude all"),
            (
                r#"on_fetch("a").value("$.n", "> 5").value("$.n", "< 3").deny();"#,
                "$.n cannot be both > 5 and < 3",
            ),
            (r#"on_fetch("a").value("$.n", "> 5").value("$.n", "<= 5").deny();"#, "cannot be both"),
            (r#"on_fetch("a").value("$.n", 5).value("$.n", "!= 5").deny();"#, "cannot be both"),
            (r#"on_fetch("a").value("$.n", true).value("$.n", false).deny();"#, "cannot be both"),
            (r#"on_fetch("a").value("$.n", ()).value("$.n", "x").deny();"#, "cannot be both"),
            (r#"on_fetch("a").value("$.n", "x").value("$.n", "!x").deny();"#, "cannot be both"),
            (
                r#"default_deny(); on_access("Read").topic("a").allow(); on_access("Read").topic("a").allow();"#,
                "says again",
            ),
        ];
        for (text, what) in cases {
            let found = findings(text);
            assert!(
                found.iter().any(|f| f.contains(what) && f.starts_with("0.rhai:2:")),
                "{text}: {found:?}"
            );
        }
    }

    #[test]
    fn rules_that_are_meant_are_left_alone() {
        for text in [
            r#"expires("1h"); on_produce("a").chance(0.5).lose_response(); on_produce("a").delay("1ms");"#,
            r#"on_produce("a").deny(); on_produce("b").deny();"#,
            r#"on_produce("x*").api_version(9).deny(); on_produce("xy").api_version(10).deny();"#,
            r#"on_produce("x*").api_version(9).deny(); on_produce("xy").deny();"#,
            r#"on_produce("x*").from_ip("10.0.0.0/8").deny(); on_produce("xy").from_ip("11.0.0.0/8").deny();"#,
            r#"on_produce("x*").from_ip("10.0.0.0/8").deny(); on_produce("xy").deny();"#,
            r#"on_produce("x*").when(|cx| cx.version > 3).deny(); on_produce("xy").when(|cx| cx.version > 4).deny();"#,
            r#"on_produce("a").partition(0..9).deny(); on_produce("a").partition(5..12).deny();"#,
            r#"on_produce("a").partition(5..9).deny(); on_produce("a").partition(0..7).deny();"#,
            r#"expires("1h"); on_produce("a").during("1s", "2s").lose_response();"#,
            r#"on_produce("a").topic("!b").deny();"#,
            r#"on_fetch("a").value("$.n", "> 10").value("$.n", "< 11").deny();"#,
            r#"on_fetch("a").value("$.n", "< 3").value("$.n", "< 5").deny();"#,
            r#"on_fetch("a").value("$.n", "> 3").value("$.n", "> 5").deny();"#,
            r#"on_fetch("a").value("$.n", 5).value("$.n", "!= 6").deny();"#,
            r#"on_fetch("a").value("$.n", "> 9007199254740992").value("$.n", "> 1").deny();"#,
            r#"on_fetch("a").value("$.n", "< 100000000000000000").value("$.n", "< 200000000000000000").deny();"#,
            r#"on_fetch("a").value("$.n", "> 1700000000000000000").value("$.n", "> 1600000000000000000").deny();"#,
            r#"on_fetch("a").value("$.n", "!= 1e300").value("$.n", "< 1e300").deny();"#,
            r#"on_fetch("a").value("$.n", "!x").value("$.n", "!y").deny();"#,
            r#"on_fetch("a").value("$.n", "x").value("$.n", "x*").deny();"#,
            r#"on_fetch("a").value("$.n", "x", "y").value("$.n", "y", "z").deny();"#,
            r#"on_produce("xy").deny(); on_produce("x*").deny();"#,
            r#"on_produce("x*").broker(1).deny(); on_produce("xy").broker(2).deny();"#,
            r#"on_produce("x*").broker(1).deny(); on_produce("xy").deny();"#,
            r#"expires("1h"); on_produce("x*").sessions(0.5).fail("UNKNOWN_SERVER_ERROR"); on_produce("xy").delay("1s");"#,
            r#"on_produce("x*", "!xy").deny(); on_produce("xy").deny();"#,
            r#"on_produce("x*").principal("User:a").deny(); on_produce("xy").deny();"#,
            r#"on_produce("x*").value("$.a", 1).deny(); on_produce("xy").deny();"#,
            r#"on_produce("x*").when(|cx| cx.version > 3).deny(); on_produce("xy").deny();"#,
            r#"on_produce("x*").observe().deny(); on_produce("xy").deny();"#,
            r#"on_produce("x*").audit(); on_produce("xy").deny();"#,
            r#"on_produce("x").partition(0).deny(); on_produce("x").deny();"#,
            r#"on_request("Fetch").deny(); on_produce("x").deny();"#,
            r#"on_fetch("x").fail("UNKNOWN_SERVER_ERROR").expires("1m"); on_fetch("x").delay("1s").expires("1h");"#,
            r#"default_deny(); on_access("Read").topic("a").allow();"#,
            r#"default_deny(); on_access("Read").topic("a").allow(); on_access("Read").topic("a").deny();"#,
            r#"on_fetch("a").value("$.n", "> 3").value("$.n", "< 5").deny();"#,
            r#"on_fetch("a").value("$.n", "!= 3").value("$.n", "!= 5").deny();"#,
            r#"on_fetch("a").value("$.n", "!= 5").value("$.n", "!x").value("$.n", ()).deny();"#,
            r#"on_fetch("a").value("$.n[*]", "> 5").value("$.n[*]", "< 3").deny();"#,
            r#"on_fetch("a").value("$.m", "> 5").value("$.n", "< 3").deny();"#,
        ] {
            assert_eq!(findings(text), Vec::<String>::new(), "{text}");
        }
    }

    #[test]
    fn the_policies_that_come_with_it_have_no_findings() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/policies");
        let scripts = crate::policy::load::read_folder(folder.as_ref()).unwrap();
        let settings = crate::policy::generation::Settings {
            secrets: crate::policy::secrets::Secrets::made_up(),
            schemas: crate::policy::schema::Schemas::new(Some(
                concat!(env!("CARGO_MANIFEST_DIR"), "/policies/schemas").into(),
            )),
            ..Default::default()
        };
        let policies =
            crate::policy::generation::Policies::new(crate::policy::generation::Shared::new(settings));
        let found = check(&policies.load(&scripts).unwrap());
        assert!(found.is_empty(), "{found:?}");
    }
}
