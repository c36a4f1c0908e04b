//! What stands in a segment behind the last batch that is whole: the beginning of an append that a crash cut short, or
//! records that the disk has damaged. The first is dropped; the second is never thrown away.

use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};

use super::StorageError;
use super::committer::CHECKPOINT;
use super::error::IoContext;
use super::files::{FileHandle, Files, OpenMode, SyncSite};
use super::scan::find_whole;
use crate::wire::record::{BATCH_OVERHEAD, BatchHeader, verify_crc};

const PIECE: usize = 256 * 1024;

/// What goes with a checkpoint that somebody removes.
pub(super) const START_FORGOTTEN: &str =
    "a log start that DeleteRecords moved inside the first segment is forgotten with the checkpoint";

/// What a message about damage found by a reader ends with: how to go on. The checkpoint vouches for the segment's size,
/// so it goes too. Later segments do not follow any more then: the next start names them.
pub(super) fn way_out(path: &Path, position: u64, offset: i64) -> String {
    let checkpoint = path.with_file_name(CHECKPOINT);
    format!(
        "put the file back from a copy, or stop and give up offset {offset}, what follows in this file and all later \
         segments of this partition: truncate -s {position} {} && rm {}; {START_FORGOTTEN}",
        path.display(),
        checkpoint.display()
    )
}

/// The bytes of a segment behind its last good batch.
pub(super) struct Tail<'a> {
    pub path: &'a Path,
    pub position: u64,
    pub size: u64,
    /// What should stand there.
    pub next_offset: i64,
}

impl Tail<'_> {
    /// Cuts the tail off where a crash explains it; `ran_on` if that can only have been the death of a process. True
    /// when a copy was kept in a file beside, whose name is not synced yet.
    pub fn cut(
        &self,
        files: &dyn Files,
        handle: &dyn FileHandle,
        what: &str,
        ran_on: bool,
    ) -> Result<bool, StorageError> {
        let Tail { path, position, size, next_offset } = *self;
        let behind = find_whole(handle, position, next_offset, size).during("read", path)?;
        let unfinished = behind.is_none() && self.is_unfinished(handle).during("read", path)?;
        let bytes = size - position;
        if unfinished {
            tracing::warn!(segment = %path.display(), bytes, "an append was not finished and is dropped: {what}");
        } else if ran_on {
            let follows = behind.map_or_else(
                || "and no crash of the process explains it".to_owned(),
                |(at, header)| {
                    format!("and the batch of offset {} at byte {at} is whole", header.base_offset)
                },
            );
            let what = format!(
                "{what}, {follows}; nothing was changed. Put the file back from a copy, or give up offset \
                 {next_offset}, what follows in this file and all later segments of this partition: \
                 truncate -s {position} {}",
                path.display()
            );
            return Err(StorageError::corrupt(path, position, what));
        } else if let Some(kept) = self.keep(files, handle)? {
            let first_whole = behind.map(|(_, header)| header.base_offset);
            tracing::error!(
                segment = %path.display(), bytes, from_offset = next_offset, first_whole, kept = %kept.display(),
                "a power loss left more than an unfinished append: cut off and set aside: {what}"
            );
            handle.set_len(position).during("truncate", path)?;
            return Ok(true);
        }
        handle.set_len(position).during("truncate", path)?;
        Ok(false)
    }

    /// Whether this is the beginning of the next batch, the end of the file being where it is not complete.
    fn is_unfinished(&self, handle: &dyn FileHandle) -> io::Result<bool> {
        let bytes = self.size - self.position;
        let mut header = [0; BATCH_OVERHEAD];
        let len = header.len().min(usize::try_from(bytes).unwrap_or(usize::MAX));
        let start = header.get_mut(..len).unwrap_or_default();
        let n = handle.read_at(self.position, start)?;
        let start = start.get(..n).unwrap_or_default();
        // As far as it goes: the offset that is due, then magic 2.
        let due = self.next_offset.to_be_bytes();
        if !start.iter().zip(due).all(|(found, due)| *found == due) {
            return Ok(false);
        }
        if start.len() < BATCH_OVERHEAD {
            return Ok(start.get(16).is_none_or(|magic| *magic == 2));
        }
        match BatchHeader::parse(start) {
            Ok(header) if header.size() as u64 > bytes => Ok(!self.is_whole_but_for_its_length(handle)?),
            _ => Ok(false),
        }
    }

    /// The length is not under the CRC: one that was damaged makes a whole batch look unfinished.
    fn is_whole_but_for_its_length(&self, handle: &dyn FileHandle) -> io::Result<bool> {
        let bytes = self.size - self.position;
        if bytes > MAX_BATCH {
            return Ok(false);
        }
        let mut batch = vec![0; bytes as usize];
        let n = handle.read_at(self.position, &mut batch)?;
        batch.truncate(n);
        Ok(verify_crc(&batch).is_ok())
    }

    /// Copies the tail into a file beside the segment, unless there is nothing in it.
    fn keep(&self, files: &dyn Files, handle: &dyn FileHandle) -> Result<Option<PathBuf>, StorageError> {
        let to = free_name(files, &self.path.with_extension(format!("log.damaged-{}", self.position)))?;
        let mut copy = None;
        let mut piece = vec![0; PIECE];
        let mut at = self.position;
        while at < self.size {
            let left = usize::try_from(self.size - at).unwrap_or(usize::MAX);
            let len = piece.len().min(left);
            let n = handle.read_at(at, piece.get_mut(..len).unwrap_or_default()).during("read", self.path)?;
            let found = piece.get(..n).unwrap_or_default();
            if found.is_empty() {
                break;
            }
            // The file grew, the data never came.
            if copy.is_none() && found.iter().any(|byte| *byte != 0) {
                copy = Some(files.open(&to, OpenMode::CreateOrWrite).during("create", &to)?);
            }
            if let Some(copy) = &copy {
                let position = at - self.position;
                copy.write_at(position, &mut [IoSlice::new(found)]).during("write", &to)?;
            }
            at += n as u64;
        }
        let Some(copy) = copy else { return Ok(None) };
        copy.sync_data(SyncSite::Recovered).during("fdatasync", &to)?;
        Ok(Some(to))
    }
}

/// The path, or one with a number behind if it is taken: what was kept earlier stays.
pub(super) fn free_name(files: &dyn Files, path: &Path) -> Result<PathBuf, StorageError> {
    let mut free = path.to_owned();
    for n in 1_u32.. {
        match files.size(&free) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => break,
            Err(error) => return Err(StorageError::io("stat", &free, &error)),
            Ok(_) => {
                let mut numbered = path.as_os_str().to_owned();
                numbered.push(format!(".{n}"));
                free = numbered.into();
            }
        }
    }
    Ok(free)
}
