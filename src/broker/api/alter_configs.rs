//! AlterConfigs 0 to 2, which IncrementalAlterConfigs superseded: what a resource has is replaced by what is named. Of topics,
//! this broker, the default of all brokers, client metrics and groups; loggers are not altered this way.

use std::sync::Arc;

use super::change;
use super::config_changes::{Change, Op, SET, carry_out};
use crate::broker::broker::Broker;
use crate::broker::{Context, Reply, ReplyTo};
use crate::wire::api::alter_configs::{
    AlterConfigsResource, AlterConfigsResourceResponse, AlterableConfig, Request, Response,
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
    let op = |config: AlterableConfig| Op { name: config.name, operation: SET, value: config.value };
    Change {
        kind: resource.resource_type,
        name: resource.resource_name,
        ops: resource.configs.into_iter().map(op).collect(),
        replaces: true,
    }
}
