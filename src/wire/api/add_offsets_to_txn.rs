//! AddOffsetsToTxn (key 25), KIP-98. 4: TRANSACTION_ABORTABLE (KIP-890).

use super::{Exchange, Part, Resource};
use crate::wire::error_code::ErrorCode;
use crate::wire::schema::schema;
use crate::wire::types::Str;

schema! {
    AddOffsetsToTxnRequest {
        transactional_id: Str [0+];
        producer_id: i64 [0+];
        producer_epoch: i16 [0+];
        group_id: Str [0+];
    }

    AddOffsetsToTxnResponse {
        throttle_time_ms: i32 [0+];
        error_code: i16 [0+];
    }
}

pub type Request = AddOffsetsToTxnRequest;
pub type Response = AddOffsetsToTxnResponse;

impl Exchange for AddOffsetsToTxnRequest {
    type Response = AddOffsetsToTxnResponse;

    fn whole(&self, _version: i16) -> Option<Part> {
        Some(Part::new(Resource::TransactionalId, &self.transactional_id))
    }

    fn also(&self, _version: i16) -> Option<Part> {
        Some(Part::new(Resource::Group, &self.group_id))
    }

    fn answer(&self, _version: i16, code: ErrorCode) -> Option<AddOffsetsToTxnResponse> {
        Some(AddOffsetsToTxnResponse { error_code: code.0, ..Default::default() })
    }
}
