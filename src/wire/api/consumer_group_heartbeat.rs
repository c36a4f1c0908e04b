//! ConsumerGroupHeartbeat (key 68), KIP-848. 1: subscription by regular expression; the member makes its own id (KIP-1082).

use super::{Exchange, Part, Resource};
use crate::wire::error_code::ErrorCode;
use crate::wire::schema::schema;
use crate::wire::types::{Str, Uuid};

schema! {
    ConsumerGroupHeartbeatRequest {
        group_id: Str [0+];
        member_id: Str [0+];
        member_epoch: i32 [0+];
        instance_id: Option<Str> [0+] null [0+];
        rack_id: Option<Str> [0+] null [0+];
        rebalance_timeout_ms: i32 [0+] = -1;
        subscribed_topic_names: Option<Vec<Str>> [0+] null [0+];
        subscribed_topic_regex: Option<Str> [1+] null [1+];
        server_assignor: Option<Str> [0+] null [0+];
        topic_partitions: Option<Vec<TopicPartitions>> [0+] null [0+];
    }

    TopicPartitions {
        topic_id: Uuid [0+];
        partitions: Vec<i32> [0+];
    }

    ConsumerGroupHeartbeatResponse {
        throttle_time_ms: i32 [0+];
        error_code: i16 [0+];
        error_message: Option<Str> [0+] null [0+];
        member_id: Option<Str> [0+] null [0+];
        member_epoch: i32 [0+];
        heartbeat_interval_ms: i32 [0+];
        assignment: Option<Assignment> [0+] null [0+];
    }

    Assignment {
        topic_partitions: Vec<TopicPartitions> [0+];
    }
}

pub type Request = ConsumerGroupHeartbeatRequest;
pub type Response = ConsumerGroupHeartbeatResponse;

impl Exchange for ConsumerGroupHeartbeatRequest {
    type Response = ConsumerGroupHeartbeatResponse;

    fn whole(&self, _version: i16) -> Option<Part> {
        Some(Part::new(Resource::Group, &self.group_id))
    }

    fn answer(&self, _version: i16, code: ErrorCode) -> Option<ConsumerGroupHeartbeatResponse> {
        Some(ConsumerGroupHeartbeatResponse { error_code: code.0, ..Default::default() })
    }
}
