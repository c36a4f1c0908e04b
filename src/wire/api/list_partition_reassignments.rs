//! ListPartitionReassignments (key 46), KIP-455.

use super::{Exchange, Part};
use crate::wire::error_code::ErrorCode;
use crate::wire::schema::schema;
use crate::wire::types::Str;

schema! {
    ListPartitionReassignmentsRequest {
        timeout_ms: i32 [0+] = 60000;
        topics: Option<Vec<ListPartitionReassignmentsTopics>> [0+] null [0+];
    }

    ListPartitionReassignmentsTopics {
        name: Str [0+];
        partition_indexes: Vec<i32> [0+];
    }

    ListPartitionReassignmentsResponse {
        throttle_time_ms: i32 [0+];
        error_code: i16 [0+];
        error_message: Option<Str> [0+] null [0+] = Some(Default::default());
        topics: Vec<OngoingTopicReassignment> [0+];
    }

    OngoingTopicReassignment {
        name: Str [0+];
        partitions: Vec<OngoingPartitionReassignment> [0+];
    }

    OngoingPartitionReassignment {
        partition_index: i32 [0+];
        replicas: Vec<i32> [0+];
        adding_replicas: Vec<i32> [0+];
        removing_replicas: Vec<i32> [0+];
    }
}

pub type Request = ListPartitionReassignmentsRequest;
pub type Response = ListPartitionReassignmentsResponse;

impl Exchange for ListPartitionReassignmentsRequest {
    type Response = ListPartitionReassignmentsResponse;

    fn whole(&self, _version: i16) -> Option<Part> {
        Some(Part::cluster())
    }

    fn answer(&self, _version: i16, code: ErrorCode) -> Option<ListPartitionReassignmentsResponse> {
        let partition =
            |index: &i32| OngoingPartitionReassignment { partition_index: *index, ..Default::default() };
        let topic = |topic: &ListPartitionReassignmentsTopics| OngoingTopicReassignment {
            name: topic.name.clone(),
            partitions: topic.partition_indexes.iter().map(partition).collect(),
            ..Default::default()
        };
        let topics = self.topics.iter().flatten().map(topic).collect();
        Some(ListPartitionReassignmentsResponse {
            error_code: code.0,
            error_message: None,
            topics,
            ..Default::default()
        })
    }
}
