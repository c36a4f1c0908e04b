//! One set of policies, immutable: what an exchange begins with it ends with. And the handle through which the
//! set in force is found and replaced.

use super::acl::Acls;
use super::clock::Clock;
use super::control::{Added, Origin, Sets, Source, SwitchedOff};
use super::cursor::CursorKey;
use super::error::{LoadError, Place};
use super::fault::Fault;
use super::fault::disk::{Concerned, DiskFault};
use super::identity::Subjects;
use super::journal::Lines;
use super::journal::line::line;
use super::letters::Letters;
use super::load::Script;
use super::names::{Names, NoTopics};
use super::pause::Pauses;
use super::plan::{Plan, PlanCache};
use super::replay::Replay;
use super::rule::{Action, Counters, Head, Kind, Life, PolicyInfo, Rule, rule_key};
use super::schema::Schemas;
use super::script::{self, Surroundings, TestSpec};
use super::secrets::Secrets;
use super::sequences::Sequences;
use super::state::StateStore;
use super::trigger::Fired;
use super::waits::Waits;
use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;
use tokio::sync::watch;

/// Fifty times what a closure needs for each of 100,000 records.
const CLOSURES_WALL: Duration = Duration::from_secs(8);

/// What all generations of a process share.
#[derive(Debug)]
pub struct Shared {
    pub clock: Clock,
    /// Of policies without a seed of their own.
    pub seed: u64,
    /// Of all policies, whatever they say: of tests.
    forced_seed: Option<u64>,
    pub subjects: Subjects,
    pub state: Arc<StateStore>,
    pub names: Names,
    /// The upstream's access control lists, where it enforces any.
    pub acls: Option<Arc<dyn Acls>>,
    pub journal: Arc<Lines>,
    pub audit: Arc<Lines>,
    pub secrets: Secrets,
    pub schemas: Schemas,
    /// Faults happen as this says, and not otherwise.
    pub replay: Option<Replay>,
    pub closures_wall: Duration,
    /// Whether a rule may end the process.
    allow_crash: bool,
    /// Every policy is in observe mode.
    watch_only: bool,
    /// Which operations of the disk rules in force are about: asked before every one.
    pub disk_rules: Concerned,
    pub pauses: Pauses,
    /// Requests that wait for others.
    pub waits: Waits,
    /// What of the embedded broker faults can reach.
    pub broker: Option<Arc<dyn EmbeddedBroker>>,
    /// Of the broker that clients come to.
    pub node_id: i32,
    /// Closures that failed.
    pub closure_failures: AtomicU64,
    pub(super) cursors: CursorKey,
    /// Of producers whose batches lost or gained records.
    pub sequences: Sequences,
    pub letters: Letters,
}

impl Shared {
    pub fn new(settings: Settings) -> Arc<Self> {
        let journal = Arc::new(settings.journal);
        let told = Arc::clone(&journal);
        Arc::new(Self {
            subjects: Subjects::new(move |subject| told.put(&Evicted::new(subject))),
            state: StateStore::new(settings.clock.clone()),
            clock: settings.clock,
            seed: settings.seed,
            forced_seed: settings.forced_seed,
            names: settings.names,
            acls: settings.acls,
            journal,
            audit: Arc::new(settings.audit),
            secrets: settings.secrets,
            schemas: settings.schemas,
            replay: settings.replay,
            closures_wall: settings.closures_wall,
            allow_crash: settings.allow_crash,
            watch_only: settings.watch_only,
            disk_rules: Concerned::default(),
            pauses: Pauses::default(),
            waits: Waits::default(),
            broker: settings.broker,
            node_id: settings.node_id,
            closure_failures: AtomicU64::new(0),
            cursors: CursorKey::random(),
            sequences: Sequences::default(),
            letters: Letters::default(),
        })
    }

    pub fn surroundings(&self) -> Surroundings {
        Surroundings {
            state: Arc::clone(&self.state),
            secrets: self.secrets.clone(),
            schemas: self.schemas.clone(),
        }
    }
}

/// What a process gives its policies.
#[derive(Debug)]
pub struct Settings {
    pub clock: Clock,
    pub seed: u64,
    /// Goes before the policies' own seeds.
    pub forced_seed: Option<u64>,
    pub names: Names,
    pub acls: Option<Arc<dyn Acls>>,
    pub journal: Lines,
    pub audit: Lines,
    pub secrets: Secrets,
    pub schemas: Schemas,
    /// A journal that is made to happen again.
    pub replay: Option<Replay>,
    /// How long the closures on the records of one request or response may take together; then they failed.
    pub closures_wall: Duration,
    /// Whether `crash_at` may end the process: what is not allowed does not load.
    pub allow_crash: bool,
    /// Whether all rules only watch, as in a dry run.
    pub watch_only: bool,
    pub broker: Option<Arc<dyn EmbeddedBroker>>,
    /// Kafka's `node.id` of the broker that clients come to; there is one.
    pub node_id: i32,
}

/// The broker in this process, as far as faults reach into it.
pub trait EmbeddedBroker: std::fmt::Debug + Send + Sync {
    /// Takes the newest records off a partition; never waits. False: it cannot.
    fn truncate(&self, topic: &str, partition: i32, records: u64) -> bool;
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            clock: Clock::system(),
            seed: 0,
            forced_seed: None,
            names: Names::new(Arc::new(NoTopics)),
            acls: None,
            journal: Lines::none(),
            audit: Lines::none(),
            secrets: Secrets::default(),
            schemas: Schemas::default(),
            replay: None,
            closures_wall: CLOSURES_WALL,
            allow_crash: false,
            watch_only: false,
            broker: None,
            node_id: 1,
        }
    }
}

line! {
/// A subject that had to be forgotten: its next event counts from zero.
pub struct Evicted {
    /// Milliseconds since 1970.
    time: u64,
    /// Its number, in hexadecimal.
    evicted_subject: String,
}
}

impl Evicted {
    fn new(subject: u128) -> Self {
        Self { time: super::journal::now(), evicted_subject: format!("{subject:032x}") }
    }
}

/// A policy in force.
#[derive(Debug)]
pub struct LoadedPolicy {
    pub info: Arc<PolicyInfo>,
    pub rules: Vec<Arc<Rule>>,
    pub default_deny: Option<Place>,
    pub tests: Vec<TestSpec>,
    pub origin: Origin,
    state_names: Vec<(String, super::state::Kind)>,
    /// When it ends by what was said when it was added, on the policies' clock.
    pub until: Option<Duration>,
}

impl LoadedPolicy {
    /// Whether something of it protects.
    pub fn is_security(&self) -> bool {
        self.default_deny.is_some() || self.rules.iter().any(|rule| rule.kind == Kind::Security)
    }

    /// When the last of it ends by itself, on the policies' clock.
    pub fn ends_at(&self) -> Option<Duration> {
        if self.default_deny.is_some() || self.rules.is_empty() {
            return self.until;
        }
        let ends: Option<Vec<Duration>> = self.rules.iter().map(|rule| rule.expires_at()).collect();
        ends.and_then(|ends| ends.into_iter().max())
    }

    /// What is left of it without what is switched off. None: nothing.
    fn without(self: &Arc<Self>, off: &SwitchedOff) -> Option<Arc<Self>> {
        let name = &self.info.name;
        let default_deny = self.default_deny.filter(|_| !off.leaves_out_protection(name));
        if default_deny == self.default_deny && !self.rules.iter().any(|rule| off.leaves_out(rule)) {
            return Some(Arc::clone(self));
        }
        let rules: Vec<Arc<Rule>> = self.rules.iter().filter(|rule| !off.leaves_out(rule)).cloned().collect();
        (default_deny.is_some() || !rules.is_empty()).then(|| {
            Arc::new(Self {
                info: Arc::clone(&self.info),
                rules,
                default_deny,
                tests: self.tests.clone(),
                origin: self.origin,
                state_names: self.state_names.clone(),
                until: self.until,
            })
        })
    }
}

/// A set of policies.
#[derive(Debug)]
pub struct Generation {
    /// Counts the sets that were in force.
    pub number: u64,
    /// What is in force, in name order of their files: rules that are switched off are not among them.
    pub policies: Vec<Arc<LoadedPolicy>>,
    /// All that was loaded, what is switched off included.
    pub loaded: Vec<Arc<LoadedPolicy>>,
    pub off: SwitchedOff,
    pub shared: Arc<Shared>,
    plans: PlanCache,
    /// Those on what the embedded broker does by itself.
    broker: Vec<Arc<Rule>>,
}

/// Who speaks. The same for a session, but for the client id, which a client may change with every request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Who {
    pub principal: Arc<str>,
    pub client_id: Arc<str>,
    pub listener: Arc<str>,
    pub remote_ip: IpAddr,
}

impl Generation {
    fn new(number: u64, loaded: Vec<Arc<LoadedPolicy>>, off: SwitchedOff, shared: Arc<Shared>) -> Self {
        let policies: Vec<Arc<LoadedPolicy>> =
            loaded.iter().filter_map(|policy| policy.without(&off)).collect();
        let rules = policies.iter().flat_map(|policy| &policy.rules);
        let broker = rules.filter(|rule| rule.head.is_broker()).cloned().collect();
        Self { number, policies, loaded, off, shared, plans: PlanCache::default(), broker }
    }

    /// The policy of this name, whether it is in force or switched off.
    pub fn policy(&self, name: &str) -> Option<&Arc<LoadedPolicy>> {
        self.loaded.iter().find(|policy| policy.info.name == name)
    }

    /// The rules that can concern this client: cached.
    pub fn plan(self: &Arc<Self>, who: &Who) -> Arc<Plan> {
        self.plans.find(self, who)
    }

    /// All rules of a kind, in the order they are met.
    pub fn rules(&self, kind: Kind) -> impl Iterator<Item = &Arc<Rule>> {
        self.policies.iter().flat_map(|policy| &policy.rules).filter(move |rule| rule.kind == kind)
    }

    /// The rule of this identity.
    pub fn rule(&self, key: u64) -> Option<&Arc<Rule>> {
        self.policies.iter().flat_map(|policy| &policy.rules).find(|rule| rule.key == key)
    }

    /// `default_deny()` in force, and in policies that only watch.
    pub fn default_deny(&self) -> (bool, bool) {
        let says =
            |observe| self.policies.iter().any(|p| p.default_deny.is_some() && p.info.observe == observe);
        (says(false), says(true))
    }

    /// The rules on what the embedded broker does by itself, in the order they are met.
    pub fn broker_rules(&self) -> &[Arc<Rule>] {
        &self.broker
    }

    /// The rules on sessions that begin.
    pub fn connect_rules(&self, kind: Kind) -> impl Iterator<Item = &Arc<Rule>> {
        self.rules(kind).filter(|rule| rule.head == Head::Connect)
    }
}

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
    pub(super) fn sets(&self) -> MutexGuard<'_, Sets> {
        self.sets.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads all scripts of a set. What did not change is not run again: its closures stay where threads have them. But for
    /// the one that is to begin `anew`.
    pub(super) fn read(&self, sets: &Sets, anew: Option<&str>) -> Result<Vec<New>, Vec<LoadError>> {
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
                    .map(|policy| self.watches(policy))
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

    /// In a dry run nothing is done, whatever a policy says.
    fn watches(&self, mut policy: script::Policy) -> script::Policy {
        if self.shared.watch_only
            && let Some(info) = Arc::get_mut(&mut policy.info)
        {
            info.observe = true;
        }
        policy
    }

    /// Puts what was read of `next` into force.
    pub(super) fn install(&self, sets: &mut Sets, mut next: Sets, read: Vec<New>) -> Arc<Generation> {
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
pub(super) enum New {
    Unchanged(Arc<LoadedPolicy>),
    Read(script::Policy, Option<Added>),
}

impl New {
    pub(super) fn info(&self) -> &PolicyInfo {
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
    pub(super) fn is_security(&self) -> bool {
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
            observe: spec.observe || info.observe,
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
