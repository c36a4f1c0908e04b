//! SaslHandshake (key 17), KIP-43. 1: tokens travel in SaslAuthenticate instead of bare frames (KIP-152).

use super::Exchange;
use crate::wire::error_code::ErrorCode;
use crate::wire::schema::schema;
use crate::wire::types::Str;

schema! {
    SaslHandshakeRequest {
        mechanism: Str [0+];
    }

    SaslHandshakeResponse {
        error_code: i16 [0+];
        mechanisms: Vec<Str> [0+];
    }
}

pub type Request = SaslHandshakeRequest;
pub type Response = SaslHandshakeResponse;

impl Exchange for SaslHandshakeRequest {
    type Response = SaslHandshakeResponse;

    fn answer(&self, _version: i16, code: ErrorCode) -> Option<SaslHandshakeResponse> {
        Some(SaslHandshakeResponse { error_code: code.0, ..Default::default() })
    }
}
