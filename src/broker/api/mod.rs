//! One handler an api. Each takes the request's body apart and answers; versions and gaps stand on top of each file.

pub(super) mod alter_client_quotas;
pub(super) mod alter_configs;
pub(super) mod alter_replica_log_dirs;
pub(super) mod alter_user_scram_credentials;
pub(super) mod api_versions;
mod batch;
mod bounded;
mod config_changes;
pub(super) mod create_acls;
pub(super) mod create_partitions;
pub(super) mod create_topics;
pub(super) mod delegation_tokens;
pub(super) mod delete_acls;
pub(super) mod delete_groups;
pub(super) mod delete_records;
pub(super) mod delete_topics;
pub(super) mod describe_acls;
pub(super) mod describe_client_quotas;
pub(super) mod describe_cluster;
pub(super) mod describe_configs;
pub(super) mod describe_groups;
pub(super) mod describe_log_dirs;
pub(super) mod describe_producers;
pub(super) mod describe_quorum;
pub(super) mod describe_topic_partitions;
pub(super) mod describe_transactions;
pub(super) mod describe_user_scram_credentials;
pub(super) mod elect_leaders;
pub(super) mod fetch;
pub(super) mod find_coordinator;
pub(super) mod heartbeat;
pub(super) mod incremental_alter_configs;
pub(super) mod init_producer_id;
pub(super) mod join_group;
pub(super) mod leave_group;
pub(super) mod list_config_resources;
pub(super) mod list_groups;
pub(super) mod list_offsets;
pub(super) mod metadata;
pub(super) mod offset_commit;
pub(super) mod offset_delete;
pub(super) mod offset_fetch;
pub(super) mod offset_for_leader_epoch;
pub(super) mod partition_reassignments;
pub(super) mod produce;
pub(super) mod raft_voters;
mod room;
pub(super) mod sasl;
pub(super) mod sync_group;
pub(super) mod telemetry;
pub(super) mod unregister_broker;
pub(super) mod update_features;

use super::broker::blocking;
use super::{ApiError, Reply, ReplyTo};
use crate::wire::{ErrorCode, RequestBody, ResponseBody};

/// What may be done to a topic, as bits of Kafka's operations: read, write, create, delete, alter, describe, describe and
/// alter configs. Without an authoriser of its own the broker says: everything.
const TOPIC_OPERATIONS: i32 = 3576;
/// Of the cluster: create, cluster action, describe, alter, describe and alter configs, idempotent write.
const CLUSTER_OPERATIONS: i32 = 8096;
/// In place of operations nobody asked about.
const NOT_ASKED: i32 = i32::MIN;

/// Of a broker without an authorizer.
const NO_AUTHORIZER: &str = "No Authorizer is configured.";

/// Kafka's types of resources that have configs.
const TOPIC: i8 = 2;
const BROKER: i8 = 4;
const BROKER_LOGGER: i8 = 8;
const CLIENT_METRICS: i8 = 16;
const GROUP: i8 = 32;

/// A change of the catalogue: done where blocking is allowed, and before the session's next request.
fn change<Q, R>(to: ReplyTo, request: Q, work: impl FnOnce(Q) -> R + Send + 'static) -> Reply
where
    Q: Clone + Into<RequestBody> + Send + 'static,
    R: Into<ResponseBody> + Send + 'static,
{
    let response = async move {
        let asked = request.clone();
        match blocking(move || work(request)).await {
            Ok(body) => Some(to.response(body)),
            Err(error) => {
                tracing::error!(%error, api = %to.api, "a change of the catalogue did not end");
                let body = asked.into().answer(to.version, ErrorCode::UNKNOWN_SERVER_ERROR);
                body.map(|body| to.response(body))
            }
        }
    };
    Reply::Later { response: Box::pin(response), barrier: true }
}

/// Changes that Kafka's controller makes for one request at the most.
const MOST_CHANGES: usize = 10_000;

/// Refuses a request that names more changes than that, whichever way they are spread.
fn too_many(changes: impl Iterator<Item = usize>) -> Result<(), ApiError> {
    // What changes nothing costs a look, too.
    let total = changes.fold(0_usize, |total, changes| total.saturating_add(changes.max(1)));
    if total <= MOST_CHANGES {
        return Ok(());
    }
    let message = "Unable to perform excessively large batch operation.";
    Err(ApiError::new(ErrorCode::POLICY_VIOLATION, message))
}
