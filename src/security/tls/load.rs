//! PEM files to what rustls makes handshakes with.

use super::{ClientAuth, Loaded, Served, TlsError, TlsFiles, made};
use crate::security::SecretBytes;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{RootCertStore, ServerConfig};
use std::fs::File;
use std::io::{self, Read};
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use x509_cert::Certificate;
use x509_cert::der::Decode;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;

/// Largest file of certificates read: more than all public authorities together.
const MAX_FILE_BYTES: u64 = 4 * 1024 * 1024;

pub(super) fn load(files: &TlsFiles) -> Result<Loaded, TlsError> {
    let chain = certificates(&files.certificate)?;
    let key_file = files.key.as_ref().unwrap_or(&files.certificate);
    let key = private_key(key_file)?;
    let served = served(&files.certificate, chain.first())?;
    let certified = certified(chain, key).map_err(|error| match error {
        rustls::Error::InconsistentKeys(_) => {
            TlsError::OfAnother { certificate: files.certificate.clone(), key: key_file.clone() }
        }
        // what it says of certificates, `served` has said before
        error => TlsError::Key { path: key_file.clone(), error },
    })?;
    let roots = files.client_ca.as_deref().map(authorities).transpose()?;
    let config = config(certified, roots.map(|roots| (roots, files.client_auth)))?;
    Ok(Loaded { config, certificate: served })
}

/// A chain and its key from one PEM text, for handshakes that are to show just that.
pub fn shown(text: &[u8]) -> Result<Arc<ServerConfig>, String> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text).collect();
    let chain = chain.map_err(|error| format!("is not PEM: {error}"))?;
    if chain.is_empty() {
        return Err("holds no certificate (-----BEGIN CERTIFICATE-----)".to_owned());
    }
    let key = PrivateKeyDer::from_pem_slice(text).map_err(|error| match error {
        pem::Error::NoItemsFound => {
            "holds no private key in the clear (-----BEGIN PRIVATE KEY-----)".to_owned()
        }
        error => format!("is not PEM: {error}"),
    })?;
    let certified = certified(chain, key).map_err(|error| format!("cannot be used: {error}"))?;
    config(certified, None).map_err(|error| error.to_string())
}

fn certified(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<CertifiedKey, rustls::Error> {
    CertifiedKey::from_der(chain, key, &made::provider())
}

pub(super) fn config(
    certified: CertifiedKey,
    clients: Option<(RootCertStore, ClientAuth)>,
) -> Result<Arc<ServerConfig>, TlsError> {
    let provider = Arc::new(made::provider());
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(TlsError::SetUp)?;
    let has_clients = clients.is_some();
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some((roots, auth)) => {
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            let verifier = match auth {
                ClientAuth::Required => verifier,
                ClientAuth::Requested => verifier.allow_unauthenticated(),
            };
            let built = verifier
                .build()
                .map_err(|error| TlsError::SetUp(rustls::Error::General(error.to_string())))?;
            builder.with_client_cert_verifier(built)
        }
    };
    let mut config = builder.with_cert_resolver(Arc::new(rustls::sign::SingleCertAndKey::from(certified)));
    if has_clients {
        // A session that is resumed is not judged again: its certificate may have ended.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
    }
    Ok(Arc::new(config))
}

pub(super) fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let text = read(path)?;
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text.expose()).collect();
    let chain = chain.map_err(|error| TlsError::Pem { path: path.to_owned(), error })?;
    match chain.is_empty() {
        true => Err(TlsError::NoCertificate { path: path.to_owned() }),
        false => Ok(chain),
    }
}

/// A file that may hold a key.
fn read(path: &Path) -> Result<SecretBytes, TlsError> {
    let failed = |error| TlsError::Read { path: path.to_owned(), error };
    let file = File::open(path).map_err(failed)?;
    // Reserved at once: growing would leave copies of a key in freed memory.
    let length = file.metadata().map_err(failed)?.len().min(MAX_FILE_BYTES);
    let mut text = Vec::with_capacity(usize::try_from(length).unwrap_or_default() + 64);
    let all = file.take(MAX_FILE_BYTES + 1).read_to_end(&mut text);
    let text = SecretBytes::new(text);
    all.map_err(failed)?;
    if text.expose().len() as u64 > MAX_FILE_BYTES {
        return Err(failed(io::Error::new(io::ErrorKind::InvalidData, "it is longer than 4 MiB")));
    }
    Ok(text)
}

pub(super) fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    let text = read(path)?;
    let text = text.expose();
    PrivateKeyDer::from_pem_slice(text).map_err(|error| match error {
        pem::Error::NoItemsFound if contains(text, b"ENCRYPTED") => {
            TlsError::EncryptedKey { path: path.to_owned() }
        }
        pem::Error::NoItemsFound => TlsError::NoKey { path: path.to_owned() },
        error => TlsError::Pem { path: path.to_owned(), error },
    })
}

fn contains(text: &[u8], what: &[u8]) -> bool {
    text.windows(what.len()).any(|window| window == what)
}

pub(super) fn authorities(path: &Path) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        roots
            .add(certificate)
            .map_err(|error| TlsError::Certificate { path: path.to_owned(), error: error.into() })?;
    }
    Ok(roots)
}

/// What there is to know of the certificate that clients see.
fn served(path: &Path, first: Option<&CertificateDer<'_>>) -> Result<Served, TlsError> {
    let unusable =
        |error: x509_cert::der::Error| TlsError::Certificate { path: path.to_owned(), error: error.into() };
    let first = first.ok_or_else(|| TlsError::NoCertificate { path: path.to_owned() })?;
    let body = Certificate::from_der(first).map_err(unusable)?.tbs_certificate;
    let alternative = body.get::<SubjectAltName>().map_err(unusable)?;
    let names = alternative.into_iter().flat_map(|(_, SubjectAltName(names))| names);
    let names = names.filter_map(|name| match name {
        GeneralName::DnsName(name) => Some(name.to_string()),
        GeneralName::IpAddress(bytes) => address(bytes.as_bytes()).map(|address| address.to_string()),
        _ => None,
    });
    Ok(Served { not_after: body.validity.not_after.to_system_time(), names: names.collect() })
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    <[u8; 4]>::try_from(bytes)
        .map(IpAddr::from)
        .or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from))
        .ok()
}
