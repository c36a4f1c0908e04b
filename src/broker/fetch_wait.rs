//! Reads what a fetch asks for, and waits for more when it is less than the fetch wants: told of news by the logs,
//! never looking again for nothing.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, watch};

use super::Clock;
use super::error::storage_code;
use super::fetch_session::{Cached, News};
use super::partition::Partition;
use crate::storage::LogRead;
use crate::wire::ErrorCode;

/// What bounds one fetch.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub min_bytes: usize,
    pub max_bytes: usize,
    pub max_wait: Duration,
}

/// One partition to read.
#[derive(Debug)]
pub(super) struct Want {
    pub cached: Cached,
    /// Its place in the session it belongs to.
    pub place: u64,
}

impl Want {
    pub fn new(cached: Cached, place: u64) -> Self {
        Want { cached, place }
    }

    /// The partition, unless its topic is gone.
    fn partition(&self) -> Option<&Arc<Partition>> {
        let (topic, partition) = self.cached.found.as_ref()?;
        (!topic.is_deleted()).then_some(partition)
    }
}

/// What a partition has to say.
#[derive(Debug)]
pub(super) enum Outcome {
    Read(LogRead),
    /// No such topic or partition (any more).
    Unknown,
    Failed(ErrorCode),
    /// The client's log parted from ours in or before `epoch`, which ended at `end_offset`.
    Diverging {
        epoch: i32,
        end_offset: i64,
        high_watermark: i64,
        log_start_offset: i64,
    },
}

impl Outcome {
    /// Bytes of records.
    pub fn len(&self) -> usize {
        match self {
            Outcome::Read(read) => read.total_len,
            _ => 0,
        }
    }

    /// There is more to be had than fitted: no need to wait for it.
    fn is_full(&self) -> bool {
        matches!(self, Outcome::Read(read) if read.next_offset < read.high_watermark)
    }

    /// Nothing more will come: the client must hear of it now.
    fn is_final(&self) -> bool {
        !matches!(self, Outcome::Read(_))
    }

    pub fn news(&self) -> News {
        let quiet = News {
            failed: false,
            has_records: false,
            diverging: false,
            high_watermark: -1,
            log_start_offset: -1,
        };
        match self {
            Outcome::Read(read) => News {
                has_records: read.total_len > 0,
                high_watermark: read.high_watermark,
                log_start_offset: read.log_start_offset,
                ..quiet
            },
            Outcome::Unknown | Outcome::Failed(_) => News { failed: true, ..quiet },
            Outcome::Diverging { high_watermark, log_start_offset, .. } => News {
                diverging: true,
                high_watermark: *high_watermark,
                log_start_offset: *log_start_offset,
                ..quiet
            },
        }
    }
}

/// Reads all partitions in their order; waits until there is enough, or something to report, or time is up, or the broker is
/// closing.
pub(super) async fn gather(
    clock: &Clock,
    closing: &watch::Sender<bool>,
    wants: &[Want],
    limits: Limits,
) -> Vec<Outcome> {
    let mut outcomes = Vec::with_capacity(wants.len());
    let mut total = 0;
    for want in wants {
        let outcome = read(want, limits.max_bytes.saturating_sub(total), total == 0).await;
        total += outcome.len();
        outcomes.push(outcome);
    }
    let enough = |outcomes: &[Outcome], total: usize| {
        total >= limits.min_bytes
            || wants.is_empty()
            || outcomes.iter().any(|outcome| outcome.is_final() || outcome.is_full())
    };
    if limits.max_wait.is_zero() || enough(&outcomes, total) {
        return outcomes;
    }
    let deadline = clock.elapsed().saturating_add(limits.max_wait);
    let notify = Arc::new(Notify::new());
    // What comes between the read above and here leaves no notice, but the loop looks before it waits.
    let _subscriptions: Vec<_> = wants
        .iter()
        .filter_map(Want::partition)
        .map(|partition| partition.log().subscribe(&notify))
        .collect();
    let mut closing = closing.subscribe();
    let mut time_up = std::pin::pin!(clock.sleep_until(deadline));
    loop {
        for (want, outcome) in wants.iter().zip(&mut outcomes) {
            if is_stale(want, outcome) {
                total -= outcome.len();
                *outcome = read(want, limits.max_bytes.saturating_sub(total), total == 0).await;
                total += outcome.len();
            }
        }
        if enough(&outcomes, total) {
            return outcomes;
        }
        tokio::select! {
            () = notify.notified() => {}
            () = &mut time_up => return outcomes,
            _ = closing.wait_for(|closing| *closing) => return outcomes,
        }
    }
}

/// Whether reading again would give something else.
fn is_stale(want: &Want, outcome: &Outcome) -> bool {
    let Outcome::Read(read) = outcome else { return false };
    let Some(partition) = want.partition() else { return true };
    let log = partition.log();
    log.high_watermark() != read.high_watermark
        || log.log_start_offset() != read.log_start_offset
        || log.offline().is_some()
}

async fn read(want: &Want, max_bytes: usize, at_least_one_batch: bool) -> Outcome {
    let Some(partition) = want.partition() else { return Outcome::Unknown };
    let ask = &want.cached.ask;
    let log = partition.log();
    // First: a log that could not be opened knows no epochs, and would send the client back to the start.
    if let Some(error) = log.offline() {
        return Outcome::Failed(storage_code(&error));
    }
    if let Err(code) = partition.check_leader_epoch(ask.current_leader_epoch) {
        return Outcome::Failed(code);
    }
    let (high_watermark, log_start_offset) = (log.high_watermark(), log.log_start_offset());
    if ask.last_fetched_epoch >= 0 {
        let (epoch, end_offset) = partition.epoch_end(ask.last_fetched_epoch);
        if epoch < 0 || end_offset < 0 {
            return Outcome::Failed(ErrorCode::OFFSET_OUT_OF_RANGE);
        }
        if epoch < ask.last_fetched_epoch || end_offset < ask.fetch_offset {
            return Outcome::Diverging { epoch, end_offset, high_watermark, log_start_offset };
        }
    }
    // At the end, where consumers spend their time: nothing to ask the log for.
    if (high_watermark..=log.log_end_offset()).contains(&ask.fetch_offset) {
        let next_offset = ask.fetch_offset;
        return Outcome::Read(LogRead {
            high_watermark,
            log_start_offset,
            next_offset,
            ..LogRead::default()
        });
    }
    let max_bytes = max_bytes.min(usize::try_from(ask.max_bytes).unwrap_or(0));
    let mut read = match log.fetch(ask.fetch_offset, max_bytes, at_least_one_batch).await {
        Ok(read) => read,
        Err(error) => {
            return match storage_code(&error) {
                ErrorCode::UNKNOWN_TOPIC_OR_PARTITION => Outcome::Unknown,
                code => Outcome::Failed(code),
            };
        }
    };
    // A read ends with its segment, or where the tail in memory begins. Going on is worth it while there is much room.
    while read.total_len > 0 && read.total_len < max_bytes / 2 && read.next_offset < read.high_watermark {
        let Ok(more) = log.fetch(read.next_offset, max_bytes - read.total_len, false).await else { break };
        if more.total_len == 0 {
            break;
        }
        read.total_len += more.total_len;
        read.next_offset = more.next_offset;
        read.slices.extend(more.slices);
    }
    Outcome::Read(read)
}
