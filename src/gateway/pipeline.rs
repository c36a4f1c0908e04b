//! The way of one exchange, readable top to bottom: request stage (security rules, chaos rules, verdict carried out, what is
//! left submitted) and response stage (answered parts merged in, rules again, release time).

use super::{
    budget::{Budget, Share},
    end::EndCause,
    in_flight::{Answered, Closing, Due, InFlight, Waiting},
    listener::{Gateway, Listener},
    registry::SessionInfo,
    upstream::{Caller, Submitted},
};
use crate::wire::{
    ApiKey, ErrorCode, Payload, Piece, Request, RequestBody, Response, ResponseBody, Str, WireError,
    api::Answer,
};
use bytes::Bytes;
use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU8, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::time::Instant;

/// Record bytes of one fetch that rules look into are asked for in portions of this size: a masked fetch is held whole, so
/// it must be small; an unmasked one streams whatever its size.
const INSPECTED_FETCH_BYTES: i32 = 4 * 1024 * 1024;

/// What is remembered of a request until its response has left.
pub(super) struct Exchange {
    pub api: ApiKey,
    pub started: Instant,
    /// A frame that is no Kafka message (bare SASL tokens).
    raw: Option<Bytes>,
    /// Memory of the request's frame.
    share: Option<Share>,
    release_at: Option<Instant>,
    /// Nothing is sent for it: an exchange before it was lost.
    silent: bool,
}

impl Exchange {
    pub fn none() -> Exchange {
        Exchange {
            api: ApiKey(-1),
            started: Instant::now(),
            raw: None,
            share: None,
            release_at: None,
            silent: false,
        }
    }

    pub fn new(request: &Request, share: Share) -> Exchange {
        Exchange { share: Some(share), ..Exchange::of(request.api()) }
    }

    pub fn of(api: ApiKey) -> Exchange {
        Exchange { api, ..Exchange::none() }
    }

    /// An answer that is a frame already.
    pub fn bare(frame: Bytes) -> Exchange {
        Exchange { raw: Some(frame), ..Exchange::none() }
    }
}

/// What became of a request.
pub(super) enum Taken {
    Go(Waiting<Exchange>),
    /// As `Go`, but the session's next request waits for the answer.
    Barrier(Waiting<Exchange>),
    /// Nothing is owed for it.
    Nothing,
    End(Closing),
    Malformed(WireError),
}

/// After a lost exchange nothing more is sent; what is pipelined behind it is still executed, or not.
const SPEAKING: u8 = 0;
const SILENT_EXECUTING: u8 = 1;
const SILENT: u8 = 2;

/// The rules of one session at work.
pub(super) struct Pipeline {
    gateway: Arc<Gateway>,
    silence: AtomicU8,
}

impl Pipeline {
    pub fn new(gateway: Arc<Gateway>) -> Self {
        Pipeline { gateway, silence: AtomicU8::new(SPEAKING) }
    }

    pub fn connect(
        _gateway: &Gateway,
        _listener: &Listener,
        _info: &SessionInfo,
    ) -> Option<(Option<Closing>, Option<Duration>)> {
        None
    }

    /// The request stage.
    pub fn request(&self, caller: &Arc<Caller>, request: Request, mut exchange: Exchange) -> Taken {
        let silence = self.silence.load(Relaxed);
        if silence == SILENT {
            return Taken::Nothing;
        }
        exchange.silent = silence == SILENT_EXECUTING;
        self.submit(caller, request, exchange)
    }

    fn submit(&self, caller: &Arc<Caller>, request: Request, mut exchange: Exchange) -> Taken {
        match self.gateway.upstream.submit(caller, request) {
            Submitted::Now(response) => {
                exchange.share = None;
                Taken::Go(Waiting { exchange, answered: Answered::Now(response) })
            }
            Submitted::Later { response, barrier: false } => {
                Taken::Go(Waiting { exchange, answered: Answered::Later(response) })
            }
            Submitted::Later { response, barrier: true } => {
                Taken::Barrier(Waiting { exchange, answered: Answered::Later(response) })
            }
            Submitted::Close => Taken::End(Closing::Close(EndCause::NoPlaceForError)),
        }
    }

    /// The response stage: from an answer to a frame with its release time.
    pub async fn complete(
        &self,
        in_flight: &InFlight<Exchange>,
        mut exchange: Exchange,
        answered: Answered,
    ) -> Due<Exchange> {
        let mut due = Due {
            pieces: Vec::new(),
            release_at: exchange.release_at,
            closing: None,
            share: Share::new(&self.gateway.held),
            exchange: Exchange::none(),
        };
        let response = match answered {
            Answered::Now(response) => response,
            Answered::Later(response) => response.await,
            Answered::End(closing) => {
                due.closing = Some(closing);
                due.exchange = exchange;
                return due;
            }
        };
        exchange.share = None;
        if let Some(raw) = exchange.raw.take() {
            due.pieces = vec![Piece::Bytes(raw)];
        } else if let Err(closing) = self.respond(&mut exchange, response, &mut due).await {
            due.closing = Some(closing);
        }
        if exchange.silent {
            due.pieces.clear();
            due.closing = Some(Closing::Silence);
        }
        if due.release_at.is_some() {
            due.share = in_flight.hold(&due.pieces).await;
        }
        due.exchange = exchange;
        due
    }

    async fn respond(
        &self,
        exchange: &mut Exchange,
        response: Option<Response>,
        due: &mut Due<Exchange>,
    ) -> Result<(), Closing> {
        let unsayable = Closing::Close(EndCause::NoPlaceForError);
        let Some(response) = response else { return Ok(()) };
        let api = response.api;
        response.body.errors(&mut |code| self.gateway.metrics.error(api, code));
        due.pieces = response.encode().map_err(|error| {
            tracing::error!(%error, "a response could not be written");
            unsayable
        })?;
        Ok(())
    }
}
