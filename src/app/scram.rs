//! The users file as the broker's admin apis see it: joins broker and security.

use std::path::PathBuf;
use std::sync::Arc;

use crate::broker::ApiError;
use crate::broker::scram::{ScramChange, ScramCredential, ScramMechanism, ScramStore};
use crate::security::credential::{SALT_LIMITS, ScramHash, ScramRecord};
use crate::security::users::{Users, UsersError};
use crate::security::{Authenticator, UserName, users_file};
use crate::wire::{ErrorCode, Str};

/// The users of one file, which is made when the first is added, as `tollgate user add` makes it.
#[derive(Debug)]
pub struct ScramUsers {
    pub path: PathBuf,
    /// None: no listener asks for a login.
    pub authenticator: Option<Arc<Authenticator>>,
}

impl ScramStore for ScramUsers {
    fn credentials(&self) -> Result<Vec<ScramCredential>, String> {
        if self.authenticator.is_none() && !self.path.exists() {
            return Ok(Vec::new());
        }
        // The file, not the users in force: what was just put there by hand is there.
        let users = users_file::load(&self.path).map_err(|error| error.to_string())?;
        let mut credentials = Vec::new();
        for name in users.names() {
            for mechanism in [ScramMechanism::Sha256, ScramMechanism::Sha512] {
                let record = users.find(name.as_str()).and_then(|user| user.record(hash(mechanism)));
                credentials.extend(record.map(|record| ScramCredential {
                    name: Str::from(name.as_str()),
                    mechanism,
                    iterations: record.iterations,
                }));
            }
        }
        Ok(credentials)
    }

    fn alter(&self, changes: Vec<ScramChange>) -> Result<Vec<Option<ApiError>>, String> {
        let edit = |users: &mut Users| {
            Ok::<_, UsersError>(changes.into_iter().map(|change| apply(users, change).err()).collect())
        };
        let done = match &self.authenticator {
            Some(authenticator) => authenticator.users().edit(edit),
            None => users_file::edit(&self.path, edit),
        };
        done.map_err(|error| error.to_string())
    }
}

fn hash(mechanism: ScramMechanism) -> ScramHash {
    match mechanism {
        ScramMechanism::Sha256 => ScramHash::Sha256,
        ScramMechanism::Sha512 => ScramHash::Sha512,
    }
}

fn apply(users: &mut Users, change: ScramChange) -> Result<(), ApiError> {
    let name: UserName = change.name().parse().map_err(|error| unacceptable(format!("{error}")))?;
    match change {
        ScramChange::Delete { mechanism, .. } => {
            let mut user = users.find(name.as_str()).cloned().unwrap_or_default();
            if user.record_mut(hash(mechanism)).take().is_none() {
                let message = "Attempt to delete a user credential that does not exist";
                return Err(ApiError::new(ErrorCode::RESOURCE_NOT_FOUND, message));
            }
            match (&user.scram_sha_256, &user.scram_sha_512) {
                (None, None) => users.remove(name.as_str()),
                _ => users.insert(name, user),
            };
        }
        ScramChange::Put { mechanism, iterations, salt, salted_password, .. } => {
            let hash = hash(mechanism);
            if !SALT_LIMITS.contains(&salt.0.len()) {
                let (least, most) = (SALT_LIMITS.start(), SALT_LIMITS.end());
                return Err(unacceptable(format!("A salt is {least} to {most} bytes long")));
            }
            if salted_password.0.is_empty() || salted_password.0.len() > 2 * hash.output_bytes() {
                return Err(unacceptable("This is no salted password".to_owned()));
            }
            let record = ScramRecord::of_salted(hash, &salted_password.0, salt.0.to_vec(), iterations);
            let mut user = users.find(name.as_str()).cloned().unwrap_or_default();
            *user.record_mut(hash) = Some(record);
            users.insert(name, user);
        }
    }
    Ok(())
}

fn unacceptable(message: String) -> ApiError {
    ApiError::new(ErrorCode::UNACCEPTABLE_CREDENTIAL, message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::types::Sensitive;
    use bytes::Bytes;

    fn put(name: &str, mechanism: ScramMechanism, salted: &[u8], salt: &[u8]) -> ScramChange {
        let sensitive = |bytes: &[u8]| Sensitive(Bytes::copy_from_slice(bytes));
        let (salt, salted_password) = (sensitive(salt), sensitive(salted));
        ScramChange::Put { name: name.into(), mechanism, iterations: 4_096, salt, salted_password }
    }

    #[test]
    fn what_is_altered_is_in_the_file_and_in_force() {
        use ScramMechanism::{Sha256, Sha512};
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("users.toml");
        let store = ScramUsers { path: path.clone(), authenticator: None };
        assert_eq!(store.credentials().unwrap(), []);
        let salted = ScramHash::Sha256.salted_password(b"pencil", b"saltsaltsalt", 4_096);
        let made = store.alter(vec![
            put("ada", Sha256, salted.expose(), b"saltsaltsalt"),
            put("ada", Sha512, &[7; 64], b"s"),
            put("ANONYMOUS", Sha256, &[7; 32], b"salt"),
            put("bo", Sha256, &[7; 32], b""),
            put("bo", Sha256, b"", b"salt"),
        ]);
        let codes: Vec<_> = made.unwrap().into_iter().map(|refused| refused.map(|e| e.code)).collect();
        let unacceptable = Some(ErrorCode::UNACCEPTABLE_CREDENTIAL);
        assert_eq!(codes, [None, None, unacceptable, unacceptable, unacceptable]);
        let users = users_file::load(&path).unwrap();
        let ada = users.find("ada").unwrap().record(ScramHash::Sha256).unwrap();
        assert!(ada.matches(ScramHash::Sha256, b"pencil"));
        let mechanisms = |store: &ScramUsers| -> Vec<_> {
            store.credentials().unwrap().into_iter().map(|c| (c.name.to_string(), c.mechanism)).collect()
        };
        assert_eq!(mechanisms(&store), [("ada".to_owned(), Sha256), ("ada".to_owned(), Sha512)]);

        let users = Arc::new(crate::security::UsersStore::open(&path).unwrap());
        let authenticator = Some(Arc::new(Authenticator::new(Arc::clone(&users)).unwrap()));
        let store = ScramUsers { path, authenticator };
        let gone = |mechanism| vec![ScramChange::Delete { name: "ada".into(), mechanism }];
        assert_eq!(store.alter(gone(Sha256)).unwrap(), [None]);
        assert!(users.current().find("ada").unwrap().record(ScramHash::Sha256).is_none());
        assert_eq!(mechanisms(&store), [("ada".to_owned(), Sha512)]);
        let again = store.alter(gone(Sha256)).unwrap();
        assert_eq!(again[0].as_ref().unwrap().code, ErrorCode::RESOURCE_NOT_FOUND);
        assert_eq!(store.alter(gone(Sha512)).unwrap(), [None]);
        assert!(users.current().is_empty(), "who cannot log in at all is no user");
    }
}
