//! The formats of the records, against what Kafka wrote (`tests/data/group-records`).

use super::*;
use crate::broker::group::offsets::CommittedOffset;
use crate::broker::group::record::{GroupRecord, Replayed, replay, subscribed_topics};
use std::collections::HashMap;

fn kafkas() -> HashMap<String, Bytes> {
    let text = include_str!("../../../../tests/data/group-records/records.txt");
    let line = |line: &str| {
        let (name, hex) = line.split_once(" = ").unwrap();
        let byte = |at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
        (name.to_owned(), Bytes::from_iter((0..hex.len()).step_by(2).map(byte)))
    };
    text.lines().map(line).collect()
}

fn committed() -> CommittedOffset {
    CommittedOffset {
        offset: 42,
        leader_epoch: 7,
        metadata: Str::from("m"),
        commit_timestamp: 1000,
        expire_timestamp: None,
        topic_id: Uuid(std::array::from_fn(|i| i as u8 + 1)),
        record_offset: 11,
    }
}

#[test]
fn offsets_are_written_as_kafka_writes_them() {
    let kafkas = kafkas();
    let write = |committed: &CommittedOffset| {
        GroupRecord::offset_commit(&Str::from("g1"), &Str::from("orders"), 3, committed)
    };
    let record = write(&committed());
    assert_eq!(
        (&record.key, record.value.as_ref()),
        (&kafkas["offset key"], Some(&kafkas["offset value 4"]))
    );
    let expiring = CommittedOffset { expire_timestamp: Some(2000), ..committed() };
    assert_eq!(write(&expiring).value.as_ref(), Some(&kafkas["offset value 1"]));
}

#[test]
fn offsets_are_read_in_every_version() {
    let kafkas = kafkas();
    for version in 0..=4 {
        let value = kafkas[&format!("offset value {version}")].clone();
        let Ok(Replayed::Offset { key, value: Some(value) }) =
            replay(kafkas["offset key"].clone(), Some(value))
        else {
            panic!("version {version}")
        };
        assert_eq!((key.group.as_str(), key.topic.as_str(), key.partition), ("g1", "orders", 3));
        let expected = CommittedOffset {
            leader_epoch: if version >= 3 { 7 } else { -1 },
            expire_timestamp: (version == 1).then_some(2000),
            topic_id: if version >= 4 { committed().topic_id } else { Uuid::ZERO },
            ..committed()
        };
        assert_eq!(CommittedOffset::from_record(&value, 11), expected, "version {version}");
    }
}

#[test]
fn groups_are_read_in_every_version_and_written_as_kafka_writes_them() {
    let kafkas = kafkas();
    let now = Now { monotonic: 0, unix: 5 };
    for version in 0..=4 {
        let value = kafkas[&format!("group value {version}")].clone();
        let Ok(Replayed::Group { key, value: Some(value) }) =
            replay(kafkas["group key"].clone(), Some(value))
        else {
            panic!("version {version}")
        };
        let group = Group::from_record(&key.group, &value, now);
        assert_eq!((group.state(), group.generation(), group.member_count()), (State::Stable, 5, 1));
        let member = group.members().next().unwrap();
        assert_eq!(member.rebalance_timeout_ms, if version >= 1 { 60_000 } else { 10_000 });
        assert_eq!(member.instance_id.is_some(), version >= 3);
        assert_eq!(group.state_since(), (version >= 2).then_some(1000));
        assert!(group.is_subscribed("orders") && !group.is_subscribed("audit"));
        assert_eq!(group.leader(), Some(&member.id));
        if version == 3 {
            let record = GroupRecord::group_metadata(&group);
            assert_eq!(record.key, kafkas["group key"]);
            assert_eq!(record.value.as_ref(), Some(&kafkas["group value 3"]));
        }
    }
    let empty = Group::new(Str::from("g1"), Now { monotonic: 0, unix: 1000 });
    assert_eq!(GroupRecord::group_metadata(&empty).value.as_ref(), Some(&kafkas["empty group value"]));
}

#[test]
fn tombstones_and_other_kinds_are_told_apart() {
    let kafkas = kafkas();
    assert!(matches!(replay(kafkas["offset key"].clone(), None), Ok(Replayed::Offset { value: None, .. })));
    assert!(matches!(replay(kafkas["group key"].clone(), None), Ok(Replayed::Group { value: None, .. })));
    let other = Bytes::from_static(&[0, 3, 0, 0]);
    assert_eq!(replay(other, None), Ok(Replayed::Unknown(3)));
}

#[test]
fn damaged_records_are_errors() {
    let kafkas = kafkas();
    for key in [Bytes::new(), Bytes::from_static(&[0]), Bytes::from_static(&[0, 1, 0x7f, 0xff, 1])] {
        assert!(replay(key, None).is_err());
    }
    for (key, value) in [("offset key", "offset value 4"), ("group key", "group value 3")] {
        for cut in 0..kafkas[value].len() {
            assert!(replay(kafkas[key].clone(), Some(kafkas[value].slice(..cut))).is_err(), "{value} {cut}");
        }
    }
}

#[test]
fn subscriptions_are_read_whatever_their_version() {
    let topics = |bytes: &[u8]| subscribed_topics(Bytes::copy_from_slice(bytes));
    let mut bytes = subscription(&["a", "b"]).to_vec();
    assert_eq!(topics(&bytes), Some(vec![Str::from("a"), Str::from("b")]));
    bytes[1] = 9;
    bytes.extend([1, 2, 3, 4, 5]);
    assert_eq!(topics(&bytes).map(|t| t.len()), Some(2));
    bytes[0] = 0xff;
    assert_eq!(topics(&bytes), None);
    assert_eq!(topics(&[0, 0]), None);
    assert_eq!(topics(&[]), None);
    assert_eq!(topics(&[0, 0, 0x7f, 0xff, 0xff, 0xff]), None);
}
