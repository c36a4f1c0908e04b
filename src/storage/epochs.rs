//! Which leader epoch each stretch of a log was written in: enough to answer OffsetForLeaderEpoch (KIP-101).

/// The first offset written in an epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct EpochStart {
    pub leader_epoch: i32,
    pub start_offset: i64,
}

/// Where an epoch ends; both -1 when that is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EpochEnd {
    /// The epoch asked for, or the largest one before it that the log knows.
    pub leader_epoch: i32,
    /// The first offset written in a later epoch, or the log end offset.
    pub end_offset: i64,
}

impl EpochEnd {
    const UNKNOWN: EpochEnd = EpochEnd { leader_epoch: -1, end_offset: -1 };
}

/// Epochs with their starts, both ascending.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Epochs(Vec<EpochStart>);

impl Epochs {
    /// Takes what was stored; anything that does not ascend is left out.
    pub fn restore(starts: impl IntoIterator<Item = EpochStart>) -> Self {
        let mut epochs = Epochs::default();
        for start in starts {
            epochs.assign(start.leader_epoch, start.start_offset);
        }
        epochs
    }

    pub fn latest(&self) -> Option<i32> {
        self.0.last().map(|last| last.leader_epoch)
    }

    /// A batch is written at `offset` in this epoch. Epochs only grow; an older one changes nothing.
    pub fn assign(&mut self, leader_epoch: i32, offset: i64) {
        let grows =
            self.0.last().is_none_or(|last| leader_epoch > last.leader_epoch && offset >= last.start_offset);
        if leader_epoch >= 0 && grows {
            // An epoch in which nothing was written leaves no trace.
            while self.0.last().is_some_and(|last| last.start_offset >= offset) {
                self.0.pop();
            }
            self.0.push(EpochStart { leader_epoch, start_offset: offset });
        }
    }

    /// What lies below the log start is gone; the epoch that the log start lies in starts there.
    pub fn cut_start(&mut self, log_start_offset: i64) {
        let later = self.0.partition_point(|start| start.start_offset <= log_start_offset);
        self.0.drain(..later.saturating_sub(1));
        if let Some(first) = self.0.first_mut() {
            first.start_offset = first.start_offset.max(log_start_offset);
        }
    }

    /// Only what was known when the log ended at `end_offset`.
    pub fn up_to(&self, end_offset: i64) -> Vec<EpochStart> {
        self.0.iter().copied().filter(|start| start.start_offset < end_offset).collect()
    }

    /// The epoch that the record at `offset` was written in, as far as it is known.
    pub fn at(&self, offset: i64) -> Option<i32> {
        let later = self.0.partition_point(|start| start.start_offset <= offset);
        later.checked_sub(1).and_then(|at| self.0.get(at)).map(|start| start.leader_epoch)
    }

    pub fn end_offset(&self, leader_epoch: i32, log_end_offset: i64) -> EpochEnd {
        let Some(latest) = self.latest().filter(|_| leader_epoch != -1) else { return EpochEnd::UNKNOWN };
        if leader_epoch == latest {
            return EpochEnd { leader_epoch, end_offset: log_end_offset };
        }
        let later = self.0.partition_point(|start| start.leader_epoch <= leader_epoch);
        let Some(next) = self.0.get(later) else { return EpochEnd::UNKNOWN };
        let known = later.checked_sub(1).and_then(|before| self.0.get(before));
        EpochEnd {
            leader_epoch: known.map_or(leader_epoch, |known| known.leader_epoch),
            end_offset: next.start_offset,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn epochs(starts: &[(i32, i64)]) -> Epochs {
        Epochs::restore(starts.iter().map(|(leader_epoch, start_offset)| EpochStart {
            leader_epoch: *leader_epoch,
            start_offset: *start_offset,
        }))
    }

    fn end(leader_epoch: i32, end_offset: i64) -> EpochEnd {
        EpochEnd { leader_epoch, end_offset }
    }

    #[test]
    fn answers_as_offset_for_leader_epoch_does() {
        let known = epochs(&[(2, 10), (5, 30), (6, 40)]);
        assert_eq!(known.end_offset(6, 55), end(6, 55));
        assert_eq!(known.end_offset(7, 55), EpochEnd::UNKNOWN);
        assert_eq!(known.end_offset(5, 55), end(5, 40));
        assert_eq!(known.end_offset(4, 55), end(2, 30));
        assert_eq!(known.end_offset(1, 55), end(1, 10));
        assert_eq!(known.end_offset(-1, 55), EpochEnd::UNKNOWN);
        assert_eq!(Epochs::default().end_offset(0, 0), EpochEnd::UNKNOWN);
    }

    #[test]
    fn epochs_only_grow_and_empty_ones_leave_no_trace() {
        let mut known = epochs(&[(1, 0), (1, 5), (0, 6), (3, 8), (4, 8)]);
        assert_eq!(known, epochs(&[(1, 0), (4, 8)]));
        known.assign(-1, 20);
        assert_eq!(known.latest(), Some(4));
        assert_eq!(known.up_to(8), epochs(&[(1, 0)]).0);
    }

    #[test]
    fn the_log_start_cuts_what_lies_below() {
        let mut known = epochs(&[(1, 0), (2, 10), (3, 20)]);
        known.cut_start(10);
        assert_eq!(known, epochs(&[(2, 10), (3, 20)]));
        known.cut_start(15);
        assert_eq!(known, epochs(&[(2, 15), (3, 20)]));
        known.cut_start(100);
        assert_eq!(known, epochs(&[(3, 100)]));
    }
}
