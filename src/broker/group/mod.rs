//! Consumer groups of the classic protocol, and committed offsets.
//!
//! `group` is one group: pure state, with `member`, `join`, `rebalance` and `timers` as its parts; time comes in, answers and
//! "write this" go out. `offsets` holds what a group committed. `record` knows Kafka's formats for both, `store` appends such
//! records to one partition of `__consumer_offsets`, reads them back, and keeps that log short. `shard` joins these: the groups
//! of one partition under one lock. `coordinator` ([`Groups`]) finds the shard of a group, makes the topic when first needed,
//! drives the timers; `rewrite` runs when a log has grown; `view` shows it all to metrics and admin.
//!
//! The log is the one truth: a commit is answered when its record is as durable as the flush mode has it. This room must not
//! know sessions or sockets; the handlers in `api/` translate requests.

pub mod config;
mod coordinator;
#[allow(clippy::module_inception, reason = "the folder is the room, the file its front door")]
mod group;
mod join;
mod member;
mod offsets;
mod rebalance;
#[allow(clippy::double_comparisons, reason = "a field that one version alone has is a range of one")]
mod record;
mod reply;
mod rewrite;
mod shard;
mod store;
#[cfg(test)]
mod tests;
mod timers;
mod view;

pub use config::GroupConfig;
pub use coordinator::Groups;
pub use group::{Group, Now, State};
pub(in crate::broker) use join::Join;
pub(in crate::broker) use member::Protocol;
pub use offsets::{CommittedOffset, Offsets};
pub(in crate::broker) use rebalance::Sync;
pub(in crate::broker) use record::MAX_STRING;
pub(in crate::broker) use reply::{after, client_host, deliver};
pub(in crate::broker) use shard::{Commit, Committer};
pub(in crate::broker) use store::append_error;
pub use view::{GroupView, OffsetView};
