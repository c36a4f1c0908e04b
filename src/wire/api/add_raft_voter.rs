//! AddRaftVoter (key 80), KIP-853. 1: acknowledged when committed, or before.

use super::{Exchange, Part};
use crate::wire::error_code::ErrorCode;
use crate::wire::schema::schema;
use crate::wire::types::{Str, Uuid};

schema! {
    AddRaftVoterRequest {
        cluster_id: Option<Str> [0+] null [0+] = Some(Default::default());
        timeout_ms: i32 [0+];
        voter_id: i32 [0+];
        voter_directory_id: Uuid [0+];
        listeners: Vec<Listener> [0+];
        ack_when_committed: bool [1+] = true;
    }

    Listener {
        name: Str [0+];
        host: Str [0+];
        port: u16 [0+];
    }

    AddRaftVoterResponse {
        throttle_time_ms: i32 [0+];
        error_code: i16 [0+];
        error_message: Option<Str> [0+] null [0+] = Some(Default::default());
    }
}

pub type Request = AddRaftVoterRequest;
pub type Response = AddRaftVoterResponse;

impl Exchange for AddRaftVoterRequest {
    type Response = AddRaftVoterResponse;

    fn whole(&self, _version: i16) -> Option<Part> {
        Some(Part::cluster())
    }

    fn answer(&self, _version: i16, code: ErrorCode) -> Option<AddRaftVoterResponse> {
        Some(AddRaftVoterResponse { error_code: code.0, error_message: None, ..Default::default() })
    }
}
