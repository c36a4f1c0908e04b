//! What a log knows of what is on the disk and what is not.

use super::super::epochs::EpochStart;
use super::super::files::{Crash, SimFiles};
use super::super::testing::{Bench, append, batch, small_segments};
use super::super::{AppendBatch, LogConfig, Storage};
use super::*;

struct Written {
    bench: Bench,
    storage: Arc<Storage>,
    log: Arc<Log>,
}

/// A log of a storage that syncs only when it is told to.
fn written(config: LogConfig, checkpoint_bytes: u64) -> Written {
    let mut bench = Bench::new();
    bench.config.flush = FlushMode::Os;
    bench.config.checkpoint_bytes = checkpoint_bytes;
    let storage = bench.open();
    let log = storage.create_log("a-0", config).unwrap();
    Written { bench, storage, log }
}

fn large_segments() -> LogConfig {
    LogConfig { segment_bytes: 1 << 20, ..small_segments() }
}

impl Written {
    fn append(&self) {
        self.append_in(0);
    }

    fn append_in(&self, epoch: i32) {
        let appended = self.log.append(AppendBatch::new(batch(0, 1, 100, 0)).unwrap().into(), epoch).unwrap();
        self.storage.drive();
        appended.ticket.wait().unwrap();
    }

    /// The base offsets of all segments.
    fn segments(&self) -> Vec<i64> {
        lock(&self.log.body).segments.iter().map(|segment| segment.base_offset).collect()
    }

    fn fill_segments(&self, count: usize) {
        while self.segments().len() < count {
            self.append();
        }
    }

    /// Segments and names that are not synced.
    fn open(&self, sealed_only: bool) -> (Vec<i64>, bool) {
        let unsynced = self.log.unsynced(sealed_only);
        (unsynced.segments.iter().map(|(segment, _)| *segment).collect(), unsynced.names.is_some())
    }

    fn checkpoint(&self) -> LogImage {
        lock(&self.log.disk).checkpoint.clone()
    }

    fn sync(&self) {
        let unsynced = self.log.unsynced(false);
        self.log.sync(&unsynced).unwrap();
        self.log.synced(&unsynced).unwrap();
    }
}

#[test]
fn what_is_written_during_a_sync_is_not_taken_for_synced() {
    let all = written(small_segments(), u64::MAX);
    all.append();
    let unsynced = all.log.unsynced(false);
    all.append();
    all.log.sync(&unsynced).unwrap();
    all.log.synced(&unsynced).unwrap();
    // The name was there before.
    assert_eq!(all.open(false), (vec![0], false));
    assert!(all.log.unsynced.load(Ordering::Relaxed));
    all.sync();
    assert_eq!(all.open(false), (vec![], false));
    assert!(!all.log.unsynced.load(Ordering::Relaxed));

    // Nor is the name of a segment that was made meanwhile.
    let all = written(small_segments(), u64::MAX);
    all.append();
    let unsynced = all.log.unsynced(false);
    all.fill_segments(2);
    all.log.sync(&unsynced).unwrap();
    all.log.synced(&unsynced).unwrap();
    assert_eq!(all.open(false), (all.segments(), true));
}

#[test]
fn of_a_log_that_is_written_to_only_what_is_complete_may_be_asked_for() {
    let all = written(small_segments(), u64::MAX);
    all.append();
    // Without a segment there is no name of one to sync, and none to be taken for synced.
    assert_eq!(all.open(true), (vec![], false));
    all.fill_segments(3);
    let segments = all.segments();
    assert_eq!(all.open(true), (segments[..2].to_vec(), true));
    assert_eq!(all.open(false), (segments, true));
}

#[test]
fn what_was_asked_to_be_flushed_survives_every_power_loss() {
    let all = written(small_segments(), u64::MAX);
    all.fill_segments(3);
    let flushed = all.log.flush();
    all.storage.drive();
    flushed.wait().unwrap();
    assert_eq!(all.open(false), (vec![], false));
    let end = all.log.high_watermark();
    for seed in 0..40 {
        let files: SimFiles = all.bench.files.fork();
        files.crash(Crash::Power { seed });
        let bench = Bench { files, config: all.bench.config.clone(), now: Arc::clone(&all.bench.now) };
        let log = bench.open().open_log("a-0", small_segments()).unwrap();
        assert_eq!(log.log_end_offset(), end, "seed {seed}");
    }
}

/// The recovery point moves when that saves a start much reading, or whole segments.
#[test]
fn a_sync_is_followed_by_a_checkpoint_where_it_is_worth_one() {
    let all = written(large_segments(), 1000);
    all.append();
    all.sync();
    assert_eq!(all.checkpoint().end_offset, 1, "a segment that it does not know");
    all.append();
    all.sync();
    assert_eq!(all.checkpoint().end_offset, 1, "not worth it");
    (0..10).for_each(|_| all.append());
    all.sync();
    assert_eq!(all.checkpoint().end_offset, 12, "more than a start shall read");

    let all = written(small_segments(), u64::MAX);
    all.append();
    all.sync();
    all.fill_segments(3);
    let end = all.log.high_watermark();
    assert_eq!(all.checkpoint().end_offset, 1);
    all.sync();
    assert_eq!(all.checkpoint(), all.log.image());
    assert_eq!(all.checkpoint().end_offset, end);
}

#[test]
fn a_checkpoint_that_would_say_the_same_is_not_stored() {
    let all = written(large_segments(), 1000);
    all.append();
    all.sync();
    (0..10).for_each(|_| all.append());
    let stored = all.bench.files.syncs(SyncSite::Snapshot);
    // Of what was written since nothing is synced yet.
    lock(&all.log.disk).checkpoint.end_offset = 0;
    let image = all.log.image_of_synced(&lock(&all.log.disk));
    assert_eq!(image.end_offset, 0);
    all.log.synced(&Unsynced { segments: Vec::new(), names: None }).unwrap();
    assert_eq!(all.bench.files.syncs(SyncSite::Snapshot), stored);
}

#[test]
fn a_recovery_point_lies_before_all_that_is_not_synced() {
    let all = written(small_segments(), u64::MAX);
    for epoch in 0..4 {
        // Each segment in an epoch of its own.
        let segments = all.segments().len();
        while all.segments().len() == segments {
            all.append_in(epoch);
        }
    }
    let segments = all.segments();
    assert_eq!(segments.len(), 4);
    let all_synced = lock(&all.log.head).epochs.clone();
    for (kept, first) in segments.iter().enumerate() {
        let mut disk = lock(&all.log.disk);
        disk.unsynced.clear();
        disk.unsynced.extend(segments[kept..].iter().map(|segment| (*segment, 1)));
        let image = all.log.image_of_synced(&disk);
        let of_image: Vec<i64> = image.segments.iter().map(|segment| segment.base_offset).collect();
        assert_eq!(of_image, segments[..kept]);
        assert_eq!(image.end_offset, *first);
        assert_eq!(image.epochs, all_synced.up_to(*first));
        assert!(image.epochs.iter().all(|EpochStart { start_offset, .. }| start_offset < first));
    }
    lock(&all.log.disk).unsynced.clear();
    let image = all.log.image_of_synced(&lock(&all.log.disk));
    assert_eq!(image, all.log.image());
}

/// A log that is over has nothing to say about files that may be another's.
#[test]
fn a_log_that_has_ended_writes_no_more() {
    let all = written(small_segments(), u64::MAX);
    all.append();
    let unsynced = all.log.unsynced(false);
    let waiting = append(&all.log, 1, 100, 0);
    all.log.take_offline(StorageError::ReadOnly);
    let operations = all.bench.files.operations();
    all.storage.drive();
    all.log.synced(&unsynced).unwrap();
    assert_eq!(all.bench.files.operations(), operations);
    assert!(waiting.ticket.wait().is_err());
    assert_eq!((all.log.high_watermark(), all.storage.pending_bytes()), (1, 0));
}

/// Who loads an index while a batch is noted in it would miss that batch.
#[test]
fn the_index_is_loaded_before_the_first_batch_is_added() {
    let all = written(small_segments(), u64::MAX);
    all.fill_segments(3);
    let (segments, Written { bench, storage, log }) = (all.segments(), all);
    storage.close().unwrap();
    drop((storage, log));
    let storage = bench.open();
    let log = storage.open_log("a-0", small_segments()).unwrap();
    let loaded = || -> Vec<bool> {
        lock(&log.body).segments.iter().map(|segment| lock(&segment.index).is_loaded()).collect()
    };
    assert_eq!(loaded(), [false; 3]);
    let appended = append(&log, 1, 10, 0);
    storage.drive();
    appended.ticket.wait().unwrap();
    assert_eq!(loaded(), [false, false, true], "of {segments:?}");
}

/// However often it is closed and opened, what lies behind the recovery point is bounded.
#[test]
fn a_clean_shutdown_does_not_forget_how_much_the_checkpoint_does_not_know() {
    let mut bench = Bench::new();
    bench.config.checkpoint_bytes = 1000;
    for n in 0..20 {
        let storage = bench.open();
        let log = match n {
            0 => storage.create_log("a-0", large_segments()).unwrap(),
            _ => storage.open_log("a-0", large_segments()).unwrap(),
        };
        let appended = append(&log, 1, 100, 0);
        storage.drive();
        appended.ticket.wait().unwrap();
        storage.close().unwrap();
    }
    let path = std::path::Path::new("/data/logs/a-0").join(CHECKPOINT);
    let stored = snapshot::read(&bench.files, &path).unwrap().expect("enough was written for one");
    assert!(LogImage::decode(&stored).unwrap().end_offset > 10);
}
