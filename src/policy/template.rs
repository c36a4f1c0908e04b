//! Texts with places to fill in: `"{principal} at {listener}"`. What is between braces is known when the
//! policy is loaded, or it is a load error. `{{` and `}}` are braces.

use std::fmt;

/// A compiled template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    text: String,
    pieces: Vec<Piece>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    Field(Field),
}

/// What a template can say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Field {
    Principal,
    ClientId,
    Listener,
    Ip,
    Api,
    Topic,
    Partition,
    Policy,
    Rule,
    /// Of the record, in headers that are set.
    Offset,
    /// Of the record, in milliseconds.
    Timestamp,
}

const FIELDS: &[(&str, Field)] = &[
    ("principal", Field::Principal),
    ("client_id", Field::ClientId),
    ("listener", Field::Listener),
    ("ip", Field::Ip),
    ("api", Field::Api),
    ("topic", Field::Topic),
    ("partition", Field::Partition),
    ("policy", Field::Policy),
    ("rule", Field::Rule),
    ("offset", Field::Offset),
    ("timestamp", Field::Timestamp),
];

impl Template {
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut pieces = Vec::new();
        let mut plain = String::new();
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            let (before, found) = rest.split_at(at);
            plain.push_str(before);
            if let Some(after) = found.strip_prefix("{{") {
                plain.push('{');
                rest = after;
            } else if let Some(after) = found.strip_prefix("}}") {
                plain.push('}');
                rest = after;
            } else if let Some((name, after)) = found.strip_prefix('{').and_then(|f| f.split_once('}')) {
                let field = FIELDS.iter().find(|(known, _)| *known == name.trim()).ok_or_else(|| {
                    let known: Vec<String> = FIELDS.iter().map(|(n, _)| format!("{{{n}}}")).collect();
                    format!("`{{{name}}}` is not known here; known are {}", known.join(" "))
                })?;
                if !plain.is_empty() {
                    pieces.push(Piece::Text(std::mem::take(&mut plain)));
                }
                pieces.push(Piece::Field(field.1));
                rest = after;
            } else {
                return Err(format!("a brace in {text:?} has no partner; write {{{{ or }}}} for a brace"));
            }
        }
        plain.push_str(rest);
        if !plain.is_empty() {
            pieces.push(Piece::Text(plain));
        }
        Ok(Self { text: text.to_owned(), pieces })
    }

    /// Whether it says something else for each record.
    pub fn is_per_record(&self) -> bool {
        self.pieces.iter().any(|piece| matches!(piece, Piece::Field(Field::Offset | Field::Timestamp)))
    }

    /// Fills in; `say` writes what stands for a field.
    pub fn fill(&self, mut say: impl FnMut(Field, &mut String)) -> String {
        let mut filled = String::with_capacity(self.text.len());
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => filled.push_str(text),
                Piece::Field(field) => say(*field, &mut filled),
            }
        }
        filled
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fills_what_it_knows() {
        let template = Template::parse("{{x}} {principal}@{ ip }!").unwrap();
        let filled = template.fill(|field, out| match field {
            Field::Principal => out.push_str("User:ada"),
            Field::Ip => out.push_str("10.0.0.1"),
            _ => unreachable!(),
        });
        assert_eq!(filled, "{x} User:ada@10.0.0.1!");
        assert_eq!(Template::parse("").unwrap().fill(|_, _| ()), "");
    }

    #[test]
    fn refuses_what_it_does_not_know() {
        assert!(Template::parse("{principle}").unwrap_err().contains("{principal}"));
        assert!(Template::parse("{principal").is_err());
        assert!(Template::parse("a } b").is_err());
    }

    #[test]
    fn a_template_is_shown_as_it_was_written_and_knows_whether_records_differ() {
        for (text, per_record) in [
            ("{{x}} { principal }", false),
            ("{topic}-{partition}", false),
            ("{offset}", true),
            ("at {timestamp}", true),
        ] {
            let template = Template::parse(text).unwrap();
            assert_eq!((template.to_string().as_str(), template.is_per_record()), (text, per_record));
        }
    }
}
