//! CreateAcls 1 to 3: each binding stands or falls on its own, one that is there already is a success. Who may ask is decided
//! before it comes here.

use std::sync::Arc;

use super::{NO_AUTHORIZER, change};
use crate::broker::acl::{Binding, MAX_PER_REQUEST, unknown};
use crate::broker::broker::Broker;
use crate::broker::{ApiError, Context, Reply, ReplyTo};
use crate::wire::ErrorCode;
use crate::wire::api::create_acls::{AclCreation, AclCreationResult, Request, Response};

pub(in crate::broker) fn handle(broker: &Arc<Broker>, _cx: &Context, to: ReplyTo, request: Request) -> Reply {
    let says_nothing = |acl: &AclCreation| {
        unknown(acl.resource_type, acl.resource_pattern_type, acl.operation, acl.permission_type)
    };
    if request.creations.iter().any(says_nothing) {
        return Reply::Close;
    }
    if broker.acls.authorizer().is_none() {
        let refused = ApiError::new(ErrorCode::SECURITY_DISABLED, NO_AUTHORIZER);
        return to.now(response(request.creations.iter().map(|_| Err(refused.clone()))));
    }
    let broker = Arc::clone(broker);
    change(to, request, move |request| create(&broker, request))
}

fn create(broker: &Broker, request: Request) -> Response {
    let Some(authorizer) = broker.acls.authorizer() else { return Response::default() };
    if request.creations.iter().any(|acl| binding(acl).is_filter()) {
        let failed = ApiError::from(ErrorCode::UNKNOWN_SERVER_ERROR);
        return response(request.creations.iter().map(|_| Err(failed.clone())));
    }
    let checked: Vec<Result<Binding, ApiError>> = request
        .creations
        .iter()
        .map(|acl| {
            let binding = binding(acl);
            binding.check().map(|()| binding)
        })
        .collect();
    let wanted: Vec<Binding> = checked.iter().flatten().cloned().collect();
    let added = match wanted.len() > MAX_PER_REQUEST {
        true => Err(ApiError::new(
            ErrorCode::POLICY_VIOLATION,
            format!("Cannot create more than {MAX_PER_REQUEST} acls in a single request."),
        )),
        false => broker.acls.add(authorizer, wanted),
    };
    response(checked.into_iter().map(|checked| checked.and_then(|_| added.clone())))
}

/// Its texts in memory of their own: they outlive the request.
fn binding(acl: &AclCreation) -> Binding {
    Binding {
        resource_type: acl.resource_type,
        name: acl.resource_name.detached(),
        pattern_type: acl.resource_pattern_type,
        principal: acl.principal.detached(),
        host: acl.host.detached(),
        operation: acl.operation,
        permission: acl.permission_type,
    }
}

fn response(results: impl Iterator<Item = Result<(), ApiError>>) -> Response {
    let result = |outcome: Result<(), ApiError>| {
        let (error_code, error_message) = match outcome {
            // Kafka says nothing by an empty text here.
            Ok(()) => (0, Some(Default::default())),
            Err(error) => (error.code.0, error.message),
        };
        AclCreationResult { error_code, error_message, ..Default::default() }
    };
    Response { results: results.map(result).collect(), ..Default::default() }
}
