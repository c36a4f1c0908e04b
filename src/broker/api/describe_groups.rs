//! DescribeGroups 0 to 6. An unknown group is Dead; from version 6 on it is an error as well.

use std::sync::Arc;

use crate::broker::group::{Groups, State};
use crate::broker::{Context, Reply, ReplyTo};
use crate::wire::api::describe_groups::{DescribedGroup, Request, Response};
use crate::wire::{ErrorCode, Str};

/// READ, DELETE, DESCRIBE, DESCRIBE_CONFIGS and ALTER_CONFIGS, as a bit field: everything, as nothing here forbids it.
const ALL_OPERATIONS: i32 = 3400;

pub(in crate::broker) fn handle(groups: &Arc<Groups>, _cx: &Context, to: ReplyTo, request: Request) -> Reply {
    let described = request.groups.iter().map(|id| {
        let mut group = match groups.peek(id, |found| found.map(|(group, _)| group.describe())) {
            Ok((Some(group), _)) => group,
            Ok((None, _)) => unknown(to.version, id),
            Err(error) => DescribedGroup { group_id: id.clone(), error_code: error.0, ..Default::default() },
        };
        if request.include_authorized_operations && group.error_code == 0 {
            group.authorized_operations = ALL_OPERATIONS;
        }
        group
    });
    to.now(Response { groups: described.collect(), ..Default::default() })
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
