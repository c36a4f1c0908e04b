//! Client-facing addresses: accepts connections within their limits, starts sessions, drains them at the end.

use super::{
    auth::SaslConfig, budget::Budget, end::EndCause, limits::Limits, link::proxies::Through,
    metrics::Metrics, registry::Registry, release::Releaser, session, upstream::Upstream,
};
use crate::policy::{capture::Capture, generation::Policies, verdict::Storm};
use crate::security::tls::ServerTls;
use crate::wire::Str;
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Semaphore, watch},
    task::JoinSet,
};

/// How long sessions through a proxy that is no more may take to notice.
const GONE: Duration = Duration::from_millis(500);

/// What all sessions share.
pub struct Gateway {
    pub limits: Limits,
    pub metrics: Arc<Metrics>,
    pub registry: Arc<Registry>,
    pub upstream: Arc<dyn Upstream>,
    pub policies: Arc<Policies>,
    /// Where what passes is recorded.
    pub capture: Option<Arc<Capture>>,
    /// Memory of request frames.
    pub request_memory: Arc<Budget>,
    /// Memory of responses that are held back or looked into.
    pub held: Arc<Budget>,
    /// Places for TLS handshakes.
    pub(super) handshakes: Semaphore,
    stop: watch::Sender<bool>,
    /// The same, for those who ask at every request.
    stopping: AtomicBool,
}

impl Gateway {
    pub fn new(
        limits: Limits,
        metrics: Arc<Metrics>,
        upstream: Arc<dyn Upstream>,
        policies: Arc<Policies>,
        capture: Option<Arc<Capture>>,
    ) -> Arc<Gateway> {
        Arc::new(Gateway {
            registry: Registry::new(&limits),
            request_memory: Budget::new(limits.request_memory_bytes),
            held: Budget::new(limits.held_bytes),
            handshakes: Semaphore::new(limits.max_handshakes),
            limits,
            metrics,
            upstream,
            policies,
            capture,
            stop: watch::Sender::new(false),
            stopping: AtomicBool::new(false),
        })
    }

    /// Tells listeners to stop accepting and sessions to end after the answers they owe.
    pub fn stop(&self) {
        self.stopping.store(true, Relaxed);
        self.stop.send_replace(true);
    }

    pub(super) fn releaser(&self) -> Releaser {
        Releaser::new(self.policies.clone(), self.stop.subscribe())
    }

    /// What the rules said about storms at an exchange of a session.
    pub(super) fn storm(&self, session: u64, storms: &[Storm]) {
        if !storms.is_empty() {
            for _ in 0..self.registry.storm(session, storms) {
                self.metrics.ended(EndCause::PolicyReset);
            }
        }
    }

    /// Whether `stop` was called.
    pub(super) fn is_stopping(&self) -> bool {
        self.stopping.load(Relaxed)
    }

    /// Ready once `stop` was called.
    pub(super) fn stopped(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut stop = self.stop.subscribe();
        async move {
            // The sender lives in the gateway that listeners and sessions hold.
            let _ = stop.wait_for(|stop| *stop).await;
        }
    }
}

/// How a listener is set up.
#[derive(Clone)]
pub struct ListenerConfig {
    pub name: String,
    pub address: SocketAddr,
    /// What clients are told to connect to; without it, the address they reached.
    pub advertised: Option<(String, u16)>,
    /// None: every client is `User:ANONYMOUS`, or who its certificate says.
    pub sasl: Option<SaslConfig>,
    /// None: it is plaintext.
    pub tls: Option<Arc<ServerTls>>,
}

/// A bound listener.
pub struct Listener {
    kind: Arc<ListenerKind>,
    socket: TcpListener,
    address: SocketAddr,
    /// The proxy it is of.
    through: Option<Through>,
}

/// A listener as those know it who make other ways to it.
#[derive(Clone)]
pub struct Entrance(Arc<ListenerKind>);

/// What sessions know of the listener they came by.
pub(super) struct ListenerKind {
    pub name: Str,
    pub advertised: Option<(Str, u16)>,
    pub sasl: Option<SaslConfig>,
    pub tls: Option<Arc<ServerTls>>,
}

impl Listener {
    /// Binds the address; it accepts from here on, and `serve` takes what it accepted.
    pub fn bind(config: ListenerConfig) -> io::Result<Listener> {
        let socket = bound(config.address)?;
        let kind = ListenerKind {
            name: Str::from(config.name),
            advertised: config.advertised.map(|(host, port)| (Str::from(host), port)),
            sasl: config.sasl,
            tls: config.tls,
        };
        Ok(Listener { kind: Arc::new(kind), address: socket.local_addr()?, socket, through: None })
    }

    /// Another address of a listener, through a proxy. Whoever comes by it is told to come by it again.
    pub(super) fn bind_through(
        entrance: &Entrance,
        address: SocketAddr,
        through: Through,
    ) -> io::Result<Listener> {
        let socket = bound(address)?;
        let ListenerKind { name, sasl, tls, .. } = &*entrance.0;
        let kind =
            ListenerKind { name: name.clone(), advertised: None, sasl: sasl.clone(), tls: tls.clone() };
        Ok(Listener { kind: Arc::new(kind), address: socket.local_addr()?, socket, through: Some(through) })
    }

    pub fn entrance(&self) -> Entrance {
        Entrance(self.kind.clone())
    }

    /// The address it listens on (with the port the system chose for port 0).
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Accepts until the gateway stops; then waits for its sessions to end, at most `drain` long.
    pub async fn serve(self, gateway: Arc<Gateway>, mut drain: Duration) {
        let stopped = gateway.stopped();
        tokio::pin!(stopped);
        let mut sessions = JoinSet::new();
        let Listener { kind: listener, socket, through, .. } = self;
        let gone = async {
            match &through {
                Some(through) => through.gone().await,
                None => std::future::pending().await,
            }
        };
        tokio::pin!(gone);
        loop {
            tokio::select! {
                accepted = socket.accept() => match accepted {
                    Ok((stream, remote)) => {
                        gateway.metrics.accepted();
                        start(&gateway, &listener, stream, remote, through.as_ref(), &mut sessions);
                    }
                    Err(error) => {
                        // Out of descriptors, or a connection that died in the queue: others may fare better.
                        tracing::warn!(%error, listener = %listener.name, "a connection could not be accepted");
                        tokio::time::sleep(Duration::from_millis(50)).await;
                    }
                },
                Some(_) = sessions.join_next() => {}
                () = &mut stopped => break,
                () = &mut gone => {
                    // Its connections are dropped, whatever they owe.
                    drain = drain.min(GONE);
                    break;
                }
            }
        }
        // From here on new connections are refused, however long the sessions take.
        drop(socket);
        let all = async { while sessions.join_next().await.is_some() {} };
        if tokio::time::timeout(drain, all).await.is_err() {
            tracing::warn!(sessions = sessions.len(), listener = %listener.name, "sessions did not end in time and are cut off");
            sessions.shutdown().await;
        }
    }
}

fn bound(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // A restart must not wait for the last sessions' TIME_WAIT.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(1024)?;
    TcpListener::from_std(socket.into())
}

fn start(
    gateway: &Arc<Gateway>,
    listener: &Arc<ListenerKind>,
    stream: TcpStream,
    remote: SocketAddr,
    through: Option<&Through>,
    sessions: &mut JoinSet<()>,
) {
    let Some(registered) = gateway.registry.enter(&listener.name, remote) else {
        gateway.metrics.ended(EndCause::TooManySessions);
        tracing::warn!(%remote, listener = %listener.name, "refused: too many sessions");
        return;
    };
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, %remote, "TCP_NODELAY could not be set");
    }
    if let Err(error) = SockRef::from(&stream).set_keepalive(true) {
        tracing::debug!(%error, %remote, "keepalive could not be set");
    }
    let toxics = through.map(Through::next);
    let info = registered.info.clone();
    info.runs_as(sessions.spawn(session::run(gateway.clone(), listener.clone(), stream, registered, toxics)));
}
