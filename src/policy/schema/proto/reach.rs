//! Paths held against a message, before there is a value.

use super::super::edit::{Held, Paths, Put};
use super::walk::write;
use prost_reflect::{Kind, MessageDescriptor};
use std::collections::HashSet;

/// Places of a schema, by what of the paths leads there.
const PLACES: usize = 100_000;

/// How many places the paths find; fails with the first in which no mask of theirs can be expressed.
pub(super) fn reach(message: &MessageDescriptor, paths: &mut impl Paths) -> Result<usize, String> {
    if paths.finds(paths.start()) {
        return Err("$ is the message itself: it takes masks of its fields".to_owned());
    }
    let mut open = vec![(message.clone(), paths.start(), "$".to_owned())];
    let (mut seen, mut found) = (HashSet::new(), 0);
    while let Some((message, places, at)) = open.pop() {
        if places == 0 || !seen.insert((message.full_name().to_owned(), places)) {
            continue;
        }
        if seen.len() > PLACES {
            return Err("the path leads to too many places of it".to_owned());
        }
        let mut inner = Vec::new();
        for field in message.fields() {
            let places = paths.member(places, field.name().as_bytes());
            if places == 0 {
                continue;
            }
            let at = format!("{at}.{}", field.name());
            if field.is_group() {
                return Err(format!("{at} is a group: groups are not masked, nor what is in them"));
            }
            let (is_list, is_map) = (field.is_list(), field.is_map());
            if (is_list || is_map) && paths.finds(places) {
                found += 1;
                if !matches!(paths.mask(places, Held::Other, false), Put::Null | Put::Zero) {
                    let (kind, below) = if is_list { ("repeated", "[*]") } else { ("a map", ".*") };
                    return Err(format!(
                        "{at} is {kind}: it takes \"all\" or to_null() (empty), or masks of what is in it, {below}"
                    ));
                }
            }
            let mut value = |kind: &Kind, places: u64, may_miss: Missing, at: String, paths: &mut _| {
                found += usize::from(fits(kind, places, may_miss, &at, paths)?);
                if let Kind::Message(message) = kind {
                    inner.push((message.clone(), places, at));
                }
                Ok::<_, String>(())
            };
            match (field.kind(), is_list) {
                (Kind::Message(entry), _) if is_map => {
                    let kind = entry.map_entry_value_field().kind();
                    for places in paths.members(places) {
                        value(&kind, places, Missing::May, format!("{at}.*"), paths)?;
                    }
                }
                (kind, true) => {
                    for places in paths.elements(places) {
                        value(&kind, places, Missing::Cannot, format!("{at}[*]"), paths)?;
                    }
                }
                (kind, false) => {
                    let may_miss = match () {
                        () if field.is_required() => Missing::Cannot,
                        () if field.supports_presence() => Missing::May,
                        () => Missing::IsZero,
                    };
                    value(&kind, places, may_miss, at, paths)?;
                }
            }
        }
        open.extend(inner.into_iter().rev());
    }
    Ok(found)
}

/// What it says of a value that it is not there.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Missing {
    Cannot,
    May,
    /// It is zero, or empty.
    IsZero,
}

/// Whether a path ends at a value; fails if what the mask makes is none of its type.
fn fits(
    kind: &Kind,
    places: u64,
    missing: Missing,
    at: &str,
    paths: &mut impl Paths,
) -> Result<bool, String> {
    if !paths.finds(places) {
        return Ok(false);
    }
    let held = match kind {
        Kind::String => Held::Text("x"),
        Kind::Bytes => Held::Bytes(b"x"),
        _ => Held::Other,
    };
    let put = paths.mask(places, held, false);
    let may_miss = missing != Missing::Cannot;
    let is_text = matches!(kind, Kind::String | Kind::Bytes);
    if missing == Missing::IsZero && put == Put::Text && !is_text {
        return Err(format!(
            "{at} is not written when it is zero, false or the first of its names, and would not be replaced then: it takes \"all\" \
             and to_null(), after which it is never written, unless it is declared `optional`"
        ));
    }
    if put == Put::Null && may_miss || write(kind, put, paths.text(), &mut Vec::new()) {
        return Ok(true);
    }
    let (kind, may) = match kind {
        Kind::String => ("a string", "any other mask"),
        Kind::Bytes => ("bytes", "any other mask"),
        Kind::Bool => ("a boolean", "\"all\" (false), replace(\"true\"), replace(\"false\")"),
        Kind::Enum(_) => ("an enum", "\"all\" (its first value), replace(another of its names)"),
        Kind::Message(_) => {
            ("a message", "\"all\" (empty, if nothing in it is required), or masks of its fields")
        }
        _ => ("a number", "\"all\" (0), replace(number)"),
    };
    let null = match (may_miss, put) {
        (true, _) => ", to_null()",
        (false, Put::Null) => "; it cannot be missing",
        _ => "",
    };
    Err(format!("{at} is {kind}, and this mask makes no other: it takes {may}{null}"))
}
