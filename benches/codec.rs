//! The codec beside the `kafka-protocol` crate's, on the same bytes: `cargo bench --bench codec`.
//!
//! Both sides read from and write to memory that is there already; what each copies of the record data is part of the figure.

use bytes::{Bytes, BytesMut};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use kafka_protocol::messages::{self as theirs, RequestKind, ResponseKind};
use kafka_protocol::protocol::Decodable;
use std::hint::black_box;
use tollgate::wire::{
    ApiKey, Payload, Piece, Request, RequestBody, Response, ResponseBody, Str, Uuid,
    api::{fetch, metadata, produce},
    table,
};

fn flat(pieces: Vec<Piece>) -> Bytes {
    Payload::Pieces(pieces).to_bytes().unwrap()
}

fn topic(n: usize) -> Str {
    Str::from(format!("some-team.some-topic-{n}"))
}

fn produce_request(partitions: i32, bytes: usize) -> RequestBody {
    let partition = |index| produce::PartitionProduceData {
        index,
        records: Bytes::from(vec![7u8; bytes]).into(),
        ..Default::default()
    };
    let topic_data = vec![produce::TopicProduceData {
        name: topic(1),
        partition_data: (0..partitions).map(partition).collect(),
        ..Default::default()
    }];
    produce::ProduceRequest { acks: -1, timeout_ms: 30_000, topic_data, ..Default::default() }.into()
}

fn produce_response(partitions: i32) -> ResponseBody {
    let partition =
        |index| produce::PartitionProduceResponse { index, base_offset: 77, ..Default::default() };
    let responses = vec![produce::TopicProduceResponse {
        name: topic(1),
        partition_responses: (0..partitions).map(partition).collect(),
        ..Default::default()
    }];
    produce::ProduceResponse { responses, ..Default::default() }.into()
}

fn fetch_request(topics: usize, partitions: i32) -> RequestBody {
    let topic = |n: usize| fetch::FetchTopic {
        topic_id: Uuid([n as u8; 16]),
        partitions: (0..partitions)
            .map(|partition| fetch::FetchPartition { partition, fetch_offset: 1 << 33, ..Default::default() })
            .collect(),
        ..Default::default()
    };
    fetch::FetchRequest { topics: (0..topics).map(topic).collect(), ..Default::default() }.into()
}

fn fetch_response(partitions: i32, bytes: usize) -> ResponseBody {
    let partition = |partition_index| fetch::FetchPartitionData {
        partition_index,
        high_watermark: 1 << 33,
        records: Bytes::from(vec![7u8; bytes]).into(),
        ..Default::default()
    };
    let responses = vec![fetch::FetchableTopicResponse {
        topic_id: Uuid([3; 16]),
        partitions: (0..partitions).map(partition).collect(),
        ..Default::default()
    }];
    fetch::FetchResponse { responses, ..Default::default() }.into()
}

fn metadata_response(topics: usize) -> ResponseBody {
    let partition = |partition_index| metadata::MetadataResponsePartition {
        partition_index,
        leader_id: 1,
        replica_nodes: vec![1, 2, 3],
        isr_nodes: vec![1, 2, 3],
        ..Default::default()
    };
    let topic = |n: usize| metadata::MetadataResponseTopic {
        name: Some(topic(n)),
        topic_id: Uuid([n as u8; 16]),
        partitions: (0..3).map(partition).collect(),
        ..Default::default()
    };
    let brokers = (1..=3).map(|node_id| metadata::MetadataResponseBroker {
        node_id,
        host: Str::from("broker.example.com"),
        port: 9092,
        ..Default::default()
    });
    metadata::MetadataResponse {
        brokers: brokers.collect(),
        topics: (0..topics).map(topic).collect(),
        ..Default::default()
    }
    .into()
}

fn request(c: &mut Criterion, name: &str, version: i16, body: RequestBody) {
    let api = body.api();
    let request = Request::new(version, 7, Some(Str::from("client-1")), body).unwrap();
    let frame = flat(request.encode().unwrap()).slice(4..);
    let key = theirs::ApiKey::try_from(api.0).unwrap();
    let header_version = key.request_header_version(version);
    let read_theirs = |frame: &Bytes| {
        let mut frame = frame.clone();
        let header = theirs::RequestHeader::decode(&mut frame, header_version).unwrap();
        (header, RequestKind::decode(key, &mut frame, version).unwrap())
    };
    let (_, their_body) = read_theirs(&frame);

    let mut group = c.benchmark_group(name);
    group.throughput(Throughput::Bytes(frame.len() as u64));
    group.bench_function(BenchmarkId::new("header", "tollgate"), |b| {
        b.iter(|| Request::parse(black_box(&frame).clone()).unwrap())
    });
    group.bench_function(BenchmarkId::new("header", "kafka-protocol"), |b| {
        b.iter(|| theirs::RequestHeader::decode(&mut black_box(&frame).clone(), header_version).unwrap())
    });
    group.bench_function(BenchmarkId::new("decode", "tollgate"), |b| {
        b.iter(|| Request::parse(black_box(&frame).clone()).unwrap().into_body().unwrap())
    });
    group.bench_function(BenchmarkId::new("decode", "kafka-protocol"), |b| {
        b.iter(|| read_theirs(black_box(&frame)))
    });
    group.bench_function(BenchmarkId::new("encode", "tollgate"), |b| {
        b.iter(|| black_box(&request).encode().unwrap())
    });
    group.bench_function(BenchmarkId::new("encode", "kafka-protocol"), |b| {
        b.iter(|| {
            let mut out = BytesMut::new();
            black_box(&their_body).encode(&mut out, version).unwrap();
            out
        })
    });
    group.finish();
}

fn response(c: &mut Criterion, name: &str, version: i16, body: ResponseBody) {
    let api = body.api();
    let response = Response { api, version, correlation_id: 7, header_tags: Default::default(), body };
    let frame = flat(response.encode().unwrap()).slice(4..);
    let key = theirs::ApiKey::try_from(api.0).unwrap();
    let header_version = key.response_header_version(version);
    let read_theirs = |frame: &Bytes| {
        let mut frame = frame.clone();
        let header = theirs::ResponseHeader::decode(&mut frame, header_version).unwrap();
        (header, ResponseKind::decode(key, &mut frame, version).unwrap())
    };
    let (_, their_body) = read_theirs(&frame);

    let mut group = c.benchmark_group(name);
    group.throughput(Throughput::Bytes(frame.len() as u64));
    group.bench_function(BenchmarkId::new("decode", "tollgate"), |b| {
        b.iter(|| Response::parse(api, version, black_box(&frame).clone()).unwrap())
    });
    group.bench_function(BenchmarkId::new("decode", "kafka-protocol"), |b| {
        b.iter(|| read_theirs(black_box(&frame)))
    });
    group.bench_function(BenchmarkId::new("encode", "tollgate"), |b| {
        b.iter(|| black_box(&response).encode().unwrap())
    });
    group.bench_function(BenchmarkId::new("encode", "kafka-protocol"), |b| {
        b.iter(|| {
            let mut out = BytesMut::new();
            black_box(&their_body).encode(&mut out, version).unwrap();
            out
        })
    });
    group.finish();
}

fn codec(c: &mut Criterion) {
    let newest = |api: ApiKey| table::APIS.iter().find(|info| info.key == api).unwrap().max_version;
    request(c, "produce-request-1x1KB", 12, produce_request(1, 1000));
    request(c, "produce-request-20x16KB", 12, produce_request(20, 16_384));
    response(c, "produce-response-20", 12, produce_response(20));
    request(c, "fetch-request-100", newest(ApiKey::Fetch), fetch_request(10, 10));
    response(c, "fetch-response-20x16KB", newest(ApiKey::Fetch), fetch_response(20, 16_384));
    response(c, "metadata-1000-topics", newest(ApiKey::Metadata), metadata_response(1000));
}

criterion_group!(benches, codec);
criterion_main!(benches);
