//! Reads [`Settings`] from where they can stand: variables and `tollgate.toml`. (Flags are read by clap.) Nothing here
//! touches the world: text in, settings or an error out.

use std::fmt::Write as _;
use std::ops::Range;
use std::path::Path;

use clap::{Args, FromArgMatches};
use toml::de::{DeTable, DeValue};

use super::failure::Failure;
use super::settings::{ListenerSettings, Settings};

/// What every variable of ours starts with.
pub const VARIABLE_PREFIX: &str = "TOLLGATE_";

/// Variables that are read elsewhere, without the prefix.
const OTHER_VARIABLES: [&str; 3] = ["ADMIN_TOKEN", "CONFIG", "PASSWORD"];
/// Variables with these beginnings: secrets of policies, and what Kubernetes sets for a service named `tollgate`.
const FOREIGN_VARIABLES: [&str; 3] = ["SECRET_", "SERVICE_", "PORT"];

/// The variable of a key.
pub fn variable(key: &str) -> String {
    format!("{VARIABLE_PREFIX}{}", key.to_ascii_uppercase())
}

/// Settings from the environment, and warnings about variables that look like settings and are none.
pub fn from_environment(
    variables: impl IntoIterator<Item = (String, String)>,
) -> Result<(Settings, Vec<String>), Failure> {
    let mut settings = Settings::default();
    let mut warnings = Vec::new();
    for (name, value) in variables {
        let Some(rest) = name.strip_prefix(VARIABLE_PREFIX) else { continue };
        let known = Settings::KEYS.iter().find(|key| key.to_ascii_uppercase() == rest);
        let Some(key) = known else {
            let foreign = FOREIGN_VARIABLES.iter().any(|start| rest.starts_with(start));
            if !foreign && !OTHER_VARIABLES.contains(&rest) {
                warnings.push(format!("the variable {name} is no setting and has no effect"));
            }
            continue;
        };
        // Read by the flag's own parser: the same text means the same wherever it stands.
        let flag = format!("--{}={value}", key.replace('_', "-"));
        let command = Settings::augment_args(clap::Command::new("settings").no_binary_name(true));
        let one = command
            .try_get_matches_from([flag])
            .and_then(|matches| Settings::from_arg_matches(&matches))
            .map_err(|e| Failure::usage(format!("{name}: {}", reason(&e))))?;
        settings = settings.or(one);
    }
    Ok((settings, warnings))
}

/// The reason in clap's error, without the flag that nobody typed.
fn reason(error: &clap::Error) -> String {
    use clap::error::{ContextKind, ContextValue};
    if let Some(source) = std::error::Error::source(error) {
        return source.to_string();
    }
    match (error.get(ContextKind::InvalidValue), error.get(ContextKind::ValidValue)) {
        (Some(ContextValue::String(value)), Some(ContextValue::Strings(valid))) => {
            format!("{value:?} is not one of {}", valid.join(", "))
        }
        _ => "the value is missing or not valid".into(),
    }
}

/// Settings from the text of a file; `path` is for the error.
pub fn from_file(path: &Path, text: &str) -> Result<Settings, Failure> {
    let file = File { path, text };
    let document =
        DeTable::parse(text).map_err(|e| file.error(e.span(), format!("not TOML: {}", e.message())))?;
    let root = document.get_ref();
    let known: Vec<&str> = Settings::KEYS.iter().chain(Settings::TABLES).copied().collect();
    file.only(root, &known)?;
    if let Some(listeners) = root.get("listener") {
        let tables = listeners.get_ref().as_array();
        let Some(tables) = tables.filter(|t| t.iter().all(|entry| entry.get_ref().is_table())) else {
            return Err(file.error(Some(listeners.span()), "listeners are written as [[listener]]".into()));
        };
        for table in tables.iter().filter_map(|entry| entry.get_ref().as_table()) {
            file.only(table, ListenerSettings::KEYS)?;
        }
    }
    toml::from_str(text).map_err(|e| {
        let key = e.span().and_then(|span| key_at(root, span.start));
        let message = match key {
            Some(key) => format!("`{key}`: {}", e.message()),
            None => e.message().to_owned(),
        };
        file.error(e.span(), message)
    })
}

struct File<'a> {
    path: &'a Path,
    text: &'a str,
}

impl File<'_> {
    fn only(&self, table: &DeTable<'_>, known: &[&str]) -> Result<(), Failure> {
        // Tables are sorted by key; the first unknown one of the file is the one to name.
        let unknown = table.iter().filter(|(key, _)| !known.contains(&key.get_ref().as_ref()));
        let Some((key, _)) = unknown.min_by_key(|(key, _)| key.span().start) else { return Ok(()) };
        let name = key.get_ref().as_ref();
        let mut message = format!("unknown key `{name}`");
        if let Some(near) = nearest(name, known) {
            let _ = write!(message, "; did you mean `{near}`?");
        }
        Err(self.error(Some(key.span()), message))
    }

    fn error(&self, span: Option<Range<usize>>, message: String) -> Failure {
        let Some(before) = span.and_then(|span| self.text.get(..span.start)) else {
            return Failure::usage(format!("{}: {message}", self.path.display()));
        };
        let line = before.matches('\n').count() + 1;
        let column = before.chars().rev().take_while(|&c| c != '\n').count() + 1;
        Failure::usage(format!("{}:{line}:{column}: {message}", self.path.display()))
    }
}

/// The key whose value covers a place of the text, the innermost one.
fn key_at<'t>(table: &'t DeTable<'_>, place: usize) -> Option<&'t str> {
    table.iter().find_map(|(key, value)| {
        // Tables are searched whatever their own span: that of a [[listener]] is its header only.
        let inner = match value.get_ref() {
            DeValue::Array(entries) => entries
                .iter()
                .filter_map(|entry| entry.get_ref().as_table())
                .find_map(|table| key_at(table, place)),
            DeValue::Table(table) => key_at(table, place),
            _ => None,
        };
        let span = value.span();
        inner.or_else(|| (span.start <= place && place <= span.end).then(|| key.get_ref().as_ref()))
    })
}

/// The known key that a wrong one was probably meant to be.
fn nearest<'k>(wrong: &str, known: &[&'k str]) -> Option<&'k str> {
    let wrong = wrong.to_ascii_lowercase().replace('-', "_");
    known
        .iter()
        .map(|key| (distance(&wrong, key), *key))
        .filter(|(distance, key)| *distance <= 2.min(key.len() / 3))
        .min()
        .map(|(_, key)| key)
}

/// Edits between two short ASCII texts (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (above, y) in row.iter_mut().skip(1).zip(b.bytes()) {
            let cost = (diagonal + usize::from(x != y)).min(left + 1).min(*above + 1);
            diagonal = std::mem::replace(above, cost);
            left = cost;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::super::values::Text;
    use super::*;
    use proptest::prelude::*;

    fn file(text: &str) -> Result<Settings, Failure> {
        from_file(Path::new("tollgate.toml"), text)
    }

    fn environment(variables: &[(&str, &str)]) -> Result<(Settings, Vec<String>), Failure> {
        from_environment(variables.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())))
    }

    #[test]
    fn every_key_is_read_from_file_and_environment() {
        for key in Settings::KEYS {
            let value = match *key {
                "listen" | "advertised" | "admin" | "toxiproxy" => "127.0.0.1:1",
                "sasl" => "PLAIN",
                "flush" => "interval:200ms",
                "log" => "json",
                "tls_client_auth" => "requested",
                "auto_create_topics" | "admin_security_changes" | "allow_crash" => "false",
                "seed"
                | "committers"
                | "max_open_files"
                | "node_id"
                | "num_partitions"
                | "audit_files"
                | "max_sessions"
                | "max_sessions_per_ip" => "7",
                time if time == "retention" || time.ends_with("_timeout") => "9s",
                "users" | "data" | "policies" | "secrets" | "schemas" | "audit" | "journal" | "replay"
                | "capture" | "cluster_id" | "log_level" => "abc",
                _ => "5MiB",
            };
            let bare = matches!(value, "7" | "false");
            let quoted = if bare { value.to_owned() } else { format!("\"{value}\"") };
            let from_file = file(&format!("{key} = {quoted}")).unwrap();
            assert_ne!(from_file, Settings::default(), "{key}");
            let (from_environment, warnings) = environment(&[(&variable(key), value)]).unwrap();
            assert_eq!(from_file, from_environment, "{key}");
            assert!(warnings.is_empty());
        }
    }

    #[test]
    fn numbers_and_arrays_of_the_file() {
        let settings = file("max_frame_bytes = 1000\nsasl = [\"PLAIN\", \"SCRAM-SHA-256\"]").unwrap();
        let (same, _) =
            environment(&[("TOLLGATE_MAX_FRAME_BYTES", "1000"), ("TOLLGATE_SASL", "PLAIN,SCRAM-SHA-256")])
                .unwrap();
        assert_eq!(settings, same);
    }

    #[test]
    fn listeners_are_tables_of_the_file() {
        let settings = file(
            "[[listener]]\nname = \"in\"\naddress = \"127.0.0.1:1\"\n\
             [[listener]]\nname = \"out\"\naddress = \"0.0.0.0:2\"\nadvertised = \"gate.example:2\"\nsasl = [\"PLAIN\"]\n",
        )
        .unwrap();
        let listeners = settings.listener.unwrap();
        assert_eq!(listeners.len(), 2);
        assert_eq!(listeners[1].advertised, Some(Text("gate.example:2".parse().unwrap())));
    }

    #[test]
    fn errors_of_the_file_name_place_and_key() {
        for (text, expected) in [
            ("lisen = \"127.0.0.1:1\"", "tollgate.toml:1:1: unknown key `lisen`; did you mean `listen`?"),
            (
                "\n  max-sessions = 1",
                "tollgate.toml:2:3: unknown key `max-sessions`; did you mean `max_sessions`?",
            ),
            ("wibble = 1", "tollgate.toml:1:1: unknown key `wibble`"),
            ("zz = 1\naa = 2", "tollgate.toml:1:1: unknown key `zz`"),
            ("[limits]\nmax_sessions = 1", "tollgate.toml:1:2: unknown key `limits`"),
            ("ssl = true", "unknown key `ssl`"),
            (
                "[[listener]]\nname = \"a\"\naddress = \"h:1\"\ntls_cert = \"c\"",
                "tollgate.toml:4:1: unknown key `tls_cert`",
            ),
            ("[[listener]]\nnme = \"a\"", "tollgate.toml:2:1: unknown key `nme`; did you mean `name`?"),
            ("[listener]\nname = \"a\"", "tollgate.toml:1:1: listeners are written as [[listener]]"),
            ("listener = [1]", "listeners are written as [[listener]]"),
            ("[[listener]]\nname = \"a\"", "tollgate.toml:1:1: `listener`: missing field `address`"),
            ("listen = \"nowhere\"", "tollgate.toml:1:10: `listen`: an address is host:port"),
            (
                "max_sessions = \"many\"",
                "tollgate.toml:1:16: `max_sessions`: invalid type: string \"many\", expected u32",
            ),
            (
                "max_sessions = -1",
                "tollgate.toml:1:16: `max_sessions`: invalid value: integer `-1`, expected u32",
            ),
            (
                "idle_timeout = 10",
                "tollgate.toml:1:16: `idle_timeout`: a length of time is a whole number with",
            ),
            ("sasl = [\"GSSAPI\"]", "tollgate.toml:1:8: `sasl`: \"GSSAPI\" is no SASL mechanism"),
            ("flush = \"never\"", "`flush`: \"never\" is not a flush mode"),
            ("listen = 1\nlisten = 2", "tollgate.toml:2:1: not TOML: duplicate key"),
            ("listen = ", "tollgate.toml:1:10: not TOML:"),
            (
                "[[listener]]\nname = \"a\"\naddress = \"x\"",
                "tollgate.toml:3:11: `address`: an address is host:port",
            ),
        ] {
            let error = file(text).unwrap_err().to_string();
            assert!(error.contains(expected), "{text:?} gives {error:?}, not {expected:?}");
            assert_eq!(error.lines().count(), 1, "{error}");
        }
    }

    #[test]
    fn errors_of_the_environment_name_the_variable() {
        for (name, value, expected) in [
            ("TOLLGATE_LISTEN", "nowhere", "TOLLGATE_LISTEN: an address is host:port"),
            ("TOLLGATE_MAX_SESSIONS", "many", "TOLLGATE_MAX_SESSIONS: invalid digit"),
            (
                "TOLLGATE_AUTO_CREATE_TOPICS",
                "yes",
                "TOLLGATE_AUTO_CREATE_TOPICS: \"yes\" is not one of true, false",
            ),
            ("TOLLGATE_FLUSH", "", "TOLLGATE_FLUSH: "),
        ] {
            let error = environment(&[(name, value)]).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
            assert!(!error.contains("--"), "{error} names a flag nobody typed");
            assert_eq!(error.lines().count(), 1, "{error}");
        }
    }

    #[test]
    fn variables_that_look_like_settings_are_pointed_out() {
        let (settings, warnings) = environment(&[
            ("TOLLGATE_MAXSESSIONS", "1"),
            ("TOLLGATE_CONFIG", "x"),
            ("TOLLGATE_SECRET_MASK", "x"),
            ("TOLLGATE_PORT_9092_TCP_ADDR", "10.0.0.1"),
            ("TOLLGATE_SERVICE_HOST", "10.0.0.1"),
            ("OTHER", "x"),
        ])
        .unwrap();
        assert_eq!(settings, Settings::default());
        assert_eq!(warnings, ["the variable TOLLGATE_MAXSESSIONS is no setting and has no effect"]);
    }

    #[test]
    fn distances() {
        assert_eq!(distance("listen", "listen"), 0);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("kitten", "sitting"), 3);
    }

    proptest! {
        #[test]
        fn any_file_gives_settings_or_an_error(text in "(listen|data|sasl|listener|name|=|\"|\\[|\\]|[a-z0-9 \n,.{}'é-])*") {
            let _ = file(&text);
        }
    }
}
