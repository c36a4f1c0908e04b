//! ReadShareGroupStateSummary (key 87), KIP-932: between brokers. 1: count of delivered records.

use super::{Answer, Exchange, Key, Part, Topic, all, keep_nested, merge_nested};
use crate::wire::error_code::ErrorCode;
use crate::wire::schema::schema;
use crate::wire::types::{Str, Uuid};

schema! {
    ReadShareGroupStateSummaryRequest {
        group_id: Str [0+];
        topics: Vec<ReadStateSummary> [0+];
    }

    ReadStateSummary {
        topic_id: Uuid [0+];
        partitions: Vec<Partition> [0+];
    }

    Partition {
        partition: i32 [0+];
        leader_epoch: i32 [0+];
    }

    ReadShareGroupStateSummaryResponse {
        results: Vec<ReadStateSummaryResult> [0+];
    }

    ReadStateSummaryResult {
        topic_id: Uuid [0+];
        partitions: Vec<PartitionResult> [0+];
    }

    PartitionResult {
        partition: i32 [0+];
        error_code: i16 [0+];
        error_message: Option<Str> [0+] null [0+];
        state_epoch: i32 [0+];
        leader_epoch: i32 [0+];
        start_offset: i64 [0+];
        delivery_complete_count: i32 [1+] = -1;
    }
}

pub type Request = ReadShareGroupStateSummaryRequest;
pub type Response = ReadShareGroupStateSummaryResponse;

impl ReadShareGroupStateSummaryRequest {
    fn keys(&self) -> impl Iterator<Item = Key> + '_ {
        self.topics
            .iter()
            .flat_map(|t| t.partitions.iter().map(|p| (Str::default(), t.topic_id, p.partition)))
    }
}

impl Exchange for ReadShareGroupStateSummaryRequest {
    type Response = ReadShareGroupStateSummaryResponse;

    fn whole(&self, _version: i16) -> Option<Part> {
        Some(Part::cluster())
    }

    fn parts(&self, _version: i16) -> Vec<Part> {
        self.keys().map(|(name, id, partition)| Part::partition(&name, id, partition)).collect()
    }

    fn keep(&mut self, keep: &[bool]) {
        keep_nested(&mut self.topics, keep, |t| &mut t.partitions);
    }

    fn answer(&self, version: i16, code: ErrorCode) -> Option<ReadShareGroupStateSummaryResponse> {
        self.merge(version, &all(self.keys().count(), code), None)
    }

    fn merge(
        &self,
        _version: i16,
        answers: &[Option<Answer>],
        upstream: Option<ReadShareGroupStateSummaryResponse>,
    ) -> Option<ReadShareGroupStateSummaryResponse> {
        let mut response = upstream.unwrap_or_default();
        let said = std::mem::take(&mut response.results).into_iter().map(|t| Topic {
            name: Str::default(),
            id: t.topic_id,
            partitions: t.partitions,
            unknown_tags: t.unknown_tags,
        });
        let index = |p: &PartitionResult| p.partition;
        let merged = merge_nested(self.keys(), answers, said, true, index, |key, answer| PartitionResult {
            partition: key.2,
            error_code: answer.code.0,
            error_message: answer.message.clone(),
            ..Default::default()
        });
        response.results = merged
            .into_iter()
            .map(|t| ReadStateSummaryResult {
                topic_id: t.id,
                partitions: t.partitions,
                unknown_tags: t.unknown_tags,
            })
            .collect();
        Some(response)
    }
}
