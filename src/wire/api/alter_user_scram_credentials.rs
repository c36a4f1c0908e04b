//! AlterUserScramCredentials (key 51), KIP-554. What it carries is as good as a password: it is never shown.

use super::{Exchange, Part};
use crate::wire::error_code::ErrorCode;
use crate::wire::schema::schema;
use crate::wire::types::{Sensitive, Str};

schema! {
    AlterUserScramCredentialsRequest {
        deletions: Vec<ScramCredentialDeletion> [0+];
        upsertions: Vec<ScramCredentialUpsertion> [0+];
    }

    ScramCredentialDeletion {
        name: Str [0+];
        mechanism: i8 [0+];
    }

    ScramCredentialUpsertion {
        name: Str [0+];
        mechanism: i8 [0+];
        iterations: i32 [0+];
        salt: Sensitive [0+];
        salted_password: Sensitive [0+];
    }

    AlterUserScramCredentialsResponse {
        throttle_time_ms: i32 [0+];
        results: Vec<AlterUserScramCredentialsResult> [0+];
    }

    AlterUserScramCredentialsResult {
        user: Str [0+];
        error_code: i16 [0+];
        error_message: Option<Str> [0+] null [0+] = Some(Default::default());
    }
}

pub type Request = AlterUserScramCredentialsRequest;
pub type Response = AlterUserScramCredentialsResponse;

impl Exchange for AlterUserScramCredentialsRequest {
    type Response = AlterUserScramCredentialsResponse;

    fn whole(&self, _version: i16) -> Option<Part> {
        Some(Part::cluster())
    }

    fn answer(&self, _version: i16, code: ErrorCode) -> Option<AlterUserScramCredentialsResponse> {
        let mut users: Vec<&Str> = self.deletions.iter().map(|d| &d.name).collect();
        users.extend(self.upsertions.iter().map(|u| &u.name));
        users.sort();
        users.dedup();
        let result = |user: &Str| AlterUserScramCredentialsResult {
            user: user.clone(),
            error_code: code.0,
            error_message: None,
            ..Default::default()
        };
        let results = users.into_iter().map(result).collect();
        Some(AlterUserScramCredentialsResponse { results, ..Default::default() })
    }
}
