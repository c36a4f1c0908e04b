//! What a large fetch costs on its way from the embedded broker's files to slow clients, counted by the allocator. One test,
//! alone in its process: others would be counted too.

mod support;

use bytes::Bytes;
use std::{
    alloc::{GlobalAlloc, Layout, System},
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};
use support::{flat, start_with};
use tollgate::broker::{Broker, BrokerConfig, Context, Reply};
use tollgate::gateway::{Caller, Limits, Submitted, Upstream};
use tollgate::storage::{Storage, StorageConfig, files::RealFiles};
use tollgate::wire::{
    Payload, Request, RequestBody, Response, ResponseBody, Str,
    api::{create_topics::*, fetch::*, produce::*},
    record::{BatchBuilder, BatchHeader, Compressor},
};

struct Counting;

static LIVE: AtomicUsize = AtomicUsize::new(0);
static MOST: AtomicUsize = AtomicUsize::new(0);

// SAFETY: hands every call to the system's allocator unchanged, and counts.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let live = LIVE.fetch_add(layout.size(), Relaxed) + layout.size();
        MOST.fetch_max(live, Relaxed);
        // SAFETY: the caller's contract is passed on.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Relaxed);
        // SAFETY: the caller's contract is passed on.
        unsafe { System.dealloc(ptr, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

struct Embedded(Arc<Broker>);

impl Upstream for Embedded {
    fn submit(&self, caller: &Arc<Caller>, request: Request) -> Submitted {
        match self.0.handle(&context(caller.session), request) {
            Reply::Now(response) => Submitted::Now(response),
            Reply::Later { response, barrier } => Submitted::Later { response, barrier },
            Reply::Metered { response, barrier, mute } => Submitted::Metered { response, barrier, mute },
            Reply::Close => Submitted::Close,
        }
    }

    fn unknown_api_versions(&self, _: &Arc<Caller>, correlation_id: i32) -> Response {
        Broker::api_versions_fallback(correlation_id)
    }
}

fn context(session: u64) -> Context {
    Context {
        principal: Str::from_static("User:ANONYMOUS"),
        client_id: None,
        client_host: [127, 0, 0, 1].into(),
        session,
        listener: Str::from_static("test"),
        advertised_host: Str::from_static("localhost"),
        advertised_port: 9092,
    }
}

async fn ask(broker: &Arc<Broker>, version: i16, body: impl Into<RequestBody>) -> ResponseBody {
    let request = Request::new(version, 1, None, body.into()).unwrap();
    match broker.handle(&context(0), request) {
        Reply::Now(response) => response.unwrap().body,
        Reply::Later { response, .. } => response.await.unwrap().body,
        Reply::Metered { .. } => panic!("nobody has a quota"),
        Reply::Close => panic!("closed"),
    }
}

const TOPIC: &str = "large";
const BATCHES: u8 = 52;
/// The last version in which the records are the end of the frame.
const VERSION: i16 = 11;

fn batch(n: u8) -> Bytes {
    let value: Vec<u8> = (0..1_000_000u32).map(|at| (at % 251) as u8 ^ n).collect();
    let mut compressor = Compressor::default();
    let mut builder = BatchBuilder::new(BatchHeader::default(), &mut compressor);
    builder.append(1, None, Some(&value), Default::default()).unwrap();
    builder.finish().unwrap()
}

async fn fill(broker: &Arc<Broker>) {
    let topic =
        CreatableTopic { name: TOPIC.into(), num_partitions: 1, replication_factor: 1, ..Default::default() };
    ask(broker, 5, CreateTopicsRequest { topics: vec![topic], timeout_ms: 10_000, ..Default::default() })
        .await;
    for n in 0..BATCHES {
        let partition = PartitionProduceData { records: Payload::Bytes(batch(n)), ..Default::default() };
        let topic =
            TopicProduceData { name: TOPIC.into(), partition_data: vec![partition], ..Default::default() };
        let request =
            ProduceRequest { acks: -1, timeout_ms: 10_000, topic_data: vec![topic], ..Default::default() };
        let ResponseBody::Produce(answer) = ask(broker, 9, request).await else { panic!() };
        assert_eq!(answer.responses[0].partition_responses[0].error_code, 0);
    }
}

fn fetch(max_bytes: i32) -> FetchRequest {
    let partition = FetchPartition { partition_max_bytes: max_bytes, ..Default::default() };
    let topic = FetchTopic { topic: TOPIC.into(), partitions: vec![partition], ..Default::default() };
    FetchRequest { max_bytes, session_epoch: -1, topics: vec![topic], ..Default::default() }
}

/// A client with a small window that takes what it is sent in small bites. Gives length and checksum of the frame's end.
fn fetch_slowly(address: SocketAddr, max_bytes: i32, records: usize) -> (usize, u32) {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(8 * 1024).unwrap();
    socket.connect(&address.into()).unwrap();
    let mut stream: TcpStream = socket.into();
    let request = Request::new(VERSION, 1, None, fetch(max_bytes).into()).unwrap();
    stream.write_all(&flat(&request.encode().unwrap())).unwrap();
    let mut length = [0; 4];
    stream.read_exact(&mut length).unwrap();
    let length = u32::from_be_bytes(length) as usize;
    let mut before_records = length.saturating_sub(records);
    let (mut left, mut sum) = (length, 0);
    let mut bite = [0; 4 * 1024];
    while left > 0 {
        let n = stream.read(&mut bite).unwrap();
        assert_ne!(n, 0, "the stream ends {left} bytes early");
        left -= n;
        let skip = before_records.min(n);
        before_records -= skip;
        sum = crc32c::crc32c_append(sum, &bite[skip..n]);
        std::thread::yield_now();
    }
    (length, sum)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fetch_of_50_mb_leaves_in_chunks_of_bounded_memory() {
    const SESSIONS: usize = 4;
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().to_owned();
    let opened = tokio::task::spawn_blocking(move || {
        Storage::open(Arc::new(RealFiles::new()), data, StorageConfig::default())
    });
    let broker = Broker::open(BrokerConfig::default(), opened.await.unwrap().unwrap()).await.unwrap();
    fill(&broker).await;
    // What the log holds, and nothing of it kept but its length and checksum.
    let ResponseBody::Fetch(whole) = ask(&broker, VERSION, fetch(i32::MAX)).await else { panic!() };
    let records = whole.responses[0].partitions[0].records.clone();
    let records = tokio::task::spawn_blocking(move || records.to_bytes().unwrap()).await.unwrap();
    let (size, sum) = (records.len(), crc32c::crc32c(&records));
    assert!(size > 50_000_000, "{size}");
    drop((whole, records));

    // Rules about other topics are no reason to look into this one.
    let policies = [
        ("mask.rhai", r#"policy("mask", "x"); on_fetch("customers").mask("$.email", "email");"#),
        ("slow.rhai", r#"policy("slow", "x"); expires("1h"); on_fetch("late-*").chance(0.5).delay("1s");"#),
    ];
    let running = start_with(Arc::new(Embedded(broker.clone())), Limits::default(), &policies).await;
    let address = running.address;
    // Lazily made things are not what a fetch costs.
    tokio::task::spawn_blocking(move || fetch_slowly(address, 1, 1)).await.unwrap();
    let before = LIVE.load(Relaxed);
    MOST.store(before, Relaxed);
    let mut clients = Vec::with_capacity(SESSIONS);
    for _ in 0..SESSIONS {
        clients.push(tokio::task::spawn_blocking(move || fetch_slowly(address, i32::MAX, size)));
    }
    for client in clients {
        let (length, received) = client.await.unwrap();
        assert!(length > size && length < size + 200, "{length}");
        assert_eq!(received, sum);
    }
    let each = (MOST.load(Relaxed) - before) / SESSIONS;
    assert!(each < 300 * 1024, "a fetch of {size} bytes takes {each} bytes of memory");
    assert_eq!(running.gateway.held.taken(), 0);
}
