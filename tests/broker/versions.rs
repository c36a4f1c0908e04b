//! Every api at every version: advertised, answered, and never a panic on what has no sense.

use tollgate::broker::{Broker, Reply};
use tollgate::wire::api::api_versions;
use tollgate::wire::{RequestBody, Str};

use crate::bench::*;

async fn advertised(bench: &Bench) -> Vec<(i16, i16, i16)> {
    let request = api_versions::Request {
        client_software_name: Str::from("test"),
        client_software_version: Str::from("1"),
        ..Default::default()
    };
    let answer = answer!(ApiVersions, bench.ask(3, request).await);
    answer.api_keys.iter().map(|api| (api.api_key, api.min_version, api.max_version)).collect()
}

#[tokio::test]
async fn what_is_advertised_is_what_kafka_has_of_it() {
    let bench = Bench::new().await;
    let all = advertised(&bench).await;
    assert!(all.is_sorted());
    assert_eq!(all.len(), blank_requests().len());
    for expected in
        [(0, 0, 13), (1, 4, 18), (2, 1, 11), (3, 0, 13), (18, 0, 5), (19, 2, 7), (22, 0, 5), (75, 0, 0)]
    {
        assert!(all.contains(&expected), "{expected:?}");
    }
    // Nothing of transactions, of the new groups or of share groups.
    assert!(!all.iter().any(|(key, ..)| [24, 25, 26, 28, 68, 69, 76, 78].contains(key)));
}

/// Requests that say nothing: empty names, empty or null lists, zeros.
fn blank_requests() -> Vec<RequestBody> {
    macro_rules! blank {
        ($($api:ident)*) => { vec![$(tollgate::wire::api::$api::Request::default().into()),*] };
    }
    blank! {
        produce fetch list_offsets metadata offset_commit offset_fetch find_coordinator join_group heartbeat
        leave_group sync_group describe_groups list_groups sasl_handshake api_versions create_topics
        delete_topics delete_records init_producer_id offset_for_leader_epoch describe_acls create_acls delete_acls
        describe_configs alter_configs alter_replica_log_dirs describe_log_dirs sasl_authenticate create_partitions
        create_delegation_token renew_delegation_token expire_delegation_token describe_delegation_token delete_groups
        elect_leaders incremental_alter_configs alter_partition_reassignments list_partition_reassignments offset_delete
        describe_client_quotas alter_client_quotas describe_user_scram_credentials alter_user_scram_credentials
        describe_quorum update_features describe_cluster describe_producers unregister_broker describe_transactions
        list_transactions list_config_resources describe_topic_partitions add_raft_voter remove_raft_voter
        unregister_controller
    }
}

#[tokio::test]
async fn every_version_of_every_api_is_answered() {
    let bench = Bench::new().await;
    bench.create("t", 1).await;
    let advertised = advertised(&bench).await;
    let blanks = blank_requests();
    assert_eq!(blanks.len(), advertised.len());
    for (body, (key, min, max)) in blanks.into_iter().zip(advertised) {
        assert_eq!(body.api().0, key);
        // Produce before 3 is advertised and refused.
        for version in min.max(if key == 0 { 3 } else { 0 })..=max {
            let reply = bench.submit(version, body.clone());
            match (key, reply) {
                // acks=0 with nothing in it.
                (0, Reply::Now(None)) => {}
                // A filter that says nothing, not even "any", cannot be read.
                (29, Reply::Close) => {}
                (_, Reply::Close) => panic!("api {key} version {version} closes"),
                (_, reply) => {
                    let wait = tokio::spawn(settle(reply));
                    while !wait.is_finished() {
                        // Joins and fetches may wait for time.
                        bench.hand.advance(std::time::Duration::from_millis(500));
                        tokio::task::yield_now().await;
                    }
                    assert!(wait.await.unwrap().is_some(), "api {key} version {version}");
                }
            }
        }
    }
}

#[tokio::test]
async fn api_versions_is_particular_about_who_asks() {
    let bench = Bench::new().await;
    let cluster = bench.broker.catalogue().cluster_id().clone();
    let request = |name: &str, cluster_id: Option<Str>, node_id: i32| api_versions::Request {
        client_software_name: Str::from(name),
        client_software_version: Str::from("1.0"),
        cluster_id,
        node_id,
        ..Default::default()
    };
    let code = |request| {
        let bench = &bench;
        async move { answer!(ApiVersions, bench.ask(5, request).await).error_code }
    };
    assert_eq!(code(request("librdkafka", None, -1)).await, 0);
    assert_eq!(code(request("a b", None, -1)).await, 42);
    assert_eq!(code(request("", None, -1)).await, 42);
    assert_eq!(code(request("x", Some(cluster.clone()), 1)).await, 0);
    assert_eq!(code(request("x", Some(cluster.clone()), 2)).await, 129);
    assert_eq!(code(request("x", Some(Str::from("other")), 1)).await, 129);
    assert_eq!(code(request("x", Some(cluster), -1)).await, 42);
    assert_eq!(code(request("x", None, 1)).await, 42);
    for version in 0..=2 {
        let answer = answer!(ApiVersions, bench.ask(version, api_versions::Request::default()).await);
        assert_eq!((answer.error_code, answer.api_keys.len()), (0, blank_requests().len()));
    }
}

#[tokio::test]
async fn features_are_those_of_a_broker_without_transactions() {
    let bench = Bench::new().await;
    let request = api_versions::Request {
        client_software_name: Str::from("x"),
        client_software_version: Str::from("1"),
        ..Default::default()
    };
    let answer = answer!(ApiVersions, bench.ask(4, request).await);
    let names: Vec<_> = answer.finalized_features.iter().map(|feature| &*feature.name).collect();
    assert_eq!(names, ["metadata.version"]);
    assert!(answer.finalized_features_epoch >= 0);
}

#[tokio::test]
async fn a_version_yet_to_come_is_told_what_there_is() {
    let response = Broker::api_versions_fallback(7);
    let answer = answer!(ApiVersions, settle(Reply::Now(Some(response))).await.unwrap());
    assert_eq!(answer.error_code, 35);
    assert_eq!(answer.api_keys.len(), 1);
    assert_eq!((answer.api_keys[0].api_key, answer.api_keys[0].max_version), (18, 5));
}
