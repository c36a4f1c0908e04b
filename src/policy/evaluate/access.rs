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

impl Round<'_> {
    /// What the exchange as a whole asks for; the code it is refused with. `also` is the second thing it is about.
    pub(super) fn access_whole(&self, whole: Option<&Part>, also: Option<&Part>) -> Option<ErrorCode> {
        let info = self.api.info()?;
        let asked = [
            whole.and_then(|part| Some((part, info.asked_of_whole(part.resource)?))),
            also.and_then(|part| Some((part, info.also?))),
        ];
        let asks = asked.iter().any(Option::is_some) || info.parts.is_some() || info.listed.is_some();
        if !asks && !self.api.precedes_principals() && self.plan.access.allows_nothing() {
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
            if self.api == ApiKey::WriteTxnMarkers && self.may_alter_cluster(&mut state) {
                return None;
            }
            (!self.allowed(operation, &mut state)).then(|| part.resource.refusal())
        })
    }

    /// What each part asks for: refused parts get their outcome.
    pub(super) fn access_parts(&self, body: &RequestBody, parts: &mut [PartState]) {
        let Some(operation) = self.api.info().and_then(|info| info.parts) else { return };
        let creates = creates_topics(body, self.version);
        for part in parts.iter_mut().filter(|part| part.is_open()) {
            let allowed = match part.about.resource {
                None => true,
                _ if self.api == ApiKey::CreateTopics => self.may_create(part),
                Some(_) => {
                    self.allowed(operation, part)
                        && (creates != Creates::Always || self.exists(part) || self.may_create(part))
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
        creates_topics(body, self.version) == Creates::IfAsked
            && parts.iter_mut().any(|part| part.is_open() && !self.exists(part) && !self.may_create(part))
    }

    /// Takes out of a reply what may not be described. True when something went.
    pub(super) fn access_listing(&self, body: &mut ResponseBody) -> bool {
        let Some(operation) = self.api.info().and_then(|info| info.listed) else { return false };
        // as Kafka has it, who may describe the cluster may list its groups
        let lists_all = self.api == ApiKey::ListGroups && {
            let about = About { resource: Some(Resource::Cluster), name: CLUSTER.into(), ..About::default() };
            self.allowed(operation, &mut self.state(about))
        };
        let mut edited = false;
        body.retain(self.version, &mut |part| {
            let keep = lists_all || {
                let about = self.about(part, None, None);
                !about.unknown && self.allowed(operation, &mut self.state(about))
            };
            edited |= !keep;
            keep
        });
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
        let name = part.about.name.clone();
        let access = &self.plan.access;
        let decided = access.decide(self.who, operation, resource, &name, |rule| self.applies(rule, part));
        self.keep_books(operation, part, &decided);
        part.refused_by_acls = decided.by_acls && !decided.allowed;
        decided.allowed
    }

    fn keep_books(&self, operation: Operation, part: &PartState, decided: &Decided) {
        let ruling = &*decided.ruling;
        // what only watches would not have refused what the ACLs allow, but by a rule
        let observed = ruling.observed.iter().filter(|rule| rule.is_some() || !decided.by_acls);
        for rule in observed {
            let counters = rule.as_ref().map(|rule| &rule.life.counters);
            counters.inspect(|counters| {
                counters.matched();
                counters.applied();
            });
            let refuses = rule.as_ref().is_none_or(|rule| rule.has(|a| matches!(a, Action::Deny(_))));
            let told = Told {
                rule: rule.as_deref(),
                otherwise: DEFAULT_DENY,
                decision: if refuses { "deny" } else { "audit" },
                reason: Some(operation.name()),
                records: None,
                observed: refuses,
            };
            self.audit(&part.about, told);
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
                observed: false,
            };
            self.audit(&part.about, told);
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

    /// Create on the topic, or on the cluster.
    fn may_create(&self, part: &mut PartState) -> bool {
        let about = About { resource: Some(Resource::Cluster), name: CLUSTER.into(), ..About::default() };
        let mut cluster = self.state(about);
        let name = part.about.name.clone();
        // asked of both before either is written down as refused
        let on_cluster =
            self.plan.access.decide(self.who, Operation::Create, Resource::Cluster, CLUSTER, |rule| {
                self.applies(rule, &mut cluster)
            });
        if on_cluster.allowed {
            self.keep_books(Operation::Create, &cluster, &on_cluster);
            return true;
        }
        let on_topic = self
            .plan
            .access
            .decide(self.who, Operation::Create, Resource::Topic, &name, |rule| self.applies(rule, part));
        self.keep_books(Operation::Create, part, &on_topic);
        part.refused_by_acls = on_topic.by_acls && !on_topic.allowed;
        on_topic.allowed
    }

    fn exists(&self, part: &PartState) -> bool {
        self.shared.names.exists(&part.about.name).unwrap_or(false)
    }

    /// What is as good as ClusterAction for a tool that ends a transaction which hangs; it is not a refusal yet.
    fn may_alter_cluster(&self, cluster: &mut PartState) -> bool {
        let decided =
            self.plan.access.decide(self.who, Operation::Alter, Resource::Cluster, CLUSTER, |rule| {
                self.applies(rule, cluster)
            });
        if decided.allowed {
            self.keep_books(Operation::Alter, cluster, &decided);
        }
        decided.allowed
    }

    /// IdempotentWrite on the cluster, or Write on any topic.
    fn access_idempotent(&self, about: About) -> Option<ErrorCode> {
        let mut part = self.state(about);
        let writes = self
            .plan
            .access
            .any(self.who, Operation::Write, Resource::Topic, |rule| self.applies(rule, &mut part));
        match writes || self.allowed(Operation::IdempotentWrite, &mut part) {
            true => None,
            false => Some(ErrorCode::CLUSTER_AUTHORIZATION_FAILED),
        }
    }
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
