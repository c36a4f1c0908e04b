//! Log lines on standard error: text for people, JSON for machines. Standard output belongs to what a command prints.

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};

use super::config::Log;
use super::failure::Failure;
use super::values::LogFormat;
use crate::broker::loggers::{Level, Loggers, ROOT};

/// Checks what a log is configured to show.
pub fn filter(log: &Log) -> Result<EnvFilter, Failure> {
    EnvFilter::builder()
        .parse(&log.filter)
        .map_err(|e| Failure::usage(format!("`log_level`: {:?} is not a filter: {e}", log.filter)))
}

/// Starts logging for the whole process; gives what can be set of it. Colours only where someone looks, and not if `no_color`.
pub fn start(log: &Log, no_color: bool) -> Result<Arc<ModuleLoggers>, Failure> {
    let builder = tracing_subscriber::fmt().with_env_filter(filter(log)?).with_writer(std::io::stderr);
    let (started, reload): (_, Reload) = match log.format {
        LogFormat::Json => {
            let builder = builder.json().flatten_event(true).with_current_span(false).with_filter_reloading();
            let handle = builder.reload_handle();
            (builder.try_init(), Box::new(move |filter| drop(handle.reload(filter))))
        }
        LogFormat::Text => {
            let colors = !no_color && std::io::stderr().is_terminal();
            let builder = builder.with_ansi(colors).with_target(false).with_filter_reloading();
            let handle = builder.reload_handle();
            (builder.try_init(), Box::new(move |filter| drop(handle.reload(filter))))
        }
    };
    started.map_err(|e| Failure::cannot(format!("cannot start logging: {e}")))?;
    Ok(Arc::new(ModuleLoggers::new(&log.filter, reload)))
}

/// Puts another filter in force. It fails when nothing logs any more, and then there is nothing to filter.
type Reload = Box<dyn Fn(EnvFilter) + Send + Sync>;

/// The rooms of the program as loggers whose levels can be set while it runs.
pub struct ModuleLoggers {
    configured: String,
    set: Mutex<BTreeMap<&'static str, Level>>,
    reload: Reload,
}

/// What can be set, beside all of it.
const MODULES: [&str; 7] = [
    "tollgate::admin",
    "tollgate::app",
    "tollgate::broker",
    "tollgate::gateway",
    "tollgate::policy",
    "tollgate::security",
    "tollgate::storage",
];

impl ModuleLoggers {
    fn new(configured: &str, reload: Reload) -> Self {
        ModuleLoggers { configured: configured.to_owned(), set: Mutex::default(), reload }
    }

    fn set_levels(&self) -> MutexGuard<'_, BTreeMap<&'static str, Level>> {
        self.set.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was configured, and behind it what was set, which wins.
    fn directives(&self, set: &BTreeMap<&'static str, Level>) -> String {
        let directive = |(name, level): (&&str, &Level)| match *name {
            ROOT => directive_of(*level).to_owned(),
            name => format!("{name}={}", directive_of(*level)),
        };
        std::iter::once(self.configured.clone())
            .chain(set.iter().map(directive))
            .collect::<Vec<_>>()
            .join(",")
    }
}

impl Loggers for ModuleLoggers {
    fn levels(&self) -> Vec<(String, Option<Level>)> {
        let directives = self.directives(&self.set_levels());
        // A filter of spans is more than levels say: then only what was set is known.
        let targets: Targets = directives.parse().unwrap_or_default();
        let default = targets.default_level().unwrap_or(LevelFilter::OFF);
        let of_module = |module: &str| {
            let inside = |target: &str| {
                module == target || module.strip_prefix(target).is_some_and(|rest| rest.starts_with("::"))
            };
            let particular =
                targets.iter().filter(|(target, _)| inside(target)).max_by_key(|(target, _)| target.len());
            particular.map_or(default, |(_, level)| level)
        };
        let modules = MODULES.iter().map(|module| ((*module).to_owned(), level_of(of_module(module))));
        std::iter::once((ROOT.to_owned(), level_of(default))).chain(modules).collect()
    }

    fn set(&self, name: &str, level: Option<Level>) {
        let Some(name) = MODULES.into_iter().chain([ROOT]).find(|known| *known == name) else { return };
        let mut set = self.set_levels();
        match level {
            Some(level) => set.insert(name, level),
            None => set.remove(name),
        };
        if let Ok(filter) = EnvFilter::builder().parse(self.directives(&set)) {
            (self.reload)(filter);
            tracing::warn!(
                logger = name,
                level = level.map_or("as configured", Level::name),
                "log level set"
            );
        }
    }
}

fn directive_of(level: Level) -> &'static str {
    match level {
        Level::Trace => "trace",
        Level::Debug => "debug",
        Level::Info => "info",
        Level::Warn => "warn",
        Level::Error | Level::Fatal => "error",
    }
}

fn level_of(filter: LevelFilter) -> Option<Level> {
    Some(match filter.into_level()? {
        tracing::Level::TRACE => Level::Trace,
        tracing::Level::DEBUG => Level::Debug,
        tracing::Level::INFO => Level::Info,
        tracing::Level::WARN => Level::Warn,
        tracing::Level::ERROR => Level::Error,
    })
}

/// The line that says why the program ends, for whoever reads the log as JSON, whatever the filter.
pub fn json_error(message: &str) -> String {
    let mut timestamp = String::new();
    // A time that cannot be written leaves the line without.
    let _ = SystemTime.format_time(&mut Writer::new(&mut timestamp));
    serde_json::json!({ "timestamp": timestamp, "level": "ERROR", "message": message, "target": "tollgate" })
        .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_those_configured_until_they_are_set() {
        let filters: Arc<Mutex<Vec<String>>> = Arc::default();
        let kept = Arc::clone(&filters);
        let reload: Reload = Box::new(move |filter| kept.lock().unwrap().push(filter.to_string()));
        let loggers = ModuleLoggers::new("warn,tollgate::broker=debug,tollgate::gateway=off", reload);
        let level = |name: &str| {
            let levels = loggers.levels();
            levels.into_iter().find(|(known, _)| known == name).map(|(_, level)| level)
        };
        assert_eq!(level("root"), Some(Some(Level::Warn)));
        assert_eq!(level("tollgate::broker"), Some(Some(Level::Debug)));
        assert_eq!(level("tollgate::storage"), Some(Some(Level::Warn)), "as root");
        assert_eq!(level("tollgate::gateway"), Some(None), "off is no level of Kafka's");
        assert_eq!(level("tollgate::nope"), None);
        loggers.set("root", Some(Level::Error));
        loggers.set("tollgate::broker", Some(Level::Trace));
        loggers.set("tollgate::nope", Some(Level::Trace));
        assert_eq!(level("tollgate::storage"), Some(Some(Level::Error)));
        assert_eq!(level("tollgate::broker"), Some(Some(Level::Trace)));
        let last = filters.lock().unwrap().last().cloned().unwrap();
        assert!(last.contains("tollgate::broker=trace") && last.contains("error"), "{last}");
        assert!(!last.contains("debug") && !last.contains("warn"), "{last}");
        loggers.set("tollgate::broker", None);
        assert_eq!(level("tollgate::broker"), Some(Some(Level::Debug)), "as configured again");
    }

    #[test]
    fn filters_are_levels_by_module() {
        let check = |text: &str| filter(&Log { format: LogFormat::Text, filter: text.into() });
        for good in ["info", "warn,tollgate::gateway=debug", "off"] {
            assert!(check(good).is_ok(), "{good}");
        }
        for bad in ["tollgate=loud", "=", "a=b=c"] {
            assert!(check(bad).unwrap_err().to_string().starts_with("`log_level`: "), "{bad}");
        }
    }
}
