//! The users file on disk: read whole, rewritten atomically and durably, picked up again when it changes.
//!
//! Everything here blocks on the disk: never call it on an async worker.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use super::fingerprint::Fingerprint;
use super::users::{Users, UsersError};

/// Largest users file read: about 40,000 users.
pub const MAX_FILE_BYTES: u64 = 16 * 1024 * 1024;

/// Reads a users file.
pub fn load(path: &Path) -> Result<Users, UsersError> {
    read(path).map(|(users, _)| users)
}

/// Changes a users file, or makes it: reads it, calls `change`, writes what came out. Nobody else edits
/// meanwhile, a reader sees the old file or the new one, and the change is on disk when this returns. `change`
/// returning an error leaves the file as it was.
pub fn edit<T, E: From<UsersError>>(
    path: &Path,
    change: impl FnOnce(&mut Users) -> Result<T, E>,
) -> Result<T, E> {
    let io_error = |action| move |source| UsersError::Io { path: path.to_owned(), action, source };
    // A rename would replace a symbolic link by a file: edit what it points to.
    let real = match fs::canonicalize(path) {
        Ok(real) => real,
        Err(e) if e.kind() == io::ErrorKind::NotFound => path.to_owned(),
        Err(e) => return Err(io_error("cannot open")(e).into()),
    };
    let folder = match real.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    // The lock sits on the folder: the file itself is replaced, and a lock file of its own would be litter.
    let folder_handle = File::open(folder).map_err(io_error("cannot open its folder"))?;
    folder_handle.lock().map_err(io_error("cannot lock its folder"))?;

    let existing = match fs::metadata(&real) {
        Ok(metadata) => Some(metadata),
        Err(e) if e.kind() == io::ErrorKind::NotFound => None,
        Err(e) => return Err(io_error("cannot open")(e).into()),
    };
    let mut users = match existing {
        Some(_) => load(&real)?,
        None => Users::new().map_err(UsersError::from)?,
    };
    let result = change(&mut users)?;
    let text = users.to_toml();
    // Nobody could read it again.
    if text.len() as u64 > MAX_FILE_BYTES {
        return Err(UsersError::TooLarge { path: path.to_owned(), limit: MAX_FILE_BYTES }.into());
    }
    replace(&real, folder, &folder_handle, existing.as_ref(), &text).map_err(io_error("cannot write"))?;
    Ok(result)
}

/// What a look at the file found.
#[derive(Debug, PartialEq, Eq)]
pub enum Refresh {
    Unchanged,
    /// It changed since the last look: it is taken when the next look finds it the same, since an editor may be
    /// in the middle of writing it.
    Settling,
    /// It was read and is in force, with this many users.
    Changed(usize),
}

/// The users in force, kept up with their file. Cheap to ask; [`UsersStore::refresh`] is called now and then by
/// whoever owns it.
#[derive(Debug)]
pub struct UsersStore {
    path: PathBuf,
    current: RwLock<Arc<Users>>,
    watch: Mutex<Watch>,
}

#[derive(Debug)]
struct Watch {
    /// The state of the file that was last judged: read and adopted, or read and refused.
    judged: Option<Fingerprint>,
    settling: Option<Fingerprint>,
    /// The file could not be looked at, and that was reported.
    lost: bool,
}

impl UsersStore {
    /// Reads the file; an error here ends a start.
    pub fn open(path: &Path) -> Result<Self, UsersError> {
        let (users, fingerprint) = read(path)?;
        Ok(Self {
            path: path.to_owned(),
            current: RwLock::new(Arc::new(users)),
            watch: Mutex::new(Watch { judged: Some(fingerprint), settling: None, lost: false }),
        })
    }

    /// Users that come from no file and never change.
    pub fn fixed(users: Users) -> Self {
        Self {
            path: PathBuf::new(),
            current: RwLock::new(Arc::new(users)),
            watch: Mutex::new(Watch { judged: None, settling: None, lost: true }),
        }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The users in force now.
    pub fn current(&self) -> Arc<Users> {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// [`edit`]s the file and takes the change over at once: the next login meets it.
    pub fn edit<T, E: From<UsersError>>(
        &self,
        change: impl FnOnce(&mut Users) -> Result<T, E>,
    ) -> Result<T, E> {
        let mut watch = self.watch.lock().unwrap_or_else(PoisonError::into_inner);
        let done = edit(&self.path, change)?;
        let (users, fingerprint) = read(&self.path)?;
        *watch = Watch { judged: Some(fingerprint), settling: None, lost: false };
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(users);
        Ok(done)
    }

    /// Looks whether the file changed and takes it over. A file that cannot be read or parsed is reported once
    /// and leaves the users in force as they are.
    pub fn refresh(&self) -> Result<Refresh, UsersError> {
        let mut watch = self.watch.lock().unwrap_or_else(PoisonError::into_inner);
        let found = match fs::metadata(&self.path) {
            Ok(metadata) => Fingerprint::of(&metadata),
            Err(_) if watch.lost => return Ok(Refresh::Unchanged),
            Err(source) => {
                watch.lost = true;
                return Err(UsersError::Io { path: self.path.clone(), action: "cannot open", source });
            }
        };
        if watch.lost {
            // Back again: whatever it is now, say so anew if it is bad.
            watch.lost = false;
            watch.judged = None;
        }
        if watch.judged == Some(found) {
            watch.settling = None;
            return Ok(Refresh::Unchanged);
        }
        if watch.settling != Some(found) {
            watch.settling = Some(found);
            return Ok(Refresh::Settling);
        }
        let read = read(&self.path);
        watch.settling = None;
        match read {
            Ok((users, fingerprint)) => {
                watch.judged = Some(fingerprint);
                let count = users.len();
                *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(users);
                Ok(Refresh::Changed(count))
            }
            Err(e) => {
                watch.judged = Some(found);
                Err(e)
            }
        }
    }
}

/// Whether others than the file's owner and group can read it. Worth a warning, not a refusal: mounted secrets
/// often come that way.
pub fn is_exposed(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|metadata| metadata.permissions().mode() & 0o007 != 0)
}

fn read(path: &Path) -> Result<(Users, Fingerprint), UsersError> {
    let io_error = |action| move |source| UsersError::Io { path: path.to_owned(), action, source };
    let file = File::open(path).map_err(io_error("cannot open"))?;
    let fingerprint = Fingerprint::of(&file.metadata().map_err(io_error("cannot open"))?);
    let mut bytes = Vec::new();
    file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes).map_err(io_error("cannot read"))?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(UsersError::TooLarge { path: path.to_owned(), limit: MAX_FILE_BYTES });
    }
    let text = String::from_utf8(bytes).map_err(|_| {
        let source = io::Error::new(io::ErrorKind::InvalidData, "it is not UTF-8");
        io_error("cannot read")(source)
    })?;
    Ok((Users::parse(path, &text)?, fingerprint))
}

/// Write beside, sync, rename over, sync the folder: at any crash the name leads to the old file or the new one.
fn replace(
    path: &Path,
    folder: &Path,
    folder_handle: &File,
    existing: Option<&Metadata>,
    text: &str,
) -> io::Result<()> {
    let name = path.file_name().ok_or_else(|| io::Error::other("the path names no file"))?;
    let mut beside = std::ffi::OsString::from(".");
    beside.push(name);
    beside.push(format!(".{}.tmp", std::process::id()));
    let beside = folder.join(beside);
    let written = write_beside(&beside, existing, text).and_then(|()| fs::rename(&beside, path));
    if let Err(e) = written {
        let _ = fs::remove_file(&beside);
        return Err(e);
    }
    folder_handle.sync_all()
}

fn write_beside(beside: &Path, existing: Option<&Metadata>, text: &str) -> io::Result<()> {
    // Left by a crash of a process with our id; the lock on the folder says it is nobody's.
    match fs::remove_file(beside) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(beside)?;
    if let Some(old) = existing {
        // The server may run as another user than whoever calls `tollgate user`.
        let ours = file.metadata()?;
        if (ours.uid(), ours.gid()) != (old.uid(), old.gid()) {
            fchown(&file, Some(old.uid()), Some(old.gid()))?;
        }
        file.set_permissions(fs::Permissions::from_mode(old.mode() & 0o660))?;
    }
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::super::credential::{MIN_ITERATIONS, ScramHash};
    use super::super::secret::SecretString;
    use super::super::users::User;
    use super::*;

    fn add(path: &Path, name: &str, password: &str) -> bool {
        edit(path, |users| {
            let user = User::with_password(&SecretString::new(password.into()), MIN_ITERATIONS)?;
            Ok::<_, UsersError>(users.insert(name.parse().unwrap(), user))
        })
        .unwrap()
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn a_new_file_is_private_and_leaves_nothing_beside_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("users.toml");
        assert!(!add(&path, "alice", "one"));
        assert!(add(&path, "alice", "two"), "the second replaces the first");
        assert_eq!(mode(&path), 0o600);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        let users = load(&path).unwrap();
        let alice = users.find("alice").unwrap().record(ScramHash::Sha256).unwrap();
        assert!(alice.matches(ScramHash::Sha256, b"two"));
    }

    #[test]
    fn an_edit_keeps_the_group_s_access_and_takes_the_world_s() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("users.toml");
        add(&path, "alice", "one");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(is_exposed(&path));
        add(&path, "bob", "two");
        assert_eq!(mode(&path), 0o640);
        assert!(!is_exposed(&path));
    }

    #[test]
    fn a_failing_change_leaves_the_file_as_it_was() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("users.toml");
        add(&path, "alice", "one");
        let before = fs::read(&path).unwrap();
        let result = edit(&path, |users| {
            users.remove("alice");
            Err::<(), _>(UsersError::TooLarge { path: PathBuf::new(), limit: 0 })
        });
        assert!(result.is_err());
        assert_eq!(fs::read(&path).unwrap(), before);
    }

    #[test]
    fn a_link_stays_a_link() {
        let dir = tempfile::tempdir().unwrap();
        let (path, link) = (dir.path().join("users.toml"), dir.path().join("link.toml"));
        add(&path, "alice", "one");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        add(&link, "bob", "two");
        assert!(fs::symlink_metadata(&link).unwrap().file_type().is_symlink());
        assert_eq!(load(&path).unwrap().len(), 2);
    }

    #[test]
    fn edits_at_the_same_time_lose_nobody() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("users.toml");
        std::thread::scope(|scope| {
            for i in 0..8 {
                let path = &path;
                scope.spawn(move || add(path, &format!("user-{i}"), "x"));
            }
        });
        assert_eq!(load(&path).unwrap().len(), 8);
    }

    #[test]
    fn a_change_is_taken_when_it_has_settled() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("users.toml");
        add(&path, "alice", "one");
        let store = UsersStore::open(&path).unwrap();
        assert_eq!(store.refresh().unwrap(), Refresh::Unchanged);
        add(&path, "bob", "two");
        assert_eq!(store.refresh().unwrap(), Refresh::Settling);
        assert_eq!(store.current().len(), 1);
        assert_eq!(store.refresh().unwrap(), Refresh::Changed(2));
        assert_eq!(store.current().len(), 2);
        assert_eq!(store.refresh().unwrap(), Refresh::Unchanged);
    }

    #[test]
    fn a_bad_file_is_reported_once_and_changes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("users.toml");
        add(&path, "alice", "one");
        let store = UsersStore::open(&path).unwrap();
        fs::write(&path, "").unwrap();
        assert_eq!(store.refresh().unwrap(), Refresh::Settling);
        assert!(store.refresh().is_err());
        assert_eq!(store.refresh().unwrap(), Refresh::Unchanged);
        assert_eq!(store.current().len(), 1, "an emptied file locks nobody out");

        fs::remove_file(&path).unwrap();
        assert!(store.refresh().is_err());
        assert_eq!(store.refresh().unwrap(), Refresh::Unchanged);
        add(&path, "bob", "two");
        assert_eq!(store.refresh().unwrap(), Refresh::Settling);
        assert_eq!(store.refresh().unwrap(), Refresh::Changed(1));
        assert!(store.current().find("bob").is_some());
    }

    #[test]
    fn an_edit_through_the_store_is_in_force_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("users.toml");
        add(&path, "alice", "one");
        let store = UsersStore::open(&path).unwrap();
        store.edit(|users| Ok::<_, UsersError>(users.remove("alice"))).unwrap();
        assert!(store.current().is_empty());
        assert_eq!(store.refresh().unwrap(), Refresh::Unchanged);
        assert!(load(&path).unwrap().is_empty());
    }

    #[test]
    fn a_file_that_nobody_could_read_again_is_not_written() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("users.toml");
        add(&path, "alice", "one");
        let before = fs::read(&path).unwrap();
        let user = load(&path).unwrap().find("alice").unwrap().clone();
        let many = edit(&path, |users| {
            for n in 0..60_000 {
                users.insert(format!("user-{n}").parse().unwrap(), user.clone());
            }
            Ok::<_, UsersError>(())
        });
        assert!(matches!(many, Err(UsersError::TooLarge { .. })));
        assert_eq!(fs::read(&path).unwrap(), before);
    }

    #[test]
    fn fixed_users_never_change() {
        let store = UsersStore::fixed(Users::new().unwrap());
        assert_eq!(store.refresh().unwrap(), Refresh::Unchanged);
    }

    #[test]
    fn a_file_that_cannot_be_a_users_file_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("users.toml");
        fs::write(&path, [0xff, 0xfe]).unwrap();
        assert!(load(&path).unwrap_err().to_string().contains("not UTF-8"));
        File::create(&path).unwrap().set_len(MAX_FILE_BYTES + 1).unwrap();
        assert!(matches!(load(&path), Err(UsersError::TooLarge { .. })));
        let missing = load(&dir.path().join("none")).unwrap_err().to_string();
        assert!(missing.contains("cannot open"), "{missing}");
    }
}
