//! The door of the room.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use super::catalogue::Catalogue;
use super::config::{BrokerConfig, Settings};
use super::context::{Context, Reply, ReplyTo};
use super::error::BrokerError;
use super::group::Groups;
use super::{Clock, route};
use crate::storage::Storage;
use crate::wire::{Request, Response};

/// One node that is a whole cluster.
pub struct Broker {
    pub(super) node_id: i32,
    pub(super) clock: Clock,
    pub(super) catalogue: Arc<Catalogue>,
    pub(super) groups: Arc<Groups>,
    settings: RwLock<Arc<Settings>>,
}

impl Broker {
    /// Opens what the data folder holds: catalogue, logs, groups.
    pub async fn open(config: BrokerConfig, storage: Arc<Storage>) -> Result<Arc<Broker>, BrokerError> {
        let cluster_id = config.cluster_id.clone();
        let catalogue = blocking(move || Catalogue::open(storage, cluster_id.as_deref())).await??;
        let catalogue = Arc::new(catalogue);
        let settings = Arc::new(Settings::default());
        let groups =
            Groups::open(Arc::clone(&catalogue), Arc::clone(&settings), config.clock.clone(), config.node_id)
                .await?;
        Ok(Arc::new(Broker {
            node_id: config.node_id,
            clock: config.clock,
            catalogue,
            groups,
            settings: RwLock::new(settings),
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

    pub fn settings(&self) -> Arc<Settings> {
        Arc::clone(&self.settings.read().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Runs what blocks on the disk where it may.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, BrokerError> {
    tokio::task::spawn_blocking(work).await.map_err(|e| BrokerError::Interrupted(e.to_string()))
}
