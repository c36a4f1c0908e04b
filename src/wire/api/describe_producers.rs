//! DescribeProducers (key 61), KIP-664.

use super::{Answer, Exchange, Key, Part, Topic, all, keep_nested, merge_nested};
use crate::wire::error_code::ErrorCode;
use crate::wire::schema::schema;
use crate::wire::types::{Str, Uuid};

schema! {
    DescribeProducersRequest {
        topics: Vec<TopicRequest> [0+];
    }

    TopicRequest {
        name: Str [0+];
        partition_indexes: Vec<i32> [0+];
    }

    DescribeProducersResponse {
        throttle_time_ms: i32 [0+];
        topics: Vec<TopicResponse> [0+];
    }

    TopicResponse {
        name: Str [0+];
        partitions: Vec<PartitionResponse> [0+];
    }

    PartitionResponse {
        partition_index: i32 [0+];
        error_code: i16 [0+];
        error_message: Option<Str> [0+] null [0+];
        active_producers: Vec<ProducerState> [0+];
    }

    ProducerState {
        producer_id: i64 [0+];
        producer_epoch: i32 [0+];
        last_sequence: i32 [0+] = -1;
        last_timestamp: i64 [0+] = -1;
        coordinator_epoch: i32 [0+];
        current_txn_start_offset: i64 [0+] = -1;
    }
}

pub type Request = DescribeProducersRequest;
pub type Response = DescribeProducersResponse;

impl DescribeProducersRequest {
    fn keys(&self) -> impl Iterator<Item = Key> + '_ {
        self.topics.iter().flat_map(|t| t.partition_indexes.iter().map(|p| (t.name.clone(), Uuid::ZERO, *p)))
    }
}

impl Exchange for DescribeProducersRequest {
    type Response = DescribeProducersResponse;

    fn parts(&self, _version: i16) -> Vec<Part> {
        self.keys().map(|(name, id, partition)| Part::partition(&name, id, partition)).collect()
    }

    fn keep(&mut self, keep: &[bool]) {
        keep_nested(&mut self.topics, keep, |t| &mut t.partition_indexes);
    }

    fn answer(&self, version: i16, code: ErrorCode) -> Option<DescribeProducersResponse> {
        self.merge(version, &all(self.keys().count(), code), None)
    }

    fn merge(
        &self,
        _version: i16,
        answers: &[Option<Answer>],
        upstream: Option<DescribeProducersResponse>,
    ) -> Option<DescribeProducersResponse> {
        let mut response = upstream.unwrap_or_default();
        let said = std::mem::take(&mut response.topics).into_iter().map(|t| Topic {
            name: t.name,
            id: Uuid::ZERO,
            partitions: t.partitions,
            unknown_tags: t.unknown_tags,
        });
        let index = |p: &PartitionResponse| p.partition_index;
        let merged = merge_nested(self.keys(), answers, said, true, index, |key, answer| PartitionResponse {
            partition_index: key.2,
            error_code: answer.code.0,
            error_message: answer.message.clone(),
            ..Default::default()
        });
        response.topics = merged
            .into_iter()
            .map(|t| TopicResponse { name: t.name, partitions: t.partitions, unknown_tags: t.unknown_tags })
            .collect();
        Some(response)
    }
}
