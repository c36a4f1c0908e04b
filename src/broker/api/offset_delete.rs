//! OffsetDelete 0.

use std::sync::Arc;

use crate::broker::group::{Groups, after};
use crate::broker::{Context, Reply, ReplyTo};
use crate::wire::ErrorCode;
use crate::wire::api::offset_delete::{
    OffsetDeleteResponsePartition, OffsetDeleteResponseTopic, Request, Response,
};

pub(in crate::broker) fn handle(groups: &Arc<Groups>, _cx: &Context, to: ReplyTo, request: Request) -> Reply {
    let refuse = |error: ErrorCode| Response { error_code: error.0, ..Default::default() };
    if request.group_id.is_empty() {
        return to.now(refuse(ErrorCode::INVALID_GROUP_ID));
    }
    let mut body = Response::default();
    let deleted = groups.delete_offsets(&request.group_id, |group| {
        group.validate_offset_delete()?;
        let mut which = Vec::new();
        for asked in &request.topics {
            let topic = groups.catalogue().topic(&asked.name);
            let subscribed = group.is_subscribed(&asked.name);
            let partitions = asked.partitions.iter().map(|p| {
                let exists = topic.as_ref().is_some_and(|topic| topic.partition(p.partition_index).is_some());
                let error = match (exists, subscribed) {
                    (false, _) => ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
                    (true, true) => ErrorCode::GROUP_SUBSCRIBED_TO_TOPIC,
                    (true, false) => {
                        which.push((asked.name.clone(), p.partition_index));
                        ErrorCode::NONE
                    }
                };
                OffsetDeleteResponsePartition {
                    partition_index: p.partition_index,
                    error_code: error.0,
                    ..Default::default()
                }
            });
            let partitions = partitions.collect();
            let name = asked.name.clone();
            body.topics.push(OffsetDeleteResponseTopic { name, partitions, ..Default::default() });
        }
        Ok(which)
    });
    match deleted {
        Ok(ticket) => after(to, ticket, body, move |_, error| refuse(error)),
        Err(error) => to.now(refuse(error)),
    }
}
