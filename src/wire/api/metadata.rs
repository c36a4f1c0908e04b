//! Metadata (key 3). 1: null asks for all topics, an empty list for none (in 0 an empty list asks for all). 4: auto-creation
//! only where wanted. 10 and 12: topics by id (KIP-516). 13: an error for the whole (KIP-1102).

use super::{Answer, Asked, Exchange, NameOrId, Part, all, keep_flat, merge_flat, repeats_the_question};
use crate::wire::error_code::ErrorCode;
use crate::wire::schema::schema;
use crate::wire::types::{Str, Uuid};

schema! {
    MetadataRequest {
        topics: Option<Vec<MetadataRequestTopic>> [0+] null [1+];
        allow_auto_topic_creation: bool [4+] = true;
        include_cluster_authorized_operations: bool [8-10];
        include_topic_authorized_operations: bool [8+];
    }

    MetadataRequestTopic {
        topic_id: Uuid [10+];
        name: Option<Str> [0+] null [10+];
    }

    MetadataResponse {
        throttle_time_ms: i32 [3+];
        brokers: Vec<MetadataResponseBroker> [0+];
        cluster_id: Option<Str> [2+] null [2+];
        controller_id: i32 [1+] = -1;
        topics: Vec<MetadataResponseTopic> [0+];
        cluster_authorized_operations: i32 [8-10] = -2147483648;
        error_code: i16 [13+];
    }

    MetadataResponseBroker {
        node_id: i32 [0+];
        host: Str [0+];
        port: i32 [0+];
        rack: Option<Str> [1+] null [1+];
    }

    MetadataResponseTopic {
        error_code: i16 [0+];
        name: Option<Str> [0+] null [12+];
        topic_id: Uuid [10+];
        is_internal: bool [1+];
        partitions: Vec<MetadataResponsePartition> [0+];
        topic_authorized_operations: i32 [8+] = -2147483648;
    }

    MetadataResponsePartition {
        error_code: i16 [0+];
        partition_index: i32 [0+];
        leader_id: i32 [0+];
        leader_epoch: i32 [7+] = -1;
        replica_nodes: Vec<i32> [0+];
        isr_nodes: Vec<i32> [0+];
        offline_replicas: Vec<i32> [5+];
    }
}

impl MetadataRequest {
    /// The topics asked for one by one; none when all are.
    fn keys(&self) -> impl Iterator<Item = NameOrId> + '_ {
        let topics = self.topics.iter().flatten();
        topics.map(|t| NameOrId { name: t.name.clone().unwrap_or_default(), id: t.topic_id })
    }
}

pub type Request = MetadataRequest;
pub type Response = MetadataResponse;

impl Exchange for MetadataRequest {
    type Response = MetadataResponse;

    const FORWARD_EMPTY: bool = true;

    fn parts(&self, _version: i16) -> Vec<Part> {
        self.keys().map(|t| Part::topic(&t.name, t.id)).collect()
    }

    fn keep(&mut self, keep: &[bool]) {
        if let Some(topics) = &mut self.topics {
            keep_flat(topics, keep);
        }
    }

    fn answer(&self, version: i16, code: ErrorCode) -> Option<MetadataResponse> {
        if self.keys().next().is_none() && version < 13 {
            // Asking for all topics leaves no element to carry an error before there was one for the whole.
            return None;
        }
        let response = self.merge(version, &all(self.keys().count(), code), None)?;
        Some(MetadataResponse { error_code: code.0, ..response })
    }

    fn merge(
        &self,
        version: i16,
        answers: &[Option<Answer>],
        upstream: Option<MetadataResponse>,
    ) -> Option<MetadataResponse> {
        let mut response = upstream.unwrap_or_default();
        let mut asked = Asked::new(self.keys());
        let said = std::mem::take(&mut response.topics)
            .into_iter()
            .map(move |t| (asked.resolve(t.name.as_ref(), t.topic_id), t));
        let requested = self.keys();
        // Version 0 has no way to ask for no topic: an emptied list means all of them, which nobody asked for.
        let everything = self.topics.is_none() || (version == 0 && self.keys().next().is_none());
        response.topics =
            merge_flat(requested, answers, said, everything, |topic, answer| MetadataResponseTopic {
                name: (version < 12 || !topic.name.is_empty()).then(|| topic.name.clone()),
                topic_id: topic.id,
                error_code: answer.code.0,
                ..Default::default()
            });
        Some(response)
    }

    fn retain(_version: i16, response: &mut MetadataResponse, keep: &mut dyn FnMut(&Part) -> bool) {
        response.topics.retain(|t| {
            let name = t.name.clone().unwrap_or_default();
            repeats_the_question(&name, t.error_code) || keep(&Part::topic(&name, t.topic_id))
        });
    }
}
