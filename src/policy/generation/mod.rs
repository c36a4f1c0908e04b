//! One set of policies, immutable: what an exchange begins with it ends with. And the handle through which the
//! set in force is found and replaced.

mod policies;
mod shared;

pub use policies::Policies;
pub use shared::{EmbeddedBroker, Evicted, Settings, Shared};

use super::control::{Origin, SwitchedOff};
use super::error::Place;
use super::plan::{Plan, PlanCache};
use super::rule::{Head, Kind, PolicyInfo, Rule};
use super::script::TestSpec;
use super::state;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// A policy in force.
#[derive(Debug)]
pub struct LoadedPolicy {
    pub info: Arc<PolicyInfo>,
    pub rules: Vec<Arc<Rule>>,
    pub default_deny: Option<Place>,
    pub tests: Vec<TestSpec>,
    pub origin: Origin,
    state_names: Vec<(String, state::Kind)>,
    /// When it ends by what was said when it was added, on the policies' clock.
    pub until: Option<Duration>,
}

impl LoadedPolicy {
    /// Whether something of it protects.
    pub fn is_security(&self) -> bool {
        self.default_deny.is_some() || self.rules.iter().any(|rule| rule.kind == Kind::Security)
    }

    /// When the last of it ends by itself, on the policies' clock.
    pub fn ends_at(&self) -> Option<Duration> {
        if self.default_deny.is_some() || self.rules.is_empty() {
            return self.until;
        }
        let ends: Option<Vec<Duration>> = self.rules.iter().map(|rule| rule.expires_at()).collect();
        ends.and_then(|ends| ends.into_iter().max())
    }

    /// What is left of it without what is switched off. None: nothing.
    fn without(self: &Arc<Self>, off: &SwitchedOff) -> Option<Arc<Self>> {
        let name = &self.info.name;
        let default_deny = self.default_deny.filter(|_| !off.leaves_out_protection(name));
        if default_deny == self.default_deny && !self.rules.iter().any(|rule| off.leaves_out(rule)) {
            return Some(Arc::clone(self));
        }
        let rules: Vec<Arc<Rule>> = self.rules.iter().filter(|rule| !off.leaves_out(rule)).cloned().collect();
        (default_deny.is_some() || !rules.is_empty()).then(|| {
            Arc::new(Self {
                info: Arc::clone(&self.info),
                rules,
                default_deny,
                tests: self.tests.clone(),
                origin: self.origin,
                state_names: self.state_names.clone(),
                until: self.until,
            })
        })
    }
}

/// A set of policies.
#[derive(Debug)]
pub struct Generation {
    /// Counts the sets that were in force.
    pub number: u64,
    /// What is in force, in name order of their files: rules that are switched off are not among them.
    pub policies: Vec<Arc<LoadedPolicy>>,
    /// All that was loaded, what is switched off included.
    pub loaded: Vec<Arc<LoadedPolicy>>,
    pub off: SwitchedOff,
    pub shared: Arc<Shared>,
    plans: PlanCache,
    /// Those on what the embedded broker does by itself.
    broker: Vec<Arc<Rule>>,
}

/// Who speaks. The same for a session, but for the client id, which a client may change with every request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Who {
    pub principal: Arc<str>,
    pub client_id: Arc<str>,
    pub listener: Arc<str>,
    pub remote_ip: IpAddr,
}

impl Generation {
    fn new(number: u64, loaded: Vec<Arc<LoadedPolicy>>, off: SwitchedOff, shared: Arc<Shared>) -> Self {
        let policies: Vec<Arc<LoadedPolicy>> =
            loaded.iter().filter_map(|policy| policy.without(&off)).collect();
        let rules = policies.iter().flat_map(|policy| &policy.rules);
        let broker = rules.filter(|rule| rule.head.is_broker()).cloned().collect();
        Self { number, policies, loaded, off, shared, plans: PlanCache::default(), broker }
    }

    /// The policy of this name, whether it is in force or switched off.
    pub fn policy(&self, name: &str) -> Option<&Arc<LoadedPolicy>> {
        self.loaded.iter().find(|policy| policy.info.name == name)
    }

    /// The rules that can concern this client: cached.
    pub fn plan(self: &Arc<Self>, who: &Who) -> Arc<Plan> {
        self.plans.find(self, who)
    }

    /// All rules of a kind, in the order they are met.
    pub fn rules(&self, kind: Kind) -> impl Iterator<Item = &Arc<Rule>> {
        self.policies.iter().flat_map(|policy| &policy.rules).filter(move |rule| rule.kind == kind)
    }

    /// The rule of this identity.
    pub fn rule(&self, key: u64) -> Option<&Arc<Rule>> {
        self.policies.iter().flat_map(|policy| &policy.rules).find(|rule| rule.key == key)
    }

    /// `default_deny()` in force, and in policies that only watch.
    pub fn default_deny(&self) -> (bool, bool) {
        let says =
            |observe| self.policies.iter().any(|p| p.default_deny.is_some() && p.info.observe == observe);
        (says(false), says(true))
    }

    /// The rules on what the embedded broker does by itself, in the order they are met.
    pub fn broker_rules(&self) -> &[Arc<Rule>] {
        &self.broker
    }

    /// The rules on sessions that begin.
    pub fn connect_rules(&self, kind: Kind) -> impl Iterator<Item = &Arc<Rule>> {
        self.rules(kind).filter(|rule| rule.head == Head::Connect)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::clock::Clock;
    use crate::policy::load::Script;

    const SECOND: Duration = Duration::from_secs(1);

    fn load(policies: &Policies, text: &str) -> Arc<Generation> {
        let script = Script { file: "p.rhai".into(), text: text.into() };
        policies.load(&[script]).unwrap_or_else(|errors| panic!("{}", errors[0]))
    }

    #[test]
    fn a_policy_ends_with_the_last_of_what_it_says() {
        for (text, end) in [
            (
                "on_fetch().fail(\"UNKNOWN_SERVER_ERROR\").expires(\"5s\"); on_fetch().delay(\"1s\").expires(\"9s\");",
                Some(9),
            ),
            ("on_fetch().deny(); on_fetch().delay(\"1s\").expires(\"9s\");", None),
            ("default_deny(); on_fetch().delay(\"1s\").expires(\"9s\");", None),
            ("", None),
        ] {
            let policies =
                Policies::new(Shared::new(Settings { clock: Clock::manual(), ..Settings::default() }));
            assert_eq!(load(&policies, text).loaded[0].ends_at(), end.map(|end| end * SECOND), "{text}");
        }
    }

    #[test]
    fn state_is_kept_for_policies_that_name_it_as_what_it_is() {
        let policies = Policies::new(Shared::new(Settings { clock: Clock::manual(), ..Settings::default() }));
        let window = "policy(\"p\"); let w = window(\"w\", \"60s\"); let c = counter(\"c\");";
        load(&policies, window);
        let state = Arc::clone(&policies.shared().state);
        let of_w = || state.window("p", "w", 60 * SECOND);
        of_w().add(b"k", 3);
        state.counter("p", "c").add(b"k", 4);
        load(&policies, &format!("{window} // as before"));
        assert_eq!((of_w().count(b"k"), state.counter("p", "c").count(b"k")), (3, 4));
        // of the same kind by another name, and of the same name of another kind
        load(
            &policies,
            "policy(\"p\"); let w = window(\"v\", \"60s\"); let c = counter(\"c\"); let d = counter(\"w\");",
        );
        load(&policies, window);
        assert_eq!((of_w().count(b"k"), state.counter("p", "c").count(b"k")), (0, 4));
    }
}
