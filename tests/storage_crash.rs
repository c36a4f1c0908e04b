//! Every power loss and every kill, at every operation boundary of a scripted load: what was acknowledged is there
//! afterwards, nothing is there that was not written, and what a reader saw once stays.
//!
//! The scripts run on the simulated disk without threads. After each change and each sync the disk is copied; the
//! copy crashes, recovers, is checked, goes on working, crashes and recovers again. The mutation test at the end leaves
//! out one sync after the other and demands that a check fails: it shows that the checks bite and no sync is idle.
//! Long because model, scripts and checks make sense only together.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tollgate::storage::files::{Crash, SimFiles, SyncSite};
use tollgate::storage::{
    AppendBatch, FlushMode, KvOp, KvStore, Log, LogConfig, Storage, StorageConfig, StorageError,
};
use tollgate::wire::record::{
    BatchBuilder, BatchHeader, Compressor, Headers, batches, set_base_offset, set_leader_epoch,
};

const DATA: &str = "/srv/data";
const CATALOGUE: &str = "/srv/data/catalogue";
const TABLE: &str = "topics";

type Outcome = Result<(), String>;

/// What the users of the storage were told, and what they asked for.
#[derive(Clone, Default)]
struct World {
    logs: BTreeMap<String, LogModel>,
    catalogue: BTreeMap<String, String>,
    /// The catalogue if the transaction under way gets through.
    catalogue_next: Option<BTreeMap<String, String>>,
}

#[derive(Clone)]
struct LogModel {
    /// `None`: its creation or deletion is under way.
    exists: Option<bool>,
    /// Everything submitted: offset, offset behind, the bytes expected on disk.
    submitted: Vec<(i64, i64, Bytes)>,
    acknowledged_end: i64,
    acknowledged_start: i64,
    /// The furthest the log start may have got.
    requested_start: i64,
}

impl LogModel {
    fn new() -> Self {
        LogModel {
            exists: None,
            submitted: Vec::new(),
            acknowledged_end: 0,
            acknowledged_start: 0,
            requested_start: 0,
        }
    }

    fn submitted_end(&self) -> i64 {
        self.submitted.last().map_or(self.acknowledged_end, |(_, next, _)| *next)
    }
}

/// What one commit in which mode promises.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Mode {
    flush: FlushMode,
    catalogue: bool,
    many_logs: usize,
    /// Appends up to this size are written by who appends.
    inline_bytes: usize,
}

impl Mode {
    fn config(self, clock: &Arc<AtomicI64>) -> StorageConfig {
        let clock = Arc::clone(clock);
        StorageConfig {
            flush: self.flush,
            committers: 0,
            inline_bytes: self.inline_bytes,
            max_open_files: 3,
            tail_cache_bytes: 2000,
            checkpoint_bytes: 1800,
            many_logs: self.many_logs,
            clock: Arc::new(move || clock.load(Ordering::Relaxed)),
            ..StorageConfig::default()
        }
    }
}

fn log_config() -> LogConfig {
    LogConfig {
        segment_bytes: 700,
        segment_ms: i64::MAX,
        retention_ms: -1,
        index_interval_bytes: 150,
        ..LogConfig::default()
    }
}

/// A batch that no other one equals.
fn new_batch(count: i32, len: usize, timestamp: i64) -> Bytes {
    static SERIAL: AtomicI64 = AtomicI64::new(0);
    let serial = SERIAL.fetch_add(1, Ordering::Relaxed);
    let mut compressor = Compressor::new();
    let mut builder = BatchBuilder::new(BatchHeader::default(), &mut compressor);
    let value: Vec<u8> = serial.to_be_bytes().into_iter().cycle().take(len.max(8)).collect();
    for _ in 0..count {
        builder.append(timestamp, None, Some(&value), Headers::default()).unwrap();
    }
    builder.finish().unwrap()
}

fn stored_as(batch: &Bytes, base_offset: i64, leader_epoch: i32) -> Bytes {
    let mut stored = BytesMut::from(&batch[..]);
    set_base_offset(&mut stored, base_offset);
    set_leader_epoch(&mut stored, leader_epoch);
    stored.freeze()
}

fn ensure(holds: bool, what: impl FnOnce() -> String) -> Outcome {
    if holds { Ok(()) } else { Err(what()) }
}

struct Opened {
    storage: Arc<Storage>,
    /// In the script that is about it; elsewhere it would only take time.
    catalogue: Option<KvStore>,
}

fn open(disk: &SimFiles, mode: Mode, clock: &Arc<AtomicI64>) -> Result<Opened, String> {
    let storage =
        Storage::open(Arc::new(disk.clone()), DATA, mode.config(clock)).map_err(|e| format!("open: {e}"))?;
    let catalogue = match mode.catalogue {
        true => Some(KvStore::open(disk, CATALOGUE).map_err(|e| format!("catalogue: {e}"))?),
        false => None,
    };
    Ok(Opened { storage, catalogue })
}

impl World {
    /// Compares what is there with what may be. From then on what was seen counts as acknowledged.
    fn check(&mut self, opened: &Opened) -> Outcome {
        let scanned = opened.catalogue.as_ref().map(|catalogue| catalogue.scan(TABLE));
        let found: BTreeMap<String, String> = scanned
            .transpose()
            .map_err(|e| format!("catalogue: {e}"))?
            .into_iter()
            .flatten()
            .map(|(key, value)| (String::from_utf8(key).unwrap(), String::from_utf8(value).unwrap()))
            .collect();
        ensure(found == self.catalogue || Some(&found) == self.catalogue_next.as_ref(), || {
            format!("catalogue {found:?} instead of {:?} or {:?}", self.catalogue, self.catalogue_next)
        })?;
        self.catalogue = found;
        self.catalogue_next = None;

        let names = opened.storage.list_logs().map_err(|e| format!("list: {e}"))?;
        ensure(names.iter().all(|name| self.logs.contains_key(name)), || {
            format!("unknown logs in {names:?}")
        })?;
        for (name, model) in &mut self.logs {
            let there = names.contains(name);
            ensure(model.exists.is_none_or(|exists| exists == there), || format!("{name}: there: {there}"))?;
            if there {
                let log = opened.storage.open_log(name, log_config()).map_err(|e| format!("{name}: {e}"))?;
                model.check(&log).map_err(|what| format!("{name}: {what}"))?;
            } else {
                *model = LogModel::new();
            }
            model.exists = Some(there);
        }
        // As the broker does when all its logs are open.
        opened.storage.note_boot();
        Ok(())
    }

    /// Goes on working: each log gets a batch that ends where one ended that was lost, so that anything stale that
    /// comes back fits and is seen.
    fn append_more(&mut self, opened: &Opened, seed: u64) -> Outcome {
        for (name, model) in self.logs.iter_mut().filter(|(_, model)| model.exists == Some(true)) {
            let Some(log) = opened.storage.log(name) else { continue };
            let end = log.log_end_offset();
            let lost: Vec<i64> =
                model.submitted.iter().map(|batch| batch.1).filter(|next| *next > end).collect();
            let target = if lost.is_empty() { end + 2 } else { lost[seed as usize % lost.len()] };
            let count = (target - end).clamp(1, 40) as i32;
            model.submitted.retain(|batch| batch.1 <= end);
            let batch = new_batch(count, 8, 5);
            let appended =
                log.append(AppendBatch::new(batch.clone()).unwrap().into(), 3).map_err(|e| e.to_string())?;
            ensure(appended.base_offset == end, || format!("{name}: appended at {}", appended.base_offset))?;
            model.submitted.push((end, appended.last_offset + 1, stored_as(&batch, end, 3)));
            let flushed = log.flush();
            opened.storage.drive();
            flushed.wait().map_err(|e| format!("{name}: {e}"))?;
            model.acknowledged_end = log.high_watermark();
            ensure(model.acknowledged_end == appended.last_offset + 1, || format!("{name}: watermark"))?;
            model.check(&log).map_err(|what| format!("{name} after more appends: {what}"))?;
        }
        Ok(())
    }
}

impl LogModel {
    fn check(&mut self, log: &Arc<Log>) -> Outcome {
        if let Some(error) = log.offline() {
            return Err(format!("offline: {error}"));
        }
        let (start, end) = (log.log_start_offset(), log.log_end_offset());
        ensure(log.high_watermark() == end, || format!("watermark {} of {end}", log.high_watermark()))?;
        // Before the first checkpoint a log begins with its first segment, and a power loss may take that, as long as
        // nothing in it was acknowledged.
        let nothing_acknowledged = self.acknowledged_end == 0 && (0..=end).contains(&start);
        let as_asked = (self.acknowledged_start..=self.requested_start).contains(&start);
        ensure(as_asked || nothing_acknowledged, || {
            format!("starts at {start} instead of {}..={}", self.acknowledged_start, self.requested_start)
        })?;
        ensure((self.acknowledged_end..=self.submitted_end()).contains(&end), || {
            format!("ends at {end} instead of {}..={}", self.acknowledged_end, self.submitted_end())
        })?;
        let mut at = start;
        while at < end {
            let read = log.read(at, 400, true).map_err(|e| format!("read at {at}: {e}"))?;
            let bytes = read.to_bytes().map_err(|e| format!("read at {at}: {e}"))?;
            for batch in batches(&bytes) {
                let batch = batch.map_err(|e| format!("read at {at}: {e}"))?;
                let base = batch.header.base_offset;
                let expected = self.submitted.iter().find(|(offset, ..)| *offset == base);
                ensure(expected.is_some_and(|(.., expected)| expected == batch.bytes), || {
                    format!("the batch at {base} was never written there")
                })?;
                ensure(base == at || (base < at && at == start), || {
                    format!("gap: {base} where {at} was due")
                })?;
                at = batch.header.next_offset();
            }
            ensure(at == read.next_offset && !bytes.is_empty(), || format!("read ends at {at}"))?;
        }
        ensure(at == end, || format!("read ends at {at}, the log at {end}"))?;
        self.acknowledged_end = end;
        self.acknowledged_start = start;
        self.requested_start = start;
        Ok(())
    }
}

/// Crashes a copy of the disk, recovers, checks, perhaps goes on, crashes and recovers again.
fn try_crash(
    disk: &SimFiles,
    world: &World,
    mode: Mode,
    clock: &Arc<AtomicI64>,
    first: Crash,
    seed: u64,
) -> Outcome {
    let mut world = world.clone();
    let context = |what: String| format!("{what} ({first:?}, seed {seed})");
    disk.crash(first);
    if seed.is_multiple_of(5) {
        watch_recovery(disk, &world, mode, clock, seed).map_err(context)?;
    }
    let opened = open(disk, mode, clock).map_err(context)?;
    world.check(&opened).map_err(context)?;
    if !seed.is_multiple_of(3) {
        world.append_more(&opened, seed).map_err(context)?;
    }
    disk.crash(Crash::Power { seed: seed.wrapping_mul(31) });
    drop(opened);
    let opened = open(disk, mode, clock).map_err(|what| context(format!("second time: {what}")))?;
    world.check(&opened).map_err(|what| context(format!("second time: {what}")))
}

/// Recovery itself meets power losses and kills, at each of its operations: what a power loss left is not to be taken
/// for damage because a process saw it before and died.
fn watch_recovery(disk: &SimFiles, world: &World, mode: Mode, clock: &Arc<AtomicI64>, seed: u64) -> Outcome {
    let rehearsal = disk.fork();
    let failure = Arc::new(Mutex::new(Ok(())));
    rehearsal.observe({
        let (failure, world, clock) = (Arc::clone(&failure), world.clone(), Arc::clone(clock));
        move |at| {
            let mut failure = failure.lock().unwrap();
            if failure.is_ok() {
                let seed = seed ^ at.operations();
                at.crash(if seed.is_multiple_of(3) { Crash::Process } else { Crash::Power { seed } });
                *failure = open(&at, mode, &clock)
                    .and_then(|opened| world.clone().check(&opened))
                    .map_err(|what| format!("crash during recovery: {what} (inner seed {seed})"));
            }
        }
    });
    let opened = open(&rehearsal, mode, clock)?;
    world.clone().check(&opened)?;
    rehearsal.stop_observing();
    let failure = failure.lock().unwrap();
    failure.clone()
}

/// A script under observation.
struct Run {
    disk: SimFiles,
    mode: Mode,
    clock: Arc<AtomicI64>,
    world: Arc<Mutex<World>>,
    opened: Option<Opened>,
    failure: Arc<Mutex<Option<String>>>,
    boundaries: Arc<AtomicI64>,
}

impl Run {
    fn new(mode: Mode, seeds: u64, salt: u64, without: Option<SyncSite>) -> Self {
        let disk = SimFiles::new();
        if let Some(site) = without {
            disk.ignore_syncs(site);
        }
        let run = Run {
            disk,
            mode,
            clock: Arc::new(AtomicI64::new(1_000_000)),
            world: Arc::default(),
            opened: None,
            failure: Arc::default(),
            boundaries: Arc::default(),
        };
        let (world, failure) = (Arc::clone(&run.world), Arc::clone(&run.failure));
        let (boundaries, clock) = (Arc::clone(&run.boundaries), Arc::clone(&run.clock));
        run.disk.observe(move |at| {
            boundaries.fetch_add(1, Ordering::Relaxed);
            let world = world.lock().unwrap().clone();
            for n in 0..seeds {
                if failure.lock().unwrap().is_some() {
                    return;
                }
                let seed = salt.wrapping_mul(1_000_003) + at.operations() * 101 + n;
                let first = if n % 4 == 0 { Crash::Process } else { Crash::Power { seed } };
                let copy = at.fork();
                let tried = AssertUnwindSafe(|| try_crash(&copy, &world, mode, &clock, first, seed));
                let outcome = catch_unwind(tried).unwrap_or_else(|_| Err("panic".to_owned()));
                if let Err(what) = outcome {
                    *failure.lock().unwrap() = Some(format!("operation {}: {what}", at.operations()));
                }
            }
        });
        run
    }

    fn failed(&self) -> bool {
        self.failure.lock().unwrap().is_some()
    }

    fn outcome(&self) -> Outcome {
        self.failure.lock().unwrap().clone().map_or(Ok(()), Err)
    }

    fn world<R>(&self, change: impl FnOnce(&mut World) -> R) -> R {
        change(&mut self.world.lock().unwrap())
    }

    fn pass_time(&self, ms: i64) {
        self.clock.fetch_add(ms, Ordering::Relaxed);
    }

    fn model<R>(&self, name: &str, change: impl FnOnce(&mut LogModel) -> R) -> R {
        self.world(|world| change(world.logs.get_mut(name).unwrap()))
    }

    fn opened(&self) -> &Opened {
        self.opened.as_ref().unwrap()
    }

    fn log(&self, name: &str) -> Arc<Log> {
        self.opened().storage.log(name).unwrap()
    }

    fn open(&mut self) {
        self.opened = Some(open(&self.disk, self.mode, &self.clock).unwrap());
        let names: Vec<String> = self.world(|world| world.logs.keys().cloned().collect());
        for name in names {
            if self.model(&name, |model| model.exists == Some(true)) {
                self.opened().storage.open_log(&name, log_config()).unwrap();
            }
        }
        self.world(|world| world.clone()).check(self.opened()).unwrap();
    }

    fn close(&mut self) {
        let opened = self.opened.take().unwrap();
        opened.storage.close().unwrap();
        // A clean shutdown is a promise in every mode.
        self.world(|world| {
            for model in world.logs.values_mut() {
                model.acknowledged_end = model.submitted_end();
            }
        });
    }

    fn create(&self, name: &str) {
        self.world(|world| world.logs.insert(name.to_owned(), LogModel::new()));
        self.opened().storage.create_log(name, log_config()).unwrap();
        self.model(name, |model| model.exists = Some(true));
    }

    fn delete(&self, name: &str) {
        self.model(name, |model| model.exists = None);
        let deleted = self.opened().storage.delete_log(name);
        self.opened().storage.drive();
        deleted.wait().unwrap();
        self.model(name, |model| *model = LogModel { exists: Some(false), ..LogModel::new() });
    }

    fn append(&self, name: &str, count: i32, len: usize) {
        let log = self.log(name);
        let batch = new_batch(count, len, self.clock.load(Ordering::Relaxed));
        let base = log.log_end_offset();
        let epoch = (base / 20) as i32;
        self.model(name, |model| {
            model.submitted.push((base, base + i64::from(count), stored_as(&batch, base, epoch)))
        });
        let appended = log.append(AppendBatch::new(batch).unwrap().into(), epoch).unwrap();
        assert_eq!(appended.base_offset, base);
    }

    /// Has the committers work; under group commit everything is acknowledged then.
    fn commit(&self) {
        self.opened().storage.drive();
        if self.mode.flush == FlushMode::GroupCommit {
            self.acknowledge_all();
        }
    }

    fn acknowledge_all(&self) {
        let names: Vec<String> = self.world(|world| world.logs.keys().cloned().collect());
        for name in names {
            if let Some(log) = self.opened().storage.log(&name) {
                assert_eq!(log.high_watermark(), log.log_end_offset());
                self.model(&name, |model| model.acknowledged_end = log.high_watermark());
            }
        }
    }

    fn flush(&self, name: &str) {
        let flushed = self.log(name).flush();
        self.opened().storage.drive();
        flushed.wait().unwrap();
        let end = self.log(name).high_watermark();
        self.model(name, |model| model.acknowledged_end = end);
    }

    fn sync_all(&self) {
        self.opened().storage.sync_all();
        self.acknowledge_all();
    }

    fn delete_records(&self, name: &str, offset: i64) {
        self.model(name, |model| model.requested_start = offset);
        let deleted = self.log(name).delete_records_before(offset);
        self.opened().storage.drive();
        assert_eq!(deleted.wait().unwrap(), offset);
        self.model(name, |model| model.acknowledged_start = offset);
        self.model(name, |model| model.acknowledged_end = model.acknowledged_end.max(offset));
    }

    fn retain(&self, name: &str, config: LogConfig) {
        let log = self.log(name);
        log.set_config(config);
        self.model(name, |model| model.requested_start = log.high_watermark());
        self.opened().storage.maintain();
        self.opened().storage.drive();
        let start = log.log_start_offset();
        self.model(name, |model| {
            model.acknowledged_start = start;
            model.requested_start = start;
            model.acknowledged_end = model.acknowledged_end.max(start);
        });
        log.set_config(log_config());
    }

    fn change_catalogue(&self, puts: &[(&str, &str)], deletes: &[&str]) {
        let mut next = self.world(|world| world.catalogue.clone());
        let mut ops = Vec::new();
        for (key, value) in puts {
            next.insert((*key).to_owned(), (*value).to_owned());
            ops.push(KvOp::Put { table: TABLE, key: (*key).into(), value: (*value).into() });
        }
        for key in deletes {
            next.remove(*key);
            ops.push(KvOp::Delete { table: TABLE, key: (*key).into() });
        }
        self.world(|world| world.catalogue_next = Some(next.clone()));
        self.opened().catalogue.as_ref().unwrap().commit(ops).unwrap();
        self.world(|world| {
            world.catalogue = next;
            world.catalogue_next = None;
        });
    }
}

/// Each step is given to `step`, which may end the script early.
type Script = fn(&mut Run, &mut dyn FnMut(&Run) -> bool);

macro_rules! script {
    ($run:ident, $going_on:ident; $($step:stmt;)*) => {
        $({ $step } if !$going_on($run) { return; })*
    };
}

/// Appends, rolls, checkpoints, retention, DeleteRecords, creation and deletion, restarts.
fn everyday(run: &mut Run, going_on: &mut dyn FnMut(&Run) -> bool) {
    script! { run, going_on;
        run.open();
        run.create("a-0");
        run.create("b-0");
        run.append("a-0", 3, 30);
        run.append("b-0", 1, 200);
        run.append("a-0", 2, 60);
        run.commit();
        // Over a roll in one commit: the old segment's end and the new one's start.
        for n in 0..5 { run.append("a-0", n + 1, 90); };
        run.commit();
        run.append("b-0", 2, 700);
        run.append("b-0", 1, 20);
        run.commit();
        run.delete_records("a-0", 7);
        run.append("a-0", 4, 80);
        run.commit();
        run.create("c-0");
        run.append("c-0", 5, 40);
        run.commit();
        run.delete("c-0");
        run.create("c-0");
        run.append("c-0", 2, 10);
        run.commit();
        for n in 0..4 { run.append("b-0", 2, 100 + n * 40); run.commit(); };
        run.retain("b-0", LogConfig { retention_bytes: 900, ..log_config() });
        run.close();
        run.open();
        run.append("a-0", 1, 50);
        run.append("b-0", 6, 50);
        run.commit();
        run.delete_records("b-0", run.log("b-0").high_watermark());
        // Time retention takes the active segment too.
        run.pass_time(100_000);
        run.retain("a-0", LogConfig { retention_ms: 1000, ..log_config() });
        run.append("a-0", 2, 30);
        run.commit();
        run.close();
        run.open();
        run.append("a-0", 2, 30);
        run.commit();
    }
}

/// The modes in which a commit promises nothing: flushes, intervals and clean shutdowns do.
fn relaxed(run: &mut Run, going_on: &mut dyn FnMut(&Run) -> bool) {
    script! { run, going_on;
        run.open();
        run.create("a-0");
        run.create("b-0");
        run.append("a-0", 3, 30);
        run.append("b-0", 1, 200);
        run.commit();
        run.flush("a-0");
        for n in 0..6 { run.append("a-0", n + 1, 90); run.commit(); };
        run.opened().storage.maintain();
        run.append("a-0", 2, 90);
        run.append("b-0", 2, 600);
        run.append("b-0", 2, 60);
        run.commit();
        run.sync_all();
        run.append("a-0", 1, 20);
        run.commit();
        run.delete_records("a-0", 8);
        for n in 0..4 { run.append("b-0", 2, 100 + n * 40); run.commit(); };
        run.retain("b-0", LogConfig { retention_bytes: 500, ..log_config() });
        run.append("b-0", 1, 90);
        run.commit();
        run.close();
        run.open();
        run.append("b-0", 2, 90);
        run.commit();
        run.flush("b-0");
        run.append("a-0", 2, 300);
        run.commit();
        run.pass_time(100_000);
        run.retain("a-0", LogConfig { retention_ms: 1000, ..log_config() });
        run.append("a-0", 2, 30);
        run.flush("a-0");
    }
}

fn catalogue(run: &mut Run, going_on: &mut dyn FnMut(&Run) -> bool) {
    script! { run, going_on;
        run.open();
        run.change_catalogue(&[("orders", "1 partition")], &[]);
        run.change_catalogue(&[("audit", &"x".repeat(3000)), ("users", "7")], &[]);
        run.change_catalogue(&[("orders", "2 partitions")], &["users"]);
        run.close();
        run.open();
        run.change_catalogue(&[("orders", "3 partitions")], &["audit"]);
    }
}

const GROUP_COMMIT: Mode =
    Mode { flush: FlushMode::GroupCommit, catalogue: false, many_logs: 100, inline_bytes: 0 };
const OS: Mode = Mode { flush: FlushMode::Os, ..GROUP_COMMIT };
const INTERVAL: Mode = Mode { flush: FlushMode::Interval(Duration::from_secs(1)), ..GROUP_COMMIT };
const OS_INLINE: Mode = Mode { inline_bytes: 400, ..OS };
const CATALOGUE_ONLY: Mode = Mode { catalogue: true, ..GROUP_COMMIT };
/// As if there were thousands of logs.
const MANY: Mode = Mode { many_logs: 0, ..GROUP_COMMIT };
const MANY_OS: Mode = Mode { many_logs: 0, ..OS };

fn play(script: Script, mode: Mode, seeds: u64, salt: u64, without: Option<SyncSite>) -> Run {
    let mut run = Run::new(mode, seeds, salt, without);
    script(&mut run, &mut |run| !run.failed());
    run.disk.stop_observing();
    run
}

fn holds(script: Script, mode: Mode, seeds: u64, at_least: i64) {
    let run = play(script, mode, seeds, 1, None);
    run.outcome().unwrap();
    let boundaries = run.boundaries.load(Ordering::Relaxed);
    assert!(boundaries >= at_least, "only {boundaries} operations were looked at");
}

#[test]
fn group_commit_survives_every_crash() {
    holds(everyday, GROUP_COMMIT, 12, 150);
}

#[test]
fn os_mode_keeps_what_it_promises() {
    holds(relaxed, OS, 12, 60);
}

#[test]
fn who_appends_may_write() {
    holds(relaxed, OS_INLINE, 12, 60);
    // Not under group commit, whatever is asked for.
    holds(everyday, Mode { inline_bytes: 400, ..GROUP_COMMIT }, 2, 150);
}

#[test]
fn interval_mode_keeps_what_it_promises() {
    holds(relaxed, INTERVAL, 12, 60);
}

#[test]
fn very_many_logs_are_no_exception() {
    holds(everyday, MANY, 6, 150);
    holds(relaxed, MANY_OS, 6, 60);
}

#[test]
fn the_catalogue_survives_every_crash() {
    holds(catalogue, CATALOGUE_ONLY, 4, 40);
}

/// Without any one of its syncs the code above loses data in some crash.
#[test]
fn no_sync_can_be_left_out() {
    // What panics under a missing sync is a finding, not noise.
    std::panic::set_hook(Box::new(|_| {}));
    let mut problems = Vec::new();
    for site in SyncSite::ALL {
        let (script, mode): (Script, Mode) = match site {
            SyncSite::Catalogue | SyncSite::CatalogueDir => (catalogue, CATALOGUE_ONLY),
            SyncSite::Flush | SyncSite::FlushNames => (relaxed, OS),
            SyncSite::FlushAll => (relaxed, MANY_OS),
            SyncSite::FoundAll => (everyday, MANY),
            _ => (everyday, GROUP_COMMIT),
        };
        let mut noticed = false;
        for salt in 1..=20 {
            let Ok(run) = catch_unwind(|| play(script, mode, 6, salt, Some(*site))) else {
                problems.push(format!("{site:?}: the script itself failed"));
                break;
            };
            noticed = run.failed();
            if noticed {
                break;
            }
        }
        if !noticed {
            problems.push(format!("nothing is lost without {site:?}"));
        }
    }
    let _ = std::panic::take_hook();
    assert!(problems.is_empty(), "{problems:#?}");
}

/// The checks themselves: they see what is lost, changed and invented.
#[test]
fn the_checks_bite() {
    let run = play(everyday, GROUP_COMMIT, 0, 1, None);
    let world = run.world(|world| world.clone());
    let check = |change: &dyn Fn(&mut World)| {
        let mut world = world.clone();
        change(&mut world);
        world.check(run.opened())
    };
    check(&|_| {}).unwrap();
    let a = |world: &mut World, change: &dyn Fn(&mut LogModel)| change(world.logs.get_mut("a-0").unwrap());
    assert!(check(&|world| a(world, &|log| log.acknowledged_end += 1)).is_err());
    assert!(check(&|world| a(world, &|log| log.exists = Some(false))).is_err());
    assert!(check(&|world| a(world, &|log| drop(log.submitted.pop()))).is_err());
    assert!(check(&|world| a(world, &|log| log.requested_start -= 1)).is_err());
    assert!(check(&|world| drop(world.logs.remove("a-0"))).is_err());
    assert!(check(&|world| drop(world.catalogue.insert("x".into(), "y".into()))).is_err());
    let damaged: StorageError = run.log("a-0").read(-1, 1, true).unwrap_err();
    assert!(!damaged.is_storage_failure());
}
