//! Batches parted, and what letters say.

use super::*;
use crate::wire::record::verify_crc;

const ORIGIN: Origin<'_> = Origin {
    principal: "User:ada",
    client_id: "c",
    correlation_id: 7,
    topic: "orders",
    partition: 3,
    sent: Some(Sequenced { producer_id: 9, producer_epoch: 1, base_sequence: i32::MAX, crc: 0, length: 0 }),
};

fn stamp(at: usize) -> Option<Stamp<'static>> {
    Some(Stamp { to: at % 2, reason: "because", policy: "p", rule: "r" })
}

fn batch(values: &[&[u8]], codec: Compression) -> Bytes {
    with_codecs(|_, compressor| {
        let mut header =
            BatchHeader { producer_id: 9, producer_epoch: 1, base_sequence: 4, ..BatchHeader::default() };
        header.set_compression(codec);
        let mut builder = BatchBuilder::new(header, compressor);
        let mut headers = HeadersBuf::new();
        headers.push(b"h", Some(b"1"));
        headers.push(REASON_HEADER.as_bytes(), Some(b"the client's own"));
        headers.push(b"Tollgate-anything", Some(b"the client's own"));
        for (at, value) in (0..).zip(values) {
            builder.append(1_000 + at, Some(b"k"), Some(value), headers.as_headers()).unwrap();
        }
        builder.finish().unwrap()
    })
}

type Written = (i64, Option<Vec<u8>>, Vec<(String, String)>);

fn written(payload: &Bytes) -> Vec<Written> {
    with_codecs(|decompressor, _| {
        let mut all = Vec::new();
        for batch in batches(payload) {
            let batch = batch.unwrap();
            verify_crc(batch.bytes).unwrap();
            assert_eq!(batch.header.last_offset_delta + 1, batch.header.record_count, "brokers want no gaps");
            for record in Records::open(batch.bytes, &batch.header, decompressor, 1 << 26).unwrap() {
                let record = record.unwrap();
                let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
                let headers = record.headers.map(|h| (text(h.key), text(h.value.unwrap_or_default())));
                let timestamp = batch.header.timestamp_of(record.timestamp_delta);
                assert!(timestamp <= batch.header.max_timestamp);
                all.push((timestamp, record.value.map(<[u8]>::to_vec), headers.collect()));
            }
        }
        all
    })
}

fn values(payload: &Bytes) -> Vec<Vec<u8>> {
    written(payload).into_iter().filter_map(|(_, value, _)| value).collect()
}

#[test]
fn records_leave_and_the_rest_stays_in_order_under_any_codec() {
    for codec in
        [Compression::None, Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd]
    {
        let payload = batch(&[b"a", b"b", b"c", b"d", b"e"], codec);
        let parted = part(&payload, &[1, 2, 4], 2, ORIGIN, stamp, 1 << 20).unwrap();
        assert_eq!(values(&parted.rest), [b"a", b"d"]);
        let header = BatchHeader::parse(&parted.rest).unwrap();
        assert_eq!((header.producer_id, header.base_sequence, header.compression()), (9, 4, codec));
        let letters: Vec<Vec<Vec<u8>>> = parted
            .letters
            .iter()
            .map(|batches| batches.iter().flat_map(|batch| values(&batch.payload)).collect())
            .collect();
        assert_eq!(letters, [vec![b"c".to_vec(), b"e".to_vec()], vec![b"b".to_vec()]]);
    }
}

#[test]
fn a_letter_says_where_it_comes_from_behind_what_it_had() {
    let parted = part(&batch(&[b"a", b"b"], Compression::None), &[1], 2, ORIGIN, stamp, 1 << 20).unwrap();
    let letters = written(&parted.letters[1][0].payload);
    let [(1_001, Some(value), headers)] = letters.as_slice() else { panic!("{letters:?}") };
    assert_eq!(value, b"b");
    let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (&**name, &**value)).collect();
    assert_eq!(
        headers,
        [
            ("h", "1"),
            (REASON_HEADER, "because"),
            (POLICY_HEADER, "p"),
            (RULE_HEADER, "r"),
            (PRINCIPAL_HEADER, "User:ada"),
            (CLIENT_ID_HEADER, "c"),
            (CORRELATION_ID_HEADER, "7"),
            (TOPIC_HEADER, "orders"),
            (PARTITION_HEADER, "3"),
            (TIMESTAMP_HEADER, "1001"),
            (PRODUCER_HEADER, "9/1/0"),
        ],
        "sequence numbers wrap; what the client says in our name is gone"
    );
    let header = BatchHeader::parse(&parted.letters[1][0].payload).unwrap();
    assert!(!header.has_producer_id(), "the client's numbers are of its own topic");
}

#[test]
fn nothing_is_left_of_a_batch_that_goes_whole() {
    let payload = batch(&[b"a", b"b"], Compression::Zstd);
    let parted = part(&payload, &[0, 1], 2, ORIGIN, stamp, 1 << 20).unwrap();
    assert!(parted.rest.is_empty());
    let none = part(&payload, &[0, 1], 0, ORIGIN, |_| None, 1 << 20).unwrap();
    assert!(none.rest.is_empty() && none.letters.is_empty(), "sent before");
    assert_eq!(part(&payload, &[], 2, ORIGIN, stamp, 1 << 20).unwrap().rest, payload);
}

#[test]
fn many_letters_are_several_batches_always_the_same() {
    let value = vec![b'x'; 100_000];
    let payload = batch(&[&value[..]; 12], Compression::None);
    let sizes = |correlation_id| {
        let origin = Origin { correlation_id, ..ORIGIN };
        let to_one = |_| Some(Stamp { to: 0, reason: "r", policy: "p", rule: "r" });
        let all: Vec<u32> = (0..12).collect();
        let parted = part(&payload, &all, 1, origin, to_one, 1 << 26).unwrap();
        let records: Vec<u32> = parted.letters[0].iter().flat_map(|batch| batch.records.clone()).collect();
        assert_eq!(records, all);
        parted.letters[0].iter().map(|batch| values(&batch.payload).len()).collect::<Vec<_>>()
    };
    assert_eq!(sizes(7), [5, 5, 2]);
    assert_eq!(sizes(i32::MAX), [5, 5, 2], "whatever the headers say");
}

#[test]
fn letters_are_bounded() {
    let payload = batch(&vec![&b""[..]; MOST_BYTES / LETTER_BYTES], Compression::Zstd);
    assert!(payload.len() < 1 << 20);
    let all: Vec<u32> = (0..(MOST_BYTES / LETTER_BYTES) as u32).collect();
    let parted = part(&payload, &all, 2, ORIGIN, stamp, 1 << 26);
    assert!(matches!(parted, Err(RecordError::TooLarge { .. })));
}

#[test]
fn names_are_names_of_topics() {
    for good in ["a", "orders.dlq-1_x"] {
        assert!(Route::new(good.to_owned(), None).is_ok(), "{good}");
    }
    for bad in ["", ".", "..", "a b", "a*", "{topic}-dlq", &"x".repeat(250)] {
        assert!(Route::new(bad.to_owned(), None).is_err(), "{bad}");
    }
}

/// A batch of records at these times.
fn at_times(times: &[i64], attributes: i16) -> Bytes {
    with_codecs(|_, compressor| {
        let header = BatchHeader { attributes, max_timestamp: 9_000, ..BatchHeader::default() };
        let mut builder = BatchBuilder::new(header, compressor);
        for time in times {
            builder.append(*time, None, Some(b"v"), HeadersBuf::new().as_headers()).unwrap();
        }
        builder.finish().unwrap()
    })
}

#[test]
fn what_is_left_is_numbered_anew_and_as_new_as_its_newest_record() {
    let payload = at_times(&[1_000, 3_000, 2_000, 500], 0);
    let rest = part(&payload, &[1], 0, ORIGIN, |_| None, 1 << 20).unwrap().rest;
    let header = BatchHeader::parse(&rest).unwrap();
    assert_eq!((header.max_timestamp, header.last_offset_delta), (2_000, 2));
    with_codecs(|decompressor, _| {
        let batch = batches(&rest).next().unwrap().unwrap();
        let records = Records::open(batch.bytes, &batch.header, decompressor, 1 << 20).unwrap();
        let places: Vec<i32> = records.map(|record| record.unwrap().offset_delta).collect();
        assert_eq!(places, [0, 1, 2]);
    });
    // the time that a broker gave to all of them stays
    let logged = at_times(&[1_000, 3_000, 2_000], 1 << 3);
    let before = BatchHeader::parse(&logged).unwrap();
    assert_eq!(before.timestamp_type(), TimestampType::LogAppendTime);
    let rest = part(&logged, &[1], 0, ORIGIN, |_| None, 1 << 20).unwrap().rest;
    assert_eq!(BatchHeader::parse(&rest).unwrap().max_timestamp, before.max_timestamp);
}

#[test]
fn the_first_record_of_a_second_batch_leaves_too() {
    let payload: Bytes =
        [batch(&[b"a"], Compression::None), batch(&[b"b", b"c"], Compression::None)].concat().into();
    for (routed, rest, gone) in [
        (&[1][..], vec![b"a", b"c"], vec![b"b"]),
        (&[0, 1], vec![b"c"], vec![b"a", b"b"]),
        (&[0, 2], vec![b"b"], vec![b"a", b"c"]),
    ] {
        let to_one = |_| Some(Stamp { to: 0, reason: "r", policy: "p", rule: "r" });
        let parted = part(&payload, routed, 1, ORIGIN, to_one, 1 << 20).unwrap();
        assert_eq!(values(&parted.rest), rest);
        let letters: Vec<_> = parted.letters[0].iter().flat_map(|batch| values(&batch.payload)).collect();
        assert_eq!(letters, gone);
    }
}

#[test]
fn a_letter_takes_what_its_parts_take() {
    let mut headers = HeadersBuf::new();
    headers.push(b"h", Some(b"1"));
    let record = Record {
        attributes: 0,
        timestamp_delta: 0,
        offset_delta: 0,
        key: Some(b"abc"),
        value: Some(b"abcde"),
        headers: headers.as_headers(),
    };
    let of_headers = record.headers.encoded().len();
    assert_eq!(letter_size(&record, "because"), 3 + 5 + of_headers + 7 + LETTER_BYTES);
    let none = HeadersBuf::new();
    let bare = Record { key: None, value: None, headers: none.as_headers(), ..record };
    assert_eq!(letter_size(&bare, ""), bare.headers.encoded().len() + LETTER_BYTES);
}
