//! Where a password comes from: a file, a variable, a prompt, or what is piped in. Never from the command line, which
//! other users of the machine can read.

use std::fs::File;
use std::io::{self, IsTerminal, Read, Write};
use std::os::fd::AsFd;
use std::path::Path;

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

use super::failure::Failure;
use crate::security::credential::MAX_PASSWORD_BYTES;
use crate::security::{SecretBytes, SecretString};

/// Gets a new password. The file goes before the variable, the variable before standard input; on a terminal it is asked for
/// twice, unseen.
pub fn read_new(
    name: &str,
    file: Option<&Path>,
    variable: Option<SecretString>,
) -> Result<SecretString, Failure> {
    let password = match (file, variable) {
        (Some(file), _) if file != Path::new("-") => from_file(file)?,
        (None, Some(password)) => password,
        (None, None) if io::stdin().is_terminal() => prompt_twice(name)?,
        _ => text(SecretBytes::read_from(Unbuffered).map_err(|e| cannot_read("standard input", e))?)?,
    };
    check(&password)?;
    Ok(password)
}

fn from_file(path: &Path) -> Result<SecretString, Failure> {
    let source = path.display().to_string();
    let file = File::open(path).map_err(|e| cannot_read(&source, e))?;
    text(SecretBytes::read_from(file).map_err(|e| cannot_read(&source, e))?)
}

fn prompt_twice(name: &str) -> Result<SecretString, Failure> {
    let first = prompt(&format!("Password for {name}: "))?;
    let second = prompt("Once more: ")?;
    match first.ct_eq(second.expose()) {
        true => Ok(first),
        false => Err(Failure::usage("the two passwords differ")),
    }
}

fn prompt(question: &str) -> Result<SecretString, Failure> {
    let ask = || -> io::Result<SecretBytes> {
        let _silence = Silence::begin()?;
        let mut terminal = io::stderr();
        write!(terminal, "{question}")?;
        terminal.flush()?;
        let line = SecretBytes::read_from(FirstLine { ended: false })?;
        writeln!(terminal)?;
        Ok(line)
    };
    text(ask().map_err(|e| cannot_read("the terminal", e))?)
}

fn text(bytes: SecretBytes) -> Result<SecretString, Failure> {
    bytes.into_text().ok_or_else(|| Failure::usage("the password is not UTF-8"))
}

/// What SASL can carry: PLAIN ends a field at NUL, and SASLprep forbids control characters.
fn check(password: &SecretString) -> Result<(), Failure> {
    let text = password.expose();
    if text.is_empty() {
        return Err(Failure::usage("the password is empty"));
    }
    if text.len() > MAX_PASSWORD_BYTES {
        return Err(Failure::usage(format!("the password is longer than {MAX_PASSWORD_BYTES} bytes")));
    }
    if text.chars().any(char::is_control) {
        return Err(Failure::usage("the password contains a control character, perhaps a line break"));
    }
    Ok(())
}

fn cannot_read(source: &str, error: io::Error) -> Failure {
    Failure::cannot(format!("cannot read the password from {source}: {error}"))
}

/// Standard input without the buffer of `io::stdin`, which would keep a copy of the password.
struct Unbuffered;

impl Read for Unbuffered {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        Ok(rustix::io::retry_on_intr(|| rustix::io::read(io::stdin().as_fd(), &mut *buf))?)
    }
}

/// Standard input up to the end of its line, and no byte further.
struct FirstLine {
    ended: bool,
}

impl Read for FirstLine {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let Some(one) = buf.get_mut(..1).filter(|_| !self.ended) else { return Ok(0) };
        let n = Unbuffered.read(one)?;
        self.ended = n == 0 || one == b"\n";
        Ok(n)
    }
}

/// Keeps the terminal from showing what is typed, until dropped.
struct Silence(Termios);

impl Silence {
    fn begin() -> io::Result<Self> {
        let before = tcgetattr(io::stdin())?;
        let mut quiet = before.clone();
        quiet.local_modes.remove(LocalModes::ECHO);
        tcsetattr(io::stdin(), OptionalActions::Flush, &quiet)?;
        Ok(Self(before))
    }
}

impl Drop for Silence {
    fn drop(&mut self) {
        let _ = tcsetattr(io::stdin(), OptionalActions::Flush, &self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_goes_before_a_variable() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("password");
        std::fs::write(&file, "from file\n").unwrap();
        let variable = || Some(SecretString::new("from variable".into()));
        assert_eq!(read_new("x", Some(&file), variable()).unwrap().expose(), "from file");
        assert_eq!(read_new("x", None, variable()).unwrap().expose(), "from variable");
    }

    #[test]
    fn passwords_that_cannot_be_sent_are_refused_without_being_shown() {
        let long = "x".repeat(MAX_PASSWORD_BYTES + 1);
        for (password, why) in
            [("", "empty"), ("hunter2\nhunter2", "control"), ("hunter2\0", "control"), (&long, "longer")]
        {
            let secret = Some(SecretString::new(password.to_owned()));
            let error = read_new("x", None, secret).unwrap_err().to_string();
            assert!(error.contains(why) && !error.contains("hunter2"), "{error}");
        }
    }
}
