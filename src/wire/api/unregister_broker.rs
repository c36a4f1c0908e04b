//! UnregisterBroker (key 64), KIP-631.

use super::{Exchange, Part};
use crate::wire::error_code::ErrorCode;
use crate::wire::schema::schema;
use crate::wire::types::Str;

schema! {
    UnregisterBrokerRequest {
        broker_id: i32 [0+];
    }

    UnregisterBrokerResponse {
        throttle_time_ms: i32 [0+];
        error_code: i16 [0+];
        error_message: Option<Str> [0+] null [0+] = Some(Default::default());
    }
}

pub type Request = UnregisterBrokerRequest;
pub type Response = UnregisterBrokerResponse;

impl Exchange for UnregisterBrokerRequest {
    type Response = UnregisterBrokerResponse;

    fn whole(&self, _version: i16) -> Option<Part> {
        Some(Part::cluster())
    }

    fn answer(&self, _version: i16, code: ErrorCode) -> Option<UnregisterBrokerResponse> {
        Some(UnregisterBrokerResponse { error_code: code.0, error_message: None, ..Default::default() })
    }
}
