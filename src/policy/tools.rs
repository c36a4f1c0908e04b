//! What people ask of policies without running them: whether rules can be meant as they stand (`check`), and which rules would
//! meet a request, in order (`explain`).

use super::error::LoadError;
use super::generation::{Generation, LoadedPolicy, Who};
use super::rule::{Action, Head, Kind, Rule};
use super::trigger::Triggers;
use crate::wire::ApiKey;
use std::fmt::Write;
use std::sync::Arc;

/// Looks for rules that cannot be meant: each finding stands at its rule.
pub fn check(generation: &Generation) -> Vec<LoadError> {
    let mut found = Vec::new();
    let denies = generation.policies.iter().any(|p| p.default_deny.is_some());
    let mut met: Vec<&Arc<Rule>> = Vec::new();
    for policy in &generation.policies {
        for rule in &policy.rules {
            let mut say = |what: String| found.push(at(policy, rule, what));
            if rule.kind == Kind::Chaos && rule.expires.is_none() && policy.info.expires.is_none() {
                say("a fault without an end: give the policy or the rule an `expires(\"30m\")`".into());
            }
            if rule.kind == Kind::Security && rule.selectors.who.client_id.is_some() {
                say("a security rule that rests on the client id, which any client may choose".into());
            }
            if matches!(rule.head, Head::Access(_)) && rule.has(|a| *a == Action::Allow) && !denies {
                say("an allow that changes nothing: there is no default_deny()".into());
            }
            if let (Some((from, _)), Some(end)) = (rule.triggers.during, rule.expires.or(policy.info.expires))
                && from >= end
            {
                say(format!("it never fires: it begins after {from:?}, and has expired after {end:?}"));
            }
            if rule.triggers.during.is_some_and(|(from, to)| from >= to) {
                say("it never fires: its `during` ends before it begins".into());
            }
            if never_matches(rule) {
                say("it never matches: its topics exclude all that they name".into());
            }
            if let Some(first) = met.iter().find(|earlier| shadows(earlier, rule)) {
                say(format!("it is never reached: {} decides all of it before", first.written_at()));
            }
            met.push(rule);
        }
    }
    found
}

fn at(policy: &LoadedPolicy, rule: &Rule, what: String) -> LoadError {
    LoadError::at(&policy.info.file, &policy.info.text, rule.place, what)
}

/// Whether a rule's topics that are named exactly are all excluded again by another of its lists.
fn never_matches(rule: &Rule) -> bool {
    let lists: Vec<String> = rule.selectors.topics.iter().map(ToString::to_string).collect();
    lists.len() > 1
        && lists.iter().any(|list| {
            let named: Vec<&str> = list.split(", ").map(|name| name.trim_matches('"')).collect();
            let exact = named.iter().all(|name| !name.contains('*') && !name.starts_with('!'));
            exact && named.iter().all(|name| !rule.selectors.topic_matches(name))
        })
}

/// Whether `earlier` decides everything that `later` could meet: a terminal action without a trigger, on the same or on all.
fn shadows(earlier: &Rule, later: &Rule) -> bool {
    let terminal = earlier.has(|action| match action {
        Action::Deny(_) => true,
        Action::Fault(fault) => fault.answers(),
        _ => false,
    });
    let (all, theirs) = (earlier.selectors.to_string(), later.selectors.to_string());
    let any = all.is_empty() || all == ".topic(\"*\")" || all == ".topic(*)";
    terminal
        && earlier.kind == later.kind
        && !earlier.observe
        && earlier.triggers == Triggers::default()
        && earlier.head == later.head
        && !matches!(earlier.head, Head::Access(_))
        && (any || all == theirs)
}

/// A request as `explain` is asked about it.
#[derive(Debug, Clone)]
pub struct Question {
    pub who: Who,
    pub api: ApiKey,
    pub topic: Option<String>,
    pub group: Option<String>,
}

/// Which rules would meet a request, in the order in which they would, in words.
pub fn explain(generation: &Generation, question: &Question) -> String {
    let who = &question.who;
    let mut out = format!("{} by {}", question.api, who.principal);
    if !who.client_id.is_empty() {
        let _ = write!(out, " (client id {})", who.client_id);
    }
    for (what, name) in [("topic", &question.topic), ("group", &question.group)] {
        if let Some(name) = name {
            let _ = write!(out, ", {what} {name}");
        }
    }
    out.push('\n');
    let access = |rule: &&Arc<Rule>| matches!(rule.head, Head::Access(_));
    let stages: [(&str, Vec<&Arc<Rule>>); 3] = [
        ("access (any deny wins)", generation.rules(Kind::Security).filter(access).collect()),
        ("security", generation.rules(Kind::Security).filter(|rule| !access(rule)).collect()),
        ("chaos, on what security let through", generation.rules(Kind::Chaos).collect()),
    ];
    let mut none = true;
    for (stage, rules) in stages {
        let meeting: Vec<&Arc<Rule>> = rules.into_iter().filter(|rule| meets(rule, question)).collect();
        if meeting.is_empty() {
            continue;
        }
        none = false;
        let _ = writeln!(out, "{stage}:");
        for rule in meeting {
            let _ = writeln!(out, "  {} {}", rule.policy.name, rule.written_at());
            let _ = write!(out, "    {}{}{}", rule.head.word(), rule.selectors, rule.triggers);
            for action in &rule.actions {
                let _ = write!(out, " {action}");
            }
            out.push_str(if rule.observe { " (only observes)\n" } else { "\n" });
        }
    }
    let (denies, _) = generation.default_deny();
    if denies {
        out.push_str("what no access rule allows is refused: default_deny()\n");
    } else if none {
        out.push_str("no rule would meet it\n");
    }
    out
}

fn meets(rule: &Rule, question: &Question) -> bool {
    let who = &question.who;
    let asked = || {
        let info = question.api.info()?;
        Some([info.whole, info.parts, info.listed])
    };
    let covered = match &rule.head {
        Head::Access(operations) => {
            asked().is_some_and(|all| all.into_iter().flatten().any(|op| operations.implies(op)))
        }
        head => head.covers(question.api),
    };
    let selectors = &rule.selectors;
    let topic = question.topic.as_deref();
    let group = question.group.as_deref();
    let named = match rule.head {
        // Names are alternatives here: a topic or a group so named.
        Head::Access(_) => {
            let topics = !selectors.topics.is_empty();
            let groups = selectors.groups.is_some();
            (!topics && !groups)
                || (topics && topic.is_none_or(|t| selectors.topic_matches(t)))
                || (groups && group.is_none_or(|g| selectors.groups.as_ref().is_some_and(|p| p.matches(g))))
        }
        _ => {
            topic.is_none_or(|t| selectors.topic_matches(t))
                && group.is_none_or(|g| selectors.groups.as_ref().is_none_or(|p| p.matches(g)))
        }
    };
    covered && named && selectors.who.matches(&who.principal, &who.client_id, &who.listener, who.remote_ip)
}

#[cfg(test)]
mod tests {
    use super::super::generation::{Policies, Settings, Shared};
    use super::super::load::Script;
    use super::*;

    fn generation(texts: &[&str]) -> Arc<Generation> {
        let policies = Policies::new(Shared::new(Settings::default()));
        let script = |(n, text): (usize, &&str)| Script {
            file: format!("{n}.rhai").into(),
            text: format!("policy(\"p{n}\", \"x\");\n{text}").into(),
        };
        let scripts: Vec<Script> = texts.iter().enumerate().map(script).collect();
        policies.load(&scripts).unwrap()
    }

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
            (r#"on_produce("a").deny(); on_produce("a").deny("again");"#, "it is never reached"),
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
            r#"default_deny(); on_access("Read").topic("a").allow();"#,
        ] {
            assert_eq!(findings(text), Vec::<String>::new(), "{text}");
        }
    }

    #[test]
    fn explain_names_the_rules_that_would_meet_a_request_in_their_order() {
        let generation = generation(&[
            r#"expires("1h"); on_produce("orders").named("lose").lose_response();"#,
            r#"on_produce("orders").principal("User:eve").deny("no"); on_fetch("orders").mask("$.a", "all");"#,
            r#"on_access("Write").topic("other").deny();"#,
        ]);
        let ask = |principal: &str, topic: &str| {
            let who = Who {
                principal: principal.into(),
                client_id: "c".into(),
                listener: "l".into(),
                remote_ip: [127, 0, 0, 1].into(),
            };
            let question = Question { who, api: ApiKey::Produce, topic: Some(topic.into()), group: None };
            explain(&generation, &question)
        };
        let eve = ask("User:eve", "orders");
        let (deny, lose) = (eve.find("deny").unwrap(), eve.find("lose_response").unwrap());
        assert!(deny < lose && !eve.contains("mask") && !eve.contains("other"), "{eve}");
        assert!(!ask("User:ada", "orders").contains("deny"));
        assert!(ask("User:ada", "nothing").contains("no rule"));
        assert!(ask("User:ada", "other").contains("access"));
    }
}
