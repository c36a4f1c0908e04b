//! A partition loses its newest records on purpose, as after an unclean election: who wrote them was told that they are
//! stored. It is led anew then, in a later epoch, by what its log holds: the high watermark is lower, and of its
//! producers is known what the remaining records tell.

use std::sync::Arc;

use super::broker::{Broker, blocking};

impl Broker {
    /// Takes the last `records` records off a partition, with the rest of the batch that they begin in. From the call on
    /// nothing is appended to what is lost; the rest goes on by itself. False: there is no such partition, or its log
    /// is in no state to be cut. Must be called within a runtime.
    pub fn truncate(self: &Arc<Self>, topic: &str, partition: i32, records: u64) -> bool {
        // The broker's own topics are more than their logs: what is remembered of groups would not follow.
        let Some(topic) = self.catalogue.topic(topic).filter(|topic| !topic.is_internal()) else {
            return false;
        };
        let Some(partition) = topic.partition(partition) else { return false };
        let Some(cut) = partition.log().begin_truncate(records) else { return false };
        let (catalogue, now_ms) = (Arc::clone(&self.catalogue), self.clock.now_ms());
        tokio::spawn(async move {
            let (name, index) = (topic.name().clone(), partition.index());
            let end = match cut.await {
                Ok(end) => end,
                Err(error) => {
                    return tracing::error!(topic = %name, partition = index, %error, "could not be truncated");
                }
            };
            let led = blocking(move || catalogue.lead_again(&topic, &partition, now_ms)).await;
            match led
                .map_err(|error| error.to_string())
                .and_then(|led| led.map_err(|error| error.to_string()))
            {
                Ok(epoch) => {
                    tracing::warn!(topic = %name, partition = index, end, leader_epoch = epoch, "truncated on purpose");
                }
                Err(error) => {
                    tracing::error!(topic = %name, partition = index, %error, "has no leader after it was truncated");
                }
            }
        });
        true
    }
}
