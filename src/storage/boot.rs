//! Whether the machine has run on since the data folder was last used. If it has, the page cache lost nothing, and a
//! log can end in the first part of an append but not have holes: anything else is damage. After a power loss what was
//! not synced may be there in any order.

use std::io::{self, IoSlice};
use std::path::Path;

use super::StorageError;
use super::error::IoContext;
use super::files::{Files, OpenMode};

const FILE: &str = "boot-id";
/// No system's is longer.
const MAX_LEN: usize = 64;

/// True when it certainly has.
pub(super) fn ran_on(files: &dyn Files, dir: &Path) -> bool {
    let Some(now) = files.boot_id() else { return false };
    match read(files, &dir.join(FILE)) {
        Ok(noted) => noted == now.as_bytes(),
        Err(error) => {
            tracing::debug!(%error, "the boot noted last cannot be read: a power loss is assumed");
            false
        }
    }
}

/// Notes the present boot for the next start. Only when nothing is left to recover: what a power loss left would be
/// taken for damage by a start that is told the machine has run on. Needs no sync, as it is of no use after a power loss.
pub(super) fn note(files: &dyn Files, dir: &Path) -> Result<(), StorageError> {
    let Some(now) = files.boot_id() else { return Ok(()) };
    let path = dir.join(FILE);
    let now = now.as_bytes();
    if read(files, &path).during("read", &path)? == now {
        return Ok(());
    }
    let file = files.open(&path, OpenMode::CreateOrWrite).during("open", &path)?;
    file.write_at(0, &mut [IoSlice::new(now)]).during("write", &path)?;
    file.set_len(now.len() as u64).during("truncate", &path)
}

/// Nothing where there is no file.
fn read(files: &dyn Files, path: &Path) -> io::Result<Vec<u8>> {
    let file = match files.open(path, OpenMode::Read) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        opened => opened?,
    };
    let mut noted = vec![0; MAX_LEN];
    let len = file.read_at(0, &mut noted)?;
    noted.truncate(len);
    Ok(noted)
}
