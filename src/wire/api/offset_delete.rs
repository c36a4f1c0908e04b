//! OffsetDelete (key 47), KIP-496. One version, never flexible.

use super::{Answer, Exchange, Key, Part, Resource, Topic, keep_nested, merge_nested};
use crate::wire::error_code::ErrorCode;
use crate::wire::schema::schema;
use crate::wire::types::{Str, Uuid};

schema! {
    OffsetDeleteRequest {
        group_id: Str [0+];
        topics: Vec<OffsetDeleteRequestTopic> [0+];
    }

    OffsetDeleteRequestTopic {
        name: Str [0+];
        partitions: Vec<OffsetDeleteRequestPartition> [0+];
    }

    OffsetDeleteRequestPartition {
        partition_index: i32 [0+];
    }

    OffsetDeleteResponse {
        error_code: i16 [0+];
        throttle_time_ms: i32 [0+];
        topics: Vec<OffsetDeleteResponseTopic> [0+];
    }

    OffsetDeleteResponseTopic {
        name: Str [0+];
        partitions: Vec<OffsetDeleteResponsePartition> [0+];
    }

    OffsetDeleteResponsePartition {
        partition_index: i32 [0+];
        error_code: i16 [0+];
    }
}

impl OffsetDeleteRequest {
    fn keys(&self) -> impl Iterator<Item = Key> + '_ {
        self.topics
            .iter()
            .flat_map(|t| t.partitions.iter().map(|p| (t.name.clone(), Uuid::ZERO, p.partition_index)))
    }
}

pub type Request = OffsetDeleteRequest;
pub type Response = OffsetDeleteResponse;

impl Exchange for OffsetDeleteRequest {
    type Response = OffsetDeleteResponse;

    fn whole(&self, _version: i16) -> Option<Part> {
        Some(Part::new(Resource::Group, &self.group_id))
    }

    fn parts(&self, _version: i16) -> Vec<Part> {
        self.keys().map(|(name, id, partition)| Part::partition(&name, id, partition)).collect()
    }

    fn keep(&mut self, keep: &[bool]) {
        keep_nested(&mut self.topics, keep, |t| &mut t.partitions);
    }

    fn answer(&self, version: i16, code: ErrorCode) -> Option<OffsetDeleteResponse> {
        let _ = version;
        Some(OffsetDeleteResponse { error_code: code.0, ..Default::default() })
    }

    fn merge(
        &self,
        _version: i16,
        answers: &[Option<Answer>],
        upstream: Option<OffsetDeleteResponse>,
    ) -> Option<OffsetDeleteResponse> {
        let mut response = upstream.unwrap_or_default();
        let said = std::mem::take(&mut response.topics).into_iter().map(|t| Topic {
            name: t.name,
            id: Uuid::ZERO,
            partitions: t.partitions,
            unknown_tags: t.unknown_tags,
        });
        let index = |p: &OffsetDeleteResponsePartition| p.partition_index;
        let merged = merge_nested(self.keys(), answers, said, true, index, |key, answer| {
            OffsetDeleteResponsePartition {
                partition_index: key.2,
                error_code: answer.code.0,
                ..Default::default()
            }
        });
        response.topics = merged
            .into_iter()
            .map(|t| OffsetDeleteResponseTopic {
                name: t.name,
                partitions: t.partitions,
                unknown_tags: t.unknown_tags,
            })
            .collect();
        Some(response)
    }
}
