//! A session's connection, from its beginning to its end: what the rules say of it, what stands between the client and the
//! session, its handshake, and how it is closed.

use super::{StateGauge, serve};
use crate::gateway::{
    end::EndCause,
    in_flight::Closing,
    link::{Links, proxies::Toxics, relay},
    listener::{Gateway, ListenerKind},
    pipeline::{Begun, Pipeline},
    registry::{Registered, SessionInfo},
    socket::{Socket, TlsEnd},
};
use crate::policy::fault::tls::TlsFault;
use crate::security::Principal;
use std::{io, net::SocketAddr, sync::Arc, time::Duration};
use tokio::{net::TcpStream, sync::watch, time::Instant};

/// How long and how much is read of a client whose connection we close: a few round trips, and what it may have sent meanwhile.
const LINGER: Duration = Duration::from_secs(1);
const LINGER_BYTES: usize = 16 * 1024 * 1024;
const LINGER_READ: usize = 4 * 1024;

pub(in crate::gateway) async fn run(
    gateway: Arc<Gateway>,
    listener: Arc<ListenerKind>,
    stream: TcpStream,
    registered: Registered,
    toxics: Option<Toxics>,
) {
    let local = stream.local_addr().ok();
    if let Some(capture) = &gateway.capture {
        let (info, tls) = (&registered.info, listener.tls.is_some());
        capture.opened(info.id, &listener.name, info.remote.ip(), tls);
    }
    let mut begun = Pipeline::connect(&gateway, &listener, &registered.info).unwrap_or_default();
    if let Some(links) = Links::new(std::mem::take(&mut begun.links), begun.number, toxics) {
        return Box::pin(linked(gateway, listener, stream, registered, begun, links)).await;
    }
    let Some(socket) = socket(&listener, stream) else { return };
    let closing = talk(&gateway, &listener, &socket, local, &registered.info, begun).await;
    // What is left concerns the socket only: the session's place is free.
    drop(registered);
    leave(closing, &socket).await;
}

/// As `run`, through what strikes the connection. The client keeps its place until it has gone.
async fn linked(
    gateway: Arc<Gateway>,
    listener: Arc<ListenerKind>,
    client: TcpStream,
    registered: Registered,
    begun: Begun,
    links: Links,
) {
    let (local, info) = (client.local_addr().ok(), registered.info.clone());
    let (relay, stream) = match relay(client).await {
        Ok(made) => made,
        Err((client, error)) => {
            // As every fault that cannot be done, it lets pass.
            links.could_not_apply();
            tracing::warn!(%error, session = info.id, "a session goes without the faults of its connection");
            let Some(socket) = socket(&listener, client) else { return };
            let closing = talk(&gateway, &listener, &socket, local, &info, begun).await;
            drop(registered);
            return leave(closing, &socket).await;
        }
    };
    let (end, ended) = watch::channel(false);
    let talking = async {
        if let Some(socket) = socket(&listener, stream) {
            let closing = talk(&gateway, &listener, &socket, local, &info, begun).await;
            leave(closing, &socket).await;
        }
        end.send_replace(true);
    };
    tokio::join!(talking, relay.run(gateway.clone(), links, ended));
}

/// The connection, as the listener speaks on it.
fn socket(listener: &ListenerKind, stream: TcpStream) -> Option<Socket> {
    let tls = listener.tls.as_ref().map(|tls| tls.config());
    let made = Socket::new(stream, tls);
    made.inspect_err(|error| tracing::error!(%error, listener = %listener.name, "no TLS for a connection"))
        .ok()
}

/// All of a session, until its socket may be closed.
async fn talk(
    gateway: &Arc<Gateway>,
    listener: &Arc<ListenerKind>,
    socket: &Socket,
    local: Option<SocketAddr>,
    info: &Arc<SessionInfo>,
    begun: Begun,
) -> Closing {
    let states = &gateway.metrics.sessions;
    let state = if listener.sasl.is_some() { "authenticating" } else { "open" };
    let mut counted = StateGauge::enter(states, if listener.tls.is_some() { "handshaking" } else { state });
    let Begun { refused, mut release, tls, .. } = begun;
    let releaser = gateway.releaser();
    releaser.released(|| releaser.next_look(&mut release)).await;
    drop(releaser);
    let closing = match refused {
        Some(closing) => closing,
        None if overdrawn(gateway, info).await => Closing::Close(EndCause::ConnectionRate),
        None => match greet(gateway, listener, socket, info, tls).await {
            Ok(greeted) => {
                counted.change(state);
                serve(gateway, listener, socket, local, info, greeted, counted).await
            }
            Err(closing) => closing,
        },
    };
    let (Closing::Close(cause) | Closing::Reset(cause)) = closing;
    gateway.metrics.ended(cause);
    if let Some(capture) = &gateway.capture {
        capture.closed(info.id);
    }
    let who = info.who();
    let (principal, client_id) = (&who.principal, who.client_id.as_deref().unwrap_or(""));
    if cause.is_notable() {
        tracing::info!(session = info.id, remote = %info.remote, %principal, client_id, %cause, "session ended");
    } else {
        tracing::debug!(session = info.id, remote = %info.remote, %principal, client_id, %cause, "session ended");
    }
    closing
}

/// Closes the socket as the session ended.
async fn leave(closing: Closing, socket: &Socket) {
    match closing {
        Closing::Close(cause) if cause.leaves_a_peer() => linger(socket).await,
        Closing::Close(_) => socket.say_goodbye(),
        Closing::Reset(_) => socket.reset_on_close(),
    }
}

/// Whether the client's address opened too many connections; then this one has been kept waiting.
async fn overdrawn(gateway: &Gateway, info: &SessionInfo) -> bool {
    let Some(delay) = gateway.upstream.connecting(info.remote.ip()) else { return false };
    // Whoever is told at once comes again at once.
    let _ = tokio::time::timeout(delay, gateway.stopped()).await;
    true
}

/// Ends our side of the connection and reads what the client still sends until it ends its own. Closing with input unread, or
/// input to come, resets the connection, and a reset takes with it what the client has not read yet.
async fn linger(socket: &Socket) {
    socket.finish();
    let stream = socket.tcp();
    let drained = async {
        let mut left = LINGER_BYTES;
        while left > 0 {
            stream.readable().await?;
            match read_away(stream) {
                Ok(0) => break,
                Ok(n) => left = left.saturating_sub(n),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                Err(e) => return Err(e),
            }
        }
        Ok::<(), io::Error>(())
    };
    // However it ends, the connection is closed next.
    let _ = tokio::time::timeout(LINGER, drained).await;
}

/// Not part of a future, so that what waits for a client holds no buffer.
fn read_away(stream: &TcpStream) -> io::Result<usize> {
    stream.try_read(&mut [0; LINGER_READ])
}

/// A client whose connection can carry requests.
pub(super) struct Greeted {
    /// Who it is by its certificate, where nobody logs in.
    pub certified: Option<Principal>,
    /// From when on the time to log in counts.
    pub opened: Instant,
}

/// Completes the TLS handshake, or lets it fail as a rule wants.
async fn greet(
    gateway: &Gateway,
    listener: &ListenerKind,
    socket: &Socket,
    info: &SessionInfo,
    fault: Option<TlsFault>,
) -> Result<Greeted, Closing> {
    let opened = Instant::now();
    let until = opened + gateway.limits.authentication_timeout;
    let greeting = async {
        // Whoever does not complete theirs keeps memory that is counted nowhere else.
        let place = match &listener.tls {
            Some(_) => Some(tokio::time::timeout_at(until, gateway.handshakes.acquire()).await),
            None => None,
        };
        if let Some(Err(_)) = place {
            return Err(told(info, TlsEnd::TooLong));
        }
        if let Some((fault, tls)) = fault.as_ref().zip(listener.tls.as_ref()) {
            socket.strike(fault, tls, info, until).await;
            return Err(EndCause::PolicyDisconnect);
        }
        let shaken = socket.handshake(until).await;
        // Where clients log in, that says who they are.
        let certified = match shaken {
            Ok(()) if listener.sasl.is_none() => socket.principal(),
            other => other.map(|()| None),
        };
        drop(place);
        certified.map_err(|end| told(info, end))
    };
    let certified = tokio::select! {
        biased;
        certified = greeting => certified.map_err(Closing::Close)?,
        () = gateway.stopped() => return Err(Closing::Close(EndCause::Shutdown)),
    };
    Ok(Greeted { certified, opened })
}

/// Says in the log why there is no TLS with a client.
fn told(info: &SessionInfo, end: TlsEnd) -> EndCause {
    if matches!(end, TlsEnd::Silent) {
        tracing::debug!(remote = %info.remote, listener = %info.listener, "{end}");
        return EndCause::ClientClosed;
    }
    tracing::warn!(remote = %info.remote, listener = %info.listener, "{end}");
    match end {
        TlsEnd::Plaintext => EndCause::PlaintextOnTls,
        _ => EndCause::TlsHandshake,
    }
}
