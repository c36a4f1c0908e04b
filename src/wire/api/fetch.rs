//! Fetch (key 1). 7: fetch sessions (KIP-227). 12: flexible, diverging epochs. 13: topics by id. 15: the replica id became a
//! tag (KIP-903). 16: endpoints of new leaders (KIP-951). 17: directory ids. 18: the follower's high watermark (KIP-1166).

use super::{Answer, Exchange, Key, Part, Topic, all, keep_nested, merge_nested};
use crate::wire::error_code::ErrorCode;
use crate::wire::payload::Payload;
use crate::wire::schema::schema;
use crate::wire::types::{Str, Uuid};
use bytes::Bytes;

schema! {
    FetchRequest {
        replica_id: i32 [0-14] = -1;
        max_wait_ms: i32 [0+];
        min_bytes: i32 [0+];
        max_bytes: i32 [3+] = i32::MAX;
        isolation_level: i8 [4+];
        session_id: i32 [7+];
        session_epoch: i32 [7+] = -1;
        topics: Vec<FetchTopic> [0+];
        forgotten_topics_data: Vec<ForgottenTopic> [7+];
        rack_id: Str [11+];
        @0 cluster_id: Option<Str> [12+] null [12+];
        @1 replica_state: ReplicaState [15+];
    }

    ReplicaState {
        replica_id: i32 [15+] = -1;
        replica_epoch: i64 [15+] = -1;
    }

    FetchTopic {
        topic: Str [0-12];
        topic_id: Uuid [13+];
        partitions: Vec<FetchPartition> [0+];
    }

    FetchPartition {
        partition: i32 [0+];
        current_leader_epoch: i32 [9+] = -1;
        fetch_offset: i64 [0+];
        last_fetched_epoch: i32 [12+] = -1;
        log_start_offset: i64 [5+] = -1;
        partition_max_bytes: i32 [0+];
        @0 replica_directory_id: Uuid [17+];
        @1 high_watermark: i64 [18+] = i64::MAX;
    }

    ForgottenTopic {
        topic: Str [7-12];
        topic_id: Uuid [13+];
        partitions: Vec<i32> [7+];
    }

    FetchResponse {
        throttle_time_ms: i32 [1+];
        error_code: i16 [7+];
        session_id: i32 [7+];
        responses: Vec<FetchableTopicResponse> [0+];
        @0 node_endpoints: Vec<NodeEndpoint> [16+];
    }

    FetchableTopicResponse {
        topic: Str [0-12];
        topic_id: Uuid [13+];
        partitions: Vec<FetchPartitionData> [0+];
    }

    FetchPartitionData {
        partition_index: i32 [0+];
        error_code: i16 [0+];
        high_watermark: i64 [0+];
        last_stable_offset: i64 [4+] = -1;
        log_start_offset: i64 [5+] = -1;
        aborted_transactions: Option<Vec<AbortedTransaction>> [4+] null [4+];
        preferred_read_replica: i32 [11+] = -1;
        records: Payload [0+] null [0+];
        @0 diverging_epoch: EpochEndOffset [12+];
        @1 current_leader: LeaderIdAndEpoch [12+];
        @2 snapshot_id: SnapshotId [12+];
    }

    EpochEndOffset {
        epoch: i32 [12+] = -1;
        end_offset: i64 [12+] = -1;
    }

    LeaderIdAndEpoch {
        leader_id: i32 [12+] = -1;
        leader_epoch: i32 [12+] = -1;
    }

    SnapshotId {
        end_offset: i64 [0+] = -1;
        epoch: i32 [0+] = -1;
    }

    AbortedTransaction {
        producer_id: i64 [4+];
        first_offset: i64 [4+];
    }

    NodeEndpoint {
        node_id: i32 [16+];
        host: Str [16+];
        port: i32 [16+];
        rack: Option<Str> [16+] null [16+];
    }
}

impl FetchRequest {
    fn keys(&self) -> impl Iterator<Item = Key> + '_ {
        self.topics
            .iter()
            .flat_map(|t| t.partitions.iter().map(|p| (t.topic.clone(), t.topic_id, p.partition)))
    }
}

pub type Request = FetchRequest;
pub type Response = FetchResponse;

impl Exchange for FetchRequest {
    type Response = FetchResponse;

    fn parts(&self, _version: i16) -> Vec<Part> {
        self.keys().map(|(name, id, partition)| Part::partition(&name, id, partition)).collect()
    }

    fn keep(&mut self, keep: &[bool]) {
        keep_nested(&mut self.topics, keep, |t| &mut t.partitions);
    }

    fn answer(&self, version: i16, code: ErrorCode) -> Option<FetchResponse> {
        // From version 7 on the error of the whole is enough; up to version 12 Kafka gives it to the partitions as well.
        let parts = if version < 13 { all(self.keys().count(), code) } else { Vec::new() };
        let response = self.merge(version, &parts, None)?;
        Some(FetchResponse { error_code: code.0, session_id: self.session_id, ..response })
    }

    fn merge(
        &self,
        _version: i16,
        answers: &[Option<Answer>],
        upstream: Option<FetchResponse>,
    ) -> Option<FetchResponse> {
        let mut response = upstream.unwrap_or_default();
        let said = std::mem::take(&mut response.responses).into_iter().map(|t| Topic {
            name: t.topic,
            id: t.topic_id,
            partitions: t.partitions,
            unknown_tags: t.unknown_tags,
        });
        let index = |p: &FetchPartitionData| p.partition_index;
        let merged =
            merge_nested(self.keys(), answers, said, true, index, |key, answer| FetchPartitionData {
                partition_index: key.2,
                error_code: answer.code.0,
                high_watermark: -1,
                aborted_transactions: Some(Vec::new()),
                records: Payload::Bytes(Bytes::new()),
                ..Default::default()
            });
        response.responses = merged
            .into_iter()
            .map(|t| FetchableTopicResponse {
                topic: t.name,
                topic_id: t.id,
                partitions: t.partitions,
                unknown_tags: t.unknown_tags,
            })
            .collect();
        Some(response)
    }
}
