//! Access control in Kafka's own terms: each api asks for (operation, resource) pairs; any deny wins over any
//! allow; with `default_deny()` what no allow names is refused. Where the upstream keeps ACLs they are asked as well, and
//! what neither they nor a script allow is refused.

use super::acl::{AclRuling, Acls, Asked};
use super::generation::Who;
use super::plan::REMEMBERED_NAME_BYTES;
use super::rule::{Action, Head, Operations, Rule};
use super::selector::Selectors;
use crate::wire::Operation;
use crate::wire::api::Resource;
use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

/// What is remembered of decisions. Names are a stranger's choice.
const KNOWN_BYTES: usize = 4 << 20;
/// What one costs beside its name.
const RULING_BYTES: usize = 160;

/// The access rules that can concern one (principal, client id).
#[derive(Debug, Default)]
pub struct Access {
    denies: Vec<Arc<Rule>>,
    allows: Vec<Arc<Rule>>,
    /// Policies that say `default_deny()` and mean it.
    default_deny: bool,
    /// Policies that say it in observe mode only.
    default_deny_observed: bool,
    /// A `.when` must be asked every time.
    has_conditions: bool,
    /// Asked besides the rules. What they said is not remembered here: they depend on who asks from where, and change.
    acls: Option<Arc<dyn Acls>>,
    known: RwLock<Known>,
}

/// Decisions by operation and kind.
#[derive(Debug, Default)]
struct Known {
    by_pair: HashMap<(Operation, Resource), ByName>,
    bytes: usize,
}

type ByName = HashMap<Box<str>, Arc<Ruling>>;

/// What was decided about one pair.
#[derive(Debug)]
pub struct Decided {
    pub allowed: bool,
    /// What the rules say.
    pub ruling: Arc<Ruling>,
    /// It is the ACLs that allow or refuse it, whatever the rules would have come to.
    pub by_acls: bool,
}

/// What the rules say about one pair, and which of them: none when `default_deny()` does, or its absence.
#[derive(Debug, Clone, Default)]
pub struct Ruling {
    pub allowed: bool,
    pub by: Option<Arc<Rule>>,
    /// Rules that only watch and would have refused; none stands for an observed `default_deny()`.
    pub observed: Vec<Option<Arc<Rule>>>,
    /// One that only watches and would have allowed what an observed `default_deny()` would have refused.
    pub would_allow: Option<Arc<Rule>>,
}

impl Decided {
    /// Whether it would be allowed as well if what only watches were in force. What only watches would not refuse what the
    /// ACLs allow, but by a rule.
    pub fn would_be_allowed(&self) -> bool {
        let refuses = |by: &Option<Arc<Rule>>| by.as_ref().map_or(!self.by_acls, |rule| rule.denies());
        self.allowed && !self.ruling.observed.iter().any(refuses)
    }
}

impl Access {
    pub fn new(
        rules: impl Iterator<Item = Arc<Rule>>,
        (default_deny, observed): (bool, bool),
        acls: Option<Arc<dyn Acls>>,
    ) -> Self {
        let (allows, denies): (Vec<_>, Vec<_>) =
            rules.partition(|rule| rule.has(|action| matches!(action, Action::Allow)));
        let has_conditions = allows.iter().chain(&denies).any(|rule| rule.selectors.when.is_some());
        Self {
            denies,
            allows,
            default_deny,
            default_deny_observed: observed,
            has_conditions,
            acls,
            known: RwLock::default(),
        }
    }

    /// Whether anything could be refused, or must be written down.
    pub fn is_active(&self) -> bool {
        self.default_deny || self.default_deny_observed || !self.denies.is_empty() || self.acls.is_some()
    }

    /// Whether whoever this is about may do nothing at all: then it is not told either what Kafka asks no right for.
    pub fn allows_nothing(&self) -> bool {
        self.default_deny && self.acls.is_none() && self.allows.iter().all(|rule| rule.watches)
    }

    pub fn rules(&self) -> impl Iterator<Item = &Arc<Rule>> {
        self.denies.iter().chain(&self.allows)
    }

    /// Decides one pair. `holds` answers a rule's `.when`; what a failure of it means depends on the rule, and
    /// is its own business: a deny then holds, an allow does not.
    pub fn decide(
        &self,
        who: &Who,
        operation: Operation,
        resource: Resource,
        name: &str,
        holds: impl FnMut(&Arc<Rule>) -> bool,
    ) -> Decided {
        let ruling = self.rule(operation, resource, name, holds);
        let by_rules = |ruling: Arc<Ruling>| Decided { allowed: ruling.allowed, ruling, by_acls: false };
        let by_acls = |allowed, ruling| Decided { allowed, ruling, by_acls: true };
        let Some(acls) = &self.acls else { return by_rules(ruling) };
        // a script's deny
        if !ruling.allowed && ruling.by.is_some() {
            return by_rules(ruling);
        }
        match acls.decide(&asked(who, operation, resource), name) {
            AclRuling::Denied => by_acls(false, ruling),
            // its allow
            AclRuling::Allowed | AclRuling::Refused | AclRuling::Open if ruling.by.is_some() => {
                by_rules(ruling)
            }
            AclRuling::Allowed => by_acls(true, ruling),
            AclRuling::Refused => by_acls(false, ruling),
            // `default_deny()` closes what is open to everybody
            AclRuling::Open => by_rules(ruling),
        }
    }

    /// What the rules say.
    fn rule(
        &self,
        operation: Operation,
        resource: Resource,
        name: &str,
        holds: impl FnMut(&Arc<Rule>) -> bool,
    ) -> Arc<Ruling> {
        if self.has_conditions || name.len() > REMEMBERED_NAME_BYTES {
            return Arc::new(self.find(operation, resource, name, holds));
        }
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(ruling) = known.by_pair.get(&(operation, resource)).and_then(|names| names.get(name)) {
            return Arc::clone(ruling);
        }
        drop(known);
        let ruling = Arc::new(self.find(operation, resource, name, holds));
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if known.bytes >= KNOWN_BYTES {
            *known = Known::default();
        }
        known.bytes += name.len() + RULING_BYTES;
        known.by_pair.entry((operation, resource)).or_default().insert(name.into(), Arc::clone(&ruling));
        ruling
    }

    /// How many bytes are said to be remembered, and how many are.
    #[cfg(test)]
    pub(super) fn remembered(&self) -> (usize, usize) {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let names = known.by_pair.values().flat_map(|names| names.keys());
        (known.bytes, names.map(|name| name.len() + RULING_BYTES).sum())
    }

    fn find(
        &self,
        operation: Operation,
        resource: Resource,
        name: &str,
        mut holds: impl FnMut(&Arc<Rule>) -> bool,
    ) -> Ruling {
        let mut observed = Vec::new();
        let about = |rule: &Arc<Rule>, asks: &dyn Fn(&Operations) -> bool| {
            matches!(&rule.head, Head::Access(operations) if asks(operations))
                && names(&rule.selectors, resource, name)
        };
        for rule in &self.denies {
            if !about(rule, &|operations| operations.contains(operation)) || !holds(rule) {
                continue;
            }
            if rule.watches || !rule.denies() {
                // it watches, or only writes down
                observed.push(Some(Arc::clone(rule)));
                continue;
            }
            return Ruling { by: Some(Arc::clone(rule)), observed, ..Ruling::default() };
        }
        let asks_allows = self.default_deny || self.default_deny_observed || self.acls.is_some();
        if !asks_allows {
            return Ruling { allowed: true, observed, ..Ruling::default() };
        }
        for rule in self.allows.iter().filter(|rule| !rule.watches) {
            if about(rule, &|operations| operations.implies(operation)) && holds(rule) {
                let by = Some(Arc::clone(rule));
                return Ruling { allowed: true, by, observed, ..Ruling::default() };
            }
        }
        let mut would_allow = None;
        if !self.default_deny
            && self.default_deny_observed
            && !observed.iter().flatten().any(|rule| rule.denies())
        {
            let mut watching = self.allows.iter().filter(|rule| rule.watches);
            would_allow = watching
                .find(|rule| about(rule, &|operations| operations.implies(operation)) && holds(rule))
                .cloned();
            if would_allow.is_none() {
                observed.push(None);
            }
        }
        Ruling { allowed: !self.default_deny, by: None, observed, would_allow }
    }

    /// Decides whether an allow names this operation on any resource of the kind at all, and no deny takes every one:
    /// what Kafka asks of a producer that has no transactional id.
    pub fn any(
        &self,
        who: &Who,
        operation: Operation,
        resource: Resource,
        mut holds: impl FnMut(&Arc<Rule>) -> bool,
    ) -> Decided {
        let about = |rule: &Arc<Rule>| {
            matches!(&rule.head, Head::Access(operations) if operations.contains(operation))
                && named(&rule.selectors, resource)
        };
        let by_rules =
            |ruling: Ruling| Decided { allowed: ruling.allowed, ruling: Arc::new(ruling), by_acls: false };
        let mut observed = Vec::new();
        for rule in &self.denies {
            if !about(rule) || !rule.denies() || !takes_all(&rule.selectors, resource) || !holds(rule) {
                continue;
            }
            if !rule.watches {
                return by_rules(Ruling { by: Some(Arc::clone(rule)), observed, ..Ruling::default() });
            }
            observed.push(Some(Arc::clone(rule)));
        }
        let acls = self.acls.as_ref().map(|acls| acls.decide_any(&asked(who, operation, resource)));
        let by_acls = |allowed, observed| Decided {
            allowed,
            ruling: Arc::new(Ruling { allowed, observed, ..Ruling::default() }),
            by_acls: true,
        };
        match acls {
            Some(AclRuling::Denied) => return by_acls(false, observed),
            Some(AclRuling::Allowed) => return by_acls(true, observed),
            Some(AclRuling::Open | AclRuling::Refused) | None => {}
        }
        let asks_allows = self.default_deny || self.default_deny_observed || acls.is_some();
        let mut allowing = |watches: bool| {
            self.allows.iter().find(|rule| rule.watches == watches && about(rule) && holds(rule))
        };
        if let Some(by) = asks_allows.then(|| allowing(false)).flatten() {
            return by_rules(Ruling { allowed: true, by: Some(Arc::clone(by)), observed, would_allow: None });
        }
        if acls == Some(AclRuling::Refused) {
            return by_acls(false, observed);
        }
        let mut would_allow = None;
        if !self.default_deny && self.default_deny_observed && observed.is_empty() {
            would_allow = allowing(true).cloned();
            if would_allow.is_none() {
                observed.push(None);
            }
        }
        by_rules(Ruling { allowed: !self.default_deny, by: None, observed, would_allow })
    }
}

fn asked(who: &Who, operation: Operation, resource: Resource) -> Asked<'_> {
    Asked { principal: &who.principal, host: who.remote_ip, operation, resource }
}

/// Whether the resource selectors, which are alternatives here, name this resource. None at all name all.
fn names(selectors: &Selectors, resource: Resource, name: &str) -> bool {
    let named = |patterns: &Option<super::glob::Patterns>| patterns.as_ref().is_some_and(|p| p.matches(name));
    if names_nothing(selectors) {
        return true;
    }
    match resource {
        Resource::Topic => !selectors.topics.is_empty() && selectors.topic_matches(name),
        Resource::Group => named(&selectors.groups),
        Resource::TransactionalId => named(&selectors.transactional_ids),
        Resource::Cluster => selectors.cluster,
        Resource::User | Resource::DelegationToken => false,
    }
}

/// Whether a resource of this kind could be named.
fn named(selectors: &Selectors, resource: Resource) -> bool {
    names_nothing(selectors)
        || match resource {
            Resource::Topic => !selectors.topics.is_empty(),
            Resource::Group => selectors.groups.is_some(),
            Resource::TransactionalId => selectors.transactional_ids.is_some(),
            Resource::Cluster => selectors.cluster,
            Resource::User | Resource::DelegationToken => false,
        }
}

/// Whether every resource of this kind is named.
fn takes_all(selectors: &Selectors, resource: Resource) -> bool {
    names_nothing(selectors)
        || match resource {
            Resource::Topic => {
                !selectors.topics.is_empty() && selectors.topics.iter().all(|list| list.is_any())
            }
            Resource::Group => selectors.groups.as_ref().is_some_and(|list| list.is_any()),
            Resource::TransactionalId => {
                selectors.transactional_ids.as_ref().is_some_and(|list| list.is_any())
            }
            Resource::Cluster => selectors.cluster,
            Resource::User | Resource::DelegationToken => false,
        }
}

fn names_nothing(selectors: &Selectors) -> bool {
    selectors.topics.is_empty()
        && selectors.groups.is_none()
        && selectors.transactional_ids.is_none()
        && !selectors.cluster
}
