//! What can be set about storage as a whole and about one log. Defaults are Kafka's where Kafka has the setting.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::chaos::DiskChaos;

/// When an append counts as committed, that is: when the high watermark moves past it and acks=all is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FlushMode {
    /// After an `fdatasync` shared by all appends that wait for the same log. Survives power loss.
    #[default]
    GroupCommit,
    /// After the write to the page cache; an `fdatasync` follows within this time. Survives the end of the process;
    /// power loss may cost what was appended within the interval.
    Interval(Duration),
    /// After the write to the page cache; the operating system syncs when it likes (Kafka's default).
    /// Survives the end of the process, not power loss.
    Os,
}

impl FlushMode {
    pub const DEFAULT_INTERVAL: Duration = Duration::from_secs(1);
}

impl fmt::Display for FlushMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FlushMode::GroupCommit => f.write_str("group-commit"),
            FlushMode::Interval(every) if *every == Self::DEFAULT_INTERVAL => f.write_str("interval"),
            FlushMode::Interval(every) => write!(f, "interval:{}ms", every.as_millis()),
            FlushMode::Os => f.write_str("os"),
        }
    }
}

/// Milliseconds since 1970, injected so that tests own the time.
pub type Clock = Arc<dyn Fn() -> i64 + Send + Sync>;

/// The clock on the wall.
#[expect(clippy::disallowed_methods, reason = "this is where the time of day is injected from")]
pub fn system_clock() -> Clock {
    Arc::new(|| {
        std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    })
}

/// Settings of the whole data folder.
#[derive(Clone)]
pub struct StorageConfig {
    pub flush: FlushMode,
    /// Threads that write and sync. 0 starts none: the owner calls `Storage::drive` (tests do).
    pub committers: usize,
    /// Without group commit, appends up to so many bytes are written by the thread that appends while writes are fast;
    /// 0 leaves all to the committers.
    pub inline_bytes: usize,
    /// Open segment and index files kept for the next use; those being streamed come on top.
    pub max_open_files: usize,
    /// Recently appended bytes kept in memory for consumers at the tail, over all logs.
    pub tail_cache_bytes: usize,
    /// Appended bytes that may wait for the disk, over all logs; past it appends are refused as `Overloaded`.
    pub max_pending_bytes: usize,
    /// Recovery after a crash reads at most about this much of a log again.
    pub checkpoint_bytes: u64,
    /// From so many logs on, what concerns all of them at once (a start after a crash, the end of an interval, a
    /// shutdown) syncs the whole file system rather than each file.
    pub many_logs: usize,
    /// How often retention, time-based rolls and checkpoints are looked at.
    pub maintenance_interval: Duration,
    pub clock: Clock,
    /// Who harms disk operations on purpose, if anybody may.
    pub chaos: Option<Arc<dyn DiskChaos>>,
}

/// How many committers serve a flush mode best on so many cores. Under group commit they wait for the device, side by
/// side; otherwise they copy into the page cache, where more threads only switch more often.
pub fn usual_committers(flush: FlushMode, cores: usize) -> usize {
    match flush {
        FlushMode::GroupCommit => MOST_COMMITTERS,
        FlushMode::Interval(_) | FlushMode::Os => (cores / 2).clamp(1, MOST_COMMITTERS),
    }
}

const MOST_COMMITTERS: usize = 4;

impl Default for StorageConfig {
    fn default() -> Self {
        StorageConfig {
            flush: FlushMode::GroupCommit,
            committers: MOST_COMMITTERS,
            inline_bytes: 64 << 10,
            max_open_files: 512,
            tail_cache_bytes: 32 << 20,
            max_pending_bytes: 128 << 20,
            checkpoint_bytes: 32 << 20,
            many_logs: 100,
            maintenance_interval: Duration::from_secs(30),
            clock: system_clock(),
            chaos: None,
        }
    }
}

impl fmt::Debug for StorageConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StorageConfig")
            .field("flush", &self.flush)
            .field("committers", &self.committers)
            .field("inline_bytes", &self.inline_bytes)
            .field("max_open_files", &self.max_open_files)
            .field("tail_cache_bytes", &self.tail_cache_bytes)
            .field("max_pending_bytes", &self.max_pending_bytes)
            .field("checkpoint_bytes", &self.checkpoint_bytes)
            .field("many_logs", &self.many_logs)
            .field("maintenance_interval", &self.maintenance_interval)
            .finish_non_exhaustive()
    }
}

/// Settings of one log, named as Kafka's topic configs. All can change while the log is in use (`Log::set_config`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogConfig {
    /// `segment.bytes`. A batch that is larger gets a segment of its own.
    pub segment_bytes: u32,
    /// `segment.ms`: age, by record timestamps, at which the next append starts a new segment.
    pub segment_ms: i64,
    /// `retention.ms`; -1 keeps for ever.
    pub retention_ms: i64,
    /// `retention.bytes`; -1 is no limit.
    pub retention_bytes: i64,
    /// `index.interval.bytes`: distance between entries of the sparse indexes.
    pub index_interval_bytes: u32,
    /// `max.message.bytes`: largest batch accepted.
    pub max_message_bytes: u32,
}

impl Default for LogConfig {
    fn default() -> Self {
        LogConfig {
            segment_bytes: 1 << 30,
            segment_ms: 7 * 24 * 3_600_000,
            retention_ms: 7 * 24 * 3_600_000,
            retention_bytes: -1,
            index_interval_bytes: 4096,
            max_message_bytes: 1_048_588,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flush_mode_is_told_as_it_is_set() {
        let modes = [FlushMode::GroupCommit, FlushMode::Os, FlushMode::Interval(Duration::from_secs(1))];
        assert_eq!(modes.map(|mode| mode.to_string()), ["group-commit", "os", "interval"]);
        assert_eq!(FlushMode::Interval(Duration::from_millis(250)).to_string(), "interval:250ms");
    }

    #[test]
    fn only_who_waits_for_the_device_has_more_committers_than_cores() {
        assert_eq!(usual_committers(FlushMode::GroupCommit, 1), 4);
        assert_eq!([1, 2, 4, 64].map(|cores| usual_committers(FlushMode::Os, cores)), [1, 1, 2, 4]);
        assert_eq!(usual_committers(FlushMode::Interval(Duration::from_secs(1)), 2), 1);
    }
}
