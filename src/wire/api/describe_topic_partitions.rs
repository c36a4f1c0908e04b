//! DescribeTopicPartitions (key 75), KIP-966. No topics in the request means all of them.

use super::{Answer, Exchange, Part, all, keep_flat, merge_flat, repeats_the_question};
use crate::wire::error_code::ErrorCode;
use crate::wire::schema::schema;
use crate::wire::types::{Str, Uuid};

schema! {
    DescribeTopicPartitionsRequest {
        topics: Vec<TopicRequest> [0+];
        response_partition_limit: i32 [0+] = 2000;
        cursor: Option<Cursor> [0+] null [0+];
    }

    TopicRequest {
        name: Str [0+];
    }

    Cursor {
        topic_name: Str [0+];
        partition_index: i32 [0+];
    }

    DescribeTopicPartitionsResponse {
        throttle_time_ms: i32 [0+];
        topics: Vec<DescribeTopicPartitionsResponseTopic> [0+];
        next_cursor: Option<ResponseCursor> [0+] null [0+];
    }

    DescribeTopicPartitionsResponseTopic {
        error_code: i16 [0+];
        name: Option<Str> [0+] null [0+];
        topic_id: Uuid [0+];
        is_internal: bool [0+];
        partitions: Vec<DescribeTopicPartitionsResponsePartition> [0+];
        topic_authorized_operations: i32 [0+] = -2147483648;
    }

    DescribeTopicPartitionsResponsePartition {
        error_code: i16 [0+];
        partition_index: i32 [0+];
        leader_id: i32 [0+];
        leader_epoch: i32 [0+] = -1;
        replica_nodes: Vec<i32> [0+];
        isr_nodes: Vec<i32> [0+];
        eligible_leader_replicas: Option<Vec<i32>> [0+] null [0+];
        last_known_elr: Option<Vec<i32>> [0+] null [0+];
        offline_replicas: Vec<i32> [0+];
    }

    ResponseCursor {
        topic_name: Str [0+];
        partition_index: i32 [0+];
    }
}

pub type Request = DescribeTopicPartitionsRequest;
pub type Response = DescribeTopicPartitionsResponse;

impl Exchange for DescribeTopicPartitionsRequest {
    type Response = DescribeTopicPartitionsResponse;

    fn retain(_: i16, response: &mut DescribeTopicPartitionsResponse, keep: &mut dyn FnMut(&Part) -> bool) {
        response.topics.retain(|t| {
            let name = t.name.clone().unwrap_or_default();
            repeats_the_question(&name, t.error_code) || keep(&Part::topic(&name, t.topic_id))
        });
    }

    fn parts(&self, _version: i16) -> Vec<Part> {
        self.topics.iter().map(|t| Part::topic(&t.name, Uuid::ZERO)).collect()
    }

    fn keep(&mut self, keep: &[bool]) {
        keep_flat(&mut self.topics, keep);
    }

    fn answer(&self, version: i16, code: ErrorCode) -> Option<DescribeTopicPartitionsResponse> {
        // Asking for all topics leaves no element to carry an error.
        match self.topics.len() {
            0 => None,
            n => self.merge(version, &all(n, code), None),
        }
    }

    fn merge(
        &self,
        _version: i16,
        answers: &[Option<Answer>],
        upstream: Option<DescribeTopicPartitionsResponse>,
    ) -> Option<DescribeTopicPartitionsResponse> {
        let mut response = upstream.unwrap_or_default();
        let said =
            std::mem::take(&mut response.topics).into_iter().map(|t| (t.name.clone().unwrap_or_default(), t));
        let requested = self.topics.iter().map(|t| t.name.clone());
        response.topics =
            merge_flat(requested, answers, said, true, |key, answer| DescribeTopicPartitionsResponseTopic {
                name: Some(key.clone()),
                error_code: answer.code.0,
                ..Default::default()
            });
        Some(response)
    }
}
