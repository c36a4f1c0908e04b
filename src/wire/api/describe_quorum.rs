//! DescribeQuorum (key 55), KIP-595. 1: fetch times (KIP-836). 2: nodes and error messages (KIP-853). Carries addresses.

use super::{Exchange, Part};
use crate::wire::error_code::ErrorCode;
use crate::wire::schema::schema;
use crate::wire::types::{Str, Uuid};

schema! {
    DescribeQuorumRequest {
        topics: Vec<AskedTopic> [0+];
    }

    AskedTopic {
        topic_name: Str [0+];
        partitions: Vec<AskedPartition> [0+];
    }

    AskedPartition {
        partition_index: i32 [0+];
    }

    DescribeQuorumResponse {
        error_code: i16 [0+];
        error_message: Option<Str> [2+] null [2+] = Some(Default::default());
        topics: Vec<Topic> [0+];
        nodes: Vec<Node> [2+];
    }

    Topic {
        topic_name: Str [0+];
        partitions: Vec<Partition> [0+];
    }

    Partition {
        partition_index: i32 [0+];
        error_code: i16 [0+];
        error_message: Option<Str> [2+] null [2+] = Some(Default::default());
        leader_id: i32 [0+];
        leader_epoch: i32 [0+];
        high_watermark: i64 [0+];
        current_voters: Vec<ReplicaState> [0+];
        observers: Vec<ReplicaState> [0+];
    }

    ReplicaState {
        replica_id: i32 [0+];
        replica_directory_id: Uuid [2+];
        log_end_offset: i64 [0+];
        last_fetch_timestamp: i64 [1+] = -1;
        last_caught_up_timestamp: i64 [1+] = -1;
    }

    Node {
        node_id: i32 [2+];
        listeners: Vec<Listener> [2+];
    }

    Listener {
        name: Str [2+];
        host: Str [2+];
        port: u16 [2+];
    }
}

pub type Request = DescribeQuorumRequest;
pub type Response = DescribeQuorumResponse;

impl Exchange for DescribeQuorumRequest {
    type Response = DescribeQuorumResponse;

    fn whole(&self, _version: i16) -> Option<Part> {
        Some(Part::cluster())
    }

    fn answer(&self, _version: i16, code: ErrorCode) -> Option<DescribeQuorumResponse> {
        Some(DescribeQuorumResponse { error_code: code.0, error_message: None, ..Default::default() })
    }
}
