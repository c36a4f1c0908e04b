//! UnregisterController (key 94).

use super::{Exchange, Part};
use crate::wire::error_code::ErrorCode;
use crate::wire::schema::schema;
use crate::wire::types::Str;

schema! {
    UnregisterControllerRequest {
        controller_id: i32 [0+];
    }

    UnregisterControllerResponse {
        throttle_time_ms: i32 [0+];
        error_code: i16 [0+];
        error_message: Option<Str> [0+] null [0+] = Some(Default::default());
    }
}

pub type Request = UnregisterControllerRequest;
pub type Response = UnregisterControllerResponse;

impl Exchange for UnregisterControllerRequest {
    type Response = UnregisterControllerResponse;

    fn whole(&self, _version: i16) -> Option<Part> {
        Some(Part::cluster())
    }

    fn answer(&self, _version: i16, code: ErrorCode) -> Option<UnregisterControllerResponse> {
        Some(UnregisterControllerResponse { error_code: code.0, error_message: None, ..Default::default() })
    }
}
