//! CreatePartitions (key 37), KIP-195. 3: quota errors (KIP-599).

use super::{Answer, Exchange, Part, all, keep_flat, merge_flat};
use crate::wire::error_code::ErrorCode;
use crate::wire::schema::schema;
use crate::wire::types::{Str, Uuid};

schema! {
    CreatePartitionsRequest {
        topics: Vec<CreatePartitionsTopic> [0+];
        timeout_ms: i32 [0+];
        validate_only: bool [0+];
    }

    CreatePartitionsTopic {
        name: Str [0+];
        count: i32 [0+];
        assignments: Option<Vec<CreatePartitionsAssignment>> [0+] null [0+];
    }

    CreatePartitionsAssignment {
        broker_ids: Vec<i32> [0+];
    }

    CreatePartitionsResponse {
        throttle_time_ms: i32 [0+];
        results: Vec<CreatePartitionsTopicResult> [0+];
    }

    CreatePartitionsTopicResult {
        name: Str [0+];
        error_code: i16 [0+];
        error_message: Option<Str> [0+] null [0+];
    }
}

pub type Request = CreatePartitionsRequest;
pub type Response = CreatePartitionsResponse;

impl Exchange for CreatePartitionsRequest {
    type Response = CreatePartitionsResponse;

    fn parts(&self, _version: i16) -> Vec<Part> {
        self.topics.iter().map(|t| Part::topic(&t.name, Uuid::ZERO)).collect()
    }

    fn keep(&mut self, keep: &[bool]) {
        keep_flat(&mut self.topics, keep);
    }

    fn answer(&self, version: i16, code: ErrorCode) -> Option<CreatePartitionsResponse> {
        self.merge(version, &all(self.topics.len(), code), None)
    }

    fn merge(
        &self,
        _version: i16,
        answers: &[Option<Answer>],
        upstream: Option<CreatePartitionsResponse>,
    ) -> Option<CreatePartitionsResponse> {
        let mut response = upstream.unwrap_or_default();
        let said = std::mem::take(&mut response.results).into_iter().map(|t| (t.name.clone(), t));
        let requested = self.topics.iter().map(|t| t.name.clone());
        response.results =
            merge_flat(requested, answers, said, true, |key, answer| CreatePartitionsTopicResult {
                name: key.clone(),
                error_code: answer.code.0,
                error_message: answer.message.clone(),
                ..Default::default()
            });
        Some(response)
    }
}
