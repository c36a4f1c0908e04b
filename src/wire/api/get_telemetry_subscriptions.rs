//! GetTelemetrySubscriptions (key 71), KIP-714.

use super::Exchange;
use crate::wire::error_code::ErrorCode;
use crate::wire::schema::schema;
use crate::wire::types::{Str, Uuid};

schema! {
    GetTelemetrySubscriptionsRequest {
        client_instance_id: Uuid [0+];
    }

    GetTelemetrySubscriptionsResponse {
        throttle_time_ms: i32 [0+];
        error_code: i16 [0+];
        client_instance_id: Uuid [0+];
        subscription_id: i32 [0+];
        accepted_compression_types: Vec<i8> [0+];
        push_interval_ms: i32 [0+];
        telemetry_max_bytes: i32 [0+];
        delta_temporality: bool [0+];
        requested_metrics: Vec<Str> [0+];
    }
}

pub type Request = GetTelemetrySubscriptionsRequest;
pub type Response = GetTelemetrySubscriptionsResponse;

impl Exchange for GetTelemetrySubscriptionsRequest {
    type Response = GetTelemetrySubscriptionsResponse;

    fn answer(&self, _version: i16, code: ErrorCode) -> Option<GetTelemetrySubscriptionsResponse> {
        Some(GetTelemetrySubscriptionsResponse { error_code: code.0, ..Default::default() })
    }
}
