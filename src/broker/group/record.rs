//! The records of `__consumer_offsets`, in Kafka's own formats, so that its tools read them. A key starts with the number of
//! its kind, a value with its version; no value is a tombstone. Written as Kafka 4.4 writes them, read in all versions.

use super::group::{Group, Now, State};
use super::member::{Member, Protocol};
use super::offsets::CommittedOffset;
use super::timers::TimerKey;
use crate::wire::read::Reader;
use crate::wire::schema::{Cx, Wire, schema};
use crate::wire::types::Uuid;
use crate::wire::write::Writer;
use crate::wire::{Piece, Str, WireError};
use bytes::{Bytes, BytesMut};

schema! {
    /// Kinds 0 and 1.
    OffsetCommitKey {
        group: Str [0+];
        topic: Str [0+];
        partition: i32 [0+];
    }

    /// Kind 2.
    GroupMetadataKey {
        group: Str [0+];
    }

    OffsetCommitValue {
        offset: i64 [0+];
        leader_epoch: i32 [3+] = -1;
        metadata: Str [0+];
        commit_timestamp: i64 [0+];
        expire_timestamp: i64 [1-1] = -1;
        @0 topic_id: Uuid [4+];
    }

    GroupMetadataValue {
        protocol_type: Str [0+];
        generation: i32 [0+];
        protocol: Option<Str> [0+] null [0+];
        leader: Option<Str> [0+] null [0+];
        current_state_timestamp: i64 [2+] = -1;
        members: Vec<MemberMetadata> [0+];
    }

    MemberMetadata {
        member_id: Str [0+];
        group_instance_id: Option<Str> [3+] null [3+];
        client_id: Str [0+];
        client_host: Str [0+];
        rebalance_timeout: i32 [1+] = -1;
        session_timeout: i32 [0+];
        subscription: Bytes [0+];
        assignment: Bytes [0+];
    }

    /// What every version of a consumer's subscription starts with, after its version.
    ConsumerSubscription {
        topics: Vec<Str> [0+];
    }
}

/// The first version of both values with compact lengths and tags.
const FIRST_FLEXIBLE: i16 = 4;
const OFFSET_COMMIT: i16 = 1;
const GROUP_METADATA: i16 = 2;
/// Strings of the keys and of the group's value have 16-bit lengths.
pub const MAX_STRING: usize = i16::MAX as usize;

/// A record to append.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupRecord {
    pub key: Bytes,
    /// None removes what the key names.
    pub value: Option<Bytes>,
}

impl GroupRecord {
    pub fn offset_commit(
        group: &Str,
        topic: &Str,
        partition: i32,
        committed: &CommittedOffset,
    ) -> GroupRecord {
        let value = OffsetCommitValue {
            offset: committed.offset,
            leader_epoch: committed.leader_epoch,
            metadata: committed.metadata.clone(),
            commit_timestamp: committed.commit_timestamp,
            expire_timestamp: committed.expire_timestamp.unwrap_or(-1),
            topic_id: committed.topic_id,
            ..Default::default()
        };
        // Only version 1 has a place for the retention time that old clients may ask for.
        let version = if committed.expire_timestamp.is_some() { 1 } else { 4 };
        GroupRecord { key: offset_key(group, topic, partition), value: Some(versioned(version, &value)) }
    }

    pub fn offset_tombstone(group: &Str, topic: &Str, partition: i32) -> GroupRecord {
        GroupRecord { key: offset_key(group, topic, partition), value: None }
    }

    pub fn group_metadata(group: &Group) -> GroupRecord {
        let protocol = group.protocol_name.clone().unwrap_or_default();
        let members = group.members.values().map(|m| MemberMetadata {
            member_id: m.id.clone(),
            group_instance_id: m.instance_id.clone(),
            client_id: m.client_id.clone(),
            client_host: m.client_host.clone(),
            rebalance_timeout: m.rebalance_timeout_ms,
            session_timeout: m.session_timeout_ms,
            subscription: m.metadata(&protocol),
            assignment: m.assignment.clone(),
            ..Default::default()
        });
        let value = GroupMetadataValue {
            protocol_type: group.protocol_type.clone().unwrap_or_default(),
            generation: group.generation,
            protocol: group.protocol_name.clone(),
            leader: group.leader.clone(),
            current_state_timestamp: group.state_since.unwrap_or(-1),
            members: members.collect(),
            ..Default::default()
        };
        GroupRecord { key: group_key(&group.id), value: Some(versioned(3, &value)) }
    }

    pub fn group_tombstone(group: &Str) -> GroupRecord {
        GroupRecord { key: group_key(group), value: None }
    }

    pub fn size(&self) -> usize {
        self.key.len() + self.value.as_ref().map_or(0, Bytes::len)
    }
}

/// A record read back.
#[derive(Debug, Clone, PartialEq)]
pub enum Replayed {
    Offset {
        key: OffsetCommitKey,
        value: Option<OffsetCommitValue>,
    },
    Group {
        key: GroupMetadataKey,
        value: Option<GroupMetadataValue>,
    },
    /// A kind this coordinator does not know (KIP-848 groups, share groups), by its number.
    Unknown(i16),
}

/// Reads a record. What it gives shares the memory it was read from.
pub fn replay(key: Bytes, value: Option<Bytes>) -> Result<Replayed, WireError> {
    let mut reader = Reader::new(key);
    let kind = reader.i16()?;
    let cx = Cx::new(0, false);
    Ok(match kind {
        0 | OFFSET_COMMIT => {
            let key = OffsetCommitKey::read(&mut reader, cx)?;
            Replayed::Offset { key, value: value.map(read_versioned).transpose()? }
        }
        GROUP_METADATA => {
            let key = GroupMetadataKey::read(&mut reader, cx)?;
            Replayed::Group { key, value: value.map(read_versioned).transpose()? }
        }
        other => Replayed::Unknown(other),
    })
}

impl CommittedOffset {
    pub fn from_record(value: &OffsetCommitValue, record_offset: i64) -> CommittedOffset {
        CommittedOffset {
            offset: value.offset,
            leader_epoch: value.leader_epoch,
            metadata: value.metadata.detached(),
            commit_timestamp: value.commit_timestamp,
            expire_timestamp: Some(value.expire_timestamp).filter(|t| *t != -1),
            topic_id: value.topic_id,
            record_offset,
        }
    }
}

impl Group {
    /// A group as its record has it: stable if it has members, who must heartbeat from now on.
    pub fn from_record(id: &Str, value: &GroupMetadataValue, now: Now) -> Group {
        let mut group = Group::new(id.detached(), now);
        let protocol_type = value.protocol_type.detached();
        group.generation = value.generation;
        group.protocol_type = Some(protocol_type.clone()).filter(|t| !t.is_empty());
        group.protocol_name = value.protocol.as_ref().map(Str::detached);
        group.state_since = Some(value.current_state_timestamp).filter(|t| *t != -1);
        group.leader = value.leader.as_ref().map(Str::detached);
        for m in &value.members {
            let protocol = Protocol {
                name: group.protocol_name.clone().unwrap_or_default(),
                metadata: Bytes::copy_from_slice(&m.subscription),
            };
            let negative = m.rebalance_timeout < 0;
            let member = Member {
                id: m.member_id.detached(),
                instance_id: m.group_instance_id.as_ref().map(Str::detached),
                client_id: m.client_id.detached(),
                client_host: m.client_host.detached(),
                rebalance_timeout_ms: if negative { m.session_timeout } else { m.rebalance_timeout },
                session_timeout_ms: m.session_timeout,
                protocols: vec![protocol],
                assignment: Bytes::copy_from_slice(&m.assignment),
                is_new: false,
                awaiting_join: None,
                awaiting_sync: None,
            };
            group.add(member, &protocol_type);
        }
        if !group.members.is_empty() {
            group.state = State::Stable;
        }
        group.read_subscriptions();
        group
    }

    /// Starts the sessions of all members, as after a restart.
    pub fn restart_sessions(&mut self, now: Now) {
        for member in self.members.values() {
            let at = now.monotonic + i64::from(member.session_timeout_ms);
            self.timers.set(TimerKey::Session(member.id.clone()), at);
        }
    }
}

/// The topics in a consumer's subscription, whatever its version; None if it is none.
pub fn subscribed_topics(metadata: Bytes) -> Option<Vec<Str>> {
    let mut reader = Reader::new(metadata);
    if reader.i16().ok()? < 0 {
        return None;
    }
    let subscription = ConsumerSubscription::read(&mut reader, Cx::new(0, false)).ok()?;
    // The user data belongs to version 0 as well: without it this is no subscription.
    reader.i32().ok()?;
    Some(subscription.topics)
}

fn offset_key(group: &Str, topic: &Str, partition: i32) -> Bytes {
    let key = OffsetCommitKey { group: group.clone(), topic: topic.clone(), partition, ..Default::default() };
    prefixed(OFFSET_COMMIT, &key, Cx::new(0, false))
}

fn group_key(group: &Str) -> Bytes {
    let key = GroupMetadataKey { group: group.clone(), ..Default::default() };
    prefixed(GROUP_METADATA, &key, Cx::new(0, false))
}

fn versioned(version: i16, value: &impl Wire) -> Bytes {
    prefixed(version, value, Cx::new(version, version >= FIRST_FLEXIBLE))
}

fn read_versioned<T: Wire>(value: Bytes) -> Result<T, WireError> {
    let mut reader = Reader::new(value);
    let version = reader.i16()?;
    // Later versions only add tagged fields (KIP-915): they are read as the last one known.
    let version = version.clamp(0, FIRST_FLEXIBLE);
    T::read(&mut reader, Cx::new(version, version >= FIRST_FLEXIBLE))
}

fn prefixed(number: i16, message: &impl Wire, cx: Cx) -> Bytes {
    let mut writer = Writer::new();
    writer.i16(number);
    message.write(&mut writer, cx);
    let mut pieces = writer.finish();
    if let [Piece::Bytes(_)] = pieces.as_slice()
        && let Some(Piece::Bytes(only)) = pieces.pop()
    {
        return only;
    }
    let mut all = BytesMut::new();
    for piece in &pieces {
        if let Piece::Bytes(bytes) = piece {
            all.extend_from_slice(bytes);
        }
    }
    all.freeze()
}
