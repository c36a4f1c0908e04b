//! JSON Schema (drafts 4 to 2020-12), by the `jsonschema` crate. References lead to other files of the folder, never to the network.
//! Where a value is wrong is said of short values only.

use super::strict;
use super::{DEPTH, Files, Invalid, RECURSIVE_DEPTH, TRIES};
use jsonschema::{PatternOptions, Retrieve, Uri, Validator};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::sync::{Arc, Mutex, PoisonError};

/// Where the folder's files are, for references.
const BASE: &str = "schema:///";
/// Bytes of a compiled regular expression.
const PATTERN_BYTES: usize = 1 << 20;
/// Keywords whose schemas are about the very value that theirs is about.
const IN_PLACE: [&str; 7] = ["allOf", "anyOf", "oneOf", "not", "if", "then", "else"];
/// The same, by the name of a property.
const DEPENDENT: [&str; 2] = ["dependentSchemas", "dependencies"];

/// Bytes of a value (times the ways in which it is tried) of which more is said than that it does not fit. To find the place the validator
/// gathers the errors of all branches of `anyOf` and `oneOf`, with what they are about.
const EXPLAINED_BYTES: usize = 4 << 10;

pub(super) struct JsonSchema {
    validator: Validator,
    /// Names of properties that the schema knows: others are the value's own.
    names: BTreeSet<String>,
    depth: usize,
    /// In how many ways each level of a value is tried, of a schema that refers to itself.
    breadth: Option<usize>,
}

impl JsonSchema {
    pub fn new(name: &str, text: &[u8], files: impl Files + Send + Sync + 'static) -> Result<Self, String> {
        let schema = read(text)?;
        let base = format!("{BASE}{name}");
        let folder = Folder { files, read: Arc::default() };
        let read = Arc::clone(&folder.read);
        let validator = jsonschema::options()
            .with_base_uri(base.clone())
            .with_retriever(folder)
            .with_pattern_options(PatternOptions::regex().size_limit(PATTERN_BYTES))
            .should_validate_formats(true)
            .should_ignore_unknown_formats(false)
            .build(&schema)
            .map_err(|error| format!("at ${}: {error}", error.instance_path()))?;
        let mut all = read.lock().unwrap_or_else(PoisonError::into_inner).clone();
        all.insert(base.clone(), schema);
        let mut names = BTreeSet::new();
        all.values().for_each(|schema| properties(schema, &mut names));
        let references = References::of(&all);
        let breadth = references.cycles()?.then(|| references.breadth());
        let (least, most) = RECURSIVE_DEPTH;
        let bounded = |breadth: usize| ((TRIES / (breadth as f64).log2()) as usize).clamp(least, most);
        let depth = breadth.map_or(DEPTH, bounded);
        Ok(Self { validator, names, depth, breadth })
    }

    pub fn check(&self, value: &[u8]) -> Result<(), Invalid> {
        let length = value.len();
        let value = strict::read(value, self.depth).map_err(|error| {
            // what serde says beyond this quotes the value
            let why = error.to_string();
            let told =
                ["it is nested too deeply", "a name stands twice in an object", "a number is out of range"];
            let why = told.into_iter().find(|told| why.starts_with(told)).unwrap_or("it is no JSON");
            Invalid::new("", why)
        })?;
        if self.validator.is_valid(&value) {
            return Ok(());
        }
        if !self.is_explained(&value, length) {
            return Err(Invalid::new("", "does not fit the schema"));
        }
        match self.validator.validate(&value) {
            // the two ways to ask should agree; a gate stays closed
            Ok(()) => Err(Invalid::new("", "does not fit the schema")),
            Err(error) => {
                let why = format!("does not hold to `{}`", error.kind().keyword());
                let pointer = error.instance_path().to_string();
                let mut shown = Vec::new();
                let mut here = Some(&value);
                for segment in pointer.split('/').skip(1) {
                    let segment = segment.replace("~1", "/").replace("~0", "~");
                    shown.push(match here {
                        Some(Value::Array(_)) => format!("[{segment}]"),
                        _ if self.names.contains(&segment) => format!(".{segment}"),
                        _ => ".*".to_owned(),
                    });
                    here = match here {
                        Some(Value::Array(list)) => segment.parse::<usize>().ok().and_then(|at| list.get(at)),
                        Some(Value::Object(fields)) => fields.get(&segment),
                        _ => None,
                    };
                }
                let invalid = Invalid::new("", why);
                let invalid = shown.iter().rev().fold(invalid, |invalid, field| invalid.within(field));
                Err(invalid)
            }
        }
    }

    /// Whether what the validator gathers stays in proportion to the value.
    fn is_explained(&self, value: &Value, length: usize) -> bool {
        let ways = self.breadth.map_or(1, |breadth| breadth.saturating_pow(levels(value)));
        // a recursive schema tries what is deep in as many ways as its levels multiply to
        let most = if self.breadth.is_some() { EXPLAINED_BYTES << 6 } else { EXPLAINED_BYTES };
        length <= EXPLAINED_BYTES && length.saturating_mul(ways) <= most
    }
}

/// Levels of arrays and objects in one another.
fn levels(value: &Value) -> u32 {
    match value {
        Value::Array(list) => 1 + list.iter().map(levels).max().unwrap_or(0),
        Value::Object(fields) => 1 + fields.values().map(levels).max().unwrap_or(0),
        _ => 0,
    }
}

fn read(text: &[u8]) -> Result<Value, String> {
    strict::read(text, DEPTH)
        .map_err(|error| format!("line {}, column {}: {error}", error.line(), error.column()))
}

/// Gathers the names under `properties`.
fn properties(schema: &Value, names: &mut BTreeSet<String>) {
    match schema {
        Value::Object(fields) => {
            if let Some(Value::Object(properties)) = fields.get("properties") {
                names.extend(properties.keys().cloned());
            }
            fields.values().for_each(|inner| properties(inner, names));
        }
        Value::Array(list) => list.iter().for_each(|inner| properties(inner, names)),
        _ => {}
    }
}

/// The folder's files as what references lead to.
struct Folder<F> {
    files: F,
    read: Arc<Mutex<BTreeMap<String, Value>>>,
}

impl<F: Files + Send + Sync> Retrieve for Folder<F> {
    fn retrieve(&self, uri: &Uri<String>) -> Result<Value, Box<dyn Error + Send + Sync>> {
        let Some(name) = uri.as_str().strip_prefix(BASE) else {
            return Err(format!("`{uri}` is not in the folder of schemas, and nothing else is asked").into());
        };
        let schema = read(&self.files.text(name)?).map_err(|why| format!("{name}: {why}"))?;
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        read.insert(uri.to_string(), schema.clone());
        Ok(schema)
    }
}

/// A place in a file: its address and pointer.
type Place = (String, String);

/// How one schema leads to another.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Led {
    /// About the same value.
    InPlace,
    /// About something in it.
    Deeper,
}

/// Which schemas lead to which. Whatever is an object is taken for a schema, or for a table of them.
struct References<'s> {
    files: &'s BTreeMap<String, Value>,
    edges: BTreeMap<Place, Vec<(Place, Led)>>,
    /// There are references that name no place: they are for schemas that lead to themselves.
    by_anchor: bool,
}

impl<'s> References<'s> {
    fn of(files: &'s BTreeMap<String, Value>) -> Self {
        let mut found = Self { files, edges: BTreeMap::new(), by_anchor: false };
        let mut left: Vec<(Place, &Value)> =
            files.iter().map(|(file, schema)| ((file.clone(), String::new()), schema)).collect();
        while let Some((place, schema)) = left.pop() {
            if found.edges.contains_key(&place) {
                continue;
            }
            let next = found.next(&place, schema);
            found.edges.insert(place, next.iter().map(|(place, _, led)| (place.clone(), *led)).collect());
            left.extend(next.into_iter().map(|(place, schema, _)| (place, schema)));
        }
        found
    }

    /// Whether a schema leads back to itself. One that does so about the same value says nothing at all, and is refused.
    fn cycles(&self) -> Result<bool, String> {
        if let Some((_, pointer)) = self.cycle(|led| led == Led::InPlace) {
            return Err(format!("at #{pointer}: it leads back to itself, and says nothing"));
        }
        Ok(self.by_anchor || self.cycle(|_| true).is_some())
    }

    /// Schemas that are about one value, at most (and at least two, and no more than a thousand are told apart).
    fn breadth(&self) -> usize {
        let about_one = |start: &Place| {
            let (mut found, mut left) = (BTreeSet::from([start]), vec![start]);
            while let Some(place) = left.pop() {
                let steps = self.edges.get(place).map(Vec::as_slice).unwrap_or_default();
                for (next, led) in steps {
                    if *led == Led::InPlace && found.len() < 1_000 && found.insert(next) {
                        left.push(next);
                    }
                }
            }
            found.len()
        };
        self.edges.keys().map(about_one).max().unwrap_or_default().max(2)
    }

    /// A place on a cycle of such steps.
    fn cycle(&self, takes: impl Fn(Led) -> bool) -> Option<&Place> {
        let mut done: BTreeSet<&Place> = BTreeSet::new();
        for start in self.edges.keys() {
            // the places on the way, and how many of their steps were taken
            let mut way: Vec<(&Place, usize)> = vec![(start, 0)];
            let mut on_the_way: BTreeSet<&Place> = [start].into();
            while let Some((place, step)) = way.last_mut() {
                let steps = self.edges.get(*place).map(Vec::as_slice).unwrap_or_default();
                let Some((next, led)) = steps.get(*step).filter(|_| !done.contains(*place)) else {
                    on_the_way.remove(*place);
                    done.insert(*place);
                    way.pop();
                    continue;
                };
                *step += 1;
                if !takes(*led) || done.contains(next) {
                    continue;
                }
                if !on_the_way.insert(next) {
                    return Some(next);
                }
                way.push((next, 0));
            }
        }
        None
    }

    /// Where a schema leads.
    fn next(&mut self, place: &Place, schema: &'s Value) -> Vec<(Place, &'s Value, Led)> {
        let (file, pointer) = place;
        let Value::Object(fields) = schema else { return Vec::new() };
        let mut next = Vec::new();
        for (name, inner) in fields {
            let at = |more: &str| (file.clone(), format!("{pointer}/{}{more}", escaped(name)));
            let led = if IN_PLACE.contains(&name.as_str()) { Led::InPlace } else { Led::Deeper };
            match (name.as_str(), inner) {
                ("$ref" | "$dynamicRef" | "$recursiveRef", Value::String(reference)) => {
                    let found = self.follow(file, reference);
                    self.by_anchor |= name != "$ref" || found.is_none();
                    next.extend(found.map(|(place, schema)| (place, schema, Led::InPlace)));
                }
                (name, Value::Object(table)) if DEPENDENT.contains(&name) => {
                    for (of, inner) in table {
                        next.push((at(&format!("/{}", escaped(of))), inner, Led::InPlace));
                    }
                }
                (_, Value::Object(_)) => next.push((at(""), inner, led)),
                (_, Value::Array(list)) => {
                    next.extend(list.iter().enumerate().map(|(n, inner)| (at(&format!("/{n}")), inner, led)));
                }
                _ => {}
            }
        }
        next
    }

    /// Where a reference in a file leads, if it names a place.
    fn follow(&self, from: &str, reference: &str) -> Option<(Place, &'s Value)> {
        let (file, fragment) = reference.split_once('#').unwrap_or((reference, ""));
        let file = match file {
            "" => from.to_owned(),
            name if name.contains(':') => name.to_owned(),
            name => format!("{BASE}{name}"),
        };
        let schema = self.files.get(&file)?;
        let schema = if fragment.is_empty() { schema } else { schema.pointer(fragment)? };
        Some(((file, fragment.to_owned()), schema))
    }
}

fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    struct One(&'static str);

    impl Files for One {
        fn text(&self, _: &str) -> Result<Arc<[u8]>, String> {
            Ok(self.0.as_bytes().into())
        }
    }

    fn breadth(text: &str) -> Option<usize> {
        let read = JsonSchema::new("s.json", text.as_bytes(), One(r#"{"type":"string"}"#));
        read.unwrap_or_else(|why| panic!("{text}: {why}")).breadth
    }

    #[test]
    fn a_schema_that_leads_back_to_itself_is_known_by_its_references() {
        for (text, recursive) in [
            (r##"{"properties":{"a":{"$ref":"#/$defs/a"}},"$defs":{"a":{"type":"string"}}}"##, None),
            (r#"{"properties":{"a":{"$ref":"other.json"}}}"#, None),
            (r#"{"properties":{"a":{"$ref":"schema:///other.json"}}}"#, None),
            (r##"{"properties":{"a":{"$ref":"#"},"b":{},"c":{"items":{"items":{}}}}}"##, Some(2)),
            (r##"{"anyOf":[{"items":{"$ref":"#"}},{},{}]}"##, Some(5)),
            // where these lead is found out by the validator alone
            (
                r##"{"properties":{"a":{"$dynamicRef":"#/$defs/a"}},"$defs":{"a":{"type":"string"}}}"##,
                Some(2),
            ),
            (r##"{"properties":{"a":{"$ref":"#here"}},"$defs":{"a":{"$anchor":"here"}}}"##, Some(2)),
        ] {
            assert_eq!(breadth(text), recursive, "{text}");
        }
        for text in [
            r##"{"dependentSchemas":{"a":{"$ref":"#"}}}"##,
            r##"{"$schema":"http://json-schema.org/draft-07/schema#","dependencies":{"a":{"$ref":"#"}}}"##,
        ] {
            let why = JsonSchema::new("s.json", text.as_bytes(), One("{}")).err().unwrap();
            assert!(why.contains("leads back to itself"), "{text}: {why}");
        }
    }

    #[test]
    fn levels_are_those_of_the_deepest() {
        assert_eq!(levels(&json!(1)), 0);
        assert_eq!(levels(&json!([[], 1, {"a": [[2]], "b": {}}])), 4);
        assert_eq!(levels(&json!({"a": {"b": {"c": 1}}})), 3);
    }
}
