//! CreatePartitions 0 to 3.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::change;
use super::create_topics::{MAX_PARTITIONS_PER_REQUEST, check_replicas};
use crate::broker::broker::Broker;
use crate::broker::quota::Mutations;
use crate::broker::topic::Topic;
use crate::broker::{ApiError, Context, Reply, ReplyTo};
use crate::wire::api::create_partitions::{
    CreatePartitionsTopic, CreatePartitionsTopicResult, Request, Response,
};
use crate::wire::{ErrorCode, Str};

/// From here on clients know THROTTLING_QUOTA_EXCEEDED (KIP-599).
const STRICT_QUOTA: i16 = 3;

pub(in crate::broker) fn handle(broker: &Arc<Broker>, cx: &Context, to: ReplyTo, request: Request) -> Reply {
    let broker = Arc::clone(broker);
    let mut mutations = Mutations::begin(&broker.quotas, cx, to.version >= STRICT_QUOTA);
    change(to, request, move |request| {
        let results = create(&broker, request, &mut mutations);
        Response { results, throttle_time_ms: mutations.throttle_time_ms(), ..Default::default() }
    })
}

fn create(broker: &Broker, request: Request, mutations: &mut Mutations) -> Vec<CreatePartitionsTopicResult> {
    let mut times_named: HashMap<&Str, u32> = HashMap::new();
    let mut total = 0;
    for asked in &request.topics {
        *times_named.entry(&asked.name).or_default() += 1;
        let now = broker.catalogue.topic(&asked.name).map_or(0, |topic| topic.partition_count());
        total += (i64::from(asked.count) - now as i64).max(0);
    }
    let mut results: Vec<CreatePartitionsTopicResult> = Vec::new();
    let mut answered: HashSet<&Str> = HashSet::new();
    for asked in &request.topics {
        let outcome = if times_named.get(&asked.name) > Some(&1) {
            if !answered.insert(&asked.name) {
                continue;
            }
            Err(ApiError::new(ErrorCode::INVALID_REQUEST, "Duplicate topic name."))
        } else if total > MAX_PARTITIONS_PER_REQUEST {
            let message = "Excessively large number of partitions per request.";
            Err(ApiError::new(ErrorCode::POLICY_VIOLATION, message))
        } else {
            check(broker, asked).and_then(|topic| {
                let added = usize::try_from(asked.count).unwrap_or(0).saturating_sub(topic.partition_count());
                mutations.take(&broker.quotas, added)?;
                match request.validate_only {
                    true => Ok(()),
                    false => broker.catalogue.add_partitions(&topic, asked.count),
                }
            })
        };
        let mut result = CreatePartitionsTopicResult { name: asked.name.clone(), ..Default::default() };
        if let Err(error) = outcome {
            result.error_code = error.code.0;
            result.error_message = error.message;
        }
        results.push(result);
    }
    results
}

fn check(broker: &Broker, asked: &CreatePartitionsTopic) -> Result<Arc<Topic>, ApiError> {
    let name = &asked.name;
    let topic = broker.catalogue.topic(name).ok_or(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)?;
    if topic.is_internal() {
        let message = "The topic belongs to the broker: groups find their partition by the count.";
        return Err(ApiError::new(ErrorCode::INVALID_REQUEST, message));
    }
    let now = i32::try_from(topic.partition_count()).unwrap_or(i32::MAX);
    let message = match asked.count {
        count if count == now => format!("Topic already has {now} partition(s)."),
        count if count < now => {
            format!("The topic {name} currently has {now} partition(s); {count} would not be an increase.")
        }
        _ => String::new(),
    };
    if !message.is_empty() {
        return Err(ApiError::new(ErrorCode::INVALID_PARTITIONS, message));
    }
    if let Some(assignments) = &asked.assignments {
        let added = asked.count - now;
        if usize::try_from(added) != Ok(assignments.len()) {
            let message = format!(
                "Attempted to add {added} additional partition(s), but only {} assignment(s) were specified.",
                assignments.len()
            );
            return Err(ApiError::new(ErrorCode::INVALID_REPLICA_ASSIGNMENT, message));
        }
        for assignment in assignments {
            check_replicas(broker.node_id, &assignment.broker_ids)?;
        }
    }
    Ok(topic)
}
