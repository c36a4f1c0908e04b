//! DescribeTopicPartitions 0 (KIP-966): Metadata a page at a time, topics in the order of their names.

use std::sync::Arc;

use super::{NOT_ASKED, TOPIC_OPERATIONS};
use crate::broker::broker::Broker;
use crate::broker::topic::{Topic, check_name, is_internal};
use crate::broker::{Context, Reply, ReplyTo};
use crate::wire::api::describe_topic_partitions::{
    DescribeTopicPartitionsResponsePartition, DescribeTopicPartitionsResponseTopic, Request, Response,
    ResponseCursor,
};
use crate::wire::{ErrorCode, Str};

/// Kafka's `max.request.partition.size.limit`.
const MAX_PARTITIONS: i32 = 2000;

pub(in crate::broker) fn handle(broker: &Arc<Broker>, _cx: &Context, to: ReplyTo, request: Request) -> Reply {
    let mut names: Vec<Str> = match request.topics.is_empty() {
        true => broker.catalogue.topics().iter().map(|topic| topic.name().clone()).collect(),
        false => request.topics.into_iter().map(|topic| topic.name).collect(),
    };
    names.sort_unstable();
    names.dedup();
    let mut response = Response::default();
    let mut first = 0;
    if let Some(cursor) = request.cursor {
        if cursor.partition_index < 0 {
            let refused = |name| failed(name, ErrorCode::INVALID_REQUEST);
            response.topics = names.into_iter().map(refused).collect();
            return to.now(response);
        }
        names.retain(|name| *name >= cursor.topic_name);
        if names.first() == Some(&cursor.topic_name) {
            first = usize::try_from(cursor.partition_index).unwrap_or(usize::MAX);
        }
    }
    let mut room = usize::try_from(request.response_partition_limit.clamp(1, MAX_PARTITIONS)).unwrap_or(1);
    for name in names {
        let from = std::mem::take(&mut first);
        if room == 0 {
            response.next_cursor = cursor(name, from);
            break;
        }
        match broker.catalogue.topic(&name) {
            Some(topic) => {
                let (described, left) = describe(broker, &topic, from, room);
                room -= described.partitions.len();
                let next = from + described.partitions.len();
                response.topics.push(described);
                if left {
                    response.next_cursor = cursor(name, next);
                    break;
                }
            }
            None if check_name(&name).is_err() => {
                response.topics.push(failed(name, ErrorCode::INVALID_TOPIC_EXCEPTION));
            }
            None => response.topics.push(failed(name, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)),
        }
    }
    to.now(response)
}

fn cursor(topic_name: Str, partition: usize) -> Option<ResponseCursor> {
    let partition_index = i32::try_from(partition).unwrap_or(i32::MAX);
    Some(ResponseCursor { topic_name, partition_index, ..Default::default() })
}

/// At most `room` partitions from the one numbered `from` on, and whether there are more.
fn describe(
    broker: &Broker,
    topic: &Topic,
    from: usize,
    room: usize,
) -> (DescribeTopicPartitionsResponseTopic, bool) {
    let node = broker.node_id;
    let all = topic.partitions();
    let rest = all.get(from..).unwrap_or_default();
    let partitions = rest.iter().take(room).map(|partition| {
        let offline = partition.log().offline().is_some();
        let code = if offline { ErrorCode::LEADER_NOT_AVAILABLE } else { ErrorCode::NONE };
        DescribeTopicPartitionsResponsePartition {
            error_code: code.0,
            partition_index: partition.index(),
            leader_id: if offline { -1 } else { node },
            leader_epoch: partition.leader_epoch(),
            replica_nodes: vec![node],
            isr_nodes: vec![node],
            eligible_leader_replicas: Some(Vec::new()),
            last_known_elr: Some(Vec::new()),
            offline_replicas: if offline { vec![node] } else { Vec::new() },
            ..Default::default()
        }
    });
    let described = DescribeTopicPartitionsResponseTopic {
        name: Some(topic.name().clone()),
        topic_id: topic.id(),
        is_internal: topic.is_internal(),
        partitions: partitions.collect(),
        topic_authorized_operations: TOPIC_OPERATIONS,
        ..Default::default()
    };
    (described, rest.len() > room)
}

fn failed(name: Str, code: ErrorCode) -> DescribeTopicPartitionsResponseTopic {
    DescribeTopicPartitionsResponseTopic {
        error_code: code.0,
        is_internal: is_internal(&name),
        name: Some(name),
        topic_authorized_operations: NOT_ASKED,
        ..Default::default()
    }
}
