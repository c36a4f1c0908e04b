//! Who is on the other side: SASL mechanisms, principals, users, secrets.
//!
//! The room turns SASL tokens into a [`Principal`] and keeps what that takes. It must not know how tokens travel
//! (SaslAuthenticate frames are the gateway's), what a principal may do (that is policy), or where its files are
//! configured (that is app). TLS will live here; until then configuration refuses its keys.

pub mod credential;
pub mod principal;
pub mod sasl;
pub mod secret;
pub mod users;
pub mod users_file;

pub use principal::{Principal, UserName};
pub use sasl::{Authenticator, Mechanism, SaslFailure, SaslServer, SaslStep};
pub use secret::{SecretBytes, SecretString};
pub use users_file::UsersStore;
