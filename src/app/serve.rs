//! `tollgate serve`: builds what the configuration describes, ground floor first, runs it, and takes it down again in
//! the reverse order.

use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};

use super::chaos::BrokerChaos;
use super::config::Config;
use super::control::Control;
use super::embedded::Embedded;
use super::failure::Failure;
use super::listeners::Listener as ListenerSetting;
use super::logging::ModuleLoggers;
use super::policies::Shown;
use super::ready::Ready;
use super::rotate::Closed;
use super::scram::ScramUsers;
use super::shutdown::Shutdown;
use super::tls::{Certificates, OfAdmin};
use super::tokens::AdminTokens;
use super::toxiproxy::Toxiproxy;
use super::values::Address;
use super::views::{Lag, Memory, Sessions};
use super::{control, descriptors, policies, users};
use crate::admin::collect::{LagCollector, RuleCollector};
use crate::admin::control::Tokens;
use crate::admin::memory::MemoryCollector;
use crate::admin::{self, AdminHandles, PolicyCollector, ProcessCollector};
use crate::broker::loggers::SomeLoggers;
use crate::broker::{Broker, BrokerConfig, BrokerError, Clock};
use crate::gateway::link::proxies::Proxies;
use crate::gateway::metrics::Metrics;
use crate::gateway::{Gateway, Listener, ListenerConfig, SaslConfig};
use crate::security::Authenticator;
use crate::security::tls::{ClientAuth, TlsFiles};
use crate::security::users_file::{self, Refresh};
use crate::storage::chaos::DiskChaos;
use crate::storage::files::RealFiles;
use crate::storage::{Storage, StorageConfig, StorageError};

/// How often the users file is looked at.
const USERS_REFRESH: Duration = Duration::from_secs(1);
/// Most series of each metric whose labels clients can grow.
const METRIC_SERIES: usize = 5_000;
/// How long the last lines of journal and audit may take to be written.
const LINES_DRAIN: Duration = Duration::from_secs(1);
/// What of the drain time is left to the broker when sessions have taken all of theirs.
const BROKER_DRAIN: Duration = Duration::from_secs(5);

/// Runs until the end is asked for.
pub fn run(config: Config, loggers: Arc<ModuleLoggers>, started: Instant) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("tollgate")
        .build()
        .map_err(|e| Failure::cannot(format!("cannot start threads: {e}")))?;
    let mut ends = Vec::new();
    let result = runtime.block_on(serve(config, loggers, started, &mut ends));
    // What still blocks on a disk after the drain time is not waited for: recovery takes care of it.
    runtime.shutdown_timeout(Duration::from_millis(100));
    // Nobody is left to write lines of journal and audit; those that were taken go to their files.
    if !ends.iter().all(|end: &Closed| end.wait(LINES_DRAIN)) {
        tracing::warn!("the last lines of journal or audit may be missing");
    }
    result
}

async fn serve(
    config: Config,
    loggers: Arc<ModuleLoggers>,
    started: Instant,
    ends: &mut Vec<Closed>,
) -> Result<(), Failure> {
    let mut shutdown =
        Shutdown::on_signals().map_err(|e| Failure::cannot(format!("cannot take over signals: {e}")))?;
    descriptors::raise_limit(&config);

    // Addresses first: one in use is found before anything is touched.
    let (authenticator, certificates) = (authenticator(&config)?, Certificates::open(&config)?);
    let mut listeners = Vec::new();
    for setting in &config.listeners {
        listeners.push((setting, bind_listener(setting, authenticator.as_ref(), &certificates).await?));
    }
    let admin_listener = match &config.admin {
        Some(address) => Some(bind(address, "the admin address", TcpListener::bind).await?),
        None => None,
    };

    let tokens = AdminTokens::of(&config)?.map(Arc::new);
    let toxiproxy_listener = match &config.toxiproxy {
        Some(address) => Some(bind(address, "the address of Toxiproxy's API", TcpListener::bind).await?),
        None => None,
    };

    // So are policies that cannot be taken into force.
    policies::check(&config)?;
    let addresses = listeners.iter().map(|(setting, listener)| (*setting, listener.address()));
    let users = ScramUsers { path: config.users.clone(), authenticator: authenticator.clone() };
    let chaos = Arc::new(BrokerChaos::default());
    let broker = open_broker(&config, facts(&config, addresses), loggers, users, &chaos).await?;
    let registry = prometheus::Registry::new();
    let metrics = Metrics::new(&registry).map_err(metrics_failed)?;
    let policies::Opened { policies, watcher, ends: lines } = policies::open(&config, &broker)?;
    *ends = lines;
    let chaos = chaos.join(&policies, &broker);
    let shown = Arc::new(Shown(policies.clone()));
    let rules = RuleCollector::new(shown.clone(), METRIC_SERIES).map_err(metrics_failed)?;
    registry.register(Box::new(rules)).map_err(metrics_failed)?;
    let whole = PolicyCollector::new(shown.clone()).map_err(metrics_failed)?;
    registry.register(Box::new(whole)).map_err(metrics_failed)?;
    let captured = config.capture.as_ref().map(super::capture::open).transpose()?;
    let capture = captured.as_ref().map(|(capture, _)| capture.clone());
    let upstream = Arc::new(Embedded { broker: broker.clone(), policies: policies.clone() });
    let gateway = Gateway::new(config.limits.clone(), metrics, upstream, policies.clone(), capture);
    let lag = LagCollector::new(Arc::new(Lag(broker.clone())), METRIC_SERIES).map_err(metrics_failed)?;
    registry.register(Box::new(lag)).map_err(metrics_failed)?;
    let memory = MemoryCollector::new(Arc::new(Memory(gateway.clone()))).map_err(metrics_failed)?;
    registry.register(Box::new(memory)).map_err(metrics_failed)?;
    let admin_tls = certificates.of_admin();
    let renewing = certificates.renew(&registry).map_err(metrics_failed)?;
    let process = ProcessCollector::new().map_err(metrics_failed)?;
    registry.register(Box::new(process)).map_err(metrics_failed)?;

    let ready = Arc::new(Ready::starting());
    let (admin_stop, admin_stopped) = Shutdown::new();
    let admin = admin_listener.map(|listener| {
        let handles = AdminHandles {
            registry,
            policies: shown,
            control: Arc::new(Control {
                policies: policies.clone(),
                security_changes: config.admin_security_changes,
            }),
            tokens: tokens.clone().map(|tokens| tokens as Arc<dyn Tokens>),
            sessions: Arc::new(Sessions(gateway.registry.clone())),
            readiness: ready.clone(),
            tls: admin_tls.clone().map(|tls| Arc::new(OfAdmin(tls)) as Arc<dyn admin::Certificates>),
        };
        let address = listener.local_addr();
        let mut stopped = admin_stopped.clone();
        let serving = admin::serve(listener, handles, admin::Limits::default(), async move {
            stopped.requested().await;
        });
        (address, tokio::spawn(serving))
    });

    let mut serving = JoinSet::new();
    let toxiproxy = toxiproxy_listener.map(|listener| {
        let all = listeners.iter().map(|(_, listener)| listener);
        let proxies = Proxies::new(gateway.clone(), all, config.drain_timeout);
        serving.spawn(proxies.clone().serve());
        let address = listener.local_addr();
        let mut stopped = admin_stopped.clone();
        let serving = admin::toxiproxy::serve(listener, Arc::new(Toxiproxy(proxies)), async move {
            stopped.requested().await;
        });
        (address, tokio::spawn(serving))
    });
    for (setting, listener) in listeners {
        announce_listener(setting, listener.address());
        serving.spawn(listener.serve(gateway.clone(), config.drain_timeout));
    }
    if let Some((Ok(address), _)) = &admin {
        let tls = if config.admin_tls.is_some() { "on" } else { "off" };
        tracing::info!(%address, tls, "admin: /metrics /healthz /readyz /v1/policies /v1/sessions /v1/openapi.json");
    }
    if let Some((Ok(address), _)) = &toxiproxy {
        tracing::info!(%address, "toxiproxy: its API, for proxies to the listeners");
    }
    tracing::info!(folder = %config.data.display(), flush = %config.storage.flush, "data");
    let refresh = authenticator.map(refresh_users);
    let new_tokens = tokens.and_then(|tokens| tokens.renew());
    let (watch_stop, watch_stopped) = Shutdown::new();
    let watching = watcher.map(|watcher| {
        let mut stopped = watch_stopped.clone();
        tokio::spawn(watcher.run(async move { stopped.requested().await }))
    });
    let mut ends_stopped = watch_stopped.clone();
    let ending =
        tokio::spawn(control::drop_what_ends(policies, async move { ends_stopped.requested().await }));
    ready.set_ready();
    tracing::info!(after_ms = millis(started.elapsed()), "ready");

    let lost = tokio::select! {
        () = shutdown.requested() => None,
        ended = serving.join_next() => Some(ended),
    };
    ready.set_draining();
    // No new connections or requests; then whoever waits for something to come is answered, so that sessions owe nothing.
    gateway.stop();
    broker.stop_waiting().await;
    drop(watch_stop);
    let _ = ending.await;
    if let Some(watching) = watching {
        let _ = watching.await;
    }
    while serving.join_next().await.is_some() {}
    if let Some((capture, ended)) = captured {
        let ending = tokio::task::spawn_blocking(move || {
            capture.end();
            (ended.wait(LINES_DRAIN), capture.dropped())
        });
        match ending.await {
            Ok((true, 0)) => {}
            Ok((true, missing)) => tracing::warn!(missing, "records are missing in the capture"),
            _ => tracing::warn!("the last records of the capture may be missing"),
        }
    }
    for look in [refresh, renewing, new_tokens].into_iter().flatten() {
        look.abort();
    }
    chaos.abort();
    let closed = broker.shutdown(config.drain_timeout.max(BROKER_DRAIN)).await;
    drop(admin_stop);
    if let Some((_, admin)) = admin {
        let _ = admin.await;
    }
    if let Some((_, toxiproxy)) = toxiproxy {
        let _ = toxiproxy.await;
    }
    closed.map_err(|e| Failure::cannot(format!("the data was not closed cleanly: {e}")))?;
    match lost {
        None => {
            tracing::info!("stopped");
            Ok(())
        }
        Some(_) => Err(Failure::cannot("a listener ended by itself; see the log")),
    }
}

/// The users and the machinery of logins, if any listener asks for one.
fn authenticator(config: &Config) -> Result<Option<Arc<Authenticator>>, Failure> {
    if !config.needs_users() {
        return Ok(None);
    }
    let store = users::open(&config.users)?;
    if users_file::is_exposed(&config.users) {
        tracing::warn!(file = %config.users.display(), "every user of this machine can read the users file; chmod 600 it");
    }
    if store.current().is_empty() {
        tracing::warn!(file = %config.users.display(), "there are no users: nobody can log in; see `tollgate user add`");
    }
    let authenticator = Authenticator::new(Arc::new(store)).map_err(|e| Failure::cannot(e.to_string()))?;
    Ok(Some(Arc::new(authenticator)))
}

async fn bind_listener(
    setting: &ListenerSetting,
    authenticator: Option<&Arc<Authenticator>>,
    certificates: &Certificates,
) -> Result<Listener, Failure> {
    let sasl = authenticator.filter(|_| !setting.sasl.is_empty()).map(|authenticator| SaslConfig {
        mechanisms: setting.sasl.clone(),
        authenticator: authenticator.clone(),
    });
    let advertised = setting.advertised.as_ref().map(|a| (a.host.clone(), a.port));
    let what = format!("listener `{}`", setting.name);
    bind(&setting.address, &what, |address| {
        let config = ListenerConfig {
            name: setting.name.clone(),
            address,
            advertised: advertised.clone(),
            sasl: sasl.clone(),
            tls: certificates.of(&setting.name),
        };
        std::future::ready(Listener::bind(config))
    })
    .await
}

/// Looks the host up and binds the first of its addresses that can be bound.
async fn bind<T, F: Future<Output = io::Result<T>>>(
    address: &Address,
    what: &str,
    bind: impl Fn(SocketAddr) -> F,
) -> Result<T, Failure> {
    let cannot = |error: io::Error| {
        let hint = match error.kind() {
            io::ErrorKind::AddrInUse => "; another process listens there",
            _ => "",
        };
        Failure::cannot(format!("{what} cannot listen on {address}: {error}{hint}"))
    };
    let found = tokio::net::lookup_host((address.host.as_str(), address.port)).await.map_err(cannot)?;
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for candidate in found {
        match bind(candidate).await {
            Ok(bound) => return Ok(bound),
            Err(error) => last = error,
        }
    }
    Err(cannot(last))
}

/// What this process decides of Kafka's settings outside the broker: what tools are shown of it.
fn facts<'a>(
    config: &Config,
    listeners: impl Iterator<Item = (&'a ListenerSetting, SocketAddr)>,
) -> BTreeMap<String, String> {
    let (mut bound, mut advertised, mut protocols) = (Vec::new(), Vec::new(), Vec::new());
    let mut mechanisms: Vec<&str> = Vec::new();
    for (setting, address) in listeners {
        let name = &setting.name;
        bound.push(format!("{name}://{address}"));
        advertised.push(match &setting.advertised {
            Some(told) => format!("{name}://{}:{}", told.host, told.port),
            None => format!("{name}://{address}"),
        });
        protocols.push(format!("{name}:{}", setting.protocol()));
        for mechanism in &setting.sasl {
            if !mechanisms.contains(&mechanism.name()) {
                mechanisms.push(mechanism.name());
            }
        }
    }
    let limits = &config.limits;
    let mut facts = vec![
        ("listeners", bound.join(",")),
        ("advertised.listeners", advertised.join(",")),
        ("listener.security.protocol.map", protocols.join(",")),
        ("max.connections", limits.max_sessions.to_string()),
        ("max.connections.per.ip", limits.max_sessions_per_address.to_string()),
    ];
    if !mechanisms.is_empty() {
        facts.push(("sasl.enabled.mechanisms", mechanisms.join(",")));
    }
    // Where these are Kafka's defaults they are shown as such.
    if limits.max_frame_bytes != 104_857_600 {
        facts.push(("socket.request.max.bytes", limits.max_frame_bytes.to_string()));
    }
    if limits.idle_timeout != Duration::from_secs(600) {
        facts.push(("connections.max.idle.ms", millis(limits.idle_timeout).to_string()));
    }
    facts.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

async fn open_broker(
    config: &Config,
    facts: BTreeMap<String, String>,
    loggers: Arc<ModuleLoggers>,
    users: ScramUsers,
    chaos: &Arc<BrokerChaos>,
) -> Result<Arc<Broker>, Failure> {
    let cannot = |e: &dyn std::fmt::Display| {
        Failure::cannot(format!("the data folder {} cannot be used: {e}", config.data.display()))
    };
    let clock = Clock::system();
    let chaos: Arc<dyn DiskChaos> = chaos.clone();
    let storage = StorageConfig { clock: clock.for_storage(), chaos: Some(chaos), ..config.storage.clone() };
    let data = config.data.clone();
    let opening =
        tokio::task::spawn_blocking(move || Storage::open(Arc::new(RealFiles::new()), data, storage));
    let storage = match opening.await {
        Ok(Ok(storage)) => storage,
        // Its message names the folder already.
        Ok(Err(locked @ StorageError::Locked(_))) => return Err(Failure::cannot(locked.to_string())),
        Ok(Err(error)) => return Err(cannot(&error)),
        Err(error) => return Err(cannot(&error)),
    };
    let broker_config = BrokerConfig {
        node_id: config.broker.node_id,
        cluster_id: config.broker.cluster_id.clone(),
        properties: config.broker.properties.clone(),
        facts,
        loggers: SomeLoggers(Some(loggers)),
        clock,
        scram: Some(Arc::new(users)),
    };
    Broker::open(broker_config, storage).await.map_err(|error| match error {
        BrokerError::Config { .. } => Failure::usage(error.to_string()),
        error => cannot(&error),
    })
}

fn announce_listener(setting: &ListenerSetting, address: SocketAddr) {
    let sasl: Vec<&str> = setting.sasl.iter().map(|mechanism| mechanism.name()).collect();
    let sasl = if sasl.is_empty() { "none".to_owned() } else { sasl.join(",") };
    let tls = match &setting.tls {
        None => "off",
        Some(TlsFiles { client_ca: None, .. }) => "on",
        Some(TlsFiles { client_auth: ClientAuth::Required, .. }) => "on, with certificates of clients",
        Some(_) => "on, and certificates of clients that have one",
    };
    match &setting.advertised {
        Some(advertised) => {
            tracing::info!(%address, listener = %setting.name, tls, %sasl, %advertised, "listening for Kafka clients");
        }
        None => {
            tracing::info!(%address, listener = %setting.name, tls, %sasl, "listening for Kafka clients");
        }
    }
}

/// Takes changes of the users file over while the process runs.
fn refresh_users(authenticator: Arc<Authenticator>) -> JoinHandle<()> {
    tokio::spawn(async move {
        let mut tick = tokio::time::interval(USERS_REFRESH);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            let authenticator = authenticator.clone();
            let looked = tokio::task::spawn_blocking(move || {
                let users = authenticator.users();
                (users.refresh(), users.path().display().to_string())
            });
            match looked.await {
                Ok((Ok(Refresh::Changed(users)), file)) => tracing::info!(users, file, "users changed"),
                Ok((Ok(_), _)) => {}
                Ok((Err(error), _)) => tracing::error!(%error, "the users stay as they were"),
                Err(_) => return,
            }
        }
    })
}

fn metrics_failed(error: prometheus::Error) -> Failure {
    Failure::cannot(format!("a metric cannot be registered: {error}"))
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
