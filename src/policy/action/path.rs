//! Where in a record an action works: a JSONPath subset into the value, the key, or headers by name.
//!
//! | written | finds |
//! |---|---|
//! | `$` | the whole value |
//! | `$.a.b`, `$['a b']`, `$["a"]` | members by name |
//! | `$.a[0]` | an element by its place, from 0 |
//! | `$.a[*]`, `$.a.*` | every element or member |
//! | `$..email`, `$..[0]`, `$..*` | the same at any depth below |
//! | `key` | the key of the record |
//! | `headers.name`, `headers.x-*` | headers whose name matches the glob |
//!
//! Names compare exactly, after escapes. Slices, unions, filters and negative places are refused by name.

use std::fmt;

use crate::policy::glob::Glob;

/// What of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// What a path finds in the value, read as JSON.
    Value(Path),
    /// The key, as text.
    Key,
    /// The values of all headers whose name matches.
    Header(Glob),
}

/// A path into a JSON value. Equal paths find the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Path {
    text: Box<str>,
    steps: Box<[Step]>,
}

/// One step down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Step {
    /// Not only from here, but from everything below here too.
    pub(super) deep: bool,
    pub(super) to: To,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum To {
    Key(Box<str>),
    Index(usize),
    Any,
}

/// What is wrong with a path, and where: columns count characters from 1.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the path `{path}` is wrong at column {column}: {problem}")]
pub struct PathError {
    pub path: String,
    pub column: usize,
    pub problem: String,
}

/// Deeper than any JSON that is accepted would be pointless; this many steps fit the matcher.
const MAX_STEPS: usize = 32;

impl Target {
    pub fn parse(text: &str) -> Result<Self, PathError> {
        if text == "key" {
            return Ok(Self::Key);
        }
        if let Some(name) = text.strip_prefix("headers.") {
            if name.is_empty() {
                return Err(PathError::new(text, text.len(), "the header's name is missing"));
            }
            return Ok(Self::Header(Glob::new(name)));
        }
        if text.starts_with('$') {
            return Path::parse(text).map(Self::Value);
        }
        Err(PathError::new(text, 0, "a path is `$…` into a JSON value, `key` or `headers.<name>`"))
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Value(path) => write!(f, "{path}"),
            Self::Key => f.write_str("key"),
            Self::Header(name) => write!(f, "headers.{name}"),
        }
    }
}

impl Path {
    pub fn parse(text: &str) -> Result<Self, PathError> {
        let mut parser = Parser { text, at: 0 };
        if !parser.eat("$") {
            return Err(parser.wrong("a path starts with `$`"));
        }
        let mut steps = Vec::new();
        while !parser.rest().is_empty() {
            if steps.len() == MAX_STEPS {
                return Err(parser.wrong(format!("a path has at most {MAX_STEPS} steps")));
            }
            steps.push(parser.step()?);
        }
        Ok(Self { text: text.into(), steps: steps.into() })
    }

    pub(super) fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// Whether it names one place: neither `*` nor `..`.
    pub fn is_definite(&self) -> bool {
        self.steps.iter().all(|step| !step.deep && step.to != To::Any)
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::str::FromStr for Path {
    type Err = PathError;

    fn from_str(text: &str) -> Result<Self, PathError> {
        Self::parse(text)
    }
}

impl PathError {
    fn new(path: &str, at: usize, problem: impl Into<String>) -> Self {
        let column = path.get(..at).unwrap_or_default().chars().count() + 1;
        Self { path: path.to_owned(), column, problem: problem.into() }
    }
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Parser<'a> {
    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn wrong(&self, problem: impl Into<String>) -> PathError {
        PathError::new(self.text, self.at, problem)
    }

    fn eat(&mut self, token: &str) -> bool {
        let eaten = self.rest().starts_with(token);
        if eaten {
            self.at += token.len();
        }
        eaten
    }

    fn step(&mut self) -> Result<Step, PathError> {
        let deep = self.eat("..");
        let to = if self.eat("[") {
            self.bracket()?
        } else if deep || self.eat(".") {
            if self.eat("*") { To::Any } else { self.name()? }
        } else {
            return Err(self.wrong("`.`, `..` or `[` is expected here"));
        };
        Ok(Step { deep, to })
    }

    fn name(&mut self) -> Result<To, PathError> {
        let plain = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '$' | '@');
        let rest = self.rest();
        let end = rest.find(|c| !plain(c)).unwrap_or(rest.len());
        let name = rest.get(..end).unwrap_or_default();
        if name.is_empty() {
            return Err(self.wrong("a name is expected here; one with other characters is written ['…']"));
        }
        self.at += end;
        Ok(To::Key(name.into()))
    }

    /// What follows `[`.
    fn bracket(&mut self) -> Result<To, PathError> {
        let to = if self.eat("*") {
            To::Any
        } else if self.eat("'") {
            self.quoted('\'')?
        } else if self.eat("\"") {
            self.quoted('"')?
        } else {
            self.index()?
        };
        if !self.eat("]") {
            let problem = match self.rest().chars().next() {
                Some(',') => "lists of names or places are not supported: write one mask for each",
                Some(':') => "slices are not supported: write [*] or single places",
                _ => "`]` is expected here",
            };
            return Err(self.wrong(problem));
        }
        Ok(to)
    }

    fn index(&mut self) -> Result<To, PathError> {
        let rest = self.rest();
        match rest.chars().next() {
            Some('?') => return Err(self.wrong("filters are not supported: use .value(…) or .when(…)")),
            Some('-') => return Err(self.wrong("places from the end are not supported")),
            Some(':') => return Err(self.wrong("slices are not supported: write [*] or single places")),
            _ => {}
        }
        let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let index = rest.get(..end).unwrap_or_default().parse();
        let Ok(index) = index else {
            return Err(self.wrong("`*`, a place from 0, or a name in quotes is expected here"));
        };
        self.at += end;
        Ok(To::Index(index))
    }

    fn quoted(&mut self, quote: char) -> Result<To, PathError> {
        let mut name = String::new();
        loop {
            let Some(c) = self.rest().chars().next() else {
                return Err(self.wrong(format!("{quote} is missing at the end of the name")));
            };
            self.at += c.len_utf8();
            match c {
                c if c == quote => return Ok(To::Key(name.into())),
                '\\' => match self.rest().chars().next() {
                    Some(c @ ('\\' | '\'' | '"')) => {
                        self.at += 1;
                        name.push(c);
                    }
                    _ => return Err(self.wrong("after \\ only \\, ' and \" may stand")),
                },
                c => name.push(c),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps(text: &str) -> Vec<String> {
        let path = Path::parse(text).unwrap();
        path.steps()
            .iter()
            .map(|step| {
                let to = match &step.to {
                    To::Key(name) => format!("key {name}"),
                    To::Index(index) => format!("at {index}"),
                    To::Any => "any".to_owned(),
                };
                if step.deep { format!("deep {to}") } else { to }
            })
            .collect()
    }

    #[test]
    fn paths_are_read() {
        assert_eq!(steps("$"), [""; 0]);
        assert_eq!(steps("$.a.b"), ["key a", "key b"]);
        assert_eq!(steps("$.a[*].b"), ["key a", "any", "key b"]);
        assert_eq!(steps("$[0][12]"), ["at 0", "at 12"]);
        assert_eq!(steps("$..email"), ["deep key email"]);
        assert_eq!(steps("$..*"), ["deep any"]);
        assert_eq!(steps("$..['a b'][0]"), ["deep key a b", "at 0"]);
        assert_eq!(steps(r#"$["it's"]['\'\\']"#), ["key it's", "key '\\"]);
        assert_eq!(steps("$.first-name.Größe.*"), ["key first-name", "key Größe", "any"]);
    }

    #[test]
    fn errors_say_where() {
        for (text, column, says) in [
            ("a.b", 1, "starts with"),
            ("$.", 3, "a name"),
            ("$.a b", 4, "`.`, `..` or `[`"),
            ("$a", 2, "`.`, `..` or `[`"),
            ("$.a[", 5, "a place"),
            ("$.a[1", 6, "`]`"),
            ("$.a[1,2]", 6, "lists"),
            ("$.a[1:2]", 6, "slices"),
            ("$.a[:2]", 5, "slices"),
            ("$.a[-1]", 5, "from the end"),
            ("$.a[?(@.b)]", 5, "filters"),
            ("$.a['b]", 8, "missing"),
            ("$.ä['\\n']", 7, "after \\"),
            ("$.a[99999999999999999999]", 5, "a place"),
            ("$...a", 4, "a name"),
        ] {
            let error = Path::parse(text).unwrap_err();
            assert_eq!(error.column, column, "{error}");
            assert!(error.problem.contains(says), "{error}");
        }
        assert!(Path::parse(&format!("${}", ".a".repeat(MAX_STEPS))).is_ok());
        assert!(Path::parse(&format!("${}", ".a".repeat(MAX_STEPS + 1))).is_err());
    }

    #[test]
    fn targets_are_read() {
        assert_eq!(Target::parse("key"), Ok(Target::Key));
        assert_eq!(Target::parse("headers.x-*"), Ok(Target::Header(Glob::new("x-*"))));
        assert!(matches!(Target::parse("$.key"), Ok(Target::Value(_))));
        for bad in ["", "email", "headers.", "headers", "value"] {
            assert!(Target::parse(bad).is_err(), "{bad}");
        }
        for text in ["key", "headers.x-*", "$.a[*]"] {
            assert_eq!(Target::parse(text).unwrap().to_string(), text);
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_a_path_or_an_error(text in "[$.\\[\\]'\"a*0-9\\\\é?:,-]{0,12}") {
            if let Err(error) = Target::parse(&text) {
                proptest::prop_assert!(error.column >= 1 && error.column <= text.chars().count() + 1);
            }
        }
    }
}
