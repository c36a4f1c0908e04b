//! The words that begin something: a policy, its settings, its rules.

use super::call::{Call, MOST, word};
use super::draft::RuleHandle;
use super::host::Host;
use super::vocabulary::nearest;
use crate::policy::glob::Patterns;
use crate::policy::rule::{ApiSet, Head, Operations};
use crate::wire::table::APIS;
use crate::wire::{ApiKey, Operation};
use rhai::Engine;
use std::rc::Rc;

pub fn register(engine: &mut Engine, host: &Rc<Host>) {
    engine.register_type_with_name::<RuleHandle>("rule");
    settings(engine, host);

    let with = |host: &Rc<Host>, head: Head| {
        let host = Rc::clone(host);
        move |call: Call<'_, '_>| {
            let topics = Patterns::new(call.texts()?);
            let rule = RuleHandle::begin(&host, &call, head.clone())?;
            rule.edit(&call, |rule| {
                if !topics.is_any() {
                    rule.selectors.topics.push(topics);
                }
                Ok(())
            })?;
            Ok(rule)
        }
    };
    word(engine, "on_produce", 0..=MOST, with(host, Head::Produce));
    word(engine, "on_fetch", 0..=MOST, with(host, Head::Fetch));
    word(engine, "on_create", 0..=MOST, with(host, Head::Create));

    let own = Rc::clone(host);
    word(engine, "on_connect", 0..=0, move |call| RuleHandle::begin(&own, &call, Head::Connect));
    let own = Rc::clone(host);
    word(engine, "on_request", 1..=MOST, move |call| {
        let apis = apis(&call.some_texts()?)?;
        RuleHandle::begin(&own, &call, Head::Request(apis))
    });
    let own = Rc::clone(host);
    word(engine, "on_access", 1..=MOST, move |call| {
        let operations = operations(&call.some_texts()?)?;
        RuleHandle::begin(&own, &call, Head::Access(operations))
    });
}

fn settings(engine: &mut Engine, host: &Rc<Host>) {
    let own = Rc::clone(host);
    word(engine, "policy", 1..=2, move |call| {
        let name = call.text(0)?;
        let purpose = if call.len() > 1 { call.text(1)? } else { String::new() };
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if name.is_empty() || name.len() > 100 || !name.chars().all(plain) {
            return Err(format!("\"{name}\" is not a name for a policy: letters, digits, - _ and ."));
        }
        own.draft(call.word, |draft| {
            if !draft.is_untouched() {
                return Err("`policy` stands once, before everything that rests on its name".to_owned());
            }
            (draft.name, draft.purpose, draft.is_named) = (name, purpose, true);
            Ok(())
        })?
    });
    let own = Rc::clone(host);
    word(engine, "seed", 1..=1, move |call| {
        let seed = call.integer(0, i64::MIN)?;
        own.draft(call.word, |draft| match draft.seed.replace(seed as u64) {
            None => Ok(()),
            Some(_) => Err("`seed` stands once in a policy".to_owned()),
        })?
    });
    let own = Rc::clone(host);
    word(engine, "expires", 1..=1, move |call| {
        let time = call.duration(0)?;
        own.draft(call.word, |draft| match draft.expires.replace((time, call.place())) {
            None => Ok(()),
            Some(_) => Err("`expires` stands once in a policy".to_owned()),
        })?
    });
    let own = Rc::clone(host);
    word(engine, "mode", 1..=1, move |call| {
        let mode = call.text(0)?;
        own.draft(call.word, |draft| match mode.as_str() {
            "observe" => {
                draft.observe = true;
                Ok(())
            }
            "enforce" => Ok(()),
            other => Err(format!("there is no mode \"{other}\"; there are \"enforce\" and \"observe\"")),
        })?
    });
    let own = Rc::clone(host);
    word(engine, "default_deny", 0..=0, move |call| {
        own.draft(call.word, |draft| {
            draft.default_deny.get_or_insert(call.place());
        })
    });
}

fn operations(names: &[String]) -> Result<Operations, String> {
    let mut operations = Vec::new();
    for name in names {
        if matches!(name.as_str(), "*" | "All") {
            return Ok(Operations::default());
        }
        operations.push(Operation::from_name(name).ok_or_else(|| {
            let known = Operation::ALL.iter().map(|op| op.name());
            format!("there is no operation \"{name}\"{}", nearest(name, known))
        })?);
    }
    Ok(Operations(operations))
}

/// Apis by name, by class, or `"*"`. What negotiates a session (ApiVersions and SASL) is in no class: it is
/// meant only when named.
pub fn apis(names: &[String]) -> Result<ApiSet, String> {
    let mut set = ApiSet::default();
    for name in names {
        if let Some(class) = class(name) {
            class.for_each(|api| set.insert(api));
            continue;
        }
        match ApiKey::from_name(name) {
            Some(api) if api.info().is_some() => set.insert(api),
            Some(api) => {
                return Err(format!(
                    "{api} is spoken between brokers and controllers, where no gateway stands"
                ));
            }
            None => {
                let known = APIS.iter().map(|api| api.name).chain(CLASSES.iter().copied());
                return Err(format!("Kafka has no api \"{name}\"{}", nearest(name, known)));
            }
        }
    }
    Ok(set)
}

const CLASSES: &[&str] = &["*", "mutating", "group", "transaction", "admin"];

fn class(name: &str) -> Option<Box<dyn Iterator<Item = ApiKey>>> {
    let session = [ApiKey::ApiVersions, ApiKey::SaslHandshake, ApiKey::SaslAuthenticate];
    let members: &'static [ApiKey] = match name {
        "*" => {
            return Some(Box::new(APIS.iter().map(|api| api.key).filter(move |key| !session.contains(key))));
        }
        "mutating" => &[
            ApiKey::Produce,
            ApiKey::OffsetCommit,
            ApiKey::CreateTopics,
            ApiKey::DeleteTopics,
            ApiKey::DeleteRecords,
            ApiKey::InitProducerId,
            ApiKey::CreatePartitions,
            ApiKey::DeleteGroups,
            ApiKey::IncrementalAlterConfigs,
            ApiKey::OffsetDelete,
            ApiKey::AddPartitionsToTxn,
            ApiKey::AddOffsetsToTxn,
            ApiKey::EndTxn,
            ApiKey::WriteTxnMarkers,
            ApiKey::TxnOffsetCommit,
            ApiKey::CreateAcls,
            ApiKey::DeleteAcls,
            ApiKey::AlterConfigs,
            ApiKey::AlterReplicaLogDirs,
            ApiKey::CreateDelegationToken,
            ApiKey::RenewDelegationToken,
            ApiKey::ExpireDelegationToken,
            ApiKey::ElectLeaders,
            ApiKey::AlterPartitionReassignments,
            ApiKey::AlterClientQuotas,
            ApiKey::AlterUserScramCredentials,
            ApiKey::UpdateFeatures,
            ApiKey::UnregisterBroker,
            ApiKey::ShareAcknowledge,
            ApiKey::AddRaftVoter,
            ApiKey::RemoveRaftVoter,
            ApiKey::InitializeShareGroupState,
            ApiKey::WriteShareGroupState,
            ApiKey::DeleteShareGroupState,
            ApiKey::StreamsGroupTopologyDescriptionUpdate,
            ApiKey::AlterShareGroupOffsets,
            ApiKey::DeleteShareGroupOffsets,
            ApiKey::UnregisterController,
        ],
        "group" => &[
            ApiKey::OffsetCommit,
            ApiKey::OffsetFetch,
            ApiKey::JoinGroup,
            ApiKey::Heartbeat,
            ApiKey::LeaveGroup,
            ApiKey::SyncGroup,
            ApiKey::DescribeGroups,
            ApiKey::ListGroups,
            ApiKey::DeleteGroups,
            ApiKey::OffsetDelete,
            ApiKey::AddOffsetsToTxn,
            ApiKey::TxnOffsetCommit,
            ApiKey::ConsumerGroupHeartbeat,
            ApiKey::ConsumerGroupDescribe,
            ApiKey::ShareGroupHeartbeat,
            ApiKey::ShareGroupDescribe,
            ApiKey::StreamsGroupHeartbeat,
            ApiKey::StreamsGroupDescribe,
            ApiKey::DescribeShareGroupOffsets,
            ApiKey::AlterShareGroupOffsets,
            ApiKey::DeleteShareGroupOffsets,
            ApiKey::StreamsGroupTopologyDescriptionUpdate,
        ],
        "transaction" => &[
            ApiKey::InitProducerId,
            ApiKey::AddPartitionsToTxn,
            ApiKey::AddOffsetsToTxn,
            ApiKey::EndTxn,
            ApiKey::WriteTxnMarkers,
            ApiKey::TxnOffsetCommit,
            ApiKey::DescribeTransactions,
            ApiKey::ListTransactions,
        ],
        "admin" => &[
            ApiKey::CreateTopics,
            ApiKey::DeleteTopics,
            ApiKey::DeleteRecords,
            ApiKey::CreatePartitions,
            ApiKey::DescribeConfigs,
            ApiKey::IncrementalAlterConfigs,
            ApiKey::DescribeGroups,
            ApiKey::ListGroups,
            ApiKey::DeleteGroups,
            ApiKey::OffsetDelete,
            ApiKey::DescribeCluster,
            ApiKey::DescribeAcls,
            ApiKey::CreateAcls,
            ApiKey::DeleteAcls,
            ApiKey::AlterConfigs,
            ApiKey::AlterReplicaLogDirs,
            ApiKey::DescribeLogDirs,
            ApiKey::CreateDelegationToken,
            ApiKey::RenewDelegationToken,
            ApiKey::ExpireDelegationToken,
            ApiKey::DescribeDelegationToken,
            ApiKey::ElectLeaders,
            ApiKey::AlterPartitionReassignments,
            ApiKey::ListPartitionReassignments,
            ApiKey::DescribeClientQuotas,
            ApiKey::AlterClientQuotas,
            ApiKey::DescribeUserScramCredentials,
            ApiKey::AlterUserScramCredentials,
            ApiKey::DescribeQuorum,
            ApiKey::UpdateFeatures,
            ApiKey::DescribeProducers,
            ApiKey::UnregisterBroker,
            ApiKey::DescribeTransactions,
            ApiKey::ListTransactions,
            ApiKey::ConsumerGroupDescribe,
            ApiKey::ListConfigResources,
            ApiKey::ShareGroupDescribe,
            ApiKey::AddRaftVoter,
            ApiKey::RemoveRaftVoter,
            ApiKey::StreamsGroupDescribe,
            ApiKey::DescribeShareGroupOffsets,
            ApiKey::AlterShareGroupOffsets,
            ApiKey::DeleteShareGroupOffsets,
            ApiKey::UnregisterController,
        ],
        _ => return None,
    };
    Some(Box::new(members.iter().copied()))
}
