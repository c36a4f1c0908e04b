//! UnregisterBroker 0 and UnregisterController 0. Nobody but this node is registered. Kafka forgets a broker that runs and
//! then names none to its clients; the last node of a cluster is not forgotten here.

use std::sync::Arc;

use crate::broker::broker::Broker;
use crate::broker::{Context, Reply, ReplyTo};
use crate::wire::api::{unregister_broker, unregister_controller};
use crate::wire::{ErrorCode, Str};

pub(in crate::broker) fn handle(
    broker: &Arc<Broker>,
    _cx: &Context,
    to: ReplyTo,
    request: unregister_broker::Request,
) -> Reply {
    let id = request.broker_id;
    let (code, message) = match id == broker.node_id {
        true => (
            ErrorCode::INVALID_REQUEST,
            format!("Broker {id} is the only node of this cluster and cannot be unregistered."),
        ),
        false => (ErrorCode::BROKER_ID_NOT_REGISTERED, format!("Broker ID {id} is not currently registered")),
    };
    to.now(unregister_broker::Response {
        error_code: code.0,
        error_message: Some(Str::from(message)),
        ..Default::default()
    })
}

pub(in crate::broker) fn controller(
    broker: &Arc<Broker>,
    _cx: &Context,
    to: ReplyTo,
    request: unregister_controller::Request,
) -> Reply {
    let id = request.controller_id;
    let (code, message) = match id == broker.node_id {
        true => {
            (ErrorCode::INVALID_REQUEST, "Controller cannot unregister itself while it is active.".to_owned())
        }
        false => (
            ErrorCode::CONTROLLER_ID_NOT_REGISTERED,
            format!("Controller ID {id} is not currently registered."),
        ),
    };
    to.now(unregister_controller::Response {
        error_code: code.0,
        error_message: Some(Str::from(message)),
        ..Default::default()
    })
}
