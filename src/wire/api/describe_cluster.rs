//! DescribeCluster (key 60), KIP-700. 1: endpoint type (KIP-919). 2: fenced brokers (KIP-1073).

use super::Exchange;
use crate::wire::error_code::ErrorCode;
use crate::wire::schema::schema;
use crate::wire::types::Str;

schema! {
    DescribeClusterRequest {
        include_cluster_authorized_operations: bool [0+];
        endpoint_type: i8 [1+] = 1;
        include_fenced_brokers: bool [2+];
    }

    DescribeClusterResponse {
        throttle_time_ms: i32 [0+];
        error_code: i16 [0+];
        error_message: Option<Str> [0+] null [0+];
        endpoint_type: i8 [1+] = 1;
        cluster_id: Str [0+];
        controller_id: i32 [0+] = -1;
        brokers: Vec<DescribeClusterBroker> [0+];
        cluster_authorized_operations: i32 [0+] = -2147483648;
    }

    DescribeClusterBroker {
        broker_id: i32 [0+];
        host: Str [0+];
        port: i32 [0+];
        rack: Option<Str> [0+] null [0+];
        is_fenced: bool [2+];
    }
}

pub type Request = DescribeClusterRequest;
pub type Response = DescribeClusterResponse;

impl Exchange for DescribeClusterRequest {
    type Response = DescribeClusterResponse;

    fn answer(&self, _version: i16, code: ErrorCode) -> Option<DescribeClusterResponse> {
        Some(DescribeClusterResponse { error_code: code.0, ..Default::default() })
    }
}
