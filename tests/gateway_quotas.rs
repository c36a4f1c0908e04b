//! What a session sees of quotas: answered first, then not read; an address that comes too often kept waiting at the door.

mod support;

use std::{
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};
use support::{Scripted, agree, agreeable, flat, heartbeat, start, start_with};
use tokio::sync::Notify;
use tollgate::gateway::{Caller, Limits, Submitted, Upstream};
use tollgate::wire::{ApiKey, Request, Response, ResponseBody, api::metadata};

const MUTE: Duration = Duration::from_millis(400);

fn metered(mut request: Request, mute: Duration, after: Duration) -> Submitted {
    let response = agree(&mut request);
    let response = Box::pin(async move { (response, after) });
    Submitted::Metered { response, barrier: false, mute }
}

#[tokio::test]
async fn a_muted_session_is_answered_and_then_not_read() {
    // Known when the request was taken, and known with its answer.
    for (mute, after) in [(MUTE, Duration::ZERO), (Duration::ZERO, MUTE)] {
        let count = AtomicUsize::new(0);
        let upstream = Scripted::new(move |_, request| match count.fetch_add(1, Relaxed) {
            0 => metered(request, mute, after),
            _ => metered(request, Duration::ZERO, Duration::ZERO),
        });
        let running = start(upstream.clone(), Limits::default()).await;
        let (mut client, mut other) = (running.client().await, running.client().await);
        let begun = Instant::now();
        client.send(4, "test", heartbeat("first")).await;
        assert_eq!(client.receive(ApiKey::Heartbeat, 4).await.correlation_id, 1);
        client.send(4, "test", heartbeat("second")).await;
        assert!(begun.elapsed() < MUTE, "the answer does not wait");
        other.send(4, "test", heartbeat("third")).await;
        other.receive(ApiKey::Heartbeat, 4).await;
        assert!(begun.elapsed() < MUTE, "nobody else waits");
        assert_eq!(upstream.apis().len(), 2);
        assert_eq!(client.receive(ApiKey::Heartbeat, 4).await.correlation_id, 2);
        assert!(begun.elapsed() >= MUTE, "{:?}", begun.elapsed());
    }
}

#[tokio::test]
async fn what_was_sent_before_the_answer_waits_too() {
    let answer = Arc::new(Notify::new());
    let (kept, count) = (answer.clone(), AtomicUsize::new(0));
    let upstream = Scripted::new(move |_, mut request| {
        if count.fetch_add(1, Relaxed) > 0 {
            return Submitted::Now(agree(&mut request));
        }
        let (response, kept) = (agree(&mut request), kept.clone());
        let response = Box::pin(async move {
            kept.notified().await;
            (response, MUTE)
        });
        // The next one waits for this answer in any case, and then for its mute.
        Submitted::Metered { response, barrier: true, mute: Duration::ZERO }
    });
    let running = start(upstream.clone(), Limits::default()).await;
    let mut client = running.client().await;
    client.send(4, "test", heartbeat("first")).await;
    client.send(4, "test", heartbeat("second")).await;
    running.until("tollgate_requests_total", &[("api", "Heartbeat")], 1.0).await;
    let begun = Instant::now();
    answer.notify_one();
    client.receive(ApiKey::Heartbeat, 4).await;
    assert!(begun.elapsed() < MUTE);
    client.receive(ApiKey::Heartbeat, 4).await;
    assert!(begun.elapsed() >= MUTE, "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_session_muted_for_longer_than_one_may_be_idle_ends() {
    let hour = Duration::from_secs(3600);
    let limits = Limits { idle_timeout: MUTE, ..Limits::default() };
    let running = start(Scripted::new(move |_, request| metered(request, hour, hour)), limits).await;
    let mut client = running.client().await;
    client.send(4, "test", heartbeat("first")).await;
    client.receive(ApiKey::Heartbeat, 4).await;
    assert!(client.closed().await.is_ok_and(|rest| rest.is_empty()));
    running.until("tollgate_sessions_ended_total", &[("cause", "idle")], 1.0).await;
}

#[tokio::test]
async fn the_end_of_the_process_does_not_wait_for_the_muted() {
    let hour = Duration::from_secs(3600);
    let running =
        start(Scripted::new(move |_, request| metered(request, hour, hour)), Limits::default()).await;
    let mut client = running.client().await;
    client.send(4, "test", heartbeat("first")).await;
    client.receive(ApiKey::Heartbeat, 4).await;
    running.gateway.stop();
    assert!(client.closed().await.is_ok_and(|rest| rest.is_empty()));
    running.until("tollgate_sessions_ended_total", &[("cause", "shutdown")], 1.0).await;
}

/// Lets one connection in.
struct OneOnly(AtomicUsize);

impl Upstream for OneOnly {
    fn submit(&self, _: &Arc<Caller>, mut request: Request) -> Submitted {
        Submitted::Now(agree(&mut request))
    }

    fn connecting(&self, remote: IpAddr) -> Option<Duration> {
        assert!(remote.is_loopback());
        (self.0.fetch_add(1, Relaxed) > 0).then_some(MUTE)
    }

    fn unknown_api_versions(&self, _: &Arc<Caller>, _: i32) -> Response {
        unreachable!("nobody asks")
    }
}

#[tokio::test]
async fn an_address_that_comes_too_often_waits_and_is_turned_away() {
    let running = start(Arc::new(OneOnly(AtomicUsize::new(0))), Limits::default()).await;
    let mut welcome = running.client().await;
    welcome.ask(4, heartbeat("g")).await;
    let begun = Instant::now();
    let mut other = running.client().await;
    other.send(4, "test", heartbeat("g")).await;
    let end = other.closed().await;
    assert!(end.is_err() || end.is_ok_and(|rest| rest.is_empty()), "it is not answered");
    assert!(begun.elapsed() >= MUTE, "{:?}", begun.elapsed());
    running.until("tollgate_sessions_ended_total", &[("cause", "connection_rate")], 1.0).await;
    welcome.ask(4, heartbeat("g")).await;
}

/// A large frame that is complete while its session is muted is memory that others want.
#[tokio::test]
async fn a_large_frame_under_way_is_not_held_until_the_session_may_speak() {
    let (answer, count) = (Arc::new(Notify::new()), AtomicUsize::new(0));
    let kept = answer.clone();
    let upstream = Scripted::new(move |_, mut request| {
        if count.fetch_add(1, Relaxed) > 0 {
            return Submitted::Now(agree(&mut request));
        }
        let (response, kept) = (agree(&mut request), kept.clone());
        let response = Box::pin(async move {
            kept.notified().await;
            (response, Duration::from_secs(600))
        });
        Submitted::Metered { response, barrier: false, mute: Duration::ZERO }
    });
    let running = start(upstream.clone(), Limits::default()).await;
    let mut client = running.client().await;
    client.send(4, "test", heartbeat("first")).await;
    let topics = (0..10_000).map(|n| metadata::MetadataRequestTopic {
        name: Some(format!("topic-{n}").into()),
        ..Default::default()
    });
    let body = metadata::MetadataRequest { topics: Some(topics.collect()), ..Default::default() };
    let large = Request::new(9, 2, Some("test".into()), body.into()).unwrap();
    let bytes = flat(&large.encode().unwrap());
    assert!(bytes.len() > 100_000);
    let (begun, rest) = bytes.split_at(50_000);
    client.send_raw(begun).await;
    running.until("tollgate_requests_total", &[("api", "Heartbeat")], 1.0).await;
    answer.notify_one();
    client.receive(ApiKey::Heartbeat, 4).await;
    client.send_raw(rest).await;
    running.until("tollgate_requests_total", &[("api", "Metadata")], 1.0).await;
    // What follows waits.
    client.send(4, "test", heartbeat("third")).await;
    let unread =
        tokio::time::timeout(MUTE, running.until("tollgate_requests_total", &[("api", "Heartbeat")], 2.0));
    assert!(unread.await.is_err());
}

/// Ten requests come at once, as ten seconds' worth do with Kafka's windows; the eleventh is answered at once, and nobody reads the
/// twelfth for a second.
#[tokio::test]
async fn a_policys_quota_mutes_who_used_it_up_and_nobody_else() {
    const POLICY: &str = r#"on_request("Heartbeat").quota("1 requests/s", "client_id");"#;
    let upstream = Scripted::new(agreeable);
    let running = start_with(upstream.clone(), Limits::default(), &[("quota.rhai", POLICY)]).await;
    let (mut client, mut other) = (running.client().await, running.client().await);
    let told = |body: ResponseBody| match body {
        ResponseBody::Heartbeat(body) => body.throttle_time_ms,
        other => panic!("{other:?}"),
    };
    let (mut sent, mut begun, mut wait) = (0, Instant::now(), 0);
    while wait == 0 {
        (sent, begun) = (sent + 1, Instant::now());
        client.send(4, "greedy", heartbeat("g")).await;
        wait = told(client.receive(ApiKey::Heartbeat, 4).await.body);
    }
    // on a machine that stands still for a second it is more than eleven
    assert!(sent >= 11 && wait <= 1000, "{sent} {wait}");
    client.send(4, "greedy", heartbeat("g")).await;
    other.send(4, "modest", heartbeat("g")).await;
    assert_eq!(told(other.receive(ApiKey::Heartbeat, 4).await.body), 0);
    let wait = Duration::from_millis(wait.unsigned_abs().into());
    let heard = upstream.apis().len();
    if begun.elapsed() < wait {
        assert_eq!(heard, sent + 1, "what is muted is not read");
    }
    client.receive(ApiKey::Heartbeat, 4).await;
    assert!(begun.elapsed() >= wait, "{:?}", begun.elapsed());
}
