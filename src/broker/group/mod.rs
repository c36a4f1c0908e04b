//! Consumer groups. (Placeholder of the shared skeleton: every request is told to come back later.)

use std::sync::Arc;
use std::time::Duration;

use super::catalogue::Catalogue;
use super::config::Settings;
use super::error::BrokerError;
use super::topic::Topic;
use super::{Clock, Context, Reply, ReplyTo};
use crate::wire::{ErrorCode, RequestBody};

/// All groups of the broker.
pub struct Groups {}

impl Groups {
    /// Reads the committed offsets. The offsets topic may not exist yet.
    pub(super) async fn open(
        _catalogue: Arc<Catalogue>,
        _settings: Arc<Settings>,
        _clock: Clock,
        _node_id: i32,
    ) -> Result<Arc<Groups>, BrokerError> {
        Ok(Arc::new(Groups {}))
    }

    /// Answers any request about groups, FindCoordinator included.
    pub(super) fn handle(self: &Arc<Self>, _cx: &Context, to: ReplyTo, body: RequestBody) -> Reply {
        match body.answer(to.version, ErrorCode::COORDINATOR_NOT_AVAILABLE) {
            Some(body) => to.now(body),
            None => Reply::Close,
        }
    }

    /// These topics are gone: so are the offsets committed for them.
    #[allow(dead_code)]
    pub(super) fn topics_deleted(&self, _topics: &[Arc<Topic>]) {}

    pub(super) async fn shutdown(&self, _deadline: Duration) {}
}
