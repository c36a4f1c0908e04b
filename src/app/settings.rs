//! The one list of settings. A line below is at once a flag of `serve` (`--max-sessions`), a key of `tollgate.toml`
//! (`max_sessions`) and a variable (`TOLLGATE_MAX_SESSIONS`); nothing can be one of them and not the others.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::security::tls::ClientAuth;

use super::values::{
    Address, Flush, Limit, LogFormat, Mechanisms, OptionalAddress, OptionalPath, Size, Span, Text,
};

macro_rules! settings {
    ($($heading:literal { $($(#[doc = $doc:literal])+ $name:ident : $type:ty, $value_name:literal;)+ })+) => {
        /// What was typed, in one place it can be typed in. Nothing is required, nothing has a default yet.
        #[derive(Debug, Clone, Default, PartialEq, clap::Args, serde::Deserialize)]
        #[serde(default)]
        pub struct Settings {
            $($(
                $(#[doc = $doc])+
                #[arg(long, value_name = $value_name, help_heading = $heading)]
                pub $name: Option<$type>,
            )+)+
            /// Only in the file: `[[listener]]`.
            #[arg(skip)]
            pub listener: Option<Vec<ListenerSettings>>,
            /// Only in the file: `[broker]`, settings of the broker under Kafka's own names.
            #[arg(skip)]
            pub broker: Option<BTreeMap<String, Text<String>>>,
        }

        impl Settings {
            /// Tables that are written in the file only.
            pub const TABLES: &[&str] = &["listener", "broker"];

            /// Every key that can be a flag and a variable too.
            pub const KEYS: &[&str] = &[$($(stringify!($name),)+)+];

            /// These settings, and where they say nothing, those of `lower`.
            pub fn or(self, lower: Self) -> Self {
                Self {
                    $($($name: self.$name.or(lower.$name),)+)+
                    listener: self.listener.or(lower.listener),
                    broker: self.broker.or(lower.broker),
                }
            }
        }
    };
}

settings! {
    "Addresses" {
        /// Address for Kafka clients [default: 127.0.0.1:9092]
        listen: Text<Address>, "ADDR";
        /// Address clients are told to connect to, if they cannot use the one they came to
        advertised: Text<Address>, "ADDR";
        /// SASL mechanisms clients must choose from, separated by commas; none means no authentication
        sasl: Mechanisms, "LIST";
        /// PEM file of the certificate clients are shown, and those between it and its authority: Kafka clients speak TLS then
        tls_certificate: PathBuf, "FILE";
        /// PEM file of its private key [default: in the file of the certificate]
        tls_key: PathBuf, "FILE";
        /// PEM file of authorities: clients must show a certificate of theirs, whose subject is who they are
        tls_client_ca: PathBuf, "FILE";
        /// Whether every client must show one: required, or requested [default: required]
        tls_client_auth: Text<ClientAuth>, "MODE";
        /// Users that can log in, kept by `tollgate user` [default: ./tollgate-users.toml]
        users: PathBuf, "FILE";
        /// Address for metrics, health and status, or "off" [default: 127.0.0.1:9644]
        admin: Text<OptionalAddress>, "ADDR";
        /// Tokens that let policies be changed through the admin address; else TOLLGATE_ADMIN_TOKEN holds one
        admin_token_file: PathBuf, "FILE";
        /// PEM file of the certificate the admin address shows, and those between it and its authority: it is HTTPS then
        admin_tls_certificate: PathBuf, "FILE";
        /// PEM file of its private key [default: in the file of the certificate]
        admin_tls_key: PathBuf, "FILE";
        /// PEM file of authorities: whoever asks there must show a certificate of theirs, which does for a token if there are none
        admin_tls_client_ca: PathBuf, "FILE";
        /// Whether security rules may be changed there, by who says that they are meant [default: false]
        admin_security_changes: bool, "BOOL";
        /// Address for Toxiproxy's API, with which its clients make proxies to the listeners, or "off" [default: off]
        toxiproxy: Text<OptionalAddress>, "ADDR";
    }
    "Data" {
        /// Folder of the broker's data [default: ./tollgate-data]
        data: PathBuf, "DIR";
        /// When a write counts as done: group-commit, interval, interval:200ms or os [default: group-commit]
        flush: Text<Flush>, "MODE";
        /// Threads that write and sync; but for group-commit half the cores, at most 4 [default: 4]
        committers: u32, "N";
        /// Log files kept open for the next use [default: 512]
        max_open_files: u32, "N";
        /// Newest records kept in memory for consumers, over all partitions [default: 32MiB]
        tail_cache: Text<Size>, "SIZE";
        /// Produced bytes that may wait for the disk, over all partitions [default: 128MiB]
        max_pending: Text<Size>, "SIZE";
    }
    "Policies" {
        /// Folder of policies, watched for changes [default: ./policies]
        policies: PathBuf, "DIR";
        /// Folder of the keys that policies name, one file a key; else they are TOLLGATE_SECRET_<NAME>
        secrets: PathBuf, "DIR";
        /// Folder of the schemas that policies name [default: schemas in the folder of policies]
        schemas: PathBuf, "DIR";
        /// File of security decisions, as JSON lines, or "off" [default: audit.jsonl in the data folder]
        audit: Text<OptionalPath>, "FILE";
        /// File of injected faults, as JSON lines, or "off" [default: journal.jsonl in the data folder]
        journal: Text<OptionalPath>, "FILE";
        /// Size at which the file of either is set aside as <file>.1, and so on [default: 64MiB]
        audit_max_bytes: Text<Size>, "SIZE";
        /// Files of either that there may be, with the one that is written; then the oldest goes [default: 10]
        audit_files: u32, "N";
        /// Seed of every draw that names none [default: drawn at start, and logged]
        seed: u64, "N";
        /// A journal: of every fault exactly the injections it has happen again, as with `tollgate replay`
        replay: PathBuf, "FILE";
        /// File in which all that passes is recorded, payloads too, for `policy dry-run`; if it is there already, in FILE.1 and so on
        capture: PathBuf, "FILE";
        /// Size at which nothing more is recorded there [default: 1GiB]
        capture_max_bytes: Text<Size>, "SIZE";
        /// Whether policies may end the process with crash_at(…), as kill -9 would [default: false]
        allow_crash: bool, "BOOL";
    }
    "Broker" {
        /// The cluster's id [default: drawn once and kept with the data]
        cluster_id: String, "ID";
        /// The broker's id [default: 1]
        node_id: u32, "N";
        /// Partitions of a topic that is made without saying how many [default: 1]
        num_partitions: u32, "N";
        /// Whether a topic is made when a client first asks for it [default: true]
        auto_create_topics: bool, "BOOL";
        /// How long records are kept, or "unlimited" [default: 7d]
        retention: Text<Limit<Span>>, "TIME";
        /// How many bytes a partition keeps, or "unlimited" [default: unlimited]
        retention_bytes: Text<Limit<Size>>, "SIZE";
    }
    "Limits" {
        /// Largest request [default: 100MiB]
        max_frame_bytes: Text<Size>, "SIZE";
        /// Requests being gathered, over all sessions [default: 512MiB]
        request_memory: Text<Size>, "SIZE";
        /// Responses held back by delays or looked into by rules, over all sessions [default: 256MiB]
        response_memory: Text<Size>, "SIZE";
        /// Client connections, over all listeners [default: 20000]
        max_sessions: u32, "N";
        /// Client connections from one address [default: 20000]
        max_sessions_per_ip: u32, "N";
        /// How long a session may be silent [default: 10m]
        idle_timeout: Text<Span>, "TIME";
        /// How long a request may take to arrive, from its first byte to its last [default: 30s]
        frame_timeout: Text<Span>, "TIME";
        /// How long a client may take to log in [default: 10s]
        auth_timeout: Text<Span>, "TIME";
        /// How long a client may take no byte of its answers [default: 1m]
        write_timeout: Text<Span>, "TIME";
        /// How long sessions may take to finish when the process is asked to end [default: 10s]
        drain_timeout: Text<Span>, "TIME";
    }
    "Log" {
        /// Form of log lines: text or json [default: text]
        log: Text<LogFormat>, "FORMAT";
        /// What is logged: a level, or levels by module as in "info,tollgate::gateway=debug" [default: info]
        log_level: String, "FILTER";
    }
}

/// One `[[listener]]` of the file.
#[derive(Debug, Clone, PartialEq, serde::Deserialize)]
pub struct ListenerSettings {
    pub name: String,
    pub address: Text<Address>,
    pub advertised: Option<Text<Address>>,
    pub sasl: Option<Mechanisms>,
    pub tls_certificate: Option<PathBuf>,
    pub tls_key: Option<PathBuf>,
    pub tls_client_ca: Option<PathBuf>,
    pub tls_client_auth: Option<Text<ClientAuth>>,
}

impl ListenerSettings {
    pub const KEYS: &[&str] = &[
        "name",
        "address",
        "advertised",
        "sasl",
        "tls_certificate",
        "tls_key",
        "tls_client_ca",
        "tls_client_auth",
    ];
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Args;

    #[test]
    fn every_key_is_a_flag_and_every_flag_a_key() {
        let command = Settings::augment_args(clap::Command::new("x"));
        let flags: Vec<String> =
            command.get_arguments().filter_map(|a| a.get_long()).map(|long| long.replace('-', "_")).collect();
        assert_eq!(flags, Settings::KEYS);
        for argument in command.get_arguments() {
            assert!(argument.get_help().is_some(), "{} explains itself", argument.get_id());
        }
    }

    #[test]
    fn no_variable_is_one_that_kubernetes_sets_for_a_service_named_tollgate() {
        for key in Settings::KEYS {
            assert!(*key != "port" && !key.starts_with("port_") && !key.starts_with("service_"), "{key}");
        }
    }

    #[test]
    fn the_higher_one_wins_key_by_key() {
        let high = Settings { max_sessions: Some(1), ..Settings::default() };
        let low = Settings { max_sessions: Some(2), node_id: Some(3), ..Settings::default() };
        let both = high.or(low);
        assert_eq!((both.max_sessions, both.node_id), (Some(1), Some(3)));
    }
}
