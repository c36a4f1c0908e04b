//! AlterPartitionReassignments 0 and 1, ListPartitionReassignments 0. A partition can be given the replica it has, which is done
//! at once; there is nobody else to give it to, so nothing is ever under way.

use std::sync::Arc;

use super::bounded::Told;
use super::create_topics::check_replicas;
use crate::broker::broker::Broker;
use crate::broker::{ApiError, Context, Reply, ReplyTo};
use crate::wire::api::alter_partition_reassignments::{
    ReassignablePartition, ReassignablePartitionResponse, ReassignableTopicResponse,
};
use crate::wire::api::{alter_partition_reassignments, list_partition_reassignments};
use crate::wire::{ErrorCode, Str};

pub(in crate::broker) fn alter(
    broker: &Arc<Broker>,
    _cx: &Context,
    to: ReplyTo,
    request: alter_partition_reassignments::Request,
) -> Reply {
    // Kafka answers a request for nothing with the field's default.
    let error_message = request.topics.is_empty().then(Str::default);
    let mut told = Told::default();
    let responses = request.topics.into_iter().map(|topic| {
        let partitions = topic.partitions.into_iter().map(|asked| {
            let index = asked.partition_index;
            let mut response = ReassignablePartitionResponse {
                partition_index: index,
                error_message: None,
                ..Default::default()
            };
            if let Err(error) = check(broker, &topic.name, &asked) {
                response.error_code = error.code.0;
                response.error_message = told.message(error.message);
            }
            response
        });
        ReassignableTopicResponse {
            partitions: partitions.collect(),
            name: topic.name.clone(),
            ..Default::default()
        }
    });
    to.now(alter_partition_reassignments::Response {
        allow_replication_factor_change: request.allow_replication_factor_change,
        responses: responses.collect(),
        error_message,
        ..Default::default()
    })
}

fn check(broker: &Broker, name: &str, asked: &ReassignablePartition) -> Result<(), ApiError> {
    let index = asked.partition_index;
    let unknown = |message: String| ApiError::new(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, message);
    let topic = broker.catalogue.topic(name);
    let topic = topic.ok_or_else(|| unknown(format!("Unable to find a topic named {name}.")))?;
    let partition = topic.partition(index);
    partition.ok_or_else(|| unknown(format!("Unable to find partition {name}:{index}.")))?;
    match &asked.replicas {
        Some(replicas) => check_replicas(broker.node_id, replicas),
        // To cancel.
        None => Err(ErrorCode::NO_REASSIGNMENT_IN_PROGRESS.into()),
    }
}

pub(in crate::broker) fn list(
    _broker: &Arc<Broker>,
    _cx: &Context,
    to: ReplyTo,
    _request: list_partition_reassignments::Request,
) -> Reply {
    to.now(list_partition_reassignments::Response { error_message: None, ..Default::default() })
}
