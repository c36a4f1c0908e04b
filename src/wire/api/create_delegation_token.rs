//! CreateDelegationToken (key 38), KIP-48. 3: a token for somebody else (KIP-373). Who asks for one of his own needs no right.

use super::{Exchange, Part, Resource};
use crate::wire::error_code::ErrorCode;
use crate::wire::schema::schema;
use crate::wire::types::{Sensitive, Str};

schema! {
    CreateDelegationTokenRequest {
        owner_principal_type: Option<Str> [3+] null [3+] = Some(Default::default());
        owner_principal_name: Option<Str> [3+] null [3+] = Some(Default::default());
        renewers: Vec<CreatableRenewers> [1+];
        max_lifetime_ms: i64 [1+];
    }

    CreatableRenewers {
        principal_type: Str [1+];
        principal_name: Str [1+];
    }

    CreateDelegationTokenResponse {
        error_code: i16 [1+];
        principal_type: Str [1+];
        principal_name: Str [1+];
        token_requester_principal_type: Str [3+];
        token_requester_principal_name: Str [3+];
        issue_timestamp_ms: i64 [1+];
        expiry_timestamp_ms: i64 [1+];
        max_timestamp_ms: i64 [1+];
        token_id: Str [1+];
        hmac: Sensitive [1+];
        throttle_time_ms: i32 [1+];
    }
}

pub type Request = CreateDelegationTokenRequest;
pub type Response = CreateDelegationTokenResponse;

impl Exchange for CreateDelegationTokenRequest {
    type Response = CreateDelegationTokenResponse;

    fn whole(&self, _version: i16) -> Option<Part> {
        // Without a name it is for whoever asks.
        let name = self.owner_principal_name.as_ref().filter(|name| !name.is_empty())?;
        let kind = self.owner_principal_type.as_deref().unwrap_or_default();
        Some(Part::new(Resource::User, &Str::from(format!("{kind}:{name}"))))
    }

    fn answer(&self, _version: i16, code: ErrorCode) -> Option<CreateDelegationTokenResponse> {
        Some(CreateDelegationTokenResponse {
            error_code: code.0,
            issue_timestamp_ms: -1,
            expiry_timestamp_ms: -1,
            max_timestamp_ms: -1,
            ..Default::default()
        })
    }
}
