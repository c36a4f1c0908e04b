//! `truncate_log(n)`: after an exchange is answered for, the log it was about loses its newest records.

use super::{About, Round};
use crate::policy::fault::{Executed, Fault, Injected};
use crate::policy::verdict::Truncation;
use crate::wire::api::Resource;

impl Round<'_> {
    /// Asks the embedded broker for it. It begins at once, so that what comes next finds another log.
    pub(super) fn truncate(&self, truncation: &Truncation) {
        let Truncation { topic, partition, records, rule, event } = truncation;
        let counters = &rule.life.counters;
        let done = rule.observe
            || self.shared.broker.as_ref().is_some_and(|broker| broker.truncate(topic, *partition, *records));
        if !done {
            return counters.could_not_apply();
        }
        let about = About {
            resource: Some(Resource::Topic),
            name: topic.clone(),
            partition: *partition,
            ..About::default()
        };
        self.injected(&about, rule);
        let injected =
            Injected { executed: Executed::Yes, parameter: Some(records.to_string()), terminal: false };
        self.journal(&about, rule, *event, &Fault::TruncateLog(*records), &injected);
    }
}
