//! Answers. Every answer is whole in memory and bounded: `/v1/sessions` by pages, metrics by label caps, policies by how many
//! there may be. So is what is asked: a script is read no further than it may be long, and no longer than it may take.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::body::{Body, to_bytes};
use axum::extract::{FromRequestParts, Query, RawPathParams, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::on;
use axum::{Json, Router};
use prometheus::TextEncoder;
use tokio::sync::Semaphore;

use super::control::{Action, Caller, Change, Done, Problem};
use super::guard::{self, Asking, Guard};
use super::handles::{AdminHandles, Readiness, RuleOfPolicy, RulesStatus};
use super::openapi;
use super::server::Limits;
use super::table::{Operation, ROUTES, Route};

const DEFAULT_PAGE: usize = 100;
const MAX_PAGE: usize = 1_000;

/// No scripts, no frames, no caching, no guessing of types: nothing here is meant for another page.
const SECURITY_HEADERS: [(HeaderName, &str); 5] = [
    (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::CACHE_CONTROL, "no-store"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

/// Whose connection it is.
#[derive(Debug, Clone)]
pub(super) struct Peer {
    pub address: SocketAddr,
    /// Who its certificate says it is, where clients have to show one.
    pub certified: Option<String>,
}

impl Peer {
    pub fn plain(address: SocketAddr) -> Self {
        Self { address, certified: None }
    }
}

struct Shared {
    handles: AdminHandles,
    is_loopback: bool,
    limits: Limits,
    /// One scrape at a time: gathering walks every partition, and a second one learns nothing more.
    scrape: Arc<Semaphore>,
    /// One change at a time: they wait here, not on threads.
    change: Arc<Semaphore>,
}

/// The whole application, as it is served on `address`.
pub(super) fn router(handles: AdminHandles, address: SocketAddr, limits: Limits) -> Router {
    let one = || Arc::new(Semaphore::new(1));
    let is_loopback = address.ip().is_loopback();
    let shared = Arc::new(Shared { handles, is_loopback, limits, scrape: one(), change: one() });
    let mut router = Router::new();
    for route in ROUTES {
        let handler =
            move |State(shared): State<Arc<Shared>>, request: Request| answer(shared, route, request);
        router = router.route(route.path, on(route.method.filter(), handler));
    }
    router.fallback(nothing_there).with_state(shared).layer(middleware::from_fn(security_headers))
}

async fn nothing_there(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let asking = Asking { headers: request.headers(), certified: None, scheme: "" };
    match guard::admit(Guard::Open, asking, shared.is_loopback, None) {
        Ok(_) => refuse(&Problem::new(404, "path", "no such path; / lists them")),
        Err(problem) => refuse(&problem),
    }
}

/// What was asked, beside the body.
struct Asked {
    route: &'static Route,
    caller: Caller,
    in_path: Vec<(String, String)>,
    query: Vec<(String, String)>,
}

async fn answer(shared: Arc<Shared>, route: &'static Route, request: Request) -> Response {
    let (mut parts, body) = request.into_parts();
    let peer = parts.extensions.get::<Peer>().cloned();
    let peer = peer.unwrap_or_else(|| Peer::plain(SocketAddr::from(([0, 0, 0, 0], 0))));
    let asking = Asking {
        headers: &parts.headers,
        certified: peer.certified.as_deref(),
        scheme: if shared.handles.tls.is_some() { "https" } else { "http" },
    };
    let tokens = shared.handles.tokens.as_deref();
    let admitted = guard::admit(route.guard, asking, shared.is_loopback, tokens);
    let name = admitted.as_ref().map_or_else(|_| "unknown".to_owned(), Clone::clone);
    let (asked, unreadable) = Asked::read(route, Caller { name, address: peer.address }, &mut parts).await;
    let read = match admitted.err().or(unreadable) {
        Some(problem) => Err(problem),
        None => read_body(route, &parts.headers, body, &shared.limits).await,
    };
    match read {
        Ok(text) => shared.carry_out(asked, text).await,
        Err(problem) => {
            if let Operation::Change(action) = route.operation {
                shared.handles.control.refused(&asked.caller, &asked.change(action, None), &problem);
            }
            refuse(&problem)
        }
    }
}

impl Asked {
    /// What can be read of it, and what is wrong with it: a change that cannot be read is written down as far as it can.
    async fn read(route: &'static Route, caller: Caller, parts: &mut Parts) -> (Self, Option<Problem>) {
        let mut asked = Self { route, caller, in_path: Vec::new(), query: Vec::new() };
        let problem = asked.fill(parts).await.err();
        (asked, problem.map(|message| Problem::new(400, "request", message)))
    }

    async fn fill(&mut self, parts: &mut Parts) -> Result<(), String> {
        match RawPathParams::from_request_parts(parts, &()).await {
            Ok(all) => {
                self.in_path = all.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
            }
            Err(_) => return Err("the path is not UTF-8".to_owned()),
        }
        let Ok(Query(query)) = Query::<Vec<(String, String)>>::try_from_uri(&parts.uri) else {
            return Err("the query cannot be read".to_owned());
        };
        for (name, value) in query {
            let Some(known) = self.route.query.iter().find(|parameter| parameter.name == name) else {
                return Err(format!("there is no parameter {name:?} here"));
            };
            let is_valid = match known.kind {
                "integer" => value.parse::<u64>().is_ok(),
                "boolean" => value.parse::<bool>().is_ok(),
                _ => true,
            };
            if !is_valid {
                return Err(format!("{value:?} is no {} for {name:?}", known.kind));
            }
            if self.query.iter().any(|(other, _)| *other == name) {
                return Err(format!("{name:?} is given twice"));
            }
            self.query.push((name, value));
        }
        Ok(())
    }

    fn parameter(&self, name: &str) -> Option<&str> {
        let mut all = self.in_path.iter().chain(&self.query);
        all.find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    fn number(&self, name: &str) -> Option<u64> {
        self.parameter(name).and_then(|value| value.parse().ok())
    }

    fn change(&self, action: Action, text: Option<String>) -> Change {
        let owned = |name| self.parameter(name).map(ToOwned::to_owned);
        Change {
            action,
            policy: owned("name"),
            rule: owned("rule"),
            text,
            ttl: owned("ttl"),
            security: self.parameter("security") == Some("true"),
        }
    }
}

/// The body of a route that takes one. The others take none, so none is read.
async fn read_body(
    route: &Route,
    headers: &HeaderMap,
    body: Body,
    limits: &Limits,
) -> Result<Option<String>, Problem> {
    let length = headers.get(header::CONTENT_LENGTH);
    if route.body.is_none() {
        let has_body =
            headers.contains_key(header::TRANSFER_ENCODING) || length.is_some_and(|n| n.as_bytes() != b"0");
        return match has_body {
            true => Err(Problem::new(413, "body", "this path takes no body")),
            false => Ok(None),
        };
    }
    let too_long =
        || Problem::new(413, "body", format!("a script is at most {} bytes long", limits.body_bytes));
    let said = length.and_then(|n| n.to_str().ok()).and_then(|n| n.parse::<u64>().ok());
    if said.is_some_and(|length| length > limits.body_bytes as u64) {
        return Err(too_long());
    }
    let bytes = match tokio::time::timeout(limits.body_timeout, to_bytes(body, limits.body_bytes)).await {
        Ok(Ok(bytes)) => bytes,
        Ok(Err(_)) => return Err(too_long()),
        Err(_) => return Err(Problem::new(408, "body", "the script did not arrive in time")),
    };
    match String::from_utf8(bytes.into()) {
        Ok(text) => Ok(Some(text)),
        Err(_) => Err(Problem::new(400, "body", "the script is not UTF-8")),
    }
}

impl Shared {
    async fn carry_out(self: Arc<Self>, asked: Asked, text: Option<String>) -> Response {
        let handles = &self.handles;
        match asked.route.operation {
            Operation::Index => index().into_response(),
            Operation::Healthz => "ok\n".into_response(),
            Operation::Metrics => self.metrics().await,
            Operation::Readyz => match handles.readiness.readiness() {
                Readiness::Ready => "ready\n".into_response(),
                Readiness::NotReady(why) => {
                    (StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {why}\n")).into_response()
                }
            },
            Operation::OpenApi => Json(openapi::description()).into_response(),
            Operation::Sessions => {
                let limit =
                    asked.number("limit").map_or(DEFAULT_PAGE, |n| n.min(MAX_PAGE as u64) as usize).max(1);
                Json(handles.sessions.page(asked.number("after").unwrap_or(0), limit)).into_response()
            }
            Operation::Policies => Json(handles.policies.policies()).into_response(),
            Operation::Policy => {
                let name = asked.parameter("name").unwrap_or_default();
                match handles.policies.policy(name) {
                    Some(policy) => Json(policy).into_response(),
                    None => refuse(&Problem::new(404, "missing", format!("there is no policy {name:?}"))),
                }
            }
            Operation::Rules => {
                let status = handles.policies.policies();
                let rules = status.policies.into_iter().flat_map(|policy| {
                    let of = move |rule| RuleOfPolicy { policy: policy.name.clone(), rule };
                    policy.rules.into_iter().map(of)
                });
                let rules = RulesStatus { generation: status.generation, rules: rules.collect() };
                Json(rules).into_response()
            }
            Operation::Change(action) => {
                let change = asked.change(action, text);
                self.change(asked.caller, change).await
            }
        }
    }

    async fn change(self: Arc<Self>, caller: Caller, change: Change) -> Response {
        let Ok(turn) = self.change.clone().acquire_owned().await else { return failed("shutting down") };
        // Loading a script takes its time: not on a worker. Who hangs up meanwhile has still made the change.
        let made = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            self.handles.control.apply(&caller, &change)
        });
        match made.await {
            Ok(Ok(done)) => {
                let created = matches!(&done, Done::Changed(changed) if changed.created);
                (if created { StatusCode::CREATED } else { StatusCode::OK }, Json(done)).into_response()
            }
            Ok(Err(problem)) => refuse(&problem),
            Err(_) => failed("the change failed"),
        }
    }

    async fn metrics(self: Arc<Self>) -> Response {
        let Ok(turn) = self.scrape.clone().acquire_owned().await else { return failed("shutting down") };
        // Collectors walk maps under locks: not on a worker.
        let text = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            TextEncoder::new().encode_to_string(&self.handles.registry.gather())
        });
        match text.await {
            Ok(Ok(text)) => ([(header::CONTENT_TYPE, prometheus::TEXT_FORMAT)], text).into_response(),
            Ok(Err(e)) => failed(&e.to_string()),
            Err(_) => failed("a collector failed"),
        }
    }
}

/// What can be asked here.
fn index() -> String {
    let mut text = "Tollgate\n\n".to_owned();
    for route in ROUTES {
        let query: Vec<&str> = route.query.iter().map(|parameter| parameter.name).collect();
        let query = if query.is_empty() { String::new() } else { format!(" (?{})", query.join(" &")) };
        text.push_str(&format!("{:6} {:42} {}{query}\n", route.method.name(), route.path, route.summary));
    }
    text
}

fn refuse(problem: &Problem) -> Response {
    let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = (status, Json(problem)).into_response();
    if status == StatusCode::UNAUTHORIZED {
        response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    if matches!(status, StatusCode::PAYLOAD_TOO_LARGE | StatusCode::REQUEST_TIMEOUT) {
        // What is left of the body is not read.
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

fn failed(why: &str) -> Response {
    refuse(&Problem::new(500, "failed", why))
}

async fn security_headers(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    for (name, value) in SECURITY_HEADERS {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}
