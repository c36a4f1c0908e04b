//! A file that is written at its end and never grows without bound: full, it is set aside as `<name>.1`, the one before as
//! `<name>.2`, and the oldest goes.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

/// Size at which a file is set aside.
pub const FILE_BYTES: u64 = 64 << 20;
/// Files set aside before the oldest goes.
pub const KEPT: usize = 9;

/// Whole writes stay in one file: what is written at once is not torn apart.
#[derive(Debug)]
pub struct RotatingFile {
    path: PathBuf,
    file: File,
    bytes: u64,
    limit: u64,
    /// Tells its [`Closed`] by being dropped.
    _open: SyncSender<()>,
}

/// Learns that a [`RotatingFile`] was dropped, after all that was written to it.
#[derive(Debug)]
pub struct Closed(Receiver<()>);

impl Closed {
    /// Waits for the file's end, at most so long; says whether it came.
    pub fn wait(&self, patience: Duration) -> bool {
        matches!(self.0.recv_timeout(patience), Err(std::sync::mpsc::RecvTimeoutError::Disconnected))
    }
}

impl RotatingFile {
    /// Opens the file, or makes it, readable for its owner only.
    pub fn open(path: &Path) -> io::Result<(Self, Closed)> {
        Self::with_limit(path, FILE_BYTES)
    }

    fn with_limit(path: &Path, limit: u64) -> io::Result<(Self, Closed)> {
        let file = append_to(path)?;
        let bytes = file.metadata()?.len();
        let (open, closed) = sync_channel(0);
        Ok((Self { path: path.to_owned(), file, bytes, limit, _open: open }, Closed(closed)))
    }

    fn aside(&self, number: usize) -> PathBuf {
        let mut name = OsString::from(self.path.as_os_str());
        name.push(format!(".{number}"));
        name.into()
    }

    fn rotate(&mut self) -> io::Result<()> {
        for number in (1..KEPT).rev() {
            match fs::rename(self.aside(number), self.aside(number + 1)) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
                _ => {}
            }
        }
        fs::rename(&self.path, self.aside(1))?;
        self.file = append_to(&self.path)?;
        self.bytes = 0;
        Ok(())
    }
}

impl Write for RotatingFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let full = self.bytes > 0 && self.bytes.saturating_add(bytes.len() as u64) > self.limit;
        if full && let Err(error) = self.rotate() {
            // A file too long is better than lines lost.
            tracing::warn!(%error, file = %self.path.display(), "a full file cannot be set aside");
        }
        self.file.write_all(bytes)?;
        self.bytes = self.bytes.saturating_add(bytes.len() as u64);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

fn append_to(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).mode(0o600).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_lines_are_kept_in_a_bounded_number_of_files() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lines");
        let (mut file, _closed) = RotatingFile::with_limit(&path, 10).unwrap();
        for n in 0..100 {
            // Two lines fill a file; no line is split.
            writeln!(file, "{n:04}").unwrap();
        }
        let read = |name: String| fs::read_to_string(dir.path().join(name)).unwrap();
        assert_eq!(read("lines".into()), "0098\n0099\n");
        assert_eq!(read("lines.1".into()), "0096\n0097\n");
        assert_eq!(read(format!("lines.{KEPT}")), "0080\n0081\n");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), KEPT + 1);
    }

    #[test]
    fn what_was_there_counts_and_stays() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lines");
        fs::write(&path, "before\n").unwrap();
        let (mut file, _closed) = RotatingFile::with_limit(&path, 10).unwrap();
        file.write_all(b"after\n").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "after\n");
        assert_eq!(fs::read_to_string(dir.path().join("lines.1")).unwrap(), "before\n");
    }

    #[test]
    fn a_write_larger_than_a_file_goes_into_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lines");
        let (mut file, _closed) = RotatingFile::with_limit(&path, 10).unwrap();
        file.write_all(&[b'x'; 50]).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().len(), 50);
        assert!(!dir.path().join("lines.1").exists());
    }

    #[test]
    fn its_end_is_learnt() {
        let dir = tempfile::tempdir().unwrap();
        let (file, closed) = RotatingFile::open(&dir.path().join("lines")).unwrap();
        assert!(!closed.wait(Duration::ZERO));
        drop(file);
        assert!(closed.wait(Duration::from_secs(60)));
    }
}
