//! AddRaftVoter 0 and 1, RemoveRaftVoter 0. The quorum is this node for good, which in Kafka is one with `kraft.version` 0:
//! its answers are given. UpdateRaftVoter is for controllers among themselves and not there, as on any listener of a
//! Kafka broker.

use std::sync::Arc;

use crate::broker::broker::Broker;
use crate::broker::{ApiError, Context, Reply, ReplyTo};
use crate::wire::api::{add_raft_voter, remove_raft_voter};
use crate::wire::{ErrorCode, Str, Uuid};

pub(in crate::broker) fn add(
    broker: &Arc<Broker>,
    _cx: &Context,
    to: ReplyTo,
    request: add_raft_voter::Request,
) -> Reply {
    let key = (request.voter_id, request.voter_directory_id);
    let refused = refuse(broker, &request.cluster_id, key, ["Add", "adding"]);
    to.now(add_raft_voter::Response {
        error_code: refused.code.0,
        error_message: refused.message,
        ..Default::default()
    })
}

pub(in crate::broker) fn remove(
    broker: &Arc<Broker>,
    _cx: &Context,
    to: ReplyTo,
    request: remove_raft_voter::Request,
) -> Reply {
    let key = (request.voter_id, request.voter_directory_id);
    let refused = refuse(broker, &request.cluster_id, key, ["Remove", "removing"]);
    to.now(remove_raft_voter::Response {
        error_code: refused.code.0,
        error_message: refused.message,
        ..Default::default()
    })
}

fn refuse(
    broker: &Broker,
    cluster_id: &Option<Str>,
    (voter, directory): (i32, Uuid),
    [verb, doing]: [&str; 2],
) -> ApiError {
    let ours = broker.catalogue.cluster_id();
    if let Some(theirs) = cluster_id
        && theirs != ours
    {
        let message = format!("The given id \"{theirs}\" doesn't match the cluster id \"{ours}\"");
        return ApiError::new(ErrorCode::INCONSISTENT_CLUSTER_ID, message);
    }
    if voter < 0 || directory.is_zero() {
        let message = format!("{verb} voter request didn't include a valid voter");
        return ApiError::new(ErrorCode::INVALID_REQUEST, message);
    }
    let message = format!("Cluster doesn't support {doing} voter because the kraft.version feature is 0");
    ApiError::new(ErrorCode::UNSUPPORTED_VERSION, message)
}
