//! DeleteAcls 1 to 3: each filter answers with what it found, though an earlier one of the same request found it too. Who may
//! ask is decided before it comes here.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::{NO_AUTHORIZER, change};
use crate::broker::acl::{Binding, Filter, MAX_PER_REQUEST, unknown};
use crate::broker::broker::Broker;
use crate::broker::{ApiError, Context, Reply, ReplyTo};
use crate::wire::ErrorCode;
use crate::wire::api::delete_acls::{
    DeleteAclsFilter, DeleteAclsFilterResult, DeleteAclsMatchingAcl, Request, Response,
};

pub(in crate::broker) fn handle(broker: &Arc<Broker>, _cx: &Context, to: ReplyTo, request: Request) -> Reply {
    let says_nothing = |filter: &DeleteAclsFilter| {
        let (resource, pattern) = (filter.resource_type_filter, filter.pattern_type_filter);
        unknown(resource, pattern, filter.operation, filter.permission_type)
    };
    if request.filters.iter().any(says_nothing) {
        return Reply::Close;
    }
    if broker.acls.authorizer().is_none() {
        let refused = ApiError::new(ErrorCode::SECURITY_DISABLED, NO_AUTHORIZER);
        return to.now(failed(&request, &refused));
    }
    let broker = Arc::clone(broker);
    change(to, request, move |request| delete(&broker, request))
}

fn delete(broker: &Broker, request: Request) -> Response {
    let Some(authorizer) = broker.acls.authorizer() else { return Response::default() };
    let removed = broker.acls.remove(authorizer, |bindings| choose(&request.filters, bindings));
    match removed {
        Ok(filter_results) => Response { filter_results, ..Default::default() },
        Err(error) => failed(&request, &error),
    }
}

/// What is to go, and what each filter is answered with. No more goes than Kafka lets go at once: the filter that would
/// go past that is refused.
fn choose(
    filters: &[DeleteAclsFilter],
    bindings: &BTreeSet<Binding>,
) -> (BTreeSet<Binding>, Vec<DeleteAclsFilterResult>) {
    let mut doomed = BTreeSet::new();
    let mut answered = 0;
    let results = filters.iter().map(|asked| {
        let filter = filter(asked);
        if let Err(error) = filter.check() {
            return refused(&error);
        }
        let matching: Vec<&Binding> = bindings.iter().filter(|binding| filter.matches(binding)).collect();
        // What is listed twice is not deleted twice, but it takes room in the answer twice.
        answered += matching.len();
        if answered > MAX_PER_REQUEST {
            let message =
                format!("Cannot remove more than {MAX_PER_REQUEST} acls in a single delete operation.");
            return refused(&ApiError::new(ErrorCode::POLICY_VIOLATION, message));
        }
        doomed.extend(matching.iter().map(|binding| (*binding).clone()));
        DeleteAclsFilterResult {
            error_message: None,
            matching_acls: matching.into_iter().map(matching_acl).collect(),
            ..Default::default()
        }
    });
    let results = results.collect();
    (doomed, results)
}

fn filter(asked: &DeleteAclsFilter) -> Filter {
    Filter {
        resource_type: asked.resource_type_filter,
        name: asked.resource_name_filter.clone(),
        pattern_type: asked.pattern_type_filter,
        principal: asked.principal_filter.clone(),
        host: asked.host_filter.clone(),
        operation: asked.operation,
        permission: asked.permission_type,
    }
}

fn matching_acl(binding: &Binding) -> DeleteAclsMatchingAcl {
    DeleteAclsMatchingAcl {
        error_message: None,
        resource_type: binding.resource_type,
        resource_name: binding.name.clone(),
        pattern_type: binding.pattern_type,
        principal: binding.principal.clone(),
        host: binding.host.clone(),
        operation: binding.operation,
        permission_type: binding.permission,
        ..Default::default()
    }
}

fn failed(request: &Request, error: &ApiError) -> Response {
    Response {
        filter_results: request.filters.iter().map(|_| refused(error)).collect(),
        ..Default::default()
    }
}

fn refused(error: &ApiError) -> DeleteAclsFilterResult {
    DeleteAclsFilterResult {
        error_code: error.code.0,
        error_message: error.message.clone(),
        ..Default::default()
    }
}
