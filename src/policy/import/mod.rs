//! Conduktor Gateway's interceptors, as its API takes and gives them (JSON), into policies. What has no equal stands in the policy
//! as a comment and is told with its place in the JSON, and so is what is only near.
//!
//! Plugins and their fields: <https://docs.conduktor.io/guide/reference/interceptor-reference>. Each rule that is written is
//! loaded first; one that would not load becomes a comment as well, so that what comes out always loads.

mod chaos;
mod data;
mod guard;
mod sheet;
mod text;

use super::load::Script;
use super::script::{self, SCRIPT_BYTES, Surroundings};
use super::secrets::Secrets;
use super::state::StateStore;
use crate::policy::clock::Clock;
use serde_json::{Map, Value};
use sheet::{Sheet, Told, number};
use std::collections::{HashMap, HashSet};
use text::{comment, literal, slug};

/// Interceptors in one file.
const INTERCEPTORS: usize = 500;
/// The priority of what names none.
const PRIORITY: i64 = i64::MAX;

/// What came of a file.
#[derive(Debug)]
pub struct Imported {
    /// One policy for each interceptor, by priority.
    parts: Vec<Part>,
    pub notes: Vec<Note>,
}

#[derive(Debug)]
struct Part {
    name: String,
    title: String,
    priority: i64,
    lines: Vec<String>,
}

/// What the interceptors before had.
#[derive(Default)]
struct Earlier {
    /// Names of policies.
    names: HashSet<String>,
    /// By the name that was given.
    scopes: HashMap<String, Vec<Value>>,
}

/// Something that is not as it was, and where it stands in the JSON.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    pub path: String,
    pub what: String,
    /// There is no equal; else there is one that is near.
    pub lost: bool,
}

impl std::fmt::Display for Note {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let kind = if self.lost { "no equal" } else { "differs" };
        write!(f, "{kind}: {}: {}", comment(&self.path), comment(&self.what))
    }
}

/// Why a file cannot be taken at all.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    #[error("it is no JSON: {0}")]
    Json(#[from] serde_json::Error),
    #[error("it holds no interceptor")]
    Nothing,
    #[error("it holds more than {INTERCEPTORS} interceptors")]
    TooMany,
    #[error("what it says makes a policy longer than {SCRIPT_BYTES} bytes, or one that does not load: {0}")]
    TooLong(String),
}

/// Reads interceptors: one, a list of them, or several documents one after the other.
///
/// # Errors
/// When the text is no JSON or no interceptor. Whatever else is wrong is a note.
pub fn import(text: &str) -> Result<Imported, ImportError> {
    let documents: Vec<Value> =
        serde_json::Deserializer::from_str(text).into_iter().collect::<Result<_, _>>()?;
    let mut found: Vec<(String, &Value)> = Vec::new();
    for (at, document) in documents.iter().enumerate() {
        let root = if documents.len() == 1 { "$".to_owned() } else { format!("${at}") };
        match document {
            Value::Array(list) => {
                found.extend(list.iter().enumerate().map(|(at, one)| (format!("{root}[{at}]"), one)));
            }
            one => found.push((root, one)),
        }
    }
    if found.is_empty() {
        return Err(ImportError::Nothing);
    }
    if found.len() > INTERCEPTORS {
        return Err(ImportError::TooMany);
    }
    let mut imported = Imported { parts: Vec::new(), notes: Vec::new() };
    let mut earlier = Earlier::default();
    for (path, value) in found {
        let (part, notes) = interceptor(&path, value, &mut earlier);
        imported.parts.extend(part);
        imported.notes.extend(notes);
    }
    imported.parts.sort_by_key(|part| part.priority);
    // what each rule says loads; whether all of it together does is the last question
    loads(&imported.script()).map_err(ImportError::TooLong)?;
    for script in imported.scripts() {
        loads(&script.text).map_err(ImportError::TooLong)?;
    }
    Ok(imported)
}

/// Whether a script can be loaded; why not.
fn loads(text: &str) -> Result<(), String> {
    let around = Surroundings {
        state: StateStore::new(Clock::manual()),
        secrets: Secrets::made_up(),
        schemas: Default::default(),
    };
    script::read("imported.rhai".as_ref(), &text.into(), &around).map(drop).map_err(|error| error.message)
}

fn interceptor(path: &str, value: &Value, earlier: &mut Earlier) -> (Option<Part>, Vec<Note>) {
    let lost = |what: &str| (None, vec![Note { path: path.to_owned(), what: what.to_owned(), lost: true }]);
    let Some(fields) = value.as_object() else { return lost("this is no interceptor") };
    if let Some(kind) = fields.get("kind").filter(|kind| *kind != "Interceptor") {
        return lost(&format!("this is of the kind {kind}, not an interceptor"));
    }
    // what the API calls spec stands at the top in its first version
    let (spec, spec_path) = match fields.get("spec").and_then(Value::as_object) {
        Some(spec) => (spec, format!("{path}.spec")),
        None => (fields, path.to_owned()),
    };
    let Some(class) = spec.get("pluginClass").and_then(Value::as_str) else {
        return lost("there is no `pluginClass`");
    };
    let metadata = fields.get("metadata").and_then(Value::as_object);
    let given =
        metadata.and_then(|metadata| metadata.get("name")).or(fields.get("name")).and_then(Value::as_str);
    let repeats = given.map(|given| earlier.repeats(given, scopes(fields)));
    let given = given.unwrap_or("interceptor");
    let plain = slug(given);
    let numbered = (2..).map(|n| format!("{plain}-{n}"));
    let mut possible = std::iter::once(plain.clone()).chain(numbered);
    let name = possible.find(|name| !earlier.names.contains(name)).unwrap_or_default();
    earlier.names.insert(name.clone());
    let short = class.rsplit('.').next().unwrap_or(class);
    let mut sheet = Sheet::new(&name, spec.get("config"), format!("{spec_path}.config"));
    let allowed: &[&str] = &["kind", "apiVersion", "metadata", "spec", "name", "scope"];
    for key in fields.keys().filter(|key| !std::ptr::eq(spec, fields) && !allowed.contains(&key.as_str())) {
        sheet.lost(&format!("{path}.{key}"), "this field is not known");
    }
    let inner: &[&str] = &["comment", "pluginClass", "priority", "config", "name", "scope"];
    for key in spec.keys().filter(|key| !inner.contains(&key.as_str())) {
        sheet.lost(&format!("{spec_path}.{key}"), "this field is not known");
    }
    for key in metadata
        .into_iter()
        .flat_map(|metadata| metadata.keys())
        .filter(|key| !NAMING.contains(&key.as_str()))
    {
        sheet.lost(&format!("{path}.metadata.{key}"), "this field is not known");
    }
    if repeats == Some(true) {
        let what = format!(
            "an interceptor before is called {given} as well, with another scope: there the narrower of the two holds, here both do"
        );
        sheet.note(path, &what, false);
    }
    let priority = match spec.get("priority") {
        None | Some(Value::Null) => PRIORITY,
        Some(value) => place_in_order(value).unwrap_or_else(|| {
            let what = format!("a whole number is wanted, not {}; it comes last", sheet::short(value));
            sheet.lost(&format!("{spec_path}.priority"), &what);
            PRIORITY
        }),
    };
    let takes = whom(&mut sheet, path, fields, spec);
    let readable = spec.get("config").is_none_or(|config| config.is_object() || config.is_null());
    let plugin = chaos::plugin(short).or_else(|| data::plugin(short)).or_else(|| guard::plugin(short));
    match plugin {
        Some(plugin) if takes && readable => {
            let (Ok(()) | Err(Told)) = plugin(&mut sheet);
            sheet.leftovers();
            sheet.account();
        }
        Some(_) => {}
        None => {
            let why = guard::without_equal(short).unwrap_or("this plugin is not known");
            sheet.lost(&format!("{spec_path}.pluginClass"), &format!("{class}: {why}"));
        }
    }
    let (lines, notes) = sheet.end();
    let title = format!("{given}: {short}");
    (Some(Part { name, title, priority, lines }), notes)
}

/// Fields of `metadata` that say nothing about what is done, and the scope.
const NAMING: &[&str] = &["name", "scope", "labels"];
/// What says whom it is about, where it stands outside of a scope.
const ABOUT: &[&str] = &["username", "group", "vCluster", "vcluster", "tenant"];

fn place_in_order(priority: &Value) -> Option<i64> {
    let whole = |priority| number(priority).filter(|n| n.fract() == 0.0).map(|n| n as i64);
    priority.as_i64().or_else(|| whole(priority))
}

/// What is said of whom it is about, with its place below the interceptor.
fn scopes(fields: &Map<String, Value>) -> Vec<(&'static str, &Value)> {
    let places = [
        (".metadata.scope", fields.get("metadata").and_then(|metadata| metadata.get("scope"))),
        (
            ".spec.scope",
            fields.get("spec").filter(|spec| spec.is_object()).and_then(|spec| spec.get("scope")),
        ),
        (".scope", fields.get("scope")),
    ];
    let said = places.into_iter().filter_map(|(place, scope)| Some((place, scope?)));
    said.filter(|(_, scope)| !scope.is_null()).collect()
}

/// For whom it is. False: that cannot be said, and nobody else must be met.
fn whom(sheet: &mut Sheet<'_>, path: &str, fields: &Map<String, Value>, spec: &Map<String, Value>) -> bool {
    let mut takes = true;
    let metadata = fields.get("metadata").filter(|metadata| !metadata.is_null());
    if let Some(other) = metadata.filter(|metadata| !metadata.is_object()) {
        sheet.lost(&format!("{path}.metadata"), &format!("an object is wanted, not {}", sheet::short(other)));
        takes = false;
    }
    let scopes = scopes(fields);
    if let [_, (place, _), ..] = scopes.as_slice() {
        sheet.lost(&format!("{path}{place}"), "this is a second scope");
        takes = false;
    }
    for (place, scope) in scopes {
        takes &= sheet.scope(scope, &format!("{path}{place}"));
    }
    // these have been told as not known
    let holders = [Some(fields), Some(spec), metadata.and_then(Value::as_object)];
    let about = |holder: &Map<String, Value>| {
        ABOUT.iter().any(|key| holder.get(*key).is_some_and(|value| !value.is_null()))
    };
    takes && !holders.into_iter().flatten().any(about)
}

impl Earlier {
    /// Whether one before has this name and another scope.
    fn repeats(&mut self, name: &str, scopes: Vec<(&'static str, &Value)>) -> bool {
        let said = |scope: &Value| match scope {
            Value::Object(fields) => {
                fields.clone().into_iter().filter(|(_, value)| !value.is_null()).collect()
            }
            other => other.clone(),
        };
        let scope = scopes.first().map_or_else(|| Value::Object(Map::new()), |(_, scope)| said(scope));
        let before = self.scopes.entry(name.to_owned()).or_default();
        let repeats = before.iter().any(|other| *other != scope);
        before.push(scope);
        repeats
    }
}

const ORIGIN: &str = "// Imported from interceptors of Conduktor Gateway.\n";

impl Imported {
    /// All of it as one policy.
    pub fn script(&self) -> String {
        let mut out = format!("{ORIGIN}\npolicy(\"imported\", \"Imported from interceptors.\");\n");
        for part in &self.parts {
            part.write(&mut out);
        }
        out
    }

    /// As a policy for each interceptor, in a file of its name; files are loaded in the order of their names, and a number
    /// keeps that of the priorities.
    pub fn scripts(&self) -> Vec<Script> {
        let script = |(at, part): (usize, &Part)| {
            let mut out = format!("{ORIGIN}\npolicy({}, {});\n", literal(&part.name), literal(&part.title));
            part.write(&mut out);
            Script { file: format!("{:03}-{}.rhai", at + 1, part.name).into(), text: out.into() }
        };
        self.parts.iter().enumerate().map(script).collect()
    }

    /// How many things have no equal.
    pub fn lost(&self) -> usize {
        self.notes.iter().filter(|note| note.lost).count()
    }
}

impl Part {
    fn write(&self, out: &mut String) {
        out.push_str(&format!("\n// {}\n", comment(&self.title)));
        for line in &self.lines {
            out.push_str(line);
            out.push('\n');
        }
    }
}

#[cfg(test)]
mod tests;
