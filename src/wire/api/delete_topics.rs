//! DeleteTopics (key 20). 5: error messages. 6: topics by name or by id (KIP-516).

use super::{Answer, Asked, Exchange, NameOrId, Part, all, keep_flat, merge_flat};
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
    /// In request order. Up to version 5 there are only names.
    fn keys(&self, version: i16) -> impl Iterator<Item = NameOrId> + '_ {
        let (states, names) = match version >= 6 {
            true => (self.topics.as_slice(), [].as_slice()),
            false => ([].as_slice(), self.topic_names.as_slice()),
        };
        let states =
            states.iter().map(|t| NameOrId { name: t.name.clone().unwrap_or_default(), id: t.topic_id });
        states.chain(names.iter().map(|name| NameOrId { name: name.clone(), id: Uuid::ZERO }))
    }
}

pub type Request = DeleteTopicsRequest;
pub type Response = DeleteTopicsResponse;

impl Exchange for DeleteTopicsRequest {
    type Response = DeleteTopicsResponse;

    fn parts(&self, version: i16) -> Vec<Part> {
        self.keys(version).map(|t| Part::topic(&t.name, t.id)).collect()
    }

    fn keep(&mut self, keep: &[bool]) {
        keep_flat(&mut self.topics, keep);
        keep_flat(&mut self.topic_names, keep);
    }

    fn answer(&self, version: i16, code: ErrorCode) -> Option<DeleteTopicsResponse> {
        self.merge(version, &all(self.keys(version).count(), code), None)
    }

    fn merge(
        &self,
        version: i16,
        answers: &[Option<Answer>],
        upstream: Option<DeleteTopicsResponse>,
    ) -> Option<DeleteTopicsResponse> {
        let mut response = upstream.unwrap_or_default();
        let mut asked = Asked::new(self.keys(version));
        let said = std::mem::take(&mut response.responses)
            .into_iter()
            .map(move |r| (asked.resolve(r.name.as_ref(), r.topic_id), r));
        let requested = self.keys(version);
        response.responses =
            merge_flat(requested, answers, said, true, |topic, answer| DeletableTopicResult {
                name: (!topic.name.is_empty()).then(|| topic.name.clone()),
                topic_id: topic.id,
                error_code: answer.code.0,
                error_message: answer.message.clone(),
                ..Default::default()
            });
        Some(response)
    }
}
