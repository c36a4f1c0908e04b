//! Produce 3 to 13; 0 to 2 are advertised (KAFKA-18659: old librdkafka stops compressing otherwise) and refused.
//!
//! Checks, the offsets taken and the place in the order are settled when the handler returns; acks=1 and acks=all both
//! wait for the commit that the flush mode asks for, so `timeout_ms` has nothing to bound and is not looked at. acks=0
//! is not answered; with an error the connection is closed, as Kafka does. Not here: transactions.

use std::sync::Arc;

use bytes::Bytes;

use super::batch::{Accepted, accept};
use crate::broker::broker::Broker;
use crate::broker::error::storage_code;
use crate::broker::partition::{Append, Partition};
use crate::broker::topic::Topic;
use crate::broker::{ApiError, Context, Reply, ReplyTo};
use crate::storage::Ticket;
use crate::wire::api::produce::{
    BatchIndexAndErrorMessage, PartitionProduceData, PartitionProduceResponse, Request, Response,
    TopicProduceData, TopicProduceResponse,
};
use crate::wire::record::TimestampType;
use crate::wire::{ErrorCode, Payload, Str};

/// Where the answer for one partition waits.
struct Waiting {
    topic: usize,
    partition: usize,
    on: On,
}

enum On {
    Commit(Ticket),
    /// A retry: what it repeats may not be committed yet.
    Earlier(Arc<Partition>, i64),
}

/// What one partition's batch is refused with.
pub(super) struct Refused {
    pub error: ApiError,
    /// -1 where Kafka has not looked at the log yet.
    pub log_start_offset: i64,
    pub records: Vec<(i32, String)>,
}

impl<E: Into<ApiError>> From<E> for Refused {
    fn from(error: E) -> Self {
        Refused { error: error.into(), log_start_offset: -1, records: Vec::new() }
    }
}

pub(in crate::broker) fn handle(broker: &Arc<Broker>, _cx: &Context, to: ReplyTo, request: Request) -> Reply {
    let acks = request.acks;
    let by_id = to.version >= 13;
    let now_ms = broker.clock.now_ms();
    let mut waiting = Vec::new();
    let mut failed = false;
    let mut responses = Vec::with_capacity(request.topic_data.len());
    let read_only = broker.catalogue.is_read_only();
    for data in request.topic_data {
        let TopicProduceData { name, topic_id, partition_data, .. } = data;
        let topic = match by_id {
            true => broker.catalogue.topic_by_id(topic_id).ok_or(ErrorCode::UNKNOWN_TOPIC_ID),
            false => broker.catalogue.topic(&name).ok_or(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION),
        };
        let mut partition_responses = Vec::with_capacity(partition_data.len());
        for data in partition_data {
            let mut response = PartitionProduceResponse { index: data.index, ..Default::default() };
            let outcome = match &topic {
                _ if !(-1..=1).contains(&acks) => Err(ErrorCode::INVALID_REQUIRED_ACKS.into()),
                Ok(_) if read_only => {
                    Err(ApiError::new(ErrorCode::KAFKA_STORAGE_ERROR, "the disk takes no writes").into())
                }
                Ok(topic) => append(topic, data, acks, to.version, now_ms),
                Err(code) => Err((*code).into()),
            };
            match outcome {
                Ok((on, base_offset, log_append_time_ms, log_start_offset)) => {
                    response.base_offset = base_offset;
                    response.log_append_time_ms = log_append_time_ms;
                    response.log_start_offset = log_start_offset;
                    let (topic, partition) = (responses.len(), partition_responses.len());
                    waiting.push(Waiting { topic, partition, on });
                }
                Err(refused) => {
                    failed = true;
                    refuse(&mut response, refused);
                }
            }
            partition_responses.push(response);
        }
        responses.push(TopicProduceResponse { name, topic_id, partition_responses, ..Default::default() });
    }
    if acks == 0 {
        return if failed { Reply::Close } else { Reply::Now(None) };
    }
    let mut response = Response { responses, ..Default::default() };
    if waiting.is_empty() {
        return to.now(response);
    }
    Reply::later(async move {
        for Waiting { topic, partition, on } in waiting {
            let outcome = match on {
                On::Commit(ticket) => ticket.await,
                On::Earlier(partition, last_offset) => partition.committed(last_offset).await,
            };
            if let Err(error) = outcome
                && let Some(topic) = response.responses.get_mut(topic)
                && let Some(answer) = topic.partition_responses.get_mut(partition)
            {
                refuse(answer, ApiError::from(storage_code(&error)).into());
            }
        }
        to.response(response)
    })
}

/// Takes one partition's batch into its log: what to wait for, base offset, append time, log start offset.
fn append(
    topic: &Topic,
    data: PartitionProduceData,
    acks: i16,
    version: i16,
    now_ms: i64,
) -> Result<(On, i64, i64, i64), Refused> {
    if topic.is_internal() {
        return Err(ErrorCode::INVALID_TOPIC_EXCEPTION.into());
    }
    let Some(partition) = topic.partition(data.index) else {
        return Err(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION.into());
    };
    let settings = topic.settings();
    let config = &settings.config;
    if acks == -1 && config.min_insync_replicas > 1 {
        return Err(ErrorCode::NOT_ENOUGH_REPLICAS.into());
    }
    let records = match data.records {
        Payload::Bytes(bytes) => bytes,
        Payload::Null => Bytes::new(),
        pieces => {
            pieces.to_bytes().map_err(|error| ApiError::new(ErrorCode::INVALID_RECORD, error.to_string()))?
        }
    };
    let log_start_offset = partition.log().log_start_offset();
    let Accepted { header, bytes, body } = accept(&records, config, version, log_start_offset, now_ms)?;
    let log_append_time = match config.timestamp_type {
        TimestampType::LogAppendTime => now_ms,
        TimestampType::CreateTime => -1,
    };
    let appended = partition
        .append(&header, bytes, body, now_ms)
        .map_err(|error| Refused { log_start_offset, ..Refused::from(error) })?;
    Ok(match appended {
        Append::Appended { base_offset, log_start_offset, ticket } => {
            (On::Commit(ticket), base_offset, log_append_time, log_start_offset)
        }
        Append::Repeated { base_offset, last_offset, max_timestamp } => {
            (On::Earlier(partition, last_offset), base_offset, max_timestamp, log_start_offset)
        }
    })
}

fn refuse(response: &mut PartitionProduceResponse, refused: Refused) {
    response.error_code = refused.error.code.0;
    response.error_message = refused.error.message;
    response.base_offset = -1;
    response.log_append_time_ms = -1;
    response.log_start_offset = refused.log_start_offset;
    response.record_errors = refused
        .records
        .into_iter()
        .map(|(batch_index, message)| BatchIndexAndErrorMessage {
            batch_index,
            batch_index_error_message: Some(Str::from(message)),
            ..Default::default()
        })
        .collect();
}
