//! DescribeGroups 0 to 6. An unknown group is Dead; from version 6 on it is an error as well.

use std::sync::Arc;

use super::room::Room;
use crate::broker::group::{Groups, State};
use crate::broker::{ApiError, Context, Reply, ReplyTo};
use crate::wire::api::describe_groups::{DescribedGroup, DescribedGroupMember, Request, Response};
use crate::wire::{ErrorCode, Str};

/// READ, DELETE, DESCRIBE, DESCRIBE_CONFIGS and ALTER_CONFIGS, as a bit field: everything, as nothing here forbids it.
const ALL_OPERATIONS: i32 = 3400;

pub(in crate::broker) fn handle(groups: &Arc<Groups>, _cx: &Context, to: ReplyTo, request: Request) -> Reply {
    let mut room = Room::new();
    let described = request.groups.iter().map(|id| {
        if let Err(error) = room.check() {
            return refused(id, error);
        }
        let mut group = match groups.peek(id, |found| found.map(|(group, _)| group.describe())) {
            Ok((Some(group), _)) => group,
            Ok((None, _)) => unknown(to.version, id),
            Err(error) => DescribedGroup { group_id: id.clone(), error_code: error.0, ..Default::default() },
        };
        if request.include_authorized_operations && group.error_code == 0 {
            group.authorized_operations = ALL_OPERATIONS;
        }
        match room.take(group.members.iter().map(bytes).sum()) {
            Ok(()) => group,
            Err(error) => refused(id, error),
        }
    });
    to.now(Response { groups: described.collect(), ..Default::default() })
}

/// What one takes up, about.
fn bytes(member: &DescribedGroupMember) -> usize {
    size_of::<DescribedGroupMember>() + member.member_metadata.len() + member.member_assignment.len()
}

fn refused(id: &Str, error: ApiError) -> DescribedGroup {
    let (error_code, error_message) = (error.code.0, error.message);
    DescribedGroup { group_id: id.clone(), error_code, error_message, ..Default::default() }
}

fn unknown(version: i16, id: &Str) -> DescribedGroup {
    let mut group = DescribedGroup {
        group_id: id.clone(),
        group_state: Str::from_static(State::Dead.name()),
        ..Default::default()
    };
    if version >= 6 {
        group.error_code = ErrorCode::GROUP_ID_NOT_FOUND.0;
        group.error_message = Some(Str::from(format!("Group {id} not found.")));
    }
    group
}
