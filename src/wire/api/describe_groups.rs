//! DescribeGroups (key 15). 4: static members. 6: an unknown group is GROUP_ID_NOT_FOUND (KIP-1043).

use super::{Answer, Exchange, Part, Resource, all, keep_flat, merge_flat};
use crate::wire::error_code::ErrorCode;
use crate::wire::schema::schema;
use crate::wire::types::Str;
use bytes::Bytes;

schema! {
    DescribeGroupsRequest {
        groups: Vec<Str> [0+];
        include_authorized_operations: bool [3+];
    }

    DescribeGroupsResponse {
        throttle_time_ms: i32 [1+];
        groups: Vec<DescribedGroup> [0+];
    }

    DescribedGroup {
        error_code: i16 [0+];
        error_message: Option<Str> [6+] null [6+];
        group_id: Str [0+];
        group_state: Str [0+];
        protocol_type: Str [0+];
        protocol_data: Str [0+];
        members: Vec<DescribedGroupMember> [0+];
        authorized_operations: i32 [3+] = -2147483648;
    }

    DescribedGroupMember {
        member_id: Str [0+];
        group_instance_id: Option<Str> [4+] null [4+];
        client_id: Str [0+];
        client_host: Str [0+];
        member_metadata: Bytes [0+];
        member_assignment: Bytes [0+];
    }
}

pub type Request = DescribeGroupsRequest;
pub type Response = DescribeGroupsResponse;

impl Exchange for DescribeGroupsRequest {
    type Response = DescribeGroupsResponse;

    fn parts(&self, _version: i16) -> Vec<Part> {
        self.groups.iter().map(|t| Part::new(Resource::Group, t)).collect()
    }

    fn keep(&mut self, keep: &[bool]) {
        keep_flat(&mut self.groups, keep);
    }

    fn answer(&self, version: i16, code: ErrorCode) -> Option<DescribeGroupsResponse> {
        self.merge(version, &all(self.groups.len(), code), None)
    }

    fn merge(
        &self,
        _version: i16,
        answers: &[Option<Answer>],
        upstream: Option<DescribeGroupsResponse>,
    ) -> Option<DescribeGroupsResponse> {
        let mut response = upstream.unwrap_or_default();
        let said = std::mem::take(&mut response.groups).into_iter().map(|t| (t.group_id.clone(), t));
        let requested = self.groups.iter().cloned();
        response.groups = merge_flat(requested, answers, said, true, |key, answer| DescribedGroup {
            group_id: key.clone(),
            error_code: answer.code.0,
            error_message: answer.message.clone(),
            ..Default::default()
        });
        Some(response)
    }
}
