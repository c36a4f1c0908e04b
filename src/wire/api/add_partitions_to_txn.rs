//! AddPartitionsToTxn (key 24), KIP-98. 4: several transactions at once, asked by brokers only (KIP-890).

use super::{Answer, Exchange, Key, Part, Resource, Topic, all, keep_nested, merge_nested};
use crate::wire::error_code::ErrorCode;
use crate::wire::schema::schema;
use crate::wire::types::{Str, Uuid};

schema! {
    AddPartitionsToTxnRequest {
        transactions: Vec<AddPartitionsToTxnTransaction> [4+];
        v3_and_below_transactional_id: Str [0-3];
        v3_and_below_producer_id: i64 [0-3];
        v3_and_below_producer_epoch: i16 [0-3];
        v3_and_below_topics: Vec<AddPartitionsToTxnTopic> [0-3];
    }

    AddPartitionsToTxnTopic {
        name: Str [0+];
        partitions: Vec<i32> [0+];
    }

    AddPartitionsToTxnTransaction {
        transactional_id: Str [4+];
        producer_id: i64 [4+];
        producer_epoch: i16 [4+];
        verify_only: bool [4+];
        topics: Vec<AddPartitionsToTxnTopic> [4+];
    }

    AddPartitionsToTxnResponse {
        throttle_time_ms: i32 [0+];
        error_code: i16 [4+];
        results_by_transaction: Vec<AddPartitionsToTxnResult> [4+];
        results_by_topic_v3_and_below: Vec<AddPartitionsToTxnTopicResult> [0-3];
    }

    AddPartitionsToTxnTopicResult {
        name: Str [0+];
        results_by_partition: Vec<AddPartitionsToTxnPartitionResult> [0+];
    }

    AddPartitionsToTxnPartitionResult {
        partition_index: i32 [0+];
        partition_error_code: i16 [0+];
    }

    AddPartitionsToTxnResult {
        transactional_id: Str [4+];
        topic_results: Vec<AddPartitionsToTxnTopicResult> [4+];
    }
}

pub type Request = AddPartitionsToTxnRequest;
pub type Response = AddPartitionsToTxnResponse;

impl AddPartitionsToTxnRequest {
    fn keys(&self) -> impl Iterator<Item = Key> + '_ {
        self.v3_and_below_topics
            .iter()
            .flat_map(|t| t.partitions.iter().map(|p| (t.name.clone(), Uuid::ZERO, *p)))
    }
}

impl Exchange for AddPartitionsToTxnRequest {
    type Response = AddPartitionsToTxnResponse;

    fn whole(&self, version: i16) -> Option<Part> {
        Some(match version {
            ..=3 => Part::new(Resource::TransactionalId, &self.v3_and_below_transactional_id),
            _ => Part::cluster(),
        })
    }

    fn parts(&self, _version: i16) -> Vec<Part> {
        self.keys().map(|(name, id, partition)| Part::partition(&name, id, partition)).collect()
    }

    fn keep(&mut self, keep: &[bool]) {
        keep_nested(&mut self.v3_and_below_topics, keep, |t| &mut t.partitions);
    }

    fn answer(&self, version: i16, code: ErrorCode) -> Option<AddPartitionsToTxnResponse> {
        match version {
            ..=3 => self.merge(version, &all(self.keys().count(), code), None),
            _ => Some(AddPartitionsToTxnResponse { error_code: code.0, ..Default::default() }),
        }
    }

    fn merge(
        &self,
        _version: i16,
        answers: &[Option<Answer>],
        upstream: Option<AddPartitionsToTxnResponse>,
    ) -> Option<AddPartitionsToTxnResponse> {
        let mut response = upstream.unwrap_or_default();
        let said = std::mem::take(&mut response.results_by_topic_v3_and_below).into_iter().map(|t| Topic {
            name: t.name,
            id: Uuid::ZERO,
            partitions: t.results_by_partition,
            unknown_tags: t.unknown_tags,
        });
        let index = |p: &AddPartitionsToTxnPartitionResult| p.partition_index;
        let merged = merge_nested(self.keys(), answers, said, true, index, |key, answer| {
            AddPartitionsToTxnPartitionResult {
                partition_index: key.2,
                partition_error_code: answer.code.0,
                ..Default::default()
            }
        });
        response.results_by_topic_v3_and_below = merged
            .into_iter()
            .map(|t| AddPartitionsToTxnTopicResult {
                name: t.name,
                results_by_partition: t.partitions,
                unknown_tags: t.unknown_tags,
            })
            .collect();
        Some(response)
    }
}
