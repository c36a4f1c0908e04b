//! The door of the room.

use std::collections::HashSet;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use super::acl::Acls;
use super::catalogue::Catalogue;
use super::config::group::value as group_value;
use super::config::metrics::Subscription;
use super::config::{BrokerConfig, Settings};
use super::context::{Context, Reply, ReplyTo};
use super::error::BrokerError;
use super::fetch_session::FetchSessions;
use super::group::Groups;
use super::log_limit::LogLimit;
use super::loggers::SomeLoggers;
use super::quota::{self, Quotas};
use super::resources::{Kind, Resources};
use super::scram::ScramStore;
use super::telemetry::Telemetry;
use super::{Clock, maintenance, producer_snapshot, route};
use crate::storage::Storage;
use crate::wire::{Request, Response, Str};

/// One node that is a whole cluster.
pub struct Broker {
    pub(super) node_id: i32,
    pub(super) clock: Clock,
    pub(super) catalogue: Arc<Catalogue>,
    pub(super) groups: Arc<Groups>,
    pub(super) acls: Acls,
    /// None: nobody keeps users.
    pub(super) scram: Option<Arc<dyn ScramStore>>,
    pub(super) fetch_sessions: FetchSessions,
    pub(super) quotas: Quotas,
    pub(super) loggers: SomeLoggers,
    pub(super) group_configs: Resources,
    pub(super) client_metrics: Resources,
    pub(super) telemetry: Telemetry,
    /// Taken from the store and not given away yet.
    producer_ids: Mutex<Range<i64>>,
    /// Topics being created because somebody asked about them.
    auto_creating: Mutex<HashSet<Str>>,
    pub(super) not_created: LogLimit,
    /// Nobody waits for anything to come any more.
    pub(super) closing: watch::Sender<bool>,
    pub(super) no_producer_ids: LogLimit,
}

impl Broker {
    /// Opens what the data folder holds: catalogue, logs, groups.
    pub async fn open(config: BrokerConfig, storage: Arc<Storage>) -> Result<Arc<Broker>, BrokerError> {
        let (node_id, clock, scram) = (config.node_id, config.clock.clone(), config.scram.clone());
        let now_ms = clock.now_ms();
        let (quota_clock, loggers) = (clock.clone(), config.loggers.clone());
        let opened = blocking(move || {
            let catalogue = Catalogue::open(storage, &config)?;
            producer_snapshot::restore(&catalogue, now_ms);
            let catalogue = Arc::new(catalogue);
            let resources = (
                Quotas::open(&catalogue, quota_clock)?,
                Resources::open(&catalogue, Kind::Group)?,
                Resources::open(&catalogue, Kind::ClientMetrics)?,
            );
            let acls = Acls::open(Arc::clone(&catalogue))?;
            Ok::<_, BrokerError>((catalogue, acls, resources))
        });
        let (catalogue, acls, (quotas, group_configs, client_metrics)) = opened.await??;
        let groups =
            Groups::open(Arc::clone(&catalogue), catalogue.settings(), clock.clone(), node_id).await?;
        let slots =
            usize::try_from(catalogue.settings().max_incremental_fetch_session_cache_slots).unwrap_or(0);
        let fetch_sessions = FetchSessions::new(slots);
        let broker = Arc::new(Broker {
            fetch_sessions,
            quotas,
            loggers,
            group_configs,
            client_metrics,
            telemetry: Telemetry::default(),
            node_id,
            clock,
            catalogue,
            groups,
            acls,
            scram,
            producer_ids: Mutex::new(0..0),
            auto_creating: Mutex::default(),
            not_created: LogLimit::default(),
            closing: watch::Sender::new(false),
            no_producer_ids: LogLimit::default(),
        });
        tokio::spawn(maintenance::run(Arc::downgrade(&broker), broker.clock.clone()));
        Ok(broker)
    }

    /// Answers one request. Never blocks: what the request changes has changed on return, or, with
    /// [`Reply::Later`]'s barrier, when its future is done; what it waits for is awaited in that future.
    pub fn handle(self: &Arc<Self>, cx: &Context, request: Request) -> Reply {
        let to = ReplyTo::of(&request);
        let metered = self.quotas.concern_clients();
        let size = if metered { quota::size_of(&request) } else { 0 };
        match request.into_body() {
            Ok(body) if metered => quota::metered(self, cx, to, size, body),
            Ok(body) => route::dispatch(self, cx, to, body),
            Err(error) => {
                tracing::info!(session = cx.session, client = %cx.client_host, %error, "unreadable request");
                Reply::Close
            }
        }
    }

    /// The answer to an ApiVersions request newer than we know (KIP-511): version 0, UNSUPPORTED_VERSION, and the
    /// versions of ApiVersions itself.
    pub fn api_versions_fallback(correlation_id: i32) -> Response {
        route::api_versions_fallback(correlation_id)
    }

    /// Answers whoever waits for something to come: fetches get what there is, members that join or sync are told to find their
    /// coordinator again. What was asked for is still done and answered; [`Self::shutdown`] follows when it is.
    pub async fn stop_waiting(&self) {
        self.closing.send_replace(true);
        self.groups.shutdown(Duration::ZERO).await;
    }

    /// Drains and closes the logs and writes what makes the next start quick. Nothing is appended from here on. What is
    /// not done by the deadline is left to recovery.
    pub async fn shutdown(self: &Arc<Self>, deadline: Duration) -> Result<(), BrokerError> {
        let deadline = self.clock.elapsed().saturating_add(deadline);
        self.stop_waiting().await;
        let catalogue = Arc::clone(&self.catalogue);
        let closed = blocking(move || {
            catalogue.storage().close()?;
            // Now everything that was appended is synced.
            producer_snapshot::write_synced(&catalogue)
        });
        tokio::select! {
            closed = closed => Ok(closed??),
            () = self.clock.sleep_until(deadline) => {
                Err(BrokerError::Interrupted("the logs were not closed in time".to_owned()))
            }
        }
    }

    /// Resolves when nobody waits for anything any more: see [`Self::stop_waiting`].
    pub async fn closing(&self) {
        let mut closing = self.closing.subscribe();
        // An error says that the broker is gone.
        drop(closing.wait_for(|closing| *closing).await);
    }

    pub(super) fn is_closing(&self) -> bool {
        *self.closing.borrow()
    }

    pub fn catalogue(&self) -> &Arc<Catalogue> {
        &self.catalogue
    }

    /// Resolves when there is room for more appends: produce requests handled before that may be refused.
    pub async fn capacity(&self) {
        self.catalogue.storage().capacity().await;
    }

    pub(super) fn auto_creating(&self) -> MutexGuard<'_, HashSet<Str>> {
        self.auto_creating.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A producer id, if one is at hand.
    pub(super) fn next_producer_id(&self) -> Option<i64> {
        // Who holds the lock may be waiting for the disk.
        self.producer_ids.try_lock().ok()?.next()
    }

    /// May be held over a disk operation: only where blocking is allowed.
    pub(super) fn producer_ids(&self) -> MutexGuard<'_, Range<i64>> {
        self.producer_ids.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What clients may use.
    pub fn quotas(&self) -> &Quotas {
        &self.quotas
    }

    /// The metrics that clients are asked to push (KIP-714).
    pub fn subscriptions(&self) -> Arc<[Subscription]> {
        self.client_metrics.subscriptions()
    }

    /// A group's own setting, or what holds for it without one.
    pub fn group_config(&self, group: &str, name: &str) -> Option<String> {
        group_value(name, &self.group_configs.of(group), &self.catalogue.server_configs())
    }

    /// The data folder, as tools are told of it.
    pub(super) fn log_dir(&self) -> String {
        self.catalogue.server_configs().value("log.dirs").unwrap_or_default()
    }

    pub fn groups(&self) -> &Arc<Groups> {
        &self.groups
    }

    pub fn acls(&self) -> &Acls {
        &self.acls
    }

    pub fn settings(&self) -> Arc<Settings> {
        self.catalogue.settings()
    }
}

/// Runs what blocks on the disk where it may.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, BrokerError> {
    tokio::task::spawn_blocking(work).await.map_err(|e| BrokerError::Interrupted(e.to_string()))
}
