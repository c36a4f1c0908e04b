//! One ACL, and the filter that finds some. Resource types, pattern types, operations and permissions are Kafka's numbers,
//! which is what messages carry and the catalogue keeps.

use std::ops::RangeInclusive;

use crate::broker::error::ApiError;
use crate::wire::{ErrorCode, Str};

pub const ANY: i8 = 1;
const MATCH: i8 = 2;
pub const LITERAL: i8 = 3;
pub const PREFIXED: i8 = 4;
pub const ALL: i8 = 2;
pub const DENY: i8 = 2;
pub const ALLOW: i8 = 3;
pub const WILDCARD: &str = "*";
const CLUSTER: i8 = 4;
/// Whoever is a user.
pub const ANY_USER: &str = "User:*";

/// What there is, beyond 0 for unknown and ANY: topic, group, cluster, transactional id, delegation token, user.
const RESOURCE_TYPES: RangeInclusive<i8> = 2..=7;
/// From ALL to TWO_PHASE_COMMIT (KIP-939).
const OPERATIONS: RangeInclusive<i8> = 2..=15;

/// One entry. Ordered by resource first, as they are listed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Binding {
    pub resource_type: i8,
    pub name: Str,
    pub pattern_type: i8,
    pub principal: Str,
    pub host: Str,
    pub operation: i8,
    pub permission: i8,
}

type Row = (i8, String, i8, String, String, i8, i8);

impl Binding {
    /// What it is kept under: all of it.
    pub fn key(&self) -> Result<String, ApiError> {
        let row: Row = (
            self.resource_type,
            self.name.to_string(),
            self.pattern_type,
            self.principal.to_string(),
            self.host.to_string(),
            self.operation,
            self.permission,
        );
        serde_json::to_string(&row).map_err(|e| ApiError::new(ErrorCode::UNKNOWN_SERVER_ERROR, e.to_string()))
    }

    pub fn from_key(key: &str) -> Result<Self, String> {
        let row: Row = serde_json::from_str(key).map_err(|e| e.to_string())?;
        let (resource_type, name, pattern_type, principal, host, operation, permission) = row;
        let [name, principal, host] = [name, principal, host].map(Str::from);
        let binding = Binding { resource_type, name, pattern_type, principal, host, operation, permission };
        binding.check().map(|()| binding).map_err(|e| e.to_string())
    }

    /// What it takes to hold it, about.
    pub fn bytes(&self) -> usize {
        2 * (self.name.len() + self.principal.len() + self.host.len()) + 400
    }

    /// Whether it is a filter rather than a binding: there is no such thing as an ACL about any resource, and Kafka falls
    /// over it.
    pub fn is_filter(&self) -> bool {
        [self.resource_type, self.pattern_type, self.operation, self.permission].contains(&ANY)
            || self.pattern_type == MATCH
    }

    /// Why Kafka takes no such binding, in its words.
    pub fn check(&self) -> Result<(), ApiError> {
        let invalid = |message: String| Err(ApiError::new(ErrorCode::INVALID_REQUEST, message));
        if self.resource_type == CLUSTER && *self.name != *crate::wire::api::CLUSTER {
            return invalid(format!(
                "The only valid name for the CLUSTER resource is {}",
                crate::wire::api::CLUSTER
            ));
        }
        if self.name.is_empty() {
            return invalid("Invalid empty resource name".to_owned());
        }
        if !RESOURCE_TYPES.contains(&self.resource_type) {
            return invalid("Invalid resourceType UNKNOWN".to_owned());
        }
        if !matches!(self.pattern_type, LITERAL | PREFIXED) {
            return invalid("Invalid patternType UNKNOWN".to_owned());
        }
        if !OPERATIONS.contains(&self.operation) {
            return invalid("Invalid operation UNKNOWN".to_owned());
        }
        if !matches!(self.permission, DENY | ALLOW) {
            return invalid("Invalid permissionType UNKNOWN".to_owned());
        }
        if self.host.is_empty() {
            return invalid("Host pattern cannot be null or empty".to_owned());
        }
        if !self.principal.contains(':') {
            return invalid(format!(
                "Could not parse principal from `{}` (no colon is present separating the principal type from the principal name)",
                self.principal
            ));
        }
        Ok(())
    }
}

/// Which bindings are meant; None and ANY are all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter {
    pub resource_type: i8,
    pub name: Option<Str>,
    pub pattern_type: i8,
    pub principal: Option<Str>,
    pub host: Option<Str>,
    pub operation: i8,
    pub permission: i8,
}

impl Filter {
    /// Why Kafka deletes nothing by it, in its words.
    pub fn check(&self) -> Result<(), ApiError> {
        let is = |known: RangeInclusive<i8>, number: i8| number == ANY || known.contains(&number);
        let message = if !(is(RESOURCE_TYPES, self.resource_type) && is(MATCH..=PREFIXED, self.pattern_type))
        {
            "Unknown patternFilter."
        } else if !(is(OPERATIONS, self.operation) && is(DENY..=ALLOW, self.permission)) {
            "Unknown entryFilter."
        } else {
            return Ok(());
        };
        Err(ApiError::new(ErrorCode::INVALID_REQUEST, message))
    }

    pub fn matches(&self, binding: &Binding) -> bool {
        let number = |filter: i8, is: i8| filter == ANY || filter == is;
        let text = |filter: &Option<Str>, is: &Str| filter.as_ref().is_none_or(|filter| filter == is);
        number(self.resource_type, binding.resource_type)
            && self.matches_pattern(binding)
            && text(&self.principal, &binding.principal)
            && text(&self.host, &binding.host)
            && number(self.operation, binding.operation)
            && number(self.permission, binding.permission)
    }

    fn matches_pattern(&self, binding: &Binding) -> bool {
        let is_type = self.pattern_type == binding.pattern_type;
        if !(is_type || matches!(self.pattern_type, ANY | MATCH)) {
            return false;
        }
        let Some(name) = &self.name else { return true };
        if is_type || self.pattern_type == ANY {
            return *name == binding.name;
        }
        // MATCH: what would concern a resource of this name.
        match binding.pattern_type {
            LITERAL => *name == binding.name || binding.name == WILDCARD,
            _ => name.starts_with(&*binding.name),
        }
    }
}

/// Whether any of these numbers says nothing: Kafka takes such a request for one that cannot be read.
pub fn unknown(resource_type: i8, pattern_type: i8, operation: i8, permission: i8) -> bool {
    [resource_type, pattern_type, operation, permission].contains(&0)
}
