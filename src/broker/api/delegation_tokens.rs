//! CreateDelegationToken 1 to 3, RenewDelegationToken 1 to 2, ExpireDelegationToken 1 to 2, DescribeDelegationToken 1 to 3:
//! answered as a Kafka without `delegation.token.secret.key` does. There are no tokens here, and nobody logs in with one.

use std::sync::Arc;

use crate::broker::broker::Broker;
use crate::broker::{Context, Reply, ReplyTo};
use crate::wire::api::{
    create_delegation_token, describe_delegation_token, expire_delegation_token, renew_delegation_token,
};
use crate::wire::{ErrorCode, Str};

/// Who logged in nowhere.
const ANONYMOUS: &str = "User:ANONYMOUS";
const USER: &str = "User";

/// Kafka gives and takes tokens only on sessions that logged in.
fn refusal(cx: &Context) -> ErrorCode {
    match cx.principal == ANONYMOUS {
        true => ErrorCode::DELEGATION_TOKEN_REQUEST_NOT_ALLOWED,
        false => ErrorCode::DELEGATION_TOKEN_AUTH_DISABLED,
    }
}

pub(in crate::broker) fn create(
    _broker: &Arc<Broker>,
    cx: &Context,
    to: ReplyTo,
    request: create_delegation_token::Request,
) -> Reply {
    let (kind, name) = cx.principal.split_once(':').unwrap_or((USER, &cx.principal));
    let requester = (Str::from(kind), Str::from(name));
    let owner = match (request.owner_principal_type, request.owner_principal_name) {
        (kind, Some(name)) if !name.is_empty() => (kind.unwrap_or_default(), name),
        _ => requester.clone(),
    };
    let mut refusal = refusal(cx);
    let is_user = |renewer: &create_delegation_token::CreatableRenewers| renewer.principal_type == USER;
    if refusal == ErrorCode::DELEGATION_TOKEN_AUTH_DISABLED && !request.renewers.iter().all(is_user) {
        refusal = ErrorCode::INVALID_PRINCIPAL_TYPE;
    }
    // From where Kafka's broker answers itself it says that there are no times, from its controller nothing.
    let none = if refusal == ErrorCode::DELEGATION_TOKEN_AUTH_DISABLED { 0 } else { -1 };
    to.now(create_delegation_token::Response {
        error_code: refusal.0,
        principal_type: owner.0,
        principal_name: owner.1,
        token_requester_principal_type: requester.0,
        token_requester_principal_name: requester.1,
        issue_timestamp_ms: none,
        expiry_timestamp_ms: none,
        max_timestamp_ms: none,
        ..Default::default()
    })
}

pub(in crate::broker) fn renew(
    _broker: &Arc<Broker>,
    cx: &Context,
    to: ReplyTo,
    _request: renew_delegation_token::Request,
) -> Reply {
    let (error_code, expiry_timestamp_ms) = refused(cx);
    to.now(renew_delegation_token::Response { error_code, expiry_timestamp_ms, ..Default::default() })
}

pub(in crate::broker) fn expire(
    _broker: &Arc<Broker>,
    cx: &Context,
    to: ReplyTo,
    _request: expire_delegation_token::Request,
) -> Reply {
    let (error_code, expiry_timestamp_ms) = refused(cx);
    to.now(expire_delegation_token::Response { error_code, expiry_timestamp_ms, ..Default::default() })
}

pub(in crate::broker) fn describe(
    _broker: &Arc<Broker>,
    cx: &Context,
    to: ReplyTo,
    _request: describe_delegation_token::Request,
) -> Reply {
    to.now(describe_delegation_token::Response { error_code: refusal(cx).0, ..Default::default() })
}

/// The code, and the time at which nothing expires.
fn refused(cx: &Context) -> (i16, i64) {
    let refusal = refusal(cx);
    (refusal.0, if refusal == ErrorCode::DELEGATION_TOKEN_AUTH_DISABLED { 0 } else { -1 })
}
