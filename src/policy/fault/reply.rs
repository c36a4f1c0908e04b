//! Faults in what a reply says: the upstream did its work, and the client is told something else.

use crate::wire::ResponseBody;
use crate::wire::api::fetch::FetchPartitionData;
use crate::wire::api::metadata::MetadataResponsePartition;
use crate::wire::{ApiKey, ErrorCode, Payload, Str};
use bytes::Bytes;
use std::fmt;
use std::time::Duration;

/// A fault in a reply.
#[derive(Debug, Clone, PartialEq)]
pub enum ReplyFault {
    /// Of what is fetched only so many bytes arrive: the last batch is cut in the middle.
    TruncateFetch(usize),
    /// Nothing is there to be read.
    EmptyFetch,
    /// The end of the partition is said to be so many records before where it is.
    StaleHighWatermark(i64),
    /// Another broker leads.
    LeaderMoves,
    NoLeader,
    /// What is said of a topic is of so long ago, or of when the rule first saw it: see `stale`.
    StaleMetadata(Option<Duration>),
    /// A broker is not in the list: this one, or the last.
    BrokerMissing(Option<i32>),
    /// Brokers are said to be where nobody listens.
    WrongAddress(Str, i32),
    /// An api is offered up to a version only; without a version not at all.
    ApiVersions(ApiKey, Option<i16>),
}

/// What of a reply a fault is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// What is said of one partition.
    Partition,
    /// What metadata says of one topic.
    Topic,
    /// What is said of the cluster.
    Whole,
}

impl ReplyFault {
    /// The apis in whose replies it can be.
    pub fn apis(&self) -> &'static [ApiKey] {
        match self {
            Self::TruncateFetch(_) | Self::EmptyFetch | Self::StaleHighWatermark(_) => &[ApiKey::Fetch],
            Self::LeaderMoves | Self::NoLeader | Self::StaleMetadata(_) => &[ApiKey::Metadata],
            Self::BrokerMissing(_) => &[ApiKey::Metadata, ApiKey::DescribeCluster],
            Self::WrongAddress(..) => &[ApiKey::Metadata, ApiKey::DescribeCluster, ApiKey::FindCoordinator],
            Self::ApiVersions(..) => &[ApiKey::ApiVersions],
        }
    }

    pub fn scope(&self) -> Scope {
        match self {
            Self::TruncateFetch(_)
            | Self::EmptyFetch
            | Self::StaleHighWatermark(_)
            | Self::LeaderMoves
            | Self::NoLeader => Scope::Partition,
            Self::StaleMetadata(_) => Scope::Topic,
            Self::BrokerMissing(_) | Self::WrongAddress(..) | Self::ApiVersions(..) => Scope::Whole,
        }
    }

    /// Changes what a fetch says of a partition. False where it could not.
    pub fn fetched(&self, partition: &mut FetchPartitionData) -> bool {
        match self {
            Self::TruncateFetch(bytes) => match partition.records.to_bytes() {
                Ok(records) if records.len() > *bytes => {
                    partition.records = Payload::Bytes(records.slice(..*bytes));
                    true
                }
                _ => false,
            },
            Self::EmptyFetch => {
                let had = !partition.records.is_empty();
                partition.records = Payload::Bytes(Bytes::new());
                had
            }
            Self::StaleHighWatermark(records) => {
                let least = partition.log_start_offset.max(0);
                let stale = partition.high_watermark.saturating_sub(*records).max(least);
                if stale >= partition.high_watermark {
                    return false;
                }
                partition.high_watermark = stale;
                partition.last_stable_offset = partition.last_stable_offset.min(stale);
                true
            }
            _ => false,
        }
    }

    /// Changes what metadata says of a partition. `brokers`: those that are alive. What was chosen, or `None` where it could
    /// not.
    pub fn led(&self, partition: &mut MetadataResponsePartition, brokers: &[i32]) -> Option<String> {
        match self {
            Self::NoLeader => {
                partition.error_code = ErrorCode::LEADER_NOT_AVAILABLE.0;
                partition.leader_id = -1;
                Some("-1".to_owned())
            }
            Self::LeaderMoves => {
                // the next of the cluster; of a cluster of one, a broker that is not there
                let next = brokers.iter().copied().filter(|id| *id > partition.leader_id).min();
                let first = brokers.iter().copied().filter(|id| *id != partition.leader_id).min();
                let leader = next.or(first).unwrap_or_else(|| partition.leader_id.saturating_add(1));
                // its epoch stays: with a later one, clients would take what is true for stale when the fault is over
                partition.leader_id = leader;
                Some(leader.to_string())
            }
            _ => None,
        }
    }

    /// Changes what a reply says of the cluster. False where it could not.
    pub fn whole(&self, body: &mut ResponseBody) -> bool {
        match (self, body) {
            (Self::BrokerMissing(id), ResponseBody::Metadata(body)) => {
                let Some(id) = id.or(body.brokers.iter().map(|broker| broker.node_id).max()) else {
                    return false;
                };
                let before = body.brokers.len();
                body.brokers.retain(|broker| broker.node_id != id);
                if body.controller_id == id {
                    body.controller_id = -1;
                }
                body.brokers.len() < before
            }
            (Self::BrokerMissing(id), ResponseBody::DescribeCluster(body)) => {
                let Some(id) = id.or(body.brokers.iter().map(|broker| broker.broker_id).max()) else {
                    return false;
                };
                let before = body.brokers.len();
                body.brokers.retain(|broker| broker.broker_id != id);
                if body.controller_id == id {
                    body.controller_id = -1;
                }
                body.brokers.len() < before
            }
            (Self::WrongAddress(host, port), body) => move_brokers(body, host, *port),
            (Self::ApiVersions(api, most), ResponseBody::ApiVersions(body)) => {
                let before = body.api_keys.clone();
                body.api_keys.retain(|offered| {
                    offered.api_key != api.0 || most.is_some_and(|most| offered.min_version <= most)
                });
                if let Some(most) = most {
                    for offered in body.api_keys.iter_mut().filter(|offered| offered.api_key == api.0) {
                        offered.max_version = offered.max_version.min(*most);
                    }
                }
                body.api_keys != before
            }
            _ => false,
        }
    }

    pub fn word(&self) -> &'static str {
        match self {
            Self::TruncateFetch(_) => "truncate_fetch",
            Self::EmptyFetch => "empty_fetch",
            Self::StaleHighWatermark(_) => "stale_high_watermark",
            Self::LeaderMoves => "leader_moves",
            Self::NoLeader => "no_leader",
            Self::StaleMetadata(_) => "stale_metadata",
            Self::BrokerMissing(_) => "broker_missing",
            Self::WrongAddress(..) => "wrong_address",
            Self::ApiVersions(..) => "api_versions",
        }
    }
}

/// False where the reply names no broker.
fn move_brokers(body: &mut ResponseBody, host: &Str, port: i32) -> bool {
    let mut moved = false;
    let mut go = |at: &mut Str, its_port: &mut i32| {
        (*at, *its_port) = (host.clone(), port);
        moved = true;
    };
    match body {
        ResponseBody::Metadata(body) => {
            body.brokers.iter_mut().for_each(|broker| go(&mut broker.host, &mut broker.port));
        }
        ResponseBody::DescribeCluster(body) => {
            body.brokers.iter_mut().for_each(|broker| go(&mut broker.host, &mut broker.port));
        }
        ResponseBody::FindCoordinator(body) => {
            // one of an old version stands in the body itself
            if body.error_code == 0 && !body.host.is_empty() {
                go(&mut body.host, &mut body.port);
            }
            for found in body.coordinators.iter_mut().filter(|found| found.error_code == 0) {
                go(&mut found.host, &mut found.port);
            }
        }
        _ => {}
    }
    moved
}

impl fmt::Display for ReplyFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = self.word();
        match self {
            Self::TruncateFetch(bytes) => write!(f, "{word}({bytes})"),
            Self::StaleHighWatermark(records) => write!(f, "{word}({records})"),
            Self::StaleMetadata(Some(age)) => write!(f, "{word}({age:?})"),
            Self::BrokerMissing(Some(id)) => write!(f, "{word}({id})"),
            Self::WrongAddress(host, port) => write!(f, "{word}(\"{host}\", {port})"),
            Self::ApiVersions(api, None) => write!(f, "{word}(\"{api}\")"),
            Self::ApiVersions(api, Some(most)) => write!(f, "{word}(\"{api}\", {most})"),
            _ => write!(f, "{word}()"),
        }
    }
}
