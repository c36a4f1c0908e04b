//! The committed offsets of one group, and when they expire.

use super::group::{Group, State};
use crate::wire::{Str, Uuid};
use std::collections::BTreeMap;

/// A committed offset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommittedOffset {
    pub offset: i64,
    /// -1 when the client did not say.
    pub leader_epoch: i32,
    pub metadata: Str,
    /// Milliseconds since 1970.
    pub commit_timestamp: i64,
    /// Set by clients that name a retention time (OffsetCommit 2 to 4).
    pub expire_timestamp: Option<i64>,
    /// Zero when it was not known.
    pub topic_id: Uuid,
    /// Where its record is in the log.
    pub record_offset: i64,
}

/// Memory of an entry besides its strings, by estimate.
const ENTRY_SIZE: usize = 160;

/// The committed offsets of one group.
#[derive(Debug, Default)]
pub struct Offsets {
    by_topic: BTreeMap<Str, BTreeMap<i32, CommittedOffset>>,
    count: usize,
    bytes: usize,
}

impl Offsets {
    pub fn get(&self, topic: &str, partition: i32) -> Option<&CommittedOffset> {
        self.by_topic.get(topic.as_bytes())?.get(&partition)
    }

    /// `topic` is copied when it is new.
    pub fn put(&mut self, topic: &Str, partition: i32, committed: CommittedOffset) {
        let metadata = committed.metadata.len();
        if !self.by_topic.contains_key(topic) {
            self.bytes += ENTRY_SIZE + topic.len();
            self.by_topic.insert(topic.detached(), BTreeMap::new());
        }
        let Some(partitions) = self.by_topic.get_mut(topic) else { return };
        self.bytes += metadata;
        match partitions.insert(partition, committed) {
            Some(before) => self.bytes -= before.metadata.len(),
            None => {
                self.bytes += ENTRY_SIZE;
                self.count += 1;
            }
        }
    }

    pub fn remove(&mut self, topic: &str, partition: i32) -> Option<CommittedOffset> {
        let partitions = self.by_topic.get_mut(topic.as_bytes())?;
        let removed = partitions.remove(&partition)?;
        self.count -= 1;
        self.bytes -= ENTRY_SIZE + removed.metadata.len();
        if partitions.is_empty() {
            self.by_topic.remove(topic.as_bytes());
            self.bytes -= ENTRY_SIZE + topic.len();
        }
        Some(removed)
    }

    pub fn len(&self) -> usize {
        self.count
    }

    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Bytes of memory, by estimate.
    pub fn size(&self) -> usize {
        self.bytes
    }

    pub fn topics(&self) -> impl Iterator<Item = (&Str, &BTreeMap<i32, CommittedOffset>)> {
        self.by_topic.iter()
    }

    pub fn iter(&self) -> impl Iterator<Item = (&Str, i32, &CommittedOffset)> {
        self.by_topic
            .iter()
            .flat_map(|(topic, partitions)| partitions.iter().map(move |(p, c)| (topic, *p, c)))
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (&Str, i32, &mut CommittedOffset)> {
        let topics = self.by_topic.iter_mut();
        topics.flat_map(|(topic, partitions)| partitions.iter_mut().map(move |(p, c)| (topic, *p, c)))
    }

    /// Those of a topic that is gone: of that life of it (or of one not known).
    pub fn of_deleted(&self, topic: &str, topic_id: Uuid) -> Vec<i32> {
        let Some(partitions) = self.by_topic.get(topic.as_bytes()) else { return Vec::new() };
        partitions
            .iter()
            .filter(|(_, c)| c.topic_id.is_zero() || topic_id.is_zero() || c.topic_id == topic_id)
            .map(|(partition, _)| *partition)
            .collect()
    }

    /// What has expired at `now` (milliseconds since 1970), by the rules of KIP-211: `retention_ms` after the group became empty
    /// or, for groups without members of their own, after the commit; never what a group with members subscribes to.
    pub fn expired(&self, group: &Group, now: i64, retention_ms: i64) -> Vec<(Str, i32)> {
        let empty_since = match (group.protocol_type(), group.state()) {
            (None, _) => None,
            (Some(_), State::Empty) => group.state_since(),
            (Some(_), State::Stable) if group.uses_consumer_protocol() && group.subscription_known() => None,
            _ => return Vec::new(),
        };
        let is_expired = |c: &CommittedOffset| match c.expire_timestamp {
            Some(at) => now >= at,
            // An offset reset by an admin after the group became empty gets its full time.
            None => {
                now.saturating_sub(c.commit_timestamp.max(empty_since.unwrap_or(i64::MIN))) >= retention_ms
            }
        };
        self.iter()
            .filter(|(topic, _, c)| !group.is_subscribed(topic) && is_expired(c))
            .map(|(topic, partition, _)| (topic.clone(), partition))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::group::group::Now;

    fn committed(offset: i64, commit_timestamp: i64) -> CommittedOffset {
        CommittedOffset {
            offset,
            leader_epoch: -1,
            metadata: Str::from("some metadata"),
            commit_timestamp,
            expire_timestamp: None,
            topic_id: Uuid([7; 16]),
            record_offset: 0,
        }
    }

    #[test]
    fn what_is_put_can_be_taken_and_the_sizes_follow() {
        let mut offsets = Offsets::default();
        let topic = Str::from("orders");
        for partition in 0..3 {
            offsets.put(&topic, partition, committed(1, 0));
            offsets.put(&topic, partition, committed(2, 0));
        }
        assert_eq!((offsets.len(), offsets.get("orders", 1).map(|c| c.offset)), (3, Some(2)));
        assert!(offsets.size() > 3 * (ENTRY_SIZE + 13));
        assert!(offsets.remove("orders", 9).is_none() && offsets.remove("audit", 0).is_none());
        for partition in 0..3 {
            assert!(offsets.remove("orders", partition).is_some());
        }
        assert_eq!((offsets.len(), offsets.size(), offsets.topics().count()), (0, 0, 0));
    }

    #[test]
    fn a_deleted_topic_takes_the_offsets_of_its_own_life_only() {
        let mut offsets = Offsets::default();
        let topic = Str::from("orders");
        offsets.put(&topic, 0, committed(1, 0));
        offsets.put(&topic, 1, CommittedOffset { topic_id: Uuid::ZERO, ..committed(1, 0) });
        assert_eq!(offsets.of_deleted("orders", Uuid([7; 16])), [0, 1]);
        assert_eq!(offsets.of_deleted("orders", Uuid([8; 16])), [1]);
        assert!(offsets.of_deleted("audit", Uuid([7; 16])).is_empty());
    }

    #[test]
    fn offsets_of_groups_without_members_expire_after_their_commit() {
        let group = Group::new(Str::from("g"), Now { monotonic: 0, unix: 0 });
        let mut offsets = Offsets::default();
        offsets.put(&Str::from("a"), 0, committed(1, 100));
        offsets.put(&Str::from("b"), 0, committed(1, 200));
        offsets.put(&Str::from("c"), 0, CommittedOffset { expire_timestamp: Some(150), ..committed(1, 0) });
        let expired = |now| -> Vec<String> {
            offsets.expired(&group, now, 1_000).iter().map(|(t, _)| t.to_string()).collect()
        };
        assert_eq!(expired(149), Vec::<String>::new());
        assert_eq!(expired(1_099), ["c"]);
        assert_eq!(expired(1_100), ["a", "c"]);
        assert_eq!(expired(1_200), ["a", "b", "c"]);
    }
}
