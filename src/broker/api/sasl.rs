//! SaslHandshake 0 to 1, SaslAuthenticate 0 to 2. Logging in is over when a request comes this far: what Kafka says on a
//! connection that needs, or has, no login.

use std::sync::Arc;

use crate::broker::broker::Broker;
use crate::broker::{Context, Reply, ReplyTo};
use crate::wire::api::{sasl_authenticate, sasl_handshake};
use crate::wire::{ErrorCode, Str};

pub(in crate::broker) fn handshake(
    _broker: &Arc<Broker>,
    _cx: &Context,
    to: ReplyTo,
    _request: sasl_handshake::Request,
) -> Reply {
    to.now(sasl_handshake::Response { error_code: ErrorCode::ILLEGAL_SASL_STATE.0, ..Default::default() })
}

pub(in crate::broker) fn authenticate(
    _broker: &Arc<Broker>,
    _cx: &Context,
    to: ReplyTo,
    _request: sasl_authenticate::Request,
) -> Reply {
    const MESSAGE: Str =
        Str::from_static("SaslAuthenticate request received after successful authentication");
    to.now(sasl_authenticate::Response {
        error_code: ErrorCode::ILLEGAL_SASL_STATE.0,
        error_message: Some(MESSAGE),
        ..Default::default()
    })
}
