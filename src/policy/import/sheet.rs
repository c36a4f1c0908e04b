//! One interceptor on its way: what of its configuration was read, the rules that it makes, and what has no equal.

use super::text::{comment, globs, literal};
use super::{Note, loads};
use serde_json::{Map, Value};
use std::collections::BTreeSet;

/// Longer texts are not taken over.
const TEXT: usize = 1_000;
/// Interceptors have no end, and what harms has one here.
const EXPIRES: &str = "7d";

/// There is no rule, and why has been told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Told;

pub struct Sheet<'a> {
    name: String,
    config: Option<&'a Map<String, Value>>,
    path: String,
    read: BTreeSet<&'a str>,
    /// `.principal(…)`, when it is about somebody.
    who: String,
    lines: Vec<String>,
    notes: Vec<Note>,
    rules: usize,
    /// It does nothing there either.
    idle: bool,
}

impl<'a> Sheet<'a> {
    pub fn new(name: &str, config: Option<&'a Value>, path: String) -> Self {
        let mut sheet = Self {
            name: name.to_owned(),
            config: config.and_then(Value::as_object),
            path,
            read: BTreeSet::new(),
            who: String::new(),
            lines: Vec::new(),
            notes: Vec::new(),
            rules: 0,
            idle: false,
        };
        if let Some(other) = config.filter(|config| !config.is_object() && !config.is_null()) {
            let path = sheet.path.clone();
            sheet.lost(&path, &format!("a configuration is an object, not {other}"));
        }
        sheet
    }

    /// The comments and rules, and what is to be told.
    pub fn end(self) -> (Vec<String>, Vec<Note>) {
        (self.lines, self.notes)
    }

    pub fn note(&mut self, path: &str, what: &str, lost: bool) {
        let what: String = what.chars().take(300).collect();
        let path: String = path.chars().take(300).collect();
        let note = Note { path, what, lost };
        self.lines.push(format!("// {note}"));
        self.notes.push(note);
    }

    /// Something has no equal.
    pub fn lost(&mut self, path: &str, what: &str) {
        self.note(path, what, true);
    }

    /// A field has no equal.
    pub fn lost_field(&mut self, field: &str, what: &str) {
        self.lost(&self.at(field), what);
    }

    /// Something is near and not equal.
    pub fn differs(&mut self, field: &str, what: &str) {
        self.note(&self.at(field), what, false);
    }

    /// Where a field of the configuration stands.
    pub fn at(&self, field: &str) -> String {
        if field.is_empty() { self.path.clone() } else { format!("{}.{field}", self.path) }
    }

    /// For whom it is. False: that cannot be said, and nobody else must be met.
    pub fn scope(&mut self, scope: &Value, path: &str) -> bool {
        let mut takes = true;
        let Some(fields) = scope.as_object() else {
            self.lost(path, &format!("a scope is an object, not {}", short(scope)));
            return false;
        };
        for (field, value) in fields {
            let path = format!("{path}.{field}");
            match (field.as_str(), value) {
                (_, Value::Null) => {}
                ("username", Value::String(name)) if name.len() <= TEXT => {
                    let glob = format!("User:{}", escaped(name));
                    self.who = format!(".principal({})", literal(&glob));
                }
                ("vCluster" | "vcluster", Value::String(name)) if name == "passthrough" => {}
                _ => {
                    self.lost(
                        &path,
                        &format!(
                            "{}: there are no such scopes; name principals with .principal(…)",
                            short(value)
                        ),
                    );
                    takes = false;
                }
            }
        }
        takes
    }

    pub fn value(&mut self, field: &'a str) -> Option<&'a Value> {
        self.read.insert(field);
        self.config?.get(field).filter(|value| !value.is_null())
    }

    /// A field of an object at a place in the configuration, as `take` reads it; what is there and cannot be read so is lost.
    pub fn inner<'v, T>(
        &mut self,
        object: &'v Map<String, Value>,
        place: &str,
        field: &str,
        wanted: &str,
        take: impl FnOnce(&'v Value) -> Option<T>,
    ) -> Result<Option<T>, Told> {
        let Some(value) = object.get(field).filter(|value| !value.is_null()) else { return Ok(None) };
        if let Some(taken) = take(value) {
            return Ok(Some(taken));
        }
        let path = if place.is_empty() { field.to_owned() } else { format!("{place}.{field}") };
        self.lost_field(&path, &format!("{wanted} is wanted, not {}", short(value)));
        Err(Told)
    }

    /// A field of the configuration, as `take` reads it; what is there and cannot be read so is lost.
    pub fn typed<T>(
        &mut self,
        field: &'a str,
        wanted: &str,
        take: impl FnOnce(&'a Value) -> Option<T>,
    ) -> Result<Option<T>, Told> {
        self.read.insert(field);
        match self.config {
            Some(config) => self.inner(config, "", field, wanted, take),
            None => Ok(None),
        }
    }

    pub fn text(&mut self, field: &'a str) -> Result<Option<&'a str>, Told> {
        let take = |value: &'a Value| value.as_str().filter(|text| text.len() <= TEXT);
        self.typed(field, &format!("a text of at most {TEXT} bytes"), take)
    }

    /// A number from `least` to `most`.
    pub fn number(&mut self, field: &'a str, least: f64, most: f64) -> Result<Option<f64>, Told> {
        let take = |value: &Value| number(value).filter(|number| (least..=most).contains(number));
        self.typed(field, &format!("a number from {least} to {most}"), take)
    }

    /// The topics of `topic`, as arguments of a head: none means all.
    pub fn topics(&mut self) -> Result<String, Told> {
        match self.text("topic")? {
            None => Ok(String::new()),
            Some(regex) => self.globs("topic", regex).map(|globs| match globs.as_str() {
                "\"*\"" => String::new(),
                globs => globs.to_owned(),
            }),
        }
    }

    /// A regular expression as globs that are arguments.
    pub fn globs(&mut self, field: &str, regex: &str) -> Result<String, Told> {
        match globs(regex) {
            Some(globs) => Ok(globs.iter().map(|glob| literal(glob)).collect::<Vec<_>>().join(", ")),
            None => {
                let what = format!("the regular expression {regex} has no equal among globs (* and ?)");
                self.lost_field(field, &what);
                Err(Told)
            }
        }
    }

    /// `.chance(…)` of a share in percent; nothing when it is always. An error: never.
    pub fn chance(&mut self, field: &'a str) -> Result<String, Told> {
        match self.number(field, 0.0, 100.0)?.unwrap_or(100.0) {
            never if never <= 0.0 => {
                self.idles(field, "it is 0, so nothing is done");
                Err(Told)
            }
            always if always >= 100.0 => Ok(String::new()),
            share => Ok(format!(".chance({:?})", share / 100.0)),
        }
    }

    /// What an `action` asks for: `.observe()` of what is only told. An error: something that is not done here.
    pub fn action(&mut self, field: &str, action: Option<&Value>) -> Result<&'static str, Told> {
        match action.map(|action| action.as_str().unwrap_or_default()) {
            None | Some("BLOCK") => Ok(""),
            Some("INFO") => Ok(".observe()"),
            Some(_) => {
                let told = action.map(short).unwrap_or_default();
                self.lost_field(
                    field,
                    &format!("the action {told}: what breaks a rule is refused (BLOCK) or told (INFO)"),
                );
                Err(Told)
            }
        }
    }

    /// A rule that harms.
    pub fn fault(&mut self, head: &str, rest: &str) {
        let who = self.who.clone();
        self.rule(head, &format!("{who}{rest}.expires(\"{EXPIRES}\")"));
    }

    /// A rule that protects.
    pub fn protect(&mut self, head: &str, rest: &str) {
        let who = self.who.clone();
        self.rule(head, &format!("{who}{rest}"));
    }

    fn rule(&mut self, head: &str, rest: &str) {
        self.rules += 1;
        let name = match self.rules {
            1 => self.name.clone(),
            n => format!("{} {n}", self.name),
        };
        let rule = format!("{head}.named({}){rest};", literal(&name));
        match loads(&rule) {
            Ok(()) => self.lines.push(rule),
            Err(why) => {
                self.lines.push(format!("// {}", comment(&rule)));
                self.lost(&self.path.clone(), &format!("this rule does not load: {why}"));
            }
        }
    }

    /// It does nothing there, so that no rule is the equal.
    pub fn idles(&mut self, field: &str, why: &str) {
        self.idle = true;
        self.lines.push(format!("// {}: {why}", comment(&self.at(field))));
    }

    /// Tells of an interceptor that makes no rule, when nothing yet says why.
    pub fn account(&mut self) {
        if self.rules == 0 && !self.idle && !self.notes.iter().any(|note| note.lost) {
            self.lost_field("", "nothing in it makes a rule");
        }
    }

    /// Fields that no plugin asked for.
    pub fn leftovers(&mut self) {
        let unread: Vec<String> = self
            .config
            .into_iter()
            .flat_map(|config| config.keys())
            .filter(|key| !self.read.contains(key.as_str()))
            .cloned()
            .collect();
        for field in unread {
            self.lost_field(&field, "this field is not known");
        }
    }
}

/// A text as a glob that matches it alone.
pub fn escaped(text: &str) -> String {
    text.chars()
        .flat_map(|c| if matches!(c, '*' | '?' | '\\' | '!') { vec!['\\', c] } else { vec![c] })
        .collect()
}

/// A number, which may stand as a text of nothing but digits.
pub fn number(value: &Value) -> Option<f64> {
    let Some(text) = value.as_str() else { return value.as_f64() };
    let digits = text.strip_prefix('-').unwrap_or(text);
    let is_plain = (1..=18).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
    if is_plain { text.parse().ok() } else { None }
}

/// A value as it is told.
pub fn short(value: &Value) -> String {
    value.to_string().chars().take(100).collect()
}
