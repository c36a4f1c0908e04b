//! Asking the access rules about an exchange, as Kafka's own authorizer is asked.

use super::report::Told;
use super::{About, Holds, PartState, Round};
use crate::policy::access::Decided;
use crate::policy::rule::{Action, Rule};
use crate::policy::verdict::Outcome;
use crate::wire::api::{CLUSTER, Part, Resource};
use crate::wire::{ApiKey, ErrorCode, Operation, RequestBody, ResponseBody, Str, Uuid};
use std::sync::Arc;

/// What decides where no rule does, in the audit trail.
const DEFAULT_DENY: &str = "default_deny()";
const ACLS: &str = "ACLs";
/// In place of a topic's name, where any will do.
const ANY: &str = "*";

impl Round<'_> {
    /// What the exchange as a whole asks for; the code it is refused with. `also` is the second thing it is about.
    pub(super) fn access_whole(&self, whole: Option<&Part>, also: Option<&Part>) -> Option<ErrorCode> {
        let info = self.api.info()?;
        let asked = [
            whole.and_then(|part| Some((part, info.asked_of_whole(part.resource)?))),
            also.and_then(|part| Some((part, info.also?))),
        ];
        let asks = asked.iter().any(Option::is_some) || info.parts.is_some() || info.listed.is_some();
        let closed = self.plan.access.allows_nothing() && !self.shared.watch_only;
        if !asks && !self.api.precedes_principals() && closed {
            return Some(ErrorCode::CLUSTER_AUTHORIZATION_FAILED);
        }
        asked.into_iter().flatten().find_map(|(part, operation)| {
            // a token for oneself
            if part.resource == Resource::User && *part.name == *self.who.principal {
                return None;
            }
            let about = self.about(part, None, None);
            // a producer without a transactional id may have one of two rights
            if self.api == ApiKey::InitProducerId && part.resource == Resource::Cluster {
                return self.access_idempotent(about);
            }
            let mut state = self.state(about);
            let allowed = match self.api {
                ApiKey::WriteTxnMarkers => self.may_end_transactions(operation, &mut state),
                _ => self.allowed(operation, &mut state),
            };
            (!allowed).then(|| part.resource.refusal())
        })
    }

    /// What each part asks for: refused parts get their outcome.
    pub(super) fn access_parts(&self, body: &RequestBody, parts: &mut [PartState]) {
        let Some(operation) = self.api.info().and_then(|info| info.parts) else { return };
        let creates = creates_topics(body, self.version);
        for part in parts.iter_mut().filter(|part| part.is_open()) {
            let allowed = match part.about.resource {
                None => true,
                _ if self.api == ApiKey::CreateTopics => self.may_create(part, false).allowed,
                Some(resource) => {
                    let decided = self.decide(operation, resource, part);
                    part.would_be_refused = !decided.would_be_allowed();
                    let told = part.would_be_refused;
                    self.book(operation, part, &decided)
                        && (creates != Creates::Always
                            || self.exists(part)
                            || self.may_create(part, told).allowed)
                }
            };
            if !allowed {
                let code = part.refusal();
                let by_acls = std::mem::take(&mut part.refused_by_acls);
                // as Kafka, ACLs do not explain themselves
                let message =
                    (!by_acls).then(|| format!("not authorized: {} is refused by policy", operation.name()));
                part.outcome = Outcome::Answer { code, message, records: Vec::new() };
            }
        }
    }

    /// Takes auto-creation out of a Metadata request that may not create what it names. True when it did.
    pub(super) fn access_creation(&self, body: &RequestBody, parts: &mut [PartState]) -> bool {
        if creates_topics(body, self.version) != Creates::IfAsked {
            return false;
        }
        // one refusal takes it out for all; what would be refused as a whole does not come to it
        let mut told = false;
        parts.iter_mut().any(|part| {
            if !part.is_open() || self.exists(part) {
                return false;
            }
            let create = self.may_create(part, told || part.would_be_refused);
            told |= !create.would_be_allowed && !part.would_be_refused;
            !create.allowed
        })
    }

    /// Takes out of a reply what may not be described. True when something went.
    pub(super) fn access_listing(&self, body: &mut ResponseBody) -> bool {
        let Some(operation) = self.api.info().and_then(|info| info.listed) else { return false };
        // as Kafka has it, who may describe the cluster may list its groups, and whoever may not is told of those it may describe
        let all = (self.api == ApiKey::ListGroups).then(|| {
            let mut cluster = self.state(cluster());
            (self.decide(operation, Resource::Cluster, &mut cluster), cluster)
        });
        if let Some((decided, cluster)) = all.as_ref().filter(|(decided, _)| decided.would_be_allowed()) {
            self.keep_books(operation, &cluster.about, decided);
            return false;
        }
        let all_allowed = all.as_ref().is_some_and(|(decided, _)| decided.allowed);
        let (mut edited, mut by_all) = (false, false);
        body.retain(self.version, &mut |part| {
            let about = self.about(part, None, None);
            if about.unknown {
                let keep = all_allowed || self.shared.watch_only;
                edited |= !keep;
                return keep;
            }
            let mut state = self.state(about);
            let decided = self.decide(operation, part.resource, &mut state);
            if all_allowed && !decided.allowed {
                by_all = true;
                return true;
            }
            let keep = self.book(operation, &mut state, &decided);
            edited |= !keep;
            keep
        });
        if let Some((decided, cluster)) = all.filter(|_| by_all) {
            self.keep_books(operation, &cluster.about, &decided);
        }
        edited | self.seal_cursor(body)
    }

    /// A page may end before a topic that must not be described: its name leaves sealed. True when it did.
    fn seal_cursor(&self, body: &mut ResponseBody) -> bool {
        let ResponseBody::DescribeTopicPartitions(response) = body else { return false };
        let Some(cursor) = &mut response.next_cursor else { return false };
        let about = self.about(&Part::topic(&cursor.topic_name, Uuid::ZERO), None, None);
        if self.allowed(Operation::Describe, &mut self.state(about)) {
            return false;
        }
        match self.shared.cursors.seal(&cursor.topic_name) {
            Some(sealed) => cursor.topic_name = sealed.into(),
            // Cut short, and nothing told.
            None => response.next_cursor = None,
        }
        true
    }

    /// The topic that a request's sealed cursor stands for. An error when it was not sealed here, or is the name of what its
    /// reader must not know of: hidden topics take up room in a page, so that who could go on from any name would find theirs.
    pub(super) fn open_cursor(&self, body: &RequestBody) -> Option<Result<Str, ()>> {
        let RequestBody::DescribeTopicPartitions(request) = body else { return None };
        let name = &request.cursor.as_ref()?.topic_name;
        if let Some(opened) = self.shared.cursors.open(name) {
            return Some(opened.map(Str::from));
        }
        let lists_all = request.topics.is_empty() && self.plan.access.is_active();
        (lists_all && !self.may(Operation::Describe, Resource::Topic, name)).then_some(Err(()))
    }

    /// Decides one pair, and keeps the books.
    fn allowed(&self, operation: Operation, part: &mut PartState) -> bool {
        let Some(resource) = part.about.resource else { return true };
        let decided = self.decide(operation, resource, part);
        self.book(operation, part, &decided)
    }

    /// Decides one pair, of which nothing is counted or written down yet.
    fn decide(&self, operation: Operation, resource: Resource, part: &mut PartState) -> Decided {
        let name = part.about.name.clone();
        self.plan.access.decide(self.who, operation, resource, &name, |rule| self.applies(rule, part))
    }

    /// Keeps the books of what was decided. Whether it is let through.
    fn book(&self, operation: Operation, part: &mut PartState, decided: &Decided) -> bool {
        self.keep_books(operation, &part.about, decided);
        part.refused_by_acls = decided.by_acls && !decided.allowed;
        self.lets_through(decided)
    }

    /// In a dry run nothing is refused.
    fn lets_through(&self, decided: &Decided) -> bool {
        decided.allowed || self.shared.watch_only
    }

    fn keep_books(&self, operation: Operation, about: &About, decided: &Decided) {
        let ruling = &*decided.ruling;
        // what only watches would not have refused what the ACLs allow, but by a rule
        let observed = ruling.observed.iter().filter(|rule| rule.is_some() || !decided.by_acls);
        for rule in observed {
            let counters = rule.as_ref().map(|rule| &rule.life.counters);
            counters.inspect(|counters| {
                counters.matched();
                counters.applied();
            });
            let refuses = rule.as_ref().is_none_or(|rule| rule.denies());
            let told = Told {
                rule: rule.as_deref(),
                otherwise: DEFAULT_DENY,
                decision: if refuses { "deny" } else { "audit" },
                reason: Some(operation.name()),
                records: None,
                observed: refuses,
            };
            self.audit(about, told);
        }
        let by = ruling.by.as_ref().filter(|_| !decided.by_acls);
        if let Some(rule) = by.or(ruling.would_allow.as_ref()) {
            rule.life.counters.matched();
            rule.life.counters.applied();
        }
        let by = by.map(|rule| &**rule);
        if !decided.allowed || by.is_some_and(super::report::audits) {
            let decision = if decided.allowed { "allow" } else { "deny" };
            let told = Told {
                rule: by,
                otherwise: if decided.by_acls { ACLS } else { DEFAULT_DENY },
                decision,
                reason: Some(operation.name()),
                records: None,
                observed: self.shared.watch_only,
            };
            self.audit(about, told);
        }
    }

    /// A rule's `.when`: what cannot be answered refuses, so a deny holds and an allow does not.
    pub(super) fn applies(&self, rule: &Arc<Rule>, part: &mut PartState) -> bool {
        // resources are alternatives in access rules, and were looked at already
        let Some(when) = &rule.selectors.when else { return true };
        let closure = super::Closure { policy: &rule.policy, index: when.closure, state: &self.shared.state };
        match super::closure::when(closure, &self.cx(part)) {
            Ok(holds) => holds,
            Err(error) => {
                self.closure_failed(rule, &error);
                !rule.has(|action| matches!(action, Action::Allow))
            }
        }
    }

    /// Create on the cluster, or on the topic. Both are asked before either is written down, and only what decides is: nothing
    /// where the refusal was `told` already, unless this refuses as well.
    fn may_create(&self, part: &mut PartState, told: bool) -> Permit {
        let mut on_all = self.state(cluster());
        let on_cluster = self.decide(Operation::Create, Resource::Cluster, &mut on_all);
        let on_topic = match on_cluster.would_be_allowed() {
            true => None,
            false => Some(self.decide(Operation::Create, Resource::Topic, part)),
        };
        let (decided, about) = match &on_topic {
            Some(on_topic) if on_topic.allowed || !on_cluster.allowed => (on_topic, &part.about),
            _ => (&on_cluster, &on_all.about),
        };
        let allowed = self.lets_through(decided);
        if !told || !allowed {
            self.keep_books(Operation::Create, about, decided);
        }
        let permit = Permit { allowed, would_be_allowed: decided.would_be_allowed() };
        part.refused_by_acls = decided.by_acls && !decided.allowed;
        permit
    }

    fn exists(&self, part: &PartState) -> bool {
        self.shared.names.exists(&part.about.name).unwrap_or(false)
    }

    /// ClusterAction, or Alter on the cluster, which is as good for a tool that ends a transaction which hangs.
    fn may_end_transactions(&self, operation: Operation, cluster: &mut PartState) -> bool {
        let alter = self.decide(Operation::Alter, Resource::Cluster, cluster);
        if alter.would_be_allowed() {
            return self.book(Operation::Alter, cluster, &alter);
        }
        let action = self.decide(operation, Resource::Cluster, cluster);
        match alter.allowed && !action.allowed {
            true => self.book(Operation::Alter, cluster, &alter),
            false => self.book(operation, cluster, &action),
        }
    }

    /// IdempotentWrite on the cluster, or Write on any topic.
    fn access_idempotent(&self, about: About) -> Option<ErrorCode> {
        let mut part = self.state(about);
        let writes = self
            .plan
            .access
            .any(self.who, Operation::Write, Resource::Topic, |rule| self.applies(rule, &mut part));
        let idempotent = match writes.would_be_allowed() {
            true => None,
            false => Some(self.decide(Operation::IdempotentWrite, Resource::Cluster, &mut part)),
        };
        let allowed = match idempotent {
            Some(idempotent) if idempotent.allowed || !writes.allowed => {
                self.book(Operation::IdempotentWrite, &mut part, &idempotent)
            }
            _ => {
                let any = About {
                    resource: Some(Resource::Topic),
                    name: ANY.into(),
                    partition: -1,
                    ..About::default()
                };
                self.keep_books(Operation::Write, &any, &writes);
                self.lets_through(&writes)
            }
        };
        (!allowed).then_some(ErrorCode::CLUSTER_AUTHORIZATION_FAILED)
    }
}

fn cluster() -> About {
    About { resource: Some(Resource::Cluster), name: CLUSTER.into(), ..About::default() }
}

/// What was decided about one right or another.
#[derive(Debug, Clone, Copy)]
struct Permit {
    allowed: bool,
    /// Also if what only watches were in force.
    would_be_allowed: bool,
}

/// Whether a request creates topics that are missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Creates {
    Never,
    /// It can be told not to.
    IfAsked,
    /// Its version cannot say.
    Always,
}

fn creates_topics(body: &RequestBody, version: i16) -> Creates {
    match body {
        RequestBody::Metadata(_) if version < 4 => Creates::Always,
        RequestBody::Metadata(body) if body.allow_auto_topic_creation => Creates::IfAsked,
        _ => Creates::Never,
    }
}

impl Holds {
    /// For security: what cannot be answered holds.
    pub(super) fn or_failed(&self) -> bool {
        !matches!(self, Self::No)
    }
}
