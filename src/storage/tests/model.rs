//! Random doings against the simplest thing that could be right: a list of batches.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use proptest::prelude::*;

use super::super::files::Crash;
use super::super::testing::{Bench, batch};
use super::super::*;

#[derive(Debug, Clone)]
enum Doing {
    Append { batches: Vec<(i32, usize)>, timestamp: i64, epoch_step: bool },
    Commit,
    Read { from: u8, max_bytes: usize, at_least_one: bool },
    Find { timestamp: i64 },
    DeleteRecords { offset: u8 },
    Retain { bytes: i64, ms: i64 },
    Configure { segment_bytes: u32, index_interval_bytes: u32 },
    Restart,
    Crash { seed: u64 },
}

fn doing() -> impl Strategy<Value = Doing> {
    let batches = prop::collection::vec((1..5_i32, 0..900_usize), 1..4);
    prop_oneof![
        10 => (batches, 0..50_i64, prop::bool::weighted(0.1))
            .prop_map(|(batches, timestamp, epoch_step)| Doing::Append { batches, timestamp, epoch_step }),
        6 => Just(Doing::Commit),
        8 => (any::<u8>(), 0..4000_usize, any::<bool>())
            .prop_map(|(from, max_bytes, at_least_one)| Doing::Read { from, max_bytes, at_least_one }),
        3 => (0..60_i64).prop_map(|timestamp| Doing::Find { timestamp }),
        1 => any::<u8>().prop_map(|offset| Doing::DeleteRecords { offset }),
        1 => (-1..5000_i64, -1..60_i64).prop_map(|(bytes, ms)| Doing::Retain { bytes, ms }),
        1 => (300..3000_u32, 1..500_u32).prop_map(|(segment_bytes, index_interval_bytes)| {
            Doing::Configure { segment_bytes, index_interval_bytes }
        }),
        1 => Just(Doing::Restart),
        1 => any::<u64>().prop_map(|seed| Doing::Crash { seed }),
    ]
}

#[derive(Default)]
struct Model {
    /// Base offset, offset behind, timestamp, epoch, size.
    batches: Vec<(i64, i64, i64, i32, usize)>,
    start: i64,
    committed: i64,
    epoch: i32,
}

impl Model {
    fn end(&self) -> i64 {
        self.batches.last().map_or(0, |batch| batch.1).max(self.start)
    }

    fn visible(&self) -> impl Iterator<Item = &(i64, i64, i64, i32, usize)> {
        self.batches.iter().filter(|batch| batch.1 > self.start && batch.1 <= self.committed)
    }
}

struct Play {
    bench: Bench,
    config: LogConfig,
    storage: Arc<Storage>,
    log: Arc<Log>,
    model: Model,
}

impl Play {
    fn new(flush: FlushMode, tail_cache_bytes: usize) -> Self {
        let mut bench = Bench::new();
        bench.config.flush = flush;
        bench.config.tail_cache_bytes = tail_cache_bytes;
        bench.config.checkpoint_bytes = 2000;
        let config = LogConfig { segment_bytes: 1000, index_interval_bytes: 100, ..LogConfig::default() };
        let config = LogConfig { retention_ms: -1, ..config };
        let storage = bench.open();
        let log = storage.create_log("t-0", config.clone()).unwrap();
        Play { bench, config, storage, log, model: Model::default() }
    }

    fn reopen(&mut self) {
        self.storage = self.bench.open();
        self.log = self.storage.open_log("t-0", self.config.clone()).unwrap();
    }

    fn perform(&mut self, doing: &Doing) {
        match doing {
            Doing::Append { batches, timestamp, epoch_step } => self.append(batches, *timestamp, *epoch_step),
            Doing::Commit => self.commit(),
            Doing::Read { from, max_bytes, at_least_one } => {
                self.read(i64::from(*from), *max_bytes, *at_least_one)
            }
            Doing::Find { timestamp } => {
                let due = self.model.visible().find(|batch| batch.2 >= *timestamp);
                let due = due.map(|batch| (batch.2, batch.0.max(self.model.start), batch.3));
                let found = self.log.offset_for_timestamp(*timestamp).unwrap();
                assert_eq!(found.map(|found| (found.timestamp, found.offset, found.leader_epoch)), due);
            }
            Doing::DeleteRecords { offset } => {
                let offset = i64::from(*offset) % (self.model.committed + 1);
                let deleted = self.log.delete_records_before(offset);
                self.commit();
                self.model.start = self.model.start.max(offset);
                assert_eq!(deleted.wait().unwrap(), self.model.start);
            }
            Doing::Retain { bytes, ms } => {
                self.commit();
                self.log.set_config(LogConfig {
                    retention_bytes: *bytes,
                    retention_ms: *ms,
                    ..self.config.clone()
                });
                self.bench.now.store(60, Ordering::Relaxed);
                self.storage.maintain();
                self.commit();
                let start = self.log.log_start_offset();
                assert!((self.model.start..=self.model.end()).contains(&start));
                // Enough is left, and nothing that should have gone but the segment of what is left.
                let left: usize = self.model.batches.iter().filter(|b| b.0 >= start).map(|b| b.4).sum();
                let gone = start > self.model.start;
                if gone && *ms < 0 {
                    assert!(left as i64 >= *bytes, "{left} bytes are left of {bytes}");
                }
                self.model.start = start;
                self.log.set_config(self.config.clone());
            }
            Doing::Configure { segment_bytes, index_interval_bytes } => {
                self.config.segment_bytes = *segment_bytes;
                self.config.index_interval_bytes = *index_interval_bytes;
                self.log.set_config(self.config.clone());
            }
            Doing::Restart => {
                self.storage.close().unwrap();
                self.model.committed = self.model.end();
                self.reopen();
            }
            Doing::Crash { seed } => {
                self.bench.files.crash(Crash::Power { seed: *seed });
                self.reopen();
                let (start, end) = (self.log.log_start_offset(), self.log.log_end_offset());
                assert!(end <= self.model.end());
                if start != self.model.start {
                    // Before anything was synced a power loss may take the first segment and leave the second.
                    let synced =
                        self.bench.config.flush == FlushMode::GroupCommit && self.model.committed > 0;
                    assert!(!synced && start > self.model.start);
                    assert!(self.model.batches.iter().any(|batch| batch.0 == start));
                    self.model.start = start;
                    self.model.batches.retain(|batch| batch.0 >= start);
                }
                if self.bench.config.flush == FlushMode::GroupCommit {
                    assert!(end >= self.model.committed);
                }
                assert!(end == self.model.start || self.model.batches.iter().any(|batch| batch.1 == end));
                self.model.batches.retain(|batch| batch.1 <= end);
                self.model.committed = end;
            }
        }
        self.check();
    }

    fn append(&mut self, batches: &[(i32, usize)], timestamp: i64, epoch_step: bool) {
        self.model.epoch += i32::from(epoch_step);
        let all: Vec<_> = batches.iter().map(|(count, len)| batch(0, *count, *len, timestamp)).collect();
        let base = self.model.end();
        let appended =
            self.log.append(AppendBatches::parse(all.concat().into()).unwrap(), self.model.epoch).unwrap();
        assert_eq!((appended.base_offset, appended.log_start_offset), (base, self.model.start));
        for ((count, _), bytes) in batches.iter().zip(all) {
            let base = self.model.end();
            let end = base + i64::from(*count);
            self.model.batches.push((base, end, timestamp, self.model.epoch, bytes.len()));
        }
        assert_eq!(appended.last_offset + 1, self.model.end());
    }

    fn commit(&mut self) {
        self.storage.drive();
        self.model.committed = self.model.end();
    }

    fn read(&self, from: i64, max_bytes: usize, at_least_one: bool) {
        let model = &self.model;
        let read = match self.log.read(from, max_bytes, at_least_one) {
            Ok(read) => read,
            Err(StorageError::OffsetOutOfRange { .. }) => {
                assert!(from < model.start || from > model.end());
                return;
            }
            Err(error) => panic!("{error}"),
        };
        assert!((model.start..=model.end()).contains(&from));
        let bytes = read.to_bytes().unwrap();
        let mut due = model.visible().skip_while(|batch| batch.1 <= from);
        let mut at = from;
        for found in crate::wire::record::batches(&bytes) {
            let found = found.unwrap();
            let (base, end, timestamp, epoch, size) = *due.next().expect("no more than there is");
            assert_eq!((found.header.base_offset, found.header.next_offset()), (base, end));
            assert_eq!((found.header.max_timestamp, found.header.partition_leader_epoch), (timestamp, epoch));
            assert_eq!(found.bytes.len(), size);
            at = end;
        }
        assert_eq!(read.next_offset, at);
        assert!(
            bytes.len() <= max_bytes || (at_least_one && model.batches.iter().any(|b| b.4 == bytes.len()))
        );
        if bytes.is_empty() {
            let next = due.next();
            assert!(
                next.is_none_or(|batch| !at_least_one && batch.4 > max_bytes),
                "{next:?} could have been read"
            );
        }
    }

    fn check(&self) {
        let (log, model) = (&self.log, &self.model);
        assert_eq!(log.offline().map(|error| error.to_string()), None);
        assert_eq!((log.log_start_offset(), log.log_end_offset()), (model.start, model.end()));
        assert_eq!(log.high_watermark(), model.committed);
        assert!(self.storage.open_files() <= self.bench.config.max_open_files);
        let max = model.batches.iter().filter(|batch| batch.1 <= model.committed).map(|batch| batch.2).max();
        if let Some(found) = log.max_timestamp().unwrap() {
            assert!(max.is_some_and(|max| found.timestamp <= max));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    #[test]
    fn a_log_does_what_a_list_of_batches_does(
        doings in prop::collection::vec(doing(), 1..60),
        tail in prop_oneof![Just(0), Just(3000), Just(1 << 20)],
    ) {
        let mut play = Play::new(FlushMode::GroupCommit, tail);
        doings.iter().for_each(|doing| play.perform(doing));
    }

    #[test]
    fn so_it_does_without_group_commit(doings in prop::collection::vec(doing(), 1..60)) {
        let mut play = Play::new(FlushMode::Os, 3000);
        doings.iter().for_each(|doing| play.perform(doing));
    }
}
