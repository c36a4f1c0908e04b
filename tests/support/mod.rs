//! What whole-program tests share: a gateway in front of an upstream that a test writes, and a client that speaks frames.
#![allow(dead_code, reason = "each test binary uses its own part")]

use bytes::Bytes;
use std::{
    io,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tollgate::gateway::{
    Caller, Gateway, Limits, Listener, ListenerConfig, SaslConfig, Submitted, Upstream,
    link::proxies::Proxies, metrics::Metrics,
};
use tollgate::policy::{
    capture::Capture,
    generation::{Policies, Settings, Shared},
    load::Script,
};
use tollgate::wire::{
    ApiKey, Piece, Request, RequestBody, Response, ResponseBody, Str,
    api::{api_versions, fetch, heartbeat, produce},
};

/// An upstream made of a closure; it keeps what it was asked.
pub struct Scripted<F> {
    pub asked: Mutex<Vec<(String, RequestBody)>>,
    answer: F,
}

impl<F: Fn(&Caller, Request) -> Submitted + Send + Sync> Scripted<F> {
    pub fn new(answer: F) -> Arc<Self> {
        Arc::new(Scripted { asked: Mutex::default(), answer })
    }

    /// The apis asked for, in order.
    pub fn apis(&self) -> Vec<ApiKey> {
        self.asked.lock().unwrap().iter().map(|(_, body)| body.api()).collect()
    }
}

impl<F: Fn(&Caller, Request) -> Submitted + Send + Sync> Upstream for Scripted<F> {
    fn submit(&self, caller: &Arc<Caller>, mut request: Request) -> Submitted {
        if let Ok(body) = request.body() {
            self.asked.lock().unwrap().push((caller.principal.to_string(), body.clone()));
        }
        (self.answer)(caller, request)
    }

    fn unknown_api_versions(&self, _: &Arc<Caller>, correlation_id: i32) -> Response {
        let body = api_versions::ApiVersionsResponse { error_code: 35, ..Default::default() };
        let header_tags = Default::default();
        Response {
            api: ApiKey::ApiVersions,
            version: 0,
            correlation_id,
            header_tags,
            body: ResponseBody::from(body),
        }
    }
}

/// Answers everything at once as a broker that agrees would.
pub fn agreeable(_: &Caller, mut request: Request) -> Submitted {
    Submitted::Now(agree(&mut request))
}

pub fn agree(request: &mut Request) -> Option<Response> {
    let body = request.body().ok()?.clone();
    let body: ResponseBody = match body {
        RequestBody::Produce(p) if p.acks == 0 => return None,
        RequestBody::Produce(p) => produce::ProduceResponse {
            responses: p
                .topic_data
                .iter()
                .map(|t| produce::TopicProduceResponse {
                    name: t.name.clone(),
                    topic_id: t.topic_id,
                    partition_responses: t
                        .partition_data
                        .iter()
                        .map(|p| produce::PartitionProduceResponse {
                            index: p.index,
                            base_offset: 7,
                            ..Default::default()
                        })
                        .collect(),
                    ..Default::default()
                })
                .collect(),
            ..Default::default()
        }
        .into(),
        RequestBody::Fetch(_) => fetch::FetchResponse::default().into(),
        RequestBody::Heartbeat(_) => heartbeat::HeartbeatResponse::default().into(),
        other => other.answer(request.version(), tollgate::wire::ErrorCode::NONE)?,
    };
    Some(Response::new(request, body))
}

/// A gateway on a port of its own.
pub struct Running {
    pub address: SocketAddr,
    pub gateway: Arc<Gateway>,
    pub registry: prometheus::Registry,
    /// Proxies to it, of which there are none at first.
    pub proxies: Arc<Proxies>,
}

pub async fn start(upstream: Arc<dyn Upstream>, limits: Limits) -> Running {
    start_with(upstream, limits, &[]).await
}

/// With policies: file names and their texts.
pub async fn start_with(upstream: Arc<dyn Upstream>, limits: Limits, scripts: &[(&str, &str)]) -> Running {
    start_for(upstream, limits, scripts, None).await
}

/// With logins as well.
pub async fn start_for(
    upstream: Arc<dyn Upstream>,
    limits: Limits,
    scripts: &[(&str, &str)],
    sasl: Option<SaslConfig>,
) -> Running {
    start_recorded(upstream, limits, scripts, sasl, None).await
}

/// With a capture as well.
pub async fn start_recorded(
    upstream: Arc<dyn Upstream>,
    limits: Limits,
    scripts: &[(&str, &str)],
    sasl: Option<SaslConfig>,
    capture: Option<Arc<Capture>>,
) -> Running {
    let scripts: Vec<Script> =
        scripts.iter().map(|(file, text)| Script { file: file.into(), text: (*text).into() }).collect();
    let policies = Policies::new(Shared::new(Settings::default()));
    policies.load(&scripts).unwrap_or_else(|errors| panic!("{errors:?}"));
    let registry = prometheus::Registry::new();
    let metrics = Metrics::new(&registry).unwrap();
    let gateway = Gateway::new(limits, metrics, upstream, policies, capture);
    let config = ListenerConfig {
        name: "test".into(),
        address: "127.0.0.1:0".parse().unwrap(),
        advertised: None,
        sasl,
        tls: None,
    };
    let listener = Listener::bind(config).unwrap();
    let address = listener.address();
    let proxies = Proxies::new(gateway.clone(), [&listener], Duration::from_secs(5));
    tokio::spawn(proxies.clone().serve());
    tokio::spawn(listener.serve(gateway.clone(), Duration::from_secs(5)));
    Running { address, gateway, registry, proxies }
}

impl Running {
    pub async fn client(&self) -> Client {
        Client::of(TcpStream::connect(self.address).await.unwrap())
    }

    /// The value of a counter or gauge with these labels; 0 when it is not there.
    pub fn metric(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let has = |m: &prometheus::proto::Metric| {
            labels.iter().all(|(k, v)| m.get_label().iter().any(|l| l.name() == *k && l.value() == *v))
        };
        let families = self.registry.gather();
        let family = families.iter().filter(|f| f.name() == name);
        family
            .flat_map(|f| f.get_metric())
            .filter(|m| has(m))
            .map(|m| m.get_counter().get_value() + m.get_gauge().get_value())
            .sum()
    }

    /// Waits until the metric is at least `value`.
    pub async fn until(&self, name: &str, labels: &[(&str, &str)], value: f64) {
        tokio::time::timeout(Duration::from_secs(20), async {
            while self.metric(name, labels) < value {
                tokio::task::yield_now().await;
            }
        })
        .await
        .unwrap_or_else(|_| panic!("{name} {labels:?} stayed at {}", self.metric(name, labels)));
    }
}

/// A client that writes and reads frames.
pub struct Client {
    pub stream: TcpStream,
    correlation_id: i32,
}

impl Client {
    pub fn of(stream: TcpStream) -> Client {
        Client { stream, correlation_id: 0 }
    }

    pub async fn send(&mut self, version: i16, client_id: &str, body: impl Into<RequestBody>) -> i32 {
        self.correlation_id += 1;
        let client_id = Some(Str::from(client_id));
        let request = Request::new(version, self.correlation_id, client_id, body.into()).unwrap();
        self.send_raw(&flat(&request.encode().unwrap())).await;
        self.correlation_id
    }

    pub async fn send_raw(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    /// The payload of the next frame; an error when the connection ended.
    pub async fn frame(&mut self) -> io::Result<Bytes> {
        let len = self.stream.read_u32().await?;
        let mut payload = vec![0; len as usize];
        self.stream.read_exact(&mut payload).await?;
        Ok(payload.into())
    }

    pub async fn receive(&mut self, api: ApiKey, version: i16) -> Response {
        let frame =
            tokio::time::timeout(Duration::from_secs(20), self.frame()).await.expect("no answer").unwrap();
        Response::parse(api, version, frame).unwrap()
    }

    pub async fn ask(&mut self, version: i16, body: impl Into<RequestBody>) -> ResponseBody {
        let body = body.into();
        let api = body.api();
        let sent = self.send(version, "test", body).await;
        let response = self.receive(api, version).await;
        assert_eq!(response.correlation_id, sent);
        response.body
    }

    /// Waits until the peer closes; gives what it sent before.
    pub async fn closed(&mut self) -> io::Result<Vec<u8>> {
        let mut rest = Vec::new();
        tokio::time::timeout(Duration::from_secs(20), self.stream.read_to_end(&mut rest))
            .await
            .expect("still open")?;
        Ok(rest)
    }
}

pub fn flat(pieces: &[Piece]) -> Vec<u8> {
    let mut out = Vec::new();
    for piece in pieces {
        let Piece::Bytes(bytes) = piece else { panic!("not in memory") };
        out.extend_from_slice(bytes);
    }
    out
}

pub fn heartbeat(group: &str) -> heartbeat::HeartbeatRequest {
    heartbeat::HeartbeatRequest { group_id: Str::from(group), ..Default::default() }
}
