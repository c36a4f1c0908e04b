//! Random messages of every api, version and direction against the `kafka-protocol` crate: what we write it reads and writes
//! back alike; what either accepts of damaged bytes the other understands alike; and both mean the same by defaults.
//! What that crate does not reach is listed here and covered by the frames of Kafka's own classes (`tests/wire_frames.rs`).
//!
//! That Kafka's classes read what we write needs Java and its jars: `scripts/oracle`, run by `scripts/test`.

use super::{
    message::{Request, Response},
    read::Reader,
    sample::Draw,
    table::{APIS, ApiInfo, ApiKey, RequestBody, ResponseBody},
    write::Writer,
};
use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::{self as theirs, RequestKind, ResponseKind};
use kafka_protocol::protocol::{Message, VersionRange};

/// One side of an exchange, so that requests and responses are tried by the same code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Side {
    Request,
    Response,
}

#[derive(Clone, Debug, PartialEq)]
enum Body {
    Request(RequestBody),
    Response(ResponseBody),
}

#[derive(Clone, Debug)]
enum Theirs {
    Request(RequestKind),
    Response(ResponseKind),
}

/// What `kafka-protocol` 0.18 does not have of Kafka 4.4: the first version it lacks.
const JAVA_ONLY: &[(ApiKey, Side, i16)] = &[
    (ApiKey::ListOffsets, Side::Request, 11),
    (ApiKey::ListOffsets, Side::Response, 11),
    (ApiKey::OffsetCommit, Side::Request, 10),
    (ApiKey::OffsetFetch, Side::Request, 10),
    (ApiKey::ApiVersions, Side::Request, 5),
    (ApiKey::ApiVersions, Side::Response, 5),
    (ApiKey::InitProducerId, Side::Request, 6),
    (ApiKey::DeleteGroups, Side::Request, 3),
    (ApiKey::DeleteGroups, Side::Response, 3),
    (ApiKey::WriteTxnMarkers, Side::Request, 2),
    (ApiKey::WriteTxnMarkers, Side::Response, 2),
    (ApiKey::TxnOffsetCommit, Side::Request, 6),
    (ApiKey::TxnOffsetCommit, Side::Response, 6),
    (ApiKey::DescribeLogDirs, Side::Request, 5),
    (ApiKey::DescribeLogDirs, Side::Response, 5),
    (ApiKey::ShareFetch, Side::Request, 2),
    (ApiKey::ShareFetch, Side::Response, 2),
    (ApiKey::ShareAcknowledge, Side::Request, 2),
    (ApiKey::ShareAcknowledge, Side::Response, 2),
    (ApiKey::AddRaftVoter, Side::Request, 1),
    (ApiKey::AddRaftVoter, Side::Response, 1),
    (ApiKey::WriteShareGroupState, Side::Request, 1),
    (ApiKey::WriteShareGroupState, Side::Response, 1),
    (ApiKey::ReadShareGroupStateSummary, Side::Request, 1),
    (ApiKey::ReadShareGroupStateSummary, Side::Response, 1),
    (ApiKey::StreamsGroupHeartbeat, Side::Request, 0),
    (ApiKey::StreamsGroupHeartbeat, Side::Response, 0),
    (ApiKey::StreamsGroupDescribe, Side::Request, 0),
    (ApiKey::StreamsGroupDescribe, Side::Response, 0),
    (ApiKey::DescribeShareGroupOffsets, Side::Request, 1),
    (ApiKey::DescribeShareGroupOffsets, Side::Response, 1),
    (ApiKey::StreamsGroupTopologyDescriptionUpdate, Side::Request, 0),
    (ApiKey::StreamsGroupTopologyDescriptionUpdate, Side::Response, 0),
    (ApiKey::UnregisterController, Side::Request, 0),
    (ApiKey::UnregisterController, Side::Response, 0),
];

impl Body {
    fn sample(api: ApiKey, version: i16, side: Side, draw: &mut Draw) -> Body {
        match side {
            Side::Request => Body::Request(RequestBody::sample(api, version, draw).unwrap()),
            Side::Response => Body::Response(ResponseBody::sample(api, version, draw).unwrap()),
        }
    }

    /// Only what ends with the bytes: what may stand behind a request, neither of us reads.
    fn read(api: ApiKey, version: i16, side: Side, bytes: Bytes) -> Result<Body, super::WireError> {
        let mut reader = Reader::new(bytes);
        let body = match side {
            Side::Request => RequestBody::read(api, version, &mut reader).map(Body::Request),
            Side::Response => ResponseBody::read(api, version, &mut reader).map(Body::Response),
        };
        let ended =
            |body| reader.finish().map(|()| body).map_err(|e| e.within(api.name().unwrap_or("api"), version));
        body.and_then(ended)
    }

    fn write(&self, version: i16) -> Bytes {
        let mut writer = Writer::new();
        match self {
            Body::Request(body) => body.write(version, &mut writer).unwrap(),
            Body::Response(body) => body.write(version, &mut writer).unwrap(),
        }
        super::Payload::Pieces(writer.finish()).to_bytes().unwrap()
    }

    /// With its header, without the length prefix.
    fn frame(&self, version: i16) -> Bytes {
        let pieces = match self.clone() {
            Body::Request(body) => {
                let client_id = Some(super::Str::from_static("sample"));
                Request::new(version, 7, client_id, body).unwrap().encode()
            }
            Body::Response(body) => {
                let header_tags = Default::default();
                Response { api: body.api(), version, correlation_id: 7, header_tags, body }.encode()
            }
        };
        super::Payload::Pieces(pieces.unwrap()).to_bytes().unwrap().slice(4..)
    }
}

/// Their names of the apis are ours.
macro_rules! theirs {
    ($($name:ident $request:ident $response:ident)*) => {
        /// None for an api that crate does not have.
        fn their_versions(api: ApiKey, side: Side) -> Option<VersionRange> {
            match (api, side) {
                $((ApiKey::$name, Side::Request) => Some(theirs::$request::VERSIONS),
                  (ApiKey::$name, Side::Response) => Some(theirs::$response::VERSIONS),)*
                _ => None,
            }
        }

        fn their_default(api: ApiKey, side: Side) -> Theirs {
            match (api, side) {
                $((ApiKey::$name, Side::Request) =>
                    Theirs::Request(RequestKind::$name(theirs::$request::default())),
                  (ApiKey::$name, Side::Response) =>
                    Theirs::Response(ResponseKind::$name(theirs::$response::default())),)*
                _ => panic!("{api} has no oracle"),
            }
        }

        fn our_default(api: ApiKey, side: Side) -> Body {
            match (api, side) {
                $((ApiKey::$name, Side::Request) => Body::Request(RequestBody::$name(Default::default())),
                  (ApiKey::$name, Side::Response) => Body::Response(ResponseBody::$name(Default::default())),)*
                _ => panic!("{api} has no oracle"),
            }
        }
    };
}
theirs! {
    Produce ProduceRequest ProduceResponse
    Fetch FetchRequest FetchResponse
    ListOffsets ListOffsetsRequest ListOffsetsResponse
    Metadata MetadataRequest MetadataResponse
    OffsetCommit OffsetCommitRequest OffsetCommitResponse
    OffsetFetch OffsetFetchRequest OffsetFetchResponse
    FindCoordinator FindCoordinatorRequest FindCoordinatorResponse
    JoinGroup JoinGroupRequest JoinGroupResponse
    Heartbeat HeartbeatRequest HeartbeatResponse
    LeaveGroup LeaveGroupRequest LeaveGroupResponse
    SyncGroup SyncGroupRequest SyncGroupResponse
    DescribeGroups DescribeGroupsRequest DescribeGroupsResponse
    ListGroups ListGroupsRequest ListGroupsResponse
    SaslHandshake SaslHandshakeRequest SaslHandshakeResponse
    ApiVersions ApiVersionsRequest ApiVersionsResponse
    CreateTopics CreateTopicsRequest CreateTopicsResponse
    DeleteTopics DeleteTopicsRequest DeleteTopicsResponse
    DeleteRecords DeleteRecordsRequest DeleteRecordsResponse
    InitProducerId InitProducerIdRequest InitProducerIdResponse
    OffsetForLeaderEpoch OffsetForLeaderEpochRequest OffsetForLeaderEpochResponse
    DescribeConfigs DescribeConfigsRequest DescribeConfigsResponse
    SaslAuthenticate SaslAuthenticateRequest SaslAuthenticateResponse
    CreatePartitions CreatePartitionsRequest CreatePartitionsResponse
    DeleteGroups DeleteGroupsRequest DeleteGroupsResponse
    IncrementalAlterConfigs IncrementalAlterConfigsRequest IncrementalAlterConfigsResponse
    OffsetDelete OffsetDeleteRequest OffsetDeleteResponse
    DescribeCluster DescribeClusterRequest DescribeClusterResponse
    DescribeTopicPartitions DescribeTopicPartitionsRequest DescribeTopicPartitionsResponse
    AddPartitionsToTxn AddPartitionsToTxnRequest AddPartitionsToTxnResponse
    AddOffsetsToTxn AddOffsetsToTxnRequest AddOffsetsToTxnResponse
    EndTxn EndTxnRequest EndTxnResponse
    WriteTxnMarkers WriteTxnMarkersRequest WriteTxnMarkersResponse
    TxnOffsetCommit TxnOffsetCommitRequest TxnOffsetCommitResponse
    DescribeAcls DescribeAclsRequest DescribeAclsResponse
    CreateAcls CreateAclsRequest CreateAclsResponse
    DeleteAcls DeleteAclsRequest DeleteAclsResponse
    AlterConfigs AlterConfigsRequest AlterConfigsResponse
    AlterReplicaLogDirs AlterReplicaLogDirsRequest AlterReplicaLogDirsResponse
    DescribeLogDirs DescribeLogDirsRequest DescribeLogDirsResponse
    CreateDelegationToken CreateDelegationTokenRequest CreateDelegationTokenResponse
    RenewDelegationToken RenewDelegationTokenRequest RenewDelegationTokenResponse
    ExpireDelegationToken ExpireDelegationTokenRequest ExpireDelegationTokenResponse
    DescribeDelegationToken DescribeDelegationTokenRequest DescribeDelegationTokenResponse
    ElectLeaders ElectLeadersRequest ElectLeadersResponse
    AlterPartitionReassignments AlterPartitionReassignmentsRequest AlterPartitionReassignmentsResponse
    ListPartitionReassignments ListPartitionReassignmentsRequest ListPartitionReassignmentsResponse
    DescribeClientQuotas DescribeClientQuotasRequest DescribeClientQuotasResponse
    AlterClientQuotas AlterClientQuotasRequest AlterClientQuotasResponse
    DescribeUserScramCredentials DescribeUserScramCredentialsRequest DescribeUserScramCredentialsResponse
    AlterUserScramCredentials AlterUserScramCredentialsRequest AlterUserScramCredentialsResponse
    DescribeQuorum DescribeQuorumRequest DescribeQuorumResponse
    UpdateFeatures UpdateFeaturesRequest UpdateFeaturesResponse
    DescribeProducers DescribeProducersRequest DescribeProducersResponse
    UnregisterBroker UnregisterBrokerRequest UnregisterBrokerResponse
    DescribeTransactions DescribeTransactionsRequest DescribeTransactionsResponse
    ListTransactions ListTransactionsRequest ListTransactionsResponse
    ConsumerGroupHeartbeat ConsumerGroupHeartbeatRequest ConsumerGroupHeartbeatResponse
    ConsumerGroupDescribe ConsumerGroupDescribeRequest ConsumerGroupDescribeResponse
    GetTelemetrySubscriptions GetTelemetrySubscriptionsRequest GetTelemetrySubscriptionsResponse
    PushTelemetry PushTelemetryRequest PushTelemetryResponse
    ListConfigResources ListConfigResourcesRequest ListConfigResourcesResponse
    ShareGroupHeartbeat ShareGroupHeartbeatRequest ShareGroupHeartbeatResponse
    ShareGroupDescribe ShareGroupDescribeRequest ShareGroupDescribeResponse
    ShareFetch ShareFetchRequest ShareFetchResponse
    ShareAcknowledge ShareAcknowledgeRequest ShareAcknowledgeResponse
    AddRaftVoter AddRaftVoterRequest AddRaftVoterResponse
    RemoveRaftVoter RemoveRaftVoterRequest RemoveRaftVoterResponse
    InitializeShareGroupState InitializeShareGroupStateRequest InitializeShareGroupStateResponse
    ReadShareGroupState ReadShareGroupStateRequest ReadShareGroupStateResponse
    WriteShareGroupState WriteShareGroupStateRequest WriteShareGroupStateResponse
    DeleteShareGroupState DeleteShareGroupStateRequest DeleteShareGroupStateResponse
    ReadShareGroupStateSummary ReadShareGroupStateSummaryRequest ReadShareGroupStateSummaryResponse
    DescribeShareGroupOffsets DescribeShareGroupOffsetsRequest DescribeShareGroupOffsetsResponse
    AlterShareGroupOffsets AlterShareGroupOffsetsRequest AlterShareGroupOffsetsResponse
    DeleteShareGroupOffsets DeleteShareGroupOffsetsRequest DeleteShareGroupOffsetsResponse
}

impl Theirs {
    fn read(api: ApiKey, version: i16, side: Side, mut bytes: Bytes) -> Result<Theirs, String> {
        let key = theirs::ApiKey::try_from(api.0).map_err(|()| format!("{api} is unknown to the oracle"))?;
        let read = match side {
            Side::Request => RequestKind::decode(key, &mut bytes, version).map(Theirs::Request),
            Side::Response => ResponseKind::decode(key, &mut bytes, version).map(Theirs::Response),
        };
        match read {
            Ok(_) if !bytes.is_empty() => Err(format!("the oracle left {} bytes", bytes.len())),
            read => read.map_err(|e| e.to_string()),
        }
    }

    fn write(&self, version: i16) -> Result<Bytes, String> {
        let mut bytes = BytesMut::new();
        match self {
            Theirs::Request(body) => body.encode(&mut bytes, version),
            Theirs::Response(body) => body.encode(&mut bytes, version),
        }
        .map(|()| bytes.freeze())
        .map_err(|e| e.to_string())
    }
}

fn has_oracle(api: ApiKey, version: i16, side: Side) -> bool {
    their_versions(api, side).is_some_and(|range| (range.min..=range.max).contains(&version))
}

/// Every api, version and direction, with a seed that is its own.
fn each(mut case: impl FnMut(&'static ApiInfo, i16, Side, u64)) {
    for info in APIS {
        for version in info.min_version..=info.max_version {
            for side in [Side::Request, Side::Response] {
                let seed = (info.key.0 as u64) << 32 | (version as u64) << 16 | side as u64;
                case(info, version, side, seed);
            }
        }
    }
}

#[test]
fn every_version_has_an_oracle() {
    each(|info, version, side, _| {
        let listed =
            JAVA_ONLY.iter().any(|(api, s, from)| *api == info.key && *s == side && version >= *from);
        let reached = has_oracle(info.key, version, side);
        assert!(reached != listed, "{} {version} {side:?}: reached {reached}, listed {listed}", info.name);
    });
}

#[test]
#[ignore = "for Java to read: scripts/oracle"]
#[expect(clippy::disallowed_methods, reason = "scripts/oracle says where to write them")]
fn write_samples() {
    let mut text = String::new();
    each(|info, version, side, seed| {
        for n in 0..20 {
            let mut draw = Draw::new(seed.wrapping_mul(31).wrapping_add(n));
            let body = Body::sample(info.key, version, side, &mut draw);
            let frame = body.frame(version);
            let hex: String = frame.iter().map(|b| format!("{b:02x}")).collect();
            let side = format!("{side:?}").to_lowercase();
            text += &format!("{} {version} {side} sample-{n} {hex}\n", info.key.0);
        }
    });
    let path = std::env::var("TOLLGATE_SAMPLES").expect("where to write them");
    std::fs::write(path, text).unwrap();
}

#[test]
fn random_messages_agree() {
    each(|info, version, side, seed| {
        for n in 0..60 {
            let mut draw = Draw::new(seed.wrapping_mul(1000).wrapping_add(n));
            let ours = Body::sample(info.key, version, side, &mut draw);
            let bytes = ours.write(version);
            let at = format!("{} {version} {side:?} sample {n}", info.name);
            assert_eq!(
                Body::read(info.key, version, side, bytes.clone()).as_ref(),
                Ok(&ours),
                "{at}: not read as written"
            );
            if !has_oracle(info.key, version, side) {
                continue;
            }
            let theirs = Theirs::read(info.key, version, side, bytes.clone())
                .unwrap_or_else(|e| panic!("{at}: {e}\n{ours:#?}"));
            let back = theirs.write(version).unwrap_or_else(|e| panic!("{at}: {e}\n{ours:#?}"));
            assert_eq!(back, bytes, "{at}\n{ours:#?}\n{theirs:#?}");
        }
    });
}

/// Damaged bytes: what we accept the oracle accepts, and both write it back alike. (What we refuse is not shown to the
/// oracle, which reserves memory on a count's word.)
#[test]
fn damaged_messages_mean_the_same() {
    let (mut accepted, mut refused) = (0, 0);
    each(|info, version, side, seed| {
        if !has_oracle(info.key, version, side) {
            return;
        }
        for n in 0..100 {
            let mut draw = Draw::new(seed.wrapping_mul(77).wrapping_add(n));
            let whole = Body::sample(info.key, version, side, &mut draw).write(version);
            let mut bytes = whole.to_vec();
            draw.damage(&mut bytes);
            let bytes = Bytes::from(bytes);
            let Ok(ours) = Body::read(info.key, version, side, bytes.clone()) else {
                refused += 1;
                continue;
            };
            accepted += 1;
            let at = format!("{} {version} {side:?} sample {n}", info.name);
            let theirs = Theirs::read(info.key, version, side, bytes)
                .and_then(|theirs| theirs.write(version))
                .unwrap_or_else(|e| panic!("{at}: {e}\n{ours:#?}"));
            assert_eq!(ours.write(version), theirs, "{at}\n{ours:#?}");
        }
    });
    assert!(accepted > 1000 && refused > 1000, "{accepted} accepted, {refused} refused");
}

#[test]
fn every_truncation_is_refused() {
    each(|info, version, side, seed| {
        let draws = (0..).map(|n| Draw::new(seed.wrapping_mul(13).wrapping_add(n)));
        let samples = draws.map(|mut draw| Body::sample(info.key, version, side, &mut draw).write(version));
        for whole in samples.filter(|bytes| bytes.len() < 600).take(3) {
            for len in 0..whole.len() {
                let read = Body::read(info.key, version, side, whole.slice(..len));
                assert!(read.is_err(), "{} {version} {side:?} cut at {len} of {}", info.name, whole.len());
            }
        }
    });
}

#[test]
fn damaged_messages_are_errors_or_messages() {
    let (mut accepted, mut refused) = (0, 0);
    each(|info, version, side, seed| {
        for n in 0..100 {
            let mut draw = Draw::new(seed.wrapping_mul(51).wrapping_add(n));
            let mut bytes = Body::sample(info.key, version, side, &mut draw).write(version).to_vec();
            draw.damage(&mut bytes);
            match Body::read(info.key, version, side, bytes.into()) {
                Err(error) => {
                    refused += 1;
                    assert!(!error.message.is_empty() && error.version == version, "{error:?}");
                }
                Ok(body) => {
                    accepted += 1;
                    let again = Body::read(info.key, version, side, body.write(version));
                    assert_eq!(again, Ok(body), "{} {version} {side:?} sample {n}", info.name);
                }
            }
        }
    });
    assert!(accepted > 5000 && refused > 5000, "{accepted} accepted, {refused} refused");
}

/// Nullable fields that are null in a fresh message of ours and empty in one of Kafka's.
const NULL_BY_DEFAULT: &[(ApiKey, Side)] = &[
    (ApiKey::Metadata, Side::Request),
    (ApiKey::OffsetFetch, Side::Request),
    (ApiKey::FindCoordinator, Side::Response),
    (ApiKey::JoinGroup, Side::Response),
    (ApiKey::InitProducerId, Side::Request),
    (ApiKey::SaslAuthenticate, Side::Response),
];

#[test]
fn defaults_agree() {
    let mut differing = std::collections::HashSet::new();
    each(|info, version, side, _| {
        if !has_oracle(info.key, version, side) {
            return;
        }
        let at = format!("{} {version} {side:?}", info.name);
        let theirs = their_default(info.key, side).write(version).unwrap_or_else(|e| panic!("{at}: {e}"));
        if our_default(info.key, side).write(version) != theirs {
            differing.insert((info.key, side));
        }
    });
    assert_eq!(differing, NULL_BY_DEFAULT.iter().copied().collect());
}
