use super::*;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, DnValue, IsCa, KeyPair, PKCS_ECDSA_P256_SHA256, SanType,
};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use std::path::Path;
use tempfile::TempDir;

fn params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    params.subject_alt_names.push(SanType::IpAddress("127.0.0.1".parse().unwrap()));
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

/// A certificate signed by itself, and its key, as PEM.
fn made(name: &str) -> (String, String) {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
    (params(name).self_signed(&key).unwrap().pem(), key.serialize_pem())
}

fn write(folder: &TempDir, name: &str, text: &str) -> PathBuf {
    let path = folder.path().join(name);
    fs::write(&path, text).unwrap();
    path
}

fn files(certificate: &Path, key: Option<&Path>) -> TlsFiles {
    TlsFiles {
        certificate: certificate.into(),
        key: key.map(Into::into),
        client_ca: None,
        client_auth: ClientAuth::Required,
    }
}

#[test]
fn a_certificate_and_its_key_are_in_two_files_or_in_one() {
    let folder = TempDir::new().unwrap();
    let (certificate, key) = made("a");
    let one = write(&folder, "one.pem", &format!("{certificate}{key}"));
    let (c, k) = (write(&folder, "c.pem", &certificate), write(&folder, "k.pem", &key));
    for files in [files(&one, None), files(&c, Some(&k))] {
        let tls = ServerTls::open(files).unwrap();
        assert_eq!(tls.certificate().names, ["localhost", "127.0.0.1"]);
        assert!(tls.certificate().not_after > SystemTime::UNIX_EPOCH);
    }
}

#[test]
fn what_cannot_be_used_is_named_with_its_file() {
    let folder = TempDir::new().unwrap();
    let ((certificate, key), (_, other)) = (made("a"), made("b"));
    let c = write(&folder, "c.pem", &certificate);
    let (k, other) = (write(&folder, "k.pem", &key), write(&folder, "other.pem", &other));
    let nothing = write(&folder, "nothing.pem", "");
    let sealed = write(
        &folder,
        "sealed.pem",
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n",
    );
    let broken = write(&folder, "broken.pem", &certificate.replace("END", "ENDE"));
    let junk = write(&folder, "junk.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    let large = write(&folder, "large.pem", &" ".repeat(5 << 20));
    let missing = folder.path().join("missing.pem");
    for (certificate, key, says) in [
        (&missing, &k, "missing.pem: cannot be read"),
        (&c, &missing, "missing.pem: cannot be read"),
        (&nothing, &k, "nothing.pem: there is no certificate in it"),
        (&c, &nothing, "nothing.pem: there is no private key in it"),
        (&c, &sealed, "sealed.pem: the private key is encrypted; `openssl pkey"),
        (&c, &other, "c.pem: the first certificate is not that of the private key in"),
        (&broken, &k, "broken.pem: not PEM"),
        (&junk, &k, "junk.pem: the certificate cannot be used"),
        (&large, &k, "large.pem: cannot be read: it is longer than 4 MiB"),
    ] {
        let said = ServerTls::open(files(certificate, Some(key))).unwrap_err().to_string();
        assert!(said.contains(says), "{said}");
    }
    let clients = TlsFiles { client_ca: Some(nothing), ..files(&c, Some(&k)) };
    let said = ServerTls::open(clients).unwrap_err().to_string();
    assert!(said.contains("nothing.pem: there is no certificate in it"), "{said}");
}

#[test]
fn a_new_certificate_is_taken_once_its_files_stand_still() {
    let folder = TempDir::new().unwrap();
    let (certificate, key) = made("a");
    let path = write(&folder, "one.pem", &format!("{certificate}{key}"));
    let tls = ServerTls::open(files(&path, None)).unwrap();
    let first = tls.config();
    assert_eq!(tls.renew().unwrap(), Renewed::Unchanged);
    assert!(Arc::ptr_eq(&first, &tls.config()));

    let (certificate, key) = made("b");
    write(&folder, "one.pem", &format!("{certificate}{key}#"));
    assert_eq!(tls.renew().unwrap(), Renewed::Settling);
    assert!(Arc::ptr_eq(&first, &tls.config()));
    assert!(matches!(tls.renew().unwrap(), Renewed::Changed(_)));
    let second = tls.config();
    assert!(!Arc::ptr_eq(&first, &second));

    // what cannot be read now is looked at again
    fs::remove_file(&path).unwrap();
    assert_eq!(tls.renew().unwrap(), Renewed::Settling);
    assert!(matches!(tls.renew(), Err(TlsError::Read { .. })));
    assert_eq!(tls.renew().unwrap(), Renewed::Settling);
    assert!(Arc::ptr_eq(&second, &tls.config()));

    // what cannot be used changes nothing, and is told once
    write(&folder, "one.pem", &certificate);
    assert_eq!(tls.renew().unwrap(), Renewed::Settling);
    assert!(matches!(tls.renew(), Err(TlsError::NoKey { .. })));
    assert_eq!(tls.renew().unwrap(), Renewed::Unchanged);
    assert!(Arc::ptr_eq(&second, &tls.config()));
}

fn subject(text: &str) -> String {
    principal(&CertificateDer::from_pem_slice(text.as_bytes()).unwrap()).unwrap().to_string()
}

/// What Java's X500Principal.getName() says of the same files (17.0).
#[test]
fn a_subject_is_written_as_java_writes_it() {
    assert_eq!(
        subject(include_str!("../../../tests/data/tls/subject-escapes.pem")),
        "User:DC=org,UID=u1,1.2.840.113549.1.9.1=#16056140622e63,CN=\\#client \\;\\<x\\>,OU=a+OU=b,\
         O=Acme \\\"Q\\\",L=M\\+x,ST=Bayern\\, Süd,C=DE"
    );
    assert_eq!(
        subject(include_str!("../../../tests/data/tls/subject-spaces.pem")),
        "User:2.5.4.12=#0c024472,2.5.4.42=#0c024a6f,STREET=Main 1,2.5.4.5=#13023737,CN=\\ lead\\\\back\\,comma\\=eq\\ "
    );
}

#[test]
fn a_subject_that_can_be_nobody_is_refused() {
    let named = |name: DnValue| {
        let mut params = params("");
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        principal(params.self_signed(&key).unwrap().der())
    };
    assert_eq!(named(DnValue::Utf8String("alice".into())).unwrap().as_str(), "User:CN=alice");
    let teletex = |text: &str| named(DnValue::TeletexString(text.try_into().unwrap()));
    assert_eq!(teletex("alice").unwrap().as_str(), "User:CN=alice");
    // of two bytes each, among them zeros
    assert!(matches!(named(DnValue::BmpString("al".try_into().unwrap())), Err(NoPrincipal::NoName(_))));
    assert_eq!(named(DnValue::BmpString("süß".try_into().unwrap())), Err(NoPrincipal::NotUtf8));
    assert!(matches!(named(DnValue::Utf8String("a\nb".into())), Err(NoPrincipal::NoName(_))));
    assert!(matches!(named(DnValue::Utf8String("a".repeat(300))), Err(NoPrincipal::NoName(_))));

    let mut nobody = params("");
    nobody.distinguished_name = rcgen::DistinguishedName::new();
    nobody.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let certificate = nobody.self_signed(&KeyPair::generate().unwrap()).unwrap();
    assert_eq!(principal(certificate.der()), Err(NoPrincipal::Empty));
    assert!(matches!(principal(&CertificateDer::from(vec![1, 2])), Err(NoPrincipal::Unreadable(_))));
}

#[test]
fn nothing_of_a_key_is_printed() {
    let folder = TempDir::new().unwrap();
    let (certificate, key) = made("a");
    let path = write(&folder, "one.pem", &format!("{certificate}{key}"));
    let shown = format!("{:?}", ServerTls::open(files(&path, None)).unwrap());
    let tls = format!("{shown}{:?}", ServerTls::open(files(&path, None)).unwrap().config());
    assert!(key.lines().filter(|line| !line.starts_with('-')).all(|line| !tls.contains(line)), "{shown}");
}
