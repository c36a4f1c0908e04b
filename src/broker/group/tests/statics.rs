//! Static members (KIP-345): they keep their place over a restart, and whoever uses their old id is fenced.

use super::*;

fn stable_static(bench: &mut Bench) -> (Str, Str) {
    let first = got(&mut bench.join(static_member("i1")));
    assert_eq!((first.error_code, first.generation_id), (0, 1));
    assert!(first.member_id.starts_with("i1-"));
    let mut second = bench.join(static_member("i2"));
    let joined =
        got(&mut bench.join(Join { instance_id: Some(Str::from("i1")), ..member(&first.member_id) }));
    let second = got(&mut second).member_id;
    assert_eq!((joined.generation_id, joined.members.len()), (2, 2));
    bench.sync(&first.member_id, 2, &[(&first.member_id, b"1"), (&second, b"2")]);
    bench.sync(&second, 2, &[]);
    assert_eq!(bench.group.state(), State::Stable);
    (first.member_id, second)
}

#[test]
fn a_restarted_member_takes_its_place_without_a_rebalance() {
    let mut bench = Bench::new();
    let (leader, second) = stable_static(&mut bench);
    let before = bench.persisted;

    let back = got(&mut bench.join(static_member("i2")));
    assert_eq!((back.error_code, back.generation_id, back.skip_assignment), (0, 2, false));
    assert_ne!(back.member_id, second);
    assert!(back.members.is_empty());
    let mine = got(&mut bench.sync(&back.member_id, 2, &[]));
    assert_eq!(mine.assignment.as_ref(), b"2");
    assert_eq!((bench.group.state(), bench.persisted), (State::Stable, before + 1));

    let led = got(&mut bench.join(static_member("i1")));
    assert_eq!((led.generation_id, led.skip_assignment, led.members.len()), (2, true, 2));
    assert_eq!(led.leader, led.member_id);
    assert_eq!(got(&mut bench.sync(&led.member_id, 2, &[])).assignment.as_ref(), b"1");

    let now = bench.now;
    let instance = Str::from("i1");
    let fenced = bench.group.heartbeat(now, &leader, Some(&instance), 2);
    assert_eq!(fenced, Err(ErrorCode::FENCED_INSTANCE_ID));
    assert_eq!(bench.group.commit(now, &leader, Some(&instance), 2), Err(ErrorCode::FENCED_INSTANCE_ID));
    assert_eq!(bench.leave(&[(&leader, Some("i1"))]), [ErrorCode::FENCED_INSTANCE_ID]);
    let stale = Join { instance_id: Some(instance), ..member(&leader) };
    assert_eq!(got(&mut bench.join(stale)).error_code, ErrorCode::FENCED_INSTANCE_ID.0);
    assert_eq!(bench.group.member_count(), 2);
}

#[test]
fn an_older_client_must_not_learn_that_it_leads() {
    let mut bench = Bench::new();
    let (leader, _) = stable_static(&mut bench);
    let back = got(&mut bench.join(Join { can_skip_assignment: false, ..static_member("i1") }));
    assert_eq!((back.error_code, back.skip_assignment, back.members.len()), (0, false, 0));
    assert_eq!(back.leader, leader);
    assert_ne!(back.member_id, leader);
}

#[test]
fn a_change_of_protocol_needs_a_rebalance() {
    let mut bench = Bench::new();
    let both = vec![protocol("range"), protocol("sticky")];
    let first = got(&mut bench.join(Join { protocols: both.clone(), ..static_member("i1") }));
    bench.sync(&first.member_id, 1, &[]);
    let swapped = both.into_iter().rev().collect();
    let back = got(&mut bench.join(Join { protocols: swapped, ..static_member("i1") }));
    assert_eq!((back.generation_id, back.protocol_name), (2, Some(Str::from("sticky"))));
}

#[test]
fn a_restart_while_the_leader_assigns_starts_over() {
    let mut bench = Bench::new();
    let first = got(&mut bench.join(static_member("i1")));
    let mut second = bench.join(static_member("i2"));
    got(&mut bench.join(Join { instance_id: Some(Str::from("i1")), ..member(&first.member_id) }));
    let second = got(&mut second).member_id;
    let mut waiting = bench.sync(&second, 2, &[]);
    let mut back = bench.join(static_member("i2"));
    assert_eq!(got(&mut waiting).error_code, ErrorCode::FENCED_INSTANCE_ID.0);
    assert!(waits(&mut back));
    let led = got(&mut bench.join(Join { instance_id: Some(Str::from("i1")), ..member(&first.member_id) }));
    assert_eq!((led.generation_id, got(&mut back).generation_id), (3, 3));
    assert!(led.members.iter().all(|m| m.member_id != second));
}

#[test]
fn a_waiting_join_under_the_old_id_is_fenced() {
    let mut bench = Bench::new();
    let (leader, _) = stable_static(&mut bench);
    let mut joining = bench.join(Join { instance_id: Some(Str::from("i1")), ..member(&leader) });
    assert!(waits(&mut joining));
    let mut back = bench.join(static_member("i1"));
    let fenced = got(&mut joining);
    assert_eq!((fenced.error_code, fenced.member_id), (ErrorCode::FENCED_INSTANCE_ID.0, leader));
    assert!(waits(&mut back));
}

#[test]
fn static_members_are_not_removed_by_a_rebalance_but_by_their_session() {
    let mut bench = Bench::new();
    let (leader, second) = stable_static(&mut bench);
    let rejoin = Join { instance_id: Some(Str::from("i1")), rebalance_timeout_ms: 5_000, ..member(&leader) };
    bench.group.members.get_mut(&second).unwrap().rebalance_timeout_ms = 5_000;
    let mut rejoining = bench.join(rejoin);
    bench.advance(5_000);
    // It has not come, and stays a member of the new generation.
    assert_eq!(got(&mut rejoining).members.len(), 2);
    bench.advance(4_000);
    bench.group.heartbeat(bench.now, &leader, None, 3).unwrap();
    bench.advance(1_000);
    // No SyncGroup either.
    assert!(!bench.group.members.contains_key(&second));
}

#[test]
fn an_admin_removes_by_instance_id() {
    let mut bench = Bench::new();
    stable_static(&mut bench);
    let answers = bench.leave(&[("", Some("i2")), ("", Some("i9")), ("", None)]);
    let unknown = ErrorCode::UNKNOWN_MEMBER_ID;
    assert_eq!(answers, [ErrorCode::NONE, unknown, unknown]);
    assert_eq!((bench.group.member_count(), bench.group.state()), (1, State::PreparingRebalance));
}
