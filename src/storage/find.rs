//! Records by time: ListOffsets with a timestamp, and the record with the largest one.

use std::sync::Arc;

use super::error::IoContext;
use super::file_cache::FileKind;
use super::log::Log;
use super::read::{Miss, Place};
use super::scan::{Disk, HEADER_WINDOW, Window};
use super::segment::Segment;
use super::{StorageError, lock};
use crate::wire::record::{BatchHeader, Records, verify_crc, with_codecs};

/// A batch is not decompressed past this to look for a record.
const MAX_DECOMPRESSED: usize = 256 << 20;

/// A record found by its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimestampOffset {
    pub timestamp: i64,
    pub offset: i64,
    pub leader_epoch: i32,
}

impl Log {
    /// The first record with this timestamp (ms) or a later one, below the high watermark. Blocks on the disk.
    pub fn offset_for_timestamp(
        self: &Arc<Self>,
        timestamp: i64,
    ) -> Result<Option<TimestampOffset>, StorageError> {
        let mut from = self.log_start_offset();
        loop {
            let segment = {
                let body = lock(&self.body);
                if let Some(ended) = self.progress.ended() {
                    return Err(ended.clone());
                }
                body.segments.iter().find(|s| s.max_timestamp >= timestamp && s.next_offset > from).cloned()
            };
            let Some(segment) = segment else { return Ok(None) };
            match self.first_in_segment(&segment, timestamp, from) {
                // What made the segment a candidate lies below the log start.
                Ok(None) => from = segment.next_offset,
                Err(StorageError::OffsetOutOfRange { log_start_offset, .. }) if log_start_offset > from => {
                    from = log_start_offset;
                }
                found => return found,
            }
        }
    }

    /// The first record with the largest timestamp (ListOffsets -3). Blocks on the disk.
    pub fn max_timestamp(self: &Arc<Self>) -> Result<Option<TimestampOffset>, StorageError> {
        let segment = {
            let body = lock(&self.body);
            if let Some(ended) = self.progress.ended() {
                return Err(ended.clone());
            }
            // The first of equals.
            body.segments.iter().rev().max_by_key(|segment| segment.max_timestamp).cloned()
        };
        let Some(segment) = segment.filter(|segment| segment.max_timestamp >= 0) else { return Ok(None) };
        self.first_in_segment(&segment, segment.max_timestamp, self.log_start_offset())
    }

    fn first_in_segment(
        self: &Arc<Self>,
        segment: &Segment,
        timestamp: i64,
        from: i64,
    ) -> Result<Option<TimestampOffset>, StorageError> {
        let found = self.with_good_index(Disk::MayBlock, segment, |log| {
            // All batches up to an entry with a smaller maximum are older.
            let near = log.indexed(Disk::MayBlock, segment, |entry| {
                entry.max_timestamp < timestamp
                    || segment.base_offset + i64::from(entry.relative_offset) <= from
            })?;
            log.search_batches(segment, near, timestamp, from)
        });
        found.map_err(|miss| match self.explain(miss, from) {
            Miss::Failed(error) => error,
            Miss::WouldBlock | Miss::BadIndex => StorageError::corrupt(
                self.files.path(segment.base_offset, FileKind::Index),
                0,
                "cannot be rebuilt",
            ),
        })
    }

    fn search_batches(
        &self,
        segment: &Segment,
        start: Place,
        timestamp: i64,
        from: i64,
    ) -> Result<Option<TimestampOffset>, Miss> {
        let path = self.files.path(segment.base_offset, FileKind::Log);
        let handle = self.segment_file(Disk::MayBlock, segment)?;
        let mut window = Window::new(&*handle, Disk::MayBlock, segment.size, HEADER_WINDOW);
        let mut place = start;
        while place.position < segment.size {
            let header = match window.header(place.position).during("read", &path)? {
                Ok(header) if header.base_offset == place.offset => header,
                _ if place == start => return Err(Miss::BadIndex),
                Ok(_) => {
                    return Err(StorageError::corrupt(&path, place.position, "an offset out of order").into());
                }
                Err(what) => return Err(StorageError::corrupt(&path, place.position, what).into()),
            };
            if header.max_timestamp >= timestamp && header.last_offset() >= from {
                let mut batch = vec![0; header.size()];
                Disk::MayBlock.read_exact_at(&*handle, place.position, &mut batch).during("read", &path)?;
                verify_crc(&batch)
                    .map_err(|error| StorageError::corrupt(&path, place.position, error.to_string()))?;
                if let Some(found) = first_record(&header, &batch, timestamp, from) {
                    return Ok(Some(found));
                }
            }
            place = Place { position: place.position + header.size() as u64, offset: header.next_offset() };
        }
        Ok(None)
    }
}

/// A batch whose records cannot be read counts as a whole: its producer is to blame, not the disk.
fn first_record(header: &BatchHeader, batch: &[u8], timestamp: i64, from: i64) -> Option<TimestampOffset> {
    let leader_epoch = header.partition_leader_epoch;
    let whole = TimestampOffset {
        timestamp: header.max_timestamp,
        offset: header.base_offset.max(from),
        leader_epoch,
    };
    with_codecs(|decompressor, _| {
        let Ok(records) = Records::open(batch, header, decompressor, MAX_DECOMPRESSED) else {
            return Some(whole);
        };
        for record in records {
            let Ok(record) = record else { return Some(whole) };
            let offset = header.base_offset.saturating_add(i64::from(record.offset_delta));
            let at = header.timestamp_of(record.timestamp_delta);
            if at >= timestamp && offset >= from {
                return Some(TimestampOffset { timestamp: at, offset, leader_epoch });
            }
        }
        None
    })
}
