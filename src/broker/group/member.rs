//! One member of a classic group, and what waits for it: the answers to a JoinGroup and a SyncGroup that came before their
//! time.

use crate::storage::Ticket;
use crate::wire::Str;
use crate::wire::api::{join_group, sync_group};
use bytes::Bytes;
use tokio::sync::oneshot;

/// An answer, and the append it must not overtake.
#[derive(Debug)]
pub struct Delivery<T> {
    pub response: T,
    pub after: Option<Ticket>,
}

/// Someone who waits for an answer. Dropped without one, the request is answered COORDINATOR_NOT_AVAILABLE.
pub type Waiter<T> = oneshot::Sender<Delivery<T>>;
pub type JoinWaiter = Waiter<join_group::Response>;
pub type SyncWaiter = Waiter<sync_group::Response>;

/// An assignment protocol a member offers: for consumers an assignor's name and the member's subscription.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Protocol {
    pub name: Str,
    pub metadata: Bytes,
}

/// A member. Everything in it is in memory of its own: no request's frame is kept alive by it.
#[derive(Debug)]
pub struct Member {
    pub id: Str,
    /// `group.instance.id` of a static member (KIP-345).
    pub instance_id: Option<Str>,
    pub client_id: Str,
    /// As Kafka shows it: `/127.0.0.1`.
    pub client_host: Str,
    pub rebalance_timeout_ms: i32,
    pub session_timeout_ms: i32,
    /// In order of preference, names distinct.
    pub protocols: Vec<Protocol>,
    pub assignment: Bytes,
    /// Joined for the first time and not answered yet: such a member cannot heartbeat, so that its timer counts even while
    /// it waits.
    pub is_new: bool,
    pub awaiting_join: Option<JoinWaiter>,
    pub awaiting_sync: Option<SyncWaiter>,
}

impl Member {
    pub fn is_static(&self) -> bool {
        self.instance_id.is_some()
    }

    /// What the member says under a protocol; empty if it does not know it.
    pub fn metadata(&self, protocol: &str) -> Bytes {
        self.protocols.iter().find(|p| p.name == protocol).map(|p| p.metadata.clone()).unwrap_or_default()
    }

    /// Its favourite among the candidates.
    pub fn vote(&self, candidate: impl Fn(&Str) -> bool) -> Option<&Str> {
        self.protocols.iter().map(|p| &p.name).find(|name| candidate(name))
    }

    /// Whether an elapsed session timer may be ignored: it waits for us, not we for it.
    pub fn has_satisfied_heartbeat(&self) -> bool {
        !self.is_new && (self.awaiting_join.is_some() || self.awaiting_sync.is_some())
    }

    /// Bytes of memory, by estimate.
    pub fn size(&self) -> usize {
        let ids = self.id.len() * 3 + self.instance_id.as_ref().map_or(0, |i| i.len() * 2);
        512 + ids
            + self.client_id.len()
            + self.client_host.len()
            + self.assignment.len()
            + protocols_size(&self.protocols)
    }
}

/// Bytes of memory of a list of protocols, by estimate.
pub fn protocols_size(protocols: &[Protocol]) -> usize {
    protocols.iter().map(|p| 96 + p.name.len() + p.metadata.len()).sum()
}
