//! Faults of the connection and its bytes, at the level of sockets: each does what it says, and is gone at once, in order, when
//! its rule goes.

mod support;

use std::{sync::Arc, time::Duration};
use support::{Client, Running, Scripted, agreeable, heartbeat, start_with};
use tokio::{io::AsyncReadExt, time::Instant};
use tollgate::gateway::Limits;
use tollgate::policy::load::Script;
use tollgate::wire::ApiKey;

/// Longer than any test: what is waited for comes only when a fault lets go.
const NEVER: &str = "10m";

fn policy(rule: &str) -> String {
    format!(r#"policy("link", "x"); seed(7); expires("1h"); on_connect(){rule};"#)
}

async fn with(rule: &str) -> Running {
    let upstream: Arc<_> = Scripted::new(agreeable);
    start_with(upstream, Limits::default(), &[("link.rhai", &policy(rule))]).await
}

fn load(running: &Running, rule: Option<&str>) {
    let scripts = rule.map(|rule| Script { file: "link.rhai".into(), text: policy(rule).into() });
    running.gateway.policies.load(scripts.as_slice()).unwrap();
}

async fn executed(running: &Running, n: f64) {
    running.until("tollgate_requests_total", &[("api", "Heartbeat")], n).await;
}

fn requests(running: &Running) -> f64 {
    running.metric("tollgate_requests_total", &[("api", "Heartbeat")])
}

async fn send(client: &mut Client) {
    client.send(4, "test", heartbeat("g")).await;
}

async fn answered(client: &mut Client) {
    client.receive(ApiKey::Heartbeat, 4).await;
}

/// How long a question takes.
async fn asked(client: &mut Client) -> Duration {
    let start = Instant::now();
    client.ask(4, heartbeat("g")).await;
    start.elapsed()
}

/// What the client gets within a while: to see that nothing more comes, there is only time.
async fn got_meanwhile(client: &mut Client) -> Vec<u8> {
    let (mut got, mut buffer) = (Vec::new(), [0; 100]);
    while let Ok(read) =
        tokio::time::timeout(Duration::from_millis(200), client.stream.read(&mut buffer)).await
    {
        match read.unwrap() {
            0 => panic!("closed"),
            n => got.extend_from_slice(&buffer[..n]),
        }
    }
    got
}

/// The answer to a question, in bytes, without faults.
async fn plain_answer() -> Vec<u8> {
    let running = with(".from_ip(\"10.0.0.0/8\").half_open()").await;
    let mut client = running.client().await;
    send(&mut client).await;
    let payload = client.frame().await.unwrap();
    let mut answer = (payload.len() as u32).to_be_bytes().to_vec();
    answer.extend_from_slice(&payload);
    answer
}

#[tokio::test]
async fn latency_delays_each_way() {
    for (way, least) in [("\"up\"", 150), ("\"down\"", 150), ("\"both\"", 300)] {
        let running = with(&format!(".latency(\"150ms\", {way})")).await;
        let mut client = running.client().await;
        let took = asked(&mut client).await;
        assert!(took >= Duration::from_millis(least), "{way}: {took:?}");
        // questions on their way together do not wait for each other
        let start = Instant::now();
        for _ in 0..20 {
            send(&mut client).await;
        }
        for _ in 0..20 {
            answered(&mut client).await;
        }
        assert!(start.elapsed() < Duration::from_secs(3), "{way}: one after the other");
    }
}

#[tokio::test]
async fn what_was_delayed_is_there_at_once_when_the_rule_goes() {
    let running = with(&format!(".latency(\"{NEVER}\", \"down\")")).await;
    let mut client = running.client().await;
    send(&mut client).await;
    send(&mut client).await;
    executed(&running, 2.0).await;
    assert_eq!(got_meanwhile(&mut client).await, b"");
    load(&running, None);
    for n in 1..=2 {
        assert_eq!(client.receive(ApiKey::Heartbeat, 4).await.correlation_id, n, "in order");
    }
    client.ask(4, heartbeat("g")).await;
}

#[tokio::test]
async fn another_rule_in_its_place_does_not_hold_what_the_first_held() {
    let running = with(&format!(".latency(\"{NEVER}\", \"down\")")).await;
    let mut client = running.client().await;
    send(&mut client).await;
    executed(&running, 1.0).await;
    load(&running, Some(".latency(\"9m\", \"down\")"));
    answered(&mut client).await;
    // the session began under a rule that is gone
    client.ask(4, heartbeat("g")).await;
    // one that reloads unchanged goes on
    let mut second = running.client().await;
    send(&mut second).await;
    executed(&running, 3.0).await;
    load(&running, Some(".latency(\"9m\", \"down\")"));
    assert_eq!(got_meanwhile(&mut second).await, b"");
}

#[tokio::test]
async fn bandwidth_limits_bytes_a_second() {
    let running = with(".bandwidth(100, \"down\")").await;
    let mut client = running.client().await;
    let start = Instant::now();
    for _ in 0..4 {
        send(&mut client).await;
    }
    let mut bytes = 0;
    for _ in 0..4 {
        bytes += 4 + client.frame().await.unwrap().len();
    }
    let least = Duration::from_secs_f64(bytes as f64 / 100.0);
    assert!(start.elapsed() >= least, "{bytes} bytes in {:?}", start.elapsed());
    let running = with(".bandwidth(100, 1000, \"down\")").await;
    let start = Instant::now();
    let mut client = running.client().await;
    client.ask(4, heartbeat("g")).await;
    assert!(start.elapsed() < least, "a burst is free");
}

#[tokio::test]
async fn fragments_come_one_by_one() {
    let answer = plain_answer().await;
    let running = with(".fragment(3, \"100ms\", \"down\")").await;
    let mut client = running.client().await;
    send(&mut client).await;
    let start = Instant::now();
    let mut first = [0; 100];
    assert_eq!(client.stream.read(&mut first).await.unwrap(), 3);
    let mut rest = vec![0; answer.len() - 3];
    client.stream.read_exact(&mut rest).await.unwrap();
    assert_eq!([&first[..3], &rest].concat(), answer);
    // timers end on whole milliseconds
    let least = Duration::from_millis(100 * ((answer.len() as u64 - 1) / 3) - 20);
    assert!(start.elapsed() >= least, "{:?}", start.elapsed());
}

#[tokio::test]
async fn corrupted_bytes_differ_by_a_bit() {
    let plain = plain_answer().await;
    let running = with(".corrupt_bytes(1.0, \"down\")").await;
    let mut client = running.client().await;
    send(&mut client).await;
    let mut struck = vec![0; plain.len()];
    client.stream.read_exact(&mut struck).await.unwrap();
    assert!(plain.iter().zip(&struck).all(|(a, b)| (a ^ b).count_ones() == 1), "{plain:?} {struck:?}");
    // up, not even the length of a request arrives as it was
    let running = with(".corrupt_bytes(1.0, \"up\")").await;
    let mut client = running.client().await;
    send(&mut client).await;
    assert!(
        tokio::time::timeout(Duration::from_millis(300), client.frame()).await.is_err()
            || requests(&running) == 0.0
    );
}

#[tokio::test]
async fn closes_after_bytes_and_after_requests() {
    let plain = plain_answer().await;
    let running = with(".close_after(\"bytes\", 5)").await;
    let mut client = running.client().await;
    send(&mut client).await;
    assert_eq!(client.closed().await.unwrap(), plain[..5]);

    let running = with(".close_after(\"requests\", 2)").await;
    let mut client = running.client().await;
    for _ in 0..3 {
        send(&mut client).await;
    }
    answered(&mut client).await;
    answered(&mut client).await;
    assert_eq!(client.closed().await.unwrap(), b"");
    running.until("tollgate_sessions_ended_total", &[], 1.0).await;
}

#[tokio::test]
async fn half_open_says_nothing_until_the_rule_goes() {
    let running = with(".half_open()").await;
    let mut client = running.client().await;
    send(&mut client).await;
    assert_eq!(got_meanwhile(&mut client).await, b"");
    assert_eq!(requests(&running), 0.0);
    load(&running, None);
    answered(&mut client).await;
}

#[tokio::test]
async fn a_fault_ends_when_its_time_is_over() {
    let upstream: Arc<_> = Scripted::new(agreeable);
    let script = r#"policy("link", "x"); expires("700ms"); on_connect().half_open();"#;
    let start = Instant::now();
    let running = start_with(upstream, Limits::default(), &[("link.rhai", script)]).await;
    let mut client = running.client().await;
    client.ask(4, heartbeat("g")).await;
    assert!(start.elapsed() >= Duration::from_millis(650), "{:?}", start.elapsed());
}

#[tokio::test]
async fn a_black_hole_swallows_one_way() {
    let running = with(".blackhole(\"down\")").await;
    let mut client = running.client().await;
    send(&mut client).await;
    executed(&running, 1.0).await;
    assert_eq!(got_meanwhile(&mut client).await, b"");
    load(&running, None);
    answered(&mut client).await;

    let running = with(".blackhole(\"up\")").await;
    let mut client = running.client().await;
    send(&mut client).await;
    assert_eq!(got_meanwhile(&mut client).await, b"");
    assert_eq!(requests(&running), 0.0);
    load(&running, None);
    answered(&mut client).await;
}

#[tokio::test]
async fn what_a_black_hole_keeps_of_a_client_is_bounded() {
    let running = with(".blackhole(\"up\")").await;
    let client = running.client().await;
    let chunk = vec![0; 64 * 1024];
    let mut sent = 0;
    // until the kernel takes no more either
    while tokio::time::timeout(Duration::from_millis(500), client.stream.writable()).await.is_ok() {
        match client.stream.try_write(&chunk) {
            Ok(n) => sent += n,
            Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock),
        }
    }
    let held = running.gateway.held.taken();
    assert!(held <= 128 * 1024 && held < sent, "{held} of {sent}");
    drop(client);
}

#[tokio::test]
async fn a_connection_closes_slowly() {
    let running = with(".slow_close(\"600ms\")").await;
    let mut client = running.client().await;
    let start = Instant::now();
    // HTTP, at which the session ends
    client.send_raw(b"GET / HTTP/1.1\r\n\r\n").await;
    running.until("tollgate_sessions_ended_total", &[("cause", "http")], 1.0).await;
    client.closed().await.unwrap();
    assert!(start.elapsed() >= Duration::from_millis(600), "{:?}", start.elapsed());
}

#[tokio::test]
async fn an_answer_stalls_in_the_middle() {
    let plain = plain_answer().await;
    let running = with(".stall(6, \"down\")").await;
    let mut client = running.client().await;
    send(&mut client).await;
    assert_eq!(got_meanwhile(&mut client).await, plain[..6]);
    load(&running, None);
    let mut rest = vec![0; plain.len() - 6];
    client.stream.read_exact(&mut rest).await.unwrap();
    assert_eq!(rest, plain[6..]);

    let running = with(".stall(6, \"500ms\", \"down\")").await;
    let mut client = running.client().await;
    assert!(asked(&mut client).await >= Duration::from_millis(490));
    assert!(asked(&mut client).await < Duration::from_millis(490), "once");
}

#[tokio::test]
async fn refused_is_reset_at_once() {
    let running = with(".refuse()").await;
    let mut client = running.client().await;
    let error = client.closed().await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn a_share_of_the_sessions_is_the_same_in_every_run() {
    let mut runs = Vec::new();
    for _ in 0..2 {
        let running = with(".sessions(0.5).refuse()").await;
        let mut refused = Vec::new();
        for _ in 0..40 {
            let mut client = running.client().await;
            client.send(4, "test", heartbeat("g")).await;
            refused.push(client.frame().await.is_err());
        }
        runs.push(refused);
    }
    assert_eq!(runs[0], runs[1]);
    let share = runs[0].iter().filter(|refused| **refused).count();
    assert!((10..=30).contains(&share), "{share} of 40");
}

#[tokio::test]
async fn a_session_behind_a_fault_is_its_clients() {
    let running = with(".latency(\"1ms\")").await;
    let mut client = running.client().await;
    client.ask(4, heartbeat("g")).await;
    let sessions = running.gateway.registry.page(0, 10);
    assert_eq!(sessions[0].remote, client.stream.local_addr().unwrap());
    drop(client);
    running.until("tollgate_sessions_ended_total", &[("cause", "client_closed")], 1.0).await;
    while !running.gateway.registry.is_empty() {
        tokio::task::yield_now().await;
    }
    assert_eq!(running.gateway.held.taken(), 0);
}

#[tokio::test]
async fn what_is_only_observed_leaves_the_bytes_alone() {
    let running = with(".observe().half_open()").await;
    running.client().await.ask(4, heartbeat("g")).await;
}

#[tokio::test]
async fn the_end_of_the_process_lets_go() {
    let running = with(&format!(".latency(\"{NEVER}\", \"down\")")).await;
    let mut client = running.client().await;
    send(&mut client).await;
    executed(&running, 1.0).await;
    running.gateway.stop();
    answered(&mut client).await;
    assert_eq!(client.closed().await.unwrap(), b"");
}

/// At the third heartbeat of a group every session that sent one is dropped, and no other.
#[tokio::test]
async fn a_storm_drops_all_sessions_of_a_group_at_once() {
    let upstream: Arc<_> = Scripted::new(agreeable);
    let script = r#"policy("storm", "x"); expires("1h");
        on_request("Heartbeat").group("billing").after(2).at_most(1).storm();"#;
    let running = start_with(upstream.clone(), Limits::default(), &[("storm.rhai", script)]).await;
    let mut members = Vec::new();
    for _ in 0..3 {
        members.push(running.client().await);
    }
    let mut other = running.client().await;
    other.ask(4, heartbeat("shipping")).await;
    for member in &mut members[..2] {
        member.ask(4, heartbeat("billing")).await;
    }
    // one of the group that the rule has not seen is none of them
    let mut unseen = running.client().await;
    unseen.ask(4, heartbeat("shipping")).await;
    send_to(&mut members[2], "billing").await;
    for mut member in members {
        // a reset, or the end: what was in its buffers decides
        assert!(member.closed().await.is_ok_and(|rest| rest.is_empty()) || member.frame().await.is_err());
    }
    running.until("tollgate_sessions_ended_total", &[("cause", "policy_reset")], 3.0).await;
    for bystander in [&mut other, &mut unseen] {
        bystander.ask(4, heartbeat("shipping")).await;
    }
    assert_eq!(upstream.apis().len(), 6, "what broke the storm was not executed");
    // and the group comes back
    running.client().await.ask(4, heartbeat("billing")).await;
}

#[tokio::test]
async fn a_storm_of_connections() {
    let running = with(".nth(3).storm()").await;
    let mut clients = Vec::new();
    for _ in 0..2 {
        let mut client = running.client().await;
        client.ask(4, heartbeat("g")).await;
        clients.push(client);
    }
    let mut third = running.client().await;
    assert!(third.closed().await.is_err(), "reset");
    for mut client in clients {
        assert!(client.closed().await.is_ok_and(|rest| rest.is_empty()));
    }
    running.client().await.ask(4, heartbeat("g")).await;
}

async fn send_to(client: &mut Client, group: &str) {
    client.send(4, "test", heartbeat(group)).await;
}
