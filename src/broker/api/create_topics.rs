//! CreateTopics 2 to 7. There is one node, so a replication factor above 1 is refused as Kafka refuses it, and a manual
//! assignment can only name this node.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use super::change;
use crate::broker::broker::Broker;
use crate::broker::catalogue::NewTopic;
use crate::broker::config::topic::{TOPIC_CONFIGS, check, describe};
use crate::broker::quota::Mutations;
use crate::broker::topic::check_name;
use crate::broker::{ApiError, Context, Reply, ReplyTo};
use crate::wire::api::create_topics::{
    CreatableTopic, CreatableTopicConfigs, CreatableTopicResult, Request, Response,
};
use crate::wire::{ErrorCode, Str, Uuid};

/// Kafka's limit for one request.
pub(super) const MAX_PARTITIONS_PER_REQUEST: i64 = 10_000;

/// From here on clients know THROTTLING_QUOTA_EXCEEDED (KIP-599).
const STRICT_QUOTA: i16 = 6;

pub(in crate::broker) fn handle(broker: &Arc<Broker>, cx: &Context, to: ReplyTo, request: Request) -> Reply {
    let broker = Arc::clone(broker);
    let mut mutations = Mutations::begin(&broker.quotas, cx, to.version >= STRICT_QUOTA);
    change(to, request, move |request| {
        let topics = create(&broker, request, &mut mutations);
        Response { topics, throttle_time_ms: mutations.throttle_time_ms(), ..Default::default() }
    })
}

fn create(broker: &Broker, request: Request, mutations: &mut Mutations) -> Vec<CreatableTopicResult> {
    let settings = broker.settings();
    let mut occurrences: HashMap<&Str, usize> = HashMap::new();
    for topic in &request.topics {
        *occurrences.entry(&topic.name).or_default() += 1;
    }
    let partitions_of = |topic: &CreatableTopic| match (topic.num_partitions, topic.assignments.len()) {
        (_, assigned @ 1..) => assigned as i64,
        (-1, _) => i64::from(settings.num_partitions),
        (wanted, _) => i64::from(wanted.max(0)),
    };
    let total: i64 = request.topics.iter().map(partitions_of).sum();
    let mut results: Vec<CreatableTopicResult> = Vec::new();
    let mut wanted = Vec::new();
    let mut places = Vec::new();
    let mut named = HashSet::new();
    for topic in &request.topics {
        let checked = if occurrences.get(&topic.name).is_some_and(|n| *n > 1) {
            // Named twice, answered once.
            if !named.insert(&topic.name) {
                continue;
            }
            Err(ApiError::new(ErrorCode::INVALID_REQUEST, "Duplicate topic name."))
        } else if total > MAX_PARTITIONS_PER_REQUEST {
            Err(ApiError::new(
                ErrorCode::POLICY_VIOLATION,
                "Excessively large number of partitions per request.",
            ))
        } else {
            check_topic(broker, topic)
        };
        let partitions = i32::try_from(partitions_of(topic)).unwrap_or(i32::MAX);
        let checked = checked.and_then(|overrides| {
            mutations.take(&broker.quotas, usize::try_from(partitions).unwrap_or(0))?;
            Ok(overrides)
        });
        match checked {
            Ok(overrides) => {
                places.push(results.len());
                results.push(succeeded(broker, topic.name.clone(), Uuid::ZERO, partitions, &overrides));
                wanted.push(NewTopic { name: topic.name.clone(), partitions, overrides });
            }
            Err(error) => results.push(failed(topic.name.clone(), error)),
        }
    }
    if request.validate_only {
        return results;
    }
    for (place, created) in places.into_iter().zip(broker.catalogue.create(wanted)) {
        if let Some(result) = results.get_mut(place) {
            match created {
                Ok(topic) => {
                    result.topic_id = topic.id();
                    // Topics of the broker's own get configs nobody asked for.
                    result.configs = Some(configs(broker, &topic.settings().overrides));
                }
                Err(error) => *result = failed(result.name.clone(), error),
            }
        }
    }
    results
}

/// What Kafka's controller checks, in its order; gives the configs.
fn check_topic(broker: &Broker, topic: &CreatableTopic) -> Result<BTreeMap<String, String>, ApiError> {
    check_name(&topic.name).map_err(|problem| ApiError::new(ErrorCode::INVALID_TOPIC_EXCEPTION, problem))?;
    broker.catalogue.check_free(&topic.name)?;
    let mut overrides = BTreeMap::new();
    for config in &topic.configs {
        let invalid = |message: String| ApiError::new(ErrorCode::INVALID_CONFIG, message);
        let Some(value) = &config.value else {
            return Err(invalid(format!("Null value not supported for topic configs: {}", config.name)));
        };
        check(&config.name, value).map_err(invalid)?;
        overrides.insert(config.name.to_string(), value.to_string());
    }
    if topic.assignments.is_empty() {
        check_counts(topic)?;
    } else {
        check_assignments(broker.node_id, topic)?;
    }
    Ok(overrides)
}

fn check_counts(topic: &CreatableTopic) -> Result<(), ApiError> {
    let refuse = |code, message: String| Err(ApiError::new(code, message));
    match topic.replication_factor {
        -1 | 1 => {}
        wanted if wanted <= 0 => {
            return refuse(
                ErrorCode::INVALID_REPLICATION_FACTOR,
                "Replication factor must be larger than 0, or -1 to use the default value.".to_owned(),
            );
        }
        wanted => {
            return refuse(
                ErrorCode::INVALID_REPLICATION_FACTOR,
                format!(
                    "Unable to replicate the partition {wanted} time(s): The target replication factor of {wanted} \
                     cannot be reached because only 1 broker(s) are registered."
                ),
            );
        }
    }
    if topic.num_partitions == 0 || topic.num_partitions < -1 {
        return refuse(
            ErrorCode::INVALID_PARTITIONS,
            "Number of partitions was set to an invalid non-positive value.".to_owned(),
        );
    }
    Ok(())
}

fn check_assignments(node: i32, topic: &CreatableTopic) -> Result<(), ApiError> {
    let invalid = |what: &str| {
        let message = format!("A manual partition assignment was specified, but {what} was not set to -1.");
        Err(ApiError::new(ErrorCode::INVALID_REQUEST, message))
    };
    if topic.replication_factor != -1 {
        return invalid("replication factor");
    }
    if topic.num_partitions != -1 {
        return invalid("numPartitions");
    }
    let refuse = |message: String| Err(ApiError::new(ErrorCode::INVALID_REPLICA_ASSIGNMENT, message));
    let mut indexes: Vec<i32> = topic.assignments.iter().map(|a| a.partition_index).collect();
    indexes.sort_unstable();
    if !indexes.iter().copied().eq(0..indexes.len() as i32) {
        return refuse("partitions should be a consecutive 0-based integer sequence".to_owned());
    }
    topic.assignments.iter().try_for_each(|assignment| check_replicas(node, &assignment.broker_ids))
}

/// A manual assignment of one partition, on a cluster of one node.
pub(super) fn check_replicas(node: i32, brokers: &[i32]) -> Result<(), ApiError> {
    let refused = |problem: String| {
        let message = format!("The manual partition assignment includes {problem}");
        Err(ApiError::new(ErrorCode::INVALID_REPLICA_ASSIGNMENT, message))
    };
    // Kafka goes through them in the order of their ids.
    let mut sorted = brokers.to_vec();
    sorted.sort_unstable();
    let mut ours = 0;
    for broker in sorted {
        if broker != node {
            return refused(format!("broker {broker}, but no such broker is registered."));
        }
        ours += 1;
        if ours > 1 {
            return refused(format!("the broker {node} more than once."));
        }
    }
    if ours == 0 {
        return refused("an empty replica list.".to_owned());
    }
    Ok(())
}

fn succeeded(
    broker: &Broker,
    name: Str,
    topic_id: Uuid,
    partitions: i32,
    overrides: &BTreeMap<String, String>,
) -> CreatableTopicResult {
    CreatableTopicResult {
        name,
        topic_id,
        num_partitions: partitions,
        replication_factor: 1,
        configs: Some(configs(broker, overrides)),
        ..Default::default()
    }
}

fn configs(broker: &Broker, overrides: &BTreeMap<String, String>) -> Vec<CreatableTopicConfigs> {
    let server = broker.catalogue.server_configs();
    TOPIC_CONFIGS
        .iter()
        .map(|config| {
            let described = describe(config, overrides, &server);
            CreatableTopicConfigs {
                name: Str::from_static(config.definition.name),
                value: described.value.map(Str::from),
                read_only: config.definition.is_read_only(),
                config_source: described.source as i8,
                is_sensitive: false,
                ..Default::default()
            }
        })
        .collect()
}

fn failed(name: Str, error: ApiError) -> CreatableTopicResult {
    CreatableTopicResult {
        name,
        error_code: error.code.0,
        error_message: error.message,
        configs: Some(Vec::new()),
        ..Default::default()
    }
}
