//! Sessions at the level of sockets: order, limits, foreign bytes, memory of idle ones, draining.

mod support;

use std::{
    io::ErrorKind,
    sync::{Arc, Mutex, OnceLock, atomic::Ordering::Relaxed},
    time::Duration,
};
use support::{Scripted, agree, agreeable, flat, heartbeat, start, start_with};
use tokio::sync::oneshot;
use tollgate::gateway::{Gateway, Limits, Submitted};
use tollgate::wire::{
    ApiKey, Payload, Request, RequestBody, Response, ResponseBody,
    api::{api_versions::ApiVersionsRequest, fetch::*, heartbeat::HeartbeatResponse},
};

#[tokio::test]
async fn answers_leave_in_request_order_though_they_become_ready_in_another() {
    type Release = (oneshot::Sender<()>, i32);
    let releases: Arc<Mutex<Vec<Release>>> = Arc::default();
    let kept = releases.clone();
    let upstream = Scripted::new(move |_, mut request| {
        let (release, released) = oneshot::channel();
        kept.lock().unwrap().push((release, request.correlation_id()));
        let response = agree(&mut request);
        let later = Box::pin(async move {
            released.await.ok();
            response
        });
        Submitted::Later { response: later, barrier: false }
    });
    let running = start(upstream.clone(), Limits::default()).await;
    let mut client = running.client().await;
    for group in ["a", "b", "c"] {
        client.send(4, "test", heartbeat(group)).await;
    }
    running.until("tollgate_requests_total", &[("api", "Heartbeat")], 3.0).await;
    while releases.lock().unwrap().len() < 3 {
        tokio::task::yield_now().await;
    }
    // The last becomes ready first.
    while let Some((release, _)) = { releases.lock().unwrap().pop() } {
        release.send(()).ok();
    }
    for n in 1..=3 {
        assert_eq!(client.receive(ApiKey::Heartbeat, 4).await.correlation_id, n);
    }
}

#[tokio::test]
async fn a_barrier_keeps_the_next_request_waiting() {
    let (release, released) = oneshot::channel::<()>();
    let released = Mutex::new(Some(released));
    let upstream = Scripted::new(move |_, mut request| {
        let response = agree(&mut request);
        match released.lock().unwrap().take() {
            Some(released) => {
                let response = Box::pin(async move {
                    released.await.ok();
                    response
                });
                Submitted::Later { response, barrier: true }
            }
            None => Submitted::Now(response),
        }
    });
    let running = start(upstream.clone(), Limits::default()).await;
    let mut client = running.client().await;
    client.send(4, "test", heartbeat("first")).await;
    client.send(4, "test", heartbeat("second")).await;
    running.until("tollgate_requests_total", &[("api", "Heartbeat")], 1.0).await;
    assert_eq!(upstream.apis().len(), 1);
    release.send(()).unwrap();
    assert_eq!(client.receive(ApiKey::Heartbeat, 4).await.correlation_id, 1);
    assert_eq!(client.receive(ApiKey::Heartbeat, 4).await.correlation_id, 2);
}

#[tokio::test]
async fn an_unknown_version_of_api_versions_is_answered_in_version_0() {
    let running = start(Scripted::new(agreeable), Limits::default()).await;
    let mut client = running.client().await;
    client.send_raw(&[0, 0, 0, 14, 0, 18, 0, 99, 0, 0, 0, 5, 0, 2, b'm', b'e', 0, 0]).await;
    let response = client.receive(ApiKey::ApiVersions, 0).await;
    assert_eq!(response.correlation_id, 5);
    let ResponseBody::ApiVersions(body) = response.body else { panic!() };
    assert_eq!(body.error_code, 35);
    client.ask(4, ApiVersionsRequest::default()).await;
}

#[tokio::test]
async fn what_is_no_kafka_is_named_and_closed() {
    let limits = Limits { frame_timeout: Duration::from_millis(300), ..Limits::default() };
    let running = start(Scripted::new(agreeable), limits).await;
    let cases: &[(&[u8], &str)] = &[
        (b"GET / HTTP/1.1\r\n\r\n", "http"),
        (&[0x16, 3, 1, 2, 0, 1], "tls_on_plaintext"),
        (&[0x7f, 0xff, 0xff, 0xff], "frame_too_large"),
        (&[0xff, 0xff, 0xff, 0xff], "malformed"),
        (&[0, 0, 0, 3, 1, 2, 3], "malformed"),
        (&[0, 0, 0, 8, 3, 231, 0, 0, 0, 0, 0, 1], "unknown_api"),
        (&[0, 0, 0, 10, 0, 0, 0, 2, 0, 0, 0, 1, 0xff, 0xff], "unsupported_version"),
        (&[0, 0, 0, 100, 1, 2, 3], "frame_timeout"),
    ];
    for (bytes, cause) in cases {
        let mut client = running.client().await;
        client.send_raw(bytes).await;
        let end = client.closed().await;
        assert!(matches!(&end, Ok(rest) if rest.is_empty()) || end.is_err(), "{cause}");
        running.until("tollgate_sessions_ended_total", &[("cause", cause)], 1.0).await;
    }
    // None of them touched the others.
    running.client().await.ask(4, heartbeat("g")).await;
}

#[tokio::test]
async fn too_many_sessions_are_refused_and_places_come_back() {
    let limits = Limits { max_sessions: 2, ..Limits::default() };
    let running = start(Scripted::new(agreeable), limits).await;
    let mut first = running.client().await;
    first.ask(4, heartbeat("g")).await;
    let mut second = running.client().await;
    second.ask(4, heartbeat("g")).await;
    running.client().await.closed().await.ok();
    running.until("tollgate_sessions_ended_total", &[("cause", "too_many_sessions")], 1.0).await;
    drop(first);
    running.until("tollgate_sessions_ended_total", &[("cause", "client_closed")], 1.0).await;
    running.client().await.ask(4, heartbeat("g")).await;
}

#[tokio::test]
async fn a_session_that_owes_too_much_is_not_read() {
    let upstream =
        Scripted::new(|_, _| Submitted::Later { response: Box::pin(std::future::pending()), barrier: false });
    let limits = Limits { max_in_flight: 3, ..Limits::default() };
    let running = start(upstream.clone(), limits).await;
    let mut client = running.client().await;
    for _ in 0..10 {
        client.send(4, "test", heartbeat("g")).await;
    }
    running.until("tollgate_requests_total", &[("api", "Heartbeat")], 3.0).await;
    // A second session is served meanwhile, which gives the first every chance to go too far.
    let mut other = running.client().await;
    for _ in 0..3 {
        other.send(4, "test", heartbeat("g")).await;
    }
    running.until("tollgate_requests_total", &[("api", "Heartbeat")], 6.0).await;
    assert_eq!(upstream.apis().len(), 6);
}

#[tokio::test]
async fn stopping_sends_what_is_owed_and_takes_nothing_new() {
    let (release, released) = oneshot::channel::<()>();
    let released = Mutex::new(Some(released));
    let upstream = Scripted::new(move |_, request| {
        let released = released.lock().unwrap().take();
        let response = async move {
            if let Some(released) = released {
                released.await.ok();
            }
            let body = HeartbeatResponse { error_code: 27, ..Default::default() };
            Some(Response::new(&request, body.into()))
        };
        Submitted::Later { response: Box::pin(response), barrier: false }
    });
    let running = start(upstream.clone(), Limits::default()).await;
    let mut client = running.client().await;
    client.send(4, "test", heartbeat("g")).await;
    while upstream.apis().is_empty() {
        tokio::task::yield_now().await;
    }
    running.gateway.stop();
    release.send(()).unwrap();
    let response = client.receive(ApiKey::Heartbeat, 4).await;
    assert!(matches!(response.body, ResponseBody::Heartbeat(b) if b.error_code == 27));
    assert_eq!(client.closed().await.unwrap(), b"");
    running.until("tollgate_sessions_ended_total", &[("cause", "shutdown")], 1.0).await;
    let refused = tokio::net::TcpStream::connect(running.address).await;
    assert!(matches!(refused, Err(e) if e.kind() == ErrorKind::ConnectionRefused));
}

#[tokio::test]
async fn a_client_that_always_has_more_to_say_does_not_hold_up_the_end_of_the_process() {
    let gateway: Arc<OnceLock<Arc<Gateway>>> = Arc::default();
    let stopping = gateway.clone();
    let upstream = Scripted::new(move |_, mut request| {
        stopping.get().unwrap().stop();
        Submitted::Now(agree(&mut request))
    });
    let running = start(upstream.clone(), Limits::default()).await;
    gateway.set(running.gateway.clone()).ok();
    let body = RequestBody::from(heartbeat("g"));
    let frame = flat(&Request::new(4, 1, None, body).unwrap().encode().unwrap());
    let mut client = running.client().await;
    client.send_raw(&frame.repeat(50)).await;
    client.receive(ApiKey::Heartbeat, 4).await;
    assert_eq!(client.closed().await.unwrap(), b"");
    assert_eq!(upstream.apis().len(), 1, "what came before the end");
}

#[tokio::test]
async fn what_a_session_owes_is_shown_before_anything_was_sent() {
    let upstream =
        Scripted::new(|_, _| Submitted::Later { response: Box::pin(std::future::pending()), barrier: false });
    let running = start(upstream, Limits::default()).await;
    let mut client = running.client().await;
    client.send(4, "test", heartbeat("g")).await;
    client.send(4, "test", heartbeat("g")).await;
    let shown = async {
        while running.gateway.registry.page(0, 1).first().is_none_or(|s| s.in_flight.load(Relaxed) != 2) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), shown).await.expect("nothing is shown");
}

#[tokio::test]
async fn an_answer_that_was_held_back_counts_until_its_client_took_it() {
    const LEN: usize = 32 << 20;
    let upstream = Scripted::new(|_, request| {
        let records = Payload::Bytes(vec![0; LEN].into());
        let partitions = vec![FetchPartitionData { records, ..Default::default() }];
        let topic = FetchableTopicResponse { partitions, ..Default::default() };
        let body = FetchResponse { responses: vec![topic], ..Default::default() };
        Submitted::Now(Some(Response::new(&request, body.into())))
    });
    let slow = r#"policy("slow", "x"); expires("1h"); on_request("Fetch").delay("1ms");"#;
    let running = start_with(upstream, Limits::default(), &[("slow.rhai", slow)]).await;
    let mut client = running.client().await;
    client.send(11, "test", FetchRequest::default()).await;
    client.stream.readable().await.unwrap();
    assert!(running.gateway.held.taken() >= LEN, "it has begun to leave, and not left");
    client.receive(ApiKey::Fetch, 11).await;
    let given_back = async {
        while running.gateway.held.taken() > 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), given_back).await.expect("it counts for ever");
}

#[tokio::test]
async fn the_upstream_sees_requests_in_arrival_order() {
    let upstream = Scripted::new(agreeable);
    let running = start(upstream.clone(), Limits::default()).await;
    let mut client = running.client().await;
    for n in 0..200 {
        client.send(4, "test", heartbeat(&n.to_string())).await;
    }
    for _ in 0..200 {
        client.receive(ApiKey::Heartbeat, 4).await;
    }
    let asked = upstream.asked.lock().unwrap();
    let groups: Vec<String> = asked
        .iter()
        .map(|(_, body)| match body {
            RequestBody::Heartbeat(body) => body.group_id.to_string(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(groups, (0..200).map(|n| n.to_string()).collect::<Vec<_>>());
}

#[tokio::test]
async fn half_frames_of_many_sessions_stay_within_the_memory_for_requests() {
    const TOTAL: usize = 1 << 20;
    let limits = Limits {
        request_memory_bytes: TOTAL,
        max_frame_bytes: 512 * 1024,
        frame_timeout: Duration::from_millis(500),
        ..Limits::default()
    };
    let running = start(Scripted::new(agreeable), limits).await;
    let memory = running.gateway.request_memory.clone();
    let mut clients = Vec::new();
    for _ in 0..20 {
        let mut client = running.client().await;
        let mut half = vec![0; 200 * 1024];
        half[..4].copy_from_slice(&(512u32 * 1024).to_be_bytes());
        client.send_raw(&half).await;
        clients.push(client);
        assert!(memory.taken() <= TOTAL);
    }
    let (mut most, mut ended) = (0, 0.0);
    while ended < 20.0 {
        most = most.max(memory.taken());
        ended = running.metric("tollgate_sessions_ended_total", &[("cause", "frame_timeout")])
            + running.metric("tollgate_sessions_ended_total", &[("cause", "request_memory")]);
        tokio::task::yield_now().await;
    }
    assert!(most <= TOTAL / 2, "large frames that come in slowly leave half to others: {most}");
    assert!(most > TOTAL / 4, "what is being gathered counts: {most}");
    assert!(memory.waits() > 0, "some found no room");
    assert_eq!(memory.taken(), 0);
    running.client().await.ask(4, heartbeat("g")).await;
}

#[tokio::test]
async fn slow_senders_of_large_frames_do_not_keep_small_ones_from_being_served() {
    let limits = Limits { request_memory_bytes: 1 << 20, ..Limits::default() };
    let running = start(Scripted::new(agreeable), limits).await;
    let memory = running.gateway.request_memory.clone();
    let mut slow = Vec::new();
    for _ in 0..80 {
        let mut client = running.client().await;
        let mut begun = vec![0; 20 * 1024];
        begun[..4].copy_from_slice(&(200u32 * 1024).to_be_bytes());
        client.send_raw(&begun).await;
        slow.push(client);
    }
    let crowded = async {
        while memory.waits() == 0 || running.gateway.registry.len() < slow.len() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), crowded).await.expect("there is room for all");
    let large = "g".repeat(30_000);
    for _ in 0..10 {
        let mut client = running.client().await;
        client.ask(4, heartbeat(&large)).await;
        slow.push(client);
    }
}

#[tokio::test]
async fn a_complete_request_waits_for_memory_as_long_as_a_frame_may_take() {
    let (release, released) = oneshot::channel::<()>();
    let released = Mutex::new(Some(released));
    let upstream = Scripted::new(move |_, mut request| {
        let response = agree(&mut request);
        match released.lock().unwrap().take() {
            Some(released) => {
                let response = Box::pin(async move {
                    released.await.ok();
                    response
                });
                Submitted::Later { response, barrier: false }
            }
            None => Submitted::Now(response),
        }
    });
    let large = "g".repeat(30_000);
    let limits = Limits {
        request_memory_bytes: 40_000,
        frame_timeout: Duration::from_millis(500),
        ..Limits::default()
    };
    let running = start(upstream.clone(), limits).await;
    let mut first = running.client().await;
    first.send(4, "test", heartbeat(&large)).await;
    running.until("tollgate_requests_total", &[("api", "Heartbeat")], 1.0).await;
    let mut second = running.client().await;
    second.send(4, "test", heartbeat(&large)).await;
    running.until("tollgate_sessions_ended_total", &[("cause", "request_memory")], 1.0).await;
    assert_eq!(second.closed().await.unwrap(), b"");
    assert_eq!(running.gateway.request_memory.refusals(), 1);
    // One that begins to wait is served when there is room.
    let mut third = running.client().await;
    third.send(4, "test", heartbeat(&large)).await;
    release.send(()).unwrap();
    first.receive(ApiKey::Heartbeat, 4).await;
    third.receive(ApiKey::Heartbeat, 4).await;
}

#[tokio::test]
async fn a_large_client_id_counts_as_long_as_the_session_keeps_it() {
    let limits = Limits {
        request_memory_bytes: 160_000,
        frame_timeout: Duration::from_millis(500),
        ..Limits::default()
    };
    let running = start(Scripted::new(agreeable), limits).await;
    let memory = running.gateway.request_memory.clone();
    let large = "c".repeat(30_000);
    let mut clients = Vec::new();
    // The third is in memory when it turns out that there is too little: it counts all the same.
    for n in 1..=3 {
        let mut client = running.client().await;
        client.send(4, &large, heartbeat("g")).await;
        client.receive(ApiKey::Heartbeat, 4).await;
        assert_eq!(memory.taken(), n * 60_000);
        clients.push(client);
    }
    let mut fourth = running.client().await;
    fourth.send(4, &large, heartbeat("g")).await;
    assert_eq!(fourth.closed().await.unwrap(), b"");
    running.until("tollgate_sessions_ended_total", &[("cause", "request_memory")], 1.0).await;
    drop(clients.pop());
    running.until("tollgate_sessions_ended_total", &[("cause", "client_closed")], 1.0).await;
    // A usual one costs nothing beyond the session.
    for client in &mut clients {
        client.ask(4, heartbeat("g")).await;
    }
    assert_eq!(memory.taken(), 0);
}
