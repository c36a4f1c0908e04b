//! Faults of the embedded broker's disk: `slow_disk(time)`, `disk_full()`, `fsync_error()`, `crash_at(point)`. They strike
//! operations on the files of one partition's log, whoever they are done for; `evaluate::disk` decides which.
//!
//! What follows a full disk or a failed sync is what would follow a real one: the partition is offline, with Kafka's
//! storage error, until the process starts again. Removing the rule does not bring it back.

use crate::policy::random::Distribution;
use std::fmt;
use std::sync::atomic::{AtomicU8, Ordering};

/// What is done to a log's files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// A batch is written.
    Append,
    /// Written batches are made durable.
    Sync,
    /// Records are read that are not in the broker's memory.
    Read,
}

impl Operation {
    pub const ALL: [Operation; 3] = [Operation::Append, Operation::Sync, Operation::Read];

    pub fn word(self) -> &'static str {
        match self {
            Self::Append => "append",
            Self::Sync => "sync",
            Self::Read => "read",
        }
    }

    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|operation| operation.word() == word)
    }
}

/// A set of operations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Operations(u8);

impl Operations {
    pub const ALL: Self = Self(0b111);

    pub fn of(operations: &[Operation]) -> Self {
        Self(operations.iter().fold(0, |set, operation| set | 1 << *operation as u8))
    }

    pub fn contains(self, operation: Operation) -> bool {
        self.0 & (1 << operation as u8) != 0
    }

    /// Those of both; `None` without any.
    pub fn narrowed(self, other: Self) -> Option<Self> {
        Some(Self(self.0 & other.0)).filter(|both| both.0 != 0)
    }
}

impl fmt::Display for Operations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words: Vec<&str> =
            Operation::ALL.into_iter().filter(|op| self.contains(*op)).map(Operation::word).collect();
        f.write_str(&words.join(", "))
    }
}

/// The operations that any rule in force is about, for whoever does them.
#[derive(Debug, Default)]
pub struct Concerned(AtomicU8);

impl Concerned {
    pub fn has(&self, operation: Operation) -> bool {
        Operations(self.0.load(Ordering::Relaxed)).contains(operation)
    }

    pub(in crate::policy) fn set(&self, rules: impl Iterator<Item = Operations>) {
        self.0.store(rules.fold(0, |set, operations| set | operations.0), Ordering::Relaxed);
    }
}

/// When the process dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Point {
    /// The operation has not begun.
    Before,
    /// It is done, and nobody was told.
    After,
}

impl Point {
    pub fn word(self) -> &'static str {
        match self {
            Self::Before => "before",
            Self::After => "after",
        }
    }
}

#[derive(Debug, Clone, PartialEq)]
pub enum DiskFault {
    Slow(Distribution),
    Full,
    FsyncError,
    CrashAt(Point),
}

impl DiskFault {
    /// At which operations it can happen.
    pub fn operations(&self) -> Operations {
        match self {
            Self::Slow(_) | Self::CrashAt(_) => Operations::ALL,
            Self::Full => Operations::of(&[Operation::Append]),
            Self::FsyncError => Operations::of(&[Operation::Sync]),
        }
    }

    pub fn word(&self) -> &'static str {
        match self {
            Self::Slow(_) => "slow_disk",
            Self::Full => "disk_full",
            Self::FsyncError => "fsync_error",
            Self::CrashAt(_) => "crash_at",
        }
    }
}

impl fmt::Display for DiskFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Slow(time) => write!(f, "slow_disk({time})"),
            Self::CrashAt(point) => write!(f, "crash_at({})", point.word()),
            Self::Full | Self::FsyncError => write!(f, "{}()", self.word()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_are_sets() {
        let some = Operations::of(&[Operation::Sync, Operation::Read]);
        assert_eq!(some.to_string(), "sync, read");
        assert!(!some.contains(Operation::Append));
        assert_eq!(
            some.narrowed(DiskFault::FsyncError.operations()),
            DiskFault::FsyncError.operations().into()
        );
        assert_eq!(some.narrowed(DiskFault::Full.operations()), None);
        assert_eq!(Operations::of(&Operation::ALL), Operations::ALL);
    }

    #[test]
    fn operations_of_several_rules_are_all_concerned() {
        let concerned = Concerned::default();
        let of = |operations: &[Operation]| Operations::of(operations);
        let [first, second, third, ..] = Operation::ALL;
        concerned.set([of(&[first, second]), of(&[first, first])].into_iter());
        assert!(concerned.has(first) && concerned.has(second) && !concerned.has(third));
        concerned.set([of(&[second, second])].into_iter());
        assert!(concerned.has(second), "named twice, it is named");
        concerned.set(std::iter::empty());
        assert!(!concerned.has(first));
    }
}
