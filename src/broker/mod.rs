//! The embedded broker: what a single Kafka 4.4 node does with a request, over the durable log.
//!
//! `broker.rs` is the door: [`Broker::handle`] takes a request and gives a [`Reply`]. `route.rs` says which api goes to
//! which handler, and ApiVersions is derived from it; `api/` holds one handler an api, with the versions and what is not
//! implemented on top. `catalogue/` knows the topics and keeps them durably, `topic.rs` and `partition.rs` are what a
//! handler works on, `producer_state.rs` makes retries harmless, `fetch_session.rs` and `fetch_wait.rs` serve
//! consumers, `config/` defines what can be configured, `resources.rs` keeps the configs of groups and client
//! metrics, `loggers.rs` is the border to what the process logs, `quota/` measures what clients use, `group/` coordinates consumer groups.
//!
//! The room knows `wire` and `storage`. It must not know sockets, sessions of clients beyond the [`Context`] it is
//! given, policies, or that a gateway stands before it.

pub mod acl;
mod api;
#[allow(clippy::module_inception, reason = "the folder is the room, the file its front door")]
mod broker;
pub mod catalogue;
mod clock;
pub mod config;
mod context;
mod error;
mod features;
mod fetch_session;
mod fetch_wait;
pub mod group;
mod log_limit;
pub mod loggers;
mod maintenance;
mod orphans;
pub mod partition;
mod producer_snapshot;
mod producer_state;
pub mod quota;
mod resources;
mod route;
pub mod scram;
mod telemetry;
pub mod topic;
mod truncate;
mod view;

pub use broker::Broker;
pub use clock::{Clock, ManualClock};
pub use config::BrokerConfig;
pub use context::{Context, Reply, ReplyTo};
pub use error::{ApiError, BrokerError};
pub use view::{BrokerView, PartitionView};
