//! The words of faults of the connection and its bytes, all of `on_connect`.

use super::call::{Call, rule_word};
use super::draft::RuleHandle;
use super::host::Host;
use super::values::{SecretName, bytes, distribution};
use super::vocabulary::nearest;
use crate::policy::fault::Fault;
use crate::policy::fault::link::{LinkFault, Way};
use crate::policy::fault::tls::{Certificate, TlsFault};
use crate::policy::random::LONGEST;
use crate::policy::rule::Action;
use rhai::Engine;
use std::rc::Rc;
use std::time::Duration;

const HEADS: &[&str] = &["on_connect"];

pub fn register(engine: &mut Engine, host: &Rc<Host>) {
    let own = Rc::clone(host);
    rule_word(engine, "tls_fail", 1..=2, move |rule, call| {
        let fault = tls_fault(&call, &own)?;
        rule.act(&call, HEADS, Action::Fault(Fault::Tls(fault)))
    });
    rule_word(engine, "refuse", 0..=0, |rule, call| rule.act(&call, HEADS, Action::Fault(Fault::Refuse)));
    rule_word(engine, "close_after", 2..=2, |rule, call| {
        let fault = match call.text(0)?.as_str() {
            "bytes" => LinkFault::CloseAfterBytes(bytes(&call, 1)?),
            "requests" => LinkFault::CloseAfterRequests(some(&call, 1)?),
            other => {
                return Err(format!("`close_after` counts \"bytes\" or \"requests\", not \"{other}\""));
            }
        };
        strike(rule, &call, fault)
    });
    rule_word(engine, "half_open", 0..=0, |rule, call| strike(rule, &call, LinkFault::HalfOpen));
    rule_word(engine, "blackhole", 0..=1, |rule, call| {
        let way = way(&call, 0)?;
        strike(rule, &call, LinkFault::Blackhole(way))
    });
    rule_word(engine, "slow_close", 1..=1, |rule, call| {
        let time = time(&call, 0)?;
        strike(rule, &call, LinkFault::SlowClose(time))
    });
    rule_word(engine, "stall", 1..=3, |rule, call| {
        let after = bytes(&call, 0)?;
        // a way is a word, and a time is none
        let is_way = |at: usize| call.text(at).is_ok_and(|text| Way::from_name(&text).is_some());
        let (time, way) = match call.len() {
            1 => (None, Way::Both),
            2 if is_way(1) => (None, way(&call, 1)?),
            _ => (Some(time(&call, 1)?), way(&call, 2)?),
        };
        strike(rule, &call, LinkFault::Stall { after, time, way })
    });
    rule_word(engine, "latency", 1..=2, |rule, call| {
        let (time, way) = (distribution(&call, 0)?, way(&call, 1)?);
        strike(rule, &call, LinkFault::Latency(time, way))
    });
    rule_word(engine, "bandwidth", 1..=3, |rule, call| {
        let rate = bytes(&call, 0)?;
        if rate == 0 {
            return Err("`bandwidth` wants bytes a second; nothing at all is `blackhole`".to_owned());
        }
        let is_way = |at: usize| call.text(at).is_ok_and(|text| Way::from_name(&text).is_some());
        let (burst, way) = match call.len() {
            1 => (0, Way::Both),
            2 if is_way(1) => (0, way(&call, 1)?),
            _ => (bytes(&call, 1)?, way(&call, 2)?),
        };
        strike(rule, &call, LinkFault::Bandwidth { rate, burst, way })
    });
    rule_word(engine, "fragment", 1..=3, |rule, call| {
        let size = usize::try_from(some(&call, 0)?).unwrap_or(usize::MAX);
        let gap = if call.len() > 1 { time(&call, 1)? } else { Duration::ZERO };
        let way = way(&call, 2)?;
        strike(rule, &call, LinkFault::Fragment { size, gap, way })
    });
    rule_word(engine, "corrupt_bytes", 1..=2, |rule, call| {
        let p = call.number(0)?;
        if !(p > 0.0 && p <= 1.0) {
            return Err(format!("`corrupt_bytes` wants a probability above 0 and at most 1, not {p}"));
        }
        let way = way(&call, 1)?;
        strike(rule, &call, LinkFault::CorruptBytes(p, way))
    });
}

/// `tls_fail(kind)`, and `tls_fail("certificate", secret(name))`.
fn tls_fault(call: &Call<'_, '_>, host: &Rc<Host>) -> Result<TlsFault, String> {
    let kind = call.text(0)?;
    if kind != "certificate" {
        return match call.len() {
            1 => TlsFault::from_name(&kind).ok_or_else(|| {
                let known = TlsFault::names().chain(["certificate"]);
                format!(
                    "`tls_fail` knows no \"{kind}\"{}: it takes one of {}",
                    nearest(&kind, known.clone()),
                    known.collect::<Vec<_>>().join(", ")
                )
            }),
            _ => Err(format!("`tls_fail(\"{kind}\")` takes nothing more")),
        };
    }
    if call.len() < 2 {
        return Err("`tls_fail(\"certificate\", secret(name))` shows the certificate in this secret, which holds its key too".to_owned());
    }
    let value = call.value(1);
    let Some(SecretName(name)) = value.clone().try_cast::<SecretName>() else {
        return Err(call.wants("a certificate and its key as PEM: secret(\"name\")", &value));
    };
    let shown = host.draft(call.word, |draft| draft.secrets.certificate(&name))??;
    Ok(TlsFault::Certificate(Certificate { name, shown }))
}

fn strike(rule: &RuleHandle, call: &Call<'_, '_>, fault: LinkFault) -> Result<(), String> {
    rule.act(call, HEADS, Action::Fault(Fault::Link(fault)))
}

/// At least one.
fn some(call: &Call<'_, '_>, at: usize) -> Result<u64, String> {
    match bytes(call, at)? {
        0 => Err(call.wants("a whole number of at least 1", &call.value(at))),
        n => Ok(n),
    }
}

/// Both, when nothing is said.
fn way(call: &Call<'_, '_>, at: usize) -> Result<Way, String> {
    if call.len() <= at {
        return Ok(Way::Both);
    }
    let name = call.text(at)?;
    Way::from_name(&name).ok_or_else(|| {
        format!("`{}` goes \"up\" (from the client), \"down\" or \"both\", and not \"{name}\"", call.word)
    })
}

fn time(call: &Call<'_, '_>, at: usize) -> Result<Duration, String> {
    let time = call.duration(at)?;
    match time <= LONGEST {
        true => Ok(time),
        false => Err(format!("`{}` takes at most {LONGEST:?}", call.word)),
    }
}
