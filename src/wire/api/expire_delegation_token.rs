//! ExpireDelegationToken (key 40), KIP-48: for the owner and those named as renewers, whom only the broker knows.

use super::Exchange;
use crate::wire::error_code::ErrorCode;
use crate::wire::schema::schema;
use crate::wire::types::Sensitive;

schema! {
    ExpireDelegationTokenRequest {
        hmac: Sensitive [1+];
        expiry_time_period_ms: i64 [1+];
    }

    ExpireDelegationTokenResponse {
        error_code: i16 [1+];
        expiry_timestamp_ms: i64 [1+];
        throttle_time_ms: i32 [1+];
    }
}

pub type Request = ExpireDelegationTokenRequest;
pub type Response = ExpireDelegationTokenResponse;

impl Exchange for ExpireDelegationTokenRequest {
    type Response = ExpireDelegationTokenResponse;

    fn answer(&self, _version: i16, code: ErrorCode) -> Option<ExpireDelegationTokenResponse> {
        Some(ExpireDelegationTokenResponse { error_code: code.0, ..Default::default() })
    }
}
