//! IncrementalAlterConfigs (key 44), KIP-339. Operations: 0 set, 1 delete, 2 append, 3 subtract.

use super::{Answer, Exchange, Part, all, config_part, keep_flat, merge_flat};
use crate::wire::error_code::ErrorCode;
use crate::wire::schema::schema;
use crate::wire::types::Str;

schema! {
    IncrementalAlterConfigsRequest {
        resources: Vec<AlterConfigsResource> [0+];
        validate_only: bool [0+];
    }

    AlterConfigsResource {
        resource_type: i8 [0+];
        resource_name: Str [0+];
        configs: Vec<AlterableConfig> [0+];
    }

    AlterableConfig {
        name: Str [0+];
        config_operation: i8 [0+];
        value: Option<Str> [0+] null [0+];
    }

    IncrementalAlterConfigsResponse {
        throttle_time_ms: i32 [0+];
        responses: Vec<AlterConfigsResourceResponse> [0+];
    }

    AlterConfigsResourceResponse {
        error_code: i16 [0+];
        error_message: Option<Str> [0+] null [0+];
        resource_type: i8 [0+];
        resource_name: Str [0+];
    }
}

pub type Request = IncrementalAlterConfigsRequest;
pub type Response = IncrementalAlterConfigsResponse;

impl Exchange for IncrementalAlterConfigsRequest {
    type Response = IncrementalAlterConfigsResponse;

    fn parts(&self, _version: i16) -> Vec<Part> {
        self.resources.iter().map(|t| config_part(t.resource_type, &t.resource_name)).collect()
    }

    fn keep(&mut self, keep: &[bool]) {
        keep_flat(&mut self.resources, keep);
    }

    fn answer(&self, version: i16, code: ErrorCode) -> Option<IncrementalAlterConfigsResponse> {
        self.merge(version, &all(self.resources.len(), code), None)
    }

    fn merge(
        &self,
        _version: i16,
        answers: &[Option<Answer>],
        upstream: Option<IncrementalAlterConfigsResponse>,
    ) -> Option<IncrementalAlterConfigsResponse> {
        let mut response = upstream.unwrap_or_default();
        let said = std::mem::take(&mut response.responses)
            .into_iter()
            .map(|t| ((t.resource_type, t.resource_name.clone()), t));
        let requested = self.resources.iter().map(|t| (t.resource_type, t.resource_name.clone()));
        response.responses =
            merge_flat(requested, answers, said, true, |key, answer| AlterConfigsResourceResponse {
                resource_type: key.0,
                resource_name: key.1.clone(),
                error_code: answer.code.0,
                error_message: answer.message.clone(),
                ..Default::default()
            });
        Some(response)
    }
}
