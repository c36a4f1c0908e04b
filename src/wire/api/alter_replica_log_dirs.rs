//! AlterReplicaLogDirs (key 34), KIP-113. 2: flexible.

use super::{Exchange, Part};
use crate::wire::error_code::ErrorCode;
use crate::wire::schema::schema;
use crate::wire::types::Str;

schema! {
    AlterReplicaLogDirsRequest {
        dirs: Vec<AlterReplicaLogDir> [1+];
    }

    AlterReplicaLogDir {
        path: Str [1+];
        topics: Vec<AlterReplicaLogDirTopic> [1+];
    }

    AlterReplicaLogDirTopic {
        name: Str [1+];
        partitions: Vec<i32> [1+];
    }

    AlterReplicaLogDirsResponse {
        throttle_time_ms: i32 [1+];
        results: Vec<AlterReplicaLogDirTopicResult> [1+];
    }

    AlterReplicaLogDirTopicResult {
        topic_name: Str [1+];
        partitions: Vec<AlterReplicaLogDirPartitionResult> [1+];
    }

    AlterReplicaLogDirPartitionResult {
        partition_index: i32 [1+];
        error_code: i16 [1+];
    }
}

pub type Request = AlterReplicaLogDirsRequest;
pub type Response = AlterReplicaLogDirsResponse;

impl Exchange for AlterReplicaLogDirsRequest {
    type Response = AlterReplicaLogDirsResponse;

    fn whole(&self, _version: i16) -> Option<Part> {
        Some(Part::cluster())
    }

    fn answer(&self, _version: i16, code: ErrorCode) -> Option<AlterReplicaLogDirsResponse> {
        let partition = |index: &i32| AlterReplicaLogDirPartitionResult {
            partition_index: *index,
            error_code: code.0,
            ..Default::default()
        };
        let topic = |topic: &AlterReplicaLogDirTopic| AlterReplicaLogDirTopicResult {
            topic_name: topic.name.clone(),
            partitions: topic.partitions.iter().map(partition).collect(),
            ..Default::default()
        };
        let results = self.dirs.iter().flat_map(|dir| dir.topics.iter().map(topic)).collect();
        Some(AlterReplicaLogDirsResponse { results, ..Default::default() })
    }
}
