//! ShareFetch (key 78), KIP-932. 2: acquire modes, renewals. Carries addresses (node_endpoints).

use super::{Answer, Exchange, Key, Part, Resource, Topic, keep_nested, merge_nested};
use crate::wire::error_code::ErrorCode;
use crate::wire::payload::Payload;
use crate::wire::schema::schema;
use crate::wire::types::{Str, Uuid};
use bytes::Bytes;

schema! {
    ShareFetchRequest {
        group_id: Option<Str> [1+] null [1+];
        member_id: Option<Str> [1+] null [1+] = Some(Default::default());
        share_session_epoch: i32 [1+];
        max_wait_ms: i32 [1+];
        min_bytes: i32 [1+];
        max_bytes: i32 [1+] = 2147483647;
        max_records: i32 [1+];
        batch_size: i32 [1+];
        share_acquire_mode: i8 [2+];
        is_renew_ack: bool [2+];
        topics: Vec<FetchTopic> [1+];
        forgotten_topics_data: Vec<ForgottenTopic> [1+];
    }

    FetchTopic {
        topic_id: Uuid [1+];
        partitions: Vec<FetchPartition> [1+];
    }

    FetchPartition {
        partition_index: i32 [1+];
        acknowledgement_batches: Vec<AcknowledgementBatch> [1+];
    }

    AcknowledgementBatch {
        first_offset: i64 [1+];
        last_offset: i64 [1+];
        acknowledge_types: Vec<i8> [1+];
    }

    ForgottenTopic {
        topic_id: Uuid [1+];
        partitions: Vec<i32> [1+];
    }

    ShareFetchResponse {
        throttle_time_ms: i32 [1+];
        error_code: i16 [1+];
        error_message: Option<Str> [1+] null [1+];
        acquisition_lock_timeout_ms: i32 [1+];
        responses: Vec<ShareFetchableTopicResponse> [1+];
        node_endpoints: Vec<NodeEndpoint> [1+];
    }

    ShareFetchableTopicResponse {
        topic_id: Uuid [1+];
        partitions: Vec<PartitionData> [1+];
    }

    PartitionData {
        partition_index: i32 [1+];
        error_code: i16 [1+];
        error_message: Option<Str> [1+] null [1+];
        acknowledge_error_code: i16 [1+];
        acknowledge_error_message: Option<Str> [1+] null [1+];
        current_leader: LeaderIdAndEpoch [1+];
        records: Payload [1+] = Payload::Bytes(Bytes::new());
        acquired_records: Vec<AcquiredRecords> [1+];
    }

    LeaderIdAndEpoch {
        leader_id: i32 [1+];
        leader_epoch: i32 [1+];
    }

    AcquiredRecords {
        first_offset: i64 [1+];
        last_offset: i64 [1+];
        delivery_count: i16 [1+];
    }

    NodeEndpoint {
        node_id: i32 [1+];
        host: Str [1+];
        port: i32 [1+];
        rack: Option<Str> [1+] null [1+];
    }
}

pub type Request = ShareFetchRequest;
pub type Response = ShareFetchResponse;

impl ShareFetchRequest {
    fn keys(&self) -> impl Iterator<Item = Key> + '_ {
        self.topics
            .iter()
            .flat_map(|t| t.partitions.iter().map(|p| (Str::default(), t.topic_id, p.partition_index)))
    }
}

impl Exchange for ShareFetchRequest {
    type Response = ShareFetchResponse;

    fn whole(&self, _version: i16) -> Option<Part> {
        self.group_id.as_ref().map(|group| Part::new(Resource::Group, group))
    }

    fn parts(&self, _version: i16) -> Vec<Part> {
        self.keys().map(|(name, id, partition)| Part::partition(&name, id, partition)).collect()
    }

    fn keep(&mut self, keep: &[bool]) {
        keep_nested(&mut self.topics, keep, |t| &mut t.partitions);
    }

    fn answer(&self, _version: i16, code: ErrorCode) -> Option<ShareFetchResponse> {
        Some(ShareFetchResponse { error_code: code.0, ..Default::default() })
    }

    fn merge(
        &self,
        _version: i16,
        answers: &[Option<Answer>],
        upstream: Option<ShareFetchResponse>,
    ) -> Option<ShareFetchResponse> {
        let mut response = upstream.unwrap_or_default();
        let said = std::mem::take(&mut response.responses).into_iter().map(|t| Topic {
            name: Str::default(),
            id: t.topic_id,
            partitions: t.partitions,
            unknown_tags: t.unknown_tags,
        });
        let index = |p: &PartitionData| p.partition_index;
        let merged = merge_nested(self.keys(), answers, said, true, index, |key, answer| PartitionData {
            partition_index: key.2,
            error_code: answer.code.0,
            error_message: answer.message.clone(),
            ..Default::default()
        });
        response.responses = merged
            .into_iter()
            .map(|t| ShareFetchableTopicResponse {
                topic_id: t.id,
                partitions: t.partitions,
                unknown_tags: t.unknown_tags,
            })
            .collect();
        Some(response)
    }
}
