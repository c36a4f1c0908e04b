//! What a log knows about itself that is not in its batches, as bytes: the per-log checkpoint (true at the recovery
//! point, everything before it is synced) and the clean-shutdown marker (true of all logs when the process ended).

use std::collections::HashMap;

use bytes::{Buf, BufMut};

use super::epochs::EpochStart;

const VERSION: u8 = 1;

/// A log at one moment of its life.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct LogImage {
    pub log_start_offset: i64,
    /// The offset after the last batch.
    pub end_offset: i64,
    /// Oldest first; the last one ends at `end_offset`.
    pub segments: Vec<SegmentImage>,
    pub epochs: Vec<EpochStart>,
    /// Bytes that the stored checkpoint does not know of: what the marker hands on to the next run.
    pub behind_checkpoint: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SegmentImage {
    pub base_offset: i64,
    pub size: u64,
    /// Of the first batch; -1 without one.
    pub first_timestamp: i64,
    /// -1 without one.
    pub max_timestamp: i64,
    /// Base offset of the first batch that has it.
    pub max_timestamp_offset: i64,
}

const SEGMENT_LEN: usize = 40;
const EPOCH_LEN: usize = 12;

impl LogImage {
    pub fn encode(&self) -> Vec<u8> {
        let mut out =
            Vec::with_capacity(32 + self.segments.len() * SEGMENT_LEN + self.epochs.len() * EPOCH_LEN);
        out.put_u8(VERSION);
        self.put(&mut out);
        out
    }

    /// `None`: not an image, or one of a later version.
    pub fn decode(mut bytes: &[u8]) -> Option<Self> {
        let image = (bytes.try_get_u8().ok()? == VERSION).then(|| Self::take(&mut bytes))??;
        bytes.is_empty().then_some(image)
    }

    fn put(&self, out: &mut Vec<u8>) {
        out.put_i64(self.log_start_offset);
        out.put_i64(self.end_offset);
        out.put_u64(self.behind_checkpoint);
        out.put_u32(self.segments.len() as u32);
        for segment in &self.segments {
            out.put_i64(segment.base_offset);
            out.put_u64(segment.size);
            out.put_i64(segment.first_timestamp);
            out.put_i64(segment.max_timestamp);
            out.put_i64(segment.max_timestamp_offset);
        }
        out.put_u32(self.epochs.len() as u32);
        for epoch in &self.epochs {
            out.put_i32(epoch.leader_epoch);
            out.put_i64(epoch.start_offset);
        }
    }

    fn take(bytes: &mut &[u8]) -> Option<Self> {
        let (log_start_offset, end_offset) = (bytes.try_get_i64().ok()?, bytes.try_get_i64().ok()?);
        let behind_checkpoint = bytes.try_get_u64().ok()?;
        let count = take_count(bytes, SEGMENT_LEN)?;
        let mut segments = Vec::with_capacity(count);
        for _ in 0..count {
            segments.push(SegmentImage {
                base_offset: bytes.try_get_i64().ok()?,
                size: bytes.try_get_u64().ok()?,
                first_timestamp: bytes.try_get_i64().ok()?,
                max_timestamp: bytes.try_get_i64().ok()?,
                max_timestamp_offset: bytes.try_get_i64().ok()?,
            });
        }
        let count = take_count(bytes, EPOCH_LEN)?;
        let mut epochs = Vec::with_capacity(count);
        for _ in 0..count {
            epochs.push(EpochStart {
                leader_epoch: bytes.try_get_i32().ok()?,
                start_offset: bytes.try_get_i64().ok()?,
            });
        }
        let ascending = segments.is_sorted_by(|a, b| a.base_offset < b.base_offset);
        let sane = ascending && log_start_offset >= 0 && end_offset >= 0;
        sane.then_some(LogImage { log_start_offset, end_offset, segments, epochs, behind_checkpoint })
    }
}

/// A count of things that take `len` bytes each, if that many can still come.
fn take_count(bytes: &mut &[u8], len: usize) -> Option<usize> {
    let count = bytes.try_get_u32().ok()? as usize;
    (count <= bytes.len() / len).then_some(count)
}

pub(crate) fn encode_marker<'a>(logs: impl ExactSizeIterator<Item = (&'a str, &'a LogImage)>) -> Vec<u8> {
    let mut out = Vec::with_capacity(logs.len() * 128);
    out.put_u8(VERSION);
    out.put_u32(logs.len() as u32);
    for (name, image) in logs {
        out.put_u16(name.len() as u16);
        out.put_slice(name.as_bytes());
        image.put(&mut out);
    }
    out
}

pub(crate) fn decode_marker(mut bytes: &[u8]) -> Option<HashMap<String, LogImage>> {
    if bytes.try_get_u8().ok()? != VERSION {
        return None;
    }
    let count = take_count(&mut bytes, 34)?;
    let mut logs = HashMap::with_capacity(count);
    for _ in 0..count {
        let len = bytes.try_get_u16().ok()? as usize;
        let (name, rest) = bytes.split_at_checked(len)?;
        bytes = rest;
        logs.insert(std::str::from_utf8(name).ok()?.to_owned(), LogImage::take(&mut bytes)?);
    }
    bytes.is_empty().then_some(logs)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(n: i64) -> LogImage {
        let segment = |i: i64| SegmentImage {
            base_offset: i * 10,
            size: 100 + i as u64,
            first_timestamp: -1,
            max_timestamp: i,
            max_timestamp_offset: i * 10 + 1,
        };
        let epochs = vec![EpochStart { leader_epoch: 3, start_offset: n }];
        LogImage {
            log_start_offset: n,
            end_offset: n * 10,
            segments: (0..n).map(segment).collect(),
            epochs,
            behind_checkpoint: 7,
        }
    }

    #[test]
    fn images_come_back_and_nothing_cut_or_longer_does() {
        for n in 0..4 {
            let bytes = image(n).encode();
            assert_eq!(LogImage::decode(&bytes), Some(image(n)));
            for cut in 0..bytes.len() {
                assert_eq!(LogImage::decode(&bytes[..cut]), None);
            }
            assert_eq!(LogImage::decode(&[bytes, vec![0]].concat()), None);
        }
        let mut huge = image(0).encode();
        huge[25..29].fill(0xff);
        assert_eq!(LogImage::decode(&huge), None);
    }

    #[test]
    fn an_image_that_no_log_can_have_is_refused() {
        let good = image(3);
        assert_eq!(LogImage::decode(&good.encode()), Some(good.clone()));
        let [first, second, third] = good.segments[..] else { panic!("three segments") };
        for wrong in [
            LogImage { log_start_offset: -1, ..good.clone() },
            LogImage { end_offset: -1, ..good.clone() },
            LogImage { segments: vec![first, third, second], ..good.clone() },
            LogImage { segments: vec![first, second, second], ..good.clone() },
        ] {
            assert_eq!(LogImage::decode(&wrong.encode()), None, "{wrong:?}");
        }
    }

    /// Memory is taken for it at once.
    #[test]
    fn a_count_that_the_bytes_cannot_hold_is_refused() {
        let counted = |count: u32, rest: usize| {
            let bytes = [count.to_be_bytes().to_vec(), vec![0; rest]].concat();
            take_count(&mut bytes.as_slice(), SEGMENT_LEN)
        };
        assert_eq!([counted(2, 80), counted(2, 79), counted(0, 0)], [Some(2), None, Some(0)]);
    }

    #[test]
    fn the_marker_holds_every_log() {
        let logs: Vec<(String, LogImage)> = (0..5).map(|n| (format!("topic-{n}"), image(n))).collect();
        let bytes = encode_marker(logs.iter().map(|(name, image)| (name.as_str(), image)));
        assert_eq!(decode_marker(&bytes), Some(logs.into_iter().collect()));
        for cut in 0..bytes.len() {
            assert_eq!(decode_marker(&bytes[..cut]), None);
        }
    }
}
