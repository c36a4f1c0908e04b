//! `tls_fail(kind)`: the TLS handshake of a session comes to nothing. A rule of `on_connect` says how; the gateway's `socket`
//! carries it out. It only ever takes something away: a session it strikes has no TLS, and never a word of Kafka.

use super::{Executed, Injected};
use rustls::ServerConfig;
use std::fmt;
use std::sync::Arc;

/// The alerts there are words for: RFC 8446 section 6, which names and numbers them.
const ALERTS: &[(&str, u8)] = &[
    ("handshake_failure", 40),
    ("bad_certificate", 42),
    ("unsupported_certificate", 43),
    ("certificate_revoked", 44),
    ("certificate_expired", 45),
    ("certificate_unknown", 46),
    ("unknown_ca", 48),
    ("access_denied", 49),
    ("decrypt_error", 51),
    ("protocol_version", 70),
    ("insufficient_security", 71),
    ("internal_error", 80),
    ("unrecognized_name", 112),
    ("certificate_required", 116),
];
const UNTRUSTED: &str = "untrusted";

#[derive(Debug, Clone, PartialEq)]
pub enum TlsFault {
    /// The client's hello is answered with this alert, as if we could do without it, or without its certificate.
    Alert(u8),
    /// The listener shows a certificate of its own names that nobody vouches for.
    Untrusted,
    /// The listener shows this certificate instead of its own.
    Certificate(Certificate),
}

/// A certificate and its key, out of a secret.
#[derive(Debug, Clone)]
pub struct Certificate {
    /// Of the secret.
    pub name: String,
    /// None: where policies are only checked or tested, and one is made up.
    pub shown: Option<Arc<ServerConfig>>,
}

impl PartialEq for Certificate {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl TlsFault {
    pub fn from_name(name: &str) -> Option<TlsFault> {
        if name == UNTRUSTED {
            return Some(TlsFault::Untrusted);
        }
        ALERTS.iter().find(|(known, _)| *known == name).map(|(_, alert)| TlsFault::Alert(*alert))
    }

    /// Of those that need nothing more than a name.
    pub fn names() -> impl Iterator<Item = &'static str> + Clone {
        ALERTS.iter().map(|(name, _)| *name).chain([UNTRUSTED])
    }

    pub fn inject(&self) -> Injected {
        Injected { executed: Executed::No, parameter: Some(self.to_string()), terminal: true }
    }
}

/// As the word's arguments are written.
impl fmt::Display for TlsFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TlsFault::Alert(alert) => match ALERTS.iter().find(|(_, known)| known == alert) {
                Some((name, _)) => write!(f, "\"{name}\""),
                None => write!(f, "{alert}"),
            },
            TlsFault::Untrusted => write!(f, "\"{UNTRUSTED}\""),
            TlsFault::Certificate(certificate) => {
                write!(f, "\"certificate\", secret(\"{}\")", certificate.name)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_the_same_by_the_name_of_its_secret() {
        let of = |name: &str| TlsFault::Certificate(Certificate { name: name.into(), shown: None });
        assert_eq!(of("old"), of("old"));
        assert_ne!(of("old"), of("new"));
    }

    #[test]
    fn a_kind_is_written_as_it_is_read() {
        for name in TlsFault::names() {
            assert_eq!(TlsFault::from_name(name).unwrap().to_string(), format!("\"{name}\""));
        }
        assert_eq!(TlsFault::from_name("unknown_ca"), Some(TlsFault::Alert(48)));
        assert_eq!(TlsFault::from_name("nonsense"), None);
        let certificate = TlsFault::Certificate(Certificate { name: "old".into(), shown: None });
        assert_eq!(certificate.to_string(), "\"certificate\", secret(\"old\")");
        assert!(certificate.inject().terminal);
    }
}
