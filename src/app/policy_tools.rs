//! `tollgate policy check | test | explain`: the policies of a folder without a server. Secrets are made up.

use super::cli::{Explain, Policy};
use super::failure::Failure;
use crate::policy::generation::{Generation, Policies, Settings, Shared, Who};
use crate::policy::load::{self, Script};
use crate::policy::secrets::Secrets;
use crate::policy::{testing, tools};
use crate::wire::ApiKey;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

/// Does what was asked. Problems found are printed, and make the exit code 1; a script that does not load makes it 2.
pub fn run(command: &Policy, out: &mut impl Write) -> Result<(), Failure> {
    match command {
        Policy::Check(folder) => check(&folder.folder, out),
        Policy::Test(folder) => test(&folder.folder, out),
        Policy::Explain(question) => explain(question, out),
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

fn explain(question: &Explain, out: &mut impl Write) -> Result<(), Failure> {
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
    said(write!(out, "{}", tools::explain(&generation, &question)))
}
