//! What the settings come to: every value present, and checked against the others. Pure: nothing is opened, looked up or
//! bound here.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use super::failure::Failure;
use super::listeners::{Listener, admin_tls, listeners};
use super::rotate::Bounds;
use super::settings::Settings;
use super::values::{Address, Limit, LogFormat, OptionalPath, Size, Span, Text};
use crate::broker::config::ServerConfigs;
use crate::gateway::Limits;
use crate::security::SecretString;
use crate::security::tls::TlsFiles;
use crate::storage::{StorageConfig, usual_committers};

/// Everything `serve` needs to know.
#[derive(Debug, Clone)]
pub struct Config {
    pub listeners: Vec<Listener>,
    pub users: PathBuf,
    pub admin: Option<Address>,
    pub admin_token_file: Option<PathBuf>,
    /// Of the environment.
    pub admin_token: Option<SecretString>,
    /// None: it is plain HTTP.
    pub admin_tls: Option<TlsFiles>,
    pub admin_security_changes: bool,
    /// Of Toxiproxy's API.
    pub toxiproxy: Option<Address>,
    pub data: PathBuf,
    pub storage: StorageConfig,
    pub policies: Policies,
    pub capture: Option<CaptureFile>,
    pub broker: Broker,
    pub limits: Limits,
    pub drain_timeout: Duration,
    pub log: Log,
}

/// Where what passes is recorded, and how many bytes of it.
#[derive(Debug, Clone, PartialEq)]
pub struct CaptureFile {
    pub path: PathBuf,
    pub most: u64,
}

#[derive(Debug, Clone)]
pub struct Policies {
    pub folder: PathBuf,
    /// Someone named the folder: then it must exist. The default one may be missing, which means no policies.
    pub named: bool,
    pub secrets: Option<PathBuf>,
    /// None: in the folder of policies.
    pub schemas: Option<PathBuf>,
    pub audit: Option<PathBuf>,
    pub journal: Option<PathBuf>,
    /// A journal to be replayed.
    pub replay: Option<PathBuf>,
    /// Of both files.
    pub lines: Bounds,
    pub seed: Option<u64>,
    /// Whether a fault may end the process.
    pub allow_crash: bool,
}

/// What the broker is given. Only what was set: the rest is the broker's to default.
#[derive(Debug, Clone)]
pub struct Broker {
    pub cluster_id: Option<String>,
    pub node_id: i32,
    /// Under Kafka's names.
    pub properties: BTreeMap<String, String>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Log {
    pub format: LogFormat,
    pub filter: String,
}

const MIB: u64 = 1 << 20;
/// Above any memory there is.
const MAX_MEMORY: u64 = 1 << 40;
const MIN_FRAME_BYTES: u64 = 1024;

impl Config {
    /// Fills in defaults and checks what one value alone cannot show.
    pub fn resolve(settings: Settings) -> Result<Self, Failure> {
        let (listeners, admin_tls) = (listeners(&settings)?, admin_tls(&settings)?);
        let users = Self::users_file(&settings);
        let usual = Limits::default();
        let limits = Limits {
            max_frame_bytes: bytes(
                "max_frame_bytes",
                settings.max_frame_bytes.map(|t| t.0),
                usual.max_frame_bytes,
                MIN_FRAME_BYTES..=i32::MAX as u64,
            )?,
            request_memory_bytes: memory(
                "request_memory",
                settings.request_memory.map(|t| t.0),
                usual.request_memory_bytes,
            )?,
            held_bytes: memory("response_memory", settings.response_memory.map(|t| t.0), usual.held_bytes)?,
            max_sessions: count("max_sessions", settings.max_sessions, usual.max_sessions)?,
            max_sessions_per_address: count(
                "max_sessions_per_ip",
                settings.max_sessions_per_ip,
                usual.max_sessions_per_address,
            )?,
            idle_timeout: time("idle_timeout", settings.idle_timeout.map(|t| t.0), usual.idle_timeout)?,
            frame_timeout: time("frame_timeout", settings.frame_timeout.map(|t| t.0), usual.frame_timeout)?,
            authentication_timeout: time(
                "auth_timeout",
                settings.auth_timeout.map(|t| t.0),
                usual.authentication_timeout,
            )?,
            write_timeout: time("write_timeout", settings.write_timeout.map(|t| t.0), usual.write_timeout)?,
            ..usual
        };
        if limits.request_memory_bytes < limits.max_frame_bytes {
            return Err(Failure::usage(format!(
                "`request_memory` ({}) must hold at least one request of `max_frame_bytes` ({})",
                Size(limits.request_memory_bytes as u64),
                Size(limits.max_frame_bytes as u64),
            )));
        }

        let usual = StorageConfig::default();
        let flush = settings.flush.map_or(usual.flush, |t| t.0.0);
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let storage = StorageConfig {
            flush,
            committers: count("committers", settings.committers, usual_committers(flush, cores))?,
            max_open_files: count("max_open_files", settings.max_open_files, usual.max_open_files)?,
            tail_cache_bytes: bytes(
                "tail_cache",
                settings.tail_cache.map(|t| t.0),
                usual.tail_cache_bytes,
                0..=MAX_MEMORY,
            )?,
            max_pending_bytes: memory(
                "max_pending",
                settings.max_pending.map(|t| t.0),
                usual.max_pending_bytes,
            )?,
            ..usual
        };

        let node_id = settings.node_id.unwrap_or(1);
        let broker = Broker {
            cluster_id: settings.cluster_id.clone().map(cluster_id).transpose()?,
            node_id: i32::try_from(node_id)
                .map_err(|_| Failure::usage(format!("`node_id` must be at most {}", i32::MAX)))?,
            properties: properties(&settings)?,
        };

        let data = settings.data.unwrap_or_else(|| "./tollgate-data".into());
        let lines = |file: Option<Text<OptionalPath>>, name| match file {
            Some(Text(OptionalPath(file))) => file,
            None => Some(data.join(name)),
        };

        let bounds = bounds(settings.audit_max_bytes.map(|size| size.0), settings.audit_files)?;

        let admin = settings.admin.map_or_else(|| Some(Address::new("127.0.0.1", 9644)), |t| t.0.0);
        if let Some(admin) = admin.as_ref().filter(|admin| admin.port != 0)
            && let Some(listener) = listeners.iter().find(|listener| listener.address == *admin)
        {
            return Err(Failure::usage(format!(
                "listener `{}` and `admin` have the same address, {admin}",
                listener.name
            )));
        }

        let toxiproxy = settings.toxiproxy.and_then(|t| t.0.0);
        if let Some(api) = toxiproxy.as_ref().filter(|api| api.port != 0) {
            let listener = listeners.iter().find(|listener| listener.address == *api);
            let other = listener.map(|listener| format!("listener `{}`", listener.name));
            if let Some(other) = other.or((admin.as_ref() == Some(api)).then(|| "`admin`".to_owned())) {
                return Err(Failure::usage(format!("{other} and `toxiproxy` have the same address, {api}")));
            }
        }

        let most = settings.capture_max_bytes.map_or(1 << 30, |size| size.0.0);
        if !(4_096..=1 << 40).contains(&most) {
            return Err(Failure::usage("`capture_max_bytes` must be from 4KiB to 1TiB".to_owned()));
        }

        Ok(Self {
            listeners,
            admin_tls,
            users,
            admin,
            admin_token_file: settings.admin_token_file,
            admin_token: None,
            admin_security_changes: settings.admin_security_changes.unwrap_or(false),
            toxiproxy,
            capture: settings.capture.map(|path| CaptureFile { path, most }),
            storage,
            policies: Policies {
                audit: lines(settings.audit, "audit.jsonl"),
                journal: lines(settings.journal, "journal.jsonl"),
                replay: settings.replay,
                lines: bounds,
                secrets: settings.secrets,
                schemas: settings.schemas,
                named: settings.policies.is_some(),
                folder: settings.policies.unwrap_or_else(|| "./policies".into()),
                seed: settings.seed,
                allow_crash: settings.allow_crash.unwrap_or(false),
            },
            data,
            broker,
            limits,
            drain_timeout: settings.drain_timeout.map_or(Duration::from_secs(10), |t| t.0.0),
            log: Log {
                format: settings.log.map(|t| t.0).unwrap_or_default(),
                filter: settings.log_level.unwrap_or_else(|| "info".into()),
            },
        })
    }

    /// Where users are kept: `tollgate user` needs to know no more.
    pub fn users_file(settings: &Settings) -> PathBuf {
        settings.users.clone().unwrap_or_else(|| "./tollgate-users.toml".into())
    }

    /// Whether any listener asks for a login, so that users are needed.
    pub fn needs_users(&self) -> bool {
        self.listeners.iter().any(|listener| !listener.sasl.is_empty())
    }

    /// What is allowed and yet worth a second thought, one sentence each.
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        for listener in &self.listeners {
            listener.warn(&mut warnings);
        }
        if let Some(admin) = self.admin.as_ref().filter(|admin| !admin.is_loopback()) {
            let with_certificates = self.admin_tls.as_ref().is_some_and(|tls| tls.client_ca.is_some());
            let with_tokens = self.admin_token_file.is_some() || self.admin_token.is_some();
            if !with_certificates {
                warnings.push(format!(
                    "the admin address {admin} can be reached from other machines: metrics and the names of users, topics \
                     and clients are shown to whoever asks"
                ));
            }
            match with_tokens {
                true if self.admin_tls.is_none() => warnings.push(format!(
                    "the admin address {admin} takes changes of policies from other machines: tokens cross the network \
                     unencrypted; set `admin_tls_certificate` to change that"
                )),
                false if !with_certificates => warnings.push(format!(
                    "the admin address {admin} takes no changes of policies: it is none of loopback, and there is no token; \
                     see `admin_token_file`"
                )),
                _ => {}
            }
        }
        if let Some(api) = self.toxiproxy.as_ref().filter(|api| !api.is_loopback()) {
            warnings.push(format!(
                "the address of Toxiproxy's API {api} can be reached from other machines: whoever asks can open ports of \
                 this machine that lead to the listeners, and harm what passes"
            ));
        }
        warnings
    }
}

/// Kafka's ids are 22 characters of URL-safe base64; others are taken too, as Kafka takes them.
fn cluster_id(id: String) -> Result<String, Failure> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    match !id.is_empty() && id.len() <= 64 && id.chars().all(is_part) {
        true => Ok(id),
        false => Err(Failure::usage("`cluster_id` must be 1 to 64 letters, digits, `-`, `_` and `.`")),
    }
}

/// The broker's settings under Kafka's names: those of `[broker]`, and over them those that have a name of ours.
fn properties(settings: &Settings) -> Result<BTreeMap<String, String>, Failure> {
    let mut properties: BTreeMap<String, String> =
        settings.broker.iter().flatten().map(|(name, value)| (name.clone(), value.0.clone())).collect();
    if let Some(n) = settings.num_partitions {
        let n = count("num_partitions", Some(n), 1)?;
        properties.insert("num.partitions".into(), n.to_string());
    }
    if let Some(create) = settings.auto_create_topics {
        properties.insert("auto.create.topics.enable".into(), create.to_string());
    }
    // Kafka's -1 is no limit.
    if let Some(Text(Limit(retention))) = &settings.retention {
        let ms = retention.map_or("-1".to_owned(), |span| span.0.as_millis().to_string());
        properties.insert("log.retention.ms".into(), ms);
    }
    if let Some(Text(Limit(retention))) = &settings.retention_bytes {
        let bytes = retention.map_or("-1".to_owned(), |size| size.0.to_string());
        properties.insert("log.retention.bytes".into(), bytes);
    }
    let mut checked = ServerConfigs::default();
    for (name, value) in &properties {
        checked
            .set_static(name, value)
            .map_err(|problem| Failure::usage(format!("broker setting `{name}` {problem}")))?;
    }
    Ok(properties)
}

fn time(key: &str, value: Option<Span>, default: Duration) -> Result<Duration, Failure> {
    match value.map_or(default, |span| span.0) {
        Duration::ZERO => Err(Failure::usage(format!("`{key}` must be longer than 0"))),
        value => Ok(value),
    }
}

fn count(key: &str, value: Option<u32>, default: usize) -> Result<usize, Failure> {
    match value.map(|n| usize::try_from(n).unwrap_or(usize::MAX)).unwrap_or(default) {
        0 => Err(Failure::usage(format!("`{key}` must be at least 1"))),
        value => Ok(value),
    }
}

/// Of the audit trail and of the journal.
fn bounds(size: Option<Size>, files: Option<u32>) -> Result<Bounds, Failure> {
    let default = Bounds::default();
    let bytes = size.map_or(default.bytes, |size| size.0);
    if !(4_096..=1 << 40).contains(&bytes) {
        return Err(Failure::usage("`audit_max_bytes` must be from 4KiB to 1TiB".to_owned()));
    }
    let files = files.map_or(default.files, |n| usize::try_from(n).unwrap_or(usize::MAX));
    match files {
        2..=10_000 => Ok(Bounds { bytes, files }),
        _ => Err(Failure::usage("`audit_files` must be from 2 to 10000".to_owned())),
    }
}

fn memory(key: &str, value: Option<Size>, default: usize) -> Result<usize, Failure> {
    bytes(key, value, default, MIB..=MAX_MEMORY)
}

fn bytes(
    key: &str,
    value: Option<Size>,
    default: usize,
    range: RangeInclusive<u64>,
) -> Result<usize, Failure> {
    let value = value.map_or(default as u64, |size| size.0);
    match usize::try_from(value) {
        Ok(bytes) if range.contains(&value) => Ok(bytes),
        _ => Err(Failure::usage(format!(
            "`{key}` must be from {} to {}",
            Size(*range.start()),
            Size(*range.end())
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::super::sources;
    use super::*;
    use std::path::Path;

    fn config(file: &str) -> Result<Config, Failure> {
        Config::resolve(sources::from_file(Path::new("tollgate.toml"), file)?)
    }

    #[test]
    fn nothing_typed_is_the_documented_default() {
        let config = config("").unwrap();
        assert_eq!(config.listeners.len(), 1);
        assert_eq!(config.listeners[0].address.to_string(), "127.0.0.1:9092");
        assert_eq!(config.admin.as_ref().unwrap().to_string(), "127.0.0.1:9644");
        assert_eq!(config.data, Path::new("./tollgate-data"));
        assert_eq!(config.policies.folder, Path::new("./policies"));
        assert!(!config.policies.named);
        assert_eq!(config.policies.audit.as_deref(), Some(Path::new("./tollgate-data/audit.jsonl")));
        assert_eq!(config.policies.journal.as_deref(), Some(Path::new("./tollgate-data/journal.jsonl")));
        assert_eq!(config.storage.flush.to_string(), "group-commit");
        assert_eq!(config.limits.max_frame_bytes, 100 << 20);
        assert!(config.broker.properties.is_empty());
        assert!(!config.needs_users());
        assert_eq!(config.warnings(), Vec::<String>::new());
    }

    #[test]
    fn help_tells_the_defaults_that_hold() {
        use clap::Args;
        let command = Settings::augment_args(clap::Command::new("x"));
        let mut file = String::new();
        for argument in command.get_arguments() {
            let help = argument.get_help().unwrap().to_string();
            let Some((_, default)) = help.rsplit_once("[default: ") else { continue };
            let default = default.trim_end_matches(']');
            let key = argument.get_long().unwrap().replace('-', "_");
            if default.contains("drawn")
                || default.contains("in ")
                || matches!(&*key, "policies" | "tls_client_auth")
            {
                continue;
            }
            let bare = default.parse::<u64>().is_ok() || default.parse::<bool>().is_ok();
            let value = if bare { default.to_owned() } else { format!("\"{default}\"") };
            file.push_str(&format!("{key} = {value}\n"));
        }
        assert!(file.lines().count() > 20, "{file}");
        let (told, mut held) = (config(&file).unwrap(), config("").unwrap());
        for (name, value) in &told.broker.properties {
            let default = match name.as_str() {
                // Kafka's default stands in hours there, and is a week.
                "log.retention.ms" => "604800000",
                name => crate::broker::config::server::definition(name).unwrap().default.unwrap(),
            };
            assert_eq!(value, default);
        }
        held.broker.properties = told.broker.properties.clone();
        assert_eq!(format!("{told:?}"), format!("{held:?}"));
    }

    #[test]
    fn values_that_cannot_be_meant_are_refused_by_name() {
        for (file, expected) in [
            ("max_sessions = 0", "`max_sessions` must be at least 1"),
            ("audit_files = 1", "`audit_files` must be from 2 to 10000"),
            ("capture_max_bytes = 5", "`capture_max_bytes` must be from 4KiB"),
            ("audit_max_bytes = 5", "`audit_max_bytes` must be from 4KiB"),
            ("num_partitions = 0", "`num_partitions` must be at least 1"),
            ("node_id = 4294967295", "`node_id` must be at most 2147483647"),
            ("idle_timeout = \"0s\"", "`idle_timeout` must be longer than 0"),
            ("max_frame_bytes = 10", "`max_frame_bytes` must be from 1KiB to 2147483647"),
            ("max_frame_bytes = \"3GiB\"", "`max_frame_bytes` must be from"),
            (
                "request_memory = \"10MiB\"",
                "`request_memory` (10MiB) must hold at least one request of `max_frame_bytes` (100MiB)",
            ),
            ("cluster_id = \"\"", "`cluster_id` must be"),
            ("[broker]\n\"log.rol.ms\" = 5", "broker setting `log.rol.ms` is not a setting of this broker"),
            ("[broker]\n\"log.roll.ms\" = \"soon\"", "broker setting `log.roll.ms` "),
            ("[broker]\n\"node.id\" = 7", "broker setting `node.id` cannot be set"),
            ("listener = []", "there is no listener"),
            (
                "listen = \"h:1\"\n[[listener]]\nname = \"a\"\naddress = \"h:2\"",
                "`listen` and [[listener]] cannot both be given",
            ),
            (
                "sasl = \"PLAIN\"\n[[listener]]\nname = \"a\"\naddress = \"h:2\"",
                "`sasl` and [[listener]] cannot both be given",
            ),
            (
                "[[listener]]\nname = \"a\"\naddress = \"h:1\"\n[[listener]]\nname = \"a\"\naddress = \"h:2\"",
                "two listeners are named `a`",
            ),
            (
                "[[listener]]\nname = \"a\"\naddress = \"h:1\"\n[[listener]]\nname = \"b\"\naddress = \"h:1\"",
                "two listeners have the address h:1",
            ),
            (
                "listen = \"h:1\"\nadmin = \"h:1\"",
                "listener `default` and `admin` have the same address, h:1",
            ),
            ("[[listener]]\nname = \"a b\"\naddress = \"h:1\"", "listener \"a b\": a name is 1 to 64"),
            (
                "advertised = \"0.0.0.0:9092\"",
                "clients cannot connect to the advertised address 0.0.0.0:9092",
            ),
            ("advertised = \"h:0\"", "clients cannot connect to the advertised address h:0"),
        ] {
            let error = config(file).unwrap_err().to_string();
            assert!(error.contains(expected), "{file:?} gives {error:?}");
        }
    }

    #[test]
    fn what_is_open_to_the_network_is_said() {
        let warnings = |file: &str| config(file).unwrap().warnings().join("\n");
        assert!(warnings("listen = \"0.0.0.0:9092\"").contains("asks for no authentication"));
        assert!(warnings("listen = \"0.0.0.0:9092\"\nsasl = \"PLAIN\"").contains("unencrypted"));
        assert!(warnings("listen = \"0.0.0.0:9092\"\nsasl = \"SCRAM-SHA-512\"").is_empty());
        assert!(warnings("listen = \"[::1]:9092\"").is_empty());
        assert!(warnings("admin = \"0.0.0.0:1\"").contains("admin address 0.0.0.0:1"));
        assert!(warnings("admin = \"0.0.0.0:1\"").contains("takes no changes of policies"));
        let with_token = warnings("admin = \"0.0.0.0:1\"\nadmin_token_file = \"t\"");
        assert!(with_token.contains("tokens cross the network"), "{with_token}");
        let tls = "admin = \"0.0.0.0:1\"\nadmin_tls_certificate = \"c\"\n";
        assert!(warnings(tls).contains("takes no changes of policies"));
        assert!(!warnings(&format!("{tls}admin_token_file = \"t\"")).contains("cross the network"));
        assert_eq!(warnings(&format!("{tls}admin_tls_client_ca = \"c\"")), "");
        let half = config("admin_tls_client_ca = \"c\"").unwrap_err().to_string();
        assert!(
            half.contains("`admin_tls_client_ca` says nothing without `admin_tls_certificate`"),
            "{half}"
        );
        assert!(
            warnings("listen = \"h:1\"\nsasl = \"SCRAM-SHA-512\"\nadvertised = \"localhost:1\"")
                .contains("will reach themselves")
        );
    }

    #[test]
    fn the_broker_gets_kafkas_names_and_minus_one_for_unlimited() {
        let file = "retention = \"unlimited\"\nretention_bytes = \"1GiB\"\nnum_partitions = 3\nadmin = \"off\"\n\
                    [broker]\n\"num.partitions\" = 9\n\"log.roll.ms\" = 5\n\"delete.topic.enable\" = false";
        let config = config(file).unwrap();
        let expected = [
            ("delete.topic.enable", "false"),
            ("log.retention.bytes", "1073741824"),
            ("log.retention.ms", "-1"),
            ("log.roll.ms", "5"),
            ("num.partitions", "3"),
        ];
        assert!(config.broker.properties.iter().map(|(k, v)| (k.as_str(), v.as_str())).eq(expected));
        assert_eq!(config.admin, None);
    }

    #[test]
    fn a_listener_with_a_login_needs_users() {
        assert!(config("sasl = \"SCRAM-SHA-256\"").unwrap().needs_users());
        assert!(!config("sasl = \"\"").unwrap().needs_users());
    }
}
