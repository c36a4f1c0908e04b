//! ListOffsets 1 to 11. Nothing is tiered: those sentinels answer -1. Every record is committed once it is visible, as
//! there are no transactions: both isolation levels see the same.

use std::collections::HashMap;
use std::sync::Arc;

use crate::broker::broker::{Broker, blocking};
use crate::broker::error::storage_code;
use crate::broker::partition::Partition;
use crate::broker::{Context, Reply, ReplyTo};
use crate::storage::{StorageError, TimestampOffset};
use crate::wire::ErrorCode;
use crate::wire::api::list_offsets::{
    ListOffsetsPartition, ListOffsetsPartitionResponse, ListOffsetsTopicResponse, Request, Response,
};

const LATEST: i64 = -1;
const EARLIEST: i64 = -2;
const MAX_TIMESTAMP: i64 = -3;
const EARLIEST_LOCAL: i64 = -4;
const LATEST_TIERED: i64 = -5;
const EARLIEST_PENDING_UPLOAD: i64 = -6;

/// A look-up that reads the disk.
struct Search {
    topic: usize,
    place: usize,
    partition: Arc<Partition>,
    timestamp: i64,
}

pub(in crate::broker) fn handle(broker: &Arc<Broker>, _cx: &Context, to: ReplyTo, request: Request) -> Reply {
    let mut times_named: HashMap<(&[u8], i32), u32> = HashMap::new();
    for topic in &request.topics {
        for partition in &topic.partitions {
            *times_named.entry((topic.name.as_bytes(), partition.partition_index)).or_default() += 1;
        }
    }
    let mut searches = Vec::new();
    let mut response = Response::default();
    for (topic_at, asked_topic) in request.topics.iter().enumerate() {
        let topic = broker.catalogue.topic(&asked_topic.name);
        let mut partitions = Vec::with_capacity(asked_topic.partitions.len());
        for asked in &asked_topic.partitions {
            let mut answer =
                ListOffsetsPartitionResponse { partition_index: asked.partition_index, ..Default::default() };
            let partition = topic.as_ref().and_then(|topic| topic.partition(asked.partition_index));
            let outcome = if times_named.get(&(asked_topic.name.as_bytes(), asked.partition_index)) > Some(&1)
            {
                Err(ErrorCode::INVALID_REQUEST)
            } else {
                match &partition {
                    Some(partition) => known(partition, asked, to.version, &mut answer),
                    None => Err(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION),
                }
            };
            match (outcome, partition) {
                (Err(code), _) => answer.error_code = code.0,
                (Ok(false), Some(partition)) => searches.push(Search {
                    topic: topic_at,
                    place: partitions.len(),
                    partition,
                    timestamp: asked.timestamp,
                }),
                (Ok(_), _) => {}
            }
            partitions.push(answer);
        }
        let name = asked_topic.name.clone();
        response.topics.push(ListOffsetsTopicResponse { name, partitions, ..Default::default() });
    }
    if searches.is_empty() {
        return to.now(response);
    }
    Reply::later(async move {
        let places: Vec<_> = searches.iter().map(|search| (search.topic, search.place)).collect();
        let found = blocking(move || searches.into_iter().map(search).collect::<Vec<_>>()).await;
        let found = found.unwrap_or_else(|_| vec![Err(StorageError::Closed); places.len()]);
        for ((topic, place), found) in places.into_iter().zip(found) {
            let answer = response.topics.get_mut(topic).and_then(|topic| topic.partitions.get_mut(place));
            if let Some(answer) = answer {
                match found {
                    Ok(Some(found)) => {
                        answer.timestamp = found.timestamp;
                        answer.offset = found.offset;
                        answer.leader_epoch = found.leader_epoch;
                    }
                    Ok(None) => {}
                    Err(error) => answer.error_code = storage_code(&error).0,
                }
            }
        }
        to.response(response)
    })
}

/// Answers what is known without a search; false when it takes one.
fn known(
    partition: &Partition,
    asked: &ListOffsetsPartition,
    version: i16,
    answer: &mut ListOffsetsPartitionResponse,
) -> Result<bool, ErrorCode> {
    partition.check_leader_epoch(asked.current_leader_epoch)?;
    if partition.log().offline().is_some() {
        return Err(ErrorCode::KAFKA_STORAGE_ERROR);
    }
    // Sentinels are only known from the version that brought them on.
    let since = match asked.timestamp {
        EARLIEST_PENDING_UPLOAD => 11,
        LATEST_TIERED => 9,
        EARLIEST_LOCAL => 8,
        MAX_TIMESTAMP => 7,
        ..EARLIEST_PENDING_UPLOAD => i16::MAX,
        _ => 0,
    };
    if version < since {
        return Err(ErrorCode::UNSUPPORTED_VERSION);
    }
    match asked.timestamp {
        LATEST => {
            answer.offset = partition.log().high_watermark();
            answer.leader_epoch = partition.leader_epoch();
        }
        EARLIEST | EARLIEST_LOCAL => {
            answer.offset = partition.log().log_start_offset();
            answer.leader_epoch = partition.earliest_epoch();
        }
        LATEST_TIERED | EARLIEST_PENDING_UPLOAD => {}
        _ => return Ok(false),
    }
    Ok(true)
}

fn search(search: Search) -> Result<Option<TimestampOffset>, StorageError> {
    let log = search.partition.log();
    match search.timestamp {
        MAX_TIMESTAMP => log.max_timestamp(),
        timestamp => log.offset_for_timestamp(timestamp),
    }
}
