//! DeleteGroups 0 to 3. Each group once, in the order asked.

use std::collections::HashSet;
use std::sync::Arc;

use crate::broker::group::{Groups, append_error};
use crate::broker::{Context, Reply, ReplyTo};
use crate::wire::api::delete_groups::{DeletableGroupResult, Request, Response};

pub(in crate::broker) fn handle(groups: &Arc<Groups>, _cx: &Context, to: ReplyTo, request: Request) -> Reply {
    let mut seen = HashSet::new();
    let mut body = Response::default();
    let mut tickets = Vec::new();
    for id in request.groups_names {
        if !seen.insert(id.clone()) {
            continue;
        }
        let error_code = match groups.delete_group(&id) {
            Ok(ticket) => {
                tickets.extend(ticket.map(|ticket| (body.results.len(), ticket)));
                0
            }
            Err(error) => error.0,
        };
        body.results.push(DeletableGroupResult { group_id: id, error_code, ..Default::default() });
    }
    if tickets.is_empty() {
        return to.now(body);
    }
    Reply::later(async move {
        for (at, ticket) in tickets {
            if let (Err(error), Some(result)) = (ticket.await, body.results.get_mut(at)) {
                result.error_code = append_error(&error).0;
            }
        }
        to.response(body)
    })
}
