//! What sessions cost, counted by the allocator. One test, alone in its process: others would be counted too.

mod support;

use std::{
    alloc::{GlobalAlloc, Layout, System},
    io::{Read, Write},
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
};
use support::{Scripted, agreeable, flat, heartbeat, start};
use tollgate::gateway::Limits;
use tollgate::wire::{Request, RequestBody, Str};

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

/// 5,000 sessions, or as many as the process may have descriptors for (two a session).
fn sessions() -> usize {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current.unwrap_or(u64::MAX);
    5_000.min((limit as usize).saturating_sub(200) / 2)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_session_costs_less_than_20_kb() {
    let running = start(Scripted::new(agreeable), Limits::default()).await;
    let count = sessions();
    assert!(count >= 400, "too few descriptors to say anything");
    let request = Request::new(4, 1, Some(Str::from("idle")), RequestBody::from(heartbeat("g"))).unwrap();
    let frame = flat(&request.encode().unwrap());
    let address = running.address;
    let connect = move |n: usize| {
        let mut streams = Vec::with_capacity(n);
        for _ in 0..n {
            let mut stream = std::net::TcpStream::connect(address).unwrap();
            stream.write_all(&frame).unwrap();
            let mut answer = [0; 4];
            stream.read_exact(&mut answer).unwrap();
            let mut rest = vec![0; u32::from_be_bytes(answer) as usize];
            stream.read_exact(&mut rest).unwrap();
            streams.push(stream);
        }
        streams
    };
    // Lazily made things (metrics, worker queues) are not what a session costs.
    let warm = tokio::task::spawn_blocking({
        let connect = connect.clone();
        move || connect(50)
    });
    let warm = warm.await.unwrap();
    let before = LIVE.load(Relaxed);
    let streams = tokio::task::spawn_blocking(move || connect(count)).await.unwrap();
    let each = (LIVE.load(Relaxed) - before) / count;
    assert!(each < 20 * 1024, "an idle session costs {each} bytes");
    // A floor, so that the test cannot pass by counting nothing.
    assert!(each > 500, "{each} bytes are too few to be true");
    drop((warm, streams));
}
