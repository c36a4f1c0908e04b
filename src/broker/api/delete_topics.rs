//! DeleteTopics 1 to 6: by name, from 6 on also by id. The broker's own topics stay: groups stand on them.

use std::collections::HashMap;
use std::sync::Arc;

use super::change;
use crate::broker::broker::Broker;
use crate::broker::error::storage_code;
use crate::broker::quota::Mutations;
use crate::broker::topic::Topic;
use crate::broker::{ApiError, Context, Reply, ReplyTo};
use crate::wire::api::delete_topics::{DeletableTopicResult, DeleteTopicState, Request, Response};
use crate::wire::{ErrorCode, Str, Uuid};

/// From here on clients know THROTTLING_QUOTA_EXCEEDED (KIP-599).
const STRICT_QUOTA: i16 = 5;

pub(in crate::broker) fn handle(broker: &Arc<Broker>, cx: &Context, to: ReplyTo, request: Request) -> Reply {
    if !broker.settings().delete_topic_enable {
        let code =
            if to.version < 3 { ErrorCode::INVALID_REQUEST } else { ErrorCode::TOPIC_DELETION_DISABLED };
        let asked = asked(to.version, request).into_iter();
        let responses = asked.map(|topic| refused(topic.name, topic.topic_id, code.into())).collect();
        return to.now(Response { responses, ..Default::default() });
    }
    let broker = Arc::clone(broker);
    let mut mutations = Mutations::begin(&broker.quotas, cx, to.version >= STRICT_QUOTA);
    change(to, request, move |request| {
        let responses = delete(&broker, asked(to.version, request), &mut mutations);
        Response { responses, throttle_time_ms: mutations.throttle_time_ms(), ..Default::default() }
    })
}

fn asked(version: i16, request: Request) -> Vec<DeleteTopicState> {
    let by_name = |name| DeleteTopicState { name: Some(name), ..Default::default() };
    match version {
        6.. => request.topics,
        _ => request.topic_names.into_iter().map(by_name).collect(),
    }
}

fn delete(
    broker: &Broker,
    asked: Vec<DeleteTopicState>,
    mutations: &mut Mutations,
) -> Vec<DeletableTopicResult> {
    let mut results: Vec<DeletableTopicResult> = Vec::new();
    let mut doomed: Vec<(usize, Arc<Topic>)> = Vec::new();
    let mut times_named: HashMap<(Option<&Str>, Uuid), u32> = HashMap::new();
    for topic in &asked {
        *times_named.entry((topic.name.as_ref(), topic.topic_id)).or_default() += 1;
    }
    for topic in &asked {
        let key = (topic.name.as_ref(), topic.topic_id);
        let repeated = times_named.get(&key) > Some(&1);
        if repeated && results.iter().any(|r| r.name == topic.name && r.topic_id == topic.topic_id) {
            continue;
        }
        let found = find(broker, topic, repeated).and_then(|found| {
            if doomed.iter().any(|(_, other)| other.id() == found.id()) {
                let message = "The provided topic name maps to an ID that was already supplied.";
                return Err(ApiError::new(ErrorCode::INVALID_REQUEST, message));
            }
            mutations.take(&broker.quotas, found.partition_count())?;
            Ok(found)
        });
        match found {
            Ok(found) => {
                doomed.push((results.len(), Arc::clone(&found)));
                results.push(DeletableTopicResult {
                    name: Some(found.name().clone()),
                    topic_id: found.id(),
                    ..Default::default()
                });
            }
            Err(error) => results.push(refused(topic.name.clone(), topic.topic_id, error)),
        }
    }
    let topics: Vec<_> = doomed.iter().map(|(_, topic)| Arc::clone(topic)).collect();
    match broker.catalogue.delete(&topics) {
        Ok(()) => broker.groups.topics_deleted(&topics),
        Err(error) => {
            for (place, _) in doomed {
                if let Some(result) = results.get_mut(place) {
                    result.error_code = storage_code(&error).0;
                    result.error_message = Some(Str::from(error.to_string()));
                }
            }
        }
    }
    results
}

fn find(broker: &Broker, asked: &DeleteTopicState, repeated: bool) -> Result<Arc<Topic>, ApiError> {
    let invalid = |message: &str| Err(ApiError::new(ErrorCode::INVALID_REQUEST, message));
    let found = match (&asked.name, asked.topic_id) {
        (Some(_), id) if !id.is_zero() => {
            return invalid("You may not specify both topic name and topic id.");
        }
        (None, id) if id.is_zero() => return invalid("Neither topic name nor id were specified."),
        (Some(_), _) if repeated => return invalid("Duplicate topic name."),
        (None, _) if repeated => return invalid("Duplicate topic id."),
        (Some(name), _) => broker.catalogue.topic(name).ok_or_else(|| {
            let message = "This server does not host this topic-partition.";
            ApiError::new(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, message)
        })?,
        (None, id) => broker.catalogue.topic_by_id(id).ok_or_else(|| {
            ApiError::new(ErrorCode::UNKNOWN_TOPIC_ID, "This server does not host this topic ID.")
        })?,
    };
    if found.is_internal() {
        return invalid("The topic belongs to the broker and cannot be deleted.");
    }
    Ok(found)
}

fn refused(name: Option<Str>, topic_id: Uuid, error: ApiError) -> DeletableTopicResult {
    DeletableTopicResult {
        name,
        topic_id,
        error_code: error.code.0,
        error_message: error.message,
        ..Default::default()
    }
}
