//! `hold_until(api, name?, at_most)`: the request waits at the gateway, not executed, until another exchange of any session has been
//! given to the upstream: one of this api and, where a name is said, about a topic, group or transactional id so named. What is
//! never seen lets go when the time is over, as does the end of the rule. Meanwhile its session is not read: that a client has gone away shows when it ends.
//!
//! What lets go depends on what else runs: a rule fires for the same requests in every run, and how long each waits is in the
//! journal.

use super::{Executed, Harm, Injected};
use crate::policy::glob::Glob;
use crate::wire::ApiKey;
use std::fmt;
use std::time::Duration;

/// What a request waits for.
#[derive(Debug, Clone, PartialEq)]
pub struct Awaited {
    pub api: ApiKey,
    pub name: Option<Glob>,
    pub at_most: Duration,
}

pub fn inject(awaited: &Awaited, harm: &mut Harm) -> Injected {
    harm.hold = Some(awaited.clone());
    Injected { executed: Executed::Untouched, parameter: Some(awaited.to_string()), terminal: false }
}

impl fmt::Display for Awaited {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.api)?;
        if let Some(name) = &self.name {
            write!(f, ", {name}")?;
        }
        write!(f, ", {:?}", self.at_most)
    }
}
