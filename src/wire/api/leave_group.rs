//! LeaveGroup (key 13). 3: several members at once (KIP-345). 5: reason (KIP-800).

use super::{Exchange, Part, Resource};
use crate::wire::error_code::ErrorCode;
use crate::wire::schema::schema;
use crate::wire::types::Str;

schema! {
    LeaveGroupRequest {
        group_id: Str [0+];
        member_id: Str [0-2];
        members: Vec<MemberIdentity> [3+];
    }

    MemberIdentity {
        member_id: Str [3+];
        group_instance_id: Option<Str> [3+] null [3+];
        reason: Option<Str> [5+] null [5+];
    }

    LeaveGroupResponse {
        throttle_time_ms: i32 [1+];
        error_code: i16 [0+];
        members: Vec<MemberResponse> [3+];
    }

    MemberResponse {
        member_id: Str [3+];
        group_instance_id: Option<Str> [3+] null [3+];
        error_code: i16 [3+];
    }
}

pub type Request = LeaveGroupRequest;
pub type Response = LeaveGroupResponse;

impl Exchange for LeaveGroupRequest {
    type Response = LeaveGroupResponse;

    fn whole(&self, _version: i16) -> Option<Part> {
        Some(Part::new(Resource::Group, &self.group_id))
    }

    fn answer(&self, _version: i16, code: ErrorCode) -> Option<LeaveGroupResponse> {
        Some(LeaveGroupResponse { error_code: code.0, ..Default::default() })
    }
}
