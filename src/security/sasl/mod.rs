//! The server's side of SASL, one [`SaslServer`] a login: tokens in, tokens or a principal out.
//!
//! A login that fails says why in two voices: [`SaslFailure`] for our log and counters, and
//! [`SaslFailure::client_message`] for the peer, which never tells a wrong password from an unknown user. Neither
//! repeats anything the peer sent.

mod plain;
mod scram;
mod verifier;

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use super::credential::ScramHash;
use super::principal::Principal;
use super::secret::NoRandomness;
use super::users_file::UsersStore;
use scram::ScramServer;
use verifier::PasswordVerifier;

/// Longest token taken from a client, in bytes. The longest legal one is a PLAIN message of two names and a
/// password, at most 1,536 bytes.
pub const MAX_TOKEN_BYTES: usize = 4_096;

/// A mechanism a listener can offer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Mechanism {
    Plain,
    ScramSha256,
    ScramSha512,
}

impl Mechanism {
    pub const ALL: [Self; 3] = [Self::Plain, Self::ScramSha256, Self::ScramSha512];

    /// Its registered name, as SaslHandshake carries it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::ScramSha512 => "SCRAM-SHA-512",
        }
    }
}

impl fmt::Display for Mechanism {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A mechanism we do not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("unknown SASL mechanism; known are PLAIN, SCRAM-SHA-256 and SCRAM-SHA-512")]
pub struct UnknownMechanism;

impl FromStr for Mechanism {
    type Err = UnknownMechanism;

    /// Names are compared exactly, as Kafka compares them.
    fn from_str(name: &str) -> Result<Self, UnknownMechanism> {
        Self::ALL.into_iter().find(|m| m.name() == name).ok_or(UnknownMechanism)
    }
}

/// What all logins share: the users, and the bounded machinery that checks passwords.
#[derive(Debug)]
pub struct Authenticator {
    users: Arc<UsersStore>,
    verifier: PasswordVerifier,
}

impl Authenticator {
    pub fn new(users: Arc<UsersStore>) -> Result<Self, NoRandomness> {
        Ok(Self { users, verifier: PasswordVerifier::new()? })
    }

    pub fn users(&self) -> &UsersStore {
        &self.users
    }
}

/// What came of one token.
#[derive(Debug)]
pub enum SaslStep {
    /// Send this token; the client owes another.
    Continue(Vec<u8>),
    /// Send this token (it may be empty); the client is who the principal says.
    Done { principal: Principal, token: Vec<u8> },
    /// Answer with an error and close. Nothing further is taken from this login.
    Failed(SaslFailure),
}

/// Why a login failed: a closed set, used as a metric label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum SaslFailure {
    #[error("unknown user or wrong password")]
    InvalidCredentials,
    #[error("the client asked to act as another user")]
    OtherAuthorizationId,
    #[error("the token is longer than {MAX_TOKEN_BYTES} bytes")]
    TokenTooLong,
    #[error("malformed token: {0}")]
    Malformed(&'static str),
    #[error("the client requires TLS channel binding, which is not available")]
    ChannelBinding,
    #[error("the client requires a SCRAM extension that is not supported")]
    MandatoryExtension,
    #[error("delegation tokens are not supported")]
    DelegationToken,
    #[error("too many password checks are waiting")]
    Overloaded,
    #[error("a token came after the login had ended")]
    OutOfTurn,
    #[error("the server could not draw a nonce or run the check")]
    Internal,
}

impl SaslFailure {
    /// All labels [`SaslFailure::label`] can give.
    pub const LABELS: [&str; 10] = [
        "invalid_credentials",
        "other_authorization_id",
        "token_too_long",
        "malformed",
        "channel_binding",
        "mandatory_extension",
        "delegation_token",
        "overloaded",
        "out_of_turn",
        "internal",
    ];

    /// The cause as a metric label.
    pub fn label(self) -> &'static str {
        match self {
            Self::InvalidCredentials => "invalid_credentials",
            Self::OtherAuthorizationId => "other_authorization_id",
            Self::TokenTooLong => "token_too_long",
            Self::Malformed(_) => "malformed",
            Self::ChannelBinding => "channel_binding",
            Self::MandatoryExtension => "mandatory_extension",
            Self::DelegationToken => "delegation_token",
            Self::Overloaded => "overloaded",
            Self::OutOfTurn => "out_of_turn",
            Self::Internal => "internal",
        }
    }

    /// What the peer may read, for the `error_message` of SaslAuthenticate.
    pub fn client_message(self, mechanism: Mechanism) -> String {
        match self {
            Self::InvalidCredentials => {
                format!("Authentication failed: invalid credentials with SASL mechanism {mechanism}")
            }
            other => format!("Authentication failed with SASL mechanism {mechanism}: {other}"),
        }
    }

    /// Whether the same login could succeed later: nothing was wrong with it.
    pub fn is_transient(self) -> bool {
        matches!(self, Self::Overloaded | Self::Internal)
    }
}

/// One login, from the first token to the principal. Made when a SaslHandshake has chosen the mechanism.
#[derive(Debug)]
pub struct SaslServer {
    mechanism: Mechanism,
    authenticator: Arc<Authenticator>,
    state: State,
}

#[derive(Debug)]
enum State {
    Plain,
    Scram(ScramServer),
    Ended,
}

impl SaslServer {
    pub fn new(mechanism: Mechanism, authenticator: Arc<Authenticator>) -> Self {
        let scram = |hash| State::Scram(ScramServer::new(hash));
        let state = match mechanism {
            Mechanism::Plain => State::Plain,
            Mechanism::ScramSha256 => scram(ScramHash::Sha256),
            Mechanism::ScramSha512 => scram(ScramHash::Sha512),
        };
        Self { mechanism, authenticator, state }
    }

    pub fn mechanism(&self) -> Mechanism {
        self.mechanism
    }

    /// Takes the client's next token. SCRAM computes a few hashes in place; PLAIN waits for a blocking thread,
    /// since its key derivation takes milliseconds. Cancelling is safe: the login is then over.
    pub async fn step(&mut self, token: &[u8]) -> SaslStep {
        // Ended first: whatever fails or is cancelled below, nothing continues from a half-taken step.
        let state = std::mem::replace(&mut self.state, State::Ended);
        if token.len() > MAX_TOKEN_BYTES {
            return SaslStep::Failed(SaslFailure::TokenTooLong);
        }
        let outcome = match state {
            State::Plain => plain::authenticate(&self.authenticator, token).await,
            State::Scram(server) => {
                server.step(&self.authenticator.users.current(), token).map(|next| match next {
                    scram::Next::Continue(server, token) => {
                        self.state = State::Scram(server);
                        SaslStep::Continue(token)
                    }
                    scram::Next::Done { principal, token } => SaslStep::Done { principal, token },
                })
            }
            State::Ended => Err(SaslFailure::OutOfTurn),
        };
        outcome.unwrap_or_else(SaslStep::Failed)
    }
}

#[cfg(test)]
mod tests {
    use super::super::credential::MIN_ITERATIONS;
    use super::super::secret::SecretString;
    use super::super::users::{User, Users};
    use super::*;

    /// An authenticator that knows `alice` with the password `wonderland`.
    pub(super) fn authenticator() -> Arc<Authenticator> {
        let mut users = Users::new().unwrap();
        let alice = User::with_password(&SecretString::new("wonderland".into()), MIN_ITERATIONS).unwrap();
        users.insert("alice".parse().unwrap(), alice);
        Arc::new(Authenticator::new(Arc::new(UsersStore::fixed(users))).unwrap())
    }

    #[test]
    fn mechanisms_are_named_exactly() {
        for mechanism in Mechanism::ALL {
            assert_eq!(mechanism.name().parse(), Ok(mechanism));
        }
        for other in ["", "plain", "SCRAM-SHA-1", "SCRAM-SHA-256-PLUS", "GSSAPI"] {
            assert_eq!(other.parse::<Mechanism>(), Err(UnknownMechanism));
        }
    }

    #[tokio::test]
    async fn a_login_that_ended_takes_nothing_more() {
        for mechanism in Mechanism::ALL {
            let mut server = SaslServer::new(mechanism, authenticator());
            assert!(matches!(server.step(b"nonsense").await, SaslStep::Failed(SaslFailure::Malformed(_))));
            assert!(matches!(
                server.step(b"\0alice\0wonderland").await,
                SaslStep::Failed(SaslFailure::OutOfTurn)
            ));
        }
    }

    #[tokio::test]
    async fn a_token_over_the_limit_is_refused_unread() {
        for mechanism in Mechanism::ALL {
            let mut server = SaslServer::new(mechanism, authenticator());
            let token = vec![b'a'; MAX_TOKEN_BYTES + 1];
            assert!(matches!(server.step(&token).await, SaslStep::Failed(SaslFailure::TokenTooLong)));
        }
    }

    #[test]
    fn every_failure_has_its_own_label() {
        let all = [
            SaslFailure::InvalidCredentials,
            SaslFailure::OtherAuthorizationId,
            SaslFailure::TokenTooLong,
            SaslFailure::Malformed("x"),
            SaslFailure::ChannelBinding,
            SaslFailure::MandatoryExtension,
            SaslFailure::DelegationToken,
            SaslFailure::Overloaded,
            SaslFailure::OutOfTurn,
            SaslFailure::Internal,
        ];
        assert_eq!(all.map(SaslFailure::label), SaslFailure::LABELS);
    }
}
