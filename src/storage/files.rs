//! The only door to the disk. Everything in this room reads, writes and syncs through [`Files`], so that the same
//! code runs on a real file system ([`RealFiles`]) and on a simulated one ([`SimFiles`]) that loses, reorders and
//! tears whatever was not synced when the power goes.
//!
//! The contract is POSIX's, no more: written bytes survive a power loss only after `sync_data` on their file; a
//! created, renamed or removed name only after `sync_dir` on its folder.

mod real;
mod sim;

use std::fmt;
use std::io::{self, IoSlice};
use std::path::Path;
use std::sync::Arc;

pub use real::RealFiles;
pub use sim::{Crash, SimFault, SimFiles};

/// A file system. All paths are those of the data folder the storage was opened on.
pub trait Files: fmt::Debug + Send + Sync {
    /// Opens an existing file, or makes an empty one.
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn FileHandle>>;
    /// Makes one folder; an existing one is an error of kind `AlreadyExists`.
    fn create_dir(&self, path: &Path) -> io::Result<()>;
    /// Renames a file or folder; an existing file of the new name is replaced in one step.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    fn remove_file(&self, path: &Path) -> io::Result<()>;
    /// Removes an empty folder.
    fn remove_dir(&self, path: &Path) -> io::Result<()>;
    /// Length of a file in bytes.
    fn size(&self, path: &Path) -> io::Result<u64>;
    /// What a folder holds, in no order.
    fn list(&self, path: &Path) -> io::Result<Vec<DirEntry>>;
    /// Makes the names in a folder durable: what was created, renamed, removed in it.
    fn sync_dir(&self, path: &Path, site: SyncSite) -> io::Result<()>;
    /// Makes everything durable that was written so far, content and names, at least below `dir`: cheaper than one
    /// sync each where there are very many. `Unsupported` where the system has no such call.
    fn sync_all(&self, dir: &Path, site: SyncSite) -> io::Result<()>;
    /// Another one each time the machine starts; `None` where the system does not tell.
    fn boot_id(&self) -> Option<String> {
        None
    }
    /// Bytes of the volume that holds `path`, and of those that are free to us. `None` where nobody can tell.
    fn space(&self, _path: &Path) -> io::Result<Option<(u64, u64)>> {
        Ok(None)
    }
    /// Takes the lock file at `path`, making it if needed. `None`: somebody else holds it. Dropping frees it.
    fn lock(&self, path: &Path) -> io::Result<Option<FileLock>>;
}

/// An open file. Positions are in bytes from its start; there is no cursor.
pub trait FileHandle: fmt::Debug + Send + Sync {
    /// Reads until `buf` is full or the file ends; says how many bytes were read.
    fn read_at(&self, position: u64, buf: &mut [u8]) -> io::Result<usize>;
    /// Reads what is in memory already, perhaps less than asked. `WouldBlock`: the disk would have to be asked.
    fn try_read_at(&self, position: u64, buf: &mut [u8]) -> io::Result<usize>;
    /// Writes all the pieces, one after the other, from `position` on.
    fn write_at(&self, position: u64, pieces: &mut [IoSlice<'_>]) -> io::Result<()>;
    /// Makes written data (and the length needed to read it) durable. After an error nothing is known about any
    /// byte written since the last success, and calling again proves nothing: never retry.
    fn sync_data(&self, site: SyncSite) -> io::Result<()>;
    fn set_len(&self, len: u64) -> io::Result<()>;
    fn size(&self) -> io::Result<u64>;
    /// For `sendfile`; the simulator has none.
    fn file(&self) -> Option<&std::fs::File> {
        None
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpenMode {
    Read,
    /// An existing file, to read and write.
    Write,
    /// To read and write, made if it is not there. What it held stays.
    CreateOrWrite,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirEntry {
    pub name: String,
    pub is_dir: bool,
}

/// Holds a lock file; freed when dropped.
pub type FileLock = Box<dyn Send + Sync>;

macro_rules! sync_sites {
    ($($(#[doc = $doc:literal])* $site:ident,)*) => {
        /// Every place in the code that asks for durability. The crash tests leave out one after the other and must
        /// find lost data for each: a sync that can go unnoticed is either useless or untested.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum SyncSite { $($(#[doc = $doc])* $site,)* }

        impl SyncSite {
            pub const ALL: &'static [SyncSite] = &[$(SyncSite::$site,)*];
        }
    };
}

sync_sites! {
    /// The data folder and the folders storage makes in it.
    DataDir,
    /// The name of a newly created log.
    LogCreated,
    /// The names of the logs that are there at start: a killed process may not have come to sync them.
    FoundLogs,
    /// The name of a deleted log, gone.
    LogDeleted,
    /// Appended batches, before the high watermark moves (group commit).
    Append,
    /// The name of a new segment, before the high watermark moves into it.
    NewSegment,
    /// Appended batches in the modes that do not sync each commit, at a flush or when the interval ends.
    Flush,
    /// The names of the segments those went to.
    FlushNames,
    /// The same as the two before for very many logs at once, at an interval's end or a clean shutdown.
    FlushAll,
    /// All that is found at start, where there are very many logs: instead of `FoundLogs` and what follows here.
    FoundAll,
    /// Batches found past the recovery point at start, before anybody sees them.
    Recovered,
    /// The names recovery finds in a log's folder, before it relies on them: a checkpoint among them may have been
    /// renamed and not synced.
    FoundNames,
    /// The disappearance of segments that recovery drops, before anybody appends.
    DroppedNames,
    /// The content of a small file, before it takes its name.
    Snapshot,
    /// The name of a small file.
    SnapshotDir,
    /// The disappearance of the clean-shutdown marker, before anything changes that it describes.
    CleanMarkerGone,
    /// The catalogue's pages.
    Catalogue,
    /// The catalogue's name.
    CatalogueDir,
}
