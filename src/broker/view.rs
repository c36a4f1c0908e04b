//! What metrics and the admin address may see of the broker: figures from memory, as many as are asked for.

use super::broker::Broker;
use crate::wire::Str;

/// One partition, at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionView {
    pub topic: Str,
    pub partition: i32,
    pub leader_epoch: i32,
    pub log_start_offset: i64,
    pub high_watermark: i64,
    /// Appended, committed or not.
    pub log_end_offset: i64,
    pub size_bytes: u64,
    /// Idempotent producers whose last batches are remembered.
    pub producers: usize,
    /// Why it serves no more.
    pub offline: Option<String>,
}

/// The partitions of a broker, by topic name and index.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BrokerView {
    pub topics: usize,
    /// All there are, however few are shown.
    pub partitions: usize,
    pub shown: Vec<PartitionView>,
}

impl Broker {
    /// What clients pushed of their own metrics since the start: pushes with something in them, and their bytes.
    pub fn client_telemetry(&self) -> (u64, u64) {
        self.telemetry.taken()
    }

    /// At most `limit` partitions.
    pub fn view(&self, limit: usize) -> BrokerView {
        let mut topics = self.catalogue().topics();
        topics.sort_unstable_by(|a, b| a.name().cmp(b.name()));
        let mut view = BrokerView { topics: topics.len(), ..BrokerView::default() };
        for topic in topics {
            let partitions = topic.partitions();
            view.partitions += partitions.len();
            for partition in partitions.iter().take(limit.saturating_sub(view.shown.len())) {
                let log = partition.log();
                view.shown.push(PartitionView {
                    topic: topic.name().clone(),
                    partition: partition.index(),
                    leader_epoch: partition.leader_epoch(),
                    log_start_offset: log.log_start_offset(),
                    high_watermark: log.high_watermark(),
                    log_end_offset: log.log_end_offset(),
                    size_bytes: log.size_bytes(),
                    producers: partition.producer_count(),
                    offline: log.offline().map(|error| error.to_string()),
                });
            }
        }
        view
    }
}
