//! JoinGroup (key 11). 4: a member without an id is sent back for one (KIP-394). 5: static members (KIP-345). 7: protocol
//! type in the answer. 8: reason (KIP-800). 9: skip assignment (KIP-814).

use super::{Exchange, Part, Resource};
use crate::wire::error_code::ErrorCode;
use crate::wire::schema::schema;
use crate::wire::types::Str;
use bytes::Bytes;

schema! {
    JoinGroupRequest {
        group_id: Str [0+];
        session_timeout_ms: i32 [0+];
        rebalance_timeout_ms: i32 [1+] = -1;
        member_id: Str [0+];
        group_instance_id: Option<Str> [5+] null [5+];
        protocol_type: Str [0+];
        protocols: Vec<JoinGroupRequestProtocol> [0+];
        reason: Option<Str> [8+] null [8+];
    }

    JoinGroupRequestProtocol {
        name: Str [0+];
        metadata: Bytes [0+];
    }

    JoinGroupResponse {
        throttle_time_ms: i32 [2+];
        error_code: i16 [0+];
        generation_id: i32 [0+] = -1;
        protocol_type: Option<Str> [7+] null [7+];
        protocol_name: Option<Str> [0+] null [7+];
        leader: Str [0+];
        skip_assignment: bool [9+];
        member_id: Str [0+];
        members: Vec<JoinGroupResponseMember> [0+];
    }

    JoinGroupResponseMember {
        member_id: Str [0+];
        group_instance_id: Option<Str> [5+] null [5+];
        metadata: Bytes [0+];
    }
}

pub type Request = JoinGroupRequest;
pub type Response = JoinGroupResponse;

impl Exchange for JoinGroupRequest {
    type Response = JoinGroupResponse;

    fn whole(&self, _version: i16) -> Option<Part> {
        Some(Part::new(Resource::Group, &self.group_id))
    }

    fn answer(&self, _version: i16, code: ErrorCode) -> Option<JoinGroupResponse> {
        Some(JoinGroupResponse {
            error_code: code.0,
            member_id: self.member_id.clone(),
            ..Default::default()
        })
    }
}
