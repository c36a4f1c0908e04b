//! ShareGroupHeartbeat (key 76), KIP-932.

use super::{Exchange, Part, Resource};
use crate::wire::error_code::ErrorCode;
use crate::wire::schema::schema;
use crate::wire::types::{Str, Uuid};

schema! {
    ShareGroupHeartbeatRequest {
        group_id: Str [1+];
        member_id: Str [1+];
        member_epoch: i32 [1+];
        rack_id: Option<Str> [1+] null [1+];
        subscribed_topic_names: Option<Vec<Str>> [1+] null [1+];
    }

    ShareGroupHeartbeatResponse {
        throttle_time_ms: i32 [1+];
        error_code: i16 [1+];
        error_message: Option<Str> [1+] null [1+];
        member_id: Option<Str> [1+] null [1+];
        member_epoch: i32 [1+];
        heartbeat_interval_ms: i32 [1+];
        assignment: Option<Assignment> [1+] null [1+];
    }

    Assignment {
        topic_partitions: Vec<TopicPartitions> [1+];
    }

    TopicPartitions {
        topic_id: Uuid [1+];
        partitions: Vec<i32> [1+];
    }
}

pub type Request = ShareGroupHeartbeatRequest;
pub type Response = ShareGroupHeartbeatResponse;

impl Exchange for ShareGroupHeartbeatRequest {
    type Response = ShareGroupHeartbeatResponse;

    fn whole(&self, _version: i16) -> Option<Part> {
        Some(Part::new(Resource::Group, &self.group_id))
    }

    fn answer(&self, _version: i16, code: ErrorCode) -> Option<ShareGroupHeartbeatResponse> {
        Some(ShareGroupHeartbeatResponse { error_code: code.0, ..Default::default() })
    }
}
