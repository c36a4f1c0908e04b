//! IncrementalAlterConfigs 0 to 1: topics, this broker, and the default of all brokers. What is altered is in force, and
//! durable, when the answer leaves.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use super::{BROKER, TOPIC, change};
use crate::broker::broker::Broker;
use crate::broker::catalogue::ServerLayer;
use crate::broker::config::definition::{Definition, Kind, Mode, list_items};
use crate::broker::config::{server, topic};
use crate::broker::{ApiError, Context, Reply, ReplyTo};
use crate::wire::api::incremental_alter_configs::{
    AlterConfigsResource, AlterConfigsResourceResponse, AlterableConfig, Request, Response,
};
use crate::wire::{ErrorCode, Str};

const SET: i8 = 0;
const DELETE: i8 = 1;
const APPEND: i8 = 2;
const SUBTRACT: i8 = 3;

pub(in crate::broker) fn handle(broker: &Arc<Broker>, _cx: &Context, to: ReplyTo, request: Request) -> Reply {
    let broker = Arc::clone(broker);
    change(to, request, move |request| Response { responses: alter(&broker, request), ..Default::default() })
}

fn alter(broker: &Broker, request: Request) -> Vec<AlterConfigsResourceResponse> {
    let mut times_named: HashMap<(i8, &Str), u32> = HashMap::new();
    for resource in &request.resources {
        *times_named.entry((resource.resource_type, &resource.resource_name)).or_default() += 1;
    }
    request
        .resources
        .iter()
        .map(|resource| {
            let key = (resource.resource_type, &resource.resource_name);
            let outcome = match times_named.get(&key) > Some(&1) {
                true => invalid("Each resource must appear at most once.".to_owned()),
                false => alter_one(broker, resource, request.validate_only),
            };
            let mut response = AlterConfigsResourceResponse {
                resource_type: resource.resource_type,
                resource_name: resource.resource_name.clone(),
                ..Default::default()
            };
            if let Err(error) = outcome {
                response.error_code = error.code.0;
                response.error_message = error.message;
            }
            response
        })
        .collect()
}

fn alter_one(broker: &Broker, resource: &AlterConfigsResource, validate_only: bool) -> Result<(), ApiError> {
    let name = &resource.resource_name;
    match resource.resource_type {
        TOPIC | BROKER => {}
        other => return invalid(format!("Unknown resource type {other}")),
    }
    let mut keys = HashSet::new();
    if !resource.configs.iter().all(|config| keys.insert(&config.name)) {
        return invalid("Error due to duplicate config keys".to_owned());
    }
    let nulls: Vec<&str> = resource
        .configs
        .iter()
        .filter(|config| config.config_operation != DELETE && config.value.is_none())
        .map(|config| config.name.as_str())
        .collect();
    if !nulls.is_empty() {
        return invalid(format!("Null value not supported for : {}", nulls.join(",")));
    }
    if resource.resource_type == BROKER {
        return alter_server(broker, resource, validate_only);
    }
    let Some(topic) = broker.catalogue.topic(name) else {
        let message = format!("The topic '{name}' does not exist.");
        return Err(ApiError::new(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, message));
    };
    if topic.is_internal() {
        let message = format!("The topic '{name}' belongs to the broker.");
        return Err(ApiError::new(ErrorCode::INVALID_CONFIG, message));
    }
    let apply = |overrides: &mut BTreeMap<String, String>| {
        resource.configs.iter().try_for_each(|config| {
            let definition = topic::definition(&config.name).map(|config| &config.definition);
            alter_value(overrides, config, definition)?;
            match overrides.get(config.name.as_str()) {
                Some(value) => topic::check(&config.name, value)
                    .map_err(|problem| ApiError::new(ErrorCode::INVALID_CONFIG, problem)),
                None => Ok(()),
            }
        })
    };
    match validate_only {
        true => apply(&mut topic.settings().overrides.clone()),
        false => broker.catalogue.alter_topic(&topic, apply),
    }
}

fn alter_server(
    broker: &Broker,
    resource: &AlterConfigsResource,
    validate_only: bool,
) -> Result<(), ApiError> {
    let name = &resource.resource_name;
    let layer = if name.is_empty() {
        ServerLayer::AllBrokers
    } else if name.parse() == Ok(broker.node_id) {
        ServerLayer::ThisBroker
    } else {
        return invalid(format!("Unexpected broker id, expected {}, but received {name}", broker.node_id));
    };
    let is_dynamic = |config: &&AlterableConfig| {
        server::definition(&config.name).is_some_and(|definition| definition.mode == Mode::Dynamic)
    };
    let fixed: Vec<&str> = resource
        .configs
        .iter()
        .filter(|config| !is_dynamic(config))
        .map(|config| config.name.as_str())
        .collect();
    if !fixed.is_empty() {
        return invalid(format!("Cannot update these configs dynamically: [{}]", fixed.join(", ")));
    }
    let apply = |values: &mut BTreeMap<String, String>| {
        resource.configs.iter().try_for_each(|config| {
            let definition = server::definition(&config.name);
            alter_value(values, config, definition)?;
            match (definition, values.get(config.name.as_str())) {
                (Some(definition), Some(value)) => definition
                    .check(value)
                    .map_err(|problem| ApiError::new(ErrorCode::INVALID_CONFIG, problem)),
                _ => Ok(()),
            }
        })
    };
    if validate_only {
        let configs = broker.catalogue.server_configs();
        return apply(&mut match layer {
            ServerLayer::ThisBroker => configs.dynamic.clone(),
            ServerLayer::AllBrokers => configs.dynamic_default.clone(),
        });
    }
    broker.catalogue.alter_server(layer, apply)
}

/// One operation on one setting. Whether the value is valid is for the caller to see.
fn alter_value(
    values: &mut BTreeMap<String, String>,
    config: &AlterableConfig,
    definition: Option<&Definition>,
) -> Result<(), ApiError> {
    let name = config.name.as_str();
    let value = config.value.as_ref().map_or("", Str::as_str);
    match config.config_operation {
        SET => {
            values.insert(name.to_owned(), value.to_owned());
        }
        DELETE => {
            values.remove(name);
        }
        operation @ (APPEND | SUBTRACT) => {
            if definition.is_none_or(|definition| definition.kind != Kind::List) {
                let word = if operation == APPEND { "APPEND" } else { "SUBTRACT" };
                let message = format!("Can't {word} to key {name} because its type is not LIST.");
                return Err(ApiError::new(ErrorCode::INVALID_CONFIG, message));
            }
            let default = definition.and_then(|definition| definition.default).unwrap_or_default();
            let before = values.get(name).map_or(default, String::as_str);
            let mut items: Vec<&str> = list_items(before).collect();
            for item in list_items(value) {
                match operation {
                    APPEND if !items.contains(&item) => items.push(item),
                    APPEND => {}
                    _ => items.retain(|kept| *kept != item),
                }
            }
            let after = items.join(",");
            values.insert(name.to_owned(), after);
        }
        other => return invalid(format!("Unknown operation type {other}")),
    }
    Ok(())
}

fn invalid<T>(message: String) -> Result<T, ApiError> {
    Err(ApiError::new(ErrorCode::INVALID_REQUEST, message))
}
