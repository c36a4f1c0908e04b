//! What the admin address shows of the other rooms, in its own shapes.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::admin::collect::{GroupPosition, LagSource, PartitionPosition};
use crate::admin::memory::{MemorySource, MemoryStatus};
use crate::admin::{SessionStatus, SessionsPage, SessionsView};
use crate::broker::Broker;
use crate::broker::topic::Topic;
use crate::gateway::Gateway;
use crate::gateway::budget::Budget;
use crate::gateway::registry::{Registry, SessionInfo};
use crate::wire::Str;

/// The gateway's sessions.
pub struct Sessions(pub Arc<Registry>);

impl SessionsView for Sessions {
    fn page(&self, after: u64, limit: usize) -> SessionsPage {
        let sessions: Vec<SessionStatus> =
            self.0.page(after, limit).iter().map(|session| status(session)).collect();
        let next = sessions.last().filter(|_| sessions.len() == limit).map(|last| last.id);
        SessionsPage { total: self.0.len(), sessions, next }
    }
}

fn status(session: &SessionInfo) -> SessionStatus {
    let who = session.who();
    let count = |n: &std::sync::atomic::AtomicU64| n.load(Ordering::Relaxed);
    SessionStatus {
        id: session.id,
        listener: session.listener.to_string(),
        remote_address: session.remote,
        principal: who.principal.to_string(),
        client_id: who.client_id.map(|id| id.to_string()),
        client_software: who.client_software,
        state: who.state.to_owned(),
        age_ms: millis(session.since.elapsed()),
        requests: count(&session.requests),
        in_flight: count(&session.in_flight),
        bytes_in: count(&session.bytes_in),
        bytes_out: count(&session.bytes_out),
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// The gateway's budgets of memory.
pub struct Memory(pub Arc<Gateway>);

impl MemorySource for Memory {
    fn memory(&self) -> Vec<MemoryStatus> {
        let status = |memory, budget: &Budget| MemoryStatus {
            memory,
            taken: budget.taken(),
            limit: budget.total(),
            waits: budget.waits(),
            refusals: budget.refusals(),
        };
        vec![status("request", &self.0.request_memory), status("response", &self.0.held)]
    }
}

/// What one scrape looks at, at most. What is beyond is missing from its answer.
const MAX_GROUPS: usize = 100_000;
const MAX_OFFSETS: usize = 500_000;

/// The broker's partitions, and how far its groups are.
pub struct Lag(pub Arc<Broker>);

impl LagSource for Lag {
    fn groups(&self) -> Vec<GroupPosition> {
        // By topic: many groups read the same few.
        let mut watermarks: HashMap<Str, Option<Arc<Topic>>> = HashMap::new();
        let mut positions = Vec::new();
        for group in self.0.groups().view(MAX_GROUPS, MAX_OFFSETS) {
            let name: Arc<str> = Arc::from(&*group.group_id);
            for committed in group.offsets {
                let topic = watermarks
                    .entry(committed.topic.clone())
                    .or_insert_with(|| self.0.catalogue().topic(&committed.topic));
                let partition = topic.as_ref().and_then(|topic| topic.partition(committed.partition));
                // A commit for a partition that is gone is behind nothing.
                let Some(partition) = partition else { continue };
                if partition.log().offline().is_some() {
                    continue;
                }
                positions.push(GroupPosition {
                    group: name.clone(),
                    topic: Arc::from(&*committed.topic),
                    partition: committed.partition,
                    committed: committed.offset,
                    high_watermark: partition.log().high_watermark(),
                });
            }
        }
        positions
    }

    fn partitions(&self) -> Vec<PartitionPosition> {
        let mut positions = Vec::new();
        for topic in self.0.catalogue().topics() {
            let name: Arc<str> = Arc::from(&**topic.name());
            for partition in topic.partitions().iter() {
                positions.push(PartitionPosition {
                    topic: name.clone(),
                    partition: partition.index(),
                    log_start_offset: partition.log().log_start_offset(),
                    high_watermark: partition.log().high_watermark(),
                    offline: partition.log().offline().is_some(),
                });
            }
        }
        positions
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::{BrokerConfig, Context, Reply};
    use crate::storage::files::SimFiles;
    use crate::storage::{Storage, StorageConfig};
    use crate::wire::api::{create_topics, offset_commit, produce};
    use crate::wire::record::{BatchBuilder, BatchHeader, Compressor, Headers};
    use crate::wire::{ErrorCode, Payload, Request, RequestBody, ResponseBody};

    async fn ask(broker: &Arc<Broker>, version: i16, body: impl Into<RequestBody>) -> ResponseBody {
        let cx = Context {
            principal: Str::from_static("User:ANONYMOUS"),
            client_id: None,
            client_host: [127, 0, 0, 1].into(),
            session: 1,
            listener: Str::from_static("default"),
            advertised_host: Str::from_static("localhost"),
            advertised_port: 9092,
        };
        let request = Request::new(version, 1, None, body.into()).unwrap();
        match broker.handle(&cx, request) {
            Reply::Now(answer) => answer.unwrap().body,
            Reply::Later { response, .. } => response.await.unwrap().body,
            Reply::Metered { .. } => panic!("nobody has a quota"),
            Reply::Close => panic!("closed"),
        }
    }

    fn three_records() -> Payload {
        let mut compressor = Compressor::new();
        let mut batch = BatchBuilder::new(BatchHeader::default(), &mut compressor);
        for n in 0..3 {
            batch.append(1_700_000_000_000 + n, None, Some(b"v"), Headers::default()).unwrap();
        }
        Payload::Bytes(batch.finish().unwrap())
    }

    async fn commit(broker: &Arc<Broker>, topic: &Str, committed_offset: i64) {
        let request = || offset_commit::Request {
            group_id: Str::from_static("g"),
            topics: vec![offset_commit::OffsetCommitRequestTopic {
                name: topic.clone(),
                partitions: vec![offset_commit::OffsetCommitRequestPartition {
                    partition_index: 0,
                    committed_offset,
                    ..Default::default()
                }],
                ..Default::default()
            }],
            ..Default::default()
        };
        loop {
            let ResponseBody::OffsetCommit(answer) = ask(broker, 8, request()).await else { panic!() };
            match ErrorCode(answer.topics[0].partitions[0].error_code) {
                ErrorCode::NONE => return,
                // The offsets topic is made when it is first needed.
                ErrorCode::COORDINATOR_LOAD_IN_PROGRESS | ErrorCode::COORDINATOR_NOT_AVAILABLE => {
                    tokio::task::yield_now().await;
                }
                other => panic!("{other:?}"),
            }
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn lag_is_the_broker_s_high_watermark_less_the_group_s_commit() {
        let config = StorageConfig { committers: 1, ..StorageConfig::default() };
        let storage = Storage::open(Arc::new(SimFiles::new()), "/data", config).unwrap();
        let broker = Broker::open(BrokerConfig::default(), storage).await.unwrap();
        let lag = Lag(broker.clone());
        assert_eq!((lag.groups(), lag.partitions()), (vec![], vec![]));

        let topic = Str::from_static("orders");
        let new = create_topics::CreatableTopic {
            name: topic.clone(),
            num_partitions: 1,
            replication_factor: -1,
            ..Default::default()
        };
        ask(&broker, 7, create_topics::Request { topics: vec![new], ..Default::default() }).await;
        let data = produce::TopicProduceData {
            name: topic.clone(),
            partition_data: vec![produce::PartitionProduceData {
                index: 0,
                records: three_records(),
                ..Default::default()
            }],
            ..Default::default()
        };
        let request =
            produce::Request { acks: -1, timeout_ms: 30_000, topic_data: vec![data], ..Default::default() };
        ask(&broker, 9, request).await;
        commit(&broker, &topic, 1).await;

        let position = GroupPosition {
            group: "g".into(),
            topic: "orders".into(),
            partition: 0,
            committed: 1,
            high_watermark: 3,
        };
        assert_eq!(lag.groups(), [position]);
        let partitions = lag.partitions();
        let orders = partitions.iter().find(|p| &*p.topic == "orders").unwrap();
        assert_eq!((orders.log_start_offset, orders.high_watermark), (0, 3));
    }
}
