//! Paths held against a schema, before there is a value.

use super::super::edit::{Held, Paths, Put};
use super::walk::{null_of, write};
use super::{AvroSchema, Node};
use std::collections::HashSet;

/// Places of a schema, by what of the paths leads there.
const PLACES: usize = 100_000;

/// How many places the paths find; fails with the first in which no mask of theirs can be expressed.
pub(super) fn reach(schema: &AvroSchema, paths: &mut impl Paths) -> Result<usize, String> {
    // what is to be looked at: the type, what leads there, the union's branch that is null, its path
    let mut open = vec![(schema.root, paths.start(), None, "$".to_owned())];
    let (mut seen, mut found) = (HashSet::new(), 0);
    while let Some((place, places, null, at)) = open.pop() {
        let Some(node) = schema.nodes.get(place) else { continue };
        if places == 0 || !seen.insert((place, places, null)) {
            continue;
        }
        if seen.len() > PLACES {
            return Err("the path leads to too many places of it".to_owned());
        }
        if let Node::Union(branches) = node {
            let null = null_of(&schema.nodes, branches);
            open.extend(branches.iter().map(|branch| (*branch, places, null, at.clone())));
            continue;
        }
        if paths.finds(places) && !matches!(node, Node::Null) {
            found += 1;
            let held = match node {
                Node::String => Held::Text("x"),
                Node::Bytes => Held::Bytes(b"x"),
                _ => Held::Other,
            };
            let put = paths.mask(places, held, false);
            if !write(node, null, put, paths.text(), &mut Vec::new()) {
                return Err(refusal(node, null, put, &at));
            }
        }
        match node {
            Node::Record(fields) => {
                let below = |(name, kind): &(String, usize)| {
                    (*kind, paths.member(places, name.as_bytes()), None, format!("{at}.{name}"))
                };
                open.extend(fields.iter().rev().map(below));
            }
            Node::Array(items) => {
                let below = paths.elements(places).into_iter();
                open.extend(below.map(|places| (*items, places, None, format!("{at}[*]"))));
            }
            Node::Map(values) => {
                let below = paths.members(places).into_iter();
                open.extend(below.map(|places| (*values, places, None, format!("{at}.*"))));
            }
            _ => {}
        }
    }
    Ok(found)
}

/// What a field is, and what it may become.
fn refusal(node: &Node, null: Option<usize>, put: Put, at: &str) -> String {
    let (kind, may) = match node {
        Node::Null | Node::Union(_) => ("null", ""),
        Node::String => ("a string", "any other mask"),
        Node::Bytes => ("bytes", "any other mask"),
        Node::Boolean => ("a boolean", "\"all\" (false), replace(\"true\"), replace(\"false\")"),
        Node::Int => ("an int", "\"all\" (0), replace(number)"),
        Node::Long => ("a long", "\"all\" (0), replace(number)"),
        Node::Float => ("a float", "\"all\" (0), replace(number)"),
        Node::Double => ("a double", "\"all\" (0), replace(number)"),
        Node::Decimal => ("a decimal", "\"all\" (0)"),
        Node::Uuid => ("a UUID", "\"all\" (zeros), replace(another UUID)"),
        Node::Fixed(_) => ("fixed", "\"all\" (zeros), replace(a text as long)"),
        Node::Enum(_) => ("an enum", "replace(one of its symbols)"),
        Node::Array(_) => ("an array", "\"all\" (empty), masks of its elements, [*]"),
        Node::Map(_) => ("a map", "\"all\" (empty), masks of its values, .*"),
        Node::Record(_) => ("a record", "masks of its fields"),
    };
    let null = match (null, put) {
        (Some(_), _) => ", to_null()",
        (None, Put::Null) => "; it cannot be null",
        _ => "",
    };
    format!("{at} is {kind}, and this mask makes no other: it takes {may}{null}")
}
