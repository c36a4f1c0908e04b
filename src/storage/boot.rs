//! Whether the machine has run on since the data folder was last used. If it has, the page cache lost nothing, and a
//! log can end in the first part of an append but not have holes: anything else is damage. After a power loss what was
//! not synced may be there in any order.

use std::io::{self, IoSlice};
use std::path::Path;

use super::files::{Files, OpenMode};

const FILE: &str = "boot-id";
/// No system's is longer.
const MAX_LEN: usize = 64;

/// True when it certainly has. Notes the present boot for the next start; that needs no sync, as it is of no use after
/// a power loss.
pub(super) fn ran_on(files: &dyn Files, dir: &Path) -> bool {
    let Some(now) = files.boot_id() else { return false };
    match note(files, &dir.join(FILE), now.as_bytes()) {
        Ok(before) => before == now.as_bytes(),
        Err(error) => {
            tracing::debug!(%error, "the boot cannot be noted: the next start assumes a power loss");
            false
        }
    }
}

/// Gives what was noted before.
fn note(files: &dyn Files, path: &Path, now: &[u8]) -> io::Result<Vec<u8>> {
    let file = match files.open(path, OpenMode::Write) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => files.open(path, OpenMode::CreateOrWrite)?,
        opened => opened?,
    };
    let mut before = vec![0; MAX_LEN];
    let len = file.read_at(0, &mut before)?;
    before.truncate(len);
    if before != now {
        file.write_at(0, &mut [IoSlice::new(now)])?;
        file.set_len(now.len() as u64)?;
    }
    Ok(before)
}
