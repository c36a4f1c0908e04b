//! What is written down: injections into the journal, security decisions into the audit trail.

use super::{About, Round, kind_name};
use crate::policy::fault::{Fault, Injected};
use crate::policy::identity::Side;
use crate::policy::journal::{Decision, Injection, now};
use crate::policy::random::Event;
use crate::policy::rule::{Action, Rule};
use crate::wire::api::Resource;

/// A decision to be written down.
pub(super) struct Told<'a> {
    /// None for what no rule decides.
    pub rule: Option<&'a Rule>,
    /// What decides in place of a rule.
    pub otherwise: &'static str,
    pub decision: &'a str,
    pub reason: Option<&'a str>,
    pub records: Option<u64>,
    pub observed: bool,
}

impl<'a> Told<'a> {
    pub fn new(rule: &'a Rule, decision: &'a str) -> Self {
        Self {
            rule: Some(rule),
            otherwise: "",
            decision,
            reason: None,
            records: None,
            observed: rule.observe,
        }
    }

    pub fn because(self, reason: &'a str) -> Self {
        Self { reason: Some(reason), ..self }
    }

    pub fn records(self, records: u64) -> Self {
        Self { records: Some(records), ..self }
    }
}

impl Round<'_> {
    /// Writes a decision into the audit trail.
    pub(super) fn audit(&self, about: &About, told: Told<'_>) {
        if !self.shared.audit.is_on() {
            return;
        }
        let (policy, rule) = match told.rule {
            Some(rule) => (rule.policy.name.as_str(), rule.name.as_str()),
            None => ("", told.otherwise),
        };
        self.shared.audit.put(&Decision {
            time: now(),
            policy,
            rule,
            principal: &self.who.principal,
            client_id: &self.who.client_id,
            address: &self.who.remote_ip.to_string(),
            listener: &self.who.listener,
            api: self.api_name,
            resource: about.resource.map(kind_name),
            name: about.resource.map(|_| &*about.name),
            partition: (about.resource == Some(Resource::Topic) && about.partition >= 0)
                .then_some(about.partition),
            decision: told.decision,
            reason: told.reason,
            records: told.records,
            observed: told.observed,
            session: self.session,
            correlation_id: self.correlation_id,
        });
    }

    /// A chaos rule did something to a part: counted, and audited if it asks for that.
    pub(super) fn injected(&self, about: &About, rule: &Rule) {
        rule.life.counters.applied();
        if audits(rule) {
            self.audit(about, Told::new(rule, "inject"));
        }
    }

    /// Writes an injection into the journal.
    pub(super) fn journal(
        &self,
        about: &About,
        rule: &Rule,
        event: Event,
        fault: &Fault,
        injected: &Injected,
    ) {
        self.journal_at(about, rule, event, fault.word(), injected, false);
    }

    /// The same of a fault by its word. A stored record is a subject of its own, whoever reads it.
    pub(super) fn journal_at(
        &self,
        about: &About,
        rule: &Rule,
        event: Event,
        fault: &str,
        injected: &Injected,
        stored: bool,
    ) {
        if !self.shared.journal.is_on() {
            return;
        }
        let subject = match stored {
            true => format!("record {}-{}", about.name, about.partition),
            false => self.subject(about, Side::Chaos).to_string(),
        };
        self.shared.journal.put(&Injection {
            time: now(),
            seed: rule.seed,
            policy: &rule.policy.name,
            rule: &rule.name,
            subject: &subject,
            subject_id: format!("{:032x}", event.subject),
            n: event.ordinal,
            attempt: event.attempt,
            fault,
            parameter: injected.parameter.as_deref(),
            when: injected.executed.place(),
            observed: rule.observe,
            session: self.session,
            correlation_id: self.correlation_id,
        });
    }
}

/// Whether a rule asks for every decision of its to be written down.
pub(super) fn audits(rule: &Rule) -> bool {
    rule.has(|action| matches!(action, Action::Audit))
}
