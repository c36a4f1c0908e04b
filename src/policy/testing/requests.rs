//! The requests that tests make: of each api the smallest one that names what the test names.

use super::bench::{api, one_record};
use super::newer_requests;
use crate::policy::script::testing::{Act, Doing, Options};
use crate::wire::api::*;
use crate::wire::record::RecordError;
use crate::wire::{ApiKey, Payload, Request, RequestBody, Str};
use bytes::Bytes;

/// Before topic ids: tests speak of names.
const NAMED_PRODUCE: i16 = 12;
const NAMED_FETCH: i16 = 12;

#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    #[error("the record cannot be written: {0}")]
    Record(#[from] RecordError),
    #[error("the api {0} cannot be requested here")]
    Api(ApiKey),
}

/// One record as a batch.
pub fn batch(value: Option<&[u8]>, options: &Options, count: i64) -> Result<Bytes, RecordError> {
    one_record(value, options, count)
}

pub fn request(doing: &Doing, count: i64) -> Result<Request, RequestError> {
    let options = &doing.options;
    let key = api(&doing.act);
    let newest = key.info().map_or(0, |info| info.max_version);
    let (version, body) = match &doing.act {
        Act::Produced { topic, value } => {
            (NAMED_PRODUCE, produce(topic, batch(value.as_deref(), options, count)?, options))
        }
        Act::Fetched { topic, .. } => (NAMED_FETCH, fetch(topic, options, count)),
        Act::Requested { api: ApiKey::Produce } => {
            let topic = options.topic.as_deref().unwrap_or_default();
            (NAMED_PRODUCE, produce(topic, batch(Some(b""), options, count)?, options))
        }
        Act::Requested { api: ApiKey::Fetch } => {
            (NAMED_FETCH, fetch(options.topic.as_deref().unwrap_or_default(), options, count))
        }
        Act::Requested { api } => named(*api, newest, options)?,
        Act::Connected | Act::Disk { .. } => return Err(RequestError::Api(key)),
    };
    let client_id = Some(Str::from(options.client_id.as_str()));
    Request::new(version, count as i32, client_id, body).ok_or(RequestError::Api(key))
}

fn produce(topic: &str, records: Bytes, options: &Options) -> RequestBody {
    let partition = produce::PartitionProduceData {
        index: options.partition,
        records: Payload::Bytes(records),
        ..Default::default()
    };
    let topic = produce::TopicProduceData {
        name: topic.into(),
        partition_data: vec![partition],
        ..Default::default()
    };
    produce::Request {
        transactional_id: options.transactional_id.as_deref().map(Str::from),
        acks: -1,
        timeout_ms: 30_000,
        topic_data: vec![topic],
        ..Default::default()
    }
    .into()
}

fn fetch(topic: &str, options: &Options, count: i64) -> RequestBody {
    let partition =
        fetch::FetchPartition { partition: options.partition, fetch_offset: count, ..Default::default() };
    let topic = fetch::FetchTopic { topic: topic.into(), partitions: vec![partition], ..Default::default() };
    fetch::Request { max_bytes: 1 << 20, topics: vec![topic], ..Default::default() }.into()
}

/// The other apis, at their newest version but where only ids name topics.
fn named(api: ApiKey, newest: i16, options: &Options) -> Result<(i16, RequestBody), RequestError> {
    let text = |text: &Option<String>| Str::from(text.as_deref().unwrap_or_default());
    let (topic, group) = (text(&options.topic), text(&options.group));
    let has_topic = options.topic.is_some();
    let index = options.partition;
    let body: RequestBody = match api {
        ApiKey::ListOffsets => {
            let partition = list_offsets::ListOffsetsPartition {
                partition_index: index,
                timestamp: -1,
                ..Default::default()
            };
            let topic = list_offsets::ListOffsetsTopic {
                name: topic,
                partitions: vec![partition],
                ..Default::default()
            };
            list_offsets::Request { replica_id: -1, topics: vec![topic], ..Default::default() }.into()
        }
        ApiKey::Metadata => {
            let topic = metadata::MetadataRequestTopic { name: Some(topic), ..Default::default() };
            metadata::Request {
                topics: has_topic.then(|| vec![topic]),
                allow_auto_topic_creation: false,
                ..Default::default()
            }
            .into()
        }
        ApiKey::OffsetCommit => {
            let partition =
                offset_commit::OffsetCommitRequestPartition { partition_index: index, ..Default::default() };
            let topic = offset_commit::OffsetCommitRequestTopic {
                name: topic,
                partitions: vec![partition],
                ..Default::default()
            };
            let body = offset_commit::Request { group_id: group, topics: vec![topic], ..Default::default() };
            return Ok((9, body.into()));
        }
        ApiKey::OffsetFetch => {
            let topic = offset_fetch::OffsetFetchRequestTopics {
                name: topic,
                partition_indexes: vec![index],
                ..Default::default()
            };
            let group = offset_fetch::OffsetFetchRequestGroup {
                group_id: group,
                topics: has_topic.then(|| vec![topic]),
                ..Default::default()
            };
            return Ok((9, offset_fetch::Request { groups: vec![group], ..Default::default() }.into()));
        }
        ApiKey::FindCoordinator => {
            let (key_type, key) = match &options.transactional_id {
                Some(id) => (1, Str::from(id.as_str())),
                None => (0, group),
            };
            find_coordinator::Request { key_type, coordinator_keys: vec![key], ..Default::default() }.into()
        }
        ApiKey::JoinGroup => join_group::Request { group_id: group, ..Default::default() }.into(),
        ApiKey::Heartbeat => heartbeat::Request { group_id: group, ..Default::default() }.into(),
        ApiKey::LeaveGroup => leave_group::Request { group_id: group, ..Default::default() }.into(),
        ApiKey::SyncGroup => sync_group::Request { group_id: group, ..Default::default() }.into(),
        ApiKey::DescribeGroups => {
            describe_groups::Request { groups: vec![group], ..Default::default() }.into()
        }
        ApiKey::ListGroups => list_groups::Request::default().into(),
        ApiKey::SaslHandshake => sasl_handshake::Request::default().into(),
        ApiKey::ApiVersions => api_versions::Request::default().into(),
        ApiKey::CreateTopics => {
            let configs = options.configs.iter().map(|(name, value)| create_topics::CreatableTopicConfig {
                name: name.as_str().into(),
                value: Some(value.as_str().into()),
                ..Default::default()
            });
            let topic = create_topics::CreatableTopic {
                name: topic,
                num_partitions: options.partitions,
                replication_factor: options.replication,
                configs: configs.collect(),
                ..Default::default()
            };
            create_topics::Request { topics: vec![topic], ..Default::default() }.into()
        }
        ApiKey::DeleteTopics => {
            let topic = delete_topics::DeleteTopicState { name: Some(topic), ..Default::default() };
            delete_topics::Request { topics: vec![topic], ..Default::default() }.into()
        }
        ApiKey::DeleteRecords => {
            let partition =
                delete_records::DeleteRecordsPartition { partition_index: index, ..Default::default() };
            let topic = delete_records::DeleteRecordsTopic {
                name: topic,
                partitions: vec![partition],
                ..Default::default()
            };
            delete_records::Request { topics: vec![topic], ..Default::default() }.into()
        }
        ApiKey::InitProducerId => init_producer_id::Request {
            transactional_id: options.transactional_id.as_deref().map(Str::from),
            ..Default::default()
        }
        .into(),
        ApiKey::OffsetForLeaderEpoch => {
            let partition =
                offset_for_leader_epoch::OffsetForLeaderPartition { partition: index, ..Default::default() };
            let topic = offset_for_leader_epoch::OffsetForLeaderTopic {
                topic,
                partitions: vec![partition],
                ..Default::default()
            };
            offset_for_leader_epoch::Request { topics: vec![topic], ..Default::default() }.into()
        }
        ApiKey::DescribeConfigs => {
            let (resource_type, resource_name) = if has_topic { (2, topic) } else { (4, "1".into()) };
            let resource = describe_configs::DescribeConfigsResource {
                resource_type,
                resource_name,
                ..Default::default()
            };
            describe_configs::Request { resources: vec![resource], ..Default::default() }.into()
        }
        ApiKey::SaslAuthenticate => sasl_authenticate::Request::default().into(),
        ApiKey::CreatePartitions => {
            let count = if options.partitions < 0 { 2 } else { options.partitions };
            let topic = create_partitions::CreatePartitionsTopic { name: topic, count, ..Default::default() };
            create_partitions::Request { topics: vec![topic], ..Default::default() }.into()
        }
        ApiKey::DeleteGroups => {
            delete_groups::Request { groups_names: vec![group], ..Default::default() }.into()
        }
        ApiKey::IncrementalAlterConfigs => {
            let (resource_type, resource_name) = if has_topic { (2, topic) } else { (4, "1".into()) };
            let configs =
                options.configs.iter().map(|(name, value)| incremental_alter_configs::AlterableConfig {
                    name: name.as_str().into(),
                    value: Some(value.as_str().into()),
                    ..Default::default()
                });
            let resource = incremental_alter_configs::AlterConfigsResource {
                resource_type,
                resource_name,
                configs: configs.collect(),
                ..Default::default()
            };
            incremental_alter_configs::Request { resources: vec![resource], ..Default::default() }.into()
        }
        ApiKey::OffsetDelete => {
            let partition =
                offset_delete::OffsetDeleteRequestPartition { partition_index: index, ..Default::default() };
            let topic = offset_delete::OffsetDeleteRequestTopic {
                name: topic,
                partitions: vec![partition],
                ..Default::default()
            };
            offset_delete::Request { group_id: group, topics: vec![topic], ..Default::default() }.into()
        }
        ApiKey::DescribeCluster => describe_cluster::Request::default().into(),
        ApiKey::DescribeTopicPartitions => {
            let topic = describe_topic_partitions::TopicRequest { name: topic, ..Default::default() };
            describe_topic_partitions::Request { topics: vec![topic], ..Default::default() }.into()
        }
        other => return newer_requests::named(other, newest, options),
    };
    Ok((newest, body))
}
