//! Hot reload of a folder of policies. A file that is being replaced is a change only when it is complete, so that no reader meets
//! a moment without the rules: editors rename over, truncate and write in pieces, delete and create again.
//!
//! On Linux the kernel says (inotify) that a file was written to and when its writer closed it; between the two the file is not
//! looked at. What it says is about one folder, whatever name that has: when another takes the name, the watch begins anew, and
//! knows nothing of writers that were at it before. Everywhere a text counts only when two looks in a row found the same, an
//! empty text is an unfinished one, and a file that is gone was removed only if it stays away.
//!
//! (Long because the watch, the looks and what they decide are one state machine, told apart by its own tests below.)

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
        watched.look(GRACE - 1);
        assert_eq!(watched.rules(), 3);
        watched.look(1);
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

    /// Another folder in the place of the watched one, with the same script, and one that is being written.
    fn replaced_while_written(replace: impl Fn(&Path, &Path), restore: bool) {
        let home = tempfile::tempdir().unwrap();
        let mut watched = Watched::new();
        let (folder, other) = (watched.folder.path().to_owned(), home.path().join("other"));
        fs::write(watched.file(), format!("{RULES}{MORE}")).unwrap();
        watched.look(SETTLED);
        assert_eq!(watched.rules(), 2);
        fs::create_dir(&other).unwrap();
        fs::write(other.join("mask.rhai"), format!("{RULES}{MORE}")).unwrap();
        replace(&folder, &other);
        watched.look(SETTLED_UNTOLD + 1);
        assert_eq!((watched.rules(), watched.policies.refused_change()), (2, None));
        // Half of it, for as long as its writer likes.
        let mut file = File::create(watched.file()).unwrap();
        file.write_all(RULES.as_bytes()).unwrap();
        watched.look(GRACE * 2);
        assert_eq!(watched.rules(), 2, "half of a script went live");
        file.write_all(MORE.repeat(2).as_bytes()).unwrap();
        drop(file);
        watched.look(SETTLED);
        assert_eq!(watched.rules(), 3);
        if restore {
            // What `TempDir` removes is a folder.
            fs::remove_file(&folder).unwrap();
            fs::create_dir(&folder).unwrap();
        }
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_folder_that_was_moved_into_the_others_place_is_watched() {
        replaced_while_written(
            |folder, other| {
                fs::remove_dir_all(folder).unwrap();
                fs::rename(other, folder).unwrap();
            },
            false,
        );
    }

    /// The old one is still there: nothing but the name tells that it is not the one.
    #[test]
    #[cfg(target_os = "linux")]
    fn a_folder_that_took_the_others_name_is_watched() {
        replaced_while_written(
            |folder, other| {
                fs::rename(folder, other.with_file_name("old")).unwrap();
                fs::rename(other, folder).unwrap();
            },
            false,
        );
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_folder_that_another_link_points_to_is_watched() {
        replaced_while_written(
            |folder, other| {
                fs::remove_dir_all(folder).unwrap();
                std::os::unix::fs::symlink(other, folder).unwrap();
            },
            true,
        );
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_folder_that_went_and_came_back_is_watched() {
        replaced_while_written(
            |folder, other| {
                fs::remove_dir_all(folder).unwrap();
                // Its inode number may be the old one's.
                fs::create_dir(folder).unwrap();
                fs::copy(other.join("mask.rhai"), folder.join("mask.rhai")).unwrap();
            },
            false,
        );
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_text_that_settled_before_its_folder_was_replaced_settles_again() {
        let mut watched = Watched::new();
        let folder = watched.folder.path().to_owned();
        fs::write(watched.file(), format!("{RULES}{MORE}")).unwrap();
        watched.look(1);
        let text = fs::read(watched.file()).unwrap();
        fs::remove_dir_all(&folder).unwrap();
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("mask.rhai"), text).unwrap();
        watched.look(SETTLED_UNTOLD - 1);
        assert_eq!(watched.rules(), 1, "nobody knows whether its writer is done");
        watched.look(1);
        assert_eq!(watched.rules(), 2);
    }

    #[test]
    #[cfg(unix)]
    fn a_script_that_is_a_link_takes_effect() {
        let mut watched = Watched::new();
        let home = tempfile::tempdir().unwrap();
        let target = home.path().join("other");
        fs::write(&target, format!("policy(\"other\", \"x\");\n{MORE}")).unwrap();
        std::os::unix::fs::symlink(&target, watched.folder.path().join("other.rhai")).unwrap();
        watched.look(SETTLED_UNTOLD);
        assert_eq!(watched.rules(), 2);
    }

    #[test]
    fn a_folder_that_comes_back_does_not_make_a_refused_script_right() {
        let mut watched = Watched::new();
        let folder = watched.folder.path().to_owned();
        fs::write(watched.file(), format!("{RULES}on_fetch(\"b\").nonsense();\n")).unwrap();
        watched.look(SETTLED);
        let refused = watched.policies.refused_change();
        assert!(refused.is_some());
        let away = folder.with_extension("away");
        fs::rename(&folder, &away).unwrap();
        watched.look(1);
        assert!(watched.policies.refused_change().unwrap().contains("cannot be read"));
        fs::rename(&away, &folder).unwrap();
        watched.look(1);
        assert_eq!(watched.policies.refused_change(), refused);
    }

    #[test]
    fn a_schema_that_changes_is_a_change() {
        let home = tempfile::tempdir().unwrap();
        let schemas = home.path().join("s.json");
        fs::write(&schemas, "{\"type\":\"object\"}").unwrap();
        let folder = tempfile::tempdir().unwrap();
        fs::write(
            folder.path().join("gate.rhai"),
            "on_produce(\"a\").validate(schema(\"s.json\")).named(\"x\");\n",
        )
        .unwrap();
        let settings = Settings {
            schemas: super::super::schema::Schemas::new(Some(home.path().to_owned())),
            ..Settings::default()
        };
        let policies = Policies::new(Shared::new(settings));
        let scripts = load::read_folder(folder.path()).unwrap();
        policies.load(&scripts).unwrap();
        let mut watcher = Watcher::new(folder.path().to_owned(), policies.clone(), scripts).unwrap();
        let mut looks = |text: Option<&str>| {
            if let Some(text) = text {
                fs::write(&schemas, text).unwrap();
            }
            (0..SETTLED_UNTOLD + 1).for_each(|_| watcher.look());
            (policies.number(), policies.refused_change())
        };
        assert_eq!(looks(None), (1, None));
        assert_eq!(looks(Some("{\"type\":\"array\"}")), (2, None));
        let (number, why) = looks(Some("{\"type\":"));
        assert!(number == 2 && why.as_ref().unwrap().contains("s.json: line 1"), "{why:?}");
        assert_eq!(looks(Some("{\"type\":\"array\"}")).1, None);
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
    fn what_was_refused_beside_an_added_policy_is_taken_when_that_goes() {
        let mut watched = Watched::new();
        let change = |security| crate::policy::control::Change { policies: &watched.policies, security };
        let new = crate::policy::control::New { name: "other", text: MORE, is_rule: false, ttl: None };
        change(true).put(new).unwrap();
        fs::write(watched.folder.path().join("x.rhai"), format!("policy(\"other\", \"x\");\n{MORE}{MORE}"))
            .unwrap();
        watched.look(SETTLED_UNTOLD);
        assert!(watched.policies.refused_change().unwrap().contains("admin API"));
        let change = crate::policy::control::Change { policies: &watched.policies, security: true };
        change.remove("other", false).unwrap();
        watched.look(1);
        assert_eq!((watched.rules(), watched.policies.refused_change()), (3, None));
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

    #[test]
    fn a_file_that_cannot_be_read_keeps_its_rules_and_says_why() {
        let mut watched = Watched::new();
        fs::write(watched.file(), b"// no text: \xff").unwrap();
        watched.look(2 * GRACE);
        assert_eq!(watched.rules(), 1);
        let why = watched.policies.refused_change().unwrap();
        assert!(why.contains("mask.rhai") && why.contains("not UTF-8"), "{why}");
    }

    #[test]
    fn a_text_settles_when_it_is_found_again() {
        let mut watched = Watched::new();
        for n in 1..10 {
            fs::write(watched.file(), format!("{RULES}{}", MORE.repeat(n))).unwrap();
            watched.look(1);
            assert_eq!(watched.rules(), 1, "it is another each time");
        }
        watched.look(SETTLED);
        assert_eq!(watched.rules(), 10);
    }

    #[tokio::test(start_paused = true)]
    async fn the_folder_is_looked_at_until_it_is_told_to_stop() {
        let Watched { folder, policies, watcher } = Watched::new();
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let running = tokio::spawn(watcher.run(async move { drop(stopped.await) }));
        fs::write(folder.path().join("mask.rhai"), format!("{RULES}{MORE}")).unwrap();
        let rules = || policies.current().policies.iter().map(|p| p.rules.len()).sum::<usize>();
        for _ in 0..1_000 {
            tokio::time::sleep(POLL).await;
            if rules() == 2 {
                break;
            }
        }
        assert_eq!(rules(), 2);
        drop(stop);
        running.await.unwrap();
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn what_is_written_to_while_it_is_read_is_not_complete() {
        let folder = tempfile::tempdir().unwrap();
        let (file, other) = (folder.path().join("a.rhai"), folder.path().join("b.rhai"));
        fs::write(&file, "1").unwrap();
        let mut writers = Writers::of(folder.path()).unwrap();
        let read = || fs::read_to_string(&file).unwrap();
        let while_writing = |to: &Path| {
            fs::write(to, "2").unwrap();
            read()
        };
        assert_eq!(writers.complete(&file, read).as_deref(), Some("1"));
        assert_eq!(writers.complete(&file, || while_writing(&other)).as_deref(), Some("1"));
        assert_eq!(writers.complete(&file, || while_writing(&file)), None);
        assert_eq!(writers.complete(&file, read).as_deref(), Some("2"));
        assert!(writers.told_of(&file) && writers.told_of(&other));
        assert!(!writers.told_of(&folder.path().join("c.rhai")));
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn where_nothing_can_be_watched_texts_settle_all_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let cannot = |_: &Path| Err(io::ErrorKind::OutOfMemory.into());
        let mut writers = Writers::of(folder.path()).unwrap();
        assert!(!writers.follow_by(folder.path(), cannot), "it is watched, and nothing changed");
        writers.told.lost = true;
        assert!(!writers.follow_by(folder.path(), cannot), "as before: nothing is told");
        let another = tempfile::tempdir().unwrap();
        assert!(writers.follow_by(another.path(), cannot), "whatever was found before is another folder's");
        assert!(!writers.follow_by(another.path(), cannot));
        assert!(writers.follow_by(another.path(), Writers::of) && !writers.told.lost);
        assert!(!writers.follow_by(another.path(), Writers::of));
    }
}
