//! Which api goes to which handler, and so which apis and versions there are: ApiVersions is derived from here.

use std::sync::Arc;

use super::api;
use super::broker::Broker;
use super::context::{Context, Reply, ReplyTo};
use crate::wire::api::api_versions::{ApiVersion, Response as ApiVersionsResponse};
use crate::wire::{ApiKey, ErrorCode, RequestBody, Response};

/// An api this broker serves, with the versions it advertises.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Route {
    pub api: ApiKey,
    pub min_version: i16,
    pub max_version: i16,
}

macro_rules! routes {
    ($($name:ident $lo:literal ..= $hi:literal => $($handler:ident)::+;)*) => {
        /// In the order of their keys.
        pub const ROUTES: &[Route] = &[
            $(Route { api: ApiKey::$name, min_version: $lo, max_version: $hi },)*
        ];

        pub(super) fn dispatch(broker: &Arc<Broker>, cx: &Context, to: ReplyTo, body: RequestBody) -> Reply {
            match body {
                $(RequestBody::$name(body) if ($lo..=$hi).contains(&to.version) => {
                    $($handler)::+(broker, cx, to, *body)
                })*
                // Known to `wire`, not served here: Kafka closes on an api it does not have.
                _ => Reply::Close,
            }
        }
    };
}

routes! {
    // 0 to 2 were removed and are refused: the answer to the advertisement is what old librdkafka looks at.
    Produce 0..=13 => api::produce::handle;
    Fetch 4..=18 => api::fetch::handle;
    ListOffsets 1..=11 => api::list_offsets::handle;
    Metadata 0..=13 => api::metadata::handle;
    OffsetCommit 2..=10 => groups;
    OffsetFetch 1..=10 => groups;
    FindCoordinator 0..=6 => groups;
    JoinGroup 0..=9 => groups;
    Heartbeat 0..=4 => groups;
    LeaveGroup 0..=5 => groups;
    SyncGroup 0..=5 => groups;
    DescribeGroups 0..=6 => groups;
    ListGroups 0..=5 => groups;
    SaslHandshake 0..=1 => api::sasl::handshake;
    ApiVersions 0..=5 => api::api_versions::handle;
    CreateTopics 2..=7 => api::create_topics::handle;
    DeleteTopics 1..=6 => api::delete_topics::handle;
    DeleteRecords 0..=2 => api::delete_records::handle;
    InitProducerId 0..=5 => api::init_producer_id::handle;
    OffsetForLeaderEpoch 2..=4 => api::offset_for_leader_epoch::handle;
    DescribeAcls 1..=3 => api::describe_acls::handle;
    CreateAcls 1..=3 => api::create_acls::handle;
    DeleteAcls 1..=3 => api::delete_acls::handle;
    DescribeConfigs 1..=4 => api::describe_configs::handle;
    AlterConfigs 0..=2 => api::alter_configs::handle;
    AlterReplicaLogDirs 1..=2 => api::alter_replica_log_dirs::handle;
    DescribeLogDirs 1..=5 => api::describe_log_dirs::handle;
    SaslAuthenticate 0..=2 => api::sasl::authenticate;
    CreatePartitions 0..=3 => api::create_partitions::handle;
    CreateDelegationToken 1..=3 => api::delegation_tokens::create;
    RenewDelegationToken 1..=2 => api::delegation_tokens::renew;
    ExpireDelegationToken 1..=2 => api::delegation_tokens::expire;
    DescribeDelegationToken 1..=3 => api::delegation_tokens::describe;
    DeleteGroups 0..=3 => groups;
    ElectLeaders 0..=2 => api::elect_leaders::handle;
    IncrementalAlterConfigs 0..=1 => api::incremental_alter_configs::handle;
    AlterPartitionReassignments 0..=1 => api::partition_reassignments::alter;
    ListPartitionReassignments 0..=0 => api::partition_reassignments::list;
    OffsetDelete 0..=0 => groups;
    DescribeClientQuotas 0..=1 => api::describe_client_quotas::handle;
    AlterClientQuotas 0..=1 => api::alter_client_quotas::handle;
    DescribeUserScramCredentials 0..=0 => api::describe_user_scram_credentials::handle;
    AlterUserScramCredentials 0..=0 => api::alter_user_scram_credentials::handle;
    DescribeQuorum 0..=2 => api::describe_quorum::handle;
    UpdateFeatures 0..=2 => api::update_features::handle;
    DescribeCluster 0..=2 => api::describe_cluster::handle;
    DescribeProducers 0..=0 => api::describe_producers::handle;
    UnregisterBroker 0..=0 => api::unregister_broker::handle;
    DescribeTransactions 0..=0 => api::describe_transactions::handle;
    ListTransactions 0..=2 => api::describe_transactions::list;
    GetTelemetrySubscriptions 0..=0 => api::telemetry::subscriptions;
    PushTelemetry 0..=0 => api::telemetry::push;
    ListConfigResources 0..=1 => api::list_config_resources::handle;
    DescribeTopicPartitions 0..=0 => api::describe_topic_partitions::handle;
    AddRaftVoter 0..=1 => api::raft_voters::add;
    RemoveRaftVoter 0..=0 => api::raft_voters::remove;
    UnregisterController 0..=0 => api::unregister_broker::controller;
}

/// Answered but not advertised, as by a Kafka that no `ClientTelemetryReceiver` was configured for: a client that asks for no
/// subscriptions by itself sends no metrics.
const UNADVERTISED: &[ApiKey] = &[ApiKey::GetTelemetrySubscriptions, ApiKey::PushTelemetry];

/// All that is about groups has one door of its own.
fn groups(broker: &Arc<Broker>, cx: &Context, to: ReplyTo, body: impl Into<RequestBody>) -> Reply {
    broker.groups.handle(cx, to, body.into())
}

pub(super) fn api_versions() -> Vec<ApiVersion> {
    ROUTES
        .iter()
        .filter(|route| !UNADVERTISED.contains(&route.api))
        .map(|route| ApiVersion {
            api_key: route.api.0,
            min_version: route.min_version,
            max_version: route.max_version,
            ..Default::default()
        })
        .collect()
}

pub(super) fn api_versions_fallback(correlation_id: i32) -> Response {
    let api_keys = api_versions().into_iter().filter(|api| api.api_key == ApiKey::ApiVersions.0).collect();
    let body =
        ApiVersionsResponse { error_code: ErrorCode::UNSUPPORTED_VERSION.0, api_keys, ..Default::default() };
    Response {
        api: ApiKey::ApiVersions,
        version: 0,
        correlation_id,
        header_tags: Default::default(),
        body: body.into(),
    }
}
