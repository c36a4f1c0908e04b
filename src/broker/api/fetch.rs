//! Fetch 4 to 18. Record data leaves as it lies in the log: slices of files or of the tail in memory, neither decoded nor
//! copied. Without transactions the last stable offset is the high watermark. `rack_id`, the fetcher's log start
//! offset and its high watermark only matter between replicas, of which there is one: replicas are refused.

use std::sync::Arc;
use std::time::Duration;

use crate::broker::broker::Broker;
use crate::broker::fetch_session::{
    Ask, Cached, FINAL_EPOCH, Found, INITIAL_EPOCH, Key, SharedSession, lock,
};
use crate::broker::fetch_wait::{Limits, Outcome, Want, gather};
use crate::broker::quota::{Metering, millis};
use crate::broker::{Context, Reply, ReplyTo};
use crate::wire::api::fetch::{
    EpochEndOffset, FetchPartitionData, FetchableTopicResponse, LeaderIdAndEpoch, NodeEndpoint, Request,
    Response,
};
use crate::wire::{ErrorCode, Payload, Str, Uuid};

const READ_COMMITTED: i8 = 1;

/// What the client has, or will have, of an incremental session.
enum Session {
    None,
    New,
    Known(SharedSession, i32),
}

/// What of the request shapes the answer.
#[derive(Clone, Copy)]
struct Asked {
    version: i16,
    by_id: bool,
    committed_only: bool,
}

/// Where this client finds us, for answers that say who leads.
struct Here {
    node_id: i32,
    host: Str,
    port: i32,
}

pub(in crate::broker) fn handle(broker: &Arc<Broker>, cx: &Context, to: ReplyTo, request: Request) -> Reply {
    let by_id = to.version >= 13;
    let metering = Metering::begin(&broker.quotas, cx);
    let mut limits = limits(broker, &request);
    if let Some(metering) = &metering {
        limits.max_bytes = limits.max_bytes.min(metering.most_bytes(&broker.quotas));
        limits.min_bytes = limits.min_bytes.min(limits.max_bytes);
    }
    let is_replica = request.replica_id >= 0 || request.replica_state.replica_id >= 0;
    let (session_id, epoch) = (request.session_id, request.session_epoch);
    let asked =
        Asked { version: to.version, by_id, committed_only: request.isolation_level == READ_COMMITTED };
    let (wants, session) = match plan(broker, by_id, request) {
        Ok(planned) => planned,
        Err(code) => return to.now(Response { error_code: code.0, ..Default::default() }),
    };
    tracing::trace!(session_id, epoch, partitions = wants.len(), "fetch");
    let here = Here { node_id: broker.node_id, host: cx.advertised_host.clone(), port: cx.advertised_port };
    let broker = Arc::clone(broker);
    let metering = metering.map(|metering| (metering.spent(), metering));
    Reply::later(async move {
        let outcomes = match is_replica {
            true => wants.iter().map(|_| Outcome::Failed(ErrorCode::NOT_LEADER_OR_FOLLOWER)).collect(),
            false => gather(&broker.clock, &broker.closing, &wants, limits).await,
        };
        let bytes = outcomes.iter().map(Outcome::len).sum();
        let throttle = metering
            .and_then(|(spent, metering)| metering.fetched(&broker.quotas, bytes, spent))
            .filter(|_| !is_replica);
        if let Some(throttle) = throttle {
            return to.response(Response { throttle_time_ms: millis(throttle), ..throttled(&session) });
        }
        to.response(respond(&broker, asked, session, wants, outcomes, &here))
    })
}

fn limits(broker: &Broker, request: &Request) -> Limits {
    let most = broker.settings().fetch_max_bytes;
    let size = |bytes: i32| usize::try_from(bytes.min(most)).unwrap_or(0);
    Limits {
        min_bytes: size(request.min_bytes),
        max_bytes: size(request.max_bytes),
        max_wait: Duration::from_millis(u64::try_from(request.max_wait_ms).unwrap_or(0)),
    }
}

/// Which partitions are to be served, and in which session.
fn plan(broker: &Broker, by_id: bool, request: Request) -> Result<(Vec<Want>, Session), ErrorCode> {
    let (session_id, epoch) = (request.session_id, request.session_epoch);
    let now = broker.clock.elapsed();
    let asked = request.topics.into_iter().flat_map(|topic| {
        let topic_found = find_topic(broker, by_id, &topic.topic, topic.topic_id);
        topic.partitions.into_iter().map(move |partition| {
            let key = Key { name: topic.topic.clone(), id: topic.topic_id, partition: partition.partition };
            let ask = Ask {
                fetch_offset: partition.fetch_offset,
                max_bytes: partition.partition_max_bytes,
                current_leader_epoch: partition.current_leader_epoch,
                last_fetched_epoch: partition.last_fetched_epoch,
            };
            let found = topic_found
                .as_ref()
                .and_then(|topic| Some((Arc::clone(topic), topic.partition(partition.partition)?)));
            Cached::new(key, ask, found)
        })
    });
    if epoch == INITIAL_EPOCH || epoch == FINAL_EPOCH {
        if session_id != 0 {
            broker.fetch_sessions.remove(session_id);
        }
        let session = if epoch == FINAL_EPOCH { Session::None } else { Session::New };
        return Ok((asked.map(|cached| Want::new(cached, 0)).collect(), session));
    }
    let forget = request.forgotten_topics_data.into_iter().flat_map(|topic| {
        let (name, id) = (topic.topic, topic.topic_id);
        topic.partitions.into_iter().map(move |partition| Key { name: name.clone(), id, partition })
    });
    let updated = broker.fetch_sessions.update(session_id, epoch, by_id, asked, forget, now)?;
    let Some(session) = updated else { return Ok((Vec::new(), Session::None)) };
    let mut guard = lock(&session);
    let expected = guard.epoch();
    let wants = guard
        .partitions()
        .map(|(place, cached)| {
            // What was not there, or is not any more, may have come into being since.
            if cached.found.as_ref().is_none_or(|(topic, _)| topic.is_deleted()) {
                cached.found = find(broker, by_id, &cached.key);
            }
            Want::new(cached.clone(), place)
        })
        .collect();
    drop(guard);
    Ok((wants, Session::Known(session, expected)))
}

fn find_topic(
    broker: &Broker,
    by_id: bool,
    name: &Str,
    id: Uuid,
) -> Option<Arc<crate::broker::topic::Topic>> {
    if by_id { broker.catalogue.topic_by_id(id) } else { broker.catalogue.topic(name) }
}

fn find(broker: &Broker, by_id: bool, key: &Key) -> Found {
    let topic = find_topic(broker, by_id, &key.name, key.id)?;
    let partition = topic.partition(key.partition)?;
    Some((topic, partition))
}

/// An answer without anything, to a client that used more than its quota: its session stays as it is.
fn throttled(session: &Session) -> Response {
    let mut response = Response::default();
    if let Session::Known(session, expected) = session {
        let session = lock(session);
        match session.epoch() == *expected {
            true => response.session_id = session.id(),
            false => response.error_code = ErrorCode::INVALID_FETCH_SESSION_EPOCH.0,
        }
    }
    response
}

fn respond(
    broker: &Broker,
    asked: Asked,
    session: Session,
    wants: Vec<Want>,
    outcomes: Vec<Outcome>,
    here: &Here,
) -> Response {
    let mut response = Response::default();
    let mut told = Vec::new();
    let mut known = match &session {
        Session::Known(session, expected) => {
            let session = lock(session);
            // Another request of this session came meanwhile; only the last one counts.
            if session.epoch() != *expected {
                return Response {
                    error_code: ErrorCode::INVALID_FETCH_SESSION_EPOCH.0,
                    ..Default::default()
                };
            }
            response.session_id = session.id();
            Some(session)
        }
        Session::None | Session::New => None,
    };
    for (want, outcome) in wants.into_iter().zip(outcomes) {
        let news = outcome.news();
        if known.as_mut().is_some_and(|session| !session.tell(want.place, news)) {
            continue;
        }
        let key = &want.cached.key;
        let is_unknown_id = asked.by_id && broker.catalogue.topic_by_id(key.id).is_none();
        let mut data = data(key.partition, outcome, is_unknown_id, asked.committed_only);
        if asked.version >= 16 && data.error_code == ErrorCode::FENCED_LEADER_EPOCH.0 {
            name_the_leader(&mut data, &want, here, &mut response.node_endpoints);
        }
        match response.responses.last_mut() {
            Some(topic) if topic.topic == key.name && topic.topic_id == key.id => topic.partitions.push(data),
            _ => response.responses.push(FetchableTopicResponse {
                topic: key.name.clone(),
                topic_id: key.id,
                partitions: vec![data],
                ..Default::default()
            }),
        }
        if matches!(session, Session::New) {
            told.push((want.cached, news));
        }
    }
    if matches!(session, Session::New) {
        response.session_id = broker.fetch_sessions.create(told, asked.by_id, broker.clock.elapsed());
    }
    response
}

fn data(
    partition_index: i32,
    outcome: Outcome,
    is_unknown_id: bool,
    committed_only: bool,
) -> FetchPartitionData {
    let mut data = FetchPartitionData {
        partition_index,
        high_watermark: -1,
        records: Payload::Bytes(bytes::Bytes::new()),
        ..Default::default()
    };
    match outcome {
        Outcome::Unknown => {
            let code = if is_unknown_id {
                ErrorCode::UNKNOWN_TOPIC_ID
            } else {
                ErrorCode::UNKNOWN_TOPIC_OR_PARTITION
            };
            data.error_code = code.0;
            data.aborted_transactions = Some(Vec::new());
        }
        Outcome::Failed(code) => data.error_code = code.0,
        Outcome::Diverging { epoch, end_offset, high_watermark, log_start_offset } => {
            data.diverging_epoch = EpochEndOffset { epoch, end_offset, ..Default::default() };
            data.high_watermark = high_watermark;
            data.last_stable_offset = high_watermark;
            data.log_start_offset = log_start_offset;
        }
        Outcome::Read(read) => {
            data.high_watermark = read.high_watermark;
            data.last_stable_offset = read.high_watermark;
            data.log_start_offset = read.log_start_offset;
            // Who asks for committed records only is told that none of them were aborted.
            data.aborted_transactions = committed_only.then(Vec::new);
            if read.total_len > 0 {
                data.records = Payload::from(read);
            }
        }
    }
    data
}

/// KIP-951: spares a client that is behind the Metadata request it would send next.
fn name_the_leader(
    data: &mut FetchPartitionData,
    want: &Want,
    here: &Here,
    endpoints: &mut Vec<NodeEndpoint>,
) {
    let Some((_, partition)) = &want.cached.found else { return };
    data.current_leader = LeaderIdAndEpoch {
        leader_id: here.node_id,
        leader_epoch: partition.leader_epoch(),
        ..Default::default()
    };
    if endpoints.is_empty() {
        endpoints.push(NodeEndpoint {
            node_id: here.node_id,
            host: here.host.clone(),
            port: here.port,
            ..Default::default()
        });
    }
}
