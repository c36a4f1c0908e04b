//! TxnOffsetCommit (key 28), KIP-98. 2: leader epochs. 3: group generation and member (KIP-447). 4: TRANSACTION_ABORTABLE
//! (KIP-890). 6: topics by id.

use super::{Answer, Exchange, Key, Part, Resource, Topic, all, keep_nested, merge_nested};
use crate::wire::error_code::ErrorCode;
use crate::wire::schema::schema;
use crate::wire::types::{Str, Uuid};

schema! {
    TxnOffsetCommitRequest {
        transactional_id: Str [0+];
        group_id: Str [0+];
        producer_id: i64 [0+];
        producer_epoch: i16 [0+];
        generation_id_or_member_epoch: i32 [3+] = -1;
        member_id: Str [3+];
        group_instance_id: Option<Str> [3+] null [3+];
        topics: Vec<TxnOffsetCommitRequestTopic> [0+];
    }

    TxnOffsetCommitRequestTopic {
        topic_id: Uuid [6+];
        name: Str [0-5];
        partitions: Vec<TxnOffsetCommitRequestPartition> [0+];
    }

    TxnOffsetCommitRequestPartition {
        partition_index: i32 [0+];
        committed_offset: i64 [0+];
        committed_leader_epoch: i32 [2+] = -1;
        committed_metadata: Option<Str> [0+] null [0+] = Some(Default::default());
    }

    TxnOffsetCommitResponse {
        throttle_time_ms: i32 [0+];
        topics: Vec<TxnOffsetCommitResponseTopic> [0+];
    }

    TxnOffsetCommitResponseTopic {
        topic_id: Uuid [6+];
        name: Str [0-5];
        partitions: Vec<TxnOffsetCommitResponsePartition> [0+];
    }

    TxnOffsetCommitResponsePartition {
        partition_index: i32 [0+];
        error_code: i16 [0+];
    }
}

pub type Request = TxnOffsetCommitRequest;
pub type Response = TxnOffsetCommitResponse;

impl TxnOffsetCommitRequest {
    fn keys(&self) -> impl Iterator<Item = Key> + '_ {
        self.topics
            .iter()
            .flat_map(|t| t.partitions.iter().map(|p| (t.name.clone(), t.topic_id, p.partition_index)))
    }
}

impl Exchange for TxnOffsetCommitRequest {
    type Response = TxnOffsetCommitResponse;

    fn whole(&self, _version: i16) -> Option<Part> {
        Some(Part::new(Resource::TransactionalId, &self.transactional_id))
    }

    fn also(&self, _version: i16) -> Option<Part> {
        Some(Part::new(Resource::Group, &self.group_id))
    }

    fn parts(&self, _version: i16) -> Vec<Part> {
        self.keys().map(|(name, id, partition)| Part::partition(&name, id, partition)).collect()
    }

    fn keep(&mut self, keep: &[bool]) {
        keep_nested(&mut self.topics, keep, |t| &mut t.partitions);
    }

    fn answer(&self, version: i16, code: ErrorCode) -> Option<TxnOffsetCommitResponse> {
        self.merge(version, &all(self.keys().count(), code), None)
    }

    fn merge(
        &self,
        _version: i16,
        answers: &[Option<Answer>],
        upstream: Option<TxnOffsetCommitResponse>,
    ) -> Option<TxnOffsetCommitResponse> {
        let mut response = upstream.unwrap_or_default();
        let said = std::mem::take(&mut response.topics).into_iter().map(|t| Topic {
            name: t.name,
            id: t.topic_id,
            partitions: t.partitions,
            unknown_tags: t.unknown_tags,
        });
        let index = |p: &TxnOffsetCommitResponsePartition| p.partition_index;
        let merged = merge_nested(self.keys(), answers, said, true, index, |key, answer| {
            TxnOffsetCommitResponsePartition {
                partition_index: key.2,
                error_code: answer.code.0,
                ..Default::default()
            }
        });
        response.topics = merged
            .into_iter()
            .map(|t| TxnOffsetCommitResponseTopic {
                name: t.name,
                topic_id: t.id,
                partitions: t.partitions,
                unknown_tags: t.unknown_tags,
            })
            .collect();
        Some(response)
    }
}
