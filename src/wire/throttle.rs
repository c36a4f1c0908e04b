//! Throttle times (KIP-124, KIP-219): most answers have a place for how long their client must wait.

use super::ResponseBody;

macro_rules! throttled {
    ($($api:ident)*) => {
        impl ResponseBody {
            /// Where an answer says for how many milliseconds its client must wait; None where it has no place for it.
            pub fn throttle_time_ms(&mut self) -> Option<&mut i32> {
                match self {
                    $(ResponseBody::$api(body) => Some(&mut body.throttle_time_ms),)*
                    _ => None,
                }
            }
        }

        const THROTTLED: &[super::ApiKey] = &[$(super::ApiKey::$api),*];
    };
}

throttled! {
    Produce Fetch ListOffsets Metadata OffsetCommit OffsetFetch FindCoordinator JoinGroup Heartbeat LeaveGroup SyncGroup
    DescribeGroups ListGroups ApiVersions CreateTopics DeleteTopics DeleteRecords InitProducerId OffsetForLeaderEpoch
    AddPartitionsToTxn AddOffsetsToTxn EndTxn TxnOffsetCommit DescribeAcls CreateAcls DeleteAcls DescribeConfigs AlterConfigs
    AlterReplicaLogDirs DescribeLogDirs CreatePartitions CreateDelegationToken RenewDelegationToken ExpireDelegationToken
    DescribeDelegationToken DeleteGroups ElectLeaders IncrementalAlterConfigs AlterPartitionReassignments
    ListPartitionReassignments OffsetDelete DescribeClientQuotas AlterClientQuotas DescribeUserScramCredentials
    AlterUserScramCredentials UpdateFeatures DescribeCluster DescribeProducers UnregisterBroker DescribeTransactions
    ListTransactions ConsumerGroupHeartbeat ConsumerGroupDescribe GetTelemetrySubscriptions PushTelemetry ListConfigResources
    DescribeTopicPartitions ShareGroupHeartbeat ShareGroupDescribe ShareFetch ShareAcknowledge AddRaftVoter RemoveRaftVoter
    StreamsGroupHeartbeat StreamsGroupDescribe DescribeShareGroupOffsets AlterShareGroupOffsets DeleteShareGroupOffsets
    StreamsGroupTopologyDescriptionUpdate UnregisterController
}

impl super::ApiKey {
    /// Whether its answers, of new enough versions, say how long to wait.
    pub fn has_throttle_time(self) -> bool {
        THROTTLED.contains(&self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::ApiKey;
    use crate::wire::table::APIS;

    #[test]
    fn every_answer_that_has_a_place_for_it_says_how_long_to_wait() {
        let without = [
            ApiKey::SaslHandshake,
            ApiKey::SaslAuthenticate,
            ApiKey::WriteTxnMarkers,
            ApiKey::DescribeQuorum,
            ApiKey::InitializeShareGroupState,
            ApiKey::ReadShareGroupState,
            ApiKey::WriteShareGroupState,
            ApiKey::DeleteShareGroupState,
            ApiKey::ReadShareGroupStateSummary,
        ];
        for api in APIS {
            assert_ne!(THROTTLED.contains(&api.key), without.contains(&api.key), "{}", api.name);
        }
    }
}
