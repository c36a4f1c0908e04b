use super::*;
use crate::policy::waits::{By, Come};
use crate::wire::ApiKey;
use crate::wire::api::heartbeat;
use std::time::Duration;

fn heartbeat(world: &World) -> Verdict {
    world.ask(
        &who("User:a"),
        &mut request(4, heartbeat::Request { group_id: "g".into(), ..Default::default() }),
    )
}

#[test]
fn a_request_is_held_once_by_the_first_rule_that_fires() {
    let world = one("on_request(\"Heartbeat\").every(2).hold_until(\"SyncGroup\", \"g*\", \"30s\"); \
                     on_request(\"Heartbeat\").hold_until(\"JoinGroup\", \"9s\").observe();");
    assert!(heartbeat(&world).is_pass(), "observed it does nothing");
    let verdict = heartbeat(&world);
    let held = verdict.held.clone().unwrap();
    assert_eq!((held.awaited.api, held.awaited.at_most), (ApiKey::SyncGroup, Duration::from_secs(30)));
    assert_eq!(verdict, Verdict { held: Some(held.clone()), ..Verdict::default() });
    assert_eq!((world.counts(0), world.counts(1)), ((2, 1, 0), (2, 2, 0)));
    let shared = Arc::clone(world.policies.shared());
    let journal = world.journal();
    let injection = journal.iter().find(|line| line["observed"] != true).unwrap();
    assert_eq!(injection["parameter"], "SyncGroup, g*, 30s");
    let tell = |by| {
        held.tell(by, Duration::from_millis(1_500), &shared);
        world.journal().pop().unwrap()
    };
    let told = tell(By::Event(Come { session: 8, correlation_id: 9 }));
    for field in ["policy", "rule", "subject_id", "n", "attempt", "session", "correlation_id"] {
        assert_eq!(told[field], injection[field], "{field}");
    }
    assert_eq!(
        (&told["released_by"], &told["held_ms"], &told["by_session"]),
        (&"event".into(), &1_500.into(), &8.into())
    );
    assert_eq!((&tell(By::Time)["released_by"], tell(By::Rule).get("by_session")), (&"time".into(), None));
}

#[test]
fn where_too_many_wait_nobody_more_is_held() {
    let world = one("on_request(\"Heartbeat\").hold_until(\"SyncGroup\", \"30s\");");
    let waits = &world.policies.shared().waits;
    let awaited = heartbeat(&world).held.unwrap().awaited;
    let all: Vec<_> = std::iter::from_fn(|| waits.wait(awaited.clone())).collect();
    assert!(heartbeat(&world).is_pass());
    assert_eq!(world.counts(0), (2, 1, 1));
    drop(all);
}
