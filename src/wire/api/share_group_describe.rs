//! ShareGroupDescribe (key 77), KIP-932.

use super::{Answer, Exchange, Part, Resource, all, keep_flat, merge_flat};
use crate::wire::error_code::ErrorCode;
use crate::wire::schema::schema;
use crate::wire::types::{Str, Uuid};

schema! {
    ShareGroupDescribeRequest {
        group_ids: Vec<Str> [1+];
        include_authorized_operations: bool [1+];
    }

    ShareGroupDescribeResponse {
        throttle_time_ms: i32 [1+];
        groups: Vec<DescribedGroup> [1+];
    }

    DescribedGroup {
        error_code: i16 [1+];
        error_message: Option<Str> [1+] null [1+];
        group_id: Str [1+];
        group_state: Str [1+];
        group_epoch: i32 [1+];
        assignment_epoch: i32 [1+];
        assignor_name: Str [1+];
        members: Vec<Member> [1+];
        authorized_operations: i32 [1+] = -2147483648;
    }

    Member {
        member_id: Str [1+];
        rack_id: Option<Str> [1+] null [1+];
        member_epoch: i32 [1+];
        client_id: Str [1+];
        client_host: Str [1+];
        subscribed_topic_names: Vec<Str> [1+];
        assignment: Assignment [1+];
    }

    Assignment {
        topic_partitions: Vec<TopicPartitions> [1+];
    }

    TopicPartitions {
        topic_id: Uuid [1+];
        topic_name: Str [1+];
        partitions: Vec<i32> [1+];
    }
}

pub type Request = ShareGroupDescribeRequest;
pub type Response = ShareGroupDescribeResponse;

impl Exchange for ShareGroupDescribeRequest {
    type Response = ShareGroupDescribeResponse;

    fn parts(&self, _version: i16) -> Vec<Part> {
        self.group_ids.iter().map(|t| Part::new(Resource::Group, t)).collect()
    }

    fn keep(&mut self, keep: &[bool]) {
        keep_flat(&mut self.group_ids, keep);
    }

    fn answer(&self, version: i16, code: ErrorCode) -> Option<ShareGroupDescribeResponse> {
        self.merge(version, &all(self.group_ids.len(), code), None)
    }

    fn merge(
        &self,
        _version: i16,
        answers: &[Option<Answer>],
        upstream: Option<ShareGroupDescribeResponse>,
    ) -> Option<ShareGroupDescribeResponse> {
        let mut response = upstream.unwrap_or_default();
        let said = std::mem::take(&mut response.groups).into_iter().map(|t| (t.group_id.clone(), t));
        let requested = self.group_ids.iter().cloned();
        response.groups = merge_flat(requested, answers, said, true, |key, answer| DescribedGroup {
            group_id: key.clone(),
            error_code: answer.code.0,
            error_message: answer.message.clone(),
            ..Default::default()
        });
        Some(response)
    }
}
