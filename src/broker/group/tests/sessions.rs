//! Time: sessions, rebalance timeouts, members that never come back; commits and what else depends on the state.

use super::*;

fn commit(bench: &mut Bench, id: &str, generation: i32) -> ErrorCode {
    bench.group.commit(bench.now, &Str::from(id), None, generation).err().unwrap_or(ErrorCode::NONE)
}

#[test]
fn heartbeats_keep_a_member_and_silence_removes_it() {
    let mut bench = Bench::new();
    let (leader, follower) = bench.stable_pair();
    for _ in 0..5 {
        bench.advance(9_999);
        assert_eq!(bench.heartbeat(&leader), ErrorCode::NONE);
        assert_eq!(bench.heartbeat(&follower), ErrorCode::NONE);
    }
    bench.advance(9_999);
    assert_eq!(bench.heartbeat(&leader), ErrorCode::NONE);
    bench.advance(1);
    assert_eq!((bench.group.member_count(), bench.group.state()), (1, State::PreparingRebalance));
    assert_eq!(bench.heartbeat(&follower), ErrorCode::UNKNOWN_MEMBER_ID);
    assert_eq!(bench.heartbeat(&leader), ErrorCode::REBALANCE_IN_PROGRESS);
    assert_eq!(got(&mut bench.join(member(&leader))).members.len(), 1);
}

#[test]
fn heartbeats_are_refused_for_their_reasons() {
    let mut bench = Bench::new();
    let (leader, _) = bench.stable_pair();
    let generation = bench.group.generation();
    let now = bench.now;
    let mut beat = |id: &str, generation| bench.group.heartbeat(now, &Str::from(id), None, generation);
    assert_eq!(beat(&leader, generation - 1), Err(ErrorCode::ILLEGAL_GENERATION));
    assert_eq!(beat("who", generation), Err(ErrorCode::UNKNOWN_MEMBER_ID));
    assert_eq!(beat(&leader, generation), Ok(()));
}

#[test]
fn a_group_whose_members_all_fall_silent_becomes_empty() {
    let mut bench = Bench::new();
    bench.stable_pair();
    bench.advance(120_000);
    assert_eq!((bench.group.state(), bench.group.member_count()), (State::Empty, 0));
    assert_eq!(bench.group.next_deadline(), None);
}

#[test]
fn who_does_not_rejoin_in_time_is_out() {
    let mut bench = Bench::new();
    let (leader, follower) = bench.stable_pair();
    let mut rejoining = bench.join(member(&leader));
    for _ in 0..7 {
        bench.advance(8_000);
        // It is alive, but does not come.
        assert_eq!(bench.heartbeat(&follower), ErrorCode::REBALANCE_IN_PROGRESS);
        assert!(waits(&mut rejoining));
    }
    bench.advance(4_000);
    assert_eq!(got(&mut rejoining).members.len(), 1);
    assert_eq!(bench.heartbeat(&follower), ErrorCode::UNKNOWN_MEMBER_ID);
}

#[test]
fn a_leader_that_does_not_rejoin_loses_the_lead() {
    let mut bench = Bench::new();
    let (leader, follower) = bench.stable_pair();
    let changed = Join { protocols: vec![protocol("range"), protocol("x")], ..member(&follower) };
    let mut rejoining = bench.join(changed);
    for _ in 0..6 {
        bench.advance(9_000);
        bench.heartbeat(&leader);
    }
    bench.advance(6_000);
    let led = got(&mut rejoining);
    assert_eq!((led.leader, led.members.len()), (follower, 1));
}

#[test]
fn who_waits_to_join_needs_no_heartbeat_but_a_newcomer_is_not_waited_for_for_ever() {
    let mut bench = Bench::new();
    let (leader, follower) = bench.stable_pair();
    let newcomer = got(&mut bench.join(newcomer())).member_id;
    let mut entering = bench.join(Join { rebalance_timeout_ms: 1_000_000, ..member(&newcomer) });
    let mut rejoining = bench.join(member(&follower));
    for _ in 0..34 {
        bench.advance(9_000);
        // The leader holds all up.
        bench.heartbeat(&leader);
    }
    assert_eq!(got(&mut entering).error_code, ErrorCode::UNKNOWN_MEMBER_ID.0);
    assert!(waits(&mut rejoining));
    assert!(bench.group.members().all(|m| m.id != newcomer));
}

#[test]
fn who_does_not_sync_in_time_is_out() {
    let mut bench = Bench::new();
    let (leader, _) = bench.enter();
    let (follower, _joining) = bench.enter();
    got(&mut bench.join(member(&leader)));
    let mut waiting = bench.sync(&follower, 2, &[]);
    for _ in 0..7 {
        bench.advance(8_000);
        assert_eq!(bench.heartbeat(&leader), ErrorCode::NONE);
    }
    assert!(waits(&mut waiting));
    bench.advance(4_000);
    // The leader had its time: the follower is sent to join again, alone.
    assert_eq!(got(&mut waiting).error_code, ErrorCode::REBALANCE_IN_PROGRESS.0);
    assert_eq!(bench.heartbeat(&leader), ErrorCode::UNKNOWN_MEMBER_ID);
    assert_eq!(got(&mut bench.join(member(&follower))).leader, follower);
}

#[test]
fn a_follower_that_never_syncs_is_out_of_a_stable_group() {
    let mut bench = Bench::new();
    let (leader, _) = bench.enter();
    let (follower, _joining) = bench.enter();
    got(&mut bench.join(member(&leader)));
    bench.sync(&leader, 2, &[]);
    assert_eq!(bench.group.state(), State::Stable);
    for _ in 0..10 {
        bench.advance(6_000);
        bench.heartbeat(&leader);
        bench.heartbeat(&follower);
    }
    assert_eq!((bench.group.state(), bench.group.member_count()), (State::PreparingRebalance, 1));
}

#[test]
fn an_id_that_is_not_used_expires() {
    let mut bench = Bench::new();
    let (leader, _) = bench.enter();
    bench.sync(&leader, 1, &[]);
    let pending = got(&mut bench.join(newcomer())).member_id;
    let mut rejoining = bench.join(member(&leader));
    bench.advance(9_999);
    assert!(waits(&mut rejoining));
    bench.advance(1);
    assert_eq!(got(&mut rejoining).members.len(), 1);
    let late = got(&mut bench.join(member(&pending)));
    assert_eq!(late.error_code, ErrorCode::UNKNOWN_MEMBER_ID.0);
}

#[test]
fn commits_are_allowed_or_refused_by_state() {
    let mut bench = Bench::new();
    assert_eq!(commit(&mut bench, "", -1), ErrorCode::NONE);
    assert_eq!(commit(&mut bench, "who", 1), ErrorCode::UNKNOWN_MEMBER_ID);
    let (leader, _) = bench.enter();
    assert_eq!(commit(&mut bench, &leader, 1), ErrorCode::REBALANCE_IN_PROGRESS);
    bench.sync(&leader, 1, &[]);
    assert_eq!(commit(&mut bench, &leader, 1), ErrorCode::NONE);
    assert_eq!(commit(&mut bench, &leader, 0), ErrorCode::ILLEGAL_GENERATION);
    assert_eq!(commit(&mut bench, &leader, -1), ErrorCode::ILLEGAL_GENERATION);
    assert_eq!(commit(&mut bench, "", -1), ErrorCode::UNKNOWN_MEMBER_ID);
    let (_, _joining) = bench.enter();
    assert_eq!(bench.group.state(), State::PreparingRebalance);
    assert_eq!(commit(&mut bench, &leader, 1), ErrorCode::NONE);
}

#[test]
fn a_commit_is_as_good_as_a_heartbeat() {
    let mut bench = Bench::new();
    let (leader, follower) = bench.stable_pair();
    let generation = bench.group.generation();
    for _ in 0..5 {
        bench.advance(9_000);
        assert_eq!(commit(&mut bench, &leader, generation), ErrorCode::NONE);
        bench.heartbeat(&follower);
    }
    assert_eq!(bench.group.state(), State::Stable);
}

#[test]
fn deletion_is_for_groups_without_members() {
    let mut bench = Bench::new();
    assert_eq!(bench.group.validate_delete(), Ok(()));
    assert_eq!(bench.group.validate_offset_delete(), Ok(()));
    bench.stable_pair();
    assert_eq!(bench.group.validate_delete(), Err(ErrorCode::NON_EMPTY_GROUP));
    assert_eq!(bench.group.validate_offset_delete(), Ok(()));
    assert!(bench.group.is_subscribed("orders") && !bench.group.is_subscribed("audit"));

    let mut connect = Bench::new();
    let join = Join { protocol_type: Str::from("connect"), member_id_required: false, ..newcomer() };
    got(&mut connect.join(join));
    assert_eq!(connect.group.validate_offset_delete(), Err(ErrorCode::NON_EMPTY_GROUP));
    assert!(!connect.group.is_subscribed("orders"));
}

#[test]
fn unreadable_subscriptions_count_as_all_topics() {
    let mut bench = Bench::new();
    let odd = Protocol { name: Str::from("range"), metadata: Bytes::from_static(&[0, 0]) };
    got(&mut bench.join(Join { protocols: vec![odd], member_id_required: false, ..newcomer() }));
    assert!(bench.group.is_subscribed("anything"));
    assert!(!bench.group.subscription_known());
}

#[test]
fn metadata_is_shown_of_stable_groups_only() {
    let mut bench = Bench::new();
    let (leader, _) = bench.enter();
    let before = bench.group.describe();
    assert_eq!((before.group_state.as_str(), before.protocol_data.as_str()), ("CompletingRebalance", ""));
    assert!(before.members[0].member_metadata.is_empty());
    assert_eq!(before.members[0].client_host, "/127.0.0.1");
    bench.sync(&leader, 1, &[(&leader, b"L")]);
    let stable = bench.group.describe();
    assert_eq!((stable.group_state.as_str(), stable.protocol_data.as_str()), ("Stable", "range"));
    assert_eq!(stable.members[0].member_metadata, subscription(&["orders"]));
    assert_eq!(stable.members[0].member_assignment.as_ref(), b"L");
    assert_eq!(bench.group.list().group_type, "classic");
}
