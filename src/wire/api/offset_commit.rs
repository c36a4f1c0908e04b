//! OffsetCommit (key 8). 5: no retention time. 6: leader epoch. 7: static members. 9: KIP-848 member epochs. 10: topics by id.

use super::{Answer, Exchange, Key, Part, Resource, Topic, all, keep_nested, merge_nested};
use crate::wire::error_code::ErrorCode;
use crate::wire::schema::schema;
use crate::wire::types::{Str, Uuid};

schema! {
    OffsetCommitRequest {
        group_id: Str [0+];
        generation_id_or_member_epoch: i32 [1+] = -1;
        member_id: Str [1+];
        group_instance_id: Option<Str> [7+] null [7+];
        retention_time_ms: i64 [2-4] = -1;
        topics: Vec<OffsetCommitRequestTopic> [0+];
    }

    OffsetCommitRequestTopic {
        name: Str [0-9];
        topic_id: Uuid [10+];
        partitions: Vec<OffsetCommitRequestPartition> [0+];
    }

    OffsetCommitRequestPartition {
        partition_index: i32 [0+];
        committed_offset: i64 [0+];
        committed_leader_epoch: i32 [6+] = -1;
        committed_metadata: Option<Str> [0+] null [0+];
    }

    OffsetCommitResponse {
        throttle_time_ms: i32 [3+];
        topics: Vec<OffsetCommitResponseTopic> [0+];
    }

    OffsetCommitResponseTopic {
        name: Str [0-9];
        topic_id: Uuid [10+];
        partitions: Vec<OffsetCommitResponsePartition> [0+];
    }

    OffsetCommitResponsePartition {
        partition_index: i32 [0+];
        error_code: i16 [0+];
    }
}

impl OffsetCommitRequest {
    fn keys(&self) -> impl Iterator<Item = Key> + '_ {
        self.topics
            .iter()
            .flat_map(|t| t.partitions.iter().map(|p| (t.name.clone(), t.topic_id, p.partition_index)))
    }
}

pub type Request = OffsetCommitRequest;
pub type Response = OffsetCommitResponse;

impl Exchange for OffsetCommitRequest {
    type Response = OffsetCommitResponse;

    fn whole(&self, _version: i16) -> Option<Part> {
        Some(Part::new(Resource::Group, &self.group_id))
    }

    fn parts(&self, _version: i16) -> Vec<Part> {
        self.keys().map(|(name, id, partition)| Part::partition(&name, id, partition)).collect()
    }

    fn keep(&mut self, keep: &[bool]) {
        keep_nested(&mut self.topics, keep, |t| &mut t.partitions);
    }

    fn answer(&self, version: i16, code: ErrorCode) -> Option<OffsetCommitResponse> {
        self.merge(version, &all(self.keys().count(), code), None)
    }

    fn merge(
        &self,
        _version: i16,
        answers: &[Option<Answer>],
        upstream: Option<OffsetCommitResponse>,
    ) -> Option<OffsetCommitResponse> {
        let mut response = upstream.unwrap_or_default();
        let said = std::mem::take(&mut response.topics).into_iter().map(|t| Topic {
            name: t.name,
            id: t.topic_id,
            partitions: t.partitions,
            unknown_tags: t.unknown_tags,
        });
        let index = |p: &OffsetCommitResponsePartition| p.partition_index;
        let merged = merge_nested(self.keys(), answers, said, true, index, |key, answer| {
            OffsetCommitResponsePartition {
                partition_index: key.2,
                error_code: answer.code.0,
                ..Default::default()
            }
        });
        response.topics = merged
            .into_iter()
            .map(|t| OffsetCommitResponseTopic {
                name: t.name,
                topic_id: t.id,
                partitions: t.partitions,
                unknown_tags: t.unknown_tags,
            })
            .collect();
        Some(response)
    }
}
