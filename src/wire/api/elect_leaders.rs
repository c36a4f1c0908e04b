//! ElectLeaders (key 43), KIP-183. 1: unclean elections and an error of the whole (KIP-460). 2: flexible.

use super::{Answer, Exchange, Key, Part, Topic, all, keep_nested, merge_nested};
use crate::wire::error_code::ErrorCode;
use crate::wire::schema::schema;
use crate::wire::types::{Str, Uuid};

schema! {
    ElectLeadersRequest {
        election_type: i8 [1+];
        topic_partitions: Option<Vec<TopicPartitions>> [0+] null [0+] = Some(Default::default());
        timeout_ms: i32 [0+] = 60000;
    }

    TopicPartitions {
        topic: Str [0+];
        partitions: Vec<i32> [0+];
    }

    ElectLeadersResponse {
        throttle_time_ms: i32 [0+];
        error_code: i16 [1+];
        replica_election_results: Vec<ReplicaElectionResult> [0+];
    }

    ReplicaElectionResult {
        topic: Str [0+];
        partition_result: Vec<PartitionResult> [0+];
    }

    PartitionResult {
        partition_id: i32 [0+];
        error_code: i16 [0+];
        error_message: Option<Str> [0+] null [0+] = Some(Default::default());
    }
}

pub type Request = ElectLeadersRequest;
pub type Response = ElectLeadersResponse;

impl ElectLeadersRequest {
    fn keys(&self) -> impl Iterator<Item = Key> + '_ {
        self.topic_partitions
            .iter()
            .flatten()
            .flat_map(|t| t.partitions.iter().map(|p| (t.topic.clone(), Uuid::ZERO, *p)))
    }
}

impl Exchange for ElectLeadersRequest {
    type Response = ElectLeadersResponse;

    fn whole(&self, _version: i16) -> Option<Part> {
        Some(Part::cluster())
    }

    fn parts(&self, _version: i16) -> Vec<Part> {
        self.keys().map(|(name, id, partition)| Part::partition(&name, id, partition)).collect()
    }

    fn keep(&mut self, keep: &[bool]) {
        if let Some(topics) = &mut self.topic_partitions {
            keep_nested(topics, keep, |t| &mut t.partitions);
        }
    }

    fn answer(&self, version: i16, code: ErrorCode) -> Option<ElectLeadersResponse> {
        let response = ElectLeadersResponse { error_code: code.0, ..Default::default() };
        self.merge(version, &all(self.keys().count(), code), Some(response))
    }

    fn merge(
        &self,
        _version: i16,
        answers: &[Option<Answer>],
        upstream: Option<ElectLeadersResponse>,
    ) -> Option<ElectLeadersResponse> {
        let mut response = upstream.unwrap_or_default();
        let said = std::mem::take(&mut response.replica_election_results).into_iter().map(|t| Topic {
            name: t.topic,
            id: Uuid::ZERO,
            partitions: t.partition_result,
            unknown_tags: t.unknown_tags,
        });
        let index = |p: &PartitionResult| p.partition_id;
        let merged = merge_nested(self.keys(), answers, said, true, index, |key, answer| PartitionResult {
            partition_id: key.2,
            error_code: answer.code.0,
            error_message: answer.message.clone(),
            ..Default::default()
        });
        response.replica_election_results = merged
            .into_iter()
            .map(|t| ReplicaElectionResult {
                topic: t.name,
                partition_result: t.partitions,
                unknown_tags: t.unknown_tags,
            })
            .collect();
        Some(response)
    }
}
