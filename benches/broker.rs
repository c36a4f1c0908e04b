//! What quotas and access control lists cost a request to the embedded broker. `cargo bench --bench broker`.
//!
//! A fetch of one partition that holds nothing, with no quota at all, with quotas for somebody else, and with quotas that
//! are never reached; a decision of the authorizer among few and very many bindings, for a name that one of them allows
//! and for one that none is about.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tollgate::broker::acl::STANDARD_AUTHORIZER;
use tollgate::broker::catalogue::NewTopic;
use tollgate::broker::{Broker, BrokerConfig, Context, Reply};
use tollgate::storage::files::RealFiles;
use tollgate::storage::{FlushMode, Storage, StorageConfig};
use tollgate::wire::api::{Resource, alter_client_quotas, create_acls, fetch};
use tollgate::wire::{Operation, Piece, Request, RequestBody, Response, Str};

const HOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
/// What one CreateAcls request may carry.
const ACLS_A_REQUEST: usize = 10_000;

struct Bench {
    runtime: Runtime,
    broker: Arc<Broker>,
    cx: Context,
    _dir: TempDir,
}

impl Bench {
    fn new(properties: &[(&str, &str)]) -> Self {
        let dir = TempDir::new().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let config = StorageConfig { flush: FlushMode::Os, ..StorageConfig::default() };
        let storage = Storage::open(Arc::new(RealFiles::new()), dir.path(), config).unwrap();
        let properties =
            properties.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
        let config = BrokerConfig { properties, ..BrokerConfig::default() };
        let broker = runtime.block_on(Broker::open(config, storage)).unwrap();
        let topic = NewTopic { name: Str::from("orders"), partitions: 1, overrides: BTreeMap::new() };
        assert!(broker.catalogue().create(vec![topic]).iter().all(Result::is_ok));
        let cx = Context {
            principal: "User:ada".into(),
            client_id: Some("bench".into()),
            client_host: HOST,
            session: 1,
            listener: "PLAINTEXT".into(),
            advertised_host: "localhost".into(),
            advertised_port: 9092,
        };
        Bench { runtime, broker, cx, _dir: dir }
    }

    fn ask(&self, frame: Bytes) -> Option<Response> {
        let request = Request::parse(frame).unwrap();
        match self.broker.handle(&self.cx, request) {
            Reply::Now(response) => response,
            Reply::Later { response, .. } => self.runtime.block_on(response),
            Reply::Metered { response, .. } => self.runtime.block_on(response).0,
            Reply::Close => None,
        }
    }

    fn set_quotas(&self, user: &str) {
        let entity = |kind: &str, name: &str| alter_client_quotas::Entity {
            entity_type: kind.into(),
            entity_name: Some(name.into()),
            ..Default::default()
        };
        let op = |key: &str, value| alter_client_quotas::Op { key: key.into(), value, ..Default::default() };
        let entry = alter_client_quotas::Entry {
            entity: vec![entity("user", user)],
            ops: vec![op("consumer_byte_rate", 1e12), op("request_percentage", 1e6)],
            ..Default::default()
        };
        let request = alter_client_quotas::Request { entries: vec![entry], ..Default::default() };
        assert!(self.ask(frame(1, request.into())).is_some());
    }
}

/// A request as a parser meets it, without its length.
fn frame(version: i16, body: RequestBody) -> Bytes {
    let request = Request::new(version, 1, Some("bench".into()), body).unwrap();
    let pieces = request.encode().unwrap();
    let bytes = pieces.iter().filter_map(|piece| match piece {
        Piece::Bytes(bytes) => Some(&bytes[..]),
        _ => None,
    });
    Bytes::from(bytes.collect::<Vec<_>>().concat()).slice(4..)
}

fn quotas(c: &mut Criterion) {
    let partition = fetch::FetchPartition { partition_max_bytes: 1 << 20, ..Default::default() };
    let topic =
        fetch::FetchTopic { topic: "orders".into(), partitions: vec![partition], ..Default::default() };
    let body =
        fetch::Request { topics: vec![topic], max_bytes: 1 << 20, session_epoch: -1, ..Default::default() };
    let fetch = frame(12, body.into());
    let mut group = c.benchmark_group("quota");
    for (name, user) in [("none", None), ("of others", Some("bob")), ("never reached", Some("ada"))] {
        let bench = Bench::new(&[]);
        if let Some(user) = user {
            bench.set_quotas(user);
        }
        group.bench_function(name, |b| b.iter(|| black_box(bench.ask(fetch.clone()))));
    }
    group.finish();
}

fn acls(c: &mut Criterion) {
    let mut group = c.benchmark_group("acl");
    for count in [10, 1_000, 90_000] {
        let bench = Bench::new(&[("authorizer.class.name", STANDARD_AUTHORIZER)]);
        let acl = |n: usize| create_acls::AclCreation {
            resource_type: 2,
            resource_name: format!("topic-{n}").into(),
            // every tenth for a prefix
            resource_pattern_type: if n.is_multiple_of(10) { 4 } else { 3 },
            principal: format!("User:u{}", n % 100).into(),
            host: "*".into(),
            operation: 3,
            permission_type: 3,
            ..Default::default()
        };
        let all: Vec<usize> = (0..count).collect();
        for some in all.chunks(ACLS_A_REQUEST) {
            let creations = some.iter().map(|n| acl(*n)).collect();
            let request = create_acls::Request { creations, ..Default::default() };
            assert!(bench.ask(frame(3, request.into())).is_some());
        }
        let authorizer = bench.broker.acls().authorizer().unwrap();
        assert_eq!(authorizer.count(), count);
        for (name, topic) in [("allowed", "topic-7"), ("no binding", "elsewhere")] {
            group.bench_with_input(BenchmarkId::new(name, count), topic, |b, topic| {
                b.iter(|| {
                    black_box(authorizer.decide("User:u7", HOST, Operation::Read, Resource::Topic, topic))
                });
            });
        }
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20).measurement_time(std::time::Duration::from_secs(2)).warm_up_time(std::time::Duration::from_millis(500));
    targets = quotas, acls
}
criterion_main!(benches);
