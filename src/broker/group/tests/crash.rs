//! The power goes between any two operations on the disk: what was acknowledged is there afterwards, nothing is made up, and
//! what was deleted stays so. Over the simulated disk, driven by hand.

use super::*;
use crate::broker::group::record::GroupRecord;
use crate::broker::group::rewrite::carry_over;
use crate::broker::group::shard::{Commit, Committer, Common, Shard};
use crate::broker::group::store::{Journal, Trim};
use crate::storage::files::{Crash, SimFiles};
use crate::storage::{LogConfig, Storage, StorageConfig, Ticket};
use std::collections::{BTreeMap, HashMap};
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

const NOW: Now = Now { monotonic: 0, unix: 1_700_000_000_000 };
const LOG: &str = "__consumer_offsets-0";

struct Node {
    storage: Arc<Storage>,
    shard: Shard,
    common: Common,
}

fn config() -> GroupConfig {
    GroupConfig { initial_rebalance_delay_ms: 0, rewrite_after_bytes: 0, ..GroupConfig::default() }
}

impl Node {
    fn open(files: SimFiles) -> Node {
        let storage_config = StorageConfig { committers: 0, ..StorageConfig::default() };
        let storage = Storage::open(Arc::new(files), "/data", storage_config).unwrap();
        let log_config = LogConfig { segment_bytes: 700, retention_ms: -1, ..LogConfig::default() };
        let exists = storage.list_logs().unwrap().iter().any(|name| name == LOG);
        let log =
            if exists { storage.open_log(LOG, log_config) } else { storage.create_log(LOG, log_config) };
        let common = Common::new(config());
        let shard = Shard::new(Journal::new(log.unwrap(), 0, Arc::default()), NOW, &common.config);
        shard.load(&common, NOW, &|_| Some(Uuid([7; 16]))).unwrap();
        Node { storage, shard, common }
    }

    fn commit(&self, group: &str, partition: i32, offset: i64) -> Ticket {
        let committer = Committer {
            group_id: Str::from(group),
            member_id: Str::default(),
            instance_id: None,
            generation: -1,
            retention_ms: None,
            unknown_group: ErrorCode::GROUP_ID_NOT_FOUND,
        };
        let commit = Commit {
            topic: Str::from("orders"),
            topic_id: Uuid([7; 16]),
            partition,
            offset,
            leader_epoch: -1,
            metadata: None,
        };
        let (errors, ticket) = self.shard.commit(&self.common, NOW, &committer, &[commit]).unwrap();
        assert_eq!(errors, [ErrorCode::NONE]);
        ticket.unwrap()
    }

    /// A group of one goes through another generation and is stable again.
    fn rebalance(&self, group: &str) -> Option<Ticket> {
        let id = Str::from(group);
        let (waiter, mut joined) = oneshot::channel();
        let of = |group: &Group| group.members().next().map(|m| m.id.clone()).unwrap_or_default();
        self.shard
            .with_group(&self.common, NOW, &id, true, |group, out| {
                let join = Join { member_id_required: false, ..member(&of(group)) };
                group.join(NOW, &self.common.config, join, waiter, out);
            })
            .unwrap();
        let joined = got(&mut joined);
        assert_eq!(joined.error_code, 0);
        let (waiter, _synced) = oneshot::channel();
        let sync = Sync {
            member_id: joined.member_id.clone(),
            generation: joined.generation_id,
            assignments: vec![(joined.member_id, Bytes::from_static(b"mine"))],
            ..Sync::default()
        };
        let synced = self.shard.with_group(&self.common, NOW, &id, false, |group, out| {
            group.sync(NOW, &self.common.config, sync, waiter, out);
        });
        synced.unwrap().1
    }

    /// Runs a future to its end, doing the disk's work while it waits.
    fn run<F: Future>(&self, future: F) -> F::Output {
        let mut future = pin!(future);
        let mut context = Context::from_waker(Waker::noop());
        loop {
            if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
                return output;
            }
            self.storage.drive();
        }
    }

    /// The whole of `rewrite`, in its order.
    fn rewrite(&self, trim: Option<Trim>) {
        let Some(trim) = trim else { return };
        self.run(trim.log.flush()).unwrap();
        carry_over(&self.shard, &trim, NOW).unwrap();
        self.run(trim.finish()).unwrap();
        self.shard.lock().journal.end_rewrite(&trim, true);
    }

    fn rewrite_now(&self) {
        let trim = self.shard.lock().journal.begin_rewrite(0, 0);
        self.rewrite(trim);
    }

    /// Everything this node knows, by name: offsets, and the generations of groups.
    fn state(&self) -> BTreeMap<String, i64> {
        let mut state = BTreeMap::new();
        for (id, entry) in &self.shard.lock().groups {
            for (_, partition, committed) in entry.offsets.iter() {
                state.insert(format!("{id}/{partition}"), committed.offset);
            }
            if entry.group.generation() > 0 {
                state.insert(format!("{id}"), i64::from(entry.group.generation()));
                // A group that was stable is stable, with the assignments its leader gave.
                let given = |m: &super::super::member::Member| m.assignment.as_ref() == b"mine";
                assert!(entry.group.state() == State::Empty || entry.group.members().all(given));
            }
        }
        state
    }
}

/// All values a name has had, the last acknowledged among them. None: deleted, or not there yet.
#[derive(Default)]
struct History {
    values: Vec<Option<i64>>,
    acknowledged: usize,
}

#[derive(Default)]
struct Expected(HashMap<String, History>);

impl Expected {
    fn will_be(&mut self, name: &str, value: Option<i64>) {
        let history = self.0.entry(name.to_owned()).or_default();
        if history.values.is_empty() {
            history.values.push(None);
        }
        history.values.push(value);
    }

    fn acknowledge(&mut self) {
        for history in self.0.values_mut() {
            history.acknowledged = history.values.len() - 1;
        }
    }

    fn check(&self, found: &BTreeMap<String, i64>, when: &str) {
        for (name, history) in &self.0 {
            let value = found.get(name).copied();
            let possible = &history.values[history.acknowledged..];
            assert!(possible.contains(&value), "{when}: {name} is {value:?}, not one of {possible:?}");
        }
        for name in found.keys() {
            assert!(self.0.contains_key(name), "{when}: {name} was made up");
        }
    }
}

/// Plays commits, rebalances, deletions and rewrites; at every operation on the disk the power goes, and what comes up is
/// looked at. Says how many crashes there were.
fn play(
    seeds: u64,
    mut step: impl FnMut(&Node, usize, &mut dyn FnMut(&str, Option<i64>)),
    steps: usize,
) -> usize {
    let files = SimFiles::new();
    let node = Node::open(files.clone());
    let expected = Arc::new(Mutex::new(Expected::default()));
    let crashes = Arc::new(Mutex::new(0));
    let (seen, count) = (Arc::clone(&expected), Arc::clone(&crashes));
    files.observe(move |at| {
        let seen = seen.lock().unwrap();
        let operation = at.operations();
        for seed in 0..seeds {
            let fork = at.fork();
            fork.crash(Crash::Power { seed: seed * 1_000 + operation });
            let revived = Node::open(fork);
            seen.check(&revived.state(), &format!("operation {operation}, seed {seed}"));
            *count.lock().unwrap() += 1;
        }
    });
    for n in 0..steps {
        step(&node, n, &mut |name, value| expected.lock().unwrap().will_be(name, value));
        node.storage.drive();
        expected.lock().unwrap().acknowledge();
    }
    files.stop_observing();
    expected.lock().unwrap().check(&node.state(), "at the end, in memory");
    drop(node.shard);
    node.storage.close().unwrap();
    drop(node.storage);
    expected.lock().unwrap().check(&Node::open(files).state(), "after a clean restart");
    *crashes.lock().unwrap()
}

#[test]
fn nothing_acknowledged_is_lost_at_any_operation() {
    let mut generations = HashMap::new();
    let crashes = play(
        3,
        |node, n, will_be| {
            let group = ["a", "b", "c"][n % 3];
            match n % 10 {
                // Two commits under one sync.
                0..=4 => {
                    for partition in 0..2 {
                        will_be(&format!("{group}/{partition}"), Some(n as i64));
                        drop(node.commit(group, partition, n as i64));
                    }
                }
                5 | 7 => {
                    let group = "live";
                    let generation = generations.entry(group).or_insert(0);
                    *generation += 1;
                    will_be(group, Some(*generation));
                    assert!(node.rebalance(group).is_some());
                }
                6 if node.shard.lock().groups.contains_key(group.as_bytes()) => {
                    for partition in 0..2 {
                        will_be(&format!("{group}/{partition}"), None);
                    }
                    node.shard.delete_group(&node.common, NOW, &Str::from(group)).unwrap();
                }
                8 => {
                    will_be(&format!("{group}/0"), None);
                    node.shard
                        .delete_offsets(&node.common, NOW, &Str::from(group), |_| {
                            Ok(vec![(Str::from("orders"), 0)])
                        })
                        .ok();
                }
                9 => {
                    let log = node.storage.log(LOG).unwrap();
                    let before = log.log_start_offset();
                    node.rewrite_now();
                    assert!(log.log_start_offset() > before);
                }
                _ => {}
            }
        },
        60,
    );
    assert!(crashes > 500, "only {crashes} crashes");
}

#[test]
fn a_log_stays_short_however_much_is_committed() {
    let files = SimFiles::new();
    let node = Node::open(files.clone());
    let mut longest = 0;
    for n in 0..2_000i64 {
        let ticket = node.commit("g", (n % 4) as i32, n);
        if n == 10 {
            assert!(node.rebalance("g-live").is_some());
        }
        node.storage.drive();
        assert!(ticket.is_committed());
        node.rewrite(node.shard.begin_rewrite(&node.common));
        let inner = node.shard.lock();
        let log = node.storage.log(LOG).unwrap();
        assert!(inner.groups["g".as_bytes()].offsets.len() <= 4);
        longest = longest.max(log.log_end_offset() - log.log_start_offset());
    }
    assert!(longest < 200, "{longest} records for four offsets");
    node.storage.drive();
    assert!(node.storage.log(LOG).unwrap().size_bytes() < 50_000);
    let state = node.state();
    drop(node.shard);
    node.storage.close().unwrap();
    drop(node.storage);
    assert_eq!(Node::open(files).state(), state);
    assert_eq!(
        state,
        [("g/0", 1996), ("g/1", 1997), ("g/2", 1998), ("g/3", 1999), ("g-live", 1)]
            .map(|(k, v)| (k.to_owned(), v))
            .into()
    );
}

#[test]
fn a_rewrite_in_the_middle_of_a_rebalance_keeps_what_was_written() {
    let files = SimFiles::new();
    let node = Node::open(files.clone());
    node.rebalance("g");
    node.storage.drive();
    let before = node.state();
    // Someone else comes: the group prepares, with assignments reset in memory.
    let (waiter, mut joining) = oneshot::channel();
    let id = Str::from("g");
    node.shard
        .with_group(&node.common, NOW, &id, false, |group, out| {
            let join = Join { member_id_required: false, ..newcomer() };
            group.join(NOW, &node.common.config, join, waiter, out);
        })
        .unwrap();
    assert!(waits(&mut joining));
    for n in 0..40 {
        drop(node.commit("other", 0, n));
        node.storage.drive();
    }
    node.rewrite_now();
    assert!(node.storage.log(LOG).unwrap().log_start_offset() > 0);
    files.crash(Crash::Power { seed: 1 });
    let revived = Node::open(files);
    assert_eq!(revived.state().get("g"), before.get("g"));
    assert_eq!(revived.shard.lock().groups["g".as_bytes()].group.member_count(), 1);
}

#[test]
fn offsets_of_another_life_of_a_topic_are_not_taken_over() {
    let files = SimFiles::new();
    let node = Node::open(files.clone());
    drop(node.commit("g", 0, 5));
    node.storage.drive();
    files.crash(Crash::Power { seed: 1 });
    let storage_config = StorageConfig { committers: 0, ..StorageConfig::default() };
    let storage = Storage::open(Arc::new(files), "/data", storage_config).unwrap();
    let log = storage.open_log(LOG, LogConfig { retention_ms: -1, ..LogConfig::default() }).unwrap();
    for (topic_id, expected) in [(Some(Uuid([7; 16])), 1), (Some(Uuid([8; 16])), 0), (Some(Uuid([7; 16])), 0)]
    {
        let common = Common::new(config());
        let shard = Shard::new(Journal::new(Arc::clone(&log), 0, Arc::default()), NOW, &common.config);
        shard.load(&common, NOW, &|_| topic_id).unwrap();
        storage.drive();
        assert_eq!(shard.lock().groups.len(), expected);
        assert_eq!(common.bytes.load(std::sync::atomic::Ordering::Relaxed) > 0, expected == 1);
    }
}

#[test]
fn records_nobody_can_read_are_passed_over() {
    let files = SimFiles::new();
    let node = Node::open(files.clone());
    drop(node.commit("g", 0, 5));
    let odd = |key: &'static [u8], value: &'static [u8]| GroupRecord {
        key: Bytes::from_static(key),
        value: Some(Bytes::from_static(value)),
    };
    let records = [
        odd(b"", b""),
        odd(&[0, 1, 0, 1], b"x"),
        odd(&[0, 2, 0, 1, b'g'], &[0, 3]),
        odd(&[0, 3, 0, 1, b'g'], &[0, 0, 0]),
    ];
    node.shard.lock().journal.append(&records, NOW.unix).unwrap().ticket.is_committed();
    drop(node.commit("g", 1, 6));
    node.storage.drive();
    let state = node.state();
    files.crash(Crash::Power { seed: 1 });
    assert_eq!(Node::open(files).state(), state);
}
