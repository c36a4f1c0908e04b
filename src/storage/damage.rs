//! What stands in a segment behind the last batch that is whole: the beginning of an append that a crash cut short, or
//! records that the disk has damaged. The first is dropped; the second is never thrown away.

use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};

use super::StorageError;
use super::committer::CHECKPOINT;
use super::error::IoContext;
use super::files::{FileHandle, Files, OpenMode, SyncSite};
use super::scan::{CRC_WINDOW, Disk, Search, Window, find_whole};
use crate::wire::record::{BATCH_OVERHEAD, BatchHeader};

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
        let mut header = [0; BATCH_OVERHEAD];
        let start = self.start(handle, &mut header).during("read", path)?;
        let behind = self.find_behind(handle, start).during("read", path)?;
        let unfinished =
            behind == Search::Nothing && self.is_unfinished(handle, start).during("read", path)?;
        let bytes = size - position;
        if unfinished {
            tracing::warn!(segment = %path.display(), bytes, "an append was not finished and is dropped: {what}");
        } else if ran_on {
            let follows = match behind {
                Search::Found(at, header) => {
                    format!("and the batch of offset {} at byte {at} is whole", header.base_offset)
                }
                Search::Nothing | Search::GaveUp => "and no crash of the process explains it".to_owned(),
            };
            let what = format!(
                "{what}, {follows}; nothing was changed. Put the file back from a copy, or give up offset \
                 {next_offset}, what follows in this file and all later segments of this partition: \
                 truncate -s {position} {}",
                path.display()
            );
            return Err(StorageError::corrupt(path, position, what));
        } else if let Some(kept) = self.keep(files, handle)? {
            let first_whole = match behind {
                Search::Found(_, header) => Some(header.base_offset),
                Search::Nothing | Search::GaveUp => None,
            };
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

    /// The header of a batch that is due here and goes on behind the end of the file, if there is a whole one.
    fn unfinished_head(&self, start: &[u8]) -> Option<BatchHeader> {
        let header = BatchHeader::parse(start).ok()?;
        let cut_short = header.size() as u64 > self.size - self.position;
        (cut_short && header.base_offset == self.next_offset).then_some(header)
    }

    /// Whether this is the beginning of the next batch, the end of the file being where it is not complete.
    fn is_unfinished(&self, handle: &dyn FileHandle, start: &[u8]) -> io::Result<bool> {
        if start.len() >= BATCH_OVERHEAD {
            // One whose length was damaged looks unfinished and is whole.
            let Some(header) = self.unfinished_head(start) else { return Ok(false) };
            let mut window = Window::new(handle, Disk::MayBlock, self.size, CRC_WINDOW);
            return Ok(!window.crc_holds_up_to(self.position, self.size, &header)?);
        }
        // As far as it goes: the offset that is due, then magic 2.
        let due = self.next_offset.to_be_bytes();
        let is_due = start.iter().zip(due).all(|(found, due)| *found == due);
        Ok(is_due && start.get(16).is_none_or(|magic| *magic == 2))
    }

    /// The first bytes, up to a header.
    fn start<'b>(
        &self,
        handle: &dyn FileHandle,
        header: &'b mut [u8; BATCH_OVERHEAD],
    ) -> io::Result<&'b [u8]> {
        let len = header.len().min(usize::try_from(self.size - self.position).unwrap_or(usize::MAX));
        let start = header.get_mut(..len).unwrap_or_default();
        let n = handle.read_at(self.position, start)?;
        Ok(start.get(..n).unwrap_or_default())
    }

    /// Looks for a batch that shows that this is more than an append cut short.
    fn find_behind(&self, handle: &dyn FileHandle, start: &[u8]) -> io::Result<Search> {
        let offsets = match self.unfinished_head(start) {
            // What a producer sent may hold whole batches: only the one that follows is the log's.
            Some(head) => head.next_offset()..=head.next_offset(),
            None => self.next_offset..=self.next_offset.saturating_add(i64::from(i32::MAX)),
        };
        find_whole(handle, self.position, offsets, self.size)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::files::SimFiles;

    #[test]
    fn what_was_kept_earlier_keeps_its_name() {
        let files = SimFiles::new();
        let path = Path::new("/kept");
        for due in ["/kept", "/kept.1", "/kept.2"] {
            let free = free_name(&files, path).unwrap();
            assert_eq!(free, Path::new(due));
            files.open(&free, OpenMode::CreateOrWrite).unwrap();
        }
        // A name that cannot be looked at may be taken.
        assert!(free_name(&files, Path::new("/kept/below")).is_err());
    }
}
