//! One file an api: its request and response as declared by the schema macro, the parts of its exchanges, and where its
//! errors stand. Nothing here knows what a broker or a policy does with a message.

pub mod add_offsets_to_txn;
pub mod add_partitions_to_txn;
pub mod add_raft_voter;
pub mod alter_client_quotas;
pub mod alter_configs;
pub mod alter_partition_reassignments;
pub mod alter_replica_log_dirs;
pub mod alter_share_group_offsets;
pub mod alter_user_scram_credentials;
pub mod api_versions;
pub mod consumer_group_describe;
pub mod consumer_group_heartbeat;
pub mod create_acls;
pub mod create_delegation_token;
pub mod create_partitions;
pub mod create_topics;
pub mod delete_acls;
pub mod delete_groups;
pub mod delete_records;
pub mod delete_share_group_offsets;
pub mod delete_share_group_state;
pub mod delete_topics;
pub mod describe_acls;
pub mod describe_client_quotas;
pub mod describe_cluster;
pub mod describe_configs;
pub mod describe_delegation_token;
pub mod describe_groups;
pub mod describe_log_dirs;
pub mod describe_producers;
pub mod describe_quorum;
pub mod describe_share_group_offsets;
pub mod describe_topic_partitions;
pub mod describe_transactions;
pub mod describe_user_scram_credentials;
pub mod elect_leaders;
pub mod end_txn;
#[cfg(test)]
mod exchange_tests;
pub mod expire_delegation_token;
pub mod fetch;
pub mod find_coordinator;
pub mod get_telemetry_subscriptions;
pub mod heartbeat;
pub mod incremental_alter_configs;
pub mod init_producer_id;
pub mod initialize_share_group_state;
pub mod join_group;
pub mod leave_group;
pub mod list_config_resources;
pub mod list_groups;
pub mod list_offsets;
pub mod list_partition_reassignments;
pub mod list_transactions;
mod merge;
pub mod metadata;
pub mod offset_commit;
pub mod offset_delete;
pub mod offset_fetch;
pub mod offset_for_leader_epoch;
pub mod produce;
pub mod push_telemetry;
pub mod read_share_group_state;
pub mod read_share_group_state_summary;
pub mod remove_raft_voter;
pub mod renew_delegation_token;
pub mod sasl_authenticate;
pub mod sasl_handshake;
pub mod share_acknowledge;
pub mod share_fetch;
pub mod share_group_describe;
pub mod share_group_heartbeat;
pub mod streams_group_describe;
pub mod streams_group_heartbeat;
pub mod streams_group_topology_description_update;
pub mod sync_group;
pub mod txn_offset_commit;
pub mod unregister_broker;
pub mod unregister_controller;
pub mod update_features;
pub mod write_share_group_state;
pub mod write_txn_markers;

use super::{
    error_code::ErrorCode,
    types::{Str, Uuid},
};
use merge::{Asked, Key, NameOrId, Topic, merge_flat, merge_nested};

/// What kind of thing a part is: Kafka's resource types (KIP-11 and its successors).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Resource {
    Topic,
    Group,
    Cluster,
    TransactionalId,
    User,
    DelegationToken,
}

impl Resource {
    /// The error an authoriser's refusal of such a resource is answered with.
    pub fn refusal(self) -> ErrorCode {
        match self {
            Resource::Topic => ErrorCode::TOPIC_AUTHORIZATION_FAILED,
            Resource::Group => ErrorCode::GROUP_AUTHORIZATION_FAILED,
            Resource::Cluster => ErrorCode::CLUSTER_AUTHORIZATION_FAILED,
            Resource::TransactionalId => ErrorCode::TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
            // Users are asked about for their tokens only.
            Resource::User | Resource::DelegationToken => ErrorCode::DELEGATION_TOKEN_AUTHORIZATION_FAILED,
        }
    }
}

/// The name of the cluster as a resource.
pub const CLUSTER: &str = "kafka-cluster";

/// The smallest thing of an exchange that gets its own answer.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Part {
    pub resource: Resource,
    /// Empty when the message names the topic by id only.
    pub name: Str,
    /// Zero when the message carries no id.
    pub topic_id: Uuid,
    /// -1 when the part is not about a partition.
    pub partition: i32,
}

impl Part {
    pub fn new(resource: Resource, name: &Str) -> Part {
        Part { resource, name: name.clone(), topic_id: Uuid::ZERO, partition: -1 }
    }

    pub fn cluster() -> Part {
        Part::new(Resource::Cluster, &Str::from_static(CLUSTER))
    }

    pub fn topic(name: &Str, topic_id: Uuid) -> Part {
        Part { resource: Resource::Topic, name: name.clone(), topic_id, partition: -1 }
    }

    pub fn partition(name: &Str, topic_id: Uuid, partition: i32) -> Part {
        Part { resource: Resource::Topic, name: name.clone(), topic_id, partition }
    }
}

/// An answer made up here for one part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub code: ErrorCode,
    /// Shown where the api has a place for it.
    pub message: Option<Str>,
    /// Index in the batch and reason, for Produce 8 and later (KIP-467).
    pub records: Vec<(i32, Str)>,
}

impl From<ErrorCode> for Answer {
    fn from(code: ErrorCode) -> Self {
        Answer { code, message: None, records: Vec::new() }
    }
}

/// What every request type can say of itself.
pub trait Exchange: Sized {
    type Response;

    /// True when the request is still asked upstream after all its parts were answered here (Metadata lists the brokers).
    const FORWARD_EMPTY: bool = false;

    /// What the exchange as a whole is about, besides its parts: the group of an OffsetCommit.
    fn whole(&self, _version: i16) -> Option<Part> {
        None
    }

    /// A second thing it is about as a whole: the group of a TxnOffsetCommit.
    fn also(&self, _version: i16) -> Option<Part> {
        None
    }

    /// The parts in request order. An api that names no list has none.
    fn parts(&self, _version: i16) -> Vec<Part> {
        Vec::new()
    }

    /// Leaves out the parts whose flag is false. `keep` is as long as `parts`.
    fn keep(&mut self, _keep: &[bool]) {}

    /// The reply that fails the whole exchange with `code` placed where this api and version put it. None when it has no place.
    fn answer(&self, version: i16, code: ErrorCode) -> Option<Self::Response>;

    /// Puts `answers` (one a part) into the upstream's reply, in request order.
    fn merge(
        &self,
        _version: i16,
        _answers: &[Option<Answer>],
        upstream: Option<Self::Response>,
    ) -> Option<Self::Response> {
        upstream
    }

    /// Takes out of a reply the topics, groups or resources that `keep` refuses: what may not be described is not listed.
    fn retain(_version: i16, _response: &mut Self::Response, _keep: &mut dyn FnMut(&Part) -> bool) {}
}

/// Whether a topic's row in a reply only repeats what its client asked for: it is refused, or without a name. Any other
/// error tells that the topic is there.
fn repeats_the_question(name: &Str, error_code: i16) -> bool {
    let refusals =
        [ErrorCode::TOPIC_AUTHORIZATION_FAILED, ErrorCode::UNKNOWN_TOPIC_ID, ErrorCode::INVALID_REQUEST];
    error_code != 0 && (name.is_empty() || refusals.contains(&ErrorCode(error_code)))
}

/// Drops the elements of nested lists whose flag is false, and the topics that became empty.
fn keep_nested<T, P>(topics: &mut Vec<T>, flags: &[bool], partitions: impl Fn(&mut T) -> &mut Vec<P>) {
    let mut flags = flags.iter();
    topics.retain_mut(|topic| {
        let partitions = partitions(topic);
        partitions.retain(|_| flags.next().copied().unwrap_or(true));
        !partitions.is_empty()
    });
}

fn keep_flat<T>(items: &mut Vec<T>, flags: &[bool]) {
    let mut flags = flags.iter();
    items.retain(|_| flags.next().copied().unwrap_or(true));
}

/// One answer for each of `n` parts: the whole exchange failed.
fn all(n: usize, code: ErrorCode) -> Vec<Option<Answer>> {
    vec![Some(code.into()); n]
}

/// A config resource as a part: Kafka's types are 2 topic, 4 broker, 8 broker logger, 16 client metrics, 32 group. What is no
/// topic's and no group's is the cluster's, which ACLs know by its own name alone.
fn config_part(kind: i8, name: &Str) -> Part {
    match kind {
        2 => Part::topic(name, Uuid::ZERO),
        32 => Part::new(Resource::Group, name),
        _ => Part::cluster(),
    }
}
