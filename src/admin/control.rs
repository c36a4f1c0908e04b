//! What can be asked to change, who asks, and what is answered: the shapes between the HTTP server and whoever keeps the
//! policies.

use std::net::SocketAddr;

use serde::Serialize;

use super::handles::PolicyStatus;

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The name of the token, `loopback` where none is needed, `unknown` when it was not shown.
    pub name: String,
    pub address: SocketAddr,
}

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    PutPolicy,
    RemovePolicy,
    EnablePolicy,
    DisablePolicy,
    PutRule,
    RemoveRule,
    EnableRule,
    DisableRule,
    Reset,
}

impl Action {
    /// As the audit trail and the OpenAPI description have it.
    pub fn name(self) -> &'static str {
        match self {
            Self::PutPolicy => "put_policy",
            Self::RemovePolicy => "remove_policy",
            Self::EnablePolicy => "enable_policy",
            Self::DisablePolicy => "disable_policy",
            Self::PutRule => "put_rule",
            Self::RemoveRule => "remove_rule",
            Self::EnableRule => "enable_rule",
            Self::DisableRule => "disable_rule",
            Self::Reset => "reset",
        }
    }
}

/// A change as it was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    pub action: Action,
    pub policy: Option<String>,
    pub rule: Option<String>,
    /// The script; None when there is none, or the change was refused before it was read.
    pub text: Option<String>,
    /// A length of time such as `10m`, as it was written.
    pub ttl: Option<String>,
    /// Security rules may be concerned.
    pub security: bool,
}

/// Makes changes, and writes down those that were made and those that were not.
pub trait PolicyControl: Send + Sync {
    /// May take as long as a script takes to load.
    fn apply(&self, caller: &Caller, change: &Change) -> Result<Done, Problem>;
    /// A change that came no further than the door.
    fn refused(&self, caller: &Caller, change: &Change, problem: &Problem);
}

/// The tokens that open the door.
pub trait Tokens: Send + Sync {
    /// The name of the token, if it is one. Takes as long for a wrong one as for a right one.
    fn name_of(&self, token: &[u8]) -> Option<String>;
}

/// What a change came to.
#[derive(Debug, Clone, Serialize)]
#[serde(untagged)]
pub enum Done {
    Changed(Changed),
    Reset(Reset),
}

#[derive(Debug, Clone, Serialize)]
pub struct Changed {
    /// The set in force from here on.
    pub generation: u64,
    /// It was not there before. Answered with 201.
    pub created: bool,
    /// False when all was so already.
    pub changed: bool,
    /// As it is now; absent when it was removed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy: Option<PolicyStatus>,
}

#[derive(Debug, Clone, Serialize)]
pub struct Reset {
    pub generation: u64,
    /// The policies that were removed.
    pub removed: Vec<String>,
    /// Those that stayed, because they have security rules and that was not allowed or not said.
    pub kept: Vec<String>,
    /// How many policies and rules were switched on again.
    pub enabled: usize,
}

/// Why something was not done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    #[serde(skip)]
    pub status: u16,
    /// One word for programs.
    pub error: &'static str,
    /// A sentence for people.
    pub message: String,
    /// What is wrong with a script.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<ScriptError>,
}

/// An error in a script.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ScriptError {
    pub file: String,
    /// Line and column count from one; zero when it is about the script as a whole.
    pub line: usize,
    pub column: usize,
    pub message: String,
    /// The line itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
}

impl Problem {
    pub fn new(status: u16, error: &'static str, message: impl Into<String>) -> Self {
        Self { status, error, message: message.into(), errors: Vec::new() }
    }
}
