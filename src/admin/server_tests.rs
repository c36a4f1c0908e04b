use super::super::control::*;
use super::super::handles::*;
use super::super::openapi;
use super::super::table::ROUTES;
use super::*;
use serde_json::Value;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::oneshot;

#[derive(Default)]
struct Fake {
    not_ready: AtomicBool,
    /// What was carried out, and what came no further than the door, with the word for why.
    asked: Mutex<Vec<(Caller, Change, &'static str)>>,
}

fn mask() -> PolicyStatus {
    let rule = RuleStatus {
        name: "a rule".into(),
        line: 2,
        kind: "chaos".into(),
        enabled: true,
        observe: false,
        expires_in_ms: Some(1),
        matched: 0,
        applied: 0,
        could_not_apply: 0,
    };
    PolicyStatus {
        name: "mask".into(),
        purpose: "hide".into(),
        file: "mask.rhai".into(),
        origin: "api".into(),
        enabled: true,
        mode: "enforce".into(),
        expires_in_ms: None,
        rules: vec![rule],
    }
}

impl PolicyControl for Fake {
    fn apply(&self, caller: &Caller, change: &Change) -> Result<Done, Problem> {
        self.asked.lock().unwrap().push((caller.clone(), change.clone(), "done"));
        if change.policy.as_deref() == Some("none") && change.text.is_none() {
            return Err(Problem::new(404, "missing", "there is none"));
        }
        if change.text.as_deref() == Some("bad") {
            let error = ScriptError {
                file: "api/x.rhai".into(),
                line: 1,
                column: 2,
                message: "no".into(),
                source: Some("bad".into()),
            };
            return Err(Problem { errors: vec![error], ..Problem::new(400, "script", "no") });
        }
        if change.action == Action::Reset {
            let (removed, kept) = (vec!["a".into()], vec![]);
            return Ok(Done::Reset(Reset { generation: 4, removed, kept, enabled: 1 }));
        }
        let created = change.action == Action::PutRule;
        Ok(Done::Changed(Changed { generation: 4, created, changed: true, policy: Some(mask()) }))
    }
    fn refused(&self, caller: &Caller, change: &Change, problem: &Problem) {
        self.asked.lock().unwrap().push((caller.clone(), change.clone(), problem.error));
    }
}

impl Tokens for Fake {
    fn name_of(&self, token: &[u8]) -> Option<String> {
        (token == b"secret").then(|| "ci".to_owned())
    }
}

impl PoliciesView for Fake {
    fn counts(&self) -> PolicyCounts {
        PolicyCounts::default()
    }

    fn policies(&self) -> PoliciesStatus {
        PoliciesStatus { generation: 3, policies: vec![mask()], refused_change: None }
    }
    fn policy(&self, name: &str) -> Option<PolicyScript> {
        (name == "mask").then(|| PolicyScript { status: mask(), text: "on_fetch()".into() })
    }
}

impl SessionsView for Fake {
    fn page(&self, after: u64, limit: usize) -> SessionsPage {
        SessionsPage { total: 9, sessions: vec![], next: Some(after + limit as u64) }
    }
}

impl ReadinessView for Fake {
    fn readiness(&self) -> Readiness {
        match self.not_ready.load(Ordering::Relaxed) {
            true => Readiness::NotReady("recovering".into()),
            false => Readiness::Ready,
        }
    }
}

struct Running {
    address: std::net::SocketAddr,
    stop: oneshot::Sender<()>,
    server: tokio::task::JoinHandle<std::io::Result<()>>,
    fake: Arc<Fake>,
}

async fn start(limits: Limits) -> Running {
    start_on("127.0.0.1:0", limits, false).await
}

async fn start_on(address: &str, limits: Limits, tokens: bool) -> Running {
    let fake = Arc::new(Fake::default());
    let registry = prometheus::Registry::new();
    let counter = prometheus::IntCounter::new("tollgate_test_total", "A counter.").unwrap();
    counter.inc();
    registry.register(Box::new(counter)).unwrap();
    let handles = AdminHandles {
        tls: None,
        registry,
        policies: fake.clone(),
        sessions: fake.clone(),
        readiness: fake.clone(),
        control: fake.clone(),
        tokens: tokens.then(|| fake.clone() as Arc<dyn Tokens>),
    };
    let listener = TcpListener::bind(address).await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel();
    let server = tokio::spawn(serve(listener, handles, limits, async {
        let _ = stopped.await;
    }));
    Running { address, stop, server, fake }
}

/// Sends raw bytes and reads to the end.
async fn exchange(address: std::net::SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

async fn get(address: std::net::SocketAddr, path: &str) -> String {
    exchange(address, &format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")).await
}

#[tokio::test]
async fn every_path_answers() {
    let running = start(Limits::default()).await;
    for (path, contains) in [
        ("/", "/v1/policies"),
        ("/metrics", "# TYPE tollgate_test_total counter\ntollgate_test_total 1\n"),
        ("/metrics", "content-type: text/plain; version=0.0.4"),
        ("/healthz", "ok\n"),
        ("/readyz", "ready\n"),
        ("/v1/policies", r#"{"generation":3,"policies":[{"name":"mask","purpose":"hide""#),
        ("/v1/sessions", r#"{"total":9,"sessions":[],"next":100}"#),
        ("/v1/sessions?after=5&limit=10", r#""next":15"#),
        ("/v1/sessions?limit=99999999", r#""next":1000"#),
    ] {
        let answer = get(running.address, path).await;
        assert!(answer.starts_with("HTTP/1.1 200 "), "{path}: {answer}");
        assert!(answer.contains(contains), "{path}: {answer}");
        assert!(answer.contains("x-content-type-options: nosniff"), "{path}: {answer}");
        assert!(answer.contains("content-security-policy: default-src 'none'"), "{path}: {answer}");
    }
}

#[tokio::test]
async fn readiness_is_a_status_code() {
    let running = start(Limits::default()).await;
    running.fake.not_ready.store(true, Ordering::Relaxed);
    let answer = get(running.address, "/readyz").await;
    assert!(answer.starts_with("HTTP/1.1 503 ") && answer.contains("not ready: recovering"), "{answer}");
    assert!(get(running.address, "/healthz").await.starts_with("HTTP/1.1 200 "));
}

#[tokio::test]
async fn what_no_operator_sends_is_refused() {
    let running = start(Limits::default()).await;
    let long = format!("GET /?{} HTTP/1.1\r\nHost: localhost\r\n\r\n", "x".repeat(20_000));
    for (request, status) in [
        ("GET / HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n", "403"),
        ("GET / HTTP/1.1\r\nConnection: close\r\n\r\n", "403"),
        ("GET / HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\nConnection: close\r\n\r\n", "403"),
        ("GET /nothing HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", "404"),
        ("POST /v1/policies HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", "405"),
        ("GET /v1/sessions?limit=x HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", "400"),
        ("GET /v1/sessions?nope=1 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", "400"),
        ("GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000000\r\n\r\n", "413"),
        ("GET / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n", "413"),
        (&long, "431"),
    ] {
        let answer = exchange(running.address, request).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{status}: {answer}");
    }
}

#[tokio::test]
async fn half_a_request_is_waited_for_only_so_long() {
    let running = start(Limits { head_timeout: Duration::from_millis(20), ..Limits::default() }).await;
    // Ends because the server gives up, not because we do.
    let answer = exchange(running.address, "GET / HTTP/1.1\r\nHost: loc").await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 408"), "{answer}");
}

#[tokio::test]
async fn connections_are_bounded_in_number_and_time() {
    let limits =
        Limits { connections: 1, connection_lifetime: Duration::from_millis(50), ..Limits::default() };
    let running = start(limits).await;
    let mut first = TcpStream::connect(running.address).await.unwrap();
    first.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    let mut byte = [0];
    first.read_exact(&mut byte).await.unwrap();
    // The first is kept alive and holds the only slot until its time is over; then the second is served.
    let answer = get(running.address, "/healthz").await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    let mut rest = Vec::new();
    first.read_to_end(&mut rest).await.unwrap();
}

#[tokio::test]
async fn stopping_ends_idle_connections_and_frees_the_port() {
    let running = start(Limits { drain: Duration::from_secs(60), ..Limits::default() }).await;
    let mut idle = TcpStream::connect(running.address).await.unwrap();
    idle.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    let mut byte = [0];
    idle.read_exact(&mut byte).await.unwrap();
    running.stop.send(()).unwrap();
    running.server.await.unwrap().unwrap();
    assert!(TcpStream::connect(running.address).await.is_err());
}

/// Sends a request with these headers beside the usual ones, and gives the status and the body.
async fn ask(
    address: std::net::SocketAddr,
    method: &str,
    path: &str,
    headers: &str,
    body: &str,
) -> (u16, String) {
    let length = match body {
        "" => String::new(),
        body => format!("Content-Length: {}\r\n", body.len()),
    };
    let host = if headers.contains("Host:") { "" } else { "Host: localhost\r\n" };
    let request =
        format!("{method} {path} HTTP/1.1\r\n{host}Connection: close\r\n{headers}{length}\r\n{body}");
    let answer = exchange(address, &request).await;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    (status.unwrap_or_else(|| panic!("{answer}")), body.to_owned())
}

#[tokio::test]
async fn a_change_is_asked_for_as_it_was_written() {
    let running = start(Limits::default()).await;
    let path = "/v1/policies/a/rules/on%20x(%22%2F%22).delay(1s)/disable?security=true";
    assert_eq!(ask(running.address, "POST", path, "", "").await.0, 200);
    assert_eq!(ask(running.address, "PUT", "/v1/rules/r?ttl=10m", "", "a text").await.0, 201);
    let asked = std::mem::take(&mut *running.fake.asked.lock().unwrap());
    let [(caller, first, "done"), (_, second, "done")] = &asked[..] else { panic!("{asked:?}") };
    assert_eq!(caller.name, "loopback");
    assert_ne!(caller.address.port(), 0);
    let change = Change {
        action: Action::DisableRule,
        policy: Some("a".into()),
        rule: Some("on x(\"/\").delay(1s)".into()),
        text: None,
        ttl: None,
        security: true,
    };
    assert_eq!(*first, change);
    let (text, ttl) = (Some("a text".to_owned()), Some("10m".to_owned()));
    let change =
        Change { action: Action::PutRule, policy: Some("r".into()), rule: None, text, ttl, security: false };
    assert_eq!(*second, change);
}

#[tokio::test]
async fn who_may_not_change_anything_changes_nothing_and_is_written_down() {
    let token = "Authorization: Bearer secret\r\n";
    let page = "Origin: http://evil.example\r\n";
    let rebound = "Host: evil.example\r\n";
    for (address, tokens, headers, status, word) in [
        ("127.0.0.1:0", false, "", 200, "done"),
        ("127.0.0.1:0", false, page, 403, "origin"),
        ("127.0.0.1:0", false, rebound, 403, "host"),
        ("127.0.0.1:0", true, "", 401, "token"),
        ("127.0.0.1:0", true, "Authorization: Bearer secre\r\n", 401, "token"),
        ("127.0.0.1:0", true, token, 200, "done"),
        ("0.0.0.0:0", false, "", 403, "no_token"),
        ("0.0.0.0:0", true, "", 401, "token"),
        ("0.0.0.0:0", true, token, 200, "done"),
    ] {
        let running = start_on(address, Limits::default(), tokens).await;
        let to = std::net::SocketAddr::from(([127, 0, 0, 1], running.address.port()));
        let (got, body) = ask(to, "PUT", "/v1/policies/p", headers, "a text").await;
        assert_eq!(got, status, "{address} {tokens} {headers}: {body}");
        let asked = std::mem::take(&mut *running.fake.asked.lock().unwrap());
        let [(caller, change, said)] = &asked[..] else { panic!("{asked:?}") };
        assert_eq!((*said, change.policy.as_deref()), (word, Some("p")));
        // What was not let in is not read.
        assert_eq!(change.text.is_some(), word == "done");
        let name = match (word, tokens) {
            ("done", true) => "ci",
            ("done", false) => "loopback",
            _ => "unknown",
        };
        assert_eq!(caller.name, name);
        // Reading stays what it was, but for scripts.
        assert_eq!(
            ask(to, "GET", "/v1/policies", if headers == page { "" } else { headers }, "").await.0,
            if word == "host" { 403 } else { 200 }
        );
        if matches!(word, "token" | "no_token") {
            assert_eq!(ask(to, "GET", "/v1/policies/mask", headers, "").await.0, status);
        }
    }
}

#[tokio::test]
async fn a_body_is_bounded_and_text() {
    let running = start(Limits::default()).await;
    let put = |body: String| async move { ask(running.address, "PUT", "/v1/policies/p", "", &body).await };
    let most = 1 << 20;
    assert_eq!(put("x".repeat(most)).await.0, 200);
    // Refused by its length, before it comes; and while it comes, when the length is not said.
    let said =
        format!("PUT /v1/policies/p HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n", most + 1);
    let answer = exchange(running.address, &said).await;
    assert!(answer.starts_with("HTTP/1.1 413 ") && answer.contains("connection: close"), "{answer}");
    let mut stream = TcpStream::connect(running.address).await.unwrap();
    let head = "PUT /v1/policies/p HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let chunk = format!("10000\r\n{}\r\n", "x".repeat(0x1_0000));
    // Once it is too long the server stops reading, and may close before all is written.
    for _ in 0..17 {
        let _ = stream.write_all(chunk.as_bytes()).await;
    }
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer).await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    let mut stream = TcpStream::connect(running.address).await.unwrap();
    let head =
        "PUT /v1/policies/p HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 2\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(&[0xff, 0xfe]).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains("not UTF-8"), "{answer}");
    let done = running.fake.asked.lock().unwrap().iter().filter(|(_, _, word)| *word == "done").count();
    assert_eq!(done, 1);
}

#[tokio::test]
async fn half_a_script_is_waited_for_only_so_long() {
    let running = start(Limits { body_timeout: Duration::from_millis(20), ..Limits::default() }).await;
    let head = "PUT /v1/policies/p HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\non_fetch";
    // Ends because the server gives up, not because we do.
    let answer = exchange(running.address, head).await;
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert_eq!(running.fake.asked.lock().unwrap()[0].2, "body");
}

/// Each route, asked well and asked badly, answers with a status that the description has, in the shape that it has.
#[tokio::test]
async fn every_route_answers_as_it_is_described() {
    let running = start_on("127.0.0.1:0", Limits::default(), true).await;
    let token = "Authorization: Bearer secret\r\n";
    let (status, body) = ask(running.address, "GET", "/v1/openapi.json", "", "").await;
    assert_eq!(status, 200);
    let described: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(described, openapi::description());
    assert_eq!(described["openapi"], "3.1.0");
    let (mut operations, mut names) = (0, std::collections::HashSet::new());
    for (path, methods) in described["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            operations += 1;
            assert!(names.insert(operation["operationId"].as_str().unwrap().to_owned()), "{path} {method}");
            let has_body = !operation["requestBody"].is_null();
            let needs_token = !operation["security"].is_null();
            let ways = operation["security"].as_array().into_iter().flatten();
            let schemes: Vec<&str> = ways
                .flat_map(|way| way.as_object().unwrap().keys())
                .map(|name| described["components"]["securitySchemes"][name]["type"].as_str().unwrap())
                .collect();
            assert_eq!(schemes, if needs_token { vec!["http", "mutualTLS"] } else { vec![] });
            let fill = |name: &str| path.replace("{name}", name).replace("{rule}", "r");
            let (method, body) = (method.to_uppercase(), if has_body { "a text" } else { "" });
            let ways = [
                (fill("mask"), token, body, None),
                (fill("none"), token, body, (path.contains('{') && !has_body).then_some(404)),
                (fill("mask"), "", body, needs_token.then_some(401)),
                (fill("mask"), "Host: evil.example\r\n", body, Some(403)),
                (fill("mask") + "?nothing=1", token, body, Some(400)),
                (fill("mask"), token, "bad", Some(if has_body { 400 } else { 413 })),
            ];
            for (way, headers, body, wanted) in ways {
                let (status, text) = ask(running.address, &method, &way, headers, body).await;
                if let Some(wanted) = wanted {
                    assert_eq!(status, wanted, "{method} {way}: {text}");
                }
                let response = &operation["responses"][status.to_string()];
                assert!(!response.is_null(), "{method} {way} answers {status}, which is not described");
                let content = &response["content"]["application/json"]["schema"];
                if !content.is_null() {
                    let value = serde_json::from_str(&text).unwrap_or_else(|_| panic!("{way}: {text}"));
                    holds(&described, content, &value, &way);
                }
            }
        }
    }
    assert_eq!(operations, ROUTES.len());
}

/// Whether a value has the shape of a schema, as far as the description uses JSON schema.
fn holds(all: &Value, schema: &Value, value: &Value, at: &str) {
    if let Some(reference) = schema["$ref"].as_str() {
        let named =
            all.pointer(reference.strip_prefix('#').unwrap()).unwrap_or_else(|| panic!("{reference}"));
        return holds(all, named, value, at);
    }
    match schema["type"].as_str().unwrap() {
        "object" => {
            let fields = value.as_object().unwrap_or_else(|| panic!("{at}: {value} is no object"));
            for name in schema["required"].as_array().into_iter().flatten() {
                assert!(fields.contains_key(name.as_str().unwrap()), "{at}: {name} is missing in {value}");
            }
            let Some(properties) = schema["properties"].as_object() else { return };
            for (name, value) in fields {
                let schema = properties.get(name).unwrap_or_else(|| panic!("{at}: {name} is not described"));
                holds(all, schema, value, &format!("{at}.{name}"));
            }
        }
        "array" => value.as_array().unwrap().iter().for_each(|value| holds(all, &schema["items"], value, at)),
        "string" => {
            let text = value.as_str().unwrap_or_else(|| panic!("{at}: {value} is no string"));
            if let Some(values) = schema["enum"].as_array() {
                assert!(values.iter().any(|known| known == text), "{at}: {text}");
            }
        }
        "integer" => assert!(value.is_u64(), "{at}: {value}"),
        "boolean" => assert!(value.is_boolean(), "{at}: {value}"),
        other => panic!("{at}: {other}"),
    }
}
