//! ListGroups (key 16). 4: filter by state (KIP-518). 5: by type (KIP-848).

use super::{Exchange, Part, Resource};
use crate::wire::error_code::ErrorCode;
use crate::wire::schema::schema;
use crate::wire::types::Str;

schema! {
    ListGroupsRequest {
        states_filter: Vec<Str> [4+];
        types_filter: Vec<Str> [5+];
    }

    ListGroupsResponse {
        throttle_time_ms: i32 [1+];
        error_code: i16 [0+];
        groups: Vec<ListedGroup> [0+];
    }

    ListedGroup {
        group_id: Str [0+];
        protocol_type: Str [0+];
        group_state: Str [4+];
        group_type: Str [5+];
    }
}

pub type Request = ListGroupsRequest;
pub type Response = ListGroupsResponse;

impl Exchange for ListGroupsRequest {
    type Response = ListGroupsResponse;

    fn retain(_version: i16, response: &mut ListGroupsResponse, keep: &mut dyn FnMut(&Part) -> bool) {
        response.groups.retain(|group| keep(&Part::new(Resource::Group, &group.group_id)));
    }

    fn answer(&self, _version: i16, code: ErrorCode) -> Option<ListGroupsResponse> {
        Some(ListGroupsResponse { error_code: code.0, ..Default::default() })
    }
}
