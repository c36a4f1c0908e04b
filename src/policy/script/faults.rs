//! The words that harm on purpose.

use super::call::{Call, rule_word};
use super::draft::RuleHandle;
use super::heads::apis;
use super::values::distribution;
use super::vocabulary::nearest;
use crate::policy::fault::hold::Awaited;
use crate::policy::fault::sasl::SaslFault;
use crate::policy::fault::{Fault, named};
use crate::policy::glob::Glob;
use crate::policy::random::LONGEST;
use crate::policy::rule::{Action, ApiSet, Head};
use crate::security::sasl::{Mechanism, UnknownMechanism};
use crate::wire::{ApiKey, ErrorCode};
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
    rule_word(engine, "slow_broker", 1..=1, |rule, call| {
        let time = distribution(&call, 0)?;
        inject(rule, &call, EXCHANGES, Fault::SlowBroker(time))
    });
    rule_word(engine, "throttle", 1..=1, |rule, call| {
        let time = call.duration(0)?;
        match time.as_millis() {
            0 => Err("`throttle` says milliseconds, and this is none".to_owned()),
            ms if ms > LONGEST.as_millis() => Err(format!("a client is throttled for at most {LONGEST:?}")),
            _ => inject(rule, &call, EXCHANGES, Fault::Throttle(time)),
        }
    });
    rule_word(engine, "duplicate_request", 0..=0, |rule, call| {
        inject(rule, &call, &["on_produce", "on_request"], Fault::DuplicateRequest)
    });
    rule_word(engine, "lose_commit", 0..=0, |rule, call| {
        narrow(rule, &call, &[ApiKey::EndTxn])?;
        inject(rule, &call, &["on_request"], Fault::LoseCommit)
    });
    rule_word(engine, "delay_commit", 1..=1, |rule, call| {
        narrow(rule, &call, &[ApiKey::EndTxn])?;
        let time = distribution(&call, 0)?;
        inject(rule, &call, &["on_request"], Fault::DelayCommit(time))
    });
    rule_word(engine, "hold_until", 2..=3, |rule, call| {
        let last = call.len() - 1;
        let (api, at_most) = (awaited(&call.text(0)?)?, call.duration(last)?);
        let name = if last > 1 { Some(Glob::new(&call.text(1)?)) } else { None };
        if at_most.is_zero() || at_most > LONGEST {
            return Err(format!("`hold_until` wants a time that ends it, of at most {LONGEST:?}"));
        }
        rule.edit(&call, |rule| match &rule.head {
            Head::Request(apis) if NOT_UPSTREAM.iter().any(|api| apis.contains(*api)) => {
                Err("a login cannot be held".to_owned())
            }
            _ => Ok(()),
        })?;
        inject(rule, &call, &["on_produce", "on_request"], Fault::HoldUntil(Awaited { api, name, at_most }))
    });
    rule_word(engine, "sasl_fail", 0..=1, |rule, call| {
        if call.len() == 0 {
            return login(rule, &call, SaslFault::Fail);
        }
        let name = call.text(0)?;
        let mechanism: Mechanism = name.parse().map_err(|error: UnknownMechanism| {
            format!("\"{name}\": {error}{}", nearest(&name, Mechanism::ALL.iter().map(|m| m.name())))
        })?;
        rule.edit(&call, |rule| match rule.selectors.who.principal {
            None => Ok(()),
            Some(_) => {
                Err("a mechanism is chosen before anybody is a principal; select by client_id or from_ip"
                    .into())
            }
        })?;
        login(rule, &call, SaslFault::Unsupported(mechanism))
    });
    rule_word(engine, "sasl_expire", 1..=1, |rule, call| {
        let time = call.duration(0)?;
        match time.as_millis() {
            0 => Err("a login is good for a millisecond at least".to_owned()),
            _ => login(rule, &call, SaslFault::Expire(time)),
        }
    });
    for named in named::ALL {
        rule_word(engine, named.word, 0..=0, |rule, call| {
            let apis: Vec<ApiKey> = named.codes.iter().map(|(api, _)| *api).collect();
            narrow(rule, &call, &apis)?;
            inject(rule, &call, EXCHANGES, Fault::Named(named))
        });
    }
    rule_word(engine, "disconnect", 0..=0, |rule, call| inject(rule, &call, ALL, Fault::Disconnect));
    rule_word(engine, "storm", 0..=0, |rule, call| inject(rule, &call, ALL, Fault::Storm));
    rule_word(engine, "reset", 0..=0, |rule, call| inject(rule, &call, ALL, Fault::Reset));
}

fn inject(rule: &RuleHandle, call: &Call<'_, '_>, heads: &[&str], fault: Fault) -> Result<(), String> {
    rule.act(call, heads, Action::Fault(fault))
}

/// What the gateway answers itself: nobody waits for it.
const NOT_UPSTREAM: [ApiKey; 2] = [ApiKey::SaslHandshake, ApiKey::SaslAuthenticate];

/// One api that goes upstream.
fn awaited(name: &str) -> Result<ApiKey, String> {
    let apis = apis(&[name.to_owned()])?;
    let mut named = apis.iter();
    match (named.next(), named.next()) {
        (Some(api), None) if !NOT_UPSTREAM.contains(&api) => Ok(api),
        _ => {
            Err(format!("`hold_until` waits for one api that goes to the broker, and \"{name}\" is not one"))
        }
    }
}

fn login(rule: &RuleHandle, call: &Call<'_, '_>, fault: SaslFault) -> Result<(), String> {
    narrow(rule, call, &[fault.api()])?;
    inject(rule, call, &["on_request"], Fault::Sasl(fault))
}

/// Leaves a rule the apis at which its fault can happen; an error when there are none.
pub fn narrow(rule: &RuleHandle, call: &Call<'_, '_>, apis: &[ApiKey]) -> Result<(), String> {
    rule.edit(call, |rule| {
        let fits = apis.iter().any(|api| rule.head.covers(*api));
        if let Head::Request(named) = &rule.head {
            let mut left = ApiSet::default();
            apis.iter().filter(|api| named.contains(**api)).for_each(|api| left.insert(*api));
            rule.head = Head::Request(left);
        }
        if fits {
            return Ok(());
        }
        let names: Vec<String> = apis.iter().map(ToString::to_string).collect();
        Err(format!(
            "`{}` happens at {}; this {} is about none of them",
            call.word,
            names.join(", "),
            rule.head.word()
        ))
    })
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
