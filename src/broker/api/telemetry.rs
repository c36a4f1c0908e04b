//! GetTelemetrySubscriptions 0 and PushTelemetry 0 (KIP-714): answered, not advertised (`telemetry.rs`). A client is told to push
//! what the subscriptions that mean it ask for (`kafka-client-metrics`), without any nothing, every five minutes. Selectors by a
//! client's software or port mean nobody: the broker does not know them.

use std::sync::Arc;

use crate::broker::broker::Broker;
use crate::broker::config::metrics;
use crate::broker::telemetry::{MAX_BYTES, Push, Wanted};
use crate::broker::{Context, Reply, ReplyTo};
use crate::wire::api::{get_telemetry_subscriptions, push_telemetry};
use crate::wire::{Str, Uuid};

/// Kafka's order of preference: zstd, lz4, gzip, snappy.
const ACCEPTED: [i8; 4] = [4, 3, 1, 2];

pub(in crate::broker) fn subscriptions(
    broker: &Arc<Broker>,
    cx: &Context,
    to: ReplyTo,
    request: get_telemetry_subscriptions::Request,
) -> Reply {
    let now_ms = broker.clock.now_ms();
    let wanted = wanted(broker, cx, request.client_instance_id);
    let response = match broker.telemetry.subscribe(request.client_instance_id, wanted, now_ms) {
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
    cx: &Context,
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
    let wanted = wanted(broker, cx, push.client_instance_id);
    let outcome = broker.telemetry.push(push, wanted, broker.clock.now_ms());
    let error_code = outcome.err().map_or(0, |code| code.0);
    to.now(push_telemetry::Response { error_code, ..Default::default() })
}

fn wanted(broker: &Broker, cx: &Context, id: Uuid) -> Wanted {
    let client = |selector: &str| match selector {
        "client_instance_id" => Some(id.to_string()),
        "client_id" => cx.client_id.as_ref().map(|id| id.to_string()),
        "client_source_address" => Some(cx.client_host.to_canonical().to_string()),
        _ => None,
    };
    let (metrics, interval_ms) = metrics::wanted(&broker.subscriptions(), client);
    Wanted { metrics: metrics.into_iter().collect(), interval_ms }
}
