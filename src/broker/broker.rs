//! The door of the room.

use std::collections::HashSet;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::catalogue::Catalogue;
use super::config::{BrokerConfig, Settings};
use super::context::{Context, Reply, ReplyTo};
use super::error::BrokerError;
use super::fetch_session::FetchSessions;
use super::group::Groups;
use super::{Clock, route};
use crate::storage::Storage;
use crate::wire::{Request, Response, Str};

/// One node that is a whole cluster.
pub struct Broker {
    pub(super) node_id: i32,
    pub(super) clock: Clock,
    pub(super) catalogue: Arc<Catalogue>,
    pub(super) groups: Arc<Groups>,
    pub(super) fetch_sessions: FetchSessions,
    /// Taken from the store and not given away yet.
    producer_ids: Mutex<Range<i64>>,
    /// Topics being created because somebody asked about them.
    auto_creating: Mutex<HashSet<Str>>,
}

impl Broker {
    /// Opens what the data folder holds: catalogue, logs, groups.
    pub async fn open(config: BrokerConfig, storage: Arc<Storage>) -> Result<Arc<Broker>, BrokerError> {
        let (node_id, clock) = (config.node_id, config.clock.clone());
        let catalogue = Arc::new(blocking(move || Catalogue::open(storage, &config)).await??);
        let groups =
            Groups::open(Arc::clone(&catalogue), catalogue.settings(), clock.clone(), node_id).await?;
        let slots =
            usize::try_from(catalogue.settings().max_incremental_fetch_session_cache_slots).unwrap_or(0);
        let fetch_sessions = FetchSessions::new(slots);
        Ok(Arc::new(Broker {
            fetch_sessions,
            node_id,
            clock,
            catalogue,
            groups,
            producer_ids: Mutex::new(0..0),
            auto_creating: Mutex::default(),
        }))
    }

    /// Answers one request. Never blocks: what the request changes has changed on return, or, with
    /// [`Reply::Later`]'s barrier, when its future is done; what it waits for is awaited in that future.
    pub fn handle(self: &Arc<Self>, cx: &Context, request: Request) -> Reply {
        let to = ReplyTo::of(&request);
        match request.into_body() {
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

    /// Stops taking requests into effect, writes what makes the next start quick. What is not done by `deadline` is
    /// left to recovery.
    pub async fn shutdown(self: &Arc<Self>, deadline: Duration) -> Result<(), BrokerError> {
        self.groups.shutdown(deadline).await;
        let storage = Arc::clone(self.catalogue.storage());
        blocking(move || storage.close()).await??;
        Ok(())
    }

    pub fn catalogue(&self) -> &Arc<Catalogue> {
        &self.catalogue
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

    pub fn groups(&self) -> &Arc<Groups> {
        &self.groups
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
