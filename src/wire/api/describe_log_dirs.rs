//! DescribeLogDirs (key 35), KIP-113. 3: an error of the whole; before, it is answered empty. 4: bytes of the
//! volume (KIP-827). 5: cordoned directories.

use super::{Exchange, Part};
use crate::wire::error_code::ErrorCode;
use crate::wire::schema::schema;
use crate::wire::types::Str;

schema! {
    DescribeLogDirsRequest {
        topics: Option<Vec<DescribableLogDirTopic>> [1+] null [1+] = Some(Default::default());
    }

    DescribableLogDirTopic {
        topic: Str [1+];
        partitions: Vec<i32> [1+];
    }

    DescribeLogDirsResponse {
        throttle_time_ms: i32 [1+];
        error_code: i16 [3+];
        results: Vec<DescribeLogDirsResult> [1+];
    }

    DescribeLogDirsResult {
        error_code: i16 [1+];
        log_dir: Str [1+];
        topics: Vec<DescribeLogDirsTopic> [1+];
        total_bytes: i64 [4+] = -1;
        usable_bytes: i64 [4+] = -1;
        is_cordoned: bool [5+];
    }

    DescribeLogDirsTopic {
        name: Str [1+];
        partitions: Vec<DescribeLogDirsPartition> [1+];
    }

    DescribeLogDirsPartition {
        partition_index: i32 [1+];
        partition_size: i64 [1+];
        offset_lag: i64 [1+];
        is_future_key: bool [1+];
    }
}

pub type Request = DescribeLogDirsRequest;
pub type Response = DescribeLogDirsResponse;

impl Exchange for DescribeLogDirsRequest {
    type Response = DescribeLogDirsResponse;

    fn whole(&self, _version: i16) -> Option<Part> {
        Some(Part::cluster())
    }

    fn answer(&self, _version: i16, code: ErrorCode) -> Option<DescribeLogDirsResponse> {
        Some(DescribeLogDirsResponse { error_code: code.0, ..Default::default() })
    }
}
