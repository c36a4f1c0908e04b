//! A load client for paired runs: the same frames at any Kafka broker, and what that cost the broker's process.
//!
//! `cargo bench --bench load -- --bootstrap 127.0.0.1:9092 --pid PID MODE …` where MODE is
//! `produce` (pipelined, acks=all, for `--seconds`), `attempts` (the same, until `--records` were sent: payments of users that fail
//! once each, for `policies/fraud-window.rhai`), `consume` (reads what is there, over and over), `latency` (`--rate` single
//! records a second, acks=all). `scripts/bench` runs it against Tollgate and Apache Kafka in turn.
//! Prints one line: `mode records/s records/broker-CPU-s MB/s p50_ms p99_ms`.

#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_macros,
    reason = "a program of its own: it prints its result and reads the clock"
)]

use bytes::{Buf, Bytes};
use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tollgate::wire::{
    ApiKey, Payload, Piece, Request, RequestBody, Response, ResponseBody, Str,
    api::{create_topics, fetch, metadata, produce},
    record::{BatchBuilder, BatchHeader, Compressor, batches},
};

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// What was typed.
#[derive(Clone)]
struct Options {
    bootstrap: String,
    pid: Option<u32>,
    mode: String,
    topic: String,
    record_bytes: usize,
    batch_bytes: usize,
    connections: usize,
    in_flight: usize,
    seconds: f64,
    rate: u64,
    acks: i16,
    records: u64,
}

impl Options {
    fn parse() -> Result<Options, Failure> {
        let mut options = Options {
            bootstrap: "127.0.0.1:9092".into(),
            pid: None,
            mode: String::new(),
            topic: "bench".into(),
            record_bytes: 1000,
            batch_bytes: 16 * 1024,
            connections: 1,
            in_flight: 5,
            seconds: 5.0,
            rate: 5000,
            acks: -1,
            records: 1_000_000,
        };
        let mut words = std::env::args().skip(1).filter(|word| word != "--bench");
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or(format!("{word} wants a value"));
            match word.as_str() {
                "--bootstrap" => options.bootstrap = value()?,
                "--pid" => options.pid = Some(value()?.parse()?),
                "--topic" => options.topic = value()?,
                "--record-bytes" => options.record_bytes = value()?.parse()?,
                "--batch-bytes" => options.batch_bytes = value()?.parse()?,
                "--connections" => options.connections = value()?.parse()?,
                "--in-flight" => options.in_flight = value()?.parse()?,
                "--seconds" => options.seconds = value()?.parse()?,
                "--rate" => options.rate = value()?.parse()?,
                "--acks" => options.acks = value()?.parse()?,
                "--records" => options.records = value()?.parse()?,
                mode => options.mode = mode.into(),
            }
        }
        Ok(options)
    }
}

fn main() -> Result<(), Failure> {
    let options = Options::parse()?;
    if options.mode.is_empty() {
        // `cargo bench` without arguments runs every bench; this one needs a broker.
        eprintln!("load: no mode given (produce, attempts, consume, latency); see scripts/bench");
        return Ok(());
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    runtime.block_on(run(options))
}

async fn run(options: Options) -> Result<(), Failure> {
    create_topic(&options).await?;
    let cpu_before = cpu_seconds(options.pid);
    let started = Instant::now();
    let counted = Arc::new(Counted::default());
    let mut tasks = tokio::task::JoinSet::new();
    for partition in 0..options.connections as i32 {
        let (options, counted) = (options.clone(), counted.clone());
        tasks.spawn(async move {
            match options.mode.as_str() {
                "produce" => produce_load(options, partition, counted).await,
                "attempts" => attempts_load(options, partition, counted).await,
                "consume" => consume_load(options, partition, counted).await,
                "latency" => latency_load(options, partition, counted).await,
                other => Err(format!("unknown mode {other}").into()),
            }
        });
    }
    let mut latencies = Vec::new();
    while let Some(done) = tasks.join_next().await {
        latencies.extend(done??);
    }
    let elapsed = started.elapsed().as_secs_f64();
    let cpu = cpu_seconds(options.pid) - cpu_before;
    let (records, bytes) = (counted.records.load(Relaxed) as f64, counted.bytes.load(Relaxed) as f64);
    latencies.sort_unstable();
    let quantile = |q: f64| {
        let at = ((latencies.len() as f64 * q) as usize).min(latencies.len().saturating_sub(1));
        latencies.get(at).map_or(0.0, |ns: &u64| *ns as f64 / 1e6)
    };
    println!(
        "{} {:.0} records/s {:.0} records/CPU-s {:.1} MB/s p50 {:.3} ms p99 {:.3} ms",
        options.mode,
        records / elapsed,
        if cpu > 0.0 { records / cpu } else { 0.0 },
        bytes / elapsed / 1e6,
        quantile(0.5),
        quantile(0.99),
    );
    Ok(())
}

#[derive(Default)]
struct Counted {
    records: AtomicU64,
    bytes: AtomicU64,
}

/// User and system time of a process so far, in seconds.
fn cpu_seconds(pid: Option<u32>) -> f64 {
    let Some(pid) = pid else { return 0.0 };
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let after = stat.rsplit(')').next().unwrap_or_default();
    let ticks = |n: usize| after.split_whitespace().nth(n).and_then(|t| t.parse::<f64>().ok()).unwrap_or(0.0);
    (ticks(11) + ticks(12)) / 100.0
}

struct Connection {
    stream: TcpStream,
    next: i32,
}

impl Connection {
    async fn open(options: &Options) -> Result<Connection, Failure> {
        let stream = TcpStream::connect(&options.bootstrap).await?;
        stream.set_nodelay(true)?;
        Ok(Connection { stream, next: 0 })
    }

    fn frame(&mut self, version: i16, body: impl Into<RequestBody>) -> Result<Vec<Piece>, Failure> {
        self.next += 1;
        let client = Some(Str::from_static("load"));
        Ok(Request::new(version, self.next, client, body.into()).ok_or("no such version")?.encode()?)
    }

    async fn send(&mut self, pieces: &[Piece]) -> Result<(), Failure> {
        for piece in pieces {
            if let Piece::Bytes(bytes) = piece {
                self.stream.write_all(bytes).await?;
            }
        }
        Ok(())
    }

    async fn receive(&mut self, buffer: &mut Vec<u8>) -> Result<(), Failure> {
        let len = self.stream.read_u32().await? as usize;
        buffer.resize(len, 0);
        self.stream.read_exact(buffer).await?;
        Ok(())
    }

    async fn ask(&mut self, version: i16, body: impl Into<RequestBody>) -> Result<ResponseBody, Failure> {
        let body = body.into();
        let api = body.api();
        let pieces = self.frame(version, body)?;
        self.send(&pieces).await?;
        let mut buffer = Vec::new();
        self.receive(&mut buffer).await?;
        Ok(Response::parse(api, version, buffer.into())?.body)
    }
}

async fn create_topic(options: &Options) -> Result<(), Failure> {
    let mut connection = Connection::open(options).await?;
    let topic = create_topics::CreatableTopic {
        name: Str::from(options.topic.as_str()),
        num_partitions: options.connections as i32,
        replication_factor: 1,
        ..Default::default()
    };
    connection
        .ask(5, create_topics::CreateTopicsRequest { topics: vec![topic], ..Default::default() })
        .await?;
    let asked = metadata::MetadataRequestTopic {
        name: Some(Str::from(options.topic.as_str())),
        ..Default::default()
    };
    loop {
        let request = metadata::MetadataRequest { topics: Some(vec![asked.clone()]), ..Default::default() };
        let ResponseBody::Metadata(said) = connection.ask(9, request).await? else { continue };
        let led = |t: &metadata::MetadataResponseTopic| {
            t.error_code == 0
                && t.partitions.len() >= options.connections
                && t.partitions.iter().all(|p| p.leader_id >= 0)
        };
        if said.topics.iter().any(led) {
            return Ok(());
        }
    }
}

/// One batch of about `batch_bytes`; its records are `record_bytes` long.
fn batch(record_bytes: usize, batch_bytes: usize) -> Result<(Bytes, u64), Failure> {
    let count = (batch_bytes / (record_bytes + 8)).max(1);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_millis() as i64;
    let header = BatchHeader { base_timestamp: now, max_timestamp: now, ..BatchHeader::default() };
    let mut compressor = Compressor::default();
    let mut builder = BatchBuilder::new(header, &mut compressor);
    let value: Vec<u8> = (0..record_bytes).map(|i| b'a' + (i % 26) as u8).collect();
    for _ in 0..count {
        builder.append(now, None, Some(&value), Default::default())?;
    }
    Ok((builder.finish()?, count as u64))
}

fn produce_request(options: &Options, partition: i32, batch: &Bytes) -> produce::ProduceRequest {
    let data = produce::PartitionProduceData {
        index: partition,
        records: Payload::Bytes(batch.clone()),
        ..Default::default()
    };
    let topic = produce::TopicProduceData {
        name: Str::from(options.topic.as_str()),
        partition_data: vec![data],
        ..Default::default()
    };
    produce::ProduceRequest {
        acks: options.acks,
        timeout_ms: 30_000,
        topic_data: vec![topic],
        ..Default::default()
    }
}

fn accepted(buffer: &[u8]) -> Result<(), Failure> {
    let said = Response::parse(ApiKey::Produce, 9, Bytes::copy_from_slice(buffer))?;
    let mut first = 0;
    said.body.errors(&mut |code| first = if first == 0 { code } else { first });
    if first == 0 { Ok(()) } else { Err(format!("produce answered error {first}").into()) }
}

async fn produce_load(options: Options, partition: i32, counted: Arc<Counted>) -> Result<Vec<u64>, Failure> {
    let mut connection = Connection::open(&options).await?;
    let (batch, count) = batch(options.record_bytes, options.batch_bytes)?;
    let deadline = Instant::now() + Duration::from_secs_f64(options.seconds);
    let (mut sent, mut latencies, mut buffer) = (VecDeque::new(), Vec::new(), Vec::new());
    loop {
        while sent.len() < options.in_flight && Instant::now() < deadline {
            let pieces = connection.frame(9, produce_request(&options, partition, &batch))?;
            sent.push_back(Instant::now());
            connection.send(&pieces).await?;
        }
        let Some(at) = sent.pop_front() else { return Ok(latencies) };
        connection.receive(&mut buffer).await?;
        accepted(&buffer)?;
        latencies.push(at.elapsed().as_nanos() as u64);
        counted.records.fetch_add(count, Relaxed);
        counted.bytes.fetch_add(batch.len() as u64, Relaxed);
    }
}

/// Payments of users that nobody else names, every second of which failed.
fn attempts(partition: i32, first: u64, count: u64) -> Result<Bytes, Failure> {
    let mut compressor = Compressor::default();
    let mut builder = BatchBuilder::new(BatchHeader::default(), &mut compressor);
    for n in first..first + count {
        let status = if n % 2 == 0 { "ok" } else { "failed" };
        let value = format!("{{\"user\":\"u{partition}-{n}\",\"status\":\"{status}\",\"amount\":{n}}}");
        builder.append(0, None, Some(value.as_bytes()), Default::default())?;
    }
    Ok(builder.finish()?)
}

async fn attempts_load(options: Options, partition: i32, counted: Arc<Counted>) -> Result<Vec<u64>, Failure> {
    let mut connection = Connection::open(&options).await?;
    let total = options.records / options.connections.max(1) as u64;
    let a_batch = (options.batch_bytes / 64).max(1) as u64;
    let (mut sent, mut latencies, mut buffer, mut next) = (VecDeque::new(), Vec::new(), Vec::new(), 0);
    loop {
        while sent.len() < options.in_flight && next < total {
            let count = a_batch.min(total - next);
            let batch = attempts(partition, next, count)?;
            next += count;
            let pieces = connection.frame(9, produce_request(&options, partition, &batch))?;
            sent.push_back((Instant::now(), count, batch.len() as u64));
            connection.send(&pieces).await?;
        }
        let Some((at, count, bytes)) = sent.pop_front() else { return Ok(latencies) };
        connection.receive(&mut buffer).await?;
        accepted(&buffer)?;
        latencies.push(at.elapsed().as_nanos() as u64);
        counted.records.fetch_add(count, Relaxed);
        counted.bytes.fetch_add(bytes, Relaxed);
    }
}

async fn latency_load(options: Options, partition: i32, counted: Arc<Counted>) -> Result<Vec<u64>, Failure> {
    let mut connection = Connection::open(&options).await?;
    let (batch, _) = batch(options.record_bytes, 1)?;
    let frame = connection.frame(9, produce_request(&options, partition, &batch))?;
    let start = Instant::now();
    let total = (options.rate as f64 * options.seconds) as u64;
    let gap = Duration::from_nanos(1_000_000_000 / options.rate.max(1));
    let (mut read, mut write) = connection.stream.into_split();
    let reader = async {
        let (mut latencies, mut buffer) = (Vec::new(), Vec::new());
        for n in 0..total {
            let len = read.read_u32().await? as usize;
            buffer.resize(len, 0);
            read.read_exact(&mut buffer).await?;
            accepted(&buffer)?;
            // Against the time it should have left: a stall counts for everyone behind it.
            latencies.push((start + gap * n as u32).elapsed().as_nanos() as u64);
            counted.records.fetch_add(1, Relaxed);
        }
        Ok::<_, Failure>(latencies)
    };
    let writer = async {
        for n in 0..total {
            let due = start + gap * n as u32;
            // The timer is a millisecond coarse; the last stretch is waited out by yielding.
            if let Some(left) = due.checked_duration_since(Instant::now() + Duration::from_millis(2)) {
                tokio::time::sleep(left).await;
            }
            while Instant::now() < due {
                tokio::task::yield_now().await;
            }
            for piece in &frame {
                if let Piece::Bytes(bytes) = piece {
                    write.write_all(bytes).await?;
                }
            }
        }
        Ok::<_, Failure>(())
    };
    let (latencies, written) = tokio::join!(reader, writer);
    written?;
    latencies
}

async fn consume_load(options: Options, partition: i32, counted: Arc<Counted>) -> Result<Vec<u64>, Failure> {
    let mut connection = Connection::open(&options).await?;
    let deadline = Instant::now() + Duration::from_secs_f64(options.seconds);
    let (mut offset, mut buffer) = (0i64, Vec::new());
    while Instant::now() < deadline {
        let partition = fetch::FetchPartition {
            partition,
            fetch_offset: offset,
            partition_max_bytes: options.batch_bytes.max(1 << 20) as i32,
            ..Default::default()
        };
        let topic = fetch::FetchTopic {
            topic: Str::from(options.topic.as_str()),
            partitions: vec![partition],
            ..Default::default()
        };
        let request = fetch::FetchRequest {
            replica_id: -1,
            max_wait_ms: 100,
            max_bytes: 50 << 20,
            topics: vec![topic],
            ..Default::default()
        };
        let pieces = connection.frame(11, request)?;
        connection.send(&pieces).await?;
        connection.receive(&mut buffer).await?;
        let said = Response::parse(ApiKey::Fetch, 11, Bytes::copy_from_slice(&buffer))?;
        let ResponseBody::Fetch(said) = said.body else { return Err("not a fetch response".into()) };
        let mut records = 0;
        for partition in said.responses.iter().flat_map(|t| &t.partitions) {
            if partition.error_code != 0 {
                return Err(format!("fetch answered error {}", partition.error_code).into());
            }
            let payload = partition.records.to_bytes()?;
            for batch in batches(&payload) {
                let header = batch?.header;
                records += header.record_count as u64;
                offset = header.last_offset() + 1;
            }
            counted.bytes.fetch_add(payload.remaining() as u64, Relaxed);
        }
        counted.records.fetch_add(records, Relaxed);
        if records == 0 {
            offset = 0;
        }
    }
    Ok(Vec::new())
}
