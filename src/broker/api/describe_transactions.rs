//! DescribeTransactions 0 and ListTransactions 0 to 2. Transactions are not served yet: no id is known and none is listed. Filters
//! are judged all the same, as Kafka judges them.

use std::sync::Arc;

use crate::broker::broker::Broker;
use crate::broker::{Context, Reply, ReplyTo};
use crate::wire::api::{describe_transactions, list_transactions};
use crate::wire::{ErrorCode, Str};

/// Kafka's names of the states of a transaction.
const STATES: &[&str] = &[
    "Empty",
    "Ongoing",
    "PrepareCommit",
    "PrepareAbort",
    "CompleteCommit",
    "CompleteAbort",
    "Dead",
    "PrepareEpochFence",
];

/// Memory that a pattern may take once compiled: a stranger writes it.
const MAX_PATTERN_BYTES: usize = 1 << 18;

pub(in crate::broker) fn handle(
    _broker: &Arc<Broker>,
    _cx: &Context,
    to: ReplyTo,
    request: describe_transactions::Request,
) -> Reply {
    let states = request.transactional_ids.into_iter().map(|id| {
        let code = match id.is_empty() {
            true => ErrorCode::INVALID_REQUEST,
            false => ErrorCode::TRANSACTIONAL_ID_NOT_FOUND,
        };
        describe_transactions::TransactionState {
            error_code: code.0,
            transactional_id: id,
            ..Default::default()
        }
    });
    to.now(describe_transactions::Response { transaction_states: states.collect(), ..Default::default() })
}

pub(in crate::broker) fn list(
    _broker: &Arc<Broker>,
    _cx: &Context,
    to: ReplyTo,
    request: list_transactions::Request,
) -> Reply {
    if let Some(pattern) = &request.transactional_id_pattern
        && regex::RegexBuilder::new(pattern).size_limit(MAX_PATTERN_BYTES).build().is_err()
    {
        return to.now(list_transactions::Response {
            error_code: ErrorCode::INVALID_REGULAR_EXPRESSION.0,
            ..Default::default()
        });
    }
    let mut unknown: Vec<Str> =
        request.state_filters.into_iter().filter(|name| !STATES.contains(&&**name)).collect();
    unknown.sort_unstable();
    unknown.dedup();
    to.now(list_transactions::Response { unknown_state_filters: unknown, ..Default::default() })
}
