//! THE table: every api key with its name; for those this crate reads, the versions, where flexible encoding begins, and
//! which operation Kafka's authoriser asks for (the resource is the part's own).
//!
//! `whole` is asked of what the exchange is about as a whole (the group of an OffsetCommit), or `cluster` where that is the cluster;
//! `also` of a second thing it is about (the group of a TxnOffsetCommit); `parts` of every part, `listed` of what a reply lists unasked.
//! InitProducerId without a transactional id asks IdempotentWrite on the cluster, or Write on any topic;
//! CreateTopics is satisfied by Create on the cluster as well (its answer tells configs to who has DescribeConfigs on the topic),
//! WriteTxnMarkers by Alter on it; CreateDelegationToken for oneself needs nothing; Read, Write, Delete and Alter imply
//! Describe, AlterConfigs implies DescribeConfigs.

#[cfg(test)]
use super::sample::{Draw, Sample};
use super::{
    api::{self, Answer, Exchange, Part, Resource},
    error::{WireError, WireErrorKind},
    error_code::ErrorCode,
    read::Reader,
    schema::{Cx, Wire},
    write::Writer,
};
use std::fmt;

/// What an authoriser is asked to allow (KIP-11).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Operation {
    Read,
    Write,
    Create,
    Delete,
    Alter,
    Describe,
    ClusterAction,
    DescribeConfigs,
    AlterConfigs,
    IdempotentWrite,
    CreateTokens,
    DescribeTokens,
}

impl Operation {
    pub const ALL: &[Operation] = &[
        Operation::Read,
        Operation::Write,
        Operation::Create,
        Operation::Delete,
        Operation::Alter,
        Operation::Describe,
        Operation::ClusterAction,
        Operation::DescribeConfigs,
        Operation::AlterConfigs,
        Operation::IdempotentWrite,
        Operation::CreateTokens,
        Operation::DescribeTokens,
    ];

    /// Kafka's name, as in ACLs: `IdempotentWrite`.
    pub fn name(self) -> &'static str {
        match self {
            Operation::Read => "Read",
            Operation::Write => "Write",
            Operation::Create => "Create",
            Operation::Delete => "Delete",
            Operation::Alter => "Alter",
            Operation::Describe => "Describe",
            Operation::ClusterAction => "ClusterAction",
            Operation::DescribeConfigs => "DescribeConfigs",
            Operation::AlterConfigs => "AlterConfigs",
            Operation::IdempotentWrite => "IdempotentWrite",
            Operation::CreateTokens => "CreateTokens",
            Operation::DescribeTokens => "DescribeTokens",
        }
    }

    /// Kafka's number, as in messages.
    pub fn number(self) -> i8 {
        match self {
            Operation::Read => 3,
            Operation::Write => 4,
            Operation::Create => 5,
            Operation::Delete => 6,
            Operation::Alter => 7,
            Operation::Describe => 8,
            Operation::ClusterAction => 9,
            Operation::DescribeConfigs => 10,
            Operation::AlterConfigs => 11,
            Operation::IdempotentWrite => 12,
            Operation::CreateTokens => 13,
            Operation::DescribeTokens => 14,
        }
    }

    pub fn from_name(name: &str) -> Option<Operation> {
        Operation::ALL.iter().copied().find(|op| op.name().eq_ignore_ascii_case(name))
    }
}

/// A row of the table.
#[derive(Debug)]
pub struct ApiInfo {
    pub key: ApiKey,
    pub name: &'static str,
    pub min_version: i16,
    pub max_version: i16,
    /// First version with compact lengths and tags; past `max_version` when there is none.
    pub flexible_from: i16,
    pub whole: Option<Operation>,
    pub also: Option<Operation>,
    pub parts: Option<Operation>,
    pub listed: Option<Operation>,
    /// Instead of `whole`, where the exchange is about the cluster.
    pub cluster: Option<Operation>,
}

impl ApiInfo {
    pub fn supports(&self, version: i16) -> bool {
        (self.min_version..=self.max_version).contains(&version)
    }

    pub fn is_flexible(&self, version: i16) -> bool {
        version >= self.flexible_from
    }

    /// Whether a request must be looked into to be authorised.
    pub fn asks_of_requests(&self) -> bool {
        [self.whole, self.also, self.parts, self.cluster].iter().any(Option::is_some)
    }

    /// What is asked of the exchange as a whole, which is about `resource`.
    pub fn asked_of_whole(&self, resource: Resource) -> Option<Operation> {
        match resource {
            Resource::Cluster => self.cluster.or(self.whole),
            _ => self.whole,
        }
    }

    fn cx(&self, version: i16) -> Result<Cx, WireError> {
        if !self.supports(version) {
            let (min, max) = (self.min_version, self.max_version);
            let kind = WireErrorKind::UnsupportedVersion { api: self.name, version, min, max };
            return Err(WireError::new("", 0, kind).within(self.name, version));
        }
        Ok(Cx::new(version, self.is_flexible(version)))
    }
}

/// An api key as it stands in request headers, known or not.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ApiKey(pub i16);

impl ApiKey {
    /// Kafka's name of the api; None for a key Kafka 4.4 does not have.
    pub fn name(self) -> Option<&'static str> {
        self.info()
            .map(|info| info.name)
            .or_else(|| OTHERS.iter().find(|(key, _)| *key == self.0).map(|(_, name)| *name))
    }

    /// The key of that name, in any case.
    pub fn from_name(name: &str) -> Option<ApiKey> {
        let known = APIS.iter().map(|info| (info.key.0, info.name));
        known
            .chain(OTHERS.iter().copied())
            .find(|(_, n)| n.eq_ignore_ascii_case(name))
            .map(|(key, _)| ApiKey(key))
    }

    /// Whether a client needs it to say who it is.
    pub fn precedes_principals(self) -> bool {
        [ApiKey::ApiVersions, ApiKey::SaslHandshake, ApiKey::SaslAuthenticate].contains(&self)
    }

    /// Its row, None for an api this crate does not read.
    pub fn info(self) -> Option<&'static ApiInfo> {
        APIS.iter().find(|info| info.key == self)
    }
}

impl fmt::Display for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "api {}", self.0),
        }
    }
}
impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

macro_rules! flexible {
    (flexible $from:literal) => {
        $from
    };
    (inflexible) => {
        i16::MAX
    };
}
macro_rules! operation {
    () => {
        None
    };
    ($op:ident) => {
        Some(Operation::$op)
    };
}

macro_rules! apis {
    ($($key:literal $name:ident $module:ident $lo:literal ..= $hi:literal $flex:ident $($from:literal)?
        { $(whole: $whole:ident $(,)?)? $(also: $also:ident $(,)?)? $(parts: $parts:ident $(,)?)? $(listed: $listed:ident $(,)?)?
            $(cluster: $cluster:ident)? };)*) => {
        #[allow(non_upper_case_globals, reason = "the names are Kafka's")]
        impl ApiKey {
            $(pub const $name: ApiKey = ApiKey($key);)*
        }

        /// The apis this crate reads and writes.
        pub const APIS: &[ApiInfo] = &[$(ApiInfo {
            key: ApiKey($key),
            name: stringify!($name),
            min_version: $lo,
            max_version: $hi,
            flexible_from: flexible!($flex $($from)?),
            whole: operation!($($whole)?),
            also: operation!($($also)?),
            parts: operation!($($parts)?),
            listed: operation!($($listed)?),
            cluster: operation!($($cluster)?),
        }),*];

        /// A decoded request of any api.
        #[derive(Clone, Debug, PartialEq)]
        pub enum RequestBody {
            $($name(Box<api::$module::Request>),)*
        }

        /// A decoded response of any api.
        #[derive(Clone, Debug, PartialEq)]
        pub enum ResponseBody {
            $($name(Box<api::$module::Response>),)*
        }

        $(
            impl From<api::$module::Request> for RequestBody {
                fn from(body: api::$module::Request) -> Self {
                    RequestBody::$name(Box::new(body))
                }
            }
            impl From<api::$module::Response> for ResponseBody {
                fn from(body: api::$module::Response) -> Self {
                    ResponseBody::$name(Box::new(body))
                }
            }
        )*

        impl RequestBody {
            pub fn api(&self) -> ApiKey {
                match self { $(RequestBody::$name(_) => ApiKey::$name,)* }
            }

            /// Reads the body that `reader` stands at. What follows it in the frame means nothing, to Kafka as to us:
            /// librdkafka leaves three bytes after a request for all topics.
            pub fn read(key: ApiKey, version: i16, reader: &mut Reader) -> Result<Self, WireError> {
                let info = known(key, version)?;
                let cx = info.cx(version)?;
                let body = match key.0 {
                    $($key => Wire::read(reader, cx).map(|body| RequestBody::$name(Box::new(body))),)*
                    _ => Err(reader.fail(WireErrorKind::UnknownApi(key.0))),
                };
                body.map_err(|e| e.within(message_name(key, true), version))
            }

            pub fn write(&self, version: i16, writer: &mut Writer) -> Result<(), WireError> {
                let cx = known(self.api(), version)?.cx(version)?;
                match self { $(RequestBody::$name(body) => body.write(writer, cx),)* }
                writable(self.api(), version, true, writer)
            }

            /// A random body of a version this crate reads.
            #[cfg(test)]
            pub(crate) fn sample(key: ApiKey, version: i16, draw: &mut Draw) -> Result<Self, WireError> {
                let cx = known(key, version)?.cx(version)?;
                match key.0 {
                    $($key => Ok(RequestBody::$name(Box::new(Sample::sample(draw, cx)))),)*
                    _ => Err(WireError::new("", 0, WireErrorKind::UnknownApi(key.0))),
                }
            }

            /// What the exchange as a whole is about.
            pub fn whole(&self, version: i16) -> Option<Part> {
                match self { $(RequestBody::$name(body) => body.whole(version),)* }
            }

            /// What else it is about as a whole.
            pub fn also(&self, version: i16) -> Option<Part> {
                match self { $(RequestBody::$name(body) => body.also(version),)* }
            }

            /// Its parts in request order.
            pub fn parts(&self, version: i16) -> Vec<Part> {
                match self { $(RequestBody::$name(body) => body.parts(version),)* }
            }

            /// Leaves out the parts whose flag is false.
            pub fn keep(&mut self, keep: &[bool]) {
                match self { $(RequestBody::$name(body) => body.keep(keep),)* }
            }

            /// True when it is still to be forwarded after all its parts were answered.
            pub fn forward_empty(&self) -> bool {
                match self { $(RequestBody::$name(_) => <api::$module::Request as Exchange>::FORWARD_EMPTY,)* }
            }

            /// The reply that fails the whole exchange; None where this version has no place for an error.
            pub fn answer(&self, version: i16, code: ErrorCode) -> Option<ResponseBody> {
                match self { $(RequestBody::$name(body) => {
                    body.answer(version, code).map(|r| ResponseBody::$name(Box::new(r)))
                })* }
            }

            /// Puts `answers` (one a part of this, the original request) into the upstream's reply; without answers it is
            /// left as it came.
            pub fn merge(
                &self,
                version: i16,
                answers: &[Option<Answer>],
                upstream: Option<ResponseBody>,
            ) -> Option<ResponseBody> {
                let untouched = !answers.iter().any(Option::is_some);
                match self { $(RequestBody::$name(body) => {
                    let upstream = match upstream {
                        Some(ResponseBody::$name(response)) if untouched => {
                            return Some(ResponseBody::$name(response));
                        }
                        Some(ResponseBody::$name(response)) => Some(*response),
                        _ => None,
                    };
                    body.merge(version, answers, upstream).map(|r| ResponseBody::$name(Box::new(r)))
                })* }
            }
        }

        impl ResponseBody {
            pub fn api(&self) -> ApiKey {
                match self { $(ResponseBody::$name(_) => ApiKey::$name,)* }
            }

            pub fn read(key: ApiKey, version: i16, reader: &mut Reader) -> Result<Self, WireError> {
                let info = known(key, version)?;
                let cx = info.cx(version)?;
                let body = match key.0 {
                    $($key => Wire::read(reader, cx).map(|body| ResponseBody::$name(Box::new(body))),)*
                    _ => Err(reader.fail(WireErrorKind::UnknownApi(key.0))),
                };
                body.and_then(|body| reader.finish().map(|()| body))
                    .map_err(|e| e.within(message_name(key, false), version))
            }

            pub fn write(&self, version: i16, writer: &mut Writer) -> Result<(), WireError> {
                let cx = known(self.api(), version)?.cx(version)?;
                match self { $(ResponseBody::$name(body) => body.write(writer, cx),)* }
                writable(self.api(), version, false, writer)
            }

            /// A random body of a version this crate reads.
            #[cfg(test)]
            pub(crate) fn sample(key: ApiKey, version: i16, draw: &mut Draw) -> Result<Self, WireError> {
                let cx = known(key, version)?.cx(version)?;
                match key.0 {
                    $($key => Ok(ResponseBody::$name(Box::new(Sample::sample(draw, cx)))),)*
                    _ => Err(WireError::new("", 0, WireErrorKind::UnknownApi(key.0))),
                }
            }

            /// Every error code in it, top level and elements alike; 0 is none.
            pub fn errors(&self, found: &mut dyn FnMut(i16)) {
                match self { $(ResponseBody::$name(body) => body.errors(false, found),)* }
            }

            /// Takes out what a reply lists and `keep` refuses.
            pub fn retain(&mut self, version: i16, keep: &mut dyn FnMut(&Part) -> bool) {
                match self { $(ResponseBody::$name(body) => {
                    <api::$module::Request as Exchange>::retain(version, body, keep)
                })* }
            }
        }

        fn message_name(key: ApiKey, request: bool) -> &'static str {
            match (key.0, request) {
                $(($key, true) => concat!(stringify!($name), "Request"),
                  ($key, false) => concat!(stringify!($name), "Response"),)*
                _ => "",
            }
        }
    };
}

/// An error for a text or list that is longer than its length field can say.
fn writable(key: ApiKey, version: i16, request: bool, writer: &Writer) -> Result<(), WireError> {
    if writer.overflowed() {
        let error = WireError::new("", writer.len(), WireErrorKind::TooLarge);
        return Err(error.within(message_name(key, request), version));
    }
    Ok(())
}

fn known(key: ApiKey, version: i16) -> Result<&'static ApiInfo, WireError> {
    key.info().ok_or_else(|| WireError { version, ..WireError::new("", 0, WireErrorKind::UnknownApi(key.0)) })
}

apis! {
    0 Produce produce 3..=13 flexible 9 { whole: Write, parts: Write };
    1 Fetch fetch 4..=18 flexible 12 { parts: Read };
    2 ListOffsets list_offsets 1..=11 flexible 6 { parts: Describe };
    3 Metadata metadata 0..=13 flexible 9 { parts: Describe, listed: Describe };
    8 OffsetCommit offset_commit 2..=10 flexible 8 { whole: Read, parts: Read };
    9 OffsetFetch offset_fetch 1..=10 flexible 6 { whole: Describe, parts: Describe, listed: Describe };
    10 FindCoordinator find_coordinator 0..=6 flexible 3 { parts: Describe };
    11 JoinGroup join_group 0..=9 flexible 6 { whole: Read };
    12 Heartbeat heartbeat 0..=4 flexible 4 { whole: Read };
    13 LeaveGroup leave_group 0..=5 flexible 4 { whole: Read };
    14 SyncGroup sync_group 0..=5 flexible 4 { whole: Read };
    15 DescribeGroups describe_groups 0..=6 flexible 5 { parts: Describe };
    16 ListGroups list_groups 0..=5 flexible 3 { listed: Describe };
    17 SaslHandshake sasl_handshake 0..=1 inflexible {};
    18 ApiVersions api_versions 0..=5 flexible 3 {};
    19 CreateTopics create_topics 2..=7 flexible 5 { parts: Create };
    20 DeleteTopics delete_topics 1..=6 flexible 4 { parts: Delete };
    21 DeleteRecords delete_records 0..=2 flexible 2 { parts: Delete };
    22 InitProducerId init_producer_id 0..=6 flexible 2 { whole: Write, cluster: IdempotentWrite };
    23 OffsetForLeaderEpoch offset_for_leader_epoch 2..=4 flexible 4 { parts: Describe };
    24 AddPartitionsToTxn add_partitions_to_txn 0..=5 flexible 3 { whole: Write, parts: Write, cluster: ClusterAction };
    25 AddOffsetsToTxn add_offsets_to_txn 0..=4 flexible 3 { whole: Write, also: Read };
    26 EndTxn end_txn 0..=5 flexible 3 { whole: Write };
    27 WriteTxnMarkers write_txn_markers 1..=2 flexible 1 { cluster: ClusterAction };
    28 TxnOffsetCommit txn_offset_commit 0..=6 flexible 3 { whole: Write, also: Read, parts: Read };
    29 DescribeAcls describe_acls 1..=3 flexible 2 { cluster: Describe };
    30 CreateAcls create_acls 1..=3 flexible 2 { cluster: Alter };
    31 DeleteAcls delete_acls 1..=3 flexible 2 { cluster: Alter };
    32 DescribeConfigs describe_configs 1..=4 flexible 4 { parts: DescribeConfigs };
    33 AlterConfigs alter_configs 0..=2 flexible 2 { parts: AlterConfigs };
    34 AlterReplicaLogDirs alter_replica_log_dirs 1..=2 flexible 2 { cluster: Alter };
    35 DescribeLogDirs describe_log_dirs 1..=5 flexible 2 { cluster: Describe };
    36 SaslAuthenticate sasl_authenticate 0..=2 flexible 2 {};
    37 CreatePartitions create_partitions 0..=3 flexible 2 { parts: Alter };
    38 CreateDelegationToken create_delegation_token 1..=3 flexible 2 { whole: CreateTokens };
    39 RenewDelegationToken renew_delegation_token 1..=2 flexible 2 {};
    40 ExpireDelegationToken expire_delegation_token 1..=2 flexible 2 {};
    41 DescribeDelegationToken describe_delegation_token 1..=3 flexible 2 { listed: Describe };
    42 DeleteGroups delete_groups 0..=3 flexible 2 { parts: Delete };
    43 ElectLeaders elect_leaders 0..=2 flexible 2 { cluster: Alter };
    44 IncrementalAlterConfigs incremental_alter_configs 0..=1 flexible 1 { parts: AlterConfigs };
    45 AlterPartitionReassignments alter_partition_reassignments 0..=1 flexible 0 { cluster: Alter };
    46 ListPartitionReassignments list_partition_reassignments 0..=0 flexible 0 { cluster: Describe };
    47 OffsetDelete offset_delete 0..=0 inflexible { whole: Delete, parts: Read };
    48 DescribeClientQuotas describe_client_quotas 0..=1 flexible 1 { cluster: DescribeConfigs };
    49 AlterClientQuotas alter_client_quotas 0..=1 flexible 1 { cluster: AlterConfigs };
    50 DescribeUserScramCredentials describe_user_scram_credentials 0..=0 flexible 0 { cluster: Describe };
    51 AlterUserScramCredentials alter_user_scram_credentials 0..=0 flexible 0 { cluster: Alter };
    55 DescribeQuorum describe_quorum 0..=2 flexible 0 { cluster: Describe };
    57 UpdateFeatures update_features 0..=2 flexible 0 { cluster: Alter };
    60 DescribeCluster describe_cluster 0..=2 flexible 0 {};
    61 DescribeProducers describe_producers 0..=0 flexible 0 { parts: Read };
    64 UnregisterBroker unregister_broker 0..=0 flexible 0 { cluster: Alter };
    65 DescribeTransactions describe_transactions 0..=0 flexible 0 { parts: Describe };
    66 ListTransactions list_transactions 0..=2 flexible 0 { listed: Describe };
    68 ConsumerGroupHeartbeat consumer_group_heartbeat 0..=1 flexible 0 { whole: Read };
    69 ConsumerGroupDescribe consumer_group_describe 0..=1 flexible 0 { parts: Describe };
    71 GetTelemetrySubscriptions get_telemetry_subscriptions 0..=0 flexible 0 {};
    72 PushTelemetry push_telemetry 0..=0 flexible 0 {};
    74 ListConfigResources list_config_resources 0..=1 flexible 0 { cluster: DescribeConfigs };
    75 DescribeTopicPartitions describe_topic_partitions 0..=0 flexible 0 { parts: Describe, listed: Describe };
    76 ShareGroupHeartbeat share_group_heartbeat 1..=1 flexible 1 { whole: Read };
    77 ShareGroupDescribe share_group_describe 1..=1 flexible 1 { parts: Describe };
    78 ShareFetch share_fetch 1..=2 flexible 1 { whole: Read, parts: Read };
    79 ShareAcknowledge share_acknowledge 1..=2 flexible 1 { whole: Read, parts: Read };
    80 AddRaftVoter add_raft_voter 0..=1 flexible 0 { cluster: Alter };
    81 RemoveRaftVoter remove_raft_voter 0..=0 flexible 0 { cluster: Alter };
    83 InitializeShareGroupState initialize_share_group_state 0..=0 flexible 0 { cluster: ClusterAction };
    84 ReadShareGroupState read_share_group_state 0..=0 flexible 0 { cluster: ClusterAction };
    85 WriteShareGroupState write_share_group_state 0..=1 flexible 0 { cluster: ClusterAction };
    86 DeleteShareGroupState delete_share_group_state 0..=0 flexible 0 { cluster: ClusterAction };
    87 ReadShareGroupStateSummary read_share_group_state_summary 0..=1 flexible 0 { cluster: ClusterAction };
    88 StreamsGroupHeartbeat streams_group_heartbeat 0..=1 flexible 0 { whole: Read };
    89 StreamsGroupDescribe streams_group_describe 0..=1 flexible 0 { parts: Describe };
    90 DescribeShareGroupOffsets describe_share_group_offsets 0..=1 flexible 0 { parts: Describe };
    91 AlterShareGroupOffsets alter_share_group_offsets 0..=0 flexible 0 { whole: Read, parts: Read };
    92 DeleteShareGroupOffsets delete_share_group_offsets 0..=0 flexible 0 { whole: Delete, parts: Read };
    93 StreamsGroupTopologyDescriptionUpdate streams_group_topology_description_update 0..=0 flexible 0 { whole: Read };
    94 UnregisterController unregister_controller 0..=0 flexible 0 { cluster: Alter };
}

/// Keys of Kafka 4.4 that are spoken between its own processes, or no longer: named in logs and refused.
const OTHERS: &[(i16, &str)] = &[
    (4, "LeaderAndIsr"),
    (5, "StopReplica"),
    (6, "UpdateMetadata"),
    (7, "ControlledShutdown"),
    (52, "Vote"),
    (53, "BeginQuorumEpoch"),
    (54, "EndQuorumEpoch"),
    (56, "AlterPartition"),
    (58, "Envelope"),
    (59, "FetchSnapshot"),
    (62, "BrokerRegistration"),
    (63, "BrokerHeartbeat"),
    (67, "AllocateProducerIds"),
    (70, "ControllerRegistration"),
    (73, "AssignReplicasToDirs"),
    (82, "UpdateRaftVoter"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_and_names_agree() {
        assert_eq!(ApiKey::Fetch.name(), Some("Fetch"));
        assert_eq!(ApiKey::from_name("joingroup"), Some(ApiKey::JoinGroup));
        assert_eq!(ApiKey::from_name("Envelope").and_then(ApiKey::info).map(|i| i.name), None);
        assert_eq!(ApiKey(58).to_string(), "Envelope");
        assert_eq!(ApiKey(999).to_string(), "api 999");
        assert!(APIS.windows(2).all(|w| w[0].key < w[1].key));
    }
}
