//! UpdateFeatures (key 57), KIP-584. 1: kinds of upgrade, validation (KIP-778). 2: one answer for all.

use super::{Exchange, Part};
use crate::wire::error_code::ErrorCode;
use crate::wire::schema::schema;
use crate::wire::types::Str;

schema! {
    UpdateFeaturesRequest {
        timeout_ms: i32 [0+] = 60000;
        feature_updates: Vec<FeatureUpdateKey> [0+];
        validate_only: bool [1+];
    }

    FeatureUpdateKey {
        feature: Str [0+];
        max_version_level: i16 [0+];
        upgrade_type: i8 [1+] = 1;
        allow_downgrade: bool [0-0];
    }

    UpdateFeaturesResponse {
        throttle_time_ms: i32 [0+];
        error_code: i16 [0+];
        error_message: Option<Str> [0+] null [0+] = Some(Default::default());
        results: Vec<UpdatableFeatureResult> [0-1];
    }

    UpdatableFeatureResult {
        feature: Str [0-1];
        error_code: i16 [0-1];
        error_message: Option<Str> [0-1] null [0-1] = Some(Default::default());
    }
}

pub type Request = UpdateFeaturesRequest;
pub type Response = UpdateFeaturesResponse;

impl Exchange for UpdateFeaturesRequest {
    type Response = UpdateFeaturesResponse;

    fn whole(&self, _version: i16) -> Option<Part> {
        Some(Part::cluster())
    }

    fn answer(&self, _version: i16, code: ErrorCode) -> Option<UpdateFeaturesResponse> {
        Some(UpdateFeaturesResponse { error_code: code.0, error_message: None, ..Default::default() })
    }
}
