//! AlterClientQuotas 0 to 1 (KIP-546). Each entity stands or falls on its own; what is altered is in force, and durable, when
//! the answer leaves.

use std::sync::Arc;

use super::change;
use crate::broker::broker::Broker;
use crate::broker::quota::entity::Entity as Named;
use crate::broker::{ApiError, Context, Reply, ReplyTo};
use crate::wire::api::alter_client_quotas::{
    AnsweredEntity, AnsweredEntry, Entity, Entry, Op, Request, Response,
};
use crate::wire::{ErrorCode, Str};

pub(in crate::broker) fn handle(broker: &Arc<Broker>, _cx: &Context, to: ReplyTo, request: Request) -> Reply {
    let broker = Arc::clone(broker);
    change(to, request, move |request| Response { entries: alter(&broker, request), ..Default::default() })
}

fn alter(broker: &Broker, request: Request) -> Vec<AnsweredEntry> {
    let mut outcomes: Vec<(Named, Result<(), ApiError>)> = Vec::new();
    for entry in &request.entries {
        let entity = named(entry);
        // Named twice, answered once; the first one was done.
        if let Some((entity, outcome)) = outcomes.iter_mut().find(|(known, _)| *known == entity) {
            *outcome = invalid(format!("Ignoring duplicate entity {entity}"));
            continue;
        }
        let outcome = ops(&entity, &entry.ops).and_then(|ops| {
            entity.check()?;
            broker.quotas.alter(&broker.catalogue, &entity, &ops, request.validate_only)
        });
        outcomes.push((entity, outcome));
    }
    outcomes.into_iter().map(answered).collect()
}

fn named(entry: &Entry) -> Named {
    let name = |entity: &Entity| {
        (entity.entity_type.to_string(), entity.entity_name.as_ref().map(|name| name.to_string()))
    };
    Named::new(entry.entity.iter().map(name))
}

/// What each key is to become; no value takes it away.
fn ops<'a>(entity: &Named, ops: &'a [Op]) -> Result<Vec<(&'a str, Option<f64>)>, ApiError> {
    let mut wanted: Vec<(&str, Option<f64>)> = Vec::with_capacity(ops.len());
    for op in ops {
        let key = op.key.as_str();
        if wanted.iter().any(|(known, _)| *known == key) {
            // As Kafka puts it, which counts the key's second place as the entity's.
            return invalid(format!("Ignoring duplicate entity {entity}"));
        }
        wanted.push((key, (!op.remove).then_some(op.value)));
    }
    Ok(wanted)
}

fn answered((entity, outcome): (Named, Result<(), ApiError>)) -> AnsweredEntry {
    let error = outcome.err();
    let name = |(kind, name): (&str, Option<&str>)| AnsweredEntity {
        entity_type: Str::from(kind),
        entity_name: name.map(Str::from),
        ..Default::default()
    };
    AnsweredEntry {
        error_code: error.as_ref().map_or(0, |error| error.code.0),
        error_message: error.and_then(|error| error.message),
        entity: entity.iter().map(name).collect(),
        ..Default::default()
    }
}

fn invalid<T>(message: impl Into<String>) -> Result<T, ApiError> {
    Err(ApiError::new(ErrorCode::INVALID_REQUEST, message))
}
