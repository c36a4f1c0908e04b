//! DescribeDelegationToken (key 41), KIP-48. 3: who asked for it (KIP-373). Lists what may be described.

use super::{Exchange, Part, Resource};
use crate::wire::error_code::ErrorCode;
use crate::wire::schema::schema;
use crate::wire::types::{Sensitive, Str};

schema! {
    DescribeDelegationTokenRequest {
        owners: Option<Vec<DescribeDelegationTokenOwner>> [1+] null [1+] = Some(Default::default());
    }

    DescribeDelegationTokenOwner {
        principal_type: Str [1+];
        principal_name: Str [1+];
    }

    DescribeDelegationTokenResponse {
        error_code: i16 [1+];
        tokens: Vec<DescribedDelegationToken> [1+];
        throttle_time_ms: i32 [1+];
    }

    DescribedDelegationToken {
        principal_type: Str [1+];
        principal_name: Str [1+];
        token_requester_principal_type: Str [3+];
        token_requester_principal_name: Str [3+];
        issue_timestamp: i64 [1+];
        expiry_timestamp: i64 [1+];
        max_timestamp: i64 [1+];
        token_id: Str [1+];
        hmac: Sensitive [1+];
        renewers: Vec<DescribedDelegationTokenRenewer> [1+];
    }

    DescribedDelegationTokenRenewer {
        principal_type: Str [1+];
        principal_name: Str [1+];
    }
}

pub type Request = DescribeDelegationTokenRequest;
pub type Response = DescribeDelegationTokenResponse;

impl Exchange for DescribeDelegationTokenRequest {
    type Response = DescribeDelegationTokenResponse;

    fn retain(
        _version: i16,
        response: &mut DescribeDelegationTokenResponse,
        keep: &mut dyn FnMut(&Part) -> bool,
    ) {
        response.tokens.retain(|token| keep(&Part::new(Resource::DelegationToken, &token.token_id)));
    }

    fn answer(&self, _version: i16, code: ErrorCode) -> Option<DescribeDelegationTokenResponse> {
        Some(DescribeDelegationTokenResponse { error_code: code.0, ..Default::default() })
    }
}
