//! The words that say what a rule applies to.

use super::call::{Call, MOST, rule_word};
use super::draft::{RuleDraft, RuleHandle};
use crate::policy::glob::{Glob, Patterns};
use crate::policy::rule::{ApiSet, Head};
use crate::policy::selector::{
    CidrList, Comparison, Partitions, RecordSelector, Test, ValuePath, Versions, When,
};
use crate::wire::ApiKey;
use crate::wire::table::APIS;
use rhai::{Array, Dynamic, Engine};

const EXCHANGES: &[&str] = &["on_produce", "on_fetch", "on_request"];
const RECORDS: &[&str] = &["on_produce", "on_fetch"];
const WHO: &[&str] = &["on_access", "on_produce", "on_fetch", "on_request", "on_create"];
const WHAT: &[&str] = &["on_access", "on_produce", "on_fetch", "on_request", "on_create", "on_disk"];
const PARTITIONED: &[&str] = &["on_produce", "on_fetch", "on_request", "on_disk"];
const NAMED: &[&str] = &["on_access", "on_request"];
const TRANSACTIONAL: &[&str] = &["on_access", "on_produce", "on_request"];
/// A share of the sessions is something that chaos concerns: access does not depend on chance.
const SOME: &[&str] = &["on_connect", "on_produce", "on_fetch", "on_request"];
const ALL: &[&str] = &["on_access", "on_connect", "on_produce", "on_fetch", "on_request", "on_create"];

pub fn register(engine: &mut Engine) {
    rule_word(engine, "topic", 1..=MOST, |rule, call| {
        let topics = Patterns::new(call.some_texts()?);
        rule.select(&call, WHAT, |rule| {
            needs(rule, &call, TOPICS, "topics")?;
            rule.selectors.topics.push(topics);
            Ok(())
        })
    });
    rule_word(engine, "partition", 1..=MOST, |rule, call| {
        let partitions = numbers(&call, "partition numbers")?;
        rule.select(&call, PARTITIONED, |rule| {
            needs(rule, &call, TOPICS, "topics")?;
            once(&mut rule.selectors.partitions, partitions, &call)
        })
    });
    rule_word(engine, "api_version", 1..=MOST, |rule, call| {
        let versions = versions(&call)?;
        rule.select(&call, EXCHANGES, |rule| {
            let covered: Vec<_> = APIS.iter().filter(|api| rule.head.covers(api.key)).collect();
            let has = |versions: &Versions| {
                let mut all = covered.iter().flat_map(|api| api.min_version..=api.max_version);
                all.any(|version| versions.contains(version))
            };
            if !has(&versions) {
                let ranges = covered.iter().take(3);
                let ranges =
                    ranges.map(|api| format!("{} {} to {}", api.name, api.min_version, api.max_version));
                let ranges: Vec<String> = ranges.collect();
                return Err(format!("`api_version` finds nothing here: there are {}", ranges.join(", ")));
            }
            once(&mut rule.selectors.api_version, versions, &call)
        })
    });
    rule_word(engine, "broker", 1..=MOST, |rule, call| {
        let ids = numbers(&call, "node ids")?;
        rule.select(&call, ALL, |rule| once(&mut rule.selectors.who.broker, ids, &call))
    });
    patterns(engine, "principal", WHO, |rule| &mut rule.selectors.who.principal);
    patterns(engine, "client_id", WHO, |rule| &mut rule.selectors.who.client_id);
    patterns(engine, "listener", ALL, |rule| &mut rule.selectors.who.listener);
    rule_word(engine, "group", 1..=MOST, |rule, call| {
        let groups = Patterns::new(call.some_texts()?);
        rule.select(&call, NAMED, |rule| {
            needs(rule, &call, GROUPS, "groups")?;
            once(&mut rule.selectors.groups, groups, &call)
        })
    });
    rule_word(engine, "transactional_id", 1..=MOST, |rule, call| {
        let ids = Patterns::new(call.some_texts()?);
        rule.select(&call, TRANSACTIONAL, |rule| {
            needs(rule, &call, TRANSACTIONAL_IDS, "transactional ids")?;
            once(&mut rule.selectors.transactional_ids, ids, &call)
        })
    });
    rule_word(engine, "cluster", 0..=0, |rule, call| {
        rule.select(&call, &["on_access"], |rule| {
            rule.selectors.cluster = true;
            Ok(())
        })
    });
    rule_word(engine, "from_ip", 1..=MOST, |rule, call| {
        let blocks = CidrList::parse(call.some_texts()?)?;
        rule.select(&call, ALL, |rule| {
            rule.selectors.who.from_ip.push(blocks);
            Ok(())
        })
    });
    rule_word(engine, "sessions", 1..=1, |rule, call| {
        let share = call.number(0)?;
        if !(share > 0.0 && share <= 1.0) {
            return Err(format!("`sessions` wants a share above 0 and at most 1, not {share}"));
        }
        rule.select(&call, SOME, |rule| once(&mut rule.selectors.who.sessions, share, &call))
    });
    records(engine);
    rule_word(engine, "when", 1..=1, |rule, call| {
        let closure = call.closure(0)?;
        rule.select(&call, ALL, |rule| match rule.selectors.when {
            None => Ok(()),
            Some(_) => Err("a rule has one `when`; join conditions with &&".to_owned()),
        })?;
        let (index, text) = rule.keep(&call, closure)?;
        rule.edit(&call, |rule| {
            rule.selectors.when = Some(When { closure: index, text });
            Ok(())
        })
    });
}

fn records(engine: &mut Engine) {
    rule_word(engine, "header", 1..=MOST, |rule, call| {
        let mut texts = call.some_texts()?.into_iter();
        let name = texts.next().unwrap_or_default();
        let rest: Vec<String> = texts.collect();
        if let Some(absent) = name.strip_prefix('!') {
            let selector = RecordSelector::NoHeader(Glob::new(absent));
            return match rest.is_empty() {
                true => record(rule, &call, selector),
                false => {
                    Err(format!("a header that is not there has no value; name one without `!`: {name}"))
                }
            };
        }
        let name = Glob::new(&name);
        let value = (!rest.is_empty()).then(|| Patterns::new(rest));
        record(rule, &call, RecordSelector::Header { name, value })
    });
    rule_word(engine, "key", 1..=MOST, |rule, call| {
        let patterns = Patterns::new(call.some_texts()?);
        record(rule, &call, RecordSelector::Key(patterns))
    });
    rule_word(engine, "value", 2..=MOST, |rule, call| {
        let text = call.text(0)?;
        let path = ValuePath::parse(&text)?;
        let test = test(&call)?;
        record(rule, &call, RecordSelector::Value { path, test })
    });
}

fn record(rule: &RuleHandle, call: &Call<'_, '_>, selector: RecordSelector) -> Result<(), String> {
    rule.select(call, RECORDS, |rule| {
        rule.selectors.records.push(selector);
        Ok(())
    })
}

fn patterns(
    engine: &mut Engine,
    word: &'static str,
    heads: &'static [&'static str],
    place: fn(&mut RuleDraft) -> &mut Option<Patterns>,
) {
    rule_word(engine, word, 1..=MOST, move |rule, call| {
        let patterns = Patterns::new(call.some_texts()?);
        rule.select(&call, heads, |rule| once(place(rule), patterns, &call))
    });
}

fn once<T>(place: &mut Option<T>, value: T, call: &Call<'_, '_>) -> Result<(), String> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err(format!("`{}` stands once in a rule; give it several patterns", call.word)),
    }
}

const TOPICS: &[ApiKey] = &[
    ApiKey::Produce,
    ApiKey::Fetch,
    ApiKey::ListOffsets,
    ApiKey::Metadata,
    ApiKey::OffsetCommit,
    ApiKey::OffsetFetch,
    ApiKey::CreateTopics,
    ApiKey::DeleteTopics,
    ApiKey::DeleteRecords,
    ApiKey::OffsetForLeaderEpoch,
    ApiKey::AddPartitionsToTxn,
    ApiKey::TxnOffsetCommit,
    ApiKey::DescribeConfigs,
    ApiKey::AlterConfigs,
    ApiKey::CreatePartitions,
    ApiKey::ElectLeaders,
    ApiKey::IncrementalAlterConfigs,
    ApiKey::AlterPartitionReassignments,
    ApiKey::OffsetDelete,
    ApiKey::DescribeProducers,
    ApiKey::DescribeTopicPartitions,
    ApiKey::ShareFetch,
    ApiKey::ShareAcknowledge,
    ApiKey::InitializeShareGroupState,
    ApiKey::ReadShareGroupState,
    ApiKey::WriteShareGroupState,
    ApiKey::DeleteShareGroupState,
    ApiKey::ReadShareGroupStateSummary,
    ApiKey::AlterShareGroupOffsets,
    ApiKey::DeleteShareGroupOffsets,
];
const GROUPS: &[ApiKey] = &[
    ApiKey::OffsetCommit,
    ApiKey::OffsetFetch,
    ApiKey::FindCoordinator,
    ApiKey::JoinGroup,
    ApiKey::Heartbeat,
    ApiKey::LeaveGroup,
    ApiKey::SyncGroup,
    ApiKey::DescribeGroups,
    ApiKey::AddOffsetsToTxn,
    ApiKey::TxnOffsetCommit,
    ApiKey::DescribeConfigs,
    ApiKey::AlterConfigs,
    ApiKey::DeleteGroups,
    ApiKey::IncrementalAlterConfigs,
    ApiKey::OffsetDelete,
    ApiKey::ConsumerGroupHeartbeat,
    ApiKey::ConsumerGroupDescribe,
    ApiKey::ShareGroupHeartbeat,
    ApiKey::ShareGroupDescribe,
    ApiKey::ShareFetch,
    ApiKey::ShareAcknowledge,
    ApiKey::StreamsGroupHeartbeat,
    ApiKey::StreamsGroupDescribe,
    ApiKey::DescribeShareGroupOffsets,
    ApiKey::AlterShareGroupOffsets,
    ApiKey::DeleteShareGroupOffsets,
    ApiKey::StreamsGroupTopologyDescriptionUpdate,
];
const TRANSACTIONAL_IDS: &[ApiKey] = &[
    ApiKey::Produce,
    ApiKey::FindCoordinator,
    ApiKey::InitProducerId,
    ApiKey::AddPartitionsToTxn,
    ApiKey::AddOffsetsToTxn,
    ApiKey::EndTxn,
    ApiKey::TxnOffsetCommit,
    ApiKey::DescribeTransactions,
];

/// A rule on requests narrows to the apis that name such things; one that names none of them can never match.
fn needs(rule: &mut RuleDraft, call: &Call<'_, '_>, having: &[ApiKey], things: &str) -> Result<(), String> {
    let Head::Request(apis) = &mut rule.head else { return Ok(()) };
    let mut narrowed = ApiSet::default();
    apis.iter().filter(|api| having.contains(api)).for_each(|api| narrowed.insert(api));
    if narrowed == ApiSet::default() {
        let named: Vec<String> = apis.iter().map(|api| api.to_string()).collect();
        return Err(format!("`{}` finds nothing here: {} name no {things}", call.word, named.join(", ")));
    }
    *apis = narrowed;
    Ok(())
}

/// Numbers and ranges of them; arrays among them are laid out.
fn numbers(call: &Call<'_, '_>, what: &str) -> Result<Partitions, String> {
    let mut ranges = Vec::new();
    for at in 0..call.len() {
        let value = call.value(at);
        match value.clone().try_cast::<Array>() {
            Some(list) => {
                for item in &list {
                    ranges.push(range(call, item, what)?);
                }
            }
            None => ranges.push(range(call, &value, what)?),
        }
    }
    Ok(Partitions(ranges))
}

fn range(call: &Call<'_, '_>, value: &Dynamic, what: &str) -> Result<(i32, i32), String> {
    let wants = || call.wants(&format!("{what} or ranges such as 0..4"), value);
    let (from, to) = if let Ok(n) = value.as_int() {
        (n, n)
    } else if let Some(range) = value.clone().try_cast::<std::ops::Range<i64>>() {
        (range.start, range.end.saturating_sub(1))
    } else if let Some(range) = value.clone().try_cast::<std::ops::RangeInclusive<i64>>() {
        (*range.start(), *range.end())
    } else {
        return Err(wants());
    };
    match (i32::try_from(from), i32::try_from(to)) {
        (Ok(from), Ok(to)) if 0 <= from && from <= to => Ok((from, to)),
        _ => Err(wants()),
    }
}

/// `9`, `4..8`, `[0, 2..=4]`, or one comparison: `">= 9"`.
fn versions(call: &Call<'_, '_>) -> Result<Versions, String> {
    let value = call.value(0);
    if call.len() > 1 || !value.is_string() {
        return Ok(Versions::These(numbers(call, "versions, a comparison such as \">= 9\",")?));
    }
    let text = value.to_string();
    let compared =
        Comparison::parse(&text).and_then(|(comparison, rest)| Some((comparison, rest.parse().ok()?)));
    match compared {
        Some((comparison, version)) => Ok(Versions::Compared(comparison, version)),
        None => Err(call.wants("versions, ranges of them, or a comparison such as \">= 9\"", &value)),
    }
}

/// What is asked of a value: `"a*"`, `"!b"`, `"> 5"`, `5`, `true`, `()`.
fn test(call: &Call<'_, '_>) -> Result<Test, String> {
    let value = call.value(1);
    if call.len() == 2 && !value.is_string() {
        return match (value.as_bool(), value.as_float(), value.as_int()) {
            (Ok(truth), ..) => Ok(Test::Exactly(truth)),
            (_, Ok(x), _) => Ok(Test::Number(Comparison::Equal, x)),
            (.., Ok(n)) => Ok(Test::Number(Comparison::Equal, n as f64)),
            _ if value.is_unit() => Ok(Test::Missing),
            _ => {
                Err(call
                    .wants("a pattern, a comparison such as \"> 5\", a number, true, false or ()", &value))
            }
        };
    }
    let mut patterns = Vec::new();
    for at in 1..call.len() {
        patterns.push(call.text(at)?);
    }
    if let [only] = patterns.as_slice()
        && let Some((comparison, rest)) = Comparison::parse(only)
    {
        return match rest.parse::<f64>() {
            Ok(number) if number.is_finite() => Ok(Test::Number(comparison, number)),
            _ => Err(format!("\"{only}\" compares with `{rest}`, which is not a number")),
        };
    }
    Ok(Test::Text(Patterns::new(patterns)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::RequestBody;
    use crate::wire::api::Resource;
    use crate::wire::sample::Draw;
    use crate::wire::table::APIS;

    /// The apis whose requests can name such a thing: a selector by it narrows a rule to these, and no other api may be lost.
    #[test]
    fn a_selector_goes_with_every_api_that_names_such_things() {
        let mut draw = Draw::new(1);
        for (resource, listed) in [
            (Resource::Topic, TOPICS),
            (Resource::Group, GROUPS),
            (Resource::TransactionalId, TRANSACTIONAL_IDS),
        ] {
            let mut naming: Vec<&str> = Vec::new();
            for api in APIS {
                let names = (api.min_version..=api.max_version).any(|version| {
                    (0..100).any(|_| {
                        let body = RequestBody::sample(api.key, version, &mut draw).unwrap();
                        let parts = body.parts(version);
                        let others = body.whole(version).into_iter().chain(body.also(version));
                        parts.into_iter().chain(others).any(|part| part.resource == resource)
                    })
                });
                if names {
                    naming.push(api.name);
                }
            }
            let listed: Vec<&str> = listed.iter().filter_map(|api| api.name()).collect();
            let missing: Vec<_> = naming.iter().filter(|name| !listed.contains(name)).collect();
            assert!(missing.is_empty(), "{resource:?}: {missing:?}");
            // a sample seldom has the one number of a group's configs
            let extra = |name: &&&str| !naming.contains(name) && !name.contains("Configs");
            assert_eq!(listed.iter().find(extra), None, "{resource:?}");
        }
    }
}
