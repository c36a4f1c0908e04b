//! `sasl_fail(mechanism?)` and `sasl_expire(time)`: what becomes of logins. They meet a login when it would succeed, so that they can
//! refuse it, or let it end sooner, and never let anybody in.

use super::{Executed, Harm, Injected};
use crate::security::sasl::Mechanism;
use crate::wire::{ApiKey, ErrorCode};
use std::fmt;
use std::time::Duration;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SaslFault {
    /// The credentials are refused though they are right, and the session ends.
    Fail,
    /// The mechanism is refused as one that is not there, and the session ends.
    Unsupported(Mechanism),
    /// The login is good for so long (KIP-368): whoever has not logged in again by then is closed at its next request.
    Expire(Duration),
}

impl SaslFault {
    /// Where it happens.
    pub fn api(self) -> ApiKey {
        match self {
            Self::Fail | Self::Expire(_) => ApiKey::SaslAuthenticate,
            Self::Unsupported(_) => ApiKey::SaslHandshake,
        }
    }

    pub fn word(self) -> &'static str {
        match self {
            Self::Fail | Self::Unsupported(_) => "sasl_fail",
            Self::Expire(_) => "sasl_expire",
        }
    }

    /// Whether it refuses.
    pub fn answers(self) -> bool {
        !matches!(self, Self::Expire(_))
    }

    pub fn inject(self, harm: &mut Harm) -> Injected {
        let refuse = |harm: &mut Harm, code: ErrorCode| {
            harm.fail = Some(code);
            Injected { executed: Executed::No, parameter: Some(code.to_string()), terminal: true }
        };
        match self {
            Self::Fail => refuse(harm, ErrorCode::SASL_AUTHENTICATION_FAILED),
            Self::Unsupported(_) => refuse(harm, ErrorCode::UNSUPPORTED_SASL_MECHANISM),
            Self::Expire(time) => {
                harm.lifetime = Some(harm.lifetime.map_or(time, |other| other.min(time)));
                Injected {
                    executed: Executed::Untouched,
                    parameter: Some(format!("{time:?}")),
                    terminal: false,
                }
            }
        }
    }
}

impl fmt::Display for SaslFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fail => write!(f, "{}()", self.word()),
            Self::Unsupported(mechanism) => write!(f, "{}(\"{mechanism}\")", self.word()),
            Self::Expire(time) => write!(f, "{}({time:?})", self.word()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_shown_with_what_they_are_about() {
        assert_eq!(SaslFault::Fail.to_string(), "sasl_fail()");
        assert_eq!(SaslFault::Unsupported(Mechanism::Plain).to_string(), "sasl_fail(\"PLAIN\")");
        assert_eq!(SaslFault::Expire(Duration::from_secs(5)).to_string(), "sasl_expire(5s)");
    }

    #[test]
    fn a_login_is_refused_or_ends_sooner() {
        let mut harm = Harm::default();
        assert!(SaslFault::Fail.inject(&mut harm).terminal);
        assert_eq!(harm.fail, Some(ErrorCode::SASL_AUTHENTICATION_FAILED));
        SaslFault::Unsupported(Mechanism::Plain).inject(&mut harm);
        assert_eq!(harm.fail, Some(ErrorCode::UNSUPPORTED_SASL_MECHANISM));
        let mut harm = Harm::default();
        for (seconds, lifetime) in [(5, 5), (3, 3), (9, 3)] {
            let injected = SaslFault::Expire(Duration::from_secs(seconds)).inject(&mut harm);
            assert_eq!((injected.executed, injected.terminal), (Executed::Untouched, false));
            assert_eq!(harm, Harm { lifetime: Some(Duration::from_secs(lifetime)), ..Harm::default() });
        }
    }
}
