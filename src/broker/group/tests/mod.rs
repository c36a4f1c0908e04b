//! What the tests of this room share: a group on a bench, with its own time and clients played by hand.

mod crash;
mod joining;
mod records;
mod requests;
mod sessions;
mod statics;
mod storm;

use super::config::GroupConfig;
use super::group::{Group, Now, Outbox, State};
use super::join::Join;
use super::member::{Delivery, Protocol};
use super::rebalance::Sync;
use crate::wire::api::{join_group, leave_group, sync_group};
use crate::wire::{ErrorCode, Str, Uuid};
use bytes::Bytes;
use tokio::sync::oneshot;

pub(super) type Answered<T> = oneshot::Receiver<Delivery<T>>;

/// The answer, which must be there.
pub(super) fn got<T>(answer: &mut Answered<T>) -> T {
    answer.try_recv().expect("not answered").response
}

pub(super) fn waits<T>(answer: &mut Answered<T>) -> bool {
    matches!(answer.try_recv(), Err(oneshot::error::TryRecvError::Empty))
}

/// A consumer's subscription to these topics.
pub(super) fn subscription(topics: &[&str]) -> Bytes {
    let mut bytes = vec![0, 1];
    bytes.extend((topics.len() as i32).to_be_bytes());
    for topic in topics {
        bytes.extend((topic.len() as i16).to_be_bytes());
        bytes.extend(topic.as_bytes());
    }
    bytes.extend([0, 0, 0, 0]);
    bytes.into()
}

pub(super) fn protocol(name: &str) -> Protocol {
    Protocol { name: Str::from(name), metadata: subscription(&["orders"]) }
}

/// A dynamic consumer at the newest version, without an id yet.
pub(super) fn newcomer() -> Join {
    Join {
        member_id: Str::default(),
        instance_id: None,
        client_id: Str::from("app"),
        client_host: Str::from("/127.0.0.1"),
        protocol_type: Str::from("consumer"),
        protocols: vec![protocol("range")],
        rebalance_timeout_ms: 60_000,
        session_timeout_ms: 10_000,
        unique: Uuid::random(),
        member_id_required: true,
        can_skip_assignment: true,
    }
}

pub(super) fn member(id: &Str) -> Join {
    Join { member_id: id.clone(), ..newcomer() }
}

pub(super) fn static_member(instance: &str) -> Join {
    Join { instance_id: Some(Str::from(instance)), ..newcomer() }
}

/// A group, its time, and how often it asked to be written.
pub(super) struct Bench {
    pub group: Group,
    pub now: Now,
    pub config: GroupConfig,
    pub persisted: usize,
}

impl Bench {
    /// Without initial delay, as most tests want to come to the point.
    pub fn new() -> Bench {
        Bench::with(GroupConfig { initial_rebalance_delay_ms: 0, ..GroupConfig::default() })
    }

    pub fn with(config: GroupConfig) -> Bench {
        let now = Now { monotonic: 0, unix: 1_700_000_000_000 };
        Bench { group: Group::new(Str::from("g"), now), now, config, persisted: 0 }
    }

    fn run<R>(&mut self, operation: impl FnOnce(&mut Group, Now, &GroupConfig, &mut Outbox) -> R) -> R {
        let mut out = Outbox::default();
        let result = operation(&mut self.group, self.now, &self.config, &mut out);
        self.persisted += usize::from(out.persist);
        for (waiter, response) in out.joins {
            let _ = waiter.send(Delivery { response, after: None });
        }
        for (waiter, response) in out.syncs {
            let _ = waiter.send(Delivery { response, after: None });
        }
        result
    }

    pub fn join(&mut self, join: Join) -> Answered<join_group::Response> {
        let (waiter, answer) = oneshot::channel();
        self.run(|group, now, config, out| group.join(now, config, join, waiter, out));
        answer
    }

    /// A newcomer that has fetched its id and joins with it.
    pub fn enter(&mut self) -> (Str, Answered<join_group::Response>) {
        let sent_back = got(&mut self.join(newcomer()));
        assert_eq!(sent_back.error_code, ErrorCode::MEMBER_ID_REQUIRED.0);
        let id = sent_back.member_id;
        let answer = self.join(member(&id));
        (id, answer)
    }

    pub fn sync(
        &mut self,
        id: &Str,
        generation: i32,
        assignments: &[(&Str, &'static [u8])],
    ) -> Answered<sync_group::Response> {
        self.sync_as(Sync {
            member_id: id.clone(),
            generation,
            protocol_type: Some(Str::from("consumer")),
            assignments: assignments.iter().map(|(id, a)| ((*id).clone(), Bytes::from_static(a))).collect(),
            ..Sync::default()
        })
    }

    pub fn sync_as(&mut self, sync: Sync) -> Answered<sync_group::Response> {
        let (waiter, answer) = oneshot::channel();
        self.run(|group, now, config, out| group.sync(now, config, sync, waiter, out));
        answer
    }

    pub fn heartbeat(&mut self, id: &Str) -> ErrorCode {
        let generation = self.group.generation();
        self.group.heartbeat(self.now, id, None, generation).err().unwrap_or(ErrorCode::NONE)
    }

    pub fn leave(&mut self, leaving: &[(&str, Option<&str>)]) -> Vec<ErrorCode> {
        let leaving: Vec<_> = leaving
            .iter()
            .map(|(id, instance)| leave_group::MemberIdentity {
                member_id: Str::from(*id),
                group_instance_id: instance.map(Str::from),
                ..Default::default()
            })
            .collect();
        self.run(|group, now, config, out| group.leave(now, config, &leaving, out))
    }

    /// Time passes; deadlines are met one after the other, as the driver does.
    pub fn advance(&mut self, ms: i64) {
        let until = self.now.monotonic + ms;
        loop {
            let next = self.group.next_deadline().filter(|at| *at <= until);
            let step = next.unwrap_or(until).max(self.now.monotonic) - self.now.monotonic;
            self.now.monotonic += step;
            self.now.unix += step;
            if next.is_none() {
                return;
            }
            self.run(|group, now, config, out| group.expire(now, config, out));
        }
    }

    /// Two members of generation 1 or later, stable; the first is the leader. Assignments `L` and `F`.
    pub fn stable_pair(&mut self) -> (Str, Str) {
        let (leader, _first) = self.enter();
        let (follower, mut second) = self.enter();
        let mut first = self.join(member(&leader));
        let generation = got(&mut first).generation_id;
        assert_eq!(got(&mut second).leader, leader);
        let mut waiting = self.sync(&follower, generation, &[]);
        let mut led = self.sync(&leader, generation, &[(&leader, b"L"), (&follower, b"F")]);
        assert_eq!(got(&mut led).assignment.as_ref(), b"L");
        assert_eq!(got(&mut waiting).assignment.as_ref(), b"F");
        assert_eq!(self.group.state(), State::Stable);
        (leader, follower)
    }
}
