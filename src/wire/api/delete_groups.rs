//! DeleteGroups (key 42), KIP-229. 3: error messages.

use super::{Answer, Exchange, Part, Resource, all, keep_flat, merge_flat};
use crate::wire::error_code::ErrorCode;
use crate::wire::schema::schema;
use crate::wire::types::Str;

schema! {
    DeleteGroupsRequest {
        groups_names: Vec<Str> [0+];
    }

    DeleteGroupsResponse {
        throttle_time_ms: i32 [0+];
        results: Vec<DeletableGroupResult> [0+];
    }

    DeletableGroupResult {
        group_id: Str [0+];
        error_code: i16 [0+];
        error_message: Option<Str> [3+] null [3+];
    }
}

pub type Request = DeleteGroupsRequest;
pub type Response = DeleteGroupsResponse;

impl Exchange for DeleteGroupsRequest {
    type Response = DeleteGroupsResponse;

    fn parts(&self, _version: i16) -> Vec<Part> {
        self.groups_names.iter().map(|t| Part::new(Resource::Group, t)).collect()
    }

    fn keep(&mut self, keep: &[bool]) {
        keep_flat(&mut self.groups_names, keep);
    }

    fn answer(&self, version: i16, code: ErrorCode) -> Option<DeleteGroupsResponse> {
        self.merge(version, &all(self.groups_names.len(), code), None)
    }

    fn merge(
        &self,
        _version: i16,
        answers: &[Option<Answer>],
        upstream: Option<DeleteGroupsResponse>,
    ) -> Option<DeleteGroupsResponse> {
        let mut response = upstream.unwrap_or_default();
        let said = std::mem::take(&mut response.results).into_iter().map(|t| (t.group_id.clone(), t));
        let requested = self.groups_names.iter().cloned();
        response.results = merge_flat(requested, answers, said, true, |key, answer| DeletableGroupResult {
            group_id: key.clone(),
            error_code: answer.code.0,
            error_message: answer.message.clone(),
            ..Default::default()
        });
        Some(response)
    }
}
