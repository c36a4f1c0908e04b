//! A file that is written at its end and never grows without bound: full, it is set aside as `<name>.1`, the one before as
//! `<name>.2`, and the oldest goes.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

/// How far a file may grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Size at which it is set aside.
    pub bytes: u64,
    /// Files there may be, with the one that is written: at least 2.
    pub files: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { bytes: 64 << 20, files: 10 }
    }
}

/// More files are not looked for.
const MOST_FILES: usize = 10_000;

/// Lines stay in one file.
#[derive(Debug)]
pub struct RotatingFile {
    path: PathBuf,
    file: File,
    bytes: u64,
    bounds: Bounds,
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
    /// Opens the file, or makes it, readable for its owner only. What there is beyond the bounds, from a time when they were
    /// wider, goes.
    pub fn open(path: &Path, bounds: Bounds) -> io::Result<(Self, Closed)> {
        let mut file = append_to(path)?;
        let mut bytes = file.metadata()?.len();
        if bytes > 0 && !ends_with_a_line(path)? {
            // a process that was killed, or a machine: what comes next is a line of its own
            file.write_all(b"\n")?;
            bytes += 1;
        }
        let (open, closed) = sync_channel(0);
        let made = Self { path: path.to_owned(), file, bytes, bounds, _open: open };
        for number in made.kept() + 1..=MOST_FILES {
            match fs::remove_file(made.aside(number)) {
                Err(e) if e.kind() == io::ErrorKind::NotFound => break,
                result => result?,
            }
        }
        Ok((made, Closed(closed)))
    }

    /// Files set aside before the oldest goes.
    fn kept(&self) -> usize {
        self.bounds.files.saturating_sub(1).clamp(1, MOST_FILES)
    }

    fn aside(&self, number: usize) -> PathBuf {
        let mut name = OsString::from(self.path.as_os_str());
        name.push(format!(".{number}"));
        name.into()
    }

    fn rotate(&mut self) -> io::Result<()> {
        // The new file first: where none can be made, the lines go on into the full one.
        let mut next = OsString::from(self.path.as_os_str());
        next.push(".next");
        let next = PathBuf::from(next);
        let file = append_to(&next)?;
        file.set_len(0)?;
        // Up to the first number that is free: a rotation that ended half way has left one, and another must not push out more.
        let free = (1..self.kept()).find(|number| !self.aside(*number).exists()).unwrap_or(self.kept());
        for number in (1..free).rev() {
            fs::rename(self.aside(number), self.aside(number + 1))?;
        }
        match fs::rename(&self.path, self.aside(1)) {
            // somebody took it away
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            result => result?,
        }
        fs::rename(&next, &self.path)?;
        (self.file, self.bytes) = (file, 0);
        Ok(())
    }
}

impl Write for RotatingFile {
    /// Takes as many lines as there is room for: a line is never torn apart, and one that is longer than a file has one alone.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut fitting = lines_in(bytes, self.bounds.bytes.saturating_sub(self.bytes));
        if fitting == 0 && self.bytes > 0 {
            match self.rotate() {
                Ok(()) => fitting = lines_in(bytes, self.bounds.bytes),
                Err(error) => {
                    // A file too long is better than lines lost.
                    tracing::warn!(%error, file = %self.path.display(), "a full file cannot be set aside");
                    fitting = bytes.len();
                }
            }
        }
        if fitting == 0 {
            fitting = bytes.iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |at| at + 1);
        }
        let bytes = bytes.get(..fitting).unwrap_or(bytes);
        if let Err(error) = self.file.write_all(bytes) {
            // No half of a line stays, to which the next would be joined.
            self.file.set_len(self.bytes)?;
            return Err(error);
        }
        self.bytes = self.bytes.saturating_add(bytes.len() as u64);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// How many of the bytes are whole lines that fit into so much room; all, if there is room for all.
fn lines_in(bytes: &[u8], room: u64) -> usize {
    match usize::try_from(room).ok().and_then(|room| bytes.get(..room)) {
        Some(fitting) if fitting.len() < bytes.len() => {
            fitting.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1)
        }
        _ => bytes.len(),
    }
}

/// Whether the file's last byte ends a line.
fn ends_with_a_line(path: &Path) -> io::Result<bool> {
    let mut file = File::open(path)?;
    file.seek(SeekFrom::End(-1))?;
    let mut last = [0];
    file.read_exact(&mut last)?;
    Ok(last == *b"\n")
}

fn append_to(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).mode(0o600).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_ten_bytes(files: usize) -> Bounds {
        Bounds { bytes: 10, files }
    }

    #[test]
    fn the_newest_lines_are_kept_in_a_bounded_number_of_files() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lines");
        let (mut file, _closed) = RotatingFile::open(&path, of_ten_bytes(10)).unwrap();
        for n in 0..100 {
            // Two lines fill a file; no line is split.
            writeln!(file, "{n:04}").unwrap();
        }
        let read = |name: String| fs::read_to_string(dir.path().join(name)).unwrap();
        assert_eq!(read("lines".into()), "0098\n0099\n");
        assert_eq!(read("lines.1".into()), "0096\n0097\n");
        assert_eq!(read("lines.9".into()), "0080\n0081\n");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 10);
    }

    #[test]
    fn what_was_there_counts_and_stays() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lines");
        fs::write(&path, "before\n").unwrap();
        let (mut file, _closed) = RotatingFile::open(&path, of_ten_bytes(10)).unwrap();
        file.write_all(b"after\n").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "after\n");
        assert_eq!(fs::read_to_string(dir.path().join("lines.1")).unwrap(), "before\n");
    }

    #[test]
    fn a_write_larger_than_a_file_goes_into_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lines");
        let (mut file, _closed) = RotatingFile::open(&path, of_ten_bytes(10)).unwrap();
        file.write_all(&[b'x'; 50]).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().len(), 50);
        assert!(!dir.path().join("lines.1").exists());
    }

    #[test]
    fn many_lines_at_once_go_into_as_many_files_as_they_need() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lines");
        let (mut file, _closed) = RotatingFile::open(&path, of_ten_bytes(10)).unwrap();
        file.write_all(b"1\n").unwrap();
        file.write_all(b"22\n333\n4444\na line that is too long\n5\n").unwrap();
        let read = |name: &str| fs::read_to_string(dir.path().join(name)).unwrap();
        let files = ["lines.3", "lines.2", "lines.1", "lines"].map(read);
        assert_eq!(files, ["1\n22\n333\n", "4444\n", "a line that is too long\n", "5\n"]);
    }

    #[test]
    fn fewer_files_are_kept_when_fewer_are_wanted() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lines");
        for files in [10, 3, 2] {
            let (mut file, _closed) = RotatingFile::open(&path, of_ten_bytes(files)).unwrap();
            (0..100).for_each(|n| writeln!(file, "{n:04}").unwrap());
            assert_eq!(fs::read_dir(dir.path()).unwrap().count(), files);
        }
    }

    #[test]
    fn a_rotation_that_fails_half_way_loses_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lines");
        let (mut file, _closed) = RotatingFile::open(&path, of_ten_bytes(4)).unwrap();
        (0..8).for_each(|n| writeln!(file, "{n:04}").unwrap());
        // a folder in the way: nothing can be renamed over it, and no new file made in its place
        let next = dir.path().join("lines.next");
        fs::create_dir(&next).unwrap();
        (8..20).for_each(|n| writeln!(file, "{n:04}").unwrap());
        let lines = |names: &[&str]| -> Vec<String> {
            let texts = names.iter().map(|name| fs::read_to_string(dir.path().join(name)).unwrap());
            texts.collect::<String>().lines().map(str::to_owned).collect()
        };
        let all = |n: usize| (0..n).map(|n| format!("{n:04}")).collect::<Vec<_>>();
        assert_eq!(lines(&["lines.3", "lines.2", "lines.1", "lines"]), all(20));
        // and when a file is missing in the row, only those before it move up
        fs::remove_dir(&next).unwrap();
        fs::rename(dir.path().join("lines.2"), dir.path().join("kept")).unwrap();
        writeln!(file, "0020").unwrap();
        assert_eq!(lines(&["lines.3", "kept", "lines.2", "lines.1", "lines"]), all(21));
        // somebody takes the file away: a new one is made
        fs::rename(&path, dir.path().join("taken")).unwrap();
        (21..24).for_each(|n| writeln!(file, "{n:04}").unwrap());
        assert_eq!(lines(&["taken", "lines"]), ["0020", "0021", "0022", "0023"]);
    }

    #[test]
    fn a_line_that_was_cut_short_is_not_joined_to_the_next() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lines");
        fs::write(&path, "whole\ncut").unwrap();
        let (mut file, _closed) = RotatingFile::open(&path, Bounds::default()).unwrap();
        file.write_all(b"next\n").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "whole\ncut\nnext\n");
    }

    #[test]
    fn its_end_is_learnt() {
        let dir = tempfile::tempdir().unwrap();
        let (file, closed) = RotatingFile::open(&dir.path().join("lines"), Bounds::default()).unwrap();
        assert!(!closed.wait(Duration::ZERO));
        drop(file);
        assert!(closed.wait(Duration::from_secs(60)));
    }
}
