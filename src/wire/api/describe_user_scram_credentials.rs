//! DescribeUserScramCredentials (key 50), KIP-554. Names users, never credentials.

use super::{Exchange, Part};
use crate::wire::error_code::ErrorCode;
use crate::wire::schema::schema;
use crate::wire::types::Str;

schema! {
    DescribeUserScramCredentialsRequest {
        users: Option<Vec<UserName>> [0+] null [0+] = Some(Default::default());
    }

    UserName {
        name: Str [0+];
    }

    DescribeUserScramCredentialsResponse {
        throttle_time_ms: i32 [0+];
        error_code: i16 [0+];
        error_message: Option<Str> [0+] null [0+] = Some(Default::default());
        results: Vec<DescribeUserScramCredentialsResult> [0+];
    }

    DescribeUserScramCredentialsResult {
        user: Str [0+];
        error_code: i16 [0+];
        error_message: Option<Str> [0+] null [0+] = Some(Default::default());
        credential_infos: Vec<CredentialInfo> [0+];
    }

    CredentialInfo {
        mechanism: i8 [0+];
        iterations: i32 [0+];
    }
}

pub type Request = DescribeUserScramCredentialsRequest;
pub type Response = DescribeUserScramCredentialsResponse;

impl Exchange for DescribeUserScramCredentialsRequest {
    type Response = DescribeUserScramCredentialsResponse;

    fn whole(&self, _version: i16) -> Option<Part> {
        Some(Part::cluster())
    }

    fn answer(&self, _version: i16, code: ErrorCode) -> Option<DescribeUserScramCredentialsResponse> {
        let result = |user: &UserName| DescribeUserScramCredentialsResult {
            user: user.name.clone(),
            error_code: code.0,
            error_message: None,
            ..Default::default()
        };
        Some(DescribeUserScramCredentialsResponse {
            error_code: code.0,
            error_message: None,
            results: self.users.iter().flatten().map(result).collect(),
            ..Default::default()
        })
    }
}
