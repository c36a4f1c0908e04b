//! The text of a users file: read, it is written so that it reads the same again.

use std::path::Path;

use tollgate::security::users::Users;

pub fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    match Users::parse(Path::new("users.toml"), text) {
        Ok(users) => {
            let written = users.to_toml();
            let again = Users::parse(Path::new("users.toml"), &written).expect("our own writing");
            assert_eq!(again.to_toml(), written);
            assert_eq!(again.len(), users.len());
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}
