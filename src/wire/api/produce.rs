//! Produce (key 0). Versions 0 to 2 carried old message sets and were removed in Kafka 4.0, yet are still advertised
//! (KAFKA-18659: old librdkafka stops compressing otherwise). 8: errors of single records (KIP-467). 10: endpoints of new leaders
//! (KIP-951). 12: transactions v2 (KIP-890), same bytes as 11. 13: topics by id (KIP-516).

use super::{Answer, Exchange, Key, Part, Resource, Topic, all, keep_nested, merge_nested};
use crate::wire::error_code::ErrorCode;
use crate::wire::payload::Payload;
use crate::wire::schema::schema;
use crate::wire::types::{Str, Uuid};

schema! {
    ProduceRequest {
        transactional_id: Option<Str> [3+] null [3+];
        acks: i16 [0+];
        timeout_ms: i32 [0+];
        topic_data: Vec<TopicProduceData> [0+];
    }

    TopicProduceData {
        name: Str [0-12];
        topic_id: Uuid [13+];
        partition_data: Vec<PartitionProduceData> [0+];
    }

    PartitionProduceData {
        index: i32 [0+];
        records: Payload [0+] null [0+];
    }

    ProduceResponse {
        responses: Vec<TopicProduceResponse> [0+];
        throttle_time_ms: i32 [1+];
        @0 node_endpoints: Vec<NodeEndpoint> [10+];
    }

    TopicProduceResponse {
        name: Str [0-12];
        topic_id: Uuid [13+];
        partition_responses: Vec<PartitionProduceResponse> [0+];
    }

    PartitionProduceResponse {
        index: i32 [0+];
        error_code: i16 [0+];
        base_offset: i64 [0+];
        log_append_time_ms: i64 [2+] = -1;
        log_start_offset: i64 [5+] = -1;
        record_errors: Vec<BatchIndexAndErrorMessage> [8+];
        error_message: Option<Str> [8+] null [8+];
        @0 current_leader: LeaderIdAndEpoch [10+];
    }

    BatchIndexAndErrorMessage {
        batch_index: i32 [8+];
        batch_index_error_message: Option<Str> [8+] null [8+];
    }

    LeaderIdAndEpoch {
        leader_id: i32 [10+] = -1;
        leader_epoch: i32 [10+] = -1;
    }

    NodeEndpoint {
        node_id: i32 [10+];
        host: Str [10+];
        port: i32 [10+];
        rack: Option<Str> [10+] null [10+];
    }
}

impl ProduceRequest {
    fn keys(&self) -> impl Iterator<Item = Key> + '_ {
        self.topic_data
            .iter()
            .flat_map(|t| t.partition_data.iter().map(|p| (t.name.clone(), t.topic_id, p.index)))
    }
}

pub type Request = ProduceRequest;
pub type Response = ProduceResponse;

impl Exchange for ProduceRequest {
    type Response = ProduceResponse;

    fn whole(&self, _version: i16) -> Option<Part> {
        self.transactional_id.as_ref().map(|id| Part::new(Resource::TransactionalId, id))
    }

    fn parts(&self, _version: i16) -> Vec<Part> {
        self.keys().map(|(name, id, partition)| Part::partition(&name, id, partition)).collect()
    }

    fn keep(&mut self, keep: &[bool]) {
        keep_nested(&mut self.topic_data, keep, |t| &mut t.partition_data);
    }

    fn answer(&self, version: i16, code: ErrorCode) -> Option<ProduceResponse> {
        self.merge(version, &all(self.keys().count(), code), None)
    }

    fn merge(
        &self,
        _version: i16,
        answers: &[Option<Answer>],
        upstream: Option<ProduceResponse>,
    ) -> Option<ProduceResponse> {
        let mut response = upstream.unwrap_or_default();
        let said = std::mem::take(&mut response.responses).into_iter().map(|t| Topic {
            name: t.name,
            id: t.topic_id,
            partitions: t.partition_responses,
            unknown_tags: t.unknown_tags,
        });
        let index = |p: &PartitionProduceResponse| p.index;
        let merged =
            merge_nested(self.keys(), answers, said, true, index, |key, answer| PartitionProduceResponse {
                index: key.2,
                error_code: answer.code.0,
                base_offset: -1,
                error_message: answer.message.clone(),
                record_errors: answer
                    .records
                    .iter()
                    .map(|(index, why)| BatchIndexAndErrorMessage {
                        batch_index: *index,
                        batch_index_error_message: Some(why.clone()),
                        ..Default::default()
                    })
                    .collect(),
                ..Default::default()
            });
        response.responses = merged
            .into_iter()
            .map(|t| TopicProduceResponse {
                name: t.name,
                topic_id: t.id,
                partition_responses: t.partitions,
                unknown_tags: t.unknown_tags,
            })
            .collect();
        Some(response)
    }
}
