//! What a read costs: bytes asked of a file, and pages it needs in memory.

use super::super::files::Crash;
use super::super::testing::{Bench, Watched, append};
use super::super::{LogConfig, Storage};
use super::*;

struct Reader {
    _storage: Arc<Storage>,
    log: Arc<Log>,
    segment: Segment,
    file: Watched,
}

impl Reader {
    /// Where a read of `max_bytes` from the start ends, and how many bytes of the file it took.
    fn read(&self, disk: Disk, max_bytes: usize) -> Option<(Place, u64)> {
        let before = self.file.read();
        let start = Place { position: 0, offset: 0 };
        let end = match self.log.good_stretch(disk, &self.segment, &self.file, start, max_bytes, true) {
            Ok(end) => end,
            Err(Miss::WouldBlock) => return None,
            Err(Miss::BadIndex) => panic!("the index is good"),
            Err(Miss::Failed(error)) => panic!("{error}"),
        };
        Some((end, self.file.read() - before))
    }
}

const BATCHES: i64 = 10_000;
const MIB: usize = 1 << 20;

/// One segment of small batches, written by this process or by the one before.
fn reader(written_before: bool, in_memory: u64) -> Reader {
    let bench = Bench::new();
    let config = LogConfig { segment_ms: i64::MAX, retention_ms: -1, ..LogConfig::default() };
    let mut storage = bench.open();
    let mut log = storage.create_log("a-0", config.clone()).unwrap();
    for n in 0..BATCHES {
        drop(append(&log, 1, 100, n));
    }
    storage.drive();
    if written_before {
        storage.close().unwrap();
        bench.files.crash(Crash::Process);
        storage = bench.open();
        log = storage.open_log("a-0", config).unwrap();
    }
    let segment = lock(&log.body).segments.front().cloned().unwrap();
    assert_eq!(segment.next_offset, BATCHES);
    index::load(&log.files, &segment, log.config().index_interval_bytes).unwrap();
    let file = log.files.open(0, FileKind::Log, OpenMode::Write).unwrap();
    Reader { _storage: storage, log, segment, file: Watched::new(file, in_memory) }
}

/// A read of small batches copied every byte it served, on an async worker.
#[test]
fn a_read_of_what_was_checked_looks_at_a_few_headers() {
    for written_before in [false, true] {
        let reader = reader(written_before, u64::MAX);
        // Whoever comes first has it checked.
        let checked = reader.read(Disk::MayBlock, MIB).unwrap().0;
        let (end, read) = reader.read(Disk::CacheOnly, MIB).expect("nothing left to check");
        assert_eq!(end, checked);
        let unused = MIB as u64 - end.position;
        assert!(unused < 200, "{unused} bytes more would have fitted");
        assert!(read <= 4 * HEADER_WINDOW as u64, "{read} bytes read");
    }
}

/// The batch that did not fit was not checked either, so that the same read had to block each time.
#[test]
fn a_checked_read_does_not_block_for_the_batch_that_does_not_fit() {
    let reader = reader(true, u64::MAX);
    assert_eq!(reader.read(Disk::CacheOnly, 10_000), None, "nobody has checked it");
    let (end, _) = reader.read(Disk::MayBlock, 10_000).unwrap();
    assert!(end.position < 10_000, "{end:?}");
    assert_eq!(reader.read(Disk::CacheOnly, 10_000).map(|(end, _)| end), Some(end));
    // Of a longer one that part is served which was checked.
    assert_eq!(reader.read(Disk::CacheOnly, 50_000).map(|(end, _)| end), Some(end));
}

/// What was read ahead behind the end of a read had to be in memory too.
#[test]
fn a_read_needs_nothing_in_memory_behind_its_end() {
    for max_bytes in [1000, 4096, 10_000, 100_000] {
        let reader = reader(false, max_bytes as u64);
        let (end, _) = reader.read(Disk::CacheOnly, max_bytes).expect("all that is asked for is in memory");
        assert!(end.position > max_bytes as u64 - 200);
    }
}

/// Every read that may block read 256 KiB, however little it was for.
#[test]
fn a_small_read_reads_little() {
    for written_before in [false, true] {
        let reader = reader(written_before, u64::MAX);
        let (_, read) = reader.read(Disk::MayBlock, 1000).unwrap();
        assert!(read <= 2 * HEADER_WINDOW as u64, "{read} bytes read");
    }
}
