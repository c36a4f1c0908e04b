//! A bounded reader over one frame. Nothing is reserved on a count's word: every length is held against the bytes that
//! are left, and all that is decoded against a budget that grows with the input.

use super::error::{WireError, WireErrorKind};
use bytes::Bytes;
use nom::{IResult, number::complete as be};

/// Decoded memory allowed whatever the input's size; small messages are full of fixed-size structs.
const FLOOR: usize = 64 * 1024;
/// Decoded bytes allowed for one byte of input. The largest honest ratio is an array of empty strings (32).
const RATIO: usize = 40;

/// The most memory that decoding `input` bytes may take, whatever they say.
pub fn memory_limit(input: usize) -> usize {
    FLOOR + input.saturating_mul(RATIO)
}

/// Memory reserved for an array before its elements were seen.
const AT_ONCE: usize = 4096;

/// Reads values from the front of a frame; knows which field it is at, for errors.
pub struct Reader {
    data: Bytes,
    at: usize,
    /// Offset of `data` in the whole frame.
    base: usize,
    budget: usize,
    pub(crate) field: &'static str,
}

impl Reader {
    pub fn new(data: Bytes) -> Self {
        let budget = memory_limit(data.len());
        Reader { data, at: 0, base: 0, budget, field: "" }
    }

    /// Byte offset from the start of the frame.
    pub fn position(&self) -> usize {
        self.base + self.at
    }

    pub fn left(&self) -> usize {
        self.data.len() - self.at
    }

    pub fn fail(&self, kind: WireErrorKind) -> WireError {
        WireError::new(self.field, self.position(), kind)
    }

    /// Refuses bytes after the end of a message.
    pub fn finish(&self) -> Result<(), WireError> {
        match self.left() {
            0 => Ok(()),
            n => Err(self.fail(WireErrorKind::TrailingBytes(n))),
        }
    }

    /// What is left, without copying it.
    pub fn rest(&self) -> Bytes {
        self.data.slice(self.at..)
    }

    #[inline]
    fn number<T>(
        &mut self,
        size: usize,
        parse: impl for<'a> Fn(&'a [u8]) -> IResult<&'a [u8], T>,
    ) -> Result<T, WireError> {
        let input = self.data.get(self.at..).unwrap_or_default();
        match parse(input) {
            Ok((_, value)) => {
                self.at += size;
                Ok(value)
            }
            Err(_) => Err(self.fail(WireErrorKind::Truncated { wanted: size, left: self.left() })),
        }
    }

    pub fn i8(&mut self) -> Result<i8, WireError> {
        self.number(1, |i| be::be_i8(i))
    }
    pub fn i16(&mut self) -> Result<i16, WireError> {
        self.number(2, |i| be::be_i16(i))
    }
    pub fn u16(&mut self) -> Result<u16, WireError> {
        self.number(2, |i| be::be_u16(i))
    }
    pub fn i32(&mut self) -> Result<i32, WireError> {
        self.number(4, |i| be::be_i32(i))
    }
    pub fn i64(&mut self) -> Result<i64, WireError> {
        self.number(8, |i| be::be_i64(i))
    }
    pub fn f64(&mut self) -> Result<f64, WireError> {
        self.number(8, |i| be::be_f64(i))
    }

    /// An unsigned varint of at most 32 bits.
    pub fn uvarint(&mut self) -> Result<u32, WireError> {
        let mut value = 0u32;
        for shift in [0, 7, 14, 21, 28] {
            let byte = self.i8()? as u8;
            if shift == 28 && byte > 0x0f {
                break;
            }
            value |= u32::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(self.fail(WireErrorKind::VarintTooLong))
    }

    /// `len` bytes that share the frame's memory.
    pub fn bytes(&mut self, len: usize) -> Result<Bytes, WireError> {
        if len > self.left() {
            return Err(self.fail(WireErrorKind::Truncated { wanted: len, left: self.left() }));
        }
        let bytes = self.data.slice(self.at..self.at + len);
        self.at += len;
        Ok(bytes)
    }

    /// A reader of the next `len` bytes only, on the same budget (give it back with `leave`).
    pub(crate) fn enter(&mut self, len: usize) -> Result<Reader, WireError> {
        let base = self.position();
        let data = self.bytes(len)?;
        Ok(Reader { data, at: 0, base, budget: self.budget, field: self.field })
    }

    pub(crate) fn leave(&mut self, inner: Reader) -> Result<(), WireError> {
        inner.finish()?;
        self.budget = inner.budget;
        Ok(())
    }

    /// The length of a string, byte sequence or array: None for null.
    /// `wide` is the ordinary encoding's size (2 for strings, 4 for the rest); flexible versions use a varint one too large.
    #[inline]
    pub(crate) fn length(&mut self, flexible: bool, wide: u8) -> Result<Option<usize>, WireError> {
        let len = if flexible {
            i64::from(self.uvarint()?) - 1
        } else if wide == 2 {
            i64::from(self.i16()?)
        } else {
            i64::from(self.i32()?)
        };
        match len {
            // Kafka takes no longer strings, however their length is written; a varint could write more.
            n if wide == 2 && n > i64::from(i16::MAX) => Err(self.fail(WireErrorKind::TooLarge)),
            -1 => Ok(None),
            n if n < 0 => Err(self.fail(WireErrorKind::NegativeLength(n))),
            // No element is shorter than a byte.
            n if n as usize > self.left() => {
                Err(self.fail(WireErrorKind::Truncated { wanted: n as usize, left: self.left() }))
            }
            n => Ok(Some(n as usize)),
        }
    }

    /// `N` bytes of their own.
    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], WireError> {
        match self.data.get(self.at..).and_then(|left| left.first_chunk::<N>()) {
            Some(array) => {
                self.at += N;
                Ok(*array)
            }
            None => Err(self.fail(WireErrorKind::Truncated { wanted: N, left: self.left() })),
        }
    }

    /// Makes room in `items` for one more of `count`. Room for few is reserved on the count's word; more only as elements
    /// arrive, and never past `count`.
    #[inline]
    pub(crate) fn grow<T>(&mut self, items: &mut Vec<T>, count: usize) -> Result<(), WireError> {
        match items.len() < items.capacity() {
            true => Ok(()),
            false => {
                self.reserve(items, (AT_ONCE / std::mem::size_of::<T>().max(1)).max(1).min(count), count)
            }
        }
    }

    /// As `grow`, for a list that mostly holds one.
    pub(crate) fn grow_slowly<T>(&mut self, items: &mut Vec<T>) -> Result<(), WireError> {
        match items.len() < items.capacity() {
            true => Ok(()),
            false => self.reserve(items, 1, usize::MAX),
        }
    }

    fn reserve<T>(&mut self, items: &mut Vec<T>, first: usize, most: usize) -> Result<(), WireError> {
        let size = std::mem::size_of::<T>();
        let old = items.capacity();
        let new = old.saturating_mul(2).max(first).min(most);
        // While the elements are moved both old and new memory exist.
        self.spend(new.saturating_mul(size))?;
        items.reserve_exact(new.saturating_sub(items.len()));
        self.budget += old.saturating_mul(size);
        Ok(())
    }

    /// Takes `size` bytes of decoded memory from the budget.
    #[inline]
    pub(crate) fn spend(&mut self, size: usize) -> Result<(), WireError> {
        match self.budget.checked_sub(size) {
            Some(left) => {
                self.budget = left;
                Ok(())
            }
            None => Err(self.fail(WireErrorKind::TooLarge)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uvarint_takes_five_bytes_and_no_more() {
        let read = |bytes: &'static [u8]| Reader::new(Bytes::from_static(bytes)).uvarint();
        assert_eq!(read(&[0xff, 0xff, 0xff, 0xff, 0x0f]), Ok(u32::MAX));
        assert_eq!(read(&[0xff, 0xff, 0xff, 0xff, 0x1f]).unwrap_err().kind, WireErrorKind::VarintTooLong);
        assert_eq!(
            read(&[0x80, 0x80, 0x80, 0x80, 0x80, 0x01]).unwrap_err().kind,
            WireErrorKind::VarintTooLong
        );
        assert!(matches!(read(&[0x80]).unwrap_err().kind, WireErrorKind::Truncated { .. }));
    }

    #[test]
    fn a_string_is_no_longer_than_kafka_takes() {
        let string = |len: usize| {
            let mut bytes = vec![(len + 1) as u8 & 0x7f | 0x80, ((len + 1) >> 7) as u8 & 0x7f | 0x80];
            bytes.push(((len + 1) >> 14) as u8);
            bytes.resize(3 + len, b'x');
            Reader::new(Bytes::from(bytes)).length(true, 2).map_err(|error| error.kind)
        };
        assert_eq!(string(32_767), Ok(Some(32_767)));
        assert_eq!(string(32_768), Err(WireErrorKind::TooLarge));
    }

    #[test]
    fn a_length_past_the_end_is_refused_before_anything_is_reserved() {
        let mut reader = Reader::new(Bytes::from_static(&[0x7f, 0xff, 0xff, 0xff, 0]));
        assert!(matches!(reader.length(false, 4).unwrap_err().kind, WireErrorKind::Truncated { .. }));
        let mut reader = Reader::new(Bytes::from_static(&[0xff, 0xff, 0xff, 0xfe]));
        assert_eq!(reader.length(false, 4).unwrap_err().kind, WireErrorKind::NegativeLength(-2));
    }
}
