//! Why TLS cannot be had from the files it is configured with.

use std::io;
use std::path::PathBuf;

#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("{}: cannot be read: {error}", path.display())]
    Read { path: PathBuf, error: io::Error },
    #[error("{}: not PEM: {error}", path.display())]
    Pem { path: PathBuf, error: rustls::pki_types::pem::Error },
    #[error("{}: there is no certificate in it (-----BEGIN CERTIFICATE-----)", path.display())]
    NoCertificate { path: PathBuf },
    #[error("{}: there is no private key in it (-----BEGIN PRIVATE KEY-----)", path.display())]
    NoKey { path: PathBuf },
    #[error("{}: the private key is encrypted; `openssl pkey -in FILE -out FILE` writes it in the clear", path.display())]
    EncryptedKey { path: PathBuf },
    #[error("{}: the private key cannot be used: {error}", path.display())]
    Key { path: PathBuf, error: rustls::Error },
    #[error("{}: the first certificate is not that of the private key in {}", certificate.display(), key.display())]
    OfAnother { certificate: PathBuf, key: PathBuf },
    #[error("{}: the certificate cannot be used: {error}", path.display())]
    Certificate { path: PathBuf, error: Box<dyn std::error::Error + Send + Sync> },
    #[error("TLS cannot be set up: {0}")]
    SetUp(rustls::Error),
}
