//! Walking a segment's batches by their headers: for recovery (with the CRC of each), for rebuilding an index, for
//! finding the exact batch near an index entry.

use std::io;
use std::ops::RangeInclusive;

use super::files::FileHandle;
use crate::wire::record::{BATCH_OVERHEAD, BatchHeader};

/// Bytes read at a time where only headers matter.
pub(crate) const HEADER_WINDOW: usize = 4096;
/// Where every byte matters.
pub(crate) const CRC_WINDOW: usize = 256 * 1024;
/// Places that look like a batch and are none, before [`find_whole`] gives up.
const MAX_LOOKALIKES: usize = 1000;
/// How often it may read all that is there to compare CRCs: lookalikes may claim to reach to the end, each of them.
const MAX_CRC_PASSES: u64 = 4;
/// The CRC covers a batch from its attributes on.
const CRC_START: usize = 21;

/// Whether a read may wait for the disk. On an async worker it must not: it gets `WouldBlock` instead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Disk {
    MayBlock,
    CacheOnly,
}

impl Disk {
    pub fn read_exact_at(self, handle: &dyn FileHandle, position: u64, buf: &mut [u8]) -> io::Result<()> {
        match self {
            Disk::MayBlock if handle.read_at(position, buf)? == buf.len() => Ok(()),
            Disk::MayBlock => Err(io::ErrorKind::UnexpectedEof.into()),
            Disk::CacheOnly if handle.try_read_at(position, buf)? == buf.len() => Ok(()),
            // Half in memory is not enough; the blocking read tells a missing page from the end of the file.
            Disk::CacheOnly => Err(io::ErrorKind::WouldBlock.into()),
        }
    }
}

/// A stretch of a segment in memory that moves along with what is asked for.
pub(crate) struct Window<'a> {
    handle: &'a dyn FileHandle,
    disk: Disk,
    /// Where the batches of the segment end.
    size: u64,
    capacity: usize,
    /// Nothing behind this is read ahead: it may not be in memory when what is before it is.
    read_ahead_end: u64,
    start: u64,
    buf: Vec<u8>,
}

impl<'a> Window<'a> {
    pub fn new(handle: &'a dyn FileHandle, disk: Disk, size: u64, capacity: usize) -> Self {
        Window { handle, disk, size, capacity, read_ahead_end: size, start: 0, buf: Vec::new() }
    }

    /// One that reads nothing ahead from `end` on.
    pub fn reading_ahead_to(self, end: u64) -> Self {
        Window { read_ahead_end: end.min(self.size), ..self }
    }

    /// `len` bytes (no more than the capacity) from `position` on; fewer where the segment ends.
    fn at(&mut self, position: u64, len: usize) -> io::Result<&[u8]> {
        let left = self.size.saturating_sub(position);
        let len = len.min(self.capacity).min(usize::try_from(left).unwrap_or(usize::MAX));
        let end = self.start + self.buf.len() as u64;
        if position < self.start || position + len as u64 > end {
            let ahead = self.read_ahead_end.saturating_sub(position);
            let fill = self.capacity.min(usize::try_from(ahead).unwrap_or(usize::MAX)).max(len);
            self.buf.resize(fill, 0);
            self.start = position;
            if let Err(error) = self.disk.read_exact_at(self.handle, position, &mut self.buf) {
                self.buf.clear();
                return Err(error);
            }
        }
        let from = (position - self.start) as usize;
        Ok(self.buf.get(from..from + len).unwrap_or_default())
    }

    /// The header of the batch at `position`, if there is one that fits into the segment. The text says what is
    /// wrong otherwise.
    pub fn header(&mut self, position: u64) -> io::Result<Result<BatchHeader, String>> {
        let left = self.size.saturating_sub(position);
        let bytes = self.at(position, BATCH_OVERHEAD)?;
        Ok(match BatchHeader::parse(bytes) {
            Ok(header) if header.size() as u64 > left => {
                Err(format!("a batch of {} bytes where {left} are left", header.size()))
            }
            Ok(header) => Ok(header),
            Err(error) => Err(error.to_string()),
        })
    }

    /// Bytes read at a time from here on.
    pub fn set_capacity(&mut self, capacity: usize) {
        self.capacity = capacity.max(BATCH_OVERHEAD);
    }

    pub fn crc_holds(&mut self, position: u64, header: &BatchHeader) -> io::Result<bool> {
        self.crc_holds_up_to(position, position + header.size() as u64, header)
    }

    /// Whether the batch is whole if it ends at `end`, whatever its length says: that is not under the CRC.
    pub fn crc_holds_up_to(&mut self, position: u64, end: u64, header: &BatchHeader) -> io::Result<bool> {
        let mut at = position + CRC_START as u64;
        let mut crc = 0;
        while at < end {
            let want = usize::try_from(end - at).unwrap_or(usize::MAX);
            let piece = self.at(at, want)?;
            if piece.is_empty() {
                return Ok(false);
            }
            crc = crc32c::crc32c_append(crc, piece);
            at += piece.len() as u64;
        }
        Ok(crc == header.crc)
    }
}

/// How closely [`scan`] looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Check {
    Headers,
    Crc,
}

/// Where a scan ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Scanned {
    /// The end of the last good batch.
    pub position: u64,
    /// The offset after it.
    pub next_offset: i64,
    /// What stands there instead of the next batch, if the segment goes on.
    pub damage: Option<String>,
}

/// Walks the batches from `position` (where `offset` is due) to `size`, calling `each` with position and header.
/// Offsets must be dense. Blocks on the disk.
pub(crate) fn scan(
    handle: &dyn FileHandle,
    position: u64,
    offset: i64,
    size: u64,
    check: Check,
    mut each: impl FnMut(u64, &BatchHeader),
) -> io::Result<Scanned> {
    let capacity = if check == Check::Crc { CRC_WINDOW } else { HEADER_WINDOW };
    let mut window = Window::new(handle, Disk::MayBlock, size, capacity);
    let mut at = Scanned { position, next_offset: offset, damage: None };
    while at.position < size {
        let header = match window.header(at.position)? {
            Ok(header) if header.base_offset != at.next_offset => {
                at.damage = Some(format!("offset {} where {} is due", header.base_offset, at.next_offset));
                break;
            }
            Ok(header) => header,
            Err(what) => {
                at.damage = Some(what);
                break;
            }
        };
        if check == Check::Crc && !window.crc_holds(at.position, &header)? {
            at.damage = Some("the batch's CRC does not hold".to_owned());
            break;
        }
        each(at.position, &header);
        at.position += header.size() as u64;
        at.next_offset = header.next_offset();
    }
    Ok(at)
}

/// What [`find_whole`] found.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Search {
    Found(u64, BatchHeader),
    Nothing,
    /// So much looked like a batch that it stopped: there may be one.
    GaveUp,
}

/// The first whole batch, CRC and all, from `position` on whose base offset is one of `offsets`. Blocks on the disk;
/// reads a small multiple of what is there.
pub(crate) fn find_whole(
    handle: &dyn FileHandle,
    position: u64,
    offsets: RangeInclusive<i64>,
    size: u64,
) -> io::Result<Search> {
    let mut window = Window::new(handle, Disk::MayBlock, size, CRC_WINDOW);
    let (mut at, mut lookalikes) = (position, 0);
    let mut budget = size.saturating_sub(position).saturating_mul(MAX_CRC_PASSES);
    while at + BATCH_OVERHEAD as u64 <= size {
        let bytes = window.at(at, CRC_WINDOW)?;
        let fits = |start: &[u8]| {
            let due = start.first_chunk().is_some_and(|first| offsets.contains(&i64::from_be_bytes(*first)));
            due && BatchHeader::parse(start).is_ok()
        };
        match bytes.windows(BATCH_OVERHEAD).position(fits) {
            Some(step) => {
                at += step as u64;
                if let Ok(header) = window.header(at)? {
                    let left = budget.checked_sub(header.size() as u64);
                    let Some(left) = left else { return Ok(Search::GaveUp) };
                    budget = left;
                    if window.crc_holds(at, &header)? {
                        return Ok(Search::Found(at, header));
                    }
                }
                lookalikes += 1;
                if lookalikes >= MAX_LOOKALIKES {
                    return Ok(Search::GaveUp);
                }
                at += 1;
            }
            // A header may begin in the last bytes of the window.
            None => at += (bytes.len() - (BATCH_OVERHEAD - 1).min(bytes.len())).max(1) as u64,
        }
    }
    Ok(Search::Nothing)
}

#[cfg(test)]
mod tests {
    use std::io::IoSlice;
    use std::path::Path;

    use super::*;
    use crate::storage::files::{Files, OpenMode, SimFiles};
    use crate::storage::testing::batch;

    #[test]
    fn walks_batches_of_every_size_and_stops_at_damage() {
        let files = SimFiles::new();
        let file = files.open(Path::new("/s"), OpenMode::CreateOrWrite).unwrap();
        let (mut position, mut offset, mut starts) = (0, 70, Vec::new());
        for (i, value_len) in [0, 10, 5000, 300_000, 61, 4096, 1_000_000, 3].into_iter().enumerate() {
            let bytes = batch(offset, 2, value_len, i as i64);
            file.write_at(position, &mut [IoSlice::new(&bytes)]).unwrap();
            starts.push((position, offset));
            (position, offset) = (position + bytes.len() as u64, offset + 2);
        }
        let size = file.size().unwrap();
        for check in [Check::Headers, Check::Crc] {
            let mut seen = Vec::new();
            let end =
                scan(&*file, 0, 70, size, check, |at, header| seen.push((at, header.base_offset))).unwrap();
            assert_eq!(end, Scanned { position: size, next_offset: offset, damage: None });
            assert_eq!(seen, starts);
        }
        // Cut short, anywhere near the end.
        for cut in (1..80).chain([1000, 2000]) {
            let last = if cut <= position - starts[7].0 { 7 } else { 6 };
            let end = scan(&*file, 0, 70, size - cut, Check::Crc, |_, _| {}).unwrap();
            assert_eq!((end.position, end.next_offset), starts[last], "cut by {cut}");
            assert!(end.damage.is_some());
            // Without its CRC the last one is known to be cut by its length.
            assert_eq!(scan(&*file, 0, 70, size - cut, Check::Headers, |_, _| {}).unwrap(), end);
        }
        // One bit, in the middle of the largest.
        files.damage(Path::new("/s"), starts[6].0 + 500_000, &[1]).unwrap();
        let end = scan(&*file, 0, 70, size, Check::Crc, |_, _| {}).unwrap();
        assert_eq!((end.position, end.next_offset), starts[6]);
        assert!(end.damage.unwrap().contains("CRC"));
        // What follows is found all the same.
        let later = end.next_offset..=i64::MAX;
        let found = find_whole(&*file, end.position, later.clone(), size).unwrap();
        let Search::Found(at, header) = found else { panic!("{found:?}") };
        assert_eq!((at, header.base_offset), starts[7]);
        assert_eq!(find_whole(&*file, at + 1, later, size).unwrap(), Search::Nothing);
        assert_eq!(find_whole(&*file, end.position, 0..=69, size).unwrap(), Search::Nothing);
        // The wrong offset.
        let end = scan(&*file, starts[2].0, 73, size, Check::Headers, |_, _| {}).unwrap();
        assert_eq!((end.position, end.damage.is_some()), (starts[2].0, true));
    }
    /// Each of many lookalikes claims to reach to the end: the CRC of all of them is too much work.
    #[test]
    fn the_search_for_a_whole_batch_gives_up_after_a_few_passes() {
        const LOOKALIKES: usize = 300;
        let mut tail = Vec::new();
        for n in (1..=LOOKALIKES).rev() {
            let mut start = batch(7, 1, 10, 0)[..BATCH_OVERHEAD].to_vec();
            let to_the_end = (n * BATCH_OVERHEAD - 12) as u32;
            start[8..12].copy_from_slice(&to_the_end.to_be_bytes());
            tail.extend(start);
        }
        let files = SimFiles::new();
        let file = files.open(Path::new("/s"), OpenMode::CreateOrWrite).unwrap();
        file.write_at(0, &mut [IoSlice::new(&tail)]).unwrap();
        assert_eq!(find_whole(&*file, 0, 7..=7, tail.len() as u64).unwrap(), Search::GaveUp);
        assert_eq!(find_whole(&*file, 0, 8..=8, tail.len() as u64).unwrap(), Search::Nothing);
    }

    /// Not even reading what they claim to hold is worth it where there are very many.
    #[test]
    fn the_search_for_a_whole_batch_gives_up_after_many_lookalikes() {
        let mut start = batch(7, 1, 10, 0)[..BATCH_OVERHEAD].to_vec();
        start[8..12].copy_from_slice(&i32::MAX.to_be_bytes());
        let files = SimFiles::new();
        let file = files.open(Path::new("/s"), OpenMode::CreateOrWrite).unwrap();
        for (count, due) in [(MAX_LOOKALIKES - 1, Search::Nothing), (MAX_LOOKALIKES, Search::GaveUp)] {
            let tail = start.repeat(count);
            file.write_at(0, &mut [IoSlice::new(&tail)]).unwrap();
            assert_eq!(find_whole(&*file, 0, 7..=7, tail.len() as u64).unwrap(), due, "{count}");
        }
    }

    /// Wherever it lies in what is read at a time.
    #[test]
    fn a_whole_batch_is_found_across_the_end_of_a_window() {
        let files = SimFiles::new();
        let file = files.open(Path::new("/s"), OpenMode::CreateOrWrite).unwrap();
        let bytes = batch(7, 1, 10, 0);
        for at in (CRC_WINDOW - bytes.len() - 2..CRC_WINDOW + 2).step_by(3) {
            file.set_len(0).unwrap();
            file.write_at(at as u64, &mut [IoSlice::new(&bytes)]).unwrap();
            let size = file.size().unwrap();
            let found = find_whole(&*file, 0, 7..=7, size).unwrap();
            assert!(matches!(found, Search::Found(found, _) if found == at as u64), "{at}: {found:?}");
        }
    }
}
