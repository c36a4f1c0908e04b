//! DeleteShareGroupOffsets (key 92), KIP-932.

use super::{Answer, Exchange, Part, Resource, keep_flat, merge_flat};
use crate::wire::error_code::ErrorCode;
use crate::wire::schema::schema;
use crate::wire::types::{Str, Uuid};

schema! {
    DeleteShareGroupOffsetsRequest {
        group_id: Str [0+];
        topics: Vec<DeleteShareGroupOffsetsRequestTopic> [0+];
    }

    DeleteShareGroupOffsetsRequestTopic {
        topic_name: Str [0+];
    }

    DeleteShareGroupOffsetsResponse {
        throttle_time_ms: i32 [0+];
        error_code: i16 [0+];
        error_message: Option<Str> [0+] null [0+];
        responses: Vec<DeleteShareGroupOffsetsResponseTopic> [0+];
    }

    DeleteShareGroupOffsetsResponseTopic {
        topic_name: Str [0+];
        topic_id: Uuid [0+];
        error_code: i16 [0+];
        error_message: Option<Str> [0+] null [0+];
    }
}

pub type Request = DeleteShareGroupOffsetsRequest;
pub type Response = DeleteShareGroupOffsetsResponse;

impl Exchange for DeleteShareGroupOffsetsRequest {
    type Response = DeleteShareGroupOffsetsResponse;

    fn whole(&self, _version: i16) -> Option<Part> {
        Some(Part::new(Resource::Group, &self.group_id))
    }

    fn parts(&self, _version: i16) -> Vec<Part> {
        self.topics.iter().map(|t| Part::topic(&t.topic_name, Uuid::ZERO)).collect()
    }

    fn keep(&mut self, keep: &[bool]) {
        keep_flat(&mut self.topics, keep);
    }

    fn answer(&self, _version: i16, code: ErrorCode) -> Option<DeleteShareGroupOffsetsResponse> {
        Some(DeleteShareGroupOffsetsResponse {
            error_code: code.0,
            error_message: None,
            ..Default::default()
        })
    }

    fn merge(
        &self,
        _version: i16,
        answers: &[Option<Answer>],
        upstream: Option<DeleteShareGroupOffsetsResponse>,
    ) -> Option<DeleteShareGroupOffsetsResponse> {
        let mut response = upstream.unwrap_or_default();
        let said = std::mem::take(&mut response.responses).into_iter().map(|t| (t.topic_name.clone(), t));
        let requested = self.topics.iter().map(|t| t.topic_name.clone());
        response.responses =
            merge_flat(requested, answers, said, true, |key, answer| DeleteShareGroupOffsetsResponseTopic {
                topic_name: key.clone(),
                error_code: answer.code.0,
                error_message: answer.message.clone(),
                ..Default::default()
            });
        Some(response)
    }
}
