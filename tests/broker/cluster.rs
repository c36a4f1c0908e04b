//! What on one node is a fact or changes nothing: quorum, features, voters, elections, reassignments, producers,
//! transactions, telemetry. Every version; what Kafka says to it stands in tests/clients/compare.

use tollgate::broker::Context;
use tollgate::wire::api::{
    add_raft_voter, alter_partition_reassignments as reassign, describe_producers, describe_quorum,
    describe_transactions, elect_leaders, get_telemetry_subscriptions, list_partition_reassignments,
    list_transactions, push_telemetry, remove_raft_voter, unregister_broker, unregister_controller,
    update_features,
};
use tollgate::wire::{Str, Uuid};

use crate::bench::*;

const SOME_ID: Uuid = Uuid([7; 16]);

fn quorum_of(topic: &str, partitions: &[i32]) -> describe_quorum::Request {
    let partitions = partitions
        .iter()
        .map(|index| describe_quorum::AskedPartition { partition_index: *index, ..Default::default() });
    describe_quorum::Request {
        topics: vec![describe_quorum::AskedTopic {
            topic_name: Str::from(topic),
            partitions: partitions.collect(),
            ..Default::default()
        }],
        ..Default::default()
    }
}

#[tokio::test]
async fn the_quorum_is_this_node_and_its_log_grows_with_changes() {
    let bench = Bench::new().await;
    let mut before = 0;
    for version in 0..=2 {
        let asked = quorum_of("__cluster_metadata", &[0]);
        let answer = answer!(DescribeQuorum, bench.ask(version, asked).await);
        let partition = &answer.topics[0].partitions[0];
        assert_eq!((answer.error_code, partition.error_code, partition.leader_id), (0, 0, 1));
        assert_eq!(partition.leader_epoch, 1);
        assert_eq!(partition.current_voters.len(), 1);
        assert_eq!(partition.current_voters[0].log_end_offset, partition.high_watermark);
        if version >= 1 {
            assert_eq!(partition.current_voters[0].last_caught_up_timestamp, NOW);
        }
        if version >= 2 {
            let node = &answer.nodes[0];
            let listener = &node.listeners[0];
            assert_eq!((node.node_id, &*listener.host, listener.port), (1, "broker.test", 9092));
        }
        assert!(partition.high_watermark > before);
        before = partition.high_watermark;
        bench.create(&format!("t{version}"), 1).await;
    }
    // As `kafka-metadata-quorum` needs it.
    let named = Context { listener: Str::from_static("default"), ..bench.cx.clone() };
    let asked = request(2, quorum_of("__cluster_metadata", &[0]).into());
    let answer = answer!(DescribeQuorum, settle(bench.broker.handle(&named, asked)).await.unwrap());
    assert_eq!(&*answer.nodes[0].listeners[0].name, "DEFAULT");
    for wrong in [
        quorum_of("t0", &[0]),
        quorum_of("__cluster_metadata", &[1]),
        quorum_of("__cluster_metadata", &[0, 1]),
    ] {
        let count = wrong.topics[0].partitions.len();
        let answer = answer!(DescribeQuorum, bench.ask(2, wrong).await);
        assert_eq!(answer.error_code, 0);
        assert_eq!(answer.topics[0].partitions.iter().filter(|p| p.error_code == 3).count(), count);
        assert!(answer.nodes.is_empty());
    }
    let answer = answer!(DescribeQuorum, bench.ask(2, describe_quorum::Request::default()).await);
    assert!(answer.topics.is_empty() && answer.nodes.is_empty());
    let bench = bench.restart().await;
    let answer = answer!(DescribeQuorum, bench.ask(0, quorum_of("__cluster_metadata", &[0])).await);
    assert_eq!(answer.topics[0].partitions[0].leader_epoch, 2);
}

#[tokio::test]
async fn features_stay_as_they_are() {
    let bench = Bench::new().await;
    let update = |feature: &str, level: i16, upgrade_type: i8| update_features::Request {
        feature_updates: vec![update_features::FeatureUpdateKey {
            feature: Str::from(feature),
            max_version_level: level,
            upgrade_type,
            ..Default::default()
        }],
        ..Default::default()
    };
    for version in 0..=2 {
        let answer = answer!(UpdateFeatures, bench.ask(version, update("metadata.version", 33, 1)).await);
        assert_eq!((answer.error_code, &answer.error_message), (0, &None));
        assert_eq!(answer.results.len(), usize::from(version < 2));
        let answer = answer!(UpdateFeatures, bench.ask(version, update("nope", 1, 1)).await);
        assert_eq!((answer.error_code, answer.results.len()), (95, 0));
    }
    for (feature, level, kind, problem) in [
        ("metadata.version", 34, 1, "Local controller 1 only supports versions 7-33"),
        ("metadata.version", 30, 1, "Can't downgrade the version of this feature"),
        ("metadata.version", 30, 2, "it might delete metadata information."),
        ("metadata.version", 7, 3, "Unsafe metadata downgrade is not supported"),
        ("metadata.version", -1, 2, "A feature version cannot be less than 0."),
        ("metadata.version", 33, 0, "does not support the given upgrade type."),
        ("group.version", 1, 1, "Local controller 1 does not support this feature."),
        ("nope", 0, 2, "Feature nope not found."),
    ] {
        let answer = answer!(UpdateFeatures, bench.ask(2, update(feature, level, kind)).await);
        assert_eq!(answer.error_code, 95, "{feature} {level} {kind}");
        let message = answer.error_message.unwrap();
        assert!(message.contains(problem), "{message}");
    }
    for off in ["group.version", "transaction.version", "share.version", "streams.version", "kraft.version"] {
        assert_eq!(answer!(UpdateFeatures, bench.ask(2, update(off, 0, 2)).await).error_code, 0, "{off}");
    }
    let downgrade = update_features::Request {
        feature_updates: vec![update_features::FeatureUpdateKey {
            feature: Str::from_static("metadata.version"),
            max_version_level: 30,
            allow_downgrade: true,
            ..Default::default()
        }],
        ..Default::default()
    };
    let answer = answer!(UpdateFeatures, bench.ask(0, downgrade).await);
    assert!(answer.error_message.unwrap().contains("might delete metadata"));
}

#[tokio::test]
async fn nobody_joins_or_leaves_the_cluster() {
    let bench = Bench::new().await;
    for (broker_id, code) in [(1, 42), (99, 102), (-1, 102)] {
        let request = unregister_broker::Request { broker_id, ..Default::default() };
        assert_eq!(answer!(UnregisterBroker, bench.ask(0, request).await).error_code, code);
        let request = unregister_controller::Request { controller_id: broker_id, ..Default::default() };
        let code = if broker_id == 1 { 42 } else { 136 };
        assert_eq!(answer!(UnregisterController, bench.ask(0, request).await).error_code, code);
    }
    let ours = bench.broker.catalogue().cluster_id().clone();
    for (cluster_id, voter_id, directory, code) in [
        (None, 9, SOME_ID, 35),
        (Some(ours), 9, SOME_ID, 35),
        (Some(Str::from_static("x")), 9, SOME_ID, 104),
        (None, -1, SOME_ID, 42),
        (None, 9, Uuid::ZERO, 42),
    ] {
        for version in 0..=1 {
            let request = add_raft_voter::Request {
                cluster_id: cluster_id.clone(),
                voter_id,
                voter_directory_id: directory,
                ..Default::default()
            };
            assert_eq!(answer!(AddRaftVoter, bench.ask(version, request).await).error_code, code);
        }
        let request = remove_raft_voter::Request {
            cluster_id: cluster_id.clone(),
            voter_id,
            voter_directory_id: directory,
            ..Default::default()
        };
        assert_eq!(answer!(RemoveRaftVoter, bench.ask(0, request).await).error_code, code);
    }
}

#[tokio::test]
async fn no_election_is_needed() {
    let bench = Bench::new().await;
    bench.create("t", 2).await;
    let asked = |topic: &str, partitions: &[i32]| elect_leaders::TopicPartitions {
        topic: Str::from(topic),
        partitions: partitions.to_vec(),
        ..Default::default()
    };
    for version in 0..=2 {
        for election_type in 0..=i8::from(version >= 1) {
            let request = elect_leaders::Request {
                election_type,
                topic_partitions: Some(vec![asked("t", &[0, 1, 7]), asked("nope", &[0])]),
                ..Default::default()
            };
            let answer = answer!(ElectLeaders, bench.ask(version, request).await);
            let codes: Vec<Vec<i16>> = answer
                .replica_election_results
                .iter()
                .map(|topic| topic.partition_result.iter().map(|p| p.error_code).collect())
                .collect();
            assert_eq!((answer.error_code, codes), (0, vec![vec![84, 84, 3], vec![3]]));
            let all = elect_leaders::Request { election_type, topic_partitions: None, ..Default::default() };
            let answer = answer!(ElectLeaders, bench.ask(version, all).await);
            assert!(answer.replica_election_results.iter().all(|topic| topic.partition_result.is_empty()));
            assert!(answer.replica_election_results.iter().any(|topic| &*topic.topic == "t"));
        }
    }
    let request = elect_leaders::Request {
        election_type: 5,
        topic_partitions: Some(vec![asked("t", &[0])]),
        ..Default::default()
    };
    let answer = answer!(ElectLeaders, bench.ask(2, request).await);
    let result = &answer.replica_election_results[0].partition_result[0];
    assert_eq!((answer.error_code, result.error_code), (42, 42));
    assert_eq!(result.error_message.as_deref(), Some("Unknown election type 5"));
}

#[tokio::test]
async fn a_partition_can_only_be_given_what_it_has() {
    let bench = Bench::new().await;
    bench.create("t", 1).await;
    for (topic, partition, replicas, code, message) in [
        ("t", 0, Some(vec![1]), 0, None),
        ("t", 0, Some(vec![3, 2]), 39, Some("includes broker 2, but no such broker is registered.")),
        ("t", 0, Some(vec![1, 1]), 39, Some("includes the broker 1 more than once.")),
        ("t", 0, Some(vec![]), 39, Some("includes an empty replica list.")),
        ("t", 0, None, 85, None),
        ("t", 7, Some(vec![1]), 3, Some("Unable to find partition t:7.")),
        ("nope", 0, None, 3, Some("Unable to find a topic named nope.")),
    ] {
        for version in 0..=1 {
            let request = reassign::Request {
                allow_replication_factor_change: version == 0,
                topics: vec![reassign::ReassignableTopic {
                    name: Str::from(topic),
                    partitions: vec![reassign::ReassignablePartition {
                        partition_index: partition,
                        replicas: replicas.clone(),
                        ..Default::default()
                    }],
                    ..Default::default()
                }],
                ..Default::default()
            };
            let answer = answer!(AlterPartitionReassignments, bench.ask(version, request).await);
            assert_eq!((answer.error_code, answer.allow_replication_factor_change), (0, version == 0));
            let result = &answer.responses[0].partitions[0];
            assert_eq!(result.error_code, code, "{topic} {partition} {replicas:?}");
            let said = result.error_message.as_deref();
            assert!(
                message.map_or(said.is_none(), |part| said.is_some_and(|said| said.contains(part))),
                "{said:?}"
            );
        }
    }
    for topics in [None, Some(Vec::new())] {
        let request = list_partition_reassignments::Request { topics, ..Default::default() };
        let answer = answer!(ListPartitionReassignments, bench.ask(0, request).await);
        assert_eq!((answer.error_code, answer.topics.len()), (0, 0));
    }
}

#[tokio::test]
async fn a_partition_shows_its_producers() {
    let bench = Bench::new().await;
    bench.create("t", 2).await;
    bench.produce("t", 0, sequenced(4, 0, 0, &["a", "b"])).await;
    bench.produce("t", 0, sequenced(3, 0, 0, &["a"])).await;
    bench.produce("t", 0, sequenced(4, 1, 0, &["c", "d", "e"])).await;
    bench.produce("t", 1, batch(&["plain"])).await;
    let topic = |name: &str, indexes: &[i32]| describe_producers::TopicRequest {
        name: Str::from(name),
        partition_indexes: indexes.to_vec(),
        ..Default::default()
    };
    let request = describe_producers::Request {
        topics: vec![topic("t", &[0, 1, 7, -1]), topic("nope", &[0]), topic("a b", &[0])],
        ..Default::default()
    };
    // What a restart reads back is the same.
    let before = answer!(DescribeProducers, bench.ask(0, request.clone()).await);
    let bench = bench.restart().await;
    let answer = answer!(DescribeProducers, bench.ask(0, request).await);
    assert_eq!(before, answer);
    let codes: Vec<i16> = answer.topics.iter().flat_map(|t| &t.partitions).map(|p| p.error_code).collect();
    assert_eq!(codes, [0, 0, 3, 3, 3, 17]);
    let producers: Vec<_> = answer.topics[0].partitions[0]
        .active_producers
        .iter()
        .map(|p| (p.producer_id, p.producer_epoch, p.last_sequence, p.last_timestamp))
        .collect();
    assert_eq!(producers, [(3, 0, 0, NOW), (4, 1, 2, NOW)]);
    let of_one = &answer.topics[0].partitions[0].active_producers[0];
    assert_eq!((of_one.coordinator_epoch, of_one.current_txn_start_offset), (-1, -1));
    assert!(answer.topics[0].partitions[1].active_producers.is_empty());
}

#[tokio::test]
async fn no_transactions_are_known_and_filters_are_judged() {
    let bench = Bench::new().await;
    let ids = ["a", ""].map(Str::from).to_vec();
    let request = describe_transactions::Request { transactional_ids: ids, ..Default::default() };
    let answer = answer!(DescribeTransactions, bench.ask(0, request).await);
    let codes: Vec<i16> = answer.transaction_states.iter().map(|state| state.error_code).collect();
    assert_eq!(codes, [105, 42]);
    for version in 0..=2 {
        let state_filters = ["Ongoing", "Nope", "ongoing", "Nope"].map(Str::from).to_vec();
        let request = list_transactions::Request { state_filters, ..Default::default() };
        let answer = answer!(ListTransactions, bench.ask(version, request).await);
        assert_eq!((answer.error_code, answer.transaction_states.len()), (0, 0));
        assert_eq!(answer.unknown_state_filters, ["Nope", "ongoing"].map(Str::from));
    }
    let enormous = format!("(a{{1000}}){{1000}}{}", "b".repeat(10_000));
    for (pattern, code) in [("a.*", 0), ("", 0), ("(a", 128), (&enormous, 128)] {
        let pattern = Some(Str::from(pattern));
        let request = list_transactions::Request { transactional_id_pattern: pattern, ..Default::default() };
        assert_eq!(answer!(ListTransactions, bench.ask(2, request).await).error_code, code);
    }
}

#[tokio::test]
async fn a_client_that_asks_is_told_to_push_nothing() {
    let bench = Bench::new().await;
    let ask = |client_instance_id| {
        let request = get_telemetry_subscriptions::Request { client_instance_id, ..Default::default() };
        async { answer!(GetTelemetrySubscriptions, bench.ask(0, request).await) }
    };
    let told = ask(Uuid::ZERO).await;
    assert_eq!((told.error_code, told.push_interval_ms, told.telemetry_max_bytes), (0, 300_000, 1_048_576));
    assert_eq!(told.accepted_compression_types, [4, 3, 1, 2]);
    assert!(told.delta_temporality && told.requested_metrics.is_empty());
    assert!(!told.client_instance_id.is_zero());
    assert_eq!(ask(told.client_instance_id).await.error_code, 89);
    let push = push_telemetry::Request {
        client_instance_id: told.client_instance_id,
        subscription_id: told.subscription_id,
        metrics: tollgate::wire::types::Sensitive(bytes::Bytes::from_static(b"metrics")),
        ..Default::default()
    };
    assert_eq!(answer!(PushTelemetry, bench.ask(0, push.clone()).await).error_code, 0);
    assert_eq!(answer!(PushTelemetry, bench.ask(0, push.clone()).await).error_code, 89);
    assert_eq!(bench.broker.client_telemetry(), (1, 7));
    let strange = push_telemetry::Request { client_instance_id: Uuid::ONE, ..push };
    assert_eq!(answer!(PushTelemetry, bench.ask(0, strange).await).error_code, 42);
}

#[tokio::test]
async fn a_client_is_told_what_subscriptions_want_of_it() {
    use tollgate::wire::api::incremental_alter_configs as alter;
    let bench = Bench::new().await;
    let config = |name: &str, value: &str| alter::AlterableConfig {
        name: Str::from(name),
        value: Some(Str::from(value)),
        ..Default::default()
    };
    let subscribe = |name: &str, configs| {
        let resource = alter::AlterConfigsResource {
            resource_type: 16,
            resource_name: Str::from(name),
            configs,
            ..Default::default()
        };
        alter::Request { resources: vec![resource], ..Default::default() }
    };
    let mine =
        vec![config("metrics", "b.,a."), config("interval.ms", "1000"), config("match", "client_id=te.*")];
    let others = vec![config("metrics", "*"), config("match", "client_id=other")];
    for request in [subscribe("mine", mine), subscribe("others", others)] {
        assert_eq!(answer!(IncrementalAlterConfigs, bench.ask(1, request).await).responses[0].error_code, 0);
    }
    let request = get_telemetry_subscriptions::Request { client_instance_id: SOME_ID, ..Default::default() };
    let told = answer!(GetTelemetrySubscriptions, bench.ask(0, request).await);
    assert_eq!(told.requested_metrics, ["a.", "b."].map(Str::from));
    assert_eq!((told.error_code, told.push_interval_ms, told.client_instance_id), (0, 1000, SOME_ID));
}

#[tokio::test]
async fn what_is_named_over_and_over_does_not_fill_the_answer() {
    let bench = Bench::new().await;
    let name = "n".repeat(249);
    let request = elect_leaders::Request {
        topic_partitions: Some(vec![elect_leaders::TopicPartitions {
            topic: Str::from(name.as_str()),
            partitions: vec![0; 20_000],
            ..Default::default()
        }]),
        ..Default::default()
    };
    let answer = answer!(ElectLeaders, bench.ask(2, request).await);
    let results = &answer.replica_election_results[0].partition_result;
    assert!(results.iter().all(|result| result.error_code == 3));
    let told = results.iter().filter_map(|result| result.error_message.as_ref()).map(|message| message.len());
    assert!(results[0].error_message.is_some() && told.sum::<usize>() <= 1 << 20);

    let request = reassign::Request {
        topics: vec![reassign::ReassignableTopic {
            name: Str::from(name.as_str()),
            partitions: vec![reassign::ReassignablePartition::default(); 20_000],
            ..Default::default()
        }],
        ..Default::default()
    };
    let answer = answer!(AlterPartitionReassignments, bench.ask(1, request).await);
    let results = &answer.responses[0].partitions;
    let told = results.iter().filter_map(|result| result.error_message.as_ref()).map(|message| message.len());
    assert!(results[0].error_message.is_some() && told.sum::<usize>() <= 1 << 20);
}
