//! Changes of the topics and of the broker's settings: checked, durable and in force on return. All block on the disk.

use std::collections::{BTreeMap, HashSet};
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use super::{
    BROKER_CONFIGS, Catalogue, DEFAULT_BROKER_CONFIGS, DELETED_TOPICS, Entry, META, NewTopic, STARTS,
    ServerLayer, TOPICS, count, log_names, partitions, put,
};
use crate::broker::config::{Settings, TopicConfig};
use crate::broker::error::ApiError;
use crate::broker::partition::Partition;
use crate::broker::producer_snapshot;
use crate::broker::topic::{Topic, TopicSettings, is_internal};
use crate::storage::{Completion, KvOp, Log, StorageError};
use crate::wire::{ErrorCode, Uuid};

impl Catalogue {
    /// Has a partition whose log was truncated led again by what is left, in a later epoch, which it gives. Blocks on the
    /// disk.
    pub(in crate::broker) fn lead_again(
        &self,
        topic: &Arc<Topic>,
        old: &Arc<Partition>,
        now_ms: i64,
    ) -> Result<i32, StorageError> {
        let _change = self.change();
        if topic.is_deleted() {
            return Err(StorageError::LogNotFound(old.log().name().into()));
        }
        // No later start may give this epoch again, which is why it counts as one.
        let start = self.starts().saturating_add(1);
        self.commit(vec![put(META, STARTS, start.to_be_bytes().to_vec())])?;
        self.start.store(start, Ordering::Relaxed);
        let log = self.storage.reopen_log(old.log())?;
        let epoch = self.leader_epoch(topic.created_in());
        let led = Arc::new(Partition::new(old.index(), epoch, log));
        producer_snapshot::forget(&self.storage)?;
        producer_snapshot::recall(&led, now_ms)?;
        topic.replace_partition(led);
        Ok(epoch)
    }

    /// Creates topics; each stands or falls on its own. Durable on return. Blocks on the disk. Names, counts and
    /// configs must have been checked; that the name is free is checked here.
    pub fn create(&self, wanted: Vec<NewTopic>) -> Vec<Result<Arc<Topic>, ApiError>> {
        let _change = self.change();
        let server = self.server_configs();
        let mut plans: Vec<Result<(NewTopic, Uuid, TopicConfig), ApiError>> = Vec::new();
        let mut logs = Vec::new();
        let mut names = HashSet::new();
        for mut topic in wanted {
            if is_internal(&topic.name) {
                topic.overrides.entry("cleanup.policy".to_owned()).or_insert_with(|| "compact".to_owned());
            }
            let free = self.check_free(&topic.name).and_then(|()| match names.insert(topic.name.clone()) {
                true => Ok(()),
                false => Err(ApiError::from(ErrorCode::TOPIC_ALREADY_EXISTS)),
            });
            plans.push(free.map(|()| {
                let (id, config) = (Uuid::random(), TopicConfig::new(&topic.overrides, &server));
                logs.extend(log_names(&topic.name, id, 0, topic.partitions, &config.log));
                (topic, id, config)
            }));
        }
        let mut created = self.storage.create_logs(&logs).into_iter();
        let mut changes = Vec::new();
        let made: Vec<Result<Arc<Topic>, ApiError>> = plans
            .into_iter()
            .map(|plan| {
                let (topic, id, config) = plan?;
                // All of this topic's, so that the next one finds its own.
                let logs = created.by_ref().take(count(topic.partitions)).collect();
                let logs = self.all_or_none(logs)?;
                let settings = TopicSettings { overrides: topic.overrides, config };
                let partitions = partitions(0, 0, logs);
                let made = Topic::new(topic.name.detached(), id, self.starts(), partitions, settings);
                let entry = Entry::of(&made, made.partition_count(), &made.settings().overrides);
                changes.push(entry.put(made.name())?);
                Ok(Arc::new(made))
            })
            .collect();
        if let Err(error) = self.commit(changes) {
            self.undo(&made.iter().flatten().cloned().collect::<Vec<_>>());
            return made.into_iter().map(|topic| topic.and_then(|_| Err(error.clone().into()))).collect();
        }
        let mut topics = self.write();
        for topic in made.iter().flatten() {
            topics.insert(Arc::clone(topic));
        }
        made
    }

    /// Deletes topics. Durable on return; the logs follow.
    pub fn delete(&self, topics: &[Arc<Topic>]) -> Result<(), StorageError> {
        let _change = self.change();
        let gone = |topic: &Topic| KvOp::Delete { table: TOPICS, key: topic.name().as_bytes().to_vec() };
        // One that is not what its name says any more was deleted meanwhile.
        let topics: Vec<_> = topics.iter().filter(|topic| self.topic_by_id(topic.id()).is_some()).collect();
        let noted = |topic: &Topic| {
            put(DELETED_TOPICS, topic.id().to_string().as_bytes(), topic.name().as_bytes().to_vec())
        };
        self.commit(topics.iter().flat_map(|topic| [gone(topic), noted(topic)]).collect())?;
        {
            let mut known = self.write();
            for topic in &topics {
                topic.set_deleted();
                known.remove(topic);
            }
        }
        let removals: Vec<_> = topics.iter().map(|topic| (topic.id(), self.delete_logs(topic))).collect();
        for (id, removals) in removals {
            if wait_for_removals(removals) {
                self.removed.lock().unwrap_or_else(PoisonError::into_inner).push(id);
            }
        }
        Ok(())
    }

    fn delete_logs(&self, topic: &Topic) -> Vec<Completion<()>> {
        let partitions = topic.partitions();
        partitions.iter().map(|partition| self.storage.delete_log(partition.log().name())).collect()
    }

    /// Grows a topic to `partitions`. Durable on return.
    pub fn add_partitions(&self, topic: &Arc<Topic>, wanted: i32) -> Result<(), ApiError> {
        let _change = self.change();
        if self.topic_by_id(topic.id()).is_none() {
            return Err(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION.into());
        }
        let now = i32::try_from(topic.partition_count()).unwrap_or(i32::MAX);
        if wanted <= now {
            let message = format!("Topic already has {now} partition(s).");
            return Err(ApiError::new(ErrorCode::INVALID_PARTITIONS, message));
        }
        let settings = topic.settings();
        let logs = log_names(topic.name(), topic.id(), now, wanted, &settings.config.log);
        let logs = self.all_or_none(self.storage.create_logs(&logs))?;
        let added = partitions(now, self.leader_epoch(topic.created_in()), logs.clone());
        let entry = |partitions| Entry::of(topic, partitions, &settings.overrides).put(topic.name());
        if let Err(error) = self.commit(vec![entry(count(wanted))?]) {
            // The commit may have got through all the same: the logs go only when it has surely not.
            if self.commit(vec![entry(count(now))?]).is_ok() || self.entry_has(topic, now) {
                wait_for_removals(logs.iter().map(|log| self.storage.delete_log(log.name())).collect());
            }
            return Err(error.into());
        }
        topic.add_partitions(added);
        Ok(())
    }

    /// Whether the store surely says that the topic has so many partitions.
    fn entry_has(&self, topic: &Topic, partitions: i32) -> bool {
        let stored = self.store.get(TOPICS, topic.name().as_bytes());
        let entry = stored.ok().flatten().and_then(|value| serde_json::from_slice::<Entry>(&value).ok());
        entry.is_some_and(|entry| entry.partitions == partitions)
    }

    /// Logs just made, unless one of them could not be: then the others go.
    fn all_or_none(&self, made: Vec<Result<Arc<Log>, StorageError>>) -> Result<Vec<Arc<Log>>, StorageError> {
        let mut logs = Vec::with_capacity(made.len());
        let mut failure = None;
        for log in made {
            match log {
                Ok(log) => logs.push(log),
                Err(error) => failure = failure.or(Some(error)),
            }
        }
        let Some(error) = failure else { return Ok(logs) };
        wait_for_removals(logs.iter().map(|log| self.storage.delete_log(log.name())).collect());
        Err(error)
    }

    /// Replaces a topic's configs by what `alter` makes of them. Durable and in force on return.
    pub fn alter_topic(
        &self,
        topic: &Arc<Topic>,
        alter: impl FnOnce(&mut BTreeMap<String, String>) -> Result<(), ApiError>,
    ) -> Result<(), ApiError> {
        let _change = self.change();
        if self.topic_by_id(topic.id()).is_none() {
            return Err(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION.into());
        }
        let mut overrides = topic.settings().overrides.clone();
        alter(&mut overrides)?;
        self.commit(vec![Entry::of(topic, topic.partition_count(), &overrides).put(topic.name())?])?;
        let config = TopicConfig::new(&overrides, &self.server_configs());
        topic.set_settings(TopicSettings { overrides, config });
        Ok(())
    }

    /// Replaces the broker's settings of a layer by what `alter` makes of them. Durable and in force on return.
    pub fn alter_server(
        &self,
        layer: ServerLayer,
        alter: impl FnOnce(&mut BTreeMap<String, String>) -> Result<(), ApiError>,
    ) -> Result<(), ApiError> {
        let _change = self.change();
        let mut server = (*self.server_configs()).clone();
        let (values, table) = match layer {
            ServerLayer::ThisBroker => (&mut server.dynamic, BROKER_CONFIGS),
            ServerLayer::AllBrokers => (&mut server.dynamic_default, DEFAULT_BROKER_CONFIGS),
        };
        let before = values.clone();
        alter(values)?;
        let mut changes: Vec<KvOp> = before
            .keys()
            .filter(|name| !values.contains_key(*name))
            .map(|name| KvOp::Delete { table, key: name.as_bytes().to_vec() })
            .collect();
        changes.extend(
            values.iter().map(|(name, value)| put(table, name.as_bytes(), value.as_bytes().to_vec())),
        );
        self.commit(changes)?;
        let server = Arc::new(server);
        let settings = Arc::new(Settings::new(&server));
        *self.server.write().unwrap_or_else(PoisonError::into_inner) = (Arc::clone(&server), settings);
        for topic in self.topics() {
            let overrides = topic.settings().overrides.clone();
            let config = TopicConfig::new(&overrides, &server);
            topic.set_settings(TopicSettings { overrides, config });
        }
        Ok(())
    }

    /// Removes what was made for topics of which the store could not be told.
    fn undo(&self, topics: &[Arc<Topic>]) {
        // A commit that failed may have got through all the same.
        let told = |topic: &&Arc<Topic>| !matches!(self.store.get(TOPICS, topic.name().as_bytes()), Ok(None));
        let forget =
            |topic: &Arc<Topic>| KvOp::Delete { table: TOPICS, key: topic.name().as_bytes().to_vec() };
        if self.commit(topics.iter().filter(told).map(forget).collect()).is_err() {
            return;
        }
        let removals = topics.iter().flat_map(|topic| self.delete_logs(topic)).collect();
        wait_for_removals(removals);
    }
}

/// Waits until these logs are gone; those that cannot be removed are left to the next start.
fn wait_for_removals(removals: Vec<Completion<()>>) -> bool {
    let mut all = true;
    for removal in removals {
        if let Err(error) = removal.wait() {
            tracing::warn!(%error, "a log of no topic could not be removed; the next start tries again");
            all = false;
        }
    }
    all
}
