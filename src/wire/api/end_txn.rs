//! EndTxn (key 26), KIP-98. 5: the epoch grows with every transaction (KIP-890).

use super::{Exchange, Part, Resource};
use crate::wire::error_code::ErrorCode;
use crate::wire::schema::schema;
use crate::wire::types::Str;

schema! {
    EndTxnRequest {
        transactional_id: Str [0+];
        producer_id: i64 [0+];
        producer_epoch: i16 [0+];
        committed: bool [0+];
    }

    EndTxnResponse {
        throttle_time_ms: i32 [0+];
        error_code: i16 [0+];
        producer_id: i64 [5+] = -1;
        producer_epoch: i16 [5+] = -1;
    }
}

pub type Request = EndTxnRequest;
pub type Response = EndTxnResponse;

impl Exchange for EndTxnRequest {
    type Response = EndTxnResponse;

    fn whole(&self, _version: i16) -> Option<Part> {
        Some(Part::new(Resource::TransactionalId, &self.transactional_id))
    }

    fn answer(&self, _version: i16, code: ErrorCode) -> Option<EndTxnResponse> {
        Some(EndTxnResponse { error_code: code.0, producer_id: -1, producer_epoch: -1, ..Default::default() })
    }
}
