//! The program: what was typed ([`cli`], [`settings`], [`sources`]), what it comes to ([`config`]), and what is built from it.
//!
//! The only room that joins others, and the only one that reads variables, prints, or ends the process. Reading is kept
//! apart from doing: everything up to [`config::Config`] is pure.

mod capture;
mod chaos;
pub mod cli;
pub mod config;
mod control;
mod ctl;
mod descriptors;
mod embedded;
pub mod failure;
mod listeners;
mod logging;
mod password;
mod policies;
mod policy_tools;
pub mod ready;
mod rotate;
mod scram;
mod serve;
pub mod settings;
pub mod shutdown;
pub mod sources;
mod tls;
mod tokens;
mod toxiproxy;
mod users;
pub mod values;
mod views;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use crate::security::SecretString;
use cli::{Cli, Command, ConfigFile, Serve, User};
use config::Config;
use failure::Failure;
use settings::Settings;
use values::LogFormat;

/// Settings are looked for here when no file is named.
const DEFAULT_FILE: &str = "./tollgate.toml";

/// Does what was typed; a failure is one message on standard error and an exit code.
pub fn run(cli: Cli) -> ExitCode {
    let started = Instant::now();
    let mut format = LogFormat::Text;
    let result = Environment::read().and_then(|environment| match cli.command {
        Command::Serve(serve) => self::serve(*serve, environment, started, &mut format),
        Command::Replay(replay) => {
            let cli::ReplayJournal { path, serve: mut asked } = *replay;
            asked.settings.replay = Some(path);
            serve(asked, environment, started, &mut format)
        }
        Command::Policy(command) => policy(&command, environment),
        Command::Ctl(ctl) => self::ctl(&ctl, environment),
        Command::User(command) => user(&command, environment),
        Command::Version => print(concat!("tollgate ", env!("CARGO_PKG_VERSION"))),
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            // Standard error may be gone as well; the exit code still tells.
            let _ = match format {
                LogFormat::Text => writeln!(std::io::stderr(), "tollgate: {failure}"),
                LogFormat::Json => {
                    writeln!(std::io::stderr(), "{}", logging::json_error(&failure.to_string()))
                }
            };
            failure.exit_code()
        }
    }
}

/// Says in `format` how to report a failure, as soon as it is known.
fn serve(
    serve: Serve,
    environment: Environment,
    started: Instant,
    format: &mut LogFormat,
) -> Result<(), Failure> {
    *format = serve.settings.log.map_or(*format, |log| log.0);
    let (settings, warnings) = gather(serve.settings, &serve.file, &environment)?;
    *format = settings.log.map_or(*format, |log| log.0);
    let mut config = Config::resolve(settings)?;
    config.admin_token = environment.admin_token;
    if serve.check {
        logging::filter(&config.log)?;
        if config.needs_users() {
            users::open(&config.users)?;
        }
        tokens::AdminTokens::of(&config)?;
        tls::Certificates::open(&config)?;
        for warning in warnings.iter().chain(&config.warnings()) {
            print(&format!("warning: {warning}"))?;
        }
        let policies = policies::check(&config)?;
        return print(&format!("settings are valid, and so are {policies} policies"));
    }
    let loggers = logging::start(&config.log, environment.no_color)?;
    for warning in warnings.iter().chain(&config.warnings()) {
        tracing::warn!("{warning}");
    }
    serve::run(config, loggers, started)
}

fn ctl(ctl: &cli::Ctl, environment: Environment) -> Result<(), Failure> {
    let (settings, _) = gather(Settings::default(), &ctl.file, &environment)?;
    let mut config = Config::resolve(settings)?;
    config.admin_token = environment.admin_token;
    ctl::run(ctl, &config, &mut std::io::stdout())
}

fn user(command: &User, environment: Environment) -> Result<(), Failure> {
    let file = match command {
        User::Add(add) => &add.user.users,
        User::Remove(named) => &named.users,
        User::List(file) => file,
    };
    let flags = Settings { users: file.users.clone(), ..Settings::default() };
    let (settings, _) = gather(flags, &file.file, &environment)?;
    let path = Config::users_file(&settings);
    users::run(command, &path, environment.password, &mut std::io::stdout())
}

fn policy(command: &cli::Policy, environment: Environment) -> Result<(), Failure> {
    let settings = match command {
        cli::Policy::Explain(explain) => gather(Settings::default(), &explain.file, &environment)?.0,
        _ => Settings::default(),
    };
    policy_tools::run(command, &settings, &mut std::io::stdout())
}

/// Flags before variables before the file.
fn gather(
    flags: Settings,
    file: &ConfigFile,
    environment: &Environment,
) -> Result<(Settings, Vec<String>), Failure> {
    let (variables, warnings) = sources::from_environment(environment.variables.iter().cloned())?;
    let named = file.config.as_ref().or(environment.config.as_ref());
    let path = named.map_or(Path::new(DEFAULT_FILE), PathBuf::as_path);
    let file = match std::fs::read_to_string(path) {
        Ok(text) => sources::from_file(path, &text)?,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound && named.is_none() => Settings::default(),
        Err(e) => return Err(Failure::usage(format!("cannot read {}: {e}", path.display()))),
    };
    Ok((flags.or(variables).or(file), warnings))
}

/// What the process was given besides its arguments, read once.
struct Environment {
    /// Those that start with our prefix.
    variables: Vec<(String, String)>,
    config: Option<PathBuf>,
    password: Option<SecretString>,
    admin_token: Option<SecretString>,
    no_color: bool,
}

impl Environment {
    #[expect(clippy::disallowed_methods, reason = "this is where the environment is read")]
    fn read() -> Result<Self, Failure> {
        let mut environment =
            Self { variables: Vec::new(), config: None, password: None, admin_token: None, no_color: false };
        for (name, value) in std::env::vars_os() {
            let Some(name) = name.to_str() else { continue };
            environment.no_color |= name == "NO_COLOR" && !value.is_empty();
            let Some(ours) = name.strip_prefix(sources::VARIABLE_PREFIX) else { continue };
            if ours == "CONFIG" {
                environment.config = Some(value.into());
                continue;
            }
            let value = value
                .into_string()
                .map_err(|_| Failure::usage(format!("the variable {name} is not UTF-8")))?;
            match ours {
                "ADMIN_TOKEN" => environment.admin_token = Some(SecretString::new(value)),
                "PASSWORD" => environment.password = Some(SecretString::new(value)),
                _ => environment.variables.push((name.to_owned(), value)),
            }
        }
        Ok(environment)
    }
}

fn print(line: &str) -> Result<(), Failure> {
    writeln!(std::io::stdout(), "{line}")
        .map_err(|e| Failure::cannot(format!("cannot write to standard output: {e}")))
}
