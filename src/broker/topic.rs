//! A topic as the catalogue holds it in memory.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use super::partition::Partition;
use crate::wire::{Str, Uuid};

/// Kafka's own topic for committed offsets: clients may read it, not write or delete it.
pub const OFFSETS_TOPIC: &str = "__consumer_offsets";
/// Kafka's own topic for transactions.
pub const TRANSACTIONS_TOPIC: &str = "__transaction_state";

/// True for the topics that belong to the broker.
pub fn is_internal(name: &str) -> bool {
    name == OFFSETS_TOPIC || name == TRANSACTIONS_TOPIC
}

/// One life of a topic: deleting it and creating it again makes another, with another id.
#[derive(Debug)]
pub struct Topic {
    name: Str,
    id: Uuid,
    partitions: RwLock<Arc<[Arc<Partition>]>>,
    overrides: RwLock<Arc<BTreeMap<String, String>>>,
    deleted: AtomicBool,
}

impl Topic {
    pub(super) fn new(
        name: Str,
        id: Uuid,
        partitions: Vec<Arc<Partition>>,
        overrides: BTreeMap<String, String>,
    ) -> Self {
        Topic {
            name,
            id,
            partitions: RwLock::new(partitions.into()),
            overrides: RwLock::new(Arc::new(overrides)),
            deleted: AtomicBool::new(false),
        }
    }

    pub fn name(&self) -> &Str {
        &self.name
    }

    pub fn id(&self) -> Uuid {
        self.id
    }

    pub fn is_internal(&self) -> bool {
        is_internal(&self.name)
    }

    /// In the order of their indexes, from 0 on without gaps.
    pub fn partitions(&self) -> Arc<[Arc<Partition>]> {
        Arc::clone(&self.partitions.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub fn partition(&self, index: i32) -> Option<Arc<Partition>> {
        let partitions = self.partitions.read().unwrap_or_else(PoisonError::into_inner);
        usize::try_from(index).ok().and_then(|index| partitions.get(index)).cloned()
    }

    pub fn partition_count(&self) -> usize {
        self.partitions.read().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// The configs set for this topic, by Kafka's names.
    pub fn overrides(&self) -> Arc<BTreeMap<String, String>> {
        Arc::clone(&self.overrides.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// True once the topic is gone: whoever still holds it must not believe in it.
    pub fn is_deleted(&self) -> bool {
        self.deleted.load(Ordering::Acquire)
    }

    pub(super) fn set_deleted(&self) {
        self.deleted.store(true, Ordering::Release);
    }

    pub(super) fn set_overrides(&self, overrides: BTreeMap<String, String>) {
        *self.overrides.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(overrides);
    }

    pub(super) fn add_partitions(&self, added: Vec<Arc<Partition>>) {
        let mut partitions = self.partitions.write().unwrap_or_else(PoisonError::into_inner);
        *partitions = partitions.iter().cloned().chain(added).collect();
    }
}
