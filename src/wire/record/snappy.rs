//! Snappy as Kafka's clients write it: Java in the framing of xerial's snappy-java (a header, then blocks with
//! their length before them), librdkafka and others as one bare block. Both are read, the framing is written.

use super::RecordError;
use super::compress::{Output, undecodable};

const MAGIC: [u8; 8] = [0x82, b'S', b'N', b'A', b'P', b'P', b'Y', 0];
/// Magic, version 1, readable by version 1.
pub(super) const HEADER: [u8; 16] = [0x82, b'S', b'N', b'A', b'P', b'P', b'Y', 0, 0, 0, 0, 1, 0, 0, 0, 1];
/// snappy-java's own block size.
pub(super) const BLOCK: usize = 32 * 1024;

/// More than the best ratio there is: the largest copy makes 64 bytes of 3.
const BEST_RATIO: usize = 22;

pub(super) fn decompress(
    input: &[u8],
    decoder: &mut snap::raw::Decoder,
    out: &mut Output<'_>,
) -> Result<(), RecordError> {
    let Some(mut rest) = input.strip_prefix(&MAGIC).and_then(|rest| rest.get(8..)) else {
        return block(input, decoder, out);
    };
    while let Some((length, tail)) = rest.split_first_chunk::<4>() {
        // Streams may be concatenated: the header comes again.
        if let Some(tail) = rest.strip_prefix(&MAGIC).and_then(|tail| tail.get(8..)) {
            rest = tail;
            continue;
        }
        let length = u32::from_be_bytes(*length) as usize;
        let Some((compressed, tail)) = tail.split_at_checked(length) else {
            return Err(RecordError::truncated(
                input.len() - tail.len(),
                "snappy block",
                length as u64,
                tail.len() as u64,
            ));
        };
        block(compressed, decoder, out)?;
        rest = tail;
    }
    if rest.is_empty() {
        Ok(())
    } else {
        Err(RecordError::truncated(input.len() - rest.len(), "snappy block length", 4, rest.len() as u64))
    }
}

fn block(
    compressed: &[u8],
    decoder: &mut snap::raw::Decoder,
    out: &mut Output<'_>,
) -> Result<(), RecordError> {
    let length = snap::raw::decompress_len(compressed).map_err(|error| undecodable("snappy", error))?;
    if length > compressed.len().saturating_mul(BEST_RATIO) {
        return Err(undecodable("snappy", "a block announces more than it can hold"));
    }
    if length > out.left() {
        return Err(out.too_large());
    }
    let written =
        decoder.decompress(compressed, out.room(length).1).map_err(|error| undecodable("snappy", error))?;
    out.advance(written);
    Ok(())
}

/// Appends one block. `input` is not empty and at most [`BLOCK`].
pub(super) fn compress_block(
    input: &[u8],
    encoder: &mut snap::raw::Encoder,
    out: &mut Vec<u8>,
) -> Result<(), RecordError> {
    let start = out.len();
    out.resize(start + 4 + snap::raw::max_compress_len(input.len()), 0);
    let room = out.get_mut(start + 4..).unwrap_or_default();
    let length = encoder.compress(input, room).map_err(|error| undecodable("snappy", error))?;
    out.truncate(start + 4 + length);
    if let Some(place) = out.get_mut(start..start + 4) {
        place.copy_from_slice(&(length as u32).to_be_bytes());
    }
    Ok(())
}
