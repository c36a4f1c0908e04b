//! The text of `tollgate.toml`: settings, or an error that says something.

use std::path::Path;

use tollgate::app::config::Config;
use tollgate::app::sources;

pub fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let resolved = sources::from_file(Path::new("tollgate.toml"), text).and_then(Config::resolve);
    match resolved {
        Ok(config) => drop(config.warnings()),
        Err(failure) => assert!(!failure.to_string().is_empty()),
    }
}
