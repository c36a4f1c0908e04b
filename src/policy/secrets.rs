//! Keys that policies name: `secret("name")` comes from the file `name` in the secrets folder, else from the
//! environment variable `TOLLGATE_SECRET_NAME`. Never printed; `Debug` shows where, not what.

use crate::security::SecretBytes;
use crate::security::tls::shown;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use sha2::{Digest, Sha256};
use std::path::PathBuf;
use std::sync::Arc;

/// Where secrets are looked up.
#[derive(Debug, Clone, Default)]
pub struct Secrets {
    folder: Option<PathBuf>,
    /// For tests of policies: every name has a secret, its own name.
    made_up: bool,
}

/// A key of AES-256: 32 bytes. Wiped when it is dropped.
pub struct SealKey([u8; 32]);

impl SealKey {
    /// The key itself. Every call of this is a place to look at in a review.
    pub fn expose(&self) -> &[u8; 32] {
        &self.0
    }

    /// From 64 hexadecimal digits, or from base64 of either alphabet.
    fn read(text: &[u8]) -> Option<Self> {
        let text = text.trim_ascii();
        let mut key = Self([0; 32]);
        if text.len() == 64 {
            let digit = |byte: u8| char::from(byte).to_digit(16);
            for (byte, digits) in key.0.iter_mut().zip(text.chunks_exact(2)) {
                let [high, low] = digits else { return None };
                *byte = u8::try_from(digit(*high)? << 4 | digit(*low)?).ok()?;
            }
            return Some(key);
        }
        let end = text.iter().rposition(|byte| *byte != b'=')? + 1;
        let text = text.get(..end)?;
        let engine = match text.iter().any(|byte| matches!(byte, b'-' | b'_')) {
            true => &URL_SAFE_NO_PAD,
            false => &STANDARD_NO_PAD,
        };
        // with room for what is too long to be told
        let mut read = [0; 40];
        let length = engine.decode_slice(text, &mut read).ok();
        if length == Some(32) {
            key.0.copy_from_slice(read.first_chunk::<32>()?);
        }
        read.fill(0);
        std::hint::black_box(&read);
        (length == Some(32)).then_some(key)
    }
}

impl Drop for SealKey {
    fn drop(&mut self) {
        self.0.fill(0);
        std::hint::black_box(&self.0);
    }
}

impl std::fmt::Debug for SealKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SealKey(..)")
    }
}

impl Secrets {
    pub fn new(folder: Option<PathBuf>) -> Self {
        Self { folder, made_up: false }
    }

    /// Secrets that stand in where policies are tested or checked, not served.
    pub fn made_up() -> Self {
        Self { folder: None, made_up: true }
    }

    /// The secret as a key to encrypt with. What is made up has any length, so that its hash is the key.
    pub fn seal_key(&self, name: &str) -> Result<SealKey, String> {
        let (secret, is_made_up) = self.look_up(name)?;
        if is_made_up {
            return Ok(SealKey(Sha256::digest(secret.expose()).into()));
        }
        SealKey::read(secret.expose()).ok_or_else(|| {
            format!("the secret `{name}` is no key of 32 bytes, as 64 hexadecimal digits or as base64: `openssl rand -base64 32` makes one")
        })
    }

    /// The secret as a certificate and its key, for handshakes that are to show it. None: it is made up.
    pub fn certificate(&self, name: &str) -> Result<Option<Arc<rustls::ServerConfig>>, String> {
        let (secret, is_made_up) = self.look_up(name)?;
        if is_made_up {
            return Ok(None);
        }
        shown(secret.expose()).map(Some).map_err(|error| format!("the secret `{name}` {error}"))
    }

    pub fn find(&self, name: &str) -> Result<Arc<SecretBytes>, String> {
        self.look_up(name).map(|(secret, _)| secret)
    }

    /// The secret, and whether it only stands in for one.
    #[expect(
        clippy::disallowed_methods,
        reason = "a secret is read when a policy names it, and kept nowhere else"
    )]
    fn look_up(&self, name: &str) -> Result<(Arc<SecretBytes>, bool), String> {
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if name.is_empty() || name.len() > 128 || !name.chars().all(plain) {
            return Err(format!("`{name}` is not a name of a secret: letters, digits, - and _"));
        }
        if let Some(folder) = &self.folder {
            let file = folder.join(name);
            match std::fs::File::open(&file) {
                Ok(file) => {
                    let secret = SecretBytes::read_from(file)
                        .map_err(|error| format!("the secret `{name}` cannot be read: {error}"))?;
                    return usable(name, secret).map(|secret| (secret, false));
                }
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => return Err(format!("the secret `{name}` cannot be read: {error}")),
            }
        }
        let variable = format!("TOLLGATE_SECRET_{}", name.to_ascii_uppercase().replace('-', "_"));
        match std::env::var(&variable) {
            Ok(value) => usable(name, SecretBytes::new(value.into_bytes())).map(|secret| (secret, false)),
            Err(_) if self.made_up => {
                usable(name, SecretBytes::new(name.as_bytes().to_vec())).map(|secret| (secret, true))
            }
            Err(_) => {
                let folder = self.folder.as_ref().map_or_else(String::new, |folder| {
                    format!("no file `{}`, and ", folder.join(name).display())
                });
                Err(format!("there is no secret `{name}`: {folder}no variable {variable}"))
            }
        }
    }
}

fn usable(name: &str, secret: SecretBytes) -> Result<Arc<SecretBytes>, String> {
    match secret.is_empty() {
        true => Err(format!("the secret `{name}` is empty")),
        false => Ok(Arc::new(secret)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_32_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let secrets = Secrets::new(Some(folder.path().to_owned()));
        let key = |text: &str| {
            std::fs::write(folder.path().join("k"), text).unwrap();
            secrets.seal_key("k").map(|key| *key.expose())
        };
        let zeros = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
        for good in [zeros, &format!("{zeros}=\n"), &"00".repeat(32)] {
            assert_eq!(key(good), Ok([0; 32]), "{good}");
        }
        assert_eq!(key(&"fF".repeat(32)), Ok([255; 32]));
        assert_eq!(key(&format!("{}8", "_".repeat(42))), Ok([255; 32]));
        assert_eq!(key(&format!("{}8=", "/".repeat(42))), Ok([255; 32]));
        for bad in
            ["", "=", "secret", &"00".repeat(16), &"0g".repeat(32), &zeros[4..], &format!("{zeros}AAAA")]
        {
            let said = key(bad).unwrap_err();
            assert!(said.contains("32 bytes") || said.contains("empty"), "{said}");
            assert!(bad.len() < 8 || !said.contains(bad), "no secret is told");
        }
        assert!(secrets.seal_key("missing").unwrap_err().contains("no secret"));
    }

    #[test]
    fn files_come_first_and_names_stay_names() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("pii"), "a key\n").unwrap();
        std::fs::write(folder.path().join("empty"), "").unwrap();
        let secrets = Secrets::new(Some(folder.path().to_owned()));
        assert_eq!(secrets.find("pii").unwrap().expose(), b"a key");
        assert!(secrets.find("empty").unwrap_err().contains("empty"));
        assert!(secrets.find("missing").unwrap_err().contains("TOLLGATE_SECRET_MISSING"));
        assert!(secrets.find(&"x".repeat(128)).unwrap_err().contains("no secret"));
        for bad in ["../etc/passwd", "", "a/b", "a.b", &"x".repeat(129)] {
            assert!(secrets.find(bad).unwrap_err().contains("not a name"), "{bad}");
        }
        assert_eq!(Secrets::made_up().find("any").unwrap().expose(), b"any");
    }

    /// A variable does not take the place of a file that is there and cannot be read.
    #[test]
    fn what_cannot_be_read_is_not_looked_for_elsewhere() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        std::fs::write(&file, "no folder").unwrap();
        for secrets in [Secrets::new(Some(file.clone())), Secrets { folder: Some(file), made_up: true }] {
            let said = secrets.find("pii").unwrap_err();
            assert!(said.contains("`pii` cannot be read"), "{said}");
        }
    }

    #[test]
    fn a_certificate_is_one_or_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let secrets = Secrets::new(Some(folder.path().to_owned()));
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let pem = format!("{}{}", made.cert.pem(), made.signing_key.serialize_pem());
        std::fs::write(folder.path().join("good"), pem).unwrap();
        std::fs::write(folder.path().join("bad"), "a password").unwrap();
        assert!(secrets.certificate("good").unwrap().is_some());
        let said = secrets.certificate("bad").unwrap_err();
        assert!(said.contains("`bad`") && !said.contains("password"), "{said}");
        assert!(secrets.certificate("missing").unwrap_err().contains("no secret"));
        assert!(Secrets::made_up().certificate("any").unwrap().is_none(), "made up: none to show");
    }
}
