//! Keys that policies name: `secret("name")` comes from the file `name` in the secrets folder, else from the
//! environment variable `TOLLGATE_SECRET_NAME`. Never printed; `Debug` shows where, not what.

use crate::security::SecretBytes;
use std::path::PathBuf;
use std::sync::Arc;

/// Where secrets are looked up.
#[derive(Debug, Clone, Default)]
pub struct Secrets {
    folder: Option<PathBuf>,
    /// For tests of policies: every name has a secret, its own name.
    made_up: bool,
}

impl Secrets {
    pub fn new(folder: Option<PathBuf>) -> Self {
        Self { folder, made_up: false }
    }

    /// Secrets that stand in where policies are tested or checked, not served.
    pub fn made_up() -> Self {
        Self { folder: None, made_up: true }
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "a secret is read when a policy names it, and kept nowhere else"
    )]
    pub fn find(&self, name: &str) -> Result<Arc<SecretBytes>, String> {
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
                    return usable(name, secret);
                }
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => return Err(format!("the secret `{name}` cannot be read: {error}")),
            }
        }
        let variable = format!("TOLLGATE_SECRET_{}", name.to_ascii_uppercase().replace('-', "_"));
        match std::env::var(&variable) {
            Ok(value) => usable(name, SecretBytes::new(value.into_bytes())),
            Err(_) if self.made_up => usable(name, SecretBytes::new(name.as_bytes().to_vec())),
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
    fn files_come_first_and_names_stay_names() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("pii"), "a key\n").unwrap();
        std::fs::write(folder.path().join("empty"), "").unwrap();
        let secrets = Secrets::new(Some(folder.path().to_owned()));
        assert_eq!(secrets.find("pii").unwrap().expose(), b"a key");
        assert!(secrets.find("empty").unwrap_err().contains("empty"));
        assert!(secrets.find("missing").unwrap_err().contains("TOLLGATE_SECRET_MISSING"));
        for bad in ["../etc/passwd", "", "a/b", "a.b"] {
            assert!(secrets.find(bad).unwrap_err().contains("not a name"), "{bad}");
        }
        assert_eq!(Secrets::made_up().find("any").unwrap().expose(), b"any");
    }
}
