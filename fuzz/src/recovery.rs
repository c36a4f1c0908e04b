//! A log as a crash may leave it: any bytes in its segment, and perhaps any in its indexes. It opens (or says that it cannot),
//! gives what it says it has, takes appends, and is the same after the next start.

use std::io::IoSlice;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use tollgate::storage::files::{Crash, Files, OpenMode, SimFiles};
use tollgate::storage::{AppendBatch, Log, LogConfig, Storage, StorageConfig};
use tollgate::wire::record::{
    BATCH_OVERHEAD, BatchBuilder, BatchHeader, Headers, batches, sealed_header, with_codecs,
};

const LOG: &str = "/data/logs/t-0";
const SEGMENT: &str = "00000000000000000000";

pub fn run(data: &[u8]) {
    let Some((&[shape, cut], bytes)) = data.split_first_chunk::<2>() else { return };
    let files = SimFiles::new();
    // The last bytes go into the indexes, where there are any.
    let split = if shape & 1 == 0 { bytes.len() } else { bytes.len().saturating_sub(usize::from(cut)) };
    let (segment, index) = bytes.split_at(split);
    let mut segment = segment.to_vec();
    if shape & 2 != 0 {
        seal(&mut segment);
    }
    for folder in ["/data", "/data/logs", LOG] {
        files.create_dir(Path::new(folder)).expect("an empty disk");
    }
    put(&files, "log", &segment);
    if shape & 1 != 0 {
        put(&files, if shape & 4 == 0 { "index" } else { "timeindex" }, index);
    }
    let Some((start, end)) = use_it(&files, shape & 8 != 0) else { return };
    files.crash(Crash::Power { seed: 0 });
    let again = use_it(&files, false).expect("what was in order opens again");
    assert_eq!(again.0, start);
    assert!(again.1 > end, "what was committed is there");
}

/// Opens, reads all, appends one batch. Start and end of the log before that; `None` when it does not open.
fn use_it(files: &SimFiles, boot: bool) -> Option<(i64, i64)> {
    let config = StorageConfig {
        committers: 0,
        inline_bytes: 0,
        clock: Arc::new(|| 1_000_000),
        ..StorageConfig::default()
    };
    let storage = Storage::open(Arc::new(files.clone()), "/data", config).expect("a folder of ours");
    if boot {
        storage.note_boot();
    }
    let config = LogConfig { index_interval_bytes: 200, ..LogConfig::default() };
    let log = storage.open_log("t-0", config).ok()?;
    if log.offline().is_some() {
        return None;
    }
    let (start, end) = (log.log_start_offset(), log.high_watermark());
    assert!(start <= end && end <= log.log_end_offset());
    read_all(&log, start, end);
    let _ = log.max_timestamp();
    let _ = log.offset_for_timestamp(0);
    let appended = log.append(AppendBatch::new(one_record()).expect("a batch").into(), 0);
    if let Ok(appended) = appended {
        assert_eq!(appended.base_offset, end);
        storage.drive();
        appended.ticket.wait().expect("the disk is well");
        read_all(&log, start, log.high_watermark());
        Some((start, end))
    } else {
        // Offsets that are used up, as far as a damaged header may say.
        None
    }
}

fn read_all(log: &Arc<Log>, start: i64, end: i64) {
    let mut at = start;
    while at < end {
        let read = log.read(at, 1 << 20, true).expect("what it says it has");
        assert!(read.next_offset > at, "it goes on");
        for batch in batches(&read.to_bytes().expect("a disk that is well")) {
            batch.expect("whole batches");
        }
        at = read.next_offset;
    }
}

/// Makes the checksums of batches that are whole right, so that mutated ones get past them.
fn seal(segment: &mut [u8]) {
    let mut at = 0;
    while let Some(rest) = segment.get_mut(at..) {
        let Ok(header) = BatchHeader::parse(rest) else { return };
        let Some(body) = rest.get(BATCH_OVERHEAD..header.size()) else { return };
        let sealed = sealed_header(&header, body);
        rest[..BATCH_OVERHEAD].copy_from_slice(&sealed);
        at += header.size();
    }
}

fn put(files: &SimFiles, extension: &str, bytes: &[u8]) {
    let path = Path::new(LOG).join(format!("{SEGMENT}.{extension}"));
    let file = files.open(&path, OpenMode::CreateOrWrite).expect("an empty disk");
    file.write_at(0, &mut [IoSlice::new(bytes)]).expect("a disk that is well");
    file.sync_data(tollgate::storage::files::SyncSite::Append).expect("a disk that is well");
    for folder in [LOG, "/data/logs", "/data"] {
        files
            .sync_dir(Path::new(folder), tollgate::storage::files::SyncSite::LogCreated)
            .expect("a disk that is well");
    }
}

fn one_record() -> Bytes {
    with_codecs(|_, compressor| {
        let mut builder = BatchBuilder::new(BatchHeader::default(), compressor);
        builder.append(1, None, Some(b"x"), Headers::default()).expect("room");
        builder.finish().expect("one record")
    })
}
