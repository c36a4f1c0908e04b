//! Who a session is: Kafka's principal, `User:alice`.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// Longest user name accepted, in bytes of UTF-8.
pub const MAX_NAME_BYTES: usize = 255;

const USER_PREFIX: &str = "User:";
const ANONYMOUS_NAME: &str = "ANONYMOUS";

/// A principal in Kafka's own form, `User:<name>`. Cheap to clone, compared and hashed as text.
///
/// `User` is the only principal type a broker hands out; a name may itself contain colons.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Principal(Arc<str>);

impl Principal {
    /// `User:ANONYMOUS`: a session on a listener that asks for no authentication.
    pub fn anonymous() -> Self {
        Self(Arc::from("User:ANONYMOUS"))
    }

    /// The principal of an authenticated user.
    pub fn user(name: &UserName) -> Self {
        Self(Arc::from(format!("{USER_PREFIX}{}", name.as_str())))
    }

    /// The whole principal, `User:alice`: what selectors and access lists match.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The part after `User:`.
    pub fn name(&self) -> &str {
        self.0.get(USER_PREFIX.len()..).unwrap_or_default()
    }

    pub fn is_anonymous(&self) -> bool {
        self.name() == ANONYMOUS_NAME
    }
}

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Principal {
    type Err = NameError;

    /// Parses `User:alice`. `User:ANONYMOUS` is a principal, though never a user name.
    fn from_str(text: &str) -> Result<Self, NameError> {
        let name = text.strip_prefix(USER_PREFIX).ok_or(NameError::NotAUser)?;
        check_text(name)?;
        Ok(Self(Arc::from(text)))
    }
}

/// The name of a user that can log in: not empty, at most [`MAX_NAME_BYTES`], no control characters, and not
/// `ANONYMOUS`, which would make an authenticated session look like one that never authenticated.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UserName(Arc<str>);

impl UserName {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for UserName {
    type Err = NameError;

    fn from_str(name: &str) -> Result<Self, NameError> {
        check_text(name)?;
        if name == ANONYMOUS_NAME {
            return Err(NameError::Anonymous);
        }
        Ok(Self(Arc::from(name)))
    }
}

impl std::borrow::Borrow<str> for UserName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for UserName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for UserName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why a text is no name. It never repeats the text: a client that mixes up its fields may have sent a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    #[error("a user name must not be empty")]
    Empty,
    #[error("a user name is longer than {MAX_NAME_BYTES} bytes")]
    TooLong,
    #[error("a user name contains a control character")]
    ControlCharacter,
    #[error("ANONYMOUS names sessions that never authenticated and cannot be a user")]
    Anonymous,
    #[error("a principal is written User:<name>")]
    NotAUser,
}

/// SASLprep forbids control characters. Its Unicode normalisation is left out, as Kafka leaves it out: names in
/// ASCII are unaffected, others are compared byte for byte.
fn check_text(name: &str) -> Result<(), NameError> {
    if name.is_empty() {
        return Err(NameError::Empty);
    }
    if name.len() > MAX_NAME_BYTES {
        return Err(NameError::TooLong);
    }
    if name.chars().any(char::is_control) {
        return Err(NameError::ControlCharacter);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_written_as_kafka_writes_it() {
        let principal = Principal::user(&"alice".parse().unwrap());
        assert_eq!(principal.as_str(), "User:alice");
        assert_eq!(principal.to_string(), "User:alice");
        assert_eq!(principal.name(), "alice");
        assert_eq!("User:alice".parse::<Principal>().unwrap(), principal);
        assert!(!principal.is_anonymous());
        assert!(Principal::anonymous().is_anonymous());
    }

    #[test]
    fn a_name_may_contain_colons() {
        let principal: Principal = "User:team:alice".parse().unwrap();
        assert_eq!(principal.name(), "team:alice");
    }

    #[test]
    fn bad_names_are_refused_each_for_its_reason() {
        let long = "x".repeat(MAX_NAME_BYTES + 1);
        for (name, why) in [
            ("", NameError::Empty),
            (long.as_str(), NameError::TooLong),
            ("a\nb", NameError::ControlCharacter),
            ("a\0b", NameError::ControlCharacter),
            ("ANONYMOUS", NameError::Anonymous),
        ] {
            assert_eq!(name.parse::<UserName>(), Err(why));
        }
        assert_eq!("Group:x".parse::<Principal>(), Err(NameError::NotAUser));
        assert_eq!("User:".parse::<Principal>(), Err(NameError::Empty));
        assert_eq!("x".repeat(MAX_NAME_BYTES).parse::<UserName>().unwrap().as_str().len(), MAX_NAME_BYTES);
    }
}
