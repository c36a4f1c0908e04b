//! Hostile batches do not make Tollgate allocate what they announce.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use tollgate::wire::record::{
    BatchBuilder, BatchHeader, Compression, Compressor, Decompressor, Headers, RecordError, Records, batches,
    check_records,
};

/// Counts what the current thread holds, and the most it held.
struct Counting;

thread_local! {
    static HELD: Cell<isize> = const { Cell::new(0) };
    static MOST: Cell<isize> = const { Cell::new(0) };
}

fn count(change: isize) {
    let _ = HELD.try_with(|held| {
        held.set(held.get() + change);
        let _ = MOST.try_with(|most| most.set(most.get().max(held.get())));
    });
}

// SAFETY: everything is passed on to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        unsafe { System.dealloc(ptr, layout) }
    }

    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // Old and new may exist at once.
        count(size as isize);
        count(-(layout.size() as isize));
        unsafe { System.realloc(ptr, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The most that `f` held beyond what was held before.
fn most_held<R>(f: impl FnOnce() -> R) -> (R, usize) {
    let before = HELD.get();
    MOST.set(before);
    let result = f();
    (result, (MOST.get() - before) as usize)
}

fn batch(codec: Compression, value: &[u8]) -> (BatchHeader, Vec<u8>) {
    let mut header = BatchHeader::default();
    header.set_compression(codec);
    let mut compressor = Compressor::new();
    let mut builder = BatchBuilder::new(header, &mut compressor);
    builder.append(0, None, Some(value), Headers::default()).unwrap();
    let batch = builder.finish().unwrap();
    (BatchHeader::parse(&batch).unwrap(), batch.to_vec())
}

#[test]
fn a_count_of_two_billion_records_allocates_nothing() {
    for codec in Compression::ALL {
        let (_, mut bytes) = batch(codec, b"value");
        bytes[57..61].copy_from_slice(&i32::MAX.to_be_bytes());
        let mut decompressor = Decompressor::new();
        let (result, held) = most_held(|| {
            let header = BatchHeader::parse(&bytes).unwrap();
            let walked = batches(&bytes).count();
            let collected: Result<Vec<_>, _> = Records::open(&bytes, &header, &mut decompressor, 1 << 20)
                .and_then(|records| records.collect());
            (walked, collected.map(|records| records.len()))
        });
        assert_eq!(result.0, 1);
        assert!(matches!(result.1, Err(RecordError::Truncated { .. })), "{codec:?} {result:?}");
        // What a codec needs to open any batch at all.
        assert!(held < 300 << 10, "{codec:?} held {held}");
    }
}

#[test]
fn counts_and_lengths_inside_a_record_allocate_nothing() {
    // length, attributes, timestamp delta, offset delta, then a key, a value or a header count of 2^31 - 1
    let huge = [0xfe, 0xff, 0xff, 0xff, 0x0f];
    for before in [&[0, 0, 0][..], &[0, 0, 0, 1], &[0, 0, 0, 1, 1]] {
        let mut record = vec![2 * (before.len() + huge.len() + 2) as u8];
        record.extend_from_slice(before);
        record.extend_from_slice(&huge);
        record.extend_from_slice(&[1, 1]);
        let (result, held) = most_held(|| Records::new(&record, 1).unwrap().next().unwrap().map(|_| ()));
        assert!(matches!(result, Err(RecordError::Truncated { .. })), "{result:?}");
        assert_eq!(held, 0);
    }
}

#[test]
fn bombs_stop_at_the_limit() {
    const LIMIT: usize = 1 << 20;
    let zeroes = vec![0u8; 64 << 20];
    for codec in [Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd] {
        let (header, bomb) = batch(codec, &zeroes);
        let mut decompressor = Decompressor::new();
        let (result, held) = most_held(|| check_records(&bomb, &header, &mut decompressor, LIMIT));
        assert_eq!(result, Err(RecordError::TooLarge { limit: LIMIT }), "{codec:?}");
        assert!(held < 3 * LIMIT, "{codec:?} held {held}");
        // One that fits passes.
        let (header, fine) = batch(codec, &zeroes[..LIMIT - 100]);
        assert!(check_records(&fine, &header, &mut decompressor, LIMIT).is_ok(), "{codec:?}");
    }
}

#[test]
fn announced_sizes_are_not_believed() {
    // A raw snappy block of a few bytes that announces 4 GB, an lz4 frame that announces an exabyte, a zstd frame that
    // announces a window and a content of terabytes.
    let snappy = [0xff, 0xff, 0xff, 0xff, 0x0f, 0, b'x'].to_vec();
    let mut lz4 = vec![0x04, 0x22, 0x4d, 0x18, 0x68, 0x70];
    lz4.extend_from_slice(&(1u64 << 60).to_le_bytes());
    lz4.extend_from_slice(&[0; 16]);
    let mut zstd = vec![0x28, 0xb5, 0x2f, 0xfd, 0xc0, 0x78];
    zstd.extend_from_slice(&(1u64 << 42).to_le_bytes());
    zstd.extend_from_slice(&[0x01, 0, 0]);
    for (codec, input) in [(Compression::Snappy, snappy), (Compression::Lz4, lz4), (Compression::Zstd, zstd)]
    {
        let mut decompressor = Decompressor::new();
        let (result, held) = most_held(|| decompressor.decompress(codec, &input, 1 << 30).map(<[u8]>::len));
        assert!(result.is_err(), "{codec:?} {result:?}");
        assert!(held < 1 << 20, "{codec:?} held {held}");
    }
}
