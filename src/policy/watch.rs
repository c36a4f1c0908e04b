//! Hot reload of a folder of policies. A file that is being replaced is a change only when it is complete, so that no reader meets
//! a moment without the rules: editors rename over, truncate and write in pieces, delete and create again.
//!
//! On Linux the kernel says (inotify) that a file was written to and when its writer closed it; between the two the file is not
//! looked at. What it says is about one folder, whatever name that has: when another takes the name, the watch begins anew, and
//! knows nothing of writers that were at it before. Everywhere a text counts only when two looks in a row found the same, an
//! empty text is an unfinished one, and a file that is gone was removed only if it stays away.

use super::generation::Policies;
use super::load::{self, Script};
use super::schema::SchemaWatch;
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Between two looks at the folder.
pub const POLL: Duration = Duration::from_millis(100);

/// Looks for which a missing file must stay away to be taken for removed.
const GRACE: u32 = 20;

/// Looks in a row that must find the same text where the kernel does not say when a writer is done.
const SETTLED_UNTOLD: u32 = 5;
const SETTLED: u32 = 2;

/// Looks at a folder, again and again, and puts what changed into force.
#[derive(Debug)]
pub struct Watcher {
    folder: PathBuf,
    policies: Arc<Policies>,
    writers: Writers,
    files: BTreeMap<PathBuf, Seen>,
    schemas: SchemaWatch,
    /// The scripts of the last attempt, taken or refused.
    tried: Vec<Script>,
    /// The set that was in force before it: what was refused beside one set may go with another.
    tried_beside: u64,
    /// Why they were refused.
    tried_error: Option<String>,
    /// The folder could not be read at the last look, and that was said.
    unreadable: bool,
}

/// What is known of one file.
#[derive(Debug, Default)]
struct Seen {
    /// The text that is in force, or that was tried.
    settled: Option<Arc<str>>,
    /// A text that was found and has not settled yet, and how often.
    found: Option<(Arc<str>, u32)>,
    missing: u32,
}

impl Watcher {
    /// Watches `folder`, whose scripts as they were loaded are `loaded`.
    pub fn new(folder: PathBuf, policies: Arc<Policies>, loaded: Vec<Script>) -> io::Result<Self> {
        let writers = Writers::of(&folder)?;
        let files = loaded
            .iter()
            .map(|s| (s.file.clone(), Seen { settled: Some(Arc::clone(&s.text)), ..Seen::default() }))
            .collect();
        Ok(Self {
            folder,
            tried_beside: policies.number(),
            policies,
            writers,
            files,
            schemas: SchemaWatch::default(),
            tried: loaded,
            tried_error: None,
            unreadable: false,
        })
    }

    /// Looks every [`POLL`] until `stop` is ready.
    pub async fn run(mut self, stop: impl Future<Output = ()>) {
        tokio::pin!(stop);
        let mut ticks = tokio::time::interval(POLL);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = &mut stop => return,
                _ = ticks.tick() => {}
            }
            // Reading files and compiling scripts blocks.
            match tokio::task::spawn_blocking(move || {
                self.look();
                self
            })
            .await
            {
                Ok(watcher) => self = watcher,
                Err(error) => {
                    tracing::error!(%error, "policies are not watched any more; restart to change them");
                    return;
                }
            }
        }
    }

    /// One look. Puts a complete change into force, or notes why it cannot be.
    pub fn look(&mut self) {
        // Before anything is read: what is read of a folder that is not watched yet is not said to have settled.
        if self.writers.follow(&self.folder) {
            self.files.values_mut().for_each(|seen| seen.found = None);
        }
        let names = match load::list(&self.folder) {
            Ok(names) => names,
            Err(error) => {
                let why = format!("{}: the folder cannot be read: {error}", self.folder.display());
                if !std::mem::replace(&mut self.unreadable, true) {
                    tracing::error!("the rules in force stay: {why}");
                }
                self.policies.set_refused(Some(why));
                return;
            }
        };
        if std::mem::take(&mut self.unreadable) {
            tracing::info!(folder = %self.folder.display(), "the folder of policies can be read again");
        }
        for name in &names {
            self.files.entry(name.clone()).or_default();
        }
        let mut trouble = None;
        for (file, seen) in &mut self.files {
            let needed = if self.writers.told_of(file) { SETTLED } else { SETTLED_UNTOLD };
            let text = match self.writers.complete(file, || load::read_file(file)) {
                None => continue,
                Some(Ok(text)) => text,
                Some(Err(_)) if !file.exists() => {
                    seen.found = None;
                    seen.missing += 1;
                    continue;
                }
                Some(Err(error)) => {
                    trouble = Some(error.to_string());
                    continue;
                }
            };
            seen.missing = 0;
            if text.trim().is_empty() {
                if seen.settled.is_some() {
                    trouble = Some(format!("{}: it is empty; delete it to remove its rules", file.display()));
                }
                seen.found = None;
                continue;
            }
            if seen.settled.as_ref() == Some(&text) {
                seen.found = None;
                continue;
            }
            let times = match &seen.found {
                Some((found, times)) if *found == text => times + 1,
                _ => 1,
            };
            if times >= needed {
                seen.settled = Some(text);
                seen.found = None;
            } else {
                seen.found = Some((text, times));
            }
        }
        self.files.retain(|_, seen| seen.missing < GRACE && (seen.missing == 0 || seen.settled.is_some()));
        let scripts = self.scripts();
        let mut missed = Vec::new();
        let changed = self.schemas.look(&self.policies.shared().schemas, &mut missed);
        let again = self.tried_error.is_some() && self.tried_beside != self.policies.number();
        if scripts != self.tried || again || changed {
            self.take(scripts);
        }
        let reasons: Vec<String> = self.tried_error.iter().cloned().chain(trouble).chain(missed).collect();
        self.policies.set_refused((!reasons.is_empty()).then(|| reasons.join("\n")));
    }

    fn scripts(&self) -> Vec<Script> {
        let settled = self.files.iter().filter_map(|(file, seen)| Some((file, seen.settled.as_ref()?)));
        settled.map(|(file, text)| Script { file: file.clone(), text: Arc::clone(text) }).collect()
    }

    fn take(&mut self, scripts: Vec<Script>) {
        self.tried_beside = self.policies.number();
        match self.policies.load(&scripts) {
            Ok(generation) => {
                self.tried_error = None;
                let names: Vec<&str> = generation.policies.iter().map(|p| p.info.name.as_str()).collect();
                tracing::info!(
                    generation = generation.number,
                    policies = names.join(", "),
                    "policies reloaded"
                );
            }
            Err(errors) => {
                let why = load::join(&errors);
                tracing::error!("policies were not reloaded, the old ones stay in force:\n{why}");
                self.tried_error = Some(why);
            }
        }
        self.tried = scripts;
    }
}

/// Who is writing to which file of a folder, as the kernel tells it.
#[derive(Debug)]
struct Writers {
    #[cfg(target_os = "linux")]
    told: Told,
}

#[cfg(not(target_os = "linux"))]
impl Writers {
    fn of(_: &Path) -> io::Result<Self> {
        Ok(Self {})
    }

    fn follow(&mut self, _: &Path) -> bool {
        false
    }

    fn told_of(&self, _: &Path) -> bool {
        false
    }

    fn complete<T>(&mut self, _: &Path, read: impl FnOnce() -> T) -> Option<T> {
        Some(read())
    }
}

#[cfg(target_os = "linux")]
#[derive(Debug)]
struct Told {
    events: std::os::fd::OwnedFd,
    /// Device and inode of the folder that the watch is on.
    folder: (u64, u64),
    /// Names written to and not closed since.
    open: std::collections::HashSet<std::ffi::OsString>,
    /// Names whose writers were seen to be done. Of others there may be one from before the watch.
    closed: std::collections::HashSet<std::ffi::OsString>,
    /// The kernel's queue overflowed, or the folder is gone: what it said is worth nothing any more.
    lost: bool,
}

#[cfg(target_os = "linux")]
impl Writers {
    fn of(folder: &Path) -> io::Result<Self> {
        use rustix::fs::inotify::{CreateFlags, WatchFlags, add_watch, init};
        // Looked at first: if another folder takes the name before the watch is on, the next look finds that.
        let identity = identity(folder)?;
        let events = init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)?;
        let what = WatchFlags::CREATE
            | WatchFlags::MODIFY
            | WatchFlags::CLOSE_WRITE
            | WatchFlags::MOVED_FROM
            | WatchFlags::MOVED_TO
            | WatchFlags::DELETE;
        add_watch(&events, folder, what)?;
        let told = Told {
            events,
            folder: identity,
            open: Default::default(),
            closed: Default::default(),
            lost: false,
        };
        Ok(Self { told })
    }

    /// Begins anew if the folder's name is another's by now, or the kernel lost count. True when it did.
    fn follow(&mut self, folder: &Path) -> bool {
        self.follow_by(folder, Self::of)
    }

    fn follow_by(&mut self, folder: &Path, of: fn(&Path) -> io::Result<Self>) -> bool {
        self.told.drain(std::ffi::OsStr::new(""));
        let now = identity(folder).ok();
        let (other, lost) = (now != Some(self.told.folder), self.told.lost);
        if !other && !lost {
            return false;
        }
        match of(folder) {
            Ok(anew) => {
                *self = anew;
                true
            }
            Err(error) => {
                tracing::debug!(%error, folder = %folder.display(), "the folder cannot be watched");
                // Nothing is told from here on, and texts settle as they do where nothing ever is.
                self.told.lost = true;
                self.told.folder = now.unwrap_or_default();
                other || !lost
            }
        }
    }

    /// Whether the kernel can be relied on to say when somebody writes to this file.
    fn told_of(&self, file: &Path) -> bool {
        !self.told.lost && file.file_name().is_some_and(|name| self.told.closed.contains(name))
    }

    /// What `read` gives of a file that nobody was writing to before, while and after it was read. None when somebody was.
    fn complete<T>(&mut self, file: &Path, read: impl FnOnce() -> T) -> Option<T> {
        let Some(name) = file.file_name() else { return Some(read()) };
        self.told.drain(name);
        // A link is made without being written to, and is written to elsewhere.
        if self.told.open.contains(name) && !file.is_symlink() {
            return None;
        }
        let text = read();
        let touched = self.told.drain(name);
        (!touched).then_some(text)
    }
}

#[cfg(target_os = "linux")]
fn identity(folder: &Path) -> io::Result<(u64, u64)> {
    use std::os::unix::fs::MetadataExt;
    let metadata = std::fs::metadata(folder)?;
    Ok((metadata.dev(), metadata.ino()))
}

#[cfg(target_os = "linux")]
impl Told {
    /// Takes in what the kernel has to say. True when it was about `name`.
    fn drain(&mut self, name: &std::ffi::OsStr) -> bool {
        use rustix::fs::inotify::{ReadFlags, Reader};
        use std::os::unix::ffi::OsStrExt;
        let mut touched = false;
        let mut space = [std::mem::MaybeUninit::uninit(); 8 * 1024];
        let mut reader = Reader::new(&self.events, &mut space);
        loop {
            let event = match reader.next() {
                Ok(event) => event,
                Err(rustix::io::Errno::INTR) => continue,
                // Nothing more to say.
                Err(rustix::io::Errno::AGAIN) => return touched,
                Err(_) => {
                    self.lost = true;
                    return touched;
                }
            };
            let flags = event.events();
            if flags.contains(ReadFlags::QUEUE_OVERFLOW) {
                self.lost = true;
                self.open.clear();
            }
            // The folder was removed, or its disk unmounted.
            self.lost |= flags.contains(ReadFlags::IGNORED);
            let Some(about) = event.file_name() else { continue };
            let about = std::ffi::OsStr::from_bytes(about.to_bytes());
            touched |= about == name;
            if flags.contains(ReadFlags::CLOSE_WRITE)
                || flags.contains(ReadFlags::MOVED_TO)
                || flags.contains(ReadFlags::MOVED_FROM)
                || flags.contains(ReadFlags::DELETE)
            {
                self.open.remove(about);
                let here = flags.contains(ReadFlags::CLOSE_WRITE) || flags.contains(ReadFlags::MOVED_TO);
                if !here {
                    self.closed.remove(about);
                } else if self.closed.len() < load::FILES * 4 {
                    self.closed.insert(about.to_owned());
                }
            } else if self.open.len() < load::FILES * 4 {
                // Created or modified: its writer has not closed it.
                self.open.insert(about.to_owned());
            }
        }
    }
}

#[cfg(test)]
#[path = "watch_tests.rs"]
mod tests;
