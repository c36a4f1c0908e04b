//! Limits on topics, wherever a request makes, grows or configures them: CreateTopics, CreatePartitions, the auto-creation by
//! Metadata, AlterConfigs and IncrementalAlterConfigs, and reassignments, which change replication.
//!
//! Not seen: a default that the broker itself is given (`log.retention.ms`), which a limit names with `required_configs`.

use super::report::{Told, audits};
use super::{Holds, PartState, Round};
use crate::policy::action::limit::{Asked, Count, Limit, Set};
use crate::policy::names::TopicDefaults;
use crate::policy::rule::{Action, Head, Kind, Rule};
use crate::wire::api::Resource;
use crate::wire::{ApiKey, ErrorCode, RequestBody};

/// Of IncrementalAlterConfigs.
const SET: i8 = 0;
const DELETE: i8 = 1;

impl Round<'_> {
    /// Refuses the topics that break a limit. True when a Metadata request must not create what it names, because whether
    /// that is there is not known.
    pub(super) fn limit_topics(&self, body: &RequestBody, parts: &mut [PartState]) -> bool {
        let covered = |rule: &Rule| rule.head == Head::Create;
        if !Head::Create.covers(self.api) || !self.plan.security.iter().any(|rule| covered(rule)) {
            return false;
        }
        let asked = asked(body, self.version, self.shared.names.defaults());
        let mut no_creation = false;
        for place in self.places(parts, Kind::Security) {
            let rule = &self.plan.security[place];
            if !covered(rule) {
                continue;
            }
            for (part, asked) in parts.iter_mut().zip(&asked) {
                let about_topic = part.about.resource == Some(Resource::Topic);
                let Some(asked) = asked.as_ref().filter(|_| about_topic && part.is_open()) else { continue };
                if !part.meets(place, Kind::Security) {
                    continue;
                }
                // a topic that is there is not created
                let exists = match self.api {
                    ApiKey::Metadata if part.about.unknown => continue,
                    ApiKey::Metadata => self.shared.names.exists(&part.about.name),
                    _ => Some(false),
                };
                if exists == Some(true) {
                    continue;
                }
                let breach = match self.holds(rule, part) {
                    Holds::No => continue,
                    Holds::Failed(error) => {
                        let told = error.to_string();
                        self.audit(&part.about, Told::new(rule, "error").because(&told));
                        Some(format!("the rule at {} failed", rule.written_at()))
                    }
                    Holds::Yes => {
                        rule.life.counters.matched();
                        let breach = limits(rule).find_map(|limit| limit.breach(asked));
                        match &breach {
                            Some(told) => self.audit(&part.about, Told::new(rule, "limit").because(told)),
                            None if audits(rule) => self.audit(&part.about, Told::new(rule, "audit")),
                            None => {}
                        }
                        if breach.is_some() || audits(rule) {
                            rule.life.counters.applied();
                        }
                        breach
                    }
                };
                let Some(breach) = breach.filter(|_| !rule.observe) else { continue };
                match (self.api, exists) {
                    // It may well be there: then it is described as ever.
                    (ApiKey::Metadata, None) if self.version >= AUTO_CREATION_IS_ASKED => no_creation = true,
                    // What a broker says that creates no topics by itself.
                    (ApiKey::Metadata, _) => {
                        part.refuse(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, breach);
                    }
                    _ => part.refuse(
                        ErrorCode::POLICY_VIOLATION,
                        format!("the policy {} limits topics: {breach}", rule.policy.name),
                    ),
                }
            }
        }
        no_creation
    }
}

/// From here on Metadata says whether it creates (KIP-204).
const AUTO_CREATION_IS_ASKED: i16 = 4;

fn limits(rule: &Rule) -> impl Iterator<Item = &Limit> {
    rule.actions.iter().filter_map(|action| match action {
        Action::Limit(limit) => Some(limit),
        _ => None,
    })
}

/// What is asked for each part of a request; none for one that asks for nothing that could be limited.
fn asked(body: &RequestBody, version: i16, defaults: Option<TopicDefaults>) -> Vec<Option<Asked<'_>>> {
    let count = |n: i64, default: fn(TopicDefaults) -> i64| match (n, defaults) {
        (-1, Some(defaults)) => Count::Of(default(defaults)),
        (-1, None) => Count::Unknown,
        (n, _) => Count::Of(n),
    };
    let partitions = |n: i32| count(n.into(), |defaults| defaults.partitions.into());
    let replication = |n: i16| count(n.into(), |defaults| defaults.replication.into());
    match body {
        RequestBody::CreateTopics(body) => {
            let topics = body.topics.iter().map(|topic| {
                let configs = topic.configs.iter();
                let configs = configs.map(|c| (&*c.name, c.value.as_deref().map_or(Set::Unset, Set::To)));
                let (partitions, replication) = match topic.assignments.as_slice() {
                    [] => (partitions(topic.num_partitions), vec![replication(topic.replication_factor)]),
                    assigned => (many(assigned), assigned.iter().map(|one| many(&one.broker_ids)).collect()),
                };
                Some(Asked {
                    name: Some(&topic.name),
                    partitions: Some(partitions),
                    replication,
                    configs: configs.collect(),
                    complete: true,
                })
            });
            topics.collect()
        }
        RequestBody::Metadata(body) => {
            let creates = version < AUTO_CREATION_IS_ASKED || body.allow_auto_topic_creation;
            let topics = body.topics.iter().flatten().map(|topic| {
                Some(Asked {
                    name: Some(topic.name.as_ref().filter(|_| creates)?),
                    partitions: Some(partitions(-1)),
                    replication: vec![replication(-1)],
                    configs: Vec::new(),
                    complete: true,
                })
            });
            topics.collect()
        }
        RequestBody::CreatePartitions(body) => {
            let topics = body.topics.iter().map(|topic| {
                Some(Asked {
                    partitions: Some(Count::Of(topic.count.into())),
                    replication: topic
                        .assignments
                        .iter()
                        .flatten()
                        .map(|one| many(&one.broker_ids))
                        .collect(),
                    ..Asked::default()
                })
            });
            topics.collect()
        }
        RequestBody::AlterPartitionReassignments(body) => {
            let partitions = body.topics.iter().flat_map(|topic| &topic.partitions);
            let partitions = partitions.map(|partition| {
                Some(Asked { replication: vec![many(partition.replicas.as_ref()?)], ..Asked::default() })
            });
            partitions.collect()
        }
        // What is set replaces all there was.
        RequestBody::AlterConfigs(body) => {
            let resources = body.resources.iter().map(|resource| {
                let configs = resource.configs.iter();
                let configs = configs.map(|c| (&*c.name, c.value.as_deref().map_or(Set::Unset, Set::To)));
                Some(Asked { configs: configs.collect(), complete: true, ..Asked::default() })
            });
            resources.collect()
        }
        RequestBody::IncrementalAlterConfigs(body) => {
            let resources = body.resources.iter().map(|resource| {
                let configs = resource.configs.iter().map(|config| {
                    let set = match (config.config_operation, &config.value) {
                        (SET, Some(value)) => Set::To(value),
                        (SET, None) | (DELETE, _) => Set::Unset,
                        _ => Set::Changed,
                    };
                    (&*config.name, set)
                });
                Some(Asked { configs: configs.collect(), ..Asked::default() })
            });
            resources.collect()
        }
        _ => Vec::new(),
    }
}

fn many<T>(things: &[T]) -> Count {
    Count::Of(i64::try_from(things.len()).unwrap_or(i64::MAX))
}
