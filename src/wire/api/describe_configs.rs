//! DescribeConfigs (key 32). 1: synonyms (KIP-226). 3: types and documentation (KIP-569).

use super::{Answer, Exchange, Part, all, config_part, keep_flat, merge_flat};
use crate::wire::error_code::ErrorCode;
use crate::wire::schema::schema;
use crate::wire::types::Str;

schema! {
    DescribeConfigsRequest {
        resources: Vec<DescribeConfigsResource> [0+];
        include_synonyms: bool [1+];
        include_documentation: bool [3+];
    }

    DescribeConfigsResource {
        resource_type: i8 [0+];
        resource_name: Str [0+];
        configuration_keys: Option<Vec<Str>> [0+] null [0+];
    }

    DescribeConfigsResponse {
        throttle_time_ms: i32 [0+];
        results: Vec<DescribeConfigsResult> [0+];
    }

    DescribeConfigsResult {
        error_code: i16 [0+];
        error_message: Option<Str> [0+] null [0+];
        resource_type: i8 [0+];
        resource_name: Str [0+];
        configs: Vec<DescribeConfigsResourceResult> [0+];
    }

    DescribeConfigsResourceResult {
        name: Str [0+];
        value: Option<Str> [0+] null [0+];
        read_only: bool [0+];
        config_source: i8 [1+] = -1;
        is_sensitive: bool [0+];
        synonyms: Vec<DescribeConfigsSynonym> [1+];
        config_type: i8 [3+];
        documentation: Option<Str> [3+] null [0+];
    }

    DescribeConfigsSynonym {
        name: Str [1+];
        value: Option<Str> [1+] null [0+];
        source: i8 [1+];
    }
}

pub type Request = DescribeConfigsRequest;
pub type Response = DescribeConfigsResponse;

impl Exchange for DescribeConfigsRequest {
    type Response = DescribeConfigsResponse;

    fn parts(&self, _version: i16) -> Vec<Part> {
        self.resources.iter().map(|t| config_part(t.resource_type, &t.resource_name)).collect()
    }

    fn keep(&mut self, keep: &[bool]) {
        keep_flat(&mut self.resources, keep);
    }

    fn answer(&self, version: i16, code: ErrorCode) -> Option<DescribeConfigsResponse> {
        self.merge(version, &all(self.resources.len(), code), None)
    }

    fn merge(
        &self,
        _version: i16,
        answers: &[Option<Answer>],
        upstream: Option<DescribeConfigsResponse>,
    ) -> Option<DescribeConfigsResponse> {
        let mut response = upstream.unwrap_or_default();
        let said = std::mem::take(&mut response.results)
            .into_iter()
            .map(|t| ((t.resource_type, t.resource_name.clone()), t));
        let requested = self.resources.iter().map(|t| (t.resource_type, t.resource_name.clone()));
        response.results = merge_flat(requested, answers, said, true, |key, answer| DescribeConfigsResult {
            resource_type: key.0,
            resource_name: key.1.clone(),
            error_code: answer.code.0,
            error_message: answer.message.clone(),
            ..Default::default()
        });
        Some(response)
    }
}
