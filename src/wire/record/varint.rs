//! Variable-length integers: seven bits a byte, low bits first; signed ones zigzag-coded, as in Protocol Buffers.
//!
//! A 32-bit value takes at most 5 bytes and a 64-bit one at most 10. Longer encodings, and bits that would be
//! shifted out of the last byte, are errors: cutting them silently lets two readers see two different records.

use super::RecordError;

pub const MAX_VARINT: usize = 5;
pub const MAX_VARLONG: usize = 10;

/// Reads a zigzag-coded 32-bit value at `*pos` and moves `*pos` past it; on error `*pos` stays.
#[inline]
pub fn varint(buf: &[u8], pos: &mut usize) -> Result<i32, RecordError> {
    let n = uvarint(buf, pos)?;
    Ok((n >> 1) as i32 ^ -((n & 1) as i32))
}

/// Reads a zigzag-coded 64-bit value.
#[inline]
pub fn varlong(buf: &[u8], pos: &mut usize) -> Result<i64, RecordError> {
    let n = match buf.get(*pos) {
        Some(&byte) if byte < 0x80 => {
            *pos += 1;
            u64::from(byte)
        }
        _ => unsigned::<MAX_VARLONG>(buf, pos, 64)?,
    };
    Ok((n >> 1) as i64 ^ -((n & 1) as i64))
}

/// Reads an unsigned 32-bit value.
#[inline]
pub fn uvarint(buf: &[u8], pos: &mut usize) -> Result<u32, RecordError> {
    match buf.get(*pos) {
        Some(&byte) if byte < 0x80 => {
            *pos += 1;
            Ok(u32::from(byte))
        }
        // Fits: the reader refuses more than 32 bits.
        _ => unsigned::<MAX_VARINT>(buf, pos, 32).map(|n| n as u32),
    }
}

fn unsigned<const MAX: usize>(buf: &[u8], pos: &mut usize, bits: u32) -> Result<u64, RecordError> {
    let mut value = 0u64;
    let mut shift = 0u32;
    for (i, &byte) in buf.get(*pos..).unwrap_or_default().iter().take(MAX).enumerate() {
        let low = u64::from(byte & 0x7f);
        if bits - shift < 7 && low >> (bits - shift) != 0 {
            return Err(RecordError::invalid(*pos, "varint", "has more bits than its type"));
        }
        value |= low << shift;
        if byte < 0x80 {
            *pos += i + 1;
            return Ok(value);
        }
        shift += 7;
    }
    let left = buf.len().saturating_sub(*pos);
    if left >= MAX {
        return Err(RecordError::invalid(*pos, "varint", "does not end where its type does"));
    }
    Err(RecordError::truncated(*pos, "varint", left as u64 + 1, left as u64))
}

#[inline]
pub fn put_varint(out: &mut Vec<u8>, value: i32) {
    put_uvarint(out, zigzag32(value));
}

#[inline]
pub fn put_varlong(out: &mut Vec<u8>, value: i64) {
    put_unsigned(out, zigzag64(value));
}

#[inline]
pub fn put_uvarint(out: &mut Vec<u8>, value: u32) {
    put_unsigned(out, u64::from(value));
}

#[inline]
fn put_unsigned(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Bytes that [`put_varint`] writes for `value`.
#[inline]
pub fn varint_size(value: i32) -> usize {
    unsigned_size(u64::from(zigzag32(value)))
}

/// Bytes that [`put_varlong`] writes for `value`.
#[inline]
pub fn varlong_size(value: i64) -> usize {
    unsigned_size(zigzag64(value))
}

#[inline]
fn unsigned_size(value: u64) -> usize {
    (64 - (value | 1).leading_zeros() as usize).div_ceil(7)
}

#[inline]
fn zigzag32(value: i32) -> u32 {
    ((value << 1) ^ (value >> 31)) as u32
}

#[inline]
fn zigzag64(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_written_is_read(a: i32, b: i64, c: u32) {
            let mut out = Vec::new();
            put_varint(&mut out, a);
            prop_assert_eq!(out.len(), varint_size(a));
            put_varlong(&mut out, b);
            prop_assert_eq!(out.len(), varint_size(a) + varlong_size(b));
            put_uvarint(&mut out, c);
            let mut pos = 0;
            prop_assert_eq!(varint(&out, &mut pos).unwrap(), a);
            prop_assert_eq!(varlong(&out, &mut pos).unwrap(), b);
            prop_assert_eq!(uvarint(&out, &mut pos).unwrap(), c);
            prop_assert_eq!(pos, out.len());
        }

        #[test]
        fn any_bytes_give_a_value_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..12)) {
            for read in [|b: &[u8], p: &mut usize| varint(b, p).map(i64::from), |b: &[u8], p: &mut usize| varlong(b, p)] {
                let mut pos = 0;
                match read(&bytes, &mut pos) {
                    Ok(_) => prop_assert!(pos >= 1 && pos <= bytes.len()),
                    Err(_) => prop_assert_eq!(pos, 0),
                }
            }
        }
    }

    #[test]
    fn the_known_encodings() {
        for (value, bytes) in [
            (0, &[0u8][..]),
            (-1, &[1]),
            (1, &[2]),
            (63, &[0x7e]),
            (-64, &[0x7f]),
            (64, &[0x80, 1]),
            (i32::MAX, &[0xfe, 0xff, 0xff, 0xff, 0x0f]),
            (i32::MIN, &[0xff, 0xff, 0xff, 0xff, 0x0f]),
        ] {
            let mut out = Vec::new();
            put_varint(&mut out, value);
            assert_eq!(out, bytes);
            assert_eq!(varint(bytes, &mut 0), Ok(value));
        }
        let mut out = Vec::new();
        put_varlong(&mut out, i64::MIN);
        assert_eq!(out.len(), MAX_VARLONG);
        assert_eq!(varlong(&out, &mut 0), Ok(i64::MIN));
    }

    #[test]
    fn too_long_or_too_wide_is_an_error() {
        let refused = |bytes: &[u8]| matches!(uvarint(bytes, &mut 0), Err(RecordError::Invalid { .. }));
        assert!(refused(&[0x80, 0x80, 0x80, 0x80, 0x80, 0x00]), "six bytes");
        assert!(refused(&[0xff, 0xff, 0xff, 0xff, 0x1f]), "33 bits");
        assert!(matches!(uvarint(&[0x80, 0x80], &mut 0), Err(RecordError::Truncated { .. })));
        assert!(matches!(uvarint(&[], &mut 0), Err(RecordError::Truncated { .. })));
        let refused = |bytes: &[u8]| matches!(varlong(bytes, &mut 0), Err(RecordError::Invalid { .. }));
        assert!(refused(&[0x80; 11]), "eleven bytes");
        assert!(refused(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02]), "65 bits");
    }
}
