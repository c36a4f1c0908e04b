//! The folder as a whole: what is in it, what is synced together, and the threads.

use std::sync::mpsc::{self, Receiver};

use super::super::files::{Crash, SimFault, SimFiles};
use super::super::testing::{Bench, Plain, append, small_segments};
use super::*;

const LONG: Duration = Duration::from_secs(30);

/// Storage on a disk of its own that syncs only when it is told to.
fn bench() -> Bench {
    let mut bench = Bench::new();
    bench.config.flush = FlushMode::Os;
    bench
}

/// Each log gets a batch.
fn write(storage: &Storage, logs: &[Arc<Log>]) {
    let appended: Vec<_> = logs.iter().map(|log| append(log, 1, 100, 0)).collect();
    storage.drive();
    appended.into_iter().for_each(|appended| appended.ticket.wait().unwrap());
}

fn create(storage: &Storage, names: &[&str]) -> Vec<Arc<Log>> {
    names.iter().map(|name| storage.create_log(name, small_segments()).unwrap()).collect()
}

/// However the power fails now, these logs hold this many records when they are opened again.
fn survives(files: &SimFiles, config: &StorageConfig, names: &[&str], records: i64) {
    for seed in 0..40 {
        let files = files.fork();
        files.crash(Crash::Power { seed });
        let storage = Storage::open(Arc::new(files), "/data", config.clone()).unwrap();
        for name in names {
            let log = storage.open_log(name, small_segments()).unwrap();
            assert_eq!(log.log_end_offset(), records, "{name}, seed {seed}");
            let read = log.read(0, 1 << 20, true).unwrap();
            assert_eq!(read.next_offset, records, "{name}, seed {seed}");
        }
    }
}

#[test]
fn a_folder_is_made_with_those_above_it_and_stays() {
    let bench = Bench::new();
    let storage = Storage::open(Arc::new(bench.files.clone()), "/a/b/c", bench.config.clone()).unwrap();
    let log = storage.create_log("t-0", small_segments()).unwrap();
    write(&storage, &[log]);
    for seed in 0..40 {
        let files = bench.files.fork();
        files.crash(Crash::Power { seed });
        assert!(files.size("/a/b/c/logs/t-0/00000000000000000000.log".as_ref()).is_ok(), "seed {seed}");
    }
}

#[test]
fn only_folders_that_can_be_logs_are_listed() {
    let bench = Bench::new();
    let storage = bench.open();
    create(&storage, &["a-0", "b-0"]);
    bench.files.create_dir("/data/logs/c-0.orphan".as_ref()).unwrap();
    bench.files.create_dir("/data/logs/.deleted.7".as_ref()).unwrap();
    bench.files.open("/data/logs/d-0".as_ref(), super::super::files::OpenMode::CreateOrWrite).unwrap();
    assert_eq!(storage.list_logs().unwrap(), ["a-0", "b-0"]);
}

#[test]
fn a_failure_of_the_disk_is_not_taken_for_a_log_that_is_there_or_is_not() {
    let bench = Bench::new();
    let storage = bench.open();
    bench.files.inject("a-0", SimFault::NoSpace);
    let created = storage.create_log("a-0", small_segments());
    assert!(created.is_err_and(|error| error.is_no_space()));
    bench.files.open("/data/logs/b-0".as_ref(), super::super::files::OpenMode::CreateOrWrite).unwrap();
    let opened = storage.open_log("b-0", small_segments());
    assert!(matches!(opened, Err(StorageError::Io { kind: io::ErrorKind::NotADirectory, .. })));
    assert!(matches!(storage.open_log("c-0", small_segments()), Err(StorageError::LogNotFound(_))));
}

#[test]
fn a_log_holds_data_when_a_file_of_a_segment_does_or_a_folder_is_in_it() {
    let bench = Bench::new();
    let storage = bench.open();
    create(&storage, &["a-0"]);
    let make = |name: &str, bytes: &[u8]| {
        let path = Path::new("/data/logs/a-0").join(name);
        let file = bench.files.open(&path, super::super::files::OpenMode::CreateOrWrite).unwrap();
        file.write_at(0, &mut [io::IoSlice::new(bytes)]).unwrap();
        path
    };
    let holds_data = || storage.holds_data("a-0").unwrap();
    assert!(!holds_data());
    make("checkpoint", b"anything");
    make("00000000000000000000.log", b"");
    assert!(!holds_data(), "what is no record is no data");
    for name in ["00000000000000000010.log", "00000000000000000000.log.damaged-7"] {
        let path = make(name, b"x");
        assert!(holds_data(), "{name}");
        bench.files.remove_file(&path).unwrap();
    }
    bench.files.create_dir("/data/logs/a-0/somebody-elses".as_ref()).unwrap();
    assert!(holds_data());
    assert!(storage.holds_data("b-0").is_err());
}

#[test]
fn each_log_set_aside_gets_a_name_of_its_own() {
    let bench = Bench::new();
    let storage = bench.open();
    for due in ["/data/logs/a-0.orphan", "/data/logs/a-0.1.orphan", "/data/logs/a-0.2.orphan"] {
        bench.files.create_dir("/data/logs/a-0".as_ref()).unwrap();
        assert_eq!(storage.set_aside("a-0").unwrap(), Path::new(due));
        assert!(bench.files.list(due.as_ref()).is_ok());
    }
    assert!(storage.list_logs().unwrap().is_empty());
    assert!(matches!(storage.open_log("a-0", small_segments()), Err(StorageError::LogNotFound(_))));
}

#[test]
fn a_storage_says_what_it_holds() {
    let bench = bench();
    let storage = bench.open();
    assert_eq!((storage.config().flush, storage.config().max_open_files), (FlushMode::Os, 4));
    assert_eq!((storage.open_files(), storage.tail_cache_bytes(), storage.pending_bytes()), (0, 0, 0));
    let logs = create(&storage, &["a-0", "b-0", "c-0"]);
    let appended: Vec<_> = logs.iter().map(|log| append(log, 1, 100, 0)).collect();
    assert!(storage.pending_bytes() > 300);
    storage.drive();
    drop(appended);
    assert_eq!((storage.open_files(), storage.pending_bytes()), (3, 0));
    assert!(storage.tail_cache_bytes() > 300);
}

#[tokio::test]
async fn who_waits_for_room_waits_until_the_disk_has_kept_up() {
    let mut bench = Bench::new();
    bench.config.max_pending_bytes = 1000;
    let storage = bench.open();
    storage.capacity().await;
    let logs = create(&storage, &["a-0"]);
    let _ = append(&logs[0], 1, 700, 0);
    let waiting = tokio::spawn({
        let storage = Arc::clone(&storage);
        async move { storage.capacity().await }
    });
    tokio::task::yield_now().await;
    assert!(!waiting.is_finished());
    storage.drive();
    waiting.await.unwrap();
}

/// One sync for all where logs are many, one a log where they are few; either way a clean shutdown loses nothing.
#[test]
fn a_clean_shutdown_syncs_what_was_not() {
    let names = ["a-0", "b-0"];
    for (many_logs, at_once, single) in [(1, 1, 0), (2, 1, 0), (3, 0, 2)] {
        let mut bench = bench();
        bench.config.many_logs = many_logs;
        let storage = bench.open();
        let logs = create(&storage, &names);
        write(&storage, &logs);
        storage.close().unwrap();
        let syncs = [SyncSite::FlushAll, SyncSite::Flush].map(|site| bench.files.syncs(site));
        assert_eq!(syncs, [at_once, single], "{many_logs}");
        survives(&bench.files, &bench.config, &names, 1);
    }
}

#[test]
fn the_end_of_an_interval_syncs_what_was_written() {
    let names = ["a-0", "b-0"];
    for (many_logs, at_once, single) in [(1, 1, 0), (2, 1, 0), (3, 0, 2)] {
        let mut bench = bench();
        bench.config.many_logs = many_logs;
        let storage = bench.open();
        let logs = create(&storage, &names);
        write(&storage, &logs);
        // The second finds nothing to do.
        storage.sync_all();
        storage.sync_all();
        let syncs = [SyncSite::FlushAll, SyncSite::Flush].map(|site| bench.files.syncs(site));
        assert_eq!(syncs, [at_once, single], "{many_logs}");
        survives(&bench.files, &bench.config, &names, 1);
        write(&storage, &logs);
        storage.sync_all();
        survives(&bench.files, &bench.config, &names, 2);
    }
}

#[test]
fn where_the_system_cannot_sync_everything_each_file_is() {
    let names = ["a-0", "b-0"];
    let mut bench = bench();
    bench.config.many_logs = 1;
    let open =
        || Storage::open(Arc::new(Plain::new(bench.files.clone())), "/data", bench.config.clone()).unwrap();
    let storage = open();
    let logs = create(&storage, &names);
    write(&storage, &logs);
    storage.sync_all();
    survives(&bench.files, &bench.config, &names, 1);
    write(&storage, &logs);
    storage.close().unwrap();
    survives(&bench.files, &bench.config, &names, 2);
    drop((storage, logs));

    let storage = open();
    let logs: Vec<_> = names.iter().map(|name| storage.open_log(name, small_segments()).unwrap()).collect();
    write(&storage, &logs);
    bench.files.crash(Crash::Process);
    // What a start finds it relies on.
    let storage = open();
    names.iter().for_each(|name| drop(storage.open_log(name, small_segments()).unwrap()));
    survives(&bench.files, &bench.config, &names, 3);
}

/// A failure of the one sync for all logs is a failure of each: after it another sync proves nothing.
#[test]
fn a_sync_of_everything_that_fails_is_not_tried_again() {
    let mut bench = bench();
    bench.config.many_logs = 2;
    let open = |files: &SimFiles| {
        let files = Plain { sync_all: io::ErrorKind::Other, ..Plain::new(files.clone()) };
        Storage::open(Arc::new(files), "/data", bench.config.clone())
    };
    let storage = open(&bench.files).unwrap();
    let logs = create(&storage, &["a-0", "b-0"]);
    write(&storage, &logs);
    storage.sync_all();
    assert!(logs.iter().all(|log| log.offline().is_some_and(|error| error.is_storage_failure())));
    drop((storage, logs));
    // Nor does a start rely on what it finds, nor a shutdown say that it was clean.
    bench.files.crash(Crash::Process);
    assert!(matches!(open(&bench.files), Err(StorageError::Io { .. })));

    let files = SimFiles::new();
    let storage = open(&files).unwrap();
    let logs = create(&storage, &["a-0", "b-0"]);
    write(&storage, &logs);
    assert!(matches!(storage.close(), Err(StorageError::Io { .. })));
    assert!(files.size("/data/clean-shutdown".as_ref()).is_err());
}

/// A machine that does not tell when it started may have lost power: what is damaged then is set aside.
#[test]
fn without_a_boot_id_a_power_loss_is_assumed() {
    let bench = Bench::new();
    let plain = || {
        let storage =
            Storage::open(Arc::new(Plain::new(bench.files.clone())), "/data", bench.config.clone()).unwrap();
        storage.note_boot();
        storage
    };
    let storage = plain();
    let logs = create(&storage, &["a-0"]);
    (0..3).for_each(|_| write(&storage, &logs));
    drop((storage, logs));
    bench.files.crash(Crash::Process);
    let path = Path::new("/data/logs/a-0/00000000000000000000.log");
    bench.files.damage(path, 190, &[0xee]).unwrap();
    let storage = plain();
    let log = storage.open_log("a-0", small_segments()).unwrap();
    assert_eq!((log.offline().map(|error| error.to_string()), log.log_end_offset()), (None, 1));
}

#[test]
fn where_no_boot_is_known_no_space_is_either() {
    let files = SimFiles::new();
    assert_eq!(files.space("/".as_ref()).unwrap(), None);
    assert_eq!(Plain::new(files).boot_id(), None);
}

#[derive(Debug)]
struct Harmless;

impl super::super::chaos::DiskChaos for Harmless {
    fn is_on(&self, _: DiskOperation) -> bool {
        false
    }

    fn before(&self, _: DiskOperation, _: &str, _: usize) -> Option<super::super::chaos::DiskFault> {
        None
    }

    fn wants(&self, _: &super::super::chaos::DiskWait) -> bool {
        false
    }

    fn end_process(&self) {}
}

/// Without committers whoever owns the storage does all of its work, when it likes.
#[test]
fn threads_run_where_there_are_committers() {
    for (committers, chaos, threads) in [(0, false, 0), (0, true, 0), (3, false, 4), (3, true, 5)] {
        let mut bench = Bench::new();
        bench.config.committers = committers;
        bench.config.chaos = chaos.then(|| Arc::new(Harmless) as Arc<_>);
        let storage = bench.open();
        assert_eq!(lock(&storage.threads).len(), threads, "{committers} committers, chaos {chaos}");
    }
}

#[test]
fn many_logs_open_as_few_do() {
    let names: Vec<String> = (0..80).map(|n| format!("t-{n}")).collect();
    let mut bench = Bench::new();
    bench.config.committers = 2;
    let storage = bench.open();
    let configs: Vec<_> = names.iter().map(|name| (name.clone(), small_segments())).collect();
    for (n, log) in storage.create_logs(&configs).into_iter().enumerate() {
        let log = log.unwrap();
        (0..n % 3).for_each(|_| append(&log, 1, 10, 0).ticket.wait().unwrap());
    }
    storage.close().unwrap();
    drop(storage);
    let storage = bench.open();
    let opened = storage.open_logs(&configs);
    assert_eq!(opened.len(), names.len());
    for (n, log) in opened.into_iter().enumerate() {
        let log = log.unwrap();
        assert_eq!((log.name(), log.log_end_offset()), (&*names[n], n as i64 % 3));
    }
}

/// Runs the timer until `until` has come back, and says what that gave and how long it took.
fn timed<T>(storage: &Storage, until: impl FnOnce() -> T) -> (T, Duration) {
    std::thread::scope(|scope| {
        let begun = Instant::now();
        scope.spawn(|| storage.timer.run(&storage.shared, &storage.logs, &storage.logs_dir));
        let until = until();
        let took = begun.elapsed();
        *lock(&storage.timer.stopped) = true;
        storage.timer.wake.notify_all();
        (until, took)
    })
}

const EVERY: Duration = Duration::from_millis(40);
const HOUR: Duration = Duration::from_secs(3600);

/// A storage with something in it that is not synced, whose clock tells when it is asked.
fn ticking(sync: Duration, maintenance: Duration) -> (Bench, Arc<Storage>, Arc<Log>, Receiver<()>) {
    let (told, asked) = mpsc::sync_channel(1000);
    let mut bench = Bench::new();
    bench.config.flush = FlushMode::Interval(sync);
    bench.config.maintenance_interval = maintenance;
    bench.config.clock = Arc::new(move || {
        let _ = told.try_send(());
        0
    });
    let storage = bench.open();
    let log = create(&storage, &["a-0"]).remove(0);
    write(&storage, &[Arc::clone(&log)]);
    while asked.try_recv().is_ok() {}
    (bench, storage, log, asked)
}

#[test]
fn maintenance_comes_when_its_interval_has_passed_each_time() {
    let (bench, storage, _log, asked) = ticking(HOUR, EVERY);
    let (came, took) = timed(&storage, || (0..3).all(|_| asked.recv_timeout(LONG).is_ok()));
    assert!(came && took >= 3 * EVERY, "{took:?}");
    assert_eq!(bench.files.syncs(SyncSite::Flush), 0, "the other interval has not passed");
}

#[test]
fn a_sync_comes_when_its_interval_has_passed_each_time() {
    let (bench, storage, log, asked) = ticking(EVERY, HOUR);
    let (told, synced) = mpsc::sync_channel(1000);
    bench.files.observe(move |disk| {
        let _ = told.try_send(disk.syncs(SyncSite::Flush));
    });
    let (came, took) = timed(&storage, || {
        (1..=3).all(|n| {
            write(&storage, &[Arc::clone(&log)]);
            let mut counts = std::iter::from_fn(|| synced.recv_timeout(LONG).ok());
            let came = counts.any(|count| count == n);
            while asked.try_recv().is_ok() {}
            came
        })
    });
    assert!(came && took >= 3 * EVERY, "{took:?}");
    assert_eq!(asked.try_recv().ok(), None, "the other interval has not passed");
}

/// What nothing else syncs: in this mode segments that are complete, so that a restart need not read them.
#[test]
fn maintenance_syncs_complete_segments_and_moves_the_recovery_point() {
    let bench = bench();
    let storage = bench.open();
    let log = create(&storage, &["a-0"]).remove(0);
    storage.maintain();
    (0..20).for_each(|_| write(&storage, &[Arc::clone(&log)]));
    assert_eq!(bench.files.syncs(SyncSite::Flush), 0);
    storage.maintain();
    let checkpoint = lock(&log.disk).checkpoint.clone();
    let active = lock(&log.disk).active.unwrap();
    assert!(active > 0);
    assert_eq!(checkpoint.end_offset, active);
    assert_eq!(log.unsynced(false).segments.len(), 1, "what is written to is left alone");
    assert!(log.unsynced(true).segments.is_empty());
}
