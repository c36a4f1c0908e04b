//! DescribeConfigs 1 to 4: topics and this broker, with Kafka's names, types, sources and synonyms. Loggers, client
//! metrics and groups have no configs here.

use std::sync::Arc;

use super::{BROKER, TOPIC};
use crate::broker::broker::Broker;
use crate::broker::config::definition::{Definition, Source};
use crate::broker::config::server::SERVER_CONFIGS;
use crate::broker::config::topic::{Described, TOPIC_CONFIGS, describe};
use crate::broker::topic::check_name;
use crate::broker::{ApiError, Context, Reply, ReplyTo};
use crate::wire::api::describe_configs::{
    DescribeConfigsResource, DescribeConfigsResourceResult, DescribeConfigsResult, DescribeConfigsSynonym,
    Request, Response,
};
use crate::wire::{ErrorCode, Str};

pub(in crate::broker) fn handle(broker: &Arc<Broker>, _cx: &Context, to: ReplyTo, request: Request) -> Reply {
    let results = request.resources.iter().map(|resource| {
        let configs = match resource.resource_type {
            TOPIC => topic(broker, &request, resource),
            BROKER => server(broker, &request, resource),
            other => {
                let message = format!("Unsupported resource type: {other}");
                Err(ApiError::new(ErrorCode::INVALID_REQUEST, message))
            }
        };
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

fn server(broker: &Broker, request: &Request, resource: &DescribeConfigsResource) -> Configs {
    let name = &resource.resource_name;
    let server = broker.catalogue.server_configs();
    let asked = SERVER_CONFIGS.iter().filter(|definition| is_asked(resource, definition.name));
    // No name is the default of all brokers: only what was set for it exists.
    if name.is_empty() {
        return Ok(asked
            .filter_map(|definition| {
                let value = server.dynamic_default.get(definition.name)?.clone();
                let source = Source::DynamicDefaultBroker;
                let synonyms = vec![(definition.name, value.clone(), source)];
                let described = Described { value: Some(value), source, synonyms };
                Some(entry(request, definition, described, definition.is_read_only()))
            })
            .collect());
    }
    if name.parse() != Ok(broker.node_id) {
        let message =
            format!("Unexpected broker id, expected {} or empty string, but received {name}", broker.node_id);
        return Err(ApiError::new(ErrorCode::INVALID_REQUEST, message));
    }
    Ok(asked
        .map(|definition| {
            let layers = server.layers(definition.name);
            let described = Described {
                value: layers.first().map(|(value, _)| value.clone()),
                source: layers.first().map_or(Source::Default, |(_, source)| *source),
                synonyms: layers
                    .into_iter()
                    .map(|(value, source)| (definition.name, value, source))
                    .collect(),
            };
            entry(request, definition, described, definition.is_read_only())
        })
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
    DescribeConfigsResourceResult {
        name: Str::from_static(definition.name),
        value: described.value.map(Str::from),
        read_only,
        config_source: described.source as i8,
        is_sensitive: false,
        synonyms: synonyms
            .map(|(name, value, source)| DescribeConfigsSynonym {
                name: Str::from_static(name),
                value: Some(Str::from(value)),
                source: source as i8,
                ..Default::default()
            })
            .collect(),
        config_type: definition.kind as i8,
        documentation: request.include_documentation.then(|| Str::from_static(definition.documentation)),
        ..Default::default()
    }
}
