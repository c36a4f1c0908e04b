//! Users that log in by SCRAM, as the admin apis see them (KIP-554). Who keeps them, and checks logins, is not this room's
//! business: it states what it needs of them.

use std::fmt::Debug;

use super::broker::Broker;
use super::error::ApiError;
use crate::wire::types::Sensitive;
use crate::wire::{ErrorCode, Str};

/// A mechanism, by Kafka's number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ScramMechanism {
    Sha256 = 1,
    Sha512 = 2,
}

impl ScramMechanism {
    pub fn from_number(number: i8) -> Option<Self> {
        match number {
            1 => Some(ScramMechanism::Sha256),
            2 => Some(ScramMechanism::Sha512),
            _ => None,
        }
    }
}

/// That a user can log in by a mechanism.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScramCredential {
    pub name: Str,
    pub mechanism: ScramMechanism,
    pub iterations: u32,
}

/// A change of one user's credential of one mechanism.
#[derive(Debug, Clone)]
pub enum ScramChange {
    Delete {
        name: Str,
        mechanism: ScramMechanism,
    },
    /// `salted_password` is Hi(password, salt, iterations) of RFC 5802.
    Put {
        name: Str,
        mechanism: ScramMechanism,
        iterations: u32,
        salt: Sensitive,
        salted_password: Sensitive,
    },
}

impl ScramChange {
    pub fn name(&self) -> &Str {
        match self {
            ScramChange::Delete { name, .. } | ScramChange::Put { name, .. } => name,
        }
    }
}

/// Who keeps the users. Both calls block on the disk.
pub trait ScramStore: Debug + Send + Sync {
    /// All credentials, in the order of users and mechanisms.
    fn credentials(&self) -> Result<Vec<ScramCredential>, String>;

    /// Makes the changes, durably and for the next login; for each, why it was not made. An error is about all of them:
    /// none was made.
    fn alter(&self, changes: Vec<ScramChange>) -> Result<Vec<Option<ApiError>>, String>;
}

impl Broker {
    pub(super) fn scram_credentials(&self) -> Result<Vec<ScramCredential>, ApiError> {
        match &self.scram {
            Some(store) => store.credentials().map_err(failed),
            None => Ok(Vec::new()),
        }
    }

    pub(super) fn alter_scram(&self, changes: Vec<ScramChange>) -> Result<Vec<Option<ApiError>>, ApiError> {
        match &self.scram {
            Some(store) => store.alter(changes).map_err(failed),
            None => Err(ApiError::new(ErrorCode::SECURITY_DISABLED, "This broker has no users.")),
        }
    }
}

fn failed(problem: String) -> ApiError {
    tracing::error!(problem, "the users cannot be read or changed");
    ApiError::new(ErrorCode::UNKNOWN_SERVER_ERROR, "The users cannot be read or changed; see the log.")
}
