//! AlterShareGroupOffsets (key 91), KIP-932.

use super::{Answer, Exchange, Key, Part, Resource, Topic, keep_nested, merge_nested};
use crate::wire::error_code::ErrorCode;
use crate::wire::schema::schema;
use crate::wire::types::{Str, Uuid};

schema! {
    AlterShareGroupOffsetsRequest {
        group_id: Str [0+];
        topics: Vec<AlterShareGroupOffsetsRequestTopic> [0+];
    }

    AlterShareGroupOffsetsRequestTopic {
        topic_name: Str [0+];
        partitions: Vec<AlterShareGroupOffsetsRequestPartition> [0+];
    }

    AlterShareGroupOffsetsRequestPartition {
        partition_index: i32 [0+];
        start_offset: i64 [0+];
    }

    AlterShareGroupOffsetsResponse {
        throttle_time_ms: i32 [0+];
        error_code: i16 [0+];
        error_message: Option<Str> [0+] null [0+];
        responses: Vec<AlterShareGroupOffsetsResponseTopic> [0+];
    }

    AlterShareGroupOffsetsResponseTopic {
        topic_name: Str [0+];
        topic_id: Uuid [0+];
        partitions: Vec<AlterShareGroupOffsetsResponsePartition> [0+];
    }

    AlterShareGroupOffsetsResponsePartition {
        partition_index: i32 [0+];
        error_code: i16 [0+];
        error_message: Option<Str> [0+] null [0+];
    }
}

pub type Request = AlterShareGroupOffsetsRequest;
pub type Response = AlterShareGroupOffsetsResponse;

impl AlterShareGroupOffsetsRequest {
    fn keys(&self) -> impl Iterator<Item = Key> + '_ {
        self.topics
            .iter()
            .flat_map(|t| t.partitions.iter().map(|p| (t.topic_name.clone(), Uuid::ZERO, p.partition_index)))
    }
}

impl Exchange for AlterShareGroupOffsetsRequest {
    type Response = AlterShareGroupOffsetsResponse;

    fn whole(&self, _version: i16) -> Option<Part> {
        Some(Part::new(Resource::Group, &self.group_id))
    }

    fn parts(&self, _version: i16) -> Vec<Part> {
        self.keys().map(|(name, id, partition)| Part::partition(&name, id, partition)).collect()
    }

    fn keep(&mut self, keep: &[bool]) {
        keep_nested(&mut self.topics, keep, |t| &mut t.partitions);
    }

    fn answer(&self, _version: i16, code: ErrorCode) -> Option<AlterShareGroupOffsetsResponse> {
        Some(AlterShareGroupOffsetsResponse { error_code: code.0, ..Default::default() })
    }

    fn merge(
        &self,
        _version: i16,
        answers: &[Option<Answer>],
        upstream: Option<AlterShareGroupOffsetsResponse>,
    ) -> Option<AlterShareGroupOffsetsResponse> {
        let mut response = upstream.unwrap_or_default();
        let said = std::mem::take(&mut response.responses).into_iter().map(|t| Topic {
            name: t.topic_name,
            id: Uuid::ZERO,
            partitions: t.partitions,
            unknown_tags: t.unknown_tags,
        });
        let index = |p: &AlterShareGroupOffsetsResponsePartition| p.partition_index;
        let merged = merge_nested(self.keys(), answers, said, true, index, |key, answer| {
            AlterShareGroupOffsetsResponsePartition {
                partition_index: key.2,
                error_code: answer.code.0,
                error_message: answer.message.clone(),
                ..Default::default()
            }
        });
        response.responses = merged
            .into_iter()
            .map(|t| AlterShareGroupOffsetsResponseTopic {
                topic_name: t.name,
                topic_id: Uuid::ZERO,
                partitions: t.partitions,
                unknown_tags: t.unknown_tags,
            })
            .collect();
        Some(response)
    }
}
