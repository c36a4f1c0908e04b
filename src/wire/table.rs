//! THE table: every api key with its name; for those this crate reads, the versions, where flexible encoding begins, and
//! which operation Kafka's authoriser asks for (the resource is the part's own).
//!
//! `whole` is asked of what the exchange is about as a whole (the group of an OffsetCommit), `parts` of every part, `listed` of
//! what a reply lists unasked. InitProducerId without a transactional id asks IdempotentWrite on the cluster, or Write on any topic;
//! CreateTopics is satisfied by Create on the cluster as well; Read, Write, Delete and Alter imply Describe, AlterConfigs implies
//! DescribeConfigs.

#[cfg(test)]
use super::sample::{Draw, Sample};
use super::{
    api::{self, Answer, Exchange, Part},
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
    pub parts: Option<Operation>,
    pub listed: Option<Operation>,
}

impl ApiInfo {
    pub fn supports(&self, version: i16) -> bool {
        (self.min_version..=self.max_version).contains(&version)
    }

    pub fn is_flexible(&self, version: i16) -> bool {
        version >= self.flexible_from
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
        { $(whole: $whole:ident $(,)?)? $(parts: $parts:ident $(,)?)? $(listed: $listed:ident)? };)*) => {
        #[allow(non_upper_case_globals)]
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
            parts: operation!($($parts)?),
            listed: operation!($($listed)?),
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
    22 InitProducerId init_producer_id 0..=6 flexible 2 { whole: Write };
    23 OffsetForLeaderEpoch offset_for_leader_epoch 2..=4 flexible 4 { parts: Describe };
    32 DescribeConfigs describe_configs 1..=4 flexible 4 { parts: DescribeConfigs };
    36 SaslAuthenticate sasl_authenticate 0..=2 flexible 2 {};
    37 CreatePartitions create_partitions 0..=3 flexible 2 { parts: Alter };
    42 DeleteGroups delete_groups 0..=3 flexible 2 { parts: Delete };
    44 IncrementalAlterConfigs incremental_alter_configs 0..=1 flexible 1 { parts: AlterConfigs };
    47 OffsetDelete offset_delete 0..=0 inflexible { whole: Delete, parts: Read };
    60 DescribeCluster describe_cluster 0..=2 flexible 0 {};
    75 DescribeTopicPartitions describe_topic_partitions 0..=0 flexible 0 { parts: Describe, listed: Describe };
}

/// Keys of Kafka 4.4 that are named in logs and refused.
const OTHERS: &[(i16, &str)] = &[
    (4, "LeaderAndIsr"),
    (5, "StopReplica"),
    (6, "UpdateMetadata"),
    (7, "ControlledShutdown"),
    (24, "AddPartitionsToTxn"),
    (25, "AddOffsetsToTxn"),
    (26, "EndTxn"),
    (27, "WriteTxnMarkers"),
    (28, "TxnOffsetCommit"),
    (29, "DescribeAcls"),
    (30, "CreateAcls"),
    (31, "DeleteAcls"),
    (33, "AlterConfigs"),
    (34, "AlterReplicaLogDirs"),
    (35, "DescribeLogDirs"),
    (38, "CreateDelegationToken"),
    (39, "RenewDelegationToken"),
    (40, "ExpireDelegationToken"),
    (41, "DescribeDelegationToken"),
    (43, "ElectLeaders"),
    (45, "AlterPartitionReassignments"),
    (46, "ListPartitionReassignments"),
    (48, "DescribeClientQuotas"),
    (49, "AlterClientQuotas"),
    (50, "DescribeUserScramCredentials"),
    (51, "AlterUserScramCredentials"),
    (52, "Vote"),
    (53, "BeginQuorumEpoch"),
    (54, "EndQuorumEpoch"),
    (55, "DescribeQuorum"),
    (56, "AlterPartition"),
    (57, "UpdateFeatures"),
    (58, "Envelope"),
    (59, "FetchSnapshot"),
    (61, "DescribeProducers"),
    (62, "BrokerRegistration"),
    (63, "BrokerHeartbeat"),
    (64, "UnregisterBroker"),
    (65, "DescribeTransactions"),
    (66, "ListTransactions"),
    (67, "AllocateProducerIds"),
    (68, "ConsumerGroupHeartbeat"),
    (69, "ConsumerGroupDescribe"),
    (70, "ControllerRegistration"),
    (71, "GetTelemetrySubscriptions"),
    (72, "PushTelemetry"),
    (73, "AssignReplicasToDirs"),
    (74, "ListConfigResources"),
    (76, "ShareGroupHeartbeat"),
    (77, "ShareGroupDescribe"),
    (78, "ShareFetch"),
    (79, "ShareAcknowledge"),
    (80, "AddRaftVoter"),
    (81, "RemoveRaftVoter"),
    (82, "UpdateRaftVoter"),
    (83, "InitializeShareGroupState"),
    (84, "ReadShareGroupState"),
    (85, "WriteShareGroupState"),
    (86, "DeleteShareGroupState"),
    (87, "ReadShareGroupStateSummary"),
    (88, "StreamsGroupHeartbeat"),
    (89, "StreamsGroupDescribe"),
    (90, "DescribeShareGroupOffsets"),
    (91, "AlterShareGroupOffsets"),
    (92, "DeleteShareGroupOffsets"),
    (93, "StreamsGroupTopologyDescriptionUpdate"),
    (94, "UnregisterController"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_and_names_agree() {
        assert_eq!(ApiKey::Fetch.name(), Some("Fetch"));
        assert_eq!(ApiKey::from_name("joingroup"), Some(ApiKey::JoinGroup));
        assert_eq!(ApiKey::from_name("ShareFetch").and_then(ApiKey::info).map(|i| i.name), None);
        assert_eq!(ApiKey(78).to_string(), "ShareFetch");
        assert_eq!(ApiKey(999).to_string(), "api 999");
        assert!(APIS.windows(2).all(|w| w[0].key < w[1].key));
    }
}
