//! `hold_until` on real sessions: a request reaches the upstream after the exchange it waits for, or when nothing holds it any more.

mod support;

use std::time::{Duration, Instant};
use support::{Running, Scripted, agreeable, heartbeat, start_with};
use tollgate::gateway::Limits;
use tollgate::policy::load::Script;
use tollgate::wire::{ApiKey, api::sync_group::SyncGroupRequest};

fn policy(at_most: &str) -> String {
    format!(
        "policy(\"hold\", \"x\"); expires(\"1h\"); \
         on_request(\"Heartbeat\").group(\"held\").hold_until(\"SyncGroup\", \"awaited\", \"{at_most}\");"
    )
}

fn sync(group: &str) -> SyncGroupRequest {
    SyncGroupRequest { group_id: group.into(), ..Default::default() }
}

/// Until somebody waits.
async fn waits(running: &Running) {
    let waiting = async {
        while !running.gateway.policies.shared().waits.is_on() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), waiting).await.expect("nobody waits");
}

#[tokio::test]
async fn a_request_goes_upstream_after_the_exchange_it_waits_for() {
    let upstream = Scripted::new(agreeable);
    let text = policy("1h");
    let running = start_with(upstream.clone(), Limits::default(), &[("hold.rhai", &text)]).await;
    let (mut held, mut other) = (running.client().await, running.client().await);
    held.send(4, "test", heartbeat("held")).await;
    held.send(4, "test", heartbeat("behind")).await;
    waits(&running).await;
    other.ask(4, heartbeat("free")).await;
    other.ask(5, sync("not this one")).await;
    assert_eq!(upstream.apis(), [ApiKey::Heartbeat, ApiKey::SyncGroup], "what is behind it waits as well");
    other.ask(5, sync("awaited")).await;
    for correlation_id in [1, 2] {
        assert_eq!(held.receive(ApiKey::Heartbeat, 4).await.correlation_id, correlation_id);
    }
    use ApiKey as A;
    assert_eq!(upstream.apis(), [A::Heartbeat, A::SyncGroup, A::SyncGroup, A::Heartbeat, A::Heartbeat]);
    assert!(!running.gateway.policies.shared().waits.is_on());
}

#[tokio::test]
async fn its_time_the_end_of_the_rule_and_of_the_process_let_it_go() {
    let text = policy("100ms");
    let running = start_with(Scripted::new(agreeable), Limits::default(), &[("hold.rhai", &text)]).await;
    let mut client = running.client().await;
    let begun = Instant::now();
    client.ask(4, heartbeat("held")).await;
    assert!(begun.elapsed() >= Duration::from_millis(100));

    let text = policy("1h");
    for stop in [false, true] {
        let running = start_with(Scripted::new(agreeable), Limits::default(), &[("hold.rhai", &text)]).await;
        let mut client = running.client().await;
        client.send(4, "test", heartbeat("held")).await;
        waits(&running).await;
        if stop {
            running.gateway.stop();
        } else {
            let none = Script { file: "hold.rhai".into(), text: "policy(\"hold\", \"x\");".into() };
            running.gateway.policies.load(&[none]).unwrap();
        }
        client.receive(ApiKey::Heartbeat, 4).await;
    }
}
