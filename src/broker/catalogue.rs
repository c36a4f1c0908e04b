//! The topics: in memory for every request, in the key-value store for the next start.
//!
//! A log is named after the topic's id as well as its name, so that a topic created again never meets what its
//! namesake left. Logs are made before the catalogue knows them and removed after it has forgotten them: a crash in
//! between leaves logs nobody knows, which the next start removes.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard};

use serde::{Deserialize, Serialize};

use super::error::{ApiError, BrokerError};
use super::partition::Partition;
use super::topic::Topic;
use crate::storage::{KvOp, KvStore, LogConfig, Storage, StorageError};
use crate::wire::{ErrorCode, Str, Uuid};

const META: &str = "meta";
const TOPICS: &str = "topics";
const CLUSTER_ID: &[u8] = b"cluster.id";
const STARTS: &[u8] = b"starts";

/// What is to be created.
#[derive(Debug, Clone)]
pub struct NewTopic {
    pub name: Str,
    pub partitions: i32,
    /// By Kafka's names, validated.
    pub overrides: BTreeMap<String, String>,
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

/// All topics of the broker.
pub struct Catalogue {
    storage: Arc<Storage>,
    store: KvStore,
    cluster_id: Str,
    start: i32,
    topics: RwLock<Topics>,
    /// Held over a change from its checks to its end.
    changing: Mutex<()>,
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
}

impl Catalogue {
    /// Reads the catalogue and opens every log it names. Blocks on the disk, as do all changes.
    pub(super) fn open(storage: Arc<Storage>, cluster_id: Option<&str>) -> Result<Self, BrokerError> {
        let store = KvStore::open(&**storage.files(), catalogue_path(storage.dir()))?;
        let stored_id = store.get(META, CLUSTER_ID)?.map(|id| String::from_utf8_lossy(&id).into_owned());
        let cluster_id =
            stored_id.or(cluster_id.map(str::to_owned)).unwrap_or_else(|| Uuid::random().to_string());
        let start = match store.get(META, STARTS)? {
            None => 0,
            Some(bytes) => {
                let starts =
                    <[u8; 4]>::try_from(bytes.as_slice()).map_err(|_| damaged("starts", "not a number"))?;
                i32::from_be_bytes(starts).saturating_add(1)
            }
        };
        store.commit(vec![
            put(META, CLUSTER_ID, cluster_id.clone().into_bytes()),
            put(META, STARTS, start.to_be_bytes().to_vec()),
        ])?;
        let catalogue = Catalogue {
            storage,
            store,
            cluster_id: Str::from(cluster_id),
            start,
            topics: RwLock::default(),
            changing: Mutex::default(),
        };
        catalogue.load()?;
        Ok(catalogue)
    }

    fn load(&self) -> Result<(), BrokerError> {
        let mut entries = Vec::new();
        let mut logs = Vec::new();
        for (name, value) in self.store.scan(TOPICS)? {
            let name = String::from_utf8(name).map_err(|_| damaged("topics", "a name is not text"))?;
            let entry: Entry = serde_json::from_slice(&value)
                .map_err(|e| damaged(&format!("topic {name}"), &e.to_string()))?;
            let id = Uuid::parse(&entry.id)
                .ok_or_else(|| damaged(&format!("topic {name}"), &format!("{:?} is no id", entry.id)))?;
            for index in 0..entry.partitions {
                logs.push((log_name(&name, id, index), LogConfig::default()));
            }
            entries.push((name, id, entry));
        }
        let known: HashSet<&str> = logs.iter().map(|(name, _)| name.as_str()).collect();
        for orphan in self.storage.list_logs()?.into_iter().filter(|name| !known.contains(name.as_str())) {
            tracing::info!(log = orphan, "removing a log no topic has");
            self.storage.delete_log(&orphan).wait()?;
        }
        let mut opened = self.storage.open_logs(&logs).into_iter();
        let mut topics = self.write();
        for (name, id, entry) in entries {
            let mut partitions = Vec::new();
            for index in 0..entry.partitions {
                let log = opened.next().unwrap_or(Err(StorageError::Closed))?;
                partitions.push(Arc::new(Partition::new(index, self.leader_epoch(entry.created_in), log)));
            }
            topics.insert(Arc::new(Topic::new(Str::from(name), id, partitions, entry.configs)));
        }
        Ok(())
    }

    fn leader_epoch(&self, created_in: i32) -> i32 {
        self.start.saturating_sub(created_in).max(0)
    }

    fn read(&self) -> RwLockReadGuard<'_, Topics> {
        self.topics.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> std::sync::RwLockWriteGuard<'_, Topics> {
        self.topics.write().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn cluster_id(&self) -> &Str {
        &self.cluster_id
    }

    pub fn storage(&self) -> &Arc<Storage> {
        &self.storage
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

    /// Creates topics; each stands or falls on its own. Durable on return. Blocks on the disk. Names, counts and
    /// configs must have been checked; that the name is free is checked here.
    pub fn create(&self, wanted: Vec<NewTopic>) -> Vec<Result<Arc<Topic>, ApiError>> {
        let _change = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        wanted.into_iter().map(|topic| self.create_one(topic)).collect()
    }

    fn create_one(&self, wanted: NewTopic) -> Result<Arc<Topic>, ApiError> {
        if self.topic(&wanted.name).is_some() {
            let message = format!("Topic '{}' already exists.", wanted.name);
            return Err(ApiError::new(ErrorCode::TOPIC_ALREADY_EXISTS, message));
        }
        let (name, id) = (wanted.name.detached(), Uuid::random());
        let logs: Vec<_> =
            (0..wanted.partitions).map(|index| (log_name(&name, id, index), LogConfig::default())).collect();
        let logs: Result<Vec<_>, _> = self.storage.create_logs(&logs).into_iter().collect();
        let entry = Entry {
            id: id.to_string(),
            partitions: wanted.partitions,
            created_in: self.start,
            configs: wanted.overrides.clone(),
        };
        self.store.commit(vec![put(TOPICS, name.as_bytes(), encode(&entry)?)])?;
        let partitions =
            (0..).zip(logs?).map(|(index, log)| Arc::new(Partition::new(index, 0, log))).collect();
        let topic = Arc::new(Topic::new(name, id, partitions, wanted.overrides));
        self.write().insert(Arc::clone(&topic));
        Ok(topic)
    }
}

fn catalogue_path(dir: &Path) -> std::path::PathBuf {
    dir.join("catalogue.redb")
}

fn put(table: &'static str, key: &[u8], value: Vec<u8>) -> KvOp {
    KvOp::Put { table, key: key.to_vec(), value }
}

fn encode(entry: &Entry) -> Result<Vec<u8>, ApiError> {
    serde_json::to_vec(entry).map_err(|e| ApiError::new(ErrorCode::UNKNOWN_SERVER_ERROR, e.to_string()))
}

fn damaged(what: &str, problem: &str) -> BrokerError {
    BrokerError::Catalogue { what: what.to_owned(), problem: problem.to_owned() }
}

/// A folder name holds 255 bytes, a topic's name alone may take 249: the id keeps cut names apart.
fn log_name(topic: &str, id: Uuid, partition: i32) -> String {
    let name = topic.get(..200).unwrap_or(topic);
    format!("{name}-{partition}.{id}")
}
