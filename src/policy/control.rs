//! Changes while the process runs: policies added beside those of the folder, and what is switched off.
//!
//! The set in force is made of three things ([`Sets`]): the scripts of the folder, what was added through the admin API, and
//! what is switched off. Each change replaces one of them and puts the whole into force, all of it or nothing, so a
//! reload of the folder leaves alone what was added, and the reverse. Nothing of this is on disk: a process that dies takes
//! its faults with it, and comes back with what its folder says.
//!
//! What protects is changed by those who may say so ([`Change::security`]) and only when they do: whoever injects faults cannot
//! open what a security rule closes. That includes adding one, since an `allow()` opens what `default_deny()` closed, and a rule
//! that edits records changes what later rules see. What was added may end by itself, so what protects may not be added with an
//! end.

use super::error::LoadError;
use super::generation::{Generation, LoadedPolicy, Policies};
use super::load::Script;
use super::rule::{Kind, Rule};
use super::script::{self, SCRIPT_BYTES};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Policies that may be added beside those of the folder.
pub const ADDED: usize = 200;
/// Bytes of all their scripts.
pub const ADDED_BYTES: usize = 8 * SCRIPT_BYTES;
/// The longest name of what is added.
pub const NAME_BYTES: usize = 100;
/// The longest time to live: what is meant for longer belongs into the folder.
pub const LONGEST: Duration = Duration::from_secs(366 * 24 * 3600);
/// Where the files of added policies are said to be. Not a folder of the disk.
const PLACE: &str = "api";

/// Where a policy comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    Folder,
    Api,
}

impl Origin {
    pub(super) fn of(added: Option<&Added>) -> Self {
        added.map_or(Self::Folder, |_| Self::Api)
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Folder => "folder",
            Self::Api => "api",
        }
    }
}

/// What the set in force is made of.
#[derive(Debug, Clone, Default)]
pub(super) struct Sets {
    pub folder: Vec<Script>,
    /// By name.
    pub added: BTreeMap<String, Added>,
    pub off: SwitchedOff,
}

/// A policy that was added while the process runs.
#[derive(Debug, Clone)]
pub(super) struct Added {
    pub name: String,
    pub script: Script,
    /// Its script is one rule, which has the policy's name.
    pub is_rule: bool,
    /// When it ends, on the policies' clock.
    pub until: Option<Duration>,
}

/// A script of the set.
pub(super) struct Source<'a> {
    pub script: &'a Script,
    pub added: Option<&'a Added>,
}

impl Source<'_> {
    pub fn origin(&self) -> Origin {
        Origin::of(self.added)
    }
}

impl Sets {
    /// All scripts by the names of their files: where a policy comes from says nothing about its turn.
    pub fn in_order(&self) -> Vec<Source<'_>> {
        let mut all: Vec<Source<'_>> =
            self.folder.iter().map(|script| Source { script, added: None }).collect();
        for added in self.added.values() {
            let later = |source: &Source<'_>| source.script.file.file_name() > added.script.file.file_name();
            let at = all.iter().position(later).unwrap_or(all.len());
            all.insert(at, Source { script: &added.script, added: Some(added) });
        }
        all
    }

    /// The file of the folder with the name that the file of what is added here has.
    pub fn same_file(&self, name: &str) -> Option<&Path> {
        let file = file_of(name);
        self.folder.iter().map(|s| s.file.as_path()).find(|path| path.file_name() == file.file_name())
    }
}

fn file_of(name: &str) -> PathBuf {
    Path::new(PLACE).join(format!("{name}.rhai"))
}

impl Added {
    /// Whether the script is what it was said to be.
    pub fn accepts(&self, policy: &script::Policy) -> Result<(), LoadError> {
        let Self { name, script, .. } = self;
        let fail = |why: String| Err(LoadError::of_file(&script.file, why));
        let named = &policy.info.name;
        if named != name {
            return fail(format!("the script names itself \"{named}\"; it is added as \"{name}\""));
        }
        if self.is_rule && (policy.rules.len() != 1 || policy.default_deny.is_some()) {
            let n = policy.rules.len();
            return fail(format!("one rule is wanted, and here are {n}; several make a policy"));
        }
        let protects = |rule: &script::RuleSpec| rule.spec.kind == Kind::Security;
        if self.until.is_some() {
            if let Some(rule) = policy.rules.iter().find(|rule| protects(rule)) {
                let why = "a time to live on a security rule: what protects does not end by itself";
                return Err(LoadError::at(&script.file, &script.text, rule.spec.place, why));
            }
            if let Some(place) = policy.default_deny {
                let why = "a time to live on `default_deny()`: what protects does not end by itself";
                return Err(LoadError::at(&script.file, &script.text, place, why));
            }
        }
        Ok(())
    }
}

/// What is switched off. Who did so without leave to change what protects has switched off faults only, whatever the
/// folder makes of that name later.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SwitchedOff(BTreeMap<String, Off>);

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Off {
    whole: Option<Reach>,
    rules: BTreeMap<String, Reach>,
}

/// What a switch reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reach {
    Faults,
    /// And what protects.
    All,
}

impl Reach {
    fn of(security: bool) -> Self {
        if security { Self::All } else { Self::Faults }
    }

    fn covers(self, kind: Kind) -> bool {
        self == Self::All || kind == Kind::Chaos
    }
}

impl SwitchedOff {
    /// Whether this rule is switched off, by itself or with its policy.
    pub fn leaves_out(&self, rule: &Rule) -> bool {
        self.0.get(&rule.policy.name).is_some_and(|off| {
            let alone = off.rules.get(&rule.name).copied();
            off.whole.into_iter().chain(alone).any(|reach| reach.covers(rule.kind))
        })
    }

    /// Whether all of a policy is switched off, `default_deny()` included.
    pub fn leaves_out_protection(&self, policy: &str) -> bool {
        self.0.get(policy).is_some_and(|off| off.whole == Some(Reach::All))
    }

    /// Whether a policy as a whole is switched off.
    pub fn has_policy(&self, policy: &str) -> bool {
        self.0.get(policy).is_some_and(|off| off.whole.is_some())
    }

    /// How many policies and rules are.
    pub fn count(&self) -> usize {
        self.0.values().map(|off| usize::from(off.whole.is_some()) + off.rules.len()).sum()
    }

    fn set(&mut self, policy: &str, rule: Option<&str>, switch: Option<Reach>) {
        let off = self.0.entry(policy.to_owned()).or_default();
        match (rule, switch) {
            (None, switch) => off.whole = switch,
            (Some(rule), Some(reach)) => {
                off.rules.insert(rule.to_owned(), reach);
            }
            (Some(rule), None) => {
                off.rules.remove(rule);
            }
        }
        self.0.retain(|_, off| *off != Off::default());
    }

    fn forget(&mut self, policy: &str) {
        self.0.remove(policy);
    }

    /// What comes back later comes back switched on.
    pub(super) fn forget_what_is_gone(&mut self, loaded: &[Arc<LoadedPolicy>]) {
        self.0.retain(|name, off| {
            let Some(policy) = loaded.iter().find(|policy| policy.info.name == *name) else { return false };
            off.rules.retain(|name, _| policy.rules.iter().any(|rule| rule.name == *name));
            *off != Off::default()
        });
    }
}

/// Why a change was not made. The set in force is what it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refused {
    /// There is no such policy or rule.
    Missing(String),
    /// It does not go with what is there.
    Clash(String),
    /// It is about what protects, and that was not allowed, or not said.
    Security(String),
    /// It cannot be meant.
    Invalid(String),
    /// There are as many as there may be.
    Full(String),
    /// The script does not load.
    Script(Vec<LoadError>),
}

/// What is added, or takes the place of what was added under its name.
#[derive(Debug, Clone, Copy)]
pub struct New<'a> {
    pub name: &'a str,
    pub text: &'a str,
    /// The script is one rule.
    pub is_rule: bool,
    /// How long it lives from now on. None: until it is removed.
    pub ttl: Option<Duration>,
}

/// A change, and whether it may concern what protects.
#[derive(Debug, Clone, Copy)]
pub struct Change<'a> {
    pub policies: &'a Policies,
    pub security: bool,
}

/// What a reset did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reset {
    pub removed: Vec<String>,
    /// What stays because it protects.
    pub kept: Vec<String>,
    /// Policies and rules that were switched on again.
    pub enabled: usize,
}

impl Change<'_> {
    /// Adds a policy, switched on. True when it is new, false when it took the place of one.
    pub fn put(self, new: New<'_>) -> Result<bool, Refused> {
        let New { name, text, is_rule, ttl } = new;
        check_name(name)?;
        if ttl.is_some_and(|ttl| ttl.is_zero() || ttl > LONGEST) {
            return Err(Refused::Invalid(
                "a time to live is more than nothing and at most 366 days".to_owned(),
            ));
        }
        if text.trim().is_empty() {
            return Err(Refused::Invalid("the script is empty".to_owned()));
        }
        let policies = self.policies;
        let mut sets = policies.sets();
        let current = policies.current();
        let old = current.policy(name);
        if let Some(old) = old.filter(|old| old.origin == Origin::Folder) {
            return Err(of_the_folder(old));
        }
        if let Some(file) = sets.same_file(name) {
            let file = file.display();
            return Err(Refused::Clash(format!(
                "{file} has the name that the file of \"{name}\" would have"
            )));
        }
        let mut next = sets.clone();
        let script = Script { file: file_of(name), text: text.into() };
        let until = ttl.map(|ttl| policies.shared().clock.now().saturating_add(ttl));
        // What is put is meant to be in force.
        next.off.forget(name);
        next.added.insert(name.to_owned(), Added { name: name.to_owned(), script, is_rule, until });
        let bytes: usize = next.added.values().map(|added| added.script.text.len()).sum();
        if next.added.len() > ADDED || bytes > ADDED_BYTES {
            let message = format!(
                "at most {ADDED} policies and {ADDED_BYTES} bytes of scripts are kept beside the folder"
            );
            return Err(Refused::Full(message));
        }
        let read = policies.read(&next, Some(name)).map_err(Refused::Script)?;
        let protects = read.iter().any(|new| new.info().name == name && new.is_security());
        if protects || old.is_some_and(|old| old.is_security()) {
            self.may_change_protection(&format!("\"{name}\" has security rules"))?;
        }
        policies.install(&mut sets, next, read);
        Ok(old.is_none())
    }

    /// Removes a policy that was added; of single rules only those that were.
    pub fn remove(self, name: &str, is_rule: bool) -> Result<(), Refused> {
        let policies = self.policies;
        let mut sets = policies.sets();
        let current = policies.current();
        let old = find(&current, name)?;
        let Some(added) = sets.added.get(name) else { return Err(of_the_folder(old)) };
        if is_rule && !added.is_rule {
            let message =
                format!("\"{name}\" was added as a policy of {} rules, not as one rule", old.rules.len());
            return Err(Refused::Clash(message));
        }
        if old.is_security() {
            self.may_change_protection(&format!("\"{name}\" has security rules"))?;
        }
        let mut next = sets.clone();
        next.added.remove(name);
        put_back(policies, &mut sets, next)
    }

    /// Switches a policy, or one rule of it, on or off. False when it was so before.
    pub fn switch(self, policy: &str, rule: Option<&str>, on: bool) -> Result<bool, Refused> {
        let policies = self.policies;
        let mut sets = policies.sets();
        let current = policies.current();
        let found = find(&current, policy)?;
        let protects = match rule {
            None => found.is_security(),
            Some(name) => {
                let rule = found.rules.iter().find(|rule| rule.name == name).ok_or_else(|| {
                    Refused::Missing(format!("the policy \"{policy}\" has no rule \"{name}\""))
                })?;
                rule.kind == Kind::Security
            }
        };
        if protects && !on {
            let what = match rule {
                None => format!("\"{policy}\" has security rules"),
                Some(name) => format!("\"{name}\" is a security rule"),
            };
            self.may_change_protection(&what)?;
        }
        let mut next = sets.clone();
        next.off.set(policy, rule, (!on).then(|| Reach::of(protects)));
        if next.off == sets.off {
            return Ok(false);
        }
        put_back(policies, &mut sets, next)?;
        Ok(true)
    }

    /// Back to what the folder says: removes what was added and switches everything on. What was added and protects stays
    /// unless it may be changed: a reset ends faults in any case.
    pub fn reset(self) -> Result<Reset, Refused> {
        let policies = self.policies;
        let mut sets = policies.sets();
        let current = policies.current();
        let mut next = sets.clone();
        let mut done = Reset { enabled: next.off.count(), ..Reset::default() };
        next.off = SwitchedOff::default();
        next.added.retain(|name, _| {
            let protects = current.policy(name).is_none_or(|policy| policy.is_security());
            let keep = protects && !self.security;
            if keep { &mut done.kept } else { &mut done.removed }.push(name.clone());
            keep
        });
        if done.enabled > 0 || !done.removed.is_empty() {
            put_back(policies, &mut sets, next)?;
        }
        Ok(done)
    }

    fn may_change_protection(self, what: &str) -> Result<(), Refused> {
        match self.security {
            true => Ok(()),
            false => Err(Refused::Security(format!(
                "{what}: adding, changing, removing or disabling them through the admin API is refused unless the \
                 setting `admin_security_changes` allows it and the request says `security=true`"
            ))),
        }
    }
}

/// What ends by itself and was added.
impl Policies {
    /// When the next of what was added ends, on the policies' clock.
    pub fn next_end(&self) -> Option<Duration> {
        let current = self.current();
        current.loaded.iter().filter(|p| p.origin == Origin::Api).filter_map(|p| p.ends_at()).min()
    }

    /// Drops what was added and has ended; says what. It has no effect any more by then: this frees its name and its memory.
    pub fn drop_ended(&self) -> Vec<String> {
        let mut sets = self.sets();
        let (current, now) = (self.current(), self.shared().clock.now());
        let mut next = sets.clone();
        let ended = |name: &String| {
            current.policy(name).and_then(|policy| policy.ends_at()).is_some_and(|end| now >= end)
        };
        let dropped: Vec<String> = next.added.keys().filter(|name| ended(name)).cloned().collect();
        next.added.retain(|name, _| !dropped.contains(name));
        if dropped.is_empty() || put_back(self, &mut sets, next).is_err() {
            return Vec::new();
        }
        dropped
    }
}

/// Puts a set into force in which no script is new.
fn put_back(policies: &Policies, sets: &mut Sets, next: Sets) -> Result<(), Refused> {
    let read = policies.read(&next, None).map_err(Refused::Script)?;
    policies.install(sets, next, read);
    Ok(())
}

fn find<'a>(generation: &'a Generation, name: &str) -> Result<&'a Arc<LoadedPolicy>, Refused> {
    generation.policy(name).ok_or_else(|| Refused::Missing(format!("there is no policy \"{name}\"")))
}

fn of_the_folder(policy: &LoadedPolicy) -> Refused {
    let (name, file) = (&policy.info.name, policy.info.file.display());
    Refused::Clash(format!("\"{name}\" is a policy of the folder: change {file}, or disable it"))
}

/// Names of what is added can stand in a path, in a file name and in a shell as they are.
fn check_name(name: &str) -> Result<(), Refused> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let starts = name.starts_with(|c: char| c.is_ascii_alphanumeric());
    if starts && name.len() <= NAME_BYTES && name.chars().all(plain) {
        return Ok(());
    }
    let message = format!(
        "a name is 1 to {NAME_BYTES} letters, digits, `-`, `_` and `.`, and begins with a letter or digit"
    );
    Err(Refused::Invalid(message))
}

#[cfg(test)]
#[path = "control_tests.rs"]
mod tests;
