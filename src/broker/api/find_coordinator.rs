//! FindCoordinator 0 to 6. This node coordinates every group. Transactions and share groups are not served.

use std::sync::Arc;

use crate::broker::group::Groups;
use crate::broker::{Context, Reply, ReplyTo};
use crate::wire::api::find_coordinator::{Coordinator, Request, Response};
use crate::wire::{ErrorCode, Str};

const GROUP: i8 = 0;
const TRANSACTION: i8 = 1;
const SHARE: i8 = 2;

const NOT_AVAILABLE: Str = Str::from_static("The coordinator is not available.");
const NO_TRANSACTIONS: Str = Str::from_static("transactions are not supported yet");
const INVALID_REQUEST: Str = Str::from_static(
    "This most likely occurs because of a request being malformed by the client library or the message was sent \
     to an incompatible broker. See the broker logs for more details.",
);

pub(in crate::broker) fn handle(groups: &Arc<Groups>, cx: &Context, to: ReplyTo, request: Request) -> Reply {
    let key_type = if to.version >= 1 { request.key_type } else { GROUP };
    let refused = match key_type {
        GROUP => {
            let node = (groups.node_id(), cx.advertised_host.clone(), cx.advertised_port);
            if groups.is_ready() {
                return to.now(found(to.version, &request, &node));
            }
            // The first to ask has the offsets topic made; the answer waits, so that what follows meets it.
            let ready = groups.ready();
            return Reply::later(async move {
                match ready.await {
                    Ok(()) => to.response(found(to.version, &request, &node)),
                    Err(_) => {
                        let error = (ErrorCode::COORDINATOR_NOT_AVAILABLE, NOT_AVAILABLE);
                        to.response(refuse(to.version, &request, &error))
                    }
                }
            });
        }
        TRANSACTION => (no_transactions(to.version), NO_TRANSACTIONS),
        SHARE => (ErrorCode::INVALID_REQUEST, Str::default()),
        _ => (ErrorCode::INVALID_REQUEST, INVALID_REQUEST),
    };
    to.now(refuse(to.version, &request, &refused))
}

/// COORDINATOR_NOT_AVAILABLE, Kafka's answer where a coordinator may yet come, has clients ask until `max.block.ms` is
/// over. librdkafka (up to version 2) gives up at once on authorization errors only, and shows the message. Java (from
/// version 4 on) gives up on anything it does not know to be retriable and shows the message then, but not with an
/// authorization error, which would send its user looking for a missing permission.
fn no_transactions(version: i16) -> ErrorCode {
    if version < 4 {
        ErrorCode::TRANSACTIONAL_ID_AUTHORIZATION_FAILED
    } else {
        ErrorCode::UNSUPPORTED_VERSION
    }
}

fn found(version: i16, request: &Request, (node_id, host, port): &(i32, Str, i32)) -> Response {
    if version < 4 {
        return Response {
            error_message: Some(Str::from_static("NONE")),
            node_id: *node_id,
            host: host.clone(),
            port: *port,
            ..Default::default()
        };
    }
    let coordinators = request.coordinator_keys.iter().map(|key| Coordinator {
        key: key.clone(),
        node_id: *node_id,
        host: host.clone(),
        port: *port,
        error_message: Some(Str::default()),
        ..Default::default()
    });
    Response { coordinators: coordinators.collect(), ..Default::default() }
}

fn refuse(version: i16, request: &Request, (code, message): &(ErrorCode, Str)) -> Response {
    if version < 4 {
        return Response {
            error_code: code.0,
            error_message: Some(message.clone()),
            node_id: -1,
            port: -1,
            ..Default::default()
        };
    }
    let coordinators = request.coordinator_keys.iter().map(|key| Coordinator {
        key: key.clone(),
        node_id: -1,
        port: -1,
        error_code: code.0,
        error_message: Some(message.clone()),
        ..Default::default()
    });
    Response { coordinators: coordinators.collect(), ..Default::default() }
}
