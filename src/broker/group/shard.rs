//! The groups of one partition of the offsets topic, behind one lock. Every operation changes memory and appends its records
//! under that lock, so that the log has them in the order in which they took effect; nothing waits for the disk there.

use super::config::GroupConfig;
use super::group::{Group, Now, Outbox};
use super::member::Delivery;
use super::offsets::{CommittedOffset, Offsets};
use super::record::{GroupRecord, Replayed};
use super::store::{Journal, Trim, append_error};
use crate::storage::{StorageError, Ticket};
use crate::wire::{ErrorCode, Str, Uuid};
use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// What all shards share.
#[derive(Debug)]
pub struct Common {
    pub config: GroupConfig,
    /// Memory of all groups, by estimate.
    pub bytes: AtomicUsize,
    pub groups: AtomicUsize,
    /// When the driver of the timers wakes, in monotonic milliseconds.
    pub driver_wakes_at: AtomicI64,
    /// The driver must look again: an earlier deadline, or a log that wants rewriting.
    pub wake_driver: Notify,
}

impl Common {
    pub fn new(config: GroupConfig) -> Common {
        Common {
            config,
            bytes: AtomicUsize::new(0),
            groups: AtomicUsize::new(0),
            driver_wakes_at: AtomicI64::new(i64::MAX),
            wake_driver: Notify::new(),
        }
    }

    fn is_full(&self) -> bool {
        self.bytes.load(Ordering::Relaxed) >= self.config.max_bytes
    }
}

/// A group with its offsets.
#[derive(Debug)]
pub(super) struct Entry {
    pub group: Group,
    pub offsets: Offsets,
    /// Where the group's own record is in the log, if it was ever written.
    pub group_record: Option<i64>,
    /// The last append for this group: what is read must not be shown before it is durable.
    durable: Option<Ticket>,
    wakes_at: Option<i64>,
    counted: usize,
}

impl Entry {
    fn new(group: Group) -> Entry {
        let offsets = Offsets::default();
        Entry { group, offsets, group_record: None, durable: None, wakes_at: None, counted: 0 }
    }

    /// The append that is still under way, if any.
    fn pending(&self) -> Option<Ticket> {
        self.durable.as_ref().filter(|ticket| !ticket.is_committed()).cloned()
    }

    /// Nothing would be lost with it.
    fn is_void(&self) -> bool {
        self.group.is_idle()
            && self.offsets.is_empty()
            && self.group_record.is_none()
            && self.group.generation() == 0
    }
}

/// An offset to be committed.
#[derive(Debug, Clone)]
pub struct Commit {
    pub topic: Str,
    pub topic_id: Uuid,
    pub partition: i32,
    pub offset: i64,
    pub leader_epoch: i32,
    pub metadata: Option<Str>,
}

/// Who commits.
#[derive(Debug, Clone)]
pub struct Committer {
    pub group_id: Str,
    pub member_id: Str,
    pub instance_id: Option<Str>,
    /// Negative for one that is no member.
    pub generation: i32,
    /// Milliseconds; None leaves it to `offsets.retention.minutes`.
    pub retention_ms: Option<i64>,
    /// What a generation in an unknown group is answered with; it changed with version 9.
    pub unknown_group: ErrorCode,
}

#[derive(Debug)]
pub struct Shard(Mutex<Inner>);

#[derive(Debug)]
pub(super) struct Inner {
    pub groups: HashMap<Str, Entry>,
    wake: BTreeSet<(i64, Str)>,
    pub journal: Journal,
    live_bytes: usize,
    next_cleanup: i64,
    /// What was in the log could not be read: nothing can be said about these groups.
    damaged: bool,
}

impl Shard {
    pub fn new(journal: Journal, now: Now, config: &GroupConfig) -> Shard {
        Shard(Mutex::new(Inner {
            groups: HashMap::new(),
            wake: BTreeSet::new(),
            journal,
            live_bytes: 0,
            next_cleanup: now.monotonic + config.offsets_retention_check_interval_ms,
            damaged: false,
        }))
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads everything back. Blocks on the disk. Offsets of topics that are gone (or live another life) by what `topic_id`
    /// says are removed: the process may have ended between the deletion of the topic and theirs.
    pub fn load(
        &self,
        common: &Common,
        now: Now,
        topic_id: &dyn Fn(&str) -> Option<Uuid>,
    ) -> Result<(), StorageError> {
        let mut inner = self.lock();
        let inner = &mut *inner;
        let groups = &mut inner.groups;
        let loaded = inner.journal.replay(|offset, replayed| match replayed {
            Replayed::Group { key, value: Some(value) } => {
                let group = Group::from_record(&key.group, &value, now);
                match groups.get_mut(&key.group) {
                    Some(entry) => entry.group = group,
                    None => {
                        groups.insert(group.id().clone(), Entry::new(group));
                    }
                }
                if let Some(entry) = groups.get_mut(&key.group) {
                    entry.group_record = Some(offset);
                }
            }
            Replayed::Group { key, value: None } => {
                if let Some(entry) = groups.get_mut(&key.group) {
                    entry.group = Group::new(entry.group.id().clone(), now);
                    entry.group_record = None;
                }
            }
            Replayed::Offset { key, value: Some(value) } => {
                let committed = CommittedOffset::from_record(&value, offset);
                if !groups.contains_key(&key.group) {
                    let group = Group::new(key.group.detached(), now);
                    groups.insert(group.id().clone(), Entry::new(group));
                }
                if let Some(entry) = groups.get_mut(&key.group) {
                    entry.offsets.put(&key.topic, key.partition, committed);
                }
            }
            Replayed::Offset { key, value: None } => {
                if let Some(entry) = groups.get_mut(&key.group) {
                    entry.offsets.remove(&key.topic, key.partition);
                }
            }
            Replayed::Unknown(kind) => {
                tracing::debug!(kind, offset, "record of another kind of group passed over")
            }
        });
        if let Err(error) = loaded {
            inner.damaged = true;
            inner.groups.clear();
            return Err(error);
        }
        inner.groups.retain(|_, entry| !entry.is_void());
        common.groups.fetch_add(inner.groups.len(), Ordering::Relaxed);
        let mut dead = Vec::new();
        let ids: Vec<Str> = inner.groups.keys().cloned().collect();
        for id in ids {
            let Some(entry) = inner.groups.get_mut(&id) else { continue };
            entry.group.restart_sessions(now);
            for (topic, partition, committed) in entry.offsets.iter() {
                let lives = topic_id(topic)
                    .is_some_and(|id| committed.topic_id.is_zero() || id == committed.topic_id);
                if !lives {
                    dead.push((id.clone(), topic.clone(), partition));
                }
            }
            inner.touch(common, &id);
        }
        for (id, topic, partition) in dead {
            if let Err(error) = inner.remove_offsets(common, now, &id, &[(topic, partition)]) {
                tracing::warn!(group = %id, %error, "offsets of deleted topics remain until the next start");
                break;
            }
        }
        Ok(())
    }

    /// Runs an operation on a group and sends what comes of it. The ticket is that of the record it wrote, if any.
    pub fn with_group<R>(
        &self,
        common: &Common,
        now: Now,
        id: &Str,
        create: bool,
        operation: impl FnOnce(&mut Group, &mut Outbox) -> R,
    ) -> Result<(R, Option<Ticket>), ErrorCode> {
        let mut inner = self.lock();
        inner.check()?;
        if !inner.groups.contains_key(id) {
            if !create {
                return Err(ErrorCode::GROUP_ID_NOT_FOUND);
            }
            inner.create(common, now, id)?;
        }
        inner.run(common, now, id, operation).ok_or(ErrorCode::GROUP_ID_NOT_FOUND)
    }

    /// Looks at a group. The ticket is that of the last append for it, if that is not durable yet: what was seen must not be
    /// shown before.
    pub fn peek<R>(
        &self,
        id: &Str,
        operation: impl FnOnce(Option<(&Group, &Offsets)>) -> R,
    ) -> Result<(R, Option<Ticket>), ErrorCode> {
        let inner = self.lock();
        inner.check()?;
        let entry = inner.groups.get(id);
        let ticket = entry.and_then(Entry::pending);
        Ok((operation(entry.map(|e| (&e.group, &e.offsets))), ticket))
    }

    pub fn heartbeat(
        &self,
        common: &Common,
        id: &Str,
        beat: impl FnOnce(&mut Group) -> Result<(), ErrorCode>,
    ) -> Result<(), ErrorCode> {
        let mut inner = self.lock();
        inner.check()?;
        let Some(entry) = inner.groups.get_mut(id) else { return Err(ErrorCode::UNKNOWN_MEMBER_ID) };
        let answer = beat(&mut entry.group);
        inner.reschedule(common, id);
        answer
    }

    /// Commits offsets. One answer each; they count once the ticket has resolved.
    pub fn commit(
        &self,
        common: &Common,
        now: Now,
        committer: &Committer,
        commits: &[Commit],
    ) -> Result<(Vec<ErrorCode>, Option<Ticket>), ErrorCode> {
        let mut inner = self.lock();
        inner.check()?;
        let id = &committer.group_id;
        match inner.groups.get_mut(id) {
            Some(entry) => {
                let instance_id = committer.instance_id.as_ref();
                entry.group.commit(now, &committer.member_id, instance_id, committer.generation)?;
                inner.reschedule(common, id);
            }
            None if committer.generation >= 0 => return Err(committer.unknown_group),
            None => {}
        }
        let entry = inner.groups.get(id);
        let full = common.is_full();
        let limit = common.config.offset_metadata_max_size;
        let mut answers = Vec::with_capacity(commits.len());
        let mut records = Vec::with_capacity(commits.len());
        let mut accepted = Vec::with_capacity(commits.len());
        for commit in commits {
            let known = entry.is_some_and(|e| e.offsets.get(&commit.topic, commit.partition).is_some());
            let answer = if is_longer_than(commit.metadata.as_ref(), limit) {
                ErrorCode::OFFSET_METADATA_TOO_LARGE
            } else if full && !known {
                ErrorCode::INVALID_COMMIT_OFFSET_SIZE
            } else {
                let committed = CommittedOffset {
                    offset: commit.offset,
                    leader_epoch: commit.leader_epoch,
                    metadata: commit.metadata.as_ref().map(Str::detached).unwrap_or_default(),
                    commit_timestamp: now.unix,
                    expire_timestamp: committer.retention_ms.map(|ms| now.unix.saturating_add(ms)),
                    topic_id: commit.topic_id,
                    record_offset: 0,
                };
                records.push(GroupRecord::offset_commit(id, &commit.topic, commit.partition, &committed));
                accepted.push((commit, committed));
                ErrorCode::NONE
            };
            answers.push(answer);
        }
        if records.is_empty() {
            return Ok((answers, None));
        }
        if entry.is_none() {
            inner.create(common, now, id)?;
        }
        let written = match inner.journal.append(&records, now.unix) {
            Ok(written) => written,
            Err(error) => {
                tracing::warn!(group = %id, %error, "offsets not committed");
                inner.touch(common, id);
                return Err(append_error(&error));
            }
        };
        if let Some(entry) = inner.groups.get_mut(id) {
            for ((commit, committed), record_offset) in accepted.into_iter().zip(written.base_offset..) {
                let committed = CommittedOffset { record_offset, ..committed };
                entry.offsets.put(&commit.topic, commit.partition, committed);
            }
            entry.durable = Some(written.ticket.clone());
        }
        inner.touch(common, id);
        Ok((answers, Some(written.ticket)))
    }

    /// Removes offsets by tombstones. Those that are not there are passed over.
    pub fn delete_offsets(
        &self,
        common: &Common,
        now: Now,
        id: &Str,
        which: impl FnOnce(&Group) -> Result<Vec<(Str, i32)>, ErrorCode>,
    ) -> Result<Option<Ticket>, ErrorCode> {
        let mut inner = self.lock();
        inner.check()?;
        let entry = inner.groups.get(id).ok_or(ErrorCode::GROUP_ID_NOT_FOUND)?;
        let which = which(&entry.group)?;
        inner.remove_offsets(common, now, id, &which).map_err(|e| append_error(&e))
    }

    /// Deletes a group without members, with its offsets.
    pub fn delete_group(&self, common: &Common, now: Now, id: &Str) -> Result<Option<Ticket>, ErrorCode> {
        let mut inner = self.lock();
        inner.check()?;
        let entry = inner.groups.get(id).ok_or(ErrorCode::GROUP_ID_NOT_FOUND)?;
        entry.group.validate_delete()?;
        inner.delete(common, now, id).map_err(|e| append_error(&e))
    }

    /// The topic is gone, and with it the offsets committed for this life of it.
    pub fn topic_deleted(&self, common: &Common, now: Now, topic: &Str, topic_id: Uuid) {
        let mut inner = self.lock();
        let of = |e: &Entry| e.offsets.of_deleted(topic, topic_id);
        let all: Vec<_> = inner.groups.iter().map(|(id, e)| (id.clone(), of(e))).collect();
        for (id, partitions) in all {
            let which: Vec<_> = partitions.into_iter().map(|p| (topic.clone(), p)).collect();
            if let Err(error) = inner.remove_offsets(common, now, &id, &which) {
                // The next start finds them: it compares every offset's topic id with the catalogue.
                tracing::warn!(group = %id, %topic, %error, "offsets of a deleted topic remain until the next start");
                return;
            }
        }
    }

    /// When there is something to do, in monotonic milliseconds.
    pub fn next_deadline(&self) -> i64 {
        let inner = self.lock();
        inner.wake.first().map_or(i64::MAX, |(at, _)| *at).min(inner.next_cleanup)
    }

    /// Does what is due: sessions, rebalances, expired offsets.
    pub fn tick(&self, common: &Common, now: Now) {
        let mut inner = self.lock();
        while let Some((at, id)) = inner.wake.first().cloned().filter(|(at, _)| *at <= now.monotonic) {
            inner.wake.remove(&(at, id.clone()));
            if let Some(entry) = inner.groups.get_mut(&id) {
                entry.wakes_at = None;
            }
            inner.run(common, now, &id, |group, out| group.expire(now, &common.config, out));
        }
        if inner.next_cleanup <= now.monotonic {
            inner.next_cleanup = now.monotonic + common.config.offsets_retention_check_interval_ms.max(1);
            inner.cleanup(common, now);
        }
    }

    /// Whether the log has grown so far that what is live should be written anew; see `rewrite`.
    pub fn begin_rewrite(&self, common: &Common) -> Option<Trim> {
        let mut inner = self.lock();
        inner.check().ok()?;
        let live = inner.live_bytes;
        inner.journal.begin_rewrite(live, common.config.rewrite_after_bytes)
    }

    /// Forgets everything; who waits is told to find the coordinator again.
    pub fn close(&self) {
        let mut inner = self.lock();
        inner.damaged = true;
        inner.wake.clear();
        inner.groups.clear();
    }
}

impl Inner {
    fn check(&self) -> Result<(), ErrorCode> {
        if self.damaged || self.journal.offline() { Err(ErrorCode::NOT_COORDINATOR) } else { Ok(()) }
    }

    fn create(&mut self, common: &Common, now: Now, id: &Str) -> Result<(), ErrorCode> {
        if common.is_full() || common.groups.load(Ordering::Relaxed) >= common.config.max_groups {
            tracing::warn!(group = %id, "no room for another group");
            return Err(ErrorCode::COORDINATOR_NOT_AVAILABLE);
        }
        common.groups.fetch_add(1, Ordering::Relaxed);
        let id = id.detached();
        self.groups.insert(id.clone(), Entry::new(Group::new(id, now)));
        Ok(())
    }

    /// Runs an operation on a group that is there, writes and sends what comes of it.
    fn run<R>(
        &mut self,
        common: &Common,
        now: Now,
        id: &Str,
        operation: impl FnOnce(&mut Group, &mut Outbox) -> R,
    ) -> Option<(R, Option<Ticket>)> {
        let entry = self.groups.get_mut(id)?;
        let mut out = Outbox::default();
        let result = operation(&mut entry.group, &mut out);
        if out.persist {
            match self.journal.append(&[GroupRecord::group_metadata(&entry.group)], now.unix) {
                Ok(written) => {
                    entry.group_record = Some(written.base_offset);
                    entry.durable = Some(written.ticket);
                }
                Err(error) => {
                    tracing::warn!(group = %id, %error, "group not written");
                    entry.group.persist_failed(now, &common.config, append_error(&error), &mut out);
                }
            }
        }
        let after = entry.pending();
        // Whoever waited may be gone: nobody minds.
        for (waiter, response) in out.joins {
            let _ = waiter.send(Delivery { response, after: after.clone() });
        }
        for (waiter, response) in out.syncs {
            let _ = waiter.send(Delivery { response, after: after.clone() });
        }
        self.touch(common, id);
        Some((result, after))
    }

    /// Keeps books after a change: memory, timers, groups that turned out to be nothing.
    fn touch(&mut self, common: &Common, id: &Str) {
        let Some(entry) = self.groups.get_mut(id) else { return };
        if entry.is_void() {
            self.forget(common, id);
            return;
        }
        let size = entry.group.size() + entry.offsets.size();
        let before = std::mem::replace(&mut entry.counted, size);
        self.live_bytes = self.live_bytes + size - before;
        common.bytes.fetch_add(size, Ordering::Relaxed);
        common.bytes.fetch_sub(before, Ordering::Relaxed);
        self.reschedule(common, id);
        if self.journal.wants_rewrite(self.live_bytes, common.config.rewrite_after_bytes) {
            common.wake_driver.notify_one();
        }
    }

    fn reschedule(&mut self, common: &Common, id: &Str) {
        let Some(entry) = self.groups.get_mut(id) else { return };
        let next = entry.group.next_deadline();
        if next == entry.wakes_at {
            return;
        }
        let key = entry.group.id().clone();
        if let Some(before) = std::mem::replace(&mut entry.wakes_at, next) {
            self.wake.remove(&(before, key.clone()));
        }
        if let Some(at) = next {
            self.wake.insert((at, key));
            if at < common.driver_wakes_at.load(Ordering::Acquire) {
                common.wake_driver.notify_one();
            }
        }
    }

    fn forget(&mut self, common: &Common, id: &Str) {
        let Some(entry) = self.groups.remove(id) else { return };
        if let Some(at) = entry.wakes_at {
            self.wake.remove(&(at, entry.group.id().clone()));
        }
        self.live_bytes -= entry.counted;
        common.bytes.fetch_sub(entry.counted, Ordering::Relaxed);
        common.groups.fetch_sub(1, Ordering::Relaxed);
    }

    fn remove_offsets(
        &mut self,
        common: &Common,
        now: Now,
        id: &Str,
        which: &[(Str, i32)],
    ) -> Result<Option<Ticket>, StorageError> {
        let Some(entry) = self.groups.get_mut(id) else { return Ok(None) };
        let there = which.iter().filter(|(topic, partition)| entry.offsets.get(topic, *partition).is_some());
        let records: Vec<_> =
            there.map(|(topic, partition)| GroupRecord::offset_tombstone(id, topic, *partition)).collect();
        if records.is_empty() {
            return Ok(None);
        }
        let written = self.journal.append(&records, now.unix)?;
        for (topic, partition) in which {
            entry.offsets.remove(topic, *partition);
        }
        entry.durable = Some(written.ticket.clone());
        self.touch(common, id);
        Ok(Some(written.ticket))
    }

    fn delete(&mut self, common: &Common, now: Now, id: &Str) -> Result<Option<Ticket>, StorageError> {
        let Some(entry) = self.groups.get(id) else { return Ok(None) };
        let offsets = entry.offsets.iter();
        let mut records: Vec<_> = offsets
            .map(|(topic, partition, _)| GroupRecord::offset_tombstone(id, topic, partition))
            .collect();
        if entry.group_record.is_some() {
            records.push(GroupRecord::group_tombstone(id));
        }
        let mut ticket = None;
        if !records.is_empty() {
            ticket = Some(self.journal.append(&records, now.unix)?.ticket);
        }
        self.forget(common, id);
        Ok(ticket)
    }

    /// Expires offsets, and groups that have neither members nor offsets.
    fn cleanup(&mut self, common: &Common, now: Now) {
        if self.check().is_err() {
            return;
        }
        let ids: Vec<Str> = self.groups.keys().cloned().collect();
        for id in ids {
            let Some(entry) = self.groups.get(&id) else { continue };
            let expired = entry.offsets.expired(&entry.group, now.unix, common.config.offsets_retention_ms);
            let result = if expired.len() == entry.offsets.len() && entry.group.is_idle() {
                self.delete(common, now, &id)
            } else {
                self.remove_offsets(common, now, &id, &expired)
            };
            if let Err(error) = result {
                // They are looked at again after the interval.
                tracing::warn!(group = %id, %error, "expired offsets remain");
                return;
            }
        }
    }
}

/// Counted as Kafka counts, in UTF-16 units; a string is never longer in those than in bytes.
fn is_longer_than(metadata: Option<&Str>, limit: usize) -> bool {
    metadata.is_some_and(|m| m.len() > limit && m.encode_utf16().count() > limit)
}
