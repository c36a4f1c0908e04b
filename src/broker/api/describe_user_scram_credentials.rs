//! DescribeUserScramCredentials 0: who can log in by which mechanism, never what the credentials are. Who may ask is decided
//! before it comes here.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::change;
use crate::broker::broker::Broker;
use crate::broker::scram::ScramCredential;
use crate::broker::{Context, Reply, ReplyTo};
use crate::wire::api::describe_user_scram_credentials::{
    CredentialInfo, DescribeUserScramCredentialsResult, Request, Response,
};
use crate::wire::{ErrorCode, Str};

pub(in crate::broker) fn handle(broker: &Arc<Broker>, _cx: &Context, to: ReplyTo, request: Request) -> Reply {
    let broker = Arc::clone(broker);
    // The store is a file.
    change(to, request, move |request| describe(&broker, request))
}

fn describe(broker: &Broker, request: Request) -> Response {
    let credentials = match broker.scram_credentials() {
        Ok(credentials) => credentials,
        Err(error) => {
            return Response { error_code: error.code.0, error_message: error.message, ..Default::default() };
        }
    };
    let mut known: BTreeMap<Str, Vec<CredentialInfo>> = BTreeMap::new();
    for ScramCredential { name, mechanism, iterations } in credentials {
        let mechanism = mechanism as i8;
        let iterations = i32::try_from(iterations).unwrap_or(i32::MAX);
        let info = CredentialInfo { mechanism, iterations, ..Default::default() };
        known.entry(name).or_default().push(info);
    }
    let results = match request.users {
        Some(users) if !users.is_empty() => {
            let mut times_named: BTreeMap<Str, u32> = BTreeMap::new();
            for user in users {
                *times_named.entry(user.name).or_default() += 1;
            }
            times_named.into_iter().map(|(user, times)| named(user, times, &mut known)).collect()
        }
        _ => known.into_iter().map(|(user, infos)| found(user, infos)).collect(),
    };
    Response { results, ..Default::default() }
}

fn named(
    user: Str,
    times: u32,
    known: &mut BTreeMap<Str, Vec<CredentialInfo>>,
) -> DescribeUserScramCredentialsResult {
    let (code, message) = match known.remove(&user) {
        _ if times > 1 => (
            ErrorCode::DUPLICATE_RESOURCE,
            "Cannot describe SCRAM credentials for the same user twice in a single request: ",
        ),
        None => {
            (ErrorCode::RESOURCE_NOT_FOUND, "Attempt to describe a user credential that does not exist: ")
        }
        Some(infos) => return found(user, infos),
    };
    DescribeUserScramCredentialsResult {
        error_code: code.0,
        error_message: Some(Str::from(format!("{message}{user}"))),
        user,
        ..Default::default()
    }
}

fn found(user: Str, credential_infos: Vec<CredentialInfo>) -> DescribeUserScramCredentialsResult {
    // Kafka says nothing by an empty text here.
    DescribeUserScramCredentialsResult { user, credential_infos, ..Default::default() }
}
