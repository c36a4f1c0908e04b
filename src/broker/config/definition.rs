//! How a setting is defined, and how a value is checked: with the words of Kafka's own messages, which tools show.

/// Kafka's types of settings, by their numbers in DescribeConfigs (KIP-569).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Boolean = 1,
    String = 2,
    Int = 3,
    Short = 4,
    Long = 5,
    Double = 6,
    List = 7,
    Class = 8,
    /// Never shown.
    Password = 9,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Kind::Boolean => "BOOLEAN",
            Kind::String => "STRING",
            Kind::Int => "INT",
            Kind::Short => "SHORT",
            Kind::Long => "LONG",
            Kind::Double => "DOUBLE",
            Kind::List => "LIST",
            Kind::Class => "CLASS",
            Kind::Password => "PASSWORD",
        }
    }
}

/// Where a value comes from, by Kafka's numbers; of the first five the lower wins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    Topic = 1,
    DynamicBroker = 2,
    DynamicDefaultBroker = 3,
    StaticBroker = 4,
    Default = 5,
    DynamicLogger = 6,
    ClientMetrics = 7,
    Group = 8,
}

/// When a setting may be given a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// At any time, with effect at once.
    Dynamic,
    /// At any time; it is kept and shown, and nothing depends on it.
    Inert,
    /// When the broker starts.
    Static,
    /// Never: it says what this broker does.
    Fixed,
}

/// Which values are valid beyond being of the kind.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Valid {
    Any,
    AtLeast(i64),
    Between(i64, i64),
    OneOf(&'static [&'static str]),
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Definition {
    pub name: &'static str,
    pub kind: Kind,
    pub default: Option<&'static str>,
    pub valid: Valid,
    pub mode: Mode,
    pub documentation: &'static str,
}

impl Definition {
    pub const fn new(
        name: &'static str,
        kind: Kind,
        default: Option<&'static str>,
        valid: Valid,
        mode: Mode,
        documentation: &'static str,
    ) -> Self {
        Definition { name, kind, default, valid, mode, documentation }
    }

    pub fn is_read_only(&self) -> bool {
        !matches!(self.mode, Mode::Dynamic | Mode::Inert)
    }

    pub fn is_sensitive(&self) -> bool {
        self.kind == Kind::Password
    }

    /// Checks a value; the error is Kafka's message.
    pub fn check(&self, value: &str) -> Result<(), String> {
        let invalid =
            |problem: &str| Err(format!("Invalid value {value} for configuration {}: {problem}", self.name));
        let text = value.trim();
        match self.kind {
            Kind::Boolean => {
                if !(text.eq_ignore_ascii_case("true") || text.eq_ignore_ascii_case("false")) {
                    return invalid("Expected value to be either true or false");
                }
            }
            Kind::Short | Kind::Int | Kind::Long => {
                let number = match self.kind {
                    Kind::Short => text.parse::<i16>().map(i64::from).ok(),
                    Kind::Int => text.parse::<i32>().map(i64::from).ok(),
                    _ => text.parse::<i64>().ok(),
                };
                let Some(number) = number else {
                    return invalid(&format!("Not a number of type {}", self.kind.name()));
                };
                let (min, max) = match self.valid {
                    Valid::AtLeast(min) => (min, i64::MAX),
                    Valid::Between(min, max) => (min, max),
                    Valid::Any | Valid::OneOf(_) => (i64::MIN, i64::MAX),
                };
                if number < min {
                    return invalid(&format!("Value must be at least {min}"));
                }
                if number > max {
                    return invalid(&format!("Value must be no more than {max}"));
                }
            }
            Kind::Double => {
                if text.parse::<f64>().is_err() {
                    return invalid(&format!("Not a number of type {}", self.kind.name()));
                }
            }
            Kind::Class | Kind::Password => {}
            Kind::String => {
                if let Valid::OneOf(words) = self.valid
                    && !words.contains(&value)
                {
                    return invalid(&format!("String must be one of: {}", words.join(", ")));
                }
            }
            Kind::List => {
                if let Valid::OneOf(words) = self.valid {
                    for item in list_items(value) {
                        if !words.contains(&item) {
                            return Err(format!(
                                "Invalid value {item} for configuration {}: String must be one of: {}",
                                self.name,
                                words.join(", ")
                            ));
                        }
                    }
                }
            }
        }
        Ok(())
    }
}

/// The items of a list value.
pub fn list_items(value: &str) -> impl Iterator<Item = &str> {
    value.split(',').map(str::trim).filter(|item| !item.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_refused_in_kafkas_words() {
        let long = Definition::new("retention.ms", Kind::Long, None, Valid::AtLeast(-1), Mode::Dynamic, "");
        assert_eq!(long.check("12"), Ok(()));
        assert_eq!(
            long.check("soon").unwrap_err(),
            "Invalid value soon for configuration retention.ms: Not a number of type LONG"
        );
        assert_eq!(
            long.check("-7").unwrap_err(),
            "Invalid value -7 for configuration retention.ms: Value must be at least -1"
        );
        let int = Definition::new("x", Kind::Int, None, Valid::Between(0, 1), Mode::Dynamic, "");
        assert!(int.check("4294967296").unwrap_err().ends_with("Not a number of type INT"));
        assert!(int.check("2").unwrap_err().ends_with("Value must be no more than 1"));
        let list = Definition::new("p", Kind::List, None, Valid::OneOf(&["a", "b"]), Mode::Dynamic, "");
        assert_eq!(list.check("a, b"), Ok(()));
        assert_eq!(
            list.check("a,c").unwrap_err(),
            "Invalid value c for configuration p: String must be one of: a, b"
        );
        let flag = Definition::new("f", Kind::Boolean, None, Valid::Any, Mode::Dynamic, "");
        assert_eq!(flag.check("TRUE"), Ok(()));
        assert!(flag.check("yes").unwrap_err().ends_with("Expected value to be either true or false"));
    }
}
