//! Bytes that are read from front to back, and the numbers that Avro and Protobuf have in common: seven bits a byte, the least
//! first; signed ones as zig-zag.

use super::Invalid;

/// What is left of a value, and where in it that begins.
#[derive(Clone)]
pub(super) struct Reader<'w> {
    bytes: &'w [u8],
    at: usize,
    end: usize,
}

impl<'w> Reader<'w> {
    /// From here to the end.
    pub fn new(bytes: &'w [u8], at: usize) -> Self {
        Self { bytes, at: at.min(bytes.len()), end: bytes.len() }
    }

    pub fn at(&self) -> usize {
        self.at
    }

    pub fn left(&self) -> usize {
        self.end - self.at
    }

    pub fn take(&mut self, size: usize) -> Result<&'w [u8], Invalid> {
        if size > self.left() {
            return Err(Invalid::new("", "ends too early"));
        }
        let taken = self.bytes.get(self.at..self.at + size).unwrap_or_default();
        self.at += size;
        Ok(taken)
    }

    /// So many bytes as something of their own, behind which this goes on.
    pub fn part(&mut self, size: usize) -> Result<Reader<'w>, Invalid> {
        let at = self.at;
        self.take(size)?;
        Ok(Self { bytes: self.bytes, at, end: self.at })
    }

    pub fn varint(&mut self) -> Result<u64, Invalid> {
        let mut number = 0_u64;
        for shift in (0..64).step_by(7) {
            let [byte] = self.take(1)? else { break };
            if shift == 63 && *byte > 1 {
                break;
            }
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(Invalid::new("", "is no number"))
    }

    pub fn zigzag(&mut self) -> Result<i64, Invalid> {
        let number = self.varint()?;
        Ok((number >> 1) as i64 ^ -((number & 1) as i64))
    }
}

pub(super) fn put_varint(mut number: u64, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

pub(super) fn put_zigzag(number: i64, out: &mut Vec<u8>) {
    put_varint((number << 1) as u64 ^ (number >> 63) as u64, out);
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn numbers_are_read_as_they_are_written(number: u64) {
            let mut out = Vec::new();
            put_varint(number, &mut out);
            put_zigzag(number as i64, &mut out);
            let mut reader = Reader::new(&out, 0);
            proptest::prop_assert_eq!(reader.varint(), Ok(number));
            proptest::prop_assert_eq!(reader.zigzag(), Ok(number as i64));
            proptest::prop_assert_eq!(reader.left(), 0);
        }
    }
}
