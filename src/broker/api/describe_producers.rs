//! DescribeProducers 0: the idempotent producers a partition remembers. There are no transactions: no coordinator's epoch
//! and nothing that one has begun.

use std::sync::Arc;

use super::room::Room;
use crate::broker::broker::Broker;
use crate::broker::topic::check_name;
use crate::broker::{ApiError, Context, Reply, ReplyTo};
use crate::wire::api::describe_producers::{
    PartitionResponse, ProducerState, Request, Response, TopicResponse,
};
use crate::wire::{ErrorCode, Str};

const NOT_HOSTED: Str = Str::from_static("This server does not host this topic-partition.");

pub(in crate::broker) fn handle(broker: &Arc<Broker>, _cx: &Context, to: ReplyTo, request: Request) -> Reply {
    let mut room = Room::new();
    let topics = request.topics.into_iter().map(|asked| {
        let topic = match (check_name(&asked.name), broker.catalogue.topic(&asked.name)) {
            (Err(problem), _) => Err(ApiError::new(ErrorCode::INVALID_TOPIC_EXCEPTION, problem)),
            (_, None) => {
                Err(ApiError { code: ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, message: Some(NOT_HOSTED) })
            }
            (_, Some(topic)) => Ok(topic),
        };
        let partitions = asked.partition_indexes.iter().map(|index| {
            let found = match &topic {
                Err(error) => Err(error.clone()),
                Ok(topic) => match topic.partition(*index) {
                    None => Err(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION.into()),
                    Some(partition) if partition.log().offline().is_some() => {
                        Err(ErrorCode::KAFKA_STORAGE_ERROR.into())
                    }
                    Some(partition) => room.check().map(|()| partition),
                },
            };
            let producers = found.and_then(|partition| {
                let producers = partition.active_producers();
                room.take(producers.len() * size_of::<ProducerState>()).map(|()| producers)
            });
            let mut response = PartitionResponse { partition_index: *index, ..Default::default() };
            match producers {
                Ok(producers) => response.active_producers = producers,
                Err(ApiError { code, message }) => {
                    (response.error_code, response.error_message) = (code.0, message);
                }
            }
            response
        });
        TopicResponse { partitions: partitions.collect(), name: asked.name.clone(), ..Default::default() }
    });
    to.now(Response { topics: topics.collect(), ..Default::default() })
}
