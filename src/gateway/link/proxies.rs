//! Proxies as Toxiproxy has them: more addresses by which clients reach a listener, through toxics that come and go.
//!
//! What goes through a proxy is a session of its listener in every respect: the same policies, logins and limits, by the client's own
//! address. Only the address it is told to connect to is the proxy's, so that all its connections go through it.

use super::toxic::Toxic;
use crate::{
    gateway::listener::{Entrance, Gateway, Listener},
    policy::{
        fault::link::Way,
        random::{Draws, Event, identity},
    },
};
use std::{
    collections::BTreeMap,
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{sync::watch, task::JoinHandle};

/// Proxies at once, and toxics of one.
pub const PROXIES: usize = 256;
pub const TOXICS: usize = 64;

/// A toxic of a proxy.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// Of this toxic with these settings: another after every change.
    pub id: u64,
    pub name: String,
    /// As it was written: `upstream` or `downstream`, in any case.
    pub stream: String,
    pub way: Way,
    /// The share of the connections that it strikes.
    pub toxicity: f64,
    pub toxic: Toxic,
}

/// A proxy.
#[derive(Debug)]
pub struct Proxy {
    pub name: String,
    pub listen: String,
    pub upstream: String,
    /// Those of the way up first, each in the order they came.
    pub toxics: Vec<Entry>,
    running: Option<Running>,
}

#[derive(Debug)]
struct Running {
    /// Dropped, it ends the proxy's connections.
    toxics: watch::Sender<Arc<Vec<Entry>>>,
    serving: JoinHandle<()>,
}

impl Proxy {
    pub fn new(name: String, listen: String, upstream: String) -> Proxy {
        Proxy { name, listen, upstream, toxics: Vec::new(), running: None }
    }

    pub fn is_enabled(&self) -> bool {
        self.running.is_some()
    }

    /// Ends it and all connections through it; once this is over, its address is free.
    pub async fn stop(&mut self) {
        if let Some(Running { toxics, serving }) = self.running.take() {
            drop(toxics);
            // a task that panicked has said so
            let _ = serving.await;
        }
    }

    /// After a change of `toxics`: connections there are feel it at once.
    pub fn changed(&mut self) {
        self.toxics.sort_by_key(|entry| entry.way != Way::Up);
        if let Some(running) = &self.running {
            running.toxics.send_replace(Arc::new(self.toxics.clone()));
        }
    }
}

/// What proxies need of the process.
pub struct Proxies {
    gateway: Arc<Gateway>,
    entrances: Vec<(SocketAddr, Entrance)>,
    drain: Duration,
    next_id: AtomicU64,
    /// Connections so far, by proxy: what a toxic draws about one is drawn again in another run.
    counts: Mutex<BTreeMap<String, Arc<AtomicU64>>>,
    pub(super) all: tokio::sync::Mutex<BTreeMap<String, Proxy>>,
}

impl Proxies {
    /// Proxies to these listeners and to nothing else.
    pub fn new<'a>(
        gateway: Arc<Gateway>,
        listeners: impl IntoIterator<Item = &'a Listener>,
        drain: Duration,
    ) -> Arc<Proxies> {
        let entrances = listeners.into_iter().map(|listener| (listener.address(), listener.entrance()));
        Arc::new(Proxies {
            gateway,
            entrances: entrances.collect(),
            drain,
            next_id: AtomicU64::new(0),
            counts: Mutex::default(),
            all: tokio::sync::Mutex::default(),
        })
    }

    /// Until the gateway stopped and what went through proxies has ended.
    pub async fn serve(self: Arc<Self>) {
        self.gateway.stopped().await;
        let running: Vec<Running> = {
            let mut all = self.all.lock().await;
            all.values_mut().filter_map(|proxy| proxy.running.take()).collect()
        };
        // they see the same end, and their toxics are kept until the sessions have ended by themselves
        for Running { toxics, serving } in running {
            let _ = serving.await;
            drop(toxics);
        }
    }

    pub fn next_id(&self) -> u64 {
        self.next_id.fetch_add(1, Ordering::Relaxed)
    }

    /// The way in that an address is of. We are no relay to anywhere else.
    async fn entrance(&self, upstream: &str) -> Option<&Entrance> {
        let found = tokio::net::lookup_host(upstream).await.ok()?;
        let found: Vec<SocketAddr> = found.collect();
        let is = |bound: &SocketAddr, asked: &SocketAddr| {
            let here = bound.ip().is_unspecified() && asked.ip().is_loopback();
            bound.port() == asked.port() && (bound.ip() == asked.ip() || here)
        };
        self.entrances
            .iter()
            .find(|(bound, _)| found.iter().any(|asked| is(bound, asked)))
            .map(|(_, entrance)| entrance)
    }

    /// Whether it is the address of a listener.
    pub async fn is_listener(&self, upstream: &str) -> bool {
        self.entrance(upstream).await.is_some()
    }

    /// Begins to accept. The proxy's address is then the one it got.
    pub async fn start(&self, proxy: &mut Proxy) -> io::Result<()> {
        let nowhere = || io::Error::new(io::ErrorKind::InvalidInput, "its upstream is no listener");
        let entrance = self.entrance(&proxy.upstream).await.ok_or_else(nowhere)?;
        if self.gateway.is_stopping() {
            return Err(io::Error::other("the process is stopping"));
        }
        let address = resolve(&proxy.listen).await?;
        let (toxics, receiver) = watch::channel(Arc::new(proxy.toxics.clone()));
        let through = Through {
            toxics: receiver,
            proxy: proxy.name.as_str().into(),
            seed: self.gateway.policies.shared().seed,
            connections: self.count(&proxy.name),
        };
        let listener = Listener::bind_through(entrance, address, through)?;
        proxy.listen = listener.address().to_string();
        let serving = tokio::spawn(listener.serve(self.gateway.clone(), self.drain));
        proxy.running = Some(Running { toxics, serving });
        Ok(())
    }

    fn count(&self, proxy: &str) -> Arc<AtomicU64> {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if counts.len() >= 4 * PROXIES {
            counts.clear();
        }
        counts.entry(proxy.to_owned()).or_default().clone()
    }
}

/// The address of a name, one of this machine's if nothing is said.
pub(super) async fn resolve(listen: &str) -> io::Result<SocketAddr> {
    if listen.is_empty() {
        return Ok(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0));
    }
    // as Go has it, no host is every address; here it is this machine
    let listen = if listen.starts_with(':') { format!("127.0.0.1{listen}") } else { listen.to_owned() };
    let found: Vec<SocketAddr> = tokio::net::lookup_host(&listen).await?.collect();
    let first = found.iter().find(|address| address.is_ipv4()).or(found.first());
    first.copied().ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "the name has no address"))
}

/// What connections through a proxy have in common.
#[derive(Clone, Debug)]
pub struct Through {
    toxics: watch::Receiver<Arc<Vec<Entry>>>,
    proxy: Arc<str>,
    seed: u64,
    connections: Arc<AtomicU64>,
}

impl Through {
    /// For the next connection.
    pub(in crate::gateway) fn next(&self) -> Toxics {
        Toxics {
            toxics: self.toxics.clone(),
            proxy: self.proxy.clone(),
            seed: self.seed,
            connection: self.connections.fetch_add(1, Ordering::Relaxed),
        }
    }

    /// Ready once the proxy is no more.
    pub(in crate::gateway) fn gone(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut toxics = self.toxics.clone();
        async move { while toxics.changed().await.is_ok() {} }
    }
}

/// The toxics of one connection.
#[derive(Debug)]
pub(in crate::gateway) struct Toxics {
    toxics: watch::Receiver<Arc<Vec<Entry>>>,
    proxy: Arc<str>,
    seed: u64,
    connection: u64,
}

impl Toxics {
    pub fn changes(&self) -> watch::Receiver<Arc<Vec<Entry>>> {
        self.toxics.clone()
    }

    /// Those that strike it on one way.
    pub fn now(&self, way: Way) -> Vec<(u64, Toxic, Draws)> {
        let entries = self.toxics.borrow();
        let strikes = |entry: &Entry| {
            let rule = identity([b"toxic".as_slice(), entry.name.as_bytes()]) as u64;
            let subject = identity([b"toxiproxy".as_slice(), self.proxy.as_bytes()]);
            let event = Event { subject, ordinal: self.connection, attempt: 0 };
            let mut draws = Draws::new(self.seed, rule, event);
            draws.chance(entry.toxicity).then(|| (entry.id, entry.toxic.clone(), draws))
        };
        entries.iter().filter(|entry| entry.way == way).filter_map(strikes).collect()
    }
}
