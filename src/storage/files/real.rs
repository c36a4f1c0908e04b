//! The operating system's files.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, IoSlice};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
#[cfg(target_os = "linux")]
use std::sync::atomic::{AtomicBool, Ordering};

use super::{DirEntry, FileHandle, FileLock, Files, OpenMode, SyncSite};

/// Most pieces one vectored write may have on Linux (`UIO_MAXIOV`).
const MAX_PIECES: usize = 1024;

/// The operating system's files.
#[derive(Debug, Default)]
pub struct RealFiles;

impl RealFiles {
    pub fn new() -> Self {
        RealFiles
    }
}

impl Files for RealFiles {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn FileHandle>> {
        let mut options = OpenOptions::new();
        options.read(true);
        match mode {
            OpenMode::Read => {}
            OpenMode::Write => {
                options.write(true);
            }
            OpenMode::CreateOrWrite => {
                options.write(true).create(true).truncate(false);
            }
        }
        Ok(Arc::new(RealFile { file: options.open(path)? }))
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        fs::create_dir(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        fs::remove_dir(path)
    }

    fn size(&self, path: &Path) -> io::Result<u64> {
        Ok(fs::metadata(path)?.len())
    }

    fn list(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        let mut entries = Vec::new();
        for entry in fs::read_dir(path)? {
            let entry = entry?;
            // A name that is not UTF-8 is none of ours.
            if let Ok(name) = entry.file_name().into_string() {
                entries.push(DirEntry { name, is_dir: entry.file_type()?.is_dir() });
            }
        }
        Ok(entries)
    }

    fn sync_dir(&self, path: &Path, _site: SyncSite) -> io::Result<()> {
        File::open(path)?.sync_all()
    }

    #[cfg(target_os = "linux")]
    fn space(&self, path: &Path) -> io::Result<Option<(u64, u64)>> {
        let volume = rustix::fs::statvfs(path)?;
        let bytes = |blocks: u64| blocks.saturating_mul(volume.f_frsize);
        Ok(Some((bytes(volume.f_blocks), bytes(volume.f_bavail))))
    }

    fn boot_id(&self) -> Option<String> {
        let id = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
        Some(id.trim().to_owned()).filter(|id| !id.is_empty())
    }

    #[cfg(target_os = "linux")]
    fn sync_all(&self, dir: &Path, _site: SyncSite) -> io::Result<()> {
        Ok(rustix::fs::syncfs(File::open(dir)?)?)
    }

    #[cfg(not(target_os = "linux"))]
    fn sync_all(&self, _dir: &Path, _site: SyncSite) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn lock(&self, path: &Path) -> io::Result<Option<FileLock>> {
        let file = OpenOptions::new().write(true).create(true).truncate(false).open(path)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Box::new(file))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }
}

#[derive(Debug)]
struct RealFile {
    file: File,
}

impl FileHandle for RealFile {
    fn read_at(&self, position: u64, buf: &mut [u8]) -> io::Result<usize> {
        let mut done = 0;
        while let Some(rest) = buf.get_mut(done..).filter(|rest| !rest.is_empty()) {
            match self.file.read_at(rest, position + done as u64) {
                Ok(0) => break,
                Ok(n) => done += n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(done)
    }

    fn try_read_at(&self, position: u64, buf: &mut [u8]) -> io::Result<usize> {
        page_cache_read(&self.file, position, buf)
    }

    fn write_at(&self, position: u64, pieces: &mut [IoSlice<'_>]) -> io::Result<()> {
        let mut position = position;
        let mut rest = pieces;
        // Empty pieces would make a write of nothing look like a full disk.
        IoSlice::advance_slices(&mut rest, 0);
        while !rest.is_empty() {
            let first = rest.get(..MAX_PIECES).unwrap_or(rest);
            match rustix::io::pwritev(&self.file, first, position) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(n) => {
                    position += n as u64;
                    IoSlice::advance_slices(&mut rest, n);
                }
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    fn sync_data(&self, _site: SyncSite) -> io::Result<()> {
        self.file.sync_data()
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn file(&self) -> Option<&File> {
        Some(&self.file)
    }
}

#[cfg(target_os = "linux")]
fn page_cache_read(file: &File, position: u64, buf: &mut [u8]) -> io::Result<usize> {
    use rustix::io::{Errno, ReadWriteFlags, preadv2};

    /// Set once the file system has said that it cannot tell what is cached.
    static UNSUPPORTED: AtomicBool = AtomicBool::new(false);
    if UNSUPPORTED.load(Ordering::Relaxed) {
        return Err(io::ErrorKind::WouldBlock.into());
    }
    match preadv2(file, &mut [io::IoSliceMut::new(buf)], position, ReadWriteFlags::NOWAIT) {
        Ok(n) => Ok(n),
        Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => {
            UNSUPPORTED.store(true, Ordering::Relaxed);
            Err(io::ErrorKind::WouldBlock.into())
        }
        Err(Errno::AGAIN | Errno::INTR) => Err(io::ErrorKind::WouldBlock.into()),
        Err(error) => Err(error.into()),
    }
}

#[cfg(not(target_os = "linux"))]
fn page_cache_read(_file: &File, _position: u64, _buf: &mut [u8]) -> io::Result<usize> {
    Err(io::ErrorKind::WouldBlock.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_any_number_of_pieces_and_reads_them_back() {
        let dir = tempfile::tempdir().unwrap();
        let file = RealFiles.open(&dir.path().join("f"), OpenMode::CreateOrWrite).unwrap();
        let pieces: Vec<Vec<u8>> =
            (0..3000_u32).map(|i| i.to_le_bytes()[..(i % 5) as usize].to_vec()).collect();
        let expected: Vec<u8> = pieces.concat();
        let mut slices: Vec<IoSlice<'_>> = pieces.iter().map(|p| IoSlice::new(p)).collect();
        file.write_at(7, &mut slices).unwrap();
        file.sync_data(SyncSite::Append).unwrap();

        assert_eq!(file.size().unwrap(), 7 + expected.len() as u64);
        let mut read = vec![0; expected.len() + 10];
        assert_eq!(file.read_at(7, &mut read).unwrap(), expected.len());
        assert_eq!(&read[..expected.len()], expected);
        read.fill(0);
        match file.try_read_at(7, &mut read) {
            Ok(n) => assert!(n > 1 && read[..n] == expected[..n], "{n} bytes"),
            Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
        }
    }

    #[test]
    fn folders_hold_what_was_made_in_them() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name| dir.path().join(name);
        let list = || {
            let mut entries = RealFiles.list(dir.path()).unwrap();
            entries.sort_by(|a, b| a.name.cmp(&b.name));
            entries
        };
        RealFiles.create_dir(&path("a")).unwrap();
        RealFiles.open(&path("b"), OpenMode::CreateOrWrite).unwrap();
        let entry = |name: &str, is_dir| DirEntry { name: name.to_owned(), is_dir };
        assert_eq!(list(), [entry("a", true), entry("b", false)]);
        RealFiles.rename(&path("b"), &path("c")).unwrap();
        RealFiles.remove_dir(&path("a")).unwrap();
        assert_eq!(list(), [entry("c", false)]);
        RealFiles.remove_file(&path("c")).unwrap();
        assert!(list().is_empty());
        assert_eq!(RealFiles.create_dir(dir.path()).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn the_system_tells_its_boot_and_its_space() {
        let id = RealFiles.boot_id().unwrap();
        assert!(id.len() == 36 && id.bytes().all(|b| b == b'-' || b.is_ascii_hexdigit()), "{id}");
        assert_eq!(RealFiles.boot_id(), Some(id));
        let dir = tempfile::tempdir().unwrap();
        let (bytes, free) = RealFiles.space(dir.path()).unwrap().unwrap();
        assert!(bytes > 1 << 20 && free <= bytes, "{free} of {bytes} bytes");
    }

    #[test]
    fn a_file_that_cannot_be_read_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let folder = RealFiles.open(dir.path(), OpenMode::Read).unwrap();
        assert_eq!(folder.read_at(0, &mut [0; 10]).unwrap_err().kind(), io::ErrorKind::IsADirectory);
    }

    #[test]
    fn a_lock_is_held_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(".lock");
        let held = RealFiles.lock(&path).unwrap();
        assert!(held.is_some());
        assert!(RealFiles.lock(&path).unwrap().is_none());
        drop(held);
        assert!(RealFiles.lock(&path).unwrap().is_some());
    }
}
