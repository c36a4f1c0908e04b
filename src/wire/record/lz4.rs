//! The LZ4 frame format around `lz4_flex`'s blocks.
//!
//! Written here rather than taken from the crate's frame encoder so that tables and buffers outlive a frame, no
//! block is copied on its way, and nothing is allocated on the word of a header. Frames are written as Java's
//! clients write them: independent blocks of 64 KB, no checksums (the batch has one). All frames of the
//! specification are read, but for those that need a dictionary.

use lz4_flex::block::{self, CompressTable, DecompressError};

use super::RecordError;
use super::compress::{Output, undecodable};

const MAGIC: [u8; 4] = [0x04, 0x22, 0x4d, 0x18];
/// Magic, version 1 with independent blocks, blocks of at most 64 KB, and the checksum of these two bytes.
pub(super) const HEADER: [u8; 7] = [0x04, 0x22, 0x4d, 0x18, 0x60, 0x40, 0x82];
pub(super) const END_MARK: [u8; 4] = [0; 4];
pub(super) const BLOCK: usize = 64 * 1024;

/// Set in a block's length when its bytes are not compressed.
const STORED: u32 = 1 << 31;
/// A byte of a length makes at most 255 bytes.
const BEST_RATIO: usize = 255;
/// How far back a block may refer to the ones before it.
const WINDOW: usize = 64 * 1024;

mod flag {
    pub const DICTIONARY: u8 = 1;
    pub const RESERVED: u8 = 1 << 1;
    pub const CONTENT_CHECKSUM: u8 = 1 << 2;
    pub const CONTENT_SIZE: u8 = 1 << 3;
    pub const BLOCK_CHECKSUM: u8 = 1 << 4;
    pub const INDEPENDENT: u8 = 1 << 5;
    pub const VERSION: u8 = 0b1100_0000;
    pub const VERSION_1: u8 = 0b0100_0000;
}

pub(super) struct Encoder {
    table: CompressTable,
}

impl Default for Encoder {
    fn default() -> Self {
        Self { table: CompressTable::large() }
    }
}

impl Encoder {
    /// Appends one block. `input` is at most [`BLOCK`].
    pub(super) fn block(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<(), RecordError> {
        let start = out.len();
        out.resize(start + 4 + block::get_maximum_output_size(input.len()), 0);
        let room = out.get_mut(start + 4..).unwrap_or_default();
        let length = block::compress_into_with_table(input, room, &mut self.table)
            .map_err(|error| undecodable("lz4", error))?;
        let (length, mark) = if length < input.len() {
            (length, length as u32)
        } else {
            // Readers refuse a compressed block that is larger than a block may be.
            if let Some(place) = room.get_mut(..input.len()) {
                place.copy_from_slice(input);
            }
            (input.len(), input.len() as u32 | STORED)
        };
        out.truncate(start + 4 + length);
        if let Some(place) = out.get_mut(start..start + 4) {
            place.copy_from_slice(&mark.to_le_bytes());
        }
        Ok(())
    }
}

pub(super) fn decompress(input: &[u8], out: &mut Output<'_>) -> Result<(), RecordError> {
    let mut reader = Reader { input, rest: input };
    if reader.take::<4>("lz4 magic")? != MAGIC {
        return Err(undecodable("lz4", "the bytes are no LZ4 frame"));
    }
    let descriptor = reader.rest;
    let [flags, sizes] = reader.take("lz4 frame descriptor")?;
    if flags & flag::VERSION != flag::VERSION_1 || flags & flag::RESERVED != 0 {
        return Err(undecodable("lz4", "the frame is of an unknown version"));
    }
    if flags & flag::DICTIONARY != 0 {
        return Err(undecodable("lz4", "the frame needs a dictionary"));
    }
    let max_block = match sizes >> 4 {
        4 => 64 << 10,
        5 => 256 << 10,
        6 => 1 << 20,
        7 => 4 << 20,
        _ => return Err(undecodable("lz4", "the frame has an unknown block size")),
    };
    if flags & flag::CONTENT_SIZE != 0 {
        reader.take::<8>("lz4 content size")?;
    }
    let descriptor = descriptor.get(..descriptor.len() - reader.rest.len()).unwrap_or_default();
    if reader.take("lz4 descriptor checksum")? != [(xxh32(descriptor) >> 8) as u8] {
        return Err(undecodable("lz4", "the frame's header does not match its checksum"));
    }

    loop {
        let mark = u32::from_le_bytes(reader.take("lz4 block length")?);
        if mark == 0 {
            break;
        }
        let compressed = reader.bytes((mark & !STORED) as usize, "lz4 block")?;
        if compressed.len() > max_block {
            return Err(undecodable("lz4", "a block is larger than the frame allows"));
        }
        if flags & flag::BLOCK_CHECKSUM != 0
            && reader.take("lz4 block checksum")? != xxh32(compressed).to_le_bytes()
        {
            return Err(undecodable("lz4", "a block does not match its checksum"));
        }
        if mark & STORED != 0 {
            out.extend(compressed)?;
        } else {
            decompress_block(compressed, max_block, flags & flag::INDEPENDENT != 0, out)?;
        }
    }
    if flags & flag::CONTENT_CHECKSUM != 0 {
        let stored = reader.take("lz4 content checksum")?;
        if stored != xxh32(out.room(0).0).to_le_bytes() {
            return Err(undecodable("lz4", "the content does not match its checksum"));
        }
    }
    if !reader.rest.is_empty() {
        return Err(undecodable("lz4", "bytes follow the frame"));
    }
    Ok(())
}

fn decompress_block(
    compressed: &[u8],
    max_block: usize,
    independent: bool,
    out: &mut Output<'_>,
) -> Result<(), RecordError> {
    let most = max_block.min(compressed.len().saturating_mul(BEST_RATIO));
    let limited = out.left() < most;
    let (before, room) = out.room(most);
    let written = if independent {
        block::decompress_into(compressed, room)
    } else {
        let window = before.get(before.len().saturating_sub(WINDOW)..).unwrap_or_default();
        block::decompress_into_with_dict(compressed, room, window)
    };
    match written {
        Ok(written) => {
            out.advance(written);
            Ok(())
        }
        Err(DecompressError::OutputTooSmall { .. }) if limited => Err(out.too_large()),
        Err(error) => Err(undecodable("lz4", error)),
    }
}

struct Reader<'a> {
    input: &'a [u8],
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn take<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], RecordError> {
        let mut taken = [0; N];
        taken.copy_from_slice(self.bytes(N, what)?);
        Ok(taken)
    }

    fn bytes(&mut self, n: usize, what: &'static str) -> Result<&'a [u8], RecordError> {
        let Some((taken, rest)) = self.rest.split_at_checked(n) else {
            let at = self.input.len() - self.rest.len();
            return Err(RecordError::truncated(at, what, n as u64, self.rest.len() as u64));
        };
        self.rest = rest;
        Ok(taken)
    }
}

/// xxHash32 with seed 0, the checksum of the frame format.
fn xxh32(data: &[u8]) -> u32 {
    const P1: u32 = 0x9e37_79b1;
    const P2: u32 = 0x85eb_ca77;
    const P3: u32 = 0xc2b2_ae3d;
    const P4: u32 = 0x27d4_eb2f;
    const P5: u32 = 0x1656_67b1;
    let lane = |bytes: &[u8]| bytes.iter().rev().fold(0u32, |n, &byte| n << 8 | u32::from(byte));

    let mut stripes = data.chunks_exact(16);
    let mut hash = if data.len() < 16 {
        P5
    } else {
        let mut v = [P1.wrapping_add(P2), P2, 0, 0u32.wrapping_sub(P1)];
        for stripe in &mut stripes {
            for (v, bytes) in v.iter_mut().zip(stripe.chunks_exact(4)) {
                *v = v.wrapping_add(lane(bytes).wrapping_mul(P2)).rotate_left(13).wrapping_mul(P1);
            }
        }
        let [a, b, c, d] = v;
        a.rotate_left(1)
            .wrapping_add(b.rotate_left(7))
            .wrapping_add(c.rotate_left(12))
            .wrapping_add(d.rotate_left(18))
    };
    hash = hash.wrapping_add(data.len() as u32);
    let mut lanes = stripes.remainder().chunks_exact(4);
    for bytes in &mut lanes {
        hash = hash.wrapping_add(lane(bytes).wrapping_mul(P3)).rotate_left(17).wrapping_mul(P4);
    }
    for &byte in lanes.remainder() {
        hash = hash.wrapping_add(u32::from(byte).wrapping_mul(P5)).rotate_left(11).wrapping_mul(P1);
    }
    hash ^= hash >> 15;
    hash = hash.wrapping_mul(P2);
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(P3);
    hash ^ hash >> 16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_hashes() {
        assert_eq!(xxh32(b""), 0x02cc_5d05);
        assert_eq!(xxh32(b"a"), 0x550d_7456);
        assert_eq!(xxh32(b"abc"), 0x32d1_53ff);
        assert_eq!(xxh32(b"Nobody inspects the spammish repetition"), 0xe229_3b2f);
        assert_eq!(HEADER[6], (xxh32(&HEADER[4..6]) >> 8) as u8);
    }
}
