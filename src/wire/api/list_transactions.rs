//! ListTransactions (key 66), KIP-664. 1: by duration (KIP-994). 2: by a pattern of ids.

use super::{Exchange, Part, Resource};
use crate::wire::error_code::ErrorCode;
use crate::wire::schema::schema;
use crate::wire::types::Str;

schema! {
    ListTransactionsRequest {
        state_filters: Vec<Str> [0+];
        producer_id_filters: Vec<i64> [0+];
        duration_filter: i64 [1+] = -1;
        transactional_id_pattern: Option<Str> [2+] null [2+];
    }

    ListTransactionsResponse {
        throttle_time_ms: i32 [0+];
        error_code: i16 [0+];
        unknown_state_filters: Vec<Str> [0+];
        transaction_states: Vec<TransactionState> [0+];
    }

    TransactionState {
        transactional_id: Str [0+];
        producer_id: i64 [0+];
        transaction_state: Str [0+];
    }
}

pub type Request = ListTransactionsRequest;
pub type Response = ListTransactionsResponse;

impl Exchange for ListTransactionsRequest {
    type Response = ListTransactionsResponse;

    fn retain(_version: i16, response: &mut ListTransactionsResponse, keep: &mut dyn FnMut(&Part) -> bool) {
        response
            .transaction_states
            .retain(|state| keep(&Part::new(Resource::TransactionalId, &state.transactional_id)));
    }

    fn answer(&self, _version: i16, code: ErrorCode) -> Option<ListTransactionsResponse> {
        Some(ListTransactionsResponse { error_code: code.0, ..Default::default() })
    }
}
