//! SaslAuthenticate (key 36), KIP-152. 1: session lifetime (KIP-368).

use super::Exchange;
use crate::wire::error_code::ErrorCode;
use crate::wire::schema::schema;
use crate::wire::types::{Sensitive, Str};

schema! {
    SaslAuthenticateRequest {
        auth_bytes: Sensitive [0+];
    }

    SaslAuthenticateResponse {
        error_code: i16 [0+];
        error_message: Option<Str> [0+] null [0+];
        auth_bytes: Sensitive [0+];
        session_lifetime_ms: i64 [1+];
    }
}

pub type Request = SaslAuthenticateRequest;
pub type Response = SaslAuthenticateResponse;

impl Exchange for SaslAuthenticateRequest {
    type Response = SaslAuthenticateResponse;

    fn answer(&self, _version: i16, code: ErrorCode) -> Option<SaslAuthenticateResponse> {
        Some(SaslAuthenticateResponse { error_code: code.0, ..Default::default() })
    }
}
