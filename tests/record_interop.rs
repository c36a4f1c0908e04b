//! Batches written by kafka-clients 4.4.0 (tests/data/records, made by the Batches.java there) are read as it reads
//! them, and survive being rebuilt.
//!
//! That kafka-clients reads what is rebuilt needs Java and its jars: `scripts/oracle`, run by `scripts/test`.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use bytes::{Bytes, BytesMut};
use tollgate::wire::record::{
    self, BatchHeader, Compressor, Decompressor, Rebuild, Records, Tail, TimestampType, batches,
};

const CODECS: [&str; 5] = ["none", "gzip", "snappy", "lz4", "zstd"];
const LIMIT: usize = 1 << 20;

fn data(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/records").join(name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The text that Batches.java makes of the same bytes.
fn describe(payload: &[u8]) -> String {
    let mut text = String::new();
    let mut decompressor = Decompressor::new();
    let mut walk = batches(payload);
    for batch in &mut walk {
        let batch = batch.unwrap();
        record::verify_crc(batch.bytes).unwrap();
        let h = batch.header;
        write!(
            text,
            "batch {}..{} epoch {} codec {} time {} max {} producer {}/{} sequence {}..{}{}{}",
            h.base_offset,
            h.last_offset(),
            h.partition_leader_epoch,
            h.compression().name(),
            if h.timestamp_type() == TimestampType::LogAppendTime { "append" } else { "create" },
            h.max_timestamp,
            h.producer_id,
            h.producer_epoch,
            h.base_sequence,
            h.last_sequence(),
            if h.is_transactional() { " transactional" } else { "" },
            if h.is_control() { " control" } else { "" },
        )
        .unwrap();
        if h.has_delete_horizon() {
            write!(text, " horizon {}", h.base_timestamp).unwrap();
        }
        writeln!(text, " count {}", h.record_count).unwrap();
        for record in Records::open(batch.bytes, &h, &mut decompressor, LIMIT).unwrap() {
            let record = record.unwrap();
            let offset = h.base_offset + i64::from(record.offset_delta);
            write!(text, "  {offset} at {}", h.timestamp_of(record.timestamp_delta)).unwrap();
            write!(text, " {} = {}", describe_bytes(record.key), describe_bytes(record.value)).unwrap();
            for header in record.headers {
                write!(text, " [{}: {}]", describe_bytes(Some(header.key)), describe_bytes(header.value))
                    .unwrap();
            }
            text.push('\n');
        }
    }
    assert_eq!(walk.tail(), Tail::Whole);
    text
}

fn describe_bytes(bytes: Option<&[u8]>) -> String {
    match bytes {
        None => "null".to_owned(),
        Some(bytes) if bytes.len() <= 32 => {
            let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            format!("'{hex}'")
        }
        Some(bytes) => {
            let hash = bytes
                .iter()
                .fold(0i32, |hash, &byte| hash.wrapping_mul(31).wrapping_add(i32::from(byte as i8)));
            format!("{}#{hash}", bytes.len())
        }
    }
}

/// Every data batch decoded and encoded again, keeping the records that `keep` says.
fn rebuild(payload: &[u8], keep: impl Fn(&BatchHeader) -> bool) -> Bytes {
    let (mut decompressor, mut compressor) = (Decompressor::new(), Compressor::new());
    let mut out = BytesMut::new();
    for batch in batches(payload) {
        let batch = batch.unwrap();
        if batch.header.is_control() {
            out.extend_from_slice(batch.bytes);
            continue;
        }
        let mut rebuild = Rebuild::of(&batch.header, &mut compressor).unwrap();
        for record in Records::open(batch.bytes, &batch.header, &mut decompressor, LIMIT).unwrap() {
            let record = record.unwrap();
            if keep(&batch.header) {
                rebuild.push(&record).unwrap();
            }
        }
        rebuild.finish_into(&mut out).unwrap();
    }
    out.freeze()
}

#[test]
fn javas_batches_are_read_as_java_reads_them() {
    for codec in CODECS {
        let expected = String::from_utf8(data(&format!("{codec}.txt"))).unwrap();
        assert_eq!(describe(&data(&format!("{codec}.bin"))), expected, "{codec}");
    }
}

#[test]
fn rebuilt_batches_say_the_same() {
    for codec in CODECS {
        let expected = String::from_utf8(data(&format!("{codec}.txt"))).unwrap();
        let original = data(&format!("{codec}.bin"));
        assert_eq!(describe(&rebuild(&original, |_| true)), expected, "{codec}");
        // Uncompressed, there is one way to write it.
        if codec == "none" {
            assert_eq!(rebuild(&original, |_| true), original);
        }
    }
}

#[test]
fn emptied_batches_still_cover_their_offsets() {
    for codec in CODECS {
        let original = data(&format!("{codec}.bin"));
        let emptied = rebuild(&original, |_| false);
        let offsets = |payload: &[u8]| -> Vec<_> {
            let mut seen = Vec::new();
            for batch in batches(payload) {
                let header = batch.unwrap().header;
                seen.push((header.base_offset, header.last_offset(), header.last_sequence()));
            }
            seen
        };
        assert_eq!(offsets(&emptied), offsets(&original));
    }
}

#[test]
fn a_fetch_cut_anywhere_ends_without_an_error() {
    let payload = data("lz4.bin");
    let ends: Vec<_> = batches(&payload).map(|batch| batch.unwrap().range().end).collect();
    for cut in 0..=payload.len() {
        let mut walk = batches(&payload[..cut]);
        let whole = walk.by_ref().map(Result::unwrap).count();
        assert_eq!(whole, ends.iter().filter(|&&end| end <= cut).count());
        let boundary = cut == 0 || ends.contains(&cut);
        assert_eq!(walk.tail() == Tail::Whole, boundary, "cut at {cut}");
    }
}

#[test]
#[ignore = "writes files for kafka-clients to read: scripts/oracle"]
#[expect(clippy::disallowed_methods, reason = "scripts/oracle says where to write them")]
fn write_what_is_rebuilt() {
    for (folder, keep) in [("rebuilt", true), ("emptied", false)] {
        let home = std::env::var("TOLLGATE_REBUILT").expect("where to write them");
        let folder = PathBuf::from(home).join(folder);
        std::fs::create_dir_all(&folder).unwrap();
        for codec in CODECS {
            let bytes = rebuild(&data(&format!("{codec}.bin")), |_| keep);
            std::fs::write(folder.join(format!("{codec}.bin")), bytes).unwrap();
        }
    }
}
