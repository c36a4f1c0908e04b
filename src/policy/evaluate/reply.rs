//! Faults in what replies say: of single partitions, of the cluster.

use super::chaos::{Changed, Possible, Stage};
use super::{About, PartState, Round};
use crate::policy::fault::reply::ReplyFault;
use crate::policy::fault::{Executed, Injected};
use crate::wire::ResponseBody;
use crate::wire::api::Part;

impl Round<'_> {
    /// The faults in a reply other than a fetch's. True when it changed.
    pub(super) fn replied(&self, body: &mut ResponseBody) -> bool {
        if !self.plan.chaos.iter().any(|rule| rule.reply_scope().is_some() && rule.head.covers(self.api)) {
            return false;
        }
        let mut parts = Vec::new();
        if let ResponseBody::Metadata(metadata) = &*body {
            for topic in &metadata.topics {
                let name =
                    topic.name.clone().or_else(|| self.shared.names.name(topic.topic_id)).unwrap_or_default();
                for partition in &topic.partitions {
                    let part = Part::partition(&name, topic.topic_id, partition.partition_index);
                    parts.push(self.state(self.about(&part, None, None)));
                }
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
                ResponseBody::Metadata(metadata) if part.about.resource.is_some() => {
                    let alive: Vec<i32> = metadata.brokers.iter().map(|broker| broker.node_id).collect();
                    let mut partitions = metadata.topics.iter_mut().flat_map(|topic| &mut topic.partitions);
                    let led = partitions.nth(changed.at).and_then(|p| fault.led(p, &alive));
                    led.map(Some)
                }
                body => fault.whole(body).then_some(None),
            });
        }
        edited
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
            counters.applied();
        }
        applied && !rule.observe
    }
}
