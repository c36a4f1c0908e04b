//! Schemas that policies hold values against, or find fields by in values that are not JSON: JSON Schema, Avro, Protobuf, from files of
//! one folder. Scripts name them, and read no files themselves.
//!
//! A check says where a value is wrong and what is asked there, never what the value is: fields that the schema does not name
//! are shown as `*`. Whatever a stranger writes, a check takes time in proportion to it: values are bounded in size and depth, regular
//! expressions are of the kind that never goes back, and nothing is allocated by a length that a value announces.

mod avro;
mod edit;
mod folder;
mod json;
mod proto;
mod reader;
mod strict;

pub use edit::{Held, Masker, Paths, Put};
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
/// Bytes of both.
const FRAME: usize = 5;

/// What a policy says of a schema beside its name.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Options {
    /// Values begin as a schema registry's serialisers write them: magic byte, id, for Protobuf which message.
    pub framed: bool,
    /// Of frames: the ids under which a registry has this schema; none: any id.
    pub ids: Vec<u32>,
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

impl std::error::Error for Invalid {}

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
        let value = value.get(self.begin(value)?..).unwrap_or_default();
        match &self.kind {
            Kind::Json(schema) => schema.check(value),
            Kind::Avro(schema) => schema.check(value),
            Kind::Proto(schema) => schema.check(value),
        }
    }

    /// Where the value begins, behind its frame if it has one.
    fn begin(&self, value: &[u8]) -> Result<usize, Invalid> {
        if !self.options.framed {
            return Ok(0);
        }
        let [MAGIC, a, b, c, d, ..] = *value else {
            return Err(Invalid::new("", "the value does not begin with a schema's id"));
        };
        let (id, ids) = (u32::from_be_bytes([a, b, c, d]), &self.options.ids);
        if !ids.is_empty() && !ids.contains(&id) {
            return Err(Invalid::new("", "its frame names another schema"));
        }
        match &self.kind {
            Kind::Proto(schema) => schema.framed(value, FRAME),
            _ => Ok(FRAME),
        }
    }

    /// Masks what is found in an encoded value; all else stays byte for byte. True when anything changed: what the value is now is written
    /// over `out`. A value that is not one of the schema, to its last byte, is an error, and `out` nothing to go by then.
    pub fn edit(&self, value: &[u8], masker: &mut impl Masker, out: &mut Vec<u8>) -> Result<bool, Invalid> {
        if value.len() > VALUE_BYTES {
            return Err(Invalid::new("", format!("the value has more than {VALUE_BYTES} bytes")));
        }
        let at = self.begin(value)?;
        let mut patch = edit::Patch::new(value, out);
        match &self.kind {
            Kind::Json(_) => return Err(Invalid::new("", "it is JSON")),
            Kind::Avro(schema) => schema.edit(value, at, masker, &mut patch)?,
            Kind::Proto(schema) => schema.edit(value, at, masker, &mut patch)?,
        }
        Ok(patch.finish())
    }

    /// Holds paths against the schema: they must lead somewhere in its values, and what masks make must fit the types there.
    pub fn reach(&self, paths: &mut impl Paths) -> Result<(), String> {
        let found = match &self.kind {
            Kind::Json(_) => Err("JSON is masked without a schema".to_owned()),
            Kind::Avro(schema) => schema.reach(paths),
            Kind::Proto(schema) => schema.reach(paths),
        };
        match found {
            Ok(0) => Err(format!("{self}: there is no such field")),
            Ok(_) => Ok(()),
            Err(why) => Err(format!("{self}: {why}")),
        }
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
        match (self.options.framed, &self.options.ids[..]) {
            (true, []) => f.write_str(" framed"),
            (true, ids) => write!(f, " framed {ids:?}"),
            (false, _) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
