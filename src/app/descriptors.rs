//! The number of files and connections the process may have open.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::config::Config;

/// Descriptors beside sessions and log files: listeners, the catalogue, the runtime, files being opened.
const OTHERS: usize = 256;

/// Raises the soft limit to the hard one. The soft one is kept low for programs that use `select`, which this is not.
pub fn raise_limit(config: &Config) {
    let limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
        if let Err(error) = setrlimit(Resource::Nofile, raised) {
            tracing::warn!(%error, "the limit of open files cannot be raised");
        }
    }
    let files = (config.storage.max_open_files + OTHERS) as u64;
    if let Some(limit) = getrlimit(Resource::Nofile).current {
        let sessions = limit.saturating_sub(files);
        if sessions < config.limits.max_sessions as u64 {
            tracing::info!(
                sessions,
                limit,
                "the limit of open files (ulimit -n) bounds sessions before `max_sessions` does"
            );
        }
    }
}
