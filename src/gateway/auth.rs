//! A session's authentication: SaslHandshake and SaslAuthenticate (KIP-43, KIP-152), with the bare token frames of handshake
//! version 0. What a token means is the security room's affair.

use super::{end::EndCause, metrics::Metrics};
use crate::security::{
    Principal,
    sasl::{Authenticator, Mechanism, SaslServer, SaslStep},
};
use crate::wire::{
    ApiKey, ErrorCode, Request, RequestBody, Response, Str,
    api::{sasl_authenticate::SaslAuthenticateResponse, sasl_handshake::SaslHandshakeResponse},
    types::Sensitive,
};
use bytes::Bytes;
use std::sync::Arc;

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

/// The authentication of one session.
pub struct Authentication {
    config: Option<SaslConfig>,
    state: State,
}

/// What a request meant to the authentication.
pub enum Step {
    /// It is none of its requests, and may go on.
    Pass,
    Reply(Response),
    /// The client is now this principal.
    Authenticated(Principal, Response),
    /// The reply is the last.
    Failed(Response, EndCause),
    Refused(EndCause),
}

impl Authentication {
    pub fn new(config: Option<SaslConfig>) -> Self {
        Authentication { config, state: State::Open }
    }

    /// Whether ordinary requests are served.
    pub fn is_done(&self) -> bool {
        self.config.is_none() || matches!(self.state, State::Done)
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
        let Some(config) = self.config.as_ref().filter(|_| matches!(self.state, State::Open)) else {
            return Step::Reply(handshake_reply(request, ErrorCode::ILLEGAL_SASL_STATE, &[]));
        };
        match chosen.filter(|m| config.mechanisms.contains(m)) {
            Some(mechanism) => {
                let server = SaslServer::new(mechanism, config.authenticator.clone());
                let reply = handshake_reply(request, ErrorCode::NONE, &config.mechanisms);
                self.state = State::Handshaken { server, bare: version == 0 };
                Step::Reply(reply)
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
        let reply = |request: &Request, code: ErrorCode, message: Option<Str>, token: Vec<u8>| {
            let body = SaslAuthenticateResponse {
                error_code: code.0,
                error_message: message,
                auth_bytes: Sensitive(Bytes::from(token)),
                ..Default::default()
            };
            Response::new(request, body.into())
        };
        let State::Handshaken { server, .. } = &mut self.state else {
            let message = Str::from_static("SaslAuthenticate must follow a SaslHandshake, and only once");
            return Step::Reply(reply(request, ErrorCode::ILLEGAL_SASL_STATE, Some(message), Vec::new()));
        };
        match server.step(&token).await {
            SaslStep::Continue(token) => Step::Reply(reply(request, ErrorCode::NONE, None, token)),
            SaslStep::Done { principal, token } => {
                self.state = State::Done;
                Step::Authenticated(principal, reply(request, ErrorCode::NONE, None, token))
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
                self.state = State::Done;
                Ok((token, Some(principal)))
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

fn handshake_reply(request: &Request, code: ErrorCode, mechanisms: &[Mechanism]) -> Response {
    let mechanisms = mechanisms.iter().map(|m| Str::from_static(m.name())).collect();
    let body = SaslHandshakeResponse { error_code: code.0, mechanisms, ..Default::default() };
    Response::new(request, body.into())
}
