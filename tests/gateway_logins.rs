//! Faults of logins on real sessions: they refuse one that is right, or end it sooner, and let nobody in.

mod support;

use bytes::Bytes;
use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use support::{Client, Running, Scripted, agreeable, heartbeat, start_recorded};
use tollgate::gateway::{Limits, SaslConfig};
use tollgate::policy::{
    capture::{Capture, Reader, What},
    load::Script,
};
use tollgate::security::{
    Authenticator, Mechanism, SecretString, UsersStore,
    credential::MIN_ITERATIONS,
    users::{User, Users},
};
use tollgate::wire::{
    ApiKey, ErrorCode, ResponseBody, Str,
    api::{api_versions::ApiVersionsRequest, sasl_authenticate::*, sasl_handshake::*},
    types::Sensitive,
};

/// With the users `ada` and `bob`, whose passwords are their names.
async fn running(policy: &str) -> Running {
    recorded(policy, None).await
}

async fn recorded(policy: &str, capture: Option<Arc<Capture>>) -> Running {
    let mut users = Users::new().unwrap();
    for name in ["ada", "bob"] {
        let user = User::with_password(&SecretString::new(name.into()), MIN_ITERATIONS).unwrap();
        users.insert(name.parse().unwrap(), user);
    }
    let authenticator = Authenticator::new(Arc::new(UsersStore::fixed(users))).unwrap();
    let sasl = SaslConfig {
        mechanisms: vec![Mechanism::Plain, Mechanism::ScramSha256],
        authenticator: Arc::new(authenticator),
    };
    let policy = format!("policy(\"logins\", \"x\"); {policy}");
    let policy = [("logins.rhai", policy.as_str())];
    start_recorded(Scripted::new(agreeable), Limits::default(), &policy, Some(sasl), capture).await
}

async fn handshake(client: &mut Client, mechanism: Mechanism) -> SaslHandshakeResponse {
    let body = SaslHandshakeRequest { mechanism: Str::from(mechanism.name()), ..Default::default() };
    match client.ask(1, body).await {
        ResponseBody::SaslHandshake(body) => *body,
        other => panic!("{other:?}"),
    }
}

async fn authenticate(
    client: &mut Client,
    version: i16,
    name: &str,
    password: &str,
) -> SaslAuthenticateResponse {
    let token = format!("\0{name}\0{password}");
    let body = SaslAuthenticateRequest { auth_bytes: Sensitive(Bytes::from(token)), ..Default::default() };
    match client.ask(version, body).await {
        ResponseBody::SaslAuthenticate(body) => *body,
        other => panic!("{other:?}"),
    }
}

/// A login by PLAIN from the beginning.
async fn login(client: &mut Client, name: &str) -> SaslAuthenticateResponse {
    assert_eq!(handshake(client, Mechanism::Plain).await.error_code, 0);
    authenticate(client, 2, name, name).await
}

#[tokio::test]
async fn a_right_login_is_refused_as_a_wrong_one_and_closed() {
    let rule = "expires(\"1h\"); on_request(\"SaslAuthenticate\").principal(\"User:ada\").sasl_fail();";
    let running = running(rule).await;
    let (mut ada, mut wrong, mut bob) =
        (running.client().await, running.client().await, running.client().await);
    let refused = login(&mut ada, "ada").await;
    handshake(&mut wrong, Mechanism::Plain).await;
    let really = authenticate(&mut wrong, 2, "ada", "bob").await;
    assert_eq!(refused.error_code, ErrorCode::SASL_AUTHENTICATION_FAILED.0);
    assert_eq!((refused.error_code, &refused.error_message), (really.error_code, &really.error_message));
    assert_eq!(ada.closed().await.unwrap(), b"");
    assert_eq!(login(&mut bob, "bob").await.error_code, 0);
    bob.ask(4, heartbeat("g")).await;
    let rules = running.gateway.policies.current();
    assert_eq!(
        rules.policies[0].rules[0].life.counters.read(),
        (1, 1, 0),
        "a wrong login is none of its business"
    );
    running.until("tollgate_sessions_ended_total", &[("cause", "policy_disconnect")], 1.0).await;
}

#[tokio::test]
async fn a_wrong_login_stays_wrong_whatever_rules_there_are() {
    let rule = "expires(\"1h\"); on_request(\"SaslAuthenticate\").sasl_expire(\"1h\");";
    let running = running(rule).await;
    let mut client = running.client().await;
    handshake(&mut client, Mechanism::Plain).await;
    let said = authenticate(&mut client, 2, "ada", "bob").await;
    assert_eq!((said.error_code, said.session_lifetime_ms), (ErrorCode::SASL_AUTHENTICATION_FAILED.0, 0));
    assert_eq!(client.closed().await.unwrap(), b"");
}

#[tokio::test]
async fn a_mechanism_is_refused_as_one_that_is_not_there() {
    let running = running("expires(\"1h\"); on_request(\"SaslHandshake\").sasl_fail(\"PLAIN\");").await;
    let (mut plain, mut scram) = (running.client().await, running.client().await);
    let said = handshake(&mut plain, Mechanism::Plain).await;
    assert_eq!(said.error_code, ErrorCode::UNSUPPORTED_SASL_MECHANISM.0);
    assert_eq!(said.mechanisms, [Str::from("SCRAM-SHA-256")]);
    assert_eq!(plain.closed().await.unwrap(), b"");
    assert_eq!(handshake(&mut scram, Mechanism::ScramSha256).await.error_code, 0);
}

#[tokio::test]
async fn who_does_not_log_in_again_in_time_is_closed_at_its_next_request() {
    // The rule is good for the whole test; the clients come at their own pace, so the time is short for the one and long for the other.
    let rule = "expires(\"1h\"); on_request(\"SaslAuthenticate\").principal(\"User:ada\").sasl_expire(\"20ms\"); \
                on_request(\"SaslAuthenticate\").principal(\"User:bob\").sasl_expire(\"1h\");";
    let running = running(rule).await;
    let (mut ada, mut bob) = (running.client().await, running.client().await);
    let said = login(&mut ada, "ada").await;
    assert_eq!((said.error_code, said.session_lifetime_ms), (0, 20));
    let asked = tokio::time::timeout(Duration::from_secs(20), async {
        loop {
            ada.send(4, "test", heartbeat("g")).await;
            if ada.frame().await.is_err() {
                return;
            }
        }
    });
    asked.await.expect("the login goes on");
    running.until("tollgate_sessions_ended_total", &[("cause", "login_expired")], 1.0).await;

    assert_eq!(login(&mut bob, "bob").await.session_lifetime_ms, 3_600_000);
    bob.ask(4, heartbeat("g")).await;
    assert_eq!(login(&mut bob, "bob").await.session_lifetime_ms, 3_600_000, "again, on the same connection");
    bob.ask(4, heartbeat("g")).await;
    assert_eq!(handshake(&mut bob, Mechanism::Plain).await.error_code, 0);
    bob.ask(4, heartbeat("g")).await;
    let said = authenticate(&mut bob, 2, "ada", "ada").await;
    assert_eq!(said.error_code, ErrorCode::SASL_AUTHENTICATION_FAILED.0, "nobody becomes another");
    assert_eq!(bob.closed().await.unwrap(), b"");
}

#[tokio::test]
async fn a_rule_that_is_gone_leaves_no_trace() {
    let running = running("expires(\"1h\"); on_request(\"SaslAuthenticate\").sasl_expire(\"1ms\");").await;
    let mut client = running.client().await;
    assert_eq!(login(&mut client, "ada").await.session_lifetime_ms, 1);
    let none = Script { file: "logins.rhai".into(), text: "policy(\"logins\", \"x\");".into() };
    running.gateway.policies.load(&[none]).unwrap();
    // not to wait for something: the login's time must be over
    tokio::time::sleep(Duration::from_millis(5)).await;
    client.ask(4, heartbeat("g")).await;
    assert_eq!(login(&mut client, "ada").await.session_lifetime_ms, 0, "it was told that it may");
    client.ask(4, heartbeat("g")).await;
    let mut other = running.client().await;
    assert_eq!(login(&mut other, "ada").await.session_lifetime_ms, 0);
    let again = handshake(&mut other, Mechanism::Plain).await;
    assert_eq!(again.error_code, ErrorCode::ILLEGAL_SASL_STATE.0);
}

#[tokio::test]
async fn bare_tokens_are_refused_by_closing() {
    let running =
        running("expires(\"1h\"); on_request(\"SaslAuthenticate\").principal(\"User:ada\").sasl_fail();")
            .await;
    for (name, welcome) in [("ada", false), ("bob", true)] {
        let mut client = running.client().await;
        let body = SaslHandshakeRequest { mechanism: Str::from("PLAIN"), ..Default::default() };
        client.ask(0, body).await;
        let token = format!("\0{name}\0{name}");
        client.send_raw(&[&(token.len() as u32).to_be_bytes()[..], token.as_bytes()].concat()).await;
        match welcome {
            true => {
                assert_eq!(client.frame().await.unwrap(), Bytes::new());
                client.ask(4, heartbeat("g")).await;
            }
            false => assert_eq!(client.closed().await.unwrap(), b""),
        }
    }
}

#[tokio::test]
async fn what_else_rules_do_to_a_login() {
    let running = running(
        "on_request(\"SaslAuthenticate\").principal(\"User:bob\").deny(); \
         on_request(\"SaslAuthenticate\").principal(\"User:ada\").delay(\"100ms\"); \
         on_request(\"SaslHandshake\").client_id(\"test\").after(2).disconnect();",
    )
    .await;
    let (mut ada, mut bob) = (running.client().await, running.client().await);
    let begun = Instant::now();
    assert_eq!(login(&mut ada, "ada").await.error_code, 0);
    assert!(begun.elapsed() >= Duration::from_millis(100));
    let denied = login(&mut bob, "bob").await;
    assert_eq!(denied.error_code, ErrorCode::SASL_AUTHENTICATION_FAILED.0, "a denial is no other error");
    assert_eq!(bob.closed().await.unwrap(), b"");
    let mut third = running.client().await;
    let body = SaslHandshakeRequest { mechanism: Str::from("PLAIN"), ..Default::default() };
    third.send(1, "test", body).await;
    assert_eq!(third.closed().await.unwrap(), b"");
}

/// A file in memory.
#[derive(Clone, Default)]
struct Memory(Arc<Mutex<Vec<u8>>>);

impl Write for Memory {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Frames by session, as api and whether the body is left out; for an answer, the api alone.
type Recorded = Vec<(u64, String, ApiKey, Option<bool>)>;

#[tokio::test]
async fn who_has_not_logged_in_fills_no_capture() {
    let file = Memory::default();
    let (capture, ended) = Capture::to(file.clone(), 1 << 20).unwrap();
    let capture = Arc::new(capture);
    let refusing = "expires(\"1h\"); on_request(\"SaslAuthenticate\").principal(\"User:bob\").sasl_fail();";
    let running = recorded(refusing, Some(capture.clone())).await;

    let mut stranger = running.client().await;
    for _ in 0..20 {
        stranger.ask(3, ApiVersionsRequest::default()).await;
        handshake(&mut stranger, Mechanism::Plain).await;
    }
    assert_ne!(authenticate(&mut stranger, 2, "ada", "a-wrong-password").await.error_code, 0);
    stranger.closed().await.unwrap();
    let mut unasked = running.client().await;
    unasked.send(4, "test", heartbeat("g")).await;
    unasked.closed().await.unwrap();
    let mut refused = running.client().await;
    login(&mut refused, "bob").await;
    refused.closed().await.unwrap();

    let mut ada = running.client().await;
    ada.ask(3, ApiVersionsRequest::default()).await;
    assert_eq!(login(&mut ada, "ada").await.error_code, 0);
    ada.ask(3, ApiVersionsRequest::default()).await;
    ada.ask(4, heartbeat("g")).await;
    let mut bare = running.client().await;
    bare.ask(0, SaslHandshakeRequest { mechanism: Str::from("PLAIN"), ..Default::default() }).await;
    let token = b"a-bare-token\0ada\0ada";
    bare.send_raw(&[&(token.len() as u32).to_be_bytes()[..], token].concat()).await;
    bare.frame().await.ok();
    drop((ada, bare));
    running.until("tollgate_sessions_ended_total", &[], 5.0).await;
    capture.end();
    assert!(ended.wait(Duration::from_secs(60)));

    let bytes = file.0.lock().unwrap().clone();
    for secret in [&b"a-wrong-password"[..], b"a-bare-token", b"\0ada\0ada"] {
        assert!(!bytes.windows(secret.len()).any(|window| window == secret), "{secret:?}");
    }
    let (mut opened, mut frames) = (0, Recorded::new());
    for record in Reader::new(&bytes[..]).unwrap() {
        let record = record.unwrap();
        match record.what {
            What::Opened { .. } => opened += 1,
            What::Request { principal, frame, body_left_out, .. } => {
                let api = ApiKey(i16::from_be_bytes([frame[0], frame[1]]));
                frames.push((record.session, principal.to_string(), api, Some(body_left_out)));
            }
            What::Answer { api, .. } => frames.push((record.session, String::new(), api, None)),
            _ => {}
        }
    }
    assert_eq!(opened, 5);
    let session = frames[0].0;
    let asked = |api, left_out| (session, "User:ada".to_owned(), api, Some(left_out));
    let said = |api| (session, String::new(), api, None);
    let expected = [
        asked(ApiKey::SaslAuthenticate, true),
        asked(ApiKey::ApiVersions, false),
        said(ApiKey::ApiVersions),
        asked(ApiKey::Heartbeat, false),
        said(ApiKey::Heartbeat),
    ];
    assert_eq!(frames, expected);
}
