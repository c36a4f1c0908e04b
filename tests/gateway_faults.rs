//! Faults at the level of sockets: what a loss leaves of a session, when what is held back is let go, how connections are
//! closed.

mod support;

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use support::{Scripted, agree, agreeable, heartbeat, start_with};
use tollgate::gateway::{Limits, Submitted};
use tollgate::policy::load::Script;
use tollgate::wire::{
    ApiKey,
    api::{sasl_authenticate::SaslAuthenticateRequest, sasl_handshake::SaslHandshakeRequest},
};

const LOSE: &str =
    r#"policy("lose", "x"); expires("1h"); on_request("Heartbeat").group("lost").lose_response();"#;

/// More than a session may owe, sent behind a lost response, is executed; and the session ends with its client.
async fn a_silent_session_ends_with_its_client(barrier: Option<bool>) {
    let upstream = Scripted::new(move |_, mut request| {
        let response = agree(&mut request);
        match barrier {
            None => Submitted::Now(response),
            Some(barrier) => Submitted::Later { response: Box::pin(std::future::ready(response)), barrier },
        }
    });
    let running = start_with(upstream.clone(), Limits::default(), &[("lose.rhai", LOSE)]).await;
    let mut client = running.client().await;
    client.send(4, "test", heartbeat("owed")).await;
    for n in 0..150 {
        client.send(4, "test", heartbeat(if n == 0 { "lost" } else { "behind" })).await;
    }
    running.until("tollgate_requests_total", &[("api", "Heartbeat")], 151.0).await;
    assert_eq!(client.receive(ApiKey::Heartbeat, 4).await.correlation_id, 1, "owed from before");
    drop(client);
    running.until("tollgate_sessions_ended_total", &[("cause", "client_closed")], 1.0).await;
    assert_eq!(upstream.apis().len(), 151);
    assert_eq!((running.gateway.request_memory.taken(), running.gateway.held.taken()), (0, 0));
    assert!(running.gateway.registry.is_empty());
}

#[tokio::test]
async fn a_lost_response_does_not_keep_the_session_from_seeing_its_client_go() {
    a_silent_session_ends_with_its_client(None).await;
}

#[tokio::test]
async fn a_lost_response_does_not_keep_the_session_when_answers_come_later() {
    a_silent_session_ends_with_its_client(Some(false)).await;
}

#[tokio::test]
async fn a_lost_response_still_keeps_requests_in_order_that_take_effect_with_their_answers() {
    a_silent_session_ends_with_its_client(Some(true)).await;
}

/// Counts the effects under way, and lets them end when told to.
struct Effects {
    under_way: AtomicUsize,
    end: tokio::sync::watch::Sender<bool>,
}

#[tokio::test]
async fn effects_behind_a_lost_response_take_up_their_places_until_they_end() {
    let effects = Arc::new(Effects { under_way: AtomicUsize::new(0), end: Default::default() });
    let theirs = effects.clone();
    let upstream = Scripted::new(move |_, mut request| {
        let response = agree(&mut request);
        let under_way = theirs.under_way.fetch_add(1, Ordering::Relaxed) + 1;
        assert!(under_way <= Limits::default().max_in_flight, "{under_way} at a time");
        let (effects, mut end) = (theirs.clone(), theirs.end.subscribe());
        let later = async move {
            end.wait_for(|end| *end).await.ok();
            effects.under_way.fetch_sub(1, Ordering::Relaxed);
            response
        };
        Submitted::Later { response: Box::pin(later), barrier: false }
    });
    let running = start_with(upstream.clone(), Limits::default(), &[("lose.rhai", LOSE)]).await;
    let mut client = running.client().await;
    for _ in 0..150 {
        client.send(4, "test", heartbeat("lost")).await;
    }
    let full = async {
        while effects.under_way.load(Ordering::Relaxed) < Limits::default().max_in_flight {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), full).await.expect("nothing stays under way");
    assert!(running.gateway.request_memory.taken() > 0, "their requests are in memory");
    effects.end.send_replace(true);
    running.until("tollgate_requests_total", &[("api", "Heartbeat")], 150.0).await;
    drop(client);
    running.until("tollgate_sessions_ended_total", &[("cause", "client_closed")], 1.0).await;
    assert_eq!((upstream.apis().len(), running.gateway.request_memory.taken()), (150, 0));
}

#[tokio::test]
async fn effects_that_never_end_do_not_keep_a_silent_session_for_ever() {
    let upstream =
        Scripted::new(|_, _| Submitted::Later { response: Box::pin(std::future::pending()), barrier: false });
    let limits = Limits { idle_timeout: Duration::from_millis(100), ..Limits::default() };
    for (requests, cause) in [(50, "client_closed"), (150, "idle")] {
        let running = start_with(upstream.clone(), limits.clone(), &[("lose.rhai", LOSE)]).await;
        let mut client = running.client().await;
        for _ in 0..requests {
            client.send(4, "test", heartbeat("lost")).await;
        }
        drop(client);
        running.until("tollgate_sessions_ended_total", &[("cause", cause)], 1.0).await;
        assert_eq!(running.gateway.request_memory.taken(), 0);
    }
}

#[tokio::test]
async fn a_silent_session_answers_nothing_that_the_rules_have_no_part_in() {
    for fault in ["lose_response", "lose_request"] {
        let policy = format!(
            r#"policy("lose", "x"); expires("1h"); on_request("Heartbeat").group("lost").{fault}();"#
        );
        let limits = Limits { idle_timeout: Duration::from_millis(100), ..Limits::default() };
        let running = start_with(Scripted::new(agreeable), limits, &[("lose.rhai", &policy)]).await;
        let mut client = running.client().await;
        client.send(4, "test", heartbeat("lost")).await;
        client.send(1, "test", SaslHandshakeRequest::default()).await;
        client.send(2, "test", SaslAuthenticateRequest::default()).await;
        // ApiVersions of a version that nobody knows.
        client.send_raw(&[0, 0, 0, 14, 0, 18, 0, 99, 0, 0, 0, 5, 0, 2, b'm', b'e', 0, 0]).await;
        running.until("tollgate_sessions_ended_total", &[("cause", "idle")], 1.0).await;
        assert_eq!(client.closed().await.unwrap(), b"", "{fault}");
    }
}

#[tokio::test]
async fn a_client_that_says_nothing_after_a_loss_ends_as_idle() {
    for fault in ["lose_response", "lose_request"] {
        let policy = format!(
            r#"policy("lose", "x"); expires("1h"); on_request("Heartbeat").group("lost").{fault}();"#
        );
        let limits = Limits { idle_timeout: Duration::from_millis(100), ..Limits::default() };
        let running = start_with(Scripted::new(agreeable), limits, &[("lose.rhai", &policy)]).await;
        let mut client = running.client().await;
        client.send(4, "test", heartbeat("lost")).await;
        assert_eq!(client.closed().await.unwrap(), b"", "{fault}: nothing is sent");
        running.until("tollgate_sessions_ended_total", &[("cause", "idle")], 1.0).await;
    }
}

#[tokio::test]
async fn a_silent_session_ends_when_the_process_drains() {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    let upstream = Scripted::new(move |_, mut request| {
        count.fetch_add(1, Ordering::Relaxed);
        Submitted::Now(agree(&mut request))
    });
    let running = start_with(upstream, Limits::default(), &[("lose.rhai", LOSE)]).await;
    let mut client = running.client().await;
    client.send(4, "test", heartbeat("lost")).await;
    while asked.load(Ordering::Relaxed) == 0 {
        tokio::task::yield_now().await;
    }
    running.gateway.stop();
    assert_eq!(client.closed().await.unwrap(), b"");
    running.until("tollgate_sessions_ended_total", &[("cause", "shutdown")], 1.0).await;
}

const SLOW: &str = r#"policy("slow", "x"); expires("1h"); on_request("Heartbeat").delay("1h");"#;

fn script(file: &str, text: &str) -> Script {
    Script { file: file.into(), text: text.into() }
}

#[tokio::test]
async fn a_rule_that_is_taken_away_lets_go_of_what_it_held_in_order() {
    let running = start_with(Scripted::new(agreeable), Limits::default(), &[("slow.rhai", SLOW)]).await;
    let mut client = running.client().await;
    for _ in 0..3 {
        client.send(4, "test", heartbeat("g")).await;
    }
    running.until("tollgate_requests_total", &[("api", "Heartbeat")], 3.0).await;
    // Another file that comes changes nothing about it.
    let other = script("other.rhai", r#"policy("other", "x"); on_produce("t").deny();"#);
    running.gateway.policies.load(&[script("slow.rhai", SLOW), other.clone()]).unwrap();
    let held = tokio::time::timeout(Duration::from_millis(100), client.frame()).await;
    assert!(held.is_err(), "{held:?}");
    running.gateway.policies.load(&[other]).unwrap();
    // `frame` above was given up before its first byte.
    for n in 1..=3 {
        assert_eq!(client.receive(ApiKey::Heartbeat, 4).await.correlation_id, n);
    }
}

#[tokio::test]
async fn a_rule_that_expires_lets_go_of_what_it_held() {
    let policy = SLOW.replace(r#"expires("1h")"#, r#"expires("200ms")"#);
    let running = start_with(Scripted::new(agreeable), Limits::default(), &[("slow.rhai", &policy)]).await;
    let mut client = running.client().await;
    client.ask(4, heartbeat("g")).await;
}

#[tokio::test]
async fn a_delay_on_connecting_ends_with_its_rule() {
    let slow = r#"policy("slow", "x"); expires("1h"); on_connect().delay("1h");"#;
    let running = start_with(Scripted::new(agreeable), Limits::default(), &[("slow.rhai", slow)]).await;
    let mut client = running.client().await;
    running.until("tollgate_sessions_accepted_total", &[], 1.0).await;
    running.gateway.policies.load(&[]).unwrap();
    client.ask(4, heartbeat("g")).await;
}

#[tokio::test]
async fn what_is_delayed_does_not_hold_up_the_end_of_the_process() {
    let running = start_with(Scripted::new(agreeable), Limits::default(), &[("slow.rhai", SLOW)]).await;
    let mut client = running.client().await;
    client.send(4, "test", heartbeat("g")).await;
    running.until("tollgate_requests_total", &[("api", "Heartbeat")], 1.0).await;
    running.gateway.stop();
    client.receive(ApiKey::Heartbeat, 4).await;
    assert_eq!(client.closed().await.unwrap(), b"");
}

#[tokio::test]
async fn a_disconnect_with_input_unread_takes_nothing_owed_with_it() {
    let policy = r#"policy("end", "x"); expires("1h"); on_request("Heartbeat").group("bye").disconnect();"#;
    let running = start_with(Scripted::new(agreeable), Limits::default(), &[("end.rhai", policy)]).await;
    let mut client = running.client().await;
    client.send(4, "test", heartbeat("owed")).await;
    client.send(4, "test", heartbeat("bye")).await;
    // Pipelined behind: the connection is closed while this lies in the server's buffers.
    client.send_raw(&vec![0; 256 * 1024]).await;
    client.receive(ApiKey::Heartbeat, 4).await;
    assert_eq!(client.closed().await.unwrap(), b"", "an orderly end");
    drop(client);
    running.until("tollgate_sessions_ended_total", &[("cause", "policy_disconnect")], 1.0).await;
}

#[tokio::test]
async fn a_client_that_does_not_end_its_side_is_not_waited_for() {
    let limits = Limits { idle_timeout: Duration::from_millis(50), ..Limits::default() };
    let running = start_with(Scripted::new(agreeable), limits, &[]).await;
    let mut client = running.client().await;
    client.ask(4, heartbeat("g")).await;
    running.until("tollgate_sessions_ended_total", &[("cause", "idle")], 1.0).await;
    let gone = async {
        while !running.gateway.registry.is_empty() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), gone).await.expect("its place is taken for ever");
}

#[tokio::test]
async fn a_session_that_ended_gives_up_its_place_before_its_connection_is_closed() {
    let limits = Limits { idle_timeout: Duration::from_millis(50), ..Limits::default() };
    let running = start_with(Scripted::new(agreeable), limits, &[]).await;
    let mut client = running.client().await;
    client.ask(4, heartbeat("g")).await;
    assert_eq!(client.closed().await.unwrap(), b"");
    // Ours is still open.
    assert!(running.gateway.registry.is_empty());
}
