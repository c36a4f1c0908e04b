//! DescribeConfigs 1 to 4: topics, this broker, groups and client metrics, with Kafka's names, types, sources and synonyms;
//! documentation where it is asked for, in words of our own; the levels of what the process logs, where it lets them be set.

use std::sync::Arc;

use super::room::Room;
use super::{BROKER, BROKER_LOGGER, CLIENT_METRICS, GROUP, TOPIC};
use crate::broker::broker::Broker;
use crate::broker::config::definition::{Definition, Source};
use crate::broker::config::group::{self, GROUP_CONFIGS};
use crate::broker::config::metrics::{self, METRICS_CONFIGS};
use crate::broker::config::server;
use crate::broker::config::topic::{Described, TOPIC_CONFIGS, describe};
use crate::broker::loggers::Level;
use crate::broker::topic::check_name;
use crate::broker::{ApiError, Context, Reply, ReplyTo};
use crate::wire::api::describe_configs::{
    DescribeConfigsResource, DescribeConfigsResourceResult, DescribeConfigsResult, DescribeConfigsSynonym,
    Request, Response,
};
use crate::wire::{ErrorCode, Str};

pub(in crate::broker) fn handle(broker: &Arc<Broker>, _cx: &Context, to: ReplyTo, request: Request) -> Reply {
    let mut room = Room::new();
    let results = request.resources.iter().map(|resource| {
        let configs = room.check().and_then(|()| match resource.resource_type {
            TOPIC => topic(broker, &request, resource),
            BROKER => broker_configs(broker, &request, resource),
            BROKER_LOGGER => loggers(broker, resource),
            CLIENT_METRICS => subscription(broker, &request, resource),
            GROUP => group_configs(broker, &request, resource),
            other => {
                let message = format!("Unsupported resource type: {other}");
                Err(ApiError::new(ErrorCode::INVALID_REQUEST, message))
            }
        });
        let configs =
            configs.and_then(|configs| room.take(configs.iter().map(bytes).sum()).map(|()| configs));
        let mut result = DescribeConfigsResult {
            resource_type: resource.resource_type,
            resource_name: resource.resource_name.clone(),
            // Kafka says nothing by an empty text here.
            error_message: Some(Str::default()),
            ..Default::default()
        };
        match configs {
            Ok(configs) => result.configs = configs,
            Err(error) => {
                result.error_code = error.code.0;
                result.error_message = Some(error.message.unwrap_or_default());
            }
        }
        result
    });
    to.now(Response { results: results.collect(), ..Default::default() })
}

/// What one takes up, about.
fn bytes(config: &DescribeConfigsResourceResult) -> usize {
    let text = |text: &Option<Str>| text.as_ref().map_or(0, |text| text.len());
    let synonyms = config.synonyms.iter();
    let synonyms = synonyms.map(|synonym| size_of::<DescribeConfigsSynonym>() + text(&synonym.value));
    size_of::<DescribeConfigsResourceResult>() + text(&config.value) + synonyms.sum::<usize>()
}

type Configs = Result<Vec<DescribeConfigsResourceResult>, ApiError>;

fn topic(broker: &Broker, request: &Request, resource: &DescribeConfigsResource) -> Configs {
    check_name(&resource.resource_name)
        .map_err(|problem| ApiError::new(ErrorCode::INVALID_TOPIC_EXCEPTION, problem))?;
    let topic =
        broker.catalogue.topic(&resource.resource_name).ok_or(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)?;
    let settings = topic.settings();
    let server = broker.catalogue.server_configs();
    Ok(TOPIC_CONFIGS
        .iter()
        .filter(|config| is_asked(resource, config.definition.name))
        .map(|config| {
            let described = describe(config, &settings.overrides, &server);
            // The broker's own topics are the broker's own business.
            let read_only = config.definition.is_read_only() || topic.is_internal();
            entry(request, &config.definition, described, read_only)
        })
        .collect())
}

fn broker_configs(broker: &Broker, request: &Request, resource: &DescribeConfigsResource) -> Configs {
    let name = &resource.resource_name;
    let configs = broker.catalogue.server_configs();
    let asked = server::shown(&configs).filter(|definition| is_asked(resource, definition.name));
    let whole = !name.is_empty();
    if whole {
        check_id(broker, name, " or empty string,")?;
    }
    let described = |definition: &'static Definition| {
        let mut synonyms = configs.layers(definition.name);
        if !whole {
            // The default of all brokers: only what was set for it exists.
            synonyms.retain(|(_, _, source)| *source == Source::DynamicDefaultBroker);
            synonyms.first()?;
        }
        let first = synonyms.first();
        let value = first.map(|(_, value, _)| value.clone());
        let source = first.map_or(Source::Default, |(_, _, source)| *source);
        let described = Described { value, source, synonyms };
        Some(entry(request, definition, described, definition.is_read_only()))
    };
    Ok(asked.filter_map(described).collect())
}

fn loggers(broker: &Broker, resource: &DescribeConfigsResource) -> Configs {
    if resource.resource_name.is_empty() {
        return Err(ApiError::new(ErrorCode::INVALID_REQUEST, "Broker id must not be empty"));
    }
    check_id(broker, &resource.resource_name, "")?;
    let levels = broker.loggers.levels().into_iter().filter(|(name, _)| is_asked(resource, name));
    let described = |(name, level): (String, Option<Level>)| DescribeConfigsResourceResult {
        name: Str::from(name),
        value: Some(Str::from_static(level.map_or("OFF", Level::name))),
        config_source: Source::DynamicLogger as i8,
        documentation: Some(Str::default()),
        ..Default::default()
    };
    Ok(levels.map(described).collect())
}

/// Whether this names us; `or` is what else might have stood there.
fn check_id(broker: &Broker, name: &str, or: &str) -> Result<(), ApiError> {
    let message = match name.parse::<i32>() {
        Ok(id) if id == broker.node_id => return Ok(()),
        Ok(_) => format!("Unexpected broker id, expected {}{or} but received {name}", broker.node_id),
        Err(_) => format!("Broker id must be an integer, but it is: {name}"),
    };
    Err(ApiError::new(ErrorCode::INVALID_REQUEST, message))
}

fn subscription(broker: &Broker, request: &Request, resource: &DescribeConfigsResource) -> Configs {
    if resource.resource_name.is_empty() {
        let message = "Client metrics subscription name must not be empty";
        return Err(ApiError::new(ErrorCode::INVALID_REQUEST, message));
    }
    let values = broker.client_metrics.of(&resource.resource_name);
    let asked = METRICS_CONFIGS.iter().filter(|definition| is_asked(resource, definition.name));
    let described = |definition| entry(request, definition, metrics::describe(definition, &values), false);
    Ok(asked.map(described).collect())
}

fn group_configs(broker: &Broker, request: &Request, resource: &DescribeConfigsResource) -> Configs {
    if resource.resource_name.is_empty() {
        return Err(ApiError::new(ErrorCode::INVALID_REQUEST, "Group name must not be empty"));
    }
    let values = broker.group_configs.of(&resource.resource_name);
    let server = broker.catalogue.server_configs();
    let asked = GROUP_CONFIGS.iter().filter(|config| is_asked(resource, config.definition.name));
    Ok(asked
        .map(|config| entry(request, &config.definition, group::describe(config, &values, &server), false))
        .collect())
}

/// No keys, or an empty list of them, are all keys.
fn is_asked(resource: &DescribeConfigsResource, name: &str) -> bool {
    resource
        .configuration_keys
        .as_ref()
        .is_none_or(|keys| keys.is_empty() || keys.iter().any(|key| **key == *name))
}

fn entry(
    request: &Request,
    definition: &Definition,
    described: Described,
    read_only: bool,
) -> DescribeConfigsResourceResult {
    let synonyms = described.synonyms.into_iter().filter(|_| request.include_synonyms);
    let shown = |value| Some(Str::from(value)).filter(|_| !definition.is_sensitive());
    DescribeConfigsResourceResult {
        name: Str::from_static(definition.name),
        value: described.value.and_then(shown),
        read_only,
        config_source: described.source as i8,
        is_sensitive: definition.is_sensitive(),
        synonyms: synonyms
            .map(|(name, value, source)| DescribeConfigsSynonym {
                name: Str::from_static(name),
                value: shown(value),
                source: source as i8,
                ..Default::default()
            })
            .collect(),
        config_type: definition.kind as i8,
        documentation: request.include_documentation.then(|| Str::from_static(definition.documentation)),
        ..Default::default()
    }
}
