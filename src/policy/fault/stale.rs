//! `stale_metadata(age?)`: what metadata says of a topic is what it said a while ago, or when the rule first saw it: partitions that
//! were not there yet are missing, leaders, replicas and the topic's id are those of then.
//!
//! Known is what passed by the rule. Epochs are those of then as well: clients that compare them keep what they know. A topic that
//! is answered with an error, because it is gone or because the client may not know of it, stays so: nobody learns from the past
//! what it may not see now.

use crate::policy::lru::Lru;
use crate::wire::api::metadata::MetadataResponseTopic;
use std::collections::VecDeque;
use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Topics whose past one rule knows; the one asked about least recently is forgotten.
const TOPICS: usize = 256;
/// States of one topic.
const STATES: usize = 8;
/// A topic with more partitions is told as it is.
const PARTITIONS: usize = 256;

/// What one rule has seen of topics.
#[derive(Default)]
pub struct Past(Mutex<Option<Lru<Box<str>, VecDeque<State>>>>);

/// From when on, on the policies' clock, a topic was as it is here.
struct State {
    since: Duration,
    topic: MetadataResponseTopic,
}

impl fmt::Debug for Past {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let topics = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        write!(f, "{} topics", topics.as_ref().map_or(0, Lru::len))
    }
}

impl Past {
    /// Notes how a topic is now. `age`: how far back anybody will ask; none: to the beginning.
    pub fn note(&self, name: &str, truth: &MetadataResponseTopic, now: Duration, age: Option<Duration>) {
        if name.is_empty() || truth.error_code != 0 || truth.partitions.len() > PARTITIONS {
            return;
        }
        let mut topics = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let topics = topics.get_or_insert_with(|| Lru::new(TOPICS));
        let (states, _) = topics.get_or_insert_with(name.into(), VecDeque::new);
        // what a client may do is no change of the topic
        let topic = MetadataResponseTopic { topic_authorized_operations: 0, ..truth.clone() };
        // of the beginning one state is enough
        if states.is_empty() || age.is_some() && states.back().is_none_or(|last| last.topic != topic) {
            states.push_back(State { since: now, topic });
        }
        let then = age.and_then(|age| now.checked_sub(age));
        while then.is_some_and(|then| states.get(1).is_some_and(|next| next.since <= then)) {
            states.pop_front();
        }
        // The last but one goes, so that the oldest grow old and go by themselves.
        if states.len() > STATES {
            states.remove(STATES - 1);
        }
    }

    /// How a topic was then, or when it was first seen. None: as it is now, or it is not known.
    pub fn of(&self, name: &str, truth: &MetadataResponseTopic) -> Option<MetadataResponseTopic> {
        if truth.error_code != 0 || truth.partitions.len() > PARTITIONS {
            return None;
        }
        let mut topics = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let then = &topics.as_mut()?.get_mut(name)?.front()?.topic;
        // what a client may do is its own affair
        let told = MetadataResponseTopic {
            name: truth.name.clone(),
            topic_authorized_operations: truth.topic_authorized_operations,
            ..then.clone()
        };
        (told != *truth).then_some(told)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::api::metadata::MetadataResponsePartition;

    fn topic(partitions: i32) -> MetadataResponseTopic {
        let partitions = (0..partitions).map(|n| MetadataResponsePartition {
            partition_index: n,
            ..MetadataResponsePartition::default()
        });
        MetadataResponseTopic {
            name: Some("t".into()),
            partitions: partitions.collect(),
            ..MetadataResponseTopic::default()
        }
    }

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_topic_is_as_it_was_a_while_ago() {
        let (past, age) = (Past::default(), Some(at(10)));
        let tell = |partitions, seconds| {
            past.note("t", &topic(partitions), at(seconds), age);
            past.of("t", &topic(partitions)).map(|topic| topic.partitions.len())
        };
        assert_eq!(tell(1, 100), None);
        assert_eq!(tell(2, 105), Some(1), "what was before is not known: as it was first");
        assert_eq!(tell(3, 108), Some(1));
        assert_eq!(tell(3, 114), Some(1), "the second was seen nine seconds ago");
        assert_eq!(tell(3, 115), Some(2));
        assert_eq!(tell(3, 117), Some(2));
        assert_eq!(tell(3, 118), None);
        assert_eq!(past.of("other", &topic(1)), None);
    }

    #[test]
    fn without_an_age_it_is_as_at_the_beginning() {
        let past = Past::default();
        for (partitions, told) in [(1, None), (2, Some(1)), (3, Some(1)), (1, None)] {
            past.note("t", &topic(partitions), at(1), None);
            assert_eq!(past.of("t", &topic(partitions)).map(|topic| topic.partitions.len()), told);
        }
    }

    #[test]
    fn nobody_learns_from_the_past_what_it_may_not_see() {
        let past = Past::default();
        past.note("t", &MetadataResponseTopic { topic_authorized_operations: 7, ..topic(1) }, at(1), None);
        let told =
            past.of("t", &MetadataResponseTopic { topic_authorized_operations: 4, ..topic(2) }).unwrap();
        assert_eq!((told.partitions.len(), told.topic_authorized_operations), (1, 4));
        let refused = MetadataResponseTopic { error_code: 29, ..topic(0) };
        past.note("t", &refused, at(2), None);
        assert_eq!(past.of("t", &refused), None);
    }

    #[test]
    fn what_changes_quickly_grows_old_too_and_who_asks_is_no_change() {
        let (past, age) = (Past::default(), Some(at(10)));
        let asked_by = |operations, partitions, seconds| {
            let truth =
                MetadataResponseTopic { topic_authorized_operations: operations, ..topic(partitions) };
            past.note("t", &truth, at(seconds), age);
            past.of("t", &truth).map_or(partitions, |topic| topic.partitions.len() as i32)
        };
        for second in 0..100 {
            asked_by(second % 2, 1, second as u64);
        }
        let states = || past.0.lock().unwrap().as_mut().unwrap().get_mut("t").unwrap().len();
        assert_eq!(states(), 1);
        for second in 100..200 {
            asked_by(7, second - 98, second as u64);
        }
        assert!(asked_by(7, 102, 200) > 2, "the first is a hundred seconds old");
        past.note("t", &topic(PARTITIONS as i32 + 1), at(201), age);
        assert_eq!(past.of("t", &topic(PARTITIONS as i32 + 1)), None, "too wide, it is told as it is");
    }

    #[test]
    fn the_newest_state_is_kept_however_many_there_were() {
        let (past, age) = (Past::default(), Some(at(100)));
        for n in 1..=3 * STATES as i32 {
            past.note("t", &topic(n), at(n as u64), age);
        }
        past.note("t", &topic(3 * STATES as i32), at(1_000), age);
        assert_eq!(past.of("t", &topic(3 * STATES as i32)), None, "it has been so for long");
    }

    #[test]
    fn a_topic_may_be_so_wide() {
        let (past, widest) = (Past::default(), PARTITIONS as i32);
        past.note("t", &topic(widest), at(1), None);
        let narrower = past.of("t", &topic(1)).unwrap();
        assert_eq!(narrower.partitions.len(), PARTITIONS);
        past.note("u", &topic(1), at(1), None);
        assert_eq!(past.of("u", &topic(widest)).unwrap().partitions.len(), 1);
        assert_eq!(format!("{past:?}"), "2 topics");
    }

    #[test]
    fn an_error_is_no_state_and_a_topic_is_named_as_it_was_asked_for() {
        let past = Past::default();
        past.note("t", &MetadataResponseTopic { error_code: 5, ..topic(0) }, at(1), None);
        past.note("", &topic(1), at(1), None);
        assert_eq!((past.of("t", &topic(2)), past.of("", &topic(2))), (None, None));
        past.note("t", &topic(1), at(2), None);
        let by_id = MetadataResponseTopic { name: None, ..topic(2) };
        assert_eq!(past.of("t", &by_id), Some(MetadataResponseTopic { name: None, ..topic(1) }));
    }

    #[test]
    fn memory_is_bounded() {
        let past = Past::default();
        for n in 0..2_000 {
            past.note(&n.to_string(), &topic(1), at(1), None);
            past.note("t", &topic(n % 50), at(n as u64), Some(at(100_000)));
        }
        past.note("wide", &topic(PARTITIONS as i32 + 1), at(1), None);
        let mut topics = past.0.lock().unwrap();
        let topics = topics.as_mut().unwrap();
        assert_eq!((topics.len(), topics.get_mut("t").unwrap().len()), (TOPICS, STATES));
        assert!(topics.get_mut("wide").is_none());
    }
}
