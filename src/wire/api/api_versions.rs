//! ApiVersions (key 18). 3: software name (KIP-511); its response header stays version 0. 4: zero as a feature's lowest
//! version. 5: the client names the cluster and node it means (KIP-1242).

use super::Exchange;
use crate::wire::error_code::ErrorCode;
use crate::wire::schema::schema;
use crate::wire::types::Str;

schema! {
    ApiVersionsRequest {
        client_software_name: Str [3+];
        client_software_version: Str [3+];
        cluster_id: Option<Str> [5+] null [5+];
        node_id: i32 [5+] = -1;
    }

    ApiVersionsResponse {
        error_code: i16 [0+];
        api_keys: Vec<ApiVersion> [0+];
        throttle_time_ms: i32 [1+];
        @0 supported_features: Vec<SupportedFeatureKey> [3+];
        @1 finalized_features_epoch: i64 [3+] = -1;
        @2 finalized_features: Vec<FinalizedFeatureKey> [3+];
        @3 zk_migration_ready: bool [3+];
    }

    ApiVersion {
        api_key: i16 [0+];
        min_version: i16 [0+];
        max_version: i16 [0+];
    }

    SupportedFeatureKey {
        name: Str [3+];
        min_version: i16 [3+];
        max_version: i16 [3+];
    }

    FinalizedFeatureKey {
        name: Str [3+];
        max_version_level: i16 [3+];
        min_version_level: i16 [3+];
    }
}

pub type Request = ApiVersionsRequest;
pub type Response = ApiVersionsResponse;

impl Exchange for ApiVersionsRequest {
    type Response = ApiVersionsResponse;

    fn answer(&self, _version: i16, code: ErrorCode) -> Option<ApiVersionsResponse> {
        Some(ApiVersionsResponse { error_code: code.0, ..Default::default() })
    }
}
