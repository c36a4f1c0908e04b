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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::api::describe_cluster::{DescribeClusterBroker, DescribeClusterResponse};
    use crate::wire::api::find_coordinator::{Coordinator, FindCoordinatorResponse};

    fn cluster(controller_id: i32) -> ResponseBody {
        let broker = |broker_id| DescribeClusterBroker {
            broker_id,
            host: format!("b{broker_id}").into(),
            port: 9092,
            ..Default::default()
        };
        DescribeClusterResponse { controller_id, brokers: [1, 2].map(broker).into(), ..Default::default() }
            .into()
    }

    /// Whether it could, the brokers that are left and where they are, and the controller.
    fn after(fault: &ReplyFault, mut body: ResponseBody) -> (bool, Vec<(i32, String, i32)>, i32) {
        let could = fault.whole(&mut body);
        let ResponseBody::DescribeCluster(body) = body else { panic!("{body:?}") };
        let brokers = body.brokers.iter().map(|b| (b.broker_id, b.host.to_string(), b.port)).collect();
        (could, brokers, body.controller_id)
    }

    #[test]
    fn a_broker_is_missing_in_a_cluster_that_is_described() {
        let (one, two) = ((1, "b1".to_owned(), 9092), (2, "b2".to_owned(), 9092));
        let missing = |id, controller| after(&ReplyFault::BrokerMissing(id), cluster(controller));
        assert_eq!(missing(None, 1), (true, vec![one.clone()], 1), "the last");
        assert_eq!(missing(Some(1), 2), (true, vec![two.clone()], 2));
        assert_eq!(missing(Some(2), 2), (true, vec![one.clone()], -1));
        assert_eq!(missing(Some(3), 2), (false, vec![one, two], 2));
        assert!(!ReplyFault::BrokerMissing(None).whole(&mut DescribeClusterResponse::default().into()));
    }

    #[test]
    fn every_broker_that_is_named_is_elsewhere() {
        let fault = ReplyFault::WrongAddress("nowhere".into(), 1);
        let moved = |id: i32| (id, "nowhere".to_owned(), 1);
        assert_eq!(after(&fault, cluster(1)), (true, vec![moved(1), moved(2)], 1));
        let found = |host: &str, error_code, inner: &[(&str, i16)]| {
            let coordinator = |(host, error_code): &(&str, i16)| Coordinator {
                host: (*host).into(),
                port: 9092,
                error_code: *error_code,
                ..Default::default()
            };
            let coordinators = inner.iter().map(coordinator).collect();
            let body = FindCoordinatorResponse {
                host: host.into(),
                port: 9092,
                error_code,
                coordinators,
                ..Default::default()
            };
            let mut body = ResponseBody::from(body);
            let could = fault.whole(&mut body);
            let ResponseBody::FindCoordinator(body) = body else { panic!("{body:?}") };
            let inner: Vec<_> = body.coordinators.iter().map(|c| (c.host.to_string(), c.port)).collect();
            (could, body.host.to_string(), body.port, inner)
        };
        let at = |host: &str, port| (host.to_owned(), port);
        assert_eq!(found("b1", 0, &[]), (true, "nowhere".to_owned(), 1, vec![]));
        assert_eq!(found("b1", 15, &[]), (false, "b1".to_owned(), 9092, vec![]));
        assert_eq!(found("", 0, &[]), (false, String::new(), 9092, vec![]));
        assert_eq!(
            found("", 0, &[("b1", 0), ("b2", 15)]),
            (true, String::new(), 9092, vec![at("nowhere", 1), at("b2", 9092)])
        );
    }

    #[test]
    fn the_next_broker_of_the_cluster_leads() {
        let leads = |leader_id: i32, brokers: &[i32]| {
            let mut partition = MetadataResponsePartition { leader_id, ..Default::default() };
            ReplyFault::LeaderMoves.led(&mut partition, brokers);
            partition.leader_id
        };
        assert_eq!([leads(1, &[1, 2, 3]), leads(2, &[1, 2, 3]), leads(3, &[1, 2, 3])], [2, 3, 1]);
        assert_eq!((leads(1, &[1]), leads(1, &[])), (2, 2));
    }

    #[test]
    fn what_is_as_long_as_it_may_be_is_not_cut() {
        let cut = |bytes| {
            let records = Payload::Bytes(Bytes::from_static(b"12345"));
            let mut partition = FetchPartitionData { records, ..Default::default() };
            (ReplyFault::TruncateFetch(bytes).fetched(&mut partition), partition.records.len())
        };
        assert_eq!((cut(5), cut(4), cut(0)), ((false, 5), (true, 4), (true, 0)));
    }
}
