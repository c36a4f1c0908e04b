//! ListGroups 0 to 5. Filters are compared without regard to case; a state or type nobody knows matches nothing.

use std::sync::Arc;

use crate::broker::group::Groups;
use crate::broker::{Context, Reply, ReplyTo};
use crate::wire::Str;
use crate::wire::api::list_groups::{Request, Response};

pub(in crate::broker) fn handle(groups: &Arc<Groups>, _cx: &Context, to: ReplyTo, request: Request) -> Reply {
    let allows = |filter: &[Str], value: &str| {
        filter.is_empty() || filter.iter().any(|wanted| wanted.trim().eq_ignore_ascii_case(value))
    };
    let mut body = Response::default();
    let listed = groups.each_group(|group, _| {
        if allows(&request.states_filter, group.state().name()) && allows(&request.types_filter, "classic") {
            body.groups.push(group.list());
        }
    });
    if let Err(error) = listed {
        body = Response { error_code: error.0, ..Default::default() };
    }
    to.now(body)
}
