//! Hot reload of a folder of policies. A file that is being replaced is a change only when it is complete, so that no reader meets
//! a moment without the rules: editors rename over, truncate and write in pieces, delete and create again.
//!
//! On Linux the kernel says (inotify) that a file was written to and when its writer closed it; between the two the file is not
//! looked at. Everywhere a text counts only when two looks in a row found the same, an empty text is an unfinished one, and a file
//! that is gone was removed only if it stays away.

use super::generation::Policies;
use super::load::{self, Script};
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
    /// The scripts of the last attempt, taken or refused.
    tried: Vec<Script>,
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
        Ok(Self { folder, policies, writers, files, tried: loaded, unreadable: false })
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
            self.policies.set_refused(None);
        }
        for name in &names {
            self.files.entry(name.clone()).or_default();
        }
        let mut trouble = None;
        let needed = if self.writers.tell() { SETTLED } else { SETTLED_UNTOLD };
        for (file, seen) in &mut self.files {
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
        if scripts != self.tried {
            self.take(scripts);
        } else if let Some(trouble) = trouble {
            self.policies.set_refused(Some(trouble));
        }
    }

    fn scripts(&self) -> Vec<Script> {
        let settled = self.files.iter().filter_map(|(file, seen)| Some((file, seen.settled.as_ref()?)));
        settled.map(|(file, text)| Script { file: file.clone(), text: Arc::clone(text) }).collect()
    }

    fn take(&mut self, scripts: Vec<Script>) {
        match self.policies.load(&scripts) {
            Ok(generation) => {
                self.policies.set_refused(None);
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
                self.policies.set_refused(Some(why));
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

    fn tell(&self) -> bool {
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
    /// Names written to and not closed since.
    open: std::collections::HashSet<std::ffi::OsString>,
    /// The kernel's queue overflowed: what it said is worth nothing any more.
    lost: bool,
}

#[cfg(target_os = "linux")]
impl Writers {
    fn of(folder: &Path) -> io::Result<Self> {
        use rustix::fs::inotify::{CreateFlags, WatchFlags, add_watch, init};
        let events = init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)?;
        let what = WatchFlags::CREATE
            | WatchFlags::MODIFY
            | WatchFlags::CLOSE_WRITE
            | WatchFlags::MOVED_FROM
            | WatchFlags::MOVED_TO
            | WatchFlags::DELETE;
        add_watch(&events, folder, what)?;
        Ok(Self { told: Told { events, open: Default::default(), lost: false } })
    }

    /// Whether the kernel can be relied on to say when a writer is done.
    fn tell(&self) -> bool {
        !self.told.lost
    }

    /// What `read` gives of a file that nobody was writing to before, while and after it was read. None when somebody was.
    fn complete<T>(&mut self, file: &Path, read: impl FnOnce() -> T) -> Option<T> {
        let Some(name) = file.file_name() else { return Some(read()) };
        self.told.drain(name);
        if self.told.open.contains(name) {
            return None;
        }
        let text = read();
        let touched = self.told.drain(name);
        (!touched).then_some(text)
    }
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
            let Some(about) = event.file_name() else { continue };
            let about = std::ffi::OsStr::from_bytes(about.to_bytes());
            touched |= about == name;
            if flags.contains(ReadFlags::CLOSE_WRITE)
                || flags.contains(ReadFlags::MOVED_TO)
                || flags.contains(ReadFlags::MOVED_FROM)
                || flags.contains(ReadFlags::DELETE)
            {
                self.open.remove(about);
            } else if self.open.len() < load::FILES * 4 {
                // Created or modified: its writer has not closed it.
                self.open.insert(about.to_owned());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::generation::{Settings, Shared};
    use super::*;
    use std::fs::{self, File, OpenOptions};
    use std::io::Write;

    const RULES: &str = "policy(\"mask\", \"x\");\non_fetch(\"a\").mask(\"$.email\", \"email\");\n";
    const MORE: &str = "on_fetch(\"b\").mask(\"$.phone\", \"all\");\n";

    struct Watched {
        folder: tempfile::TempDir,
        policies: Arc<Policies>,
        watcher: Watcher,
    }

    impl Watched {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            fs::write(folder.path().join("mask.rhai"), RULES).unwrap();
            let policies = Policies::new(Shared::new(Settings::default()));
            let scripts = load::read_folder(folder.path()).unwrap();
            policies.load(&scripts).unwrap();
            let watcher = Watcher::new(folder.path().to_owned(), policies.clone(), scripts).unwrap();
            Self { folder, policies, watcher }
        }

        fn file(&self) -> PathBuf {
            self.folder.path().join("mask.rhai")
        }

        fn look(&mut self, times: u32) {
            for _ in 0..times {
                self.watcher.look();
            }
        }

        fn rules(&self) -> usize {
            self.policies.current().policies.iter().map(|p| p.rules.len()).sum()
        }
    }

    #[test]
    fn a_complete_change_takes_effect() {
        let mut watched = Watched::new();
        fs::write(watched.file(), format!("{RULES}{MORE}")).unwrap();
        watched.look(SETTLED);
        assert_eq!(watched.rules(), 2);
        let other = watched.folder.path().join("other.rhai");
        fs::write(&other, format!("policy(\"other\", \"x\");\n{MORE}")).unwrap();
        watched.look(SETTLED);
        assert_eq!(watched.rules(), 3);
        fs::remove_file(other).unwrap();
        watched.look(GRACE + 1);
        assert_eq!(watched.rules(), 2);
    }

    #[test]
    fn a_valid_beginning_does_not_go_live_while_its_writer_is_at_it() {
        let mut watched = Watched::new();
        fs::write(watched.file(), format!("{RULES}{MORE}")).unwrap();
        watched.look(SETTLED);
        // Truncates; what is written first is a whole script with fewer rules.
        let mut file = File::create(watched.file()).unwrap();
        watched.look(SETTLED_UNTOLD + 1);
        assert_eq!(watched.rules(), 2, "an emptied file took the rules away");
        file.write_all(RULES.as_bytes()).unwrap();
        file.sync_all().unwrap();
        if cfg!(target_os = "linux") {
            watched.look(GRACE * 2);
            assert_eq!(watched.rules(), 2, "half of a script went live");
        }
        file.write_all(MORE.as_bytes()).unwrap();
        drop(file);
        watched.look(SETTLED_UNTOLD);
        assert_eq!(watched.rules(), 2);
        assert_eq!(watched.policies.refused_change(), None);
    }

    #[test]
    fn a_script_that_fails_keeps_the_old_set_and_says_why() {
        let mut watched = Watched::new();
        fs::write(watched.file(), format!("{RULES}on_fetch(\"b\").nonsense();\n")).unwrap();
        watched.look(SETTLED);
        assert_eq!(watched.rules(), 1);
        let why = watched.policies.refused_change().unwrap();
        assert!(why.contains("mask.rhai") && why.contains(":3:"), "{why}");
        fs::write(watched.file(), format!("{RULES}{MORE}")).unwrap();
        watched.look(SETTLED);
        assert_eq!((watched.rules(), watched.policies.refused_change()), (2, None));
    }

    #[test]
    fn a_thousand_replacements_by_editors_ways_never_leave_a_moment_without_the_mask() {
        let mut watched = Watched::new();
        let (path, folder) = (watched.file(), watched.folder.path().to_owned());
        let text = |n: usize| format!("{RULES}// version {n}\n{}", MORE.repeat(n % 3));
        let mut longest = 0;
        for n in 0..1000 {
            let text = text(n);
            let (head, tail) = text.split_at(text.len() / 2);
            let look = |watched: &mut Watched| {
                watched.look(1);
                assert!(watched.rules() >= 1, "replacement {n} left no mask");
            };
            match n % 5 {
                0 => {
                    fs::write(folder.join(".mask.tmp"), &text).unwrap();
                    look(&mut watched);
                    fs::rename(folder.join(".mask.tmp"), &path).unwrap();
                }
                1 => {
                    let mut file = File::create(&path).unwrap();
                    look(&mut watched);
                    file.write_all(head.as_bytes()).unwrap();
                    look(&mut watched);
                    file.write_all(tail.as_bytes()).unwrap();
                    look(&mut watched);
                }
                2 => {
                    fs::remove_file(&path).unwrap();
                    look(&mut watched);
                    fs::write(&path, &text).unwrap();
                }
                3 => {
                    fs::rename(&path, folder.join("mask.rhai~")).unwrap();
                    look(&mut watched);
                    let mut file =
                        OpenOptions::new().create(true).write(true).truncate(true).open(&path).unwrap();
                    file.write_all(head.as_bytes()).unwrap();
                    look(&mut watched);
                    file.write_all(tail.as_bytes()).unwrap();
                }
                _ => fs::write(&path, &text).unwrap(),
            }
            look(&mut watched);
            watched.look(SETTLED_UNTOLD);
            longest = longest.max(watched.rules());
            assert_eq!(watched.rules(), 1 + n % 3, "replacement {n} did not arrive");
        }
        assert_eq!(longest, 3);
    }
}
