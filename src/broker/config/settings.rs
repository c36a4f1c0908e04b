//! The broker's settings in force, typed. Named as Kafka names them, defaults Kafka's.

use super::server::ServerConfigs;

macro_rules! settings {
    ($($(#[doc = $doc:literal])* $field:ident: $kind:ty = $name:literal;)*) => {
        /// A snapshot: whoever needs the latest asks for it again.
        #[derive(Debug, Clone, PartialEq)]
        pub struct Settings { $($(#[doc = $doc])* #[doc = concat!("`", $name, "`")] pub $field: $kind,)* }

        impl Settings {
            pub fn new(configs: &ServerConfigs) -> Self {
                Settings { $($field: value(configs, $name),)* }
            }
        }

        #[cfg(test)]
        const NAMES: &[&str] = &[$($name),*];
    };
}

settings! {
    auto_create_topics_enable: bool = "auto.create.topics.enable";
    delete_topic_enable: bool = "delete.topic.enable";
    num_partitions: i32 = "num.partitions";
    fetch_max_bytes: i32 = "fetch.max.bytes";
    max_incremental_fetch_session_cache_slots: i32 = "max.incremental.fetch.session.cache.slots";
    producer_id_expiration_ms: i32 = "producer.id.expiration.ms";
    producer_id_expiration_check_interval_ms: i32 = "producer.id.expiration.check.interval.ms";
    group_min_session_timeout_ms: i32 = "group.min.session.timeout.ms";
    group_max_session_timeout_ms: i32 = "group.max.session.timeout.ms";
    group_initial_rebalance_delay_ms: i32 = "group.initial.rebalance.delay.ms";
    group_max_size: i32 = "group.max.size";
    offset_metadata_max_bytes: i32 = "offset.metadata.max.bytes";
    offsets_retention_minutes: i32 = "offsets.retention.minutes";
    offsets_retention_check_interval_ms: i64 = "offsets.retention.check.interval.ms";
    offsets_topic_num_partitions: i32 = "offsets.topic.num.partitions";
    offsets_topic_segment_bytes: i32 = "offsets.topic.segment.bytes";
    quota_window_num: i32 = "quota.window.num";
    quota_window_size_seconds: i32 = "quota.window.size.seconds";
    controller_quota_window_num: i32 = "controller.quota.window.num";
    controller_quota_window_size_seconds: i32 = "controller.quota.window.size.seconds";
}

impl Default for Settings {
    fn default() -> Self {
        Settings::new(&ServerConfigs::default())
    }
}

/// Values were checked when they were set, and every setting here has a default (a test sees to it).
fn value<T: std::str::FromStr + Default>(configs: &ServerConfigs, name: &str) -> T {
    configs.value(name).and_then(|text| text.trim().to_ascii_lowercase().parse().ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::config::server::definition;

    #[test]
    fn every_setting_has_a_definition_with_a_default() {
        for name in NAMES {
            assert!(definition(name).is_some_and(|d| d.default.is_some()), "{name}");
        }
        let settings = Settings::default();
        assert!(settings.auto_create_topics_enable);
        assert_eq!((settings.num_partitions, settings.offsets_retention_check_interval_ms), (1, 600_000));
    }
}
