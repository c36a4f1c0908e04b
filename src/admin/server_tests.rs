use super::super::handles::*;
use super::*;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::oneshot;

#[derive(Default)]
struct Fake {
    not_ready: AtomicBool,
}

impl PoliciesView for Fake {
    fn counts(&self) -> PolicyCounts {
        PolicyCounts::default()
    }

    fn policies(&self) -> PoliciesStatus {
        let policy = PolicyStatus {
            name: "mask".into(),
            purpose: "hide".into(),
            file: "mask.rhai".into(),
            mode: "enforce".into(),
            expires_in_ms: None,
            rules: vec![],
        };
        PoliciesStatus { generation: 3, policies: vec![policy], refused_change: None }
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
    let fake = Arc::new(Fake::default());
    let registry = prometheus::Registry::new();
    let counter = prometheus::IntCounter::new("tollgate_test_total", "A counter.").unwrap();
    counter.inc();
    registry.register(Box::new(counter)).unwrap();
    let handles =
        AdminHandles { registry, policies: fake.clone(), sessions: fake.clone(), readiness: fake.clone() };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
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
        ("DELETE /v1/policies HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", "405"),
        ("GET /v1/sessions?limit=x HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", "400"),
        ("GET /v1/sessions?nope=1 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", "400"),
        ("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000000\r\n\r\n", "413"),
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
