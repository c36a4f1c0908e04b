//! DeleteRecords 0 to 2. The new start is taken in order with the appends; the answer waits until it is durable. A partition
//! that is named twice is cut once, where it was said last, as Kafka does it.

use std::sync::Arc;

use super::bounded::Merged;
use crate::broker::broker::Broker;
use crate::broker::error::storage_code;
use crate::broker::{Context, Reply, ReplyTo};
use crate::storage::Completion;
use crate::wire::ErrorCode;
use crate::wire::api::delete_records::{
    DeleteRecordsPartitionResult, DeleteRecordsTopicResult, Request, Response,
};

/// In place of an offset: everything up to the high watermark.
const HIGH_WATERMARK: i64 = -1;

pub(in crate::broker) fn handle(broker: &Arc<Broker>, _cx: &Context, to: ReplyTo, request: Request) -> Reply {
    let mut started = Vec::new();
    let mut response = Response::default();
    let mut wanted = Merged::default();
    for topic in &request.topics {
        for partition in &topic.partitions {
            wanted.say(&topic.name, partition.partition_index, partition.offset);
        }
    }
    for (name, asked) in wanted.into_topics() {
        let mut partitions = Vec::with_capacity(asked.len());
        for (partition_index, offset) in asked {
            let mut result =
                DeleteRecordsPartitionResult { partition_index, low_watermark: -1, ..Default::default() };
            match start(broker, &name, partition_index, offset) {
                Ok(completion) => started.push((response.topics.len(), partitions.len(), completion)),
                Err(code) => result.error_code = code.0,
            }
            partitions.push(result);
        }
        response.topics.push(DeleteRecordsTopicResult { name, partitions, ..Default::default() });
    }
    if started.is_empty() {
        return to.now(response);
    }
    Reply::later(async move {
        for (topic, place, completion) in started {
            let outcome = completion.await;
            let result = response.topics.get_mut(topic).and_then(|topic| topic.partitions.get_mut(place));
            if let Some(result) = result {
                match outcome {
                    Ok(log_start_offset) => result.low_watermark = log_start_offset,
                    Err(error) => result.error_code = storage_code(&error).0,
                }
            }
        }
        to.response(response)
    })
}

fn start(
    broker: &Broker,
    topic: &str,
    partition_index: i32,
    offset: i64,
) -> Result<Completion<i64>, ErrorCode> {
    let topic = broker.catalogue.topic(topic).ok_or(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)?;
    let partition = topic.partition(partition_index).ok_or(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)?;
    // Kafka lets nobody cut what is compacted, and that is only its own topics here.
    if topic.is_internal() {
        return Err(ErrorCode::POLICY_VIOLATION);
    }
    let high_watermark = partition.log().high_watermark();
    let offset = if offset == HIGH_WATERMARK { high_watermark } else { offset };
    if !(0..=high_watermark).contains(&offset) {
        return Err(ErrorCode::OFFSET_OUT_OF_RANGE);
    }
    Ok(partition.log().delete_records_before(offset))
}
