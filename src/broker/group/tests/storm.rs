//! Clients that do whatever they like, in any order: the group stays one group, and nobody is left without an answer.

use super::*;
use crate::broker::group::timers::TimerKey;
use proptest::prelude::*;
use std::collections::{BTreeSet, HashMap};

const CLIENTS: usize = 5;
/// The first clients are static members.
const STATICS: usize = 2;

#[derive(Debug, Clone)]
enum Op {
    /// `other`: with another list of protocols than last time.
    Join {
        client: usize,
        other: bool,
    },
    Sync {
        client: usize,
    },
    Heartbeat {
        client: usize,
    },
    Commit {
        client: usize,
    },
    Leave {
        client: usize,
    },
    /// Forgets its id; a static member will take its place again.
    Restart {
        client: usize,
    },
    Wait {
        ms: i64,
    },
}

fn op() -> impl Strategy<Value = Op> {
    let client = 0..CLIENTS;
    prop_oneof![
        4 => (client.clone(), any::<bool>()).prop_map(|(client, other)| Op::Join { client, other }),
        4 => client.clone().prop_map(|client| Op::Sync { client }),
        2 => client.clone().prop_map(|client| Op::Heartbeat { client }),
        1 => client.clone().prop_map(|client| Op::Commit { client }),
        1 => client.clone().prop_map(|client| Op::Leave { client }),
        1 => client.prop_map(|client| Op::Restart { client }),
        2 => (1..40_000i64).prop_map(|ms| Op::Wait { ms }),
    ]
}

#[derive(Default)]
struct Client {
    id: Option<Str>,
    generation: i32,
    /// Everybody, if it leads.
    led: Vec<Str>,
    other: bool,
    join: Option<Answered<join_group::Response>>,
    sync: Option<(i32, Answered<sync_group::Response>)>,
}

struct Storm {
    bench: Bench,
    clients: Vec<Client>,
    /// What the members of a generation were told.
    told: HashMap<i32, Option<Str>>,
    last_generation: i32,
}

/// Who a member is, over restarts: the prefix of its id for static ones.
fn identity(id: &str) -> &str {
    if id.starts_with("static") { id.split('-').next().unwrap() } else { id }
}

fn assignment(generation: i32, id: &str) -> Bytes {
    Bytes::from(format!("{generation}:{}", identity(id)))
}

impl Storm {
    fn new(delay: i32) -> Storm {
        let config = GroupConfig { initial_rebalance_delay_ms: delay, ..GroupConfig::default() };
        let clients = (0..CLIENTS).map(|_| Client::default()).collect();
        Storm { bench: Bench::with(config), clients, told: HashMap::new(), last_generation: 0 }
    }

    fn instance(client: usize) -> Option<Str> {
        (client < STATICS).then(|| Str::from(format!("static{client}")))
    }

    fn step(&mut self, op: &Op) {
        match *op {
            Op::Join { client, other } => {
                self.clients[client].other ^= other;
                let mut protocols = vec![protocol("range"), protocol("sticky")];
                if self.clients[client].other {
                    protocols.reverse();
                }
                let member_id = self.clients[client].id.clone().unwrap_or_default();
                let join = Join {
                    protocols,
                    rebalance_timeout_ms: 20_000 + client as i32 * 5_000,
                    session_timeout_ms: 10_000 + client as i32 * 1_000,
                    instance_id: Self::instance(client),
                    ..member(&member_id)
                };
                self.clients[client].join = Some(self.bench.join(join));
            }
            Op::Sync { client } => {
                let Client { id: Some(id), generation, led, .. } = &self.clients[client] else { return };
                let (id, generation) = (id.clone(), *generation);
                let assignments = led.iter().map(|id| (id.clone(), assignment(generation, id))).collect();
                let sync = Sync {
                    member_id: id,
                    instance_id: Self::instance(client),
                    generation,
                    assignments,
                    ..Sync::default()
                };
                self.clients[client].sync = Some((generation, self.bench.sync_as(sync)));
            }
            Op::Heartbeat { client } | Op::Commit { client } => {
                let Client { id: Some(id), generation, .. } = &self.clients[client] else { return };
                let (now, instance) = (self.bench.now, Self::instance(client));
                let answer = if matches!(op, Op::Commit { .. }) {
                    self.bench.group.commit(now, id, instance.as_ref(), *generation)
                } else {
                    self.bench.group.heartbeat(now, id, instance.as_ref(), *generation)
                };
                if answer == Err(ErrorCode::UNKNOWN_MEMBER_ID) {
                    self.clients[client].id = None;
                }
            }
            Op::Leave { client } => {
                let id = self.clients[client].id.take().unwrap_or_default();
                self.bench.leave(&[(&id, Self::instance(client).as_deref())]);
            }
            Op::Restart { client } => self.clients[client].id = None,
            Op::Wait { ms } => self.bench.advance(ms),
        }
    }

    /// Takes in what has been answered, and holds it against what others were told.
    fn listen(&mut self) {
        for client in &mut self.clients {
            if let Some(answer) = &mut client.join
                && let Ok(delivery) = answer.try_recv()
            {
                client.join = None;
                let answer = delivery.response;
                let named =
                    matches!(ErrorCode(answer.error_code), ErrorCode::NONE | ErrorCode::MEMBER_ID_REQUIRED);
                if named && client.id.as_ref() != Some(&answer.member_id) {
                    // What it asked under its former id is no longer its own.
                    client.sync = None;
                }
                match ErrorCode(answer.error_code) {
                    ErrorCode::NONE => {
                        let told =
                            self.told.entry(answer.generation_id).or_insert(answer.protocol_name.clone());
                        assert_eq!(*told, answer.protocol_name, "two protocols in a generation");
                        let leads = answer.leader == answer.member_id;
                        assert!(leads || answer.members.is_empty());
                        client.led = answer.members.iter().map(|m| m.member_id.clone()).collect();
                        client.generation = answer.generation_id;
                        client.id = Some(answer.member_id);
                    }
                    ErrorCode::MEMBER_ID_REQUIRED => client.id = Some(answer.member_id),
                    ErrorCode::REBALANCE_IN_PROGRESS => {}
                    ErrorCode::UNKNOWN_MEMBER_ID | ErrorCode::FENCED_INSTANCE_ID => client.id = None,
                    other => panic!("join answered {other}"),
                }
            }
            if let Some((generation, answer)) = &mut client.sync
                && let Ok(delivery) = answer.try_recv()
            {
                let given = delivery.response.assignment;
                if delivery.response.error_code == 0 && !given.is_empty() {
                    let text = String::from_utf8(given.to_vec()).unwrap();
                    let (of, whom) = text.split_once(':').unwrap();
                    assert_eq!(of, generation.to_string(), "an assignment of another generation");
                    if let Some(id) = &client.id {
                        assert!(whom == identity(id) || whom.starts_with("static"), "{whom} is not {id}");
                    }
                }
                client.sync = None;
            }
        }
    }

    fn check(&mut self) {
        let group = &self.bench.group;
        assert!(group.generation() >= self.last_generation);
        self.last_generation = group.generation();
        let members: Vec<_> = group.members().collect();
        assert_eq!(group.awaiting_join, members.iter().filter(|m| m.awaiting_join.is_some()).count());
        let pending: usize = group.pending_join.iter().map(|id| 256 + id.len() * 3).sum();
        assert_eq!(group.bytes, pending + members.iter().map(|m| m.size()).sum::<usize>());
        let statics: BTreeSet<_> =
            members.iter().filter_map(|m| Some((m.instance_id.clone()?, m.id.clone()))).collect();
        assert_eq!(statics, group.static_members.iter().map(|(i, m)| (i.clone(), m.clone())).collect());
        assert_eq!(group.leader().is_some(), !members.is_empty());
        assert!(group.leader().is_none_or(|leader| group.members.contains_key(leader)));
        assert!(group.pending_sync.iter().all(|id| group.members.contains_key(id)));
        let timed = |key: &TimerKey| group.timers.has(key);
        for id in &group.pending_join {
            assert!(timed(&TimerKey::Session(id.clone())) && !group.members.contains_key(id));
        }
        for m in &members {
            assert!(
                m.has_satisfied_heartbeat() || timed(&TimerKey::Session(m.id.clone())),
                "{} lives for ever",
                m.id
            );
            assert!(m.awaiting_join.is_none() || group.state() == State::PreparingRebalance);
            assert!(m.awaiting_sync.is_none() || group.state() == State::CompletingRebalance);
        }
        match group.state() {
            State::Empty => assert!(members.is_empty()),
            State::PreparingRebalance => assert!(timed(&TimerKey::Join)),
            State::CompletingRebalance => assert!(timed(&TimerKey::Sync) && !members.is_empty()),
            State::Stable => {
                assert!(!members.is_empty());
                let protocol = group.protocol_name().unwrap();
                assert!(members.iter().all(|m| m.protocols.iter().any(|p| p.name == *protocol)));
                // What each has is what the leader of this generation gave it, or nothing if the leader forgot it.
                for m in &members {
                    let given = assignment(group.generation(), &m.id);
                    assert!(m.assignment.is_empty() || m.assignment == given, "{:?}", m.assignment);
                }
            }
            State::Dead => panic!("dead"),
        }
    }
}

proptest! {
    #[test]
    fn whatever_clients_do_the_group_stays_one(ops in prop::collection::vec(op(), 1..120), delay in prop_oneof![Just(0), Just(3_000)]) {
        let mut storm = Storm::new(delay);
        // Those whose client has asked again must be answered as well.
        let mut superseded = Vec::new();
        for op in &ops {
            if let Op::Join { client, .. } = op {
                superseded.extend(storm.clients[*client].join.take());
            }
            storm.step(op);
            storm.listen();
            storm.check();
        }
        // Everybody falls silent: all who wait are answered, all members go, nothing is left to be done.
        storm.bench.advance(4_000_000);
        storm.listen();
        storm.check();
        prop_assert!(storm.clients.iter().all(|c| c.join.is_none() && c.sync.is_none()));
        for mut answer in superseded {
            prop_assert!(!waits(&mut answer));
        }
        prop_assert_eq!(storm.bench.group.state(), State::Empty);
        prop_assert_eq!(storm.bench.group.next_deadline(), None);
    }
}
