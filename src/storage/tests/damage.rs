//! Disks that fail, fill up, or give back something else. Long because it is one list: a test a kind of damage.

use std::path::Path;

use super::super::files::{Crash, Files, SimFault};
use super::super::testing::{Bench, append, small_segments};
use super::super::*;
use super::{assert_dense, committed, read_all};

type Damage<'a> = &'a dyn Fn(&Bench, &Path);

fn try_append(log: &std::sync::Arc<Log>) -> Result<Appended, StorageError> {
    log.append(AppendBatch::new(testing::batch(0, 1, 50, 0)).unwrap().into(), 0)
}

/// One log's disk fails, in every way; it goes offline, loses nothing acknowledged, and its neighbour does not notice.
#[test]
fn a_failing_disk_takes_its_log_offline_and_no_other() {
    for fault in [SimFault::NoSpace, SimFault::WriteError, SimFault::SyncError] {
        let bench = Bench::new();
        let storage = bench.open();
        let [bad, good] = ["bad-0", "good-0"].map(|name| storage.create_log(name, small_segments()).unwrap());
        for _ in 0..10 {
            committed(&storage, append(&bad, 1, 50, 0));
        }
        bench.files.inject("bad-0", fault);
        let (first, second, flushed) = (append(&bad, 1, 50, 0), append(&bad, 1, 50, 0), bad.flush());
        committed(&storage, append(&good, 1, 50, 0));
        for error in
            [first.ticket.wait().unwrap_err(), second.ticket.wait().unwrap_err(), flushed.wait().unwrap_err()]
        {
            assert!(matches!(error, StorageError::Offline { .. }) && error.is_storage_failure(), "{error}");
            assert_eq!(error.is_no_space(), fault == SimFault::NoSpace);
            assert!(error.to_string().contains("bad-0"), "{error}");
        }
        assert_eq!(bad.high_watermark(), 10, "{fault:?}");
        assert_eq!(storage.pending_bytes(), 0);

        // Never tried again, though the disk is well again.
        bench.files.heal();
        assert!(matches!(try_append(&bad), Err(StorageError::Offline { .. })));
        assert!(matches!(bad.read(0, 100, true), Err(StorageError::Offline { .. })));
        assert!(matches!(bad.offset_for_timestamp(0), Err(StorageError::Offline { .. })));
        committed(&storage, append(&good, 1, 50, 0));
        // A clean shutdown does not vouch for it: the next start looks for itself.
        storage.close().unwrap();
        bench.files.crash(Crash::Power { seed: 9 });
        let storage = bench.open();
        let bad = storage.open_log("bad-0", small_segments()).unwrap();
        assert!(bad.high_watermark() >= 10);
        assert_dense(&read_all(&bad, 0, 100), 0, bad.high_watermark());
        assert_eq!(storage.open_log("good-0", small_segments()).unwrap().high_watermark(), 2);
        committed(&storage, append(&bad, 1, 50, 0));
    }
}

#[test]
fn a_disk_that_cannot_be_read_takes_the_log_offline() {
    let mut bench = Bench::new();
    bench.config.tail_cache_bytes = 0;
    let storage = bench.open();
    let log = storage.create_log("bad-0", small_segments()).unwrap();
    committed(&storage, append(&log, 1, 50, 0));
    committed(&storage, append(&log, 1, 50, 0));
    bench.files.inject("bad-0", SimFault::ReadError);
    let waiting = append(&log, 1, 50, 0);
    assert!(matches!(log.read(1, 100, true), Err(StorageError::Offline { .. })));
    assert!(waiting.ticket.wait().is_err());
    storage.drive();
    assert_eq!(storage.pending_bytes(), 0);
}

#[test]
fn an_offline_log_can_be_deleted() {
    let bench = Bench::new();
    let storage = bench.open();
    let log = storage.create_log("bad-0", small_segments()).unwrap();
    bench.files.inject("bad-0", SimFault::WriteError);
    let lost = append(&log, 1, 50, 0);
    storage.drive();
    assert!(lost.ticket.wait().is_err());
    let deleted = storage.delete_log("bad-0");
    storage.drive();
    deleted.wait().unwrap();
    bench.files.heal();
    let log = storage.create_log("bad-0", small_segments()).unwrap();
    assert_eq!(committed(&storage, append(&log, 1, 50, 0)), 0);
}

#[test]
fn a_deletion_that_fails_is_settled_by_the_next_start() {
    for seed in 0..10 {
        let bench = Bench::new();
        let storage = bench.open();
        let log = storage.create_log("a-0", small_segments()).unwrap();
        committed(&storage, append(&log, 1, 50, 0));
        bench.files.inject("/data/logs", SimFault::SyncError);
        for _ in 0..2 {
            let deleted = storage.delete_log("a-0");
            storage.drive();
            assert!(matches!(deleted.wait(), Err(StorageError::Io { .. })), "never said to be done");
            bench.files.heal();
        }
        assert!(matches!(storage.create_log("a-0", small_segments()), Err(StorageError::LogExists(_))));
        storage.close().unwrap();
        bench.files.crash(Crash::Power { seed });
        let storage = bench.open();
        match storage.open_log("a-0", small_segments()) {
            Ok(log) => assert_dense(&read_all(&log, 0, 100), 0, 1),
            Err(StorageError::LogNotFound(_)) => drop(storage.create_log("a-0", small_segments()).unwrap()),
            Err(error) => panic!("{error}"),
        }
    }
}

/// A log with several segments, closed cleanly or not; then `damage`; then opened again, and what is left of it read.
fn reopened(
    close: bool,
    damage: impl Fn(&Bench, &Path),
) -> (Bench, std::sync::Arc<Storage>, std::sync::Arc<Log>) {
    let mut bench = Bench::new();
    bench.config.checkpoint_bytes = 1;
    let storage = bench.open();
    for name in ["a-0", "good-0"] {
        let log = storage.create_log(name, small_segments()).unwrap();
        for n in 0..40 {
            committed(&storage, append(&log, 1, 100, n));
        }
    }
    if close {
        storage.close().unwrap();
    }
    drop(storage);
    bench.files.crash(Crash::Process);
    damage(&bench, Path::new("/data/logs/a-0"));
    let storage = bench.open();
    let good = storage.open_log("good-0", small_segments()).unwrap();
    assert_dense(&read_all(&good, 0, 500), 0, 40);
    let log = storage.open_log("a-0", small_segments()).unwrap();
    (bench, storage, log)
}

const MIDDLE: &str = "00000000000000000015.log";

#[test]
fn a_segment_missing_or_cut_in_the_middle_is_noticed_at_start() {
    let remove = |bench: &Bench, dir: &Path| bench.files.remove_file(&dir.join(MIDDLE)).unwrap();
    let cut = |bench: &Bench, dir: &Path| {
        let file = bench.files.open(&dir.join(MIDDLE), files::OpenMode::Write).unwrap();
        file.set_len(file.size().unwrap() - 1).unwrap();
    };
    let add = |bench: &Bench, dir: &Path| {
        drop(
            bench.files.open(&dir.join("00000000000000000017.log"), files::OpenMode::CreateOrWrite).unwrap(),
        );
    };
    let checkpoint =
        |bench: &Bench, dir: &Path| bench.files.damage(&dir.join("checkpoint"), 20, &[0xee]).unwrap();
    let damages: [Damage<'_>; 4] = [&remove, &cut, &add, &checkpoint];
    for (n, damage) in damages.into_iter().enumerate() {
        let (_, storage, log) = reopened(false, damage);
        let error = log.offline().unwrap_or_else(|| panic!("damage {n} was not noticed"));
        assert!(error.to_string().contains("is damaged at byte"), "{error}");
        assert!(matches!(try_append(&log), Err(StorageError::Offline { .. })));
        assert!(log.read(0, 100, true).is_err());
        // It can be deleted, its neighbour goes on.
        let good = storage.log("good-0").unwrap();
        committed(&storage, append(&good, 1, 10, 0));
        let deleted = storage.delete_log("a-0");
        storage.drive();
        deleted.wait().unwrap();
    }
}

#[test]
fn damaged_batches_in_the_middle_are_noticed_when_they_are_read() {
    for close in [true, false] {
        let damage =
            |bench: &Bench, dir: &Path| bench.files.damage(&dir.join(MIDDLE), 4, &[0xee; 300]).unwrap();
        let (_, storage, log) = reopened(close, damage);
        assert_eq!(log.offline().map(|e| e.to_string()), None);
        assert_dense(&read_all_until(&log, 0, 15), 0, 15);
        let error = log.read(16, 100, true).unwrap_err();
        assert!(matches!(error, StorageError::Offline { .. }), "{error}");
        assert!(error.to_string().contains(MIDDLE), "{error}");
        assert!(try_append(&log).is_err());
        committed(&storage, append(&storage.log("good-0").unwrap(), 1, 10, 0));
    }
}

fn read_all_until(log: &std::sync::Arc<Log>, from: i64, to: i64) -> Vec<crate::wire::record::BatchHeader> {
    let mut headers = Vec::new();
    let mut at = from;
    while at < to {
        let read = log.read(at, 300, true).unwrap();
        let bytes = read.to_bytes().unwrap();
        headers.extend(crate::wire::record::batches(&bytes).map(|batch| batch.unwrap().header));
        at = read.next_offset;
    }
    headers
}

#[test]
fn lost_and_damaged_indexes_are_made_anew() {
    let damages: [Damage<'_>; 3] = [
        &|bench, path| bench.files.remove_file(path).unwrap(),
        &|bench, path| bench.files.damage(path, 0, &[0x11; 20]).unwrap(),
        // Plausible, and wrong: it is found out when it is followed.
        &|bench, path| bench.files.damage(path, 0, &[0, 0, 0, 1, 0, 0, 0, 200]).unwrap(),
    ];
    for damage in damages {
        for close in [true, false] {
            let (_, storage, log) = reopened(close, |bench, dir| {
                let mut indexes = bench.files.list(dir).unwrap();
                indexes.retain(|entry| entry.name.ends_with(".index"));
                assert!(indexes.len() > 3);
                indexes.iter().for_each(|entry| damage(bench, &dir.join(&entry.name)));
            });
            for from in 0..40 {
                assert_dense(&read_all(&log, from, 200), from, 40);
                assert_eq!(log.offset_for_timestamp(from).unwrap().map(|found| found.offset), Some(from));
            }
            committed(&storage, append(&log, 1, 10, 100));
            assert_dense(&read_all(&log, 0, 200), 0, 41);
        }
    }
}

/// An index that is cut while it is in use is made anew like one that was found so.
#[test]
fn an_index_cut_short_under_a_reader_is_made_anew() {
    let (bench, storage, log) = reopened(true, |_, _| {});
    assert_dense(&read_all(&log, 0, 200), 0, 40);
    let mut indexes = bench.files.list(log.dir()).unwrap();
    indexes.retain(|entry| entry.name.ends_with(".index"));
    for index in indexes {
        let path = log.dir().join(index.name);
        bench.files.open(&path, files::OpenMode::Write).unwrap().set_len(0).unwrap();
    }
    for from in 0..40 {
        assert_dense(&read_all(&log, from, 200), from, 40);
    }
    assert_eq!(log.offline().map(|e| e.to_string()), None);
    committed(&storage, append(&log, 1, 10, 100));
}

#[test]
fn a_damaged_marker_is_no_reason_to_lose_anything() {
    let (_, _storage, log) = reopened(true, |bench, _| {
        bench.files.damage(Path::new("/data/clean-shutdown"), 30, &[0xee; 4]).unwrap();
    });
    assert_dense(&read_all(&log, 0, 500), 0, 40);
}

#[test]
fn garbage_behind_the_last_batch_is_dropped() {
    let (bench, storage, log) = reopened(false, |bench, dir| {
        let last = dir.join("00000000000000000035.log");
        let size = bench.files.size(&last).unwrap();
        bench.files.damage(&last, size, &[0; 700]).unwrap();
        bench.files.crash(Crash::Power { seed: 1 });
        drop(
            bench.files.open(&dir.join("00000000000000000052.log"), files::OpenMode::CreateOrWrite).unwrap(),
        );
    });
    assert_eq!(log.offline().map(|e| e.to_string()), None);
    assert_dense(&read_all(&log, 0, 500), 0, 40);
    assert!(bench.files.size(&log.dir().join("00000000000000000052.log")).is_err());
    assert_eq!(committed(&storage, append(&log, 1, 10, 0)), 40);
    bench.files.crash(Crash::Power { seed: 4 });
    let log = bench.open().open_log("a-0", small_segments()).unwrap();
    assert_eq!(log.log_end_offset(), 41);
}

/// A log of a few small segments, in an epoch above zero; closed, killed, or killed with nothing to recover.
fn written(end: End) -> Bench {
    let mut bench = Bench::new();
    match end {
        End::Closed => {}
        // No checkpoint: everything is read again.
        End::Killed => bench.config.flush = FlushMode::Os,
        End::KilledAfterCheckpoint => bench.config.checkpoint_bytes = 1,
    }
    let storage = bench.open();
    let log = storage.create_log("a-0", LogConfig { segment_bytes: 400, ..small_segments() }).unwrap();
    for n in 0..8 {
        let batch = AppendBatch::new(testing::batch(0, 1 + n % 3, 20, n.into())).unwrap();
        committed(&storage, log.append(batch.into(), 5).unwrap());
    }
    match end {
        End::Closed => storage.close().unwrap(),
        End::Killed | End::KilledAfterCheckpoint => {}
    }
    drop(storage);
    bench.files.crash(Crash::Process);
    bench
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Closed,
    Killed,
    KilledAfterCheckpoint,
}

const ENDS: [End; 3] = [End::Closed, End::Killed, End::KilledAfterCheckpoint];

/// All there is of the log on this disk, or why not. The leader epochs are left out: nothing protects them.
fn read_to_the_end(files: &files::SimFiles, config: &StorageConfig) -> Result<Vec<u8>, StorageError> {
    let storage = Storage::open(std::sync::Arc::new(files.clone()), "/data", config.clone()).unwrap();
    let log = storage.open_log("a-0", small_segments()).unwrap();
    let (mut all, mut at) = (Vec::new(), 0);
    if let Some(error) = log.offline() {
        return Err(error);
    }
    while at < log.high_watermark() {
        let read = log.read(at, 200, true)?;
        assert!(read.next_offset > at);
        at = read.next_offset;
        all.extend_from_slice(&read.to_bytes().unwrap());
    }
    let mut start = 0;
    while start < all.len() {
        let size = crate::wire::record::BatchHeader::parse(&all[start..]).unwrap().size();
        crate::wire::record::set_leader_epoch(&mut all[start..], 0);
        start += size;
    }
    Ok(all)
}

fn segments(bench: &Bench) -> Vec<std::path::PathBuf> {
    let dir = Path::new("/data/logs/a-0");
    let names = bench.files.list(dir).unwrap().into_iter().map(|entry| entry.name);
    let mut paths: Vec<_> = names.filter(|name| name.ends_with(".log")).map(|name| dir.join(name)).collect();
    paths.sort();
    assert!(paths.len() > 2);
    paths
}

fn content(files: &files::SimFiles, path: &Path) -> Vec<u8> {
    let mut bytes = vec![0; files.size(path).unwrap() as usize];
    files.open(path, files::OpenMode::Read).unwrap().read_at(0, &mut bytes).unwrap();
    bytes
}

/// Damaged bytes in the middle were served as they were after a clean end, and cost all that followed, said to be
/// \"never committed\", after a kill.
#[test]
fn damage_anywhere_is_refused_with_its_place_and_loses_nothing() {
    for end in ENDS {
        let bench = written(end);
        let good = read_to_the_end(&bench.files.fork(), &bench.config).unwrap();
        let check = |path: &Path, position: u64, bytes: &[u8]| {
            let files = bench.files.fork();
            files.damage(path, position, bytes).unwrap();
            let case = format!("{end:?}, {} bytes at {position} of {}", bytes.len(), path.display());
            match read_to_the_end(&files, &bench.config) {
                Ok(found) => assert!(found == good, "{case}: served or lost"),
                Err(error) => {
                    assert!(matches!(error, StorageError::Offline { .. }), "{case}: {error}");
                    assert!(error.to_string().contains("is damaged at byte"), "{case}: {error}");
                    assert!(error.to_string().contains(&path.display().to_string()), "{case}: {error}");
                    let kept = content(&files, path);
                    assert_eq!(kept.len() as u64, bench.files.size(path).unwrap(), "{case}: cut");
                    return true;
                }
            }
            false
        };
        for path in segments(&bench) {
            let bytes = content(&bench.files, &path);
            let mut refused = 0;
            for (position, byte) in bytes.iter().enumerate() {
                for mask in [0x01, 0x40] {
                    refused += usize::from(check(&path, position as u64, &[byte ^ mask]));
                }
            }
            // All but what may be in an epoch.
            let batches = crate::wire::record::batches(&bytes).count();
            assert!(refused >= 2 * (bytes.len() - 4 * batches), "{end:?}: {refused} of {}", 2 * bytes.len());
            for position in (0..bytes.len() - 70).step_by(13) {
                for filler in [0x00, 0xee] {
                    assert!(check(&path, position as u64, &[filler; 70]), "{end:?}: at {position}");
                }
            }
        }
    }
}

/// The epoch is outside of a batch's CRC. One that is later than where the batch lies would make a consumer that was told of it
/// believe that the log was cut behind it.
#[test]
fn a_batch_of_a_later_epoch_than_its_place_is_refused() {
    for end in [End::Closed, End::KilledAfterCheckpoint] {
        let bench = written(end);
        let first = &segments(&bench)[0];
        bench.files.damage(first, 12, &6_i32.to_be_bytes()).unwrap();
        let error = read_to_the_end(&bench.files, &bench.config).unwrap_err().to_string();
        assert!(error.contains("is damaged at byte 0"), "{error}");
        assert!(error.contains("leader epoch 6 is of later"), "{error}");
    }
}

/// What stands in the way of a log being served is said so that it can be done: the file cut where the message says,
/// what follows renamed.
#[test]
fn a_loss_can_be_accepted_as_the_message_says() {
    let bench = written(End::Killed);
    let paths = segments(&bench);
    let first = content(&bench.files, &paths[0]);
    let second_batch = crate::wire::record::BatchHeader::parse(&first).unwrap().size() as u64;
    bench.files.damage(&paths[0], second_batch + 70, &[0xee]).unwrap();
    let refusal =
        |bench: &Bench| read_to_the_end(&bench.files.fork(), &bench.config).unwrap_err().to_string();
    let error = refusal(&bench);
    assert!(error.contains("is whole; nothing was changed"), "{error}");
    assert!(error.contains(&format!("truncate -s {second_batch} {}", paths[0].display())), "{error}");
    assert!(error.contains("all later segments of this partition"), "{error}");
    bench.files.open(&paths[0], files::OpenMode::Write).unwrap().set_len(second_batch).unwrap();
    // All that do not follow any more are named at once.
    let error = refusal(&bench);
    assert!(error.contains("the log comes to offset 1 before it"), "{error}");
    let (_, commands) = error.split_once("behind the gap: ").expect("a way out");
    let moves: Vec<_> = commands.split(" && ").map(|command| command.strip_prefix("mv ").unwrap()).collect();
    assert_eq!(moves.len(), paths.len() - 1, "{error}");
    for (command, later) in moves.into_iter().zip(&paths[1..]) {
        let (from, to) = command.split_once(' ').unwrap();
        assert_eq!(
            (Path::new(from), Path::new(to)),
            (later.as_path(), &*later.with_extension("log.dropped"))
        );
        bench.files.rename(Path::new(from), Path::new(to)).unwrap();
    }
    let left = read_to_the_end(&bench.files, &bench.config).unwrap();
    assert_eq!(left.len() as u64, second_batch);
}

/// The same for what a reader finds, where the checkpoint vouches for more than there will be.
#[test]
fn a_loss_that_a_reader_finds_can_be_accepted_as_the_message_says() {
    for end in [End::Closed, End::KilledAfterCheckpoint] {
        let bench = written(end);
        let path = segments(&bench).pop().unwrap();
        let bytes = content(&bench.files, &path);
        let size = bytes.len() as u64;
        bench.files.damage(&path, size - 1, &[!bytes[bytes.len() - 1]]).unwrap();
        let good = read_to_the_end(&written(end).files, &bench.config).unwrap();
        let error = read_to_the_end(&bench.files, &bench.config).unwrap_err().to_string();
        let (_, command) = error.split_once("truncate -s ").expect("a way out");
        let (position, rest) = command.split_once(' ').unwrap();
        let due = format!("{} && rm /data/logs/a-0/checkpoint; ", path.display());
        assert!(rest.starts_with(&due), "{error}");
        assert!(error.contains("DeleteRecords moved inside the first segment is forgotten"), "{error}");
        let position = position.parse().unwrap();
        bench.files.open(&path, files::OpenMode::Write).unwrap().set_len(position).unwrap();
        bench.files.remove_file(Path::new("/data/logs/a-0/checkpoint")).unwrap();
        bench.files.crash(Crash::Process);
        let left = read_to_the_end(&bench.files, &bench.config).unwrap();
        assert_eq!(left, good[..good.len() - (size - position) as usize], "{end:?}");
    }
}

/// After a power loss whole batches may stand behind torn ones that nobody was promised: the log goes on, and what was
/// cut off is kept.
#[test]
fn what_a_power_loss_leaves_behind_a_torn_batch_is_cut_off_and_kept() {
    let bench = written(End::Killed);
    let paths = segments(&bench);
    let first = content(&bench.files, &paths[0]);
    let second_batch = crate::wire::record::BatchHeader::parse(&first).unwrap().size();
    bench.files.sync_all(Path::new("/data"), files::SyncSite::FlushAll).unwrap();
    bench.files.damage(&paths[0], second_batch as u64 + 70, &[0xee]).unwrap();
    bench.files.crash(Crash::Power { seed: 0 });
    let left = read_to_the_end(&bench.files, &bench.config).unwrap();
    assert_eq!(left.len(), second_batch);
    let kept = paths[0].with_extension(format!("log.damaged-{second_batch}"));
    let kept = content(&bench.files, &kept);
    assert_eq!((kept.len(), &kept[..70]), (first.len() - second_batch, &first[second_batch..][..70]));
    for (n, later) in paths[1..].iter().enumerate() {
        assert!(bench.files.size(later).is_err(), "segment {n} does not follow any more");
        assert!(bench.files.size(&later.with_extension("log.dropped")).unwrap() > 0);
    }
}

/// Where the file grew and the data never came there is nothing to keep; anything else is kept to the last byte.
#[test]
fn of_what_a_power_loss_leaves_all_is_kept_but_zeros() {
    for (filler, kept) in [(0x00, false), (0xee, true)] {
        let bench = written(End::Killed);
        let last = segments(&bench).pop().unwrap();
        let size = bench.files.size(&last).unwrap();
        let whole = read_to_the_end(&bench.files.fork(), &bench.config).unwrap();
        bench.files.sync_all(Path::new("/data"), files::SyncSite::FlushAll).unwrap();
        bench.files.damage(&last, size, &[filler; 300]).unwrap();
        bench.files.crash(Crash::Power { seed: 0 });
        assert_eq!(read_to_the_end(&bench.files, &bench.config).unwrap(), whole);
        assert_eq!(bench.files.size(&last).unwrap(), size);
        let aside = last.with_extension(format!("log.damaged-{size}"));
        assert_eq!(bench.files.size(&aside).is_ok(), kept, "{filler:#x}");
        if kept {
            assert_eq!(content(&bench.files, &aside), [filler; 300]);
        }
    }
}

/// It was made for an append that never came: no gap in what was there.
#[test]
fn an_empty_segment_that_a_killed_process_left_is_removed() {
    let bench = written(End::Killed);
    let whole = read_to_the_end(&bench.files.fork(), &bench.config).unwrap();
    let empty = Path::new("/data/logs/a-0/00000000000000000999.log");
    drop(bench.files.open(empty, files::OpenMode::CreateOrWrite).unwrap());
    assert_eq!(read_to_the_end(&bench.files, &bench.config).unwrap(), whole);
    assert!(bench.files.size(empty).is_err());
}

/// The death of a process in the middle of an append leaves its first part: no damage, nothing to decide.
#[test]
fn an_append_cut_short_by_a_kill_is_dropped() {
    let bench = written(End::Killed);
    let paths = segments(&bench);
    let last = paths.last().unwrap();
    let whole = content(&bench.files, last);
    let storage = bench.open();
    let end = storage.open_log("a-0", small_segments()).unwrap().log_end_offset();
    drop(storage);
    bench.files.crash(Crash::Process);
    let next = testing::batch(end, 2, 300, 0);
    for len in [1, 7, 8, 12, 16, 17, 60, 61, 100, next.len() - 1] {
        let bench = Bench { files: bench.files.fork(), ..Bench::new() };
        bench.files.damage(last, whole.len() as u64, &next[..len]).unwrap();
        let storage = bench.open();
        let log = storage.open_log("a-0", small_segments()).unwrap();
        assert_eq!((log.offline().map(|e| e.to_string()), log.log_end_offset()), (None, end), "{len} bytes");
        assert_eq!(content(&bench.files, last), whole);
        assert_eq!(committed(&storage, append(&log, 1, 10, 0)), end);
    }
}

/// A segment whose bytes change while it is open, after they were read once.
#[test]
fn headers_are_looked_at_each_time_a_file_is_read() {
    let mut bench = Bench::new();
    bench.config.tail_cache_bytes = 0;
    let storage = bench.open();
    let log = storage.create_log("a-0", small_segments()).unwrap();
    for n in 0..20 {
        committed(&storage, append(&log, 1, 100, n));
    }
    assert_dense(&read_all(&log, 0, 500), 0, 20);
    let middle = log.dir().join(MIDDLE);
    bench.files.damage(&middle, 0, &[0xee; 30]).unwrap();
    assert_dense(&read_all_until(&log, 0, 15), 0, 15);
    let error = log.read(15, 1000, true).unwrap_err();
    assert!(error.to_string().contains("00000000000000000015.log is damaged at byte 0"), "{error}");
}

/// Removing the checkpoint, as the messages advise, took every log that retention had shortened offline for good, or set
/// all of its segments aside.
#[test]
fn a_log_without_its_checkpoint_begins_with_its_first_segment() {
    for ran_on in [true, false] {
        let bench = Bench::new();
        let storage = bench.open();
        let log = storage.create_log("a-0", small_segments()).unwrap();
        committed(&storage, append(&log, 5000, 1, 0));
        for n in 0..20 {
            committed(&storage, append(&log, 1, 100, n));
        }
        let deleted = log.delete_records_before(5000);
        storage.drive();
        assert_eq!(deleted.wait().unwrap(), 5000);
        drop((log, storage));
        bench.files.remove_file(Path::new("/data/logs/a-0/checkpoint")).unwrap();
        if ran_on {
            bench.files.crash(Crash::Process);
        } else {
            bench.files.sync_all(Path::new("/data"), files::SyncSite::FlushAll).unwrap();
            bench.files.crash(Crash::Power { seed: 0 });
        }
        assert!(bench.files.size(Path::new("/data/logs/a-0/00000000000000005000.log")).unwrap() > 0);
        // A second start is no other than the first.
        for end in [5020, 5021] {
            let storage = bench.open();
            let log = storage.open_log("a-0", small_segments()).unwrap();
            assert_eq!(log.offline().map(|e| e.to_string()), None, "ran on: {ran_on}");
            assert_eq!((log.log_start_offset(), log.log_end_offset()), (5000, end), "ran on: {ran_on}");
            assert_dense(&read_all(&log, 5000, 500), 5000, end);
            assert_eq!(committed(&storage, append(&log, 1, 10, 0)), end);
            drop((log, storage));
            bench.files.crash(Crash::Process);
        }
    }
}

/// A log that ends in what a killed process appended last, given its offset, opened again; and that offset.
fn killed_while_appending(
    tail: impl Fn(i64) -> bytes::Bytes,
) -> (i64, std::sync::Arc<Storage>, std::sync::Arc<Log>) {
    let bench = written(End::Killed);
    let last = segments(&bench).pop().unwrap();
    let end = bench.open().open_log("a-0", small_segments()).unwrap().log_end_offset();
    bench.files.crash(Crash::Process);
    bench.files.damage(&last, bench.files.size(&last).unwrap(), &tail(end)).unwrap();
    let storage = bench.open();
    let log = storage.open_log("a-0", small_segments()).unwrap();
    (end, storage, log)
}

/// Less than a header is judged as well: a killed append left the offset that is due, and further on magic 2.
#[test]
fn a_few_bytes_that_begin_no_batch_are_damage() {
    let magic_1 = |end: i64| {
        let mut begun = testing::batch(end, 1, 10, 0)[..20].to_vec();
        begun[16] = 1;
        begun
    };
    for wrong in [&|_| vec![0xee; 5], &|end| testing::batch(end + 1, 1, 10, 0)[..20].to_vec(), &magic_1]
        as [&dyn Fn(i64) -> Vec<u8>; 3]
    {
        let (_, _storage, log) = killed_while_appending(|end| wrong(end).into());
        let error = log.offline().expect("refused").to_string();
        assert!(error.contains("nothing was changed"), "{error}");
    }
}

/// A producer may send whole batches as a value: they are not the log's.
#[test]
fn a_killed_append_of_a_record_that_holds_a_batch_is_no_damage() {
    use crate::wire::record::{BatchBuilder, BatchHeader, Compressor, Headers};
    for behind in [0, 1, 7] {
        let (end, _storage, log) = killed_while_appending(|end| {
            let held = testing::batch(end + behind, 1, 300, 0);
            let mut compressor = Compressor::new();
            let header = BatchHeader { base_offset: end, ..BatchHeader::default() };
            let mut builder = BatchBuilder::new(header, &mut compressor);
            for _ in 0..3 {
                builder.append(0, None, Some(&held), Headers::default()).unwrap();
            }
            let batch = builder.finish().unwrap();
            batch.slice(..batch.len() - 1)
        });
        assert_eq!(log.offline().map(|e| e.to_string()), None, "{behind}");
        assert_eq!(log.log_end_offset(), end, "{behind}");
    }
}

/// A batch larger than 64 MiB whose length the disk has damaged was taken for an append cut short, and dropped.
#[test]
fn a_large_batch_with_a_damaged_length_is_damage() {
    let (_, _storage, log) = killed_while_appending(|end| {
        let mut batch = testing::batch(end, 1, 10, 0).to_vec();
        batch.resize(65 << 20, 0);
        let crc = crc32c::crc32c(&batch[21..]);
        batch[17..21].copy_from_slice(&crc.to_be_bytes());
        let wrong = batch.len() as u32 - 12 + 1;
        batch[8..12].copy_from_slice(&wrong.to_be_bytes());
        batch.into()
    });
    let error = log.offline().expect("refused").to_string();
    assert!(error.contains("nothing was changed"), "{error}");
}

/// The other logs took the places of those that the worker had opened.
#[test]
fn a_panic_while_logs_are_opened_is_not_swallowed() {
    let mut bench = Bench::new();
    bench.config.committers = 1;
    bench.config.many_logs = usize::MAX;
    let names: Vec<_> = (0..100).map(|n| (format!("t-{n}"), small_segments())).collect();
    let storage = bench.open();
    assert!(storage.create_logs(&names).iter().all(Result::is_ok));
    for (name, _) in &names {
        append(&storage.log(name).unwrap(), 1, 10, 0).ticket.wait().unwrap();
    }
    drop(storage);
    bench.files.crash(Crash::Process);
    let storage = bench.open();
    bench.files.observe(|_| panic!("on purpose"));
    let opened = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| storage.open_logs(&names)));
    bench.files.stop_observing();
    assert!(opened.is_err());
}
