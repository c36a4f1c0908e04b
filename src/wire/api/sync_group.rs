//! SyncGroup (key 14). 3: static members. 5: protocol type and name (KIP-559).

use super::{Exchange, Part, Resource};
use crate::wire::error_code::ErrorCode;
use crate::wire::schema::schema;
use crate::wire::types::Str;
use bytes::Bytes;

schema! {
    SyncGroupRequest {
        group_id: Str [0+];
        generation_id: i32 [0+];
        member_id: Str [0+];
        group_instance_id: Option<Str> [3+] null [3+];
        protocol_type: Option<Str> [5+] null [5+];
        protocol_name: Option<Str> [5+] null [5+];
        assignments: Vec<SyncGroupRequestAssignment> [0+];
    }

    SyncGroupRequestAssignment {
        member_id: Str [0+];
        assignment: Bytes [0+];
    }

    SyncGroupResponse {
        throttle_time_ms: i32 [1+];
        error_code: i16 [0+];
        protocol_type: Option<Str> [5+] null [5+];
        protocol_name: Option<Str> [5+] null [5+];
        assignment: Bytes [0+];
    }
}

pub type Request = SyncGroupRequest;
pub type Response = SyncGroupResponse;

impl Exchange for SyncGroupRequest {
    type Response = SyncGroupResponse;

    fn whole(&self, _version: i16) -> Option<Part> {
        Some(Part::new(Resource::Group, &self.group_id))
    }

    fn answer(&self, _version: i16, code: ErrorCode) -> Option<SyncGroupResponse> {
        Some(SyncGroupResponse { error_code: code.0, ..Default::default() })
    }
}
