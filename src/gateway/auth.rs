//! A session's authentication: SaslHandshake and SaslAuthenticate (KIP-43, KIP-152), with the bare token frames of handshake
//! version 0, and again before a login ends (KIP-368). What a token means is the security room's affair.

use super::{end::EndCause, metrics::Metrics};
use crate::policy::{generation::Policies, verdict::Hold};
use crate::security::{
    Principal,
    sasl::{Authenticator, Mechanism, SaslFailure, SaslServer, SaslStep},
};
use crate::wire::{
    ApiKey, ErrorCode, Request, RequestBody, Response, ResponseBody, Str,
    api::{sasl_authenticate::SaslAuthenticateResponse, sasl_handshake::SaslHandshakeResponse},
    types::Sensitive,
};
use bytes::Bytes;
use std::sync::Arc;
use tokio::time::Instant;

/// What a listener wants of its clients.
#[derive(Clone)]
pub struct SaslConfig {
    pub mechanisms: Vec<Mechanism>,
    pub authenticator: Arc<Authenticator>,
}

/// How far a session has come.
enum State {
    Open,
    Handshaken { server: SaslServer, bare: bool },
    Done,
    Failed,
}

/// Who has logged in, and how: only the same may log in again.
struct Known {
    principal: Principal,
    mechanism: Mechanism,
}

/// A login that is good for a time.
struct Lifetime {
    until: Instant,
    /// The rule that ends it.
    hold: Hold,
}

/// The authentication of one session.
pub struct Authentication {
    config: Option<SaslConfig>,
    state: State,
    known: Option<Known>,
    /// The client was told that its login ends: it may log in again on this connection (KIP-368).
    may_repeat: bool,
    lifetime: Option<Lifetime>,
}

/// What a request meant to the authentication.
pub enum Step {
    /// It is none of its requests, and may go on.
    Pass,
    Reply(Response),
    /// It chose a mechanism that there is.
    Chosen(Response),
    /// The client is now this principal.
    Authenticated(Principal, Response),
    /// The reply is the last.
    Failed(Response, EndCause),
    Refused(EndCause),
}

impl Authentication {
    pub fn new(config: Option<SaslConfig>) -> Self {
        Authentication { config, state: State::Open, known: None, may_repeat: false, lifetime: None }
    }

    /// Whether ordinary requests are served: also while who has logged in does it again.
    pub fn is_done(&self) -> bool {
        self.config.is_none() || self.known.is_some() && !matches!(self.state, State::Failed)
    }

    /// A login that was right is refused all the same. Gives the answer that says so.
    pub fn refuse(&mut self, request: &Request, mut reply: Response, code: ErrorCode) -> Response {
        let mechanism = match (&self.state, &self.known) {
            (State::Handshaken { server, .. }, _) => Some(server.mechanism()),
            (_, known) => known.as_ref().map(|known| known.mechanism),
        };
        self.state = State::Failed;
        match &mut reply.body {
            ResponseBody::SaslHandshake(body) => {
                body.error_code = code.0;
                body.mechanisms.retain(|name| mechanism.is_none_or(|refused| **name != *refused.name()));
                reply
            }
            _ => {
                let message = mechanism.map(|m| Str::from(SaslFailure::InvalidCredentials.client_message(m)));
                authenticate_reply(request, code, message, Vec::new())
            }
        }
    }

    /// The login is good for so long; its answer says it.
    pub fn expire(&mut self, reply: Option<&mut Response>, hold: Hold) {
        if let Some(ResponseBody::SaslAuthenticate(body)) = reply.map(|reply| &mut reply.body) {
            body.session_lifetime_ms = i64::try_from(hold.delay.as_millis()).unwrap_or(i64::MAX);
        }
        self.may_repeat = true;
        self.lifetime = Instant::now().checked_add(hold.delay).map(|until| Lifetime { until, hold });
    }

    /// Whether the login is over, and the rule that ends it still there.
    pub fn has_expired(&mut self, policies: &Policies) -> bool {
        let Some(lifetime) = self.lifetime.as_ref().filter(|lifetime| lifetime.until <= Instant::now())
        else {
            return false;
        };
        let current = policies.current();
        let now = policies.shared().clock.now();
        let holds = current
            .rule(lifetime.hold.rule.key)
            .is_some_and(|rule| rule.continues(&lifetime.hold.rule) && !rule.is_expired(now));
        if !holds {
            self.lifetime = None;
        }
        holds
    }

    /// True when the next frame is a bare SASL token (after handshake version 0).
    pub fn expects_bare_token(&self) -> bool {
        matches!(self.state, State::Handshaken { bare: true, .. })
    }

    /// Looks at a request before anyone else does.
    pub async fn take(&mut self, request: &mut Request, metrics: &Metrics) -> Step {
        match request.api() {
            ApiKey::SaslHandshake => self.handshake(request),
            ApiKey::SaslAuthenticate => self.authenticate(request, metrics).await,
            ApiKey::ApiVersions => Step::Pass,
            _ if self.is_done() => Step::Pass,
            _ => Step::Refused(EndCause::Unauthenticated),
        }
    }

    fn handshake(&mut self, request: &mut Request) -> Step {
        let version = request.version();
        let Ok(RequestBody::SaslHandshake(body)) = request.body() else {
            return Step::Refused(EndCause::Malformed);
        };
        let chosen = body.mechanism.parse::<Mechanism>().ok();
        let may = matches!(self.state, State::Open) || matches!(self.state, State::Done) && self.may_repeat;
        let Some(config) = self.config.as_ref().filter(|_| may) else {
            return Step::Reply(handshake_reply(request, ErrorCode::ILLEGAL_SASL_STATE, &[]));
        };
        match chosen.filter(|m| config.mechanisms.contains(m)) {
            Some(mechanism) => {
                let server = SaslServer::new(mechanism, config.authenticator.clone());
                let reply = handshake_reply(request, ErrorCode::NONE, &config.mechanisms);
                self.state = State::Handshaken { server, bare: version == 0 };
                Step::Chosen(reply)
            }
            None => {
                let code = ErrorCode::UNSUPPORTED_SASL_MECHANISM;
                Step::Failed(
                    handshake_reply(request, code, &config.mechanisms),
                    EndCause::AuthenticationFailed,
                )
            }
        }
    }

    async fn authenticate(&mut self, request: &mut Request, metrics: &Metrics) -> Step {
        let Ok(RequestBody::SaslAuthenticate(body)) = request.body() else {
            return Step::Refused(EndCause::Malformed);
        };
        let token = body.auth_bytes.0.clone();
        let reply = authenticate_reply;
        let State::Handshaken { server, .. } = &mut self.state else {
            let message = Str::from_static("SaslAuthenticate must follow a SaslHandshake, and only once");
            return Step::Reply(reply(request, ErrorCode::ILLEGAL_SASL_STATE, Some(message), Vec::new()));
        };
        match server.step(&token).await {
            SaslStep::Continue(token) => Step::Reply(reply(request, ErrorCode::NONE, None, token)),
            SaslStep::Done { principal, token } => {
                let mechanism = server.mechanism();
                match self.settle(principal, mechanism) {
                    Ok(principal) => {
                        Step::Authenticated(principal, reply(request, ErrorCode::NONE, None, token))
                    }
                    Err(message) => {
                        let code = ErrorCode::SASL_AUTHENTICATION_FAILED;
                        let message = Some(Str::from_static(message));
                        Step::Failed(
                            reply(request, code, message, Vec::new()),
                            EndCause::AuthenticationFailed,
                        )
                    }
                }
            }
            SaslStep::Failed(failure) => {
                let mechanism = server.mechanism();
                metrics.authentication_failures.with_label_values(&[mechanism.name(), failure.label()]).inc();
                self.state = State::Failed;
                let message = Some(Str::from(failure.client_message(mechanism)));
                let reply = reply(request, ErrorCode::SASL_AUTHENTICATION_FAILED, message, Vec::new());
                Step::Failed(reply, EndCause::AuthenticationFailed)
            }
        }
    }

    /// The credentials are right. Who has logged in before must be the same again, by the same mechanism (KIP-368).
    fn settle(&mut self, principal: Principal, mechanism: Mechanism) -> Result<Principal, &'static str> {
        if let Some(known) = &self.known {
            let other = match () {
                () if known.principal != principal => "a session cannot become another principal's",
                () if known.mechanism != mechanism => "a session cannot log in again by another mechanism",
                () => "",
            };
            if !other.is_empty() {
                tracing::warn!(as_whom = %principal, mechanism = mechanism.name(), was = %known.principal, "{other}");
                self.state = State::Failed;
                return Err(other);
            }
        }
        self.state = State::Done;
        self.lifetime = None;
        self.known = Some(Known { principal: principal.clone(), mechanism });
        Ok(principal)
    }

    /// Takes a bare token. Gives the token to send back, and the principal once it is known.
    pub async fn bare_token(
        &mut self,
        token: &[u8],
        metrics: &Metrics,
    ) -> Result<(Vec<u8>, Option<Principal>), EndCause> {
        let State::Handshaken { server, .. } = &mut self.state else { return Err(EndCause::Unauthenticated) };
        match server.step(token).await {
            SaslStep::Continue(token) => Ok((token, None)),
            SaslStep::Done { principal, token } => {
                let mechanism = server.mechanism();
                let settled =
                    self.settle(principal, mechanism).map_err(|_| EndCause::AuthenticationFailed)?;
                Ok((token, Some(settled)))
            }
            SaslStep::Failed(failure) => {
                let mechanism = server.mechanism().name();
                metrics.authentication_failures.with_label_values(&[mechanism, failure.label()]).inc();
                self.state = State::Failed;
                Err(EndCause::AuthenticationFailed)
            }
        }
    }
}

fn authenticate_reply(request: &Request, code: ErrorCode, message: Option<Str>, token: Vec<u8>) -> Response {
    let body = SaslAuthenticateResponse {
        error_code: code.0,
        error_message: message,
        auth_bytes: Sensitive(Bytes::from(token)),
        ..Default::default()
    };
    Response::new(request, body.into())
}

fn handshake_reply(request: &Request, code: ErrorCode, mechanisms: &[Mechanism]) -> Response {
    let mechanisms = mechanisms.iter().map(|m| Str::from_static(m.name())).collect();
    let body = SaslHandshakeResponse { error_code: code.0, mechanisms, ..Default::default() };
    Response::new(request, body.into())
}
