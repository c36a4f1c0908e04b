//! How the program ends when it cannot do what it was asked: one message, one exit code.

use std::fmt;
use std::process::ExitCode;

/// Ends the program with a message on standard error.
///
/// | code | meaning |
/// |---|---|
/// | 0 | done |
/// | 1 | it was asked rightly and could not be done: a port in use, a locked data folder, a policy test that failed |
/// | 2 | it was asked wrongly: a flag, a setting, a policy file or a users file that is not valid |
/// | 130, 143 | ended at once by a second SIGINT or SIGTERM |
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    code: u8,
    message: String,
}

impl Failure {
    /// What was asked for could not be done.
    pub fn cannot(message: impl Into<String>) -> Self {
        Self { code: 1, message: message.into() }
    }

    /// What was asked for is not valid.
    pub fn usage(message: impl Into<String>) -> Self {
        Self { code: 2, message: message.into() }
    }

    pub fn exit_code(&self) -> ExitCode {
        ExitCode::from(self.code)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}
