//! Certificates that nobody vouches for, made here: what a client must refuse.

use super::load;
use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::sign::CertifiedKey;
use std::sync::Arc;

/// Whose cryptography this program uses.
pub(super) fn provider() -> CryptoProvider {
    rustls::crypto::ring::default_provider()
}

/// For handshakes that show a certificate of these names signed by itself: all about it is right but that.
pub fn untrusted(names: &[String]) -> Result<Arc<ServerConfig>, String> {
    let made = rcgen::generate_simple_self_signed(names).map_err(|error| error.to_string())?;
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
    let certified = CertifiedKey::from_der(vec![made.cert.der().clone()], key, &provider())
        .map_err(|error| error.to_string())?;
    load::config(certified, None).map_err(|error| error.to_string())
}
