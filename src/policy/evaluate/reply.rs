//! Faults in what replies say: of single partitions, of the cluster.

use super::chaos::{Changed, Possible, Stage};
use super::{About, Holds, PartState, Round};
use crate::policy::fault::reply::ReplyFault;
use crate::policy::fault::{Executed, Injected};
use crate::policy::rule::{Kind, Rule};
use crate::wire::api::Part;
use crate::wire::api::metadata::MetadataResponseTopic;
use crate::wire::{ResponseBody, Str};
use std::sync::Arc;
use std::time::Duration;

impl Round<'_> {
    /// The faults in a reply other than a fetch's. True when it changed.
    pub(super) fn replied(&self, body: &mut ResponseBody) -> bool {
        if !self.plan.chaos.iter().any(|rule| rule.reply_scope().is_some() && rule.head.covers(self.api)) {
            return false;
        }
        let mut parts = Vec::new();
        // Which topic and partition each is: a topic told as it was may have others.
        let mut places = Vec::new();
        if let ResponseBody::Metadata(metadata) = &*body {
            for (at, topic) in metadata.topics.iter().enumerate() {
                let name = self.topic_name(topic);
                for partition in &topic.partitions {
                    places.push((at, partition.partition_index));
                    let part = Part::partition(&name, topic.topic_id, partition.partition_index);
                    parts.push(self.state(self.about(&part, None, None)));
                }
            }
        }
        let topics_from = parts.len();
        let stale: Vec<_> = self.stale_rules().collect();
        if let (ResponseBody::Metadata(metadata), false) = (&*body, stale.is_empty()) {
            for topic in &metadata.topics {
                let name = self.topic_name(topic);
                let part = Part::partition(&name, topic.topic_id, -1);
                let mut state = self.state(self.about(&part, None, None));
                // what is known of the past must not depend on when a rule fires
                for (place, rule, age) in &stale {
                    if state.meets(*place, Kind::Chaos) && matches!(self.holds(rule, &mut state), Holds::Yes)
                    {
                        rule.life.past.note(&name, topic, self.now, *age);
                    }
                }
                parts.push(state);
            }
        }
        // and the cluster
        parts.push(self.state(About { partition: -1, ..About::default() }));
        self.count_events(&mut parts, crate::policy::identity::Side::Chaos);
        let injections = self.inject(&mut parts, Stage::Reply, &Possible::of_reply(), &|_| None);
        let mut edited = false;
        for changed in injections.replies {
            let Some(part) = parts.get(changed.at) else { continue };
            edited |= self.change_reply(part, &changed, body, |fault, body| match body {
                ResponseBody::Metadata(metadata)
                    if part.about.resource.is_some() && part.about.partition < 0 =>
                {
                    let topic = metadata.topics.get_mut(changed.at.checked_sub(topics_from)?)?;
                    *topic = changed.rule.life.past.of(&part.about.name, topic)?;
                    Some(None)
                }
                ResponseBody::Metadata(metadata) if part.about.resource.is_some() => {
                    let alive: Vec<i32> = metadata.brokers.iter().map(|broker| broker.node_id).collect();
                    let (topic, index) = *places.get(changed.at)?;
                    let mut partitions = metadata.topics.get_mut(topic)?.partitions.iter_mut();
                    let partition = partitions.find(|partition| partition.partition_index == index)?;
                    fault.led(partition, &alive).map(Some)
                }
                body => fault.whole(body).then_some(None),
            });
        }
        edited
    }

    fn topic_name(&self, topic: &MetadataResponseTopic) -> Str {
        topic.name.clone().or_else(|| self.shared.names.name(topic.topic_id)).unwrap_or_default()
    }

    /// The rules that tell of the past, by their places, and of how long ago.
    fn stale_rules(&self) -> impl Iterator<Item = (usize, &Arc<Rule>, Option<Duration>)> {
        let rules = self.plan.chaos.iter().enumerate();
        rules.filter_map(|(place, rule)| {
            let mut faults = rule.reply_faults();
            faults.find_map(|fault| match fault {
                ReplyFault::StaleMetadata(age) => Some((place, rule, *age)),
                _ => None,
            })
        })
    }

    /// Changes a reply by the faults of a rule. `change` gives what was chosen, or `None` where it could not. True when the
    /// reply changed.
    pub(super) fn change_reply<T: Clone>(
        &self,
        part: &PartState,
        changed: &Changed,
        reply: &mut T,
        mut change: impl FnMut(&ReplyFault, &mut T) -> Option<Option<String>>,
    ) -> bool {
        let (rule, counters) = (&changed.rule, &changed.rule.life.counters);
        let mut watched = rule.observe.then(|| reply.clone());
        let mut applied = false;
        for fault in rule.reply_faults() {
            let reply = watched.as_mut().unwrap_or(&mut *reply);
            let Some(parameter) = change(fault, reply) else {
                counters.could_not_apply();
                continue;
            };
            applied = true;
            let injected = Injected { executed: Executed::Yes, parameter, terminal: false };
            self.journal_at(&part.about, rule, changed.event, fault.word(), &injected, false);
        }
        if applied {
            self.injected(&part.about, rule);
        }
        applied && !rule.observe
    }
}
