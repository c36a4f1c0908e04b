//! Which topics there were, by what the answers in a capture say: read ahead, as a request is answered after it was asked.

use crate::policy::capture::{Problem, Record, What};
use crate::policy::names::TopicIds;
use crate::wire::{ApiKey, ErrorCode, Request, RequestBody, Response, ResponseBody, Str, Uuid};
use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};

/// Topics and changes remembered; of what comes after them nothing is known.
const TOPICS: usize = 100_000;
const CHANGES: usize = 1_000_000;
/// Requests that only try, whose answers are awaited.
const TRIALS: usize = 10_000;

/// What a dry run knows of topics. Defaults for new ones are in no capture.
#[derive(Debug, Default)]
pub(super) struct Topics {
    /// The record that is looked at.
    at: AtomicU64,
    names: HashMap<Uuid, Str>,
    /// In the order of the records that say so.
    seen: HashMap<Box<[u8]>, Vec<(u64, Seen)>>,
    changes: usize,
}

/// What an answer says of a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Seen {
    There,
    Missing,
    Created,
    Deleted,
}

impl Seen {
    fn was_there_before(self) -> bool {
        matches!(self, Self::There | Self::Deleted)
    }

    fn is_there_after(self) -> bool {
        matches!(self, Self::There | Self::Created)
    }
}

impl Topics {
    /// Reads a capture up to its end, or to where it is damaged.
    pub(super) fn read(records: impl Iterator<Item = Result<Record, Problem>>) -> Self {
        let mut topics = Self::default();
        // CreateTopics that creates nothing: its answer does not tell
        let mut trials = HashSet::new();
        for (Record { session, what, .. }, at) in records.map_while(Result::ok).zip(0..) {
            match what {
                What::Request { frame, body_left_out: false, .. } => {
                    if frame.starts_with(&ApiKey::CreateTopics.0.to_be_bytes())
                        && trials.len() < TRIALS
                        && let Ok(mut request) = Request::parse(frame)
                        && request.body().is_ok()
                        && let Ok(RequestBody::CreateTopics(body)) = request.decoded()
                        && body.validate_only
                    {
                        trials.insert((session, request.correlation_id()));
                    }
                }
                What::Answer { api, version, frame } => {
                    let tells = [ApiKey::Metadata, ApiKey::CreateTopics, ApiKey::DeleteTopics];
                    if tells.contains(&api)
                        && let Ok(response) = Response::parse(api, version, frame)
                        && !(api == ApiKey::CreateTopics
                            && trials.remove(&(session, response.correlation_id)))
                    {
                        topics.learn(at, &response.body);
                    }
                }
                _ => {}
            }
        }
        topics
    }

    /// Answers from here on as of this record.
    pub(super) fn stand_at(&self, record: u64) {
        self.at.store(record, Ordering::Relaxed);
    }

    fn learn(&mut self, at: u64, body: &ResponseBody) {
        match body {
            ResponseBody::Metadata(body) => {
                for topic in &body.topics {
                    let seen = match ErrorCode(topic.error_code) {
                        ErrorCode::NONE => Seen::There,
                        ErrorCode::UNKNOWN_TOPIC_OR_PARTITION => Seen::Missing,
                        // it was created by this request
                        ErrorCode::LEADER_NOT_AVAILABLE => Seen::Created,
                        _ => continue,
                    };
                    self.note(at, topic.name.as_ref(), topic.topic_id, seen);
                }
            }
            ResponseBody::CreateTopics(body) => {
                for topic in &body.topics {
                    let seen = match ErrorCode(topic.error_code) {
                        ErrorCode::NONE => Seen::Created,
                        ErrorCode::TOPIC_ALREADY_EXISTS => Seen::There,
                        _ => continue,
                    };
                    self.note(at, Some(&topic.name), topic.topic_id, seen);
                }
            }
            ResponseBody::DeleteTopics(body) => {
                for topic in &body.responses {
                    let seen = match ErrorCode(topic.error_code) {
                        ErrorCode::NONE => Seen::Deleted,
                        ErrorCode::UNKNOWN_TOPIC_OR_PARTITION => Seen::Missing,
                        _ => continue,
                    };
                    self.note(at, topic.name.as_ref(), topic.topic_id, seen);
                }
            }
            _ => {}
        }
    }

    fn note(&mut self, at: u64, name: Option<&Str>, id: Uuid, seen: Seen) {
        let known = self.names.get(&id).cloned();
        let Some(name) = name.filter(|name| !name.is_empty()).or(known.as_ref()) else { return };
        if !id.is_zero() && self.names.len() < TOPICS && !self.names.contains_key(&id) {
            // a copy: the text shares a whole frame
            self.names.insert(id, name.detached());
        }
        if self.changes >= CHANGES || (self.seen.len() >= TOPICS && !self.seen.contains_key(name.as_bytes()))
        {
            return;
        }
        let changes = self.seen.entry(name.as_bytes().into()).or_default();
        match changes.last_mut() {
            Some((last, before)) if *before == seen && matches!(seen, Seen::There | Seen::Missing) => {
                *last = at
            }
            // a leader of an old topic may be missing as well
            Some((_, before)) if seen == Seen::Created && before.is_there_after() => {}
            _ => {
                changes.push((at, seen));
                self.changes += 1;
            }
        }
    }
}

impl TopicIds for Topics {
    fn name(&self, id: Uuid) -> Option<Str> {
        self.names.get(&id).cloned()
    }

    /// By the next answer about it, else by the last.
    fn exists(&self, name: &str) -> Option<bool> {
        let changes = self.seen.get(name.as_bytes())?;
        let at = self.at.load(Ordering::Relaxed);
        let next = changes.partition_point(|(record, _)| *record <= at);
        match changes.get(next) {
            Some((_, seen)) => Some(seen.was_there_before()),
            None => changes.last().map(|(_, seen)| seen.is_there_after()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::api::{create_topics, delete_topics, metadata};

    const ID: Uuid = Uuid([1; 16]);

    fn noted(notes: &[(u64, Option<&str>, Uuid, Seen)]) -> Topics {
        let mut topics = Topics::default();
        for (at, name, id, seen) in notes {
            topics.note(*at, name.map(Str::from).as_ref(), *id, *seen);
        }
        topics
    }

    /// Whether it was there as of each of these records.
    fn was(topics: &Topics, name: &str, records: &[u64]) -> Vec<Option<bool>> {
        let exists = |record: &u64| {
            topics.stand_at(*record);
            topics.exists(name)
        };
        records.iter().map(exists).collect()
    }

    #[test]
    fn a_topic_was_there_as_the_answers_around_say() {
        let (yes, no) = (Some(true), Some(false));
        let made = noted(&[(10, Some("t"), ID, Seen::Created), (20, None, ID, Seen::Deleted)]);
        assert_eq!(was(&made, "t", &[0, 9, 10, 19, 20, 30]), [no, no, yes, yes, no, no]);
        assert_eq!(was(&made, "other", &[0]), [None]);
        let missed = noted(&[(10, Some("t"), Uuid::ZERO, Seen::Missing), (20, Some("t"), ID, Seen::There)]);
        assert_eq!(was(&missed, "t", &[5, 10, 20]), [no, yes, yes]);
        let again = noted(&[
            (1, Some("t"), ID, Seen::There),
            (9, Some("t"), ID, Seen::There),
            // a leader may be missing for a moment
            (12, Some("t"), ID, Seen::Created),
        ]);
        assert_eq!((was(&again, "t", &[0, 5, 10, 20]), again.changes), (vec![yes; 4], 1));
        let twice = noted(&[
            (1, Some("t"), ID, Seen::Created),
            (2, Some("t"), ID, Seen::Deleted),
            (3, Some("t"), ID, Seen::Created),
        ]);
        assert_eq!((was(&twice, "t", &[0, 1, 2, 3]), twice.changes), (vec![no, yes, no, yes], 3));
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut topics = Topics { changes: CHANGES, ..Topics::default() };
        topics.note(1, Some(&"t".into()), ID, Seen::There);
        assert_eq!((topics.exists("t"), topics.changes), (None, CHANGES));
        let mut topics = Topics::default();
        for n in 0..TOPICS {
            topics.note(1, Some(&Str::from(&*n.to_string())), Uuid::ZERO, Seen::There);
        }
        topics.note(2, Some(&"one more".into()), Uuid::ZERO, Seen::There);
        topics.note(2, Some(&"7".into()), Uuid::ZERO, Seen::Deleted);
        assert_eq!((topics.seen.len(), topics.exists("one more")), (TOPICS, None));
        assert_eq!(was(&topics, "7", &[1, 2]), [Some(true), Some(false)]);
    }

    #[test]
    fn an_id_is_of_the_topic_that_it_was_first_seen_with() {
        let topics = noted(&[
            (1, Some("a"), ID, Seen::There),
            (2, Some("b"), ID, Seen::There),
            (3, Some("z"), Uuid::ZERO, Seen::There),
            (4, Some(""), Uuid([2; 16]), Seen::There),
        ]);
        assert_eq!(topics.name(ID).as_deref(), Some("a"));
        assert_eq!((topics.name(Uuid::ZERO), topics.name(Uuid([2; 16]))), (None, None));
    }

    #[test]
    fn errors_tell_as_well() {
        let after = |body: ResponseBody| {
            let mut topics = Topics::default();
            topics.learn(10, &body);
            was(&topics, "t", &[0, 10])
        };
        let (yes, no) = (Some(true), Some(false));
        for (code, told) in [
            (ErrorCode::NONE, [yes, yes]),
            (ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, [no, no]),
            (ErrorCode::LEADER_NOT_AVAILABLE, [no, yes]),
            (ErrorCode::TOPIC_AUTHORIZATION_FAILED, [None, None]),
        ] {
            let topic = metadata::MetadataResponseTopic {
                name: Some("t".into()),
                error_code: code.0,
                ..Default::default()
            };
            let body = metadata::Response { topics: vec![topic], ..Default::default() };
            assert_eq!(after(body.into()), told, "{code}");
        }
        for (code, told) in [
            (ErrorCode::NONE, [no, yes]),
            (ErrorCode::TOPIC_ALREADY_EXISTS, [yes, yes]),
            (ErrorCode::INVALID_TOPIC_EXCEPTION, [None, None]),
        ] {
            let topic = create_topics::CreatableTopicResult {
                name: "t".into(),
                error_code: code.0,
                ..Default::default()
            };
            let body = create_topics::Response { topics: vec![topic], ..Default::default() };
            assert_eq!(after(body.into()), told, "{code}");
        }
        for (code, told) in [
            (ErrorCode::NONE, [yes, no]),
            (ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, [no, no]),
            (ErrorCode::TOPIC_AUTHORIZATION_FAILED, [None, None]),
        ] {
            let topic = delete_topics::DeletableTopicResult {
                name: Some("t".into()),
                error_code: code.0,
                ..Default::default()
            };
            let body = delete_topics::Response { responses: vec![topic], ..Default::default() };
            assert_eq!(after(body.into()), told, "{code}");
        }
    }
}
