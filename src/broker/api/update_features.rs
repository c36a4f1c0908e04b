//! UpdateFeatures 0 to 2. The only feature that is on is `metadata.version`, at Kafka 4.4's level, and it stays there:
//! setting what is set already succeeds, anything else is refused in Kafka's words. The features of protocols that are not
//! served (`group.version`, `transaction.version`, ...) are known as being off: turning them off succeeds.

use std::sync::Arc;

use crate::broker::broker::Broker;
use crate::broker::features::{self, METADATA_VERSION};
use crate::broker::{Context, Reply, ReplyTo};
use crate::wire::api::update_features::{FeatureUpdateKey, Request, Response, UpdatableFeatureResult};
use crate::wire::{ErrorCode, Str};

/// KIP-778's kinds of change.
const UPGRADE: i8 = 1;
const SAFE_DOWNGRADE: i8 = 2;
const UNSAFE_DOWNGRADE: i8 = 3;

pub(in crate::broker) fn handle(broker: &Arc<Broker>, _cx: &Context, to: ReplyTo, request: Request) -> Reply {
    let refused = request.feature_updates.iter().find_map(|update| check(broker, to.version, update).err());
    if let Some(problem) = refused {
        let message =
            format!("The update failed for all features since the following feature had an error: {problem}");
        return to.now(Response {
            error_code: ErrorCode::INVALID_UPDATE_VERSION.0,
            error_message: Some(Str::from(message)),
            ..Default::default()
        });
    }
    let results = request.feature_updates.into_iter().map(|update| UpdatableFeatureResult {
        feature: update.feature,
        error_message: Some(Str::from_static("NONE")),
        ..Default::default()
    });
    // Later versions have one answer for all.
    let results = if to.version <= 1 { results.collect() } else { Vec::new() };
    to.now(Response { error_message: None, results, ..Default::default() })
}

/// Why an update cannot be made, in Kafka's words and the order of its checks.
fn check(broker: &Broker, version: i16, update: &FeatureUpdateKey) -> Result<(), String> {
    let FeatureUpdateKey { feature, max_version_level: level, .. } = update;
    let upgrade_type = match version {
        0 if update.allow_downgrade => SAFE_DOWNGRADE,
        0 => UPGRADE,
        _ => update.upgrade_type,
    };
    let invalid =
        |problem: String| Err(format!("Invalid update version {level} for feature {feature}. {problem}"));
    if !(UPGRADE..=UNSAFE_DOWNGRADE).contains(&upgrade_type) {
        return invalid("The controller does not support the given upgrade type.".to_owned());
    }
    if *level < 0 {
        return invalid("A feature version cannot be less than 0.".to_owned());
    }
    let node = broker.node_id;
    let Some(supported) = features::find(feature) else {
        return match *level {
            0 if features::is_known_to_be_off(feature) => Ok(()),
            0 => invalid(format!("Feature {feature} not found.")),
            _ => invalid(format!("Local controller {node} does not support this feature.")),
        };
    };
    let (min, max) = (supported.min, supported.max);
    if !(min..=max).contains(level) {
        return invalid(format!("Local controller {node} only supports versions {min}-{max}"));
    }
    let now = supported.finalized;
    if *level == now {
        return Ok(());
    }
    // What is on is on at its highest level.
    match upgrade_type {
        UPGRADE => invalid(
            "Can't downgrade the version of this feature without setting the upgrade type to either safe or unsafe \
             downgrade."
                .to_owned(),
        ),
        SAFE_DOWNGRADE => Err(format!(
            "Unsupported {METADATA_VERSION} downgrade from {now} to {level}. Refusing to perform the requested \
             downgrade because it might delete metadata information."
        )),
        _ => Err(format!(
            "Unsupported {METADATA_VERSION} downgrade from {now} to {level}. Unsafe metadata downgrade is not \
             supported in this version."
        )),
    }
}
