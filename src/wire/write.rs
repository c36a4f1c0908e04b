//! The writer of one frame: small values go into a buffer, large payloads beside it uncopied.

use super::payload::{Payload, Piece};
use bytes::{BufMut, Bytes, BytesMut};

/// Byte strings of this size and more are handed on as pieces of their own instead of being copied.
const SHARE_FROM: usize = 1024;

/// Collects a frame as a list of pieces.
#[derive(Default)]
pub struct Writer {
    buf: BytesMut,
    pieces: Vec<Piece>,
    /// Bytes in `pieces`.
    shared: usize,
}

impl Writer {
    pub fn new() -> Self {
        Writer { buf: BytesMut::with_capacity(256), ..Writer::default() }
    }

    /// Bytes written so far.
    pub fn len(&self) -> usize {
        self.shared + self.buf.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
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
        if !self.buf.is_empty() {
            let head = self.buf.split().freeze();
            self.shared += head.len();
            self.pieces.push(Piece::Bytes(head));
        }
        self.shared += piece.len();
        self.pieces.push(piece);
    }

    /// A length as `Reader::length` reads it; None is null.
    pub(crate) fn length(&mut self, len: Option<usize>, flexible: bool, wide: u8) {
        // Lengths come from data in memory, which a frame's size cap keeps far below these limits.
        match len {
            Some(n) if flexible => self.uvarint((n as u32).saturating_add(1)),
            None if flexible => self.uvarint(0),
            Some(n) if wide == 2 => self.i16(n as i16),
            None if wide == 2 => self.i16(-1),
            Some(n) => self.i32(n as i32),
            None => self.i32(-1),
        }
    }

    /// Appends what another writer collected.
    pub(crate) fn append(&mut self, other: Writer) {
        for piece in other.pieces {
            match piece {
                Piece::Bytes(bytes) => self.bytes(&bytes),
                source => self.share(source),
            }
        }
        self.buf.put_slice(&other.buf);
    }

    /// The frame without its length prefix.
    pub fn finish(mut self) -> Vec<Piece> {
        if !self.buf.is_empty() {
            self.pieces.push(Piece::Bytes(self.buf.freeze()));
        }
        self.pieces
    }

    /// Starts a frame whose four-byte length prefix `finish_frame` fills in.
    pub fn frame() -> Self {
        let mut writer = Writer::new();
        writer.i32(0);
        writer
    }

    /// The frame with its length prefix.
    pub fn finish_frame(self) -> Vec<Piece> {
        let len = self.len().saturating_sub(4) as i32;
        let mut pieces = self.pieces;
        let mut buf = self.buf;
        // The prefix is at the front of the first stretch of small values, which may already be shared.
        match pieces.first_mut() {
            None => buf[..4].copy_from_slice(&len.to_be_bytes()),
            Some(Piece::Bytes(head)) => {
                let mut patched = match std::mem::take(head).try_into_mut() {
                    Ok(own) => own,
                    Err(shared) => BytesMut::from(&shared[..]),
                };
                patched[..4].copy_from_slice(&len.to_be_bytes());
                *head = patched.freeze();
            }
            Some(Piece::Source(_)) => {}
        }
        if !buf.is_empty() {
            pieces.push(Piece::Bytes(buf.freeze()));
        }
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
}
