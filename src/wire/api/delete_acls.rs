//! DeleteAcls (key 31), KIP-140. 2: flexible. 3: user resources (KIP-373).

use super::{Exchange, Part};
use crate::wire::error_code::ErrorCode;
use crate::wire::schema::schema;
use crate::wire::types::Str;

schema! {
    DeleteAclsRequest {
        filters: Vec<DeleteAclsFilter> [1+];
    }

    DeleteAclsFilter {
        resource_type_filter: i8 [1+];
        resource_name_filter: Option<Str> [1+] null [1+] = Some(Default::default());
        pattern_type_filter: i8 [1+] = 3;
        principal_filter: Option<Str> [1+] null [1+] = Some(Default::default());
        host_filter: Option<Str> [1+] null [1+] = Some(Default::default());
        operation: i8 [1+];
        permission_type: i8 [1+];
    }

    DeleteAclsResponse {
        throttle_time_ms: i32 [1+];
        filter_results: Vec<DeleteAclsFilterResult> [1+];
    }

    DeleteAclsFilterResult {
        error_code: i16 [1+];
        error_message: Option<Str> [1+] null [1+] = Some(Default::default());
        matching_acls: Vec<DeleteAclsMatchingAcl> [1+];
    }

    DeleteAclsMatchingAcl {
        error_code: i16 [1+];
        error_message: Option<Str> [1+] null [1+] = Some(Default::default());
        resource_type: i8 [1+];
        resource_name: Str [1+];
        pattern_type: i8 [1+] = 3;
        principal: Str [1+];
        host: Str [1+];
        operation: i8 [1+];
        permission_type: i8 [1+];
    }
}

pub type Request = DeleteAclsRequest;
pub type Response = DeleteAclsResponse;

impl Exchange for DeleteAclsRequest {
    type Response = DeleteAclsResponse;

    fn whole(&self, _version: i16) -> Option<Part> {
        Some(Part::cluster())
    }

    fn answer(&self, _version: i16, code: ErrorCode) -> Option<DeleteAclsResponse> {
        let failed = DeleteAclsFilterResult { error_code: code.0, error_message: None, ..Default::default() };
        Some(DeleteAclsResponse { filter_results: vec![failed; self.filters.len()], ..Default::default() })
    }
}
