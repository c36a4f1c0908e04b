//! What AlterConfigs and IncrementalAlterConfigs do to a resource: the one names all of its configs, the other some. Kinds of
//! resources: topics, this broker, the default of all brokers, its loggers, client metrics, groups.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::{BROKER, BROKER_LOGGER, CLIENT_METRICS, GROUP, TOPIC, too_many};
use crate::broker::broker::Broker;
use crate::broker::catalogue::ServerLayer;
use crate::broker::config::definition::{Definition, Kind, Mode, list_items};
use crate::broker::config::{group, metrics, server, topic};
use crate::broker::loggers::{Level, ROOT};
use crate::broker::{ApiError, resources::Resources};
use crate::wire::{ErrorCode, Str};

pub(super) const SET: i8 = 0;
pub(super) const DELETE: i8 = 1;
const APPEND: i8 = 2;
const SUBTRACT: i8 = 3;

const MIN_INSYNC_REPLICAS: &str = "min.insync.replicas";

/// One resource and what is to become of its configs.
pub(super) struct Change {
    pub kind: i8,
    pub name: Str,
    pub ops: Vec<Op>,
    /// What is not named goes.
    pub replaces: bool,
}

pub(super) struct Op {
    pub name: Str,
    pub operation: i8,
    pub value: Option<Str>,
}

type Values = BTreeMap<String, String>;

/// One outcome for each change, in their order.
pub(super) fn carry_out(
    broker: &Broker,
    changes: &[Change],
    validate_only: bool,
) -> Vec<Result<(), ApiError>> {
    let mut times_named: HashMap<(i8, &Str), u32> = HashMap::new();
    for change in changes {
        *times_named.entry((change.kind, &change.name)).or_default() += 1;
    }
    let too_many = too_many(changes.iter().map(|change| change.ops.len()));
    let outcome = |change: &Change| match times_named.get(&(change.kind, &change.name)) > Some(&1) {
        true => invalid("Each resource must appear at most once."),
        false => too_many.clone().and_then(|()| alter(broker, change, validate_only)),
    };
    changes.iter().map(outcome).collect()
}

fn alter(broker: &Broker, change: &Change, validate_only: bool) -> Result<(), ApiError> {
    let mut keys = HashSet::new();
    if !change.ops.iter().all(|op| keys.insert(&op.name)) {
        return invalid("Error due to duplicate config keys");
    }
    let nulls: Vec<&str> = change
        .ops
        .iter()
        .filter(|op| op.operation != DELETE && op.value.is_none())
        .map(|op| op.name.as_str())
        .collect();
    if !nulls.is_empty() {
        return invalid(format!("Null value not supported for : {}", nulls.join(", ")));
    }
    match change.kind {
        TOPIC => alter_topic(broker, change, validate_only),
        BROKER => alter_server(broker, change, validate_only),
        // Whoever names all of them knows none of these.
        BROKER_LOGGER if !change.replaces => alter_loggers(broker, change, validate_only),
        CLIENT_METRICS => {
            if change.name.is_empty() {
                return invalid("Subscription name can't be empty");
            }
            alter_resource(broker, &broker.client_metrics, change, validate_only, metrics::check)
        }
        GROUP => {
            if change.name.is_empty() {
                return invalid("Default group resources are not allowed.");
            }
            let server = broker.catalogue.server_configs();
            alter_resource(broker, &broker.group_configs, change, validate_only, |values| {
                group::check(values, &server)
                    .map_err(|problem| ApiError::new(ErrorCode::INVALID_CONFIG, problem))
            })
        }
        other => invalid(format!("Unknown resource type {other}")),
    }
}

fn alter_topic(broker: &Broker, change: &Change, validate_only: bool) -> Result<(), ApiError> {
    let name = &change.name;
    if name.is_empty() {
        return invalid("Default topic resources are not allowed.");
    }
    let Some(topic) = broker.catalogue.topic(name) else {
        let message = format!("The topic '{name}' does not exist.");
        return Err(ApiError::new(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, message));
    };
    if topic.is_internal() {
        let message = format!("The topic '{name}' belongs to the broker.");
        return Err(ApiError::new(ErrorCode::INVALID_CONFIG, message));
    }
    let apply = |overrides: &mut Values| {
        change.apply(overrides, |name| topic::definition(name).map(|config| &config.definition))?;
        change.set_in(overrides).try_for_each(|(name, value)| {
            topic::check(name, value).map_err(|problem| ApiError::new(ErrorCode::INVALID_CONFIG, problem))
        })
    };
    match validate_only {
        true => apply(&mut topic.settings().overrides.clone()),
        false => broker.catalogue.alter_topic(&topic, apply),
    }
}

fn alter_server(broker: &Broker, change: &Change, validate_only: bool) -> Result<(), ApiError> {
    let name = &change.name;
    let layer = match name.parse::<i32>() {
        _ if name.is_empty() => ServerLayer::AllBrokers,
        Ok(id) if id == broker.node_id => ServerLayer::ThisBroker,
        Ok(_) => {
            let expected = broker.node_id;
            return invalid(format!("Unexpected broker id, expected {expected}, but received {name}"));
        }
        Err(_) => return invalid(format!("Node id must be an integer, but it is: {name}")),
    };
    let is_dynamic = |op: &&Op| {
        let mode = server::definition(&op.name).map(|definition| definition.mode);
        op.operation == DELETE || matches!(mode, Some(Mode::Dynamic | Mode::Inert))
    };
    let fixed: Vec<&str> =
        change.ops.iter().filter(|op| !is_dynamic(op)).map(|op| op.name.as_str()).collect();
    if !fixed.is_empty() {
        return invalid(format!("Cannot update these configs dynamically: [{}]", fixed.join(", ")));
    }
    let listed = |op: &&Op| {
        let kind = server::definition(&op.name).map(|definition| definition.kind);
        !matches!(op.operation, APPEND | SUBTRACT) || kind == Some(Kind::List)
    };
    if let Some(op) = change.ops.iter().find(|op| !listed(op)) {
        let word = if op.operation == APPEND { "append" } else { "subtract" };
        let message = format!("Config value {word} is not allowed for config key: {}", op.name);
        return Err(ApiError::new(ErrorCode::INVALID_CONFIG, message));
    }
    // Kafka's eligible leader replicas (KIP-966) want one count for the whole cluster.
    let one_count = |problem: &str| {
        let message = format!("{problem} while ELR is enabled.");
        Err(ApiError::new(ErrorCode::INVALID_CONFIG, message))
    };
    if layer == ServerLayer::ThisBroker && change.ops.iter().any(|op| op.name == MIN_INSYNC_REPLICAS) {
        return one_count("Broker-level min.insync.replicas cannot be altered");
    }
    let configs = broker.catalogue.server_configs();
    let apply = |values: &mut Values| {
        change.apply(values, server::definition)?;
        for (name, value) in change.set_in(values) {
            if let Some(definition) = server::definition(name) {
                definition
                    .check(value)
                    .and_then(|()| server::check_threads(&configs, name, value))
                    .map_err(|problem| ApiError::new(ErrorCode::INVALID_REQUEST, problem))?;
            }
        }
        if layer == ServerLayer::AllBrokers && !values.contains_key(MIN_INSYNC_REPLICAS) {
            return one_count("Cluster-level min.insync.replicas cannot be removed");
        }
        Ok(())
    };
    if validate_only {
        return apply(&mut match layer {
            ServerLayer::ThisBroker => configs.dynamic.clone(),
            ServerLayer::AllBrokers => configs.dynamic_default.clone(),
        });
    }
    broker.catalogue.alter_server(layer, apply)
}

fn alter_resource(
    broker: &Broker,
    resources: &Resources,
    change: &Change,
    validate_only: bool,
    check: impl FnOnce(&Values) -> Result<(), ApiError>,
) -> Result<(), ApiError> {
    let apply = |values: &mut Values| {
        // Kafka's controller does not know which of these are lists, and takes none of them for one.
        change.apply(values, |_| None)?;
        check(values)
    };
    match validate_only {
        true => apply(&mut (*resources.of(&change.name)).clone()),
        false => resources.alter(&broker.catalogue, &change.name, apply),
    }
}

/// All of them or none; not kept over a restart, as in Kafka.
fn alter_loggers(broker: &Broker, change: &Change, validate_only: bool) -> Result<(), ApiError> {
    let name = &change.name;
    match name.parse::<i32>() {
        Ok(id) if id == broker.node_id => {}
        Ok(_) => {
            return invalid(format!("Unexpected node id. Expected {}, but received {name}", broker.node_id));
        }
        Err(_) => return invalid(format!("Node id must be an integer, but it is: {name}")),
    }
    let known = broker.loggers.levels();
    let is_there = |name: &Str| match known.iter().any(|(known, _)| name == known.as_str()) {
        true => Ok(()),
        false => {
            let message = format!("Logger {name} does not exist!");
            Err(ApiError::new(ErrorCode::INVALID_CONFIG, message))
        }
    };
    let mut wanted = Vec::with_capacity(change.ops.len());
    for op in &change.ops {
        match op.operation {
            SET => {
                is_there(&op.name)?;
                let value = op.value.as_ref().map_or("", Str::as_str);
                let Some(level) = Level::parse(value) else {
                    let levels = Level::ALL.map(Level::name).join(", ");
                    let message = format!(
                        "Cannot set the log level of {} to {value} as it is not a supported log level. Valid log levels are {levels}",
                        op.name
                    );
                    return Err(ApiError::new(ErrorCode::INVALID_CONFIG, message));
                };
                wanted.push((&op.name, Some(level)));
            }
            DELETE => {
                is_there(&op.name)?;
                if op.name == ROOT {
                    return invalid("Removing the log level of the root logger is not allowed");
                }
                wanted.push((&op.name, None));
            }
            APPEND => return invalid("APPEND operation is not allowed for the BROKER_LOGGER resource"),
            SUBTRACT => return invalid("SUBTRACT operation is not allowed for the BROKER_LOGGER resource"),
            other => {
                return invalid(format!(
                    "Unknown operation type {other} is not allowed for the BROKER_LOGGER resource"
                ));
            }
        }
    }
    if !validate_only {
        wanted.into_iter().for_each(|(name, level)| broker.loggers.set(name, level));
    }
    Ok(())
}

impl Change {
    /// Does the operations. Whether the values are valid is for the caller to see.
    fn apply(
        &self,
        values: &mut Values,
        definition: impl Fn(&str) -> Option<&'static Definition>,
    ) -> Result<(), ApiError> {
        if self.replaces {
            values.clear();
        }
        self.ops.iter().try_for_each(|op| op.apply(values, definition(&op.name)))
    }

    /// Those of the values that this change has set.
    fn set_in<'a>(&'a self, values: &'a Values) -> impl Iterator<Item = (&'a str, &'a str)> {
        let set = |op: &'a Op| Some((op.name.as_str(), values.get(op.name.as_str())?.as_str()));
        self.ops.iter().filter_map(set)
    }
}

impl Op {
    fn apply(&self, values: &mut Values, definition: Option<&Definition>) -> Result<(), ApiError> {
        let name = self.name.as_str();
        let value = self.value.as_ref().map_or("", Str::as_str);
        match self.operation {
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
}

fn invalid<T>(message: impl Into<String>) -> Result<T, ApiError> {
    Err(ApiError::new(ErrorCode::INVALID_REQUEST, message))
}
