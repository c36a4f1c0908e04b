//! Avro's binary encoding (specification 1.12), walked, not decoded: whether bytes are one value of a schema, to the last byte. The
//! schema is the one they were written with. Logical types are not looked at: a decimal is bytes, a date an int.

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
    String,
    Record(Vec<(String, usize)>),
    Enum(usize),
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
        let mut walk = Walk { nodes: &self.nodes, rest: value, steps: value.len() * 4 + FREE_STEPS };
        walk.value(self.root, DEPTH)?;
        match walk.rest {
            [] => Ok(()),
            _ => Err(Invalid::new("", "bytes are left behind the value")),
        }
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
                    "enum" => Node::Enum(list(inner("symbols")?, at, "symbols")?.len()),
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
            name => self.named(name, namespace, &format!("{at}.type")),
        }
    }
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

/// A value being walked.
struct Walk<'w> {
    nodes: &'w [Node],
    rest: &'w [u8],
    steps: usize,
}

impl<'w> Walk<'w> {
    fn value(&mut self, node: usize, depth: usize) -> Result<(), Invalid> {
        let fail = |why: &str| Invalid::new("", why);
        self.steps = self.steps.checked_sub(1).ok_or_else(|| fail("it has too many elements"))?;
        let depth = depth.checked_sub(1).ok_or_else(|| fail("it is nested too deeply"))?;
        let nodes = self.nodes;
        let Some(node) = nodes.get(node) else { return Err(fail("the schema has no such type")) };
        match node {
            Node::Null => {}
            Node::Boolean => {
                if !matches!(self.take(1)?, [0 | 1]) {
                    return Err(fail("is no boolean"));
                }
            }
            Node::Int => {
                i32::try_from(self.long()?).map_err(|_| fail("is no int"))?;
            }
            Node::Long => drop(self.long()?),
            Node::Float => drop(self.take(4)?),
            Node::Double => drop(self.take(8)?),
            Node::Bytes => drop(self.bytes()?),
            Node::String => self.string()?,
            Node::Fixed(size) => drop(self.take(*size)?),
            Node::Enum(symbols) => {
                let symbol = self.long()?;
                if !usize::try_from(symbol).is_ok_and(|symbol| symbol < *symbols) {
                    return Err(fail("is no symbol of its enum"));
                }
            }
            Node::Record(fields) => {
                for (name, kind) in fields {
                    self.value(*kind, depth).map_err(|invalid| invalid.within(&format!(".{name}")))?;
                }
            }
            Node::Union(branches) => {
                let branch = usize::try_from(self.long()?).ok().and_then(|branch| branches.get(branch));
                let branch = branch.ok_or_else(|| fail("is of no branch of its union"))?;
                self.value(*branch, depth)?;
            }
            Node::Array(items) => self.blocks(|walk, number| {
                walk.value(*items, depth).map_err(|invalid| invalid.within(&format!("[{number}]")))
            })?,
            Node::Map(values) => self.blocks(|walk, _| {
                walk.string()?;
                walk.value(*values, depth).map_err(|invalid| invalid.within(".*"))
            })?,
        }
        Ok(())
    }

    /// Elements in blocks: each with its count, below zero when its size in bytes follows.
    fn blocks(
        &mut self,
        mut element: impl FnMut(&mut Self, u64) -> Result<(), Invalid>,
    ) -> Result<(), Invalid> {
        let mut number = 0;
        loop {
            let count = self.long()?;
            if count == 0 {
                return Ok(());
            }
            let end = match count < 0 {
                true => {
                    let size = usize::try_from(self.long()?).ok();
                    let end = size.and_then(|size| self.rest.len().checked_sub(size));
                    Some(end.ok_or_else(|| Invalid::new("", "ends too early"))?)
                }
                false => None,
            };
            for _ in 0..count.unsigned_abs() {
                element(self, number)?;
                number += 1;
            }
            // who skips the block by its size must find what who reads it finds
            if end.is_some_and(|end| end != self.rest.len()) {
                return Err(Invalid::new("", "a block is not as long as it says"));
            }
        }
    }

    fn take(&mut self, size: usize) -> Result<&'w [u8], Invalid> {
        let (taken, rest) =
            self.rest.split_at_checked(size).ok_or_else(|| Invalid::new("", "ends too early"))?;
        self.rest = rest;
        Ok(taken)
    }

    fn bytes(&mut self) -> Result<&'w [u8], Invalid> {
        let size = usize::try_from(self.long()?).map_err(|_| Invalid::new("", "has no length"))?;
        self.take(size)
    }

    fn string(&mut self) -> Result<(), Invalid> {
        let text = self.bytes()?;
        std::str::from_utf8(text).map(drop).map_err(|_| Invalid::new("", "is no UTF-8"))
    }

    /// A number as zig-zag, seven bits a byte.
    fn long(&mut self) -> Result<i64, Invalid> {
        let mut number = 0_u64;
        for shift in (0..64).step_by(7) {
            let [byte] = self.take(1)? else { break };
            if shift == 63 && *byte > 1 {
                break;
            }
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok((number >> 1) as i64 ^ -((number & 1) as i64));
            }
        }
        Err(Invalid::new("", "is no number"))
    }
}
