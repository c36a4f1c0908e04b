//! The writer of one frame: small values go into a buffer, large payloads beside it uncopied.

use super::payload::{Payload, Piece};
use bytes::{BufMut, Bytes, BytesMut};

/// Byte strings of this size and more are handed on as pieces of their own instead of being copied.
const SHARE_FROM: usize = 1024;

/// Collects a frame as a list of pieces.
#[derive(Default)]
pub struct Writer {
    buf: BytesMut,
    /// What was in `buf` before the first shared piece; kept writable for the length prefix.
    front: BytesMut,
    pieces: Vec<Piece>,
    /// Bytes in `front` and `pieces`.
    done: usize,
    /// A text or list is longer than its length field can say.
    overflow: bool,
}

impl Writer {
    pub fn new() -> Self {
        Writer { buf: BytesMut::with_capacity(256), ..Writer::default() }
    }

    /// Bytes written so far.
    pub fn len(&self) -> usize {
        self.done + self.buf.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// True when something did not fit its length field: what was written must not be sent.
    pub fn overflowed(&self) -> bool {
        self.overflow || i32::try_from(self.len()).is_err()
    }

    pub fn i8(&mut self, v: i8) {
        self.buf.put_i8(v);
    }
    pub fn i16(&mut self, v: i16) {
        self.buf.put_i16(v);
    }
    pub fn u16(&mut self, v: u16) {
        self.buf.put_u16(v);
    }
    pub fn i32(&mut self, v: i32) {
        self.buf.put_i32(v);
    }
    pub fn i64(&mut self, v: i64) {
        self.buf.put_i64(v);
    }
    pub fn f64(&mut self, v: f64) {
        self.buf.put_f64(v);
    }

    pub fn uvarint(&mut self, mut v: u32) {
        while v >= 0x80 {
            self.buf.put_u8(v as u8 | 0x80);
            v >>= 7;
        }
        self.buf.put_u8(v as u8);
    }

    pub fn slice(&mut self, bytes: &[u8]) {
        self.buf.put_slice(bytes);
    }

    pub fn bytes(&mut self, bytes: &Bytes) {
        if bytes.len() < SHARE_FROM {
            self.buf.put_slice(bytes);
        } else {
            self.share(Piece::Bytes(bytes.clone()));
        }
    }

    pub fn payload(&mut self, payload: &Payload) {
        match payload {
            Payload::Null => {}
            Payload::Bytes(bytes) => self.bytes(bytes),
            Payload::Pieces(pieces) => {
                for piece in pieces {
                    match piece {
                        Piece::Bytes(bytes) => self.bytes(bytes),
                        source => self.share(source.clone()),
                    }
                }
            }
        }
    }

    fn share(&mut self, piece: Piece) {
        let own = self.buf.split();
        self.done += own.len() + piece.len();
        if self.pieces.is_empty() {
            self.front = own;
        } else if !own.is_empty() {
            self.pieces.push(Piece::Bytes(own.freeze()));
        }
        self.pieces.push(piece);
    }

    /// A length as `Reader::length` reads it; None is null.
    pub(crate) fn length(&mut self, len: Option<usize>, flexible: bool, wide: u8) {
        let max = if wide == 2 && !flexible { i16::MAX as usize } else { i32::MAX as usize - 1 };
        if len.is_some_and(|len| len > max) {
            self.overflow = true;
            return;
        }
        match len {
            Some(n) if flexible => self.uvarint(n as u32 + 1),
            None if flexible => self.uvarint(0),
            Some(n) if wide == 2 => self.i16(n as i16),
            None if wide == 2 => self.i16(-1),
            Some(n) => self.i32(n as i32),
            None => self.i32(-1),
        }
    }

    /// Appends what another writer collected.
    pub(crate) fn append(&mut self, other: Writer) {
        self.overflow |= other.overflow;
        self.buf.put_slice(&other.front);
        for piece in other.pieces {
            match piece {
                Piece::Bytes(bytes) => self.bytes(&bytes),
                source => self.share(source),
            }
        }
        self.buf.put_slice(&other.buf);
    }

    /// Starts a frame, whose four-byte length prefix `finish_frame` fills in.
    pub fn frame() -> Self {
        let mut writer = Writer::new();
        writer.i32(0);
        writer
    }

    /// The frame with its length prefix. Only for a writer that began as one.
    pub fn finish_frame(mut self) -> Vec<Piece> {
        let len = self.len().saturating_sub(4) as i32;
        let front = if self.pieces.is_empty() { &mut self.buf } else { &mut self.front };
        if let Some(prefix) = front.first_chunk_mut::<4>() {
            *prefix = len.to_be_bytes();
        }
        self.finish()
    }

    /// What was written.
    pub fn finish(self) -> Vec<Piece> {
        let own = |bytes: BytesMut| (!bytes.is_empty()).then(|| Piece::Bytes(bytes.freeze()));
        if self.pieces.is_empty() {
            return own(self.buf).into_iter().collect();
        }
        let mut pieces = Vec::with_capacity(self.pieces.len() + 2);
        pieces.extend(own(self.front));
        pieces.extend(self.pieces);
        pieces.extend(own(self.buf));
        pieces
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_bytes_are_shared_and_the_length_is_patched() {
        let big = Bytes::from(vec![7u8; 10_000]);
        let mut writer = Writer::frame();
        writer.i16(1);
        writer.bytes(&big);
        writer.i8(2);
        let pieces = writer.finish_frame();
        assert_eq!(pieces.len(), 3);
        let Piece::Bytes(shared) = &pieces[1] else { panic!("not shared") };
        assert_eq!(shared.as_ptr(), big.as_ptr());
        let Piece::Bytes(head) = &pieces[0] else { panic!("no head") };
        assert_eq!(&head[..], [0, 0, 0x27, 0x13, 0, 1]);
    }

    #[test]
    fn what_does_not_fit_its_length_is_noticed() {
        let mut writer = Writer::new();
        writer.length(Some(32_767), false, 2);
        writer.length(Some(40_000), true, 2);
        assert!(!writer.overflowed());
        writer.length(Some(32_768), false, 2);
        assert!(writer.overflowed());
        let mut outer = Writer::new();
        outer.append(writer);
        assert!(outer.overflowed());
    }
}
