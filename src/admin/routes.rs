//! Paths and answers. Every answer is whole in memory and bounded: `/v1/sessions` by pages, metrics by label caps.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::extract::{Query, Request, State};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use prometheus::TextEncoder;
use serde::Deserialize;
use tokio::sync::Semaphore;

use super::handles::{AdminHandles, Readiness};

const DEFAULT_PAGE: usize = 100;
const MAX_PAGE: usize = 1_000;

const INDEX: &str = "\
Tollgate

/metrics       Prometheus metrics
/healthz       the process answers
/readyz        clients can be sent here
/v1/policies   the policies in force and what their rules did
/v1/sessions   the clients connected now (?after=ID&limit=N)
";

/// No scripts, no frames, no caching, no guessing of types: nothing here is meant for another page.
const SECURITY_HEADERS: [(HeaderName, &str); 5] = [
    (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::CACHE_CONTROL, "no-store"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

struct Shared {
    handles: AdminHandles,
    /// One scrape at a time: gathering walks every partition, and a second one learns nothing more.
    scrape: Arc<Semaphore>,
}

/// The whole application, as it is served on `address`.
pub(super) fn router(handles: AdminHandles, address: SocketAddr) -> Router {
    let shared = Arc::new(Shared { handles, scrape: Arc::new(Semaphore::new(1)) });
    let router = Router::new()
        .route("/", get(|| async { INDEX }))
        .route("/metrics", get(metrics))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(readyz))
        .route("/v1/policies", get(policies))
        .route("/v1/sessions", get(sessions))
        .fallback(|| async { (StatusCode::NOT_FOUND, "no such path; / lists them\n") })
        .with_state(shared);
    let router = match address.ip().is_loopback() {
        true => router.layer(middleware::from_fn(only_local_names)),
        false => router,
    };
    router.layer(middleware::from_fn(no_body)).layer(middleware::from_fn(security_headers))
}

async fn metrics(State(shared): State<Arc<Shared>>) -> Response {
    let Ok(turn) = shared.scrape.clone().acquire_owned().await else { return failed("shutting down") };
    // Collectors walk maps under locks: not on a worker.
    let text = tokio::task::spawn_blocking(move || {
        let _turn = turn;
        TextEncoder::new().encode_to_string(&shared.handles.registry.gather())
    });
    match text.await {
        Ok(Ok(text)) => ([(header::CONTENT_TYPE, prometheus::TEXT_FORMAT)], text).into_response(),
        Ok(Err(e)) => failed(&e.to_string()),
        Err(_) => failed("a collector failed"),
    }
}

async fn readyz(State(shared): State<Arc<Shared>>) -> Response {
    match shared.handles.readiness.readiness() {
        Readiness::Ready => "ready\n".into_response(),
        Readiness::NotReady(why) => {
            (StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {why}\n")).into_response()
        }
    }
}

async fn policies(State(shared): State<Arc<Shared>>) -> Response {
    Json(shared.handles.policies.policies()).into_response()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Page {
    #[serde(default)]
    after: u64,
    limit: Option<usize>,
}

async fn sessions(State(shared): State<Arc<Shared>>, Query(page): Query<Page>) -> Response {
    let limit = page.limit.unwrap_or(DEFAULT_PAGE).clamp(1, MAX_PAGE);
    Json(shared.handles.sessions.page(page.after, limit)).into_response()
}

fn failed(why: &str) -> Response {
    (StatusCode::INTERNAL_SERVER_ERROR, format!("{why}\n")).into_response()
}

/// DNS rebinding: a web page whose name was made to resolve to 127.0.0.1 can have a browser ask us, but the
/// browser then names the page's host. On loopback only loopback's own names are answered.
async fn only_local_names(request: Request, next: Next) -> Response {
    let mut hosts = request.headers().get_all(header::HOST).iter();
    let local = match (hosts.next(), hosts.next()) {
        (Some(host), None) => host.to_str().is_ok_and(names_loopback),
        _ => false,
    };
    if !local {
        return (StatusCode::FORBIDDEN, "ask for localhost or a loopback address by name\n").into_response();
    }
    next.run(request).await
}

/// Whether a Host header, with or without a port, names this machine's loopback.
fn names_loopback(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split_once(']').map_or("", |(name, _)| name),
        None => host.split_once(':').map_or(host, |(name, _)| name),
    };
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// Nothing here takes a body, so none is read.
async fn no_body(request: Request, next: Next) -> Response {
    let headers = request.headers();
    let length = headers.get(header::CONTENT_LENGTH);
    if headers.contains_key(header::TRANSFER_ENCODING) || length.is_some_and(|n| n.as_bytes() != b"0") {
        let close = [(header::CONNECTION, "close")];
        return (StatusCode::PAYLOAD_TOO_LARGE, close, "no path here takes a body\n").into_response();
    }
    next.run(request).await
}

async fn security_headers(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    for (name, value) in SECURITY_HEADERS {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::names_loopback;

    #[test]
    fn only_names_of_loopback_are_local() {
        for host in ["localhost", "LocalHost:9644", "127.0.0.1", "127.9.9.9:1", "[::1]", "[::1]:9644"] {
            assert!(names_loopback(host), "{host}");
        }
        for host in [
            "",
            "evil.example",
            "evil.example:9644",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "10.0.0.1",
            "[::2]:1",
            "[::1",
            "[]",
            "::1",
            "0.0.0.0",
        ] {
            assert!(!names_loopback(host), "{host}");
        }
    }
}
