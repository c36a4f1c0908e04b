//! Policies in the whole program, in front of its own broker.

#[path = "support/program.rs"]
mod program;

use std::time::Instant;

use program::{Kafka, PATIENCE, Server};
use rustix::process::Signal;
use tollgate::wire::api::{create_topics, fetch, list_offsets, produce};
use tollgate::wire::record::{BatchBuilder, BatchHeader, Headers, with_codecs};
use tollgate::wire::{Payload, ResponseBody};

/// Where the partition's readable records end.
fn end_offset(client: &mut Kafka, topic: &str) -> i64 {
    let partition =
        list_offsets::ListOffsetsPartition { partition_index: 0, timestamp: -1, ..Default::default() };
    let topic = list_offsets::ListOffsetsTopic {
        name: topic.into(),
        partitions: vec![partition],
        ..Default::default()
    };
    let body = list_offsets::Request { replica_id: -1, topics: vec![topic], ..Default::default() };
    let ResponseBody::ListOffsets(said) = client.ask(7, body) else { panic!("another answer") };
    let partition = &said.topics[0].partitions[0];
    assert_eq!(partition.error_code, 0);
    partition.offset
}

fn producing(topics: &[&str], acks: i16) -> produce::Request {
    let records = with_codecs(|_, compressor| {
        let mut builder = BatchBuilder::new(BatchHeader::default(), compressor);
        builder.append(1_000, None, Some(b"v"), Headers::default()).unwrap();
        builder.finish().unwrap()
    });
    let topic = |name: &&str| produce::TopicProduceData {
        name: (*name).into(),
        partition_data: vec![produce::PartitionProduceData {
            records: Payload::Bytes(records.clone()),
            ..Default::default()
        }],
        ..Default::default()
    };
    produce::Request {
        acks,
        timeout_ms: 1_000,
        topic_data: topics.iter().map(topic).collect(),
        ..Default::default()
    }
}

#[test]
fn nothing_denied_is_stored_though_every_response_is_lost() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("policies")).unwrap();
    for (file, text) in [
        ("a-chaos.rhai", "on_request(\"*\").client_id(\"!checker\").lose_response();\n"),
        (
            "z-deny.rhai",
            "on_produce(\"secret\").deny();\non_produce(\"part\").each(|cx, record| { cx.deny(\"no\") });\n",
        ),
    ] {
        std::fs::write(dir.path().join("policies").join(file), text).unwrap();
    }
    let server = Server::start(dir.path(), &[]);
    let mut checker = Kafka::connect(&server, "checker");
    let topics = ["open", "secret", "part"].map(|name| create_topics::CreatableTopic {
        name: name.into(),
        num_partitions: 1,
        replication_factor: 1,
        ..Default::default()
    });
    let body = create_topics::Request { topics: topics.into(), timeout_ms: 10_000, ..Default::default() };
    let ResponseBody::CreateTopics(created) = checker.ask(7, body) else { panic!("another answer") };
    assert!(created.topics.iter().all(|topic| topic.error_code == 0), "{created:?}");

    let mut victim = Kafka::connect(&server, "victim");
    for acks in [1, 0, -1] {
        victim.send(9, producing(&["secret"], acks));
        victim.send(9, producing(&["secret", "open", "part"], acks));
    }
    // alone on a connection, with each acks: the refusal is lost with its response as well
    for (topic, acks) in [("secret", 1), ("part", -1), ("secret", 0)] {
        Kafka::connect(&server, "victim").send(9, producing(&[topic], acks));
    }
    victim.send(9, producing(&["open"], -1));
    let since = Instant::now();
    while end_offset(&mut checker, "open") == 0 {
        assert!(since.elapsed() < PATIENCE, "what is allowed was not stored");
    }
    // whatever was still under way has been dealt with once the server has ended
    assert_eq!((end_offset(&mut checker, "secret"), end_offset(&mut checker, "part")), (0, 0));
    drop(victim);
    server.signal(Signal::TERM);
    assert_eq!(server.wait(), Some(0));
    std::fs::remove_file(dir.path().join("policies/a-chaos.rhai")).unwrap();
    let server = Server::start(dir.path(), &[]);
    let mut checker = Kafka::connect(&server, "checker");
    assert!(end_offset(&mut checker, "open") >= 1);
    assert_eq!(
        (end_offset(&mut checker, "secret"), end_offset(&mut checker, "part")),
        (0, 0),
        "stored though denied"
    );
    let topic = fetch::FetchTopic {
        topic: "secret".into(),
        partitions: vec![fetch::FetchPartition { partition_max_bytes: 1 << 20, ..Default::default() }],
        ..Default::default()
    };
    let body = fetch::Request { max_bytes: 1 << 20, topics: vec![topic], ..Default::default() };
    let ResponseBody::Fetch(fetched) = checker.ask(11, body) else { panic!("another answer") };
    assert!(fetched.responses.iter().flat_map(|t| &t.partitions).all(|p| p.records.is_empty()));
}
