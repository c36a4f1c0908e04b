//! DescribeClientQuotas 0 to 1 (KIP-546).

use std::collections::HashMap;
use std::sync::Arc;

use crate::broker::broker::Broker;
use crate::broker::quota::entity::{self as types, Entity as Named};
use crate::broker::{ApiError, Context, Reply, ReplyTo};
use crate::wire::api::describe_client_quotas::{Component, Entity, Entry, Request, Response, Value};
use crate::wire::{ErrorCode, Str};

const EXACT: i8 = 0;
const DEFAULT: i8 = 1;
const ANY: i8 = 2;

pub(in crate::broker) fn handle(broker: &Arc<Broker>, _cx: &Context, to: ReplyTo, request: Request) -> Reply {
    to.now(match filter(&request.components) {
        Ok(filter) => {
            let quotas = broker.quotas.all();
            let wanted = quotas.iter().filter(|(entity, _)| matches(entity, &filter, request.strict));
            let entry = |(entity, values): (&Named, &std::collections::BTreeMap<String, f64>)| Entry {
                entity: entity.iter().map(named).collect(),
                values: values
                    .iter()
                    .map(|(key, value)| Value {
                        key: Str::from(key.as_str()),
                        value: *value,
                        ..Default::default()
                    })
                    .collect(),
                ..Default::default()
            };
            // Kafka says nothing by an empty text here.
            Response { entries: Some(wanted.map(entry).collect()), ..Default::default() }
        }
        Err(error) => Response {
            error_code: error.code.0,
            error_message: error.message,
            entries: None,
            ..Default::default()
        },
    })
}

fn named((kind, name): (&str, Option<&str>)) -> Entity {
    Entity { entity_type: Str::from(kind), entity_name: name.map(Str::from), ..Default::default() }
}

/// What is asked of a type's name.
enum Wanted<'a> {
    /// This one, or the default.
    Is(Option<&'a str>),
    /// Any there is.
    Any,
}

fn filter(components: &[Component]) -> Result<HashMap<&str, Wanted<'_>>, ApiError> {
    let mut filter = HashMap::new();
    for component in components {
        let kind = component.entity_type.as_str();
        if kind.is_empty() {
            return invalid("Invalid empty entity type.");
        }
        if filter.contains_key(kind) {
            return invalid(format!("Entity type {kind} cannot appear more than once in the filter."));
        }
        if ![types::USER, types::CLIENT_ID, types::IP].contains(&kind) {
            let message = format!("Custom entity type {kind} not supported");
            return Err(ApiError::new(ErrorCode::UNSUPPORTED_VERSION, message));
        }
        let wanted = match (component.match_type, &component.matched) {
            (EXACT, None) => {
                return invalid("Request specified MATCH_TYPE_EXACT, but set match string to null.");
            }
            (EXACT, Some(name)) => Wanted::Is(Some(name.as_str())),
            (DEFAULT, Some(_)) => {
                return invalid("Request specified MATCH_TYPE_DEFAULT, but also specified a match string.");
            }
            (DEFAULT, None) => Wanted::Is(None),
            (ANY, Some(_)) => {
                return invalid("Request specified MATCH_TYPE_SPECIFIED, but also specified a match string.");
            }
            (ANY, None) => Wanted::Any,
            (other, _) => return invalid(format!("Unknown match type {other}")),
        };
        filter.insert(kind, wanted);
    }
    if filter.contains_key(types::IP) && filter.len() > 1 {
        return invalid(
            "Invalid entity filter component combination. IP filter component should not be used with user or clientId \
             filter component.",
        );
    }
    Ok(filter)
}

fn matches(entity: &Named, filter: &HashMap<&str, Wanted<'_>>, strict: bool) -> bool {
    if strict && entity.types() != filter.len() {
        return false;
    }
    filter.iter().all(|(kind, wanted)| match (entity.name(kind), wanted) {
        (None, _) => false,
        (Some(_), Wanted::Any) => true,
        (Some(name), Wanted::Is(other)) => name == *other,
    })
}

fn invalid<T>(message: impl Into<String>) -> Result<T, ApiError> {
    Err(ApiError::new(ErrorCode::INVALID_REQUEST, message))
}
