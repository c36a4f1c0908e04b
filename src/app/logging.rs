//! Log lines on standard error: text for people, JSON for machines. Standard output belongs to what a command prints.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};

use super::config::Log;
use super::failure::Failure;
use super::values::LogFormat;

/// Checks what a log is configured to show.
pub fn filter(log: &Log) -> Result<EnvFilter, Failure> {
    EnvFilter::builder()
        .parse(&log.filter)
        .map_err(|e| Failure::usage(format!("`log_level`: {:?} is not a filter: {e}", log.filter)))
}

/// Starts logging for the whole process. Colours only where someone looks, and not if `no_color`.
pub fn start(log: &Log, no_color: bool) -> Result<(), Failure> {
    let builder = tracing_subscriber::fmt().with_env_filter(filter(log)?).with_writer(std::io::stderr);
    let started = match log.format {
        LogFormat::Json => builder.json().flatten_event(true).with_current_span(false).try_init(),
        LogFormat::Text => {
            let colors = !no_color && std::io::stderr().is_terminal();
            builder.with_ansi(colors).with_target(false).try_init()
        }
    };
    started.map_err(|e| Failure::cannot(format!("cannot start logging: {e}")))
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
