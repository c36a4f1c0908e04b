//! What a read gives: pieces of memory and pieces of files, whole batches end to end.

use std::io;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use super::files::FileHandle;
use crate::wire::payload::{ByteSource, Payload, Piece};

/// The answer to `Log::read`: whole batches, one after the other, all below the high watermark.
#[derive(Debug, Clone, Default)]
pub struct LogRead {
    pub slices: Vec<LogSlice>,
    /// Bytes in all slices together.
    pub total_len: usize,
    /// As they were when the read was made.
    pub high_watermark: i64,
    pub log_start_offset: i64,
    /// Where the next read goes on: the offset after the last batch, or the one asked for when nothing was read.
    pub next_offset: i64,
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

    pub(crate) fn with_memory(mut self, next_offset: i64, pieces: Vec<Bytes>) -> Self {
        pieces.into_iter().for_each(|piece| self.push(LogSlice::Memory(piece)));
        self.next_offset = next_offset;
        self
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

    /// `position` within the slice as a position in the file, if `len` bytes from there on are in the slice.
    fn in_file(&self, position: u64, len: usize) -> io::Result<u64> {
        let end = position.checked_add(len as u64);
        if end.is_some_and(|end| end <= self.len) {
            Ok(self.position + position)
        } else {
            Err(io::Error::new(io::ErrorKind::InvalidInput, "read past the end of a log slice"))
        }
    }
}

impl ByteSource for FileSlice {
    fn len(&self) -> u64 {
        self.len
    }

    fn read_at(&self, position: u64, buf: &mut [u8]) -> io::Result<()> {
        let n = self.handle.read_at(self.in_file(position, buf.len())?, buf)?;
        if n == buf.len() { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
    }

    fn try_read_at(&self, position: u64, buf: &mut [u8]) -> io::Result<bool> {
        match self.handle.try_read_at(self.in_file(position, buf.len())?, buf) {
            Ok(n) => Ok(n == buf.len()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn file(&self) -> Option<(&std::fs::File, u64)> {
        self.handle.file().map(|file| (file, self.position))
    }
}

impl From<LogSlice> for Piece {
    fn from(slice: LogSlice) -> Self {
        match slice {
            LogSlice::Memory(bytes) => Piece::Bytes(bytes),
            LogSlice::File(slice) => Piece::Source(Arc::new(slice)),
        }
    }
}

impl From<LogRead> for Payload {
    fn from(read: LogRead) -> Self {
        let mut slices = read.slices;
        match slices.pop() {
            Some(LogSlice::Memory(only)) if slices.is_empty() => Payload::Bytes(only),
            Some(last) => {
                slices.push(last);
                Payload::Pieces(slices.into_iter().map(Piece::from).collect())
            }
            None => Payload::Bytes(Bytes::new()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{IoSlice, Read, Seek, SeekFrom};

    use super::*;
    use crate::storage::files::{Files, OpenMode, RealFiles, SimFault, SimFiles};
    use crate::storage::testing::Watched;

    const PATH: &str = "/segment";

    fn content() -> Vec<u8> {
        (0..200).collect()
    }

    struct Sliced {
        files: SimFiles,
        file: Arc<Watched>,
        slice: FileSlice,
    }

    /// Bytes 50 to 149 of a file of which the first `in_memory` bytes are in memory.
    fn sliced(in_memory: u64) -> Sliced {
        let files = SimFiles::new();
        let file = files.open(PATH.as_ref(), OpenMode::CreateOrWrite).unwrap();
        file.write_at(0, &mut [IoSlice::new(&content())]).unwrap();
        let file = Arc::new(Watched::new(file, in_memory));
        let slice = FileSlice::new(Arc::clone(&file) as Arc<dyn FileHandle>, 50, 100);
        Sliced { files, file, slice }
    }

    #[test]
    fn positions_count_from_the_start_of_the_slice_and_end_with_it() {
        let slice = sliced(u64::MAX).slice;
        assert_eq!(ByteSource::len(&slice), 100);
        let mut buf = [0; 10];
        slice.read_at(90, &mut buf).unwrap();
        assert_eq!(buf, content()[140..150]);
        assert!(slice.try_read_at(5, &mut buf).unwrap());
        assert_eq!(buf, content()[55..65]);
        for position in [91, 100, u64::MAX] {
            let errors = [
                slice.read_at(position, &mut buf).unwrap_err(),
                slice.try_read_at(position, &mut buf).unwrap_err(),
            ];
            assert!(errors.iter().all(|error| error.kind() == io::ErrorKind::InvalidInput));
        }
    }

    #[test]
    fn what_is_in_memory_is_read_at_once_and_nothing_else() {
        let Sliced { files, file, slice } = sliced(60);
        let mut buf = [0; 10];
        assert!(slice.try_read_at(0, &mut buf).unwrap());
        assert!(!slice.try_read_at(1, &mut buf).unwrap(), "the disk would have to be asked");
        // The last of these bytes are gone.
        file.set_len(58).unwrap();
        assert!(!slice.try_read_at(0, &mut buf).unwrap());
        files.inject(PATH, SimFault::ReadError);
        assert!(slice.try_read_at(0, &mut buf).is_err());
    }

    #[tokio::test]
    async fn a_chunk_follows_on_what_the_buffer_holds() {
        for in_memory in [0, u64::MAX] {
            let Sliced { files, file, slice } = sliced(in_memory);
            let chunk = async |position| {
                let chunk = slice.read_chunk(position, 20, BytesMut::from(&b"before"[..])).await?;
                assert_eq!(&chunk[..6], b"before");
                io::Result::Ok(chunk[6..].to_vec())
            };
            assert_eq!(chunk(10).await.unwrap(), content()[60..80]);
            assert_eq!(chunk(95).await.unwrap(), content()[145..150]);
            assert!(chunk(100).await.unwrap().is_empty());
            // A file that was cut short gives what there is, and an end that is none of the slice's is an error.
            file.set_len(65).unwrap();
            assert_eq!(chunk(10).await.unwrap(), content()[60..65]);
            assert_eq!(chunk(15).await.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
            // A disk that failed is not asked again.
            files.inject(PATH, SimFault::ReadError);
            let before = file.read();
            assert!(chunk(10).await.is_err());
            assert_eq!(file.read() - before, 20);
        }
    }

    #[test]
    fn a_payload_holds_all_slices_in_their_order() {
        let payload = |slices: Vec<LogSlice>| Payload::from(LogRead { slices, ..LogRead::default() });
        let memory = |bytes: &'static [u8]| LogSlice::Memory(Bytes::from_static(bytes));
        assert!(matches!(payload(Vec::new()), Payload::Bytes(bytes) if bytes.is_empty()));
        assert!(matches!(payload(vec![memory(b"one")]), Payload::Bytes(bytes) if bytes == "one"));
        let slice = sliced(0).slice;
        let all = payload(vec![memory(b"one"), LogSlice::File(slice), memory(b"two")]);
        assert_eq!(all.to_bytes().unwrap(), [b"one", &content()[50..150], b"two"].concat());
    }

    #[test]
    fn only_a_slice_of_nothing_is_empty() {
        assert!(LogSlice::Memory(Bytes::new()).is_empty());
        assert!(!LogSlice::Memory(Bytes::from_static(b"a")).is_empty());
        assert!(!LogSlice::File(sliced(0).slice).is_empty());
    }

    /// As `sendfile` needs it.
    #[test]
    fn a_slice_knows_its_place_in_a_real_file() {
        let dir = tempfile::tempdir().unwrap();
        let handle = RealFiles::new().open(&dir.path().join("segment"), OpenMode::CreateOrWrite).unwrap();
        handle.write_at(0, &mut [IoSlice::new(&content())]).unwrap();
        let slice = FileSlice::new(handle, 50, 100);
        let (mut file, position) = slice.file().unwrap();
        file.seek(SeekFrom::Start(position)).unwrap();
        let mut buf = [0; 10];
        file.read_exact(&mut buf).unwrap();
        assert_eq!(buf, content()[50..60]);
        assert!(sliced(0).slice.file().is_none(), "the simulated disk has none");
    }
}
