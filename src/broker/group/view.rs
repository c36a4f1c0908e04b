//! Groups as metrics and admin see them: lag is the log's end minus what is in here.

use super::coordinator::Groups;
use super::group::State;
use crate::wire::Str;

/// One group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupView {
    pub group_id: Str,
    pub state: State,
    pub generation: i32,
    pub protocol_type: Option<Str>,
    pub protocol_name: Option<Str>,
    pub leader: Option<Str>,
    /// Member id, `group.instance.id`, client id, client host.
    pub members: Vec<(Str, Option<Str>, Str, Str)>,
    pub offsets: Vec<OffsetView>,
}

/// One committed offset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OffsetView {
    pub topic: Str,
    pub partition: i32,
    pub offset: i64,
    pub commit_timestamp: i64,
}

impl Groups {
    /// At most `max_groups` groups with at most `max_offsets` committed offsets in all, in no order. Empty while the groups are
    /// being read at start.
    pub fn view(&self, max_groups: usize, max_offsets: usize) -> Vec<GroupView> {
        let mut views = Vec::new();
        let mut left = max_offsets;
        let seen = self.each_group(|group, offsets| {
            if views.len() >= max_groups {
                return;
            }
            let offsets: Vec<OffsetView> = offsets
                .iter()
                .take(left)
                .map(|(topic, partition, committed)| OffsetView {
                    topic: topic.clone(),
                    partition,
                    offset: committed.offset,
                    commit_timestamp: committed.commit_timestamp,
                })
                .collect();
            left -= offsets.len();
            let members = group
                .members()
                .map(|m| (m.id.clone(), m.instance_id.clone(), m.client_id.clone(), m.client_host.clone()));
            views.push(GroupView {
                group_id: group.id().clone(),
                state: group.state(),
                generation: group.generation(),
                protocol_type: group.protocol_type().cloned(),
                protocol_name: group.protocol_name().cloned(),
                leader: group.leader().cloned(),
                members: members.collect(),
                offsets,
            });
        });
        if seen.is_err() {
            views.clear();
        }
        views
    }
}
