//! Metadata, and the topics it tells of: created, grown, cut, deleted.

use tollgate::broker::Reply;
use tollgate::wire::api::{
    create_partitions, create_topics, delete_records, delete_topics, describe_cluster,
    describe_topic_partitions, metadata,
};
use tollgate::wire::{Str, Uuid};

use crate::bench::*;

fn named(names: &[&str]) -> metadata::Request {
    let topic =
        |name: &&str| metadata::MetadataRequestTopic { name: Some(Str::from(*name)), ..Default::default() };
    metadata::Request { topics: Some(names.iter().map(topic).collect()), ..Default::default() }
}

/// Code and name of each topic in a Metadata answer.
fn told(metadata: &metadata::Response) -> Vec<(i16, String)> {
    let name = |t: &metadata::MetadataResponseTopic| t.name.clone().unwrap_or_default().to_string();
    metadata.topics.iter().map(|t| (t.error_code, name(t))).collect()
}

#[tokio::test]
async fn metadata_names_this_broker_as_the_client_reaches_it() {
    let bench = Bench::new().await;
    bench.create("t", 2).await;
    for version in 0..=13 {
        let metadata = answer!(Metadata, bench.ask(version, named(&["t"])).await);
        let broker = &metadata.brokers[0];
        assert_eq!((broker.node_id, &*broker.host, broker.port), (1, "broker.test", 9092));
        let partition = &metadata.topics[0].partitions[1];
        assert_eq!((partition.partition_index, partition.leader_id), (1, 1), "version {version}");
        assert_eq!(partition.isr_nodes, [1]);
    }
    let cluster = answer!(DescribeCluster, bench.ask(2, describe_cluster::Request::default()).await);
    assert_eq!((&*cluster.brokers[0].host, cluster.controller_id), ("broker.test", 1));
    assert_eq!(&cluster.cluster_id, bench.broker.catalogue().cluster_id());
    for (endpoint_type, code) in [(2, 114), (3, 115)] {
        let request = describe_cluster::Request { endpoint_type, ..Default::default() };
        assert_eq!(answer!(DescribeCluster, bench.ask(1, request).await).error_code, code);
    }
}

#[tokio::test]
async fn all_none_and_each_once() {
    let bench = Bench::new().await;
    let id = bench.create("b", 1).await;
    bench.create("a", 1).await;
    let all = metadata::Request::default();
    let none = metadata::Request { topics: Some(Vec::new()), ..Default::default() };
    let both = [(0, "a".to_owned()), (0, "b".to_owned())];
    assert_eq!(told(&answer!(Metadata, bench.ask(1, all.clone()).await)), both);
    assert_eq!(told(&answer!(Metadata, bench.ask(0, none.clone()).await)), both, "version 0 has no null");
    assert_eq!(told(&answer!(Metadata, bench.ask(1, none).await)), []);
    let twice = answer!(Metadata, bench.ask(12, named(&["a", "a"])).await);
    assert_eq!(told(&twice).len(), 1);
    let by_id = |topic_id, name: Option<&str>| metadata::Request {
        topics: Some(vec![metadata::MetadataRequestTopic {
            topic_id,
            name: name.map(Str::from),
            ..Default::default()
        }]),
        ..Default::default()
    };
    let found = answer!(Metadata, bench.ask(12, by_id(id, None)).await);
    assert_eq!(told(&found), [(0, "b".to_owned())]);
    let unknown = answer!(Metadata, bench.ask(12, by_id(Uuid([7; 16]), Some("a"))).await);
    assert_eq!((unknown.topics[0].error_code, &unknown.topics[0].name), (100, &None));
    assert_eq!(unknown.topics[0].topic_id, Uuid([7; 16]));
    // Ids came with version 12 in earnest.
    let early = answer!(Metadata, bench.ask(10, by_id(id, Some(""))).await);
    assert_eq!(early.topics[0].error_code, 42);
    let operations = metadata::Request {
        include_cluster_authorized_operations: true,
        include_topic_authorized_operations: true,
        ..all
    };
    let asked = answer!(Metadata, bench.ask(8, operations).await);
    assert_eq!(
        (asked.cluster_authorized_operations, asked.topics[0].topic_authorized_operations),
        (8096, 3576)
    );
}

#[tokio::test]
async fn topics_are_created_when_asked_about() {
    let bench = Bench::with(&[("num.partitions", "3")]).await;
    let unwanted = metadata::Request { allow_auto_topic_creation: false, ..named(&["quiet"]) };
    assert_eq!(told(&answer!(Metadata, bench.ask(12, unwanted.clone()).await))[0].0, 3);
    let first = answer!(Metadata, bench.ask(12, named(&["loud", "a b", ""])).await);
    assert_eq!(told(&first), [(3, "loud".into()), (17, "a b".into()), (17, String::new())]);
    // The answer does not wait for the topic; clients ask again.
    let again = loop {
        let again = answer!(Metadata, bench.ask(12, named(&["loud"])).await);
        if again.topics[0].error_code == 0 {
            break again;
        }
        tokio::task::yield_now().await;
    };
    assert_eq!(again.topics[0].partitions.len(), 3);
    assert_eq!(told(&answer!(Metadata, bench.ask(12, unwanted).await))[0].0, 3);

    let strict = Bench::with(&[("auto.create.topics.enable", "false")]).await;
    answer!(Metadata, strict.ask(12, named(&["loud"])).await);
    tokio::task::yield_now().await;
    assert_eq!(strict.broker.catalogue().topic_count(), 0);
}

/// Code and message of the answers to one CreateTopics.
async fn create(bench: &Bench, request: create_topics::Request) -> Vec<(i16, String)> {
    let answer = answer!(CreateTopics, bench.ask(7, request).await);
    answer
        .topics
        .into_iter()
        .map(|t| (t.error_code, t.error_message.unwrap_or_default().to_string()))
        .collect()
}

#[tokio::test]
async fn wrong_topics_are_refused_in_kafkas_words() {
    let bench = Bench::new().await;
    bench.create("taken", 1).await;
    bench.create("with.dot", 1).await;
    let one = |edit: fn(&mut create_topics::CreatableTopic)| {
        let mut request = new_topic("fine", 1, &[]);
        edit(&mut request.topics[0]);
        request
    };
    type Edit = fn(&mut create_topics::CreatableTopic);
    let wrong: [(Edit, i16, &str); 12] = [
        (|t| t.name = Str::from("taken"), 36, "Topic 'taken' already exists."),
        (|t| t.name = Str::from("with_dot"), 17, "Topic 'with_dot' collides with existing topic: with.dot"),
        (|t| t.name = Str::from("a b"), 17, "Topic name is invalid: 'a b' contains one or more characters"),
        (|t| t.name = Str::from(""), 17, "Topic name is invalid: the empty string is not allowed"),
        (|t| t.num_partitions = 0, 37, "Number of partitions was set to an invalid non-positive value."),
        (|t| t.num_partitions = -2, 37, "Number of partitions was set to an invalid non-positive value."),
        (|t| t.replication_factor = 3, 38, "Unable to replicate the partition 3 time(s)"),
        (|t| t.replication_factor = 0, 38, "Replication factor must be larger than 0, or -1"),
        (|t| t.num_partitions = 20_000, 44, "Excessively large number of partitions per request."),
        (
            |t| t.assignments = assigned(&[(0, 1), (2, 1)]),
            42,
            "A manual partition assignment was specified, but numPart",
        ),
        (
            |t| {
                t.num_partitions = -1;
                t.assignments = assigned(&[(0, 1), (2, 1)]);
            },
            39,
            "partitions should be a consecutive 0-based integer sequence",
        ),
        (
            |t| {
                t.num_partitions = -1;
                t.assignments = assigned(&[(0, 9)]);
            },
            39,
            "The manual partition assignment includes broker 9, but no such broker is registered.",
        ),
    ];
    for (edit, code, message) in wrong {
        let answers = create(&bench, one(edit)).await;
        assert_eq!(answers.len(), 1);
        assert_eq!(answers[0].0, code, "{answers:?}");
        assert!(answers[0].1.starts_with(message), "{answers:?}");
    }
    assert_eq!(bench.broker.catalogue().topic_count(), 2);
}

fn assigned(partitions: &[(i32, i32)]) -> Vec<create_topics::CreatableReplicaAssignment> {
    partitions
        .iter()
        .map(|(partition_index, broker)| create_topics::CreatableReplicaAssignment {
            partition_index: *partition_index,
            broker_ids: vec![*broker],
            ..Default::default()
        })
        .collect()
}

#[tokio::test]
async fn topics_of_one_request_stand_by_themselves() {
    let bench = Bench::with(&[("num.partitions", "4")]).await;
    let mut request = new_topic("one", -1, &[("retention.ms", "1"), ("retention.ms", "2")]);
    request.topics.extend(new_topic("twice", 1, &[]).topics);
    request.topics.extend(new_topic("b ad", 1, &[]).topics);
    request.topics.extend(new_topic("twice", 1, &[]).topics);
    request.topics.extend(new_topic("two", 2, &[]).topics);
    let dry = create_topics::Request { validate_only: true, ..request.clone() };
    for (round, request) in [dry, request].into_iter().enumerate() {
        let answer = answer!(CreateTopics, bench.ask(7, request).await);
        let told: Vec<_> = answer.topics.iter().map(|t| (&*t.name, t.error_code, t.num_partitions)).collect();
        assert_eq!(told, [("one", 0, 4), ("twice", 42, -1), ("b ad", 17, -1), ("two", 0, 2)]);
        let configs = answer.topics[0].configs.as_ref().unwrap();
        let retention = configs.iter().find(|config| &*config.name == "retention.ms").unwrap();
        assert_eq!((retention.value.clone(), retention.config_source), (Some(Str::from("2")), 1));
        assert_eq!(configs.len(), 37);
        assert_eq!(bench.broker.catalogue().topic_count(), round * 2, "only the second one counts");
    }
    for version in 2..=7 {
        let mut request = new_topic(&format!("v{version}"), 1, &[]);
        request.topics[0].replication_factor = 1;
        assert_eq!(answer!(CreateTopics, bench.ask(version, request).await).topics[0].error_code, 0);
    }
    let none = create_topics::Request::default();
    assert!(answer!(CreateTopics, bench.ask(7, none).await).topics.is_empty());
}

#[tokio::test]
async fn changes_of_the_catalogue_hold_later_requests_back() {
    let bench = Bench::new().await;
    let reply = bench.submit(7, new_topic("t", 1, &[]));
    assert!(matches!(reply, Reply::Later { barrier: true, .. }));
    settle(reply).await;
    let reply = bench.submit(9, produce_to("t", 0, batch(&["a"])));
    assert!(matches!(reply, Reply::Later { barrier: false, .. }), "its effect has happened");
    settle(reply).await;
}

async fn delete(bench: &Bench, version: i16, request: delete_topics::Request) -> Vec<(Option<String>, i16)> {
    let answer = answer!(DeleteTopics, bench.ask(version, request).await);
    answer.responses.into_iter().map(|r| (r.name.map(|n| n.to_string()), r.error_code)).collect()
}

#[tokio::test]
async fn topics_are_deleted_by_name_and_id_and_come_back_as_others() {
    let bench = Bench::new().await;
    let a = bench.create("a", 2).await;
    let b = bench.create("b", 1).await;
    bench.produce("a", 0, batch(&["old"])).await;
    let names = |names: &[&str]| delete_topics::Request {
        topic_names: names.iter().map(|name| Str::from(*name)).collect(),
        ..Default::default()
    };
    let some = |name: &str| Some(name.to_owned());
    assert_eq!(delete(&bench, 5, names(&["a", "nope"])).await, [(some("a"), 0), (some("nope"), 3)]);
    assert_eq!(delete(&bench, 1, names(&["a"])).await, [(some("a"), 3)]);
    let states = |states: &[(Option<&str>, Uuid)]| delete_topics::Request {
        topics: states
            .iter()
            .map(|(name, topic_id)| delete_topics::DeleteTopicState {
                name: name.map(Str::from),
                topic_id: *topic_id,
                ..Default::default()
            })
            .collect(),
        ..Default::default()
    };
    assert_eq!(delete(&bench, 6, states(&[(None, a)])).await, [(None, 100)]);
    assert_eq!(delete(&bench, 6, states(&[(Some("b"), b)])).await, [(some("b"), 42)]);
    assert_eq!(delete(&bench, 6, states(&[(None, Uuid::ZERO)])).await, [(None, 42)]);
    let twice = states(&[(Some("b"), Uuid::ZERO), (Some("b"), Uuid::ZERO)]);
    assert_eq!(delete(&bench, 6, twice).await, [(some("b"), 42)]);
    let both = states(&[(Some("b"), Uuid::ZERO), (None, b)]);
    assert_eq!(delete(&bench, 6, both).await, [(some("b"), 0), (None, 42)]);
    // The same name is another topic.
    assert_ne!(bench.create("a", 1).await, a);
    let data = bench.fetch("a", 0, 0).await;
    assert_eq!((data.error_code, data.high_watermark), (0, 0));
    let mut old = produce_to("", 0, batch(&["late"]));
    old.topic_data[0].topic_id = a;
    let answer = answer!(Produce, bench.ask(13, old).await);
    assert_eq!(answer.responses[0].partition_responses[0].error_code, 100);
    bench.create("__consumer_offsets", 1).await;
    assert_eq!(delete(&bench, 5, names(&["__consumer_offsets"])).await[0].1, 42);
    let fixed = Bench::with(&[("delete.topic.enable", "false")]).await;
    assert_eq!(delete(&fixed, 5, names(&["a"])).await[0].1, 73);
    assert_eq!(delete(&fixed, 2, names(&["a"])).await[0].1, 42);
}

#[tokio::test]
async fn partitions_only_grow() {
    let bench = Bench::new().await;
    bench.create("grow", 2).await;
    bench.produce("grow", 1, batch(&["a"])).await;
    let request = |name: &str, count: i32, assigned: Option<Vec<i32>>| create_partitions::Request {
        topics: vec![create_partitions::CreatePartitionsTopic {
            name: Str::from(name),
            count,
            assignments: assigned.map(|brokers| {
                let one = |broker: i32| create_partitions::CreatePartitionsAssignment {
                    broker_ids: vec![broker],
                    ..Default::default()
                };
                brokers.into_iter().map(one).collect()
            }),
            ..Default::default()
        }],
        ..Default::default()
    };
    let wrong = [
        (request("grow", 2, None), 37, "Topic already has 2 partition(s)."),
        (
            request("grow", -1, None),
            37,
            "The topic grow currently has 2 partition(s); -1 would not be an increase.",
        ),
        (request("nope", 3, None), 3, ""),
        (request("grow", 4, Some(vec![1])), 39, "Attempted to add 2 additional partition(s), but only 1"),
        (request("grow", 3, Some(vec![8])), 39, "The manual partition assignment includes broker 8"),
        (request("grow", 90_000, None), 44, "Excessively large number of partitions per request."),
    ];
    for (request, code, message) in wrong {
        let answer = answer!(CreatePartitions, bench.ask(3, request).await);
        let told = answer.results[0].error_message.clone().unwrap_or_default();
        assert_eq!(answer.results[0].error_code, code, "{told}");
        assert!(told.starts_with(message), "{told}");
    }
    let dry = create_partitions::Request { validate_only: true, ..request("grow", 3, None) };
    assert_eq!(answer!(CreatePartitions, bench.ask(3, dry).await).results[0].error_code, 0);
    for (version, count) in (0..=3).zip(3..) {
        let answer =
            answer!(CreatePartitions, bench.ask(version, request("grow", count, Some(vec![1]))).await);
        assert_eq!(answer.results[0].error_code, 0);
        assert_eq!(bench.produce("grow", count - 1, batch(&["b"])).await.error_code, 0);
    }
    let mut twice = request("grow", 9, None);
    twice.topics.extend(request("grow", 10, None).topics);
    let answer = answer!(CreatePartitions, bench.ask(3, twice).await);
    assert_eq!((answer.results.len(), answer.results[0].error_code), (1, 42));
    let bench = bench.restart().await;
    assert_eq!(bench.fetch("grow", 5, 0).await.high_watermark, 1);
    assert_eq!(bench.fetch("grow", 1, 0).await.high_watermark, 1);
    assert_eq!(bench.fetch("grow", 6, 0).await.error_code, 3);
}

#[tokio::test]
async fn records_are_cut_up_to_the_high_watermark() {
    let bench = Bench::new().await;
    bench.create("t", 1).await;
    bench.produce("t", 0, batch(&["a", "b", "c"])).await;
    bench.create("__consumer_offsets", 1).await;
    let cut = |topic: &str, partition_index: i32, offset: i64| delete_records::Request {
        topics: vec![delete_records::DeleteRecordsTopic {
            name: Str::from(topic),
            partitions: vec![delete_records::DeleteRecordsPartition {
                partition_index,
                offset,
                ..Default::default()
            }],
            ..Default::default()
        }],
        ..Default::default()
    };
    for (topic, partition, offset, expected) in [
        ("t", 0, 1, (0, 1)),
        ("t", 0, 0, (0, 1)),
        ("t", 0, 4, (1, -1)),
        ("t", 0, -2, (1, -1)),
        ("t", 3, 0, (3, -1)),
        ("nope", 0, 0, (3, -1)),
        ("__consumer_offsets", 0, 0, (44, -1)),
        ("t", 0, -1, (0, 3)),
    ] {
        for version in 0..=2 {
            let answer = answer!(DeleteRecords, bench.ask(version, cut(topic, partition, offset)).await);
            let told = &answer.topics[0].partitions[0];
            assert_eq!((told.error_code, told.low_watermark), expected, "{topic} {partition} {offset}");
        }
    }
    assert_eq!(bench.fetch("t", 0, 2).await.error_code, 1);
    let bench = bench.restart().await;
    assert_eq!(bench.fetch("t", 0, 3).await.log_start_offset, 3);
}

#[tokio::test]
async fn partitions_are_described_a_page_at_a_time() {
    let bench = Bench::new().await;
    bench.create("b", 2).await;
    bench.create("a", 3).await;
    let ask = |names: &[&str], limit: i32, cursor: Option<(&str, i32)>| describe_topic_partitions::Request {
        topics: names
            .iter()
            .map(|name| describe_topic_partitions::TopicRequest {
                name: Str::from(*name),
                ..Default::default()
            })
            .collect(),
        response_partition_limit: limit,
        cursor: cursor.map(|(name, partition_index)| describe_topic_partitions::Cursor {
            topic_name: Str::from(name),
            partition_index,
            ..Default::default()
        }),
        ..Default::default()
    };
    // What a page tells, and where the next begins.
    let page = |request| {
        let bench = &bench;
        async move {
            let answer = answer!(DescribeTopicPartitions, bench.ask(0, request).await);
            let told = answer.topics.iter().map(|t| {
                let indexes = t.partitions.iter().map(|p| p.partition_index).collect::<Vec<_>>();
                (t.name.clone().unwrap().to_string(), t.error_code, indexes)
            });
            let next = answer.next_cursor.map(|c| (c.topic_name.to_string(), c.partition_index));
            (told.collect::<Vec<_>>(), next)
        }
    };
    let a = |code, indexes: &[i32]| ("a".to_owned(), code, indexes.to_vec());
    let b = |indexes: &[i32]| ("b".to_owned(), 0, indexes.to_vec());
    assert_eq!(page(ask(&[], 2000, None)).await, (vec![a(0, &[0, 1, 2]), b(&[0, 1])], None));
    assert_eq!(page(ask(&["b", "a"], 2, None)).await, (vec![a(0, &[0, 1])], Some(("a".into(), 2))));
    let second = page(ask(&["b", "a"], 2, Some(("a", 2)))).await;
    assert_eq!(second, (vec![a(0, &[2]), b(&[0])], Some(("b".into(), 1))));
    assert_eq!(page(ask(&["b", "a"], 2, Some(("b", 1)))).await, (vec![b(&[1])], None));
    assert_eq!(page(ask(&[], 3, None)).await, (vec![a(0, &[0, 1, 2])], Some(("b".into(), 0))));
    assert_eq!(page(ask(&["a"], 0, None)).await, (vec![a(0, &[0])], Some(("a".into(), 1))), "at least one");
    assert_eq!(page(ask(&["a"], 9, Some(("a", -1)))).await, (vec![a(42, &[])], None));
    assert_eq!(page(ask(&["a"], 9, Some(("a", 7)))).await, (vec![a(0, &[])], None));
    let wrong = page(ask(&["nope", "a b"], 9, None)).await.0;
    assert_eq!(wrong, [("a b".to_owned(), 17, vec![]), ("nope".to_owned(), 3, vec![])]);
}

#[tokio::test]
async fn a_partition_named_twice_is_cut_once_where_it_was_said_last() {
    let bench = Bench::new().await;
    bench.create("t", 1).await;
    bench.produce("t", 0, batch(&["a", "b", "c"])).await;
    let topic = |offset: i64| delete_records::DeleteRecordsTopic {
        name: Str::from("t"),
        partitions: vec![delete_records::DeleteRecordsPartition { offset, ..Default::default() }],
        ..Default::default()
    };
    let request = delete_records::Request { topics: vec![topic(2), topic(1)], ..Default::default() };
    let answer = answer!(DeleteRecords, bench.ask(2, request).await);
    let [topic] = &answer.topics[..] else { panic!("{answer:?}") };
    let [partition] = &topic.partitions[..] else { panic!("{answer:?}") };
    assert_eq!((partition.error_code, partition.low_watermark), (0, 1));
}
