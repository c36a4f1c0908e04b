//! Log lines on standard error: text for people, JSON for machines. Standard output belongs to what a command prints.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

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
