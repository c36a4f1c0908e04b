//! Where this broker differs from Apache Kafka 4.4 on purpose, in what the recorded answers of `tests/clients/compare` do not
//! hold it against: each with its reason, and looked at, so that the list stays true.

use tollgate::broker::acl::{AclRuling, STANDARD_AUTHORIZER};
use tollgate::wire::api::{
    Resource, api_versions, create_acls, incremental_alter_configs as alter, unregister_broker,
};
use tollgate::wire::{Operation, Str};

use crate::bench::*;

/// Kafka keeps a setting of any name, and shows it as a secret: it may belong to a plugin. There are no plugins here, and a name
/// that is mistyped and taken in silence deceives.
#[tokio::test]
async fn a_setting_of_the_broker_that_nobody_knows_is_refused() {
    let bench = Bench::new().await;
    let request = alter::Request {
        resources: vec![alter::AlterConfigsResource {
            resource_type: 4,
            resource_name: Str::default(),
            configs: vec![alter::AlterableConfig {
                name: Str::from("num.partitons"),
                value: Some(Str::from("3")),
                ..Default::default()
            }],
            ..Default::default()
        }],
        ..Default::default()
    };
    let answer = answer!(IncrementalAlterConfigs, bench.ask(1, request).await);
    let told = answer.responses[0].error_message.as_deref();
    assert_eq!(told, Some("Cannot update these configs dynamically: [num.partitons]"));
}

/// Kafka forgets a broker that runs, and then names none to its clients: the cluster is out of order until it starts again.
#[tokio::test]
async fn the_only_node_cannot_be_unregistered() {
    let bench = Bench::new().await;
    let request = unregister_broker::Request { broker_id: 1, ..Default::default() };
    assert_eq!(answer!(UnregisterBroker, bench.ask(0, request).await).error_code, 42);
}

/// A Kafka that was formatted for a quorum whose members change has `kraft.version` 1. The quorum here never changes, as
/// that of a Kafka with `controller.quorum.voters`, which has 0.
#[tokio::test]
async fn the_quorum_is_one_that_cannot_change() {
    let bench = Bench::new().await;
    let answer = answer!(ApiVersions, bench.ask(4, api_versions::Request::default()).await);
    assert!(answer.finalized_features.iter().all(|feature| &*feature.name != "kraft.version"));
}

/// Kafka compares the text of a host with what Java writes of the client's address, which is `0:0:0:0:0:0:0:1` for `::1`: an
/// entry that says `::1` binds nobody there. Here they are compared as addresses.
#[tokio::test]
async fn hosts_of_acls_are_compared_as_addresses() {
    let bench = Bench::with(&[("authorizer.class.name", STANDARD_AUTHORIZER)]).await;
    let deny = create_acls::AclCreation {
        resource_type: 2,
        resource_name: "orders".into(),
        resource_pattern_type: 3,
        principal: "User:ada".into(),
        host: "::1".into(),
        operation: 3,
        permission_type: 2,
        ..Default::default()
    };
    let request = create_acls::Request { creations: vec![deny], ..Default::default() };
    assert_eq!(answer!(CreateAcls, bench.ask(3, request).await).results[0].error_code, 0);
    let authorizer = bench.broker.acls().authorizer().unwrap().clone();
    let decide = |host: &str| {
        authorizer.decide("User:ada", host.parse().unwrap(), Operation::Read, Resource::Topic, "orders")
    };
    assert_eq!(decide("0:0:0:0:0:0:0:1"), AclRuling::Denied);
    assert_ne!(decide("::2"), AclRuling::Denied);
}
