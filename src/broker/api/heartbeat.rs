//! Heartbeat 0 to 4.

use std::sync::Arc;

use crate::broker::group::Groups;
use crate::broker::{Context, Reply, ReplyTo};
use crate::wire::ErrorCode;
use crate::wire::api::heartbeat::{Request, Response};

pub(in crate::broker) fn handle(groups: &Arc<Groups>, _cx: &Context, to: ReplyTo, request: Request) -> Reply {
    let instance_id = request.group_instance_id.as_ref();
    let beat = if request.group_id.is_empty() {
        Err(ErrorCode::INVALID_GROUP_ID)
    } else {
        groups.heartbeat(&request.group_id, &request.member_id, instance_id, request.generation_id)
    };
    let error = match beat {
        // While groups are being read nobody's session runs: members go on as they are.
        Ok(()) | Err(ErrorCode::COORDINATOR_LOAD_IN_PROGRESS) => ErrorCode::NONE,
        Err(error) => error,
    };
    to.now(Response { error_code: error.0, ..Default::default() })
}
