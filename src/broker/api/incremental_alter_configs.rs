//! IncrementalAlterConfigs 0 to 1 (KIP-339): of topics, this broker, the default of all brokers, its loggers, client metrics
//! and groups. What is altered is in force, and durable (loggers are not), when the answer leaves.

use std::sync::Arc;

use super::change;
use super::config_changes::{Change, Op, carry_out};
use crate::broker::broker::Broker;
use crate::broker::{Context, Reply, ReplyTo};
use crate::wire::api::incremental_alter_configs::{
    AlterConfigsResource, AlterConfigsResourceResponse, Request, Response,
};

pub(in crate::broker) fn handle(broker: &Arc<Broker>, _cx: &Context, to: ReplyTo, request: Request) -> Reply {
    let broker = Arc::clone(broker);
    change(to, request, move |request| {
        let changes: Vec<Change> = request.resources.into_iter().map(asked).collect();
        let outcomes = carry_out(&broker, &changes, request.validate_only);
        let responses = changes.into_iter().zip(outcomes).map(|(change, outcome)| {
            let error = outcome.err();
            AlterConfigsResourceResponse {
                resource_type: change.kind,
                resource_name: change.name,
                error_code: error.as_ref().map_or(0, |error| error.code.0),
                error_message: error.and_then(|error| error.message),
                ..Default::default()
            }
        });
        Response { responses: responses.collect(), ..Default::default() }
    })
}

fn asked(resource: AlterConfigsResource) -> Change {
    let op = |config: crate::wire::api::incremental_alter_configs::AlterableConfig| Op {
        name: config.name,
        operation: config.config_operation,
        value: config.value,
    };
    Change {
        kind: resource.resource_type,
        name: resource.resource_name,
        ops: resource.configs.into_iter().map(op).collect(),
        replaces: false,
    }
}
