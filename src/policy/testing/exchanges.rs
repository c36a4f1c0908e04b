//! The requests and replies of tests, held against what was written down once and looked at (`exchanges.txt`).

use super::replies::reply;
use super::requests::request;
use crate::policy::script::testing::{Act, Doing, Options};
use crate::wire::ApiKey;
use crate::wire::table::APIS;
use bytes::Bytes;
use std::fmt::Write;

/// Apis of which something else is asked when a test names nothing.
const BARE: [ApiKey; 6] = [
    ApiKey::Metadata,
    ApiKey::FindCoordinator,
    ApiKey::DescribeConfigs,
    ApiKey::AlterConfigs,
    ApiKey::IncrementalAlterConfigs,
    ApiKey::CreatePartitions,
];
/// Apis that name a transaction.
const TRANSACTIONAL: [ApiKey; 8] = [
    ApiKey::FindCoordinator,
    ApiKey::InitProducerId,
    ApiKey::AddPartitionsToTxn,
    ApiKey::AddOffsetsToTxn,
    ApiKey::EndTxn,
    ApiKey::WriteTxnMarkers,
    ApiKey::TxnOffsetCommit,
    ApiKey::DescribeTransactions,
];
/// Apis whose replies say more than that all went well.
const TELLING: [ApiKey; 4] =
    [ApiKey::Fetch, ApiKey::Metadata, ApiKey::FindCoordinator, ApiKey::DescribeCluster];

fn named() -> Options {
    Options {
        topic: Some("orders".into()),
        partition: 7,
        group: Some("billing".into()),
        partitions: 3,
        replication: 2,
        configs: vec![("retention.ms".into(), "1000".into())],
        ..Options::default()
    }
}

fn shown(api: ApiKey, options: Options, text: &mut String) {
    let doing = Doing { act: Act::Requested { api }, options };
    let mut request = match request(&doing, 5) {
        Ok(request) => request,
        Err(error) => return writeln!(text, "{error}").unwrap(),
    };
    writeln!(text, "{api} {}: {:?}", request.version(), request.decoded().unwrap()).unwrap();
    if TELLING.contains(&api) {
        let reply = reply(&mut request, Bytes::from_static(b"records"), &doing.options).unwrap();
        writeln!(text, "  {:?}", reply.body).unwrap();
    }
}

#[test]
fn exchanges_are_as_they_were_written_down() {
    let mut text = String::new();
    for api in APIS {
        shown(api.key, named(), &mut text);
        if TRANSACTIONAL.contains(&api.key) {
            shown(api.key, Options { transactional_id: Some("payments".into()), ..named() }, &mut text);
        }
        if BARE.contains(&api.key) {
            shown(api.key, Options::default(), &mut text);
        }
    }
    let written = include_str!("exchanges.txt");
    if text != written {
        let new = std::env::temp_dir().join("tollgate-exchanges.txt");
        std::fs::write(&new, &text).unwrap();
        let differs = text.lines().zip(written.lines()).find(|(is, was)| is != was);
        panic!("not as written down, see {}: {differs:#?}", new.display());
    }
}

#[test]
fn every_version_that_is_offered_is_told() {
    let doing = Doing { act: Act::Requested { api: ApiKey::ApiVersions }, options: Options::default() };
    let mut request = request(&doing, 1).unwrap();
    let reply = reply(&mut request, Bytes::new(), &doing.options).unwrap();
    let crate::wire::ResponseBody::ApiVersions(body) = reply.body else { panic!("{:?}", reply.body) };
    let told: Vec<_> =
        body.api_keys.iter().map(|api| (api.api_key, api.min_version, api.max_version)).collect();
    let offered: Vec<_> = APIS.iter().map(|api| (api.key.0, api.min_version, api.max_version)).collect();
    assert_eq!(told, offered);
}
