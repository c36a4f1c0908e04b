//! CreateAcls (key 30), KIP-140. 2: flexible. 3: user resources (KIP-373).

use super::{Exchange, Part};
use crate::wire::error_code::ErrorCode;
use crate::wire::schema::schema;
use crate::wire::types::Str;

schema! {
    CreateAclsRequest {
        creations: Vec<AclCreation> [1+];
    }

    AclCreation {
        resource_type: i8 [1+];
        resource_name: Str [1+];
        resource_pattern_type: i8 [1+] = 3;
        principal: Str [1+];
        host: Str [1+];
        operation: i8 [1+];
        permission_type: i8 [1+];
    }

    CreateAclsResponse {
        throttle_time_ms: i32 [1+];
        results: Vec<AclCreationResult> [1+];
    }

    AclCreationResult {
        error_code: i16 [1+];
        error_message: Option<Str> [1+] null [1+] = Some(Default::default());
    }
}

pub type Request = CreateAclsRequest;
pub type Response = CreateAclsResponse;

impl Exchange for CreateAclsRequest {
    type Response = CreateAclsResponse;

    fn whole(&self, _version: i16) -> Option<Part> {
        Some(Part::cluster())
    }

    fn answer(&self, _version: i16, code: ErrorCode) -> Option<CreateAclsResponse> {
        let failed = AclCreationResult { error_code: code.0, error_message: None, ..Default::default() };
        Some(CreateAclsResponse { results: vec![failed; self.creations.len()], ..Default::default() })
    }
}
