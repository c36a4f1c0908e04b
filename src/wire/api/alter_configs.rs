//! AlterConfigs (key 33), superseded by IncrementalAlterConfigs (KIP-339). 2: flexible.

use super::{Answer, Exchange, Part, all, config_part, keep_flat, merge_flat};
use crate::wire::error_code::ErrorCode;
use crate::wire::schema::schema;
use crate::wire::types::Str;

schema! {
    AlterConfigsRequest {
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
        value: Option<Str> [0+] null [0+] = Some(Default::default());
    }

    AlterConfigsResponse {
        throttle_time_ms: i32 [0+];
        responses: Vec<AlterConfigsResourceResponse> [0+];
    }

    AlterConfigsResourceResponse {
        error_code: i16 [0+];
        error_message: Option<Str> [0+] null [0+] = Some(Default::default());
        resource_type: i8 [0+];
        resource_name: Str [0+];
    }
}

pub type Request = AlterConfigsRequest;
pub type Response = AlterConfigsResponse;

impl Exchange for AlterConfigsRequest {
    type Response = AlterConfigsResponse;

    fn parts(&self, _version: i16) -> Vec<Part> {
        self.resources.iter().map(|t| config_part(t.resource_type, &t.resource_name)).collect()
    }

    fn keep(&mut self, keep: &[bool]) {
        keep_flat(&mut self.resources, keep);
    }

    fn answer(&self, version: i16, code: ErrorCode) -> Option<AlterConfigsResponse> {
        self.merge(version, &all(self.resources.len(), code), None)
    }

    fn merge(
        &self,
        _version: i16,
        answers: &[Option<Answer>],
        upstream: Option<AlterConfigsResponse>,
    ) -> Option<AlterConfigsResponse> {
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
