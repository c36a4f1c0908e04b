//! Every family of `/metrics` that a session moves, read over HTTP before and after a few exchanges: by how much, exactly.

#[path = "support/program.rs"]
mod program;

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use program::{PATIENCE, Server};
use tollgate::wire::api::{create_topics, fetch, find_coordinator, metadata, offset_commit, produce};
use tollgate::wire::record::{BatchBuilder, BatchHeader, Compressor, Headers};
use tollgate::wire::{Payload, Request, RequestBody, Response, ResponseBody, Str};

/// Series, labels and all, and what they are at.
struct Scrape(BTreeMap<String, f64>);

impl Scrape {
    fn of(server: &Server) -> Self {
        let answer = server.get("/metrics");
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        let body = answer.split("\r\n\r\n").nth(1).expect("a body");
        let lines = body.lines().filter(|line| !line.starts_with('#'));
        let sample = |line: &str| line.rsplit_once(' ').map(|(s, v)| (s.to_owned(), v.parse::<f64>().ok()));
        Scrape(lines.filter_map(|line| sample(line).and_then(|(s, v)| Some((s, v?)))).collect())
    }

    /// 0 for a series that is not there yet.
    fn at(&self, series: &str) -> f64 {
        self.0.get(series).copied().unwrap_or(0.0)
    }
}

/// Scrapes until a series is at `value`: what is counted after an answer has left is there a little later.
fn once(server: &Server, series: &str, value: f64) -> Scrape {
    let started = Instant::now();
    loop {
        let scrape = Scrape::of(server);
        if scrape.at(series) == value {
            return scrape;
        }
        assert!(started.elapsed() < PATIENCE, "{series} is at {}, not {value}", scrape.at(series));
        std::thread::yield_now();
    }
}

/// What went over the wire for one api.
#[derive(Default)]
struct Traffic {
    exchanges: usize,
    sent: usize,
    received: usize,
}

/// A client that counts.
struct Client {
    stream: TcpStream,
    traffic: BTreeMap<&'static str, Traffic>,
}

impl Client {
    fn ask(&mut self, api: &'static str, version: i16, body: impl Into<RequestBody>) -> ResponseBody {
        let request = Request::new(version, 1, Some(Str::from_static("counted")), body.into()).unwrap();
        let key = request.api();
        let mut frame = BytesMut::new();
        for piece in request.encode().unwrap() {
            frame.extend_from_slice(&Payload::Pieces(vec![piece]).to_bytes().unwrap());
        }
        self.stream.write_all(&frame).unwrap();
        let mut length = [0; 4];
        self.stream.read_exact(&mut length).unwrap();
        let mut answer = vec![0; i32::from_be_bytes(length) as usize];
        self.stream.read_exact(&mut answer).unwrap();
        let traffic = self.traffic.entry(api).or_default();
        traffic.exchanges += 1;
        traffic.sent += frame.len();
        traffic.received += 4 + answer.len();
        Response::parse(key, version, Bytes::from(answer)).unwrap().body
    }
}

fn records(count: usize) -> Payload {
    let mut compressor = Compressor::new();
    let mut batch = BatchBuilder::new(BatchHeader::default(), &mut compressor);
    for _ in 0..count {
        batch.append(1_700_000_000_000, None, Some(b"value"), Headers::default()).unwrap();
    }
    Payload::Bytes(batch.finish().unwrap())
}

fn produce_to(topic: &'static str, count: usize) -> produce::Request {
    produce::Request {
        acks: -1,
        timeout_ms: 30_000,
        topic_data: vec![produce::TopicProduceData {
            name: Str::from_static(topic),
            partition_data: vec![produce::PartitionProduceData {
                records: records(count),
                ..Default::default()
            }],
            ..Default::default()
        }],
        ..Default::default()
    }
}

fn fetch_all() -> fetch::Request {
    fetch::Request {
        replica_id: -1,
        max_bytes: 1 << 20,
        topics: vec![fetch::FetchTopic {
            topic: Str::from_static("orders"),
            partitions: vec![fetch::FetchPartition { partition_max_bytes: 1 << 20, ..Default::default() }],
            ..Default::default()
        }],
        ..Default::default()
    }
}

fn commit(offset: i64) -> offset_commit::Request {
    offset_commit::Request {
        group_id: Str::from_static("g"),
        topics: vec![offset_commit::OffsetCommitRequestTopic {
            name: Str::from_static("orders"),
            partitions: vec![offset_commit::OffsetCommitRequestPartition {
                committed_offset: offset,
                ..Default::default()
            }],
            ..Default::default()
        }],
        ..Default::default()
    }
}

/// Two topics, five records, one refusal, a group that has read two of them.
fn converse(client: &mut Client) {
    let topic = |name| create_topics::CreatableTopic {
        name: Str::from_static(name),
        num_partitions: 1,
        replication_factor: -1,
        ..Default::default()
    };
    let request =
        create_topics::Request { topics: vec![topic("orders"), topic("orders")], ..Default::default() };
    client.ask("CreateTopics", 7, request);
    let request = create_topics::Request { topics: vec![topic("orders")], ..Default::default() };
    client.ask("CreateTopics", 7, request);
    client.ask("Produce", 9, produce_to("orders", 3));
    client.ask("Produce", 9, produce_to("orders", 2));
    client.ask("Produce", 9, produce_to("nowhere", 1));
    let ResponseBody::Fetch(fetched) = client.ask("Fetch", 12, fetch_all()) else { panic!("not a fetch") };
    assert_eq!(fetched.responses[0].partitions[0].high_watermark, 5);
    let request = find_coordinator::Request { key: Str::from_static("g"), ..Default::default() };
    client.ask("FindCoordinator", 3, request);
    let ResponseBody::OffsetCommit(committed) = client.ask("OffsetCommit", 8, commit(2)) else { panic!() };
    assert_eq!(committed.topics[0].partitions[0].error_code, 0);
    client.ask("Metadata", 12, metadata::Request::default());
}

#[test]
fn what_a_session_does_is_counted_exactly() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), &[]);
    let before = Scrape::of(&server);
    let stream = TcpStream::connect(server.kafka()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut client = Client { stream, traffic: BTreeMap::new() };
    converse(&mut client);
    let seconds = |api: &str| format!("tollgate_request_seconds_count{{api=\"{api}\"}}");
    let after = once(&server, &seconds("Metadata"), before.at(&seconds("Metadata")) + 1.0);
    let grew = |series: &str| after.at(series) - before.at(series);

    for (api, traffic) in &client.traffic {
        let of = |family: &str| grew(&format!("{family}{{api=\"{api}\"}}"));
        assert_eq!(of("tollgate_requests_total"), traffic.exchanges as f64, "{api}");
        assert_eq!(of("tollgate_request_bytes_total"), traffic.sent as f64, "{api}");
        assert_eq!(of("tollgate_response_bytes_total"), traffic.received as f64, "{api}");
        assert_eq!(of("tollgate_request_seconds_count"), traffic.exchanges as f64, "{api}");
        assert!(of("tollgate_request_seconds_sum") > 0.0, "{api}");
        let most = grew(&format!("tollgate_request_seconds_bucket{{api=\"{api}\",le=\"+Inf\"}}"));
        assert_eq!(most, traffic.exchanges as f64, "{api}");
    }
    let requests = after.0.iter().filter(|(series, _)| series.starts_with("tollgate_requests_total"));
    assert_eq!(requests.map(|(_, count)| count).sum::<f64>(), 9.0, "and nothing else");

    let errors = |scrape: &Scrape| -> BTreeMap<String, f64> {
        let all = scrape.0.iter().filter(|(series, _)| series.starts_with("tollgate_response_errors_total"));
        all.map(|(series, count)| (series.clone(), *count)).collect()
    };
    assert_eq!(errors(&before), BTreeMap::new());
    let error = |api: &str, code: &str, count: f64| {
        (format!("tollgate_response_errors_total{{api=\"{api}\",code=\"{code}\"}}"), count)
    };
    let expected =
        [error("CreateTopics", "INVALID_REQUEST", 1.0), error("Produce", "UNKNOWN_TOPIC_OR_PARTITION", 1.0)];
    assert_eq!(errors(&after), BTreeMap::from(expected));

    assert_eq!(grew("tollgate_sessions_accepted_total"), 1.0);
    assert_eq!(grew("tollgate_sessions{state=\"open\"}"), 1.0);
    let partition = "partition=\"0\",topic=\"orders\"";
    assert_eq!(after.at(&format!("tollgate_partition_high_watermark{{{partition}}}")), 5.0);
    assert_eq!(after.at(&format!("tollgate_partition_log_start_offset{{{partition}}}")), 0.0);
    assert_eq!(after.at(&format!("tollgate_group_lag{{group=\"g\",{partition}}}")), 3.0);
    assert_eq!(after.0.get("tollgate_partitions_offline"), Some(&0.0));
    assert_eq!(after.at("tollgate_metric_series_beyond_cap{metric=\"tollgate_group_lag\"}"), 0.0);

    // The group reads on, then the client goes.
    client.ask("OffsetCommit", 8, commit(5));
    assert_eq!(Scrape::of(&server).at(&format!("tollgate_group_lag{{group=\"g\",{partition}}}")), 0.0);
    drop(client);
    let ended = "tollgate_sessions_ended_total{cause=\"client_closed\"}";
    let gone = once(&server, ended, before.at(ended) + 1.0);
    assert_eq!(gone.at("tollgate_sessions{state=\"open\"}"), before.at("tollgate_sessions{state=\"open\"}"));
}
