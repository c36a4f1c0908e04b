//! What people ask of policies without running them: whether rules can be meant as they stand (`check`), which rules would
//! meet a request, in order (`explain`), and what they would have done to recorded sessions (`dry_run`).

mod check;
mod dry_run;

pub use check::check;
pub use dry_run::{DryRunError, Report, dry_run};

use super::generation::{Generation, Who};
use super::rule::{Head, Kind, Rule};
use crate::wire::ApiKey;
use std::fmt::Write;
use std::sync::Arc;

/// A request as `explain` is asked about it.
#[derive(Debug, Clone)]
pub struct Question {
    pub who: Who,
    pub api: ApiKey,
    pub topic: Option<String>,
    pub partition: Option<i32>,
    pub group: Option<String>,
}

/// Which rules would meet a request, in the order in which they would, in words.
pub fn explain(generation: &Generation, question: &Question) -> String {
    let who = &question.who;
    let mut out = format!("{} by {}", question.api, who.principal);
    if !who.client_id.is_empty() {
        let _ = write!(out, " (client id {})", who.client_id);
    }
    let partition = question.partition.map(|partition| partition.to_string());
    let about = [("topic", &question.topic), ("partition", &partition), ("group", &question.group)];
    for (what, name) in about {
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
        let here = |rule: &Rule| rule.selectors.who.is_at(generation.shared.node_id);
        let meeting: Vec<&Arc<Rule>> =
            rules.into_iter().filter(|rule| here(rule) && meets(rule, question)).collect();
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
        Some([info.whole, info.also, info.parts, info.listed, info.cluster])
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
                && question.partition.is_none_or(|partition| selectors.partition_matches(partition))
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

    pub(super) fn generation(texts: &[&str]) -> Arc<Generation> {
        let policies = Policies::new(Shared::new(Settings::default()));
        let script = |(n, text): (usize, &&str)| Script {
            file: format!("{n}.rhai").into(),
            text: format!("policy(\"p{n}\", \"x\");\n{text}").into(),
        };
        let scripts: Vec<Script> = texts.iter().enumerate().map(script).collect();
        policies.load(&scripts).unwrap()
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
            let question = Question {
                who,
                api: ApiKey::Produce,
                topic: Some(topic.into()),
                partition: None,
                group: None,
            };
            explain(&generation, &question)
        };
        let eve = ask("User:eve", "orders");
        let (deny, lose) = (eve.find("deny").unwrap(), eve.find("lose_response").unwrap());
        assert!(deny < lose && !eve.contains("mask") && !eve.contains("other"), "{eve}");
        assert!(!ask("User:ada", "orders").contains("deny"));
        assert!(ask("User:ada", "nothing").contains("no rule"));
        assert!(ask("User:ada", "other").contains("access"));
    }

    #[test]
    fn explain_asked_about_a_partition_leaves_out_rules_about_others() {
        let generation = generation(&[r#"on_produce("t").partition(0..4).deny(); on_produce("t").audit();"#]);
        let ask = |partition| {
            let who = Who {
                principal: "User:x".into(),
                client_id: "".into(),
                listener: "l".into(),
                remote_ip: [127, 0, 0, 1].into(),
            };
            let topic = Some("t".to_owned());
            explain(&generation, &Question { who, api: ApiKey::Produce, topic, partition, group: None })
        };
        assert!(ask(None).contains("deny") && ask(Some(3)).contains("deny"));
        let other = ask(Some(4));
        assert!(
            !other.contains("deny") && other.contains("audit") && other.contains("partition 4"),
            "{other}"
        );
    }

    #[test]
    fn explain_says_who_asks_and_takes_names_of_access_rules_for_alternatives() {
        let generation = generation(&[
            r#"on_access("Read").group("g").named("of the group").deny();"#,
            r#"on_access("Read").topic("t").group("g").named("of either").deny();"#,
            r#"on_access("Read").named("of any").deny();"#,
        ]);
        let ask = |client_id: &str, topic: Option<&str>, group: Option<&str>| {
            let who = Who {
                principal: "User:x".into(),
                client_id: client_id.into(),
                listener: "l".into(),
                remote_ip: [127, 0, 0, 1].into(),
            };
            let (topic, group) = (topic.map(str::to_owned), group.map(str::to_owned));
            explain(&generation, &Question { who, api: ApiKey::OffsetFetch, topic, partition: None, group })
        };
        assert!(ask("c", None, None).starts_with("OffsetFetch by User:x (client id c)\n"));
        assert!(ask("", None, None).starts_with("OffsetFetch by User:x\n"));
        for (topic, group, met) in [
            (None, Some("g"), ["p0", "p1", "p2"].as_slice()),
            (None, Some("h"), &["p1", "p2"]),
            (Some("t"), Some("h"), &["p1", "p2"]),
            (Some("u"), Some("g"), &["p0", "p1", "p2"]),
            (Some("u"), Some("h"), &["p2"]),
        ] {
            let text = ask("c", topic, group);
            let named: Vec<&str> =
                ["p0", "p1", "p2"].into_iter().filter(|p| text.contains(&format!("  {p} "))).collect();
            assert_eq!(named, met, "{text}");
        }
    }
}
