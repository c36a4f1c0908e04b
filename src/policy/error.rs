//! Why a policy could not be loaded: always with the place, and the line shown.

use std::fmt;
use std::path::{Path, PathBuf};

/// A policy file (or the folder) that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadError {
    pub file: PathBuf,
    /// Both count from one; zero when the error is about the file as a whole.
    pub line: usize,
    pub column: usize,
    pub message: String,
    /// The line of the script that `line` names.
    pub source: Option<String>,
}

impl LoadError {
    /// An error about the whole file.
    pub fn of_file(file: &Path, message: impl Into<String>) -> Self {
        Self { file: file.to_owned(), line: 0, column: 0, message: message.into(), source: None }
    }

    /// An error at a place of `text`.
    pub fn at(file: &Path, text: &str, place: Place, message: impl Into<String>) -> Self {
        let source = place.line.checked_sub(1).and_then(|line| text.lines().nth(line));
        Self {
            file: file.to_owned(),
            line: place.line,
            column: place.column,
            message: message.into(),
            source: source.map(str::to_owned),
        }
    }
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if self.line > 0 {
            write!(f, ":{}:{}", self.line, self.column.max(1))?;
        }
        write!(f, ": {}", self.message)?;
        if let Some(source) = &self.source {
            let number = self.line.to_string();
            let shown: String = source.chars().take(160).collect();
            let before: String = source
                .chars()
                .take(self.column.saturating_sub(1).min(160))
                .map(|c| if c == '\t' { '\t' } else { ' ' })
                .collect();
            write!(f, "\n {number} | {shown}\n {} | {before}^", " ".repeat(number.len()))?;
        }
        Ok(())
    }
}

impl std::error::Error for LoadError {}

/// A place in a script. Lines and columns count from one; zero is unknown.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    pub line: usize,
    pub column: usize,
}

impl From<rhai::Position> for Place {
    fn from(position: rhai::Position) -> Self {
        Self { line: position.line().unwrap_or(0), column: position.position().unwrap_or(0) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_the_line() {
        let text = "policy(\"x\");\non_produce(\"a\").dney();\n";
        let error =
            LoadError::at(Path::new("p/x.rhai"), text, Place { line: 2, column: 17 }, "there is no word");
        assert_eq!(
            error.to_string(),
            "p/x.rhai:2:17: there is no word\n 2 | on_produce(\"a\").dney();\n   |                 ^"
        );
        assert_eq!(LoadError::of_file(Path::new("x"), "gone").to_string(), "x: gone");
    }
}
