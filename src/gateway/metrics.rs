//! What the gateway counts. Label sets are closed: api names, Kafka's error names, session states, end causes.

use super::end::EndCause;
use crate::wire::{ApiKey, ErrorCode, table::APIS};
use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGaugeVec, Opts, Registry,
};
use std::{
    collections::HashMap,
    sync::{Arc, RwLock},
    time::Duration,
};

/// Counters of one api, looked up once.
#[derive(Debug)]
pub struct ApiMetrics {
    name: &'static str,
    pub requests: IntCounter,
    pub bytes_in: IntCounter,
    pub bytes_out: IntCounter,
    pub seconds: Histogram,
}

/// The counters of all sessions.
#[derive(Debug)]
pub struct Metrics {
    apis: Vec<Option<ApiMetrics>>,
    errors: IntCounterVec,
    error_counters: RwLock<HashMap<(i16, i16), IntCounter>>,
    pub sessions: IntGaugeVec,
    ended: IntCounterVec,
    accepted: IntCounter,
    pub authentication_failures: IntCounterVec,
}

impl Metrics {
    /// Registers everything with `registry`. Fails only when it was done before.
    pub fn new(registry: &Registry) -> Result<Arc<Metrics>, prometheus::Error> {
        let counter = |name: &str, help: &str, labels: &[&str]| -> Result<IntCounterVec, prometheus::Error> {
            let vec = IntCounterVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(vec.clone()))?;
            Ok(vec)
        };
        let requests = counter("tollgate_requests_total", "Requests taken, by api.", &["api"])?;
        let bytes_in = counter("tollgate_request_bytes_total", "Bytes of request frames, by api.", &["api"])?;
        let bytes_out =
            counter("tollgate_response_bytes_total", "Bytes of response frames, by api.", &["api"])?;
        let errors = counter(
            "tollgate_response_errors_total",
            "Error codes in responses, by api and code.",
            &["api", "code"],
        )?;
        let ended = counter("tollgate_sessions_ended_total", "Sessions ended, by cause.", &["cause"])?;
        let authentication_failures = counter(
            "tollgate_authentication_failures_total",
            "Failed authentications, by mechanism and reason.",
            &["mechanism", "reason"],
        )?;
        let buckets = vec![
            0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0,
            10.0,
        ];
        let seconds = HistogramVec::new(
            HistogramOpts::new(
                "tollgate_request_seconds",
                "From a request's last byte to its response's hand-over to the kernel, by api.",
            )
            .buckets(buckets),
            &["api"],
        )?;
        registry.register(Box::new(seconds.clone()))?;
        let sessions = IntGaugeVec::new(Opts::new("tollgate_sessions", "Sessions, by state."), &["state"])?;
        registry.register(Box::new(sessions.clone()))?;
        let accepted = IntCounter::new("tollgate_sessions_accepted_total", "Connections accepted.")?;
        registry.register(Box::new(accepted.clone()))?;
        for cause in EndCause::ALL {
            ended.with_label_values(&[cause.label()]);
        }
        let mut apis: Vec<Option<ApiMetrics>> = Vec::new();
        for info in APIS {
            let at = info.key.0 as usize;
            apis.resize_with(apis.len().max(at + 1), || None);
            apis[at] = Some(ApiMetrics {
                name: info.name,
                requests: requests.with_label_values(&[info.name]),
                bytes_in: bytes_in.with_label_values(&[info.name]),
                bytes_out: bytes_out.with_label_values(&[info.name]),
                seconds: seconds.with_label_values(&[info.name]),
            });
        }
        Ok(Arc::new(Metrics {
            apis,
            errors,
            error_counters: RwLock::default(),
            sessions,
            ended,
            accepted,
            authentication_failures,
        }))
    }

    /// The counters of an api this crate reads.
    pub fn api(&self, api: ApiKey) -> Option<&ApiMetrics> {
        self.apis.get(usize::try_from(api.0).ok()?)?.as_ref()
    }

    /// Counts an error code of a response; 0 is none.
    pub fn error(&self, api: ApiKey, code: i16) {
        if code == 0 {
            return;
        }
        if let Ok(known) = self.error_counters.read()
            && let Some(counter) = known.get(&(api.0, code))
        {
            counter.inc();
            return;
        }
        let Some(metrics) = self.api(api) else { return };
        // Codes outside Kafka's table share a label: a strange upstream cannot grow the set.
        let counter =
            self.errors.with_label_values(&[metrics.name, ErrorCode(code).name().unwrap_or("other")]);
        counter.inc();
        if let Ok(mut known) = self.error_counters.write()
            && ErrorCode(code).name().is_some()
        {
            known.insert((api.0, code), counter);
        }
    }

    pub fn accepted(&self) {
        self.accepted.inc();
    }

    pub fn ended(&self, cause: EndCause) {
        self.ended.with_label_values(&[cause.label()]).inc();
    }

    pub fn answered(&self, api: ApiKey, bytes: usize, took: Duration) {
        if let Some(metrics) = self.api(api) {
            metrics.bytes_out.inc_by(bytes as u64);
            metrics.seconds.observe(took.as_secs_f64());
        }
    }
}
