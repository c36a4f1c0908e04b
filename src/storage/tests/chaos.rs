//! Harm to disk operations that somebody asks for.

use std::collections::HashMap;
use std::io::ErrorKind;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::super::chaos::{DiskChaos, DiskFault, DiskOperation, DiskStop, DiskWait};
use super::super::files::{Crash, SimFiles};
use super::*;

const FOR_EVER: Duration = Duration::from_secs(3600);

/// Harms the n-th operation of a kind on a log, the first being 1.
#[derive(Debug, Default)]
struct Scripted {
    faults: Vec<(DiskOperation, &'static str, u64, DiskFault)>,
    counts: Mutex<HashMap<(DiskOperation, String), u64>>,
    /// The only operation it harms; all of them otherwise.
    only: Option<DiskOperation>,
    unwanted: AtomicBool,
    died: AtomicUsize,
}

impl DiskChaos for Scripted {
    fn is_on(&self, operation: DiskOperation) -> bool {
        self.only.is_none_or(|only| only == operation)
    }

    fn before(&self, operation: DiskOperation, log: &str, _: usize) -> Option<DiskFault> {
        let mut counts = self.counts.lock().unwrap();
        let n = counts.entry((operation, log.to_owned())).or_default();
        *n += 1;
        let met = |fault: &&(DiskOperation, &str, u64, DiskFault)| {
            (fault.0, fault.1, fault.2) == (operation, log, *n)
        };
        self.faults.iter().find(met).map(|fault| fault.3.clone())
    }

    fn wants(&self, _: &DiskWait) -> bool {
        !self.unwanted.load(Ordering::Relaxed)
    }

    fn end_process(&self) {
        self.died.fetch_add(1, Ordering::Relaxed);
    }
}

impl Scripted {
    fn count(&self, operation: DiskOperation, log: &str) -> u64 {
        self.counts.lock().unwrap().get(&(operation, log.to_owned())).copied().unwrap_or(0)
    }
}

fn slow(time: Duration) -> DiskFault {
    DiskFault { waits: vec![DiskWait { asked_by: 1, time }], stop: None }
}

fn stop(stop: DiskStop) -> DiskFault {
    DiskFault { waits: Vec::new(), stop: Some(stop) }
}

fn bench(operation: DiskOperation, n: u64, fault: DiskFault) -> (Bench, Arc<Scripted>) {
    let mut bench = Bench::new();
    let chaos = Arc::new(Scripted { faults: vec![(operation, "bad-0", n, fault)], ..Scripted::default() });
    bench.config.chaos = Some(chaos.clone());
    (bench, chaos)
}

fn logs(storage: &Storage) -> [Arc<Log>; 2] {
    ["bad-0", "good-0"].map(|name| storage.create_log(name, small_segments()).unwrap())
}

#[test]
fn a_slow_disk_holds_up_its_log_and_no_other_until_nobody_wants_it_to() {
    for operation in [DiskOperation::Append, DiskOperation::Sync] {
        let (bench, chaos) = bench(operation, 2, slow(FOR_EVER));
        let storage = bench.open();
        let [bad, good] = logs(&storage);
        committed(&storage, append(&bad, 1, 10, 0));
        let held = append(&bad, 1, 10, 0);
        storage.drive();
        let behind = append(&bad, 1, 10, 0);
        committed(&storage, append(&good, 1, 10, 0));
        assert!(bad.is_held() && !held.ticket.is_committed() && !behind.ticket.is_committed());

        storage.look_again();
        storage.drive();
        assert!(bad.is_held(), "it is wanted as before");
        chaos.unwanted.store(true, Ordering::Relaxed);
        storage.look_again();
        storage.drive();
        held.ticket.wait().unwrap();
        behind.ticket.wait().unwrap();
        assert_eq!(bad.high_watermark(), 3);
        storage.close().unwrap();
    }
}

#[test]
fn batches_written_together_are_an_operation_each_and_wait_as_long_as_the_slowest() {
    let (mut bench, _) = bench(DiskOperation::Append, 2, slow(Duration::from_millis(30)));
    let faults = [(1, 10), (2, 40), (4, 20)]
        .map(|(n, ms)| (DiskOperation::Append, "bad-0", n, slow(Duration::from_millis(ms))));
    let chaos = Arc::new(Scripted { faults: faults.to_vec(), ..Scripted::default() });
    bench.config.chaos = Some(chaos.clone());
    let storage = bench.open();
    let [bad, _] = logs(&storage);
    let all = [(); 4].map(|()| append(&bad, 1, 10, 0));
    storage.drive();
    assert!(bad.is_held());
    assert_eq!(chaos.count(DiskOperation::Append, "bad-0"), 4);
    assert_eq!(chaos.count(DiskOperation::Sync, "bad-0"), 1);
    assert_eq!(super::super::chaos::total(lock(&bad.disk).held.as_ref().unwrap().1.waits()).as_millis(), 40);
    // Looked at again it is counted once all the same.
    storage.look_again();
    assert_eq!(chaos.count(DiskOperation::Append, "bad-0"), 4);
    storage.close().unwrap();
    assert!(
        all.into_iter().all(|appended| appended.ticket.is_committed()),
        "a closing storage does not wait"
    );
}

#[test]
fn a_slow_disk_is_as_slow_as_it_says() {
    let (mut bench, _) = bench(DiskOperation::Append, 1, slow(Duration::from_millis(40)));
    bench.config.committers = 1;
    let storage = bench.open();
    let [bad, good] = logs(&storage);
    let begun = Instant::now();
    let late = append(&bad, 1, 10, 0);
    append(&good, 1, 10, 0).ticket.wait().unwrap();
    assert!(!late.ticket.is_committed() || begun.elapsed() >= Duration::from_millis(40));
    late.ticket.wait().unwrap();
    assert!(begun.elapsed() >= Duration::from_millis(40));
    storage.close().unwrap();
}

/// With small writes done by the thread that appends, which may be an async worker.
#[test]
fn who_appends_never_waits_for_a_slow_disk() {
    let (mut bench, _) = bench(DiskOperation::Append, 1, slow(FOR_EVER));
    (bench.config.flush, bench.config.inline_bytes) = (FlushMode::Os, 64 << 10);
    let storage = bench.open();
    let [bad, good] = logs(&storage);
    let held = append(&bad, 1, 10, 0);
    assert!(bad.is_held() && !held.ticket.is_committed());
    // This one was written by the thread that appended.
    assert!(append(&good, 1, 10, 0).ticket.is_committed());
    drop(storage);
    assert!(held.ticket.wait().is_err());
}

/// Also those whose work a slow disk holds up.
#[test]
fn who_waits_is_told_when_the_storage_goes() {
    let (bench, _) = bench(DiskOperation::Append, 1, slow(FOR_EVER));
    let storage = bench.open();
    let [bad, _] = logs(&storage);
    let (held, flushed) = (append(&bad, 1, 10, 0), bad.flush());
    storage.drive();
    assert!(bad.is_held());
    drop(storage);
    assert!(matches!(answered(flushed), Some(Err(StorageError::Closed))));
    assert!(held.ticket.wait().is_err());
    assert_eq!(bad.shared.pending.bytes(), 0);
}

#[tokio::test]
async fn a_slow_read_waits_in_its_future() {
    let (mut bench, chaos) = bench(DiskOperation::Read, 1, slow(FOR_EVER));
    bench.config.tail_cache_bytes = 0;
    let storage = bench.open();
    let [bad, _] = logs(&storage);
    let appended = append(&bad, 1, 10, 0);
    storage.drive();
    appended.ticket.await.unwrap();
    let reading = {
        let bad = Arc::clone(&bad);
        tokio::spawn(async move { bad.fetch(0, 1000, true).await })
    };
    while chaos.count(DiskOperation::Read, "bad-0") == 0 {
        tokio::task::yield_now().await;
    }
    assert!(!reading.is_finished());
    // Nothing else waits for it.
    assert_eq!(bad.fetch(0, 1000, true).await.unwrap().next_offset, 1);
    chaos.unwanted.store(true, Ordering::Relaxed);
    storage.look_again();
    assert_eq!(reading.await.unwrap().unwrap().next_offset, 1);
}

#[test]
fn a_full_disk_and_a_failed_sync_take_the_log_offline_and_no_other() {
    for (operation, kind) in
        [(DiskOperation::Append, ErrorKind::StorageFull), (DiskOperation::Sync, ErrorKind::Other)]
    {
        let (bench, _) = bench(operation, 3, stop(DiskStop::Fail(kind)));
        let storage = bench.open();
        let [bad, good] = logs(&storage);
        committed(&storage, append(&bad, 1, 10, 0));
        committed(&storage, append(&bad, 1, 10, 0));
        let failed = append(&bad, 1, 10, 0);
        storage.drive();
        let error = failed.ticket.wait().unwrap_err();
        assert!(error.is_storage_failure() && error.to_string().contains("injected"), "{error}");
        assert_eq!(error.is_no_space(), operation == DiskOperation::Append);
        assert!(bad.offline().is_some());
        committed(&storage, append(&good, 1, 10, 0));
        assert_eq!(storage.pending_bytes(), 0);
        storage.close().unwrap();
        bench.files.crash(Crash::Power { seed: 3 });
        let storage = Bench { config: StorageConfig { chaos: None, ..bench.config.clone() }, ..bench }.open();
        let bad = storage.open_log("bad-0", small_segments()).unwrap();
        assert!((2..=3).contains(&bad.high_watermark()), "{}", bad.high_watermark());
    }
}

/// Rules for the one kind of operation harm it without rules for the other.
#[test]
fn an_operation_is_harmed_where_no_other_is() {
    for (operation, other) in
        [(DiskOperation::Append, DiskOperation::Sync), (DiskOperation::Sync, DiskOperation::Append)]
    {
        let (mut bench, _) = bench(operation, 1, slow(FOR_EVER));
        let faults = [operation, other].map(|on| (on, "bad-0", 1, stop(DiskStop::Fail(ErrorKind::Other))));
        let chaos =
            Arc::new(Scripted { faults: faults.into(), only: Some(operation), ..Scripted::default() });
        bench.config.chaos = Some(chaos.clone());
        let storage = bench.open();
        let [bad, _] = logs(&storage);
        let failed = append(&bad, 1, 10, 0);
        storage.drive();
        assert!(failed.ticket.wait().is_err(), "{operation:?}");
        assert_eq!((chaos.count(operation, "bad-0"), chaos.count(other, "bad-0")), (1, 0));
    }
}

/// A sync is one where something is synced: for what was written, or because somebody asks for it.
#[test]
fn work_without_a_sync_meets_no_harm_to_syncs() {
    let (mut bench, chaos) = bench(DiskOperation::Sync, 2, stop(DiskStop::Fail(ErrorKind::Other)));
    let storage = bench.open();
    let [bad, _] = logs(&storage);
    committed(&storage, append(&bad, 1, 10, 0));
    let deleted = bad.delete_records_before(0);
    storage.drive();
    assert_eq!(deleted.wait().unwrap(), 0);
    assert_eq!(chaos.count(DiskOperation::Sync, "bad-0"), 1);
    let flushed = bad.flush();
    storage.drive();
    assert!(flushed.wait().is_err());
    assert!(bad.offline().is_some());
    storage.close().unwrap();

    // The same where nothing but the flush syncs.
    bench.config.flush = FlushMode::Os;
    bench.files = SimFiles::new();
    let chaos = Arc::new(Scripted {
        faults: vec![(DiskOperation::Sync, "bad-0", 1, stop(DiskStop::Fail(ErrorKind::Other)))],
        ..Scripted::default()
    });
    bench.config.chaos = Some(chaos.clone());
    let storage = bench.open();
    let [bad, _] = logs(&storage);
    committed(&storage, append(&bad, 1, 10, 0));
    assert_eq!(chaos.count(DiskOperation::Sync, "bad-0"), 0);
    let flushed = bad.flush();
    storage.drive();
    assert!(flushed.wait().is_err());
}

#[test]
fn of_batches_written_together_only_those_before_the_full_disk_are_stored() {
    let (bench, _) = bench(DiskOperation::Append, 3, stop(DiskStop::Fail(ErrorKind::StorageFull)));
    let storage = bench.open();
    let [bad, _] = logs(&storage);
    let all = [(); 4].map(|()| append(&bad, 1, 10, 0));
    storage.drive();
    assert_eq!(all.map(|appended| appended.ticket.wait().is_ok()), [true, true, false, false]);
}

#[test]
fn what_is_synced_outside_the_commits_fails_as_well() {
    let (mut bench, chaos) = bench(DiskOperation::Sync, 1, stop(DiskStop::Fail(ErrorKind::Other)));
    bench.config.flush = FlushMode::Interval(Duration::from_secs(1));
    // Even where one sync would be made for all logs.
    bench.config.many_logs = 1;
    let storage = bench.open();
    let [bad, good] = logs(&storage);
    committed(&storage, append(&bad, 1, 10, 0));
    committed(&storage, append(&good, 1, 10, 0));
    assert_eq!(chaos.count(DiskOperation::Sync, "bad-0"), 0);
    storage.sync_all();
    assert_eq!(chaos.count(DiskOperation::Sync, "good-0"), 1);
    assert!(bad.offline().is_some() && good.offline().is_none());
}

/// At each point of a commit: what was acknowledged before is there again, and what the point says of the batch is so.
#[test]
fn a_process_that_dies_at_a_point_left_what_the_point_says() {
    for (operation, at, there) in [
        (DiskOperation::Append, DiskStop::CrashBefore, false),
        (DiskOperation::Append, DiskStop::CrashAfter, true),
        (DiskOperation::Sync, DiskStop::CrashBefore, true),
        (DiskOperation::Sync, DiskStop::CrashAfter, true),
    ] {
        let (bench, chaos) = bench(operation, 2, stop(at));
        let storage = bench.open();
        let [bad, _] = logs(&storage);
        committed(&storage, append(&bad, 1, 10, 0));
        let synced = bench.files.syncs(files::SyncSite::Append);
        let last = append(&bad, 1, 10, 0);
        storage.drive();
        assert_eq!(chaos.died.load(Ordering::Relaxed), 1, "{operation:?} {at:?}");
        assert!(last.ticket.wait().is_err(), "nobody was told");
        let syncs = bench.files.syncs(files::SyncSite::Append) - synced;
        assert_eq!(syncs, u64::from((operation, at) == (DiskOperation::Sync, DiskStop::CrashAfter)));
        let files: SimFiles = bench.files.fork();
        files.crash(Crash::Process);
        let config = StorageConfig { chaos: None, ..bench.config.clone() };
        let again = Bench { files, config, now: Arc::clone(&bench.now) }.open();
        let log = again.open_log("bad-0", small_segments()).unwrap();
        assert_eq!(log.high_watermark(), 1 + i64::from(there), "{operation:?} {at:?}");
    }
}
