//! ListConfigResources (key 74), KIP-714 as ListClientMetricsResources. 1: resources of any type.

use super::{Exchange, Part};
use crate::wire::error_code::ErrorCode;
use crate::wire::schema::schema;
use crate::wire::types::Str;

schema! {
    ListConfigResourcesRequest {
        resource_types: Vec<i8> [1+];
    }

    ListConfigResourcesResponse {
        throttle_time_ms: i32 [0+];
        error_code: i16 [0+];
        config_resources: Vec<ConfigResource> [0+];
    }

    ConfigResource {
        resource_name: Str [0+];
        resource_type: i8 [1+] = 16;
    }
}

pub type Request = ListConfigResourcesRequest;
pub type Response = ListConfigResourcesResponse;

impl Exchange for ListConfigResourcesRequest {
    type Response = ListConfigResourcesResponse;

    fn whole(&self, _version: i16) -> Option<Part> {
        Some(Part::cluster())
    }

    fn answer(&self, _version: i16, code: ErrorCode) -> Option<ListConfigResourcesResponse> {
        Some(ListConfigResourcesResponse { error_code: code.0, ..Default::default() })
    }
}
