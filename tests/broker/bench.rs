//! A broker on a simulated disk.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tollgate::broker::{Broker, BrokerConfig, BrokerError, Clock, Context, ManualClock, Reply};
use tollgate::storage::files::{Crash, SimFiles};
use tollgate::storage::{Storage, StorageConfig};
use tollgate::wire::api::{create_topics, fetch, produce};
use tollgate::wire::record::{BatchBuilder, BatchHeader, Compression, Compressor, Headers, batches};
use tollgate::wire::{Payload, Piece, Request, RequestBody, Response, ResponseBody, Str, Uuid};

/// Some time in 2023.
pub const NOW: i64 = 1_700_000_000_000;

pub struct Bench {
    pub files: SimFiles,
    pub hand: ManualClock,
    pub clock: Clock,
    pub broker: Arc<Broker>,
    pub cx: Context,
}

impl Bench {
    pub async fn new() -> Bench {
        Self::with(&[]).await
    }

    pub async fn with(properties: &[(&str, &str)]) -> Bench {
        let (clock, hand) = Clock::manual(NOW);
        let files = SimFiles::new();
        let broker = open(&files, &clock, properties).await;
        Bench { files, hand, clock, broker, cx: context() }
    }

    /// On what another one has left.
    pub async fn on(files: SimFiles, (clock, hand): (Clock, ManualClock)) -> Bench {
        let broker = open(&files, &clock, &[]).await;
        Bench { files, hand, clock, broker, cx: context() }
    }

    /// Closes the broker.
    pub async fn end(self) -> (SimFiles, (Clock, ManualClock)) {
        self.broker.shutdown(Duration::from_secs(10)).await.unwrap();
        (self.files, (self.clock, self.hand))
    }

    /// Closes the broker and opens it again.
    pub async fn restart(self) -> Bench {
        let (files, time) = self.end().await;
        Bench::on(files, time).await
    }

    /// Another broker, on what a crash at this moment leaves of the disk.
    pub async fn crashed(&self, crash: Crash) -> Bench {
        let files = self.files.fork();
        files.crash(crash);
        let (clock, hand) = Clock::manual(NOW);
        let broker = open(&files, &clock, &[]).await;
        Bench { files, hand, clock, broker, cx: context() }
    }

    pub fn submit(&self, version: i16, body: impl Into<RequestBody>) -> Reply {
        self.broker.handle(&self.cx, request(version, body.into()))
    }

    /// Asks and waits for the answer.
    pub async fn ask(&self, version: i16, body: impl Into<RequestBody>) -> ResponseBody {
        settle(self.submit(version, body)).await.expect("an answer")
    }

    pub async fn create(&self, name: &str, partitions: i32) -> Uuid {
        self.create_with(name, partitions, &[]).await
    }

    pub async fn create_with(&self, name: &str, partitions: i32, configs: &[(&str, &str)]) -> Uuid {
        let answer = answer!(CreateTopics, self.ask(7, new_topic(name, partitions, configs)).await);
        let topic = &answer.topics[0];
        assert_eq!(topic.error_code, 0, "{:?}", topic.error_message);
        topic.topic_id
    }

    /// Produces with acks=all at version 9.
    pub async fn produce(
        &self,
        topic: &str,
        partition: i32,
        records: Bytes,
    ) -> produce::PartitionProduceResponse {
        let mut answer = answer!(Produce, self.ask(9, produce_to(topic, partition, records)).await);
        answer.responses.remove(0).partition_responses.remove(0)
    }

    /// Fetches one partition at version 12 without waiting.
    pub async fn fetch(&self, topic: &str, partition: i32, offset: i64) -> fetch::FetchPartitionData {
        let mut answer = answer!(Fetch, self.ask(12, fetch_from(topic, partition, offset)).await);
        answer.responses.remove(0).partitions.remove(0)
    }
}

/// The body of an answer that must be of one api.
macro_rules! answer {
    ($api:ident, $body:expr) => {
        match $body {
            tollgate::wire::ResponseBody::$api(body) => *body,
            other => panic!("not an answer to {}: {other:?}", stringify!($api)),
        }
    };
}
pub(crate) use answer;

pub async fn open(files: &SimFiles, clock: &Clock, properties: &[(&str, &str)]) -> Arc<Broker> {
    try_open(files, clock, properties).await.unwrap()
}

pub async fn try_open(
    files: &SimFiles,
    clock: &Clock,
    properties: &[(&str, &str)],
) -> Result<Arc<Broker>, BrokerError> {
    let config = StorageConfig { committers: 1, clock: clock.for_storage(), ..StorageConfig::default() };
    let storage = Storage::open(Arc::new(files.clone()), "/data", config).unwrap();
    let properties: BTreeMap<String, String> =
        properties.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
    let config = BrokerConfig { properties, clock: clock.clone(), ..BrokerConfig::default() };
    Broker::open(config, storage).await
}

pub fn context() -> Context {
    Context {
        principal: Str::from_static("User:ANONYMOUS"),
        client_id: Some(Str::from_static("test")),
        client_host: [127, 0, 0, 1].into(),
        session: 1,
        listener: Str::from_static("PLAINTEXT"),
        advertised_host: Str::from_static("broker.test"),
        advertised_port: 9092,
    }
}

/// A request as it comes off the wire.
pub fn request(version: i16, body: RequestBody) -> Request {
    let request =
        Request::new(version, 7, Some(Str::from_static("test")), body).expect("a version of the api");
    Request::parse(unframed(request.encode().unwrap())).unwrap()
}

/// Waits for an answer and reads it as a client does; `None` when there is none, or the connection closes.
pub async fn settle(reply: Reply) -> Option<ResponseBody> {
    let response = match reply {
        Reply::Now(response) => response,
        Reply::Later { response, .. } => response.await,
        Reply::Metered { response, .. } => response.await.0,
        Reply::Close => None,
    }?;
    assert_eq!(response.correlation_id, 7);
    let frame = unframed(response.encode().unwrap());
    Some(Response::parse(response.api, response.version, frame).unwrap().body)
}

/// What follows the length prefix.
fn unframed(pieces: Vec<Piece>) -> Bytes {
    let mut frame = BytesMut::new();
    for piece in pieces {
        frame.extend_from_slice(&Payload::Pieces(vec![piece]).to_bytes().unwrap());
    }
    frame.freeze().slice(4..)
}

pub fn new_topic(name: &str, partitions: i32, configs: &[(&str, &str)]) -> create_topics::Request {
    let configs = configs
        .iter()
        .map(|(name, value)| create_topics::CreatableTopicConfig {
            name: Str::from(*name),
            value: Some(Str::from(*value)),
            ..Default::default()
        })
        .collect();
    create_topics::Request {
        topics: vec![create_topics::CreatableTopic {
            name: Str::from(name),
            num_partitions: partitions,
            replication_factor: -1,
            configs,
            ..Default::default()
        }],
        ..Default::default()
    }
}

pub fn produce_to(topic: &str, index: i32, records: Bytes) -> produce::Request {
    produce::Request {
        acks: -1,
        timeout_ms: 30_000,
        topic_data: vec![produce::TopicProduceData {
            name: Str::from(topic),
            partition_data: vec![produce::PartitionProduceData {
                index,
                records: Payload::Bytes(records),
                ..Default::default()
            }],
            ..Default::default()
        }],
        ..Default::default()
    }
}

pub fn fetch_from(topic: &str, partition: i32, fetch_offset: i64) -> fetch::Request {
    fetch::Request {
        replica_id: -1,
        min_bytes: 1,
        topics: vec![fetch::FetchTopic {
            topic: Str::from(topic),
            partitions: vec![fetch::FetchPartition {
                partition,
                fetch_offset,
                partition_max_bytes: 1 << 20,
                ..Default::default()
            }],
            ..Default::default()
        }],
        ..Default::default()
    }
}

/// A batch of records with these values and no keys, all from now.
pub fn batch(values: &[&str]) -> Bytes {
    batch_of(BatchHeader::default(), values, NOW)
}

pub fn batch_of(header: BatchHeader, values: &[&str], timestamp: i64) -> Bytes {
    let mut compressor = Compressor::new();
    let mut builder = BatchBuilder::new(header, &mut compressor);
    for value in values {
        builder.append(timestamp, None, Some(value.as_bytes()), Headers::default()).unwrap();
    }
    builder.finish().unwrap()
}

pub fn compressed(codec: Compression, values: &[&str]) -> Bytes {
    let mut header = BatchHeader::default();
    header.set_compression(codec);
    batch_of(header, values, NOW)
}

/// An idempotent batch.
pub fn sequenced(producer_id: i64, producer_epoch: i16, base_sequence: i32, values: &[&str]) -> Bytes {
    let header = BatchHeader { producer_id, producer_epoch, base_sequence, ..BatchHeader::default() };
    batch_of(header, values, NOW)
}

/// Headers of the batches in a fetched payload.
pub fn headers(records: &Payload) -> Vec<BatchHeader> {
    batches(&records.to_bytes().unwrap()).map(|batch| batch.unwrap().header).collect()
}

/// Offsets and values of all records in a fetched payload.
pub fn values(records: &Payload) -> Vec<(i64, String)> {
    use tollgate::wire::record::{Decompressor, Records};
    let bytes = records.to_bytes().unwrap();
    let mut all = Vec::new();
    for batch in batches(&bytes) {
        let batch = batch.unwrap();
        let mut decompressor = Decompressor::new();
        for record in Records::open(batch.bytes, &batch.header, &mut decompressor, 1 << 20).unwrap() {
            let record = record.unwrap();
            let value = String::from_utf8(record.value.unwrap_or_default().to_vec()).unwrap();
            all.push((batch.header.base_offset + i64::from(record.offset_delta), value));
        }
    }
    all
}
