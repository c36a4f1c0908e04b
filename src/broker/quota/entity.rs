//! Whom a quota is for, and which quotas there are: names, types and checks as Kafka's controller has them (KIP-546).

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, ToSocketAddrs};

use serde::{Deserialize, Serialize};

use crate::broker::ApiError;
use crate::wire::ErrorCode;

pub const USER: &str = "user";
pub const CLIENT_ID: &str = "client-id";
pub const IP: &str = "ip";

pub const PRODUCER_BYTE_RATE: &str = "producer_byte_rate";
pub const CONSUMER_BYTE_RATE: &str = "consumer_byte_rate";
pub const REQUEST_PERCENTAGE: &str = "request_percentage";
pub const CONTROLLER_MUTATION_RATE: &str = "controller_mutation_rate";
pub const CONNECTION_CREATION_RATE: &str = "connection_creation_rate";

/// Types and names; no name is the default of the type.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Entity(BTreeMap<String, Option<String>>);

impl Entity {
    pub fn new(named: impl IntoIterator<Item = (String, Option<String>)>) -> Self {
        Entity(named.into_iter().collect())
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, Option<&str>)> {
        self.0.iter().map(|(kind, name)| (kind.as_str(), name.as_deref()))
    }

    /// How many types it names.
    pub fn types(&self) -> usize {
        self.0.len()
    }

    /// The name under a type: `None` without the type, `Some(None)` for its default.
    pub fn name(&self, kind: &str) -> Option<Option<&str>> {
        self.0.get(kind).map(Option::as_deref)
    }

    /// Whether this is somebody a quota can be for. May ask the system for a host's address.
    pub fn check(&self) -> Result<(), ApiError> {
        if self.0.is_empty() {
            return invalid("Invalid empty client quota entity");
        }
        for (kind, name) in self.iter() {
            if ![USER, CLIENT_ID, IP].contains(&kind) {
                return invalid(format!("Unhandled client quota entity type: {kind}"));
            }
            if name == Some("") {
                return invalid(format!("Empty {kind} not supported"));
            }
        }
        let Some(address) = self.name(IP) else { return Ok(()) };
        if self.types() > 1 {
            return invalid(
                "Invalid quota entity combination, IP entity should not be combined with User or ClientId",
            );
        }
        match address {
            Some(text) if address_of(text).is_none() => {
                invalid(format!("{text} is not a valid IP or resolvable host."))
            }
            _ => Ok(()),
        }
    }

    /// Whether a quota of this name and value may be given to it.
    pub fn check_quota(&self, key: &str, value: f64) -> Result<(), ApiError> {
        let integral = match (self.name(IP).is_some(), key) {
            (false, PRODUCER_BYTE_RATE | CONSUMER_BYTE_RATE) => Some(("a LONG", i64::MAX as f64)),
            (false, REQUEST_PERCENTAGE | CONTROLLER_MUTATION_RATE) => None,
            (true, CONNECTION_CREATION_RATE) => Some(("an INT", f64::from(i32::MAX))),
            _ => return invalid(format!("Invalid configuration key {key}")),
        };
        // Not a number is not more than nothing.
        if value.is_nan() || value <= 0.0 {
            return invalid(format!("Quota {key} must be greater than 0"));
        }
        match integral {
            Some((kind, most)) if value > most => {
                invalid(format!("Proposed value for {key} is too large for {kind}."))
            }
            Some(_) if (value % 1.0).abs() > 1e-6 => invalid(format!("{key} cannot be a fractional value.")),
            _ => Ok(()),
        }
    }
}

/// As Kafka shows it in messages.
impl fmt::Display for Entity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientQuotaEntity(entries={")?;
        for (n, (kind, name)) in self.iter().enumerate() {
            let comma = if n == 0 { "" } else { ", " };
            write!(f, "{comma}{kind}={}", name.unwrap_or("null"))?;
        }
        f.write_str("})")
    }
}

/// The address that a name stands for. May block on the system's resolver.
pub(super) fn address_of(text: &str) -> Option<IpAddr> {
    let address: Option<IpAddr> =
        text.parse().ok().or_else(|| (text, 0).to_socket_addrs().ok()?.next().map(|found| found.ip()));
    // As connections are looked up.
    address.map(|address| address.to_canonical())
}

fn invalid<T>(message: impl Into<String>) -> Result<T, ApiError> {
    Err(ApiError::new(ErrorCode::INVALID_REQUEST, message))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entity(named: &[(&str, Option<&str>)]) -> Entity {
        Entity::new(named.iter().map(|(kind, name)| ((*kind).to_owned(), name.map(str::to_owned))))
    }

    fn told(result: Result<(), ApiError>) -> String {
        result.unwrap_err().message.unwrap().to_string()
    }

    #[test]
    fn wrong_entities_are_refused_in_kafkas_words() {
        let user = entity(&[(USER, Some("a"))]);
        assert_eq!(user.check(), Ok(()));
        assert_eq!(entity(&[(IP, Some("10.0.0.1"))]).check(), Ok(()));
        assert_eq!(entity(&[(USER, None), (CLIENT_ID, Some("c"))]).check(), Ok(()));
        assert_eq!(told(entity(&[]).check()), "Invalid empty client quota entity");
        assert_eq!(told(entity(&[("host", None)]).check()), "Unhandled client quota entity type: host");
        assert_eq!(told(entity(&[(USER, Some(""))]).check()), "Empty user not supported");
        let both = entity(&[(USER, None), (IP, None)]).check();
        assert!(told(both).starts_with("Invalid quota entity combination"));
        let address = entity(&[(IP, Some("300.1.1.1"))]).check();
        assert_eq!(told(address), "300.1.1.1 is not a valid IP or resolvable host.");
        assert_eq!(entity(&[(USER, None)]).to_string(), "ClientQuotaEntity(entries={user=null})");
    }

    #[test]
    fn wrong_quotas_are_refused_in_kafkas_words() {
        let (user, ip) = (entity(&[(USER, Some("a"))]), entity(&[(IP, None)]));
        assert_eq!(user.check_quota(PRODUCER_BYTE_RATE, 10.0), Ok(()));
        assert_eq!(user.check_quota(REQUEST_PERCENTAGE, 0.5), Ok(()));
        assert_eq!(told(user.check_quota("speed", 1.0)), "Invalid configuration key speed");
        assert_eq!(
            told(user.check_quota(CONNECTION_CREATION_RATE, 1.0)),
            "Invalid configuration key connection_creation_rate"
        );
        assert_eq!(
            told(ip.check_quota(PRODUCER_BYTE_RATE, 1.0)),
            "Invalid configuration key producer_byte_rate"
        );
        for wrong in [0.0, -1.0, f64::NAN] {
            let problem = told(user.check_quota(PRODUCER_BYTE_RATE, wrong));
            assert_eq!(problem, "Quota producer_byte_rate must be greater than 0");
        }
        assert_eq!(
            told(user.check_quota(PRODUCER_BYTE_RATE, 1.5)),
            "producer_byte_rate cannot be a fractional value."
        );
        assert_eq!(
            told(ip.check_quota(CONNECTION_CREATION_RATE, 3e9)),
            "Proposed value for connection_creation_rate is too large for an INT."
        );
    }
}
