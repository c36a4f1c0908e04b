//! The durable log on a real disk: appends in each flush mode, reads from memory and from files, start-up with many
//! logs. `cargo bench --bench storage [-- FILTER]`; the folder is `TMPDIR`'s, so choose the disk by that.

use std::collections::{BTreeMap, VecDeque};
use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use tempfile::TempDir;
use tollgate::broker::catalogue::NewTopic;
use tollgate::broker::{Broker, BrokerConfig};
use tollgate::storage::files::RealFiles;
use tollgate::storage::{AppendBatch, FlushMode, Log, LogConfig, Storage, StorageConfig, Ticket};
use tollgate::wire::Str;
use tollgate::wire::record::{BatchBuilder, BatchHeader, Compressor, Headers};

const MODES: [FlushMode; 3] =
    [FlushMode::GroupCommit, FlushMode::Interval(FlushMode::DEFAULT_INTERVAL), FlushMode::Os];

fn open(dir: &Path, flush: FlushMode) -> Arc<Storage> {
    let config = StorageConfig { flush, max_pending_bytes: 1 << 30, ..StorageConfig::default() };
    Storage::open(Arc::new(RealFiles::new()), dir, config).unwrap()
}

/// A batch of about `bytes`, in records of 1 KB or one smaller record.
fn batch(bytes: usize) -> AppendBatch {
    let mut compressor = Compressor::new();
    let mut builder = BatchBuilder::new(BatchHeader::default(), &mut compressor);
    let value = vec![7; bytes.min(1000)];
    for _ in 0..bytes.div_ceil(1000) {
        builder.append(1_700_000_000_000, None, Some(&value), Headers::default()).unwrap();
    }
    AppendBatch::new(builder.finish().unwrap()).unwrap()
}

fn logs(storage: &Storage, count: usize) -> Vec<Arc<Log>> {
    (0..count).map(|n| storage.create_log(&format!("t-{n}"), LogConfig::default()).unwrap()).collect()
}

/// Appends round robin with at most `in_flight` not committed.
fn append_all(logs: &[Arc<Log>], batch: &AppendBatch, count: u64, in_flight: usize) -> Duration {
    let start = Instant::now();
    let mut waiting: VecDeque<Ticket> = VecDeque::with_capacity(in_flight);
    for n in 0..count {
        if waiting.len() == in_flight {
            waiting.pop_front().unwrap().wait().unwrap();
        }
        let log = &logs[n as usize % logs.len()];
        waiting.push_back(log.append(batch.clone().into(), 0).unwrap().ticket);
    }
    waiting.into_iter().for_each(|ticket| ticket.wait().unwrap());
    start.elapsed()
}

fn appends(c: &mut Criterion) {
    let mut group = c.benchmark_group("append");
    group.sample_size(10).measurement_time(Duration::from_secs(3));
    for mode in MODES {
        for (size, name) in [(100, "100B"), (16_000, "16KB"), (1_000_000, "1MB")] {
            for logs_count in [1, 8] {
                let dir = TempDir::new().unwrap();
                let storage = open(dir.path(), mode);
                let logs = logs(&storage, logs_count);
                let batch = batch(size);
                group.throughput(Throughput::Bytes(size as u64));
                let in_flight = if size > 100_000 { 16 } else { 256 };
                group.bench_function(BenchmarkId::new(format!("{mode}/{name}"), logs_count), |b| {
                    b.iter_custom(|count| append_all(&logs, &batch, count, in_flight));
                });
            }
        }
    }
    group.finish();
}

/// One append at a time, until it is committed.
fn latency(c: &mut Criterion) {
    let mut group = c.benchmark_group("append-and-wait");
    group.sample_size(20).measurement_time(Duration::from_secs(3));
    for mode in MODES {
        let dir = TempDir::new().unwrap();
        let storage = open(dir.path(), mode);
        let log = logs(&storage, 1).remove(0);
        let batch = batch(100);
        group.bench_function(mode.to_string(), |b| {
            b.iter(|| log.append(batch.clone().into(), 0).unwrap().ticket.wait().unwrap());
        });
    }
    group.finish();
}

fn reads(c: &mut Criterion) {
    let mut group = c.benchmark_group("read-1MB");
    group.throughput(Throughput::Bytes(1 << 20));
    for (name, tail_cache_bytes) in [("memory", 256 << 20), ("file", 0)] {
        let dir = TempDir::new().unwrap();
        let config = StorageConfig { flush: FlushMode::Os, tail_cache_bytes, ..StorageConfig::default() };
        let storage = Storage::open(Arc::new(RealFiles::new()), dir.path(), config).unwrap();
        let log = logs(&storage, 1).remove(0);
        append_all(&[Arc::clone(&log)], &batch(16_000), 4000, 64);
        let end = log.high_watermark();
        let mut at = 0;
        group.bench_function(format!("find/{name}/sequential"), |b| {
            b.iter(|| {
                let read = log.read(at, 1 << 20, true).unwrap();
                at = if read.next_offset < end { read.next_offset } else { 0 };
                black_box(read)
            });
        });
        group.bench_function(format!("find/{name}/random"), |b| {
            b.iter(|| {
                at = (at * 7919 + 13) % (end - 1000);
                black_box(log.read(at, 1 << 20, true).unwrap())
            });
        });
        group.bench_function(format!("copy/{name}"), |b| {
            b.iter(|| {
                at = (at * 7919 + 13) % (end - 1000);
                black_box(log.read(at, 1 << 20, true).unwrap().to_bytes().unwrap())
            });
        });
    }
    group.finish();
}

fn start_up(c: &mut Criterion) {
    let mut group = c.benchmark_group("open-10000-logs");
    group.sample_size(10);
    for clean in [true, false] {
        let dir = TempDir::new().unwrap();
        let names: Vec<(String, LogConfig)> =
            (0..10_000).map(|n| (format!("t-{n}"), LogConfig::default())).collect();
        let storage = open(dir.path(), FlushMode::Os);
        let created = storage.create_logs(&names);
        let batch = batch(1000);
        let tickets: Vec<Ticket> = created
            .iter()
            .map(|log| log.as_ref().unwrap().append(batch.clone().into(), 0).unwrap().ticket)
            .collect();
        tickets.into_iter().for_each(|ticket| ticket.wait().unwrap());
        drop(created);
        if clean {
            storage.close().unwrap();
        }
        drop(storage);
        let name = if clean { "after a clean shutdown" } else { "after a kill" };
        group.bench_function(name, |b| {
            b.iter_custom(|count| {
                let mut spent = Duration::ZERO;
                for _ in 0..count {
                    let start = Instant::now();
                    let storage = open(dir.path(), FlushMode::Os);
                    let opened = storage.open_logs(&names);
                    spent += start.elapsed();
                    assert!(opened.iter().all(|log| log.as_ref().is_ok_and(|log| log.high_watermark() == 1)));
                    drop(opened);
                    if clean {
                        storage.close().unwrap();
                    }
                }
                spent
            });
        });
    }
    group.finish();
}

/// The whole broker, as `tollgate serve` opens it: a clean start and one after a kill. It shall take under two seconds,
/// which a debug build cannot show; the bound in `tests/broker/scale.rs` is looser. Prints the descriptors in use.
#[expect(clippy::disallowed_macros, reason = "a figure that criterion has no place for")]
fn start_of_a_broker(c: &mut Criterion) {
    const TOPICS: usize = 10;
    const PARTITIONS: i32 = 1_000;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let start = |dir: &Path| {
        let storage = open(dir, FlushMode::GroupCommit);
        runtime.block_on(Broker::open(BrokerConfig::default(), storage)).unwrap()
    };
    let stop = |broker: Arc<Broker>| runtime.block_on(broker.shutdown(Duration::from_secs(60))).unwrap();
    let dir = TempDir::new().unwrap();
    let broker = start(dir.path());
    let topic =
        |n| NewTopic { name: Str::from(format!("t{n}")), partitions: PARTITIONS, overrides: BTreeMap::new() };
    assert!(broker.catalogue().create((0..TOPICS).map(topic).collect()).iter().all(Result::is_ok));
    stop(broker);

    let mut group = c.benchmark_group("start-10000-partitions");
    group.sample_size(10);
    for clean in [true, false] {
        let name = if clean { "after a clean shutdown" } else { "after a kill" };
        let mut descriptors = 0;
        group.bench_function(name, |b| {
            b.iter_custom(|count| {
                let mut spent = Duration::ZERO;
                for _ in 0..count {
                    let started = Instant::now();
                    let broker = start(dir.path());
                    spent += started.elapsed();
                    descriptors = std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count);
                    // Without a shutdown the next start finds what a kill leaves.
                    if clean { stop(broker) } else { drop(broker) }
                }
                spent
            });
        });
        println!("{name}: {descriptors} descriptors for {} partitions", TOPICS * PARTITIONS as usize);
    }
    group.finish();
}

/// What an append costs the thread that makes it: nothing waits for the disk.
fn enqueue(c: &mut Criterion) {
    let mut group = c.benchmark_group("append-call");
    for (size, name) in [(100, "100B"), (16_000, "16KB")] {
        let dir = TempDir::new().unwrap();
        let config =
            StorageConfig { committers: 0, max_pending_bytes: usize::MAX, ..StorageConfig::default() };
        let storage = Storage::open(Arc::new(RealFiles::new()), dir.path(), config).unwrap();
        let log = logs(&storage, 1).remove(0);
        let batch = batch(size);
        group.bench_function(name, |b| {
            b.iter_custom(|count| {
                let mut spent = Duration::ZERO;
                let mut left = count;
                while left > 0 {
                    let now = left.min(500);
                    let batches: Vec<AppendBatch> = (0..now)
                        .map(|_| AppendBatch { header: batch.header, body: Bytes::clone(&batch.body) })
                        .collect();
                    let start = Instant::now();
                    for batch in batches {
                        drop(black_box(log.append(batch.into(), 0).unwrap().ticket));
                    }
                    spent += start.elapsed();
                    storage.drive();
                    left -= now;
                }
                spent
            });
        });
    }
    group.finish();
}

criterion_group!(benches, enqueue, appends, latency, reads, start_up, start_of_a_broker);
criterion_main!(benches);
