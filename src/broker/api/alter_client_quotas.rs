//! AlterClientQuotas 0 to 1 (KIP-546). Each entity stands or falls on its own; what is altered is in force, and durable, when
//! the answer leaves.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::{change, too_many};
use crate::broker::broker::Broker;
use crate::broker::quota::Change;
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
    let entities: Vec<Named> = request.entries.iter().map(named).collect();
    let mut answers: Vec<(&Named, Result<(), ApiError>)> = Vec::new();
    let mut places: HashMap<&Named, usize> = HashMap::new();
    let mut changes = Vec::new();
    let mut of_changes = Vec::new();
    let too_many = too_many(request.entries.iter().map(|entry| entry.ops.len()));
    for (entity, entry) in entities.iter().zip(&request.entries) {
        let place = *places.entry(entity).or_insert(answers.len());
        if let Some((_, outcome)) = answers.get_mut(place) {
            // Named twice, answered once; the first one is done.
            *outcome = invalid(format!("Ignoring duplicate entity {entity}"));
            continue;
        }
        let checked = too_many.clone().and_then(|()| {
            let ops = ops(entity, &entry.ops)?;
            entity.check()?;
            Ok(Change { entity, ops })
        });
        answers.push((
            entity,
            checked.map(|change| {
                changes.push(change);
                of_changes.push(place);
            }),
        ));
    }
    let outcomes = broker.quotas.alter(&broker.catalogue, &changes, request.validate_only);
    for (place, outcome) in of_changes.into_iter().zip(outcomes) {
        if let Some((_, told)) = answers.get_mut(place)
            && told.is_ok()
        {
            *told = outcome;
        }
    }
    answers.into_iter().map(answered).collect()
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
    let mut keys = HashSet::new();
    for op in ops {
        let key = op.key.as_str();
        if !keys.insert(key) {
            // As Kafka puts it, which counts the key's second place as the entity's.
            return invalid(format!("Ignoring duplicate entity {entity}"));
        }
        wanted.push((key, (!op.remove).then_some(op.value)));
    }
    Ok(wanted)
}

fn answered((entity, outcome): (&Named, Result<(), ApiError>)) -> AnsweredEntry {
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
