use super::*;
use crate::policy::random::Event;
use crate::wire::record::{
    BatchBuilder, BatchHeader, Compression, Compressor, Decompressor, HeadersBuf, Records, verify_crc,
};
use proptest::prelude::*;

const LIMIT: usize = 1 << 26;

type Told = (i64, i64, Option<Vec<u8>>, Option<Vec<u8>>, usize);

fn payload(values: &[&str], header: BatchHeader) -> Bytes {
    let mut compressor = Compressor::new();
    let mut builder = BatchBuilder::new(header, &mut compressor);
    for (n, value) in values.iter().enumerate() {
        let mut headers = HeadersBuf::new();
        headers.push(b"h", Some(b"1"));
        let key = format!("k{n}");
        let time = 1_000 + n as i64;
        builder.append(time, Some(key.as_bytes()), Some(value.as_bytes()), headers.as_headers()).unwrap();
    }
    builder.finish().unwrap()
}

/// (offset, timestamp, key, value, headers) of every record; checksums hold.
fn read(payload: &Bytes) -> Vec<Told> {
    let mut all = Vec::new();
    let mut decompressor = Decompressor::new();
    for batch in batches(payload) {
        let batch = batch.unwrap();
        verify_crc(batch.bytes).unwrap();
        let before = all.len();
        for record in Records::open(batch.bytes, &batch.header, &mut decompressor, LIMIT).unwrap() {
            let record = record.unwrap();
            all.push((
                batch.header.base_offset + i64::from(record.offset_delta),
                batch.header.timestamp_of(record.timestamp_delta),
                record.key.map(<[u8]>::to_vec),
                record.value.map(<[u8]>::to_vec),
                record.headers.len(),
            ));
        }
        let newest = all[before..].iter().map(|record: &Told| record.1).max();
        assert!(newest.is_none_or(|newest| newest == batch.header.max_timestamp));
    }
    all
}

fn chosen(indexes: &[usize]) -> Vec<Chosen> {
    let draws = |index| Draws::new(1, 2, Event { subject: 3, ordinal: index as u64, attempt: 0 });
    indexes.iter().map(|index| Chosen { index: *index, draws: draws(*index) }).collect()
}

fn strike(fault: &RecordFault, payload: &Bytes, way: Way, indexes: &[usize]) -> Struck {
    fault.strike(payload, way, &chosen(indexes), LIMIT).unwrap()
}

fn values(told: &[Told]) -> Vec<Option<String>> {
    told.iter().map(|t| t.3.as_ref().map(|v| String::from_utf8_lossy(v).into_owned())).collect()
}

#[test]
fn a_wrong_checksum_is_only_that() {
    let before = payload(&["aaaa", "bbbb"], BatchHeader::default());
    let struck = strike(&RecordFault::Corrupt(Corruption::Checksum), &before, Way::Fetched, &[1]);
    let different: u32 = before.iter().zip(&struck.payload).map(|(a, b)| (a ^ b).count_ones()).sum();
    assert_eq!((struck.payload.len(), different), (before.len(), 1));
    let batch = batches(&struck.payload).next().unwrap().unwrap();
    assert!(verify_crc(batch.bytes).is_err());
}

#[test]
fn a_corrupt_value_holds_its_checksum() {
    let before = payload(&["aaaa", "bbbb"], BatchHeader::default());
    let struck = strike(&RecordFault::Corrupt(Corruption::Value), &before, Way::Produced, &[1]);
    let (old, new) = (read(&before), read(&struck.payload));
    assert_eq!(old[0], new[0]);
    let bits = |a: &Told, b: &Told| -> u32 {
        a.3.iter().flatten().zip(b.3.iter().flatten()).map(|(a, b)| (a ^ b).count_ones()).sum()
    };
    assert_eq!(bits(&old[1], &new[1]), 1);
}

#[test]
fn poisons_cannot_be_read() {
    let before = payload(&[r#"{"a":1}"#, r#"{"b":2}"#], BatchHeader::default());
    let poisoned = |poison| {
        let struck = strike(&RecordFault::Poison(poison), &before, Way::Produced, &[0]);
        let told = read(&struck.payload);
        assert_eq!(told[1], read(&before)[1], "the other record is as it was");
        told[0].3.clone().unwrap()
    };
    let cut = poisoned(Poison::TruncatedJson);
    assert!(!cut.is_empty() && br#"{"a":1}"#.starts_with(&cut[..]) && cut.len() < 7);
    assert!(serde_json::from_slice::<serde_json::Value>(&cut).is_err());
    assert!(std::str::from_utf8(&poisoned(Poison::BadUtf8)).is_err());
    assert_eq!(poisoned(Poison::SchemaId(258)), b"\0\0\0\x01\x02{\"a\":1}");
    assert_eq!(poisoned(Poison::RandomBytes(13)).len(), 13);
    let framed = payload(&["\0\0\0\0\u{5}x"], BatchHeader::default());
    let struck = strike(&RecordFault::Poison(Poison::SchemaId(9)), &framed, Way::Produced, &[0]);
    assert_eq!(
        read(&struck.payload)[0].3.as_deref(),
        Some(b"\0\0\0\0\x09x".as_slice()),
        "its id is replaced"
    );
}

#[test]
fn records_are_dropped_and_doubled() {
    let before = payload(&["a", "b", "c"], BatchHeader { base_offset: 10, ..BatchHeader::default() });
    let some = |list: &[&str]| list.iter().map(|v| Some((*v).to_owned())).collect::<Vec<_>>();
    let fetched = strike(&RecordFault::Drop, &before, Way::Fetched, &[1]);
    let told = read(&fetched.payload);
    assert_eq!((values(&told), told[1].0), (some(&["a", "c"]), 12), "offsets stay");
    let produced = strike(&RecordFault::Drop, &before, Way::Produced, &[1]);
    let told = read(&produced.payload);
    assert_eq!((values(&told), told[1].0), (some(&["a", "c"]), 11), "brokers want no gaps");
    assert_eq!(strike(&RecordFault::Drop, &before, Way::Produced, &[0, 1, 2]).payload.len(), 0);
    let emptied = strike(&RecordFault::Drop, &before, Way::Fetched, &[0, 1, 2]).payload;
    let header = batches(&emptied).next().unwrap().unwrap().header;
    assert_eq!((header.record_count, header.last_offset()), (0, 12), "consumers move on");
    let doubled = strike(&RecordFault::Duplicate, &before, Way::Produced, &[0, 2]);
    assert_eq!(values(&read(&doubled.payload)), some(&["a", "a", "b", "c", "c"]));
}

#[test]
fn what_records_say_changes_places() {
    let before = payload(&["a", "b", "c", "d"], BatchHeader::default());
    let struck = strike(&RecordFault::Reorder, &before, Way::Fetched, &[0, 1, 3]);
    let (old, new) = (read(&before), read(&struck.payload));
    assert_eq!(new[2], old[2], "the one that was not chosen stays");
    assert_ne!(values(&old), values(&new));
    let sorted = |told: &[Told]| {
        let mut all: Vec<_> = told.iter().map(|t| (t.2.clone(), t.3.clone())).collect();
        all.sort();
        all
    };
    assert_eq!(sorted(&old), sorted(&new));
    assert!(old.iter().zip(&new).all(|(a, b)| (a.0, a.1) == (b.0, b.1)), "offsets and times stay in order");
    let alone = strike(&RecordFault::Reorder, &before, Way::Fetched, &[1]);
    assert_eq!((alone.done.len(), alone.could_not), (0, 1));
}

#[test]
fn the_others_do_what_they_say() {
    let before = payload(&[r#"{"a":1}"#, "b"], BatchHeader::default());
    let first = |fault: RecordFault| read(&strike(&fault, &before, Way::Produced, &[0]).payload)[0].clone();
    assert_eq!(first(RecordFault::Tombstone).3, None);
    assert_eq!(first(RecordFault::StripHeaders).4, 0);
    assert_eq!(first(RecordFault::SkewTimestamps(-400)).1, 600);
    assert_eq!(first(RecordFault::SkewTimestamps(400)).1, 1_400);
    let grown = first(RecordFault::Oversize(100)).3.unwrap();
    assert_eq!(grown.len(), 100);
    assert_eq!(serde_json::from_slice::<serde_json::Value>(&grown).unwrap()["a"], 1);
    let bomb = strike(&RecordFault::CompressionBomb(1 << 20), &before, Way::Fetched, &[0]).payload;
    assert!(bomb.len() < 4_096, "{}", bomb.len());
    assert_eq!(read(&bomb)[0].3.as_ref().unwrap().len(), 1 << 20);
}

#[test]
fn what_cannot_be_done_is_counted_and_leaves_the_record() {
    let before = payload(&["abc", ""], BatchHeader::default());
    for fault in [RecordFault::Corrupt(Corruption::Value), RecordFault::Poison(Poison::TruncatedJson)] {
        let struck = strike(&fault, &before, Way::Produced, &[1]);
        assert_eq!((struck.done.len(), struck.could_not), (0, 1), "{fault}");
        assert_eq!(read(&struck.payload), read(&before));
    }
    assert_eq!(strike(&RecordFault::Oversize(2), &before, Way::Produced, &[0]).could_not, 1);
}

#[test]
fn batches_that_nobody_chose_and_control_batches_stay_byte_for_byte() {
    let control = payload(&["x"], BatchHeader { attributes: 0x20, ..BatchHeader::default() });
    assert!(batches(&control).next().unwrap().unwrap().header.is_control());
    let (a, b) = (payload(&["a", "b"], BatchHeader::default()), payload(&["c"], BatchHeader::default()));
    let tail = &a[..20];
    let whole = Bytes::from([&a[..], &control[..], &b[..], tail].concat());
    let struck = strike(&RecordFault::Tombstone, &whole, Way::Fetched, &[2]).payload;
    let untouched = a.len() + control.len();
    assert_eq!(struck[..untouched], whole[..untouched]);
    assert_eq!(struck[struck.len() - 20..], *tail);
    let middle = struck.slice(untouched..struck.len() - 20);
    assert_eq!(values(&read(&middle)), [None]);
}

fn any_fault() -> impl Strategy<Value = RecordFault> {
    prop_oneof![
        Just(RecordFault::Corrupt(Corruption::Value)),
        Just(RecordFault::Poison(Poison::TruncatedJson)),
        Just(RecordFault::Poison(Poison::BadUtf8)),
        Just(RecordFault::Poison(Poison::SchemaId(7))),
        Just(RecordFault::Poison(Poison::RandomBytes(40))),
        Just(RecordFault::Duplicate),
        Just(RecordFault::Reorder),
        Just(RecordFault::Drop),
        Just(RecordFault::Tombstone),
        Just(RecordFault::StripHeaders),
        Just(RecordFault::SkewTimestamps(-5)),
        Just(RecordFault::Oversize(300)),
        Just(RecordFault::CompressionBomb(5_000)),
    ]
}

proptest! {
    /// Whatever the batches, the codec and the choice: what comes out can be read, has the records it should, and those
    /// that were not chosen are as they were.
    #[test]
    fn what_comes_out_is_whole(
        fault in any_fault(),
        lists in prop::collection::vec(prop::collection::vec("[a-z{}]{0,30}", 1..6), 1..4),
        picks in prop::collection::vec(any::<bool>(), 18),
        codec in 0i16..5,
        produced in any::<bool>(),
    ) {
        let way = if produced { Way::Produced } else { Way::Fetched };
        let mut whole = BytesMut::new();
        let mut offset = 0;
        for values in &lists {
            let mut header = BatchHeader { base_offset: offset, ..BatchHeader::default() };
            header.set_compression(Compression::from_attributes(codec).unwrap());
            let values: Vec<&str> = values.iter().map(String::as_str).collect();
            offset += values.len() as i64;
            whole.extend_from_slice(&payload(&values, header));
        }
        let whole = whole.freeze();
        let before = read(&whole);
        let indexes: Vec<usize> = (0..before.len()).filter(|n| picks[*n]).collect();
        let struck = strike(&fault, &whole, way, &indexes);
        prop_assert_eq!(struck.done.len() + struck.could_not, indexes.len());
        let after = read(&struck.payload);
        let expected = match fault {
            RecordFault::Drop => before.len() - indexes.len(),
            RecordFault::Duplicate => before.len() + indexes.len(),
            _ => before.len(),
        };
        prop_assert_eq!(after.len(), expected);
        if !fault.recounts() {
            for (n, (old, new)) in before.iter().zip(&after).enumerate() {
                prop_assert!(picks[n] || old == new, "record {} was not chosen", n);
            }
        }
    }
}
