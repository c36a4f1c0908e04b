//! What a read gives: pieces of memory and pieces of files, whole batches end to end.

use std::io;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use super::files::FileHandle;

/// The answer to `Log::read`: whole batches, one after the other, all below the high watermark.
#[derive(Debug, Clone, Default)]
pub struct LogRead {
    pub slices: Vec<LogSlice>,
    /// Bytes in all slices together.
    pub total_len: usize,
    /// As they were when the read was made.
    pub high_watermark: i64,
    pub log_start_offset: i64,
}

#[derive(Debug, Clone)]
pub enum LogSlice {
    Memory(Bytes),
    File(FileSlice),
}

impl LogSlice {
    pub fn len(&self) -> usize {
        match self {
            LogSlice::Memory(bytes) => bytes.len(),
            LogSlice::File(slice) => slice.len as usize,
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl LogRead {
    pub(crate) fn push(&mut self, slice: LogSlice) {
        self.total_len += slice.len();
        self.slices.push(slice);
    }

    /// All bytes in one piece. Blocks on the disk where slices are of files: not for async workers.
    pub fn to_bytes(&self) -> io::Result<Bytes> {
        if let [LogSlice::Memory(only)] = self.slices.as_slice() {
            return Ok(only.clone());
        }
        let mut all = BytesMut::with_capacity(self.total_len);
        for slice in &self.slices {
            match slice {
                LogSlice::Memory(bytes) => all.extend_from_slice(bytes),
                LogSlice::File(slice) => {
                    let start = all.len();
                    all.resize(start + slice.len as usize, 0);
                    if let Some(space) = all.get_mut(start..) {
                        slice.read_at(0, space)?;
                    }
                }
            }
        }
        Ok(all.freeze())
    }
}

/// A piece of a segment file. It keeps the file open: retention may delete the segment meanwhile, the bytes stay
/// readable until the last slice is gone.
#[derive(Debug, Clone)]
pub struct FileSlice {
    handle: Arc<dyn FileHandle>,
    position: u64,
    len: u64,
}

impl FileSlice {
    pub(crate) fn new(handle: Arc<dyn FileHandle>, position: u64, len: u64) -> Self {
        FileSlice { handle, position, len }
    }

    pub fn len(&self) -> u64 {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The open file, for `sendfile`; none under the simulator.
    #[cfg(unix)]
    pub fn as_fd(&self) -> Option<std::os::fd::BorrowedFd<'_>> {
        self.handle.as_fd()
    }

    /// Where the slice starts in the file, for `sendfile`.
    pub fn file_position(&self) -> u64 {
        self.position
    }

    /// Fills `buf` from `position` (within the slice) on. Blocks on the disk: not for async workers.
    pub fn read_at(&self, position: u64, buf: &mut [u8]) -> io::Result<()> {
        self.check_range(position, buf.len())?;
        let n = self.handle.read_at(self.position + position, buf)?;
        if n == buf.len() { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
    }

    /// Reads up to `max` bytes from `position` (within the slice) on into the free space of `buf`, at least one
    /// unless the slice ends there. Data in the page cache is read at once; only what is not goes through a
    /// blocking thread.
    pub async fn read_chunk(&self, position: u64, max: usize, mut buf: BytesMut) -> io::Result<BytesMut> {
        let want = usize::try_from(self.len.saturating_sub(position)).unwrap_or(usize::MAX).min(max);
        if want == 0 {
            return Ok(buf);
        }
        let start = buf.len();
        buf.resize(start + want, 0);
        let at = self.position + position;
        match self.handle.try_read_at(at, buf.get_mut(start..).unwrap_or_default()) {
            Ok(n) if n > 0 => {
                buf.truncate(start + n);
                return Ok(buf);
            }
            Ok(_) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
        let handle = Arc::clone(&self.handle);
        let read = move || {
            let n = handle.read_at(at, buf.get_mut(start..).unwrap_or_default())?;
            buf.truncate(start + n);
            if n == 0 { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(buf) }
        };
        tokio::task::spawn_blocking(read).await.map_err(io::Error::other)?
    }

    fn check_range(&self, position: u64, len: usize) -> io::Result<()> {
        let end = position.checked_add(len as u64);
        if end.is_some_and(|end| end <= self.len) {
            Ok(())
        } else {
            Err(io::Error::new(io::ErrorKind::InvalidInput, "read past the end of a log slice"))
        }
    }
}
