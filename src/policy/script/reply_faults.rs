//! The words of faults in what replies say.

use super::call::{Call, rule_word};
use super::draft::RuleHandle;
use super::faults::narrow;
use super::values::bytes;
use super::vocabulary::nearest;
use crate::policy::fault::Fault;
use crate::policy::fault::reply::{ReplyFault, Scope};
use crate::policy::rule::Action;
use crate::wire::ApiKey;
use crate::wire::table::APIS;
use rhai::Engine;

const HEADS: &[&str] = &["on_fetch", "on_request"];

pub fn register(engine: &mut Engine) {
    rule_word(engine, "truncate_fetch", 1..=1, |rule, call| {
        let size = usize::try_from(bytes(&call, 0)?).unwrap_or(usize::MAX);
        change(rule, &call, ReplyFault::TruncateFetch(size))
    });
    rule_word(engine, "empty_fetch", 0..=0, |rule, call| change(rule, &call, ReplyFault::EmptyFetch));
    rule_word(engine, "stale_high_watermark", 1..=1, |rule, call| {
        let records = call.integer(0, 1)?;
        change(rule, &call, ReplyFault::StaleHighWatermark(records))
    });
    rule_word(engine, "leader_moves", 0..=0, |rule, call| change(rule, &call, ReplyFault::LeaderMoves));
    rule_word(engine, "no_leader", 0..=0, |rule, call| change(rule, &call, ReplyFault::NoLeader));
    rule_word(engine, "stale_metadata", 0..=1, |rule, call| {
        let age = if call.len() > 0 { Some(call.duration(0)?) } else { None };
        match age.is_some_and(|age| age.is_zero()) {
            true => Err("metadata of no time ago is not stale".to_owned()),
            false => change(rule, &call, ReplyFault::StaleMetadata(age)),
        }
    });
    rule_word(engine, "broker_missing", 0..=1, |rule, call| {
        let id = if call.len() > 0 { Some(number(&call, 0, "a broker's id")?) } else { None };
        change(rule, &call, ReplyFault::BrokerMissing(id))
    });
    rule_word(engine, "wrong_address", 2..=2, |rule, call| {
        let (host, port) = (call.text(0)?, number(&call, 1, "a port")?);
        if host.is_empty() || host.len() > 255 || port > 65_535 {
            return Err("`wrong_address` wants a host of at most 255 bytes and a port up to 65535".to_owned());
        }
        change(rule, &call, ReplyFault::WrongAddress(host.as_str().into(), port))
    });
    rule_word(engine, "api_versions", 1..=2, |rule, call| {
        let name = call.text(0)?;
        let api = ApiKey::from_name(&name).ok_or_else(|| {
            format!("Kafka has no api \"{name}\"{}", nearest(&name, APIS.iter().map(|api| api.name)))
        })?;
        let most = match call.len() {
            1 => None,
            _ => {
                Some(i16::try_from(call.integer(1, 0)?).map_err(|_| "no api has such a version".to_owned())?)
            }
        };
        change(rule, &call, ReplyFault::ApiVersions(api, most))
    });
}

fn change(rule: &RuleHandle, call: &Call<'_, '_>, fault: ReplyFault) -> Result<(), String> {
    narrow(rule, call, fault.apis())?;
    if fault.scope() == Scope::Whole {
        rule.edit(call, |rule| match rule.selectors.about_topics() || rule.selectors.groups.is_some() {
            true => Err(format!("`{}` is about the cluster, and not about a topic or a group", call.word)),
            false => Ok(()),
        })?;
    }
    rule.act(call, HEADS, Action::Fault(Fault::Reply(fault)))
}

fn number(call: &Call<'_, '_>, at: usize, what: &str) -> Result<i32, String> {
    i32::try_from(call.integer(at, 0)?).map_err(|_| format!("`{}` wants {what}", call.word))
}
