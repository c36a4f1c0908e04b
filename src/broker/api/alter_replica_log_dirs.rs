//! AlterReplicaLogDirs 1 to 2. There is one data folder: a partition is already there, and nowhere else to go.

use std::sync::Arc;

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
    let mut results: Vec<AlterReplicaLogDirTopicResult> = Vec::new();
    for dir in request.dirs {
        for topic in dir.topics {
            let place = results.iter().position(|result| result.topic_name == topic.name);
            let place = place.unwrap_or_else(|| {
                let topic_name = topic.name.clone();
                results.push(AlterReplicaLogDirTopicResult { topic_name, ..Default::default() });
                results.len() - 1
            });
            let Some(result) = results.get_mut(place) else { continue };
            for partition in topic.partitions {
                let error_code =
                    check(broker, &here, &dir.path, &topic.name, partition).err().map_or(0, |e| e.0);
                // Named twice, the last one counts.
                match result.partitions.iter_mut().find(|known| known.partition_index == partition) {
                    Some(known) => known.error_code = error_code,
                    None => result.partitions.push(AlterReplicaLogDirPartitionResult {
                        partition_index: partition,
                        error_code,
                        ..Default::default()
                    }),
                }
            }
        }
    }
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
