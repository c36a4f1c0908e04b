//! Faults on records, as rules strike with them.

use super::*;
use crate::policy::Interest;
use crate::policy::fault::record::{Corruption, Poison, RecordFault};
use crate::wire::ApiKey;
use crate::wire::record::verify_crc;

fn forwarded(request: &mut Request) -> Vec<Option<String>> {
    let RequestBody::Produce(body) = request.body().unwrap() else { panic!("not a produce") };
    values(&body.topic_data[0].partition_data[0].records.to_bytes().unwrap())
}

/// What of these values is stored, sent in batches of so many.
fn stored(world: &World, values: &[String], linger: usize) -> Vec<Option<String>> {
    let mut all = Vec::new();
    for (n, some) in values.chunks(linger).enumerate() {
        let some: Vec<&str> = some.iter().map(String::as_str).collect();
        let mut request = producing_payloads(&[("t", batch(&some, n as i64))], -1);
        let verdict = world.ask(&who("User:x"), &mut request);
        if verdict.parts.iter().all(Outcome::is_forward) {
            all.extend(forwarded(&mut request));
        }
    }
    all
}

/// The journal without what differs from run to run.
fn struck(world: &World) -> Vec<(String, u64)> {
    let mut lines: Vec<_> = world
        .journal()
        .iter()
        .map(|line| (line["subject"].as_str().unwrap().to_owned(), line["n"].as_u64().unwrap()))
        .collect();
    lines.sort();
    lines
}

#[test]
fn the_same_records_are_struck_at_any_linger() {
    let values: Vec<String> = (0..300).map(|n| format!("{{\"n\":{n}}}")).collect();
    for text in [
        "on_produce(\"t\").chance(0.2).poison(\"truncated_json\");",
        "on_produce(\"t\").every(7).tombstone();",
        "on_produce(\"t\").chance(0.3).drop_records();",
        "on_produce(\"t\").value(\"$.n\", \"> 100\").chance(0.5).corrupt_record(\"value\");",
        "on_produce(\"t\").chance(0.1).duplicate_records();",
    ] {
        let run = |linger| {
            let world = one(&format!("seed(5); {text}"));
            let stored = stored(&world, &values, linger);
            (stored, struck(&world))
        };
        let (alone, journal) = run(1);
        assert!(journal.len() > 20, "{text}: {journal:?}");
        for linger in [3, 10, 300] {
            assert_eq!(run(linger), (alone.clone(), journal.clone()), "{text} in batches of {linger}");
        }
    }
}

#[test]
fn triggers_count_records() {
    let values: Vec<String> = (0..10).map(|n| n.to_string()).collect();
    let struck_at = |trigger: &str| {
        let world = one(&format!("on_produce(\"t\").{trigger}.tombstone();"));
        let stored = stored(&world, &values, 4);
        stored.iter().enumerate().filter(|(_, v)| v.is_none()).map(|(at, _)| at + 1).collect::<Vec<_>>()
    };
    assert_eq!(struck_at("every(3)"), [3, 6, 9]);
    assert_eq!(struck_at("nth(5)"), [5]);
    assert_eq!(struck_at("first(2)"), [1, 2]);
    assert_eq!(struck_at("after(8)"), [9, 10]);
    assert_eq!(struck_at("at_most(3)"), [1, 2, 3]);
    assert_eq!(struck_at("key(\"no\")"), [0; 0]);
}

#[test]
fn fetched_records_are_struck_where_they_are_stored() {
    let world = one("on_fetch(\"t\").every(3).poison(\"bad_utf8\");");
    let whole = world.fetch_payloads(&who("User:x"), &[("t", batch(&["a", "b", "c", "d", "e", "f"], 0))], 0);
    let bad = |fetched: &Fetched| {
        with_codecs(|decompressor, _| {
            let payload = fetched.payload(0);
            let batch = batches(&payload).next().unwrap().unwrap();
            let records = Records::open(batch.bytes, &batch.header, decompressor, 1 << 20).unwrap();
            records.map(|r| std::str::from_utf8(r.unwrap().value.unwrap()).is_err()).collect::<Vec<_>>()
        })
    };
    assert_eq!(bad(&whole), [false, false, true, false, false, true]);
    assert!(whole.decided.edited);
    let lines = struck(&world);
    assert_eq!(lines, [("record t-0".to_owned(), 2), ("record t-0".to_owned(), 5)]);
    // another consumer, from elsewhere, finds the same
    let part = world.fetch_payloads(&who("User:y"), &[("t", batch(&["e", "f"], 4))], 4);
    assert_eq!(bad(&part), [false, true]);
    let untouched = world.fetch_payloads(&who("User:y"), &[("u", batch(&["e", "f"], 4))], 4);
    assert!(!untouched.decided.edited);
}

#[test]
fn a_batch_that_lost_all_its_records_is_told_to_be_stored() {
    let world = one("on_produce(\"t\").drop_records();");
    let verdict = world.produce(&who("User:x"), &[("t", "v"), ("u", "v")]);
    assert_eq!(codes(&verdict), [Some(ErrorCode::NONE), None]);
    assert_eq!((world.counts(0), verdict.refused), ((1, 1, 0), false));
}

#[test]
fn security_sees_the_records_before_they_are_struck() {
    let world = one("on_produce(\"t\").poison(\"truncated_json\");
         on_produce(\"t\").value(\"$.a\", \"1\").deny();");
    let verdict = world.produce(&who("User:x"), &[("t", "{\"a\":\"1\"}")]);
    assert_eq!(codes(&verdict), [Some(ErrorCode::INVALID_RECORD)]);
    assert_eq!(world.counts(0), (0, 0, 0), "chaos meets only what security lets through");
}

#[test]
fn a_retried_batch_is_struck_again_only_by_chance() {
    let world = one("on_produce(\"t\").first(1).corrupt_record();");
    let send = || {
        let mut request = producing_payloads(&[("t", batch(&["a", "b"], 9))], -1);
        world.ask(&who("User:x"), &mut request);
        let RequestBody::Produce(body) = request.body().unwrap() else { panic!("not a produce") };
        verify_crc(&body.topic_data[0].partition_data[0].records.to_bytes().unwrap()).is_ok()
    };
    assert_eq!([send(), send(), send()], [false, true, true], "or no client could get past it");
}

#[test]
fn observed_rules_leave_records_alone() {
    let world = one("on_produce(\"t\").observe().tombstone(); on_fetch(\"t\").observe().drop_records();");
    let mut request = producing_payloads(&[("t", batch(&["a"], 0))], -1);
    assert!(!world.ask(&who("User:x"), &mut request).edited);
    assert_eq!(forwarded(&mut request), some(&["a"]));
    assert_eq!(world.fetch(&who("User:x"), &[("t", "v")]).values(0), some(&["v"]));
    let lines = world.journal();
    assert!(lines.len() == 2 && lines.iter().all(|line| line["observed"] == true), "{lines:?}");
}

#[test]
fn faults_of_one_rule_come_one_after_the_other() {
    let world = one("on_produce(\"t\").oversize(8).poison(\"schema_id\", 1).drop_records();
         on_produce(\"u\").oversize(8).poison(\"schema_id\", 1);");
    let verdict = world.produce(&who("User:x"), &[("t", "v")]);
    assert_eq!(codes(&verdict), [Some(ErrorCode::NONE)]);
    let mut request = producing(&[("u", "v")], 0);
    world.ask(&who("User:x"), &mut request);
    assert_eq!(forwarded(&mut request), some(&["\0\0\0\0\u{1}v       "]));
    assert_eq!(world.counts(1), (1, 1, 0), "one record, whatever was done to it");
    let faults: Vec<_> = world.journal().iter().map(|line| line["fault"].clone()).collect();
    assert_eq!(faults, ["oversize", "poison", "drop_records", "oversize", "poison"]);
}

#[test]
fn words_are_the_faults_names() {
    for (fault, written) in [
        (RecordFault::Drop, "drop_records()"),
        (RecordFault::SkewTimestamps(-3_600_000), "skew_timestamps(\"-3600000ms\")"),
        (RecordFault::Oversize(2_097_152), "oversize(2097152)"),
        (RecordFault::CompressionBomb(99), "compression_bomb(99)"),
        (RecordFault::Corrupt(Corruption::Checksum), "corrupt_record(\"checksum\")"),
        (RecordFault::Corrupt(Corruption::Value), "corrupt_record(\"value\")"),
        (RecordFault::Poison(Poison::TruncatedJson), "poison(\"truncated_json\")"),
        (RecordFault::Poison(Poison::BadUtf8), "poison(\"bad_utf8\")"),
        (RecordFault::Poison(Poison::SchemaId(7)), "poison(\"schema_id\", 7)"),
        (RecordFault::Poison(Poison::RandomBytes(16)), "poison(\"random_bytes\", 16)"),
    ] {
        assert_eq!(fault.to_string(), written);
        let world = one(&format!("on_produce().{written};"));
        let read: Vec<_> = world.generation().policies[0].rules[0].record_faults().cloned().collect();
        assert_eq!(read, [fault]);
    }
}

/// What of an idempotent producer's batch goes upstream: its number and values. `None`: nothing.
fn sent_on(world: &World, values: &[&str], base_sequence: i32) -> Option<(i32, Vec<Option<String>>)> {
    let mut request = producing_payloads(&[("t", sequenced(values, 7, base_sequence))], -1);
    let verdict = world.ask(&who("User:x"), &mut request);
    if !verdict.parts.iter().all(Outcome::is_forward) {
        assert_eq!(codes(&verdict), [Some(ErrorCode::NONE)]);
        return None;
    }
    let RequestBody::Produce(body) = request.body().unwrap() else { panic!("not a produce") };
    let payload = body.topic_data[0].partition_data[0].records.to_bytes().unwrap();
    verify_crc(&payload).unwrap();
    let header = BatchHeader::parse(&payload).unwrap();
    assert_eq!(header.last_offset_delta + 1, header.record_count, "brokers want no gaps");
    Some((header.base_sequence, super::values(&payload)))
}

#[test]
fn numbered_batches_stay_in_sequence() {
    for (fault, kept) in
        [("drop_records", some(&["a", "b"])), ("duplicate_records", some(&["a", "b", "c", "c"]))]
    {
        let world = one(&format!("on_produce(\"t\").every(3).{fault}();"));
        let first = Some((0, kept.clone()));
        assert_eq!(sent_on(&world, &["a", "b", "c"], 0), first, "{fault}");
        let shift = kept.len() as i32 - 3;
        let second = Some((3 + shift, some(&["d", "e"])));
        assert_eq!(sent_on(&world, &["d", "e"], 3), second, "{fault}");
        // both again, as after a lost connection
        assert_eq!(sent_on(&world, &["a", "b", "c"], 0), first, "{fault}");
        assert_eq!(sent_on(&world, &["d", "e"], 3), second, "{fault}");
        // the rule goes, its effect on the numbers cannot
        world.load(&[("p", "")]);
        assert_eq!(sent_on(&world, &["f"], 5), Some((5 + shift, some(&["f"]))), "{fault}");
        assert_eq!(sent_on(&world, &["a", "b", "c"], 0), first, "{fault}: sent again");
    }
}

#[test]
fn a_numbered_batch_that_lost_all_its_records_is_not_sent_on_again_either() {
    let world = one("on_produce(\"t\").nth(2).drop_records();");
    assert_eq!(sent_on(&world, &["a"], 0), Some((0, some(&["a"]))));
    assert_eq!(sent_on(&world, &["b"], 1), None);
    assert_eq!(sent_on(&world, &["b"], 1), None, "told to be stored again");
    assert_eq!(sent_on(&world, &["c"], 2), Some((1, some(&["c"]))));
    assert_eq!(world.counts(0), (3, 1, 0), "it is not struck a second time");
}

#[test]
fn without_changes_no_batch_is_looked_at() {
    let world = one("on_produce(\"t\").nth(100).drop_records();");
    let produce = |world: &World| world.generation().plan(&who("User:x")).request_interest(ApiKey::Produce);
    world.load(&[("p", "")]);
    assert_eq!(produce(&world), Interest::Nothing);
    world.load(&[("p", "on_produce(\"t\").drop_records();")]);
    sent_on(&world, &["a"], 0);
    world.load(&[("p", "")]);
    assert_eq!(produce(&world), Interest::Parts);
}

#[test]
fn a_broken_checksum_stays_broken_under_another_number() {
    let world = one("on_produce(\"t\").nth(1).drop_records();");
    assert_eq!(sent_on(&world, &["a", "b"], 0), Some((0, some(&["b"]))));
    for at in 0..1_000 {
        let mut broken = sequenced(&["c"], 7, 2 + at).to_vec();
        let crc = u32::from_be_bytes(broken[17..21].try_into().unwrap());
        broken[17..21].copy_from_slice(&(crc ^ 0x10).to_be_bytes());
        let mut request = producing_payloads(&[("t", broken.into())], -1);
        world.ask(&who("User:x"), &mut request);
        let RequestBody::Produce(body) = request.body().unwrap() else { panic!("not a produce") };
        let payload = body.topic_data[0].partition_data[0].records.to_bytes().unwrap();
        assert_eq!(BatchHeader::parse(&payload).unwrap().base_sequence, 1 + at);
        assert!(verify_crc(&payload).is_err(), "batch {at}");
    }
}

#[test]
fn a_batch_that_is_sent_again_is_not_doubled_twice() {
    let world = one("on_produce(\"t\").duplicate_records();");
    for _ in 0..3 {
        assert_eq!(sent_on(&world, &["a"], 0), Some((0, some(&["a", "a"]))));
    }
    assert_eq!(sent_on(&world, &["b"], 1), Some((2, some(&["b", "b"]))));
}

#[test]
fn only_what_changes_how_many_there_are_moves_the_numbers_behind() {
    for fault in ["poison(\"schema_id\", 1)", "tombstone()", "observe().drop_records()"] {
        let world = one(&format!("on_produce(\"t\").nth(1).{fault};"));
        sent_on(&world, &["a", "b"], 0);
        assert_eq!(sent_on(&world, &["c"], 2), Some((2, some(&["c"]))), "{fault}");
    }
}

#[test]
fn struck_records_are_audited_by_who_asks_and_what_was_not_struck_by_nobody() {
    for (rule, records) in [
        ("oversize(9)", None),
        ("oversize(9).audit()", Some(2)),
        ("oversize(2).audit()", None),
        ("observe().oversize(9).audit()", Some(2)),
    ] {
        let world = one(&format!("on_produce(\"t\").{rule};"));
        let mut request = producing_payloads(&[("t", batch(&["aaa", "bbb"], 0))], -1);
        let verdict = world.ask(&who("User:x"), &mut request);
        let done = rule == "oversize(9)" || rule == "oversize(9).audit()";
        assert_eq!(verdict.edited, done, "{rule}");
        let audit = world.audit();
        let told: Vec<_> = audit.iter().map(|line| (&line["decision"], line["records"].as_u64())).collect();
        let expected: Vec<_> = records.iter().map(|n| (&audit[0]["decision"], Some(*n))).collect();
        assert_eq!(told, expected, "{rule}");
        assert!(audit.iter().all(|line| line["decision"] == "inject"), "{rule}");
    }
}
