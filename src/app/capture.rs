//! The file that a server records what passes in.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::config::CaptureFile;
use super::failure::Failure;
use crate::policy::capture::{Capture, Ended};

/// Names that are tried after the one that was asked for: a server that is started again, by whoever watches over it, records too.
const MORE: u32 = 9;

/// Makes it, readable for its owner only: it holds payloads. One that is there is never written over: the next free name is taken,
/// `FILE.1` to `FILE.9`.
pub fn open(setting: &CaptureFile) -> Result<(Arc<Capture>, Ended), Failure> {
    let (path, file) = make(&setting.path).map_err(|error| {
        let asked = setting.path.display();
        match error.kind() {
            io::ErrorKind::AlreadyExists => Failure::cannot(format!(
                "{asked} is there already, and so are {asked}.1 to {asked}.{MORE}; a capture is never written over"
            )),
            _ => Failure::cannot(format!("{asked} cannot be written: {error}")),
        }
    })?;
    let (capture, ended) = Capture::to(file, setting.most)
        .map_err(|error| Failure::cannot(format!("{} cannot be written: {error}", path.display())))?;
    tracing::warn!(file = %path.display(), most = setting.most, "what passes is recorded, payloads included");
    Ok((Arc::new(capture), ended))
}

fn make(asked: &Path) -> io::Result<(PathBuf, File)> {
    let mut path = asked.to_owned();
    let mut next = 1;
    loop {
        match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && next <= MORE => {
                let mut name = asked.as_os_str().to_owned();
                name.push(format!(".{next}"));
                (path, next) = (name.into(), next + 1);
            }
            made => return made.map(|file| (path, file)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_there_is_kept_and_the_next_free_name_taken() {
        let dir = tempfile::tempdir().unwrap();
        let asked = dir.path().join("all.capture");
        std::fs::write(&asked, "kept").unwrap();
        std::fs::write(dir.path().join("all.capture.1"), "kept").unwrap();
        assert_eq!(make(&asked).unwrap().0, dir.path().join("all.capture.2"));
        for _ in 3..=MORE {
            make(&asked).unwrap();
        }
        let setting = CaptureFile { path: asked.clone(), most: 4096 };
        let said = open(&setting).err().unwrap().to_string();
        assert!(said.contains("all.capture.9; a capture is never written over"), "{said}");
        assert_eq!(std::fs::read_to_string(&asked).unwrap(), "kept");
    }
}
