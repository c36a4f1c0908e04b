//! OffsetFetch (key 9). 2: null asks for all topics. 7: stable offsets only (KIP-447). 8: several groups (KIP-709). 9: KIP-848 member
//! epochs. 10: topics by id.

use super::{Answer, Exchange, Key, Part, Resource, all, merge_nested};
use crate::wire::error_code::ErrorCode;
use crate::wire::schema::schema;
use crate::wire::types::{Str, Uuid};

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

/// What an OffsetFetch asks for, flattened. From version 8 on a group is a part too, followed by its partitions.
enum Asked {
    Group(usize),
    Partition(Key),
}

impl OffsetFetchRequest {
    fn asked(&self, version: i16) -> Vec<Asked> {
        let mut asked = Vec::new();
        if version < 8 {
            for topic in self.topics.iter().flatten() {
                for p in &topic.partition_indexes {
                    asked.push(Asked::Partition((topic.name.clone(), Uuid::ZERO, *p)));
                }
            }
        }
        for (g, group) in self.groups.iter().enumerate() {
            asked.push(Asked::Group(g));
            for topic in group.topics.iter().flatten() {
                for p in &topic.partition_indexes {
                    asked.push(Asked::Partition((topic.name.clone(), topic.topic_id, *p)));
                }
            }
        }
        asked
    }
}

pub type Request = OffsetFetchRequest;
pub type Response = OffsetFetchResponse;

impl Exchange for OffsetFetchRequest {
    type Response = OffsetFetchResponse;

    fn whole(&self, version: i16) -> Option<Part> {
        (version < 8).then(|| Part::new(Resource::Group, &self.group_id))
    }

    fn parts(&self, version: i16) -> Vec<Part> {
        let part = |asked| match asked {
            Asked::Group(g) => Part::new(
                Resource::Group,
                &self.groups.get(g).map(|g| g.group_id.clone()).unwrap_or_default(),
            ),
            Asked::Partition((name, id, partition)) => Part::partition(&name, id, partition),
        };
        self.asked(version).into_iter().map(part).collect()
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
            return self.merge(version, &all(self.asked(version).len(), code), None);
        }
        let mut response = if version >= 2 {
            OffsetFetchResponse::default()
        } else {
            self.merge(version, &all(self.asked(version).len(), code), None)?
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
        let asked = self.asked(version);
        if version < 8 {
            let said = std::mem::take(&mut response.topics).into_iter().flat_map(|t| {
                let name = t.name;
                t.partitions.into_iter().map(move |p| ((name.clone(), Uuid::ZERO, p.partition_index), p))
            });
            let keys = asked.into_iter().filter_map(|a| match a {
                Asked::Partition(key) => Some(key),
                Asked::Group(_) => None,
            });
            response.topics = merge_nested(keys, answers, said, self.topics.is_none(), |key, answer| {
                OffsetFetchResponsePartition {
                    partition_index: key.2,
                    committed_offset: -1,
                    metadata: Some(Str::default()),
                    error_code: answer.code.0,
                    ..Default::default()
                }
            })
            .into_iter()
            .map(|(name, _, partitions)| OffsetFetchResponseTopic { name, partitions, ..Default::default() })
            .collect();
            return Some(response);
        }
        let mut said: Vec<OffsetFetchResponseGroup> = std::mem::take(&mut response.groups);
        let mut at = 0;
        for group in &self.groups {
            let refused = answers.get(at).cloned().flatten();
            let keys: Vec<Key> = asked
                .iter()
                .skip(at + 1)
                .map_while(|a| match a {
                    Asked::Partition(key) => Some(key.clone()),
                    Asked::Group(_) => None,
                })
                .collect();
            let own = answers.get(at + 1..).unwrap_or_default();
            at += 1 + keys.len();
            let found = said.iter().position(|s| s.group_id == group.group_id).map(|i| said.remove(i));
            if let Some(answer) = refused {
                response.groups.push(OffsetFetchResponseGroup {
                    group_id: group.group_id.clone(),
                    error_code: answer.code.0,
                    ..Default::default()
                });
                continue;
            }
            let mut out = found.unwrap_or_else(|| OffsetFetchResponseGroup {
                group_id: group.group_id.clone(),
                ..Default::default()
            });
            if out.error_code == 0 {
                let said = std::mem::take(&mut out.topics).into_iter().flat_map(|t| {
                    let (name, id) = (t.name, t.topic_id);
                    t.partitions.into_iter().map(move |p| ((name.clone(), id, p.partition_index), p))
                });
                let everything = group.topics.is_none();
                out.topics = merge_nested(keys.into_iter(), own, said, everything, |key, answer| {
                    OffsetFetchResponsePartitions {
                        partition_index: key.2,
                        committed_offset: -1,
                        metadata: Some(Str::default()),
                        error_code: answer.code.0,
                        ..Default::default()
                    }
                })
                .into_iter()
                .map(|(name, topic_id, partitions)| OffsetFetchResponseTopics {
                    name,
                    topic_id,
                    partitions,
                    ..Default::default()
                })
                .collect();
            }
            response.groups.push(out);
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
