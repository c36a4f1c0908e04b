//! One handler an api. Each takes the request's body apart and answers; versions and gaps stand on top of each file.

pub(super) mod api_versions;
mod batch;
pub(super) mod create_topics;
pub(super) mod delete_groups;
pub(super) mod describe_groups;
pub(super) mod fetch;
pub(super) mod find_coordinator;
pub(super) mod heartbeat;
pub(super) mod join_group;
pub(super) mod leave_group;
pub(super) mod list_groups;
pub(super) mod list_offsets;
pub(super) mod metadata;
pub(super) mod offset_commit;
pub(super) mod offset_delete;
pub(super) mod offset_fetch;
pub(super) mod produce;
pub(super) mod sync_group;

/// What may be done to a topic, as bits of Kafka's operations: read, write, create, delete, alter, describe, describe and
/// alter configs. Without an authoriser of its own the broker says: everything.
const TOPIC_OPERATIONS: i32 = 3576;
/// Of the cluster: create, cluster action, describe, alter, describe and alter configs, idempotent write.
const CLUSTER_OPERATIONS: i32 = 8096;
/// In place of operations nobody asked about.
const NOT_ASKED: i32 = i32::MIN;
