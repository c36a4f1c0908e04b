//! What the upstream of a test answers: that all went well, in a cluster of three brokers.

use crate::policy::script::testing::Options;
use crate::wire::api::fetch::{FetchPartitionData, FetchResponse, FetchableTopicResponse};
use crate::wire::api::{api_versions, describe_cluster, metadata};
use crate::wire::table::APIS;
use crate::wire::{ErrorCode, Payload, Request, RequestBody, Response, ResponseBody, Str};
use bytes::Bytes;

const BROKERS: [i32; 3] = [1, 2, 3];
const PORT: i32 = 9092;

/// The answer to a request whose body is read; `fetched` is what a fetch brings of each partition. None where there is none.
pub fn reply(request: &mut Request, fetched: Bytes, options: &Options) -> Option<Response> {
    if let Ok(RequestBody::Fetch(_)) = request.decoded() {
        return Some(brought(request, fetched));
    }
    let mut response = request.answer(ErrorCode::NONE).ok()??;
    match &mut response.body {
        ResponseBody::Metadata(body) => {
            body.brokers = BROKERS.map(broker).into();
            body.controller_id = BROKERS[0];
            for topic in &mut body.topics {
                topic.partitions = vec![metadata::MetadataResponsePartition {
                    partition_index: options.partition,
                    leader_id: BROKERS[0],
                    replica_nodes: BROKERS.into(),
                    isr_nodes: BROKERS.into(),
                    ..Default::default()
                }];
            }
        }
        ResponseBody::DescribeCluster(body) => {
            body.brokers = BROKERS
                .map(|id| describe_cluster::DescribeClusterBroker {
                    broker_id: id,
                    host: host(id),
                    port: PORT,
                    ..Default::default()
                })
                .into();
        }
        ResponseBody::FindCoordinator(body) => {
            for found in &mut body.coordinators {
                (found.node_id, found.host, found.port) = (BROKERS[0], host(BROKERS[0]), PORT);
            }
        }
        ResponseBody::ApiVersions(body) => {
            let offered = APIS.iter().map(|api| api_versions::ApiVersion {
                api_key: api.key.0,
                min_version: api.min_version,
                max_version: api.max_version,
                ..Default::default()
            });
            body.api_keys = offered.collect();
        }
        _ => {}
    }
    Some(response)
}

fn broker(id: i32) -> metadata::MetadataResponseBroker {
    metadata::MetadataResponseBroker { node_id: id, host: host(id), port: PORT, ..Default::default() }
}

fn host(id: i32) -> Str {
    format!("broker-{id}").into()
}

/// A fetch that brings one batch, from the offset asked for.
fn brought(request: &Request, records: Bytes) -> Response {
    let mut body = FetchResponse::default();
    if let Ok(RequestBody::Fetch(fetch)) = request.decoded() {
        for topic in &fetch.topics {
            let partitions = topic.partitions.iter().map(|partition| FetchPartitionData {
                partition_index: partition.partition,
                high_watermark: partition.fetch_offset + 1,
                records: Payload::Bytes(records.clone()),
                ..FetchPartitionData::default()
            });
            body.responses.push(FetchableTopicResponse {
                topic: topic.topic.clone(),
                topic_id: topic.topic_id,
                partitions: partitions.collect(),
                ..FetchableTopicResponse::default()
            });
        }
    }
    Response::new(request, ResponseBody::from(body))
}
