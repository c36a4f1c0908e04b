//! AlterPartitionReassignments (key 45), KIP-455. 1: whether the replication factor may change.

use super::{Answer, Exchange, Key, Part, Topic, all, keep_nested, merge_nested};
use crate::wire::error_code::ErrorCode;
use crate::wire::schema::schema;
use crate::wire::types::{Str, Uuid};

schema! {
    AlterPartitionReassignmentsRequest {
        timeout_ms: i32 [0+] = 60000;
        allow_replication_factor_change: bool [1+] = true;
        topics: Vec<ReassignableTopic> [0+];
    }

    ReassignableTopic {
        name: Str [0+];
        partitions: Vec<ReassignablePartition> [0+];
    }

    ReassignablePartition {
        partition_index: i32 [0+];
        replicas: Option<Vec<i32>> [0+] null [0+];
    }

    AlterPartitionReassignmentsResponse {
        throttle_time_ms: i32 [0+];
        allow_replication_factor_change: bool [1+] = true;
        error_code: i16 [0+];
        error_message: Option<Str> [0+] null [0+] = Some(Default::default());
        responses: Vec<ReassignableTopicResponse> [0+];
    }

    ReassignableTopicResponse {
        name: Str [0+];
        partitions: Vec<ReassignablePartitionResponse> [0+];
    }

    ReassignablePartitionResponse {
        partition_index: i32 [0+];
        error_code: i16 [0+];
        error_message: Option<Str> [0+] null [0+] = Some(Default::default());
    }
}

pub type Request = AlterPartitionReassignmentsRequest;
pub type Response = AlterPartitionReassignmentsResponse;

impl AlterPartitionReassignmentsRequest {
    fn keys(&self) -> impl Iterator<Item = Key> + '_ {
        self.topics
            .iter()
            .flat_map(|t| t.partitions.iter().map(|p| (t.name.clone(), Uuid::ZERO, p.partition_index)))
    }
}

impl Exchange for AlterPartitionReassignmentsRequest {
    type Response = AlterPartitionReassignmentsResponse;

    fn whole(&self, _version: i16) -> Option<Part> {
        Some(Part::cluster())
    }

    fn parts(&self, _version: i16) -> Vec<Part> {
        self.keys().map(|(name, id, partition)| Part::partition(&name, id, partition)).collect()
    }

    fn keep(&mut self, keep: &[bool]) {
        keep_nested(&mut self.topics, keep, |t| &mut t.partitions);
    }

    fn answer(&self, version: i16, code: ErrorCode) -> Option<AlterPartitionReassignmentsResponse> {
        let response = AlterPartitionReassignmentsResponse {
            error_code: code.0,
            error_message: None,
            ..Default::default()
        };
        self.merge(version, &all(self.keys().count(), code), Some(response))
    }

    fn merge(
        &self,
        _version: i16,
        answers: &[Option<Answer>],
        upstream: Option<AlterPartitionReassignmentsResponse>,
    ) -> Option<AlterPartitionReassignmentsResponse> {
        let mut response = upstream.unwrap_or_default();
        let said = std::mem::take(&mut response.responses).into_iter().map(|t| Topic {
            name: t.name,
            id: Uuid::ZERO,
            partitions: t.partitions,
            unknown_tags: t.unknown_tags,
        });
        let index = |p: &ReassignablePartitionResponse| p.partition_index;
        let merged = merge_nested(self.keys(), answers, said, true, index, |key, answer| {
            ReassignablePartitionResponse {
                partition_index: key.2,
                error_code: answer.code.0,
                error_message: answer.message.clone(),
                ..Default::default()
            }
        });
        response.responses = merged
            .into_iter()
            .map(|t| ReassignableTopicResponse {
                name: t.name,
                partitions: t.partitions,
                unknown_tags: t.unknown_tags,
            })
            .collect();
        Some(response)
    }
}
