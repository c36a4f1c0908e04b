//! Logins, which the session carries out itself, as the rules want them.

use super::{Exchange, Pipeline, SILENT, SILENT_EXECUTING};
use crate::gateway::{end::EndCause, in_flight::Closing, release::Release, upstream::Caller};
use crate::policy::{
    evaluate::ExchangeContext,
    verdict::{End, Hold, Interest, Lose},
};
use crate::wire::{ErrorCode, Request};
use std::sync::Arc;

/// What the rules say of a login.
#[derive(Default)]
pub(in crate::gateway) struct Login {
    /// With this error; the session ends.
    pub refused: Option<ErrorCode>,
    /// It is good for so long.
    pub lifetime: Option<Hold>,
}

impl Pipeline {
    /// What the rules say of a login that would succeed, or of a mechanism that would do. They may refuse it, keep its answer, or
    /// end it sooner; what they say beyond that has no meaning here. `exchange` gets the time of its answer.
    pub fn login(
        &self,
        caller: &Arc<Caller>,
        request: &mut Request,
        exchange: &mut Exchange,
    ) -> Result<Login, Closing> {
        let (plan, who) = self.plan(caller);
        if plan.request_interest(request.api()) == Interest::Nothing {
            return Ok(Login::default());
        }
        let cx = ExchangeContext { who: &who, session: caller.session };
        let mut verdict = plan.on_request(&cx, request);
        exchange.release = Release::new(exchange.started, std::mem::take(&mut verdict.holds), plan.number);
        self.gateway.storm(caller.session, &std::mem::take(&mut verdict.storms));
        self.muted.until(verdict.mute);
        match verdict.end {
            Some(End::Disconnect) => return Err(Closing::Close(EndCause::PolicyDisconnect)),
            Some(End::Reset) => return Err(Closing::Reset(EndCause::PolicyReset)),
            None => {}
        }
        if verdict.lose.is_some() {
            self.fall_silent(if verdict.lose == Some(Lose::Request) { SILENT } else { SILENT_EXECUTING });
        }
        let refused = verdict.whole.or(verdict.after_whole);
        let refused =
            if verdict.refused { refused.and(Some(ErrorCode::SASL_AUTHENTICATION_FAILED)) } else { refused };
        Ok(Login { refused, lifetime: verdict.lifetime })
    }
}
