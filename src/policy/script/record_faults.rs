//! The words of faults on records.

use super::call::{Call, rule_word};
use super::draft::RuleHandle;
use super::values::{bytes, duration};
use crate::policy::fault::Fault;
use crate::policy::fault::record::{Corruption, LARGEST, Poison, RecordFault};
use crate::policy::rule::Action;
use rhai::Engine;

const RECORDS: &[&str] = &["on_produce", "on_fetch"];

pub fn register(engine: &mut Engine) {
    rule_word(engine, "corrupt_record", 0..=1, |rule, call| {
        let corruption = match call.len() {
            0 => Corruption::Checksum,
            _ => match call.text(0)?.as_str() {
                "checksum" => Corruption::Checksum,
                "value" => Corruption::Value,
                other => {
                    return Err(format!(
                        "`corrupt_record` corrupts a \"checksum\" or a \"value\", not a \"{other}\""
                    ));
                }
            },
        };
        strike(rule, &call, RECORDS, RecordFault::Corrupt(corruption))
    });
    rule_word(engine, "poison", 1..=2, |rule, call| {
        let poison = poison(&call)?;
        strike(rule, &call, RECORDS, RecordFault::Poison(poison))
    });
    rule_word(engine, "duplicate_records", 0..=0, |rule, call| {
        // at fetch a client leaves out offsets that it has seen
        strike(rule, &call, &["on_produce"], RecordFault::Duplicate)
    });
    rule_word(engine, "reorder", 0..=0, |rule, call| strike(rule, &call, RECORDS, RecordFault::Reorder));
    rule_word(engine, "drop_records", 0..=0, |rule, call| strike(rule, &call, RECORDS, RecordFault::Drop));
    rule_word(engine, "tombstone", 0..=0, |rule, call| strike(rule, &call, RECORDS, RecordFault::Tombstone));
    rule_word(engine, "strip_headers", 0..=0, |rule, call| {
        strike(rule, &call, RECORDS, RecordFault::StripHeaders)
    });
    rule_word(engine, "skew_timestamps", 1..=1, |rule, call| {
        let text = call.text(0)?;
        let (sign, time) = match text.trim().strip_prefix('-') {
            Some(rest) => (-1, rest),
            None => (1, text.trim().trim_start_matches('+')),
        };
        let by = sign * i64::try_from(duration(time)?.as_millis()).unwrap_or(i64::MAX);
        strike(rule, &call, RECORDS, RecordFault::SkewTimestamps(by))
    });
    rule_word(engine, "oversize", 1..=1, |rule, call| {
        let size = size(&call, 0)?;
        strike(rule, &call, RECORDS, RecordFault::Oversize(size))
    });
    rule_word(engine, "compression_bomb", 1..=1, |rule, call| {
        let size = size(&call, 0)?;
        strike(rule, &call, RECORDS, RecordFault::CompressionBomb(size))
    });
}

fn strike(rule: &RuleHandle, call: &Call<'_, '_>, heads: &[&str], fault: RecordFault) -> Result<(), String> {
    rule.act(call, heads, Action::Fault(Fault::Record(fault)))
}

fn poison(call: &Call<'_, '_>) -> Result<Poison, String> {
    let kind = call.text(0)?;
    let wants_none = |poison| match call.len() {
        1 => Ok(poison),
        _ => Err(format!("poison(\"{kind}\") takes nothing more")),
    };
    match kind.as_str() {
        "truncated_json" => wants_none(Poison::TruncatedJson),
        "bad_utf8" => wants_none(Poison::BadUtf8),
        "schema_id" => match i32::try_from(call.integer(1, 0)?) {
            Ok(id) => Ok(Poison::SchemaId(id)),
            Err(_) => Err(format!("a schema's id is at most {}", i32::MAX)),
        },
        "random_bytes" => Ok(Poison::RandomBytes(if call.len() > 1 { size(call, 1)? } else { 64 })),
        other => Err(format!(
            "there is no poison \"{other}\"; there are \"truncated_json\", \"bad_utf8\", \"schema_id\" with an \
             id, and \"random_bytes\" with how many"
        )),
    }
}

fn size(call: &Call<'_, '_>, at: usize) -> Result<usize, String> {
    let size = bytes(call, at)?;
    match usize::try_from(size) {
        Ok(size) if (1..=LARGEST).contains(&size) => Ok(size),
        _ => Err(format!("`{}` makes values of 1 to {LARGEST} bytes, not {size}", call.word)),
    }
}
