//! ApiVersions 0 to 5. Apis by the routes, features by `features.rs`, each with the reason why others are not there.

use std::sync::Arc;

use crate::broker::broker::Broker;
use crate::broker::features::FEATURES;
use crate::broker::route;
use crate::broker::{Context, Reply, ReplyTo};
use crate::wire::api::api_versions::{FinalizedFeatureKey, Request, Response, SupportedFeatureKey};
use crate::wire::{ErrorCode, Str};

pub(in crate::broker) fn handle(broker: &Arc<Broker>, _cx: &Context, to: ReplyTo, request: Request) -> Reply {
    if let Err(code) = check(broker, to.version, &request) {
        return to.now(Response { error_code: code.0, ..Default::default() });
    }
    to.now(Response {
        api_keys: route::api_versions(),
        supported_features: FEATURES
            .iter()
            .map(|feature| SupportedFeatureKey {
                name: Str::from_static(feature.name),
                min_version: feature.min,
                max_version: feature.max,
                ..Default::default()
            })
            .collect(),
        finalized_features_epoch: 0,
        finalized_features: FEATURES
            .iter()
            .map(|feature| FinalizedFeatureKey {
                name: Str::from_static(feature.name),
                max_version_level: feature.finalized,
                min_version_level: feature.finalized,
                ..Default::default()
            })
            .collect(),
        ..Default::default()
    })
}

fn check(broker: &Broker, version: i16, request: &Request) -> Result<(), ErrorCode> {
    if version >= 3
        && !(is_software_name(&request.client_software_name)
            && is_software_name(&request.client_software_version))
    {
        return Err(ErrorCode::INVALID_REQUEST);
    }
    // KIP-1242: a client that means another cluster or node is to find it anew.
    match (&request.cluster_id, request.node_id) {
        (None, -1) => Ok(()),
        (Some(_), -1) | (None, _) => Err(ErrorCode::INVALID_REQUEST),
        (Some(cluster), node) if cluster == broker.catalogue.cluster_id() && node == broker.node_id => Ok(()),
        _ => Err(ErrorCode::REBOOTSTRAP_REQUIRED),
    }
}

/// Letters, digits, dots and dashes, beginning and ending with a letter or digit (KIP-511).
fn is_software_name(name: &str) -> bool {
    let bytes = name.as_bytes();
    let edge = |b: Option<&u8>| b.is_some_and(u8::is_ascii_alphanumeric);
    edge(bytes.first())
        && edge(bytes.last())
        && bytes.iter().all(|b| b.is_ascii_alphanumeric() || *b == b'.' || *b == b'-')
}
