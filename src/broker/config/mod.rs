//! What can be configured: of the broker ([`BrokerConfig`], [`Settings`]), of topics, of groups, and of the metrics that clients
//! push.

pub mod definition;
pub mod group;
mod kafka;
pub mod metrics;
pub mod server;
mod settings;
pub mod topic;

use std::collections::BTreeMap;
use std::sync::Arc;

pub use server::ServerConfigs;
pub use settings::Settings;
pub use topic::TopicConfig;

use super::Clock;
use super::loggers::SomeLoggers;
use super::scram::ScramStore;

/// What the broker is opened with.
#[derive(Debug, Clone)]
pub struct BrokerConfig {
    pub node_id: i32,
    /// Used when the data folder has none yet; without it a random one is made.
    pub cluster_id: Option<String>,
    /// Kafka's broker settings by name (`num.partitions`), as in a `server.properties`.
    pub properties: BTreeMap<String, String>,
    /// Settings of Kafka's that others of this process decide, to be shown: `listeners`.
    pub facts: BTreeMap<String, String>,
    pub loggers: SomeLoggers,
    pub clock: Clock,
    /// Who keeps the users that log in by SCRAM.
    pub scram: Option<Arc<dyn ScramStore>>,
}

impl Default for BrokerConfig {
    fn default() -> Self {
        BrokerConfig {
            node_id: 1,
            cluster_id: None,
            properties: BTreeMap::new(),
            facts: BTreeMap::new(),
            loggers: SomeLoggers::default(),
            clock: Clock::system(),
            scram: None,
        }
    }
}
