//! How a group gets from one generation to the next: prepare (everyone joins), complete (the leader assigns), stable; who
//! leaves on the way, by wish or by silence.

use super::config::GroupConfig;
use super::group::{Group, Now, Outbox, State};
use super::member::SyncWaiter;
use super::timers::TimerKey;
use crate::wire::api::{join_group, leave_group, sync_group};
use crate::wire::{ErrorCode, Str};
use bytes::Bytes;
use std::collections::HashMap;

/// A SyncGroup request. Everything in it is in memory of its own.
#[derive(Debug, Clone, Default)]
pub struct Sync {
    pub member_id: Str,
    pub instance_id: Option<Str>,
    pub generation: i32,
    /// None before version 5.
    pub protocol_type: Option<Str>,
    pub protocol_name: Option<Str>,
    /// Member id and assignment, from the leader.
    pub assignments: Vec<(Str, Bytes)>,
}

impl Group {
    pub fn sync(&mut self, now: Now, config: &GroupConfig, sync: Sync, waiter: SyncWaiter, out: &mut Outbox) {
        if let Err(error) = self.validate_sync(&sync) {
            return out.syncs.push((waiter, sync_error(error)));
        }
        let member_id = &sync.member_id;
        self.pending_sync.remove(member_id);
        if self.state == State::Stable {
            let assignment = self.members.get(member_id).map(|m| m.assignment.clone());
            return out.syncs.push((waiter, self.sync_answer(assignment.unwrap_or_default())));
        }
        let size: usize = sync.assignments.iter().map(|(id, bytes)| id.len() + bytes.len()).sum();
        if self.is_leader(member_id) && self.size() + size > config.max_group_bytes {
            // As Kafka does when the group's record is larger than its log takes.
            self.pending_sync.insert(member_id.clone());
            return out.syncs.push((waiter, sync_error(ErrorCode::UNKNOWN_SERVER_ERROR)));
        }
        if let Some(member) = self.members.get_mut(member_id)
            && let Some(superseded) = member.awaiting_sync.replace(waiter)
        {
            out.syncs.push((superseded, sync_error(ErrorCode::REBALANCE_IN_PROGRESS)));
        }
        if self.is_leader(member_id) {
            let mut by_member: HashMap<Str, Bytes> = sync.assignments.into_iter().collect();
            self.set_assignments(|id| by_member.remove(id).unwrap_or_default());
            self.transition(now, State::Stable);
            out.persist = true;
            self.answer_syncs(now, out, None);
        }
    }

    fn validate_sync(&self, sync: &Sync) -> Result<(), ErrorCode> {
        if self.state == State::Empty {
            return Err(ErrorCode::UNKNOWN_MEMBER_ID);
        }
        self.validate_member(&sync.member_id, sync.instance_id.as_ref())?;
        if sync.generation != self.generation {
            return Err(ErrorCode::ILLEGAL_GENERATION);
        }
        let differs =
            |said: &Option<Str>, ours: &Option<Str>| matches!((said, ours), (Some(s), Some(o)) if s != o);
        if differs(&sync.protocol_type, &self.protocol_type)
            || differs(&sync.protocol_name, &self.protocol_name)
        {
            return Err(ErrorCode::INCONSISTENT_GROUP_PROTOCOL);
        }
        match self.state {
            State::PreparingRebalance => Err(ErrorCode::REBALANCE_IN_PROGRESS),
            State::Dead => Err(ErrorCode::COORDINATOR_NOT_AVAILABLE),
            _ => Ok(()),
        }
    }

    /// The members named leave, or are removed by an admin who knows their `group.instance.id` only. One answer each.
    pub fn leave(
        &mut self,
        now: Now,
        config: &GroupConfig,
        leaving: &[leave_group::MemberIdentity],
        out: &mut Outbox,
    ) -> Vec<ErrorCode> {
        let mut removed = false;
        let answers = leaving.iter().map(|who| {
            let instance_id = who.group_instance_id.as_ref();
            let member_id = if who.member_id.is_empty() {
                match instance_id.and_then(|id| self.static_members.get(id)) {
                    Some(current) => current.clone(),
                    None => return ErrorCode::UNKNOWN_MEMBER_ID,
                }
            } else if self.pending_join.contains(&who.member_id) {
                self.remove(&who.member_id);
                removed = true;
                return ErrorCode::NONE;
            } else if let Err(error) = self.validate_member(&who.member_id, instance_id) {
                return error;
            } else {
                who.member_id.clone()
            };
            self.evict(&member_id, out);
            removed = true;
            ErrorCode::NONE
        });
        let answers = answers.collect();
        if removed {
            match self.state {
                State::Stable | State::CompletingRebalance => self.prepare_rebalance(now, config, out),
                State::PreparingRebalance => self.maybe_complete_join(now, out),
                State::Empty | State::Dead => {}
            }
        }
        answers
    }

    /// Does what is due. To be called when [`Group::next_deadline`] has come; harmless before.
    pub fn expire(&mut self, now: Now, config: &GroupConfig, out: &mut Outbox) {
        while let Some(key) = self.timers.pop_due(now.monotonic) {
            match key {
                TimerKey::Session(member_id) => self.expire_session(now, config, &member_id, out),
                TimerKey::Join => self.expire_join(now, config, out),
                TimerKey::Sync => self.expire_sync(now, config, out),
            }
        }
    }

    fn expire_session(&mut self, now: Now, config: &GroupConfig, member_id: &Str, out: &mut Outbox) {
        if self.pending_join.contains(member_id) {
            self.remove(member_id);
            if self.state == State::PreparingRebalance && self.has_all_joined() {
                self.complete_join(now, out);
            }
            return;
        }
        if self.members.get(member_id).is_none_or(|m| m.has_satisfied_heartbeat()) {
            return;
        }
        tracing::info!(group = %self.id, member = %member_id, "session timed out, member removed");
        self.evict(member_id, out);
        match self.state {
            State::Stable | State::CompletingRebalance => self.prepare_rebalance(now, config, out),
            State::PreparingRebalance if self.has_all_joined() => self.complete_join(now, out),
            _ => {}
        }
    }

    /// The end of the initial delay's slice, or of the time to rejoin.
    fn expire_join(&mut self, now: Now, config: &GroupConfig, out: &mut Outbox) {
        if let Some((delay, remaining)) = self.initial_delay
            && self.new_member_added
            && remaining != 0
        {
            self.new_member_added = false;
            let next = i64::from(config.initial_rebalance_delay_ms).min(remaining);
            self.initial_delay = Some((next, (remaining - delay).max(0)));
            self.timers.set(TimerKey::Join, now.monotonic + next);
            return;
        }
        if self.state == State::PreparingRebalance {
            self.complete_join(now, out);
        }
    }

    /// Whoever has not asked for its assignment within the rebalance timeout is out.
    fn expire_sync(&mut self, now: Now, config: &GroupConfig, out: &mut Outbox) {
        let late = std::mem::take(&mut self.pending_sync);
        if late.is_empty() || !matches!(self.state, State::CompletingRebalance | State::Stable) {
            return;
        }
        tracing::info!(group = %self.id, members = late.len(), "no SyncGroup within the rebalance timeout, members removed");
        for member_id in &late {
            self.evict(member_id, out);
        }
        self.prepare_rebalance(now, config, out);
    }

    /// Removes a member and answers what it waits for.
    fn evict(&mut self, member_id: &Str, out: &mut Outbox) {
        let Some(member) = self.remove(member_id) else { return };
        if let Some(waiter) = member.awaiting_join {
            out.joins.push((waiter, join_error(ErrorCode::UNKNOWN_MEMBER_ID, Str::default())));
        }
        if let Some(waiter) = member.awaiting_sync {
            out.syncs.push((waiter, sync_error(ErrorCode::UNKNOWN_MEMBER_ID)));
        }
    }

    pub(super) fn prepare_rebalance(&mut self, now: Now, config: &GroupConfig, out: &mut Outbox) {
        if self.state == State::CompletingRebalance {
            self.set_assignments(|_| Bytes::new());
            self.answer_syncs(now, out, Some(ErrorCode::REBALANCE_IN_PROGRESS));
        }
        self.pending_sync.clear();
        self.timers.cancel(&TimerKey::Sync);
        let initial = self.state == State::Empty;
        self.transition(now, State::PreparingRebalance);
        if initial {
            // Others are about to start as well, most likely: give them time before the first generation.
            let delay = i64::from(config.initial_rebalance_delay_ms.max(0));
            if delay == 0 {
                return self.complete_join(now, out);
            }
            self.new_member_added = false;
            self.initial_delay = Some((delay, (self.rebalance_timeout() - delay).max(0)));
            self.timers.set(TimerKey::Join, now.monotonic + delay);
        } else if self.has_all_joined() {
            self.complete_join(now, out);
        } else {
            self.timers.set(TimerKey::Join, now.monotonic + self.rebalance_timeout());
        }
    }

    pub(super) fn maybe_complete_join(&mut self, now: Now, out: &mut Outbox) {
        if self.state == State::PreparingRebalance && self.initial_delay.is_none() && self.has_all_joined() {
            self.complete_join(now, out);
        }
    }

    /// Ends the join phase: those who are not there are out (static ones get until the end of the sync phase).
    fn complete_join(&mut self, now: Now, out: &mut Outbox) {
        self.timers.cancel(&TimerKey::Join);
        self.initial_delay = None;
        let absent: Vec<Str> = self
            .members
            .values()
            .filter(|m| m.awaiting_join.is_none() && !m.is_static())
            .map(|m| m.id.clone())
            .collect();
        if !absent.is_empty() {
            tracing::info!(group = %self.id, members = absent.len(), "not rejoined within the rebalance timeout, members removed");
        }
        for member_id in &absent {
            self.evict(member_id, out);
        }
        if !self.elect_joined_leader() && !self.members.is_empty() {
            // Static members only, and none of them here: wait until one comes or their sessions end.
            self.timers.set(TimerKey::Join, now.monotonic + self.rebalance_timeout().max(100));
            return;
        }
        // Generations are positive; nobody will see the wrap.
        self.generation = self.generation.checked_add(1).unwrap_or(1);
        self.pending_sync.clear();
        self.protocol_name = self.select_protocol();
        self.read_subscriptions();
        if self.members.is_empty() {
            self.transition(now, State::Empty);
            out.persist = true;
            return;
        }
        self.transition(now, State::CompletingRebalance);
        let ids: Vec<Str> = self.members.keys().cloned().collect();
        for member_id in ids {
            let answer = self.join_answer(&member_id, false);
            if let Some(member) = self.members.get_mut(&member_id) {
                member.is_new = false;
                if let Some(waiter) = member.awaiting_join.take() {
                    self.awaiting_join -= 1;
                    out.joins.push((waiter, answer));
                }
            }
            self.restart_session(now, &member_id);
            self.pending_sync.insert(member_id);
        }
        self.timers.set(TimerKey::Sync, now.monotonic + self.rebalance_timeout());
    }

    /// True if the leader is among those who joined, or someone who joined has become it.
    fn elect_joined_leader(&mut self) -> bool {
        let joined = |id: &Str| self.members.get(id).is_some_and(|m| m.awaiting_join.is_some());
        if self.leader.as_ref().is_some_and(joined) {
            return true;
        }
        match self.members.values().find(|m| m.awaiting_join.is_some()) {
            Some(member) => {
                self.leader = Some(member.id.clone());
                true
            }
            None => false,
        }
    }

    /// Answers all who wait for their assignment.
    fn answer_syncs(&mut self, now: Now, out: &mut Outbox, error: Option<ErrorCode>) {
        let mut answered = Vec::new();
        for member in self.members.values_mut() {
            if let Some(waiter) = member.awaiting_sync.take() {
                answered.push((waiter, member.id.clone(), member.assignment.clone()));
            }
        }
        for (waiter, member_id, assignment) in answered {
            // Its timer may have run out unheeded while it waited.
            self.restart_session(now, &member_id);
            let answer = match error {
                Some(error) => sync_error(error),
                None => self.sync_answer(assignment),
            };
            out.syncs.push((waiter, answer));
        }
    }

    fn sync_answer(&self, assignment: Bytes) -> sync_group::Response {
        sync_group::Response {
            protocol_type: self.protocol_type.clone(),
            protocol_name: self.protocol_name.clone(),
            assignment,
            ..Default::default()
        }
    }

    /// The group as a member learns of it: the leader sees everybody.
    pub(super) fn join_answer(&self, member_id: &Str, skip_assignment: bool) -> join_group::Response {
        let protocol = self.protocol_name.clone().unwrap_or_default();
        let all = self.members.values().filter(|_| self.is_leader(member_id));
        let members = all.map(|m| join_group::JoinGroupResponseMember {
            member_id: m.id.clone(),
            group_instance_id: m.instance_id.clone(),
            metadata: m.metadata(&protocol),
            ..Default::default()
        });
        join_group::Response {
            generation_id: self.generation,
            protocol_type: self.protocol_type.clone(),
            protocol_name: self.protocol_name.clone(),
            leader: self.leader.clone().unwrap_or_default(),
            skip_assignment,
            member_id: member_id.clone(),
            members: members.collect(),
            ..Default::default()
        }
    }

    /// The group's record could not be appended: nobody may act on what it says. Answers that wait for it become errors,
    /// and the members start over.
    pub fn persist_failed(&mut self, now: Now, config: &GroupConfig, error: ErrorCode, out: &mut Outbox) {
        out.persist = false;
        for (_, answer) in &mut out.syncs {
            if answer.error_code == 0 {
                *answer = sync_error(error);
            }
        }
        for (_, answer) in &mut out.joins {
            if answer.error_code == 0 {
                *answer = join_error(error, answer.member_id.clone());
            }
        }
        if self.state == State::Stable {
            self.set_assignments(|_| Bytes::new());
            self.prepare_rebalance(now, config, out);
            // An Empty group whose record is missing is harmless: after a restart its members time out again.
            out.persist = false;
        }
    }
}

pub(super) fn join_error(error: ErrorCode, member_id: Str) -> join_group::Response {
    join_group::Response { error_code: error.0, member_id, ..Default::default() }
}

pub(super) fn sync_error(error: ErrorCode) -> sync_group::Response {
    sync_group::Response { error_code: error.0, ..Default::default() }
}
