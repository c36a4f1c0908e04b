use std::io::IoSlice;
use std::path::Path;
use std::sync::Arc;

use super::*;
use crate::storage::file_cache::FileCache;
use crate::storage::files::{Files, SimFiles};
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
