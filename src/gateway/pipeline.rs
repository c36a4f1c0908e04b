//! The way of one exchange, readable top to bottom: request stage (security rules, chaos rules, verdict carried out, what is
//! left submitted) and response stage (answered parts merged in, rules again, release time). Over 600 lines, because the way is to
//! be read in one file; logins and requests that wait are beside it.

use super::{
    budget::Share,
    end::EndCause,
    in_flight::{Answered, Closing, Due, Waiting},
    listener::{Gateway, ListenerKind},
    mute::Mute,
    off_worker::off_worker,
    registry::SessionInfo,
    release::Release,
    upstream::{Caller, Submitted},
};
use crate::policy::{
    capture::Capture,
    evaluate::{self, Entered, ExchangeContext},
    fault::tls::TlsFault,
    generation::Who,
    plan::{Plan, PlanSlot},
    verdict::{End, Interest, Link, Lose, Outcome, Verdict},
};
use crate::wire::{
    ApiKey, ErrorCode, Payload, Piece, Request, RequestBody, Response, ResponseBody, Str, WireError,
    api::Answer,
};
use bytes::Bytes;
use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU8, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::{sync::Notify, time::Instant};

mod hold;
mod login;

pub(super) use hold::submit;
pub(super) use login::Login;

/// Record bytes of one fetch that rules look into are asked for in portions of this size: a masked fetch is held whole, so
/// it must be small; an unmasked one streams whatever its size.
const INSPECTED_FETCH_BYTES: i32 = 4 * 1024 * 1024;

/// What was decided about a session before its first byte.
#[derive(Default)]
pub(super) struct Begun {
    /// It ends before it began.
    pub refused: Option<Closing>,
    /// What its first byte waits for.
    pub release: Option<Release>,
    /// What strikes its bytes, by the policies of this number.
    pub links: Vec<Link>,
    /// How its TLS handshake fails.
    pub tls: Option<TlsFault>,
    pub number: u64,
}

/// What is remembered of a request until its response has left.
pub(super) struct Exchange {
    pub api: ApiKey,
    pub started: Instant,
    /// A frame that is no Kafka message (bare SASL tokens).
    raw: Option<Bytes>,
    /// Memory of the request's frame, as long as anything here refers to it.
    pub(super) share: Option<Share>,
    release: Option<Release>,
    pub(super) decided: Option<Box<Decided>>,
    /// Set when it went wrong in a way that no answer tells.
    pub(super) unsayable: Option<Arc<AtomicBool>>,
    /// Nothing is sent for it: its answer is lost, or that of an exchange before it.
    silent: bool,
    /// The request was recorded, and so will be what the upstream says.
    pub(super) asked: bool,
    /// The session, when what the upstream says is to be recorded.
    pub(super) recorded: Option<u64>,
}

/// What the rules decided about the request, for the response stage.
pub(super) struct Decided {
    pub plan: Arc<Plan>,
    pub who: Arc<Who>,
    session: u64,
    /// As the client sent it.
    original: Request,
    pub verdict: Verdict,
    pub answers: Vec<Option<Answer>>,
}

impl Decided {
    fn cx(&self) -> ExchangeContext<'_> {
        ExchangeContext { who: &self.who, session: self.session }
    }
}

impl Exchange {
    pub fn none() -> Exchange {
        Exchange {
            api: ApiKey(-1),
            started: Instant::now(),
            raw: None,
            share: None,
            release: None,
            decided: None,
            unsayable: None,
            silent: false,
            asked: false,
            recorded: None,
        }
    }

    pub fn new(request: &Request, share: Share) -> Exchange {
        Exchange { share: Some(share), ..Exchange::of(request.api()) }
    }

    pub fn of(api: ApiKey) -> Exchange {
        Exchange { api, ..Exchange::none() }
    }

    /// Its answer is a frame already.
    pub fn with_bare(self, frame: Bytes) -> Exchange {
        Exchange { raw: Some(frame), ..self }
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
/// The session still ends as any other: when the client closes it, or is idle for too long.
const SPEAKING: u8 = 0;
const SILENT_EXECUTING: u8 = 1;
const SILENT: u8 = 2;

/// The rules of one session at work.
pub(super) struct Pipeline {
    pub(super) gateway: Arc<Gateway>,
    silence: AtomicU8,
    ending: Notify,
    speaker: Mutex<Option<Speaker>>,
    /// Until when no request is taken from the client.
    muted: Mute,
}

/// Who spoke last, in the policies' terms, and the plan that holds for them.
struct Speaker {
    caller: Arc<Caller>,
    who: Arc<Who>,
    slot: PlanSlot,
}

impl Pipeline {
    pub fn new(gateway: Arc<Gateway>) -> Self {
        Pipeline {
            gateway,
            silence: AtomicU8::new(SPEAKING),
            ending: Notify::new(),
            speaker: Mutex::new(None),
            muted: Mute::default(),
        }
    }

    /// Whether nothing is sent to the client any more, whoever would answer.
    pub fn is_silent(&self) -> bool {
        self.silence.load(Relaxed) != SPEAKING
    }

    /// Until when nobody wants a request of this client.
    pub fn muted(&self) -> &Mute {
        &self.muted
    }

    /// No more requests come: what nobody will hear of is not waited for any longer.
    pub fn end(&self) {
        self.ending.notify_one();
    }

    /// An answer that is lost behind a lost request must not bring the session back to executing.
    fn fall_silent(&self, how: u8) {
        self.silence.fetch_max(how, Relaxed);
    }

    /// Asks the rules about a new connection. None: it is welcome. Otherwise how it ends, or what it waits first.
    pub fn connect(gateway: &Gateway, listener: &ListenerKind, info: &SessionInfo) -> Option<Begun> {
        let current = gateway.policies.current();
        let entered = Entered { name: &listener.name, tls: listener.tls.is_some() };
        let verdict = evaluate::on_connect(&current, entered, info.remote.ip(), info.id)?;
        gateway.storm(info.id, &verdict.storms);
        let end = match verdict.end {
            _ if verdict.deny => Some(Closing::Close(EndCause::PolicyDisconnect)),
            Some(End::Disconnect) => Some(Closing::Close(EndCause::PolicyDisconnect)),
            Some(End::Reset) => Some(Closing::Reset(EndCause::PolicyReset)),
            None => None,
        };
        let release = Release::new(Instant::now(), verdict.holds, current.number);
        Some(Begun { refused: end, release, links: verdict.links, tls: verdict.tls, number: current.number })
    }

    /// The plan of this principal and client id under the rules in force now.
    fn plan(&self, caller: &Arc<Caller>) -> (Arc<Plan>, Arc<Who>) {
        let mut speaker = self.speaker.lock().unwrap_or_else(PoisonError::into_inner);
        let speaker = match &mut *speaker {
            Some(known) if Arc::ptr_eq(&known.caller, caller) => known,
            other => other.insert(Speaker {
                caller: caller.clone(),
                who: Arc::new(Who {
                    principal: (*caller.principal).into(),
                    client_id: caller.client_id.as_deref().unwrap_or("").into(),
                    listener: (*caller.listener).into(),
                    remote_ip: caller.remote,
                }),
                slot: PlanSlot::default(),
            }),
        };
        let plan = speaker.slot.plan(&self.gateway.policies, &speaker.who).clone();
        (plan, speaker.who.clone())
    }

    /// The request stage.
    pub fn request(&self, caller: &Arc<Caller>, mut request: Request, mut exchange: Exchange) -> Taken {
        let silence = self.silence.load(Relaxed);
        if silence == SILENT {
            return Taken::Nothing;
        }
        exchange.silent = silence == SILENT_EXECUTING;
        if request.api() == ApiKey::Fetch && self.capture().is_some() {
            // what is recorded names every partition, and is held
            match without_session(&mut request, true) {
                Ok(true) => {}
                Ok(false) => return self.sent_back(request, exchange),
                Err(error) => return Taken::Malformed(error),
            }
        }
        let (plan, who) = self.plan(caller);
        let interest = plan.request_interest(request.api());
        if interest.max(plan.response_interest(request.api())) == Interest::Nothing {
            return self.submit(caller, request, exchange);
        }
        let original = match interest {
            Interest::Nothing | Interest::Head => None,
            Interest::Parts | Interest::Records => match request.body() {
                Ok(_) => Some(request.clone()),
                Err(error) => return Taken::Malformed(error),
            },
        };
        let cx = ExchangeContext { who: &who, session: caller.session };
        let heavy = plan.is_heavy_request(&request);
        let mut verdict = off_worker(heavy, || plan.on_request(&cx, &mut request));
        exchange.release = Release::new(exchange.started, std::mem::take(&mut verdict.holds), plan.number);
        self.gateway.storm(caller.session, &std::mem::take(&mut verdict.storms));
        self.muted.until(verdict.mute);
        match verdict.end {
            Some(End::Disconnect) => return Taken::End(Closing::Close(EndCause::PolicyDisconnect)),
            Some(End::Reset) => return Taken::End(Closing::Reset(EndCause::PolicyReset)),
            None => {}
        }
        match verdict.lose {
            Some(Lose::Request) => {
                self.fall_silent(SILENT);
                return Taken::Nothing;
            }
            Some(Lose::Response) => {
                self.fall_silent(SILENT_EXECUTING);
                exchange.silent = true;
            }
            None => {}
        }
        let original = match original {
            Some(original) => original,
            None if verdict.is_pass() && verdict.response == Interest::Nothing => {
                return self.submit(caller, request, exchange);
            }
            None => request.clone(),
        };
        {
            let session = caller.session;
            let decided = Decided { plan, who, session, original, verdict, answers: Vec::new() };
            self.carry_out(caller, request, exchange, decided)
        }
    }

    /// A fetch that is to come again, in full.
    fn sent_back(&self, mut request: Request, exchange: Exchange) -> Taken {
        match request.answer(ErrorCode::FETCH_SESSION_ID_NOT_FOUND) {
            Ok(_) if exchange.silent => Taken::Nothing,
            Ok(response) => Taken::Go(Waiting { exchange, answered: Answered::Now(response) }),
            Err(error) => Taken::Malformed(error),
        }
    }

    /// Answers what was decided here and submits the rest.
    fn carry_out(
        &self,
        caller: &Arc<Caller>,
        mut request: Request,
        mut exchange: Exchange,
        mut decided: Decided,
    ) -> Taken {
        if let Some(code) = decided.verdict.whole {
            return match answer_whole(&mut decided.original, code) {
                Ok(Some(response)) => self.answered_here(exchange, decided, response),
                Ok(None) => Taken::End(Closing::Close(EndCause::NoPlaceForError)),
                Err(error) => Taken::Malformed(error),
            };
        }
        if decided.verdict.parts.iter().any(|p| !p.is_forward()) {
            decided.answers = decided.verdict.parts.iter().map(answer_of).collect();
            let keep: Vec<bool> = decided.answers.iter().map(Option::is_none).collect();
            let none_left = !keep.contains(&true);
            let body = match request.body_mut() {
                Ok(body) => body,
                Err(error) => return Taken::Malformed(error),
            };
            if none_left && !body.forward_empty() {
                return match merged(&mut decided, None) {
                    Ok(Some(response)) if !expects_none(&decided.original) => {
                        self.answered_here(exchange, decided, response)
                    }
                    Ok(_) => Taken::End(Closing::Close(EndCause::NoPlaceForError)),
                    Err(error) => Taken::Malformed(error),
                };
            }
            body.keep(&keep);
        }
        if request.api() == ApiKey::Fetch
            && (decided.verdict.sessionless || decided.verdict.response >= Interest::Records)
            && let Err(taken) = name_every_partition(&mut request, &decided)
        {
            return match taken {
                Ok(response) => self.answered_here(exchange, decided, response),
                Err(error) => Taken::Malformed(error),
            };
        }
        if !decided.verdict.routed.is_empty() {
            return self.deliver(caller, request, exchange, decided);
        }
        let twice = decided.verdict.duplicate.then(|| request.clone());
        let (held, number) = (decided.verdict.held.take(), decided.plan.number);
        exchange.decided = Some(Box::new(decided));
        let waits = &self.gateway.policies.shared().waits;
        let taken = match held.and_then(|held| Some((waits.wait(held.awaited.clone())?, held))) {
            Some((come, held)) => self.hold(caller, request, exchange, (held, number), come),
            None => self.submit(caller, request, exchange),
        };
        match twice {
            Some(again) => self.submit_again(caller, again, taken),
            None => taken,
        }
    }

    /// Submits a request that was submitted just now once more, when the first one has had its effects. The client gets the
    /// first answer.
    fn submit_again(&self, caller: &Arc<Caller>, request: Request, taken: Taken) -> Taken {
        let (gateway, caller) = (self.gateway.clone(), caller.clone());
        let again = async move {
            match submit(&gateway, &caller, request) {
                Submitted::Now(_) | Submitted::Close => {}
                Submitted::Later { response, .. } => drop(response.await),
                Submitted::Metered { response, .. } => drop(response.await),
            }
        };
        let Waiting { exchange, answered } = match taken {
            Taken::Go(waiting) | Taken::Barrier(waiting) => waiting,
            other => return other,
        };
        let answered = match answered {
            Answered::Now(first) => Answered::Later(Box::pin(async move {
                again.await;
                first
            })),
            Answered::Later(first) => Answered::Later(Box::pin(async move {
                let first = first.await;
                again.await;
                first
            })),
            Answered::Metered(first) => Answered::Metered(Box::pin(async move {
                let first = first.await;
                again.await;
                first
            })),
            Answered::Held(first) => Answered::Held(Box::pin(async move {
                let first = match first.await {
                    Answered::Later(first) => Answered::Now(first.await),
                    Answered::Metered(first) => {
                        let metered = first.await;
                        Answered::Metered(Box::pin(std::future::ready(metered)))
                    }
                    first => first,
                };
                again.await;
                first
            })),
            Answered::End(closing) => Answered::End(closing),
        };
        Taken::Barrier(Waiting { exchange, answered })
    }

    fn answered_here(&self, mut exchange: Exchange, decided: Decided, response: Response) -> Taken {
        if exchange.silent {
            return Taken::Nothing;
        }
        // Chaos rules on responses may still meet it; nothing is left to merge.
        exchange.decided = Some(Box::new(Decided { answers: Vec::new(), ..decided }));
        Taken::Go(Waiting { exchange, answered: Answered::Now(Some(response)) })
    }

    fn submit(&self, caller: &Arc<Caller>, request: Request, mut exchange: Exchange) -> Taken {
        exchange.recorded = exchange.asked.then_some(caller.session);
        match submit(&self.gateway, caller, request) {
            // It is executed and nobody will hear of it. One whose effects are still to come takes up its place, and memory,
            // until they have: a silent session is not a way around the limits.
            Submitted::Now(_) if exchange.silent => Taken::Nothing,
            Submitted::Now(response) => {
                if exchange.decided.is_none() {
                    exchange.share = None;
                }
                Taken::Go(Waiting { exchange, answered: Answered::Now(response) })
            }
            Submitted::Later { response, barrier: false } => {
                Taken::Go(Waiting { exchange, answered: Answered::Later(response) })
            }
            Submitted::Later { response, barrier: true } => {
                Taken::Barrier(Waiting { exchange, answered: Answered::Later(response) })
            }
            Submitted::Metered { response, barrier, mute } => {
                self.muted.until(mute);
                let waiting = Waiting { exchange, answered: Answered::Metered(response) };
                if barrier { Taken::Barrier(waiting) } else { Taken::Go(waiting) }
            }
            Submitted::Close => Taken::End(Closing::Close(EndCause::NoPlaceForError)),
        }
    }

    /// The response stage: from an answer to a frame with its release time. None: the answer is lost, and with it all that come
    /// after (`lost` says that one was), because TCP never makes a hole in a stream.
    pub async fn complete(
        &self,
        mut exchange: Exchange,
        answered: Answered,
        lost: bool,
    ) -> Option<Due<Exchange>> {
        let lost = lost || exchange.silent;
        let answered = match answered {
            Answered::Held(held) if lost => {
                tokio::select! {
                    answered = held => answered,
                    () = self.ending.notified() => {
                        self.ending.notify_one();
                        return None;
                    }
                }
            }
            Answered::Held(held) => held.await,
            answered => answered,
        };
        let mut due = Due {
            pieces: Vec::new(),
            release: exchange.release.take(),
            closing: None,
            share: Share::new(&self.gateway.held),
            exchange: Exchange::none(),
        };
        let response = match answered {
            Answered::End(closing) => {
                due.closing = Some(closing);
                due.exchange = exchange;
                return Some(due);
            }
            Answered::Later(response) if lost => {
                tokio::select! {
                    _ = response => {}
                    // For whatever waits behind it, too.
                    () = self.ending.notified() => self.ending.notify_one(),
                }
                return None;
            }
            Answered::Metered(response) if lost => {
                tokio::select! {
                    (_, mute) = response => self.muted.until(mute),
                    () = self.ending.notified() => self.ending.notify_one(),
                }
                return None;
            }
            _ if lost => return None,
            // what was held is let go above
            Answered::Held(_) => None,
            Answered::Now(response) => response,
            Answered::Later(response) => response.await,
            Answered::Metered(response) => {
                let (response, mute) = response.await;
                self.muted.until(mute);
                response
            }
        };
        let mut response = response;
        let recorded = match (exchange.recorded, &mut response) {
            (Some(session), Some(said)) => self.record(session, said, &mut due.share).await,
            _ => Ok(()),
        };
        if let Some(raw) = exchange.raw.take() {
            due.pieces = vec![Piece::Bytes(raw)];
        } else if let Err(cause) = recorded {
            due.closing = Some(Closing::Close(cause));
        } else if let Err(closing) = self.respond(&mut exchange, response, &mut due).await {
            due.closing = Some(closing);
        }
        if exchange.silent {
            return None;
        }
        // Nothing asks for the request any more: it must not wait for its response's release.
        exchange.decided = None;
        exchange.share = None;
        let bytes = due.in_memory();
        if due.share.bytes() > 0 {
            due.share.settle(bytes);
        } else if due.release.is_some()
            && !due.share.grow_within(bytes, self.gateway.limits.memory_timeout).await
        {
            due.pieces.clear();
            due.release = None;
            due.closing = Some(Closing::Close(EndCause::ResponseMemory));
        }
        due.exchange = exchange;
        Some(due)
    }

    pub(super) fn capture(&self) -> Option<&Capture> {
        self.gateway.capture.as_deref().filter(|capture| capture.is_on())
    }

    /// Records what the upstream said, before any rule sees it. Record data that lies in files is read for it; where there is no
    /// memory for that, the answer is missing in the capture.
    async fn record(&self, session: u64, said: &mut Response, share: &mut Share) -> Result<(), EndCause> {
        let Some(capture) = self.capture() else { return Ok(()) };
        match bring_to_memory(said, share, Duration::ZERO).await {
            Ok(()) => capture.answer(session, said),
            Err(EndCause::ResponseMemory) => capture.missed(),
            Err(cause) => return Err(cause),
        }
        Ok(())
    }

    async fn respond(
        &self,
        exchange: &mut Exchange,
        response: Option<Response>,
        due: &mut Due<Exchange>,
    ) -> Result<(), Closing> {
        let unsayable = Closing::Close(EndCause::NoPlaceForError);
        if response.is_none() && exchange.unsayable.as_ref().is_some_and(|failed| failed.load(Relaxed)) {
            return Err(unsayable);
        }
        let mut response = response;
        if let Some(decided) = &mut exchange.decided {
            let failed = decided.verdict.after_whole.is_some() || !decided.verdict.after.is_empty();
            if response.is_none() && (failed || decided.answers.iter().any(Option::is_some)) {
                // An acks=0 produce that went wrong: Kafka closes, so do we.
                return Err(unsayable);
            }
            if let Some(said) = response.take() {
                let mut said = self.merge(decided, said).map_err(|_| unsayable)?;
                let (told, mute) = (decided.verdict.throttle, decided.verdict.mute);
                // as it was said at the request, and from the response on
                self.muted.until(mute);
                if !told.max(mute).is_zero()
                    && let Some(named) = said.body.throttle_time_ms()
                {
                    let time = told.max(mute).as_millis();
                    *named = (*named).max(i32::try_from(time).unwrap_or(i32::MAX));
                }
                if decided.verdict.response >= Interest::Records {
                    let time = self.gateway.limits.memory_timeout;
                    bring_to_memory(&mut said, &mut due.share, time).await.map_err(Closing::Close)?;
                }
                if decided.verdict.response > Interest::Nothing {
                    let heavy = decided.plan.is_heavy_response(&decided.verdict, &said);
                    let verdict = off_worker(heavy, || {
                        let (cx, original, asked) = (decided.cx(), &decided.original, &decided.verdict);
                        decided.plan.on_response(&cx, original, asked, &mut said)
                    });
                    match &mut due.release {
                        Some(release) => release.add(verdict.holds),
                        none => *none = Release::new(Instant::now(), verdict.holds, decided.plan.number),
                    }
                    self.gateway.storm(decided.session, &verdict.storms);
                    self.muted.until(verdict.mute);
                    match verdict.end {
                        Some(End::Disconnect) => return Err(Closing::Close(EndCause::PolicyDisconnect)),
                        Some(End::Reset) => return Err(Closing::Reset(EndCause::PolicyReset)),
                        None => {}
                    }
                    if verdict.lose.is_some() {
                        self.fall_silent(SILENT_EXECUTING);
                        exchange.silent = true;
                    }
                }
                response = Some(said);
            }
        }
        let Some(response) = response else { return Ok(()) };
        let api = response.api;
        response.body.errors(&mut |code| self.gateway.metrics.error(api, code));
        due.pieces = response.encode().map_err(|error| {
            tracing::error!(%error, "a response could not be written");
            unsayable
        })?;
        Ok(())
    }

    /// Puts the parts answered here, and those that are to fail after their execution, into the upstream's reply.
    fn merge(&self, decided: &mut Decided, said: Response) -> Result<Response, WireError> {
        let mut said = said;
        if decided.answers.iter().any(Option::is_some) {
            said = merged(decided, Some(said))?.ok_or_else(|| no_place(decided.original.api()))?;
        }
        if let Some(code) = decided.verdict.after_whole {
            said =
                answer_whole(&mut decided.original, code)?.ok_or_else(|| no_place(decided.original.api()))?;
        }
        if !decided.verdict.after.is_empty() {
            let version = decided.original.version();
            let parts = decided.original.body()?.parts(version).len();
            let mut answers = vec![None; parts];
            for (part, code) in &decided.verdict.after {
                if let Some(answer) = answers.get_mut(*part) {
                    *answer = Some(Answer::from(*code));
                }
            }
            if let Some(body) = decided.original.body()?.merge(version, &answers, Some(said.body)) {
                said = Response::new(&decided.original, body);
            } else {
                return Err(no_place(decided.original.api()));
            }
        }
        Ok(said)
    }
}

fn no_place(api: ApiKey) -> WireError {
    WireError {
        message: api.name().unwrap_or(""),
        version: -1,
        field: "error_code",
        offset: 0,
        kind: crate::wire::WireErrorKind::UnexpectedNull,
    }
}

fn answer_of(outcome: &Outcome) -> Option<Answer> {
    match outcome {
        Outcome::Forward => None,
        Outcome::Answer { code, message, records } => Some(Answer {
            code: *code,
            message: message.as_deref().map(Str::from),
            records: records.iter().map(|(index, why)| (*index, Str::from(why.as_str()))).collect(),
        }),
    }
}

/// The upstream's reply (or none) with the parts answered here in their places.
fn merged(decided: &mut Decided, said: Option<Response>) -> Result<Option<Response>, WireError> {
    let version = decided.original.version();
    let body = decided.original.body()?.merge(version, &decided.answers, said.map(|s| s.body));
    Ok(body.map(|body| Response::new(&decided.original, body)))
}

fn answer_whole(request: &mut Request, code: ErrorCode) -> Result<Option<Response>, WireError> {
    if expects_none(request) {
        return Ok(None);
    }
    request.answer(code)
}

/// A produce with acks=0 has no response, so no place for an error either.
fn expects_none(request: &Request) -> bool {
    matches!(request.decoded(), Ok(RequestBody::Produce(body)) if body.acks == 0)
}

/// Makes a fetch sessionless, so that every partition it is about is named in it (KIP-227), and asks for portions that can be
/// held. An error carries the answer that sends the client back to a full fetch, or what was wrong.
fn name_every_partition(request: &mut Request, decided: &Decided) -> Result<(), Result<Response, WireError>> {
    let held = decided.verdict.response >= Interest::Records;
    if without_session(request, held).map_err(Err)? {
        return Ok(());
    }
    match decided.original.clone().answer(ErrorCode::FETCH_SESSION_ID_NOT_FOUND) {
        Ok(Some(response)) => Err(Ok(response)),
        Ok(None) => Err(Err(no_place(ApiKey::Fetch))),
        Err(error) => Err(Err(error)),
    }
}

/// Takes a fetch out of its session; `held`: in portions that can be held. False: it names only what changed in its session.
fn without_session(request: &mut Request, held: bool) -> Result<bool, WireError> {
    let version = request.version();
    if version >= 7
        && let RequestBody::Fetch(fetch) = request.body()?
        && fetch.session_id != 0
        && fetch.session_epoch > 0
    {
        return Ok(false);
    }
    let RequestBody::Fetch(fetch) = request.body_mut()? else { return Ok(true) };
    if version >= 7 {
        fetch.session_id = 0;
        fetch.session_epoch = -1;
        fetch.forgotten_topics_data.clear();
    }
    if held {
        fetch.max_bytes = fetch.max_bytes.min(INSPECTED_FETCH_BYTES);
    }
    Ok(true)
}

/// Reads record data that lies in files, off the async workers, within the budget of held bytes: `share` takes all of it at
/// once, waiting at most `time`.
async fn bring_to_memory(response: &mut Response, share: &mut Share, time: Duration) -> Result<(), EndCause> {
    let ResponseBody::Fetch(fetch) = &mut response.body else { return Ok(()) };
    let partitions = fetch.responses.iter().flat_map(|t| &t.partitions);
    let pieces = |payload: &Payload| if let Payload::Pieces(_) = payload { payload.len() } else { 0 };
    let bytes = partitions.map(|p| pieces(&p.records)).sum();
    if !share.grow_within(bytes, time).await {
        return Err(EndCause::ResponseMemory);
    }
    for partition in fetch.responses.iter_mut().flat_map(|t| &mut t.partitions) {
        if matches!(partition.records, Payload::Pieces(_)) {
            let payload = std::mem::take(&mut partition.records);
            let bytes = if payload.needs_reading() {
                tokio::task::spawn_blocking(move || payload.to_bytes())
                    .await
                    .map_err(|_| EndCause::StorageRead)?
            } else {
                payload.to_bytes()
            };
            partition.records = Payload::Bytes(bytes.map_err(|error| {
                tracing::error!(%error, "a record file could not be read");
                EndCause::StorageRead
            })?);
        }
    }
    Ok(())
}

#[cfg(test)]
#[path = "pipeline_tests.rs"]
mod tests;
