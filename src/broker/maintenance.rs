//! What the broker does by itself from time to time: forgets idle producers and what idle
//! clients used, writes down the other producers; tries whether a disk that took no writes takes them again.

use std::sync::{Arc, Weak};
use std::time::Duration;

use super::Clock;
use super::broker::{Broker, blocking};
use super::producer_snapshot;

/// How often it is looked at what is due.
const TICK: Duration = Duration::from_secs(10);
/// Appended since the last time, over all partitions: what a start after a crash must look through.
const RECORD_AFTER_BYTES: u64 = 64 << 20;
/// However little was appended.
const RECORD_AFTER: Duration = Duration::from_secs(600);

/// Runs until the broker is gone.
pub(super) async fn run(broker: Weak<Broker>, clock: Clock) {
    let mut recorded = clock.elapsed();
    let mut expired = clock.elapsed();
    loop {
        clock.sleep(TICK).await;
        let Some(broker) = broker.upgrade() else { return };
        if broker.is_closing() {
            return;
        }
        if broker.catalogue().is_read_only() {
            let catalogue = Arc::clone(broker.catalogue());
            let _ = blocking(move || catalogue.try_to_write()).await;
        }
        let now = clock.elapsed();
        let check = broker.settings().producer_id_expiration_check_interval_ms;
        if now.saturating_sub(expired) >= Duration::from_millis(u64::try_from(check).unwrap_or(0)) {
            expired = now;
            expire(&broker);
        }
        broker.quotas.expire();
        let unrecorded = unrecorded_bytes(&broker);
        let due = unrecorded >= RECORD_AFTER_BYTES || now.saturating_sub(recorded) >= RECORD_AFTER;
        if unrecorded > 0 && due {
            recorded = now;
            if let Err(error) = producer_snapshot::write(broker.catalogue()).await {
                tracing::warn!(%error, "producers could not be written down; the next start reads the logs");
            }
        }
    }
}

fn expire(broker: &Broker) {
    let limit = broker.clock.now_ms() - i64::from(broker.settings().producer_id_expiration_ms);
    for topic in broker.catalogue().topics() {
        for partition in topic.partitions().iter() {
            partition.expire_producers(limit);
        }
    }
}

fn unrecorded_bytes(broker: &Arc<Broker>) -> u64 {
    let topics = broker.catalogue().topics();
    let of_topic = |topic: &Arc<super::topic::Topic>| -> u64 {
        topic.partitions().iter().map(|partition| partition.unrecorded_bytes()).sum()
    };
    topics.iter().map(of_topic).sum()
}
