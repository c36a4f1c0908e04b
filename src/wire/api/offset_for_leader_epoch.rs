//! OffsetForLeaderEpoch (key 23). 3: replica id (-1 is a consumer). 4: flexible.

use super::{Answer, Exchange, Key, Part, Topic, all, keep_nested, merge_nested};
use crate::wire::error_code::ErrorCode;
use crate::wire::schema::schema;
use crate::wire::types::{Str, Uuid};

schema! {
    OffsetForLeaderEpochRequest {
        replica_id: i32 [3+] = -2;
        topics: Vec<OffsetForLeaderTopic> [0+];
    }

    OffsetForLeaderTopic {
        topic: Str [0+];
        partitions: Vec<OffsetForLeaderPartition> [0+];
    }

    OffsetForLeaderPartition {
        partition: i32 [0+];
        current_leader_epoch: i32 [2+] = -1;
        leader_epoch: i32 [0+];
    }

    OffsetForLeaderEpochResponse {
        throttle_time_ms: i32 [2+];
        topics: Vec<OffsetForLeaderTopicResult> [0+];
    }

    OffsetForLeaderTopicResult {
        topic: Str [0+];
        partitions: Vec<EpochEndOffset> [0+];
    }

    EpochEndOffset {
        error_code: i16 [0+];
        partition: i32 [0+];
        leader_epoch: i32 [1+] = -1;
        end_offset: i64 [0+] = -1;
    }
}

impl OffsetForLeaderEpochRequest {
    fn keys(&self) -> impl Iterator<Item = Key> + '_ {
        self.topics
            .iter()
            .flat_map(|t| t.partitions.iter().map(|p| (t.topic.clone(), Uuid::ZERO, p.partition)))
    }
}

pub type Request = OffsetForLeaderEpochRequest;
pub type Response = OffsetForLeaderEpochResponse;

impl Exchange for OffsetForLeaderEpochRequest {
    type Response = OffsetForLeaderEpochResponse;

    fn parts(&self, _version: i16) -> Vec<Part> {
        self.keys().map(|(name, id, partition)| Part::partition(&name, id, partition)).collect()
    }

    fn keep(&mut self, keep: &[bool]) {
        keep_nested(&mut self.topics, keep, |t| &mut t.partitions);
    }

    fn answer(&self, version: i16, code: ErrorCode) -> Option<OffsetForLeaderEpochResponse> {
        self.merge(version, &all(self.keys().count(), code), None)
    }

    fn merge(
        &self,
        _version: i16,
        answers: &[Option<Answer>],
        upstream: Option<OffsetForLeaderEpochResponse>,
    ) -> Option<OffsetForLeaderEpochResponse> {
        let mut response = upstream.unwrap_or_default();
        let said = std::mem::take(&mut response.topics).into_iter().map(|t| Topic {
            name: t.topic,
            id: Uuid::ZERO,
            partitions: t.partitions,
            unknown_tags: t.unknown_tags,
        });
        let index = |p: &EpochEndOffset| p.partition;
        let merged = merge_nested(self.keys(), answers, said, true, index, |key, answer| EpochEndOffset {
            partition: key.2,
            error_code: answer.code.0,
            ..Default::default()
        });
        response.topics = merged
            .into_iter()
            .map(|t| OffsetForLeaderTopicResult {
                topic: t.name,
                partitions: t.partitions,
                unknown_tags: t.unknown_tags,
            })
            .collect();
        Some(response)
    }
}
