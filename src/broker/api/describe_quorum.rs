//! DescribeQuorum 0 to 2. The quorum is this node, its epoch counts starts, and its log is the catalogue: what stands for
//! offsets counts changes since this start. There is no listener of a controller's own: the node's is the client's.

use std::sync::Arc;

use crate::broker::broker::Broker;
use crate::broker::{Context, Reply, ReplyTo};
use crate::wire::api::describe_quorum::{Listener, Node, Partition, ReplicaState, Request, Response, Topic};
use crate::wire::{ErrorCode, Str};

/// The only log of which there is a quorum.
const METADATA_TOPIC: &str = "__cluster_metadata";
const NOT_HOSTED: Str = Str::from_static("This server does not host this topic-partition.");

pub(in crate::broker) fn handle(broker: &Arc<Broker>, cx: &Context, to: ReplyTo, request: Request) -> Reply {
    let answered = match request.topics.as_slice() {
        [topic] => match topic.partitions.as_slice() {
            [partition] => &*topic.topic_name == METADATA_TOPIC && partition.partition_index == 0,
            _ => false,
        },
        _ => false,
    };
    if !answered {
        return to.now(not_hosted(request));
    }
    let end = broker.catalogue.changes();
    let now_ms = broker.clock.now_ms();
    let leader = ReplicaState {
        replica_id: broker.node_id,
        log_end_offset: end,
        last_fetch_timestamp: now_ms,
        last_caught_up_timestamp: now_ms,
        ..Default::default()
    };
    let partition = Partition {
        leader_id: broker.node_id,
        leader_epoch: broker.catalogue.starts().saturating_add(1),
        high_watermark: end,
        current_voters: vec![leader],
        ..Default::default()
    };
    let listener = Listener {
        // Java's admin client takes no lower case here and fails the whole answer.
        name: Str::from(cx.listener.to_uppercase()),
        host: cx.advertised_host.clone(),
        port: u16::try_from(cx.advertised_port).unwrap_or(0),
        ..Default::default()
    };
    to.now(Response {
        topics: vec![Topic {
            topic_name: Str::from_static(METADATA_TOPIC),
            partitions: vec![partition],
            ..Default::default()
        }],
        nodes: vec![Node { node_id: broker.node_id, listeners: vec![listener], ..Default::default() }],
        ..Default::default()
    })
}

/// A request for anything but that log alone: Kafka then knows none of what it names.
fn not_hosted(request: Request) -> Response {
    let topics = request.topics.into_iter().map(|asked| {
        let partitions = asked.partitions.iter().map(|partition| Partition {
            partition_index: partition.partition_index,
            error_code: ErrorCode::UNKNOWN_TOPIC_OR_PARTITION.0,
            error_message: Some(NOT_HOSTED),
            ..Default::default()
        });
        Topic { partitions: partitions.collect(), topic_name: asked.topic_name, ..Default::default() }
    });
    Response { topics: topics.collect(), ..Default::default() }
}
