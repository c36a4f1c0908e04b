//! What the admin address shows of the other rooms, in its own shapes.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::admin::collect::{GroupPosition, LagSource, PartitionPosition};
use crate::admin::{SessionStatus, SessionsPage, SessionsView};
use crate::broker::Broker;
use crate::broker::topic::Topic;
use crate::gateway::registry::{Registry, SessionInfo};
use crate::wire::Str;

/// The gateway's sessions.
pub struct Sessions(pub Arc<Registry>);

impl SessionsView for Sessions {
    fn page(&self, after: u64, limit: usize) -> SessionsPage {
        let sessions: Vec<SessionStatus> =
            self.0.page(after, limit).iter().map(|session| status(session)).collect();
        let next = sessions.last().filter(|_| sessions.len() == limit).map(|last| last.id);
        SessionsPage { total: self.0.len(), sessions, next }
    }
}

fn status(session: &SessionInfo) -> SessionStatus {
    let who = session.who();
    let count = |n: &std::sync::atomic::AtomicU64| n.load(Ordering::Relaxed);
    SessionStatus {
        id: session.id,
        listener: session.listener.to_string(),
        remote_address: session.remote,
        principal: who.principal.to_string(),
        client_id: who.client_id.map(|id| id.to_string()),
        client_software: who.client_software,
        state: who.state.to_owned(),
        age_ms: millis(session.since.elapsed()),
        requests: count(&session.requests),
        in_flight: count(&session.in_flight),
        bytes_in: count(&session.bytes_in),
        bytes_out: count(&session.bytes_out),
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// What one scrape looks at, at most. What is beyond is missing from its answer.
const MAX_GROUPS: usize = 100_000;
const MAX_OFFSETS: usize = 500_000;

/// The broker's partitions, and how far its groups are.
pub struct Lag(pub Arc<Broker>);

impl LagSource for Lag {
    fn groups(&self) -> Vec<GroupPosition> {
        // By topic: many groups read the same few.
        let mut watermarks: HashMap<Str, Option<Arc<Topic>>> = HashMap::new();
        let mut positions = Vec::new();
        for group in self.0.groups().view(MAX_GROUPS, MAX_OFFSETS) {
            let name: Arc<str> = Arc::from(&*group.group_id);
            for committed in group.offsets {
                let topic = watermarks
                    .entry(committed.topic.clone())
                    .or_insert_with(|| self.0.catalogue().topic(&committed.topic));
                let partition = topic.as_ref().and_then(|topic| topic.partition(committed.partition));
                // A commit for a partition that is gone is behind nothing.
                let Some(partition) = partition else { continue };
                positions.push(GroupPosition {
                    group: name.clone(),
                    topic: Arc::from(&*committed.topic),
                    partition: committed.partition,
                    committed: committed.offset,
                    high_watermark: partition.log().high_watermark(),
                });
            }
        }
        positions
    }

    fn partitions(&self) -> Vec<PartitionPosition> {
        let mut positions = Vec::new();
        for topic in self.0.catalogue().topics() {
            let name: Arc<str> = Arc::from(&**topic.name());
            for partition in topic.partitions().iter() {
                positions.push(PartitionPosition {
                    topic: name.clone(),
                    partition: partition.index(),
                    log_start_offset: partition.log().log_start_offset(),
                    high_watermark: partition.log().high_watermark(),
                });
            }
        }
        positions
    }
}
