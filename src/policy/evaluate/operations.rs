//! What a client is told that it may do (KIP-430): the upstream says what it lets this gateway do, of that is told what the
//! access rules and ACLs let the client do. And the configs of a topic that it created (KIP-525), if it may describe them.

use super::{About, Round};
use crate::wire::api::{CLUSTER, Resource};
use crate::wire::{ApiKey, ErrorCode, Operation, ResponseBody, Str};

/// In place of operations nobody asked about.
const NOT_ASKED: i32 = i32::MIN;

/// Whether replies of this api can tell what may be done, or what was made.
pub fn tells_operations(api: ApiKey) -> bool {
    [
        ApiKey::CreateTopics,
        ApiKey::Metadata,
        ApiKey::DescribeTopicPartitions,
        ApiKey::DescribeCluster,
        ApiKey::DescribeGroups,
        ApiKey::ConsumerGroupDescribe,
        ApiKey::ShareGroupDescribe,
        ApiKey::StreamsGroupDescribe,
    ]
    .contains(&api)
}

impl Round<'_> {
    /// Takes out of a reply the operations that the client may not do. True when something went.
    pub(super) fn access_operations(&self, body: &mut ResponseBody) -> bool {
        let mut edited = false;
        let mut narrow = |resource: Resource, name: &Str, operations: &mut i32| {
            if *operations == NOT_ASKED {
                return;
            }
            let mut allowed = *operations & self.operations(resource, name);
            // Who may not describe the cluster is told that there is nothing to do to it. Other things are not told of at all.
            if resource == Resource::Cluster && !self.may(Operation::Describe, resource, name) {
                allowed = 0;
            }
            edited |= allowed != *operations;
            *operations = allowed;
        };
        let cluster = Str::from_static(CLUSTER);
        match body {
            ResponseBody::Metadata(body) => {
                narrow(Resource::Cluster, &cluster, &mut body.cluster_authorized_operations);
                for topic in &mut body.topics {
                    let name = topic.name.clone().unwrap_or_default();
                    narrow(Resource::Topic, &name, &mut topic.topic_authorized_operations);
                }
            }
            ResponseBody::DescribeTopicPartitions(body) => {
                for topic in &mut body.topics {
                    let name = topic.name.clone().unwrap_or_default();
                    narrow(Resource::Topic, &name, &mut topic.topic_authorized_operations);
                }
            }
            ResponseBody::DescribeCluster(body) => {
                narrow(Resource::Cluster, &cluster, &mut body.cluster_authorized_operations);
            }
            ResponseBody::DescribeGroups(body) => {
                for group in &mut body.groups {
                    narrow(Resource::Group, &group.group_id, &mut group.authorized_operations);
                }
            }
            ResponseBody::ConsumerGroupDescribe(body) => {
                for group in &mut body.groups {
                    narrow(Resource::Group, &group.group_id, &mut group.authorized_operations);
                }
            }
            ResponseBody::ShareGroupDescribe(body) => {
                for group in &mut body.groups {
                    narrow(Resource::Group, &group.group_id, &mut group.authorized_operations);
                }
            }
            ResponseBody::StreamsGroupDescribe(body) => {
                for group in &mut body.groups {
                    narrow(Resource::Group, &group.group_id, &mut group.authorized_operations);
                }
            }
            ResponseBody::CreateTopics(body) => {
                for topic in body.topics.iter_mut().filter(|topic| topic.error_code == 0) {
                    if !self.may(Operation::DescribeConfigs, Resource::Topic, &topic.name) {
                        topic.topic_config_error_code = ErrorCode::TOPIC_AUTHORIZATION_FAILED.0;
                        (topic.num_partitions, topic.replication_factor) = (-1, -1);
                        topic.configs = Some(Vec::new());
                        edited = true;
                    }
                }
            }
            _ => {}
        }
        edited
    }

    /// As bits of Kafka's numbers.
    fn operations(&self, resource: Resource, name: &Str) -> i32 {
        let allowed = Operation::ALL.iter().filter(|operation| self.may(**operation, resource, name));
        allowed.map(|operation| 1 << operation.number()).sum()
    }

    /// Whether the client may do it. It does not ask to do it now: nothing is counted or written down.
    pub(super) fn may(&self, operation: Operation, resource: Resource, name: &Str) -> bool {
        let about = About { resource: Some(resource), name: name.clone(), partition: -1, ..About::default() };
        let mut part = self.state(about);
        let access = &self.plan.access;
        self.shared.watch_only
            || access
                .decide(self.who, operation, resource, name, |rule| self.applies(rule, &mut part))
                .allowed
    }
}
