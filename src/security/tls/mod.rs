//! What TLS handshakes of a listener, or of the admin address, are made with: its certificate and key, and whose clients' certificates it takes. Read from
//! PEM files, and read again when they change, so that certificates are renewed without a restart.
//!
//! TLS is rustls's, 1.2 and 1.3, with its defaults of ciphers. Nothing here speaks to a socket.
//!
//! What opens and renews blocks on the disk: never call it on an async worker. [`ServerTls::config`], [`ServerTls::certificate`],
//! [`untrusted`] and [`principal`] touch no file.

mod client;
mod error;
mod load;
mod made;
mod subject;

pub use client::{ClientFiles, client};
pub use error::TlsError;
pub use load::shown;
pub use made::untrusted;
pub use subject::{NoPrincipal, principal};

use super::fingerprint::Fingerprint;
use rustls::ServerConfig;
use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::SystemTime;

/// Whether clients must show a certificate: Kafka's `ssl.client.auth`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ClientAuth {
    #[default]
    Required,
    /// Those without one are `User:ANONYMOUS`, or log in by SASL.
    Requested,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("required, or requested; for none, name no authority")]
pub struct InvalidClientAuth;

impl std::str::FromStr for ClientAuth {
    type Err = InvalidClientAuth;

    fn from_str(text: &str) -> Result<Self, InvalidClientAuth> {
        match text {
            "required" => Ok(Self::Required),
            "requested" => Ok(Self::Requested),
            _ => Err(InvalidClientAuth),
        }
    }
}

/// Where the PEM files of a listener are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The listener's certificate first, then those between it and its authority.
    pub certificate: PathBuf,
    /// None: it is in the file of the certificate.
    pub key: Option<PathBuf>,
    /// The authorities whose clients' certificates are taken. None: clients are asked for none.
    pub client_ca: Option<PathBuf>,
    pub client_auth: ClientAuth,
}

/// TLS of a listener: what its next handshake is made with.
pub struct ServerTls {
    files: TlsFiles,
    current: RwLock<Loaded>,
    watch: Mutex<Watch>,
}

/// What the files said.
#[derive(Clone)]
struct Loaded {
    config: Arc<ServerConfig>,
    certificate: Served,
}

/// The certificate that a listener shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Served {
    pub not_after: SystemTime,
    /// The host names and addresses it is for.
    pub names: Vec<String>,
}

type Fingerprints = Vec<Option<Fingerprint>>;

#[derive(Default)]
struct Watch {
    /// The state that was read last, whatever came of it.
    judged: Fingerprints,
    /// A state seen once: whoever replaces files may be in the middle of it.
    settling: Option<Fingerprints>,
}

/// What a look at the files came to.
#[derive(Debug, PartialEq, Eq)]
pub enum Renewed {
    Unchanged,
    /// They changed: the next look decides.
    Settling,
    /// New handshakes are made with what they say now.
    Changed(Served),
}

impl ServerTls {
    pub fn open(files: TlsFiles) -> Result<Self, TlsError> {
        let judged = fingerprints(&files);
        let loaded = load::load(&files)?;
        let watch = Mutex::new(Watch { judged, settling: None });
        Ok(Self { files, current: RwLock::new(loaded), watch })
    }

    /// For a handshake that begins now.
    pub fn config(&self) -> Arc<ServerConfig> {
        self.current.read().unwrap_or_else(PoisonError::into_inner).config.clone()
    }

    pub fn certificate(&self) -> Served {
        self.current.read().unwrap_or_else(PoisonError::into_inner).certificate.clone()
    }

    pub fn files(&self) -> &TlsFiles {
        &self.files
    }

    /// Looks at the files, and reads them when they have changed and stand still. After an error what was read before goes on,
    /// and the same state of the files is not read again.
    pub fn renew(&self) -> Result<Renewed, TlsError> {
        let mut watch = self.watch.lock().unwrap_or_else(PoisonError::into_inner);
        let found = fingerprints(&self.files);
        if watch.judged == found {
            watch.settling = None;
            return Ok(Renewed::Unchanged);
        }
        if watch.settling.as_ref() != Some(&found) {
            watch.settling = Some(found);
            return Ok(Renewed::Settling);
        }
        watch.settling = None;
        let loaded = load::load(&self.files);
        // What cannot be read now may be later: that is no judgement of what it says.
        if !matches!(loaded, Err(TlsError::Read { .. })) {
            watch.judged = found;
        }
        let loaded = loaded?;
        let certificate = loaded.certificate.clone();
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = loaded;
        Ok(Renewed::Changed(certificate))
    }
}

impl std::fmt::Debug for ServerTls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ServerTls").field("files", &self.files).finish_non_exhaustive()
    }
}

/// A file that is not there has none.
fn fingerprints(files: &TlsFiles) -> Fingerprints {
    [Some(&files.certificate), files.key.as_ref(), files.client_ca.as_ref()]
        .into_iter()
        .flatten()
        .map(|path| fs::metadata(path).ok().map(|metadata| Fingerprint::of(&metadata)))
        .collect()
}

#[cfg(test)]
mod tests;
