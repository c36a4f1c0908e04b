//! CreateTopics (key 19). 4: defaults for partitions and replication (KIP-464). 5: configs in the answer (KIP-525). 7: topic ids.

use super::{Answer, Exchange, Part, all, keep_flat, merge_flat};
use crate::wire::error_code::ErrorCode;
use crate::wire::schema::schema;
use crate::wire::types::{Str, Uuid};

schema! {
    CreateTopicsRequest {
        topics: Vec<CreatableTopic> [0+];
        timeout_ms: i32 [0+] = 60000;
        validate_only: bool [1+];
    }

    CreatableTopic {
        name: Str [0+];
        num_partitions: i32 [0+];
        replication_factor: i16 [0+];
        assignments: Vec<CreatableReplicaAssignment> [0+];
        configs: Vec<CreatableTopicConfig> [0+];
    }

    CreatableReplicaAssignment {
        partition_index: i32 [0+];
        broker_ids: Vec<i32> [0+];
    }

    CreatableTopicConfig {
        name: Str [0+];
        value: Option<Str> [0+] null [0+];
    }

    CreateTopicsResponse {
        throttle_time_ms: i32 [2+];
        topics: Vec<CreatableTopicResult> [0+];
    }

    CreatableTopicResult {
        name: Str [0+];
        topic_id: Uuid [7+];
        error_code: i16 [0+];
        error_message: Option<Str> [1+] null [0+];
        num_partitions: i32 [5+] = -1;
        replication_factor: i16 [5+] = -1;
        configs: Option<Vec<CreatableTopicConfigs>> [5+] null [5+];
        @0 topic_config_error_code: i16 [5+];
    }

    CreatableTopicConfigs {
        name: Str [5+];
        value: Option<Str> [5+] null [5+];
        read_only: bool [5+];
        config_source: i8 [5+] = -1;
        is_sensitive: bool [5+];
    }
}

pub type Request = CreateTopicsRequest;
pub type Response = CreateTopicsResponse;

impl Exchange for CreateTopicsRequest {
    type Response = CreateTopicsResponse;

    fn parts(&self, _version: i16) -> Vec<Part> {
        self.topics.iter().map(|t| Part::topic(&t.name, Uuid::ZERO)).collect()
    }

    fn keep(&mut self, keep: &[bool]) {
        keep_flat(&mut self.topics, keep);
    }

    fn answer(&self, version: i16, code: ErrorCode) -> Option<CreateTopicsResponse> {
        self.merge(version, &all(self.topics.len(), code), None)
    }

    fn merge(
        &self,
        _version: i16,
        answers: &[Option<Answer>],
        upstream: Option<CreateTopicsResponse>,
    ) -> Option<CreateTopicsResponse> {
        let mut response = upstream.unwrap_or_default();
        let said = std::mem::take(&mut response.topics).into_iter().map(|t| (t.name.clone(), t));
        let requested = self.topics.iter().map(|t| t.name.clone());
        response.topics = merge_flat(requested, answers, said, true, |key, answer| CreatableTopicResult {
            name: key.clone(),
            error_code: answer.code.0,
            error_message: answer.message.clone(),
            configs: Some(Vec::new()),
            ..Default::default()
        });
        Some(response)
    }
}
