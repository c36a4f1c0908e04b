//! Faults that are errors with a name of their own: what a broker says when a coordinator moves, a member is evicted, a producer
//! is fenced. Each knows at which apis it can happen and which code it has there; the request is not executed.

use super::{Executed, Harm, Injected};
use crate::wire::{ApiKey, ErrorCode};

/// A fault that answers with the error that a broker would.
#[derive(Debug, PartialEq, Eq)]
pub struct Named {
    pub word: &'static str,
    /// Where it can happen, and with which codes.
    pub codes: &'static [(ApiKey, ErrorCode)],
}

macro_rules! named {
    ($($word:literal { $($($api:ident)+ => $code:ident;)+ })+) => {
        /// All of them.
        pub const ALL: &[Named] = &[$(
            Named { word: $word, codes: &[$($((ApiKey::$api, ErrorCode::$code),)+)+] },
        )+];
    };
}

named! {
    "offset_out_of_range" {
        Fetch => OFFSET_OUT_OF_RANGE;
    }
    "unknown_topic" {
        Metadata DescribeTopicPartitions Produce Fetch ListOffsets OffsetForLeaderEpoch DeleteRecords AddPartitionsToTxn
            => UNKNOWN_TOPIC_OR_PARTITION;
    }
    "coordinator_moves" {
        OffsetCommit OffsetFetch JoinGroup Heartbeat LeaveGroup SyncGroup DescribeGroups DeleteGroups
        ConsumerGroupHeartbeat ConsumerGroupDescribe ShareGroupHeartbeat ShareGroupDescribe
        StreamsGroupHeartbeat StreamsGroupDescribe
        InitProducerId AddPartitionsToTxn AddOffsetsToTxn EndTxn TxnOffsetCommit DescribeTransactions
            => NOT_COORDINATOR;
    }
    "coordinator_loading" {
        OffsetCommit OffsetFetch JoinGroup Heartbeat LeaveGroup SyncGroup DescribeGroups DeleteGroups
        ConsumerGroupHeartbeat ConsumerGroupDescribe ShareGroupHeartbeat ShareGroupDescribe
        StreamsGroupHeartbeat StreamsGroupDescribe
        InitProducerId AddPartitionsToTxn AddOffsetsToTxn EndTxn TxnOffsetCommit DescribeTransactions
            => COORDINATOR_LOAD_IN_PROGRESS;
    }
    "coordinator_not_available" {
        FindCoordinator
        OffsetCommit OffsetFetch JoinGroup Heartbeat LeaveGroup SyncGroup DescribeGroups DeleteGroups
        ConsumerGroupHeartbeat ConsumerGroupDescribe ShareGroupHeartbeat ShareGroupDescribe
        StreamsGroupHeartbeat StreamsGroupDescribe
        InitProducerId AddPartitionsToTxn AddOffsetsToTxn EndTxn TxnOffsetCommit DescribeTransactions
            => COORDINATOR_NOT_AVAILABLE;
    }
    "rebalance" {
        Heartbeat SyncGroup OffsetCommit => REBALANCE_IN_PROGRESS;
    }
    "fence_member" {
        JoinGroup SyncGroup Heartbeat OffsetCommit TxnOffsetCommit ConsumerGroupHeartbeat => FENCED_INSTANCE_ID;
    }
    "evict_member" {
        JoinGroup SyncGroup Heartbeat OffsetCommit TxnOffsetCommit ConsumerGroupHeartbeat ShareGroupHeartbeat
        StreamsGroupHeartbeat
            => UNKNOWN_MEMBER_ID;
    }
    "skew_generation" {
        SyncGroup Heartbeat OffsetCommit TxnOffsetCommit => ILLEGAL_GENERATION;
    }
    "fence_epoch" {
        ConsumerGroupHeartbeat ShareGroupHeartbeat StreamsGroupHeartbeat => FENCED_MEMBER_EPOCH;
        OffsetCommit OffsetFetch TxnOffsetCommit => STALE_MEMBER_EPOCH;
    }
    "fence_producer" {
        InitProducerId AddPartitionsToTxn AddOffsetsToTxn EndTxn => PRODUCER_FENCED;
        Produce TxnOffsetCommit => INVALID_PRODUCER_EPOCH;
    }
    "concurrent_transactions" {
        InitProducerId AddPartitionsToTxn AddOffsetsToTxn EndTxn TxnOffsetCommit => CONCURRENT_TRANSACTIONS;
    }
    "out_of_order_sequence" {
        Produce => OUT_OF_ORDER_SEQUENCE_NUMBER;
    }
}

/// Where it became possible to say PRODUCER_FENCED (KIP-588); before, brokers say INVALID_PRODUCER_EPOCH.
const FENCED_SINCE: &[(ApiKey, i16)] = &[
    (ApiKey::InitProducerId, 4),
    (ApiKey::AddPartitionsToTxn, 2),
    (ApiKey::AddOffsetsToTxn, 2),
    (ApiKey::EndTxn, 2),
];

impl Named {
    pub fn find(word: &str) -> Option<&'static Named> {
        ALL.iter().find(|named| named.word == word)
    }

    /// What a broker would say.
    pub fn code(&self, api: ApiKey, version: i16) -> Option<ErrorCode> {
        let (_, code) = self.codes.iter().find(|(at, _)| *at == api)?;
        let since = FENCED_SINCE.iter().find(|(at, _)| *at == api);
        match (*code, since) {
            (ErrorCode::PRODUCER_FENCED, Some((_, since))) if version < *since => {
                Some(ErrorCode::INVALID_PRODUCER_EPOCH)
            }
            (code, _) => Some(code),
        }
    }

    pub fn inject(&self, api: ApiKey, version: i16, harm: &mut Harm) -> Injected {
        let code = self.code(api, version);
        harm.fail = code.or(harm.fail);
        let parameter = code.map(|code| code.to_string());
        Injected { executed: Executed::No, parameter, terminal: true }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_producer_is_fenced_in_the_words_of_its_version() {
        let fence = Named::find("fence_producer").unwrap();
        for (api, version, code) in [
            (ApiKey::EndTxn, 1, ErrorCode::INVALID_PRODUCER_EPOCH),
            (ApiKey::EndTxn, 2, ErrorCode::PRODUCER_FENCED),
            (ApiKey::InitProducerId, 3, ErrorCode::INVALID_PRODUCER_EPOCH),
            (ApiKey::InitProducerId, 4, ErrorCode::PRODUCER_FENCED),
            (ApiKey::Produce, 12, ErrorCode::INVALID_PRODUCER_EPOCH),
        ] {
            assert_eq!(fence.code(api, version), Some(code), "{api} {version}");
        }
        assert_eq!(fence.code(ApiKey::Fetch, 12), None);
    }

    #[test]
    fn every_one_is_listed_once() {
        for named in ALL {
            assert_eq!(Named::find(named.word), Some(named));
            let mut apis: Vec<_> = named.codes.iter().map(|(api, _)| api.0).collect();
            apis.sort_unstable();
            apis.dedup();
            assert_eq!(apis.len(), named.codes.len(), "{}", named.word);
        }
    }
}
