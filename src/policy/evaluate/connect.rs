//! A session that begins: only its listener and its address are known.

use super::report::audits;
use crate::policy::fault::link::LinkFault;
use crate::policy::fault::tls::TlsFault;
use crate::policy::fault::{Executed, Fault, Harm, Target};
use crate::policy::generation::Generation;
use crate::policy::identity::{Met, Side, Subject};
use crate::policy::journal::{Decision, Injection, now};
use crate::policy::rule::{Action, Kind, Rule};
use crate::policy::script::closure::{self, Closure};
use crate::policy::script::objects::CxData;
use crate::policy::verdict::{ConnectVerdict, Hold, Link, Storm};
use crate::wire::ApiKey;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

/// The listener that a session came by.
#[derive(Debug, Clone, Copy)]
pub struct Entered<'a> {
    pub name: &'a str,
    /// Whether it speaks TLS.
    pub tls: bool,
}

/// Decides about a new session, before its first byte. None when no rule has anything to say.
pub fn on_connect(
    generation: &Generation,
    listener: Entered<'_>,
    remote: IpAddr,
    session: u64,
) -> Option<ConnectVerdict> {
    let mut begin = Begin {
        generation,
        listener: listener.name,
        tls: listener.tls,
        remote,
        session,
        now: generation.shared.clock.now(),
        met: [None, None],
    };
    begin.count_events();
    for rule in generation.connect_rules(Kind::Security) {
        if let Some(verdict) = begin.protect(rule) {
            return Some(verdict);
        }
    }
    let (mut harm, mut holds) = (Harm::default(), Vec::new());
    let mut strikes = Strikes::default();
    for rule in generation.connect_rules(Kind::Chaos) {
        let before = harm.delay;
        let ended = begin.inject(rule, &mut harm, &mut strikes);
        let delay = harm.delay - before;
        if !delay.is_zero() {
            holds.push(Hold { rule: Arc::clone(rule), delay });
        }
        if ended {
            break;
        }
    }
    let verdict = ConnectVerdict {
        deny: false,
        delay: harm.delay,
        holds,
        end: harm.end,
        links: strikes.links,
        tls: strikes.tls,
        storms: strikes.storms,
    };
    (!verdict.is_pass()).then_some(verdict)
}

/// What becomes of a session besides.
#[derive(Default)]
struct Strikes {
    links: Vec<Link>,
    tls: Option<TlsFault>,
    storms: Vec<Storm>,
}

struct Begin<'a> {
    generation: &'a Generation,
    listener: &'a str,
    tls: bool,
    remote: IpAddr,
    session: u64,
    now: Duration,
    /// The event that this session is to the rules of each side.
    met: [Option<Met>; 2],
}

impl Begin<'_> {
    fn subject<'s>(&'s self, side: Side, address: &'s str) -> Subject<'s> {
        Subject {
            side,
            principal: self.listener,
            client_id: address,
            api: "connect",
            kind: "",
            name: "",
            partition: -1,
        }
    }

    /// Counts this session once for each side, when any rule can concern its listener and address.
    fn count_events(&mut self) {
        for (side, kind) in [(Side::Security, Kind::Security), (Side::Chaos, Kind::Chaos)] {
            let rules = self.generation.connect_rules(kind);
            let concerned = rules.filter(|rule| self.concerns(rule));
            if let Some(born) = concerned.map(|rule| rule.life.born).max() {
                let address = self.remote.to_string();
                let subject = self.subject(side, &address).id();
                self.met[side.slot()] = Some(self.generation.shared.subjects.next(subject, born));
            }
        }
    }

    fn concerns(&self, rule: &Rule) -> bool {
        let who = &rule.selectors.who;
        who.matches("", "", self.listener, self.remote) && who.is_at(self.generation.shared.node_id)
    }

    /// None: the selectors do not hold. An error is a `.when` that failed.
    fn holds(&self, rule: &Arc<Rule>) -> Result<bool, String> {
        if rule.is_expired(self.now) || !self.concerns(rule) {
            return Ok(false);
        }
        let Some(when) = &rule.selectors.when else { return Ok(true) };
        let shared = &self.generation.shared;
        let cx = Rc::new(CxData {
            listener: self.listener.into(),
            ip: self.remote.to_string().into(),
            api: "connect".into(),
            ..CxData::default()
        });
        let closure = Closure { policy: &rule.policy, index: when.closure, state: &shared.state };
        closure::when(closure, &cx).map_err(|error| {
            rule.life.counters.could_not_apply();
            shared.closure_failures.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            error.to_string()
        })
    }

    /// Whether this session is of the share that the rule is about.
    fn chooses(&self, rule: &Rule, met: &Met) -> bool {
        let start = || self.generation.shared.subjects.start(met.subject, rule.life.born);
        rule.selectors.who.sessions.is_none()
            || rule.chooses(met.subject, met.ordinal.saturating_sub(start()))
    }

    fn protect(&mut self, rule: &Arc<Rule>) -> Option<ConnectVerdict> {
        let denied = ConnectVerdict { deny: true, ..ConnectVerdict::default() };
        match self.holds(rule) {
            Ok(false) => return None,
            Ok(true) => {}
            Err(failure) => {
                self.audit(rule, "error", Some(&failure));
                return (!rule.observe).then_some(denied);
            }
        }
        let met = self.met[Side::Security.slot()]?;
        if !self.chooses(rule, &met) {
            return None;
        }
        if !rule.triggers.is_always() {
            rule.triggers.fire(rule.firing(self.now), &met, &self.generation.shared.subjects)?;
        }
        rule.life.counters.matched();
        rule.life.counters.applied();
        let denies = rule.actions.iter().find_map(|action| match action {
            Action::Deny(reason) => Some(reason.as_deref()),
            _ => None,
        });
        self.audit(rule, if denies.is_some() { "deny" } else { "audit" }, denies.flatten());
        (denies.is_some() && !rule.observe).then_some(denied)
    }

    /// True when a terminal fault was injected.
    fn inject(&mut self, rule: &Arc<Rule>, harm: &mut Harm, strikes: &mut Strikes) -> bool {
        // a chaos rule that fails lets pass
        if !self.holds(rule).unwrap_or(false) {
            return false;
        }
        let shared = &self.generation.shared;
        let Some(met) = self.met[Side::Chaos.slot()] else { return false };
        if !self.chooses(rule, &met) {
            return false;
        }
        rule.life.counters.matched();
        let cannot = |action: &Action| match action {
            // there is no handshake to fail
            Action::Fault(Fault::Tls(_)) => !self.tls,
            // answers cannot be told apart in what is encrypted
            Action::Fault(Fault::Link(LinkFault::CloseAfterRequests(_))) => self.tls,
            _ => false,
        };
        if rule.actions.iter().any(cannot) {
            rule.life.counters.could_not_apply();
            return false;
        }
        if rule.storms() {
            Storm::add(&mut strikes.storms, rule.key, false);
        }
        let Some((mut draws, event)) = rule.triggers.fire(rule.firing(self.now), &met, &shared.subjects)
        else {
            return false;
        };
        rule.life.counters.applied();
        let mut watched = Harm::default();
        let mut ended = false;
        // no request is there yet
        let target = Target { api: ApiKey(-1), version: -1, now: self.now, queue: &rule.life.queue };
        for action in &rule.actions {
            let Action::Fault(fault) = action else { continue };
            let injected =
                fault.inject(target, &mut draws, if rule.observe { &mut watched } else { &mut *harm });
            if let Fault::Link(fault) = fault
                && !rule.observe
            {
                let draws = draws.apart(strikes.links.len() as u64);
                strikes.links.push(Link { rule: Arc::clone(rule), fault: fault.clone(), draws });
            }
            if let Fault::Tls(fault) = fault
                && !rule.observe
            {
                // the first one decides
                strikes.tls.get_or_insert_with(|| fault.clone());
            }
            if *fault == Fault::Storm && !rule.observe {
                Storm::add(&mut strikes.storms, rule.key, true);
            }
            ended |= injected.terminal && !rule.observe;
            let address = self.remote.to_string();
            shared.journal.put(&Injection {
                time: now(),
                seed: rule.seed,
                policy: &rule.policy.name,
                rule: &rule.name,
                subject: &self.subject(Side::Chaos, &address).to_string(),
                subject_id: format!("{:032x}", event.subject),
                n: event.ordinal,
                attempt: event.attempt,
                fault: fault.word(),
                parameter: injected.parameter.as_deref(),
                when: Executed::No.place(),
                observed: rule.observe,
                session: self.session,
                correlation_id: -1,
            });
        }
        if audits(rule) {
            self.audit(rule, "inject", None);
        }
        ended
    }

    fn audit(&self, rule: &Rule, decision: &str, reason: Option<&str>) {
        self.generation.shared.audit.put(&Decision {
            time: now(),
            policy: &rule.policy.name,
            rule: &rule.name,
            principal: "",
            client_id: "",
            address: &self.remote.to_string(),
            listener: self.listener,
            api: "connect",
            resource: None,
            name: None,
            partition: None,
            decision,
            reason,
            records: None,
            observed: rule.observe,
            session: self.session,
            correlation_id: -1,
        });
    }
}
