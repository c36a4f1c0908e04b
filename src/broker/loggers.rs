//! What the process logs, as BROKER_LOGGER resources have it (KIP-412). The broker does not log by itself: who started it says what
//! there is to set. Nothing of it is kept; a start begins with what the process was configured with.

use std::fmt;
use std::sync::Arc;

/// Of all that has no level of its own.
pub const ROOT: &str = "root";

/// Kafka's levels, from the most to the least that is logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    Trace,
    Debug,
    Info,
    Warn,
    Error,
    /// Nothing here is worse than an error.
    Fatal,
}

impl Level {
    /// In the order of their names, as Kafka lists them.
    pub const ALL: [Level; 6] =
        [Level::Debug, Level::Error, Level::Fatal, Level::Info, Level::Trace, Level::Warn];

    pub fn name(self) -> &'static str {
        match self {
            Level::Trace => "TRACE",
            Level::Debug => "DEBUG",
            Level::Info => "INFO",
            Level::Warn => "WARN",
            Level::Error => "ERROR",
            Level::Fatal => "FATAL",
        }
    }

    pub fn parse(name: &str) -> Option<Level> {
        Level::ALL.into_iter().find(|level| level.name() == name)
    }
}

/// Loggers whose levels can be seen and set.
pub trait Loggers: Send + Sync {
    /// Names and levels, `root` among them. A level that Kafka has no name for is none.
    fn levels(&self) -> Vec<(String, Option<Level>)>;

    /// Sets one of these, or lets it follow the others again.
    fn set(&self, name: &str, level: Option<Level>);
}

/// Loggers, if there are any.
#[derive(Clone, Default)]
pub struct SomeLoggers(pub Option<Arc<dyn Loggers>>);

impl SomeLoggers {
    pub(super) fn levels(&self) -> Vec<(String, Option<Level>)> {
        self.0.as_ref().map(|loggers| loggers.levels()).unwrap_or_default()
    }

    pub(super) fn set(&self, name: &str, level: Option<Level>) {
        if let Some(loggers) = &self.0 {
            loggers.set(name, level);
        }
    }
}

impl fmt::Debug for SomeLoggers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SomeLoggers").field(&self.0.is_some()).finish()
    }
}
