//! The room as a whole: what is written is read, and what is broken is refused without harm.

use bytes::{Bytes, BytesMut};
use proptest::prelude::*;

use super::*;

const LIMIT: usize = 64 << 20;

#[derive(Debug, Clone, PartialEq)]
struct Owned {
    timestamp: i64,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: Vec<(Vec<u8>, Option<Vec<u8>>)>,
}

fn header(codec: Compression) -> BatchHeader {
    let mut header = BatchHeader { base_offset: 7, partition_leader_epoch: 3, ..BatchHeader::default() };
    header.set_compression(codec);
    header
}

fn build(header: BatchHeader, records: &[Owned]) -> Bytes {
    let mut compressor = Compressor::new();
    let mut builder = BatchBuilder::new(header, &mut compressor);
    for record in records {
        let mut headers = HeadersBuf::new();
        for (key, value) in &record.headers {
            headers.push(key, value.as_deref());
        }
        builder
            .append(record.timestamp, record.key.as_deref(), record.value.as_deref(), headers.as_headers())
            .unwrap();
    }
    builder.finish().unwrap()
}

fn read(batch: &[u8]) -> Result<Vec<Owned>, RecordError> {
    let header = BatchHeader::parse(batch)?;
    let mut decompressor = Decompressor::new();
    let records = Records::open(batch, &header, &mut decompressor, LIMIT)?;
    let owned = |record: Record<'_>| Owned {
        timestamp: header.timestamp_of(record.timestamp_delta),
        key: record.key.map(<[u8]>::to_vec),
        value: record.value.map(<[u8]>::to_vec),
        headers: record.headers.map(|h| (h.key.to_vec(), h.value.map(<[u8]>::to_vec))).collect(),
    };
    records.map(|record| record.map(owned)).collect()
}

fn record() -> impl Strategy<Value = Owned> {
    let bytes = || proptest::option::weighted(0.9, proptest::collection::vec(any::<u8>(), 0..200));
    let header = (prop_oneof![Just(b"k".to_vec()), proptest::collection::vec(any::<u8>(), 0..20)], bytes());
    (0i64..1 << 45, bytes(), bytes(), proptest::collection::vec(header, 0..4))
        .prop_map(|(timestamp, key, value, headers)| Owned { timestamp, key, value, headers })
}

fn codec() -> impl Strategy<Value = Compression> {
    proptest::sample::select(Compression::ALL.to_vec())
}

fn sample(codec: Compression) -> Bytes {
    let records: Vec<_> = (0..5)
        .map(|i| Owned {
            timestamp: 1000 + i,
            key: (i % 2 == 0).then(|| format!("key-{i}").into_bytes()),
            value: (i != 3).then(|| format!("{{\"n\":{i},\"s\":\"some text some text\"}}").into_bytes()),
            headers: vec![(b"h".to_vec(), None), (b"h".to_vec(), Some(b"2".to_vec()))],
        })
        .collect();
    build(header(codec), &records)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn what_is_built_is_read(codec in codec(), records in proptest::collection::vec(record(), 1..40)) {
        let batch = build(header(codec), &records);
        verify_crc(&batch).unwrap();
        let seen = validate_produce(&batch).unwrap();
        prop_assert_eq!(seen.size(), batch.len());
        prop_assert_eq!(seen.compression(), codec);
        prop_assert_eq!(seen.record_count as usize, records.len());
        prop_assert_eq!(seen.max_timestamp, records.iter().map(|r| r.timestamp).max().unwrap());
        let summary = check_records(&batch, &seen, &mut Decompressor::new(), LIMIT).unwrap();
        prop_assert_eq!(summary.max_timestamp, seen.max_timestamp);
        prop_assert_eq!(read(&batch).unwrap(), records);
    }

    /// The `kafka-protocol` crate, which knows no compression here, reads the same (but for repeated header keys).
    #[test]
    fn another_implementation_reads_the_same(records in proptest::collection::vec(record(), 1..20)) {
        let mut records = records;
        for record in &mut records {
            record.headers.retain(|(key, _)| std::str::from_utf8(key).is_ok());
            record.headers.dedup_by(|a, b| a.0 == b.0);
            let mut seen = std::collections::HashSet::new();
            record.headers.retain(|(key, _)| seen.insert(key.clone()));
        }
        let batch = build(header(Compression::None), &records);
        let set = kafka_protocol::records::RecordBatchDecoder::decode(&mut batch.clone()).unwrap();
        prop_assert_eq!(set.records.len(), records.len());
        for (i, (theirs, ours)) in set.records.iter().zip(&records).enumerate() {
            prop_assert_eq!(theirs.offset, 7 + i as i64);
            prop_assert_eq!(theirs.timestamp, ours.timestamp);
            prop_assert_eq!(theirs.key.as_deref(), ours.key.as_deref());
            prop_assert_eq!(theirs.value.as_deref(), ours.value.as_deref());
            let headers: Vec<_> =
                theirs.headers.iter().map(|(k, v)| (k.as_bytes().to_vec(), v.as_ref().map(|v| v.to_vec()))).collect();
            prop_assert_eq!(&headers, &ours.headers);
        }
    }

    /// Bytes changed anywhere, the CRC mended so that they are looked at: an error or records, no panic.
    #[test]
    fn mutations_do_no_harm(codec in codec(), changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6)) {
        let mut batch = sample(codec).to_vec();
        for (at, byte) in changes {
            let at = at.index(batch.len());
            batch[at] = byte;
        }
        let _ = verify_crc(&batch);
        let _ = validate_produce(&batch);
        let _ = read(&batch);
        for batch in batches(&batch).flatten() {
            let _ = check_records(batch.bytes, &batch.header, &mut Decompressor::new(), LIMIT);
        }
    }

    #[test]
    fn a_rebuilt_batch_keeps_every_property(
        codec in codec(),
        keep in proptest::collection::vec(any::<bool>(), 5),
        base_offset in 0..i64::MAX / 2,
        leader_epoch: i32,
        flags in 0i16..16,
        last_offset_delta in 4i32..1000,
        timestamps: (i64, i64),
        producer: (i64, i16, i32),
    ) {
        let original = sample(codec);
        let flags = (flags & 1) << 3 | (flags >> 1 & 1) << 4 | (flags >> 2 & 1) << 6;
        let template = BatchHeader {
            base_offset,
            partition_leader_epoch: leader_epoch,
            attributes: codec as i16 | flags,
            last_offset_delta,
            base_timestamp: timestamps.0,
            max_timestamp: timestamps.1,
            producer_id: producer.0,
            producer_epoch: producer.1,
            base_sequence: producer.2,
            ..BatchHeader::parse(&original).unwrap()
        };
        let (mut decompressor, mut compressor) = (Decompressor::new(), Compressor::new());
        let mut rebuild = Rebuild::of(&template, &mut compressor).unwrap();
        let mut kept = Vec::new();
        for (record, keep) in Records::open(&original, &template, &mut decompressor, LIMIT).unwrap().zip(&keep) {
            let record = record.unwrap();
            if *keep {
                rebuild.push(&record).unwrap();
                kept.push(record);
            }
        }
        let rebuilt = rebuild.finish().unwrap();
        verify_crc(&rebuilt).unwrap();
        let seen = BatchHeader::parse(&rebuilt).unwrap();
        let mut expected = BatchHeader {
            batch_length: seen.batch_length,
            crc: seen.crc,
            record_count: kept.len() as i32,
            ..template
        };
        if kept.is_empty() {
            expected.set_compression(Compression::None);
            prop_assert_eq!(rebuilt.len(), BATCH_OVERHEAD);
        }
        prop_assert_eq!(seen, expected);
        prop_assert_eq!(seen.size(), rebuilt.len());
        let mut decompressor = Decompressor::new();
        let read: Result<Vec<_>, _> = Records::open(&rebuilt, &seen, &mut decompressor, LIMIT).unwrap().collect();
        prop_assert_eq!(read.unwrap(), kept);
    }
}

#[test]
fn every_truncation_is_cut_short_or_refused() {
    for codec in Compression::ALL {
        let batch = sample(codec);
        for end in 0..batch.len() {
            let cut = &batch[..end];
            let mut walk = batches(cut);
            assert!(walk.next().is_none(), "{codec:?} cut at {end}");
            assert_eq!(walk.tail(), if end == 0 { Tail::Whole } else { Tail::CutShort { at: 0 } });
            assert!(validate_produce(cut).is_err());
            assert!(read(cut).is_err());
        }
    }
}

#[test]
fn every_truncation_of_a_codec_is_an_error() {
    let input: Vec<u8> = (0..200_000u32).flat_map(|i| (i / 7).to_le_bytes()).collect();
    for codec in [Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd] {
        let compressed = Compressor::new().compress(codec, &input).unwrap().to_vec();
        let mut decompressor = Decompressor::new();
        assert_eq!(decompressor.decompress(codec, &compressed, input.len()).unwrap(), input, "{codec:?}");
        let shorter = |n: usize| &compressed[..n];
        for end in (0..compressed.len()).step_by(compressed.len() / 199 + 1).chain([compressed.len() - 1]) {
            match decompressor.decompress(codec, shorter(end), input.len()) {
                Err(_) => {}
                // Xerial's framing has no end mark: a cut between blocks is a shorter stream.
                Ok(less) => {
                    assert!(codec == Compression::Snappy && less.len() < input.len(), "{codec:?} {end}")
                }
            }
        }
    }
}

#[test]
fn the_limit_is_exact_in_every_codec() {
    for size in [0usize, 1, 1000, 65_535, 65_536, 65_537, 1_000_000] {
        let input = vec![b'x'; size];
        for codec in Compression::ALL {
            let compressed = Compressor::new().compress(codec, &input).unwrap().to_vec();
            let mut decompressor = Decompressor::new();
            assert_eq!(decompressor.decompress(codec, &compressed, size).unwrap().len(), size, "{codec:?}");
            if size > 0 {
                let refused = decompressor.decompress(codec, &compressed, size - 1).map(<[u8]>::len);
                assert_eq!(refused, Err(RecordError::TooLarge { limit: size - 1 }), "{codec:?} {size}");
            }
        }
    }
}

#[test]
fn batches_are_walked_and_the_cut_one_is_no_error() {
    let mut payload = BytesMut::new();
    for codec in Compression::ALL {
        payload.extend_from_slice(&sample(codec));
    }
    let whole = payload.clone().freeze();
    let mut walk = batches(&whole);
    let seen: Vec<_> = walk.by_ref().map(Result::unwrap).collect();
    assert_eq!(seen.len(), 5);
    assert_eq!(walk.tail(), Tail::Whole);
    assert_eq!(seen[4].range().end, whole.len());
    for batch in &seen {
        assert_eq!(whole.slice(batch.range()), sample(batch.header.compression()));
    }

    let cut = &whole[..whole.len() - 1];
    let mut walk = batches(cut);
    assert_eq!(walk.by_ref().filter(Result::is_ok).count(), 4);
    assert_eq!(walk.tail(), Tail::CutShort { at: seen[4].start });
}

#[test]
fn old_formats_are_named() {
    let mut batch = sample(Compression::None).to_vec();
    for magic in [0, 1, 3, -1i8] {
        batch[16] = magic as u8;
        assert_eq!(BatchHeader::parse(&batch), Err(RecordError::UnsupportedMagic { at: 16, magic }));
        assert_eq!(validate_produce(&batch), Err(RecordError::UnsupportedMagic { at: 16, magic }));
        // A small message set of the old kind is shorter than a header of the new.
        let old = batches(&batch[..34]).next();
        assert!(matches!(old, Some(Err(RecordError::UnsupportedMagic { .. }))), "{old:?}");
    }
}

#[test]
fn patches_keep_the_batch_valid() {
    let mut batch = sample(Compression::Lz4).to_vec();
    set_base_offset(&mut batch, 123_456);
    set_leader_epoch(&mut batch, 9);
    verify_crc(&batch).unwrap();
    let before = BatchHeader::parse(&batch).unwrap();
    assert_eq!((before.base_offset, before.partition_leader_epoch), (123_456, 9));
    assert_eq!(before.last_offset(), 123_460);

    let patched = patched_header(&batch, 1, 2).unwrap();
    let mut copy = patched.to_vec();
    copy.extend_from_slice(&batch[BATCH_OVERHEAD..]);
    verify_crc(&copy).unwrap();
    let after = BatchHeader::parse(&patched).unwrap();
    assert_eq!(after, BatchHeader { base_offset: 1, partition_leader_epoch: 2, ..before });

    set_log_append_time(&mut batch, 777);
    verify_crc(&batch).unwrap();
    let after = BatchHeader::parse(&batch).unwrap();
    assert_eq!(after.timestamp_type(), TimestampType::LogAppendTime);
    assert!(read(&batch).unwrap().iter().all(|record| record.timestamp == 777));
    set_max_timestamp(&mut batch, TimestampType::CreateTime, before.max_timestamp);
    verify_crc(&batch).unwrap();
    assert_eq!(BatchHeader::parse(&batch).unwrap(), before);

    batch[70] ^= 1;
    assert!(matches!(verify_crc(&batch), Err(RecordError::Corrupt { .. })));
    assert!(matches!(validate_produce(&batch), Err(RecordError::Corrupt { .. })));
}

#[test]
fn sequences_wrap_as_kafka_wraps_them() {
    let of = |base_sequence, last_offset_delta| {
        BatchHeader { base_sequence, last_offset_delta, ..BatchHeader::default() }.last_sequence()
    };
    assert_eq!(of(0, 9), 9);
    assert_eq!(of(i32::MAX, 0), i32::MAX);
    assert_eq!(of(i32::MAX, 1), 0);
    assert_eq!(of(i32::MAX - 1, 3), 1);
    assert_eq!(of(-1, 5), -1);
}

#[test]
fn produce_refuses_what_a_broker_refuses() {
    let original = sample(Compression::None);
    let refused = |change: &dyn Fn(&mut BatchHeader)| {
        let mut header = BatchHeader::parse(&original).unwrap();
        change(&mut header);
        let mut batch = original.to_vec();
        batch::seal(&mut batch, &header);
        match validate_produce(&batch) {
            Err(RecordError::Invalid { field, .. }) => field,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(refused(&|h| h.record_count = 0), "record_count");
    assert_eq!(refused(&|h| h.record_count = 4), "record_count");
    assert_eq!(refused(&|h| h.last_offset_delta = 7), "record_count");
    assert_eq!(refused(&|h| h.record_count = -1), "record_count");
    assert_eq!(refused(&|h| h.attributes |= 1 << 5), "attributes");
    assert_eq!(refused(&|h| h.attributes |= 7), "attributes");
    assert_eq!(refused(&|h| h.producer_id = 5), "base_sequence");
    let twice = [original.clone(), original.clone()].concat();
    assert!(matches!(validate_produce(&twice), Err(RecordError::Invalid { field: "records", .. })));

    // One record more than there are, one less, and deltas with a hole.
    for (count, ok) in [(5, true), (6, false), (4, false)] {
        let mut header = BatchHeader::parse(&original).unwrap();
        header.record_count = count;
        let checked = check_records(&original, &header, &mut Decompressor::new(), LIMIT);
        assert_eq!(checked.is_ok(), ok, "{count}: {checked:?}");
    }
    let header = BatchHeader::parse(&original).unwrap();
    let (mut decompressor, mut compressor) = (Decompressor::new(), Compressor::new());
    let mut rebuild = Rebuild::of(&header, &mut compressor).unwrap();
    for record in Records::open(&original, &header, &mut decompressor, LIMIT).unwrap().skip(1) {
        rebuild.push(&record.unwrap()).unwrap();
    }
    let holed = rebuild.finish().unwrap();
    let header = BatchHeader::parse(&holed).unwrap();
    let checked = check_records(&holed, &header, &mut decompressor, LIMIT);
    assert!(matches!(checked, Err(RecordError::Invalid { field: "offset_delta", .. })), "{checked:?}");
}

#[test]
fn control_batches_are_not_rebuilt() {
    let header = BatchHeader { attributes: 1 << 5, ..BatchHeader::default() };
    assert!(Rebuild::of(&header, &mut Compressor::new()).is_err());
}

#[test]
fn records_within_records_are_refused() {
    let one =
        |bytes: &[u8]| Records::new(bytes, 1).and_then(|mut records| records.next().unwrap().map(|_| ()));
    // length, attributes, timestamp delta, offset delta, key, value, headers
    assert_eq!(one(&[12, 0, 0, 0, 1, 1, 0]), Ok(()));
    assert!(one(&[14, 0, 0, 0, 1, 1, 0]).is_err(), "longer than the data");
    assert!(one(&[10, 0, 0, 0, 1, 1, 0]).is_err(), "ends inside");
    assert!(one(&[14, 0, 0, 0, 1, 1, 0, 9]).is_err(), "bytes after the headers");
    assert!(one(&[12, 0, 0, 0, 3, 1, 0]).is_err(), "key of -2 bytes");
    assert!(one(&[12, 0, 0, 0, 1, 3, 0]).is_err(), "value of -2 bytes");
    assert!(one(&[12, 0, 0, 0, 1, 1, 1]).is_err(), "-1 headers");
    assert!(one(&[16, 0, 0, 0, 1, 1, 2, 1, 0]).is_err(), "a header with a null key");
    assert!(one(&[1, 0, 0, 0, 1, 1, 0]).is_err(), "length -1");
    let mut two = Records::new(&[12, 0, 0, 0, 1, 1, 0, 12, 0, 0, 0, 1, 1, 0], 1).unwrap();
    assert!(two.next().unwrap().is_ok());
    assert!(two.next().unwrap().is_err(), "a record more than was announced");
    assert!(two.next().is_none());
}

/// What other writers write and this one does not.
#[test]
fn other_frames_are_read() {
    use std::io::Write;
    let input: Vec<u8> = (0..300_000u32).flat_map(|i| (i / 5).to_le_bytes()).collect();
    let mut decompressor = Decompressor::new();
    let mut reads = |codec, compressed: &[u8]| {
        assert!(decompressor.decompress(codec, compressed, input.len()).unwrap() == input, "{codec:?}");
        assert!(decompressor.decompress(codec, compressed, input.len() - 1).is_err());
    };

    use lz4_flex::frame::{BlockMode, BlockSize, FrameEncoder, FrameInfo};
    for mode in [BlockMode::Independent, BlockMode::Linked] {
        for size in [BlockSize::Max64KB, BlockSize::Max256KB, BlockSize::Max1MB, BlockSize::Max4MB] {
            for checksums in [false, true] {
                let info = FrameInfo::new()
                    .block_mode(mode)
                    .block_size(size)
                    .block_checksums(checksums)
                    .content_checksum(checksums)
                    .content_size(checksums.then_some(input.len() as u64));
                let mut encoder = FrameEncoder::with_frame_info(info, Vec::new());
                encoder.write_all(&input).unwrap();
                let frame = encoder.finish().unwrap();
                reads(Compression::Lz4, &frame);
            }
        }
    }

    // librdkafka's and Go's snappy: one block, no framing. And two framed streams, one after the other.
    reads(Compression::Snappy, &snap::raw::Encoder::new().compress_vec(&input).unwrap());
    let (a, b) = input.split_at(100_000);
    for codec in [Compression::Snappy, Compression::Gzip, Compression::Zstd] {
        let mut both = Compressor::new().compress(codec, a).unwrap().to_vec();
        both.extend_from_slice(Compressor::new().compress(codec, b).unwrap());
        reads(codec, &both);
    }

    // zstd as a stream that does not know its length, with a checksum.
    let mut encoder = zstd::stream::Encoder::new(Vec::new(), 1).unwrap();
    encoder.include_checksum(true).unwrap();
    encoder.write_all(&input).unwrap();
    reads(Compression::Zstd, &encoder.finish().unwrap());
}

#[test]
fn broken_checksums_inside_lz4_frames_are_noticed() {
    use lz4_flex::frame::{FrameEncoder, FrameInfo};
    use std::io::Write;
    let info = FrameInfo::new().block_checksums(true).content_checksum(true);
    let mut encoder = FrameEncoder::with_frame_info(info, Vec::new());
    encoder.write_all(&[7; 1000]).unwrap();
    let frame = encoder.finish().unwrap();
    for at in 0..frame.len() {
        let mut broken = frame.clone();
        broken[at] ^= 0x10;
        let result = Decompressor::new().decompress(Compression::Lz4, &broken, LIMIT).map(<[u8]>::to_vec);
        assert!(result.is_err(), "a bit changed at {at}");
    }
}

#[test]
fn a_compressor_forgets_the_batch_it_did_not_finish() {
    let mut compressor = Compressor::new();
    for codec in Compression::ALL {
        let mut abandoned = BatchBuilder::new(header(codec), &mut compressor);
        for _ in 0..100 {
            abandoned.append(1, None, Some(&[1; 3000]), Headers::default()).unwrap();
        }
        let mut builder = BatchBuilder::new(header(codec), &mut compressor);
        builder.append(1, None, Some(b"only"), Headers::default()).unwrap();
        let batch = builder.finish().unwrap();
        let records = read(&batch).unwrap();
        assert_eq!(records.len(), 1);
        assert_eq!(records[0].value.as_deref(), Some(&b"only"[..]));
    }
}
