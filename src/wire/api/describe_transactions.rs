//! DescribeTransactions (key 65), KIP-664.

use super::{Answer, Exchange, Part, Resource, all, keep_flat, merge_flat};
use crate::wire::error_code::ErrorCode;
use crate::wire::schema::schema;
use crate::wire::types::Str;

schema! {
    DescribeTransactionsRequest {
        transactional_ids: Vec<Str> [0+];
    }

    DescribeTransactionsResponse {
        throttle_time_ms: i32 [0+];
        transaction_states: Vec<TransactionState> [0+];
    }

    TransactionState {
        error_code: i16 [0+];
        transactional_id: Str [0+];
        transaction_state: Str [0+];
        transaction_timeout_ms: i32 [0+];
        transaction_start_time_ms: i64 [0+];
        producer_id: i64 [0+];
        producer_epoch: i16 [0+];
        topics: Vec<Topic> [0+];
    }

    Topic {
        topic: Str [0+];
        partitions: Vec<i32> [0+];
    }
}

pub type Request = DescribeTransactionsRequest;
pub type Response = DescribeTransactionsResponse;

impl Exchange for DescribeTransactionsRequest {
    type Response = DescribeTransactionsResponse;

    fn parts(&self, _version: i16) -> Vec<Part> {
        self.transactional_ids.iter().map(|t| Part::new(Resource::TransactionalId, t)).collect()
    }

    fn keep(&mut self, keep: &[bool]) {
        keep_flat(&mut self.transactional_ids, keep);
    }

    fn answer(&self, version: i16, code: ErrorCode) -> Option<DescribeTransactionsResponse> {
        self.merge(version, &all(self.transactional_ids.len(), code), None)
    }

    fn merge(
        &self,
        _version: i16,
        answers: &[Option<Answer>],
        upstream: Option<DescribeTransactionsResponse>,
    ) -> Option<DescribeTransactionsResponse> {
        let mut response = upstream.unwrap_or_default();
        let said = std::mem::take(&mut response.transaction_states)
            .into_iter()
            .map(|t| (t.transactional_id.clone(), t));
        let requested = self.transactional_ids.iter().cloned();
        response.transaction_states =
            merge_flat(requested, answers, said, true, |key, answer| TransactionState {
                transactional_id: key.clone(),
                error_code: answer.code.0,
                ..Default::default()
            });
        Some(response)
    }
}
