//! One handler an api. Each takes the request's body apart and answers; versions and gaps stand on top of each file.

pub(super) mod api_versions;
