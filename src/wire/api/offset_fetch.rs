//! OffsetFetch (key 9). 2: null asks for all topics. 7: stable offsets only (KIP-447). 8: several groups (KIP-709). 9: KIP-848 member
//! epochs. 10: topics by id.

use super::{Answer, Exchange, Key, Part, Resource, Topic, all, merge_nested};
use crate::wire::error_code::ErrorCode;
use crate::wire::schema::schema;
use crate::wire::types::{Str, Uuid};
use std::collections::{HashMap, VecDeque};

schema! {
    OffsetFetchRequest {
        group_id: Str [0-7];
        topics: Option<Vec<OffsetFetchRequestTopic>> [0-7] null [2-7];
        groups: Vec<OffsetFetchRequestGroup> [8+];
        require_stable: bool [7+];
    }

    OffsetFetchRequestTopic {
        name: Str [0-7];
        partition_indexes: Vec<i32> [0-7];
    }

    OffsetFetchRequestGroup {
        group_id: Str [8+];
        member_id: Option<Str> [9+] null [9+];
        member_epoch: i32 [9+] = -1;
        topics: Option<Vec<OffsetFetchRequestTopics>> [8+] null [8+];
    }

    OffsetFetchRequestTopics {
        name: Str [8-9];
        topic_id: Uuid [10+];
        partition_indexes: Vec<i32> [8+];
    }

    OffsetFetchResponse {
        throttle_time_ms: i32 [3+];
        topics: Vec<OffsetFetchResponseTopic> [0-7];
        error_code: i16 [2-7];
        groups: Vec<OffsetFetchResponseGroup> [8+];
    }

    OffsetFetchResponseTopic {
        name: Str [0-7];
        partitions: Vec<OffsetFetchResponsePartition> [0-7];
    }

    OffsetFetchResponsePartition {
        partition_index: i32 [0-7];
        committed_offset: i64 [0-7];
        committed_leader_epoch: i32 [5-7] = -1;
        metadata: Option<Str> [0-7] null [0-7];
        error_code: i16 [0-7];
    }

    OffsetFetchResponseGroup {
        group_id: Str [8+];
        topics: Vec<OffsetFetchResponseTopics> [8+];
        error_code: i16 [8+];
    }

    OffsetFetchResponseTopics {
        name: Str [8-9];
        topic_id: Uuid [10+];
        partitions: Vec<OffsetFetchResponsePartitions> [8+];
    }

    OffsetFetchResponsePartitions {
        partition_index: i32 [8+];
        committed_offset: i64 [8+];
        committed_leader_epoch: i32 [8+] = -1;
        metadata: Option<Str> [8+] null [8+];
        error_code: i16 [8+];
    }
}

impl OffsetFetchRequest {
    /// The partitions asked for up to version 7.
    fn keys(&self) -> impl Iterator<Item = Key> + '_ {
        self.topics
            .iter()
            .flatten()
            .flat_map(|t| t.partition_indexes.iter().map(|p| (t.name.clone(), Uuid::ZERO, *p)))
    }
}

impl OffsetFetchRequestGroup {
    fn keys(&self) -> impl Iterator<Item = Key> + '_ {
        self.topics
            .iter()
            .flatten()
            .flat_map(|t| t.partition_indexes.iter().map(|p| (t.name.clone(), t.topic_id, *p)))
    }

    /// The upstream's answer for this group with those for single partitions put in. An error of the group stands for all.
    fn merge(
        &self,
        answers: &[Option<Answer>],
        mut upstream: OffsetFetchResponseGroup,
    ) -> OffsetFetchResponseGroup {
        if upstream.error_code != 0 {
            return upstream;
        }
        let said = std::mem::take(&mut upstream.topics).into_iter().map(|t| Topic {
            name: t.name,
            id: t.topic_id,
            partitions: t.partitions,
            unknown_tags: t.unknown_tags,
        });
        let index = |p: &OffsetFetchResponsePartitions| p.partition_index;
        let everything = self.topics.is_none();
        let merged = merge_nested(self.keys(), answers, said, everything, index, |key, answer| {
            OffsetFetchResponsePartitions {
                partition_index: key.2,
                committed_offset: -1,
                metadata: Some(Str::default()),
                error_code: answer.code.0,
                ..Default::default()
            }
        });
        upstream.topics = merged
            .into_iter()
            .map(|t| OffsetFetchResponseTopics {
                name: t.name,
                topic_id: t.id,
                partitions: t.partitions,
                unknown_tags: t.unknown_tags,
            })
            .collect();
        upstream
    }
}

pub type Request = OffsetFetchRequest;
pub type Response = OffsetFetchResponse;

impl Exchange for OffsetFetchRequest {
    type Response = OffsetFetchResponse;

    fn whole(&self, version: i16) -> Option<Part> {
        (version < 8).then(|| Part::new(Resource::Group, &self.group_id))
    }

    /// From version 8 on a group is a part too, followed by its partitions.
    fn parts(&self, version: i16) -> Vec<Part> {
        let partition = |(name, id, partition): Key| Part::partition(&name, id, partition);
        if version < 8 {
            return self.keys().map(partition).collect();
        }
        let mut parts = Vec::new();
        for group in &self.groups {
            parts.push(Part::new(Resource::Group, &group.group_id));
            parts.extend(group.keys().map(partition));
        }
        parts
    }

    fn keep(&mut self, keep: &[bool]) {
        let mut flags = keep.iter().copied();
        let mut next = || flags.next().unwrap_or(true);
        for topic in self.topics.iter_mut().flatten() {
            topic.partition_indexes.retain(|_| next());
        }
        if let Some(topics) = &mut self.topics {
            topics.retain(|t| !t.partition_indexes.is_empty());
        }
        self.groups.retain_mut(|group| {
            let keep_group = next();
            for topic in group.topics.iter_mut().flatten() {
                topic.partition_indexes.retain(|_| next());
            }
            if let Some(topics) = &mut group.topics {
                topics.retain(|t| !t.partition_indexes.is_empty());
            }
            keep_group
        });
    }

    fn answer(&self, version: i16, code: ErrorCode) -> Option<OffsetFetchResponse> {
        if version >= 8 {
            return self.merge(version, &all(self.parts(version).len(), code), None);
        }
        let mut response = if version >= 2 {
            OffsetFetchResponse::default()
        } else {
            self.merge(version, &all(self.parts(version).len(), code), None)?
        };
        response.error_code = code.0;
        Some(response)
    }

    fn merge(
        &self,
        version: i16,
        answers: &[Option<Answer>],
        upstream: Option<OffsetFetchResponse>,
    ) -> Option<OffsetFetchResponse> {
        let mut response = upstream.unwrap_or_default();
        if version < 8 {
            let said = std::mem::take(&mut response.topics).into_iter().map(|t| Topic {
                name: t.name,
                id: Uuid::ZERO,
                partitions: t.partitions,
                unknown_tags: t.unknown_tags,
            });
            let everything = self.topics.is_none();
            let index = |p: &OffsetFetchResponsePartition| p.partition_index;
            let merged = merge_nested(self.keys(), answers, said, everything, index, |key, answer| {
                OffsetFetchResponsePartition {
                    partition_index: key.2,
                    committed_offset: -1,
                    metadata: Some(Str::default()),
                    error_code: answer.code.0,
                    ..Default::default()
                }
            });
            response.topics = merged
                .into_iter()
                .map(|t| OffsetFetchResponseTopic {
                    name: t.name,
                    partitions: t.partitions,
                    unknown_tags: t.unknown_tags,
                })
                .collect();
            return Some(response);
        }
        let mut said: HashMap<Str, VecDeque<OffsetFetchResponseGroup>> = HashMap::new();
        for group in std::mem::take(&mut response.groups) {
            said.entry(group.group_id.clone()).or_default().push_back(group);
        }
        // A group may be named twice; see `merge` on which asking gets which answer.
        let mut unsaid: HashMap<&Str, isize> = HashMap::new();
        for group in &self.groups {
            *unsaid
                .entry(&group.group_id)
                .or_insert(-(said.get(&group.group_id).map_or(0, VecDeque::len) as isize)) += 1;
        }
        let mut at = 0;
        for group in &self.groups {
            let refused = answers.get(at).and_then(Option::as_ref);
            let own = answers.get(at + 1..).unwrap_or_default();
            at += 1 + group.keys().count();
            let mut take = || said.get_mut(&group.group_id).and_then(VecDeque::pop_front);
            let merged = match refused {
                Some(answer) => {
                    if unsaid.get(&group.group_id).is_some_and(|n| *n <= 0) {
                        take();
                    }
                    OffsetFetchResponseGroup { error_code: answer.code.0, ..Default::default() }
                }
                None => group.merge(own, take().unwrap_or_default()),
            };
            response.groups.push(OffsetFetchResponseGroup { group_id: group.group_id.clone(), ..merged });
        }
        Some(response)
    }

    fn retain(version: i16, response: &mut OffsetFetchResponse, keep: &mut dyn FnMut(&Part) -> bool) {
        if version < 8 {
            response.topics.retain(|t| keep(&Part::topic(&t.name, Uuid::ZERO)));
        }
        for group in &mut response.groups {
            group.topics.retain(|t| keep(&Part::topic(&t.name, t.topic_id)));
        }
    }
}
