//! A folder that changes under the watcher, by all ways of editors.

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
