//! The topics: in memory for every request, in the key-value store for the next start.
//!
//! A log is named after the topic's id as well as its name, so that a topic created again never meets what its
//! namesake left. Logs are made before the catalogue knows them, and are empty until it does; they are removed after it
//! has forgotten the topic, which it notes: a crash in between leaves logs that the next start removes (`orphans`).

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use serde::{Deserialize, Serialize};

use super::config::{BrokerConfig, ServerConfigs, Settings, TopicConfig};
use super::error::{ApiError, BrokerError};
use super::orphans;
use super::partition::Partition;
use super::topic::{Topic, TopicSettings, is_internal};
use crate::storage::{Completion, KvOp, KvStore, Log, LogConfig, Storage, StorageError};
use crate::wire::{ErrorCode, Str, Uuid};

const META: &str = "meta";
const TOPICS: &str = "topics";
const BROKER_CONFIGS: &str = "broker.configs";
const DEFAULT_BROKER_CONFIGS: &str = "broker.configs.default";
/// By id, the topics whose logs may not all be gone yet; the value is the name.
const DELETED_TOPICS: &str = "topics.deleted";
const CLUSTER_ID: &[u8] = b"cluster.id";
pub(super) const FILE: &str = "catalogue.redb";
const STARTS: &[u8] = b"starts";
const NEXT_PRODUCER_ID: &[u8] = b"next.producer.id";

/// Producer ids taken from the store at a time; those of a block not used up are lost at the next start.
const PRODUCER_ID_BLOCK: i64 = 1000;

/// What is to be created.
#[derive(Debug, Clone)]
pub struct NewTopic {
    pub name: Str,
    pub partitions: i32,
    /// Configs by Kafka's names, checked.
    pub overrides: BTreeMap<String, String>,
}

/// Which layer of the broker's settings is altered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServerLayer {
    ThisBroker,
    AllBrokers,
}

/// What the store says of a topic.
#[derive(Debug, Serialize, Deserialize)]
struct Entry {
    id: String,
    partitions: i32,
    /// The broker's start in which the topic was created: its leader epoch 0.
    created_in: i32,
    #[serde(default)]
    configs: BTreeMap<String, String>,
}

impl Entry {
    fn of(topic: &Topic, partitions: usize, configs: &BTreeMap<String, String>) -> Self {
        Entry {
            id: topic.id().to_string(),
            partitions: i32::try_from(partitions).unwrap_or(i32::MAX),
            created_in: topic.created_in(),
            configs: configs.clone(),
        }
    }

    fn put(&self, name: &str) -> Result<KvOp, ApiError> {
        let value = serde_json::to_vec(self)
            .map_err(|e| ApiError::new(ErrorCode::UNKNOWN_SERVER_ERROR, e.to_string()))?;
        Ok(put(TOPICS, name.as_bytes(), value))
    }
}

/// All topics of the broker, and its settings.
pub struct Catalogue {
    storage: Arc<Storage>,
    store: KvStore,
    cluster_id: Str,
    /// How often this broker was started before.
    start: i32,
    topics: RwLock<Topics>,
    server: RwLock<(Arc<ServerConfigs>, Arc<Settings>)>,
    /// Held over a change from its checks to its end.
    changing: Mutex<()>,
    /// Of deleted topics whose logs are gone: the next commit drops the note of them.
    removed: Mutex<Vec<Uuid>>,
    /// What the store should have been told at start and could not be. Until it is, nothing is appended: the leader
    /// epoch of this start would be given again by the next one.
    unrecorded: Mutex<Vec<KvOp>>,
    read_only: Arc<AtomicBool>,
}

#[derive(Default)]
struct Topics {
    by_name: HashMap<Str, Arc<Topic>>,
    by_id: HashMap<Uuid, Arc<Topic>>,
}

impl Topics {
    fn insert(&mut self, topic: Arc<Topic>) {
        self.by_id.insert(topic.id(), Arc::clone(&topic));
        self.by_name.insert(topic.name().clone(), topic);
    }

    fn remove(&mut self, topic: &Topic) {
        self.by_id.remove(&topic.id());
        self.by_name.remove(topic.name());
    }
}

impl Catalogue {
    /// Reads the catalogue and opens every log it names. Blocks on the disk, as do all changes.
    pub(super) fn open(storage: Arc<Storage>, config: &BrokerConfig) -> Result<Self, BrokerError> {
        let mut server = ServerConfigs::default();
        for (name, value) in &config.properties {
            server
                .set_static(name, value)
                .map_err(|problem| BrokerError::Config { name: name.clone(), problem })?;
        }
        server.set_fact("broker.id", config.node_id);
        server.set_fact("node.id", config.node_id);
        server.set_fact("log.dirs", storage.dir().display());
        let interval = storage.config().maintenance_interval.as_millis();
        server.set_fact("log.retention.check.interval.ms", interval);

        orphans::refuse_without_catalogue(&storage)?;
        let store = KvStore::open(&**storage.files(), storage.dir().join(FILE))?;
        server.dynamic = read_configs(&store, BROKER_CONFIGS)?;
        server.dynamic_default = read_configs(&store, DEFAULT_BROKER_CONFIGS)?;
        let cluster_id = match store.get(META, CLUSTER_ID)? {
            Some(id) => String::from_utf8(id).map_err(|_| damaged("cluster id", "it is not text"))?,
            None => config.cluster_id.clone().unwrap_or_else(|| Uuid::random().to_string()),
        };
        let start = match store.get(META, STARTS)? {
            None => 0,
            Some(bytes) => {
                let before: [u8; 4] =
                    bytes.try_into().map_err(|_| damaged("count of starts", "it is no number"))?;
                i32::from_be_bytes(before).saturating_add(1)
            }
        };
        let begun = vec![
            put(META, CLUSTER_ID, cluster_id.clone().into_bytes()),
            put(META, STARTS, start.to_be_bytes().to_vec()),
        ];
        let unrecorded = match store.commit(begun.clone()) {
            Ok(()) => Vec::new(),
            // What is there can be read at least.
            Err(error) if start > 0 && error.is_storage_failure() => {
                tracing::error!(
                    %error,
                    "the catalogue cannot be written: records are served, but none are taken until it can; is the disk full?"
                );
                begun
            }
            Err(error) => return Err(error.into()),
        };
        let settings = Arc::new(Settings::new(&server));
        let catalogue = Catalogue {
            storage,
            store,
            cluster_id: Str::from(cluster_id),
            start,
            topics: RwLock::default(),
            server: RwLock::new((Arc::new(server), settings)),
            changing: Mutex::default(),
            removed: Mutex::default(),
            read_only: Arc::new(AtomicBool::new(!unrecorded.is_empty())),
            unrecorded: Mutex::new(unrecorded),
        };
        catalogue.load()?;
        Ok(catalogue)
    }

    fn load(&self) -> Result<(), BrokerError> {
        let server = self.server_configs();
        let mut entries = Vec::new();
        let mut logs = Vec::new();
        for (name, value) in self.store.scan(TOPICS)? {
            let name = String::from_utf8(name).map_err(|_| damaged("topics", "a name is not text"))?;
            let entry: Entry = serde_json::from_slice(&value)
                .map_err(|e| damaged(&format!("topic {name}"), &e.to_string()))?;
            let id = Uuid::parse(&entry.id)
                .ok_or_else(|| damaged(&format!("topic {name}"), &format!("{:?} is no id", entry.id)))?;
            let config = TopicConfig::new(&entry.configs, &server);
            logs.extend(log_names(&name, id, 0, entry.partitions, &config.log));
            entries.push((name, id, entry, config));
        }
        let known: HashSet<&str> = logs.iter().map(|(name, _)| name.as_str()).collect();
        let deleted = self.store.scan(DELETED_TOPICS)?;
        let deleted: Vec<String> =
            deleted.into_iter().filter_map(|(id, _)| String::from_utf8(id).ok()).collect();
        if orphans::settle(&self.storage, &known, &deleted)? {
            let removed = deleted.iter().filter_map(|id| Uuid::parse(id));
            self.removed.lock().unwrap_or_else(PoisonError::into_inner).extend(removed);
        }
        let opened = self.storage.open_logs(&logs).into_iter().zip(&logs);
        // One that is missing costs its partition, not the start.
        let mut opened = opened.map(|(opened, (name, config))| match opened {
            Err(StorageError::Closed) => Err(StorageError::Closed),
            Err(cause) => self.storage.offline_log(name, config.clone(), cause),
            opened => opened,
        });
        let mut topics = self.write();
        let mut in_order = true;
        for (name, id, entry, config) in entries {
            let logs: Result<Vec<_>, _> = opened.by_ref().take(count(entry.partitions)).collect();
            let partitions = partitions(0, self.leader_epoch(entry.created_in), logs?);
            let settings = TopicSettings { overrides: entry.configs, config };
            in_order &= partitions.iter().all(|partition| partition.log().offline().is_none());
            topics.insert(Arc::new(Topic::new(Str::from(name), id, entry.created_in, partitions, settings)));
        }
        if in_order {
            self.storage.note_boot();
        }
        Ok(())
    }

    /// Grows by one with every start, as Kafka's does when a node comes back and leads again: a client that read what
    /// a crash took away learns of it by the epoch.
    fn leader_epoch(&self, created_in: i32) -> i32 {
        self.start.saturating_sub(created_in).max(0)
    }

    fn read(&self) -> RwLockReadGuard<'_, Topics> {
        self.topics.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Topics> {
        self.topics.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self) -> MutexGuard<'_, ()> {
        self.changing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn cluster_id(&self) -> &Str {
        &self.cluster_id
    }

    pub fn storage(&self) -> &Arc<Storage> {
        &self.storage
    }

    /// The settings in force.
    pub fn settings(&self) -> Arc<Settings> {
        Arc::clone(&self.server.read().unwrap_or_else(PoisonError::into_inner).1)
    }

    pub fn server_configs(&self) -> Arc<ServerConfigs> {
        Arc::clone(&self.server.read().unwrap_or_else(PoisonError::into_inner).0)
    }

    pub fn topic(&self, name: &str) -> Option<Arc<Topic>> {
        self.read().by_name.get(name.as_bytes()).cloned()
    }

    pub fn topic_by_id(&self, id: Uuid) -> Option<Arc<Topic>> {
        self.read().by_id.get(&id).cloned()
    }

    /// All topics, in no order.
    pub fn topics(&self) -> Vec<Arc<Topic>> {
        self.read().by_name.values().cloned().collect()
    }

    pub fn topic_count(&self) -> usize {
        self.read().by_name.len()
    }

    /// Whether a topic may take this name.
    pub fn check_free(&self, name: &str) -> Result<(), ApiError> {
        let topics = self.read();
        if topics.by_name.contains_key(name.as_bytes()) {
            let message = format!("Topic '{name}' already exists.");
            return Err(ApiError::new(ErrorCode::TOPIC_ALREADY_EXISTS, message));
        }
        // Kafka's metrics write dots as underscores, so it keeps such names apart.
        if name.contains(['.', '_']) {
            let plain = name.replace('.', "_");
            let collides = |other: &&Str| other.len() == plain.len() && other.replace('.', "_") == plain;
            if let Some(other) = topics.by_name.keys().find(collides) {
                let message = format!("Topic '{name}' collides with existing topic: {other}");
                return Err(ApiError::new(ErrorCode::INVALID_TOPIC_EXCEPTION, message));
            }
        }
        Ok(())
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
                let made = Topic::new(topic.name.detached(), id, self.start, partitions, settings);
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

    /// A block of producer ids that nobody has had or will have, whatever happens. Blocks on the disk.
    pub fn take_producer_ids(&self) -> Result<Range<i64>, BrokerError> {
        let _change = self.change();
        let first = match self.store.get(META, NEXT_PRODUCER_ID)? {
            None => 0,
            Some(bytes) => i64::from_be_bytes(
                bytes.try_into().map_err(|_| damaged("next producer id", "it is no number"))?,
            ),
        };
        let end = first
            .checked_add(PRODUCER_ID_BLOCK)
            .ok_or_else(|| damaged("next producer id", "there are none left"))?;
        self.commit(vec![put(META, NEXT_PRODUCER_ID, end.to_be_bytes().to_vec())])?;
        Ok(first..end)
    }

    fn commit(&self, mut changes: Vec<KvOp>) -> Result<(), StorageError> {
        if changes.is_empty() {
            return Ok(());
        }
        let mut unrecorded = self.unrecorded.lock().unwrap_or_else(PoisonError::into_inner);
        changes.extend(unrecorded.iter().cloned());
        let mut removed = self.removed.lock().unwrap_or_else(PoisonError::into_inner);
        let note = |id: &Uuid| KvOp::Delete { table: DELETED_TOPICS, key: id.to_string().into_bytes() };
        changes.extend(removed.iter().map(note));
        self.store.commit(changes)?;
        removed.clear();
        if !unrecorded.is_empty() {
            unrecorded.clear();
            self.read_only.store(false, Ordering::Release);
            tracing::info!("the catalogue can be written again: records are taken");
        }
        Ok(())
    }

    /// True from a start on a disk that takes no writes until it takes them: nothing may be appended.
    pub fn is_read_only(&self) -> bool {
        self.read_only.load(Ordering::Acquire)
    }

    /// [`Catalogue::is_read_only`] for who appends by himself.
    pub(super) fn read_only(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.read_only)
    }

    /// Looks whether the disk takes writes again. Blocks on it.
    pub(super) fn try_to_write(&self) {
        let _change = self.change();
        let unrecorded = self.unrecorded.lock().unwrap_or_else(PoisonError::into_inner).clone();
        // The start has said what is wrong.
        let _ = self.commit(unrecorded);
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

fn put(table: &'static str, key: &[u8], value: Vec<u8>) -> KvOp {
    KvOp::Put { table, key: key.to_vec(), value }
}

fn read_configs(store: &KvStore, table: &str) -> Result<BTreeMap<String, String>, BrokerError> {
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).map_err(|_| damaged(table, "a value is not text"));
    store.scan(table)?.into_iter().map(|(name, value)| Ok((text(name)?, text(value)?))).collect()
}

fn damaged(what: &str, problem: &str) -> BrokerError {
    BrokerError::Catalogue { what: what.to_owned(), problem: problem.to_owned() }
}

fn count(partitions: i32) -> usize {
    usize::try_from(partitions).unwrap_or(0)
}

fn partitions(first: i32, leader_epoch: i32, logs: Vec<Arc<Log>>) -> Vec<Arc<Partition>> {
    (first..).zip(logs).map(|(index, log)| Arc::new(Partition::new(index, leader_epoch, log))).collect()
}

fn log_names(topic: &str, id: Uuid, first: i32, end: i32, config: &LogConfig) -> Vec<(String, LogConfig)> {
    (first..end).map(|partition| (log_name(topic, id, partition), config.clone())).collect()
}

/// A folder name holds 255 bytes, a topic's name alone may take 249: the id keeps cut names apart.
fn log_name(topic: &str, id: Uuid, partition: i32) -> String {
    let name = topic.get(..200).unwrap_or(topic);
    format!("{name}-{partition}.{id}")
}
