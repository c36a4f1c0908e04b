//! Toxiproxy's API over HTTP, on an address of its own: its clients and `toxiproxy-cli` are used as they are. What is asked is
//! answered by the handle that app gives; here is only what HTTP needs.
//!
//! As Toxiproxy, it has no logins, and refuses browsers: a user agent that begins with `Mozilla/`, and besides any request
//! that says which page made it.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use tokio::net::TcpListener;

use super::server::{self, Limits};

/// Bytes of a request: 256 proxies with their names and addresses.
const BODY: usize = 256 * 1024;

/// An answer that is made: status, and JSON if there is any.
pub type Answering<'a> = Pin<Box<dyn Future<Output = (u16, Option<serde_json::Value>)> + Send + 'a>>;

/// Who answers.
pub trait ToxiproxyApi: Send + Sync {
    fn call<'a>(&'a self, method: &'a str, path: &'a str, body: &'a [u8]) -> Answering<'a>;
}

/// Serves until `stop` resolves.
pub async fn serve(
    listener: TcpListener,
    api: Arc<dyn ToxiproxyApi>,
    stop: impl Future<Output = ()>,
) -> std::io::Result<()> {
    let router = Router::new().fallback(answer).layer(DefaultBodyLimit::max(BODY)).with_state(api);
    server::serve_router(listener, None, router, Limits::default(), stop).await
}

async fn answer(
    State(api): State<Arc<dyn ToxiproxyApi>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let agent = headers.get(header::USER_AGENT).map_or(&[][..], |agent| agent.as_bytes());
    if agent.starts_with(b"Mozilla/") || headers.contains_key(header::ORIGIN) {
        return (StatusCode::FORBIDDEN, "User agent not allowed\n").into_response();
    }
    let (status, value) = api.call(method.as_str(), uri.path(), &body).await;
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    match value {
        Some(value) => {
            let json = [(header::CONTENT_TYPE, "application/json")];
            (status, json, value.to_string()).into_response()
        }
        None if status == StatusCode::NOT_FOUND => (status, "404 page not found\n").into_response(),
        None => status.into_response(),
    }
}
