//! SyncGroup 0 to 5. From version 5 on protocol type and name are mandatory.

use std::sync::Arc;

use bytes::Bytes;

use crate::broker::group::{Groups, Sync, deliver};
use crate::broker::{Context, Reply, ReplyTo};
use crate::wire::api::sync_group::{Request, Response};
use crate::wire::{ErrorCode, Str};

pub(in crate::broker) fn handle(groups: &Arc<Groups>, _cx: &Context, to: ReplyTo, request: Request) -> Reply {
    let failed = |error: ErrorCode| Response { error_code: error.0, ..Default::default() };
    if to.version >= 5 && (request.protocol_type.is_none() || request.protocol_name.is_none()) {
        return to.now(failed(ErrorCode::INCONSISTENT_GROUP_PROTOCOL));
    }
    if request.group_id.is_empty() {
        return to.now(failed(ErrorCode::INVALID_GROUP_ID));
    }
    let sync = Sync {
        // Only compared, never kept, but for what the leader assigns.
        member_id: request.member_id.clone(),
        instance_id: request.group_instance_id.clone(),
        generation: request.generation_id,
        protocol_type: request.protocol_type.clone(),
        protocol_name: request.protocol_name.clone(),
        assignments: request
            .assignments
            .iter()
            .map(|a| (Str::detached(&a.member_id), Bytes::copy_from_slice(&a.assignment)))
            .collect(),
    };
    deliver(to, groups.sync(&request.group_id, sync), failed)
}
