//! What becomes of a session when its client logs in.

use super::{Caller, Closing, EndCause, Exchange, Frame, Login, ReaderLoop};
use crate::wire::{ErrorCode, Request, Response, Str, api::sasl_authenticate::SaslAuthenticateRequest};
use bytes::Bytes;
use std::sync::Arc;

impl ReaderLoop<'_> {
    /// Answers a login, or a mechanism, as the rules want it.
    pub(super) fn admit(
        &mut self,
        request: Request,
        exchange: Exchange,
        reply: Response,
        refused: Option<ErrorCode>,
    ) -> Result<(), Closing> {
        let Some(code) = refused else {
            self.answer(exchange, Some(reply));
            return Ok(());
        };
        let reply = self.authentication.refuse(&request, reply, code);
        self.answer(exchange, Some(reply));
        Err(Closing::Close(EndCause::PolicyDisconnect))
    }

    pub(super) async fn bare_token(&mut self, frame: Frame) -> Result<(), Closing> {
        let (token, principal) = self
            .authentication
            .bare_token(&frame.payload, &self.gateway.metrics)
            .await
            .map_err(Closing::Close)?;
        let mut exchange = Exchange::none();
        if let Some(principal) = principal {
            let caller = self.called(principal.as_str());
            // the rules know a login by its request, which here had none
            let body = SaslAuthenticateRequest::default().into();
            if let Some(mut request) = Request::new(0, 0, caller.client_id.clone(), body) {
                let Login { refused, lifetime } =
                    self.pipeline.login(&caller, &mut request, &mut exchange)?;
                if refused.is_some() {
                    return Err(Closing::Close(EndCause::PolicyDisconnect));
                }
                if let Some(hold) = lifetime {
                    self.authentication.expire(None, hold);
                }
            }
            self.authenticated(caller);
        }
        let mut framed = Vec::with_capacity(4 + token.len());
        framed.extend_from_slice(&(token.len() as u32).to_be_bytes());
        framed.extend_from_slice(&token);
        self.answer(exchange.with_bare(Bytes::from(framed)), None);
        Ok(())
    }

    /// The caller, if it is this principal.
    pub(super) fn called(&self, principal: &str) -> Arc<Caller> {
        Arc::new(Caller { principal: Str::from(principal), ..(*self.caller).clone() })
    }

    pub(super) fn authenticated(&mut self, caller: Arc<Caller>) {
        let principal = caller.principal.clone();
        self.caller = caller;
        self.counted.change("open");
        self.info.update(|who| {
            who.principal = principal;
            who.state = "open";
        });
    }
}
