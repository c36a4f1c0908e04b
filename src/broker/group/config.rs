//! Settings of the group coordinator. Names and defaults are Kafka's, save for the limits Kafka leaves open.

/// What can be set about groups and committed offsets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupConfig {
    /// `group.min.session.timeout.ms`
    pub min_session_timeout_ms: i32,
    /// `group.max.session.timeout.ms`
    pub max_session_timeout_ms: i32,
    /// `group.initial.rebalance.delay.ms`: how long an empty group waits for more members after the first.
    pub initial_rebalance_delay_ms: i32,
    /// `group.max.size`: members of one group. Kafka's default is no limit.
    pub max_size: usize,
    /// How long a member that joins for the first time may wait for the others (five minutes in Kafka, not settable there).
    pub new_member_join_timeout_ms: i32,
    /// `offset.metadata.max.bytes`, in UTF-16 units as Kafka counts them.
    pub offset_metadata_max_size: usize,
    /// `offsets.retention.minutes`, in milliseconds.
    pub offsets_retention_ms: i64,
    /// `offsets.retention.check.interval.ms`
    pub offsets_retention_check_interval_ms: i64,
    /// `offsets.topic.num.partitions`, used when the topic is made. Kafka's default of 50 spreads groups over brokers;
    /// here there is one, and every log more is a sync that cannot be shared, a descriptor, and a file to replay at start.
    pub offsets_topic_num_partitions: i32,
    /// `offsets.topic.segment.bytes`. Smaller than Kafka's 100 MB: space is given back by whole segments.
    pub offsets_topic_segment_bytes: u32,
    /// Groups in all, the empty ones included.
    pub max_groups: usize,
    /// Subscriptions and assignments of one group, in bytes.
    pub max_group_bytes: usize,
    /// Memory for all groups and committed offsets, in bytes, by estimate.
    pub max_bytes: usize,
    /// A partition of the offsets topic is rewritten when it holds this many bytes more than four times what is live in it.
    pub rewrite_after_bytes: u64,
}

impl Default for GroupConfig {
    fn default() -> Self {
        GroupConfig {
            min_session_timeout_ms: 6_000,
            max_session_timeout_ms: 1_800_000,
            initial_rebalance_delay_ms: 3_000,
            max_size: 10_000,
            new_member_join_timeout_ms: 300_000,
            offset_metadata_max_size: 4096,
            offsets_retention_ms: 10_080 * 60_000,
            offsets_retention_check_interval_ms: 600_000,
            offsets_topic_num_partitions: 8,
            offsets_topic_segment_bytes: 8 << 20,
            max_groups: 100_000,
            max_group_bytes: 8 << 20,
            max_bytes: 512 << 20,
            rewrite_after_bytes: 4 << 20,
        }
    }
}
