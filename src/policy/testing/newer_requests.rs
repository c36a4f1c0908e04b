//! The requests of tests, continued: transactions, administration, the newer kinds of groups. Of each api the smallest one that
//! names what the test names.

use super::requests::RequestError;
use crate::policy::script::testing::Options;
use crate::wire::api::*;
use crate::wire::{ApiKey, RequestBody, Str};

/// At its newest version, but where only ids name topics.
pub(super) fn named(api: ApiKey, newest: i16, options: &Options) -> Result<(i16, RequestBody), RequestError> {
    let text = |text: &Option<String>| Str::from(text.as_deref().unwrap_or_default());
    let (topic, group) = (text(&options.topic), text(&options.group));
    let transactional_id = text(&options.transactional_id);
    let has_topic = options.topic.is_some();
    let index = options.partition;
    let body: RequestBody = match api {
        ApiKey::AddPartitionsToTxn => {
            let topic = add_partitions_to_txn::AddPartitionsToTxnTopic {
                name: topic,
                partitions: vec![index],
                ..Default::default()
            };
            // Later versions are spoken between brokers.
            let body = add_partitions_to_txn::Request {
                v3_and_below_transactional_id: transactional_id,
                v3_and_below_topics: vec![topic],
                ..Default::default()
            };
            return Ok((3, body.into()));
        }
        ApiKey::AddOffsetsToTxn => {
            add_offsets_to_txn::Request { transactional_id, group_id: group, ..Default::default() }.into()
        }
        ApiKey::EndTxn => end_txn::Request { transactional_id, committed: true, ..Default::default() }.into(),
        ApiKey::TxnOffsetCommit => {
            let partition = txn_offset_commit::TxnOffsetCommitRequestPartition {
                partition_index: index,
                ..Default::default()
            };
            let topic = txn_offset_commit::TxnOffsetCommitRequestTopic {
                name: topic,
                partitions: vec![partition],
                ..Default::default()
            };
            let body = txn_offset_commit::Request {
                transactional_id,
                group_id: group,
                topics: vec![topic],
                ..Default::default()
            };
            return Ok((5, body.into()));
        }
        ApiKey::DescribeTransactions => {
            let transactional_ids = vec![transactional_id];
            describe_transactions::Request { transactional_ids, ..Default::default() }.into()
        }
        ApiKey::AlterConfigs => {
            let (resource_type, resource_name) = if has_topic { (2, topic) } else { (4, "1".into()) };
            let configs = options.configs.iter().map(|(name, value)| alter_configs::AlterableConfig {
                name: name.as_str().into(),
                value: Some(value.as_str().into()),
                ..Default::default()
            });
            let configs = configs.collect();
            let resource = alter_configs::AlterConfigsResource {
                resource_type,
                resource_name,
                configs,
                ..Default::default()
            };
            alter_configs::Request { resources: vec![resource], ..Default::default() }.into()
        }
        ApiKey::AlterPartitionReassignments => {
            let partition = alter_partition_reassignments::ReassignablePartition {
                partition_index: index,
                ..Default::default()
            };
            let topic = alter_partition_reassignments::ReassignableTopic {
                name: topic,
                partitions: vec![partition],
                ..Default::default()
            };
            alter_partition_reassignments::Request { topics: vec![topic], ..Default::default() }.into()
        }
        ApiKey::ElectLeaders => {
            let topic =
                elect_leaders::TopicPartitions { topic, partitions: vec![index], ..Default::default() };
            elect_leaders::Request { topic_partitions: has_topic.then(|| vec![topic]), ..Default::default() }
                .into()
        }
        ApiKey::DescribeProducers => {
            let topic = describe_producers::TopicRequest {
                name: topic,
                partition_indexes: vec![index],
                ..Default::default()
            };
            describe_producers::Request { topics: vec![topic], ..Default::default() }.into()
        }
        ApiKey::ConsumerGroupHeartbeat => {
            consumer_group_heartbeat::Request { group_id: group, ..Default::default() }.into()
        }
        ApiKey::ConsumerGroupDescribe => {
            consumer_group_describe::Request { group_ids: vec![group], ..Default::default() }.into()
        }
        ApiKey::ShareGroupHeartbeat => {
            share_group_heartbeat::Request { group_id: group, ..Default::default() }.into()
        }
        ApiKey::ShareGroupDescribe => {
            share_group_describe::Request { group_ids: vec![group], ..Default::default() }.into()
        }
        ApiKey::ShareFetch => share_fetch::Request { group_id: Some(group), ..Default::default() }.into(),
        ApiKey::ShareAcknowledge => {
            share_acknowledge::Request { group_id: Some(group), ..Default::default() }.into()
        }
        ApiKey::StreamsGroupHeartbeat => {
            streams_group_heartbeat::Request { group_id: group, ..Default::default() }.into()
        }
        ApiKey::StreamsGroupDescribe => {
            streams_group_describe::Request { group_ids: vec![group], ..Default::default() }.into()
        }
        ApiKey::StreamsGroupTopologyDescriptionUpdate => {
            let body =
                streams_group_topology_description_update::Request { group_id: group, ..Default::default() };
            body.into()
        }
        ApiKey::DescribeShareGroupOffsets => {
            let group = describe_share_group_offsets::DescribeShareGroupOffsetsRequestGroup {
                group_id: group,
                topics: None,
                ..Default::default()
            };
            describe_share_group_offsets::Request { groups: vec![group], ..Default::default() }.into()
        }
        ApiKey::AlterShareGroupOffsets => {
            let partition = alter_share_group_offsets::AlterShareGroupOffsetsRequestPartition {
                partition_index: index,
                ..Default::default()
            };
            let topic = alter_share_group_offsets::AlterShareGroupOffsetsRequestTopic {
                topic_name: topic,
                partitions: vec![partition],
                ..Default::default()
            };
            alter_share_group_offsets::Request { group_id: group, topics: vec![topic], ..Default::default() }
                .into()
        }
        ApiKey::DeleteShareGroupOffsets => {
            let topic = delete_share_group_offsets::DeleteShareGroupOffsetsRequestTopic {
                topic_name: topic,
                ..Default::default()
            };
            delete_share_group_offsets::Request { group_id: group, topics: vec![topic], ..Default::default() }
                .into()
        }
        other => plain(other).ok_or(RequestError::Api(other))?,
    };
    Ok((newest, body))
}

/// Those about the cluster, and what a test has no name for.
fn plain(api: ApiKey) -> Option<RequestBody> {
    Some(match api {
        ApiKey::WriteTxnMarkers => write_txn_markers::Request::default().into(),
        ApiKey::DescribeAcls => describe_acls::Request::default().into(),
        ApiKey::CreateAcls => create_acls::Request::default().into(),
        ApiKey::DeleteAcls => delete_acls::Request::default().into(),
        ApiKey::AlterReplicaLogDirs => alter_replica_log_dirs::Request::default().into(),
        ApiKey::DescribeLogDirs => describe_log_dirs::Request::default().into(),
        ApiKey::CreateDelegationToken => create_delegation_token::Request::default().into(),
        ApiKey::RenewDelegationToken => renew_delegation_token::Request::default().into(),
        ApiKey::ExpireDelegationToken => expire_delegation_token::Request::default().into(),
        ApiKey::DescribeDelegationToken => describe_delegation_token::Request::default().into(),
        ApiKey::ListPartitionReassignments => list_partition_reassignments::Request::default().into(),
        ApiKey::DescribeClientQuotas => describe_client_quotas::Request::default().into(),
        ApiKey::AlterClientQuotas => alter_client_quotas::Request::default().into(),
        ApiKey::DescribeUserScramCredentials => describe_user_scram_credentials::Request::default().into(),
        ApiKey::AlterUserScramCredentials => alter_user_scram_credentials::Request::default().into(),
        ApiKey::DescribeQuorum => describe_quorum::Request::default().into(),
        ApiKey::UpdateFeatures => update_features::Request::default().into(),
        ApiKey::UnregisterBroker => unregister_broker::Request::default().into(),
        ApiKey::ListTransactions => list_transactions::Request::default().into(),
        ApiKey::GetTelemetrySubscriptions => get_telemetry_subscriptions::Request::default().into(),
        ApiKey::PushTelemetry => push_telemetry::Request::default().into(),
        ApiKey::ListConfigResources => list_config_resources::Request::default().into(),
        ApiKey::AddRaftVoter => add_raft_voter::Request::default().into(),
        ApiKey::RemoveRaftVoter => remove_raft_voter::Request::default().into(),
        ApiKey::InitializeShareGroupState => initialize_share_group_state::Request::default().into(),
        ApiKey::ReadShareGroupState => read_share_group_state::Request::default().into(),
        ApiKey::WriteShareGroupState => write_share_group_state::Request::default().into(),
        ApiKey::DeleteShareGroupState => delete_share_group_state::Request::default().into(),
        ApiKey::ReadShareGroupStateSummary => read_share_group_state_summary::Request::default().into(),
        ApiKey::UnregisterController => unregister_controller::Request::default().into(),
        _ => return None,
    })
}
