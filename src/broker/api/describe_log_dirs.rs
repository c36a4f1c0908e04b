//! DescribeLogDirs 1 to 5: the one data folder, how much of it each partition takes, and the space of its volume. Every log is
//! where it should be, so none is a future one; a log that is offline has no lag to tell (-1).

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use crate::broker::broker::{Broker, blocking};
use crate::broker::{Context, Reply, ReplyTo};
use crate::wire::Str;
use crate::wire::api::describe_log_dirs::{
    DescribeLogDirsPartition, DescribeLogDirsResult, DescribeLogDirsTopic, Request, Response,
};

pub(in crate::broker) fn handle(broker: &Arc<Broker>, _cx: &Context, to: ReplyTo, request: Request) -> Reply {
    let broker = Arc::clone(broker);
    Reply::later(async move {
        let storage = Arc::clone(broker.catalogue.storage());
        // It asks the file system.
        let space = blocking(move || storage.files().space(storage.dir())).await;
        let (total_bytes, usable_bytes) = match space {
            Ok(Ok(Some((total, usable)))) => (bytes(total), bytes(usable)),
            _ => (-1, -1),
        };
        let result = DescribeLogDirsResult {
            log_dir: Str::from(broker.log_dir()),
            topics: topics(&broker, request),
            total_bytes,
            usable_bytes,
            ..Default::default()
        };
        to.response(Response { results: vec![result], ..Default::default() })
    })
}

fn topics(broker: &Broker, request: Request) -> Vec<DescribeLogDirsTopic> {
    let asked = request.topics.map(|topics| {
        let mut asked: HashMap<Str, HashSet<i32>> = HashMap::new();
        for topic in topics {
            asked.entry(topic.topic).or_default().extend(topic.partitions);
        }
        asked
    });
    let known: BTreeMap<String, _> =
        broker.catalogue.topics().into_iter().map(|topic| (topic.name().to_string(), topic)).collect();
    let rows = known.into_values().filter_map(|topic| {
        let wanted = match &asked {
            None => None,
            Some(asked) => Some(asked.get(topic.name())?),
        };
        let partitions = topic.partitions();
        let partitions =
            partitions.iter().filter(|p| wanted.is_none_or(|wanted| wanted.contains(&p.index())));
        let partitions: Vec<_> = partitions
            .map(|partition| {
                let log = partition.log();
                let lag = (log.high_watermark() - log.log_end_offset()).max(0);
                DescribeLogDirsPartition {
                    partition_index: partition.index(),
                    partition_size: bytes(log.size_bytes()),
                    offset_lag: if log.offline().is_some() { -1 } else { lag },
                    ..Default::default()
                }
            })
            .collect();
        let name = topic.name().clone();
        (!partitions.is_empty()).then(|| DescribeLogDirsTopic { name, partitions, ..Default::default() })
    });
    rows.collect()
}

fn bytes(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}
