//! DescribeCluster 0 to 2. A broker's listener: whoever wants controllers is told so. There are no fenced brokers to include.

use std::sync::Arc;

use super::{CLUSTER_OPERATIONS, NOT_ASKED};
use crate::broker::broker::Broker;
use crate::broker::{Context, Reply, ReplyTo};
use crate::wire::api::describe_cluster::{DescribeClusterBroker, Request, Response};
use crate::wire::{ErrorCode, Str};

const BROKERS: i8 = 1;
const CONTROLLERS: i8 = 2;

pub(in crate::broker) fn handle(broker: &Arc<Broker>, cx: &Context, to: ReplyTo, request: Request) -> Reply {
    let refused = match request.endpoint_type {
        BROKERS => None,
        CONTROLLERS => Some((
            ErrorCode::MISMATCHED_ENDPOINT_TYPE,
            "The request was sent to an endpoint of type BROKER, but we wanted an endpoint of type CONTROLLER"
                .to_owned(),
        )),
        other => Some((ErrorCode::UNSUPPORTED_ENDPOINT_TYPE, format!("Unsupported endpoint type {other}"))),
    };
    if let Some((code, message)) = refused {
        return to.now(Response {
            error_code: code.0,
            error_message: Some(Str::from(message)),
            ..Default::default()
        });
    }
    to.now(Response {
        cluster_id: broker.catalogue.cluster_id().clone(),
        controller_id: broker.node_id,
        brokers: vec![DescribeClusterBroker {
            broker_id: broker.node_id,
            host: cx.advertised_host.clone(),
            port: cx.advertised_port,
            ..Default::default()
        }],
        cluster_authorized_operations: match request.include_cluster_authorized_operations {
            true => CLUSTER_OPERATIONS,
            false => NOT_ASKED,
        },
        ..Default::default()
    })
}
