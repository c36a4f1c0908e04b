//! PushTelemetry (key 72), KIP-714. What is pushed may name anything: it is not shown.

use super::Exchange;
use crate::wire::error_code::ErrorCode;
use crate::wire::schema::schema;
use crate::wire::types::{Sensitive, Uuid};

schema! {
    PushTelemetryRequest {
        client_instance_id: Uuid [0+];
        subscription_id: i32 [0+];
        terminating: bool [0+];
        compression_type: i8 [0+];
        metrics: Sensitive [0+];
    }

    PushTelemetryResponse {
        throttle_time_ms: i32 [0+];
        error_code: i16 [0+];
    }
}

pub type Request = PushTelemetryRequest;
pub type Response = PushTelemetryResponse;

impl Exchange for PushTelemetryRequest {
    type Response = PushTelemetryResponse;

    fn answer(&self, _version: i16, code: ErrorCode) -> Option<PushTelemetryResponse> {
        Some(PushTelemetryResponse { error_code: code.0, ..Default::default() })
    }
}
