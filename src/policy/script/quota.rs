//! `quota(limit, per…)`: how much may be used over time, and by whom.

use super::call::{Call, rule_word};
use super::values::bytes_of;
use super::vocabulary::nearest;
use crate::policy::action::quota::{Per, Quota, Unit};
use crate::policy::rule::{Action, Head};
use rhai::Engine;

const HEADS: &[&str] = &["on_produce", "on_fetch", "on_request"];

pub fn register(engine: &mut Engine) {
    rule_word(engine, "quota", 2..=4, |rule, call| {
        let (limit, unit) = limit(&call)?;
        let mut per = Vec::new();
        for at in 1..call.len() {
            let name = call.text(at)?;
            let known = Per::ALL.into_iter().find(|per| per.name() == name);
            per.push(known.ok_or_else(|| {
                let names = Per::ALL.map(Per::name);
                format!(
                    "a quota is per {}, not per \"{name}\"{}",
                    names.join(", "),
                    nearest(&name, names.into_iter())
                )
            })?);
        }
        rule.edit(&call, |rule| match rule.head {
            Head::Request(_) if unit != Unit::Requests => {
                Err("bytes and records are of on_produce and on_fetch; on_request counts requests".to_owned())
            }
            Head::Request(_) if per.contains(&Per::Topic) => {
                Err("a quota of requests is not per topic; write one of on_produce or on_fetch".to_owned())
            }
            _ => Ok(()),
        })?;
        rule.act(&call, HEADS, Action::Quota(Quota { limit, unit, per }))
    });
}

/// `"1MB/s"`, `"100 records/s"`, `"600 requests/m"`: how much a second, of what.
fn limit(call: &Call<'_, '_>) -> Result<(f64, Unit), String> {
    let text = call.text(0)?;
    let wants = || {
        format!("\"{text}\" is no quota; write for example \"1MB/s\", \"100 records/s\", \"600 requests/m\"")
    };
    let (amount, time) = text.split_once('/').ok_or_else(wants)?;
    let seconds = match time.trim() {
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3_600.0,
        _ => return Err(wants()),
    };
    let amount = amount.trim();
    let at = amount.find(|c: char| !c.is_ascii_digit()).unwrap_or(amount.len());
    let number = || amount.get(..at).and_then(|digits| digits.parse::<u64>().ok());
    let (number, unit) = match amount.get(at..).map(str::trim) {
        Some("records" | "record") => (number(), Unit::Records),
        Some("requests" | "request") => (number(), Unit::Requests),
        Some("") => return Err(wants()),
        _ => (bytes_of(amount), Unit::Bytes),
    };
    match number {
        Some(0) => Err("a quota of nothing is `deny()`".to_owned()),
        Some(number) => Ok((number as f64 / seconds, unit)),
        None => Err(wants()),
    }
}
