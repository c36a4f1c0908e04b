//! AlterUserScramCredentials 0: what it changes holds for the next login. Passwords do not come here: the client has salted
//! and hashed them. Who may ask is decided before it comes here.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use super::change;
use crate::broker::broker::Broker;
use crate::broker::scram::{ScramChange, ScramMechanism};
use crate::broker::{ApiError, Context, Reply, ReplyTo};
use crate::wire::api::alter_user_scram_credentials::{
    AlterUserScramCredentialsResult, Request, Response, ScramCredentialUpsertion,
};
use crate::wire::{ErrorCode, Str};

/// Kafka's own limits.
const ITERATIONS: std::ops::RangeInclusive<i32> = 4_096..=16_384;
const TWICE: &str = "A user credential cannot be altered twice in the same request";

pub(in crate::broker) fn handle(broker: &Arc<Broker>, _cx: &Context, to: ReplyTo, request: Request) -> Reply {
    let broker = Arc::clone(broker);
    change(to, request, move |request| Response { results: alter(&broker, request), ..Default::default() })
}

fn alter(broker: &Broker, request: Request) -> Vec<AlterUserScramCredentialsResult> {
    let names = request.deletions.iter().map(|d| &d.name).chain(request.upsertions.iter().map(|u| &u.name));
    let mut outcomes: BTreeMap<Str, Result<(), ApiError>> =
        names.map(|name| (name.clone(), Ok(()))).collect();
    let changes = match broker.scram_credentials() {
        Ok(known) => {
            let known: HashSet<(Str, ScramMechanism)> =
                known.into_iter().map(|credential| (credential.name, credential.mechanism)).collect();
            check(request, &known, &mut outcomes)
        }
        Err(error) => {
            outcomes.values_mut().for_each(|outcome| *outcome = Err(error.clone()));
            Vec::new()
        }
    };
    if !changes.is_empty() {
        let names: Vec<Str> = changes.iter().map(|change| change.name().clone()).collect();
        match broker.alter_scram(changes) {
            Ok(refused) => {
                for (name, refused) in names.iter().zip(refused) {
                    if let Some(refused) = refused {
                        outcomes.insert(name.clone(), Err(refused));
                    }
                }
            }
            Err(error) => names.into_iter().for_each(|name| {
                outcomes.insert(name, Err(error.clone()));
            }),
        }
    }
    let result = |(user, outcome): (Str, Result<(), ApiError>)| {
        let error = outcome.err();
        AlterUserScramCredentialsResult {
            user,
            error_code: error.as_ref().map_or(0, |error| error.code.0),
            error_message: error.and_then(|error| error.message),
            ..Default::default()
        }
    };
    outcomes.into_iter().map(result).collect()
}

/// What can be done of a request. The others have their outcome: with Kafka, the first thing that is wrong with a user's
/// changes is what that user's answer says, and a user is named once.
fn check(
    request: Request,
    known: &HashSet<(Str, ScramMechanism)>,
    outcomes: &mut BTreeMap<Str, Result<(), ApiError>>,
) -> Vec<ScramChange> {
    let mut changes: BTreeMap<Str, ScramChange> = BTreeMap::new();
    let deletions = request.deletions.into_iter().map(|deletion| {
        let change = mechanism(&deletion.name, deletion.mechanism).and_then(|mechanism| {
            match known.contains(&(deletion.name.clone(), mechanism)) {
                true => Ok(ScramChange::Delete { name: deletion.name.clone(), mechanism }),
                false => Err(ApiError::new(
                    ErrorCode::RESOURCE_NOT_FOUND,
                    "Attempt to delete a user credential that does not exist",
                )),
            }
        });
        (deletion.name, change)
    });
    let upsertions = request.upsertions.into_iter().map(|upsertion| (upsertion.name.clone(), put(upsertion)));
    for (name, change) in deletions.chain(upsertions) {
        let Some(outcome) = outcomes.get_mut(&name).filter(|outcome| outcome.is_ok()) else { continue };
        let change = match changes.remove(&name) {
            Some(_) => Err(ApiError::new(ErrorCode::DUPLICATE_RESOURCE, TWICE)),
            None => change,
        };
        match change {
            Ok(change) => {
                changes.insert(name, change);
            }
            Err(error) => *outcome = Err(error),
        }
    }
    changes.into_values().collect()
}

fn mechanism(name: &Str, number: i8) -> Result<ScramMechanism, ApiError> {
    if name.is_empty() {
        return Err(ApiError::new(ErrorCode::UNACCEPTABLE_CREDENTIAL, "Username must not be empty"));
    }
    ScramMechanism::from_number(number)
        .ok_or_else(|| ApiError::new(ErrorCode::UNSUPPORTED_SASL_MECHANISM, "Unknown SCRAM mechanism"))
}

fn put(upsertion: ScramCredentialUpsertion) -> Result<ScramChange, ApiError> {
    let ScramCredentialUpsertion { name, mechanism: number, iterations, salt, salted_password, .. } =
        upsertion;
    let mechanism = mechanism(&name, number)?;
    let unacceptable = |message: &str| Err(ApiError::new(ErrorCode::UNACCEPTABLE_CREDENTIAL, message));
    if iterations < *ITERATIONS.start() {
        return unacceptable("Too few iterations");
    }
    if iterations > *ITERATIONS.end() {
        return unacceptable("Too many iterations");
    }
    let iterations = iterations.unsigned_abs();
    Ok(ScramChange::Put { name, mechanism, iterations, salt, salted_password })
}
