//! DescribeAcls (key 29), KIP-140. 2: flexible. 3: user resources (KIP-373).

use super::{Exchange, Part};
use crate::wire::error_code::ErrorCode;
use crate::wire::schema::schema;
use crate::wire::types::Str;

schema! {
    DescribeAclsRequest {
        resource_type_filter: i8 [1+];
        resource_name_filter: Option<Str> [1+] null [1+] = Some(Default::default());
        pattern_type_filter: i8 [1+] = 3;
        principal_filter: Option<Str> [1+] null [1+] = Some(Default::default());
        host_filter: Option<Str> [1+] null [1+] = Some(Default::default());
        operation: i8 [1+];
        permission_type: i8 [1+];
    }

    DescribeAclsResponse {
        throttle_time_ms: i32 [1+];
        error_code: i16 [1+];
        error_message: Option<Str> [1+] null [1+] = Some(Default::default());
        resources: Vec<DescribeAclsResource> [1+];
    }

    DescribeAclsResource {
        resource_type: i8 [1+];
        resource_name: Str [1+];
        pattern_type: i8 [1+] = 3;
        acls: Vec<AclDescription> [1+];
    }

    AclDescription {
        principal: Str [1+];
        host: Str [1+];
        operation: i8 [1+];
        permission_type: i8 [1+];
    }
}

pub type Request = DescribeAclsRequest;
pub type Response = DescribeAclsResponse;

impl Exchange for DescribeAclsRequest {
    type Response = DescribeAclsResponse;

    fn whole(&self, _version: i16) -> Option<Part> {
        Some(Part::cluster())
    }

    fn answer(&self, _version: i16, code: ErrorCode) -> Option<DescribeAclsResponse> {
        Some(DescribeAclsResponse { error_code: code.0, error_message: None, ..Default::default() })
    }
}
