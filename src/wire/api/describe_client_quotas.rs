//! DescribeClientQuotas (key 48), KIP-546. 1: flexible.

use super::{Exchange, Part};
use crate::wire::error_code::ErrorCode;
use crate::wire::schema::schema;
use crate::wire::types::Str;

schema! {
    DescribeClientQuotasRequest {
        components: Vec<Component> [0+];
        strict: bool [0+];
    }

    Component {
        entity_type: Str [0+];
        match_type: i8 [0+];
        matched: Option<Str> [0+] null [0+] = Some(Default::default());
    }

    DescribeClientQuotasResponse {
        throttle_time_ms: i32 [0+];
        error_code: i16 [0+];
        error_message: Option<Str> [0+] null [0+] = Some(Default::default());
        entries: Option<Vec<Entry>> [0+] null [0+] = Some(Default::default());
    }

    Entry {
        entity: Vec<Entity> [0+];
        values: Vec<Value> [0+];
    }

    Entity {
        entity_type: Str [0+];
        entity_name: Option<Str> [0+] null [0+] = Some(Default::default());
    }

    Value {
        key: Str [0+];
        value: f64 [0+];
    }
}

pub type Request = DescribeClientQuotasRequest;
pub type Response = DescribeClientQuotasResponse;

impl Exchange for DescribeClientQuotasRequest {
    type Response = DescribeClientQuotasResponse;

    fn whole(&self, _version: i16) -> Option<Part> {
        Some(Part::cluster())
    }

    fn answer(&self, _version: i16, code: ErrorCode) -> Option<DescribeClientQuotasResponse> {
        Some(DescribeClientQuotasResponse {
            error_code: code.0,
            entries: None,
            error_message: None,
            ..Default::default()
        })
    }
}
