//! Changes of the policies through the admin address: carried out, and written down whether they were made or not.

use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest, Sha256};
use tokio::sync::watch;

use super::policies::Shown;
use super::values::Span;
use crate::admin::PoliciesView;
use crate::admin::control::{
    Action, Caller, Change, Changed, Done, PolicyControl, Problem, Reset, ScriptError,
};
use crate::policy::LoadError;
use crate::policy::control::{self, New, Refused};
use crate::policy::generation::Policies;
use crate::policy::journal;
use crate::policy::journal::line::line;

/// The policies of a running server, as they can be changed.
pub struct Control {
    pub policies: Arc<Policies>,
    /// The operator lets security rules be changed this way.
    pub security_changes: bool,
}

line! {
/// One change in the audit trail.
pub struct Line<'a> {
    /// Milliseconds since 1970.
    time: u64,
    change: &'a str,
    /// The name of the token, `loopback` where none is needed, `unknown` when none was shown, `tollgate` itself.
    by: &'a str,
    address: Option<String>,
    policy: Option<&'a str>,
    rule: Option<&'a str>,
    /// SHA-256 of the script, in hex.
    sha256: Option<String>,
    ttl: Option<&'a str>,
    security: bool,
    /// `done`, or the word for why it was not.
    result: &'a str,
    reason: Option<String>,
    /// The set in force after it.
    generation: u64,
}
}

impl PolicyControl for Control {
    fn apply(&self, caller: &Caller, change: &Change) -> Result<Done, Problem> {
        let result = self.carry_out(change).map_err(problem);
        match &result {
            Ok(done) => self.write_down(caller, change, "done", kept(done)),
            Err(problem) => self.refused(caller, change, problem),
        }
        result
    }

    fn refused(&self, caller: &Caller, change: &Change, problem: &Problem) {
        let reason = match problem.errors.first() {
            Some(error) => format!("{}:{}:{}: {}", error.file, error.line, error.column, error.message),
            None => problem.message.clone(),
        };
        self.write_down(caller, change, problem.error, Some(reason));
    }
}

impl Control {
    fn carry_out(&self, change: &Change) -> Result<Done, Refused> {
        let policies = &self.policies;
        let security = change.security && self.security_changes;
        let allowed = control::Change { policies, security };
        let name = change.policy.as_deref().unwrap_or_default();
        let put = |is_rule| {
            let text = change.text.as_deref().unwrap_or_default();
            let ttl = change.ttl.as_deref().map(str::parse::<Span>).transpose();
            let ttl = ttl.map_err(|e| Refused::Invalid(format!("ttl: {e}")))?.map(|span| span.0);
            allowed.put(New { name, text, is_rule, ttl })
        };
        let switch = |rule, on| allowed.switch(name, rule, on).map(|changed| (changed, false));
        let rule = Some(change.rule.as_deref().unwrap_or_default());
        let (changed, created) = match change.action {
            Action::PutPolicy => (true, put(false)?),
            Action::PutRule => (true, put(true)?),
            Action::RemovePolicy => allowed.remove(name, false).map(|()| (true, false))?,
            Action::RemoveRule => allowed.remove(name, true).map(|()| (true, false))?,
            Action::EnablePolicy => switch(None, true)?,
            Action::DisablePolicy => switch(None, false)?,
            Action::EnableRule => switch(rule, true)?,
            Action::DisableRule => switch(rule, false)?,
            Action::Reset => {
                let control::Reset { removed, kept, enabled } = allowed.reset()?;
                return Ok(Done::Reset(Reset { generation: policies.number(), removed, kept, enabled }));
            }
        };
        let policy = Shown(Arc::clone(policies)).policy(name).map(|policy| policy.status);
        Ok(Done::Changed(Changed { generation: policies.number(), created, changed, policy }))
    }

    fn write_down(&self, caller: &Caller, change: &Change, result: &str, reason: Option<String>) {
        let generation = self.policies.number();
        self.policies.shared().audit.put(&Line {
            time: journal::now(),
            change: change.action.name(),
            by: &caller.name,
            address: Some(caller.address.to_string()),
            policy: change.policy.as_deref(),
            rule: change.rule.as_deref(),
            sha256: change.text.as_deref().map(hash),
            ttl: change.ttl.as_deref(),
            security: change.security,
            result,
            reason: reason.clone(),
            generation,
        });
        let (by, address, change_name) = (&caller.name, caller.address, change.action.name());
        let (policy, rule) = (change.policy.as_deref().unwrap_or(""), change.rule.as_deref().unwrap_or(""));
        match result {
            "done" => tracing::info!(
                change = change_name,
                policy,
                rule,
                by,
                %address,
                generation,
                "policies changed through the admin API"
            ),
            _ => tracing::warn!(
                change = change_name,
                policy,
                rule,
                by,
                %address,
                reason = reason.unwrap_or_default(),
                "a change of policies through the admin API was refused"
            ),
        }
    }
}

fn kept(done: &Done) -> Option<String> {
    match done {
        Done::Reset(reset) if !reset.kept.is_empty() => Some(format!("kept: {}", reset.kept.join(", "))),
        _ => None,
    }
}

fn hash(text: &str) -> String {
    Sha256::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn problem(refused: Refused) -> Problem {
    match refused {
        Refused::Missing(why) => Problem::new(404, "missing", why),
        Refused::Clash(why) => Problem::new(409, "clash", why),
        Refused::Security(why) => Problem::new(403, "security", why),
        Refused::Invalid(why) => Problem::new(400, "invalid", why),
        Refused::Full(why) => Problem::new(507, "full", why),
        Refused::Script(errors) => {
            let errors = errors.into_iter().map(script_error).collect();
            Problem {
                errors,
                ..Problem::new(400, "script", "the script does not load; what was in force stays")
            }
        }
    }
}

fn script_error(error: LoadError) -> ScriptError {
    let LoadError { file, line, column, message, source } = error;
    ScriptError { file: file.display().to_string(), line, column, message, source }
}

/// Drops what was added when it ends by itself, and writes that down.
pub async fn drop_what_ends(policies: Arc<Policies>, stop: impl Future<Output = ()>) {
    tokio::pin!(stop);
    let mut changes: watch::Receiver<u64> = policies.changes();
    loop {
        changes.borrow_and_update();
        let now = policies.shared().clock.now();
        let next = policies.next_end().map(|end| end.saturating_sub(now));
        let ended = async {
            match next {
                // If what is over cannot be dropped, this is no busy loop.
                Some(after) => tokio::time::sleep(after.max(Duration::from_millis(10))).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = &mut stop => return,
            changed = changes.changed() => if changed.is_err() { return },
            () = ended => {
                // A change that is under way is waited for.
                let of = Arc::clone(&policies);
                match tokio::task::spawn_blocking(move || of.drop_ended()).await {
                    Ok(dropped) => dropped.iter().for_each(|name| tell_end(&policies, name)),
                    Err(error) => tracing::error!(%error, "what has ended was not dropped"),
                }
            }
        }
    }
}

fn tell_end(policies: &Policies, name: &str) {
    let generation = policies.number();
    policies.shared().audit.put(&Line {
        time: journal::now(),
        change: "end",
        by: "tollgate",
        address: None,
        policy: Some(name),
        rule: None,
        sha256: None,
        ttl: None,
        security: false,
        result: "done",
        reason: Some("its time is over".to_owned()),
        generation,
    });
    tracing::info!(policy = name, generation, "a policy that was added has ended and is gone");
}
