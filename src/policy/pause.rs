//! Times in which the embedded broker stands still: asked for by exchanges that a `pause(time)` rule fired at, or by the
//! hours of an `on_broker().during(…).pause()`. The policies only say until when; who carries requests to the broker
//! asks them.

use super::evaluate;
use super::fault::Fault;
use super::generation::{Generation, Policies};
use super::rule::{Action, Head, Rule};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Pauses that exchanges asked for.
#[derive(Debug, Default)]
pub struct Pauses {
    /// A rule in force can ask for one: looked at with every request.
    possible: AtomicBool,
    /// At most one a rule.
    asked: Mutex<Vec<Asked>>,
}

#[derive(Debug)]
struct Asked {
    rule: Arc<Rule>,
    /// On the policies' clock.
    until: Duration,
}

impl Pauses {
    pub(super) fn set_possible(&self, generation: &Generation) {
        let pauses = |rule: &Arc<Rule>| rule.has(|a| matches!(a, Action::Fault(Fault::Pause(_))));
        let possible = generation.policies.iter().flat_map(|policy| &policy.rules).any(pauses);
        self.possible.store(possible, Ordering::Relaxed);
    }

    /// A rule fired: the broker stands still until then.
    pub(super) fn ask(&self, rule: &Arc<Rule>, until: Duration) {
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        match asked.iter_mut().find(|known| known.rule.key == rule.key) {
            Some(known) => *known = Asked { rule: Arc::clone(rule), until: known.until.max(until) },
            None => asked.push(Asked { rule: Arc::clone(rule), until }),
        }
    }
}

impl Policies {
    /// Whether the broker may have to stand still under the rules in force. One load.
    pub fn may_pause(&self) -> bool {
        self.shared().pauses.possible.load(Ordering::Relaxed)
    }

    /// How much longer the embedded broker stands still, if the policies do not change before; None: it does not.
    pub fn paused(&self) -> Option<Duration> {
        if !self.may_pause() {
            return None;
        }
        let generation = self.current();
        let now = generation.shared.clock.now();
        let mut until = None;
        {
            let mut asked = self.shared().pauses.asked.lock().unwrap_or_else(PoisonError::into_inner);
            asked.retain(|asked| {
                let lives = generation.rule(asked.rule.key).filter(|rule| rule.continues(&asked.rule));
                lives.is_some_and(|rule| !rule.is_expired(now)) && now < asked.until
            });
            for asked in asked.iter() {
                let end = asked.rule.expires_at().map_or(asked.until, |end| end.min(asked.until));
                until = until.max(Some(end));
            }
        }
        for rule in generation.broker_rules().iter().filter(|rule| rule.head == Head::Broker) {
            let Some((from, to)) = rule.triggers.during else { continue };
            let begun = rule.life.activated;
            if rule.is_expired(now) || now < begun + from || now >= begun.saturating_add(to) {
                continue;
            }
            if evaluate::stands_still(&generation, rule, to - from) && !rule.observe {
                let end = begun.saturating_add(to);
                until = until.max(Some(rule.expires_at().map_or(end, |expiry| expiry.min(end))));
            }
        }
        until.map(|until| until.saturating_sub(now)).filter(|left| !left.is_zero())
    }
}

#[cfg(test)]
mod tests {
    use super::super::generation::{Settings, Shared};
    use super::super::load::Script;
    use super::*;

    #[test]
    fn a_rule_asks_for_one_pause_at_a_time_and_for_the_longest() {
        let policies = Policies::new(Shared::new(Settings::default()));
        let text = "on_produce(\"t\").pause(\"5s\"); on_produce(\"u\").pause(\"9s\");";
        policies.load(&[Script { file: "p.rhai".into(), text: text.into() }]).unwrap();
        let rules = policies.current().policies[0].rules.clone();
        let pauses = Pauses::default();
        let seconds = Duration::from_secs;
        let asked = || {
            let asked = pauses.asked.lock().unwrap();
            asked.iter().map(|asked| (asked.rule.key, asked.until)).collect::<Vec<_>>()
        };
        pauses.ask(&rules[0], seconds(5));
        pauses.ask(&rules[1], seconds(9));
        pauses.ask(&rules[0], seconds(7));
        assert_eq!(asked(), [(rules[0].key, seconds(7)), (rules[1].key, seconds(9))]);
        pauses.ask(&rules[1], seconds(8));
        assert_eq!(asked(), [(rules[0].key, seconds(7)), (rules[1].key, seconds(9))]);
    }
}
