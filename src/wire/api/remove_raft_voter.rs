//! RemoveRaftVoter (key 81), KIP-853.

use super::{Exchange, Part};
use crate::wire::error_code::ErrorCode;
use crate::wire::schema::schema;
use crate::wire::types::{Str, Uuid};

schema! {
    RemoveRaftVoterRequest {
        cluster_id: Option<Str> [0+] null [0+] = Some(Default::default());
        voter_id: i32 [0+];
        voter_directory_id: Uuid [0+];
    }

    RemoveRaftVoterResponse {
        throttle_time_ms: i32 [0+];
        error_code: i16 [0+];
        error_message: Option<Str> [0+] null [0+] = Some(Default::default());
    }
}

pub type Request = RemoveRaftVoterRequest;
pub type Response = RemoveRaftVoterResponse;

impl Exchange for RemoveRaftVoterRequest {
    type Response = RemoveRaftVoterResponse;

    fn whole(&self, _version: i16) -> Option<Part> {
        Some(Part::cluster())
    }

    fn answer(&self, _version: i16, code: ErrorCode) -> Option<RemoveRaftVoterResponse> {
        Some(RemoveRaftVoterResponse { error_code: code.0, error_message: None, ..Default::default() })
    }
}
