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
    let needed = config.limits.max_sessions + config.storage.max_open_files + OTHERS;
    if let Some(limit) = getrlimit(Resource::Nofile).current
        && limit < needed as u64
    {
        tracing::warn!(
            limit,
            needed,
            "fewer files may be open than `max_sessions` and `max_open_files` ask for (ulimit -n): sessions will be refused earlier"
        );
    }
}
