//! Requests through the broker's door, over a real folder: every version, wrong inputs, restarts, expiry. Long because what its
//! checks share (one broker over one folder, restarted) is set up here once.

use super::*;
use crate::broker::catalogue::NewTopic;
use crate::broker::group::{GroupView, OffsetView};
use crate::broker::topic::{OFFSETS_TOPIC, Topic};
use crate::broker::{Broker, BrokerConfig, Clock, Context, ManualClock, Reply};
use crate::storage::files::RealFiles;
use crate::storage::{Storage, StorageConfig};
use crate::wire::api::*;
use crate::wire::{Piece, Request, RequestBody, Response, ResponseBody};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;

macro_rules! body {
    ($answer:expr, $api:ident) => {
        match $answer {
            Some(ResponseBody::$api(body)) => *body,
            other => panic!("answered {other:?}"),
        }
    };
}
macro_rules! answer {
    ($room:expr, $version:expr, $api:ident, $request:expr) => {
        body!($room.ask($version, $request).await.unwrap(), $api)
    };
}
pub(super) struct Room {
    broker: Arc<Broker>,
    hand: ManualClock,
    folder: tempfile::TempDir,
}

fn bytes(pieces: Vec<Piece>) -> Bytes {
    let mut all = Vec::new();
    for piece in pieces {
        let Piece::Bytes(bytes) = piece else { panic!("not in memory") };
        all.extend_from_slice(&bytes);
    }
    // Without the length prefix.
    Bytes::from(all).slice(4..)
}

fn context() -> Context {
    Context {
        principal: Str::from("User:ANONYMOUS"),
        client_id: Some(Str::from("probe")),
        client_host: "127.0.0.1".parse().unwrap(),
        session: 1,
        listener: Str::from("plain"),
        advertised_host: Str::from("gate.example"),
        advertised_port: 9092,
    }
}

impl Room {
    async fn new() -> Room {
        let room = Room::open(tempfile::tempdir().unwrap(), 1_700_000_000_000).await;
        room.create_topic("orders", 3).await;
        room
    }

    async fn open(folder: tempfile::TempDir, wall_ms: i64) -> Room {
        let (clock, hand) = Clock::manual(wall_ms);
        let config = StorageConfig { clock: clock.for_storage(), committers: 2, ..StorageConfig::default() };
        let storage = Storage::open(Arc::new(RealFiles::new()), folder.path().join("data"), config).unwrap();
        let config = BrokerConfig { clock, ..BrokerConfig::default() };
        let broker = Broker::open(config, storage).await.unwrap();
        Room { broker, hand, folder }
    }

    /// Ends it and starts it again, with what is on the disk.
    async fn restart(self) -> Room {
        let wall = self.broker.clock.now_ms();
        self.broker.shutdown(Duration::from_secs(5)).await.unwrap();
        drop(self.broker);
        let room = Room::open(self.folder, wall).await;
        room.coordinator(0).await;
        room
    }

    async fn create_topic(&self, name: &str, partitions: i32) -> Arc<Topic> {
        let catalogue = Arc::clone(self.broker.catalogue());
        let topic = NewTopic { name: Str::from(name), partitions, overrides: Default::default() };
        let mut created = tokio::task::spawn_blocking(move || catalogue.create(vec![topic])).await.unwrap();
        created.pop().unwrap().unwrap()
    }

    /// Asks as a client does: only what the version carries goes over, in both directions.
    fn ask<B: Into<RequestBody>>(&self, version: i16, body: B) -> JoinHandle<Option<ResponseBody>> {
        let request = Request::new(version, 7, Some(Str::from("probe")), body.into()).expect("version");
        let request = Request::parse(bytes(request.encode().unwrap())).unwrap();
        let (api, reply) = (request.api(), self.broker.handle(&context(), request));
        tokio::spawn(async move {
            let response = match reply {
                Reply::Now(response) => response,
                Reply::Metered { .. } => panic!("nobody has a quota"),
                Reply::Later { response, barrier } => {
                    assert!(!barrier);
                    response.await
                }
                Reply::Close => None,
            }?;
            let response = Response::parse(api, version, bytes(response.encode().unwrap())).unwrap();
            assert_eq!(response.correlation_id, 7);
            Some(response.body)
        })
    }

    async fn coordinator(&self, version: i16) -> find_coordinator::Response {
        let request = find_coordinator::Request {
            key: Str::from("g"),
            coordinator_keys: vec![Str::from("g"), Str::from("h")],
            ..Default::default()
        };
        answer!(self, version, FindCoordinator, request)
    }

    /// Lets time pass once whoever waits for it has come to rest.
    async fn advance(&self, ms: u64) {
        self.rest().await;
        self.hand.advance(Duration::from_millis(ms));
        self.rest().await;
    }

    /// Until the timers' driver sleeps again.
    async fn rest(&self) {
        let rest = async {
            while self.hand.waiting() == 0 {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), rest).await.expect("the driver never came to rest");
    }

    /// A group of one, stable at generation 1.
    async fn stable(&self, group: &str) -> Str {
        self.coordinator(0).await;
        let id = answer!(self, 9, JoinGroup, join(group, "")).member_id;
        let joining = self.ask(9, join(group, &id));
        self.advance(3_000).await;
        let joined = body!(joining.await.unwrap(), JoinGroup);
        assert_eq!((joined.error_code, joined.generation_id), (0, 1));
        assert_eq!(answer!(self, 5, SyncGroup, sync(group, &id, 1, 5)).assignment.as_ref(), b"mine");
        id
    }

    async fn commit(&self, request: offset_commit::Request, version: i16) -> ErrorCode {
        let answer = answer!(self, version, OffsetCommit, request);
        ErrorCode(answer.topics[0].partitions[0].error_code)
    }

    async fn committed(&self, group: &str) -> Vec<(String, i32, i64)> {
        let request = offset_fetch::Request { groups: vec![fetch_group(group, None)], ..Default::default() };
        let answer = answer!(self, 8, OffsetFetch, request);
        assert_eq!(answer.groups[0].error_code, 0);
        let topics = answer.groups[0].topics.iter();
        topics
            .flat_map(|t| {
                t.partitions.iter().map(|p| (t.name.to_string(), p.partition_index, p.committed_offset))
            })
            .collect()
    }

    async fn state(&self, group: &str) -> String {
        let request = describe_groups::Request { groups: vec![Str::from(group)], ..Default::default() };
        answer!(self, 5, DescribeGroups, request).groups[0].group_state.to_string()
    }
}

fn join(group: &str, member_id: &str) -> join_group::Request {
    join_group::Request {
        group_id: Str::from(group),
        session_timeout_ms: 10_000,
        rebalance_timeout_ms: 60_000,
        member_id: Str::from(member_id),
        protocol_type: Str::from("consumer"),
        protocols: vec![join_group::JoinGroupRequestProtocol {
            name: Str::from("range"),
            metadata: subscription(&["orders"]),
            ..Default::default()
        }],
        ..Default::default()
    }
}

fn sync(group: &str, member_id: &str, generation: i32, version: i16) -> sync_group::Request {
    sync_group::Request {
        group_id: Str::from(group),
        generation_id: generation,
        member_id: Str::from(member_id),
        protocol_type: (version >= 5).then(|| Str::from("consumer")),
        protocol_name: (version >= 5).then(|| Str::from("range")),
        assignments: vec![sync_group::SyncGroupRequestAssignment {
            member_id: Str::from(member_id),
            assignment: Bytes::from_static(b"mine"),
            ..Default::default()
        }],
        ..Default::default()
    }
}

fn commit(
    group: &str,
    member_id: &str,
    generation: i32,
    partition: i32,
    offset: i64,
) -> offset_commit::Request {
    offset_commit::Request {
        group_id: Str::from(group),
        generation_id_or_member_epoch: generation,
        member_id: Str::from(member_id),
        topics: vec![offset_commit::OffsetCommitRequestTopic {
            name: Str::from("orders"),
            partitions: vec![offset_commit::OffsetCommitRequestPartition {
                partition_index: partition,
                committed_offset: offset,
                committed_leader_epoch: 4,
                committed_metadata: Some(Str::from("note")),
                ..Default::default()
            }],
            ..Default::default()
        }],
        ..Default::default()
    }
}

fn fetch_group(
    group: &str,
    topics: Option<Vec<offset_fetch::OffsetFetchRequestTopics>>,
) -> offset_fetch::OffsetFetchRequestGroup {
    offset_fetch::OffsetFetchRequestGroup { group_id: Str::from(group), topics, ..Default::default() }
}

#[tokio::test]
async fn one_life_of_a_group_at_every_version() {
    let room = Room::new().await;
    let orders = room.broker.catalogue().topic("orders").unwrap();
    for step in 0..=10i16 {
        let group = format!("g{step}");
        let at = |max: i16| step.min(max);
        let found = room.coordinator(at(6)).await;
        if at(6) >= 4 {
            let hosts: Vec<_> =
                found.coordinators.iter().map(|c| (c.key.as_str(), c.host.as_str(), c.port)).collect();
            assert_eq!(hosts, [("g", "gate.example", 9092), ("h", "gate.example", 9092)]);
        } else {
            assert_eq!(
                (found.error_code, found.node_id, found.host.as_str(), found.port),
                (0, 1, "gate.example", 9092)
            );
        }

        let mut member_id = Str::default();
        if at(9) >= 4 {
            let sent_back = answer!(room, at(9), JoinGroup, join(&group, ""));
            assert_eq!(sent_back.error_code, ErrorCode::MEMBER_ID_REQUIRED.0);
            member_id = sent_back.member_id;
        }
        let joining = room.ask(at(9), join(&group, &member_id));
        room.advance(3_000).await;
        let joined = body!(joining.await.unwrap(), JoinGroup);
        assert_eq!(
            (joined.error_code, joined.generation_id, joined.members.len()),
            (0, 1, 1),
            "join {}",
            at(9)
        );
        assert_eq!(joined.protocol_name, Some(Str::from("range")));
        assert_eq!(joined.protocol_type.is_some(), at(9) >= 7);
        let member_id = joined.member_id;
        assert!(member_id.starts_with("probe-"));

        let synced = answer!(room, at(5), SyncGroup, sync(&group, &member_id, 1, at(5)));
        assert_eq!((synced.error_code, synced.assignment.as_ref()), (0, b"mine".as_ref()));
        let heartbeat = heartbeat::Request {
            group_id: Str::from(&*group),
            generation_id: 1,
            member_id: member_id.clone(),
            ..Default::default()
        };
        assert_eq!(answer!(room, at(4), Heartbeat, heartbeat).error_code, 0);

        let version = step.max(2);
        let mut request = commit(&group, &member_id, 1, 1, 100 + i64::from(step));
        request.topics[0].topic_id = orders.id();
        assert_eq!(room.commit(request, version).await, ErrorCode::NONE, "commit {version}");

        let version = step.max(1);
        let request = offset_fetch::Request {
            group_id: Str::from(&*group),
            topics: Some(vec![offset_fetch::OffsetFetchRequestTopic {
                name: Str::from("orders"),
                partition_indexes: vec![1, 2],
                ..Default::default()
            }]),
            groups: vec![fetch_group(
                &group,
                Some(vec![offset_fetch::OffsetFetchRequestTopics {
                    name: Str::from("orders"),
                    topic_id: orders.id(),
                    partition_indexes: vec![1, 2],
                    ..Default::default()
                }]),
            )],
            ..Default::default()
        };
        let fetched = answer!(room, version, OffsetFetch, request);
        // Epochs are committed from version 6 on and shown from 5 on.
        let epoch = if step >= 6 { 4 } else { -1 };
        if version >= 8 {
            let topic = &fetched.groups[0].topics[0];
            assert_eq!(topic.topic_id == orders.id(), version >= 10);
            let shown = |i: usize| {
                let p = &topic.partitions[i];
                (p.committed_offset, p.committed_leader_epoch, p.metadata.as_deref(), p.error_code)
            };
            assert_eq!(shown(0), (100 + i64::from(step), epoch, Some("note"), 0));
            assert_eq!(shown(1), (-1, -1, Some(""), 0));
        } else {
            let shown = |i: usize| {
                let p = &fetched.topics[0].partitions[i];
                (p.committed_offset, p.committed_leader_epoch, p.metadata.as_deref(), p.error_code)
            };
            assert_eq!(
                shown(0),
                (100 + i64::from(step), if version >= 5 { epoch } else { -1 }, Some("note"), 0)
            );
            assert_eq!(shown(1), (-1, -1, Some(""), 0));
        }

        let request = describe_groups::Request {
            groups: vec![Str::from(&*group)],
            include_authorized_operations: at(6) >= 3,
            ..Default::default()
        };
        let described = answer!(room, at(6), DescribeGroups, request).groups.remove(0);
        assert_eq!((described.group_state.as_str(), described.protocol_data.as_str()), ("Stable", "range"));
        assert_eq!(described.authorized_operations, if at(6) >= 3 { 3400 } else { i32::MIN });
        assert_eq!(described.members[0].client_host, "/127.0.0.1");
        assert_eq!(described.members[0].member_assignment.as_ref(), b"mine");

        let listed = answer!(room, at(5), ListGroups, list_groups::Request::default());
        let me = listed.groups.iter().find(|g| g.group_id == *group.as_str()).unwrap();
        assert_eq!((me.protocol_type.as_str(), me.group_state == "Stable"), ("consumer", at(5) >= 4));
        assert_eq!(me.group_type == "classic", at(5) >= 5);

        let request = delete_groups::Request { groups_names: vec![Str::from(&*group)], ..Default::default() };
        let refused = answer!(room, at(3), DeleteGroups, request.clone());
        assert_eq!(refused.results[0].error_code, ErrorCode::NON_EMPTY_GROUP.0);
        let leave = leave_group::Request {
            group_id: Str::from(&*group),
            member_id: member_id.clone(),
            members: vec![leave_group::MemberIdentity { member_id: member_id.clone(), ..Default::default() }],
            ..Default::default()
        };
        let left = answer!(room, at(5), LeaveGroup, leave);
        assert_eq!((left.error_code, left.members.len()), (0, usize::from(at(5) >= 3)));
        assert_eq!(room.state(&group).await, "Empty");
        let deleted = answer!(room, at(3), DeleteGroups, request);
        assert_eq!(deleted.results[0].error_code, 0);
        assert_eq!((room.state(&group).await, room.committed(&group).await), ("Dead".to_owned(), vec![]));
    }
}

#[tokio::test]
async fn coordinators_of_other_kinds_are_refused() {
    let room = Room::new().await;
    let of = |key_type, version: i16| {
        let request = find_coordinator::Request {
            key: Str::from("t"),
            key_type,
            coordinator_keys: vec![Str::from("t")],
            ..Default::default()
        };
        room.ask(version, request)
    };
    // Clients that are told to come back do so until max.block.ms is over; these codes they take as final.
    let message = Some("transactions are not supported yet");
    for version in 1..=3 {
        let answer = body!(of(1, version).await.unwrap(), FindCoordinator);
        let code = ErrorCode::TRANSACTIONAL_ID_AUTHORIZATION_FAILED;
        assert_eq!((answer.error_code, answer.node_id, answer.port), (code.0, -1, -1));
        assert_eq!(answer.error_message.as_deref(), message);
    }
    for version in 4..=6 {
        let answer = body!(of(1, version).await.unwrap(), FindCoordinator);
        let coordinator = &answer.coordinators[0];
        assert_eq!(coordinator.error_code, ErrorCode::UNSUPPORTED_VERSION.0);
        assert_eq!(coordinator.error_message.as_deref(), message);
    }
    for (key_type, version) in [(2, 6), (2, 5), (9, 4), (-1, 4)] {
        let answer = body!(of(key_type, version).await.unwrap(), FindCoordinator);
        assert_eq!(answer.coordinators[0].error_code, ErrorCode::INVALID_REQUEST.0);
        assert_eq!(answer.coordinators[0].node_id, -1);
    }
}

#[tokio::test]
async fn the_offsets_topic_is_made_when_it_is_first_needed() {
    let room = Room::new().await;
    assert!(room.broker.catalogue().topic(OFFSETS_TOPIC).is_none());
    // Whoever did not ask for the coordinator is told to; asking has it made.
    assert_eq!(room.commit(commit("g", "", -1, 0, 1), 9).await, ErrorCode::COORDINATOR_NOT_AVAILABLE);
    assert_eq!(room.state("g").await, "Dead");
    room.coordinator(0).await;
    let topic = room.broker.catalogue().topic(OFFSETS_TOPIC).unwrap();
    assert_eq!(topic.partition_count(), room.broker.settings().offsets_topic_num_partitions as usize);
    assert_eq!(room.commit(commit("g", "", -1, 0, 1), 9).await, ErrorCode::NONE);
}

#[tokio::test]
async fn joins_with_wrong_inputs_are_refused() {
    let room = Room::new().await;
    room.coordinator(0).await;
    let wrong = [
        (
            join_group::Request { session_timeout_ms: 5_999, ..join("g", "") },
            ErrorCode::INVALID_SESSION_TIMEOUT,
        ),
        (
            join_group::Request { session_timeout_ms: 1_800_001, ..join("g", "") },
            ErrorCode::INVALID_SESSION_TIMEOUT,
        ),
        (join("", ""), ErrorCode::INVALID_GROUP_ID),
        (join("g", "who"), ErrorCode::UNKNOWN_MEMBER_ID),
        (
            join_group::Request { protocols: Vec::new(), ..join("g", "") },
            ErrorCode::INCONSISTENT_GROUP_PROTOCOL,
        ),
    ];
    for (request, expected) in wrong {
        let member_id = request.member_id.clone();
        let answer = answer!(room, 9, JoinGroup, request);
        assert_eq!((ErrorCode(answer.error_code), answer.generation_id), (expected, -1));
        assert_eq!((answer.member_id, answer.protocol_name, answer.members.len()), (member_id, None, 0));
    }
    // None of these left a group behind.
    assert!(answer!(room, 5, ListGroups, list_groups::Request::default()).groups.is_empty());
    let no_protocol = sync_group::Request { protocol_type: None, ..sync("g", "m", 1, 5) };
    let refused = answer!(room, 5, SyncGroup, no_protocol).error_code;
    assert_eq!(refused, ErrorCode::INCONSISTENT_GROUP_PROTOCOL.0);
    assert_eq!(answer!(room, 4, SyncGroup, sync("", "m", 1, 4)).error_code, ErrorCode::INVALID_GROUP_ID.0);
    assert_eq!(answer!(room, 4, SyncGroup, sync("g", "m", 1, 4)).error_code, ErrorCode::UNKNOWN_MEMBER_ID.0);
    for (group, expected) in [("", ErrorCode::INVALID_GROUP_ID), ("g", ErrorCode::UNKNOWN_MEMBER_ID)] {
        let request = heartbeat::Request { group_id: Str::from(group), ..Default::default() };
        assert_eq!(answer!(room, 4, Heartbeat, request).error_code, expected.0);
        let leave = leave_group::Request { group_id: Str::from(group), ..Default::default() };
        assert_eq!(answer!(room, 2, LeaveGroup, leave).error_code, expected.0);
    }
    let leave = leave_group::Request {
        group_id: Str::from("g"),
        members: vec![leave_group::MemberIdentity { member_id: Str::from("x"), ..Default::default() }],
        ..Default::default()
    };
    let left = answer!(room, 5, LeaveGroup, leave);
    assert_eq!((left.error_code, left.members[0].error_code), (0, ErrorCode::UNKNOWN_MEMBER_ID.0));
}

#[tokio::test]
async fn commits_are_answered_part_by_part() {
    let room = Room::new().await;
    let id = room.stable("g").await;
    let mut request = commit("g", &id, 1, 0, 7);
    let more = |partition_index, metadata: usize| offset_commit::OffsetCommitRequestPartition {
        partition_index,
        committed_offset: -5,
        committed_metadata: Some(Str::from("é".repeat(metadata))),
        ..Default::default()
    };
    // 4096 characters are allowed, whatever their bytes.
    request.topics[0].partitions.extend([more(1, 4096), more(2, 4097), more(8, 0), more(-1, 0)]);
    request.topics.push(offset_commit::OffsetCommitRequestTopic {
        name: Str::from("nope"),
        partitions: vec![more(0, 0)],
        ..Default::default()
    });
    let answer = answer!(room, 9, OffsetCommit, request);
    let errors: Vec<Vec<i16>> =
        answer.topics.iter().map(|t| t.partitions.iter().map(|p| p.error_code).collect()).collect();
    let unknown = ErrorCode::UNKNOWN_TOPIC_OR_PARTITION.0;
    assert_eq!(errors, [vec![0, 0, ErrorCode::OFFSET_METADATA_TOO_LARGE.0, unknown, unknown], vec![unknown]]);
    assert_eq!(room.committed("g").await, [("orders".to_owned(), 0, 7), ("orders".to_owned(), 1, -5)]);

    for (request, version, expected) in [
        (commit("g", &id, 2, 0, 1), 9, ErrorCode::ILLEGAL_GENERATION),
        (commit("g", "who", 1, 0, 1), 9, ErrorCode::UNKNOWN_MEMBER_ID),
        (commit("g", "", -1, 0, 1), 9, ErrorCode::UNKNOWN_MEMBER_ID),
        (commit("none", "who", 1, 0, 1), 9, ErrorCode::GROUP_ID_NOT_FOUND),
        (commit("none", "who", 1, 0, 1), 8, ErrorCode::ILLEGAL_GENERATION),
        (commit("g", &id, 1, 0, 1), 10, ErrorCode::UNKNOWN_TOPIC_ID),
    ] {
        assert_eq!(room.commit(request, version).await, expected);
    }
    assert_eq!(room.committed("g").await[0].2, 7);
    assert_eq!(room.state("none").await, "Dead");
}

#[tokio::test]
async fn offsets_are_fetched_of_groups_and_topics_that_are_not_there() {
    let room = Room::new().await;
    room.coordinator(0).await;
    assert_eq!(room.commit(commit("g", "", -1, 2, 5), 9).await, ErrorCode::NONE);
    let all = |version: i16| {
        let groups = vec![fetch_group("g", None), fetch_group("none", None), fetch_group("g", Some(vec![]))];
        room.ask(version, offset_fetch::Request { groups, ..Default::default() })
    };
    for version in 8..=10 {
        let answer = body!(all(version).await.unwrap(), OffsetFetch);
        let shown: Vec<_> =
            answer.groups.iter().map(|g| (g.group_id.as_str(), g.topics.len(), g.error_code)).collect();
        assert_eq!(shown, [("g", 1, 0), ("none", 0, 0), ("g", 0, 0)]);
    }
    let unknown = offset_fetch::OffsetFetchRequestTopics {
        topic_id: Uuid([9; 16]),
        partition_indexes: vec![2],
        ..Default::default()
    };
    let request =
        offset_fetch::Request { groups: vec![fetch_group("g", Some(vec![unknown]))], ..Default::default() };
    let answer = answer!(room, 10, OffsetFetch, request);
    let partition = &answer.groups[0].topics[0].partitions[0];
    assert_eq!((partition.error_code, partition.committed_offset), (ErrorCode::UNKNOWN_TOPIC_ID.0, -1));
    for version in 2..=7 {
        let request = offset_fetch::Request { group_id: Str::from("g"), topics: None, ..Default::default() };
        let answer = answer!(room, version, OffsetFetch, request);
        assert_eq!(answer.topics[0].partitions[0].committed_offset, 5);
    }
}

#[tokio::test]
async fn groups_are_listed_and_described_by_their_rules() {
    let room = Room::new().await;
    room.stable("live").await;
    room.commit(commit("simple", "", -1, 0, 1), 9).await;
    for (states, types, expected) in [
        (vec![], vec![], vec!["live", "simple"]),
        (vec!["stable"], vec![], vec!["live"]),
        (vec![" EMPTY "], vec!["Classic"], vec!["simple"]),
        (vec!["Stable", "Empty"], vec!["consumer"], vec![]),
        (vec!["nonsense"], vec![], vec![]),
    ] {
        let strs = |names: Vec<&str>| names.into_iter().map(Str::from).collect();
        let request = list_groups::Request {
            states_filter: strs(states),
            types_filter: strs(types),
            ..Default::default()
        };
        let listed = answer!(room, 5, ListGroups, request);
        let mut names: Vec<_> = listed.groups.iter().map(|g| g.group_id.to_string()).collect();
        names.sort();
        assert_eq!(names, expected);
    }
    let request = describe_groups::Request {
        groups: vec![Str::from("none"), Str::from("simple")],
        include_authorized_operations: true,
        ..Default::default()
    };
    let new = answer!(room, 6, DescribeGroups, request.clone()).groups;
    assert_eq!(new[0].error_code, ErrorCode::GROUP_ID_NOT_FOUND.0);
    assert_eq!(new[0].error_message.as_deref(), Some("Group none not found."));
    assert_eq!((new[0].group_state.as_str(), new[0].authorized_operations), ("Dead", i32::MIN));
    assert_eq!((new[1].group_state.as_str(), new[1].protocol_type.as_str()), ("Empty", ""));
    let old = answer!(room, 5, DescribeGroups, request).groups;
    assert_eq!((old[0].error_code, old[0].group_state.as_str()), (0, "Dead"));
}

#[tokio::test]
async fn offsets_and_groups_are_deleted_where_allowed() {
    let room = Room::new().await;
    room.create_topic("audit", 1).await;
    let id = room.stable("g").await;
    let mut request = commit("g", &id, 1, 0, 7);
    let mut audit = request.topics[0].clone();
    audit.name = Str::from("audit");
    request.topics.push(audit);
    room.commit(request, 9).await;

    let topic = |name: &str, partitions: &[i32]| offset_delete::OffsetDeleteRequestTopic {
        name: Str::from(name),
        partitions: partitions
            .iter()
            .map(|p| offset_delete::OffsetDeleteRequestPartition {
                partition_index: *p,
                ..Default::default()
            })
            .collect(),
        ..Default::default()
    };
    let delete = |group: &str| offset_delete::Request {
        group_id: Str::from(group),
        topics: vec![topic("orders", &[0, 9]), topic("audit", &[0]), topic("nope", &[0])],
        ..Default::default()
    };
    let answer = answer!(room, 0, OffsetDelete, delete("g"));
    let errors: Vec<Vec<i16>> =
        answer.topics.iter().map(|t| t.partitions.iter().map(|p| p.error_code).collect()).collect();
    let unknown = ErrorCode::UNKNOWN_TOPIC_OR_PARTITION.0;
    assert_eq!(errors, [vec![ErrorCode::GROUP_SUBSCRIBED_TO_TOPIC.0, unknown], vec![0], vec![unknown]]);
    assert_eq!(room.committed("g").await, [("orders".to_owned(), 0, 7)]);
    assert_eq!(answer!(room, 0, OffsetDelete, delete("none")).error_code, ErrorCode::GROUP_ID_NOT_FOUND.0);
    assert_eq!(answer!(room, 0, OffsetDelete, delete("")).error_code, ErrorCode::INVALID_GROUP_ID.0);

    room.commit(commit("simple", "", -1, 0, 1), 9).await;
    let names = ["", "g", "none", "simple", "simple"].map(Str::from).to_vec();
    let request = delete_groups::Request { groups_names: names, ..Default::default() };
    let results = answer!(room, 2, DeleteGroups, request).results;
    let shown: Vec<_> = results.iter().map(|r| (r.group_id.as_str(), ErrorCode(r.error_code))).collect();
    let missing = ErrorCode::GROUP_ID_NOT_FOUND;
    assert_eq!(
        shown,
        [("", missing), ("g", ErrorCode::NON_EMPTY_GROUP), ("none", missing), ("simple", ErrorCode::NONE)]
    );
}

#[tokio::test]
async fn groups_and_offsets_survive_a_restart() {
    let room = Room::new().await;
    let id = room.stable("live").await;
    assert_eq!(room.commit(commit("live", &id, 1, 1, 41), 9).await, ErrorCode::NONE);
    assert_eq!(room.commit(commit("live", &id, 1, 1, 42), 9).await, ErrorCode::NONE);
    let other = room.stable("left").await;
    let leave = leave_group::Request { group_id: Str::from("left"), member_id: other, ..Default::default() };
    answer!(room, 2, LeaveGroup, leave);
    room.commit(commit("simple", "", -1, 0, 9), 9).await;
    room.commit(commit("deleted", "", -1, 0, 9), 9).await;
    let request = delete_groups::Request { groups_names: vec![Str::from("deleted")], ..Default::default() };
    answer!(room, 2, DeleteGroups, request);
    let mut before = room.broker.groups.view(10, 10);

    let room = room.restart().await;
    let mut after = room.broker.groups.view(10, 10);
    for views in [&mut before, &mut after] {
        views.sort_by(|a, b| a.group_id.cmp(&b.group_id));
    }
    assert_eq!(before, after);
    assert_eq!(after.iter().map(|v| v.group_id.as_str()).collect::<Vec<_>>(), ["left", "live", "simple"]);
    assert_eq!((after[0].state, after[0].generation), (State::Empty, 2));
    assert_eq!(after[1].offsets[0].offset, 42);

    // Its member goes on where it was, and is removed if it does not.
    let beat = heartbeat::Request {
        group_id: Str::from("live"),
        generation_id: 1,
        member_id: id.clone(),
        ..Default::default()
    };
    room.advance(9_000).await;
    assert_eq!(answer!(room, 4, Heartbeat, beat.clone()).error_code, 0);
    let again = answer!(room, 5, SyncGroup, sync("live", &id, 1, 5));
    assert_eq!((again.error_code, again.assignment.as_ref()), (0, b"mine".as_ref()));
    room.advance(9_000).await;
    assert_eq!(answer!(room, 4, Heartbeat, beat.clone()).error_code, 0);
    room.advance(10_000).await;
    assert_eq!(answer!(room, 4, Heartbeat, beat).error_code, ErrorCode::UNKNOWN_MEMBER_ID.0);
    assert_eq!(room.state("live").await, "Empty");
}

#[tokio::test]
async fn offsets_expire_when_their_group_has_been_empty_long_enough() {
    let room = Room::new().await;
    let day = 24 * 3_600_000;
    room.coordinator(0).await;
    room.commit(commit("simple", "", -1, 0, 1), 9).await;
    let retained = offset_commit::Request { retention_time_ms: 1_000, ..commit("short", "", -1, 0, 1) };
    assert_eq!(room.commit(retained, 4).await, ErrorCode::NONE);
    room.advance(600_000).await;
    assert_eq!(
        (room.state("short").await, room.state("simple").await),
        ("Dead".to_owned(), "Empty".to_owned())
    );
    room.advance(7 * day - 1_200_000).await;
    let id = room.stable("live").await;
    room.commit(commit("live", &id, 1, 0, 1), 9).await;
    assert_eq!(room.state("simple").await, "Empty");
    room.advance(1_200_000).await;
    assert_eq!(room.state("simple").await, "Dead");
    // The member of this one fell silent meanwhile; from then on it counts.
    assert_eq!((room.state("live").await, room.committed("live").await.len()), ("Empty".to_owned(), 1));
    room.advance(7 * day).await;
    assert_eq!(room.state("live").await, "Dead");
    let room = room.restart().await;
    assert!(room.broker.groups.view(10, 10).is_empty());
}

#[tokio::test]
async fn a_deleted_topic_takes_its_offsets_along() {
    let room = Room::new().await;
    room.coordinator(0).await;
    room.commit(commit("g", "", -1, 0, 1), 9).await;
    let orders = room.broker.catalogue().topic("orders").unwrap();
    room.broker.groups.topics_deleted(&[orders]);
    assert_eq!(room.committed("g").await, []);
    let room = room.restart().await;
    assert_eq!(room.committed("g").await, []);
}

#[tokio::test]
async fn who_waits_is_answered_at_shutdown() {
    let room = Room::new().await;
    room.coordinator(0).await;
    let id = answer!(room, 9, JoinGroup, join("g", "")).member_id;
    let joining = room.ask(9, join("g", &id));
    room.broker.shutdown(Duration::from_secs(5)).await.unwrap();
    let answer = body!(joining.await.unwrap(), JoinGroup);
    assert_eq!(answer.error_code, ErrorCode::COORDINATOR_NOT_AVAILABLE.0);
    let late = answer!(room, 9, JoinGroup, join("g", &id));
    assert_eq!(late.error_code, ErrorCode::COORDINATOR_NOT_AVAILABLE.0);
}

#[tokio::test]
async fn the_view_shows_no_more_than_asked() {
    let room = Room::new().await;
    room.coordinator(0).await;
    for group in ["a", "b", "c"] {
        for partition in 0..3 {
            room.commit(commit(group, "", -1, partition, 10), 9).await;
        }
    }
    let view = room.broker.groups.view(2, 4);
    assert_eq!((view.len(), view.iter().map(|v: &GroupView| v.offsets.len()).sum::<usize>()), (2, 4));
    let OffsetView { topic, offset, .. } = &view[0].offsets[0];
    assert_eq!((topic.as_str(), *offset), ("orders", 10));
}
