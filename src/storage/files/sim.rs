//! A file system in memory that remembers what was synced and what was not, so that a power loss can be played at
//! any moment and in any way POSIX allows: what was not synced is kept, dropped, torn or kept out of order.
//!
//! (Long because one disk's state and what each operation does to it must be read together to be believed.)

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::io::{self, IoSlice};
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{DirEntry, FileHandle, FileLock, Files, OpenMode, SyncSite};

/// A disk writes sectors whole, nothing larger.
const SECTOR: u64 = 512;
const ROOT: usize = 0;

/// How the machine stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Crash {
    /// The process is killed: the page cache lives on, and is still not synced.
    Process,
    /// The power fails: each unsynced change survives or not, whole or in part, as the seed has it.
    Power { seed: u64 },
}

/// An operation that fails from now on, on paths that contain the text it was injected for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SimFault {
    /// A write puts half of its bytes down, then finds the disk full; nothing can be created.
    NoSpace,
    WriteError,
    /// A sync fails and, as on Linux, what it did not write is forgotten: the next sync succeeds without it.
    SyncError,
    ReadError,
    /// A file that is there cannot be opened.
    OpenError,
}

/// The simulated file system. Clones share it; [`SimFiles::fork`] makes another one.
#[derive(Clone)]
pub struct SimFiles {
    sim: Arc<Mutex<Sim>>,
}

type Observer = Arc<Mutex<dyn FnMut(SimFiles) + Send>>;

#[derive(Clone)]
struct Sim {
    nodes: Vec<Node>,
    /// Handles and locks of an earlier boot are dead.
    boot: u64,
    power_losses: u64,
    operations: u64,
    syncs: HashMap<SyncSite, u64>,
    ignored: HashSet<SyncSite>,
    faults: Vec<(String, SimFault)>,
    locks: HashSet<PathBuf>,
    observer: Option<Observer>,
}

#[derive(Clone)]
enum Node {
    File(FileNode),
    Dir(DirNode),
}

#[derive(Clone, Default)]
struct FileNode {
    durable: Vec<u8>,
    unsynced: Vec<FileChange>,
    /// What a reader sees.
    current: Vec<u8>,
}

#[derive(Clone)]
enum FileChange {
    Write(u64, Arc<[u8]>),
    SetLen(u64),
    /// A failed sync gave these up: visible while the machine runs, never durable.
    GivenUp,
}

#[derive(Clone, Default)]
struct DirNode {
    durable: BTreeMap<String, usize>,
    unsynced: Vec<DirChange>,
    current: BTreeMap<String, usize>,
}

/// One step on names: what each name means after it. A rename within a folder is one step with two names.
#[derive(Clone)]
struct DirChange(Vec<(String, Option<usize>)>);

impl Default for SimFiles {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for SimFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimFiles").field("operations", &self.operations()).finish_non_exhaustive()
    }
}

impl SimFiles {
    /// An empty disk: only `/` is there.
    pub fn new() -> Self {
        Self::of(Sim {
            nodes: vec![Node::Dir(DirNode::default())],
            boot: 0,
            power_losses: 0,
            operations: 0,
            syncs: HashMap::new(),
            ignored: HashSet::new(),
            faults: Vec::new(),
            locks: HashSet::new(),
            observer: None,
        })
    }

    fn of(sim: Sim) -> Self {
        SimFiles { sim: Arc::new(Mutex::new(sim)) }
    }

    fn lock_sim(&self) -> MutexGuard<'_, Sim> {
        self.sim.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes and syncs so far.
    pub fn operations(&self) -> u64 {
        self.lock_sim().operations
    }

    /// How often this site has synced.
    pub fn syncs(&self, site: SyncSite) -> u64 {
        self.lock_sim().syncs.get(&site).copied().unwrap_or(0)
    }

    /// From now on syncs of this site say they worked and do nothing.
    pub fn ignore_syncs(&self, site: SyncSite) {
        self.lock_sim().ignored.insert(site);
    }

    /// From now on this operation fails on every path that contains `path_part`.
    pub fn inject(&self, path_part: &str, fault: SimFault) {
        self.lock_sim().faults.push((path_part.to_owned(), fault));
    }

    /// Ends all injected faults.
    pub fn heal(&self) {
        self.lock_sim().faults.clear();
    }

    /// Calls `observer` after each change and each sync with a copy of the disk as it is at that moment.
    pub fn observe(&self, observer: impl FnMut(SimFiles) + Send + 'static) {
        self.lock_sim().observer = Some(Arc::new(Mutex::new(observer)));
    }

    pub fn stop_observing(&self) {
        self.lock_sim().observer = None;
    }

    /// An independent copy, unsynced changes and all, without observer and injected faults.
    pub fn fork(&self) -> SimFiles {
        let mut copy = self.lock_sim().clone();
        copy.observer = None;
        copy.faults.clear();
        Self::of(copy)
    }

    /// Stops the machine and starts it again. Handles and locks from before are dead.
    pub fn crash(&self, crash: Crash) {
        let mut sim = self.lock_sim();
        sim.boot += 1;
        sim.locks.clear();
        if let Crash::Power { seed } = crash {
            sim.power_losses += 1;
            let mut draws = Draws(seed);
            // Some seeds are the plain cases, the rest mix per change.
            let fate = match draws.below(6) {
                0 => Fate::Drop,
                1 => Fate::Keep,
                _ => Fate::Mixed,
            };
            for node in &mut sim.nodes {
                match node {
                    Node::File(file) => file.lose_power(fate, &mut draws),
                    Node::Dir(dir) => dir.lose_power(fate, &mut draws),
                }
            }
        }
    }

    /// Overwrites bytes of a file behind everybody's back: a damaged disk.
    pub fn damage(&self, path: &Path, position: u64, bytes: &[u8]) -> io::Result<()> {
        let mut sim = self.lock_sim();
        let inode = sim.resolve(path)?;
        let file = sim.file_mut(inode)?;
        apply(&mut file.durable, &FileChange::Write(position, bytes.into()));
        apply(&mut file.current, &FileChange::Write(position, bytes.into()));
        Ok(())
    }

    /// Counts a change and shows it to the observer.
    fn changed(&self, mut sim: MutexGuard<'_, Sim>) {
        sim.operations += 1;
        let observer = sim.observer.clone();
        drop(sim);
        if let Some(observer) = observer {
            let mut observer = observer.lock().unwrap_or_else(PoisonError::into_inner);
            observer(self.fork());
        }
    }
}

impl Sim {
    fn resolve(&self, path: &Path) -> io::Result<usize> {
        let mut at = ROOT;
        for component in path.components() {
            if let Component::Normal(name) = component {
                let name = name.to_str().ok_or(io::ErrorKind::InvalidInput)?;
                at = *self.dir(at)?.current.get(name).ok_or(io::ErrorKind::NotFound)?;
            }
        }
        Ok(at)
    }

    fn parent(&self, path: &Path) -> io::Result<(usize, String)> {
        let name = path.file_name().and_then(|n| n.to_str()).ok_or(io::ErrorKind::InvalidInput)?;
        Ok((self.resolve(path.parent().unwrap_or(Path::new("/")))?, name.to_owned()))
    }

    fn dir(&self, inode: usize) -> io::Result<&DirNode> {
        match self.nodes.get(inode) {
            Some(Node::Dir(dir)) => Ok(dir),
            _ => Err(io::ErrorKind::NotADirectory.into()),
        }
    }

    fn dir_mut(&mut self, inode: usize) -> io::Result<&mut DirNode> {
        match self.nodes.get_mut(inode) {
            Some(Node::Dir(dir)) => Ok(dir),
            _ => Err(io::ErrorKind::NotADirectory.into()),
        }
    }

    fn file(&self, inode: usize) -> io::Result<&FileNode> {
        match self.nodes.get(inode) {
            Some(Node::File(file)) => Ok(file),
            _ => Err(io::ErrorKind::IsADirectory.into()),
        }
    }

    fn file_mut(&mut self, inode: usize) -> io::Result<&mut FileNode> {
        match self.nodes.get_mut(inode) {
            Some(Node::File(file)) => Ok(file),
            _ => Err(io::ErrorKind::IsADirectory.into()),
        }
    }

    fn add(&mut self, node: Node, path: &Path) -> io::Result<usize> {
        let (parent, name) = self.parent(path)?;
        let inode = self.nodes.len();
        self.dir_mut(parent)?.change(DirChange(vec![(name, Some(inode))]));
        self.nodes.push(node);
        Ok(inode)
    }

    fn fails(&self, path: &Path, fault: SimFault) -> bool {
        let text = path.to_string_lossy();
        self.faults.iter().any(|(part, injected)| *injected == fault && text.contains(part.as_str()))
    }

    /// True when this sync shall be skipped.
    fn count_sync(&mut self, site: SyncSite) -> bool {
        *self.syncs.entry(site).or_default() += 1;
        self.ignored.contains(&site)
    }
}

impl FileNode {
    fn change(&mut self, change: FileChange) {
        apply(&mut self.current, &change);
        self.unsynced.push(change);
    }

    fn sync(&mut self) {
        for change in self.unsynced.drain(..) {
            apply(&mut self.durable, &change);
        }
    }

    fn lose_power(&mut self, fate: Fate, draws: &mut Draws) {
        for change in std::mem::take(&mut self.unsynced) {
            fate.apply_to_file(&mut self.durable, change, draws);
        }
        self.current.clone_from(&self.durable);
    }
}

impl DirNode {
    fn change(&mut self, change: DirChange) {
        change.apply(&mut self.current);
        self.unsynced.push(change);
    }

    fn sync(&mut self) {
        for change in self.unsynced.drain(..) {
            change.apply(&mut self.durable);
        }
    }

    fn lose_power(&mut self, fate: Fate, draws: &mut Draws) {
        for change in std::mem::take(&mut self.unsynced) {
            if fate.keeps(draws) {
                change.apply(&mut self.durable);
            }
        }
        self.current.clone_from(&self.durable);
    }
}

impl DirChange {
    fn apply(&self, names: &mut BTreeMap<String, usize>) {
        for (name, inode) in &self.0 {
            match inode {
                Some(inode) => names.insert(name.clone(), *inode),
                None => names.remove(name),
            };
        }
    }
}

fn apply(content: &mut Vec<u8>, change: &FileChange) {
    match change {
        FileChange::Write(position, bytes) => {
            let start = *position as usize;
            let end = start + bytes.len();
            if content.len() < end {
                content.resize(end, 0);
            }
            content[start..end].copy_from_slice(bytes);
        }
        FileChange::SetLen(len) => content.resize(*len as usize, 0),
        FileChange::GivenUp => {}
    }
}

#[derive(Clone, Copy)]
enum Fate {
    Drop,
    Keep,
    Mixed,
}

impl Fate {
    fn keeps(self, draws: &mut Draws) -> bool {
        match self {
            Fate::Drop => false,
            Fate::Keep => true,
            Fate::Mixed => draws.below(2) == 0,
        }
    }

    fn apply_to_file(self, durable: &mut Vec<u8>, change: FileChange, draws: &mut Draws) {
        let (position, bytes) = match (self, &change) {
            (Fate::Drop, _) => return,
            (Fate::Keep, _) => return apply(durable, &change),
            (Fate::Mixed, FileChange::Write(position, bytes)) => (*position, bytes),
            (Fate::Mixed, _) => {
                if draws.below(2) == 0 {
                    apply(durable, &change);
                }
                return;
            }
        };
        // The write sector by sector.
        let first = (SECTOR - position % SECTOR).min(bytes.len() as u64) as usize;
        let (head, rest) = bytes.split_at(first);
        let sectors = std::iter::once(head).chain(rest.chunks(SECTOR as usize));
        let whole = durable.len().max(position as usize + bytes.len());
        let (keep, sparse) = match draws.below(5) {
            0 | 1 => (u64::MAX, false),
            2 => (0, false),
            // A prefix.
            3 => (draws.below(1 + rest.len() as u64 / SECTOR + 1), false),
            // Any of them; the length got there in any case.
            _ => (u64::MAX, true),
        };
        let mut at = position;
        for sector in sectors.take(usize::try_from(keep).unwrap_or(usize::MAX)) {
            if !sparse || draws.below(2) == 0 {
                apply(durable, &FileChange::Write(at, sector.into()));
            }
            at += sector.len() as u64;
        }
        if sparse {
            durable.resize(whole, 0);
        }
    }
}

/// SplitMix64: enough to choose what survives.
struct Draws(u64);

impl Draws {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound.max(1)
    }
}

fn injected_error() -> io::Error {
    io::Error::other("injected input/output error")
}

impl Files for SimFiles {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn FileHandle>> {
        let mut sim = self.lock_sim();
        let boot = sim.boot;
        let handle = |inode| SimHandle {
            files: self.clone(),
            inode,
            boot,
            path: path.to_owned(),
            writable: mode != OpenMode::Read,
        };
        match (sim.resolve(path), mode) {
            (Ok(inode), _) => {
                if sim.fails(path, SimFault::OpenError) {
                    return Err(io::ErrorKind::PermissionDenied.into());
                }
                sim.file(inode)?;
                Ok(Arc::new(handle(inode)))
            }
            (Err(error), OpenMode::CreateOrWrite) if error.kind() == io::ErrorKind::NotFound => {
                if sim.fails(path, SimFault::NoSpace) {
                    return Err(io::ErrorKind::StorageFull.into());
                }
                let inode = sim.add(Node::File(FileNode::default()), path)?;
                self.changed(sim);
                Ok(Arc::new(handle(inode)))
            }
            (Err(error), _) => Err(error),
        }
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        let mut sim = self.lock_sim();
        if sim.resolve(path).is_ok() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        if sim.fails(path, SimFault::NoSpace) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        sim.add(Node::Dir(DirNode::default()), path)?;
        self.changed(sim);
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut sim = self.lock_sim();
        let inode = sim.resolve(from)?;
        let (from_dir, from_name) = sim.parent(from)?;
        let (to_dir, to_name) = sim.parent(to)?;
        if from_dir != to_dir {
            return Err(io::Error::other("storage renames within a folder only"));
        }
        sim.dir_mut(from_dir)?.change(DirChange(vec![(from_name, None), (to_name, Some(inode))]));
        self.changed(sim);
        Ok(())
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        let mut sim = self.lock_sim();
        let inode = sim.resolve(path)?;
        sim.file(inode)?;
        let (dir, name) = sim.parent(path)?;
        sim.dir_mut(dir)?.change(DirChange(vec![(name, None)]));
        self.changed(sim);
        Ok(())
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        let mut sim = self.lock_sim();
        let inode = sim.resolve(path)?;
        if !sim.dir(inode)?.current.is_empty() {
            return Err(io::ErrorKind::DirectoryNotEmpty.into());
        }
        let (dir, name) = sim.parent(path)?;
        sim.dir_mut(dir)?.change(DirChange(vec![(name, None)]));
        self.changed(sim);
        Ok(())
    }

    fn size(&self, path: &Path) -> io::Result<u64> {
        let sim = self.lock_sim();
        Ok(sim.file(sim.resolve(path)?)?.current.len() as u64)
    }

    fn list(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        let sim = self.lock_sim();
        let dir = sim.dir(sim.resolve(path)?)?;
        let entry = |(name, inode): (&String, &usize)| DirEntry {
            name: name.clone(),
            is_dir: matches!(sim.nodes.get(*inode), Some(Node::Dir(_))),
        };
        Ok(dir.current.iter().map(entry).collect())
    }

    fn sync_dir(&self, path: &Path, site: SyncSite) -> io::Result<()> {
        let mut sim = self.lock_sim();
        let inode = sim.resolve(path)?;
        if sim.fails(path, SimFault::SyncError) {
            return Err(injected_error());
        }
        if !sim.count_sync(site) {
            sim.dir_mut(inode)?.sync();
        }
        self.changed(sim);
        Ok(())
    }

    fn sync_all(&self, dir: &Path, site: SyncSite) -> io::Result<()> {
        let mut sim = self.lock_sim();
        sim.dir(sim.resolve(dir)?)?;
        if sim.fails(dir, SimFault::SyncError) {
            return Err(injected_error());
        }
        if !sim.count_sync(site) {
            for node in &mut sim.nodes {
                match node {
                    Node::File(file) => file.sync(),
                    Node::Dir(dir) => dir.sync(),
                }
            }
        }
        self.changed(sim);
        Ok(())
    }

    fn boot_id(&self) -> Option<String> {
        Some(format!("boot-{}", self.lock_sim().power_losses))
    }

    fn lock(&self, path: &Path) -> io::Result<Option<FileLock>> {
        let mut sim = self.lock_sim();
        if !sim.locks.insert(path.to_owned()) {
            return Ok(None);
        }
        let boot = sim.boot;
        Ok(Some(Box::new(SimLock { files: self.clone(), path: path.to_owned(), boot })))
    }
}

struct SimLock {
    files: SimFiles,
    path: PathBuf,
    boot: u64,
}

impl Drop for SimLock {
    fn drop(&mut self) {
        let mut sim = self.files.lock_sim();
        if sim.boot == self.boot {
            sim.locks.remove(&self.path);
        }
    }
}

struct SimHandle {
    files: SimFiles,
    inode: usize,
    boot: u64,
    path: PathBuf,
    writable: bool,
}

impl fmt::Debug for SimHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SimHandle({})", self.path.display())
    }
}

impl SimHandle {
    fn sim(&self) -> io::Result<MutexGuard<'_, Sim>> {
        let sim = self.files.lock_sim();
        if sim.boot == self.boot { Ok(sim) } else { Err(io::Error::other("handle from before the crash")) }
    }

    fn writable_sim(&self) -> io::Result<MutexGuard<'_, Sim>> {
        if self.writable { self.sim() } else { Err(io::ErrorKind::PermissionDenied.into()) }
    }
}

impl FileHandle for SimHandle {
    fn read_at(&self, position: u64, buf: &mut [u8]) -> io::Result<usize> {
        let sim = self.sim()?;
        if sim.fails(&self.path, SimFault::ReadError) {
            return Err(injected_error());
        }
        let content = sim.file(self.inode)?.current.get(position as usize..).unwrap_or_default();
        let n = content.len().min(buf.len());
        buf[..n].copy_from_slice(&content[..n]);
        Ok(n)
    }

    fn try_read_at(&self, position: u64, buf: &mut [u8]) -> io::Result<usize> {
        self.read_at(position, buf)
    }

    fn write_at(&self, position: u64, pieces: &mut [IoSlice<'_>]) -> io::Result<()> {
        let mut sim = self.writable_sim()?;
        if sim.fails(&self.path, SimFault::WriteError) {
            return Err(injected_error());
        }
        let mut bytes: Vec<u8> = pieces.iter().flat_map(|piece| piece.iter().copied()).collect();
        let full = sim.fails(&self.path, SimFault::NoSpace);
        if full {
            bytes.truncate(bytes.len() / 2);
        }
        sim.file_mut(self.inode)?.change(FileChange::Write(position, bytes.into()));
        self.files.changed(sim);
        if full { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }

    fn sync_data(&self, site: SyncSite) -> io::Result<()> {
        let mut sim = self.sim()?;
        if sim.fails(&self.path, SimFault::SyncError) {
            sim.file_mut(self.inode)?.unsynced.fill(FileChange::GivenUp);
            return Err(injected_error());
        }
        if !sim.count_sync(site) {
            sim.file_mut(self.inode)?.sync();
        }
        self.files.changed(sim);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut sim = self.writable_sim()?;
        sim.file_mut(self.inode)?.change(FileChange::SetLen(len));
        self.files.changed(sim);
        Ok(())
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.sim()?.file(self.inode)?.current.len() as u64)
    }
}

#[cfg(test)]
mod tests;
