//! When something that rules delayed may go on: after their delays, or at once when the rules end before. A rule ends when it
//! expires, when a reload takes it away or changes what it does, and with the process.

use crate::policy::{generation::Policies, verdict::Hold};
use std::{sync::Arc, time::Duration};
use tokio::{sync::watch, time::Instant};

/// A time further off than anything is held.
const FAR: Duration = Duration::from_secs(365 * 24 * 3600);

/// What rules hold back, from when on, and which.
#[derive(Debug)]
pub struct Release {
    from: Instant,
    holds: Vec<Hold>,
    /// Of the policies that `holds` were last compared with.
    number: u64,
}

impl Release {
    /// Held by these rules of the policies with this number. None: by none.
    pub fn new(from: Instant, holds: Vec<Hold>, number: u64) -> Option<Release> {
        (!holds.is_empty()).then_some(Release { from, holds, number })
    }

    /// Held longer by these.
    pub fn add(&mut self, holds: Vec<Hold>) {
        self.holds.extend(holds);
    }

    /// None when nothing holds it any more; else when to ask again, if the policies do not change before.
    pub fn next_look(&mut self, policies: &Policies) -> Option<Instant> {
        if self.number != policies.number() {
            let current = policies.current();
            self.number = current.number;
            self.holds.retain_mut(|hold| match current.rule(hold.rule.key) {
                Some(rule) if rule.continues(&hold.rule) => {
                    hold.rule = Arc::clone(rule);
                    true
                }
                _ => false,
            });
        }
        let clock = policies.shared().clock.now();
        self.holds.retain(|hold| !hold.rule.is_expired(clock));
        if self.holds.is_empty() {
            return None;
        }
        let delay = self.holds.iter().fold(Duration::ZERO, |sum, hold| sum.saturating_add(hold.delay));
        let now = Instant::now();
        let at = self.from + delay.min(FAR);
        if at <= now {
            return None;
        }
        let end = self.holds.iter().filter_map(|hold| hold.rule.expires_at()).min();
        Some(end.map_or(at, |end| at.min(now + end.saturating_sub(clock).min(FAR))))
    }
}

/// What ends holds: the policies, and the end of the process.
#[derive(Clone, Debug)]
pub struct Releaser {
    policies: Arc<Policies>,
    stop: watch::Receiver<bool>,
}

impl Releaser {
    pub fn new(policies: Arc<Policies>, stop: watch::Receiver<bool>) -> Releaser {
        Releaser { policies, stop }
    }

    /// None when it may go on; else when to ask again.
    pub fn next_look(&self, release: &mut Option<Release>) -> Option<Instant> {
        let next = if *self.stop.borrow() { None } else { release.as_mut()?.next_look(&self.policies) };
        if next.is_none() {
            *release = None;
        }
        next
    }

    /// Waits until `next_look` says that nothing is held any more.
    pub async fn released(&self, mut next_look: impl FnMut() -> Option<Instant>) {
        // Whoever is not held pays for no subscription.
        if next_look().is_none() {
            return;
        }
        let mut changes = self.policies.changes();
        let mut stop = self.stop.clone();
        loop {
            // After subscribing: a change from before is seen here, one from after wakes us.
            let Some(at) = next_look() else { return };
            tokio::select! {
                () = tokio::time::sleep_until(at) => {}
                changed = changes.changed() => if changed.is_err() { return },
                stopped = stop.wait_for(|stop| *stop) => if stopped.is_err() { return },
            }
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::policy::{
        clock::Clock,
        generation::{Settings, Shared},
        load::Script,
        rule::Kind,
    };

    /// Policies on a clock that stands still.
    pub struct World {
        pub policies: Arc<Policies>,
        pub clock: Clock,
        pub stop: watch::Sender<bool>,
    }

    impl World {
        pub fn new(files: &[(&str, &str)]) -> World {
            let clock = Clock::manual();
            let settings = Settings { clock: clock.clone(), ..Settings::default() };
            let world = World {
                policies: Policies::new(Shared::new(settings)),
                clock,
                stop: watch::Sender::new(false),
            };
            world.load(files);
            world
        }

        pub fn load(&self, files: &[(&str, &str)]) {
            let script = |(name, text): &(&str, &str)| {
                let text = format!("policy(\"{name}\", \"x\"); {text}").into();
                Script { file: format!("{name}.rhai").into(), text }
            };
            let scripts: Vec<Script> = files.iter().map(script).collect();
            self.policies.load(&scripts).unwrap_or_else(|errors| panic!("{}", errors[0]));
        }

        pub fn releaser(&self) -> Releaser {
            Releaser::new(self.policies.clone(), self.stop.subscribe())
        }

        /// As if every fault there is had delayed something by this, just now.
        pub fn held(&self, delay: Duration) -> Option<Release> {
            let current = self.policies.current();
            let holds = current.rules(Kind::Chaos).map(|rule| Hold { rule: rule.clone(), delay }).collect();
            Release::new(Instant::now(), holds, current.number)
        }
    }

    const SLOW: &str = r#"expires("1h"); on_request("Heartbeat").delay("10s");"#;
    const SECOND: Duration = Duration::from_secs(1);

    /// How long something is held that was held for ten seconds, when `change` happens after one.
    async fn held_for(world: &World, change: impl FnOnce(&World)) -> Duration {
        let start = Instant::now();
        let mut release = world.held(10 * SECOND);
        let releaser = world.releaser();
        tokio::join!(releaser.released(|| releaser.next_look(&mut release)), async {
            tokio::time::sleep(SECOND).await;
            change(world);
        });
        start.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_rule_holds_goes_when_the_rule_goes() {
        let world = || World::new(&[("slow", SLOW), ("other", r#"on_produce("t").deny();"#)]);
        assert_eq!(held_for(&world(), |_| {}).await, 10 * SECOND);
        let without = world();
        assert_eq!(held_for(&without, |w| w.load(&[("other", r#"on_produce("t").deny();"#)])).await, SECOND);
        // Another delay is another rule.
        let longer = SLOW.replace("10s", "20s");
        assert_eq!(held_for(&world(), |w| w.load(&[("slow", &longer)])).await, SECOND);
        // Observed is not injected.
        let observed = SLOW.replace(".delay", ".observe().delay");
        assert_eq!(held_for(&world(), |w| w.load(&[("slow", &observed)])).await, SECOND);
    }

    #[tokio::test(start_paused = true)]
    async fn a_rule_that_kept_its_name_but_not_its_sense_lets_go() {
        let named = |rule: &str| format!(r#"expires("1h"); {rule}.named("slow");"#);
        let before = named(r#"on_request("Heartbeat").when(|cx| cx.version > 0).delay("10s")"#);
        for after in [
            r#"on_request("SyncGroup").when(|cx| cx.version > 0).delay("10s")"#,
            r#"on_request("Heartbeat").when(|cx| cx.version > 1).delay("10s")"#,
            r#"on_request("Heartbeat").group("g").when(|cx| cx.version > 0).delay("10s")"#,
            r#"on_request("Heartbeat").when(|cx| cx.version > 0).every(2).delay("10s")"#,
        ] {
            let world = World::new(&[("slow", &before)]);
            assert_eq!(held_for(&world, |w| w.load(&[("slow", &named(after))])).await, SECOND, "{after}");
        }
        // Another closure before it makes it the second of its file, and changes nothing about it.
        let moved = before.replace("; on", r#"; on_produce("t").when(|cx| cx.version > 3).delay("1s"); on"#);
        let world = World::new(&[("slow", &before)]);
        assert_eq!(held_for(&world, |w| w.load(&[("slow", &moved)])).await, 10 * SECOND);
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_rule_holds_stays_when_other_things_change() {
        let world = World::new(&[("slow", SLOW)]);
        let others = |w: &World| w.load(&[("slow", SLOW), ("other", r#"on_produce("t").deny();"#)]);
        assert_eq!(held_for(&world, others).await, 10 * SECOND);
        // The file changed, the rule did not.
        let more = format!("{SLOW} on_request(\"SyncGroup\").delay(\"1s\");");
        let world = World::new(&[("slow", SLOW)]);
        assert_eq!(held_for(&world, |w| w.load(&[("slow", &more)])).await, 10 * SECOND);
    }

    #[tokio::test(start_paused = true)]
    async fn of_two_rules_that_hold_the_one_that_stays_goes_on() {
        let world = World::new(&[("slow", SLOW), ("slower", SLOW)]);
        assert_eq!(held_for(&world, |_| {}).await, 20 * SECOND);
        let world = World::new(&[("slow", SLOW), ("slower", SLOW)]);
        assert_eq!(held_for(&world, |w| w.load(&[("slower", SLOW)])).await, 10 * SECOND);
    }

    #[tokio::test(start_paused = true)]
    async fn expiry_lets_go() {
        let world = World::new(&[("slow", &SLOW.replace("1h", "5s"))]);
        // The policies' clock stands still while tokio's goes on, so it is moved as time passes.
        let took = held_for(&world, |w| w.clock.advance(5 * SECOND)).await;
        assert_eq!(took, 5 * SECOND, "nothing else wakes it before");
    }

    #[tokio::test(start_paused = true)]
    async fn the_end_of_the_process_lets_go() {
        let world = World::new(&[("slow", SLOW)]);
        let stop = |w: &World| {
            w.stop.send_replace(true);
        };
        assert_eq!(held_for(&world, stop).await, SECOND);
    }
}
