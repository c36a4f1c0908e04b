use super::*;
use crate::wire::api::metadata;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

fn produce(world: &World, who: &Who, topic: &str, records: usize, offset: i64) -> Verdict {
    let values = vec!["x"; records];
    world.ask(who, &mut producing_payloads(&[(topic, batch(&values, offset))], -1))
}

#[test]
fn records_that_a_batch_only_claims_are_not_counted() {
    for claimed in [batch(&["x"], 0), compressed(&["x"])] {
        let world = one("on_produce(\"t\").quota(\"10 records/s\", \"topic\");");
        let mut claimed = claimed.to_vec();
        // the number of records is in the last four bytes of a batch's header
        claimed[57..61].copy_from_slice(&i32::MAX.to_be_bytes());
        world.ask(&who("User:eve"), &mut producing_payloads(&[("t", claimed.into())], -1));
        assert_eq!(produce(&world, &who("User:ada"), "t", 80, 1).mute, Duration::ZERO);
        assert_ne!(produce(&world, &who("User:ada"), "t", 80, 2).mute, Duration::ZERO);
    }
}

fn compressed(values: &[&str]) -> Bytes {
    with_codecs(|_, compressor| {
        let mut header = BatchHeader::default();
        header.set_compression(crate::wire::record::Compression::Gzip);
        let mut builder = BatchBuilder::new(header, compressor);
        for value in values {
            builder.append(0, None, Some(value.as_bytes()), Default::default()).unwrap();
        }
        builder.finish().unwrap()
    })
}

#[test]
fn who_produces_more_than_its_quota_must_wait_and_others_need_not() {
    let world = one("on_produce(\"t*\").quota(\"10 records/s\", \"principal\");");
    let (ada, bob) = (who("User:ada"), who("User:bob"));
    // ten seconds' worth at once
    assert!(produce(&world, &ada, "t", 100, 0).is_pass());
    let verdict = produce(&world, &ada, "t", 10, 1);
    assert_eq!((verdict.mute, verdict.parts.len(), verdict.refused), (SECOND, 0, false), "it is executed");
    assert!(produce(&world, &bob, "t", 100, 0).is_pass());
    assert!(produce(&world, &ada, "other", 500, 0).is_pass());
    assert_eq!(
        produce(&world, &client("User:ada", "another"), "t2", 0, 2).mute,
        SECOND,
        "one quota for all of them"
    );
    world.clock.advance(12 * SECOND);
    assert!(produce(&world, &ada, "t", 100, 3).is_pass());
    assert_eq!(world.counts(0), (5, 2, 0));
    let audit = world.audit();
    assert_eq!(audit.len(), 2);
    assert_eq!(
        (&audit[0]["decision"], &audit[0]["reason"]),
        (&"throttle".into(), &"quota(10 records/s, principal): wait 1000 ms".into())
    );
}

#[test]
fn bytes_count_as_they_come_and_refused_parts_do_not() {
    let payload = batch(&["0123456789"], 0);
    let limit = payload.len().div_ceil(10);
    let world = one(&format!(
        "on_produce().quota(\"{limit} B/s\", \"topic\"); on_produce(\"closed\").deny(); \
         on_produce(\"strict\").value(\"$.a\", 1).deny();"
    ));
    let ask = |parts: &[(&str, Bytes)]| world.ask(&who("User:a"), &mut producing_payloads(parts, -1));
    assert_eq!(ask(&[("a", payload.clone()), ("b", payload.clone())]).mute, Duration::ZERO, "per topic");
    assert!(ask(&[("a", payload.clone())]).mute > 9 * SECOND);
    for n in 0..5 {
        let verdict = ask(&[("closed", payload.clone()), ("strict", batch(&["{\"a\":1}"], n))]);
        assert_eq!((verdict.mute, verdict.refused), (Duration::ZERO, true));
    }
}

#[test]
fn what_is_fetched_counts_when_it_is_there() {
    for quota in ["10 records/s", "700 B/s"] {
        let world = one(&format!("on_fetch(\"t\").quota(\"{quota}\", \"principal\");"));
        let many = batch(&["x"; 100], 0);
        let mut waits = Vec::new();
        for offset in 0..12 {
            let fetched =
                world.fetch_payloads(&who("User:a"), &[("t", many.clone()), ("u", many.clone())], offset);
            assert_eq!(fetched.verdict.mute, Duration::ZERO);
            assert_eq!(fetched.payload(0), many, "what was read is given");
            let told = Duration::from_millis(fetched.body.throttle_time_ms as u64);
            assert_eq!(told, fetched.decided.mute);
            waits.push(told);
        }
        assert!(waits[0].is_zero() && !waits[11].is_zero() && waits.is_sorted(), "{quota}: {waits:?}");
        assert_eq!(world.counts(0).0, 12);
    }
}

#[test]
fn requests_count_once_each() {
    let world = one("on_request(\"Metadata\").quota(\"60 requests/m\", \"ip\", \"client_id\");");
    let ask = |client_id: &str| {
        world.ask(&client("User:a", client_id), &mut request(12, metadata::Request::default())).mute
    };
    assert!((0..10).all(|_| ask("a").is_zero()));
    assert_eq!((ask("a"), ask("b")), (SECOND, Duration::ZERO));
}

#[test]
fn a_watching_quota_counts_and_makes_nobody_wait() {
    let world = one("on_produce().quota(\"1 records/s\", \"principal\").observe();");
    assert!(produce(&world, &who("User:a"), "t", 50, 0).is_pass());
    assert_eq!((world.counts(0), world.audit()[0]["observed"].as_bool()), ((1, 1, 0), Some(true)));
}

#[test]
fn what_was_used_survives_the_reload_of_an_unchanged_rule() {
    let rule = "on_produce().quota(\"1 records/s\", \"principal\");";
    let world = one(rule);
    produce(&world, &who("User:a"), "t", 10, 0);
    world.load(&[("p", &format!("{rule} on_fetch(\"x\").deny();"))]);
    assert_eq!(produce(&world, &who("User:a"), "t", 1, 1).mute, SECOND);
    world.load(&[("p", &rule.replace("1 records", "2 records"))]);
    assert!(produce(&world, &who("User:a"), "t", 1, 2).is_pass(), "another quota");
}

#[test]
fn a_condition_that_fails_refuses() {
    let world = one("on_produce().when(|cx| cx.topic.nonsense()).quota(\"1 records/s\", \"principal\");");
    assert!(produce(&world, &who("User:a"), "t", 1, 0).refused);
    let world = one("on_fetch().when(|cx| cx.topic.nonsense()).quota(\"1 records/s\", \"principal\");");
    assert_eq!(world.fetch(&who("User:a"), &[("t", "x")]).code(0), ErrorCode::TOPIC_AUTHORIZATION_FAILED);
}
