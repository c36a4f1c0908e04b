//! A value, from its first byte to its last: whether it is one of the schema, and what masks do to it on the way.

use super::super::edit::{Held, Mark, Masker, NO_UUID, Patch, Put, is_uuid};
use super::super::reader::{Reader, put_zigzag};
use super::super::{DEPTH, Invalid, VALUE_BYTES};
use super::{AvroSchema, FREE_STEPS, Node};

/// Walks the value that begins at `at`.
pub(super) fn walk<M: Masker>(
    schema: &AvroSchema,
    value: &[u8],
    at: usize,
    masker: &mut M,
    patch: &mut Patch<'_>,
) -> Result<(), Invalid> {
    let (reader, places) = (Reader::new(value, at), masker.start());
    let steps = value.len().saturating_mul(4).saturating_add(FREE_STEPS);
    let mut walk = Walk { nodes: &schema.nodes, reader, steps, masker, patch };
    walk.value(schema.root, DEPTH, Spot { places, union: None, inside: false })?;
    match walk.reader.left() {
        0 => Ok(()),
        _ => Err(Invalid::new("", "bytes are left behind the value")),
    }
}

struct Walk<'w, 'p, M> {
    nodes: &'w [Node],
    reader: Reader<'w>,
    steps: usize,
    masker: &'w mut M,
    patch: &'w mut Patch<'p>,
}

/// Where the walk is, for the masks.
#[derive(Clone, Copy)]
struct Spot {
    places: u64,
    union: Option<Union>,
    /// In something that is hidden as a whole.
    inside: bool,
}

/// The union that a value is a branch of.
#[derive(Clone, Copy)]
struct Union {
    start: usize,
    null: Option<usize>,
}

/// The branch that is null.
pub(super) fn null_of(nodes: &[Node], branches: &[usize]) -> Option<usize> {
    branches.iter().position(|branch| matches!(nodes.get(*branch), Some(Node::Null)))
}

impl<'w, M: Masker> Walk<'w, '_, M> {
    fn value(&mut self, node: usize, depth: usize, spot: Spot) -> Result<(), Invalid> {
        let fail = |why: &str| Invalid::new("", why);
        self.steps = self.steps.checked_sub(1).ok_or_else(|| fail("it has too many elements"))?;
        let depth = depth.checked_sub(1).ok_or_else(|| fail("it is nested too deeply"))?;
        let nodes = self.nodes;
        let Some(node) = nodes.get(node) else { return Err(fail("the schema has no such type")) };
        let start = self.reader.at();
        // what is below is hidden with what holds it
        let (mut below, mut put) = (Spot { union: None, ..spot }, Put::Kept);
        if self.masker.finds(spot.places) && matches!(node, Node::Record(_) | Node::Array(_) | Node::Map(_)) {
            put = self.masker.mask(spot.places, Held::Other, spot.inside);
            below.inside |= put != Put::Kept;
        }
        match node {
            Node::Null => return self.found(node, start, Held::Null, spot),
            Node::Boolean => {
                if !matches!(self.reader.take(1)?, [0 | 1]) {
                    return Err(fail("is no boolean"));
                }
            }
            Node::Int => {
                i32::try_from(self.reader.zigzag()?).map_err(|_| fail("is no int"))?;
            }
            Node::Long => drop(self.reader.zigzag()?),
            Node::Float => drop(self.reader.take(4)?),
            Node::Double => drop(self.reader.take(8)?),
            Node::Bytes => {
                let bytes = self.bytes()?;
                return self.found(node, start, Held::Bytes(bytes), spot);
            }
            Node::String => {
                let text = self.string()?;
                return self.found(node, start, Held::Text(text), spot);
            }
            Node::Decimal => drop(self.bytes()?),
            Node::Uuid => drop(self.string()?),
            Node::Fixed(size) => drop(self.reader.take(*size)?),
            Node::Enum(symbols) => {
                let symbol = self.reader.zigzag()?;
                if !usize::try_from(symbol).is_ok_and(|symbol| symbol < symbols.len()) {
                    return Err(fail("is no symbol of its enum"));
                }
            }
            Node::Union(branches) => {
                let branch =
                    usize::try_from(self.reader.zigzag()?).ok().and_then(|branch| branches.get(branch));
                let branch = branch.ok_or_else(|| fail("is of no branch of its union"))?;
                let union = Some(Union { start, null: null_of(nodes, branches) });
                return self.value(*branch, depth, Spot { union, ..spot });
            }
            Node::Record(fields) => {
                for (name, kind) in fields {
                    let places = self.masker.member(below.places, name.as_bytes());
                    self.value(*kind, depth, Spot { places, ..below })
                        .map_err(|invalid| invalid.within(&format!(".{name}")))?;
                }
                return self.put(node, put, start, spot);
            }
            Node::Array(items) => {
                self.blocks(|walk, number| {
                    let places = walk.masker.element(below.places, number);
                    walk.value(*items, depth, Spot { places, ..below })
                        .map_err(|invalid| invalid.within(&format!("[{number}]")))
                })?;
                return self.put(node, put, start, spot);
            }
            Node::Map(values) => {
                self.blocks(|walk, _| {
                    let key = walk.string()?;
                    let places = walk.masker.member(below.places, key.as_bytes());
                    walk.value(*values, depth, Spot { places, ..below })
                        .map_err(|invalid| invalid.within(".*"))
                })?;
                return self.put(node, put, start, spot);
            }
        }
        self.found(node, start, Held::Other, spot)
    }

    /// A value without parts was read.
    #[inline]
    fn found(&mut self, node: &Node, start: usize, held: Held<'_>, spot: Spot) -> Result<(), Invalid> {
        if !self.masker.finds(spot.places) {
            return Ok(());
        }
        let put = self.masker.mask(spot.places, held, spot.inside);
        self.put(node, put, start, spot)
    }

    /// Puts something instead of what was read.
    fn put(&mut self, node: &Node, put: Put, start: usize, spot: Spot) -> Result<(), Invalid> {
        if self.patch.is_too_long() {
            return Err(Invalid::new("", "what masks make of it is too long"));
        }
        let end = self.reader.at();
        let start = match (put, spot.union) {
            (Put::Kept, _) => return Ok(()),
            (Put::Null, Some(union)) => union.start,
            _ => start,
        };
        let null = spot.union.and_then(|union| union.null);
        let out = self.patch.replace(start..end);
        match write(node, null, put, self.masker.text(), out) {
            true => Ok(()),
            // nothing of what was read so far goes on then
            false => Err(Invalid::new("", "cannot be masked so")),
        }
    }

    /// Elements in blocks: each with its count, below zero when its size in bytes follows.
    fn blocks(
        &mut self,
        mut element: impl FnMut(&mut Self, usize) -> Result<(), Invalid>,
    ) -> Result<(), Invalid> {
        let mut number = 0;
        loop {
            let count = self.reader.zigzag()?;
            if count == 0 {
                return Ok(());
            }
            let mut block = None;
            if count < 0 {
                let (start, mark) = (self.reader.at(), self.patch.mark());
                let size = usize::try_from(self.reader.zigzag()?).ok();
                let left = size.and_then(|size| self.reader.left().checked_sub(size));
                let left = left.ok_or_else(|| Invalid::new("", "ends too early"))?;
                block = Some(Block { size: start..self.reader.at(), left, mark });
            }
            for _ in 0..count.unsigned_abs() {
                element(self, number)?;
                number += 1;
            }
            if let Some(Block { size, left, mark }) = block {
                // who skips the block by its size must find what who reads it finds
                if left != self.reader.left() {
                    return Err(Invalid::new("", "a block is not as long as it says"));
                }
                self.patch.resize(mark, size, self.reader.at(), true);
            }
        }
    }

    fn bytes(&mut self) -> Result<&'w [u8], Invalid> {
        let size = usize::try_from(self.reader.zigzag()?).map_err(|_| Invalid::new("", "has no length"))?;
        self.reader.take(size)
    }

    fn string(&mut self) -> Result<&'w str, Invalid> {
        std::str::from_utf8(self.bytes()?).map_err(|_| Invalid::new("", "is no UTF-8"))
    }
}

/// A block that says its size.
struct Block {
    /// Where it says it.
    size: std::ops::Range<usize>,
    /// Bytes that are left behind it.
    left: usize,
    mark: Mark,
}

/// Writes what stands instead of a value of this type; `null`: the branch of its union that is null. False: there is no such value.
pub(super) fn write(node: &Node, null: Option<usize>, put: Put, text: &str, out: &mut Vec<u8>) -> bool {
    let mut length = |bytes: &[u8]| {
        put_zigzag(bytes.len() as i64, out);
        out.extend_from_slice(bytes);
    };
    match (put, node) {
        (Put::Kept | Put::Impossible, _) => return false,
        (Put::Null, _) => match null.and_then(|null| i64::try_from(null).ok()) {
            Some(null) => put_zigzag(null, out),
            None => return false,
        },
        (Put::Zero, Node::Boolean | Node::Int | Node::Long | Node::Array(_) | Node::Map(_)) => out.push(0),
        (Put::Zero, Node::Float) => out.extend_from_slice(&[0; 4]),
        (Put::Zero, Node::Double) => out.extend_from_slice(&[0; 8]),
        // a decimal of no bytes is no number to some readers
        (Put::Zero, Node::Decimal) => length(&[0]),
        (Put::Zero, Node::Uuid) => length(NO_UUID.as_bytes()),
        (Put::Zero, Node::Fixed(size)) if *size <= VALUE_BYTES => out.resize(out.len() + size, 0),
        (Put::Text, Node::String | Node::Bytes) => length(text.as_bytes()),
        (Put::Text, Node::Uuid) if is_uuid(text) => length(text.as_bytes()),
        (Put::Text, Node::Fixed(size)) if *size == text.len() => out.extend_from_slice(text.as_bytes()),
        (Put::Text, Node::Boolean) => match text.parse::<bool>() {
            Ok(value) => out.push(u8::from(value)),
            Err(_) => return false,
        },
        (Put::Text, Node::Int) => match text.parse::<i32>() {
            Ok(number) => put_zigzag(number.into(), out),
            Err(_) => return false,
        },
        (Put::Text, Node::Long) => match text.parse::<i64>() {
            Ok(number) => put_zigzag(number, out),
            Err(_) => return false,
        },
        (Put::Text, Node::Float) => match text.parse::<f32>() {
            Ok(number) if number.is_finite() => out.extend_from_slice(&number.to_le_bytes()),
            _ => return false,
        },
        (Put::Text, Node::Double) => match text.parse::<f64>() {
            Ok(number) if number.is_finite() => out.extend_from_slice(&number.to_le_bytes()),
            _ => return false,
        },
        (Put::Text, Node::Enum(symbols)) => {
            match symbols.iter().position(|symbol| symbol == text).and_then(|place| i64::try_from(place).ok())
            {
                Some(place) => put_zigzag(place, out),
                None => return false,
            }
        }
        _ => return false,
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Makes null of all members of one name, without having asked whether they may be.
    struct Nulls;

    impl Masker for Nulls {
        fn start(&self) -> u64 {
            1
        }

        fn member(&self, _: u64, name: &[u8]) -> u64 {
            if name == b"x" { 2 } else { 1 }
        }

        fn element(&self, _: u64, _: usize) -> u64 {
            1
        }

        fn finds(&self, places: u64) -> bool {
            places == 2
        }

        fn counts(&self) -> bool {
            false
        }

        fn mask(&mut self, _: u64, _: Held<'_>, _: bool) -> Put {
            Put::Null
        }

        fn text(&self) -> &str {
            ""
        }
    }

    #[test]
    fn null_is_written_where_the_value_itself_may_be_null_only() {
        let masked = |text: &str, value: &[u8]| {
            let (schema, mut out) = (AvroSchema::new(text.as_bytes()).unwrap(), Vec::new());
            let mut patch = Patch::new(value, &mut out);
            walk(&schema, value, 0, &mut Nulls, &mut patch).map(|()| patch.finish()).map(|_| out)
        };
        let of = |x: &str| {
            format!(r#"["null",{{"type":"record","name":"R","fields":[{{"name":"x","type":{x}}}]}}]"#)
        };
        assert_eq!(masked(&of(r#"["string","null"]"#), &[2, 0, 2, b'a']), Ok(vec![2, 2]));
        // what holds it may be null; it may not
        let refused = masked(&of(r#""string""#), &[2, 2, b'a']).unwrap_err();
        assert_eq!(refused.to_string(), "$.x: cannot be masked so");
    }
}
