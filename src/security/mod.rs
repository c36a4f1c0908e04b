//! Who is on the other side: SASL mechanisms, certificates, principals, users, secrets.
//!
//! The room turns SASL tokens and client certificates into a [`Principal`] and keeps what that takes. It must not know how
//! tokens and TLS records travel (that is the gateway's), what a principal may do (that is policy), or where its files are
//! configured (that is app).

pub mod credential;
mod fingerprint;
pub mod principal;
pub mod sasl;
pub mod secret;
pub mod tls;
pub mod users;
pub mod users_file;

pub use fingerprint::Fingerprint;
pub use principal::{Principal, UserName};
pub use sasl::{Authenticator, Mechanism, SaslFailure, SaslServer, SaslStep};
pub use secret::{SecretBytes, SecretString};
pub use users_file::UsersStore;
