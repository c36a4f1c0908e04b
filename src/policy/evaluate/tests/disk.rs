//! Operations of the embedded broker's disk.

use super::*;
use crate::policy::evaluate::{DiskEnd, DiskVerdict, on_disk, still_waits};
use crate::policy::fault::disk::{Operation, Point};
use std::time::Duration;

const APPEND: Operation = Operation::Append;

impl World {
    fn disk(&self, operation: Operation, topic: &str, partition: i32) -> DiskVerdict {
        on_disk(&self.generation(), operation, topic, partition).unwrap_or_default()
    }

    /// Which of so many appends to `t-0` end.
    fn ends(&self, n: usize) -> Vec<usize> {
        (1..=n).filter(|_| self.disk(APPEND, "t", 0).end.is_some()).collect()
    }
}

fn waits(verdict: &DiskVerdict) -> Vec<u128> {
    verdict.waits.iter().map(|(_, time)| time.as_millis()).collect()
}

#[test]
fn a_rule_is_about_some_logs_and_some_operations() {
    let world =
        one(r#"on_disk("t", "orders-*").partition(1..3).operation("sync", "read").slow_disk("5ms");"#);
    let concerned =
        |world: &World| Operation::ALL.map(|operation| world.policies.shared().disk_rules.has(operation));
    assert_eq!(concerned(&world), [false, true, true]);
    for (operation, topic, partition, meets) in [
        (Operation::Sync, "t", 1, true),
        (Operation::Read, "orders-eu", 2, true),
        (APPEND, "t", 1, false),
        (Operation::Sync, "t", 3, false),
        (Operation::Sync, "u", 1, false),
    ] {
        let verdict = world.disk(operation, topic, partition);
        assert_eq!(waits(&verdict), vec![5; usize::from(meets)], "{operation:?} {topic}-{partition}");
    }
    world.load(&[("p", "on_produce().audit();")]);
    assert_eq!(concerned(&world), [false; 3]);
    assert_eq!(on_disk(&world.generation(), Operation::Sync, "t", 1), None);
}

#[test]
fn each_fault_ends_the_operation_it_is_about() {
    let world = one(
        r#"on_disk("full").disk_full(); on_disk("failed").fsync_error(); on_disk("slow").slow_disk("1s").slow_disk("2s");"#,
    );
    for (operation, topic, end) in [
        (APPEND, "full", Some(DiskEnd::Full)),
        (Operation::Sync, "full", None),
        (APPEND, "failed", None),
        (Operation::Sync, "failed", Some(DiskEnd::Failed)),
        (Operation::Read, "failed", None),
    ] {
        assert_eq!(world.disk(operation, topic, 0).end, end, "{operation:?} {topic}");
    }
    assert_eq!(waits(&world.disk(Operation::Read, "slow", 0)), [1000, 2000]);
    let journal = world.policies.shared().journal.taken();
    let told: Vec<_> = journal
        .iter()
        .map(|line| {
            (
                line["fault"].as_str().unwrap(),
                line["when"].as_str().unwrap(),
                line["subject"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            ("disk_full", "before", "broker disk append full-0"),
            ("fsync_error", "before", "broker disk sync failed-0"),
            ("slow_disk", "around", "broker disk read slow-0"),
            ("slow_disk", "around", "broker disk read slow-0"),
        ]
    );
    assert_eq!(journal[3]["parameter"], "2s");
}

#[test]
fn triggers_count_the_operations_of_each_log() {
    assert_eq!(one("on_disk().nth(3).disk_full();").ends(6), [3]);
    assert_eq!(one("on_disk().every(2).at_most(2).disk_full();").ends(9), [2, 4]);
    assert_eq!(one("on_disk().first(2).disk_full();").ends(5), [1, 2]);
    assert_eq!(one("on_disk().after(3).disk_full();").ends(5), [4, 5]);
    // Others have counts of their own.
    let world = one("on_disk().nth(2).disk_full();");
    assert!(world.disk(APPEND, "t", 1).end.is_none() && world.disk(APPEND, "u", 0).end.is_none());
    assert!(world.disk(Operation::Sync, "t", 0).end.is_none());
    assert_eq!(world.ends(4), [2]);
    // What is drawn is drawn again, whatever happens elsewhere.
    let drawn = |noise: bool| {
        let world = one("seed(7); on_disk().chance(0.3).disk_full();");
        let mut ends = Vec::new();
        for n in 0..100 {
            if noise {
                world.disk(APPEND, "u", n % 3);
            }
            ends.push(world.disk(APPEND, "t", 0).end);
        }
        ends
    };
    let once = drawn(false);
    assert_eq!(once, drawn(true));
    assert!(once.contains(&None) && once.contains(&Some(DiskEnd::Full)));
}

#[test]
fn a_rule_ends_and_what_waits_for_it_with_it() {
    let world = one(r#"expires("10s"); on_disk().during("2s", "20s").slow_disk("1m");"#);
    assert_eq!(world.disk(APPEND, "t", 0), DiskVerdict::default());
    world.clock.advance(Duration::from_secs(4));
    let verdict = world.disk(APPEND, "t", 0);
    assert_eq!(waits(&verdict), [6_000], "no longer than the rule is there");
    let (asker, _) = verdict.waits[0];
    assert!(still_waits(&world.generation(), asker));
    world.clock.advance(Duration::from_secs(6));
    assert!(!still_waits(&world.generation(), asker));
    assert_eq!(world.disk(APPEND, "t", 0), DiskVerdict::default());

    let named = |time: &str| format!("on_disk().slow_disk(\"{time}\").named(\"slow\");");
    let world = one(&named("1m"));
    let (asker, _) = world.disk(APPEND, "t", 0).waits[0];
    world.load(&[("p", &format!("{} on_disk(\"other\").disk_full();", named("1m")))]);
    assert!(still_waits(&world.generation(), asker), "it says what it said");
    world.load(&[("p", &named("2m"))]);
    assert!(!still_waits(&world.generation(), asker), "of the same name, and another");
}

#[test]
fn what_only_observes_does_nothing_and_says_so() {
    let world = one(r#"mode("observe"); on_disk().slow_disk("1s"); on_disk().disk_full();"#);
    assert_eq!(on_disk(&world.generation(), APPEND, "t", 0), None);
    let journal = world.policies.shared().journal.taken();
    assert_eq!(journal.len(), 2);
    assert!(journal.iter().all(|line| line["observed"] == true));
    let counts =
        world.generation().broker_rules().iter().map(|rule| rule.life.counters.read()).collect::<Vec<_>>();
    assert_eq!(counts, [(1, 1, 0), (1, 1, 0)]);
}

#[test]
fn a_full_disk_is_met_before_what_comes_after_it() {
    let world = one(r#"on_disk().disk_full(); on_disk().slow_disk("1s");"#);
    assert_eq!(world.disk(APPEND, "t", 0), DiskVerdict { waits: Vec::new(), end: Some(DiskEnd::Full) });
    assert_eq!(waits(&world.disk(Operation::Read, "t", 0)), [1000]);
}

#[test]
fn a_process_ends_only_where_that_is_allowed() {
    let text = "on_disk(\"t\").operation(\"sync\").nth(2).crash_at(\"after\");";
    let script = || Script { file: "p.rhai".into(), text: text.into() };
    let refused = Policies::new(Shared::new(Settings::default())).load(&[script()]).unwrap_err();
    assert!(
        refused[0].to_string().contains("p.rhai:1:1: `crash_at` ends the whole process"),
        "{}",
        refused[0]
    );

    let world = world_with(&[("p", text)], Settings { allow_crash: true, ..Settings::default() });
    assert_eq!(world.disk(Operation::Sync, "t", 0).end, None);
    assert_eq!(world.disk(Operation::Sync, "t", 0).end, Some(DiskEnd::Crash(Point::After)));
    let journal = world.policies.shared().journal.taken();
    assert_eq!((&journal[0]["parameter"], &journal[0]["when"]), (&"after".into(), &"after".into()));
}

#[test]
fn no_exchange_meets_a_rule_on_the_disk() {
    let world = one("on_disk().slow_disk(\"1s\");");
    assert!(world.generation().plan(&who("User:x")).chaos.is_empty());
}
