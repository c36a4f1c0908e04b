//! What a line of the journal or the audit trail is, once: the struct that is written and the JSON Schema that is published are
//! made of the same words, so that they cannot part.

use serde_json::{Value, json};

/// A field as it stands in a line.
pub trait Field {
    /// JSON Schema's word for it.
    const KIND: &'static str;
    /// It may be left out.
    const OPTIONAL: bool = false;
    /// The least a number may be.
    const LEAST: Option<i64> = None;

    /// It is left out.
    fn is_absent(&self) -> bool {
        false
    }
}

impl Field for u64 {
    const KIND: &'static str = "integer";
    const LEAST: Option<i64> = Some(0);
}

impl Field for u32 {
    const KIND: &'static str = "integer";
    const LEAST: Option<i64> = Some(0);
}

impl Field for i32 {
    const KIND: &'static str = "integer";
}

impl Field for &str {
    const KIND: &'static str = "string";
}

impl Field for String {
    const KIND: &'static str = "string";
}

/// Left out when false.
impl Field for bool {
    const KIND: &'static str = "boolean";
    const OPTIONAL: bool = true;

    fn is_absent(&self) -> bool {
        !self
    }
}

impl<T: Field> Field for Option<T> {
    const KIND: &'static str = T::KIND;
    const OPTIONAL: bool = true;
    const LEAST: Option<i64> = T::LEAST;

    fn is_absent(&self) -> bool {
        self.is_none()
    }
}

/// A field in a schema.
#[derive(Debug)]
pub struct Described {
    pub name: &'static str,
    pub kind: &'static str,
    pub optional: bool,
    pub least: Option<i64>,
    /// What is said about it where it is declared.
    pub about: &'static [&'static str],
}

/// Declares a line: its struct, how it is written, and `schema()`.
macro_rules! line {
    (
        $(#[doc = $about:literal])*
        $vis:vis struct $name:ident $(<$life:lifetime>)? {
            $($(#[doc = $doc:literal])* $field:ident: $type:ty,)*
        }
    ) => {
        $(#[doc = $about])*
        #[derive(Debug, serde::Serialize)]
        $vis struct $name $(<$life>)? {
            $(
                $(#[doc = $doc])*
                #[serde(skip_serializing_if = "crate::policy::journal::line::Field::is_absent")]
                pub $field: $type,
            )*
        }

        impl $(<$life>)? $name $(<$life>)? {
            /// The JSON Schema of such a line.
            pub fn schema() -> serde_json::Value {
                use crate::policy::journal::line::{Described, Field, schema};
                schema(&[$($about),*], &[$(Described {
                    name: stringify!($field),
                    kind: <$type as Field>::KIND,
                    optional: <$type as Field>::OPTIONAL,
                    least: <$type as Field>::LEAST,
                    about: &[$($doc),*],
                }),*])
            }
        }
    };
}
pub(crate) use line;

/// The schema of one kind of line.
pub fn schema(about: &[&str], fields: &[Described]) -> Value {
    let said = |lines: &[&str]| lines.iter().map(|line| line.trim()).collect::<Vec<_>>().join(" ");
    let mut properties = serde_json::Map::new();
    for field in fields {
        let mut property = json!({ "type": field.kind });
        if let Some(least) = field.least {
            property["minimum"] = least.into();
        }
        if !field.about.is_empty() {
            property["description"] = said(field.about).into();
        }
        properties.insert(field.name.to_owned(), property);
    }
    let required = fields.iter().filter(|field| !field.optional).map(|field| field.name);
    json!({
        "type": "object",
        "description": said(about),
        "properties": properties,
        "required": required.collect::<Vec<_>>(),
        "additionalProperties": false,
    })
}

/// The schema of a file: each line is one of these.
pub fn of_file(title: &str, lines: Vec<Value>) -> Value {
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": title,
        "oneOf": lines,
    })
}

/// What of a line is not as a schema made here says; for tests. It knows the words that are used here, and no others.
#[cfg(test)]
pub fn breach(schema: &Value, line: &Value) -> Option<String> {
    if let Some(kinds) = schema["oneOf"].as_array() {
        let fitting = kinds.iter().filter(|kind| breach(kind, line).is_none()).count();
        return (fitting != 1).then(|| format!("{fitting} kinds of lines fit {line}"));
    }
    let Some(fields) = line.as_object() else { return Some("no object".to_owned()) };
    for name in schema["required"].as_array().unwrap() {
        if !fields.contains_key(name.as_str().unwrap()) {
            return Some(format!("{name} is missing"));
        }
    }
    for (name, value) in fields {
        let property = &schema["properties"][name];
        let fits = match property["type"].as_str() {
            Some("integer") => {
                value.as_u64().is_some() || value.is_i64() && property.get("minimum").is_none()
            }
            Some("string") => value.is_string(),
            Some("boolean") => value.is_boolean(),
            _ => false,
        };
        if !fits {
            return Some(format!("{name}: {value}"));
        }
    }
    None
}
