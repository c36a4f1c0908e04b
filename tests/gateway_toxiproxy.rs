//! Toxiproxy's API and its proxies, without HTTP. What the real one does is compared in tests/clients/test_toxiproxy.py.

mod support;

use serde_json::{Value, json};
use std::{net::SocketAddr, sync::Arc, time::Duration};
use support::{Client, Running, Scripted, agreeable, heartbeat, start};
use tokio::{io::AsyncReadExt, net::TcpStream, time::Instant};
use tollgate::gateway::Limits;
use tollgate::wire::ApiKey;

async fn running() -> Running {
    let upstream: Arc<_> = Scripted::new(agreeable);
    start(upstream, Limits::default()).await
}

async fn call(running: &Running, method: &str, path: &str, body: Value) -> (u16, Value) {
    let (status, value) = running.proxies.call(method, path, body.to_string().as_bytes()).await;
    (status, value.unwrap_or_default())
}

/// A proxy, and its address.
async fn proxy(running: &Running) -> SocketAddr {
    let upstream = running.address.to_string();
    let body = json!({ "name": "kafka", "listen": "127.0.0.1:0", "upstream": upstream });
    let (status, made) = call(running, "POST", "/proxies", body).await;
    assert_eq!(status, 201, "{made}");
    made["listen"].as_str().unwrap().parse().unwrap()
}

async fn add(running: &Running, toxic: Value) {
    let (status, made) = call(running, "POST", "/proxies/kafka/toxics", toxic).await;
    assert_eq!(status, 200, "{made}");
}

async fn reset(running: &Running) {
    assert_eq!(call(running, "POST", "/reset", Value::Null).await.0, 204);
}

async fn through(address: SocketAddr) -> Client {
    Client::of(TcpStream::connect(address).await.unwrap())
}

async fn asked(client: &mut Client) -> Duration {
    let start = Instant::now();
    client.ask(4, heartbeat("g")).await;
    start.elapsed()
}

#[tokio::test]
async fn toxics_come_and_go_on_connections_that_are_there() {
    let running = running().await;
    let mut client = through(proxy(&running).await).await;
    asked(&mut client).await;
    add(&running, json!({ "type": "latency", "attributes": { "latency": 200 } })).await;
    assert!(asked(&mut client).await >= Duration::from_millis(200));
    let update = json!({ "attributes": { "latency": 400 } });
    assert_eq!(call(&running, "PATCH", "/proxies/kafka/toxics/latency_downstream", update).await.0, 200);
    assert!(asked(&mut client).await >= Duration::from_millis(400));
    // what is held is let go by the reset
    let update = json!({ "attributes": { "latency": 600_000 } });
    call(&running, "PATCH", "/proxies/kafka/toxics/latency_downstream", update).await;
    client.send(4, "test", heartbeat("g")).await;
    running.until("tollgate_requests_total", &[("api", "Heartbeat")], 4.0).await;
    reset(&running).await;
    client.receive(ApiKey::Heartbeat, 4).await;
}

#[tokio::test]
async fn a_session_through_a_proxy_is_its_clients() {
    let running = running().await;
    let mut client = through(proxy(&running).await).await;
    asked(&mut client).await;
    let sessions = running.gateway.registry.page(0, 10);
    assert_eq!(sessions[0].remote, client.stream.local_addr().unwrap());
    assert_eq!(&*sessions[0].listener, "test");
}

#[tokio::test]
async fn toxicity_is_a_share_of_the_connections_and_the_same_in_every_run() {
    let mut runs = Vec::new();
    for _ in 0..2 {
        let running = running().await;
        let address = proxy(&running).await;
        add(&running, json!({ "type": "limit_data", "toxicity": 0.5, "attributes": { "bytes": 0 } })).await;
        let mut struck = Vec::new();
        for _ in 0..40 {
            let mut client = through(address).await;
            client.send(4, "test", heartbeat("g")).await;
            struck.push(client.frame().await.is_err());
        }
        runs.push(struck);
    }
    assert_eq!(runs[0], runs[1]);
    let share = runs[0].iter().filter(|struck| **struck).count();
    assert!((10..=30).contains(&share), "{share} of 40");
}

#[tokio::test]
async fn disabled_it_drops_connections_and_enabled_it_is_there_again() {
    let running = running().await;
    let address = proxy(&running).await;
    let mut client = through(address).await;
    asked(&mut client).await;
    assert_eq!(call(&running, "POST", "/proxies/kafka", json!({ "enabled": false })).await.0, 200);
    assert!(client.stream.read(&mut [0; 1]).await.map_or(true, |n| n == 0));
    assert!(TcpStream::connect(address).await.is_err());
    assert!(running.gateway.registry.is_empty(), "it has waited for that");
    reset(&running).await;
    asked(&mut through(address).await).await;
    assert_eq!(call(&running, "DELETE", "/proxies/kafka", Value::Null).await.0, 204);
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn proxies_lead_to_listeners_only_and_are_bounded() {
    let running = running().await;
    for upstream in ["127.0.0.1:1", "10.0.0.1:9092", "nonsense"] {
        let body = json!({ "name": "x", "listen": "127.0.0.1:0", "upstream": upstream });
        let (status, said) = call(&running, "POST", "/proxies", body.clone()).await;
        assert_eq!(status, 400, "{said}");
        assert!(said["error"].as_str().unwrap().contains("not a listener of this gateway"), "{said}");
        assert_eq!(call(&running, "POST", "/populate", json!([body])).await.0, 400);
    }
    let upstream = running.address.to_string();
    let made = |n: usize| json!({ "name": format!("p{n}"), "upstream": upstream, "enabled": false });
    for n in 0..256 {
        assert_eq!(call(&running, "POST", "/proxies", made(n)).await.0, 201);
    }
    assert_eq!(call(&running, "POST", "/proxies", made(256)).await.0, 400);
    for n in 0..64 {
        let toxic = json!({ "name": format!("t{n}"), "type": "latency" });
        assert_eq!(call(&running, "POST", "/proxies/p0/toxics", toxic).await.0, 200);
    }
    assert_eq!(call(&running, "POST", "/proxies/p0/toxics", json!({ "type": "latency" })).await.0, 400);
}

#[tokio::test]
async fn the_end_of_the_process_ends_proxies_too() {
    let running = running().await;
    let address = proxy(&running).await;
    add(&running, json!({ "type": "latency", "attributes": { "latency": 600_000 } })).await;
    let mut client = through(address).await;
    client.send(4, "test", heartbeat("g")).await;
    running.until("tollgate_requests_total", &[("api", "Heartbeat")], 1.0).await;
    running.gateway.stop();
    // what it held is not lost
    client.receive(ApiKey::Heartbeat, 4).await;
    client.closed().await.unwrap();
    assert_ne!(
        call(
            &running,
            "POST",
            "/proxies",
            json!({ "name": "late", "upstream": running.address.to_string() })
        )
        .await
        .0,
        201
    );
}
