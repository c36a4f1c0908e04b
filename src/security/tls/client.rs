//! The other end: what `tollgate ctl` asks an HTTPS address with.

use super::{TlsError, load, made};
use rustls::ClientConfig;
use std::path::PathBuf;
use std::sync::Arc;

/// Where the PEM files of a client are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientFiles {
    /// Whom it trusts; nobody else, whatever the machine's own list says.
    pub ca: PathBuf,
    /// Its own certificate.
    pub certificate: Option<PathBuf>,
    /// None: the key is in the file of the certificate.
    pub key: Option<PathBuf>,
}

/// Blocks on the disk.
pub fn client(files: &ClientFiles) -> Result<Arc<ClientConfig>, TlsError> {
    let roots = load::authorities(&files.ca)?;
    let builder = ClientConfig::builder_with_provider(Arc::new(made::provider()))
        .with_safe_default_protocol_versions()
        .map_err(TlsError::SetUp)?
        .with_root_certificates(roots);
    let config = match &files.certificate {
        None => builder.with_no_client_auth(),
        Some(certificate) => {
            let key = files.key.as_ref().unwrap_or(certificate);
            let (chain, private) = (load::certificates(certificate)?, load::private_key(key)?);
            let unusable = |error| TlsError::Key { path: key.clone(), error };
            builder.with_client_auth_cert(chain, private).map_err(unusable)?
        }
    };
    Ok(Arc::new(config))
}
