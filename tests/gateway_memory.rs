//! What sessions cost, counted by the allocator. One test, alone in its process: others would be counted too.

mod support;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::{
    alloc::{GlobalAlloc, Layout, System},
    io::{Read, Write},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};
use support::{agree, flat, heartbeat, start_with};
use tollgate::gateway::{Caller, Limits, Submitted, Upstream};
use tollgate::wire::{
    ApiKey, Request, RequestBody, Response, Str,
    api::{
        api_versions::ApiVersionsRequest,
        metadata::{MetadataRequest, MetadataRequestTopic},
    },
};

struct Counting;

static LIVE: AtomicUsize = AtomicUsize::new(0);

// SAFETY: hands every call to the system's allocator unchanged, and counts.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LIVE.fetch_add(layout.size(), Relaxed);
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

const SESSIONS: usize = 5_000;
const WARM: usize = 50;

/// Two descriptors a session are needed here, because both its ends are ours.
fn make_room() {
    let needed = (2 * (SESSIONS + WARM) + 200) as u64;
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_some_and(|current| current < needed) {
        assert!(
            limit.maximum.is_none_or(|most| most >= needed),
            "{SESSIONS} sessions need {needed} descriptors, and the hard limit (ulimit -Hn) is {:?}",
            limit.maximum
        );
        setrlimit(Resource::Nofile, Rlimit { current: Some(needed), maximum: limit.maximum }).unwrap();
    }
}

/// Agrees with everything and remembers nothing.
struct Forgetful;

impl Upstream for Forgetful {
    fn submit(&self, _: &Arc<Caller>, mut request: Request) -> Submitted {
        Submitted::Now(agree(&mut request))
    }

    fn unknown_api_versions(&self, _: &Arc<Caller>, _: i32) -> Response {
        unreachable!("no client here asks for it")
    }
}

const POLICIES: [(&str, &str); 3] = [
    (
        "access.rhai",
        r#"policy("access", "x"); on_access("Write").topic("secret-*").principal("!User:boss").deny();"#,
    ),
    (
        "mask.rhai",
        r#"policy("mask", "x"); on_fetch("customers").client_id("app-*").mask("$.email", "email");"#,
    ),
    (
        "slow.rhai",
        r#"policy("slow", "x"); expires("1h"); on_request("Heartbeat").group("late").delay("1s");"#,
    ),
];

/// What a client says before it falls silent.
fn greeting(n: usize) -> Vec<(ApiKey, i16, Vec<u8>)> {
    let client_id = format!("app-{}", n % 100);
    let topic = MetadataRequestTopic { name: Some(Str::from_static("orders")), ..Default::default() };
    let metadata = MetadataRequest { topics: Some(vec![topic]), ..Default::default() };
    let version = ApiVersionsRequest {
        client_software_name: "apache-kafka-java".into(),
        client_software_version: "4.4.0".into(),
        ..Default::default()
    };
    let bodies: [(i16, RequestBody); 3] =
        [(4, version.into()), (12, metadata.into()), (4, heartbeat("g").into())];
    let frame = |(version, body): (i16, RequestBody)| {
        let api = body.api();
        let request = Request::new(version, 1, Some(Str::from(client_id.clone())), body).unwrap();
        (api, version, flat(&request.encode().unwrap()))
    };
    bodies.into_iter().map(frame).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_session_costs_less_than_20_kb() {
    make_room();
    let running = start_with(Arc::new(Forgetful), Limits::default(), &POLICIES).await;
    let address = running.address;
    let connect = move |n: usize| {
        let mut streams = Vec::with_capacity(n);
        for n in 0..n {
            let mut stream = std::net::TcpStream::connect(address).unwrap();
            for (api, version, frame) in greeting(n) {
                stream.write_all(&frame).unwrap();
                let mut answer = [0; 4];
                stream.read_exact(&mut answer).unwrap();
                let mut rest = vec![0; u32::from_be_bytes(answer) as usize];
                stream.read_exact(&mut rest).unwrap();
                Response::parse(api, version, rest.into()).unwrap();
            }
            streams.push(stream);
        }
        streams
    };
    // Lazily made things (metrics, worker queues) are not what a session costs.
    let warm = tokio::task::spawn_blocking(move || connect(WARM));
    let warm = warm.await.unwrap();
    let before = LIVE.load(Relaxed);
    let streams = tokio::task::spawn_blocking(move || connect(SESSIONS)).await.unwrap();
    let each = (LIVE.load(Relaxed) - before) / SESSIONS;
    assert!(each < 20 * 1024, "an idle session costs {each} bytes");
    // A floor, so that the test cannot pass by counting nothing.
    assert!(each > 500, "{each} bytes are too few to be true");
    drop((warm, streams));
}
