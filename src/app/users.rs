//! `tollgate user`: adds, removes and lists the users of a file.

use std::io::Write;
use std::path::Path;

use super::cli::{AddUser, NamedUser, User};
use super::failure::Failure;
use super::password;
use crate::security::credential::{MAX_ITERATIONS, MIN_ITERATIONS};
use crate::security::users::{User as Record, UsersError};
use crate::security::{SecretString, UserName, UsersStore, users_file};

/// Runs one of them on the users file at `path`, printing to `out`.
pub fn run(
    command: &User,
    path: &Path,
    password: Option<SecretString>,
    out: &mut impl Write,
) -> Result<(), Failure> {
    match command {
        User::Add(add) => self::add(add, path, password, out),
        User::Remove(NamedUser { name, .. }) => remove(name, path, out),
        User::List(_) => {
            for name in users_file::load(path).map_err(failure)?.names() {
                print(out, name.as_str())?;
            }
            Ok(())
        }
    }
}

fn add(
    add: &AddUser,
    path: &Path,
    variable: Option<SecretString>,
    out: &mut impl Write,
) -> Result<(), Failure> {
    let name: UserName = add.user.name.parse().map_err(|e| Failure::usage(format!("{e}")))?;
    if !(MIN_ITERATIONS..=MAX_ITERATIONS).contains(&add.iterations) {
        let message = format!("--iterations must be from {MIN_ITERATIONS} to {MAX_ITERATIONS}");
        return Err(Failure::usage(message));
    }
    let exists = |users: &crate::security::users::Users| users.find(name.as_str()).is_some();
    let refuse = || {
        let message =
            format!("the user {name} exists in {}; --replace gives it a new password", path.display());
        Edit::Refused(message)
    };
    // Before anybody types a password in vain.
    if !add.replace && path.exists() && exists(&users_file::load(path).map_err(failure)?) {
        return Err(refuse().into());
    }
    let password = password::read_new(name.as_str(), add.password_file.as_deref(), variable)?;
    let record =
        Record::with_password(&password, add.iterations).map_err(|e| Failure::cannot(e.to_string()))?;
    let replaced = users_file::edit(path, |users| match exists(users) && !add.replace {
        true => Err(refuse()),
        false => Ok(users.insert(name.clone(), record)),
    })?;
    let what = if replaced { "has a new password" } else { "added" };
    print(out, &format!("{name} {what} in {}", path.display()))
}

fn remove(name: &str, path: &Path, out: &mut impl Write) -> Result<(), Failure> {
    if !path.exists() {
        return Err(Failure::cannot(format!("there is no users file {}", path.display())));
    }
    users_file::edit(path, |users| match users.remove(name) {
        true => Ok(()),
        false => Err(Edit::Refused(format!("there is no user {name} in {}", path.display()))),
    })?;
    print(out, &format!("{name} removed from {}", path.display()))
}

/// Why an edit wrote nothing.
enum Edit {
    Refused(String),
    Failed(UsersError),
}

impl From<UsersError> for Edit {
    fn from(error: UsersError) -> Self {
        Self::Failed(error)
    }
}

impl From<Edit> for Failure {
    fn from(edit: Edit) -> Self {
        match edit {
            Edit::Refused(message) => Self::cannot(message),
            Edit::Failed(error) => failure(error),
        }
    }
}

/// The users a server starts with.
pub fn open(path: &Path) -> Result<UsersStore, Failure> {
    UsersStore::open(path).map_err(|error| match &error {
        UsersError::Io { source, .. } if source.kind() == std::io::ErrorKind::NotFound => {
            let path = path.display();
            Failure::usage(format!(
                "`sasl` needs users, and there is no {path}; `tollgate user add` makes it"
            ))
        }
        _ => failure(error),
    })
}

/// A file that says the wrong thing is one thing, a file that cannot be reached another.
pub fn failure(error: UsersError) -> Failure {
    match error {
        UsersError::Syntax { .. } | UsersError::TooLarge { .. } => Failure::usage(error.to_string()),
        UsersError::Io { .. } | UsersError::Random(_) => Failure::cannot(error.to_string()),
    }
}

fn print(out: &mut impl Write, line: &str) -> Result<(), Failure> {
    writeln!(out, "{line}").map_err(|e| Failure::cannot(format!("cannot write to standard output: {e}")))
}
