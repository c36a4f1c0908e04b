//! Avro's binary encoding (specification 1.12), walked, not decoded: whether bytes are one value of a schema, to the last byte. The
//! schema is the one they were written with. Logical types are looked at by masks only, which leave a decimal a decimal: to a check it is
//! bytes, a date an int.

mod reach;
mod walk;

use super::edit::{Masker, Nothing, Patch, Paths};
use super::strict;
use super::{DEPTH, Invalid};
use serde_json::{Map, Value};
use std::collections::HashMap;

/// Steps that a value may take beyond four for each of its bytes: arrays of what takes no bytes are of any length.
const FREE_STEPS: usize = 4_096;
/// Parts of a schema.
const NODES: usize = 20_000;

/// Its parts, which refer to each other by their places; the first is the whole.
pub(super) struct AvroSchema {
    nodes: Vec<Node>,
    root: usize,
}

enum Node {
    Null,
    Boolean,
    Int,
    Long,
    Float,
    Double,
    Bytes,
    /// Bytes that are a number.
    Decimal,
    String,
    /// A string that is read as a UUID.
    Uuid,
    Record(Vec<(String, usize)>),
    Enum(Vec<String>),
    Array(usize),
    Map(usize),
    Union(Vec<usize>),
    Fixed(usize),
}

impl AvroSchema {
    pub fn new(text: &[u8]) -> Result<Self, String> {
        let json = strict::read(text, DEPTH * 2)
            .map_err(|error| format!("line {}, column {}: {error}", error.line(), error.column()))?;
        let mut reading = Reading { nodes: Vec::new(), names: HashMap::new() };
        let root = reading.schema(&json, "", "$")?;
        Ok(Self { nodes: reading.nodes, root })
    }

    pub fn check(&self, value: &[u8]) -> Result<(), Invalid> {
        walk::walk(self, value, 0, &mut Nothing, &mut Patch::new(value, &mut Vec::new()))
    }

    /// Masks what is found in the value that begins at `at`.
    pub fn edit(
        &self,
        value: &[u8],
        at: usize,
        masker: &mut impl Masker,
        patch: &mut Patch<'_>,
    ) -> Result<(), Invalid> {
        walk::walk(self, value, at, masker, patch)
    }

    /// How many kinds of places the paths find in values of this schema; fails with the first that cannot be masked so.
    pub fn reach(&self, paths: &mut impl Paths) -> Result<usize, String> {
        reach::reach(self, paths)
    }
}

/// A schema being read.
struct Reading {
    nodes: Vec<Node>,
    /// Of named types, in full.
    names: HashMap<String, usize>,
}

impl Reading {
    /// `at`: where in the schema, for errors.
    fn schema(&mut self, json: &Value, namespace: &str, at: &str) -> Result<usize, String> {
        match json {
            Value::String(name) => self.named(name, namespace, at),
            Value::Array(branches) => {
                let mut places = Vec::new();
                for (number, branch) in branches.iter().enumerate() {
                    let at = format!("{at}[{number}]");
                    let place = self.schema(branch, namespace, &at)?;
                    if matches!(self.nodes.get(place), Some(Node::Union(_))) {
                        return Err(format!("at {at}: a union holds no union"));
                    }
                    places.push(place);
                }
                self.put(Node::Union(places))
            }
            Value::Object(fields) => self.typed(fields, namespace, at),
            _ => Err(format!("at {at}: a type is a name, a list or an object")),
        }
    }

    fn put(&mut self, node: Node) -> Result<usize, String> {
        if self.nodes.len() == NODES {
            return Err(format!("it has more than {NODES} parts"));
        }
        self.nodes.push(node);
        Ok(self.nodes.len() - 1)
    }

    fn named(&mut self, name: &str, namespace: &str, at: &str) -> Result<usize, String> {
        if let Some(node) = primitive(name) {
            return self.put(node);
        }
        let full = full_name(name, namespace);
        match self.names.get(&full).or_else(|| self.names.get(name)) {
            Some(place) => Ok(*place),
            None => Err(format!("at {at}: there is no type `{name}`")),
        }
    }

    fn typed(&mut self, fields: &Map<String, Value>, namespace: &str, at: &str) -> Result<usize, String> {
        let kind = match fields.get("type") {
            Some(Value::String(kind)) => kind.as_str(),
            Some(inner) => return self.schema(inner, namespace, &format!("{at}.type")),
            None => return Err(format!("at {at}: it has no `type`")),
        };
        let inner =
            |name: &str| fields.get(name).ok_or_else(|| format!("at {at}: a type `{kind}` has `{name}`"));
        match kind {
            "array" => {
                let items = self.schema(inner("items")?, namespace, &format!("{at}.items"))?;
                self.put(Node::Array(items))
            }
            "map" => {
                let values = self.schema(inner("values")?, namespace, &format!("{at}.values"))?;
                self.put(Node::Map(values))
            }
            "record" | "error" | "enum" | "fixed" => {
                let Some(name) = inner("name")?.as_str() else {
                    return Err(format!("at {at}.name: it is no text"));
                };
                let said = fields.get("namespace").and_then(Value::as_str).unwrap_or(namespace);
                let full = full_name(name, said);
                let namespace = full.rsplit_once('.').map_or("", |(space, _)| space).to_owned();
                if self.names.contains_key(&full) || primitive(&full).is_some() {
                    return Err(format!("at {at}: there is a type `{full}` already"));
                }
                // known from here on, as it may stand in itself
                let place = self.put(Node::Null)?;
                self.names.insert(full, place);
                let node = match kind {
                    "enum" => {
                        let symbols = list(inner("symbols")?, at, "symbols")?.iter();
                        Node::Enum(
                            symbols.map(|symbol| symbol.as_str().unwrap_or_default().to_owned()).collect(),
                        )
                    }
                    "fixed" => {
                        let size = inner("size")?.as_u64().and_then(|size| usize::try_from(size).ok());
                        Node::Fixed(size.ok_or_else(|| format!("at {at}.size: it is no size"))?)
                    }
                    _ => {
                        let mut places = Vec::new();
                        for (number, field) in list(inner("fields")?, at, "fields")?.iter().enumerate() {
                            let at = format!("{at}.fields[{number}]");
                            let (Some(name), Some(kind)) =
                                (field.get("name").and_then(Value::as_str), field.get("type"))
                            else {
                                return Err(format!("at {at}: a field has `name` and `type`"));
                            };
                            let kind = self.schema(kind, &namespace, &format!("{at}.type"))?;
                            places.push((name.to_owned(), kind));
                        }
                        Node::Record(places)
                    }
                };
                if let Some(slot) = self.nodes.get_mut(place) {
                    *slot = node;
                }
                Ok(place)
            }
            "bytes" if logical(fields) == Some("decimal") => self.put(Node::Decimal),
            "string" if logical(fields) == Some("uuid") => self.put(Node::Uuid),
            name => self.named(name, namespace, &format!("{at}.type")),
        }
    }
}

fn logical(fields: &Map<String, Value>) -> Option<&str> {
    fields.get("logicalType").and_then(Value::as_str)
}

fn list<'j>(json: &'j Value, at: &str, name: &str) -> Result<&'j [Value], String> {
    json.as_array().map(Vec::as_slice).ok_or_else(|| format!("at {at}.{name}: it is no list"))
}

fn full_name(name: &str, namespace: &str) -> String {
    match namespace {
        "" => name.to_owned(),
        _ if name.contains('.') => name.to_owned(),
        space => format!("{space}.{name}"),
    }
}

fn primitive(name: &str) -> Option<Node> {
    Some(match name {
        "null" => Node::Null,
        "boolean" => Node::Boolean,
        "int" => Node::Int,
        "long" => Node::Long,
        "float" => Node::Float,
        "double" => Node::Double,
        "bytes" => Node::Bytes,
        "string" => Node::String,
        _ => return None,
    })
}
