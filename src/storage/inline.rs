//! Who does the work that an append leaves: a committer thread, or, where nothing waits for the device, the thread that
//! appended. Copying a small batch into the page cache costs less than waking another thread to do it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::log::{Head, Log};
use super::{FlushMode, StorageConfig, lock};

/// About what handing work to another thread costs. A write that takes longer is better done beside what else there is
/// to do: the kernel is short of free pages, or holds back who writes faster than the device can.
const HANDING_OVER: Duration = Duration::from_micros(20);
/// What a write costs however short it is.
const CALL: Duration = Duration::from_micros(3);
/// A measurement counts one part in so many.
const MEMORY: u64 = 8;

/// Whether appending threads may write.
#[derive(Debug)]
pub(super) struct Inline {
    limit: usize,
    /// What writing a KiB has cost of late, in ns.
    kib_ns: AtomicU64,
}

impl Inline {
    pub fn new(config: &StorageConfig) -> Self {
        let limit = if config.flush == FlushMode::GroupCommit { 0 } else { config.inline_bytes };
        Inline { limit, kib_ns: AtomicU64::new(0) }
    }

    pub fn is_on(&self) -> bool {
        self.limit > 0
    }

    /// Small, quick writes and nothing else: what syncs or deletes is not for a thread that serves clients.
    fn allows(&self, head: &Head) -> bool {
        let bytes: Option<usize> = head.pending.iter().map(|op| Some(op.as_write()?.batch.len())).sum();
        bytes.is_some_and(|bytes| bytes <= self.limit && self.expected(bytes) <= HANDING_OVER)
    }

    fn expected(&self, bytes: usize) -> Duration {
        let nanos = self.kib_ns.load(Ordering::Relaxed).saturating_mul(bytes as u64) / 1024;
        CALL + Duration::from_nanos(nanos)
    }

    /// A write, by whomever, took so long.
    pub fn note(&self, bytes: usize, took: Duration) {
        let nanos = u64::try_from(took.saturating_sub(CALL).as_nanos()).unwrap_or(u64::MAX);
        let now = nanos.saturating_mul(1024) / bytes.max(1024) as u64;
        let before = self.kib_ns.load(Ordering::Relaxed);
        // Two at once may lose one: it is an estimate.
        self.kib_ns.store((before * (MEMORY - 1) + now.min(u64::MAX / MEMORY)) / MEMORY, Ordering::Relaxed);
    }
}

/// A log with work that nobody has yet. When dropped it is done here, or given to the committers.
#[derive(Debug)]
#[must_use = "the work begins when this is dropped: not under a lock that others need"]
pub(crate) struct Begun(Option<Arc<Log>>);

impl Begun {
    pub fn new(log: Option<Arc<Log>>) -> Self {
        Begun(log)
    }
}

impl Drop for Begun {
    fn drop(&mut self) {
        let Some(log) = self.0.take() else { return };
        let shared = Arc::clone(&log.shared);
        if shared.inline.is_on() && shared.inline.allows(&lock(&log.head)) {
            log.work_or_queue();
        } else {
            shared.queue.push(log);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inline(flush: FlushMode) -> Inline {
        Inline::new(&StorageConfig { flush, ..StorageConfig::default() })
    }

    #[test]
    fn slow_writes_are_handed_over_until_they_are_quick_again() {
        let inline = inline(FlushMode::Os);
        assert!(inline.expected(16 << 10) <= HANDING_OVER);
        (0..20).for_each(|_| inline.note(16 << 10, Duration::from_micros(60)));
        assert!(inline.expected(16 << 10) > HANDING_OVER);
        // What is short enough is not worth another thread even then.
        assert!(inline.expected(1 << 10) <= HANDING_OVER);
        // Committers write much at once, and quickly.
        (0..40).for_each(|_| inline.note(1 << 20, Duration::from_micros(300)));
        assert!(inline.expected(16 << 10) <= HANDING_OVER);
        inline.note(1, Duration::MAX);
        assert!(inline.expected(1 << 10) > HANDING_OVER);
    }

    #[test]
    fn who_waits_for_the_device_has_committers() {
        assert!(!inline(FlushMode::GroupCommit).is_on());
        assert!(inline(FlushMode::Os).is_on());
    }
}
