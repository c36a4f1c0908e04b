//! Produce: what is taken, what is refused and how, acks, timestamps, codecs.

use tollgate::broker::Reply;
use tollgate::wire::api::produce;
use tollgate::wire::record::{BatchHeader, Compression, TimestampType, set_base_offset};
use tollgate::wire::{ErrorCode, Payload, Str, Uuid};

use crate::bench::*;

async fn code(bench: &Bench, records: bytes::Bytes) -> (ErrorCode, i64) {
    let answer = bench.produce("t", 0, records).await;
    assert_eq!((answer.base_offset, answer.log_append_time_ms), (-1, -1));
    (ErrorCode(answer.error_code), answer.log_start_offset)
}

#[tokio::test]
async fn what_cannot_be_stored_is_refused_as_kafka_refuses_it() {
    let bench = Bench::new().await;
    bench.create("t", 1).await;
    let good = batch(&["a", "b"]);
    let edited = |at: usize, byte: u8| {
        let mut bytes = good.to_vec();
        bytes[at] ^= byte;
        bytes::Bytes::from(bytes)
    };
    let resealed = |header: BatchHeader| {
        let body = good.slice(61..);
        let mut bytes = tollgate::wire::record::sealed_header(&header, &body).to_vec();
        bytes.extend_from_slice(&body);
        bytes::Bytes::from(bytes)
    };
    let header = BatchHeader::parse(&good).unwrap();
    assert_eq!(code(&bench, edited(good.len() - 1, 1)).await, (ErrorCode::CORRUPT_MESSAGE, -1));
    assert_eq!(code(&bench, good.slice(..good.len() - 1)).await, (ErrorCode::INVALID_RECORD, -1));
    assert_eq!(code(&bench, bytes::Bytes::new()).await, (ErrorCode::INVALID_RECORD, -1));
    assert_eq!(code(&bench, edited(16, 3)).await.0, ErrorCode::INVALID_RECORD, "magic 1");
    let two = bytes::Bytes::from([good.as_ref(), good.as_ref()].concat());
    assert_eq!(code(&bench, two).await.0, ErrorCode::INVALID_RECORD, "two batches");
    let mut moved = good.to_vec();
    set_base_offset(&mut moved, 5);
    assert_eq!(code(&bench, moved.into()).await, (ErrorCode::INVALID_RECORD, 0));
    // A header that says something else of the records than they are.
    let miscounted = BatchHeader { record_count: 3, last_offset_delta: 2, ..header };
    assert_eq!(code(&bench, resealed(miscounted)).await.0, ErrorCode::INVALID_RECORD);
    let control = BatchHeader { attributes: 1 << 5, ..header };
    assert_eq!(code(&bench, resealed(control)).await.0, ErrorCode::INVALID_RECORD);
    let transactional = BatchHeader { attributes: 1 << 4, producer_id: 1, producer_epoch: 0, ..header };
    assert_eq!(code(&bench, resealed(transactional)).await.0, ErrorCode::INVALID_TXN_STATE);
    let large = "x".repeat(1 << 20);
    assert_eq!(code(&bench, batch(&[&large])).await, (ErrorCode::MESSAGE_TOO_LARGE, -1));
    // Nothing of all that is in the log; a wrong max timestamp is put right, as Kafka does.
    let early = BatchHeader { max_timestamp: NOW - 5, ..header };
    assert_eq!(bench.produce("t", 0, resealed(early)).await.base_offset, 0);
    let fetched = bench.fetch("t", 0, 0).await;
    assert_eq!(headers(&fetched.records)[0].max_timestamp, NOW);
    assert_eq!(fetched.high_watermark, 2);
}

#[tokio::test]
async fn partitions_stand_and_fall_by_themselves() {
    let bench = Bench::new().await;
    bench.create("t", 2).await;
    let mut request = produce_to("t", 1, batch(&["a"]));
    let one =
        |index, records: Payload| produce::PartitionProduceData { index, records, ..Default::default() };
    request.topic_data[0].partition_data.extend([
        one(0, batch(&["b"]).slice(..40).into()),
        one(2, batch(&["c"]).into()),
        one(-1, batch(&["c"]).into()),
        one(0, Payload::Null),
        one(0, batch(&["d"]).into()),
    ]);
    request.topic_data.push(produce::TopicProduceData {
        name: Str::from("nope"),
        partition_data: vec![one(0, batch(&["e"]).into())],
        ..Default::default()
    });
    request.topic_data.push(produce::TopicProduceData { name: Str::from("t"), ..Default::default() });
    for version in 3..=12 {
        let answer = answer!(Produce, bench.ask(version, request.clone()).await);
        let codes: Vec<_> = answer.responses[0].partition_responses.iter().map(|p| p.error_code).collect();
        assert_eq!(codes, [0, 87, 3, 3, 87, 0], "version {version}");
        assert_eq!(answer.responses[1].partition_responses[0].error_code, 3);
        assert!(answer.responses[2].partition_responses.is_empty());
    }
}

#[tokio::test]
async fn topics_are_found_by_id() {
    let bench = Bench::new().await;
    let id = bench.create("t", 1).await;
    let mut request = produce_to("", 0, batch(&["a"]));
    request.topic_data[0].topic_id = id;
    let answer = answer!(Produce, bench.ask(13, request.clone()).await);
    assert_eq!(answer.responses[0].topic_id, id);
    assert_eq!(answer.responses[0].partition_responses[0].error_code, 0);
    for unknown in [Uuid::ZERO, Uuid([7; 16])] {
        request.topic_data[0].topic_id = unknown;
        let answer = answer!(Produce, bench.ask(13, request.clone()).await);
        assert_eq!(answer.responses[0].partition_responses[0].error_code, 100);
    }
}

#[tokio::test]
async fn acks_are_what_kafka_takes() {
    let bench = Bench::new().await;
    bench.create("t", 1).await;
    for (acks, expected) in [(-1, 0), (1, 0), (2, 21), (-2, 21)] {
        let request = produce::Request { acks, ..produce_to("t", 0, batch(&["a"])) };
        let answer = answer!(Produce, bench.ask(9, request).await);
        assert_eq!(answer.responses[0].partition_responses[0].error_code, expected, "acks {acks}");
    }
    let unanswered = produce::Request { acks: 0, ..produce_to("t", 0, batch(&["b"])) };
    assert!(matches!(bench.submit(9, unanswered), Reply::Now(None)));
    let failed = produce::Request { acks: 0, ..produce_to("t", 9, batch(&["b"])) };
    assert!(matches!(bench.submit(9, failed), Reply::Close));
    // What was not answered is stored: an answer to what comes after it says so.
    assert_eq!(bench.produce("t", 0, batch(&["c"])).await.base_offset, 3);
}

#[tokio::test]
async fn effects_are_in_the_order_of_the_calls_not_of_the_answers() {
    let bench = Bench::new().await;
    bench.create("t", 1).await;
    let replies: Vec<_> =
        (0..20).map(|n| bench.submit(9, produce_to("t", 0, batch(&[&n.to_string()])))).collect();
    for (offset, reply) in replies.into_iter().enumerate().rev() {
        let answer = answer!(Produce, settle(reply).await.unwrap());
        assert_eq!(answer.responses[0].partition_responses[0].base_offset, offset as i64);
    }
}

#[tokio::test]
async fn log_append_time_is_written_into_the_batch() {
    let bench = Bench::new().await;
    bench.create_with("t", 1, &[("message.timestamp.type", "LogAppendTime")]).await;
    let old = batch_of(BatchHeader::default(), &["a", "b"], 1_000);
    let answer = bench.produce("t", 0, old).await;
    assert_eq!((answer.error_code, answer.log_append_time_ms), (0, NOW));
    let fetched = bench.fetch("t", 0, 0).await;
    let bytes = fetched.records.to_bytes().unwrap();
    tollgate::wire::record::verify_crc(&bytes).unwrap();
    let header = headers(&fetched.records)[0];
    assert_eq!((header.timestamp_type(), header.max_timestamp), (TimestampType::LogAppendTime, NOW));
}

#[tokio::test]
async fn timestamps_out_of_range_are_named_record_by_record() {
    let bench = Bench::new().await;
    bench.create_with("t", 1, &[("message.timestamp.before.max.ms", "1000")]).await;
    let answer = bench.produce("t", 0, batch_of(BatchHeader::default(), &["a", "b"], 1_000)).await;
    assert_eq!((answer.error_code, answer.base_offset, answer.log_start_offset), (32, -1, 0));
    assert_eq!(answer.record_errors.iter().map(|e| e.batch_index).collect::<Vec<_>>(), [0, 1]);
    let message = answer.record_errors[1].batch_index_error_message.clone().unwrap();
    assert!(message.starts_with("Timestamp 1000 of message with offset 1 is out of range."), "{message}");
    let message = answer.error_message.unwrap();
    assert_eq!(&*message, "One or more records have been rejected due to invalid timestamp");
    let future = batch_of(BatchHeader::default(), &["a"], NOW + 3_600_001);
    assert_eq!(bench.produce("t", 0, future).await.error_code, 32);
    let nearly = batch_of(BatchHeader::default(), &["a"], NOW + 3_600_000);
    assert_eq!(bench.produce("t", 0, nearly).await.error_code, 0);
    let mut foreign = BatchHeader::default();
    foreign.set_timestamp_type(TimestampType::LogAppendTime);
    assert_eq!(bench.produce("t", 0, batch_of(foreign, &["a"], NOW)).await.error_code, 32);
}

#[tokio::test]
async fn codecs_are_kept_or_changed_as_the_topic_says() {
    let bench = Bench::new().await;
    bench.create("kept", 1).await;
    for (at, codec) in (0..).zip(Compression::ALL) {
        assert_eq!(bench.produce("kept", 0, compressed(codec, &["a", "b"])).await.base_offset, at * 2);
    }
    let kept = bench.fetch("kept", 0, 0).await;
    let codecs: Vec<_> = headers(&kept.records).iter().map(BatchHeader::compression).collect();
    assert_eq!(codecs, Compression::ALL);
    for (name, target) in [("gzip", Compression::Gzip), ("uncompressed", Compression::None)] {
        bench.create_with(name, 1, &[("compression.type", name)]).await;
        for codec in Compression::ALL {
            assert_eq!(bench.produce(name, 0, compressed(codec, &["a", "b"])).await.error_code, 0);
        }
        let changed = bench.fetch(name, 0, 0).await;
        assert!(headers(&changed.records).iter().all(|header| header.compression() == target));
        let all = values(&changed.records);
        assert!(all.len() == 10 && all.iter().step_by(2).all(|(_, value)| value == "a"));
    }
    // Zstd came with version 7.
    for (version, expected) in [(6, 76), (7, 0)] {
        let request = produce_to("kept", 0, compressed(Compression::Zstd, &["a"]));
        let answer = answer!(Produce, bench.ask(version, request).await);
        assert_eq!(answer.responses[0].partition_responses[0].error_code, expected);
    }
}

#[tokio::test]
async fn a_small_batch_that_would_fill_the_memory_is_refused() {
    let bench = Bench::new().await;
    bench.create_with("t", 1, &[("max.decompressed.message.bytes", "100000")]).await;
    let bomb = compressed(Compression::Zstd, &[&"0".repeat(200_000)]);
    assert!(bomb.len() < 1_000);
    assert_eq!(bench.produce("t", 0, bomb).await.error_code, ErrorCode::MESSAGE_TOO_LARGE.0);
}

#[tokio::test]
async fn more_replicas_than_there_are_cannot_be_waited_for() {
    let bench = Bench::new().await;
    bench.create_with("t", 1, &[("min.insync.replicas", "2")]).await;
    assert_eq!(bench.produce("t", 0, batch(&["a"])).await.error_code, 19);
    let request = produce::Request { acks: 1, ..produce_to("t", 0, batch(&["a"])) };
    let answer = answer!(Produce, bench.ask(9, request).await);
    assert_eq!(answer.responses[0].partition_responses[0].error_code, 0);
}

#[tokio::test]
async fn the_brokers_own_topics_take_nothing_from_clients() {
    let bench = Bench::new().await;
    bench.create("__consumer_offsets", 1).await;
    assert_eq!(bench.produce("__consumer_offsets", 0, batch(&["a"])).await.error_code, 17);
}
