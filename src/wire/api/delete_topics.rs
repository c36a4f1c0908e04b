//! DeleteTopics (key 20). 5: error messages. 6: topics by name or by id (KIP-516).

use super::{Answer, Exchange, Part, all, keep_flat, merge_flat};
use crate::wire::error_code::ErrorCode;
use crate::wire::schema::schema;
use crate::wire::types::{Str, Uuid};

schema! {
    DeleteTopicsRequest {
        topics: Vec<DeleteTopicState> [6+];
        topic_names: Vec<Str> [0-5];
        timeout_ms: i32 [0+];
    }

    DeleteTopicState {
        name: Option<Str> [6+] null [6+];
        topic_id: Uuid [6+];
    }

    DeleteTopicsResponse {
        throttle_time_ms: i32 [1+];
        responses: Vec<DeletableTopicResult> [0+];
    }

    DeletableTopicResult {
        name: Option<Str> [0+] null [6+];
        topic_id: Uuid [6+];
        error_code: i16 [0+];
        error_message: Option<Str> [5+] null [5+];
    }
}

impl DeleteTopicsRequest {
    /// Name (empty when only the id is given) and id, in request order. Up to version 5 there are only names.
    fn keys(&self, version: i16) -> Vec<(Str, Uuid)> {
        if version >= 6 {
            self.topics.iter().map(|t| (t.name.clone().unwrap_or_default(), t.topic_id)).collect()
        } else {
            self.topic_names.iter().map(|name| (name.clone(), Uuid::ZERO)).collect()
        }
    }
}

pub type Request = DeleteTopicsRequest;
pub type Response = DeleteTopicsResponse;

impl Exchange for DeleteTopicsRequest {
    type Response = DeleteTopicsResponse;

    fn parts(&self, version: i16) -> Vec<Part> {
        self.keys(version).iter().map(|(name, id)| Part::topic(name, *id)).collect()
    }

    fn keep(&mut self, keep: &[bool]) {
        keep_flat(&mut self.topics, keep);
        keep_flat(&mut self.topic_names, keep);
    }

    fn answer(&self, version: i16, code: ErrorCode) -> Option<DeleteTopicsResponse> {
        self.merge(version, &all(self.keys(version).len(), code), None)
    }

    fn merge(
        &self,
        version: i16,
        answers: &[Option<Answer>],
        upstream: Option<DeleteTopicsResponse>,
    ) -> Option<DeleteTopicsResponse> {
        let mut response = upstream.unwrap_or_default();
        // The reply gives name and id whatever the request named the topic by.
        let by_id = |id: &Uuid| self.topics.iter().any(|t| t.topic_id == *id && !id.is_zero());
        let said = std::mem::take(&mut response.responses)
            .into_iter()
            .map(|r| match by_id(&r.topic_id) {
                true => ((Str::default(), r.topic_id), r),
                false => ((r.name.clone().unwrap_or_default(), Uuid::ZERO), r),
            })
            .collect();
        let requested = self.keys(version).into_iter();
        response.responses =
            merge_flat(requested, answers, said, true, |(name, id), answer| DeletableTopicResult {
                name: (!name.is_empty()).then(|| name.clone()),
                topic_id: *id,
                error_code: answer.code.0,
                error_message: answer.message.clone(),
                ..Default::default()
            });
        Some(response)
    }
}
