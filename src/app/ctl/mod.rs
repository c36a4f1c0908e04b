//! `tollgate ctl`: asks a running server through its admin address, and says what came of it.
//!
//! Where it is and the token come from the same settings as `serve` reads, so in the folder a server was started from
//! nothing need be said.

mod client;
mod show;

use std::io::{Read, Write};
use std::path::Path;

use serde_json::Value;

use super::cli::{Ctl, CtlCommand, PolicyCtl, RuleCtl};
use super::config::Config;
use super::failure::Failure;
use crate::policy::LoadError;
use client::{Answer, Client};

/// The longest script that is worth sending.
const SCRIPT_BYTES: u64 = 1 << 20;

/// Does what was asked, on the server that `config` names.
pub fn run(ctl: &Ctl, config: &Config, out: &mut impl Write) -> Result<(), Failure> {
    let client = Client::new(ctl, config)?;
    let mut script = None;
    let answer = match &ctl.command {
        CtlCommand::Status => return status(&client, ctl.json, out),
        CtlCommand::Policies => client.get("/v1/policies")?,
        CtlCommand::Rules => client.get("/v1/rules")?,
        CtlCommand::Reset { security } => client.change("POST", &["reset"], None, *security, None)?,
        CtlCommand::Policy(command) => match command {
            PolicyCtl::Show { name } => client.get(&client::path(&["policies", name]))?,
            PolicyCtl::Add { name, file, ttl, security } => {
                let text = read(file)?;
                script = Some(file.display().to_string());
                client.change("PUT", &["policies", name], ttl.as_deref(), *security, Some(text))?
            }
            PolicyCtl::Remove { name, security } => {
                client.change("DELETE", &["policies", name], None, *security, None)?
            }
            PolicyCtl::Enable { name } => {
                client.change("POST", &["policies", name, "enable"], None, false, None)?
            }
            PolicyCtl::Disable { name, security } => {
                client.change("POST", &["policies", name, "disable"], None, *security, None)?
            }
        },
        CtlCommand::Rule(command) => match command {
            RuleCtl::Add { name, text, ttl, security } => {
                let text = if text == "-" { read(Path::new("-"))? } else { text.clone() };
                script = Some(name.clone());
                client.change("PUT", &["rules", name], ttl.as_deref(), *security, Some(text))?
            }
            RuleCtl::Remove { name, security } => {
                client.change("DELETE", &["rules", name], None, *security, None)?
            }
            RuleCtl::Enable { policy, rule } => {
                client.change("POST", &["policies", policy, "rules", rule, "enable"], None, false, None)?
            }
            RuleCtl::Disable { policy, rule, security } => client.change(
                "POST",
                &["policies", policy, "rules", rule, "disable"],
                None,
                *security,
                None,
            )?,
        },
    };
    let value = match answer.status {
        200..300 => answer.json()?,
        _ => return Err(refused(&answer, script.as_deref(), ctl.json, out)?),
    };
    if ctl.json {
        return said(writeln!(out, "{value}"));
    }
    let text = match &ctl.command {
        CtlCommand::Status => String::new(),
        CtlCommand::Policies => show::policies(&value),
        CtlCommand::Rules => show::rules(&value),
        CtlCommand::Policy(PolicyCtl::Show { .. }) => show::policy(&value),
        CtlCommand::Reset { .. } => show::reset(&value),
        CtlCommand::Policy(command) => show::changed(command.name(), command.done(), &value),
        CtlCommand::Rule(command) => show::changed(&command.name(), command.done(), &value),
    };
    said(write!(out, "{text}"))
}

/// Readiness, and the policies in a few numbers. Not being ready is an answer, and makes the exit code 1.
fn status(client: &Client, json: bool, out: &mut impl Write) -> Result<(), Failure> {
    let ready = client.get("/readyz")?;
    let answer = client.get("/v1/policies")?;
    if answer.status != 200 {
        return Err(refused(&answer, None, json, out)?);
    }
    let policies = answer.json()?;
    let status = show::Status { is_ready: ready.status == 200, ready: ready.text(), policies: &policies };
    said(if json { writeln!(out, "{}", status.json()) } else { write!(out, "{}", status.text()) })?;
    match ready.status {
        200 => Ok(()),
        _ => Err(Failure::cannot(format!("the server at {} is not ready", client.address()))),
    }
}

/// Why the server did not do it: what is wrong with a script as `FILE:LINE:COLUMN`, with the line.
fn refused(
    answer: &Answer,
    script: Option<&str>,
    json: bool,
    out: &mut impl Write,
) -> Result<Failure, Failure> {
    let Ok(problem) = answer.json() else {
        return Ok(Failure::cannot(format!("the server answered {}: {}", answer.status, answer.text())));
    };
    if json {
        said(writeln!(out, "{problem}"))?;
    }
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let number = |value: &Value| value.as_u64().and_then(|n| usize::try_from(n).ok()).unwrap_or_default();
    let errors = problem["errors"].as_array().map(Vec::as_slice).unwrap_or_default();
    let errors: Vec<String> = errors
        .iter()
        .map(|error| {
            let error = LoadError {
                // Where it was read here says more than what the server calls it.
                file: script.map_or_else(|| text(&error["file"]), ToOwned::to_owned).into(),
                line: number(&error["line"]),
                column: number(&error["column"]),
                message: text(&error["message"]),
                source: error["source"].as_str().map(ToOwned::to_owned),
            };
            error.to_string()
        })
        .collect();
    let message = if errors.is_empty() { text(&problem["message"]) } else { errors.join("\n") };
    Ok(match answer.status {
        400 | 408 | 413 => Failure::usage(message),
        _ => Failure::cannot(message),
    })
}

fn read(file: &Path) -> Result<String, Failure> {
    let cannot = |e: std::io::Error| Failure::usage(format!("cannot read {}: {e}", file.display()));
    let mut text = String::new();
    let mut source: Box<dyn Read> = match file.to_str() {
        Some("-") => Box::new(std::io::stdin()),
        _ => Box::new(std::fs::File::open(file).map_err(cannot)?),
    };
    source.by_ref().take(SCRIPT_BYTES + 1).read_to_string(&mut text).map_err(cannot)?;
    match text.len() as u64 > SCRIPT_BYTES {
        true => Err(Failure::usage(format!("{} is longer than 1 MiB", file.display()))),
        false => Ok(text),
    }
}

fn said(result: std::io::Result<()>) -> Result<(), Failure> {
    result.map_err(|e| Failure::cannot(format!("cannot write to standard output: {e}")))
}
