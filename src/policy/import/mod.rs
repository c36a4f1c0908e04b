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
use serde_json::Value;
use sheet::{Sheet, Told};
use std::collections::HashSet;
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
    let mut names = HashSet::new();
    for (path, value) in found {
        let (part, notes) = interceptor(&path, value, &mut names);
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

fn interceptor(path: &str, value: &Value, names: &mut HashSet<String>) -> (Option<Part>, Vec<Note>) {
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
    let given = metadata.and_then(|metadata| metadata.get("name")).or(fields.get("name"));
    let given = given.and_then(Value::as_str).unwrap_or("interceptor");
    let plain = slug(given);
    let numbered = (2..).map(|n| format!("{plain}-{n}"));
    let mut possible = std::iter::once(plain.clone()).chain(numbered);
    let name = possible.find(|name| !names.contains(name)).unwrap_or_default();
    names.insert(name.clone());
    let priority = spec.get("priority").and_then(Value::as_i64).unwrap_or(PRIORITY);
    let short = class.rsplit('.').next().unwrap_or(class);
    let mut sheet = Sheet::new(&name, spec.get("config"), format!("{spec_path}.config"));
    let allowed: &[&str] = &["kind", "apiVersion", "metadata", "spec", "name"];
    for key in fields.keys().filter(|key| !std::ptr::eq(spec, fields) && !allowed.contains(&key.as_str())) {
        sheet.lost(&format!("{path}.{key}"), "this field is not known");
    }
    let inner: &[&str] = &["comment", "pluginClass", "priority", "config", "name", "scope"];
    for key in spec.keys().filter(|key| !inner.contains(&key.as_str())) {
        sheet.lost(&format!("{spec_path}.{key}"), "this field is not known");
    }
    let scope = metadata
        .and_then(|metadata| metadata.get("scope"))
        .map(|scope| (scope, format!("{path}.metadata.scope")));
    let scope = scope.or_else(|| spec.get("scope").map(|scope| (scope, format!("{spec_path}.scope"))));
    let takes = scope.is_none_or(|(scope, path)| sheet.scope(scope, &path));
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

    /// As a policy for each interceptor, in a file of its name.
    pub fn scripts(&self) -> Vec<Script> {
        let script = |part: &Part| {
            let mut out = format!("{ORIGIN}\npolicy({}, {});\n", literal(&part.name), literal(&part.title));
            part.write(&mut out);
            Script { file: format!("{}.rhai", part.name).into(), text: out.into() }
        };
        self.parts.iter().map(script).collect()
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
