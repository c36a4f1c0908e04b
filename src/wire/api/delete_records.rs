//! DeleteRecords (key 21). 2: flexible.

use super::{Answer, Exchange, Key, Part, Topic, all, keep_nested, merge_nested};
use crate::wire::error_code::ErrorCode;
use crate::wire::schema::schema;
use crate::wire::types::{Str, Uuid};

schema! {
    DeleteRecordsRequest {
        topics: Vec<DeleteRecordsTopic> [0+];
        timeout_ms: i32 [0+];
    }

    DeleteRecordsTopic {
        name: Str [0+];
        partitions: Vec<DeleteRecordsPartition> [0+];
    }

    DeleteRecordsPartition {
        partition_index: i32 [0+];
        offset: i64 [0+];
    }

    DeleteRecordsResponse {
        throttle_time_ms: i32 [0+];
        topics: Vec<DeleteRecordsTopicResult> [0+];
    }

    DeleteRecordsTopicResult {
        name: Str [0+];
        partitions: Vec<DeleteRecordsPartitionResult> [0+];
    }

    DeleteRecordsPartitionResult {
        partition_index: i32 [0+];
        low_watermark: i64 [0+];
        error_code: i16 [0+];
    }
}

impl DeleteRecordsRequest {
    fn keys(&self) -> impl Iterator<Item = Key> + '_ {
        self.topics
            .iter()
            .flat_map(|t| t.partitions.iter().map(|p| (t.name.clone(), Uuid::ZERO, p.partition_index)))
    }
}

pub type Request = DeleteRecordsRequest;
pub type Response = DeleteRecordsResponse;

impl Exchange for DeleteRecordsRequest {
    type Response = DeleteRecordsResponse;

    fn parts(&self, _version: i16) -> Vec<Part> {
        self.keys().map(|(name, id, partition)| Part::partition(&name, id, partition)).collect()
    }

    fn keep(&mut self, keep: &[bool]) {
        keep_nested(&mut self.topics, keep, |t| &mut t.partitions);
    }

    fn answer(&self, version: i16, code: ErrorCode) -> Option<DeleteRecordsResponse> {
        self.merge(version, &all(self.keys().count(), code), None)
    }

    fn merge(
        &self,
        _version: i16,
        answers: &[Option<Answer>],
        upstream: Option<DeleteRecordsResponse>,
    ) -> Option<DeleteRecordsResponse> {
        let mut response = upstream.unwrap_or_default();
        let said = std::mem::take(&mut response.topics).into_iter().map(|t| Topic {
            name: t.name,
            id: Uuid::ZERO,
            partitions: t.partitions,
            unknown_tags: t.unknown_tags,
        });
        let index = |p: &DeleteRecordsPartitionResult| p.partition_index;
        let merged = merge_nested(self.keys(), answers, said, true, index, |key, answer| {
            DeleteRecordsPartitionResult {
                partition_index: key.2,
                error_code: answer.code.0,
                low_watermark: -1,
                ..Default::default()
            }
        });
        response.topics = merged
            .into_iter()
            .map(|t| DeleteRecordsTopicResult {
                name: t.name,
                partitions: t.partitions,
                unknown_tags: t.unknown_tags,
            })
            .collect();
        Some(response)
    }
}
