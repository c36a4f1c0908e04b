//! The policies of a running server: loaded before the first client, watched, shown, counted. Joins the broker's topics to the
//! policies' names.

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::config::Config;
use super::failure::Failure;
use super::rotate::{Closed, RotatingFile};
use crate::admin::{
    LineCounts, PoliciesStatus, PoliciesView, PolicyCounts, PolicyScript, PolicyStatus, RuleStatus,
};
use crate::broker::Broker;
use crate::broker::acl::{AclRuling, Authorizer};
use crate::policy::acl::{self, Acls, Asked};
use crate::policy::generation::{EmbeddedBroker, Generation, LoadedPolicy, Policies, Settings, Shared};
use crate::policy::journal::Lines;
use crate::policy::load::{self, Script};
use crate::policy::names::{Names, TopicDefaults, TopicIds};
use crate::policy::replay::Replay;
use crate::policy::rule::{Kind, Rule};
use crate::policy::schema::Schemas;
use crate::policy::secrets::Secrets;
use crate::policy::watch::Watcher;
use crate::wire::{Str, Uuid};

/// What a server's policies come with.
pub struct Opened {
    pub policies: Arc<Policies>,
    pub watcher: Option<Watcher>,
    /// Tell when the last line of journal and audit trail is written.
    pub ends: Vec<Closed>,
}

/// Loads the folder's policies, all or none, and gets ready to watch it. A folder nobody named may be missing.
pub fn open(config: &Config, broker: &Arc<Broker>) -> Result<Opened, Failure> {
    let seed = match config.policies.seed {
        Some(seed) => seed,
        None => drawn()?,
    };
    let replay = config.policies.replay.as_deref().map(|path| replayed(path, config)).transpose()?;
    let mut ends = Vec::new();
    let mut lines = |file: &Option<PathBuf>| {
        let Some(path) = file else { return Ok(Lines::none()) };
        RotatingFile::open(path, config.policies.lines)
            .and_then(|(file, end)| {
                ends.push(end);
                Lines::to(file)
            })
            .map_err(|e| Failure::cannot(format!("{} cannot be written: {e}", path.display())))
    };
    let shared = Shared::new(Settings {
        seed,
        names: Names::new(Arc::new(Topics(Arc::clone(broker)))),
        acls: broker.acls().authorizer().map(|acls| Arc::new(BrokerAcls(Arc::clone(acls))) as Arc<dyn Acls>),
        journal: lines(&config.policies.journal)?,
        audit: lines(&config.policies.audit)?,
        secrets: Secrets::new(config.policies.secrets.clone()),
        schemas: schemas(config),
        replay,
        allow_crash: config.policies.allow_crash,
        broker: Some(Arc::new(Truncates(Arc::clone(broker)))),
        node_id: config.broker.node_id,
        ..Settings::default()
    });
    let policies = Policies::new(shared);
    let folder = &config.policies.folder;
    if !folder.exists() && !config.policies.named {
        every_rule_is_there(&policies)?;
        tracing::info!(folder = %folder.display(), "there is no such folder: no policies");
        return Ok(Opened { policies, watcher: None, ends });
    }
    let scripts = read(folder)?;
    policies.load(&scripts).map_err(|errors| Failure::usage(load::join(&errors)))?;
    every_rule_is_there(&policies)?;
    tracing::info!(folder = %folder.display(), seed, "policies");
    for policy in &policies.current().policies {
        let info = &policy.info;
        let mode = if info.observe { " (observes only)" } else { "" };
        tracing::info!("  {}{mode}: {}", info.name, info.purpose);
    }
    let watcher = Watcher::new(folder.clone(), Arc::clone(&policies), scripts)
        .map_err(|e| Failure::cannot(format!("{} cannot be watched: {e}", folder.display())))?;
    Ok(Opened { policies, watcher: Some(watcher), ends })
}

/// Whether the policies could be taken into force; how many there are.
pub fn check(config: &Config) -> Result<usize, Failure> {
    let folder = &config.policies.folder;
    if !folder.exists() && !config.policies.named {
        return Ok(0);
    }
    let scripts = read(folder)?;
    let secrets = Secrets::new(config.policies.secrets.clone());
    let allow_crash = config.policies.allow_crash;
    let policies = Policies::new(Shared::new(Settings {
        secrets,
        schemas: schemas(config),
        allow_crash,
        ..Settings::default()
    }));
    policies.load(&scripts).map_err(|errors| Failure::usage(load::join(&errors)))?;
    Ok(scripts.len())
}

fn schemas(config: &Config) -> Schemas {
    let folder = config.policies.schemas.clone();
    Schemas::new(Some(folder.unwrap_or_else(|| config.policies.folder.join("schemas"))))
}

fn read(folder: &Path) -> Result<Vec<Script>, Failure> {
    load::read_folder(folder).map_err(|e| Failure::usage(e.to_string()))
}

fn drawn() -> Result<u64, Failure> {
    getrandom::u64().map_err(|e| Failure::cannot(format!("no seed can be drawn: {e}")))
}

/// The embedded broker, as far as faults reach into it.
struct Truncates(Arc<Broker>);

impl std::fmt::Debug for Truncates {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Truncates")
    }
}

impl EmbeddedBroker for Truncates {
    fn truncate(&self, topic: &str, partition: i32, records: u64) -> bool {
        self.0.truncate(topic, partition, records)
    }
}

/// The embedded broker's topics.
struct Topics(Arc<Broker>);

impl TopicIds for Topics {
    fn name(&self, id: Uuid) -> Option<Str> {
        self.0.catalogue().topic_by_id(id).map(|topic| topic.name().clone())
    }

    fn exists(&self, name: &str) -> Option<bool> {
        Some(self.0.catalogue().topic(name).is_some())
    }

    /// There is one node, so one replica.
    fn defaults(&self) -> Option<TopicDefaults> {
        Some(TopicDefaults { partitions: self.0.settings().num_partitions, replication: 1 })
    }

    fn knows_all(&self) -> bool {
        true
    }
}

/// The embedded broker's ACLs.
#[derive(Debug)]
struct BrokerAcls(Arc<Authorizer>);

impl Acls for BrokerAcls {
    fn decide(&self, asked: &Asked<'_>, name: &str) -> acl::AclRuling {
        said(self.0.decide(asked.principal, asked.host, asked.operation, asked.resource, name))
    }

    fn decide_any(&self, asked: &Asked<'_>) -> acl::AclRuling {
        said(self.0.decide_any(asked.principal, asked.host, asked.operation, asked.resource))
    }
}

fn said(ruling: AclRuling) -> acl::AclRuling {
    match ruling {
        AclRuling::Denied => acl::AclRuling::Denied,
        AclRuling::Allowed => acl::AclRuling::Allowed,
        AclRuling::ByDefault(true) => acl::AclRuling::Open,
        AclRuling::Refused | AclRuling::ByDefault(false) => acl::AclRuling::Refused,
    }
}

/// What the admin address shows of the policies.
pub struct Shown(pub Arc<Policies>);

impl PoliciesView for Shown {
    fn policies(&self) -> PoliciesStatus {
        let generation = self.0.current();
        PoliciesStatus {
            generation: generation.number,
            policies: generation.loaded.iter().map(|policy| status(&generation, policy)).collect(),
            refused_change: self.0.refused_change(),
        }
    }

    fn policy(&self, name: &str) -> Option<PolicyScript> {
        let generation = self.0.current();
        let policy = generation.policy(name)?;
        Some(PolicyScript { status: status(&generation, policy), text: policy.info.text.to_string() })
    }

    fn counts(&self) -> PolicyCounts {
        let shared = self.0.shared();
        let lines = |lines: &Lines| {
            let (written, dropped) = lines.counts();
            LineCounts { written, dropped }
        };
        PolicyCounts {
            generation: self.0.number(),
            refused_changes: self.0.refusals(),
            evicted_subjects: shared.subjects.evicted(),
            evicted_window_keys: shared.state.evicted(),
            closure_failures: shared.closure_failures.load(Ordering::Relaxed),
            journal: lines(&shared.journal),
            audit: lines(&shared.audit),
        }
    }
}

fn status(generation: &Generation, policy: &LoadedPolicy) -> PolicyStatus {
    let now = generation.shared.clock.now();
    let left = |end: Duration| millis(end.saturating_sub(now));
    let rule = |rule: &Arc<Rule>| {
        let (matched, applied, could_not_apply) = rule.life.counters.read();
        RuleStatus {
            name: rule.name.clone(),
            line: rule.place.line,
            kind: match rule.kind {
                Kind::Security => "security",
                Kind::Chaos => "chaos",
            }
            .to_owned(),
            enabled: !generation.off.leaves_out(rule),
            observe: rule.observe,
            expires_in_ms: rule.expires_at().map(left),
            matched,
            applied,
            could_not_apply,
        }
    };
    PolicyStatus {
        name: policy.info.name.clone(),
        purpose: policy.info.purpose.clone(),
        file: policy.info.file.display().to_string(),
        origin: policy.origin.name().to_owned(),
        enabled: !generation.off.has_policy(&policy.info.name),
        mode: if policy.info.observe { "observe" } else { "enforce" }.to_owned(),
        expires_in_ms: policy.ends_at().map(left),
        rules: policy.rules.iter().map(rule).collect(),
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// The journal to be replayed.
fn replayed(path: &Path, config: &Config) -> Result<Replay, Failure> {
    let same = |other: &PathBuf| match (path.canonicalize(), other.canonicalize()) {
        (Ok(one), Ok(other)) => one == other,
        _ => false,
    };
    if config.policies.journal.as_ref().is_some_and(same) {
        return Err(Failure::usage(format!(
            "{} is the journal that this server writes: name another with --journal",
            path.display()
        )));
    }
    let file =
        File::open(path).map_err(|e| Failure::usage(format!("{} cannot be read: {e}", path.display())))?;
    let replay = Replay::read(BufReader::new(file))
        .map_err(|e| Failure::usage(format!("{} cannot be replayed: {e}", path.display())))?;
    tracing::info!(journal = %path.display(), injections = replay.injections, "replayed");
    if replay.dropped > 0 {
        tracing::warn!(dropped = replay.dropped, "the journal misses injections: so will the replay");
    }
    Ok(replay)
}

/// A rule that a journal names and nobody has cannot do again what it did.
fn every_rule_is_there(policies: &Policies) -> Result<(), Failure> {
    let Some(replay) = &policies.shared().replay else { return Ok(()) };
    let current = policies.current();
    let rules = current.policies.iter().flat_map(|policy| &policy.rules);
    let missing = replay.missing(rules.map(|rule| (rule.policy.name.as_str(), rule.name.as_str())));
    if missing.is_empty() {
        return Ok(());
    }
    let names: Vec<String> = missing.into_iter().collect();
    Err(Failure::usage(format!("the journal has rules that no policy has now: {}", names.join("; "))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::identity::SUBJECTS;

    #[test]
    fn what_was_given_up_is_counted() {
        let policies = Policies::new(Shared::new(Settings::default()));
        let shown = Shown(Arc::clone(&policies));
        assert_eq!(shown.counts(), PolicyCounts::default());
        let script = |text: &str| Script { file: "p.rhai".into(), text: text.into() };
        policies.load(&[script("on_produce(\"t\").audit();")]).unwrap();
        for why in [Some("a"), Some("a"), Some("b"), None, Some("b")] {
            policies.set_refused(why.map(ToOwned::to_owned));
        }
        let shared = policies.shared();
        (0..=SUBJECTS as u128).for_each(|subject| {
            shared.subjects.next(subject, 0);
        });
        shared.closure_failures.fetch_add(2, Ordering::Relaxed);
        let counts = shown.counts();
        assert_eq!((counts.generation, counts.refused_changes, counts.closure_failures), (1, 3, 2));
        assert!(counts.evicted_subjects >= 1);
    }
}
