//! A classic group: its members, its state, what may happen in which state. How the states follow each other is in
//! `rebalance` and `join`. Pure: time comes in as [`Now`], answers go out through the [`Outbox`].

use super::config::GroupConfig;
use super::member::{JoinWaiter, Member, Protocol, SyncWaiter};
use super::timers::{TimerKey, Timers};
use crate::wire::api::{describe_groups, join_group, list_groups, sync_group};
use crate::wire::{ErrorCode, Str};
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// The protocol type of Kafka's consumers, whose subscriptions the coordinator can read.
pub const CONSUMER_PROTOCOL_TYPE: &str = "consumer";
/// Memory of a pending member besides its id, by estimate.
const PENDING_SIZE: usize = 256;

/// The two clocks: deadlines follow one that never jumps, timestamps in records the one on the wall.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// Milliseconds of a monotonic clock.
    pub monotonic: i64,
    /// Milliseconds since 1970.
    pub unix: i64,
}

/// Kafka's states of a classic group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum State {
    /// No members; perhaps committed offsets.
    Empty,
    /// Members are (re)joining.
    PreparingRebalance,
    /// All have joined; the leader's assignment is awaited.
    CompletingRebalance,
    Stable,
    /// Deleted.
    Dead,
}

impl State {
    pub const ALL: [State; 5] =
        [State::Empty, State::PreparingRebalance, State::CompletingRebalance, State::Stable, State::Dead];

    pub fn name(self) -> &'static str {
        match self {
            State::Empty => "Empty",
            State::PreparingRebalance => "PreparingRebalance",
            State::CompletingRebalance => "CompletingRebalance",
            State::Stable => "Stable",
            State::Dead => "Dead",
        }
    }
}

/// What an operation on a group leaves to be done: answers to send, and whether the group must be written first.
#[derive(Debug, Default)]
pub struct Outbox {
    pub joins: Vec<(JoinWaiter, join_group::Response)>,
    pub syncs: Vec<(SyncWaiter, sync_group::Response)>,
    /// The group changed in a way that a restart must find: its record is to be appended, the answers wait for it.
    pub persist: bool,
}

/// A group of the classic protocol.
#[derive(Debug)]
pub struct Group {
    pub(super) id: Str,
    pub(super) state: State,
    pub(super) previous_state: State,
    /// When the state was entered, since 1970; unknown for groups written by very old versions.
    pub(super) state_since: Option<i64>,
    pub(super) generation: i32,
    /// None for a group that only commits offsets.
    pub(super) protocol_type: Option<Str>,
    pub(super) protocol_name: Option<Str>,
    pub(super) leader: Option<Str>,
    pub(super) members: BTreeMap<Str, Member>,
    /// `group.instance.id` to member id.
    pub(super) static_members: HashMap<Str, Str>,
    /// Ids handed out with MEMBER_ID_REQUIRED that have not joined yet.
    pub(super) pending_join: BTreeSet<Str>,
    /// Members whose SyncGroup of this generation has not come.
    pub(super) pending_sync: BTreeSet<Str>,
    pub(super) awaiting_join: usize,
    /// How many members know each protocol.
    supporters: HashMap<Str, usize>,
    /// Memory of members and pending ones, by estimate.
    pub(super) bytes: usize,
    /// Topics that members subscribe to; None when their metadata could not be read as a consumer's.
    pub(super) subscribed: Option<BTreeSet<Str>>,
    /// Someone joined during the initial delay: it may be extended.
    pub(super) new_member_added: bool,
    /// The current slice of the initial delay and what is left after it; None outside of it.
    pub(super) initial_delay: Option<(i64, i64)>,
    pub(super) timers: Timers,
}

impl Group {
    pub fn new(id: Str, now: Now) -> Group {
        Group {
            id,
            state: State::Empty,
            previous_state: State::Dead,
            state_since: Some(now.unix),
            generation: 0,
            protocol_type: None,
            protocol_name: None,
            leader: None,
            members: BTreeMap::new(),
            static_members: HashMap::new(),
            pending_join: BTreeSet::new(),
            pending_sync: BTreeSet::new(),
            awaiting_join: 0,
            supporters: HashMap::new(),
            bytes: 0,
            subscribed: None,
            new_member_added: false,
            initial_delay: None,
            timers: Timers::default(),
        }
    }

    pub fn id(&self) -> &Str {
        &self.id
    }
    pub fn state(&self) -> State {
        self.state
    }
    pub fn generation(&self) -> i32 {
        self.generation
    }
    pub fn protocol_type(&self) -> Option<&Str> {
        self.protocol_type.as_ref()
    }
    pub fn protocol_name(&self) -> Option<&Str> {
        self.protocol_name.as_ref()
    }
    pub fn leader(&self) -> Option<&Str> {
        self.leader.as_ref()
    }
    pub fn members(&self) -> impl Iterator<Item = &Member> {
        self.members.values()
    }
    pub fn member_count(&self) -> usize {
        self.members.len()
    }
    pub fn state_since(&self) -> Option<i64> {
        self.state_since
    }
    /// When [`Group::expire`] has something to do, in monotonic milliseconds.
    pub fn next_deadline(&self) -> Option<i64> {
        self.timers.next()
    }

    /// Whether nobody has anything to do with it but committed offsets, if any.
    pub fn is_idle(&self) -> bool {
        self.state == State::Empty && self.pending_join.is_empty()
    }

    pub fn uses_consumer_protocol(&self) -> bool {
        self.protocol_type.as_ref().is_some_and(|t| *t == CONSUMER_PROTOCOL_TYPE)
    }

    /// Whether a topic's offsets are in use. Unknown subscriptions of consumers count as everything.
    pub fn is_subscribed(&self, topic: &str) -> bool {
        match &self.subscribed {
            Some(topics) => topics.contains(topic.as_bytes()),
            None => self.uses_consumer_protocol(),
        }
    }

    pub fn subscription_known(&self) -> bool {
        self.subscribed.is_some()
    }

    /// Bytes of memory, by estimate.
    pub fn size(&self) -> usize {
        let topics: usize = self.subscribed.iter().flatten().map(|t| 64 + t.len()).sum();
        640 + self.id.len() * 3 + self.bytes + topics
    }

    /// Refuses a member this group does not have, and one whose `group.instance.id` belongs to another by now.
    pub fn validate_member(&self, member_id: &Str, instance_id: Option<&Str>) -> Result<(), ErrorCode> {
        if let Some(instance_id) = instance_id {
            match self.static_members.get(instance_id) {
                None => return Err(ErrorCode::UNKNOWN_MEMBER_ID),
                Some(current) if current != member_id => return Err(ErrorCode::FENCED_INSTANCE_ID),
                Some(_) => {}
            }
        }
        if self.members.contains_key(member_id) { Ok(()) } else { Err(ErrorCode::UNKNOWN_MEMBER_ID) }
    }

    /// Whether offsets may be committed; renews the member's session where Kafka does.
    pub fn commit(
        &mut self,
        now: Now,
        member_id: &Str,
        instance_id: Option<&Str>,
        generation: i32,
    ) -> Result<(), ErrorCode> {
        // Admin clients and consumers without group management commit without a generation, into groups without members.
        if generation < 0 && self.state == State::Empty {
            return Ok(());
        }
        if generation < 0 && member_id.is_empty() && instance_id.is_none() {
            return Err(ErrorCode::UNKNOWN_MEMBER_ID);
        }
        self.validate_member(member_id, instance_id)?;
        if generation != self.generation {
            return Err(ErrorCode::ILLEGAL_GENERATION);
        }
        match self.state {
            State::CompletingRebalance => return Err(ErrorCode::REBALANCE_IN_PROGRESS),
            State::Dead => return Err(ErrorCode::COORDINATOR_NOT_AVAILABLE),
            State::Stable | State::PreparingRebalance => self.restart_session(now, member_id),
            State::Empty => {}
        }
        Ok(())
    }

    pub fn heartbeat(
        &mut self,
        now: Now,
        member_id: &Str,
        instance_id: Option<&Str>,
        generation: i32,
    ) -> Result<(), ErrorCode> {
        self.validate_member(member_id, instance_id)?;
        if generation != self.generation {
            return Err(ErrorCode::ILLEGAL_GENERATION);
        }
        match self.state {
            State::Dead => Err(ErrorCode::COORDINATOR_NOT_AVAILABLE),
            State::Empty => Err(ErrorCode::UNKNOWN_MEMBER_ID),
            State::PreparingRebalance => {
                self.restart_session(now, member_id);
                Err(ErrorCode::REBALANCE_IN_PROGRESS)
            }
            State::CompletingRebalance | State::Stable => {
                self.restart_session(now, member_id);
                Ok(())
            }
        }
    }

    /// Whether committed offsets may be deleted one by one (those of subscribed topics may not in any case).
    pub fn validate_offset_delete(&self) -> Result<(), ErrorCode> {
        match self.state {
            State::Dead => Err(ErrorCode::GROUP_ID_NOT_FOUND),
            State::Empty => Ok(()),
            _ if self.uses_consumer_protocol() => Ok(()),
            _ => Err(ErrorCode::NON_EMPTY_GROUP),
        }
    }

    pub fn validate_delete(&self) -> Result<(), ErrorCode> {
        match self.state {
            State::Dead => Err(ErrorCode::GROUP_ID_NOT_FOUND),
            State::Empty => Ok(()),
            _ => Err(ErrorCode::NON_EMPTY_GROUP),
        }
    }

    pub fn describe(&self) -> describe_groups::DescribedGroup {
        // Before it is stable a group has no protocol that its metadata could be shown of.
        let protocol = self.protocol_name.as_ref().filter(|_| self.state == State::Stable);
        let members = self.members.values().map(|m| describe_groups::DescribedGroupMember {
            member_id: m.id.clone(),
            group_instance_id: m.instance_id.clone(),
            client_id: m.client_id.clone(),
            client_host: m.client_host.clone(),
            member_metadata: protocol.map(|p| m.metadata(p)).unwrap_or_default(),
            member_assignment: protocol.map(|_| m.assignment.clone()).unwrap_or_default(),
            ..Default::default()
        });
        describe_groups::DescribedGroup {
            group_id: self.id.clone(),
            group_state: Str::from_static(self.state.name()),
            protocol_type: self.protocol_type.clone().unwrap_or_default(),
            protocol_data: protocol.cloned().unwrap_or_default(),
            members: members.collect(),
            ..Default::default()
        }
    }

    pub fn list(&self) -> list_groups::ListedGroup {
        list_groups::ListedGroup {
            group_id: self.id.clone(),
            protocol_type: self.protocol_type.clone().unwrap_or_default(),
            group_state: Str::from_static(self.state.name()),
            group_type: Str::from_static("classic"),
            ..Default::default()
        }
    }

    // What follows is for `join`, `rebalance` and `record`.

    pub(super) fn transition(&mut self, now: Now, to: State) {
        self.previous_state = self.state;
        self.state = to;
        self.state_since = Some(now.unix);
    }

    /// Adds a member; the first one's protocol type becomes the group's, the first one becomes the leader.
    pub(super) fn add(&mut self, member: Member, protocol_type: &Str) {
        if self.members.is_empty() {
            self.protocol_type = Some(protocol_type.clone());
        }
        if self.leader.is_none() {
            self.leader = Some(member.id.clone());
        }
        if let Some(instance_id) = &member.instance_id {
            self.static_members.insert(instance_id.clone(), member.id.clone());
        }
        self.remove_pending(&member.id);
        self.bytes += member.size();
        self.awaiting_join += usize::from(member.awaiting_join.is_some());
        self.count_protocols(&member.protocols);
        self.members.insert(member.id.clone(), member);
    }

    /// Takes out a member or a pending one, with all that is kept about it. Its waiters are the caller's to answer.
    pub(super) fn remove(&mut self, member_id: &Str) -> Option<Member> {
        self.remove_pending(member_id);
        self.pending_sync.remove(member_id);
        self.timers.cancel(&TimerKey::Session(member_id.clone()));
        let member = self.members.remove(member_id)?;
        self.bytes -= member.size();
        self.awaiting_join -= usize::from(member.awaiting_join.is_some());
        self.uncount_protocols(&member.protocols);
        if let Some(instance_id) = &member.instance_id {
            self.static_members.remove(instance_id);
        }
        if self.leader.as_ref() == Some(member_id) {
            self.leader = self.members.keys().next().cloned();
        }
        Some(member)
    }

    /// Keeps the id of a member that is to join again with it.
    pub(super) fn add_pending(&mut self, member_id: Str) {
        self.bytes += PENDING_SIZE + member_id.len() * 3;
        self.pending_join.insert(member_id);
    }

    fn remove_pending(&mut self, member_id: &Str) {
        if self.pending_join.remove(member_id) {
            self.bytes -= PENDING_SIZE + member_id.len() * 3;
        }
    }

    pub(super) fn restart_session(&mut self, now: Now, member_id: &Str) {
        if let Some(member) = self.members.get(member_id) {
            let at = now.monotonic + i64::from(member.session_timeout_ms);
            self.timers.set(TimerKey::Session(member_id.clone()), at);
        }
    }

    /// The longest of its members', in milliseconds.
    pub(super) fn rebalance_timeout(&self) -> i64 {
        self.members.values().map(|m| i64::from(m.rebalance_timeout_ms)).max().unwrap_or(0)
    }

    pub(super) fn has_all_joined(&self) -> bool {
        self.members.len() == self.awaiting_join && self.pending_join.is_empty()
    }

    pub(super) fn is_leader(&self, member_id: &Str) -> bool {
        self.leader.as_ref() == Some(member_id)
    }

    pub(super) fn count_protocols(&mut self, protocols: &[Protocol]) {
        for protocol in protocols {
            *self.supporters.entry(protocol.name.clone()).or_default() += 1;
        }
    }

    pub(super) fn uncount_protocols(&mut self, protocols: &[Protocol]) {
        for protocol in protocols {
            if let Some(count) = self.supporters.get_mut(&protocol.name) {
                *count -= 1;
                if *count == 0 {
                    self.supporters.remove(&protocol.name);
                }
            }
        }
    }

    fn is_known_to_all(&self, protocol: &Str) -> bool {
        self.supporters.get(protocol).copied().unwrap_or(0) == self.members.len()
    }

    /// Whether someone with these protocols can be a member: one of them must be known to all who are.
    pub(super) fn supports(&self, protocol_type: &Str, protocols: &[Protocol]) -> bool {
        if self.state == State::Empty {
            return !protocol_type.is_empty() && !protocols.is_empty();
        }
        self.protocol_type.as_ref() == Some(protocol_type)
            && protocols.iter().any(|p| self.is_known_to_all(&p.name))
    }

    /// The protocol of the next generation: known to all, wanted by most. Ties go to the first name.
    pub(super) fn select_protocol(&self) -> Option<Str> {
        let mut votes: BTreeMap<&Str, usize> = BTreeMap::new();
        for member in self.members.values() {
            if let Some(name) = member.vote(|name| self.is_known_to_all(name)) {
                *votes.entry(name).or_default() += 1;
            }
        }
        votes.into_iter().rev().max_by_key(|(_, count)| *count).map(|(name, _)| name.clone())
    }

    /// Learns what the members subscribe to from their metadata, if they are consumers.
    pub(super) fn read_subscriptions(&mut self) {
        self.subscribed = None;
        if !self.uses_consumer_protocol() {
            return;
        }
        if self.members.is_empty() {
            self.subscribed = Some(BTreeSet::new());
        }
        let Some(protocol) = &self.protocol_name else { return };
        let mut all = BTreeSet::new();
        for member in self.members.values() {
            match super::record::subscribed_topics(member.metadata(protocol)) {
                Some(topics) => all.extend(topics.iter().map(Str::detached)),
                None => return,
            }
        }
        self.subscribed = Some(all);
    }

    pub(super) fn set_assignments(&mut self, mut of: impl FnMut(&Str) -> Bytes) {
        for member in self.members.values_mut() {
            let assignment = of(&member.id);
            self.bytes = (self.bytes + assignment.len()).saturating_sub(member.assignment.len());
            member.assignment = assignment;
        }
    }

    /// Whether a joining member has a place: Kafka's rules for `group.max.size`, and a bound for the memory of a group.
    pub(super) fn accepts(&self, member_id: &Str, size: usize, config: &GroupConfig) -> bool {
        if self.size() + size > config.max_group_bytes {
            return false;
        }
        let member = self.members.get(member_id);
        match self.state {
            State::Empty | State::Dead => true,
            State::PreparingRebalance => {
                member.is_some_and(|m| m.awaiting_join.is_some()) || self.awaiting_join < config.max_size
            }
            State::CompletingRebalance | State::Stable => {
                member.is_some() || self.members.len() < config.max_size
            }
        }
    }
}
