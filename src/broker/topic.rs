//! A topic as the catalogue holds it in memory.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use super::config::TopicConfig;
use super::partition::Partition;
use crate::wire::{Str, Uuid};

/// Kafka's own topic for committed offsets: clients may read it, not write to it.
pub const OFFSETS_TOPIC: &str = "__consumer_offsets";
/// Kafka's own topic for transactions.
pub const TRANSACTIONS_TOPIC: &str = "__transaction_state";

/// True for the topics that belong to the broker.
pub fn is_internal(name: &str) -> bool {
    name == OFFSETS_TOPIC || name == TRANSACTIONS_TOPIC
}

/// Why Kafka takes no topic of this name, in its words.
pub fn check_name(name: &str) -> Result<(), String> {
    let problem = match name {
        "" => "the empty string is not allowed".to_owned(),
        "." | ".." => format!("'{name}' is not allowed"),
        _ if name.len() > 249 => {
            format!("the length of '{name}' is longer than the max allowed length 249")
        }
        _ if !name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-')) => {
            format!(
                "'{name}' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'"
            )
        }
        _ => return Ok(()),
    };
    Err(format!("Topic name is invalid: {problem}"))
}

/// One life of a topic: deleting it and creating it again makes another, with another id.
#[derive(Debug)]
pub struct Topic {
    name: Str,
    id: Uuid,
    /// The broker's start that saw its creation.
    created_in: i32,
    partitions: RwLock<Arc<[Arc<Partition>]>>,
    settings: RwLock<Arc<TopicSettings>>,
    deleted: AtomicBool,
}

/// What was set for a topic, and what follows from it and the broker's settings.
#[derive(Debug, PartialEq, Eq)]
pub struct TopicSettings {
    /// By Kafka's names.
    pub overrides: BTreeMap<String, String>,
    pub config: TopicConfig,
}

impl Topic {
    pub(super) fn new(
        name: Str,
        id: Uuid,
        created_in: i32,
        partitions: Vec<Arc<Partition>>,
        settings: TopicSettings,
    ) -> Self {
        Topic {
            name,
            id,
            created_in,
            partitions: RwLock::new(partitions.into()),
            settings: RwLock::new(Arc::new(settings)),
            deleted: AtomicBool::new(false),
        }
    }

    pub fn name(&self) -> &Str {
        &self.name
    }

    pub fn id(&self) -> Uuid {
        self.id
    }

    pub(super) fn created_in(&self) -> i32 {
        self.created_in
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

    pub fn settings(&self) -> Arc<TopicSettings> {
        Arc::clone(&self.settings.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// True once the topic is gone: whoever still holds it must not believe in it.
    pub fn is_deleted(&self) -> bool {
        self.deleted.load(Ordering::Acquire)
    }

    pub(super) fn set_deleted(&self) {
        self.deleted.store(true, Ordering::Release);
    }

    /// Takes effect for the next append or read; logs follow at once.
    pub(super) fn set_settings(&self, settings: TopicSettings) {
        for partition in self.partitions().iter() {
            partition.log().set_config(settings.config.log.clone());
        }
        *self.settings.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(settings);
    }

    /// Puts another in the place of the partition of its index.
    pub(super) fn replace_partition(&self, fresh: Arc<Partition>) {
        let mut partitions = self.partitions.write().unwrap_or_else(PoisonError::into_inner);
        let kept = |old: &Arc<Partition>| if old.index() == fresh.index() { &fresh } else { old }.clone();
        *partitions = partitions.iter().map(kept).collect();
    }

    pub(super) fn add_partitions(&self, added: Vec<Arc<Partition>>) {
        let mut partitions = self.partitions.write().unwrap_or_else(PoisonError::into_inner);
        *partitions = partitions.iter().cloned().chain(added).collect();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_refused_in_kafkas_words() {
        assert_eq!(check_name("a.b_c-D9"), Ok(()));
        assert_eq!(check_name(&"x".repeat(249)), Ok(()));
        assert!(check_name(&"x".repeat(250)).unwrap_err().ends_with("max allowed length 249"));
        assert_eq!(check_name("").unwrap_err(), "Topic name is invalid: the empty string is not allowed");
        for wrong in [".", "..", "a b", "ä", "a/b", "a\0"] {
            assert!(check_name(wrong).is_err(), "{wrong:?}");
        }
    }
}
