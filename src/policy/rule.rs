//! A rule: head, selectors, triggers, actions. Plain data, made once when its policy is loaded, shared by all
//! threads. Closures are named by their index in the policy; no Rhai value is here.

use super::action::quota::{Meters, Quota};
use super::action::{Edit, Limit, OnUnparsable, Route};
use super::error::Place;
use super::fault::Fault;
use super::fault::disk;
use super::fault::record::RecordFault;
use super::fault::reply::{ReplyFault, Scope};
use super::fault::sasl::SaslFault;
use super::fault::slow_broker::Queue;
use super::fault::stale::Past;
use super::glob::Glob;
use super::random::{Draws, Event, identity};
use super::replay::Forced;
use super::schema::{Schema, Schemas};
use super::selector::{Selectors, When};
use super::trigger::{Fired, Firing, Triggers};
use crate::security::sasl::Mechanism;
use crate::wire::{ApiKey, Operation};
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// A policy file as its rules know it.
#[derive(Debug)]
pub struct PolicyInfo {
    pub name: String,
    pub purpose: String,
    pub file: PathBuf,
    pub text: Arc<str>,
    /// Of the text: what is unchanged keeps its activation.
    pub hash: u128,
    pub seed: Option<u64>,
    pub expires: Option<Duration>,
    pub observe: bool,
    /// How many closures its script gives to rules.
    pub closures: usize,
    pub secrets: super::secrets::Secrets,
    /// Those it names, as they were when it was loaded.
    pub schemas: Schemas,
}

/// Which exchanges a rule is about.
#[derive(Debug, Clone, PartialEq)]
pub enum Head {
    Access(Operations),
    Connect,
    Produce,
    Fetch,
    Request(ApiSet),
    /// Topics that are made, grown or configured, by whichever api.
    Create,
    /// The embedded broker's log files.
    Disk(disk::Operations),
    /// The embedded broker itself, by the time of day.
    Broker,
}

impl Head {
    pub fn word(&self) -> &'static str {
        match self {
            Self::Access(_) => "on_access",
            Self::Connect => "on_connect",
            Self::Produce => "on_produce",
            Self::Fetch => "on_fetch",
            Self::Request(_) => "on_request",
            Self::Create => "on_create",
            Self::Disk(_) => "on_disk",
            Self::Broker => "on_broker",
        }
    }

    /// What the embedded broker does by itself: no exchange meets it.
    pub fn is_broker(&self) -> bool {
        matches!(self, Self::Disk(_) | Self::Broker)
    }

    pub fn covers(&self, api: ApiKey) -> bool {
        match self {
            Self::Access(_) | Self::Connect | Self::Disk(_) | Self::Broker => false,
            Self::Produce => api == ApiKey::Produce,
            Self::Fetch => api == ApiKey::Fetch,
            Self::Request(apis) => apis.contains(api),
            Self::Create => [
                ApiKey::CreateTopics,
                ApiKey::Metadata,
                ApiKey::CreatePartitions,
                ApiKey::AlterConfigs,
                ApiKey::IncrementalAlterConfigs,
                ApiKey::AlterPartitionReassignments,
            ]
            .contains(&api),
        }
    }
}

/// A set of Kafka's operations; empty means all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Operations(pub Vec<Operation>);

impl Operations {
    pub fn contains(&self, operation: Operation) -> bool {
        self.0.is_empty() || self.0.contains(&operation)
    }

    /// Whether an allow of these also allows `operation`, as Kafka's authorizer has it: who may read, write,
    /// delete or alter may describe.
    pub fn implies(&self, operation: Operation) -> bool {
        use Operation::*;
        let by: &[Operation] = match operation {
            Describe => &[Read, Write, Delete, Alter],
            DescribeConfigs => &[AlterConfigs],
            _ => &[],
        };
        self.contains(operation) || by.iter().any(|op| self.contains(*op))
    }
}

/// A set of apis, by key.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ApiSet(u128);

impl ApiSet {
    pub fn insert(&mut self, api: ApiKey) {
        if (0..128).contains(&api.0) {
            self.0 |= 1 << api.0;
        }
    }

    pub fn contains(&self, api: ApiKey) -> bool {
        (0..128).contains(&api.0) && self.0 & (1 << api.0) != 0
    }

    pub fn iter(&self) -> impl Iterator<Item = ApiKey> + '_ {
        (0..128).map(ApiKey).filter(|api| self.contains(*api))
    }
}

/// Security rules come first, whatever the file order; chaos meets what they let through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Security,
    Chaos,
}

/// What a rule does.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    Deny(Option<String>),
    Allow,
    /// Masks and headers.
    Edit(Edit),
    RequireHeader(Glob),
    Validate(Arc<Schema>),
    /// Takes what the checks before it refuse; without any, all that is selected.
    Route(Route),
    Limit(Limit),
    Quota(Quota),
    Audit,
    /// A closure over each record: its index among those of the policy, and its text.
    Each(When),
    Fault(Fault),
}

impl Action {
    pub fn kind(&self) -> Option<Kind> {
        match self {
            Self::Fault(_) => Some(Kind::Chaos),
            // what is written down takes no side
            Self::Audit => None,
            _ => Some(Kind::Security),
        }
    }

    /// Whether it works record by record rather than on the part.
    pub fn is_per_record(&self) -> bool {
        self.checks_records()
            || matches!(self, Self::Edit(_) | Self::Route(_) | Self::Fault(Fault::Record(_)))
    }

    /// Whether it refuses some of the records it looks at.
    pub fn checks_records(&self) -> bool {
        matches!(self, Self::RequireHeader(_) | Self::Validate(_) | Self::Each(_))
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Deny(None) => f.write_str("deny()"),
            Self::Deny(Some(reason)) => write!(f, "deny({reason})"),
            Self::Allow => f.write_str("allow()"),
            Self::Edit(Edit::Mask(mask)) => {
                write!(f, "mask({}, {}", mask.target, mask.how)?;
                match &mask.schema {
                    Some(schema) => write!(f, ", {schema})")?,
                    None => f.write_str(")")?,
                }
                match mask.on_unparsable {
                    OnUnparsable::Empty => Ok(()),
                    other => write!(f, ".on_unparsable({other:?})"),
                }
            }
            Self::Edit(Edit::Seal(seal)) => write!(f, "{seal}"),
            Self::Edit(Edit::SetHeader { name, value }) => write!(f, "set_header({name}, {value})"),
            Self::Edit(Edit::RemoveHeader(names)) => write!(f, "remove_header({names})"),
            Self::RequireHeader(name) => write!(f, "require_header({name})"),
            Self::Validate(schema) => write!(f, "validate({schema})"),
            Self::Route(route) => write!(f, "{route}"),
            Self::Limit(limit) => write!(f, "limit({limit})"),
            Self::Quota(quota) => write!(f, "{quota}"),
            Self::Audit => f.write_str("audit()"),
            Self::Each(closure) => write!(f, "each({})", closure.text),
            Self::Fault(fault) => write!(f, "{fault}"),
        }
    }
}

/// One rule.
#[derive(Debug)]
pub struct Rule {
    /// Its identity: of the policy's name and its own, the same after a reload.
    pub key: u64,
    pub policy: Arc<PolicyInfo>,
    /// Its `.named()`, else its canonical form and its ordinal among equals.
    pub name: String,
    pub place: Place,
    pub head: Head,
    pub selectors: Selectors,
    pub triggers: Triggers,
    pub actions: Vec<Action>,
    pub kind: Kind,
    /// It does nothing: it only watches, or all rules do in a dry run.
    pub observe: bool,
    /// It was written so, or its policy was.
    pub watches: bool,
    /// Of the rule itself; the policy may have one too.
    pub expires: Option<Duration>,
    pub seed: u64,
    /// Of a replay: what it has to do.
    pub forced: Option<Arc<Forced>>,
    pub life: Arc<Life>,
}

/// What of a rule survives the reload of its unchanged text.
#[derive(Debug)]
pub struct Life {
    /// The number of the generation that brought it.
    pub born: u64,
    /// On the policies' clock.
    pub activated: Duration,
    /// When its policy's text was first seen as it is now: what `expires` of the policy counts from.
    pub policy_activated: Duration,
    /// When its policy ends by what was said when it was added, on the policies' clock.
    pub until: Option<Duration>,
    pub counters: Arc<Counters>,
    pub fired: Arc<Fired>,
    /// Of a rule that makes a broker slow.
    pub queue: Arc<Queue>,
    /// Of a rule that tells of the past.
    pub past: Arc<Past>,
    /// Of a rule with quotas.
    pub meters: Arc<Meters>,
}

/// What happened to a rule, for metrics.
#[derive(Debug, Default)]
pub struct Counters {
    /// Parts (records, for record rules) that its selectors let through.
    pub matched: AtomicU64,
    /// Of these, what it was applied to (for a fault: injected).
    pub applied: AtomicU64,
    /// Of these, where it could not do what it says.
    pub could_not_apply: AtomicU64,
}

impl Counters {
    pub fn matched(&self) {
        self.matched.fetch_add(1, Ordering::Relaxed);
    }

    pub fn applied(&self) {
        self.applied.fetch_add(1, Ordering::Relaxed);
    }

    pub fn could_not_apply(&self) {
        self.could_not_apply.fetch_add(1, Ordering::Relaxed);
    }

    /// (matched, applied, could not apply)
    pub fn read(&self) -> (u64, u64, u64) {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        (read(&self.matched), read(&self.applied), read(&self.could_not_apply))
    }
}

impl Rule {
    pub fn is_expired(&self, now: Duration) -> bool {
        self.expires_at().is_some_and(|end| now >= end)
    }

    /// When it ends by itself, on the policies' clock: by its own time or its policy's. What protects does not: scripts
    /// that say so do not load, and whoever adds them cannot say so.
    pub fn expires_at(&self) -> Option<Duration> {
        let own = self.expires.map(|t| self.life.activated.saturating_add(t));
        let policys = self.policy.expires.map(|t| self.life.policy_activated.saturating_add(t));
        own.into_iter().chain(policys).chain(self.life.until).min()
    }

    /// Whether it still does what `before` did, whose place it took in a reload.
    pub fn continues(&self, before: &Rule) -> bool {
        self.key == before.key
            && self.observe == before.observe
            && self.head == before.head
            && self.selectors == before.selectors
            && self.triggers == before.triggers
            && self.actions == before.actions
    }

    pub fn firing(&self, now: Duration) -> Firing<'_> {
        Firing {
            rule: self.key,
            born: self.life.born,
            seed: self.seed,
            age: now.saturating_sub(self.life.activated),
            fired: &self.life.fired,
            forced: self.forced.as_deref(),
        }
    }

    /// Whether it must see the records of a part.
    pub fn needs_records(&self) -> bool {
        !self.selectors.records.is_empty() || self.actions.iter().any(Action::is_per_record)
    }

    /// Whether it decides about single records: lets them through or not, or writes them down.
    pub fn inspects_records(&self) -> bool {
        let about_records = !self.selectors.records.is_empty();
        self.kind == Kind::Security
            && self.has(|action| match action {
                Action::Route(_) => true,
                check if check.checks_records() => true,
                Action::Deny(_) | Action::Audit => about_records,
                _ => false,
            })
    }

    pub fn quotas(&self) -> impl Iterator<Item = &Quota> {
        self.actions.iter().filter_map(|action| match action {
            Action::Quota(quota) => Some(quota),
            _ => None,
        })
    }

    /// The faults of a rule that strikes single records; such a rule has no others.
    pub fn record_faults(&self) -> impl Iterator<Item = &RecordFault> {
        self.actions.iter().filter_map(|action| match action {
            Action::Fault(Fault::Record(fault)) => Some(fault),
            _ => None,
        })
    }

    /// The faults of a rule in what replies say; such a rule has no others.
    pub fn reply_faults(&self) -> impl Iterator<Item = &ReplyFault> {
        self.actions.iter().filter_map(|action| match action {
            Action::Fault(Fault::Reply(fault)) => Some(fault),
            _ => None,
        })
    }

    /// What of a reply they are about.
    pub fn reply_scope(&self) -> Option<Scope> {
        self.reply_faults().next().map(ReplyFault::scope)
    }

    /// Whether the sessions it matches are in a storm.
    pub fn storms(&self) -> bool {
        !self.observe && self.has(|action| matches!(action, Action::Fault(Fault::Storm)))
    }

    /// Whether it is about commits of transactions, not about aborts.
    pub fn wants_commit(&self) -> bool {
        self.has(|action| matches!(action, Action::Fault(Fault::LoseCommit | Fault::DelayCommit(_))))
    }

    /// The mechanism whose logins it is about; none: all.
    pub fn wants_mechanism(&self) -> Option<Mechanism> {
        self.actions.iter().find_map(|action| match action {
            Action::Fault(Fault::Sasl(SaslFault::Unsupported(mechanism))) => Some(*mechanism),
            _ => None,
        })
    }

    /// Where it routes records to.
    pub fn route(&self) -> Option<&Route> {
        self.actions.iter().find_map(|action| match action {
            Action::Route(route) => Some(route),
            _ => None,
        })
    }

    /// Whether it changes records.
    pub fn edits_records(&self) -> bool {
        self.has(|action| matches!(action, Action::Edit(_)))
    }

    /// Whether `.sessions(share)` chooses whoever `subject` is: once and for all, by nothing but the seed, the rule and the subject.
    pub fn chooses(&self, subject: u128, ordinal: u64) -> bool {
        self.selectors.who.sessions.is_none_or(|share| {
            // apart from what the triggers draw about the same event
            let subject = identity([b"sessions".as_slice(), &subject.to_le_bytes()]);
            Draws::new(self.seed, self.key, Event { subject, ordinal, attempt: 0 }).chance(share)
        })
    }

    pub fn has(&self, test: impl Fn(&Action) -> bool) -> bool {
        self.actions.iter().any(test)
    }

    /// Whether it refuses; not what only writes down.
    pub fn denies(&self) -> bool {
        self.has(|action| matches!(action, Action::Deny(_)))
    }

    /// Where it is written: `mask-customers.rhai:3`.
    pub fn written_at(&self) -> String {
        let file = self.policy.file.file_name().unwrap_or(self.policy.file.as_os_str());
        format!("{}:{}", file.to_string_lossy(), self.place.line)
    }
}

/// The identity of a rule: of its policy and its name.
pub fn rule_key(policy: &str, name: &str) -> u64 {
    identity([policy.as_bytes(), name.as_bytes()]) as u64
}

/// A rule in canonical form: equal for rules that say the same, however they are laid out.
pub fn canonical(head: &Head, selectors: &Selectors, triggers: &Triggers, actions: &[Action]) -> String {
    let about = match head {
        Head::Access(operations) => operations.0.iter().map(|op| op.name()).collect::<Vec<_>>().join(", "),
        Head::Request(apis) => apis.iter().map(|api| api.to_string()).collect::<Vec<_>>().join(", "),
        Head::Disk(operations) if *operations != disk::Operations::ALL => operations.to_string(),
        _ => String::new(),
    };
    let actions: String = actions.iter().map(|action| format!(".{action}")).collect();
    format!("{}({about}){selectors}{triggers}{actions}", head.word())
}
