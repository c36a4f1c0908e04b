//! Heartbeat (key 12). 3: static members.

use super::{Exchange, Part, Resource};
use crate::wire::error_code::ErrorCode;
use crate::wire::schema::schema;
use crate::wire::types::Str;

schema! {
    HeartbeatRequest {
        group_id: Str [0+];
        generation_id: i32 [0+];
        member_id: Str [0+];
        group_instance_id: Option<Str> [3+] null [3+];
    }

    HeartbeatResponse {
        throttle_time_ms: i32 [1+];
        error_code: i16 [0+];
    }
}

pub type Request = HeartbeatRequest;
pub type Response = HeartbeatResponse;

impl Exchange for HeartbeatRequest {
    type Response = HeartbeatResponse;

    fn whole(&self, _version: i16) -> Option<Part> {
        Some(Part::new(Resource::Group, &self.group_id))
    }

    fn answer(&self, _version: i16, code: ErrorCode) -> Option<HeartbeatResponse> {
        Some(HeartbeatResponse { error_code: code.0, ..Default::default() })
    }
}
