//! `limit(#{…})`: what topics may be that are made, grown or configured.

use super::call::{Call, describe, rule_word};
use super::vocabulary::nearest;
use crate::policy::action::limit::{Limit, Names};
use crate::policy::glob::{Glob, Patterns};
use crate::policy::rule::Action;
use crate::policy::selector::{Comparison, Test};
use rhai::{Array, Dynamic, Engine, Map};
use std::ops::RangeInclusive;

const FIELDS: [&str; 7] = [
    "partitions",
    "replication",
    "names",
    "configs",
    "allowed_configs",
    "required_configs",
    "forbidden_configs",
];

pub fn register(engine: &mut Engine) {
    rule_word(engine, "limit", 1..=1, |rule, call| {
        let limit = limit(&call)?;
        rule.act(&call, &["on_create"], Action::Limit(limit))
    });
}

fn limit(call: &Call<'_, '_>) -> Result<Limit, String> {
    let given = call.value(0);
    let example = "limits such as #{ partitions: 12, names: [\"team-*\"] }";
    let map = given.clone().try_cast::<Map>().ok_or_else(|| call.wants(example, &given))?;
    if map.is_empty() {
        return Err("a limit that limits nothing".to_owned());
    }
    let mut limit = Limit::default();
    for (field, value) in map {
        match field.as_str() {
            "partitions" => limit.partitions = Some(range(&field, &value)?),
            "replication" => limit.replication = Some(range(&field, &value)?),
            "names" => limit.names = Some(names(&value)?),
            "configs" => limit.configs = configs(&value)?,
            "allowed_configs" => limit.allowed_configs = Some(Patterns::new(texts(&field, &value)?)),
            "required_configs" => {
                limit.required_configs = texts(&field, &value)?;
                let glob = limit.required_configs.iter().find(|name| Glob::new(name).exact().is_none());
                if let Some(glob) = glob {
                    return Err(format!("`required_configs` wants names, and \"{glob}\" is a pattern"));
                }
            }
            "forbidden_configs" => limit.forbidden_configs = Some(Patterns::new(texts(&field, &value)?)),
            other => {
                return Err(format!("a limit has no `{other}`{}", nearest(other, FIELDS.into_iter())));
            }
        }
    }
    Ok(limit)
}

/// `12`: at most so many. `2..=3`: both ends are meant; as elsewhere, `2..4` ends before 4.
fn range(field: &str, value: &Dynamic) -> Result<RangeInclusive<i64>, String> {
    let range = if let Ok(most) = value.as_int() {
        1..=most
    } else if let Some(range) = value.clone().try_cast::<std::ops::Range<i64>>() {
        range.start..=range.end.saturating_sub(1)
    } else if let Some(range) = value.clone().try_cast::<RangeInclusive<i64>>() {
        range
    } else {
        let what = "a whole number (the most there may be) or a range such as 1..=3";
        return Err(format!("`{field}` wants {what}, not {}", describe(value)));
    };
    match *range.start() >= 0 && range.start() <= range.end() && *range.end() >= 1 {
        true => Ok(range),
        false => Err(format!("no number of {field} is from {} to {}", range.start(), range.end())),
    }
}

fn texts(field: &str, value: &Dynamic) -> Result<Vec<String>, String> {
    let list = value.clone().try_cast::<Array>().unwrap_or_else(|| vec![value.clone()]);
    let wrong = |value: &Dynamic| format!("`{field}` wants texts, not {}", describe(value));
    match list.iter().find(|item| !item.is_string()) {
        Some(item) => Err(wrong(item)),
        None if list.is_empty() => Err(format!("`{field}` wants at least one text")),
        None => Ok(list.iter().map(ToString::to_string).collect()),
    }
}

/// Globs; or one regular expression between slashes, which no topic's name holds.
fn names(value: &Dynamic) -> Result<Names, String> {
    let texts = texts("names", value)?;
    let regex = |text: &str| Some(text.strip_prefix('/')?.strip_suffix('/')?.to_owned());
    match texts.as_slice() {
        [only] if regex(only).is_some() => {
            let inner = regex(only).unwrap_or_default();
            let built = regex::RegexBuilder::new(&format!("^(?:{inner})$")).size_limit(1 << 20).build();
            built.map(Names::Regex).map_err(|error| format!("`{only}` is not a regular expression: {error}"))
        }
        texts => match texts.iter().find(|text| text.contains('/')) {
            Some(text) => Err(format!("\"{text}\" is no topic's name; one regular expression stands alone")),
            None => Ok(Names::Globs(Patterns::new(texts))),
        },
    }
}

fn configs(value: &Dynamic) -> Result<Vec<(Glob, Test)>, String> {
    let map = value.clone().try_cast::<Map>();
    let wrong = || {
        let what = "a map such as #{ \"retention.ms\": \"<= 604800000\" }";
        format!("`configs` wants {what}, not {}", describe(value))
    };
    let map = map.filter(|map| !map.is_empty()).ok_or_else(wrong)?;
    map.iter().map(|(name, value)| Ok((Glob::new(name), test(name, value)?))).collect()
}

/// `"<= 5"`, `5`, `true`, `"lz4"`, `["lz4", "zstd"]`, `"!compact"`.
fn test(name: &str, value: &Dynamic) -> Result<Test, String> {
    if let Ok(truth) = value.as_bool() {
        return Ok(Test::Exactly(truth));
    }
    if let Some(number) = value.as_float().ok().or_else(|| value.as_int().ok().map(|n| n as f64)) {
        return Ok(Test::Number(Comparison::Equal, number));
    }
    let texts = texts(name, value)?;
    if let [only] = texts.as_slice()
        && let Some((comparison, rest)) = Comparison::parse(only)
    {
        return match rest.parse::<f64>() {
            Ok(number) if number.is_finite() => Ok(Test::Number(comparison, number)),
            _ => Err(format!("\"{only}\" compares with `{rest}`, which is not a number")),
        };
    }
    if let Some(text) = texts.iter().find(|text| Comparison::parse(text).is_some()) {
        return Err(format!("\"{text}\" stands alone: a list is of texts that a value may be"));
    }
    Ok(Test::Text(Patterns::new(texts.iter().map(|text| text.to_ascii_lowercase()))))
}
