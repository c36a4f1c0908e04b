//! AlterClientQuotas (key 49), KIP-546. 1: flexible.

use super::{Exchange, Part};
use crate::wire::error_code::ErrorCode;
use crate::wire::schema::schema;
use crate::wire::types::Str;

schema! {
    AlterClientQuotasRequest {
        entries: Vec<Entry> [0+];
        validate_only: bool [0+];
    }

    Entry {
        entity: Vec<Entity> [0+];
        ops: Vec<Op> [0+];
    }

    Entity {
        entity_type: Str [0+];
        entity_name: Option<Str> [0+] null [0+] = Some(Default::default());
    }

    Op {
        key: Str [0+];
        value: f64 [0+];
        remove: bool [0+];
    }

    AlterClientQuotasResponse {
        throttle_time_ms: i32 [0+];
        entries: Vec<AnsweredEntry> [0+];
    }

    AnsweredEntry {
        error_code: i16 [0+];
        error_message: Option<Str> [0+] null [0+] = Some(Default::default());
        entity: Vec<AnsweredEntity> [0+];
    }

    AnsweredEntity {
        entity_type: Str [0+];
        entity_name: Option<Str> [0+] null [0+] = Some(Default::default());
    }
}

pub type Request = AlterClientQuotasRequest;
pub type Response = AlterClientQuotasResponse;

impl Exchange for AlterClientQuotasRequest {
    type Response = AlterClientQuotasResponse;

    fn whole(&self, _version: i16) -> Option<Part> {
        Some(Part::cluster())
    }

    fn answer(&self, _version: i16, code: ErrorCode) -> Option<AlterClientQuotasResponse> {
        let entity = |entity: &Entity| AnsweredEntity {
            entity_type: entity.entity_type.clone(),
            entity_name: entity.entity_name.clone(),
            ..Default::default()
        };
        let entry = |entry: &Entry| AnsweredEntry {
            error_code: code.0,
            error_message: None,
            entity: entry.entity.iter().map(entity).collect(),
            ..Default::default()
        };
        Some(AlterClientQuotasResponse {
            entries: self.entries.iter().map(entry).collect(),
            ..Default::default()
        })
    }
}
