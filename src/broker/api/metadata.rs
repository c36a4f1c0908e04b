//! Metadata 0 to 13. A topic that is not there is created where the client and `auto.create.topics.enable` allow; the
//! answer says UNKNOWN_TOPIC_OR_PARTITION all the same and the client asks again, as with Kafka.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use super::{CLUSTER_OPERATIONS, NOT_ASKED, TOPIC_OPERATIONS};
use crate::broker::broker::{Broker, blocking};
use crate::broker::catalogue::NewTopic;
use crate::broker::topic::{OFFSETS_TOPIC, Topic, check_name, is_internal};
use crate::broker::{ApiError, Context, Reply, ReplyTo};
use crate::wire::api::metadata::{
    MetadataRequestTopic, MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic, Request,
    Response,
};
use crate::wire::{ErrorCode, RequestBody, Str, Uuid};

/// Topics being created unasked at one time; a client that wants more asks again.
const MAX_AUTO_CREATING: usize = 1000;

pub(in crate::broker) fn handle(broker: &Arc<Broker>, cx: &Context, to: ReplyTo, request: Request) -> Reply {
    let by_id_or_nameless = |t: &MetadataRequestTopic| t.name.is_none() || !t.topic_id.is_zero();
    if to.version < 12 && request.topics.iter().flatten().any(by_id_or_nameless) {
        return match RequestBody::from(request).answer(to.version, ErrorCode::INVALID_REQUEST) {
            Some(body) => to.now(body),
            None => Reply::Close,
        };
    }
    let operations = if request.include_topic_authorized_operations { TOPIC_OPERATIONS } else { NOT_ASKED };
    let describe = |topic: &Topic| described(broker, topic, operations);
    let topics = match &request.topics {
        // Version 0 has no null.
        Some(topics) if !(to.version == 0 && topics.is_empty()) => {
            let may_create = request.allow_auto_topic_creation && broker.settings().auto_create_topics_enable;
            let mut seen = HashSet::with_capacity(topics.len());
            let distinct = topics.iter().filter(|t| seen.insert((&t.name, t.topic_id)));
            let mut missing = Vec::new();
            let described = distinct
                .map(|asked| match (&asked.name, asked.topic_id) {
                    (_, id) if !id.is_zero() => match broker.catalogue.topic_by_id(id) {
                        Some(topic) => describe(&topic),
                        None => unknown(None, id, ErrorCode::UNKNOWN_TOPIC_ID),
                    },
                    (Some(name), _) => match broker.catalogue.topic(name) {
                        Some(topic) => describe(&topic),
                        None if check_name(name).is_err() => {
                            unknown(Some(name.clone()), Uuid::ZERO, ErrorCode::INVALID_TOPIC_EXCEPTION)
                        }
                        None => {
                            missing.push(name.detached());
                            unknown(Some(name.clone()), Uuid::ZERO, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)
                        }
                    },
                    (None, _) => unknown(None, Uuid::ZERO, ErrorCode::UNKNOWN_TOPIC_ID),
                })
                .collect();
            if may_create && !missing.is_empty() {
                create(broker, missing);
            }
            described
        }
        _ => {
            let mut all = broker.catalogue.topics();
            all.sort_by(|a, b| a.name().cmp(b.name()));
            all.iter().map(|topic| describe(topic)).collect()
        }
    };
    to.now(Response {
        brokers: vec![MetadataResponseBroker {
            node_id: broker.node_id,
            host: cx.advertised_host.clone(),
            port: cx.advertised_port,
            ..Default::default()
        }],
        cluster_id: Some(broker.catalogue.cluster_id().clone()),
        controller_id: broker.node_id,
        topics,
        cluster_authorized_operations: match request.include_cluster_authorized_operations {
            true => CLUSTER_OPERATIONS,
            false => NOT_ASKED,
        },
        ..Default::default()
    })
}

fn described(broker: &Broker, topic: &Topic, operations: i32) -> MetadataResponseTopic {
    let node = broker.node_id;
    let partitions = topic.partitions();
    MetadataResponseTopic {
        name: Some(topic.name().clone()),
        topic_id: topic.id(),
        is_internal: topic.is_internal(),
        topic_authorized_operations: operations,
        partitions: partitions
            .iter()
            .map(|partition| {
                // Kafka's, of a partition whose only replica has lost its disk.
                let offline = partition.log().offline().is_some();
                let code = if offline { ErrorCode::LEADER_NOT_AVAILABLE } else { ErrorCode::NONE };
                MetadataResponsePartition {
                    error_code: code.0,
                    partition_index: partition.index(),
                    leader_id: if offline { -1 } else { node },
                    leader_epoch: partition.leader_epoch(),
                    replica_nodes: vec![node],
                    isr_nodes: vec![node],
                    offline_replicas: if offline { vec![node] } else { Vec::new() },
                    ..Default::default()
                }
            })
            .collect(),
        ..Default::default()
    }
}

fn unknown(name: Option<Str>, topic_id: Uuid, code: ErrorCode) -> MetadataResponseTopic {
    MetadataResponseTopic {
        error_code: code.0,
        is_internal: name.as_ref().is_some_and(|name| is_internal(name)),
        name,
        topic_id,
        ..Default::default()
    }
}

/// Creates topics behind the answer's back, each once.
fn create(broker: &Arc<Broker>, mut names: Vec<Str>) {
    {
        let mut creating = broker.auto_creating();
        names.retain(|name| creating.len() < MAX_AUTO_CREATING && creating.insert(name.clone()));
    }
    if names.is_empty() {
        return;
    }
    let settings = broker.settings();
    let wanted = names.iter().map(|name| NewTopic {
        name: name.clone(),
        partitions: match &**name == OFFSETS_TOPIC {
            true => settings.offsets_topic_num_partitions,
            false => settings.num_partitions,
        },
        overrides: BTreeMap::new(),
    });
    let (wanted, broker) = (wanted.collect(), Arc::clone(broker));
    tokio::spawn(async move {
        let catalogue = Arc::clone(&broker.catalogue);
        match blocking(move || catalogue.create(wanted)).await {
            Ok(created) => {
                for (name, created) in names.iter().zip(created) {
                    match created {
                        Ok(_) => drop(broker.not_created.ends()),
                        Err(error) => not_created(&broker, name, &error),
                    }
                }
            }
            Err(error) => tracing::warn!(%error, "topics could not be created"),
        }
        let mut creating = broker.auto_creating();
        names.iter().for_each(|name| {
            creating.remove(name);
        });
    });
}

/// Clients ask again and again.
fn not_created(broker: &Broker, topic: &str, error: &ApiError) {
    if let Some(passed_over) = broker.not_created.says(&error.to_string(), broker.clock.elapsed()) {
        tracing::warn!(topic, %error, passed_over, "a topic that was asked for could not be created");
    }
}
