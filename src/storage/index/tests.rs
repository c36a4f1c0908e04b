use std::io::IoSlice;
use std::path::Path;
use std::sync::Arc;

use super::*;
use crate::storage::file_cache::FileCache;
use crate::storage::files::{Files, SimFault, SimFiles};
use crate::storage::testing::batch;

const INTERVAL: u32 = 100;

struct Indexed {
    sim: SimFiles,
    files: LogFiles,
    segment: Segment,
    /// Position and header of each batch.
    batches: Vec<(u64, BatchHeader)>,
}

/// A segment of `count` batches from offset 1000 on, with times that go up and down, and its index as it is noted
/// when the batches are written.
fn indexed(count: i64) -> Indexed {
    let sim = SimFiles::new();
    let files = LogFiles {
        files: Arc::new(sim.clone()),
        cache: Arc::new(FileCache::new(10)),
        log: 1,
        dir: Path::new("/").into(),
    };
    let mut segment = Segment::new(1000);
    let mut batches = Vec::new();
    let log = files.open(1000, FileKind::Log, OpenMode::CreateOrWrite).unwrap();
    for n in 0..count {
        let bytes =
            batch(segment.next_offset, 1 + (n % 3) as i32, (n * 7 % 90) as usize, n * 10 - (n % 4) * 25);
        let header = BatchHeader::parse(&bytes).unwrap();
        log.write_at(segment.size, &mut [IoSlice::new(&bytes)]).unwrap();
        lock(&segment.index).note(1000, segment.size, &BatchNote::from(&header), INTERVAL);
        batches.push((segment.size, header));
        segment.extend(header.base_offset, header.next_offset(), bytes.len() as u64, header.max_timestamp);
    }
    Indexed { sim, files, segment, batches }
}

impl Indexed {
    fn by_offset(&self, offset: i64) -> Option<IndexEntry> {
        let relative = (offset - 1000) as u32;
        let below = |entry: &IndexEntry| entry.relative_offset <= relative;
        last_below(&self.segment.index, &self.files, 1000, Disk::MayBlock, below).unwrap()
    }

    /// Every look-up leads to a batch at or before the one wanted, and not far before.
    fn check(&self) {
        for (position, header) in &self.batches {
            let found = self.by_offset(header.base_offset);
            let (at, offset) = found.map_or((0, 1000), |entry| {
                (u64::from(entry.position), 1000 + i64::from(entry.relative_offset))
            });
            assert!(self.batches.iter().any(|(p, h)| *p == at && h.base_offset == offset));
            assert!(at <= *position && position - at <= u64::from(INTERVAL) + 300, "{at} for {position}");
            if let Some(entry) = found {
                let until = self.batches.iter().take_while(|(p, _)| *p <= at);
                let largest = until.map(|(_, h)| h.max_timestamp).max();
                assert_eq!(Some(entry.max_timestamp), largest);
            }
        }
    }

    fn forget(&self) {
        *lock(&self.segment.index) = SparseIndex::unloaded();
    }

    fn load(&self) -> Result<(), StorageError> {
        load(&self.files, &self.segment, INTERVAL)
    }

    fn counts(&self) -> (u32, usize) {
        let index = lock(&self.segment.index);
        let entries = index.entries.as_ref().unwrap();
        (entries.on_disk, entries.in_memory.len())
    }
}

#[test]
fn look_ups_agree_in_memory_on_disk_and_after_a_restart() {
    let all = indexed(1500);
    all.check();
    let (_, in_memory) = all.counts();
    assert!(in_memory > 3 * LEAF as usize, "enough for a binary search: {in_memory}");
    flush(&all.segment.index, &all.files, 1000).unwrap();
    assert_eq!(all.counts(), (in_memory as u32, 0));
    assert!(!lock(&all.segment.index).is_unflushed());
    all.check();
    all.forget();
    all.load().unwrap();
    assert_eq!(all.counts(), (in_memory as u32, 0));
    all.check();
}

#[test]
fn a_lost_or_damaged_file_is_rebuilt_from_the_batches() {
    let path = Path::new("/00000000000000001000.index");
    let all = indexed(300);
    let (_, entries) = all.counts();
    flush(&all.segment.index, &all.files, 1000).unwrap();
    let size = all.sim.size(path).unwrap();
    // Torn anywhere.
    for len in (0..size).step_by(77) {
        all.files.files.open(path, OpenMode::Write).unwrap().set_len(len).unwrap();
        all.forget();
        all.load().unwrap();
        assert_eq!(all.counts().0, (len / ENTRY_LEN as u64) as u32);
        assert_eq!(all.counts().1, entries - all.counts().0 as usize);
        all.check();
        flush(&all.segment.index, &all.files, 1000).unwrap();
        assert_eq!(all.sim.size(path).unwrap(), size);
    }
    // A sector of zeros, or of anything.
    for (position, byte) in [(0, 0), (512, 0), (1024, 0xff), (size - 20, 0), (size - 20, 0x01)] {
        all.sim.damage(path, position, &[byte; 20]).unwrap();
        all.forget();
        all.load().unwrap();
        all.check();
        reload(&all.files, &all.segment, INTERVAL).unwrap();
        flush(&all.segment.index, &all.files, 1000).unwrap();
    }
    all.sim.remove_file(path).unwrap();
    all.files.cache.forget_log(1);
    all.forget();
    all.load().unwrap();
    assert_eq!(all.counts(), (0, entries));
    all.check();
}

#[test]
fn entries_of_what_recovery_cut_off_are_not_used() {
    let mut all = indexed(300);
    flush(&all.segment.index, &all.files, 1000).unwrap();
    let (position, header) = all.batches[120];
    all.batches.truncate(120);
    (all.segment.size, all.segment.next_offset) = (position, header.base_offset);
    all.forget();
    all.load().unwrap();
    all.check();
    let (on_disk, in_memory) = all.counts();
    assert!(on_disk > 0 && in_memory == 0, "those before it are");
    let last = last_below(&all.segment.index, &all.files, 1000, Disk::MayBlock, |_| true).unwrap().unwrap();
    assert!(u64::from(last.position) < position);
}

#[test]
fn a_damaged_segment_is_an_error() {
    let all = indexed(50);
    all.sim.damage(Path::new("/00000000000000001000.log"), all.batches[30].0, &[9; 8]).unwrap();
    all.forget();
    assert!(matches!(all.load(), Err(StorageError::Corrupt { .. })));
}

#[test]
fn a_look_up_that_may_not_block_says_so() {
    let all = indexed(300);
    flush(&all.segment.index, &all.files, 1000).unwrap();
    let look =
        || last_below(&all.segment.index, &all.files, 1000, Disk::CacheOnly, |entry| entry.position < 500);
    assert!(look().unwrap().is_some());
    all.files.cache.forget_log(1);
    assert_eq!(look().unwrap_err().kind(), io::ErrorKind::WouldBlock);
    all.forget();
    assert_eq!(look().unwrap_err().kind(), io::ErrorKind::WouldBlock);
}

const PATH: &str = "/00000000000000001000.index";

/// Its entries as they are noted, or as the file has them.
fn entries(all: &Indexed) -> Vec<IndexEntry> {
    let index = lock(&all.segment.index);
    let known = index.entries.as_ref().unwrap();
    let mut bytes = vec![0; known.on_disk as usize * ENTRY_LEN];
    if known.on_disk > 0 {
        let file = all.sim.open(Path::new(PATH), OpenMode::Read).unwrap();
        file.read_at(0, &mut bytes).unwrap();
    }
    IndexEntry::all(&bytes).chain(known.in_memory.iter().copied()).collect()
}

#[test]
fn an_entry_names_the_first_batch_of_the_largest_time() {
    let mut index = SparseIndex::empty();
    for (n, max_timestamp) in [-1, -1, 0, 7, 3, 7].into_iter().enumerate() {
        let note = BatchNote { base_offset: 1000 + n as i64, max_timestamp };
        index.note(1000, n as u64 * 100, &note, INTERVAL);
    }
    let entries = index.entries.unwrap().in_memory;
    let times: Vec<(i64, u32)> =
        entries.iter().map(|entry| (entry.max_timestamp, entry.max_timestamp_relative_offset)).collect();
    assert_eq!(times, [(-1, 0), (0, 2), (7, 3), (7, 3), (7, 3)]);
}

/// What is read from the batches says the same as what was noted when they were written.
#[test]
fn an_index_made_again_is_the_same() {
    for all in [indexed(100), timeless(20)] {
        let noted = entries(&all);
        reload(&all.files, &all.segment, INTERVAL).unwrap();
        assert_eq!(entries(&all), noted);
        flush(&all.segment.index, &all.files, 1000).unwrap();
        all.forget();
        all.load().unwrap();
        assert_eq!(entries(&all), noted);
    }
}

/// A segment of batches without timestamps.
fn timeless(count: i64) -> Indexed {
    let mut all = indexed(0);
    let log = all.files.open(1000, FileKind::Log, OpenMode::CreateOrWrite).unwrap();
    for _ in 0..count {
        let bytes = batch(all.segment.next_offset, 1, 50, -1);
        let header = BatchHeader::parse(&bytes).unwrap();
        log.write_at(all.segment.size, &mut [IoSlice::new(&bytes)]).unwrap();
        lock(&all.segment.index).note(1000, all.segment.size, &BatchNote::from(&header), INTERVAL);
        all.segment.extend(header.base_offset, header.next_offset(), bytes.len() as u64, -1);
    }
    all
}

/// Batches go on being noted while entries are written.
#[test]
fn what_is_noted_during_a_flush_is_flushed_by_the_next() {
    let all = indexed(50);
    let index = Arc::clone(&all.segment.index);
    let before = entries(&all);
    let at = all.segment.size + 1000;
    let batch = BatchNote { base_offset: all.segment.next_offset, max_timestamp: 99 };
    let noting = Arc::clone(&index);
    all.sim.observe(move |_| lock(&noting).note(1000, at, &batch, INTERVAL));
    flush(&index, &all.files, 1000).unwrap();
    all.sim.stop_observing();
    let noted = entries(&all);
    assert_eq!(all.counts().0 as usize, before.len());
    assert!(noted.len() > before.len() && noted.starts_with(&before));
    flush(&index, &all.files, 1000).unwrap();
    assert_eq!((all.counts(), entries(&all)), ((noted.len() as u32, 0), noted));
}

/// They may belong to batches that are gone.
#[test]
fn nothing_is_left_in_the_file_behind_the_entries() {
    let mut all = indexed(300);
    flush(&all.segment.index, &all.files, 1000).unwrap();
    let (position, header) = all.batches[120];
    all.batches.truncate(120);
    (all.segment.size, all.segment.next_offset) = (position, header.base_offset);
    all.forget();
    all.load().unwrap();
    let kept = all.counts().0;
    let batch = BatchNote { base_offset: header.base_offset, max_timestamp: 99 };
    lock(&all.segment.index).note(1000, position + 1000, &batch, INTERVAL);
    flush(&all.segment.index, &all.files, 1000).unwrap();
    assert_eq!(all.counts(), (kept + 1, 0));
    assert_eq!(all.sim.size(Path::new(PATH)).unwrap(), u64::from(kept + 1) * ENTRY_LEN as u64);
}

/// One that does not ascend, and one that leads to another batch.
#[test]
fn a_file_with_a_wrong_entry_is_not_used() {
    // The last batch has no entry of its own.
    let last_position = |all: &Indexed| entries(all).last().map_or(0, |entry| u64::from(entry.position));
    let unindexed = |all: &Indexed| all.batches.last().is_some_and(|(at, _)| *at > last_position(all));
    let all = (300..400).map(indexed).find(unindexed).unwrap();
    let good = entries(&all);
    flush(&all.segment.index, &all.files, 1000).unwrap();
    let (middle, last) = (good.len() / 2, good.len() - 1);
    let before = good[middle - 1];
    let next = all.batches[all.batches.len() - 1];
    for (at, wrong) in [
        (middle, IndexEntry { relative_offset: before.relative_offset, ..good[middle] }),
        (middle, IndexEntry { position: before.position, ..good[middle] }),
        (middle, IndexEntry { max_timestamp: before.max_timestamp - 1, ..good[middle] }),
        (last, IndexEntry { position: next.0 as u32, ..good[last] }),
    ] {
        let mut bytes = Vec::new();
        wrong.put(&mut bytes);
        all.sim.damage(Path::new(PATH), (at * ENTRY_LEN) as u64, &bytes).unwrap();
        all.forget();
        all.load().unwrap();
        assert_eq!(all.counts(), (0, good.len()), "{wrong:?}");
        flush(&all.segment.index, &all.files, 1000).unwrap();
        assert_eq!(entries(&all), good);
    }
}

/// Nobody knows how long a file is that is not of this segment.
#[test]
fn a_file_longer_than_any_index_of_the_segment_is_not_read() {
    let all = indexed(20);
    flush(&all.segment.index, &all.files, 1000).unwrap();
    let known = entries(&all);
    let most = all.segment.size / 61 + 1;
    // Entries of batches behind the end of the segment are left out if the file can be its own.
    let mut bytes = Vec::new();
    for n in known.len() as u64..most {
        let behind = known[known.len() - 1].relative_offset + n as u32;
        IndexEntry {
            relative_offset: behind,
            position: all.segment.size as u32 + n as u32,
            ..known[known.len() - 1]
        }
        .put(&mut bytes);
    }
    let file = all.sim.open(Path::new(PATH), OpenMode::Write).unwrap();
    file.write_at((known.len() * ENTRY_LEN) as u64, &mut [IoSlice::new(&bytes)]).unwrap();
    assert_eq!(file.size().unwrap(), most * ENTRY_LEN as u64);
    all.forget();
    all.load().unwrap();
    assert_eq!(all.counts(), (known.len() as u32, 0));
    for longer in 1..3 {
        file.set_len((most + longer) * ENTRY_LEN as u64 - 19).unwrap();
        all.forget();
        all.load().unwrap();
        assert_eq!(all.counts(), (0, known.len()), "longer by {longer}");
    }
}

#[test]
fn a_file_that_cannot_be_opened_is_not_taken_for_none() {
    let all = indexed(20);
    flush(&all.segment.index, &all.files, 1000).unwrap();
    all.files.cache.forget_log(1);
    all.forget();
    all.sim.inject(".index", SimFault::OpenError);
    assert!(matches!(all.load(), Err(StorageError::Io { .. })));
}
