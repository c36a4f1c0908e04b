//! The words that say when a rule fires.

use super::call::{Call, rule_word};
use super::draft::RuleHandle;
use crate::policy::trigger::Triggers;
use rhai::Engine;

/// Not access: who may do what does not depend on chance or time.
const HEADS: &[&str] = &["on_connect", "on_produce", "on_fetch", "on_request", "on_disk"];
/// The broker itself counts nothing.
const TIMED: &[&str] = &["on_connect", "on_produce", "on_fetch", "on_request", "on_disk", "on_broker"];

pub fn register(engine: &mut Engine) {
    rule_word(engine, "chance", 1..=1, |rule, call| {
        let p = call.number(0)?;
        if !(0.0..=1.0).contains(&p) {
            return Err(format!("`chance` is between 0 and 1, not {p}; five in a hundred is 0.05"));
        }
        set(rule, &call, |triggers| &mut triggers.chance, p)
    });
    count(engine, "every", |triggers| &mut triggers.every);
    count(engine, "nth", |triggers| &mut triggers.nth);
    count(engine, "first", |triggers| &mut triggers.first);
    count(engine, "after", |triggers| &mut triggers.after);
    count(engine, "at_most", |triggers| &mut triggers.at_most);
    rule_word(engine, "during", 2..=2, |rule, call| {
        let (from, to) = (call.duration(0)?, call.duration(1)?);
        if from >= to {
            return Err("`during` wants a time before a later one".to_owned());
        }
        set(rule, &call, |triggers| &mut triggers.during, (from, to))
    });
}

fn count(engine: &mut Engine, word: &'static str, place: fn(&mut Triggers) -> &mut Option<u64>) {
    rule_word(engine, word, 1..=1, move |rule, call| {
        let n = call.integer(0, 1)? as u64;
        set(rule, &call, place, n)
    });
}

fn set<T>(
    rule: &RuleHandle,
    call: &Call<'_, '_>,
    place: fn(&mut Triggers) -> &mut Option<T>,
    value: T,
) -> Result<(), String> {
    let heads = if call.word == "during" { TIMED } else { HEADS };
    rule.select(call, heads, |rule| match place(&mut rule.triggers).replace(value) {
        None => Ok(()),
        Some(_) => Err(format!("`{}` stands once in a rule", call.word)),
    })
}
