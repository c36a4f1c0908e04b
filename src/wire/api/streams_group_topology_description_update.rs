//! StreamsGroupTopologyDescriptionUpdate (key 93).

use super::{Exchange, Part, Resource};
use crate::wire::error_code::ErrorCode;
use crate::wire::schema::schema;
use crate::wire::types::Str;

schema! {
    StreamsGroupTopologyDescriptionUpdateRequest {
        group_id: Str [0+];
        member_id: Str [0+];
        topology_epoch: i32 [0+];
        topology_description: TopologyDescription [0+];
    }

    TopologyDescription {
        subtopologies: Vec<TopologyDescriptionSubtopology> [0+];
        global_stores: Vec<TopologyDescriptionGlobalStore> [0+];
    }

    TopologyDescriptionSubtopology {
        subtopology_id: Str [0+];
        nodes: Vec<TopologyDescriptionNode> [0+];
    }

    TopologyDescriptionNode {
        name: Str [0+];
        node_type: i8 [0+];
        source_topics: Vec<Str> [0+];
        sink_topic: Option<Str> [0+] null [0+];
        stores: Vec<Str> [0+];
        successors: Vec<Str> [0+];
    }

    TopologyDescriptionGlobalStore {
        source: TopologyDescriptionNode [0+];
        processor: TopologyDescriptionNode [0+];
    }

    StreamsGroupTopologyDescriptionUpdateResponse {
        throttle_time_ms: i32 [0+];
        error_code: i16 [0+];
        error_message: Option<Str> [0+] null [0+];
    }
}

pub type Request = StreamsGroupTopologyDescriptionUpdateRequest;
pub type Response = StreamsGroupTopologyDescriptionUpdateResponse;

impl Exchange for StreamsGroupTopologyDescriptionUpdateRequest {
    type Response = StreamsGroupTopologyDescriptionUpdateResponse;

    fn whole(&self, _version: i16) -> Option<Part> {
        Some(Part::new(Resource::Group, &self.group_id))
    }

    fn answer(
        &self,
        _version: i16,
        code: ErrorCode,
    ) -> Option<StreamsGroupTopologyDescriptionUpdateResponse> {
        Some(StreamsGroupTopologyDescriptionUpdateResponse { error_code: code.0, ..Default::default() })
    }
}
