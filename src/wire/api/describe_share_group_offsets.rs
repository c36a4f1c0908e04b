//! DescribeShareGroupOffsets (key 90), KIP-932. 1: lag.

use super::{Answer, Exchange, Part, Resource, all, keep_flat, merge_flat};
use crate::wire::error_code::ErrorCode;
use crate::wire::schema::schema;
use crate::wire::types::{Str, Uuid};

schema! {
    DescribeShareGroupOffsetsRequest {
        groups: Vec<DescribeShareGroupOffsetsRequestGroup> [0+];
    }

    DescribeShareGroupOffsetsRequestGroup {
        group_id: Str [0+];
        topics: Option<Vec<DescribeShareGroupOffsetsRequestTopic>> [0+] null [0+] = Some(Default::default());
    }

    DescribeShareGroupOffsetsRequestTopic {
        topic_name: Str [0+];
        partitions: Vec<i32> [0+];
    }

    DescribeShareGroupOffsetsResponse {
        throttle_time_ms: i32 [0+];
        groups: Vec<DescribeShareGroupOffsetsResponseGroup> [0+];
    }

    DescribeShareGroupOffsetsResponseGroup {
        group_id: Str [0+];
        topics: Vec<DescribeShareGroupOffsetsResponseTopic> [0+];
        error_code: i16 [0+];
        error_message: Option<Str> [0+] null [0+];
    }

    DescribeShareGroupOffsetsResponseTopic {
        topic_name: Str [0+];
        topic_id: Uuid [0+];
        partitions: Vec<DescribeShareGroupOffsetsResponsePartition> [0+];
    }

    DescribeShareGroupOffsetsResponsePartition {
        partition_index: i32 [0+];
        start_offset: i64 [0+];
        leader_epoch: i32 [0+];
        lag: i64 [1+] = -1;
        error_code: i16 [0+];
        error_message: Option<Str> [0+] null [0+];
    }
}

pub type Request = DescribeShareGroupOffsetsRequest;
pub type Response = DescribeShareGroupOffsetsResponse;

impl Exchange for DescribeShareGroupOffsetsRequest {
    type Response = DescribeShareGroupOffsetsResponse;

    fn parts(&self, _version: i16) -> Vec<Part> {
        self.groups.iter().map(|t| Part::new(Resource::Group, &t.group_id)).collect()
    }

    fn keep(&mut self, keep: &[bool]) {
        keep_flat(&mut self.groups, keep);
    }

    fn answer(&self, version: i16, code: ErrorCode) -> Option<DescribeShareGroupOffsetsResponse> {
        self.merge(version, &all(self.groups.len(), code), None)
    }

    fn merge(
        &self,
        _version: i16,
        answers: &[Option<Answer>],
        upstream: Option<DescribeShareGroupOffsetsResponse>,
    ) -> Option<DescribeShareGroupOffsetsResponse> {
        let mut response = upstream.unwrap_or_default();
        let said = std::mem::take(&mut response.groups).into_iter().map(|t| (t.group_id.clone(), t));
        let requested = self.groups.iter().map(|t| t.group_id.clone());
        response.groups = merge_flat(requested, answers, said, true, |key, answer| {
            DescribeShareGroupOffsetsResponseGroup {
                group_id: key.clone(),
                error_code: answer.code.0,
                error_message: answer.message.clone(),
                ..Default::default()
            }
        });
        Some(response)
    }
}
