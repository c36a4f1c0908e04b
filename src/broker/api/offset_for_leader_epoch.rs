//! OffsetForLeaderEpoch 2 to 4: where a consumer that came back learns whether what it read is still there.

use std::sync::Arc;

use crate::broker::broker::Broker;
use crate::broker::{Context, Reply, ReplyTo};
use crate::wire::ErrorCode;
use crate::wire::api::offset_for_leader_epoch::{
    EpochEndOffset, OffsetForLeaderPartition, OffsetForLeaderTopicResult, Request, Response,
};

pub(in crate::broker) fn handle(broker: &Arc<Broker>, _cx: &Context, to: ReplyTo, request: Request) -> Reply {
    let topics = request.topics.into_iter().map(|asked| {
        let partitions = asked.partitions.iter().map(|partition| answer(broker, &asked.topic, partition));
        OffsetForLeaderTopicResult {
            partitions: partitions.collect(),
            topic: asked.topic.clone(),
            ..Default::default()
        }
    });
    to.now(Response { topics: topics.collect(), ..Default::default() })
}

fn answer(broker: &Broker, topic: &str, asked: &OffsetForLeaderPartition) -> EpochEndOffset {
    let mut answer = EpochEndOffset { partition: asked.partition, ..Default::default() };
    let partition = broker.catalogue.topic(topic).and_then(|topic| topic.partition(asked.partition));
    let checked = match &partition {
        None => Err(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION),
        Some(partition) if partition.log().offline().is_some() => Err(ErrorCode::KAFKA_STORAGE_ERROR),
        Some(partition) => partition.check_leader_epoch(asked.current_leader_epoch).map(|()| partition),
    };
    match checked {
        Ok(partition) => (answer.leader_epoch, answer.end_offset) = partition.epoch_end(asked.leader_epoch),
        Err(code) => answer.error_code = code.0,
    }
    answer
}
