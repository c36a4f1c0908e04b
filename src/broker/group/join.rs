//! JoinGroup: who may join, with or without an id, for the first time or again.

use super::config::GroupConfig;
use super::group::{Group, Now, Outbox, State};
use super::member::{JoinWaiter, Member, Protocol, protocols_size};
use super::rebalance::{join_error, sync_error};
use super::timers::TimerKey;
use crate::wire::{ErrorCode, Str, Uuid};
use bytes::Bytes;

/// A JoinGroup request. Everything in it is in memory of its own.
#[derive(Debug, Clone)]
pub struct Join {
    /// Empty for a member that has none yet.
    pub member_id: Str,
    pub instance_id: Option<Str>,
    pub client_id: Str,
    pub client_host: Str,
    pub protocol_type: Str,
    /// Names distinct.
    pub protocols: Vec<Protocol>,
    pub rebalance_timeout_ms: i32,
    pub session_timeout_ms: i32,
    /// What makes the id of a new member unique.
    pub unique: Uuid,
    /// Version 4 and later: a new dynamic member is sent back to join again with its id (KIP-394).
    pub member_id_required: bool,
    /// Version 9 and later: a static member that returns as the leader is told to skip the assignment (KIP-814).
    pub can_skip_assignment: bool,
}

impl Join {
    /// Bytes of memory it may come to take, by estimate.
    fn size(&self) -> usize {
        let ids = self.client_id.len() * 4 + self.instance_id.as_ref().map_or(0, |i| i.len() * 5);
        1024 + ids + self.client_host.len() + protocols_size(&self.protocols)
    }
}

impl Group {
    pub fn join(&mut self, now: Now, config: &GroupConfig, join: Join, waiter: JoinWaiter, out: &mut Outbox) {
        let refuse = |error, member_id: &Str| join_error(error, member_id.clone());
        let answer = if self.state == State::Dead {
            refuse(ErrorCode::COORDINATOR_NOT_AVAILABLE, &join.member_id)
        } else if !self.accepts(&join.member_id, join.size(), config) {
            if let Some(member) = self.remove(&join.member_id)
                && let Some(waiter) = member.awaiting_sync
            {
                out.syncs.push((waiter, sync_error(ErrorCode::UNKNOWN_MEMBER_ID)));
            }
            refuse(ErrorCode::GROUP_MAX_SIZE_REACHED, &Str::default())
        } else if !self.supports(&join.protocol_type, &join.protocols) {
            refuse(ErrorCode::INCONSISTENT_GROUP_PROTOCOL, &join.member_id)
        } else if join.member_id.is_empty() {
            return self.join_new(now, config, join, waiter, out);
        } else if self.pending_join.contains(&join.member_id) {
            if join.instance_id.is_none() {
                let member_id = join.member_id.clone();
                return self.add_member(now, config, join, member_id, waiter, out);
            }
            // Ids are handed out in advance to dynamic members only.
            refuse(ErrorCode::UNKNOWN_MEMBER_ID, &join.member_id)
        } else if let Err(error) = self.validate_member(&join.member_id, join.instance_id.as_ref()) {
            refuse(error, &join.member_id)
        } else {
            return self.rejoin(now, config, join, waiter, out);
        };
        out.joins.push((waiter, answer));
    }

    fn join_new(&mut self, now: Now, config: &GroupConfig, join: Join, waiter: JoinWaiter, out: &mut Outbox) {
        let member_id = new_member_id(join.instance_id.as_ref().unwrap_or(&join.client_id), join.unique);
        if let Some(instance_id) = &join.instance_id {
            match self.static_members.get(instance_id).cloned() {
                Some(old) => self.replace_static(now, config, join, old, member_id, waiter, out),
                None => self.add_member(now, config, join, member_id, waiter, out),
            }
        } else if join.member_id_required {
            self.add_pending(member_id.clone());
            let at = now.monotonic + i64::from(join.session_timeout_ms);
            self.timers.set(TimerKey::Session(member_id.clone()), at);
            out.joins.push((waiter, join_error(ErrorCode::MEMBER_ID_REQUIRED, member_id)));
        } else {
            self.add_member(now, config, join, member_id, waiter, out);
        }
    }

    fn add_member(
        &mut self,
        now: Now,
        config: &GroupConfig,
        join: Join,
        member_id: Str,
        waiter: JoinWaiter,
        out: &mut Outbox,
    ) {
        if self.initial_delay.is_some() {
            self.new_member_added = true;
        }
        let member = Member {
            id: member_id.clone(),
            instance_id: join.instance_id,
            client_id: join.client_id,
            client_host: join.client_host,
            rebalance_timeout_ms: join.rebalance_timeout_ms,
            session_timeout_ms: join.session_timeout_ms,
            protocols: join.protocols,
            assignment: Bytes::new(),
            is_new: true,
            awaiting_join: Some(waiter),
            awaiting_sync: None,
        };
        self.add(member, &join.protocol_type);
        // It does not know its id yet and cannot heartbeat; should its client be gone, nobody would notice for ever.
        let at = now.monotonic + i64::from(config.new_member_join_timeout_ms);
        self.timers.set(TimerKey::Session(member_id), at);
        self.rebalance_or_complete(now, config, out);
    }

    /// A member that is known joins again.
    fn rejoin(&mut self, now: Now, config: &GroupConfig, join: Join, waiter: JoinWaiter, out: &mut Outbox) {
        let same = self.members.get(&join.member_id).is_some_and(|m| m.protocols == join.protocols);
        let keeps = match self.state {
            // Perhaps the answer to its first request got lost: the generation has not changed for it.
            State::CompletingRebalance => same,
            // A leader rejoins to have the partitions assigned anew.
            State::Stable => same && !self.is_leader(&join.member_id),
            _ => false,
        };
        if keeps {
            let answer = self.join_answer(&join.member_id, false);
            return out.joins.push((waiter, answer));
        }
        if self.state == State::Empty {
            let answer = join_error(ErrorCode::UNKNOWN_MEMBER_ID, join.member_id);
            return out.joins.push((waiter, answer));
        }
        let member_id = join.member_id.clone();
        self.update_member(&member_id, join, waiter, out);
        self.rebalance_or_complete(now, config, out);
    }

    fn update_member(&mut self, member_id: &Str, join: Join, waiter: JoinWaiter, out: &mut Outbox) {
        let Some(member) = self.members.get_mut(member_id) else { return };
        member.rebalance_timeout_ms = join.rebalance_timeout_ms;
        member.session_timeout_ms = join.session_timeout_ms;
        let before = std::mem::replace(&mut member.protocols, join.protocols);
        let after = member.protocols.clone();
        self.bytes = (self.bytes + protocols_size(&after)).saturating_sub(protocols_size(&before));
        match member.awaiting_join.replace(waiter) {
            // The client gave its earlier request up; should it not have, it may try again.
            Some(superseded) => {
                let answer = join_error(ErrorCode::REBALANCE_IN_PROGRESS, member_id.clone());
                out.joins.push((superseded, answer));
            }
            None => self.awaiting_join += 1,
        }
        self.uncount_protocols(&before);
        self.count_protocols(&after);
    }

    /// A static member has restarted and takes its place under a new id; whoever still uses the old one is fenced.
    #[allow(clippy::too_many_arguments, reason = "all that a JoinGroup says of the member, once")]
    fn replace_static(
        &mut self,
        now: Now,
        config: &GroupConfig,
        join: Join,
        old_id: Str,
        new_id: Str,
        waiter: JoinWaiter,
        out: &mut Outbox,
    ) {
        let was_leader = self.is_leader(&old_id);
        let leader_before = self.leader.clone();
        let awaited_sync = self.pending_sync.contains(&old_id);
        let Some(mut member) = self.remove(&old_id) else { return };
        if let Some(waiter) = member.awaiting_join.take() {
            out.joins.push((waiter, join_error(ErrorCode::FENCED_INSTANCE_ID, old_id.clone())));
        }
        if let Some(waiter) = member.awaiting_sync.take() {
            out.syncs.push((waiter, sync_error(ErrorCode::FENCED_INSTANCE_ID)));
        }
        member.id = new_id.clone();
        member.is_new = false;
        member.client_id = join.client_id.clone();
        member.client_host = join.client_host.clone();
        if was_leader {
            self.leader = Some(new_id.clone());
        }
        let protocol_type = self.protocol_type.clone().unwrap_or_default();
        self.add(member, &protocol_type);
        if awaited_sync {
            self.pending_sync.insert(new_id.clone());
        }
        let can_skip = join.can_skip_assignment;
        self.update_member(&new_id, join, waiter, out);
        self.restart_session(now, &new_id);
        match self.state {
            State::Stable if self.select_protocol() == self.protocol_name => {
                // Nothing changes for the others: it gets its assignment back with its next SyncGroup.
                out.persist = true;
                let is_leader = self.is_leader(&new_id);
                let answer = if can_skip {
                    self.join_answer(&new_id, is_leader)
                } else {
                    // Older clients would assign anew as leaders: they must not learn that they are.
                    let mut answer = self.join_answer(&new_id, false);
                    answer.members.clear();
                    answer.leader = leader_before.unwrap_or_default();
                    answer
                };
                if let Some(member) = self.members.get_mut(&new_id)
                    && let Some(waiter) = member.awaiting_join.take()
                {
                    self.awaiting_join -= 1;
                    out.joins.push((waiter, answer));
                }
            }
            // In the sync phase the leader may be assigning to the old id just now.
            State::Stable | State::CompletingRebalance => self.prepare_rebalance(now, config, out),
            _ => self.maybe_complete_join(now, out),
        }
    }

    fn rebalance_or_complete(&mut self, now: Now, config: &GroupConfig, out: &mut Outbox) {
        match self.state {
            State::Empty | State::CompletingRebalance | State::Stable => {
                self.prepare_rebalance(now, config, out)
            }
            _ => self.maybe_complete_join(now, out),
        }
    }
}

/// Kafka's: the client's id or the `group.instance.id`, a dash, a UUID.
fn new_member_id(prefix: &Str, unique: Uuid) -> Str {
    use std::fmt::Write;
    // The whole must fit the 16-bit lengths of the group's record.
    let mut end = prefix.len().min(32_000);
    while !prefix.is_char_boundary(end) {
        end -= 1;
    }
    let mut id = String::with_capacity(end + 37);
    id.push_str(prefix.get(..end).unwrap_or_default());
    for (i, byte) in unique.0.iter().enumerate() {
        if matches!(i, 0 | 4 | 6 | 8 | 10) {
            id.push('-');
        }
        let _ = write!(id, "{byte:02x}");
    }
    Str::from(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn member_ids_look_like_kafkas() {
        let id = new_member_id(&Str::from("app"), Uuid([0xab; 16]));
        assert_eq!(id.as_str(), "app-abababab-abab-abab-abab-abababababab");
        let long = new_member_id(&Str::from("é".repeat(20_000)), Uuid::ZERO);
        assert!(long.len() <= 32_037 && long.ends_with("-000000000000"));
    }
}
