//! `tollgate policy check | test | explain`: the policies of a folder without a server. Secrets are made up.

use super::cli::{Explain, Policy};
use super::failure::Failure;
use super::settings::Settings as ServerSettings;
use crate::policy::generation::{Generation, Policies, Settings, Shared, Who};
use crate::policy::load::{self, Script};
use crate::policy::secrets::Secrets;
use crate::policy::{testing, tools};
use crate::wire::ApiKey;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

/// Does what was asked. Problems found are printed, and make the exit code 1; a script that does not load makes it 2.
/// `settings` are those that a server started here would have.
pub fn run(command: &Policy, settings: &ServerSettings, out: &mut impl Write) -> Result<(), Failure> {
    match command {
        Policy::Check(folder) => check(&folder.folder, out),
        Policy::Test(folder) => test(&folder.folder, out),
        Policy::Explain(question) => explain(question, settings, out),
    }
}

fn scripts(folder: &Path) -> Result<Vec<Script>, Failure> {
    load::read_folder(folder).map_err(|e| Failure::usage(e.to_string()))
}

fn generation(folder: &Path) -> Result<Arc<Generation>, Failure> {
    let settings = Settings { secrets: Secrets::made_up(), ..Settings::default() };
    let policies = Policies::new(Shared::new(settings));
    policies.load(&scripts(folder)?).map_err(|errors| Failure::usage(load::join(&errors)))
}

fn said(result: io::Result<()>) -> Result<(), Failure> {
    result.map_err(|e| Failure::cannot(format!("cannot write to standard output: {e}")))
}

fn check(folder: &Path, out: &mut impl Write) -> Result<(), Failure> {
    let generation = generation(folder)?;
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

fn test(folder: &Path, out: &mut impl Write) -> Result<(), Failure> {
    let outcomes = testing::run(&scripts(folder)?, &Secrets::made_up())
        .map_err(|errors| Failure::usage(load::join(&errors)))?;
    let mut failed = 0;
    for outcome in &outcomes {
        match &outcome.failure {
            None => said(writeln!(out, "ok    {}: {}", outcome.policy, outcome.name))?,
            Some(why) => {
                failed += 1;
                said(writeln!(out, "FAIL  {}: {}\n{why}", outcome.policy, outcome.name))?;
            }
        }
    }
    said(writeln!(out, "{} passed, {failed} failed", outcomes.len() - failed))?;
    match failed {
        0 => Ok(()),
        n => Err(Failure::cannot(format!("{n} policy tests failed"))),
    }
}

fn explain(question: &Explain, settings: &ServerSettings, out: &mut impl Write) -> Result<(), Failure> {
    let api = ApiKey::from_name(&question.api)
        .ok_or_else(|| Failure::usage(format!("there is no api `{}`", question.api)))?;
    let generation = generation(&question.folder.folder)?;
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
