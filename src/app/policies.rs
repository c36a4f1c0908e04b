//! The policies of a running server: loaded before the first client, watched, shown, counted. Joins the broker's topics to the
//! policies' names.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{IntCounterVec, Opts};

use super::config::Config;
use super::failure::Failure;
use crate::admin::{PoliciesStatus, PoliciesView, PolicyStatus, RuleStatus};
use crate::broker::Broker;
use crate::policy::generation::{Policies, Settings, Shared};
use crate::policy::journal::Lines;
use crate::policy::load::{self, Script};
use crate::policy::names::{Names, TopicIds};
use crate::policy::rule::Kind;
use crate::policy::secrets::Secrets;
use crate::policy::watch::Watcher;
use crate::wire::{Str, Uuid};

/// Files beside the data: one JSON line an injection, and one a security decision that is audited.
const JOURNAL: &str = "journal.jsonl";
const AUDIT: &str = "audit.jsonl";

/// Loads the folder's policies, all or none, and gets ready to watch it. A folder nobody named may be missing.
pub fn open(config: &Config, broker: &Arc<Broker>) -> Result<(Arc<Policies>, Option<Watcher>), Failure> {
    let seed = match config.policies.seed {
        Some(seed) => seed,
        None => drawn()?,
    };
    let lines = |name: &str| {
        let path = config.data.join(name);
        Lines::open(&path).map_err(|e| Failure::cannot(format!("{} cannot be written: {e}", path.display())))
    };
    let shared = Shared::new(Settings {
        seed,
        names: Names::new(Arc::new(Topics(Arc::clone(broker)))),
        journal: lines(JOURNAL)?,
        audit: lines(AUDIT)?,
        secrets: Secrets::new(None),
        ..Settings::default()
    });
    let policies = Policies::new(shared);
    let folder = &config.policies.folder;
    if !folder.exists() && !config.policies.named {
        tracing::info!(folder = %folder.display(), "there is no such folder: no policies");
        return Ok((policies, None));
    }
    let scripts = read(folder)?;
    policies.load(&scripts).map_err(|errors| Failure::usage(load::join(&errors)))?;
    tracing::info!(folder = %folder.display(), seed, "policies");
    for policy in &policies.current().policies {
        let info = &policy.info;
        let mode = if info.observe { " (observes only)" } else { "" };
        tracing::info!("  {}{mode}: {}", info.name, info.purpose);
    }
    let watcher = Watcher::new(folder.clone(), Arc::clone(&policies), scripts)
        .map_err(|e| Failure::cannot(format!("{} cannot be watched: {e}", folder.display())))?;
    Ok((policies, Some(watcher)))
}

/// Whether the policies could be taken into force; how many there are.
pub fn check(config: &Config) -> Result<usize, Failure> {
    let folder = &config.policies.folder;
    if !folder.exists() && !config.policies.named {
        return Ok(0);
    }
    let scripts = read(folder)?;
    let policies = Policies::new(Shared::new(Settings::default()));
    policies.load(&scripts).map_err(|errors| Failure::usage(load::join(&errors)))?;
    Ok(scripts.len())
}

fn read(folder: &Path) -> Result<Vec<Script>, Failure> {
    load::read_folder(folder).map_err(|e| Failure::usage(e.to_string()))
}

fn drawn() -> Result<u64, Failure> {
    getrandom::u64().map_err(|e| Failure::cannot(format!("no seed can be drawn: {e}")))
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

    fn knows_all(&self) -> bool {
        true
    }
}

/// What the admin address shows of the policies.
pub struct Shown(pub Arc<Policies>);

impl PoliciesView for Shown {
    fn policies(&self) -> PoliciesStatus {
        let generation = self.0.current();
        let now = generation.shared.clock.now();
        let policies = generation.policies.iter().map(|policy| PolicyStatus {
            name: policy.info.name.clone(),
            purpose: policy.info.purpose.clone(),
            file: policy.info.file.display().to_string(),
            mode: if policy.info.observe { "observe" } else { "enforce" }.to_owned(),
            expires_in_ms: policy.info.expires.map(|after| {
                let begun = policy.rules.first().map_or(now, |rule| rule.life.policy_activated);
                millis((begun + after).saturating_sub(now))
            }),
            rules: policy
                .rules
                .iter()
                .map(|rule| {
                    let (matched, applied, could_not_apply) = rule.life.counters.read();
                    RuleStatus {
                        name: rule.name.clone(),
                        kind: match rule.kind {
                            Kind::Security => "security",
                            Kind::Chaos => "chaos",
                        }
                        .to_owned(),
                        matched,
                        applied,
                        could_not_apply,
                    }
                })
                .collect(),
        });
        PoliciesStatus {
            generation: generation.number,
            policies: policies.collect(),
            refused_change: self.0.refused_change(),
        }
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// The counters of the rules in force. Its label sets are what the operator wrote, so they are bounded by that.
pub struct RuleCollector {
    policies: Arc<Policies>,
    descs: Vec<Desc>,
}

const RULE_COUNTERS: [(&str, &str); 3] = [
    ("tollgate_rule_matched_total", "Exchanges or parts a rule's selectors matched."),
    ("tollgate_rule_applied_total", "Times a rule's action was carried out."),
    ("tollgate_rule_could_not_apply_total", "Times a rule fired and its action had no place to take effect."),
];

impl RuleCollector {
    pub fn new(policies: Arc<Policies>) -> Result<Self, prometheus::Error> {
        let mut descs = Vec::new();
        for (name, help) in RULE_COUNTERS {
            descs.extend(counter(name, help)?.desc().into_iter().cloned());
        }
        Ok(Self { policies, descs })
    }
}

fn counter(name: &str, help: &str) -> Result<IntCounterVec, prometheus::Error> {
    IntCounterVec::new(Opts::new(name, help), &["policy", "rule"])
}

impl Collector for RuleCollector {
    fn desc(&self) -> Vec<&Desc> {
        self.descs.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let generation = self.policies.current();
        let mut families = Vec::new();
        for (which, (name, help)) in RULE_COUNTERS.into_iter().enumerate() {
            let Ok(vec) = counter(name, help) else { continue };
            for rule in generation.policies.iter().flat_map(|policy| &policy.rules) {
                let (matched, applied, could_not) = rule.life.counters.read();
                let value = [matched, applied, could_not].get(which).copied().unwrap_or_default();
                vec.with_label_values(&[rule.policy.name.as_str(), rule.name.as_str()]).inc_by(value);
            }
            families.extend(vec.collect());
        }
        families
    }
}
