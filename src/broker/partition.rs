//! One partition of a topic: its log, and what must be decided in the order of its appends.

use std::sync::Arc;

use crate::storage::Log;

#[derive(Debug)]
pub struct Partition {
    index: i32,
    leader_epoch: i32,
    log: Arc<Log>,
}

impl Partition {
    pub(super) fn new(index: i32, leader_epoch: i32, log: Arc<Log>) -> Self {
        Partition { index, leader_epoch, log }
    }

    pub fn index(&self) -> i32 {
        self.index
    }

    /// Ours, as the only replica: it grows by one with every start of the broker.
    pub fn leader_epoch(&self) -> i32 {
        self.leader_epoch
    }

    pub fn log(&self) -> &Arc<Log> {
        &self.log
    }
}
