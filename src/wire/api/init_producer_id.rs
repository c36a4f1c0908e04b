//! InitProducerId (key 22). 3: the producer names its id and epoch to have it bumped (KIP-360). 6: two-phase commit (KIP-939).
//! Without a transactional id Kafka asks for IdempotentWrite on the cluster, or Write on any topic.

use super::{Exchange, Part, Resource};
use crate::wire::error_code::ErrorCode;
use crate::wire::schema::schema;
use crate::wire::types::Str;

schema! {
    InitProducerIdRequest {
        transactional_id: Option<Str> [0+] null [0+];
        transaction_timeout_ms: i32 [0+];
        producer_id: i64 [3+] = -1;
        producer_epoch: i16 [3+] = -1;
        enable2_pc: bool [6+];
        keep_prepared_txn: bool [6+];
    }

    InitProducerIdResponse {
        throttle_time_ms: i32 [0+];
        error_code: i16 [0+];
        producer_id: i64 [0+] = -1;
        producer_epoch: i16 [0+];
        ongoing_txn_producer_id: i64 [6+] = -1;
        ongoing_txn_producer_epoch: i16 [6+] = -1;
    }
}

pub type Request = InitProducerIdRequest;
pub type Response = InitProducerIdResponse;

impl Exchange for InitProducerIdRequest {
    type Response = InitProducerIdResponse;

    fn whole(&self, _version: i16) -> Option<Part> {
        Some(match &self.transactional_id {
            Some(id) => Part::new(Resource::TransactionalId, id),
            None => Part::cluster(),
        })
    }

    fn answer(&self, _version: i16, code: ErrorCode) -> Option<InitProducerIdResponse> {
        Some(InitProducerIdResponse { error_code: code.0, producer_epoch: -1, ..Default::default() })
    }
}
