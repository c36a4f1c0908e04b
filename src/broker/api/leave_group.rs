//! LeaveGroup 0 to 5. Up to version 2 one member leaves, and its error is the request's.

use std::sync::Arc;

use crate::broker::group::Groups;
use crate::broker::{Context, Reply, ReplyTo};
use crate::wire::ErrorCode;
use crate::wire::api::leave_group::{MemberIdentity, MemberResponse, Request, Response};

pub(in crate::broker) fn handle(groups: &Arc<Groups>, _cx: &Context, to: ReplyTo, request: Request) -> Reply {
    if request.group_id.is_empty() {
        let error_code = ErrorCode::INVALID_GROUP_ID.0;
        return to.now(Response { error_code, ..Default::default() });
    }
    let leaving = if to.version >= 3 {
        request.members
    } else {
        vec![MemberIdentity { member_id: request.member_id, ..Default::default() }]
    };
    let answers = match groups.leave(&request.group_id, &leaving) {
        // A group that then is empty is written, but nobody needs to wait for that: it only saves time after a restart.
        Ok((answers, _)) => answers,
        Err(ErrorCode::GROUP_ID_NOT_FOUND) => vec![ErrorCode::UNKNOWN_MEMBER_ID; leaving.len()],
        Err(error) => return to.now(Response { error_code: error.0, ..Default::default() }),
    };
    if to.version < 3 {
        let error_code = answers.first().map_or(0, |error| error.0);
        return to.now(Response { error_code, ..Default::default() });
    }
    let members = leaving.into_iter().zip(answers).map(|(who, error)| MemberResponse {
        member_id: who.member_id,
        group_instance_id: who.group_instance_id,
        error_code: error.0,
        ..Default::default()
    });
    to.now(Response { members: members.collect(), ..Default::default() })
}
