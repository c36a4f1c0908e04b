//! WriteTxnMarkers (key 27), KIP-98: from the coordinator to the brokers. 2: the transaction version.

use super::{Exchange, Part};
use crate::wire::error_code::ErrorCode;
use crate::wire::schema::schema;
use crate::wire::types::Str;

schema! {
    WriteTxnMarkersRequest {
        markers: Vec<WritableTxnMarker> [1+];
    }

    WritableTxnMarker {
        producer_id: i64 [1+];
        producer_epoch: i16 [1+];
        transaction_result: bool [1+];
        topics: Vec<WritableTxnMarkerTopic> [1+];
        coordinator_epoch: i32 [1+];
        transaction_version: i8 [2+];
    }

    WritableTxnMarkerTopic {
        name: Str [1+];
        partition_indexes: Vec<i32> [1+];
    }

    WriteTxnMarkersResponse {
        markers: Vec<WritableTxnMarkerResult> [1+];
    }

    WritableTxnMarkerResult {
        producer_id: i64 [1+];
        topics: Vec<WritableTxnMarkerTopicResult> [1+];
    }

    WritableTxnMarkerTopicResult {
        name: Str [1+];
        partitions: Vec<WritableTxnMarkerPartitionResult> [1+];
    }

    WritableTxnMarkerPartitionResult {
        partition_index: i32 [1+];
        error_code: i16 [1+];
    }
}

pub type Request = WriteTxnMarkersRequest;
pub type Response = WriteTxnMarkersResponse;

impl Exchange for WriteTxnMarkersRequest {
    type Response = WriteTxnMarkersResponse;

    fn whole(&self, _version: i16) -> Option<Part> {
        Some(Part::cluster())
    }

    fn answer(&self, _version: i16, code: ErrorCode) -> Option<WriteTxnMarkersResponse> {
        let partition = |index: &i32| WritableTxnMarkerPartitionResult {
            partition_index: *index,
            error_code: code.0,
            ..Default::default()
        };
        let topic = |topic: &WritableTxnMarkerTopic| WritableTxnMarkerTopicResult {
            name: topic.name.clone(),
            partitions: topic.partition_indexes.iter().map(partition).collect(),
            ..Default::default()
        };
        let marker = |marker: &WritableTxnMarker| WritableTxnMarkerResult {
            producer_id: marker.producer_id,
            topics: marker.topics.iter().map(topic).collect(),
            ..Default::default()
        };
        Some(WriteTxnMarkersResponse {
            markers: self.markers.iter().map(marker).collect(),
            ..Default::default()
        })
    }
}
