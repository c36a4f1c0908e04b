//! Small files that are whole or not there: written beside, synced, renamed, the folder synced; read back under a
//! checksum. For producer state, checkpoints and the like. One writer per path at a time.

use std::io::IoSlice;
use std::path::Path;

use super::StorageError;
use super::error::IoContext;
use super::files::{Files, OpenMode, SyncSite};

const MAGIC: [u8; 4] = *b"TGS1";
/// Magic, length of the content, CRC32-C of the content.
const HEADER_LEN: usize = 12;
/// Larger ones are not "small files", and a length that says so is damage.
pub const MAX_LEN: usize = 256 << 20;

/// Replaces the file at `path`; durable on return, and at no moment half there.
pub fn write(files: &dyn Files, path: &Path, content: &[u8]) -> Result<(), StorageError> {
    let len = u32::try_from(content.len())
        .ok()
        .filter(|len| *len as usize <= MAX_LEN)
        .ok_or_else(|| StorageError::io("write", path, &std::io::Error::other("too large for a snapshot")))?;
    let mut header = [0; HEADER_LEN];
    header[..4].copy_from_slice(&MAGIC);
    header[4..8].copy_from_slice(&len.to_be_bytes());
    header[8..].copy_from_slice(&crc32c::crc32c(content).to_be_bytes());

    let mut beside = path.as_os_str().to_owned();
    beside.push(".tmp");
    let beside = Path::new(&beside);
    let file = files.open(beside, OpenMode::CreateOrWrite).during("create", beside)?;
    // A crash may have left a longer one.
    if file.size().during("stat", beside)? > 0 {
        file.set_len(0).during("truncate", beside)?;
    }
    file.write_at(0, &mut [IoSlice::new(&header), IoSlice::new(content)]).during("write", beside)?;
    file.sync_data(SyncSite::Snapshot).during("fsync", beside)?;
    files.rename(beside, path).during("rename", path)?;
    if let Some(dir) = path.parent() {
        files.sync_dir(dir, SyncSite::SnapshotDir).during("fsync", dir)?;
    }
    Ok(())
}

/// What was written last; `None` if nothing was. `Corrupt` when the checksum does not hold.
pub fn read(files: &dyn Files, path: &Path) -> Result<Option<Vec<u8>>, StorageError> {
    let file = match files.open(path, OpenMode::Read) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(StorageError::io("open", path, &error)),
    };
    let size = file.size().during("stat", path)?;
    let size = usize::try_from(size).ok().filter(|size| *size <= HEADER_LEN + MAX_LEN);
    let damaged = |what: &'static str| StorageError::corrupt(path, 0, what);
    let mut bytes = vec![0; size.ok_or_else(|| damaged("it is too large"))?];
    let n = file.read_at(0, &mut bytes).during("read", path)?;
    let (header, content) = bytes
        .get(..n)
        .and_then(|b| b.split_first_chunk::<HEADER_LEN>())
        .ok_or_else(|| damaged("it is cut short"))?;
    let [m0, m1, m2, m3, l0, l1, l2, l3, c0, c1, c2, c3] = *header;
    if [m0, m1, m2, m3] != MAGIC {
        return Err(damaged("it is not one of Tollgate's snapshots"));
    }
    if u32::from_be_bytes([l0, l1, l2, l3]) as usize != content.len() {
        return Err(damaged("its length is not what it says"));
    }
    if u32::from_be_bytes([c0, c1, c2, c3]) != crc32c::crc32c(content) {
        return Err(damaged("its checksum does not hold"));
    }
    bytes.drain(..HEADER_LEN);
    Ok(Some(bytes))
}

/// Removes it. Not made durable: after a crash it may be there again.
pub fn remove(files: &dyn Files, path: &Path) -> Result<(), StorageError> {
    match files.remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(StorageError::io("remove", path, &error))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::storage::files::{Crash, SimFault, SimFiles};

    /// Without its checkpoint a log would begin anew with what it finds.
    #[test]
    fn one_that_cannot_be_opened_is_not_taken_for_none() {
        let files = SimFiles::new();
        let path = Path::new("/snapshot");
        write(&files, path, b"content").unwrap();
        files.inject("/snapshot", SimFault::OpenError);
        assert!(matches!(read(&files, path), Err(StorageError::Io { .. })));
    }

    #[test]
    fn every_crash_leaves_the_old_or_the_new() {
        let files = SimFiles::new();
        let path = Path::new("/snapshot");
        assert!(read(&files, path).unwrap().is_none());
        write(&files, path, &[1; 3000]).unwrap();
        let found = Arc::new(Mutex::new([0; 2]));
        let counts = Arc::clone(&found);
        files.observe(move |at| {
            for seed in 0..20 {
                let fork = at.fork();
                fork.crash(Crash::Power { seed });
                match read(&fork, path).unwrap().unwrap().as_slice() {
                    old if old == [1; 3000] => counts.lock().unwrap()[0] += 1,
                    new if new == [2; 2000] => counts.lock().unwrap()[1] += 1,
                    _ => panic!("neither the old nor the new"),
                }
            }
        });
        write(&files, path, &[2; 2000]).unwrap();
        assert!(found.lock().unwrap().iter().all(|n| *n > 0));
        files.crash(Crash::Power { seed: 0 });
        assert_eq!(read(&files, path).unwrap().unwrap(), [2; 2000]);
    }

    #[test]
    fn what_cannot_be_removed_is_an_error_and_what_is_not_there_is_none() {
        let files = SimFiles::new();
        let path = Path::new("/snapshot");
        write(&files, path, b"content").unwrap();
        remove(&files, path).unwrap();
        assert!(read(&files, path).unwrap().is_none());
        remove(&files, path).unwrap();
        files.create_dir(path).unwrap();
        assert!(matches!(remove(&files, path), Err(StorageError::Io { operation: "remove", .. })));
    }

    #[test]
    fn damage_is_seen() {
        let files = SimFiles::new();
        let path = Path::new("/snapshot");
        write(&files, path, b"content").unwrap();
        for position in 0..(HEADER_LEN + 7) as u64 {
            let fork = files.fork();
            fork.damage(path, position, &[0xee]).unwrap();
            assert!(matches!(read(&fork, path), Err(StorageError::Corrupt { .. })), "byte {position}");
        }
        let longer = files.fork();
        longer.damage(path, (HEADER_LEN + 7) as u64, &[0]).unwrap();
        assert!(read(&longer, path).is_err());
    }

    #[test]
    fn a_longer_left_over_does_no_harm() {
        let files = SimFiles::new();
        let left_over = files.open(Path::new("/snapshot.tmp"), OpenMode::CreateOrWrite).unwrap();
        left_over.write_at(0, &mut [IoSlice::new(&[9; 500])]).unwrap();
        write(&files, Path::new("/snapshot"), b"short").unwrap();
        assert_eq!(read(&files, Path::new("/snapshot")).unwrap().unwrap(), b"short");
    }
}
