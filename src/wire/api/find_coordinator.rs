//! FindCoordinator (key 10). 1: transactional ids. 4: several keys at once (KIP-699). 6: share groups (KIP-932).

use super::{Answer, Exchange, Part, Resource, all, keep_flat, merge_flat};
use crate::wire::error_code::ErrorCode;
use crate::wire::schema::schema;
use crate::wire::types::Str;

schema! {
    FindCoordinatorRequest {
        key: Str [0-3];
        key_type: i8 [1+];
        coordinator_keys: Vec<Str> [4+];
    }

    FindCoordinatorResponse {
        throttle_time_ms: i32 [1+];
        error_code: i16 [0-3];
        error_message: Option<Str> [1-3] null [1-3];
        node_id: i32 [0-3];
        host: Str [0-3];
        port: i32 [0-3];
        coordinators: Vec<Coordinator> [4+];
    }

    Coordinator {
        key: Str [4+];
        node_id: i32 [4+];
        host: Str [4+];
        port: i32 [4+];
        error_code: i16 [4+];
        error_message: Option<Str> [4+] null [4+];
    }
}

impl FindCoordinatorRequest {
    fn keys(&self, version: i16) -> &[Str] {
        if version >= 4 { &self.coordinator_keys } else { std::slice::from_ref(&self.key) }
    }

    /// 0 is a group, 1 a transactional id, 2 a share group's partition (`group:topic id:partition`).
    fn part(&self, key: &Str) -> Part {
        match self.key_type {
            1 => Part::new(Resource::TransactionalId, key),
            2 => Part::new(Resource::Group, &Str::from(key.split(':').next().unwrap_or_default())),
            _ => Part::new(Resource::Group, key),
        }
    }
}

pub type Request = FindCoordinatorRequest;
pub type Response = FindCoordinatorResponse;

impl Exchange for FindCoordinatorRequest {
    type Response = FindCoordinatorResponse;

    fn parts(&self, version: i16) -> Vec<Part> {
        self.keys(version).iter().map(|key| self.part(key)).collect()
    }

    fn keep(&mut self, keep: &[bool]) {
        // Up to version 3 the one key is answered or forwarded whole.
        keep_flat(&mut self.coordinator_keys, keep);
    }

    fn answer(&self, version: i16, code: ErrorCode) -> Option<FindCoordinatorResponse> {
        self.merge(version, &all(self.keys(version).len(), code), None)
    }

    fn merge(
        &self,
        version: i16,
        answers: &[Option<Answer>],
        upstream: Option<FindCoordinatorResponse>,
    ) -> Option<FindCoordinatorResponse> {
        let mut response = upstream.unwrap_or_default();
        if version < 4 {
            if let Some(Some(answer)) = answers.first() {
                response.error_code = answer.code.0;
                response.error_message = answer.message.clone();
                (response.node_id, response.host, response.port) = (-1, Str::default(), -1);
            }
            return Some(response);
        }
        let said = std::mem::take(&mut response.coordinators).into_iter().map(|c| (c.key.clone(), c));
        let requested = self.coordinator_keys.iter().cloned();
        response.coordinators = merge_flat(requested, answers, said, true, |key, answer| Coordinator {
            key: key.clone(),
            node_id: -1,
            port: -1,
            error_code: answer.code.0,
            error_message: answer.message.clone(),
            ..Default::default()
        });
        Some(response)
    }
}
