//! GetTelemetrySubscriptions 0 and PushTelemetry 0 (KIP-714): answered, not advertised (`telemetry.rs`). Nobody has subscribed
//! to anything: a client that asks is told to push nothing, every five minutes.

use std::sync::Arc;

use crate::broker::broker::Broker;
use crate::broker::telemetry::{MAX_BYTES, Push, Wanted};
use crate::broker::{Context, Reply, ReplyTo};
use crate::wire::Str;
use crate::wire::api::{get_telemetry_subscriptions, push_telemetry};

/// Kafka's order of preference: zstd, lz4, gzip, snappy.
const ACCEPTED: [i8; 4] = [4, 3, 1, 2];

pub(in crate::broker) fn subscriptions(
    broker: &Arc<Broker>,
    _cx: &Context,
    to: ReplyTo,
    request: get_telemetry_subscriptions::Request,
) -> Reply {
    let now_ms = broker.clock.now_ms();
    let response = match broker.telemetry.subscribe(request.client_instance_id, Wanted::default(), now_ms) {
        Err(code) => get_telemetry_subscriptions::Response { error_code: code.0, ..Default::default() },
        Ok(told) => get_telemetry_subscriptions::Response {
            client_instance_id: told.client_instance_id,
            subscription_id: told.subscription_id,
            accepted_compression_types: ACCEPTED.to_vec(),
            push_interval_ms: told.wanted.interval_ms,
            telemetry_max_bytes: MAX_BYTES as i32,
            delta_temporality: true,
            requested_metrics: told.wanted.metrics.into_iter().map(Str::from).collect(),
            ..Default::default()
        },
    };
    to.now(response)
}

pub(in crate::broker) fn push(
    broker: &Arc<Broker>,
    _cx: &Context,
    to: ReplyTo,
    request: push_telemetry::Request,
) -> Reply {
    let push = Push {
        client_instance_id: request.client_instance_id,
        subscription_id: request.subscription_id,
        terminating: request.terminating,
        compression_type: request.compression_type,
        bytes: request.metrics.0.len(),
    };
    let outcome = broker.telemetry.push(push, Wanted::default(), broker.clock.now_ms());
    let error_code = outcome.err().map_or(0, |code| code.0);
    to.now(push_telemetry::Response { error_code, ..Default::default() })
}
