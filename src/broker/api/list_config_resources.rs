//! ListConfigResources 0 to 1: what has configs or may have. 0 (as ListClientMetricsResources, KIP-714): client metrics.

use std::sync::Arc;

use super::{BROKER, BROKER_LOGGER, CLIENT_METRICS, GROUP, TOPIC};
use crate::broker::broker::Broker;
use crate::broker::{Context, Reply, ReplyTo};
use crate::wire::api::list_config_resources::{ConfigResource, Request, Response};
use crate::wire::{ErrorCode, Str};

/// Which are listed when none is asked for, in Kafka's order.
const ALL: &[i8] = &[GROUP, CLIENT_METRICS, BROKER_LOGGER, BROKER, TOPIC];

pub(in crate::broker) fn handle(broker: &Arc<Broker>, _cx: &Context, to: ReplyTo, request: Request) -> Reply {
    let asked = &request.resource_types;
    if asked.iter().any(|kind| !ALL.contains(kind)) {
        return to.now(Response { error_code: ErrorCode::UNSUPPORTED_VERSION.0, ..Default::default() });
    }
    let wanted = |kind: &&i8| match to.version {
        0 => **kind == CLIENT_METRICS,
        _ => asked.is_empty() || asked.contains(kind),
    };
    let config_resources = ALL.iter().filter(wanted).flat_map(|kind| {
        let named =
            |resource_name| ConfigResource { resource_name, resource_type: *kind, ..Default::default() };
        names(broker, *kind).into_iter().map(named)
    });
    to.now(Response { config_resources: config_resources.collect(), ..Default::default() })
}

fn names(broker: &Broker, kind: i8) -> Vec<Str> {
    match kind {
        GROUP => broker.group_configs.names().into_iter().map(Str::from).collect(),
        CLIENT_METRICS => broker.client_metrics.names().into_iter().map(Str::from).collect(),
        TOPIC => {
            let mut names: Vec<Str> =
                broker.catalogue.topics().iter().map(|topic| topic.name().clone()).collect();
            names.sort_unstable_by(|a, b| a.as_str().cmp(b.as_str()));
            names
        }
        _ => vec![Str::from(broker.node_id.to_string())],
    }
}
