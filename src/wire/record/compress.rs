//! The four codecs, with their state and their buffers kept from batch to batch.
//!
//! Decompression never believes an announced size: the output grows as bytes come, up to the caller's limit, and the
//! output a block of input can make is bounded by the codec's own best ratio before room is made for it.

use std::cell::RefCell;
use std::io::Read;

use flate2::{Compress, Crc, FlushCompress, Status};
use zstd::zstd_safe::{self, CCtx, CParameter, DCtx, zstd_sys::ZSTD_ErrorCode};

use super::{Compression, RecordError, lz4, snappy};

/// Buffers larger than this are given back by [`with_codecs`] rather than kept by the thread.
const KEEP: usize = 16 << 20;

/// Lends this thread's codecs, so that no batch pays for their tables and buffers.
pub fn with_codecs<R>(f: impl FnOnce(&mut Decompressor, &mut Compressor) -> R) -> R {
    thread_local! {
        static CODECS: RefCell<Option<Box<(Decompressor, Compressor)>>> = const { RefCell::new(None) };
    }
    // Taken out rather than borrowed: a call inside a call gets codecs of its own.
    let mut codecs = CODECS.with(|kept| kept.borrow_mut().take()).unwrap_or_default();
    let result = f(&mut codecs.0, &mut codecs.1);
    codecs.0.trim();
    codecs.1.trim();
    CODECS.with(|kept| *kept.borrow_mut() = Some(codecs));
    result
}

/// Decompresses batches into a buffer of its own, which the records then borrow.
#[derive(Default)]
pub struct Decompressor {
    buf: Vec<u8>,
    snappy: snap::raw::Decoder,
    zstd: Option<DCtx<'static>>,
}

impl Decompressor {
    pub fn new() -> Self {
        Self::default()
    }

    /// The decompressed `input`, at most `limit` bytes.
    pub fn decompress(
        &mut self,
        codec: Compression,
        input: &[u8],
        limit: usize,
    ) -> Result<&[u8], RecordError> {
        // No codec makes nothing of nothing, but not every library says so.
        if input.is_empty() && codec != Compression::None {
            return Err(RecordError::truncated(0, "compressed records", 1, 0));
        }
        let mut out = Output { buf: &mut self.buf, filled: 0, limit };
        match codec {
            Compression::None => out.extend(input)?,
            Compression::Gzip => gunzip(input, &mut out)?,
            Compression::Snappy => snappy::decompress(input, &mut self.snappy, &mut out)?,
            Compression::Lz4 => lz4::decompress(input, &mut out)?,
            Compression::Zstd => {
                let context = self.zstd.get_or_insert_with(DCtx::create);
                unzstd(input, context, &mut out)?;
            }
        }
        let filled = out.filled;
        Ok(self.buf.get(..filled).unwrap_or_default())
    }

    fn trim(&mut self) {
        if self.buf.len() > KEEP {
            self.buf = Vec::new();
        }
    }
}

/// Decompressed bytes as they come. The buffer is longer than what is filled and never cleared: zeroing it for
/// every batch would cost as much as some codecs do.
pub(super) struct Output<'a> {
    buf: &'a mut Vec<u8>,
    filled: usize,
    limit: usize,
}

impl Output<'_> {
    /// Bytes that may still come.
    pub(super) fn left(&self) -> usize {
        self.limit - self.filled
    }

    pub(super) fn too_large(&self) -> RecordError {
        RecordError::TooLarge { limit: self.limit }
    }

    /// What has come so far, and room for `n` more, or for what is left under the limit.
    pub(super) fn room(&mut self, n: usize) -> (&[u8], &mut [u8]) {
        let end = self.filled + n.min(self.left());
        if self.buf.len() < end {
            self.buf.resize(end.max(self.buf.len().saturating_mul(2)).min(self.limit), 0);
        }
        let (done, free) = self.buf.split_at_mut(self.filled);
        (done, &mut free[..end - self.filled])
    }

    /// `n` bytes of the room have been written.
    pub(super) fn advance(&mut self, n: usize) {
        self.filled = self.filled.saturating_add(n).min(self.buf.len());
    }

    pub(super) fn extend(&mut self, bytes: &[u8]) -> Result<(), RecordError> {
        if bytes.len() > self.left() {
            return Err(self.too_large());
        }
        self.room(bytes.len()).1.copy_from_slice(bytes);
        self.advance(bytes.len());
        Ok(())
    }
}

/// How much to decompress before looking at the limit again.
const STEP: usize = 64 * 1024;

fn gunzip(input: &[u8], out: &mut Output<'_>) -> Result<(), RecordError> {
    // A stream may have several members, as Java's reader allows.
    let mut decoder = flate2::bufread::MultiGzDecoder::new(input);
    loop {
        if out.left() == 0 {
            // Exactly full is allowed; one byte more is not.
            return match decoder.read(&mut [0]) {
                Ok(0) => Ok(()),
                Ok(_) => Err(out.too_large()),
                Err(error) => Err(undecodable("gzip", error)),
            };
        }
        match decoder.read(out.room(STEP).1) {
            Ok(0) => return Ok(()),
            Ok(n) => out.advance(n),
            Err(error) => return Err(undecodable("gzip", error)),
        }
    }
}

/// Whole frames at once, into a buffer that doubles until they fit: unlike the streaming decoder this allocates no
/// window on the word of the frame's header, and copies nothing twice.
fn unzstd(input: &[u8], context: &mut DCtx<'static>, out: &mut Output<'_>) -> Result<(), RecordError> {
    let mut size = out.buf.len().max(input.len().saturating_mul(4)).max(STEP).min(out.limit);
    loop {
        match context.decompress(out.room(size).1, input) {
            Ok(n) => {
                out.advance(n);
                return Ok(());
            }
            Err(code) if zstd_safe::is_error_kind(code, ZSTD_ErrorCode::ZSTD_error_dstSize_tooSmall) => {
                if size >= out.limit {
                    return Err(out.too_large());
                }
                size = size.saturating_mul(2).min(out.limit);
            }
            Err(code) => return Err(undecodable("zstd", zstd_safe::get_error_name(code))),
        }
    }
}

/// Compresses what gathers in [`pending`](Self::pending), in steps.
pub struct Compressor {
    pending: Vec<u8>,
    out: Vec<u8>,
    lz4: lz4::Encoder,
    snappy: snap::raw::Encoder,
    gzip: Option<(Compress, Crc)>,
    zstd: Option<CCtx<'static>>,
}

impl Default for Compressor {
    fn default() -> Self {
        Self {
            pending: Vec::new(),
            out: Vec::new(),
            lz4: lz4::Encoder::default(),
            snappy: snap::raw::Encoder::new(),
            gzip: None,
            zstd: None,
        }
    }
}

impl Compressor {
    pub fn new() -> Self {
        Self::default()
    }

    /// `input` compressed at once.
    pub fn compress(&mut self, codec: Compression, input: &[u8]) -> Result<&[u8], RecordError> {
        self.begin(codec);
        self.pending.extend_from_slice(input);
        self.finish(codec)
    }

    /// Forgets what was begun before, and starts a stream.
    pub(super) fn begin(&mut self, codec: Compression) {
        self.pending.clear();
        self.out.clear();
        match codec {
            Compression::None | Compression::Zstd => {}
            Compression::Gzip => {
                let (stream, crc) = self.gzip.get_or_insert_with(|| {
                    (Compress::new(flate2::Compression::default(), false), Crc::new())
                });
                stream.reset();
                crc.reset();
                // Deflate, no flags, no time, no extra flags, system unknown: the shortest header there is.
                self.out.extend_from_slice(&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff]);
            }
            Compression::Snappy => self.out.extend_from_slice(&snappy::HEADER),
            Compression::Lz4 => self.out.extend_from_slice(&lz4::HEADER),
        }
    }

    /// Where the uncompressed bytes go.
    pub(super) fn pending(&mut self) -> &mut Vec<u8> {
        &mut self.pending
    }

    /// Compresses what is pending as far as whole blocks go.
    pub(super) fn drain(&mut self, codec: Compression) -> Result<(), RecordError> {
        let block = match codec {
            // Uncompressed bytes are the output; zstd does best with all of them at once.
            Compression::None | Compression::Zstd => return Ok(()),
            Compression::Gzip => STEP,
            Compression::Snappy => snappy::BLOCK,
            Compression::Lz4 => lz4::BLOCK,
        };
        let whole = self.pending.len() / block * block;
        let blocks = self.pending.get(..whole).unwrap_or_default();
        for block in blocks.chunks(block) {
            match codec {
                Compression::Gzip => deflate(&mut self.gzip, block, FlushCompress::None, &mut self.out)?,
                Compression::Snappy => snappy::compress_block(block, &mut self.snappy, &mut self.out)?,
                _ => self.lz4.block(block, &mut self.out)?,
            }
        }
        self.pending.copy_within(whole.., 0);
        self.pending.truncate(self.pending.len() - whole);
        Ok(())
    }

    /// Compresses the rest and ends the stream.
    pub(super) fn finish(&mut self, codec: Compression) -> Result<&[u8], RecordError> {
        self.drain(codec)?;
        match codec {
            Compression::None => return Ok(&self.pending),
            Compression::Gzip => {
                deflate(&mut self.gzip, &self.pending, FlushCompress::Finish, &mut self.out)?;
                if let Some((stream, crc)) = &self.gzip {
                    self.out.extend_from_slice(&crc.sum().to_le_bytes());
                    self.out.extend_from_slice(&(stream.total_in() as u32).to_le_bytes());
                }
            }
            Compression::Snappy => {
                if !self.pending.is_empty() {
                    snappy::compress_block(&self.pending, &mut self.snappy, &mut self.out)?;
                }
            }
            Compression::Lz4 => {
                if !self.pending.is_empty() {
                    self.lz4.block(&self.pending, &mut self.out)?;
                }
                self.out.extend_from_slice(&lz4::END_MARK);
            }
            Compression::Zstd => self.zstd()?,
        }
        Ok(&self.out)
    }

    fn zstd(&mut self) -> Result<(), RecordError> {
        let context = self.zstd.get_or_insert_with(|| {
            let mut context = CCtx::create();
            // Cannot fail: a level is always taken, clamped if need be.
            let _ = context.set_parameter(CParameter::CompressionLevel(zstd::DEFAULT_COMPRESSION_LEVEL));
            context
        });
        self.out.reserve(zstd_safe::compress_bound(self.pending.len()));
        context
            .compress2(&mut self.out, &self.pending)
            .map_err(|code| undecodable("zstd", zstd_safe::get_error_name(code)))?;
        Ok(())
    }

    fn trim(&mut self) {
        for buf in [&mut self.pending, &mut self.out] {
            if buf.capacity() > KEEP {
                *buf = Vec::new();
            }
        }
    }
}

fn deflate(
    gzip: &mut Option<(Compress, Crc)>,
    mut input: &[u8],
    flush: FlushCompress,
    out: &mut Vec<u8>,
) -> Result<(), RecordError> {
    let Some((stream, crc)) = gzip else {
        return Err(undecodable("gzip", "the stream was not begun"));
    };
    crc.update(input);
    loop {
        out.reserve((input.len() / 2).max(1024));
        let before = stream.total_in();
        let status = stream.compress_vec(input, out, flush).map_err(|error| undecodable("gzip", error))?;
        let eaten = (stream.total_in() - before) as usize;
        input = input.get(eaten..).unwrap_or_default();
        let done = match flush {
            FlushCompress::Finish => status == Status::StreamEnd,
            _ => input.is_empty(),
        };
        if done {
            return Ok(());
        }
    }
}

pub(super) fn undecodable(codec: &'static str, problem: impl ToString) -> RecordError {
    RecordError::Undecodable { codec, problem: problem.to_string() }
}
