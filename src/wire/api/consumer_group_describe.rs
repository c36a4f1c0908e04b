//! ConsumerGroupDescribe (key 69), KIP-848. 1: the kind of member.

use super::{Answer, Exchange, Part, Resource, all, keep_flat, merge_flat};
use crate::wire::error_code::ErrorCode;
use crate::wire::schema::schema;
use crate::wire::types::{Str, Uuid};

schema! {
    ConsumerGroupDescribeRequest {
        group_ids: Vec<Str> [0+];
        include_authorized_operations: bool [0+];
    }

    ConsumerGroupDescribeResponse {
        throttle_time_ms: i32 [0+];
        groups: Vec<DescribedGroup> [0+];
    }

    DescribedGroup {
        error_code: i16 [0+];
        error_message: Option<Str> [0+] null [0+];
        group_id: Str [0+];
        group_state: Str [0+];
        group_epoch: i32 [0+];
        assignment_epoch: i32 [0+];
        assignor_name: Str [0+];
        members: Vec<Member> [0+];
        authorized_operations: i32 [0+] = -2147483648;
    }

    Member {
        member_id: Str [0+];
        instance_id: Option<Str> [0+] null [0+];
        rack_id: Option<Str> [0+] null [0+];
        member_epoch: i32 [0+];
        client_id: Str [0+];
        client_host: Str [0+];
        subscribed_topic_names: Vec<Str> [0+];
        subscribed_topic_regex: Option<Str> [0+] null [0+];
        assignment: Assignment [0+];
        target_assignment: Assignment [0+];
        member_type: i8 [1+] = -1;
    }

    Assignment {
        topic_partitions: Vec<TopicPartitions> [0+];
    }

    TopicPartitions {
        topic_id: Uuid [0+];
        topic_name: Str [0+];
        partitions: Vec<i32> [0+];
    }
}

pub type Request = ConsumerGroupDescribeRequest;
pub type Response = ConsumerGroupDescribeResponse;

impl Exchange for ConsumerGroupDescribeRequest {
    type Response = ConsumerGroupDescribeResponse;

    fn parts(&self, _version: i16) -> Vec<Part> {
        self.group_ids.iter().map(|t| Part::new(Resource::Group, t)).collect()
    }

    fn keep(&mut self, keep: &[bool]) {
        keep_flat(&mut self.group_ids, keep);
    }

    fn answer(&self, version: i16, code: ErrorCode) -> Option<ConsumerGroupDescribeResponse> {
        self.merge(version, &all(self.group_ids.len(), code), None)
    }

    fn merge(
        &self,
        _version: i16,
        answers: &[Option<Answer>],
        upstream: Option<ConsumerGroupDescribeResponse>,
    ) -> Option<ConsumerGroupDescribeResponse> {
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
