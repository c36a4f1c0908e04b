//! `tollgate policy check | test | explain`: the policies of a folder without a server. Secrets are made up.

use super::cli::{DryRun, Explain, Import, Policy};
use super::failure::Failure;
use super::settings::Settings as ServerSettings;
use crate::policy::generation::{Evicted, Generation, Policies, Settings, Shared, Who};
use crate::policy::import;
use crate::policy::journal::{self, line};
use crate::policy::load::{self, Script};
use crate::policy::schema::Schemas;
use crate::policy::script::definitions::definitions;
use crate::policy::script::examples;
use crate::policy::script::vocabulary::{WORDS, nearest};
use crate::policy::secrets::Secrets;
use crate::policy::tools::DryRunError;
use crate::policy::waits::Released;
use crate::policy::{testing, tools};
use crate::wire::ApiKey;
use serde_json::Value;
use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, Read, Write};
use std::path::Path;
use std::sync::Arc;

/// Does what was asked. Problems found are printed, and make the exit code 1; a script that does not load makes it 2.
/// `settings` are those that a server started here would have.
pub fn run(command: &Policy, settings: &ServerSettings, out: &mut impl Write) -> Result<(), Failure> {
    match command {
        Policy::Check(folder) => check(&folder.folder, settings, out),
        Policy::Test(asked) => test(&asked.folder.folder, asked.require_coverage, settings, out),
        Policy::DryRun(asked) => dry_run(asked, settings, out),
        Policy::Import(asked) => import(asked, out),
        Policy::Explain(question) => explain(question, settings, out),
        Policy::Docs(asked) => docs(&asked.words, out),
        Policy::Definitions => said(write!(out, "{}", definitions())),
        Policy::AuditSchema => schema(&audit_schema(), out),
        Policy::JournalSchema => schema(&journal_schema(), out),
    }
}

/// The reference, as Markdown, from what the messages of the language are made of: all words at a glance, then each with an
/// example; or only those asked for.
fn docs(words: &[String], out: &mut impl Write) -> Result<(), Failure> {
    if let Some(unknown) = words.iter().find(|word| !WORDS.iter().any(|known| known.name == **word)) {
        let near = nearest(unknown, WORDS.iter().map(|known| known.name));
        return Err(Failure::usage(format!("there is no word `{unknown}`{near}")));
    }
    if words.is_empty() {
        said(writeln!(out, "| word | how it is written | what it does |\n|---|---|---|"))?;
        for word in WORDS {
            // a bar ends a cell
            let usage = word.usage.replace('|', "\\|");
            said(writeln!(out, "| `{}` | `{usage}` | {} |", word.name, word.does))?;
        }
    }
    let asked = |name: &str| words.is_empty() || words.iter().any(|word| word == name);
    let mut first = !words.is_empty();
    for word in WORDS.iter().filter(|word| asked(word.name)) {
        let gap = if first { "" } else { "\n" };
        first = false;
        said(writeln!(out, "{gap}## {}\n\n`{}`: {}", word.name, word.usage, word.does))?;
        if let Some(example) = examples::of(word.name) {
            said(writeln!(out, "\n```rhai\n{example}\n```"))?;
        }
    }
    Ok(())
}

fn schema(schema: &Value, out: &mut impl Write) -> Result<(), Failure> {
    said(writeln!(out, "{schema:#}"))
}

/// What each line of the audit trail is.
fn audit_schema() -> Value {
    line::of_file(
        "A line of Tollgate's audit trail",
        vec![journal::Decision::schema(), super::control::Line::schema(), journal::Missing::schema()],
    )
}

/// What each line of the journal is.
fn journal_schema() -> Value {
    line::of_file(
        "A line of Tollgate's journal of injected faults",
        vec![journal::Injection::schema(), Released::schema(), Evicted::schema(), journal::Missing::schema()],
    )
}

fn scripts(folder: &Path) -> Result<Vec<Script>, Failure> {
    load::read_folder(folder).map_err(|e| Failure::usage(e.to_string()))
}

/// The schemas of a folder's policies: where the settings say, or in the folder.
fn schemas(folder: &Path, settings: &ServerSettings) -> Schemas {
    Schemas::new(Some(settings.schemas.clone().unwrap_or_else(|| folder.join("schemas"))))
}

fn generation(folder: &Path, settings: &ServerSettings) -> Result<Arc<Generation>, Failure> {
    let schemas = schemas(folder, settings);
    let settings =
        Settings { secrets: Secrets::made_up(), schemas, allow_crash: true, ..Settings::default() };
    let policies = Policies::new(Shared::new(settings));
    policies.load(&scripts(folder)?).map_err(|errors| Failure::usage(load::join(&errors)))
}

fn said(result: io::Result<()>) -> Result<(), Failure> {
    result.map_err(|e| Failure::cannot(format!("cannot write to standard output: {e}")))
}

fn check(folder: &Path, settings: &ServerSettings, out: &mut impl Write) -> Result<(), Failure> {
    let generation = generation(folder, settings)?;
    let found = tools::check(&generation);
    for finding in &found {
        said(writeln!(out, "{finding}"))?;
    }
    let rules: usize = generation.policies.iter().map(|p| p.rules.len()).sum();
    said(writeln!(out, "{} policies, {rules} rules, {} findings", generation.policies.len(), found.len()))?;
    match found.len() {
        0 => Ok(()),
        n => Err(Failure::cannot(format!("{n} rules cannot be meant as they stand"))),
    }
}

fn test(
    folder: &Path,
    all_must_act: bool,
    settings: &ServerSettings,
    out: &mut impl Write,
) -> Result<(), Failure> {
    let report = testing::run(&scripts(folder)?, &Secrets::made_up(), &schemas(folder, settings))
        .map_err(|errors| Failure::usage(load::join(&errors)))?;
    let mut failed = 0;
    for outcome in &report.outcomes {
        match &outcome.failure {
            None => said(writeln!(out, "ok    {}: {}", outcome.policy, outcome.name))?,
            Some(why) => {
                failed += 1;
                said(writeln!(out, "FAIL  {}: {}\n{why}", outcome.policy, outcome.name))?;
            }
        }
    }
    said(writeln!(out, "{} passed, {failed} failed", report.outcomes.len() - failed))?;
    let rules = report.rules.len();
    let idle: Vec<_> = report.rules.iter().filter(|rule| rule.acted == 0).collect();
    for rule in &idle {
        let what = if rule.matched == 0 { "never met  " } else { "never acted" };
        said(writeln!(out, "{what}  {}: {} ({})", rule.policy, rule.rule, rule.written_at))?;
    }
    said(writeln!(out, "{} of {rules} rules acted", rules - idle.len()))?;
    match (failed, idle.len()) {
        (0, idle) if idle > 0 && all_must_act => {
            Err(Failure::cannot(format!("{idle} of {rules} rules act in no test")))
        }
        (0, _) => Ok(()),
        (n, _) => Err(Failure::cannot(format!("{n} policy tests failed"))),
    }
}

/// A capture that is damaged further on has a report of what stands before the damage, and the exit code 1.
fn dry_run(asked: &DryRun, settings: &ServerSettings, out: &mut impl Write) -> Result<(), Failure> {
    let (name, folder) = (asked.capture.display(), &asked.folder.folder);
    let file =
        File::open(&asked.capture).map_err(|e| Failure::usage(format!("{name} cannot be read: {e}")))?;
    let report = tools::dry_run(&scripts(folder)?, &schemas(folder, settings), BufReader::new(file))
        .map_err(|e| match e {
            DryRunError::Policies(errors) => Failure::usage(load::join(&errors)),
            DryRunError::Capture(problem) => Failure::usage(format!("{name}: {problem}")),
        })?;
    match asked.json {
        true => {
            let json = serde_json::to_string_pretty(&report)
                .map_err(|e| Failure::cannot(format!("the report has no JSON form: {e}")))?;
            said(writeln!(out, "{json}"))?;
        }
        false => said(write!(out, "{}", report.text()))?,
    }
    match report.problem {
        Some(problem) => {
            Err(Failure::cannot(format!("{name} is damaged {problem}; the report is of what stands before")))
        }
        None => Ok(()),
    }
}

/// The longest file of interceptors.
const INTERCEPTORS_BYTES: u64 = 4 << 20;

/// What differs goes to standard error: the policy has it as comments.
fn import(asked: &Import, out: &mut impl Write) -> Result<(), Failure> {
    let name = asked.file.display();
    let cannot = |e: io::Error| Failure::usage(format!("{name} cannot be read: {e}"));
    let mut text = String::new();
    let source: Box<dyn Read> = match asked.file.as_os_str() == "-" {
        true => Box::new(io::stdin()),
        false => Box::new(File::open(&asked.file).map_err(cannot)?),
    };
    source.take(INTERCEPTORS_BYTES + 1).read_to_string(&mut text).map_err(cannot)?;
    if text.len() as u64 > INTERCEPTORS_BYTES {
        return Err(Failure::usage(format!("{name} is longer than {INTERCEPTORS_BYTES} bytes")));
    }
    let imported = import::import(&text).map_err(|e| Failure::usage(format!("{name}: {e}")))?;
    match &asked.out {
        None => said(write!(out, "{}", imported.script()))?,
        Some(folder) => {
            std::fs::create_dir_all(folder)
                .map_err(|e| Failure::cannot(format!("{} cannot be made: {e}", folder.display())))?;
            for script in imported.scripts() {
                let path = folder.join(&script.file);
                let new = OpenOptions::new().write(true).create_new(true).open(&path);
                new.and_then(|mut file| file.write_all(script.text.as_bytes()))
                    .map_err(|e| Failure::cannot(format!("{} cannot be written: {e}", path.display())))?;
                said(writeln!(out, "{}", path.display()))?;
            }
        }
    }
    for note in &imported.notes {
        // beside what is printed; whether anybody reads it or not
        drop(writeln!(io::stderr(), "{name}: {note}"));
    }
    match imported.lost() {
        0 => Ok(()),
        n => Err(Failure::cannot(format!("{n} things have no equal; they stand in the policy as comments"))),
    }
}

fn explain(question: &Explain, settings: &ServerSettings, out: &mut impl Write) -> Result<(), Failure> {
    let api = ApiKey::from_name(&question.api)
        .ok_or_else(|| Failure::usage(format!("there is no api `{}`", question.api)))?;
    let generation = generation(&question.folder.folder, settings)?;
    let question = tools::Question {
        who: Who {
            principal: question.principal.as_str().into(),
            client_id: question.client_id.as_str().into(),
            listener: question.listener.as_str().into(),
            remote_ip: question.from_ip,
        },
        api,
        topic: question.topic.clone(),
        partition: question.partition,
        group: question.group.clone(),
    };
    said(write!(out, "{}{}", tools::explain(&generation, &question), acls(settings, &question)))
}

/// Whether ACLs are asked as well. What they say only the broker knows.
fn acls(settings: &ServerSettings, question: &tools::Question) -> String {
    let setting = |name: &str| {
        let value = settings.broker.as_ref().and_then(|broker| broker.get(name));
        value.map_or("", |value| value.0.trim())
    };
    if setting("authorizer.class.name").is_empty() {
        return "ACLs: off in these settings (--config names others)\n".to_owned();
    }
    let principal = &*question.who.principal;
    if setting("super.users").split(';').any(|name| name.trim() == principal) {
        return format!("ACLs: on, but {principal} is a super user, whom they do not bind\n");
    }
    let open = match setting("allow.everyone.if.no.acl.found").eq_ignore_ascii_case("true") {
        true => "; what no ACL is about is open to all whom no `default_deny()` refuses",
        false => "",
    };
    format!(
        "ACLs: on, and asked as well. Their deny wins too, their allow is enough where no rule denies, and what neither they nor \
         a rule allows is refused{open}. `kafka-acls --list` shows them.\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::cli::{ConfigFile, PolicyFolder};
    use crate::app::sources;

    #[test]
    fn the_reference_has_every_word() {
        let ask = |words: &[&str]| {
            let mut out = Vec::new();
            let words = words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
            docs(&words, &mut out).map(|()| String::from_utf8(out).unwrap())
        };
        let all = ask(&[]).unwrap();
        assert!(WORDS.iter().all(|word| all.contains(&format!("| `{}` |", word.name))));
        assert!(all.contains("\n| `when` | `.when(\\|cx\\| …)` | a condition in Rhai |\n"));
        let sections = |text: &str| text.lines().filter(|line| line.starts_with("## ")).count();
        assert_eq!(sections(&all), WORDS.len());
        let one = ask(&["when"]).unwrap();
        assert!(
            one.starts_with("## when\n\n`.when(|cx| …)`: a condition in Rhai\n\n```rhai\non_fetch("),
            "{one}"
        );
        assert!(one.ends_with("});\n```\n") && sections(&one) == 1, "{one}");
        assert!(ask(&["poisn"]).unwrap_err().to_string().contains("did you mean \"poison\"?"));
    }

    #[test]
    fn the_schemas_are_those_of_the_lines() {
        let decision = |all: bool| journal::Decision {
            time: 1,
            policy: "p",
            rule: "r",
            principal: "User:ada",
            client_id: "c",
            address: "::1",
            listener: "l",
            api: "Fetch",
            resource: all.then_some("topic"),
            name: all.then_some("t"),
            partition: all.then_some(0),
            decision: "deny",
            reason: all.then_some("no"),
            records: all.then_some(3),
            observed: all,
            session: 1,
            correlation_id: -1,
        };
        let injection = |all: bool| journal::Injection {
            time: 1,
            seed: 2,
            policy: "p",
            rule: "r",
            subject: "s",
            subject_id: "2a".to_owned(),
            n: 3,
            attempt: 0,
            fault: "fail",
            parameter: all.then_some("x"),
            when: "before",
            observed: all,
            session: 3,
            correlation_id: 4,
        };
        let change = |all: bool| super::super::control::Line {
            time: 1,
            change: "put policy",
            by: "loopback",
            address: all.then(|| "::1".to_owned()),
            policy: all.then_some("p"),
            rule: all.then_some("r"),
            sha256: all.then(|| "00".to_owned()),
            ttl: all.then_some("5m"),
            security: all,
            result: "done",
            reason: all.then(|| "because".to_owned()),
            generation: 7,
        };
        let (audit, journal) = (audit_schema(), journal_schema());
        let missing = journal::Missing { time: 1, dropped_lines: 2 };
        for all in [true, false] {
            let (decision, injection, change) =
                (json(&decision(all)), json(&injection(all)), json(&change(all)));
            for line in [&decision, &change, &json(&missing)] {
                assert_eq!(line::breach(&audit, line), None);
                let journals = line::breach(&journal, line).is_none();
                assert_eq!(journals, line.get("dropped_lines").is_some(), "{line}");
            }
            assert_eq!(line::breach(&journal, &injection), None);
            assert!(line::breach(&audit, &injection).is_some());
            // each field is required or known, and of its kind
            for (name, value) in decision.as_object().unwrap() {
                let (mut without, mut other) = (decision.clone(), decision.clone());
                without.as_object_mut().unwrap().remove(name);
                let optional = ["resource", "name", "partition", "reason", "records", "observed"];
                assert_eq!(
                    line::breach(&audit, &without).is_none(),
                    optional.contains(&name.as_str()),
                    "{name}"
                );
                other[name] = if value.is_string() { 5.into() } else { "x".into() };
                assert!(line::breach(&audit, &other).is_some(), "{name}");
            }
            let mut more = decision.clone();
            more["more"] = true.into();
            assert!(line::breach(&audit, &more).is_some());
        }
        let printed = |command: &Policy| {
            let mut out = Vec::new();
            run(command, &ServerSettings::default(), &mut out).unwrap();
            serde_json::from_slice::<Value>(&out).unwrap()
        };
        assert_eq!(
            (printed(&Policy::AuditSchema), printed(&Policy::JournalSchema)),
            (audit.clone(), journal)
        );
        assert_eq!(audit["oneOf"][0]["properties"]["time"]["description"], "Milliseconds since 1970.");
        assert_eq!(audit["oneOf"][0]["properties"]["records"]["minimum"], 0);
    }

    fn json(line: &impl serde::Serialize) -> Value {
        serde_json::to_value(line).unwrap()
    }

    #[test]
    fn explain_says_whether_acls_are_asked_as_well() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("p.rhai"), "on_produce(\"t\").audit();").unwrap();
        let ask = |text: &str, principal: &str| {
            let settings = sources::from_file(Path::new("tollgate.toml"), text).unwrap();
            let question = Explain {
                folder: PolicyFolder { folder: folder.path().to_owned() },
                file: ConfigFile { config: None },
                principal: principal.to_owned(),
                client_id: String::new(),
                api: "Produce".to_owned(),
                topic: Some("t".to_owned()),
                partition: None,
                group: None,
                listener: "default".to_owned(),
                from_ip: [127, 0, 0, 1].into(),
            };
            let mut out = Vec::new();
            run(&Policy::Explain(question), &settings, &mut out).unwrap();
            String::from_utf8(out).unwrap()
        };
        assert!(ask("", "User:a").contains("ACLs: off"));
        let on = "[broker]\n\"authorizer.class.name\" = \"org.apache.kafka.metadata.authorizer.StandardAuthorizer\"\n";
        let said = ask(on, "User:a");
        assert!(said.contains("ACLs: on, and asked as well") && !said.contains("open to all"), "{said}");
        let on = format!(
            "{on}\"super.users\" = \"User:root; User:admin\"\n\"allow.everyone.if.no.acl.found\" = \"true\"\n"
        );
        assert!(ask(&on, "User:a").contains("open to all"));
        assert!(ask(&on, "User:admin").contains("User:admin is a super user"));
    }
}
