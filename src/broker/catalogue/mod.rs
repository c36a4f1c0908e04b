//! The topics: in memory for every request, in the key-value store for the next start.
//!
//! A log is named after the topic's id as well as its name, so that a topic created again never meets what its
//! namesake left. Logs are made before the catalogue knows them, and are empty until it does; they are removed after it
//! has forgotten the topic, which it notes: a crash in between leaves logs that the next start removes (`orphans`).
//!
//! This file opens and reads, `change.rs` creates, deletes and alters, `records.rs` is the store itself, for what
//! other files of the room keep there.

mod change;
mod records;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use serde::{Deserialize, Serialize};

use super::config::server::ONE_NODE;
use super::config::{BrokerConfig, ServerConfigs, Settings, TopicConfig};
use super::error::{ApiError, BrokerError};
use super::orphans;
use super::partition::Partition;
use super::topic::{Topic, TopicSettings};
use crate::storage::{KvOp, KvStore, Log, LogConfig, Storage, StorageError};
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
    start: AtomicI32,
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
    /// Commits since the start: what stands for the end of Kafka's metadata log.
    changes: AtomicI64,
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
        for (name, value) in &config.facts {
            server.set_fact(name, value);
        }
        server.set_fact("broker.id", config.node_id);
        server.set_fact("node.id", config.node_id);
        for (name, value) in ONE_NODE {
            server.set_fact(name, value);
        }
        let dir = std::path::absolute(storage.dir()).unwrap_or_else(|_| storage.dir().to_owned());
        server.set_fact("log.dirs", dir.display());
        let interval = storage.config().maintenance_interval.as_millis();
        server.set_fact("log.retention.check.interval.ms", interval);

        orphans::refuse_without_catalogue(&storage)?;
        let store = KvStore::open(&**storage.files(), storage.dir().join(FILE))?;
        server.dynamic = read_configs(&store, BROKER_CONFIGS)?;
        server.dynamic_default = read_configs(&store, DEFAULT_BROKER_CONFIGS)?;
        // As Kafka's controller does, which keeps this count for the whole cluster (KIP-966).
        if let Some(count) = server.value("min.insync.replicas") {
            server.dynamic_default.entry("min.insync.replicas".to_owned()).or_insert(count);
        }
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
            start: AtomicI32::new(start),
            topics: RwLock::default(),
            server: RwLock::new((Arc::new(server), settings)),
            changing: Mutex::default(),
            removed: Mutex::default(),
            read_only: Arc::new(AtomicBool::new(!unrecorded.is_empty())),
            unrecorded: Mutex::new(unrecorded),
            changes: AtomicI64::new(1),
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
        self.starts().saturating_sub(created_in).max(0)
    }

    fn read(&self) -> RwLockReadGuard<'_, Topics> {
        self.topics.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Topics> {
        self.topics.write().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn change(&self) -> MutexGuard<'_, ()> {
        self.changing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn cluster_id(&self) -> &Str {
        &self.cluster_id
    }

    /// How often this broker was started before, or lost records on purpose.
    pub(super) fn starts(&self) -> i32 {
        self.start.load(Ordering::Relaxed)
    }

    /// Changes since this start, the note of the start itself among them.
    pub(super) fn changes(&self) -> i64 {
        self.changes.load(Ordering::Relaxed)
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

    /// The topic and partition whose log has this name.
    pub fn owner(&self, log: &str) -> Option<(Str, i32)> {
        let (name, id) = log.rsplit_once('.')?;
        let (name, partition) = name.rsplit_once('-')?;
        let partition = partition.parse().ok()?;
        if name.len() < CUT {
            return Some((Str::from(name.to_owned()), partition));
        }
        let topics = self.read();
        let mut long = topics.by_id.iter().filter(|(_, topic)| topic.name().starts_with(name));
        let (_, topic) = long.find(|(known, _)| known.to_string() == id)?;
        Some((topic.name().clone(), partition))
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

/// Longest part of a topic's name that the name of its log has.
const CUT: usize = 200;

/// A folder name holds 255 bytes, a topic's name alone may take 249: the id keeps cut names apart.
fn log_name(topic: &str, id: Uuid, partition: i32) -> String {
    let name = topic.get(..CUT).unwrap_or(topic);
    format!("{name}-{partition}.{id}")
}
