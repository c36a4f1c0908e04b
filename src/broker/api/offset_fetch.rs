//! OffsetFetch 1 to 10. Version 8 asks for several groups at once, version 10 names topics by id. Member id and epoch (KIP-848)
//! mean nothing to classic groups. `require_stable` needs no case of its own: nothing is shown before it is durable, and there are
//! no transactions yet whose offsets could be pending.

use std::sync::Arc;

use super::room::Room;
use crate::broker::group::{CommittedOffset, Groups, Offsets, after, append_error};
use crate::broker::{ApiError, Context, Reply, ReplyTo};
use crate::storage::Ticket;
use crate::wire::api::Exchange;
use crate::wire::api::offset_fetch::{
    OffsetFetchRequestTopics, OffsetFetchResponseGroup, OffsetFetchResponsePartition,
    OffsetFetchResponsePartitions, OffsetFetchResponseTopic, OffsetFetchResponseTopics, Request, Response,
};
use crate::wire::{ErrorCode, Str};

pub(in crate::broker) fn handle(groups: &Arc<Groups>, _cx: &Context, to: ReplyTo, request: Request) -> Reply {
    if to.version >= 8 { several_groups(groups, to, request) } else { one_group(groups, to, request) }
}

fn one_group(groups: &Groups, to: ReplyTo, request: Request) -> Reply {
    let asked: Option<Vec<_>> = request.topics.as_ref().map(|topics| {
        let by_name = topics.iter().map(|t| OffsetFetchRequestTopics {
            name: t.name.clone(),
            partition_indexes: t.partition_indexes.clone(),
            ..Default::default()
        });
        by_name.collect()
    });
    let fetched = fetch(groups, to.version, &request.group_id, asked.as_deref(), &mut Room::new());
    let refuse = move |error| request.answer(to.version, error).unwrap_or_default();
    match fetched {
        Err(error) => to.now(refuse(error)),
        Ok((topics, ticket)) => {
            let topics = topics.into_iter().map(into_old).collect();
            after(to, ticket, Response { topics, ..Default::default() }, move |_, error| refuse(error))
        }
    }
}

fn several_groups(groups: &Groups, to: ReplyTo, request: Request) -> Reply {
    let mut body = Response::default();
    let mut tickets = Vec::new();
    let mut room = Room::new();
    for group in request.groups {
        let mut answer = OffsetFetchResponseGroup { group_id: group.group_id, ..Default::default() };
        match fetch(groups, to.version, &answer.group_id, group.topics.as_deref(), &mut room) {
            Ok((topics, ticket)) => {
                answer.topics = topics;
                tickets.extend(ticket.map(|ticket| (body.groups.len(), ticket)));
            }
            Err(error) => answer.error_code = error.0,
        }
        body.groups.push(answer);
    }
    if tickets.is_empty() {
        return to.now(body);
    }
    Reply::later(async move {
        for (at, ticket) in tickets {
            if let (Err(error), Some(group)) = (ticket.await, body.groups.get_mut(at)) {
                group.topics.clear();
                group.error_code = append_error(&error).0;
            }
        }
        to.response(body)
    })
}

type Fetched = (Vec<OffsetFetchResponseTopics>, Option<Ticket>);

/// None asks for all topics.
fn fetch(
    groups: &Groups,
    version: i16,
    group_id: &Str,
    asked: Option<&[OffsetFetchRequestTopics]>,
    room: &mut Room,
) -> Result<Fetched, ErrorCode> {
    // A group that is not there has committed nothing: that is no error.
    let (topics, ticket) = groups.peek(group_id, |found| {
        let offsets = found.map(|(_, offsets)| offsets);
        match asked {
            Some(asked) => asked.iter().map(|topic| some(groups, version, offsets, topic, room)).collect(),
            None => all(groups, version, offsets, room),
        }
    })?;
    topics.map(|topics| (topics, ticket)).map_err(|full| full.code)
}

fn some(
    groups: &Groups,
    version: i16,
    offsets: Option<&Offsets>,
    asked: &OffsetFetchRequestTopics,
    room: &mut Room,
) -> Result<OffsetFetchResponseTopics, ApiError> {
    let mut error = ErrorCode::NONE;
    let mut name = asked.name.clone();
    if version >= 10 {
        match groups.catalogue().topic_by_id(asked.topic_id) {
            Some(topic) => name = topic.name().clone(),
            None => error = ErrorCode::UNKNOWN_TOPIC_ID,
        }
    }
    let partitions = asked.partition_indexes.iter().map(|index| {
        let committed = offsets.filter(|_| !error.is_error()).and_then(|o| o.get(&name, *index));
        // What was committed for an earlier life of the topic is none of this one's.
        let other_life =
            |c: &&CommittedOffset| version >= 10 && !c.topic_id.is_zero() && c.topic_id != asked.topic_id;
        partition(*index, committed.filter(|c| !other_life(c)), error, room)
    });
    Ok(OffsetFetchResponseTopics {
        name: asked.name.clone(),
        topic_id: asked.topic_id,
        partitions: partitions.collect::<Result<_, _>>()?,
        ..Default::default()
    })
}

fn all(
    groups: &Groups,
    version: i16,
    offsets: Option<&Offsets>,
    room: &mut Room,
) -> Result<Vec<OffsetFetchResponseTopics>, ApiError> {
    let mut topics = Vec::new();
    for (name, partitions) in offsets.into_iter().flat_map(Offsets::topics) {
        let mut answer = OffsetFetchResponseTopics { name: name.clone(), ..Default::default() };
        if version >= 10 {
            // A topic without an id cannot be named.
            let Some(topic) = groups.catalogue().topic(name) else { continue };
            answer.topic_id = topic.id();
        }
        let partitions =
            partitions.iter().map(|(index, c)| partition(*index, Some(c), ErrorCode::NONE, room));
        answer.partitions = partitions.collect::<Result<_, _>>()?;
        topics.push(answer);
    }
    Ok(topics)
}

fn partition(
    index: i32,
    committed: Option<&CommittedOffset>,
    error: ErrorCode,
    room: &mut Room,
) -> Result<OffsetFetchResponsePartitions, ApiError> {
    let metadata = committed.map_or(0, |c| c.metadata.len());
    room.take(size_of::<OffsetFetchResponsePartitions>() + metadata)?;
    Ok(OffsetFetchResponsePartitions {
        partition_index: index,
        committed_offset: committed.map_or(-1, |c| c.offset),
        committed_leader_epoch: committed.map_or(-1, |c| c.leader_epoch),
        metadata: Some(committed.map(|c| c.metadata.clone()).unwrap_or_default()),
        error_code: error.0,
        ..Default::default()
    })
}

/// As it stands in answers up to version 7.
fn into_old(topic: OffsetFetchResponseTopics) -> OffsetFetchResponseTopic {
    let partitions = topic.partitions.into_iter().map(|p| OffsetFetchResponsePartition {
        partition_index: p.partition_index,
        committed_offset: p.committed_offset,
        committed_leader_epoch: p.committed_leader_epoch,
        metadata: p.metadata,
        error_code: p.error_code,
        ..Default::default()
    });
    OffsetFetchResponseTopic { name: topic.name, partitions: partitions.collect(), ..Default::default() }
}
