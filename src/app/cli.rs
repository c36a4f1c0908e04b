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
    /// Check, test and explain policies, without a server
    #[command(subcommand)]
    Policy(Policy),
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
    Test(PolicyFolder),
    /// Show which rules would meet a request, in order
    ///
    /// Whether the broker keeps ACLs, which are asked besides the rules, stands in the settings; what they say, in its data
    /// folder: `kafka-acls --list` shows them.
    Explain(Explain),
}

#[derive(Debug, Args)]
pub struct PolicyFolder {
    /// Folder of policies
    #[arg(value_name = "DIR", default_value = "./policies")]
    pub folder: PathBuf,
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
