//! The words that harm on purpose.

use super::call::{Call, rule_word};
use super::draft::RuleHandle;
use super::values::distribution;
use super::vocabulary::nearest;
use crate::policy::fault::Fault;
use crate::policy::rule::Action;
use crate::wire::ErrorCode;
use rhai::Engine;

const EXCHANGES: &[&str] = &["on_produce", "on_fetch", "on_request"];
const ALL: &[&str] = &["on_connect", "on_produce", "on_fetch", "on_request"];

pub fn register(engine: &mut Engine) {
    rule_word(engine, "delay", 1..=1, |rule, call| {
        let time = distribution(&call, 0)?;
        inject(rule, &call, ALL, Fault::Delay(time))
    });
    rule_word(engine, "fail", 1..=1, |rule, call| {
        let code = code(&call)?;
        inject(rule, &call, EXCHANGES, Fault::Fail(code))
    });
    rule_word(engine, "fail_after", 1..=1, |rule, call| {
        let code = code(&call)?;
        inject(rule, &call, EXCHANGES, Fault::FailAfter(code))
    });
    rule_word(engine, "lose_request", 0..=0, |rule, call| inject(rule, &call, EXCHANGES, Fault::LoseRequest));
    rule_word(engine, "lose_response", 0..=0, |rule, call| {
        inject(rule, &call, EXCHANGES, Fault::LoseResponse)
    });
    rule_word(engine, "disconnect", 0..=0, |rule, call| inject(rule, &call, ALL, Fault::Disconnect));
    rule_word(engine, "reset", 0..=0, |rule, call| inject(rule, &call, ALL, Fault::Reset));
}

fn inject(rule: &RuleHandle, call: &Call<'_, '_>, heads: &[&str], fault: Fault) -> Result<(), String> {
    rule.act(call, heads, Action::Fault(fault))
}

/// Kafka's name of an error, as `"NOT_LEADER_OR_FOLLOWER"`.
pub fn code(call: &Call<'_, '_>) -> Result<ErrorCode, String> {
    let name = call.text(0)?;
    match ErrorCode::from_name(&name) {
        Some(ErrorCode::NONE) => Err(format!("`{}` wants an error, and NONE is none", call.word)),
        Some(code) => Ok(code),
        None => {
            let known = ErrorCode::ALL.iter().filter_map(|code| code.name());
            Err(format!("Kafka has no error \"{name}\"{}", nearest(&name, known)))
        }
    }
}
