//! The handle through which the set of policies in force is found and replaced.

use super::{Generation, LoadedPolicy, Shared};
use crate::policy::control::{Added, Origin, Sets, Source, SwitchedOff};
use crate::policy::error::LoadError;
use crate::policy::fault::Fault;
use crate::policy::fault::disk::DiskFault;
use crate::policy::load::Script;
use crate::policy::rule::{Action, Counters, Head, Kind, Life, PolicyInfo, Rule, rule_key};
use crate::policy::script;
use crate::policy::trigger::Fired;
use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;
use tokio::sync::watch;

/// The set in force, and how it is replaced.
#[derive(Debug)]
pub struct Policies {
    shared: Arc<Shared>,
    sets: Mutex<Sets>,
    current: RwLock<Arc<Generation>>,
    number: AtomicU64,
    /// Tells those who wait for the next set.
    changed: watch::Sender<u64>,
    /// Why the last change was not taken.
    refused: Mutex<Option<String>>,
    refusals: AtomicU64,
}

impl Policies {
    /// No policies yet.
    pub fn new(shared: Arc<Shared>) -> Arc<Self> {
        let first = Arc::new(Generation::new(0, Vec::new(), SwitchedOff::default(), Arc::clone(&shared)));
        Arc::new(Self {
            shared,
            sets: Mutex::default(),
            current: RwLock::new(first),
            number: AtomicU64::new(0),
            changed: watch::Sender::new(0),
            refused: Mutex::default(),
            refusals: AtomicU64::new(0),
        })
    }

    pub fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// The set in force.
    pub fn current(&self) -> Arc<Generation> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Its number: one load, to see whether what is held is still it.
    pub fn number(&self) -> u64 {
        self.number.load(Ordering::Acquire)
    }

    /// Tells of every set that comes into force from here on.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// Why the last change was not taken; None when the set in force is the latest.
    pub fn refused_change(&self) -> Option<String> {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The same reason again, as it is found at every look at the folder, is the same refusal.
    pub fn set_refused(&self, why: Option<String>) {
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        if why.is_some() && *refused != why {
            self.refusals.fetch_add(1, Ordering::Relaxed);
        }
        *refused = why;
    }

    /// Changes that were not taken.
    pub fn refusals(&self) -> u64 {
        self.refusals.load(Ordering::Relaxed)
    }

    /// Loads the scripts of the folder and puts them into force, all of them or none. What was added beside them stays.
    pub fn load(&self, scripts: &[Script]) -> Result<Arc<Generation>, Vec<LoadError>> {
        let mut sets = self.sets();
        let mut next = sets.clone();
        next.folder = scripts.to_vec();
        let read = self.read(&next, None)?;
        Ok(self.install(&mut sets, next, read))
    }

    /// What the set in force is made of. Held while it is changed: changes come one after the other.
    pub(in crate::policy) fn sets(&self) -> MutexGuard<'_, Sets> {
        self.sets.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads all scripts of a set. What did not change is not run again: its closures stay where threads have them. But for
    /// the one that is to begin `anew`.
    pub(in crate::policy) fn read(
        &self,
        sets: &Sets,
        anew: Option<&str>,
    ) -> Result<Vec<New>, Vec<LoadError>> {
        let current = self.current();
        let mut loaded: Vec<New> = Vec::new();
        let mut errors = Vec::new();
        for source in sets.in_order() {
            let Source { script, added } = source;
            let unchanged = current.loaded.iter().find(|policy| {
                policy.info.file == script.file
                    && policy.info.text == script.text
                    && policy.origin == source.origin()
                    && policy.info.schemas.are_current()
                    && anew.is_none_or(|anew| source.origin() == Origin::Folder || policy.info.name != anew)
            });
            match unchanged {
                Some(policy) => loaded.push(New::Unchanged(Arc::clone(policy))),
                None => match script::read(&script.file, &script.text, &self.shared.surroundings())
                    .and_then(|policy| added.map_or(Ok(()), |added| added.accepts(&policy)).map(|()| policy))
                    .and_then(|policy| self.allows(script, policy))
                {
                    Ok(policy) => loaded.push(New::Read(policy, added.cloned())),
                    Err(error) => errors.push(error),
                },
            }
        }
        let mut names: HashMap<&str, &New> = HashMap::new();
        for new in &loaded {
            let info = new.info();
            if let Some(other) = names.insert(&info.name, new) {
                // whoever finds what the other added says so in the file that can be changed here
                let (of, other) = match new.origin() {
                    Origin::Folder => (info, other),
                    Origin::Api => (other.info(), new),
                };
                let why = match other.origin() {
                    Origin::Folder => {
                        format!(
                            "the policy of {} is named \"{}\" as well",
                            other.info().file.display(),
                            of.name
                        )
                    }
                    Origin::Api => format!(
                        "a policy named \"{}\" was added through the admin API; remove it there first, or name this one \
                         otherwise",
                        of.name
                    ),
                };
                errors.push(LoadError::of_file(&of.file, why));
            }
        }
        for name in sets.added.keys() {
            if let Some(file) = sets.same_file(name) {
                let why =
                    format!("a policy \"{name}\" with a file of this name was added through the admin API");
                errors.push(LoadError::of_file(file, why));
            }
        }
        if errors.is_empty() { Ok(loaded) } else { Err(errors) }
    }

    /// Refuses what this process does not let a policy do.
    fn allows(&self, script: &Script, policy: script::Policy) -> Result<script::Policy, LoadError> {
        let crashes = |action: &Action| matches!(action, Action::Fault(Fault::Disk(DiskFault::CrashAt(_))));
        let crash = policy.rules.iter().find(|rule| rule.spec.actions.iter().any(crashes));
        match crash {
            Some(rule) if !self.shared.allow_crash => {
                let why = "`crash_at` ends the whole process, which this server does not allow its policies: start it \
                           with `--allow-crash true` (`allow_crash = true` in its file)";
                Err(LoadError::at(&script.file, &script.text, rule.spec.place, why))
            }
            _ => Ok(policy),
        }
    }

    /// Puts what was read of `next` into force.
    pub(in crate::policy) fn install(
        &self,
        sets: &mut Sets,
        mut next: Sets,
        read: Vec<New>,
    ) -> Arc<Generation> {
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        let now = self.shared.clock.now();
        let lives: HashMap<u64, Arc<Life>> = current
            .loaded
            .iter()
            .flat_map(|policy| &policy.rules)
            .map(|rule| (rule.key, Arc::clone(&rule.life)))
            .collect();
        let number = current.number + 1;
        let loaded: Vec<Arc<LoadedPolicy>> = read
            .into_iter()
            .map(|new| match new {
                New::Unchanged(policy) => policy,
                New::Read(policy, added) => {
                    Arc::new(enliven(policy, added, (number, now), &lives, &self.shared))
                }
            })
            .collect();
        next.off.forget_what_is_gone(&loaded);
        let off = next.off.clone();
        *sets = next;
        let next = Arc::new(Generation::new(number, loaded, off, Arc::clone(&self.shared)));
        *current = Arc::clone(&next);
        self.number.store(number, Ordering::Release);
        self.shared.disk_rules.set(next.broker.iter().filter_map(|rule| match rule.head {
            Head::Disk(operations) => Some(operations),
            _ => None,
        }));
        self.shared.pauses.set_possible(&next);
        drop(current);
        self.changed.send_replace(number);
        self.tidy(&next);
        next
    }

    /// Forgets what no rule in force can use any more.
    fn tidy(&self, generation: &Generation) {
        // what is switched off comes back with what it counted
        let rules = || generation.loaded.iter().flat_map(|policy| &policy.rules);
        let keys: HashSet<u64> = rules().map(|rule| rule.key).collect();
        let births = rules().map(|rule| rule.life.born).collect();
        self.shared.subjects.retain_rules(|rule| keys.contains(&rule), &births);
        self.shared.state.retain(|policy, name, kind| {
            let names = |p: &LoadedPolicy| p.state_names.iter().any(|(n, k)| n == name && *k == kind);
            generation.loaded.iter().any(|p| p.info.name == policy && names(p))
        });
    }
}

/// A policy of the next set.
pub(in crate::policy) enum New {
    Unchanged(Arc<LoadedPolicy>),
    Read(script::Policy, Option<Added>),
}

impl New {
    pub(in crate::policy) fn info(&self) -> &PolicyInfo {
        match self {
            Self::Unchanged(policy) => &policy.info,
            Self::Read(policy, _) => &policy.info,
        }
    }

    fn origin(&self) -> Origin {
        match self {
            Self::Unchanged(policy) => policy.origin,
            Self::Read(_, added) => Origin::of(added.as_ref()),
        }
    }

    /// Whether something of it protects.
    pub(in crate::policy) fn is_security(&self) -> bool {
        match self {
            Self::Unchanged(policy) => policy.is_security(),
            Self::Read(policy, _) => {
                let protects = |rule: &script::RuleSpec| rule.spec.kind == Kind::Security;
                policy.default_deny.is_some() || policy.rules.iter().any(protects)
            }
        }
    }
}

/// Gives the rules of a policy their identities, and the lives of those that were there before.
fn enliven(
    policy: script::Policy,
    added: Option<Added>,
    (number, now): (u64, Duration),
    lives: &HashMap<u64, Arc<Life>>,
    shared: &Shared,
) -> LoadedPolicy {
    let info = policy.info;
    let until = added.as_ref().and_then(|added| added.until);
    let rules = policy.rules.into_iter().map(|mut named| {
        if let Some(name) = added.as_ref().filter(|added| added.is_rule).map(|added| &added.name) {
            named.name.clone_from(name);
        }
        let key = rule_key(&info.name, &named.name);
        let spec = named.spec;
        let life = match lives.get(&key) {
            // its text changed, so its `expires` counts anew; the rule did not, so the rest goes on
            Some(old) => Life {
                born: old.born,
                activated: old.activated,
                policy_activated: now,
                until,
                counters: Arc::clone(&old.counters),
                fired: Arc::clone(&old.fired),
                queue: Arc::clone(&old.queue),
                meters: Arc::clone(&old.meters),
                past: Arc::clone(&old.past),
            },
            None => Life {
                born: number,
                activated: now,
                policy_activated: now,
                until,
                counters: Arc::new(Counters::default()),
                fired: Arc::new(Fired::default()),
                queue: Arc::default(),
                meters: Arc::default(),
                past: Arc::default(),
            },
        };
        let forced = match (&shared.replay, spec.kind) {
            (Some(replay), Kind::Chaos) => Some(replay.of(&info.name, &named.name)),
            _ => None,
        };
        let seed = forced.as_ref().and_then(|forced| forced.seed).or(shared.forced_seed).or(info.seed);
        Arc::new(Rule {
            key,
            policy: Arc::clone(&info),
            name: named.name,
            place: spec.place,
            head: spec.head,
            selectors: spec.selectors,
            triggers: spec.triggers,
            actions: spec.actions,
            kind: spec.kind,
            // in a dry run nothing is done, whatever a policy says
            observe: spec.observe || info.observe || shared.watch_only,
            watches: spec.observe || info.observe,
            expires: spec.expires,
            seed: seed.unwrap_or(shared.seed),
            forced,
            life: Arc::new(life),
        })
    });
    LoadedPolicy {
        rules: rules.collect(),
        info: Arc::clone(&info),
        default_deny: policy.default_deny,
        tests: policy.tests,
        origin: Origin::of(added.as_ref()),
        state_names: policy.state_names,
        until,
    }
}
