//! RenewDelegationToken (key 39), KIP-48: for the owner and those named as renewers, whom only the broker knows.

use super::Exchange;
use crate::wire::error_code::ErrorCode;
use crate::wire::schema::schema;
use crate::wire::types::Sensitive;

schema! {
    RenewDelegationTokenRequest {
        hmac: Sensitive [1+];
        renew_period_ms: i64 [1+];
    }

    RenewDelegationTokenResponse {
        error_code: i16 [1+];
        expiry_timestamp_ms: i64 [1+];
        throttle_time_ms: i32 [1+];
    }
}

pub type Request = RenewDelegationTokenRequest;
pub type Response = RenewDelegationTokenResponse;

impl Exchange for RenewDelegationTokenRequest {
    type Response = RenewDelegationTokenResponse;

    fn answer(&self, _version: i16, code: ErrorCode) -> Option<RenewDelegationTokenResponse> {
        Some(RenewDelegationTokenResponse { error_code: code.0, ..Default::default() })
    }
}
