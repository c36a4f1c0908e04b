//! StreamsGroupDescribe (key 89), KIP-1071. 1: topology descriptions.

use super::{Answer, Exchange, Part, Resource, all, keep_flat, merge_flat};
use crate::wire::error_code::ErrorCode;
use crate::wire::schema::schema;
use crate::wire::types::Str;

schema! {
    StreamsGroupDescribeRequest {
        group_ids: Vec<Str> [0+];
        include_authorized_operations: bool [0+];
        include_topology_description: bool [1+];
    }

    StreamsGroupDescribeResponse {
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
        topology: Option<Topology> [0+] null [0+];
        members: Vec<Member> [0+];
        authorized_operations: i32 [0+] = -2147483648;
        topology_description: Option<TopologyDescription> [1+] null [1+];
        topology_description_status: i8 [1+];
        assignor_name: Option<Str> [1+] null [1+];
    }

    Member {
        member_id: Str [0+];
        member_epoch: i32 [0+];
        instance_id: Option<Str> [0+] null [0+];
        rack_id: Option<Str> [0+] null [0+];
        client_id: Str [0+];
        client_host: Str [0+];
        topology_epoch: i32 [0+];
        process_id: Str [0+];
        user_endpoint: Option<Endpoint> [0+] null [0+];
        client_tags: Vec<KeyValue> [0+];
        task_offsets: Vec<TaskOffset> [0+];
        task_end_offsets: Vec<TaskOffset> [0+];
        assignment: Assignment [0+];
        target_assignment: Assignment [0+];
        is_classic: bool [0+];
    }

    KeyValue {
        key: Str [0+];
        value: Str [0+];
    }

    TaskOffset {
        subtopology_id: Str [0+];
        partition: i32 [0+];
        offset: i64 [0+];
    }

    Assignment {
        active_tasks: Vec<TaskIds> [0+];
        standby_tasks: Vec<TaskIds> [0+];
        warmup_tasks: Vec<TaskIds> [0+];
    }

    TaskIds {
        subtopology_id: Str [0+];
        partitions: Vec<i32> [0+];
    }

    Endpoint {
        host: Str [0+];
        port: u16 [0+];
    }

    Topology {
        epoch: i32 [0+];
        subtopologies: Option<Vec<Subtopology>> [0+] null [0+];
    }

    Subtopology {
        subtopology_id: Str [0+];
        source_topics: Vec<Str> [0+];
        repartition_sink_topics: Vec<Str> [0+];
        state_changelog_topics: Vec<TopicInfo> [0+];
        repartition_source_topics: Vec<TopicInfo> [0+];
    }

    TopicInfo {
        name: Str [0+];
        partitions: i32 [0+];
        replication_factor: i16 [0+];
        topic_configs: Vec<KeyValue> [0+];
    }

    TopologyDescription {
        subtopologies: Vec<TopologyDescriptionSubtopology> [1+];
        global_stores: Vec<TopologyDescriptionGlobalStore> [1+];
    }

    TopologyDescriptionSubtopology {
        subtopology_id: Str [1+];
        nodes: Vec<TopologyDescriptionNode> [1+];
    }

    TopologyDescriptionNode {
        name: Str [1+];
        node_type: i8 [1+];
        source_topics: Vec<Str> [1+];
        sink_topic: Option<Str> [1+] null [1+];
        stores: Vec<Str> [1+];
        successors: Vec<Str> [1+];
    }

    TopologyDescriptionGlobalStore {
        source: TopologyDescriptionNode [1+];
        processor: TopologyDescriptionNode [1+];
    }
}

pub type Request = StreamsGroupDescribeRequest;
pub type Response = StreamsGroupDescribeResponse;

impl Exchange for StreamsGroupDescribeRequest {
    type Response = StreamsGroupDescribeResponse;

    fn parts(&self, _version: i16) -> Vec<Part> {
        self.group_ids.iter().map(|t| Part::new(Resource::Group, t)).collect()
    }

    fn keep(&mut self, keep: &[bool]) {
        keep_flat(&mut self.group_ids, keep);
    }

    fn answer(&self, version: i16, code: ErrorCode) -> Option<StreamsGroupDescribeResponse> {
        self.merge(version, &all(self.group_ids.len(), code), None)
    }

    fn merge(
        &self,
        _version: i16,
        answers: &[Option<Answer>],
        upstream: Option<StreamsGroupDescribeResponse>,
    ) -> Option<StreamsGroupDescribeResponse> {
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
