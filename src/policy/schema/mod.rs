//! Schemas that policies hold values against: JSON Schema, Avro, Protobuf, from files of one folder. Scripts name them, and read no
//! files themselves.
//!
//! A check says where a value is wrong and what is asked there, never what the value is: fields that the schema does not name
//! are shown as `*`. Whatever a stranger writes, a check takes time in proportion to it: values are bounded in size and depth, regular
//! expressions are of the kind that never goes back, and nothing is allocated by a length that a value announces.

mod avro;
mod folder;
mod json;
mod proto;
mod strict;

pub use folder::{SchemaWatch, Schemas};

use super::random::identity;
use std::fmt;

/// Bytes of a value that is checked. Kafka's brokers take no more by default.
pub const VALUE_BYTES: usize = 1 << 20;
/// Levels of a value that is checked.
const DEPTH: usize = 64;
/// Levels of a value whose schema refers to itself, at least and at most: each may be tried in several ways, and those multiply.
const RECURSIVE_DEPTH: (usize, usize) = (4, 16);
/// As a power of two: in how many ways such a value is tried.
const TRIES: f64 = 20.0;
/// Characters of a path in a reason.
const PATH: usize = 120;

/// The magic byte of a schema registry's serialisers; behind it the schema's id in four bytes.
const MAGIC: u8 = 0;

/// What a policy says of a schema beside its name.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Options {
    /// Values begin as a schema registry's serialisers write them: magic byte, id, for Protobuf which message.
    pub framed: bool,
    /// Of a Protobuf file.
    pub message: Option<String>,
}

/// A schema as a policy uses it.
pub struct Schema {
    name: String,
    options: Options,
    /// The files it was made of, and what was in them.
    files: Vec<(String, u128)>,
    kind: Kind,
}

enum Kind {
    Json(json::JsonSchema),
    Avro(avro::AvroSchema),
    Proto(proto::ProtoSchema),
}

/// Where and why a value does not fit its schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invalid {
    path: String,
    why: String,
}

impl Invalid {
    fn new(path: impl Into<String>, why: impl Into<String>) -> Self {
        Self { path: path.into(), why: why.into() }
    }

    /// What is above the place where it was found.
    fn within(mut self, field: &str) -> Self {
        if self.path.len() + field.len() <= PATH {
            self.path.insert_str(0, field);
        } else if !self.path.starts_with('…') {
            self.path.insert(0, '…');
        }
        self
    }
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "${}: {}", self.path, self.why)
    }
}

/// A file of the folder while a schema is made of it, and how others are found.
trait Files {
    fn text(&self, name: &str) -> Result<std::sync::Arc<[u8]>, String>;
}

impl Schema {
    /// Makes a schema of a file. Fails with the file, and the line or field that is wrong.
    fn make(
        name: &str,
        options: &Options,
        files: &(impl Files + Clone + Send + Sync + 'static),
    ) -> Result<Kind, String> {
        let ending = name.rsplit_once('.').map_or("", |(_, ending)| ending);
        if options.message.is_some() && ending != "proto" {
            return Err(format!("{name}: only a .proto file has messages to choose from"));
        }
        let text = files.text(name)?;
        let within = |why: String| format!("{name}: {why}");
        match ending {
            "json" => json::JsonSchema::new(name, &text, files.clone()).map(Kind::Json).map_err(within),
            "avsc" => avro::AvroSchema::new(&text).map(Kind::Avro).map_err(within),
            "proto" => {
                let Some(message) = &options.message else {
                    return Err(within(
                        "which message of it? schema(\"…\", #{ message: \"package.Name\" })".to_owned(),
                    ));
                };
                proto::ProtoSchema::new(name, message, files.clone()).map(Kind::Proto)
            }
            _ => {
                Err(format!("`{name}` ends in none of .json (JSON Schema), .avsc (Avro), .proto (Protobuf)"))
            }
        }
    }

    /// Whether a value fits. Null fits every schema: it deletes, and says nothing.
    pub fn check(&self, value: Option<&[u8]>) -> Result<(), Invalid> {
        let Some(value) = value else { return Ok(()) };
        if value.len() > VALUE_BYTES {
            return Err(Invalid::new("", format!("the value has more than {VALUE_BYTES} bytes")));
        }
        let value = if self.options.framed { unframed(value)? } else { value };
        match &self.kind {
            Kind::Json(schema) => schema.check(value),
            Kind::Avro(schema) => schema.check(value),
            Kind::Proto(schema) if self.options.framed => schema.check_framed(value),
            Kind::Proto(schema) => schema.check(value),
        }
    }
}

/// What is behind the frame of a schema registry.
fn unframed(value: &[u8]) -> Result<&[u8], Invalid> {
    match value.split_first_chunk::<5>() {
        Some(([MAGIC, ..], rest)) => Ok(rest),
        _ => Err(Invalid::new("", "the value does not begin with a schema's id")),
    }
}

/// Of what is in a file.
fn digest(text: &[u8]) -> u128 {
    identity([text])
}

impl fmt::Debug for Schema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl PartialEq for Schema {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && self.options == other.options && self.files == other.files
    }
}

impl fmt::Display for Schema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        if let Some(message) = &self.options.message {
            write!(f, " {message}")?;
        }
        f.write_str(if self.options.framed { " framed" } else { "" })
    }
}

#[cfg(test)]
mod tests;
