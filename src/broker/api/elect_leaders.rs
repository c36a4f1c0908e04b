//! ElectLeaders 0 to 2. Every partition has one replica, which leads: no election is needed, preferred or unclean.

use std::sync::Arc;

use super::bounded::Told;
use crate::broker::broker::Broker;
use crate::broker::{ApiError, Context, Reply, ReplyTo};
use crate::wire::api::elect_leaders::{PartitionResult, ReplicaElectionResult, Request, Response};
use crate::wire::{ErrorCode, RequestBody, ResponseBody, Str};

const PREFERRED: i8 = 0;
const UNCLEAN: i8 = 1;
const NOT_NEEDED: Str = Str::from_static("Leader election not needed for topic partition.");

pub(in crate::broker) fn handle(broker: &Arc<Broker>, _cx: &Context, to: ReplyTo, request: Request) -> Reply {
    if !(PREFERRED..=UNCLEAN).contains(&request.election_type) {
        return to.now(unknown_type(to.version, request));
    }
    let results = match request.topic_partitions {
        // Kafka names every topic then, and leaves out the partitions that are led as they should be.
        None => {
            let mut topics = broker.catalogue.topics();
            topics.sort_unstable_by(|a, b| a.name().cmp(b.name()));
            let results = topics.iter().map(|topic| ReplicaElectionResult {
                topic: topic.name().clone(),
                partition_result: (topic.partitions().iter())
                    .filter(|partition| partition.log().offline().is_some())
                    .map(|partition| result(partition.index(), no_leader(request.election_type)))
                    .collect(),
                ..Default::default()
            });
            results.collect()
        }
        Some(topics) => {
            let mut told = Told::default();
            let results = topics.into_iter().map(|asked| {
                let topic = broker.catalogue.topic(&asked.topic);
                let partitions = asked.partitions.into_iter().map(|index| {
                    let partition = topic.as_ref().and_then(|topic| topic.partition(index));
                    let mut error = match (&topic, partition) {
                        (None, _) => unknown(format!("No such topic as {}", asked.topic)),
                        (_, None) => unknown(format!("No such partition as {}-{index}", asked.topic)),
                        (_, Some(partition)) if partition.log().offline().is_some() => {
                            no_leader(request.election_type)
                        }
                        _ => ApiError { code: ErrorCode::ELECTION_NOT_NEEDED, message: Some(NOT_NEEDED) },
                    };
                    error.message = told.message(error.message);
                    result(index, error)
                });
                ReplicaElectionResult {
                    partition_result: partitions.collect(),
                    topic: asked.topic.clone(),
                    ..Default::default()
                }
            });
            results.collect()
        }
    };
    to.now(Response { replica_election_results: results, ..Default::default() })
}

fn unknown(message: String) -> ApiError {
    ApiError::new(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, message)
}

/// Of a partition whose only replica has lost its disk.
fn no_leader(election_type: i8) -> ApiError {
    match election_type {
        PREFERRED => ErrorCode::PREFERRED_LEADER_NOT_AVAILABLE.into(),
        _ => ErrorCode::ELIGIBLE_LEADERS_NOT_AVAILABLE.into(),
    }
}

fn result(partition_id: i32, error: ApiError) -> PartitionResult {
    PartitionResult {
        partition_id,
        error_code: error.code.0,
        error_message: error.message,
        ..Default::default()
    }
}

fn unknown_type(version: i16, request: Request) -> ResponseBody {
    let message = Str::from(format!("Unknown election type {}", request.election_type));
    let answer = RequestBody::from(request).answer(version, ErrorCode::INVALID_REQUEST);
    let mut answer = answer.unwrap_or_else(|| Response::default().into());
    if let ResponseBody::ElectLeaders(answer) = &mut answer {
        for result in answer.replica_election_results.iter_mut().flat_map(|t| &mut t.partition_result) {
            result.error_message = Some(message.clone());
        }
    }
    answer
}
