//! The command line, as clap reads it. Only what was typed: nothing here looks at files or variables.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use super::settings::Settings;

/// A Kafka-protocol gateway that enforces scripted policies and injects faults, with a durable Kafka-compatible broker
/// inside.
#[derive(Debug, Parser)]
#[command(name = "tollgate", version, disable_help_subcommand = true, arg_required_else_help = true)]
#[command(
    after_help = "Exit codes: 0 done; 1 it could not be done; 2 it was asked wrongly (a flag, a setting, a \
                        policy); 130 or 143 ended at once by a second signal."
)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the gateway, the broker inside and the admin address
    Serve(Box<Serve>),
    /// Serve, and let exactly those faults happen that a journal has
    Replay(Box<ReplayJournal>),
    /// Check, test and explain policies, without a server
    #[command(subcommand)]
    Policy(Policy),
    /// Ask a running server what its policies do, and change them
    Ctl(Ctl),
    /// Keep the users that can log in
    #[command(subcommand)]
    User(User),
    /// Print the version
    Version,
}

#[derive(Debug, Args)]
#[command(after_help = "Every option above is also a key of tollgate.toml (max_sessions) and a variable \
                        (TOLLGATE_MAX_SESSIONS). A flag goes before a variable, a variable before the file. Several \
                        listeners can be declared in the file only, as [[listener]] with name, address, advertised \
                        and sasl.")]
pub struct Serve {
    #[command(flatten)]
    pub file: ConfigFile,
    /// Check settings, users and policies, then end
    #[arg(long)]
    pub check: bool,
    #[command(flatten)]
    pub settings: Settings,
}

#[derive(Debug, Args)]
#[command(
    after_help = "The policies must be those of the run that wrote the journal. Which faults happened now stands in the \
                        new journal (`--journal`): sorted and without times and sessions, it is equal to the old one when \
                        the client did the same again. Everything else is as with `tollgate serve`."
)]
pub struct ReplayJournal {
    /// The journal, as a server has written it
    #[arg(value_name = "JOURNAL")]
    pub path: PathBuf,
    #[command(flatten)]
    pub serve: Serve,
}

#[derive(Debug, Args)]
pub struct ConfigFile {
    /// Settings to read [default: ./tollgate.toml, if there is one; variable: TOLLGATE_CONFIG]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub enum Policy {
    /// Compile the policies of a folder and look for rules that cannot be meant
    Check(PolicyFolder),
    /// Run the tests that stand in policy files
    ///
    /// Each test runs in a world of its own, in which only the policy of its file is loaded: windows and counters are
    /// empty, the clock stands at zero, and neither other files nor other tests are seen. A test therefore says what its
    /// policy does, not what the whole folder does together; for that ask `policy explain`.
    ///
    /// After the tests stand the rules that acted in none of them: a rule is met by the tests of its own file only.
    Test(PolicyTest),
    /// Show which rules would meet a request, in order
    ///
    /// Whether the broker keeps ACLs, which are asked besides the rules, stands in the settings; what they say, in its data
    /// folder: `kafka-acls --list` shows them.
    Explain(Explain),
    /// Show what policies would have done to recorded sessions, to whom and how often
    ///
    /// `tollgate serve --capture FILE` records them. Rules only watch; the clock is the capture's, so that `during` counts from its
    /// first record. Secrets are made up. What the policies of the recording server refused or lost has no answer in the capture.
    DryRun(DryRun),
    /// Write the policy that is equal to interceptors of Conduktor Gateway
    ///
    /// FILE holds them in JSON, as Gateway's API takes and gives them: one, a list, or several documents. What has no equal stands in
    /// the policy as a comment and is told with its place in the file.
    Import(Import),
    /// Print the words of the language: how each is written, what it does, and a policy that uses it
    Docs(Docs),
    /// Print the words of the language for editors, in Rhai's definition format
    ///
    /// Written to a file whose name ends in .d.rhai, where the policies are, Rhai's language server completes and explains the
    /// words. Such a file is no policy.
    Definitions,
    /// Print the JSON Schema of the audit trail's lines
    AuditSchema,
    /// Print the JSON Schema of the journal's lines
    JournalSchema,
}

#[derive(Debug, Args)]
pub struct Docs {
    /// Only these
    #[arg(value_name = "WORD")]
    pub words: Vec<String>,
}

#[derive(Debug, Args)]
pub struct PolicyFolder {
    /// Folder of policies
    #[arg(value_name = "DIR", default_value = "./policies")]
    pub folder: PathBuf,
}

#[derive(Debug, Args)]
pub struct DryRun {
    #[command(flatten)]
    pub folder: PolicyFolder,
    /// The recorded sessions
    #[arg(long, value_name = "FILE")]
    pub capture: PathBuf,
    /// Print the report as JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Exit codes: 0 everything has an equal; 1 something has none; 2 FILE cannot be taken."
)]
pub struct Import {
    /// The interceptors; - is standard input
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Write a policy for each interceptor into this folder, instead of all as one to standard output
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct PolicyTest {
    #[command(flatten)]
    pub folder: PolicyFolder,
    /// Fail when a rule acts in no test
    #[arg(long)]
    pub require_coverage: bool,
}

#[derive(Debug, Args)]
pub struct Explain {
    #[command(flatten)]
    pub folder: PolicyFolder,
    #[command(flatten)]
    pub file: ConfigFile,
    /// Who asks, as User:name
    #[arg(long = "as", value_name = "PRINCIPAL", default_value = "User:ANONYMOUS")]
    pub principal: String,
    /// The client id of the request
    #[arg(long, value_name = "ID", default_value = "")]
    pub client_id: String,
    /// The api, by Kafka's name
    #[arg(long, value_name = "NAME")]
    pub api: String,
    /// A topic it is about
    #[arg(long, value_name = "TOPIC")]
    pub topic: Option<String>,
    /// The partition of that topic; rules about others are left out then
    #[arg(long, value_name = "N", requires = "topic", value_parser = clap::value_parser!(i32).range(0..))]
    pub partition: Option<i32>,
    /// A group it is about
    #[arg(long, value_name = "GROUP")]
    pub group: Option<String>,
    /// The listener it came to
    #[arg(long, value_name = "NAME", default_value = "default")]
    pub listener: String,
    /// The address it came from
    #[arg(long, value_name = "IP", default_value = "127.0.0.1")]
    pub from_ip: std::net::IpAddr,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Exit codes: 0 done; 1 the server cannot be reached, is not ready or refuses; 2 it was asked wrongly: \
                        a flag, a name, a script that does not load (shown as FILE:LINE:COLUMN with its line). The token is \
                        that of --token-file, of TOLLGATE_ADMIN_TOKEN or of the setting admin_token_file."
)]
pub struct Ctl {
    #[command(subcommand)]
    pub command: CtlCommand,
    #[command(flatten)]
    pub file: ConfigFile,
    /// The server's admin address, as http://HOST:PORT or https://HOST:PORT [default: the `admin` setting, else 127.0.0.1:9644]
    #[arg(long, value_name = "URL", global = true)]
    pub admin: Option<String>,
    /// File that holds the token
    #[arg(long, value_name = "FILE", global = true)]
    pub token_file: Option<PathBuf>,
    /// PEM file of whom to trust over HTTPS [default: the setting admin_tls_certificate]
    #[arg(long, value_name = "FILE", global = true)]
    pub ca: Option<PathBuf>,
    /// PEM file of the certificate to show over HTTPS, where the server asks for one
    #[arg(long, value_name = "FILE", global = true)]
    pub certificate: Option<PathBuf>,
    /// PEM file of its private key [default: in the file of the certificate]
    #[arg(long, value_name = "FILE", global = true, requires = "certificate")]
    pub key: Option<PathBuf>,
    /// Print what the server answers, as JSON
    #[arg(long, global = true)]
    pub json: bool,
}

#[derive(Debug, Subcommand)]
pub enum CtlCommand {
    /// Whether it is ready, and how many policies and rules there are
    Status,
    /// List the policies
    Policies,
    /// List all rules
    Rules,
    /// Show, add, remove or switch a policy
    #[command(subcommand)]
    Policy(PolicyCtl),
    /// Add, remove or switch a single rule
    #[command(subcommand)]
    Rule(RuleCtl),
    /// Remove all that was added and switch everything on: back to what the folder says
    Reset {
        /// Policies with security rules too
        #[arg(long)]
        security: bool,
    },
}

#[derive(Debug, Subcommand)]
pub enum PolicyCtl {
    /// Show a policy, its rules and its script
    Show { name: String },
    /// Add a policy, or change one that was added
    Add {
        name: String,
        /// Its script; - is standard input
        file: PathBuf,
        /// How long it lives, as 90s, 10m, 2h or 7d
        #[arg(long, value_name = "TIME")]
        ttl: Option<String>,
        /// Security rules are meant
        #[arg(long)]
        security: bool,
    },
    /// Remove a policy that was added
    Remove {
        name: String,
        /// Security rules are meant
        #[arg(long)]
        security: bool,
    },
    /// Switch a policy on again
    Enable { name: String },
    /// Switch a policy off
    Disable {
        name: String,
        /// Security rules are meant
        #[arg(long)]
        security: bool,
    },
}

impl PolicyCtl {
    pub fn name(&self) -> &str {
        match self {
            Self::Show { name }
            | Self::Add { name, .. }
            | Self::Remove { name, .. }
            | Self::Enable { name }
            | Self::Disable { name, .. } => name,
        }
    }

    /// What is said when it is done.
    pub fn done(&self) -> &'static str {
        match self {
            Self::Show { .. } => "shown",
            Self::Add { .. } => "added",
            Self::Remove { .. } => "removed",
            Self::Enable { .. } => "enabled",
            Self::Disable { .. } => "disabled",
        }
    }
}

#[derive(Debug, Subcommand)]
pub enum RuleCtl {
    /// Add a rule under a name, or change one that was added
    Add {
        name: String,
        /// The rule; - is standard input
        #[arg(value_name = "RULE")]
        text: String,
        /// How long it lives, as 90s, 10m, 2h or 7d
        #[arg(long, value_name = "TIME")]
        ttl: Option<String>,
        /// A security rule is meant
        #[arg(long)]
        security: bool,
    },
    /// Remove a rule that was added
    Remove {
        name: String,
        /// A security rule is meant
        #[arg(long)]
        security: bool,
    },
    /// Switch a rule of a policy on again
    Enable { policy: String, rule: String },
    /// Switch a rule of a policy off
    Disable {
        policy: String,
        rule: String,
        /// A security rule is meant
        #[arg(long)]
        security: bool,
    },
}

impl RuleCtl {
    pub fn name(&self) -> String {
        match self {
            Self::Add { name, .. } | Self::Remove { name, .. } => name.clone(),
            Self::Enable { policy, rule } | Self::Disable { policy, rule, .. } => {
                format!("{rule} of {policy}")
            }
        }
    }

    /// What is said when it is done.
    pub fn done(&self) -> &'static str {
        match self {
            Self::Add { .. } => "added",
            Self::Remove { .. } => "removed",
            Self::Enable { .. } => "enabled",
            Self::Disable { .. } => "disabled",
        }
    }
}

#[derive(Debug, Subcommand)]
pub enum User {
    /// Add a user; the password is asked for, or read from standard input, --password-file or TOLLGATE_PASSWORD
    Add(AddUser),
    /// Remove a user; sessions it already has stay
    Remove(NamedUser),
    /// Print the names of all users
    List(UsersFile),
}

#[derive(Debug, Args)]
pub struct UsersFile {
    #[command(flatten)]
    pub file: ConfigFile,
    /// The users file [default: the `users` setting, else ./tollgate-users.toml]
    #[arg(long, value_name = "FILE")]
    pub users: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct NamedUser {
    /// Name of the user; its principal is User:NAME
    pub name: String,
    #[command(flatten)]
    pub users: UsersFile,
}

#[derive(Debug, Args)]
pub struct AddUser {
    #[command(flatten)]
    pub user: NamedUser,
    /// File that holds the password and nothing else; - is standard input
    #[arg(long, value_name = "FILE")]
    pub password_file: Option<PathBuf>,
    /// Give a new password to a user that exists
    #[arg(long)]
    pub replace: bool,
    /// Rounds of hashing; more make guessing from a stolen users file slower, and each login too
    #[arg(long, value_name = "N", default_value_t = crate::security::credential::DEFAULT_ITERATIONS)]
    pub iterations: u32,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn no_flag_takes_a_password() {
        fn check(command: &clap::Command) {
            for argument in command.get_arguments() {
                let name = argument.get_id().as_str();
                assert!(!name.contains("password") || name == "password_file", "{name}");
            }
            command.get_subcommands().for_each(check);
        }
        check(&Cli::command());
    }

    #[test]
    fn the_flags_of_the_issue() {
        let cli = Cli::try_parse_from([
            "tollgate",
            "serve",
            "--listen",
            "127.0.0.1:1",
            "--admin",
            "off",
            "--data",
            "d",
            "--policies",
            "p",
            "--flush",
            "interval:200ms",
            "--config",
            "c",
            "--check",
            "--log",
            "json",
        ])
        .unwrap();
        let Command::Serve(serve) = cli.command else { panic!("{cli:?}") };
        assert!(serve.check);
        assert_eq!(serve.settings.data, Some("d".into()));
    }
}
