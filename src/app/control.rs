//! Changes of the policies through the admin address: carried out, and written down whether they were made or not.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest, Sha256};
use tokio::sync::watch;

use super::config::Config;
use super::failure::Failure;
use super::policies::Shown;
use super::values::Span;
use crate::admin::PoliciesView;
use crate::admin::control::{
    Action, Caller, Change, Changed, Done, PolicyControl, Problem, Reset, ScriptError, Tokens,
};
use crate::policy::LoadError;
use crate::policy::control::{self, New, Refused};
use crate::policy::generation::Policies;
use crate::policy::journal;
use crate::policy::journal::line::line;
use crate::security::SecretBytes;
use crate::security::users_file;

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

/// The shortest token: what is shorter can be guessed.
const TOKEN_BYTES: usize = 16;
/// Tokens of one file.
const TOKENS: usize = 100;

/// Tokens by name.
pub struct AdminTokens(Vec<(String, SecretBytes)>);

impl Tokens for AdminTokens {
    fn name_of(&self, token: &[u8]) -> Option<String> {
        // All of them are compared, whichever it is.
        let mut found = None;
        for (name, known) in &self.0 {
            if known.ct_eq(token) {
                found = Some(name.clone());
            }
        }
        found
    }
}

impl AdminTokens {
    /// Those of a configuration. None: there are none.
    pub fn of(config: &Config) -> Result<Option<Self>, Failure> {
        match (&config.admin_token_file, &config.admin_token) {
            (Some(_), Some(_)) => Err(Failure::usage(
                "`admin_token_file` and TOLLGATE_ADMIN_TOKEN are both set: keep one of them",
            )),
            (Some(file), None) => Self::read(file).map(Some),
            (None, Some(token)) => Self::parse(&SecretBytes::new(token.expose().as_bytes().to_vec()))
                .map(Some)
                .map_err(|e| Failure::usage(format!("TOLLGATE_ADMIN_TOKEN: {e}"))),
            (None, None) => Ok(None),
        }
    }

    /// Reads a file of tokens: one a line, `TOKEN` or `NAME TOKEN`; `#` begins a comment.
    fn read(path: &Path) -> Result<Self, Failure> {
        let cannot = |why: String| Failure::usage(format!("the tokens in {}: {why}", path.display()));
        let file = std::fs::File::open(path).map_err(|e| cannot(e.to_string()))?;
        let text = SecretBytes::read_from(file).map_err(|e| cannot(e.to_string()))?;
        let tokens = Self::parse(&text).map_err(cannot)?;
        if users_file::is_exposed(path) {
            tracing::warn!(file = %path.display(), "every user of this machine can read the tokens; chmod 600 it");
        }
        Ok(tokens)
    }

    /// No message says what stands in a line.
    fn parse(text: &SecretBytes) -> Result<Self, String> {
        let mut tokens: Vec<(String, SecretBytes)> = Vec::new();
        for (number, line) in text.expose().split(|byte| *byte == b'\n').enumerate() {
            let number = number + 1;
            let fields: Vec<&[u8]> =
                line.split(u8::is_ascii_whitespace).filter(|field| !field.is_empty()).collect();
            let (name, token) = match fields[..] {
                [] => continue,
                [first, ..] if first.starts_with(b"#") => continue,
                [token] => ("token", token),
                [name, token] => match std::str::from_utf8(name) {
                    Ok(name) if name.len() <= 64 && !name.contains(char::is_control) => (name, token),
                    _ => return Err(format!("line {number}: a name is at most 64 bytes of UTF-8")),
                },
                _ => return Err(format!("line {number}: a line is TOKEN or NAME TOKEN")),
            };
            if token.len() < TOKEN_BYTES {
                return Err(format!("line {number}: a token has at least {TOKEN_BYTES} characters"));
            }
            if tokens.iter().any(|(other, _)| other == name) {
                return Err(format!("line {number}: there is one named {name:?} already"));
            }
            tokens.push((name.to_owned(), SecretBytes::new(token.to_vec())));
        }
        match tokens.len() {
            0 => Err("there is none".to_owned()),
            n if n > TOKENS => Err(format!("there are more than {TOKENS}")),
            _ => Ok(Self(tokens)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<AdminTokens, String> {
        AdminTokens::parse(&SecretBytes::new(text.as_bytes().to_vec()))
    }

    #[test]
    fn tokens_have_names() {
        let tokens = parse("# who may\nci 0123456789abcdef\n\n  ops\tfedcba9876543210\r\n").unwrap();
        assert_eq!(tokens.name_of(b"0123456789abcdef").as_deref(), Some("ci"));
        assert_eq!(tokens.name_of(b"fedcba9876543210").as_deref(), Some("ops"));
        for wrong in ["", "0123456789abcde", "0123456789abcdef0", "ci 0123456789abcdef", "ci"] {
            assert_eq!(tokens.name_of(wrong.as_bytes()), None, "{wrong}");
        }
        assert_eq!(parse("0123456789abcdef").unwrap().name_of(b"0123456789abcdef").as_deref(), Some("token"));
    }

    #[test]
    fn what_is_wrong_with_a_token_is_said_without_it() {
        for (text, why) in [
            ("", "none"),
            ("# 0123456789abcdef", "none"),
            ("short-secret", "line 1: a token has at least 16"),
            ("a b 0123456789abcdef", "line 1: a line is"),
            ("a 0123456789abcdef\na fedcba9876543210", "line 2: there is one named"),
        ] {
            let error = parse(text).err().unwrap();
            assert!(error.contains(why) && !error.contains("secret") && !error.contains("0123"), "{error}");
        }
    }
}
