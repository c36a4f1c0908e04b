//! ListOffsets (key 2). 2: isolation level. 4: leader epoch. 7: max timestamp (-3). 8: local log start (-4). 9: tiered (-5).
//! 10: time-out. 11: earliest pending upload (-6).

use super::{Answer, Exchange, Key, Part, Topic, all, keep_nested, merge_nested};
use crate::wire::error_code::ErrorCode;
use crate::wire::schema::schema;
use crate::wire::types::{Str, Uuid};

schema! {
    ListOffsetsRequest {
        replica_id: i32 [0+];
        isolation_level: i8 [2+];
        topics: Vec<ListOffsetsTopic> [0+];
        timeout_ms: i32 [10+];
    }

    ListOffsetsTopic {
        name: Str [0+];
        partitions: Vec<ListOffsetsPartition> [0+];
    }

    ListOffsetsPartition {
        partition_index: i32 [0+];
        current_leader_epoch: i32 [4+] = -1;
        timestamp: i64 [0+];
    }

    ListOffsetsResponse {
        throttle_time_ms: i32 [2+];
        topics: Vec<ListOffsetsTopicResponse> [0+];
    }

    ListOffsetsTopicResponse {
        name: Str [0+];
        partitions: Vec<ListOffsetsPartitionResponse> [0+];
    }

    ListOffsetsPartitionResponse {
        partition_index: i32 [0+];
        error_code: i16 [0+];
        timestamp: i64 [1+] = -1;
        offset: i64 [1+] = -1;
        leader_epoch: i32 [4+] = -1;
    }
}

impl ListOffsetsRequest {
    fn keys(&self) -> impl Iterator<Item = Key> + '_ {
        self.topics
            .iter()
            .flat_map(|t| t.partitions.iter().map(|p| (t.name.clone(), Uuid::ZERO, p.partition_index)))
    }
}

pub type Request = ListOffsetsRequest;
pub type Response = ListOffsetsResponse;

impl Exchange for ListOffsetsRequest {
    type Response = ListOffsetsResponse;

    fn parts(&self, _version: i16) -> Vec<Part> {
        self.keys().map(|(name, id, partition)| Part::partition(&name, id, partition)).collect()
    }

    fn keep(&mut self, keep: &[bool]) {
        keep_nested(&mut self.topics, keep, |t| &mut t.partitions);
    }

    fn answer(&self, version: i16, code: ErrorCode) -> Option<ListOffsetsResponse> {
        self.merge(version, &all(self.keys().count(), code), None)
    }

    fn merge(
        &self,
        _version: i16,
        answers: &[Option<Answer>],
        upstream: Option<ListOffsetsResponse>,
    ) -> Option<ListOffsetsResponse> {
        let mut response = upstream.unwrap_or_default();
        let said = std::mem::take(&mut response.topics).into_iter().map(|t| Topic {
            name: t.name,
            id: Uuid::ZERO,
            partitions: t.partitions,
            unknown_tags: t.unknown_tags,
        });
        let index = |p: &ListOffsetsPartitionResponse| p.partition_index;
        let merged = merge_nested(self.keys(), answers, said, true, index, |key, answer| {
            ListOffsetsPartitionResponse {
                partition_index: key.2,
                error_code: answer.code.0,
                ..Default::default()
            }
        });
        response.topics = merged
            .into_iter()
            .map(|t| ListOffsetsTopicResponse {
                name: t.name,
                partitions: t.partitions,
                unknown_tags: t.unknown_tags,
            })
            .collect();
        Some(response)
    }
}
