//! Plugins that protect and change what is in records: masks, encryption, headers.

use super::chaos::Plugin;
use super::sheet::{Sheet, Told, escaped, number, short};
use super::text::literal;
use serde_json::{Map, Value};

pub fn plugin(class: &str) -> Option<Plugin> {
    Some(match class {
        "FieldLevelDataMaskingPlugin" => masking,
        "EncryptPlugin" => encryption,
        "DecryptPlugin" => decryption,
        "DynamicHeaderInjectionPlugin" => header_injection,
        "MessageHeaderRemovalPlugin" => header_removal,
        _ => return None,
    })
}

/// A field as they name it, `a.b[0].c`, as a path into a value.
fn path(field: &str) -> String {
    let mut path = "$".to_owned();
    for step in field.split('.') {
        let (name, places) = step.split_at(step.find('[').unwrap_or(step.len()));
        let is_plain = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        match is_plain {
            true => path.push_str(&format!(".{name}")),
            // quotes and what ends them are escaped
            false => path.push_str(&format!("['{}']", name.replace('\\', "\\\\").replace('\'', "\\'"))),
        }
        path.push_str(places);
    }
    path
}

/// How a schema registry is reached: why that has no equal.
const NO_REGISTRY: &str = "values are read as JSON; no schema registry is asked";

fn schema_registry(sheet: &mut Sheet<'_>) {
    if sheet.value("schemaRegistryConfig").is_some() {
        sheet.lost_field("schemaRegistryConfig", NO_REGISTRY);
    }
}

/// Objects of a list, each with its place; what is no object is told.
fn objects<'a>(sheet: &mut Sheet<'a>, field: &'a str) -> Vec<(String, &'a Map<String, Value>)> {
    match sheet.typed(field, "a list", Value::as_array) {
        Ok(Some(list)) => listed(sheet, field, list),
        Ok(None) | Err(Told) => Vec::new(),
    }
}

fn listed<'a>(
    sheet: &mut Sheet<'a>,
    field: &str,
    list: &'a [Value],
) -> Vec<(String, &'a Map<String, Value>)> {
    let mut objects = Vec::new();
    for (at, one) in list.iter().enumerate() {
        let place = format!("{field}[{at}]");
        match one.as_object() {
            Some(object) => objects.push((place, object)),
            None => sheet.lost_field(&place, &format!("an object is wanted, not {}", short(one))),
        }
    }
    objects
}

/// Tells which fields of an object nobody knows.
fn unknown(sheet: &mut Sheet<'_>, place: &str, object: &Map<String, Value>, known: &[&str]) {
    for key in object.keys().filter(|key| !known.contains(&key.as_str())) {
        sheet.lost_field(&format!("{place}.{key}"), "this field is not known");
    }
}

fn masking(sheet: &mut Sheet<'_>) -> Result<(), Told> {
    let topics = sheet.topics();
    schema_registry(sheet);
    let unparsable = match sheet.text("errorPolicy")? {
        None | Some("fail_fetch") => ".on_unparsable(\"error\")",
        Some("skip_masking") => ".on_unparsable(\"pass\")",
        Some(other) => {
            sheet.lost_field("errorPolicy", &format!("it is fail_fetch or skip_masking, not {other}"));
            return Err(Told);
        }
    };
    let policies = objects(sheet, "policies");
    let topics = topics?;
    for (place, policy) in policies {
        unknown(sheet, &place, policy, &["name", "rule", "fields", "schemaRegistryConfig"]);
        if policy.get("schemaRegistryConfig").is_some_and(|config| !config.is_null()) {
            sheet.lost_field(&format!("{place}.schemaRegistryConfig"), NO_REGISTRY);
        }
        let Some(how) = how(sheet, &place, policy.get("rule")) else { continue };
        let Ok(fields) = sheet.inner(policy, &place, "fields", "a list", Value::as_array) else { continue };
        let fields = fields.map_or(&[][..], Vec::as_slice);
        if fields.is_empty() {
            sheet.lost_field(&format!("{place}.fields"), "it names no field");
        }
        for (at, field) in fields.iter().enumerate() {
            match field.as_str() {
                Some(field) => {
                    let mask = format!(".mask({}, {how}){unparsable}", literal(&path(field)));
                    sheet.protect(&format!("on_fetch({topics})"), &mask);
                }
                None => sheet.lost_field(&format!("{place}.fields[{at}]"), "a field is a text"),
            }
        }
    }
    Ok(())
}

/// A rule of a mask, as an argument of `mask`.
fn how(sheet: &mut Sheet<'_>, place: &str, rule: Option<&Value>) -> Option<String> {
    let at = format!("{place}.rule");
    let empty = Map::new();
    let rule = match rule {
        None | Some(Value::Null) => &empty,
        Some(Value::Object(rule)) => rule,
        Some(other) => {
            sheet.lost_field(&at, &format!("an object is wanted, not {}", short(other)));
            return None;
        }
    };
    unknown(sheet, &at, rule, &["type", "maskingChar", "numberOfChars"]);
    let sign = match rule.get("maskingChar") {
        None | Some(Value::Null) => '*',
        Some(Value::String(text)) if text.chars().count() == 1 => text.chars().next().unwrap_or('*'),
        Some(other) => {
            sheet.lost_field(
                &format!("{at}.maskingChar"),
                &format!("one character is wanted, not {}", short(other)),
            );
            return None;
        }
    };
    // a dollar begins a reference in the text of a pattern
    let signs = |count: usize| {
        literal(&if sign == '$' { "$$".repeat(count) } else { sign.to_string().repeat(count) })
    };
    let count = rule.get("numberOfChars").and_then(number).filter(|count| (1.0..=100.0).contains(count));
    let count = count.filter(|count| count.fract() == 0.0);
    match (rule.get("type").map_or("MASK_ALL", |kind| kind.as_str().unwrap_or_default()), count) {
        ("MASK_ALL", _) if sign == '*' => Some("\"all\"".to_owned()),
        ("MASK_ALL", _) => Some(format!("pattern(\"(?s).\", {})", signs(1))),
        (kind @ ("MASK_FIRST_N" | "MASK_LAST_N"), Some(count)) => {
            let part = if kind == "MASK_FIRST_N" {
                format!("(?s)^.{{1,{count}}}")
            } else {
                format!("(?s).{{1,{count}}}$")
            };
            sheet.differs(&at, &format!("a value shorter than {count} characters becomes {count} signs"));
            Some(format!("pattern({}, {})", literal(&part), signs(count as usize)))
        }
        ("MASK_FIRST_N" | "MASK_LAST_N", None) => {
            sheet.lost_field(&format!("{at}.numberOfChars"), "a number from 1 to 100 is wanted");
            None
        }
        (other, _) => {
            sheet.lost_field(
                &format!("{at}.type"),
                &format!("it is MASK_ALL, MASK_FIRST_N or MASK_LAST_N, not {other}"),
            );
            None
        }
    }
}

/// What has no part in how a key is found here.
fn keys_from_elsewhere(sheet: &mut Sheet<'_>) {
    if sheet.value("kmsConfig").is_some() {
        sheet.lost_field("kmsConfig", "keys come from files or the environment: secret(…), 32 bytes each");
    }
    if sheet.value("externalStorage").is_some_and(|value| *value != Value::Bool(false)) {
        sheet.lost_field("externalStorage", "the key's name stands with what is encrypted");
    }
    for field in ["recordKey", "recordHeader", "recordKeyFields", "recordHeaderFields"] {
        if sheet.value(field).is_some() {
            sheet.lost_field(field, "values are encrypted: keys choose partitions, and headers route");
        }
    }
}

/// The key and algorithm of a field or a payload.
fn key(sheet: &mut Sheet<'_>, place: &str, object: &Map<String, Value>) -> Option<String> {
    unknown(sheet, place, object, &["fieldName", "keySecretId", "algorithm"]);
    if let Some(other) = object.get("algorithm").filter(|algorithm| *algorithm != "AES256_GCM") {
        sheet.differs(&format!("{place}.algorithm"), &format!("it is AES256_GCM here, not {}", short(other)));
    }
    match object.get("keySecretId").and_then(Value::as_str) {
        Some(name) if name.contains("{{") => {
            sheet.lost_field(&format!("{place}.keySecretId"), "a key for each record, named by a template");
            None
        }
        Some(name) if name.len() <= 200 => Some(format!("secret({})", literal(name))),
        _ => {
            sheet.lost_field(&format!("{place}.keySecretId"), "the name of a key is wanted");
            None
        }
    }
}

fn encryption(sheet: &mut Sheet<'_>) -> Result<(), Told> {
    let topics = sheet.topics();
    schema_registry(sheet);
    keys_from_elsewhere(sheet);
    let value = sheet.typed("recordValue", "an object", Value::as_object);
    let topics = topics?;
    let Some(object) = value? else { return Err(Told) };
    unknown(sheet, "recordValue", object, &["fields", "payload"]);
    let head = format!("on_produce({topics})");
    if let Ok(Some(list)) = sheet.inner(object, "recordValue", "fields", "a list", Value::as_array) {
        for (place, field) in listed(sheet, "recordValue.fields", list) {
            let Some(key) = key(sheet, &place, field) else { continue };
            match field.get("fieldName").and_then(Value::as_str) {
                Some(name) => sheet.protect(&head, &format!(".encrypt({}, {key})", literal(&path(name)))),
                None => sheet.lost_field(&format!("{place}.fieldName"), "the name of a field is wanted"),
            }
        }
    }
    if let Ok(Some(payload)) = sheet.inner(object, "recordValue", "payload", "an object", Value::as_object)
        && let Some(key) = key(sheet, "recordValue.payload", payload)
    {
        sheet.protect(&head, &format!(".encrypt(\"$\", {key})"));
    }
    Ok(())
}

fn decryption(sheet: &mut Sheet<'_>) -> Result<(), Told> {
    // which topics, fields and people it is for does not help where the key is not known
    for field in ["topic", "recordValueFields"] {
        sheet.value(field);
    }
    schema_registry(sheet);
    keys_from_elsewhere(sheet);
    sheet.lost_field(
        "",
        "it names no key; add on_fetch(…).principal(…).decrypt(path, secret(name)) for each encrypted field",
    );
    Err(Told)
}

/// What templates can say, and how it is said here.
const PLACES: &[(&str, &str)] = &[("userIp", "{ip}"), ("clientId", "{client_id}"), ("user", "{principal}")];

fn header_injection(sheet: &mut Sheet<'_>) -> Result<(), Told> {
    let topics = sheet.topics();
    schema_registry(sheet);
    let over = sheet.typed("overrideIfExists", "true or false", Value::as_bool);
    let headers = sheet.typed("headers", "an object", Value::as_object);
    let (topics, over) = (topics?, over?.unwrap_or(false));
    for (name, value) in headers?.into_iter().flatten() {
        let place = format!("headers.{name}");
        let Some(template) = value.as_str() else {
            sheet.lost_field(&place, &format!("a text is wanted, not {}", short(value)));
            continue;
        };
        match template_of(template) {
            Ok(made) => {
                if template.contains("{{user}}") {
                    sheet.differs(&place, "a principal is written as User:name");
                }
                let missing = format!(".header({})", literal(&format!("!{}", escaped(name))));
                let only = if over { "" } else { missing.as_str() };
                let set = format!("{only}.set_header({}, {})", literal(name), literal(&made));
                sheet.protect(&format!("on_produce({topics})"), &set);
            }
            Err(unknown) => sheet.lost_field(&place, &format!("there is no {{{{{unknown}}}}} here")),
        }
    }
    Ok(())
}

/// A template of theirs as one of ours; else what it asks for that is not there.
fn template_of(template: &str) -> Result<String, String> {
    let (mut out, mut rest) = (String::new(), template);
    let plain = |text: &str| text.replace('{', "{{").replace('}', "}}");
    while let Some((before, after)) = rest.split_once("{{") {
        out.push_str(&plain(before));
        let Some((name, behind)) = after.split_once("}}") else {
            out.push_str(&plain("{{"));
            rest = after;
            continue;
        };
        let (_, place) =
            PLACES.iter().find(|(known, _)| *known == name.trim()).ok_or_else(|| name.trim().to_owned())?;
        out.push_str(place);
        rest = behind;
    }
    out.push_str(&plain(rest));
    Ok(out)
}

fn header_removal(sheet: &mut Sheet<'_>) -> Result<(), Told> {
    let topics = sheet.topics();
    let regex = sheet.text("headerKeyRegex")?;
    let topics = topics?;
    let Some(regex) = regex else {
        sheet.lost_field("headerKeyRegex", "it is not there");
        return Err(Told);
    };
    let headers = sheet.globs("headerKeyRegex", regex)?;
    sheet.protect(&format!("on_fetch({topics})"), &format!(".remove_header({headers})"));
    Ok(())
}
