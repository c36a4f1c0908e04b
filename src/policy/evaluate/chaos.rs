//! Chaos rules: they meet only what security let through. What a rule does to a whole exchange it does once,
//! whichever parts it fired for; the journal says each.

use super::records::Way;
use super::{About, Holds, PartState, Round};
use crate::policy::fault::reply::Scope;
use crate::policy::fault::{Fault, Harm, Injected, Target};
use crate::policy::identity::Side;
use crate::policy::plan::decided_on_reply;
use crate::policy::random::{Draws, Event};
use crate::policy::rule::{Action, Kind, Rule};
use crate::policy::verdict::{Held, Hold, Outcome, Storm, Truncation};
use crate::security::sasl::Mechanism;
use crate::wire::ErrorCode;
use bytes::Bytes;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Where in an exchange faults are injected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    Request,
    /// Of a fetch: what draws or counts does so about replies with something in them.
    Reply,
}

/// What faults did to an exchange.
#[derive(Debug, Default)]
pub(super) struct Injections {
    /// To the whole.
    pub harm: Harm,
    /// What delays the whole, and by how much.
    pub holds: Vec<Hold>,
    /// What the whole waits for.
    pub held: Option<Held>,
    /// How long a login is good, and by which rule.
    pub lifetime: Option<Hold>,
    /// Of those whose rules matched.
    pub storms: Vec<Storm>,
    /// To parts, after they were executed.
    pub after: Vec<(usize, ErrorCode)>,
    /// To the records of parts: what goes on in their place.
    pub payloads: BTreeMap<usize, Bytes>,
    /// To what the reply says of parts.
    pub replies: Vec<Changed>,
    /// To the logs of parts, when they were executed.
    pub truncations: Vec<Truncation>,
}

/// What a rule wants to be changed in a reply, and the event it fired at.
#[derive(Debug)]
pub(super) struct Changed {
    /// The part.
    pub at: usize,
    pub rule: Arc<Rule>,
    pub event: Event,
}

impl Scope {
    fn takes(self, about: &About) -> bool {
        match self {
            Self::Whole => about.resource.is_none(),
            Self::Topic => about.resource.is_some() && about.partition < 0,
            Self::Partition => about.resource.is_some() && about.partition >= 0,
        }
    }
}

/// What can be done to this exchange at all.
pub(super) struct Possible {
    /// The upstream answers: not with acks=0.
    pub answered: bool,
    /// Its api has a place for an error: of each part, or of the whole.
    pub answer: bool,
    /// It commits a transaction.
    pub commits: bool,
    /// It chooses this mechanism for a login.
    pub mechanism: Option<Mechanism>,
    /// Its answer has a place for how long to wait.
    pub throttle: bool,
    /// Another request may wait at the gateway.
    pub hold: bool,
    /// It has not gone upstream yet.
    pub request: bool,
}

impl Possible {
    /// What can be done to a reply.
    pub fn of_reply() -> Self {
        Self {
            answered: true,
            answer: true,
            commits: false,
            mechanism: None,
            throttle: true,
            hold: false,
            request: false,
        }
    }
}

impl Round<'_> {
    /// Applies the chaos rules to the open parts. `payload` gives the records of a part.
    pub(super) fn inject(
        &self,
        parts: &mut [PartState],
        stage: Stage,
        possible: &Possible,
        payload: &dyn Fn(usize) -> Option<Bytes>,
    ) -> Injections {
        let mut injections = Injections::default();
        // a fetched part is known by its offset, which is there without counting
        if stage == Stage::Request {
            self.count_events(parts, Side::Chaos);
        }
        for place in self.places(parts, Kind::Chaos) {
            let rule = &self.plan.chaos[place];
            if decided_on_reply(rule, self.api) != (stage == Stage::Reply) {
                continue;
            }
            if rule.wants_commit() && !possible.commits {
                continue;
            }
            if rule.wants_mechanism().is_some_and(|wanted| possible.mechanism != Some(wanted)) {
                continue;
            }
            let scope = rule.reply_scope();
            let mut once = Once::default();
            for (at, part) in parts.iter_mut().enumerate() {
                if !part.is_open() || part.harmed || !part.meets(place, Kind::Chaos) {
                    continue;
                }
                if scope.is_some_and(|scope| !scope.takes(&part.about)) {
                    continue;
                }
                match self.holds(rule, part) {
                    Holds::Yes => {}
                    // a chaos rule that fails lets pass; the failure is counted already
                    Holds::No | Holds::Failed(_) => continue,
                }
                let payload = |at: usize| injections.payloads.get(&at).cloned().or_else(|| payload(at));
                if rule.record_faults().next().is_some() {
                    let way = if stage == Stage::Reply { Way::Fetched } else { Way::Produced };
                    let struck = payload(at).and_then(|payload| self.strike(rule, part, &payload, way));
                    if let Some(left) = struck {
                        if left.is_empty() {
                            // the client is told that it is stored
                            part.outcome = Outcome::answer(ErrorCode::NONE);
                        }
                        injections.payloads.insert(at, left);
                    }
                    continue;
                }
                if !rule.selectors.records.is_empty()
                    && !payload(at).is_some_and(|payload| self.any_record(rule, &payload))
                {
                    continue;
                }
                rule.life.counters.matched();
                if rule.storms() {
                    Storm::add(&mut injections.storms, rule.key, false);
                }
                let met = self.met(part, Side::Chaos);
                let fires = rule.triggers.fire(rule.firing(self.now), &met, &self.shared.subjects);
                let Some((mut draws, event)) = fires else { continue };
                if scope.is_some() {
                    injections.replies.push(Changed { at, rule: Arc::clone(rule), event });
                    continue;
                }
                self.injure(rule, at, part, event, &mut draws, possible, &mut once, &mut injections);
            }
        }
        injections
    }

    #[allow(clippy::too_many_arguments, reason = "what is drawn, and every place its harm may go to")]
    fn injure(
        &self,
        rule: &Arc<Rule>,
        at: usize,
        part: &mut PartState,
        event: Event,
        draws: &mut Draws,
        possible: &Possible,
        once: &mut Once,
        injections: &mut Injections,
    ) {
        let faults = rule.actions.iter().filter_map(|action| match action {
            Action::Fault(fault) => Some(fault),
            _ => None,
        });
        let mut applied = false;
        let target = Target { api: self.api, version: self.version, now: self.now, queue: &rule.life.queue };
        for (number, fault) in faults.enumerate() {
            if !can(fault, part, possible) {
                rule.life.counters.could_not_apply();
                continue;
            }
            if let Fault::TruncateLog(records) = *fault {
                injections.truncations.push(Truncation {
                    topic: part.about.name.clone(),
                    partition: part.about.partition,
                    records,
                    rule: Arc::clone(rule),
                    event,
                });
                continue;
            }
            if let Fault::Pause(Some(time)) = *fault
                && !rule.observe
            {
                self.shared.pauses.ask(rule, self.now.saturating_add(time));
            }
            applied = true;
            if *fault == Fault::Storm && !rule.observe {
                Storm::add(&mut injections.storms, rule.key, true);
            }
            let injected = if fault.answers() {
                let mut harm = Harm::default();
                let injected = fault.inject(target, draws, &mut harm);
                if !rule.observe {
                    if let Some(code) = harm.fail {
                        part.outcome = Outcome::answer(code);
                    }
                    if let Some(code) = harm.fail_after {
                        injections.after.push((at, code));
                    }
                }
                injected
            } else {
                let before = injections.harm.delay;
                let injected = once.inject(number, fault, target, draws, rule, &mut injections.harm);
                let delay = injections.harm.delay - before;
                if !delay.is_zero() {
                    injections.holds.push(Hold { rule: Arc::clone(rule), delay });
                }
                if let Some(awaited) = injections.harm.hold.take() {
                    let (session, correlation_id) = (self.session, self.correlation_id);
                    let held = Held { rule: Arc::clone(rule), event, awaited, session, correlation_id };
                    injections.held.get_or_insert(held);
                }
                if let Some(lifetime) = injections.harm.lifetime.take() {
                    let sooner = injections.lifetime.as_ref().is_none_or(|other| lifetime < other.delay);
                    if sooner {
                        injections.lifetime = Some(Hold { rule: Arc::clone(rule), delay: lifetime });
                    }
                }
                injected
            };
            part.harmed |= injected.terminal && !rule.observe;
            self.journal(&part.about, rule, event, fault, &injected);
        }
        if applied {
            self.injected(&part.about, rule);
        }
    }
}

/// The faults of one rule on the whole of one exchange: injected with the first part that it fires for.
#[derive(Default)]
struct Once(Vec<(usize, Injected)>);

impl Once {
    fn inject(
        &mut self,
        number: usize,
        fault: &Fault,
        target: Target<'_>,
        draws: &mut Draws,
        rule: &Rule,
        harm: &mut Harm,
    ) -> Injected {
        if let Some((_, injected)) = self.0.iter().find(|(known, _)| *known == number) {
            return injected.clone();
        }
        let mut watched = Harm::default();
        let injected = fault.inject(target, draws, if rule.observe { &mut watched } else { harm });
        self.0.push((number, injected.clone()));
        injected
    }
}

/// Whether a fault can do what it says to this exchange.
fn can(fault: &Fault, part: &PartState, possible: &Possible) -> bool {
    match fault {
        // without a response there is nothing to delay or to lose
        Fault::Delay(_)
        | Fault::LoseResponse
        | Fault::SlowBroker(_)
        | Fault::DelayCommit(_)
        | Fault::LoseCommit => possible.answered,
        Fault::Throttle(_) => possible.answered && possible.throttle,
        Fault::Fail(_) | Fault::FailAfter(_) | Fault::Named(_) | Fault::Sasl(_) => possible.answer,
        // at the reply it is too late
        Fault::DuplicateRequest => possible.request,
        Fault::HoldUntil(_) => possible.request && possible.hold,
        Fault::LoseRequest
        | Fault::Disconnect
        | Fault::Reset
        | Fault::Storm
        | Fault::Reply(_)
        | Fault::Record(_)
        | Fault::Pause(_) => true,
        // of sessions that begin, where no exchange is
        Fault::Refuse | Fault::Link(_) | Fault::Tls(_) => false,
        // no exchange is a disk operation: the head does not go with it
        Fault::Disk(_) => false,
        // what is not answered has no after
        Fault::TruncateLog(_) => possible.answered && part.about.partition >= 0,
    }
}
