//! One client connection, from accept to close: three loops in one task. The reader takes requests, the completer turns answers
//! into frames in request order, the writer sends each when it is due.

use super::{
    auth::{Authentication, Step},
    budget::Share,
    end::EndCause,
    in_flight::{Answered, Closing, Due, InFlight, Waiting},
    listener::{Gateway, ListenerKind},
    pipeline::{Exchange, Login, Pipeline, Taken},
    read::{Frame, FrameReader, SMALL},
    registry::SessionInfo,
    socket::Socket,
    upstream::Caller,
    write::FrameWriter,
};
use crate::wire::{
    ApiKey, Piece, Request, RequestBody, Response, Str, WireErrorKind, header::Head, read::Reader,
};
use bytes::Bytes;
use run::Greeted;
use std::{
    net::SocketAddr,
    sync::{Arc, atomic::Ordering::Relaxed},
};
use tokio::time::Instant;

mod login;
mod run;

pub(super) use run::run;

/// Frames that are due together are sent together up to this many bytes.
const SEND_TOGETHER: usize = 256 * 1024;

/// Client ids up to this many bytes are part of what any session costs; Kafka allows 32 KB.
const LARGE_CLIENT_ID: usize = 256;

/// All that is asked and answered.
async fn serve(
    gateway: &Arc<Gateway>,
    listener: &Arc<ListenerKind>,
    socket: &Socket,
    local: Option<SocketAddr>,
    info: &Arc<SessionInfo>,
    Greeted { certified, opened }: Greeted,
    counted: StateGauge,
) -> Closing {
    let limits = &gateway.limits;
    let in_flight = InFlight::new(limits.max_in_flight, limits.held_bytes_per_session, gateway.releaser());
    let (host, port) = match &listener.advertised {
        Some((host, port)) => (host.clone(), i32::from(*port)),
        None => local.map_or((Str::default(), 0), |a| (Str::from(a.ip().to_string()), i32::from(a.port()))),
    };
    let caller = Caller {
        session: info.id,
        principal: certified.map_or(Str::from_static("User:ANONYMOUS"), |who| Str::from(who.as_str())),
        client_id: None,
        remote: info.remote.ip(),
        listener: listener.name.clone(),
        advertised_host: host,
        advertised_port: port,
    };
    info.update(|who| {
        who.principal = caller.principal.clone();
        who.state = counted.state;
    });
    let pipeline = Pipeline::new(gateway.clone());
    let mut session = ReaderLoop {
        gateway,
        info,
        in_flight: &in_flight,
        pipeline: &pipeline,
        reader: FrameReader::new(socket, &gateway.request_memory),
        authentication: Authentication::new(listener.sasl.clone()),
        caller: Arc::new(caller),
        client_id: Share::new(&gateway.request_memory),
        counted,
        opened,
    };
    let reading = async {
        let closing = session.run().await;
        match closing {
            // What is owed to a client that is still there goes out first.
            Closing::Close(
                EndCause::ClientClosed | EndCause::ClientClosedMidFrame | EndCause::Connection,
            ) => closing,
            closing => {
                in_flight.push(Waiting { exchange: Exchange::none(), answered: Answered::End(closing) });
                pipeline.end();
                std::future::pending().await
            }
        }
    };
    let completing = async {
        let mut lost = false;
        loop {
            let Waiting { exchange, answered } = in_flight.next_waiting().await;
            match pipeline.complete(exchange, answered, lost).await {
                Some(due) => in_flight.push_due(due),
                None => {
                    lost = true;
                    info.in_flight.store(in_flight.forget() as u64, Relaxed);
                }
            }
        }
    };
    let writing = write_loop(gateway, info, &in_flight, socket);
    // Polled in this order, an answer that is ready at once leaves in the same turn.
    tokio::select! {
        biased;
        closing = reading => closing,
        () = completing => Closing::Close(EndCause::Connection),
        closing = writing => closing,
    }
}

async fn write_loop(
    gateway: &Gateway,
    info: &SessionInfo,
    in_flight: &InFlight<Exchange>,
    socket: &Socket,
) -> Closing {
    let mut writer = FrameWriter::new(socket, gateway.limits.write_timeout);
    loop {
        let mut next = Some(in_flight.next_due().await);
        let mut closing = None;
        let mut sent: Vec<Sent> = Vec::new();
        while let Some(due) = next.take() {
            let Due { exchange, pieces, closing: end, share, .. } = due;
            if !pieces.is_empty() {
                let bytes = pieces.iter().map(Piece::len).sum();
                sent.push(Sent { api: exchange.api, bytes, started: exchange.started, _share: share });
                writer.push(pieces);
            }
            closing = end;
            if closing.is_none() && writer.buffered() < SEND_TOGETHER {
                next = in_flight.try_next_due();
            }
        }
        if let Err(cause) = writer.flush().await {
            return Closing::Close(cause);
        }
        for Sent { api, bytes, started, .. } in sent {
            gateway.metrics.answered(api, bytes, started.elapsed());
        }
        info.bytes_out.store(writer.sent, Relaxed);
        info.in_flight.store(in_flight.len() as u64, Relaxed);
        if let Some(closing) = closing {
            return closing;
        }
    }
}

/// A frame that the writer has.
struct Sent {
    api: ApiKey,
    bytes: usize,
    started: Instant,
    /// Its bytes stay in memory until they have left.
    _share: Share,
}

struct ReaderLoop<'a> {
    gateway: &'a Arc<Gateway>,
    info: &'a Arc<SessionInfo>,
    in_flight: &'a InFlight<Exchange>,
    pipeline: &'a Pipeline,
    reader: FrameReader<'a>,
    authentication: Authentication,
    caller: Arc<Caller>,
    /// Memory of a client id that is larger than any name.
    client_id: Share,
    counted: StateGauge,
    opened: Instant,
}

impl ReaderLoop<'_> {
    async fn run(&mut self) -> Closing {
        let stopped = self.gateway.stopped();
        tokio::pin!(stopped);
        loop {
            // A client that has always more to say never lets the wait below see it.
            if self.gateway.is_stopping() {
                return Closing::Close(EndCause::Shutdown);
            }
            let next = async {
                self.room().await?;
                let limits = &self.gateway.limits;
                self.audible().await?;
                let (max, idle) = if self.authentication.is_done() {
                    (limits.max_frame_bytes, limits.idle_timeout)
                } else {
                    let left = (self.opened + limits.authentication_timeout)
                        .saturating_duration_since(Instant::now());
                    (limits.max_frame_bytes_unauthenticated, left)
                };
                let frame = self.reader.next(max, idle, limits.frame_timeout).await?;
                // An answer that came while the frame did may have muted the session. A large one is taken all the same: what it
                // uses counts, and others want the memory it would hold meanwhile.
                if frame.payload.len() <= SMALL {
                    self.audible().await?;
                }
                Ok(frame)
            };
            let frame = tokio::select! {
                biased;
                frame = next => frame,
                () = &mut stopped => return Closing::Close(EndCause::Shutdown),
            };
            let frame = match frame {
                Ok(frame) => frame,
                Err(EndCause::Idle) if !self.authentication.is_done() => {
                    return Closing::Close(EndCause::AuthenticationTimeout);
                }
                Err(cause) => {
                    self.explain(cause);
                    return Closing::Close(cause);
                }
            };
            if let Err(closing) = self.take(frame).await {
                return closing;
            }
        }
    }

    /// Waits until another exchange may begin. A session that is silent may owe effects to nobody who hears of them: those that
    /// never come do not keep it longer than a client that says nothing.
    async fn room(&self) -> Result<(), EndCause> {
        while !self.in_flight.has_room() {
            let silent = self.pipeline.is_silent();
            let waited = tokio::time::timeout(self.gateway.limits.idle_timeout, self.in_flight.room()).await;
            if waited.is_err() && silent {
                return Err(EndCause::Idle);
            }
        }
        Ok(())
    }

    /// Waits until the session is not muted any more, as long as one may be silent.
    async fn audible(&self) -> Result<(), EndCause> {
        let muted = self.pipeline.muted();
        if !muted.may_hold() {
            return Ok(());
        }
        let limits = &self.gateway.limits;
        // a mute is no time to log in
        let most = match self.authentication.is_done() {
            true => limits.idle_timeout,
            false => (self.opened + limits.authentication_timeout).saturating_duration_since(Instant::now()),
        };
        let over = tokio::time::timeout(most, muted.over()).await;
        over.map_err(|_| EndCause::Idle)
    }

    fn push(&self, waiting: Waiting<Exchange>) {
        self.info.in_flight.store(self.in_flight.push(waiting) as u64, Relaxed);
    }

    /// Answers what the rules have no part in; but what they lost, they lost for all that comes after.
    fn answer(&self, exchange: Exchange, reply: Option<Response>) {
        if !self.pipeline.is_silent() {
            self.push(Waiting { exchange, answered: Answered::Now(reply) });
        }
    }

    /// Says in the log what a person would want to know of a peer that does not speak Kafka to us.
    fn explain(&self, cause: EndCause) {
        let (remote, listener) = (self.info.remote, &self.info.listener);
        match cause {
            EndCause::Tls => {
                tracing::warn!(%remote, %listener, "the client speaks TLS, this listener is plaintext; set security.protocol accordingly")
            }
            EndCause::Http => {
                tracing::warn!(%remote, %listener, "the client speaks HTTP, this listener speaks Kafka; is it meant for the admin address?")
            }
            EndCause::FrameTooLarge => {
                tracing::warn!(%remote, %listener, limit = self.gateway.limits.max_frame_bytes, "the client announced a frame over the limit")
            }
            EndCause::FrameTimeout => {
                tracing::warn!(%remote, %listener, "a frame was begun and not completed in time")
            }
            _ => {}
        }
    }

    async fn take(&mut self, frame: Frame) -> Result<(), Closing> {
        let bytes = frame.payload.len() + 4;
        self.info.bytes_in.fetch_add(bytes as u64, Relaxed);
        self.info.requests.fetch_add(1, Relaxed);
        if self.authentication.expects_bare_token() {
            return self.bare_token(frame).await;
        }
        let mut request = match Request::parse(frame.payload.clone()) {
            Ok(request) => request,
            Err(error) => {
                let text = error.to_string();
                return self.unreadable(&frame.payload, error.kind, &text);
            }
        };
        if let Some(api) = self.gateway.metrics.api(request.api()) {
            api.requests.inc();
            api.bytes_in.inc_by(bytes as u64);
        }
        self.note_client(&mut request);
        let mut exchange = Exchange::new(&request, frame.share);
        match self.authentication.take(&mut request, &self.gateway.metrics).await {
            Step::Pass if self.authentication.has_expired(&self.gateway.policies) => {
                return Err(Closing::Close(EndCause::LoginExpired));
            }
            Step::Pass => self.record(&request, &frame.payload, &mut exchange),
            Step::Chosen(reply) => {
                self.record(&request, &frame.payload, &mut exchange);
                let Login { refused, .. } = self.pipeline.login(&self.caller, &mut request, &mut exchange)?;
                return self.admit(request, exchange, reply, refused);
            }
            Step::Reply(reply) => {
                self.record(&request, &frame.payload, &mut exchange);
                self.answer(exchange, Some(reply));
                return Ok(());
            }
            Step::Authenticated(principal, mut reply) => {
                let caller = self.called(principal.as_str());
                let Login { refused, lifetime } =
                    self.pipeline.login(&caller, &mut request, &mut exchange)?;
                if refused.is_none() {
                    self.authenticated(caller);
                    self.record(&request, &frame.payload, &mut exchange);
                    if let Some(hold) = lifetime {
                        self.authentication.expire(Some(&mut reply), hold);
                    }
                }
                return self.admit(request, exchange, reply, refused);
            }
            Step::Failed(reply, cause) => {
                self.answer(exchange, Some(reply));
                return Err(Closing::Close(cause));
            }
            Step::Refused(cause) => return Err(Closing::Close(cause)),
        }
        match self.pipeline.request(&self.caller, request, exchange) {
            Taken::Go(waiting) => self.push(waiting),
            Taken::Barrier(waiting) => {
                self.push(waiting);
                self.in_flight.answered().await;
            }
            Taken::Nothing => {}
            Taken::End(closing) => return Err(closing),
            Taken::Malformed(error) => {
                tracing::warn!(remote = %self.info.remote, %error, "a request could not be read");
                return Err(Closing::Close(EndCause::Malformed));
            }
        }
        Ok(())
    }

    /// Records a request once its client has logged in, so that nobody else fills a capture.
    fn record(&self, request: &Request, frame: &Bytes, exchange: &mut Exchange) {
        if let Some(capture) = &self.gateway.capture
            && self.authentication.is_done()
        {
            let caller = &*self.caller;
            let who = (&caller.principal, &caller.listener, caller.remote);
            capture.request(caller.session, who, request, frame);
            exchange.asked = true;
        }
    }

    /// A request whose header or version says nothing to us. Kafka closes, except for ApiVersions (KIP-511).
    fn unreadable(&mut self, payload: &Bytes, kind: WireErrorKind, error: &str) -> Result<(), Closing> {
        let remote = self.info.remote;
        match kind {
            WireErrorKind::UnsupportedVersion { version, .. } => {
                if let Ok(head) = Head::read(&mut Reader::new(payload.clone()))
                    && head.api == ApiKey::ApiVersions
                    && version >= 0
                {
                    let reply = self.gateway.upstream.unknown_api_versions(&self.caller, head.correlation_id);
                    self.answer(Exchange::of(ApiKey::ApiVersions), Some(reply));
                    return Ok(());
                }
                tracing::warn!(%remote, error, "a version of an api that is not supported");
                Err(Closing::Close(EndCause::UnsupportedVersion))
            }
            WireErrorKind::UnknownApi(_) => {
                tracing::warn!(%remote, error, "an api that is not supported");
                Err(Closing::Close(EndCause::UnknownApi))
            }
            _ => {
                tracing::warn!(%remote, error, "a frame that is no Kafka request");
                Err(Closing::Close(EndCause::Malformed))
            }
        }
    }

    /// The client id may change with every request; software name and version come with ApiVersions.
    fn note_client(&mut self, request: &mut Request) {
        if request.client_id() != self.caller.client_id.as_ref() {
            let client_id = request.client_id().map(Str::detached);
            // Rules see all of it, however long, and the session keeps it: once as it came and once in their terms.
            let large = client_id.as_ref().map(|id| id.len()).filter(|len| *len > LARGE_CLIENT_ID);
            // It has come already, and its frame has a share: to wait with that for more could be to wait for each other.
            self.client_id.settle(2 * large.unwrap_or(0));
            self.caller = Arc::new(Caller { client_id: client_id.clone(), ..(*self.caller).clone() });
            self.info.update(|who| who.client_id = client_id);
        }
        if request.api() == ApiKey::ApiVersions
            && request.version() >= 3
            && let Ok(RequestBody::ApiVersions(body)) = request.body()
        {
            let mut software = format!("{} {}", body.client_software_name, body.client_software_version);
            software.truncate(software.floor_char_boundary(200));
            self.info.update(|who| who.client_software = Some(software));
        }
    }
}

/// Counts a session under its state as long as it lives.
struct StateGauge {
    gauge: prometheus::IntGaugeVec,
    state: &'static str,
}

impl StateGauge {
    fn enter(gauge: &prometheus::IntGaugeVec, state: &'static str) -> Self {
        gauge.with_label_values(&[state]).inc();
        StateGauge { gauge: gauge.clone(), state }
    }

    fn change(&mut self, state: &'static str) {
        self.gauge.with_label_values(&[self.state]).dec();
        self.gauge.with_label_values(&[state]).inc();
        self.state = state;
    }
}

impl Drop for StateGauge {
    fn drop(&mut self) {
        self.gauge.with_label_values(&[self.state]).dec();
    }
}
