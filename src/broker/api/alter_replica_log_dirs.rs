//! AlterReplicaLogDirs 1 to 2. There is one data folder: a partition is already there, and nowhere else to go.

use std::sync::Arc;

use super::bounded::Merged;
use crate::broker::broker::Broker;
use crate::broker::{Context, Reply, ReplyTo};
use crate::wire::api::alter_replica_log_dirs::{
    AlterReplicaLogDirPartitionResult, AlterReplicaLogDirTopicResult, Request, Response,
};
use crate::wire::{ErrorCode, Str};

/// What Kafka puts behind a topic's name while it moves: a partition, an id of 32 digits, and a word.
const LONGEST_NAME: usize = 255 - "-.-future".len() - 32;

pub(in crate::broker) fn handle(broker: &Arc<Broker>, _cx: &Context, to: ReplyTo, request: Request) -> Reply {
    let here = broker.log_dir();
    // Of a partition named twice the last one counts.
    let mut codes = Merged::default();
    for dir in request.dirs {
        for topic in dir.topics {
            codes.name(&topic.name);
            for partition in topic.partitions {
                let outcome = check(broker, &here, &dir.path, &topic.name, partition);
                codes.say(&topic.name, partition, outcome.err().map_or(0, |code| code.0));
            }
        }
    }
    let partition = |(partition_index, error_code)| AlterReplicaLogDirPartitionResult {
        partition_index,
        error_code,
        ..Default::default()
    };
    let topic = |(topic_name, codes): (Str, Vec<(i32, i16)>)| AlterReplicaLogDirTopicResult {
        topic_name,
        partitions: codes.into_iter().map(partition).collect(),
        ..Default::default()
    };
    let results = codes.into_topics().into_iter().map(topic).collect();
    to.now(Response { results, ..Default::default() })
}

fn check(broker: &Broker, here: &str, path: &Str, topic: &Str, partition: i32) -> Result<(), ErrorCode> {
    if topic.len() + partition.to_string().len() > LONGEST_NAME {
        return Err(ErrorCode::INVALID_TOPIC_EXCEPTION);
    }
    if **path != *here {
        return Err(ErrorCode::LOG_DIR_NOT_FOUND);
    }
    let found = broker.catalogue.topic(topic).and_then(|topic| topic.partition(partition));
    let found = found.ok_or(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)?;
    match found.log().offline() {
        Some(_) => Err(ErrorCode::KAFKA_STORAGE_ERROR),
        None => Ok(()),
    }
}
