//! JoinGroup 0 to 9. Version 0 has no rebalance timeout: the session's serves for both.

use std::collections::HashSet;
use std::sync::Arc;

use bytes::Bytes;

use crate::broker::group::{Groups, Join, MAX_STRING, Protocol, client_host, deliver};
use crate::broker::{Context, Reply, ReplyTo};
use crate::wire::api::join_group::{Request, Response};
use crate::wire::{ErrorCode, Str, Uuid};

pub(in crate::broker) fn handle(groups: &Arc<Groups>, cx: &Context, to: ReplyTo, request: Request) -> Reply {
    let member_id = request.member_id.detached();
    let failed = move |error: ErrorCode| Response { error_code: error.0, member_id, ..Default::default() };
    match check(groups, cx, &request) {
        Err(error) => to.now(failed(error)),
        Ok(()) => {
            let join = join(cx, to.version, &request);
            deliver(to, groups.join(&request.group_id, join), failed)
        }
    }
}

fn check(groups: &Groups, cx: &Context, request: &Request) -> Result<(), ErrorCode> {
    let config = groups.config();
    if request.group_id.is_empty() || request.group_id.len() > MAX_STRING {
        return Err(ErrorCode::INVALID_GROUP_ID);
    }
    let timeout = request.session_timeout_ms;
    if !(config.min_session_timeout_ms..=config.max_session_timeout_ms).contains(&timeout) {
        return Err(ErrorCode::INVALID_SESSION_TIMEOUT);
    }
    // The group's record has no room for longer names; Kafka fails on them when it writes it.
    let protocols = request.protocols.iter().map(|p| &p.name);
    let mut names = protocols
        .chain([&request.member_id, &request.protocol_type])
        .chain(&request.group_instance_id)
        .chain(&cx.client_id);
    if names.any(|name| name.len() > MAX_STRING) {
        return Err(ErrorCode::INVALID_REQUEST);
    }
    Ok(())
}

fn join(cx: &Context, version: i16, request: &Request) -> Join {
    let mut names = HashSet::new();
    let protocols = request.protocols.iter().filter(|p| names.insert(p.name.clone()));
    let no_rebalance_timeout = version == 0 || request.rebalance_timeout_ms < 0;
    Join {
        member_id: request.member_id.detached(),
        instance_id: request.group_instance_id.as_ref().map(Str::detached),
        client_id: cx.client_id.as_ref().map(Str::detached).unwrap_or_default(),
        client_host: client_host(cx),
        protocol_type: request.protocol_type.detached(),
        protocols: protocols
            .map(|p| Protocol { name: p.name.detached(), metadata: Bytes::copy_from_slice(&p.metadata) })
            .collect(),
        rebalance_timeout_ms: if no_rebalance_timeout {
            request.session_timeout_ms
        } else {
            request.rebalance_timeout_ms
        },
        session_timeout_ms: request.session_timeout_ms,
        unique: Uuid::random(),
        member_id_required: version >= 4,
        can_skip_assignment: version >= 9,
    }
}
