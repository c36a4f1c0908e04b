//! The coordinator of all groups: which shard has a group, making the offsets topic, loading, timers, shutdown.

use super::config::GroupConfig;
use super::group::{Group, Now};
use super::join::Join;
use super::member::Delivery;
use super::offsets::Offsets;
use super::rebalance::{Sync, join_error, sync_error};
use super::shard::{Commit, Committer, Common, Shard};
use super::store::Journal;
use crate::broker::catalogue::{Catalogue, NewTopic};
use crate::broker::config::Settings;
use crate::broker::error::{ApiError, BrokerError};
use crate::broker::log_limit::LogLimit;
use crate::broker::topic::{OFFSETS_TOPIC, Topic};
use crate::broker::{Clock, Context, Reply, ReplyTo, api};
use crate::storage::{StorageError, Ticket};
use crate::wire::api::{join_group, leave_group, sync_group};
use crate::wire::{ErrorCode, RequestBody, Str};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;
use tokio::sync::{OnceCell, oneshot};

/// After a failure to make the offsets topic, requests are answered with it for so long.
const OPENING_BACKOFF: Duration = Duration::from_secs(1);

/// An answer that is there, or comes when others have done their part.
pub enum Answer<T> {
    Now(T),
    Later(oneshot::Receiver<Delivery<T>>),
}

/// All groups of the broker.
pub struct Groups {
    shared: Arc<Shared>,
}

pub(super) struct Shared {
    catalogue: Arc<Catalogue>,
    settings: Arc<Settings>,
    clock: Clock,
    node_id: i32,
    pub(super) common: Common,
    /// Set once everything in the topic has been read.
    shards: OnceLock<Vec<Arc<Shard>>>,
    /// Makes or finds the topic and reads it, once.
    opening: OnceCell<()>,
    /// When that failed last.
    last_failure: Mutex<Option<(Duration, ApiError)>>,
    cannot_open: LogLimit,
    loading: AtomicBool,
    closed: AtomicBool,
}

impl Drop for Groups {
    fn drop(&mut self) {
        self.shared.close();
    }
}

impl Groups {
    /// Reads the committed offsets, in the background if there are any: until that is done requests are answered
    /// COORDINATOR_LOAD_IN_PROGRESS. The offsets topic is made when the first client asks for a coordinator.
    pub(in crate::broker) async fn open(
        catalogue: Arc<Catalogue>,
        settings: Arc<Settings>,
        clock: Clock,
        node_id: i32,
    ) -> Result<Arc<Groups>, BrokerError> {
        let config = GroupConfig::from_settings(&settings);
        Ok(Groups::with_config(catalogue, settings, clock, node_id, config))
    }

    /// [`Groups::open`] with limits that are not settings. Needs a runtime.
    pub(in crate::broker) fn with_config(
        catalogue: Arc<Catalogue>,
        settings: Arc<Settings>,
        clock: Clock,
        node_id: i32,
        config: GroupConfig,
    ) -> Arc<Groups> {
        let shared = Arc::new(Shared {
            catalogue,
            settings,
            clock,
            node_id,
            common: Common::new(config),
            shards: OnceLock::new(),
            opening: OnceCell::new(),
            last_failure: Mutex::default(),
            cannot_open: LogLimit::default(),
            loading: AtomicBool::new(false),
            closed: AtomicBool::new(false),
        });
        if shared.catalogue.topic(OFFSETS_TOPIC).is_some() {
            shared.loading.store(true, Ordering::Release);
            shared.start_opening();
        }
        Arc::new(Groups { shared })
    }

    /// Answers any request about groups, FindCoordinator included.
    pub(in crate::broker) fn handle(self: &Arc<Self>, cx: &Context, to: ReplyTo, body: RequestBody) -> Reply {
        match body {
            RequestBody::FindCoordinator(r) => api::find_coordinator::handle(self, cx, to, *r),
            RequestBody::JoinGroup(r) => api::join_group::handle(self, cx, to, *r),
            RequestBody::SyncGroup(r) => api::sync_group::handle(self, cx, to, *r),
            RequestBody::Heartbeat(r) => api::heartbeat::handle(self, cx, to, *r),
            RequestBody::LeaveGroup(r) => api::leave_group::handle(self, cx, to, *r),
            RequestBody::OffsetCommit(r) => api::offset_commit::handle(self, cx, to, *r),
            RequestBody::OffsetFetch(r) => api::offset_fetch::handle(self, cx, to, *r),
            RequestBody::DescribeGroups(r) => api::describe_groups::handle(self, cx, to, *r),
            RequestBody::ListGroups(r) => api::list_groups::handle(self, cx, to, *r),
            RequestBody::DeleteGroups(r) => api::delete_groups::handle(self, cx, to, *r),
            RequestBody::OffsetDelete(r) => api::offset_delete::handle(self, cx, to, *r),
            _ => Reply::Close,
        }
    }

    /// These topics are gone: so are the offsets committed for them. Blocks as long as the groups are many.
    pub(in crate::broker) fn topics_deleted(&self, topics: &[Arc<Topic>]) {
        let now = self.shared.now();
        for shard in self.shared.shards() {
            for topic in topics {
                shard.topic_deleted(&self.shared.common, now, topic.name(), topic.id());
            }
        }
    }

    pub(in crate::broker) async fn shutdown(&self, _deadline: Duration) {
        self.shared.close();
    }

    // What follows is for the handlers.

    pub(in crate::broker) fn catalogue(&self) -> &Arc<Catalogue> {
        &self.shared.catalogue
    }

    pub(in crate::broker) fn node_id(&self) -> i32 {
        self.shared.node_id
    }

    pub(in crate::broker) fn config(&self) -> &GroupConfig {
        &self.shared.common.config
    }

    /// Resolves when groups can be served: the topic is there and has been read.
    pub(in crate::broker) fn ready(&self) -> impl Future<Output = Result<(), ApiError>> + Send + 'static {
        let shared = Arc::clone(&self.shared);
        async move { shared.open_once().await }
    }

    pub(in crate::broker) fn is_ready(&self) -> bool {
        self.shared.shards.get().is_some()
    }

    pub(in crate::broker) fn join(&self, id: &Str, join: Join) -> Answer<join_group::Response> {
        let shared = &self.shared;
        let member_id = join.member_id.clone();
        let (waiter, mut answer) = oneshot::channel();
        let create = member_id.is_empty();
        let joined = self.shard_for_writing(id).and_then(|shard| {
            let now = shared.now();
            shard.with_group(&shared.common, now, id, create, |group, out| {
                group.join(now, &shared.common.config, join, waiter, out);
            })
        });
        match joined {
            Ok(_) => answered(answer.try_recv(), answer),
            // A member of a group that is not there.
            Err(ErrorCode::GROUP_ID_NOT_FOUND) => {
                Answer::Now(join_error(ErrorCode::UNKNOWN_MEMBER_ID, member_id))
            }
            Err(error) => Answer::Now(join_error(error, member_id)),
        }
    }

    pub(in crate::broker) fn sync(&self, id: &Str, sync: Sync) -> Answer<sync_group::Response> {
        let shared = &self.shared;
        let (waiter, mut answer) = oneshot::channel();
        let synced = self.shard(id).and_then(|shard| {
            let now = shared.now();
            shard.ok_or(ErrorCode::GROUP_ID_NOT_FOUND)?.with_group(
                &shared.common,
                now,
                id,
                false,
                |group, out| group.sync(now, &shared.common.config, sync, waiter, out),
            )
        });
        match synced {
            Ok(_) => answered(answer.try_recv(), answer),
            Err(ErrorCode::GROUP_ID_NOT_FOUND) => Answer::Now(sync_error(ErrorCode::UNKNOWN_MEMBER_ID)),
            Err(error) => Answer::Now(sync_error(error)),
        }
    }

    pub(in crate::broker) fn heartbeat(
        &self,
        id: &Str,
        member_id: &Str,
        instance_id: Option<&Str>,
        generation: i32,
    ) -> Result<(), ErrorCode> {
        let shared = &self.shared;
        let Some(shard) = self.shard(id)? else { return Err(ErrorCode::UNKNOWN_MEMBER_ID) };
        shard.heartbeat(&shared.common, id, |group| {
            group.heartbeat(shared.now(), member_id, instance_id, generation)
        })
    }

    /// One answer for each who leaves.
    pub(in crate::broker) fn leave(
        &self,
        id: &Str,
        leaving: &[leave_group::MemberIdentity],
    ) -> Result<(Vec<ErrorCode>, Option<Ticket>), ErrorCode> {
        let shared = &self.shared;
        let Some(shard) = self.shard(id)? else { return Err(ErrorCode::GROUP_ID_NOT_FOUND) };
        let now = shared.now();
        shard.with_group(&shared.common, now, id, false, |group, out| {
            group.leave(now, &shared.common.config, leaving, out)
        })
    }

    pub(in crate::broker) fn commit(
        &self,
        committer: &Committer,
        commits: &[Commit],
    ) -> Result<(Vec<ErrorCode>, Option<Ticket>), ErrorCode> {
        let shared = &self.shared;
        let shard = self.shard_for_writing(&committer.group_id)?;
        shard.commit(&shared.common, shared.now(), committer, commits)
    }

    /// Looks at a group and its offsets; what was seen may be shown once the ticket has resolved.
    pub(in crate::broker) fn peek<R>(
        &self,
        id: &Str,
        look: impl FnOnce(Option<(&Group, &Offsets)>) -> R,
    ) -> Result<(R, Option<Ticket>), ErrorCode> {
        match self.shard(id)? {
            Some(shard) => shard.peek(id, look),
            None => Ok((look(None), None)),
        }
    }

    pub(in crate::broker) fn delete_group(&self, id: &Str) -> Result<Option<Ticket>, ErrorCode> {
        let shared = &self.shared;
        let Some(shard) = self.shard(id)? else { return Err(ErrorCode::GROUP_ID_NOT_FOUND) };
        shard.delete_group(&shared.common, shared.now(), id)
    }

    /// Removes the offsets that `which` names, given the group.
    pub(in crate::broker) fn delete_offsets(
        &self,
        id: &Str,
        which: impl FnOnce(&Group) -> Result<Vec<(Str, i32)>, ErrorCode>,
    ) -> Result<Option<Ticket>, ErrorCode> {
        let shared = &self.shared;
        let Some(shard) = self.shard(id)? else { return Err(ErrorCode::GROUP_ID_NOT_FOUND) };
        shard.delete_offsets(&shared.common, shared.now(), id, which)
    }

    /// Every group once, in no order.
    pub(in crate::broker) fn each_group(
        &self,
        mut look: impl FnMut(&Group, &Offsets),
    ) -> Result<(), ErrorCode> {
        self.shared.check()?;
        for shard in self.shared.shards() {
            for entry in shard.lock().groups.values() {
                look(&entry.group, &entry.offsets);
            }
        }
        Ok(())
    }

    /// None: the offsets topic does not exist, so neither does any group.
    fn shard(&self, id: &Str) -> Result<Option<&Arc<Shard>>, ErrorCode> {
        self.shared.check()?;
        let shards = self.shared.shards();
        Ok(shards.get(partition_for(id, shards.len())))
    }

    /// Starts to make the topic if it is not there.
    fn shard_for_writing(&self, id: &Str) -> Result<&Arc<Shard>, ErrorCode> {
        self.shard(id)?.ok_or_else(|| {
            self.shared.start_opening();
            ErrorCode::COORDINATOR_NOT_AVAILABLE
        })
    }
}

fn answered<T>(
    ready: Result<Delivery<T>, oneshot::error::TryRecvError>,
    answer: oneshot::Receiver<Delivery<T>>,
) -> Answer<T> {
    match ready {
        Ok(Delivery { response, after: None }) => Answer::Now(response),
        Ok(delivery) => {
            let (waiter, answer) = oneshot::channel();
            let _ = waiter.send(delivery);
            Answer::Later(answer)
        }
        Err(_) => Answer::Later(answer),
    }
}

/// Kafka's: Java's hash of the group's id, over the number of partitions.
fn partition_for(id: &Str, partitions: usize) -> usize {
    let hash = id.encode_utf16().fold(0i32, |hash, unit| hash.wrapping_mul(31).wrapping_add(i32::from(unit)));
    // Java's Math.abs of the smallest number is negative; Kafka takes zero for it.
    let hash = hash.checked_abs().unwrap_or(0);
    usize::try_from(hash).unwrap_or(0).checked_rem(partitions).unwrap_or(0)
}

impl Shared {
    pub(super) fn now(&self) -> Now {
        let monotonic = i64::try_from(self.clock.elapsed().as_millis()).unwrap_or(i64::MAX);
        Now { monotonic, unix: self.clock.now_ms() }
    }

    pub(super) fn shards(&self) -> &[Arc<Shard>] {
        self.shards.get().map_or(&[], Vec::as_slice)
    }

    fn check(&self) -> Result<(), ErrorCode> {
        if self.closed.load(Ordering::Acquire) {
            return Err(ErrorCode::COORDINATOR_NOT_AVAILABLE);
        }
        if self.shards.get().is_none() && self.loading.load(Ordering::Acquire) {
            return Err(ErrorCode::COORDINATOR_LOAD_IN_PROGRESS);
        }
        Ok(())
    }

    fn start_opening(self: &Arc<Self>) {
        let shared = Arc::clone(self);
        tokio::spawn(async move { shared.open_once().await });
    }

    async fn open_once(self: &Arc<Self>) -> Result<(), ApiError> {
        self.opening.get_or_try_init(|| self.open_topic_unless_it_just_failed()).await.copied()
    }

    /// Every group's client asks again several times a second; each attempt makes a folder for every partition.
    async fn open_topic_unless_it_just_failed(self: &Arc<Self>) -> Result<(), ApiError> {
        let last = self.last_failure.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some((_, error)) = last.filter(|(at, _)| self.clock.elapsed() < *at + OPENING_BACKOFF) {
            return Err(error);
        }
        let opened = self.open_topic().await;
        let failure = opened.clone().err().map(|error| (self.clock.elapsed(), error));
        *self.last_failure.lock().unwrap_or_else(PoisonError::into_inner) = failure;
        opened
    }

    async fn open_topic(self: &Arc<Self>) -> Result<(), ApiError> {
        let shared = Arc::clone(self);
        let opened = tokio::task::spawn_blocking(move || shared.load()).await;
        let shards = match opened {
            Ok(Ok(shards)) => shards,
            Ok(Err(error)) => {
                if let Some(passed_over) = self.cannot_open.says(&error.to_string(), self.clock.elapsed()) {
                    tracing::error!(%error, passed_over, "the offsets topic cannot be made: no group can be served");
                }
                return Err(error);
            }
            Err(error) => return Err(ApiError::new(ErrorCode::COORDINATOR_NOT_AVAILABLE, error.to_string())),
        };
        if self.cannot_open.ends() {
            tracing::info!("the offsets topic could be made: groups are served");
        }
        if self.shards.set(shards).is_ok() {
            tokio::spawn(drive(Arc::clone(self)));
        }
        Ok(())
    }

    /// Makes the topic if it is not there, reads it. Blocks on the disk.
    fn load(&self) -> Result<Vec<Arc<Shard>>, ApiError> {
        let topic = self.topic()?;
        let topic_id = |name: &str| self.catalogue.topic(name).map(|topic| topic.id());
        let now = self.now();
        let mut shards = Vec::new();
        for partition in topic.partitions().iter() {
            let journal = Journal::new(
                Arc::clone(partition.log()),
                partition.leader_epoch(),
                self.catalogue.read_only(),
            );
            let shard = Shard::new(journal, now, &self.common.config);
            if let Err(error) = shard.load(&self.common, now, &topic_id) {
                // Its groups are out of service, the others are not.
                tracing::error!(partition = partition.index(), %error, "committed offsets cannot be read");
            }
            shards.push(Arc::new(shard));
        }
        Ok(shards)
    }

    fn topic(&self) -> Result<Arc<Topic>, ApiError> {
        if let Some(topic) = self.catalogue.topic(OFFSETS_TOPIC) {
            return Ok(topic);
        }
        let mut overrides = BTreeMap::new();
        let mut set = |name: &str, value: String| overrides.insert(name.to_owned(), value);
        set("segment.bytes", self.settings.offsets_topic_segment_bytes.to_string());
        // What is out of date goes with `rewrite`, nothing for its age.
        set("retention.ms", "-1".to_owned());
        set("retention.bytes", "-1".to_owned());
        // The record of a large group is one batch.
        set("max.message.bytes", (self.common.config.max_group_bytes * 2).to_string());
        let wanted = NewTopic {
            name: Str::from_static(OFFSETS_TOPIC),
            partitions: self.settings.offsets_topic_num_partitions.max(1),
            overrides,
        };
        let created = self.catalogue.create(vec![wanted]).pop();
        match created.unwrap_or(Err(StorageError::Closed.into())) {
            // Someone was quicker.
            Err(error) if error.code == ErrorCode::TOPIC_ALREADY_EXISTS => {
                self.catalogue.topic(OFFSETS_TOPIC).ok_or(error)
            }
            created => created,
        }
    }

    fn close(&self) {
        self.closed.store(true, Ordering::Release);
        for shard in self.shards() {
            shard.close();
        }
        self.common.wake_driver.notify_one();
    }
}

/// Wakes when the next deadline of any group has come, until the end.
async fn drive(shared: Arc<Shared>) {
    loop {
        // Announced before the shards are asked: a deadline that comes to be meanwhile is either seen or wakes us.
        shared.common.driver_wakes_at.store(i64::MAX, Ordering::Release);
        let next = shared.shards().iter().map(|shard| shard.next_deadline()).min().unwrap_or(i64::MAX);
        shared.common.driver_wakes_at.store(next, Ordering::Release);
        let at = Duration::from_millis(u64::try_from(next).unwrap_or(0));
        tokio::select! {
            () = shared.clock.sleep_until(at) => {}
            () = shared.common.wake_driver.notified() => {}
        }
        if shared.closed.load(Ordering::Acquire) {
            return;
        }
        let now = shared.now();
        for shard in shared.shards() {
            shard.tick(&shared.common, now);
            super::rewrite::start(&shared.common, shard, now);
        }
    }
}

impl GroupConfig {
    /// What of it is settable, in Kafka's names.
    pub(in crate::broker) fn from_settings(settings: &Settings) -> GroupConfig {
        GroupConfig {
            min_session_timeout_ms: settings.group_min_session_timeout_ms,
            max_session_timeout_ms: settings.group_max_session_timeout_ms,
            initial_rebalance_delay_ms: settings.group_initial_rebalance_delay_ms,
            max_size: usize::try_from(settings.group_max_size).unwrap_or(0),
            offset_metadata_max_size: usize::try_from(settings.offset_metadata_max_bytes).unwrap_or(0),
            offsets_retention_ms: i64::from(settings.offsets_retention_minutes) * 60_000,
            offsets_retention_check_interval_ms: settings.offsets_retention_check_interval_ms,
            ..GroupConfig::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_where_kafka_would_have_them() {
        // Java: "console-consumer-1".hashCode() and so on.
        for (id, expected) in [("", 0), ("a", 97 % 50), ("g1", 3242 % 50), ("polygenelubricants", 0)] {
            assert_eq!(partition_for(&Str::from(id), 50), expected, "{id}");
        }
        assert_eq!(partition_for(&Str::from("any"), 0), 0);
    }
}
