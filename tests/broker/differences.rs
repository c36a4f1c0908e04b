//! Where this broker differs from Apache Kafka 4.4 on purpose, in what the recorded answers of `tests/clients/compare` do not
//! hold it against: each with its reason, and looked at, so that the list stays true.

use tollgate::wire::Str;
use tollgate::wire::api::{api_versions, incremental_alter_configs as alter, unregister_broker};

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
