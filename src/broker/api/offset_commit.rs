//! OffsetCommit 2 to 10. Versions 2 to 4 may name a retention time; from 10 on topics are named by id. The KIP-848 reading of
//! the generation (a member epoch) does not arise: there are classic groups only.

use std::sync::Arc;

use crate::broker::group::{Commit, Committer, Groups, MAX_STRING, after};
use crate::broker::topic::Topic;
use crate::broker::{Context, Reply, ReplyTo};
use crate::wire::ErrorCode;
use crate::wire::api::offset_commit::{
    OffsetCommitRequestTopic, OffsetCommitResponsePartition, OffsetCommitResponseTopic, Request, Response,
};

pub(in crate::broker) fn handle(groups: &Arc<Groups>, _cx: &Context, to: ReplyTo, request: Request) -> Reply {
    let Request { topics: wanted, .. } = &request;
    let mut topics = Vec::with_capacity(wanted.len());
    let mut commits = Vec::new();
    // Topic and partition in the answer, for each of `commits`.
    let mut places = Vec::new();
    let mut answer = Response { topics: Vec::with_capacity(wanted.len()), ..Default::default() };
    for asked in wanted {
        let (topic, unknown) = find(groups, to.version, asked);
        let mut partitions = Vec::with_capacity(asked.partitions.len());
        for p in &asked.partitions {
            let exists = topic.as_ref().is_some_and(|topic| topic.partition(p.partition_index).is_some());
            let error = if exists { ErrorCode::NONE } else { unknown };
            if let Some(topic) = topic.as_ref().filter(|_| exists) {
                places.push((answer.topics.len(), partitions.len()));
                commits.push(Commit {
                    topic: topic.name().clone(),
                    topic_id: topic.id(),
                    partition: p.partition_index,
                    offset: p.committed_offset,
                    leader_epoch: p.committed_leader_epoch,
                    metadata: p.committed_metadata.clone(),
                });
            }
            partitions.push(OffsetCommitResponsePartition {
                partition_index: p.partition_index,
                error_code: error.0,
                ..Default::default()
            });
        }
        answer.topics.push(OffsetCommitResponseTopic {
            name: asked.name.clone(),
            topic_id: asked.topic_id,
            partitions,
            ..Default::default()
        });
        topics.extend(topic);
    }
    if commits.is_empty() {
        return to.now(answer);
    }
    let committer = Committer {
        group_id: request.group_id,
        member_id: request.member_id,
        instance_id: request.group_instance_id,
        generation: request.generation_id_or_member_epoch,
        retention_ms: Some(request.retention_time_ms).filter(|ms| *ms != -1),
        unknown_group: if to.version >= 9 {
            ErrorCode::GROUP_ID_NOT_FOUND
        } else {
            ErrorCode::ILLEGAL_GENERATION
        },
    };
    let committed = if committer.group_id.len() > MAX_STRING {
        Err(ErrorCode::INVALID_GROUP_ID)
    } else {
        groups.commit(&committer, &commits)
    };
    let (errors, ticket) = match committed {
        Ok(committed) => committed,
        Err(error) => (vec![error; commits.len()], None),
    };
    // A topic may have been deleted since it was looked up, and its offsets with it, all but these.
    topics.retain(|topic| topic.is_deleted());
    if !topics.is_empty() {
        groups.topics_deleted(&topics);
    }
    let set = move |mut answer: Response, errors: &[ErrorCode]| {
        for ((t, p), error) in places.iter().zip(errors) {
            let topic = answer.topics.get_mut(*t);
            if let Some(partition) = topic.and_then(|topic| topic.partitions.get_mut(*p)) {
                partition.error_code = error.0;
            }
        }
        answer
    };
    let answer = set(answer, &errors);
    after(to, ticket, answer, move |answer, failed| {
        let errors: Vec<_> = errors.iter().map(|e| if e.is_error() { *e } else { failed }).collect();
        set(answer, &errors)
    })
}

/// The topic, and what partitions are answered that do not exist.
fn find(groups: &Groups, version: i16, asked: &OffsetCommitRequestTopic) -> (Option<Arc<Topic>>, ErrorCode) {
    if version < 10 {
        return (groups.catalogue().topic(&asked.name), ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
    }
    match groups.catalogue().topic_by_id(asked.topic_id) {
        None => (None, ErrorCode::UNKNOWN_TOPIC_ID),
        topic => (topic, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION),
    }
}
