//! Joining, syncing, leaving; protocols; limits.

use super::*;

#[test]
fn a_newcomer_is_sent_back_for_its_id_and_then_leads() {
    let mut bench = Bench::new();
    let mut first = bench.join(newcomer());
    let sent_back = got(&mut first);
    assert_eq!((sent_back.error_code, sent_back.generation_id), (ErrorCode::MEMBER_ID_REQUIRED.0, -1));
    assert!(sent_back.member_id.starts_with("app-"));
    assert_eq!((bench.group.state(), bench.group.member_count()), (State::Empty, 0));

    let joined = got(&mut bench.join(member(&sent_back.member_id)));
    assert_eq!((joined.error_code, joined.generation_id), (0, 1));
    assert_eq!((&joined.leader, &joined.member_id), (&sent_back.member_id, &sent_back.member_id));
    assert_eq!(joined.protocol_name, Some(Str::from("range")));
    assert_eq!(joined.members.len(), 1);
    assert_eq!(joined.members[0].metadata, subscription(&["orders"]));
    assert_eq!(bench.group.state(), State::CompletingRebalance);
}

#[test]
fn older_versions_join_at_once() {
    let mut bench = Bench::new();
    let joined = got(&mut bench.join(Join { member_id_required: false, ..newcomer() }));
    assert_eq!((joined.error_code, joined.generation_id, joined.members.len()), (0, 1, 1));
}

#[test]
fn the_initial_delay_gathers_members_and_ends() {
    let mut bench = Bench::with(GroupConfig::default());
    let (_, mut first) = bench.enter();
    bench.advance(2_999);
    let (_, mut second) = bench.enter();
    bench.advance(1);
    // Someone came: the delay starts over.
    assert!(waits(&mut first) && waits(&mut second));
    bench.advance(2_999);
    assert!(waits(&mut first));
    bench.advance(1);
    assert_eq!((got(&mut first).generation_id, got(&mut second).generation_id), (1, 1));
}

#[test]
fn the_initial_delay_is_not_extended_past_the_rebalance_timeout() {
    let mut bench = Bench::with(GroupConfig::default());
    let mut first = bench.join(Join { member_id_required: false, rebalance_timeout_ms: 7_000, ..newcomer() });
    let mut others = Vec::new();
    for _ in 0..7 {
        assert!(waits(&mut first));
        others.push(bench.join(Join {
            member_id_required: false,
            rebalance_timeout_ms: 7_000,
            ..newcomer()
        }));
        bench.advance(1_000);
    }
    assert_eq!(got(&mut first).generation_id, 1);
    assert!(others.iter_mut().all(|other| got(other).generation_id == 1));
}

#[test]
fn followers_wait_for_the_leader_and_who_is_forgotten_gets_nothing() {
    let mut bench = Bench::new();
    let (leader, _) = bench.enter();
    let (second, _second) = bench.enter();
    let (third, _third) = bench.enter();
    let generation = got(&mut bench.join(member(&leader))).generation_id;
    assert_eq!(generation, 2);
    let mut waiting = bench.sync(&second, generation, &[]);
    assert!(waits(&mut waiting));
    let stranger = Str::from("stranger");
    let mut led = bench.sync(&leader, generation, &[(&second, b"2"), (&stranger, b"9")]);
    assert_eq!(got(&mut led).assignment.as_ref(), b"");
    assert_eq!(got(&mut waiting).assignment.as_ref(), b"2");
    assert_eq!((bench.group.state(), bench.persisted), (State::Stable, 1));
    let late = got(&mut bench.sync(&third, generation, &[]));
    assert_eq!((late.error_code, late.assignment.as_ref()), (0, b"".as_ref()));
    assert_eq!(late.protocol_name, Some(Str::from("range")));
}

#[test]
fn syncs_are_refused_for_their_reasons() {
    let mut bench = Bench::new();
    let unknown = got(&mut bench.sync(&Str::from("who"), 1, &[]));
    assert_eq!(unknown.error_code, ErrorCode::UNKNOWN_MEMBER_ID.0);
    let (leader, mut joined) = bench.enter();
    assert_eq!(got(&mut joined).generation_id, 1);
    let error = |bench: &mut Bench, sync: Sync| ErrorCode(got(&mut bench.sync_as(sync)).error_code);
    let of =
        |member_id: &Str, generation| Sync { member_id: member_id.clone(), generation, ..Sync::default() };
    assert_eq!(error(&mut bench, of(&Str::from("who"), 1)), ErrorCode::UNKNOWN_MEMBER_ID);
    assert_eq!(error(&mut bench, of(&leader, 0)), ErrorCode::ILLEGAL_GENERATION);
    let other_type = Sync { protocol_type: Some(Str::from("connect")), ..of(&leader, 1) };
    assert_eq!(error(&mut bench, other_type), ErrorCode::INCONSISTENT_GROUP_PROTOCOL);
    let other_name = Sync { protocol_name: Some(Str::from("sticky")), ..of(&leader, 1) };
    assert_eq!(error(&mut bench, other_name), ErrorCode::INCONSISTENT_GROUP_PROTOCOL);
    let (_, _joining) = bench.enter();
    assert_eq!(bench.group.state(), State::PreparingRebalance);
    assert_eq!(error(&mut bench, of(&leader, 1)), ErrorCode::REBALANCE_IN_PROGRESS);
}

#[test]
fn a_rebalance_sends_those_back_who_wait_for_their_assignment() {
    let mut bench = Bench::new();
    let (leader, _) = bench.enter();
    let (follower, _joining) = bench.enter();
    got(&mut bench.join(member(&leader)));
    let mut waiting = bench.sync(&follower, 2, &[]);
    let (_, _third) = bench.enter();
    assert_eq!(got(&mut waiting).error_code, ErrorCode::REBALANCE_IN_PROGRESS.0);
}

#[test]
fn a_repeated_join_or_sync_takes_the_place_of_the_first() {
    let mut bench = Bench::new();
    let (leader, _) = bench.enter();
    let (follower, mut joining) = bench.enter();
    let mut again = bench.join(member(&follower));
    assert_eq!(got(&mut joining).error_code, ErrorCode::REBALANCE_IN_PROGRESS.0);
    assert_eq!(got(&mut bench.join(member(&leader))).members.len(), 2);
    assert_eq!(got(&mut again).generation_id, 2);
    let mut syncing = bench.sync(&follower, 2, &[]);
    let mut again = bench.sync(&follower, 2, &[]);
    assert_eq!(got(&mut syncing).error_code, ErrorCode::REBALANCE_IN_PROGRESS.0);
    bench.sync(&leader, 2, &[(&follower, b"F")]);
    assert_eq!(got(&mut again).assignment.as_ref(), b"F");
}

#[test]
fn who_rejoins_without_a_change_keeps_its_generation_unless_it_leads() {
    let mut bench = Bench::new();
    let (leader, follower) = bench.stable_pair();
    let generation = bench.group.generation();
    let kept = got(&mut bench.join(member(&follower)));
    assert_eq!((kept.error_code, kept.generation_id, kept.members.len()), (0, generation, 0));
    assert_eq!(bench.group.state(), State::Stable);

    let mut changed =
        bench.join(Join { protocols: vec![protocol("range"), protocol("sticky")], ..member(&follower) });
    assert!(waits(&mut changed));
    assert_eq!(bench.group.state(), State::PreparingRebalance);
    let led = got(&mut bench.join(member(&leader)));
    assert_eq!((led.generation_id, led.members.len()), (generation + 1, 2));
    // Its answer may have been lost.
    assert_eq!(got(&mut bench.join(member(&leader))).members.len(), 2);
    assert_eq!(bench.group.state(), State::CompletingRebalance);
    bench.sync(&leader, generation + 1, &[]);
    assert_eq!(bench.group.state(), State::Stable);
    let mut again = bench.join(member(&leader));
    assert!(waits(&mut again));
    assert_eq!(bench.group.state(), State::PreparingRebalance);
}

#[test]
fn protocols_must_be_common_and_most_votes_win() {
    let mut bench = Bench::new();
    let (a, b, c) = (protocol("a"), protocol("b"), protocol("c"));
    let join = |bench: &mut Bench, protocols: &[&Protocol]| {
        let protocols = protocols.iter().map(|p| (*p).clone()).collect();
        bench.join(Join { member_id_required: false, protocols, ..newcomer() })
    };
    let first = got(&mut join(&mut bench, &[&a, &b, &c]));
    assert_eq!(first.protocol_name, Some(Str::from("a")));
    let _second = join(&mut bench, &[&c, &b]);
    let _third = join(&mut bench, &[&c, &b]);
    let stranger = got(&mut join(&mut bench, &[&a]));
    assert_eq!(stranger.error_code, ErrorCode::INCONSISTENT_GROUP_PROTOCOL.0);
    let other_type = Join { protocol_type: Str::from("connect"), ..newcomer() };
    let other_type = got(&mut bench.join(other_type));
    assert_eq!(other_type.error_code, ErrorCode::INCONSISTENT_GROUP_PROTOCOL.0);
    let leader = Join { protocols: vec![a, b, c], ..member(&first.member_id) };
    let chosen = got(&mut bench.join(leader));
    assert_eq!((chosen.protocol_name, chosen.members.len()), (Some(Str::from("c")), 3));

    let mut empty = Bench::new();
    for wrong in
        [Join { protocols: Vec::new(), ..newcomer() }, Join { protocol_type: Str::default(), ..newcomer() }]
    {
        let refused = got(&mut empty.join(wrong));
        assert_eq!(refused.error_code, ErrorCode::INCONSISTENT_GROUP_PROTOCOL.0);
    }
}

#[test]
fn a_member_nobody_knows_is_refused() {
    let mut bench = Bench::new();
    bench.stable_pair();
    let refused = got(&mut bench.join(member(&Str::from("who"))));
    assert_eq!((refused.error_code, refused.member_id), (ErrorCode::UNKNOWN_MEMBER_ID.0, Str::from("who")));
}

#[test]
fn the_group_is_limited_in_members_and_in_memory() {
    let mut bench = Bench::new();
    bench.config.max_size = 2;
    bench.stable_pair();
    let refused = got(&mut bench.join(Join { member_id_required: false, ..newcomer() }));
    assert_eq!(refused.error_code, ErrorCode::GROUP_MAX_SIZE_REACHED.0);
    assert_eq!((bench.group.member_count(), bench.group.state()), (2, State::Stable));

    let mut bench = Bench::new();
    bench.config.max_group_bytes = 20_000;
    let mut accepted = 0;
    for _ in 0..1_000 {
        accepted += i32::from(got(&mut bench.join(newcomer())).error_code == ErrorCode::MEMBER_ID_REQUIRED.0);
        assert!(bench.group.size() <= bench.config.max_group_bytes);
    }
    assert!((10..100).contains(&accepted), "{accepted} ids handed out");
    // They are given back when they are not used.
    bench.advance(10_000);
    assert_eq!(got(&mut bench.join(newcomer())).error_code, ErrorCode::MEMBER_ID_REQUIRED.0);
}

#[test]
fn an_assignment_too_large_to_be_written_is_refused_and_can_be_repeated() {
    let mut bench = Bench::new();
    bench.config.max_group_bytes = 10_000;
    let (leader, _) = bench.enter();
    let huge: &'static [u8] = &[1; 10_000];
    let refused = got(&mut bench.sync(&leader, 1, &[(&leader, huge)]));
    assert_eq!(refused.error_code, ErrorCode::UNKNOWN_SERVER_ERROR.0);
    assert_eq!(bench.group.state(), State::CompletingRebalance);
    assert_eq!(got(&mut bench.sync(&leader, 1, &[(&leader, b"L")])).assignment.as_ref(), b"L");
}

#[test]
fn leaving_starts_a_rebalance_and_the_last_one_empties_the_group() {
    let mut bench = Bench::new();
    let (leader, follower) = bench.stable_pair();
    let answers = bench.leave(&[(&leader, None), ("nobody", None), (&leader, None)]);
    let unknown = ErrorCode::UNKNOWN_MEMBER_ID;
    assert_eq!(answers, [ErrorCode::NONE, unknown, unknown]);
    assert_eq!(bench.heartbeat(&follower), ErrorCode::REBALANCE_IN_PROGRESS);
    let led = got(&mut bench.join(member(&follower)));
    assert_eq!((&led.leader, led.members.len()), (&follower, 1));
    let before = bench.persisted;
    assert_eq!(bench.leave(&[(&follower, None)]), [ErrorCode::NONE]);
    assert_eq!((bench.group.state(), bench.persisted), (State::Empty, before + 1));
    assert_eq!((bench.group.leader(), bench.group.protocol_name()), (None, None));
    assert_eq!(bench.group.protocol_type(), Some(&Str::from("consumer")));
}

#[test]
fn who_was_sent_back_may_leave_and_does_not_hold_the_others_up() {
    let mut bench = Bench::new();
    let (leader, _) = bench.enter();
    let pending = got(&mut bench.join(newcomer())).member_id;
    let mut rejoining = bench.join(member(&leader));
    assert_eq!(got(&mut rejoining).generation_id, 1);
    bench.sync(&leader, 1, &[]);
    let mut rejoining = bench.join(member(&leader));
    // The pending one is waited for.
    assert!(waits(&mut rejoining));
    assert_eq!(bench.leave(&[(&pending, None)]), [ErrorCode::NONE]);
    assert_eq!(got(&mut rejoining).generation_id, 2);
}

#[test]
fn what_cannot_be_written_is_not_answered_as_done() {
    let mut bench = Bench::new();
    let (leader, _) = bench.enter();
    let (follower, _joining) = bench.enter();
    got(&mut bench.join(member(&leader)));
    let mut waiting = bench.sync(&follower, 2, &[]);
    let (waiter, mut led) = oneshot::channel();
    let sync = Sync {
        member_id: leader.clone(),
        generation: 2,
        assignments: vec![(leader.clone(), Bytes::from_static(b"L"))],
        ..Sync::default()
    };
    bench.run(|group, now, config, out| {
        group.sync(now, config, sync, waiter, out);
        assert!(out.persist);
        group.persist_failed(now, config, ErrorCode::COORDINATOR_NOT_AVAILABLE, out);
    });
    assert_eq!(bench.persisted, 0);
    for answer in [&mut led, &mut waiting] {
        let answer = got(answer);
        assert_eq!(answer.error_code, ErrorCode::COORDINATOR_NOT_AVAILABLE.0);
        assert!(answer.assignment.is_empty());
    }
    assert_eq!(bench.group.state(), State::PreparingRebalance);
}
